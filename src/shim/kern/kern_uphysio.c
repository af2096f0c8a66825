/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_uphysio.c - raw I/O: a user's scattered request becomes bufs for a strategy routine.
 *
 * The bufs are on the caller's stack, at most KERN_UPHYSIO_INFLIGHT at once, so nothing is
 * allocated and nothing can be short. They are cut in the order of the request, and all that are
 * cut at one time go down as one chain: the driver takes its lock once and may put neighbours into
 * one command. Finished ones are taken back in whatever order they finish; their places are filled
 * again at once. Only when none has finished does the caller sleep, on the oldest.
 *
 * Errors. What counts is the place in the request, not the time: uio_resid counts from the *first*
 * buf that failed or came up short, whatever finished after it. So each buf remembers where it
 * began, and the stop is the smallest such place seen.
 *
 * A request of one buf, which is what nearly all are, has a path of its own without the bookkeeping.
 *
 * Rejected: one event for all bufs of a call (two completions race with the return: the second would
 * signal a stack frame that has gone); reaping in order only (one slow buf would idle the rest).
 *
 * Does not contain: the largest transfer (mincnt knows), alignment rules (the driver).
 */
#include "kern_impl.h"

/* Where the cutting is. The uio itself is advanced once, at the end. */
struct kern_cursor {
    const struct iovec *cu_iov;
    const struct xmem *cu_xmem; /* or NULL */
    int32_t cu_iovcnt;
    size_t cu_skip;  /* bytes of *cu_iov already cut */
    size_t cu_left;  /* bytes of the request not cut */
    size_t cu_place; /* bytes cut: where the next buf begins */
};

struct kern_slot_buf {
    struct buf sb_buf;
    size_t sb_place;
    bool sb_busy;
};

struct kern_uphysio {
    const struct uio *up_uio;
    unsigned up_rw;
    devno_t up_devno;
    void (*up_strat)(struct buf *bp);
    mincnt_t up_mincnt;
    void *up_minparms;
    struct kern_cursor up_cursor;
    size_t up_stop; /* bytes good from the start, as far as known */
    int up_error;   /* of the buf at up_stop; 0: short */
    bool up_halt;   /* cut no more */
};

/* ---------------------------------------------------------------- cutting */

/* Empty pieces are passed over. False at the end. */
static bool kern_cursor_settle(struct kern_cursor *cu)
{
    while (cu->cu_iovcnt > 0 && cu->cu_skip == cu->cu_iov->iov_len) {
        cu->cu_iov++;
        cu->cu_iovcnt--;
        cu->cu_skip = 0;
        if (cu->cu_xmem)
            cu->cu_xmem++;
    }
    return cu->cu_iovcnt > 0 && cu->cu_left > 0;
}

static void kern_cursor_init(struct kern_cursor *cu, const struct uio *uiop)
{
    cu->cu_iov = uiop->uio_iov;
    cu->cu_xmem = uiop->uio_xmem;
    cu->cu_iovcnt = uiop->uio_iovcnt;
    cu->cu_skip = 0;
    cu->cu_left = uiop->uio_resid;
    cu->cu_place = 0;
}

/* Everything from `place` on has not been transferred; only the earliest such place counts. */
static void kern_uphysio_stop(struct kern_uphysio *up, size_t place, int error)
{
    KASSERT(place <= up->up_uio->uio_resid);
    if (place < up->up_stop) {
        up->up_stop = place;
        up->up_error = error;
    }
    up->up_halt = true;
}

/*
 * Make a buf of the next bytes. 0; else the errno that ends the request at this place. Every field
 * is set: the memory is the stack's.
 */
