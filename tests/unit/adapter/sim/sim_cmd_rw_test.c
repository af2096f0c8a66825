/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_rw_test.c - READ, WRITE, VERIFY, WRITE AND VERIFY, COMPARE AND WRITE on a simulated disk:
 * every CDB length, every refusal, data phases that do not fit the command.
 */
#include "sim_fixture.h"

#define BLOCKS 4096u

static uint8_t data[1 << 20];

static void setup_512(void) { fx_begin(512, BLOCKS); }

static void fill(uint8_t *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 + i / 512 + seed);
}

/* Write with one length of CDB, read with another. */
START_TEST(test_every_cdb_length_reads_what_was_written)
{
    static const struct {
        uint8_t wr[16], rd[16];
        uint8_t wr_bytes, rd_bytes;
    } pair[] = {
        {{0x0a, 0, 0, 5, 3}, {0x28, 0, 0, 0, 0, 5, 0, 0, 3}, 6, 10},
        {{0x2a, 0, 0, 0, 0, 9, 0, 0, 3}, {0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 3}, 10, 12},
        {{0xaa, 0, 0, 0, 0, 20, 0, 0, 0, 3}, {0x88, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 3}, 12, 16},
        {{0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 3}, {0x08, 0, 0, 30, 3}, 16, 6},
        {{0x2e, 0, 0, 0, 0, 40, 0, 0, 3}, {0x08, 0, 0, 40, 3}, 10, 6},
        {{0xae, 0x02, 0, 0, 0, 50, 0, 0, 0, 3}, {0x08, 0, 0, 50, 3}, 12, 6},
        {{0x8e, 0, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 3}, {0x08, 0, 0, 60, 3}, 16, 6},
        {{0x2a, 0x18, 0, 0, 0, 70, 0x1f, 0, 3}, {0x28, 0x18, 0, 0, 0, 70, 0x1f, 0, 3}, 10, 10},
    };
    uint8_t out[3 * 512], in[3 * 512];

    for (unsigned i = 0; i < SC_ARRAY_SIZE(pair); i++) {
        struct fx_cmd c;

        fill(out, sizeof(out), i);
        memset(in, 0, sizeof(in));
        fx_run(&c, pair[i].wr, pair[i].wr_bytes, FX_OUT, out, sizeof(out));
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        ck_assert_uint_eq(c.x.xfer_resid, 0);
        fx_run(&c, pair[i].rd, pair[i].rd_bytes, FX_IN, in, sizeof(in));
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        ck_assert_uint_eq(c.x.xfer_resid, 0);
        ck_assert_mem_eq(in, out, sizeof(in));
    }
}
END_TEST

