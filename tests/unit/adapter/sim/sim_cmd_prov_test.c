/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_prov_test.c - SYNCHRONIZE CACHE, UNMAP, WRITE SAME, GET LBA STATUS, FORMAT UNIT.
 */
#include "sim_fixture.h"

#define BLOCKS 65536u

static uint8_t data[BLOCKS];

static void setup(void) { fx_begin(512, BLOCKS); }

/* The content of a block, by READ(10). */
static const uint8_t *block(uint32_t lba)
{
    static uint8_t b[512];
    uint8_t cdb[10] = {0x28, [8] = 1};
    struct fx_cmd c;

    scsi_put32(cdb + 2, lba);
    fx_run(&c, cdb, 10, FX_IN, b, sizeof(b));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    return b;
}

static void put(uint32_t lba, uint32_t blocks, uint8_t value)
{
    uint8_t cdb[10] = {0x2a};
    struct fx_cmd c;

    memset(data, value, sizeof(data));
    scsi_put32(cdb + 2, lba);
    scsi_put16(cdb + 7, blocks);
    fx_run(&c, cdb, 10, FX_OUT, data, blocks * 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}

START_TEST(test_write_same)
{
    static const struct fx_row rows[] = {
        {"10: no blocks", {0x41}, 10, FX_OUT, 512, FX_BAD_CDB},
        {"16: no blocks", {0x93}, 16, FX_OUT, 512, FX_BAD_CDB},
        {"16: too many", {0x93, [10] = 0x80, [13] = 1}, 16, FX_OUT, 512, FX_BAD_LBA},
        {"10: beyond", {0x41, 0, 0, 1, 0, 0, 0, 0, 1}, 10, FX_OUT, 512, FX_BAD_LBA},
        {"10: NDOB is reserved", {0x41, 0x01, [8] = 1}, 10, FX_OUT, 512, FX_BAD_CDB},
        {"16: ANCHOR", {0x93, 0x10, [13] = 1}, 16, FX_OUT, 512, FX_BAD_CDB},
        {"10: half a block", {0x41, [8] = 1}, 10, FX_OUT, 256, FX_BAD_PHASE, 256},
    };
    static const uint8_t ten[10] = {0x41, 0, 0, 0, 0, 10, 0, 0, 200},
                         ndob[16] = {0x93, 0x01, [9] = 12, [13] = 5};
    static const uint8_t unmap[16] = {0x93, 0x09, [9] = 20, [13] = 5},
                         tail[16] = {0x93, 0, [8] = 0xff, [9] = 0xff, [13] = 1};
    uint8_t pattern[512];
    struct fx_cmd c;

    for (unsigned i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i + 1);
    fx_run(&c, ten, 10, FX_OUT, pattern, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    ck_assert_uint_eq(block(9)[0], 0);
    for (uint32_t lba = 10; lba < 210; lba++)
        ck_assert_mem_eq(block(lba), pattern, 512);
    ck_assert_uint_eq(block(210)[0], 0);
    /* Without data: zeroes. */
    fx_run(&c, ndob, 16, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(block(11)[5], 6);
    ck_assert_uint_eq(block(12)[5], 0);
    ck_assert_uint_eq(block(16)[5], 0);
    ck_assert_uint_eq(block(17)[5], 6);
    fx_run(&c, unmap, 16, FX_OUT, NULL, 0);
    ck_assert_uint_eq(block(20)[5], 0);
    ck_assert_uint_eq(block(25)[5], 6);
    fx_run(&c, tail, 16, FX_OUT, pattern, 512);
    ck_assert_mem_eq(block(BLOCKS - 1), pattern, 512);
    FX_ROWS(rows, data);
}
END_TEST

/* A pattern with UNMAP set is written, for it cannot be deallocated. */
START_TEST(test_write_same_unmap_of_a_pattern_writes)
{
    static const uint8_t cdb[10] = {0x41, 0x08, 0, 0, 0, 1, 0, 0, 3};
    struct fx_cmd c;

    memset(data, 0x5a, 512);
    fx_run(&c, cdb, 10, FX_OUT, data, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(block(3)[17], 0x5a);
}
END_TEST

START_TEST(test_unmap)
{
    static const uint8_t cdb[10] = {0x42, [8] = 8 + 32};
    static const struct fx_row rows[] = {
        {"empty list", {0x42}, 10, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"header only", {0x42, [8] = 8}, 10, FX_OUT, 8, 0, 0, 0, 0, 0},
        {"half a header", {0x42, [8] = 7}, 10, FX_OUT, 7, FX_BAD_LENGTH},
        {"data shorter than said", {0x42, [8] = 24}, 10, FX_OUT, 16, FX_BAD_PHASE, 16},
        {"ANCHOR", {0x42, 0x01, [8] = 8}, 10, FX_OUT, 8, FX_BAD_CDB},
    };
    uint8_t list[8 + 32];
    struct fx_cmd c;

    put(100, 20, 0x33);
    memset(list, 0, sizeof(list));
    FX_ROWS(rows, list);
    scsi_put16(list, sizeof(list) - 2);
    scsi_put16(list + 2, 32);
    scsi_put64(list + 8, 102);
    scsi_put32(list + 16, 3);
    scsi_put64(list + 24, 110);
    scsi_put32(list + 32, 1);
    fx_run(&c, cdb, 10, FX_OUT, list, sizeof(list));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    for (uint32_t lba = 100; lba < 120; lba++)
        ck_assert_uint_eq(block(lba)[9], (lba >= 102 && lba < 105) || lba == 110 ? 0 : 0x33);
    /* A descriptor length beyond the list: what was not sent does not count. */
    scsi_put64(list + 8, 118);
    scsi_put32(list + 16, 1);
    scsi_put64(list + 24, 119);
    fx_run(&c, (const uint8_t[10]){0x42, [8] = 24}, 10, FX_OUT, list, sizeof(list));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(block(118)[0], 0);
    ck_assert_uint_eq(block(119)[0], 0x33);
    /* One bad descriptor: none is carried out. */
    scsi_put64(list + 8, 115);
    scsi_put64(list + 24, BLOCKS);
    fx_run(&c, cdb, 10, FX_OUT, list, sizeof(list));
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_LBA, 0);
    ck_assert_uint_eq(block(115)[0], 0x33);
}
END_TEST

/* ---------------------------------------------------------------- a medium that remembers calls */

static unsigned flushes;
static int flush_result;
static uint64_t mapped_until;

static int rec_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)m, (void)off, (void)bytes;
    for (uint32_t i = 0; i < n; i++)
        memset(vec[i].iov_base, 0, vec[i].iov_len);
    return 0;
}
static bool rec_fua;
static uint64_t rec_written, rec_bad_at;
static int rec_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    (void)m, (void)vec, (void)n;
    rec_fua = fua;
    rec_written += bytes;
    return off >= rec_bad_at ? EIO : 0;
}
static int rec_flush(void *m)
{
    (void)m;
    flushes++;
    return flush_result;
}
/* Runs of 1000 blocks, mapped and not by turns, up to mapped_until. */
static int rec_mapped(void *m, uint64_t off, uint64_t *run, bool *is)
{
    (void)m;
    *is = (off / 512000) % 2 == 0 && off < mapped_until;
    *run = off < mapped_until ? 512000 - off % 512000 : UINT64_MAX;
    return 0;
}
static const struct sim_medium_ops rec_ops = {.version = 1,
                                              .size = sizeof(rec_ops),
                                              .name = "recorder",
                                              .read = rec_read,
                                              .write = rec_write,
                                              .flush = rec_flush,
                                              .mapped = rec_mapped};

