/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_ad.c - see fake_ad.h. Single-threaded, except with fake.fast, which keeps no records.
 */
#include "fake_ad.h"

struct fake fake;
unsigned fake_order;

/* ------------------------------------------------------------------ what arrived */

static bool is_rw(uint8_t op)
{
    switch (op) {
    case SCSI_READ_6:
    case SCSI_WRITE_6:
    case SCSI_READ_10:
    case SCSI_WRITE_10:
    case SCSI_READ_12:
    case SCSI_WRITE_12:
    case SCSI_READ_16:
    case SCSI_WRITE_16:
    case SCSI_WRITE_VERIFY_10:
    case SCSI_WRITE_VERIFY_12:
    case SCSI_WRITE_VERIFY_16:
        return true;
    default:
        return false;
    }
}

static void decode(const uint8_t *cdb, uint64_t *lba, uint32_t *blocks)
{
    *lba = 0;
    *blocks = 0;
    switch (cdb[0] >> 5) {
    case 0:
        *lba = scsi_get24(cdb + 1) & 0x1fffff;
        *blocks = cdb[4] ? cdb[4] : 256;
        break;
    case 1:
        *lba = scsi_get32(cdb + 2);
        *blocks = scsi_get16(cdb + 7);
        break;
    case 5:
        *lba = scsi_get32(cdb + 2);
        *blocks = scsi_get32(cdb + 6);
        break;
    case 4:
        *lba = scsi_get64(cdb + 2);
        *blocks = scsi_get32(cdb + 10);
        break;
    default:
        break;
    }
}

/* AIX-05..09 of a spanned command. Returns the number of bufs. */
static unsigned check_span(const struct sc_buf *sc)
{
    size_t total = 0;
    unsigned n = 0;
    int64_t blkno = sc->bp->b_blkno;

    fake_check(!sc->resvd1);
    for (const struct buf *bp = sc->bp; bp; bp = bp->av_forw, n++) {
        uintptr_t start = (uintptr_t)bp->b_un.b_addr, end = start + bp->b_bcount;

        fake_check(bp->b_bcount > 0);
        fake_check((bp->b_flags & B_READ) == (sc->bufstruct.b_flags & B_READ));
        fake_check(bp->b_blkno == blkno);
        blkno += (int64_t)(bp->b_bcount >> DEV_BSHIFT);
        total += bp->b_bcount;
        if (n > 0)
            fake_check((start & SC_PAGE_MASK) == 0);
        if (bp->av_forw)
            fake_check((end & SC_PAGE_MASK) == 0);
    }
    fake_check(n >= 2);
    fake_check(total == sc->bufstruct.b_bcount);
    fake_check(total <= fake.max_transfer);
    return n;
}

static struct fake_cmd *record(const struct sc_buf *sc)
{
    struct fake_cmd *c = &fake.log[fake.nlog < FAKE_LOG_MAX ? fake.nlog : FAKE_LOG_MAX - 1];

    if (fake.nlog < FAKE_LOG_MAX)
        fake.nlog++;
    memset(c, 0, sizeof(*c));
    memcpy(c->cdb, &sc->scsi_command.scsi_cmd, 16);
    c->cdb_bytes = sc->scsi_command.scsi_length;
    c->flags = sc->flags;
    c->tag = sc->q_tag_msg;
    c->scsi_flags = sc->scsi_command.scsi_flags;
    c->timeout = sc->timeout_value;
    c->bytes = sc->bufstruct.b_bcount;
    c->addr = sc->bufstruct.b_un.b_addr;
    c->read = (sc->bufstruct.b_flags & B_READ) != 0;
    c->spanned = sc->bp != NULL;
    c->gathered = sc->resvd1 != NULL;
    c->nbufs = sc->bp ? check_span(sc) : 1;
    decode(c->cdb, &c->lba, &c->blocks);
    return c;
}

/* ------------------------------------------------------------------ finishing */

static void finish(struct sc_buf *sc)
{
    fake_check(fake.active > 0);
    fake.active--;
    iodone(&sc->bufstruct);
}

static void refuse(struct sc_buf *sc, int error)
{
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = error;
    sc->bufstruct.b_resid = sc->bufstruct.b_bcount;
}

