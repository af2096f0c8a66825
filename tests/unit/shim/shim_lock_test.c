/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_lock_test.c - locks: order, ownership, what may be held while sleeping, and mutual
 * exclusion between real threads.
 */
#include "panic_host.h"

#include <pthread.h>

static struct shim_lock outer, inner, peer;

static void locks_begin(void)
{
    panic_begin(shim_posix_host());
    ck_assert_int_eq(shim_lock_init(&outer, SHIM_RANK_DD_OPEN, "outer"), 0);
    ck_assert_int_eq(shim_lock_init(&inner, SHIM_RANK_AD_LUN, "inner"), 0);
    ck_assert_int_eq(shim_lock_init(&peer, SHIM_RANK_AD_LUN, "peer"), 0);
}

static void locks_end(void)
{
    shim_lock_fini(&outer);
    shim_lock_fini(&inner);
    shim_lock_fini(&peer);
    shim_test_end();
}

START_TEST(test_CAM_02_ascending_ranks_are_fine)
{
    locks_begin();
    ck_assert(!shim_lock_is_held(&outer));
    shim_lock_enter(&outer);
    shim_lock_enter(&inner);
    ck_assert(shim_lock_is_held(&outer) && shim_lock_is_held(&inner) && !shim_lock_is_held(&peer));
    shim_lock_exit(&outer); /* not the last one entered: allowed */
    shim_lock_exit(&inner);
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    locks_end();
}
END_TEST

START_TEST(test_CAM_02_descending_rank_panics_with_both_names)
{
    locks_begin();
    shim_lock_enter(&inner);
    panic_expect("entering outer (rank 20) while holding inner (rank 50)");
    shim_lock_enter(&outer);
}
END_TEST

START_TEST(test_CAM_02_equal_rank_panics)
{
    locks_begin();
    shim_lock_enter(&inner);
    panic_expect("entering peer (rank 50) while holding inner (rank 50)");
    shim_lock_enter(&peer);
}
END_TEST

/* With a LUN's lock held the adapter's may be taken, and not the other way. */
START_TEST(test_CAM_02_lun_before_adapter)
{
    struct shim_lock adapter;

    locks_begin();
    ck_assert_int_eq(shim_lock_init(&adapter, SHIM_RANK_AD, "adapter"), 0);
    shim_lock_enter(&inner);
    shim_lock_enter(&adapter);
    ck_assert_uint_eq(shim_self()->self_nlocks, 2);
    shim_lock_exit(&adapter);
    shim_lock_exit(&inner);
    shim_lock_enter(&adapter);
    panic_expect("entering inner (rank 50) while holding adapter (rank 60)");
    shim_lock_enter(&inner);
}
END_TEST

/* None of these may be. */
static const struct {
    enum shim_rank held, entered;
} under[] = {{SHIM_RANK_AD, SHIM_RANK_AD_DONE},    {SHIM_RANK_AD, SHIM_RANK_KERN},
             {SHIM_RANK_AD_DONE, SHIM_RANK_KERN},  {SHIM_RANK_DD_LUN, SHIM_RANK_AD_OPEN},
             {SHIM_RANK_DD_LUN, SHIM_RANK_AD_LUN}, {SHIM_RANK_DD_LUN, SHIM_RANK_HW}};

START_TEST(test_CAM_03_under_all_others_nothing_of_the_drivers_is_entered)
{
    struct shim_lock held, entered;

    locks_begin();
    ck_assert_int_eq(shim_lock_init(&held, under[_i].held, "held"), 0);
    ck_assert_int_eq(shim_lock_init(&entered, under[_i].entered, "entered"), 0);
    shim_lock_enter(&held);
    panic_expect("entering entered");
    shim_lock_enter(&entered);
}
END_TEST

START_TEST(test_CAM_03_a_disk_may_log)
{
    struct shim_lock disk, log;

    locks_begin();
    ck_assert_int_eq(shim_lock_init(&disk, SHIM_RANK_DD_LUN, "disk"), 0);
    ck_assert_int_eq(shim_lock_init(&log, SHIM_RANK_KERN, "log"), 0);
    shim_lock_enter(&disk);
    shim_lock_enter(&log);
    shim_lock_exit(&log);
    shim_lock_exit(&disk);
    shim_lock_fini(&log);
    shim_lock_fini(&disk);
    locks_end();
}
END_TEST