START_TEST(test_read_write_table)
{
    static const struct fx_row rows[] = {
        {"READ(6) 0 means 256", {0x08, 0, 0, 0, 0}, 6, FX_IN, 256 * 512, 0, 0, 0, 0, 0},
        {"READ(10) of 0 blocks", {0x28, 0, 0, 0, 0, 0, 0, 0, 0}, 10, FX_IN, 0, 0, 0, 0, 0, 0},
        {"READ(10) last block", {0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 1}, 10, FX_IN, 512, 0, 0, 0, 0, 0},
        {"READ(10) 0 blocks at the end", {0x28, 0, 0, 0, 0x10, 0, 0, 0, 0}, 10, FX_IN, 0, 0, 0, 0, 0, 0},
        {"READ(10) 0 blocks beyond", {0x28, 0, 0, 0, 0x10, 1, 0, 0, 0}, 10, FX_IN, 0, FX_BAD_LBA},
        {"READ(10) beyond", {0x28, 0, 0, 0, 0x10, 0, 0, 0, 1}, 10, FX_IN, 512, FX_BAD_LBA},
        {"READ(10) crossing", {0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2}, 10, FX_IN, 1024, FX_BAD_LBA},
        {"READ(16) wrapping",
         {0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2},
         16,
         FX_IN,
         1024,
         FX_BAD_LBA},
        {"READ(16) max lba",
         {0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0},
         16,
         FX_IN,
         0,
         FX_BAD_LBA},
        {"READ(12) 2^32-1 blocks", {0xa8, 0, 0, 0, 0, 0, 255, 255, 255, 255}, 12, FX_IN, 512, FX_BAD_LBA},
        {"READ(10) above the maximum", {0x28, 0, 0, 0, 0, 0, 0, 0x08, 0x01}, 10, FX_IN, 512, FX_BAD_CDB},
        {"READ(12) above the maximum", {0xa8, 0, 0, 0, 0, 0, 0, 0, 8, 1}, 12, FX_IN, 512, FX_BAD_CDB},
        {"READ(10) RDPROTECT", {0x28, 0x20, 0, 0, 0, 0, 0, 0, 1}, 10, FX_IN, 512, FX_BAD_CDB},
        {"READ(10) reserved bit", {0x28, 0x01, 0, 0, 0, 0, 0, 0, 1}, 10, FX_IN, 512, FX_BAD_CDB},
        {"READ(10) reserved group bits", {0x28, 0, 0, 0, 0, 0, 0x20, 0, 1}, 10, FX_IN, 512, FX_BAD_CDB},
        {"READ(10) NACA", {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04}, 10, FX_IN, 512, FX_BAD_CDB},
        {"READ(6) control", {0x08, 0, 0, 0, 1, 0x01}, 6, FX_IN, 512, FX_BAD_CDB},
        {"READ(16) reserved bit", {0x88, 0x01, [13] = 1}, 16, FX_IN, 512, FX_BAD_CDB},
        {"READ(16) control", {0x88, [13] = 1, [15] = 0x40}, 16, FX_IN, 512, FX_BAD_CDB},
        {"WRITE(10) beyond", {0x2a, 0, 0, 0, 0x10, 0, 0, 0, 1}, 10, FX_OUT, 512, FX_BAD_LBA},
        {"WRITE(12) reserved", {0xaa, 0x04, 0, 0, 0, 0, 0, 0, 0, 1}, 12, FX_OUT, 512, FX_BAD_CDB},
        {"WRITE(6) beyond", {0x0a, 0x1f, 0xff, 0xff, 1}, 6, FX_OUT, 512, FX_BAD_LBA},
        {"VERIFY(10)", {0x2f, 0, 0, 0, 0, 0, 0, 1, 0}, 10, FX_IN, 0, 0, 0, 0, 0, 0},
        {"VERIFY(10) beyond", {0x2f, 0, 0, 0, 0x10, 0, 0, 0, 1}, 10, FX_IN, 0, FX_BAD_LBA},
        {"VERIFY(10) BYTCHK 2", {0x2f, 0x04, 0, 0, 0, 0, 0, 0, 1}, 10, FX_IN, 0, FX_BAD_CDB},
        {"VERIFY(12)", {0xaf, 0, 0, 0, 0, 0, 0, 0, 0, 200}, 12, FX_IN, 0, 0, 0, 0, 0, 0},
        {"VERIFY(16)", {0x8f, [13] = 100}, 16, FX_IN, 0, 0, 0, 0, 0, 0},
        {"unknown code", {0xc5}, 10, FX_IN, 0, FX_ILLEGAL, SCSI_ASC_OPCODE, 0, 0},
        {"known code, unknown action", {0x9e, 0x15}, 16, FX_IN, 0, FX_BAD_CDB},
    };

    FX_ROWS(rows, data);
}
END_TEST

/* A data phase longer than the CDB asks for leaves a residual; a shorter one, or one that goes the wrong way,
 * is a bus fault and changes nothing. */
