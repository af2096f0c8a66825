/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_caller.c - makes the requests of a run and judges what comes back.
 *
 * The caller never has a write under way together with anything else on the same sectors: the
 * contract promises no order between such requests, so nothing could be compared. Each request
 * *claims* its sectors for that reason.
 *
 * What is judged when a request completes: exactly once; b_resid within b_bcount; without a fault
 * no error; the bytes before the residual are right even when the rest failed (AIX-12: a residual
 * covers everything not transferred); a read's data equals the shadow.
 *
 * Outline: claims, completion, single bufs and chains, wrong requests, raw I/O, ioctls.
 */
#define _GNU_SOURCE
#include "sim_world.h"

#include <stdlib.h>

#define PIECES_MAX 8

/* ---------------------------------------------------------------- claims */

static bool claim(struct world_disk *d, bool write, uint64_t off, size_t bytes)
{
    uint64_t first = off / WORLD_SECTOR, last = (off + bytes - 1) / WORLD_SECTOR;

    for (uint64_t s = first; s <= last; s++)
        if (d->dk_writer[s] || (write && d->dk_readers[s]))
            return false;
    for (uint64_t s = first; s <= last; s++) {
        if (write)
            d->dk_writer[s] = 1;
        else
            d->dk_readers[s]++;
    }
    return true;
}

static void unclaim(struct world_disk *d, bool write, uint64_t off, size_t bytes)
{
    for (uint64_t s = off / WORLD_SECTOR; s <= (off + bytes - 1) / WORLD_SECTOR; s++) {
        if (write)
            d->dk_writer[s] = 0;
        else
            d->dk_readers[s]--;
    }
}

/*
 * A write of `bytes` ended having moved the first `moved`. A block of which only a part crossed the
 * bus may or may not be on the medium.
 */
static void shadow_written(struct world_disk *d, uint64_t off, const uint8_t *data, size_t bytes,
                           size_t moved)
{
    memcpy(d->dk_shadow + off, data, moved);
    for (uint64_t s = off / WORLD_SECTOR; s < (off + bytes) / WORLD_SECTOR; s++)
        d->dk_unsure[s] = (s + 1) * WORLD_SECTOR > off + moved / d->dk_block * d->dk_block;
}

/* Compare what was read, sector by sector where a failed write left doubt. */
static void shadow_compare(struct world *w, unsigned disk, uint64_t off, const uint8_t *data, size_t moved)
{
    struct world_disk *d = &w->w_disks[disk];

    for (size_t at = 0; at < moved; at += WORLD_SECTOR) {
        size_t n = moved - at < WORLD_SECTOR ? moved - at : WORLD_SECTOR;

        if (d->dk_unsure[(off + at) / WORLD_SECTOR] || memcmp(data + at, d->dk_shadow + off + at, n) == 0)
            continue;
        world_fail(w, "hdisk%u: wrong data at byte %llu of the disk (%zu of a read of %zu)", disk,
                   (unsigned long long)(off + at), at, moved);
    }
}

static void fill(struct world *w, uint8_t *p, size_t bytes)
{
    uint64_t v = rng_next(&w->w_rng);

    for (size_t at = 0; at + 8 <= bytes; at += 8) {
        v = v * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(p + at, &v, 8);
    }
}

/* An error a misbehaving bus may cause, seen by who asked for a valid range. */
static bool error_is_plausible(int error)
{
    static const int plausible[] = {EIO,       EMEDIA,     ENOTREADY,  EBUSY,
                                    ETIMEDOUT, ENOCONNECT, EWRPROTECT, EFORMAT};

    for (size_t i = 0; i < SC_ARRAY_SIZE(plausible); i++)
        if (error == plausible[i])
            return true;
    return false;
}

/* ---------------------------------------------------------------- completion */

static void send_some(struct world *w);

