/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_todo_test.c - what happens to the disk as a whole, whichever command shows it: reservations lost and
 * regained, a new capacity, a format, deferred errors, and what pass-through commands leave behind.
 */
#include "fake_ad.h"

static uint8_t *area;
static struct sc_passthru pt;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static unsigned count_op(uint8_t op)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nlog; i++)
        n += fake.log[i].cdb[0] == op && !(fake.log[i].flags & SC_Q_RESUME);
    return n;
}

static struct fake_fault *attention(int opcode, uint8_t asc, uint8_t ascq)
{
    struct fake_fault *f = fake_fault(opcode, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_ATTENTION;
    f->asc = asc;
    f->ascq = ascq;
    f->count = 1;
    f->no_info = true;
    return f;
}

static int passthru(struct file *fp, uint8_t opcode, uint8_t autosense)
{
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = opcode < 0x20 ? 6 : 10;
    pt.scsi_cdb[0] = opcode;
    pt.autosense_length = autosense;
    return fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0);
}

static int read_one(struct file *fp) { return fake_rdwr(fp, true, area, 4096, 0, 0, NULL); }
static int write_one(struct file *fp) { return fake_rdwr(fp, false, area, 4096, 0, 0, NULL); }

static uint64_t now_blocks(struct file *fp)
{
    struct sc_disk_info info;
    struct devinfo di;

    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_int_eq(fp_ioctl(fp, IOCINFO, (intptr_t)&di, 0), 0);
    ck_assert_uint_eq(info.blocks, di.un.scdk.numblks);
    return info.blocks;
}

/* ------------------------------------------------------------------ reservations */

/* Power on or reset, released, preempted: RESERVE goes out before anything else does. */
START_TEST(test_attention_reserves_again)
{
    static const struct {
        uint8_t asc, ascq;
        int error;
    } rows[] = {{0x29, 0x00, 0}, {0x29, 0x04, 0}, {0x2a, 0x04, 0}, {0x2a, 0x03, EBUSY}};
    struct file *fp = fake_open(NULL);

    (void)attention(FAKE_RW, rows[_i].asc, rows[_i].ascq);
    ck_assert_int_eq(write_one(fp), rows[_i].error);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 1);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 1);
    fake_close(fp);
    ck_assert_uint_eq(fake.releases, 1);
}
END_TEST

/* A pass-through command meets the attention, with and without autosense: the next write is reserved. */
START_TEST(test_passthru_sees_the_reset)
{
    struct file *fp = fake_open(NULL);

    (void)attention(SCSI_TEST_UNIT_READY, 0x29, 0);
    ck_assert_int_eq(passthru(fp, SCSI_TEST_UNIT_READY, _i ? 32 : 0), EIO);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 1);
    fake_close(fp);
}
END_TEST

/*
 * The device has become write-protected and says that its mode parameters have changed: to a READ (0), to a
 * pass-through command (1), or we have changed them ourselves (2). No write is sent in vain, and DKINFO
 * knows.
 */
START_TEST(test_mode_parameters_changed)
{
    struct file *fp = fake_open(NULL);
    struct sc_disk_info info;

    fake_forget();
    fake.read_only = true;
    if (_i < 2)
        (void)attention(_i ? SCSI_TEST_UNIT_READY : FAKE_RW, 0x2a, 0x01);
    if (_i == 1)
        ck_assert_int_eq(passthru(fp, SCSI_TEST_UNIT_READY, 0), EIO);
    else if (_i == 2)
        ck_assert_int_eq(passthru(fp, SCSI_MODE_SELECT_6, 0), 0);
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_MODE_SENSE_6), 1);
    ck_assert_int_eq(write_one(fp), EWRPROTECT);
    ck_assert_uint_eq(fake_nrw(), _i ? 1 : 2);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.read_only, 1);
    fake.read_only = false;
    (void)attention(FAKE_RW, 0x2a, 0x01);
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_int_eq(write_one(fp), 0);
    fake_close(fp);
}
END_TEST

/* Who opened without a reservation does not get one. */
START_TEST(test_no_reservation_none_regained)
{
    const struct scdisk_dds dds = {.no_reserve = 1};
    struct file *fp = fake_open(&dds);

    (void)attention(FAKE_RW, 0x29, 0);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.releases, 0);
}
END_TEST

