/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_span_test.c - consolidation, fragments and the plug, by example.
 *
 * Does not contain: random request lists (dd_span_prop_test.c).
 */
#include "fake_ad.h"

static uint8_t *area;

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

/* ------------------------------------------------------------------ spans */

START_TEST(test_AIX_05_chain_of_a_span)
{
    struct fake_buf fb[32];
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 32; i++)
        fake_buf_init(&fb[i], false, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 32);
    ck_assert_uint_eq(fake_nrw(), 1);
    ck_assert(fake_rw(0)->spanned);
    ck_assert_uint_eq(fake_rw(0)->nbufs, 32);
    ck_assert_uint_eq(fake_rw(0)->bytes, 131072);
    ck_assert_ptr_eq(fake_rw(0)->addr, area);
    ck_assert_uint_eq(fake_stats().spanned_bufs, 32);
    /* A single buf has no chain. */
    fake_buf_init(&fb[0], true, 0, area, 4096);
    fake_submit(fb, 1);
    ck_assert(!fake_rw(1)->spanned);
    ck_assert_ptr_eq(fake_rw(1)->addr, area);
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_06_direction_and_options_split)
{
    struct fake_buf fb[6];
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 6; i++) {
        fake_buf_init(&fb[i], i >= 2 && i < 4, 8 * i, area + 4096 * i, 4096);
        fb[i].b.b_options = i == 5 ? SC_OPT_FUA : 0;
    }
    fake_submit(fb, 6);
    ck_assert_uint_eq(fake_nrw(), 4);
    ck_assert_uint_eq(fake_rw(0)->nbufs, 2);
    ck_assert_uint_eq(fake_rw(1)->nbufs, 2);
    ck_assert(fake_rw(1)->read);
    ck_assert_uint_eq(fake_rw(2)->nbufs, 1);
    ck_assert_uint_eq(fake_rw(3)->cdb[1], SCSI_CDB1_FUA);
    fake_close(fp);
}
END_TEST

/* Whole requests only: 24 KiB each into a maximum of 128 KiB is five, never five and a third. */
START_TEST(test_AIX_07_whole_requests)
{
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 8; i++)
        fake_buf_init(&fb[i], true, 48 * i, area + 24576 * i, 24576);
    fake_submit(fb, 8);
    ck_assert_uint_eq(fake_nrw(), 2);
    ck_assert_uint_eq(fake_rw(0)->nbufs, 5);
    ck_assert_uint_eq(fake_rw(1)->nbufs, 3);
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_08_span_total_within_max)
{
    const struct scdisk_dds dds = {.max_coalesce = _i ? 32768 : 0};
    struct fake_buf fb[64];
    struct file *fp = fake_open(&dds);
    unsigned per = _i ? 8 : 32;

    for (unsigned i = 0; i < 64; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 64);
    ck_assert_uint_eq(fake_nrw(), 64 / per);
    for (unsigned i = 0; i < 64 / per; i++)
        ck_assert_uint_eq(fake_rw(i)->nbufs, per);
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_08_gap_on_the_medium)
{
    struct fake_buf fb[3];
    struct file *fp = fake_open(NULL);

    fake_buf_init(&fb[0], true, 0, area, 4096);
    fake_buf_init(&fb[1], true, 9, area + 4096, 4096);
    fake_buf_init(&fb[2], true, 8, area + 8192, 4096);
    fake_submit(fb, 3);
    ck_assert_uint_eq(fake_nrw(), 3);
    fake_close(fp);
}
END_TEST

