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
 *           the round goes on all the same, but not with an adapter reset: it counts as failed.
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
 * *Who works.* Any thread that comes from a timer, from the chip, or from sleeping, with no lock held: one at
 * a time (rec_running). Who comes second leaves a word (rec_again). Nobody waits in here: a part that is not
 * over ends the look, and a timer, or lun_recover at the LUN where something has happened, makes the next
 * thread look. lun_recover is served like everything else a LUN is owed (ad_push.c), by somebody who holds a
 * reference; so a LUN is not stopped under the runner's feet. The timer is the adapter's one; when it cannot
 * be armed, ad_timers_lost() asks again: each timer that fires, whoever is active on one of the LUNs
 * concerned, and whoever sleeps until one is empty.
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
 * AD_HW_PENDING as the word for a reset under way (it is EPERM, which an older chip may mean). Not here yet:
 * a thread of the adapter, which would have to call ad_recover() and nothing else.
 */
#include "ad_impl.h"

#define AD_ALL 0xffffffffu

static void ad_recover_fire(struct shim_timer *t);

/* ---------------------------------------------------------------- at a LUN */

bool ad_recover_home_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock) && cmd->cmd_state == AD_CMD_PENDING);
    cmd->cmd_state = AD_CMD_DONE;
    if (cmd->cmd_flags & AD_CMD_WANT_ABORT) {
        cmd->cmd_flags &= (uint16_t)~AD_CMD_WANT_ABORT;
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

/* The i-th LUN with its lock, if it is started and the round is about it; else NULL. */
static struct ad_lun *ad_scope_lock(struct ad_adapter *adp, unsigned i)
{
    struct ad_lun *lun = ad_lun_at(adp, i);

    if (lun == NULL || !(adp->adp_rec.rec_scope[lun->lun_id] & (1u << lun->lun_lun)))
        return NULL;
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state != AD_LUN_STOPPED)
        return lun;
    shim_lock_exit(&lun->lun_lock);
    return NULL;
}

/* ---------------------------------------------------------------- the timer */

/* Arm for rec_want_ns. False: not to be had. Locks: adp_lock. */
static bool ad_timer_arm_locked(struct ad_recovery *rec)
{
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
static void ad_recover_at(struct ad_adapter *adp, uint64_t when_ns)
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
static void ad_recover_wait(struct ad_adapter *adp, uint64_t now)
{
    uint64_t when = adp->adp_rec.rec_until_ns;

    if (adp->adp_polled && adp->adp_rec.rec_round == AD_ROUND_STAGE && now + AD_POLL_NS < when)
        when = now + AD_POLL_NS;
    ad_recover_at(adp, when);
}

/* ---------------------------------------------------------------- scope */

/*
 * Gate what is in the scope, let go what is no longer: it goes to the adapter's list, to be looked at. A LUN
 * that starts meanwhile either sees the new scope or is seen here.
 */
static void ad_scope_set(struct ad_adapter *adp, const uint32_t scope[SC_IDS_MAX])
{
    shim_lock_enter(&adp->adp_lock);
    memcpy(adp->adp_rec.rec_scope, scope, sizeof(adp->adp_rec.rec_scope));
    shim_lock_exit(&adp->adp_lock);
    shim_sched_point();
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        if (lun->lun_state == AD_LUN_STOPPED) {
            lun->lun_gate = 0;
        } else if (scope[lun->lun_id] & (1u << lun->lun_lun)) {
            ad_gate_set_locked(lun, AD_GATE_RESET);
        } else if (lun->lun_gate & AD_GATE_RESET) {
            lun->lun_gate &= ~AD_GATE_RESET;
            shim_lock_enter(&adp->adp_lock);
            ad_run_append_locked(adp, lun);
            shim_lock_exit(&adp->adp_lock);
        }
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Is anything of the scope on its way to the chip? */
static bool ad_scope_starting(struct ad_adapter *adp)
{
    bool starting = false;

    for (unsigned i = 0; i < ad_lun_count(adp) && !starting; i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        starting = lun->lun_starting != 0;
        shim_lock_exit(&lun->lun_lock);
    }
    return starting;
}

/* The ids from which something is missing that should be back. */
static uint32_t ad_scope_missing(struct ad_adapter *adp)
{
    uint32_t missing = 0;

    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        if (lun->lun_overdue + lun->lun_hit != 0)
            missing |= 1u << lun->lun_id;
        shim_lock_exit(&lun->lun_lock);
    }
    return missing;
}

/* Is anything overdue? */
static bool ad_scope_overdue(struct ad_adapter *adp)
{
    bool overdue = false;

    for (unsigned i = 0; i < ad_lun_count(adp) && !overdue; i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        overdue = lun->lun_overdue != 0;
        shim_lock_exit(&lun->lun_lock);
    }
    return overdue;
}

/* The chip is about to be asked: it has to bring back whatever it has now. */
static void ad_scope_mark(struct ad_adapter *adp)
{
    static const char *const names[] = {"", "LUN reset", "target reset", "bus reset", "adapter reset"};
    const uint8_t rung = adp->adp_rec.rec_rung;

    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        for (uint32_t k = 0; k <= lun->lun_openings && lun->lun_active != 0; k++) {
            struct ad_cmd *cmd = &lun->lun_cmds[k];

            if (cmd->cmd_state != AD_CMD_PENDING)
                continue;
            SHIM_ASSERT(!(cmd->cmd_flags & AD_CMD_HIT));
            cmd->cmd_flags |= AD_CMD_HIT;
            lun->lun_hit++;
        }
        if (lun->lun_overdue != 0)
            ad_flight_rung_locked(lun, names[rung]);
        shim_lock_exit(&lun->lun_lock);
    }
}

