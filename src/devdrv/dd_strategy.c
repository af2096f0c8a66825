/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_strategy.c - the theory of the disk device driver, and its strategy routine: what is accepted.
 *
 * Does not contain: how commands are made (dd_span.c, dd_frag.c, dd_cdb.c), sent and finished
 * (dd_start.c, dd_done.c), or recovered (dd_recover.c).
 *
 * ----------------------------------------------------------------------------------------------
 * Where a request is
 *
 *   strategy ─► PENDING ─► IN-PROCESS ─► (response) ─► its owner
 *                  ▲            │
 *                  └─ RECOVERING ◄┘
 *
 * A buf is in exactly one of these (AIX-01), b_work says which, and the three gauges plus `completed`
 * add up to `bufs` whenever the LUN lock is free. Pending is a chain through av_forw. In-process is a list
 * of commands, each with its chain of bufs. Commands that must be sent again keep their structure and
 * wait on the resend list, in the order of dd_requeue.c; it goes before pending, so it is the
 * pending queue's head, and its bufs count as pending.
 *
 * One lock
 *
 * un_lock guards every queue and counter of a disk. It is never held across devstrat(), iodone() or a
 * sleep. A chain of bufs costs one lock round trip to queue and dispatch, and its completions one more. A
 * buf that comes alone while nothing is held back and nothing waits takes no lock at all (dd_lane.c).
 *
 * Plug
 *
 * A simulated adapter ends a command inside devstrat(). Were each iodone handled where it happens, every
 * request would pay two lock round trips of its own, and a caller who sends its next buf from b_iodone
 * would never have two bufs pending at once, so nothing would ever be spanned. Instead the first entry
 * of a thread into the driver (strategy or completion) takes a *plug*: two private lists. Nested entries
 * of the same thread append to them, without a lock, and return: bufs submitted from b_iodone to one,
 * commands that came back to the other. The outermost entry (dd_start.c) loops:
 *
 *      lock: submitted bufs to pending; release the commands that are back; take new ones;  unlock
 *      push: iodone the bufs of the released commands
 *      send: devstrat the new commands
 *
 * until both lists stay empty. Release comes before push (XEN-01), the counter of responses queued and not
 * pushed is zero after each push (XEN-05), and no recursion ever happens however long a caller keeps
 * resubmitting. Plugs sit in a small hash by thread, so other threads are not held back; a thread that
 * finds its slot taken uses a plug on its stack and merely loses the batching.
 *
 * An interrupt may arrive on top of a thread that is in the middle of appending. pl_open is therefore
 * the thread's number only where a nested call is expected (around devstrat and iodone) and 0 while
 * the lists change; an interrupt that finds 0 behaves like another thread.
 *
 * Rejected: a "running" flag on the LUN, under which one thread starts what all threads submit. It is
 * shorter, but a thread then waits while another one's medium blocks. Rejected: one lock round trip per
 * buf with completion where it happens, see above.
 *
 * Large, small, misaligned
 *
 * Validation happens before anything is queued, so nothing that is queued can fail for a reason the
 * caller could have known. A request that crosses the end of the disk moves what is there and reports the
 * rest in b_resid; b_bcount stays as it was, the cut is in b_work.
 *
 * It happens without the lock, and the disk may be formatted, or have another capacity, before the buf is
 * queued: un_geometry says so, and then it is judged again. Who changes it waits afterwards until nothing is
 * out.
 */
#include "dd_impl.h"

/*
 * Judge one buf. Returns 0 and sets b_work (bytes to move, maybe 0) and b_resid, or an errno.
 * Context: any. Locks: none.
 */
static int strategy_check(const struct dd_unit *un, struct buf *bp)
{
    size_t bytes = bp->b_bcount;
    size_t block_mask = dd_block_bytes(un) - 1u;
    uint64_t sectors = dd_sectors(un);
    uint64_t start, room;

    bp->b_resid = bytes;
    bp->b_work = 0;
    if (SC_UNLIKELY(bytes & block_mask || bp->b_blkno < 0))
        return EINVAL;
    start = (uint64_t)bp->b_blkno;
    if (SC_UNLIKELY(start & (block_mask >> DEV_BSHIFT)))
        return EINVAL;
    if (SC_UNLIKELY(start >= sectors)) {
        if (sectors == 0)
            return EFORMAT; /* the block size has changed: see dd_todo.c */
        if (bytes == 0)
            return start == sectors ? 0 : ENXIO;
        /* Reading at the very end is how a caller finds it: nothing, and no error. */
        return start == sectors && (bp->b_flags & B_READ) ? 0 : ENXIO;
    }
    if (SC_UNLIKELY(un->un_read_only && !(bp->b_flags & B_READ)))
        return EWRPROTECT;
    if (SC_UNLIKELY(bp->b_options & ~(uint32_t)(WRITEV | SC_OPT_FUA)))
        return EINVAL;
    room = sectors - start;
    if (SC_UNLIKELY(bytes >> DEV_BSHIFT > room))
        bytes = (size_t)(room << DEV_BSHIFT);
    bp->b_resid = bp->b_bcount - bytes;
    bp->b_work = (uintptr_t)bytes | DD_BUF_PENDING;
    return 0;
}

