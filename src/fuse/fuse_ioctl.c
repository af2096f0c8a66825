/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_ioctl.c - ioctl(2) on the mounted files.
 *
 * FUSE hands over exactly the bytes an ioctl number promises, in and out (restricted ioctls), which
 * is why the contract's numbers carry direction and size. The bytes are put into memory of ours and
 * the driver is called as for a user, without DKERNEL, with that address; plain-word arguments
 * (SCIOSTART ...) go by value. Root and the user who mounted have authority (DAUTH).
 *
 * Safety. Some structures hold an address for callers in the same address space. From here it would
 * be an address in this process, so it must be zero (EFAULT): the data is in the structure's inline
 * area. A command that is not in the table is refused, whatever the driver would make of it.
 *
 * A failed ioctl still gives back its structure: SCIOTUR's status and DK_PASSTHRU's sense are read
 * after an EIO.
 *
 * Does not contain: what the commands do (devdrv/dd_ioctl.c, adapter/ad_ioctl.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The contract's encoding must be this host's, or nothing gets through. */
_Static_assert(SC_IO('S', 1) == _IO('S', 1), "SC_IO is not the host's _IO");
_Static_assert(IOCINFO == _IOR('c', 0, struct devinfo), "SC_IOR is not the host's _IOR");
_Static_assert(DKUNMAP == _IOW('D', 33, struct sc_range), "SC_IOW is not the host's _IOW");
_Static_assert(SCIOTUR == _IOWR('S', 9, struct sc_ready), "SC_IOWR is not the host's _IOWR");

#define IOCTL_ADAPTER   0x1u
#define IOCTL_DISK      0x2u
#define IOCTL_BYTES_MAX 16384u /* an ioctl number has 14 bits of size */

static const struct fuse_ioctl {
    unsigned i_cmd;
    unsigned i_where;
    size_t i_pointer; /* offset of a uint64_t address; 0 none: no structure begins with one */
} fuse_ioctls[] = {
    {IOCINFO, IOCTL_ADAPTER | IOCTL_DISK, 0},
    {SCIOSTART, IOCTL_ADAPTER, 0},
    {SCIOSTOP, IOCTL_ADAPTER, 0},
    {SCIOHALT, IOCTL_ADAPTER, 0},
    {SCIORESET, IOCTL_ADAPTER, 0},
    {SCIOGTHW, IOCTL_ADAPTER, 0},
    {SCIOEVENT, IOCTL_ADAPTER, 0}, /* the driver answers EPERM to whoever is not the kernel */
    {SCIOINQU, IOCTL_ADAPTER, offsetof(struct sc_inquiry, inquiry_ptr)},
    {SCIOSTUNIT, IOCTL_ADAPTER, 0},
    {SCIOTUR, IOCTL_ADAPTER, 0},
    {SCIOREAD, IOCTL_ADAPTER, offsetof(struct sc_readblk, data_ptr)},
    {SCIOCMD, IOCTL_ADAPTER, offsetof(struct sc_passthru, buffer)},
    {SCIOLUNSTAT, IOCTL_ADAPTER, 0},
    {SCIOLUNFLOW, IOCTL_ADAPTER, 0},
    {SCIOSTAT, IOCTL_ADAPTER, 0},
    {SCIOFLIGHT, IOCTL_ADAPTER, 0},
    {DKIORDSE, IOCTL_DISK, offsetof(struct sc_rdwrt, buffer)},
    {DKIOWRSE, IOCTL_DISK, offsetof(struct sc_rdwrt, buffer)},
    {DKIOCMD, IOCTL_DISK, offsetof(struct sc_passthru, buffer)},
    {DK_PASSTHRU, IOCTL_DISK, offsetof(struct sc_passthru, buffer)},
    {DKPMR, IOCTL_DISK, 0},
    {DKAMR, IOCTL_DISK, 0},
    {DKEJECT, IOCTL_DISK, 0},
    {DKFORMAT, IOCTL_DISK, 0},
    {DKFLUSH, IOCTL_DISK, 0},
    {DKFLUSHMARK, IOCTL_DISK, 0},
    {DKUNMAP, IOCTL_DISK, 0},
    {DKZERO, IOCTL_DISK, 0},
    {DKZERO_UNMAP, IOCTL_DISK, 0},
    {DKEXTENT, IOCTL_DISK, 0},
    {DKINFO, IOCTL_DISK, 0},
    {DKSTATS, IOCTL_DISK, 0},
    {DKFLIGHT, IOCTL_DISK, 0},
};

static const struct fuse_ioctl *fuse_ioctl_find(unsigned cmd, unsigned where)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(fuse_ioctls); i++)
        if (fuse_ioctls[i].i_cmd == cmd && (fuse_ioctls[i].i_where & where) != 0)
            return &fuse_ioctls[i];
    return NULL;
}