/* The stage is over: what has not come back is overdue, and this rung has been tried for it. */
static void ad_scope_unmark(struct ad_adapter *adp)
{
    const uint8_t rung = adp->adp_rec.rec_lost ? AD_RUNG_LOST : adp->adp_rec.rec_rung;

    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        for (uint32_t k = 0; k <= lun->lun_openings && lun->lun_hit != 0; k++) {
            struct ad_cmd *cmd = &lun->lun_cmds[k];

            if (!(cmd->cmd_flags & AD_CMD_HIT))
                continue;
            cmd->cmd_flags &= (uint16_t)~AD_CMD_HIT;
            lun->lun_hit--;
            if (cmd->cmd_stage != AD_STAGE_OVERDUE)
                ad_recover_overdue_locked(lun, cmd);
        }
        if (lun->lun_overdue != 0 && lun->lun_rung < rung)
            lun->lun_rung = rung;
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Every LUN's word why it is out of service: those bits away, these to it. */
static void ad_offline_set(struct ad_adapter *adp, uint8_t away, uint8_t to, uint32_t ids)
{
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL || !(ids & (1u << lun->lun_id)))
            continue;
        shim_lock_enter(&lun->lun_lock);
        /* Out of service it goes in a round only, which has gated it, and so closed its lane. */
        SHIM_ASSERT(to == 0 || !(atomic_load_explicit(&lun->lun_lane, memory_order_relaxed) & AD_LANE_OPEN));
        lun->lun_offline = (uint8_t)((lun->lun_offline & ~away) | to);
        shim_lock_exit(&lun->lun_lock);
    }
}

/* ---------------------------------------------------------------- resets whose end is to be told */

static uint32_t *ad_wait_word(struct ad_recovery *rec, enum ad_hw_reset which, unsigned id, unsigned lun,
                              uint32_t *bit)
{
    *bit = 1u << (which == AD_RESET_LUN ? lun : which == AD_RESET_TARGET ? id : (unsigned)which);
    return which == AD_RESET_LUN      ? &rec->rec_wait[id]
           : which == AD_RESET_TARGET ? &rec->rec_wait_ids
                                      : &rec->rec_wait_all;
}

/* It has ended, or failed. False: nobody waits for it. Locks: adp_lock. */
static bool ad_wait_end_locked(struct ad_recovery *rec, enum ad_hw_reset which, unsigned id, unsigned lun,
                               int error)
{
    uint32_t bit;
    uint32_t *word = ad_wait_word(rec, which, id, lun, &bit);

    if (!(*word & bit))
        return false;
    *word &= ~bit;
    if (error == 0) {
        rec->rec_reset = true;
        return true;
    }
    if (rec->rec_error == 0)
        rec->rec_error = error;
    if (which != AD_RESET_LUN) /* which is nobody's SCIORESET */
        rec->rec_failed_ids |= which == AD_RESET_TARGET ? bit : AD_ALL;
    return true;
}

