/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_poll_test.c - a chip that does not interrupt: whoever waits asks it, and timers do when nobody
 * waits. In virtual time, with no other source of completions.
 */
#include "ad_fake.h"

static struct ad_hw_ops polled_ops;
static unsigned polls;

/* What the chip has done since the last look: everything. */
static void poll(void *hw)
{
    struct fake *f = hw;

    polls++;
    for (unsigned i = 0; i < f->naborting; i++)
        for (unsigned k = 0; k < f->nkept; k++)
            if (f->kept[k] == f->aborting[i]) {
                fake_script(AD_RES_ABORTED, SC_GOOD_STATUS, 512);
                fake_end(k);
            }
    f->naborting = 0;
    if (f->abort_mode == FAKE_ABORT_NOW)
        fake_end_all();
}

static int never_attach(struct shim_dev *dev, bool (*fn)(void *arg), void *arg)
{
    (void)dev, (void)fn, (void)arg;
    return 0;
}

static void polled_up(bool interrupts)
{
    static struct shim_dev_ops dev_ops;
    struct ad_config cfg = {.cfg_ops = &polled_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    shim_test_begin_det(1);
    fake_prepare();
    polls = 0;
    polled_ops = fake_ops;
    polled_ops.poll = poll;
    dev_ops = *fake.dev.dev_ops;
    dev_ops.intr_attach = interrupts ? never_attach : NULL;
    fake.dev.dev_ops = &dev_ops;
    fake.mode = FAKE_PEND;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &fake_fp), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), 0);
    fake_lun = ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, 0);
}

START_TEST(test_iowait_asks_the_chip)
{
    static struct req r;
    uint64_t since;

    polled_up(false);
    since = shim_now_ns();
    req_init(&r);
    r.sb.bufstruct.b_iodone = iodone_wakeup;
    req_send(&r);
    ck_assert_int_eq(iowait(&r.sb.bufstruct), 0);
    ck_assert_uint_eq(polls, 1);
    ck_assert_uint_eq(shim_now_ns(), since); /* at the first look: no timer was needed */
    fake_down();
}
END_TEST

START_TEST(test_ioctls_ask_the_chip)
{
    struct sc_ready ready = {.scsi_id = FAKE_ID};
    static struct req r;
    uint64_t since;

    polled_up(false);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOTUR, (intptr_t)&ready, 0), 0);
    ck_assert_uint_eq(polls, 1);
    /* Without timers too: SCIOHALT waits for what it has aborted, SCIOSTOP for what is out. */
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    since = shim_now_ns();
    fake.abort_mode = FAKE_ABORT_LATER;
    req_init(&r);
    req_send(&r);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(r.done, 1);
    ck_assert_int_eq(r.sb.bufstruct.b_error, ENXIO);
    fake.abort_mode = FAKE_ABORT_NOW;
    req_init(&r);
    r.sb.flags = SC_RESUME;
    req_send(&r);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(r.sb.bufstruct.b_flags & B_ERROR, 0);
    ck_assert_uint_lt(shim_now_ns() - since, AD_NS_PER_MS);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake_down();
}
END_TEST

START_TEST(test_timers_ask_the_chip_when_nobody_waits)
{
    static struct req r[3];

    polled_up(false);
    fake.abort_mode = FAKE_ABORT_LATER; /* the chip is slow: looks find nothing */
    for (unsigned i = 0; i < 3; i++) {
        req_init(&r[i]);
        r[i].sb.timeout_value = 0;
        req_send(&r[i]);
    }
    shim_det_run(shim_now_ns() + 10 * AD_POLL_NS);
    ck_assert_uint_ge(polls, 9);
    ck_assert_uint_le(polls, 10);
    ck_assert_uint_eq(r[0].done, 0);
    fake.abort_mode = FAKE_ABORT_NOW;
    shim_det_run(shim_now_ns() + AD_POLL_NS);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(r[i].done, 1);
    /* And no timer goes on for an idle chip. */
    shim_det_run(shim_now_ns() + 10 * AD_POLL_NS);
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert_uint_le(polls, 12);
    fake_down();
}
END_TEST

/* What is done when the timer looks has not timed out. */
START_TEST(test_AIX_18_a_command_that_has_ended_unseen_is_not_late)
{
    static struct req r;

    polled_up(false);
    req_init(&r);
    r.sb.timeout_value = 1;
    polled_ops.poll = NULL; /* nobody looks for a second */
    ad_find(FAKE_DEVNO)->adp_polled = false;
    req_send(&r);
    polled_ops.poll = poll;
    ad_find(FAKE_DEVNO)->adp_polled = true;
    shim_det_run(shim_now_ns() + 2 * AD_NS_PER_S);
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(r.sb.bufstruct.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fake.aborts, 0);
    fake_down();
}
END_TEST

START_TEST(test_a_chip_with_an_interrupt_is_not_asked)
{
    static struct req r;
    event_t word = EVENT_NULL;

    polled_up(true);
    req_init(&r);
    req_send(&r);
    ck_assert_int_eq(e_timedsleep(&word, NULL, 10 * AD_POLL_NS), THREAD_TIMED_OUT);
    ck_assert_uint_eq(polls, 0);
    fake_end_all();
    fake_down();
}
END_TEST

/* A table that ends before poll has none, whatever lies behind it. */
START_TEST(test_a_shorter_table_has_no_poll)
{
    struct ad_config cfg = {.cfg_ops = &polled_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    polled_up(false);
    fake_down();
    shim_test_begin_det(1);
    fake_prepare();
    polled_ops.size = (uint32_t)offsetof(struct ad_hw_ops, poll);
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert(!ad_find(FAKE_DEVNO)->adp_polled);
    fake_fp = NULL;
    fake_down();
}
END_TEST

static unsigned polls_at_detach;

/* Takes its time, and sleeps. */
static void slow_detach(void *hw)
{
    event_t never = EVENT_NULL;

    polls_at_detach = polls;
    (void)e_timedsleep(&never, NULL, 10 * AD_NS_PER_MS);
    fake_ops.detach(hw);
}

/* A chip that is being taken down is asked nothing any more, whoever sleeps meanwhile. */
START_TEST(test_a_chip_that_goes_is_not_asked)
{
    polled_up(false);
    ad_find(FAKE_DEVNO)->adp_ops_own.detach = slow_detach;
    fake_down();
    ck_assert_uint_eq(polls, polls_at_detach);
}
END_TEST

static Suite *ad_poll_suite(void)
{
    Suite *s = suite_create("ad_poll");
    TCase *polled = tcase_create("polled");

    tcase_add_test(polled, test_iowait_asks_the_chip);
    tcase_add_test(polled, test_ioctls_ask_the_chip);
    tcase_add_test(polled, test_timers_ask_the_chip_when_nobody_waits);
    tcase_add_test(polled, test_AIX_18_a_command_that_has_ended_unseen_is_not_late);
    tcase_add_test(polled, test_a_chip_with_an_interrupt_is_not_asked);
    tcase_add_test(polled, test_a_shorter_table_has_no_poll);
    tcase_add_test(polled, test_a_chip_that_goes_is_not_asked);
    suite_add_tcase(s, polled);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_poll_suite(), argc, argv); }