/* Commands that change the medium need a handle that may write. */
static bool fuse_ioctl_writes(unsigned cmd)
{
    switch (cmd) {
    case DKIOWRSE:
    case DKIOCMD:
    case DK_PASSTHRU:
    case DKFORMAT:
    case DKUNMAP:
    case DKZERO:
    case DKZERO_UNMAP:
        return true;
    default:
        return false;
    }
}

/*
 * Does this command, allowed to write, leave things that close(2) has to flush? The driver's rule for what is
 * passed through: only data to the device does. A stopped disk cannot flush, and need not.
 */
static bool fuse_ioctl_dirties(unsigned cmd, const void *area)
{
    const struct sc_passthru *pt = area;

    if (cmd == DKIOCMD || cmd == DK_PASSTHRU)
        return !(pt->flags & SC_PT_READ) && pt->data_length > 0;
    return fuse_ioctl_writes(cmd);
}

/* Who may do more than look: root, and whoever mounted. */
static unsigned long fuse_ioctl_authority(fuse_req_t req)
{
    uid_t uid = fuse_req_ctx(req)->uid;

    return uid == 0 || uid == getuid() ? DAUTH : 0;
}

/*
 * Run one command of the table on the structure in `area`. Context: process. Returns 0 or an errno
 * of ours; `area` has the structure afterwards.
 */
static int fuse_ioctl_run(struct fuse_handle *h, const struct fuse_ioctl *io, void *area, void *word,
                          unsigned long authority)
{
    bool structure = SC_IOC_SIZE(io->i_cmd) != 0;
    bool dirties = fuse_ioctl_dirties(io->i_cmd, area);
    uint64_t pointer = 0;
    int error;

    if (fuse_ioctl_writes(io->i_cmd) && !h->h_writable)
        return EBADF;
    if (io->i_pointer != 0) {
        memcpy(&pointer, (const uint8_t *)area + io->i_pointer, sizeof(pointer));
        if (pointer != 0)
            return EFAULT;
    }
    error = io->i_cmd == DKFLUSH
                ? fuse_disk_flush_told(h)
                : fp_ioctlx(h->h_file, io->i_cmd, structure ? (intptr_t)area : (intptr_t)word, 0,
                            DREAD | (h->h_writable ? DWRITE : 0) | authority);
    if (dirties)
        fuse_disk_dirtied(h->h_disk);
    return error;
}

void fuse_ioctl_call(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
                     unsigned flags, const void *in, size_t in_bytes, size_t out_bytes)
{
    struct fuse_handle *h = fuse_handle_of(fi);
    bool disk = h->h_kind == FUSE_KIND_RAW || h->h_kind == FUSE_KIND_BLOCK;
    uint64_t area[IOCTL_BYTES_MAX / sizeof(uint64_t)];
    size_t bytes = SC_IOC_SIZE(cmd);
    const struct fuse_ioctl *io;
    int error;

    (void)ino;
    (void)flags;
    if (!disk && h->h_kind != FUSE_KIND_ADAPTER) {
        fuse_reply_err(req, ENOTTY);
        return;
    }
    if (disk && cmd == BLKGETSIZE64 && fuse_disk_is_gone(h)) {
        fuse_reply_err(req, ENXIO);
        return;
    }
    if (disk && cmd == BLKGETSIZE64) {
        uint64_t size = h->h_disk->vd_bytes;

        fuse_reply_ioctl(req, 0, &size, out_bytes < sizeof(size) ? out_bytes : sizeof(size));
        return;
    }
    io = fuse_ioctl_find(cmd, disk ? IOCTL_DISK : IOCTL_ADAPTER);
    /* What the kernel hands over is what the number says, but the caller chose the number. */
    if (io == NULL || bytes > sizeof(area) || in_bytes > bytes || out_bytes > bytes) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    /* What does not come from the caller must not be what was on this stack. */
    memset(area, 0, bytes);
    if (in_bytes != 0)
        memcpy(area, in, in_bytes);
    error = fuse_ioctl_run(h, io, area, arg, fuse_ioctl_authority(req));
    if (error != 0 && out_bytes == 0)
        fuse_fail(req, error);
    else
        fuse_reply_ioctl(req, -scp_host_errno(error), out_bytes != 0 ? area : NULL, out_bytes);
}