START_TEST(test_CAM_03_leaf_then_anything_panics)
{
    struct shim_lock leaf;

    locks_begin();
    ck_assert_int_eq(shim_lock_init(&leaf, SHIM_RANK_EVENT, "leaf"), 0);
    shim_lock_enter(&leaf);
    panic_expect("while holding leaf (rank 90)");
    shim_lock_enter(&inner);
}
END_TEST

/* A leaf has nothing under it, whatever its rank: the order alone would allow this. */
START_TEST(test_CAM_03_nothing_is_entered_under_a_kernel_service)
{
    struct shim_lock service, event;

    locks_begin();
    ck_assert_int_eq(shim_lock_init(&service, SHIM_RANK_KERN, "service"), 0);
    ck_assert_int_eq(shim_lock_init(&event, SHIM_RANK_EVENT, "event"), 0);
    shim_lock_enter(&inner);
    shim_lock_enter(&service);
    panic_expect("entering event (rank 90) while holding service (rank 80)");
    shim_lock_enter(&event);
}
END_TEST

START_TEST(test_lock_exit_by_a_stranger_panics)
{
    locks_begin();
    panic_expect("inner is not held by this thread");
    shim_lock_exit(&inner);
}
END_TEST

START_TEST(test_lock_fini_of_a_held_lock_panics)
{
    locks_begin();
    shim_lock_enter(&inner);
    panic_expect("lock_fini: inner is held");
    shim_lock_fini(&inner);
}
END_TEST

START_TEST(test_lock_nine_at_once_panic)
{
    static struct shim_lock many[SHIM_SELF_LOCKS + 1];

    locks_begin();
    for (unsigned i = 0; i <= SHIM_SELF_LOCKS; i++)
        ck_assert_int_eq(shim_lock_init(&many[i], (enum shim_rank)(i + 1), "many"), 0);
    for (unsigned i = 0; i < SHIM_SELF_LOCKS; i++)
        shim_lock_enter(&many[i]);
    panic_expect("with 8 locks held");
    shim_lock_enter(&many[SHIM_SELF_LOCKS]);
}
END_TEST

START_TEST(test_CAM_09_sleep_with_a_queue_lock_held_panics)
{
    struct shim_event ev = {0};

    locks_begin();
    shim_lock_enter(&inner);
    panic_expect("sleeping with inner held");
    shim_wait(&ev, NULL, 0);
}
END_TEST

START_TEST(test_CAM_09_sleep_in_completion_context_panics)
{
    struct shim_event ev = {0};

    locks_begin();
    shim_ctx_enter(shim_self(), SHIM_CTX_COMPLETION);
    panic_expect("wait: called in completion context");
    shim_wait(&ev, NULL, 0);
}
END_TEST

START_TEST(test_sleep_under_an_open_lock_and_the_event_lock_is_fine)
{
    struct shim_event ev = {0};

    locks_begin();
    shim_lock_enter(&outer);
    shim_lock_enter(&inner);
    ck_assert(!shim_wait(&ev, &inner, shim_now_ns() + 1000));
    ck_assert(shim_lock_is_held(&inner) && shim_lock_is_held(&outer));
    shim_lock_exit(&inner);
    shim_lock_exit(&outer);
    locks_end();
}
END_TEST

START_TEST(test_lock_init_refuses_bad_arguments)
{
    struct shim_lock l;

    locks_begin();
    ck_assert_int_eq(shim_lock_init(&l, SHIM_RANK_NONE, "x"), EINVAL);
    ck_assert_int_eq(shim_lock_init(&l, (enum shim_rank)100, "x"), EINVAL);
    ck_assert_int_eq(shim_lock_init(&l, SHIM_RANK_AD, NULL), EINVAL);
    ck_assert_int_eq(lock_alloc(&l, LOCK_ALLOC_PIN, 0, "x"), EINVAL);
    ck_assert_int_eq(lock_alloc(&l, LOCK_ALLOC_PIN, LOCK_CLASS_DD, "head"), 0);
    simple_lock(&l);
    ck_assert(lock_mine(&l));
    simple_unlock(&l);
    unlock_enable(disable_lock(INTIODONE, &l), &l);
    ck_assert(!lock_mine(&l));
    lock_free(&l);
    locks_end();
}
END_TEST

/* ---------------------------------------------------------------- threads */

#define EXCLUSION_THREADS 4u
#define EXCLUSION_ROUNDS  50000u

static struct shim_lock shared;
static uint64_t shared_a, shared_b; /* plain: a race shows as a difference, or in TSan */

