/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_timeout.c - time: one timer per LUN, for whatever that LUN waits for first.
 *
 * Eight things wait for time: a pending command's timeout, the look whether it is overtaken (ad_guard.c), a
 * freeze that nobody undoes (ad_freeze.c), a
 * command being taken back that does not come, the backstop after "no room", the timeout of the request that
 * found no room, SC_DELAY_CMD, and a chip without interrupts, to be asked for completions. The timer is armed
 * for the earliest and is not moved when that one is gone: it fires, finds nothing due and goes on to the
 * next. So a command that ends in time costs no timer call.
 *
 * A command that must come back is aborted; 5 s later it is the recovery's (ad_recover.c), which has a timer
 * of its own. A command is never reported before the chip has let go of it: its memory may still be written
 * to.
 *
 * Does not contain: resets; a clock read on the good path. A command that ends inside start() has no
 * deadline at all.
 */
#include "ad_impl.h"

/*
 * Fire no later than when_ns. False when no timer could be had; then lun_timer_lost makes the
 * next activity on this LUN, or the next timer of another, try again. Locks: lun_lock.
 */
bool ad_timer_want_locked(struct ad_lun *lun, uint64_t when_ns)
{
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    if (lun->lun_timer_at_ns <= when_ns)
        return true;
    if (shim_timer_arm(&lun->lun_timer, when_ns) != 0) {
        ad_lane_close_locked(lun); /* what passes there would not look */
        lun->lun_timer_lost = true;
        atomic_store(&lun->lun_adp->adp_timer_lost, true);
        return false;
    }
    lun->lun_timer_at_ns = when_ns;
    return true;
}

/* The request whose time runs in the queue, if it is at the head of what it waits in. Locks: lun_lock. */
static struct sc_buf *ad_turned_away_locked(const struct ad_lun *lun)
{
    struct buf *const heads[] = {lun->lun_rec_sb ? &lun->lun_rec_sb->bufstruct : NULL, lun->lun_sense.l_head,
                                 lun->lun_queue.l_head};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(heads) && lun->lun_wait_until_ns != 0; i++)
        if (heads[i] != NULL && (uint32_t)heads[i]->b_work == lun->lun_wait_seq)
            return (struct sc_buf *)(void *)heads[i];
    return NULL;
}

/*
 * Chip or mapper had no room for this request, which is in the queue again. Its time runs from the
 * first such moment on, and only one's at once: the one's that blocks the others. (The sequence
 * number says who it is: no other request ever has it.) Locks: lun_lock.
 */
void ad_timer_turned_away_locked(struct ad_lun *lun, const struct sc_buf *sb)
{
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    if (sb->timeout_value == 0 || ad_turned_away_locked(lun) != NULL)
        return;
    lun->lun_wait_seq = (uint32_t)sb->bufstruct.b_work;
    lun->lun_wait_until_ns = shim_now_ns() + sb->timeout_value * AD_NS_PER_S;
    (void)ad_timer_want_locked(lun, lun->lun_wait_until_ns);
}

/*
 * One at a time is enough, and a chip need not cope with more. Context: any. Locks: none held; the
 * chip calls ad_hw_done() from here.
 */
void ad_poll(struct ad_adapter *adp)
{
    SHIM_ASSERT(adp->adp_ops->poll != NULL || adp->adp_ops->poll_some != NULL);
    shim_sched_point();
    if (atomic_exchange(&adp->adp_polling, true))
        return;
    shim_sched_point();
    if (adp->adp_ops->poll_some == NULL)
        adp->adp_ops->poll(adp->adp_hw);
    else
        while (adp->adp_ops->poll_some(adp->adp_hw, AD_POLL_BUDGET) >= AD_POLL_BUDGET)
            shim_sched_point();
    atomic_store(&adp->adp_polling, false);
}

