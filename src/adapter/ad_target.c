/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_target.c - credits of a target: how many commands all LUNs of one id may have at the chip together.
 *
 * Most targets have no such limit, and nothing here is touched for their LUNs. Where the chip
 * (cap_target_commands) or the configuration (cfg_target_commands_max) sets one, each LUN of each id draws
 * its credits command by command, first the target's and then the adapter's (NB-05). Always in that order: a
 * LUN that waits for an adapter's credit keeps the target's, so whoever is handed an adapter's can use it at
 * once, and nobody who has one waits for a target. Only LUNs of that target could use what it keeps, and
 * they would stand behind it.
 *
 * The waiters of a target are served as those of the adapter are: a returned credit is handed to the oldest,
 * and who has more to do queues up again, so the LUNs of a target take turns.
 *
 * Rejected: reserving target credits at SCIOSTART as the adapter's are. A target's limit is small, and a LUN
 * that was started first would have it all.
 */
#include "ad_impl.h"

/* ad_attach(): the same limit for all; 0 none. */
void ad_targets_init(struct ad_adapter *adp, uint32_t max)
{
    SHIM_ASSERT(adp->adp_luns == NULL); /* nobody has a credit, or waits */
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        adp->adp_targets[id].tg_max = max;
        adp->adp_targets[id].tg_free = max;
    }
}

/* One credit is free: to the oldest waiter, else to the pool. Needs adp_lock. */
static void ad_target_give_locked(struct ad_adapter *adp, struct ad_target *tg)
{
    struct ad_lun *lun = tg->tg_wait_head;

    SHIM_ASSERT(shim_lock_is_held(&adp->adp_lock) && (lun == NULL || lun->lun_tg_waiting));
    if (lun == NULL) {
        tg->tg_free++;
        SHIM_ASSERT(tg->tg_free <= tg->tg_max);
        return;
    }
    tg->tg_wait_head = lun->lun_tg_next;
    lun->lun_tg_next = NULL;
    lun->lun_tg_waiting = false;
    ad_turn_locked(lun, lun->lun_tg_since_ns);
    lun->lun_tg_granted = true;
    ad_run_append_locked(adp, lun);
}

/*
 * Have the target's credit for the next command in hand, or join its waiters. It is used up by
 * ad_target_use_locked(). Needs adp_lock.
 */
bool ad_target_get_locked(struct ad_adapter *adp, struct ad_lun *lun)
{
    struct ad_target *tg = &adp->adp_targets[lun->lun_id];

    if (SC_LIKELY(tg->tg_max == 0) || lun->lun_tg_granted)
        return true;
    if (tg->tg_free > 0) {
        SHIM_ASSERT(tg->tg_wait_head == NULL);
        tg->tg_free--;
        lun->lun_tg_granted = true;
        return true;
    }
    if (lun->lun_tg_waiting)
        return false;
    lun->lun_tg_waiting = true;
    lun->lun_waits_target++;
    lun->lun_tg_since_ns = shim_now_ns();
    lun->lun_tg_next = NULL;
    if (tg->tg_wait_head == NULL)
        tg->tg_wait_head = lun;
    else
        tg->tg_wait_tail->lun_tg_next = lun;
    tg->tg_wait_tail = lun;
    return false;
}

/* The credit in hand goes with a command. Needs adp_lock. */
void ad_target_use_locked(struct ad_lun *lun) { lun->lun_tg_granted = false; }

/* Nothing can start here now: what is in hand goes on. Needs adp_lock. */
void ad_target_drop_locked(struct ad_adapter *adp, struct ad_lun *lun)
{
    if (!lun->lun_tg_granted)
        return;
    lun->lun_tg_granted = false;
    ad_target_give_locked(adp, &adp->adp_targets[lun->lun_id]);
    SHIM_ASSERT(adp->adp_targets[lun->lun_id].tg_max != 0);
}

/* A command has ended. Needs adp_lock. */
void ad_target_return_locked(struct ad_adapter *adp, const struct ad_lun *lun)
{
    if (adp->adp_targets[lun->lun_id].tg_max != 0)
        ad_target_give_locked(adp, &adp->adp_targets[lun->lun_id]);
}

/* SCIOSTOP: it waits for nothing any more and holds nothing. Needs adp_lock. */
void ad_target_leave_locked(struct ad_adapter *adp, struct ad_lun *lun)
{
    struct ad_target *tg = &adp->adp_targets[lun->lun_id];
    struct ad_lun **at = &tg->tg_wait_head;
    struct ad_lun *before = NULL;

    if (lun->lun_tg_waiting) {
        for (; *at != lun; at = &(*at)->lun_tg_next)
            before = *at;
        *at = lun->lun_tg_next;
        if (tg->tg_wait_tail == lun)
            tg->tg_wait_tail = before;
        lun->lun_tg_waiting = false;
    }
    ad_target_drop_locked(adp, lun);
    SHIM_ASSERT(!lun->lun_tg_granted && tg->tg_free <= tg->tg_max && (tg->tg_wait_head != lun));
}
