/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_io_test.c - the SCSI generic interface as a program meets it: both headers of SG_IO, residuals, sense,
 * host status, scatter lists, refusals; descriptors; two initiators.
 *
 * The library is linked in instead of preloaded, so that it runs under the sanitizers too. Its pair is
 * included, for its faults are injected here.
 *
 * Does not contain: real tools (tools.sh, suite.py).
 */
#include "sg/sg_pair.c"

#include "../unit/test_main.h"

#include <linux/bsg.h>
#include <linux/fs.h>
#include <sched.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define DISK_BLOCKS 4096u
#define BLOCK       512u

static int fd, other;
static uint8_t data[64 * BLOCK], sense[64];
static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96, 0}, ready[6] = {0}, bad_code[6] = {0x1f};

static void setup(void)
{
    ck_assert_int_eq(setenv("SCPAIR_SG_DISK", "ram:2M,phys=4096", 1), 0);
    fd = open("/dev/scpair/rhdisk0", O_RDWR);
    other = open("/dev/scpair/sg0@2", O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(other, 0);
    memset(data, 0xcc, sizeof(data));
    memset(sense, 0xcc, sizeof(sense));
}

static void teardown(void)
{
    (void)close(fd);
    (void)close(other);
    ck_assert_uint_eq(sg_pair_end(), 0);
}

static struct sg_io_hdr header(const uint8_t *cdb, uint8_t cdb_bytes, int direction, unsigned bytes)
{
    return (struct sg_io_hdr){.interface_id = 'S',
                              .dxfer_direction = direction,
                              .cmd_len = cdb_bytes,
                              .mx_sb_len = sizeof(sense),
                              .dxfer_len = bytes,
                              .dxferp = bytes != 0 ? data : NULL,
                              .cmdp = (unsigned char *)(uintptr_t)cdb,
                              .sbp = sense,
                              .timeout = 5000};
}

/* Send it; the ioctl itself works. Returns the status byte. */
static unsigned run(int to, struct sg_io_hdr *h)
{
    ck_assert_msg(ioctl(to, SG_IO, h) == 0, "op %02x: %s", h->cmdp[0], strerror(errno));
    return h->status;
}

static unsigned simple(int to, const uint8_t *cdb)
{
    struct sg_io_hdr h = header(cdb, 6, SG_DXFER_NONE, 0);

    return run(to, &h);
}

static void refused(struct sg_io_hdr h, int error)
{
    errno = 0;
    ck_assert_int_eq(ioctl(fd, SG_IO, &h), -1);
    ck_assert_int_eq(errno, error);
}

/* ------------------------------------------------------------------ SG_IO */

START_TEST(test_good_and_resid)
{
    struct sg_io_hdr h = header(inquiry, 6, SG_DXFER_FROM_DEV, 200);

    h.status = h.sb_len_wr = 0x7f;
    h.host_status = h.driver_status = 0x7f;
    h.info = 0x7f;
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_int_eq(h.resid, 200 - 96);
    ck_assert_uint_eq(h.masked_status | h.host_status | h.driver_status | h.sb_len_wr | h.info, 0);
    ck_assert_mem_eq(data + 8, "SCPAIR  ", 8);
    /* What did not come is not touched. */
    ck_assert_uint_eq(data[96], 0xcc);
    h = header(inquiry, 6, SG_DXFER_TO_FROM_DEV, 96);
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_int_eq(h.resid, 0);
    memset(data, 0xcc, sizeof(data));
    h.flags = SG_FLAG_NO_DXFER;
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_uint_eq(data[8], 0xcc);
    /* Without data the direction means nothing; NONE means no data. */
    h = header(ready, 6, 0, 0);
    ck_assert_uint_eq(run(fd, &h), 0);
    h = header(ready, 6, SG_DXFER_NONE, 512);
    h.dxferp = NULL;
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_int_eq(h.resid, 0);
}
END_TEST

START_TEST(test_sense)
{
    struct sg_io_hdr h = header(bad_code, 6, SG_DXFER_NONE, 0);

    ck_assert_uint_eq(run(fd, &h), SC_CHECK_CONDITION);
    ck_assert_uint_eq(h.masked_status, 1);
    ck_assert_uint_eq(h.driver_status, SG_DRIVER_SENSE);
    ck_assert_uint_eq(h.host_status, 0);
    ck_assert_uint_eq(h.info & SG_INFO_OK_MASK, SG_INFO_CHECK);
    ck_assert_uint_eq(h.sb_len_wr, 18);
    ck_assert_uint_eq(sense[2] & 0x0f, SCSI_KEY_ILLEGAL);
    ck_assert_uint_eq(sense[12], SCSI_ASC_OPCODE);
    ck_assert_uint_eq(sense[18], 0xcc);
    /* Room for less: less. */
    memset(sense, 0xcc, sizeof(sense));
    h.mx_sb_len = 8;
    ck_assert_uint_eq(run(fd, &h), SC_CHECK_CONDITION);
    ck_assert_uint_eq(h.sb_len_wr, 8);
    ck_assert_uint_eq(sense[7], 10);
    ck_assert_uint_eq(sense[8], 0xcc);
    h.mx_sb_len = 0;
    ck_assert_uint_eq(run(fd, &h), SC_CHECK_CONDITION);
    ck_assert_uint_eq(h.sb_len_wr, 0);
    h = header(bad_code, 6, SG_DXFER_NONE, 0);
    h.sbp = NULL;
    ck_assert_uint_eq(run(other, &h), SC_CHECK_CONDITION);
    ck_assert_uint_eq(h.sb_len_wr, 0);
    ck_assert_uint_eq(h.driver_status, 0);
}
END_TEST

START_TEST(test_refusals)
{
    static const uint8_t read10[10] = {0x28, [7] = 0x10, [8] = 1};
    static const uint8_t long_cdb[32] = {0x7f};
    struct sg_io_hdr h;

    h = header(ready, 6, SG_DXFER_NONE, 0);
    h.interface_id = 'X';
    refused(h, ENOSYS);
    h = header(ready, 5, SG_DXFER_NONE, 0);
    refused(h, EMSGSIZE);
    h = header(NULL, 6, SG_DXFER_NONE, 0);
    refused(h, EMSGSIZE);
    h = header(ready, 253, SG_DXFER_NONE, 0);
    refused(h, EMSGSIZE);
    h = header(inquiry, 6, SG_DXFER_FROM_DEV, 96);
    h.dxferp = NULL;
    refused(h, EFAULT);
    h = header(inquiry, 6, SG_DXFER_FROM_DEV, 96);
    h.flags = 4; /* SG_FLAG_MMAP_IO */
    refused(h, EINVAL);
    h = header(inquiry, 6, 7, 96);
    refused(h, EINVAL);
    h = header(read10, 10, SG_DXFER_FROM_DEV, (1u << 20) + BLOCK);
    refused(h, ENOMEM);
    ck_assert_int_eq(ioctl(fd, SG_IO, NULL), -1);
    ck_assert_int_eq(errno, EFAULT);
    /* Longer than the adapter carries: not an error of the call, but of the host. */
    h = header(long_cdb, 32, SG_DXFER_FROM_DEV, 512);
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_uint_eq(h.host_status, SG_HOST_ABORT);
    ck_assert_int_eq(h.resid, 512);
    ck_assert_uint_eq(h.info & SG_INFO_OK_MASK, SG_INFO_CHECK);
}
END_TEST

START_TEST(test_iovec)
{
    static const uint8_t write10[10] = {0x2a, [5] = 9, [8] = 3}, read10[10] = {0x28, [5] = 9, [8] = 3};
    uint8_t parts[3 * BLOCK], back[3 * BLOCK];
    struct sg_iovec vec[4] = {{parts, 100}, {NULL, 0}, {parts + 100, 1000}, {parts + 1100, 1000}};
    struct sg_io_hdr h = header(write10, 10, SG_DXFER_TO_DEV, 3 * BLOCK);

    for (unsigned i = 0; i < sizeof(parts); i++)
        parts[i] = (uint8_t)(i * 7);
    /* The list has room for more than the command wants. */
    h.dxferp = vec;
    h.iovec_count = 4;
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_int_eq(h.resid, 0);
    h = header(read10, 10, SG_DXFER_FROM_DEV, 3 * BLOCK);
    ck_assert_uint_eq(run(other, &h), 0);
    ck_assert_mem_eq(data, parts, sizeof(parts));
    /* And in again, in other pieces. */
    memset(back, 0, sizeof(back));
    vec[0] = (struct sg_iovec){back, 1};
    vec[1] = (struct sg_iovec){back + 1, 511};
    vec[2] = (struct sg_iovec){back + 512, 1024};
    h.dxferp = vec;
    h.iovec_count = 3;
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_mem_eq(back, parts, sizeof(parts));
    /* A list that is shorter than dxfer_len cuts it; the residual counts from dxfer_len. */
    h = header(inquiry, 6, SG_DXFER_FROM_DEV, 300);
    vec[0] = (struct sg_iovec){back, 64};
    vec[1] = (struct sg_iovec){back + 64, 36};
    h.dxferp = vec;
    h.iovec_count = 2;
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_int_eq(h.resid, 300 - 96);
}
END_TEST

START_TEST(test_host_status)
{
    static const uint8_t read10[10] = {0x28, [8] = 2};
    static const struct {
        const char *rule;
        unsigned host;
    } rows[] = {{"hdisk0 op=0x00 count=1 do=hang", SG_HOST_TIME_OUT},
                {"hdisk0 op=0x00 count=1 do=noresponse", SG_HOST_NO_CONNECT},
                {"hdisk0 op=0x00 count=1 do=busfault", SG_HOST_ERROR},
                {"hdisk0 op=0x00 count=1 do=busreset", SG_HOST_RESET}};
    char err[SCP_ERROR_MAX] = "";
    struct sg_io_hdr h;

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        ck_assert_msg(scp_inject(pair.scp, rows[i].rule, err, sizeof(err)) == 0, "%s", err);
        h = header(ready, 6, SG_DXFER_NONE, 0);
        h.timeout = 1; /* a part of a second counts as one */
        ck_assert_uint_eq(run(fd, &h), 0);
        ck_assert_msg(h.host_status == rows[i].host, "%s: host status %u", rows[i].rule, h.host_status);
        ck_assert_uint_eq(h.info & SG_INFO_OK_MASK, SG_INFO_CHECK);
        ck_assert_uint_eq(h.sb_len_wr, 0);
        /* What a reset leaves behind is told, then all is well. */
        for (unsigned n = 0; n < 4 && simple(fd, ready) != 0; n++)
            ;
        ck_assert_uint_eq(simple(fd, ready), 0);
    }
    /* Half of the data phase the CDB asks for. */
    h = header(read10, 10, SG_DXFER_FROM_DEV, BLOCK);
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_uint_eq(h.host_status, SG_HOST_ERROR);
    ck_assert_uint_eq(simple(other, ready), SC_CHECK_CONDITION); /* of the bus reset */
    ck_assert_uint_eq(run(other, &h), 0);
    ck_assert_uint_eq(h.host_status, SG_HOST_ERROR);
}
END_TEST

