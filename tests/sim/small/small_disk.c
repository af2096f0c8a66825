/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_disk.c - the disk driver against itself: threads, completions and interrupts on one disk, errors
 * while others submit, and configuration against open.
 */
#include "small_ad.h"

#define SECOND UINT64_C(1000000000)

static void start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, arg, name) == 0, "no fibre");
}

static void no_errors(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        SCHED_CHECK(small_bufs[i].sb_done == 1 && !(small_bufs[i].sb_buf.b_flags & B_ERROR) &&
                        small_bufs[i].sb_buf.b_resid == 0,
                    "buf %u: %u iodone calls, flags %x, errno %d", i, small_bufs[i].sb_done,
                    (unsigned)small_bufs[i].sb_buf.b_flags, (int)small_bufs[i].sb_buf.b_error);
}

/* ---------------------------------------------------------------- plugs */

static void send_two(void *arg) { small_bufs_send(*(const uint32_t *)arg, 2); }
static void send_one(void *arg) { small_bufs_send(*(const uint32_t *)arg, 1); }

static void resubmit(struct small_buf *b) { small_bufs_send((uint32_t)(b - small_bufs) + 1, 1); }

/* Bytes of writes 0 ... n - 1, which are 64 blocks apart. */
static void on_medium(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        SCHED_CHECK(small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE] == i + 1, "write %u is not on the medium",
                    i);
}

/* Two threads, each with a buf that sends the next from its iodone. */
static void run_plug(const struct det_strategy *st, uint64_t seed, bool later, uint32_t depth)
{
    static const uint32_t from[] = {0, 2};
    struct shim_thread t[2];

    small_disk_up(st, seed, depth, true);
    small_ad.sa_ends_later = later;
    small_ad.sa_later_ns = 0;
    for (uint32_t i = 0; i < 4; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    small_bufs[0].sb_then = small_bufs[2].sb_then = resubmit;
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send_one, (void *)(uintptr_t)&from[i], i == 0 ? "first" : "second");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(4, SECOND), "not all are back after a second");
    no_errors(4);
    on_medium(4);
    small_disk_down();
}

/* As another thread whose number falls into the same slot. */
static void send_same_slot(void *arg)
{
    const uint64_t mine = shim_self()->self_id;

    _Static_assert(DD_PLUGS <= 64, "a difference of 1 << 18 has to leave the slot the same");
    shim_self()->self_id = mine - 1 + (UINT64_C(1) << 18);
    send_one(arg);
    shim_self()->self_id = mine;
}

static void run_plug_slot(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from[] = {0, 2};
    struct shim_thread t[2];

    small_disk_up(st, seed, 4, true);
    for (uint32_t i = 0; i < 4; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    small_bufs[0].sb_then = small_bufs[2].sb_then = resubmit;
    start(&t[0], send_one, (void *)(uintptr_t)&from[0], "first");
    start(&t[1], send_same_slot, (void *)(uintptr_t)&from[1], "second");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(4, SECOND), "not all are back after a second");
    no_errors(4);
    on_medium(4);
    small_disk_down();
}

static void run_plug_inside(const struct det_strategy *st, uint64_t seed) { run_plug(st, seed, false, 4); }
static void run_plug_later(const struct det_strategy *st, uint64_t seed) { run_plug(st, seed, true, 4); }
static void run_plug_narrow(const struct det_strategy *st, uint64_t seed) { run_plug(st, seed, true, 1); }

/* One thread's chain, whose commands end by a timer that may run on top of it. */
static void run_plug_alone(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from = 0;
    struct shim_thread t;

    small_disk_up(st, seed, 2, true);
    small_ad.sa_ends_later = true;
    small_ad.sa_later_ns = 0;
    for (uint32_t i = 0; i < 3; i++)
        (void)small_buf(i, true, 64 * i, 8, 0);
    small_bufs[1].sb_then = resubmit;
    start(&t, send_two, (void *)(uintptr_t)&from, "first");
    shim_thread_join(&t);
    SCHED_CHECK(small_bufs_wait(3, SECOND), "not all are back after a second");
    no_errors(3);
    small_disk_down();
}

/* ---------------------------------------------------------------- synchronous commands */

static bool area_taken;

