/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thead.c - a third party's head driver: the smallest complete SCSI device driver that is not
 * scdisk. It is written against the published contract alone (<sys/...>) and is compiled and
 * linked against the installed library, which proves that the contract is enough.
 *
 * One unit. open: fp_opendev on the adapter, IOCINFO, SCIOSTART, SCIOGTHW. Commands: fill an
 * sc_buf, devstrat, iowait. Whatever comes back with B_ERROR from the device or the path (EIO) or
 * was not executed (ENXIO) has left the LUN's queue halted: the next sc_buf carries SC_RESUME, or it
 * would be thrown back for ever. A CHECK CONDITION is answered by REQUEST SENSE with SC_RESUME, then
 * the kept queue (if it was kept) is resumed, and a unit attention is tried again; BUSY, QUEUE FULL
 * and what was not executed are tried again after a while. close: SCIOSTOP, fp_close.
 *
 * Does not contain: anything clever. No queue of its own: each ioctl is one command at a time.
 */
#include "thead.h"

#define THEAD_TRIES_MAX      8
#define THEAD_ATTENTIONS_MAX 3
#define THEAD_BUSY_NS        2000000u /* before the second try; doubled for each more */
#define THEAD_TIMEOUT_S      30
#define THEAD_BLOCK_BYTES    512u

enum { OP_REQUEST_SENSE = 0x03, OP_INQUIRY = 0x12, OP_READ_10 = 0x28, OP_WRITE_10 = 0x2a };

static struct thead {
    struct thead_dds th_dds;
    bool th_configured, th_open;
    bool th_halted;   /* the LUN's queue in the adapter driver: the next command carries SC_RESUME */
    event_t th_pause; /* nobody wakes it */
    struct file *th_adapter;
    struct thead_info th_info;
    struct sc_buf th_sc;         /* the command */
    struct sc_buf th_recover_sc; /* sense and queue transactions */
    uint8_t th_sense[18];
    struct buf th_bufs[THEAD_PIECES_MAX];
} thead;

/* Prepare an sc_buf for a CDB; data and flags are the caller's next step. */
static void thead_fill(struct sc_buf *sc, const uint8_t *cdb, uint8_t cdb_bytes, unsigned direction)
{
    memset(sc, 0, sizeof(*sc));
    sc->bufstruct.b_flags = direction;
    sc->bufstruct.b_dev = thead.th_dds.adapter_devno;
    sc->bufstruct.b_iodone = iodone_wakeup;
    sc->bufstruct.b_xmemd.aspace_id = XMEM_GLOBAL;
    sc->scsi_command.scsi_id = thead.th_dds.scsi_id;
    sc->scsi_command.scsi_length = cdb_bytes;
    memcpy(&sc->scsi_command.scsi_cmd, cdb, cdb_bytes);
    sc->lun = thead.th_dds.lun_id;
    sc->q_tag_msg = SC_NO_Q;
    sc->timeout_value = THEAD_TIMEOUT_S;
}

/*
 * Send and wait. Context: process. Returns 0 or an errno. A request that was refused as such (EINVAL,
 * ENOMEM, EFAULT) never entered the queue and has halted nothing.
 */
static int thead_send(struct sc_buf *sc)
{
    int error;

    if (thead.th_halted)
        sc->flags |= SC_RESUME;
    error = devstrat(&sc->bufstruct);
    if (error)
        return error;
    error = iowait(&sc->bufstruct);
    if (error == 0)
        thead.th_halted = false;
    else if (error == EIO || error == ENXIO)
        thead.th_halted = true;
    return error;
}

static void thead_data(struct sc_buf *sc, void *data, size_t bytes)
{
    sc->bufstruct.b_un.b_addr = data;
    sc->bufstruct.b_bcount = bytes;
}

/*
 * After a CHECK CONDITION the LUN's queue is halted. Fetch the sense with the one command that may
 * pass (SC_RESUME, untagged), then let a kept queue run again. Returns the sense key, or 0xff.
 */
