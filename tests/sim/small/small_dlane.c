/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_dlane.c - the disk driver's lane (dd_lane.c): a request alone past the queues, against everything
 * that goes through them. The queue depth is the default, with which there is a lane.
 */
#include "small_ad.h"

#define SECOND UINT64_C(1000000000)

static void start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, arg, name) == 0, "no fibre");
}

static const struct dd_unit *unit(void) { return dd_unit_of(SMALL_DISK_DEV); }

/* Up, open, and the lane with it. */
static void lane_up(const struct det_strategy *st, uint64_t seed)
{
    small_disk_up(st, seed, 0, true);
    SCHED_CHECK(unit()->un_lane, "an open disk has no lane");
}

/* All `n` are back, written once, and counted: whoever asks finds the books balanced. */
static void lane_settled(uint32_t n)
{
    struct sc_disk_stats stats;

    SCHED_CHECK(small_bufs_wait(n, 5 * SECOND), "not all are back after five seconds");
    for (uint32_t i = 0; i < n; i++) {
        SCHED_CHECK(small_bufs[i].sb_done == 1 && !(small_bufs[i].sb_buf.b_flags & B_ERROR) &&
                        small_bufs[i].sb_buf.b_resid == 0,
                    "buf %u: %u iodone calls, flags %x, errno %d", i, small_bufs[i].sb_done,
                    (unsigned)small_bufs[i].sb_buf.b_flags, (int)small_bufs[i].sb_buf.b_error);
        SCHED_CHECK(small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE] == i + 1, "write %u is not on the medium",
                    i);
    }
    SCHED_CHECK(dd_check_invariants(SMALL_DISK_DEV) == 0, "a buf is still held");
    SCHED_CHECK(fp_ioctl(small_disk_fp, DKSTATS, (intptr_t)&stats, 0) == 0, "no counters");
    SCHED_CHECK(stats.completed == n && stats.bufs == n && stats.bytes_written == (uint64_t)n * 4096,
                "%u completed of %u, %u bytes written", (unsigned)stats.completed, (unsigned)stats.bufs,
                (unsigned)stats.bytes_written);
}

static void send_one(void *arg) { small_bufs_send(*(const uint32_t *)arg, 1); }
static void resubmit(struct small_buf *b) { small_bufs_send((uint32_t)(b - small_bufs) + 1, 1); }

/* A chain, which the lane is not for, as another thread whose number falls into the same slot. */
static void send_same_slot(void *arg)
{
    const uint64_t mine = shim_self()->self_id;

    shim_self()->self_id = mine - 1 + (UINT64_C(1) << 18);
    small_bufs_send(*(const uint32_t *)arg, 2);
    shim_self()->self_id = mine;
}

/* ---------------------------------------------------------------- side by side */

