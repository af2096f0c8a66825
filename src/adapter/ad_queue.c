/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_queue.c - the queue of one LUN: taking requests in, choosing the next one, keeping it going.
 *
 * Does not contain: how a command is started and how it ends (ad_done.c), the loop that calls all this
 * and the order of responses (ad_push.c), what a request must look
 * like (ad_strategy.c), credits (ad_credit.c), time (ad_timeout.c).
 *
 * ---- Theory
 *
 * A LUN has one FIFO. A request is in exactly one of four places: the FIFO (or, for a recovery
 * command, lun_rec_sb), a command slot, the flush list, or with its owner again:
 *
 *     accepted = queued + active + flushing + completed        (checked by ad_lun_check)
 *
 * *Who works.* Whoever changes something - a strategy call, a
 * completion, a timer, a kick - looks whether the head of the FIFO may start and starts it, with
 * the lock dropped (ad_work_unlock() in ad_push.c, which also says who calls iodone, and when). A thread that
 * takes a command runs it to the end of start() in its own context, and any number of threads do so at once
 * on one LUN. Rejected: a "running" flag that makes one thread start everybody's commands. With a chip that
 * finishes inside start() that thread would also do everybody's I/O, one at a time, while the others wait for
 * it.
 *
 * *No recursion.* A completion may make more work: the next of its own LUN, or, by returning a
 * credit, of another. It only says so; the loop in ad_work_unlock() does the work when the
 * completion has returned. The look at the queue comes after iodone, not before: a command taken
 * before and started after would let one submitted inside iodone overtake it.
 *
 * *No lost wake-up.* Everything that can block the head is a bit in lun_gate or a count, changed
 * under lun_lock by the same lock hold that looks at the FIFO. Whoever clears the reason looks
 * again afterwards. For reasons that clear outside our lock (room in the chip, in the mapper)
 * the bit is set first and the attempt then repeated once, and a timer stands behind it.
 *
 * *Order.* The head blocks the rest: the adapter driver never reorders. Two threads may carry two
 * commands to the chip side by side, although one thread sent both; for SIMPLE tags the device may swap them
 * anyway (docs/life-of-a-request.md, "In which order"). An ORDERED
 * or HEAD OF QUEUE command waits until nothing is on the way to the chip, and nothing follows
 * until it has arrived. What comes back from start() unsent goes in again by sequence number.
 *
 * *Untagged commands* run alone (AIX-24, NB-09), but for the recovery command, which has a slot
 * of its own: it runs beside tagged commands the device kept, and must not find all slots taken. An
 * ioctl's REQUEST SENSE uses that slot too: a device does not go on with its other commands before
 * the sense data is fetched, so it cannot wait for them.
 *
 * *Errors.* (states of enum ad_lun_state; the table of the specification, section 5.3)
 *
 *   RUN       any error, or SCIOHALT        everything wanted back, then ENXIO in order  -> HALT
 *   RUN       tagged CHECK CONDITION, and
 *             the adapter keeps queues      queue kept but for untagged requests, which
 *                                           go back ENXIO; SC_DID_NOT_CLEAR_Q            -> KEEP
 *   HALT      request with SC_RESUME        taken in                                     -> RUN
 *             without                       ENXIO, nothing changes
 *   KEEP, REC_DONE   SC_RESUME + SC_NO_Q    sent alone                                   -> REC
 *   REC       it succeeds / fails                                          -> REC_DONE / KEEP
 *   KEEP, REC_DONE   SC_Q_CLR               as an error; itself ENXIO, last              -> HALT
 *   KEEP, REC_DONE   SC_Q_RESUME            its own command, if any, first               -> RUN
 *             (in KEEP it is the first after the error and so must carry SC_RESUME)
 *   KEEP, REC, REC_DONE   anything else     ENXIO, nothing changes
 *
 * (AIX-20..23; NB-08: while a queue is kept nothing but recovery commands starts, one at a time)
 *
 * The published text lets a device driver send one recovery command and then clear or resume. We
 * let it send several, one after the other: after a reset it may need a RESERVE beside the REQUEST
 * SENSE, and refusing it would only make it resume the queue of a disk it does not hold yet.
 *
 * Commands at the device while another fails: with the queue kept they simply go on. With the
 * queue cleared they are aborted, and nothing is given back ENXIO before the chip has let go of
 * the last of them (AD_GATE_CANCEL), so that no device writes into memory its owner has again,
 * and the owner gets the failed request first and the others in their old order. A new SC_RESUME
 * request is accepted meanwhile and waits behind the gate. One of those wanted back may instead
 * end with an error of its own; that clears again, and never keeps: what would be kept is the
 * recovery of the first error, whose owner waits for it. Rejected: giving queued ones back at
 * once. It is sooner, but a device driver would get the younger half first.
 *
 * *The chip's part.* A thread picks under the lock and starts without it, so that another one may halt the
 * queue in between. A chip that can freeze a LUN does so with every command that fails, before it says so,
 * and when we ask (SCIOHALT): a start() that comes later is turned away, and its request goes back to where
 * it was, or to the flush list. We undo it when the queue runs again (ad_thaw_locked()). The recovery
 * command and an ioctl's REQUEST SENSE pass. Rejected: a lock around start(); a chip that ends commands
 * inside would have the LUN to itself.
 *
 * A command sent by an adapter ioctl never halts the queue: a tool's failing TEST UNIT READY must
 * not make a mounted disk's next request fail. It holds the queue (AD_GATE_HOLD) until the ioctl
 * has fetched sense, for which the hold lets it pass, or said that it will not.
 */
