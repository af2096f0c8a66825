/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_recover_test.c - errors: the tables, retries, delays, order, and who is blamed.
 *
 * Time is virtual: the deterministic host moves its clock to the next timer when a test asks for it.
 */
#include "fake_ad.h"

static uint8_t *area;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 2u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static struct fake_fault *check_fault(uint8_t key, uint8_t asc, uint8_t ascq)
{
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

    f->key = key;
    f->asc = asc;
    f->ascq = ascq;
    return f;
}

static unsigned count_op(uint8_t op)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nlog; i++)
        n += fake.log[i].cdb[0] == op && !(fake.log[i].flags & SC_Q_RESUME);
    return n;
}

/* ------------------------------------------------------------------ tables */

static const struct {
    uint8_t key, asc, ascq;
    int error;      /* when it fails for good */
    unsigned sends; /* with 3 retries and the fault for good */
} sense_rows[] = {
    {SCSI_KEY_RECOVERED, 0x17, 0, 0, 1},
    {SCSI_KEY_NO_SENSE, 0, 0, EIO, 4},
    {SCSI_KEY_NOT_READY, 0x04, 0x01, ENOTREADY, 4},
    {SCSI_KEY_NOT_READY, 0x3a, 0, ENOTREADY, 1},
    {SCSI_KEY_NOT_READY, 0x31, 0, EFORMAT, 1},
    {SCSI_KEY_MEDIUM, 0x11, 0, EMEDIA, 4},
    {SCSI_KEY_MEDIUM, 0x31, 0, EFORMAT, 1},
    {SCSI_KEY_HARDWARE, 0x44, 0, EIO, 4},
    {SCSI_KEY_ILLEGAL, 0x24, 0, EINVAL, 1},
    {SCSI_KEY_ATTENTION, 0x2a, 0x01, EIO, 7},
    {SCSI_KEY_ATTENTION, 0x29, 0, EIO, 7},
    {SCSI_KEY_ATTENTION, 0x2a, 0x03, EBUSY, 1},
    {SCSI_KEY_PROTECT, 0x27, 0, EWRPROTECT, 1},
    {SCSI_KEY_PROTECT, 0x27, 0x07, ENOSPC, 1},
    {SCSI_KEY_BLANK, 0, 0, EMEDIA, 1},
    {SCSI_KEY_ABORTED, 0x47, 0, EIO, 4},
    {SCSI_KEY_MISCOMPARE, 0x1d, 0, EIO, 1},
    {SCSI_KEY_OVERFLOW, 0, 0, EIO, 4},
};