/* Two threads, the first with a buf that sends the next from its iodone. */
static void run_two(void (*second)(void *arg), uint32_t n)
{
    static const uint32_t from[] = {0, 2};
    struct shim_thread t[2];

    for (uint32_t i = 0; i < n; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    small_bufs[0].sb_then = resubmit;
    start(&t[0], send_one, (void *)(uintptr_t)&from[0], "first");
    start(&t[1], second, (void *)(uintptr_t)&from[1], "second");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    lane_settled(n);
    small_disk_down();
}

static void run_inside(const struct det_strategy *st, uint64_t seed)
{
    lane_up(st, seed);
    run_two(send_one, 3);
}

static void run_slot(const struct det_strategy *st, uint64_t seed)
{
    lane_up(st, seed);
    run_two(send_same_slot, 4);
}

/* The commands come back by a timer: perhaps before the thread that sent them has looked. */
static void run_later(const struct det_strategy *st, uint64_t seed)
{
    lane_up(st, seed);
    small_ad.sa_ends_later = true;
    small_ad.sa_later_ns = 0;
    run_two(send_one, 3);
}

/* The first to reach the adapter driver fails and is sent again; the other one may be anywhere. */
static void run_fails(const struct det_strategy *st, uint64_t seed, bool keeps)
{
    lane_up(st, seed);
    small_ad.sa_keeps_queue = keeps;
    small_ad.sa_fault = SMALL_AD_ATTENTION;
    small_ad.sa_faults = 1;
    run_two(send_one, 3);
}

static void run_fails_clear(const struct det_strategy *st, uint64_t seed) { run_fails(st, seed, false); }
static void run_fails_keep(const struct det_strategy *st, uint64_t seed) { run_fails(st, seed, true); }

/* ---------------------------------------------------------------- flush and close */

static void flush(void *arg)
{
    (void)arg;
    SCHED_CHECK(fp_ioctl(small_disk_fp, DKFLUSH, 0, 0) == 0, "DKFLUSH failed");
}

/* A write beside a flush: whichever comes first, nothing stays in the device's cache when the disk is closed.
 */
static void run_flush(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from = 0;
    struct shim_thread t;

    lane_up(st, seed);
    (void)small_buf(0, false, 0, 8, 1);
    (void)small_buf(1, false, 64, 8, 2);
    small_bufs_send(1, 1); /* the disk is dirty: what comes does not make it so */
    start(&t, send_one, (void *)(uintptr_t)&from, "writer");
    flush(NULL);
    shim_thread_join(&t);
    lane_settled(2);
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    small_disk_fp = NULL;
    SCHED_CHECK(!small_ad.sa_cached, "closed, and what was written is in the cache");
    small_disk_down();
}

/* The owner closes and unconfigures as soon as his last buf is back; its thread is on the way out. */
static void run_last_buf(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from = 0;
    struct shim_thread t;

    lane_up(st, seed);
    (void)small_buf(0, true, 0, 8, 0);
    start(&t, send_one, (void *)(uintptr_t)&from, "sender");
    SCHED_CHECK(small_bufs_wait(1, SECOND), "not back after a second");
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    small_disk_fp = NULL;
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "CFG_TERM failed");
    shim_thread_join(&t);
    small_disk_down();
}

/* A close beside a request: it is done, or refused because the disk is closed, and nothing comes afterwards.
 */
static void run_close(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from = 0;
    struct shim_thread t;
    event_t never = EVENT_NULL;

    lane_up(st, seed);
    (void)small_buf(0, false, 0, 8, 1);
    start(&t, send_one, (void *)(uintptr_t)&from, "sender");
    while (small_ad.sa_rw == 0)
        (void)e_timedsleep(&never, NULL, 1);
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    small_disk_fp = NULL;
    SCHED_CHECK(small_bufs[0].sb_done == 1, "closed, and a request is not back");
    SCHED_CHECK(!small_ad.sa_cached, "closed, and what was written is in the cache");
    shim_thread_join(&t);
    small_disk_down();
}

/* ---------------------------------------------------------------- closed while somebody passes */

static void command(void *arg)
{
    struct dd_sync sy;

    dd_sync_init(&sy, SCSI_TEST_UNIT_READY, NULL, 0, false);
    SCHED_CHECK(dd_sync_run(arg, &sy) == 0, "a synchronous command failed");
}

static void open_again(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    dd_lane_close_locked(un);
    dd_lane_open_locked(un);
    unlock_enable(old, &un->un_lock);
}

/* Closed and opened again while a thread is inside, and a command of the driver's own. */
static void run_reopened(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from[] = {0, 1};
    struct shim_thread t[3];

    lane_up(st, seed);
    for (uint32_t i = 0; i < 2; i++) {
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
        start(&t[i], send_one, (void *)(uintptr_t)&from[i], i == 0 ? "first" : "second");
    }
    start(&t[2], command, dd_unit_of(SMALL_DISK_DEV), "command");
    open_again(dd_unit_of(SMALL_DISK_DEV));
    for (uint32_t i = 0; i < 3; i++)
        shim_thread_join(&t[i]);
    lane_settled(2);
    small_disk_down();
}

