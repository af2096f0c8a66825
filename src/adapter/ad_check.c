/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_check.c - counters for the outside, the legal moves of a LUN's state, and the invariant walker.
 *
 * Does not contain: anything that changes a queue.
 */
#include "ad_impl.h"

#define AD_TO(s) (1u << (s))

/* Which state may follow which. Staying is always legal. */
static const uint16_t ad_moves[AD_LUN_STATES] = {
    [AD_LUN_STOPPED] = AD_TO(AD_LUN_RUN),
    [AD_LUN_RUN] = AD_TO(AD_LUN_HALT) | AD_TO(AD_LUN_KEEP) | AD_TO(AD_LUN_STOPPING),
    [AD_LUN_HALT] = AD_TO(AD_LUN_RUN) | AD_TO(AD_LUN_STOPPING),
    [AD_LUN_KEEP] = AD_TO(AD_LUN_REC) | AD_TO(AD_LUN_RUN) | AD_TO(AD_LUN_HALT) | AD_TO(AD_LUN_STOPPING),
    [AD_LUN_REC] = AD_TO(AD_LUN_KEEP) | AD_TO(AD_LUN_REC_DONE) | AD_TO(AD_LUN_HALT) | AD_TO(AD_LUN_STOPPING),
    [AD_LUN_REC_DONE] = AD_TO(AD_LUN_REC) | AD_TO(AD_LUN_RUN) | AD_TO(AD_LUN_HALT) | AD_TO(AD_LUN_STOPPING),
    [AD_LUN_STOPPING] = AD_TO(AD_LUN_STOPPED) | AD_TO(AD_LUN_HALT),
};

/* May a LUN go from one state to the other? Any context. */
bool ad_state_move_ok(enum ad_lun_state from, enum ad_lun_state to)
{
    return from == to || (ad_moves[from] & AD_TO(to)) != 0;
}

/* The only writer of lun_state. Locks: lun_lock. */
void ad_state_set_locked(struct ad_lun *lun, enum ad_lun_state to)
{
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    SHIM_ASSERT(to < AD_LUN_STATES && ad_state_move_ok((enum ad_lun_state)lun->lun_state, to));
    if (to != AD_LUN_RUN)
        ad_lane_close_locked(lun);
    TRCHKL3T(HKWD_AD_STATE, TRC_LUN(lun->lun_adp->adp_devno, lun->lun_id, lun->lun_lun), lun->lun_state, to);
    ad_flight_state_locked(lun, (enum ad_lun_state)lun->lun_state, to);
    lun->lun_state = (uint8_t)to;
}

/* Commands that came and went in the lane. */
static uint64_t ad_lane_done_locked(const struct ad_lun *lun)
{
    uint64_t n = 0;

    if (lun->lun_state != AD_LUN_STOPPED)
        for (uint32_t i = 0; i < lun->lun_openings && i < AD_LANE_SLOTS; i++)
            n += atomic_load_explicit(&lun->lun_cmds[i].cmd_lane_done, memory_order_relaxed);
    return n;
}

/* What the interface calls the states. */
SC_STATIC_ASSERT(AD_LUN_STOPPED == SC_LUN_STOPPED && AD_LUN_RUN == SC_LUN_RUNNING &&
                     AD_LUN_HALT == SC_LUN_HALTED && AD_LUN_KEEP == SC_LUN_KEPT &&
                     AD_LUN_REC == SC_LUN_RECOVERY && AD_LUN_REC_DONE == SC_LUN_RECOVERED &&
                     AD_LUN_STOPPING == SC_LUN_STOPPING,
                 "ours and theirs");

/* SCIOLUNSTAT. Context: any. */
void ad_lun_stats_get(struct ad_lun *lun, struct sc_lun_stats *out)
{
    uint64_t in_lane;

    memset(out, 0, sizeof(*out));
    shim_lock_enter(&lun->lun_lock);
    out->id = lun->lun_id;
    out->lun = lun->lun_lun;
    out->state = lun->lun_state;
    out->queued = lun->lun_queued;
    out->flushing = lun->lun_flushing;
    in_lane = ad_lane_done_locked(lun);
    out->active = lun->lun_active + ad_lane_active_locked(lun);
    /* The lane does not measure its depth; a command that went through it was at least alone. */
    out->active_max = lun->lun_active_max == 0 && in_lane != 0 ? 1 : lun->lun_active_max;
    out->openings = lun->lun_openings;
    out->accepted = lun->lun_accepted + in_lane + ad_lane_active_locked(lun);
    out->completed = lun->lun_completed + in_lane;
    out->errors = lun->lun_errors;
    out->flushed = lun->lun_flushed;
    out->timeouts = lun->lun_timeouts;
    out->refused = lun->lun_refused;
    out->waits_credit = lun->lun_waits_credit;
    shim_lock_exit(&lun->lun_lock);
}

