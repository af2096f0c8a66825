/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_resid_test.c - how much of a request the driver says was moved, and how it leaves a caller's uio:
 * after short transfers, after errors, for spans, fragments, gathered writes and copies, and at the end
 * of the disk. Every figure is compared with what the fake device has really moved.
 *
 * Does not contain: retries and order (dd_recover_test.c, dd_flow_test.c).
 */
#include "fake_ad.h"

#define BLOCK 512u
#define PAGE  4096u

static uint8_t *area;

static void setup(void)
{
    fake_begin(20480, BLOCK);
    area = aligned_alloc(PAGE, 2u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static struct fake_fault *medium_error(uint64_t lba)
{
    struct fake_fault *f = fake_fault(FAKE_RW, lba, lba, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    return f;
}

/* ------------------------------------------------------------------ b_resid against INFORMATION */

/*
 * Eight pages in one span, the device names a block in the sixth, the adapter says that nothing crossed
 * the bus (or, _i & 1, that a write's data did not): what is reported moved has been moved.
 */
START_TEST(test_AIX_12_span_believes_the_smaller)
{
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);
    bool read = _i == 0;

    (void)medium_error(8 * 5 + 3);
    fake.drops = true;
    for (unsigned i = 0; i < 8; i++) {
        memset(area + PAGE * i, 0x40 + (int)i, PAGE);
        memset(fake.mem + PAGE * i, 0x80 + (int)i, PAGE);
        fake_buf_init(&fb[i], read, 8 * i, area + PAGE * i, PAGE);
    }
    fake_submit(fb, 8);
    fake_settle(fb, 8);
    for (unsigned i = 0; i < 8; i++) {
        bool bad = i == 5;

        ck_assert_int_eq(fb[i].b.b_flags & B_ERROR ? fb[i].b.b_error : 0, bad ? EMEDIA : 0);
        ck_assert_uint_eq(fb[i].b.b_resid, bad ? PAGE : 0);
        if (!bad)
            ck_assert_int_eq(memcmp(area + PAGE * i, fake.mem + PAGE * i, PAGE), 0);
    }
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* The adapter has moved more than the device vouches for, or less: the smaller one, whole blocks. */
START_TEST(test_single_believes_the_smaller)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = medium_error(13);

    f->info_set = true;
    f->info = _i ? 15 : 10; /* 5 of 8 blocks have crossed the bus; block 15 is the eighth */
    fake_buf_init(&fb, true, 8, area, PAGE);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EMEDIA);
    ck_assert_uint_eq(fb.b.b_resid, _i ? 3 * BLOCK : 6 * BLOCK);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* A fragment that fails: up to there, as far as the data really came. */
START_TEST(test_AIX_12_fragment_believes_the_smaller)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    size_t bytes = 6 * 131072, real = 0;

    (void)medium_error(300);
    fake.drops = _i != 0;
    memset(area, 0xee, bytes);
    memset(fake.mem, 0x11, bytes);
    fake_buf_init(&fb, true, 0, area, bytes);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    while (real < bytes && area[real] == 0x11)
        real++;
    ck_assert_int_eq(fb.b.b_error, EMEDIA);
    ck_assert_uint_eq(bytes - fb.b.b_resid, _i ? 131072 : 300 * BLOCK);
    ck_assert_uint_le(bytes - fb.b.b_resid, real);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ short without an error */

/* Each piece of a large buf is 1,024 bytes short: the buf ends where the first piece did. */
START_TEST(test_AIX_12_short_fragments)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    uint64_t moved = 131072 - 1024;

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = 1024;
    fake_buf_init(&fb, _i == 0, 0, area, 6 * 131072);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fb.b.b_resid, 6 * 131072 - moved);
    ck_assert_uint_eq(_i ? fake_stats().bytes_written : fake_stats().bytes_read, moved);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* A span that comes back short: the bufs before the end are whole, the rest carry what is missing. */
START_TEST(test_short_span)
{
    struct fake_buf fb[4];
    struct file *fp = fake_open(NULL);

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = PAGE + 1024;
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + PAGE * i, PAGE);
    fake_submit(fb, 4);
    fake_settle(fb, 4);
    ck_assert_uint_eq(fb[1].b.b_resid, 0);
    ck_assert_uint_eq(fb[2].b.b_resid, 1024);
    ck_assert_uint_eq(fb[3].b.b_resid, PAGE);
    ck_assert_uint_eq(fake_stats().bytes_read, 3 * PAGE - 1024);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ the end of the disk */

/* A buf that crosses the end: what is there moves, the rest is residual; also with an error, and short. */
START_TEST(test_buf_cut_at_the_end)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    size_t want = 4 * BLOCK;

    memset(area, 0x77, PAGE);
    if (_i == 1) {
        (void)medium_error(20478);
        want = 2 * BLOCK;
    } else if (_i == 2) {
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = BLOCK;
        want = 3 * BLOCK;
    }
    fake_buf_init(&fb, false, 20476, area, PAGE);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_flags & B_ERROR ? fb.b.b_error : 0, _i == 1 ? EMEDIA : 0);
    ck_assert_uint_eq(fb.b.b_resid, PAGE - want);
    ck_assert_uint_eq(fake_rw(0)->blocks, 4);
    ck_assert_uint_eq(fake.mem[20476 * BLOCK + want - 1], 0x77);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* The same for one so large that it is cut into pieces. */