#include "ad_impl.h"

/* ---------------------------------------------------------------- lists */

/* Add at the tail. */
void ad_list_append(struct ad_list *l, struct sc_buf *sb)
{
    struct buf *bp = &sb->bufstruct;

    bp->av_forw = NULL;
    if (l->l_head == NULL)
        l->l_head = bp;
    else
        l->l_tail->av_forw = bp;
    l->l_tail = bp;
}

/* Take the head, or NULL. */
struct sc_buf *ad_list_take(struct ad_list *l)
{
    struct buf *bp = l->l_head;

    if (bp == NULL)
        return NULL;
    l->l_head = bp->av_forw;
    bp->av_forw = NULL;
    return (struct sc_buf *)(void *)bp;
}

/*
 * Insert before the first request that was accepted later. Only on error paths: linear. Sequence
 * numbers wrap, so they are compared by distance.
 */
void ad_list_insert(struct ad_list *l, struct sc_buf *sb)
{
    struct buf *bp = &sb->bufstruct;
    struct buf **at = &l->l_head;

    while (*at != NULL && (int32_t)((uint32_t)(*at)->b_work - (uint32_t)bp->b_work) <= 0)
        at = &(*at)->av_forw;
    bp->av_forw = *at;
    *at = bp;
    if (bp->av_forw == NULL)
        l->l_tail = bp;
}

/* Put in front of everything, with the number that says so. */
static void ad_list_prepend(struct ad_lun *lun, struct sc_buf *sb)
{
    struct ad_list *l = &lun->lun_queue;
    struct buf *bp = &sb->bufstruct;

    bp->b_work = l->l_head ? (uint32_t)l->l_head->b_work - 1u : lun->lun_seq++;
    bp->av_forw = l->l_head;
    if (l->l_head == NULL)
        l->l_tail = bp;
    l->l_head = bp;
}

/* ---------------------------------------------------------------- taking requests in */

/* To the tail of the FIFO. */
static inline void ad_enqueue_locked(struct ad_lun *lun, struct sc_buf *sb)
{
    sb->bufstruct.b_work = lun->lun_seq++;
    ad_list_append(&lun->lun_queue, sb);
    lun->lun_queued++;
    lun->lun_accepted++;
}

