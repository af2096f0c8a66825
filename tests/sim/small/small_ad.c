/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_ad.c - see small_ad.h.
 */
#include "small_ad.h"

#include "shim/det/det_impl.h"

struct small_ad small_ad;
struct file *small_disk_fp;
bool small_disk_reserves;
struct small_buf small_bufs[SMALL_BUFS_MAX];

static uint8_t memory[SMALL_BUFS_MAX][SC_PAGE_SIZE] __attribute__((aligned(SC_PAGE_SIZE)));

/* ---------------------------------------------------------------- giving back */

static void refuse(struct buf *bp, int error)
{
    bp->b_flags |= B_ERROR;
    bp->b_error = error;
    bp->b_resid = bp->b_bcount;
}

static void give_back(struct buf *bp)
{
    SCHED_CHECK(small_ad.sa_out > 0, "given back twice");
    small_ad.sa_out--;
    shim_det_mark();
    if (bp->b_flags & B_ERROR && bp->b_error == EIO)
        small_ad.sa_unheard = false;
    iodone(bp);
}

static struct buf *take_first(void)
{
    struct buf *bp = small_ad.sa_head;

    /* What an adapter's own lock would say to the thread sanitizer. */
    det_order_take(&small_ad);
    if (bp) {
        small_ad.sa_head = bp->av_forw;
        bp->av_forw = NULL;
    }
    return bp;
}

/* The queue halts first; then its owner hears of it. */
static void give_back_halted(struct buf *bp, bool keep)
{
    struct sc_buf *sc = (struct sc_buf *)(void *)bp;
    struct buf *rest = keep ? NULL : small_ad.sa_head;

    small_ad.sa_halted = small_ad.sa_unheard = true;
    small_ad.sa_kept = keep;
    if (keep)
        sc->adap_q_status = SC_DID_NOT_CLEAR_Q;
    else
        small_ad.sa_head = NULL;
    give_back(bp);
    while (rest) {
        struct buf *next = rest->av_forw;

        rest->av_forw = NULL;
        refuse(rest, ENXIO);
        give_back(rest);
        rest = next;
    }
}

/* SC_Q_CLR: the queue stays halted, and what was in it goes home. */
static void clear(void)
{
    struct buf *rest = small_ad.sa_head;

    small_ad.sa_kept = false;
    small_ad.sa_head = NULL;
    while (rest) {
        struct buf *next = rest->av_forw;

        rest->av_forw = NULL;
        refuse(rest, ENXIO);
        give_back(rest);
        rest = next;
    }
}

static void fail(struct buf *bp, enum small_ad_fault fault)
{
    struct sc_buf *sc = (struct sc_buf *)(void *)bp;

    refuse(bp, EIO);
    if (fault == SMALL_AD_TIMEOUT) {
        sc->status_validity = SC_ADAPTER_ERROR;
        sc->general_card_status = SC_CMD_TIMEOUT;
        give_back_halted(bp, false);
        return;
    }
    memset(small_ad.sa_sense, 0, sizeof(small_ad.sa_sense));
    small_ad.sa_sense[0] = SCSI_SENSE_FIXED;
    small_ad.sa_sense[2] = fault == SMALL_AD_ATTENTION ? SCSI_KEY_ATTENTION
                           : fault == SMALL_AD_MEDIUM  ? SCSI_KEY_MEDIUM
                                                       : SCSI_KEY_ILLEGAL;
    small_ad.sa_sense[7] = 10;
    small_ad.sa_sense[12] = fault == SMALL_AD_ATTENTION ? 0x29 : fault == SMALL_AD_MEDIUM ? 0x0c : 0x21;
    sc->status_validity = SC_SCSI_ERROR;
    sc->scsi_status = SC_CHECK_CONDITION;
    give_back_halted(bp, small_ad.sa_keeps_queue && sc->q_tag_msg != SC_NO_Q);
}

/* ---------------------------------------------------------------- the disk */

bool small_disk_is_rw(const uint8_t *cdb)
{
    return (cdb[0] & 0x1f) == (SCSI_READ_6 & 0x1f) || (cdb[0] & 0x1f) == (SCSI_WRITE_6 & 0x1f);
}

