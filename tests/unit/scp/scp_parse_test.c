/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of src/scp/scp_parse.c: sizes and --disk specifications, good and bad. */
#define _GNU_SOURCE
#include "../test_main.h"

#include <scpair/scpair.h>

static const struct size_case {
    const char *text;
    int error;
    uint64_t bytes;
} size_cases[] = {
    {"0", 0, 0},
    {"4096", 0, 4096},
    {"0x1000", 0, 4096},
    {"010", 0, 10},
    {"0x", EINVAL, 0},
    {"64k", 0, 65536},
    {"64KiB", 0, 65536},
    {"64KB", 0, 65536},
    {"1M", 0, 1u << 20},
    {"2G", 0, 2ull << 30},
    {"1T", 0, 1ull << 40},
    {"15p", 0, 15ull << 50},
    {"", EINVAL, 0},
    {" 1", EINVAL, 0},
    {"-1", EINVAL, 0},
    {"+1", EINVAL, 0},
    {"k", EINVAL, 0},
    {"1kk", EINVAL, 0},
    {"1x", EINVAL, 0},
    {"1.5M", EINVAL, 0},
    {"18446744073709551616", EINVAL, 0},
    {"16777216T", EINVAL, 0},
};

START_TEST(test_size_parse_table)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(size_cases); i++) {
        const struct size_case *c = &size_cases[i];
        uint64_t bytes = 0;

        ck_assert_msg(scp_size_parse(c->text, &bytes) == c->error, "size \"%s\"", c->text);
        if (c->error == 0)
            ck_assert_msg(bytes == c->bytes, "size \"%s\" gave %llu", c->text, (unsigned long long)bytes);
    }
    ck_assert_int_eq(scp_size_parse(NULL, &(uint64_t){0}), EINVAL);
}
END_TEST

START_TEST(test_disk_parse_all_options)
{
    char text[] = "a.img,block=4096,phys=8192,ro,removable,direct,notags,queue=1,latency=250,reserve=no,"
                  "clr_q=yes,q_err=no,rw_timeout=7,start_timeout=90,retries=5";
    struct scp_disk_spec d;

    ck_assert_int_eq(scp_disk_parse(text, &d, NULL, 0), 0);
    ck_assert_int_eq(d.medium, SCP_MEDIUM_FILE);
    ck_assert_str_eq(d.path, "a.img");
    ck_assert_uint_eq(d.block_bytes, 4096);
    ck_assert_uint_eq(d.physical_bytes, 8192);
    ck_assert(d.read_only && d.removable && d.direct && d.no_tags);
    ck_assert_uint_eq(d.queue, 1);
    ck_assert_uint_eq(d.latency_ns, 250000);
    ck_assert(d.no_reserve && d.clr_q && d.no_q_err);
    ck_assert_uint_eq(d.rw_timeout, 7);
    ck_assert_uint_eq(d.start_timeout, 90);
    ck_assert_uint_eq(d.retries, 5);
}
END_TEST

START_TEST(test_disk_parse_ram_and_null)
{
    char ram[] = "ram:64M,block=4096";
    char null[] = "null:1T";
    struct scp_disk_spec d;

    ck_assert_int_eq(scp_disk_parse(ram, &d, NULL, 0), 0);
    ck_assert_int_eq(d.medium, SCP_MEDIUM_RAM);
    ck_assert_uint_eq(d.bytes, 64u << 20);
    ck_assert_int_eq(scp_disk_parse(null, &d, NULL, 0), 0);
    ck_assert_int_eq(d.medium, SCP_MEDIUM_NULL);
    ck_assert_uint_eq(d.bytes, 1ull << 40);
}
END_TEST

/* Two commas are one in the name; "file=" makes any name a file's. */
START_TEST(test_disk_parse_names_with_commas)
{
    static const char *const names[][2] = {
        {"a,,b.img", "a,b.img"},
        {"a,,b.img,ro", "a,b.img"},
        {",,a", ",a"},
        {"a,,,ro", "a,"},
        {"a,,,,b,ro", "a,,b"},
        {"file=a,,b", "a,b"},
        {"file=ram:1M,ro", "ram:1M"},
        {"file=file=x", "file=x"},
        {"a=b", "a=b"},
        {"a b\\,ro", "a b\\"},
    };

    for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++) {
        char *text = strdup(names[i][0]);
        char err[SCP_ERROR_MAX] = "";
        struct scp_disk_spec d;

        ck_assert_msg(scp_disk_parse(text, &d, err, sizeof(err)) == 0, "\"%s\": %s", names[i][0], err);
        ck_assert_int_eq(d.medium, SCP_MEDIUM_FILE);
        ck_assert_str_eq(d.path, names[i][1]);
        ck_assert(d.read_only == (strstr(names[i][0], ",ro") != NULL));
        free(text);
    }
}
END_TEST

