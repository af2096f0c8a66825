/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_strategy.c - the adapter driver's strategy routine: what an sc_buf must look like.
 *
 * A request that does not keep the rules is completed here, with B_ERROR and an errno, and has no
 * effect on the queue of its LUN: it never was in it. What is accepted goes down the lane
 * (ad_lane.c) or to ad_submit().
 *
 * The bytes of the CDB are none of our business (AIX-29): only their number is checked.
 *
 * Does not contain: the conditions of a gathered write (ad_map.c), the halted queue's refusals
 * (ad_queue.c).
 */
#include "ad_impl.h"

#define AD_FLAGS_KNOWN (SC_RESUME | SC_DELAY_CMD | SC_Q_CLR | SC_Q_RESUME)
#define AD_CDB_LENGTHS (1u << 6 | 1u << 10 | 1u << 12 | 1u << 16)

/*
 * The bufs of a spanned request (AIX-05, 06, 09): one direction, each with an address and a length,
 * together exactly the request, at most as many as a segment list holds. Inner edges lie on page
 * boundaries: the end of every buf but the last, the start of every one but the first.
 */
int ad_span_check(const struct sc_buf *sb)
{
    const uint32_t direction = sb->bufstruct.b_flags & B_READ;
    uint64_t bytes = 0;
    uint32_t n = 0;

    for (const struct buf *bp = sb->bp; bp != NULL; bp = bp->av_forw) {
        const uintptr_t first = (uintptr_t)bp->b_un.b_addr;

        if (++n > AD_SEGS_LONG || bp->b_un.b_addr == NULL || bp->b_bcount == 0 ||
            bp->b_bcount > sb->bufstruct.b_bcount || (bp->b_flags & B_READ) != direction ||
            bp->b_xmemd.aspace_id == XMEM_INVAL)
            return EINVAL;
        if (n > 1 && (first & SC_PAGE_MASK) != 0)
            return EINVAL;
        if (bp->av_forw != NULL && ((first + bp->b_bcount) & SC_PAGE_MASK) != 0)
            return EINVAL;
        bytes += bp->b_bcount;
    }
    return bytes == sb->bufstruct.b_bcount ? 0 : EINVAL;
}

/* SC_Q_CLR and SC_Q_RESUME without a command: only id and LUN count (AIX-23). */
static inline bool ad_is_control(const struct sc_buf *sb)
{
    return (sb->flags & SC_Q_CLR) || ((sb->flags & SC_Q_RESUME) && sb->scsi_command.scsi_length == 0);
}

/* Everything about a request but its memory and its address. */
static inline int ad_fields_check(const struct ad_adapter *adp, const struct sc_buf *sb)
{
    const struct scsi *sc = &sb->scsi_command;

    if (sb->bufstruct.av_forw != NULL || sb->bufstruct.b_bcount > adp->adp_transfer_max)
        return EINVAL;
    if ((sb->flags & ~(unsigned)AD_FLAGS_KNOWN) | (sc->scsi_flags & ~(unsigned)(SC_NODISC | SC_ASYNC)) |
        sc->scsi_resvd | sb->resvd2 | sb->resvd3[0] | sb->resvd3[1])
        return EINVAL;
    if (sb->q_tag_msg != SC_NO_Q && (sb->q_tag_msg < SC_SIMPLE_Q || sb->q_tag_msg > SC_ORDERED_Q))
        return EINVAL;
    if (sb->bp != NULL && sb->resvd1 != NULL)
        return EINVAL;
    if (SC_UNLIKELY(sb->flags & (SC_Q_CLR | SC_Q_RESUME))) {
        if ((sb->flags & SC_Q_CLR) && (sb->flags & SC_Q_RESUME))
            return EINVAL;
        if (ad_is_control(sb))
            return 0;
    }
    if (sc->scsi_length > 16 || !(AD_CDB_LENGTHS & (1u << sc->scsi_length)))
        return EINVAL;
    return 0;
}

/* The memory of a request that has a data phase, or none. */
static inline int ad_memory_check(struct ad_adapter *adp, struct sc_buf *sb)
{
    if (SC_UNLIKELY(sb->bp != NULL))
        return ad_span_check(sb);
    if (SC_UNLIKELY(sb->resvd1 != NULL))
        return ad_gather_prepare(adp, sb);
    if (sb->bufstruct.b_bcount != 0 &&
        (sb->bufstruct.b_un.b_addr == NULL || sb->bufstruct.b_xmemd.aspace_id == XMEM_INVAL))
        return EINVAL;
    return 0;
}

/* Give a request back unexecuted. */
static void ad_refuse(struct ad_lun *lun, struct sc_buf *sb, int error)
{
    if (lun != NULL) {
        shim_lock_enter(&lun->lun_lock);
        lun->lun_refused++;
        shim_lock_exit(&lun->lun_lock);
    }
    shim_log(SHIM_LOG_VERBOSE, "ad: request for %d,%d refused: errno %d", sb->scsi_command.scsi_id, sb->lun,
             error);
    ad_status_refused(sb, error);
    AD_TRACE_PUSH(sb);
    iodone(&sb->bufstruct);
}

/* Not an sc_buf at all: nothing but the buf it begins with is ours to write. */
static __attribute__((noinline)) void ad_refuse_other(struct buf *bp)
{
    bp->b_flags = (bp->b_flags & ~B_DONE) | B_ERROR;
    bp->b_error = EINVAL;
    bp->b_resid = bp->b_bcount;
    iodone(bp);
}

/*
 * d_strategy of the adapter driver: one sc_buf (AIX-02).
 * Context: process or completion; never sleeps (AIX-03). Locks: none held. Owns: the sc_buf is ours
 * until iodone, which may come before this returns.
 * (AIX-02, 03, 05, 10, 13..16, 25)
 */
void ad_strategy(struct buf *bp)
{
    struct sc_buf *sb = (struct sc_buf *)(void *)bp;
    struct ad_adapter *adp = ad_find(bp->b_dev);
    struct ad_lun *lun;
    int error;

    if (SC_UNLIKELY(bp->b_flags & B_SCSI_BUF)) {
        ad_refuse_other(bp);
        return;
    }
    ad_status_clear(sb);
    AD_TRACE(HKWD_AD_STRATEGY, sb, ad_trace_cdb(sb, 0), ad_trace_cdb(sb, 1),
             TRC_COMMAND(bp->b_bcount, sb->flags, sb->q_tag_msg, sb->scsi_command.scsi_length));
    if (SC_UNLIKELY(adp == NULL)) {
        ad_refuse(NULL, sb, EINVAL);
        return;
    }
    lun = ad_lun_find(adp, sb->scsi_command.scsi_id, sb->lun);
    error = ad_fields_check(adp, sb);
    if (SC_LIKELY(error == 0) && SC_UNLIKELY(lun == NULL))
        error = EINVAL;
    if (SC_LIKELY(error == 0))
        error = ad_memory_check(adp, sb);
    if (SC_UNLIKELY(error != 0)) {
        ad_refuse(lun, sb, error);
        return;
    }
    if (SC_UNLIKELY(!ad_lane_submit(lun, sb)))
        ad_submit(lun, sb);
}
