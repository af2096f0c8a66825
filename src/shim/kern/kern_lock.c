/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_lock.c - lock_alloc and its relatives, and sleeping on an event word.
 *
 * A Simple_lock is the shim's lock and its class is the rank; only making and taking down go
 * through here, the rest is inline in sclock.h.
 *
 * Does not contain: rank checks (src/shim/shim_lock.c).
 */
#include "kern_impl.h"

_Static_assert(LOCK_CLASS_DD_OPEN == SHIM_RANK_DD_OPEN, "a lock class is a rank");
_Static_assert(LOCK_CLASS_DD == SHIM_RANK_DD_LUN, "a lock class is a rank");

/* Context: process. 0, EINVAL (class, name), ENOMEM. */
int lock_alloc(Simple_lock *lock, int flags, int lock_class, const char *name)
{
    (void)flags; /* everything is pinned here */
    if (lock_class <= SHIM_RANK_NONE || lock_class > SHIM_RANK_MAX)
        return EINVAL;
    return shim_lock_init(lock, (enum shim_rank)lock_class, name);
}

void lock_free(Simple_lock *lock) { shim_lock_fini(lock); }

bool lock_mine(const Simple_lock *lock) { return shim_lock_is_held(lock); }

/* Context: process. Locks: drops and retakes `lock`. Signals do not interrupt: flags only say so. */
int e_sleep_thread(event_t *word, Simple_lock *lock, int flags)
{
    (void)flags;
    (void)sck_wait(kern_event(word), lock, UINT64_MAX);
    return THREAD_AWAKENED;
}

/* The same with a limit. A limit too far away to be expressed is none. */
int e_timedsleep(event_t *word, Simple_lock *lock, uint64_t ns)
{
    uint64_t now = shim_now_ns();
    uint64_t deadline = ns > UINT64_MAX - now ? UINT64_MAX : now + ns;

    return sck_wait(kern_event(word), lock, deadline) ? THREAD_AWAKENED : THREAD_TIMED_OUT;
}

void e_wakeup(event_t *word) { shim_wake(kern_event(word)); }
