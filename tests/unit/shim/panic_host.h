/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * panic_host.h - for tests in which a panic is the right answer: the process ends with a known
 * exit code if, and only if, the message contains the expected words.
 *
 * Use with tcase_add_exit_test(tc, test, PANIC_AS_EXPECTED). Does not contain: a recovery from
 * panics; there is none.
 */
#ifndef PANIC_HOST_H
#define PANIC_HOST_H

#include "../test_main.h"

#include <stdlib.h>

#define PANIC_AS_EXPECTED 42

static const char *panic_words;

#ifdef SCPAIR_COVERAGE
void __gcov_dump(void);
#endif

static void panic_check(const char *text)
{
    if (panic_words && strstr(text, panic_words)) {
#ifdef SCPAIR_COVERAGE
        __gcov_dump();
#endif
        _Exit(PANIC_AS_EXPECTED); /* no exit handlers: a leak checker would answer with its own code */
    }
    fprintf(stderr, "panic: \"%s\" does not contain \"%s\"\n", text, panic_words ? panic_words : "");
    abort();
}

/* The given host with the checking panic; start the services on it in checked mode. */
static inline void panic_begin(const struct shim_host *host)
{
    static struct shim_host copy;

    copy = *host;
    copy.panic = panic_check;
    shim_test_begin(&copy);
}

/* From here on a panic with these words is what the test wants. */
static inline void panic_expect(const char *words) { panic_words = words; }

#endif /* PANIC_HOST_H */
