/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_push.c - who is inside a LUN, in which order its responses leave, and which LUN is looked at next.
 *
 * ---- References
 *
 * A thread that works on a LUN is counted in lun_users from the lock hold in which it finds the LUN
 * started to the one in which it finds nothing to do; after that it touches neither the LUN nor the
 * adapter. SCIOSTOP gives nothing back while anybody is counted. The lane's threads are not counted:
 * they are done with the LUN before they call iodone, and note that in their own records (shim_turn_begin()),
 * so that SCIOSTOP and SCIOHALT can wait until it has returned.
 *
 * ---- Responses
 *
 * A finished request is put at the end of lun_resp under the lock hold that finished it. One thread
 * at a time pushes (lun_pushing): it takes the whole list, drops the lock, calls iodone for each, and
 * looks again. Another thread that finishes a command meanwhile leaves its response there and goes on
 * with the queue. So responses leave in the order in which they were queued, whichever threads finished
 * them: an error before the ENXIO of those it took along (XEN-01 .. 08).
 *
 * A thread that is so deep in iodone routines that the next one would be put off (ad_is_deep()) must
 * not push: between its putting off and the call others could overtake. It hangs the LUN itself on its
 * list of calls put off (lun_push_buf), with a reference. Until its turn comes anybody else may push.
 *
 * Ioctls that sleep on lun_event are woken when lun_lock has been dropped (XEN-07). Who has a reference still
 * keeps the LUN; who gives up his, which may have been the last, holds the adapter until he has woken them.
 *
 * Which thread pushes: whoever finishes a request, unless it has failed, or the adapter has done threads:
 * then the LUN's thread does (ad_thread.c).
 *
 * Rejected: letting the finisher
 * wait for the pusher (iodone routines would wait for one another).
 *
 * ---- The next LUN
 *
 * A LUN that was given a credit, or for which there is room again, goes to the adapter's list, and
 * whoever put it there serves the list before he leaves. The list is the adapter's and not the thread's:
 * he may be inside somebody's iodone routine for long, and others who pass help themselves. Who serves
 * another LUN than his own holds the adapter (adp_runners), for which a detach waits.
 *
 * Does not contain: what a look finds to do (ad_queue.c), how a command ends (ad_done.c).
 */
#include "ad_impl.h"

/* ---------------------------------------------------------------- the next LUN */

/* Put a LUN on the list, unless it is there. Needs adp_lock. */
void ad_run_append_locked(struct ad_adapter *adp, struct ad_lun *lun)
{
    if (lun->lun_run_queued)
        return;
    lun->lun_run_queued = true;
    lun->lun_run_next = NULL;
    if (adp->adp_run_tail == NULL)
        atomic_store_explicit(&adp->adp_run_head, lun, memory_order_relaxed);
    else
        adp->adp_run_tail->lun_run_next = lun;
    adp->adp_run_tail = lun;
}

/* Take it off again: it is being stopped. Needs adp_lock. */
void ad_run_remove_locked(struct ad_adapter *adp, struct ad_lun *lun)
{
    struct ad_lun *at = atomic_load_explicit(&adp->adp_run_head, memory_order_relaxed);
    struct ad_lun *before = NULL;

    SHIM_ASSERT(shim_lock_is_held(&adp->adp_lock));
    if (!lun->lun_run_queued)
        return;
    for (; at != lun; at = at->lun_run_next)
        before = at;
    if (before == NULL)
        atomic_store_explicit(&adp->adp_run_head, lun->lun_run_next, memory_order_relaxed);
    else
        before->lun_run_next = lun->lun_run_next;
    if (adp->adp_run_tail == lun)
        adp->adp_run_tail = before;
    lun->lun_run_queued = false;
}

/* The next LUN that is owed a look, or NULL. The caller is a runner from then on, or no longer. */
static struct ad_lun *ad_run_take(struct ad_adapter *adp, bool *runner)
{
    struct ad_lun *lun;

    shim_lock_enter(&adp->adp_lock);
    lun = atomic_load_explicit(&adp->adp_run_head, memory_order_relaxed);
    if (lun != NULL)
        ad_run_remove_locked(adp, lun);
    adp->adp_runners += (lun != NULL) - (uint32_t)*runner;
    *runner = lun != NULL;
    shim_lock_exit(&adp->adp_lock);
    return lun;
}

