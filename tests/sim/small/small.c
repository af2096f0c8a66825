/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small.c - the command line of the small programs: every schedule with so many preemptions, one after the
 * other.
 *
 *   sim_small [--preemptions N] [--json] [NAME ...]   search; NAME is a program or a group; none: all
 *   sim_small --list
 *
 * There is no seed: a search tries them all. A program that finds a fault of today's drivers says so in
 * p_known. With two preemptions or more the command is content (0) when exactly those fail; 1: another fails,
 * or a known one holds and has to be taken off the list; 2: no such name.
 */
#define _POSIX_C_SOURCE 200809L
#include "small.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const struct small_group *const groups[] = {
    &small_park, &small_nest,    &small_turn, &small_queue, &small_lane, &small_batch, &small_time,
    &small_life, &small_recover, &small_disk, &small_dlane, &small_gone, &small_pair,  &small_grow,
    &small_example};

#define PREEMPTIONS_MAX 9u

static const char help[] =
    "sim_small: small closed programs under every schedule with so many preemptions.\n"
    "\n"
    "  sim_small [--preemptions N] [--json] [NAME ...]   NAME is a program or a group; none: all\n"
    "  sim_small --list                                  groups, programs, what they are about\n"
    "\n"
    "N is 2 when not said. Of a program that fails the shortest schedule is told that fails so: one line a\n"
    "switch, those with > were decided. Exit status with N of 2 or more: 0 when those fail that are known "
    "to, and\n"
    "no other; 1; 2 wrong usage.\n";

static bool as_json;
static unsigned nsearched;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void json_text(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            printf("\\u%04x", (unsigned)*s);
        else
            putchar(*s);
    }
    putchar('"');
}

static void report_json(const struct sched_program *p, const struct sched_result *r, bool ok,
                        uint32_t preemptions, double took)
{
    printf("%s\n  {\"name\": \"%s\", \"verdict\": \"%s\", \"schedules\": %llu, \"preemptions\": %u, "
           "\"points\": %llu, \"seconds\": %.2f, \"known\": ",
           nsearched > 1 ? "," : "", p->p_name, ok ? "holds" : "fails",
           (unsigned long long)r->r_schedules + !ok, preemptions, (unsigned long long)r->r_points, took);
    json_text(p->p_known ? p->p_known : "");
    printf(", \"text\": ");
    json_text(ok ? "" : r->r_text);
    printf("}");
}

static void report(struct sched *s, const struct sched_program *p, bool ok, double took)
{
    struct sched_result *r = s->s_result;
    const bool terminal = isatty(STDOUT_FILENO) != 0;
    uint32_t before, runs;

    printf("%-22s %s: %llu schedules with at most %u preemptions, %llu points in the last, %.1f s\n",
           p->p_name,
           ok           ? "holds"
           : p->p_known ? "fails, as is known"
                        : "FAILS",
           (unsigned long long)r->r_schedules + !ok, s->s_preemptions, (unsigned long long)r->r_points, took);
    if (ok && p->p_known && s->s_preemptions >= 2)
        printf("  IS KNOWN TO FAIL and holds: take it off the list (%s)\n", p->p_known);
    if (ok)
        return;
    if (p->p_known)
        printf("  known: %s\n", p->p_known);
    before = r->r_ndeviations;
    runs = sched_shrink(s, p, r, terminal);
    printf("  %s\n  %u deviations, shrunk in %u runs to %u:\n", r->r_text, before, runs, r->r_ndeviations);
    sched_tell(s, p, r);
}

static bool search(const struct sched_program *p, uint32_t preemptions)
{
    static struct sched_result *result;
    struct sched s = {.s_preemptions = preemptions};
    const double start = seconds();
    bool ok;

    if (!result)
        result = sched_result_new();
    s.s_result = result;
    ok = sched_search(&s, p, !as_json && isatty(STDOUT_FILENO) != 0);
    nsearched++;
    if (as_json)
        report_json(p, s.s_result, ok, preemptions, seconds() - start);
    else
        report(&s, p, ok, seconds() - start);
    fflush(stdout);
    /* With fewer than two preemptions a known one may well hold. */
    return ok ? !p->p_known || preemptions < 2 : p->p_known != NULL;
}

/* Every program of that name or of the group of that name; NULL: all. False: one is not as it should be. */
static bool search_named(const char *name, uint32_t preemptions)
{
    bool ok = true;

    for (unsigned g = 0; g < SC_ARRAY_SIZE(groups); g++) {
        for (unsigned i = 0; i < groups[g]->sg_n; i++) {
            const struct sched_program *p = &groups[g]->sg_programs[i];

            if (name && strcmp(name, groups[g]->sg_name) != 0 && strcmp(name, p->p_name) != 0)
                continue;
            ok &= search(p, preemptions);
        }
    }
    return ok;
}

static int list(void)
{
    for (unsigned g = 0; g < SC_ARRAY_SIZE(groups); g++)
        for (unsigned i = 0; i < groups[g]->sg_n; i++)
            printf("%-7s %-22s %s%s\n", groups[g]->sg_name, groups[g]->sg_programs[i].p_name,
                   groups[g]->sg_programs[i].p_what,
                   groups[g]->sg_programs[i].p_known ? " (known to fail)" : "");
    return 0;
}

/* A program or a group. */
static bool is_name(const char *name)
{
    for (unsigned g = 0; g < SC_ARRAY_SIZE(groups); g++) {
        if (strcmp(name, groups[g]->sg_name) == 0)
            return true;
        for (unsigned i = 0; i < groups[g]->sg_n; i++)
            if (strcmp(name, groups[g]->sg_programs[i].p_name) == 0)
                return true;
    }
    return false;
}

/* --preemptions N. False, after a word about it: N is no such number. */
static bool take_preemptions(const char *value, uint32_t *out)
{
    char *end = NULL;
    const unsigned long n = value && *value >= '0' && *value <= '9' ? strtoul(value, &end, 10) : 0;

    if (end && !*end && n <= PREEMPTIONS_MAX) {
        *out = (uint32_t)n;
        return true;
    }
    fprintf(stderr, "sim_small: --preemptions %s: say 0 to %u; 3 takes minutes, more takes for ever\n",
            value ? value : "without a number", PREEMPTIONS_MAX);
    return false;
}

/* All that argv names, from 1 to n - 1; nothing: all there is. */
static int search_all(char **argv, int n, uint32_t preemptions)
{
    bool ok = true;

    if (as_json)
        printf("[");
    if (n == 1)
        ok = search_named(NULL, preemptions);
    for (int i = 1; i < n; i++)
        ok &= search_named(argv[i], preemptions);
    if (as_json)
        printf("\n]\n");
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint32_t preemptions = 2;
    int names = 1;

    if (!sched_output_open("sim_small"))
        return 2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--preemptions") == 0) {
            if (!take_preemptions(argv[++i], &preemptions))
                return 2;
        } else if (strcmp(argv[i], "--json") == 0) {
            as_json = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            return sched_output_done("sim_small", list());
        } else if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return sched_output_done("sim_small", 0);
        } else if (argv[i][0] == '-') {
            fprintf(stderr, "sim_small: %s: no such option; --help lists them\n", argv[i]);
            return 2;
        } else if (!is_name(argv[i])) {
            fprintf(stderr, "sim_small: no program or group '%s'; see sim_small --list\n", argv[i]);
            return 2;
        } else {
            argv[names++] = argv[i];
        }
    }
    return sched_output_done("sim_small", search_all(argv, names, preemptions));
}
