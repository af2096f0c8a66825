/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf.h - struct buf: one block I/O request, and its flags.
 *
 * The contract, after the published AIX documentation ("buf structure", "ddstrategy"):
 *  - The caller of a strategy routine fills b_flags (direction), b_iodone, b_dev, b_bcount,
 *    b_un.b_addr, b_blkno, b_xmemd, and links several requests through av_forw, NULL at the end.
 *  - From the call until b_iodone runs the driver owns the buf. It uses av_forw, av_back and
 *    b_work; it does not change b_forw, b_back, b_dev, b_un or b_blkno.
 *  - The driver sets b_resid, and on failure B_ERROR and b_error, calls iodone(bp) exactly once,
 *    and never touches the buf again.
 *
 * Sizes of members are ours: the documents name the fields, not their layout.
 */
#ifndef SYS_BUF_H
#define SYS_BUF_H

#include <sys/sctypes.h>

/* A cross-memory descriptor: whose address space b_un.b_addr is in. */
struct xmem {
    int aspace_id; /* XMEM_* */
    int xm_reserved;
    uintptr_t xm_host; /* the port's: what it needs to reach that address space; 0 */
};
#define XMEM_INVAL  (-1) /* not attached */
#define XMEM_GLOBAL 0    /* kernel memory, or any memory the process and the core share */
#define XMEM_PROC   1    /* the calling process's own memory: only from process level */

/* One request. */
struct buf {
    uint32_t b_flags;                 /* B_* */
    int32_t b_error;                  /* errno, valid with B_ERROR after completion */
    struct buf *av_forw;              /* request queue links; see above */
    struct buf *av_back;              /* likewise */
    void (*b_iodone)(struct buf *bp); /* completion routine; set by the caller of strategy only */
    devno_t b_dev;                    /* device number */
    uint32_t b_options;               /* readx/writex ext bits, see scdisk.h; may be changed by mincnt */
    union {
        void *b_addr;            /* the data */
    } b_un;                      /* where the data is */
    size_t b_bcount;             /* bytes requested */
    int64_t b_blkno;             /* start on the device in DEV_BSIZE (512-byte) units */
    size_t b_resid;              /* bytes not transferred, valid after completion */
    uintptr_t b_work;            /* the driver's scratch while it owns the buf */
    struct xmem b_xmemd;         /* whose memory b_addr is in */
    struct buf *b_forw;          /* buffer-cache links: the owner's, no driver touches them */
    struct buf *b_back;          /* likewise */
    SC_ATOMIC(uint32_t) b_event; /* iowait's anchor; EVENT_NULL (0) when set up */
    uint32_t b_reserved;         /* 0 */
};

/* b_flags. The documents give the names; the values are ours. */
#define B_WRITE     0x0000u /* memory to device: the absence of B_READ */
#define B_READ      0x0001u /* device to memory */
#define B_DONE      0x0002u /* finished; set by iodone */
#define B_ERROR     0x0004u /* failed: b_error says how */
#define B_BUSY      0x0008u /* not on a free list */
#define B_INFLIGHT  0x0010u /* given to the driver below */
#define B_ASYNC     0x0020u /* nobody waits in iowait */
#define B_AGE       0x0040u
#define B_DELWRI    0x0080u
#define B_NOHIDE    0x0100u
#define B_SETMOD    0x0200u
#define B_STALE     0x0400u
#define B_XREADONLY 0x0800u
#define B_MORE_DONE 0x1000u /* in b_iodone: more completed bufs follow at once */
#define B_SPLIT     0x2000u /* the transfer may begin anywhere in the buffer */
#define B_MPSAFE    0x4000u /* b_iodone may run on any CPU; always so here */
#define B_SCSI_BUF  0x8000u /* begins a struct scsi_buf (scsi_buf.h), not a struct sc_buf [ours] */

#endif /* SYS_BUF_H */
