/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_example.c - a program that is wrong by intent: what a failure looks like, for docs/simulation.md, and
 * something that is known to fail when nothing else is.
 */
#include "small.h"

#include "shim/det/det_impl.h"

static uint32_t total;

static void add_one(void *arg)
{
    const uint32_t seen = total;

    (void)arg;
    shim_det_mark();
    total = seen + 1;
}

static void run_example(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_host(st, seed);
    total = 0;
    for (uint32_t i = 0; i < 2; i++)
        SCHED_CHECK(shim_thread_start(&t[i], add_one, NULL, i == 0 ? "first" : "second") == 0, "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(total == 2, "two have added one each, and the sum is %u", total);
    small_down();
}

static const struct sched_program programs[] = {
    {"example", "two threads add to a number", run_example, false,
     "they do so without a lock, to show what a failure looks like"},
};
const struct small_group small_example = {"example", programs, SC_ARRAY_SIZE(programs)};
