/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_resv.c - RESERVE and RELEASE of SCSI-2, and persistent reservations.
 *
 * There are several initiators (struct sim_nexus): the adapter, and those that exist for
 * tests. RESERVE and persistent reservations exclude one another as in SPC-3 without the
 * compatibility bit: while a key is registered RESERVE is a conflict, and the other way round.
 *
 * Does not contain: the gate itself (sim_exec.c).
 */
#include "sim_impl.h"

enum {
    SIM_PR_WE = 1,    /* write exclusive */
    SIM_PR_EA = 3,    /* exclusive access */
    SIM_PR_WE_RO = 5, /* ... registrants only */
    SIM_PR_EA_RO = 6,
    SIM_PR_WE_AR = 7, /* ... all registrants hold it */
    SIM_PR_EA_AR = 8
};
enum {
    SIM_PR_REGISTER,
    SIM_PR_RESERVE,
    SIM_PR_RELEASE,
    SIM_PR_CLEAR,
    SIM_PR_PREEMPT,
    SIM_PR_PREEMPT_ABORT,
    SIM_PR_REGISTER_IGNORE
};

static bool sim_pr_type_ok(unsigned type)
{
    return type == SIM_PR_WE || type == SIM_PR_EA || (type >= SIM_PR_WE_RO && type <= SIM_PR_EA_AR);
}

static bool sim_pr_is_write_exclusive(unsigned type)
{
    return type == SIM_PR_WE || type == SIM_PR_WE_RO || type == SIM_PR_WE_AR;
}

static bool sim_pr_is_all_registrants(unsigned type) { return type == SIM_PR_WE_AR || type == SIM_PR_EA_AR; }

/* This initiator holds the reservation; with "all registrants" every registered one does. */
static bool sim_pr_is_holder(const struct sim_disk *disk, unsigned nexus)
{
    if (disk->dk_pr_type == 0)
        return false;
    return sim_pr_is_all_registrants(disk->dk_pr_type) ? disk->dk_nexus[nexus].nx_registered
                                                       : disk->dk_pr_holder == (int)nexus;
}

static bool sim_pr_any_registered(const struct sim_disk *disk)
{
    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++) {
        if (disk->dk_nexus[i].nx_registered)
            return true;
    }
    return false;
}

/* The gate's question: is this access refused to this initiator? */
bool sim_resv_conflict_locked(const struct sim_disk *disk, unsigned nexus, unsigned access)
{
    unsigned type = disk->dk_pr_type;

    SHIM_ASSERT(shim_lock_is_held(&disk->dk_lock));
    if (disk->dk_reserve_holder >= 0 && disk->dk_reserve_holder != (int)nexus)
        return access != SIM_ACCESS_FREE;
    if (type == 0 || access == SIM_ACCESS_FREE || access == SIM_ACCESS_PR_FREE ||
        sim_pr_is_holder(disk, nexus))
        return false;
    if (type >= SIM_PR_WE_RO && disk->dk_nexus[nexus].nx_registered)
        return false;
    return !(sim_pr_is_write_exclusive(type) && access == SIM_ACCESS_READ);
}

/* ---------------------------------------------------------------- SCSI-2 */

void sim_cmd_reserve(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;

    shim_lock_enter(&disk->dk_lock);
    SHIM_ASSERT(disk->dk_reserve_holder < 0 || disk->dk_reserve_holder == (int)c->c_nexus);
    if (sim_pr_any_registered(disk))
        c->c_status = SC_RESERVATION_CONFLICT;
    else
        disk->dk_reserve_holder = (int8_t)c->c_nexus;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

/* Releasing what somebody else holds, or nobody, does nothing and is no error. */
void sim_cmd_release(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;

    shim_lock_enter(&disk->dk_lock);
    if (sim_pr_any_registered(disk))
        c->c_status = SC_RESERVATION_CONFLICT;
    else if (disk->dk_reserve_holder == (int)c->c_nexus)
        disk->dk_reserve_holder = -1;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

/* ---------------------------------------------------------------- PERSISTENT RESERVE IN */

static uint32_t sim_pr_keys_locked(const struct sim_disk *disk, uint8_t *p)
{
    uint32_t used = 8;

    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++) {
        if (disk->dk_nexus[i].nx_registered) {
            scsi_put64(p + used, disk->dk_nexus[i].nx_key);
            used += 8;
        }
    }
    return used;
}

static uint32_t sim_pr_reservation_locked(const struct sim_disk *disk, uint8_t *p)
{
    if (disk->dk_pr_type == 0)
        return 8;
    if (!sim_pr_is_all_registrants(disk->dk_pr_type))
        scsi_put64(p + 8, disk->dk_nexus[disk->dk_pr_holder].nx_key);
    p[8 + 13] = disk->dk_pr_type;
    return 8 + 16;
}

/* One descriptor per registration, with the initiator's parallel SCSI address. */
static uint32_t sim_pr_full_locked(const struct sim_cmd *c, uint8_t *p)
{
    const struct sim_disk *disk = c->c_disk;
    uint32_t used = 8;

    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++) {
        uint8_t *d = p + used;
        unsigned id = c->c_bus->bus_adapter_id;

        if (!disk->dk_nexus[i].nx_registered)
            continue;
        scsi_put64(d, disk->dk_nexus[i].nx_key);
        if (sim_pr_is_holder(disk, i)) {
            d[12] = 0x01;
            d[13] = disk->dk_pr_type;
        }
        scsi_put16(d + 18, 1);
        scsi_put32(d + 20, 24);
        d[24] = 0x01; /* TransportID: SPI */
        /* The others sit on neighbouring ids. */
        scsi_put16(d + 26, id ^ i);
        scsi_put16(d + 30, 1);
        used += 48;
    }
    return used;
}

