/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small.c - the command line of the small programs: every schedule with so many preemptions, one after the other.
 *
 *   sim_small [--preemptions N] [--json] [NAME ...]   search; all of them without a name
 *   sim_small --list
 */
#define _POSIX_C_SOURCE 200809L
#include "small.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool search(const struct sched_program *p, uint32_t preemptions)
{
    struct sched s = {.s_preemptions = preemptions, .s_result = sched_result_new()};
    const double start = seconds();
    const bool ok = sched_search(&s, p, isatty(STDOUT_FILENO) != 0);
    const struct sched_result *r = s.s_result;

    printf("%-20s %s: %llu schedules with at most %u preemptions, %llu points in the last, %.1f s\n", p->p_name,
           ok ? "holds" : "FAILS", (unsigned long long)r->r_schedules + !ok, preemptions,
           (unsigned long long)r->r_points, seconds() - start);
    if (!ok) {
        printf("  %s\n  %u deviations, shrunk in %u runs to", r->r_text, r->r_ndeviations,
               sched_shrink(&s, p, s.s_result, isatty(STDOUT_FILENO) != 0));
        printf(" %u:\n", r->r_ndeviations);
        sched_tell(&s, p, r);
    }
    return ok;
}

int main(int argc, char **argv)
{
    uint32_t preemptions = 2;
    bool named = false, ok = true;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--preemptions") == 0 && i + 1 < argc) {
            preemptions = (uint32_t)strtoul(argv[++i], NULL, 10);
            continue;
        }
        named = true;
        for (unsigned k = 0; k < small_adapter_nprograms; k++)
            if (strcmp(argv[i], small_adapter_programs[k].p_name) == 0)
                ok &= search(&small_adapter_programs[k], preemptions);
    }
    for (unsigned k = 0; !named && k < small_adapter_nprograms; k++)
        ok &= search(&small_adapter_programs[k], preemptions);
    return ok ? 0 : 1;
}
