/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_flight.c - the flight recorder of a LUN: when its queue was halted, kept and resumed, how long it
 * stood, and each rung of the recovery for a command whose time was up.
 *
 * The device driver's recorder says what an error meant; this one says what became of the queue. Both
 * use one clock, so that a reader may put them in order. Written where something goes wrong only;
 * everything is under lun_lock. Starting and stopping a LUN is no recovery and not told.
 *
 * Does not contain: the error log (ad_status.c), which has a line for each reset.
 */
#include "ad_impl.h"

static struct sc_flight_rec *ad_flight_next_locked(struct ad_lun *lun, uint8_t what)
{
    struct sc_flight_rec *r = &lun->lun_flight.rec[lun->lun_flight.seq % SC_FLIGHT_RECORDS];

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    memset(r, 0, sizeof(*r));
    r->seq = ++lun->lun_flight.seq;
    r->what = what;
    r->when_ns = shim_now_ns();
    r->episode = lun->lun_episode;
    return r;
}

static const char *ad_flight_name(enum ad_lun_state state)
{
    static const char *const name[AD_LUN_STATES] = {"stopped",  "running",   "halted",  "queue kept",
                                                    "recovery", "recovered", "stopping"};

    return name[state];
}

/* The queue goes from one state to another. Locks: lun_lock. */
void ad_flight_state_locked(struct ad_lun *lun, enum ad_lun_state from, enum ad_lun_state to)
{
    struct sc_flight_rec *r;

    if (from == to || from == AD_LUN_STOPPED || to == AD_LUN_STOPPED || to == AD_LUN_STOPPING)
        return;
    if (from != AD_LUN_RUN && to != AD_LUN_RUN && to != AD_LUN_HALT)
        return; /* from one recovery command to the next */
    if (from == AD_LUN_RUN)
        lun->lun_episode++;
    r = ad_flight_next_locked(lun, SC_FLIGHT_STATE);
    if (from == AD_LUN_RUN)
        lun->lun_halted_ns = r->when_ns;
    r->took_ns = r->when_ns - lun->lun_halted_ns;
    (void)kern_format(r->rule, sizeof(r->rule), "%s", ad_flight_name(from));
    (void)kern_format(r->did, sizeof(r->did), "%s", ad_flight_name(to));
}

/* A pending command's time is up, or that of its abort. Locks: lun_lock. */
void ad_flight_late_locked(struct ad_lun *lun, const struct ad_cmd *cmd)
{
    const bool first = cmd->cmd_stage == 0;
    struct sc_flight_rec *r = ad_flight_next_locked(lun, SC_FLIGHT_LATE);

    SHIM_ASSERT(cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_stage != AD_STAGE_OVERDUE);
    memcpy(&r->opcode, &cmd->cmd_sb->scsi_command.scsi_cmd, 1);
    r->read = (cmd->cmd_sb->bufstruct.b_flags & B_READ) != 0;
    r->took_ns = first ? cmd->cmd_sb->timeout_value * AD_NS_PER_S : AD_STAGE_NS;
    (void)kern_format(r->rule, sizeof(r->rule), "%s", first ? "command timeout" : "not back from abort");
    (void)kern_format(r->did, sizeof(r->did), "%s", first ? "abort" : "recovery");
}

/* Recovery tries a rung for this LUN, or gives up: `did`. Locks: lun_lock. */
void ad_flight_rung_locked(struct ad_lun *lun, const char *did)
{
    struct sc_flight_rec *r = ad_flight_next_locked(lun, SC_FLIGHT_LATE);

    (void)kern_format(r->rule, sizeof(r->rule), "%s", "still not back");
    (void)kern_format(r->did, sizeof(r->did), "%s", did);
}

/* How many commands the LUN may have at its device has changed, for this reason. Locks: lun_lock. */
void ad_flight_limit_locked(struct ad_lun *lun, const char *why, uint32_t from, uint32_t to)
{
    struct sc_flight_rec *r = ad_flight_next_locked(lun, SC_FLIGHT_LIMIT);

    SHIM_ASSERT(from != to);
    (void)kern_format(r->rule, sizeof(r->rule), "%s", why);
    (void)kern_format(r->did, sizeof(r->did), "depth %u -> %u", (unsigned)from, (unsigned)to);
}

/* A command is overtaken at its device. Locks: lun_lock. */
void ad_flight_guard_locked(struct ad_lun *lun)
{
    struct sc_flight_rec *r = ad_flight_next_locked(lun, SC_FLIGHT_LIMIT);

    (void)kern_format(r->rule, sizeof(r->rule), "%s", "overtaken at the device");
    (void)kern_format(r->did, sizeof(r->did), "%s", "ORDERED tag");
}

/* SCIOFLIGHT, record by record: all of it at once is too much for a stack. Context: process. */
int ad_flight_ioctl(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    const intptr_t rec = arg + (intptr_t)offsetof(struct sc_flight, rec);
    uint8_t head[offsetof(struct sc_flight, rec)];
    struct sc_flight_rec one;
    struct ad_lun *lun;
    int error = kcopyin(arg, head, sizeof(head), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_find(adp, head[offsetof(struct sc_flight, id)], head[offsetof(struct sc_flight, lun)]);
    if (lun == NULL ||
        ad_bytes_set(head + offsetof(struct sc_flight, reserved), sizeof(lun->lun_flight.reserved)))
        return EINVAL;
    for (unsigned i = 0; i < SC_FLIGHT_RECORDS && error == 0; i++) {
        shim_lock_enter(&lun->lun_lock);
        one = lun->lun_flight.rec[i];
        shim_lock_exit(&lun->lun_lock);
        error = kcopyout(&one, rec + (intptr_t)(i * sizeof(one)), sizeof(one), devflag);
    }
    /* The number last: what was written meanwhile is newer than it says. */
    shim_lock_enter(&lun->lun_lock);
    lun->lun_flight.id = lun->lun_id;
    lun->lun_flight.lun = lun->lun_lun;
    memcpy(head, &lun->lun_flight, sizeof(head));
    shim_lock_exit(&lun->lun_lock);
    return error != 0 ? error : kcopyout(head, arg, sizeof(head), devflag);
}