static void move(const struct sc_buf *sc, const uint8_t *cdb)
{
    const bool read = (sc->bufstruct.b_flags & B_READ) != 0;
    const uint64_t lba = cdb[0] < 0x20 ? scsi_get24(cdb + 1) & 0x1fffff : scsi_get32(cdb + 2);
    uint8_t *at;

    if (lba * DEV_BSIZE + sc->bufstruct.b_bcount > SMALL_DISK_BYTES)
        return; /* blocks nobody looks at */
    at = small_ad.sa_medium + lba * DEV_BSIZE;
    det_order_take(small_ad.sa_medium);
    for (const struct buf *bp = sc->bp ? sc->bp : &sc->bufstruct; bp; bp = sc->bp ? bp->av_forw : NULL) {
        memcpy(read ? (uint8_t *)bp->b_un.b_addr : at, read ? at : (uint8_t *)bp->b_un.b_addr, bp->b_bcount);
        at += bp->b_bcount;
    }
    det_order_give(small_ad.sa_medium);
}

/* What an open asks. Returns bytes. */
size_t small_disk_answer(const uint8_t *cdb, uint8_t *d)
{
    switch (cdb[0]) {
    case SCSI_INQUIRY:
        if (cdb[1] & SCSI_INQUIRY_EVPD)
            return 0;
        d[4] = 31;
        d[7] = 2;
        memcpy(d + 8, "SMALL   disk            1.0 ", 28);
        return 36;
    case SCSI_MODE_SENSE_6:
        d[0] = 3;
        return 4;
    case SCSI_READ_CAPACITY_10:
        scsi_put32(d, small_ad.sa_formatted ? 2559 : 20479);
        scsi_put32(d + 4, small_ad.sa_formatted ? 4096 : DEV_BSIZE);
        return 8;
    case SCSI_REQUEST_SENSE:
        memcpy(d, small_ad.sa_sense, sizeof(small_ad.sa_sense));
        memset(small_ad.sa_sense, 0, sizeof(small_ad.sa_sense));
        return sizeof(small_ad.sa_sense);
    default:
        return 0;
    }
}

static void execute(struct buf *bp)
{
    struct sc_buf *sc = (struct sc_buf *)(void *)bp;
    const uint8_t *cdb = (const uint8_t *)&sc->scsi_command.scsi_cmd;
    uint8_t data[64] = {0};
    size_t n;

    bp->b_resid = 0;
    if (cdb[0] == SCSI_SYNC_CACHE_10)
        small_ad.sa_cached = false;
    if (cdb[0] == SCSI_FORMAT_UNIT)
        small_ad.sa_formatted = small_ad.sa_formats;
    if (small_disk_is_rw(cdb)) {
        SCHED_CHECK(!small_ad.sa_formatted || bp->b_bcount % 4096 == 0, "half a block is asked for");
        if (small_ad.sa_faults > 0 && small_ad.sa_fault != SMALL_AD_NONE) {
            small_ad.sa_faults--;
            fail(bp, small_ad.sa_fault);
            return;
        }
        move(sc, cdb);
        small_ad.sa_cached |= !(bp->b_flags & B_READ);
    } else if (bp->b_flags & B_READ && bp->b_bcount > 0) {
        n = small_disk_answer(cdb, data);
        if (n > bp->b_bcount)
            n = bp->b_bcount;
        memcpy(bp->b_un.b_addr, data, n);
        bp->b_resid = bp->b_bcount - n;
    }
    give_back(bp);
}

bool small_ad_end(void)
{
    struct buf *bp = take_first();

    if (bp)
        execute(bp);
    return bp != NULL;
}

/* ---------------------------------------------------------------- entry points */

static void later(struct shim_timer *t)
{
    struct buf *bp = take_first();

    if (small_ad.sa_head)
        (void)shim_timer_arm(t, shim_now_ns() + small_ad.sa_later_ns);
    if (bp)
        execute(bp);
}

static void keep(struct buf *bp)
{
    const bool first = !small_ad.sa_head;

    bp->av_forw = NULL;
    det_order_give(&small_ad);
    if (first)
        small_ad.sa_head = bp;
    else
        small_ad.sa_tail->av_forw = bp;
    small_ad.sa_tail = bp;
    if (first && small_ad.sa_ends_later)
        SCHED_CHECK(shim_timer_arm(&small_ad.sa_timer, shim_now_ns() + small_ad.sa_later_ns) == 0,
                    "no timer");
}

