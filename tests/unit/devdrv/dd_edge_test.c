/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_edge_test.c - arguments at their limits: configuration, open, ioctls and ranges, on ordinary and on
 * write-protected disks, and devices that answer range commands oddly.
 */
#include "fake_ad.h"

static uint8_t *area;
static struct sc_passthru pt;
static struct sc_rdwrt rw;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

#define IOCTL(fp, cmd, arg) fp_ioctl(fp, cmd, (intptr_t)(arg), 0)

/* ------------------------------------------------------------------ configuration and open */

static int config(const struct scdisk_dds *from, size_t bytes, devno_t devno)
{
    struct scdisk_dds dds = *from;
    struct iovec iov = {&dds, bytes};
    struct uio uio = {.uio_iov = &iov, .uio_iovcnt = 1, .uio_resid = bytes, .uio_segflg = UIO_SYSSPACE};

    return scdisk_config(devno, CFG_INIT, &uio);
}

START_TEST(test_configuration_refused)
{
    const struct scdisk_dds good = {.adapter_devno = FAKE_AD_DEV, .scsi_id = 3, .name = "hdisk0"};
    struct scdisk_dds dds[6] = {good, good, good, good, good, good};

    dds[0].pool = 4u * DD_DEPTH_MAX + 1u;
    dds[1].retries = 101;
    dds[2].max_coalesce = 511;
    dds[3].name[0] = '\0';
    dds[4].scsi_id = SC_IDS_MAX;
    dds[5].lun_id = SC_LUNS_MAX;
    for (size_t i = 0; i < SC_ARRAY_SIZE(dds); i++)
        ck_assert_int_eq(config(&dds[i], sizeof(good), FAKE_DEV), EINVAL);
    ck_assert_int_eq(config(&good, sizeof(good) - 1, FAKE_DEV), EINVAL);
    ck_assert_int_eq(config(&good, sizeof(good), SC_MAKEDEV(FAKE_DISK_MAJOR, DD_UNITS_MAX)), EINVAL);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_INIT, NULL), EINVAL);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, 77, NULL), EINVAL);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), ENXIO);
    ck_assert_uint_eq(dd_memory_bytes(FAKE_DEV), 0);
    /* The same minor of another major is another device. */
    ck_assert_int_eq(config(&good, sizeof(good), FAKE_DEV), 0);
    ck_assert_int_eq(scdisk_config(SC_MAKEDEV(FAKE_DISK_MAJOR + 1u, 0), CFG_TERM, NULL), ENXIO);
    ck_assert_int_eq(dd_open(SC_MAKEDEV(FAKE_DISK_MAJOR + 1u, 0), DREAD, 0, 0), ENXIO);
    ck_assert_int_eq(dd_close(SC_MAKEDEV(FAKE_DISK_MAJOR + 1u, 0), 0), ENXIO);
    ck_assert_uint_gt(dd_memory_bytes(FAKE_DEV), 4096);
}
END_TEST

/* Timeouts as configured; a LUN above 7 is not in the CDB's three bits. */
START_TEST(test_attributes)
{
    const struct scdisk_dds dds = {.adapter_devno = FAKE_AD_DEV,
                                   .scsi_id = 3,
                                   .lun_id = 9,
                                   .name = "hdisk9",
                                   .rw_timeout = 5,
                                   .start_timeout = 7};
    struct file *fp;

    ck_assert_int_eq(config(&dds, sizeof(dds), FAKE_DEV), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_forget();
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), 0);
    ck_assert_uint_eq(fake.log[0].timeout, 5);
    ck_assert_uint_eq(fake.log[1].timeout, 7);
    ck_assert_uint_eq(fake.log[0].cdb[1] & 0xe0, 0);
    fake_close(fp);
}
END_TEST

