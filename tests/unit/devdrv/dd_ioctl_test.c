/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_ioctl_test.c - ioctls, probing, and devices that lie.
 */
#include "fake_ad.h"

static uint8_t *area;

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

START_TEST(test_iocinfo_and_info)
{
    struct file *fp = fake_open(NULL);
    struct devinfo di;
    struct sc_disk_info info;

    ck_assert_int_eq(IOCTL(fp, IOCINFO, &di), 0);
    ck_assert_uint_eq(di.devtype, DD_SCDISK);
    ck_assert_uint_eq(di.flags & DF_FIXED, DF_FIXED);
    ck_assert_uint_eq(di.un.scdk.numblks, 20480);
    ck_assert_uint_eq(di.un.scdk.blksize, 512);
    ck_assert_uint_eq(di.un.scdk.max_request, 131072);
    ck_assert_int_eq(IOCTL(fp, DKINFO, &info), 0);
    ck_assert_str_eq(info.vendor, "FAKE");
    ck_assert_str_eq(info.product, "disk");
    ck_assert_str_eq(info.serial, "FAKE0001");
    ck_assert_uint_eq(info.device_id_bytes, 8);
    ck_assert_uint_eq(info.device_id[0], 0x50);
    ck_assert_uint_eq(info.write_cache, 1);
    ck_assert_uint_eq(info.tagged, 1);
    ck_assert_uint_eq(info.gather, 1);
    ck_assert_uint_eq(info.queue_depth, 64);
    ck_assert_uint_eq(info.opens, 1);
    ck_assert_int_eq(IOCTL(fp, IOCINFO, NULL), EFAULT);
    fake_close(fp);
}
END_TEST

START_TEST(test_unsupported)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(IOCTL(fp, DKPMR, 0), EINVAL);
    ck_assert_int_eq(IOCTL(fp, DKAMR, 0), EINVAL);
    ck_assert_int_eq(IOCTL(fp, DKEJECT, 0), EINVAL);
    ck_assert_int_eq(IOCTL(fp, 0x12345678, 0), EINVAL);
    ck_assert_int_eq(IOCTL(fp, DKFORMAT, 0), EACCES);
    for (unsigned i = 0; i < fake.nlog; i++)
        ck_assert(fake.log[i].cdb[0] != SCSI_PREVENT_ALLOW && fake.log[i].cdb[0] != SCSI_START_STOP_UNIT);
    fake_close(fp);
}
END_TEST

static unsigned sent(uint8_t opcode, int byte4)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nlog; i++)
        n += fake.log[i].cdb[0] == opcode && (byte4 < 0 || fake.log[i].cdb[4] == byte4);
    return n;
}

/* A removable medium is held, let go and ejected by ioctl; a fixed one hears nothing of it. */
START_TEST(test_medium_is_kept_and_ejected)
{
    struct devinfo di;
    struct file *fp;

    fake.removable = true;
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, IOCINFO, &di), 0);
    ck_assert_uint_eq(di.flags, DF_RAND);
    fake_forget();
    ck_assert_int_eq(IOCTL(fp, DKPMR, 0), 0);
    ck_assert_uint_eq(sent(SCSI_PREVENT_ALLOW, 1), 1);
    ck_assert_int_eq(IOCTL(fp, DKAMR, 0), 0);
    ck_assert_uint_eq(sent(SCSI_PREVENT_ALLOW, 0), 1);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, 0, NULL), 0);
    ck_assert_int_eq(IOCTL(fp, DKEJECT, 0), 0);
    ck_assert_uint_eq(fake.syncs, 1); /* before it goes ... */
    ck_assert_uint_eq(sent(SCSI_START_STOP_UNIT, 0x02), 1);
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1); /* ... and not once more */
    ck_assert_uint_eq(sent(SCSI_PREVENT_ALLOW, -1), 2);
}
END_TEST

/* The last close lets the medium go; an eject that fails leaves the disk to be flushed again. */
START_TEST(test_last_close_lets_the_medium_go)
{
    struct fake_fault *f;
    struct file *fp;

    fake.removable = true;
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, DKPMR, 0), 0);
    f = fake_fault(SCSI_START_STOP_UNIT, 0, UINT64_MAX, FAKE_CHECK);
    f->key = SCSI_KEY_ILLEGAL;
    f->asc = 0x53;
    f->ascq = 0x02;
    ck_assert_int_eq(IOCTL(fp, DKEJECT, 0), EINVAL);
    fake.nfaults = 0;
    f = fake_fault(SCSI_SYNC_CACHE_10, 0, UINT64_MAX, FAKE_CHECK);
    f->key = SCSI_KEY_HARDWARE;
    f->asc = 0x44;
    fake_forget();
    ck_assert_int_eq(IOCTL(fp, DKEJECT, 0), EIO);
    ck_assert_uint_eq(sent(SCSI_START_STOP_UNIT, -1), 0); /* what is not durable stays in */
    fake.nfaults = 0;
    fake_close(fp);
    ck_assert_uint_eq(sent(SCSI_PREVENT_ALLOW, 0), 1);
    ck_assert_uint_eq(fake.syncs, 2);
}
END_TEST