static uint64_t zeroed_from, zeroed_bytes;
static int rec_zero(void *m, uint64_t off, uint64_t bytes)
{
    (void)m;
    zeroed_from = off;
    zeroed_bytes = bytes;
    return 0;
}

/* A medium that can make zeroes in one go but not unmap is formatted that way, from end to end. */
START_TEST(test_format_by_zeroes)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_medium_ops ops = rec_ops;
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 1000, .sd_ops = &ops};
    struct fx_cmd c;

    ops.zero = rec_zero;
    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    zeroed_from = zeroed_bytes = UINT64_MAX;
    fx_run(&c, (const uint8_t[6]){0x04}, 6, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(zeroed_from, 0);
    ck_assert_uint_eq(zeroed_bytes, 1000 * 512);
    fx_end();
}
END_TEST

static void setup_recorder(void)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = (uint64_t)1 << 40, .sd_ops = &rec_ops};

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    flushes = 0;
    flush_result = 0;
    mapped_until = 4 * 512000;
    rec_written = 0;
    rec_bad_at = UINT64_MAX;
}

START_TEST(test_sync_cache_and_fua)
{
    static const uint8_t sync10[10] = {0x35}, sync16[16] = {0x91, 0x02},
                         range[10] = {0x35, 0, 0, 0, 0, 5, 0, 0, 8};
    static const uint8_t bad[16] = {0x91, 0, 0xff}, fua[10] = {0x2a, 0x08, [8] = 1},
                         plain[10] = {0x2a, [8] = 1};
    struct fx_cmd c;

    fx_run(&c, sync10, 10, FX_OUT, NULL, 0);
    fx_run(&c, sync16, 16, FX_OUT, NULL, 0);
    fx_run(&c, range, 10, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(flushes, 3);
    fx_run(&c, bad, 16, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_LBA, 0);
    ck_assert_uint_eq(flushes, 3);
    flush_result = EIO;
    fx_run(&c, sync10, 10, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0);
    fx_run(&c, fua, 10, FX_OUT, data, 512);
    ck_assert(rec_fua);
    fx_run(&c, plain, 10, FX_OUT, data, 512);
    ck_assert(!rec_fua);
    /* In WRITE(6) the same bit is a part of the address. */
    ck_assert_int_eq(sim_disk_resize(fx_disk, 0x100000), 0);
    ck_assert_uint_eq(fx_sense().key, SCSI_KEY_ATTENTION);
    (void)fx_sense_as(true, NULL);
    rec_fua = true;
    fx_run(&c, (const uint8_t[6]){0x0a, 0x08, 0, 0, 1}, 6, FX_OUT, data, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert(!rec_fua);
    /* COMPARE AND WRITE has the bit, too; what is verified is on the medium in any case. */
    memset(data, 0, 1024);
    for (unsigned i = 0; i < 2; i++) {
        fx_run(&c, (const uint8_t[16]){0x89, i == 0 ? 0x08 : 0, [13] = 1}, 16, FX_OUT, data, 1024);
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        ck_assert(rec_fua == (i == 0));
    }
    fx_run(&c, (const uint8_t[10]){0x2e, [8] = 1}, 10, FX_OUT, data, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert(rec_fua);
    fx_run(&c, plain, 10, FX_OUT, data, 512);
    ck_assert(!rec_fua);
    /* However many segments the data lies in. */
    for (unsigned i = 0; i < 2; i++) {
        struct iovec two[2] = {{data, 256}, {data + 1024, 256}};

        fx_prepare(&c, i == 0 ? fua : plain, 10, FX_OUT, NULL, 0);
        ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), two, 2, FX_OUT, &c.map), SHIM_MAP_OK);
        ck_assert_uint_eq(c.map.map_nsegs, 2);
        c.x.xfer_bytes = 512;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        ck_assert(rec_fua == (i == 0));
        fx_release(&c);
    }
    /* Write cache off: every write goes through. */
    memset(data, 0, 24);
    data[4] = 0x08;
    data[5] = 0x12;
    memset(data + 8, 0xff, 2);
    memset(data + 12, 0xff, 4);
    data[16] = 0x80;
    data[17] = 0x20;
    fx_run(&c, (const uint8_t[6]){0x15, 0x10, 0, 0, 24}, 6, FX_OUT, data, 24);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    fx_run(&c, plain, 10, FX_OUT, data, 512);
    ck_assert(rec_fua);
    rec_fua = false;
    fx_run(&c, (const uint8_t[16]){0x8b, [13] = 1}, 16, FX_OUT, data, 512); /* ORWRITE too */
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert(rec_fua);
    rec_fua = false;
    data[0] = 1;
    fx_run(&c, (const uint8_t[10]){0x41, [8] = 1}, 10, FX_OUT, data, 512); /* and WRITE SAME */
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert(rec_fua);
}
END_TEST