/*
 * A LUN is being stopped: keep what it has counted, for SCIOSTAT counts since the adapter's attachment and
 * a LUN since its start. Locks: lun_lock; takes adp_lock.
 */
void ad_stats_keep_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;
    const uint64_t in_lane = ad_lane_done_locked(lun);

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    shim_lock_enter(&adp->adp_lock);
    adp->adp_past.commands += lun->lun_accepted + in_lane;
    adp->adp_past.completed += lun->lun_completed + in_lane;
    adp->adp_past.errors += lun->lun_errors;
    shim_lock_exit(&adp->adp_lock);
    lun->lun_accepted = lun->lun_completed = lun->lun_errors = 0;
}

/* SCIOSTAT: sums over the LUNs; the adapter itself counts nothing on the good path. Context: any. */
void ad_stats_get(struct ad_adapter *adp, struct sc_adapter_stats *out)
{
    memset(out, 0, sizeof(*out));
    shim_lock_enter(&adp->adp_lock);
    out->credits = adp->adp_credits;
    out->credits_free = adp->adp_credits_free;
    out->resets = adp->adp_resets;
    out->events = adp->adp_events;
    out->commands = adp->adp_past.commands;
    out->completed = adp->adp_past.completed;
    out->errors = adp->adp_past.errors;
    shim_lock_exit(&adp->adp_lock);
    out->max_transfer = adp->adp_transfer_max;
    out->thread_wakes = ad_donq_wakes(adp);
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        out->commands += lun->lun_accepted + ad_lane_done_locked(lun) + ad_lane_active_locked(lun);
        out->completed += lun->lun_completed + ad_lane_done_locked(lun);
        out->errors += lun->lun_errors;
        out->responses_pending += lun->lun_responses;
        out->luns_started += lun->lun_state != AD_LUN_STOPPED;
        if (!lun->lun_shared && lun->lun_state != AD_LUN_STOPPED)
            out->credits_free += lun->lun_openings + 1u - lun->lun_active - ad_lane_active_locked(lun);
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Length of a list whose links and order are sound, else UINT32_MAX. */
static uint32_t ad_list_length(const struct ad_list *l)
{
    uint32_t n = 0;

    for (const struct buf *bp = l->l_head; bp != NULL; bp = bp->av_forw) {
        n++;
        if (bp->av_forw == NULL && l->l_tail != bp)
            return UINT32_MAX;
        if (bp->av_forw != NULL && (int32_t)((uint32_t)bp->av_forw->b_work - (uint32_t)bp->b_work) < 0)
            return UINT32_MAX;
    }
    return n;
}

/* The words of the lane. Slots come and go meanwhile. */
static const char *ad_lane_check_locked(const struct ad_lun *lun)
{
    const bool open = ad_lane_is_open_locked(lun);

    if (open && (lun->lun_state != AD_LUN_RUN || lun->lun_gate || lun->lun_queued || lun->lun_flushing ||
                 lun->lun_shared || lun->lun_lane_left || lun->lun_offline))
        return "the lane is open and should not be";
    if (!open && ad_lane_slots(lun) != 0)
        return "a closed lane has slots";
    for (unsigned w = 0; w < AD_LANE_WORDS; w++) {
        const uint32_t lane = atomic_load_explicit(&lun->lun_lane[w].lane_free, memory_order_relaxed);

        if (!open && lane != 0)
            return "a closed lane has slots";
        if (open && !(lane & AD_LANE_OPEN))
            return "the lane is half open";
        if ((lane & ~AD_LANE_OPEN) & ~(ad_lane_slots(lun) & AD_LANE_WORD_0 << w))
            return "the lane has slots that are not its own";
    }
    return NULL;
}

/* The slots: counts, tags, flags. */
static const char *ad_slots_check_locked(const struct ad_lun *lun)
{
    const uint32_t in_lane = ad_lane_is_open_locked(lun) ? ad_lane_slots(lun) : 0;
    const char *wrong = ad_lane_check_locked(lun);
    uint32_t active = 0, starting = 0, cancelled = 0, aborts = 0, untagged = 0, lists = 0, left = 0;
    uint32_t overdue = 0, hit = 0;

    if (wrong != NULL)
        return wrong;
    for (uint32_t i = 0; i < lun->lun_nfree; i++) {
        const uint16_t slot = lun->lun_free[(lun->lun_free_at + i) % lun->lun_openings];

        if (slot < AD_LANE_SLOTS && (in_lane & (1u << slot)))
            return "a slot is free and in the lane";
    }
    wrong = ad_tags_check_locked(lun);
    if (wrong != NULL)
        return wrong;
    for (uint32_t i = 0; i <= lun->lun_openings; i++) {
        const struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state == AD_CMD_FREE) {
            /* A slot of the lane is taken and given back without the lock. */
            if (i < AD_LANE_SLOTS && (in_lane & (1u << i)))
                continue;
            if (cmd->cmd_flags || cmd->cmd_pins || cmd->cmd_long || cmd->cmd_map.map_nsegs ||
                cmd->cmd_deadline_ns)
                return "a free slot is not clean";
            continue;
        }
        active++;
        starting += cmd->cmd_state == AD_CMD_STARTING;
        cancelled += (cmd->cmd_flags & AD_CMD_CANCEL) != 0;
        aborts += (cmd->cmd_flags & AD_CMD_WANT_ABORT) != 0;
        left += (cmd->cmd_flags & AD_CMD_FROM_LANE) != 0;
        untagged += (cmd->cmd_flags & AD_CMD_UNTAGGED) && !(cmd->cmd_flags & AD_CMD_REC);
        overdue += cmd->cmd_state == AD_CMD_PENDING && cmd->cmd_stage == AD_STAGE_OVERDUE;
        hit += (cmd->cmd_flags & AD_CMD_HIT) != 0;
        if (cmd->cmd_long != 0)
            lists |= 1u << (cmd->cmd_long - 1u);
        if (i == lun->lun_openings && !(cmd->cmd_flags & AD_CMD_REC))
            return "the spare slot is in use by no recovery command";
    }
    if (active != lun->lun_active || starting != lun->lun_starting || cancelled != lun->lun_cancelled ||
        aborts != lun->lun_aborts || left != lun->lun_lane_left || overdue != lun->lun_overdue ||
        hit != lun->lun_hit)
        return "the slots do not add up";
    /* The spare slot has the opening of the command that failed: nobody else is given that (NB-07). */
    if (active > lun->lun_openings)
        return "more commands than openings";
    if (untagged > 1 || (untagged == 1) != ((lun->lun_gate & AD_GATE_UNTAGGED) != 0))
        return "an untagged command is not alone";
    if ((cancelled != 0) != ((lun->lun_gate & AD_GATE_CANCEL) != 0))
        return "the cancel gate is wrong";
    if (lists & lun->lun_long_free)
        return "a segment list is both free and in use";
    return NULL;
}