/* What changes the medium needs a file open for writing, whoever asks. */
START_TEST(test_writing_ioctls_need_a_file_open_for_writing)
{
    static const unsigned writing[] = {DKIOWRSE, DKFORMAT, DKUNMAP, DKZERO, DKZERO_UNMAP};
    static struct sc_rdwrt one_block = {.data_length = 512};
    static struct sc_passthru pt;
    struct sc_range range = {0, 4096};
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    fake.nlog = 0;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(writing); i++)
        ck_assert_int_eq(fp_ioctl(fp, writing[i], i == 0 ? (intptr_t)&one_block : (intptr_t)&range, 0),
                         EBADF);
    ck_assert_uint_eq(fake.nlog, 0);
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &one_block), 0);
    for (unsigned i = 0; i < 4; i++) { /* the reserved fields of a pass-through */
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        if (i == 3)
            pt.reserved1 = 1;
        else
            pt.reserved2[i] = 1;
        pt.einval_arg = 99;
        ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EINVAL);
        ck_assert_uint_eq(pt.einval_arg, 0);
    }
    fake_close(fp);
}
END_TEST

START_TEST(test_format_exclusive)
{
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    ck_assert_int_eq(IOCTL(fp, DKFORMAT, 0), 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_read_with_sense)
{
    static struct sc_rdwrt rw;
    struct file *fp = fake_open(NULL);
    struct fake_fault *f;

    memset(fake.mem + 512 * 9, 0x5a, 512);
    memset(&rw, 0, sizeof(rw));
    rw.lba = 9;
    rw.data_length = 512;
    rw.req_sense_length = 32;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), 0);
    ck_assert_uint_eq(rw.data[511], 0x5a);
    f = fake_fault(FAKE_RW, 9, 9, FAKE_CHECK);
    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x11;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EIO);
    ck_assert_uint_eq(rw.status_validity, SC_SCSI_ERROR);
    ck_assert_uint_eq(rw.scsi_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(rw.sense_bytes, 32);
    ck_assert_uint_eq(rw.sense[2], SCSI_KEY_MEDIUM);
    ck_assert_uint_eq(f->hits, 1); /* as given: no retry */
    fake.nfaults = 0;
    rw.req_sense_length = 256;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EINVAL);
    rw.req_sense_length = 0;
    rw.data_length = 131072 + 512;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EINVAL);
    rw.data_length = 100;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EINVAL);
    rw.data_length = 1024;
    rw.lba = 20479;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), ENXIO);
    rw.lba = 3;
    memset(rw.data, 0x77, 1024);
    ck_assert_int_eq(IOCTL(fp, DKIOWRSE, &rw), 0);
    ck_assert_uint_eq(fake.mem[3 * 512 + 1023], 0x77);
    /* A pointer: for kernel callers only. */
    rw.buffer = (uintptr_t)area;
    rw.data_length = 131072;
    rw.lba = 0;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), 0);
    ck_assert_int_eq(memcmp(area, fake.mem, 131072), 0);
    ck_assert_int_eq(fp_ioctlx(fp, DKIORDSE, (intptr_t)&rw, 0, DREAD), EFAULT);
    fake_close(fp);
}
END_TEST

/* What the last call left in the structure is not what a refused one says. */
START_TEST(test_refused_says_nothing_of_the_device)
{
    static struct sc_rdwrt rw;
    static struct sc_passthru pt;
    struct file *fp = fake_open(NULL);

    rw = (struct sc_rdwrt){.lba = 20480, .data_length = 512, .status_validity = 1, .scsi_status = 2};
    rw.adapter_status = rw.sense_bytes = 8;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), ENXIO);
    ck_assert_uint_eq(rw.status_validity | rw.scsi_status | rw.adapter_status | rw.sense_bytes, 0);
    ck_assert_uint_eq(rw.resid, 512);
    pt = (struct sc_passthru){.version = 2, .data_length = 8, .status_validity = 1, .scsi_bus_status = 2};
    pt.adapter_status = pt.adap_q_status = pt.sense_bytes = 1;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EINVAL);
    ck_assert_uint_eq(pt.status_validity | pt.scsi_bus_status | pt.adapter_status | pt.adap_q_status, 0);
    ck_assert_uint_eq(pt.sense_bytes, 0);
    ck_assert_uint_eq(pt.residual, 8);
    fake_close(fp);
}
END_TEST