/* An error that halts: the failed one first, then the held ones ENXIO (clearing flavour). */
static void finish_halting(struct sc_buf *sc)
{
    bool keep = fake.keeps && sc->q_tag_msg != SC_NO_Q && (sc->status_validity & SC_SCSI_ERROR) &&
                sc->scsi_status == SC_CHECK_CONDITION;
    struct sc_buf *rest = NULL;

    fake.halted = true;
    fake.kept = keep;
    if (keep) {
        sc->adap_q_status = SC_DID_NOT_CLEAR_Q;
    } else {
        rest = fake.held_head;
        fake.held_head = fake.held_tail = NULL;
    }
    finish(sc);
    while (rest) {
        struct sc_buf *next = (struct sc_buf *)(void *)rest->bufstruct.av_forw;

        rest->bufstruct.av_forw = NULL;
        refuse(rest, ENXIO);
        fake.enxio++;
        finish(rest);
        rest = next;
    }
}

/* SC_Q_CLR: what is held goes home. */
static void clear_kept(void)
{
    struct sc_buf *rest = fake.held_head;

    fake.held_head = fake.held_tail = NULL;
    while (rest) {
        struct sc_buf *next = (struct sc_buf *)(void *)rest->bufstruct.av_forw;

        rest->bufstruct.av_forw = NULL;
        refuse(rest, ENXIO);
        fake.enxio++;
        finish(rest);
        rest = next;
    }
}

static void make_sense(const struct fake_fault *f, uint64_t lba)
{
    uint64_t info = f->info_set ? f->info : lba > f->first ? lba : f->first;

    memset(fake.sense, 0, sizeof(fake.sense));
    if (f->descriptor) {
        fake.sense[0] = f->deferred ? SCSI_SENSE_DESC_DEFERRED : SCSI_SENSE_DESC;
        fake.sense[1] = f->key;
        fake.sense[2] = f->asc;
        fake.sense[3] = f->ascq;
        if (!f->no_info) {
            fake.sense[7] = 12;
            fake.sense[9] = 10;
            fake.sense[10] = 0x80;
            scsi_put64(fake.sense + 12, info);
        }
        return;
    }
    fake.sense[0] =
        (uint8_t)((f->deferred ? SCSI_SENSE_FIXED_DEFERRED : SCSI_SENSE_FIXED) | (f->no_info ? 0 : 0x80));
    fake.sense[2] = f->key;
    scsi_put32(fake.sense + 3, (uint32_t)info);
    fake.sense[7] = 10;
    fake.sense[12] = f->asc;
    fake.sense[13] = f->ascq;
}

static struct fake_fault *fault_hits(const struct sc_buf *sc)
{
    const uint8_t *cdb = (const uint8_t *)&sc->scsi_command.scsi_cmd;
    uint64_t lba;
    uint32_t blocks;

    decode(cdb, &lba, &blocks);
    for (unsigned i = 0; i < fake.nfaults; i++) {
        struct fake_fault *f = &fake.faults[i];

        if (f->opcode == FAKE_RW ? !is_rw(cdb[0]) : f->opcode != FAKE_ANY && f->opcode != cdb[0])
            continue;
        if (is_rw(cdb[0]) && (lba > f->last || lba + blocks <= f->first))
            continue;
        if (f->skip > 0) {
            f->skip--;
            continue;
        }
        if (f->count && f->hits >= f->count)
            continue;
        f->hits++;
        return f;
    }
    return NULL;
}

static uint8_t *block_at(uint64_t lba, size_t bytes)
{
    uint64_t off = lba * fake.block_bytes;

    return off + bytes <= fake.mem_bytes ? fake.mem + off : NULL;
}

