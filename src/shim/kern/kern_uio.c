/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_uio.c - uiomove: bytes between kernel memory and a scattered request.
 *
 * Does not contain: raw I/O (kern_uphysio.c).
 */
#include "kern_impl.h"

/* Advance the uio by n bytes of its current piece. */
static void kern_uio_advance(struct uio *uiop, size_t n)
{
    struct iovec *iov = uiop->uio_iov;

    SHIM_ASSERT(n <= iov->iov_len && n <= uiop->uio_resid);
    iov->iov_base = (char *)iov->iov_base + n;
    iov->iov_len -= n;
    uiop->uio_offset += (int64_t)n;
    uiop->uio_resid -= n;
    if (iov->iov_len)
        return;
    uiop->uio_iov++;
    uiop->uio_iovcnt--;
    uiop->uio_iovdcnt++;
    if (uiop->uio_xmem)
        uiop->uio_xmem++;
}

/* One stretch of memory. Only a user's copy can fail. */
static int kern_uio_copy(void *piece, void *cp, size_t n, enum uio_rw rw, const struct uio *uiop)
{
    if (uiop->uio_segflg == UIO_USERSPACE)
        return shim_copy_user(piece, cp, n, rw == UIO_READ);
    if (rw == UIO_READ)
        memcpy(piece, cp, n);
    else
        memcpy(cp, piece, n);
    return 0;
}

/* Context: process, no lock held. 0 or EFAULT, advanced by what was moved. Requirement: AIX-16. */
int uiomove(void *cp, size_t n, enum uio_rw rw, struct uio *uiop)
{
    char *kernel = cp;

    KASSERT(rw == UIO_READ || rw == UIO_WRITE);
    if (n > uiop->uio_resid)
        n = uiop->uio_resid;
    while (n > 0 && uiop->uio_iovcnt > 0) {
        struct iovec *iov = uiop->uio_iov;
        size_t part = iov->iov_len < n ? iov->iov_len : n;
        int rc = part ? kern_uio_copy(iov->iov_base, kernel, part, rw, uiop) : 0;

        if (rc)
            return rc;
        kern_uio_advance(uiop, part);
        kernel += part;
        n -= part;
    }
    return n ? EFAULT : 0; /* fewer bytes in the pieces than uio_resid promised */
}
