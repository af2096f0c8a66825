/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_posix_medium.c - a simulated disk's blocks in a file or on a block device.
 *
 * Outline: opening and its messages; the transfer loop; flush, unmap, zero, mapped; the table.
 *
 * A read of one segment is one pread and nothing else: this is where a 4 KiB random read of the
 * whole stack ends. Interrupted and short transfers are carried on; end of file inside a transfer
 * means that somebody cut the image short, and is EIO.
 *
 * O_DIRECT wants memory, offset and length aligned to what the file system says. What is not
 * aligned goes through a second, buffered descriptor of the same file; Linux keeps the two coherent.
 * Rejected: a bounce buffer (an allocation in the path, and read-modify-write for offsets).
 *
 * Does not contain: SCSI, block sizes, the RAM and null media (sim_medium.c).
 */
#define _GNU_SOURCE
#include "sim_posix_medium.h"

#include "../sim.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIM_POSIX_DIRECT_ALIGN 4096u
#define SIM_POSIX_IOV_MAX      1024u
/* Written at a time where the file system cannot make zeroes itself. */
#define SIM_POSIX_ZERO_BYTES   ((size_t)64 << 10)

struct sim_posix {
    int pm_fd;        /* buffered; also holds the lock */
    int pm_direct_fd; /* -1: not direct */
    int pm_behind_fd; /* of a loop device: locks the file it shows; or -1 */
    bool pm_read_only;
    uint64_t pm_bytes;
};

/* Zeroes to write; never written to itself, so it stays one shared page in memory. */
static const char sim_posix_zeroes[SIM_POSIX_ZERO_BYTES] __attribute__((aligned(4096)));

/* ---------------------------------------------------------------- opening */

/* Put one line into err and pass the errno on. */
static int sim_posix_refuse(int error, char *err, size_t size, const char *path, const char *what)
{
    if (err && size)
        (void)snprintf(err, size, "%s: %s", path, what);
    return error;
}

static const char *sim_posix_why(int error, bool read_only)
{
    switch (error) {
    case ENOENT:
        return "no such file; create it with \"truncate -s 1G FILE\"";
    case ENOTDIR:
        return "a part of the path is not a directory; check the path";
    case EACCES:
    case EPERM:
        return read_only ? "permission denied; make the file readable for this user"
                         : "permission denied; make the file writable for this user, or add \",ro\"";
    case EROFS:
        return "is on a read-only file system; add \",ro\"";
    case ELOOP:
        return "too many symbolic links; check the path";
    case ENAMETOOLONG:
        return "the name is too long; check the path";
    case ETXTBSY:
        return "is a program that runs; give an image file";
    case EBUSY:
        return "is in use by the system or by another program; unmount it first";
    default:
        return NULL;
    }
}

static int sim_posix_refuse_errno(int error, bool read_only, char *err, size_t size, const char *path)
{
    const char *why = sim_posix_why(error, read_only);
    char text[128];

    if (!why) {
        (void)snprintf(text, sizeof(text), "cannot be opened: %s; give a readable image file",
                       strerror(error));
        why = text;
    }
    return sim_posix_refuse(error, err, size, path, why);
}

/* Look before opening: to open a pipe would block and to open a tape might move it. */
static int sim_posix_look(const char *path, bool read_only, struct stat *st, char *err, size_t size)
{
    if (!*path)
        return sim_posix_refuse(ENOENT, err, size, "disk",
                                "no file name; give an image file or a block device");
    if (stat(path, st))
        return sim_posix_refuse_errno(errno, read_only, err, size, path);
    if (S_ISDIR(st->st_mode))
        return sim_posix_refuse(EISDIR, err, size, path,
                                "is a directory; give an image file or a block device");
    if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
        return sim_posix_refuse(EINVAL, err, size, path,
                                "is neither a regular file nor a block device; give one of these");
    return 0;
}

/*
 * Open the file that was looked at. The name may stand for another one by now, and the two descriptors of a
 * direct medium must never be two files. 0, or an errno in words.
 */