/* In diagnostic mode too, which has asked the disk nothing: the block size comes when it is needed. */
START_TEST(test_read_with_sense_in_diagnostic_mode)
{
    static struct sc_rdwrt rw;
    static struct sc_passthru pt;
    struct fake_fault *f;
    struct file *fp;

    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), 0);
    ck_assert_uint_eq(fake.nlog, 0);
    rw = (struct sc_rdwrt){.lba = 9, .data_length = 512, .req_sense_length = 32};
    f = fake_fault(SCSI_READ_CAPACITY_10, 0, UINT64_MAX, FAKE_CHECK);
    f->key = SCSI_KEY_ATTENTION;
    f->asc = 0x29;
    f->count = 1;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EIO); /* not retried: the caller is to see it */
    ck_assert_uint_eq(rw.status_validity, SC_SCSI_ERROR);
    ck_assert_uint_eq(rw.sense[2], SCSI_KEY_ATTENTION);
    ck_assert_uint_eq(fake_nrw(), 0);
    memset(fake.mem + 512 * 9, 0x5a, 512);
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), 0);
    ck_assert_uint_eq(rw.data[511], 0x5a);
    ck_assert_int_eq(IOCTL(fp, DKIOWRSE, &rw), 0);
    ck_assert_uint_eq(sent(SCSI_READ_CAPACITY_10, -1), 2); /* once with an answer */
    rw.lba = 20480;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), ENXIO);
    ck_assert_int_eq(fp_ioctlx(fp, DKIOWRSE, (intptr_t)&rw, 0, DREAD), EBADF);
    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), EACCES);
    ck_assert_int_eq(IOCTL(fp, 0x12345678, 0), EINVAL);
    /* A command of the caller's has changed the disk. */
    pt = (struct sc_passthru){.version = SC_VERSION_1, .command_length = 6};
    pt.scsi_cdb[0] = SCSI_FORMAT_UNIT;
    ck_assert_int_eq(IOCTL(fp, DKIOCMD, &pt), 0);
    fake.block_bytes = 1024;
    fake.blocks = 10240;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EINVAL);
    rw.lba = 10239;
    rw.data_length = 1024;
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), 0);
    fake_forget();
    fake_close(fp);
    ck_assert_uint_eq(fake.nlog, 0);
}
END_TEST

START_TEST(test_passthru)
{
    static struct sc_passthru pt;
    struct file *fp = fake_open(NULL);

    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.flags = SC_PT_READ;
    pt.command_length = 6;
    pt.data_length = 96;
    pt.scsi_cdb[0] = SCSI_INQUIRY;
    pt.scsi_cdb[4] = 96;
    ck_assert_int_eq(IOCTL(fp, DKIOCMD, &pt), EACCES);
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), 0);
    ck_assert_int_eq(memcmp(pt.data + 8, "FAKE", 4), 0);
    ck_assert_uint_eq(pt.residual, 60);
    ck_assert_uint_eq(fake.log[fake.nlog - 1].flags, 0);
    pt.q_flags = SC_DELAY_CMD;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), 0);
    ck_assert_uint_eq(fake.log[fake.nlog - 1].flags, SC_DELAY_CMD);
    fake_close(fp);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), 0);
    ck_assert_int_eq(IOCTL(fp, DKIOCMD, &pt), 0);
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EACCES);
    fake_close(fp);
}
END_TEST

START_TEST(test_passthru_einval_arg)
{
    static struct sc_passthru pt;
    struct file *fp = fake_open(NULL);
    static const struct {
        size_t off;
        uint8_t value, field;
    } rows[] = {
        {offsetof(struct sc_passthru, version), 9, 1},
        {offsetof(struct sc_passthru, q_tag_msg), 1, 6},
        {offsetof(struct sc_passthru, q_flags), SC_Q_CLR, 7},
        {offsetof(struct sc_passthru, q_flags), SC_RESUME,
         7}, /* the file that started the LUN is the driver's */
        {offsetof(struct sc_passthru, q_flags), SC_Q_RESUME, 7},
        {offsetof(struct sc_passthru, flags), 0x80, 8},
        {offsetof(struct sc_passthru, command_length), 7, 9},
        {offsetof(struct sc_passthru, autosense_length), 253, 10},
        {offsetof(struct sc_passthru, reserved), 1, 12},
        {offsetof(struct sc_passthru, scsi_cdb), 0x7f, 19},
    };

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        ((uint8_t *)&pt)[rows[i].off] = rows[i].value;
        ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EINVAL);
        ck_assert_uint_eq(pt.einval_arg, rows[i].field);
    }
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    pt.data_length = SC_PASSTHRU_INLINE + 1;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EINVAL);
    ck_assert_uint_eq(pt.einval_arg, SC_EINVAL_LENGTH);
    ck_assert_uint_eq(fake.nlog, 0);
    fake_close(fp);
}
END_TEST

/* A failing pass-through command must not stop the others (both adapter flavours, with and without sense). */
START_TEST(test_passthru_error_leaves_disk_working)
{
    static struct sc_passthru pt;
    struct file *fp;

    fake.keeps = (_i & 1) != 0;
    fp = fake_open(NULL);
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 10;
    pt.autosense_length = _i & 2 ? 252 : 0;
    pt.scsi_cdb[0] = 0x5e;
    fake_fault(0x5e, 0, 0, FAKE_CHECK)->key = SCSI_KEY_ILLEGAL;
    ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EIO);
    ck_assert_uint_eq(pt.scsi_bus_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(pt.sense_bytes, _i & 2 ? 32 : 0);
    if (_i & 2)
        ck_assert_uint_eq(pt.autosense[2], SCSI_KEY_ILLEGAL);
    ck_assert_int_eq(fake_rdwr(fp, true, area, 65536, 0, 0, NULL), 0);
    fake_close(fp);
}
END_TEST