static void ad_strategy_small(struct buf *bp)
{
    struct sc_buf *sc = (struct sc_buf *)(void *)bp;
    const uint8_t *cdb = (const uint8_t *)&sc->scsi_command.scsi_cmd;
    int error = 0;

    shim_det_mark();
    small_ad.sa_out++;
    SCHED_CHECK(!small_ad.sa_checks_resume || !small_ad.sa_unheard || !(sc->flags & SC_RESUME),
                "SC_RESUME, and the command that failed is not back yet");
    sc->status_validity = sc->adap_q_status = 0;
    if (sc->flags & SC_Q_RESUME) {
        error = small_ad.sa_kept ? 0 : EINVAL;
        if (!error && small_ad.sa_refuse_resumes > 0) {
            small_ad.sa_refuse_resumes--;
            error = ENOMEM;
        }
        if (!error)
            small_ad.sa_halted = small_ad.sa_kept = false;
    } else if (sc->flags & SC_Q_CLR) {
        error = small_ad.sa_kept ? ENXIO : EINVAL;
        if (small_ad.sa_refuse_clears > 0) {
            small_ad.sa_refuse_clears--;
            error = EINVAL;
        }
        if (error == ENXIO)
            clear();
    } else if (small_ad.sa_halted && !(sc->flags & SC_RESUME)) {
        error = ENXIO;
    } else if (small_ad.sa_kept && cdb[0] != SCSI_REQUEST_SENSE) {
        error = ENXIO;
    } else {
        small_ad.sa_halted = small_ad.sa_kept; /* a kept queue waits for SC_Q_RESUME */
    }
    if (error || sc->flags & SC_Q_RESUME) {
        if (error)
            refuse(bp, error);
        give_back(bp);
        return;
    }
    small_ad.sa_rw += small_disk_is_rw(cdb);
    if ((small_disk_is_rw(cdb) && (small_ad.sa_pends || small_ad.sa_ends_later)) ||
        (cdb[0] == SCSI_REQUEST_SENSE && small_ad.sa_loses_sense))
        keep(bp);
    else
        execute(bp);
}

static int ad_open_small(devno_t devno, unsigned long devflag, long chan, int ext)
{
    (void)devno;
    (void)devflag;
    (void)chan;
    (void)ext;
    small_ad.sa_open++;
    return 0;
}

static int ad_close_small(devno_t devno, long chan)
{
    (void)devno;
    (void)chan;
    small_ad.sa_open--;
    return 0;
}

/* What is kept comes back; what comes now is refused, unless it resumes. */
static void halt(void)
{
    struct buf *bp;

    small_ad.sa_halted = true;
    small_ad.sa_kept = false;
    shim_det_mark();
    while ((bp = take_first()) != NULL) {
        refuse(bp, ENXIO);
        give_back(bp);
    }
    shim_det_mark();
    SCHED_CHECK(small_ad.sa_open > 0, "SCIOHALT has not returned, and the adapter is closed");
}

static int ad_ioctl_small(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan,
                          int ext)
{
    struct devinfo *info;

    (void)devno;
    (void)devflag;
    (void)chan;
    (void)ext;
    switch (cmd) {
    case IOCINFO:
        info = (struct devinfo *)arg;
        memset(info, 0, sizeof(*info));
        info->devtype = DD_BUS;
        info->devsubtype = DS_SCSI;
        info->un.scsi.max_transfer = SMALL_DISK_BYTES;
        return 0;
    case SCIOEVENT:
        small_ad.sa_event = *(const struct sc_event_struct *)arg;
        return 0;
    case SCIOSTART:
    case SCIORESET:
        return 0;
    case SCIOHALT:
        halt();
        return 0;
    case SCIOSTOP:
        SCHED_CHECK(small_ad.sa_out == 0, "SCIOSTOP with %u commands out", small_ad.sa_out);
        small_ad.sa_halted = small_ad.sa_kept = false;
        return 0;
    default:
        return EINVAL;
    }
}

/* ---------------------------------------------------------------- up and down */

int small_disk_config(devno_t devno, uint32_t depth)
{
    return small_disk_config_at(devno, SMALL_AD_DEV, 3, depth);
}

