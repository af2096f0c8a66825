/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_turn.h - the two ends of a turn: plain stores to the thread's own record. See shim_self.c.
 *
 * Does not contain: waiting for turns.
 */
#ifndef SHIM_TURN_H
#define SHIM_TURN_H

#include <scpair/shim.h>
#include <sys/sctypes.h>

extern _Atomic uint32_t shim_turn_waiters;
/* A record's first turn. */
void shim_self_list(struct shim_self *self);
/* Somebody waits. */
void shim_turn_wake(void);

/* What is given back from here on with release, and taken with acquire, is seen to be in a turn. */
static inline void shim_turn_begin(struct shim_self *self)
{
    if (SC_UNLIKELY(self->self_flags != SHIM_SELF_LISTED)) {
        if (self->self_flags & SHIM_SELF_COVERED)
            return;
        shim_self_list(self);
    }
    atomic_store_explicit(&self->self_begun,
                          atomic_load_explicit(&self->self_begun, memory_order_relaxed) + 1u,
                          memory_order_relaxed);
}

/* It has returned. A wake-up missed for want of a barrier is made good by the waiter's own clock. */
static inline void shim_turn_end(struct shim_self *self)
{
    if (SC_UNLIKELY(self->self_flags & SHIM_SELF_COVERED))
        return;
    atomic_store_explicit(&self->self_ended,
                          atomic_load_explicit(&self->self_ended, memory_order_relaxed) + 1u,
                          memory_order_release);
    if (SC_UNLIKELY(atomic_load_explicit(&shim_turn_waiters, memory_order_relaxed) != 0))
        shim_turn_wake();
}

/* The youngest does not take place. Who waits for it sees that all there are have ended, sooner or later. */
static inline void shim_turn_withdraw(struct shim_self *self)
{
    if (self->self_flags & SHIM_SELF_COVERED)
        return;
    atomic_store_explicit(&self->self_begun,
                          atomic_load_explicit(&self->self_begun, memory_order_relaxed) - 1u,
                          memory_order_relaxed);
}

#endif /* SHIM_TURN_H */