/* The block that the medium could not write is named, and not the first one. */
START_TEST(test_orwrite_names_the_block)
{
    struct scsi_sense s;
    struct fx_cmd c;

    rec_bad_at = 12 * 512;
    fx_run(&c, (const uint8_t[16]){0x8b, [9] = 10, [13] = 4}, 16, FX_OUT, data, 4 * 512);
    s = fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0);
    ck_assert_uint_eq(s.info, 12);
}
END_TEST

/* As many blocks as the block limits page promises, and not one more. */
START_TEST(test_largest_write_same)
{
    static const uint8_t most[16] = {0x93, 0x01, [11] = 0x80}, more[16] = {0x93, 0x01, [11] = 0x80, [13] = 1};
    struct fx_cmd c;

    fx_run(&c, more, 16, FX_OUT, NULL, 0);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_CDB_FIELD, 0);
    ck_assert_uint_eq(rec_written, 0);
    fx_run(&c, most, 16, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(rec_written, (uint64_t)512 << 23);
}
END_TEST

/* STOP UNIT writes the cache out, and so does STANDBY, unless they are told not to. START does not. */
START_TEST(test_stop_and_the_cache)
{
    static const struct {
        uint8_t byte4;
        unsigned flushes;
    } rows[] = {{0x00, 1}, {0x04, 0}, {0x01, 0}, {0x30, 1}, {0x34, 0}, {0xb0, 1}, {0x10, 0}};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        const uint8_t cdb[6] = {0x1b, 0, 0, 0, rows[i].byte4};
        struct fx_cmd c;

        flushes = 0;
        fx_run(&c, cdb, 6, FX_OUT, NULL, 0);
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        ck_assert_uint_eq(flushes, rows[i].flushes);
    }
}
END_TEST

