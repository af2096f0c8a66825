/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz.h - what the fuzzers share: the seeded generator, MUST(), the line that says how to rerun a
 * crash or a hang, and the loop over seeds.
 *
 * Each program includes it once, with FUZZ_NAME defined. Does not contain: what is fuzzed.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FUZZ_HANG_S 60u /* one round */

static uint64_t seed, state;
static unsigned fuzz_last; /* what was being done, for the report of a crash; 0 nothing in particular */

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fuzz_on_signal(int sig)
{
    char line[160];
    int n = snprintf(line, sizeof(line), "rerun: " FUZZ_NAME " --seed %llu --seconds 0\nFAIL %s (%#x)\n",
                     (unsigned long long)seed, sig == SIGALRM ? "hangs" : "crash", fuzz_last);

    if (n > 0 && write(STDOUT_FILENO, line, (size_t)n) < 0)
        _exit(1);
    signal(sig, SIG_DFL);
    if (sig == SIGALRM)
        _exit(1);
    raise(sig);
}

#define MUST(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("rerun: " FUZZ_NAME " --seed %llu --seconds 0\n", (unsigned long long)seed);              \
            printf(__VA_ARGS__);                                                                             \
            printf("\n");                                                                                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* [--seed N] [--seconds N]: rounds of seeds two apart, at least one. The last stays in `seed`. */
static void fuzz_run(int argc, char **argv, void (*round_of)(void))
{
    unsigned seconds = 5;
    struct timespec now;
    time_t end;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_nsec * 2654435761u + (uint64_t)now.tv_sec;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    signal(SIGABRT, fuzz_on_signal);
    signal(SIGSEGV, fuzz_on_signal);
    signal(SIGALRM, fuzz_on_signal);
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + (time_t)seconds;
    for (;; seed += 2) {
        state = seed | 1;
        (void)alarm(FUZZ_HANG_S);
        round_of();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= end)
            return;
    }
}

#endif /* FUZZ_H */