int small_disk_config_at(devno_t devno, devno_t adapter, uint8_t id, uint32_t depth)
{
    struct scdisk_dds dds = {.adapter_devno = adapter,
                             .scsi_id = id,
                             .queue_depth = (uint16_t)depth,
                             .no_reserve = !small_disk_reserves,
                             .name = "hdisk0"};
    struct iovec iov = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &iov, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};

    return scdisk_config(devno, CFG_INIT, &uio);
}

void small_disk_up(const struct det_strategy *st, uint64_t seed, uint32_t depth, bool open)
{
    static const struct devsw entries = {.d_open = ad_open_small,
                                         .d_close = ad_close_small,
                                         .d_ioctl = ad_ioctl_small,
                                         .d_strategy = ad_strategy_small,
                                         .d_opts = DEV_MPSAFE | DEV_EACHCLOSE};

    small_host(st, seed);
    memset(&small_ad, 0, sizeof(small_ad));
    memset(small_bufs, 0, sizeof(small_bufs));
    small_ad.sa_later_ns = 1;
    shim_timer_init(&small_ad.sa_timer, later, NULL);
    small_disk_fp = NULL;
    SCHED_CHECK(devswadd(SMALL_AD_DEV, &entries) == 0, "no adapter driver");
    SCHED_CHECK(small_disk_config(SMALL_DISK_DEV, depth) == 0, "the disk cannot be configured");
    if (open)
        SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE, NULL, 0, &small_disk_fp) == 0,
                    "the disk cannot be opened");
}

void small_disk_down(void)
{
    if (small_disk_fp) {
        SCHED_CHECK(dd_check_invariants(SMALL_DISK_DEV) == 0, "requests are left in the disk driver");
        SCHED_CHECK(fp_close(small_disk_fp) == 0, "the disk cannot be closed");
    }
    if (dd_unit_of(SMALL_DISK_DEV1))
        SCHED_CHECK(scdisk_config(SMALL_DISK_DEV1, CFG_TERM, NULL) == 0, "the second disk stays");
    if (dd_unit_of(SMALL_DISK_DEV))
        SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "the disk stays");
    SCHED_CHECK(devswdel(SMALL_AD_DEV) == 0, "the adapter driver stays");
    small_down();
}

/* ---------------------------------------------------------------- bufs */

static void buf_done(struct buf *bp)
{
    struct small_buf *b = (struct small_buf *)(void *)bp;

    SCHED_CHECK(bp->b_flags & B_DONE, "buf %u is not done in its iodone", (unsigned)(b - small_bufs));
    if (b->sb_then)
        b->sb_then(b);
    b->sb_done++;
    SCHED_CHECK(b->sb_done == 1, "buf %u: %u iodone calls", (unsigned)(b - small_bufs), b->sb_done);
    shim_wake(&small_event);
}

struct small_buf *small_buf(uint32_t i, bool read, uint32_t at, uint32_t sectors, uint8_t fill)
{
    struct small_buf *b = &small_bufs[i];

    memset(b, 0, sizeof(*b));
    b->sb_data = memory[i];
    memset(b->sb_data, read ? 0xee : fill, (size_t)sectors * DEV_BSIZE);
    b->sb_buf.b_flags = read ? B_READ : B_WRITE;
    b->sb_buf.b_iodone = buf_done;
    b->sb_buf.b_dev = SMALL_DISK_DEV;
    b->sb_buf.b_blkno = at;
    b->sb_buf.b_un.b_addr = (void *)b->sb_data;
    b->sb_buf.b_bcount = (size_t)sectors * DEV_BSIZE;
    return b;
}

void small_bufs_send(uint32_t i, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        small_bufs[i + k].sb_buf.av_forw = k + 1 < n ? &small_bufs[i + k + 1].sb_buf : NULL;
    SCHED_CHECK(devstrat(&small_bufs[i].sb_buf) == 0, "devstrat failed");
}

bool small_bufs_wait(uint32_t n, uint64_t ns)
{
    const uint64_t until = ns == UINT64_MAX ? ns : shim_now_ns() + ns;

    for (;;) {
        uint32_t done = 0;

        for (uint32_t i = 0; i < SMALL_BUFS_MAX; i++)
            done += small_bufs[i].sb_done;
        if (done >= n)
            return true;
        if (shim_now_ns() >= until)
            return false;
        (void)shim_wait(&small_event, NULL, until);
    }
}