static int sim_posix_open_fd(int *fd, const char *path, int flags, const struct stat *looked, bool read_only,
                             char *err, size_t size)
{
    struct stat st;

    *fd = open(path, flags);
    if (*fd < 0 && (flags & O_DIRECT))
        return sim_posix_refuse(EINVAL, err, size, path,
                                "its file system cannot do direct I/O; leave out \"direct\"");
    if (*fd < 0 || fstat(*fd, &st))
        return sim_posix_refuse_errno(errno, read_only, err, size, path);
    if (st.st_dev != looked->st_dev || st.st_ino != looked->st_ino)
        return sim_posix_refuse(EBUSY, err, size, path, "was replaced while it was opened; try again");
    return 0;
}

/*
 * The file a loop device shows, or -1. Only where it shows all of it: several devices of parts of one file
 * are as they should be. The name alone is not believed; what cannot be found by it, as from another mount
 * namespace, is not looked for.
 */
static int sim_posix_behind(const struct sim_posix *m, const struct stat *device)
{
    struct loop_info64 info;
    char name[64], path[PATH_MAX];
    struct stat st;
    ssize_t n;
    int fd;

    (void)snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/loop/backing_file", major(device->st_rdev),
                   minor(device->st_rdev));
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, path, sizeof(path) - 1);
    (void)close(fd);
    if (n <= 1 || ioctl(m->pm_fd, LOOP_GET_STATUS64, &info) || info.lo_offset || info.lo_sizelimit)
        return -1;
    path[n - 1] = '\0'; /* a newline ends it */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, &st) || st.st_dev != info.lo_device || st.st_ino != info.lo_inode)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Against another scpair: of an open file, or of the one behind a loop device. */
