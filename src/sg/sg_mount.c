/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_mount.c - commands to a disk on a mount: DK_PASSTHRU through FUSE.
 *
 * FUSE carries no more than 16 KiB of an ioctl and follows no pointer, so the data of one call is
 * limited to SC_PASSTHRU_INLINE (8,192 bytes). A longer command is sent in pieces where that means
 * the same (sg_split.c), and is refused with ENOMEM where it does not: the answer SG_IO has for a
 * command that is too large for the device. The disk then sees several commands where the tool sent
 * one; what the tool sees differs in nothing but time and atomicity.
 *
 * The mount lets pass-through commands in only through a descriptor that may write, and most tools
 * open for reading. For them the file is opened once more for the length of a command, with the
 * caller's own rights.
 */
#define _GNU_SOURCE
#include "sg_impl.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Asked of FUSE files alone: no other driver ever sees our ioctl numbers. */
bool sg_mount_find(int fd, struct sc_disk_info *info)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == FUSE_SUPER_MAGIC &&
           sg_real_ioctl(fd, DKINFO, info) == 0 && info->block_bytes != 0;
}

/* A descriptor for the same file that may write, or -1 with errno. */
static int sg_mount_writable(int fd)
{
    char path[32];
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY)
        return fd;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return sg_real_open(path, O_RDWR | O_CLOEXEC, 0);
}

/* One call: at most SC_PASSTHRU_INLINE bytes. */
static int sg_mount_call(int fd, struct sg_command *cm)
{
    struct sc_passthru pt;
    int error;

    sg_passthru_fill(cm, &pt);
    if (!cm->cm_in && cm->cm_bytes != 0)
        memcpy(pt.data, cm->cm_data, cm->cm_bytes);
    error = sg_real_ioctl(fd, DK_PASSTHRU, &pt) < 0 ? errno : 0;
    error = sg_passthru_result(cm, &pt, error);
    if (error == 0 && cm->cm_in)
        memcpy(cm->cm_data, pt.data, cm->cm_bytes - cm->cm_resid);
    return error;
}

/* Give the results of one piece to the whole. */
static void sg_mount_merge(struct sg_command *cm, const struct sg_command *piece, uint32_t moved)
{
    cm->cm_resid = cm->cm_bytes - moved;
    cm->cm_status = piece->cm_status;
    cm->cm_host = piece->cm_host;
    cm->cm_sense_bytes = piece->cm_sense_bytes;
    memcpy(cm->cm_sense, piece->cm_sense, sizeof(cm->cm_sense));
}

/* A command whose answer is cut to an allocation length: ask for what one call carries. */
static int sg_mount_send_alloc(int fd, struct sg_command *cm)
{
    struct sg_command piece = *cm;
    int error;

    sg_split_set_alloc(&piece, SC_PASSTHRU_INLINE);
    piece.cm_bytes = SC_PASSTHRU_INLINE;
    error = sg_mount_call(fd, &piece);
    if (error != 0)
        return error;
    /* Filled to the brim: there may be more, which nobody has seen. */
    if (piece.cm_status == SC_GOOD_STATUS && piece.cm_host == SG_HOST_OK && piece.cm_resid == 0)
        return ENOMEM;
    sg_mount_merge(cm, &piece, piece.cm_bytes - piece.cm_resid);
    return 0;
}

/* A READ or WRITE, some blocks at a time, until one piece does not end well. */
static int sg_mount_send_blocks(int fd, const struct sg_target *t, struct sg_command *cm)
{
    uint32_t block = t->tg_info.block_bytes, per_call = SC_PASSTHRU_INLINE / block;
    uint32_t blocks, moved = 0;
    uint64_t lba;

    sg_split_get_range(cm, &lba, &blocks);
    while (blocks > 0) {
        struct sg_command piece = *cm;
        uint32_t n = blocks < per_call ? blocks : per_call;
        int error;

        /*
         * A range that does not fit on the disk is refused before any block moves, so the disk
         * must see the whole of it. It answers without a data phase.
         */
        if (moved != 0 || (lba < t->tg_info.blocks && blocks <= t->tg_info.blocks - lba))
            sg_split_set_range(&piece, lba, n);
        piece.cm_data = cm->cm_data + moved;
        piece.cm_bytes = n * block;
        error = sg_mount_call(fd, &piece);
        if (error != 0)
            return error;
        moved += piece.cm_bytes - piece.cm_resid;
        sg_mount_merge(cm, &piece, moved);
        if (piece.cm_status != SC_GOOD_STATUS || piece.cm_host != SG_HOST_OK || piece.cm_resid != 0)
            break;
        lba += n;
        blocks -= n;
    }
    return 0;
}

static int sg_mount_dispatch(int fd, const struct sg_target *t, struct sg_command *cm)
{
    if (cm->cm_bytes <= SC_PASSTHRU_INLINE)
        return sg_mount_call(fd, cm);
    switch (sg_split_how(cm, t->tg_info.block_bytes)) {
    case SG_SPLIT_ALLOC:
        return sg_mount_send_alloc(fd, cm);
    case SG_SPLIT_BLOCKS:
        return sg_mount_send_blocks(fd, t, cm);
    default:
        return ENOMEM;
    }
}

int sg_mount_send(const struct sg_target *t, struct sg_command *cm)
{
    int fd = sg_mount_writable(t->tg_fd);
    int error;

    if (fd < 0)
        return errno;
    error = sg_mount_dispatch(fd, t, cm);
    if (fd != t->tg_fd)
        (void)close(fd);
    return error;
}
