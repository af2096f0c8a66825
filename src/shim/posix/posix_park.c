/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix_park.c - the parking lot: where threads sleep for a lock or an event.
 *
 * Locks and events are one word each and own no pthread object, so that they cost nothing to make
 * and may be freed at once. A thread that must sleep hangs a record of itself (on its own stack)
 * into one of a few buckets chosen by the word's address and sleeps on its own condition variable.
 * A waker takes the bucket's mutex and finds the sleepers by address; the word may be gone by then.
 *
 * Locks: 0 free, 1 held, 2 held and perhaps somebody asleep. A thread that has to sleep exchanges
 * in a 2 and sleeps only if, under the bucket's mutex, the word still is 2; the owner that finds 2
 * when it exchanges in its 0 takes the same mutex. So it either sees the sleeper or the sleeper
 * sees the 0. Who has slept enters with a 2, since others may be asleep behind it. Before sleeping
 * a thread looks for the lock a while: our critical sections are a few dozen instructions, and
 * a sleep costs a thousand times that.
 *
 * Events: 0 nothing, 1 signalled, 2 somebody sleeps. A sleeper moves 0 to 2 and hangs itself up
 * under the bucket's mutex. The waker exchanged in a 1, saw the 2, and wakes every record with
 * that address; the first of them consumes the signal (1 to 0), the others return without
 * touching the word, so all that slept at that time wake. A sleeper that times out but finds the
 * word at 1 has met a waker on its way to the mutex: if alone, it waits for it and says "woken".
 *
 * Rejected: futexes (Linux only; this host is for any POSIX system); one condition variable per
 * bucket (wakes strangers); letting each woken thread reset the word (two of them could eat
 * a second signal that came in between).
 *
 * Does not contain: the fast paths (sclock.h, shim.c).
 */
#define _GNU_SOURCE
#include "posix_impl.h"

#include <errno.h>
#include <time.h>

#define POSIX_BUCKET_BITS 6u
/* About a microsecond: longer than any critical section here, far shorter than a sleep. */
#define POSIX_SPIN_MAX    64u

/* One sleeping thread. Lives on its stack while it is in a bucket. */
struct posix_parked {
    const void *pk_addr;
    struct shim_posix_thread *pk_thread;
    struct posix_parked *pk_next;
    struct posix_parked *pk_prev;
    bool pk_woken;
    bool pk_consumes; /* an event's signal is this one's to reset */
};

struct posix_bucket {
    pthread_mutex_t bk_mutex;
    struct posix_parked *bk_head; /* first come, first woken */
    struct posix_parked *bk_tail;
} __attribute__((aligned(64)));

#define POSIX_BUCKET_INIT                                                                                    \
    {                                                                                                        \
        PTHREAD_MUTEX_INITIALIZER, NULL, NULL                                                                \
    }
#define POSIX_BUCKET_INIT4  POSIX_BUCKET_INIT, POSIX_BUCKET_INIT, POSIX_BUCKET_INIT, POSIX_BUCKET_INIT
#define POSIX_BUCKET_INIT16 POSIX_BUCKET_INIT4, POSIX_BUCKET_INIT4, POSIX_BUCKET_INIT4, POSIX_BUCKET_INIT4
static struct posix_bucket posix_buckets[1u << POSIX_BUCKET_BITS] = {
    POSIX_BUCKET_INIT16, POSIX_BUCKET_INIT16, POSIX_BUCKET_INIT16, POSIX_BUCKET_INIT16};

static inline void posix_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* ---------------------------------------------------------------- buckets */

/* Find and lock the bucket of an address. */
static struct posix_bucket *posix_bucket_enter(const void *addr)
{
    uint64_t h = ((uint64_t)(uintptr_t)addr >> 2) * 0x9e3779b97f4a7c15u;
    struct posix_bucket *b = &posix_buckets[h >> (64u - POSIX_BUCKET_BITS)];

    shim_posix_must(pthread_mutex_lock(&b->bk_mutex), "bucket lock");
    return b;
}

