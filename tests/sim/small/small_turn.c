/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_turn.c - who waits until iodone routines have returned does wait for those whose turn had begun
 * before, and for no others: shim_turns_wait(), and SCIOSTOP and SCIOHALT, which rest on it.
 *
 * "Begun before" is told as a driver tells it: something is given back between the begin and the call.
 */
#include "small.h"

static struct buf turn_bufs[2];
static bool turn_out[2];       /* its routine has returned, or is about to */
static atomic_bool turn_given; /* given back: whoever sees it may rely on the promise */
static struct shim_timer turn_timer;
static _Alignas(64) char turn_key[64], turn_other[64];

static void turn_up(const struct det_strategy *st, uint64_t seed)
{
    small_host(st, seed);
    memset(turn_bufs, 0, sizeof(turn_bufs));
    memset(turn_out, 0, sizeof(turn_out));
    atomic_store(&turn_given, false);
}

/* The waiter: when the turn of `which` has begun, it is over afterwards. */
static void turn_wait(uint32_t which)
{
    shim_det_mark();
    if (!atomic_load_explicit(&turn_given, memory_order_acquire))
        return;
    shim_turns_wait(turn_key);
    SCHED_CHECK(turn_out[which], "the wait is over, and iodone routine %u has not returned", which);
}

static void turn_leaf(struct buf *bp)
{
    shim_det_mark();
    turn_out[bp - turn_bufs] = true;
}

/* Begin, give back, call, end. */
static void turn_call(uint32_t i)
{
    struct shim_self *self = shim_turn_begin(turn_key);

    SCHED_CHECK(self != NULL, "no place for a turn");
    shim_det_mark();
    atomic_store_explicit(&turn_given, true, memory_order_release);
    shim_det_mark();
    iodone(&turn_bufs[i]);
    shim_turn_end(self);
}

static void turn_thread(void *arg)
{
    (void)arg;
    turn_call(0);
}

static void turn_run(void (*fn)(void *arg), uint32_t which)
{
    struct shim_thread t;

    SCHED_CHECK(shim_thread_start(&t, fn, NULL, "completes") == 0, "no fibre");
    shim_delay_ns(1);
    turn_wait(which);
    shim_thread_join(&t);
    turn_wait(which); /* a thread that has ended is in nobody's way */
    small_down();
}

static void run_turn_wait(const struct det_strategy *st, uint64_t seed)
{
    turn_up(st, seed);
    turn_bufs[0].b_iodone = turn_leaf;
    turn_run(turn_thread, 0);
}

/* Somebody else waits at the same time, for nobody: that is not the first one's answer. */
static void turn_waits_other(void *arg)
{
    (void)arg;
    shim_turns_wait(turn_other);
}

static void run_turn_waiters(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    turn_up(st, seed);
    turn_bufs[0].b_iodone = turn_leaf;
    SCHED_CHECK(shim_thread_start(&t[0], turn_thread, NULL, "completes") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], turn_waits_other, NULL, "waits, too") == 0, "no fibre");
    shim_det_mark();
    turn_wait(0);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_down();
}

/* On top of that thread a timer ends another one: that is no turn of the thread's. */
static void turn_timer_fires(struct shim_timer *t)
{
    struct shim_self *self = shim_turn_begin(turn_key);

    (void)t;
    SCHED_CHECK(self != NULL, "no place for a turn");
    iodone(&turn_bufs[1]);
    shim_turn_end(self);
}

/* By the time it is due, the waiter waits. */
static void turn_arms(struct buf *bp)
{
    shim_delay_ns(10);
    SCHED_CHECK(shim_timer_arm(&turn_timer, shim_now_ns()) == 0, "no timer");
    turn_leaf(bp);
}

static void run_turn_timer(const struct det_strategy *st, uint64_t seed)
{
    turn_up(st, seed);
    turn_bufs[0].b_iodone = turn_arms;
    turn_bufs[1].b_iodone = turn_leaf;
    shim_timer_init(&turn_timer, turn_timer_fires, NULL);
    turn_run(turn_thread, 0);
}

/* The waiter is after another key, or a turn that is over: what runs on the thread now is not his. */
static void turn_again(void *arg)
{
    (void)arg;
    turn_call(0);
    turn_call(1);
}

static void turn_short(struct buf *bp)
{
    shim_delay_ns(10); /* the waiter comes at 1 and sleeps before this is over */
    turn_leaf(bp);
}
static void turn_long(struct buf *bp)
{
    shim_delay_ns(1000000000);
    turn_leaf(bp);
}

static void run_turn_younger(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    turn_up(st, seed);
    turn_bufs[0].b_iodone = turn_short;
    turn_bufs[1].b_iodone = turn_long;
    SCHED_CHECK(shim_thread_start(&t, turn_again, NULL, "completes") == 0, "no fibre");
    shim_delay_ns(1);
    SCHED_CHECK(!turn_out[0], "the first is over already");
    shim_turns_wait(turn_other);
    SCHED_CHECK(!turn_out[0], "the wait was for another key");
    shim_turns_wait(turn_key);
    SCHED_CHECK(turn_out[0], "the wait is over, and the iodone routine has not returned");
    SCHED_CHECK(!turn_out[1], "the wait was for a younger turn");
    shim_thread_join(&t);
    small_down();
}

/* The timer is due at once: on top of the thread it may run where that begins its turn. */
static void run_turn_begin(const struct det_strategy *st, uint64_t seed)
{
    turn_up(st, seed);
    turn_bufs[0].b_iodone = turn_short;
    turn_bufs[1].b_iodone = turn_leaf;
    shim_timer_init(&turn_timer, turn_timer_fires, NULL);
    SCHED_CHECK(shim_timer_arm(&turn_timer, shim_now_ns()) == 0, "no timer");
    turn_run(turn_thread, 0);
}