/*
 * The reservation cannot be had again, another initiator has it (0) or RESERVE fails (1): everything that
 * waits fails, no write goes out; when it can be had, the next request does.
 */
START_TEST(test_no_write_goes_out_unreserved)
{
    const struct scdisk_dds dds = {.queue_depth = 2};
    int error = _i ? EIO : EBUSY;
    struct fake_buf fb[6];
    struct file *fp = fake_open(&dds);
    struct fake_fault *f;

    (void)attention(FAKE_RW, 0x29, 0);
    f = fake_fault(SCSI_RESERVE_6, 0, UINT64_MAX, _i ? FAKE_ADAPTER : FAKE_STATUS);
    f->code = _i ? SC_CMD_TIMEOUT : SC_RESERVATION_CONFLICT;
    fake.held = true;
    memset(area, 0x3c, 4096);
    for (unsigned i = 0; i < 6; i++) /* the last is cut into pieces */
        fake_buf_init(&fb[i], false, 300 * i, area, i == 5 ? 300000 / 512 * 512 : 4096);
    for (unsigned i = 0; i < 6; i++)
        fake_submit(&fb[i], 1);
    fake_complete_all();
    fake_settle(fb, 6);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(fb[i].b.b_error, error);
        ck_assert_uint_eq(fb[i].b.b_resid, fb[i].b.b_bcount);
    }
    ck_assert_uint_eq(fake.mem[0], 0);
    /* Twice: the follower came back only after the first refusal. */
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), _i ? 6 : 2);
    fake.held = false;
    fake_forget();
    ck_assert_int_eq(write_one(fp), error);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), error);
    ck_assert_uint_eq(fake_nrw(), 0);
    ck_assert_int_eq(passthru(fp, SCSI_TEST_UNIT_READY, 0), 0); /* as given */
    fake.nfaults = 0;
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(fake.mem[0], 0x3c);
    fake_close(fp);
}
END_TEST

/* The attention that a reset leaves behind meets RESERVE: its sense is fetched before the next try. */
START_TEST(test_sense_of_reserve_is_fetched)
{
    static const uint8_t want[] = {SCSI_WRITE_6, SCSI_RESERVE_6, SCSI_REQUEST_SENSE, SCSI_RESERVE_6,
                                   SCSI_WRITE_6};
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ADAPTER);

    f->code = SC_SCSI_BUS_RESET;
    f->count = 1;
    (void)attention(SCSI_RESERVE_6, 0x29, 0);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(fake.nlog, SC_ARRAY_SIZE(want));
    for (size_t i = 0; i < SC_ARRAY_SIZE(want); i++)
        ck_assert_uint_eq(fake.log[i].cdb[0], want[i]);
    fake_close(fp);
}
END_TEST

/* And so is what meets READ CAPACITY; that is put right, too. */
START_TEST(test_sense_of_capacity_is_fetched)
{
    static const uint8_t want[] = {SCSI_READ_6,        SCSI_REQUEST_SENSE,    SCSI_READ_CAPACITY_10,
                                   SCSI_REQUEST_SENSE, SCSI_READ_CAPACITY_10, SCSI_MODE_SENSE_6,
                                   SCSI_READ_6};
    struct file *fp = fake_open(NULL);

    (void)attention(FAKE_RW, 0x2a, 0x09);
    (void)attention(SCSI_READ_CAPACITY_10, 0x2a, 0x01);
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(fake.nlog, SC_ARRAY_SIZE(want));
    for (size_t i = 0; i < SC_ARRAY_SIZE(want); i++)
        ck_assert_uint_eq(fake.log[i].cdb[0], want[i]);
    fake_close(fp);
}
END_TEST

/* What RESERVE after a reset meets is told once: a write that was lost (0), another capacity (1). */
START_TEST(test_sense_of_reserve_counts)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ADAPTER);

    f->code = SC_SCSI_BUS_RESET;
    f->count = 1;
    f = attention(SCSI_RESERVE_6, 0x2a, 0x09);
    if (_i == 0) {
        f->key = SCSI_KEY_MEDIUM;
        f->asc = 0x0c;
        f->deferred = true;
    } else {
        fake.blocks = 10240;
    }
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), _i == 0 ? EMEDIA : 0);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    ck_assert_uint_eq(now_blocks(fp), fake.blocks);
    fake_close(fp);
}
END_TEST

