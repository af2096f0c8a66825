/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_head.c - a head of its own on the adapter: starts a LUN, sends requests, halts, resets, recovers,
 * stops.
 *
 * It keeps to the rules of sys/scsi.h and holds the adapter driver to them: each request comes back once;
 * ENXIO never before the error, or the ioctl, that caused it; what was in the queue when SCIOHALT, SCIOSTOP
 * or close was called is back when that returns; and afterwards nothing of the requests is touched.
 */
#include "fib_head.h"

#include "adapter/ad_impl.h"

#include <sys/scsiproto.h>

#include <string.h>

#define RECOVERIES 6u

static struct fib_head heads[FIB_CALLERS_MAX];

/* ---------------------------------------------------------------- ioctls */

static int head_ioctl(struct fib_head *h, unsigned cmd, const char *name)
{
    int error;

    if (cmd != SCIOSTART) {
        for (unsigned i = 0; i <= FIB_HEAD_REQS; i++) {
            h->h_reqs[i].rq_must = h->h_reqs[i].rq_busy && h->h_reqs[i].rq_sent;
            h->h_reqs[i].rq_queued = h->h_reqs[i].rq_must && !h->h_cause && cmd != SCIORESET;
        }
        h->h_cause = true;
        h->h_back = 0;
    }
    fib_doing(h->h_caller, name);
    error = fp_ioctl(h->h_fp, cmd, SC_ARG(h->h_disk->dk_id, h->h_disk->dk_lun), 0);
    fib_doing(h->h_caller, NULL);
    /* A target reset may not bring a lost command back. SCIOHALT and SCIOSTOP always do, unless somebody who
     * has one in hand is kept off his processor. */
    SCHED_CHECK(error == 0 ||
                    (fib_world.w_naps != 0 && (error == ETIMEDOUT || (cmd == SCIOSTART && error == EINVAL) ||
                                               (cmd == SCIORESET && error == EIO))) ||
                    (cmd == SCIORESET && error == EIO && fib_world.w_lost != FIB_LOST_NONE) ||
                    (cmd == SCIOSTART && error == EIO && fib_plausible(ENOMEM)),
                "error: %s: %s: errno %d (%s)", h->h_caller->c_name, name, error, scp_strerror(error));
    if (error == 0 && (cmd == SCIOHALT || cmd == SCIOSTOP))
        for (unsigned i = 0; i <= FIB_HEAD_REQS; i++)
            FIB_CHECK("late-iodone", !h->h_reqs[i].rq_must || !h->h_reqs[i].rq_busy,
                      "%s: %s has returned and a request that was in the queue is not back",
                      h->h_caller->c_name, name);
    return error;
}

static void halt(struct fib_head *h)
{
    if (head_ioctl(h, SCIOHALT, "SCIOHALT") == 0) {
        h->h_kept = false;
        h->h_halted = true;
    }
    h->h_failed = true;
}

/* async_func. Context: completion. Between SCIOEVENT and the return of SCIOSTOP or close. */
static void head_event(struct sc_event_info *info)
{
    struct fib_head *h = info->async_correlator;

    FIB_CHECK("late-event", h->h_listens, "%s was told of an event after SCIOSTOP or close had returned",
              h->h_caller->c_name);
    SCHED_CHECK(shim_self()->self_nlocks == 0, "contract: an event function is called with %u locks held",
                shim_self()->self_nlocks);
    SCHED_CHECK(info->id == h->h_disk->dk_id && info->lun == h->h_disk->dk_lun && info->mode == SC_IM_MODE &&
                    info->adap_devno == h->h_disk->dk_adapter && info->events != 0,
                "contract: an event of %s says id %u, LUN %u, events %#x", h->h_caller->c_name, info->id,
                info->lun, info->events);
    shim_det_observe(info->events);
    for (unsigned i = 0; i < 4; i++)
        shim_det_mark(); /* time for who stops the LUN: he waits for us */
    FIB_CHECK("late-event", h->h_listens, "SCIOSTOP or close of %s returned inside its event function",
              h->h_caller->c_name);
    h->h_told++;
    shim_wake(&h->h_caller->c_event);
}

