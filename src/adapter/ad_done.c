/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_done.c - one command from the moment it has a slot until its request is given back.
 *
 * Outline: slots and requeue, start, take back, end.
 *
 * The end of a command has one order, in one function, ad_complete_list_lock() (XEN-01..07); ad_lane.c says
 * how a command may end without it and still keep the order:
 *
 *   1. the memory is unmapped, the tag, the opening, the segment list are free again
 *   2. the response is queued: lun_responses counts it
 *   3. the credit goes to whoever waits for one
 *   4. the responses are pushed, unless another thread pushes: taken off the LUN as one list (ad_push.c)
 *   5. the lock is dropped and iodone called, with no lock held
 *
 * so that whoever resubmits from iodone finds everything its request used. 1 to 4 are one hold of
 * lun_lock: nobody can push in between.
 *
 * Does not contain: which command comes next (ad_queue.c), several at once and the chip's callbacks
 * (ad_batch.c), the status bytes (ad_status.c).
 */
#include "ad_impl.h"

/* ---------------------------------------------------------------- slots */

void ad_arrived_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    SHIM_ASSERT(lun->lun_starting > 0);
    lun->lun_starting--;
    if (cmd->cmd_flags & AD_CMD_ORDERED)
        lun->lun_gate &= ~AD_GATE_ORDERED;
    if (SC_UNLIKELY(lun->lun_gate & AD_GATE_RESET) && lun->lun_starting == 0)
        lun->lun_recover = true;
}

/* Give a slot back. Nothing of the command may be live any more. */
static inline void ad_release_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    bool suspect;

    SHIM_ASSERT(cmd->cmd_pins == 0 && lun->lun_active > 0);
    if (cmd->cmd_state == AD_CMD_STARTING)
        ad_arrived_locked(lun, cmd);
    SHIM_ASSERT(!(cmd->cmd_flags & AD_CMD_WANT_ABORT));
    if (SC_UNLIKELY(cmd->cmd_flags & (AD_CMD_CANCEL | AD_CMD_UNTAGGED | AD_CMD_FROM_LANE))) {
        if (cmd->cmd_flags & AD_CMD_FROM_LANE)
            lun->lun_lane_left--;
        if ((cmd->cmd_flags & AD_CMD_CANCEL) && --lun->lun_cancelled == 0)
            lun->lun_gate &= ~AD_GATE_CANCEL;
        if (cmd->cmd_flags & AD_CMD_UNTAGGED && !(cmd->cmd_flags & AD_CMD_REC))
            lun->lun_gate &= ~AD_GATE_UNTAGGED;
    }
    if (SC_UNLIKELY(cmd->cmd_long != 0)) {
        lun->lun_long_free |= 1u << (cmd->cmd_long - 1u);
        lun->lun_gate &= ~AD_GATE_SEGS;
        cmd->cmd_long = 0;
    }
    suspect = SC_UNLIKELY(cmd->cmd_xfer.xfer_result != AD_RES_GOOD) && ad_tag_is_suspect(cmd);
    cmd->cmd_state = AD_CMD_FREE;
    cmd->cmd_flags = 0;
    cmd->cmd_deadline_ns = 0;
    lun->lun_active--;
    if (SC_UNLIKELY(suspect))
        ad_quarantine_locked(lun, cmd->cmd_slot);
    else if (cmd->cmd_slot < lun->lun_openings)
        ad_tag_give_locked(lun, cmd->cmd_slot);
}

/* A request that was wanted back is back: it goes out, in its place, when all are. */
static void ad_flush_add_locked(struct ad_lun *lun, struct sc_buf *sb, uint32_t seq)
{
    ad_status_refused(sb, ENXIO);
    sb->bufstruct.b_work = seq;
    ad_list_insert(&lun->lun_flush, sb);
    lun->lun_flushing++;
}

