/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_self_test.c - the list of thread records, and waiting for iodone routines on real threads. The
 * schedules are gone through in tests/sim/small/small_turn.c.
 */
#include "panic_host.h"

#include "shim/shim_turn.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_bool inside, waiter_back;
static atomic_uint returned;

/* Stay until somebody waits for us. He must not be back before we are. */
static void on_done_slow(struct buf *bp)
{
    (void)bp;
    atomic_store(&inside, true);
    while (atomic_load(&shim_turn_waiters) == 0 && !atomic_load(&waiter_back))
        sched_yield();
    /* Time for a waiter who does not wait to show himself. */
    for (unsigned i = 0; i < 1000; i++)
        sched_yield();
    ck_assert(!atomic_load(&waiter_back));
    atomic_fetch_add(&returned, 1);
}

static void *thread_iodone(void *arg)
{
    iodone(arg);
    return NULL;
}

static void begin(void)
{
    shim_test_begin_posix();
    atomic_store(&inside, false);
    atomic_store(&waiter_back, false);
    atomic_store(&returned, 0);
}

START_TEST(test_a_routine_on_another_thread_is_waited_for)
{
    struct buf bp = {.b_iodone = on_done_slow};
    pthread_t t;

    begin();
    ck_assert_int_eq(pthread_create(&t, NULL, thread_iodone, &bp), 0);
    while (!atomic_load(&inside))
        sched_yield();
    shim_turns_wait();
    atomic_store(&waiter_back, true);
    ck_assert_uint_eq(atomic_load(&returned), 1);
    ck_assert_uint_eq(atomic_load(&shim_turn_waiters), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    shim_test_end();
}
END_TEST

static void *thread_waits(void *arg)
{
    (void)arg;
    shim_turns_wait();
    ck_assert_uint_eq(atomic_load(&returned), 1);
    return NULL;
}

/* Two wait at once: each for what had begun when he came. */
START_TEST(test_two_wait_at_once)
{
    struct buf bp = {.b_iodone = on_done_slow};
    pthread_t t[3];

    begin();
    ck_assert_int_eq(pthread_create(&t[0], NULL, thread_iodone, &bp), 0);
    while (!atomic_load(&inside))
        sched_yield();
    for (unsigned i = 1; i < 3; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, thread_waits, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    shim_test_end();
}
END_TEST

static void on_done_quick(struct buf *bp)
{
    (void)bp;
    atomic_fetch_add(&returned, 1);
}

/* A record whose thread has ended is in nobody's way, wherever in the list it was. */
START_TEST(test_a_thread_that_has_ended_leaves_no_record)
{
    struct buf bp = {.b_iodone = on_done_quick};
    pthread_t t[3];

    begin();
    iodone(&bp);
    for (unsigned n = 0; n < 3; n++) {
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(pthread_create(&t[i], NULL, thread_iodone, &bp), 0);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(pthread_join(t[(i + n) % 3], NULL), 0);
        shim_turns_wait();
    }
    ck_assert_uint_eq(atomic_load(&returned), 10);
    ck_assert_uint_eq(shim_self()->self_flags, SHIM_SELF_LISTED);
    ck_assert_ptr_null(shim_self()->self_next); /* ours alone is left */
    shim_test_end();
}
END_TEST

/* The record outlives the host; the next host begins with an empty list. */
START_TEST(test_the_next_host_knows_no_records)
{
    struct buf bp = {.b_iodone = on_done_quick};

    for (unsigned n = 1; n <= 3; n++) {
        begin();
        ck_assert_uint_eq(shim_self()->self_flags, 0);
        iodone(&bp);
        ck_assert_uint_eq(shim_self()->self_flags, SHIM_SELF_LISTED);
        ck_assert_uint_eq(shim_self()->self_begun, n);
        ck_assert_uint_eq(shim_self()->self_ended, n);
        shim_turns_wait();
        shim_test_end();
    }
}
END_TEST

static void on_done_promises(struct buf *bp)
{
    const uintptr_t begun = shim_self()->self_begun;
    struct shim_self *self = iodone_promise(); /* part of this turn: not one of its own */

    ck_assert_uint_eq(self->self_begun, begun);
    ck_assert(!iodone_is_deep());
    iodone_withdraw(self);
    ck_assert_uint_eq(self->self_begun, begun);
    on_done_quick(bp);
}

/* What counts: a promise, or a call without one, outermost or put off; each once. */
START_TEST(test_what_is_a_turn)
{
    struct buf quick = {.b_iodone = on_done_quick};
    struct buf promises = {.b_iodone = on_done_promises};
    struct shim_self *self;

    begin();
    self = iodone_promise();
    ck_assert_uint_eq(self->self_begun, 1);
    ck_assert_uint_eq(self->self_ended, 0);
    iodone_promised(self, &quick);
    ck_assert_uint_eq(self->self_begun, 1);
    ck_assert_uint_eq(self->self_ended, 1);
    ck_assert_ptr_eq(iodone_promise(), self);
    iodone_withdraw(self);
    ck_assert_uint_eq(self->self_begun, 1);
    iodone(&promises);
    ck_assert_uint_eq(self->self_begun, 2);
    ck_assert_uint_eq(self->self_ended, 2);
    ck_assert_uint_eq(atomic_load(&returned), 2);
    shim_test_end();
}
END_TEST

static Suite *self_suite(void)
{
    Suite *s = suite_create("shim_self");
    TCase *tc = tcase_create("records");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_a_routine_on_another_thread_is_waited_for);
    tcase_add_test(tc, test_two_wait_at_once);
    tcase_add_test(tc, test_a_thread_that_has_ended_leaves_no_record);
    tcase_add_test(tc, test_the_next_host_knows_no_records);
    tcase_add_test(tc, test_what_is_a_turn);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(self_suite(), argc, argv); }