static void move(const struct sc_buf *sc, uint8_t *media, size_t bytes)
{
    bool read = (sc->bufstruct.b_flags & B_READ) != 0;

    if (sc->resvd1) {
        ck_assert_int_eq(uiomove(media, bytes, UIO_WRITE, sc->resvd1), 0);
    } else if (sc->bp) {
        for (const struct buf *bp = sc->bp; bp && bytes > 0; bp = bp->av_forw) {
            size_t n = bp->b_bcount < bytes ? bp->b_bcount : bytes;

            if (read)
                memcpy(bp->b_un.b_addr, media, n);
            else
                memcpy(media, bp->b_un.b_addr, n);
            media += n;
            bytes -= n;
        }
    } else if (read) {
        memcpy(sc->bufstruct.b_un.b_addr, media, bytes);
    } else {
        memcpy(media, sc->bufstruct.b_un.b_addr, bytes);
    }
}

/* What lies before the failing block crosses the bus, as with a real disk, unless fake.drops. */
static void move_before(struct sc_buf *sc, uint64_t lba, uint32_t blocks, uint64_t bad)
{
    size_t bytes = (size_t)blocks * fake.block_bytes;
    uint8_t *media = block_at(lba, bytes);

    if (fake.drops || bad <= lba || bad - lba >= blocks || !media)
        return;
    bytes = (size_t)(bad - lba) * fake.block_bytes;
    move(sc, media, bytes);
    sc->bufstruct.b_resid = sc->bufstruct.b_bcount - bytes;
}

/* True: the fault was the answer. */
static bool strike(struct sc_buf *sc)
{
    const uint8_t *cdb = (const uint8_t *)&sc->scsi_command.scsi_cmd;
    struct fake_fault *f = fault_hits(sc);
    uint64_t lba;
    uint32_t blocks;

    if (!f || f->action == FAKE_SHORT)
        return false;
    decode(cdb, &lba, &blocks);
    switch (f->action) {
    case FAKE_ERRNO:
        refuse(sc, (int)f->code);
        finish(sc);
        return true;
    case FAKE_CHECK:
        make_sense(f, lba);
        refuse(sc, EIO);
        if (is_rw(cdb[0]))
            move_before(sc, lba, blocks, f->first);
        sc->status_validity = SC_SCSI_ERROR;
        sc->scsi_status = SC_CHECK_CONDITION;
        break;
    case FAKE_STATUS:
        refuse(sc, EIO);
        sc->status_validity = SC_SCSI_ERROR;
        sc->scsi_status = (uint8_t)f->code;
        break;
    default:
        refuse(sc, EIO);
        sc->status_validity = SC_ADAPTER_ERROR;
        sc->general_card_status = (uint8_t)f->code;
        break;
    }
    finish_halting(sc);
    return true;
}

/* ------------------------------------------------------------------ the device */

static void put(struct sc_buf *sc, const uint8_t *data, size_t n)
{
    size_t want = sc->bufstruct.b_bcount;

    if (n > want)
        n = want;
    if (n > 0)
        memcpy(sc->bufstruct.b_un.b_addr, data, n);
    sc->bufstruct.b_resid = want - n;
}

static size_t vpd(uint8_t page, uint8_t *d)
{
    d[1] = page;
    switch (page) {
    case 0x00:
        memcpy(d + 4, "\x00\x80\x83\xb0\xb2", 5);
        d[3] = 5;
        return 9;
    case 0x80:
        memcpy(d + 4, "FAKE0001", 8);
        d[3] = 8;
        return 12;
    case 0x83:
        d[3] = 12;
        d[4] = 1;
        d[5] = 3;
        d[7] = 8;
        memcpy(d + 8, "\x50\x01\x02\x03\x04\x05\x06\x07", 8);
        return 16;
    case 0xb0:
        d[3] = 0x3c;
        scsi_put32(d + 20, 1000);
        scsi_put32(d + 24, 1);
        scsi_put64(d + 36, 4096);
        return 64;
    case 0xb2:
        d[3] = 4;
        d[5] = (uint8_t)((fake.unmap ? 0xc0 : 0) | (fake.lbprz ? 0x04 : 0));
        return 8;
    default:
        return 0;
    }
}

