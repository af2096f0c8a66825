/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_poll.c - sleeping where nobody else may come to wake: the functions a waiter calls meanwhile.
 *
 * An adapter whose chip raises no interrupts finishes a command only when somebody asks it. Whoever
 * sleeps in the kernel services has nothing better to do, so it asks: it looks, sleeps for
 * KERN_POLL_NS, and looks again. Without such an adapter the list is empty and sleeping costs one
 * load more.
 *
 * A poller is called with no lock held, in the caller's own environment (process), by any number
 * of threads at once. It may be taken off the list at any time; that waits until nobody is in it.
 *
 * Rejected: a thread that polls (there are hosts without threads, and they need this most); polling
 * without sleeping (with threads, the one that completes the request may be waiting for our CPU).
 *
 * Does not contain: requests nobody waits for; the adapter polls for those by its timers.
 */
#include "kern_impl.h"

static struct shim_lock kern_poll_lock;
static struct kern_poller *_Atomic kern_pollers;

int sck_poll_init(void)
{
    atomic_store(&kern_pollers, NULL);
    return shim_lock_init(&kern_poll_lock, SHIM_RANK_KERN, "kern poll");
}

void sck_poll_fini(void)
{
    if (atomic_load(&kern_pollers) != NULL)
        shim_panic("kern_fini: a poller is still registered");
    shim_lock_fini(&kern_poll_lock);
}

/* Context: process. Owns: p is ours until kern_poller_remove(). */
void kern_poller_add(struct kern_poller *p)
{
    KASSERT(p->po_func != NULL);
    shim_lock_enter(&kern_poll_lock);
    p->po_busy = p->po_removed = 0;
    p->po_next = atomic_load_explicit(&kern_pollers, memory_order_relaxed);
    atomic_store_explicit(&kern_pollers, p, memory_order_release);
    shim_lock_exit(&kern_poll_lock);
}

/* Context: process, and not from inside a poller. On return it is not running and will not run. */
void kern_poller_remove(struct kern_poller *p)
{
    struct kern_poller *at;

    shim_lock_enter(&kern_poll_lock);
    p->po_removed = 1; /* nobody enters it any more; in the list until the last is out, who goes on from it */
    while (p->po_busy != 0) {
        shim_lock_exit(&kern_poll_lock);
        shim_delay_ns(1000);
        shim_lock_enter(&kern_poll_lock);
    }
    at = atomic_load_explicit(&kern_pollers, memory_order_relaxed);
    if (at == p) {
        atomic_store_explicit(&kern_pollers, p->po_next, memory_order_release);
    } else {
        while (at->po_next != p)
            at = at->po_next;
        at->po_next = p->po_next;
    }
    shim_lock_exit(&kern_poll_lock);
}

/* Call them all. One that is being taken off stays in the list until we are out of it: it is our way to the
 * next. */
static void kern_poll_all(void)
{
    struct kern_poller *p;

    shim_lock_enter(&kern_poll_lock);
    p = atomic_load_explicit(&kern_pollers, memory_order_relaxed);
    while (p != NULL) {
        struct kern_poller *next;

        if (p->po_removed) {
            p = p->po_next;
            continue;
        }
        p->po_busy++;
        shim_lock_exit(&kern_poll_lock);
        p->po_func(p->po_arg);
        shim_lock_enter(&kern_poll_lock);
        next = p->po_next;
        p->po_busy--;
        p = next;
    }
    shim_lock_exit(&kern_poll_lock);
}

/*
 * What the thread has held back it may be about to wait for. With a lock the caller has to look again: true.
 * Locks: drops and retakes l; with others held nothing is started, and somebody else has to.
 */
static bool kern_wait_pull(struct shim_lock *l)
{
    struct shim_self *self = shim_self();

    if (l)
        shim_lock_exit(l);
    if (self->self_nlocks == 0)
        sck_plug_pull(self);
    if (l)
        shim_lock_enter(l);
    return l != NULL;
}

/*
 * Sleep as shim_wait() does, and poll. With a lock the caller looks at a condition of its own in a
 * loop and others may sleep on the same word, so it returns "woken" after each look. Without one the
 * word is the condition. Context: process. Locks: drops and retakes l; with others held nobody polls.
 */
bool sck_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    if (SC_UNLIKELY(sck_plug_holds(shim_self())) && kern_wait_pull(l))
        return true;
    if (SC_LIKELY(atomic_load_explicit(&kern_pollers, memory_order_acquire) == NULL))
        return shim_wait(ev, l, deadline_ns);
    for (;;) {
        uint64_t until;

        if (l)
            shim_lock_exit(l);
        if (kern_at_process_level() && shim_self()->self_nlocks == 0 && shim_self()->self_nosleep == 0)
            kern_poll_all();
        if (l)
            shim_lock_enter(l);
        until = shim_now_ns() + KERN_POLL_NS;
        if (until >= deadline_ns)
            return shim_wait(ev, l, deadline_ns);
        if (shim_wait(ev, l, until) || l)
            return true;
    }
}
