/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer_test.c - the timer queue against a plain model, timers on both hosts, watchdogs, trbs, and
 * the deterministic host's clock.
 */
#include "panic_host.h"

#include <shim/shim_timerq.h>

/* ---------------------------------------------------------------- the queue */

#define MODEL_TIMERS 64u

/* The earliest armed one, first armed among equals, by looking at all. */
static struct shim_timer *model_first(struct shim_timer *tm, const uint64_t *seq)
{
    struct shim_timer *best = NULL;
    uint64_t best_seq = 0;

    for (unsigned i = 0; i < MODEL_TIMERS; i++) {
        if (tm[i].tm_state != 1)
            continue;
        if (!best || tm[i].tm_when_ns < best->tm_when_ns ||
            (tm[i].tm_when_ns == best->tm_when_ns && seq[i] < best_seq)) {
            best = &tm[i];
            best_seq = seq[i];
        }
    }
    return best;
}

START_TEST(test_timerq_equals_model)
{
    struct shim_timerq q = {0};
    struct shim_timer tm[MODEL_TIMERS];
    uint64_t seq[MODEL_TIMERS] = {0}, next_seq = 1;
    unsigned armed = 0;

    memset(tm, 0, sizeof(tm));
    panic_begin(shim_det_host((uint64_t)_i));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)(shim_det_random() % MODEL_TIMERS);

        if (tm[i].tm_state == 1) {
            shim_timerq_remove(&q, &tm[i]);
            armed--;
        } else {
            shim_timerq_insert(&q, &tm[i], shim_det_random() % 40);
            seq[i] = next_seq++;
            armed++;
        }
        ck_assert_uint_eq(q.tq_count, armed);
        ck_assert_ptr_eq(q.tq_first, model_first(tm, seq));
        if (q.tq_first && shim_det_random() % 3 == 0) {
            shim_timerq_remove(&q, q.tq_first);
            armed--;
            ck_assert_ptr_eq(q.tq_first, model_first(tm, seq));
        }
    }
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- both hosts */

static _Atomic unsigned fired;
static uint64_t fired_at[16];
static struct shim_event fired_event;

static void on_fire(struct shim_timer *t)
{
    unsigned n = atomic_fetch_add(&fired, 1);

    (void)t;
    ck_assert(!kern_at_process_level());
    fired_at[n % 16] = shim_now_ns();
    shim_wake(&fired_event);
}

static const struct shim_host *host_by_index(int i) { return i ? shim_posix_host() : shim_det_host(7); }

START_TEST(test_NB_02_arming_moves_and_fires_once)
{
    struct shim_timer t;
    uint64_t start, last = 0;

    panic_begin(host_by_index(_i));
    shim_timer_init(&t, on_fire, NULL);
    ck_assert_int_eq(shim_timer_cancel(&t), SHIM_CANCEL_IDLE);
    start = shim_now_ns();
    for (unsigned i = 0; i < 100; i++) {
        last = start + 1000000u * (100 - i) + 5000000u;
        ck_assert_int_eq(shim_timer_arm(&t, last), 0);
    }
    if (_i == 0)
        ck_assert_uint_eq(shim_det_timers(), 1);
    ck_assert(shim_wait(&fired_event, NULL, start + 2000000000u));
    ck_assert(!shim_wait(&fired_event, NULL, start + 150000000u));
    ck_assert_uint_eq(atomic_load(&fired), 1);
    ck_assert_uint_ge(fired_at[0], last);
    ck_assert_int_eq(shim_timer_cancel(&t), SHIM_CANCEL_IDLE);
    ck_assert_int_eq(shim_timer_arm(&t, shim_now_ns() + 1000000000u), 0);
    ck_assert_int_eq(shim_timer_cancel(&t), SHIM_CANCEL_WAS_ARMED);
    shim_test_end();
    if (_i)
        shim_posix_stop();
}
END_TEST