static struct world_slot *slot_get(struct world *w)
{
    for (unsigned i = 0; i < WORLD_SLOTS; i++)
        if (!w->w_slots[i].slot_busy)
            return &w->w_slots[i];
    return NULL;
}

static void slot_judge(struct world *w, struct world_slot *s)
{
    struct world_disk *d = &w->w_disks[s->slot_disk];
    struct buf *bp = &s->slot_buf;
    bool write = !(bp->b_flags & B_READ);
    int error = bp->b_flags & B_ERROR ? bp->b_error : 0;
    uint64_t off = (uint64_t)bp->b_blkno << DEV_BSHIFT;

    WORLD_CHECK(w, bp->b_flags & B_DONE, "B_DONE is not set in iodone");
    WORLD_CHECK(w, bp->b_resid <= bp->b_bcount, "residual %zu of %zu", bp->b_resid, bp->b_bcount);
    if (s->slot_expect_error >= 0) {
        WORLD_CHECK(w, error == s->slot_expect_error && bp->b_resid == s->slot_expect_resid,
                    "hdisk%u: request blkno %lld, %zu bytes: errno %d resid %zu, expected %d and %zu",
                    s->slot_disk, (long long)bp->b_blkno, bp->b_bcount, error, bp->b_resid,
                    s->slot_expect_error, s->slot_expect_resid);
        return;
    }
    WORLD_CHECK(w, w->w_disturbed || (error == 0 && bp->b_resid == 0),
                "hdisk%u: %s at %llu, %zu bytes: errno %d (%s), residual %zu without any fault", s->slot_disk,
                write ? "write" : "read", (unsigned long long)off, bp->b_bcount, error, scp_strerror(error),
                bp->b_resid);
    WORLD_CHECK(w, error == 0 || error_is_plausible(error), "hdisk%u: errno %d (%s) for a valid request",
                s->slot_disk, error, scp_strerror(error));
    WORLD_CHECK(w, error == 0 || bp->b_resid > 0, "hdisk%u: failed with %d and yet everything was moved",
                s->slot_disk, error);
    if (error)
        w->w_errors++;
    if (write)
        shadow_written(d, off, bp->b_un.b_addr, bp->b_bcount, bp->b_bcount - bp->b_resid);
    else
        shadow_compare(w, s->slot_disk, off, bp->b_un.b_addr, bp->b_bcount - bp->b_resid);
}

/* b_iodone of every buf. Context: completion, no lock held. */
static void slot_done(struct buf *bp)
{
    struct world_slot *s = SC_CONTAINER_OF(bp, struct world_slot, slot_buf);
    struct world *w = s->slot_world;
    bool write = !(bp->b_flags & B_READ);

    WORLD_CHECK(w, s->slot_busy, "a request completed twice");
    WORLD_CHECK(w, shim_self()->self_nlocks == 0, "iodone with %u locks held", shim_self()->self_nlocks);
    slot_judge(w, s);
    world_observe(w, (uint64_t)(s - w->w_slots) << 32 ^ bp->b_resid ^ (uint64_t)(unsigned)bp->b_error << 20);
    if (s->slot_claimed)
        unclaim(&w->w_disks[s->slot_disk], write, (uint64_t)bp->b_blkno << DEV_BSHIFT, bp->b_bcount);
    free(s->slot_block);
    /* The driver's memory of it must be gone by now: a new request may take this very structure. */
    memset(bp, 0x6b, sizeof(*bp));
    s->slot_busy = false;
    w->w_disks[s->slot_disk].dk_outstanding--;
    if (!w->w_draining && w->w_resubmits > 0 && rng_percent(&w->w_rng, w->w_resubmit_percent)) {
        w->w_resubmits--;
        send_some(w);
    }
}

/* ---------------------------------------------------------------- bufs and chains */

