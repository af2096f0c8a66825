/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sched_test.c - the scheduler itself: what fibres may do, what is reported, and that a search is one of all
 * schedules and of nothing twice.
 */
#include "schedule.h"

#include "test_main.h"

static struct sched_result *result;
static struct sched sched;

/* A run in this process; the strategy's own failures end the program, which Check reports. */
static void up(enum sched_kind kind, bool interrupts)
{
    const struct shim_host *host = shim_det_host(1);

    sched.s_kind = kind;
    sched.s_interrupts = interrupts;
    shim_det_sched(sched_begin(&sched));
    shim_checks_set(true);
    ck_assert_int_eq(shim_init(host), 0);
    ck_assert_int_eq(kern_init(), 0);
}

static void down(void)
{
    kern_fini();
    ck_assert(shim_det_sched_idle());
    ck_assert_uint_eq(shim_fini(), 0);
    shim_checks_set(false);
}

static void begin(void)
{
    memset(&sched, 0, sizeof(sched));
    result = sched_result_new();
    sched.s_result = result;
}

static void end(void)
{
    free(sched.s_steps);
    sched.s_steps = NULL;
}

/* Run a program under a list of deviations or a strategy; how it ended is in `result`. */
static bool run(void (*fn)(const struct det_strategy *st, uint64_t seed), enum sched_kind kind)
{
    const struct sched_program p = {"test", "", fn, false, NULL};

    sched.s_kind = kind;
    return sched_run(&sched, &p);
}

/* ---------------------------------------------------------------- running, joining, time */

static char order[64];
static unsigned norder;

static void say(void *arg)
{
    order[norder++] = *(const char *)arg;
    shim_det_mark();
    order[norder++] = *(const char *)arg;
}

START_TEST(fibres_run_and_are_joined)
{
    struct shim_thread t[2];

    norder = 0;
    memset(order, 0, sizeof(order));
    up(SCHED_FIRST, false);
    ck_assert_int_eq(shim_thread_start(&t[0], say, "a", "a"), 0);
    ck_assert_int_eq(shim_thread_start(&t[1], say, "b", "b"), 0);
    ck_assert_uint_eq(norder, 0); /* nobody is preempted: the caller goes on */
    shim_thread_join(&t[0]);
    ck_assert(memcmp(order, "aa", 2) == 0); /* and neither is a fibre at its mark */
    shim_thread_join(&t[1]);
    ck_assert_str_eq(order, "aabb");
    down();
}
END_TEST

static uint64_t slept_until, spun_until;

static void sleeper(void *arg)
{
    struct shim_event never = {0};

    (void)arg;
    ck_assert(!shim_wait(&never, NULL, shim_now_ns() + 500));
    slept_until = shim_now_ns();
}

static void spinner(void *arg)
{
    (void)arg;
    shim_delay_ns(300);
    spun_until = shim_now_ns();
}

START_TEST(time_stands_still_while_anybody_runs)
{
    struct shim_thread t[2];
    uint64_t start;

    up(SCHED_FIRST, false);
    start = shim_now_ns();
    ck_assert_int_eq(shim_thread_start(&t[0], sleeper, NULL, "sleeper"), 0);
    ck_assert_int_eq(shim_thread_start(&t[1], spinner, NULL, "spinner"), 0);
    for (unsigned i = 0; i < 100; i++)
        shim_det_mark();
    ck_assert_uint_eq(shim_now_ns(), start);
    shim_thread_join(&t[0]);
    shim_thread_join(&t[1]);
    ck_assert_uint_eq(slept_until, start + 500);
    ck_assert_uint_eq(spun_until, start + 300);
    down();
}
END_TEST

/* ---------------------------------------------------------------- locks and events */

static struct shim_lock lock;
static unsigned inside, entered;

static void in_and_out(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        shim_lock_enter(&lock);
        ck_assert_uint_eq(inside++, 0);
        shim_det_mark();
        entered++;
        inside--;
        shim_lock_exit(&lock);
    }
}

