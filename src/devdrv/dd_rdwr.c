/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_rdwr.c - the raw read and write entry points.
 *
 * Offset and length are multiples of the block size. Three ways to the disk:
 *
 *   1. uphysio cuts the request into bufs of at most the adapter's maximum, DD_UPHYSIO_BUFS at once:
 *      whenever every piece of the uio is whole blocks, which is nearly always.
 *   2. A write of several pieces that together fit one command is one gathered write, if offered.
 *   3. Pieces that are not whole blocks, and no gathering: through the driver's own pages, a copy. Slow and
 *      one at a time, but writev() of odd pieces must not depend on what an adapter can do.
 *
 * At the end of the disk: a read that starts there gives 0 bytes, a write ENXIO; a request that crosses it
 * moves what is there.
 *
 * Does not contain: gathering itself (dd_gather.c), the block path (dd_strategy.c).
 */
#include "dd_impl.h"

struct rdwr_min {
    const struct dd_unit *min_un;
    uint32_t min_options;
    bool min_end; /* a buf would begin at the end of the disk */
};

/* uphysio's mincnt: at most one command's worth, with the caller's options. */
static int rdwr_mincnt(struct buf *bp, void *parms)
{
    struct rdwr_min *min = parms;

    KASSERT(bp->b_blkno >= 0);
    if (SC_UNLIKELY((uint64_t)bp->b_blkno >= dd_sectors(min->min_un))) {
        min->min_end = true;
        return ENXIO;
    }
    if (bp->b_bcount > min->min_un->un_transfer_max)
        bp->b_bcount = min->min_un->un_transfer_max;
    bp->b_options = min->min_options;
    return 0;
}

/* Is every piece whole blocks? */
static bool rdwr_pieces_whole(const struct dd_unit *un, const struct uio *uiop)
{
    size_t left = uiop->uio_resid;

    for (int32_t i = 0; i < uiop->uio_iovcnt && left > 0; i++) {
        size_t n = uiop->uio_iov[i].iov_len < left ? uiop->uio_iov[i].iov_len : left;

        if (n & (dd_block_bytes(un) - 1u))
            return false;
        left -= n;
    }
    return true;
}

/*
 * Copy the next bytes of a uio into the area and leave the uio where it is: how far it moves is known
 * only when they are written. uiomove would eat the pieces, so each is handed to it as a uio of its own.
 */
static int rdwr_peek(const struct dd_unit *un, const struct uio *uiop, size_t bytes)
{
    uint8_t *to = dd_area_data(un);
    int error = 0;

    KASSERT(un->un_area_busy && bytes <= DD_AREA_DATA_BYTES);
    for (int32_t i = 0; i < uiop->uio_iovcnt && bytes > 0 && error == 0; i++) {
        struct iovec piece = uiop->uio_iov[i];
        struct uio one = *uiop;
        size_t n = piece.iov_len < bytes ? piece.iov_len : bytes;

        piece.iov_len = n;
        one.uio_iov = &piece;
        one.uio_iovcnt = 1;
        one.uio_xmem = uiop->uio_xmem ? uiop->uio_xmem + i : NULL;
        one.uio_resid = n;
        error = uiomove(to, n, UIO_WRITE, &one);
        to += n;
        bytes -= n;
    }
    return error == 0 && bytes > 0 ? EFAULT : error;
}

/* The copying way. Context: process. */
static int rdwr_bounce(struct dd_unit *un, struct uio *uiop, bool read, uint32_t options)
{
    uint64_t end = dd_sectors(un) << DEV_BSHIFT;
    int error = 0;

    dd_area_get(un);
    while (error == 0 && uiop->uio_resid > 0 && (uint64_t)uiop->uio_offset < end) {
        uint64_t lba = (uint64_t)uiop->uio_offset >> un->un_shift;
        uint64_t room = end - (uint64_t)uiop->uio_offset;
        size_t bytes = uiop->uio_resid < DD_AREA_DATA_BYTES ? uiop->uio_resid : DD_AREA_DATA_BYTES;
        size_t moved = 0;

        if (bytes > room)
            bytes = (size_t)room;
        if (read) {
            error = dd_area_rw(un, lba, (uint32_t)(bytes >> un->un_shift), true, options, &moved);
            if (moved > 0) {
                int copied = uiomove(dd_area_data(un), moved, UIO_READ, uiop);

                error = copied ? copied : error;
            }
        } else {
            error = rdwr_peek(un, uiop, bytes);
            if (error == 0)
                error = dd_area_rw(un, lba, (uint32_t)(bytes >> un->un_shift), false, options, &moved);
            dd_uio_advance(uiop, moved);
        }
        KASSERT(moved <= bytes);
        if (moved < bytes)
            break;
    }
    dd_area_put(un);
    return error;
}

/*
 * Both directions.
 * Context: process. Locks: none. Owns: the uio stays the caller's.
 */
static int rdwr(devno_t devno, struct uio *uiop, bool read, int ext)
{
    struct dd_unit *un = dd_unit_of(devno);
    unsigned mode = un ? atomic_load_explicit(&un->un_mode, memory_order_relaxed) : DD_MODE_CLOSED;
    struct rdwr_min min = {un, (uint32_t)ext, false};
    size_t wanted = uiop->uio_resid;
    uint64_t mask, end;
    int error;

    if (mode != DD_MODE_NORMAL)
        return mode == DD_MODE_CLOSED || mode == DD_MODE_INVALID ? ENXIO : EACCES;
    if ((uint32_t)ext & ~(uint32_t)(read ? SC_OPT_FUA : WRITEV | SC_OPT_FUA))
        return EINVAL;
    mask = dd_block_bytes(un) - 1u;
    if (uiop->uio_offset < 0 || ((uint64_t)uiop->uio_offset & mask) || (wanted & mask))
        return EINVAL;
    if (wanted == 0)
        return 0;
    end = dd_sectors(un) << DEV_BSHIFT;
    if (end == 0)
        return EFORMAT;
    if ((uint64_t)uiop->uio_offset >= end)
        return read && (uint64_t)uiop->uio_offset == end ? 0 : ENXIO;
    if (!read && un->un_read_only)
        return EWRPROTECT;
    dd_dead_mend(un);
    if (SC_UNLIKELY(!read && uiop->uio_iovcnt > 1)) {
        error = dd_gather_write(un, uiop, min.min_options);
        if (error != EOPNOTSUPP)
            return error;
    }
    if (SC_UNLIKELY(uiop->uio_iovcnt > 1 && !rdwr_pieces_whole(un, uiop)))
        return rdwr_bounce(un, uiop, read, min.min_options);
    error = uphysio(uiop, read ? B_READ : B_WRITE, DD_UPHYSIO_BUFS, devno, dd_strategy, rdwr_mincnt, &min);
    /* Up to the end of the disk is a short transfer, not an error. */
    if (error == ENXIO && min.min_end && uiop->uio_resid < wanted)
        error = 0;
    return error;
}

int dd_read(devno_t devno, struct uio *uiop, long chan, int ext)
{
    (void)chan;
    return rdwr(devno, uiop, true, ext);
}

int dd_write(devno_t devno, struct uio *uiop, long chan, int ext)
{
    (void)chan;
    return rdwr(devno, uiop, false, ext);
}