/* And another medium: what was meant for the one that has gone is not written to it. */
START_TEST(test_medium_changes_before_reserve)
{
    struct fake_fault *f;
    struct file *fp;

    fake.removable = true;
    fp = fake_open(NULL);
    memset(area, 0x33, 4096);
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ADAPTER);
    f->code = SC_SCSI_BUS_RESET;
    f->count = 1;
    (void)attention(SCSI_RESERVE_6, 0x28, 0);
    ck_assert_int_eq(write_one(fp), EMEDIA);
    ck_assert_uint_ne(fake.mem[0], 0x33);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(fake.mem[0], 0x33);
    fake_close(fp);
}
END_TEST

/* A device that always says that its capacity has changed: what waits goes on. */
START_TEST(test_capacity_never_told)
{
    struct file *fp = fake_open(NULL);

    (void)attention(FAKE_RW, 0x2a, 0x09);
    attention(SCSI_READ_CAPACITY_10, 0x2a, 0x09)->count = 0;
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_READ_CAPACITY_10), 3);
    fake_close(fp);
}
END_TEST

/* A flush that has to go again meets a reservation that cannot be had: refused, and its structure is back. */
START_TEST(test_retried_flush_is_refused)
{
    const struct scdisk_dds dds = {.queue_depth = 1, .pool = 1};
    struct file *fp = fake_open(&dds);

    (void)attention(SCSI_SYNC_CACHE_10, 0x29, 0);
    fake_fault(SCSI_RESERVE_6, 0, UINT64_MAX, FAKE_STATUS)->code = SC_RESERVATION_CONFLICT;
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), EBUSY);
    fake.nfaults = 0;
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    ck_assert_int_eq(write_one(fp), 0);
    fake_close(fp);
}
END_TEST

static uint32_t keys_bytes;

static size_t keys_reply(const uint8_t *cdb, uint8_t *d, size_t n)
{
    static const uint8_t inquiry[36] = {[4] = 31, [7] = 2};

    (void)n;
    switch (cdb[0]) {
    case SCSI_PERSISTENT_RESERVE_IN:
        scsi_put32(d, 7);
        scsi_put32(d + 4, keys_bytes);
        return 8;
    case SCSI_INQUIRY:
        memcpy(d, inquiry, sizeof(inquiry));
        return cdb[1] & 1 ? 0 : 36;
    case SCSI_READ_CAPACITY_10:
        scsi_put32(d, 20479);
        scsi_put32(d + 4, 512);
        return 8;
    case SCSI_REQUEST_SENSE:
        memcpy(d, fake.sense, sizeof(fake.sense));
        return sizeof(fake.sense);
    default:
        return 0;
    }
}

/* RESERVE at open is a conflict: with persistent keys (1) the disk opens without it, else EBUSY. */
START_TEST(test_open_beside_persistent_keys)
{
    struct file *fp;

    keys_bytes = _i ? 16 : 0;
    fake.reply = keys_reply;
    fake_fault(SCSI_RESERVE_6, 0, UINT64_MAX, FAKE_STATUS)->code = SC_RESERVATION_CONFLICT;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), _i ? 0 : EBUSY);
    if (_i) {
        ck_assert_int_eq(write_one(fp), 0);
        fake_close(fp);
        ck_assert_uint_eq(fake.releases, 0);
    }
}
END_TEST

/* The same while open: keys were registered, then a reset took our RESERVE. I/O goes on without it. */
START_TEST(test_persistent_keys_take_over)
{
    struct file *fp = fake_open(NULL);

    keys_bytes = 8;
    fake.reply = keys_reply;
    (void)attention(FAKE_RW, 0x29, 0);
    fake_fault(SCSI_RESERVE_6, 0, UINT64_MAX, FAKE_STATUS)->code = SC_RESERVATION_CONFLICT;
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 1);
    ck_assert_uint_eq(count_op(SCSI_PERSISTENT_RESERVE_IN), 1);
    (void)attention(FAKE_RW, 0x29, 0);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 1);
    fake_close(fp);
    ck_assert_uint_eq(fake.releases, 0);
}
END_TEST

/* The adapter tells of a reset while the disk is idle: the next command is preceded by RESERVE. */
START_TEST(test_reset_event_reserves)
{
    struct sc_event_info info = {.events = _i ? SC_SCSI_RESET_EVENT : SC_ADAP_CMD_FAILED};
    struct file *fp = fake_open(NULL);

    info.async_correlator = fake.event.async_correlator;
    fake.event.async_func(&info);
    ck_assert_uint_eq(fake.nlog, 0);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), _i ? 1 : 0);
    ck_assert(!_i || fake.log[0].cdb[0] == SCSI_RESERVE_6);
    fake_close(fp);
}
END_TEST

