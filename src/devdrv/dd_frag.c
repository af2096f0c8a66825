/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_frag.c - fragmented requests: a buf larger than one command, cut into several.
 *
 * Pieces are contiguous, none larger than the adapter's maximum, each sent with sc_buf.bp NULL so that
 * only its own address and count are used (AIX-11). Several are out at once. The record remembers the lowest
 * offset at which something stopped, and that piece's error; when the last piece is back the buf
 * completes once, with that error and a residual from there to the end: what later pieces may have
 * moved does not count, because the caller can only be told "up to here" (AIX-12). After the first
 * failure no further piece is cut.
 *
 * Records come from a pool of queue depth + 1: at most one buf is being cut, every other
 * record has at least one command out.
 *
 * Does not contain: the raw path's cutting, which is uphysio's (dd_rdwr.c).
 */
#include "dd_impl.h"

/* Begin with the head of pending. Locks: un_lock held. */
static struct dd_frag *frag_begin_locked(struct dd_unit *un)
{
    struct buf *bp = un->un_pending.ch_head;
    struct dd_frag *frag = un->un_frag_free;

    if (!frag)
        return NULL;
    un->un_frag_free = frag->frag_next;
    KASSERT(bp && dd_buf_state(bp) == DD_BUF_PENDING);
    un->un_pending.ch_head = bp->av_forw;
    un->un_pending.ch_n--;
    bp->av_forw = NULL;
    dd_buf_state_set(bp, DD_BUF_INPROC);
    un->un_stats.pending--;
    un->un_stats.in_process++;

    frag->frag_bp = bp;
    frag->frag_off = 0;
    frag->frag_bytes = dd_buf_bytes(bp);
    frag->frag_stop = frag->frag_bytes;
    frag->frag_error = 0;
    frag->frag_left = 0;
    frag->frag_next = un->un_frag_busy;
    un->un_frag_busy = frag;
    un->un_frag_cur = frag;
    return frag;
}

/*
 * Cut one piece into cmd. False: no record is free; a completion frees one.
 * Context: any. Locks: un_lock held.
 */
bool dd_frag_cut_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct dd_frag *frag = un->un_frag_cur ? un->un_frag_cur : frag_begin_locked(un);
    size_t bytes;

    if (!frag)
        return false;
    KASSERT(frag->frag_off < frag->frag_bytes && frag->frag_error == 0);
    bytes = frag->frag_bytes - frag->frag_off;
    if (bytes > un->un_transfer_max)
        bytes = un->un_transfer_max;

    cmd->cmd_kind = DD_KIND_FRAG;
    cmd->cmd_frag = frag;
    cmd->cmd_bp = frag->frag_bp;
    cmd->cmd_tail = NULL;
    cmd->cmd_nbufs = 0;
    cmd->cmd_off = frag->frag_off;
    cmd->cmd_bytes = (uint32_t)bytes;
    cmd->cmd_lba =
        ((uint64_t)frag->frag_bp->b_blkno + (frag->frag_off >> DEV_BSHIFT)) >> (un->un_shift - DEV_BSHIFT);
    cmd->cmd_read = (uint8_t)(frag->frag_bp->b_flags & B_READ);
    frag->frag_off += bytes;
    frag->frag_left++;
    if (frag->frag_off == frag->frag_bytes)
        un->un_frag_cur = NULL;
    un->un_stats.fragments++;
    return true;
}

/* Everything is back: the buf's response. Locks: un_lock held. */
static void frag_finish_locked(struct dd_unit *un, struct dd_frag *frag, struct dd_chain *resp)
{
    struct dd_frag **link = &un->un_frag_busy;
    struct buf *bp = frag->frag_bp;

    KASSERT(frag->frag_left == 0 && frag->frag_stop <= frag->frag_bytes);
    bp->b_resid = bp->b_bcount - frag->frag_stop;
    if (frag->frag_error) {
        bp->b_flags |= B_ERROR;
        bp->b_error = frag->frag_error;
        un->un_stats.errors++;
    }
    if (bp->b_flags & B_READ) {
        un->un_stats.bytes_read += frag->frag_stop;
    } else {
        un->un_stats.bytes_written += frag->frag_stop;
        dd_dirty_mark(un);
    }
    un->un_stats.in_process--;
    un->un_stats.completed++;
    dd_flight_done_locked(un, bp, frag->frag_error);
    dd_chain_add(resp, bp, bp, 1);

    while (*link != frag) {
        KASSERT(*link);
        link = &(*link)->frag_next;
    }
    *link = frag->frag_next;
    frag->frag_bp = NULL;
    frag->frag_next = un->un_frag_free;
    un->un_frag_free = frag;
}

/* Context: completion. Locks: un_lock held. */
void dd_frag_stop_locked(struct dd_unit *un, int error, struct dd_chain *resp)
{
    struct dd_frag *frag = un->un_frag_cur;

    KASSERT(frag && frag->frag_off < frag->frag_stop && !frag->frag_error);
    un->un_frag_cur = NULL;
    frag->frag_stop = frag->frag_error_off = frag->frag_off;
    frag->frag_error = error;
    if (frag->frag_left == 0)
        frag_finish_locked(un, frag, resp);
}

/*
 * A piece ended with `moved` of its bytes. Its command structure stays the caller's to give back.
 * Context: any. Locks: un_lock held. Requirements: AIX-12.
 */
void dd_frag_done_locked(struct dd_unit *un, struct dd_cmd *cmd, size_t moved, int error,
                         struct dd_chain *resp)
{
    struct dd_frag *frag = cmd->cmd_frag;

    KASSERT(frag && frag->frag_left > 0 && moved <= cmd->cmd_bytes);
    if (moved < cmd->cmd_bytes || error) {
        size_t at = cmd->cmd_off + moved;

        /* The first in block order wins, however late it arrives. */
        if (at < frag->frag_stop)
            frag->frag_stop = at;
        if (error && (!frag->frag_error || at < frag->frag_error_off)) {
            frag->frag_error = error;
            frag->frag_error_off = at;
        }
        if (un->un_frag_cur == frag)
            un->un_frag_cur = NULL;
    }
    cmd->cmd_frag = NULL;
    un->un_progress++;
    un->un_good += error == 0;
    frag->frag_left--;
    if (frag->frag_left == 0 && un->un_frag_cur != frag)
        frag_finish_locked(un, frag, resp);
}