START_TEST(test_disk_parse_refuses_and_says_why)
{
    static const char *const bad[][2] = {
        {"", "no file"},
        {",ro", "no file"},
        {"a,block=7", "512 or 4096"},
        {"a,block=-1", "--disk a: block=-1: must be 512 or 4096"},
        {"a,phys=513", "power of two"},
        {"a,phys=128k", "power of two"},
        {"a,block=4096,phys=512", "smaller than the logical block"},
        {"a,block", "unknown option"},
        {"a,ro=1", "unknown option"},
        {"a,cache=none", "unknown option \"cache\""},
        {"a,queue=0", "1 to"},
        {"a,queue=257", "1 to"},
        {"a,queue=", "queue=: must be 1 to 256"},
        {"a,queue=x", "--disk a: queue=x: must be 1 to 256"},
        {"a,latency=x", "0 to 10000000"},
        {"a,phys=x", "power of two from 512 to 65536"},
        {"file=a,,b,queue=x", "--disk a,b: queue=x"},
        {"ram:1M,queue=x", "--disk ram:1M: queue=x"},
        {"a,reserve=maybe", "yes or no"},
        {"a,clr_q=1", "yes or no"},
        {"a,q_err=", "yes or no"},
        {"a,rw_timeout=0", "must be 1 to 3600"},
        {"a,start_timeout=3601", "must be 1 to 3600"},
        {"a,retries=101", "must be 1 to 100"},
        {"a,reserve", "unknown option"},
        {"a,zebra", "zebra"},
        {"ram:", "not a size"},
        {"ram:0", "not a size"},
        {"ram:-5", "not a size"},
        {"ram:513", "multiple"},
        {"null:4097,block=4096", "multiple"},
        {"ram:4608,block=4096", "multiple"},
        {"a,latency=99999999999", "0 to"},
        {"file=", "no file"},
        {"file=,ro", "no file"},
        {"a,", "unknown option \"\""},
        {"a,ro,,queue=3", "unknown option \"\""},
        {"a,ro,ro", "\"ro\" and \"ro\""},
        {"a,queue=3,ro,queue=4", "\"queue=3\" and \"queue=4\""},
        {"a,block=512,block=4096", "\"block=512\" and \"block=4096\""},
        {"a,notags,queue=8", "\"notags\" and \"queue=8\""},
        {"a,queue=8,notags", "\"notags\" and \"queue=8\""},
        {"ram:1M,direct", "\"direct\" and \"ram:1M\""},
        {"null:1M,ro,direct", "\"direct\" and \"null:1M\""},
    };

    for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
        char *text = strdup(bad[i][0]);
        char err[SCP_ERROR_MAX] = "";
        struct scp_disk_spec d;

        ck_assert_msg(scp_disk_parse(text, &d, err, sizeof(err)) == EINVAL, "\"%s\" was taken", bad[i][0]);
        ck_assert_msg(strstr(err, bad[i][1]) != NULL, "\"%s\": message \"%s\" lacks \"%s\"", bad[i][0], err,
                      bad[i][1]);
        ck_assert_ptr_null(strchr(err, '\n'));
        free(text);
    }
}
END_TEST

/* There may be several adapters: a message has the one as it was typed. */
START_TEST(test_adapter_parse_refuses_and_says_which)
{
    static const char *const bad[][2] = {
        {"", "--adapter : \"\": unknown kind"},
        {"pci,no-gather", "--adapter pci,no-gather: \"pci\": unknown kind"},
        {"sim,colour=red", "--adapter sim,colour=red: unknown option \"colour\""},
        {"sim,max-transfer=7", "--adapter sim,max-transfer=7: max-transfer=7: must be"},
        {"sim,max-transfer=65537", "max-transfer=65537: must be"},
        {"sim,max-transfer=61440", "max-transfer=61440: must be"},
        {"sim,max-transfer=2M", "max-transfer=2M: must be"},
        {"sim,no-gather,clears-queue,no-gather",
         "--adapter sim,no-gather,clears-queue,no-gather: \"no-gather\" and \"no-gather\""},
        {"sim,no-gather=1", "unknown option \"no-gather\""},
        {"sim,pend=no", "--adapter sim,pend=no: pend=no: must be pend or pend=poll"},
    };
    struct scp_adapter_spec a;

    for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
        char err[SCP_ERROR_MAX] = "";
        char *text = strdup(bad[i][0]);

        ck_assert_msg(scp_adapter_parse(text, &a, err, sizeof(err)) == EINVAL, "\"%s\" was taken", bad[i][0]);
        ck_assert_msg(strstr(err, bad[i][1]) != NULL, "\"%s\": \"%s\" lacks \"%s\"", bad[i][0], err,
                      bad[i][1]);
        free(text);
    }
    {
        char text[] = "sim,clears-queue,max-transfer=64k,no-gather";

        ck_assert_int_eq(scp_adapter_parse(text, &a, NULL, 0), 0);
        ck_assert_str_eq(a.kind, "sim");
        ck_assert(a.clears_queue && a.no_gather);
        ck_assert_uint_eq(a.transfer_bytes_max, 65536);
        ck_assert_uint_eq(a.pend, SCP_PEND_NOT);
    }
    {
        char text[] = "sim,pend", poll[] = "sim,pend=poll", other[] = "sim,pend=never";

        ck_assert_int_eq(scp_adapter_parse(text, &a, NULL, 0), 0);
        ck_assert_uint_eq(a.pend, SCP_PEND_INTERRUPT);
        ck_assert_int_eq(scp_adapter_parse(poll, &a, NULL, 0), 0);
        ck_assert_uint_eq(a.pend, SCP_PEND_POLL);
        ck_assert_int_eq(scp_adapter_parse(other, &a, NULL, 0), EINVAL);
    }
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_parse");
    TCase *t = tcase_create("parse");

    tcase_add_test(t, test_size_parse_table);
    tcase_add_test(t, test_disk_parse_all_options);
    tcase_add_test(t, test_disk_parse_ram_and_null);
    tcase_add_test(t, test_disk_parse_names_with_commas);
    tcase_add_test(t, test_disk_parse_refuses_and_says_why);
    tcase_add_test(t, test_adapter_parse_refuses_and_says_which);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