static bool reset_beside_release(struct sc_buf *sc)
{
    if (sc->scsi_command.scsi_cmd.scsi_op_code == SCSI_RELEASE_6)
        fake_reset_event();
    return false;
}

/* A reset while the last close gives the reservation back (0), or keeps it and stops the path (1): the next
 * open, without a reservation, has nothing to regain. */
START_TEST(test_reset_during_the_last_close)
{
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(
        fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, _i ? (int)SC_RETAIN_RESERVATION : 0, &fp), 0);
    fake.hook = reset_beside_release;
    fake.event_in_stop = _i == 1;
    fake_close(fp);
    ck_assert_uint_eq(fake.releases, _i ? 0 : 1);
    fake.hook = NULL;
    fake.event_in_stop = false;
    fake_forget();
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_NO_RESERVE, &fp), 0);
    ck_assert_int_eq(write_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_RESERVE_6), 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.releases, _i ? 0 : 1);
}
END_TEST

/* ------------------------------------------------------------------ capacity */

/* Larger or smaller: told by a READ (0, 1), by a pass-through command (2), by 28/00 (3). */
START_TEST(test_capacity_changes)
{
    struct file *fp = fake_open(NULL);
    struct fake_buf fb;

    (void)attention(_i == 2 ? SCSI_TEST_UNIT_READY : FAKE_RW, _i == 3 ? 0x28 : 0x2a, _i == 3 ? 0 : 0x09);
    fake.blocks = _i == 1 ? 30000 : 10240;
    if (_i == 2)
        ck_assert_int_eq(passthru(fp, SCSI_TEST_UNIT_READY, 32), EIO);
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_READ_CAPACITY_10), 1);
    ck_assert_uint_eq(now_blocks(fp), fake.blocks);
    fake_buf_init(&fb, true, fake.blocks, area, 512);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.b.b_resid, 512);
    fake_buf_init(&fb, true, fake.blocks - 8, area, 4096);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.b.b_resid, 0);
    ck_assert_uint_eq(fake_nrw() > 0, 1);
    fake_close(fp);
}
END_TEST

/*
 * Another medium in a removable disk: who meant the old one is told, and so is whoever waits behind him. A
 * command of a pass-through caller's, too. Afterwards it is the new one that counts.
 */
START_TEST(test_medium_changes_under_requests)
{
    struct fake_buf fb[4];
    struct file *fp;

    fake.removable = true;
    fake.tags = (_i & 1) != 0; /* or one at a time: three wait */
    fake.keeps = (_i & 2) != 0;
    fp = fake_open(NULL);
    memset(area, 0x33, 4096);
    (void)attention(FAKE_RW, 0x28, 0);
    fake.blocks = 10240;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(fb); i++)
        fake_buf_init(&fb[i], i == 2, 100 * i, area, 512);
    if (_i & 4) /* one of them in pieces */
        fake_buf_init(&fb[_i & 8 ? 0 : 1], false, 1000, area, 262144);
    fake_forget();
    fake_submit(fb, SC_ARRAY_SIZE(fb));
    for (unsigned i = 0; i < SC_ARRAY_SIZE(fb); i++) {
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_uint_ne(fb[i].b.b_flags & B_ERROR, 0);
        ck_assert_int_eq(fb[i].b.b_error, EMEDIA);
        ck_assert_uint_eq(fb[i].b.b_resid, fb[i].b.b_bcount);
    }
    if (!fake.tags)
        ck_assert_uint_eq(fake_nrw(), 1);
    ck_assert_uint_ne(fake.mem[100 * 512], 0x33);
    ck_assert_uint_ne(fake.mem[1000 * 512], 0x33);
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_READ_CAPACITY_10), 1);
    ck_assert_uint_eq(now_blocks(fp), 10240);
    fake_close(fp);
}
END_TEST

/* At open there is nobody who could have meant another one. */
START_TEST(test_medium_changed_before_open)
{
    fake.removable = true;
    (void)attention(_i ? SCSI_READ_CAPACITY_10 : SCSI_INQUIRY, 0x28, 0);
    fake_close(fake_open(NULL));
}
END_TEST

