/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_time.c - the adapter core against time and against its neighbours: a slow chip's completion meets the
 * timeout or a halt, and credits go from one LUN to the other.
 */
#include "small.h"

#define SECOND UINT64_C(1000000000)

/* ---------------------------------------------------------------- completion against abort */

static void send_next(struct small_req *r) { small_send(r + 1); }

static void end_at(void *arg)
{
    shim_delay_ns(*(const uint64_t *)arg);
    (void)small_end();
}

/*
 * A command ends at the moment at which its time is up. Its owner sends the next from iodone; that one must
 * not get the abort that was meant for the first.
 */
static void run_end_abort(const struct det_strategy *st, uint64_t seed)
{
    static const uint64_t when = SECOND;
    struct shim_thread t;
    int error;

    small_chip_prepare();
    chip.ch_tags = 1;
    small_up(st, seed);
    small_req(0, 0, SMALL_LATER)->rq_sb.timeout_value = 1;
    reqs[0].rq_then = send_next;
    (void)small_req(1, 0, SMALL_LATER);
    reqs[1].rq_sb.flags = SC_RESUME; /* the first may have timed out */
    small_send(&reqs[0]);
    SCHED_CHECK(shim_thread_start(&t, end_at, (void *)(uintptr_t)&when, "chip") == 0, "no fibre");
    shim_thread_join(&t);
    shim_delay_ns(2 * SECOND); /* whoever wants to abort has done so */
    error = small_errno(&reqs[0]);
    SCHED_CHECK(reqs[0].rq_done == 1 && (error == 0 || error == EIO), "%u iodone calls, errno %d",
                reqs[0].rq_done, error);
    SCHED_CHECK(reqs[1].rq_done == 0 || error == EIO, "the abort hit the next command");
    (void)small_end();
    small_wait_done(2);
    SCHED_CHECK(small_errno(&reqs[1]) == 0, "the second: errno %d", small_errno(&reqs[1]));
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- completion against a target reset */

static void run_end_reset(const struct det_strategy *st, uint64_t seed)
{
    static const uint64_t when = 6 * SECOND;
    struct shim_thread t;

    small_chip_prepare();
    chip.ch_heeds = SMALL_RESET_TARGET;
    small_up(st, seed);
    small_req(0, 0, SMALL_LATER)->rq_sb.timeout_value = 1;
    small_send(&reqs[0]);
    SCHED_CHECK(shim_thread_start(&t, end_at, (void *)(uintptr_t)&when, "chip") == 0, "no fibre");
    shim_thread_join(&t);
    small_wait_done(1);
    shim_delay_ns(SECOND);
    SCHED_CHECK(reqs[0].rq_done == 1, "%u iodone calls", reqs[0].rq_done);
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- SCIOHALT against the timeout */

static void run_halt_timeout(const struct det_strategy *st, uint64_t seed)
{
    static const uint64_t when = SECOND;
    struct shim_thread t;

    small_chip_prepare();
    small_up(st, seed);
    small_req(0, 0, SMALL_LATER)->rq_sb.timeout_value = 1;
    small_send(&reqs[0]);
    SCHED_CHECK(shim_thread_start(&t, end_at, (void *)(uintptr_t)&when, "chip") == 0, "no fibre");
    shim_delay_ns(SECOND);
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    shim_thread_join(&t);
    shim_delay_ns(SECOND);
    SCHED_CHECK(reqs[0].rq_done == 1, "%u iodone calls", reqs[0].rq_done);
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- a command that does not come back (d3) */

#define LOST_SECONDS 120u /* two timeouts, the ladder, and what SCIOSTOP waits before it */

enum lost_end { LOST_HALT, LOST_STOP, LOST_CLOSE };

/* All n are back, in bounded time. */
static void lost_wait(uint64_t since, uint32_t n)
{
    for (;;) {
        uint32_t done = 0, first = 0;

        for (uint32_t i = n; i-- > 0;) {
            done += reqs[i].rq_done;
            if (reqs[i].rq_done == 0)
                first = i;
        }
        if (done == n)
            return;
        SCHED_CHECK(shim_now_ns() < since + LOST_SECONDS * SECOND,
                    "request %u is not back %u seconds after the LUN was to end", first, LOST_SECONDS);
        (void)shim_wait(&small_event, NULL, since + LOST_SECONDS * SECOND);
    }
}

/*
 * The chip has a command and does not answer, and what of the ladder comes before `rung` does not help. The
 * LUN is ended while another request is on its way there. What brings the command back or declares it lost,
 * and when, is the ladder's matter; but it ends, for everybody.
 */
static void run_lost(const struct det_strategy *st, uint64_t seed, enum small_rung rung, enum lost_end by)
{
    struct shim_thread t;
    uint32_t n = 2;
    uint64_t since;
    int error;

    small_chip_prepare();
    chip.ch_heeds = (uint8_t)rung;
    small_up(st, seed);
    small_req(0, 0, SMALL_LATER)->rq_sb.timeout_value = 1;
    small_send(&reqs[0]);
    small_req(1, 0, SMALL_GOOD)->rq_sb.timeout_value = 1;
    since = shim_now_ns();
    SCHED_CHECK(shim_thread_start(&t, small_submit, &reqs[1], "follows") == 0, "no fibre");
    if (by == LOST_CLOSE)
        error = fp_close(small_fp);
    else
        error = fp_ioctl(small_fp, by == LOST_STOP ? SCIOSTOP : SCIOHALT, SC_ARG(1, 0), 0);
    SCHED_CHECK(shim_now_ns() <= since + LOST_SECONDS * SECOND, "it took %u seconds",
                (unsigned)((shim_now_ns() - since) / SECOND));
    SCHED_CHECK(error == 0 || rung == SMALL_LOST, "ended with %d", error);
    if (by == LOST_CLOSE)
        small_fp = NULL;
    shim_thread_join(&t);
    if (by == LOST_HALT) {
        n = 3;
        small_req(2, 0, SMALL_GOOD)->rq_sb.timeout_value = 1;
        reqs[2].rq_sb.flags = SC_RESUME;
        small_send(&reqs[2]);
    }
    lost_wait(since, n);
    SCHED_CHECK(small_errno(&reqs[0]) != 0, "a command that never answered is said to be good");
    SCHED_CHECK(n == 2 || rung == SMALL_LOST || small_errno(&reqs[2]) == 0, "after the halt: errno %d",
                small_errno(&reqs[2]));
    small_down(); /* whatever has become of it, it can be closed and detached */
}

#define LOST(name, rung, by)                                                                                 \
    static void run_##name(const struct det_strategy *st, uint64_t seed) { run_lost(st, seed, rung, by); }
LOST(deaf_halt, SMALL_RESET_TARGET, LOST_HALT)
LOST(deaf_stop, SMALL_RESET_TARGET, LOST_STOP)
LOST(deaf_close, SMALL_RESET_TARGET, LOST_CLOSE)
LOST(stuck_halt, SMALL_RESET_BUS, LOST_HALT)
LOST(stuck_close, SMALL_RESET_BUS, LOST_CLOSE)
LOST(lost_halt, SMALL_LOST, LOST_HALT)
LOST(lost_stop, SMALL_LOST, LOST_STOP)
LOST(lost_close, SMALL_LOST, LOST_CLOSE)

/* ---------------------------------------------------------------- credits */

static void credits_up(const struct det_strategy *st, uint64_t seed, uint32_t credits, uint32_t luns)
{
    small_chip_prepare();
    chip.ch_commands = credits;
    small_up(st, seed);
    for (uint32_t i = 1; i < luns; i++)
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, i), 0) == 0, "SCIOSTART failed");
}

