/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_park.c - locks and events against themselves: the parking lot of the threaded host, and the det
 * host's own.
 *
 * The host here is the det host with posix_park.c's lock and event functions in its table, so that everything
 * from the inline fast path of sys/sclock.h down to the last exchange on a word is the code that runs on
 * threads; only mutexes and condition variables are fibres' own (small_pthread.h).
 *
 * Locks and events stand in static memory: which bucket they fall into has to be the same in every run.
 */
#include "small_pthread.h"

#include "../../../src/shim/posix/posix_park.c"

#include "small.h"

#define PARK_FREED 0xdd /* what a freed object is filled with */

/* ---------------------------------------------------------------- pthreads */

static void park_mutex_take(struct small_mutex *m)
{
    while (m->m_held)
        (void)shim_det_sleep(m, UINT64_MAX);
    m->m_held = true;
}

int small_mutex_lock(struct small_mutex *m)
{
    shim_det_mark();
    park_mutex_take(m);
    return 0;
}

int small_mutex_unlock(struct small_mutex *m)
{
    m->m_held = false;
    shim_det_rouse(m);
    return 0;
}

static int park_cond_wait(struct small_cond *c, struct small_mutex *m, uint64_t until_ns)
{
    bool woken;

    (void)small_mutex_unlock(m);
    woken = shim_det_sleep(c, until_ns);
    park_mutex_take(m);
    return woken ? 0 : ETIMEDOUT;
}

int small_cond_wait(struct small_cond *c, struct small_mutex *m) { return park_cond_wait(c, m, UINT64_MAX); }

int small_cond_timedwait(struct small_cond *c, struct small_mutex *m, const struct timespec *until)
{
    return park_cond_wait(c, m, (uint64_t)until->tv_sec * 1000000000u + (uint64_t)until->tv_nsec);
}

int small_cond_signal(struct small_cond *c)
{
    shim_det_rouse(c);
    return 0;
}

struct shim_posix_thread *small_posix_thread(void)
{
    static struct shim_posix_thread threads[DET_FIBRES_MAX];

    return &threads[shim_det_fibre()];
}

struct timespec small_posix_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

void small_posix_must(int rc, const char *what) { SCHED_CHECK(rc == 0, "%s: %d", what, rc); }

/* ---------------------------------------------------------------- a run */

static struct shim_lock lock;
static struct shim_event event;
static struct shim_thread threads[4];
static unsigned nthreads;
static bool inside;  /* somebody is between enter and exit */
static unsigned sum; /* protected by the lock */

static void park_up(const struct det_strategy *st, uint64_t seed, bool parked)
{
    struct shim_host host = *shim_det_host(seed);

    shim_det_sched(st);
    if (parked) {
        host.lock_init = shim_posix_lock_init;
        host.lock_fini = shim_posix_lock_fini;
        host.lock_enter = shim_posix_lock_enter;
        host.lock_exit = shim_posix_lock_exit;
        host.wait = shim_posix_wait;
        host.wake = shim_posix_wake;
    }
    shim_checks_set(false); /* the fast path of sclock.h is what is looked at */
    SCHED_CHECK(shim_init(&host) == 0, "the host does not come up");
    memset(&lock, 0, sizeof(lock));
    memset(&event, 0, sizeof(event));
    SCHED_CHECK(shim_lock_init(&lock, SHIM_RANK_DD_LUN, "small") == 0, "no lock");
    nthreads = 0;
    inside = false;
    sum = 0;
}

static void park_start(void (*fn)(void *arg), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(&threads[nthreads++], fn, arg, name) == 0, "no fibre");
}

static void park_join(void)
{
    for (unsigned i = 0; i < nthreads; i++)
        shim_thread_join(&threads[i]);
}

static void park_down(void)
{
    if (lock.sl_magic == SL_MAGIC)
        shim_lock_fini(&lock);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(posix_buckets); i++)
        SCHED_CHECK(!posix_buckets[i].bk_head && !posix_buckets[i].bk_mutex.m_held, "a bucket is not empty");
    SCHED_CHECK(shim_det_sched_idle(), "a fibre has not ended");
    SCHED_CHECK(shim_fini() == 0, "memory leaked");
}