/* ---------------------------------------------------------------- responses */

/* Would iodone() put the call off to the outermost one of this stack? */
static bool ad_is_deep(void) { return shim_self()->self_iodone_depth >= SHIM_IODONE_NEST; }

/* Another thread works on the LUN. Locks: lun_lock. */
void ad_enter_locked(struct ad_lun *lun)
{
    SHIM_ASSERT(lun->lun_state != AD_LUN_STOPPED);
    lun->lun_users++;
}

/* A request has ended and its status is filled in: it is given back after those before it. Locks: lun_lock.
 */
void ad_resp_locked(struct ad_lun *lun, struct sc_buf *sb)
{
    ad_list_append(&lun->lun_resp, sb);
    lun->lun_responses++;
    lun->lun_resp_seq++;
}

/*
 * May the caller push? Then the responses are his, and he must call ad_push() without the lock and
 * ad_push_end_locked() with it. Locks: lun_lock.
 */
bool ad_push_begin_locked(struct ad_lun *lun, struct ad_list *out)
{
    if (lun->lun_resp.l_head == NULL || lun->lun_pushing || SC_UNLIKELY(ad_is_deep()))
        return false;
    if (SC_UNLIKELY(lun->lun_donq_push)) {
        if (!ad_donq_is_me(lun->lun_donq))
            return false;
        lun->lun_donq_push = lun->lun_donq_all;
    }
    lun->lun_pushing = true;
    *out = lun->lun_resp;
    lun->lun_resp.l_head = NULL;
    lun->lun_in_hand = lun->lun_responses;
    lun->lun_responses = 0;
    return true;
}

/* Hand one to its owner. No lock held. */
static inline void ad_push_one(struct ad_adapter *adp, struct sc_buf *sb)
{
    if (SC_UNLIKELY(sb->resvd1 != NULL)) {
        if (sb->bufstruct.b_iodone == ad_event_told) { /* not a request */
            iodone(&sb->bufstruct);
            return;
        }
        ad_gather_release(adp, sb);
    }
    AD_TRACE_PUSH(sb);
    iodone(&sb->bufstruct);
}

/*
 * The same for a list of a chip that takes several at once: what comes from inside is started, and what the
 * owners do once for all of them is done, when all have been told. The plug is ours even if the thread has
 * one: that one ends after lun_pushing does, so others could overtake, and the thread may be polling because
 * it waits for these very requests (kern_poll.c).
 */
__attribute__((noinline)) static void ad_push_batch(struct ad_adapter *adp, struct ad_list *l)
{
    struct shim_self *self = shim_self();
    struct kern_plug *outer = self->self_plug;
    struct kern_plug plug;
    struct sc_buf *sb;

    self->self_plug = NULL;
    kern_plug_begin(&plug);
    while ((sb = ad_list_take(l)) != NULL) {
        if (l->l_head != NULL)
            sb->bufstruct.b_flags |= B_MORE_DONE;
        else
            sb->bufstruct.b_flags &= ~(uint32_t)B_MORE_DONE;
        ad_push_one(adp, sb);
    }
    kern_plug_end(&plug);
    self->self_plug = outer;
}

/*
 * Hand requests to their owners, oldest first. After iodone a request is not touched again. The one
 * place where a software gather's copy is given back, since every request that was taken in leaves
 * here (but for the lane, which no gather leaves by). No lock held.
 */
void ad_push(struct ad_adapter *adp, struct ad_list *l)
{
    struct sc_buf *sb;

    if (SC_UNLIKELY(adp->adp_batches)) {
        ad_push_batch(adp, l);
        return;
    }
    while ((sb = ad_list_take(l)) != NULL)
        ad_push_one(adp, sb);
}

/* They have them. Locks: lun_lock. */
void ad_push_end_locked(struct ad_lun *lun)
{
    SHIM_ASSERT(lun->lun_pushing);
    lun->lun_pushing = false;
    lun->lun_in_hand = 0;
    if (lun->lun_resp.l_head == NULL)
        lun->lun_gate &= ~AD_GATE_TELL;
    lun->lun_wake = lun->lun_sleepers != 0;
}