/* More than 32 bits can say: READ CAPACITY(16) is asked as well. */
START_TEST(test_capacity_grows_beyond_2t)
{
    struct file *fp = fake_open(NULL);

    (void)attention(FAKE_RW, 0x2a, 0x09);
    fake.blocks = UINT64_C(1) << 33;
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(now_blocks(fp), UINT64_C(1) << 33);
    fake_close(fp);
}
END_TEST

/* It does not tell: what was known stays. */
START_TEST(test_capacity_not_told)
{
    struct file *fp = fake_open(NULL);

    (void)attention(FAKE_RW, 0x2a, 0x09);
    fake_fault(SCSI_READ_CAPACITY_10, 0, UINT64_MAX, FAKE_ADAPTER)->code = SC_CMD_TIMEOUT;
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_READ_CAPACITY_10), 3);
    ck_assert_uint_eq(now_blocks(fp), 20480);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Somebody else formatted it with another block size: nothing is read or written by wrong addresses. */
START_TEST(test_block_size_changes)
{
    struct file *fp = fake_open(NULL);
    struct sc_range range = {0, 4096};
    struct fake_buf fb[3];
    struct devinfo di;

    fake.held = true;
    for (unsigned i = 0; i < 3; i++) {
        fake_buf_init(&fb[i], false, 100 * i, area, 4096);
        fake_submit(&fb[i], 1);
    }
    (void)attention(FAKE_RW, 0x2a, 0x09);
    fake.block_bytes = 4096;
    fake_complete_one();
    fake_settle(fb, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(fb[i].b.b_error, EFORMAT);
    fake.held = false;
    ck_assert_int_eq(read_one(fp), EFORMAT);
    ck_assert_int_eq(fp_ioctl(fp, IOCINFO, (intptr_t)&di, 0), 0);
    ck_assert_uint_eq(di.un.scdk.numblks, 0);
    ck_assert_int_eq(fp_ioctl(fp, DKZERO, (intptr_t)&range, 0), ENXIO);
    fake_buf_init(&fb[0], true, 0, area, 512);
    fake_submit(&fb[0], 1);
    ck_assert_int_eq(fb[0].b.b_error, EFORMAT);
    fake_close(fp);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    ck_assert_int_eq(read_one(fp), 0);
    fake_close(fp);
}
END_TEST

/*
 * Of a request larger than the adapter's maximum, what was not cut yet fails too; _i pieces were good. The
 * second test hears of it from another request, so that all its pieces are good and it ends where it was cut.
 */
START_TEST(test_block_size_changes_under_a_large_request)
{
    const struct scdisk_dds dds = {.queue_depth = 2};
    const size_t piece = 131072, bytes = 6 * piece;
    uint8_t *large = calloc(1, bytes);
    struct file *fp = fake_open(&dds);
    struct fake_buf fb;

    fake.held = true;
    fake_buf_init(&fb, false, 0, large, bytes);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fake_nrw(), 2);
    for (int i = 0; i < _i; i++)
        fake_complete_one();
    (void)attention(FAKE_RW, 0x2a, 0x09);
    fake.block_bytes = 4096;
    fake_complete_one();
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EFORMAT);
    ck_assert_uint_eq(fb.b.b_resid, bytes - (size_t)_i * piece);
    ck_assert_uint_eq(fake_nrw(), 2u + (unsigned)_i);
    ck_assert_uint_eq(fb.done, 1);
    fake.held = false;
    fake_close(fp);
    free(large);
}
END_TEST

START_TEST(test_block_size_changes_beside_a_large_request)
{
    const struct scdisk_dds dds = {.queue_depth = 2};
    const size_t piece = 131072, bytes = 6 * piece;
    uint8_t *large = calloc(1, bytes);
    struct file *fp;
    struct fake_buf fb[2];

    fake.keeps = true; /* the piece beside it is not thrown back */
    fp = fake_open(&dds);
    fake.held = true;
    fake_buf_init(&fb[0], true, 20000, area, 512);
    fake_buf_init(&fb[1], false, 0, large, bytes);
    fake_submit(&fb[0], 1);
    fake_submit(&fb[1], 1);
    ck_assert_uint_eq(fake_nrw(), 2);
    (void)attention(FAKE_RW, 0x2a, 0x09);
    fake.block_bytes = 4096;
    fake_complete_one();
    fake.block_bytes = 512; /* what is out already was meant in the old blocks */
    fake_complete_all();
    fake_settle(fb, 2);
    ck_assert_int_eq(fb[0].b.b_error, EFORMAT);
    ck_assert_int_eq(fb[1].b.b_error, EFORMAT);
    ck_assert_uint_eq(fb[1].b.b_resid, bytes - piece);
    ck_assert_uint_eq(fb[1].done, 1);
    fake.held = false;
    fake_close(fp);
    free(large);
}
END_TEST