/* Its request goes back to where it was, or out if it is wanted back. The memory is unmapped. */
static void ad_put_back_locked(struct ad_lun *lun, struct ad_cmd *cmd, uint32_t gate)
{
    struct sc_buf *sb = cmd->cmd_sb;
    const uint32_t seq = cmd->cmd_seq;
    const uint16_t flags = cmd->cmd_flags; /* not before: a halt may want it back */

    ad_release_locked(lun, cmd);
    if (flags & AD_CMD_CANCEL) {
        ad_flush_add_locked(lun, sb, seq);
    } else {
        sb->bufstruct.b_work = seq;
        if (flags & AD_CMD_SENSE)
            ad_list_insert(&lun->lun_sense, sb);
        else if (flags & AD_CMD_REC)
            lun->lun_rec_sb = sb;
        else
            ad_list_insert(&lun->lun_queue, sb);
        lun->lun_queued++;
    }
    /* A list may have come back since: then the gate is not needed, and would never open. */
    if (gate == AD_GATE_SEGS && lun->lun_long_free != 0)
        gate = 0;
    if (gate != 0)
        ad_gate_set_locked(lun, gate);
    /* Also where a thaw is to come: a chip that has lost count must not keep a request for ever. */
    if (gate & (AD_GATE_HW | AD_GATE_FROZEN)) {
        lun->lun_retry_at_ns = shim_now_ns() + AD_RETRY_NS;
        (void)ad_timer_want_locked(lun, lun->lun_retry_at_ns);
        if (!(flags & AD_CMD_CANCEL))
            ad_timer_turned_away_locked(lun, sb);
    }
}

static void ad_log_unsent(const struct ad_lun *lun, const char *why)
{
    shim_log(SHIM_LOG_VERBOSE, "%s: %d,%d: a command could not be sent: %s", lun->lun_adp->adp_name,
             lun->lun_id, lun->lun_lun, why);
}

/*
 * The chip or the mapper has no room, or no segment list is free: the request goes back to where
 * it was in the queue, and `gate` keeps the LUN from trying again until something changes. It was
 * never handed to the device, so sending it later is not a retry; who wants to know is told (AIX-18).
 */
void ad_requeue_lock(struct ad_cmd *cmd, uint32_t gate)
{
    struct ad_lun *lun = cmd->cmd_lun;

    ad_log_unsent(lun, gate == AD_GATE_FROZEN ? "frozen"
                       : gate == AD_GATE_SEGS ? "no segment list"
                                              : "no room");
    ad_unmap(cmd);
    shim_lock_enter(&lun->lun_lock);
    /* We have set this one ourselves before we looked again: who made room since has taken it away. */
    if (gate != AD_GATE_SEGS && !(lun->lun_gate & gate))
        gate = 0;
    ad_put_back_locked(lun, cmd, gate);
    ad_flush_push_locked(lun);
    if (lun->lun_shared)
        ad_credit_return(lun);
}

/* ---------------------------------------------------------------- start */

/* What keeps a command back that start() would not have; 0: it took it. */
static uint32_t ad_said_gate(int said)
{
    return said == AD_HW_BUSY ? AD_GATE_HW : said == AD_HW_FROZEN ? AD_GATE_FROZEN : 0;
}

/*
 * No room, or frozen. Note that we wait, then look once more: room made in between would kick nobody. Returns
 * the gate that stays, 0 when start() has taken the command; *said is its last word.
 */
static uint32_t ad_start_again(struct ad_cmd *cmd, int *said)
{
    struct ad_lun *lun = cmd->cmd_lun;
    struct ad_adapter *adp = lun->lun_adp;
    uint32_t gate, noted = 0;

    SHIM_ASSERT(cmd->cmd_sb != NULL && cmd->cmd_state != AD_CMD_PENDING && cmd->cmd_state != AD_CMD_DONE);
    while ((gate = ad_said_gate(*said)) != 0 && !(noted & gate)) {
        noted |= gate;
        shim_lock_enter(&lun->lun_lock);
        ad_gate_set_locked(lun, gate);
        shim_lock_exit(&lun->lun_lock);
        shim_sched_point();
        *said = adp->adp_ops->start(adp->adp_hw, &cmd->cmd_xfer);
        shim_sched_point();
    }
    if ((noted & ~gate) != 0) {
        shim_lock_enter(&lun->lun_lock);
        lun->lun_gate &= ~(noted & ~gate);
        shim_lock_exit(&lun->lun_lock);
    }
    return gate;
}

