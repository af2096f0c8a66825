/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of src/scp/scp_inject.c: the language of fault rules. What is taken reads back as
 * what it means; what is refused says which words are wrong and changes nothing.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include "../../../src/adapter/sim/sim.h"

#include <scpair/scpair.h>

static struct scp *pair;

static void setup(void)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20};
    struct scp_spec spec = {.disks = &d, .ndisks = 1};
    char err[SCP_ERROR_MAX] = "";

    ck_assert_msg(scp_create(&spec, &pair, err, sizeof(err)) == 0, "%s", err);
}

static void teardown(void) { ck_assert_uint_eq(scp_destroy(pair), 0); }

static void must(const char *rule)
{
    char err[SCP_ERROR_MAX] = "";

    ck_assert_msg(scp_inject(pair, rule, err, sizeof(err)) == 0, "%s: %s", rule, err);
}

static const char *first_rule(void)
{
    static char text[256];

    return scp_inject_text(pair, 0, 0, text, sizeof(text)) ? text : "none";
}

START_TEST(test_rules_read_back)
{
    static const char *const good[][2] = {
        {"hdisk0 do=busy", "hdisk0 op=data count=1 do=busy"},
        {"hdisk0 once do=busy", "hdisk0 op=data count=1 do=busy"},
        {"hdisk0   op=any\tdo=qfull count=7", "hdisk0 op=any count=7 do=qfull"},
        {"hdisk0 op=read every=3 do=hang", "hdisk0 op=read every=3 count=forever do=hang"},
        {"hdisk0 op=read every=2 do=hang", "hdisk0 op=read every=2 count=forever do=hang"},
        {"hdisk0 rate=0.75 do=busy", "hdisk0 op=data rate=0.75 count=forever do=busy"},
        {"hdisk0 rate=3000.5 do=busy", "hdisk0 op=data rate=3000.5 count=forever do=busy"},
        {"hdisk0 rate=0.001 do=busy", "hdisk0 op=data rate=0.001 count=forever do=busy"},
        {"hdisk0 rate=999999.999 do=busy", "hdisk0 op=data rate=999999.999 count=forever do=busy"},
        {"hdisk0 rate=1000000 do=busy", "hdisk0 op=data rate=1000000 count=forever do=busy"},
        {"hdisk0 do=busy\r", "hdisk0 op=data count=1 do=busy"},
        {"hdisk0 op=write rate=5 do=qfull", "hdisk0 op=write rate=5 count=forever do=qfull"},
        {"hdisk0 rate=0.25 seed=9 count=2 do=busy", "hdisk0 op=data rate=0.25 seed=9 count=2 do=busy"},
        {"hdisk0 lba=2047 do=short:512", "hdisk0 op=data lba=2047-2047 count=1 do=short:512"},
        {"hdisk0 lba=0-2047 skip=4 do=delay:7", "hdisk0 op=data lba=0-2047 skip=4 count=1 do=delay:7"},
        {"hdisk0 op=0x35 do=check:4/44/01/desc", "hdisk0 op=0x35 count=1 do=check:4/44/01/desc"},
        {"hdisk0 do=check:4/44/00/deferred/desc", "hdisk0 op=data count=1 do=check:4/44/00/desc/deferred"},
        {"hdisk0 do=check:4/44/00/deferred", "hdisk0 op=data count=1 do=check:4/44/00/deferred"},
        {"hdisk0 op=read do=corrupt", "hdisk0 op=read count=1 do=corrupt"},
    };

    for (size_t i = 0; i < SC_ARRAY_SIZE(good); i++) {
        char again[256];

        must(good[i][0]);
        ck_assert_str_eq(first_rule(), good[i][1]);
        (void)snprintf(again, sizeof(again), "%s", first_rule());
        must("hdisk0 clear");
        ck_assert_str_eq(first_rule(), "none");
        must(again);
        ck_assert_str_eq(first_rule(), again);
        must("hdisk0 clear");
    }
    must("hdisk0 rate=1000000 do=busy"); /* the largest */
    must("hdisk0 clear");
}
END_TEST

/* A rate is kept as the nearest whole number of nanoseconds between two strikes. */
START_TEST(test_interval_of_a_rate)
{
    static const struct {
        const char *rule;
        uint64_t ns;
    } rows[] = {{"hdisk0 rate=3000.5 do=busy", 333278},
                {"hdisk0 rate=0.001 do=busy", 1000000000000},
                {"hdisk0 rate=3 do=busy", 333333333},
                {"hdisk0 rate=1000000 do=busy", 1000}};
    struct sim_fault f;

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        must(rows[i].rule);
        ck_assert(sim_fault_get(scp_sim_disk(pair, 0), 0, &f));
        ck_assert_uint_eq(f.f_interval_ns, rows[i].ns);
        must("hdisk0 clear");
    }
}
END_TEST

