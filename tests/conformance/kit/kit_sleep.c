/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kit_sleep.c - groups of the host half for ports that sleep, have timers, or threads.
 *
 * A timer group comes before sleeping in a port's life: without timers `wait` polls the clock.
 *
 * Does not contain: the groups every port has (kit_host.c).
 */
#include "kit.h"

#define MS 1000000ull

/* ---------------------------------------------------------------- 7, 8 events */

static const char *sleep_cannot(const struct kit_config *config)
{
    return config->kc_host->wait ? NULL : "the host has no wait; the wrapper polls the clock";
}

static void sleep_wake_is_remembered_once(struct kit *k)
{
    struct shim_event ev = {0};
    uint64_t until;

    shim_wake(&ev);
    shim_wake(&ev);
    KIT_MUST(shim_wait(&ev, NULL, UINT64_MAX));
    /* Consumed: the next wait runs into its deadline, and not before it. */
    until = shim_now_ns() + 2 * MS;
    KIT_MUST(!shim_wait(&ev, NULL, until));
    KIT_MUST(shim_now_ns() >= until);
    /* A deadline in the past is an answer at once. */
    KIT_MUST(!shim_wait(&ev, NULL, 0));
    shim_wake(&ev);
    KIT_MUST(shim_wait(&ev, NULL, 0));
}

static void sleep_gives_the_lock_back(struct kit *k)
{
    struct shim_event ev = {0};
    struct shim_lock lock;
    bool woken, held;

    KIT_MUST(shim_lock_init(&lock, SHIM_RANK_EVENT, "kit sleep") == 0);
    shim_lock_enter(&lock);
    woken = shim_wait(&ev, &lock, shim_now_ns() + MS);
    held = shim_lock_is_held(&lock);
    shim_lock_exit(&lock);
    shim_lock_fini(&lock);
    KIT_MUST(!woken);
    KIT_MUST(held);
}

static const struct kit_test sleep_tests[] = {
    {"a wake before the wait counts once", sleep_wake_is_remembered_once},
    {"the lock comes back", sleep_gives_the_lock_back},
    {NULL, NULL},
};
const struct kit_group kit_group_sleep = {"sleep", "7, 8", sleep_cannot, sleep_tests, false, false};

/* ---------------------------------------------------------------- 14, 15 timers */

static const char *timers_cannot(const struct kit_config *config)
{
    return config->kc_host->timer_arm ? NULL : "the host has no timer_arm";
}

/* Written by the timer's function, perhaps on another thread. */
struct probe {
    struct shim_timer timer;
    struct shim_event fired_event;
    _Atomic uint32_t fired;
    uint64_t when_ns; /* of the last, before fired_event */
    uint32_t ctx;
    uint32_t again; /* how often it arms itself anew */
    int error;
};

static void probe_fn(struct shim_timer *t)
{
    struct probe *p = t->tm_arg;

    p->when_ns = shim_now_ns();
    p->ctx = shim_self()->self_ctx;
    if (p->again > 0) {
        p->again--;
        p->error = shim_timer_arm(t, shim_now_ns() + MS);
    }
    atomic_fetch_add_explicit(&p->fired, 1, memory_order_release);
    shim_wake(&p->fired_event);
}

static uint32_t probe_fired(const struct probe *p)
{
    return atomic_load_explicit(&p->fired, memory_order_acquire);
}

static void pass_time(uint64_t ns)
{
    struct shim_event never = {0};

    (void)shim_wait(&never, NULL, shim_now_ns() + ns);
}

/* It is not armed, and when this returns its function is not running. False when it was armed. */
static bool probe_is_over(struct probe *p)
{
    int said;

    while ((said = shim_timer_cancel(&p->timer)) == SHIM_CANCEL_RUNNING)
        pass_time(MS);
    return said == SHIM_CANCEL_IDLE;
}