bool ad_map_failed(struct ad_cmd *cmd, int mapped)
{
    struct ad_lun *lun = cmd->cmd_lun;
    bool gated = false;

    SHIM_ASSERT(mapped != SHIM_MAP_OK && cmd->cmd_xfer.xfer_bytes != 0);
    mapped = ad_map_insist(cmd, mapped);
    if (mapped == SHIM_MAP_LATER) {
        /* As with the chip: note, then look once more. */
        shim_lock_enter(&lun->lun_lock);
        ad_gate_set_locked(lun, AD_GATE_HW);
        shim_lock_exit(&lun->lun_lock);
        gated = true;
        atomic_store(&lun->lun_adp->adp_map_wait, 1u);
        mapped = ad_map_insist(cmd, ad_map(cmd));
    }
    if (mapped == SHIM_MAP_OK) {
        if (gated) {
            shim_lock_enter(&lun->lun_lock);
            lun->lun_gate &= ~AD_GATE_HW;
            shim_lock_exit(&lun->lun_lock);
        }
        return true;
    }
    if (mapped == SHIM_MAP_LATER) {
        ad_requeue_lock(cmd, AD_GATE_HW);
    } else if (mapped == AD_MAP_NO_LIST) {
        ad_requeue_lock(cmd, AD_GATE_SEGS);
    } else {
        /* A halt that wants it back says so in the same word. */
        shim_lock_enter(&lun->lun_lock);
        cmd->cmd_errno = mapped == AD_MAP_NO_COPY ? ENOMEM : EINVAL;
        cmd->cmd_flags |= AD_CMD_REFUSED;
        shim_lock_exit(&lun->lun_lock);
        ad_complete_lock(cmd);
    }
    return false;
}

/*
 * start() has said something about a mapped command. Context, locks: as ad_exec_lock().
 */
void ad_exec_said_lock(struct ad_cmd *cmd, int said)
{
    uint32_t gate = 0;

    if (SC_UNLIKELY(said >= AD_HW_BUSY))
        gate = ad_start_again(cmd, &said);
    if (SC_UNLIKELY(gate != 0)) {
        ad_requeue_lock(cmd, gate);
    } else if (SC_LIKELY(said == AD_HW_DONE)) {
        ad_complete_lock(cmd);
    } else {
        SHIM_ASSERT(said == AD_HW_PENDING);
        ad_started_lock(cmd->cmd_lun, &cmd, 1);
    }
}

/* ad_map() has said something. Context, locks: as ad_exec_lock(). */
void ad_exec_mapped_lock(struct ad_cmd *cmd, int mapped)
{
    struct ad_adapter *adp = cmd->cmd_lun->lun_adp;
    int said;

    if (SC_UNLIKELY(mapped != SHIM_MAP_OK) && !ad_map_failed(cmd, mapped))
        return;
    if (cmd->cmd_xfer.xfer_bytes != 0)
        ad_sync(adp, cmd, SHIM_SYNC_BEFORE);
    shim_sched_point();
    AD_TRACE(HKWD_AD_START, cmd->cmd_sb, 0, 0, 0);
    said = adp->adp_ops->start(adp->adp_hw, &cmd->cmd_xfer);
    shim_sched_point();
    ad_exec_said_lock(cmd, said);
}

/*
 * Carry a command to the chip and, if it ends there, to its end.
 * Context: any. Locks: enters with none, leaves with lun_lock. Owns: cmd comes from ad_pick_locked();
 * afterwards it is the chip's, or gone.
 */
void ad_exec_lock(struct ad_cmd *cmd)
{
    /* It says already how it ends: the LUN is out of service. Nobody else writes that before start(). */
    if (SC_UNLIKELY(cmd->cmd_xfer.xfer_result != AD_RES_GOOD)) {
        ad_complete_lock(cmd);
        return;
    }
    ad_exec_mapped_lock(cmd, cmd->cmd_xfer.xfer_bytes != 0 ? ad_map(cmd) : SHIM_MAP_OK);
}

/* ---------------------------------------------------------------- taking back */

/*
 * Want everything of this LUN back: commands at the device are marked for abort(), which whoever
 * looks next calls, and the queue moves to the flush list. Commands inside start() are left to
 * their starter: they cannot be aborted before the chip has them.
 * Locks: lun_lock. The caller sets the state.
 */
