/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_done.c - a command came back: the good case, and the way to all others.
 *
 * Completion has two steps. Under the LUN lock the command leaves the in-process queue, its structure goes
 * back to the pool and the responses of its bufs are queued (dd_release_locked); afterwards, without the
 * lock, the loop in dd_start.c pushes them with iodone. A submitter that reacts to its completion therefore
 * finds everything its request used free again (XEN-01).
 *
 * An adapter driver that gives back a list says so (B_MORE_DONE) and has a plug (kern_plug.c) around it. Then
 * the first of the list takes its thread's slot and leaves it open, the others add themselves without a lock,
 * and the plug's end does both steps once for all. An error is never the first, it is looked at at once; one
 * that comes later is noted, as from inside the loop. Rejected: a list under un_lock, which is a lock per
 * command again; to hold back without B_MORE_DONE, since the plug may be that of somebody who submits.
 *
 * A short transfer without B_ERROR is not an error: bufs before the point where it stopped are complete, the
 * rest carry the residual.
 *
 * Does not contain: errors (dd_recover.c), fragments' records (dd_frag.c).
 */
#include "dd_impl.h"

/* Spread a residual over the bufs of a command, from the end. Locks: none needed: the bufs are ours. */
static void done_short(struct dd_cmd *cmd, size_t moved)
{
    size_t start = 0;

    for (struct buf *bp = cmd->cmd_bp; bp; bp = bp->av_forw) {
        size_t bytes = dd_buf_bytes(bp);

        if (start + bytes > moved)
            bp->b_resid = bp->b_bcount - (moved > start ? moved - start : 0);
        start += bytes;
    }
    KASSERT(start == cmd->cmd_bytes);
}

void dd_sample_locked(struct dd_unit *un, const struct dd_cmd *cmd)
{
    unsigned bucket = 63u - (unsigned)__builtin_clzll(cmd->cmd_time_ns | 1u);

    if (bucket >= SC_LAT_BUCKETS)
        bucket = SC_LAT_BUCKETS - 1u;
    if (cmd->cmd_read)
        un->un_stats.lat_read[bucket]++;
    else
        un->un_stats.lat_write[bucket]++;
}

/*
 * A READ or WRITE that ended well and has left the in-process queue: count, queue responses, structure back.
 * Context: any. Locks: un_lock held. Requirements: AIX-04, XEN-01, XEN-02, XEN-04.
 */
void dd_release_locked(struct dd_unit *un, struct dd_cmd *cmd, struct dd_chain *resp)
{
    size_t resid = cmd->cmd_sc.bufstruct.b_resid;
    size_t moved = cmd->cmd_bytes;

    KASSERT(cmd->cmd_kind <= DD_KIND_FRAG && cmd->cmd_bp); /* that it is held, who calls has looked */
    if (SC_UNLIKELY(resid > 0))
        moved = resid < moved ? moved - resid : 0;
    if (SC_LIKELY(cmd->cmd_kind == DD_KIND_RW)) {
        if (SC_UNLIKELY(resid > 0))
            done_short(cmd, moved);
        un->un_stats.in_process -= cmd->cmd_nbufs;
        un->un_stats.completed += cmd->cmd_nbufs;
        if (cmd->cmd_read) {
            un->un_stats.bytes_read += moved;
        } else {
            un->un_stats.bytes_written += moved;
            dd_dirty_mark(un);
        }
        if (SC_UNLIKELY(un->un_flying.fl_left > 0))
            for (struct buf *bp = cmd->cmd_bp; bp; bp = bp->av_forw)
                dd_flight_done_locked(un, bp, 0);
        dd_chain_add(resp, cmd->cmd_bp, cmd->cmd_tail, cmd->cmd_nbufs);
    } else {
        dd_frag_done_locked(un, cmd, moved, 0, resp);
    }
    if (cmd->cmd_time_ns)
        dd_sample_locked(un, cmd);
    dd_pool_put_locked(un, cmd);
    if (SC_UNLIKELY(un->un_depth < un->un_depth_max) && ++un->un_good_run >= DD_DEPTH_CLIMB) {
        un->un_good_run = 0;
        un->un_depth++;
    }
    if (SC_UNLIKELY(un->un_rec.rec_state >= DD_REC_WAIT))
        dd_recover_nudge_locked(un, true);
}

