/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_ready_test.c - a disk that is not ready while it is in use is started and waited for; one that drops its
 * own queue on CHECK CONDITION.
 */
#include "fake_ad.h"

#define SECOND UINT64_C(1000000000)

static uint8_t *area;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 16);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static struct fake_fault *not_ready(int opcode, uint8_t asc, uint8_t ascq, unsigned count)
{
    struct fake_fault *f = fake_fault(opcode, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_NOT_READY;
    f->asc = asc;
    f->ascq = ascq;
    f->count = count;
    f->no_info = true;
    return f;
}

static unsigned count_op(uint8_t op)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nlog; i++)
        n += fake.log[i].cdb[0] == op && fake.log[i].cdb_bytes > 0;
    return n;
}

static int read_one(struct file *fp) { return fake_rdwr(fp, true, area, 512, 0, 0, NULL); }

/* ------------------------------------------------------------------ started and waited for */

/* "Initializing command required": START UNIT with its own time, and the read is good. */
START_TEST(test_started)
{
    const struct scdisk_dds dds = {.start_timeout = 17};
    struct file *fp = fake_open(&dds);
    bool timed = false;

    (void)not_ready(FAKE_RW, 0x04, 0x02, 1);
    fake_forget();
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_START_STOP_UNIT), 1);
    ck_assert_uint_eq(count_op(SCSI_TEST_UNIT_READY), 1);
    for (unsigned i = 0; i < fake.nlog; i++)
        timed |= fake.log[i].cdb[0] == SCSI_START_STOP_UNIT && fake.log[i].cdb[4] == 1 &&
                 fake.log[i].timeout == 17;
    ck_assert(timed);
    ck_assert_uint_eq(fake_stats().retries, 1);
    fake_close(fp);
}
END_TEST

/* Each time it has stopped it is started: that it was started before says nothing. */
START_TEST(test_started_each_time)
{
    struct file *fp = fake_open(NULL);

    fake_forget();
    for (unsigned i = 1; i <= 3; i++) {
        fake.nfaults = 0;
        (void)not_ready(FAKE_RW, 0x04, 0x02, 1);
        ck_assert_int_eq(read_one(fp), 0);
        ck_assert_uint_eq(count_op(SCSI_START_STOP_UNIT), i);
    }
    fake_close(fp);
}
END_TEST

/* It takes its time: asked once a second, the read costs one retry however long it takes. */
START_TEST(test_waited_for)
{
    struct file *fp = fake_open(NULL);
    uint64_t began;

    (void)not_ready(FAKE_RW, 0x04, _i ? 0x02 : 0x01, 1);
    (void)not_ready(SCSI_TEST_UNIT_READY, 0x04, 0x01, 20);
    fake_forget();
    began = kern_now_ns();
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_ge(kern_now_ns() - began, 20 * SECOND);
    ck_assert_uint_lt(kern_now_ns() - began, 23 * SECOND);
    ck_assert_uint_eq(count_op(SCSI_TEST_UNIT_READY), 21);
    ck_assert_uint_eq(count_op(SCSI_START_STOP_UNIT), _i != 0);
    ck_assert_uint_eq(fake_stats().retries, 1);
    fake_close(fp);
}
END_TEST

