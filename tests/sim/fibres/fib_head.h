/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_head.h - a head of its own on the adapter: what its two files share.
 */
#ifndef FIB_HEAD_H
#define FIB_HEAD_H

#include "fib.h"

#define FIB_HEAD_TIMEOUT_S 30u
#define FIB_HEAD_BYTES     4096u

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
    bool h_two;   /* there is another thread that sends */
    bool h_guest; /* it does not, but has the adapter open as somebody else */
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

/* ---------------------------------------------------------------- fib_request.c */

int fib_req_errno(const struct fib_head_req *rq);
void fib_req_make(struct fib_head *h, struct fib_head_req *rq, bool read, size_t bytes, uint8_t tag,
                  uint8_t flags);
void fib_req_cdb(struct fib_head_req *rq, const uint8_t *bytes, uint8_t n);
/* To strategy; iodone may have come when it returns. */
void fib_req_send(struct fib_head *h, struct fib_head_req *rq);
/* A READ or WRITE; what nobody takes; anything else. Nothing when all requests are in use. */
void fib_head_send(struct fib_head *h);
void fib_head_send_wrong(struct fib_head *h);
void fib_head_send_other(struct fib_head *h);
/* Until at most so many are under way, or the queue is kept and waits for us. */
void fib_head_wait(struct fib_head *h, unsigned most);
/* SCIOSTOP or close has returned, and nothing is under way. */
void fib_head_closed(struct fib_head *h);

#endif /* FIB_HEAD_H */
