/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_gather_test.c - gathered writes, and what happens to scattered writes without them.
 */
#include "fake_ad.h"

static uint8_t *area;
static struct iovec iov[80];
static struct uio uio;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    ck_assert_ptr_nonnull(area);
    for (size_t i = 0; i < 1u << 20; i++)
        area[i] = (uint8_t)(i * 13 + (i >> 8));
}

static void teardown(void)
{
    free(area);
    fake_end();
}

/* Pieces of the given lengths, with holes between them in memory. */
static void scatter(const size_t *lens, int n, int64_t off)
{
    size_t at = 1;

    memset(&uio, 0, sizeof(uio));
    for (int i = 0; i < n; i++) {
        iov[i].iov_base = area + at;
        iov[i].iov_len = lens[i];
        at += lens[i] + 3;
        uio.uio_resid += lens[i];
    }
    uio.uio_iov = iov;
    uio.uio_iovcnt = n;
    uio.uio_offset = off;
    uio.uio_segflg = UIO_SYSSPACE;
}

static void check_written(const size_t *lens, int n, const uint8_t *media)
{
    size_t at = 1;

    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(memcmp(media, area + at, lens[i]), 0);
        media += lens[i];
        at += lens[i] + 3;
    }
}

static const size_t odd[] = {1, 0, 511, 700, 324, 0};

START_TEST(test_AIX_14_odd_pieces_one_command)
{
    struct file *fp = fake_open(NULL);

    scatter(odd, 6, 4096);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    ck_assert_uint_eq(uio.uio_resid, 0);
    ck_assert_int_eq(uio.uio_offset, 4096 + 1536);
    ck_assert_uint_eq(fake_nrw(), 1);
    ck_assert(fake_rw(0)->gathered && !fake_rw(0)->spanned);
    ck_assert_uint_eq(fake_rw(0)->bytes, 1536);
    check_written(odd, 6, fake.mem + 4096);
    ck_assert_uint_eq(fake_stats().gathered, 1);
    fake_close(fp);
}
END_TEST

/* Without the capability no gathered write is ever sent, and the data arrives all the same. */
START_TEST(test_AIX_15_never_without_capability)
{
    static const size_t whole[] = {512, 1024, 4096};
    struct file *fp;

    fake.gather = false;
    fp = fake_open(NULL);
    scatter(odd, 6, 4096);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    ck_assert_uint_eq(uio.uio_resid, 0);
    check_written(odd, 6, fake.mem + 4096);
    scatter(whole, 3, 65536);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    check_written(whole, 3, fake.mem + 65536);
    for (unsigned i = 0; i < fake.nlog; i++)
        ck_assert(!fake.log[i].gathered);
    fake_close(fp);
}
END_TEST

START_TEST(test_odd_pieces_read)
{
    struct file *fp = fake_open(NULL);
    uint8_t *want = malloc(1536);

    for (int i = 0; i < 1536; i++)
        fake.mem[8192 + i] = want[i] = (uint8_t)(i * 5);
    scatter(odd, 6, 8192);
    ck_assert_int_eq(fp_rwuio(fp, UIO_READ, &uio, 0), 0);
    ck_assert_uint_eq(uio.uio_resid, 0);
    check_written(odd, 6, want);
    free(want);
    fake_close(fp);
}
END_TEST

/* Larger than one command, or than the pages we copy through. */
START_TEST(test_odd_pieces_large)
{
    size_t lens[3] = {100001, 99999, 512 * 400};
    struct file *fp;

    lens[2] -= 200000 % 512;
    lens[2] += 512;
    lens[2] -= (lens[0] + lens[1] + lens[2]) % 512;
    fake.gather = _i != 0;
    fp = fake_open(NULL);
    scatter(lens, 3, 0);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    ck_assert_uint_eq(uio.uio_resid, 0);
    check_written(lens, 3, fake.mem);
    ck_assert_uint_eq(fake_stats().gathered, 0);
    fake_close(fp);
}
END_TEST

static unsigned spoil_left;
static int spoil_error;
static const struct iovec *seen_iov;
static bool spoil_process;