static void timer_fires_once_and_not_early(struct kit *k)
{
    struct probe p = {0};
    uint64_t when;

    shim_timer_init(&p.timer, probe_fn, &p);
    when = shim_now_ns() + 3 * MS;
    KIT_MUST(shim_timer_arm(&p.timer, when) == 0);
    if (!shim_wait(&p.fired_event, NULL, UINT64_MAX) || p.when_ns < when || p.ctx != SHIM_CTX_COMPLETION)
        kit_fail(k, "fires, not early, in completion context", __FILE__, __LINE__);
    pass_time(5 * MS);
    if (!probe_is_over(&p) || probe_fired(&p) != 1)
        kit_fail(k, "fires once", __FILE__, __LINE__);
}

/* Later, then earlier than the first: it goes off once, at the last time given. */
static void timer_armed_again_moves(struct kit *k)
{
    struct probe p = {0};
    uint64_t start = shim_now_ns();

    shim_timer_init(&p.timer, probe_fn, &p);
    KIT_MUST(shim_timer_arm(&p.timer, start + 60000 * MS) == 0);
    KIT_MUST(shim_timer_arm(&p.timer, start + 90000 * MS) == 0);
    KIT_MUST(shim_timer_arm(&p.timer, start + 4 * MS) == 0);
    (void)shim_wait(&p.fired_event, NULL, UINT64_MAX);
    if (p.when_ns < start + 4 * MS || p.when_ns >= start + 60000 * MS)
        kit_fail(k, "fires at the last time given", __FILE__, __LINE__);
    if (!probe_is_over(&p) || probe_fired(&p) != 1)
        kit_fail(k, "fires once", __FILE__, __LINE__);
}

static void timer_cancelled_stays_quiet(struct kit *k)
{
    struct probe p = {0};

    shim_timer_init(&p.timer, probe_fn, &p);
    KIT_MUST(shim_timer_cancel(&p.timer) == SHIM_CANCEL_IDLE);
    KIT_MUST(shim_timer_arm(&p.timer, shim_now_ns() + 60000 * MS) == 0);
    KIT_MUST(shim_timer_cancel(&p.timer) == SHIM_CANCEL_WAS_ARMED);
    KIT_MUST(shim_timer_cancel(&p.timer) == SHIM_CANCEL_IDLE);
    pass_time(2 * MS);
    KIT_MUST(probe_fired(&p) == 0);
}

static void timer_may_arm_itself(struct kit *k)
{
    struct probe p = {.again = 3};

    shim_timer_init(&p.timer, probe_fn, &p);
    KIT_MUST(shim_timer_arm(&p.timer, shim_now_ns() + MS) == 0);
    while (probe_fired(&p) < 4 && shim_wait(&p.fired_event, NULL, UINT64_MAX))
        continue;
    pass_time(3 * MS);
    if (!probe_is_over(&p) || p.error)
        kit_fail(k, "arms itself from its own function", __FILE__, __LINE__);
    KIT_MUST(probe_fired(&p) == 4);
}

#define TIMER_CROWD 16u

static void timers_fire_in_order(struct kit *k)
{
    struct probe p[TIMER_CROWD];
    uint64_t start = shim_now_ns();

    memset(p, 0, sizeof(p));
    for (unsigned i = 0; i < TIMER_CROWD; i++) {
        shim_timer_init(&p[i].timer, probe_fn, &p[i]);
        /* 5 is prime to 16: armed in a scrambled order. */
        if (shim_timer_arm(&p[i].timer, start + MS + (i * 5 % TIMER_CROWD) * (MS / 2)))
            kit_fail(k, "shim_timer_arm() == 0", __FILE__, __LINE__);
    }
    for (unsigned i = 0; i < TIMER_CROWD && !k->k_what; i++)
        (void)shim_wait(&p[i].fired_event, NULL, UINT64_MAX);
    for (unsigned i = 0; i < TIMER_CROWD; i++)
        (void)probe_is_over(&p[i]);
    for (unsigned i = 0; i < TIMER_CROWD; i++)
        for (unsigned j = 0; j < TIMER_CROWD; j++)
            if (i * 5 % TIMER_CROWD < j * 5 % TIMER_CROWD)
                KIT_MUST(p[i].when_ns <= p[j].when_ns);
}

