/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_rdwr_test.c - strategy's validation, the CDB table, raw reads and writes, open and close.
 *
 * Does not contain: spans (dd_span_test.c), gathered writes (dd_gather_test.c), errors (dd_recover_test.c).
 */
#include "fake_ad.h"

static uint8_t *area;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 9u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

/* ------------------------------------------------------------------ CDBs */

static const struct {
    bool read;
    uint32_t options;
    uint64_t lba;
    uint32_t blocks;
    uint8_t op, bytes;
} cdb_rows[] = {
    {true, 0, 0, 1, SCSI_READ_6, 6},
    {true, 0, 0x1fffff, 256, SCSI_READ_6, 6},
    {true, 0, 0x1fffff, 257, SCSI_READ_10, 10},
    {true, 0, 0x200000, 1, SCSI_READ_10, 10},
    {true, SC_OPT_FUA, 0, 1, SCSI_READ_10, 10},
    {false, 0, 5, 8, SCSI_WRITE_6, 6},
    {false, SC_OPT_FUA, 5, 8, SCSI_WRITE_10, 10},
    {false, WRITEV, 5, 8, SCSI_WRITE_VERIFY_10, 10},
    {true, 0, 0xffffffff, 0xffff, SCSI_READ_10, 10},
    {true, 0, 0xffffffff, 0x10000, SCSI_READ_12, 12},
    {false, WRITEV, 0, 0x10000, SCSI_WRITE_VERIFY_12, 12},
    {false, 0, 0, 0x10000, SCSI_WRITE_12, 12},
    {true, 0, UINT64_C(0x100000000), 1, SCSI_READ_16, 16},
    {false, SC_OPT_FUA, UINT64_C(0x123456789a), 3, SCSI_WRITE_16, 16},
    {false, WRITEV, UINT64_C(0x123456789a), 3, SCSI_WRITE_VERIFY_16, 16},
};

START_TEST(test_cdb_smallest_that_fits)
{
    uint8_t cdb[16];
    uint64_t lba = 0;
    uint32_t blocks = 0;

    memset(cdb, 0xaa, sizeof(cdb));
    ck_assert_uint_eq(
        dd_cdb_rw(cdb, cdb_rows[_i].read, cdb_rows[_i].options, cdb_rows[_i].lba, cdb_rows[_i].blocks, 0),
        cdb_rows[_i].bytes);
    ck_assert_uint_eq(cdb[0], cdb_rows[_i].op);
    switch (cdb_rows[_i].bytes) {
    case 6:
        lba = scsi_get24(cdb + 1);
        blocks = cdb[4] ? cdb[4] : 256;
        ck_assert_uint_eq(cdb[5], 0);
        break;
    case 10:
        lba = scsi_get32(cdb + 2);
        blocks = scsi_get16(cdb + 7);
        ck_assert_uint_eq(cdb[6] | cdb[9], 0);
        break;
    case 12:
        lba = scsi_get32(cdb + 2);
        blocks = scsi_get32(cdb + 6);
        ck_assert_uint_eq(cdb[10] | cdb[11], 0);
        break;
    default:
        lba = scsi_get64(cdb + 2);
        blocks = scsi_get32(cdb + 10);
        ck_assert_uint_eq(cdb[14] | cdb[15], 0);
        break;
    }
    ck_assert_uint_eq(lba, cdb_rows[_i].lba);
    ck_assert_uint_eq(blocks, cdb_rows[_i].blocks);
    if (cdb_rows[_i].bytes > 6)
        ck_assert_uint_eq(cdb[1], cdb_rows[_i].options == SC_OPT_FUA ? SCSI_CDB1_FUA : 0);
}
END_TEST

/* ------------------------------------------------------------------ strategy */

