/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_split.c - a READ or WRITE has failed for good: who is to blame, and from which byte on.
 *
 * One buf: it fails, with a residual from the failing block on when the device named that block, else
 * with all of it. A fragment: its record keeps the lowest failure. A span: blame belongs to one buf,
 * rarely to all of them. Bufs wholly before a block the device named have been transferred and are
 * complete; every other one is sent again alone and meets its own fate. Until it is their turn they wait
 * beside the commands that are to be sent again, in the one order of dd_requeue.c (un_again counts both):
 * a buf of a span keeps the span's number and count and has its place in it, so it neither overtakes
 * what was sent before the span nor is overtaken by what was sent after it.
 * Each needs a command structure only
 * when it goes. Records are as many as commands: nothing new is begun before all of this is out. Failures
 * that concern the disk and not a block (protected, reserved, not ready) fail all bufs at once.
 *
 * Rejected: failing the whole span, as others do. The caller did not ask for consolidation and must
 * not lose a good block to it.
 *
 * Does not contain: the decision that it failed (dd_recover.c).
 */
#include "dd_impl.h"

/* Give one buf its failure and queue the response. Locks: un_lock held. Requirements: XEN-06. */
static void split_buf_fail_locked(struct dd_unit *un, struct buf *bp, size_t moved, int error)
{
    KASSERT(error != 0 && moved <= dd_buf_bytes(bp));
    bp->av_forw = NULL;
    bp->b_flags |= B_ERROR;
    bp->b_error = error;
    bp->b_resid = bp->b_bcount - moved;
    if (bp->b_flags & B_READ) {
        un->un_stats.bytes_read += moved;
    } else if (moved > 0) {
        un->un_stats.bytes_written += moved;
        dd_dirty_mark(un); /* what lies before the bad block is in the device's cache */
    }
    un->un_stats.errors++;
    un->un_stats.completed++;
    un->un_stats.recovering--;
    dd_flight_done_locked(un, bp, error);
    dd_chain_add(&un->un_resp, bp, bp, 1);
}

/*
 * Bytes known good at the start of the command: up to the block the device named, if it did, and no more than
 * the adapter says have crossed the bus. Either may be the smaller: a device may read ahead of the error,
 * an adapter may have dropped what came before it.
 */
static size_t split_good_bytes(const struct dd_unit *un, const struct dd_cmd *cmd, const struct dd_rule *rule,
                               const struct scsi_sense *sense)
{
    uint64_t blocks = cmd->cmd_bytes >> un->un_shift;
    size_t resid = cmd->cmd_sc.bufstruct.b_resid;
    size_t moved = resid < cmd->cmd_bytes ? (cmd->cmd_bytes - resid) & ~(size_t)(dd_block_bytes(un) - 1u) : 0;
    size_t named;

    if (!(rule->rule_flags & DD_RULE_INFO) || !sense->info_valid)
        return 0;
    /* A block outside this command is about something else, or nonsense: not believed. */
    if (sense->info < cmd->cmd_lba || sense->info - cmd->cmd_lba >= blocks)
        return 0;
    named = (size_t)(sense->info - cmd->cmd_lba) << un->un_shift;
    return named < moved ? named : moved;
}

/* Keep bufs of cmd, which is a span, in its place among what is to be sent again. Locks: un_lock held. */
static void split_keep_locked(struct dd_unit *un, const struct dd_cmd *cmd, struct dd_chain bufs,
                              uint16_t place)
{
    struct dd_split *split = un->un_split_free;

    KASSERT(split);
    un->un_split_free = split->split_next;
    split->split_bufs = bufs;
    split->split_at = (struct dd_place){cmd->cmd_seq, cmd->cmd_resends, place};
    dd_requeue_split_locked(un, split);
}

