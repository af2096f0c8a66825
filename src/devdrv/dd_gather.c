/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_gather.c - gathered writes: one WRITE from scattered pieces with no alignment rule at all.
 *
 * The sc_buf carries a uio in resvd1 instead of a chain in bp. The adapter driver may gather in hardware or
 * by copying, may alter the uio, and must be called at process level, because the pieces can be user memory.
 * So this is a synchronous command (dd_internal.c): sent by the thread in dd_write, retried by it, and
 * each time from a fresh copy of the caller's uio (AIX-17). It never enters the buf queue, from which a
 * completion might start it.
 *
 * Used only when SCIOGTHW said yes at open (AIX-15), the pieces are more than one and the total fits one
 * command. Otherwise, or when the adapter driver has no memory for its copy even after some waiting,
 * dd_rdwr.c goes another way.
 */
#include "dd_impl.h"

#define GATHER_PIECES_MAX  64
#define GATHER_NOMEM_TRIES 3
#define GATHER_NOMEM_NS    UINT64_C(10000000)

/* The command, and the copy of the uio that is handed down. */
struct dd_gather {
    struct dd_sync ga_sync;
    const struct uio *ga_from;
    struct uio ga_uio;
    struct iovec ga_iov[GATHER_PIECES_MAX];
};

void dd_gather_restore(struct dd_sync *sy)
{
    struct dd_gather *ga = SC_CONTAINER_OF(sy, struct dd_gather, ga_sync);
    size_t n = (size_t)ga->ga_from->uio_iovcnt;

    KASSERT(n <= GATHER_PIECES_MAX && kern_at_process_level());
    ga->ga_uio = *ga->ga_from;
    memcpy(ga->ga_iov, ga->ga_from->uio_iov, n * sizeof(ga->ga_iov[0]));
    ga->ga_uio.uio_iov = ga->ga_iov;
}

void dd_uio_advance(struct uio *uiop, size_t bytes)
{
    KASSERT(bytes <= uiop->uio_resid);
    uiop->uio_resid -= bytes;
    uiop->uio_offset += (int64_t)bytes;
    while (bytes > 0) {
        struct iovec *iov = uiop->uio_iov;
        size_t n = iov->iov_len < bytes ? iov->iov_len : bytes;

        iov->iov_base = (uint8_t *)iov->iov_base + n;
        iov->iov_len -= n;
        bytes -= n;
        if (iov->iov_len == 0) {
            uiop->uio_iov++;
            uiop->uio_iovcnt--;
            uiop->uio_iovdcnt++;
            if (uiop->uio_xmem)
                uiop->uio_xmem++;
        }
    }
}

/* Send it, waiting out a lack of copy memory. 0 or errno. */
static int gather_send(struct dd_unit *un, struct dd_gather *ga)
{
    event_t never = EVENT_NULL;
    int error = dd_sync_run(un, &ga->ga_sync);

    for (unsigned tries = 0; error == ENOMEM && tries < GATHER_NOMEM_TRIES; tries++) {
        (void)e_timedsleep(&never, NULL, GATHER_NOMEM_NS);
        error = dd_sync_run(un, &ga->ga_sync);
    }
    return error;
}

/*
 * Write the whole uio with one command.
 * Context: process. Locks: none. Returns 0 with the uio advanced; EFAULT or a device error with the uio as it
 * was; EOPNOTSUPP when it must go another way. Requirements: AIX-13, AIX-14, AIX-15, AIX-16, AIX-17.
 */
int dd_gather_write(struct dd_unit *un, struct uio *uiop, uint32_t options)
{
    struct dd_gather ga;
    const struct dd_blocks bl = dd_blocks_of(un);
    struct dd_sync *sy = &ga.ga_sync;
    uint64_t first = (uint64_t)uiop->uio_offset >> un->un_shift;
    size_t bytes = uiop->uio_resid;
    int error, old;

    if (!un->un_gather || uiop->uio_iovcnt < 2 || uiop->uio_iovcnt > GATHER_PIECES_MAX ||
        bytes > un->un_transfer_max || ((uint64_t)uiop->uio_offset + bytes) >> DEV_BSHIFT > dd_sectors(un) ||
        bytes == 0)
        return EOPNOTSUPP;
    dd_sync_init(sy, SCSI_WRITE_10, NULL, (uint32_t)bytes, false);
    ga.ga_from = uiop;
    sy->sy_uio = &ga.ga_uio;
    sy->sy_timeout_s = un->un_dds.rw_timeout;
    dd_sync_blocks(sy, &bl, ((uint64_t)uiop->uio_offset + bytes) >> DEV_BSHIFT);
    sy->sy_cdb_bytes = dd_cdb_rw(sy->sy_cdb, false, options, first, (uint32_t)(bytes >> un->un_shift), 0);
    error = gather_send(un, &ga);
    if (error == ENOMEM || (error == EINVAL && !sy->sy_validity)) {
        dd_log(un, NULL, ERRID_DISK_INFO, true, error, "gathered write refused", "sent in pieces", NULL, 0);
        return EOPNOTSUPP;
    }
    if (error)
        return error;
    bytes -= sy->sy_resid;
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_dirty_mark(un);
    un->un_stats.bytes_written += bytes;
    unlock_enable(old, &un->un_lock);
    dd_uio_advance(uiop, bytes);
    return 0;
}
