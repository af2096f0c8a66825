/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_mode_test.c - MODE SENSE and MODE SELECT of a simulated disk, and what the three changeable
 * bits do.
 */
#include "sim_fixture.h"

static uint8_t data[512];

static void setup(void) { fx_begin(512, 1000); }

/* MODE SENSE(6) without block descriptor; returns the offset of the page. */
static unsigned sense(unsigned control, unsigned page)
{
    uint8_t cdb[6] = {0x1a, 0x08, (uint8_t)(control << 6 | page), 0, 255};
    struct fx_cmd c;

    fx_run(&c, cdb, 6, FX_IN, data, 255);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(data[0] + 1u, 255 - c.x.xfer_resid);
    return 4;
}

/* MODE SELECT(6) of one page, byte `at` of it changed to `value`. */
static void select_byte(struct fx_cmd *c, unsigned page, unsigned at, uint8_t value, bool save)
{
    unsigned p = sense(0, page);
    uint8_t bytes = (uint8_t)(4 + 2 + data[p + 1]);
    uint8_t cdb[6] = {0x15, (uint8_t)(0x10 | save), 0, 0, bytes};

    memset(data, 0, 4);
    data[p] &= 0x3f;
    data[p + at] = value;
    fx_run(c, cdb, 6, FX_OUT, data, bytes);
}

START_TEST(test_mode_sense_table)
{
    static const struct fx_row rows[] = {
        {"6: all pages", {0x1a, 0, 0x3f, 0, 255}, 6, FX_IN, 255, 0, 0, 0, 0, 255 - 68},
        {"6: no descriptor", {0x1a, 8, 0x3f, 0, 255}, 6, FX_IN, 255, 0, 0, 0, 0, 255 - 60},
        {"6: all, subpages", {0x1a, 8, 0x3f, 0xff, 255}, 6, FX_IN, 255, 0, 0, 0, 0, 255 - 60},
        {"6: cut", {0x1a, 0, 0x3f, 0, 4}, 6, FX_IN, 255, 0, 0, 0, 0, 251},
        {"10: all pages", {0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255}, 10, FX_IN, 255, 0, 0, 0, 0, 255 - 72},
        {"10: long LBA", {0x5a, 0x10, 0x3f, 0, 0, 0, 0, 0, 255}, 10, FX_IN, 255, 0, 0, 0, 0, 255 - 80},
        {"10: caching", {0x5a, 0x08, 0x08, 0, 0, 0, 0, 0, 255}, 10, FX_IN, 255, 0, 0, 0, 0, 255 - 28},
        {"6: unknown page", {0x1a, 0, 0x02, 0, 255}, 6, FX_IN, 255, FX_BAD_CDB},
        {"6: unknown subpage", {0x1a, 0, 0x08, 1, 255}, 6, FX_IN, 255, FX_BAD_CDB},
        {"6: reserved", {0x1a, 0x10, 0x3f, 0, 255}, 6, FX_IN, 255, FX_BAD_CDB},
    };
    static const uint8_t all[10] = {0x5a, 0x10, 0x3f, 0, 0, 0, 0, 0, 255};
    struct fx_cmd c;

    FX_ROWS(rows, data);
    fx_run(&c, all, 10, FX_IN, data, 255);
    ck_assert_uint_eq(scsi_get16(data) + 2u, 80);
    ck_assert_uint_eq(data[3], 0x10);
    ck_assert_uint_eq(data[4], 1);
    ck_assert_uint_eq(scsi_get16(data + 6), 16);
    ck_assert_uint_eq(scsi_get64(data + 8), 1000);
    ck_assert_uint_eq(scsi_get32(data + 20), 512);
    ck_assert_uint_eq(data[24], 0x81);
}
END_TEST

START_TEST(test_changeable_default_and_saved)
{
    struct fx_cmd c;

    ck_assert_uint_eq(data[sense(1, 0x08) + 2], 0x04); /* WCE alone */
    ck_assert_uint_eq(data[sense(1, 0x0a) + 2], 0x04); /* D_SENSE */
    ck_assert_uint_eq(data[sense(1, 0x0a) + 4], 0x08); /* SWP */
    ck_assert_uint_eq(data[sense(0, 0x08) + 2], 0x04);
    select_byte(&c, 0x08, 2, 0, false);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(data[sense(0, 0x08) + 2], 0x00);
    ck_assert_uint_eq(data[sense(2, 0x08) + 2], 0x04);
    ck_assert_uint_eq(data[sense(3, 0x08) + 2], 0x04);
    /* Not saved: a reset brings the old value back. */
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), 0);
    ck_assert_uint_eq(fx_sense().asc, SCSI_ASC_RESET);
    ck_assert_uint_eq(data[sense(0, 0x08) + 2], 0x04);
    select_byte(&c, 0x08, 2, 0, true);
    ck_assert_uint_eq(data[sense(3, 0x08) + 2], 0x00);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), 0);
    ck_assert_uint_eq(fx_sense().asc, SCSI_ASC_RESET);
    ck_assert_uint_eq(data[sense(0, 0x08) + 2], 0x00);
}
END_TEST

