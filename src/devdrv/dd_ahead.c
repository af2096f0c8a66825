/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_ahead.c - telling an adapter that wants to know which READs and WRITEs are on their way (SCIOAHEAD).
 *
 * With a disk in memory a random request spends most of its time waiting for the first lines of its block.
 * The driver knows of a chain of requests long before the last of them is sent, so the chip hears of each
 * twice: when it is accepted, and when the command before it is sent. What comes alone is not told: nothing
 * can have arrived before it is sent, and asking for what is asked for anyway takes time.
 *
 * Does not contain: what is made of it (src/adapter/sim/sim_ahead.c).
 */
#include "dd_impl.h"

static void ahead_tell(const struct dd_unit *un, uint64_t offset, size_t bytes, bool read, unsigned how)
{
    (void)un->un_ahead(un->un_ahead_chip, un->un_dds.scsi_id, un->un_dds.lun_id, offset, (uint32_t)bytes,
                       read ? how : how | SC_AHEAD_WRITE);
}

/* These have been accepted. Of those that lie in a row the first is told. */
void dd_ahead_chain(const struct dd_unit *un, const struct buf *bp)
{
    int64_t end = -1;

    for (; bp; bp = bp->av_forw) {
        if (bp->b_blkno != end)
            ahead_tell(un, (uint64_t)bp->b_blkno << DEV_BSHIFT, dd_buf_bytes(bp), bp->b_flags & B_READ, 0);
        end = bp->b_blkno + (int64_t)(dd_buf_bytes(bp) >> DEV_BSHIFT);
    }
}

/* The command before this one is about to be sent. */
void dd_ahead_next(const struct dd_unit *un, const struct dd_cmd *next)
{
    if (next->cmd_kind <= DD_KIND_FRAG)
        ahead_tell(un, next->cmd_lba << un->un_shift, next->cmd_bytes, next->cmd_read, SC_AHEAD_NEXT);
}