/*
 * What would be waited for, tried again or logged on the way of a READ is one command here, told as it came
 * back, and no line in the error log.
 */
START_TEST(test_NB_24_passthru_is_told_as_it_is)
{
    static const struct {
        enum fake_action action;
        uint8_t code, key, validity, scsi, adapter;
    } rows[] = {
        {FAKE_CHECK, 0, SCSI_KEY_ABORTED, SC_SCSI_ERROR, SC_CHECK_CONDITION, 0},
        {FAKE_CHECK, 0, SCSI_KEY_RECOVERED, SC_SCSI_ERROR, SC_CHECK_CONDITION, 0},
        {FAKE_CHECK, 0, SCSI_KEY_MEDIUM, SC_SCSI_ERROR, SC_CHECK_CONDITION, 0},
        {FAKE_STATUS, SC_BUSY_STATUS, 0, SC_SCSI_ERROR, SC_BUSY_STATUS, 0},
        {FAKE_STATUS, SC_QUEUE_FULL, 0, SC_SCSI_ERROR, SC_QUEUE_FULL, 0},
        {FAKE_ADAPTER, SC_SCSI_BUS_FAULT, 0, SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_FAULT},
        {FAKE_ADAPTER, SC_NO_DEVICE_RESPONSE, 0, SC_ADAPTER_ERROR, 0, SC_NO_DEVICE_RESPONSE},
    };
    static struct sc_passthru pt;
    struct file *fp = fake_open(NULL);
    uint64_t before = kern_now_ns();
    struct fake_fault *f;
    struct err_rec rec;

    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        fake.nfaults = 0;
        f = fake_fault(0x5e, 0, 0, rows[i].action);
        f->code = rows[i].code;
        f->key = rows[i].key;
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 10;
        pt.autosense_length = 252;
        pt.scsi_cdb[0] = 0x5e;
        ck_assert_int_eq(IOCTL(fp, DK_PASSTHRU, &pt), EIO);
        ck_assert_uint_eq(f->hits, 1);
        ck_assert_uint_eq(pt.status_validity, rows[i].validity);
        ck_assert_uint_eq(pt.scsi_bus_status, rows[i].scsi);
        ck_assert_uint_eq(pt.adapter_status, rows[i].adapter);
        ck_assert_uint_eq(pt.sense_bytes, rows[i].key ? 32 : 0);
        ck_assert_uint_eq(pt.autosense[2] & 0x0f, rows[i].key);
    }
    ck_assert_uint_eq(kern_now_ns(), before);
    ck_assert_uint_eq(errlog_read(0, &rec, 1), 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

START_TEST(test_flush)
{
    struct file *fp = fake_open(NULL);

    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), 0);
    ck_assert_uint_eq(fake.syncs, 1);
    fake_fault(SCSI_SYNC_CACHE_10, 0, 0, FAKE_CHECK)->key = SCSI_KEY_ILLEGAL;
    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), 0);
    fake.nfaults = 0;
    fake_fault(SCSI_SYNC_CACHE_10, 0, 0, FAKE_CHECK)->key = SCSI_KEY_HARDWARE;
    ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), EIO);
    fake.nfaults = 0;
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 2); /* the close tried again */
}
END_TEST

START_TEST(test_zero_and_unmap)
{
    struct sc_range range = {512 * 100, 512 * 5000};
    struct file *fp;

    fake.no_write_same = (_i & 1) != 0;
    fake.unmap = (_i & 2) != 0;
    fake.lbprz = true;
    fp = fake_open(NULL);
    memset(fake.mem, 0xff, fake.mem_bytes);
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), 0);
    ck_assert_uint_eq(fake.mem[512 * 100 - 1], 0xff);
    ck_assert_uint_eq(fake.mem[range.offset], 0);
    ck_assert_int_eq(memcmp(fake.mem + range.offset, fake.mem + range.offset + 1, range.length - 1), 0);
    ck_assert_uint_eq(fake.mem[512 * 5100], 0xff);
    memset(fake.mem, 0xff, fake.mem_bytes);
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), _i & 2 ? 0 : EOPNOTSUPP);
    ck_assert_uint_eq(fake.mem[512 * 5099], _i & 2 ? 0 : 0xff);
    ck_assert_uint_eq(fake.mem[512 * 5100], 0xff);
    ck_assert_int_eq(IOCTL(fp, DKZERO_UNMAP, &range), 0);
    range.offset = 7;
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), EINVAL);
    range.offset = 20480 * 512;
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), ENXIO);
    range.length = 0; /* nothing, at the end */
    ck_assert_int_eq(IOCTL(fp, DKZERO, &range), 0);
    range.offset = 512;
    range.length = UINT64_MAX & ~UINT64_C(511);
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), ENXIO);
    fake_close(fp);
}
END_TEST

/* Ranges change blocks as writes do: the close makes that durable. */
START_TEST(test_ranges_make_dirty)
{
    struct sc_range range = {0, 512 * 8};
    struct file *fp;

    fake.unmap = fake.lbprz = true;
    fake.no_write_same = _i == 2;
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, _i ? DKZERO : DKUNMAP, &range), 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