static void posix_bucket_exit(struct posix_bucket *b)
{
    shim_posix_must(pthread_mutex_unlock(&b->bk_mutex), "bucket unlock");
}

static void posix_bucket_add(struct posix_bucket *b, struct posix_parked *pk)
{
    pk->pk_next = NULL;
    pk->pk_prev = b->bk_tail;
    if (b->bk_tail)
        b->bk_tail->pk_next = pk;
    else
        b->bk_head = pk;
    b->bk_tail = pk;
}

static void posix_bucket_del(struct posix_bucket *b, struct posix_parked *pk)
{
    if (pk->pk_prev)
        pk->pk_prev->pk_next = pk->pk_next;
    else
        b->bk_head = pk->pk_next;
    if (pk->pk_next)
        pk->pk_next->pk_prev = pk->pk_prev;
    else
        b->bk_tail = pk->pk_prev;
}

/* The first sleeper for addr from pk on, or NULL. */
static struct posix_parked *posix_bucket_find(struct posix_parked *pk, const void *addr)
{
    while (pk && pk->pk_addr != addr)
        pk = pk->pk_next;
    return pk;
}

/* Under the mutex: when it is released the record may be gone. */
static void posix_parked_wake(struct posix_bucket *b, struct posix_parked *pk)
{
    posix_bucket_del(b, pk);
    pk->pk_woken = true;
    shim_posix_must(pthread_cond_signal(&pk->pk_thread->pt_cond), "cond_signal");
}

/* Sleep until woken or the deadline; holds the mutex before and after. False: timed out, taken off. */
static bool posix_parked_sleep(struct posix_bucket *b, struct posix_parked *pk, uint64_t deadline_ns)
{
    struct timespec until = shim_posix_timespec(deadline_ns);
    int rc = 0;

    while (!pk->pk_woken && rc != ETIMEDOUT) {
        if (deadline_ns == UINT64_MAX) {
            rc = pthread_cond_wait(&pk->pk_thread->pt_cond, &b->bk_mutex);
            shim_posix_must(rc, "cond_wait");
        } else {
            rc = pthread_cond_timedwait(&pk->pk_thread->pt_cond, &b->bk_mutex, &until);
            shim_posix_must(rc == ETIMEDOUT ? 0 : rc, "cond_timedwait");
        }
    }
    if (!pk->pk_woken)
        posix_bucket_del(b, pk);
    return pk->pk_woken;
}

/* ---------------------------------------------------------------- locks */

int shim_posix_lock_init(struct shim_lock *l)
{
    (void)l; /* the word is all there is */
    return 0;
}

void shim_posix_lock_fini(struct shim_lock *l)
{
    struct posix_bucket *b = posix_bucket_enter(l);
    bool asleep = posix_bucket_find(b->bk_head, l) != NULL;

    posix_bucket_exit(b);
    SHIM_ASSERT(!asleep);
}

/* A while of looking before sleeping. True when the lock was taken. */
static bool posix_lock_spin(struct shim_lock *l)
{
    shim_sched_point();
    for (unsigned i = 0; i < POSIX_SPIN_MAX; i++) {
        uint32_t word = atomic_load_explicit(&l->sl_word, memory_order_relaxed);

        if (word == 0 && atomic_compare_exchange_weak_explicit(&l->sl_word, &word, 1, memory_order_acquire,
                                                               memory_order_relaxed))
            return true;
        if (word == 2)
            return false; /* others sleep already: do not push past them by luck */
        posix_pause();
    }
    return false;
}

/* Say that somebody may be asleep, and look whether it is free. */
static uint32_t posix_lock_announce(struct shim_lock *l)
{
    shim_sched_point();
    return atomic_exchange_explicit(&l->sl_word, 2, memory_order_acquire);
}

