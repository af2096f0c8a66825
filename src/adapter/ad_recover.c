/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_recover.c - commands that abort() has not brought back: one recovery object for each adapter.
 *
 * Does not contain: timeouts and abort() (ad_timeout.c, ad_done.c), which are each command's own matter.
 *
 * ---- Theory
 *
 * A command is *overdue* when abort() has not brought it back within AD_STAGE_NS, and so is one that a reset
 * has not brought back, whoever the reset was for. The ladder behind abort() is: LUN reset, target reset, bus
 * reset, adapter reset, isolation. A command is never given to its owner before the chip has let go of its
 * memory; only behind an adapter reset or isolation, when the chip has let go of everything, does the core
 * take back what has not been handed back.
 *
 * *Rounds.* The object does one round after the other. A round looks at all LUNs, takes for each that has
 * something overdue the next rung, and makes one reset of many: one for a LUN, one for an id whatever its
 * LUNs wanted, one for the bus. SCIORESET is a target reset that somebody asked for. So eight hung LUNs of
 * one id cost one target reset, and what becomes overdue during a round waits for the next, which is one
 * again.
 *
 *   NONE    nothing is overdue, or what is has to wait (see *Lost*)
 *   DRAIN   LUNs in the scope are gated (AD_GATE_RESET): nothing new is started there. What is on its way
 *           to the chip arrives first, else nobody could say on which side of the reset it was. After a stage
 *           the round goes on all the same, but not with an adapter reset: it counts as failed, and a chip
 *           that was not cut off for that is asked again AD_ADAPTER_NS later.
 *   STAGE   what is at the chip is marked (AD_CMD_HIT), and the chip is asked. Over when everything marked is
 *           back and no reset is left that will tell its end; or when all have told it, or failed; or when
 *           time is up. What is still missing is overdue now.
 *   SETTLE  adp_settle_ns for the devices to come to. Then the next round: what is not in its scope is let
 * go.
 *
 * *Who owns a command.* While it is AD_CMD_PENDING it is the chip's, in each of these states; it comes back
 * by ad_hw_done() as always, and ad_recover_home_locked() counts it out. Behind an adapter reset the runner
 * takes it: AD_CMD_TAKEN, as AD_RES_BUS_RESET, which its owner sees as a timeout if it had timed out, and
 * else as what he may send again. A late ad_hw_done() finds the slot free and is counted.
 *
 * *Who works.* The adapter's thread, if the host has threads (ad_thread.c); else any that comes from a timer,
 * from the chip, or from sleeping, with no lock held: one at a time (rec_running). (NB-13) Who comes second
 * leaves a word (rec_again). Nobody waits in here: a part that is not over ends the look, and a timer, or
 * lun_recover at the LUN where something has happened, makes the next thread look. lun_recover is served like
 * everything else a LUN is owed (ad_push.c), by somebody who holds a reference; so a LUN is not stopped under
 * the runner's feet. The timer is the adapter's one; when it cannot be armed, ad_timers_lost() asks again:
 * each timer that fires, whoever is active on one of the LUNs concerned, and whoever sleeps until one is
 * empty.
 *
 * *Out of service.* A LUN whose command came back only with an adapter reset is AD_OFF_LUN: it would have the
 * whole adapter reset again and again. Its requests end at once with SC_NO_DEVICE_RESPONSE. SCIOSTART, or a
 * SCIORESET that works, puts it into service. Without an adapter reset, or when it fails, the chip is
 * isolated and everything on it is AD_OFF_ADAPTER, SC_ADAPTER_HDW_FAILURE, until SCIORESET or the first open
 * after the last close finds a reset_adapter() that works. These errors are made at the place of start(), so
 * that they halt the queue as any other error does.
 *
 * *Lost.* A chip that has neither of the two keeps the command for ever, and the core the memory. It is asked
 * for a bus reset each AD_LOST_NS.
 *
 * Rejected: a ladder for each command (eight commands, eight resets, and each new one throws back what the
 * one before has just restarted); one rung for the whole adapter (a deaf disk would have its neighbours' bus
 * reset sooner); reporting the command lost while the chip still has its memory (it may write there);
 * AD_HW_PENDING as the word for a reset under way (it is EPERM, which an older chip may mean).
 */
#include "ad_recover.h"

static void ad_recover_fire(struct shim_timer *t);

/* ---------------------------------------------------------------- at a LUN */

