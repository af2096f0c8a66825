/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_buf_test.c - iodone, iowait, devstrat: nesting is bounded, order is kept, contexts are
 * right, nobody sleeps inside strategy.
 */
#include "panic_host.h"

#include <pthread.h>

#define TEST_MAJOR 9u

static void set_strategy(void (*strategy)(struct buf *bp))
{
    struct devsw sw = {.d_strategy = strategy};

    ck_assert_int_eq(devswadd(SC_MAKEDEV(TEST_MAJOR, 0), &sw), 0);
}

static void end(void)
{
    ck_assert_int_eq(devswdel(SC_MAKEDEV(TEST_MAJOR, 0)), 0);
    shim_test_end();
}

static void strategy_inline(struct buf *bp)
{
    bp->b_resid = 0;
    iodone(bp);
}

/* ---------------------------------------------------------------- nesting */

static unsigned resubmits_left, completions, depth_now, depth_max;
static uintptr_t stack_low, stack_high;

static void on_done_resubmit(struct buf *bp)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (here < stack_low)
        stack_low = here;
    if (here > stack_high)
        stack_high = here;
    if (++depth_now > depth_max)
        depth_max = depth_now;
    ck_assert(bp->b_flags & B_DONE);
    ck_assert(!kern_at_process_level());
    completions++;
    if (resubmits_left > 0) {
        resubmits_left--;
        bp->b_flags = B_READ;
        ck_assert_int_eq(devstrat(bp), 0);
    }
    depth_now--;
}

START_TEST(test_iodone_100000_resubmits_do_not_grow_the_stack)
{
    struct buf bp = {.b_flags = B_READ, .b_iodone = on_done_resubmit, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};

    panic_begin(shim_posix_host());
    set_strategy(strategy_inline);
    stack_low = UINTPTR_MAX;
    resubmits_left = 100000;
    ck_assert_int_eq(devstrat(&bp), 0);
    ck_assert_uint_eq(completions, 100001);
    ck_assert_uint_le(depth_max, SHIM_IODONE_NEST);
    ck_assert_uint_lt(stack_high - stack_low, 16384);
    ck_assert_uint_eq(shim_self()->self_iodone_depth, 0);
    ck_assert_ptr_null(shim_self()->self_done_head);
    ck_assert(kern_at_process_level());
    end();
}
END_TEST

/* Many bufs from one completion: all are run, in the order in which they finished. */
static struct buf many[200];
static unsigned many_order[200], nmany;

static void on_done_note(struct buf *bp) { many_order[nmany++] = (unsigned)(bp - many); }

static void on_done_two_levels(struct buf *bp)
{
    struct buf *inner = (struct buf *)bp->b_work;

    if (inner) { /* level one: go one deeper */
        strategy_inline(inner);
        return;
    }
    for (unsigned i = 0; i < SC_ARRAY_SIZE(many); i++) { /* level two: everything from here is put off */
        many[i] = (struct buf){.b_iodone = on_done_note, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};
        ck_assert_int_eq(devstrat(&many[i]), 0);
        ck_assert_uint_eq(nmany, 0);
    }
}

START_TEST(test_iodone_put_off_runs_in_order_before_the_outermost_returns)
{
    struct buf inner = {.b_iodone = on_done_two_levels};
    struct buf outer = {.b_iodone = on_done_two_levels, .b_work = (uintptr_t)&inner};

    panic_begin(shim_det_host(1));
    set_strategy(strategy_inline);
    iodone(&outer);
    ck_assert_uint_eq(nmany, SC_ARRAY_SIZE(many));
    for (unsigned i = 0; i < nmany; i++)
        ck_assert_uint_eq(many_order[i], i);
    end();
}
END_TEST

/* ---------------------------------------------------------------- rules */

START_TEST(test_XEN_07_iodone_with_a_lock_held_panics)
{
    struct buf bp = {.b_iodone = on_done_note};
    struct shim_lock l;

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(shim_lock_init(&l, SHIM_RANK_AD_LUN, "lun queue"), 0);
    shim_lock_enter(&l);
    panic_expect("iodone: called with lun queue held");
    iodone(&bp);
}
END_TEST

START_TEST(test_devstrat_with_a_lock_held_panics)
{
    struct buf bp = {.b_iodone = on_done_note, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};
    struct shim_lock l;

    panic_begin(shim_det_host(1));
    set_strategy(strategy_inline);
    ck_assert_int_eq(shim_lock_init(&l, SHIM_RANK_DD_LUN, "dd lun"), 0);
    shim_lock_enter(&l);
    panic_expect("devstrat: called with dd lun held");
    devstrat(&bp);
}
END_TEST

static void strategy_sleeps(struct buf *bp)
{
    event_t never = EVENT_NULL;

    (void)bp;
    panic_expect("wait: called inside a strategy routine");
    e_timedsleep(&never, NULL, 1000);
}