/* The outermost iodone of a thread has come to what ad_push_later_unlock() left there. */
static void ad_push_put_off(struct buf *bp)
{
    struct ad_lun *lun = SC_CONTAINER_OF(bp, struct ad_lun, lun_push_buf);

    shim_lock_enter(&lun->lun_lock);
    SHIM_ASSERT(lun->lun_push_listed && lun->lun_users > 0);
    lun->lun_push_listed = false;
    ad_work_unlock(lun);
}

/* Too deep to push: the outermost iodone does. Locks: enters with lun_lock, leaves without. */
static void ad_push_later_unlock(struct ad_lun *lun)
{
    SHIM_ASSERT(!lun->lun_push_listed && lun->lun_resp.l_head != NULL);
    lun->lun_push_listed = true;
    ad_enter_locked(lun);
    lun->lun_push_buf.b_iodone = ad_push_put_off;
    shim_lock_exit(&lun->lun_lock);
    iodone(&lun->lun_push_buf);
}

/* ---------------------------------------------------------------- one LUN until nothing can be done */

/* Hold the adapter, or (UINT32_MAX) let go of it: no detach ends meanwhile. Takes adp_lock. */
static void ad_hold(struct ad_adapter *adp, uint32_t more)
{
    shim_lock_enter(&adp->adp_lock);
    SHIM_ASSERT(more == 1u || adp->adp_runners > 0);
    adp->adp_runners += more;
    shim_lock_exit(&adp->adp_lock);
}

/*
 * Is there something that only the LUN's thread may do, and is this another one? Whoever pushes looks again.
 * Locks: lun_lock.
 */
static bool ad_is_away_locked(const struct ad_lun *lun)
{
    return (lun->lun_aborts != 0 ||
            (lun->lun_donq_push && lun->lun_resp.l_head != NULL && !lun->lun_pushing)) &&
           !ad_donq_is_me(lun->lun_donq);
}

/*
 * What has to be done for the LUN beside its responses and its queue, most of it after an error. Locks:
 * lun_lock; true when it was dropped and retaken.
 */
static bool ad_step_rare_locked(struct ad_lun *lun, bool away)
{
    if (lun->lun_wake) {
        lun->lun_wake = false;
        shim_lock_exit(&lun->lun_lock);
        shim_wake(&lun->lun_event);
        shim_lock_enter(&lun->lun_lock);
        return true;
    }
    if (away && !lun->lun_donq_listed && ad_donq_give_locked(lun)) {
        shim_lock_exit(&lun->lun_lock);
        shim_wake(&lun->lun_donq->dq_event);
        shim_lock_enter(&lun->lun_lock);
        return true;
    }
    return false;
}

/* Do one thing for this LUN. Locks: lun_lock; true when it was dropped and retaken, so that all may be
 * different. */
static bool ad_step_locked(struct ad_lun *lun)
{
    const bool away = SC_UNLIKELY(lun->lun_donq != NULL) && ad_is_away_locked(lun);
    struct ad_list out;
    struct ad_cmd *cmd;

    if (SC_UNLIKELY(away || lun->lun_wake) && ad_step_rare_locked(lun, away))
        return true;
    if (SC_UNLIKELY(lun->lun_timer_lost) && lun->lun_state != AD_LUN_STOPPED)
        ad_timer_rearm_locked(lun);
    if (ad_push_begin_locked(lun, &out)) {
        shim_lock_exit(&lun->lun_lock);
        ad_push(lun->lun_adp, &out);
        shim_lock_enter(&lun->lun_lock);
        ad_push_end_locked(lun);
        return true; /* look again: requests may have arrived meanwhile (XEN-08) */
    }
    if (SC_UNLIKELY(lun->lun_resp.l_head != NULL) && !lun->lun_pushing && !lun->lun_push_listed && !away) {
        ad_push_later_unlock(lun);
        shim_lock_enter(&lun->lun_lock);
        return true;
    }
    /* While the LUN stops its queue still runs, unless an error has emptied it. */
    if (SC_UNLIKELY(lun->lun_frozen != 0) && lun->lun_holds == 0 &&
        (lun->lun_state == AD_LUN_RUN || lun->lun_state == AD_LUN_STOPPING))
        ad_thaw_locked(lun);
    if (SC_UNLIKELY(lun->lun_recover)) {
        lun->lun_recover = false;
        shim_lock_exit(&lun->lun_lock);
        ad_recover(lun->lun_adp);
        shim_lock_enter(&lun->lun_lock);
        return true;
    }
    if (SC_UNLIKELY(lun->lun_aborts != 0) && !away) {
        ad_abort_one_locked(lun);
        return true;
    }
    cmd = ad_pick_locked(lun);
    if (cmd == NULL)
        return ad_flush_chip_locked(lun);
    if (SC_UNLIKELY(lun->lun_adp->adp_batches)) {
        ad_batch_locked(lun, cmd);
        return true;
    }
    shim_lock_exit(&lun->lun_lock);
    ad_exec_lock(cmd);
    return true;
}