START_TEST(test_fragments_cut_at_the_end)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    if (_i)
        (void)medium_error(20479);
    fake_buf_init(&fb, true, 20480 - 300, area, 6 * 131072);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_uint_eq(fb.b.b_resid, 6 * 131072 - (300u - (unsigned)_i) * BLOCK);
    ck_assert_int_eq(fb.b.b_flags & B_ERROR ? fb.b.b_error : 0, _i ? EMEDIA : 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ which error */

/* Two pieces fail, the later one in block order comes back first: the first in block order is the buf's. */
START_TEST(test_AIX_12_first_error_in_block_order)
{
    static struct sc_buf *out[4];
    const struct scdisk_dds dds = {.retries = 1};
    struct fake_buf fb;
    struct file *fp = fake_open(&dds);
    struct fake_fault *f = fake_fault(FAKE_RW, 10, 10, FAKE_CHECK), *g;

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x31; /* EFORMAT, not retried */
    g = fake_fault(FAKE_RW, 256 + 20, 256 + 20, FAKE_CHECK);
    g->key = SCSI_KEY_ILLEGAL; /* EINVAL, not retried */
    g->no_info = f->no_info = true;
    fake.held = true;
    fake_buf_init(&fb, true, 0, area, 2 * 131072);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fake_nheld(), 2);
    if (_i) { /* the second piece comes back before the first */
        out[0] = fake.held_head;
        out[1] = fake.held_tail;
        out[1]->bufstruct.av_forw = &out[0]->bufstruct;
        out[0]->bufstruct.av_forw = NULL;
        fake.held_head = out[1];
        fake.held_tail = out[0];
        fake.keeps = true; /* or the first would be taken back */
    }
    while (!fb.done)
        ck_assert(fake_complete_one() || shim_det_step());
    ck_assert_int_eq(fb.b.b_error, EFORMAT);
    ck_assert_uint_eq(fb.b.b_resid, 2 * 131072);
    fake.held = fake.keeps = false;
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ the caller's uio */

static struct iovec iov[4];
static struct xmem xm[4];
static struct uio uio;

static void scatter(const size_t *lens, int n)
{
    uint8_t *at = area + 1;

    memset(&uio, 0, sizeof(uio));
    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){at, lens[i]};
        memset(at, 0x60 + i, lens[i]);
        at += lens[i] + 3;
        uio.uio_resid += lens[i];
    }
    uio.uio_iov = iov;
    uio.uio_xmem = xm;
    uio.uio_iovcnt = n;
    uio.uio_offset = PAGE;
    uio.uio_segflg = UIO_SYSSPACE;
}

/* resid, offset, pieces and their descriptors agree: `moved` of `total` bytes are gone. */
static void check_uio(size_t total, size_t moved, int n)
{
    size_t left = 0;

    for (int i = 0; i < uio.uio_iovcnt; i++)
        left += uio.uio_iov[i].iov_len;
    ck_assert_uint_eq(uio.uio_resid, total - moved);
    ck_assert_uint_eq(left, total - moved);
    ck_assert_int_eq(uio.uio_offset, PAGE + (int64_t)moved);
    ck_assert_int_eq(uio.uio_iov - iov, n - uio.uio_iovcnt);
    ck_assert_int_eq(uio.uio_xmem - xm, uio.uio_iov - iov);
}

