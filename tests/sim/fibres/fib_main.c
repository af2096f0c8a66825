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
    "  data         wrong data                        order        the second of two writes should have won\n"
    "  error        an errno that nothing explains    late-iodone  after SCIOHALT, SCIOSTOP, close\n"
    "  late-event   the same of an event               after-halt   a command reached the device\n"
    "  enxio-first  ENXIO before its cause\n"
    "  last-iodone  somebody is inside a LUN          disorder     what was thrown back comes out of order\n"
    "               that was given back               twice        a request came back twice\n"
    "  touched      a request after it was given back wedged       a lost command holds up others\n"
    "  starved      a thread in iodone holds up others\n"
    "  blame        of bad blocks: not who touches them, or not to the block\n"
    "  idle         something is held while nothing is under way\n"
    "  late-halt, late-stop, late-close, late-open, late-ioctl, late-request: it takes too long\n"
    "  counters, manners (against the bus), leak, contract, progress, deadlock, livelock, panic (an\n"
    "  assertion), crash, sanitizer\n"
    "Exit status: 0 good, 1 a failure, 2 wrong usage, or the report could not be written.\n";

static int usage(void)
{
    fprintf(stderr,
            "usage: scpair-sim --seeds A-B [--jobs N] [--known FILE] [--json] | --file FILE | --known FILE\n"
            "       scpair-sim --seed N [--shrink] [--trace]     (--help says more)\n");
    return 2;
}

/* One line that names what is wrong and what would be right. */
static int wrong(const char *arg, const char *value, const char *right)
{
    fprintf(stderr, "scpair-sim: %s%s%s: %s\n", arg, *value ? " " : "", value, right);
    return 2;
}

/* "5" or, with a second place, "5-10"; nothing besides. */
static bool numbers(const char *text, uint64_t *first, uint64_t *last)
{
    const char *end = fib_number(text, first);

    if (end && last)
        end = *end == '-' ? fib_number(end + 1, last) : NULL;
    return end && *end == '\0' && (!last || *first <= *last);
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

/* What the command line says. */
struct said {
    struct fib_batch b;
    bool single, many, shrink, trace;
    unsigned without;
};

/* An option with a value. 0, or 2 after a word about it. */
static int take_value(struct said *said, const char *arg, const char *value)
{
    struct fib_batch *b = &said->b;
    uint64_t jobs;

    if (strcmp(arg, "--seed") == 0) {
        said->single = true;
        return numbers(value, &b->b_first, NULL) ? 0
                                                 : wrong(arg, value, "a seed is a number of 64 bits, as 17");
    }
    if (strcmp(arg, "--seeds") == 0) {
        said->many = true;
        return numbers(value, &b->b_first, &b->b_last) && b->b_last - b->b_first != UINT64_MAX
                   ? 0
                   : wrong(arg, value, "say A-B, the smaller one first, as 1-200");
    }
    if (strcmp(arg, "--jobs") == 0) {
        if (!numbers(value, &jobs, NULL) || jobs < 1 || jobs > 256)
            return wrong(arg, value, "say 1 to 256");
        b->b_jobs = (unsigned)jobs;
    } else if (strcmp(arg, "--without") == 0) {
        if (!fib_can_do_without(value))
            return wrong(arg, value, "no kind that can be left out; --help lists them");
        if (fib_looked_for(value))
            fib_without[said->without++] = value;
    } else if (strcmp(arg, "--known") == 0) {
        b->b_known = value;
    } else {
        b->b_file = value;
    }
    return 0;
}

static bool has_value(const char *arg)
{
    static const char *const names[] = {"--seed", "--seeds", "--jobs", "--without", "--known", "--file"};

    for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
        if (strcmp(arg, names[i]) == 0)
            return true;
    return false;
}

/* What does not go together. 0 or 2. */
static int check(struct said *said)
{
    struct fib_batch *b = &said->b;

    if (b->b_known && !said->many && !said->single && !b->b_file)
        b->b_file = b->b_known;
    if (!said->single && !said->many && !b->b_file)
        return usage();
    if (said->single + said->many + (b->b_file != NULL) != 1)
        return wrong("--seed, --seeds, --file", "", "say one of them");
    if ((said->shrink || said->trace) && !said->single)
        return wrong(said->shrink ? "--shrink" : "--trace", "", "goes with one seed, as --seed 17");
    if (b->b_json && said->single)
        return wrong("--json", "", "goes with --seeds, --file or --known; one seed is --seeds 17-17");
    if (b->b_known && !said->many && b->b_file != b->b_known)
        return wrong("--known", b->b_known, "goes with --seeds, or stands alone");
    return 0;
}

int main(int argc, char **argv)
{
    static struct said said = {.b = {.b_jobs = 2}};
    int code = 0;

    if (!sched_output_open("scpair-sim"))
        return 2;
    for (int i = 1; i < argc && code == 0; i++) {
        const char *arg = argv[i];

        if (strcmp(arg, "--help") == 0) {
            fputs(help, stdout);
            return sched_output_done("scpair-sim", 0);
        }
        if (strcmp(arg, "--shrink") == 0)
            said.shrink = true;
        else if (strcmp(arg, "--trace") == 0)
            said.trace = true;
        else if (strcmp(arg, "--json") == 0)
            said.b.b_json = true;
        else if (!has_value(arg))
            code = wrong(arg, "", "no such option; --help lists them");
        else if (i + 1 == argc || !*argv[i + 1])
            code = wrong(arg, "", "its value is missing; --help says which");
        else
            code = take_value(&said, arg, argv[++i]);
    }
    if (code == 0)
        code = check(&said);
    if (code != 0)
        return code;
    said.b.b_progress = !said.b.b_json && isatty(STDOUT_FILENO) != 0;
    code = said.single ? one(said.b.b_first, said.shrink, said.trace) : fib_batch_run(&said.b);
    return sched_output_done("scpair-sim", code);
}
