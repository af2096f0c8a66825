/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_grow.c - what changes about an adapter while it is there: it may hold more commands, a LUN may have
 * less or more openings, a target speaks faster or slower.
 *
 * *More room* (NB-06). A chip with grow() may be asked for room for more commands. That is done at
 * SCIOSTART, when the LUNs that are started want more credits than there are: a process asks, which may
 * sleep, and it is known then how many are wanted; later nobody is there who may sleep. While the chip is
 * asked all LUNs of the adapter are frozen (AD_FRZ_GROW) and nothing is on its way to it; they are thawed
 * afterwards whatever it has said. One LUN starts at a time, from here until its queue runs, and who comes
 * second waits: else a LUN that has passed here would start its first command while the chip is asked for the
 * next one, and who asks next would freeze what the last one has yet to thaw. Rejected: growing when a
 * credit is missing. A request that finds none waits for one in use, and would gain nothing by waiting for
 * the chip instead.
 *
 * *Openings* (NB-19). A chip may say that a LUN, or all of a target, or all, can have so many commands at
 * the device, in the middle of everything. Less takes effect with the next command that might start; more
 * only as far as SCIOSTART has taken memory for (its openings). Said for a target or for all it is
 * remembered for LUNs that are started later; SCIOSTART of the same LUN does not forget it either.
 *
 * Does not contain: QUEUE FULL, which is the device's word and wears off (ad_limit.c).
 */
#include "ad_impl.h"

/* ---------------------------------------------------------------- more room */

/* All LUNs: nothing is started any more; or it may be again. */
static void ad_grow_freeze(struct ad_adapter *adp, bool freeze)
{
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        if (freeze && lun->lun_state != AD_LUN_STOPPED) {
            SHIM_ASSERT(!lun->lun_growing); /* one asks at a time */
            ad_freeze_gate_locked(lun, AD_FRZ_GROW);
            lun->lun_growing = true;
        } else if (!freeze && lun->lun_growing) {
            lun->lun_growing = false;
            ad_thaw_gate_locked(lun, AD_FRZ_GROW);
            shim_lock_enter(&adp->adp_lock);
            ad_run_append_locked(adp, lun);
            shim_lock_exit(&adp->adp_lock);
        }
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Wait until nothing is on its way to the chip; not for ever: a start() may be stuck in a medium. */
static void ad_grow_drain(struct ad_adapter *adp)
{
    const uint64_t until = shim_now_ns() + AD_STAGE_NS;
    event_t never = EVENT_NULL;

    for (unsigned i = 0; i < ad_lun_count(adp) && shim_now_ns() < until;) {
        struct ad_lun *lun = ad_lun_at(adp, i);
        uint32_t starting = 0;

        if (lun != NULL) {
            shim_lock_enter(&lun->lun_lock);
            starting = lun->lun_starting;
            shim_lock_exit(&lun->lun_lock);
        }
        if (starting == 0)
            i++;
        else
            (void)e_timedsleep(&never, NULL, AD_NS_PER_MS);
    }
}

/*
 * SCIOSTART begins, on an adapter whose chip may grow: one at a time. Context: process. Locks: none. False:
 * nobody grows here, or somebody has been at it for so long that this one goes without.
 */
bool ad_grow_begin(struct ad_adapter *adp)
{
    const uint64_t until = shim_now_ns() + AD_FREEZE_NS;
    event_t never = EVENT_NULL;
    bool mine;

    if (adp->adp_ops->grow == NULL)
        return false;
    shim_lock_enter(&adp->adp_lock);
    while (adp->adp_growing && shim_now_ns() < until)
        (void)e_timedsleep(&never, &adp->adp_lock, AD_NS_PER_MS);
    mine = !adp->adp_growing;
    adp->adp_growing = true;
    shim_lock_exit(&adp->adp_lock);
    return mine;
}

/* It has started its LUN, or has not: the next one. After ad_grow_begin() has said true. */
void ad_grow_end(struct ad_adapter *adp)
{
    shim_lock_enter(&adp->adp_lock);
    adp->adp_growing = false;
    shim_lock_exit(&adp->adp_lock);
}

/*
 * A LUN that is about to start wants that many credits: ask the chip if there are fewer than all want
 * together. Context: process, between ad_grow_begin() and ad_grow_end(). Locks: none. (NB-06)
 */
void ad_grow(struct ad_adapter *adp, uint32_t want)
{
    uint32_t all = want, now;
    bool ask;

    SHIM_ASSERT(want != 0 && adp->adp_ops->grow != NULL);
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        all += lun->lun_state == AD_LUN_STOPPED ? 0 : lun->lun_openings + 1u;
        shim_lock_exit(&lun->lun_lock);
    }
    shim_lock_enter(&adp->adp_lock);
    if (all > adp->adp_credits_most)
        all = adp->adp_credits_most;
    ask = all > adp->adp_credits;
    shim_lock_exit(&adp->adp_lock);
    if (!ask)
        return;
    ad_grow_freeze(adp, true);
    ad_grow_drain(adp);
    now = adp->adp_ops->grow(adp->adp_hw, all);
    if (now > all)
        now = all;
    shim_lock_enter(&adp->adp_lock);
    while (adp->adp_credits < now) {
        adp->adp_credits++;
        ad_credit_give_locked(adp);
    }
    SHIM_ASSERT(adp->adp_growing && adp->adp_credits <= adp->adp_credits_most);
    shim_lock_exit(&adp->adp_lock);
    ad_grow_freeze(adp, false);
    ad_serve(adp);
}

