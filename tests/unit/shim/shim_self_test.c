/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_self_test.c - the list of thread records, and waiting for iodone routines on real threads. The
 * schedules are gone through in tests/sim/small/small_turn.c.
 */
#include "panic_host.h"

#include <pthread.h>
#include <stdatomic.h>

static _Alignas(64) char key[64], other[64];
static atomic_bool inside, waiter_comes, waiter_back;
static atomic_uint returned;

/* Stay until somebody is about to wait for us, and longer than he would need. He must not be back before we
 * are. */
static void on_done_slow(struct buf *bp)
{
    (void)bp;
    atomic_store(&inside, true);
    while (!atomic_load(&waiter_comes))
        sched_yield();
    for (unsigned i = 0; i < 20; i++)
        shim_delay_ns(1000000);
    ck_assert(!atomic_load(&waiter_back));
    atomic_fetch_add(&returned, 1);
}

static void *thread_iodone(void *arg)
{
    struct shim_self *self = shim_turn_begin(key);

    ck_assert_ptr_eq(self, shim_self());
    iodone(arg);
    shim_turn_end(self);
    return NULL;
}

static void begin(void)
{
    shim_test_begin_posix();
    atomic_store(&inside, false);
    atomic_store(&waiter_comes, false);
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
    shim_turns_wait(other); /* is nobody's: comes back although the routine runs */
    ck_assert_uint_eq(atomic_load(&returned), 0);
    atomic_store(&waiter_comes, true);
    shim_turns_wait(key);
    atomic_store(&waiter_back, true);
    ck_assert_uint_eq(atomic_load(&returned), 1);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    shim_test_end();
}
END_TEST

static void *thread_waits(void *arg)
{
    (void)arg;
    atomic_store(&waiter_comes, true);
    shim_turns_wait(key);
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
    (void)thread_iodone(&bp);
    for (unsigned n = 0; n < 3; n++) {
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(pthread_create(&t[i], NULL, thread_iodone, &bp), 0);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(pthread_join(t[(i + n) % 3], NULL), 0);
        shim_turns_wait(key);
    }
    ck_assert_uint_eq(atomic_load(&returned), 10);
    ck_assert_uint_eq(shim_self()->self_listed, 1);
    ck_assert_ptr_null(shim_self()->self_next); /* ours alone is left */
    shim_test_end();
}
END_TEST

static pthread_key_t ends_late;

static void late_iodone(void *bp) { (void)thread_iodone(bp); }

static void *thread_ends_late(void *bp)
{
    (void)thread_iodone(bp);
    ck_assert_int_eq(pthread_setspecific(ends_late, bp), 0);
    return NULL;
}

/* A key made after the host's: its value goes after the host has seen the thread end, and does I/O. */
START_TEST(test_a_thread_that_does_io_while_it_ends_leaves_no_record)
{
    struct buf bp = {.b_iodone = on_done_quick};
    pthread_t t;

    begin();
    ck_assert_ptr_nonnull(shim_self());
    ck_assert_int_eq(pthread_key_create(&ends_late, late_iodone), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&t, NULL, thread_ends_late, &bp), 0);
        ck_assert_int_eq(pthread_join(t, NULL), 0);
    }
    ck_assert_uint_eq(atomic_load(&returned), 6);
    (void)thread_iodone(&bp);
    ck_assert_ptr_null(shim_self()->self_next);
    ck_assert_int_eq(pthread_key_delete(ends_late), 0);
    shim_test_end();
}
END_TEST

#define ENDING 8u

static atomic_uint ending;

static void *thread_ends_soon(void *arg)
{
    struct buf bp = {.b_iodone = on_done_quick};

    (void)thread_iodone(&bp);
    atomic_fetch_add(&ending, 1);
    for (volatile uintptr_t i = 0; i < (uintptr_t)arg; i++)
        continue;
    return NULL;
}