/* As an ioctl does that needs the unit's own memory. */
static void sync_one(void *arg)
{
    struct dd_unit *un = arg;
    struct dd_sync sy;

    dd_area_get(un);
    SCHED_CHECK(!area_taken, "two have the area");
    area_taken = true;
    dd_sync_init(&sy, SCSI_TEST_UNIT_READY, NULL, 0, false);
    SCHED_CHECK(dd_sync_run(un, &sy) == 0, "a synchronous command failed");
    area_taken = false;
    dd_area_put(un);
}

/* Two of them and a READ on a disk that takes one command: everybody has a turn, and nobody needs a timer. */
static void run_sync(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;
    uint64_t since;

    small_disk_up(st, seed, 1, true);
    area_taken = false;
    since = shim_now_ns();
    (void)small_buf(0, true, 0, 8, 0);
    small_bufs[0].sb_then = resubmit;
    (void)small_buf(1, true, 64, 8, 0);
    start(&t, sync_one, dd_unit_of(SMALL_DISK_DEV), "ioctl");
    small_bufs_send(0, 1);
    sync_one(dd_unit_of(SMALL_DISK_DEV));
    shim_thread_join(&t);
    SCHED_CHECK(small_bufs_wait(2, SECOND) && shim_now_ns() == since, "somebody has waited for a timer");
    no_errors(2);
    small_disk_down();
}

/* ---------------------------------------------------------------- an error while another submits (r3) */

/* Two writes; the first to arrive meets an attention. */
static void run_resume_early(const struct det_strategy *st, uint64_t seed)
{
    static const uint32_t from[] = {0, 1};
    struct shim_thread t[2];

    small_disk_up(st, seed, 4, true);
    small_ad.sa_checks_resume = true;
    small_ad.sa_fault = SMALL_AD_ATTENTION;
    small_ad.sa_faults = 1;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send_one, (void *)(uintptr_t)&from[i], i == 0 ? "first" : "second");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(2, 60 * SECOND), "not both are back after a minute");
    no_errors(2);
    on_medium(2);
    small_disk_down();
}

/* ---------------------------------------------------------------- order after a split (r4) */

static void run_split(const struct det_strategy *st, uint64_t seed, bool keeps)
{
    small_disk_up(st, seed, 4, true);
    small_ad.sa_pends = true;
    small_ad.sa_keeps_queue = keeps;
    small_ad.sa_fault = SMALL_AD_MEDIUM;
    small_ad.sa_faults = 1;
    (void)small_buf(0, false, 0, 8, 0xaa);
    (void)small_buf(1, false, 8, 8, 0xaa);
    (void)small_buf(2, false, 8, 1, 0xbb);
    small_bufs_send(0, 2);
    small_bufs_send(2, 1);
    while (small_ad_end())
        continue;
    small_ad.sa_pends = false;
    SCHED_CHECK(small_bufs_wait(3, 60 * SECOND), "not all are back after a minute");
    no_errors(3);
    SCHED_CHECK(small_ad.sa_medium[8 * DEV_BSIZE] == 0xbb,
                "the write that was sent first is on the medium: %02x", small_ad.sa_medium[8 * DEV_BSIZE]);
    small_disk_down();
}

static void run_split_order(const struct det_strategy *st, uint64_t seed) { run_split(st, seed, false); }
static void run_split_order_keep(const struct det_strategy *st, uint64_t seed) { run_split(st, seed, true); }

/* ---------------------------------------------------------------- SC_Q_RESUME is refused (r7) */

static void end_all(void *arg)
{
    (void)arg;
    while (!small_ad.sa_kept && small_ad_end())
        continue;
}

static void run_kept(const struct det_strategy *st, uint64_t seed, uint32_t refused)
{
    small_disk_up(st, seed, 4, true);
    small_ad.sa_pends = small_ad.sa_keeps_queue = true;
    small_ad.sa_fault = SMALL_AD_ILLEGAL;
    small_ad.sa_faults = 1;
    small_ad.sa_refuse_resumes = refused;
    for (uint32_t i = 0; i < 3; i++) {
        (void)small_buf(i, true, 64 * i, 8, 0);
        small_bufs_send(i, 1);
    }
    end_all(NULL);
    for (uint32_t i = 0; i < 120 && !small_bufs_wait(3, SECOND); i++)
        end_all(NULL);
    SCHED_CHECK(small_bufs_wait(3, 0),
                "the kept queue still stands after two minutes; SC_Q_RESUME was refused %u times", refused);
    small_disk_down();
}