static void credits_down(void)
{
    const struct ad_adapter *adp = ad_find(SMALL_DEVNO);

    SCHED_CHECK(adp->adp_credits_free == adp->adp_credits && !adp->adp_wait_head, "%u of %u credits are free",
                (unsigned)adp->adp_credits_free, (unsigned)adp->adp_credits);
    small_check();
    small_down();
}

/* One credit, three LUNs, and each of them once. */
static void run_credit_three(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[3];

    credits_up(st, seed, 1, 3);
    for (uint32_t i = 0; i < 3; i++)
        SCHED_CHECK(shim_thread_start(&t[i], small_submit, small_req(i, (uint8_t)i, SMALL_GOOD),
                                      i == 0   ? "lun 0"
                                      : i == 1 ? "lun 1"
                                               : "lun 2") == 0,
                    "no fibre");
    for (uint32_t i = 0; i < 3; i++)
        shim_thread_join(&t[i]);
    small_wait_done(3);
    credits_down();
}

static void end_one(void *arg)
{
    (void)arg;
    SCHED_CHECK(small_end(), "the chip has lost a command");
}

/* The one credit comes back while two LUNs ask for it. */
static void run_credit_later(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[3];

    credits_up(st, seed, 1, 3);
    small_send(small_req(0, 0, SMALL_LATER));
    for (uint32_t i = 0; i < 2; i++)
        SCHED_CHECK(shim_thread_start(&t[i], small_submit, small_req(i + 1, (uint8_t)(i + 1), SMALL_GOOD),
                                      i == 0 ? "lun 1" : "lun 2") == 0,
                    "no fibre");
    SCHED_CHECK(shim_thread_start(&t[2], end_one, NULL, "chip") == 0, "no fibre");
    for (uint32_t i = 0; i < 3; i++)
        shim_thread_join(&t[i]);
    small_wait_done(3);
    credits_down();
}