static bool ad_waits(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;
    uint32_t any;

    shim_lock_enter(&adp->adp_lock);
    any = rec->rec_wait_ids | rec->rec_wait_all;
    for (unsigned id = 0; id < SC_IDS_MAX; id++)
        any |= rec->rec_wait[id];
    shim_lock_exit(&adp->adp_lock);
    return any != 0;
}

void ad_hw_reset_done(struct ad_adapter *ad, enum ad_hw_reset which, unsigned id, unsigned lun, int error)
{
    bool mine;

    if ((unsigned)which > AD_RESET_ADAPTER || id >= SC_IDS_MAX || lun >= SC_LUNS_MAX)
        return;
    shim_lock_enter(&ad->adp_lock);
    mine = ad_wait_end_locked(&ad->adp_rec, which, id, lun, error);
    shim_lock_exit(&ad->adp_lock);
    if (!mine)
        return;
    ad_recover(ad);
    ad_serve(ad);
}

static int ad_reset_do(struct ad_adapter *adp, enum ad_hw_reset which, unsigned id, unsigned lun)
{
    const struct ad_hw_ops *ops = adp->adp_ops;

    switch (which) {
    case AD_RESET_LUN:
        return ops->reset_lun(adp->adp_hw, id, lun);
    case AD_RESET_TARGET:
        return ops->reset_target(adp->adp_hw, id);
    case AD_RESET_BUS:
        return ops->reset_bus(adp->adp_hw);
    default:
        return ops->reset_adapter(adp->adp_hw);
    }
}

/* Ask the chip for one reset. No lock held; it may call back from here. */
static void ad_reset_call(struct ad_adapter *adp, enum ad_hw_reset which, unsigned id, unsigned lun)
{
    static const char *const names[] = {"LUN", "target", "bus", "adapter"};
    struct ad_recovery *rec = &adp->adp_rec;
    char text[ERR_TEXT_MAX];
    uint32_t bit;
    uint32_t *word = ad_wait_word(rec, which, id, lun, &bit);
    int said;

    shim_lock_enter(&adp->adp_lock);
    adp->adp_resets++;
    *word |= bit;
    shim_lock_exit(&adp->adp_lock);
    if (rec->rec_asking == NULL) {
        (void)kern_format(text, sizeof(text), "a command did not come back: %s reset (id %u lun %u)",
                          names[which], id, lun);
        ad_log(adp, ERRID_SCSI_ERR1, true, text);
    }
    TRCHKL2T(HKWD_AD_RESET, TRC_LUN(adp->adp_devno, id, lun), which);
    shim_sched_point();
    said = ad_reset_do(adp, which, id, lun);
    shim_sched_point();
    if (said == AD_HW_RESETTING)
        return;
    rec->rec_blind = rec->rec_blind || said == 0;
    shim_lock_enter(&adp->adp_lock);
    (void)ad_wait_end_locked(rec, which, id, lun, said);
    shim_lock_exit(&adp->adp_lock);
}

/* ---------------------------------------------------------------- a round begins */

/* What comes after this rung. */
static enum ad_rung ad_rung_next(const struct ad_adapter *adp, enum ad_rung rung)
{
    const struct ad_hw_ops *ops = adp->adp_ops;

    if (rung < AD_RUNG_LUN && ops->reset_lun != NULL)
        return AD_RUNG_LUN;
    if (rung < AD_RUNG_TARGET)
        return AD_RUNG_TARGET;
    if (rung < AD_RUNG_BUS)
        return AD_RUNG_BUS;
    return rung < AD_RUNG_ADAPTER && (ops->reset_adapter != NULL || ops->isolate != NULL) ? AD_RUNG_ADAPTER
                                                                                          : AD_RUNG_LOST;
}

/* What this LUN wants now; AD_RUNG_NONE nothing. What has to wait says in *when until when. Locks: lun_lock.
 */