START_TEST(test_sense_table)
{
    struct fake_buf fb;
    struct file *fp;
    struct fake_fault *f;

    fake.keeps = (_i & 1) != 0;
    fp = fake_open(NULL);
    f = check_fault(sense_rows[_i / 2].key, sense_rows[_i / 2].asc, sense_rows[_i / 2].ascq);
    f->descriptor = (_i & 1) != 0;
    f->no_info = true;
    fake_buf_init(&fb, true, 64, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_flags & B_ERROR ? fb.b.b_error : 0, sense_rows[_i / 2].error);
    ck_assert_uint_eq(f->hits, sense_rows[_i / 2].sends);
    ck_assert_uint_eq(fake_stats().errors, sense_rows[_i / 2].error != 0);
    ck_assert(!fake.halted && !fake.kept);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_19_status_analysis)
{
    static const struct {
        uint8_t validity, scsi, card;
        int error;
        unsigned flag;
    } rows[] = {
        {SC_SCSI_ERROR, SC_BUSY_STATUS, 0, EBUSY, DD_RULE_BUSY},
        {SC_SCSI_ERROR, SC_QUEUE_FULL, 0, EBUSY, DD_RULE_QFULL},
        {SC_SCSI_ERROR, SC_RESERVATION_CONFLICT, 0, EBUSY, 0},
        {SC_SCSI_ERROR, 0x40, 0, EIO, 0},
        {SC_ADAPTER_ERROR, 0, SC_HOST_IO_BUS_ERR, EIO, 0},
        {SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_FAULT, EIO, DD_RULE_BUSFAULT},
        {SC_ADAPTER_ERROR, 0, SC_CMD_TIMEOUT, ETIMEDOUT, 0},
        {SC_ADAPTER_ERROR, 0, SC_NO_DEVICE_RESPONSE, EIO, DD_RULE_BUSY | DD_RULE_ABSENT},
        {SC_ADAPTER_ERROR, 0, SC_ADAPTER_HDW_FAILURE, EIO, DD_RULE_ONCE},
        {SC_ADAPTER_ERROR, 0, SC_ADAPTER_SFW_FAILURE, EIO, DD_RULE_ONCE},
        {SC_ADAPTER_ERROR, 0, SC_FUSE_OR_TERMINAL_PWR, EIO, DD_RULE_ONCE},
        {SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_RESET, EIO, DD_RULE_RESET},
        {0, SC_CHECK_CONDITION, SC_CMD_TIMEOUT, EIO, 0}, /* neither claimed: neither read */
        {SC_ADAPTER_ERROR, SC_CHECK_CONDITION, SC_CMD_TIMEOUT, ETIMEDOUT, 0},
        {SC_SCSI_ERROR, SC_BUSY_STATUS, SC_CMD_TIMEOUT, EBUSY, DD_RULE_BUSY},
    };

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        struct sc_buf sc = {.status_validity = rows[i].validity,
                            .scsi_status = rows[i].scsi,
                            .general_card_status = rows[i].card};
        const struct dd_rule *rule = dd_status_rule(&sc);

        ck_assert_ptr_nonnull(rule);
        ck_assert_int_eq(rule->rule_error, rows[i].error);
        ck_assert_uint_eq(rule->rule_flags & rows[i].flag, rows[i].flag);
    }
    for (unsigned status = SC_CHECK_CONDITION; status <= SC_COMMAND_TERMINATED; status += 0x20) {
        struct sc_buf sc = {.status_validity = SC_SCSI_ERROR, .scsi_status = (uint8_t)status};

        ck_assert_ptr_null(dd_status_rule(&sc));
    }
}
END_TEST

/* ------------------------------------------------------------------ one command */

/* Each error passes after `hits` times; the request succeeds, nobody hears of it but the log. */
START_TEST(test_retry_then_success)
{
    static const struct {
        enum fake_action action;
        uint32_t code;
        uint8_t key;
        unsigned hits;
    } rows[] = {
        {FAKE_CHECK, 0, SCSI_KEY_ABORTED, 3},         {FAKE_CHECK, 0, SCSI_KEY_ATTENTION, 3},
        {FAKE_STATUS, SC_BUSY_STATUS, 0, 3},          {FAKE_STATUS, SC_QUEUE_FULL, 0, 40},
        {FAKE_ADAPTER, SC_CMD_TIMEOUT, 0, 1},         {FAKE_ADAPTER, SC_SCSI_BUS_RESET, 0, 3},
        {FAKE_ADAPTER, SC_ADAPTER_HDW_FAILURE, 0, 1}, {FAKE_ERRNO, ENXIO, 0, 20},
    };
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    struct err_rec rec[8];
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, rows[_i].action);

    f->key = rows[_i].key;
    f->code = rows[_i].code;
    f->count = rows[_i].hits;
    fake_buf_init(&fb, false, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fb.b.b_resid, 0);
    ck_assert_uint_eq(f->hits, rows[_i].hits);
    if (rows[_i].action != FAKE_ERRNO) {
        ck_assert_uint_eq(fake_stats().retries, rows[_i].hits);
        ck_assert_uint_ge(errlog_read(0, rec, 8), 1);
        ck_assert_str_eq(rec[0].er_resource, "hdisk0");
        ck_assert_uint_eq(rec[0].er_temp, 1);
        ck_assert_uint_eq(rec[0].er_low, 8);
        ck_assert_uint_eq(rec[0].er_end, 16); /* one past the last */
    }
    fake_close(fp);
}
END_TEST