/* The start of the first and the end of the last are free, inner edges are not. */
START_TEST(test_AIX_09_page_rule)
{
    struct fake_buf fb[3];
    struct file *fp = fake_open(NULL);

    fake_buf_init(&fb[0], true, 0, area + 4096 - 1024, 1024);
    fake_buf_init(&fb[1], true, 2, area + 4096, 4096);
    fake_buf_init(&fb[2], true, 10, area + 12288, 512);
    fake_submit(fb, 3);
    ck_assert_uint_eq(fake_nrw(), 1);
    ck_assert_uint_eq(fake_rw(0)->nbufs, 3);
    fake_forget();
    /* The middle one ends inside a page. */
    fake_buf_init(&fb[0], true, 0, area, 4096);
    fake_buf_init(&fb[1], true, 8, area + 4096, 2048);
    fake_buf_init(&fb[2], true, 12, area + 8192, 4096);
    fake_submit(fb, 3);
    ck_assert_uint_eq(fake_nrw(), 2);
    ck_assert_uint_eq(fake_rw(0)->nbufs, 2);
    fake_forget();
    /* The last one starts inside a page. */
    fake_buf_init(&fb[0], true, 0, area, 4096);
    fake_buf_init(&fb[1], true, 8, area + 4096 + 512, 4096);
    fake_submit(fb, 2);
    ck_assert_uint_eq(fake_nrw(), 2);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_cut_request_goes_alone)
{
    struct fake_buf fb[2];
    struct file *fp = fake_open(NULL);

    fake_buf_init(&fb[0], true, 20480 - 12, area, 4096);
    fake_buf_init(&fb[1], true, 20480 - 4, area + 4096, 4096);
    fake_submit(fb, 2);
    ck_assert_uint_eq(fake_nrw(), 2);
    ck_assert_uint_eq(fb[1].b.b_resid, 2048);
    fake_close(fp);
}
END_TEST

START_TEST(test_random_requests_one_each)
{
    struct fake_buf fb[32];
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 32; i++)
        fake_buf_init(&fb[i], true, 8 * ((i * 37) % 64), area + 4096 * i, 4096);
    fake_submit(fb, 32);
    ck_assert_uint_eq(fake_nrw(), 32);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ the plug */

static unsigned resubmits_left;
static uint64_t resubmit_next;

static void resubmit(struct fake_buf *fb)
{
    if (resubmits_left == 0)
        return;
    resubmits_left--;
    fb->b.b_blkno = (int64_t)resubmit_next;
    resubmit_next += 8;
    fb->b.av_forw = NULL;
    ck_assert_int_eq(devstrat(&fb->b), 0);
}

/*
 * Sequential 4 KiB at depth 32, each buf sent again from its own completion. _i bit 0: the adapter completes
 * later, not inside strategy; bit 1: queue depth 1.
 */
