/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_devsw_test.c - the device switch, open devices, the error log, starting and stopping the
 * services.
 */
#include "panic_host.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define DEVNO           SC_MAKEDEV(7, 3)
#define KERN_TEST_FILES 4096u /* as kservices.h says */

static struct {
    unsigned opens, closes, reads, writes, ioctls;
    int answer;
    unsigned long flag;
    long chan;
    int ext;
    unsigned cmd;
    intptr_t arg;
    uint32_t fmode;
    bool any_minor;
    devno_t close_devno;
    long ioctl_chan;
} drv;

static int drv_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    ck_assert(drv.any_minor || devno == DEVNO);
    drv.opens++;
    drv.flag = devflag;
    drv.chan = chan;
    drv.ext = ext;
    return drv.answer;
}
static int drv_close(devno_t devno, long chan)
{
    ck_assert(drv.any_minor || devno == DEVNO);
    ck_assert_int_eq(chan, drv.chan);
    drv.close_devno = devno;
    drv.closes++;
    return drv.answer;
}
static int drv_read(devno_t devno, struct uio *uiop, long chan, int ext)
{
    (void)chan;
    ck_assert_uint_eq(devno, DEVNO);
    drv.reads++;
    drv.ext = ext;
    drv.fmode = uiop->uio_fmode;
    return drv.answer;
}
static int drv_write(devno_t devno, struct uio *uiop, long chan, int ext)
{
    (void)uiop;
    (void)chan;
    (void)ext;
    ck_assert_uint_eq(devno, DEVNO);
    drv.writes++;
    return drv.answer;
}
static int drv_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    ck_assert_uint_eq(devno, DEVNO);
    drv.ioctls++;
    drv.ioctl_chan = chan;
    drv.cmd = cmd;
    drv.arg = arg;
    drv.flag = devflag;
    drv.ext = ext;
    return drv.answer;
}

static const struct devsw full = {
    .d_open = drv_open, .d_close = drv_close, .d_read = drv_read, .d_write = drv_write, .d_ioctl = drv_ioctl};

static void begin(void)
{
    panic_begin(shim_det_host(1));
    memset(&drv, 0, sizeof(drv));
}

START_TEST(test_devsw_add_find_del)
{
    struct devsw sw = full;

    begin();
    ck_assert_ptr_null(devsw_find(DEVNO));
    ck_assert_int_eq(devswdel(DEVNO), ENODEV);
    ck_assert_int_eq(devswadd(DEVNO, &sw), 0);
    sw.d_open = NULL; /* the table was copied */
    ck_assert_ptr_nonnull(devsw_find(SC_MAKEDEV(7, 99)));
    ck_assert_ptr_eq((void *)devsw_find(DEVNO)->d_open, (void *)drv_open);
    ck_assert_int_eq(devswadd(SC_MAKEDEV(7, 4), &full), EEXIST);
    ck_assert_int_eq(devswadd(SC_MAKEDEV(DEVSW_MAJORS, 0), &full), EINVAL);
    ck_assert_int_eq(devswdel(SC_MAKEDEV(DEVSW_MAJORS, 0)), EINVAL);
    ck_assert_int_eq(devswadd(DEVNO, NULL), EINVAL);
    ck_assert_ptr_null(devsw_find(SC_MAKEDEV(DEVSW_MAJORS, 0)));
    ck_assert_int_eq(devswdel(DEVNO), 0);
    ck_assert_ptr_null(devsw_find(DEVNO));
    shim_test_end();
}
END_TEST

