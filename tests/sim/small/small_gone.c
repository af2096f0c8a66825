/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_gone.c - a disk is taken out (CFG_GONE) while somebody opens, closes, sends or recovers; twice at
 * once; beside CFG_TERM; and another one comes under its number.
 */
#include "small_ad.h"

#define SECOND UINT64_C(1000000000)

static void start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, arg, name) == 0, "no fibre");
}

static void gone(void *arg)
{
    int error = scdisk_config(SMALL_DISK_DEV, CFG_GONE, NULL);

    (void)arg;
    SCHED_CHECK(error == 0, "CFG_GONE says %d", error);
}

/* So many nanoseconds from now. */
static void gone_then(void *arg)
{
    event_t never = EVENT_NULL;

    (void)e_timedsleep(&never, NULL, (uint64_t)(uintptr_t)arg);
    gone(NULL);
}

static void send_one(void *arg) { small_bufs_send((uint32_t)(uintptr_t)arg, 1); }

/* Each has come back once: good, or ENXIO and nothing moved. */
static void all_back(uint32_t n)
{
    SCHED_CHECK(small_bufs_wait(n, 60 * SECOND), "not all are back after a minute");
    for (uint32_t i = 0; i < n; i++) {
        const struct buf *bp = &small_bufs[i].sb_buf;
        int error = bp->b_flags & B_ERROR ? bp->b_error : 0;

        SCHED_CHECK(small_bufs[i].sb_done == 1, "buf %u: %u iodone calls", i, small_bufs[i].sb_done);
        SCHED_CHECK(error == 0 || error == ENXIO, "buf %u: errno %d", i, error);
        SCHED_CHECK(bp->b_resid == (error ? bp->b_bcount : 0), "buf %u: residual %zu", i, bp->b_resid);
    }
}

/* Nothing is in the driver any more, and nothing goes in: the adapter hears of nothing. */
static void dead(uint32_t i)
{
    const uint32_t before = small_ad.sa_rw;

    SCHED_CHECK(dd_check_invariants(SMALL_DISK_DEV) == 0, "requests are left in the disk driver");
    (void)small_buf(i, true, 0, 8, 0);
    small_bufs_send(i, 1);
    SCHED_CHECK(small_bufs[i].sb_done == 1 && small_bufs[i].sb_buf.b_error == ENXIO,
                "a request after CFG_GONE: %u iodone calls, errno %d", small_bufs[i].sb_done,
                (int)small_bufs[i].sb_buf.b_error);
    SCHED_CHECK(small_ad.sa_rw == before && small_ad.sa_out == 0, "the adapter has got something");
}

static void close_it(void)
{
    int error = fp_close(small_disk_fp);

    small_disk_fp = NULL;
    SCHED_CHECK(error == 0 || error == ENXIO, "close says %d", error);
}

/* ---------------------------------------------------------------- strategy */

/* One sends while the disk goes: two bufs at depth one, so that one of them waits. */
static void run_strategy(const struct det_strategy *st, uint64_t seed, bool later)
{
    struct shim_thread t[2];

    small_disk_up(st, seed, 1, true);
    small_ad.sa_ends_later = later;
    small_ad.sa_later_ns = 0;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send_one, (void *)(uintptr_t)i, i ? "second" : "first");
    gone(NULL);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    all_back(2);
    dead(2);
    close_it();
    small_disk_down();
}

static void run_gone_strategy(const struct det_strategy *st, uint64_t seed) { run_strategy(st, seed, false); }
static void run_gone_out(const struct det_strategy *st, uint64_t seed) { run_strategy(st, seed, true); }

/*
 * Another file has halted the queue: what is sent is refused, and sent again with SC_RESUME, which an adapter
 * takes that CFG_GONE has halted meanwhile.
 */
static void run_gone_resume(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_up(st, seed, 1, true);
    small_ad.sa_pends = true;
    small_ad.sa_halted = true;
    (void)small_buf(0, true, 0, 8, 0);
    start(&t, send_one, (void *)0, "sender");
    gone(NULL);
    shim_thread_join(&t);
    all_back(1);
    dead(1);
    close_it();
    small_disk_down();
}

/* ---------------------------------------------------------------- open, close */

static bool was_open;