static enum ad_rung ad_lun_wants_locked(struct ad_lun *lun, uint64_t now, uint64_t *when)
{
    if (lun->lun_state == AD_LUN_STOPPED || lun->lun_overdue == 0)
        return AD_RUNG_NONE;
    if (lun->lun_again_ns > now) {
        *when = lun->lun_again_ns < *when ? lun->lun_again_ns : *when;
        return AD_RUNG_NONE;
    }
    return ad_rung_next(lun->lun_adp, (enum ad_rung)lun->lun_rung);
}

/* Nothing brings it back, and nothing is left to try but what has been tried. */
static void ad_lost_tell(struct ad_adapter *adp)
{
    ad_log(
        adp, ERRID_SCSI_ERR2, false,
        "a command did not come back from any reset, and the adapter can neither be reset nor cut off: its "
        "memory is kept");
    ad_event_deliver(adp, SC_FATAL_HDW_ERR);
}

/* Collect what all LUNs want, and who asked. The strongest rung is returned, AD_RUNG_NONE nothing. */
static enum ad_rung ad_round_collect(struct ad_adapter *adp, uint64_t now, uint64_t *when)
{
    struct ad_recovery *rec = &adp->adp_rec;
    enum ad_rung top = AD_RUNG_NONE;
    bool first = false;

    memset(rec->rec_luns, 0, sizeof(rec->rec_luns));
    rec->rec_ids = 0;
    rec->rec_lost = false;
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);
        enum ad_rung want;

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        want = ad_lun_wants_locked(lun, now, when);
        if (want == AD_RUNG_LOST) {
            first = first || lun->lun_again_ns == 0;
            lun->lun_again_ns = now + AD_LOST_NS;
        }
        shim_lock_exit(&lun->lun_lock);
        if (want == AD_RUNG_LUN)
            rec->rec_luns[lun->lun_id] |= 1u << lun->lun_lun;
        else if (want == AD_RUNG_TARGET)
            rec->rec_ids |= 1u << lun->lun_id;
        rec->rec_lost = rec->rec_lost || want == AD_RUNG_LOST;
        want = want == AD_RUNG_LOST ? AD_RUNG_BUS : want;
        top = want > top ? want : top;
    }
    shim_lock_enter(&adp->adp_lock);
    rec->rec_asking = rec->rec_asks;
    rec->rec_asks = NULL;
    rec->rec_error = 0;
    rec->rec_failed_ids = 0;
    shim_lock_exit(&adp->adp_lock);
    for (const struct ad_ask *ask = rec->rec_asking; ask != NULL; ask = ask->ask_next) {
        const enum ad_rung want = rec->rec_offline ? AD_RUNG_ADAPTER : AD_RUNG_TARGET;

        rec->rec_ids |= 1u << ask->ask_id;
        top = want > top ? want : top;
    }
    if (first)
        ad_lost_tell(adp);
    return top;
}

/* Begin a round, or let everything go. True when there is more to do at once. */
static bool ad_round_begin(struct ad_adapter *adp, uint64_t now)
{
    struct ad_recovery *rec = &adp->adp_rec;
    uint32_t scope[SC_IDS_MAX];
    uint64_t when = UINT64_MAX;
    const enum ad_rung top = ad_round_collect(adp, now, &when);

    rec->rec_rung = (uint8_t)top;
    rec->rec_blind = rec->rec_reset = false;
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        if (rec->rec_ids & (1u << id))
            rec->rec_luns[id] = 0;
        scope[id] = top >= AD_RUNG_BUS || rec->rec_ids & (1u << id) ? AD_ALL : rec->rec_luns[id];
    }
    ad_scope_set(adp, scope);
    if (top == AD_RUNG_NONE) {
        ad_recover_at(adp, when);
        return false;
    }
    rec->rec_round = AD_ROUND_DRAIN;
    rec->rec_until_ns = now + AD_STAGE_NS;
    return true;
}

/* ---------------------------------------------------------------- the chip is asked */

