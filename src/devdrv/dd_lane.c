/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_lane.c - one READ or WRITE at a time past the queues: no lock, and nothing that two threads write.
 *
 * With an adapter that ends commands inside devstrat() the queues of a disk are empty nearly always, and two
 * holds of un_lock (one to dispatch, one to release) are half the price of a request that comes alone. While
 * the *lane* is open such a request needs neither. Its thread takes its plug slot with one exchange, sends
 * the request in the command structure that lives in the slot, and if the command is back when devstrat()
 * returns, gives the buf to its owner and goes. What threads write is in their own slots; un_lane is only
 * read.
 *
 * Open means: the disk is open, tagged, holds nothing back, nothing waits to be sent or sent again, and the
 * queue depth has room for one command in every slot beside those that are out (dd_lane_open_locked()). Who
 * changes any of that closes the lane under un_lock. He does not learn which slots are in use, and does not
 * need to: a request that passes him is in the position of one that had been handed to the adapter a moment
 * before. Its thread looks at un_lane again when the command is back and, finding it closed, goes through the
 * queues as everybody. That somebody is inside he does learn (dd_lane_busy_locked()), which who waits for
 * everything that is at the adapter has to know: either he sees the slot taken, or its thread sees the lane
 * closed, because both write before they read.
 *
 * What is not plain leaves the lane: *joins*. A command that is not back when devstrat() returns, that
 * failed, that moved less than it should, or that other commands came back beside, is put in the in-process
 * queue under un_lock and is an ordinary one from then on. One that comes back on another thread before it
 * has joined is marked there (DD_CMD_LANE_DONE), for its own thread is bound to look.
 *
 * For a moment after it was closed there may be a command in each slot beyond the queue depth. All of them
 * are inside devstrat() of an adapter that answers there, which has its own count of what a device may have.
 *
 * The lane is opened by open and, after DD_LANE_STREAK rounds in which everything came back inside
 * devstrat(), by the loop. So an adapter that pends pays for one useless try in that many.
 *
 * Counters are kept in the slot and moved to un_stats with every SC_LAT_SAMPLE-th command, which takes the
 * lock for its sample; a reader adds what is still there (dd_lane_stats_locked()).
 *
 * Rejected: one word with a bit per slot, as the adapter's lane has it, from which the closer learns who is
 * inside. He has no use for it, and all threads would write it twice per request. Rejected: several requests
 * in the lane at once: they would never be spanned.
 *
 * Does not contain: requests of more than one buf, fragments, errors (dd_start.c, dd_recover.c).
 */
#include "dd_impl.h"

#define DD_LANE_STREAK 32u

/* ------------------------------------------------------------------ opening and closing */

static inline bool lane_is_open(const struct dd_unit *un)
{
    return atomic_load_explicit(&un->un_lane, memory_order_seq_cst);
}

/* Does nothing speak against it? What pends counts unless the loop is about to go on with it. Locks: un_lock
 * held. */
static bool lane_may_open_locked(const struct dd_unit *un, bool more)
{
    return un->un_hold == 0 && !un->un_need_resume && !un->un_need_delay && un->un_todo == 0 &&
           (more || !un->un_pending.ch_head) && un->un_again == 0 && !un->un_frag_cur &&
           un->un_sync_waiting == 0 && un->un_tag == SC_SIMPLE_Q && un->un_depth == un->un_depth_max &&
           un->un_active + DD_PLUGS <= un->un_depth && un->un_opens > 0 &&
           atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_NORMAL;
}

