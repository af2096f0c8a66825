/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_info_test.c - INQUIRY and its pages, REQUEST SENSE, READ CAPACITY, REPORT LUNS, REPORT
 * SUPPORTED OPERATION CODES, START STOP UNIT; LUNs and targets that are not there.
 */
#define _GNU_SOURCE
#include "sim_fixture.h"

#include <sys/mman.h>
#include <unistd.h>

static uint8_t data[4096];

static void setup(void) { fx_begin(4096, 1000); }

/* Run a data-in command with a data phase of `bytes`; returns what came. */
static uint64_t ask(const uint8_t *cdb, unsigned cdb_bytes, size_t bytes)
{
    struct fx_cmd c;

    memset(data, 0xee, sizeof(data));
    fx_run(&c, cdb, cdb_bytes, FX_IN, data, bytes);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(data[bytes - c.x.xfer_resid], 0xee);
    return bytes - c.x.xfer_resid;
}

START_TEST(test_inquiry)
{
    static const uint8_t all[6] = {0x12, 0, 0, 0, 255}, some[6] = {0x12, 0, 0, 0, 36}, none[6] = {0x12};
    static const uint8_t longer[6] = {0x12, 0, 0, 1, 0};
    static const struct fx_row rows[] = {
        {"page code without EVPD", {0x12, 0, 0x80, 0, 255}, 6, FX_IN, 255, FX_BAD_CDB},
        {"obsolete CMDDT", {0x12, 0x02, 0, 0, 255}, 6, FX_IN, 255, FX_BAD_CDB},
        {"unknown page", {0x12, 0x01, 0xc7, 0, 255}, 6, FX_IN, 255, FX_BAD_CDB},
        {"more than the data phase takes", {0x12, 0, 0, 0, 36}, 6, FX_IN, 10, FX_BAD_PHASE, 0},
        {"allocated more than there is", {0x12, 0, 0, 0, 255}, 6, FX_IN, 96, 0, 0, 0, 0, 0},
        {"wrong direction", {0x12, 0, 0, 0, 36}, 6, FX_OUT, 36, FX_BAD_PHASE, 36},
    };

    ck_assert_uint_eq(ask(all, 6, 255), 96);
    ck_assert_uint_eq(data[0], 0);
    ck_assert_uint_eq(data[4], 91);
    ck_assert_uint_eq(data[7] & 0x02, 0x02);
    ck_assert_mem_eq(data + 8, "SCPAIR  SIMULATED DISK  0001", 28);
    ck_assert_uint_eq(ask(some, 6, 255), 36);
    ck_assert_uint_eq(data[4], 91); /* not cut with the data */
    ck_assert_uint_eq(ask(none, 6, 255), 0);
    ck_assert_uint_eq(ask(longer, 6, 512), 96);
    FX_ROWS(rows, data);
}
END_TEST

START_TEST(test_vital_product_data)
{
    uint8_t cdb[6] = {0x12, 1, 0, 0, 255};
    uint64_t n;

    n = ask(cdb, 6, 255);
    ck_assert_uint_eq(n, 4 + 6);
    ck_assert_mem_eq(data + 4, "\x00\x80\x83\xb0\xb1\xb2", 6);
    for (unsigned i = 0; i < 6; i++) {
        cdb[2] = (uint8_t[]){0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2}[i];
        n = ask(cdb, 6, 255);
        ck_assert_uint_eq(data[1], cdb[2]);
        ck_assert_uint_eq(scsi_get16(data + 2) + 4u, n);
    }
    cdb[2] = 0x80;
    ask(cdb, 6, 255);
    ck_assert_mem_eq(data + 4, "SIM0300", 7);
    cdb[2] = 0x83;
    n = ask(cdb, 6, 255);
    for (uint64_t at = 4; at < n; at += 4u + data[at + 3])
        ck_assert_uint_le(at + 4 + data[at + 3], n);
    cdb[2] = 0xb0;
    ck_assert_uint_eq(ask(cdb, 6, 255), 64);
    ck_assert_uint_eq(scsi_get32(data + 8), 256); /* 1 MiB of 4096-byte blocks */
    ck_assert_uint_eq(scsi_get32(data + 12), 256);
    ck_assert_uint_eq(scsi_get32(data + 20), UINT32_MAX);
    ck_assert_uint_eq(scsi_get32(data + 24), 255);
    cdb[2] = 0xb1;
    ask(cdb, 6, 255);
    ck_assert_uint_eq(scsi_get16(data + 4), 1);
    cdb[2] = 0xb2;
    ask(cdb, 6, 255);
    ck_assert_uint_eq(data[5] & 0xe0, 0xe0);
}
END_TEST