START_TEST(test_data_phase_against_cdb)
{
    static const struct fx_row rows[] = {
        {"longer phase", {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 10, FX_IN, 2048, 0, 0, 0, 0, 1536},
        {"shorter phase", {0x28, 0, 0, 0, 0, 0, 0, 0, 4}, 10, FX_IN, 1024, FX_BAD_PHASE, 1024},
        {"inside a block", {0x28, 0, 0, 0, 0, 0, 0, 0, 4}, 10, FX_IN, 700, FX_BAD_PHASE, 700},
        {"no data at all", {0x28, 0, 0, 0, 0, 0, 0, 0, 4}, 10, FX_IN, 0, FX_BAD_PHASE, 0},
        {"wrong direction", {0x28, 0, 0, 0, 0, 0, 0, 0, 2}, 10, FX_OUT, 1024, FX_BAD_PHASE, 1024},
        {"wrong direction of nothing", {0x28}, 10, FX_OUT, 1024, 0, 0, 0, 0, 1024},
        {"data for a command without", {0x00}, 6, FX_OUT, 512, 0, 0, 0, 0, 512},
        {"write, longer", {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 10, FX_OUT, 2048, 0, 0, 0, 0, 1536},
        {"write, wrong direction", {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 10, FX_IN, 512, FX_BAD_PHASE, 512},
        {"verify, BYTCHK", {0x2f, 0x02, 0, 0, 0, 0, 0, 0, 2}, 10, FX_OUT, 512, FX_BAD_PHASE, 512},
        {"verify, no BYTCHK", {0x2f, 0, 0, 0, 0, 0, 0, 0, 2}, 10, FX_OUT, 512, 0, 0, 0, 0, 512},
        {"range before phase", {0x28, 0, 0, 0, 0x10, 0, 0, 0, 1}, 10, FX_IN, 0, FX_BAD_LBA},
    };
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 100, 0, 0, 4}, rd[10] = {0x28, 0, 0, 0, 0, 100, 0, 0, 4};
    uint8_t out[2048], in[2048], expect[2048];
    struct fx_cmd c;

    FX_ROWS(rows, data);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_DIRECTION), 2);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_LENGTH), 4);
    /* A write whose data does not suffice changes nothing, not even its first block. */
    memset(out, 0x55, sizeof(out));
    fx_run(&c, wr, 10, FX_OUT, out, 2048);
    memset(out, 0xaa, sizeof(out));
    fx_run(&c, wr, 10, FX_OUT, out, 700);
    ck_assert_uint_eq(fx_status(&c), FX_FAULT);
    ck_assert_uint_eq(c.x.xfer_resid, 700);
    fx_run(&c, rd, 10, FX_IN, in, 2048);
    memset(expect, 0x55, sizeof(expect));
    ck_assert_mem_eq(in, expect, sizeof(in));
    /* And a read leaves the memory alone. */
    memset(in, 0x11, sizeof(in));
    fx_run(&c, rd, 10, FX_IN, in, 700);
    memset(expect, 0x11, sizeof(expect));
    ck_assert_mem_eq(in, expect, sizeof(in));
}
END_TEST

static void watch_nothing(void *arg, const struct ad_xfer *xfer) { (void)arg, (void)xfer; }

/* Pieces in memory, cut anywhere, on the hot path and off it. */
START_TEST(test_segments_of_any_size)
{
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 7, 0, 0, 8}, rd[10] = {0x28, 0, 0, 0, 0, 7, 0, 0, 8};
    static const size_t cut[] = {1, 511, 700, 4, 1380, 1500};
    uint8_t *from = data, *to = data + 65536;

    for (int odd = 0; odd < 2; odd++) {
        for (int write = 1; write >= 0; write--) {
            struct iovec vec[SC_ARRAY_SIZE(cut)];
            struct fx_cmd c;
            uint8_t *p = write ? from : to;

            if (write)
                fill(from, 65536, 33 + (unsigned)odd);
            for (unsigned i = 0; i < SC_ARRAY_SIZE(cut); i++) {
                vec[i].iov_base = p;
                vec[i].iov_len = cut[i];
                p += cut[i] + 100;
            }
            fx_prepare(&c, write ? wr : rd, 10, write ? FX_OUT : FX_IN, NULL, 0);
            ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), vec, SC_ARRAY_SIZE(cut), FX_IN, &c.map),
                             SHIM_MAP_OK);
            ck_assert_uint_eq(c.map.map_nsegs, SC_ARRAY_SIZE(cut));
            c.x.xfer_bytes = 4096;
            sim_disk_watch(fx_disk, odd ? watch_nothing : NULL, NULL);
            ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
            ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
            ck_assert_uint_eq(c.x.xfer_resid, 0);
            fx_release(&c);
        }
        for (unsigned i = 0, at = 0; i < SC_ARRAY_SIZE(cut); i++) {
            ck_assert_mem_eq(from + at, to + at, cut[i]);
            at += (unsigned)cut[i] + 100;
        }
    }
}
END_TEST

