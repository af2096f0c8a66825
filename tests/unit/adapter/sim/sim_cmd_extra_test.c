/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_extra_test.c - ORWRITE, PRE-FETCH, READ DEFECT DATA, SANITIZE; physical blocks larger than
 * logical ones; a removable medium.
 */
#include "sim_fixture.h"

#define BLOCKS 1024u

static uint8_t data[64 * 512];

static void begin_with(struct sim_disk_config disk)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};

    disk.sd_block_bytes = 512;
    disk.sd_blocks = BLOCKS;
    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
}

static void setup(void) { begin_with((struct sim_disk_config){0}); }
static void setup_removable(void) { begin_with((struct sim_disk_config){.sd_removable = true}); }

static void transfer(uint8_t code, uint32_t lba, uint16_t blocks, int dir)
{
    uint8_t cdb[10] = {code};
    struct fx_cmd c;

    scsi_put32(cdb + 2, lba);
    scsi_put16(cdb + 7, blocks);
    fx_run(&c, cdb, 10, dir, data, (size_t)blocks * 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}

static unsigned simple(const uint8_t *cdb, bool other)
{
    struct fx_cmd c;

    if (other)
        fx_run_other(&c, cdb, 6, FX_OUT, NULL, 0);
    else
        fx_run(&c, cdb, 6, FX_OUT, NULL, 0);
    return fx_status(&c);
}

START_TEST(test_orwrite)
{
    static const struct fx_row rows[] = {
        {"nothing", {0x8b}, 16, FX_OUT, 0, SC_GOOD_STATUS, 0, 0, 0, 0},
        {"beyond", {0x8b, [8] = 4, [13] = 1}, 16, FX_OUT, 512, FX_BAD_LBA},
        {"protection", {0x8b, 0x20, [13] = 1}, 16, FX_OUT, 512, FX_BAD_CDB},
        {"too little data", {0x8b, [13] = 2}, 16, FX_OUT, 512, FX_BAD_PHASE, 512},
        {"the wrong way", {0x8b, [13] = 1}, 16, FX_IN, 512, FX_BAD_PHASE, 512},
    };
    uint8_t cdb[16] = {0x8b, 0x08, [9] = 7, [13] = 3};
    struct sim_disk_stats st;
    struct fx_cmd c;

    memset(data, 0x0f, sizeof(data));
    transfer(0x2a, 6, 5, FX_OUT);
    memset(data, 0xa5, sizeof(data));
    fx_run(&c, cdb, 16, FX_OUT, data, 3 * 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    sim_disk_stats_get(fx_disk, &st);
    ck_assert_uint_eq(st.st_bytes_written, (5 + 3) * 512);
    transfer(0x28, 6, 5, FX_IN);
    for (unsigned i = 0; i < 5 * 512; i++)
        ck_assert_uint_eq(data[i], i / 512 >= 1 && i / 512 <= 3 ? 0xaf : 0x0f);
    FX_ROWS(rows, data);
}
END_TEST

/* A bad block in the middle: what comes before it is written, it and the rest are not. */
START_TEST(test_orwrite_bad_block)
{
    uint8_t cdb[16] = {0x8b, [9] = 10, [13] = 4};
    struct sim_fault f = {.f_opcode = 0x8b,
                          .f_lba_first = 12,
                          .f_lba_last = 12,
                          .f_count = 1,
                          .f_action = SIM_FAULT_CHECK,
                          .f_key = SCSI_KEY_MEDIUM,
                          .f_asc = SCSI_ASC_WRITE_ERROR};
    struct scsi_sense s;
    struct fx_cmd c;

    ck_assert_int_ge(sim_fault_add(fx_disk, &f), 0);
    memset(data, 0xff, sizeof(data));
    fx_run(&c, cdb, 16, FX_OUT, data, 4 * 512);
    s = fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0);
    ck_assert_uint_eq(s.info, 12);
    transfer(0x28, 10, 4, FX_IN);
    ck_assert_uint_eq(data[0], 0xff);
    ck_assert_uint_eq(data[2 * 512 - 1], 0xff);
    ck_assert_uint_eq(data[2 * 512], 0);
    ck_assert_uint_eq(data[4 * 512 - 1], 0);
}
END_TEST

START_TEST(test_prefetch)
{
    static const struct fx_row rows[] = {
        {"10", {0x34, 0x02, [5] = 1, [8] = 8}, 10, FX_OUT, 0, SC_GOOD_STATUS, 0, 0, 0, 0},
        {"10: to the end", {0x34, 0, [4] = 4}, 10, FX_OUT, 0, SC_GOOD_STATUS, 0, 0, 0, 0},
        {"10: beyond", {0x34, 0, [4] = 4, [8] = 1}, 10, FX_OUT, 0, FX_BAD_LBA},
        {"10: reserved", {0x34, 0x01, [8] = 1}, 10, FX_OUT, 0, FX_BAD_CDB},
        {"16", {0x90, 0x02, [9] = 1, [13] = 8}, 16, FX_OUT, 0, SC_GOOD_STATUS, 0, 0, 0, 0},
        {"16: beyond", {0x90, 0, [8] = 4, [13] = 1}, 16, FX_OUT, 0, FX_BAD_LBA},
    };

    FX_ROWS(rows, NULL);
}
END_TEST

START_TEST(test_defects)
{
    static const struct fx_row rows[] = {
        {"10", {0x37, 0, 0x18, [8] = 16}, 10, FX_IN, 16, SC_GOOD_STATUS, 0, 0, 0, 12},
        {"10: cut", {0x37, 0, 0x18, [8] = 2}, 10, FX_IN, 2, SC_GOOD_STATUS, 0, 0, 0, 0},
        {"10: a vendor's format", {0x37, 0, 0x1e, [8] = 16}, 10, FX_IN, 16, FX_BAD_CDB},
        {"12: reserved format", {0xb7, 0x1f, [9] = 16}, 12, FX_IN, 16, FX_BAD_CDB},
        {"12", {0xb7, 0x0b, [9] = 16}, 12, FX_IN, 16, SC_GOOD_STATUS, 0, 0, 0, 8},
    };
    static const uint8_t empty[8] = {0, 0x0b};

    memset(data, 0xee, sizeof(data));
    FX_ROWS(rows, data);
    ck_assert_mem_eq(data, empty, sizeof(empty));
    ck_assert_uint_eq(data[8], 0xee);
}
END_TEST

START_TEST(test_sanitize)
{
    static const uint8_t actions[] = {SCSI_SA_SANITIZE_BLOCK, SCSI_SA_SANITIZE_CRYPTO};
    static const uint8_t vpd[6] = {0x12, 0x01, 0xb1, 0, 64, 0};
    static const struct fx_row rows[] = {
        {"exit", {0x48, 0x1f}, 10, FX_OUT, 0, SC_GOOD_STATUS, 0, 0, 0, 0},
        {"overwrite", {0x48, 0x01, [8] = 8}, 10, FX_OUT, 8, FX_BAD_CDB},
        {"no action", {0x48, 0x00}, 10, FX_OUT, 0, FX_BAD_CDB},
        {"a list", {0x48, 0x02, [8] = 8}, 10, FX_OUT, 8, FX_BAD_CDB},
    };
    struct fx_cmd c;

    for (unsigned i = 0; i < sizeof(actions); i++) {
        const uint8_t cdb[10] = {0x48, actions[i]};

        memset(data, 0x77, sizeof(data));
        transfer(0x2a, 0, 1, FX_OUT);
        transfer(0x2a, BLOCKS - 1, 1, FX_OUT);
        fx_run(&c, cdb, 10, FX_OUT, NULL, 0);
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        transfer(0x28, 0, 1, FX_IN);
        ck_assert_uint_eq(data[0], 0);
        transfer(0x28, BLOCKS - 1, 1, FX_IN);
        ck_assert_uint_eq(data[511], 0);
    }
    FX_ROWS(rows, data);
    fx_run(&c, vpd, 6, FX_IN, data, 64);
    ck_assert_uint_eq(data[7], 0x50);
}
END_TEST

/* ---------------------------------------------------------------- physical blocks */

START_TEST(test_physical)
{
    static const uint8_t capacity[16] = {0x9e, 0x10, [13] = 32}, limits[6] = {0x12, 0x01, 0xb0, 0, 64, 0};
    struct sim_disk_config bad = {.sd_id = 5, .sd_block_bytes = 4096, .sd_blocks = 8};
    struct fx_cmd c;

    begin_with((struct sim_disk_config){.sd_physical_bytes = 16384});
    fx_run(&c, capacity, 16, FX_IN, data, 32);
    ck_assert_uint_eq(data[13], 5);
    ck_assert_uint_eq(scsi_get16(data + 14) & 0x3fff, 0);
    fx_run(&c, limits, 6, FX_IN, data, 64);
    ck_assert_uint_eq(scsi_get16(data + 6), 32);
    ck_assert_uint_eq(scsi_get32(data + 28), 32);
    ck_assert_int_eq(sim_medium_null(&bad.sd_ops, &bad.sd_medium), 0);
    bad.sd_physical_bytes = 2048;
    ck_assert_int_eq(sim_disk_add(fx_bus, &bad), EINVAL);
    bad.sd_physical_bytes = 12288;
    ck_assert_int_eq(sim_disk_add(fx_bus, &bad), EINVAL);
    bad.sd_physical_bytes = 131072;
    ck_assert_int_eq(sim_disk_add(fx_bus, &bad), EINVAL);
    fx_end();
}
END_TEST

/* ---------------------------------------------------------------- removable */

static const uint8_t ready[6] = {0x00}, eject[6] = {0x1b, [4] = 2}, load[6] = {0x1b, [4] = 3},
                     prevent[6] = {0x1e, [4] = 1}, allow[6] = {0x1e};

START_TEST(test_eject)
{
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 36, 0};
    struct fx_cmd c;

    fx_run(&c, inquiry, 6, FX_IN, data, 36);
    ck_assert_uint_eq(data[1], 0x80);
    memset(data, 0x55, 512);
    transfer(0x2a, 3, 1, FX_OUT);
    ck_assert_uint_eq(simple(eject, false), SC_GOOD_STATUS);
    fx_run(&c, ready, 6, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, 0);
    fx_run(&c, (const uint8_t[10]){0x28, [8] = 1}, 10, FX_IN, data, 512);
    fx_expect_check(&c, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, 0);
    /* To stop what is empty is granted; that there is nothing in it is still what counts. */
    ck_assert_uint_eq(simple((const uint8_t[6]){0x1b}, false), SC_GOOD_STATUS);
    fx_run(&c, ready, 6, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, 0);
    /* Without an error before it, REQUEST SENSE tells the state; INQUIRY answers as ever. */
    ck_assert_uint_eq(fx_sense().asc, SCSI_ASC_NO_MEDIUM);
    fx_run(&c, inquiry, 6, FX_IN, data, 36);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(load, false), SC_GOOD_STATUS);
    /* Who loaded knows; the other one is told. */
    ck_assert_uint_eq(simple(ready, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(ready, true), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense_as(true, NULL).asc, SCSI_ASC_MEDIUM_CHANGED);
    ck_assert_uint_eq(simple(ready, true), SC_GOOD_STATUS);
    transfer(0x28, 3, 1, FX_IN);
    ck_assert_uint_eq(data[511], 0x55);
    /* What is loaded also runs, and be it that it was stopped before. */
    ck_assert_uint_eq(simple((const uint8_t[6]){0x1b}, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(ready, false), SC_CHECK_CONDITION);
    (void)fx_sense();
    ck_assert_uint_eq(simple(load, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(ready, false), SC_GOOD_STATUS);
    /* To load what is loaded changes nothing. */
    ck_assert_uint_eq(simple(load, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(ready, true), SC_GOOD_STATUS);
}
END_TEST

/* A hand at the drive: nobody's command, so everybody is told; a stopped unit runs again, untold. */
START_TEST(test_load_by_hand)
{
    struct fx_cmd c;

    ck_assert_uint_eq(simple(eject, false), SC_GOOD_STATUS);
    sim_disk_load(fx_disk);
    for (unsigned other = 0; other < 2; other++) {
        ck_assert_uint_eq(simple(ready, other), SC_CHECK_CONDITION);
        ck_assert_uint_eq(fx_sense_as(other, NULL).asc, SCSI_ASC_MEDIUM_CHANGED);
        ck_assert_uint_eq(simple(ready, other), SC_GOOD_STATUS);
    }
    sim_disk_load(fx_disk);
    ck_assert_uint_eq(simple(ready, false), SC_GOOD_STATUS);
    fx_run(&c, (const uint8_t[6]){0x1b}, 6, FX_OUT, NULL, 0);
    fx_run(&c, ready, 6, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense().key, SCSI_KEY_NOT_READY);
    sim_disk_load(fx_disk);
    ck_assert_uint_eq(simple(ready, false), SC_GOOD_STATUS);
}
END_TEST

START_TEST(test_prevent)
{
    struct fx_cmd c;

    ck_assert_uint_eq(simple(prevent, false), SC_GOOD_STATUS);
    fx_run(&c, eject, 6, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_REMOVAL, SCSI_ASCQ_REMOVAL_PREVENTED);
    ck_assert_uint_eq(simple(ready, false), SC_GOOD_STATUS);
    /* Both initiators have to allow it. */
    ck_assert_uint_eq(simple(prevent, true), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(allow, false), SC_GOOD_STATUS);
    fx_run(&c, eject, 6, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_REMOVAL, SCSI_ASCQ_REMOVAL_PREVENTED);
    ck_assert_uint_eq(simple(allow, true), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(eject, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(load, false), SC_GOOD_STATUS);
    /* A reset allows it for everybody. */
    ck_assert_uint_eq(simple(prevent, false), SC_GOOD_STATUS);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), 0);
    (void)fx_sense();
    ck_assert_uint_eq(simple(eject, false), SC_GOOD_STATUS);
}
END_TEST

START_TEST(test_fixed)
{
    struct fx_cmd c;

    fx_run(&c, eject, 6, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_CDB_FIELD, 0);
    ck_assert_uint_eq(simple(prevent, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(allow, false), SC_GOOD_STATUS);
    ck_assert_uint_eq(simple(ready, false), SC_GOOD_STATUS);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_extra");
    TCase *plain = tcase_create("plain"), *removable = tcase_create("removable"),
          *physical = tcase_create("physical");

    tcase_add_checked_fixture(plain, setup, fx_end);
    tcase_add_test(plain, test_orwrite);
    tcase_add_test(plain, test_orwrite_bad_block);
    tcase_add_test(plain, test_prefetch);
    tcase_add_test(plain, test_defects);
    tcase_add_test(plain, test_sanitize);
    tcase_add_test(plain, test_fixed);
    suite_add_tcase(s, plain);
    tcase_add_checked_fixture(removable, setup_removable, fx_end);
    tcase_add_test(removable, test_eject);
    tcase_add_test(removable, test_load_by_hand);
    tcase_add_test(removable, test_prevent);
    suite_add_tcase(s, removable);
    tcase_add_test(physical, test_physical);
    suite_add_tcase(s, physical);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