/* The host goes as soon as the last thread is done with it; the threads end when they like. */
START_TEST(test_threads_end_while_the_host_goes)
{
    pthread_t t[ENDING];

    for (unsigned n = 0; n < 500; n++) {
        ck_assert_int_eq(shim_init(shim_posix_host()), 0);
        atomic_store(&ending, 0);
        for (unsigned i = 0; i < ENDING; i++)
            ck_assert_int_eq(pthread_create(&t[i], NULL, thread_ends_soon,
                                            (void *)(uintptr_t)((n * 7 + i * 13) % 97 * 40)),
                             0);
        while (atomic_load(&ending) < ENDING)
            sched_yield();
        for (volatile unsigned i = 0; i < n % 16 * 100; i++)
            continue;
        ck_assert_uint_eq(shim_fini(), 0);
        for (unsigned i = 0; i < ENDING; i++)
            ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    }
    shim_posix_stop();
}
END_TEST

/* The record outlives the host; the next host begins with an empty list. */
START_TEST(test_the_next_host_knows_no_records)
{
    struct buf bp = {.b_iodone = on_done_quick};

    for (unsigned n = 1; n <= 3; n++) {
        begin();
        ck_assert_uint_eq(shim_self()->self_listed, 0);
        (void)thread_iodone(&bp);
        ck_assert_uint_eq(shim_self()->self_listed, 1);
        ck_assert_ptr_null(shim_self()->self_next);
        shim_turns_wait(key);
        shim_test_end();
    }
}
END_TEST

/* Each turn has a number beside its key, so that one is not taken for the next. */
START_TEST(test_turns_nest_and_have_numbers)
{
    struct shim_self *self;
    uintptr_t first;

    begin();
    self = shim_turn_begin(key);
    ck_assert_ptr_eq(self, shim_self());
    first = self->self_turn[0];
    ck_assert_uint_eq(first & ~(uintptr_t)63, (uintptr_t)key);
    ck_assert_ptr_eq(shim_turn_begin(other), self);
    ck_assert_uint_eq(self->self_turn[1] & ~(uintptr_t)63, (uintptr_t)other);
    ck_assert_ptr_null(shim_turn_begin(key)); /* the record is full */
    shim_turn_end(self);
    ck_assert_uint_eq(self->self_turn[1], 0);
    ck_assert_uint_eq(self->self_turn[0], first);
    shim_turn_end(self);
    ck_assert_uint_eq(self->self_turn[0], 0);
    ck_assert_ptr_eq(shim_turn_begin(key), self);
    ck_assert_uint_ne(self->self_turn[0], first);
    shim_turn_end(self);
    shim_turns_wait(key);
    shim_test_end();
}
END_TEST

static bool deep_refused;
static struct buf deep_bufs[2];

static void on_done_deep(struct buf *bp)
{
    struct shim_self *self = shim_turn_begin(key);

    if (bp == &deep_bufs[0]) {
        ck_assert_ptr_nonnull(self);
        iodone(&deep_bufs[1]);
        shim_turn_end(self);
    } else {
        deep_refused = self == NULL;
    }
}

/* Where the next iodone would be put off there is no turn: it would be over before the routine began. */
START_TEST(test_no_turn_where_iodone_would_be_put_off)
{
    begin();
    deep_refused = false;
    deep_bufs[0].b_iodone = deep_bufs[1].b_iodone = on_done_deep;
    iodone(&deep_bufs[0]);
    ck_assert(deep_refused);
    ck_assert_uint_eq(shim_self()->self_turns, 0);
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
    tcase_add_test(tc, test_a_thread_that_does_io_while_it_ends_leaves_no_record);
    tcase_add_test(tc, test_threads_end_while_the_host_goes);
    tcase_add_test(tc, test_the_next_host_knows_no_records);
    tcase_add_test(tc, test_turns_nest_and_have_numbers);
    tcase_add_test(tc, test_no_turn_where_iodone_would_be_put_off);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(self_suite(), argc, argv); }