/*
 * Work until neither this LUN nor any that waits on the adapter's list has anything that can be done.
 * Every step ends a command, starts one, takes one back or gives one to its owner, so it ends when the
 * requests do. Context: any. Locks: enters with lun_lock, leaves without. Owns: the caller's reference is
 * gone.
 */
void ad_work_unlock(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;
    bool runner = false;
    struct ad_lun *next;

    /* Each event is one more try for a timer that some LUN could not be had: this one's or another's. */
    if (SC_UNLIKELY(atomic_load_explicit(&adp->adp_timer_lost, memory_order_relaxed))) {
        shim_lock_exit(&lun->lun_lock);
        ad_timers_lost(adp);
        shim_lock_enter(&lun->lun_lock);
    }
    do {
        /* Who holds the adapter lets go of it last: this LUN may be stopped, and gone with the adapter. */
        const bool held = runner;
        bool wake;

        while (ad_step_locked(lun))
            ;
        next = NULL;
        if (SC_UNLIKELY(!held && atomic_load_explicit(&adp->adp_run_head, memory_order_relaxed) != NULL))
            next = ad_run_take(adp, &runner);
        SHIM_ASSERT(lun->lun_users > 0);
        lun->lun_users--;
        wake = SC_UNLIKELY(lun->lun_sleepers != 0);
        if (wake && !runner)
            ad_hold(adp, 1u);
        shim_lock_exit(&lun->lun_lock);
        if (wake) {
            shim_wake(&lun->lun_event);
            if (!held && !runner)
                ad_hold(adp, UINT32_MAX);
        }
        if (SC_UNLIKELY(held))
            next = ad_run_take(adp, &runner);
        lun = next;
        if (SC_UNLIKELY(lun != NULL)) {
            shim_lock_enter(&lun->lun_lock);
            lun->lun_users++; /* also of one that was stopped meanwhile: there is nothing to do then */
        }
    } while (SC_UNLIKELY(lun != NULL));
}

/* Serve the adapter's list. Context: any. Locks: none. The caller knows that the adapter stays. */
void ad_serve(struct ad_adapter *adp)
{
    bool runner = false;
    struct ad_lun *lun = ad_run_take(adp, &runner);

    while (lun != NULL) {
        shim_lock_enter(&lun->lun_lock);
        lun->lun_users++;
        ad_work_unlock(lun);
        lun = ad_run_take(adp, &runner);
    }
}

/*
 * Room again: let every LUN that was turned away try. The walk begins one further each time, so
 * that with room for one command no LUN is always served last. Locks: none.
 */
void ad_kick_waiting(struct ad_adapter *adp)
{
    unsigned n = ad_lun_count(adp);
    unsigned first;

    shim_lock_enter(&adp->adp_lock);
    first = adp->adp_kick_next++;
    shim_lock_exit(&adp->adp_lock);
    for (unsigned i = 0; i < n; i++) {
        struct ad_lun *lun = ad_lun_at(adp, (first + i) % n);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        if (lun->lun_gate & AD_GATE_HW) {
            lun->lun_gate &= ~AD_GATE_HW;
            shim_lock_enter(&adp->adp_lock);
            ad_run_append_locked(adp, lun);
            shim_lock_exit(&adp->adp_lock);
            if (!(lun->lun_gate & AD_GATE_FROZEN))
                lun->lun_retry_at_ns = 0;
        }
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Called by a chip that said AD_HW_BUSY. Context: any. */
void ad_hw_kick(struct ad_adapter *ad)
{
    ad_kick_waiting(ad);
    ad_serve(ad);
}
