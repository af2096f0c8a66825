/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_format_test.c - the formatter against the C library's snprintf, and its own limits.
 */
#include "../test_main.h"

#include <stdint.h>

/* Both formatters, same arguments: same text, same length. */
#define SAME(...)                                                                                            \
    do {                                                                                                     \
        char ours[200], theirs[200];                                                                         \
        int n = shim_format(ours, sizeof(ours), __VA_ARGS__);                                                \
        int m = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                               \
        ck_assert_str_eq(ours, theirs);                                                                      \
        ck_assert_int_eq(n, m);                                                                              \
    } while (0)

START_TEST(test_format_numbers_as_printf)
{
    /* Legal, and a compiler that sees it warns: one flag undoes the other. */
    const char *volatile odd = "%-05d|%05.3d|%*d";

    SAME("%d %i %u", -1, 42, 4000000000u);
    SAME("%x %X %08x|%-8x|%8x", 0xbeefu, 0xBEEFu, 0x12u, 0x12u, 0x12u);
    SAME("%ld %lu %lx", -5L, 5UL, 0xfffffffffUL);
    SAME("%lld %llu %llx", INT64_MIN + 0LL, UINT64_MAX + 0ULL, 0x123456789abcdefULL);
    SAME("%zu %hhx %hu", sizeof(int), (unsigned char)0xff, (unsigned short)65535);
    SAME("%d %u %x", 0, 0u, 0u);
    SAME("%5d|%-5d|%05d|%.3d|%5.3d", -42, -42, -42, 7, 7);
    SAME("%*d|%-*d", 6, 1, 6, 1);
    SAME("%p", (void *)(uintptr_t)0xdead0);
    SAME("%hd %hhd|%hi", (short)-3, (signed char)-4, (short)32767);
    SAME("%jd %ju", (intmax_t)INT64_MIN, (uintmax_t)UINT64_MAX);
    SAME(odd, 42, 42, -5, 7);
    SAME("%.12x|%-8.3u|", 0xabcu, 5u);
}
END_TEST

START_TEST(test_format_text_as_printf)
{
    const char raw[3] = {'a', 'b', 'c'};

    SAME("%s|%10s|%-10s|%.2s", "hdisk0", "right", "left", "cut");
    SAME("%.*s", 3, raw);
    SAME("%c%c%%", 'o', 'k');
    SAME("no conversion");
}
END_TEST

START_TEST(test_format_short_buffer_is_terminated_and_length_wanted_returned)
{
    char out[5] = "zzzz";

    ck_assert_int_eq(shim_format(out, sizeof(out), "%s", "hdisk12"), 7);
    ck_assert_str_eq(out, "hdis");
    ck_assert_int_eq(shim_format(NULL, 0, "%u", 12345u), 5);
    ck_assert_int_eq(shim_format(out, 1, "x"), 1);
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(test_format_null_text_and_wide_widths_are_bounded)
{
    char out[40];
    const char *volatile none = NULL;

    shim_format(out, sizeof(out), "%s", none);
    ck_assert_str_eq(out, "(null)");
    ck_assert_int_le(shim_format(out, sizeof(out), "%*d", 2000000000, 1), 300);
    ck_assert_int_le(shim_format(out, sizeof(out), "%*d", -2000000000, 1), 300);
}
END_TEST

/* What is no conversion of ours is shown as it stands, and takes no argument. */
START_TEST(test_format_shows_what_it_does_not_know)
{
    char out[40];
    const char *volatile odd = "a %q b %d";

    shim_format(out, sizeof(out), odd, 7);
    ck_assert_str_eq(out, "a %q b 7");
}
END_TEST

static Suite *format_suite(void)
{
    Suite *s = suite_create("shim_format");
    TCase *tc = tcase_create("format");

    tcase_add_test(tc, test_format_numbers_as_printf);
    tcase_add_test(tc, test_format_text_as_printf);
    tcase_add_test(tc, test_format_short_buffer_is_terminated_and_length_wanted_returned);
    tcase_add_test(tc, test_format_null_text_and_wide_widths_are_bounded);
    tcase_add_test(tc, test_format_shows_what_it_does_not_know);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(format_suite(), argc, argv); }