static void park_freed(const void *object, size_t size, const char *what)
{
    for (size_t i = 0; i < size; i++)
        SCHED_CHECK(((const uint8_t *)object)[i] == PARK_FREED,
                    "byte %zu of %s was written to after it was freed", i, what);
}

/* ---------------------------------------------------------------- locks */

static void lock_body(void)
{
    SCHED_CHECK(!inside, "two are inside");
    inside = true;
    shim_det_mark();
    sum++;
    inside = false;
}

static void lock_twice(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        shim_lock_enter(&lock);
        lock_body();
        shim_lock_exit(&lock);
    }
}

static void lock_once(void *arg)
{
    (void)arg;
    shim_lock_enter(&lock);
    lock_body();
    shim_lock_exit(&lock);
}

/* Two who come back at once: one sleeps while the other enters anew. */
static void run_lock_again(const struct det_strategy *st, uint64_t seed)
{
    park_up(st, seed, true);
    park_start(lock_twice, NULL, "first");
    park_start(lock_twice, NULL, "second");
    park_join();
    SCHED_CHECK(sum == 4 && lock.sl_word == 0, "%u times inside, word %u", sum, (unsigned)lock.sl_word);
    park_down();
}

/* Three: of two who sleep one is woken and has to think of the other. */
static void run_lock_three(const struct det_strategy *st, uint64_t seed)
{
    park_up(st, seed, true);
    for (unsigned i = 0; i < 3; i++)
        park_start(lock_once, NULL, i == 0 ? "first" : i == 1 ? "second" : "third");
    park_join();
    SCHED_CHECK(sum == 3 && lock.sl_word == 0, "%u times inside, word %u", sum, (unsigned)lock.sl_word);
    park_down();
}

/* Whoever is last frees the lock as soon as he has left it; then a new one stands there. (CAM-12) */
static void lock_last_frees(void *arg)
{
    bool last;

    (void)arg;
    shim_lock_enter(&lock);
    lock_body();
    last = sum == 2;
    shim_lock_exit(&lock);
    if (!last)
        return;
    shim_lock_fini(&lock);
    memset(&lock, PARK_FREED, sizeof(lock));
    shim_det_mark();
    park_freed(&lock, sizeof(lock), "the lock");
    memset(&lock, 0, sizeof(lock));
    SCHED_CHECK(shim_lock_init(&lock, SHIM_RANK_DD_LUN, "new") == 0, "no lock");
    shim_lock_enter(&lock);
    shim_det_mark();
    SCHED_CHECK(lock.sl_word == 1, "the new lock's word is %u", (unsigned)lock.sl_word);
    shim_lock_exit(&lock);
    shim_lock_fini(&lock);
    memset(&lock, PARK_FREED, sizeof(lock));
}

static void run_lock_freed(const struct det_strategy *st, uint64_t seed)
{
    park_up(st, seed, true);
    park_start(lock_last_frees, NULL, "first");
    park_start(lock_last_frees, NULL, "second");
    park_join();
    park_freed(&lock, sizeof(lock), "the lock");
    park_down();
}

/* ---------------------------------------------------------------- events: one waiter */

static void wake_once(void *arg)
{
    (void)arg;
    shim_wake(&event);
}

static void wake_at_limit(void *arg)
{
    shim_delay_ns(*(const uint64_t *)arg);
    shim_wake(&event);
}

/* A wake-up and the time come together: the signal is taken once, by this wait or by the next. */
static void run_event_limit(const struct det_strategy *st, uint64_t seed, bool parked)
{
    static const uint64_t limit = 1000;
    unsigned taken;

    park_up(st, seed, parked);
    park_start(wake_at_limit, (void *)(uintptr_t)&limit, "waker");
    taken = shim_wait(&event, NULL, shim_now_ns() + limit);
    park_join();
    taken += shim_wait(&event, NULL, shim_now_ns());
    SCHED_CHECK(taken == 1, "one signal was taken %u times", taken);
    SCHED_CHECK(event.ev_word == 0, "the word is %u", (unsigned)event.ev_word);
    park_down();
}