/* Each names the words that are wrong, and no rule is added. */
START_TEST(test_slips_are_refused_by_name)
{
    static const char *const bad[][3] = {
        {"hdisk0 do=busy do=qfull", "do=busy", "do=qfull"},
        {"hdisk0 op=read op=write do=busy", "op=read", "op=write"},
        {"hdisk0 lba=1 lba=1 do=busy", "lba=1", "once"},
        {"hdisk0 once count=5 do=busy", "once", "count=5"},
        {"hdisk0 once every=5 do=busy", "once", "every=5"},
        {"hdisk0 rate=5 once do=busy", "once", "rate=5"},
        {"hdisk0 every=2 rate=5 do=busy", "every=2", "rate=5"},
        {"hdisk0 seed=2 do=busy", "seed=2", "rate="},
        {"hdisk0 op=write do=corrupt", "op=write", "do=corrupt"},
        {"hdisk0 lba=2048 do=busy", "lba=2048", "2047"},
        {"hdisk0 lba=0-99999 do=busy", "99999", "2047"},
        {"hdisk0 lba=7-5 do=busy", "7-5", "ends before"},
        {"hdisk0 lba=7- do=busy", "lba=7-", "LAST"},
        {"hdisk0 lba do=busy", "lba", "FIRST"},
        {"hdisk0 every=0 do=busy", "every=0", "1 to 4294967295"},
        {"hdisk0 every do=busy", "every", "1 to "},
        {"hdisk0 once=3 do=busy", "once=3", "no value"},
        {"hdisk0 rate=0 do=busy", "rate=0", "0.001 to 1000000"},
        {"hdisk0 rate=-1 do=busy", "rate=-1", "not a valid"},
        {"hdisk0 rate=1000001 do=busy", "rate=1000001", "not a valid"},
        {"hdisk0 rate=99999999999999999999 do=busy", "rate=99", "not a valid"},
        {"hdisk0 rate=. do=busy", "rate=.", "not a valid"},
        {"hdisk0 rate=1. do=busy", "rate=1.", "not a valid"},
        {"hdisk0 rate=0.0001 do=busy", "rate=0.0001", "three decimals"},
        {"hdisk0 rate=5/s do=busy", "rate=5/s", "not a valid"},
        {"hdisk0 count=forever,5 do=busy", "count=forever,5", "or forever"},
        {"hdisk0 op=frob do=busy", "op=frob", "data, read, write, any"},
        {"hdisk0 op=256 do=busy", "op=256", "0 to 0xff"},
        {"hdisk0 skip=-1 do=busy", "skip=-1", "0 to 4294967295"},
        {"hdisk0 count=0 do=busy", "count=0", "1 to 4294967295"},
        {"hdisk0 rate=5 seed=x do=busy", "seed=x", "0 to "},
        {"hdisk0 do=delay:99999999999", "do=delay:99999999999", "up to 4294967295"},
        {"hdisk0 do=check:3/11/00/deferred/deferred", "do=check", "KEY/ASC/ASCQ"},
        {"hdisk0 do=check:10/11/00", "do=check", "KEY up to f"},
        {"hdisk0 do", "do", "action"},
        {"hdisk0 d=busy", "d=busy", "unknown"},
        {"hdisk0 =busy", "=busy", "unknown"},
    };

    for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
        char err[SCP_ERROR_MAX] = "";

        ck_assert_msg(scp_inject(pair, bad[i][0], err, sizeof(err)) == EINVAL, "\"%s\" was taken", bad[i][0]);
        for (unsigned w = 1; w < 3; w++)
            ck_assert_msg(strstr(err, bad[i][w]) != NULL, "\"%s\": \"%s\" lacks \"%s\"", bad[i][0], err,
                          bad[i][w]);
        ck_assert_str_eq(first_rule(), "none");
    }
}
END_TEST

/* A rule that is in force is not added again; one that is used up may be. */
START_TEST(test_a_rule_in_force_is_not_added_twice)
{
    char err[SCP_ERROR_MAX] = "";
    struct file *disk;
    uint8_t data[512];
    size_t done;

    must("hdisk0 op=read lba=5 do=check:3/11/00");
    ck_assert_int_eq(scp_inject(pair, "hdisk0 op=read lba=5-5 count=4 do=check:3/11/00", err, sizeof(err)),
                     EINVAL);
    ck_assert_msg(strstr(err, "rule 0") != NULL, "%s", err);
    must("hdisk0 op=read lba=6 do=check:3/11/00");
    /* One for good is in force before it has struck at all. */
    must("hdisk0 op=write lba=6 count=forever do=busy");
    ck_assert_int_eq(scp_inject(pair, "hdisk0 op=write lba=6 count=2 do=busy", err, sizeof(err)), EINVAL);
    ck_assert_int_eq(scp_disk_file(pair, 0, &disk), 0);
    /* One medium error is retried, and then the rule is used up. */
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 5 * 512, &done), 0);
    must("hdisk0 op=read lba=5 do=check:3/11/00");
}
END_TEST

/* The default strikes a read and spares the flush; op=any strikes that as well. */
START_TEST(test_default_spares_the_flush)
{
    struct file *disk;
    uint8_t data[512];
    size_t done;

    ck_assert_int_eq(scp_disk_file(pair, 0, &disk), 0);
    must("hdisk0 count=forever do=check:4/44/00");
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 0, &done), EIO);
    ck_assert_int_eq(fp_ioctl(disk, DKFLUSH, 0, 0), 0);
    must("hdisk0 clear");
    must("hdisk0 op=any count=forever do=check:4/44/00");
    ck_assert_int_ne(fp_ioctl(disk, DKFLUSH, 0, 0), 0);
    must("hdisk0 clear");
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_inject");
    TCase *t = tcase_create("rules");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_rules_read_back);
    tcase_add_test(t, test_interval_of_a_rate);
    tcase_add_test(t, test_slips_are_refused_by_name);
    tcase_add_test(t, test_a_rule_in_force_is_not_added_twice);
    tcase_add_test(t, test_default_spares_the_flush);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