/* A gathered write that has to go again finds another block size. */
START_TEST(test_block_size_changes_under_a_gathered_write)
{
    struct iovec iov[2] = {{area, 100}, {area + 200, 412}};
    struct uio uio = {.uio_iov = iov, .uio_iovcnt = 2, .uio_resid = 512, .uio_segflg = UIO_SYSSPACE};
    struct file *fp = fake_open(NULL);

    (void)attention(FAKE_RW, 0x2a, 0x09);
    fake.block_bytes = 4096;
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), EFORMAT);
    ck_assert_uint_eq(uio.uio_resid, 512);
    ck_assert_uint_eq(fake_nrw(), 1);
    fake_close(fp);
}
END_TEST

/* MODE SELECT and FORMAT UNIT by pass-through change the capacity, and the device need not say so. */
START_TEST(test_passthru_changes_capacity)
{
    static const uint8_t ops[] = {SCSI_FORMAT_UNIT, SCSI_MODE_SELECT_6, SCSI_MODE_SELECT_10, SCSI_VERIFY_10};
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(passthru(fp, ops[_i], 0), 0);
    fake.blocks = 10240;
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(now_blocks(fp), _i == 3 ? 20480 : 10240);
    fake_close(fp);
}
END_TEST

/* DKFORMAT with another block size: every limit is another one. The device takes 32 blocks at once. */
static uint32_t format_bytes;

static size_t format_reply(const uint8_t *cdb, uint8_t *d, size_t n)
{
    if (cdb[0] == SCSI_INQUIRY && (cdb[1] & 1)) {
        d[1] = cdb[2];
        d[3] = cdb[2] ? 0x3c : 2;
        if (cdb[2])
            scsi_put32(d + 8, 32);
        else
            d[5] = 0xb0;
        return cdb[2] ? 64 : 6;
    }
    if (cdb[0] == SCSI_READ_CAPACITY_10) {
        scsi_put32(d, 1999);
        scsi_put32(d + 4, format_bytes);
        return 8;
    }
    return keys_reply(cdb, d, n);
}

START_TEST(test_format_reads_all_limits_again)
{
    const struct scdisk_dds dds = {.no_reserve = 1};
    struct sc_disk_info info;
    struct fake_buf fb[8];
    struct file *fp;

    format_bytes = fake.block_bytes = _i ? 512 : 4096;
    fake.reply = format_reply;
    ck_assert_int_eq(fake_config(&dds), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    format_bytes = fake.block_bytes = _i ? 4096 : 512;
    ck_assert_int_eq(fp_ioctl(fp, DKFORMAT, 0, 0), 0);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.transfer_bytes_max, _i ? 131072 : 16384);
    ck_assert_uint_eq(info.block_bytes, format_bytes);
    fake_forget();
    for (unsigned i = 0; i < 8; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 8);
    fake_settle(fb, 8);
    ck_assert_uint_eq(fake_nrw(), _i ? 1 : 2);
    fake_close(fp);
}
END_TEST

/* What the device says afterwards makes no sense: the disk stays unusable until it is opened again. */
START_TEST(test_format_and_nonsense)
{
    struct file *fp;

    format_bytes = 512;
    fake.reply = format_reply;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    format_bytes = 513;
    ck_assert_int_eq(fp_ioctl(fp, DKFORMAT, 0, 0), EFORMAT);
    ck_assert_int_eq(read_one(fp), EFORMAT);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ deferred errors */

/* Reported by a read (0), the flush itself (1), a pass-through command (2): told by one flush. */
START_TEST(test_deferred_error_reaches_the_flush)
{
    static const int ops[] = {FAKE_RW, SCSI_SYNC_CACHE_10, SCSI_TEST_UNIT_READY};
    struct file *fp = fake_open(NULL);
    struct fake_fault *f;

    ck_assert_int_eq(write_one(fp), 0);
    f = fake_fault(ops[_i], 0, UINT64_MAX, FAKE_CHECK);
    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x0c;
    f->deferred = true;
    f->count = 1;
    if (_i == 0)
        ck_assert_int_eq(read_one(fp), 0);
    else if (_i == 2)
        ck_assert_int_eq(passthru(fp, SCSI_TEST_UNIT_READY, 32), EIO);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), EMEDIA);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    fake_close(fp);
}
END_TEST