/* Freed right after the wait; a new event at that address has not been signalled. */
static void run_event_freed(const struct det_strategy *st, uint64_t seed, bool parked)
{
    park_up(st, seed, parked);
    park_start(wake_once, NULL, "waker");
    SCHED_CHECK(shim_wait(&event, NULL, UINT64_MAX), "not woken");
    memset(&event, PARK_FREED, sizeof(event));
    shim_det_mark();
    park_freed(&event, sizeof(event), "the event");
    memset(&event, 0, sizeof(event));
    SCHED_CHECK(!shim_wait(&event, NULL, shim_now_ns() + 1000), "woken by the old event's waker");
    memset(&event, PARK_FREED, sizeof(event));
    park_join();
    park_freed(&event, sizeof(event), "the event");
    park_down();
}

/* The same, where the time may have come first. */
static void run_event_freed_limit(const struct det_strategy *st, uint64_t seed, bool parked)
{
    static const uint64_t limit = 1000;

    park_up(st, seed, parked);
    park_start(wake_at_limit, (void *)(uintptr_t)&limit, "waker");
    if (!shim_wait(&event, NULL, shim_now_ns() + limit))
        SCHED_CHECK(shim_wait(&event, NULL, UINT64_MAX), "not woken");
    memset(&event, 0, sizeof(event));
    SCHED_CHECK(!shim_wait(&event, NULL, shim_now_ns() + 1000), "woken by the old event's waker");
    memset(&event, PARK_FREED, sizeof(event));
    park_join();
    park_freed(&event, sizeof(event), "the event");
    park_down();
}

/* ---------------------------------------------------------------- events: several, with lock and condition
 */

static unsigned items;

static void take_item(void *arg)
{
    (void)arg;
    shim_lock_enter(&lock);
    while (items == 0)
        (void)shim_wait(&event, &lock, UINT64_MAX);
    items--;
    sum++;
    shim_lock_exit(&lock);
}

/* Both who sleep are woken by one call. */
static void run_event_all(const struct det_strategy *st, uint64_t seed, bool parked)
{
    park_up(st, seed, parked);
    items = 0;
    park_start(take_item, NULL, "first");
    park_start(take_item, NULL, "second");
    shim_lock_enter(&lock);
    items = 2;
    shim_lock_exit(&lock);
    shim_wake(&event);
    park_join();
    SCHED_CHECK(sum == 2 && items == 0, "%u taken", sum);
    park_down();
}

/* Two calls: the second comes while the first one's sleepers are on their way. */
static void run_event_twice(const struct det_strategy *st, uint64_t seed, bool parked)
{
    park_up(st, seed, parked);
    items = 0;
    park_start(take_item, NULL, "first");
    park_start(take_item, NULL, "second");
    for (unsigned i = 0; i < 2; i++) {
        shim_lock_enter(&lock);
        items++;
        shim_lock_exit(&lock);
        shim_wake(&event);
    }
    park_join();
    SCHED_CHECK(sum == 2 && items == 0, "%u taken", sum);
    park_down();
}

static void sleep_once(void *arg)
{
    (void)arg;
    shim_lock_enter(&lock);
    SCHED_CHECK(shim_wait(&event, &lock, UINT64_MAX), "not woken");
    shim_lock_exit(&lock);
}

/*
 * Two sleep, in this order, and one call wakes both; the first takes the signal. When he is back another call
 * comes: nobody sleeps then, so it is remembered, however late the second is.
 */