static void run_resume_kept(const struct det_strategy *st, uint64_t seed) { run_kept(st, seed, 0); }
static void run_resume_refused(const struct det_strategy *st, uint64_t seed) { run_kept(st, seed, 1); }

/* ---------------------------------------------------------------- a dead disk (r12) */

#define DEAD_BUFS    32u
#define DEAD_SECONDS 61u /* two timeouts of a READ */

static void run_dead(const struct det_strategy *st, uint64_t seed)
{
    const uint64_t limit = DEAD_SECONDS * SECOND;

    small_disk_up(st, seed, 4, true);
    small_ad.sa_ends_later = true;
    small_ad.sa_later_ns = 30 * SECOND; /* the timeout of a READ */
    small_ad.sa_fault = SMALL_AD_TIMEOUT;
    small_ad.sa_faults = UINT32_MAX;
    for (uint32_t i = 0; i < DEAD_BUFS; i++)
        (void)small_buf(i, true, 8 * i, 8, 0);
    small_bufs_send(0, DEAD_BUFS);
    SCHED_CHECK(small_bufs_wait(DEAD_BUFS, limit),
                "a disk that answers nothing has kept its caller for %u seconds", DEAD_SECONDS);
    small_disk_down();
}

/* ---------------------------------------------------------------- open against CFG_TERM (r33) */

static void open_close(void *arg)
{
    struct file *fp;
    int error = fp_opendev(SMALL_DISK_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp);

    (void)arg;
    SCHED_CHECK(error == 0 || error == ENXIO || error == ENODEV || error == EBUSY || error == EINVAL ||
                    error == EACCES,
                "open says %d", error);
    if (error == 0)
        SCHED_CHECK(fp_close(fp) == 0, "close failed");
}

static void run_open_term(const struct det_strategy *st, uint64_t seed, bool alone)
{
    struct shim_thread t;
    int error;

    small_disk_up(st, seed, 0, false);
    if (!alone)
        SCHED_CHECK(small_disk_config(SMALL_DISK_DEV1, 0) == 0, "no second disk");
    start(&t, open_close, NULL, "opener");
    error = scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL);
    SCHED_CHECK(error == 0 || error == EBUSY, "CFG_TERM says %d", error);
    shim_thread_join(&t);
    small_disk_down();
}

/* The last disk takes the driver out of the switch; with another one it stays. */
static void run_open_term_last(const struct det_strategy *st, uint64_t seed)
{
    run_open_term(st, seed, true);
}
static void run_open_term_one(const struct det_strategy *st, uint64_t seed)
{
    run_open_term(st, seed, false);
}

/* Two who open and close; and the last close against a buf's way back. */
static void run_open_open(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_up(st, seed, 0, false);
    start(&t, open_close, NULL, "opener");
    open_close(NULL);
    shim_thread_join(&t);
    small_disk_down();
}

static void close_disk(void *arg)
{
    (void)arg;
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    small_disk_fp = NULL;
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "CFG_TERM failed");
}

/* The owner closes and unconfigures as soon as his last buf is back; its thread is on the way out. */
static void run_last_buf(const struct det_strategy *st, uint64_t seed, bool later)
{
    static const uint32_t from = 0;
    struct shim_thread t;

    small_disk_up(st, seed, 4, true);
    small_ad.sa_ends_later = later;
    small_ad.sa_later_ns = 0;
    (void)small_buf(0, true, 0, 8, 0);
    start(&t, send_one, (void *)(uintptr_t)&from, "sender");
    SCHED_CHECK(small_bufs_wait(1, SECOND), "not back after a second");
    no_errors(1);
    close_disk(NULL);
    shim_thread_join(&t);
    small_disk_down();
}

/* A close waits for what is out, and is woken when that is back; or `early`, before the last iodone has
 * returned. */