/* Arm for the earliest of everything this LUN waits for. Locks: lun_lock. */
void ad_timer_rearm_locked(struct ad_lun *lun)
{
    const uint64_t now = shim_now_ns();
    uint64_t when = UINT64_MAX;

    SHIM_ASSERT(lun->lun_state != AD_LUN_STOPPED && shim_lock_is_held(&lun->lun_lock));
    lun->lun_timer_lost = false;
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        const struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_deadline_ns != 0 && cmd->cmd_deadline_ns < when)
            when = cmd->cmd_deadline_ns;
        if (cmd->cmd_state == AD_CMD_PENDING && ad_guard_when_locked(lun, cmd, now) < when)
            when = ad_guard_when_locked(lun, cmd, now);
    }
    if (SC_UNLIKELY(lun->lun_adp->adp_polled) && lun->lun_active != 0 && now + AD_POLL_NS < when)
        when = now + AD_POLL_NS;
    if ((lun->lun_gate & (AD_GATE_HW | AD_GATE_FROZEN)) && lun->lun_retry_at_ns != 0 &&
        lun->lun_retry_at_ns < when)
        when = lun->lun_retry_at_ns;
    if (ad_turned_away_locked(lun) != NULL && lun->lun_wait_until_ns < when)
        when = lun->lun_wait_until_ns;
    /* A delay that is over waits for something else than time. */
    if (lun->lun_delay_sb != NULL && lun->lun_delay_until_ns > now && lun->lun_delay_until_ns < when)
        when = lun->lun_delay_until_ns;
    if (ad_freeze_when_locked(lun) < when)
        when = ad_freeze_when_locked(lun);
    if (when != UINT64_MAX)
        (void)ad_timer_want_locked(lun, when);
    if (!ad_recover_rearm(lun->lun_adp)) {
        lun->lun_timer_lost = true;
        atomic_store(&lun->lun_adp->adp_timer_lost, true);
    }
}

/* One pending command's time is up. */
static void ad_cmd_overdue_locked(struct ad_lun *lun, struct ad_cmd *cmd, uint64_t now)
{
    SHIM_ASSERT(cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_deadline_ns != 0);
    ad_flight_late_locked(lun, cmd);
    if (cmd->cmd_stage != 0) {
        ad_recover_overdue_locked(lun, cmd);
        return;
    }
    cmd->cmd_deadline_ns = now + AD_STAGE_NS;
    cmd->cmd_stage = AD_STAGE_ABORT;
    cmd->cmd_flags |= AD_CMD_TIMED_OUT | AD_CMD_WANT_ABORT;
    lun->lun_aborts++;
    lun->lun_timeouts++;
    SHIM_ASSERT(lun->lun_aborts <= lun->lun_active);
}

/*
 * A timer does fire, so timers are to be had again, or somebody who sleeps has time to ask: help the LUNs and
 * the recovery that got none. No lock held.
 */
void ad_timers_lost(struct ad_adapter *adp)
{
    if (SC_LIKELY(!atomic_load_explicit(&adp->adp_timer_lost, memory_order_relaxed)))
        return;
    atomic_store(&adp->adp_timer_lost, false);
    (void)ad_recover_rearm(adp);
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        if (lun->lun_timer_lost && lun->lun_state != AD_LUN_STOPPED)
            ad_timer_rearm_locked(lun);
        shim_lock_exit(&lun->lun_lock);
    }
}

/*
 * The LUN's timer. Context: completion, no lock held.
 */
void ad_timer_fire(struct shim_timer *t)
{
    struct ad_lun *lun = t->tm_arg;
    struct sc_buf *late;
    uint64_t now = shim_now_ns();

    if (SC_UNLIKELY(lun->lun_adp->adp_polled))
        ad_poll(lun->lun_adp); /* what has ended is not late */
    shim_lock_enter(&lun->lun_lock);
    lun->lun_timer_at_ns = UINT64_MAX;
    if (lun->lun_state == AD_LUN_STOPPED) {
        shim_lock_exit(&lun->lun_lock);
        return;
    }
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_deadline_ns != 0 && cmd->cmd_deadline_ns <= now)
            ad_cmd_overdue_locked(lun, cmd, now);
        else if (cmd->cmd_state == AD_CMD_PENDING)
            ad_guard_look_locked(lun, cmd, now);
    }
    if (lun->lun_retry_at_ns != 0 && lun->lun_retry_at_ns <= now) {
        lun->lun_gate &= ~(AD_GATE_HW | AD_GATE_FROZEN);
        lun->lun_retry_at_ns = 0;
    }
    ad_freeze_look_locked(lun, now);
    late = ad_turned_away_locked(lun);
    if (late != NULL && lun->lun_wait_until_ns <= now)
        ad_expire_locked(lun, late);
    ad_timer_rearm_locked(lun);
    ad_enter_locked(lun);
    shim_lock_exit(&lun->lun_lock);

    ad_timers_lost(lun->lun_adp);
    shim_lock_enter(&lun->lun_lock);
    ad_work_unlock(lun);
}
