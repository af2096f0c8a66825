/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of src/cli/cli_job.c: the line of progress fits every width and says what it can; a
 * job that fails says why and what it leaves.
 */
#include "../test_main.h"

#include "cli/cli_impl.h"

START_TEST(test_progress_fits_every_width)
{
    static const uint64_t bytes[] = {0, 1, 4096, 1ull << 20, 123456789012u, 1ull << 52};
    static const double seconds[] = {0, 0.001, 1, 100000};
    char line[160];

    for (unsigned columns = 1; columns < 200; columns++)
        for (size_t b = 0; b < SC_ARRAY_SIZE(bytes); b++)
            for (unsigned part = 0; part <= 2; part++)
                for (size_t s = 0; s < SC_ARRAY_SIZE(seconds); s++) {
                    const char *got = cli_job_progress("verify", bytes[b] / 2 * part, bytes[b], seconds[s],
                                                       columns, line, sizeof(line));

                    ck_assert_uint_lt(strlen(got), columns);
                    if (columns >= 5)
                        ck_assert_msg(strchr(got, '%') != NULL, "%u columns: \"%s\"", columns, got);
                }
}
END_TEST

START_TEST(test_progress_says_what_there_is_room_for)
{
    static const struct {
        unsigned columns;
        const char *line;
    } rows[] = {
        {80, "copy:  25%  1.0 MiB of 4.0 MiB  0.5 MiB/s  ETA 0:06"},
        {40, "copy:  25%  0.5 MiB/s  ETA 0:06"},
        {20, "copy:  25%"},
        {10, "25%"},
        {4, "25%"},
        {3, ""},
        {0, "copy:  25%  0.5 MiB/s  ETA 0:06"},
    };
    char line[160];

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++)
        ck_assert_str_eq(cli_job_progress("copy", 1 << 20, 4 << 20, 2, rows[i].columns, line, sizeof(line)),
                         rows[i].line);
}
END_TEST

static bool fail_at_8k(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off)
{
    memset(buffer, 0, bytes);
    return off != 8192 || cli_job_fail(job, off, "at %llu", (unsigned long long)off);
}

static _Atomic unsigned both_in;

/* The first two blocks fail, the second one first. */
static bool fail_backwards(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off)
{
    memset(buffer, 0, bytes);
    if (off == 0)
        while (atomic_load(&both_in) == 0)
            continue;
    (void)cli_job_fail(job, off + 7, "at %llu", (unsigned long long)off + 7);
    atomic_fetch_add(&both_in, 1);
    return false;
}

START_TEST(test_of_several_failures_the_nearest_to_the_beginning_is_heard)
{
    struct cli_job job = {.j_label = "test",
                          .j_left = "nothing is left",
                          .j_fn = fail_backwards,
                          .j_bytes = 8192,
                          .j_block = 4096,
                          .j_depth = 2};

    ck_assert_int_eq(cli_job_run(&job), CLI_FAILED);
    ck_assert_str_eq(job.j_error, "at 7");
}
END_TEST

START_TEST(test_a_job_ends_at_the_first_failure)
{
    struct cli_job job = {.j_label = "test",
                          .j_left = "nothing is left",
                          .j_fn = fail_at_8k,
                          .j_bytes = 1 << 20,
                          .j_block = 4096,
                          .j_depth = 1};

    ck_assert_int_eq(cli_job_run(&job), CLI_FAILED);
    ck_assert_str_eq(job.j_error, "at 8192");
    ck_assert_uint_eq(atomic_load(&job.j_done), 8192);
    job.j_bytes = 8192;
    atomic_store(&job.j_failed, false);
    atomic_store(&job.j_next, 0);
    ck_assert_int_eq(cli_job_run(&job), CLI_OK);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("cli_job");
    TCase *t = tcase_create("job");

    tcase_add_test(t, test_progress_fits_every_width);
    tcase_add_test(t, test_progress_says_what_there_is_room_for);
    tcase_add_test(t, test_of_several_failures_the_nearest_to_the_beginning_is_heard);
    tcase_add_test(t, test_a_job_ends_at_the_first_failure);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
