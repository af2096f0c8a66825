/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_adapter.c - the adapter core against itself: submitting, ending, stopping and halting at the same
 * time.
 */
#include "small.h"

/* ---------------------------------------------------------------- the last iodone against a stop */

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
        SCHED_CHECK(shim_thread_start(&t[i], small_submit, r, i ? "second" : "first") == 0, "no fibre");
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
        SCHED_CHECK(shim_thread_start(&t[i], small_submit, r,
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

static void run_start_after(const struct det_strategy *st, uint64_t seed, bool keeps, bool lane)
{
    struct shim_thread t[2];
    int error;

    small_chip_prepare();
    chip.ch_on_start = not_after_halt;
    chip.ch_keeps_queue = keeps;
    halted_seen = false;
    small_up(st, seed);
    if (!lane) { /* an untagged command closes it */
        small_req(2, 0, SMALL_GOOD)->rq_sb.q_tag_msg = SC_NO_Q;
        small_send(&reqs[2]);
        reqs[2].rq_done = 0;
    }
    small_req(0, 0, SMALL_CHECK)->rq_then = saw_halt;
    (void)small_req(1, 0, SMALL_GOOD);
    SCHED_CHECK(shim_thread_start(&t[0], small_submit, &reqs[0], "fails") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], small_submit, &reqs[1], "follows") == 0, "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(reqs[0].rq_done == 1 && small_errno(&reqs[0]) == EIO, "the failing one did not fail");
    chip.ch_on_start = NULL;
    error = fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0);
    SCHED_CHECK(error == 0, "SCIOHALT failed with %d", error);
    small_wait_done(2);
    small_check();
    small_down();
}

static void run_start_after_halt(const struct det_strategy *st, uint64_t seed)
{
    run_start_after(st, seed, true, false);
}

static void run_start_after_halt_lane(const struct det_strategy *st, uint64_t seed)
{
    run_start_after(st, seed, true, true);
}

static void run_start_after_clear(const struct det_strategy *st, uint64_t seed)
{
    run_start_after(st, seed, false, false);
}

static void run_start_after_clear_lane(const struct det_strategy *st, uint64_t seed)
{
    run_start_after(st, seed, false, true);
}

/* ---------------------------------------------------------------- frozen, and resumed at once */

static void resumes(struct small_req *r)
{
    struct small_req *resume = small_req(2, 0, SMALL_GOOD);

    (void)r;
    resume->rq_sb.flags = SC_RESUME | SC_Q_RESUME;
    small_send(resume);
}

/*
 * A command fails, its queue is kept, and its owner resumes it from iodone. What the chip turned away as
 * frozen meanwhile is started, however long its thread needs to see that, and not only by the timer that
 * stands behind it for a chip that has lost count.
 */
static void run_frozen_resume(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];
    uint64_t start;

    small_chip_prepare();
    chip.ch_keeps_queue = true;
    small_up(st, seed);
    small_req(0, 0, SMALL_CHECK)->rq_then = resumes;
    (void)small_req(1, 0, SMALL_GOOD);
    start = shim_now_ns();
    for (uint32_t i = 0; i < 2; i++)
        SCHED_CHECK(shim_thread_start(&t[i], small_submit, &reqs[i], i == 0 ? "fails" : "follows") == 0,
                    "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_wait_done(3);
    SCHED_CHECK(shim_now_ns() == start, "what was turned away waits for a timer");
    SCHED_CHECK(small_errno(&reqs[1]) == 0 || small_errno(&reqs[1]) == ENXIO, "the follower ended with %d",
                small_errno(&reqs[1]));
    SCHED_CHECK(chip.ch_frozen[0] == 0, "the LUN is left frozen");
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- submitting against the end of a LUN */

static void not_after_back(struct ad_xfer *x)
{
    SCHED_CHECK(!small_back, "operation %02x reached the chip after the ioctl had returned", x->xfer_cdb[0]);
}

enum end_by { END_HALT, END_STOP, END_CLOSE };

/* One thread submits, one ends the LUN. Both come to their end, and after it nothing reaches the chip. */
static void run_submit_end(const struct det_strategy *st, uint64_t seed, enum end_by by, uint8_t qmsg,
                           uint8_t code)
{
    struct shim_thread t[2];
    uint64_t start;
    int error;

    small_chip_prepare();
    chip.ch_on_start = not_after_back;
    small_back = false;
    small_up(st, seed);
    small_req(0, 0, code)->rq_sb.q_tag_msg = qmsg;
    start = shim_now_ns();
    SCHED_CHECK(shim_thread_start(&t[0], small_submit, &reqs[0], "submits") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], end_all, NULL, "chip") == 0, "no fibre");
    if (by == END_CLOSE)
        error = fp_close(small_fp);
    else
        error = fp_ioctl(small_fp, by == END_STOP ? SCIOSTOP : SCIOHALT, SC_ARG(1, 0), 0);
    small_back = true;
    SCHED_CHECK(error == 0, "ended with %d", error);
    SCHED_CHECK(code == SMALL_LATER || shim_now_ns() == start, "it slept until its patience was at an end");
    if (by == END_CLOSE)
        small_fp = NULL;
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_wait_done(1); /* stop-back is about the order of that */
    SCHED_CHECK(reqs[0].rq_done == 1, "%u iodone calls", reqs[0].rq_done);
    if (by == END_HALT)
        small_check();
    small_down();
}