/* The adapter refuses a step of the open: its answer is the caller's, and nothing is left behind. */
START_TEST(test_open_adapter_refuses)
{
    static const unsigned cmds[] = {IOCINFO, SCIOSTART, SCIORESET};
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    fake.fail_ioctl = cmds[_i];
    fake.fail_error = ETIMEDOUT;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_FORCED_OPEN, &fp), ETIMEDOUT);
    fake.fail_error = 0;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_FORCED_OPEN, &fp), 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_open_adapter_is_none)
{
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    if (_i)
        fake.max_transfer = 2048;
    else
        fake.devtype = DD_SCDISK;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), ENODEV);
    fake.devtype = 0;
    fake.max_transfer = UINT64_C(1) << 40; /* more than an int holds is cut, not believed */
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_write_protected)
{
    struct sc_range range = {0, 512};
    struct file *fp, *other;
    struct fake_buf fb;

    fake.read_only = true;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), EWRPROTECT);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &other), EWRPROTECT);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &other), 0);
    fake_close(other);
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), EWRPROTECT);
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), EWRPROTECT);
    memset(&rw, 0, sizeof(rw));
    rw.data_length = 512;
    ck_assert_int_eq(IOCTL(fp, DKIOWRSE, &rw), EWRPROTECT);
    fake_buf_init(&fb, false, 0, area, 512);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EWRPROTECT);
    ck_assert_int_eq(dd_write(FAKE_DEV, &(struct uio){.uio_resid = 512}, 0, 0), EWRPROTECT);
    fake_close(fp);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    ck_assert_int_eq(IOCTL(fp, DKFORMAT, 0), EWRPROTECT);
    fake_close(fp);
}
END_TEST

/*
 * The format has left it write-protected, with a file open for writing: everything that writes is refused
 * before anything is sent, and reading goes on.
 */
START_TEST(test_protected_since_the_format)
{
    static const unsigned cmds[] = {DKUNMAP, DKZERO, DKZERO_UNMAP};
    struct sc_range range = {0, 512};
    struct file *fp;

    fake.unmap = fake.lbprz = true;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), 0);
    fake.read_only = true;
    ck_assert_int_eq(IOCTL(fp, DKFORMAT, 0), 0);
    fake_forget();
    for (unsigned i = 0; i < SC_ARRAY_SIZE(cmds); i++)
        ck_assert_int_eq(IOCTL(fp, cmds[i], &range), EWRPROTECT);
    memset(&rw, 0, sizeof(rw));
    rw.data_length = 512;
    ck_assert_int_eq(IOCTL(fp, DKIOWRSE, &rw), EWRPROTECT);
    ck_assert_int_eq(IOCTL(fp, DKFORMAT, 0), EWRPROTECT);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, 0, NULL), EWRPROTECT);
    ck_assert_uint_eq(fake.nlog, 0);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    fake_close(fp);
}
END_TEST

/* TEST UNIT READY while it opens: what is no sense data is waited out, a wrong command or LUN ends it. */
START_TEST(test_open_and_odd_answers)
{
    static const struct {
        enum fake_action action;
        uint8_t code, key, asc;
        int error;
    } rows[] = {
        {FAKE_STATUS, SC_BUSY_STATUS, 0, 0, 0},
        {FAKE_STATUS, SC_QUEUE_FULL, 0, 0, 0},
        {FAKE_CHECK, 0, SCSI_KEY_ILLEGAL, 0x25, ENODEV},
        {FAKE_CHECK, 0, SCSI_KEY_ILLEGAL, 0x20, EIO},
    };
    struct fake_fault *f = fake_fault(SCSI_TEST_UNIT_READY, 0, UINT64_MAX, rows[_i].action);
    struct file *fp;

    f->code = rows[_i].code;
    f->key = rows[_i].key;
    f->asc = rows[_i].asc;
    f->no_info = true;
    f->count = rows[_i].error ? 0 : 2;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), rows[_i].error);
    fake.nfaults = 0;
    if (rows[_i].error)
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), 0);
    fake_close(fp);
}
END_TEST

