/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_self.c - the records of all threads, and waiting until what they are calling back has returned.
 *
 * Whoever takes memory, a LUN or a whole adapter away must know that no iodone routine of it is
 * running any more. A count of calls under way, taken before the call and given back after it, would
 * say so at the price of two more exchanges per request on a line that all threads share. Instead each
 * thread notes in its own record, with plain stores, whose routine it is about to call, and whoever
 * waits - rarely - looks at all records. Such a call is a *turn*; it has the key of who may be waited for.
 *
 * The order is: note the turn; release what the request used; iodone; take the note back. Who takes what
 * was released, with acquire, sees the note. A note has a number beside its key, in the bits that
 * alignment leaves free, so that a waiter is not kept by younger turns of the same key on the same thread.
 *
 * Turns nest like brackets. A timer or interrupt on top of a thread begins and ends its own above those
 * of the thread: the place is reserved before it is written. There are as many places as a stack can have
 * direct iodone calls; on top of a thread that uses them all there is none, and the caller has to do without.
 *
 * Rejected: counting turns begun and ended, without a key (who stops one LUN then waits for a routine of
 * another, which the simulation holds against it); epochs that a thread leaves when it is idle only (a thread
 * that resubmits from iodone never is); a thread per processor to carry a barrier around (a port may have
 * neither).
 *
 * Does not contain: iodone itself (kern/kern_buf.c).
 */
#include "shim_impl.h"

#define SHIM_TURN_NS      1000000u /* between two looks, should the wake-up be missed */
#define SHIM_TURN_NUMBERS 63u      /* the bits of a note beside its key */

/* A thread in shim_turns_wait() whose turn it is to look. No two of the same key: the marks of a key are his.
 */
struct shim_turn_waiter {
    const void *tw_key;
    struct shim_turn_waiter *tw_next;
};

static struct {
    struct shim_lock rec_lock; /* rank SHIM_RANK_EVENT */
    struct shim_self *rec_first;
    struct shim_event rec_event;
    struct shim_turn_waiter *rec_waiters;
    _Atomic bool rec_ready;       /* there is a host; becomes false under rec_lock */
    _Atomic uint32_t rec_leaving; /* threads in shim_self_gone() */
} shim_records;

/* Threads in shim_turns_wait(). Read without the lock after each turn. */
static _Atomic uint32_t shim_turn_waiters;

/* Start. Context: process, single-threaded. 0 or errno. */
int shim_records_init(void)
{
    const int rc = shim_lock_init(&shim_records.rec_lock, SHIM_RANK_EVENT, "shim_records");

    if (rc != 0)
        return rc;
    shim_records.rec_ready = true;
    shim_account_lock(false); /* it is there as long as the host is: no lock that somebody forgot */
    return 0;
}

/*
 * Forget all records; their memory may outlive this host. Context: process, nobody else uses the host.
 * Threads that used it may end just now: who sees rec_ready is waited for, who does not finds that
 * nobody looks at his record any more.
 */
void shim_records_fini(void)
{
    struct shim_self *self;

    if (!shim_records.rec_ready)
        return;
    shim_lock_enter(&shim_records.rec_lock);
    self = shim_records.rec_first;
    while (self != NULL) {
        struct shim_self *next = self->self_next;

        self->self_next = NULL;
        self->self_listed = 0;
        self = next;
    }
    shim_records.rec_first = NULL;
    atomic_store(&shim_records.rec_ready, false);
    shim_lock_exit(&shim_records.rec_lock);
    while (atomic_load(&shim_records.rec_leaving) != 0)
        (void)shim_wait(&shim_records.rec_event, NULL, shim_now_ns() + SHIM_TURN_NS);
    atomic_store(&shim_records.rec_event.ev_word, 0u);
    shim_account_lock(true);
    shim_lock_fini(&shim_records.rec_lock);
}

/* A thread's first turn. Something on top of the thread may have been here before. */
static void shim_self_list(struct shim_self *self)
{
    shim_lock_enter(&shim_records.rec_lock);
    if (!self->self_listed) {
        self->self_next = shim_records.rec_first;
        shim_records.rec_first = self;
        self->self_listed = 1;
    }
    shim_lock_exit(&shim_records.rec_lock);
}

/* Take a record that is listed out of the list. Locks: rec_lock. */
static void shim_self_unlist_locked(struct shim_self *self)
{
    struct shim_self **at;

    SHIM_ASSERT(self->self_turns == 0);
    for (at = &shim_records.rec_first; *at != self; at = &(*at)->self_next)
        SHIM_ASSERT(*at != NULL);
    *at = self->self_next;
    self->self_listed = 0;
}