static void listen(struct fib_head *h)
{
    struct sc_event_struct ev = {.id = h->h_disk->dk_id,
                                 .lun = h->h_disk->dk_lun,
                                 .mode = SC_IM_MODE,
                                 .async_func = head_event,
                                 .async_correlator = h};
    int error;

    h->h_listens = true;
    error = fp_ioctl(h->h_fp, SCIOEVENT, (intptr_t)&ev, 0);
    SCHED_CHECK(error == 0, "error: %s: SCIOEVENT: errno %d", h->h_caller->c_name, error);
    h->h_registered = true;
    error = fp_ioctl(h->h_fp, SCIOEVENT, (intptr_t)&ev, 0);
    SCHED_CHECK(error == EINVAL, "contract: a second SCIOEVENT was not refused: errno %d", error);
}

unsigned fib_head_told(const struct fib_caller *c, devno_t adapter)
{
    const struct fib_head *h = c->c_kind == FIB_HEAD ? fib_world.w_heads[c->c_index] : NULL;

    return h && h->h_registered && !h->h_ending && h->h_disk->dk_adapter == adapter
               ? (h->h_ends << 16) + h->h_told + 1u
               : 0;
}

/* What reaches the device. Context: any, inside the chip's start(). */
static void head_watch(void *arg, const struct ad_xfer *x)
{
    const struct fib_head *h = arg;

    FIB_CHECK("after-halt",
              !h->h_halted || (x->xfer_cdb[0] != SCSI_READ_10 && x->xfer_cdb[0] != SCSI_WRITE_10),
              "%s: operation %02x reached the device although its owner knows the queue halted",
              h->h_caller->c_name, x->xfer_cdb[0]);
}

/* ---------------------------------------------------------------- recovery */

/* Send the recovery request and wait for it alone. Its errno. */
static int recovery_send(struct fib_head *h)
{
    struct fib_head_req *rq = &h->h_reqs[FIB_HEAD_REQS];

    if (rq->rq_sb.flags & SC_RESUME)
        h->h_halted = h->h_halted && h->h_kept && !(rq->rq_sb.flags & SC_Q_RESUME);
    fib_req_send(h, rq);
    while (rq->rq_busy)
        fib_sleep(h->h_caller);
    return fib_req_errno(rq);
}

static int sense(struct fib_head *h)
{
    static const uint8_t request_sense[6] = {SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0};
    struct fib_head_req *rq = &h->h_reqs[FIB_HEAD_REQS];

    fib_req_make(h, rq, true, 252, SC_NO_Q, SC_RESUME);
    fib_req_cdb(rq, request_sense, sizeof(request_sense));
    return recovery_send(h);
}

/* The queue runs again, or it was halted for good: true when it runs. */
static bool recover_tries(struct fib_head *h)
{
    struct fib_head_req *rq = &h->h_reqs[FIB_HEAD_REQS];

    for (unsigned tries = 0; tries < RECOVERIES; tries++) {
        fib_head_wait(h, 0);
        h->h_failed = false;
        if (!h->h_kept) {
            h->h_cause = false;
            if (sense(h) == 0 && !h->h_failed)
                return true;
            continue;
        }
        if (sense(h) != 0)
            continue;
        /* The queue is ours to clear or to let go on. */
        if (fib_percent(&h->h_caller->c_rng, 50)) {
            fib_req_make(h, rq, false, 0, SC_NO_Q, SC_Q_CLR);
            (void)recovery_send(h);
            h->h_kept = false;
        } else {
            fib_req_make(h, rq, false, 0, SC_NO_Q, SC_RESUME | SC_Q_RESUME);
            /* From here on: another that was at the device may fail, and the queue is kept again. */
            h->h_kept = false;
            if (recovery_send(h) == 0)
                return true;
            halt(h);
        }
    }
    halt(h);
    return false;
}