/* Unit attentions that cost no retry are those in a row: another error between them begins a new row. */
START_TEST(test_attentions_count_in_a_row)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 7; i++) { /* each strikes once, in this order */
        struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

        f->key = i == 0 || i == 4 ? SCSI_KEY_ABORTED : SCSI_KEY_ATTENTION;
        f->asc = i == 0 || i == 4 ? 0x47 : 0x2a;
        f->ascq = i == 0 || i == 4 ? 0 : 0x01;
        f->count = 1;
    }
    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_ABORTED;
    fake.faults[7].count = 1;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fake_nrw(), 9);
    fake_close(fp);
}
END_TEST

/* And those of another command, that used the same structure before, are not its own. */
START_TEST(test_attentions_are_of_one_command)
{
    const struct scdisk_dds dds = {.queue_depth = 1, .pool = 1};
    struct fake_buf fb;
    struct file *fp = fake_open(&dds);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, 15, FAKE_CHECK);

    f->key = SCSI_KEY_ATTENTION;
    f->asc = 0x2a;
    f->ascq = 0x01;
    f->count = 3;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(f->hits, 3);
    f = fake_fault(FAKE_RW, 16, 23, FAKE_CHECK);
    *f = fake.faults[0];
    f->first = 16;
    f->last = 23;
    f->hits = 0;
    f = fake_fault(FAKE_RW, 16, 23, FAKE_CHECK);
    f->key = SCSI_KEY_ABORTED;
    f->count = 3;
    fake_buf_init(&fb, true, 16, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    fake_close(fp);
}
END_TEST