START_TEST(test_strategy_validation)
{
    static const struct {
        bool read;
        int64_t blkno;
        size_t bytes;
        uint32_t options;
        int error;
        size_t resid;
    } rows[] = {
        {true, 0, 100, 0, EINVAL, 100},        {true, -1, 512, 0, EINVAL, 512},
        {true, 20481, 512, 0, ENXIO, 512},     {true, 20480, 512, 0, 0, 512},
        {false, 20480, 512, 0, ENXIO, 512},    {true, 20479, 1024, 0, 0, 512},
        {false, 20479, 1024, 0, 0, 512},       {true, 0, 0, 0, 0, 0},
        {true, 3, 512, HWRELOC, EINVAL, 512},  {true, 3, 512, 0, 0, 0},
        {true, INT64_MAX, 512, 0, ENXIO, 512},
    };
    struct file *fp = fake_open(NULL);

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        struct fake_buf fb;

        fake_buf_init(&fb, rows[i].read, 0, area, rows[i].bytes);
        fb.b.b_blkno = rows[i].blkno;
        fb.b.b_options = rows[i].options;
        fake_submit(&fb, 1);
        ck_assert_uint_eq(fb.done, 1);
        ck_assert_int_eq(fb.b.b_flags & B_ERROR ? fb.b.b_error : 0, rows[i].error);
        ck_assert_uint_eq(fb.b.b_resid, rows[i].resid);
        ck_assert_uint_eq(fb.b.b_bcount, rows[i].bytes);
    }
    fake_close(fp);
}
END_TEST

START_TEST(test_strategy_4096_blocks_alignment)
{
    struct fake_buf fb;
    struct file *fp;

    fake.block_bytes = 4096;
    fake.blocks = 2560;
    fp = fake_open(NULL);
    fake_buf_init(&fb, true, 4, area, 4096);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EINVAL);
    fake_buf_init(&fb, true, 8, area, 512);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EINVAL);
    fake_buf_init(&fb, true, 8, area, 8192);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fake_rw(0)->lba, 1);
    ck_assert_uint_eq(fake_rw(0)->blocks, 2);
    fake_close(fp);
}
END_TEST

START_TEST(test_strategy_not_open_and_diagnostic)
{
    struct fake_buf fb;
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    fake_buf_init(&fb, true, 0, area, 512);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, ENXIO);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), 0);
    fake_buf_init(&fb, true, 0, area, 512);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EACCES);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), EACCES);
    fake_close(fp);
    ck_assert_uint_eq(fake.nlog, 0); /* no device command at all */
}
END_TEST

START_TEST(test_AIX_01_one_queue_at_a_time)
{
    struct fake_buf fb[6];
    const struct scdisk_dds dds = {.queue_depth = 2};
    struct file *fp;
    struct sc_disk_stats st;

    fp = fake_open(&dds);
    fake.held = true;
    for (unsigned i = 0; i < 6; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 512 * i, 512);
    fake_submit(fb, 6);
    st = fake_stats();
    ck_assert_uint_eq(st.bufs, 6);
    ck_assert_uint_eq(st.in_process, 2);
    ck_assert_uint_eq(st.pending, 4);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert(fake_complete_one());
        st = fake_stats();
        ck_assert_uint_eq(st.completed, i + 1);
        ck_assert_uint_eq(st.pending + st.in_process, 5 - i);
        ck_assert_uint_eq(fb[i].done, 1);
    }
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_02_one_sc_buf_per_call)
{
    struct fake_buf fb[40];
    struct file *fp = fake_open(NULL);

    /* The fake asserts av_forw NULL on each call. */
    for (unsigned i = 0; i < 40; i++)
        fake_buf_init(&fb[i], true, 64 * i, area + 4096 * i, 4096);
    fake_submit(fb, 40);
    ck_assert_uint_eq(fake_nrw(), 40);
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_03_strategy_outstanding_and_never_sleeps)
{
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);

    fake.held = true;
    for (unsigned i = 0; i < 8; i++) {
        fake_buf_init(&fb[i], i & 1, 1000 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1); /* devstrat panics in checked mode if anything sleeps */
    }
    ck_assert_uint_eq(fake.active, 8);
    fake_complete_all();
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_04_each_buf_once)
{
    struct fake_buf fb[32];
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 32; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 32);
    for (unsigned i = 0; i < 32; i++) {
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_uint_eq(fb[i].b.b_resid, 0);
        ck_assert(fb[i].more == (i < 31));
    }
    fake_submit(fb, 1); /* once more, and alone: what was said the last time is gone */
    ck_assert(!fb[0].more);
    fake_close(fp);
}
END_TEST

