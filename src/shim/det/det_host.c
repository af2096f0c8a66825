/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * det_host.c - the deterministic host: a clock that moves only when told, one seed, and one thread unless
 * there are fibres (det_sched.c).
 *
 * Whatever could differ between two runs comes from here and is the same for the same seed: time
 * passes only in wait(), delay and shim_det_run*(), timers that are due at the same time run in the
 * order of arming, and the only random numbers are the generator's. To wait is to run timers until
 * the event is signalled; when there is nothing to run and no deadline, nobody can ever signal it,
 * and that deadlock is reported with the seed instead of hanging.
 *
 * Without fibres timers stand for other threads: they run with a thread record of their own, so that what the
 * waiting thread holds or is inside of is not taken for theirs. A lock found taken is a deadlock
 * too, since the holder is below us on the same stack.
 *
 * Does not contain: the simulated devices (src/adapter/sim), the heap (shim_timerq.c).
 */
#define _POSIX_C_SOURCE 200809L
#include "det_impl.h"

#include <stdio.h>
#include <stdlib.h>

/* Not 0, so that code which takes time 0 for "never" shows itself. */
#define DET_START_NS 1000000000u

struct det_host shim_det;

/* ---------------------------------------------------------------- messages */

static void det_log(int level, const char *text)
{
    if (level <= SHIM_LOG_WARN)
        fprintf(stderr, "scpair: [%llu.%09llu] %s\n", (unsigned long long)(shim_det.now_ns / 1000000000u),
                (unsigned long long)(shim_det.now_ns % 1000000000u), text);
}

static void det_panic(const char *text)
{
    if (shim_det.ops)
        shim_det.ops->fail(text);
    fprintf(stderr, "scpair: panic: %s (seed %llu, time %llu ns)\n", text, (unsigned long long)shim_det.seed,
            (unsigned long long)shim_det.now_ns);
    abort();
}

/* ---------------------------------------------------------------- memory */

void shim_det_short(enum det_short what, uint64_t k, bool for_good)
{
    shim_det.shortage[what].left = k;
    shim_det.shortage[what].for_good = for_good;
}

/* Does this call fail? */
static bool det_short(enum det_short what)
{
    uint64_t *left = &shim_det.shortage[what].left;

    if (*left == 0 || (*left > 1 && --*left > 0))
        return false;
    if (!shim_det.shortage[what].for_good)
        *left = 0;
    return true;
}

static void *det_alloc(size_t size, size_t align)
{
    void *p;

    if (det_short(DET_SHORT_MEMORY))
        return NULL;
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size))
        return NULL;
    memset(p, 0, size);
    return p;
}

static void det_free(void *p, size_t size, size_t align)
{
    (void)size;
    (void)align;
    if (shim_det.ops)
        shim_det.ops->release(p);
    else
        free(p);
}

static int det_copy_user(void *user, void *kernel, size_t n, bool to_user)
{
    if ((uintptr_t)user < SC_PAGE_SIZE)
        return EFAULT;
    if (to_user)
        memcpy(user, kernel, n);
    else
        memcpy(kernel, user, n);
    return 0;
}

/* ---------------------------------------------------------------- locks */

static int det_lock_init(struct shim_lock *l)
{
    if (shim_det.ops)
        l->sl_slow |= 1u; /* every entry is a point */
    return 0;
}

static void det_lock_fini(struct shim_lock *l) { (void)l; }

static void det_lock_enter(struct shim_lock *l)
{
    if (shim_det.ops) {
        shim_det.ops->lock_enter(l);
        return;
    }
    shim_panic("deadlock: %s is taken and there is one thread", l->sl_name);
}

/* Without fibres nobody can be asleep on a lock. */
static void det_lock_exit(struct shim_lock *l)
{
    if (!shim_det.ops)
        shim_panic("det: a sleeper on lock %p", (void *)l);
    shim_det.ops->lock_exit(l);
}

/* ---------------------------------------------------------------- time */

static struct shim_self *det_self(void) { return shim_det.ops ? shim_det.ops->self() : shim_det.current; }

static uint64_t det_now_ns(void) { return shim_det.now_ns; }

/* Timers that fall due meanwhile run when the thread next waits, as they would on one processor. */
static void det_delay_ns(uint64_t ns)
{
    if (shim_det.ops)
        shim_det.ops->delay(ns);
    else
        shim_det.now_ns += ns;
}

static int det_timer_arm(struct shim_timer *t, uint64_t when_ns)
{
    if (det_short(DET_SHORT_TIMERS))
        return ENOMEM;
    if (t->tm_state == 1)
        shim_timerq_remove(&shim_det.timers, t);
    shim_timerq_insert(&shim_det.timers, t, when_ns);
    if (shim_det.ops)
        shim_det.ops->timer_armed(t);
    return 0;
}

/*
 * Without fibres never "running": whoever asks is either the function itself or not inside it. With them it
 * may be running and armed again already.
 */