/* Sense data is told when all three bytes that name the error have arrived. */
START_TEST(test_log_of_short_sense)
{
    uint8_t sense[18] = {SCSI_SENSE_FIXED, 0, SCSI_KEY_MEDIUM, [7] = 10, [12] = 0x11, [13] = 0x04};
    struct file *fp = fake_open(NULL);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct err_rec rec;
    int old = disable_lock(INTIODONE, &un->un_lock);

    dd_log(un, un->un_free, ERRID_DISK_ERR1, false, EMEDIA, "rule", "did", sense, _i ? 14 : 13);
    unlock_enable(old, &un->un_lock);
    ck_assert_uint_eq(errlog_read(0, &rec, 1), 1);
    ck_assert_msg((strstr(rec.er_text, "sense 3/11/04") != NULL) == (_i != 0), "%s", rec.er_text);
    ck_assert_uint_eq(rec.er_detail_bytes, _i ? 36 : 35);
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_28_async_only_on_last_retry_after_bus_fault)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ADAPTER)->code = _i ? SC_HOST_IO_BUS_ERR : SC_SCSI_BUS_FAULT;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fake_nrw(), 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(fake_rw(i)->scsi_flags, i == 3 && !_i ? SC_ASYNC : 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_busy_waits_and_is_bounded)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    uint64_t before;

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS)->code = SC_BUSY_STATUS;
    before = kern_now_ns();
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.done, 0);
    ck_assert_uint_eq(shim_det_timers(), 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EBUSY);
    ck_assert_uint_ge(kern_now_ns() - before, UINT64_C(3000000000));
    while (shim_det_step())
        ;
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* As many as were out beside it may be out from now on. */
START_TEST(test_NB_16_queue_full_lowers_depth)
{
    const struct scdisk_dds dds = {.queue_depth = 8};
    struct fake_buf fb[8];
    struct file *fp = fake_open(&dds);
    struct sc_disk_info info;

    fake.held = true;
    for (unsigned i = 0; i < 8; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    fake.keeps = true;
    fake_fault(FAKE_RW, 0, 0, FAKE_STATUS)->code = SC_QUEUE_FULL;
    fake.faults[0].count = 1;
    while (fake_complete_one() || shim_det_step())
        dd_check_invariants(FAKE_DEV);
    fake_settle(fb, 8);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.queue_depth, 7);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* QUEUE FULL, more often than there are retries: the only one is there for what comes after. Never below one.
 */
START_TEST(test_NB_16_queue_full_costs_no_retry)
{
    const struct scdisk_dds dds = {.queue_depth = 2, .retries = 1};
    struct fake_buf fb[2];
    struct file *fp = fake_open(&dds);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, 0, FAKE_STATUS);

    f->code = SC_QUEUE_FULL;
    f->count = 5;
    f = check_fault(SCSI_KEY_ABORTED, 0x47, 0);
    f->last = 0;
    f->count = 1;
    fake.held = true;
    for (unsigned i = 0; i < 2; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    while (fake_complete_one() || shim_det_step())
        ck_assert_uint_ge(un->un_depth, 1);
    fake_settle(fb, 2);
    ck_assert_uint_eq(fake.faults[0].hits, 5);
    ck_assert_uint_eq(fake.faults[1].hits, 1);
    ck_assert_uint_eq(un->un_depth, 1);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* It grows again by one each DD_DEPTH_CLIMB good commands in a row, and QUEUE FULL begins a new row. */
START_TEST(test_depth_climbs_slowly)
{
    static const struct {
        unsigned reads, depth;
    } steps[] = {{DD_DEPTH_CLIMB / 2, 4}, {DD_DEPTH_CLIMB - 1, 4}, {1, 5}, {DD_DEPTH_CLIMB - 1, 5}, {1, 6}};
    const struct scdisk_dds dds = {.queue_depth = 8};
    struct file *fp = fake_open(&dds);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct fake_buf fb;

    un->un_depth = 4;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(steps); i++) {
        for (unsigned n = 0; n < steps[i].reads; n++) {
            fake_buf_init(&fb, true, 8, area, 512);
            if (i == 1 && n == 0) {
                fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS)->code = SC_QUEUE_FULL;
                fake.faults[0].count = 1;
            }
            fake_submit(&fb, 1);
            fake_settle(&fb, 1);
        }
        ck_assert_uint_eq(un->un_depth, steps[i].depth);
        fake_forget();
    }
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* A span is taken apart while others wait: they keep their place, and so does who comes then. */
START_TEST(test_split_span_before_others)
{
    const struct scdisk_dds dds = {.queue_depth = 1};
    struct fake_buf fb[4];
    struct file *fp = fake_open(&dds);
    struct fake_fault *f = fake_fault(FAKE_RW, 8, 8, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    f->no_info = true;
    f->count = 1;
    fake.held = true;
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, i < 2 ? 8 * i : 100 * i, area + 4096 * i, 4096);
    fake_submit(fb, 2);
    fake_submit(&fb[2], 1);
    ck_assert(fake_complete_one());
    fake_submit(&fb[3], 1);
    dd_check_invariants(FAKE_DEV);
    fake.held = false;
    fake_complete_all();
    fake_settle(fb, 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
        ck_assert_uint_eq(fb[i].order, i + 1);
    }
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* A buf is handed over again as it came back: its old error is not its new one. */
START_TEST(test_same_buf_again)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    check_fault(SCSI_KEY_PROTECT, 0x27, 0);
    fake_buf_init(&fb, false, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EWRPROTECT);
    fake.nfaults = 0;
    fb.done = 0;
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_int_eq(fb.b.b_error, 0);
    ck_assert_uint_eq(fb.b.b_resid, 0);
    fake_close(fp);
}
END_TEST

/* The adapter clears its queue: seven followers come back ENXIO and go again in order. */
START_TEST(test_followers_requeued_in_order)
{
    const struct scdisk_dds dds = {.queue_depth = 8};
    struct fake_buf fb[12];
    struct file *fp = fake_open(&dds);
    unsigned n;

    fake.held = true;
    for (unsigned i = 0; i < 12; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    check_fault(SCSI_KEY_ABORTED, 0, 0)->count = 1;
    fake_forget();
    ck_assert(fake_complete_one());
    /* Sense, then the failed one and its followers, oldest first, then what was pending. */
    ck_assert_uint_eq(fake.log[0].cdb[0], SCSI_REQUEST_SENSE);
    ck_assert_uint_eq(fake.log[0].flags & SC_RESUME, SC_RESUME);
    ck_assert_uint_eq(fake.log[0].tag, SC_NO_Q);
    ck_assert_uint_eq(fake_stats().requeued, 7);
    n = fake_nrw();
    ck_assert_uint_eq(n, 8);
    for (unsigned i = 0; i < n; i++)
        ck_assert_uint_eq(fake_rw(i)->lba, 100 * i);
    fake_complete_all();
    fake_settle(fb, 12);
    for (unsigned i = 0; i < 12; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* The adapter keeps its queue: one recovery command, then SC_Q_RESUME, which carries no command. */
START_TEST(test_kept_queue_is_resumed)
{
    struct fake_buf fb[4];
    struct file *fp;

    fake.keeps = true;
    fp = fake_open(NULL);
    fake.held = true;
    for (unsigned i = 0; i < 4; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    check_fault(SCSI_KEY_ABORTED, 0, 0)->count = 1;
    fake_forget();
    ck_assert(fake_complete_one());
    ck_assert_uint_eq(fake.log[0].cdb[0], SCSI_REQUEST_SENSE);
    ck_assert_uint_eq(fake.log[1].flags & SC_Q_RESUME, SC_Q_RESUME);
    ck_assert_uint_eq(fake.log[1].cdb_bytes, 0);
    ck_assert_uint_eq(fake.log[2].lba, 0);
    ck_assert_uint_eq(fake.log[2].flags, 0);
    ck_assert(!fake.kept);
    fake_complete_all();
    fake_settle(fb, 4);
    ck_assert_uint_eq(fake_stats().requeued, 0);
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_deferred_error_blames_nobody)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = check_fault(SCSI_KEY_MEDIUM, 0x0c, 0);

    f->deferred = true;
    f->descriptor = _i != 0;
    f->count = 1;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_int_eq(fp_close(fp), EMEDIA); /* and yet somebody is told */
}
END_TEST

START_TEST(test_NB_14_a_request_sense_that_fails_is_not_sensed)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    check_fault(SCSI_KEY_MEDIUM, 0x11, 0);
    fake_fault(SCSI_REQUEST_SENSE, 0, 0, FAKE_ADAPTER)->code = SC_CMD_TIMEOUT;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EIO);
    ck_assert_uint_eq(count_op(SCSI_REQUEST_SENSE), 4 * DD_SENSE_TRIES_MAX);
    for (unsigned i = 0; i < fake.nlog; i++)
        if (fake.log[i].cdb[0] == SCSI_REQUEST_SENSE)
            ck_assert_uint_eq(fake.log[i].flags & SC_RESUME, SC_RESUME);
    fake.nfaults = 0;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    fake_close(fp);
}
END_TEST

static unsigned resets_left;

/*
 * A reset hits the REQUEST SENSE: what had arrived of the old sense is in the buffer, the device has
 * forgotten it, and has to say that it was reset.
 */
static bool reset_at_sense(struct sc_buf *sc)
{
    static const uint8_t old[] = {SCSI_SENSE_FIXED, 0, SCSI_KEY_ILLEGAL, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0};

    if (sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_REQUEST_SENSE || resets_left == 0)
        return false;
    resets_left--;
    memcpy(sc->bufstruct.b_un.b_addr, old, sizeof(old));
    memset(fake.sense, 0, sizeof(fake.sense));
    fake.sense[0] = SCSI_SENSE_FIXED;
    fake.sense[2] = SCSI_KEY_ATTENTION;
    fake.sense[7] = 10;
    fake.sense[12] = 0x29;
    return false;
}

/*
 * With the old sense the request would fail with EINVAL at once. Its REQUEST SENSE was at the device (bus
 * reset) or in the adapter's queue (thrown back) when the reset came, once or twice: the request goes again.
 */
START_TEST(test_NB_15_reset_of_a_request_sense_retries_the_original)
{
    struct fake_buf fb;
    struct fake_fault *f;
    struct file *fp;

    fake.keeps = (_i & 1) != 0;
    fp = fake_open(NULL);
    check_fault(SCSI_KEY_ILLEGAL, 0x24, 0)->count = 1;
    f = fake_fault(SCSI_REQUEST_SENSE, 0, 0, _i & 2 ? FAKE_ERRNO : FAKE_ADAPTER);
    f->code = _i & 2 ? ENXIO : SC_SCSI_BUS_RESET;
    f->count = resets_left = _i & 4 ? 2 : 1;
    fake.hook = reset_at_sense;
    fake_forget();
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fb.done, 1);
    ck_assert_uint_eq(resets_left, 0);
    ck_assert_uint_eq(fake_nrw(), 2);
    fake.hook = NULL;
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_reset_reserves_again)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    unsigned before = fake.reserves;

    if (_i)
        check_fault(SCSI_KEY_ATTENTION, 0x29, 0)->count = 1;
    else
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ADAPTER)->code = SC_SCSI_BUS_RESET;
    fake.faults[0].count = 1;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fake.reserves, before + 1);
    fake_close(fp);
}
END_TEST