static void turn_stays(struct buf *bp)
{
    shim_delay_ns(1500000); /* a waiter looks twice */
    turn_leaf(bp);
}

/* Somebody waits for a routine that stays: who waits for another key is not kept by the two. */
static void turn_waits(void *arg)
{
    (void)arg;
    shim_turns_wait(turn_key);
    SCHED_CHECK(turn_out[0], "the wait is over, and the iodone routine has not returned");
}

static void run_turn_neighbour(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    turn_up(st, seed);
    turn_bufs[0].b_iodone = turn_stays;
    SCHED_CHECK(shim_thread_start(&t[0], turn_thread, NULL, "completes") == 0, "no fibre");
    shim_delay_ns(1);
    SCHED_CHECK(shim_thread_start(&t[1], turn_waits, NULL, "waits") == 0, "no fibre");
    shim_delay_ns(1);
    shim_turns_wait(turn_other);
    SCHED_CHECK(!turn_out[0], "who waits for another key has kept us");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_down();
}

/* ---------------------------------------------------------------- down the lane against the end of a LUN */

static bool turn_back;    /* the ioctl has returned */
static bool turn_started; /* the chip has had the command, so the LUN had taken it in */

static void turn_starts(struct ad_xfer *x)
{
    (void)x;
    turn_started = true;
}

static void turn_late(struct small_req *r)
{
    shim_det_mark();
    SCHED_CHECK(!turn_back, "request %u came back after the ioctl that ends everything had returned",
                (unsigned)(r - reqs));
}

static void run_lane_back(const struct det_strategy *st, uint64_t seed, unsigned cmd)
{
    struct shim_thread t;
    uint64_t begin;

    small_chip_prepare();
    chip.ch_on_start = turn_starts;
    turn_back = turn_started = false;
    small_up(st, seed);
    small_req(0, 0, SMALL_GOOD)->rq_then = turn_late;
    SCHED_CHECK(shim_thread_start(&t, small_submit, &reqs[0], "submits") == 0, "no fibre");
    shim_det_mark();
    begin = shim_now_ns();
    if (turn_started) {
        SCHED_CHECK(fp_ioctl(small_fp, cmd, SC_ARG(1, 0), 0) == 0, "the ioctl failed");
        turn_back = true;
        SCHED_CHECK(shim_now_ns() == begin, "it slept until its patience was at an end");
    }
    shim_thread_join(&t);
    SCHED_CHECK(reqs[0].rq_done == 1, "%u iodone calls", reqs[0].rq_done);
    small_down();
}

static void run_stop_back_lane(const struct det_strategy *st, uint64_t seed)
{
    run_lane_back(st, seed, SCIOSTOP);
}
static void run_halt_back_lane(const struct det_strategy *st, uint64_t seed)
{
    run_lane_back(st, seed, SCIOHALT);
}

/* ---------------------------------------------------------------- a thread that is deep against the order */

/*
 * Two levels deep in iodone routines a thread ends a command with an error; another one submits, and is
 * refused. The error is told first, although the first thread must put its telling off.
 */
static struct buf deep_bufs[2];

static void deep_ends(struct buf *bp)
{
    (void)bp;
    (void)small_end();
}
static void deep_nests(struct buf *bp)
{
    (void)bp;
    iodone(&deep_bufs[1]);
}
static void deep_thread(void *arg)
{
    (void)arg;
    iodone(&deep_bufs[0]);
}

static void run_deep_order(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_chip_prepare();
    chip.ch_pends = true;
    small_up(st, seed);
    memset(deep_bufs, 0, sizeof(deep_bufs));
    deep_bufs[0].b_iodone = deep_nests;
    deep_bufs[1].b_iodone = deep_ends;
    small_send(small_req(0, 0, SMALL_CHECK));
    (void)small_req(1, 0, SMALL_GOOD);
    SCHED_CHECK(shim_thread_start(&t[0], deep_thread, NULL, "deep") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], small_submit, &reqs[1], "submits") == 0, "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    while (small_end())
        ;
    small_wait_done(2);
    SCHED_CHECK(small_errno(&reqs[1]) != ENXIO || reqs[0].rq_order < reqs[1].rq_order,
                "ENXIO of request 1 came before the EIO that is its cause");
    small_down();
}

static const struct sched_program programs[] = {
    {"turn-wait", "an iodone routine whose turn has begun is waited for", run_turn_wait, false, NULL},
    {"turn-waiters", "the same, and somebody else waits for another key", run_turn_waiters, false, NULL},
    {"turn-timer", "the same, a timer beside the thread", run_turn_timer, false, NULL},
    {"turn-interrupt", "the same, the timer on top of the thread", run_turn_timer, true, NULL},
    {"turn-begin", "the timer on top where the turn begins", run_turn_begin, true, NULL},
    {"turn-younger", "younger turns, and those of another key, keep nobody", run_turn_younger, false, NULL},
    {"turn-neighbour", "who waits for another key keeps nobody", run_turn_neighbour, false, NULL},
    {"stop-back-lane", "SCIOSTOP returns after the last iodone of the lane", run_stop_back_lane, false, NULL},
    {"halt-back-lane", "SCIOHALT returns after the last iodone of the lane", run_halt_back_lane, false, NULL},
    {"deep-order", "an error is told first by a thread that must put it off, too", run_deep_order, false,
     NULL},
};
const struct small_group small_turn = {"turn", programs, SC_ARRAY_SIZE(programs)};