static size_t data_in(const uint8_t *cdb, uint8_t *d, size_t n)
{
    if (fake.reply)
        return fake.reply(cdb, d, n);
    switch (cdb[0]) {
    case SCSI_INQUIRY:
        if (cdb[1] & 1)
            return vpd(cdb[2], d);
        d[1] = fake.removable ? 0x80 : 0;
        d[4] = 31;
        d[7] = fake.tags ? 2 : 0;
        memcpy(d + 8, "FAKE    disk            1.0 ", 28);
        return 36;
    case SCSI_MODE_SENSE_6:
        d[0] = 3 + 20;
        d[2] = fake.read_only ? 0x80 : 0;
        d[4] = 8;
        d[5] = 18;
        d[6] = 4;
        return 24;
    case SCSI_READ_CAPACITY_10:
        scsi_put32(d, fake.blocks > 0xffffffffu ? 0xffffffffu : (uint32_t)(fake.blocks - 1));
        scsi_put32(d + 4, fake.block_bytes);
        return 8;
    case SCSI_SERVICE_ACTION_IN_16:
        if ((cdb[1] & 0x1f) == SCSI_SA_GET_LBA_STATUS) {
            scsi_put32(d, 20);
            scsi_put64(d + 8, scsi_get64(cdb + 2));
            scsi_put32(d + 16, 8);
            d[20] = 1;
            return 24;
        }
        scsi_put64(d, fake.blocks - 1);
        scsi_put32(d + 8, fake.block_bytes);
        d[14] = (uint8_t)((fake.unmap ? 0x80 : 0) | (fake.lbprz ? 0x40 : 0));
        return 32;
    case SCSI_REQUEST_SENSE:
        memcpy(d, fake.sense, sizeof(fake.sense));
        memset(fake.sense, 0, sizeof(fake.sense));
        return fake.no_sense ? 0 : sizeof(fake.sense);
    default:
        return 0;
    }
}

static void check_illegal(struct sc_buf *sc)
{
    const struct fake_fault f = {.key = SCSI_KEY_ILLEGAL, .asc = 0x20, .no_info = true};

    make_sense(&f, 0);
    refuse(sc, EIO);
    sc->status_validity = SC_SCSI_ERROR;
    sc->scsi_status = SC_CHECK_CONDITION;
    finish_halting(sc);
}

/* Execute one command to its end. */
static void execute(struct sc_buf *sc)
{
    const uint8_t *cdb = (const uint8_t *)&sc->scsi_command.scsi_cmd;
    size_t bytes = sc->bufstruct.b_bcount;
    uint8_t data[512] = {0};
    uint64_t lba;
    uint32_t blocks;

    sc->bufstruct.b_resid = 0;
    decode(cdb, &lba, &blocks);
    if (is_rw(cdb[0])) {
        struct fake_fault *f = NULL;
        uint8_t *media = block_at(lba, bytes);

        fake_check((uint64_t)blocks * fake.block_bytes == bytes);
        fake_check(lba + blocks <= fake.blocks);
        for (unsigned i = 0; i < fake.nfaults; i++)
            if (fake.faults[i].action == FAKE_SHORT && !(fake.faults[i].count && fake.faults[i].hits > 1))
                f = &fake.faults[i];
        if (f) {
            sc->bufstruct.b_resid = f->code;
            bytes -= f->code;
        }
        if (media)
            move(sc, media, bytes);
        finish(sc);
        return;
    }
    if (cdb[0] == SCSI_SYNC_CACHE_10)
        fake.syncs++;
    fake.reserves += cdb[0] == SCSI_RESERVE_6;
    fake.releases += cdb[0] == SCSI_RELEASE_6;
    if (cdb[0] == SCSI_WRITE_SAME_16) {
        if (fake.no_write_same) {
            check_illegal(sc);
            return;
        }
        lba = scsi_get64(cdb + 2);
        for (uint32_t i = 0; i < scsi_get32(cdb + 10); i++)
            memcpy(block_at(lba + i, fake.block_bytes), sc->bufstruct.b_un.b_addr, fake.block_bytes);
    } else if (cdb[0] == SCSI_UNMAP) {
        const uint8_t *list = sc->bufstruct.b_un.b_addr;

        memset(block_at(scsi_get64(list + 8), fake.block_bytes), 0,
               (size_t)scsi_get32(list + 16) * fake.block_bytes);
    } else if (sc->bufstruct.b_flags & B_READ && bytes > 0) {
        put(sc, data, data_in(cdb, data, bytes < sizeof(data) ? bytes : sizeof(data)));
    }
    finish(sc);
}

