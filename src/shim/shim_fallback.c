/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_fallback.c - what stands in for the functions a host may leave out.
 *
 * A first port has no threads, no timers and no sleeping. Its table then holds NULL in those
 * places and shim_init() fills them from here, so that no wrapper needs a test per call. All of
 * this assumes what a host without threads is: one thread, and a device that is polled.
 *
 * Does not contain: the wrappers (shim.c).
 */
#include "shim_impl.h"

static struct shim_self shim_fallback_record;

static struct shim_self *shim_fallback_self(void)
{
    if (shim_fallback_record.self_id == 0)
        shim_fallback_record.self_id = 1;
    return &shim_fallback_record;
}

/* Without sleep: watch the word until the deadline. The device is polled by an interrupt or not at all. */
static bool shim_fallback_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    bool woken = false;

    if (l)
        shim_lock_exit(l);
    do {
        uint32_t signalled = 1;

        woken = atomic_compare_exchange_strong_explicit(&ev->ev_word, &signalled, 0, memory_order_acquire,
                                                        memory_order_relaxed);
    } while (!woken && shim_host->now_ns() < deadline_ns);
    if (l)
        shim_lock_enter(l);
    return woken;
}

static void shim_fallback_wake(struct shim_event *ev) { (void)ev; }

static int shim_fallback_thread_start(struct shim_thread *t, void (*fn)(void *arg), void *arg,
                                      const char *name)
{
    (void)t;
    (void)fn;
    (void)arg;
    (void)name;
    return ENOSYS;
}

static void shim_fallback_thread_join(struct shim_thread *t)
{
    (void)t;
    shim_panic("thread_join: this host has no threads");
}

static void shim_fallback_delay_ns(uint64_t ns)
{
    uint64_t end = shim_host->now_ns() + ns;

    while (shim_host->now_ns() < end)
        continue;
}

static int shim_fallback_timer_arm(struct shim_timer *t, uint64_t when_ns)
{
    (void)t;
    (void)when_ns;
    return ENOSYS;
}

static int shim_fallback_timer_cancel(struct shim_timer *t)
{
    (void)t;
    return SHIM_CANCEL_IDLE;
}

static int64_t shim_fallback_tunable(const char *name, int64_t dflt)
{
    (void)name;
    return dflt;
}

/* Fill the holes of a table that shim_init() has accepted. */
void shim_fallback_fill(struct shim_host *h)
{
    if (!h->wait) {
        h->wait = shim_fallback_wait;
        h->wake = shim_fallback_wake;
    }
    if (!h->thread_start) {
        h->thread_start = shim_fallback_thread_start;
        h->thread_join = shim_fallback_thread_join;
    }
    if (!h->self)
        h->self = shim_fallback_self;
    if (!h->delay_ns)
        h->delay_ns = shim_fallback_delay_ns;
    if (!h->timer_arm) {
        h->timer_arm = shim_fallback_timer_arm;
        h->timer_cancel = shim_fallback_timer_cancel;
    }
    if (!h->tunable)
        h->tunable = shim_fallback_tunable;
}
