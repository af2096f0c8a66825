/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_main.c - the command line of scpair-sim.
 */
#define _GNU_SOURCE
#include "fib.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "scpair-sim: the whole driver pair with several callers at once, one schedule a seed.\n"
    "\n"
    "Everything that happens in a run comes from its seed: the adapters and disks, who calls them and\n"
    "how, which faults there are, and which thread goes on at each of some ten thousand points. The same\n"
    "seed is the same run, in every build of the same sources.\n"
    "\n"
    "  scpair-sim --seeds 1-1000            a thousand runs, two at once\n"
    "  scpair-sim --seeds 1-1000 --jobs 8   or more at once\n"
    "  scpair-sim --seed 17                 one run, with what its world is made of\n"
    "  scpair-sim --seed 17 --shrink        what it takes to fail: a story of the switches that matter\n"
    "  scpair-sim --seed 17 --trace         a line for every point: number, virtual time, fibre, where\n"
    "  scpair-sim --file FILE               seeds that once failed, one a line: SEED [KIND] [# comment]\n"
    "  scpair-sim --seeds A-B --known FILE  good when exactly the seeds of FILE fail, each in its way\n"
    "  scpair-sim --known FILE              the same of nothing but the seeds of FILE\n"
    "  --without KIND                       not to look for one kind of failure, to see what is behind it\n"
    "                                       (late-*, last-iodone, enxio-first, after-halt, disorder, order,\n"
    "                                       wedged, starved)\n"
    "  --json                               the result as JSON\n"
    "\n"
    "The first line about a failure says how to see it again. Its kind is in brackets:\n"
    "  data         wrong data                        order        the first of two writes won\n"
    "  error        an errno that nothing explains    late-iodone  after SCIOHALT, SCIOSTOP, close\n"
    "  late-event   the same of an event               after-halt   a command reached the device\n"
    "  enxio-first  ENXIO before its cause\n"
    "  last-iodone  somebody is inside a LUN          disorder     what was thrown back comes out of order\n"
    "               that was given back               twice        a request came back twice\n"
    "  touched      a request after it was given back wedged       a lost command holds up others\n"
    "  starved      a thread in iodone holds up others\n"
    "  late-halt, late-stop, late-close, late-open, late-ioctl, late-request: it takes too long\n"
    "  counters, manners (against the bus), leak, contract, progress, deadlock, livelock, panic (an\n"
    "  assertion), crash, sanitizer\n"
    "Exit status: 0 good, 1 a failure, 2 wrong usage.\n";

static int usage(void)
{
    fprintf(stderr,
            "usage: scpair-sim --seeds A-B [--jobs N] [--known FILE] [--json] | --file FILE | --known FILE\n"
            "       scpair-sim --seed N [--shrink] [--trace]     (--help says more)\n");
    return 2;
}

/* One seed, in detail. */
static int one(uint64_t seed, bool shrink, bool trace)
{
    struct sched s = {.s_result = sched_result_new()};
    const bool terminal = isatty(STDOUT_FILENO) != 0;
    bool ok;

    fib_choose_schedule(&s, seed);
    fib_choose(&fib_world, seed);
    fib_describe(&fib_world, &s);
    fib_tracing = trace;
    ok = fib_seed_run(seed, &s, trace);
    fib_tracing = false;
    printf("seed %llu: %s, %llu points, %llu decisions, %u deviations, digest %016llx\n",
           (unsigned long long)seed, ok ? "good" : "FAILS", (unsigned long long)s.s_result->r_points,
           (unsigned long long)s.s_result->r_decisions, s.s_result->r_ndeviations,
           (unsigned long long)s.s_result->r_digest);
    if (ok)
        return 0;
    printf("[%s] %s\n", fib_failure_kind(s.s_result->r_text), s.s_result->r_text);
    if (shrink) {
        const uint32_t before = s.s_result->r_ndeviations;
        const uint32_t runs = sched_shrink(&s, &fib_program, s.s_result, terminal);

        printf("  %u deviations, shrunk in %u runs to %u:\n", before, runs, s.s_result->r_ndeviations);
        sched_tell(&s, &fib_program, s.s_result);
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct fib_batch b = {.b_jobs = 2, .b_progress = isatty(STDOUT_FILENO) != 0};
    bool single = false, shrink = false, trace = false, have = false;
    unsigned without = 0;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        unsigned long long first, last;
        char end;

        if (strcmp(arg, "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(arg, "--shrink") == 0) {
            shrink = true;
        } else if (strcmp(arg, "--trace") == 0) {
            trace = true;
        } else if (strcmp(arg, "--json") == 0) {
            b.b_json = true;
            b.b_progress = false;
        } else if (!*value) {
            return usage();
        } else if (strcmp(arg, "--seed") == 0 && sscanf(value, "%llu%c", &first, &end) == 1) {
            b.b_first = first;
            single = true;
            i++;
        } else if (strcmp(arg, "--seeds") == 0 && sscanf(value, "%llu-%llu%c", &first, &last, &end) == 2 &&
                   first <= last) {
            b.b_first = first;
            b.b_last = last;
            have = true;
            i++;
        } else if (strcmp(arg, "--jobs") == 0 && sscanf(value, "%llu%c", &first, &end) == 1 && first > 0 &&
                   first <= 256) {
            b.b_jobs = (unsigned)first;
            i++;
        } else if (strcmp(arg, "--without") == 0 && without < FIB_WITHOUT_MAX) {
            fib_without[without++] = value;
            i++;
        } else if (strcmp(arg, "--known") == 0) {
            b.b_known = value;
            i++;
        } else if (strcmp(arg, "--file") == 0) {
            b.b_file = value;
            i++;
        } else {
            return usage();
        }
    }
    if (b.b_known && !have && !single && !b.b_file)
        b.b_file = b.b_known;
    if (single + have + (b.b_file != NULL) != 1 || ((shrink || trace) && !single) ||
        (b.b_known && !have && b.b_file != b.b_known))
        return usage();
    return single ? one(b.b_first, shrink, trace) : fib_batch_run(&b);
}