START_TEST(test_resubmitting_caller_keeps_spans)
{
    const struct scdisk_dds dds = {.queue_depth = _i & 2 ? 1 : 64};
    struct fake_buf fb[32];
    struct file *fp = fake_open(&dds);
    struct sc_disk_stats st;

    fake.held = (_i & 1) != 0;
    resubmits_left = 960;
    resubmit_next = 32 * 8;
    for (unsigned i = 0; i < 32; i++) {
        fake_buf_init(&fb[i], false, 8 * i, area + 4096 * i, 4096);
        fb[i].then = resubmit;
    }
    fake_submit(fb, 32);
    fake_complete_all();
    st = fake_stats();
    ck_assert_uint_eq(st.completed, 992);
    ck_assert_uint_ge(st.completed / st.commands, 16);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* Submitted one by one to a disk of depth 1 that is busy: they wait together and go together. */
START_TEST(test_singly_submitted_span_behind_a_busy_disk)
{
    const struct scdisk_dds dds = {.queue_depth = 1};
    struct fake_buf fb[33];
    struct file *fp = fake_open(&dds);

    fake.held = true;
    for (unsigned i = 0; i < 33; i++) {
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    fake_complete_all();
    ck_assert_uint_eq(fake_nrw(), 2);
    ck_assert_uint_eq(fake_rw(1)->nbufs, 32);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ fragments */

START_TEST(test_AIX_11_fragments_contiguous)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    size_t bytes = 5 * 131072 + 512, at = 0;

    for (size_t i = 0; i < bytes; i++)
        area[512 + i] = (uint8_t)(i ^ (i >> 9));
    fake_buf_init(&fb, false, 100, area + 512, bytes);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.done, 1);
    ck_assert_uint_eq(fake_nrw(), 6);
    for (unsigned i = 0; i < 6; i++) {
        const struct fake_cmd *c = fake_rw(i);

        ck_assert(!c->spanned);
        ck_assert_uint_eq(c->lba, 100 + at / 512);
        ck_assert_ptr_eq(c->addr, area + 512 + at);
        ck_assert_uint_le(c->bytes, fake.max_transfer);
        at += c->bytes;
    }
    ck_assert_uint_eq(at, bytes);
    ck_assert_int_eq(memcmp(fake.mem + 100 * 512, area + 512, bytes), 0);
    ck_assert_uint_eq(fake_stats().fragments, 6);
    fake_close(fp);
}
END_TEST

START_TEST(test_fragments_in_flight_and_order)
{
    const struct scdisk_dds dds = {.queue_depth = 3};
    struct fake_buf fb[3];
    struct file *fp = fake_open(&dds);
    struct sc_disk_stats st;

    fake.held = true;
    fake_buf_init(&fb[0], true, 0, area, 8 * 131072);
    fake_buf_init(&fb[1], true, 4096, area, 4096);
    fake_buf_init(&fb[2], true, 8192, area, 2 * 131072);
    fake_submit(fb, 3);
    ck_assert_uint_eq(fake.active, 3);
    st = fake_stats();
    ck_assert_uint_eq(st.in_process, 1);
    ck_assert_uint_eq(st.pending, 2);
    fake_complete_all();
    ck_assert_uint_eq(fake_nrw(), 11);
    ck_assert_uint_eq(fake.active_max, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    ck_assert_uint_lt(fb[0].order, fb[1].order);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* The bad block in piece k of 6, with the pieces completing inline (_i < 6) or later. */
START_TEST(test_AIX_12_error_in_piece_k)
{
    const struct scdisk_dds dds = {.queue_depth = 4, .retries = 1};
    uint64_t bad = 256 * (uint64_t)(_i % 6) + 100;
    struct fake_buf fb;
    struct file *fp = fake_open(&dds);
    struct fake_fault *f = fake_fault(FAKE_RW, bad, bad, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    fake.held = _i >= 6;
    fake_buf_init(&fb, true, 0, area, 6 * 131072);
    fake_submit(&fb, 1);
    fake_complete_all();
    ck_assert_uint_eq(fb.done, 1);
    ck_assert(fb.b.b_flags & B_ERROR);
    ck_assert_int_eq(fb.b.b_error, EMEDIA);
    ck_assert_uint_eq(fb.b.b_resid, 6 * 131072 - bad * 512);
    ck_assert_uint_eq(fake_stats().errors, 1);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* Two pieces fail, the later one first: the earlier one's error counts. */
START_TEST(test_AIX_12_first_in_block_order)
{
    const struct scdisk_dds dds = {.queue_depth = 8, .retries = 1};
    struct fake_buf fb;
    struct file *fp = fake_open(&dds);
    struct sc_buf *sc[3];

    fake.held = true;
    fake_buf_init(&fb, true, 0, area, 3 * 131072);
    fake_submit(&fb, 1);
    for (unsigned i = 0; i < 3; i++) {
        sc[i] = fake.held_head;
        fake.held_head = (struct sc_buf *)(void *)sc[i]->bufstruct.av_forw;
        sc[i]->bufstruct.av_forw = NULL;
    }
    fake.held_tail = NULL;
    for (int i = 2; i >= 0; i--) {
        sc[i]->bufstruct.b_flags |= i ? B_ERROR : 0;
        sc[i]->bufstruct.b_error = i == 2 ? EINVAL : i ? EFAULT : 0;
        fake.active--;
        iodone(&sc[i]->bufstruct);
    }
    ck_assert_uint_eq(fb.done, 1);
    ck_assert_int_eq(fb.b.b_error, EFAULT);
    ck_assert_uint_eq(fb.b.b_resid, 2 * 131072);
    fake.held = false;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_span");
    TCase *t = tcase_create("span");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_AIX_05_chain_of_a_span);
    tcase_add_test(t, test_AIX_06_direction_and_options_split);
    tcase_add_test(t, test_AIX_07_whole_requests);
    tcase_add_loop_test(t, test_AIX_08_span_total_within_max, 0, 2);
    tcase_add_test(t, test_AIX_08_gap_on_the_medium);
    tcase_add_test(t, test_AIX_09_page_rule);
    tcase_add_test(t, test_cut_request_goes_alone);
    tcase_add_test(t, test_random_requests_one_each);
    suite_add_tcase(s, t);
    t = tcase_create("plug");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_resubmitting_caller_keeps_spans, 0, 4);
    tcase_add_test(t, test_singly_submitted_span_behind_a_busy_disk);
    suite_add_tcase(s, t);
    t = tcase_create("fragments");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_AIX_11_fragments_contiguous);
    tcase_add_test(t, test_fragments_in_flight_and_order);
    tcase_add_loop_test(t, test_AIX_12_error_in_piece_k, 0, 12);
    tcase_add_test(t, test_AIX_12_first_in_block_order);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
