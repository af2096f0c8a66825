/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_recover.c - an adapter's recovery against everybody it has to do with: the chip's completions,
 * SCIOHALT, SCIOSTOP, close and detach, other LUNs, SCIORESET, a host short of timers.
 *
 * A command with a timeout of one second is aborted after one, overdue after six, and has a stage and what
 * settles (5.25 s) for each rung from then on.
 */
#include "small.h"

#define SECOND  UINT64_C(1000000000)
#define SETTLE  (SECOND / 4)
#define RUNG(n) (6 * SECOND + ((n)-1u) * (5 * SECOND + SETTLE)) /* LUN 1, target 2, bus 3, adapter 4 */

static void start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, arg, name) == 0, "no fibre");
}

static uint64_t began;

static void at(uint64_t ns)
{
    const uint64_t now = shim_now_ns();

    if (began + ns > now)
        shim_delay_ns(began + ns - now);
}

static void up(const struct det_strategy *st, uint64_t seed, enum small_rung heeds)
{
    small_chip_prepare();
    chip.ch_heeds = (uint8_t)heeds;
    small_up(st, seed);
    began = shim_now_ns();
}

/* The i-th command, which the chip keeps. */
static void lose(uint32_t i, uint8_t lun)
{
    small_req(i, lun, SMALL_LATER)->rq_sb.timeout_value = 1;
    small_send(&reqs[i]);
}

static struct small_req *resume(uint32_t i, uint8_t lun)
{
    struct small_req *r = small_req(i, lun, SMALL_GOOD);

    r->rq_sb.flags = SC_RESUME;
    return r;
}

static void back_once(uint32_t i)
{
    SCHED_CHECK(reqs[i].rq_done == 1, "request %u: %u iodone calls", i, reqs[i].rq_done);
}

static bool no_response(const struct small_req *r)
{
    return small_errno(r) == EIO && r->rq_sb.status_validity == SC_ADAPTER_ERROR &&
           r->rq_sb.general_card_status == SC_NO_DEVICE_RESPONSE;
}

/* ---------------------------------------------------------------- the chip answers after all */

static void end_at(void *arg)
{
    at(*(const uint64_t *)arg);
    (void)small_end();
}

/* It answers at the moment of a reset. Whoever is faster, it comes back once, and the LUN goes on. */
static void run_end(const struct det_strategy *st, uint64_t seed, enum small_rung heeds, uint64_t when,
                    uint64_t takes)
{
    struct shim_thread t;

    up(st, seed, heeds);
    chip.ch_reset_ns = takes;
    lose(0, 0);
    start(&t, end_at, &when, "chip");
    small_wait_done(1);
    shim_thread_join(&t);
    shim_delay_ns(SECOND);
    small_send(resume(1, 0));
    small_wait_done(2);
    back_once(0);
    SCHED_CHECK(small_errno(&reqs[1]) == 0 || no_response(&reqs[1]), "afterwards: errno %d",
                small_errno(&reqs[1]));
    small_check();
    small_down();
}

static void run_end_lun(const struct det_strategy *st, uint64_t seed)
{
    run_end(st, seed, SMALL_RESET_LUN, RUNG(1), 0);
}
static void run_end_bus(const struct det_strategy *st, uint64_t seed)
{
    run_end(st, seed, SMALL_RESET_BUS, RUNG(3), 0);
}
static void run_end_adapter(const struct det_strategy *st, uint64_t seed)
{
    run_end(st, seed, SMALL_RESET_ADAPTER, RUNG(4), 0);
}
/* A reset tells its end at the same moment. */
static void run_end_told(const struct det_strategy *st, uint64_t seed)
{
    run_end(st, seed, SMALL_RESET_LUN, RUNG(1) + SECOND, SECOND);
}
static void run_end_told_adapter(const struct det_strategy *st, uint64_t seed)
{
    /* Each reset takes a second, and tells: a second and the settle time for a rung. */
    run_end(st, seed, SMALL_RESET_ADAPTER, 6 * SECOND + 3 * (SECOND + SETTLE) + SECOND, SECOND);
}

/* ---------------------------------------------------------------- against the end of the LUN */

enum ended { BY_HALT, BY_STOP, BY_DETACH };

static void run_ended(const struct det_strategy *st, uint64_t seed, enum small_rung heeds, uint64_t when,
                      enum ended by)
{
    struct shim_thread t;

    up(st, seed, heeds);
    lose(0, 0);
    (void)resume(1, 0);
    at(when);
    start(&t, small_submit, &reqs[1], "follows");
    if (by == BY_HALT) {
        SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
        back_once(0);
    } else if (by == BY_STOP) {
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTOP, SC_ARG(1, 0), 0) == 0, "SCIOSTOP failed");
        back_once(0);
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, 0), 0) == 0, "SCIOSTART failed");
    }
    shim_thread_join(&t);
    small_wait_done(2);
    if (by == BY_DETACH) {
        SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
        small_fp = NULL;
    } else {
        small_check();
    }
    small_down();
}