/* ------------------------------------------------------------------ entry points */

static void fake_strategy(struct buf *bp)
{
    struct sc_buf *sc = (struct sc_buf *)(void *)bp;
    struct fake_cmd *c = NULL;

    if (fake.fast && is_rw(sc->scsi_command.scsi_cmd.scsi_op_code)) {
        iodone(bp);
        return;
    }
    fake_check(!bp->av_forw);
    fake_check(sc->resvd2 == 0);
    if (!fake.hook)
        c = record(sc);
    fake.active++;
    if (fake.active > fake.active_max)
        fake.active_max = fake.active;
    sc->status_validity = sc->adap_q_status = 0;
    if (fake.hook) {
        if (fake.hook(sc))
            return;
        c = record(sc);
    }
    if (bp->b_bcount > fake.max_transfer || (sc->resvd1 && (!fake.gather || c->read || sc->bp))) {
        refuse(sc, EINVAL);
        finish(sc);
        return;
    }
    if (fake.halted && !(sc->flags & SC_RESUME) && !(sc->flags & SC_Q_RESUME)) {
        refuse(sc, ENXIO);
        fake.enxio++;
        finish(sc);
        return;
    }
    if (fake.kept && !(sc->flags & (SC_Q_RESUME | SC_Q_CLR)) &&
        sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_REQUEST_SENSE &&
        sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_RESERVE_6) {
        /* Kept: one recovery command or a queue command, nothing else. */
        refuse(sc, ENXIO);
        fake.enxio++;
        finish(sc);
        return;
    }
    if (sc->flags & SC_Q_RESUME) {
        fake_check(sc->scsi_command.scsi_length == 0 && sc->scsi_command.scsi_id == 3);
        if (!fake.kept)
            refuse(sc, EINVAL);
        else
            fake.halted = fake.kept = false;
        finish(sc);
        return;
    }
    if (sc->flags & SC_Q_CLR) {
        fake_check(sc->scsi_command.scsi_length == 0 && sc->scsi_command.scsi_id == 3);
        if (fake.kept)
            clear_kept();
        refuse(sc, fake.kept ? ENXIO : EINVAL);
        fake.kept = false;
        finish(sc);
        return;
    }
    fake.halted = false;
    if (fake.held && is_rw(c->cdb[0])) {
        bp->av_forw = NULL;
        if (fake.held_head)
            fake.held_tail->bufstruct.av_forw = bp;
        else
            fake.held_head = sc;
        fake.held_tail = sc;
        return;
    }
    if (!strike(sc))
        execute(sc);
}

void fake_reset_event(void)
{
    struct sc_event_info info = {.events = SC_SCSI_RESET_EVENT,
                                 .async_correlator = fake.event.async_correlator};

    fake.event.async_func(&info);
}

/* What is held ends ENXIO, but for the first `halt_good`, which end as they would. */
static int halt(void)
{
    fake.halts++;
    if (fake.halt_error)
        return fake.halt_error;
    if (fake.at_halt)
        fake.at_halt();
    for (unsigned i = 0; i < fake.halt_good; i++)
        (void)fake_complete_one();
    fake.halted = true;
    fake.kept = false;
    while (fake.held_head) {
        struct sc_buf *sc = fake.held_head;

        fake.held_head = (struct sc_buf *)(void *)sc->bufstruct.av_forw;
        sc->bufstruct.av_forw = NULL;
        refuse(sc, ENXIO);
        finish(sc);
    }
    fake.held_tail = NULL;
    return 0;
}

