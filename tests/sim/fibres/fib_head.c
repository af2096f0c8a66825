/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_head.c - a head of its own on the adapter: starts a LUN, sends requests, halts, resets, recovers,
 * stops.
 *
 * It keeps to the rules of sys/scsi.h and holds the adapter driver to them: each request comes back once;
 * ENXIO never before the error, or the ioctl, that caused it; what was in the queue when SCIOHALT, SCIOSTOP
 * or close was called is back when that returns; and afterwards nothing of the requests is touched.
 */
#include "fib.h"

#include "adapter/ad_impl.h"

#include <sys/scsiproto.h>

#include <string.h>

#define TIMEOUT_S  30u
#define DATA_BYTES 4096u
#define RECOVERIES 6u

struct fib_head_req {
    struct sc_buf rq_sb; /* first */
    struct fib_head *rq_head;
    bool rq_busy;
    bool rq_sent;                /* strategy has returned */
    bool rq_must;                /* has to be back when the ioctl under way returns */
    bool rq_queued;              /* was in the queue of a running LUN when the ioctl was called */
    uint64_t rq_began, rq_ended; /* strategy: by h_stamp */
    uint64_t rq_since, rq_naps;
    uint8_t *rq_data;
};

struct fib_head {
    struct fib_caller *h_caller;
    const struct fib_disk *h_disk;
    struct file *h_fp;
    struct fib_head_req h_reqs[FIB_HEAD_REQS + 1]; /* the last one is for recovery */
    struct fib_head_req h_wrong;
    unsigned h_outstanding, h_sending;
    bool h_tagged;
    bool h_two; /* there is another thread that sends */
    struct shim_thread h_second;
    bool h_watched; /* what reaches the device is looked at */
    bool h_halted;  /* we know that the queue has halted and have sent nothing to resume it */
    bool h_recovering;
    uint64_t h_stamp;
    uint64_t h_back;   /* rq_began of the youngest that SCIOHALT or SCIOSTOP has thrown back */
    bool h_cause;      /* something has happened that sends ENXIO */
    bool h_failed;     /* an error came back: the queue waits for us */
    bool h_kept;       /* and was kept */
    bool h_ending;     /* nothing new from iodone */
    bool h_over;       /* nor from anybody */
    bool h_listens;    /* may be told of events */
    bool h_registered; /* and has to be */
    unsigned h_told;
    bool h_closed;   /* nothing may come any more */
    unsigned h_ends; /* how often that has become so */
};

static struct fib_head heads[FIB_CALLERS_MAX];

static int req_errno(const struct fib_head_req *rq)
{
    return rq->rq_sb.bufstruct.b_flags & B_ERROR ? rq->rq_sb.bufstruct.b_error : 0;
}

/* ---------------------------------------------------------------- requests */

static void send_one(struct fib_head *h);

static void req_judge(struct fib_head *h, struct fib_head_req *rq)
{
    const struct buf *bp = &rq->rq_sb.bufstruct;
    const int error = req_errno(rq);

    SCHED_CHECK(rq->rq_busy, "twice: a request of %s came back twice", h->h_caller->c_name);
    FIB_CHECK("late-iodone", !h->h_closed, "a request of %s came back after SCIOSTOP or close had returned",
              h->h_caller->c_name);
    SCHED_CHECK(shim_self()->self_nlocks == 0, "contract: iodone with %u locks held",
                shim_self()->self_nlocks);
    SCHED_CHECK(bp->b_resid <= bp->b_bcount, "contract: residual %zu of %zu", bp->b_resid, bp->b_bcount);
    /* What to do with a kept queue comes too late when another error has cleared it meanwhile. */
    SCHED_CHECK(error == 0 || error == EIO || error == ENXIO ||
                    (error == EINVAL && (rq->rq_sb.flags & (SC_Q_CLR | SC_Q_RESUME))),
                "error: %s: a request came back with errno %d (%s)", h->h_caller->c_name, error,
                scp_strerror(error));
    if (error == ENXIO && rq->rq_queued) {
        FIB_CHECK(
            "disorder", rq->rq_ended > h->h_back,
            "%s: requests thrown back by SCIOHALT or SCIOSTOP come in another order than they were sent",
            h->h_caller->c_name);
        if (rq->rq_began > h->h_back)
            h->h_back = rq->rq_began;
    }
    FIB_CHECK("enxio-first", error != ENXIO || h->h_cause,
              "%s: ENXIO came before the error that is its cause", h->h_caller->c_name);
    if (error == EIO) {
        SCHED_CHECK(rq->rq_sb.status_validity != 0, "contract: EIO without a status");
        h->h_cause = h->h_failed = h->h_halted = true;
        h->h_kept = (rq->rq_sb.adap_q_status & SC_DID_NOT_CLEAR_Q) != 0;
    }
    h->h_caller->c_errors += error != 0;
}