static void recover(struct fib_head *h)
{
    h->h_recovering = true;
    (void)recover_tries(h);
    h->h_recovering = false;
}

/* ---------------------------------------------------------------- the caller */

static void round_act(struct fib_head *h)
{
    struct fib_caller *c = h->h_caller;
    const unsigned what = fib_below(&c->c_rng, 100);

    c->c_resubmits = 3;
    if (what < 60) {
        for (uint32_t n = 1 + fib_below(&c->c_rng, 4); n > 0; n--)
            if ((fib_world.w_faults & FIB_FAULT_WILD) && fib_percent(&c->c_rng, 40))
                fib_head_send_other(h);
            else
                fib_head_send(h);
    } else if (what < 75) {
        fib_head_wait(h, fib_below(&c->c_rng, h->h_outstanding + 1u));
    } else if (what < 82) {
        halt(h);
    } else if (what < 88) {
        (void)head_ioctl(h, SCIORESET, "SCIORESET");
        h->h_failed = true; /* if there was a command at the device: then the first to come back says so */
        fib_head_wait(h, 0);
    } else if (what < 92) {
        fib_head_send_wrong(h);
    } else if (what < 95) {
        SCHED_CHECK(ad_detach(h->h_disk->dk_adapter) == EBUSY,
                    "contract: an adapter was taken away while it was open");
    }
    if (h->h_failed && fib_percent(&c->c_rng, 70))
        recover(h);
}

/* No iodone routine is to send anything once the LUN is being stopped. */
static void round_end(struct fib_head *h)
{
    int error;

    /* Either everything has come back, although strategy may not have returned; or it has, and may have to
     * wait. */
    h->h_ending = true;
    h->h_registered = false;
    if (fib_percent(&h->h_caller->c_rng, 50))
        fib_head_wait(h, 0);
    while (h->h_outstanding > 0 && h->h_sending > 0)
        fib_sleep(h->h_caller);
    if (fib_percent(&h->h_caller->c_rng, 70) && head_ioctl(h, SCIOSTOP, "SCIOSTOP") == 0)
        fib_head_closed(h);
    h->h_cause = true;
    for (unsigned i = 0; i <= FIB_HEAD_REQS; i++)
        h->h_reqs[i].rq_must = h->h_reqs[i].rq_busy;
    fib_doing(h->h_caller, "adapter close");
    error = fp_close(h->h_fp);
    fib_doing(h->h_caller, NULL);
    SCHED_CHECK(error == 0, "error: %s: close: errno %d (%s)", h->h_caller->c_name, error,
                scp_strerror(error));
    FIB_CHECK("late-iodone", h->h_outstanding == 0 || fib_trouble(),
              "%s: closed, and %u requests are not back", h->h_caller->c_name, h->h_outstanding);
    if (h->h_outstanding == 0)
        fib_head_closed(h);
    h->h_kept = false;
    fib_head_wait(h, 0);
}

/*
 * Another thread of the same head: sends when the first has nothing against it. Or a guest on its LUN, with a
 * file of his own, which is closed before the pair goes.
 */
static void second_run(void *arg)
{
    struct fib_head *h = arg;
    struct fib_caller *c = h->h_caller;
    struct file *fp = NULL;

    if (h->h_guest && fp_opendev(h->h_disk->dk_adapter, DREAD | DWRITE | DKERNEL, NULL, 0, &fp) != 0)
        h->h_guest = false;
    for (unsigned step = 0; step < 2 * c->c_steps && !h->h_over; step++) {
        if (fp) {
            fib_guest_act(c, fp, h->h_disk);
            continue;
        }
        fib_enter(c);
        if (!h->h_ending && !h->h_recovering && !h->h_closed)
            fib_head_send(h);
        fib_leave(c);
        if (fib_percent(&c->c_rng, 50))
            shim_delay_ns(1 + fib_below(&c->c_rng, 100000));
    }
    if (fp)
        SCHED_CHECK(fp_close(fp) == 0, "error: %s: close by a guest", c->c_name);
}

