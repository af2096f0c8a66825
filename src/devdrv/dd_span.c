/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_span.c - spanned commands: which pending bufs go together into one READ or WRITE.
 *
 * A span is made of whole requests (AIX-07), all in one direction and with the same options (AIX-06),
 * consecutive on the medium and not larger than the adapter's maximum (AIX-08), and wherever two of
 * them meet both edges are on a page boundary (AIX-09). Checking every junction that way also makes each
 * middle buffer a whole number of pages. Only direct successors in the queue are considered: looking further
 * would reorder requests, and a pending queue that the caller filled in order has its neighbours in order.
 *
 * A request that breaks a rule is not an error; it begins the next command.
 *
 * Does not contain: requests larger than one command (dd_frag.c); the CDB (dd_cdb.c).
 */
#include "dd_impl.h"

static inline bool span_page_aligned(const void *base, size_t off)
{
    return (((uintptr_t)base + off) & SC_PAGE_MASK) == 0;
}

/*
 * Context: any. Locks: none needed: both bufs are the caller's, the limits are constant.
 * Requirements: AIX-06, AIX-07, AIX-08, AIX-09.
 */
bool dd_span_fits(const struct dd_unit *un, const struct buf *bp, const struct buf *next, size_t bytes)
{
    /* A cut request (it crosses the end of the disk) is not whole: it always goes alone. */
    if (next->b_blkno != bp->b_blkno + (int64_t)(bp->b_bcount >> DEV_BSHIFT) ||
        ((next->b_flags ^ bp->b_flags) & B_READ) || next->b_options != bp->b_options)
        return false;
    if (bytes + next->b_bcount > un->un_span_max || dd_buf_bytes(next) != next->b_bcount)
        return false;
    return span_page_aligned(bp->b_un.b_addr, bp->b_bcount) && span_page_aligned(next->b_un.b_addr, 0);
}

/* The command for n bufs. Locks: un_lock held. */
static inline void span_fill_locked(struct dd_unit *un, struct dd_cmd *cmd, struct buf *first,
                                    struct buf *last, uint32_t n, size_t bytes)
{
    cmd->cmd_kind = DD_KIND_RW;
    cmd->cmd_bp = first;
    cmd->cmd_tail = last;
    cmd->cmd_nbufs = n;
    cmd->cmd_bytes = (uint32_t)bytes;
    cmd->cmd_off = 0;
    cmd->cmd_lba = (uint64_t)first->b_blkno >> (un->un_shift - DEV_BSHIFT);
    cmd->cmd_read = (uint8_t)(first->b_flags & B_READ);
    un->un_stats.pending -= n;
    un->un_stats.in_process += n;
}

/*
 * Move the head of pending, grown to a span as far as the rules allow, into cmd.
 * Context: any. Locks: un_lock held. Owns: cmd is the caller's and not yet in process.
 */
void dd_span_take_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct buf *first = un->un_pending.ch_head;
    struct buf *last = first;
    size_t bytes = dd_buf_bytes(first);
    uint32_t n = 1;

    KASSERT(first && dd_buf_state(first) == DD_BUF_PENDING);
    dd_buf_state_set(first, DD_BUF_INPROC);
    while (last->av_forw && n < DD_SPAN_BUFS_MAX && dd_span_fits(un, last, last->av_forw, bytes)) {
        last = last->av_forw;
        bytes += last->b_bcount;
        n++;
        dd_buf_state_set(last, DD_BUF_INPROC);
    }
    KASSERT(bytes > 0 && bytes <= un->un_transfer_max && n <= un->un_pending.ch_n);
    un->un_pending.ch_head = last->av_forw;
    un->un_pending.ch_n -= n;
    last->av_forw = NULL;
    span_fill_locked(un, cmd, first, last, n, bytes);
}

/*
 * One buf of a span that was taken apart.
 * Context: any. Locks: un_lock held. Owns: as dd_span_take_locked.
 */
void dd_span_of_locked(struct dd_unit *un, struct dd_cmd *cmd, struct buf *bp)
{
    bp->av_forw = NULL;
    dd_buf_state_set(bp, DD_BUF_INPROC);
    span_fill_locked(un, cmd, bp, bp, 1, dd_buf_bytes(bp));
}