/* A slot for one buf with memory whose address is `misalign` past a page. NULL: all are taken. */
static struct world_slot *slot_make(struct world *w, unsigned disk, bool write, int64_t blkno, size_t bytes,
                                    size_t misalign)
{
    struct world_slot *s = slot_get(w);
    struct buf *bp;

    if (!s)
        return NULL;
    bp = &s->slot_buf;
    memset(bp, 0, sizeof(*bp));
    s->slot_block =
        aligned_alloc(SC_PAGE_SIZE, (bytes + misalign + 2 * SC_PAGE_SIZE) & ~(size_t)SC_PAGE_MASK);
    WORLD_CHECK(w, s->slot_block, "no memory");
    s->slot_world = w;
    s->slot_busy = true;
    s->slot_claimed = false;
    s->slot_disk = disk;
    s->slot_expect_error = -1;
    bp->b_flags = write ? B_WRITE : B_READ;
    bp->b_iodone = slot_done;
    bp->b_dev = w->w_disks[disk].dk_devno;
    bp->b_un.b_addr = s->slot_block + misalign;
    bp->b_bcount = bytes;
    bp->b_blkno = blkno;
    if (write)
        fill(w, bp->b_un.b_addr, bytes);
    return s;
}

static void send_chain(struct world *w, unsigned disk, struct buf *head)
{
    unsigned n = 0;
    int error;

    for (struct buf *bp = head; bp; bp = bp->av_forw)
        n++;
    if (n == 0)
        return;
    w->w_disks[disk].dk_outstanding += n;
    w->w_bufs += n;
    error = devstrat(head);
    WORLD_CHECK(w, error == 0, "devstrat: %d", error);
}

/* Where a memory piece begins inside its page. */
static size_t random_misalign(struct world *w)
{
    switch (rng_below(&w->w_rng, 4)) {
    case 0:
        return WORLD_SECTOR * rng_below(&w->w_rng, 8);
    case 1:
        return 4 * rng_below(&w->w_rng, 1024);
    default:
        return 0;
    }
}

/* Consecutive requests, mostly pages in pages: what a span is made of. */
static struct buf *make_sequence(struct world *w, unsigned disk, unsigned n, bool write)
{
    struct world_disk *d = &w->w_disks[disk];
    struct world_rng *r = &w->w_rng;
    uint64_t blocks = d->dk_bytes / d->dk_block, at = rng_below(r, blocks);
    struct buf *head = NULL, **link = &head;
    size_t odd = rng_percent(r, 30) ? random_misalign(w) : 0;

    for (unsigned i = 0; i < n && at < blocks; i++) {
        size_t bytes = rng_percent(r, 85) ? SC_PAGE_SIZE : d->dk_block * (1 + rng_below(r, 16));
        size_t misalign = rng_percent(r, 5) ? random_misalign(w) : 0;
        struct world_slot *s;

        /* The first may begin anywhere if it ends on a page; now and then it does not. */
        if (i == 0 && odd % d->dk_block == 0 && odd < SC_PAGE_SIZE) {
            misalign = odd;
            bytes = SC_PAGE_SIZE - odd;
        }
        bytes = bytes / d->dk_block * d->dk_block;
        if (bytes == 0)
            bytes = d->dk_block;
        if (bytes > (blocks - at) * d->dk_block)
            bytes = (size_t)((blocks - at) * d->dk_block);
        if (!claim(d, write, at * d->dk_block, bytes))
            break;
        s = slot_make(w, disk, write, (int64_t)(at * d->dk_block >> DEV_BSHIFT), bytes, misalign);
        if (!s) {
            unclaim(d, write, at * d->dk_block, bytes);
            break;
        }
        s->slot_claimed = true;
        *link = &s->slot_buf;
        link = &s->slot_buf.av_forw;
        at += bytes / d->dk_block;
    }
    return head;
}