/* No unmap entry in the medium: the command does not exist, and the pages say so. */
START_TEST(test_medium_that_cannot_unmap)
{
    static const struct fx_row rows[] = {
        {"UNMAP", {0x42, [8] = 8}, 10, FX_OUT, 8, FX_ILLEGAL, SCSI_ASC_OPCODE, 0, 0},
        {"WRITE SAME with UNMAP", {0x41, 0x08, [8] = 1}, 10, FX_OUT, 512, FX_BAD_CDB},
        {"WRITE SAME 16 with UNMAP", {0x93, 0x09, [13] = 1}, 16, FX_OUT, 0, FX_BAD_CDB},
        {"WRITE SAME 16 NDOB", {0x93, 0x01, [13] = 1}, 16, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"FORMAT UNIT", {0x04}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
    };
    static const uint8_t b2[6] = {0x12, 1, 0xb2, 0, 255};
    uint8_t page[255];
    struct fx_cmd c;

    memset(data, 0, 512);
    FX_ROWS(rows, data);
    fx_run(&c, b2, 6, FX_IN, page, sizeof(page));
    ck_assert_uint_eq(page[5], 0);
    ck_assert_uint_eq(page[6], 0);
    fx_run(&c, (const uint8_t[12]){0xa3, 0x0c, [8] = 8}, 12, FX_IN, data, 2048);
    for (size_t at = 4; at < scsi_get32(data) + 4; at += 8) {
        ck_assert_uint_ne(data[at], 0x42);
        ck_assert_uint_ne(data[at], 0x48);
    }
}
END_TEST

START_TEST(test_get_lba_status)
{
    uint8_t cdb[16] = {0x9e, 0x12, [13] = 200}, out[200];
    struct fx_cmd c;

    scsi_put64(cdb + 2, 500);
    fx_run(&c, cdb, 16, FX_IN, out, sizeof(out));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    /* 500..999 mapped, 1000..1999 not, 2000..2999 mapped, then nothing, in runs of 2^32-1 blocks */
    ck_assert_uint_eq(scsi_get64(out + 8), 500);
    ck_assert_uint_eq(scsi_get32(out + 16), 500);
    ck_assert_uint_eq(out[20] & 0x0f, 0);
    ck_assert_uint_eq(scsi_get64(out + 24), 1000);
    ck_assert_uint_eq(scsi_get32(out + 32), 1000);
    ck_assert_uint_eq(out[36] & 0x0f, 1);
    ck_assert_uint_eq(scsi_get64(out + 40), 2000);
    ck_assert_uint_eq(out[52] & 0x0f, 0);
    ck_assert_uint_eq(scsi_get64(out + 72), 4000);
    ck_assert_uint_eq(scsi_get32(out + 80), UINT32_MAX);
    ck_assert_uint_eq(scsi_get32(out) + 4 + c.x.xfer_resid, sizeof(out));
    /* One is told of however short the allocation is. */
    memset(out, 0xff, sizeof(out));
    cdb[13] = 12;
    fx_run(&c, cdb, 16, FX_IN, out, 12);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(scsi_get32(out), 20);
    scsi_put64(cdb + 2, (uint64_t)1 << 40);
    fx_run(&c, cdb, 16, FX_IN, out, sizeof(out));
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_LBA, 0);
}
END_TEST