START_TEST(a_lock_excludes_whatever_the_seed)
{
    struct shim_thread t[3];

    for (sched.s_seed = 0; sched.s_seed < 200; sched.s_seed++) {
        sched.s_one_in = sched.s_seed % 2 ? 2 : 16;
        up(sched.s_seed % 3 ? SCHED_WALK : SCHED_PCT, false);
        entered = inside = 0;
        ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_AD, "tested"), 0);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(shim_thread_start(&t[i], in_and_out, NULL, "worker"), 0);
        for (unsigned i = 0; i < 3; i++)
            shim_thread_join(&t[i]);
        ck_assert_uint_eq(entered, 9);
        shim_lock_fini(&lock);
        down();
    }
}
END_TEST

static struct shim_event event;
static unsigned tickets, served;

static void waiter(void *arg)
{
    (void)arg;
    shim_lock_enter(&lock);
    while (tickets == 0)
        (void)shim_wait(&event, &lock, UINT64_MAX);
    tickets--;
    served++;
    /* A remembered wake-up serves one: pass it on while there is something to serve. */
    if (tickets > 0)
        shim_wake(&event);
    shim_lock_exit(&lock);
}

START_TEST(an_event_is_not_lost_whatever_the_seed)
{
    struct shim_thread t[2];

    for (sched.s_seed = 0; sched.s_seed < 200; sched.s_seed++) {
        sched.s_one_in = 2;
        up(SCHED_WALK, false);
        memset(&event, 0, sizeof(event));
        tickets = served = 0;
        ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_EVENT, "tested"), 0);
        for (unsigned i = 0; i < 2; i++)
            ck_assert_int_eq(shim_thread_start(&t[i], waiter, NULL, "waiter"), 0);
        for (unsigned i = 0; i < 2; i++) {
            shim_lock_enter(&lock);
            tickets++;
            shim_lock_exit(&lock);
            shim_wake(&event);
        }
        for (unsigned i = 0; i < 2; i++)
            shim_thread_join(&t[i]);
        ck_assert_uint_eq(served, 2);
        shim_lock_fini(&lock);
        down();
    }
}
END_TEST

static void turn(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        shim_lock_enter(&lock);
        while (inside)
            (void)shim_wait(&event, &lock, UINT64_MAX);
        inside = 1;
        shim_lock_exit(&lock);
        shim_det_mark();
        shim_lock_enter(&lock);
        inside = 0;
        shim_lock_exit(&lock);
        shim_wake(&event);
    }
}

/* One after the other, with one event for all who wait: those who come late do not take it from the sleepers.
 */
START_TEST(an_event_with_many_sleepers_is_not_lost)
{
    struct shim_thread t[4];

    for (sched.s_seed = 0; sched.s_seed < 500; sched.s_seed++) {
        sched.s_one_in = sched.s_seed % 2 ? 2 : 4;
        up(SCHED_WALK, false);
        memset(&event, 0, sizeof(event));
        inside = 0;
        ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_EVENT, "tested"), 0);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_int_eq(shim_thread_start(&t[i], turn, NULL, "turn"), 0);
        for (unsigned i = 0; i < 4; i++)
            shim_thread_join(&t[i]);
        shim_lock_fini(&lock);
        down();
    }
}
END_TEST

/* ---------------------------------------------------------------- timers, also on top of a fibre */

static unsigned fired, fired_inside;
static bool working;
static uint64_t fired_by;
static struct shim_timer timer;

static void fire(struct shim_timer *t)
{
    fired++;
    fired_inside += working;
    fired_by = shim_self()->self_id;
    ck_assert_uint_eq(shim_self()->self_ctx, SHIM_CTX_COMPLETION);
    ck_assert_int_eq(shim_timer_cancel(t), SHIM_CANCEL_IDLE); /* its own function: not "running" */
    shim_det_mark();
}