static const struct kit_test timer_tests[] = {
    {"once and not early", timer_fires_once_and_not_early},
    {"armed again moves", timer_armed_again_moves},
    {"cancelled stays quiet", timer_cancelled_stays_quiet},
    {"may arm itself", timer_may_arm_itself},
    {"in order", timers_fire_in_order},
    {NULL, NULL},
};
const struct kit_group kit_group_timers = {"timers", "14, 15", timers_cannot, timer_tests, false, false};

/* ---------------------------------------------------------------- 7-11 threads */

static const char *threads_cannot(const struct kit_config *config)
{
    return config->kc_host->thread_start && config->kc_host->wait ? NULL
                                                                  : "the host has no thread_start or no wait";
}

#define THREADS 4u
#define ROUNDS  20000u
#define TURNS   2000u

/* One lock on the fast path, as the core has it, and a plain counter that it protects. */
struct crowd {
    struct shim_lock lock;
    unsigned long counter; /* under lock */
    struct shim_event done;
    _Atomic uint32_t left;
    _Atomic uint32_t next;
    struct shim_self *selves[THREADS];
    struct shim_self *starter;
};

static void crowd_member(void *arg)
{
    struct crowd *c = arg;

    c->selves[atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed)] = shim_self();
    for (unsigned i = 0; i < ROUNDS; i++) {
        shim_lock_enter(&c->lock);
        c->counter++;
        shim_lock_exit(&c->lock);
    }
    if (atomic_fetch_sub_explicit(&c->left, 1, memory_order_acq_rel) == 1)
        shim_wake(&c->done);
}

static void threads_exclude(struct kit *k, bool checked)
{
    struct crowd c = {.left = THREADS, .starter = shim_self()};
    struct shim_thread threads[THREADS];
    unsigned started = 0;
    int error = 0;

    shim_checks_set(checked);
    KIT_MUST(shim_lock_init(&c.lock, SHIM_RANK_DD_LUN, "kit crowd") == 0);
    while (started < THREADS && (error = shim_thread_start(&threads[started], crowd_member, &c, "kit")) == 0)
        started++;
    if (started == THREADS)
        (void)shim_wait(&c.done, NULL, UINT64_MAX);
    for (unsigned i = 0; i < started; i++)
        shim_thread_join(&threads[i]);
    shim_lock_fini(&c.lock);
    if (error == ENOSYS && started == 0) {
        k->k_skip = "thread_start says ENOSYS";
        return;
    }
    KIT_MUST(error == 0);
    KIT_MUST(c.counter == (unsigned long)THREADS * ROUNDS);
    for (unsigned i = 0; i < THREADS; i++) {
        KIT_MUST(c.selves[i] && c.selves[i] != c.starter);
        for (unsigned j = 0; j < i; j++)
            KIT_MUST(c.selves[i] != c.selves[j]);
    }
}

static void threads_exclude_fast(struct kit *k) { threads_exclude(k, false); }
static void threads_exclude_checked(struct kit *k) { threads_exclude(k, true); }

struct pingpong {
    struct shim_event ping, pong;
    unsigned turns;
};

static void pong_thread(void *arg)
{
    struct pingpong *pp = arg;

    for (unsigned i = 0; i < TURNS; i++) {
        (void)shim_wait(&pp->ping, NULL, UINT64_MAX);
        pp->turns++;
        shim_wake(&pp->pong);
    }
}

static void threads_lose_no_wakeup(struct kit *k)
{
    struct pingpong pp = {.turns = 0};
    struct shim_thread thread;

    KIT_MUST(shim_thread_start(&thread, pong_thread, &pp, "kit pong") == 0);
    for (unsigned i = 0; i < TURNS; i++) {
        shim_wake(&pp.ping);
        (void)shim_wait(&pp.pong, NULL, UINT64_MAX);
        if (pp.turns != i + 1)
            kit_fail(k, "one turn for each wake", __FILE__, __LINE__);
    }
    shim_thread_join(&thread);
}

static const struct kit_test thread_tests[] = {
    {"a lock excludes", threads_exclude_fast},
    {"a checked lock excludes", threads_exclude_checked},
    {"no wakeup is lost", threads_lose_no_wakeup},
    {NULL, NULL},
};
const struct kit_group kit_group_threads = {"threads", "3-11", threads_cannot, thread_tests, false, false};