bool ad_recover_home_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock) && cmd->cmd_state == AD_CMD_PENDING);
    cmd->cmd_state = AD_CMD_DONE;
    if (cmd->cmd_flags & AD_CMD_WANT_ABORT) {
        cmd->cmd_flags &= (uint16_t)~AD_CMD_WANT_ABORT;
        SHIM_ASSERT(lun->lun_aborts > 0);
        lun->lun_aborts--;
    }
    if (SC_UNLIKELY(cmd->cmd_stage == AD_STAGE_OVERDUE)) {
        SHIM_ASSERT(lun->lun_overdue > 0);
        if (--lun->lun_overdue == 0) {
            lun->lun_rung = AD_RUNG_NONE;
            lun->lun_again_ns = 0;
        }
    }
    if (SC_UNLIKELY(cmd->cmd_flags & AD_CMD_HIT)) {
        cmd->cmd_flags &= (uint16_t)~AD_CMD_HIT;
        SHIM_ASSERT(lun->lun_hit > 0);
        lun->lun_hit--;
    }
    if (SC_UNLIKELY(lun->lun_gate & AD_GATE_RESET) && lun->lun_overdue + lun->lun_hit == 0)
        lun->lun_recover = true;
    return cmd->cmd_pins == 0;
}

void ad_recover_overdue_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    SHIM_ASSERT(cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_stage != AD_STAGE_OVERDUE);
    cmd->cmd_stage = AD_STAGE_OVERDUE;
    cmd->cmd_deadline_ns = 0;
    lun->lun_overdue++;
    SHIM_ASSERT(lun->lun_overdue <= lun->lun_active);
    lun->lun_recover = true;
}

void ad_recover_start_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;

    shim_lock_enter(&adp->adp_lock);
    lun->lun_gate = adp->adp_rec.rec_scope[lun->lun_id] & (1u << lun->lun_lun) ? AD_GATE_RESET : 0;
    lun->lun_offline = adp->adp_rec.rec_offline ? AD_OFF_ADAPTER : 0;
    shim_lock_exit(&adp->adp_lock);
    SHIM_ASSERT(lun->lun_overdue == 0 && lun->lun_hit == 0 && lun->lun_rung == AD_RUNG_NONE);
    lun->lun_recover = false;
}

/* ---------------------------------------------------------------- the timer */

/* Arm for rec_want_ns. False: not to be had. Locks: adp_lock. */
static bool ad_timer_arm_locked(struct ad_recovery *rec)
{
    SHIM_ASSERT(rec->rec_timer.tm_arg != NULL && rec->rec_want_ns != 0);
    rec->rec_timer_lost = false;
    if (rec->rec_gone || rec->rec_want_ns >= rec->rec_timer_at_ns)
        return true;
    rec->rec_timer_lost = shim_timer_arm(&rec->rec_timer, rec->rec_want_ns) != 0;
    if (!rec->rec_timer_lost)
        rec->rec_timer_at_ns = rec->rec_want_ns;
    return !rec->rec_timer_lost;
}

bool ad_recover_rearm(struct ad_adapter *adp)
{
    bool armed;

    shim_lock_enter(&adp->adp_lock);
    armed = !adp->adp_rec.rec_timer_lost || ad_timer_arm_locked(&adp->adp_rec);
    shim_lock_exit(&adp->adp_lock);
    return armed;
}

/* Look again no later than `when_ns`; UINT64_MAX: no need. No lock held. */
void ad_recover_at(struct ad_adapter *adp, uint64_t when_ns)
{
    struct ad_recovery *rec = &adp->adp_rec;
    bool armed;

    shim_lock_enter(&adp->adp_lock);
    rec->rec_want_ns = when_ns;
    armed = ad_timer_arm_locked(rec);
    shim_lock_exit(&adp->adp_lock);
    if (SC_LIKELY(armed))
        return;
    /* Who is active on a LUN that waits for us asks again; and so does whoever fires or sleeps. */
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        if (lun->lun_state != AD_LUN_STOPPED && (lun->lun_gate & AD_GATE_RESET || lun->lun_overdue != 0))
            lun->lun_timer_lost = true;
        shim_lock_exit(&lun->lun_lock);
    }
    atomic_store(&adp->adp_timer_lost, true);
}

/* Wait for the end of this part of the round. A chip that cannot interrupt is asked meanwhile. */
void ad_recover_wait(struct ad_adapter *adp, uint64_t now)
{
    uint64_t when = adp->adp_rec.rec_until_ns;

    SHIM_ASSERT(adp->adp_rec.rec_round != AD_ROUND_NONE && adp->adp_rec.rec_running);
    if (adp->adp_polled && adp->adp_rec.rec_round == AD_ROUND_STAGE && now + AD_POLL_NS < when)
        when = now + AD_POLL_NS;
    ad_recover_at(adp, when);
}

/* ---------------------------------------------------------------- who runs the machine */