static void *exclusion_main(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < EXCLUSION_ROUNDS; i++) {
        shim_lock_enter(&shared);
        ck_assert_uint_eq(shared_a, shared_b);
        shared_a++;
        if (i % 64 == 0)
            shim_delay_ns(2000); /* long enough that others go to sleep */
        shared_b++;
        shim_lock_exit(&shared);
    }
    return NULL;
}

/* _i: 0 fast path, 1 checked. */
START_TEST(test_lock_excludes_threads_and_loses_no_wakeup)
{
    pthread_t t[EXCLUSION_THREADS];

    panic_begin(shim_posix_host());
    shim_checks_set(_i == 1);
    ck_assert_int_eq(shim_lock_init(&shared, SHIM_RANK_AD_LUN, "shared"), 0);
    for (unsigned i = 0; i < EXCLUSION_THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, exclusion_main, NULL), 0);
    for (unsigned i = 0; i < EXCLUSION_THREADS; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_uint_eq(shared_a, (uint64_t)EXCLUSION_THREADS * EXCLUSION_ROUNDS);
    ck_assert_uint_eq(shared_a, shared_b);
    ck_assert_uint_eq(atomic_load(&shared.sl_word), 0);
    shim_lock_fini(&shared);
    shim_checks_set(true);
    shim_test_end();
}
END_TEST

/* A host with locks of its own kind is called every time and must keep sl_word. */
static unsigned own_enters, own_exits;

static int own_init(struct shim_lock *l)
{
    l->sl_slow = 1;
    return 0;
}
static void own_enter(struct shim_lock *l)
{
    own_enters++;
    atomic_store(&l->sl_word, 1);
}
static void own_exit(struct shim_lock *l)
{
    own_exits++;
    atomic_store(&l->sl_word, 0);
}

START_TEST(test_host_with_own_locks_is_called_every_time)
{
    struct shim_host host = *shim_det_host(0);
    struct shim_lock l;

    host.lock_init = own_init;
    host.lock_enter = own_enter;
    host.lock_exit = own_exit;
    shim_checks_set(_i == 1);
    ck_assert_int_eq(shim_init(&host), 0);
    ck_assert_int_eq(shim_lock_init(&l, SHIM_RANK_AD, "own"), 0);
    for (int i = 0; i < 3; i++) {
        shim_lock_enter(&l);
        ck_assert(shim_lock_is_held(&l));
        shim_lock_exit(&l);
    }
    ck_assert_uint_eq(own_enters, 3);
    ck_assert_uint_eq(own_exits, 3);
    shim_lock_fini(&l);
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

static Suite *lock_suite(void)
{
    Suite *s = suite_create("shim_lock");
    TCase *order = tcase_create("order");
    TCase *threads = tcase_create("threads");

    tcase_add_test(order, test_CAM_02_ascending_ranks_are_fine);
    tcase_add_exit_test(order, test_CAM_02_descending_rank_panics_with_both_names, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_CAM_02_equal_rank_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_CAM_02_lun_before_adapter, PANIC_AS_EXPECTED);
    tcase_add_loop_exit_test(order, test_CAM_03_under_all_others_nothing_of_the_drivers_is_entered,
                             PANIC_AS_EXPECTED, 0, 6);
    tcase_add_test(order, test_CAM_03_a_disk_may_log);
    tcase_add_exit_test(order, test_CAM_03_leaf_then_anything_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_CAM_03_nothing_is_entered_under_a_kernel_service, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_lock_exit_by_a_stranger_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_lock_fini_of_a_held_lock_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_lock_nine_at_once_panic, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_CAM_09_sleep_with_a_queue_lock_held_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(order, test_CAM_09_sleep_in_completion_context_panics, PANIC_AS_EXPECTED);
    tcase_add_test(order, test_sleep_under_an_open_lock_and_the_event_lock_is_fine);
    tcase_add_test(order, test_lock_init_refuses_bad_arguments);
    tcase_add_loop_test(order, test_host_with_own_locks_is_called_every_time, 0, 2);
    suite_add_tcase(s, order);
    tcase_add_loop_test(threads, test_lock_excludes_threads_and_loses_no_wakeup, 0, 2);
    tcase_set_timeout(threads, 120);
    suite_add_tcase(s, threads);
    return s;
}

int main(int argc, char **argv) { return test_run(lock_suite(), argc, argv); }
