/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_request.c - a head's requests: making them, sending them, judging how they come back.
 *
 * Each request comes back once; ENXIO never before the error, or the ioctl, that caused it; and what nobody
 * takes is refused at once.
 */
#include "fib_head.h"

#include "adapter/ad_impl.h"

#include <sys/scsiproto.h>

#include <string.h>

int fib_req_errno(const struct fib_head_req *rq)
{
    return rq->rq_sb.bufstruct.b_flags & B_ERROR ? rq->rq_sb.bufstruct.b_error : 0;
}

static void req_judge(struct fib_head *h, struct fib_head_req *rq)
{
    const struct buf *bp = &rq->rq_sb.bufstruct;
    const int error = fib_req_errno(rq);

    SCHED_CHECK(rq->rq_busy, "twice: a request of %s came back twice", h->h_caller->c_name);
    FIB_CHECK("late-iodone", !h->h_closed, "a request of %s came back after SCIOSTOP or close had returned",
              h->h_caller->c_name);
    SCHED_CHECK(shim_self()->self_nlocks == 0, "contract: iodone with %u locks held",
                shim_self()->self_nlocks);
    SCHED_CHECK(!(bp->b_flags & B_ERROR) == (bp->b_error == 0),
                "contract: B_ERROR is%s set and b_error is %d", bp->b_flags & B_ERROR ? "" : " not",
                bp->b_error);
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
        /* A thread or an interrupt tells it: the queue may have stopped running before the ioctl that we took
         * for the cause.
         */
        for (unsigned i = 0; (fib_world.w_threads || fib_world.w_pends) && i < FIB_HEAD_REQS; i++)
            h->h_reqs[i].rq_queued = false;
        h->h_kept = (rq->rq_sb.adap_q_status & SC_DID_NOT_CLEAR_Q) != 0;
    }
    /* Responses come in order: an error that was told before this one had halted the queue before it ran
     * again. */
    if (error == 0 && (rq->rq_sb.flags & SC_Q_RESUME))
        h->h_halted = false;
    h->h_caller->c_errors += error != 0;
}

static void head_done(struct buf *bp)
{
    struct fib_head_req *rq = SC_CONTAINER_OF(bp, struct fib_head_req, rq_sb.bufstruct);
    struct fib_head *h = rq->rq_head;
    struct fib_caller *c = h->h_caller;

    fib_enter(c);
    req_judge(h, rq);
    shim_det_observe((uint64_t)(rq - h->h_reqs) << 32 ^ bp->b_resid ^ (uint64_t)fib_req_errno(rq) << 20);
    rq->rq_busy = false;
    h->h_outstanding--;
    if (!h->h_ending && !h->h_recovering && c->c_resubmits > 0 && fib_percent(&c->c_rng, c->c_resubmit)) {
        c->c_resubmits--;
        fib_head_send(h);
    }
    fib_leave(c);
    shim_wake(&c->c_event);
    fib_dawdle(c);
}

static void wrong_done(struct buf *bp)
{
    SC_CONTAINER_OF(bp, struct fib_head_req, rq_sb.bufstruct)->rq_busy = false;
}

void fib_req_make(struct fib_head *h, struct fib_head_req *rq, bool read, size_t bytes, uint8_t tag,
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
    sb->timeout_value = FIB_HEAD_TIMEOUT_S;
}

void fib_req_cdb(struct fib_head_req *rq, const uint8_t *bytes, uint8_t n)
{
    rq->rq_sb.scsi_command.scsi_length = n;
    memcpy(&rq->rq_sb.scsi_command.scsi_cmd, bytes, n);
}

/* SCIOSTOP or close has returned, and nothing is under way. */
void fib_head_closed(struct fib_head *h)
{
    h->h_listens = false;
    h->h_ends += !h->h_closed;
    h->h_closed = true;
}

void fib_req_send(struct fib_head *h, struct fib_head_req *rq)
{
    const struct ad_lun *lun =
        ad_lun_find(ad_find(h->h_disk->dk_adapter), h->h_disk->dk_id, h->h_disk->dk_lun);
    const struct fib_inside in = {lun ? &lun->lun_lock : NULL, &h->h_ends, h->h_ends};

    rq->rq_busy = true;
    rq->rq_sent = rq->rq_must = rq->rq_queued = false;
    rq->rq_began = ++h->h_stamp;
    rq->rq_since = shim_now_ns();
    rq->rq_naps = fib_naps();
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
void fib_head_send(struct fib_head *h)
{
    struct fib_rng *r = &h->h_caller->c_rng;
    const bool read = fib_percent(r, 50);
    const uint32_t n = FIB_HEAD_BYTES / h->h_disk->dk_block;
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
    fib_req_make(h, rq, read, FIB_HEAD_BYTES, head_tag(h), 0);
    fib_req_cdb(rq, rw, sizeof(rw));
    fib_req_send(h, rq);
}

/* What no adapter driver takes: it comes back EINVAL before strategy returns, whatever the queue does. */
void fib_head_send_wrong(struct fib_head *h)
{
    static struct buf piece;
    static struct uio uio;
    struct fib_head_req *rq = &h->h_wrong;
    struct sc_buf *sb = &rq->rq_sb;

    fib_req_make(h, rq, true, FIB_HEAD_BYTES, SC_NO_Q, 0);
    fib_req_cdb(rq, (const uint8_t[6]){SCSI_TEST_UNIT_READY}, 6);
    sb->bufstruct.b_iodone = wrong_done;
    rq->rq_data = fib_big(h->h_caller);
    sb->bufstruct.b_un.b_addr = rq->rq_data;
    switch (fib_below(&h->h_caller->c_rng, 8)) {
    case 0:
        sb->bp = &piece;
        sb->resvd1 = &uio;
        piece = (struct buf){.b_flags = B_READ, .b_bcount = FIB_HEAD_BYTES, .b_un.b_addr = rq->rq_data};
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
    SCHED_CHECK(
        !rq->rq_busy && fib_req_errno(rq) == EINVAL && sb->bufstruct.b_resid == sb->bufstruct.b_bcount,
        "contract: %s: a wrong request was not refused: errno %d", h->h_caller->c_name, fib_req_errno(rq));
}

/* Anything else. */
void fib_head_send_other(struct fib_head *h)
{
    struct fib_rng *r = &h->h_caller->c_rng;
    struct fib_head_req *rq = req_free(h);
    struct fib_cdb c;

    if (!rq)
        return;
    fib_cdb_choose(r, h->h_disk, &c, rq->rq_data);
    fib_req_make(h, rq, c.cd_in, c.cd_bytes, head_tag(h), 0);
    fib_req_cdb(rq, c.cd_cdb, c.cd_length);
    fib_req_send(h, rq);
}

void fib_head_wait(struct fib_head *h, unsigned most)
{
    /* A kept queue waits for us. */
    while (h->h_outstanding > most && !h->h_kept)
        fib_sleep(h->h_caller);
}