/* The sender knows what it did; the other initiator is told, and only when something changed. */
START_TEST(test_parameters_changed_goes_to_the_others)
{
    static const uint8_t tur[6] = {0};
    struct fx_cmd c;

    select_byte(&c, 0x08, 2, 0x04, false);
    fx_run_other(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    select_byte(&c, 0x08, 2, 0, false);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    fx_run_other(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense_as(true, NULL).ascq, SCSI_ASCQ_MODE_CHANGED);
}
END_TEST

START_TEST(test_mode_select_refusals)
{
    static const struct fx_row rows[] = {
        {"no list", {0x15, 0x10}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"not page format", {0x15, 0x00, 0, 0, 4}, 6, FX_OUT, 4, FX_BAD_CDB},
        {"header only", {0x15, 0x10, 0, 0, 4}, 6, FX_OUT, 4, 0, 0, 0, 0, 0},
        {"half a header", {0x15, 0x10, 0, 0, 3}, 6, FX_OUT, 3, FX_BAD_LENGTH},
        {"less data than said", {0x15, 0x10, 0, 0, 24}, 6, FX_OUT, 10, FX_BAD_PHASE, 10},
        {"page 00", {0x15, 0x10, 0, 0, 16}, 6, FX_OUT, 16, FX_BAD_PARAM},
        {"10: too long", {0x55, 0x10, 0, 0, 0, 0, 0, 2, 0}, 10, FX_OUT, 512, FX_BAD_LENGTH},
    };
    static const uint8_t cdb[6] = {0x15, 0x10, 0, 0, 24}, desc[6] = {0x15, 0x10, 0, 0, 12};
    struct fx_cmd c;

    memset(data, 0, sizeof(data));
    FX_ROWS(rows, data);
    /* A bit that cannot be changed, and the pointer to it. */
    select_byte(&c, 0x08, 2, 0x05, false);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    /* A page whose length is wrong. */
    select_byte(&c, 0x08, 1, 0x10, false);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    /* A page that is cut off. */
    sense(0, 0x08);
    memset(data, 0, 4);
    data[4] &= 0x3f;
    fx_run(&c, (const uint8_t[6]){0x15, 0x10, 0, 0, 20}, 6, FX_OUT, data, 20);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
    /* All or nothing: a good page before a bad one is not taken. */
    memset(data + 24, 0, 8);
    data[6] = 0;
    data[24] = 0x3e;
    fx_run(&c, (const uint8_t[6]){0x15, 0x10, 0, 0, 32}, 6, FX_OUT, data, 32);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    ck_assert_uint_eq(data[sense(0, 0x08) + 2], 0x04);
    /* A block descriptor longer than the list. */
    memset(data, 0, sizeof(data));
    data[3] = 8;
    fx_run(&c, (const uint8_t[6]){0x15, 0x10, 0, 0, 8}, 6, FX_OUT, data, 8);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
    /* Block descriptors may repeat what is, and nothing else. */
    memset(data, 0, sizeof(data));
    data[3] = 8;
    scsi_put24(data + 9, 512);
    fx_run(&c, desc, 6, FX_OUT, data, 12);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    scsi_put24(data + 9, 4096);
    fx_run(&c, desc, 6, FX_OUT, data, 12);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    scsi_put24(data + 9, 512);
    scsi_put32(data + 4, 999);
    fx_run(&c, desc, 6, FX_OUT, data, 12);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    data[3] = 16;
    fx_run(&c, cdb, 6, FX_OUT, data, 24);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
}
END_TEST

/* What goes out by MODE SENSE(10) with all pages comes back in by MODE SELECT(10). */
START_TEST(test_round_trip)
{
    static const uint8_t in[10] = {0x5a, 0x10, 0x3f, 0, 0, 0, 0, 0, 255};
    uint8_t out[10] = {0x55, 0x11};
    struct fx_cmd c;

    fx_run(&c, in, 10, FX_IN, data, 255);
    scsi_put16(out + 7, (uint32_t)(255 - c.x.xfer_resid));
    memset(data, 0, 4);
    for (uint64_t at = 24; at < 255 - c.x.xfer_resid; at += 2u + data[at + 1])
        data[at] &= 0x3f;
    fx_run(&c, out, 10, FX_OUT, data, scsi_get16(out + 7));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}
END_TEST

START_TEST(test_software_write_protect)
{
    static const uint8_t wr[10] = {0x2a, [8] = 1};
    struct fx_cmd c;

    fx_run(&c, wr, 10, FX_OUT, data, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    select_byte(&c, 0x0a, 4, 0x08, false);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    fx_run(&c, wr, 10, FX_OUT, data, 512);
    fx_expect_check(&c, SCSI_KEY_PROTECT, SCSI_ASC_WRITE_PROTECTED, SCSI_ASCQ_SOFTWARE_PROTECT);
    sense(0, 0x08);
    ck_assert_uint_eq(data[2] & 0x80, 0x80);
    select_byte(&c, 0x0a, 4, 0, false);
    fx_run(&c, wr, 10, FX_OUT, data, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}
END_TEST

START_TEST(test_descriptor_sense_bit)
{
    static const uint8_t bad[10] = {0x28, 0x04, 0, 0, 0, 0, 0, 0, 1};
    uint8_t raw[252];
    struct fx_cmd c;

    select_byte(&c, 0x0a, 2, 0x06, false);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    fx_run(&c, bad, 10, FX_IN, data, 512);
    ck_assert_uint_eq(fx_sense_as(false, raw).asc, SCSI_ASC_CDB_FIELD);
    ck_assert_uint_eq(raw[0], 0x72);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_mode");
    TCase *t = tcase_create("mode");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_mode_sense_table);
    tcase_add_test(t, test_changeable_default_and_saved);
    tcase_add_test(t, test_parameters_changed_goes_to_the_others);
    tcase_add_test(t, test_mode_select_refusals);
    tcase_add_test(t, test_round_trip);
    tcase_add_test(t, test_software_write_protect);
    tcase_add_test(t, test_descriptor_sense_bit);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
