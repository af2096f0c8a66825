/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_lane.c - the lane: entering, leaving, closing and opening it at the same time, and the gates beside
 * it.
 */
#include "small.h"

static struct ad_lun *lane_lun(void) { return ad_lun_find(ad_find(SMALL_DEVNO), 1, 0); }

static void start_threads(struct shim_thread *t, uint32_t n)
{
    static const char *const names[] = {"first", "second", "third"};

    for (uint32_t i = 0; i < n; i++)
        SCHED_CHECK(shim_thread_start(&t[i], small_submit, &reqs[i], names[i]) == 0, "no fibre");
}

static void finish(struct shim_thread *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        shim_thread_join(&t[i]);
    small_wait_done(n);
    for (uint32_t i = 0; i < n; i++)
        SCHED_CHECK(reqs[i].rq_done == 1, "request %u: %u iodone calls", i, reqs[i].rq_done);
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- side by side */

/* A single slot is taken by one, given back, and taken by the other. */
static void run_slot(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_chip_prepare();
    chip.ch_tags = 1;
    small_up(st, seed);
    for (uint32_t i = 0; i < 2; i++)
        (void)small_req(i, 0, SMALL_GOOD);
    start_threads(t, 2);
    finish(t, 2);
}

/* Three threads, which begin at words of their own, and slots in two of them. */
static void run_words(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[3];

    small_chip_prepare();
    chip.ch_tags = 2;
    small_up(st, seed);
    for (uint32_t i = 0; i < 3; i++)
        (void)small_req(i, 0, SMALL_GOOD);
    start_threads(t, 3);
    finish(t, 3);
}

/* ---------------------------------------------------------------- closing */

static void run_close_of(const struct det_strategy *st, uint64_t seed, uint8_t qmsg, uint32_t tags)
{
    struct shim_thread t[3];

    small_chip_prepare();
    if (tags != 0)
        chip.ch_tags = tags;
    chip.ch_checks_single = true;
    small_up(st, seed);
    for (uint32_t i = 0; i < 3; i++)
        (void)small_req(i, 0, SMALL_GOOD);
    reqs[1].rq_sb.q_tag_msg = qmsg;
    start_threads(t, 3);
    finish(t, 3);
}

static void run_close(const struct det_strategy *st, uint64_t seed, uint8_t qmsg)
{
    run_close_of(st, seed, qmsg, 0);
}
static void run_close_ordered(const struct det_strategy *st, uint64_t seed)
{
    run_close(st, seed, SC_ORDERED_Q);
}
static void run_close_untagged(const struct det_strategy *st, uint64_t seed) { run_close(st, seed, SC_NO_Q); }

/* Word by word, while who finds his own without a slot goes on to one that is still open. */
static void run_words_close(const struct det_strategy *st, uint64_t seed)
{
    run_close_of(st, seed, SC_ORDERED_Q, 2);
}

/* ---------------------------------------------------------------- looked at */

/* The rules hold at any moment, and whoever looks whether they do is in nobody's way. */
static void run_look(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_chip_prepare();
    small_up(st, seed);
    for (uint32_t i = 0; i < 2; i++)
        (void)small_req(i, 0, SMALL_GOOD);
    start_threads(t, 2);
    small_check();
    small_check();
    finish(t, 2);
}

/* ---------------------------------------------------------------- opening again */

/*
 * One is in the lane while another closes it, ends as the last of a streak, and so would open it again: with
 * the first one still inside, who would give back a slot of a lane that he never entered.
 */
static void run_reopen_of(const struct det_strategy *st, uint64_t seed, uint32_t tags)
{
    struct shim_thread t[3];

    small_chip_prepare();
    if (tags != 0)
        chip.ch_tags = tags;
    small_up(st, seed);
    for (uint32_t i = 0; i < 3; i++)
        (void)small_req(i, 0, SMALL_GOOD);
    reqs[1].rq_sb.flags = SC_RESUME; /* not plain, and yet nothing it has to wait for */
    lane_lun()->lun_lane_streak = AD_LANE_STREAK - 1;
    start_threads(t, 3);
    for (uint32_t i = 0; i < 3; i++)
        shim_thread_join(&t[i]);
    /* Through whatever is open now. */
    (void)small_req(3, 0, SMALL_GOOD);
    (void)small_req(4, 0, SMALL_GOOD);
    small_send(&reqs[3]);
    small_send(&reqs[4]);
    finish(t, 0);
}

static void run_reopen(const struct det_strategy *st, uint64_t seed) { run_reopen_of(st, seed, 0); }
static void run_words_reopen(const struct det_strategy *st, uint64_t seed) { run_reopen_of(st, seed, 2); }

/* ---------------------------------------------------------------- an error in the lane */

static void run_fails(const struct det_strategy *st, uint64_t seed, bool keeps)
{
    struct shim_thread t[2];

    small_chip_prepare();
    chip.ch_keeps_queue = keeps;
    small_up(st, seed);
    (void)small_req(0, 0, SMALL_CHECK);
    (void)small_req(1, 0, SMALL_CHECK);
    start_threads(t, 2);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    for (uint32_t i = 0; i < 2; i++)
        SCHED_CHECK(small_errno(&reqs[i]) == EIO || small_errno(&reqs[i]) == ENXIO, "request %u: errno %d", i,
                    small_errno(&reqs[i]));
    finish(t, 0);
}

static void run_fails_keep(const struct det_strategy *st, uint64_t seed) { run_fails(st, seed, true); }
static void run_fails_clear(const struct det_strategy *st, uint64_t seed) { run_fails(st, seed, false); }

/* ---------------------------------------------------------------- no room */

static void make_room(void *arg)
{
    (void)arg;
    SCHED_CHECK(small_end(), "the chip has lost a command");
    if (chip.ch_room != 0)
        ad_hw_kick(chip.ch_ad); /* of the mapper the adapter driver knows by itself */
}

/*
 * The chip is full when one more comes; another thread makes room. Nobody may need the timer that stands
 * behind this: no time passes while somebody can run.
 */
static void run_room(const struct det_strategy *st, uint64_t seed, uint8_t lun, bool mapper)
{
    struct shim_thread t[2];
    uint64_t start;

    small_chip_prepare();
    if (mapper)
        chip.ch_map_room = 1;
    else
        chip.ch_room = 1;
    small_up(st, seed);
    if (lun != 0)
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, lun), 0) == 0, "SCIOSTART failed");
    start = shim_now_ns();
    for (uint32_t i = 0; i < 2; i++)
        (void)small_req(i, i == 0 ? 0 : lun, SMALL_LATER);
    small_send(&reqs[0]);
    SCHED_CHECK(shim_thread_start(&t[0], small_submit, &reqs[1], "submits") == 0, "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], make_room, NULL, "chip") == 0, "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(shim_now_ns() == start && chip.ch_nkept == 1, "the second waits for a timer");
    SCHED_CHECK(small_end(), "the chip has lost a command");
    small_wait_done(2);
    small_check();
    small_down();
}