START_TEST(test_format_unit)
{
    static const struct fx_row rows[] = {
        {"short header", {0x04, 0x10}, 6, FX_OUT, 4, 0, 0, 0, 0, 0},
        {"long header", {0x04, 0x30}, 6, FX_OUT, 8, 0, 0, 0, 0, 0},
        {"no header", {0x04, 0x10}, 6, FX_OUT, 0, FX_BAD_PHASE, 0},
        {"long header cut", {0x04, 0x30}, 6, FX_OUT, 4, FX_BAD_PHASE, 4},
        {"CMPLST without list", {0x04, 0x08}, 6, FX_OUT, 0, FX_BAD_CDB},
        {"protection", {0x04, 0x40}, 6, FX_OUT, 0, FX_BAD_CDB},
    };
    static const uint8_t plain[6] = {0x04}, list[6] = {0x04, 0x10};
    uint8_t header[8] = {0};
    struct fx_cmd c;

    put(7, 1, 0x44);
    put(0, 1, 0x45);
    put(BLOCKS - 1, 1, 0x46);
    fx_run(&c, plain, 6, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(block(7)[0] | block(0)[0] | block(BLOCKS - 1)[511], 0);
    FX_ROWS(rows, header);
    scsi_put16(header + 2, 8);
    fx_run(&c, list, 6, FX_OUT, header, 4);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    scsi_put16(header + 2, 0);
    header[1] = 0x08;
    fx_run(&c, list, 6, FX_OUT, header, 4);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
}
END_TEST

/* ---------------------------------------------------------------- a medium that fails */

static int fail_all(void *m, uint64_t off, uint64_t bytes)
{
    (void)m, (void)off, (void)bytes;
    return EIO;
}
static int fail_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)vec, (void)n;
    return fail_all(m, off, bytes);
}
static int fail_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    (void)fua;
    return fail_read(m, off, vec, n, bytes);
}
static int fail_flush(void *m) { return fail_all(m, 0, 0); }
static int fail_mapped(void *m, uint64_t off, uint64_t *run, bool *is)
{
    *run = 1;
    *is = true;
    return fail_all(m, off, 0);
}
static const struct sim_medium_ops fail_ops = {.version = 1,
                                               .size = sizeof(fail_ops),
                                               .name = "failing",
                                               .read = fail_read,
                                               .write = fail_write,
                                               .flush = fail_flush,
                                               .unmap = fail_all,
                                               .zero = fail_all,
                                               .mapped = fail_mapped};