START_TEST(test_v4)
{
    static const uint8_t write_10[10] = {0x2a, [8] = 1};
    struct sg_io_v4 h = {.guard = 'Q',
                         .request_len = 6,
                         .request = (uintptr_t)inquiry,
                         .max_response_len = sizeof(sense),
                         .response = (uintptr_t)sense,
                         .din_xfer_len = 128,
                         .din_xferp = (uintptr_t)data};

    ck_assert_int_eq(ioctl(fd, SG_IO, &h), 0);
    ck_assert_uint_eq(h.device_status | h.transport_status | h.driver_status | h.response_len | h.info, 0);
    ck_assert_int_eq(h.din_resid, 32);
    ck_assert_mem_eq(data + 8, "SCPAIR  ", 8);
    h.request = (uintptr_t)bad_code;
    h.din_xfer_len = 0;
    ck_assert_int_eq(ioctl(fd, SG_IO, &h), 0);
    ck_assert_uint_eq(h.device_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(h.response_len, 18);
    ck_assert_uint_eq(sense[12], SCSI_ASC_OPCODE);
    /* More data than the command takes. */
    h.request = (uintptr_t)write_10;
    h.request_len = 10;
    h.dout_xfer_len = 2 * BLOCK;
    h.dout_xferp = (uintptr_t)data;
    ck_assert_int_eq(ioctl(fd, SG_IO, &h), 0);
    ck_assert_uint_eq(h.device_status | h.transport_status, 0);
    ck_assert_int_eq(h.dout_resid, BLOCK);
    ck_assert_int_eq(h.din_resid, 0);
    h.dout_xfer_len = h.din_xfer_len = 6;
    h.dout_xferp = (uintptr_t)data;
    ck_assert_int_eq(ioctl(fd, SG_IO, &h), -1);
    ck_assert_int_eq(errno, EOPNOTSUPP);
    h.subprotocol = BSG_SUB_PROTOCOL_SCSI_TMF;
    ck_assert_int_eq(ioctl(fd, SG_IO, &h), -1);
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ------------------------------------------------------------------ the other ioctls */

START_TEST(test_questions)
{
    struct sg_scsi_id id;
    unsigned short blocks = 0;
    uint64_t bytes = 0;
    int n = 0;

    ck_assert_int_eq(ioctl(fd, SG_GET_VERSION_NUM, &n), 0);
    ck_assert_int_ge(n, 30000);
    ck_assert_int_eq(ioctl(fd, BLKSECTGET, &blocks), 0);
    ck_assert_uint_eq(blocks, 255);
    ck_assert_int_eq(ioctl(fd, BLKSSZGET, &n), 0);
    ck_assert_int_eq(n, BLOCK);
    ck_assert_int_eq(ioctl(other, BLKPBSZGET, &n), 0);
    ck_assert_int_eq(n, 4096);
    ck_assert_int_eq(ioctl(other, BLKGETSIZE64, &bytes), 0);
    ck_assert_uint_eq(bytes, DISK_BLOCKS * BLOCK);
    ck_assert_int_eq(ioctl(fd, BLKROGET, &n), 0);
    ck_assert_int_eq(n, 0);
    memset(&id, 0xcc, sizeof(id));
    ck_assert_int_eq(ioctl(fd, SG_GET_SCSI_ID, &id), 0);
    ck_assert_int_eq(id.scsi_id | id.lun | id.scsi_type | id.channel, 0);
    ck_assert_int_eq(ioctl(fd, SG_GET_RESERVED_SIZE, &n), 0);
    ck_assert_int_eq(n, 1 << 20);
    n = -1;
    ck_assert_int_eq(ioctl(fd, SG_SET_RESERVED_SIZE, &n), -1);
    ck_assert_int_eq(ioctl(fd, SG_SET_TIMEOUT, &n), -1);
    ck_assert_int_eq(ioctl(fd, SG_GET_TIMEOUT, NULL), 6000);
    n = 1234;
    ck_assert_int_eq(ioctl(fd, SG_SET_TIMEOUT, &n), 0);
    ck_assert_int_eq(ioctl(fd, SG_GET_TIMEOUT, NULL), 1234);
    n = 1;
    ck_assert_int_eq(ioctl(fd, SG_SET_COMMAND_Q, &n), 0);
    ck_assert_int_eq(ioctl(fd, SG_GET_VERSION_NUM, NULL), -1);
    ck_assert_int_eq(errno, EFAULT);
    n = SG_SCSI_RESET_NOTHING;
    ck_assert_int_eq(ioctl(fd, SG_SCSI_RESET, &n), 0);
    n = SG_SCSI_RESET_DEVICE;
    ck_assert_int_eq(ioctl(fd, SG_SCSI_RESET, &n), -1);
    ck_assert_int_eq(errno, EOPNOTSUPP);
    ck_assert_int_eq(ioctl(fd, BLKRRPART, NULL), -1);
    ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

/* ------------------------------------------------------------------ two initiators */

START_TEST(test_two_initiators)
{
    static const uint8_t reserve[6] = {0x16}, release[6] = {0x17}, read6[6] = {0x08, [4] = 1};
    static const uint8_t enroll[10] = {0x5f, 0x06, [8] = 24}, keys[10] = {0x5e, [8] = 64},
                         take[10] = {0x5f, 0x01, 0x03, [8] = 24};
    struct sg_io_hdr h;

    /* Nobody had to fetch a "power on" first, and the driver has not reserved the disk. */
    ck_assert_uint_eq(simple(other, ready), 0);
    ck_assert_uint_eq(simple(other, reserve), 0);
    ck_assert_uint_eq(simple(fd, ready), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(simple(other, release), 0);
    ck_assert_uint_eq(simple(fd, reserve), 0);
    h = header(read6, 6, SG_DXFER_FROM_DEV, BLOCK);
    ck_assert_uint_eq(run(other, &h), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(h.masked_status, SC_RESERVATION_CONFLICT >> 1);
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_uint_eq(simple(fd, release), 0);
    /* Persistent: both register, one takes exclusive access. */
    memset(data, 0, sizeof(data));
    data[15] = 1;
    h = header(enroll, 10, SG_DXFER_TO_DEV, 24);
    ck_assert_uint_eq(run(fd, &h), 0);
    data[15] = 2;
    ck_assert_uint_eq(run(other, &h), 0);
    h = header(keys, 10, SG_DXFER_FROM_DEV, 64);
    ck_assert_uint_eq(run(fd, &h), 0);
    ck_assert_uint_eq(scsi_get32(data + 4), 16);
    memset(data, 0, sizeof(data));
    data[7] = 2;
    h = header(take, 10, SG_DXFER_TO_DEV, 24);
    ck_assert_uint_eq(run(other, &h), 0);
    h = header(read6, 6, SG_DXFER_FROM_DEV, BLOCK);
    ck_assert_uint_eq(run(fd, &h), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(run(other, &h), 0);
}
END_TEST

/* ------------------------------------------------------------------ descriptors */

START_TEST(test_descriptors)
{
    int twin = dup(fd), read_only = open("/dev/scpair/hdisk0", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char letter = 'x';
    struct stat st;

    ck_assert_int_ge(twin, 0);
    ck_assert_int_ge(read_only, 0);
    ck_assert_int_eq(fcntl(read_only, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_uint_eq(simple(twin, ready), 0);
    ck_assert_uint_eq(simple(read_only, ready), 0);
    fd = twin;
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert(S_ISCHR(st.st_mode));
    ck_assert_int_eq(stat("/dev/scpair/sg0", &st), 0);
    ck_assert(S_ISCHR(st.st_mode));
    ck_assert_int_eq(stat("/dev/scpair/sg7", &st), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(read(fd, &letter, 1), 0);
    ck_assert_int_eq(write(fd, &letter, 1), -1);
    ck_assert_int_eq(close(read_only), 0);
    ck_assert_int_eq(ioctl(read_only, SG_IO, NULL), -1);
    ck_assert_int_eq(errno, EBADF);
    static const char *const none[] = {"sg1",     "sg",   "sg0@3", "sg0@22", "rhdisk0x",
                                       "hdisk-1", "sg0@", "",      "../null"};
    for (size_t i = 0; i < SC_ARRAY_SIZE(none); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/dev/scpair/%s", none[i]);
        ck_assert_msg(open(path, O_RDWR) == -1 && errno == ENOENT, "%s", path);
    }
}
END_TEST

/* Files that are not ours: as without the library. */
START_TEST(test_other_files)
{
    char name[] = "/tmp/scpair-sg-test.XXXXXX", back[4] = "";
    int file = mkstemp(name), n = 0, ends[2];
    uint64_t bytes;
    struct stat st;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(close(file), 0);
    ck_assert_int_eq(unlink(name), 0);
    file = open(name, O_CREAT | O_EXCL | O_RDWR, 0640);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fstat(file, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777 & ~0022u, 0640);
    ck_assert_int_eq(write(file, "abc", 3), 3);
    ck_assert_int_eq(pread(file, back, 3, 0), 3);
    ck_assert_str_eq(back, "abc");
    ck_assert_int_eq(ioctl(file, BLKGETSIZE64, &bytes), -1);
    ck_assert_int_eq(errno, ENOTTY);
    ck_assert_int_eq(ioctl(file, SG_GET_VERSION_NUM, &n), -1);
    ck_assert_int_eq(errno, ENOTTY);
    ck_assert_int_eq(close(file), 0);
    ck_assert_int_eq(stat(name, &st), 0);
    ck_assert_int_eq(st.st_size, 3);
    ck_assert_int_eq(unlink(name), 0);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "12345", 5), 5);
    ck_assert_int_eq(ioctl(ends[0], FIONREAD, &n), 0);
    ck_assert_int_eq(n, 5);
    (void)close(ends[0]);
    (void)close(ends[1]);
    ck_assert_int_eq(open("/nonexistent/x", O_RDONLY), -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* A child has no threads of the pair: it is told so, at once, and its end does not touch the parent's. */
START_TEST(test_fork)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct sg_io_hdr h = header(ready, 6, SG_DXFER_NONE, 0);

        if (ioctl(fd, SG_IO, &h) != -1 || errno != ENOTTY)
            _exit(1);
        if (open("/dev/scpair/sg0", O_RDWR) != -1 || errno != ENXIO)
            _exit(2);
        (void)sg_pair_end();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(simple(fd, ready), 0);
}
END_TEST

#define THREADS  4u
#define COMMANDS 200u

static void *hammer(void *arg)
{
    uint8_t cdb[10] = {0x2a, [8] = 1}, mine[BLOCK], back[BLOCK], own_sense[32];
    uintptr_t number = (uintptr_t)arg;

    cdb[5] = (uint8_t)(number * 8);
    for (unsigned i = 0; i < COMMANDS; i++) {
        struct sg_io_hdr h = header(cdb, 10, SG_DXFER_TO_DEV, BLOCK);

        memset(mine, (int)(number * 50 + i % 50), sizeof(mine));
        h.dxferp = mine;
        h.sbp = own_sense;
        h.mx_sb_len = sizeof(own_sense);
        cdb[0] = 0x2a;
        if (ioctl(number % 2 ? other : fd, SG_IO, &h) != 0 || h.status != 0)
            return "write";
        cdb[0] = 0x28;
        h.dxfer_direction = SG_DXFER_FROM_DEV;
        h.dxferp = back;
        if (ioctl(fd, SG_IO, &h) != 0 || h.status != 0 || memcmp(mine, back, BLOCK) != 0)
            return "read";
    }
    return NULL;
}

START_TEST(test_threads)
{
    pthread_t t[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, hammer, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *why;

        ck_assert_int_eq(pthread_join(t[i], &why), 0);
        ck_assert_msg(why == NULL, "thread %u: %s", i, (const char *)why);
    }
}
END_TEST

/* A device is opened beside commands under way, however long they take; they are what holds the lock. */
START_TEST(test_open_beside_commands)
{
    int third;

    ck_assert_int_eq(pthread_rwlock_rdlock(&pair.lock), 0);
    third = open("/dev/scpair/sg0", O_RDWR);
    ck_assert_int_eq(pthread_rwlock_unlock(&pair.lock), 0);
    ck_assert_int_ge(third, 0);
    ck_assert_int_eq(close(third), 0);
}
END_TEST

static void *first_open(void *arg)
{
    *(int *)arg = open("/dev/scpair/sg0", O_RDWR);
    return NULL;
}

/* A child that another thread makes while the pair is being built has none, like any other. */
START_TEST(test_fork_beside_the_first_open)
{
    pthread_t t;
    pid_t child;
    int status;

    /* When the first disk is done, the second still takes a while. */
    ck_assert_int_eq(setenv("SCPAIR_SG_DISK", "ram:2M\nram:2M,latency=50000", 1), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, first_open, &fd), 0);
    while (fcntl(PAIR_FD_MIN + 1, F_GETFD) < 0)
        (void)sched_yield();
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)alarm(10);
        _exit(open("/dev/scpair/sg0", O_RDWR) != -1 || errno != ENXIO);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_uint_eq(sg_pair_end(), 0);
}
END_TEST

START_TEST(test_bad_variable)
{
    ck_assert_int_eq(setenv("SCPAIR_SG_DISK", "ram:2M,nonsense", 1), 0);
    ck_assert_int_eq(open("/dev/scpair/sg0", O_RDWR), -1);
    ck_assert_int_eq(errno, EINVAL);
    /* Mended, it works: nothing was left behind. Several disks, one per line. */
    ck_assert_int_eq(setenv("SCPAIR_SG_DISK", "ram:2M\nram:4M,block=4096", 1), 0);
    fd = open("/dev/scpair/sg1", O_RDWR);
    ck_assert_int_ge(fd, 0);
    other = 0;
    ck_assert_int_eq(ioctl(fd, BLKSSZGET, &other), 0);
    ck_assert_int_eq(other, 4096);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_uint_eq(sg_pair_end(), 0);
    ck_assert_int_eq(unsetenv("SCPAIR_SG_DISK"), 0);
    ck_assert_int_eq(open("/dev/scpair/sg0", O_RDWR), -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* An id and a LUN, each in its own byte: the seventeenth disk has both. */
START_TEST(test_id_and_lun)
{
    char disks[17 * 8 + 1], *end = disks;
    struct sg_scsi_id id;
    int idlun[2] = {-1, -1};

    for (unsigned i = 0; i < 17; i++)
        end = stpcpy(end, i == 0 ? "null:1M" : "\nnull:1M");
    ck_assert_int_eq(setenv("SCPAIR_SG_DISK", disks, 1), 0);
    fd = open("/dev/scpair/sg16", O_RDWR);
    other = open("/dev/scpair/sg7", O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(other, 0);
    ck_assert_int_eq(ioctl(fd, 0x5382 /* SG_GET_IDLUN */, idlun), 0);
    ck_assert_int_eq(idlun[0], 1 | 1 << 8);
    ck_assert_int_eq(ioctl(fd, SG_GET_SCSI_ID, &id), 0);
    ck_assert_int_eq(id.scsi_id, 1);
    ck_assert_int_eq(id.lun, 1);
    /* The eighth steps over the adapter's own id. */
    ck_assert_int_eq(ioctl(other, 0x5382, idlun), 0);
    ck_assert_int_eq(idlun[0], 8);
    ck_assert_int_eq(ioctl(fd, 0x5385 /* SG_PROBE_HOST */, idlun), 1);
    ck_assert_int_eq(idlun[0], 0);
    ck_assert_int_eq(close(other), 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_uint_eq(sg_pair_end(), 0);
}
END_TEST

/* What the adapter says becomes a host status of Linux; sense is of a CHECK CONDITION only. */
START_TEST(test_results)
{
    static const uint8_t rows[][2] = {{SC_NO_DEVICE_RESPONSE, SG_HOST_NO_CONNECT},
                                      {SC_CMD_TIMEOUT, SG_HOST_TIME_OUT},
                                      {SC_SCSI_BUS_RESET, SG_HOST_RESET},
                                      {SC_HOST_IO_BUS_ERR, SG_HOST_ERROR}};
    struct sg_command cm = {.cm_bytes = 100};
    struct sc_passthru pt = {.residual = 30, .status_validity = SC_ADAPTER_ERROR, .sense_bytes = 18};

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        pt.adapter_status = rows[i][0];
        ck_assert_int_eq(sg_passthru_result(&cm, &pt, EIO), 0);
        ck_assert_uint_eq(cm.cm_host, rows[i][1]);
        ck_assert_uint_eq(cm.cm_status, SC_GOOD_STATUS);
        ck_assert_uint_eq(cm.cm_resid, 30);
        ck_assert_uint_eq(cm.cm_sense_bytes, 0);
    }
    pt.status_validity = SC_SCSI_ERROR;
    pt.scsi_bus_status = SC_BUSY_STATUS;
    pt.residual = 1000; /* never more than there was */
    ck_assert_int_eq(sg_passthru_result(&cm, &pt, EIO), 0);
    ck_assert_uint_eq(cm.cm_status, SC_BUSY_STATUS);
    ck_assert_uint_eq(cm.cm_host, SG_HOST_OK);
    ck_assert_uint_eq(cm.cm_resid, 100);
    ck_assert_uint_eq(cm.cm_sense_bytes, 0);
    pt.scsi_bus_status = SC_CHECK_CONDITION;
    ck_assert_int_eq(sg_passthru_result(&cm, &pt, EIO), 0);
    ck_assert_uint_eq(cm.cm_sense_bytes, 18);
    pt.status_validity = 0;
    pt.einval_arg = SC_EINVAL_LENGTH;
    ck_assert_int_eq(sg_passthru_result(&cm, &pt, EINVAL), ENOMEM);
    ck_assert_int_eq(sg_passthru_result(&cm, &pt, EIO), EIO);
    pt.einval_arg = 1;
    ck_assert_int_eq(sg_passthru_result(&cm, &pt, EINVAL), EINVAL);
}
END_TEST

/* ------------------------------------------------------------------ pieces */

static struct sg_command command(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint32_t bytes)
{
    struct sg_command cm = {.cm_cdb_bytes = cdb_bytes, .cm_in = in, .cm_bytes = bytes};

    memcpy(cm.cm_cdb, cdb, cdb_bytes);
    return cm;
}

START_TEST(test_split)
{
    static const struct {
        uint8_t cdb[16], cdb_bytes;
        bool in;
        uint32_t bytes;
        enum sg_split how;
    } rows[] = {
        {{0x08, [4] = 0}, 6, true, 256 * 512, SG_SPLIT_BLOCKS},
        {{0x28, [8] = 32}, 10, true, 32 * 512, SG_SPLIT_BLOCKS},
        {{0x28, [8] = 32}, 10, true, 33 * 512, SG_SPLIT_NO},
        {{0xaa, [9] = 32}, 12, false, 32 * 512, SG_SPLIT_BLOCKS},
        {{0x8e, [13] = 32}, 16, false, 32 * 512, SG_SPLIT_BLOCKS},
        {{0x8b, [13] = 32}, 16, false, 32 * 512, SG_SPLIT_BLOCKS},
        {{0x2f, 0x02, [8] = 32}, 10, false, 32 * 512, SG_SPLIT_BLOCKS},
        {{0x2f, 0x06, [8] = 32}, 10, false, 32 * 512, SG_SPLIT_NO},
        {{0x89, [13] = 32}, 16, false, 64 * 512, SG_SPLIT_NO},
        {{0x42, [7] = 0x40}, 10, false, 0x4000, SG_SPLIT_NO},
        {{0x12, [3] = 0xff}, 6, true, 0xff00, SG_SPLIT_ALLOC},
        {{0xa3, 0x0c, [8] = 0xff}, 12, true, 0xff00, SG_SPLIT_ALLOC},
        {{0x9e, 0x12, [12] = 0xff}, 16, true, 0xff00, SG_SPLIT_ALLOC},
        {{0x9e, 0x0f, [12] = 0xff}, 16, true, 0xff00, SG_SPLIT_NO},
    };
    struct sg_command cm;
    uint32_t blocks;
    uint64_t lba;

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        cm = command(rows[i].cdb, rows[i].cdb_bytes, rows[i].in, rows[i].bytes);
        ck_assert_msg(sg_split_how(&cm, 512) == rows[i].how, "row %zu", i);
    }
    cm = command((const uint8_t[6]){0x08, 0x3f, 0xff, 0xfe, 0}, 6, true, 0);
    sg_split_get_range(&cm, &lba, &blocks);
    ck_assert_uint_eq(lba, 0x1ffffe);
    ck_assert_uint_eq(blocks, 256);
    sg_split_set_range(&cm, 0x10203, 5);
    ck_assert_mem_eq(cm.cm_cdb, ((const uint8_t[6]){0x08, 0x21, 0x02, 0x03, 5, 0}), 6);
    cm = command((const uint8_t[16]){0x88}, 16, true, 0);
    sg_split_set_range(&cm, 0x1122334455667788u, 0x01020304);
    ck_assert_mem_eq(cm.cm_cdb + 2, "\x11\x22\x33\x44\x55\x66\x77\x88\x01\x02\x03\x04", 12);
    cm = command((const uint8_t[12]){0xa3, 0x0c, 0, 0, 0, 0, 0, 1, 0, 0}, 12, true, 0);
    sg_split_set_alloc(&cm, 8192);
    ck_assert_mem_eq(cm.cm_cdb + 6, "\x00\x00\x20\x00", 4);
    cm.cm_cdb[8] = 0x10;
    sg_split_set_alloc(&cm, 8192);
    ck_assert_mem_eq(cm.cm_cdb + 6, "\x00\x00\x10\x00", 4);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sg_io");
    TCase *t = tcase_create("device"), *bare = tcase_create("no device yet");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_good_and_resid);
    tcase_add_test(t, test_sense);
    tcase_add_test(t, test_refusals);
    tcase_add_test(t, test_iovec);
    tcase_add_test(t, test_host_status);
    tcase_add_test(t, test_v4);
    tcase_add_test(t, test_questions);
    tcase_add_test(t, test_two_initiators);
    tcase_add_test(t, test_descriptors);
    tcase_add_test(t, test_other_files);
    tcase_add_test(t, test_fork);
    tcase_add_test(t, test_threads);
    tcase_add_test(t, test_open_beside_commands);
    suite_add_tcase(s, t);
    tcase_add_test(bare, test_bad_variable);
    tcase_add_test(bare, test_fork_beside_the_first_open);
    tcase_add_test(bare, test_id_and_lun);
    tcase_add_test(bare, test_results);
    tcase_add_test(bare, test_split);
    suite_add_tcase(s, bare);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