START_TEST(test_fp_calls_reach_the_driver)
{
    struct file *fp = NULL, *other = NULL;
    struct uio uio = {0};
    int channel;

    begin();
    ck_assert_int_eq(devswadd(DEVNO, &full), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD | DWRITE, &channel, 0x11, &fp), 0);
    ck_assert_uint_eq(drv.flag, DREAD | DWRITE);
    ck_assert_int_eq(drv.chan, (long)(intptr_t)&channel);
    ck_assert_int_eq(drv.ext, 0x11);
    ck_assert_uint_eq(fp_getdevno(fp), DEVNO);
    ck_assert_int_eq(fp_ioctl(fp, 77, 88, 5), 0);
    ck_assert_uint_eq(drv.cmd, 77);
    ck_assert_int_eq(drv.arg, 88);
    ck_assert_uint_eq(drv.flag, DREAD | DWRITE | DKERNEL);
    ck_assert_int_eq(fp_ioctlx(fp, 77, 88, 5, DREAD), 0);
    ck_assert_uint_eq(drv.flag, DREAD);
    ck_assert_int_eq(fp_rwuio(fp, UIO_READ, &uio, 9), 0);
    ck_assert_uint_eq(drv.fmode, DREAD | DWRITE);
    ck_assert_int_eq(drv.ext, 9);
    drv.answer = ENXIO;
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 9), ENXIO);
    ck_assert_int_eq(fp_ioctl(fp, 1, 2, 3), ENXIO);
    drv.answer = 0;
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, &channel, 0, &other), 0);
    ck_assert_int_eq(fp_rwuio(other, UIO_WRITE, &uio, 0), EBADF); /* not opened for it */
    ck_assert_int_eq(devswdel(DEVNO), EEXIST);
    ck_assert_int_eq(fp_close(other), 0);
    ck_assert_int_eq(devswdel(DEVNO), EEXIST);
    drv.answer = EIO; /* the file is closed all the same */
    ck_assert_int_eq(fp_close(fp), EIO);
    ck_assert_uint_eq(drv.opens, 2);
    ck_assert_uint_eq(drv.closes, 1); /* the last one only */
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_fp_errors)
{
    static const struct devsw empty = {.d_opts = DEV_MPSAFE};
    static const struct devsw open_only = {.d_open = drv_open};
    struct file *fp = (struct file *)&drv;
    struct uio uio = {0};

    begin();
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &fp), EINVAL); /* nobody has this major */
    ck_assert_ptr_null(fp);
    ck_assert_int_eq(fp_opendev(SC_MAKEDEV(500, 0), DREAD, NULL, 0, &fp), EINVAL);
    ck_assert_int_eq(devswadd(DEVNO, &empty), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &fp), ENODEV);
    ck_assert_int_eq(devswdel(DEVNO), 0); /* the failed open counts for nothing */
    ck_assert_int_eq(devswadd(DEVNO, &open_only), 0);
    drv.answer = EBUSY;
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &fp), EBUSY);
    ck_assert_ptr_null(fp);
    drv.answer = 0;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, false);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &fp), ENOMEM);
    ck_assert_uint_eq(drv.opens, 1); /* the driver was not asked */
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD | DWRITE, NULL, 0, &fp), 0);
    ck_assert_int_eq(fp_rwuio(fp, UIO_READ, &uio, 0), ENODEV);
    ck_assert_int_eq(fp_rwuio(fp, UIO_WRITE, &uio, 0), ENODEV);
    ck_assert_int_eq(fp_ioctl(fp, 1, 2, 3), ENODEV);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(fp_close(NULL), EBADF);
    ck_assert_uint_eq(fp_getdevno(NULL), SC_NODEV);
    ck_assert_int_eq(fp_ioctl(NULL, 1, 2, 3), EBADF);
    ck_assert_int_eq(fp_ioctlx(NULL, 1, 2, 3, 0), EBADF);
    ck_assert_int_eq(fp_rwuio(NULL, UIO_READ, &uio, 0), EBADF);
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

