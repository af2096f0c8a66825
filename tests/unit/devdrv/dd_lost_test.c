/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_lost_test.c - a write that was acknowledged and lost is told to each who had the disk open, once.
 */
#include "fake_ad.h"

static uint8_t *area;
static struct file *fp;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 4096);
    ck_assert_ptr_nonnull(area);
    memset(area, 0, 4096);
    fp = fake_open(NULL);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static int mark(uint32_t how, uint32_t *m)
{
    struct sc_flush fl = {*m, how};
    int error = fp_ioctl(fp, DKFLUSHMARK, (intptr_t)&fl, 0);

    *m = fl.mark;
    return error;
}

/* The device has lost a write, and says so to whatever comes by. */
static void lose(void)
{
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x0c;
    f->deferred = true;
    f->count = 1;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 4096, 0, 0, NULL), 0);
    fake.nfaults = 0;
}

static unsigned flushes(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nlog; i++)
        n += fake.log[i].cdb[0] == SCSI_SYNC_CACHE_10;
    return n;
}

/* Each mark of before is told once, in whatever order and way; a later one only when nobody had been told. */
START_TEST(test_each_open_is_told_once)
{
    uint32_t a = 77, b = 78, late = 79, early = 80;

    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &a), 0);
    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &b), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &a), 0);
    lose();
    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &early), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &a), EMEDIA);
    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &late), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &a), 0);
    fake_forget();
    ck_assert_int_eq(mark(SC_FLUSH_TELL, &b), EMEDIA);
    ck_assert_int_eq(mark(SC_FLUSH_TELL, &b), 0);
    ck_assert_uint_eq(flushes(), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &b), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &late), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &early), EMEDIA);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), EMEDIA); /* whoever flushes without a mark: one more */
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    lose();
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &late), EMEDIA);
    ck_assert_int_eq(fp_close(fp), 0); /* somebody knows */
}
END_TEST

/* A flush whose error nobody listens to tells nobody: the close does, and the next open is a new one. */
START_TEST(test_silent_flush)
{
    uint32_t m = 0;

    lose();
    fake_forget();
    ck_assert_int_eq(mark(SC_FLUSH_SILENT, &m), 0);
    ck_assert_uint_eq(flushes(), 1);
    ck_assert_int_eq(fp_close(fp), EMEDIA);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &m), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &m), 0);
    ck_assert_int_eq(fp_close(fp), 0);
}
END_TEST

/*
 * What the device cannot write out at a flush is lost (0, 1): the others hear of it though their flush finds
 * the cache in order. A flush that somebody else's reservation (2) refuses has lost nothing, and hides
 * nothing: the loss of before is told first, the refusal next.
 */
START_TEST(test_failed_flush)
{
    uint32_t a = 0, b = 0;
    struct fake_fault *f;

    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &a), 0);
    ck_assert_int_eq(mark(SC_FLUSH_OPEN, &b), 0);
    if (_i == 2)
        lose();
    ck_assert_int_eq(fake_rdwr(fp, false, area, 4096, 0, 0, NULL), 0);
    f = fake_fault(SCSI_SYNC_CACHE_10, 0, UINT64_MAX, _i == 2 ? FAKE_STATUS : FAKE_CHECK);
    if (_i == 2)
        f->code = SC_RESERVATION_CONFLICT;
    f->key = _i ? SCSI_KEY_HARDWARE : SCSI_KEY_MEDIUM;
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &a), _i == 1 ? EIO : EMEDIA);
    if (_i == 2)
        ck_assert_int_eq(mark(SC_FLUSH_ALL, &a), EBUSY);
    fake.nfaults = 0;
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &a), 0);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &b), _i == 1 ? EIO : EMEDIA);
    ck_assert_int_eq(mark(SC_FLUSH_ALL, &b), 0);
    ck_assert_int_eq(fp_close(fp), 0);
}
END_TEST

/* A way there is not: nothing changes. */
START_TEST(test_unknown_how)
{
    uint32_t m = 5;

    ck_assert_int_eq(mark(4, &m), EINVAL);
    ck_assert_uint_eq(m, 5);
    ck_assert_int_eq(fp_ioctlx(fp, DKFLUSHMARK, 0, 0, DREAD), EFAULT);
    ck_assert_int_eq(fp_close(fp), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_lost");
    TCase *t = tcase_create("lost");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_each_open_is_told_once);
    tcase_add_test(t, test_silent_flush);
    tcase_add_loop_test(t, test_failed_flush, 0, 3);
    tcase_add_test(t, test_unknown_how);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