static int det_timer_cancel(struct shim_timer *t)
{
    const bool runs = shim_det.ops && shim_det.ops->timer_runs(t);
    const bool armed = t->tm_state == 1;

    if (armed)
        shim_timerq_remove(&shim_det.timers, t);
    return runs ? SHIM_CANCEL_RUNNING : armed ? SHIM_CANCEL_WAS_ARMED : SHIM_CANCEL_IDLE;
}

/* Run the earliest timer if it is due by then, moving the clock to it. False: none. */
static bool det_step_until(uint64_t until_ns)
{
    struct shim_timer *t = shim_det.timers.tq_first;
    struct shim_self *before = shim_det.current;

    if (!t || t->tm_when_ns > until_ns)
        return false;
    if (t->tm_when_ns > shim_det.now_ns)
        shim_det.now_ns = t->tm_when_ns;
    shim_timerq_remove(&shim_det.timers, t);
    SHIM_ASSERT(before != &shim_det.timer && !shim_det.ops);
    shim_det.current = &shim_det.timer;
    shim_timer_run(t);
    shim_det.current = before;
    return true;
}

bool shim_det_step(void) { return det_step_until(UINT64_MAX); }

void shim_det_run(uint64_t until_ns)
{
    while (det_step_until(until_ns))
        continue;
    if (until_ns != UINT64_MAX && until_ns > shim_det.now_ns)
        shim_det.now_ns = until_ns;
}

unsigned shim_det_timers(void) { return shim_det.timers.tq_count; }

/* ---------------------------------------------------------------- sleeping */

static bool det_consume(struct shim_event *ev)
{
    uint32_t signalled = 1;

    return atomic_compare_exchange_strong(&ev->ev_word, &signalled, 0);
}

static bool det_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    bool woken;

    if (shim_det.ops)
        return shim_det.ops->wait(ev, l, deadline_ns);
    if (l)
        shim_lock_exit(l);
    while (!(woken = det_consume(ev)) && det_step_until(deadline_ns))
        continue;
    if (!woken) {
        if (deadline_ns == UINT64_MAX)
            shim_panic("deadlock: waiting, and no timer is armed");
        if (deadline_ns > shim_det.now_ns)
            shim_det.now_ns = deadline_ns;
    }
    if (l)
        shim_lock_enter(l);
    return woken;
}

/* Without fibres a waiter looks at the word itself. */
static void det_wake(struct shim_event *ev)
{
    if (shim_det.ops)
        shim_det.ops->wake(ev);
}

static int det_thread_start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    return shim_det.ops ? shim_det.ops->start(t, fn, arg, name) : ENOSYS;
}

static void det_thread_join(struct shim_thread *t)
{
    if (!shim_det.ops)
        shim_panic("det: there are no threads to join");
    shim_det.ops->join(t);
}

/* ---------------------------------------------------------------- numbers */

/* splitmix64: every seed is a good one, 0 included. */
uint64_t shim_det_random(void)
{
    uint64_t z = (shim_det.random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int64_t det_tunable(const char *name, int64_t dflt)
{
    for (unsigned i = 0; i < shim_det.ntunables; i++)
        if (!strcmp(shim_det.tunables[i].name, name))
            return shim_det.tunables[i].value;
    return dflt;
}

void shim_det_tunable_set(const char *name, int64_t value)
{
    unsigned i = 0;

    while (i < shim_det.ntunables && strcmp(shim_det.tunables[i].name, name) != 0)
        i++;
    SHIM_ASSERT(i < DET_TUNABLES_MAX && strlen(name) < DET_NAME_MAX);
    if (i == shim_det.ntunables)
        (void)shim_format(shim_det.tunables[shim_det.ntunables++].name, DET_NAME_MAX, "%s", name);
    shim_det.tunables[i].value = value;
}

/* ---------------------------------------------------------------- the table */

/* Everything starts afresh: clock, generator, timers, tunables. */
const struct shim_host *shim_det_host(uint64_t seed)
{
    static const struct shim_host host = {
        .version = SHIM_HOST_VERSION,
        .size = sizeof(struct shim_host),
        .name = "det",
        .alloc = det_alloc,
        .free = det_free,
        .lock_init = det_lock_init,
        .lock_fini = det_lock_fini,
        .lock_enter = det_lock_enter,
        .lock_exit = det_lock_exit,
        .wait = det_wait,
        .wake = det_wake,
        .thread_start = det_thread_start,
        .thread_join = det_thread_join,
        .self = det_self,
        .now_ns = det_now_ns,
        .delay_ns = det_delay_ns,
        .timer_arm = det_timer_arm,
        .timer_cancel = det_timer_cancel,
        .copy_user = det_copy_user,
        .log = det_log,
        .panic = det_panic,
        .tunable = det_tunable,
    };

    memset(&shim_det, 0, sizeof(shim_det));
    shim_det.seed = seed;
    shim_det.random = seed;
    shim_det.now_ns = DET_START_NS;
    shim_det.process.self_id = 1;
    shim_det.timer.self_id = 2;
    shim_det.current = &shim_det.process;
    return &host;
}
