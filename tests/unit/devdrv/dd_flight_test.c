/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_flight_test.c - the flight recorder: the story of a recovery step by step, its times, and that every
 * story has an end, however its requests ended.
 */
#include "fake_ad.h"

#define MS 1000000u

static uint8_t *area;
static struct sc_flight flight;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 4u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

/* What it holds now; returns the number of the newest. */
static uint64_t look(struct file *fp)
{
    memset(&flight, 0xee, sizeof(flight));
    ck_assert_int_eq(fp_ioctl(fp, DKFLIGHT, (intptr_t)&flight, 0), 0);
    return flight.seq;
}

static const struct sc_flight_rec *record(uint64_t seq)
{
    const struct sc_flight_rec *r = &flight.rec[(seq - 1) % SC_FLIGHT_RECORDS];

    ck_assert_uint_eq(r->seq, seq);
    return r;
}

static struct fake_fault *medium_error(uint64_t first, uint64_t last)
{
    struct fake_fault *f = fake_fault(FAKE_RW, first, last, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    return f;
}

START_TEST(test_nothing_is_written_while_all_is_well)
{
    struct file *fp = fake_open(NULL);
    struct fake_buf fb[8];

    ck_assert_uint_eq(look(fp), 0);
    ck_assert_uint_eq(flight.rec[0].seq, 0);
    for (unsigned i = 0; i < 8; i++)
        fake_buf_init(&fb[i], i % 2 == 0, i * 64, area + i * 4096, 4096);
    fake_submit(fb, 8);
    fake_settle(fb, 8);
    ck_assert_uint_eq(look(fp), 0);
    fake_close(fp);
}
END_TEST

/* Four requests in one command, a bad block in the second: what an operator is told. */
START_TEST(test_a_bad_block_in_a_span)
{
    struct file *fp = fake_open(NULL);
    struct fake_buf fb[4];
    const struct sc_flight_rec *r;

    medium_error(1011, 1011)->info_set = false;
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 1000 + i * 8, area + i * 4096, 4096);
    fake_submit(fb, 4);
    fake_settle(fb, 4);
    ck_assert_uint_eq(look(fp), 6);
    r = record(1);
    ck_assert_int_eq(r->what, SC_FLIGHT_SEEN);
    ck_assert_uint_eq(r->lba, 1000);
    ck_assert_uint_eq(r->blocks, 32);
    ck_assert_uint_eq(r->requests, 4);
    ck_assert_uint_eq(r->read, 1);
    ck_assert_uint_eq(r->opcode, fake_rw(0)->cdb[0]);
    ck_assert_uint_eq(r->status_validity, SC_SCSI_ERROR);
    ck_assert_uint_eq(r->scsi_status, SC_CHECK_CONDITION);
    ck_assert_uint_ge(r->sense_bytes, 14);
    ck_assert_uint_eq(r->sense_key << 16 | r->asc << 8 | r->ascq, 0x031100);
    ck_assert_str_eq(r->rule, "medium error");
    ck_assert_str_eq(r->did, "span split");
    ck_assert_uint_eq(r->error, 0); /* nobody has got one yet */
    for (unsigned i = 2; i <= 5; i++) {
        r = record(i);
        ck_assert_uint_eq(r->lba, 1008);
        ck_assert_uint_eq(r->blocks, 8);
        ck_assert_uint_eq(r->requests, 1);
        ck_assert_uint_eq(r->episode, record(1)->episode);
        ck_assert_str_eq(r->did, i < 5 ? "retried" : "failed");
        ck_assert_uint_eq(r->error, i < 5 ? 0 : EMEDIA);
    }
    r = record(6);
    ck_assert_int_eq(r->what, SC_FLIGHT_OVER);
    ck_assert_uint_eq(r->episode, record(1)->episode);
    ck_assert_uint_eq(r->lba, 1000);
    ck_assert_uint_eq(r->blocks, 32);
    ck_assert_uint_eq(r->requests, 4);
    ck_assert_uint_eq(r->good, 3);
    ck_assert_uint_eq(r->failed, 1);
    ck_assert_uint_eq(r->retries, 3);
    ck_assert_uint_eq(r->error, EMEDIA);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Two of a span fail, each in its own way: the record of the end has the first error. */
START_TEST(test_the_first_error)
{
    struct file *fp = fake_open(NULL);
    struct fake_buf fb[4];
    const struct sc_flight_rec *r;

    (void)medium_error(1011, 1011);
    medium_error(1027, 1027)->key = SCSI_KEY_HARDWARE;
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 1000 + i * 8, area + i * 4096, 4096);
    fake_submit(fb, 4);
    fake_settle(fb, 4);
    ck_assert_int_eq(fb[1].b.b_error, EMEDIA);
    ck_assert_int_eq(fb[3].b.b_error, EIO);
    r = record(look(fp));
    ck_assert_int_eq(r->what, SC_FLIGHT_OVER);
    ck_assert_uint_eq(r->failed, 2);
    ck_assert_uint_eq(r->error, EMEDIA);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Times are exact: the first BUSY waits 1 ms, the second another, and the end comes when the last is good. */
START_TEST(test_how_long_it_took)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS);
    const struct sc_flight_rec *r;
    struct fake_buf fb;

    f->code = SC_BUSY_STATUS;
    f->count = 2;
    fake_buf_init(&fb, false, 64, area, 8192);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(look(fp), 3);
    ck_assert_str_eq(record(1)->rule, "busy");
    ck_assert_uint_eq(record(1)->took_ns, 0);
    ck_assert_uint_eq(record(1)->sense_bytes, 0);
    ck_assert_uint_eq(record(1)->read, 0);
    r = record(3);
    ck_assert_int_eq(r->what, SC_FLIGHT_OVER);
    ck_assert_uint_eq(r->when_ns - record(1)->when_ns, r->took_ns);
    ck_assert_uint_ge(r->took_ns, 2 * MS);
    ck_assert_uint_le(r->took_ns, 4 * MS);
    ck_assert_uint_gt(record(2)->when_ns, record(1)->when_ns);
    ck_assert_uint_eq(r->requests, 1);
    ck_assert_uint_eq(r->good, 1);
    ck_assert_uint_eq(r->failed, 0);
    ck_assert_uint_eq(r->retries, 2);
    ck_assert_uint_eq(r->error, 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Whoever takes part is told the end, by whatever way its request ends. */
START_TEST(test_every_story_ends)
{
    static const struct {
        bool removable;
        size_t bytes; /* of each of 3 bufs */
        uint8_t key, asc;
        unsigned count;
        unsigned good, failed;
    } ways[] = {
        {false, 4096, SCSI_KEY_PROTECT, 0x27, 0, 0, 3},   /* all at once */
        {false, 4096, SCSI_KEY_MEDIUM, 0x11, 2, 3, 0},    /* taken apart, then good */
        {false, 1048576, SCSI_KEY_MEDIUM, 0x11, 1, 1, 0}, /* a piece of a large one, sent again */
        {false, 1048576, SCSI_KEY_MEDIUM, 0x11, 0, 0, 3}, /* pieces that fail */
        {true, 4096, SCSI_KEY_ATTENTION, 0x28, 0, 0, 3},  /* another medium: all that waits is refused */
        {false, 4096, SCSI_KEY_RECOVERED, 0x17, 1, 3, 0}, /* it was good */
        {false, 1048576, SCSI_KEY_RECOVERED, 0x17, 1, 1, 0},
    };
    const struct scdisk_dds dds = {.max_coalesce = 1u << 20};
    struct file *fp;
    struct fake_fault *f;
    struct fake_buf fb[3];
    const struct sc_flight_rec *r;

    fake.removable = ways[_i].removable;
    fake.max_transfer = 65536;
    fp = fake_open(&dds);
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);
    f->key = ways[_i].key;
    f->asc = ways[_i].asc;
    f->count = ways[_i].count;
    f->no_info = true;
    for (unsigned i = 0; i < 3; i++)
        fake_buf_init(&fb[i], true, i * (ways[_i].bytes / 512), area + i * ways[_i].bytes, ways[_i].bytes);
    fake_submit(fb, 3);
    fake_settle(fb, 3);
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_flying.fl_left, 0);
    r = record(look(fp));
    ck_assert_int_eq(r->what, SC_FLIGHT_OVER);
    if (ways[_i].count != 0 || ways[_i].bytes == 4096) {
        ck_assert_uint_eq(r->good, ways[_i].good);
        ck_assert_uint_eq(r->failed, ways[_i].failed);
    }
    ck_assert_uint_eq(r->good + r->failed, r->requests);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* The oldest go; what is left is the newest, in order, each story with a number of its own. */