START_TEST(test_capacity)
{
    static const uint8_t ten[10] = {0x25}, sixteen[16] = {0x9e, 0x10, [13] = 32},
                         cut[16] = {0x9e, 0x10, [13] = 12};
    static const struct fx_row rows[] = {
        {"10: address without PMI", {0x25, [5] = 1}, 10, FX_IN, 8, FX_BAD_CDB},
        {"10: reserved", {0x25, [6] = 1}, 10, FX_IN, 8, FX_BAD_CDB},
        {"10: PMI", {0x25, [5] = 1, [8] = 1}, 10, FX_IN, 8, 0, 0, 0, 0, 0},
        {"16: address without PMI", {0x9e, 0x10, [9] = 1, [13] = 32}, 16, FX_IN, 32, FX_BAD_CDB},
    };

    ck_assert_uint_eq(ask(ten, 10, 8), 8);
    ck_assert_uint_eq(scsi_get32(data), 999);
    ck_assert_uint_eq(scsi_get32(data + 4), 4096);
    ck_assert_uint_eq(ask(sixteen, 16, 64), 32);
    ck_assert_uint_eq(scsi_get64(data), 999);
    ck_assert_uint_eq(scsi_get32(data + 8), 4096);
    ck_assert_uint_eq(data[14], 0xc0);
    ck_assert_uint_eq(ask(cut, 16, 64), 12);
    FX_ROWS(rows, data);
}
END_TEST

/* Above 2^32 blocks READ CAPACITY(10) says "ask the other one"; a new size is announced. */
START_TEST(test_resize)
{
    static const uint8_t ten[10] = {0x25}, sixteen[16] = {0x9e, 0x10, [13] = 32}, tur[6] = {0};
    struct fx_cmd c;

    ck_assert_int_eq(sim_disk_resize(fx_disk, 0), EINVAL);
    ck_assert_int_eq(sim_disk_resize(fx_disk, UINT64_MAX), EINVAL);
    ck_assert_int_eq(sim_disk_resize(fx_disk, (uint64_t)1 << 33), 0);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, SCSI_ASC_PARAMETERS, SCSI_ASCQ_CAPACITY);
    ask(ten, 10, 8);
    ck_assert_uint_eq(scsi_get32(data), UINT32_MAX);
    ask(sixteen, 16, 32);
    ck_assert_uint_eq(scsi_get64(data), ((uint64_t)1 << 33) - 1);
}
END_TEST

START_TEST(test_report_luns)
{
    static const uint8_t all[12] = {0xa0, [9] = 255}, known[12] = {0xa0, 0, 1, [9] = 255};
    static const struct fx_row rows[] = {
        {"allocation below 16", {0xa0, [9] = 15}, 12, FX_IN, 255, FX_BAD_CDB},
        {"select 3", {0xa0, 0, 3, [9] = 16}, 12, FX_IN, 255, FX_BAD_CDB},
    };
    struct sim_disk_config other = {.sd_lun = 5, .sd_block_bytes = 512, .sd_blocks = 8};

    fx_add_disk(&other);
    ck_assert_uint_eq(ask(all, 12, 255), 24);
    ck_assert_uint_eq(scsi_get32(data), 16);
    ck_assert_uint_eq(data[9], 0);
    ck_assert_uint_eq(data[17], 5);
    ck_assert_uint_eq(ask(known, 12, 255), 8);
    FX_ROWS(rows, data);
}
END_TEST

