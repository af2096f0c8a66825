/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_timerq.h - the armed timers of a host, earliest first. For the hosts in this tree; a port
 * may use it too.
 *
 * Not locked: the host brings its own lock. Does not contain: a clock, running of timers.
 */
#ifndef SHIM_TIMERQ_H
#define SHIM_TIMERQ_H

#include <scpair/shim.h>

/* Zero-initialised is empty. */
struct shim_timerq {
    struct shim_timer *tq_first; /* the earliest, or NULL; equal times in the order of arming */
    uintptr_t tq_seq;
    unsigned tq_count;
};

/* Add an idle timer: sets tm_when_ns and tm_state 1. */
void shim_timerq_insert(struct shim_timerq *q, struct shim_timer *t, uint64_t when_ns);
/* Take out an armed one: tm_state 0. */
void shim_timerq_remove(struct shim_timerq *q, struct shim_timer *t);

#endif /* SHIM_TIMERQ_H */