static unsigned fired_while_working(bool interrupts)
{
    unsigned n = 0;

    for (sched.s_seed = 0; sched.s_seed < 100; sched.s_seed++) {
        sched.s_one_in = 2;
        up(SCHED_WALK, interrupts);
        fired = fired_inside = 0;
        shim_timer_init(&timer, fire, NULL);
        ck_assert_int_eq(shim_timer_arm(&timer, shim_now_ns()), 0);
        ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_AD, "tested"), 0);
        working = true;
        shim_det_mark();
        n += fired_inside && fired_by == shim_self()->self_id;
        shim_lock_enter(&lock);
        working = false;
        {
            const unsigned before = fired;

            shim_det_mark(); /* a lock masks what would come on top */
            ck_assert(fired == before || fired_by != shim_self()->self_id);
        }
        shim_lock_exit(&lock);
        shim_delay_ns(10);
        ck_assert_uint_eq(fired, 1);
        shim_lock_fini(&lock);
        down();
    }
    return n;
}

START_TEST(timers_run_on_top_when_wanted)
{
    ck_assert_uint_eq(fired_while_working(false), 0);
    ck_assert_uint_gt(fired_while_working(true), 0);
}
END_TEST

static int cancel_said;

static void canceller(void *arg)
{
    (void)arg;
    cancel_said = shim_timer_cancel(&timer);
}

START_TEST(cancelling_a_timer_that_runs_says_so)
{
    unsigned said[3] = {0};
    struct shim_thread t;

    for (sched.s_seed = 0; sched.s_seed < 200; sched.s_seed++) {
        sched.s_one_in = 2;
        up(SCHED_WALK, false);
        fired = 0;
        shim_timer_init(&timer, fire, NULL);
        ck_assert_int_eq(shim_timer_arm(&timer, shim_now_ns()), 0);
        ck_assert_int_eq(shim_thread_start(&t, canceller, NULL, "canceller"), 0);
        shim_thread_join(&t);
        shim_delay_ns(10);
        ck_assert_int_le(cancel_said, SHIM_CANCEL_RUNNING);
        said[cancel_said]++;
        ck_assert_uint_eq(fired, cancel_said != SHIM_CANCEL_WAS_ARMED);
        down();
    }
    for (unsigned i = 0; i < 3; i++)
        ck_assert_msg(said[i] > 0, "no seed in 200 had it say %u", i);
}
END_TEST

static void fire_and_wait(struct shim_timer *t)
{
    (void)t;
    shim_lock_enter(&lock);
    fired++;
    shim_lock_exit(&lock);
}

static void fire_and_write(struct shim_timer *t)
{
    memset(t->tm_arg, 1, 4096);
    shim_det_mark();
    fired++;
}

/* What the function worked on may go when a cancel has said that it does not run: for the thread sanitizer,
 * too. */
START_TEST(a_timer_that_does_not_run_is_over)
{
    for (sched.s_seed = 0; sched.s_seed < 50; sched.s_seed++) {
        void *memory = malloc(4096);

        sched.s_one_in = 2;
        up(SCHED_WALK, false);
        fired = 0;
        shim_timer_init(&timer, fire_and_write, memory);
        ck_assert_int_eq(shim_timer_arm(&timer, shim_now_ns()), 0);
        while (fired == 0 || shim_timer_cancel(&timer) == SHIM_CANCEL_RUNNING)
            shim_delay_ns(1);
        free(memory);
        down();
    }
}
END_TEST

static void fire_again(struct shim_timer *t)
{
    ck_assert_int_eq(shim_timer_arm(t, shim_now_ns() + 1000000), 0);
    fired = 1;
    shim_delay_ns(100);
    fired = 2;
}

/* It has armed itself for later and has not ended: as on the threaded host, that is "running". */
START_TEST(cancelling_a_timer_that_is_armed_again_waits_for_it)
{
    sched.s_seed = 1;
    up(SCHED_WALK, false);
    fired = 0;
    shim_timer_init(&timer, fire_again, NULL);
    ck_assert_int_eq(shim_timer_arm(&timer, shim_now_ns()), 0);
    while (fired == 0)
        shim_delay_ns(1);
    ck_assert_int_eq(shim_timer_cancel(&timer), SHIM_CANCEL_RUNNING);
    ck_assert_int_eq(fired, 1);
    shim_delay_ns(2000000);
    ck_assert_int_eq(fired, 2);
    ck_assert_int_eq(shim_timer_cancel(&timer), SHIM_CANCEL_IDLE);
    down();
}
END_TEST