/*
 * The recovery command waits behind a command at the device (here: the fake holds it back); that one fails
 * with the queue kept, so the recovery command is in the kept queue. SC_Q_RESUME must set it free.
 */
static struct sc_buf *stuck_sense, *stuck_rw[2];

static bool stuck_hook(struct sc_buf *sc)
{
    if (sc->flags & SC_Q_RESUME) {
        struct sc_buf *sense = stuck_sense;

        fake.active--;
        ck_assert_uint_eq(sc->flags, SC_Q_RESUME | SC_RESUME);
        if (!sense) {
            sc->bufstruct.b_flags |= B_ERROR;
            sc->bufstruct.b_error = EINVAL;
        }
        iodone(&sc->bufstruct);
        stuck_sense = NULL;
        if (sense) {
            fake.active--;
            sense->bufstruct.b_resid = 0;
            iodone(&sense->bufstruct);
        }
        return true;
    }
    if (sc->scsi_command.scsi_cmd.scsi_op_code == SCSI_REQUEST_SENSE && !stuck_sense) {
        stuck_sense = sc;
        return true;
    }
    if (sc->scsi_command.scsi_cmd.scsi_op_code == SCSI_READ_6) {
        for (unsigned i = 0; i < 2; i++) {
            if (!stuck_rw[i]) {
                stuck_rw[i] = sc;
                return true;
            }
        }
    }
    return false;
}