static void run_room_tagged(const struct det_strategy *st, uint64_t seed) { run_room(st, seed, 0, false); }
static void run_room_map(const struct det_strategy *st, uint64_t seed) { run_room(st, seed, 0, true); }
static void run_room_map_other(const struct det_strategy *st, uint64_t seed) { run_room(st, seed, 1, true); }

/*
 * Two commands, of one LUN or of two, that end inside start(), and memory of one is mapped at a time; neither
 * waits for a timer.
 */
static void run_map_inside(const struct det_strategy *st, uint64_t seed, uint8_t luns)
{
    struct shim_thread t[2];
    uint64_t since;

    small_chip_prepare();
    chip.ch_map_room = 1;
    small_up(st, seed);
    if (luns == 2)
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, 1), 0) == 0, "SCIOSTART failed");
    since = shim_now_ns();
    for (uint8_t i = 0; i < 2; i++)
        (void)small_req(i, i % luns, SMALL_GOOD);
    start_threads(t, 2);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(reqs[0].rq_done == 1 && reqs[1].rq_done == 1 && shim_now_ns() == since,
                "one waits for a timer");
    finish(t, 0);
}

static void run_map_inside_one(const struct det_strategy *st, uint64_t seed) { run_map_inside(st, seed, 1); }
static void run_map_inside_two(const struct det_strategy *st, uint64_t seed) { run_map_inside(st, seed, 2); }

#define LONG_PIECES 10u /* more than a command has room for */

static struct buf long_bufs[2][LONG_PIECES];