static uint8_t thead_sense(bool queue_kept)
{
    static const uint8_t cdb[6] = {OP_REQUEST_SENSE, 0, 0, 0, sizeof(thead.th_sense), 0};
    struct sc_buf *sc = &thead.th_recover_sc;
    uint8_t key = 0xff;

    thead_fill(sc, cdb, sizeof(cdb), B_READ);
    thead_data(sc, thead.th_sense, sizeof(thead.th_sense));
    if (thead_send(sc) == 0 && sc->bufstruct.b_bcount - sc->bufstruct.b_resid >= 3)
        key = thead.th_sense[2] & 0x0f;
    if (queue_kept) {
        thead_fill(sc, cdb, 0, B_READ);
        sc->flags = SC_Q_RESUME;
        (void)thead_send(sc);
    }
    return key;
}

enum thead_verdict { THEAD_OVER, THEAD_AGAIN, THEAD_LATER };

/* What to do about th_sc, which ended with this error. */
static enum thead_verdict thead_judge(int error)
{
    const struct sc_buf *sc = &thead.th_sc;

    if (error == ENXIO)
        return THEAD_LATER;
    if (error != EIO || !(sc->status_validity & SC_SCSI_ERROR))
        return THEAD_OVER;
    if (sc->scsi_status == SC_BUSY_STATUS || sc->scsi_status == SC_QUEUE_FULL)
        return THEAD_LATER;
    if (sc->scsi_status != SC_CHECK_CONDITION)
        return THEAD_OVER;
    thead.th_info.attentions++;
    return thead_sense((sc->adap_q_status & SC_DID_NOT_CLEAR_Q) != 0) == 6 ? THEAD_AGAIN : THEAD_OVER;
}

/*
 * Run th_sc until it succeeds, or fails for a reason that another try does not cure. `again` rebuilds
 * th_sc from scratch, because a refused or failed one may come back altered.
 */
static int thead_run(void (*again)(void *arg), void *arg)
{
    uint64_t pause_ns = THEAD_BUSY_NS;
    int error = 0, attentions = 0;

    for (int tries = 0; tries < THEAD_TRIES_MAX; tries++) {
        enum thead_verdict verdict;

        again(arg);
        error = thead_send(&thead.th_sc);
        verdict = thead_judge(error);
        if (verdict == THEAD_OVER || (verdict == THEAD_AGAIN && attentions++ == THEAD_ATTENTIONS_MAX))
            return error;
        if (verdict == THEAD_LATER) {
            (void)e_timedsleep(&thead.th_pause, NULL, pause_ns);
            pause_ns *= 2;
        }
    }
    return error;
}

static void thead_build_inquiry(void *arg)
{
    static const uint8_t cdb[6] = {OP_INQUIRY, 0, 0, 0, 36, 0};

    thead_fill(&thead.th_sc, cdb, sizeof(cdb), B_READ);
    thead_data(&thead.th_sc, arg, 36);
}

/* READ(10) or WRITE(10) over the sum of the pieces. Returns that sum. */
static size_t thead_build_rw(const struct thead_io *io, uint8_t op)
{
    size_t total = 0, blocks;
    uint8_t cdb[10] = {op};

    for (uint32_t i = 0; i < io->npieces; i++)
        total += io->pieces[i].iov_len;
    blocks = total / THEAD_BLOCK_BYTES;
    for (unsigned i = 0; i < 4; i++)
        cdb[2 + i] = (uint8_t)(io->lba >> (24 - 8 * i));
    cdb[7] = (uint8_t)(blocks >> 8);
    cdb[8] = (uint8_t)blocks;
    thead_fill(&thead.th_sc, cdb, sizeof(cdb), op == OP_WRITE_10 ? B_WRITE : B_READ);
    thead.th_sc.bufstruct.b_bcount = total;
    return total;
}

/* A spanned command: bp points at the first of a chain of original requests. */
static void thead_build_span(void *arg)
{
    const struct thead_io *io = arg;
    int64_t blkno = io->lba;

    (void)thead_build_rw(io, OP_READ_10);
    for (uint32_t i = 0; i < io->npieces; i++) {
        struct buf *bp = &thead.th_bufs[i];

        memset(bp, 0, sizeof(*bp));
        bp->b_flags = B_READ;
        bp->b_un.b_addr = io->pieces[i].iov_base;
        bp->b_bcount = io->pieces[i].iov_len;
        bp->b_blkno = blkno;
        bp->av_forw = i + 1 < io->npieces ? &thead.th_bufs[i + 1] : NULL;
        blkno += (int64_t)(bp->b_bcount >> DEV_BSHIFT);
    }
    thead.th_sc.bp = &thead.th_bufs[0];
    thead.th_sc.bufstruct.b_un.b_addr = thead.th_bufs[0].b_un.b_addr;
}

