/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_run.c - runs whole-stack simulations by seed.
 *
 *   sim_run --seed N [--steps N] [-v]     one run, in detail
 *   sim_run --seeds FIRST-LAST            many
 *   sim_run --file FILE                   seeds of FILE: one a line, # comments (past failures)
 *   sim_run --twice N                     a seed twice: both must see exactly the same
 *
 * The first line printed on any failure, a crash included, says how to run that seed again.
 */
#define _GNU_SOURCE
#include "sim_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct world world;

/* A panic or a crash in the product: say which seed it was before dying of it. */
static void on_crash(int sig)
{
    char line[160];
    int n =
        snprintf(line, sizeof(line), "rerun: sim_run --seed %llu --steps %u -v\nFAIL crashed in step %u\n",
                 (unsigned long long)world.w_seed, world.w_steps, world.w_step);

    if (n > 0 && write(STDOUT_FILENO, line, (size_t)n) < 0)
        _exit(1);
    signal(sig, SIG_DFL);
    raise(sig);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256];
    unsigned n = 0;

    if (!f) {
        fprintf(stderr, "sim_run: %s: %s\n", path, strerror(errno));
        return 2;
    }
    while (fgets(line, sizeof(line), f)) {
        unsigned long long seed;
        unsigned steps = 0;

        if (line[0] != '#' && sscanf(line, "%llu %u", &seed, &steps) >= 1) {
            world_run(&world, seed, steps, false);
            n++;
        }
    }
    fclose(f);
    printf("sim: %u seeds of %s passed\n", n, path);
    return 0;
}

static int run_twice(uint64_t seed)
{
    uint64_t first;

    world_run(&world, seed, 0, false);
    first = world.w_digest;
    world_run(&world, seed, 0, false);
    printf("sim: seed %llu twice: %016llx %016llx\n", (unsigned long long)seed, (unsigned long long)first,
           (unsigned long long)world.w_digest);
    return first == world.w_digest ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: sim_run --seed N [--steps N] [-v] | --seeds FIRST-LAST | --file FILE | --twice N\n");
    return 2;
}

int main(int argc, char **argv)
{
    unsigned long long first = 0, last = 0, bufs = 0, errors = 0;
    bool verbose = false, twice = false, have = false;
    unsigned steps = 0;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(arg, "-v") == 0) {
            verbose = true;
            continue;
        }
        i++;
        if (strcmp(arg, "--file") == 0 && *value)
            return run_file(value);
        if (strcmp(arg, "--steps") == 0 && sscanf(value, "%u", &steps) == 1)
            continue;
        have = true;
        twice = strcmp(arg, "--twice") == 0;
        if ((strcmp(arg, "--seed") == 0 || twice) && sscanf(value, "%llu", &first) == 1)
            last = first;
        else if (strcmp(arg, "--seeds") != 0 || sscanf(value, "%llu-%llu", &first, &last) != 2 ||
                 last < first)
            return usage();
    }
    if (!have)
        return usage();
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    if (twice)
        return run_twice(first);
    for (unsigned long long seed = first; seed <= last; seed++) {
        world_run(&world, seed, steps, verbose);
        bufs += world.w_bufs;
        errors += world.w_errors;
    }
    printf("sim: seeds %llu to %llu passed: %llu bufs, %llu errors of injected faults\n", first, last, bufs,
           errors);
    return 0;
}