/* Nobody flushes: the close tells, also when nothing was written since the last flush. */
START_TEST(test_deferred_error_reaches_the_close)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

    f->key = _i ? _i == 1 ? SCSI_KEY_RECOVERED : SCSI_KEY_ATTENTION : SCSI_KEY_HARDWARE;
    if (_i == 3)
        f->key = SCSI_KEY_ILLEGAL; /* of the write of then: the flush itself was in order */
    f->deferred = true;
    f->count = 1;
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_int_eq(fp_close(fp), _i == 1 || _i == 2 ? 0 : EIO);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_close(fp);
}
END_TEST

/* Many in a row: the command that happens to carry them is not to blame. For ever: it ends all the same. */
START_TEST(test_deferred_errors_in_a_row)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->deferred = true;
    f->count = _i ? 0 : 20;
    ck_assert_int_eq(read_one(fp), _i ? EIO : 0);
    fake.nfaults = 0;
    ck_assert_int_eq(fp_close(fp), EMEDIA);
}
END_TEST

/* ------------------------------------------------------------------ pass-through commands */

START_TEST(test_passthru_tag)
{
    static const uint8_t tags[] = {SC_NO_Q, SC_SIMPLE_Q, SC_HEAD_OF_Q, SC_ORDERED_Q};
    bool can = _i < 4;
    const struct scdisk_dds dds = {.no_tags = !can};
    struct file *fp = fake_open(&dds);

    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    pt.q_tag_msg = tags[_i % 4];
    ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), 0);
    ck_assert_uint_eq(fake.log[0].tag, can ? tags[_i] : SC_NO_Q);
    fake_close(fp);
}
END_TEST

/* What has no data leaves nothing to flush; what sends data may. */
START_TEST(test_passthru_and_dirty)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(passthru(fp, SCSI_VERIFY_10, 0), 0);
    if (_i) {
        pt.scsi_cdb[0] = SCSI_MODE_SELECT_6;
        pt.command_length = 6;
        pt.data_length = 16;
        ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), 0);
    }
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, _i ? 1 : 0);
}
END_TEST

/*
 * STOP UNIT after a write: the device wrote its cache out, the close does not ask a stopped disk to (0).
 * It failed (1), it was told not to flush (2), it was a START (3): the close flushes.
 */
START_TEST(test_close_of_a_stopped_disk)
{
    struct file *fp = fake_open(NULL);
    uint64_t before;

    ck_assert_int_eq(write_one(fp), 0);
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    pt.scsi_cdb[0] = SCSI_START_STOP_UNIT;
    pt.scsi_cdb[4] = _i == 2 ? 0x04 : _i == 3 ? 0x01 : 0;
    if (_i == 1)
        fake_fault(SCSI_START_STOP_UNIT, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_HARDWARE;
    ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), _i == 1 ? EIO : 0);
    if (_i == 0) {
        struct fake_fault *f = fake_fault(SCSI_SYNC_CACHE_10, 0, UINT64_MAX, FAKE_CHECK);

        f->key = SCSI_KEY_NOT_READY;
        f->asc = 0x04;
        f->ascq = 0x02;
    }
    before = kern_now_ns();
    fake_close(fp);
    ck_assert_uint_eq(kern_now_ns(), before);
    ck_assert_uint_eq(fake.syncs, _i ? 1 : 0);
}
END_TEST

