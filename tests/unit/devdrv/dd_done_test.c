/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_done_test.c - commands that an adapter driver gives back in a list are released in one run of the loop.
 *
 * Does not contain: errors (dd_recover_test.c), short transfers (dd_resid_test.c).
 */
#include "fake_ad.h"

#define N 8u

static uint8_t *area;
static struct fake_buf fb[N + 1];
static struct file *fp;

/* N commands are at the adapter. */
static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    ck_assert_ptr_nonnull(area);
    fp = fake_open(NULL);
    for (unsigned i = 0; i <= N; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
    fake.held = true;
    fake_submit(fb, N);
    ck_assert_uint_eq(fake_nheld(), N);
}

static void teardown(void)
{
    fake.held = false;
    fake_complete_all();
    fake_settle(fb, N);
    fake_close(fp);
    free(area);
    fake_end();
}

static size_t active(void) { return dd_unit_of(FAKE_DEV)->un_active; }

/* The adapter driver gives n back, and then, if `more`, others. */
static void give(unsigned n, bool more)
{
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n || more)
            fake.held_head->bufstruct.b_flags |= B_MORE_DONE;
        ck_assert(fake_complete_one());
    }
}

static void submit_last(struct fake_buf *b)
{
    if (b == &fb[0])
        fake_submit(&fb[N], 1);
    /* Released: the whole list is, before the first of it is told. */
    ck_assert_uint_eq(fake_stats().in_process, 0);
}

START_TEST(test_XEN_01_a_list_is_one_run)
{
    struct kern_plug plug;

    for (unsigned i = 0; i < N; i++)
        fb[i].then = submit_last;
    kern_plug_begin(&plug);
    give(N, false);
    ck_assert_uint_eq(active(), N);
    ck_assert_uint_eq(fb[0].done, 0);
    kern_plug_end(&plug);
    for (unsigned i = 0; i < N; i++) {
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_uint_eq(fb[i].order, i + 1);
        ck_assert_int_eq(fb[i].more, i + 1 < N);
    }
    ck_assert_uint_eq(fake_nheld(), 1); /* what came from inside is under way */
    dd_check_invariants(FAKE_DEV);
    fake_complete_all();
    ck_assert_uint_eq(fb[N].done, 1);
}
END_TEST

/* The plug of somebody who submits is not one to wait for. */
START_TEST(test_a_single_one_is_not_held)
{
    struct kern_plug plug;

    kern_plug_begin(&plug);
    give(1, false);
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_uint_eq(active(), N - 1);
    kern_plug_end(&plug);
    dd_check_invariants(FAKE_DEV);
}
END_TEST

/* Nobody would ever look at it. */
START_TEST(test_without_a_plug_nothing_is_held)
{
    struct dd_unit *un = dd_unit_of(FAKE_DEV);

    give(2, true);
    ck_assert_uint_eq(fb[0].done + fb[1].done, 2);
    ck_assert_uint_eq(active(), N - 2);
    ck_assert_uint_eq(dd_plug_slot(un, dd_plug_self())->pl_holder, DD_PLUG_FREE);
    dd_check_invariants(FAKE_DEV);
}
END_TEST

/* Another thread with the same slot is in the driver. */
START_TEST(test_without_its_slot_nothing_is_held)
{
    struct dd_plug *slot = dd_plug_slot(dd_unit_of(FAKE_DEV), dd_plug_self());
    struct kern_plug plug;

    slot->pl_holder = DD_PLUG_HELD;
    kern_plug_begin(&plug);
    give(2, false);
    ck_assert_uint_eq(fb[0].done + fb[1].done, 2);
    kern_plug_end(&plug);
    ck_assert_uint_eq(slot->pl_holder, DD_PLUG_HELD);
    slot->pl_holder = DD_PLUG_FREE;
}
END_TEST

/* An error that is the first is looked at, and one behind others is known, before anything new is sent. */
START_TEST(test_AIX_21_an_error_does_not_wait)
{
    struct fake_fault *f = fake_fault(FAKE_RW, 100u * (unsigned)_i, 100u * (unsigned)_i + 7, FAKE_ERRNO);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct kern_plug plug;

    f->code = EIO;
    kern_plug_begin(&plug);
    give((unsigned)_i + 1, true);
    ck_assert_uint_eq(f->hits, 1);
    ck_assert_uint_eq(active(), _i == 0 ? N - 1 : N);
    ck_assert_uint_eq(un->un_noted, _i == 0 ? 0 : 1);
    fake_submit(&fb[N], 1);
    kern_plug_end(&plug);
    ck_assert_uint_eq(un->un_noted, 0);
    fake.nfaults = 0;
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_done");
    TCase *t = tcase_create("list");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_XEN_01_a_list_is_one_run);
    tcase_add_test(t, test_a_single_one_is_not_held);
    tcase_add_test(t, test_without_a_plug_nothing_is_held);
    tcase_add_test(t, test_without_its_slot_nothing_is_held);
    tcase_add_loop_test(t, test_AIX_21_an_error_does_not_wait, 0, 2);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