static void head_done(struct buf *bp)
{
    struct fib_head_req *rq = SC_CONTAINER_OF(bp, struct fib_head_req, rq_sb.bufstruct);
    struct fib_head *h = rq->rq_head;
    struct fib_caller *c = h->h_caller;

    fib_enter(c);
    req_judge(h, rq);
    shim_det_observe((uint64_t)(rq - h->h_reqs) << 32 ^ bp->b_resid ^ (uint64_t)req_errno(rq) << 20);
    rq->rq_busy = false;
    h->h_outstanding--;
    if (!h->h_ending && !h->h_recovering && c->c_resubmits > 0 && fib_percent(&c->c_rng, c->c_resubmit)) {
        c->c_resubmits--;
        send_one(h);
    }
    fib_leave(c);
    shim_wake(&c->c_event);
}

static void wrong_done(struct buf *bp)
{
    SC_CONTAINER_OF(bp, struct fib_head_req, rq_sb.bufstruct)->rq_busy = false;
}

static void req_make(struct fib_head *h, struct fib_head_req *rq, bool read, size_t bytes, uint8_t tag,
                     uint8_t flags)
{
    struct sc_buf *sb = &rq->rq_sb;

    fib_enter(h->h_caller);
    memset(sb, 0, sizeof(*sb));
    sb->bufstruct.b_flags = read ? B_READ : B_WRITE;
    sb->bufstruct.b_iodone = head_done;
    sb->bufstruct.b_dev = h->h_disk->dk_adapter;
    sb->bufstruct.b_un.b_addr = bytes ? rq->rq_data : NULL;
    sb->bufstruct.b_bcount = bytes;
    sb->scsi_command.scsi_id = h->h_disk->dk_id;
    sb->lun = h->h_disk->dk_lun;
    sb->q_tag_msg = tag;
    sb->flags = flags;
    sb->timeout_value = TIMEOUT_S;
}

static void cdb(struct fib_head_req *rq, const uint8_t *bytes, uint8_t n)
{
    rq->rq_sb.scsi_command.scsi_length = n;
    memcpy(&rq->rq_sb.scsi_command.scsi_cmd, bytes, n);
}

/* SCIOSTOP or close has returned, and nothing is under way. */
static void head_closed(struct fib_head *h)
{
    h->h_listens = false;
    h->h_ends += !h->h_closed;
    h->h_closed = true;
}

static void req_send(struct fib_head *h, struct fib_head_req *rq)
{
    const struct ad_lun *lun =
        ad_lun_find(ad_find(h->h_disk->dk_adapter), h->h_disk->dk_id, h->h_disk->dk_lun);
    const struct fib_inside in = {lun ? &lun->lun_lock : NULL, &h->h_ends, h->h_ends};

    rq->rq_busy = true;
    rq->rq_sent = rq->rq_must = rq->rq_queued = false;
    rq->rq_began = ++h->h_stamp;
    rq->rq_since = shim_now_ns();
    rq->rq_naps = fib_world.w_naps;
    h->h_outstanding++;
    h->h_sending++;
    h->h_caller->c_requests++;
    fib_leave(h->h_caller);
    fib_inside(&in, true);
    SCHED_CHECK(devstrat(&rq->rq_sb.bufstruct) == 0, "contract: devstrat refused a request");
    fib_inside(&in, false);
    fib_enter(h->h_caller);
    rq->rq_ended = ++h->h_stamp;
    rq->rq_sent = true;
    h->h_sending--;
    if (h->h_ending)
        shim_wake(&h->h_caller->c_event);
}

static uint8_t head_tag(struct fib_head *h)
{
    struct fib_rng *r = &h->h_caller->c_rng;

    return !h->h_tagged || fib_percent(r, 5) ? SC_NO_Q : fib_percent(r, 10) ? SC_ORDERED_Q : SC_SIMPLE_Q;
}