static int sim_posix_lock(const struct sim_posix *m, int fd, const char *path, char *err, size_t size)
{
    if (flock(fd, (m->pm_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return sim_posix_refuse(errno, err, size, path, "cannot be locked; use a local file system");
    return sim_posix_refuse(EBUSY, err, size, path,
                            fd == m->pm_fd
                                ? "is in use by another scpair; unmount that first, or add \",ro\" to both"
                                : "the file behind it is in use by another scpair; unmount that first, or "
                                  "add \",ro\" to both");
}

/* The open file: lock it and ask its size. */
static int sim_posix_take(struct sim_posix *m, const struct stat *looked, const char *path, char *err,
                          size_t size)
{
    int rc = sim_posix_lock(m, m->pm_fd, path, err, size);
    off_t end;

    if (rc)
        return rc;
    m->pm_behind_fd = S_ISBLK(looked->st_mode) ? sim_posix_behind(m, looked) : -1;
    rc = m->pm_behind_fd >= 0 ? sim_posix_lock(m, m->pm_behind_fd, path, err, size) : 0;
    if (rc)
        return rc;
    end = lseek(m->pm_fd, 0, SEEK_END);
    if (end < 0)
        return sim_posix_refuse_errno(errno, m->pm_read_only, err, size, path);
    if (end == 0)
        return sim_posix_refuse(EINVAL, err, size, path,
                                "is empty; give it a size with \"truncate -s 1G FILE\"");
    m->pm_bytes = (uint64_t)end;
    return 0;
}

static void sim_posix_close(void *medium)
{
    struct sim_posix *m = medium;

    if (m->pm_direct_fd >= 0)
        (void)close(m->pm_direct_fd);
    if (m->pm_behind_fd >= 0)
        (void)close(m->pm_behind_fd);
    if (m->pm_fd >= 0)
        (void)close(m->pm_fd);
    free(m);
}

static int sim_posix_open_fds(struct sim_posix *m, const char *path, bool direct, char *err, size_t size)
{
    int flags = (m->pm_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    struct stat looked;
    int rc = sim_posix_look(path, m->pm_read_only, &looked, err, size);

    if (rc)
        return rc;
    /* A device that is written is ours alone: O_EXCL fails while it is mounted. One descriptor claims. */
    rc = sim_posix_open_fd(&m->pm_fd, path,
                           S_ISBLK(looked.st_mode) && !m->pm_read_only ? flags | O_EXCL : flags, &looked,
                           m->pm_read_only, err, size);
    if (!rc)
        rc = sim_posix_take(m, &looked, path, err, size);
    if (!rc && direct)
        rc = sim_posix_open_fd(&m->pm_direct_fd, path, flags | O_DIRECT, &looked, m->pm_read_only, err, size);
    return rc;
}

/* ---------------------------------------------------------------- transfers */

static bool sim_posix_is_aligned(uint64_t off, const struct iovec *vec, uint32_t n)
{
    uintptr_t bits = (uintptr_t)off;

    for (uint32_t i = 0; i < n; i++)
        bits |= (uintptr_t)vec[i].iov_base | vec[i].iov_len;
    return (bits & (SIM_POSIX_DIRECT_ALIGN - 1)) == 0;
}

static int sim_posix_fd(const struct sim_posix *m, uint64_t off, const struct iovec *vec, uint32_t n)
{
    if (SC_LIKELY(m->pm_direct_fd < 0) || !sim_posix_is_aligned(off, vec, n))
        return m->pm_fd;
    return m->pm_direct_fd;
}

/* One system call. Bytes, or -1 with errno. */
static ssize_t sim_posix_call(int fd, bool to_file, uint64_t off, const struct iovec *vec, uint32_t n,
                              bool fua)
{
    int count = (int)(n < SIM_POSIX_IOV_MAX ? n : SIM_POSIX_IOV_MAX);

    if (!to_file)
        return count == 1 ? pread(fd, vec->iov_base, vec->iov_len, (off_t)off)
                          : preadv(fd, vec, count, (off_t)off);
    if (fua)
        return pwritev2(fd, vec, count, (off_t)off, RWF_DSYNC);
    return count == 1 ? pwrite(fd, vec->iov_base, vec->iov_len, (off_t)off)
                      : pwritev(fd, vec, count, (off_t)off);
}

/* A quota or a limit on file size is, to the disk, a medium without room (sim_check_medium). */
static int sim_posix_full(int error) { return error == EDQUOT || error == EFBIG ? ENOSPC : error; }

/*
 * Move all bytes of the vector. 0 or an errno. The caller's vector is not changed: the rest of
 * a segment that was moved in part goes alone in a vector of one.
 */
static int sim_posix_move(const struct sim_posix *m, bool to_file, uint64_t off, const struct iovec *vec,
                          uint32_t n, bool fua)
{
    int fd = sim_posix_fd(m, off, vec, n);
    size_t skip = 0;

    while (n > 0) {
        struct iovec rest = {.iov_base = (char *)vec->iov_base + skip, .iov_len = vec->iov_len - skip};
        ssize_t moved;
        size_t left;

        if (rest.iov_len == 0) {
            vec++;
            n--;
            skip = 0;
            continue;
        }
        moved = sim_posix_call(fd, to_file, off, skip ? &rest : vec, skip ? 1 : n, fua);
        if (SC_UNLIKELY(moved <= 0)) {
            if (moved < 0 && errno == EINTR)
                continue;
            if (moved < 0 && errno == EINVAL && fd == m->pm_direct_fd && fd >= 0) {
                fd = m->pm_fd; /* stricter alignment than ours: this one goes buffered */
                continue;
            }
            return moved < 0 ? sim_posix_full(errno) : EIO;
        }
        off += (uint64_t)moved;
        for (left = (size_t)moved; n > 0 && left >= vec->iov_len - skip; n--, vec++) {
            left -= vec->iov_len - skip;
            skip = 0;
        }
        skip += left;
    }
    return 0;
}

static bool sim_posix_holds(const struct sim_posix *m, uint64_t off, uint64_t bytes)
{
    return off <= m->pm_bytes && bytes <= m->pm_bytes - off;
}

static int sim_posix_read(void *medium, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    const struct sim_posix *m = medium;

    if (!sim_posix_holds(m, off, bytes))
        return EINVAL;
    return sim_posix_move(m, false, off, vec, n, false);
}

static int sim_posix_flush(void *medium)
{
    const struct sim_posix *m = medium;

    if (m->pm_read_only)
        return 0;
    return fdatasync(m->pm_fd) ? errno : 0;
}

/* With fua the data is on the medium at return; a file system without RWF_DSYNC flushes instead. */
static int sim_posix_write(void *medium, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes,
                           bool fua)
{
    const struct sim_posix *m = medium;
    int rc;

    if (m->pm_read_only)
        return EROFS;
    if (!sim_posix_holds(m, off, bytes))
        return EINVAL;
    rc = sim_posix_move(m, true, off, vec, n, fua);
    if (fua && (rc == EOPNOTSUPP || rc == ENOSYS)) {
        rc = sim_posix_move(m, true, off, vec, n, false);
        if (!rc)
            rc = sim_posix_flush(medium);
    }
    return rc;
}

/* ---------------------------------------------------------------- holes and zeroes */

static int sim_posix_write_zeroes(struct sim_posix *m, uint64_t off, uint64_t bytes)
{
    while (bytes > 0) {
        size_t part = bytes < SIM_POSIX_ZERO_BYTES ? (size_t)bytes : SIM_POSIX_ZERO_BYTES;
        struct iovec vec = {.iov_base = (void *)(uintptr_t)sim_posix_zeroes, .iov_len = part};
        int rc = sim_posix_move(m, true, off, &vec, 1, false);

        if (rc)
            return rc;
        off += part;
        bytes -= part;
    }
    return 0;
}

/* Let the file system do it, or write zeroes: either way the range reads as zeroes afterwards. */
static int sim_posix_fallocate(void *medium, int mode, uint64_t off, uint64_t bytes)
{
    struct sim_posix *m = medium;
    int rc;

    if (m->pm_read_only)
        return EROFS;
    if (!sim_posix_holds(m, off, bytes))
        return EINVAL;
    if (bytes == 0)
        return 0;
    do
        rc = fallocate(m->pm_fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes) ? errno : 0;
    while (rc == EINTR);
    if (rc == EOPNOTSUPP || rc == ENOSYS || rc == EINVAL || rc == ENODEV)
        rc = sim_posix_write_zeroes(m, off, bytes);
    return sim_posix_full(rc);
}

static int sim_posix_unmap(void *medium, uint64_t off, uint64_t bytes)
{
    return sim_posix_fallocate(medium, FALLOC_FL_PUNCH_HOLE, off, bytes);
}

static int sim_posix_zero(void *medium, uint64_t off, uint64_t bytes)
{
    return sim_posix_fallocate(medium, FALLOC_FL_ZERO_RANGE, off, bytes);
}

/*
 * How far what is at off goes on being the same, data or hole. A file system that does not know
 * answers "all data". The file position is moved but nobody uses it: all transfers are positioned.
 */
static int sim_posix_mapped(void *medium, uint64_t off, uint64_t *run_bytes, bool *is_mapped)
{
    const struct sim_posix *m = medium;
    off_t data, hole;

    if (off >= m->pm_bytes)
        return EINVAL;
    *is_mapped = true;
    *run_bytes = m->pm_bytes - off;
    data = lseek(m->pm_fd, (off_t)off, SEEK_DATA);
    if (data < 0) {
        *is_mapped = errno != ENXIO; /* ENXIO: no data up to the end */
        return 0;
    }
    if ((uint64_t)data > off) {
        *is_mapped = false;
        if ((uint64_t)data - off < *run_bytes)
            *run_bytes = (uint64_t)data - off;
        return 0;
    }
    hole = lseek(m->pm_fd, (off_t)off, SEEK_HOLE);
    if (hole > 0 && (uint64_t)hole > off && (uint64_t)hole - off < *run_bytes)
        *run_bytes = (uint64_t)hole - off;
    return 0;
}

/* ---------------------------------------------------------------- the table */

static const struct sim_medium_ops sim_posix_ops = {
    .version = 1,
    .size = sizeof(struct sim_medium_ops),
    .name = "file",
    .read = sim_posix_read,
    .write = sim_posix_write,
    .flush = sim_posix_flush,
    .unmap = sim_posix_unmap,
    .zero = sim_posix_zero,
    .mapped = sim_posix_mapped,
    .close = sim_posix_close,
};

/* See sim_posix_medium.h. Context: process. Owns: *medium is the caller's until its close(). */
int sim_posix_open(const char *path, bool read_only, bool direct, uint64_t *bytes,
                   const struct sim_medium_ops **ops, void **medium, char *err, size_t size)
{
    struct sim_posix *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return sim_posix_refuse(ENOMEM, err, size, path, "out of memory; give fewer disks");
    m->pm_fd = -1;
    m->pm_direct_fd = -1;
    m->pm_behind_fd = -1;
    m->pm_read_only = read_only;
    rc = sim_posix_open_fds(m, path, direct, err, size);
    if (rc) {
        sim_posix_close(m);
        return rc;
    }
    *bytes = m->pm_bytes;
    *ops = &sim_posix_ops;
    *medium = m;
    return 0;
}