/*
 * Walk one LUN. Every statement at the head of ad_queue.c that can be looked at is looked at.
 * Context: any. Locks: takes lun_lock. NULL, or the broken rule.
 */
const char *ad_lun_check(struct ad_lun *lun)
{
    const char *broken = NULL;
    uint32_t queued, senses;

    shim_lock_enter(&lun->lun_lock);
    queued = ad_list_length(&lun->lun_queue);
    senses = ad_list_length(&lun->lun_sense);
    if (queued == UINT32_MAX || senses == UINT32_MAX ||
        queued + senses + (lun->lun_rec_sb != NULL) != lun->lun_queued)
        broken = "the queue's length or order is wrong";
    else if (ad_list_length(&lun->lun_flush) != lun->lun_flushing)
        broken = "the flush list's length or order is wrong";
    else if (lun->lun_accepted != lun->lun_completed + lun->lun_queued + lun->lun_active + lun->lun_flushing)
        broken = "accepted != queued + active + flushing + completed";
    else if (lun->lun_responses != 0 && lun->lun_users == 0)
        broken = "responses queued and not pushed";
    else if ((lun->lun_holds != 0) != ((lun->lun_gate & AD_GATE_HOLD) != 0))
        broken = "the hold gate is wrong";
    else if (ad_ledger_check_locked(lun) != NULL)
        broken = ad_ledger_check_locked(lun);
    else if (senses > lun->lun_holds)
        broken = "an ioctl fetches sense without a hold";
    else if (lun->lun_state == AD_LUN_HALT && lun->lun_queued != 0)
        broken = "a halted queue is not empty";
    else if (lun->lun_rec_sb != NULL && lun->lun_state != AD_LUN_REC)
        broken = "a recovery command waits outside recovery";
    else if (lun->lun_state == AD_LUN_STOPPED && (lun->lun_mem != NULL || lun->lun_active != 0))
        broken = "a stopped LUN holds something";
    else if (lun->lun_state != AD_LUN_STOPPED)
        broken = ad_slots_check_locked(lun);
    shim_lock_exit(&lun->lun_lock);
    return broken;
}