static int kern_uphysio_cut(struct kern_uphysio *up, struct buf *bp)
{
    struct kern_cursor *cu = &up->up_cursor;
    size_t bytes = cu->cu_iov->iov_len - cu->cu_skip;
    int64_t offset = up->up_uio->uio_offset + (int64_t)cu->cu_place;
    int rc;

    if (bytes > cu->cu_left)
        bytes = cu->cu_left;
    if (SC_UNLIKELY(!cu->cu_iov->iov_base))
        return EFAULT;
    if (SC_UNLIKELY(offset & (int64_t)(DEV_BSIZE - 1)))
        return EINVAL;
    *bp = (struct buf){
        .b_flags = up->up_rw | B_BUSY | B_MPSAFE,
        .b_iodone = iodone_wakeup,
        .b_dev = up->up_devno,
        .b_un.b_addr = (char *)cu->cu_iov->iov_base + cu->cu_skip,
        .b_bcount = bytes,
        .b_blkno = offset >> DEV_BSHIFT,
    };
    if (cu->cu_xmem)
        bp->b_xmemd = *cu->cu_xmem;
    else
        bp->b_xmemd.aspace_id = up->up_uio->uio_segflg == UIO_USERSPACE ? XMEM_PROC : XMEM_GLOBAL;
    if (up->up_mincnt) {
        rc = up->up_mincnt(bp, up->up_minparms);
        if (rc)
            return rc;
        if (SC_UNLIKELY(bp->b_bcount == 0 || bp->b_bcount > bytes))
            return EINVAL;
    }
    cu->cu_skip += bp->b_bcount;
    cu->cu_left -= bp->b_bcount;
    cu->cu_place += bp->b_bcount;
    return 0;
}

/* ---------------------------------------------------------------- sending and taking back */

static void kern_uphysio_send(const struct kern_uphysio *up, struct buf *chain)
{
    struct shim_self *self = kern_strategy_enter();

    up->up_strat(chain);
    kern_strategy_leave(self);
}

/* Judge a finished buf that began at `place`. */
static void kern_uphysio_judge(struct kern_uphysio *up, const struct buf *bp, size_t place)
{
    KASSERT(bp->b_flags & B_DONE);
    if (SC_UNLIKELY(bp->b_flags & B_ERROR))
        kern_uphysio_stop(up, place, bp->b_error ? bp->b_error : EIO);
    else if (SC_UNLIKELY(bp->b_resid != 0))
        kern_uphysio_stop(
            up, place + bp->b_bcount - (bp->b_resid < bp->b_bcount ? bp->b_resid : bp->b_bcount), 0);
}

/* Fill the free slots and send what was cut, after `head` if there is one, as one chain. Returns how many. */
static unsigned kern_uphysio_fill(struct kern_uphysio *up, struct kern_slot_buf *slots, unsigned nslots,
                                  struct buf *head)
{
    struct buf *chain = head, **tail = head ? &head->av_forw : &chain;
    unsigned sent = head ? 1 : 0;

    for (unsigned i = 0; i < nslots && !up->up_halt && kern_cursor_settle(&up->up_cursor); i++) {
        struct kern_slot_buf *sb = &slots[i];
        int rc;

        if (sb->sb_busy)
            continue;
        sb->sb_place = up->up_cursor.cu_place;
        rc = kern_uphysio_cut(up, &sb->sb_buf);
        if (rc) {
            kern_uphysio_stop(up, sb->sb_place, rc);
            break;
        }
        sb->sb_busy = true;
        *tail = &sb->sb_buf;
        tail = &sb->sb_buf.av_forw;
        sent++;
    }
    if (chain)
        kern_uphysio_send(up, chain);
    return sent;
}

/* Take back all that have finished, without sleeping. Returns how many. */
static unsigned kern_uphysio_reap(struct kern_uphysio *up, struct kern_slot_buf *slots, unsigned nslots)
{
    unsigned reaped = 0;

    for (unsigned i = 0; i < nslots; i++) {
        struct kern_slot_buf *sb = &slots[i];

        if (!sb->sb_busy || atomic_load_explicit(&sb->sb_buf.b_event, memory_order_acquire) != 1)
            continue;
        sb->sb_busy = false;
        kern_uphysio_judge(up, &sb->sb_buf, sb->sb_place);
        reaped++;
    }
    return reaped;
}

/* Sleep for the busy buf that comes first in the request. */
static void kern_uphysio_wait_oldest(struct kern_uphysio *up, struct kern_slot_buf *slots, unsigned nslots)
{
    struct kern_slot_buf *oldest = NULL;

    for (unsigned i = 0; i < nslots; i++)
        if (slots[i].sb_busy && (!oldest || slots[i].sb_place < oldest->sb_place))
            oldest = &slots[i];
    KASSERT(oldest != NULL);
    (void)iowait(&oldest->sb_buf);
    oldest->sb_busy = false;
    kern_uphysio_judge(up, &oldest->sb_buf, oldest->sb_place);
}