/* Path only: no data, no log. */
START_TEST(test_diagnostic)
{
    struct err_rec rec[4];
    struct sc_disk_stats st;
    struct devinfo info;
    struct fake_buf fb;
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), 0);
    ck_assert_int_eq(IOCTL(fp, IOCINFO, &info), 0);
    ck_assert_uint_eq(info.un.scdk.numblks, 0); /* nobody has asked the disk */
    fake_buf_init(&fb, true, 0, area, 512);
    fake_submit(&fb, 1);
    ck_assert_int_eq(fb.b.b_error, EACCES);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), EACCES);
    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), EACCES);
    ck_assert_int_eq(IOCTL(fp, DKSTATS, &st), 0);
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    pt.scsi_cdb[0] = SCSI_MODE_SELECT_6;
    fake_fault(SCSI_MODE_SELECT_6, 0, 0, FAKE_ADAPTER)->code = SC_CMD_TIMEOUT;
    ck_assert_int_eq(IOCTL(fp, DKIOCMD, &pt), EIO);
    ck_assert_uint_eq(pt.status_validity, SC_ADAPTER_ERROR);
    ck_assert_uint_eq(pt.adapter_status, SC_CMD_TIMEOUT);
    fake.nfaults = 0;
    ck_assert_int_eq(IOCTL(fp, DKIOCMD, &pt), 0);
    ck_assert_uint_eq(errlog_read(0, rec, 4), 0);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ ioctl arguments */

/* The structure comes in and cannot go back: EFAULT, though the command has ended well, and nothing is stuck.
 */
START_TEST(test_results_cannot_be_copied_out)
{
    const unsigned long user = DREAD | DWRITE | DAUTH;
    struct file *fp = fake_open(NULL);

    memset(&rw, 0, sizeof(rw));
    rw.data_length = 512;
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    for (unsigned k = 1; k <= 3; k++) {
        shim_fail_set(SHIM_FAIL_COPY, k, false);
        ck_assert_int_eq(fp_ioctlx(fp, DKIORDSE, (intptr_t)&rw, 0, user), k < 3 ? EFAULT : 0);
        shim_fail_set(SHIM_FAIL_COPY, k, false);
        ck_assert_int_eq(fp_ioctlx(fp, DK_PASSTHRU, (intptr_t)&pt, 0, user), k < 3 ? EFAULT : 0);
        shim_fail_set(SHIM_FAIL_COPY, 0, false);
    }
    fake_close(fp);
}
END_TEST