/* Minors close by themselves; a failed first open is followed by a close, a failed later one is not. */
START_TEST(test_AIX_25_d_close_comes_with_the_last_close_of_its_device)
{
    struct file *a = NULL, *b = NULL, *other = NULL;

    begin();
    drv.any_minor = true;
    ck_assert_int_eq(devswadd(DEVNO, &full), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &a), 0);
    ck_assert_int_eq(fp_opendev(DEVNO + 1, DREAD, NULL, 0, &other), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &b), 0);
    drv.answer = EACCES;
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &(struct file *){NULL}), EACCES);
    ck_assert_uint_eq(drv.closes, 0);
    drv.answer = 0;
    ck_assert_int_eq(fp_close(a), 0);
    ck_assert_uint_eq(drv.closes, 0);
    ck_assert_int_eq(fp_close(other), 0);
    ck_assert_uint_eq(drv.closes, 1);
    ck_assert_uint_eq(drv.close_devno, DEVNO + 1);
    drv.answer = EIO;
    ck_assert_int_eq(fp_close(b), EIO);
    ck_assert_uint_eq(drv.closes, 2);
    ck_assert_uint_eq(drv.close_devno, DEVNO);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &a), EIO);
    ck_assert_uint_eq(drv.closes, 3);
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_a_driver_that_wants_each_close_gets_each_with_its_file)
{
    struct devsw sw = full;
    struct file *a = NULL, *b = NULL;
    int channel;

    begin();
    sw.d_opts = DEV_EACHCLOSE;
    ck_assert_int_eq(devswadd(DEVNO, &sw), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, &channel, 0, &a), 0);
    ck_assert_int_eq(drv.chan, (long)(intptr_t)a);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, &channel, 0, &b), 0);
    ck_assert_int_eq(drv.chan, (long)(intptr_t)b);
    drv.answer = EBUSY;
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &(struct file *){NULL}), EBUSY);
    ck_assert_uint_eq(drv.closes, 0); /* what was not opened is not closed */
    drv.answer = 0;
    ck_assert_int_eq(fp_ioctl(a, 1, 2, 3), 0);
    ck_assert_int_eq(drv.ioctl_chan, (long)(intptr_t)a);
    drv.chan = (long)(intptr_t)a; /* drv_close compares */
    ck_assert_int_eq(fp_close(a), 0);
    ck_assert_uint_eq(drv.closes, 1);
    drv.chan = (long)(intptr_t)b;
    ck_assert_int_eq(fp_close(b), 0);
    ck_assert_uint_eq(drv.closes, 2);
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

/* Everything a driver might try from its iodone routine. */
static struct file *in_iodone_fp;
static void try_from_iodone(struct buf *bp)
{
    struct uio uio = {0};
    struct file *fp = (struct file *)bp;

    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &fp), EINVAL);
    ck_assert_ptr_null(fp);
    ck_assert_int_eq(fp_ioctl(in_iodone_fp, 1, 2, 3), EINVAL);
    ck_assert_int_eq(fp_ioctlx(in_iodone_fp, 1, 2, 3, DREAD), EINVAL);
    ck_assert_int_eq(fp_rwuio(in_iodone_fp, UIO_READ, &uio, 0), EINVAL);
    ck_assert_int_eq(fp_close(in_iodone_fp), EINVAL);
}

START_TEST(test_fp_calls_from_an_iodone_routine_are_EINVAL)
{
    struct buf buf = {.b_iodone = try_from_iodone};

    begin();
    ck_assert_int_eq(devswadd(DEVNO, &full), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &in_iodone_fp), 0);
    iodone(&buf);
    ck_assert_uint_eq(buf.b_flags, B_DONE);
    ck_assert_uint_eq(drv.opens, 1);
    ck_assert_uint_eq(drv.ioctls, 0);
    ck_assert_uint_eq(drv.closes, 0);
    ck_assert_int_eq(fp_close(in_iodone_fp), 0); /* it is still open */
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_files_have_a_limit)
{
    static struct file *files[KERN_TEST_FILES];
    struct file *one_more = NULL;

    begin();
    ck_assert_int_eq(devswadd(DEVNO, &full), 0);
    for (unsigned i = 0; i < KERN_TEST_FILES; i++)
        ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &files[i]), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DREAD, NULL, 0, &one_more), EMFILE);
    for (unsigned i = 0; i < KERN_TEST_FILES; i++)
        ck_assert_int_eq(fp_close(files[i]), 0);
    ck_assert_uint_eq(drv.opens, KERN_TEST_FILES);
    ck_assert_uint_eq(drv.closes, 1);
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- opens that meet a close */

