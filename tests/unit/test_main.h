/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_main.h - what every unit test executable shares: running one suite, and putting a host
 * under the code being tested and taking it away again.
 *
 * A test file defines its suite and ends with
 *
 *     int main(int argc, char **argv) { return test_run(my_suite(), argc, argv); }
 *
 * argv[1], or CK_RUN_CASE, selects one test case. CK_FORK=no keeps everything in one process for
 * a debugger; CK_VERBOSITY=verbose lists every test. All of those are Check's own names.
 *
 * Does not contain: anything a product file may use. Header only, so that a test can also be
 * built by hand from its own file and the library.
 */
#ifndef TEST_MAIN_H
#define TEST_MAIN_H

#include <check.h>
#include <scpair/shim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/kservices.h>

/*
 * Run the suite. When something fails the first lines printed say how to run exactly the failing
 * cases again; Check's own report follows. Returns the exit code for main: 0, 1, or 2 when the
 * case asked for does not exist (a typing error must not look like success).
 */
static inline int test_run(Suite *s, int argc, char **argv)
{
    SRunner *sr = srunner_create(s);
    const char *wanted = argc > 1 ? argv[1] : getenv("CK_RUN_CASE");
    const char *said = NULL;
    int failed, ran;

    srunner_run(sr, NULL, wanted, CK_SILENT);
    failed = srunner_ntests_failed(sr);
    ran = srunner_ntests_run(sr);
    if (failed > 0) {
        TestResult **bad = srunner_failures(sr);

        for (int i = 0; i < failed; i++) {
            const char *name = tr_tcname(bad[i]);

            /* Results come grouped by case: one line for each case is enough. */
            if (!said || strcmp(said, name) != 0)
                printf("rerun: %s '%s'\n", argv[0], name);
            said = name;
        }
        free(bad);
    }
    srunner_print(sr, CK_ENV);
    srunner_free(sr);
    if (ran == 0) {
        fprintf(stderr, "%s: no test case named '%s'\n", argv[0], wanted ? wanted : "");
        return 2;
    }
    return failed ? 1 : 0;
}

/* Host plus kernel services, with lock ranks, contexts and memory checked. */
static inline void shim_test_begin(const struct shim_host *host)
{
    shim_checks_set(true);
    ck_assert_int_eq(shim_init(host), 0);
    ck_assert_int_eq(kern_init(), 0);
}

/* On the deterministic host: one thread, virtual clock, everything random from `seed`. */
static inline void shim_test_begin_det(uint64_t seed) { shim_test_begin(shim_det_host(seed)); }

/* On the threaded host, for races. */
static inline void shim_test_begin_posix(void) { shim_test_begin(shim_posix_host()); }

/* Take it all down: nothing may be left allocated, mapped or initialised, no failure armed. */
static inline void shim_test_end(void)
{
    struct shim_account acc;

    for (int what = 0; what < SHIM_FAIL_COUNT; what++)
        shim_fail_set((enum shim_fail)what, 0, false);
    kern_fini();
    shim_account_get(&acc);
    for (int tag = 0; tag < SHIM_TAG_COUNT; tag++) {
        ck_assert_msg(acc.acc_blocks[tag] == 0, "tag %d: %llu blocks, %llu bytes leaked", tag,
                      (unsigned long long)acc.acc_blocks[tag], (unsigned long long)acc.acc_bytes[tag]);
        ck_assert_uint_eq(acc.acc_bytes[tag], 0);
    }
    ck_assert_uint_eq(acc.acc_maps, 0);
    ck_assert_uint_eq(acc.acc_locks, 0);
    ck_assert_uint_eq(shim_fini(), 0);
    shim_checks_set(false);
}

#endif /* TEST_MAIN_H */