START_TEST(test_extent)
{
    struct sc_extent ext = {.offset = 512 * 10};
    struct file *fp;

    fake.unmap = _i != 0;
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, DKEXTENT, &ext), 0);
    ck_assert_uint_eq(ext.mapped, _i ? 0 : 1);
    ck_assert_uint_eq(ext.length, _i ? 8 * 512 : (20480 - 10) * 512);
    ext.reserved = 1;
    ck_assert_int_eq(IOCTL(fp, DKEXTENT, &ext), EINVAL);
    ext.reserved = 0;
    ext.offset = 20480 * 512;
    ck_assert_int_eq(IOCTL(fp, DKEXTENT, &ext), ENXIO);
    fake_close(fp);
}
END_TEST

START_TEST(test_stats)
{
    struct file *fp = fake_open(NULL);
    struct sc_disk_stats st;
    uint64_t timed = 0;

    for (unsigned i = 0; i < 64; i++)
        ck_assert_int_eq(fake_rdwr(fp, true, area, 4096, 4096 * i, 0, NULL), 0);
    ck_assert_int_eq(IOCTL(fp, DKSTATS, &st), 0);
    ck_assert_uint_eq(st.bufs, 64);
    ck_assert_uint_eq(st.commands, 64);
    ck_assert_uint_eq(st.bytes_read, 64 * 4096);
    for (unsigned i = 0; i < SC_LAT_BUCKETS; i++)
        timed += st.lat_read[i];
    ck_assert_uint_eq(timed, 64 / SC_LAT_SAMPLE);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ probing */

static int try_open(void)
{
    struct file *fp;
    int rc;

    ck_assert_int_eq(fake_config(NULL), 0);
    rc = fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp);
    if (rc == 0)
        fake_close(fp);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    return rc;
}

START_TEST(test_open_through_attentions_and_spin_up)
{
    struct fake_fault *f = fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_CHECK);
    uint64_t before = kern_now_ns();

    f->key = SCSI_KEY_ATTENTION;
    f->asc = 0x29;
    f->count = 2;
    f = fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_CHECK);
    f->key = SCSI_KEY_NOT_READY;
    f->asc = 0x04;
    f->ascq = 0x02;
    f->count = 1;
    f = fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_CHECK);
    f->key = SCSI_KEY_NOT_READY;
    f->asc = 0x04;
    f->ascq = 0x01;
    f->count = 20;
    ck_assert_int_eq(try_open(), 0);
    ck_assert_uint_ge(kern_now_ns() - before, UINT64_C(20000000000));
}
END_TEST

/* Busy for a moment costs a moment; for ever, EBUSY when it has been waited long enough. */
START_TEST(test_NB_17_busy_at_open)
{
    struct fake_fault *f = fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_STATUS);
    uint64_t before = kern_now_ns();

    f->code = _i ? SC_QUEUE_FULL : SC_BUSY_STATUS;
    f->count = 4;
    ck_assert_int_eq(try_open(), 0);
    ck_assert_uint_eq(f->hits, 4);
    ck_assert_uint_le(kern_now_ns() - before, UINT64_C(10000000));
    before = kern_now_ns();
    f->hits = f->count = 0;
    ck_assert_int_eq(try_open(), EBUSY);
    ck_assert_uint_ge(kern_now_ns() - before, UINT64_C(8000000000));
    ck_assert_uint_le(kern_now_ns() - before, UINT64_C(9000000000));
    ck_assert_uint_le(f->hits, 40);
}
END_TEST

/* Who has just reset a disk gives it the time to come back; an absent one is not waited for. */
START_TEST(test_silent_after_forced_open)
{
    struct fake_fault *f = fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_ADAPTER);
    uint64_t before = kern_now_ns();
    struct file *fp;

    f->code = SC_NO_DEVICE_RESPONSE;
    f->count = 12;
    ck_assert_int_eq(try_open(), EIO);
    ck_assert_uint_eq(kern_now_ns() - before, 0);
    f->hits = 0;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_FORCED_OPEN, &fp), 0);
    ck_assert_uint_eq(f->hits, 12);
    ck_assert_uint_ge(kern_now_ns() - before, UINT64_C(1000000000));
    fake_close(fp);
}
END_TEST

