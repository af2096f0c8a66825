/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_space.c - fallocate and lseek(SEEK_DATA, SEEK_HOLE) on the disks.
 *
 * Punching a hole and zeroing a range both promise zeroes afterwards. Whole blocks go to the device:
 * UNMAP where it reads back zeroes, otherwise WRITE SAME, otherwise zeroes are written (the driver
 * picks). What is left of a block at either end: hdiskN writes zeroes there, rhdiskN refuses the
 * range with EINVAL wherever it refuses such a write (see fuse_disk_is_small). All space of a disk is there
 * from the start, so plain preallocation succeeds as long as it stays on the disk.
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <fcntl.h>
#include <unistd.h>

/* Zero a part of one block through the buffer layer. */
static int fuse_space_edge(struct fuse_handle *h, uint64_t off, uint64_t length)
{
    static const uint8_t zeroes[SC_PAGE_SIZE];
    size_t done = 0;
    int error;

    FUSE_ASSERT(length < h->h_disk->vd_block_bytes);
    if (length == 0)
        return 0;
    error = scp_block_write(h->h_block, zeroes, (size_t)length, off, &done);
    return error == 0 && done != length ? EIO : error;
}

/* Whole blocks to zeroes. `punch`: give the space up where the device can. */
static int fuse_space_blocks(struct fuse_handle *h, uint64_t off, uint64_t length, bool punch)
{
    struct sc_range range = {off, length};
    int error = EOPNOTSUPP;

    if (length == 0)
        return 0;
    if (punch && h->h_disk->vd_unmap)
        error = fp_ioctl(h->h_file, DKUNMAP, (intptr_t)&range, 0);
    if (error == EOPNOTSUPP)
        error = fp_ioctl(h->h_file, punch ? DKZERO_UNMAP : DKZERO, (intptr_t)&range, 0);
    return error;
}

static int fuse_space_zero(struct fuse_handle *h, uint64_t off, uint64_t length, bool punch)
{
    uint64_t mask = h->h_disk->vd_block_bytes - 1u;
    uint64_t end = off + length;
    uint64_t first = (off + mask) & ~mask;
    uint64_t last = end & ~mask;
    int error;

    if (((off | end) & mask) == 0)
        return fuse_space_blocks(h, off, length, punch);
    if (h->h_block == NULL || (h->h_kind == FUSE_KIND_RAW && ((off | end) & (DEV_BSIZE - 1u)) != 0))
        return EINVAL;
    if (first > last) /* inside one block */
        return fuse_space_edge(h, off, length);
    error = fuse_space_edge(h, off, first - off);
    if (error == 0)
        error = fuse_space_blocks(h, first, last - first, punch);
    if (error == 0)
        error = fuse_space_edge(h, last, end - last);
    return error;
}

void fuse_space_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                          struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);
    bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
    bool zero = (mode & FALLOC_FL_ZERO_RANGE) != 0;
    uint64_t at = (uint64_t)off;
    uint64_t bytes = (uint64_t)length;
    uint64_t disk_bytes;
    int error;

    (void)ino;
    if (h->h_kind != FUSE_KIND_RAW && h->h_kind != FUSE_KIND_BLOCK) {
        fuse_reply_err(req, ENODEV);
        return;
    }
    if ((mode & ~(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) != 0) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    if (off < 0 || length <= 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    disk_bytes = h->h_disk->vd_bytes;
    if (at > disk_bytes || bytes > disk_bytes - at) {
        if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
            fuse_reply_err(req, ENOSPC); /* would have to grow */
            return;
        }
        at = at < disk_bytes ? at : disk_bytes;
        bytes = bytes < disk_bytes - at ? bytes : disk_bytes - at;
    }
    if (!punch && !zero) {
        fuse_reply_err(req, 0);
        return;
    }
    error = bytes != 0 ? fuse_space_zero(h, at, bytes, punch) : 0;
    fuse_disk_dirtied(h->h_disk);
    fuse_fail(req, error);
}

void fuse_space_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);
    uint64_t at = (uint64_t)off;
    uint64_t disk_bytes;

    (void)ino;
    if ((h->h_kind != FUSE_KIND_RAW && h->h_kind != FUSE_KIND_BLOCK) ||
        (whence != SEEK_DATA && whence != SEEK_HOLE)) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    disk_bytes = h->h_disk->vd_bytes;
    if (off < 0 || at >= disk_bytes) {
        fuse_reply_err(req, ENXIO);
        return;
    }
    while (at < disk_bytes) {
        struct sc_extent e = {.offset = at & ~(uint64_t)(h->h_disk->vd_block_bytes - 1u)};

        /* A device that cannot tell is all data. */
        if (fp_ioctl(h->h_file, DKEXTENT, (intptr_t)&e, 0) != 0 || e.length == 0) {
            e.length = disk_bytes - e.offset;
            e.mapped = 1;
        }
        if ((e.mapped != 0) == (whence == SEEK_DATA))
            break;
        FUSE_ASSERT(e.offset + e.length > at);
        at = e.offset + e.length;
    }
    /* Behind the last byte is a hole, by definition; there is never data. */
    if (at >= disk_bytes && whence == SEEK_DATA)
        fuse_reply_err(req, ENXIO);
    else
        fuse_reply_lseek(req, (off_t)(at < disk_bytes ? at : disk_bytes));
}