START_TEST(test_read_with_sense_arguments)
{
    struct file *fp = fake_open(NULL);

    memset(&rw, 0, sizeof(rw));
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EINVAL); /* nothing */
    rw.data_length = SC_DISK_IO_INLINE + 512;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EINVAL); /* does not fit inline */
    rw.data_length = 512;
    rw.lba = 20480;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), ENXIO);
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, NULL), EFAULT);
    rw.lba = 0;
    rw.timeout_value = 7;
    rw.req_sense_length = 8;
    fake_forget();
    fake_fault(FAKE_RW, 0, 0, FAKE_CHECK)->key = SCSI_KEY_MEDIUM;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EIO);
    ck_assert_uint_eq(rw.sense_bytes, 8);
    ck_assert_uint_eq(fake_rw(0)->timeout, 7);
    fake.nfaults = 0;
    rw.buffer = (uintptr_t)area;
    ck_assert_int_eq(IOCTL(fp, DKIOWRSE, &rw), 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_passthru_arguments)
{
    struct file *fp = fake_open(NULL);
    static const uint8_t lengths[] = {6, 10, 12, 16};

    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, NULL), EFAULT);
    for (size_t i = 0; i < SC_ARRAY_SIZE(lengths); i++) {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = lengths[i];
        ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), 0);
        ck_assert_uint_eq(fake.log[i].cdb_bytes, lengths[i]);
    }
    pt.q_tag_msg = SC_ORDERED_Q + 1;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EINVAL);
    ck_assert_uint_eq(pt.einval_arg, 6);
    pt.q_tag_msg = 0;
    pt.buffer = (uintptr_t)area;
    pt.data_length = 131072 + 512;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EINVAL);
    ck_assert_uint_eq(pt.einval_arg, SC_EINVAL_LENGTH);
    /* Data at an address: for kernel callers. */
    pt.data_length = 96;
    pt.flags = SC_PT_READ;
    pt.command_length = 6;
    pt.scsi_cdb[0] = SCSI_INQUIRY;
    pt.scsi_cdb[4] = 96;
    ck_assert_int_eq(fp_ioctlx(fp, DK_PASSTHRU, (intptr_t)&pt, 0, DREAD), EFAULT);
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), 0);
    ck_assert_int_eq(memcmp(area + 8, "FAKE", 4), 0);
    /* Sense that was kept, to an address and cut to it. */
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_CHECK)->key = SCSI_KEY_HARDWARE;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EIO);
    pt.scsi_cdb[0] = SCSI_REQUEST_SENSE;
    pt.scsi_cdb[4] = 252;
    pt.flags = SC_PT_READ;
    pt.buffer = (uintptr_t)area;
    pt.data_length = 8;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), 0);
    ck_assert_uint_eq(area[2], SCSI_KEY_HARDWARE);
    ck_assert_uint_eq(pt.residual, 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_bad_addresses)
{
    static const unsigned cmds[] = {DKUNMAP, DKEXTENT, DKINFO, DKSTATS};
    struct file *fp = fake_open(NULL);

    for (size_t i = 0; i < SC_ARRAY_SIZE(cmds); i++)
        ck_assert_int_eq(IOCTL(fp, cmds[i], NULL), EFAULT);
    fake_close(fp);
    ck_assert_int_eq(dd_ioctl(FAKE_DEV, IOCINFO, 0, DKERNEL, 0, 0), ENXIO);
    ck_assert_int_eq(dd_ioctl(SC_MAKEDEV(FAKE_DISK_MAJOR, 9), IOCINFO, 0, DKERNEL, 0, 0), ENXIO);
}
END_TEST

/* A buf at the end of the disk and beyond it, with and without bytes. */
START_TEST(test_buf_at_the_end)
{
    static const struct {
        bool read;
        uint64_t blkno;
        size_t bytes;
        int error;
    } rows[] = {
        {true, 20480, 512, 0},   {false, 20480, 512, ENXIO}, {true, 20481, 512, ENXIO},
        {true, 20480, 0, 0},     {true, 20481, 0, ENXIO},    {true, 0, 0, 0},
        {false, 0, 100, EINVAL},
    };
    struct file *fp = fake_open(NULL);

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        struct fake_buf fb;

        fake_buf_init(&fb, rows[i].read, rows[i].blkno, area, rows[i].bytes);
        fake_submit(&fb, 1);
        ck_assert_int_eq(fb.b.b_flags & B_ERROR ? fb.b.b_error : 0, rows[i].error);
        ck_assert_uint_eq(fb.b.b_resid, rows[i].bytes);
    }
    ck_assert_uint_eq(fake_nrw(), 0);
    fake_close(fp);
    ck_assert_int_eq(dd_read(SC_MAKEDEV(FAKE_DISK_MAJOR, 9), &(struct uio){0}, 0, 0), ENXIO);
}
END_TEST

/* ENXIO without end: after so many times it is an error. */
START_TEST(test_thrown_back_for_ever)
{
    struct file *fp = fake_open(NULL);

    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ERRNO)->code = ENXIO;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), EIO);
    fake.nfaults = 0;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    fake_close(fp);
}
END_TEST

/* Sense could not be fetched, then the device is busy: perhaps because it still has it, so it is asked. */
START_TEST(test_busy_because_of_sense)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);
    unsigned asked = 0;

    f->key = SCSI_KEY_ABORTED;
    f->count = 1;
    f = fake_fault(SCSI_REQUEST_SENSE, 0, UINT64_MAX, FAKE_ADAPTER);
    f->code = SC_CMD_TIMEOUT;
    f->count = DD_SENSE_TRIES_MAX;
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS);
    f->code = SC_BUSY_STATUS;
    f->count = 1;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    for (unsigned i = 0; i < fake.nlog; i++)
        asked += fake.log[i].cdb[0] == SCSI_REQUEST_SENSE;
    ck_assert_uint_eq(asked, DD_SENSE_TRIES_MAX + 1u);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Nobody answers a flush after a reset: it too asks the adapter to wait. */