/* Request `i` becomes a span of pages that are no neighbours. */
static void make_long(uint32_t i)
{
    struct sc_buf *sb = &small_req(i, 0, SMALL_GOOD)->rq_sb;

    memset(long_bufs[i], 0, sizeof(long_bufs[i]));
    for (uint32_t k = 0; k < LONG_PIECES; k++) {
        struct buf *bp = &long_bufs[i][k];

        bp->b_flags = B_READ;
        bp->b_un.b_addr = (void *)((uintptr_t)(2u * k + 2u) * SC_PAGE_SIZE);
        bp->b_bcount = SC_PAGE_SIZE;
        bp->av_forw = k + 1u < LONG_PIECES ? bp + 1 : NULL;
    }
    sb->bp = long_bufs[i];
    sb->bufstruct.b_bcount = LONG_PIECES * SC_PAGE_SIZE;
}

/* Two commands that need a long list, and there is one: who finds none does not miss that it has come back.
 */
static void run_long_lists(const struct det_strategy *st, uint64_t seed)
{
    const uint32_t others = (1u << AD_LONG_LISTS) - 2u;
    struct shim_thread t[2];

    small_chip_prepare();
    small_up(st, seed);
    lane_lun()->lun_long_free &= ~others;
    make_long(0);
    make_long(1);
    start_threads(t, 2);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    for (uint32_t i = 0; i < 2; i++)
        SCHED_CHECK(reqs[i].rq_done == 1 && small_errno(&reqs[i]) == 0, "request %u waits for a list", i);
    lane_lun()->lun_long_free |= others;
    finish(t, 0);
}

static void halt(void *arg)
{
    const uint64_t since = shim_now_ns();

    (void)arg;
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    SCHED_CHECK(shim_now_ns() == since, "it slept until its patience was at an end");
}

/* A request whose memory cannot be mapped, and SCIOHALT, which wants it back: something for the thread
 * sanitizer. */
static void run_map_refused(const struct det_strategy *st, uint64_t seed, uint8_t qmsg)
{
    struct shim_thread t;

    small_chip_prepare();
    chip.ch_map_never = true;
    small_up(st, seed);
    small_req(0, 0, SMALL_GOOD)->rq_sb.q_tag_msg = qmsg;
    SCHED_CHECK(shim_thread_start(&t, halt, NULL, "halts") == 0, "no fibre");
    small_send(&reqs[0]);
    finish(&t, 1);
}

static void run_map_refused_lane(const struct det_strategy *st, uint64_t seed)
{
    run_map_refused(st, seed, SC_SIMPLE_Q);
}
static void run_map_refused_queue(const struct det_strategy *st, uint64_t seed)
{
    run_map_refused(st, seed, SC_NO_Q);
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"lane-slot", "two threads and one slot", run_slot, false, NULL},
    {"lane-words", "three threads and two slots in words of their own", run_words, false, NULL},
    {"lane-words-close", "an ORDERED command closes word by word", run_words_close, false, NULL},
    {"lane-words-reopen", "closed and opened again, with two slots", run_words_reopen, false, NULL},
    {"lane-close-ordered", "an ORDERED command among SIMPLE ones goes to the chip alone", run_close_ordered,
     false, NULL},
    {"lane-close-untagged", "an untagged command among SIMPLE ones goes to the chip alone",
     run_close_untagged, false, NULL},
    {"lane-look", "somebody looks at the LUN meanwhile", run_look, false, NULL},
    {"lane-reopen", "the lane is closed and opened again below one who is in it", run_reopen, false, NULL},
    {"lane-fails-keep", "two errors in the lane, the queue is kept", run_fails_keep, false, NULL},
    {"lane-fails-clear", "two errors in the lane, the queue is cleared", run_fails_clear, false, NULL},
    {"lane-room", "a full chip makes room while one more comes", run_room_tagged, false, NULL},
    {"map-room", "the same with a mapper that is full", run_room_map, false, NULL},
    {"map-room-other", "the same, and one more for another LUN", run_room_map_other, false, NULL},
    {"map-room-inside", "the same, both end inside start()", run_map_inside_one, false, NULL},
    {"map-room-luns", "the same with a LUN each", run_map_inside_two, false, NULL},
    {"long-lists", "two long spans and one list of segments", run_long_lists, false, NULL},
    {"map-refused", "a request that cannot be mapped against SCIOHALT", run_map_refused_queue, false, NULL},
    {"map-refused-lane", "the same through the lane", run_map_refused_lane, false, NULL},
};
const struct small_group small_lane = {"lane", programs, SC_ARRAY_SIZE(programs)};