/* One request anywhere; `big` ones are larger than the adapter takes and must be fragmented. */
static struct buf *make_single(struct world *w, unsigned disk, bool write, bool big)
{
    struct world_disk *d = &w->w_disks[disk];
    struct world_rng *r = &w->w_rng;
    uint64_t blocks = d->dk_bytes / d->dk_block, at = rng_below(r, blocks), n;
    struct world_slot *s;

    n = big ? 1 + rng_below(r, 3 * w->w_transfer_max / d->dk_block) : 1 + rng_below(r, 32);
    if (n > blocks - at)
        n = blocks - at;
    if (!claim(d, write, at * d->dk_block, n * d->dk_block))
        return NULL;
    s = slot_make(w, disk, write, (int64_t)(at * d->dk_block >> DEV_BSHIFT), n * d->dk_block,
                  random_misalign(w));
    if (!s) {
        unclaim(d, write, at * d->dk_block, n * d->dk_block);
        return NULL;
    }
    s->slot_claimed = true;
    return &s->slot_buf;
}

static void send_some(struct world *w)
{
    struct world_rng *r = &w->w_rng;
    unsigned disk = (unsigned)rng_below(r, w->w_spec.ndisks);
    unsigned n = 1 + (unsigned)rng_below(r, w->w_chain_max);
    struct buf *head = NULL, **link = &head;

    if (rng_percent(r, w->w_sequential_percent)) {
        head = make_sequence(w, disk, n, rng_percent(r, 50));
    } else {
        for (unsigned i = 0; i < n; i++) {
            *link = make_single(w, disk, rng_percent(r, 50), rng_percent(r, 5));
            if (*link)
                link = &(*link)->av_forw;
        }
    }
    send_chain(w, disk, head);
}

/* ---------------------------------------------------------------- requests with a known answer */

/* Requests that are wrong, empty, or touch the end of the disk: each has exactly one right answer. */
static void send_edge(struct world *w)
{
    struct world_rng *r = &w->w_rng;
    unsigned disk = (unsigned)rng_below(r, w->w_spec.ndisks);
    struct world_disk *d = &w->w_disks[disk];
    int64_t end = (int64_t)(d->dk_bytes >> DEV_BSHIFT), blkno = 0;
    bool write = rng_percent(r, 50);
    size_t bytes = d->dk_block * (1 + rng_below(r, 8)), resid;
    struct world_slot *s;
    int error;

    resid = bytes;
    switch (rng_below(r, 6)) {
    case 0: /* before the disk */
        blkno = -1 - (int64_t)rng_below(r, 1000) * (d->dk_block >> DEV_BSHIFT);
        error = EINVAL;
        break;
    case 1: /* not a multiple of the block size */
        bytes += 1 + rng_below(r, d->dk_block - 1);
        resid = bytes;
        error = EINVAL;
        break;
    case 2: /* beyond the end */
        blkno = end + (1 + (int64_t)rng_below(r, 1000)) * (d->dk_block >> DEV_BSHIFT);
        error = ENXIO;
        break;
    case 3: /* at the end: a read finds nothing there, a write has nowhere to go */
        blkno = end;
        error = write ? ENXIO : 0;
        break;
    case 4: /* nothing wanted */
        bytes = resid = 0;
        error = 0;
        break;
    default: /* off the block: only a large block can show it */
        if (d->dk_block == DEV_BSIZE)
            return;
        blkno = 1;
        error = EINVAL;
        break;
    }
    s = slot_make(w, disk, write, blkno, bytes, 0);
    if (!s)
        return;
    s->slot_expect_error = error;
    s->slot_expect_resid = resid;
    send_chain(w, disk, &s->slot_buf);
}

/* ---------------------------------------------------------------- raw I/O */

/* Cut `bytes` into up to PIECES_MAX pieces; odd ones when `odd`, else multiples of the block. */
static int cut(struct world *w, struct iovec *vec, uint8_t *p, size_t bytes, size_t unit)
{
    int n = 0;

    while (bytes > 0) {
        size_t piece = bytes;

        if (n < PIECES_MAX - 1 && bytes > unit)
            piece = unit * rng_below(&w->w_rng, bytes / unit + 1);
        vec[n].iov_base = p;
        vec[n++].iov_len = piece;
        p += piece;
        bytes -= piece;
    }
    return n;
}