static struct buf bufs[2 * SHIM_IODONE_NEST];
static unsigned nested;

static void ends_the_next(struct buf *bp)
{
    const size_t i = (size_t)(bp - bufs);

    if (i + 1 < SC_ARRAY_SIZE(bufs))
        iodone(&bufs[i + 1]);
    shim_det_mark();
    nested++;
}

/* A timer on top of a thread that has put iodone calls off: they stay that thread's. */
START_TEST(a_timer_on_top_leaves_what_was_put_off)
{
    unsigned on_top = 0;

    for (sched.s_seed = 0; sched.s_seed < 100; sched.s_seed++) {
        sched.s_one_in = 2;
        up(SCHED_WALK, true);
        fired = fired_inside = nested = 0;
        memset(bufs, 0, sizeof(bufs));
        for (unsigned i = 0; i < SC_ARRAY_SIZE(bufs); i++)
            bufs[i].b_iodone = ends_the_next;
        shim_timer_init(&timer, fire, NULL);
        ck_assert_int_eq(shim_timer_arm(&timer, shim_now_ns()), 0);
        working = true;
        iodone(&bufs[0]);
        working = false;
        ck_assert_uint_eq(nested, SC_ARRAY_SIZE(bufs));
        on_top += fired_inside && fired_by == shim_self()->self_id;
        shim_delay_ns(10);
        ck_assert_uint_eq(fired, 1);
        down();
    }
    ck_assert_uint_gt(on_top, 0);
}
END_TEST

/* Two are due; the first waits for a lock whose holder is off for a while. */
START_TEST(a_timer_that_waits_does_not_stop_time)
{
    struct shim_timer timers[2];

    up(SCHED_FIRST, false);
    fired = 0;
    ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_AD, "tested"), 0);
    for (unsigned i = 0; i < 2; i++) {
        shim_timer_init(&timers[i], fire_and_wait, NULL);
        ck_assert_int_eq(shim_timer_arm(&timers[i], shim_now_ns() + 10), 0);
    }
    shim_lock_enter(&lock);
    shim_delay_ns(1000);
    ck_assert_uint_eq(fired, 0);
    shim_lock_exit(&lock);
    shim_delay_ns(10);
    ck_assert_uint_eq(fired, 2);
    shim_lock_fini(&lock);
    down();
}
END_TEST

static struct shim_lock other;
static bool said;

static void says(void *arg)
{
    (void)arg;
    shim_lock_enter(&lock);
    shim_det_mark();
    said = true;
    shim_wake(&event);
    shim_lock_exit(&lock);
}

/* A sleeper is woken also while an interrupt on top of it waits for a lock. */
START_TEST(a_wake_up_finds_who_is_interrupted)
{
    struct shim_thread t;

    for (sched.s_seed = 0; sched.s_seed < 1000; sched.s_seed++) {
        sched.s_one_in = 2;
        up(SCHED_WALK, true);
        memset(&event, 0, sizeof(event));
        said = false;
        fired = 0;
        ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_AD, "tested"), 0);
        ck_assert_int_eq(shim_lock_init(&other, SHIM_RANK_AD, "other"), 0);
        shim_timer_init(&timer, fire_and_wait, NULL);
        ck_assert_int_eq(shim_timer_arm(&timer, shim_now_ns()), 0);
        ck_assert_int_eq(shim_thread_start(&t, says, NULL, "says"), 0);
        shim_lock_enter(&other);
        while (!said)
            (void)shim_wait(&event, &other, UINT64_MAX);
        shim_lock_exit(&other);
        shim_thread_join(&t);
        shim_delay_ns(10);
        ck_assert_uint_eq(fired, 1);
        shim_lock_fini(&lock);
        shim_lock_fini(&other);
        down();
    }
}
END_TEST