/*
 * Everything but a READ or WRITE that ended well: the recovery command, synchronous commands, errors.
 * Context: completion. Locks: un_lock held.
 */
void dd_done_other_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(lock_mine(&un->un_lock));
    if (cmd->cmd_kind == DD_KIND_RESERVE) {
        dd_recover_reserve_done_locked(un);
        return;
    }
    if (cmd->cmd_kind == DD_KIND_UNSTICK) {
        dd_recover_unstick_done_locked(un);
        return;
    }
    dd_inproc_del_locked(un, cmd);
    if (cmd->cmd_noted)
        dd_halt_noted_locked(un, cmd);
    if (cmd->cmd_sc.bufstruct.b_flags & B_ERROR) {
        cmd->cmd_failed_ns = kern_now_ns();
        dd_recover_error_locked(un, cmd);
        dd_recover_nudge_locked(un, false);
    } else {
        un->un_progress++;
        un->un_good++;
        dd_dead_alive_locked(un);
        dd_sync_finish_locked(un, cmd, 0, false);
        dd_recover_nudge_locked(un, true);
    }
}

/* The adapter driver has given back its list. Context: that of the iodone calls; no lock held. */
static void done_unplugged(void *arg)
{
    struct dd_unit *un = arg;
    struct dd_plug *plug = dd_plug_mine(un);
    uintptr_t me;
    int old;

    KASSERT(plug);
    me = dd_plug_shut(plug);
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_run_plugged(un, plug, me, old);
}

/*
 * More come at once: leave it to the end of the list. False: not possible, nothing has happened.
 * Context: completion; never sleeps. Locks: none held.
 */
static bool done_hold(struct dd_unit *un, struct dd_cmd *cmd)
{
    const uintptr_t me = dd_plug_self();
    struct dd_plug *plug = dd_plug_slot(un, me);
    uintptr_t nobody = DD_PLUG_FREE;

    shim_sched_point();
    if (SC_UNLIKELY(!atomic_compare_exchange_strong_explicit(&plug->pl_holder, &nobody, DD_PLUG_HELD,
                                                             memory_order_seq_cst, memory_order_relaxed)))
        return false;
    if (SC_UNLIKELY(kern_plug_join(done_unplugged, un) == KERN_PLUG_NONE)) {
        dd_plug_drop(un, plug);
        return false;
    }
    plug->pl_again = false;
    dd_plug_done(plug, cmd);
    dd_plug_open(plug, me);
    return true;
}

/* Its thread is not in the driver. Out of line: who is shall not pay for this. */
__attribute__((noinline)) static void done_outside(struct dd_unit *un, struct dd_cmd *cmd)
{
    if ((cmd->cmd_sc.bufstruct.b_flags & (B_MORE_DONE | B_ERROR)) != B_MORE_DONE || !done_hold(un, cmd))
        dd_run_done(un, cmd);
}

/*
 * b_iodone of every sc_buf the driver sends. The outermost entry on this stack does the work: see
 * dd_strategy.c, "Plug".
 * Context: completion; never sleeps. Locks: none held by the caller. Owns: the command is ours again.
 */
void dd_done(struct buf *bp)
{
    struct dd_cmd *cmd = SC_CONTAINER_OF(bp, struct dd_cmd, cmd_sc.bufstruct);
    struct dd_unit *un = cmd->cmd_unit;
    struct dd_plug *plug = dd_plug_mine(un);
    uintptr_t me;

    TRCHKL5T(HKWD_DD_BACK, un->un_devno, (uintptr_t)bp, bp->b_flags & B_ERROR ? bp->b_error : 0,
             TRC_STATUS(cmd->cmd_sc.status_validity, cmd->cmd_sc.scsi_status, cmd->cmd_sc.general_card_status,
                        cmd->cmd_sc.adap_q_status),
             bp->b_resid);
    if (SC_UNLIKELY(cmd->cmd_time_ns != 0))
        cmd->cmd_time_ns = kern_now_ns() - cmd->cmd_time_ns + 1u;
    if (!plug) {
        done_outside(un, cmd);
        return;
    }
    if (SC_UNLIKELY(bp->b_flags & B_ERROR))
        dd_halt_note(un, cmd);
    me = dd_plug_shut(plug);
    dd_plug_done(plug, cmd);
    dd_plug_open(plug, me);
}