/* SC_Q_CLR: everything comes back ENXIO, and so does the request itself, last. */
static void ad_admit_clear_locked(struct ad_lun *lun, struct sc_buf *sb)
{
    ad_clear_locked(lun);
    ad_state_set_locked(lun, AD_LUN_HALT);
    ad_status_refused(sb, ENXIO);
    sb->bufstruct.b_work = lun->lun_seq++;
    ad_list_append(&lun->lun_flush, sb);
    lun->lun_flushing++;
    lun->lun_accepted++;
}

/* SC_Q_RESUME: the kept queue runs again, behind the command that comes with it, if one does. */
static void ad_admit_resume_locked(struct ad_lun *lun, struct sc_buf *sb)
{
    ad_state_set_locked(lun, AD_LUN_RUN);
    lun->lun_accepted++;
    if (sb->scsi_command.scsi_length == 0) {
        sb->bufstruct.b_resid = sb->bufstruct.b_bcount;
        lun->lun_completed++;
        ad_resp_locked(lun, sb);
        return;
    }
    ad_list_prepend(lun, sb);
    lun->lun_queued++;
}

/*
 * A request arrives at a queue that does not simply run. Returns 0 when it was taken in, else the
 * errno to refuse it with; a refusal changes nothing (AIX-21..23).
 * Locks: lun_lock. Owns: sb is the queue's when 0 is returned.
 */
static int ad_admit_locked(struct ad_lun *lun, struct sc_buf *sb)
{
    const uint8_t control = sb->flags & (SC_Q_CLR | SC_Q_RESUME);
    const bool resume = (sb->flags & SC_RESUME) != 0;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    switch ((enum ad_lun_state)lun->lun_state) {
    case AD_LUN_RUN:
        if (control)
            return EINVAL;
        ad_enqueue_locked(lun, sb);
        return 0;
    case AD_LUN_HALT:
        if (control)
            return EINVAL;
        if (!resume)
            return ENXIO;
        ad_state_set_locked(lun, AD_LUN_RUN);
        ad_enqueue_locked(lun, sb);
        return 0;
    case AD_LUN_KEEP:
    case AD_LUN_REC_DONE:
        if (control == SC_Q_RESUME && !resume && lun->lun_state == AD_LUN_KEEP)
            return ENXIO;
        if (control)
            break;
        if (!resume || sb->q_tag_msg != SC_NO_Q)
            return ENXIO;
        ad_state_set_locked(lun, AD_LUN_REC);
        SHIM_ASSERT(lun->lun_rec_sb == NULL);
        sb->bufstruct.b_work = lun->lun_seq++;
        lun->lun_rec_sb = sb;
        lun->lun_queued++;
        lun->lun_accepted++;
        return 0;
    case AD_LUN_REC:
        return control ? EINVAL : ENXIO;
    default: /* not started, or on the way out */
        return EINVAL;
    }
    if (control == SC_Q_CLR)
        ad_admit_clear_locked(lun, sb);
    else
        ad_admit_resume_locked(lun, sb);
    return 0;
}

/*
 * Not taken in. What a halted queue refuses leaves behind the error that halted it. A LUN that is not
 * started, or on its way out, has no queue to keep order in.
 * Locks: lun_lock. True: it is a response; false: the caller gives it back.
 */
static bool ad_refuse_locked(struct ad_lun *lun, struct sc_buf *sb, int error)
{
    lun->lun_refused++;
    ad_status_refused(sb, error);
    if (lun->lun_state == AD_LUN_STOPPED || lun->lun_state == AD_LUN_STOPPING)
        return false;
    ad_resp_locked(lun, sb);
    return true;
}

/*
 * Take a checked request in and start what can be started.
 * Context: any; never sleeps (AIX-03). Locks: none held; takes lun_lock. Owns: sb is ours until
 * iodone, also of a refusal. (AIX-20..24)
 */