/*
 * The general case; `first` is cut already, or NULL. Out of line, so that the single buf does not
 * pay for this stack frame.
 */
static __attribute__((noinline)) void kern_uphysio_many(struct kern_uphysio *up, unsigned nslots,
                                                        const struct buf *first)
{
    struct kern_slot_buf slots[KERN_UPHYSIO_INFLIGHT];
    struct buf *head = NULL;
    unsigned inflight = 0;

    KASSERT(nslots >= 1 && nslots <= KERN_UPHYSIO_INFLIGHT);
    for (unsigned i = 0; i < nslots; i++)
        slots[i].sb_busy = false;
    if (first) {
        slots[0].sb_buf = *first;
        slots[0].sb_place = 0;
        slots[0].sb_busy = true;
        head = &slots[0].sb_buf;
    }
    for (;;) {
        unsigned reaped;

        inflight += kern_uphysio_fill(up, slots, nslots, head);
        head = NULL;
        if (inflight == 0)
            return;
        reaped = kern_uphysio_reap(up, slots, nslots);
        if (reaped == 0) {
            kern_uphysio_wait_oldest(up, slots, nslots);
            reaped = 1;
        }
        KASSERT(reaped <= inflight && inflight <= nslots);
        inflight -= reaped;
    }
}

/* Send what may be the only buf, or go on to the general case when mincnt has made it smaller. */
static void kern_uphysio_one(struct kern_uphysio *up, unsigned nslots)
{
    struct buf first;
    int rc = kern_uphysio_cut(up, &first);

    if (rc) {
        kern_uphysio_stop(up, 0, rc);
        return;
    }
    if (up->up_cursor.cu_left > 0) {
        kern_uphysio_many(up, nslots, &first);
        return;
    }
    kern_uphysio_send(up, &first);
    (void)iowait(&first);
    kern_uphysio_judge(up, &first, 0);
}

/* Advance the caller's uio over n bytes. */
static void kern_uphysio_advance(struct uio *uiop, size_t n)
{
    uiop->uio_offset += (int64_t)n;
    uiop->uio_resid -= n;
    while (uiop->uio_iovcnt > 0) {
        struct iovec *iov = uiop->uio_iov;
        size_t part = n < iov->iov_len ? n : iov->iov_len;

        iov->iov_base = iov->iov_base ? (char *)iov->iov_base + part : NULL;
        iov->iov_len -= part;
        n -= part;
        if (iov->iov_len)
            break;
        uiop->uio_iov++;
        uiop->uio_iovcnt--;
        uiop->uio_iovdcnt++;
        if (uiop->uio_xmem)
            uiop->uio_xmem++;
    }
    KASSERT(n == 0);
}

/*
 * Context: process; sleeps only when the driver did not finish inline. Locks: none held. Owns: the
 * uio stays the caller's. The bufs are the driver's from strat until their iodone.
 */
int uphysio(struct uio *uiop, unsigned rw, unsigned buf_cnt, devno_t devno, void (*strat)(struct buf *bp),
            mincnt_t mincnt, void *minparms)
{
    struct kern_uphysio up = {
        .up_uio = uiop,
        .up_rw = rw,
        .up_devno = devno,
        .up_strat = strat,
        .up_mincnt = mincnt,
        .up_minparms = minparms,
        .up_stop = uiop->uio_resid,
    };

    if ((rw != B_READ && rw != B_WRITE) || buf_cnt == 0 || buf_cnt > UPHYSIO_BUFS_MAX || !strat ||
        uiop->uio_offset < 0 || (uint64_t)uiop->uio_resid > (uint64_t)INT64_MAX - (uint64_t)uiop->uio_offset)
        return EINVAL;
    if (!kern_at_process_level())
        return EINVAL;
    kern_cursor_init(&up.up_cursor, uiop);
    if (!kern_cursor_settle(&up.up_cursor))
        return uiop->uio_resid ? EFAULT : 0;
    kern_uphysio_one(&up, buf_cnt < KERN_UPHYSIO_INFLIGHT ? buf_cnt : KERN_UPHYSIO_INFLIGHT);
    if (up.up_cursor.cu_left > 0 && !up.up_halt)
        kern_uphysio_stop(&up, up.up_cursor.cu_place, EFAULT); /* the pieces hold less than uio_resid */
    kern_uphysio_advance(uiop, up.up_stop);
    return up.up_error;
}