START_TEST(test_absent_luns_and_targets)
{
    static const uint8_t inq[6] = {0x12, 0, 0, 0, 36}, tur[6] = {0}, sense[6] = {0x03, 0, 0, 0, 18};
    static const uint8_t luns[12] = {0xa0, [9] = 64}, vpd[6] = {0x12, 1, 0x80, 0, 36},
                         pages[6] = {0x12, 1, 0, 0, 36};
    static const struct {
        const uint8_t *cdb;
        uint8_t bytes, status;
    } row[] = {{inq, 6, SC_GOOD_STATUS},     {sense, 6, SC_GOOD_STATUS}, {luns, 12, SC_GOOD_STATUS},
               {tur, 6, SC_CHECK_CONDITION}, {pages, 6, SC_GOOD_STATUS}, {vpd, 6, SC_CHECK_CONDITION}};
    struct fx_cmd c;

    for (unsigned i = 0; i < SC_ARRAY_SIZE(row); i++) {
        fx_prepare(&c, row[i].cdb, row[i].bytes, FX_IN, data, 64);
        c.x.xfer_lun = 9;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        ck_assert_uint_eq(fx_status(&c), row[i].status);
        if (row[i].cdb == inq)
            ck_assert_uint_eq(data[0], 0x7f);
        if (row[i].cdb == pages)
            ck_assert_uint_eq(scsi_get16(data + 2), 1); /* that page alone */
        if (row[i].cdb == sense) {
            ck_assert_uint_eq(data[2], SCSI_KEY_ILLEGAL);
            ck_assert_uint_eq(data[12], SCSI_ASC_LUN);
        }
        fx_release(&c);
    }
    for (unsigned id = 0; id < 40; id++) {
        if (id == FX_ID)
            continue;
        fx_prepare(&c, tur, 6, FX_IN, NULL, 0);
        c.x.xfer_id = (uint8_t)id;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        ck_assert_uint_eq(c.x.xfer_result, AD_RES_SELECT_TIMEOUT);
    }
}
END_TEST

/* ---------------------------------------------------------------- sense */

