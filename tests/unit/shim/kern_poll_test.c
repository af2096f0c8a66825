/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_poll_test.c - who sleeps asks the devices that cannot interrupt: every way to sleep, and
 * pollers that come and go.
 */
#include "panic_host.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* A device that finishes one buf, or wakes one word, at the third look. */
static struct {
    unsigned looks;
    struct buf *bp;
    event_t *word;
    bool nobody_locked;
} dev;

static void look(void *arg)
{
    ck_assert_ptr_eq(arg, &dev);
    ck_assert(kern_at_process_level());
    dev.nobody_locked &= shim_self()->self_nlocks == 0;
    if (++dev.looks != 3)
        return;
    if (dev.bp)
        iodone(dev.bp);
    if (dev.word)
        e_wakeup(dev.word);
}

static struct kern_poller poller = {.po_func = look, .po_arg = &dev};

static void begin(void)
{
    panic_begin(shim_det_host(1));
    memset(&dev, 0, sizeof(dev));
    dev.nobody_locked = true;
    kern_poller_add(&poller);
}

static void end(void)
{
    ck_assert(dev.nobody_locked);
    kern_poller_remove(&poller);
    shim_test_end();
}

START_TEST(test_iowait_asks_until_the_request_is_done)
{
    struct buf buf = {.b_iodone = iodone_wakeup};

    begin();
    dev.bp = &buf;
    ck_assert_int_eq(iowait(&buf), 0); /* no timer, no other thread: nobody else could end it */
    ck_assert_uint_eq(dev.looks, 3);
    end();
}
END_TEST

START_TEST(test_sleeping_with_a_lock_asks_without_it)
{
    event_t word = EVENT_NULL;
    Simple_lock lock;
    unsigned rounds = 0;

    begin();
    ck_assert_int_eq(lock_alloc(&lock, 0, LOCK_CLASS_DD, "sleeper"), 0);
    dev.word = &word;
    simple_lock(&lock);
    while (dev.looks < 3) {
        ck_assert_int_eq(e_sleep_thread(&word, &lock, EVENT_SHORT), THREAD_AWAKENED);
        ck_assert(lock_mine(&lock));
        rounds++;
    }
    simple_unlock(&lock);
    ck_assert_uint_eq(rounds, 3);
    lock_free(&lock);
    end();
}
END_TEST

START_TEST(test_a_timed_sleep_asks_and_keeps_its_time)
{
    event_t word = EVENT_NULL;
    uint64_t since;

    begin();
    since = kern_now_ns();
    ck_assert_int_eq(e_timedsleep(&word, NULL, 1000000), THREAD_TIMED_OUT);
    ck_assert_uint_eq(kern_now_ns() - since, 1000000);
    ck_assert_uint_ge(dev.looks, 3);
    dev.looks = 0;
    dev.word = &word;
    ck_assert_int_eq(e_timedsleep(&word, NULL, 1000000), THREAD_AWAKENED);
    ck_assert_uint_eq(dev.looks, 3);
    end();
}
END_TEST

/* With another lock held nobody is asked: a completion must not run under it. */
START_TEST(test_a_sleeper_with_another_lock_does_not_ask)
{
    event_t word = EVENT_NULL;
    Simple_lock outer;

    begin();
    ck_assert_int_eq(lock_alloc(&outer, 0, LOCK_CLASS_DD_OPEN, "outer"), 0);
    simple_lock(&outer);
    ck_assert_int_eq(e_timedsleep(&word, NULL, 200000), THREAD_TIMED_OUT);
    simple_unlock(&outer);
    ck_assert_uint_eq(dev.looks, 0);
    lock_free(&outer);
    end();
}
END_TEST

static unsigned others;
static void look_other(void *arg)
{
    (void)arg;
    others++;
}

START_TEST(test_pollers_come_and_go)
{
    struct kern_poller first = {.po_func = look_other}, last = {.po_func = look_other};
    event_t word = EVENT_NULL;

    panic_begin(shim_det_host(1));
    memset(&dev, 0, sizeof(dev));
    kern_poller_add(&first);
    kern_poller_add(&poller);
    kern_poller_add(&last);
    others = 0;
    (void)e_timedsleep(&word, NULL, 1);
    ck_assert_uint_eq(others, 2);
    ck_assert_uint_eq(dev.looks, 1);
    kern_poller_remove(&poller); /* from the middle */
    (void)e_timedsleep(&word, NULL, 1);
    ck_assert_uint_eq(others, 4);
    ck_assert_uint_eq(dev.looks, 1);
    kern_poller_add(&poller);
    kern_poller_remove(&first); /* the end of the list, behind two others */
    (void)e_timedsleep(&word, NULL, 1);
    ck_assert_uint_eq(others, 5);
    ck_assert_uint_eq(dev.looks, 2);
    kern_poller_remove(&poller);
    kern_poller_remove(&last);
    (void)e_timedsleep(&word, NULL, 1);
    ck_assert_uint_eq(others, 5);
    ck_assert_uint_eq(dev.looks, 2);
    shim_test_end();
}
END_TEST