/* A LUN that waits for a credit, or has just been granted one, is halted, stopped and started again, or both.
 */
static void run_credit_end(const struct det_strategy *st, uint64_t seed, bool halt, bool stop)
{
    struct shim_thread t[2];

    credits_up(st, seed, 1, 2);
    small_send(small_req(0, 0, SMALL_LATER));
    SCHED_CHECK(shim_thread_start(&t[0], small_submit, small_req(1, 1, SMALL_GOOD), "lun 1") == 0,
                "no fibre");
    SCHED_CHECK(shim_thread_start(&t[1], end_one, NULL, "chip") == 0, "no fibre");
    if (halt)
        SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 1), 0) == 0, "SCIOHALT failed");
    if (stop) {
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTOP, SC_ARG(1, 1), 0) == 0, "SCIOSTOP failed");
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, 1), 0) == 0, "SCIOSTART failed");
    }
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_wait_done(2);
    credits_down();
}

static void run_credit_stop(const struct det_strategy *st, uint64_t seed)
{
    run_credit_end(st, seed, false, true);
}
static void run_credit_halt(const struct det_strategy *st, uint64_t seed)
{
    run_credit_end(st, seed, true, false);
}
static void run_credit_halt_stop(const struct det_strategy *st, uint64_t seed)
{
    run_credit_end(st, seed, true, true);
}

/*
 * Who gives the credit back looks after the LUN that waits for it, when nothing in that LUN shows it any
 * more: its request has been thrown back meanwhile. The adapter goes only after him.
 */
static void run_credit_gone(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    credits_up(st, seed, 1, 2);
    small_send(small_req(0, 0, SMALL_LATER));
    small_send(small_req(1, 1, SMALL_GOOD));
    SCHED_CHECK(shim_thread_start(&t, end_one, NULL, "chip") == 0, "no fibre");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 1), 0) == 0, "SCIOHALT failed");
    small_wait_done(2);
    SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
    small_fp = NULL;
    SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "detach failed");
    small_attached = false;
    shim_thread_join(&t);
    small_down();
}

#define PASSED_MAX 4u
static uint32_t passed; /* younger requests that have started before the one that waits */

static void count_passed(struct ad_xfer *x)
{
    if (x->xfer_lun == 2)
        passed = 0;
    else if (small_orders != 0 && reqs[2].rq_done == 0)
        SCHED_CHECK(++passed <= PASSED_MAX, "LUN 2 has been granted a credit; %u younger requests went first",
                    passed);
}

/* In iodone: all credits come back, and then the thread keeps its own LUN busy for a while. */
static void busy_iodone(struct small_req *r)
{
    (void)r;
    (void)small_end();
    for (uint32_t i = 0; i < 2 * PASSED_MAX; i++)
        small_send(small_req(4 + i, 1, SMALL_GOOD));
}

