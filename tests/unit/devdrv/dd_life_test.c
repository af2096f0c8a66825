/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_life_test.c - configuration beside opens: a unit stays as long as somebody is on his way into it.
 */
#include "fake_ad.h"

#include <pthread.h>

#define OTHER_DEV SC_MAKEDEV(FAKE_DISK_MAJOR, 1)

static int config_dds(devno_t devno, struct scdisk_dds dds)
{
    struct iovec iov = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &iov, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};

    return scdisk_config(devno, CFG_INIT, &uio);
}

static int config(devno_t devno)
{
    return config_dds(devno,
                      (struct scdisk_dds){.adapter_devno = FAKE_AD_DEV, .scsi_id = 3, .name = "hdisk0"});
}

/* ------------------------------------------------------------------ with a virtual clock */

static unsigned released;

static void release_later(struct trb *t)
{
    (void)t;
    released++;
    ck_assert_ptr_null(dd_unit_of(FAKE_DEV)); /* newcomers find nothing any more */
    dd_unit_release(FAKE_DEV);
}

/* An opener has found the unit and not yet taken its lock: CFG_TERM waits for him. */
START_TEST(test_term_waits_for_who_is_inside)
{
    struct trb *t;

    fake_begin(20480, 512);
    t = talloc();
    ck_assert_int_eq(config(FAKE_DEV), 0);
    ck_assert_ptr_nonnull(dd_unit_hold(FAKE_DEV));
    released = 0;
    t->func = release_later;
    t->timeout_ns = 5000000;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    ck_assert_uint_eq(released, 1);
    ck_assert_ptr_null(dd_unit_hold(FAKE_DEV));
    ck_assert_ptr_null(dd_unit_hold(SC_MAKEDEV(FAKE_DISK_MAJOR, DD_UNITS_MAX)));
    tfree(t);
    fake_end();
}
END_TEST

/* He gets the lock after CFG_TERM has begun: no device. */
START_TEST(test_open_of_a_dying_unit)
{
    struct file *fp;

    fake_begin(20480, 512);
    ck_assert_int_eq(config(FAKE_DEV), 0);
    dd_unit_of(FAKE_DEV)->un_dying = true;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), ENXIO);
    ck_assert_uint_eq(fake.nlog, 0);
    dd_unit_of(FAKE_DEV)->un_dying = false;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), EBUSY);
    ck_assert(!dd_unit_of(FAKE_DEV)->un_dying);
    fake_close(fp);
    fake_end();
}
END_TEST

/* What a define-device structure must not say. */
START_TEST(test_what_cannot_be_configured)
{
    const struct scdisk_dds good = {.adapter_devno = FAKE_AD_DEV, .scsi_id = 3, .name = "hdisk0"};
    struct scdisk_dds bad[7] = {good, good, good, good, good, good, good};

    bad[0].adapter_devno = FAKE_DEV; /* itself: its open would wait for itself */
    bad[1].adapter_devno = OTHER_DEV;
    bad[2].reserved[0] = 1;
    bad[3].reserved[6] = 1;
    bad[4].clr_q = 2;
    bad[5].no_q_err = 2;
    bad[6].reserved1 = 1;
    fake_begin(20480, 512);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(config_dds(FAKE_DEV, bad[i]), EINVAL);
    /* A disk under another major is no adapter either. */
    ck_assert_int_eq(config(FAKE_DEV), 0);
    bad[0].adapter_devno = FAKE_DEV;
    ck_assert_int_eq(config_dds(SC_MAKEDEV(FAKE_DISK_MAJOR + 1, 1), bad[0]), EINVAL);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    fake_end();
}
END_TEST

/* An openx flag takes something from others: a user needs authority, and nothing happens without. */
START_TEST(test_ext_flags_need_authority)
{
    static const int flags[] = {SC_DIAGNOSTIC, SC_FORCED_OPEN, SC_SINGLE, SC_RETAIN_RESERVATION,
                                SC_NO_RESERVE};
    struct file *fp;

    fake_begin(20480, 512);
    ck_assert_int_eq(config(FAKE_DEV), 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(flags); i++) {
        fake.nlog = fake.resets = 0;
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, flags[i], &fp), EPERM);
        ck_assert_uint_eq(fake.nlog, 0);
        ck_assert_uint_eq(fake.resets, 0);
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DAUTH, NULL, flags[i], &fp), 0);
        fake_close(fp);
    }
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    fake_close(fp);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    fake_end();
}
END_TEST

/* CFG_TERM cannot take the driver out of the switch: everything is as it was. */
START_TEST(test_a_failed_term_changes_nothing)
{
    struct devsw entries;
    struct file *fp;

    fake_begin(20480, 512);
    ck_assert_int_eq(config(FAKE_DEV), 0);
    entries = *devsw_find(FAKE_DEV);
    ck_assert_int_eq(devswdel(FAKE_DEV), 0);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), ENODEV);
    ck_assert_int_eq(devswadd(FAKE_DEV, &entries), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_close(fp);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ with threads */

static _Atomic bool stop;

static void *opener(void *arg)
{
    uintptr_t odd = 0;

    (void)arg;
    while (!atomic_load(&stop)) {
        struct file *fp;
        int rc = fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp);

        if (rc == 0)
            odd += fp_close(fp) != 0;
        else
            odd += rc != ENXIO && rc != EACCES;
    }
    return (void *)odd;
}