static void head_prepare(struct fib_head *h, struct fib_caller *c)
{
    const struct fib_disk *d = &fib_world.w_disks[c->c_disk];

    fib_enter(c);
    memset(h, 0, sizeof(*h));
    h->h_caller = c;
    h->h_disk = d;
    h->h_closed = true;
    h->h_tagged = !fib_world.w_disk_specs[c->c_disk].no_tags && fib_percent(&c->c_rng, 70);
    for (unsigned i = 0; i < FIB_HEAD_REQS; i++)
        h->h_reqs[i].rq_data = fib_cell(c, i);
    h->h_reqs[FIB_HEAD_REQS].rq_data = fib_big(c);
    for (unsigned i = 0; i <= FIB_HEAD_REQS; i++) {
        h->h_reqs[i].rq_head = h;
        h->h_reqs[i].rq_sent = true;
    }
    h->h_watched = fib_percent(&c->c_rng, 50);
    if (h->h_watched)
        sim_disk_watch(d->dk_sim, head_watch, h);
    fib_world.w_heads[c->c_index] = h;
}

void fib_head_run(void *arg)
{
    struct fib_caller *c = arg;
    struct fib_head *h = &heads[c->c_index];
    const struct fib_disk *d = &fib_world.w_disks[c->c_disk];
    unsigned step = 0;
    bool listens;
    int error;

    head_prepare(h, c);
    listens = fib_percent(&c->c_rng, 60);
    h->h_two = fib_world.w_phases == 1 && fib_percent(&c->c_rng, 60);
    h->h_guest = h->h_two && fib_percent(&c->c_rng, 40);
    if (h->h_two)
        SCHED_CHECK(shim_thread_start(&h->h_second, second_run, h, "second") == 0,
                    "the test itself: no fibre");
    while (step < c->c_steps) {
        uint32_t acts = 2 + fib_below(&c->c_rng, 8);

        error = fp_opendev(d->dk_adapter, DREAD | DWRITE | DKERNEL, NULL, 0, &h->h_fp);
        SCHED_CHECK(error == 0 || (error == ENOMEM && fib_plausible(error)),
                    "error: %s: open of the adapter: errno %d", c->c_name, error);
        if (error != 0)
            break;
        h->h_halted = false; /* it runs before we hear of it, and the second thread may be waiting for that */
        if (head_ioctl(h, SCIOSTART, "SCIOSTART") != 0) {
            (void)fp_close(h->h_fp);
            break;
        }
        h->h_cause = h->h_failed = h->h_kept = h->h_ending = h->h_closed = false;
        if (listens)
            listen(h);
        for (; acts > 0 && step < c->c_steps; acts--, step++)
            round_act(h);
        round_end(h);
        fib_head_closed(h);
    }
    h->h_over = true;
    if (!fib_world.w_rush || h->h_guest)
        fib_head_join(c);
    sim_disk_watch(d->dk_sim, NULL, NULL);
}

void fib_head_join(struct fib_caller *c)
{
    struct fib_head *h = &heads[c->c_index];

    if (h->h_two)
        shim_thread_join(&h->h_second);
    h->h_two = false;
}

/* ---------------------------------------------------------------- limits */

void fib_head_limits(const struct fib_caller *c)
{
    const struct fib_head *h = fib_world.w_heads[c->c_index];
    const struct ad_lun *lun =
        h ? ad_lun_find(ad_find(h->h_disk->dk_adapter), h->h_disk->dk_id, h->h_disk->dk_lun) : NULL;

    for (unsigned i = 0; h && i <= FIB_HEAD_REQS; i++) {
        const struct fib_head_req *rq = &h->h_reqs[i];

        if (!rq->rq_busy || h->h_kept)
            continue;
        fib_late_request(c, &rq->rq_sb, rq->rq_since, rq->rq_naps);
        /* Its thread may have come from this LUN's iodone to the one that stays. */
        if (rq->rq_sent && !(lun && lun->lun_pushing))
            fib_late_starved(c, rq->rq_since, rq->rq_naps);
    }
}