static void run_close(const struct det_strategy *st, uint64_t seed, bool early)
{
    uint64_t since;

    small_disk_up(st, seed, 2, true);
    small_ad.sa_ends_later = true;
    small_ad.sa_later_ns = 0;
    since = shim_now_ns();
    (void)small_buf(0, true, 0, 8, 0);
    (void)small_buf(1, true, 64, 8, 0);
    small_bufs_send(0, 2);
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    small_disk_fp = NULL;
    SCHED_CHECK(shim_now_ns() == since, "the close has waited for a timer");
    SCHED_CHECK(early || (small_bufs[0].sb_done == 1 && small_bufs[1].sb_done == 1),
                "the disk is closed, and a buf is not back");
    SCHED_CHECK(small_bufs_wait(2, SECOND), "not all are back after a second");
    no_errors(2);
    small_disk_down();
}

static void run_close_busy(const struct det_strategy *st, uint64_t seed) { run_close(st, seed, true); }
static void run_close_back(const struct det_strategy *st, uint64_t seed) { run_close(st, seed, false); }

static void end_first(void *arg)
{
    (void)arg;
    (void)small_ad_end();
}

static void end_same_slot(void *arg)
{
    const uint64_t mine = shim_self()->self_id;

    shim_self()->self_id = mine - 1 + (UINT64_C(1) << 18);
    end_first(arg);
    shim_self()->self_id = mine;
}

/* Two threads complete one buf each; one of them has its plug on the stack. Then the disk goes at once. */
static void run_close_slot(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_disk_up(st, seed, 2, true);
    small_ad.sa_pends = true;
    (void)small_buf(0, true, 0, 8, 0);
    (void)small_buf(1, true, 64, 8, 0);
    small_bufs_send(0, 2);
    start(&t[0], end_first, NULL, "first");
    start(&t[1], end_same_slot, NULL, "second");
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "close failed");
    small_disk_fp = NULL;
    SCHED_CHECK(small_bufs[0].sb_done == 1 && small_bufs[1].sb_done == 1,
                "the disk is closed, and a buf is not back");
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "CFG_TERM failed");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    no_errors(2);
    small_disk_down();
}

static void run_last_buf_inside(const struct det_strategy *st, uint64_t seed)
{
    run_last_buf(st, seed, false);
}
static void run_last_buf_later(const struct det_strategy *st, uint64_t seed) { run_last_buf(st, seed, true); }

static void pass_through(void *arg)
{
    struct dd_sync sy;

    dd_sync_init(&sy, SCSI_TEST_UNIT_READY, NULL, 0, false);
    sy.sy_flags = DD_SYNC_RAW;
    (void)dd_sync_run(dd_unit_of(SMALL_DISK_DEV), &sy);
    *(bool *)arg = true;
}

/* A command of the driver's own that pends as a READ does. */
static void read_inside(void *arg)
{
    struct dd_sync sy;

    dd_sync_init(&sy, SCSI_READ_6, arg, 8 * DEV_BSIZE, true);
    sy.sy_cdb[4] = 8;
    SCHED_CHECK(dd_sync_run(dd_unit_of(SMALL_DISK_DEV), &sy) == 0, "it was good");
}

/*
 * Recovery's own command was given up, and the disk is dead; only then the last command that was out comes
 * back, good or with an error of its own. Nobody may wait for the one that is lost: not its owner, not a
 * pass-through command, not what is sent from now on.
 */