/* Every command that touches the medium reports its failure, and with the right code. */
START_TEST(test_failing_medium)
{
#define FX_WRITE_ERROR SC_CHECK_CONDITION, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0, 0
#define FX_READ_ERROR  SC_CHECK_CONDITION, SCSI_KEY_MEDIUM, SCSI_ASC_READ_ERROR, 0, 0
    static const struct fx_row rows[] = {
        {"SYNC CACHE", {0x35}, 10, FX_OUT, 0, FX_WRITE_ERROR},
        {"stop flushes", {0x1b}, 6, FX_OUT, 0, FX_WRITE_ERROR},
        {"FORMAT", {0x04}, 6, FX_OUT, 0, FX_WRITE_ERROR},
        {"UNMAP", {0x42, [8] = 24}, 10, FX_OUT, 24, FX_WRITE_ERROR},
        {"WRITE SAME, zeroes", {0x93, 0x01, [13] = 1}, 16, FX_OUT, 0, FX_WRITE_ERROR},
        {"WRITE SAME, unmap", {0x93, 0x09, [13] = 1}, 16, FX_OUT, 0, FX_WRITE_ERROR},
        {"WRITE SAME, pattern", {0x93, 0, [13] = 1}, 16, FX_OUT, 512, FX_WRITE_ERROR},
        {"LBA STATUS", {0x9e, 0x12, [13] = 64}, 16, FX_IN, 64, FX_READ_ERROR},
        {"VERIFY", {0x2f, [8] = 1}, 10, FX_OUT, 0, FX_READ_ERROR},
        {"VERIFY BYTCHK", {0x2f, 0x02, [8] = 1}, 10, FX_OUT, 512, FX_READ_ERROR},
        {"WRITE AND VERIFY", {0x2e, [8] = 1}, 10, FX_OUT, 512, FX_WRITE_ERROR},
        {"COMPARE AND WRITE", {0x89, [13] = 1}, 16, FX_OUT, 1024, FX_READ_ERROR},
    };
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 64, .sd_ops = &fail_ops};
    struct fx_cmd c;

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    memset(data, 0, sizeof(data));
    scsi_put16(data + 2, 16);
    scsi_put32(data + 16, 1);
    FX_ROWS(rows, data);
    /* UNMAP names the descriptor's first block. */
    scsi_put64(data + 8, 17);
    fx_run(&c, rows[3].cdb, 10, FX_OUT, data, 24);
    ck_assert_uint_eq(fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0).info, 17);
    fx_end();
}
END_TEST

static int rec_unmap(void *m, uint64_t off, uint64_t bytes)
{
    (void)m, (void)off, (void)bytes;
    ck_assert_uint_eq(flushes, 0); /* before the cache is written out */
    return 0;
}

/* SANITIZE is durable when it ends. */
START_TEST(test_sanitize_flushes)
{
    struct sim_medium_ops ops = rec_ops;
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 64, .sd_ops = &ops};
    struct fx_cmd c;

    ops.unmap = rec_unmap;
    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    flushes = 0;
    flush_result = 0;
    fx_run(&c, (const uint8_t[10]){0x48, SCSI_SA_SANITIZE_BLOCK}, 10, FX_OUT, NULL, 0);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(flushes, 1);
    fx_end();
}
END_TEST