/* ---------------------------------------------------------------- what is reported */

static struct shim_lock first, second;

static void wrong_order(void *arg)
{
    (void)arg;
    shim_lock_enter(&second);
    shim_det_mark();
    shim_lock_enter(&first);
    shim_lock_exit(&first);
    shim_lock_exit(&second);
}

/* Ranks are not checked here: the deadlock itself is to be seen. */
static void deadlocks(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);
    struct shim_thread t;

    shim_det_sched(st);
    ck_assert_int_eq(shim_init(host), 0);
    ck_assert_int_eq(shim_lock_init(&first, SHIM_RANK_AD, "first"), 0);
    ck_assert_int_eq(shim_lock_init(&second, SHIM_RANK_HW, "second"), 0);
    ck_assert_int_eq(shim_thread_start(&t, wrong_order, NULL, "other"), 0);
    shim_lock_enter(&first);
    shim_det_mark();
    shim_lock_enter(&second);
    shim_lock_exit(&second);
    shim_lock_exit(&first);
    shim_thread_join(&t);
    shim_lock_fini(&first);
    shim_lock_fini(&second);
    ck_assert_uint_eq(shim_fini(), 0);
}

START_TEST(a_deadlock_names_the_locks)
{
    const struct sched_program p = {"deadlock", "", deadlocks, false, NULL};

    ck_assert(run(deadlocks, SCHED_FIRST)); /* nobody preempted: no deadlock */
    sched.s_preemptions = 0;
    ck_assert(sched_search(&sched, &p, false));
    sched.s_preemptions = 1;
    ck_assert(!sched_search(&sched, &p, false));
    ck_assert_ptr_nonnull(strstr(result->r_text, "deadlock"));
    ck_assert_ptr_nonnull(strstr(result->r_text, "(main) waits for lock second (rank 70), held by fibre 2"));
    ck_assert_ptr_nonnull(strstr(result->r_text, "(other) waits for lock first (rank 60), held by fibre 0"));
}
END_TEST

static void forever(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);

    shim_det_sched(st);
    ck_assert_int_eq(shim_init(host), 0);
    for (;;)
        shim_det_mark();
}

START_TEST(a_livelock_is_one_after_so_many_points)
{
    sched.s_points_max = 5000;
    ck_assert(!run(forever, SCHED_WALK));
    ck_assert_ptr_nonnull(strstr(result->r_text, "livelock"));
    ck_assert_uint_eq(result->r_points, 5001);
}
END_TEST

/* ---------------------------------------------------------------- searching, replaying, shrinking */

static void mark_twice(void *arg)
{
    shim_det_observe((uint64_t)(uintptr_t)arg);
    shim_det_mark();
    shim_det_observe((uint64_t)(uintptr_t)arg);
    shim_det_mark();
    shim_det_observe((uint64_t)(uintptr_t)arg);
}

#define SEEN_MAX 4096u
static struct seen {
    uint32_t n;
    uint64_t digests[SEEN_MAX];
} * seen;

static void two_that_mark(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);
    struct shim_thread t[2];
    uint64_t digest = 14695981039346656037u;

    shim_det_sched(st);
    SCHED_CHECK(shim_init(host) == 0, "init");
    for (uintptr_t i = 0; i < 2; i++)
        SCHED_CHECK(shim_thread_start(&t[i], mark_twice, (void *)(i + 1), i ? "b" : "a") == 0, "start");
    for (unsigned i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(shim_fini() == 0, "fini");
    for (uint32_t i = 0; i < result->r_ndeviations; i++)
        digest =
            digest * 1099511628211u + result->r_deviations[i].dv_at * 64u + result->r_deviations[i].dv_pick;
    for (uint32_t i = 0; i < seen->n; i++)
        SCHED_CHECK(seen->digests[i] != digest, "schedule %u twice", i);
    SCHED_CHECK(seen->n < SEEN_MAX, "too many");
    seen->digests[seen->n++] = digest;
}