START_TEST(test_flush_asks_for_the_delay)
{
    const struct scdisk_dds dds = {.no_reserve = 1};
    struct file *fp = fake_open(&dds);
    struct sc_event_info info = {.events = SC_SCSI_RESET_EVENT,
                                 .async_correlator = fake.event.async_correlator};
    struct fake_fault *f = fake_fault(SCSI_SYNC_CACHE_10, 0, UINT64_MAX, FAKE_ADAPTER);

    f->code = SC_NO_DEVICE_RESPONSE;
    f->count = 1;
    fake.event.async_func(&info);
    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), 0);
    ck_assert_uint_eq(fake.log[0].flags & SC_DELAY_CMD, 0);
    ck_assert_uint_eq(fake.log[1].flags & SC_DELAY_CMD, SC_DELAY_CMD);
    fake_close(fp);
}
END_TEST

/* READ KEYS fails as well: then the conflict is somebody's RESERVE. */
START_TEST(test_keys_not_told)
{
    struct file *fp;

    fake_fault(SCSI_RESERVE_6, 0, UINT64_MAX, FAKE_STATUS)->code = SC_RESERVATION_CONFLICT;
    fake_fault(SCSI_PERSISTENT_RESERVE_IN, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_ILLEGAL;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), EBUSY);
}
END_TEST

static void area_free(struct trb *t) { dd_area_put(t->func_data); }

/* Somebody else uses the driver's pages: an ioctl waits for them. */
START_TEST(test_area_is_waited_for)
{
    struct file *fp = fake_open(NULL);
    struct trb *t = talloc();

    dd_area_get(dd_unit_of(FAKE_DEV));
    t->func = area_free;
    t->func_data = dd_unit_of(FAKE_DEV);
    t->timeout_ns = 1000000;
    ck_assert_int_eq(tstart(t), 0);
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), 0);
    tfree(t);
    fake_close(fp);
}
END_TEST

/* Odd pieces across the end of the disk: what is there is copied; too many pieces: not gathered. */
START_TEST(test_scattered_at_the_end)
{
    static struct iovec iov[80];
    struct uio uio = {.uio_iov = iov, .uio_segflg = UIO_SYSSPACE};
    struct file *fp;

    fake.gather = _i > 1;
    fp = fake_open(NULL);
    uio.uio_iovcnt = _i == 3 ? 80 : 2;
    for (int i = 0; i < uio.uio_iovcnt; i++)
        iov[i] = (struct iovec){area + 1000 * i, _i == 3 ? 64 : i ? 924 : 100};
    uio.uio_resid = _i == 3 ? 80 * 64 : 1024;
    uio.uio_offset = _i == 3 ? 0 : 20479 * 512;
    ck_assert_int_eq(fp_rwuio(fp, _i == 1 ? UIO_READ : UIO_WRITE, &uio, 0), 0);
    ck_assert_uint_eq(uio.uio_resid, _i == 3 ? 0 : 512);
    ck_assert_uint_eq(fake_stats().gathered, 0);
    fake_close(fp);
}
END_TEST

