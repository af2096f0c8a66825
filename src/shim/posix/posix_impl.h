/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix_impl.h - what the files of the posix host share.
 *
 * Does not contain: what others see of it (scpair/shim.h).
 */
#ifndef POSIX_IMPL_H
#define POSIX_IMPL_H

#include <pthread.h>
#include <scpair/shim.h>

/* A thread's own storage: the record the core sees, and what it parks on. */
struct shim_posix_thread {
    struct shim_self pt_self; /* first: self() returns its address */
    pthread_cond_t pt_cond;
    bool pt_ready;
};

/* The calling thread's; set up on first use. */
struct shim_posix_thread *shim_posix_thread(void);
/* Monotonic nanoseconds and back. */
uint64_t shim_posix_now_ns(void);
struct timespec shim_posix_timespec(uint64_t ns);
/* A mutex or condition call that cannot fail has failed: our bug. */
void shim_posix_must(int rc, const char *what);

/* posix_park.c */
int shim_posix_lock_init(struct shim_lock *l);
void shim_posix_lock_fini(struct shim_lock *l);
void shim_posix_lock_enter(struct shim_lock *l);
void shim_posix_lock_exit(struct shim_lock *l);
bool shim_posix_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns);
void shim_posix_wake(struct shim_event *ev);

/* posix_timer.c */
int shim_posix_timer_arm(struct shim_timer *t, uint64_t when_ns);
int shim_posix_timer_cancel(struct shim_timer *t);

/* posix_host.c: pthread_create with all signals blocked. 0 or errno. */
int shim_posix_thread_create(pthread_t *out, void *(*fn)(void *arg), void *arg);

#endif /* POSIX_IMPL_H */