/* A device without tags, and an administrator who forbids them. */
START_TEST(test_AIX_24_untagged_one_command)
{
    const struct scdisk_dds dds = {.queue_depth = 16, .no_tags = _i == 0};
    struct fake_buf fb[10];
    struct file *fp;

    fake.tags = _i == 0;
    fp = fake_open(&dds);
    fake.held = true;
    for (unsigned i = 0; i < 10; i++)
        fake_buf_init(&fb[i], true, 200 * i, area, 512);
    fake_submit(fb, 10);
    ck_assert_uint_eq(fake.active, 1);
    fake_complete_all();
    ck_assert_uint_eq(fake.active_max, 1);
    for (unsigned i = 0; i < fake_nrw(); i++)
        ck_assert_uint_eq(fake_rw(i)->tag, SC_NO_Q);
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_AIX_28_no_nodisc_no_async_normally)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(fake_rdwr(fp, false, area, 1 << 20, 0, 0, NULL), 0);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 1 << 20, 0, 0, NULL), 0);
    fake_close(fp);
    for (unsigned i = 0; i < fake.nlog; i++)
        ck_assert_uint_eq(fake.log[i].scsi_flags, 0);
}
END_TEST

/* ------------------------------------------------------------------ raw path */

START_TEST(test_AIX_10_8_mib_is_64_commands)
{
    struct file *fp = fake_open(NULL);
    size_t resid;

    for (size_t i = 0; i < 8u << 20; i++)
        fake.mem[i] = (uint8_t)(i * 7 + (i >> 12));
    ck_assert_int_eq(fake_rdwr(fp, true, area, 8u << 20, 0, 0, &resid), 0);
    ck_assert_uint_eq(resid, 0);
    ck_assert_uint_eq(fake_nrw(), 64);
    ck_assert_int_eq(memcmp(area, fake.mem, 8u << 20), 0);
    for (unsigned i = 0; i < 64; i++)
        ck_assert_uint_eq(fake_rw(i)->bytes, 131072);
    fake_close(fp);
}
END_TEST

START_TEST(test_raw_alignment_and_end)
{
    struct file *fp = fake_open(NULL);
    int64_t end = 20480 * 512;
    size_t resid;

    ck_assert_int_eq(fake_rdwr(fp, true, area, 100, 0, 0, NULL), EINVAL);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 7, 0, NULL), EINVAL);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, -512, 0, NULL), EINVAL);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, end, 0, &resid), 0);
    ck_assert_uint_eq(resid, 512);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, end + 512, 0, NULL), ENXIO);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, end, 0, NULL), ENXIO);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 0, 0, 0, &resid), 0);
    for (unsigned read = 0; read < 2; read++) {
        ck_assert_int_eq(fake_rdwr(fp, read, area, 1024, end - 512, 0, &resid), 0);
        ck_assert_uint_eq(resid, 512);
        ck_assert_int_eq(fake_rdwr(fp, read, area, 262144, end - 131072, 0, &resid), 0);
        ck_assert_uint_eq(resid, 131072);
    }
    fake_close(fp);
}
END_TEST

START_TEST(test_raw_ext)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, HWRELOC, NULL), EINVAL);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, UNSAFEREL, NULL), EINVAL);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, WRITEV, NULL), EINVAL);
    fake_forget();
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, WRITEV, NULL), 0);
    ck_assert_uint_eq(fake_rw(0)->cdb[0], SCSI_WRITE_VERIFY_10);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, SC_OPT_FUA, NULL), 0);
    ck_assert_uint_eq(fake_rw(1)->cdb[1], SCSI_CDB1_FUA);
    fake_close(fp);
}
END_TEST

