/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_raw.c - raw reads and writes of contiguous memory, and errno values in words.
 *
 * The raw functions are the read(2) and write(2) of a character device: they build a uio on the
 * stack and enter the driver's d_read/d_write. Nothing is copied or allocated. A short transfer gives
 * the bytes that were moved; only at the end of the disk are they 0 without an error.
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <sys/devinfo.h>

/* Is there disk at this offset? Asked when nothing was moved: the end is the one good reason. */
static bool scp_raw_on_disk(struct file *fp, uint64_t off)
{
    struct devinfo info = {0};

    return fp_ioctl(fp, IOCINFO, (intptr_t)&info, 0) == 0 && info.devtype == DD_SCDISK &&
           off < info.un.scdk.numblks * info.un.scdk.blksize;
}

static int scp_raw_io(struct file *fp, enum uio_rw rw, void *data, size_t bytes, uint64_t off, int ext,
                      size_t *done)
{
    struct iovec vec = {data, bytes};
    /* The caller's memory and the core's are the same address space, so no copy is ever needed. */
    struct uio uio = {.uio_iov = &vec,
                      .uio_iovcnt = 1,
                      .uio_offset = (int64_t)off,
                      .uio_resid = bytes,
                      .uio_segflg = UIO_SYSSPACE};
    int error;

    *done = 0;
    if (off > INT64_MAX)
        return EINVAL;
    error = fp_rwuio(fp, rw, &uio, ext);
    SHIM_ASSERT(uio.uio_resid <= bytes);
    *done = bytes - uio.uio_resid;
    /* A device that says GOOD and moves nothing must not look like the end of the disk. */
    if (SC_UNLIKELY(error == 0 && *done == 0 && bytes != 0) && scp_raw_on_disk(fp, off))
        error = EIO;
    return error;
}

int scp_raw_read(struct file *fp, void *data, size_t bytes, uint64_t off, size_t *done)
{
    return scp_raw_io(fp, UIO_READ, data, bytes, off, 0, done);
}

int scp_raw_write(struct file *fp, const void *data, size_t bytes, uint64_t off, int ext, size_t *done)
{
    /* struct iovec has no const; a write never changes the memory it points at. */
    return scp_raw_io(fp, UIO_WRITE, (void *)(uintptr_t)data, bytes, off, ext, done);
}

/* AIX's own errno values: name, text, and what a Linux program understands. */
static const struct scp_errno {
    int e_error;
    int e_host;
    const char *e_text;
} scp_errnos[] = {
    {ENOCONNECT, ENOTCONN, "ENOCONNECT: no connection to the device (bus fault)"},
    {ENOTREADY, ENOMEDIUM, "ENOTREADY: the device is not ready or has no medium"},
    {EWRPROTECT, EROFS, "EWRPROTECT: the medium is write-protected"},
    {EFORMAT, EMEDIUMTYPE, "EFORMAT: unformatted or incompatible medium"},
    {EMEDIA, EIO, "EMEDIA: unrecovered medium error, or another medium"},
    {ESOFT, EIO, "ESOFT: recovered medium error"},
};

const char *scp_strerror(int error)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(scp_errnos); i++)
        if (scp_errnos[i].e_error == error)
            return scp_errnos[i].e_text;
    return strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error";
}

int scp_host_errno(int error)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(scp_errnos); i++)
        if (scp_errnos[i].e_error == error)
            return scp_errnos[i].e_host;
    return error;
}
