/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scsched.h - the mark for places where it matters which thread goes on.
 *
 * Locks, sleeping and timers go through the host, which can let another thread run there. An atomic
 * that is read or written beside them does not: shim_sched_point() stands before it. In a library
 * the mark is nothing at all; the simulation (docs/simulation.md) compiles the same sources with SHIM_SCHED
 * and switches fibres there. A head driver may use it for the same purpose.
 *
 * Does not contain: the scheduler (src/shim/det/det_sched.c).
 */
#ifndef SYS_SCSCHED_H
#define SYS_SCSCHED_H

#ifdef SHIM_SCHED
/* Another fibre may run here. Context: any, with or without locks. */
void shim_det_mark(void);
#define shim_sched_point() shim_det_mark()
#else
#define shim_sched_point() ((void)0)
#endif

#endif /* SYS_SCSCHED_H */