START_TEST(test_raw_lun_in_cdb)
{
    const struct scdisk_dds dds = {.lun_id = 5};
    struct file *fp = fake_open(&dds);

    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 512, 0, NULL), 0);
    ck_assert_uint_eq(fake_rw(0)->cdb[1] >> 5, 5);
    ck_assert_uint_eq(scsi_get24(fake_rw(0)->cdb + 1) & 0x1fffff, 1);
    fake_close(fp);
}
END_TEST

START_TEST(test_short_transfer_spreads_residual)
{
    struct fake_buf fb[4];
    struct file *fp = fake_open(NULL);

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = 6000;
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 4);
    ck_assert_uint_eq(fake_nrw(), 1);
    ck_assert_uint_eq(fb[0].b.b_resid, 0);
    ck_assert_uint_eq(fb[1].b.b_resid, 0);
    ck_assert_uint_eq(fb[2].b.b_resid, 6000 - 4096);
    ck_assert_uint_eq(fb[3].b.b_resid, 4096);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ open and close */

START_TEST(test_open_modes)
{
    struct file *a, *b;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fake_config(NULL), EEXIST);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0x4000, &a), EINVAL);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_SINGLE, &a), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &b), EACCES);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), EBUSY);
    fake_close(a);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &a), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_SINGLE, &b), EBUSY);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &b), EACCES);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &b), 0);
    ck_assert_uint_eq(fake.starts, 2);
    fake_close(a);
    ck_assert_uint_eq(fake.stops, 1);
    fake_close(b);
    ck_assert_uint_eq(fake.stops, 2);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC | SC_FORCED_OPEN, &a), 0);
    ck_assert_uint_eq(fake.resets, 1);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &b), EACCES);
    fake_close(a);
}
END_TEST

START_TEST(test_open_reservation_table)
{
    static const struct {
        int ext;
        unsigned reserves, releases, resets;
    } rows[] = {
        {0, 1, 1, 0},
        {SC_FORCED_OPEN, 1, 1, 1},
        {SC_FORCED_OPEN | SC_NO_RESERVE, 0, 0, 1},
        {SC_FORCED_OPEN | SC_RETAIN_RESERVATION, 1, 0, 1},
        {SC_NO_RESERVE, 0, 0, 0},
        {SC_RETAIN_RESERVATION, 1, 0, 0},
        {SC_RETAIN_RESERVATION | SC_NO_RESERVE, 0, 0, 0},
        {SC_SINGLE | SC_RETAIN_RESERVATION, 1, 0, 0},
        {0, 1, 1, 0}, /* what the last one asked for is not asked for now */
        {SC_DIAGNOSTIC, 0, 0, 0},
        {SC_DIAGNOSTIC | SC_FORCED_OPEN, 0, 0, 1},
    };
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        fake.reserves = fake.releases = fake.resets = 0;
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, rows[i].ext, &fp), 0);
        fake_close(fp);
        ck_assert_uint_eq(fake.reserves, rows[i].reserves);
        ck_assert_uint_eq(fake.releases, rows[i].releases);
        ck_assert_uint_eq(fake.resets, rows[i].resets);
    }
}
END_TEST

/* The reservation stays when anybody who had the disk open asked for that, first, last or in between. */
START_TEST(test_retained_if_any_opener_asked)
{
    struct file *fp[3];

    ck_assert_int_eq(fake_config(NULL), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, i == _i ? SC_RETAIN_RESERVATION : 0, &fp[i]), 0);
    for (int i = 0; i < 3; i++)
        fake_close(fp[i]);
    ck_assert_uint_eq(fake.reserves, 1);
    ck_assert_uint_eq(fake.releases, _i == 3 ? 1 : 0);
}
END_TEST

/* Diagnostic mode wins over exclusive use: an open disk is EACCES, and so is whoever comes later. */
START_TEST(test_diagnostic_wins_over_single)
{
    struct file *a, *b;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &a), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC | SC_SINGLE, &b), EACCES);
    fake_close(a);
    fake_forget();
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC | SC_SINGLE, &a), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_SINGLE, &b), EACCES);
    ck_assert_int_eq(fake_rdwr(a, true, area, 512, 0, 0, NULL), EACCES);
    fake_close(a);
    ck_assert_uint_eq(fake.nlog, 0);
}
END_TEST

