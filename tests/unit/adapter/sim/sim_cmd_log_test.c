/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_log_test.c - LOG SENSE and SEND DIAGNOSTIC.
 */
#include "sim_fixture.h"

static uint8_t data[4096];

static void setup(void) { fx_begin(512, 1000); }

/* LOG SENSE of cumulative values; returns the page length. */
static unsigned page(unsigned code, unsigned pointer)
{
    uint8_t cdb[10] = {0x4d, 0, (uint8_t)(0x40 | code), [5] = 0, (uint8_t)pointer, 0, 255};
    struct fx_cmd c;

    memset(data, 0, sizeof(data));
    fx_run(&c, cdb, 10, FX_IN, data, 255);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(data[0], code);
    ck_assert_uint_eq(c.x.xfer_resid, 255u - 4 - scsi_get16(data + 2));
    return scsi_get16(data + 2);
}

START_TEST(test_supported_log_pages)
{
    static const uint8_t with_subpages[10] = {0x4d, 0, 0x40, 0xff, [8] = 255};
    static const struct fx_row rows[] = {
        {"unknown page", {0x4d, 0, 0x7e, [8] = 255}, 10, FX_IN, 255, FX_BAD_CDB},
        {"unknown subpage", {0x4d, 0, 0x4d, 0x01, [8] = 255}, 10, FX_IN, 255, FX_BAD_CDB},
        {"thresholds", {0x4d, 0, 0x0d, [8] = 255}, 10, FX_IN, 255, FX_BAD_CDB},
        {"default values", {0x4d, 0, 0xcd, [8] = 255}, 10, FX_IN, 255, FX_BAD_CDB},
        {"save", {0x4d, 0x01, 0x4d, [8] = 255}, 10, FX_IN, 255, FX_BAD_CDB},
        {"pointer behind the end", {0x4d, 0, 0x4d, [6] = 2, [8] = 255}, 10, FX_IN, 255, FX_BAD_CDB},
        {"cut by the allocation", {0x4d, 0, 0x4d, [8] = 4}, 10, FX_IN, 4, 0, 0, 0, 0, 0},
        {"more than the data phase", {0x4d, 0, 0x4d, [8] = 16}, 10, FX_IN, 8, FX_BAD_PHASE, 0},
    };
    struct fx_cmd c;

    ck_assert_uint_eq(page(0, 0), 5);
    ck_assert_mem_eq(data + 4, "\x00\x02\x03\x0d\x2f", 5);
    fx_run(&c, with_subpages, 10, FX_IN, data, 255);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_mem_eq(data, "\x40\xff\x00\x0c\0\0\2\0\3\0\x0d\0\x2f\0\0\xff", 16);
    FX_ROWS(rows, data);
}
END_TEST

START_TEST(test_temperature_and_exceptions)
{
    ck_assert_uint_eq(page(0x0d, 0), 12);
    ck_assert_uint_eq(scsi_get16(data + 4), 0);
    ck_assert_uint_eq(data[7], 2);
    ck_assert_uint_eq(data[9], 30);
    ck_assert_uint_eq(scsi_get16(data + 10), 1);
    ck_assert_uint_eq(data[15], 60);
    ck_assert_uint_eq(page(0x0d, 1), 6);
    ck_assert_uint_eq(data[9], 60);
    ck_assert_uint_eq(page(0x2f, 0), 8);
    ck_assert_uint_eq(data[8] | data[9], 0);
    ck_assert_uint_eq(data[10], 30);
}
END_TEST

/* Bytes processed, on the hot path and off it, and errors told. */
START_TEST(test_error_counters)
{
    static const uint8_t rd[10] = {0x28, [8] = 3}, wr[10] = {0x2a, [8] = 2};
    struct sim_fault f = {.f_opcode = 0x2a,
                          .f_lba_last = UINT64_MAX,
                          .f_count = 2,
                          .f_action = SIM_FAULT_CHECK,
                          .f_key = SCSI_KEY_MEDIUM,
                          .f_asc = SCSI_ASC_WRITE_ERROR};
    struct fx_cmd c;

    fx_run(&c, rd, 10, FX_IN, data, 3 * 512);
    fx_run(&c, rd, 10, FX_IN, data, 4 * 512);
    fx_run(&c, wr, 10, FX_OUT, data, 2 * 512);
    ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
    for (unsigned i = 0; i < 2; i++) {
        fx_run(&c, wr, 10, FX_OUT, data, 2 * 512);
        fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0);
    }
    ck_assert_uint_eq(page(0x03, 0), 7 * 12);
    ck_assert_uint_eq(scsi_get16(data + 4 + 5 * 12), 5);
    ck_assert_uint_eq(scsi_get64(data + 8 + 5 * 12), 6 * 512);
    ck_assert_uint_eq(scsi_get64(data + 8 + 6 * 12), 0);
    ck_assert_uint_eq(page(0x02, 5), 2 * 12);
    ck_assert_uint_eq(scsi_get64(data + 8), 2 * 512);
    ck_assert_uint_eq(scsi_get64(data + 8 + 12), 2);
}
END_TEST

static int self_test_reads;
static uint64_t self_test_bad;
static int st_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)m, (void)vec, (void)n, (void)bytes;
    self_test_reads++;
    return off == self_test_bad ? EIO : 0;
}
static int st_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    (void)m, (void)off, (void)vec, (void)n, (void)bytes, (void)fua;
    return 0;
}
static const struct sim_medium_ops st_ops = {
    .version = 1, .size = sizeof(st_ops), .name = "self-test", .read = st_read, .write = st_write};

START_TEST(test_send_diagnostic)
{
    static const struct fx_row rows[] = {
        {"default self-test", {0x1d, 0x04}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"short in the foreground", {0x1d, 0xa0}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"extended in the foreground", {0x1d, 0xc0}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"short in the background", {0x1d, 0x20}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"nothing to abort", {0x1d, 0x80}, 6, FX_OUT, 0, FX_BAD_CDB},
        {"reserved code", {0x1d, 0x60}, 6, FX_OUT, 0, FX_BAD_CDB},
        {"two at once", {0x1d, 0x24}, 6, FX_OUT, 0, FX_BAD_CDB},
        {"a page", {0x1d, 0x10, 0, 0, 4}, 6, FX_OUT, 4, FX_BAD_CDB},
    };
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 1000, .sd_ops = &st_ops};
    struct fx_cmd c;

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    self_test_reads = 0;
    self_test_bad = UINT64_MAX;
    FX_ROWS(rows, data);
    ck_assert_int_eq(self_test_reads, 9);
    self_test_bad = 999 * 512;
    fx_run(&c, (const uint8_t[6]){0x1d, 0x04}, 6, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_HARDWARE, 0x3e, 0x03);
    fx_end();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_log");
    TCase *t = tcase_create("log"), *own = tcase_create("own disk");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_supported_log_pages);
    tcase_add_test(t, test_temperature_and_exceptions);
    tcase_add_test(t, test_error_counters);
    suite_add_tcase(s, t);
    tcase_add_test(own, test_send_diagnostic);
    suite_add_tcase(s, own);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
