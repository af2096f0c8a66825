/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_batch.c - a chip that holds commands back until flush(): nothing stays there, whoever comes between.
 */
#include "small.h"

static void batch_up(const struct det_strategy *st, uint64_t seed)
{
    small_chip_prepare();
    chip.ch_pends = chip.ch_batches = true;
    small_up(st, seed);
    for (uint32_t i = 0; i < 3; i++)
        (void)small_req(i, 0, SMALL_GOOD);
    small_send(&reqs[2]); /* the lane is shut from here on */
}

/* Everybody has left: nothing is held back, and what is at the chip comes home. */
static void batch_down(uint32_t n)
{
    SCHED_CHECK(chip.ch_nheld == 0, "%u commands are held back for ever", chip.ch_nheld);
    while (small_end_list())
        SCHED_CHECK(chip.ch_nheld == 0, "%u commands are held back for ever", chip.ch_nheld);
    for (uint32_t i = 0; i < n; i++)
        SCHED_CHECK(reqs[i].rq_done == 1, "request %u: %u iodone calls", i, reqs[i].rq_done);
    small_check();
    small_down();
}

static void send_plugged(void *arg)
{
    struct kern_plug plug;

    (void)arg;
    kern_plug_begin(&plug);
    small_send(&reqs[0]);
    small_send(&reqs[1]);
    kern_plug_end(&plug);
}

static void start(struct shim_thread *t, void (*fn)(void *), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, arg, name) == 0, "no fibre");
}

/* Two senders: one's flush() is for the other's command, too. */
static void run_two(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    batch_up(st, seed);
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], small_submit, &reqs[i], i ? "second" : "first");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    batch_down(3);
}

static void run_against(const struct det_strategy *st, uint64_t seed, unsigned what)
{
    struct shim_thread t;

    batch_up(st, seed);
    start(&t, send_plugged, NULL, "sender");
    if (what != 0)
        SCHED_CHECK(fp_ioctl(small_fp, what, SC_ARG(1, 0), 0) == 0, "the ioctl failed");
    else
        (void)small_end_list();
    shim_thread_join(&t);
    batch_down(3);
}

static void run_halt(const struct det_strategy *st, uint64_t seed) { run_against(st, seed, SCIOHALT); }

static void run_list(const struct det_strategy *st, uint64_t seed) { run_against(st, seed, 0); }

/* An interrupt hands back what SCIOHALT wants back. */
static void end_list(void *arg)
{
    (void)arg;
    (void)small_end_list();
}

static void run_abort(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    batch_up(st, seed);
    send_plugged(NULL);
    start(&t, end_list, NULL, "interrupt");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOHALT, SC_ARG(1, 0), 0) == 0, "SCIOHALT failed");
    shim_thread_join(&t);
    batch_down(3);
}

/* Who has a plug sleeps for what is behind it. */
static void run_sleep(const struct det_strategy *st, uint64_t seed)
{
    struct kern_plug plug;
    event_t never = EVENT_NULL;

    batch_up(st, seed);
    kern_plug_begin(&plug);
    small_send(&reqs[0]);
    (void)e_timedsleep(&never, NULL, 1000);
    SCHED_CHECK(chip.ch_nkept == 2 && chip.ch_nheld == 0, "the plug is still in");
    small_send(&reqs[1]);
    kern_plug_end(&plug);
    batch_down(3);
}

static const struct sched_program programs[] = {
    {"batch-two", "two threads send a command each", run_two, false, NULL},
    {"batch-halt", "a batch against SCIOHALT", run_halt, false, NULL},
    {"batch-list", "a batch against a list of ends", run_list, false, NULL},
    {"batch-abort", "a list of ends against SCIOHALT", run_abort, false, NULL},
    {"batch-sleep", "a plugged thread sleeps", run_sleep, false, NULL},
};
const struct small_group small_batch = {"batch", programs, SC_ARRAY_SIZE(programs)};