/* The device half joins pieces that lie next to each other, and says when a list does not fit. */
START_TEST(test_map_merges_neighbours)
{
    struct iovec vec[4] = {{data, 100}, {data + 100, 50}, {data + 200, 10}, {data + 210, 5}};
    struct shim_seg segs[2];
    struct shim_dma_map map = {.map_segs = segs, .map_segs_max = 2};

    ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), vec, 4, FX_IN, &map), SHIM_MAP_OK);
    ck_assert_uint_eq(map.map_nsegs, 2);
    ck_assert_uint_eq(map.map_bytes, 165);
    ck_assert_uint_eq(segs[0].seg_bytes, 150);
    ck_assert_uint_eq(segs[1].seg_bytes, 15);
    shim_dma_unmap(sim_bus_dev(fx_bus), &map);
    vec[3].iov_base = data + 300;
    ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), vec, 4, FX_IN, &map), SHIM_MAP_NEVER);
    /* The same memory twice, as a write may have it, is twice the bytes. */
    vec[1] = vec[0];
    ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), vec, 2, FX_OUT, &map), SHIM_MAP_OK);
    ck_assert_uint_eq(map.map_nsegs, 2);
    ck_assert_ptr_eq((void *)(uintptr_t)segs[1].seg_addr, data);
    shim_dma_unmap(sim_bus_dev(fx_bus), &map);
}
END_TEST

/* What was announced counts, and not what the memory behind it would hold. */
START_TEST(test_memory_is_more_than_announced)
{
    static const uint8_t wr[10] = {0x2a, [8] = 2};
    struct fx_cmd c;

    fx_prepare(&c, wr, 10, FX_OUT, data, 1024);
    c.x.xfer_bytes = 512;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
    ck_assert_uint_eq(c.x.xfer_result, AD_RES_BUS_FAULT);
    ck_assert_uint_eq(c.x.xfer_resid, 512);
    fx_release(&c);
}
END_TEST

START_TEST(test_verify_compares)
{
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 8, 0, 0, 4};
    static const uint8_t same[10] = {0x2f, 0x02, 0, 0, 0, 8, 0, 0, 4},
                         one[10] = {0x2f, 0x06, 0, 0, 0, 8, 0, 0, 4};
    uint8_t out[2048];
    struct fx_cmd c;

    memset(out, 0x77, sizeof(out));
    fx_run(&c, wr, 10, FX_OUT, out, sizeof(out));
    fx_run(&c, same, 10, FX_OUT, out, sizeof(out));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    fx_run(&c, one, 10, FX_OUT, out, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    out[2047] ^= 1;
    fx_run(&c, same, 10, FX_OUT, out, sizeof(out));
    fx_expect_check(&c, SCSI_KEY_MISCOMPARE, SCSI_ASC_MISCOMPARE, 0);
    out[0] ^= 1;
    fx_run(&c, one, 10, FX_OUT, out, 512);
    fx_expect_check(&c, SCSI_KEY_MISCOMPARE, SCSI_ASC_MISCOMPARE, 0);
}
END_TEST

START_TEST(test_compare_and_write)
{
    static const uint8_t caw[16] = {0x89, [9] = 3, [13] = 2};
    static const uint8_t rd[10] = {0x28, 0, 0, 0, 0, 3, 0, 0, 2};
    static const struct fx_row rows[] = {
        {"no blocks", {0x89}, 16, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"as many as allowed", {0x89, [9] = 100, [13] = 16}, 16, FX_OUT, 16 * 1024, 0, 0, 0, 0, 0},
        {"too many", {0x89, [13] = 17}, 16, FX_OUT, 17 * 1024, FX_BAD_CDB},
        {"beyond", {0x89, [8] = 0x10, [13] = 1}, 16, FX_OUT, 1024, FX_BAD_LBA},
        {"half the data", {0x89, [13] = 1}, 16, FX_OUT, 512, FX_BAD_PHASE, 512},
    };
    uint8_t out[2048], in[1024];
    struct scsi_sense s;
    struct fx_cmd c;

    memset(out, 0, 1024);
    memset(out + 1024, 0x42, 1024);
    fx_run(&c, caw, 16, FX_OUT, out, sizeof(out));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    fx_run(&c, rd, 10, FX_IN, in, sizeof(in));
    ck_assert_mem_eq(in, out + 1024, 1024);
    /* Now the blocks differ from zero: nothing is written, and sense says where. */
    memset(out, 0x42, 1024);
    out[600] = 0;
    memset(out + 1024, 0x99, 1024);
    fx_run(&c, caw, 16, FX_OUT, out, sizeof(out));
    s = fx_expect_check(&c, SCSI_KEY_MISCOMPARE, SCSI_ASC_MISCOMPARE, 0);
    ck_assert(s.info_valid);
    ck_assert_uint_eq(s.info, 600);
    ck_assert_uint_eq(c.x.xfer_resid, 0); /* all of it has crossed the bus */
    fx_run(&c, rd, 10, FX_IN, in, sizeof(in));
    ck_assert_uint_eq(in[0], 0x42);
    ck_assert_uint_eq(in[1023], 0x42);
    FX_ROWS(rows, data);
}
END_TEST