/* A software gather that eats the uio and then fails. */
static bool spoil(struct sc_buf *sc)
{
    if (!sc->resvd1)
        return false;
    spoil_process &= kern_at_process_level();
    ck_assert_ptr_null(sc->bp);
    ck_assert_uint_eq(sc->resvd1->uio_resid, 1536);
    ck_assert_int_eq(sc->resvd1->uio_iovcnt, 6);
    ck_assert_uint_eq(sc->resvd1->uio_iov[2].iov_len, 511);
    ck_assert_ptr_eq(sc->resvd1->uio_iov[2].iov_base, area + 1 + 1 + 3 + 3);
    seen_iov = sc->resvd1->uio_iov;
    if (spoil_left == 0)
        return false;
    spoil_left--;
    memset(sc->resvd1->uio_iov, 0, 6 * sizeof(struct iovec));
    memset(sc->resvd1, 0, sizeof(struct uio));
    sc->resvd1 = NULL;
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = spoil_error;
    if (spoil_error == EIO) {
        sc->status_validity = SC_ADAPTER_ERROR;
        sc->general_card_status = SC_HOST_IO_BUS_ERR;
        fake.halted = true;
    }
    fake.active--;
    iodone(&sc->bufstruct);
    return true;
}

/* Restored before each retry, and retried from process level: lack of memory (0), a bus error (1). */
START_TEST(test_AIX_17_restored_and_retried_at_process_level)
{
    struct file *fp = fake_open(NULL);

    spoil_left = 2;
    spoil_error = _i ? EIO : ENOMEM;
    spoil_process = true;
    fake.hook = spoil;
    scatter(odd, 6, 4096);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    ck_assert_uint_eq(spoil_left, 0);
    ck_assert(spoil_process);
    ck_assert_ptr_ne(seen_iov, iov);
    check_written(odd, 6, fake.mem + 4096);
    fake.hook = NULL;
    ck_assert_uint_eq(fake_stats().gathered, 3);
    fake_close(fp);
}
END_TEST

/* No memory for good: in pieces. Refused: the same. A bad address: EFAULT, nothing moved. */
START_TEST(test_AIX_16_gather_errors)
{
    static const int errors[] = {ENOMEM, EINVAL, EFAULT};
    struct file *fp = fake_open(NULL);
    int rc;

    spoil_left = 100;
    spoil_error = errors[_i];
    fake.hook = spoil;
    scatter(odd, 6, 4096);
    rc = fp_rwuio(fp, UIO_WRITE, &uio, 0);
    ck_assert_int_eq(rc, _i == 2 ? EFAULT : 0);
    ck_assert_uint_eq(uio.uio_resid, _i == 2 ? 1536 : 0);
    if (_i < 2)
        check_written(odd, 6, fake.mem + 4096);
    fake.hook = NULL;
    fake_close(fp);
}
END_TEST

/* What the driver must never build (AIX-13), seen from what it does build: uio set, write, bp NULL. */
START_TEST(test_AIX_13_conditions_kept)
{
    struct file *fp = fake_open(NULL);

    scatter(odd, 6, 0);
    ck_assert_int_eq(fp_rwuio(fp, UIO_READ, &uio, 0), 0);
    scatter(odd, 6, 0);
    uio.uio_iovcnt = 1;
    uio.uio_resid = 512;
    iov[0].iov_len = 512;
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    for (unsigned i = 0; i < fake.nlog; i++)
        ck_assert(!fake.log[i].gathered);
    fake_close(fp);
}
END_TEST

START_TEST(test_gather_total_not_whole_blocks)
{
    struct file *fp = fake_open(NULL);

    scatter(odd, 4, 0);
    uio.uio_resid -= 4;
    iov[3].iov_len -= 4;
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), EINVAL);
    ck_assert_uint_eq(fake_nrw(), 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_gather_device_error)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_PROTECT;
    f->asc = 0x27;
    scatter(odd, 6, 4096);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), EWRPROTECT);
    ck_assert_uint_eq(uio.uio_resid, 1536);
    fake.nfaults = 0;
    scatter(odd, 6, 4096);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), 0);
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_gather");
    TCase *t = tcase_create("gather");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_AIX_14_odd_pieces_one_command);
    tcase_add_test(t, test_AIX_15_never_without_capability);
    tcase_add_test(t, test_odd_pieces_read);
    tcase_add_loop_test(t, test_odd_pieces_large, 0, 2);
    tcase_add_loop_test(t, test_AIX_17_restored_and_retried_at_process_level, 0, 2);
    tcase_add_loop_test(t, test_AIX_16_gather_errors, 0, 3);
    tcase_add_test(t, test_AIX_13_conditions_kept);
    tcase_add_test(t, test_gather_total_not_whole_blocks);
    tcase_add_test(t, test_gather_device_error);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