START_TEST(test_AIX_03_strategy_that_sleeps_panics)
{
    struct buf bp = {.b_iodone = on_done_note, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};

    panic_begin(shim_det_host(1));
    set_strategy(strategy_sleeps);
    devstrat(&bp);
}
END_TEST

static void strategy_context(struct buf *bp)
{
    bp->b_work = kern_at_process_level();
    iodone(bp);
}

/* A strategy call keeps the level of its caller: a gathered write can ask for it (AIX-13). */
START_TEST(test_AIX_13_strategy_sees_the_level_of_its_caller)
{
    struct buf bp = {.b_iodone = iodone_wakeup, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};
    uint32_t old;

    panic_begin(shim_det_host(1));
    set_strategy(strategy_context);
    ck_assert_int_eq(devstrat(&bp), 0);
    ck_assert_uint_eq(bp.b_work, 1);
    ck_assert_int_eq(iowait(&bp), 0);
    old = shim_ctx_enter(shim_self(), SHIM_CTX_COMPLETION);
    ck_assert_int_eq(devstrat(&bp), 0);
    shim_ctx_leave(shim_self(), old);
    ck_assert_uint_eq(bp.b_work, 0);
    ck_assert_int_eq(iowait(&bp), 0);
    end();
}
END_TEST

START_TEST(test_devstrat_refuses_what_has_no_driver)
{
    struct buf bp = {.b_iodone = iodone_wakeup, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(devstrat(&bp), ENODEV);
    bp.b_dev = SC_MAKEDEV(60000, 1);
    ck_assert_int_eq(devstrat(&bp), ENODEV);
    set_strategy(NULL);
    bp.b_dev = SC_MAKEDEV(TEST_MAJOR, 3);
    ck_assert_int_eq(devstrat(&bp), ENODEV);
    ck_assert_int_eq(devswdel(bp.b_dev), 0);
    set_strategy(strategy_inline);
    bp.b_iodone = NULL;
    ck_assert_int_eq(devstrat(&bp), EINVAL);
    ck_assert_uint_eq(bp.b_flags, 0);
    end();
}
END_TEST

START_TEST(test_iowait_errors)
{
    struct buf bp = {.b_iodone = iodone_wakeup};

    panic_begin(shim_det_host(1));
    iodone(&bp);
    ck_assert_int_eq(iowait(&bp), 0);
    bp.b_flags = B_ERROR;
    bp.b_error = EMEDIA;
    iodone(&bp);
    ck_assert_int_eq(iowait(&bp), EMEDIA);
    bp.b_flags = B_ERROR;
    bp.b_error = 0;
    iodone(&bp);
    ck_assert_int_eq(iowait(&bp), EIO);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- another thread completes */

static struct buf *_Atomic handed;
static void strategy_hand_over(struct buf *bp) { atomic_store(&handed, bp); }

static void *completer(void *arg)
{
    unsigned left = 20000;

    (void)arg;
    while (left) {
        struct buf *bp = atomic_exchange(&handed, NULL);

        if (bp) {
            iodone(bp);
            left--;
        }
    }
    return NULL;
}

START_TEST(test_iowait_across_threads_buf_on_the_stack)
{
    pthread_t t;

    panic_begin(shim_posix_host());
    set_strategy(strategy_hand_over);
    ck_assert_int_eq(pthread_create(&t, NULL, completer, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) {
        struct buf bp = {.b_iodone = iodone_wakeup, .b_dev = SC_MAKEDEV(TEST_MAJOR, 0)};

        ck_assert_int_eq(devstrat(&bp), 0);
        ck_assert_int_eq(iowait(&bp), 0);
        memset(&bp, 0xa5, sizeof(bp)); /* nobody may look at it any more */
    }
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    end();
}
END_TEST

static Suite *buf_suite(void)
{
    Suite *s = suite_create("kern_buf");
    TCase *nest = tcase_create("nesting");
    TCase *rules = tcase_create("rules");

    tcase_add_test(nest, test_iodone_100000_resubmits_do_not_grow_the_stack);
    tcase_add_test(nest, test_iodone_put_off_runs_in_order_before_the_outermost_returns);
    suite_add_tcase(s, nest);
    tcase_add_exit_test(rules, test_XEN_07_iodone_with_a_lock_held_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(rules, test_devstrat_with_a_lock_held_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(rules, test_AIX_03_strategy_that_sleeps_panics, PANIC_AS_EXPECTED);
    tcase_add_test(rules, test_AIX_13_strategy_sees_the_level_of_its_caller);
    tcase_add_test(rules, test_devstrat_refuses_what_has_no_driver);
    tcase_add_test(rules, test_iowait_errors);
    tcase_add_test(rules, test_iowait_across_threads_buf_on_the_stack);
    tcase_set_timeout(rules, 120);
    suite_add_tcase(s, rules);
    return s;
}

int main(int argc, char **argv) { return test_run(buf_suite(), argc, argv); }