/*
 * No schedule comes twice, and a larger bound finds more until there are no more. Three fibres: the caller
 * with four points, two with two marks each.
 */
START_TEST(a_search_runs_each_schedule_once)
{
    const struct sched_program p = {"marks", "", two_that_mark, false, NULL};
    uint64_t last = 0;

    for (sched.s_preemptions = 0; sched.s_preemptions < 12; sched.s_preemptions++) {
        struct sched_result *r = sched_result_new();

        seen = (struct seen *)(void *)r->r_deviations; /* shared with the child that searches */
        seen->n = 0;
        result->r_text[0] = '\0';
        ck_assert_msg(sched_search(&sched, &p, false), "%s", result->r_text);
        ck_assert(result->r_exhausted);
        ck_assert_uint_eq(result->r_schedules, seen->n);
        ck_assert_uint_ge(result->r_schedules, last);
        if (sched.s_preemptions > 0 && sched.s_preemptions < 4)
            ck_assert_uint_gt(result->r_schedules, last);
        if (sched.s_preemptions == 11)
            ck_assert_uint_eq(result->r_schedules, last); /* there are no more */
        last = result->r_schedules;
    }
}
END_TEST

static bool a_was_first, b_was_between;

static void two_events(void *arg)
{
    if (*(const char *)arg == 'a') {
        a_was_first = true;
        shim_det_mark();
        SCHED_CHECK(!b_was_between, "b between two events of a");
    } else {
        shim_det_mark();
        b_was_between = a_was_first;
        shim_det_mark();
        shim_det_mark();
    }
}

static void needs_order(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);
    struct shim_thread t[2];

    a_was_first = b_was_between = false;
    shim_det_sched(st);
    SCHED_CHECK(shim_init(host) == 0, "init");
    SCHED_CHECK(shim_thread_start(&t[0], two_events, "a", "a") == 0, "start");
    SCHED_CHECK(shim_thread_start(&t[1], two_events, "b", "b") == 0, "start");
    for (unsigned i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(shim_fini() == 0, "fini");
}

static bool replay_holds(const struct sched_deviation *list, uint32_t n)
{
    struct sched s = {
        .s_kind = SCHED_REPLAY, .s_replay = list, .s_nreplay = n, .s_result = sched_result_new()};
    const struct sched_program p = {"order", "", needs_order, false, NULL};

    return sched_run(&s, &p);
}

/* What is written down of a run is all of it, naps included: replayed it is the same run. */
START_TEST(a_replay_is_the_same_run)
{
    static const enum sched_kind kinds[] = {SCHED_WALK, SCHED_PCT, SCHED_STARVED, SCHED_SLOW};
    static struct sched_deviation list[256];

    for (unsigned k = 0; k < SC_ARRAY_SIZE(kinds); k++) {
        sched.s_one_in = 2;
        sched.s_length = 20;
        for (sched.s_seed = 1; sched.s_seed <= 40; sched.s_seed++) {
            const bool ok = run(needs_order, kinds[k]);
            const uint64_t digest = result->r_digest;

            ck_assert_uint_le(result->r_ndeviations, SC_ARRAY_SIZE(list));
            memcpy(list, result->r_deviations, result->r_ndeviations * sizeof(*list));
            sched.s_replay = list;
            sched.s_nreplay = result->r_ndeviations;
            ck_assert_int_eq(run(needs_order, SCHED_REPLAY), ok);
            ck_assert_uint_eq(result->r_digest, digest);
        }
    }
}
END_TEST