START_TEST(test_lun_bits_in_byte_one)
{
    static const uint8_t own[10] = {0x28, 0x40, 0, 0, 0, 0, 0, 0, 1},
                         other[10] = {0x28, 0x60, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t tur_own[6] = {0, 0x40}, tur_other[6] = {0, 0x20};
    struct sim_disk_config disk = {.sd_lun = 2, .sd_block_bytes = 512, .sd_blocks = 8};
    static const struct {
        const uint8_t *cdb;
        unsigned bytes, status;
    } row[] = {{tur_own, 6, SC_CHECK_CONDITION /* unit attention */},
               {tur_own, 6, SC_GOOD_STATUS},
               {own, 10, SC_GOOD_STATUS},
               {other, 10, SC_CHECK_CONDITION},
               {tur_other, 6, SC_CHECK_CONDITION}};

    fx_add_disk(&disk);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(row); i++) {
        struct fx_cmd c;

        fx_prepare(&c, row[i].cdb, row[i].bytes, FX_IN, data, row[i].bytes == 10 ? 512 : 0);
        c.x.xfer_lun = 2;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        ck_assert_msg(fx_status(&c) == row[i].status, "row %u", i);
        fx_release(&c);
    }
}
END_TEST

/* ---------------------------------------------------------------- a medium that fails */

static int bad_errno;
static int bad_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)m, (void)off, (void)vec, (void)n, (void)bytes;
    return bad_errno;
}
static int bad_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    (void)fua;
    return bad_read(m, off, vec, n, bytes);
}
static const struct sim_medium_ops bad_ops = {
    .version = 1, .size = sizeof(bad_ops), .name = "bad", .read = bad_read, .write = bad_write};

START_TEST(test_medium_errors_become_sense)
{
    static const struct {
        int error;
        uint8_t write, key, asc, ascq, info;
    } row[] = {{EIO, 0, SCSI_KEY_MEDIUM, SCSI_ASC_READ_ERROR, 0, 1},
               {EIO, 1, SCSI_KEY_MEDIUM, SCSI_ASC_WRITE_ERROR, 0, 1},
               {ENOSPC, 1, SCSI_KEY_PROTECT, SCSI_ASC_WRITE_PROTECTED, SCSI_ASCQ_SPACE_EXHAUSTED, 0},
               {EROFS, 1, SCSI_KEY_PROTECT, SCSI_ASC_WRITE_PROTECTED, 0, 0},
               {ENOMEM, 0, SCSI_KEY_HARDWARE, SCSI_ASC_TARGET_FAILURE, 0, 0}};
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 64, .sd_ops = &bad_ops};

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(row) * 2; i++) {
        /* The first round takes the hot path, the second, with its long data phase, the other. */
        bool hot = i < SC_ARRAY_SIZE(row);
        unsigned r = i % SC_ARRAY_SIZE(row);
        uint8_t cdb[10] = {row[r].write ? 0x2a : 0x28, 0, 0, 0, 0, 9, 0, 0, 2};
        struct scsi_sense s;
        struct fx_cmd c;

        bad_errno = row[r].error;
        fx_run(&c, cdb, 10, row[r].write ? FX_OUT : FX_IN, data, hot ? 1024 : 2048);
        ck_assert_uint_eq(c.x.xfer_resid, c.x.xfer_bytes);
        s = fx_expect_check(&c, row[r].key, row[r].asc, row[r].ascq);
        ck_assert_uint_eq(s.info_valid, row[r].info);
        if (row[r].info)
            ck_assert_uint_eq(s.info, 9);
    }
    fx_end();
}
END_TEST