/* ---------------------------------------------------------------- what else a disk can meet */

/* Two threads send, the first once more from its iodone, while `beside` is called here. */
static void run_beside(void (*beside)(void))
{
    static const uint32_t from[] = {0, 2};
    struct shim_thread t[2];

    for (uint32_t i = 0; i < 3; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    small_bufs[0].sb_then = resubmit;
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send_one, (void *)(uintptr_t)&from[i], i == 0 ? "first" : "second");
    beside();
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(3, 5 * SECOND), "not all are back after five seconds");
}

/* Each is back once: written, or `error` and nothing moved. Returns how many are good. */
static uint32_t good_or(int error, uint32_t n)
{
    uint32_t good = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct buf *bp = &small_bufs[i].sb_buf;
        const int e = bp->b_flags & B_ERROR ? bp->b_error : 0;

        SCHED_CHECK(small_bufs[i].sb_done == 1 && (e == 0 || e == error), "buf %u: %u iodone calls, errno %d",
                    i, small_bufs[i].sb_done, e);
        SCHED_CHECK(bp->b_resid == (e ? bp->b_bcount : 0), "buf %u: residual %zu", i, bp->b_resid);
        SCHED_CHECK(e || small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE] == i + 1,
                    "write %u is good and not on the medium", i);
        good += e == 0;
    }
    SCHED_CHECK(dd_check_invariants(SMALL_DISK_DEV) == 0, "a buf is still held");
    return good;
}

static void take_out(void)
{
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_GONE, NULL) == 0, "CFG_GONE failed");
}

static void nothing(void) {}

static void close_it(void)
{
    int error = fp_close(small_disk_fp);

    small_disk_fp = NULL;
    SCHED_CHECK(error == 0 || error == ENXIO || error == EIO, "close says %d", error);
}

/* Taken out while commands are in the lane; perhaps the first of them fails. */
static void run_gone_with(const struct det_strategy *st, uint64_t seed, enum small_ad_fault fault, bool later)
{
    lane_up(st, seed);
    small_ad.sa_fault = fault;
    small_ad.sa_faults = 1;
    small_ad.sa_ends_later = later;
    small_ad.sa_later_ns = 0;
    run_beside(take_out);
    (void)good_or(ENXIO, 3);
    SCHED_CHECK(small_ad.sa_out == 0, "the adapter has got something");
    close_it();
    small_disk_down();
}

static void run_gone(const struct det_strategy *st, uint64_t seed)
{
    run_gone_with(st, seed, SMALL_AD_NONE, false);
}
static void run_gone_later(const struct det_strategy *st, uint64_t seed)
{
    run_gone_with(st, seed, SMALL_AD_NONE, true);
}
static void run_gone_fails(const struct det_strategy *st, uint64_t seed)
{
    run_gone_with(st, seed, SMALL_AD_ATTENTION, false);
}
static void run_gone_timeout(const struct det_strategy *st, uint64_t seed)
{
    run_gone_with(st, seed, SMALL_AD_TIMEOUT, false);
}

/*
 * Two timeouts, and the disk is dead unless something good came between. When it has been left alone for
 * long enough it is asked, and lives.
 */
static void run_dead(const struct det_strategy *st, uint64_t seed)
{
    event_t never = EVENT_NULL;
    uint32_t good;

    lane_up(st, seed);
    small_ad.sa_fault = SMALL_AD_TIMEOUT;
    small_ad.sa_faults = 2;
    small_ad.sa_checks_resume = true;
    run_beside(nothing);
    good = good_or(EIO, 3);
    for (uint32_t i = 0; i < 61; i++)
        (void)e_timedsleep(&never, NULL, SECOND);
    (void)small_buf(3, false, 64 * 3, 8, 4);
    small_bufs_send(3, 1);
    SCHED_CHECK(small_bufs_wait(4, 5 * SECOND), "the disk was asked, and the request is not back");
    SCHED_CHECK(good_or(EIO, 4) == good + 1, "it does not live again");
    small_disk_down();
}