/* A driver that cannot be closed while it is open for somebody, nor be inside twice. */
static struct {
    _Atomic int inside;
    _Atomic bool open;
    _Atomic unsigned opens, closes, fail;
} crowd;

static int crowd_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    int error = 0;

    (void)devno, (void)devflag, (void)chan, (void)ext;
    ck_assert_int_eq(atomic_fetch_add(&crowd.inside, 1), 0);
    if (atomic_fetch_add(&crowd.fail, 1) % 7 == 3)
        error = EBUSY;
    else
        atomic_store(&crowd.open, true);
    sched_yield();
    atomic_fetch_add(&crowd.opens, 1);
    atomic_fetch_sub(&crowd.inside, 1);
    return error;
}
static int crowd_close(devno_t devno, long chan)
{
    (void)devno, (void)chan;
    ck_assert_int_eq(atomic_fetch_add(&crowd.inside, 1), 0);
    atomic_store(&crowd.open, false);
    sched_yield();
    atomic_fetch_add(&crowd.closes, 1);
    atomic_fetch_sub(&crowd.inside, 1);
    return 0;
}
static int crowd_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    (void)devno, (void)cmd, (void)arg, (void)devflag, (void)chan, (void)ext;
    return atomic_load(&crowd.open) ? 0 : EIO; /* EIO: it was closed under an open file */
}

static void *crowd_run(void *arg)
{
    for (unsigned i = 0; i < 3000; i++) {
        struct file *fp = NULL;

        if (fp_opendev(DEVNO, DREAD, NULL, 0, &fp) != 0)
            continue;
        ck_assert_int_eq(fp_ioctl(fp, 0, 0, 0), 0);
        ck_assert_int_eq(fp_close(fp), 0);
    }
    return arg;
}

START_TEST(test_an_open_file_is_never_closed_by_the_last_but_one)
{
    static const struct devsw sw = {
        .d_open = crowd_open, .d_close = crowd_close, .d_ioctl = crowd_ioctl, .d_opts = DEV_MPSAFE};
    pthread_t threads[4];

    panic_begin(shim_posix_host());
    memset(&crowd, 0, sizeof(crowd));
    ck_assert_int_eq(devswadd(DEVNO, &sw), 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_run, NULL), 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&crowd.opens), 12000);
    ck_assert(!atomic_load(&crowd.open));
    ck_assert_uint_gt(atomic_load(&crowd.closes), 0);
    ck_assert_int_eq(devswdel(DEVNO), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_kern_fini_with_a_driver_left_panics)
{
    begin();
    ck_assert_int_eq(devswadd(DEVNO, &full), 0);
    panic_expect("major 7 is still in the device switch");
    kern_fini();
}
END_TEST