static void run_event_remembered(const struct det_strategy *st, uint64_t seed, bool parked)
{
    park_up(st, seed, parked);
    park_start(sleep_once, NULL, "first");
    shim_delay_ns(1); /* he sleeps: no time passes before */
    park_start(sleep_once, NULL, "second");
    shim_delay_ns(1);
    shim_wake(&event);
    shim_thread_join(&threads[0]);
    shim_wake(&event);
    shim_thread_join(&threads[1]);
    SCHED_CHECK(shim_wait(&event, NULL, shim_now_ns()),
                "the second signal was eaten by who was woken by the first");
    nthreads = 0;
    park_down();
}

static void take_item_limit(void *arg)
{
    const uint64_t until = shim_now_ns() + 1000;

    (void)arg;
    shim_lock_enter(&lock);
    while (items == 0 && shim_now_ns() < until)
        (void)shim_wait(&event, &lock, until);
    if (items > 0) {
        items--;
        sum++;
    }
    shim_lock_exit(&lock);
}

static void give_at_limit(void *arg)
{
    (void)arg;
    shim_delay_ns(1000);
    shim_lock_enter(&lock);
    items++;
    shim_lock_exit(&lock);
    shim_wake(&event);
}

/* One has a limit, which comes together with the only item: the other gets it if he does not. */
static void run_event_leaves(const struct det_strategy *st, uint64_t seed, bool parked)
{
    park_up(st, seed, parked);
    items = 1;
    park_start(take_item_limit, NULL, "limited");
    park_start(take_item, NULL, "patient");
    park_start(give_at_limit, NULL, "waker");
    park_join();
    SCHED_CHECK(sum + items == 2, "%u taken, %u left", sum, items);
    park_down();
}

#define BOTH(name)                                                                                           \
    static void name##_park(const struct det_strategy *st, uint64_t seed) { name(st, seed, true); }          \
    static void name##_det(const struct det_strategy *st, uint64_t seed) { name(st, seed, false); }
BOTH(run_event_limit)
BOTH(run_event_freed)
BOTH(run_event_freed_limit)
BOTH(run_event_all)
BOTH(run_event_twice)
BOTH(run_event_remembered)
BOTH(run_event_leaves)

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"lock-again", "a lock two threads enter twice each: exclusion, nobody sleeps for ever", run_lock_again,
     false, NULL},
    {"lock-three", "a lock three threads enter: two sleep", run_lock_three, false, NULL},
    {"lock-freed", "a lock is freed by whoever left it last", run_lock_freed, false, NULL},
    {"event-limit", "a wake-up at the limit is taken once", run_event_limit_park, false, NULL},
    {"event-freed", "an event is freed as soon as the wait is over", run_event_freed_park, false, NULL},
    {"event-freed-limit", "the same with a limit that comes together with the wake-up",
     run_event_freed_limit_park, false, NULL},
    {"event-all", "one wake-up for two who sleep with a lock", run_event_all_park, false, NULL},
    {"event-twice", "two wake-ups for two who sleep with a lock", run_event_twice_park, false, NULL},
    {"event-remembered", "one who was woken takes one signal", run_event_remembered_park, false, NULL},
    {"event-leaves", "one of two sleepers has a limit", run_event_leaves_park, false, NULL},
    {"det-event-limit", "a wake-up at the limit, on the det host", run_event_limit_det, false, NULL},
    {"det-event-freed", "an event is freed after the wait, on the det host", run_event_freed_det, false,
     NULL},
    {"det-event-freed-limit", "the same with a limit, on the det host", run_event_freed_limit_det, false,
     NULL},
    {"det-event-all", "one wake-up for two, on the det host", run_event_all_det, false, NULL},
    {"det-event-twice", "two wake-ups for two, on the det host", run_event_twice_det, false, NULL},
    {"det-event-remembered", "one who was woken takes one signal, on the det host", run_event_remembered_det,
     false, NULL},
    {"det-event-leaves", "one of two sleepers has a limit, on the det host", run_event_leaves_det, false,
     NULL},
};
const struct small_group small_park = {"park", programs, SC_ARRAY_SIZE(programs)};