static void stuck_fail(struct sc_buf *sc, bool kept)
{
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = EIO;
    sc->status_validity = SC_SCSI_ERROR;
    sc->scsi_status = SC_CHECK_CONDITION;
    sc->adap_q_status = kept ? SC_DID_NOT_CLEAR_Q : 0;
    fake.active--;
    iodone(&sc->bufstruct);
}

START_TEST(test_recovery_command_in_the_kept_queue)
{
    struct fake_buf fb[2];
    struct file *fp = fake_open(NULL);

    stuck_sense = stuck_rw[0] = stuck_rw[1] = NULL;
    fake.hook = stuck_hook;
    for (unsigned i = 0; i < 2; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area, 512);
        fake_submit(&fb[i], 1);
    }
    stuck_fail(stuck_rw[0], false);
    ck_assert_ptr_nonnull(stuck_sense);
    stuck_fail(stuck_rw[1], true);
    fake.hook = NULL;
    if (stuck_sense) { /* the second one's sense, held back by the hook as well */
        struct sc_buf *sense = stuck_sense;

        fake.active--;
        iodone(&sense->bufstruct);
    }
    fake_settle(fb, 2);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake_close(fp);
}
END_TEST

/* ENXIO again and again although nobody seems to have halted the queue: it is resumed, not given up. */
START_TEST(test_unknown_kept_queue_is_resumed)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    fake.halted = fake.kept = true;
    fake_buf_init(&fb, true, 0, area, 512);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_exact_residual_of_a_single)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 13, 13, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    f->descriptor = _i & 1;
    f->no_info = (_i & 2) != 0;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EMEDIA);
    ck_assert_uint_eq(fb.b.b_resid, _i & 2 ? 4096 : 3 * 512);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* INFORMATION outside the command is not believed. */