static const size_t odd[3] = {924, 2248, 924}; /* 8 blocks */

/* Through the driver's own pages: short (0), an error in the middle (1), a short read (2), all well (3). */
START_TEST(test_copied_uio_is_consistent)
{
    static const size_t moved[] = {PAGE - 1024, 4 * BLOCK, PAGE - 1024, PAGE};
    struct file *fp;
    int rc;

    fake.gather = false;
    fp = fake_open(NULL);
    scatter(odd, 3);
    if (_i == 1)
        (void)medium_error(8 + 4);
    else if (_i != 3)
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = 1024;
    memset(fake.mem + PAGE, 0, PAGE);
    rc = fp_rwuio(fp, _i == 2 ? UIO_READ : UIO_WRITE, &uio, 0);
    ck_assert_int_eq(rc, _i == 1 ? EMEDIA : 0);
    check_uio(PAGE, moved[_i], 3);
    if (_i != 2) {
        ck_assert_uint_eq(fake.mem[PAGE + 923], 0x60);
        ck_assert_uint_eq(fake.mem[PAGE + 924], 0x61);
        ck_assert_uint_eq(fake.mem[PAGE + moved[_i] - 1], _i == 3 ? 0x62 : 0x61);
    }
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* The pieces hold less than uio_resid promises: EFAULT, nothing written, nothing moved on. */
START_TEST(test_copied_uio_too_short)
{
    struct file *fp;

    fake.gather = false;
    fp = fake_open(NULL);
    scatter(odd, 3);
    iov[2].iov_len -= 100;
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), EFAULT);
    ck_assert_uint_eq(uio.uio_resid, PAGE);
    ck_assert_ptr_eq(uio.uio_iov, iov);
    ck_assert_uint_eq(iov[0].iov_len, odd[0]);
    ck_assert_uint_eq(fake_nrw(), 0);
    fake_close(fp);
}
END_TEST

/* A gathered write: whole (0), short (1), refused by the device (2). */
START_TEST(test_gathered_uio_is_consistent)
{
    static const size_t moved[] = {PAGE, PAGE - 1024, 0};
    struct file *fp = fake_open(NULL);

    scatter(odd, 3);
    if (_i == 1)
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = 1024;
    else if (_i == 2)
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_PROTECT;
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), _i == 2 ? EWRPROTECT : 0);
    ck_assert(fake_rw(0)->gathered);
    check_uio(PAGE, moved[_i], 3);
    ck_assert_uint_eq(fake_stats().bytes_written, moved[_i]);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ options */

/* FUA and WRITEV reach the device whichever way a write of several pieces goes. */
START_TEST(test_options_on_scattered_writes)
{
    static const size_t whole[] = {1024, 3072};
    int ext = _i & 1 ? WRITEV : SC_OPT_FUA;
    bool pieces = (_i & 2) != 0; /* whole blocks, without gathering: two bufs */
    struct file *fp;

    fake.gather = !(_i & 6);
    fp = fake_open(NULL);
    if (pieces)
        scatter(whole, 2);
    else
        scatter(odd, 3);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, ext), 0);
    ck_assert_uint_eq(fake_nrw(), pieces ? 2 : 1);
    for (unsigned i = 0; i < fake_nrw(); i++) {
        ck_assert(fake_rw(i)->gathered == fake.gather);
        ck_assert_uint_eq(fake_rw(i)->cdb[0], _i & 1 ? SCSI_WRITE_VERIFY_10 : SCSI_WRITE_10);
        ck_assert_uint_eq(fake_rw(i)->cdb[1] & SCSI_CDB1_FUA, _i & 1 ? 0 : SCSI_CDB1_FUA);
    }
    fake_close(fp);
}
END_TEST

/* FUA of a write larger than one command: every piece carries it (O_SYNC of a large write). */
START_TEST(test_options_on_every_fragment)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);
    size_t resid;

    fake_buf_init(&fb, false, 0, area, 3 * 131072);
    fb.b.b_options = _i & 1 ? WRITEV : SC_OPT_FUA;
    if (_i & 2)
        ck_assert_int_eq(fake_rdwr(fp, false, area, 3 * 131072, 0, (int)fb.b.b_options, &resid), 0);
    else
        fake_submit(&fb, 1);
    ck_assert_uint_eq(fake_nrw(), 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(fake_rw(i)->cdb[0], _i & 1 ? SCSI_WRITE_VERIFY_10 : SCSI_WRITE_10);
        ck_assert_uint_eq(fake_rw(i)->cdb[1] & SCSI_CDB1_FUA, _i & 1 ? 0 : SCSI_CDB1_FUA);
    }
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ what makes a close flush */