/* Read-only disks refuse everything that changes them and nothing else. */
START_TEST(test_read_only)
{
    static const struct fx_row rows[] = {
        {"READ", {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 10, FX_IN, 512, 0, 0, 0, 0, 0},
        {"WRITE",
         {0x2a, 0, 0, 0, 0, 0, 0, 0, 1},
         10,
         FX_OUT,
         512,
         SC_CHECK_CONDITION,
         SCSI_KEY_PROTECT,
         0x27,
         0,
         0},
        {"WRITE(6)", {0x0a, 0, 0, 0, 1}, 6, FX_OUT, 512, SC_CHECK_CONDITION, SCSI_KEY_PROTECT, 0x27, 0, 0},
        {"WRITE SAME",
         {0x41, 0, 0, 0, 0, 0, 0, 0, 1},
         10,
         FX_OUT,
         512,
         SC_CHECK_CONDITION,
         SCSI_KEY_PROTECT,
         0x27,
         0,
         0},
        {"UNMAP",
         {0x42, 0, 0, 0, 0, 0, 0, 0, 8},
         10,
         FX_OUT,
         8,
         SC_CHECK_CONDITION,
         SCSI_KEY_PROTECT,
         0x27,
         0,
         0},
        {"FORMAT", {0x04}, 6, FX_OUT, 0, SC_CHECK_CONDITION, SCSI_KEY_PROTECT, 0x27, 0, 0},
        {"SYNC", {0x35}, 10, FX_OUT, 0, 0, 0, 0, 0, 0},
        {"VERIFY", {0x2f, 0, 0, 0, 0, 0, 0, 0, 1}, 10, FX_OUT, 0, 0, 0, 0, 0, 0},
    };
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 64, .sd_read_only = true};

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    FX_ROWS(rows, data);
    fx_end();
}
END_TEST

START_TEST(test_statistics_are_exact)
{
    static const uint8_t rd[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 2}, wr[6] = {0x0a, 0, 0, 0, 1}, tur[6] = {0};
    struct sim_disk_stats before, after;
    struct fx_cmd c;

    sim_disk_stats_get(fx_disk, &before);
    for (unsigned i = 0; i < 100; i++) {
        fx_prepare(&c, rd, 10, FX_IN, data, 1024);
        c.x.xfer_qmsg = SC_SIMPLE_Q;
        c.x.xfer_tag = (uint16_t)(i % 64);
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        fx_release(&c);
        fx_run(&c, wr, 6, FX_OUT, data, 512);
    }
    fx_run(&c, tur, 6, FX_IN, NULL, 0);
    fx_run(&c, rd, 10, FX_IN, data, 2048); /* off the hot path */
    sim_disk_stats_get(fx_disk, &after);
    ck_assert_uint_eq(after.st_commands - before.st_commands, 202);
    ck_assert_uint_eq(after.st_by_opcode[0x28] - before.st_by_opcode[0x28], 101);
    ck_assert_uint_eq(after.st_by_opcode[0x0a] - before.st_by_opcode[0x0a], 100);
    ck_assert_uint_eq(after.st_bytes_read - before.st_bytes_read, 101 * 1024);
    ck_assert_uint_eq(after.st_bytes_written - before.st_bytes_written, 100 * 512);
    ck_assert_uint_eq(after.st_active, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_rw");
    TCase *t = tcase_create("disk of 512-byte blocks"), *own = tcase_create("own disk");

    tcase_add_checked_fixture(t, setup_512, fx_end);
    tcase_add_test(t, test_every_cdb_length_reads_what_was_written);
    tcase_add_test(t, test_read_write_table);
    tcase_add_test(t, test_data_phase_against_cdb);
    tcase_add_test(t, test_segments_of_any_size);
    tcase_add_test(t, test_map_merges_neighbours);
    tcase_add_test(t, test_memory_is_more_than_announced);
    tcase_add_test(t, test_verify_compares);
    tcase_add_test(t, test_compare_and_write);
    tcase_add_test(t, test_lun_bits_in_byte_one);
    tcase_add_test(t, test_statistics_are_exact);
    suite_add_tcase(s, t);
    tcase_add_test(own, test_medium_errors_become_sense);
    tcase_add_test(own, test_read_only);
    suite_add_tcase(s, own);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