static struct fib_head_req *req_free(struct fib_head *h)
{
    for (unsigned i = 0; i < FIB_HEAD_REQS; i++)
        if (!h->h_reqs[i].rq_busy && (!h->h_reqs[i].rq_head || h->h_reqs[i].rq_sent))
            return &h->h_reqs[i];
    return NULL;
}

/* A READ or WRITE somewhere, tagged or not. */
static void send_one(struct fib_head *h)
{
    struct fib_rng *r = &h->h_caller->c_rng;
    const bool read = fib_percent(r, 50);
    const uint32_t n = DATA_BYTES / h->h_disk->dk_block;
    const uint32_t lba = fib_below(r, h->h_disk->dk_bytes / h->h_disk->dk_block - n + 1);
    const uint8_t rw[10] = {read ? SCSI_READ_10 : SCSI_WRITE_10,
                            0,
                            (uint8_t)(lba >> 24),
                            (uint8_t)(lba >> 16),
                            (uint8_t)(lba >> 8),
                            (uint8_t)lba,
                            0,
                            0,
                            (uint8_t)n,
                            0};

    struct fib_head_req *rq = req_free(h);

    if (!rq)
        return;
    req_make(h, rq, read, DATA_BYTES, head_tag(h), 0);
    cdb(rq, rw, sizeof(rw));
    req_send(h, rq);
}

/* What no adapter driver takes: it comes back EINVAL before strategy returns, whatever the queue does. */
static void send_wrong(struct fib_head *h)
{
    static struct buf piece;
    static struct uio uio;
    struct fib_head_req *rq = &h->h_wrong;
    struct sc_buf *sb = &rq->rq_sb;

    req_make(h, rq, true, DATA_BYTES, SC_NO_Q, 0);
    cdb(rq, (const uint8_t[6]){SCSI_TEST_UNIT_READY}, 6);
    sb->bufstruct.b_iodone = wrong_done;
    rq->rq_data = fib_big(h->h_caller);
    sb->bufstruct.b_un.b_addr = rq->rq_data;
    switch (fib_below(&h->h_caller->c_rng, 8)) {
    case 0:
        sb->bp = &piece;
        sb->resvd1 = &uio;
        piece = (struct buf){.b_flags = B_READ, .b_bcount = DATA_BYTES, .b_un.b_addr = rq->rq_data};
        break;
    case 1:
        sb->q_tag_msg = 1;
        break;
    case 2:
        sb->flags = SC_Q_CLR | SC_Q_RESUME;
        break;
    case 3:
        sb->scsi_command.scsi_length = 7;
        break;
    case 4:
        sb->bufstruct.b_un.b_addr = NULL;
        break;
    case 5:
        sb->bufstruct.b_bcount = UINT32_MAX;
        break;
    case 6:
        sb->resvd2 = 1;
        break;
    default:
        sb->lun = SC_LUNS_MAX - 1u; /* nobody has started it */
        break;
    }
    rq->rq_busy = true;
    fib_leave(h->h_caller);
    SCHED_CHECK(devstrat(&sb->bufstruct) == 0, "contract: devstrat refused a request");
    fib_enter(h->h_caller);
    SCHED_CHECK(!rq->rq_busy && req_errno(rq) == EINVAL && sb->bufstruct.b_resid == sb->bufstruct.b_bcount,
                "contract: %s: a wrong request was not refused: errno %d", h->h_caller->c_name,
                req_errno(rq));
}

/* Anything else. */
static void send_other(struct fib_head *h)
{
    struct fib_rng *r = &h->h_caller->c_rng;
    struct fib_head_req *rq = req_free(h);
    struct fib_cdb c;

    if (!rq)
        return;
    fib_cdb_choose(r, h->h_disk, &c, rq->rq_data);
    req_make(h, rq, c.cd_in, c.cd_bytes, head_tag(h), 0);
    cdb(rq, c.cd_cdb, c.cd_length);
    req_send(h, rq);
}

static void wait_until(struct fib_head *h, unsigned most)
{
    /* A kept queue waits for us. */
    while (h->h_outstanding > most && !h->h_kept)
        fib_sleep(h->h_caller);
}

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
    /* A chip that keeps a command keeps the LUN from being stopped, and so from being started again. */
    SCHED_CHECK(error == 0 ||
                    (fib_trouble() && (error == ETIMEDOUT || (cmd == SCIOSTART && error == EINVAL))) ||
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
    req_send(h, rq);
    while (rq->rq_busy)
        fib_sleep(h->h_caller);
    return req_errno(rq);
}

