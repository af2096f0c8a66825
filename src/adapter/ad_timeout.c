/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_timeout.c - time: one timer per LUN, for whatever that LUN waits for first.
 *
 * Four things wait for time: a pending command's timeout, a command being taken back that does
 * not come, the backstop after "no room", and SC_DELAY_CMD. The timer is armed for the earliest
 * and is not moved when that one is gone: it fires, finds nothing due and goes on to the next. So a
 * command that ends in time costs no timer call.
 *
 * The ladder for a command that must come back: abort(), after 5 s a reset of its target, after 5
 * more a reset of the bus, and then once a minute again. A command is never reported before the
 * chip has let go of it: its memory may still be written to.
 *
 * Does not contain: a clock read on the good path. A command that ends inside start() has no
 * deadline at all.
 */
#include "ad_impl.h"

/* What the timer found due, to be done with no lock held. */
struct ad_due {
    bool due_target_reset;
    bool due_bus_reset;
    bool due_lost;
};

/*
 * Fire no later than when_ns. False when no timer could be had; then lun_timer_lost makes the
 * next activity on this LUN try again. Locks: lun_lock.
 */
bool ad_timer_want_locked(struct ad_lun *lun, uint64_t when_ns)
{
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    if (lun->lun_timer_at_ns <= when_ns)
        return true;
    if (shim_timer_arm(&lun->lun_timer, when_ns) != 0) {
        ad_lane_close_locked(lun); /* what passes there would not look */
        lun->lun_timer_lost = true;
        return false;
    }
    lun->lun_timer_at_ns = when_ns;
    return true;
}

/* Arm for the earliest of everything this LUN waits for. Locks: lun_lock. */
void ad_timer_rearm_locked(struct ad_lun *lun)
{
    const uint64_t now = shim_now_ns();
    uint64_t when = UINT64_MAX;

    lun->lun_timer_lost = false;
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        const struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_deadline_ns != 0 && cmd->cmd_deadline_ns < when)
            when = cmd->cmd_deadline_ns;
    }
    if ((lun->lun_gate & AD_GATE_HW) && lun->lun_retry_at_ns != 0 && lun->lun_retry_at_ns < when)
        when = lun->lun_retry_at_ns;
    /* A delay that is over waits for something else than time. */
    if (lun->lun_delay_sb != NULL && lun->lun_delay_until_ns > now && lun->lun_delay_until_ns < when)
        when = lun->lun_delay_until_ns;
    if (when != UINT64_MAX)
        (void)ad_timer_want_locked(lun, when);
}

/* One pending command's time is up: the next rung. */
static void ad_cmd_overdue_locked(struct ad_lun *lun, struct ad_cmd *cmd, uint64_t now, struct ad_due *due)
{
    cmd->cmd_deadline_ns = now + AD_STAGE_NS;
    switch (cmd->cmd_stage) {
    case 0:
        cmd->cmd_flags |= AD_CMD_TIMED_OUT | AD_CMD_WANT_ABORT;
        lun->lun_aborts++;
        lun->lun_timeouts++;
        break;
    case 1:
        due->due_target_reset = true;
        break;
    case 2:
        due->due_bus_reset = true;
        break;
    default:
        due->due_bus_reset = true;
        due->due_lost = cmd->cmd_stage == 3;
        cmd->cmd_deadline_ns = now + AD_LOST_NS;
        break;
    }
    if (cmd->cmd_stage < 4)
        cmd->cmd_stage++;
}

/* The resets of the ladder. Context: completion, no lock held. */
static void ad_due_do(struct ad_lun *lun, const struct ad_due *due)
{
    struct ad_adapter *adp = lun->lun_adp;

    if (!due->due_target_reset && !due->due_bus_reset)
        return;
    shim_lock_enter(&adp->adp_lock);
    adp->adp_resets++;
    shim_lock_exit(&adp->adp_lock);
    if (due->due_target_reset) {
        ad_log(adp, ERRID_SCSI_ERR1, true, "a command did not come back from abort: target reset");
        (void)adp->adp_ops->reset_target(adp->adp_hw, lun->lun_id);
    }
    if (due->due_bus_reset) {
        ad_log(adp, due->due_lost ? ERRID_SCSI_ERR2 : ERRID_SCSI_ERR1, !due->due_lost,
               due->due_lost ? "a command did not come back from any reset; its memory is kept"
                             : "a command did not come back from target reset: bus reset");
        (void)adp->adp_ops->reset_bus(adp->adp_hw);
    }
    if (due->due_lost)
        ad_event_deliver(adp, SC_FATAL_HDW_ERR);
}

/*
 * The LUN's timer. Context: completion, no lock held.
 */
void ad_timer_fire(struct shim_timer *t)
{
    struct ad_lun *lun = t->tm_arg;
    struct ad_run run = {NULL, NULL};
    struct ad_due due = {false, false, false};
    uint64_t now = shim_now_ns();

    shim_lock_enter(&lun->lun_lock);
    lun->lun_timer_at_ns = UINT64_MAX;
    if (lun->lun_state == AD_LUN_STOPPED) {
        shim_lock_exit(&lun->lun_lock);
        return;
    }
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_deadline_ns != 0 && cmd->cmd_deadline_ns <= now)
            ad_cmd_overdue_locked(lun, cmd, now, &due);
    }
    if (lun->lun_retry_at_ns != 0 && lun->lun_retry_at_ns <= now) {
        lun->lun_gate &= ~AD_GATE_HW;
        lun->lun_retry_at_ns = 0;
    }
    ad_timer_rearm_locked(lun);
    shim_lock_exit(&lun->lun_lock);

    ad_due_do(lun, &due);
    ad_run_luns(&run, lun);
}
