/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_adapter.c - the adapter core against itself: submitting, ending, stopping and halting at the same
 * time.
 */
#include "small.h"

/* ---------------------------------------------------------------- the last iodone against a stop */

static void last_submit(void *arg)
{
    struct small_req *r = arg;

    small_send(r);
}

/*
 * Two threads send one untagged command each, so that one of them runs the other's. When both are done, the
 * owner stops the LUN, closes and detaches, as it may: everything has come back.
 */
static void run_last_iodone(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_chip_prepare();
    small_up(st, seed);
    for (uint32_t i = 0; i < 2; i++) {
        struct small_req *r = small_req(i, 0, SMALL_GOOD);

        r->rq_sb.q_tag_msg = SC_NO_Q;
        SCHED_CHECK(shim_thread_start(&t[i], last_submit, r, i ? "second" : "first") == 0, "no fibre");
    }
    small_wait_done(2);
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTOP, SC_ARG(1, 0), 0) == 0, "SCIOSTOP failed");
    SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
    small_fp = NULL;
    SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "detach failed");
    small_attached = false;
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_down();
}

/* ---------------------------------------------------------------- SCIOSTOP, SCIOHALT: everything is back */

static bool small_back; /* the ioctl has returned */

static void late(struct small_req *r)
{
    SCHED_CHECK(!small_back, "request %u came back after the ioctl that ends everything had returned",
                (unsigned)(r - reqs));
}

static void end_all(void *arg)
{
    (void)arg;
    (void)small_end();
}

static void run_back_before(const struct det_strategy *st, uint64_t seed, unsigned cmd)
{
    struct shim_thread t;

    small_chip_prepare();
    chip.ch_pends = true;
    small_up(st, seed);
    small_back = false;
    for (uint32_t i = 0; i < 2; i++) {
        struct small_req *r = small_req(i, 0, i == 0 ? SMALL_BUSY : SMALL_GOOD);

        r->rq_sb.q_tag_msg = SC_NO_Q;
        r->rq_then = late;
        small_send(r);
    }
    SCHED_CHECK(shim_thread_start(&t, end_all, NULL, "chip") == 0, "no fibre");
    SCHED_CHECK(fp_ioctl(small_fp, cmd, SC_ARG(1, 0), 0) == 0, "the ioctl failed");
    small_back = true;
    shim_thread_join(&t);
    small_down();
}

static void run_stop_back(const struct det_strategy *st, uint64_t seed)
{
    run_back_before(st, seed, SCIOSTOP);
}
static void run_halt_back(const struct det_strategy *st, uint64_t seed)
{
    run_back_before(st, seed, SCIOHALT);
}

/* ---------------------------------------------------------------- ENXIO before its EIO */

static void run_enxio_first(const struct det_strategy *st, uint64_t seed)
{
    static const uint8_t codes[] = {SMALL_CHECK, SMALL_GOOD, SMALL_GOOD};
    struct shim_thread t[3];

    small_chip_prepare();
    small_up(st, seed);
    for (uint32_t i = 0; i < 3; i++) {
        struct small_req *r = small_req(i, 0, codes[i]);

        r->rq_sb.q_tag_msg = i == 2 ? SC_ORDERED_Q : SC_SIMPLE_Q;
        SCHED_CHECK(shim_thread_start(&t[i], last_submit, r,
                                      i == 0   ? "fails"
                                      : i == 1 ? "good"
                                               : "ordered") == 0,
                    "no fibre");
    }
    for (uint32_t i = 0; i < 3; i++)
        shim_thread_join(&t[i]);
    small_wait_done(3);
    for (uint32_t i = 1; i < 3; i++)
        SCHED_CHECK(small_errno(&reqs[i]) != ENXIO || reqs[0].rq_order < reqs[i].rq_order,
                    "ENXIO of request %u came before the EIO that is its cause", i);
    small_down();
}

/* ---------------------------------------------------------------- started after the halt */

static bool halted_seen;

static void saw_halt(struct small_req *r)
{
    (void)r;
    halted_seen = true;
}

static void not_after_halt(struct ad_xfer *x)
{
    SCHED_CHECK(!halted_seen || x->xfer_cdb[0] == SMALL_CHECK,
                "operation %02x reached the chip although its queue is halted", x->xfer_cdb[0]);
}

static void run_start_after_halt(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_chip_prepare();
    chip.ch_on_start = not_after_halt;
    chip.ch_keeps_queue = true;
    halted_seen = false;
    small_up(st, seed);
    small_req(0, 0, SMALL_CHECK)->rq_then = saw_halt;
    (void)small_req(1, 0, SMALL_GOOD);
    SCHED_CHECK(shim_thread_start(&t[0], last_submit, &reqs[0], "fails") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], last_submit, &reqs[1], "follows") == 0, "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(reqs[0].rq_done == 1 && small_errno(&reqs[0]) == EIO, "the failing one did not fail");
    chip.ch_on_start = NULL;
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    small_wait_done(2);
    small_down();
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"last-iodone", "SCIOSTOP, close and detach after the last iodone", run_last_iodone, false,
     "the thread that ran the last command looks at the LUN again after iodone, which may be gone"},
    {"stop-back", "SCIOSTOP returns after the last iodone", run_stop_back, false,
     "SCIOSTOP counts a request as back when it leaves the LUN's lists, which is before its iodone"},
    {"halt-back", "SCIOHALT returns after the last iodone", run_halt_back, false,
     "SCIOHALT counts a request as back when it leaves the LUN's lists, which is before its iodone"},
    {"enxio-first", "a follower's ENXIO comes after the EIO that caused it", run_enxio_first, false,
     "the failed request and those refused for it are handed out by two threads, in no order"},
    {"start-after-halt", "nothing reaches the chip once the queue is halted", run_start_after_halt, false,
     "a command picked before the halt is on its way to the chip without the lock"},
};
const struct small_group small_queue = {"queue", programs, SC_ARRAY_SIZE(programs)};