static int sense(struct fib_head *h)
{
    static const uint8_t request_sense[6] = {SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0};
    struct fib_head_req *rq = &h->h_reqs[FIB_HEAD_REQS];

    req_make(h, rq, true, 252, SC_NO_Q, SC_RESUME);
    cdb(rq, request_sense, sizeof(request_sense));
    return recovery_send(h);
}

/* The queue runs again, or it was halted for good: true when it runs. */
static bool recover_tries(struct fib_head *h)
{
    struct fib_head_req *rq = &h->h_reqs[FIB_HEAD_REQS];

    for (unsigned tries = 0; tries < RECOVERIES; tries++) {
        wait_until(h, 0);
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
            req_make(h, rq, false, 0, SC_NO_Q, SC_Q_CLR);
            (void)recovery_send(h);
            h->h_kept = false;
        } else {
            req_make(h, rq, false, 0, SC_NO_Q, SC_RESUME | SC_Q_RESUME);
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
                send_other(h);
            else
                send_one(h);
    } else if (what < 75) {
        wait_until(h, fib_below(&c->c_rng, h->h_outstanding + 1u));
    } else if (what < 82) {
        halt(h);
    } else if (what < 88) {
        (void)head_ioctl(h, SCIORESET, "SCIORESET");
        h->h_failed = true; /* if there was a command at the device: then the first to come back says so */
        wait_until(h, 0);
    } else if (what < 92) {
        send_wrong(h);
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
        wait_until(h, 0);
    while (h->h_outstanding > 0 && h->h_sending > 0)
        fib_sleep(h->h_caller);
    if (fib_percent(&h->h_caller->c_rng, 70) && head_ioctl(h, SCIOSTOP, "SCIOSTOP") == 0)
        head_closed(h);
    h->h_cause = true;
    for (unsigned i = 0; i <= FIB_HEAD_REQS; i++)
        h->h_reqs[i].rq_must = h->h_reqs[i].rq_busy;
    fib_doing(h->h_caller, "close");
    error = fp_close(h->h_fp);
    fib_doing(h->h_caller, NULL);
    SCHED_CHECK(error == 0, "error: %s: close: errno %d (%s)", h->h_caller->c_name, error,
                scp_strerror(error));
    FIB_CHECK("late-iodone", h->h_outstanding == 0 || fib_trouble(),
              "%s: closed, and %u requests are not back", h->h_caller->c_name, h->h_outstanding);
    if (h->h_outstanding == 0)
        head_closed(h);
    h->h_kept = false;
    wait_until(h, 0);
}

/* Another thread of the same head: sends when the first has nothing against it. */
static void second_run(void *arg)
{
    struct fib_head *h = arg;
    struct fib_caller *c = h->h_caller;

    for (unsigned step = 0; step < 2 * c->c_steps && !h->h_over; step++) {
        fib_enter(c);
        if (!h->h_ending && !h->h_recovering && !h->h_closed)
            send_one(h);
        fib_leave(c);
        if (fib_percent(&c->c_rng, 50))
            shim_delay_ns(1 + fib_below(&c->c_rng, 100000));
    }
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
        if (head_ioctl(h, SCIOSTART, "SCIOSTART") != 0) {
            (void)fp_close(h->h_fp);
            break;
        }
        h->h_cause = h->h_failed = h->h_halted = h->h_kept = h->h_ending = h->h_closed = false;
        if (listens)
            listen(h);
        for (; acts > 0 && step < c->c_steps; acts--, step++)
            round_act(h);
        round_end(h);
        head_closed(h);
    }
    h->h_over = true;
    if (!fib_world.w_rush)
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

void fib_head_limits(struct fib_caller *c, void (*check)(const char *what, uint64_t since, uint64_t naps))
{
    const struct fib_head *h = fib_world.w_heads[c->c_index];

    for (unsigned i = 0; h && i <= FIB_HEAD_REQS; i++)
        if (h->h_reqs[i].rq_busy && !h->h_kept)
            check("a request", h->h_reqs[i].rq_since, h->h_reqs[i].rq_naps);
}