START_TEST(test_nonsense_information)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 13, 13, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->info_set = true;
    f->info = _i ? 16 : 7;
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_resid, 4096);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ spans */

/* The bad block in buf k of 8: it alone fails, with the exact residual; _i & 8: the device gives no LBA. */
START_TEST(test_AIX_04_span_blames_one)
{
    unsigned k = (unsigned)_i % 8;
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 8 * k + 3, 8 * k + 3, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    f->no_info = (_i & 8) != 0;
    fake.keeps = (_i & 16) != 0;
    for (unsigned i = 0; i < 8; i++) {
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
        memset(fake.mem + 4096 * i, (int)(i + 1), 4096);
    }
    fake_submit(fb, 8);
    fake_settle(fb, 8);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_int_eq(fb[i].b.b_flags & B_ERROR ? fb[i].b.b_error : 0, i == k ? EMEDIA : 0);
        ck_assert_uint_eq(fb[i].b.b_resid, i == k ? (_i & 8 ? 4096 : 5 * 512) : 0);
    }
    ck_assert_uint_eq(fake_stats().errors, 1);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_span_of_a_protected_disk_fails_at_once)
{
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);

    check_fault(SCSI_KEY_PROTECT, 0x27, 0);
    for (unsigned i = 0; i < 8; i++)
        fake_buf_init(&fb[i], false, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 8);
    fake_settle(fb, 8);
    ck_assert_uint_eq(fake_nrw(), 1);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_int_eq(fb[i].b.b_error, EWRPROTECT);
        ck_assert_uint_eq(fb[i].b.b_resid, 4096);
    }
    ck_assert_uint_eq(fake_stats().errors, 8);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Several commands out, all of them fail, in both flavours: nothing is lost, everything is told once. */