START_TEST(test_open_failures)
{
    static const struct {
        int opcode;
        enum fake_action action;
        uint32_t code;
        uint8_t key, asc;
        int error;
    } rows[] = {
        {SCSI_TEST_UNIT_READY, FAKE_CHECK, 0, SCSI_KEY_NOT_READY, 0x3a, ENOTREADY},
        {SCSI_TEST_UNIT_READY, FAKE_CHECK, 0, SCSI_KEY_ILLEGAL, 0x25, ENODEV},
        {SCSI_TEST_UNIT_READY, FAKE_CHECK, 0, SCSI_KEY_HARDWARE, 0x44, EIO},
        {SCSI_TEST_UNIT_READY, FAKE_STATUS, SC_RESERVATION_CONFLICT, 0, 0, EBUSY},
        {SCSI_TEST_UNIT_READY, FAKE_ADAPTER, SC_NO_DEVICE_RESPONSE, 0, 0, EIO},
        {SCSI_TEST_UNIT_READY, FAKE_ADAPTER, SC_CMD_TIMEOUT, 0, 0, ETIMEDOUT},
        {SCSI_RESERVE_6, FAKE_STATUS, SC_RESERVATION_CONFLICT, 0, 0, EBUSY},
        {SCSI_RESERVE_6, FAKE_CHECK, 0, SCSI_KEY_ILLEGAL, 0x20, 0},
        {SCSI_INQUIRY, FAKE_CHECK, 0, SCSI_KEY_HARDWARE, 0, EIO},
        {SCSI_MODE_SENSE_6, FAKE_CHECK, 0, SCSI_KEY_ILLEGAL, 0x20, 0},
        {SCSI_READ_CAPACITY_10, FAKE_CHECK, 0, SCSI_KEY_MEDIUM, 0x31, EFORMAT},
    };
    struct fake_fault *f = fake_fault(rows[_i].opcode, 0, UINT64_MAX, rows[_i].action);

    f->code = rows[_i].code;
    f->key = rows[_i].key;
    f->asc = rows[_i].asc;
    ck_assert_int_eq(try_open(), rows[_i].error);
}
END_TEST

static struct {
    uint64_t last;
    uint32_t block_bytes;
    size_t cut;
} lie;

static size_t lying_capacity(const uint8_t *cdb, uint8_t *d, size_t n)
{
    (void)n;
    if (cdb[0] == SCSI_READ_CAPACITY_10) {
        scsi_put32(d, lie.last > 0xfffffffe ? 0xffffffff : (uint32_t)lie.last);
        scsi_put32(d + 4, lie.block_bytes);
        return 8 - lie.cut;
    }
    if (cdb[0] == SCSI_SERVICE_ACTION_IN_16) {
        scsi_put64(d, lie.last);
        scsi_put32(d + 8, lie.block_bytes);
        return 32;
    }
    return cdb[0] == SCSI_INQUIRY && !(cdb[1] & 1) ? 36 : 0;
}

START_TEST(test_absurd_capacity)
{
    static const struct {
        uint64_t last;
        uint32_t block_bytes;
        size_t cut;
        int error;
    } rows[] = {
        {99, 7, 0, EFORMAT},
        {99, 0, 0, EFORMAT},
        {99, 8192, 0, EFORMAT},
        {99, 520, 0, EFORMAT},
        {UINT64_MAX, 512, 0, EFORMAT},
        {UINT64_MAX >> 9, 4096, 0, EFORMAT},
        {99, 512, 4, EFORMAT},
        {99, 512, 0, 0},
        {0, 4096, 0, 0},
        {UINT64_C(1) << 40, 4096, 0, 0},
        {99, 1024, 0, 0},
        {99, 2048, 0, 0},
    };
    struct err_rec rec[4];

    lie.last = rows[_i].last;
    lie.block_bytes = rows[_i].block_bytes;
    lie.cut = rows[_i].cut;
    fake.reply = lying_capacity;
    ck_assert_int_eq(try_open(), rows[_i].error);
    ck_assert_uint_eq(errlog_read(0, rec, 4), rows[_i].error ? 1 : 0);
}
END_TEST

static unsigned loud;
static void log_loud(int level, const char *text)
{
    loud += level < SHIM_LOG_VERBOSE;
    (void)text;
}

/* A disk that knows no more than it must, as cheap ones do: what it does not know is no news, to nobody. */
START_TEST(test_CAM_19_what_a_poor_disk_lacks_is_not_logged)
{
    static const uint8_t unknown[] = {SCSI_INQUIRY,       SCSI_MODE_SENSE_6,  SCSI_RESERVE_6,
                                      SCSI_SYNC_CACHE_10, SCSI_WRITE_SAME_16, SCSI_SERVICE_ACTION_IN_16,
                                      SCSI_UNMAP};
    struct sc_range range = {512 * 100, 512 * 8};
    struct sc_extent ext = {.offset = 512 * 10};
    struct shim_host host = *shim_det_host(1);
    struct err_rec rec = {0};
    struct file *fp;

    host.log = log_loud;
    shim_test_begin(&host);
    fake_setup_only(20480, 512);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(unknown); i++) {
        struct fake_fault *f = fake_fault(unknown[i], 0, UINT64_MAX, FAKE_CHECK);

        f->key = SCSI_KEY_ILLEGAL;
        f->asc = 0x20;
        f->skip = unknown[i] == SCSI_INQUIRY; /* not the first, which asks for no page */
    }
    loud = 0;
    fp = fake_open(NULL);
    area = aligned_alloc(4096, 1u << 20);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(fake_rdwr(fp, false, area, 65536, 0, 0, NULL), 0);
        ck_assert_int_eq(IOCTL(fp, DKFLUSH, 0), 0);
        ck_assert_int_eq(IOCTL(fp, DKZERO, &range), 0);
        ck_assert_int_eq(IOCTL(fp, DKEXTENT, &ext), 0);
    }
    free(area);
    fake_close(fp);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(unknown); i++)
        if (unknown[i] != SCSI_UNMAP && unknown[i] != SCSI_SERVICE_ACTION_IN_16)
            ck_assert_msg(fake.faults[i].hits > 0, "%02x has not been asked for", unknown[i]);
    ck_assert_msg(errlog_read(0, &rec, 1) == 0, "%s", rec.er_text);
    ck_assert_uint_eq(loud, 0);
    fake_end();
}
END_TEST

