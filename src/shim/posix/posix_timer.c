/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix_timer.c - one thread that runs all timers of the process.
 *
 * The thread is started by the first arming, so that a program which never needs a timeout has no
 * extra thread. Functions run on it one after the other, with the timer mutex released. A timer's
 * function may free or arm its own timer; therefore, once it has been called, the timer is
 * known by address only (posix_timer_running).
 *
 * Does not contain: the heap (shim_timerq.c).
 */
#define _GNU_SOURCE
#include "../shim_timerq.h"
#include "posix_impl.h"

#include <errno.h>
#include <time.h>

static struct {
    pthread_mutex_t mutex;
    struct shim_timerq queue;
    const struct shim_timer *running; /* its function runs now; compared, never followed */
    struct shim_posix_thread *thread; /* whose pt_cond it sleeps on; NULL before it has started */
    pthread_t id;
    bool started;
    bool stop;
} posix_timers = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void posix_timers_lock(void)
{
    shim_posix_must(pthread_mutex_lock(&posix_timers.mutex), "timer lock");
}

static void posix_timers_unlock(void)
{
    shim_posix_must(pthread_mutex_unlock(&posix_timers.mutex), "timer unlock");
}

/* Run what is due. Needs the mutex, drops it around each function. */
static void posix_timers_run_due(void)
{
    struct shim_timer *t;

    while ((t = posix_timers.queue.tq_first) != NULL && t->tm_when_ns <= shim_posix_now_ns()) {
        shim_timerq_remove(&posix_timers.queue, t);
        posix_timers.running = t;
        posix_timers_unlock();
        shim_timer_run(t);
        posix_timers_lock();
        posix_timers.running = NULL;
    }
}

static void *posix_timers_main(void *arg)
{
    struct shim_posix_thread *me = shim_posix_thread();

    (void)arg;
    posix_timers_lock();
    posix_timers.thread = me;
    while (!posix_timers.stop) {
        posix_timers_run_due();
        if (posix_timers.stop)
            break;
        if (posix_timers.queue.tq_first) {
            struct timespec until = shim_posix_timespec(posix_timers.queue.tq_first->tm_when_ns);
            int rc = pthread_cond_timedwait(&me->pt_cond, &posix_timers.mutex, &until);

            shim_posix_must(rc == ETIMEDOUT ? 0 : rc, "timer wait");
        } else {
            shim_posix_must(pthread_cond_wait(&me->pt_cond, &posix_timers.mutex), "timer wait");
        }
    }
    posix_timers.thread = NULL;
    posix_timers_unlock();
    return NULL;
}

/*
 * Arm or move. Context: any. The thread is woken only when it would sleep too long: arming timeouts,
 * each later than the last, makes no system call.
 */
int shim_posix_timer_arm(struct shim_timer *t, uint64_t when_ns)
{
    int rc = 0;

    posix_timers_lock();
    if (!posix_timers.started) {
        posix_timers.stop = false;
        rc = shim_posix_thread_create(&posix_timers.id, posix_timers_main, NULL);
        posix_timers.started = rc == 0;
    }
    if (rc == 0) {
        if (t->tm_state == 1)
            shim_timerq_remove(&posix_timers.queue, t);
        shim_timerq_insert(&posix_timers.queue, t, when_ns);
        if (posix_timers.queue.tq_first == t && posix_timers.thread)
            shim_posix_must(pthread_cond_signal(&posix_timers.thread->pt_cond), "timer signal");
    }
    posix_timers_unlock();
    return rc;
}

/*
 * Context: any; never waits. "Running" is said to other threads only: within its own function a
 * timer is idle, or armed again.
 */
int shim_posix_timer_cancel(struct shim_timer *t)
{
    int rc = SHIM_CANCEL_IDLE;

    posix_timers_lock();
    if (t->tm_state == 1) {
        shim_timerq_remove(&posix_timers.queue, t);
        rc = SHIM_CANCEL_WAS_ARMED;
    }
    if (posix_timers.running == t && posix_timers.thread != shim_posix_thread())
        rc = SHIM_CANCEL_RUNNING;
    posix_timers_unlock();
    return rc;
}

/* End the thread. Context: process; every timer is idle. The next arming starts a new one. */
void shim_posix_stop(void)
{
    bool started;

    posix_timers_lock();
    started = posix_timers.started;
    posix_timers.stop = true;
    if (posix_timers.thread)
        shim_posix_must(pthread_cond_signal(&posix_timers.thread->pt_cond), "timer signal");
    posix_timers_unlock();
    if (!started)
        return;
    shim_posix_must(pthread_join(posix_timers.id, NULL), "timer join");
    posix_timers_lock();
    posix_timers.started = false;
    posix_timers_unlock();
}