/* Never ready: start_timeout, then everybody who waits fails, and the disk stays usable. */
START_TEST(test_never_ready)
{
    static struct fake_buf fb[3];
    const struct scdisk_dds dds = {.start_timeout = 10};
    struct file *fp = fake_open(&dds);
    uint64_t began = kern_now_ns();

    (void)not_ready(FAKE_RW, 0x04, 0x01, 0);
    (void)not_ready(SCSI_TEST_UNIT_READY, 0x04, 0x01, 0);
    for (unsigned i = 0; i < 3; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
        fake_submit(&fb[i], 1);
    }
    fake_settle(fb, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(fb[i].b.b_flags & B_ERROR && fb[i].b.b_error == ENOTREADY);
    ck_assert_uint_ge(kern_now_ns() - began, 10 * SECOND);
    ck_assert_uint_lt(kern_now_ns() - began, 13 * SECOND);
    fake.nfaults = 0;
    ck_assert_int_eq(read_one(fp), 0);
    fake_close(fp);
}
END_TEST

/* Started in vain, without a medium, or formatting: no waiting, and one START at most. */
START_TEST(test_not_to_be_had)
{
    static const uint8_t asc[][2] = {{0x04, 0x02}, {0x3a, 0x00}, {0x04, 0x04}};
    struct file *fp = fake_open(NULL);
    uint64_t began = kern_now_ns();

    (void)not_ready(FAKE_RW, 0x04, 0x02, 0);
    (void)not_ready(SCSI_TEST_UNIT_READY, asc[_i][0], asc[_i][1], 0);
    fake_forget();
    ck_assert_int_eq(read_one(fp), ENOTREADY);
    ck_assert_uint_eq(count_op(SCSI_START_STOP_UNIT), 1);
    ck_assert_uint_lt(kern_now_ns() - began, 5 * SECOND);
    fake.nfaults = 0;
    ck_assert_int_eq(read_one(fp), 0);
    fake_close(fp);
}
END_TEST

/* START UNIT fails; an attention meets the question; TEST UNIT READY is busy for a while: the read is good.
 */
START_TEST(test_odd_answers)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f;

    (void)not_ready(FAKE_RW, 0x04, 0x02, 1);
    if (_i == 0) {
        f = not_ready(SCSI_START_STOP_UNIT, 0x20, 0, 1);
        f->key = SCSI_KEY_ILLEGAL;
    } else if (_i == 1) {
        f = not_ready(SCSI_TEST_UNIT_READY, 0x29, 0, 1);
        f->key = SCSI_KEY_ATTENTION;
    } else {
        f = fake_fault(SCSI_TEST_UNIT_READY, 0, UINT64_MAX, FAKE_STATUS);
        f->code = SC_BUSY_STATUS;
        f->count = _i == 2 ? 3 : 0;
    }
    ck_assert_int_eq(read_one(fp), 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Ready to who asks, becoming ready to who reads: that ends, too. */
START_TEST(test_says_both)
{
    struct file *fp = fake_open(NULL);

    (void)not_ready(FAKE_RW, 0x04, _i ? 0x02 : 0x01, 0);
    ck_assert_int_eq(read_one(fp), ENOTREADY);
    ck_assert_uint_eq(fake.faults[0].hits, 1 + DD_RETRIES);
    fake_close(fp);
}
END_TEST

/* Who stops it with a pass-through command wants it stopped. */
START_TEST(test_passthru_starts_nothing)
{
    static struct sc_passthru pt;
    struct file *fp = fake_open(NULL);

    (void)not_ready(SCSI_TEST_UNIT_READY, 0x04, 0x02, 1);
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    fake_forget();
    ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), EIO);
    ck_assert_int_eq(read_one(fp), 0);
    ck_assert_uint_eq(count_op(SCSI_START_STOP_UNIT), 0);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ clr_q, q_err */

static unsigned resumes, clears;

static bool count_queue(struct sc_buf *sc)
{
    resumes += (sc->flags & SC_Q_RESUME) != 0;
    clears += (sc->flags & SC_Q_CLR) != 0;
    return false;
}

static uint8_t control[16];

static size_t with_control_page(const uint8_t *cdb, uint8_t *d, size_t n)
{
    memset(d, 0, n);
    if (cdb[0] == SCSI_REQUEST_SENSE) {
        memcpy(d, fake.sense, 18);
        return 18;
    }
    if (cdb[0] == SCSI_INQUIRY && !(cdb[1] & SCSI_INQUIRY_EVPD)) {
        d[4] = 31;
        d[7] = 2;
        return 36;
    }
    if (cdb[0] == SCSI_READ_CAPACITY_10) {
        scsi_put32(d, 20479);
        scsi_put32(d + 4, 512);
        return 8;
    }
    if (cdb[0] != SCSI_MODE_SENSE_6)
        return 0;
    d[0] = 15;
    if ((cdb[2] & 0x3f) == 0x0a)
        memcpy(d + 4, control, 12);
    return 16;
}

static const struct {
    struct scdisk_dds dds;
    int qerr; /* -1: no such page */
    bool clears;
} drops[] = {{{.clr_q = 0}, -1, false}, {{.clr_q = 1}, -1, true},    {{.clr_q = 0}, 0, false},
             {{.clr_q = 0}, 1, true},   {{.no_q_err = 1}, 1, false}, {{.clr_q = 0}, 3, true}};

/* What the adapter driver has kept is cleared, not resumed, when the device does not have it any more. */
START_TEST(test_clears_its_queue)
{
    static struct fake_buf fb[3];
    struct fake_fault *f;
    struct file *fp;

    memset(control, 0, sizeof(control));
    if (drops[_i].qerr >= 0) {
        control[0] = 0x0a;
        control[1] = 10;
        control[3] = (uint8_t)(drops[_i].qerr << 1);
    }
    fake.tags = fake.keeps = true;
    fake.reply = with_control_page;
    fp = fake_open(&drops[_i].dds);
    fake.held = true;
    f = not_ready(FAKE_RW, 0x29, 0, 1);
    f->key = SCSI_KEY_ATTENTION;
    for (unsigned i = 0; i < 3; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
        fake_submit(&fb[i], 1);
    }
    resumes = clears = 0;
    fake.hook = count_queue;
    ck_assert(fake_complete_one());
    fake_complete_all();
    fake_settle(fb, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(!(fb[i].b.b_flags & B_ERROR));
    ck_assert_uint_eq(clears, drops[_i].clears);
    ck_assert_uint_eq(resumes, !drops[_i].clears);
    fake.hook = NULL;
    fake.held = false;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_ready");
    TCase *t = tcase_create("ready");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_started);
    tcase_add_test(t, test_started_each_time);
    tcase_add_loop_test(t, test_waited_for, 0, 2);
    tcase_add_test(t, test_never_ready);
    tcase_add_loop_test(t, test_not_to_be_had, 0, 3);
    tcase_add_loop_test(t, test_odd_answers, 0, 4);
    tcase_add_loop_test(t, test_says_both, 0, 2);
    tcase_add_test(t, test_passthru_starts_nothing);
    tcase_add_loop_test(t, test_clears_its_queue, 0, (int)SC_ARRAY_SIZE(drops));
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