static void run_submit_halt(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_HALT, SC_NO_Q, SMALL_GOOD);
}
static void run_submit_halt_lane(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_HALT, SC_SIMPLE_Q, SMALL_GOOD);
}
static void run_submit_halt_later(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_HALT, SC_SIMPLE_Q, SMALL_LATER);
}
static void run_submit_stop(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_STOP, SC_NO_Q, SMALL_GOOD);
}
static void run_submit_stop_lane(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_STOP, SC_SIMPLE_Q, SMALL_GOOD);
}
static void run_submit_stop_later(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_STOP, SC_SIMPLE_Q, SMALL_LATER);
}
static void run_submit_close_lane(const struct det_strategy *st, uint64_t seed)
{
    run_submit_end(st, seed, END_CLOSE, SC_SIMPLE_Q, SMALL_GOOD);
}

/* The mapper has no room, so the request goes back to the queue: of a LUN that is halted meanwhile. */
static void run_halt_no_map(const struct det_strategy *st, uint64_t seed, uint8_t qmsg)
{
    struct shim_thread t;
    int error;

    small_chip_prepare();
    chip.ch_map_room = chip.ch_maps = 1;
    small_up(st, seed);
    small_req(0, 0, SMALL_GOOD)->rq_sb.q_tag_msg = qmsg;
    SCHED_CHECK(shim_thread_start(&t, small_submit, &reqs[0], "submits") == 0, "no fibre");
    error = fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0);
    SCHED_CHECK(error == 0, "SCIOHALT failed with %d", error);
    shim_thread_join(&t);
    SCHED_CHECK(reqs[0].rq_done == 1, "the queue is halted, and the request is not back");
    SCHED_CHECK(small_errno(&reqs[0]) == ENXIO, "errno %d", small_errno(&reqs[0]));
    chip.ch_maps = 0;
    small_check();
    small_down();
}

static void run_halt_no_map_lane(const struct det_strategy *st, uint64_t seed)
{
    run_halt_no_map(st, seed, SC_SIMPLE_Q);
}
static void run_halt_no_map_queue(const struct det_strategy *st, uint64_t seed)
{
    run_halt_no_map(st, seed, SC_NO_Q);
}

/* ---------------------------------------------------------------- the last close against a newcomer */

static void close_file(void *fp) { SCHED_CHECK(fp_close(fp) == 0, "close failed"); }

static void run_newcomer(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_chip_prepare();
    small_up(st, seed);
    small_send(small_req(0, 0, SMALL_LATER));
    SCHED_CHECK(shim_thread_start(&t[0], close_file, small_fp, "closer") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], end_all, NULL, "chip") == 0, "no fibre");
    SCHED_CHECK(fp_opendev(SMALL_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &small_fp) == 0, "open failed");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(2, 0), 0) == 0, "SCIOSTART failed");
    small_req(1, 0, SMALL_GOOD)->rq_sb.scsi_command.scsi_id = 2;
    small_send(&reqs[1]);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_wait_done(2);
    SCHED_CHECK(small_errno(&reqs[1]) == 0, "the newcomer's request: errno %d", small_errno(&reqs[1]));
    small_req(2, 0, SMALL_GOOD)->rq_sb.scsi_command.scsi_id = 2;
    small_send(&reqs[2]);
    SCHED_CHECK(small_errno(&reqs[2]) == 0, "the newcomer's second request: errno %d", small_errno(&reqs[2]));
    small_down();
}