/* A gathered write: resvd1 names a uio. Both are consumed by a try, so they are made anew. */
static void thead_build_gather(void *arg)
{
    static struct iovec pieces[THEAD_PIECES_MAX];
    static struct uio uio;
    const struct thead_io *io = arg;
    size_t total = thead_build_rw(io, OP_WRITE_10);

    memcpy(pieces, io->pieces, sizeof(pieces));
    memset(&uio, 0, sizeof(uio));
    uio.uio_iov = pieces;
    uio.uio_iovcnt = (int32_t)io->npieces;
    uio.uio_resid = total;
    uio.uio_segflg = UIO_SYSSPACE;
    thead.th_sc.resvd1 = &uio;
}

/* ------------------------------------------------------------------ entry points */

static int thead_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    intptr_t where = SC_ARG(thead.th_dds.scsi_id, thead.th_dds.lun_id);
    struct devinfo info;
    int error;

    (void)devno, (void)devflag, (void)chan, (void)ext;
    if (thead.th_open)
        return EBUSY;
    error = fp_opendev(thead.th_dds.adapter_devno, DREAD | DWRITE | DKERNEL, NULL, 0, &thead.th_adapter);
    if (error)
        return error;
    error = fp_ioctl(thead.th_adapter, IOCINFO, (intptr_t)&info, 0);
    if (!error && (info.devtype != DD_BUS || info.devsubtype != DS_SCSI))
        error = EINVAL;
    if (!error)
        error = fp_ioctl(thead.th_adapter, SCIOSTART, where, 0);
    if (error) {
        (void)fp_close(thead.th_adapter);
        return error;
    }
    thead.th_halted = false;
    thead.th_info.transfer_bytes_max = info.un.scsi.max_transfer;
    thead.th_info.gather_errno = fp_ioctl(thead.th_adapter, SCIOGTHW, 0, 0);
    thead.th_open = true;
    return 0;
}

static int thead_close(devno_t devno, long chan)
{
    int error, stop_error;

    (void)devno, (void)chan;
    if (!thead.th_open)
        return 0; /* a first open has failed */
    stop_error = fp_ioctl(thead.th_adapter, SCIOSTOP, SC_ARG(thead.th_dds.scsi_id, thead.th_dds.lun_id), 0);
    error = fp_close(thead.th_adapter);
    thead.th_open = false;
    return stop_error ? stop_error : error;
}

static int thead_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    uint8_t inquiry[36] = {0};
    struct thead_io io;
    int error;

    (void)devno, (void)chan, (void)ext;
    switch (cmd) {
    case THEAD_INFO:
        return kcopyout(&thead.th_info, arg, sizeof(thead.th_info), devflag);
    case THEAD_INQUIRY:
        error = thead_run(thead_build_inquiry, inquiry);
        return error ? error : kcopyout(inquiry, arg, sizeof(inquiry), devflag);
    case THEAD_SPAN_READ:
    case THEAD_GATHER_WRITE:
        error = kcopyin(arg, &io, sizeof(io), devflag);
        if (!error && (io.npieces == 0 || io.npieces > THEAD_PIECES_MAX))
            error = EINVAL;
        if (error)
            return error;
        return thead_run(cmd == THEAD_SPAN_READ ? thead_build_span : thead_build_gather, &io);
    default:
        return EINVAL;
    }
}

int thead_config(devno_t devno, int cmd, struct uio *uiop)
{
    static const struct devsw entries = {
        .d_open = thead_open, .d_close = thead_close, .d_ioctl = thead_ioctl, .d_opts = DEV_MPSAFE};
    int error;

    switch (cmd) {
    case CFG_INIT:
        if (thead.th_configured)
            return EEXIST;
        memset(&thead, 0, sizeof(thead));
        error = uiomove(&thead.th_dds, sizeof(thead.th_dds), UIO_WRITE, uiop);
        if (!error)
            error = devswadd(devno, &entries);
        thead.th_configured = error == 0;
        return error;
    case CFG_TERM:
        if (thead.th_open)
            return EBUSY;
        thead.th_configured = false;
        return devswdel(devno);
    default:
        return EINVAL;
    }
}
