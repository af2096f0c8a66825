/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_impl.h - what the files of the kernel services share.
 *
 * Does not contain: anything a driver sees; that is sys/kservices.h and sys/scuio.h.
 */
#ifndef KERN_IMPL_H
#define KERN_IMPL_H

#include <scpair/shim.h>
#include <sys/kservices.h>
#include <sys/scsched.h>

/* Limits. */
#define KERN_FILES_MAX        4096u  /* open devices in the process */
#define KERN_UPHYSIO_INFLIGHT 8u     /* bufs uphysio keeps on its stack */
#define KERN_POLL_NS          50000u /* a waiter's sleep between two looks at chips without interrupts */

/* kern_devsw.c, called by kern_init.c. */
int sck_devsw_init(void);
void sck_devsw_fini(void);
/* kern_errlog.c, likewise. */
int sck_errlog_init(void);
void sck_errlog_fini(void);

/* kern_trace.c, likewise. */
int sck_trace_init(void);
void sck_trace_fini(void);

/* kern_poll.c: likewise, and how every service sleeps. */
int sck_poll_init(void);
void sck_poll_fini(void);
bool sck_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns);

/* kern_plug.c: start what the thread has held back: it is about to wait, or to do something else. */
static inline bool sck_plug_holds(const struct shim_self *self)
{
    return SC_UNLIKELY(self->self_plug != NULL) && self->self_plug->kp_ncalls != 0;
}
void sck_plug_pull(struct shim_self *self);

/* An event_t is the word of a shim_event; the services hand it down as one. */
_Static_assert(sizeof(struct shim_event) == sizeof(event_t), "an event is one word");
static inline struct shim_event *kern_event(event_t *word)
{
    return SC_CONTAINER_OF(word, struct shim_event, ev_word);
}

/*
 * Around every strategy call: while it runs the thread must not sleep (AIX-03). Counted in
 * checked mode only; the result goes back to kern_strategy_leave.
 */
static inline struct shim_self *kern_strategy_enter(void)
{
    struct shim_self *self;

    if (SC_LIKELY(!shim_checks_on()))
        return NULL;
    self = shim_self();
    self->self_nosleep++;
    return self;
}
static inline void kern_strategy_leave(struct shim_self *self)
{
    if (SC_UNLIKELY(self != NULL)) {
        SHIM_ASSERT(self->self_nosleep > 0);
        self->self_nosleep--;
    }
}

#endif /* KERN_IMPL_H */