static void ad_round_ask(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;

    if (rec->rec_rung == AD_RUNG_ADAPTER) {
        if (adp->adp_ops->reset_adapter != NULL)
            ad_reset_call(adp, AD_RESET_ADAPTER, 0, 0);
        else
            rec->rec_error = ENXIO;
        return;
    }
    if (rec->rec_rung == AD_RUNG_BUS) {
        ad_reset_call(adp, AD_RESET_BUS, 0, 0);
        return;
    }
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        if (rec->rec_ids & (1u << id))
            ad_reset_call(adp, AD_RESET_TARGET, id, 0);
        for (unsigned lun = 0; lun < SC_LUNS_MAX; lun++)
            if (rec->rec_luns[id] & (1u << lun))
                ad_reset_call(adp, AD_RESET_LUN, id, lun);
    }
}

/* The scope is gated: once it is quiet, the chip is asked. True when there is more to do at once. */
static bool ad_round_drain(struct ad_adapter *adp, uint64_t now)
{
    struct ad_recovery *rec = &adp->adp_rec;

    const bool starting = ad_scope_starting(adp);

    if (starting && now < rec->rec_until_ns) {
        ad_recover_wait(adp, now);
        return false;
    }
    if (rec->rec_asking == NULL && !ad_scope_overdue(adp)) {
        rec->rec_round = AD_ROUND_SETTLE; /* everything has come back since */
        rec->rec_until_ns = now;
        return true;
    }
    rec->rec_round = AD_ROUND_STAGE;
    rec->rec_until_ns = now + (rec->rec_rung == AD_RUNG_ADAPTER ? AD_ADAPTER_NS : AD_STAGE_NS);
    ad_scope_mark(adp);
    if (rec->rec_rung == AD_RUNG_ADAPTER && starting)
        rec->rec_error = EBUSY; /* nobody could say what the chip has let go of */
    else
        ad_round_ask(adp);
    return true;
}

/* ---------------------------------------------------------------- the chip has let go of everything */

/* Take back what this LUN has at the chip, which has not handed it back and will not. */
static void ad_take_back_lun(struct ad_lun *lun, bool offline)
{
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state == AD_LUN_STOPPED) {
        shim_lock_exit(&lun->lun_lock);
        return;
    }
    ad_enter_locked(lun);
    if (offline && lun->lun_overdue != 0) {
        lun->lun_offline |= AD_OFF_LUN;
        ad_flight_rung_locked(lun, "out of service");
    }
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state != AD_CMD_PENDING)
            continue;
        cmd->cmd_flags |= AD_CMD_TAKEN;
        cmd->cmd_xfer.xfer_result = AD_RES_BUS_RESET;
        cmd->cmd_xfer.xfer_scsi_status = SC_GOOD_STATUS;
        cmd->cmd_xfer.xfer_resid = cmd->cmd_xfer.xfer_bytes;
        if (!ad_recover_home_locked(lun, cmd))
            continue; /* whoever is inside abort() completes it */
        shim_lock_exit(&lun->lun_lock);
        ad_complete_lock(cmd);
    }
    ad_work_unlock(lun);
}

static void ad_take_back(struct ad_adapter *adp, bool offline)
{
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun != NULL)
            ad_take_back_lun(lun, offline);
    }
}

static void ad_offline_note(struct ad_adapter *adp, bool offline)
{
    shim_lock_enter(&adp->adp_lock);
    adp->adp_rec.rec_offline = offline;
    shim_lock_exit(&adp->adp_lock);
    if (offline)
        ad_offline_set(adp, 0, AD_OFF_ADAPTER, AD_ALL);
    else
        ad_offline_set(adp, AD_OFF_ADAPTER, 0, AD_ALL);
}

/* The adapter reset has ended well. */
static void ad_adapter_anew(struct ad_adapter *adp)
{
    const bool overdue = ad_scope_overdue(adp);

    ad_take_back(adp, true);
    if (adp->adp_rec.rec_offline)
        ad_offline_note(adp, false);
    if (overdue)
        ad_log(adp, ERRID_SCSI_ERR1, false,
               "the adapter was reset for a command that no other reset brought back: its LUN is out of "
               "service");
}

