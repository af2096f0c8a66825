/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_timer.c - watchdogs (whole seconds) and fine timers (trb), both on the shim's one-shot timer.
 *
 * Each needs memory of the shim's kind, taken by w_init and talloc; w_clear and tfree give it back.
 * Starting one that runs moves it, so that there is never more than one armed (NB-02).
 *
 * AIX counts watchdogs down once a second for all of them; here each has its own deadline, which
 * differs by less than the second that the published interface leaves open anyway.
 *
 * Does not contain: clocks (the host).
 */
#include "kern_impl.h"

#define KERN_NS_PER_S      1000000000u
#define KERN_TIMER_POLL_NS 20000u

struct kern_trb {
    struct trb kt_trb; /* first: what the caller holds */
    struct shim_timer kt_timer;
};

/* ---------------------------------------------------------------- watchdogs */

static void kern_watchdog_fire(struct shim_timer *t)
{
    struct watchdog *w = t->tm_arg;

    KASSERT(w->w_trb == t && w->func != NULL);
    w->count = 0;
    w->func(w);
}

/* Context: process. 0 or ENOMEM. Owns: the caller, until w_clear. */
int w_init(struct watchdog *w)
{
    struct shim_timer *t = shim_alloc(sizeof(*t), 0, SHIM_TAG_KERN);

    if (!t)
        return ENOMEM;
    shim_timer_init(t, kern_watchdog_fire, w);
    w->next = w->prev = NULL;
    w->count = 0;
    w->w_trb = t;
    return 0;
}

/* Context: any. There is no way to report a failure to arm, so it is at least not silent. */
void w_start(struct watchdog *w)
{
    KASSERT(w->w_trb != NULL && w->func != NULL);
    w->count = w->restart;
    if (shim_timer_arm(w->w_trb, shim_now_ns() + (uint64_t)w->restart * KERN_NS_PER_S))
        shim_log(SHIM_LOG_WARN, "watchdog: no timer, a timeout will not be noticed");
}

void w_stop(struct watchdog *w)
{
    KASSERT(w->w_trb != NULL);
    (void)shim_timer_cancel(w->w_trb);
}

/* Context: process. 0; -1 when func runs on another thread: drop your locks and call again. */
int w_clear(struct watchdog *w)
{
    if (!w->w_trb)
        return 0;
    if (shim_timer_cancel(w->w_trb) == SHIM_CANCEL_RUNNING)
        return -1;
    shim_free(w->w_trb, sizeof(struct shim_timer), 0, SHIM_TAG_KERN);
    w->w_trb = NULL;
    return 0;
}

/* ---------------------------------------------------------------- fine timers */

static void kern_trb_fire(struct shim_timer *t)
{
    struct trb *trb = t->tm_arg;

    KASSERT(trb->t_host == t && trb->func != NULL);
    trb->func(trb);
}

/* Context: process. NULL without memory. */
struct trb *talloc(void)
{
    struct kern_trb *kt = shim_alloc(sizeof(*kt), 0, SHIM_TAG_KERN);

    if (!kt)
        return NULL;
    shim_timer_init(&kt->kt_timer, kern_trb_fire, &kt->kt_trb);
    kt->kt_trb.t_host = &kt->kt_timer;
    return &kt->kt_trb;
}

/* Context: any. 0, or the host's errno when no timer is to be had. */
int tstart(struct trb *t)
{
    uint64_t now = shim_now_ns();

    KASSERT(t->t_host != NULL && t->func != NULL);
    return shim_timer_arm(t->t_host, t->timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + t->timeout_ns);
}

/* Context: any. 0 it will not run, 1 it was not armed, -1 it is running. */
int tstop(struct trb *t)
{
    KASSERT(t->t_host != NULL);
    switch (shim_timer_cancel(t->t_host)) {
    case SHIM_CANCEL_WAS_ARMED:
        return 0;
    case SHIM_CANCEL_IDLE:
        return 1;
    default:
        return -1;
    }
}

/* Context: process, no lock held which func takes: waits for func if it is running elsewhere. */
void tfree(struct trb *t)
{
    struct kern_trb *kt;

    if (!t)
        return;
    kt = SC_CONTAINER_OF(t, struct kern_trb, kt_trb);
    while (shim_timer_cancel(&kt->kt_timer) == SHIM_CANCEL_RUNNING) {
        struct shim_event never = {0};

        (void)shim_wait(&never, NULL, shim_now_ns() + KERN_TIMER_POLL_NS);
    }
    shim_free(kt, sizeof(*kt), 0, SHIM_TAG_KERN);
}