START_TEST(test_unmap_list_of_too_many)
{
    static const uint8_t cdb[10] = {0x42, [7] = (8 + 16 * 256) >> 8, [8] = (8 + 16 * 256) & 0xff};
    struct fx_cmd c;

    memset(data, 0, sizeof(data));
    scsi_put16(data + 2, 16 * 256);
    fx_run(&c, cdb, 10, FX_OUT, data, 8 + 16 * 256);
    fx_expect_check(&c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0);
    /* One fewer is as many as the block limits page promises. */
    scsi_put16(data + 2, 16 * 255);
    fx_run(&c, cdb, 10, FX_OUT, data, 8 + 16 * 256);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}
END_TEST

/* The null medium answers everything and touches no memory. */
START_TEST(test_null_medium)
{
    static const struct fx_row rows[] = {
        {"READ", {0x28, [8] = 4}, 10, FX_IN, 2048, 0, 0, 0, 0, 0},
        {"WRITE", {0x2a, [8] = 4}, 10, FX_OUT, 2048, 0, 0, 0, 0, 0},
        {"WRITE SAME", {0x93, 0x01, [12] = 1}, 16, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"FORMAT", {0x04}, 6, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"SYNC", {0x35}, 10, FX_OUT, 0, 0, 0, 0, 0, 0},
    };
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {
        .sd_block_bytes = 512, .sd_blocks = (uint64_t)1 << 50, .sd_serial = "NULL-1"};
    const struct sim_medium_ops *none;
    void *medium;

    fx_begin_bus(&bus, 1);
    ck_assert_int_eq(sim_medium_ram(0, &none, &medium), EINVAL);
    ck_assert_int_eq(sim_medium_ram(UINT64_MAX, &none, &medium), ENOMEM);
    ck_assert_int_eq(sim_medium_null(&disk.sd_ops, &disk.sd_medium), 0);
    fx_add_disk(&disk);
    memset(data, 0x5e, sizeof(data));
    FX_ROWS(rows, data);
    /* Not what the memory held: that may have been somebody else's. And nothing behind the data. */
    for (unsigned i = 0; i < 2048; i++)
        ck_assert_uint_eq(data[i], 0);
    ck_assert_uint_eq(data[2048], 0x5e);
    fx_end();
}
END_TEST

/* For measuring: a read does not cost even the clearing of memory. */
START_TEST(test_void_medium)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 100};
    struct fx_cmd c;

    fx_begin_bus(&bus, 1);
    ck_assert_int_eq(sim_medium_void(&disk.sd_ops, &disk.sd_medium), 0);
    fx_add_disk(&disk);
    memset(data, 0x5e, sizeof(data));
    fx_run(&c, (uint8_t[10]){0x28, [8] = 1}, 10, FX_IN, data, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    for (unsigned i = 0; i < 512; i++)
        ck_assert_uint_eq(data[i], 0x5e);
    fx_end();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_prov");
    TCase *t = tcase_create("memory"), *rec = tcase_create("recorder"), *own = tcase_create("own disk");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_write_same);
    tcase_add_test(t, test_write_same_unmap_of_a_pattern_writes);
    tcase_add_test(t, test_unmap);
    tcase_add_test(t, test_format_unit);
    tcase_add_test(t, test_unmap_list_of_too_many);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(rec, setup_recorder, fx_end);
    tcase_add_test(rec, test_sync_cache_and_fua);
    tcase_add_test(rec, test_stop_and_the_cache);
    tcase_add_test(rec, test_orwrite_names_the_block);
    tcase_add_test(rec, test_largest_write_same);
    tcase_add_test(rec, test_medium_that_cannot_unmap);
    tcase_add_test(rec, test_get_lba_status);
    suite_add_tcase(s, rec);
    tcase_add_test(own, test_format_by_zeroes);
    tcase_add_test(own, test_failing_medium);
    tcase_add_test(own, test_sanitize_flushes);
    tcase_add_test(own, test_null_medium);
    tcase_add_test(own, test_void_medium);
    suite_add_tcase(s, own);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