/* Two who open and close without end, one who takes the unit away and brings it back. */
START_TEST(test_open_against_term)
{
    pthread_t th[2];
    unsigned terms = 0;

    fake_begin_posix(20480, 512);
    ck_assert_int_eq(config(FAKE_DEV), 0);
    ck_assert_int_eq(config(OTHER_DEV), 0); /* keeps the major in the switch */
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&th[i], NULL, opener, NULL), 0);
    while (terms < 500) {
        int rc = scdisk_config(FAKE_DEV, CFG_TERM, NULL);

        ck_assert(rc == 0 || rc == EBUSY);
        if (rc == 0) {
            terms++;
            ck_assert_int_eq(config(FAKE_DEV), 0);
        }
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        void *odd;

        ck_assert_int_eq(pthread_join(th[i], &odd), 0);
        ck_assert_ptr_null(odd);
    }
    ck_assert_int_eq(scdisk_config(OTHER_DEV, CFG_TERM, NULL), 0);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ what changes while the disk is open */

#define FORMAT_BLOCKS 2000u

static _Atomic uint32_t format_bytes;

static size_t format_reply(const uint8_t *cdb, uint8_t *d, size_t n)
{
    (void)n;
    if (cdb[0] == SCSI_INQUIRY && (cdb[1] & 1) == 0) {
        memcpy(d, "\0\0\0\0\x1f\0\0\2SCPAIR  fake            1   ", 36);
        return 36;
    }
    if (cdb[0] != SCSI_READ_CAPACITY_10)
        return 0;
    scsi_put32(d, FORMAT_BLOCKS - 1);
    scsi_put32(d + 4, atomic_load(&format_bytes));
    return 8;
}

static void *asker(void *arg)
{
    struct file *fp = arg;
    uintptr_t odd = 0;

    while (!atomic_load(&stop)) {
        struct sc_disk_info info;
        struct devinfo di;

        odd += fp_ioctl(fp, IOCINFO, (intptr_t)&di, 0) != 0;
        odd += di.un.scdk.numblks != FORMAT_BLOCKS;
        odd += di.un.scdk.blksize != 512 && di.un.scdk.blksize != 4096;
        odd += di.un.scdk.max_request != di.un.scdk.segment_size;
        odd += fp_ioctl(fp, DKINFO, (intptr_t)&info, 0) != 0;
        odd += info.blocks != FORMAT_BLOCKS || strcmp(info.vendor, "SCPAIR") != 0;
    }
    return (void *)odd;
}

/* DKFORMAT to another block size and back, while another thread of the same file asks what the disk is: one
 * or the other, never half of each. */
START_TEST(test_format_beside_questions)
{
    struct file *fp;
    pthread_t th;
    void *odd;

    fake_begin_posix(20480, 512);
    fake.reply = format_reply;
    atomic_store(&format_bytes, 512);
    atomic_store(&stop, false);
    ck_assert_int_eq(config(FAKE_DEV), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    ck_assert_int_eq(pthread_create(&th, NULL, asker, fp), 0);
    for (unsigned i = 0; i < 2000; i++) {
        atomic_store(&format_bytes, i % 2 ? 512 : 4096);
        fake_forget();
        ck_assert_int_eq(fp_ioctl(fp, DKFORMAT, 0, 0), 0);
    }
    atomic_store(&stop, true);
    ck_assert_int_eq(pthread_join(th, &odd), 0);
    ck_assert_ptr_null(odd);
    ck_assert_int_eq(fp_close(fp), 0);
    fake_end();
}
END_TEST

/* Both halves of a size are alike, and sizes only grow. */
static void *sizer(void *arg)
{
    const struct dd_unit *un = arg;
    uint64_t last = 0;
    uintptr_t odd = 0;

    while (!atomic_load(&stop)) {
        uint64_t now = dd_sectors(un);

        odd += (uint32_t)now != now >> 32 || now < last;
        last = now;
    }
    return (void *)odd;
}

START_TEST(test_size_is_never_half_of_two)
{
    struct dd_unit *un;
    pthread_t th[2];

    fake_begin_posix(20480, 512);
    ck_assert_int_eq(config(FAKE_DEV), 0);
    un = dd_unit_of(FAKE_DEV);
    atomic_store(&stop, false);
    dd_size_set_locked(un, 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&th[i], NULL, sizer, un), 0);
    for (uint64_t i = 1; i <= 300000; i++) {
        int old = disable_lock(INTIODONE, &un->un_lock);

        dd_size_set_locked(un, i << 32 | i);
        unlock_enable(old, &un->un_lock);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        void *odd;

        ck_assert_int_eq(pthread_join(th[i], &odd), 0);
        ck_assert_ptr_null(odd);
    }
    ck_assert_uint_eq(dd_sectors(un), UINT64_C(300000) << 32 | 300000);
    fake_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_life");
    TCase *t = tcase_create("life");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_term_waits_for_who_is_inside);
    tcase_add_test(t, test_open_of_a_dying_unit);
    tcase_add_test(t, test_ext_flags_need_authority);
    tcase_add_test(t, test_what_cannot_be_configured);
    tcase_add_test(t, test_a_failed_term_changes_nothing);
    tcase_add_test(t, test_open_against_term);
    tcase_add_test(t, test_format_beside_questions);
    tcase_add_test(t, test_size_is_never_half_of_two);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