/* What goes wrong in diagnostic mode is the program's to see, and nothing for the error log. */
START_TEST(test_nothing_is_logged_in_diagnostic_mode)
{
    static struct sc_rdwrt rw = {.data_length = 512};
    struct err_rec rec;
    struct file *fp;

    lie.last = 99;
    lie.block_bytes = 7;
    lie.cut = 0;
    fake.reply = lying_capacity;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), 0);
    ck_assert_int_eq(IOCTL(fp, DKIORDSE, &rw), EFORMAT);
    ck_assert_uint_eq(rw.status_validity, 0);
    ck_assert_uint_eq(errlog_read(0, &rec, 1), 0);
    fake_close(fp);
}
END_TEST

static struct {
    uint32_t transfer_blocks;
    size_t bytes;
} limits;

static size_t limits_reply(const uint8_t *cdb, uint8_t *d, size_t n)
{
    (void)n;
    if (cdb[0] == SCSI_INQUIRY && (cdb[1] & 1)) {
        d[1] = cdb[2];
        if (cdb[2] == SCSI_VPD_BLOCK_LIMITS) {
            d[3] = (uint8_t)(limits.bytes - 4);
            scsi_put32(d + 8, limits.transfer_blocks);
            scsi_put32(d + 20, 1000);
            return limits.bytes;
        }
        d[3] = cdb[2] ? 4 : 2;
        d[4] = cdb[2] ? 0 : SCSI_VPD_BLOCK_LIMITS;
        d[5] = cdb[2] ? 0x84 : SCSI_VPD_PROVISIONING;
        return cdb[2] ? 8 : 6;
    }
    lie.last = 20479;
    lie.block_bytes = 512;
    lie.cut = 0;
    return lying_capacity(cdb, d, n);
}

/* What the block limits page says counts exactly, and a field only when all of it has arrived. */
START_TEST(test_block_limits)
{
    static const struct {
        uint32_t transfer_blocks;
        uint8_t bytes;
        uint32_t max;
        unsigned unmaps;
    } rows[] = {{255, 64, 255 * 512, 2}, {256, 64, 131072, 2}, {257, 64, 131072, 2}, {0, 64, 131072, 2},
                {8, 12, 4096, 1},        {8, 11, 131072, 1},   {8, 24, 4096, 2},     {8, 23, 4096, 1}};
    struct sc_range range = {0, 512 * 2000};
    struct sc_disk_info info;
    struct file *fp;
    unsigned unmaps = 0;

    limits.transfer_blocks = rows[_i].transfer_blocks;
    limits.bytes = rows[_i].bytes;
    fake.reply = limits_reply;
    fake.unmap = fake.lbprz = true;
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, DKINFO, &info), 0);
    ck_assert_uint_eq(info.transfer_bytes_max, rows[_i].max);
    ck_assert_int_eq(IOCTL(fp, DKUNMAP, &range), 0);
    for (unsigned i = 0; i < fake.nlog; i++)
        unmaps += fake.log[i].cdb[0] == SCSI_UNMAP;
    ck_assert_uint_eq(unmaps, rows[_i].unmaps);
    fake_close(fp);
}
END_TEST

/* The smallest caching page there can be, at the very end; two NAA designators, the disk's and its port's. */
static size_t small_reply(const uint8_t *cdb, uint8_t *d, size_t n)
{
    if (cdb[0] == SCSI_MODE_SENSE_6) {
        memcpy(d, "\x06\x00\x00\x00\x08\x01\x04", 7);
        return 7;
    }
    if (cdb[0] == SCSI_INQUIRY && (cdb[1] & 1) && cdb[2] == 0) {
        memcpy(d, "\x00\x00\x00\x01\x83", 5);
        return 5;
    }
    if (cdb[0] == SCSI_INQUIRY && (cdb[1] & 1)) {
        memcpy(d, "\x00\x83\x00\x18\x01\x03\x00\x08PABCDEFG\x01\x13\x00\x08PHIJKLMN", 28);
        return 28;
    }
    lie.last = 20479;
    lie.block_bytes = 512;
    lie.cut = 0;
    return lying_capacity(cdb, d, n);
}

START_TEST(test_small_pages)
{
    struct sc_disk_info info;
    struct file *fp;

    fake.reply = small_reply;
    fp = fake_open(NULL);
    ck_assert_int_eq(IOCTL(fp, DKINFO, &info), 0);
    ck_assert_uint_eq(info.write_cache, 1);
    ck_assert_uint_eq(info.device_id_bytes, 8);
    ck_assert_mem_eq(info.device_id, "PABCDEFG", 8);
    fake_close(fp);
}
END_TEST