void ad_submit(struct ad_lun *lun, struct sc_buf *sb)
{
    struct ad_cmd *cmd;
    int error = 0;

    shim_lock_enter(&lun->lun_lock);
    ad_lane_close_locked(lun);
    if (SC_LIKELY(lun->lun_state == AD_LUN_RUN && (sb->flags & (SC_Q_CLR | SC_Q_RESUME)) == 0))
        ad_enqueue_locked(lun, sb);
    else
        error = ad_admit_locked(lun, sb);
    if (SC_UNLIKELY(error != 0) && !ad_refuse_locked(lun, sb, error)) {
        shim_lock_exit(&lun->lun_lock);
        AD_TRACE_PUSH(sb);
        iodone(&sb->bufstruct);
        return;
    }
    if (SC_UNLIKELY(lun->lun_adp->adp_batches) && ad_plug_locked(lun)) {
        shim_lock_exit(&lun->lun_lock);
        return;
    }
    ad_enter_locked(lun);
    ad_flush_push_locked(lun);
    /* Responses first, if there are any: then the loop does both. And it does several at once. */
    cmd = lun->lun_resp.l_head == NULL && !lun->lun_timer_lost && lun->lun_frozen == 0 &&
                  !lun->lun_adp->adp_batches
              ? ad_pick_locked(lun)
              : NULL;
    if (SC_LIKELY(cmd != NULL)) {
        shim_lock_exit(&lun->lun_lock);
        ad_exec_lock(cmd);
    }
    ad_work_unlock(lun);
}

/*
 * The REQUEST SENSE of an ioctl whose command met CHECK CONDITION: alone passes the hold, so that no
 * other command can clear the sense data first. The hold ends by ad_hold_release(), when it is back.
 * False when the queue has been halted meanwhile: then the hold has ended and sb is still the
 * caller's. Context: process. Locks: takes lun_lock.
 */
bool ad_submit_sense(struct ad_lun *lun, struct sc_buf *sb)
{
    bool taken;

    shim_lock_enter(&lun->lun_lock);
    taken = lun->lun_state == AD_LUN_RUN && (lun->lun_gate & AD_GATE_HOLD); /* not when it came too late */
    SHIM_ASSERT(!taken || ad_lane_active_locked(lun) == 0);                 /* the gate has kept it closed */
    if (taken) {
        sb->bufstruct.b_work = lun->lun_seq++;
        ad_list_append(&lun->lun_sense, sb);
        lun->lun_queued++;
        lun->lun_accepted++;
    } else {
        ad_thaw_gate_locked(lun, AD_FRZ_SENSE);
    }
    ad_enter_locked(lun);
    ad_work_unlock(lun);
    return taken;
}

/* The ioctl has its sense data, or does not want any. Context: process. */
void ad_hold_release(struct ad_lun *lun)
{
    shim_lock_enter(&lun->lun_lock);
    ad_thaw_gate_locked(lun, AD_FRZ_SENSE);
    ad_enter_locked(lun);
    ad_work_unlock(lun);
}

/* ---------------------------------------------------------------- choosing the next one */

/*
 * SC_DELAY_CMD: has this command waited long enough? The clock starts when the command first
 * reaches the head. If no timer is to be had it goes at once: the delay is a courtesy to a device
 * after a reset, a request that waits for ever is not.
 */
static bool ad_delay_over_locked(struct ad_lun *lun, const struct sc_buf *sb)
{
    const bool lost = lun->lun_timer_lost;
    uint64_t now = shim_now_ns();

    if (lun->lun_delay_sb != sb) {
        lun->lun_delay_sb = sb;
        lun->lun_delay_until_ns = now + lun->lun_adp->adp_delay_ns;
        if (!ad_timer_want_locked(lun, lun->lun_delay_until_ns)) {
            lun->lun_timer_lost = lost; /* what others wait for is still to be armed */
            lun->lun_delay_until_ns = 0;
        }
    }
    if (now < lun->lun_delay_until_ns)
        return false;
    lun->lun_delay_sb = NULL;
    return true;
}