static void sim_pr_capabilities(uint8_t *p)
{
    scsi_put16(p, 8);
    p[3] = 0x80; /* the type mask is valid */
    p[4] = 0xea; /* types 7, 6, 5, 3, 1 */
    p[5] = 0x01; /* and 8 */
}

void sim_cmd_pr_in(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t data[8 + 48 * SIM_NEXUS_COUNT];
    uint32_t bytes = 8;
    unsigned action = c->c_cdb[1] & 0x1f;

    memset(data, 0, sizeof(data));
    shim_lock_enter(&disk->dk_lock);
    switch (action) {
    case 0:
        bytes = sim_pr_keys_locked(disk, data);
        break;
    case 1:
        bytes = sim_pr_reservation_locked(disk, data);
        break;
    case 2:
        sim_pr_capabilities(data);
        break;
    default:
        bytes = sim_pr_full_locked(c, data);
        break;
    }
    if (action != 2) {
        scsi_put32(data, disk->dk_pr_generation);
        scsi_put32(data + 4, bytes - 8);
    }
    shim_lock_exit(&disk->dk_lock);
    sim_data_in(c, data, bytes, scsi_get16(c->c_cdb + 7));
}

/* ---------------------------------------------------------------- PERSISTENT RESERVE OUT */

/* End the reservation and tell the other registered initiators, as the type demands. */
static void sim_pr_end_locked(struct sim_disk *disk, unsigned by, uint8_t ascq)
{
    bool tell = disk->dk_pr_type >= SIM_PR_WE_RO;

    disk->dk_pr_type = 0;
    disk->dk_pr_holder = -1;
    for (unsigned i = 0; i < SIM_NEXUS_COUNT && tell; i++) {
        if (i != by && disk->dk_nexus[i].nx_registered)
            sim_attention_locked(disk, i, SCSI_ASC_PARAMETERS, ascq);
    }
}

static void sim_pr_unregister_locked(struct sim_disk *disk, unsigned nexus)
{
    bool held = sim_pr_is_holder(disk, nexus);

    disk->dk_nexus[nexus].nx_registered = false;
    disk->dk_nexus[nexus].nx_key = 0;
    /* An all-registrants reservation lives until the last registration goes. */
    if (held && !(sim_pr_is_all_registrants(disk->dk_pr_type) && sim_pr_any_registered(disk)))
        sim_pr_end_locked(disk, nexus, SCSI_ASCQ_RESERVE_RELEASED);
}

static void sim_pr_register_locked(struct sim_cmd *c, bool ignore, uint64_t key, uint64_t new_key)
{
    struct sim_disk *disk = c->c_disk;
    struct sim_nexus *nx = &disk->dk_nexus[c->c_nexus];

    if (!ignore && key != (nx->nx_registered ? nx->nx_key : 0)) {
        c->c_status = SC_RESERVATION_CONFLICT;
        return;
    }
    if (new_key != 0) {
        nx->nx_registered = true;
        nx->nx_key = new_key;
    } else if (nx->nx_registered) {
        sim_pr_unregister_locked(disk, c->c_nexus);
    } else {
        return;
    }
    disk->dk_pr_generation++;
}

static void sim_pr_reserve_locked(struct sim_cmd *c, unsigned type)
{
    struct sim_disk *disk = c->c_disk;

    if (disk->dk_pr_type == 0) {
        disk->dk_pr_type = (uint8_t)type;
        disk->dk_pr_holder = (int8_t)c->c_nexus;
    } else if (!sim_pr_is_holder(disk, c->c_nexus) || disk->dk_pr_type != type) {
        c->c_status = SC_RESERVATION_CONFLICT;
    }
}

static void sim_pr_release_locked(struct sim_cmd *c, unsigned type)
{
    struct sim_disk *disk = c->c_disk;

    if (!sim_pr_is_holder(disk, c->c_nexus))
        return;
    if (disk->dk_pr_type != type)
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, SCSI_ASCQ_INVALID_RELEASE);
    else
        sim_pr_end_locked(disk, c->c_nexus, SCSI_ASCQ_RESERVE_RELEASED);
}