static void run_halted(const struct det_strategy *st, uint64_t seed)
{
    run_ended(st, seed, SMALL_RESET_ADAPTER, RUNG(4), BY_HALT);
}
static void run_stopped(const struct det_strategy *st, uint64_t seed)
{
    run_ended(st, seed, SMALL_RESET_ADAPTER, RUNG(4), BY_STOP);
}
static void run_stopped_cut(const struct det_strategy *st, uint64_t seed)
{
    run_ended(st, seed, SMALL_LOST, RUNG(4), BY_STOP);
}

/* The last LUN is stopped, and the adapter taken away, when the settle time is over. */
static void run_detached(const struct det_strategy *st, uint64_t seed)
{
    up(st, seed, SMALL_RESET_LUN);
    lose(0, 0);
    small_wait_done(1);
    at(RUNG(1) + SETTLE);
    SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
    small_fp = NULL;
    small_down();
}

/* The adapter has a thread, and goes while its chip tells the end of the reset that brought all back. */
static void run_detached_told(const struct det_strategy *st, uint64_t seed)
{
    small_chip_prepare();
    chip.ch_heeds = SMALL_RESET_LUN;
    chip.ch_reset_ns = SECOND;
    small_host(st, seed);
    shim_det_tunable_set("ad_thread", 1);
    small_attach();
    began = shim_now_ns();
    lose(0, 0);
    small_wait_done(1);
    SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
    small_fp = NULL;
    small_down();
}

/* ---------------------------------------------------------------- many LUNs */

static void run_coalesce(const struct det_strategy *st, uint64_t seed)
{
    small_chip_prepare();
    chip.ch_heeds = SMALL_RESET_TARGET;
    chip.ch_luns = 8;
    chip.ch_old = true;
    small_up(st, seed);
    for (uint32_t i = 1; i < 8; i++)
        SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, i), 0) == 0, "SCIOSTART failed");
    began = shim_now_ns();
    for (uint32_t i = 0; i < 8; i++)
        lose(i, (uint8_t)i);
    small_wait_done(8);
    shim_delay_ns(30 * SECOND);
    SCHED_CHECK(chip.ch_resets[AD_RESET_TARGET] == 1 && chip.ch_resets[AD_RESET_BUS] == 0,
                "%u target and %u bus resets for eight LUNs of one id", chip.ch_resets[AD_RESET_TARGET],
                chip.ch_resets[AD_RESET_BUS]);
    small_down();
}

/* A neighbour's request goes on its way while the bus is about to be reset. */
static void run_neighbour(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    up(st, seed, SMALL_RESET_ADAPTER);
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, 1), 0) == 0, "SCIOSTART failed");
    lose(0, 0);
    (void)small_req(1, 1, SMALL_LATER);
    reqs[1].rq_sb.timeout_value = 0;
    at(RUNG(2) + 5 * SECOND); /* the settle time: LUN 1 is gated */
    start(&t, small_submit, &reqs[1], "neighbour");
    shim_thread_join(&t);
    small_wait_done(1);
    shim_delay_ns(5 * SECOND);
    (void)small_end();
    small_wait_done(2);
    back_once(1);
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- settle time */

static void not_before(struct ad_xfer *x)
{
    /* Before the reset is as good as after it. */
    SCHED_CHECK(x->xfer_cdb[0] != SMALL_GOOD || chip.ch_resets[AD_RESET_LUN] == 0 ||
                    shim_now_ns() >= began + RUNG(1) + SETTLE,
                "a command is sent %u ms after the reset",
                (unsigned)((shim_now_ns() - began - RUNG(1)) / 1000000));
}