void ad_clear_locked(struct ad_lun *lun)
{
    struct sc_buf *sb;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    ad_lane_close_locked(lun);
    lun->lun_delay_sb = NULL;
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state == AD_CMD_FREE || (cmd->cmd_flags & AD_CMD_CANCEL))
            continue;
        cmd->cmd_flags |= AD_CMD_CANCEL;
        lun->lun_cancelled++;
        lun->lun_gate |= AD_GATE_CANCEL;
        if (cmd->cmd_state != AD_CMD_PENDING || cmd->cmd_stage != 0)
            continue;
        cmd->cmd_flags |= AD_CMD_WANT_ABORT;
        cmd->cmd_stage = AD_STAGE_ABORT;
        cmd->cmd_deadline_ns = shim_now_ns() + AD_STAGE_NS;
        lun->lun_aborts++;
        (void)ad_timer_want_locked(lun, cmd->cmd_deadline_ns);
    }
    if (lun->lun_rec_sb != NULL) {
        ad_flush_add_locked(lun, lun->lun_rec_sb, (uint32_t)lun->lun_rec_sb->bufstruct.b_work);
        lun->lun_rec_sb = NULL;
        lun->lun_queued--;
    }
    while ((sb = ad_list_take(&lun->lun_queue)) != NULL || (sb = ad_list_take(&lun->lun_sense)) != NULL) {
        ad_flush_add_locked(lun, sb, (uint32_t)sb->bufstruct.b_work);
        lun->lun_queued--;
    }
    SHIM_ASSERT(lun->lun_cancelled <= lun->lun_active && lun->lun_aborts <= lun->lun_cancelled);
    SHIM_ASSERT(lun->lun_queued == 0);
}

/* When the last cancelled command is home, everything on the flush list may go. Locks: lun_lock. */
void ad_flush_push_locked(struct ad_lun *lun)
{
    struct sc_buf *sb;

    if (SC_LIKELY(lun->lun_flushing == 0) || lun->lun_cancelled != 0)
        return;
    ad_donq_want_locked(lun);
    while ((sb = ad_list_take(&lun->lun_flush)) != NULL) {
        ad_resp_locked(lun, sb);
        lun->lun_flushing--;
        lun->lun_flushed++;
        lun->lun_completed++;
    }
    SHIM_ASSERT(lun->lun_flushing == 0);
}

/* ---------------------------------------------------------------- the end */

/*
 * The queue is being kept: untagged requests in it go back ENXIO. Beside tagged ones they can only
 * be a command somebody needs in order to recover, or waits for before he does; kept, it would
 * wait for its own owner. Locks: lun_lock.
 */
static void ad_keep_locked(struct ad_lun *lun)
{
    struct ad_list all = lun->lun_queue;
    struct sc_buf *sb;

    SHIM_ASSERT(lun->lun_state == AD_LUN_RUN && lun->lun_adp->adp_caps.cap_keeps_queue);
    ad_state_set_locked(lun, AD_LUN_KEEP);
    (void)ad_timer_want_locked(lun, lun->lun_halted_ns + AD_FREEZE_NS);
    lun->lun_queue.l_head = NULL;
    while ((sb = ad_list_take(&all)) != NULL) {
        if (sb->q_tag_msg != SC_NO_Q) {
            ad_list_append(&lun->lun_queue, sb);
            continue;
        }
        ad_flush_add_locked(lun, sb, (uint32_t)sb->bufstruct.b_work);
        lun->lun_queued--;
    }
    while ((sb = ad_list_take(&lun->lun_sense)) != NULL) {
        ad_flush_add_locked(lun, sb, (uint32_t)sb->bufstruct.b_work);
        lun->lun_queued--;
    }
}

/* The recovery command of AD_LUN_REC, and not an ioctl's REQUEST SENSE in the same slot. */
static bool ad_is_recovery(uint16_t flags) { return (flags & (AD_CMD_REC | AD_CMD_SENSE)) == AD_CMD_REC; }

/*
 * An error came back to a LUN: what becomes of its queue. `flags` are the finished command's; its
 * slot is free already. The table is at the head of ad_queue.c.
 */
static void ad_halt_locked(struct ad_lun *lun, struct sc_buf *sb, uint16_t flags)
{
    const enum ad_lun_state state = (enum ad_lun_state)lun->lun_state;
    const bool sense = (sb->status_validity & SC_SCSI_ERROR) &&
                       (sb->scsi_status == SC_CHECK_CONDITION || sb->scsi_status == SC_COMMAND_TERMINATED);
    const bool kept = state == AD_LUN_KEEP || state == AD_LUN_REC || state == AD_LUN_REC_DONE;

    SHIM_ASSERT((sb->bufstruct.b_flags & B_ERROR) && sb->bufstruct.b_error != 0);
    if (ad_is_recovery(flags) && state == AD_LUN_REC) {
        ad_state_set_locked(lun, AD_LUN_KEEP);
        sb->adap_q_status = SC_DID_NOT_CLEAR_Q;
        return;
    }
    if (sb->bufstruct.b_iodone == ad_icmd_done) {
        if (sense && sb->scsi_status == SC_CHECK_CONDITION) {
            ad_freeze_gate_locked(lun, AD_FRZ_SENSE);
        }
        return;
    }
    if (sense && !(flags & (AD_CMD_UNTAGGED | AD_CMD_CANCEL)) && lun->lun_adp->adp_caps.cap_keeps_queue &&
        (kept || state == AD_LUN_RUN)) {
        sb->adap_q_status = SC_DID_NOT_CLEAR_Q;
        if (state == AD_LUN_RUN)
            ad_keep_locked(lun);
        return;
    }
    ad_clear_locked(lun);
    if (state != AD_LUN_STOPPING)
        ad_state_set_locked(lun, AD_LUN_HALT);
}

