/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_round.c - one round of the recovery: what it collects, what the chip is asked for, when each part of it
 * is over. ad_recover_step() is the machine.
 *
 * Does not contain: who calls it (ad_recover.c), what is done to the LUNs of its scope (ad_scope.c).
 */
#include "ad_recover.h"

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
    SHIM_ASSERT(rec->rec_asking == NULL);
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
    rec->rec_blind = rec->rec_reset = rec->rec_unasked = false;
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
    SHIM_ASSERT(top < AD_RUNG_LOST && !ad_waits(adp));
    rec->rec_round = AD_ROUND_DRAIN;
    rec->rec_until_ns = now + AD_STAGE_NS;
    return true;
}

/* ---------------------------------------------------------------- the chip is asked */

static void ad_round_ask(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;

    SHIM_ASSERT(rec->rec_round == AD_ROUND_STAGE && rec->rec_rung != AD_RUNG_NONE);
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
    rec->rec_unasked = rec->rec_rung == AD_RUNG_ADAPTER && starting;
    if (rec->rec_unasked)
        rec->rec_error = EBUSY; /* nobody could say what the chip has let go of */
    else
        ad_round_ask(adp);
    return true;
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
    ad_scope_unmark(adp, now);
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
    SHIM_ASSERT(rec->rec_wait_ids == 0 && rec->rec_wait_all == 0);
    while ((ask = rec->rec_asking) != NULL) {
        SHIM_ASSERT(!ask->ask_done);
        rec->rec_asking = ask->ask_next;
        ask->ask_error = rec->rec_failed_ids & (1u << ask->ask_id) ? EIO : 0;
        ask->ask_done = true; /* it is his again */
    }
    shim_lock_exit(&adp->adp_lock);
    shim_wake(&rec->rec_event); /* the adapter stays: a detach waits for the runner */
    return true;
}

/* One step of the machine; true when there is more to do at once. No lock held, one thread at a time. */
bool ad_recover_step(struct ad_adapter *adp)
{
    const uint64_t now = shim_now_ns();

    SHIM_ASSERT(adp->adp_rec.rec_running); /* by the caller */
    switch ((enum ad_round)adp->adp_rec.rec_round) {
    case AD_ROUND_DRAIN:
        return ad_round_drain(adp, now);
    case AD_ROUND_STAGE:
        return ad_round_stage(adp, now);
    case AD_ROUND_SETTLE:
        return ad_round_settle(adp, now);
    default:
        SHIM_ASSERT(adp->adp_rec.rec_round == AD_ROUND_NONE);
        return ad_round_begin(adp, now);
    }
}
