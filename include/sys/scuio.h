/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scuio.h - struct uio and the services that move data through it.
 *
 * Named scuio.h because every host already has a <sys/uio.h>; struct iovec comes from there in a
 * hosted build (see scpair/shim_types.h).
 */
#ifndef SYS_SCUIO_H
#define SYS_SCUIO_H

#include <sys/buf.h>
#include <sys/sctypes.h>
#if !defined(SCPAIR_PORT_TYPES_H) && __STDC_HOSTED__
#include <sys/uio.h>
#endif

#include <sys/scknames.h>

SC_BEGIN_DECLS

#if !defined(SCPAIR_PORT_TYPES_H) && !__STDC_HOSTED__
/* One piece of a scattered memory area, where nobody else defines it. */
struct iovec {
    void *iov_base; /* first byte */
    size_t iov_len; /* bytes */
};
#endif

/* Which way uiomove and fp_rwuio go. */
enum uio_rw {
    UIO_READ = 0, /* kernel to uio */
    UIO_WRITE = 1 /* uio to kernel */
};
/* uio_segflg: where the memory is. */
#define UIO_USERSPACE 0 /* the calling process's */
#define UIO_SYSSPACE  1 /* kernel memory, or memory process and core share */

/*
 * A scattered user request. The services below advance uio_iov, uio_iovcnt, uio_iovdcnt,
 * uio_offset, uio_resid and the iovec they are in the middle of; who needs the original keeps a
 * copy (this is why a gathered write must be restored before a retry).
 */
struct uio {
    struct iovec *uio_iov; /* next piece */
    struct xmem *uio_xmem; /* descriptors, one per piece, or NULL */
    int64_t uio_offset;    /* bytes from the start of the device */
    int32_t uio_iovcnt;    /* pieces left */
    int32_t uio_iovdcnt;   /* pieces done */
    size_t uio_resid;      /* bytes left */
    int16_t uio_segflg;    /* UIO_USERSPACE, UIO_SYSSPACE */
    uint16_t uio_reserved0;
    uint32_t uio_fmode;         /* devflag bits of the open */
    uintptr_t uio_reserved1[2]; /* 0 */
};

/*
 * Move up to n bytes between kernel memory `cp` and the uio: min(n, uio_resid) bytes; both
 * advance. Returns 0, or EFAULT with the uio advanced by what was moved. Process context, no lock
 * held. (AIX: uiomove.)
 */
int uiomove(void *cp, size_t n, enum uio_rw rw, struct uio *uiop);

/*
 * mincnt: called by uphysio for each buf before it is sent. May lower b_bcount and set b_work and
 * b_options, nothing else. Non-zero: that buf and the rest are not sent, and uphysio returns it.
 */
typedef int (*mincnt_t)(struct buf *bp, void *minparms);

#define UPHYSIO_BUFS_MAX 64 /* most that buf_cnt may be */

/*
 * Raw I/O: cut each piece of the uio into bufs (mincnt says how large), send up to buf_cnt
 * (1..64; more than 8 counts as 8) at once to `strat`, as a chain, with device number devno,
 * wait, collect. `rw` is B_READ or B_WRITE.
 * Returns 0 with uio_resid lowered by what was moved; after a failure uio_resid counts from the
 * first failing buf, in the order of the uio, and the first error is returned (EIO when the driver
 * gave none). EFAULT: a piece without memory. EINVAL: buf_cnt, rw, an offset that is negative or
 * inside a DEV_BSIZE block, a mincnt that left no bytes, or a caller not in process context. A short transfer
 * without error ends the loop as an end of file does: 0 and uio_resid > 0. Process context, no lock held;
 * sleeps. (AIX: uphysio; error rules recalled, see the spec.)
 */
int uphysio(struct uio *uiop, unsigned rw, unsigned buf_cnt, devno_t devno, void (*strat)(struct buf *bp),
            mincnt_t mincnt, void *minparms);

SC_END_DECLS

#include <sys/scknames.h> /* once more: see there */

#endif /* SYS_SCUIO_H */