START_TEST(test_many_fail_together)
{
    struct fake_buf fb[16];
    const struct scdisk_dds dds = {.queue_depth = 16};
    struct file *fp;
    struct sc_disk_stats st;

    fake.keeps = _i != 0;
    fp = fake_open(&dds);
    fake.held = true;
    for (unsigned i = 0; i < 16; i++) {
        fake_buf_init(&fb[i], i & 1, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    check_fault(SCSI_KEY_HARDWARE, 0x44, 0);
    while (fake_complete_one() || shim_det_step())
        dd_check_invariants(FAKE_DEV);
    st = fake_stats();
    ck_assert_uint_eq(st.completed, 16);
    ck_assert_uint_eq(st.errors, 16);
    ck_assert_uint_eq(st.recovering + st.pending + st.in_process, 0);
    for (unsigned i = 0; i < 16; i++) {
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_int_eq(fb[i].b.b_error, EIO);
    }
    fake.nfaults = 0;
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* Random errors of all kinds against random requests: conservation after every step. */
START_TEST(test_AIX_01_conservation_under_random_errors)
{
    static struct fake_buf fb[64];
    const struct scdisk_dds dds = {.queue_depth = 6};
    struct file *fp;
    struct sc_disk_stats st;

    shim_det_tunable_set("dd_dead_ms", 0); /* two timeouts kill it; close wants to flush */

    fake.keeps = (_i & 1) != 0;
    for (int i = 0; i < _i; i++)
        (void)shim_det_random();
    fp = fake_open(&dds);
    fake.held = true;
    for (unsigned i = 0; i < 6; i++) {
        struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, (enum fake_action)(shim_det_random() % 3));
        static const uint8_t statuses[] = {SC_BUSY_STATUS, SC_QUEUE_FULL, SC_RESERVATION_CONFLICT};

        f->code = f->action == FAKE_STATUS ? statuses[shim_det_random() % 3] : 1u << shim_det_random() % 8;
        f->key = (uint8_t)(shim_det_random() % 16);
        f->asc = (uint8_t)(shim_det_random() % 2 ? 0x29 : 0x11);
        f->skip = (unsigned)(shim_det_random() % 20);
        f->count = 1 + (unsigned)(shim_det_random() % 5);
        f->descriptor = shim_det_random() % 2;
    }
    for (unsigned i = 0; i < 64; i++) {
        size_t bytes = shim_det_random() % 8 ? 4096 : 300 * 1024;

        fake_buf_init(&fb[i], shim_det_random() % 2, 8 * i, area + 4096 * (i % 32), bytes);
        if (i % 7 == 6)
            fake_submit(&fb[i - 6], 7);
        dd_check_invariants(FAKE_DEV);
    }
    fake_submit(&fb[63], 1);
    while (fake_complete_one() || shim_det_step())
        dd_check_invariants(FAKE_DEV);
    st = fake_stats();
    ck_assert_uint_eq(st.bufs, 64);
    ck_assert_uint_eq(st.completed, 64);
    for (unsigned i = 0; i < 64; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    fake.nfaults = 0;
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* Timers cannot be had: delays shrink to nothing, requests still end. */
START_TEST(test_NB_02_no_timer_no_hang)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS)->code = SC_BUSY_STATUS;
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    fake_buf_init(&fb, true, 8, area, 4096);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.done, 1);
    ck_assert_int_eq(fb.b.b_error, EBUSY);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_recover");
    TCase *t = tcase_create("tables");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_sense_table, 0, 2 * (int)SC_ARRAY_SIZE(sense_rows));
    tcase_add_test(t, test_AIX_19_status_analysis);
    suite_add_tcase(s, t);
    t = tcase_create("single");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_retry_then_success, 0, 8);
    tcase_add_test(t, test_attentions_count_in_a_row);
    tcase_add_test(t, test_attentions_are_of_one_command);
    tcase_add_loop_test(t, test_log_of_short_sense, 0, 2);
    tcase_add_loop_test(t, test_AIX_28_async_only_on_last_retry_after_bus_fault, 0, 2);
    tcase_add_test(t, test_busy_waits_and_is_bounded);
    tcase_add_test(t, test_NB_16_queue_full_lowers_depth);
    tcase_add_test(t, test_NB_16_queue_full_costs_no_retry);
    tcase_add_test(t, test_depth_climbs_slowly);
    tcase_add_test(t, test_split_span_before_others);
    tcase_add_test(t, test_same_buf_again);
    tcase_add_test(t, test_followers_requeued_in_order);
    tcase_add_test(t, test_kept_queue_is_resumed);
    tcase_add_loop_test(t, test_deferred_error_blames_nobody, 0, 2);
    tcase_add_test(t, test_NB_14_a_request_sense_that_fails_is_not_sensed);
    tcase_add_loop_test(t, test_NB_15_reset_of_a_request_sense_retries_the_original, 0, 8);
    tcase_add_loop_test(t, test_reset_reserves_again, 0, 2);
    tcase_add_test(t, test_recovery_command_in_the_kept_queue);
    tcase_add_test(t, test_unknown_kept_queue_is_resumed);
    tcase_add_loop_test(t, test_exact_residual_of_a_single, 0, 4);
    tcase_add_loop_test(t, test_nonsense_information, 0, 2);
    tcase_add_test(t, test_NB_02_no_timer_no_hang);
    suite_add_tcase(s, t);
    t = tcase_create("span");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_AIX_04_span_blames_one, 0, 32);
    tcase_add_test(t, test_span_of_a_protected_disk_fails_at_once);
    tcase_add_loop_test(t, test_many_fail_together, 0, 2);
    tcase_add_loop_test(t, test_AIX_01_conservation_under_random_errors, 0, 100);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