static void open_close(void *arg)
{
    struct file *fp;
    int error = fp_opendev(SMALL_DISK_DEV, DREAD | DKERNEL, NULL, 0, &fp);

    (void)arg;
    was_open = error == 0;
    SCHED_CHECK(error == 0 || error == ENXIO || error == EINVAL, "open says %d", error);
    if (error == 0) {
        error = fp_close(fp);
        SCHED_CHECK(error == 0 || error == ENXIO, "close says %d", error);
    }
}

static void run_gone_open(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;
    struct file *fp;

    small_disk_up(st, seed, 4, false);
    start(&t, open_close, NULL, "opener");
    gone(NULL);
    SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD, NULL, 0, &fp) == ENXIO, "it opens after CFG_GONE");
    shim_thread_join(&t);
    dead(0);
    small_disk_down();
}

/* The same, the opener going first: CFG_GONE at each place of a first open. */
static void run_gone_opening(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_up(st, seed, 4, false);
    start(&t, gone, NULL, "other");
    open_close(NULL);
    shim_thread_join(&t);
    dead(0);
    small_disk_down();
}

static void close_disk(void *arg)
{
    (void)arg;
    close_it();
}

/* The last close, which waits for what is out. */
static void run_gone_close(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_up(st, seed, 4, true);
    small_ad.sa_pends = true;
    (void)small_buf(0, true, 0, 8, 0);
    small_bufs_send(0, 1);
    start(&t, close_disk, NULL, "closer");
    gone(NULL);
    shim_thread_join(&t);
    all_back(1);
    SCHED_CHECK(small_bufs[0].sb_buf.b_error == ENXIO, "nobody has ended it, and it was good");
    small_disk_down();
}

/* ---------------------------------------------------------------- a lost command */

/* REQUEST SENSE does not come home: who closes the disk has it fetched, and its request has ended. */
static void run_lost_close(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;
    int error;

    small_disk_up(st, seed, 2, true);
    small_ad.sa_loses_sense = true;
    small_ad.sa_fault = SMALL_AD_ATTENTION;
    small_ad.sa_faults = 1;
    (void)small_buf(0, true, 0, 8, 0);
    start(&t, send_one, (void *)0, "sender");
    while (small_ad.sa_rw == 0)
        (void)shim_wait(&small_event, NULL, shim_now_ns() + 1);
    error = fp_close(small_disk_fp);
    small_disk_fp = NULL;
    SCHED_CHECK(error == 0 || error == EIO, "close says %d", error);
    SCHED_CHECK(small_bufs[0].sb_done == 1, "closed, and a request is not back");
    shim_thread_join(&t);
    small_disk_down();
}

/* ---------------------------------------------------------------- recovery */

static void run_recovery(const struct det_strategy *st, uint64_t seed, enum small_ad_fault fault, bool later)
{
    struct shim_thread t;
    uint32_t sent;

    small_disk_up(st, seed, 2, true);
    small_ad.sa_ends_later = later;
    small_ad.sa_later_ns = 0;
    small_ad.sa_fault = fault;
    small_ad.sa_faults = 1;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    start(&t, send_one, (void *)0, "sender");
    gone(NULL);
    shim_thread_join(&t);
    SCHED_CHECK(small_bufs_wait(1, 60 * SECOND), "it is not back after a minute");
    sent = small_ad.sa_rw;
    /* A recovery that goes on would send it again some time. */
    (void)small_bufs_wait(2, 10 * SECOND);
    SCHED_CHECK(small_ad.sa_rw == sent, "it was sent again after it had come back");
    all_back(1);
    dead(2);
    close_it();
    small_disk_down();
}

static void run_gone_attention(const struct det_strategy *st, uint64_t seed)
{
    run_recovery(st, seed, SMALL_AD_ATTENTION, false);
}
static void run_gone_attention_later(const struct det_strategy *st, uint64_t seed)
{
    run_recovery(st, seed, SMALL_AD_ATTENTION, true);
}