/* Without autosense the caller fetches the sense himself, once; another command in between forgets it. */
START_TEST(test_passthru_fetches_its_sense)
{
    struct file *fp = fake_open(NULL);

    fake_fault(SCSI_VERIFY_10, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_MISCOMPARE;
    ck_assert_int_eq(passthru(fp, SCSI_VERIFY_10, 0), EIO);
    ck_assert_uint_eq(pt.scsi_bus_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(pt.sense_bytes, 0);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 4096, 0, 0, NULL), 0); /* others do not disturb it */
    if (_i == 1)
        ck_assert_int_eq(passthru(fp, SCSI_TEST_UNIT_READY, 0), 0);
    for (unsigned round = 0; round < 2; round++) {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.flags = SC_PT_READ;
        pt.command_length = 6;
        pt.scsi_cdb[0] = SCSI_REQUEST_SENSE;
        pt.scsi_cdb[4] = _i == 2 ? 14 : 252;
        pt.data_length = 252;
        ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), 0);
        ck_assert_uint_eq(pt.data[2], _i != 1 && round == 0 ? SCSI_KEY_MISCOMPARE : 0);
        if (round == 0)
            ck_assert_uint_eq(pt.residual, _i == 2 ? 238 : 220);
    }
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* What one opener left behind is not the next one's. */
START_TEST(test_kept_sense_ends_with_the_open)
{
    struct file *fp = fake_open(NULL);

    fake_fault(SCSI_VERIFY_10, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_MISCOMPARE;
    ck_assert_int_eq(passthru(fp, SCSI_VERIFY_10, 0), EIO);
    fake.nfaults = 0;
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_forget();
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.flags = SC_PT_READ;
    pt.command_length = 6;
    pt.scsi_cdb[0] = SCSI_REQUEST_SENSE;
    pt.scsi_cdb[4] = 18;
    pt.data_length = 18;
    ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), 0);
    ck_assert_uint_eq(fake.nlog, 1); /* the device is asked */
    ck_assert_uint_eq(pt.data[2], 0);
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_todo");
    TCase *t = tcase_create("reservation");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_attention_reserves_again, 0, 4);
    tcase_add_loop_test(t, test_mode_parameters_changed, 0, 3);
    tcase_add_loop_test(t, test_passthru_sees_the_reset, 0, 2);
    tcase_add_test(t, test_no_reservation_none_regained);
    tcase_add_loop_test(t, test_no_write_goes_out_unreserved, 0, 2);
    tcase_add_loop_test(t, test_open_beside_persistent_keys, 0, 2);
    tcase_add_test(t, test_sense_of_reserve_is_fetched);
    tcase_add_loop_test(t, test_sense_of_reserve_counts, 0, 2);
    tcase_add_test(t, test_medium_changes_before_reserve);
    tcase_add_test(t, test_capacity_never_told);
    tcase_add_test(t, test_sense_of_capacity_is_fetched);
    tcase_add_test(t, test_retried_flush_is_refused);
    tcase_add_test(t, test_persistent_keys_take_over);
    tcase_add_loop_test(t, test_reset_event_reserves, 0, 2);
    tcase_add_loop_test(t, test_reset_during_the_last_close, 0, 2);
    suite_add_tcase(s, t);
    t = tcase_create("capacity");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_capacity_changes, 0, 4);
    tcase_add_loop_test(t, test_medium_changes_under_requests, 0, 16);
    tcase_add_loop_test(t, test_medium_changed_before_open, 0, 2);
    tcase_add_test(t, test_capacity_grows_beyond_2t);
    tcase_add_test(t, test_capacity_not_told);
    tcase_add_test(t, test_block_size_changes);
    tcase_add_loop_test(t, test_block_size_changes_under_a_large_request, 0, 3);
    tcase_add_test(t, test_block_size_changes_beside_a_large_request);
    tcase_add_test(t, test_block_size_changes_under_a_gathered_write);
    tcase_add_loop_test(t, test_passthru_changes_capacity, 0, 4);
    tcase_add_loop_test(t, test_format_reads_all_limits_again, 0, 2);
    tcase_add_test(t, test_format_and_nonsense);
    suite_add_tcase(s, t);
    t = tcase_create("passthru");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_deferred_error_reaches_the_flush, 0, 3);
    tcase_add_loop_test(t, test_deferred_error_reaches_the_close, 0, 4);
    tcase_add_loop_test(t, test_deferred_errors_in_a_row, 0, 2);
    tcase_add_loop_test(t, test_passthru_tag, 0, 8);
    tcase_add_loop_test(t, test_passthru_and_dirty, 0, 2);
    tcase_add_loop_test(t, test_close_of_a_stopped_disk, 0, 4);
    tcase_add_loop_test(t, test_passthru_fetches_its_sense, 0, 3);
    tcase_add_test(t, test_kept_sense_ends_with_the_open);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