/* The same with the unit's mode. */
static int strategy_judge(const struct dd_unit *un, struct buf *bp, unsigned mode)
{
    if (mode == DD_MODE_CLOSED || mode == DD_MODE_INVALID || bp->b_dev != un->un_devno)
        return ENXIO;
    return mode == DD_MODE_NORMAL ? strategy_check(un, bp) : EACCES;
}

/* Context: any. Locks: un_lock held. */
void dd_judge_again_locked(struct dd_unit *un, struct dd_chain *in, struct dd_chain *resp)
{
    unsigned mode = atomic_load_explicit(&un->un_mode, memory_order_relaxed);
    struct buf *bp = in->ch_head;

    *in = (struct dd_chain){NULL, NULL, 0};
    while (bp) {
        struct buf *next = bp->av_forw;
        int error = strategy_judge(un, bp, mode);

        bp->av_forw = NULL;
        if (!error && dd_buf_bytes(bp) > 0) {
            dd_chain_add(in, bp, bp, 1);
        } else {
            if (error) {
                bp->b_flags |= B_ERROR;
                bp->b_error = error;
                bp->b_resid = bp->b_bcount;
            }
            bp->b_work = DD_BUF_PENDING;
            un->un_stats.bufs++;
            un->un_stats.completed++;
            un->un_stats.errors += error != 0;
            dd_chain_add(resp, bp, bp, 1);
        }
        bp = next;
    }
}

/*
 * Accept requests: the chain at bp through av_forw.
 * Context: process or completion; never sleeps (AIX-03). Locks: takes un_lock once per batch.
 * Owns: every buf of the chain until its iodone; refused ones are given back before the return.
 */
void dd_strategy(struct buf *bp)
{
    struct dd_unit *un = dd_unit_of(bp->b_dev);
    struct dd_chain good = {NULL, NULL, 0};
    struct dd_chain bad = {NULL, NULL, 0};
    const uint32_t geometry = un ? dd_geometry(un) : 0;
    unsigned mode = un ? atomic_load_explicit(&un->un_mode, memory_order_relaxed) : DD_MODE_CLOSED;
    struct dd_plug *plug;

    while (bp) {
        struct buf *next = bp->av_forw;
        int error = strategy_judge(un, bp, mode);

        TRCHKL5T(HKWD_DD_STRATEGY, bp->b_dev, (uintptr_t)bp, bp->b_blkno, bp->b_bcount, bp->b_flags);
        bp->av_forw = NULL;
        bp->b_flags &= ~(uint32_t)(B_ERROR | B_DONE | B_MORE_DONE);
        bp->b_error = 0;
        if (SC_UNLIKELY(error || bp->b_work == 0 || dd_buf_bytes(bp) == 0)) {
            if (error) {
                bp->b_flags |= B_ERROR;
                bp->b_error = error;
                bp->b_resid = bp->b_bcount;
            }
            dd_chain_add(&bad, bp, bp, 1);
        } else {
            dd_chain_add(&good, bp, bp, 1);
        }
        bp = next;
    }
    if (good.ch_head) {
        if (SC_UNLIKELY(un->un_ahead != NULL) && good.ch_n > 1)
            dd_ahead_chain(un, good.ch_head);
        plug = dd_plug_mine(un);
        if (plug) {
            uintptr_t me = dd_plug_shut(plug);

            if (!plug->pl_submitted.ch_head)
                plug->pl_geometry = geometry; /* else the older one, for all */
            dd_chain_add(&plug->pl_submitted, good.ch_head, good.ch_tail, good.ch_n);
            dd_plug_open(plug, me);
        } else if (good.ch_n != 1 || !dd_lane_submit(un, good.ch_head, geometry)) {
            dd_run(un, &good, geometry);
        }
    }
    /* Refused, or nothing to move: never queued, never counted as submitted. */
    for (bp = bad.ch_head; bp;) {
        struct buf *next = bp->av_forw;

        bp->av_forw = NULL;
        bp->b_work = 0;
        dd_trace_iodone(bp->b_dev, bp);
        iodone(bp);
        bp = next;
    }
}