/* Two timeouts, taken out, and closed. */
static void run_dead_gone(const struct det_strategy *st, uint64_t seed)
{
    lane_up(st, seed);
    small_ad.sa_fault = SMALL_AD_TIMEOUT;
    small_ad.sa_faults = 2;
    run_beside(take_out);
    for (uint32_t i = 0; i < 3; i++) /* who had failed before has failed as any other */
        if (small_bufs[i].sb_buf.b_flags & B_ERROR && small_bufs[i].sb_buf.b_error == EIO)
            small_bufs[i].sb_buf.b_error = ENXIO;
    (void)good_or(ENXIO, 3);
    close_it();
    small_disk_down();
}

/* Two timeouts and a close beside them; opened again it is a new beginning. */
static void run_dead_close(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from = 0;
    struct shim_thread t;
    event_t never = EVENT_NULL;

    lane_up(st, seed);
    small_ad.sa_fault = SMALL_AD_TIMEOUT;
    small_ad.sa_faults = 2;
    (void)small_buf(0, false, 0, 8, 1);
    start(&t, send_one, (void *)(uintptr_t)&from, "sender");
    while (small_ad.sa_rw == 0)
        (void)e_timedsleep(&never, NULL, 1);
    close_it();
    SCHED_CHECK(small_bufs[0].sb_done == 1, "closed, and a request is not back");
    shim_thread_join(&t);
    SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE, NULL, 0, &small_disk_fp) == 0,
                "a dead disk that is there again does not open");
    small_ad.sa_faults = 0;
    (void)small_buf(1, false, 64, 8, 2);
    small_bufs_send(1, 1);
    SCHED_CHECK(small_bufs_wait(2, SECOND) && !(small_bufs[1].sb_buf.b_flags & B_ERROR), "opened, and dead");
    small_disk_down();
}

/* Another file halts the queue: nobody may notice. */
static void halt(void)
{
    struct file *fp;

    SCHED_CHECK(fp_opendev(SMALL_AD_DEV, DREAD | DKERNEL, NULL, 0, &fp) == 0, "the adapter does not open");
    SCHED_CHECK(fp_ioctl(fp, SCIOHALT, SC_ARG(3, 0), 0) == 0, "SCIOHALT failed");
    SCHED_CHECK(fp_close(fp) == 0, "the adapter does not close");
}

static void run_halt(const struct det_strategy *st, uint64_t seed)
{
    uint64_t began;

    lane_up(st, seed);
    began = shim_now_ns();
    run_beside(halt);
    lane_settled(3);
    SCHED_CHECK(shim_now_ns() - began < SECOND / 2, "who waits for all to be home was not told");
    small_disk_down();
}

/* The same, and the first fails: no SC_RESUME before its error is known. */
static void run_fails_told(const struct det_strategy *st, uint64_t seed)
{
    lane_up(st, seed);
    small_ad.sa_fault = SMALL_AD_ATTENTION;
    small_ad.sa_faults = 1;
    small_ad.sa_checks_resume = true;
    run_beside(nothing);
    lane_settled(3);
    small_disk_down();
}

/* A bus reset is told: RESERVE goes before what is sent next. */
static void reset_seen(void)
{
    struct sc_event_info info = {.events = SC_SCSI_RESET_EVENT,
                                 .async_correlator = small_ad.sa_event.async_correlator};

    small_ad.sa_event.async_func(&info);
}

static void run_event(const struct det_strategy *st, uint64_t seed)
{
    small_disk_reserves = true;
    lane_up(st, seed);
    small_disk_reserves = false;
    run_beside(reset_seen);
    lane_settled(3);
    small_disk_down();
}

/*
 * The disk has blocks of 4096 bytes after a format. A request that was found good before it, for blocks of
 * 512, may not be sent after it.
 */