/* A disk that comes up may take the whole start time-out, and no second more. */
START_TEST(test_spin_up_takes_all_its_time)
{
    struct fake_fault *f = fake_fault(SCSI_TEST_UNIT_READY, 0, 0, FAKE_CHECK);
    struct file *fp;

    f->key = SCSI_KEY_NOT_READY;
    f->asc = 0x04;
    f->ascq = 0x01;
    f->count = DD_START_TIMEOUT_S + (unsigned)_i;
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), _i ? ENOTREADY : 0);
    if (!_i)
        fake_close(fp);
}
END_TEST

static size_t noise(const uint8_t *cdb, uint8_t *d, size_t n)
{
    size_t got = shim_det_random() % (n + 1);

    for (size_t i = 0; i < n; i++)
        d[i] = (uint8_t)shim_det_random();
    /* Half of the time a plausible beginning, so that the noise behind it is looked at. */
    if (shim_det_random() % 2) {
        if (cdb[0] == SCSI_INQUIRY && !(cdb[1] & 1))
            d[0] = 0;
        else if (cdb[0] == SCSI_INQUIRY)
            d[1] = cdb[2];
        if (cdb[0] == SCSI_INQUIRY && cdb[2] == 0 && n > 12)
            memcpy(d + 4, "\x80\x83\xb0\xb2\x80\x83\xb0\xb2", 8);
        if (cdb[0] == SCSI_READ_CAPACITY_10)
            scsi_put32(d + 4, 512u << shim_det_random() % 4);
    }
    return cdb[0] == SCSI_READ_CAPACITY_10 ? 8 : got;
}

/* Random bytes for every answer: any result but a crash, and readable strings. */
START_TEST(test_hostile_bytes)
{
    unsigned opened = 0;

    fake.reply = noise;
    for (unsigned i = 0; i < 5000; i++) {
        struct sc_disk_info info;
        struct file *fp;
        int rc;

        fake.nfaults = 0;
        fake_fault(FAKE_ANY, 0, UINT64_MAX, FAKE_CHECK)->count = (unsigned)(shim_det_random() % 3) ? 1 : 0;
        fake.faults[0].skip = (unsigned)(shim_det_random() % 12);
        if (shim_det_random() % 4)
            fake.nfaults = 0;
        fake_forget();
        ck_assert_int_eq(fake_config(NULL), 0);
        rc = fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp);
        if (rc == 0) {
            opened++;
            ck_assert_int_eq(IOCTL(fp, DKINFO, &info), 0);
            for (const char *p = info.product; *p; p++)
                ck_assert(*p >= 0x20 && *p < 0x7f);
            ck_assert_uint_lt(strlen(info.serial), sizeof(info.serial));
            ck_assert_uint_le(info.device_id_bytes, sizeof(info.device_id));
            fake.block_bytes = info.block_bytes;
            fake.blocks = info.blocks;
            (void)fake_rdwr(fp, true, area, info.block_bytes, 0, 0, NULL);
            (void)fp_close(fp); /* the noise may be a deferred error */
        }
        ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    }
    ck_assert_uint_ge(opened, 100);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_ioctl");
    TCase *t = tcase_create("ioctl");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_iocinfo_and_info);
    tcase_add_test(t, test_unsupported);
    tcase_add_test(t, test_medium_is_kept_and_ejected);
    tcase_add_test(t, test_last_close_lets_the_medium_go);
    tcase_add_test(t, test_format_exclusive);
    tcase_add_test(t, test_writing_ioctls_need_a_file_open_for_writing);
    tcase_add_test(t, test_read_with_sense);
    tcase_add_test(t, test_refused_says_nothing_of_the_device);
    tcase_add_test(t, test_read_with_sense_in_diagnostic_mode);
    tcase_add_test(t, test_passthru);
    tcase_add_test(t, test_passthru_einval_arg);
    tcase_add_loop_test(t, test_passthru_error_leaves_disk_working, 0, 4);
    tcase_add_test(t, test_NB_24_passthru_is_told_as_it_is);
    tcase_add_test(t, test_flush);
    tcase_add_loop_test(t, test_zero_and_unmap, 0, 4);
    tcase_add_loop_test(t, test_ranges_make_dirty, 0, 3);
    tcase_add_loop_test(t, test_extent, 0, 2);
    tcase_add_test(t, test_stats);
    suite_add_tcase(s, t);
    t = tcase_create("probe");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_open_through_attentions_and_spin_up);
    tcase_add_loop_test(t, test_NB_17_busy_at_open, 0, 2);
    tcase_add_test(t, test_silent_after_forced_open);
    tcase_add_loop_test(t, test_open_failures, 0, 11);
    tcase_add_loop_test(t, test_absurd_capacity, 0, 12);
    tcase_add_test(t, test_nothing_is_logged_in_diagnostic_mode);
    tcase_add_loop_test(t, test_block_limits, 0, 8);
    tcase_add_test(t, test_small_pages);
    tcase_add_loop_test(t, test_spin_up_takes_all_its_time, 0, 2);
    tcase_add_test(t, test_hostile_bytes);
    suite_add_tcase(s, t);
    t = tcase_create("noise");
    tcase_add_test(t, test_CAM_19_what_a_poor_disk_lacks_is_not_logged);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