/* read, write, readv or writev on the raw device: sleeps until it is done, others go on meanwhile. */
static void raw_io(struct world *w)
{
    struct world_rng *r = &w->w_rng;
    unsigned disk = (unsigned)rng_below(r, w->w_spec.ndisks);
    struct world_disk *d = &w->w_disks[disk];
    uint64_t blocks = d->dk_bytes / d->dk_block, at = rng_below(r, blocks), n = 1 + rng_below(r, 300);
    bool write = rng_percent(r, 60), odd = rng_percent(r, 40), refusable, complete;
    struct iovec vec[PIECES_MAX];
    struct uio uio = {.uio_iov = vec, .uio_segflg = rng_percent(r, 50) ? UIO_USERSPACE : UIO_SYSSPACE};
    size_t bytes, misalign = random_misalign(w);
    uint64_t off = at * d->dk_block;
    uint8_t *block;
    int error;

    if (n > blocks - at)
        n = blocks - at;
    bytes = (size_t)n * d->dk_block;
    if (!claim(d, write, off, bytes))
        return;
    block = aligned_alloc(SC_PAGE_SIZE, (bytes + misalign + 2 * SC_PAGE_SIZE) & ~(size_t)SC_PAGE_MASK);
    WORLD_CHECK(w, block, "no memory");
    uio.uio_iovcnt = rng_percent(r, 50) ? cut(w, vec, block + misalign, bytes, odd ? 1 : d->dk_block) : 1;
    if (uio.uio_iovcnt == 1)
        vec[0] = (struct iovec){block + misalign, bytes};
    uio.uio_resid = bytes;
    uio.uio_offset = (int64_t)off;
    if (write)
        fill(w, block + misalign, bytes);
    /* Scattered memory off the block needs a gathered write; where there is none it is refused, unsent. */
    refusable = odd && uio.uio_iovcnt > 1 && (!write || w->w_spec.no_gather || bytes > w->w_transfer_max);
    error =
        fp_rwuio(d->dk_fp, write ? UIO_WRITE : UIO_READ, &uio, write && rng_percent(r, 20) ? SC_OPT_FUA : 0);
    complete = error == 0 && uio.uio_resid == 0;
    WORLD_CHECK(
        w, complete || w->w_disturbed || (refusable && error == EINVAL),
        "hdisk%u: raw %s of %zu bytes at %llu in %d pieces: errno %d (%s), %zu left, without any fault", disk,
        write ? "write" : "read", bytes, (unsigned long long)off, uio.uio_iovdcnt + uio.uio_iovcnt, error,
        scp_strerror(error), uio.uio_resid);
    WORLD_CHECK(w, error == 0 || error_is_plausible(error) || (refusable && error == EINVAL),
                "hdisk%u: raw I/O: errno %d (%s)", disk, error, scp_strerror(error));
    WORLD_CHECK(w, uio.uio_resid <= bytes, "hdisk%u: raw I/O: %zu left of %zu", disk, uio.uio_resid, bytes);
    if (write)
        shadow_written(d, off, block + misalign, bytes, bytes - uio.uio_resid);
    else
        shadow_compare(w, disk, off, block + misalign, bytes - uio.uio_resid);
    world_observe(w, uio.uio_resid ^ (uint64_t)(unsigned)error << 40);
    unclaim(d, write, off, bytes);
    free(block);
    w->w_raw++;
    w->w_errors += error != 0;
}

/* ---------------------------------------------------------------- ioctls */