static int fake_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    (void)devno;
    (void)chan;
    (void)ext;
    ck_assert(devflag & DKERNEL);
    if (fake.fail_error && cmd == fake.fail_ioctl)
        return fake.fail_error;
    switch (cmd) {
    case IOCINFO: {
        struct devinfo *info = (struct devinfo *)arg;

        memset(info, 0, sizeof(*info));
        info->devtype = fake.devtype ? fake.devtype : DD_BUS;
        info->devsubtype = DS_SCSI;
        info->un.scsi.max_transfer = fake.max_transfer;
        return 0;
    }
    case SCIOSTART:
        ck_assert(!fake.started);
        fake.started = true;
        fake.starts++;
        return 0;
    case SCIOSTOP:
        ck_assert(fake.started && fake.active == 0);
        if (fake.event_in_stop)
            fake_reset_event();
        fake.started = false;
        fake.halted = fake.kept = false;
        fake.stops++;
        return 0;
    case SCIORESET:
        fake.resets++;
        if (fake.at_reset)
            fake.at_reset();
        return 0;
    case SCIOHALT:
        return halt();
    case SCIOGTHW:
        return fake.gather ? 0 : EINVAL;
    case SCIOEVENT:
        fake.event = *(struct sc_event_struct *)arg;
        return 0;
    case SCIOAHEAD:
        if (!fake.ahead)
            return ENODEV;
        ((struct sc_ahead *)arg)->func = fake.ahead;
        ((struct sc_ahead *)arg)->chip = &fake;
        return 0;
    default:
        return EINVAL;
    }
}

static int fake_dev_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    (void)devno;
    (void)devflag;
    (void)chan;
    (void)ext;
    fake.opens++;
    return 0;
}

static int fake_dev_close(devno_t devno, long chan)
{
    (void)devno;
    (void)chan;
    fake.closes++;
    return 0;
}

/* ------------------------------------------------------------------ for tests */

void fake_setup_only(uint64_t blocks, uint32_t block_bytes)
{
    static const struct devsw entries = {.d_open = fake_dev_open,
                                         .d_close = fake_dev_close,
                                         .d_ioctl = fake_ioctl,
                                         .d_strategy = fake_strategy,
                                         .d_opts = DEV_MPSAFE | DEV_EACHCLOSE};

    memset(&fake, 0, sizeof(fake));
    fake.blocks = blocks;
    fake.block_bytes = block_bytes;
    fake.max_transfer = 131072;
    fake.tags = true;
    fake.gather = true;
    fake.mem_bytes = (size_t)blocks * block_bytes;
    if (fake.mem_bytes > (16u << 20))
        fake.mem_bytes = 16u << 20;
    fake.mem = calloc(1, fake.mem_bytes);
    ck_assert_ptr_nonnull(fake.mem);
    ck_assert_int_eq(devswadd(FAKE_AD_DEV, &entries), 0);
}

void fake_begin(uint64_t blocks, uint32_t block_bytes)
{
    shim_test_begin_det(1);
    fake_setup_only(blocks, block_bytes);
}

void fake_begin_posix(uint64_t blocks, uint32_t block_bytes)
{
    shim_test_begin_posix();
    fake_setup_only(blocks, block_bytes);
}

void fake_end(void)
{
    if (dd_unit_of(FAKE_DEV))
        ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    ck_assert_uint_eq(fake.opens, fake.closes);
    ck_assert_uint_eq(fake.starts, fake.stops);
    ck_assert_ptr_null(fake.held_head);
    ck_assert_int_eq(devswdel(FAKE_AD_DEV), 0);
    free(fake.mem);
    shim_test_end();
}

int fake_config(const struct scdisk_dds *dds)
{
    struct scdisk_dds mine = {.adapter_devno = FAKE_AD_DEV, .scsi_id = 3, .name = "hdisk0"};
    struct iovec iov = {&mine, sizeof(mine)};
    struct uio uio = {
        .uio_iov = &iov, .uio_iovcnt = 1, .uio_resid = sizeof(mine), .uio_segflg = UIO_SYSSPACE};

    if (dds) {
        mine.queue_depth = dds->queue_depth;
        mine.rw_timeout = dds->rw_timeout;
        mine.max_coalesce = dds->max_coalesce;
        mine.retries = dds->retries;
        mine.start_timeout = dds->start_timeout;
        mine.clr_q = dds->clr_q;
        mine.no_q_err = dds->no_q_err;
        mine.no_tags = dds->no_tags;
        mine.no_reserve = dds->no_reserve;
        mine.pool = dds->pool;
        mine.lun_id = dds->lun_id;
        if (dds->scsi_id)
            mine.scsi_id = dds->scsi_id;
    }
    return scdisk_config(FAKE_DEV, CFG_INIT, &uio);
}