void shim_posix_lock_enter(struct shim_lock *l)
{
    if (posix_lock_spin(l))
        return;
    while (posix_lock_announce(l) != 0) {
        struct posix_parked pk = {.pk_addr = l, .pk_thread = shim_posix_thread()};
        struct posix_bucket *b = posix_bucket_enter(l);

        shim_sched_point();
        if (atomic_load_explicit(&l->sl_word, memory_order_relaxed) == 2) {
            posix_bucket_add(b, &pk);
            (void)posix_parked_sleep(b, &pk, UINT64_MAX);
        }
        posix_bucket_exit(b);
    }
}

/* The word is 0 already, or somebody else's by now: only the address counts. */
void shim_posix_lock_exit(struct shim_lock *l)
{
    struct posix_bucket *b = posix_bucket_enter(l);
    struct posix_parked *pk = posix_bucket_find(b->bk_head, l);

    if (pk)
        posix_parked_wake(b, pk);
    posix_bucket_exit(b);
}

/* ---------------------------------------------------------------- events */

/* Take a signal that is there. */
static bool posix_event_consume(struct shim_event *ev)
{
    uint32_t signalled = 1;

    shim_sched_point();
    return atomic_compare_exchange_strong_explicit(&ev->ev_word, &signalled, 0, memory_order_acquire,
                                                   memory_order_relaxed);
}

/*
 * Say that somebody sleeps, or take the signal. Needs the bucket's mutex. True: a signal was
 * there and is ours.
 */
static bool posix_event_announce(struct shim_event *ev)
{
    for (;;) {
        uint32_t word = 0;

        shim_sched_point();
        if (atomic_compare_exchange_strong_explicit(&ev->ev_word, &word, 2, memory_order_acq_rel,
                                                    memory_order_acquire) ||
            word == 2)
            return false;
        if (posix_event_consume(ev))
            return true;
    }
}

/*
 * A sleeper has timed out and is off the list. True when it has been woken after all: the word says
 * that a waker is on its way to the mutex, and we let it arrive. To leave before it does would let
 * it wake whoever sleeps on a new event at this address.
 */
static bool posix_event_timed_out(struct posix_bucket *b, struct shim_event *ev, struct posix_parked *pk)
{
    uint32_t word = 2;

    if (posix_bucket_find(b->bk_head, ev))
        return false; /* the word speaks for the others, and so does a signal */
    shim_sched_point();
    if (atomic_compare_exchange_strong_explicit(&ev->ev_word, &word, 0, memory_order_acq_rel,
                                                memory_order_acquire) ||
        word != 1)
        return false;
    posix_bucket_add(b, pk);
    return posix_parked_sleep(b, pk, UINT64_MAX);
}

/*
 * Context: process. Locks: l (may be NULL) is dropped between hanging up and sleeping, with the
 * mutex released: giving l back may need a bucket itself, perhaps this one.
 */
bool shim_posix_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    struct posix_parked pk = {.pk_addr = ev, .pk_thread = shim_posix_thread()};
    struct posix_bucket *b = posix_bucket_enter(ev);
    bool woken;

    if (posix_event_announce(ev)) {
        posix_bucket_exit(b);
        return true;
    }
    posix_bucket_add(b, &pk);
    if (l) {
        posix_bucket_exit(b);
        shim_lock_exit(l);
        shim_posix_must(pthread_mutex_lock(&b->bk_mutex), "bucket lock");
    }
    woken = posix_parked_sleep(b, &pk, deadline_ns);
    if (!woken)
        woken = posix_event_timed_out(b, ev, &pk);
    if (pk.pk_consumes)
        (void)posix_event_consume(ev);
    posix_bucket_exit(b);
    if (l)
        shim_lock_enter(l);
    return woken;
}

void shim_posix_wake(struct shim_event *ev)
{
    struct posix_bucket *b = posix_bucket_enter(ev);
    struct posix_parked *pk = posix_bucket_find(b->bk_head, ev);
    bool first = true;

    while (pk) {
        struct posix_parked *next = posix_bucket_find(pk->pk_next, ev);

        pk->pk_consumes = first;
        first = false;
        posix_parked_wake(b, pk);
        pk = next;
    }
    posix_bucket_exit(b);
}