/* ---------------------------------------------------------------- open against detach */

static void open_close(void *arg)
{
    struct file *fp;
    int error = fp_opendev(SMALL_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &fp);

    (void)arg;
    SCHED_CHECK(error == 0 || error == ENXIO || error == ENODEV || error == EINVAL, "open says %d", error);
    if (error == 0)
        SCHED_CHECK(fp_close(fp) == 0, "close failed");
}

/* Another adapter of the same major keeps the driver in the switch, or none does. */
static void run_open_detach(const struct det_strategy *st, uint64_t seed, bool alone)
{
    static struct small_chip other;
    struct ad_config cfg;
    struct shim_thread t;
    int error;

    small_chip_prepare();
    small_host(st, seed);
    small_chip_config(&cfg);
    SCHED_CHECK(ad_attach(SMALL_DEVNO, &cfg) == 0, "ad_attach failed");
    other = chip;
    cfg.cfg_hw = &other;
    cfg.cfg_dev = &other.ch_dev;
    if (!alone)
        SCHED_CHECK(ad_attach(SMALL_DEVNO + 1, &cfg) == 0, "ad_attach failed");
    SCHED_CHECK(shim_thread_start(&t, open_close, NULL, "opener") == 0, "no fibre");
    error = ad_detach(SMALL_DEVNO);
    SCHED_CHECK(error == 0 || error == EBUSY, "ad_detach says %d", error);
    shim_thread_join(&t);
    if (error != 0)
        SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "the adapter stays");
    if (!alone)
        SCHED_CHECK(ad_detach(SMALL_DEVNO + 1) == 0, "the second adapter stays");
    small_down();
}

static void run_open_detach_last(const struct det_strategy *st, uint64_t seed)
{
    run_open_detach(st, seed, true);
}
static void run_open_detach_one(const struct det_strategy *st, uint64_t seed)
{
    run_open_detach(st, seed, false);
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"last-iodone", "SCIOSTOP, close and detach after the last iodone", run_last_iodone, false, NULL},
    {"stop-back", "SCIOSTOP returns after the last iodone", run_stop_back, false, NULL},
    {"halt-back", "SCIOHALT returns after the last iodone", run_halt_back, false, NULL},
    {"enxio-first", "a follower's ENXIO comes after the EIO that caused it", run_enxio_first, false, NULL},
    {"start-after-halt", "nothing reaches the chip once the queue is halted", run_start_after_halt, false,
     NULL},
    {"start-after-halt-lane", "the same, where both are in the lane", run_start_after_halt_lane, false, NULL},
    {"start-after-clear", "the same, where the halt clears the queue", run_start_after_clear, false, NULL},
    {"start-after-clear-lane", "the same, where both are in the lane", run_start_after_clear_lane, false,
     NULL},
    {"frozen-resume", "what a freeze turned away is started when it is undone", run_frozen_resume, false,
     NULL},
    {"submit-halt", "nothing reaches the chip after SCIOHALT", run_submit_halt, false, NULL},
    {"submit-halt-lane", "the same through the lane", run_submit_halt_lane, false, NULL},
    {"submit-halt-later", "the same with a chip that ends it later", run_submit_halt_later, false, NULL},
    {"submit-stop", "nothing reaches the chip after SCIOSTOP", run_submit_stop, false, NULL},
    {"submit-stop-lane", "the same through the lane", run_submit_stop_lane, false, NULL},
    {"submit-stop-later", "the same with a chip that ends it later", run_submit_stop_later, false, NULL},
    {"submit-close-lane", "nothing reaches the chip after the last close", run_submit_close_lane, false,
     NULL},
    {"halt-no-map", "SCIOHALT takes a request that found no room in the mapper along", run_halt_no_map_queue,
     false, NULL},
    {"halt-no-map-lane", "the same through the lane", run_halt_no_map_lane, false, NULL},
    {"open-detach-last", "open against ad_detach of the only adapter", run_open_detach_last, false, NULL},
    {"open-detach-one", "open against ad_detach of one of two adapters", run_open_detach_one, false, NULL},
    {"newcomer", "the last close leaves what another file started alone", run_newcomer, false, NULL},
};
const struct small_group small_queue = {"queue", programs, SC_ARRAY_SIZE(programs)};