/* The adapter reset has failed, or there is none. */
static void ad_adapter_off(struct ad_adapter *adp)
{
    if (adp->adp_ops->isolate == NULL)
        return; /* what is missing is lost */
    shim_sched_point();
    adp->adp_ops->isolate(adp->adp_hw);
    shim_sched_point();
    if (!adp->adp_rec.rec_offline) {
        ad_offline_note(adp, true);
        ad_log(adp, ERRID_SCSI_ERR2, false,
               "the adapter cannot be reset: it is cut off from memory and out of service");
        ad_event_deliver(adp, SC_FATAL_HDW_ERR);
    }
    ad_take_back(adp, false);
}

/* ---------------------------------------------------------------- the stage and what follows */

/* True when there is more to do at once. */
static bool ad_round_stage(struct ad_adapter *adp, uint64_t now)
{
    struct ad_recovery *rec = &adp->adp_rec;
    const bool adapter = rec->rec_rung == AD_RUNG_ADAPTER;
    const bool waits = ad_waits(adp);
    const uint32_t missing = adapter ? 0 : ad_scope_missing(adp);
    bool failed;

    if (now < rec->rec_until_ns && (waits || (missing != 0 && rec->rec_blind))) {
        ad_recover_wait(adp, now);
        return false;
    }
    shim_lock_enter(&adp->adp_lock);
    failed = waits || rec->rec_error != 0;
    rec->rec_failed_ids |= missing | rec->rec_wait_ids;
    if (rec->rec_wait_all != 0 || (adapter && failed))
        rec->rec_failed_ids = AD_ALL;
    memset(rec->rec_wait, 0, sizeof(rec->rec_wait));
    rec->rec_wait_ids = rec->rec_wait_all = 0;
    shim_lock_exit(&adp->adp_lock);
    if (adapter && !failed)
        ad_adapter_anew(adp);
    else if (adapter)
        ad_adapter_off(adp);
    ad_scope_unmark(adp);
    rec->rec_round = AD_ROUND_SETTLE;
    rec->rec_until_ns = rec->rec_reset ? now + adp->adp_settle_ns : now;
    return true;
}

/* The devices have come to. True when there is more to do at once. */
static bool ad_round_settle(struct ad_adapter *adp, uint64_t now)
{
    struct ad_recovery *rec = &adp->adp_rec;
    struct ad_ask *ask;

    if (now < rec->rec_until_ns) {
        ad_recover_wait(adp, now);
        return false;
    }
    if (rec->rec_asking != NULL && (rec->rec_ids & ~rec->rec_failed_ids) != 0)
        ad_offline_set(adp, AD_OFF_LUN, 0, rec->rec_ids & ~rec->rec_failed_ids);
    rec->rec_round = AD_ROUND_NONE;
    shim_lock_enter(&adp->adp_lock);
    while ((ask = rec->rec_asking) != NULL) {
        rec->rec_asking = ask->ask_next;
        ask->ask_error = rec->rec_failed_ids & (1u << ask->ask_id) ? EIO : 0;
        ask->ask_done = true; /* it is his again */
    }
    shim_wake(&rec->rec_event);
    shim_lock_exit(&adp->adp_lock);
    return true;
}

/* One step of the machine; true when there is more to do at once. No lock held, one thread at a time. */
static bool ad_recover_step(struct ad_adapter *adp)
{
    const uint64_t now = shim_now_ns();

    switch ((enum ad_round)adp->adp_rec.rec_round) {
    case AD_ROUND_DRAIN:
        return ad_round_drain(adp, now);
    case AD_ROUND_STAGE:
        return ad_round_stage(adp, now);
    case AD_ROUND_SETTLE:
        return ad_round_settle(adp, now);
    default:
        return ad_round_begin(adp, now);
    }
}

void ad_recover(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;

    shim_lock_enter(&adp->adp_lock);
    rec->rec_again = true;
    if (rec->rec_running || rec->rec_gone) {
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
    return ask.ask_error;
}

void ad_recover_quiesce(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;
    bool running;

    do {
        shim_lock_enter(&adp->adp_lock);
        rec->rec_gone = true;
        running = rec->rec_running;
        shim_lock_exit(&adp->adp_lock);
        if (shim_timer_cancel(&rec->rec_timer) == SHIM_CANCEL_RUNNING)
            running = true;
        if (running)
            shim_delay_ns(AD_NS_PER_MS / 10);
    } while (running);
}