static void run_settle(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    up(st, seed, SMALL_RESET_LUN);
    chip.ch_on_start = not_before;
    lose(0, 0);
    (void)resume(1, 0);
    reqs[1].rq_sb.flags = 0;
    at(RUNG(1));
    start(&t, small_submit, &reqs[1], "submits");
    shim_thread_join(&t);
    small_wait_done(2);
    shim_delay_ns(SECOND);
    small_send(resume(2, 0));
    small_wait_done(3);
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- out of service and back */

static void reset_it(void *arg)
{
    (void)arg;
    SCHED_CHECK(fp_ioctl(small_fp, SCIORESET, SC_ARG(1, 0), 0) == 0, "SCIORESET failed");
}

static void run_back(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    up(st, seed, SMALL_RESET_ADAPTER);
    lose(0, 0);
    small_wait_done(1);
    at(RUNG(4) + SECOND);
    (void)resume(1, 0);
    start(&t, small_submit, &reqs[1], "asks");
    reset_it(NULL);
    shim_thread_join(&t);
    small_wait_done(2);
    SCHED_CHECK(small_errno(&reqs[1]) == 0 || no_response(&reqs[1]), "out of service: errno %d",
                small_errno(&reqs[1]));
    small_send(resume(2, 0));
    small_wait_done(3);
    SCHED_CHECK(small_errno(&reqs[2]) == 0, "in service again: errno %d", small_errno(&reqs[2]));
    small_check();
    small_down();
}

static struct ad_xfer *lost;
static void tell_late(void *arg)
{
    (void)arg;
    ad_hw_done(chip.ch_ad, lost);
}

/* A chip that breaks its contract: it ends what it had before the adapter reset. */
static void run_late(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    up(st, seed, SMALL_RESET_ADAPTER);
    lose(0, 0);
    lost = chip.ch_kept[0];
    small_wait_done(1);
    at(RUNG(4) + SECOND);
    (void)resume(1, 0);
    start(&t, small_submit, &reqs[1], "asks");
    tell_late(NULL);
    shim_thread_join(&t);
    small_wait_done(2);
    back_once(0);
    back_once(1);
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- SCIORESET */

static void run_resets(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    up(st, seed, SMALL_RESET_TARGET);
    small_send(small_req(0, 0, SMALL_LATER));
    start(&t, reset_it, NULL, "other");
    reset_it(NULL);
    SCHED_CHECK(chip.ch_resets[AD_RESET_TARGET] >= 1 && reqs[0].rq_done == 1,
                "it has returned before its reset");
    shim_thread_join(&t);
    SCHED_CHECK(chip.ch_resets[AD_RESET_TARGET] <= 2, "%u resets for two", chip.ch_resets[AD_RESET_TARGET]);
    small_check();
    small_down();
}

static void run_reset_halt(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    up(st, seed, SMALL_RESET_TARGET);
    small_send(small_req(0, 0, SMALL_LATER));
    start(&t, reset_it, NULL, "reset");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    shim_thread_join(&t);
    small_wait_done(1);
    small_send(resume(1, 0));
    small_wait_done(2);
    SCHED_CHECK(small_errno(&reqs[1]) == 0, "afterwards: errno %d", small_errno(&reqs[1]));
    small_check();
    small_down();
}

/* ---------------------------------------------------------------- a host short of timers */

static void run_timer(const struct det_strategy *st, uint64_t seed, uint32_t k)
{
    up(st, seed, SMALL_RESET_BUS);
    lose(0, 0);
    shim_fail_set(SHIM_FAIL_TIMER, k, false);
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    back_once(0);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    small_send(resume(1, 0));
    small_wait_done(2);
    SCHED_CHECK(small_errno(&reqs[1]) == 0, "afterwards: errno %d", small_errno(&reqs[1]));
    small_check();
    small_down();
}

#define TIMER(k)                                                                                             \
    static void run_timer_##k(const struct det_strategy *st, uint64_t seed) { run_timer(st, seed, k); }
TIMER(1)
TIMER(2)
TIMER(3)
TIMER(4)

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"end-lun-reset", "a command ends while its LUN is reset", run_end_lun, false, NULL},
    {"end-bus-reset", "the same with the bus", run_end_bus, false, NULL},
    {"end-adapter-reset", "the same with the adapter, which hands nothing back", run_end_adapter, false,
     NULL},
    {"end-reset-told", "a command ends when a reset tells its end", run_end_told, false, NULL},
    {"end-adapter-told", "the same with the adapter", run_end_told_adapter, false, NULL},
    {"end-adapter-interrupt", "end-adapter-reset, timers on top of a thread", run_end_adapter, true, NULL},
    {"ladder-halt", "SCIOHALT beside an adapter reset", run_halted, false, NULL},
    {"ladder-stop", "SCIOSTOP beside an adapter reset", run_stopped, false, NULL},
    {"ladder-stop-cut", "SCIOSTOP while the chip is cut off", run_stopped_cut, false, NULL},
    {"ladder-detach", "close and detach at the end of the settle time", run_detached, false, NULL},
    {"ladder-detach-interrupt", "the same, timers on top of a thread", run_detached, true, NULL},
    {"ladder-detach-told", "detach while the end of a reset is told, with the adapter's thread",
     run_detached_told, false, NULL},
    {"coalesce", "eight LUNs of one id cost one target reset", run_coalesce, false, NULL},
    {"ladder-neighbour", "a neighbour's command on its way when the bus is reset", run_neighbour, false,
     NULL},
    {"settle", "nothing is sent before the devices have come to", run_settle, false, NULL},
    {"offline-back", "a LUN out of service is asked, and reset", run_back, false, NULL},
    {"late-done", "a chip ends what was taken back", run_late, false, NULL},
    {"reset-reset", "two SCIORESET", run_resets, false, NULL},
    {"reset-halt", "SCIORESET and SCIOHALT", run_reset_halt, false, NULL},
    {"ladder-timer-1", "the first timer is not to be had", run_timer_1, false, NULL},
    {"ladder-timer-2", "the second", run_timer_2, false, NULL},
    {"ladder-timer-3", "the third", run_timer_3, false, NULL},
    {"ladder-timer-4", "the fourth", run_timer_4, false, NULL},
};
const struct small_group small_recover = {"recover", programs, SC_ARRAY_SIZE(programs)};