/* Fill a slot for this request and count it as on its way to the chip. */
static inline void ad_cmd_take_locked(struct ad_lun *lun, struct ad_cmd *cmd, struct sc_buf *sb, uint8_t qmsg)
{
    SHIM_ASSERT(cmd->cmd_state == AD_CMD_FREE);
    cmd->cmd_state = AD_CMD_STARTING;
    cmd->cmd_flags = qmsg == SC_NO_Q ? AD_CMD_UNTAGGED : 0;
    cmd->cmd_stage = 0;
    cmd->cmd_seq = (uint32_t)sb->bufstruct.b_work;
    cmd->cmd_deadline_ns = 0;
    ad_xfer_fill(cmd, sb, qmsg);
    if (SC_UNLIKELY(lun->lun_offline != 0)) {
        cmd->cmd_flags |= AD_CMD_TAKEN;
        cmd->cmd_xfer.xfer_result =
            lun->lun_offline & AD_OFF_ADAPTER ? AD_RES_HW_FAILURE : AD_RES_SELECT_TIMEOUT;
        cmd->cmd_xfer.xfer_resid = cmd->cmd_xfer.xfer_bytes;
    }

    lun->lun_queued--;
    lun->lun_starting++;
    if (++lun->lun_active > lun->lun_active_max)
        lun->lun_active_max = lun->lun_active;
}

/* The recovery command of AD_LUN_REC, if it waits and nothing is in its way. */
static struct ad_cmd *ad_pick_recovery_locked(struct ad_lun *lun)
{
    struct ad_cmd *cmd = &lun->lun_cmds[lun->lun_openings];
    struct sc_buf *sb = lun->lun_rec_sb;

    if (sb == NULL || cmd->cmd_state != AD_CMD_FREE ||
        (lun->lun_gate &
         (AD_GATE_CANCEL | AD_GATE_HW | AD_GATE_SEGS | AD_GATE_RESET | AD_GATE_TELL | AD_GATE_GROW)))
        return NULL;
    if ((sb->flags & SC_DELAY_CMD) && !ad_delay_over_locked(lun, sb))
        return NULL;
    if (SC_UNLIKELY(lun->lun_shared) && !ad_credit_take_locked(lun))
        return NULL;
    lun->lun_rec_sb = NULL;
    ad_cmd_take_locked(lun, cmd, sb, SC_NO_Q);
    cmd->cmd_flags |= AD_CMD_REC;
    cmd->cmd_xfer.xfer_flags |= AD_XFER_PAST;
    return cmd;
}

/* An ioctl's REQUEST SENSE, past its own hold, in the slot of recovery commands. */
static struct ad_cmd *ad_pick_sense_locked(struct ad_lun *lun)
{
    struct ad_cmd *cmd = &lun->lun_cmds[lun->lun_openings];

    if (lun->lun_sense.l_head == NULL || cmd->cmd_state != AD_CMD_FREE ||
        (lun->lun_gate & ~(AD_GATE_HOLD | AD_GATE_ORDERED | AD_GATE_FROZEN)))
        return NULL;
    if (SC_UNLIKELY(lun->lun_shared) && !ad_credit_take_locked(lun))
        return NULL;
    ad_cmd_take_locked(lun, cmd, ad_list_take(&lun->lun_sense), SC_NO_Q);
    cmd->cmd_flags |= AD_CMD_REC | AD_CMD_SENSE;
    cmd->cmd_xfer.xfer_flags |= AD_XFER_PAST;
    return cmd;
}

/* The head of the FIFO, if it may start. */
static struct ad_cmd *ad_pick_head_locked(struct ad_lun *lun)
{
    struct sc_buf *sb = (struct sc_buf *)(void *)lun->lun_queue.l_head;
    struct ad_cmd *cmd;
    uint8_t qmsg;