START_TEST(test_sense_formats)
{
    static const uint8_t fixed[6] = {0x03, 0, 0, 0, 252}, desc[6] = {0x03, 1, 0, 0, 252},
                         four[6] = {0x03, 0, 0, 0, 4};
    static const uint8_t none[6] = {0x03}, bad[10] = {0x28, 0x04, 0, 0, 0, 0, 0, 0, 1};
    struct fx_cmd c;

    fx_run(&c, bad, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(ask(fixed, 6, 252), 18);
    ck_assert_uint_eq(data[0], 0x70);
    ck_assert_uint_eq(data[7], 10);
    ck_assert_uint_eq(data[15], 0x80 | 0x40 | 0x08 | 2); /* the CDB, bit 2 */
    ck_assert_uint_eq(scsi_get16(data + 16), 1);         /* of byte 1 */
    /* Fetched is gone. */
    ck_assert_uint_eq(ask(fixed, 6, 252), 18);
    ck_assert_uint_eq(data[2], 0);
    fx_run(&c, bad, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(ask(desc, 6, 252), 16);
    ck_assert_uint_eq(data[0], 0x72);
    ck_assert_uint_eq(data[1], SCSI_KEY_ILLEGAL);
    ck_assert_uint_eq(data[8], 2);
    fx_run(&c, bad, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(ask(four, 6, 252), 4);
    fx_run(&c, bad, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(ask(none, 6, 252), 0);
    ck_assert_uint_eq(fx_sense().key, 0); /* even a length of 0 has fetched it */
}
END_TEST

START_TEST(test_unit_attention)
{
    static const uint8_t tur[6] = {0}, inq[6] = {0x12, 0, 0, 0, 36}, rd[10] = {0x28, [8] = 1},
                         sense[6] = {0x03, 0, 0, 0, 18};
    struct fx_cmd c;

    /* INQUIRY neither reports nor clears it; a read reports it and moves nothing; then it is gone. */
    sim_disk_attention(fx_disk, 0x3f, 0x03);
    ask(inq, 6, 36);
    fx_run(&c, rd, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(c.x.xfer_resid, 4096);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x3f, 0x03);
    fx_run(&c, rd, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    /* Two different ones come one after the other; the same one twice only once. */
    sim_disk_attention(fx_disk, 0x29, 0x02);
    sim_disk_attention(fx_disk, 0x3f, 0x03);
    sim_disk_attention(fx_disk, 0x29, 0x02);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x29, 0x02);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x3f, 0x03);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    /* REQUEST SENSE alone reports and clears it. */
    sim_disk_attention(fx_disk, 0x29, 0x02);
    ask(sense, 6, 18);
    ck_assert_uint_eq(data[2], SCSI_KEY_ATTENTION);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}
END_TEST

/* A full queue, of six, keeps the old ones. */
#define ROOM 6u
START_TEST(test_more_attentions_than_there_is_room)
{
    static const uint8_t tur[6] = {0};
    struct fx_cmd c;

    for (uint8_t i = 0; i <= ROOM; i++)
        sim_disk_attention(fx_disk, 0x3f, i);
    for (uint8_t i = 0; i < ROOM; i++) {
        fx_run(&c, tur, 6, FX_IN, NULL, 0);
        fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x3f, i);
    }
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}
END_TEST

START_TEST(test_power_on_attention_once)
{
    static const uint8_t tur[6] = {0};
    struct sim_disk_config other = {.sd_lun = 1, .sd_block_bytes = 512, .sd_blocks = 8};

    fx_add_disk(&other);
    for (unsigned i = 0; i < 3; i++) {
        struct fx_cmd c;

        fx_prepare(&c, tur, 6, FX_IN, NULL, 0);
        c.x.xfer_lun = 1;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        ck_assert_uint_eq(fx_status(&c), i == 0 ? SC_CHECK_CONDITION : SC_GOOD_STATUS);
    }
}
END_TEST

/* ---------------------------------------------------------------- others */

START_TEST(test_start_stop)
{
    static const struct fx_row rows[] = {
        {"stop", {0x1b}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"not ready", {0x00}, 6, FX_IN, 0, SC_CHECK_CONDITION, SCSI_KEY_NOT_READY, 0x04, 0x02, 0},
        {"read", {0x28, [8] = 1}, 10, FX_IN, 4096, SC_CHECK_CONDITION, SCSI_KEY_NOT_READY, 0x04, 0x02, 0},
        {"inquiry", {0x12, 0, 0, 0, 36}, 6, FX_IN, 36, 0, 0, 0, 0, 0},
        {"mode sense", {0x1a, 0, 0x3f, 0, 4}, 6, FX_IN, 4, 0, 0, 0, 0, 0},
        {"start", {0x1b, 0x01, 0, 0, 1}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"ready", {0x00}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"eject", {0x1b, 0, 0, 0, 0x02}, 6, FX_IN, 0, FX_BAD_CDB},
        {"eject under ACTIVE", {0x1b, 0, 0, 0, 0x12}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"stop under STANDBY", {0x1b, 0, 0, 0x0f, 0x30}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"forced", {0x1b, 0x01, 0, 0, 0xa4}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"reserved condition", {0x1b, 0, 0, 0, 0xf0}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"still ready", {0x00}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"reserved bit", {0x1b, 0, 0, 0, 0x08}, 6, FX_IN, 0, FX_BAD_CDB},
        {"stop again", {0x1b}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"LU CONTROL does not start", {0x1b, 0, 0, 0, 0x71}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"not ready yet", {0x00}, 6, FX_IN, 0, SC_CHECK_CONDITION, SCSI_KEY_NOT_READY, 0x04, 0x02, 0},
        {"IDLE starts", {0x1b, 0, 0, 0, 0x20}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"ready again", {0x00}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"prevent", {0x1e, 0, 0, 0, 1}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"allow", {0x1e, 0, 0, 0, 0}, 6, FX_IN, 0, 0, 0, 0, 0, 0},
        {"prevent reserved", {0x1e, 0, 0, 0, 4}, 6, FX_IN, 0, FX_BAD_CDB},
    };

    FX_ROWS(rows, data);
}
END_TEST

START_TEST(test_report_opcodes)
{
    uint8_t cdb[12] = {0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0};
    uint64_t n = ask(cdb, 12, 4000);
    unsigned seen = 0;

    ck_assert_uint_eq(scsi_get32(data) + 4, n);
    for (uint64_t at = 4; at < n; at += 8, seen++)
        ck_assert_uint_ge(scsi_get16(data + at + 6), 6);
    ck_assert_uint_gt(seen, 40);
    cdb[2] = 0x80; /* with timeouts */
    ck_assert_uint_eq(ask(cdb, 12, 4000), 4 + 20 * seen);
    for (unsigned i = 0; i < seen; i++) {
        const uint8_t *d = data + 4 + (size_t)20 * i;

        ck_assert_uint_eq(d[5] & 0x02, 0x02);
        ck_assert_uint_eq(scsi_get16(d + 8), 10);
        ck_assert_uint_eq(scsi_get32(d + 16), d[0] == 0x04 || d[0] == 0x93 ? 3600
                                              : d[0] == 0x28               ? 30
                                              : d[0] == 0x12               ? 10
                                                                           : scsi_get32(d + 16));
        ck_assert_uint_gt(scsi_get32(d + 16), 0);
    }
    cdb[2] = 1;
    cdb[3] = 0x28;
    ck_assert_uint_eq(ask(cdb, 12, 4000), 14);
    ck_assert_uint_eq(data[1], 3);
    ck_assert_uint_eq(data[4], 0x28);
    ck_assert_uint_eq(data[5], 0x18);
    cdb[3] = 0xc1;
    ask(cdb, 12, 4000);
    ck_assert_uint_eq(data[1], 1);
    cdb[2] = 2;
    cdb[3] = 0x9e;
    cdb[5] = 0x12;
    ck_assert_uint_eq(ask(cdb, 12, 4000), 20);
    cdb[5] = 0x13;
    ask(cdb, 12, 4000);
    ck_assert_uint_eq(data[1], 1);
    cdb[2] = 3;
    cdb[5] = 0x10;
    ask(cdb, 12, 4000);
    ck_assert_uint_eq(data[1], 3);
}
END_TEST

START_TEST(test_report_opcodes_refusals)
{
    static const struct fx_row rows[] = {
        {"one code, but it has actions", {0xa3, 0x0c, 1, 0x9e, [9] = 64}, 12, FX_IN, 64, FX_BAD_CDB},
        {"action of a code without", {0xa3, 0x0c, 2, 0x28, [9] = 64}, 12, FX_IN, 64, FX_BAD_CDB},
        {"unknown option", {0xa3, 0x0c, 4, 0x28, [9] = 64}, 12, FX_IN, 64, FX_BAD_CDB},
        {"unknown action", {0xa3, 0x1d, [9] = 64}, 12, FX_IN, 64, FX_BAD_CDB},
    };

    FX_ROWS(rows, data);
}
END_TEST

/* Fewer command bytes than the operation has: no status at all, the phases do not fit. */
START_TEST(test_task_management_functions)
{
    static const struct fx_row rows[] = {
        {"no room for four bytes", {0xa3, 0x0d, [9] = 3}, 12, FX_IN, 3, FX_BAD_CDB},
        {"reserved", {0xa3, 0x0d, 0x01, [9] = 4}, 12, FX_IN, 4, FX_BAD_CDB},
    };
    uint8_t cdb[12] = {0xa3, 0x0d, [9] = 64};

    FX_ROWS(rows, data);
    ck_assert_uint_eq(ask(cdb, 12, 64), 4);
    ck_assert_uint_eq(data[0], 0x8a); /* ABORT TASK, LOGICAL UNIT RESET, TARGET RESET */
    ck_assert_uint_eq(data[1] | data[2] | data[3], 0);
    cdb[2] = 0x80;
    ck_assert_uint_eq(ask(cdb, 12, 64), 16);
    ck_assert_uint_eq(data[3], 12);
}
END_TEST

/* Every LUN of the target says so when another one comes or goes, once, and not after REPORT LUNS. */
START_TEST(test_reported_luns_have_changed)
{
    struct sim_disk_config disk = {.sd_lun = 1, .sd_id = FX_ID, .sd_block_bytes = 512, .sd_blocks = 8};
    static const uint8_t tur[6] = {0}, luns[12] = {0xa0, [9] = 64};
    struct fx_cmd c;

    ck_assert_int_eq(sim_medium_null(&disk.sd_ops, &disk.sd_medium), 0);
    ck_assert_int_eq(sim_disk_add(fx_bus, &disk), 0);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x3f, 0x0e);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    fx_run_other(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense_as(true, NULL).asc, 0x3f);
    sim_disk_remove(fx_bus, sim_disk_find(fx_bus, FX_ID, 1));
    ask(luns, 12, 64);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    /* Another attention in the same queue stays. */
    disk.sd_id = 4;
    ck_assert_int_eq(sim_disk_add(fx_bus, &disk), 0);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS); /* another target */
    sim_disk_attention(fx_disk, 0x3f, 0x0e);
    sim_disk_attention(fx_disk, 0x29, 0x02);
    ask(luns, 12, 64);
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x29, 0x02);
}
END_TEST