/* Open it unless something speaks against it; slots that have no structure get one. Locks: un_lock held. */
void dd_lane_open_locked(struct dd_unit *un)
{
    KASSERT(lock_mine(&un->un_lock));
    un->un_lane_streak = 0;
    if (un->un_depth_max < DD_LANE_DEPTH_MIN || !lane_may_open_locked(un, false))
        return;
    for (unsigned i = 0; i < DD_PLUGS && un->un_free; i++) {
        struct dd_cmd *cmd = un->un_free;

        if (un->un_plugs[i].pl_cmd)
            continue; /* its thread slept through closing and opening */
        un->un_free = cmd->cmd_next;
        KASSERT(cmd->cmd_state == DD_CMD_FREE);
        cmd->cmd_state = DD_CMD_LANE;
        cmd->cmd_kind = DD_KIND_RW;
        cmd->cmd_nbufs = 1;
        cmd->cmd_off = 0;
        cmd->cmd_retries = cmd->cmd_attentions = cmd->cmd_deferred = cmd->cmd_bus_fault = 0;
        cmd->cmd_waits = cmd->cmd_resends = 0;
        cmd->cmd_sendflags = 0;
        cmd->cmd_time_ns = 0;
        un->un_plugs[i].pl_cmd = cmd;
    }
    atomic_store_explicit(&un->un_lane, true, memory_order_release);
}

/* Locks: un_lock held. */
void dd_lane_close_locked(struct dd_unit *un)
{
    KASSERT(lock_mine(&un->un_lock));
    un->un_lane_streak = 0;
    if (!atomic_load_explicit(&un->un_lane, memory_order_relaxed))
        return;
    shim_sched_point();
    atomic_store_explicit(&un->un_lane, false, memory_order_seq_cst);
}

/* The loop has looked at the queues. `inside`: all it sent had come back by then; `more`: it will look again.
 * Locks: un_lock held. */
void dd_lane_look_locked(struct dd_unit *un, bool inside, bool more)
{
    if (atomic_load_explicit(&un->un_lane, memory_order_relaxed)) {
        if (SC_UNLIKELY(!lane_may_open_locked(un, more)))
            dd_lane_close_locked(un);
    } else if (inside && un->un_depth_max >= DD_LANE_DEPTH_MIN && ++un->un_lane_streak >= DD_LANE_STREAK) {
        dd_lane_open_locked(un);
    }
}

/*
 * Who has sent a command before it was closed, or is about to: he took the slot before he looked, and we
 * closed before we look. Locks: un_lock held.
 */
bool dd_lane_busy_locked(const struct dd_unit *un)
{
    bool busy = false;

    for (unsigned i = 0; i < DD_PLUGS; i++)
        busy |= atomic_load_explicit(&un->un_plugs[i].pl_holder, memory_order_seq_cst) == DD_PLUG_LANE;
    return busy;
}

/* Locks: un_lock held; nobody is in the driver, or will be before the next open. */
void dd_lane_fini_locked(struct dd_unit *un)
{
    KASSERT(!atomic_load_explicit(&un->un_lane, memory_order_relaxed));
    for (unsigned i = 0; i < DD_PLUGS; i++) {
        struct dd_cmd *cmd = un->un_plugs[i].pl_cmd;

        un->un_plugs[i].pl_cmd = NULL;
        if (cmd)
            dd_pool_put_locked(un, cmd);
    }
}

/* ------------------------------------------------------------------ counters */

/* Move what the slot has counted. Locks: un_lock held; the slot is the caller's. */
static void lane_fold_locked(struct dd_unit *un, struct dd_plug *plug)
{
    const size_t n = atomic_load_explicit(&plug->pl_bufs, memory_order_relaxed);

    un->un_stats.bufs += n;
    un->un_stats.commands += n;
    un->un_stats.completed += n;
    un->un_stats.bytes_read += atomic_load_explicit(&plug->pl_bytes_read, memory_order_relaxed);
    un->un_stats.bytes_written += atomic_load_explicit(&plug->pl_bytes_written, memory_order_relaxed);
    atomic_store_explicit(&plug->pl_bufs, 0, memory_order_relaxed);
    atomic_store_explicit(&plug->pl_bytes_read, 0, memory_order_relaxed);
    atomic_store_explicit(&plug->pl_bytes_written, 0, memory_order_relaxed);
}

