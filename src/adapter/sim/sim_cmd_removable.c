/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_removable.c - a medium that can be taken out: PREVENT ALLOW MEDIUM REMOVAL, and what
 * START STOP UNIT does with LOEJ.
 *
 * The medium of a disk with sd_removable goes out and comes back by command, or by sim_disk_load(); what
 * is on it stays. Each initiator may forbid that; a reset takes all prohibitions away. While it is out,
 * whatever needs the medium answers NOT READY, MEDIUM NOT PRESENT (the gate is in sim_exec.c).
 *
 * Does not contain: starting and stopping (sim_cmd_info.c).
 */
#include "sim_impl.h"

/*
 * PREVENT ALLOW. On a fixed disk the medium cannot be taken out anyway, so both wishes are granted.
 * Only bit 0 speaks of the medium; bit 1 was for changers.
 */
void sim_cmd_prevent(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;

    shim_lock_enter(&disk->dk_lock);
    disk->dk_nexus[c->c_nexus].nx_prevents = disk->dk_removable && (c->c_cdb[4] & 1);
    shim_lock_exit(&disk->dk_lock);
}

static bool sim_removal_prevented_locked(const struct sim_disk *disk)
{
    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++)
        if (disk->dk_nexus[i].nx_prevents)
            return true;
    return false;
}

/*
 * START STOP UNIT with LOEJ: load when START is set, eject otherwise. The one who loads knows; the
 * others are told that the medium may be another one.
 */
void sim_load_eject(struct sim_cmd *c, bool load)
{
    struct sim_disk *disk = c->c_disk;
    bool prevented;

    if (!disk->dk_removable) {
        sim_check_cdb(c, 4, 1);
        return;
    }
    shim_lock_enter(&disk->dk_lock);
    prevented = sim_removal_prevented_locked(disk);
    if (!prevented) {
        if (load && disk->dk_ejected)
            sim_attention_others_locked(disk, c->c_nexus, SCSI_ASC_MEDIUM_CHANGED, 0);
        disk->dk_ejected = !load;
        disk->dk_stopped = false;
        sim_disk_odd_update_locked(disk);
    }
    shim_lock_exit(&disk->dk_lock);
    if (prevented)
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_REMOVAL, SCSI_ASCQ_REMOVAL_PREVENTED);
}

void sim_disk_load(struct sim_disk *disk)
{
    shim_lock_enter(&disk->dk_lock);
    for (unsigned i = 0; i < SIM_NEXUS_COUNT && disk->dk_ejected; i++)
        sim_attention_locked(disk, i, SCSI_ASC_MEDIUM_CHANGED, 0);
    disk->dk_ejected = false;
    disk->dk_stopped = false;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}