START_TEST(test_open_write_protected)
{
    struct file *fp;
    struct fake_buf fb;

    fake.read_only = true;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), EWRPROTECT);
    ck_assert_uint_eq(fake.stops, 1);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_buf_init(&fb, false, 0, area, 512);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EWRPROTECT);
    fake_close(fp);
}
END_TEST

START_TEST(test_last_close_syncs_only_if_written)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(fake_rdwr(fp, true, area, 4096, 0, 0, NULL), 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 4096, 0, 0, NULL), 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

START_TEST(test_beyond_two_tebibytes)
{
    struct fake_buf fb;
    struct file *fp;

    fake.blocks = UINT64_C(0x300000000);
    fp = fake_open(NULL);
    fake_buf_init(&fb, true, UINT64_C(0x2ffffffff), area, 512);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fake_rw(0)->cdb[0], SCSI_READ_16);
    ck_assert_uint_eq(fake_rw(0)->lba, UINT64_C(0x2ffffffff));
    fake_close(fp);
}
END_TEST

START_TEST(test_memory_per_lun)
{
    struct file *fp = fake_open(NULL);

    ck_assert_uint_le(dd_memory_bytes(FAKE_DEV), 128u << 10);
    fake_close(fp);
}
END_TEST

START_TEST(test_bad_dds)
{
    struct scdisk_dds dds = {.scsi_id = 16};

    ck_assert_int_eq(fake_config(&dds), EINVAL);
    dds = (struct scdisk_dds){.lun_id = 32};
    ck_assert_int_eq(fake_config(&dds), EINVAL);
    dds = (struct scdisk_dds){.queue_depth = 257};
    ck_assert_int_eq(fake_config(&dds), EINVAL);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_INIT, NULL), EINVAL);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), ENXIO);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, 99, NULL), EINVAL);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_rdwr");
    TCase *t = tcase_create("cdb");

    tcase_add_loop_test(t, test_cdb_smallest_that_fits, 0, (int)SC_ARRAY_SIZE(cdb_rows));
    suite_add_tcase(s, t);
    t = tcase_create("strategy");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_strategy_validation);
    tcase_add_test(t, test_strategy_4096_blocks_alignment);
    tcase_add_test(t, test_strategy_not_open_and_diagnostic);
    tcase_add_test(t, test_AIX_01_one_queue_at_a_time);
    tcase_add_test(t, test_AIX_02_one_sc_buf_per_call);
    tcase_add_test(t, test_AIX_03_strategy_outstanding_and_never_sleeps);
    tcase_add_test(t, test_AIX_04_each_buf_once);
    tcase_add_loop_test(t, test_AIX_24_untagged_one_command, 0, 2);
    tcase_add_test(t, test_AIX_28_no_nodisc_no_async_normally);
    tcase_add_test(t, test_short_transfer_spreads_residual);
    suite_add_tcase(s, t);
    t = tcase_create("raw");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_AIX_10_8_mib_is_64_commands);
    tcase_add_test(t, test_raw_alignment_and_end);
    tcase_add_test(t, test_raw_ext);
    tcase_add_test(t, test_raw_lun_in_cdb);
    suite_add_tcase(s, t);
    t = tcase_create("open");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_open_modes);
    tcase_add_test(t, test_open_reservation_table);
    tcase_add_loop_test(t, test_retained_if_any_opener_asked, 0, 4);
    tcase_add_test(t, test_diagnostic_wins_over_single);
    tcase_add_test(t, test_open_write_protected);
    tcase_add_test(t, test_last_close_syncs_only_if_written);
    tcase_add_test(t, test_beyond_two_tebibytes);
    tcase_add_test(t, test_memory_per_lun);
    tcase_add_test(t, test_bad_dds);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