static void sim_pr_clear_locked(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;

    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++) {
        if (i != c->c_nexus && disk->dk_nexus[i].nx_registered)
            sim_attention_locked(disk, i, SCSI_ASC_PARAMETERS, SCSI_ASCQ_RESERVE_PREEMPTED);
        disk->dk_nexus[i].nx_registered = false;
        disk->dk_nexus[i].nx_key = 0;
    }
    disk->dk_pr_type = 0;
    disk->dk_pr_holder = -1;
    disk->dk_pr_generation++;
}

/*
 * PREEMPT and PREEMPT AND ABORT. Only the adapter's commands ever wait, so only they can be aborted; with
 * the TAS bit of the control mode page set they end with status TASK ABORTED.
 */
static void sim_pr_preempt_locked(struct sim_cmd *c, unsigned type, uint64_t victim)
{
    struct sim_disk *disk = c->c_disk;
    bool all = sim_pr_is_all_registrants(disk->dk_pr_type);
    bool take =
        disk->dk_pr_type != 0 && (all ? victim == 0 : victim == disk->dk_nexus[disk->dk_pr_holder].nx_key);
    bool found = false;

    if (victim == 0 && !take) {
        sim_check_param(c, 8, 8);
        return;
    }
    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++) {
        struct sim_nexus *nx = &disk->dk_nexus[i];

        if (!nx->nx_registered || (victim != 0 && nx->nx_key != victim))
            continue;
        found = true;
        if (i == c->c_nexus && (take || victim == 0))
            continue;
        nx->nx_registered = false;
        nx->nx_key = 0;
        if (i != c->c_nexus)
            sim_attention_locked(disk, i, SCSI_ASC_PARAMETERS, SCSI_ASCQ_REGISTER_PREEMPTED);
        if (i == SIM_NEXUS_ADAPTER && (c->c_cdb[1] & 0x1f) == SIM_PR_PREEMPT_ABORT)
            c->c_aborts = true;
    }
    if (!found) {
        c->c_status = SC_RESERVATION_CONFLICT;
        return;
    }
    if (take) {
        /* Those who stay registered learn that the rules have changed. */
        for (unsigned i = 0; i < SIM_NEXUS_COUNT && disk->dk_pr_type != type; i++) {
            if (i != c->c_nexus && disk->dk_nexus[i].nx_registered)
                sim_attention_locked(disk, i, SCSI_ASC_PARAMETERS, SCSI_ASCQ_RESERVE_RELEASED);
        }
        disk->dk_pr_type = (uint8_t)type;
        disk->dk_pr_holder = (int8_t)c->c_nexus;
    } else if (all && !sim_pr_any_registered(disk)) {
        sim_pr_end_locked(disk, c->c_nexus, SCSI_ASCQ_RESERVE_RELEASED);
    }
    disk->dk_pr_generation++;
}

static void sim_pr_out_locked(struct sim_cmd *c, uint64_t key, uint64_t action_key)
{
    const struct sim_nexus *nx = &c->c_disk->dk_nexus[c->c_nexus];
    unsigned action = c->c_cdb[1] & 0x1f, type = c->c_cdb[2] & 0x0f;

    if (action == SIM_PR_REGISTER || action == SIM_PR_REGISTER_IGNORE) {
        sim_pr_register_locked(c, action == SIM_PR_REGISTER_IGNORE, key, action_key);
        return;
    }
    if (!nx->nx_registered || nx->nx_key != key) {
        c->c_status = SC_RESERVATION_CONFLICT;
        return;
    }
    switch (action) {
    case SIM_PR_RESERVE:
        sim_pr_reserve_locked(c, type);
        break;
    case SIM_PR_RELEASE:
        sim_pr_release_locked(c, type);
        break;
    case SIM_PR_CLEAR:
        sim_pr_clear_locked(c);
        break;
    default:
        sim_pr_preempt_locked(c, type, action_key);
        break;
    }
}

void sim_cmd_pr_out(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    unsigned action = c->c_cdb[1] & 0x1f;
    bool typed = action == SIM_PR_RESERVE || action == SIM_PR_RELEASE || action == SIM_PR_PREEMPT ||
                 action == SIM_PR_PREEMPT_ABORT;
    uint8_t list[24];

    /* Scope 0 is the logical unit; there is no other. */
    if (typed && (c->c_cdb[2] >> 4 || !sim_pr_type_ok(c->c_cdb[2] & 0x0f))) {
        sim_check_cdb(c, 2, c->c_cdb[2] >> 4 ? 7 : 3);
        return;
    }
    if (scsi_get32(c->c_cdb + 5) != sizeof(list) || sim_data_out(c, 0, list, sizeof(list)) < sizeof(list)) {
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
        return;
    }
    /* SPEC_I_PT, ALL_TG_PT and APTPL: not reported as capabilities, so not accepted. */
    if (list[20] & 0x0d) {
        sim_check_param(c, 20, 3);
        return;
    }
    shim_lock_enter(&disk->dk_lock);
    sim_pr_out_locked(c, scsi_get64(list), scsi_get64(list + 8));
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}
