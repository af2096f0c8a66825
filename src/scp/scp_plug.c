/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_plug.c - disks that come and go while a pair is in use.
 *
 * A pair has SCP_DISKS_MAX slots; a slot is free, or there, or gone: unplugged, and somebody has it open
 * still. Out of a gone one the disk driver's instance, the device number and the place on the bus come back
 * only when the last has closed it (CFG_TERM says EBUSY before), because until then those who have it open
 * must not meet another disk. Nobody tells us of a close, so whoever plugs, unplugs or calls scp_reap()
 * looks.
 *
 * Unplugging goes from above: first the driver's CFG_GONE, which ends everything that is under way, then the
 * simulated bus. The other way round would work, too (that is what a hand at the cable does), but requests
 * would meet a selection timeout and be tried again first.
 *
 * Configuration is one call at a time in the process (scp_config_lock). Besides, what a slot says of its disk
 * changes only under p_slots, which whoever goes through the slots on another thread holds for reading.
 *
 * Does not contain: how a disk is put and configured (scp.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <stdlib.h>

bool scp_disk_present(const struct scp *p, unsigned disk)
{
    return disk < scp_ndisks(p) && atomic_load(&p->p_disks[disk].dk_state) == SCP_SLOT_THERE;
}

/* Is the place taken, by a disk or by one that is not given back yet? */
static bool plug_place_taken(const struct scp *p, unsigned adapter, uint8_t id, uint8_t lun)
{
    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        const struct scp_disk *dk = &p->p_disks[i];

        if (atomic_load(&dk->dk_state) != SCP_SLOT_FREE && dk->dk_adapter == adapter && dk->dk_id == id &&
            dk->dk_lun == lun)
            return true;
    }
    return false;
}

/* The lowest free place; there are more of them than slots. */
static void plug_place(const struct scp *p, unsigned adapter, uint8_t *id, uint8_t *lun)
{
    unsigned n = 0;

    do {
        scp_place_disk(n++, id, lun);
    } while (plug_place_taken(p, adapter, *id, *lun));
}

/* A slot is nobody's any more. Locks: p_slots for writing. */
static void plug_slot_free_locked(struct scp_disk *dk)
{
    free((char *)(uintptr_t)dk->dk_spec.path);
    memset(&dk->dk_spec, 0, sizeof(dk->dk_spec));
    dk->dk_name[0] = '\0';
    dk->dk_minor = -1;
    atomic_store(&dk->dk_state, SCP_SLOT_FREE);
}

/* One that is gone: can it be given back? Context: process, configuration is ours. */
static bool plug_reap_one(struct scp *p, unsigned i)
{
    struct scp_disk *dk = &p->p_disks[i];

    if (atomic_load(&dk->dk_state) != SCP_SLOT_GONE)
        return true;
    if (dk->dk_on_bus || (dk->dk_configured && scdisk_config(scp_disk_devno(p, i), CFG_TERM, NULL) != 0))
        return false;
    dk->dk_configured = false;
    scp_minor_give(SCP_DISK_MAJOR, dk->dk_minor);
    pthread_rwlock_wrlock(&p->p_slots);
    plug_slot_free_locked(dk);
    pthread_rwlock_unlock(&p->p_slots);
    return true;
}

static unsigned plug_reap(struct scp *p)
{
    unsigned left = 0;

    for (unsigned i = 0; i < scp_ndisks(p); i++)
        left += !plug_reap_one(p, i);
    return left;
}

unsigned scp_reap(struct scp *p)
{
    unsigned left;
    uint32_t before;

    scp_config_lock();
    before = shim_owner_enter(p->p_owner);
    left = plug_reap(p);
    shim_owner_leave(before);
    scp_config_unlock();
    return left;
}

/* ------------------------------------------------------------------ unplug */

/* Context: process, configuration is ours. 0 or ETIMEDOUT. */
static int plug_out(struct scp *p, unsigned i)
{
    struct scp_disk *dk = &p->p_disks[i];
    const struct scp_adapter *a = &p->p_adapters[dk->dk_adapter];
    int error = scdisk_config(scp_disk_devno(p, i), CFG_GONE, NULL);

    pthread_rwlock_wrlock(&p->p_slots);
    atomic_store(&dk->dk_state, SCP_SLOT_GONE);
    pthread_mutex_lock(&p->p_files_mutex);
    /* The last close waits for what is not back. */
    if (dk->dk_file != NULL && error == 0) {
        (void)fp_close(dk->dk_file);
        dk->dk_file = NULL;
    }
    pthread_mutex_unlock(&p->p_files_mutex);
    /* A command that does not come back is in the medium, and the disk stays on its bus until it does. */
    if (error == 0)
        sim_disk_remove(a->a_bus, sim_disk_find(a->a_bus, dk->dk_id, dk->dk_lun));
    dk->dk_on_bus = error != 0;
    pthread_rwlock_unlock(&p->p_slots);
    (void)plug_reap(p);
    return error;
}

