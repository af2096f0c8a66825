/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_thread.c - the threads of an adapter: one for its recovery, and the done threads if there are any.
 *
 * A host that has threads gives each adapter one that does what has gone wrong: it calls iodone for requests
 * that have failed, and so runs the device driver's judging and its REQUEST SENSE; it calls the chip's
 * abort(); it runs the recovery's rounds (ad_recover.c), where a chip's reset may block. So none of that is
 * ever done in interrupt context or by whoever runs the timers (NB-13, NB-14), and what ends well ends where
 * it arrives. Without threads the same functions are called by whoever passes: timers, polls, sleepers.
 *
 * *Done threads.* With the tunable ad_done_threads above 0 all responses of a LUN leave by one of so many
 * more threads, chosen by a hash of bus, target and LUN: the order is each LUN's own, as ever, and whoever
 * holds up one of these threads holds up neither the chip nor the timers (CAM-05). The lane stays closed
 * then.
 *
 * *A done queue* is a list of LUNs, not of requests. Who finds on a LUN something that its thread has to do
 * puts the LUN on the queue, with a reference, unless it is there; the thread takes it off and works on it
 * like anybody else (ad_work_unlock()). So a LUN's responses, their order, who pushes and who waits for whom
 * are the same as without threads (CAM-07), submit, done, events and SCIOSTART call nobody back, so that
 * their caller may hold a lock of his own (CAM-04), and SCIOSTOP, SCIOHALT and close need to know nothing of
 * this. The thread is woken only if it sleeps and its queue was empty (CAM-06), after the locks are dropped.
 *
 * A thread that does not start is no error: then it is as on a host without.
 *
 * Rejected: requests on the done queue (a second place for a request to be, a second order, a lock more for
 * each); handing over in interrupt context only (a LUN's errors would be judged here and there).
 *
 * Does not contain: what is done for a LUN (ad_push.c).
 */
#include "ad_impl.h"

/* ---------------------------------------------------------------- whose work it is */

struct ad_donq *ad_donq_for(struct ad_adapter *adp, unsigned id, unsigned lun)
{
    const uint32_t key = (uint32_t)SC_MINOR(adp->adp_devno) << 16 | (uint32_t)id << 8 | (uint32_t)lun;
    /* The upper bits of a product with an odd number near 2^32 over the golden ratio. */
    const uint32_t hash = (key * 2654435769u) >> 16;

    if (adp->adp_ndone != 0)
        return &adp->adp_donqs[1 + hash % adp->adp_ndone];
    return adp->adp_donqs[0].dq_on ? &adp->adp_donqs[0] : NULL;
}

bool ad_donq_is_me(const struct ad_donq *dq)
{
    const struct shim_self *self = shim_self();

    return self == atomic_load_explicit(&dq->dq_self, memory_order_relaxed) &&
           self->self_ctx == SHIM_CTX_PROCESS;
}

/* Something is there to do: is the thread to be woken? Locks: dq_lock. */
static bool ad_donq_rouse_locked(struct ad_donq *dq)
{
    const bool wake = dq->dq_asleep;

    dq->dq_asleep = false;
    dq->dq_wakes += wake;
    return wake;
}

bool ad_donq_give_locked(struct ad_lun *lun)
{
    struct ad_donq *dq = lun->lun_donq;
    bool wake = false;

    SHIM_ASSERT(dq != NULL && dq->dq_adp == lun->lun_adp && shim_lock_is_held(&lun->lun_lock));
    SHIM_ASSERT(!lun->lun_donq_listed);
    lun->lun_donq_listed = true;
    ad_enter_locked(lun);
    lun->lun_donq_next = NULL;
    shim_lock_enter(&dq->dq_lock);
    if (dq->dq_head == NULL) {
        dq->dq_head = lun;
        wake = ad_donq_rouse_locked(dq);
    } else {
        dq->dq_tail->lun_donq_next = lun;
    }
    dq->dq_tail = lun;
    shim_lock_exit(&dq->dq_lock);
    return wake;
}

void ad_donq_look(struct ad_donq *dq)
{
    bool wake;

    shim_lock_enter(&dq->dq_lock);
    SHIM_ASSERT(dq->dq_on && !dq->dq_end); /* a detach waits for us first */
    dq->dq_look = true;
    wake = ad_donq_rouse_locked(dq);
    shim_lock_exit(&dq->dq_lock);
    if (wake)
        shim_wake(&dq->dq_event);
}

/* ---------------------------------------------------------------- the thread */

/* The next LUN, or NULL. Locks: dq_lock. */
static struct ad_lun *ad_donq_take_locked(struct ad_donq *dq)
{
    struct ad_lun *lun = dq->dq_head;

    if (lun != NULL)
        dq->dq_head = lun->lun_donq_next;
    return lun;
}

static void ad_donq_main(void *arg)
{
    struct ad_donq *dq = arg;
    struct ad_adapter *adp = dq->dq_adp;
    struct ad_lun *lun;
    bool look;

    (void)shim_owner_enter(adp->adp_owner);
    atomic_store_explicit(&dq->dq_self, shim_self(), memory_order_relaxed);
    shim_lock_enter(&dq->dq_lock);
    for (;;) {
        lun = ad_donq_take_locked(dq);
        look = dq->dq_look;
        dq->dq_look = false;
        if (lun == NULL && !look) {
            if (dq->dq_end)
                break;
            dq->dq_asleep = true;
            (void)shim_wait(&dq->dq_event, &dq->dq_lock, UINT64_MAX);
            dq->dq_asleep = false;
            continue;
        }
        shim_lock_exit(&dq->dq_lock);
        if (lun != NULL) {
            shim_lock_enter(&lun->lun_lock);
            SHIM_ASSERT(lun->lun_donq_listed && lun->lun_donq == dq);
            lun->lun_donq_listed = false;
            ad_work_unlock(lun);
        }
        if (look) {
            ad_recover(adp);
            ad_serve(adp);
        }
        shim_lock_enter(&dq->dq_lock);
    }
    shim_lock_exit(&dq->dq_lock);
}

/* ---------------------------------------------------------------- life */

/* 0, or the errno of a thread that is not to be had. Context: process. */
static int ad_donq_begin(struct ad_adapter *adp, struct ad_donq *dq, const char *name)
{
    int error;

    SHIM_ASSERT(!dq->dq_on && dq->dq_head == NULL);
    dq->dq_adp = adp;
    error = shim_lock_init(&dq->dq_lock, SHIM_RANK_AD_DONE, "ad_done");
    if (error != 0)
        return error;
    error = shim_thread_start(&dq->dq_thread, ad_donq_main, dq, name);
    dq->dq_on = error == 0;
    if (error != 0)
        shim_lock_fini(&dq->dq_lock);
    return error;
}

void ad_threads_begin(struct ad_adapter *adp)
{
    int64_t n = shim_tunable("ad_done_threads", 0);
    int error = 0;

    SHIM_ASSERT(adp->adp_ndone == 0);
    if (n < 0 || n > (int64_t)AD_DONE_THREADS_MAX)
        n = 0;
    if (shim_tunable("ad_thread", 1) != 0)
        error = ad_donq_begin(adp, &adp->adp_donqs[0], "scpair-recover");
    while (error == 0 && adp->adp_ndone < (uint32_t)n) {
        error = ad_donq_begin(adp, &adp->adp_donqs[1 + adp->adp_ndone], "scpair-done");
        adp->adp_ndone += error == 0;
    }
    if (error != 0 && error != ENOSYS)
        shim_log(SHIM_LOG_WARN, "%s: errno %d for a thread: it goes without", adp->adp_name, error);
}

void ad_threads_end(struct ad_adapter *adp)
{
    for (uint32_t i = 0; i <= AD_DONE_THREADS_MAX; i++) {
        struct ad_donq *dq = &adp->adp_donqs[i];

        if (!dq->dq_on)
            continue;
        SHIM_ASSERT(!ad_donq_is_me(dq));
        shim_lock_enter(&dq->dq_lock);
        dq->dq_end = true;
        shim_lock_exit(&dq->dq_lock);
        shim_wake(&dq->dq_event);
        shim_thread_join(&dq->dq_thread);
        dq->dq_on = false;
        SHIM_ASSERT(dq->dq_head == NULL);
        shim_lock_fini(&dq->dq_lock);
    }
}

/* ---------------------------------------------------------------- counters */

uint32_t ad_donq_wakes(struct ad_adapter *adp)
{
    uint32_t wakes = 0;

    for (uint32_t i = 0; i <= AD_DONE_THREADS_MAX; i++) {
        struct ad_donq *dq = &adp->adp_donqs[i];

        if (!dq->dq_on)
            continue;
        shim_lock_enter(&dq->dq_lock);
        wakes += dq->dq_wakes;
        shim_lock_exit(&dq->dq_lock);
    }
    return wakes;
}