START_TEST(test_kern_init_without_memory_leaves_nothing)
{
    struct shim_account acc;

    ck_assert_int_eq(shim_init(shim_det_host(1)), 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 1, false);
    ck_assert_int_eq(kern_init(), ENOMEM);
    shim_account_get(&acc);
    ck_assert_uint_eq(acc.acc_locks, 0);
    ck_assert_int_eq(kern_init(), 0);
    kern_fini();
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

static unsigned locks_left;
static int (*lock_init_really)(struct shim_lock *l);
static int lock_init_until(struct shim_lock *l) { return locks_left-- == 0 ? ENOMEM : lock_init_really(l); }

/* The k-th lock cannot be had. */
/* A port that did not look at what shim_init() answered is told, and can begin again. */
START_TEST(test_kern_init_without_a_host_is_refused)
{
    struct shim_host h = *shim_det_host(1);

    h.alloc = NULL;
    ck_assert_int_eq(shim_init(&h), EINVAL);
    ck_assert_int_eq(kern_init(), ENXIO);
    ck_assert_int_eq(shim_init(shim_det_host(1)), 0);
    ck_assert_int_eq(kern_init(), 0);
    kern_fini();
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

START_TEST(test_kern_init_without_locks_leaves_nothing)
{
    struct shim_host host = *shim_det_host(1);
    struct shim_account acc;
    int rc = ENOMEM;

    lock_init_really = host.lock_init;
    host.lock_init = lock_init_until;
    locks_left = 0;
    ck_assert_int_eq(shim_init(&host), ENOMEM); /* the wrappers' own */
    locks_left = 1;
    ck_assert_int_eq(shim_init(&host), 0);
    for (unsigned k = 0; rc != 0; k++) {
        locks_left = k;
        rc = kern_init();
        if (rc == 0)
            break;
        ck_assert_int_eq(rc, ENOMEM);
        shim_account_get(&acc);
        ck_assert_uint_eq(acc.acc_locks, 0);
        ck_assert_uint_eq(acc.acc_blocks[SHIM_TAG_KERN], 0);
        ck_assert_uint_lt(k, 10);
    }
    kern_fini();
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

/* ---------------------------------------------------------------- the error log */

START_TEST(test_errlog_ring_keeps_the_newest_in_order)
{
    static struct err_rec out[ERRLOG_RECORDS + 10];
    struct err_rec rec = {.er_id = ERRID_DISK_ERR1, .er_errno = EMEDIA, .er_resource = "hdisk0"};
    unsigned n;

    begin();
    ck_assert_uint_eq(errlog_read(0, out, 10), 0);
    for (unsigned i = 1; i <= 10; i++) {
        kern_format(rec.er_text, sizeof(rec.er_text), "number %u", i);
        errsave(&rec, sizeof(rec));
        ck_assert_uint_eq(rec.er_seq, i);
        ck_assert_uint_eq(rec.er_when_ns, kern_now_ns());
    }
    ck_assert_uint_eq(errlog_read(4, out, 3), 3);
    ck_assert_uint_eq(out[0].er_seq, 5);
    ck_assert_str_eq(out[2].er_text, "number 7");
    ck_assert_uint_eq(errlog_read(10, out, 10), 0);
    ck_assert_uint_eq(errlog_read(1000, out, 10), 0);
    for (unsigned i = 11; i <= ERRLOG_RECORDS + 50; i++) {
        kern_format(rec.er_text, sizeof(rec.er_text), "number %u", i);
        errsave(&rec, sizeof(rec));
    }
    n = errlog_read(0, out, ERRLOG_RECORDS + 10);
    ck_assert_uint_eq(n, ERRLOG_RECORDS);
    for (unsigned i = 0; i < n; i++)
        ck_assert_uint_eq(out[i].er_seq, 51 + i);
    shim_test_end();
}
END_TEST

/* A retry and a failure in turn, 3,000 blocks long: two records, and their counts. */
START_TEST(test_errlog_counts_what_is_the_same)
{
    struct err_rec rec = {.er_id = ERRID_DISK_ERR1, .er_errno = EIO, .er_resource = "hdisk0"};
    struct err_rec out[4];
    uint64_t began;

    begin();
    began = kern_now_ns();
    for (unsigned i = 0; i < 3000; i++) {
        rec.er_temp = i % 2 == 0;
        rec.er_low = 500 + i;
        rec.er_end = 501 + i;
        kern_format(rec.er_text, sizeof(rec.er_text), rec.er_temp ? "retried" : "failed");
        errsave(&rec, sizeof(rec));
        ck_assert_uint_eq(rec.er_seq, i + 1);
        shim_delay_ns(1000);
    }
    ck_assert_uint_eq(errlog_read(0, out, 4), 2);
    ck_assert_uint_eq(out[0].er_temp, 1);
    ck_assert_uint_eq(out[1].er_temp, 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(out[i].er_count, 1500);
        ck_assert_uint_eq(out[i].er_first_seq, 1 + i);
        ck_assert_uint_eq(out[i].er_seq, 2999 + i);
        ck_assert_uint_eq(out[i].er_first_ns, began + 1000 * i);
        ck_assert_uint_eq(out[i].er_when_ns, began + 1000 * (2998 + i));
        ck_assert_uint_eq(out[i].er_low, 500 + i);
        ck_assert_uint_eq(out[i].er_end, 501 + 2998 + i);
    }
    /* A lower block moves the beginning, an entry about no block leaves both alone. */
    rec.er_low = 7;
    rec.er_end = 9;
    errsave(&rec, sizeof(rec));
    rec.er_low = rec.er_end = 0;
    errsave(&rec, sizeof(rec));
    ck_assert_uint_eq(errlog_read(3000, out, 4), 1);
    ck_assert_uint_eq(out[0].er_low, 7);
    ck_assert_uint_eq(out[0].er_end, 3500);
    ck_assert_uint_eq(out[0].er_count, 1502);
    shim_test_end();
}
END_TEST

/* Anything else that differs makes a record of its own, and so does a minute. */
START_TEST(test_errlog_does_not_count_what_differs)
{
    const struct err_rec first = {
        .er_id = ERRID_DISK_ERR1, .er_errno = EIO, .er_resource = "hdisk0", .er_text = "failed"};
    struct err_rec rec[5], out[8];

    begin();
    for (unsigned i = 0; i < 5; i++)
        rec[i] = first;
    rec[0].er_id = ERRID_DISK_ERR3;
    rec[1].er_errno = EMEDIA;
    rec[2].er_temp = 1;
    memcpy(rec[3].er_resource, "hdisk1", 7);
    memcpy(rec[4].er_text, "failee", 7);
    for (unsigned again = 0; again < 2; again++)
        for (unsigned i = 0; i < 5; i++)
            errsave(&rec[i], sizeof(rec[i]));
    ck_assert_uint_eq(errlog_read(0, out, 8), 5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(out[i].er_count, 2);
    shim_delay_ns(ERRLOG_AGAIN_NS);
    errsave(&rec[0], sizeof(rec[0]));
    ck_assert_uint_eq(errlog_read(0, out, 8), 5);
    shim_delay_ns(ERRLOG_AGAIN_NS + 1);
    errsave(&rec[0], sizeof(rec[0]));
    ck_assert_uint_eq(errlog_read(0, out, 8), 6);
    ck_assert_uint_eq(out[4].er_count, 3);
    ck_assert_uint_eq(out[5].er_count, 1);
    shim_test_end();
}
END_TEST

/* Nor does what only looks alike to the search, with the same sum over number, errno and texts. */
START_TEST(test_errlog_tells_apart_what_has_the_same_sum)
{
    const struct err_rec first = {.er_id = 0x100, .er_errno = 40, .er_resource = "ab", .er_text = "ab"};
    struct err_rec rec[5], out[8];

    begin();
    for (unsigned i = 0; i < 5; i++)
        rec[i] = first;
    rec[1].er_id += 1;
    rec[1].er_errno -= 31;
    rec[2].er_errno += 1;
    rec[2].er_resource[0] -= 31;
    memcpy(rec[3].er_resource, "bC", 2);
    memcpy(rec[4].er_text, "bC", 2);
    for (unsigned again = 0; again < 3; again++)
        for (unsigned i = 0; i < 5; i++)
            errsave(&rec[i], sizeof(rec[i]));
    ck_assert_uint_eq(errlog_read(0, out, 8), 5);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(out[i].er_count, 3);
        ck_assert_uint_eq(out[i].er_id, rec[i].er_id);
        ck_assert_uint_eq(out[i].er_errno, rec[i].er_errno);
        ck_assert_str_eq(out[i].er_resource, rec[i].er_resource);
        ck_assert_str_eq(out[i].er_text, rec[i].er_text);
    }
    shim_test_end();
}
END_TEST

/* A record that knew no block gets those of the first entry that does. */
START_TEST(test_errlog_blocks_may_come_later)
{
    struct err_rec rec = {.er_id = ERRID_DISK_ERR1, .er_resource = "hdisk0", .er_text = "failed"}, out;

    begin();
    errsave(&rec, sizeof(rec));
    rec.er_low = 70;
    rec.er_end = 72;
    errsave(&rec, sizeof(rec));
    ck_assert_uint_eq(errlog_read(0, &out, 1), 1);
    ck_assert_uint_eq(out.er_count, 2);
    ck_assert_uint_eq(out.er_low, 70);
    ck_assert_uint_eq(out.er_end, 72);
    shim_test_end();
}
END_TEST

static unsigned told;
static void tell_count(int level, const char *text)
{
    (void)level;
    told += strstr(text, "failed") != NULL;
}

/*
 * A record goes on for as long as no pause is too long, is told of at 1, 10, 100 and 1000, and gets its
 * blocks from the first entry that has any. What lies behind the end of a text does not count.
 */
START_TEST(test_errlog_counts_on)
{
    static struct shim_host host;
    struct err_rec rec = {
        .er_id = ERRID_DISK_ERR1, .er_errno = EIO, .er_resource = "hdisk0", .er_text = "failed"};
    struct err_rec out[2];

    host = *shim_det_host(1);
    host.log = tell_count;
    panic_begin(&host);
    told = 0;
    for (unsigned i = 0; i < 1000; i++) {
        if (i == 500) {
            rec.er_low = 40;
            rec.er_end = 41;
        }
        rec.er_text[20] = (char)i;
        errsave(&rec, sizeof(rec));
        shim_delay_ns(ERRLOG_AGAIN_NS / 3);
    }
    ck_assert_uint_eq(errlog_read(0, out, 2), 1);
    ck_assert_uint_eq(out[0].er_count, 1000);
    ck_assert_uint_eq(out[0].er_low, 40);
    ck_assert_uint_eq(out[0].er_end, 41);
    ck_assert_uint_eq(told, 4);
    shim_test_end();
}
END_TEST

/* A follower gets each new record and each new count once, in the order of the entries. */
START_TEST(test_errlog_follower_sees_counts_move)
{
    struct err_rec a = {.er_id = ERRID_DISK_ERR1, .er_resource = "hdisk0", .er_text = "a"}, b = a, out[4];
    uint64_t seen = 0;

    begin();
    b.er_text[0] = 'b';
    errsave(&a, sizeof(a));
    errsave(&b, sizeof(b));
    ck_assert_uint_eq(errlog_read(seen, out, 4), 2);
    seen = out[1].er_seq;
    ck_assert_uint_eq(errlog_read(seen, out, 4), 0);
    errsave(&a, sizeof(a));
    errsave(&a, sizeof(a));
    ck_assert_uint_eq(errlog_read(seen, out, 4), 1);
    ck_assert_uint_eq(out[0].er_first_seq, 1);
    ck_assert_uint_eq(out[0].er_count, 3);
    ck_assert_uint_eq(out[0].er_seq, 4);
    ck_assert_uint_eq(errlog_read(out[0].er_seq, out, 4), 0);
    /* The full log drops the record nothing was counted in for the longest time: that is b. */
    for (unsigned i = 0; i < ERRLOG_RECORDS - 1; i++) {
        struct err_rec other = a;

        kern_format(other.er_text, sizeof(other.er_text), "number %u", i);
        errsave(&other, sizeof(other));
    }
    ck_assert_uint_eq(errlog_read(0, out, 4), 4);
    ck_assert_str_eq(out[0].er_text, "a");
    shim_test_end();
}
END_TEST

START_TEST(test_errlog_takes_nothing_on_trust)
{
    struct err_rec rec, out;

    begin();
    memset(&rec, 0xff, sizeof(rec)); /* no terminators, absurd length */
    errsave(&rec, sizeof(rec));
    ck_assert_uint_eq(errlog_read(0, &out, 1), 1);
    ck_assert_uint_eq(out.er_detail_bytes, ERR_DETAIL_MAX);
    ck_assert_uint_eq(strlen(out.er_text), ERR_TEXT_MAX - 1);
    ck_assert_uint_eq(strlen(out.er_resource), ERR_RESOURCE_MAX - 1);
    errsave(&rec, 3); /* too short to be one */
    errsave(NULL, sizeof(rec));
    errsave(&rec, offsetof(struct err_rec, er_resource) - 1);
    ck_assert_uint_eq(errlog_read(1, &out, 1), 0);
    errsave(&rec, offsetof(struct err_rec, er_resource)); /* the shortest there is */
    ck_assert_uint_eq(errlog_read(1, &out, 1), 1);
    ck_assert_str_eq(out.er_resource, "");
    errsave(&rec, offsetof(struct err_rec, er_text)); /* an older header's record */
    ck_assert_uint_eq(errlog_read(out.er_seq, &out, 1), 1);
    ck_assert_str_eq(out.er_text, "");
    ck_assert_uint_eq(out.er_count, 1);
    ck_assert_uint_eq(out.er_end, 0);
    shim_test_end();
    errsave(&rec, sizeof(rec)); /* not started: dropped */
    ck_assert_uint_eq(errlog_read(0, &out, 1), 0);
}
END_TEST

#define LOG_THREADS 4u
#define LOG_EACH    50000u

static void *log_the_same(void *arg)
{
    struct err_rec rec = {.er_id = ERRID_DISK_ERR4, .er_resource = "hdisk0", .er_text = "the same"};

    for (unsigned i = 0; i < LOG_EACH; i++)
        errsave(&rec, sizeof(rec));
    return arg;
}

/* Equal errors of several threads are one record, whoever comes first to the log's lock. */
START_TEST(test_errlog_counts_what_threads_say_at_once)
{
    struct err_rec out[4];
    pthread_t threads[LOG_THREADS];

    shim_test_begin_posix();
    for (unsigned i = 0; i < LOG_THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_the_same, NULL), 0);
    for (unsigned i = 0; i < LOG_THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(errlog_read(0, out, SC_ARRAY_SIZE(out)), 1);
    ck_assert_uint_eq(out[0].er_count, LOG_THREADS * LOG_EACH);
    ck_assert_uint_eq(out[0].er_seq, LOG_THREADS * LOG_EACH);
    ck_assert_uint_eq(out[0].er_first_seq, 1);
    ck_assert_uint_ge(out[0].er_when_ns, out[0].er_first_ns);
    shim_test_end();
}
END_TEST

static Suite *devsw_suite(void)
{
    Suite *s = suite_create("kern_devsw");
    TCase *sw = tcase_create("switch");
    TCase *log = tcase_create("errlog");

    tcase_add_test(sw, test_devsw_add_find_del);
    tcase_add_test(sw, test_fp_calls_reach_the_driver);
    tcase_add_test(sw, test_fp_errors);
    tcase_add_test(sw, test_AIX_25_d_close_comes_with_the_last_close_of_its_device);
    tcase_add_test(sw, test_a_driver_that_wants_each_close_gets_each_with_its_file);
    tcase_add_test(sw, test_fp_calls_from_an_iodone_routine_are_EINVAL);
    tcase_add_test(sw, test_files_have_a_limit);
    tcase_add_test(sw, test_an_open_file_is_never_closed_by_the_last_but_one);
    tcase_add_exit_test(sw, test_kern_fini_with_a_driver_left_panics, PANIC_AS_EXPECTED);
    tcase_add_test(sw, test_kern_init_without_memory_leaves_nothing);
    tcase_add_test(sw, test_kern_init_without_locks_leaves_nothing);
    tcase_add_test(sw, test_kern_init_without_a_host_is_refused);
    suite_add_tcase(s, sw);
    tcase_add_test(log, test_errlog_ring_keeps_the_newest_in_order);
    tcase_add_test(log, test_errlog_counts_what_is_the_same);
    tcase_add_test(log, test_errlog_counts_on);
    tcase_add_test(log, test_errlog_does_not_count_what_differs);
    tcase_add_test(log, test_errlog_tells_apart_what_has_the_same_sum);
    tcase_add_test(log, test_errlog_blocks_may_come_later);
    tcase_add_test(log, test_errlog_follower_sees_counts_move);
    tcase_add_test(log, test_errlog_takes_nothing_on_trust);
    tcase_set_timeout(log, 60);
    tcase_add_test(log, test_errlog_counts_what_threads_say_at_once);
    suite_add_tcase(s, log);
    return s;
}

int main(int argc, char **argv) { return test_run(devsw_suite(), argc, argv); }
