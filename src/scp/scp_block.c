/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_block.c - the buffer layer over a block device: any offset, any length.
 *
 * A block device's strategy routine takes whole blocks. This file does what a buffer cache does in
 * front of it: round the range out to blocks, read what the edges miss, cut the range at page
 * boundaries into one buf per page, and hand the whole chain to the driver in one call, which
 * then consolidates it into spanned commands. It keeps no data: nothing here is a cache.
 *
 * Two ways to the memory. When the caller's memory lies to the page as the disk range does (both
 * start at the same offset inside a page) and the range is whole blocks, the bufs point straight
 * at it. Otherwise the data goes through a page-aligned bounce area, because inner buffers of a
 * span must begin and end on pages (AIX-09).
 *
 * Edges: a write that covers part of a block reads the block, changes it and writes it back. No
 * other write may touch that block in between, so such writes hold the disk's rwlock exclusively
 * and whole-block writes hold it shared. Rejected: locks per block range, which would let partial
 * writes to different blocks overlap. They are rare (the page cache in front writes whole pages)
 * and a table of ranges would cost every write a search.
 *
 * Does not contain: spanning (devdrv/dd_span.c), raw I/O (scp_raw.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <stdatomic.h>
#include <stdlib.h>

/* One request moves at most this much; larger ones loop. */
#define BLOCK_CHUNK_BYTES  (1u << 20)
#define BLOCK_BUFS         (BLOCK_CHUNK_BYTES / SC_PAGE_SIZE + 2u)
#define BLOCK_BOUNCE_BYTES ((size_t)BLOCK_BUFS * SC_PAGE_SIZE)
/* A range is asked for so often in all when the device moves less than that without an error. */
#define BLOCK_TRIES        4u

struct block_io;
/* A buf and the way back from its completion. */
struct block_buf {
    struct buf bb_buf;
    struct block_io *bb_io;
};

/* What one call works with; recycled through the owner's list. */
struct block_io {
    struct block_io *io_next; /* free list */
    _Atomic uint32_t io_left; /* bufs not yet done, plus one for the submitter */
    event_t io_event;
    unsigned io_nbufs;
    uint8_t *io_bounce; /* BLOCK_BOUNCE_BYTES, page-aligned */
    struct block_buf io_bufs[BLOCK_BUFS];
};

struct scp_block {
    struct file *bl_file;
    devno_t bl_devno;
    uint32_t bl_block_bytes; /* a power of two */
    uint64_t bl_disk_bytes;
    pthread_rwlock_t bl_edges; /* see above */
    pthread_mutex_t bl_mutex;  /* bl_free */
    struct block_io *bl_free;
};

/* ------------------------------------------------------------------ the pool of block_io */

/* Grows to the number of threads that were ever inside at once; scp_block_close frees it. */
static struct block_io *block_io_get(struct scp_block *b)
{
    struct block_io *io;

    pthread_mutex_lock(&b->bl_mutex);
    io = b->bl_free;
    if (io != NULL)
        b->bl_free = io->io_next;
    pthread_mutex_unlock(&b->bl_mutex);
    if (io != NULL)
        return io;
    io = calloc(1, sizeof(*io));
    if (io == NULL)
        return NULL;
    io->io_bounce = aligned_alloc(SC_PAGE_SIZE, BLOCK_BOUNCE_BYTES);
    if (io->io_bounce == NULL) {
        free(io);
        return NULL;
    }
    return io;
}

static void block_io_put(struct scp_block *b, struct block_io *io)
{
    SHIM_ASSERT(atomic_load(&io->io_left) == 0);
    pthread_mutex_lock(&b->bl_mutex);
    io->io_next = b->bl_free;
    b->bl_free = io;
    pthread_mutex_unlock(&b->bl_mutex);
}

/* ------------------------------------------------------------------ sending a chain */

static void block_done(struct buf *bp)
{
    struct block_io *io = SC_CONTAINER_OF(bp, struct block_buf, bb_buf)->bb_io;

    /* The last one out, and only it, touches io: after the wakeup the submitter may reuse it. */
    if (atomic_fetch_sub_explicit(&io->io_left, 1, memory_order_acq_rel) == 1)
        e_wakeup(&io->io_event);
}

/* Cut [off, off + bytes) at page boundaries of the disk; `memory` goes along. Returns the chain. */
static struct buf *block_chain_build(struct scp_block *b, struct block_io *io, uint8_t *memory, uint64_t off,
                                     size_t bytes, bool write)
{
    unsigned n = 0;

    while (bytes > 0) {
        size_t piece = SC_PAGE_SIZE - (size_t)(off & SC_PAGE_MASK);
        struct buf *bp = &io->io_bufs[n].bb_buf;

        if (piece > bytes)
            piece = bytes;
        SHIM_ASSERT(n < BLOCK_BUFS);
        memset(bp, 0, sizeof(*bp));
        bp->b_flags = (write ? B_WRITE : B_READ) | B_MPSAFE;
        bp->b_iodone = block_done;
        bp->b_dev = b->bl_devno;
        bp->b_un.b_addr = memory;
        bp->b_bcount = piece;
        bp->b_blkno = (int64_t)(off >> DEV_BSHIFT);
        io->io_bufs[n].bb_io = io;
        if (n > 0)
            io->io_bufs[n - 1].bb_buf.av_forw = bp;
        n++;
        memory += piece;
        off += piece;
        bytes -= piece;
    }
    io->io_nbufs = n;
    return &io->io_bufs[0].bb_buf;
}

/*
 * Move whole blocks and wait. *moved gets the bytes before the first buf that failed or fell
 * short. Context: process; no lock held but bl_edges. Returns 0 or the first error in disk order.
 */
static int block_move(struct scp_block *b, struct block_io *io, uint8_t *memory, uint64_t off, size_t bytes,
                      bool write, size_t *moved)
{
    struct buf *chain = block_chain_build(b, io, memory, off, bytes, write);
    int error;

    *moved = 0;
    atomic_store_explicit(&io->io_left, io->io_nbufs + 1, memory_order_relaxed);
    error = devstrat(chain);
    if (error != 0) {
        atomic_store_explicit(&io->io_left, 0, memory_order_relaxed);
        return error;
    }
    /*
     * Ours is the extra count: if it is the last, everything finished inline and nobody wakes us. Otherwise
     * the wakeup is what we wait for, not a count of 0: before it the last completion still needs io.
     */
    if (atomic_fetch_sub_explicit(&io->io_left, 1, memory_order_acq_rel) != 1)
        (void)e_sleep_thread(&io->io_event, NULL, EVENT_SHORT);
    SHIM_ASSERT(atomic_load_explicit(&io->io_left, memory_order_acquire) == 0);
    for (unsigned i = 0; i < io->io_nbufs; i++) {
        const struct buf *bp = &io->io_bufs[i].bb_buf;

        SHIM_ASSERT((bp->b_flags & B_DONE) != 0 && bp->b_resid <= bp->b_bcount);
        *moved += bp->b_bcount - bp->b_resid;
        if (bp->b_flags & B_ERROR)
            return bp->b_error ? bp->b_error : EIO;
        if (bp->b_resid != 0)
            break;
    }
    return 0;
}

/*
 * The same, and what a device says was good but left out (b_resid without an error) is asked for
 * again, from the block where it stopped. Every range here lies on the disk, so a short transfer is
 * never its end; a device that keeps falling short is EIO, because a reader would take it for the
 * end of the file and a page that is written back for written.
 */
static int block_move_all(struct scp_block *b, struct block_io *io, uint8_t *memory, uint64_t off,
                          size_t bytes, bool write, size_t *moved)
{
    size_t got = 0;
    int error = 0;

    *moved = 0;
    for (unsigned tries = 0; error == 0 && *moved < bytes; tries++) {
        size_t at = *moved & ~(size_t)(b->bl_block_bytes - 1u);

        if (tries == BLOCK_TRIES)
            return EIO;
        error = block_move(b, io, memory + at, off + at, bytes - at, write, &got);
        *moved = at + got;
    }
    return error;
}

/* ------------------------------------------------------------------ one chunk */

/* A byte range inside one chunk and the whole blocks around it. */
struct block_range {
    uint64_t r_first; /* start rounded down to a block */
    size_t r_bytes;   /* rounded out */
    size_t r_skip;    /* wanted start - r_first */
};

static struct block_range block_range_of(const struct scp_block *b, uint64_t off, size_t bytes)
{
    uint64_t mask = b->bl_block_bytes - 1u;
    uint64_t end = (off + bytes + mask) & ~mask;
    struct block_range r = {.r_first = off & ~mask};

    r.r_bytes = (size_t)(end - r.r_first);
    r.r_skip = (size_t)(off - r.r_first);
    return r;
}

static bool block_is_direct(const struct block_range *r, const void *data, uint64_t off, size_t bytes)
{
    return r->r_skip == 0 && r->r_bytes == bytes && (((uintptr_t)data ^ off) & SC_PAGE_MASK) == 0;
}

static size_t block_clip(size_t moved, size_t skip, size_t want)
{
    size_t useful = moved > skip ? moved - skip : 0;

    return useful < want ? useful : want;
}

static int block_read_chunk(struct scp_block *b, struct block_io *io, uint8_t *data, size_t bytes,
                            uint64_t off, size_t *got)
{
    struct block_range r = block_range_of(b, off, bytes);
    size_t moved = 0;
    uint8_t *bounce;
    int error;

    if (block_is_direct(&r, data, off, bytes)) {
        return block_move_all(b, io, data, off, bytes, false, got);
    }
    /* Same place in the page as on the disk, so that inner edges of the span are page edges. */
    bounce = io->io_bounce + (size_t)(r.r_first & SC_PAGE_MASK);
    error = block_move_all(b, io, bounce, r.r_first, r.r_bytes, false, &moved);
    *got = block_clip(moved, r.r_skip, bytes);
    memcpy(data, bounce + r.r_skip, *got);
    return error;
}

/* Fill the bounce area's first and last block from the disk where the write does not cover them. */
static int block_edges_read(struct scp_block *b, struct block_io *io, const struct block_range *r,
                            size_t bytes, uint8_t *bounce)
{
    size_t block = b->bl_block_bytes;
    size_t tail = r->r_skip + bytes;
    size_t moved;
    int error = 0;

    if (r->r_skip != 0 || (r->r_bytes == block && tail != block)) {
        error = block_move_all(b, io, bounce, r->r_first, block, false, &moved);
    }
    if (error == 0 && tail != r->r_bytes && r->r_bytes > block) {
        size_t last = r->r_bytes - block;

        error = block_move_all(b, io, bounce + last, r->r_first + last, block, false, &moved);
    }
    return error;
}

static int block_write_chunk(struct scp_block *b, struct block_io *io, const uint8_t *data, size_t bytes,
                             uint64_t off, size_t *put)
{
    struct block_range r = block_range_of(b, off, bytes);
    bool whole = r.r_skip == 0 && r.r_bytes == bytes;
    uint8_t *bounce = io->io_bounce + (size_t)(r.r_first & SC_PAGE_MASK);
    size_t moved = 0;
    int error = 0;

    if (whole)
        pthread_rwlock_rdlock(&b->bl_edges);
    else
        pthread_rwlock_wrlock(&b->bl_edges);
    if (block_is_direct(&r, data, off, bytes)) {
        error = block_move_all(b, io, (uint8_t *)(uintptr_t)data, off, bytes, true, &moved);
    } else {
        if (!whole)
            error = block_edges_read(b, io, &r, bytes, bounce);
        if (error == 0) {
            memcpy(bounce + r.r_skip, data, bytes);
            error = block_move_all(b, io, bounce, r.r_first, r.r_bytes, true, &moved);
        }
    }
    pthread_rwlock_unlock(&b->bl_edges);
    *put = block_clip(moved, r.r_skip, bytes);
    return error;
}

/* ------------------------------------------------------------------ the interface */

int scp_block_open(devno_t devno, unsigned long devflag, struct scp_block **out)
{
    struct scp_block *b = calloc(1, sizeof(*b));
    struct devinfo info;
    int error;

    if (b == NULL)
        return ENOMEM;
    error = fp_opendev(devno, devflag, NULL, 0, &b->bl_file);
    if (error != 0) {
        free(b);
        return error;
    }
    error = fp_ioctl(b->bl_file, IOCINFO, (intptr_t)&info, 0);
    if (error == 0 &&
        (info.devtype != DD_SCDISK || info.un.scdk.blksize == 0 ||
         (info.un.scdk.blksize & (info.un.scdk.blksize - 1)) != 0 || info.un.scdk.blksize > SC_PAGE_SIZE))
        error = EINVAL;
    if (error != 0) {
        (void)fp_close(b->bl_file);
        free(b);
        return error;
    }
    b->bl_devno = devno;
    b->bl_block_bytes = info.un.scdk.blksize;
    b->bl_disk_bytes = info.un.scdk.numblks * info.un.scdk.blksize;
    pthread_rwlock_init(&b->bl_edges, NULL);
    pthread_mutex_init(&b->bl_mutex, NULL);
    *out = b;
    return 0;
}

void scp_block_close(struct scp_block *b)
{
    struct block_io *io;

    while ((io = b->bl_free) != NULL) {
        b->bl_free = io->io_next;
        free(io->io_bounce);
        free(io);
    }
    (void)fp_close(b->bl_file);
    pthread_rwlock_destroy(&b->bl_edges);
    pthread_mutex_destroy(&b->bl_mutex);
    free(b);
}

struct file *scp_block_file(struct scp_block *b) { return b->bl_file; }

/* The loop both directions share; memory is only written to when `write` is false. */
static int block_rw(struct scp_block *b, uint8_t *data, size_t bytes, uint64_t off, bool write, size_t *done)
{
    struct block_io *io;
    int error = 0;

    *done = 0;
    if (bytes == 0)
        return 0;
    if (off >= b->bl_disk_bytes)
        return write || off > b->bl_disk_bytes ? ENXIO : 0;
    if (bytes > b->bl_disk_bytes - off)
        bytes = (size_t)(b->bl_disk_bytes - off);
    io = block_io_get(b);
    if (io == NULL)
        return ENOMEM;
    while (error == 0 && *done < bytes) {
        size_t left = bytes - *done;
        /* End on a chunk boundary of the disk, so that a large unaligned range has two edges, not many. */
        size_t chunk = BLOCK_CHUNK_BYTES - (size_t)((off + *done) & (BLOCK_CHUNK_BYTES - 1));
        size_t moved = 0;

        if (chunk > left)
            chunk = left;
        error = write ? block_write_chunk(b, io, data + *done, chunk, off + *done, &moved)
                      : block_read_chunk(b, io, data + *done, chunk, off + *done, &moved);
        *done += moved;
        SHIM_ASSERT(error != 0 || moved == chunk);
    }
    block_io_put(b, io);
    return error;
}

int scp_block_read(struct scp_block *b, void *data, size_t bytes, uint64_t off, size_t *done)
{
    return block_rw(b, data, bytes, off, false, done);
}

int scp_block_write(struct scp_block *b, const void *data, size_t bytes, uint64_t off, size_t *done)
{
    return block_rw(b, (uint8_t *)(uintptr_t)data, bytes, off, true, done);
}