/*
 * A command ended in any way but plainly well. Releases the slot and queues the response. True
 * when the response is an error that has been queued now.
 */
static bool ad_settle_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    struct sc_buf *sb = cmd->cmd_sb;
    const uint16_t flags = cmd->cmd_flags;
    const uint32_t seq = cmd->cmd_seq;

    if (cmd->cmd_xfer.xfer_result == AD_RES_STATUS && cmd->cmd_xfer.xfer_scsi_status == SC_QUEUE_FULL)
        ad_limit_full_locked(lun, cmd);
    if (flags & AD_CMD_TAKEN)
        ad_freeze_locked(lun, AD_FRZ_CORE);
    else if (lun->lun_adp->adp_ops->freeze != NULL && !(flags & AD_CMD_REFUSED) &&
             cmd->cmd_xfer.xfer_result != AD_RES_GOOD)
        ad_freeze_noted_locked(lun);
    if (flags & AD_CMD_REFUSED)
        ad_status_refused(sb, cmd->cmd_errno);
    else
        ad_status_result(sb, &cmd->cmd_xfer, (flags & AD_CMD_TIMED_OUT) != 0);
    if (cmd->cmd_xfer.xfer_result == AD_RES_ABORTED && !(flags & (AD_CMD_TIMED_OUT | AD_CMD_REFUSED)) &&
        (flags & AD_CMD_CANCEL)) {
        ad_release_locked(lun, cmd);
        ad_flush_add_locked(lun, sb, seq);
        return false;
    }
    ad_release_locked(lun, cmd);
    ad_resp_locked(lun, sb);
    lun->lun_completed++;
    if (!(sb->bufstruct.b_flags & B_ERROR)) {
        if (ad_is_recovery(flags) && lun->lun_state == AD_LUN_REC)
            ad_state_set_locked(lun, AD_LUN_REC_DONE);
        return false;
    }
    lun->lun_errors++;
    ad_donq_want_locked(lun);
    if (!(flags & AD_CMD_REFUSED))
        ad_halt_locked(lun, sb, flags);
    else if (ad_is_recovery(flags) && lun->lun_state == AD_LUN_REC)
        ad_state_set_locked(lun, AD_LUN_KEEP);
    return true;
}

/*
 * A request at the head has been turned away by chip or mapper until its time was up. It has never
 * reached the device, but its owner sees what he would see of one that had: a timeout, and its
 * consequences for the queue. Locks: lun_lock. Owns: sb is a response, and so is what may follow it.
 */
void ad_expire_locked(struct ad_lun *lun, struct sc_buf *sb)
{
    const struct ad_xfer xfer = {.xfer_result = AD_RES_ABORTED,
                                 .xfer_bytes = sb->bufstruct.b_bcount,
                                 .xfer_resid = sb->bufstruct.b_bcount};
    uint16_t flags = sb->q_tag_msg == SC_NO_Q ? AD_CMD_UNTAGGED : 0;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    if (sb == lun->lun_rec_sb) {
        lun->lun_rec_sb = NULL;
        flags |= AD_CMD_REC;
    } else if (&sb->bufstruct == lun->lun_sense.l_head) {
        (void)ad_list_take(&lun->lun_sense);
        flags |= AD_CMD_REC | AD_CMD_SENSE;
    } else {
        SHIM_ASSERT(&sb->bufstruct == lun->lun_queue.l_head);
        (void)ad_list_take(&lun->lun_queue);
    }
    lun->lun_queued--;
    lun->lun_completed++;
    lun->lun_errors++;
    lun->lun_timeouts++;
    ad_status_result(sb, &xfer, true);
    ad_resp_locked(lun, sb);
    ad_donq_want_locked(lun);
    ad_freeze_locked(lun, AD_FRZ_CORE); /* the chip has not, which never had it */
    ad_halt_locked(lun, sb, flags);
    ad_flush_push_locked(lun);
}