/* Zero a range one way or the other. */
static void zero_range(struct world *w, unsigned disk, unsigned cmd)
{
    struct world_disk *d = &w->w_disks[disk];
    uint64_t blocks = d->dk_bytes / d->dk_block, at = rng_below(&w->w_rng, blocks);
    uint64_t n = 1 + rng_below(&w->w_rng, blocks - at);
    struct sc_range range = {at * d->dk_block, n * d->dk_block};
    uint8_t *zeroes;
    int error;

    if (!claim(d, true, range.offset, (size_t)range.length))
        return;
    zeroes = calloc(1, (size_t)range.length);
    WORLD_CHECK(w, zeroes, "no memory");
    error = fp_ioctl(d->dk_fp, cmd, (intptr_t)&range, 0);
    WORLD_CHECK(w, error == 0 || w->w_disturbed || (cmd == DKUNMAP && error == EOPNOTSUPP),
                "hdisk%u: zeroing %llu bytes at %llu: errno %d (%s) without any fault", disk,
                (unsigned long long)range.length, (unsigned long long)range.offset, error,
                scp_strerror(error));
    shadow_written(d, range.offset, zeroes, (size_t)range.length, error ? 0 : (size_t)range.length);
    free(zeroes);
    unclaim(d, true, range.offset, (size_t)range.length);
}

static void ioctl_some(struct world *w)
{
    unsigned disk = (unsigned)rng_below(&w->w_rng, w->w_spec.ndisks);
    struct world_disk *d = &w->w_disks[disk];
    struct devinfo info;
    struct sc_extent extent = {.offset = 0};
    int error = 0;

    w->w_ioctls++;
    switch (rng_below(&w->w_rng, 6)) {
    case 0:
        error = fp_ioctl(d->dk_fp, IOCINFO, (intptr_t)&info, 0);
        WORLD_CHECK(w, error == 0 && info.un.scdk.numblks * info.un.scdk.blksize == d->dk_bytes,
                    "hdisk%u: IOCINFO: errno %d, %llu blocks", disk, error,
                    (unsigned long long)info.un.scdk.numblks);
        break;
    case 1:
        error = fp_ioctl(d->dk_fp, DKFLUSH, 0, 0);
        break;
    case 2:
        error = fp_ioctl(d->dk_fp, DKEXTENT, (intptr_t)&extent, 0);
        error = error == EOPNOTSUPP ? 0 : error;
        break;
    case 3:
        zero_range(w, disk, DKZERO);
        break;
    case 4:
        zero_range(w, disk, DKZERO_UNMAP);
        break;
    default:
        zero_range(w, disk, DKUNMAP);
        break;
    }
    WORLD_CHECK(w, error == 0 || (w->w_disturbed && error_is_plausible(error)),
                "hdisk%u: ioctl: errno %d (%s)", disk, error, scp_strerror(error));
}

/* ---------------------------------------------------------------- the caller */

void caller_act(struct world *w)
{
    unsigned what = (unsigned)rng_below(&w->w_rng, 100);

    if (what < 65)
        send_some(w);
    else if (what < 75)
        send_edge(w);
    else if (what < 93)
        raw_io(w);
    else
        ioctl_some(w);
}

void caller_compare_all(struct world *w)
{
    for (unsigned i = 0; i < w->w_spec.ndisks; i++) {
        struct world_disk *d = &w->w_disks[i];
        uint8_t *all =
            aligned_alloc(SC_PAGE_SIZE, (size_t)(d->dk_bytes + SC_PAGE_MASK) & ~(size_t)SC_PAGE_MASK);
        size_t done = 0;
        int error;

        WORLD_CHECK(w, all, "no memory");
        error = scp_raw_read(d->dk_fp, all, (size_t)d->dk_bytes, 0, &done);
        WORLD_CHECK(w, error == 0 && done == d->dk_bytes,
                    "hdisk%u: no progress after the faults: errno %d (%s)", i, error, scp_strerror(error));
        shadow_compare(w, i, 0, all, done);
        free(all);
    }
}
