/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_self.c - the records of all threads, and waiting until what they are calling back has returned.
 *
 * Whoever takes memory, a LUN or a whole adapter away must know that no iodone routine of it is
 * running any more. A count of calls under way, taken before the call and given back after it, would
 * say so at the price of two more exchanges per request on a line that all threads share. Instead each
 * thread counts in its own record, with plain stores, and whoever waits - rarely - looks at them all.
 *
 * What is counted is a *turn*: the outermost iodone on a stack and whatever it calls before it returns.
 * Calls put off to the outermost one are a turn each and are served first in, first out. So
 *
 *     self_begun   turns begun or put off      written by the thread only
 *     self_ended   turns that have returned
 *
 * and every turn begun at some moment has returned when self_ended reaches the self_begun of that
 * moment, even if the thread never runs out of turns.
 *
 * Who gives something back before he calls iodone (the lane of the adapter driver) promises the turn
 * first: shim_turn_begin(), a release of what he holds, iodone_promised(). Whoever then takes what was
 * released, with acquire, sees the turn in shim_turns_wait().
 *
 * A timer that runs on top of a thread inside a turn is covered by that turn, which does not return
 * before the timer does; it does not count at all (shim_timer_run()).
 *
 * Rejected: epochs that a thread leaves when it is idle only (a thread that resubmits from iodone never
 * is); a thread per processor to carry a barrier around (a port may have neither).
 *
 * Does not contain: iodone itself (kern/kern_buf.c).
 */
#include "shim_impl.h"
#include "shim_turn.h"

#define SHIM_TURN_NS 1000000u /* between two looks, should the wake-up be missed */

static struct {
    struct shim_lock rec_lock; /* rank SHIM_RANK_EVENT */
    struct shim_self *rec_first;
    struct shim_event rec_event;
    bool rec_busy; /* somebody waits: the marks are his */
    bool rec_ready;
} shim_records;

/* Threads that sleep in shim_turns_wait(). Read without the lock after each turn. */
_Atomic uint32_t shim_turn_waiters;

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

/* Forget all records; their memory may outlive this host. Context: process, the only thread left. */
void shim_records_fini(void)
{
    struct shim_self *self = shim_records.rec_first;

    if (!shim_records.rec_ready)
        return;
    while (self != NULL) {
        struct shim_self *next = self->self_next;

        self->self_next = NULL;
        self->self_flags &= ~SHIM_SELF_LISTED;
        self = next;
    }
    shim_records.rec_first = NULL;
    shim_records.rec_ready = false;
    atomic_store(&shim_records.rec_event.ev_word, 0u);
    shim_account_lock(true);
    shim_lock_fini(&shim_records.rec_lock);
}

/* A thread's first turn. Context: any, no lock held. Something on top of the thread may have been here
 * before. */
void shim_self_list(struct shim_self *self)
{
    shim_lock_enter(&shim_records.rec_lock);
    if (!(self->self_flags & SHIM_SELF_LISTED)) {
        self->self_next = shim_records.rec_first;
        shim_records.rec_first = self;
        self->self_flags |= SHIM_SELF_LISTED;
    }
    shim_lock_exit(&shim_records.rec_lock);
}

/* Its memory is about to go. Context: any, no lock held; not inside an iodone routine. */
void shim_self_gone(struct shim_self *self)
{
    struct shim_self **at;

    if (!(self->self_flags & SHIM_SELF_LISTED))
        return;
    SHIM_ASSERT(self->self_begun == self->self_ended);
    shim_lock_enter(&shim_records.rec_lock);
    for (at = &shim_records.rec_first; *at != self; at = &(*at)->self_next)
        SHIM_ASSERT(*at != NULL);
    *at = self->self_next;
    self->self_flags &= ~SHIM_SELF_LISTED;
    shim_lock_exit(&shim_records.rec_lock);
    shim_wake(&shim_records.rec_event);
}

/* The slow half of shim_turn_end(): somebody waits. */
void shim_turn_wake(void) { shim_wake(&shim_records.rec_event); }

/* Has every thread reached its mark? Locks: rec_lock. */
static bool shim_turns_over_locked(void)
{
    for (const struct shim_self *self = shim_records.rec_first; self != NULL; self = self->self_next) {
        const uintptr_t ended = atomic_load_explicit(&self->self_ended, memory_order_acquire);

        /* None under way is as good, should the marked one have been withdrawn. */
        if ((intptr_t)(self->self_mark - ended) > 0 &&
            atomic_load_explicit(&self->self_begun, memory_order_relaxed) != ended)
            return false;
    }
    return true;
}

/* Sleep for a wake-up or a look. Locks: rec_lock, dropped meanwhile. */
static void shim_turns_sleep_locked(void)
{
    (void)shim_wait(&shim_records.rec_event, &shim_records.rec_lock, shim_now_ns() + SHIM_TURN_NS);
}

/* See scpair/shim.h. */
void shim_turns_wait(void)
{
    shim_lock_enter(&shim_records.rec_lock);
    atomic_fetch_add(&shim_turn_waiters, 1u);
    while (shim_records.rec_busy)
        shim_turns_sleep_locked();
    shim_records.rec_busy = true;
    for (struct shim_self *self = shim_records.rec_first; self != NULL; self = self->self_next)
        self->self_mark = atomic_load_explicit(&self->self_begun, memory_order_relaxed);
    while (!shim_turns_over_locked())
        shim_turns_sleep_locked();
    shim_records.rec_busy = false;
    atomic_fetch_sub(&shim_turn_waiters, 1u);
    shim_lock_exit(&shim_records.rec_lock);
    shim_wake(&shim_records.rec_event);
}