/*
 * The chip says that the device has never seen it. So it has a place in the queue, but when its time was up
 * or the chip is at a loss: then it waits a little. True when it is dealt with. (AIX-18)
 */
static bool ad_unsent_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    if (cmd->cmd_flags & AD_CMD_TIMED_OUT) {
        cmd->cmd_flags |= AD_CMD_TAKEN; /* the chip has frozen nothing for it */
        cmd->cmd_xfer.xfer_result = AD_RES_ABORTED;
        cmd->cmd_xfer.xfer_resid = cmd->cmd_xfer.xfer_bytes;
        return false;
    }
    ad_log_unsent(lun, "the device has not seen it");
    ad_put_back_locked(lun, cmd, ++lun->lun_unsent > AD_UNSENT_MAX ? AD_GATE_HW : 0);
    return true;
}

/* One has ended: its slot is free, its response queued. Returns with lun_lock as before. */
static inline void ad_end_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    struct sc_buf *sb = cmd->cmd_sb;

    if (SC_LIKELY(cmd->cmd_xfer.xfer_result == AD_RES_GOOD && cmd->cmd_xfer.xfer_resid == 0 &&
                  (cmd->cmd_flags & (uint16_t) ~(AD_CMD_UNTAGGED | AD_CMD_ORDERED | AD_CMD_FROM_LANE)) ==
                      0)) {
        ad_release_locked(lun, cmd);
        ad_resp_locked(lun, sb);
        lun->lun_completed++;
        lun->lun_unsent = 0;
        if (SC_UNLIKELY(lun->lun_limit.lm_now < lun->lun_limit.lm_top))
            ad_limit_good_locked(lun);
    } else if (cmd->cmd_xfer.xfer_result != AD_RES_UNSENT || !ad_unsent_locked(lun, cmd)) {
        lun->lun_unsent = 0;
        if (SC_UNLIKELY(ad_settle_locked(lun, cmd)))
            ad_log_result(lun, sb);
    }
}

/*
 * The one way commands end; see the head of this file. The chip has let go of them. They are one LUN's.
 * Context: any. Locks: enters with none, leaves with lun_lock. Owns: cmds and their requests are gone
 * afterwards. (XEN-01..07, AIX-19, AIX-20)
 */
void ad_complete_list_lock(struct ad_cmd *cmds)
{
    struct ad_lun *lun = cmds->cmd_lun;
    struct ad_adapter *adp = lun->lun_adp;
    struct ad_list out;
    bool push;

    for (struct ad_cmd *cmd = cmds; cmd != NULL; cmd = cmd->cmd_next) {
        AD_TRACE_DONE(cmd);
        ad_unmap(cmd);
    }
    shim_lock_enter(&lun->lun_lock);
    lun->lun_gate &= ~AD_GATE_HW; /* something ended, so there is room */
    lun->lun_lane_streak = cmds->cmd_state == AD_CMD_STARTING ? lun->lun_lane_streak + 1u : 0;
    for (struct ad_cmd *cmd = cmds, *next; cmd != NULL; cmd = next) {
        next = cmd->cmd_next;
        ad_end_locked(lun, cmd);
        if (SC_UNLIKELY(lun->lun_shared))
            ad_credit_return(lun);
    }
    ad_flush_push_locked(lun);
    if (SC_UNLIKELY(lun->lun_lane_streak == 1u))
        (void)ad_guard_lane_locked(lun);
    if (SC_UNLIKELY(lun->lun_lane_streak >= AD_LANE_STREAK))
        ad_lane_open_locked(lun);
    push = ad_push_begin_locked(lun, &out);
    if (!push && !SC_UNLIKELY(atomic_load_explicit(&adp->adp_map_wait, memory_order_relaxed)))
        return;
    shim_lock_exit(&lun->lun_lock);
    shim_sched_point();
    if (SC_UNLIKELY(atomic_load_explicit(&adp->adp_map_wait, memory_order_relaxed)) &&
        atomic_exchange(&adp->adp_map_wait, 0u))
        ad_kick_waiting(adp);
    if (push)
        ad_push(adp, &out);
    shim_lock_enter(&lun->lun_lock);
    if (push)
        ad_push_end_locked(lun);
}