/* A poller is not running any more when its removal has returned. */
static atomic_bool gone, stop;
static atomic_uint inside;
static void look_slowly(void *arg)
{
    (void)arg;
    atomic_fetch_add(&inside, 1);
    for (unsigned i = 0; i < 8; i++)
        sched_yield();
    ck_assert(!atomic_load(&gone));
    atomic_fetch_sub(&inside, 1);
}

static void *sleeper(void *arg)
{
    event_t word = EVENT_NULL;

    while (!atomic_load(&stop))
        (void)e_timedsleep(&word, NULL, 1000);
    return arg;
}

START_TEST(test_a_removed_poller_is_not_running)
{
    struct kern_poller slow = {.po_func = look_slowly};
    pthread_t threads[2];

    shim_test_begin_posix();
    atomic_store(&stop, false);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sleeper, NULL), 0);
    for (unsigned i = 0; i < 50; i++) {
        atomic_store(&gone, false);
        kern_poller_add(&slow);
        while (atomic_load(&inside) == 0)
            sched_yield();
        kern_poller_remove(&slow);
        atomic_store(&gone, true);
        ck_assert_uint_eq(atomic_load(&inside), 0);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    shim_test_end();
}
END_TEST

/* P is left by its only caller when the test says so; who removes it waits in delay_ns meanwhile. */
static atomic_bool entered, leave, waits, removed;
static void look_and_stay(void *arg)
{
    (void)arg;
    atomic_store(&entered, true);
    while (!atomic_load(&leave))
        sched_yield();
}
static void (*real_delay)(uint64_t ns);
static void tell_delay(uint64_t ns)
{
    atomic_store(&waits, true);
    real_delay(ns);
}

static void *sleep_once(void *arg)
{
    event_t word = EVENT_NULL;

    (void)e_timedsleep(&word, NULL, 1);
    return arg;
}
static void *remover(void *arg)
{
    kern_poller_remove(arg);
    atomic_store(&removed, true);
    return NULL;
}

/* Q goes while P, before it in the list, is being removed and somebody is still inside P: his way does not
 * lead to Q any more. */
START_TEST(test_a_poller_goes_beside_one_that_is_going)
{
    struct kern_poller p = {.po_func = look_and_stay}, q = {.po_func = look_other}, was;
    struct shim_host host = *shim_posix_host();
    pthread_t threads[2];

    real_delay = host.delay_ns;
    host.delay_ns = tell_delay;
    shim_test_begin(&host);
    others = 0;
    kern_poller_add(&q);
    kern_poller_add(&p);
    ck_assert_ptr_eq(p.po_next, &q);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, sleep_once, NULL), 0);
    while (!atomic_load(&entered))
        sched_yield();
    ck_assert_int_eq(pthread_create(&threads[1], NULL, remover, &p), 0);
    while (!atomic_load(&waits) && !atomic_load(&removed))
        sched_yield();
    ck_assert(!atomic_load(&removed));
    kern_poller_remove(&q);
    q = (struct kern_poller){.po_func = look_other}; /* its memory is for something else now */
    was = q;
    atomic_store(&leave, true);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(others, 0);
    ck_assert_mem_eq(&q, &was, sizeof(q));
    shim_test_end();
}
END_TEST

START_TEST(test_kern_fini_with_a_poller_left_panics)
{
    begin();
    panic_expect("a poller is still registered");
    kern_fini();
}
END_TEST

static Suite *poll_suite(void)
{
    Suite *s = suite_create("kern_poll");
    TCase *sleep = tcase_create("sleep");
    TCase *list = tcase_create("list");

    tcase_add_test(sleep, test_iowait_asks_until_the_request_is_done);
    tcase_add_test(sleep, test_sleeping_with_a_lock_asks_without_it);
    tcase_add_test(sleep, test_a_timed_sleep_asks_and_keeps_its_time);
    tcase_add_test(sleep, test_a_sleeper_with_another_lock_does_not_ask);
    tcase_set_timeout(list, 60);
    tcase_add_test(list, test_pollers_come_and_go);
    tcase_add_test(list, test_a_removed_poller_is_not_running);
    tcase_add_test(list, test_a_poller_goes_beside_one_that_is_going);
    tcase_add_exit_test(list, test_kern_fini_with_a_poller_left_panics, PANIC_AS_EXPECTED);
    suite_add_tcase(s, sleep);
    suite_add_tcase(s, list);
    return s;
}

int main(int argc, char **argv) { return test_run(poll_suite(), argc, argv); }