/* REQUEST SENSE does not come back: the disk is taken out in the moment when that is noticed. */
static void run_step(const struct det_strategy *st, uint64_t seed, uint32_t steps)
{
    event_t never = EVENT_NULL;
    struct shim_thread t;

    small_disk_up(st, seed, 2, true);
    small_ad.sa_loses_sense = true;
    small_ad.sa_fault = SMALL_AD_ATTENTION;
    small_ad.sa_faults = 1;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    small_bufs_send(0, 1);
    for (uint32_t i = 1; i <= steps; i++) {
        const uint64_t until = dd_unit_of(SMALL_DISK_DEV)->un_rec.rec_until_ns;

        if (i < steps)
            (void)e_timedsleep(&never, NULL, until - shim_now_ns() + 1);
        else
            start(&t, gone_then, (void *)(uintptr_t)(until - shim_now_ns()), "other");
    }
    if (steps == 1)
        small_bufs_send(1, 1);
    shim_thread_join(&t);
    SCHED_CHECK(small_bufs_wait(steps == 1 ? 2 : 1, 60 * SECOND), "not back after a minute");
    for (uint32_t i = 0; i < 2 && steps > 1; i++) /* who had failed before has failed as any other */
        if (small_bufs[i].sb_buf.b_flags & B_ERROR && small_bufs[i].sb_buf.b_error == EIO)
            small_bufs[i].sb_buf.b_error = ENXIO;
    all_back(steps == 1 ? 2 : 1);
    dead(2);
    close_it();
    small_disk_down();
}

static void run_gone_step(const struct det_strategy *st, uint64_t seed) { run_step(st, seed, 1); }
static void run_gone_step_twice(const struct det_strategy *st, uint64_t seed) { run_step(st, seed, 2); }

/* ---------------------------------------------------------------- twice, and the end */

static void run_gone_twice(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_up(st, seed, 1, true);
    small_ad.sa_pends = true;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, true, 64 * i, 8, 0);
    small_bufs_send(0, 2);
    start(&t, gone, NULL, "other");
    gone(NULL);
    all_back(2);
    shim_thread_join(&t);
    dead(2);
    close_it();
    small_disk_down();
}

static void gone_or_not_there(void *arg)
{
    int error = scdisk_config(SMALL_DISK_DEV, CFG_GONE, NULL);

    (void)arg;
    SCHED_CHECK(error == 0 || error == ENXIO, "CFG_GONE says %d", error);
}

static void run_gone_term(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_up(st, seed, 0, false);
    start(&t, gone_or_not_there, NULL, "other");
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "CFG_TERM failed");
    shim_thread_join(&t);
    small_disk_down();
}

/* One is taken out and another comes under its number, while somebody opens whichever is there. */
static void run_gone_again(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;
    int error;

    small_disk_up(st, seed, 0, false);
    start(&t, open_close, NULL, "opener");
    gone(NULL);
    SCHED_CHECK(small_disk_config(SMALL_DISK_DEV, 0) == EEXIST, "its number is taken, and was given again");
    while ((error = scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL)) == EBUSY)
        shim_delay_ns(1000);
    SCHED_CHECK(error == 0, "CFG_TERM says %d", error);
    SCHED_CHECK(small_disk_config(SMALL_DISK_DEV, 0) == 0, "another disk cannot be configured");
    shim_thread_join(&t);
    open_close(NULL);
    SCHED_CHECK(was_open, "the new disk does not open");
    small_disk_down();
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"gone-lost-close", "a close while recovery's own command is lost", run_lost_close, false, NULL},
    {"gone-strategy", "a disk is taken out while two send", run_gone_strategy, false, NULL},
    {"gone-out", "the same, commands end by a timer", run_gone_out, false, NULL},
    {"gone-resume", "a disk is taken out while a halted queue is resumed", run_gone_resume, false, NULL},
    {"gone-open", "a disk is taken out while somebody opens it", run_gone_open, false, NULL},
    {"gone-opening", "a disk is taken out at each place of its first open", run_gone_opening, false, NULL},
    {"gone-close", "a disk is taken out beside the last close", run_gone_close, false, NULL},
    {"gone-recovery", "a disk is taken out while it recovers", run_gone_attention, false, NULL},
    {"gone-recovery-later", "the same, commands end by a timer", run_gone_attention_later, false, NULL},
    {"gone-step", "a disk is taken out when recovery's own command is overdue", run_gone_step, false, NULL},
    {"gone-step-twice", "the same, when it is given up", run_gone_step_twice, false, NULL},
    {"gone-twice", "a disk is taken out by two threads", run_gone_twice, false, NULL},
    {"gone-term", "a disk is taken out beside CFG_TERM", run_gone_term, false, NULL},
    {"gone-again", "another disk comes under the number of one that was taken out", run_gone_again, false,
     NULL},
};
const struct small_group small_gone = {"gone", programs, SC_ARRAY_SIZE(programs)};
