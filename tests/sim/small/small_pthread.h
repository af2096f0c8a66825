/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_pthread.h - mutexes and condition variables on fibres, under the names posix_park.c uses.
 *
 * Included before that file is. A condition wait gives the mutex back and sleeps in one step, as pthreads
 * promise; who gets a mutex that is given back is the schedule's choice. Waking without a reason, which
 * pthreads allow, is left out.
 *
 * Does not contain: the parking itself, which is the very text of src/shim/posix/posix_park.c.
 */
#ifndef SMALL_PTHREAD_H
#define SMALL_PTHREAD_H

#include "../schedule.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

struct small_mutex {
    bool m_held;
};
struct small_cond {
    char c_unused; /* its address is all that counts */
};

int small_mutex_lock(struct small_mutex *m);
int small_mutex_unlock(struct small_mutex *m);
int small_cond_wait(struct small_cond *c, struct small_mutex *m);
int small_cond_timedwait(struct small_cond *c, struct small_mutex *m, const struct timespec *until);
int small_cond_signal(struct small_cond *c);

#undef PTHREAD_MUTEX_INITIALIZER
#define PTHREAD_MUTEX_INITIALIZER                                                                            \
    {                                                                                                        \
        false                                                                                                \
    }
#define pthread_mutex_t        struct small_mutex
#define pthread_cond_t         struct small_cond
#define pthread_mutex_lock     small_mutex_lock
#define pthread_mutex_unlock   small_mutex_unlock
#define pthread_cond_wait      small_cond_wait
#define pthread_cond_timedwait small_cond_timedwait
#define pthread_cond_signal    small_cond_signal

/* The library has these names too, for real threads. */
#define shim_posix_thread        small_posix_thread
#define shim_posix_now_ns        small_posix_now_ns
#define shim_posix_timespec      small_posix_timespec
#define shim_posix_must          small_posix_must
#define shim_posix_lock_init     small_posix_lock_init
#define shim_posix_lock_fini     small_posix_lock_fini
#define shim_posix_lock_enter    small_posix_lock_enter
#define shim_posix_lock_exit     small_posix_lock_exit
#define shim_posix_wait          small_posix_wait
#define shim_posix_wake          small_posix_wake
#define shim_posix_timer_arm     small_posix_timer_arm
#define shim_posix_timer_cancel  small_posix_timer_cancel
#define shim_posix_thread_create small_posix_thread_create

#endif /* SMALL_PTHREAD_H */