/* Too few and too many command bytes for the operation code's group. */
START_TEST(test_cdb_length_against_code)
{
    static const uint8_t rd[16] = {0x28, [8] = 1}, tur[16] = {0}, vendor[16] = {0xc5};
    struct fx_cmd c;

    fx_run(&c, rd, 6, FX_IN, data, 512);
    ck_assert_uint_eq(c.x.xfer_result, AD_RES_BUS_FAULT);
    ck_assert_uint_eq(c.x.xfer_resid, 512);
    fx_run(&c, rd, 12, FX_IN, data, 512);
    ck_assert_uint_eq(c.x.xfer_result, AD_RES_BUS_FAULT);
    fx_run(&c, tur, 10, FX_IN, NULL, 0);
    ck_assert_uint_eq(c.x.xfer_result, AD_RES_BUS_FAULT);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_CDB), 3);
    fx_run(&c, vendor, 16, FX_IN, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_OPCODE, 0);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_CDB), 3);
}
END_TEST

/* The CDB ends where a page ends, and the next one must not be touched. */
START_TEST(test_no_byte_beyond_the_cdb_is_read)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct fx_cmd c;

    ck_assert_ptr_ne(two, MAP_FAILED);
    ck_assert_int_eq(mprotect(two + page, page, PROT_NONE), 0);
    for (unsigned code = 0; code < 256; code++) {
        for (unsigned bytes = 0; bytes <= 16; bytes++) {
            fx_prepare(&c, (const uint8_t[1]){0}, 1, FX_IN, data, 512);
            c.x.xfer_cdb = two + page - bytes;
            c.x.xfer_cdb_len = (uint8_t)bytes;
            memset(two + page - bytes, 0, bytes);
            if (bytes)
                two[page - bytes] = (uint8_t)code;
            ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
            if (bytes < 6)
                ck_assert_uint_eq(c.x.xfer_result, AD_RES_BUS_FAULT);
            fx_release(&c);
        }
    }
    munmap(two, 2 * page);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_info");
    TCase *t = tcase_create("info"), *sense = tcase_create("sense");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_inquiry);
    tcase_add_test(t, test_vital_product_data);
    tcase_add_test(t, test_capacity);
    tcase_add_test(t, test_resize);
    tcase_add_test(t, test_report_luns);
    tcase_add_test(t, test_absent_luns_and_targets);
    tcase_add_test(t, test_start_stop);
    tcase_add_test(t, test_report_opcodes);
    tcase_add_test(t, test_report_opcodes_refusals);
    tcase_add_test(t, test_task_management_functions);
    tcase_add_test(t, test_reported_luns_have_changed);
    tcase_add_test(t, test_cdb_length_against_code);
    tcase_add_test(t, test_no_byte_beyond_the_cdb_is_read);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(sense, setup, fx_end);
    tcase_add_test(sense, test_sense_formats);
    tcase_add_test(sense, test_unit_attention);
    tcase_add_test(sense, test_more_attentions_than_there_is_room);
    tcase_add_test(sense, test_power_on_attention_once);
    suite_add_tcase(s, sense);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
