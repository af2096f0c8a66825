/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_buf.c - iodone and iowait: how a finished request comes back.
 *
 * On AIX iodone may be called at any interrupt level and runs b_iodone at INTIODONE, off-level if
 * need be. Here the simulated chip finishes a command inside strategy, so that the same call chain
 * would recurse: b_iodone submits, the chip finishes, iodone calls b_iodone ... Each thread
 * therefore counts how many iodone routines are active on its stack. Up to SHIM_IODONE_NEST they
 * are plain calls, which is what the two levels of the pair need (adapter to disk driver, disk
 * driver to caller) and what makes a completion cost a few nanoseconds. Deeper ones go to the end
 * of a list in the thread's record, and the outermost iodone works it off: the stack is bounded,
 * the order is that of completion, and no other thread is involved.
 *
 * Rejected: a done thread (a hand-over costs a thousand times the call); one list for all threads
 * (a lock and a convoy); always queueing (two list operations and a cache miss per request for
 * nothing in the common case).
 *
 * Does not contain: which thread finishes a pending command (the adapter), uphysio.
 */
#include "kern_impl.h"

/* Put off: behind those that wait already. The buf is nobody's but ours until b_iodone. */
static void kern_iodone_defer(struct shim_self *self, struct buf *bp)
{
    KASSERT(self->self_iodone_depth > 0 && (!self->self_done_head || self->self_done_tail));
    bp->av_forw = NULL;
    shim_sched_point();
    if (self->self_done_head)
        self->self_done_tail->av_forw = bp;
    else
        self->self_done_head = bp;
    shim_sched_point();
    self->self_done_tail = bp;
}

/* The outermost iodone works off the list; each entry runs one level deep, as a direct one would. */
static void kern_iodone_drain(struct shim_self *self)
{
    KASSERT(self->self_iodone_depth == 1);
    while (self->self_done_head) {
        struct buf *bp = self->self_done_head;

        self->self_done_head = bp->av_forw;
        bp->av_forw = NULL;
        shim_sched_point();
        bp->b_iodone(bp);
    }
}

/*
 * A request is finished. Context: any. Locks: none held; none taken. Owns: bp goes back to whoever
 * set b_iodone. Requirement: AIX-04, XEN-07 (asserted: no lock is held when others are told).
 */
void iodone(struct buf *bp)
{
    struct shim_self *self = shim_self();
    uint32_t old;

    KASSERT(bp->b_iodone != NULL);
    if (SC_UNLIKELY(self->self_nlocks != 0))
        shim_panic("iodone: called with %s held", self->self_locks[0]->sl_name);
    bp->b_flags |= B_DONE;
    if (SC_UNLIKELY(self->self_iodone_depth >= SHIM_IODONE_NEST)) {
        kern_iodone_defer(self, bp);
        return;
    }
    old = shim_ctx_enter(self, SHIM_CTX_COMPLETION);
    self->self_iodone_depth++;
    shim_sched_point();
    bp->b_iodone(bp);
    shim_sched_point();
    if (self->self_iodone_depth == 1)
        kern_iodone_drain(self);
    shim_sched_point();
    self->self_iodone_depth--;
    shim_ctx_leave(self, old);
}

void iodone_wakeup(struct buf *bp) { shim_wake(kern_event(&bp->b_event)); }

/*
 * Wait for one request. Context: process, no lock held. Owns: bp is the caller's afterwards. Waits
 * for the wake-up even when B_DONE is seen first: only after it does nobody touch the buf.
 */
int iowait(struct buf *bp)
{
    (void)sck_wait(kern_event(&bp->b_event), NULL, UINT64_MAX);
    KASSERT(bp->b_flags & B_DONE);
    if (!(bp->b_flags & B_ERROR))
        return 0;
    return bp->b_error ? bp->b_error : EIO;
}