/* Whatever way something was written, the close makes it durable: one command, pieces, gathered, copied. */
START_TEST(test_every_write_makes_dirty)
{
    struct fake_buf fb;
    struct file *fp;

    fake.gather = _i == 2;
    fp = fake_open(NULL);
    if (_i < 2) {
        fake_buf_init(&fb, false, 0, area, _i ? 3 * 131072 : PAGE);
        fake_submit(&fb, 1);
    } else {
        scatter(odd, 3);
        ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    }
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

/* A read does not, not even a large one. */
START_TEST(test_no_read_makes_dirty)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(fake_rdwr(fp, true, area, _i ? 3 * 131072 : PAGE, 0, 0, NULL), 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 0);
}
END_TEST

/* Of a fragmented write some pieces have reached the device although the request failed: dirty. */
START_TEST(test_failed_fragments_make_dirty)
{
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    (void)medium_error(300);
    fake_buf_init(&fb, false, 0, area, 3 * 131072);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EMEDIA);
    fake.nfaults = 0;
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

/* And of a span that was taken apart, although what went again has failed: dirty. */
START_TEST(test_good_part_of_a_failed_span_makes_dirty)
{
    struct fake_buf fb[2];
    struct file *fp = fake_open(NULL);

    (void)medium_error(8);
    for (unsigned i = 0; i < 2; i++)
        fake_buf_init(&fb[i], false, 8u * i, area + PAGE * i, PAGE);
    fake_submit(fb, 2);
    fake_settle(fb, 2);
    ck_assert_uint_eq(fb[0].b.b_flags & B_ERROR, 0);
    ck_assert_int_eq(fb[1].b.b_error, EMEDIA);
    fake.nfaults = 0;
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

/* The same for a request of one command: what lies before the bad block has reached the device. */
START_TEST(test_a_single_write_that_fails_part_way_makes_dirty)
{
    struct sc_disk_stats stats;
    struct fake_buf fb;
    struct file *fp = fake_open(NULL);

    (void)medium_error(13);
    fake_buf_init(&fb, false, 8, area, 8 * 512);
    fake_submit(&fb, 1);
    fake_settle(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EMEDIA);
    ck_assert_uint_eq(fb.b.b_resid, 3 * 512);
    ck_assert_int_eq(fp_ioctl(fp, DKSTATS, (intptr_t)&stats, 0), 0);
    ck_assert_uint_eq(stats.bytes_written, 5 * 512);
    fake.nfaults = 0;
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_resid");
    TCase *t = tcase_create("residual");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_AIX_12_span_believes_the_smaller, 0, 2);
    tcase_add_loop_test(t, test_single_believes_the_smaller, 0, 2);
    tcase_add_loop_test(t, test_AIX_12_fragment_believes_the_smaller, 0, 2);
    tcase_add_loop_test(t, test_AIX_12_short_fragments, 0, 2);
    tcase_add_test(t, test_short_span);
    tcase_add_loop_test(t, test_buf_cut_at_the_end, 0, 3);
    tcase_add_loop_test(t, test_fragments_cut_at_the_end, 0, 2);
    tcase_add_loop_test(t, test_AIX_12_first_error_in_block_order, 0, 2);
    suite_add_tcase(s, t);
    t = tcase_create("uio");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_copied_uio_is_consistent, 0, 4);
    tcase_add_test(t, test_copied_uio_too_short);
    tcase_add_loop_test(t, test_gathered_uio_is_consistent, 0, 3);
    tcase_add_loop_test(t, test_options_on_scattered_writes, 0, 6);
    tcase_add_loop_test(t, test_options_on_every_fragment, 0, 4);
    tcase_add_loop_test(t, test_every_write_makes_dirty, 0, 4);
    tcase_add_loop_test(t, test_no_read_makes_dirty, 0, 2);
    tcase_add_test(t, test_failed_fragments_make_dirty);
    tcase_add_test(t, test_a_single_write_that_fails_part_way_makes_dirty);
    tcase_add_test(t, test_good_part_of_a_failed_span_makes_dirty);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