    if (SC_UNLIKELY(lun->lun_gate != 0))
        return lun->lun_gate & AD_GATE_HOLD ? ad_pick_sense_locked(lun) : NULL;
    if (sb == NULL)
        return NULL;
    qmsg = lun->lun_can_tag ? ad_guard_tag_locked(lun, sb) : SC_NO_Q;
    if (SC_UNLIKELY(lun->lun_nquar != 0))
        ad_quarantine_look_locked(lun, false);
    if (lun->lun_nfree == 0 || (qmsg == SC_NO_Q && lun->lun_active != 0) ||
        (qmsg > SC_SIMPLE_Q && lun->lun_starting != 0))
        return NULL;
    if (SC_UNLIKELY(lun->lun_active >= lun->lun_limit.lm_now)) {
        lun->lun_limit.lm_waits++;
        return NULL;
    }
    if (SC_UNLIKELY(sb->flags & SC_DELAY_CMD) && !ad_delay_over_locked(lun, sb))
        return NULL;
    if (SC_UNLIKELY(lun->lun_shared) && !ad_credit_take_locked(lun))
        return NULL;

    (void)ad_list_take(&lun->lun_queue);
    cmd = &lun->lun_cmds[ad_tag_take_locked(lun)];
    ad_cmd_take_locked(lun, cmd, sb, qmsg);
    if (SC_UNLIKELY(qmsg != SC_SIMPLE_Q)) {
        cmd->cmd_flags |= qmsg == SC_NO_Q ? 0 : AD_CMD_ORDERED;
        lun->lun_gate |= qmsg == SC_NO_Q ? AD_GATE_UNTAGGED : AD_GATE_ORDERED;
        ad_guard_sent_locked(lun, cmd);
    }
    return cmd;
}

/*
 * Take the next command that may start. The credit is taken before anything else happens (NB-05);
 * grants that turn out to be of no use are handed on.
 * Locks: lun_lock. Owns: the caller must pass the command to ad_exec_lock().
 */
struct ad_cmd *ad_pick_locked(struct ad_lun *lun)
{
    struct ad_cmd *cmd = NULL;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    if (SC_LIKELY(lun->lun_state == AD_LUN_RUN || lun->lun_state == AD_LUN_STOPPING))
        cmd = ad_pick_head_locked(lun);
    else if (lun->lun_state == AD_LUN_REC)
        cmd = ad_pick_recovery_locked(lun);
    if (SC_UNLIKELY(lun->lun_shared && cmd == NULL))
        ad_credit_drop_locked(lun);
    return cmd;
}

/* ---------------------------------------------------------------- taking back */

/*
 * Call abort() for one command that waits for it. The pin keeps the slot from being reused while
 * the call is under way: the command may end at the same moment, and then the chip would be asked
 * to abort somebody else's.
 * Locks: lun_lock, dropped meanwhile.
 */
void ad_abort_one_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;
    struct ad_cmd *cmd = NULL;

    for (uint32_t i = 0; i <= lun->lun_openings && cmd == NULL; i++)
        if (lun->lun_cmds[i].cmd_flags & AD_CMD_WANT_ABORT)
            cmd = &lun->lun_cmds[i];
    SHIM_ASSERT(cmd != NULL && cmd->cmd_state == AD_CMD_PENDING);
    AD_TRACE(HKWD_AD_ABORT, cmd->cmd_sb, 0, 0, 0);
    cmd->cmd_flags &= (uint16_t)~AD_CMD_WANT_ABORT;
    lun->lun_aborts--;
    cmd->cmd_pins++;
    shim_lock_exit(&lun->lun_lock);

    shim_sched_point();
    adp->adp_ops->abort(adp->adp_hw, &cmd->cmd_xfer);
    shim_sched_point();

    shim_lock_enter(&lun->lun_lock);
    cmd->cmd_pins--;
    if (cmd->cmd_pins == 0 && cmd->cmd_state == AD_CMD_DONE) {
        shim_lock_exit(&lun->lun_lock);
        ad_complete_lock(cmd);
    }
}