static void run_late(const struct det_strategy *st, uint64_t seed, bool good)
{
    event_t never = EVENT_NULL;
    struct shim_thread t[2];
    struct sc_buf *last;
    bool passed = false;

    small_disk_up(st, seed, 2, true);
    small_ad.sa_loses_sense = small_ad.sa_pends = true;
    small_ad.sa_fault = SMALL_AD_ATTENTION;
    small_ad.sa_faults = 1;
    for (uint32_t i = 0; i < 3; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    small_bufs_send(0, 1);
    if (good)
        start(&t[0], read_inside, small_bufs[1].sb_data, "reader");
    else
        small_bufs_send(1, 1);
    while (small_ad.sa_rw < 2)
        (void)e_timedsleep(&never, NULL, 1);
    last = (struct sc_buf *)(void *)small_ad.sa_tail; /* the device has it, and keeps it */
    small_ad.sa_tail = small_ad.sa_head;
    small_ad.sa_head->av_forw = NULL;
    SCHED_CHECK(small_ad_end(), "nothing is out");
    SCHED_CHECK(small_bufs_wait(1, 600 * SECOND), "a lost command of recovery holds everything");
    last->bufstruct.b_resid = good ? 0 : last->bufstruct.b_bcount;
    if (!good) {
        last->bufstruct.b_flags |= B_ERROR;
        last->bufstruct.b_error = EIO;
        last->status_validity = SC_ADAPTER_ERROR;
        last->general_card_status = SC_CMD_TIMEOUT;
    }
    small_ad.sa_out--;
    iodone(&last->bufstruct);
    if (good)
        shim_thread_join(&t[0]);
    else
        SCHED_CHECK(small_bufs_wait(2, 600 * SECOND), "back with an error, and its owner is not told");
    small_bufs_send(2, 1);
    SCHED_CHECK(small_bufs_wait(good ? 2 : 3, 600 * SECOND), "a request waits for a lost command");
    start(&t[1], pass_through, &passed, "pass-through");
    for (uint32_t i = 0; i < 600 && !passed; i++)
        (void)e_timedsleep(&never, NULL, SECOND);
    SCHED_CHECK(passed, "a pass-through command waits for a lost one");
    shim_thread_join(&t[1]);
    SCHED_CHECK(small_ad_end(), "the lost command is not there");
    small_disk_down();
}

static void run_late_error(const struct det_strategy *st, uint64_t seed) { run_late(st, seed, false); }
static void run_late_good(const struct det_strategy *st, uint64_t seed) { run_late(st, seed, true); }

static const struct sched_program programs[] = {
    {"plug", "two threads that resubmit from iodone, commands end inside strategy", run_plug_inside, false,
     NULL},
    {"plug-slot", "the same where both threads want one plug", run_plug_slot, false, NULL},
    {"plug-later", "the same, commands end by a timer", run_plug_later, false, NULL},
    {"plug-narrow", "the same with a queue depth of one", run_plug_narrow, false, NULL},
    {"plug-interrupt", "the same, the timer on top of a thread", run_plug_later, true, NULL},
    {"plug-interrupt-narrow", "the same with a queue depth of one", run_plug_narrow, true, NULL},
    {"plug-interrupt-alone", "one thread and the interrupts of its own commands", run_plug_alone, true, NULL},
    {"sync-turns", "two synchronous commands and a thread that reads", run_sync, false, NULL},
    {"resume-early", "SC_RESUME is not sent before the error it answers was told", run_resume_early, false,
     NULL},
    {"split-order", "two writes of one block stay in order over a split", run_split_order, false, NULL},
    {"split-order-keep", "the same with a queue that is kept", run_split_order_keep, false, NULL},
    {"resume-kept", "a kept queue is resumed", run_resume_kept, false, NULL},
    {"resume-refused", "a refused SC_Q_RESUME is asked for again", run_resume_refused, false, NULL},
    {"dead-disk", "requests to a dead disk fail in bounded time", run_dead, false, NULL},
    {"open-term-last", "open against CFG_TERM of the only disk", run_open_term_last, false, NULL},
    {"open-term-one", "open against CFG_TERM of one of two disks", run_open_term_one, false, NULL},
    {"open-open", "two who open and close", run_open_open, false, NULL},
    {"close-busy", "close while bufs are out", run_close_busy, false, NULL},
    {"close-back", "close returns after the last iodone", run_close_back, false, NULL},
    {"close-back-slot", "the same where two threads that complete want one plug", run_close_slot, false,
     NULL},
    {"last-buf", "close and CFG_TERM right after the last iodone", run_last_buf_inside, false, NULL},
    {"last-buf-later", "the same, commands end by a timer", run_last_buf_later, false, NULL},
    {"dead-late-error", "an error that comes when recovery's own command was given up", run_late_error, false,
     NULL},
    {"dead-late-good", "a good end that comes when recovery's own command was given up", run_late_good, false,
     NULL},
};
const struct small_group small_disk = {"disk", programs, SC_ARRAY_SIZE(programs)};