/* Add what is in the slots to a copy of the counters. Locks: un_lock held. */
void dd_lane_stats_locked(const struct dd_unit *un, struct sc_disk_stats *st)
{
    for (unsigned i = 0; i < DD_PLUGS; i++) {
        const struct dd_plug *plug = &un->un_plugs[i];
        const uint64_t busy = atomic_load_explicit(&plug->pl_holder, memory_order_relaxed) == DD_PLUG_LANE;
        const uint64_t n = atomic_load_explicit(&plug->pl_bufs, memory_order_relaxed);

        st->bufs += n + busy;
        st->commands += n + busy;
        st->in_process += busy;
        st->completed += n;
        st->bytes_read += atomic_load_explicit(&plug->pl_bytes_read, memory_order_relaxed);
        st->bytes_written += atomic_load_explicit(&plug->pl_bytes_written, memory_order_relaxed);
    }
}

/* Locks: un_lock held. */
uint64_t dd_lane_done_locked(const struct dd_unit *un)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < DD_PLUGS; i++)
        n += atomic_load_explicit(&un->un_plugs[i].pl_bufs, memory_order_relaxed);
    return n;
}

/* One slot's counter, written by its holder only. */
static inline void lane_count(_Atomic size_t *counter, size_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* ------------------------------------------------------------------ one request */

/* Send it. The plug is open meanwhile: completions and new requests of this thread are left in it. */
static inline void lane_send(struct dd_unit *un, struct dd_plug *plug, uintptr_t me, struct buf *bp)
{
    struct dd_cmd *cmd = plug->pl_cmd;
    int error;

    cmd->cmd_bp = cmd->cmd_tail = bp;
    cmd->cmd_bytes = (uint32_t)dd_buf_bytes(bp);
    cmd->cmd_lba = (uint64_t)bp->b_blkno >> (un->un_shift - DEV_BSHIFT);
    cmd->cmd_read = (uint8_t)(bp->b_flags & B_READ);
    dd_cdb_build(un, cmd);
    if ((atomic_load_explicit(&plug->pl_bufs, memory_order_relaxed) + 1u) % SC_LAT_SAMPLE == 0)
        cmd->cmd_time_ns = kern_now_ns();
    dd_trace_send(un, cmd);
    dd_plug_open(plug, me);
    error = devstrat(&cmd->cmd_sc.bufstruct);
    if (SC_UNLIKELY(error)) {
        /* The adapter driver has gone from the switch: nobody else will complete it. */
        cmd->cmd_sc.bufstruct.b_flags |= B_ERROR;
        cmd->cmd_sc.bufstruct.b_error = error;
        iodone(&cmd->cmd_sc.bufstruct);
    }
    (void)dd_plug_shut(plug);
}

/* Is the command back, alone and well, and the disk as it was? */
static inline bool lane_is_plain(const struct dd_unit *un, const struct dd_plug *plug)
{
    const struct dd_cmd *cmd = plug->pl_cmd;

    return plug->pl_done_head == cmd && plug->pl_done_tail == cmd &&
           !(cmd->cmd_sc.bufstruct.b_flags & B_ERROR) && cmd->cmd_sc.bufstruct.b_resid == 0 &&
           lane_is_open(un);
}

/* It is: count it and give the buf back. */
static inline void lane_end(struct dd_unit *un, struct dd_plug *plug, uintptr_t me)
{
    struct dd_cmd *cmd = plug->pl_cmd;
    struct buf *bp = cmd->cmd_bp;

    plug->pl_done_head = NULL;
    lane_count(&plug->pl_bufs, 1);
    lane_count(cmd->cmd_read ? &plug->pl_bytes_read : &plug->pl_bytes_written, cmd->cmd_bytes);
    /* Not before it is on the device: a flush that begins now covers it, one that was sent does not. */
    if (!cmd->cmd_read)
        dd_dirty_mark(un);
    if (SC_UNLIKELY(cmd->cmd_time_ns != 0)) {
        int old = disable_lock(INTIODONE, &un->un_lock);

        dd_sample_locked(un, cmd);
        lane_fold_locked(un, plug);
        unlock_enable(old, &un->un_lock);
        cmd->cmd_time_ns = 0;
    }
    bp->b_work = 0;
    dd_trace_iodone(bp->b_dev, bp);
    atomic_store_explicit(&plug->pl_holder, DD_PLUG_HELD, memory_order_release);
    atomic_store_explicit(&plug->pl_responses, 1, memory_order_relaxed);
    dd_plug_open(plug, me);
    iodone(bp);
    (void)dd_plug_shut(plug);
    atomic_store_explicit(&plug->pl_responses, 0, memory_order_relaxed);
}

/* It is not: an ordinary command from now on. Locks: un_lock held. */
static void lane_join_locked(struct dd_unit *un, struct dd_plug *plug)
{
    struct dd_cmd *cmd = plug->pl_cmd;
    const bool done_elsewhere = cmd->cmd_state == DD_CMD_LANE_DONE;

    dd_lane_close_locked(un);
    plug->pl_cmd = NULL;
    un->un_stats.bufs++;
    un->un_stats.commands++;
    un->un_stats.in_process++;
    dd_buf_state_set(cmd->cmd_bp, DD_BUF_INPROC);
    cmd->cmd_seq = un->un_seq++;
    atomic_store_explicit(&cmd->cmd_sent, cmd->cmd_seq, memory_order_relaxed);
    dd_inproc_add_locked(un, cmd);
    if (done_elsewhere)
        dd_plug_done(plug, cmd);
}

/*
 * A request of one buf, and nothing of this thread is under way on this disk. False: it is not for the lane,
 * and nothing has happened. Context: any; never sleeps. Locks: none. Owns: with true the buf is ours until
 * iodone, which may have come. (AIX-03, AIX-04, XEN-01)
 */
bool dd_lane_submit(struct dd_unit *un, struct buf *bp, uint32_t geometry)
{
    const uintptr_t me = dd_plug_self();
    struct dd_plug *plug = dd_plug_slot(un, me);
    uintptr_t nobody = DD_PLUG_FREE;
    bool joins = false;
    int old;

    if (!atomic_load_explicit(&un->un_lane, memory_order_relaxed) || dd_buf_bytes(bp) > un->un_transfer_max)
        return false;
    shim_sched_point();
    if (SC_UNLIKELY(!atomic_compare_exchange_strong_explicit(&plug->pl_holder, &nobody, DD_PLUG_LANE,
                                                             memory_order_seq_cst, memory_order_relaxed)))
        return false;
    shim_sched_point();
    KASSERT(!plug->pl_submitted.ch_head && !plug->pl_done_head);
    plug->pl_again = false;
    dd_chain_add(&plug->pl_submitted, bp, bp, 1);
    plug->pl_geometry = geometry;
    /* Looked at last: while we are inside with the lane open, a format waits for us. */
    while (plug->pl_submitted.ch_n == 1 && !plug->pl_again && !plug->pl_done_head && lane_is_open(un) &&
           plug->pl_geometry == dd_geometry(un) && plug->pl_cmd &&
           dd_buf_bytes(plug->pl_submitted.ch_head) <= un->un_transfer_max) {
        bp = plug->pl_submitted.ch_head;
        plug->pl_submitted = (struct dd_chain){NULL, NULL, 0};
        lane_send(un, plug, me, bp);
        joins = !lane_is_plain(un, plug);
        if (SC_UNLIKELY(joins))
            break;
        lane_end(un, plug, me);
        if (SC_UNLIKELY(plug->pl_submitted.ch_head !=
                        NULL)) /* from that iodone: in the lane before we look */
            (void)atomic_exchange_explicit(&plug->pl_holder, DD_PLUG_LANE, memory_order_seq_cst);
    }
    if (SC_LIKELY(!joins && !plug->pl_submitted.ch_head && !plug->pl_again && !plug->pl_done_head &&
                  lane_is_open(un))) {
        dd_plug_drop(un, plug);
        return true;
    }
    old = disable_lock(INTIODONE, &un->un_lock);
    atomic_store_explicit(&plug->pl_holder, DD_PLUG_HELD, memory_order_relaxed);
    lane_fold_locked(un, plug);
    if (joins)
        lane_join_locked(un, plug);
    else if (un->un_rec.rec_state == DD_REC_HALT)
        dd_halt_look_locked(un, false); /* we may be whom it waits for */
    dd_run_plugged(un, plug, me, old);
    return true;
}