/* Memory that cannot be copied to: as far as it went is told, whatever the disk has read. */
START_TEST(test_odd_pieces_and_bad_memory)
{
    struct iovec iov[2] = {{area, 100}, {area + 1000, 924}};
    struct uio uio = {.uio_iov = iov, .uio_iovcnt = 2, .uio_resid = 1024, .uio_segflg = UIO_USERSPACE};
    struct file *fp = fake_open(NULL);

    memset(fake.mem, 0x5c, 1024);
    shim_fail_set(SHIM_FAIL_COPY, 2, false);
    ck_assert_int_eq(fp_rwuio(fp, UIO_READ, &uio, 0), EFAULT);
    shim_fail_set(SHIM_FAIL_COPY, 0, false);
    ck_assert_uint_eq(uio.uio_resid, 924);
    ck_assert_uint_eq(area[99], 0x5c);
    ck_assert_int_eq(fp_rwuio(fp, UIO_READ, &uio, 0), EINVAL); /* no whole block is left of it */
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ ranges */

START_TEST(test_ranges_refused)
{
    static const struct sc_range beyond[] = {
        {20481 * 512, 512}, {20479 * 512, 1024}, {512, UINT64_MAX - 511u}};
    struct sc_range range = {0, 512};
    struct file *fp;

    fake.unmap = true; /* and does not say what is read afterwards */
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), EOPNOTSUPP);
    for (size_t i = 0; i < SC_ARRAY_SIZE(beyond); i++) {
        range = beyond[i];
        ck_assert_int_eq(IOCTL(fp, DKZERO, &range), ENXIO);
    }
    ck_assert_uint_eq(fake.nlog, 0);
    fake_close(fp);
}
END_TEST

/* Devices that know neither command, in each way of saying so, and those that fail. */
START_TEST(test_zero_falls_back_in_the_middle)
{
    struct sc_range range = {4096, 512 * 10000};
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(SCSI_WRITE_SAME_16, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_ILLEGAL;
    f->asc = 0x20;
    f->skip = 1; /* the first 4096 blocks are done */
    memset(fake.mem, 0xff, fake.mem_bytes);
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), 0);
    ck_assert_uint_eq(f->hits, 1);
    ck_assert_uint_eq(fake.mem[4095], 0xff);
    for (size_t at = 4096; at < 4096 + range.length; at += 512)
        ck_assert_uint_eq(fake.mem[at], 0);
    ck_assert_uint_eq(fake.mem[4096 + range.length], 0xff);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_zero_fallbacks)
{
    static const struct {
        uint8_t key, asc;
        int error;
    } rows[] = {
        {SCSI_KEY_ILLEGAL, 0x20, 0},      {SCSI_KEY_ILLEGAL, 0x24, 0},    {SCSI_KEY_ILLEGAL, 0x26, 0},
        {SCSI_KEY_ILLEGAL, 0x21, EINVAL}, {SCSI_KEY_HARDWARE, 0x44, EIO},
    };
    struct sc_range range = {4096, 65536 * 2};
    struct fake_fault *f;
    struct file *fp = fake_open(NULL);

    f = fake_fault(SCSI_WRITE_SAME_16, 0, UINT64_MAX, FAKE_CHECK);
    f->key = rows[_i].key;
    f->asc = rows[_i].asc;
    memset(fake.mem, 0xff, fake.mem_bytes);
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), rows[_i].error);
    ck_assert_uint_eq(fake.mem[4096], rows[_i].error ? 0xff : 0);
    ck_assert_uint_eq(fake.mem[4096 + 65536 * 2], 0xff);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Plain zeroes that come back short or fail: EIO, not silence. */
START_TEST(test_zero_is_short)
{
    struct sc_range range = {0, 4096};
    struct file *fp;

    fake.no_write_same = true;
    fp = fake_open(NULL);
    if (_i)
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_PROTECT;
    else
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT)->code = 512;
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), _i ? EWRPROTECT : EIO);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_unmap_fails)
{
    struct sc_range range = {0, 512 * 5000};
    struct file *fp;

    fake.unmap = fake.lbprz = true;
    fp = fake_open(NULL);
    fake_fault(SCSI_UNMAP, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_PROTECT;
    fake.faults[0].skip = 2;
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), EWRPROTECT);
    ck_assert_uint_eq(fake.faults[0].hits, 1);
    range.length = 0;
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), 0);
    range.length = 100;
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), EINVAL);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* GET LBA STATUS: unknown, failing, about other blocks, longer than the disk. */
static unsigned status_kind;

