/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_credit.c - who may give the adapter a command: credits, and who waits for one.
 *
 * The adapter holds a certain number of commands; each is a credit, and nothing is offered to the
 * chip without one (NB-05), nor without one of its target where those have a limit (ad_target.c). Two ways
 * to hold them:
 *
 *  - A LUN that is started while more than half of all credits would stay free *reserves* one for
 *    each of its openings. Its openings are then its credits: it is never short of one (XEN-09), and
 *    the good path does no accounting that other LUNs could contend for.
 *  - The others are *shared*: one credit is taken from the pool per command, and goes back to it.
 *
 * When the pool is empty a LUN joins the waiters, oldest first (lun_waiting). A returned credit is handed
 * straight to the oldest waiter and never shows up in the pool, so a newcomer cannot overtake, and
 * the LUN goes to the adapter's list of those that are owed a look (XEN-10; ad_push.c). A LUN that has more
 * to do afterwards queues up again at the tail: round robin. Rejected: waking all waiters to fight for it.
 *
 * Does not contain: the openings of a LUN (ad_queue.c), how many of them it uses (ad_limit.c).
 */
#include "ad_impl.h"

/* It has waited for a credit, here or at its target, and is handed one. Needs adp_lock. */
void ad_turn_locked(struct ad_lun *lun, uint64_t since_ns)
{
    const uint64_t waited = shim_now_ns() - since_ns;

    lun->lun_turns++;
    if (waited > lun->lun_wait_max_ns)
        lun->lun_wait_max_ns = waited;
}

/* One credit is free: to the oldest waiter, else to the pool. Needs adp_lock. */
void ad_credit_give_locked(struct ad_adapter *adp)
{
    struct ad_lun *lun = adp->adp_wait_head;

    SHIM_ASSERT(shim_lock_is_held(&adp->adp_lock) && (lun == NULL || lun->lun_waiting));
    if (lun == NULL) {
        adp->adp_credits_free++;
        SHIM_ASSERT(adp->adp_credits_free <= adp->adp_credits);
        return;
    }
    adp->adp_wait_head = lun->lun_wait_next;
    lun->lun_wait_next = NULL;
    lun->lun_waiting = false;
    ad_turn_locked(lun, lun->lun_wait_since_ns);
    lun->lun_granted++;
    ad_run_append_locked(adp, lun);
}

/*
 * Take one credit for one command of a shared LUN, or join the waiters.
 * Context: any. Locks: lun_lock held; takes adp_lock. (NB-05)
 */
bool ad_credit_take_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;
    bool taken = true;

    SHIM_ASSERT(lun->lun_shared && shim_lock_is_held(&lun->lun_lock));
    shim_lock_enter(&adp->adp_lock);
    if (!ad_target_get_locked(adp, lun)) {
        taken = false;
    } else if (lun->lun_granted > 0) {
        lun->lun_granted--;
    } else if (adp->adp_credits_free > 0) {
        SHIM_ASSERT(adp->adp_wait_head == NULL);
        adp->adp_credits_free--;
    } else {
        taken = false;
        if (!lun->lun_waiting) {
            lun->lun_waiting = true;
            lun->lun_waits_credit++;
            lun->lun_wait_since_ns = shim_now_ns();
            lun->lun_wait_next = NULL;
            if (adp->adp_wait_head == NULL)
                adp->adp_wait_head = lun;
            else
                adp->adp_wait_tail->lun_wait_next = lun;
            adp->adp_wait_tail = lun;
        }
    }
    if (taken)
        ad_target_use_locked(lun);
    SHIM_ASSERT(taken || lun->lun_waiting || lun->lun_tg_waiting); /* nobody is turned away for ever */
    shim_lock_exit(&adp->adp_lock);
    return taken;
}

/* Nothing can start here now: grants go on to the next. Locks: lun_lock held; takes adp_lock. */
void ad_credit_drop_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    shim_lock_enter(&adp->adp_lock);
    while (lun->lun_granted > 0) {
        lun->lun_granted--;
        ad_credit_give_locked(adp);
    }
    if (!lun->lun_waiting) /* else it goes with the adapter's that comes */
        ad_target_drop_locked(adp, lun);
    shim_lock_exit(&adp->adp_lock);
}

/* A command of a shared LUN has ended. Context: any. Locks: takes adp_lock. */
void ad_credit_return(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;

    shim_lock_enter(&adp->adp_lock);
    ad_target_return_locked(adp, lun);
    ad_credit_give_locked(adp);
    shim_lock_exit(&adp->adp_lock);
}

/* SCIOSTART: reserve `want` credits if enough stay for the others and its target has no limit; else the LUN
 * shares. */
void ad_credit_reserve(struct ad_lun *lun, uint32_t want)
{
    struct ad_adapter *adp = lun->lun_adp;

    shim_lock_enter(&adp->adp_lock);
    SHIM_ASSERT(lun->lun_reserved == 0 && lun->lun_granted == 0 && !lun->lun_waiting);
    lun->lun_shared = adp->adp_credits_free < want || adp->adp_credits_free - want < adp->adp_credits / 2;
    if (adp->adp_targets[lun->lun_id].tg_max != 0)
        lun->lun_shared = true;
    if (!lun->lun_shared) {
        lun->lun_reserved = want;
        adp->adp_credits_free -= want;
    }
    SHIM_ASSERT(adp->adp_credits_free <= adp->adp_credits);
    shim_lock_exit(&adp->adp_lock);
}

/* SCIOSTOP: give back what the LUN reserved or was granted; it waits for nothing any more. */
void ad_credit_unreserve(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;
    struct ad_lun *prev = NULL;
    uint32_t credits;

    shim_lock_enter(&adp->adp_lock);
    for (struct ad_lun *w = adp->adp_wait_head; lun->lun_waiting && w != NULL;
         prev = w, w = w->lun_wait_next) {
        if (w != lun)
            continue;
        if (prev == NULL)
            adp->adp_wait_head = w->lun_wait_next;
        else
            prev->lun_wait_next = w->lun_wait_next;
        if (adp->adp_wait_tail == w)
            adp->adp_wait_tail = prev;
        lun->lun_waiting = false;
    }
    SHIM_ASSERT(!lun->lun_waiting);
    ad_target_leave_locked(adp, lun);
    ad_run_remove_locked(adp, lun);
    credits = lun->lun_reserved + lun->lun_granted;
    lun->lun_reserved = 0;
    lun->lun_granted = 0;
    while (credits-- > 0)
        ad_credit_give_locked(adp);
    SHIM_ASSERT(!lun->lun_run_queued && lun->lun_reserved + lun->lun_granted == 0);
    shim_lock_exit(&adp->adp_lock);
}