/* Its memory is about to go; perhaps the host is, too. Context: any, no lock held; not inside a turn. */
void shim_self_gone(struct shim_self *self)
{
    atomic_fetch_add(&shim_records.rec_leaving, 1u);
    if (atomic_load(&shim_records.rec_ready)) {
        shim_lock_enter(&shim_records.rec_lock);
        if (self->self_listed)
            shim_self_unlist_locked(self);
        shim_lock_exit(&shim_records.rec_lock);
    }
    atomic_fetch_sub(&shim_records.rec_leaving, 1u);
}

/* ---------------------------------------------------------------- turns */

/* See scpair/shim.h. */
struct shim_self *shim_turn_begin(const void *key)
{
    struct shim_self *self = shim_self();
    uint8_t at;

    SHIM_ASSERT(((uintptr_t)key & SHIM_TURN_NUMBERS) == 0);
    if (SC_UNLIKELY(self->self_turns == SHIM_SELF_TURNS || self->self_iodone_depth >= SHIM_IODONE_NEST))
        return NULL;
    if (SC_UNLIKELY(!self->self_listed))
        shim_self_list(self);
    at = self->self_turns++; /* first: what comes on top of us takes the next one */
    atomic_store_explicit(&self->self_turn[at], (uintptr_t)key | (self->self_turn_no++ & SHIM_TURN_NUMBERS),
                          memory_order_relaxed);
    return self;
}

/* It has returned. A wake-up missed for want of a barrier is made good by the waiter's own clock. */
void shim_turn_end(struct shim_self *self)
{
    const uint8_t at = (uint8_t)(self->self_turns - 1u);

    SHIM_ASSERT(self->self_turns > 0);
    atomic_store_explicit(&self->self_turn[at], 0, memory_order_release);
    self->self_turns = at;
    if (SC_UNLIKELY(atomic_load_explicit(&shim_turn_waiters, memory_order_relaxed) != 0))
        shim_wake(&shim_records.rec_event);
}

/* Whose turn is it? */
static const void *shim_turn_key(uintptr_t turn)
{
    return (const void *)(turn & ~(uintptr_t)SHIM_TURN_NUMBERS);
}

/*
 * Note which turns there are of this key. What another waiter has marked stays, unless that turn is over.
 * Locks: rec_lock.
 */
static void shim_turns_mark_locked(const void *key)
{
    for (struct shim_self *self = shim_records.rec_first; self != NULL; self = self->self_next) {
        for (unsigned i = 0; i < SHIM_SELF_TURNS; i++) {
            const uintptr_t turn = atomic_load_explicit(&self->self_turn[i], memory_order_acquire);

            if (shim_turn_key(turn) == key)
                self->self_mark[i] = turn;
            else if (shim_turn_key(self->self_mark[i]) == key)
                self->self_mark[i] = 0;
        }
    }
}

/* Is any of them still there? Locks: rec_lock. */
static bool shim_turns_left_locked(const void *key)
{
    for (struct shim_self *self = shim_records.rec_first; self != NULL; self = self->self_next) {
        for (unsigned i = 0; i < SHIM_SELF_TURNS; i++) {
            if (shim_turn_key(self->self_mark[i]) != key)
                continue;
            if (atomic_load_explicit(&self->self_turn[i], memory_order_acquire) == self->self_mark[i])
                return true;
            self->self_mark[i] = 0;
        }
    }
    return false;
}

/* Does somebody look at the turns of this key? Locks: rec_lock. */
static bool shim_turns_waited_locked(const void *key)
{
    const struct shim_turn_waiter *w = shim_records.rec_waiters;

    while (w != NULL && w->tw_key != key)
        w = w->tw_next;
    return w != NULL;
}

/* Sleep for a wake-up or a look. Locks: rec_lock, dropped meanwhile. */
static void shim_turns_sleep_locked(void)
{
    (void)shim_wait(&shim_records.rec_event, &shim_records.rec_lock, shim_now_ns() + SHIM_TURN_NS);
}

/* See scpair/shim.h. Of each key one waits at a time. */
void shim_turns_wait(const void *key)
{
    struct shim_turn_waiter me = {.tw_key = key};
    struct shim_turn_waiter **at;

    shim_lock_enter(&shim_records.rec_lock);
    atomic_fetch_add(&shim_turn_waiters, 1u);
    while (shim_turns_waited_locked(key))
        shim_turns_sleep_locked();
    me.tw_next = shim_records.rec_waiters;
    shim_records.rec_waiters = &me;
    shim_turns_mark_locked(key);
    while (shim_turns_left_locked(key))
        shim_turns_sleep_locked();
    for (at = &shim_records.rec_waiters; *at != &me; at = &(*at)->tw_next)
        continue;
    *at = me.tw_next;
    atomic_fetch_sub(&shim_turn_waiters, 1u);
    shim_lock_exit(&shim_records.rec_lock);
    shim_wake(&shim_records.rec_event);
}