/* Who has a credit but depends on a thread that is inside iodone must not wait until it returns. (p4) */
static void run_credit_passed(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    credits_up(st, seed, 2, 3);
    passed = 0;
    chip.ch_on_start = count_passed;
    small_req(0, 0, SMALL_LATER)->rq_then = busy_iodone;
    small_send(&reqs[0]);
    small_send(small_req(1, 1, SMALL_LATER));
    small_send(small_req(2, 2, SMALL_GOOD));
    SCHED_CHECK(shim_thread_start(&t, end_one, NULL, "chip") == 0, "no fibre");
    shim_thread_join(&t);
    small_wait_done(3 + 2 * PASSED_MAX);
    credits_down();
}

/* While the one credit is in use, the other LUN begins to wait for it. */
static void other_waits(struct ad_xfer *x)
{
    if (x->xfer_lun == 0)
        small_send(&reqs[1]);
}

static void take_away(void *arg)
{
    (void)arg;
    SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "detach failed");
    small_attached = false;
}

/*
 * A thread ends its command, and with the credit goes on to another LUN. It finds that stopped, and then its
 * own is, and the adapter is taken away: which stays until the thread is out of it.
 */
static void run_credit_detach(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    credits_up(st, seed, 1, 2);
    chip.ch_on_start = other_waits;
    (void)small_req(0, 0, SMALL_GOOD);
    (void)small_req(1, 1, SMALL_GOOD);
    SCHED_CHECK(shim_thread_start(&t[0], small_submit, &reqs[0], "lun 0") == 0, "no fibre");
    small_wait_done(1);
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 1), 0) == 0, "SCIOHALT failed");
    SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
    small_fp = NULL;
    SCHED_CHECK(shim_thread_start(&t[1], take_away, NULL, "detach") == 0, "no fibre");
    for (uint32_t i = 2; i-- > 0;)
        shim_thread_join(&t[i]);
    small_wait_done(2);
    small_down();
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"end-abort", "a command ends while it is aborted; the next is left alone", run_end_abort, false, NULL},
    {"end-abort-interrupt", "the same, the timer on top of a thread", run_end_abort, true, NULL},
    {"end-reset", "a command ends while its target is reset", run_end_reset, false, NULL},
    {"halt-timeout", "SCIOHALT, the end and the timeout of a command", run_halt_timeout, false, NULL},
    {"halt-timeout-interrupt", "the same, the timer on top of a thread", run_halt_timeout, true, NULL},
    {"deaf-halt", "SCIOHALT, and the chip loses the abort", run_deaf_halt, false, NULL},
    {"deaf-stop", "the same with SCIOSTOP", run_deaf_stop, false, NULL},
    {"deaf-close", "the same with close", run_deaf_close, false, NULL},
    {"stuck-halt", "SCIOHALT, and only the bus reset helps", run_stuck_halt, false, NULL},
    {"stuck-close", "the same with close", run_stuck_close, false, NULL},
    {"lost-halt", "SCIOHALT, and no reset brings the command back", run_lost_halt, false, NULL},
    {"lost-stop", "the same with SCIOSTOP", run_lost_stop, false, NULL},
    {"lost-close", "the same with close", run_lost_close, false, NULL},
    {"credit-three", "three LUNs share a credit", run_credit_three, false, NULL},
    {"credit-detach", "a LUN that was given a credit, and its adapter, go", run_credit_detach, false, NULL},
    {"credit-later", "a credit comes back while two LUNs ask for it", run_credit_later, false, NULL},
    {"credit-stop", "a LUN that waits for a credit is stopped", run_credit_stop, false, NULL},
    {"credit-halt", "a LUN that waits for a credit is halted", run_credit_halt, false, NULL},
    {"credit-halt-stop", "a LUN that waits for a credit is halted and stopped", run_credit_halt_stop, false,
     NULL},
    {"credit-gone", "an adapter goes behind who looks after a LUN that was granted a credit", run_credit_gone,
     false, NULL},
    {"credit-passed", "a granted LUN does not starve behind a thread in iodone", run_credit_passed, false,
     NULL},
};
const struct small_group small_time = {"time", programs, SC_ARRAY_SIZE(programs)};