/* ---------------------------------------------------------------- openings, speed */

/* What the chip has said for this LUN; 0 nothing. */
static uint32_t ad_openings_said(const struct ad_lun *lun)
{
    const uint32_t id =
        atomic_load_explicit(&lun->lun_adp->adp_targets[lun->lun_id].tg_openings, memory_order_relaxed);

    return lun->lun_openings_said != 0 ? lun->lun_openings_said : id;
}

/* SCIOSTART, or the chip has said something new. Locks: lun_lock. */
void ad_openings_set_locked(struct ad_lun *lun)
{
    struct ad_limit *lm = &lun->lun_limit;
    const uint32_t said = ad_openings_said(lun);
    const uint32_t top = said != 0 && said < lun->lun_openings ? said : lun->lun_openings;
    const bool at_top = lm->lm_now == lm->lm_top;

    if (top == lm->lm_top)
        return;
    ad_lane_close_locked(lun);
    ad_flight_limit_locked(lun, "the chip says", lm->lm_top, top);
    lm->lm_top = top;
    if (at_top || lm->lm_now > top)
        lm->lm_now = top;
    SHIM_ASSERT(lm->lm_now != 0 && lm->lm_now <= lm->lm_top && lm->lm_top <= lun->lun_openings);
}

/* See scpair/ad_hw.h. (NB-19) */
void ad_hw_openings(struct ad_adapter *ad, unsigned id, unsigned lun_no, unsigned openings)
{
    for (unsigned i = 0; i < SC_IDS_MAX && lun_no == AD_HW_ALL; i++)
        if (i == id || id == AD_HW_ALL)
            atomic_store_explicit(&ad->adp_targets[i].tg_openings, openings, memory_order_relaxed);
    for (unsigned i = 0; i < ad_lun_count(ad); i++) {
        struct ad_lun *lun = ad_lun_at(ad, i);

        if (lun == NULL || (id != AD_HW_ALL && lun->lun_id != id) ||
            (lun_no != AD_HW_ALL && lun->lun_lun != lun_no))
            continue;
        shim_lock_enter(&lun->lun_lock);
        lun->lun_openings_said = lun_no == AD_HW_ALL ? 0 : openings;
        if (lun->lun_state != AD_LUN_STOPPED) {
            ad_openings_set_locked(lun);
            shim_lock_enter(&ad->adp_lock);
            ad_run_append_locked(ad, lun);
            shim_lock_exit(&ad->adp_lock);
        }
        shim_lock_exit(&lun->lun_lock);
    }
    ad_serve(ad);
}

/* See scpair/ad_hw.h. (NB-19) */
void ad_hw_mode(struct ad_adapter *ad, unsigned id, uint32_t kb_per_s, uint32_t flags)
{
    if (id >= SC_IDS_MAX)
        return;
    atomic_store_explicit(&ad->adp_targets[id].tg_kb_per_s, kb_per_s, memory_order_relaxed);
    atomic_store_explicit(&ad->adp_targets[id].tg_mode, flags, memory_order_relaxed);
    shim_log(SHIM_LOG_VERBOSE, "%s: target %u: %u KB/s%s%s%s", ad->adp_name, id, (unsigned)kb_per_s,
             flags & AD_MODE_SYNC ? ", synchronous" : "", flags & AD_MODE_WIDE ? ", wide" : "",
             flags & AD_MODE_DT ? ", DT" : "");
}

/* ---------------------------------------------------------------- on and off */

/* The first open, or the last close. Context: process. Locks: adp_open_lock. 0 or the chip's errno. (NB-22)
 */
int ad_power_locked(struct ad_adapter *adp, bool on)
{
    int error = 0;

    SHIM_ASSERT(shim_lock_is_held(&adp->adp_open_lock));
    SHIM_ASSERT(adp->adp_opens == 0); /* nobody yet, or nobody any more */
    if (adp->adp_ops->enable == NULL || adp->adp_enabled == on)
        return 0;
    for (unsigned i = 0; i < ad_lun_count(adp) && !on; i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);
        bool stopped = true;

        if (lun != NULL) {
            shim_lock_enter(&lun->lun_lock);
            stopped = lun->lun_state == AD_LUN_STOPPED;
            shim_lock_exit(&lun->lun_lock);
        }
        if (!stopped)
            return 0; /* the chip has a command that nobody could take back; the detach asks again */
    }
    if (on)
        error = adp->adp_ops->enable(adp->adp_hw);
    else
        adp->adp_ops->disable(adp->adp_hw);
    if (error == 0)
        adp->adp_enabled = on;
    return error;
}