int scp_unplug(struct scp *p, unsigned disk, char *err, size_t size)
{
    uint32_t before;
    int error;

    scp_config_lock();
    before = shim_owner_enter(p->p_owner);
    if (!scp_disk_present(p, disk) && !(disk < scp_ndisks(p) && p->p_disks[disk].dk_on_bus)) {
        error = scp_fail(err, size, ENODEV, "disk %u is not there (any more)", disk);
    } else {
        error = plug_out(p, disk);
        if (error != 0)
            (void)scp_fail(err, size, error,
                           "%s: taken away from its users, but a command does not come back from its medium "
                           "(%s); unplug it again later",
                           p->p_disks[disk].dk_name, scp_strerror(error));
    }
    shim_owner_leave(before);
    scp_config_unlock();
    return error;
}

/* ------------------------------------------------------------------ plug */

/* A free slot, or SCP_DISKS_MAX. */
static unsigned plug_slot(const struct scp *p)
{
    unsigned i = 0;

    while (i < scp_ndisks(p) && atomic_load(&p->p_disks[i].dk_state) != SCP_SLOT_FREE)
        i++;
    return i;
}

/* Number, bus, driver. Nobody sees the slot yet. Undoes itself. */
static int plug_in(struct scp *p, unsigned i, char *err, size_t size)
{
    struct scp_disk *dk = &p->p_disks[i];
    struct sim_bus *bus = p->p_adapters[dk->dk_adapter].a_bus;
    int error = scp_number_disk(dk, err, size);

    if (error != 0)
        return error;
    error = scp_disk_put(p, i, err, size);
    if (error == 0) {
        error = scp_disk_configure(p, i, err, size);
        if (error != 0)
            sim_disk_remove(bus, sim_disk_find(bus, dk->dk_id, dk->dk_lun));
    }
    if (error != 0)
        scp_minor_give(SCP_DISK_MAJOR, dk->dk_minor);
    return error;
}

/* Context: process, configuration is ours. */
static int plug_new(struct scp *p, unsigned adapter, const struct scp_disk_spec *spec, unsigned *disk,
                    char *err, size_t size)
{
    unsigned i = plug_slot(p);
    struct scp_disk *dk = &p->p_disks[i];
    int error;

    if (adapter >= p->p_nadapters)
        return scp_fail(err, size, EINVAL, "adapter %u is not there; the pair has %u", adapter,
                        p->p_nadapters);
    if (i == SCP_DISKS_MAX)
        return scp_fail(err, size, EMFILE,
                        "the pair has %u disks, those that were unplugged and are still open included; "
                        "unplug or close one",
                        SCP_DISKS_MAX);
    pthread_rwlock_wrlock(&p->p_slots); /* a report looks at all slots, free ones too */
    dk->dk_adapter = adapter;
    plug_place(p, adapter, &dk->dk_id, &dk->dk_lun);
    error = scp_spec_disk(dk, spec, i, err, size);
    if (error == 0)
        error = plug_in(p, i, err, size);
    if (error != 0) {
        plug_slot_free_locked(dk);
    } else {
        atomic_store(&dk->dk_state, SCP_SLOT_THERE);
        if (i == scp_ndisks(p))
            atomic_store(&p->p_ndisks, i + 1);
        *disk = i;
    }
    pthread_rwlock_unlock(&p->p_slots);
    return error;
}

int scp_plug(struct scp *p, unsigned adapter, const struct scp_disk_spec *spec, unsigned *disk, char *err,
             size_t size)
{
    uint32_t before;
    int error;

    scp_config_lock();
    before = shim_owner_enter(p->p_owner);
    (void)plug_reap(p);
    error = plug_new(p, adapter, spec, disk, err, size);
    shim_owner_leave(before);
    scp_config_unlock();
    return error;
}