START_TEST(every_strategy_finds_it_and_shrinking_keeps_one)
{
    static const enum sched_kind kinds[] = {SCHED_WALK, SCHED_PCT, SCHED_STARVED, SCHED_SLOW};
    const struct sched_program p = {"order", "", needs_order, false, NULL};
    struct sched_deviation list[16];

    ck_assert(run(needs_order, SCHED_FIRST));
    for (unsigned k = 0; k < SC_ARRAY_SIZE(kinds); k++) {
        bool ok = true;
        uint64_t digest;

        sched.s_one_in = 2;
        sched.s_length = 20;
        for (sched.s_seed = 1; sched.s_seed < 500 && ok; sched.s_seed++)
            ok = run(needs_order, kinds[k]);
        ck_assert_msg(!ok, "strategy %s does not find it in 500 seeds", sched_kind_names[kinds[k]]);
        ck_assert_str_eq(result->r_text, "b between two events of a");
        sched.s_seed--;
        ck_assert_uint_gt(sched_shrink(&sched, &p, result, false), 0);
        ck_assert_uint_ge(result->r_ndeviations, 1);
        ck_assert_uint_le(result->r_ndeviations, 4);
        /* What is left is enough, and the same each time. */
        memcpy(list, result->r_deviations, result->r_ndeviations * sizeof(*list));
        sched.s_replay = list;
        sched.s_nreplay = result->r_ndeviations;
        ck_assert(!run(needs_order, SCHED_REPLAY));
        digest = result->r_digest;
        ck_assert(!run(needs_order, SCHED_REPLAY));
        ck_assert_uint_eq(result->r_digest, digest);
        /* And not one of them can be left out. */
        for (uint32_t out = 0; out < sched.s_nreplay; out++) {
            struct sched_deviation less[16];

            memcpy(less, list, out * sizeof(*list));
            memcpy(less + out, list + out + 1, (sched.s_nreplay - out - 1) * sizeof(*list));
            ck_assert(replay_holds(less, sched.s_nreplay - 1));
        }
    }
}
END_TEST

static unsigned window, hits;

static void two_windows(void *arg)
{
    if (*(const char *)arg == 'a') {
        for (window = 1; window <= 2; window++)
            shim_det_mark();
        window = 0;
    } else {
        for (unsigned i = 0; i < 2; i++) {
            hits |= window;
            shim_det_mark();
        }
    }
}

/* Three deviations make the second failure; with one of them alone it is the first. */
static void fails_in_two_ways(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);
    struct shim_thread t[2];

    window = hits = 0;
    shim_det_sched(st);
    SCHED_CHECK(shim_init(host) == 0, "init");
    SCHED_CHECK(shim_thread_start(&t[0], two_windows, "a", "a") == 0, "start");
    SCHED_CHECK(shim_thread_start(&t[1], two_windows, "b", "b") == 0, "start");
    for (unsigned i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(hits != 3, "both after %#x points\nin windows", (unsigned)shim_det_points() << 4);
    SCHED_CHECK(hits == 0, "one after %#x points\nin window %u", (unsigned)shim_det_points() << 4, hits);
    SCHED_CHECK(shim_fini() == 0, "fini");
}

START_TEST(shrinking_keeps_the_failure)
{
    const struct sched_program p = {"two ways", "", fails_in_two_ways, false, NULL};
    struct sched_deviation list[64];
    bool both = false;

    sched.s_one_in = 2;
    for (sched.s_seed = 1; sched.s_seed < 500 && !both; sched.s_seed++)
        both = !run(fails_in_two_ways, SCHED_WALK) && strncmp(result->r_text, "both", 4) == 0;
    ck_assert_msg(both, "no seed in 500 hits both windows");
    sched.s_seed--;
    (void)sched_shrink(&sched, &p, result, false);
    ck_assert_uint_le(result->r_ndeviations, 4);
    memcpy(list, result->r_deviations, result->r_ndeviations * sizeof(*list));
    sched.s_replay = list;
    sched.s_nreplay = result->r_ndeviations;
    ck_assert(!run(fails_in_two_ways, SCHED_REPLAY));
    ck_assert_msg(strncmp(result->r_text, "both", 4) == 0, "it ends with: %s", result->r_text);
}
END_TEST

/* Also at a point where there is nobody else: whoever comes later is above. */
START_TEST(pct_lowers_a_fibre_wherever_the_place_is)
{
    for (sched.s_seed = 0; sched.s_seed < 50; sched.s_seed++) {
        sched.s_depth = 2;
        sched.s_length = 10;
        up(SCHED_PCT, false);
        for (unsigned i = 0; i < 10; i++)
            shim_det_mark();
        ck_assert_int_eq(sched.s_priority[DET_FIBRE_MAIN], -1);
        down();
    }
}
END_TEST