START_TEST(test_the_last_are_kept)
{
    struct file *fp = fake_open(NULL);
    uint64_t seq;

    for (unsigned i = 0; i < 40; i++) {
        struct fake_buf fb;

        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS)->code = SC_RESERVATION_CONFLICT;
        fake_buf_init(&fb, true, 8 * i, area, 4096);
        fake_submit(&fb, 1);
        fake_settle(&fb, 1);
        ck_assert_int_eq(fb.b.b_error, EBUSY);
        fake.nfaults = 0;
    }
    seq = look(fp);
    ck_assert_uint_eq(seq, 80);
    for (uint64_t n = seq - SC_FLIGHT_RECORDS + 1; n <= seq; n++) {
        ck_assert_int_eq(record(n)->what, n % 2 ? SC_FLIGHT_SEEN : SC_FLIGHT_OVER);
        ck_assert_uint_eq(record(n)->lba, 8 * ((n - 1) / 2));
        ck_assert_uint_eq(record(n)->episode, 1 + (n - 1) / 2);
    }
    /* It outlives a close. */
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    ck_assert_uint_eq(look(fp), 80);
    fake_close(fp);
}
END_TEST

static Suite *flight_suite(void)
{
    Suite *s = suite_create("dd_flight");
    TCase *t = tcase_create("flight");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_nothing_is_written_while_all_is_well);
    tcase_add_test(t, test_a_bad_block_in_a_span);
    tcase_add_test(t, test_the_first_error);
    tcase_add_test(t, test_how_long_it_took);
    tcase_add_loop_test(t, test_every_story_ends, 0, 7);
    tcase_add_test(t, test_the_last_are_kept);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(flight_suite(), argc, argv); }