struct file *fake_open(const struct scdisk_dds *dds)
{
    struct file *fp;

    ck_assert_int_eq(fake_config(dds), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    fake_forget();
    return fp;
}

void fake_close(struct file *fp) { ck_assert_int_eq(fp_close(fp), 0); }

void fake_forget(void)
{
    fake.nlog = 0;
    fake.active_max = fake.active;
}

struct fake_fault *fake_fault(int opcode, uint64_t first, uint64_t last, enum fake_action action)
{
    struct fake_fault *f = &fake.faults[fake.nfaults++];

    ck_assert_uint_le(fake.nfaults, FAKE_FAULTS_MAX);
    memset(f, 0, sizeof(*f));
    f->opcode = opcode;
    f->first = first;
    f->last = last;
    f->action = action;
    return f;
}

unsigned fake_nrw(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nlog; i++)
        n += is_rw(fake.log[i].cdb[0]) && !(fake.log[i].flags & SC_Q_RESUME);
    return n;
}

const struct fake_cmd *fake_rw(unsigned n)
{
    for (unsigned i = 0; i < fake.nlog; i++)
        if (is_rw(fake.log[i].cdb[0]) && n-- == 0)
            return &fake.log[i];
    ck_abort_msg("not that many commands");
    return NULL;
}

bool fake_complete_one(void)
{
    struct sc_buf *sc = fake.held_head;

    if (!sc)
        return false;
    fake.held_head = (struct sc_buf *)(void *)sc->bufstruct.av_forw;
    if (!fake.held_head)
        fake.held_tail = NULL;
    sc->bufstruct.av_forw = NULL;
    if (!strike(sc))
        execute(sc);
    return true;
}

void fake_complete_all(void)
{
    while (fake_complete_one())
        dd_check_invariants(FAKE_DEV);
}

unsigned fake_nheld(void)
{
    unsigned n = 0;

    for (struct buf *bp = fake.held_head ? &fake.held_head->bufstruct : NULL; bp; bp = bp->av_forw)
        n++;
    return n;
}

static void buf_done(struct buf *bp)
{
    struct fake_buf *fb = (struct fake_buf *)(void *)bp;

    fake_check(bp->b_flags & B_DONE);
    fb->done++;
    fb->order = ++fake_order;
    fb->more = (bp->b_flags & B_MORE_DONE) != 0;
    if (fb->then)
        fb->then(fb);
}

void fake_buf_init(struct fake_buf *fb, bool read, uint64_t blkno, void *addr, size_t bytes)
{
    memset(fb, 0, sizeof(*fb));
    fb->b.b_flags = read ? B_READ : B_WRITE;
    fb->b.b_iodone = buf_done;
    fb->b.b_dev = FAKE_DEV;
    fb->b.b_blkno = (int64_t)blkno;
    fb->b.b_un.b_addr = addr;
    fb->b.b_bcount = bytes;
}

void fake_submit(struct fake_buf *fb, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fb[i].b.av_forw = i + 1 < n ? &fb[i + 1].b : NULL;
    fake_check(devstrat(&fb[0].b) == 0);
}

void fake_settle(const struct fake_buf *fb, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        while (!fb[i].done)
            ck_assert_msg(shim_det_step(), "buf %u is stuck", i);
    dd_check_invariants(FAKE_DEV);
}

struct sc_disk_stats fake_stats(void)
{
    struct sc_disk_stats st;

    dd_check_invariants(FAKE_DEV);
    dd_stats_get(dd_unit_of(FAKE_DEV), &st);
    return st;
}

int fake_rdwr(struct file *fp, bool read, void *data, size_t bytes, int64_t off, int ext, size_t *resid)
{
    struct iovec iov = {data, bytes};
    struct uio uio = {
        .uio_iov = &iov, .uio_iovcnt = 1, .uio_offset = off, .uio_resid = bytes, .uio_segflg = UIO_SYSSPACE};
    int error = fp_rwuio(fp, read ? UIO_READ : UIO_WRITE, &uio, ext);

    if (resid)
        *resid = uio.uio_resid;
    return error;
}
