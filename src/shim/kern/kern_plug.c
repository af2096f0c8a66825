/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_plug.c - a thread says that several requests follow, so that drivers may start them together.
 *
 * The plug is a list of calls on the stack of whoever has begun it, found by the thread's record: each driver
 * that has taken in a request and not started it puts itself there, once. The outermost end calls them all;
 * so does a thread that is about to sleep, or to open, close or control a device, for it may wait for what it
 * holds back. During the calls the thread has no plug.
 *
 * An interrupt on top of the thread may find the plug and join it, too. So the plug is taken out of the
 * record while it is changed: what comes just then starts its requests itself. A timer never finds it
 * (shim_timer_run()).
 *
 * Rejected: a plug by device or by driver (the caller would have to know what is below him); a global table
 * by thread (the record is found anyway); a limit in time, which needs a timer for what is over in
 * microseconds.
 *
 * Does not contain: what is held back, and where: with the adapter driver in the LUN's queue, where every
 * thread sees it (ad_batch.c).
 */
#include "kern_impl.h"

/* Nothing below this line is moved above it by the compiler: an interrupt on top of us looks. */
static inline void kern_plug_settle(void) { atomic_signal_fence(memory_order_seq_cst); }

void kern_plug_begin(struct kern_plug *plug)
{
    struct shim_self *self = shim_self();

    plug->kp_ncalls = 0;
    plug->kp_inner = self->self_plug != NULL;
    kern_plug_settle();
    if (!plug->kp_inner)
        self->self_plug = plug;
}

/* Make the calls. The plug is in no record. */
static void kern_plug_calls(struct kern_plug *plug)
{
    KASSERT(plug->kp_ncalls <= SC_ARRAY_SIZE(plug->kp_calls));
    for (uint32_t i = 0; i < plug->kp_ncalls; i++) {
        shim_sched_point();
        plug->kp_calls[i].pc_func(plug->kp_calls[i].pc_arg);
    }
    plug->kp_ncalls = 0;
}

void kern_plug_end(struct kern_plug *plug)
{
    struct shim_self *self;

    if (plug->kp_inner)
        return;
    self = shim_self();
    KASSERT(self->self_plug == plug);
    self->self_plug = NULL;
    kern_plug_settle();
    kern_plug_calls(plug);
}

/* Context: any, no lock held. */
void sck_plug_pull(struct shim_self *self)
{
    struct kern_plug *plug = self->self_plug;

    self->self_plug = NULL;
    kern_plug_settle();
    kern_plug_calls(plug);
    kern_plug_settle();
    self->self_plug = plug;
}

int kern_plug_join(void (*func)(void *arg), void *arg)
{
    struct shim_self *self = shim_self();
    struct kern_plug *plug = self->self_plug;
    int joined = KERN_PLUG_OLD;
    uint32_t i;

    if (plug == NULL)
        return KERN_PLUG_NONE;
    self->self_plug = NULL;
    kern_plug_settle();
    for (i = 0; i < plug->kp_ncalls; i++)
        if (plug->kp_calls[i].pc_func == func && plug->kp_calls[i].pc_arg == arg)
            break;
    if (i == SC_ARRAY_SIZE(plug->kp_calls)) {
        joined = KERN_PLUG_NONE;
    } else if (i == plug->kp_ncalls) {
        plug->kp_calls[i] = (struct kern_plug_call){func, arg};
        plug->kp_ncalls++;
        joined = KERN_PLUG_NEW;
    }
    kern_plug_settle();
    self->self_plug = plug;
    return joined;
}