void ad_recover(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;
    struct ad_donq *dq = &adp->adp_donqs[0];

    shim_lock_enter(&adp->adp_lock);
    rec->rec_again = true;
    if (rec->rec_running || rec->rec_gone) {
        shim_lock_exit(&adp->adp_lock);
        return;
    }
    if (dq->dq_on && !ad_donq_is_me(dq)) {
        adp->adp_runners++; /* who tells the end of a reset has no LUN that keeps the thread here */
        shim_lock_exit(&adp->adp_lock);
        ad_donq_look(dq);
        shim_lock_enter(&adp->adp_lock);
        adp->adp_runners--;
        shim_lock_exit(&adp->adp_lock);
        return;
    }
    rec->rec_running = true;
    while (rec->rec_again) {
        rec->rec_again = false;
        shim_lock_exit(&adp->adp_lock);
        shim_sched_point();
        while (ad_recover_step(adp))
            ;
        shim_lock_enter(&adp->adp_lock);
    }
    SHIM_ASSERT(rec->rec_running && !rec->rec_again);
    rec->rec_running = false;
    shim_lock_exit(&adp->adp_lock);
}

/* The timer. Context: completion, no lock held. */
static void ad_recover_fire(struct shim_timer *t)
{
    struct ad_adapter *adp = t->tm_arg;

    shim_lock_enter(&adp->adp_lock);
    adp->adp_rec.rec_timer_at_ns = UINT64_MAX;
    shim_lock_exit(&adp->adp_lock);
    if (SC_UNLIKELY(adp->adp_polled))
        ad_poll(adp);
    ad_recover(adp);
    ad_timers_lost(adp);
    ad_serve(adp);
}

/* ---------------------------------------------------------------- from outside */

void ad_recover_init(struct ad_adapter *adp)
{
    adp->adp_rec.rec_timer_at_ns = adp->adp_rec.rec_want_ns = UINT64_MAX;
    shim_timer_init(&adp->adp_rec.rec_timer, ad_recover_fire, adp);
}

bool ad_recover_offline(struct ad_adapter *adp)
{
    bool offline;

    shim_lock_enter(&adp->adp_lock);
    offline = adp->adp_rec.rec_offline;
    shim_lock_exit(&adp->adp_lock);
    return offline;
}

uint64_t ad_recover_patience(const struct ad_adapter *adp)
{
    const struct ad_hw_ops *ops = adp->adp_ops;
    /* abort(), what is left of a round that is about others, target and bus reset; and a little. */
    uint64_t ns = 5 * AD_STAGE_NS + 4 * adp->adp_settle_ns;

    if (ops->reset_lun != NULL)
        ns += AD_STAGE_NS + adp->adp_settle_ns;
    if (ops->reset_adapter != NULL)
        ns += AD_ADAPTER_NS + adp->adp_settle_ns;
    return ns;
}

int ad_recover_ask(struct ad_adapter *adp, unsigned id)
{
    struct ad_recovery *rec = &adp->adp_rec;
    struct ad_ask ask = {.ask_id = (uint8_t)id};

    SHIM_ASSERT(id < SC_IDS_MAX);
    shim_lock_enter(&adp->adp_lock);
    ask.ask_next = rec->rec_asks;
    rec->rec_asks = &ask;
    shim_lock_exit(&adp->adp_lock);
    ad_recover(adp);
    ad_serve(adp);
    shim_lock_enter(&adp->adp_lock);
    while (!ask.ask_done) {
        (void)e_timedsleep(&rec->rec_event.ev_word, &adp->adp_lock, AD_STAGE_NS);
        if (SC_LIKELY(!atomic_load(&adp->adp_timer_lost)))
            continue;
        shim_lock_exit(&adp->adp_lock);
        ad_timers_lost(adp);
        shim_lock_enter(&adp->adp_lock);
    }
    shim_lock_exit(&adp->adp_lock);
    SHIM_ASSERT(ask.ask_error == 0 || ask.ask_error == EIO);
    return ask.ask_error;
}

void ad_recover_quiesce(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;
    uint64_t nap = AD_NS_PER_MS / 10;
    event_t never = EVENT_NULL;
    bool running;

    do {
        shim_lock_enter(&adp->adp_lock);
        rec->rec_gone = true;
        running = rec->rec_running || adp->adp_runners != 0; /* or on his way to wake the thread */
        shim_lock_exit(&adp->adp_lock);
        if (shim_timer_cancel(&rec->rec_timer) == SHIM_CANCEL_RUNNING)
            running = true;
        if (running)
            (void)e_timedsleep(&never, NULL, nap);
        nap = nap < AD_NS_PER_S ? 2 * nap : nap; /* inside a chip's reset it may be for long */
    } while (running);
    SHIM_ASSERT(rec->rec_asks == NULL && rec->rec_asking == NULL); /* whoever asked had it open */
}