/* ---------------------------------------------------------------- stories */

static struct watchdog dog;
static bool on_top_seen;

static void bark(struct watchdog *w)
{
    (void)w;
    on_top_seen = shim_det_fibre() == DET_FIBRE_MAIN;
}

/* Fails when the watchdog, which passes no point, comes on top of the caller at its mark. */
static void barked_at(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);

    on_top_seen = false;
    shim_det_sched(st);
    SCHED_CHECK(shim_init(host) == 0 && kern_init() == 0, "init");
    memset(&dog, 0, sizeof(dog));
    dog.func = bark; /* due at once: restart is 0 */
    SCHED_CHECK(w_init(&dog) == 0, "no watchdog");
    w_start(&dog);
    shim_det_mark();
    SCHED_CHECK(!on_top_seen, "barked at");
    while (w_clear(&dog) != 0)
        shim_delay_ns(1);
    kern_fini();
    SCHED_CHECK(shim_fini() == 0, "fini");
}

/* What the program prints of the failure that is in `result`, in memory of the test's. */
static const char *told(const struct sched_program *p)
{
    static char text[8192];
    size_t n;

    fflush(stdout);
    ck_assert_ptr_nonnull(freopen("sched_test.story", "w+", stdout));
    sched_tell(&sched, p, result);
    fflush(stdout);
    rewind(stdout);
    n = fread(text, 1, sizeof(text) - 1, stdout);
    text[n] = '\0';
    (void)remove("sched_test.story");
    return text;
}

START_TEST(a_story_tells_of_a_timer_on_top)
{
    const struct sched_program p = {"barked", "", barked_at, true, NULL};
    const char *story, *line;

    sched.s_preemptions = 1;
    ck_assert(!sched_search(&sched, &p, false));
    ck_assert_str_eq(result->r_text, "barked at");
    (void)sched_shrink(&sched, &p, result, false);
    ck_assert_uint_eq(result->r_ndeviations, 1);
    story = told(&p);
    line = strstr(story, "  > timer bark ran on top of fibre 0 (main) at sched_test.c:");
    ck_assert_msg(line != NULL, "%s", story);
    ck_assert_msg(strstr(line, " barked_at [mark]\n") != NULL, "%s", story);
    ck_assert_msg(strstr(story, "\n  barked at\n") != NULL, "%s", story);
}
END_TEST

static Suite *sched_suite(void)
{
    Suite *s = suite_create("sched");
    const TTest *tests[] = {fibres_run_and_are_joined,
                            time_stands_still_while_anybody_runs,
                            a_lock_excludes_whatever_the_seed,
                            an_event_is_not_lost_whatever_the_seed,
                            an_event_with_many_sleepers_is_not_lost,
                            timers_run_on_top_when_wanted,
                            cancelling_a_timer_that_runs_says_so,
                            a_timer_that_waits_does_not_stop_time,
                            a_wake_up_finds_who_is_interrupted,
                            a_timer_that_does_not_run_is_over,
                            cancelling_a_timer_that_is_armed_again_waits_for_it,
                            a_timer_on_top_leaves_what_was_put_off,
                            a_deadlock_names_the_locks,
                            a_livelock_is_one_after_so_many_points,
                            a_search_runs_each_schedule_once,
                            a_replay_is_the_same_run,
                            every_strategy_finds_it_and_shrinking_keeps_one,
                            shrinking_keeps_the_failure,
                            a_story_tells_of_a_timer_on_top,
                            pct_lowers_a_fibre_wherever_the_place_is};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(tests); i++) {
        TCase *c = tcase_create(tests[i]->name);

        tcase_add_checked_fixture(c, begin, end);
        tcase_add_test(c, tests[i]);
        suite_add_tcase(s, c);
    }
    return s;
}

int main(int argc, char **argv) { return test_run(sched_suite(), argc, argv); }