static size_t status_reply(const uint8_t *cdb, uint8_t *d, size_t n)
{
    (void)n;
    if (cdb[0] == SCSI_SERVICE_ACTION_IN_16 && (cdb[1] & 0x1f) == SCSI_SA_GET_LBA_STATUS) {
        scsi_put64(d + 8, status_kind == 2 ? 100 : 0);
        scsi_put32(d + 16, status_kind == 3 ? 5 : status_kind == 5 ? 10 : UINT32_MAX);
        return status_kind == 4 ? 20 : 24;
    }
    if (cdb[0] == SCSI_INQUIRY && (cdb[1] & 1)) {
        d[1] = cdb[2];
        d[3] = cdb[2] ? 4 : 1;
        d[4] = cdb[2] ? 0 : 0xb2;
        d[5] = 0x80;
        return cdb[2] ? 8 : 5;
    }
    if (cdb[0] == SCSI_SERVICE_ACTION_IN_16 || cdb[0] == SCSI_READ_CAPACITY_10) {
        bool large = cdb[0] == SCSI_SERVICE_ACTION_IN_16;

        scsi_put32(d + (large ? 4 : 0), 20479);
        scsi_put32(d + (large ? 8 : 4), 512);
        return large ? 32 : 8;
    }
    if (cdb[0] == SCSI_REQUEST_SENSE) {
        memcpy(d, fake.sense, sizeof(fake.sense));
        return sizeof(fake.sense);
    }
    return cdb[0] == SCSI_INQUIRY ? 36 : 0;
}

START_TEST(test_extent_oddities)
{
    struct sc_extent ext = {.offset = 512 * 10};
    struct file *fp;

    status_kind = (unsigned)_i;
    fake.reply = status_reply;
    fp = fake_open(NULL);
    if (_i < 2) {
        struct fake_fault *f = fake_fault(SCSI_SERVICE_ACTION_IN_16, 0, UINT64_MAX, FAKE_CHECK);

        f->key = _i ? SCSI_KEY_HARDWARE : SCSI_KEY_ILLEGAL;
        f->asc = 0x20;
    }
    ck_assert_int_eq(IOCTL(fp, DKEXTENT, &ext), _i == 1 ? EIO : 0);
    if (_i != 1) {
        ck_assert_uint_eq(ext.mapped, 1);
        ck_assert_uint_eq(ext.length, (20480 - 10) * 512);
    }
    ext.offset = 1;
    ck_assert_int_eq(IOCTL(fp, DKEXTENT, &ext), EINVAL);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_edge");
    TCase *t = tcase_create("open");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_configuration_refused);
    tcase_add_test(t, test_attributes);
    tcase_add_loop_test(t, test_open_adapter_refuses, 0, 3);
    tcase_add_loop_test(t, test_open_adapter_is_none, 0, 2);
    tcase_add_test(t, test_write_protected);
    tcase_add_test(t, test_results_cannot_be_copied_out);
    tcase_add_test(t, test_ranges_refused);
    tcase_add_test(t, test_protected_since_the_format);
    tcase_add_loop_test(t, test_open_and_odd_answers, 0, 4);
    tcase_add_test(t, test_odd_pieces_and_bad_memory);
    tcase_add_test(t, test_diagnostic);
    suite_add_tcase(s, t);
    t = tcase_create("arguments");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_read_with_sense_arguments);
    tcase_add_test(t, test_passthru_arguments);
    tcase_add_test(t, test_bad_addresses);
    tcase_add_test(t, test_buf_at_the_end);
    tcase_add_test(t, test_thrown_back_for_ever);
    tcase_add_test(t, test_busy_because_of_sense);
    tcase_add_test(t, test_flush_asks_for_the_delay);
    tcase_add_test(t, test_keys_not_told);
    tcase_add_test(t, test_area_is_waited_for);
    tcase_add_loop_test(t, test_scattered_at_the_end, 0, 4);
    suite_add_tcase(s, t);
    t = tcase_create("ranges");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_zero_fallbacks, 0, 5);
    tcase_add_test(t, test_zero_falls_back_in_the_middle);
    tcase_add_loop_test(t, test_zero_is_short, 0, 2);
    tcase_add_test(t, test_unmap_fails);
    tcase_add_loop_test(t, test_extent_oddities, 0, 6);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