/* Take a span apart. Locks: un_lock held. */
static void split_span_locked(struct dd_unit *un, struct dd_cmd *cmd, size_t good)
{
    struct dd_chain again = {NULL, NULL, 0};
    struct buf *bp = cmd->cmd_bp;
    uint16_t place = 0;
    size_t start = 0;

    KASSERT(cmd->cmd_nbufs > 1 && good <= cmd->cmd_bytes);
    while (bp) {
        struct buf *next = bp->av_forw;
        size_t end = start + dd_buf_bytes(bp);

        bp->av_forw = NULL;
        un->un_stats.recovering--;
        if (end <= good) {
            place++;
            bp->b_resid = 0;
            un->un_stats.completed++;
            if (cmd->cmd_read)
                un->un_stats.bytes_read += bp->b_bcount;
            else
                un->un_stats.bytes_written += bp->b_bcount;
            if (!cmd->cmd_read)
                dd_dirty_mark(un);
            dd_flight_done_locked(un, bp, 0);
            dd_chain_add(&un->un_resp, bp, bp, 1);
        } else {
            dd_buf_state_set(bp, DD_BUF_PENDING);
            un->un_stats.pending++;
            dd_chain_add(&again, bp, bp, 1);
        }
        start = end;
        bp = next;
    }
    dd_requeue_count(cmd);
    if (again.ch_head)
        split_keep_locked(un, cmd, again, place);
}

/* Does a younger command out touch one of these blocks, and is one of the two a write? Locks: un_lock held.
 */
static bool split_met_locked(const struct dd_unit *un, uint32_t seq, uint64_t lba, uint64_t blocks, bool read)
{
    for (const struct dd_cmd *cmd = un->un_inp_head; cmd; cmd = cmd->cmd_inp_next) {
        if (cmd->cmd_kind <= DD_KIND_FRAG && (int32_t)(cmd->cmd_seq - seq) > 0 && !(read && cmd->cmd_read) &&
            cmd->cmd_lba < lba + blocks && lba < cmd->cmd_lba + (cmd->cmd_bytes >> un->un_shift))
            return true;
    }
    return false;
}

/* Context: completion. Locks: un_lock held. */
bool dd_split_overtaken_locked(const struct dd_unit *un)
{
    for (const struct dd_cmd *cmd = un->un_resend; cmd; cmd = cmd->cmd_next)
        if (split_met_locked(un, cmd->cmd_seq, cmd->cmd_lba, cmd->cmd_bytes >> un->un_shift, cmd->cmd_read))
            return true;
    for (const struct dd_split *split = un->un_split; split; split = split->split_next)
        for (const struct buf *bp = split->split_bufs.ch_head; bp; bp = bp->av_forw)
            if (split_met_locked(un, split->split_at.pc_seq,
                                 (uint64_t)bp->b_blkno >> (un->un_shift - DEV_BSHIFT),
                                 dd_buf_bytes(bp) >> un->un_shift, (bp->b_flags & B_READ) != 0))
                return true;
    return false;
}

/* Context: any. Locks: un_lock held. Owns: cmd is the caller's and not yet in process. */
void dd_split_take_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct dd_split *split = un->un_split;
    struct dd_chain *bufs = &split->split_bufs;
    struct buf *bp = bufs->ch_head;

    cmd->cmd_seq = split->split_at.pc_seq;
    cmd->cmd_resends = split->split_at.pc_resends;
    cmd->cmd_place = split->split_at.pc_place++;
    bufs->ch_head = bp->av_forw;
    KASSERT(bufs->ch_n > 0 && un->un_again > 0);
    bufs->ch_n--;
    if (!bufs->ch_head) {
        un->un_split = split->split_next;
        split->split_next = un->un_split_free;
        un->un_split_free = split;
        un->un_again--;
    }
    dd_span_of_locked(un, cmd, bp);
}

/*
 * Finish a parked command that failed. Its structure goes back to the pool.
 * Context: completion. Locks: un_lock held. Requirements: AIX-04, AIX-12.
 */
void dd_split_fail_locked(struct dd_unit *un, struct dd_cmd *cmd, const struct dd_rule *rule,
                          const struct scsi_sense *sense)
{
    size_t good = split_good_bytes(un, cmd, rule, sense);
    int error = rule->rule_error ? rule->rule_error : EIO;

    KASSERT(cmd->cmd_state == DD_CMD_FAILED && cmd->cmd_kind <= DD_KIND_FRAG);
    if (cmd->cmd_kind == DD_KIND_FRAG) {
        dd_frag_done_locked(un, cmd, good, error, &un->un_resp);
    } else if (cmd->cmd_nbufs > 1 && (rule->rule_flags & DD_RULE_SPLIT)) {
        split_span_locked(un, cmd, good);
    } else {
        struct buf *bp = cmd->cmd_bp;

        while (bp) {
            struct buf *next = bp->av_forw;

            split_buf_fail_locked(un, bp, cmd->cmd_nbufs > 1 ? 0 : good, error);
            bp = next;
        }
    }
    dd_pool_put_locked(un, cmd);
}