static unsigned rearm_left;
static void on_fire_rearm(struct shim_timer *t)
{
    ck_assert_int_eq(shim_timer_cancel(t), SHIM_CANCEL_IDLE); /* not "running" from inside */
    if (--rearm_left)
        ck_assert_int_eq(shim_timer_arm(t, shim_now_ns() + 1000), 0);
    else
        shim_wake(&fired_event);
}

START_TEST(test_timer_may_arm_itself)
{
    struct shim_timer t;

    panic_begin(host_by_index(_i));
    rearm_left = 50;
    shim_timer_init(&t, on_fire_rearm, NULL);
    ck_assert_int_eq(shim_timer_arm(&t, 0), 0);
    ck_assert(shim_wait(&fired_event, NULL, shim_now_ns() + 5000000000u));
    ck_assert_uint_eq(rearm_left, 0);
    shim_test_end();
    if (_i)
        shim_posix_stop();
}
END_TEST

static void on_fire_free(struct shim_timer *t)
{
    shim_free(t, sizeof(*t), 0, SHIM_TAG_TEST);
    shim_wake(&fired_event);
}

START_TEST(test_timer_may_free_itself)
{
    panic_begin(host_by_index(_i));
    for (unsigned i = 0; i < 100; i++) {
        struct shim_timer *t = shim_alloc(sizeof(*t), 0, SHIM_TAG_TEST);

        shim_timer_init(t, on_fire_free, NULL);
        ck_assert_int_eq(shim_timer_arm(t, shim_now_ns() + 100), 0);
        ck_assert(shim_wait(&fired_event, NULL, shim_now_ns() + 5000000000u));
    }
    if (_i)
        shim_posix_stop();
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- posix only */

static _Atomic int slow_stage;
static void on_fire_slow(struct shim_timer *t)
{
    (void)t;
    atomic_store(&slow_stage, 1);
    while (atomic_load(&slow_stage) == 1)
        continue;
}

START_TEST(test_timer_cancel_says_running)
{
    struct shim_timer t;

    panic_begin(shim_posix_host());
    shim_timer_init(&t, on_fire_slow, NULL);
    ck_assert_int_eq(shim_timer_arm(&t, 0), 0);
    while (atomic_load(&slow_stage) != 1)
        continue;
    ck_assert_int_eq(shim_timer_cancel(&t), SHIM_CANCEL_RUNNING);
    ck_assert_int_eq(shim_timer_arm(&t, shim_now_ns() + 3600000000000u), 0);
    ck_assert_int_eq(shim_timer_cancel(&t), SHIM_CANCEL_RUNNING); /* disarmed, but still inside */
    atomic_store(&slow_stage, 2);
    shim_posix_stop();
    ck_assert_int_eq(shim_timer_cancel(&t), SHIM_CANCEL_IDLE);
    shim_test_end();
}
END_TEST

START_TEST(test_timer_thread_starts_again_after_stop)
{
    struct shim_timer t;

    panic_begin(shim_posix_host());
    shim_posix_stop(); /* not started: nothing to do */
    shim_timer_init(&t, on_fire, NULL);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(shim_timer_arm(&t, shim_now_ns()), 0);
        ck_assert(shim_wait(&fired_event, NULL, shim_now_ns() + 5000000000u));
        shim_posix_stop();
    }
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- watchdog and trb */

static unsigned barks;
static void on_bark(struct watchdog *w)
{
    ck_assert(!kern_at_process_level());
    ck_assert_uint_eq(w->count, 0);
    barks++;
}

START_TEST(test_watchdog_counts_seconds_in_virtual_time)
{
    struct watchdog w = {.func = on_bark, .restart = 30};
    uint64_t start;

    panic_begin(shim_det_host(1));
    start = kern_now_ns();
    ck_assert_int_eq(w_init(&w), 0);
    w_start(&w);
    ck_assert_uint_eq(w.count, 30);
    shim_det_run(start + 29999999999u);
    ck_assert_uint_eq(barks, 0);
    w_start(&w); /* starts over */
    shim_det_run(start + 59999999998u);
    ck_assert_uint_eq(barks, 0);
    shim_det_run(start + 60000000000u);
    ck_assert_uint_eq(barks, 1);
    w_start(&w);
    w_stop(&w);
    w_stop(&w);
    shim_det_run(start + 200000000000u);
    ck_assert_uint_eq(barks, 1);
    ck_assert_int_eq(w_clear(&w), 0);
    ck_assert_int_eq(w_clear(&w), 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 1, false);
    ck_assert_int_eq(w_init(&w), ENOMEM);
    shim_test_end();
}
END_TEST

static char said[200];
static void log_keep(int level, const char *line)
{
    ck_assert_int_eq(level, SHIM_LOG_WARN);
    ck_assert_uint_lt(strlen(line), sizeof(said));
    memcpy(said, line, strlen(line) + 1);
}

/* It cannot be reported to the caller, so it is said; the next start finds a timer again. */
START_TEST(test_watchdog_without_a_timer_says_so)
{
    struct watchdog w = {.func = on_bark, .restart = 2};
    struct shim_host host = *shim_det_host(1);
    uint64_t start;

    host.log = log_keep;
    panic_begin(&host);
    start = kern_now_ns();
    ck_assert_int_eq(w_init(&w), 0);
    shim_fail_set(SHIM_FAIL_TIMER, 1, false);
    w_start(&w);
    ck_assert_ptr_nonnull(strstr(said, "watchdog: no timer"));
    shim_det_run(start + 10000000000u);
    ck_assert_uint_eq(barks, 0);
    w_start(&w);
    shim_det_run(start + 20000000000u);
    ck_assert_uint_eq(barks, 1);
    ck_assert_int_eq(w_clear(&w), 0);
    shim_test_end();
}
END_TEST

static void on_bark_slow(struct watchdog *w)
{
    (void)w;
    on_fire_slow(NULL);
}

static void on_trb_held(struct trb *t)
{
    (void)t;
    on_fire_slow(NULL);
}

/* While a function runs on another thread its watchdog is not cleared, and its fine timer not stopped. */
START_TEST(test_what_runs_cannot_be_stopped)
{
    struct watchdog w = {.func = on_bark_slow, .restart = 0};
    struct trb *t;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(w_init(&w), 0);
    w_start(&w);
    while (atomic_load(&slow_stage) != 1)
        continue;
    ck_assert_int_eq(w_clear(&w), -1);
    ck_assert_ptr_nonnull(w.w_trb);
    atomic_store(&slow_stage, 2);
    shim_posix_stop();
    ck_assert_int_eq(w_clear(&w), 0);
    ck_assert_ptr_null(w.w_trb);

    t = talloc();
    ck_assert_ptr_nonnull(t);
    t->func = on_trb_held;
    ck_assert_int_eq(tstart(t), 0);
    while (atomic_load(&slow_stage) != 1)
        continue;
    ck_assert_int_eq(tstop(t), -1);
    atomic_store(&slow_stage, 2);
    shim_posix_stop();
    ck_assert_int_eq(tstop(t), 1);
    tfree(t);
    shim_test_end();
}
END_TEST

static unsigned trb_runs;
static void on_trb(struct trb *t)
{
    ck_assert_ptr_eq(t->func_data, &trb_runs);
    trb_runs++;
}

START_TEST(test_trb_life)
{
    struct trb *t;

    panic_begin(shim_det_host(1));
    shim_fail_set(SHIM_FAIL_ALLOC, 1, false);
    ck_assert_ptr_null(talloc());
    t = talloc();
    ck_assert_ptr_nonnull(t);
    t->func = on_trb;
    t->func_data = &trb_runs;
    t->timeout_ns = 500;
    ck_assert_int_eq(tstop(t), 1);
    shim_fail_set(SHIM_FAIL_TIMER, 1, false);
    ck_assert_int_eq(tstart(t), ENOMEM);
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_uint_eq(shim_det_timers(), 1);
    ck_assert(shim_det_step());
    ck_assert(!shim_det_step());
    ck_assert_uint_eq(trb_runs, 1);
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(tstop(t), 0);
    t->timeout_ns = UINT64_MAX;
    ck_assert_int_eq(tstart(t), 0);
    tfree(t); /* disarms */
    ck_assert_uint_eq(shim_det_timers(), 0);
    tfree(NULL);
    shim_test_end();
}
END_TEST

static event_t far_word;
static void on_trb_wake(struct trb *t)
{
    (void)t;
    trb_runs++;
    e_wakeup(&far_word);
}

/* Now plus a limit beyond the clock's end is no limit; it does not wrap into the past. */
START_TEST(test_limits_beyond_the_end_of_time_are_none)
{
    struct trb *t, *never;

    panic_begin(shim_det_host(1));
    shim_delay_ns(1000);
    t = talloc();
    never = talloc();
    ck_assert(t != NULL && never != NULL);
    never->func = on_trb;
    never->func_data = &trb_runs;
    never->timeout_ns = UINT64_MAX - 1;
    ck_assert_int_eq(tstart(never), 0);
    shim_det_run(1000000);
    ck_assert_uint_eq(trb_runs, 0);
    t->func = on_trb_wake;
    t->timeout_ns = 500;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(e_timedsleep(&far_word, NULL, UINT64_MAX - 1), THREAD_AWAKENED);
    ck_assert_uint_eq(trb_runs, 1);
    ck_assert_int_eq(e_timedsleep(&far_word, NULL, 100), THREAD_TIMED_OUT);
    tfree(t);
    tfree(never);
    shim_test_end();
}
END_TEST

static void on_trb_slow(struct trb *t)
{
    (void)t;
    atomic_store(&slow_stage, 1);
    shim_delay_ns(3000000);
    atomic_store(&slow_stage, 2);
}

START_TEST(test_trb_tfree_waits_for_a_running_function)
{
    struct trb *t;

    panic_begin(shim_posix_host());
    t = talloc();
    t->func = on_trb_slow;
    ck_assert_int_eq(tstart(t), 0);
    while (atomic_load(&slow_stage) == 0)
        continue;
    tfree(t);
    ck_assert_int_eq(atomic_load(&slow_stage), 2);
    shim_posix_stop();
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- det */

static unsigned order[8], norder;
static void on_order(struct shim_timer *t) { order[norder++] = (unsigned)(uintptr_t)t->tm_arg; }

START_TEST(test_det_clock_moves_only_when_told_and_ties_keep_order)
{
    struct shim_timer t[4];
    struct shim_event ev = {0};
    uint64_t start;

    panic_begin(shim_det_host(1));
    start = shim_now_ns();
    ck_assert_uint_eq(shim_now_ns(), start);
    for (unsigned i = 0; i < 4; i++) {
        shim_timer_init(&t[i], on_order, (void *)(uintptr_t)i);
        ck_assert_int_eq(shim_timer_arm(&t[i], start + (i == 3 ? 5 : 10)), 0);
    }
    ck_assert_int_eq(shim_timer_arm(&t[0], start + 10), 0); /* armed anew: now last among equals */
    ck_assert(!shim_wait(&ev, NULL, start + 100));
    ck_assert_uint_eq(shim_now_ns(), start + 100);
    ck_assert_uint_eq(norder, 4);
    ck_assert_uint_eq(order[0], 3);
    ck_assert_uint_eq(order[1], 1);
    ck_assert_uint_eq(order[2], 2);
    ck_assert_uint_eq(order[3], 0);
    shim_delay_ns(50);
    ck_assert_uint_eq(shim_now_ns(), start + 150);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(shim_now_ns(), start + 150);
    shim_test_end();
}
END_TEST

START_TEST(test_det_same_seed_same_numbers_and_tunables)
{
    uint64_t first[8];
    struct shim_thread th;

    panic_begin(shim_det_host(42));
    for (unsigned i = 0; i < 8; i++)
        first[i] = shim_det_random();
    shim_det_tunable_set("dd_restart_ms", 5);
    shim_det_tunable_set("dd_restart_ms", 6);
    ck_assert_int_eq(kern_tunable("dd_restart_ms", 500), 6);
    ck_assert_int_eq(shim_thread_start(&th, (void (*)(void *))on_order, NULL, "x"), ENOSYS);
    shim_test_end();
    panic_begin(shim_det_host(42));
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(shim_det_random(), first[i]);
    ck_assert_int_eq(kern_tunable("dd_restart_ms", 500), 500);
    shim_test_end();
    panic_begin(shim_det_host(43));
    ck_assert_uint_ne(shim_det_random(), first[0]);
    shim_test_end();
}
END_TEST

START_TEST(test_det_endless_wait_panics_as_deadlock)
{
    struct shim_event ev = {0};

    panic_begin(shim_det_host(99));
    panic_expect("deadlock: waiting, and no timer is armed");
    shim_wait(&ev, NULL, UINT64_MAX);
}
END_TEST

static struct shim_lock det_lock;
static void on_lock(struct shim_timer *t)
{
    (void)t;
    panic_expect("deadlock: held is taken");
    shim_lock_enter(&det_lock);
}

START_TEST(test_det_lock_held_over_a_wait_and_wanted_by_a_timer_panics)
{
    struct shim_event ev = {0};
    struct shim_timer t;

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(shim_lock_init(&det_lock, SHIM_RANK_DD_OPEN, "held"), 0);
    shim_timer_init(&t, on_lock, NULL);
    ck_assert_int_eq(shim_timer_arm(&t, 0), 0);
    shim_lock_enter(&det_lock);
    shim_wait(&ev, NULL, shim_now_ns() + 1);
}
END_TEST

static Suite *timer_suite(void)
{
    Suite *s = suite_create("timer");
    TCase *queue = tcase_create("queue");
    TCase *hosts = tcase_create("hosts");
    TCase *kern = tcase_create("kern");
    TCase *virtual = tcase_create("det");

    tcase_add_loop_test(queue, test_timerq_equals_model, 0, 5);
    suite_add_tcase(s, queue);
    tcase_add_loop_test(hosts, test_NB_02_arming_moves_and_fires_once, 0, 2);
    tcase_add_loop_test(hosts, test_timer_may_arm_itself, 0, 2);
    tcase_add_loop_test(hosts, test_timer_may_free_itself, 0, 2);
    tcase_add_test(hosts, test_timer_cancel_says_running);
    tcase_add_test(hosts, test_timer_thread_starts_again_after_stop);
    suite_add_tcase(s, hosts);
    tcase_add_test(kern, test_watchdog_counts_seconds_in_virtual_time);
    tcase_add_test(kern, test_watchdog_without_a_timer_says_so);
    tcase_add_test(kern, test_what_runs_cannot_be_stopped);
    tcase_add_test(kern, test_trb_life);
    tcase_add_test(kern, test_limits_beyond_the_end_of_time_are_none);
    tcase_add_test(kern, test_trb_tfree_waits_for_a_running_function);
    suite_add_tcase(s, kern);
    tcase_add_test(virtual, test_det_clock_moves_only_when_told_and_ties_keep_order);
    tcase_add_test(virtual, test_det_same_seed_same_numbers_and_tunables);
    tcase_add_exit_test(virtual, test_det_endless_wait_panics_as_deadlock, PANIC_AS_EXPECTED);
    tcase_add_exit_test(virtual, test_det_lock_held_over_a_wait_and_wanted_by_a_timer_panics,
                        PANIC_AS_EXPECTED);
    suite_add_tcase(s, virtual);
    return s;
}

int main(int argc, char **argv) { return test_run(timer_suite(), argc, argv); }
