/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_nest.c - iodone inside iodone: how deep, in which order, and that everything has come when it is
 * over.
 *
 * A chain's first buf is ended; each b_iodone ends the next, as a caller does whose request ends inside
 * strategy. Two threads have a chain each; or a timer has one, on a thread of its own or on top of the other
 * thread.
 */
#include "small.h"

#define NEST_N 4u

struct nest {
    struct buf ns_bufs[NEST_N];
    unsigned ns_done;   /* b_iodone calls so far: also the number of the one expected next */
    unsigned ns_active; /* of them: on the stack */
    bool ns_over;       /* the outermost iodone has returned */
};
static struct nest chains[2];

static struct nest *nest_of(struct buf *bp)
{
    return bp >= chains[1].ns_bufs && bp < chains[1].ns_bufs + NEST_N ? &chains[1] : &chains[0];
}

static void nest_done(struct buf *bp)
{
    struct nest *ns = nest_of(bp);
    const unsigned i = (unsigned)(bp - ns->ns_bufs);

    SCHED_CHECK(i == ns->ns_done, "buf %u came as number %u", i, ns->ns_done);
    SCHED_CHECK(!ns->ns_over, "buf %u came after its outermost iodone had returned", i);
    SCHED_CHECK(ns->ns_active < SHIM_IODONE_NEST, "%u deep", ns->ns_active + 1);
    ns->ns_done++;
    ns->ns_active++;
    shim_det_mark();
    if (i + 1 < NEST_N)
        iodone(&ns->ns_bufs[i + 1]);
    shim_det_mark();
    ns->ns_active--;
}

static void nest_end(void *arg)
{
    struct nest *ns = arg;

    iodone(&ns->ns_bufs[0]);
    SCHED_CHECK(ns->ns_done == NEST_N, "%u of %u have come when the outermost iodone returns", ns->ns_done,
                NEST_N);
    ns->ns_over = true;
}

/* On top of a thread inside iodone, this is as if on a thread of its own. */
static void nest_timer(struct shim_timer *t) { nest_end(t->tm_arg); }

static void nest_up(const struct det_strategy *st, uint64_t seed)
{
    small_host(st, seed);
    memset(chains, 0, sizeof(chains));
    for (unsigned c = 0; c < 2; c++)
        for (unsigned i = 0; i < NEST_N; i++)
            chains[c].ns_bufs[i].b_iodone = nest_done;
}

static void run_nest_threads(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    nest_up(st, seed);
    for (unsigned i = 0; i < 2; i++)
        SCHED_CHECK(shim_thread_start(&t[i], nest_end, &chains[i], i == 0 ? "first" : "second") == 0,
                    "no fibre");
    for (unsigned i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_down();
}

static void run_nest_timer(const struct det_strategy *st, uint64_t seed)
{
    struct shim_timer timer;
    struct shim_thread t;

    nest_up(st, seed);
    shim_timer_init(&timer, nest_timer, &chains[1]);
    SCHED_CHECK(shim_timer_arm(&timer, shim_now_ns()) == 0, "no timer");
    SCHED_CHECK(shim_thread_start(&t, nest_end, &chains[0], "thread") == 0, "no fibre");
    shim_thread_join(&t);
    shim_delay_ns(1);
    SCHED_CHECK(chains[1].ns_done == NEST_N, "%u of the timer's %u have come", chains[1].ns_done, NEST_N);
    small_down();
}

static const struct sched_program programs[] = {
    {"nest-threads", "iodone chains of two threads", run_nest_threads, false, NULL},
    {"nest-timer", "iodone chains of a thread and a timer", run_nest_timer, false, NULL},
    {"nest-interrupt", "the same, the timer on top of a thread", run_nest_timer, true, NULL},
};
const struct small_group small_nest = {"nest", programs, SC_ARRAY_SIZE(programs)};