static void format(void) { SCHED_CHECK(fp_ioctl(small_disk_fp, DKFORMAT, 0, 0) == 0, "DKFORMAT failed"); }

static void send_two(void *arg)
{
    (void)arg;
    small_bufs_send(0, 2);
}

/* It is opened for one alone, and formatted beside `beside`, which sends n bufs. */
static void format_beside(const struct det_strategy *st, uint64_t seed, void (*beside)(void *arg), uint32_t n)
{
    static const uint32_t from = 0;
    struct shim_thread t;

    lane_up(st, seed);
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &small_disk_fp) == 0,
                "the disk does not open for one alone");
    small_ad.sa_formats = true;
    for (uint32_t i = 0; i < n; i++)
        (void)small_buf(i, true, 2 * i + 1, 1, 0);
    start(&t, beside, (void *)(uintptr_t)&from, "sender");
    format();
    shim_thread_join(&t);
    SCHED_CHECK(small_bufs_wait(n, 5 * SECOND), "not back after five seconds");
    for (uint32_t i = 0; i < n; i++) {
        const struct buf *bp = &small_bufs[i].sb_buf;
        const int e = bp->b_flags & B_ERROR ? bp->b_error : 0;

        SCHED_CHECK(e == 0 || e == EACCES || e == EINVAL, "buf %u: errno %d", i, e);
        SCHED_CHECK(bp->b_resid == (e ? bp->b_bcount : 0), "buf %u: residual %zu", i, bp->b_resid);
    }
    small_disk_down();
}

static void run_format(const struct det_strategy *st, uint64_t seed) { format_beside(st, seed, send_one, 1); }
static void run_format_chain(const struct det_strategy *st, uint64_t seed)
{
    format_beside(st, seed, send_two, 2);
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"dlane", "two threads, one of which resubmits from iodone", run_inside, false, NULL},
    {"dlane-slot", "a request in the lane and a chain that want one plug", run_slot, false, NULL},
    {"dlane-later", "the same, commands end by a timer", run_later, false, NULL},
    {"dlane-interrupt", "the same, the timer on top of a thread", run_later, true, NULL},
    {"dlane-fails", "a command in the lane fails, the queue is cleared", run_fails_clear, false, NULL},
    {"dlane-fails-keep", "the same, the queue is kept", run_fails_keep, false, NULL},
    {"dlane-flush", "a write against a flush, then close", run_flush, false, NULL},
    {"dlane-last-buf", "close and CFG_TERM right after the last iodone", run_last_buf, false, NULL},
    {"dlane-close", "a close beside a request", run_close, false, NULL},
    {"dlane-reopened", "the lane is closed and opened while threads are inside", run_reopened, false, NULL},
    {"dlane-gone", "the disk is taken out while commands are in the lane", run_gone, false, NULL},
    {"dlane-gone-later", "the same, commands end by a timer", run_gone_later, false, NULL},
    {"dlane-gone-fails", "the same, and the first command meets an attention", run_gone_fails, false, NULL},
    {"dlane-gone-timeout", "the same, and the first command times out", run_gone_timeout, false, NULL},
    {"dlane-dead", "two commands time out, the disk is dead, and lives again", run_dead, false, NULL},
    {"dlane-dead-gone", "two commands time out and the disk is taken out", run_dead_gone, false, NULL},
    {"dlane-dead-close", "a command times out twice beside a close, then an open", run_dead_close, false,
     NULL},
    {"dlane-halt", "SCIOHALT beside commands in the lane", run_halt, false, NULL},
    {"dlane-fails-told", "no SC_RESUME before the lane's error is told", run_fails_told, false, NULL},
    {"dlane-event", "a bus reset is told beside commands in the lane", run_event, false, NULL},
    {"dlane-format", "DKFORMAT to larger blocks beside a request", run_format, false, NULL},
    {"dlane-format-chain", "the same, beside a chain", run_format_chain, false, NULL},
};
const struct small_group small_dlane = {"dlane", programs, SC_ARRAY_SIZE(programs)};
