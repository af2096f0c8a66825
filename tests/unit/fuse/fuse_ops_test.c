/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of the operations of src/fuse, without FUSE: this file is the kernel. It calls the operations as
 * libfuse would and stands in for the fuse_reply_ functions, which only note what was answered. So nothing
 * has to be mounted, nobody has to be root, and a moment in the middle of a request can be chosen: the disk's
 * own watch function runs between the operation and the medium.
 *
 * Does not contain: what only a kernel does with an answer (tests/fuse).
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include "../../../src/adapter/sim/sim.h"
#include "../../../src/fuse/fuse_impl.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <jansson.h>
#include <scpair/ad_hw.h>
#include <sys/scsiproto.h>
#include <unistd.h>

/* ------------------------------------------------------------------ the kernel's side */

#define ANSWER_MAX (FUSE_REQUEST_BYTES + SC_PAGE_SIZE)

/* A request, and what became of it. */
struct fuse_req {
    struct fuse_pair *q_pair;
    struct fuse_ctx q_ctx;
    unsigned q_answers; /* exactly one is due */
    int q_error;        /* an errno, 0 for an answer with something in it */
    int q_result;       /* of an ioctl */
    size_t q_bytes;     /* of q_data, or written */
    off_t q_at;
    struct stat q_stat;
    struct fuse_entry_param q_entry;
};
static uint8_t answer[ANSWER_MAX];

static int answered(fuse_req_t req, int error, const void *data, size_t bytes)
{
    req->q_answers++;
    req->q_error = error;
    req->q_bytes = bytes;
    ck_assert_uint_le(bytes, sizeof(answer));
    if (data != NULL)
        memcpy(answer, data, bytes);
    return 0;
}

/* Who mounted; tests are often run by root, who may do everything anyway. */
#define OWNER  ((uid_t)65532)
#define NOBODY ((uid_t)65533)
uid_t getuid(void) { return OWNER; }

void *fuse_req_userdata(fuse_req_t req) { return req->q_pair; }
const struct fuse_ctx *fuse_req_ctx(fuse_req_t req) { return &req->q_ctx; }
int fuse_reply_err(fuse_req_t req, int err) { return answered(req, err, NULL, 0); }
int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size) { return answered(req, 0, buf, size); }
int fuse_reply_write(fuse_req_t req, size_t count) { return answered(req, 0, NULL, count); }
int fuse_reply_ioctl(fuse_req_t req, int result, const void *buf, size_t size)
{
    req->q_result = result;
    return answered(req, 0, buf, size);
}
int fuse_reply_lseek(fuse_req_t req, off_t off)
{
    req->q_at = off;
    return answered(req, 0, NULL, 0);
}
int fuse_reply_attr(fuse_req_t req, const struct stat *attr, double attr_timeout)
{
    (void)attr_timeout;
    req->q_stat = *attr;
    return answered(req, 0, NULL, 0);
}
int fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
    req->q_entry = *e;
    return answered(req, 0, NULL, 0);
}

/* ------------------------------------------------------------------ a mount of four disks */

/* Of hdiskN: 512 and 4096 bytes a block, write-protected, in a file. rhdiskN is one more. */
enum { INO_ADAPTER = 32, INO_SMALL = 64, INO_LARGE = 66, INO_FIXED = 68, INO_FILE = 70 };
#define DISKS      4u
#define DISK_BYTES (4u << 20)
#define COMMAND    131072u /* the largest */

static struct fuse_serve_config cfg = {.mountpoint = "/mnt", .mode = 0600};
static struct fuse_pair *pr;
static struct fuse_req req;
static uint8_t data[FUSE_REQUEST_BYTES + SC_PAGE_SIZE] __attribute__((aligned(4096)));

static void setup(void)
{
    struct scp_disk_spec d[DISKS];
    struct scp_spec spec = {.disks = d, .ndisks = DISKS, .transfer_bytes_max = COMMAND};
    char err[SCP_ERROR_MAX] = "", image[] = "/tmp/scpair-fuse-test.XXXXXX";
    int fd = mkstemp(image);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, DISK_BYTES), 0);
    (void)close(fd);
    for (unsigned i = 0; i < DISKS; i++)
        d[i] = (struct scp_disk_spec){.size = sizeof(d[i]), .medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES};
    d[1].block_bytes = 4096;
    d[2].read_only = true;
    d[3].medium = SCP_MEDIUM_FILE;
    d[3].path = image;
    pr = calloc(1, sizeof(*pr));
    ck_assert_ptr_nonnull(pr);
    ck_assert_msg(scp_create(&spec, &pr->pr_scp, err, sizeof(err)) == 0, "%s", err);
    ck_assert_int_eq(unlink(image), 0);
    pr->pr_cfg = &cfg;
    pr->pr_ndisks = DISKS;
    pthread_mutex_init(&pr->pr_mutex, NULL);
    for (unsigned i = 0; i < DISKS; i++)
        ck_assert_msg(fuse_disk_probe(pr, i, err, sizeof(err)) == 0, "%s", err);
}

static void teardown(void)
{
    fuse_file_close_all(pr);
    for (unsigned i = 0; i < DISKS; i++)
        fuse_disk_fini(&pr->pr_disks[i]);
    fuse_disk_buffers_free();
    pthread_mutex_destroy(&pr->pr_mutex);
    ck_assert_uint_eq(scp_destroy(pr->pr_scp), 0);
    free(pr);
}

/* A new request, by the user who mounted. */
static fuse_req_t ask(void)
{
    memset(&req, 0, sizeof(req));
    req.q_pair = pr;
    req.q_ctx.uid = OWNER;
    req.q_ctx.pid = getpid();
    return &req;
}
/* Its answer. */
static int got(void)
{
    ck_assert_uint_eq(req.q_answers, 1);
    return req.q_error;
}

static int open_file(fuse_ino_t ino, int flags, struct fuse_file_info *fi)
{
    struct fuse_open_out out;

    memset(fi, 0, sizeof(*fi));
    fi->flags = flags;
    fuse_file_open(ask(), ino, fi);
    if (got() == 0) {
        ck_assert_uint_eq(req.q_bytes, sizeof(out));
        memcpy(&out, answer, sizeof(out));
        fi->fh = out.fh;
    }
    return req.q_error;
}

static void must_open(fuse_ino_t ino, int flags, struct fuse_file_info *fi)
{
    ck_assert_int_eq(open_file(ino, flags, fi), 0);
}

static void close_file(struct fuse_file_info *fi)
{
    fuse_file_release(ask(), 0, fi);
    ck_assert_int_eq(got(), 0);
}

static int put(struct fuse_file_info *fi, size_t size, off_t off)
{
    fuse_file_write(ask(), 0, (const char *)data, size, off, fi);
    return got();
}

static int get(struct fuse_file_info *fi, size_t size, off_t off)
{
    fuse_file_read(ask(), 0, size, off, fi);
    return got();
}

static int flush(struct fuse_file_info *fi)
{
    fuse_disk_flush(ask(), 0, fi);
    return got();
}

/* Of a command the kernel hands over `in` and `out` bytes as its number says. `uid`: who asks. */
static int call(struct fuse_file_info *fi, unsigned cmd, void *area, uid_t uid)
{
    size_t bytes = SC_IOC_SIZE(cmd);
    bool in = (_IOC_DIR(cmd) & _IOC_WRITE) != 0, out = (_IOC_DIR(cmd) & _IOC_READ) != 0;

    ask()->q_ctx.uid = uid;
    fuse_ioctl_call(&req, 0, cmd, bytes != 0 ? NULL : area, fi, 0, in ? area : NULL, in ? bytes : 0,
                    out ? bytes : 0);
    if (got() == 0 && out && req.q_bytes == bytes)
        memcpy(area, answer, bytes);
    return req.q_error != 0 ? req.q_error : -req.q_result;
}

/* Commands of one operation code that disk `i` has had. */
static uint64_t commands(unsigned i, uint8_t opcode)
{
    struct sim_disk_stats st;

    sim_disk_stats_get(scp_sim_disk(pr->pr_scp, i), &st);
    return st.st_by_opcode[opcode];
}
static uint64_t reads(unsigned i) { return commands(i, SCSI_READ_6) + commands(i, SCSI_READ_10); }
static uint64_t flushes(unsigned i) { return commands(i, SCSI_SYNC_CACHE_10); }

/* ------------------------------------------------------------------ ioctls */

/* Root and who mounted may work the bus; everybody may look. */
START_TEST(test_authority)
{
    struct fuse_file_info fi;
    struct sc_inquiry inquiry = {.scsi_id = 0, .inquiry_len = 36};
    struct devinfo info;

    must_open(INO_ADAPTER, O_RDWR, &fi);
    ck_assert_int_eq(call(&fi, IOCINFO, &info, NOBODY), 0);
    ck_assert_int_eq(info.devtype, DD_BUS);
    ck_assert_int_eq(call(&fi, SCIOSTART, (void *)SC_ARG(5, 0), NOBODY), EPERM);
    ck_assert_int_eq(call(&fi, SCIOINQU, &inquiry, NOBODY), EPERM);
    ck_assert_int_eq(call(&fi, SCIOSTART, (void *)SC_ARG(5, 0), OWNER), 0);
    ck_assert_int_eq(call(&fi, SCIOSTOP, (void *)SC_ARG(5, 0), 0), 0);
    close_file(&fi);
}
END_TEST

/* An address would be one of this process: refused, and data goes in the structure. */
START_TEST(test_pointers_are_refused)
{
    struct fuse_file_info raw;
    struct sc_rdwrt rw = {.lba = 0, .data_length = 512, .timeout_value = 5};
    struct sc_passthru pt = {.version = SC_VERSION_1,
                             .flags = SC_PT_READ,
                             .command_length = 6,
                             .timeout_value = 5,
                             .data_length = 36,
                             .scsi_cdb = {SCSI_INQUIRY, [4] = 36}};

    must_open(INO_SMALL + 1, O_RDWR, &raw);
    memset(data, 0x5a, 512);
    ck_assert_int_eq(put(&raw, 512, 0), 0);
    rw.buffer = (uintptr_t)data;
    ck_assert_int_eq(call(&raw, DKIORDSE, &rw, 0), EFAULT);
    ck_assert_int_eq(call(&raw, DKIOWRSE, &rw, 0), EFAULT);
    rw.buffer = 0;
    ck_assert_int_eq(call(&raw, DKIORDSE, &rw, 0), 0);
    ck_assert_mem_eq(rw.data, data, 512);
    pt.buffer = (uintptr_t)data;
    ck_assert_int_eq(call(&raw, DK_PASSTHRU, &pt, 0), EFAULT);
    ck_assert_int_eq(call(&raw, DKIOCMD, &pt, 0), EFAULT);
    pt.buffer = 0;
    ck_assert_int_eq(call(&raw, DK_PASSTHRU, &pt, 0), 0);
    ck_assert_mem_eq(pt.data + 8, "SCPAIR", 6);
    ck_assert_int_eq(call(&raw, DKIOCMD, &pt, 0), EACCES); /* of a disk opened for diagnosis */
    close_file(&raw);
}
END_TEST

/* Of a structure the caller gives nothing the driver sees zeroes, not what was there before. */
START_TEST(test_what_an_ioctl_hands_over)
{
    struct fuse_file_info raw, ctl, dir;
    struct devinfo info;
    uint64_t size = 0;

    must_open(INO_SMALL + 1, O_RDONLY, &raw);
    ck_assert_int_eq(call(&raw, IOCINFO, &info, NOBODY), 0);
    ck_assert_int_eq(info.devtype, DD_SCDISK);
    ck_assert_uint_eq(info.un.scdk.numblks, DISK_BYTES / 512);
    fuse_ioctl_call(ask(), 0, BLKGETSIZE64, NULL, &raw, 0, NULL, 0, sizeof(size));
    ck_assert_int_eq(got(), 0);
    memcpy(&size, answer, sizeof(size));
    ck_assert_uint_eq(size, DISK_BYTES);
    /* An adapter's command, one that nobody knows, and one with more bytes than its number says. */
    ck_assert_int_eq(call(&raw, SCIOHALT, NULL, 0), EINVAL);
    ck_assert_int_eq(call(&raw, _IO('x', 1), NULL, 0), EINVAL);
    fuse_ioctl_call(ask(), 0, IOCINFO, NULL, &raw, 0, NULL, 0, sizeof(info) + 1);
    ck_assert_int_eq(got(), EINVAL);
    fuse_ioctl_call(ask(), 0, DKUNMAP, NULL, &raw, 0, data, sizeof(struct sc_range) + 1, 0);
    ck_assert_int_eq(got(), EINVAL);
    close_file(&raw);
    must_open(6, O_RDONLY, &ctl);
    ck_assert_int_eq(call(&ctl, IOCINFO, &info, 0), ENOTTY);
    must_open(FUSE_ROOT_ID, O_RDONLY, &dir);
    ck_assert_int_eq(call(&dir, IOCINFO, &info, 0), ENOTTY);
}
END_TEST

/* What changes the medium needs a handle that may write. */
START_TEST(test_writing_ioctls)
{
    static const unsigned cmds[] = {DKIOWRSE, DKIOCMD, DK_PASSTHRU, DKFORMAT, DKUNMAP, DKZERO, DKZERO_UNMAP};
    struct fuse_file_info reader, writer;
    static uint64_t area[16384 / 8];
    struct sc_range range = {0, 4096};
    uint64_t before;

    must_open(INO_SMALL + 1, O_RDONLY, &reader);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(cmds); i++) {
        memset(area, 0, sizeof(area));
        ck_assert_msg(call(&reader, cmds[i], area, 0) == EBADF, "command %u", i);
    }
    ck_assert_int_eq(call(&reader, DKZERO, &range, 0), EBADF);
    must_open(INO_SMALL + 1, O_RDWR, &writer);
    memset(data, 0x33, 8192);
    ck_assert_int_eq(put(&writer, 8192, 0), 0);
    ck_assert_int_eq(flush(&writer), 0);
    before = flushes(0);
    ck_assert_int_eq(call(&writer, DKZERO, &range, 0), 0);
    ck_assert_int_eq(flush(&writer), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    ck_assert_int_eq(get(&writer, 8192, 0), 0);
    ck_assert_uint_eq(answer[0] | answer[4095], 0);
    ck_assert_uint_eq(answer[4096], 0x33);
    close_file(&writer);
    close_file(&reader);
}
END_TEST

/* A failed ioctl gives its structure back: the sense data of a CHECK CONDITION is read after EIO. */
START_TEST(test_a_failed_ioctl_has_its_structure)
{
    struct fuse_file_info raw;
    struct sc_passthru pt = {.version = SC_VERSION_1,
                             .command_length = 6,
                             .timeout_value = 5,
                             .autosense_length = 18,
                             .scsi_cdb = {0x0d}};

    must_open(INO_SMALL + 1, O_RDWR, &raw);
    ck_assert_int_eq(call(&raw, DK_PASSTHRU, &pt, 0), EIO);
    ck_assert_int_eq(req.q_error, 0);
    ck_assert_uint_eq(pt.scsi_bus_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(pt.sense_bytes, 18);
    ck_assert_uint_eq(pt.autosense[12], SCSI_ASC_OPCODE);
}
END_TEST

/* ------------------------------------------------------------------ what close(2) flushes */

static uint8_t watched;              /* this operation code ... */
static bool watched_is, watched_set; /* ... finds the flag so, and sets it to that */
static unsigned watched_hits;
static uint8_t watched_flags; /* of the last such command: byte 1 of its CDB */

static void watch(void *arg, const struct ad_xfer *x)
{
    struct fuse_vdisk *vd = arg;

    /* The write codes of all lengths have the low five bits in common. */
    if ((x->xfer_cdb[0] & 0x1f) != (watched & 0x1f))
        return;
    watched_hits++;
    watched_flags = x->xfer_cdb[1];
    watched_is = atomic_load(&vd->vd_dirty);
    atomic_store(&vd->vd_dirty, watched_set);
}

static void watch_for(uint8_t opcode, bool set)
{
    watched = opcode;
    watched_set = set;
    watched_hits = 0;
    sim_disk_watch(scp_sim_disk(pr->pr_scp, 0), watch, &pr->pr_disks[0]);
}

/* A flush that runs while the write is on its way does not have these bytes: close(2) has to flush again. */
START_TEST(test_a_flush_beside_a_write)
{
    struct fuse_file_info fi;
    uint64_t before;

    must_open(INO_SMALL + (unsigned)_i, O_RDWR, &fi);
    watch_for(SCSI_WRITE_10, false);
    ck_assert_int_eq(put(&fi, 4096, 0), 0);
    ck_assert_uint_eq(watched_hits, 1);
    before = flushes(0);
    ck_assert_int_eq(flush(&fi), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    /* And nothing written since: nothing to flush. */
    ck_assert_int_eq(flush(&fi), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    sim_disk_watch(scp_sim_disk(pr->pr_scp, 0), NULL, NULL);
    close_file(&fi);
}
END_TEST

/* A write that comes while the flush runs is not covered by it. */
START_TEST(test_a_write_beside_a_flush)
{
    struct fuse_file_info fi;
    uint64_t before;

    must_open(INO_SMALL + (unsigned)_i, O_RDWR, &fi);
    ck_assert_int_eq(put(&fi, 4096, 0), 0);
    watch_for(SCSI_SYNC_CACHE_10, true);
    ck_assert_int_eq(flush(&fi), 0);
    ck_assert_uint_eq(watched_hits, 1);
    ck_assert(!watched_is);
    sim_disk_watch(scp_sim_disk(pr->pr_scp, 0), NULL, NULL);
    before = flushes(0);
    ck_assert_int_eq(flush(&fi), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    close_file(&fi);
}
END_TEST

/* A flush that failed is told, and owed still; the last close of a writer pays what close(2) did not. */
START_TEST(test_a_failed_flush_is_owed)
{
    struct fuse_file_info fi;
    char err[SCP_ERROR_MAX] = "";
    uint64_t before;

    must_open(INO_SMALL + 1, O_RDWR, &fi);
    ck_assert_int_eq(put(&fi, 4096, 0), 0);
    ck_assert_msg(scp_inject(pr->pr_scp, "hdisk0 op=0x35 count=forever do=check:4/44/00", err, sizeof(err)) ==
                      0,
                  "%s", err);
    ck_assert_int_eq(flush(&fi), EIO);
    fuse_disk_fsync(ask(), 0, 0, &fi);
    ck_assert_int_eq(got(), EIO);
    ck_assert_int_eq(scp_inject(pr->pr_scp, "hdisk0 clear", err, sizeof(err)), 0);
    before = flushes(0);
    ck_assert_int_eq(flush(&fi), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    ck_assert_int_eq(put(&fi, 4096, 0), 0);
    close_file(&fi);
    ck_assert_uint_eq(flushes(0), before + 2);
}
END_TEST

/* Written with O_DSYNC: raw by FUA, through the buffer layer by a flush before the answer. */
START_TEST(test_durable_writes)
{
    struct fuse_file_info raw, block;
    uint64_t before;

    must_open(INO_SMALL + 1, O_RDWR | O_DSYNC, &raw);
    raw.flags = O_RDWR | O_DSYNC;
    before = flushes(0);
    watch_for(SCSI_WRITE_10, false);
    ck_assert_int_eq(put(&raw, 4096, 0), 0);
    ck_assert_uint_eq(watched_hits, 1);
    ck_assert_uint_eq(watched_flags & SCSI_CDB1_FUA, SCSI_CDB1_FUA);
    ck_assert_uint_eq(flushes(0), before);
    sim_disk_watch(scp_sim_disk(pr->pr_scp, 0), NULL, NULL);
    must_open(INO_SMALL, O_RDWR | O_DSYNC, &block);
    block.flags = O_RDWR | O_DSYNC;
    ck_assert_int_eq(put(&block, 4096, 0), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    block.flags = O_RDWR;
    ck_assert_int_eq(put(&block, 4096, 0), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    close_file(&block);
    close_file(&raw);
}
END_TEST

/* ------------------------------------------------------------------ open and data */

START_TEST(test_opens)
{
    struct fuse_file_info fi, ctl;

    ck_assert_int_eq(open_file(3, O_RDONLY, &fi), ENOENT);
    ck_assert_int_eq(open_file(INO_ADAPTER + 1, O_RDONLY, &fi), ENOENT);
    ck_assert_int_eq(open_file(INO_FILE + 2, O_RDONLY, &fi), ENOENT);
    /* A disk that is write-protected says so at open. */
    ck_assert_int_eq(open_file(INO_FIXED, O_RDWR, &fi), EROFS);
    ck_assert_int_eq(open_file(INO_FIXED + 1, O_WRONLY, &fi), EROFS);
    must_open(INO_FIXED + 1, O_RDONLY, &fi);
    ck_assert_int_eq(get(&fi, 512, 0), 0);
    close_file(&fi);
    ck_assert_int_eq(open_file(7, O_RDWR, &fi), EACCES);
    must_open(INO_ADAPTER, O_RDWR, &fi);
    ck_assert_int_eq(get(&fi, 512, 0), ENODEV);
    ck_assert_int_eq(put(&fi, 512, 0), ENODEV);
    close_file(&fi);
    /* A stop refuses devices, and no reports. */
    atomic_store(&pr->pr_stopping, true);
    for (fuse_ino_t ino = INO_ADAPTER; ino <= INO_SMALL + 1; ino++)
        ck_assert_int_eq(open_file(ino, O_RDONLY, &fi),
                         ino == INO_ADAPTER || ino >= INO_SMALL ? ESHUTDOWN : ENOENT);
    must_open(6, O_RDONLY, &ctl);
    close_file(&ctl);
}
END_TEST

/* Raw: what was moved before an error counts, the error comes to who goes on; hdiskN has none of that. */
START_TEST(test_errors_in_the_middle)
{
    struct fuse_file_info raw, block;
    char err[SCP_ERROR_MAX] = "";

    must_open(INO_SMALL + 1, O_RDWR, &raw);
    must_open(INO_SMALL, O_RDWR, &block);
    ck_assert_int_eq(
        scp_inject(pr->pr_scp, "hdisk0 lba=1000 count=forever do=check:3/11/00", err, sizeof(err)), 0);
    ck_assert_int_eq(get(&raw, 1 << 20, 0), 0);
    ck_assert_uint_ge(req.q_bytes, 512);
    ck_assert_uint_le(req.q_bytes, 1000 * 512);
    ck_assert_int_eq(get(&raw, 512, 1000 * 512), EIO);
    ck_assert_int_eq(get(&block, 1 << 20, 0), EIO);
    ck_assert_int_eq(put(&raw, 1 << 20, 0), 0);
    ck_assert_uint_le(req.q_bytes, 1000 * 512);
    ck_assert_int_eq(put(&block, 1 << 20, 0), EIO);
    raw.flags |= O_DSYNC;
    ck_assert_int_eq(put(&raw, 1 << 20, 0), EIO);
    ck_assert_int_eq(scp_inject(pr->pr_scp, "hdisk0 clear", err, sizeof(err)), 0);
}
END_TEST

/* Whole blocks or EINVAL; on a disk of large blocks multiples of 512, too, but not for O_DIRECT. */
START_TEST(test_sizes_of_raw_requests)
{
    struct fuse_file_info small, large, direct;

    must_open(INO_SMALL + 1, O_RDWR, &small);
    must_open(INO_LARGE + 1, O_RDWR, &large);
    must_open(INO_LARGE + 1, O_RDWR | O_DIRECT, &direct);
    for (unsigned write = 0; write < 2; write++) {
        int (*move)(struct fuse_file_info *, size_t, off_t) = write ? put : get;

        ck_assert_int_eq(move(&small, 512, 512), 0);
        ck_assert_int_eq(move(&small, 100, 0), EINVAL);
        ck_assert_int_eq(move(&small, 512, 7), EINVAL);
        ck_assert_int_eq(move(&large, 4096, 4096), 0);
        ck_assert_int_eq(move(&large, 512, 1024), 0);
        ck_assert_int_eq(move(&large, 256, 1024), EINVAL);
        ck_assert_int_eq(move(&direct, 4096, 4096), 0);
        ck_assert_int_eq(move(&direct, 512, 1024), EINVAL);
    }
}
END_TEST

/* A large request whose memory does not begin on a page comes in pieces that end inside a block. */
START_TEST(test_pieces_of_one_request)
{
    const size_t first = FUSE_REQUEST_BYTES - 100, second = 100 + 4096;
    struct fuse_file_info fi, other;
    uint64_t before;

    must_open(INO_SMALL + 1, O_RDWR, &fi);
    must_open(INO_SMALL + 1, O_RDWR, &other);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    ck_assert_int_eq(put(&fi, first, 0), 0);
    ck_assert_uint_eq(req.q_bytes, first);
    memmove(data, data + first, second); /* the next piece */
    ck_assert_int_eq(put(&fi, second, (off_t)first), 0);
    ck_assert_uint_eq(req.q_bytes, second);
    /* It ended on a block: nothing goes on from there, in the middle of a block or elsewhere. */
    ck_assert_int_eq(put(&fi, 100, (off_t)first), EINVAL);
    before = reads(0);
    ck_assert_int_eq(get(&fi, first, 0), 0);
    ck_assert_uint_eq(req.q_bytes, first);
    for (size_t i = 0; i < first; i++)
        ck_assert_msg(answer[i] == (uint8_t)(i * 31 >> 3), "byte %zu", i);
    /* Of another file, or in the other direction, it is none. */
    ck_assert_int_eq(get(&other, second, (off_t)first), EINVAL);
    ck_assert_int_eq(get(&fi, second, (off_t)first), 0);
    ck_assert_uint_eq(req.q_bytes, second);
    for (size_t i = 0; i < second; i++)
        ck_assert_msg(answer[i] == (uint8_t)((first + i) * 31 >> 3), "byte %zu", first + i);
    ck_assert_uint_eq(reads(0), before + 2 + FUSE_REQUEST_BYTES / COMMAND - 1);
    ck_assert_int_eq(get(&fi, first, 0), 0);
    ck_assert_int_eq(put(&fi, second, (off_t)first), EINVAL);
    /* A thread of its own has its own place. */
    ck_assert_int_eq(get(&fi, first, 0), 0);
    ask()->q_ctx.pid = getpid() + 1;
    fuse_file_read(&req, 0, second, (off_t)first, &fi);
    ck_assert_int_eq(got(), EINVAL);
    ck_assert_int_eq(get(&fi, second, (off_t)first), 0);
}
END_TEST

/* ------------------------------------------------------------------ space */

static int fall(struct fuse_file_info *fi, int mode, off_t off, off_t bytes)
{
    fuse_space_fallocate(ask(), 0, mode, off, bytes, fi);
    return got();
}

START_TEST(test_fallocate)
{
    const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    struct fuse_file_info raw, block;
    uint64_t before;

    must_open(INO_SMALL + 1, O_RDWR, &raw);
    must_open(INO_SMALL, O_RDWR, &block);
    memset(data, 0x77, 16384);
    ck_assert_int_eq(put(&raw, 16384, 0), 0);
    ck_assert_int_eq(flush(&raw), 0);
    before = flushes(0);
    /* Inside one block, over an edge, whole blocks and both edges. */
    ck_assert_int_eq(fall(&block, punch, 10, 20), 0);
    ck_assert_int_eq(fall(&block, punch, 1000, 100), 0);
    ck_assert_int_eq(fall(&block, FALLOC_FL_ZERO_RANGE, 3000, 4000), 0);
    ck_assert_int_eq(flush(&raw), 0);
    ck_assert_uint_eq(flushes(0), before + 1);
    ck_assert_int_eq(get(&raw, 16384, 0), 0);
    for (unsigned i = 0; i < 16384; i++) {
        bool zero = (i >= 10 && i < 30) || (i >= 1000 && i < 1100) || (i >= 3000 && i < 7000);

        ck_assert_msg(answer[i] == (zero ? 0 : 0x77), "byte %u is %u", i, answer[i]);
    }
    ck_assert_int_eq(fall(&raw, punch, 10, 20), EINVAL);
    ck_assert_int_eq(fall(&raw, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
    ck_assert_int_eq(fall(&raw, 0, 0, DISK_BYTES), 0);
    ck_assert_int_eq(fall(&raw, 0, 0, DISK_BYTES + 1), ENOSPC);
    ck_assert_int_eq(fall(&raw, FALLOC_FL_ZERO_RANGE, DISK_BYTES - 512, 1024), ENOSPC);
    ck_assert_int_eq(fall(&raw, punch, DISK_BYTES - 512, 1 << 20), 0);
    ck_assert_int_eq(fall(&raw, punch, DISK_BYTES + 512, 512), 0);
    ck_assert_int_eq(fall(&raw, punch, -512, 512), EINVAL);
    ck_assert_int_eq(fall(&raw, punch, 0, 0), EINVAL);
}
END_TEST

static off_t seek(struct fuse_file_info *fi, off_t off, int whence)
{
    fuse_space_lseek(ask(), 0, off, whence, fi);
    return got() != 0 ? -req.q_error : req.q_at;
}

START_TEST(test_lseek)
{
    struct fuse_file_info fi;
    off_t at;

    must_open(INO_FILE + 1, O_RDWR, &fi);
    ck_assert_int_eq(seek(&fi, 0, SEEK_DATA), -ENXIO);
    ck_assert_int_eq(seek(&fi, 5, SEEK_HOLE), 5);
    memset(data, 1, 4096);
    ck_assert_int_eq(put(&fi, 4096, 1 << 20), 0);
    at = seek(&fi, 0, SEEK_DATA);
    ck_assert_int_gt(at, 0);
    ck_assert_int_le(at, 1 << 20);
    ck_assert_int_eq(seek(&fi, (1 << 20) + 7, SEEK_DATA), (1 << 20) + 7);
    at = seek(&fi, 1 << 20, SEEK_HOLE);
    ck_assert_int_ge(at, (1 << 20) + 4096);
    ck_assert_int_lt(at, DISK_BYTES);
    ck_assert_int_eq(put(&fi, 4096, DISK_BYTES - 4096), 0);
    ck_assert_int_eq(seek(&fi, DISK_BYTES - 1, SEEK_HOLE), DISK_BYTES);
    ck_assert_int_eq(seek(&fi, DISK_BYTES, SEEK_HOLE), -ENXIO);
    ck_assert_int_eq(seek(&fi, -1, SEEK_DATA), -ENXIO);
    ck_assert_int_eq(seek(&fi, 0, SEEK_SET), -EINVAL);
}
END_TEST

/* ------------------------------------------------------------------ names, attributes, reports */

static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
    fuse_tree_lookup(ask(), parent, name);
    return got() == 0 ? req.q_entry.ino : 0;
}

static int resize(fuse_ino_t ino, off_t bytes, struct fuse_file_info *fi)
{
    struct stat st = {.st_size = bytes};

    fuse_tree_setattr(ask(), ino, &st, FUSE_SET_ATTR_SIZE, fi);
    return got();
}

START_TEST(test_names_and_attributes)
{
    struct fuse_file_info fi;
    struct stat st = {0};

    ck_assert_uint_eq(find(FUSE_ROOT_ID, "scsi0"), INO_ADAPTER);
    ck_assert_uint_eq(find(FUSE_ROOT_ID, "hdisk1"), INO_LARGE);
    ck_assert_int_eq(req.q_entry.attr.st_size, DISK_BYTES);
    ck_assert_uint_eq(req.q_entry.attr.st_mode, S_IFREG | 0600);
    ck_assert_uint_eq(find(FUSE_ROOT_ID, "rhdisk1"), INO_LARGE + 1);
    ck_assert_uint_eq(find(FUSE_ROOT_ID, "rscsi0"), 0);
    ck_assert_uint_eq(find(FUSE_ROOT_ID, "hdisk4"), 0);
    ck_assert_uint_eq(find(FUSE_ROOT_ID, "stat"), 0);
    ck_assert_uint_eq(find(2, "stat"), 4);
    ck_assert_uint_eq(find(2, "hdisk0"), 0);
    fuse_tree_getattr(ask(), 99, NULL);
    ck_assert_int_eq(got(), ENOENT);
    /* A disk keeps its size; O_TRUNC comes as a size of 0 without a handle. */
    must_open(INO_SMALL, O_RDWR, &fi);
    ck_assert_int_eq(resize(INO_SMALL, 0, NULL), 0);
    ck_assert_int_eq(req.q_stat.st_size, DISK_BYTES);
    ck_assert_int_eq(resize(INO_SMALL, 0, &fi), EINVAL);
    ck_assert_int_eq(resize(INO_SMALL, 512, NULL), EINVAL);
    ck_assert_int_eq(resize(INO_SMALL, DISK_BYTES, &fi), 0);
    fuse_tree_setattr(ask(), INO_SMALL, &st, FUSE_SET_ATTR_MODE, NULL);
    ck_assert_int_eq(got(), EPERM);
}
END_TEST

static int tell(struct fuse_file_info *fi, const char *text)
{
    fuse_file_write(ask(), 0, text, strlen(text), 0, fi);
    return got();
}

/* The rules file: lines up to the first that is wrong; the reason stays to be read. */
START_TEST(test_rules)
{
    struct fuse_file_info w, r;
    json_t *state, *rule;

    must_open(8, O_RDWR, &w);
    ck_assert_int_eq(tell(&w, "hdisk0 rate=3000.5 do=busy\n\n  \nhdisk1 op=write lba=1-2 do=hang\n"), 0);
    ck_assert_int_eq(tell(&w, "hdisk2 do=busy\nhdisk9 do=busy\nhdisk2 op=any do=busy\n"), EINVAL);
    must_open(8, O_RDONLY, &r);
    ck_assert_int_eq(get(&r, 65536, 0), 0);
    state = json_loadb((const char *)answer, req.q_bytes, 0, NULL);
    ck_assert_ptr_nonnull(state);
    ck_assert_uint_eq(json_array_size(json_object_get(state, "rules")), 3);
    rule = json_array_get(json_object_get(state, "rules"), 0);
    ck_assert_double_eq(json_real_value(json_object_get(rule, "rate")), 3000.5);
    ck_assert(json_is_null(json_object_get(rule, "count")));
    ck_assert(json_is_null(json_object_get(rule, "lba_last")));
    rule = json_array_get(json_object_get(state, "rules"), 1);
    ck_assert_str_eq(json_string_value(json_object_get(rule, "op")), "write");
    ck_assert_int_eq(json_integer_value(json_object_get(rule, "lba_last")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(rule, "count")), 1);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(state, "last_error")), "hdisk9"));
    json_decref(state);
    /* One open, one text: read in pieces it is the same, and ends. */
    {
        size_t bytes = req.q_bytes;
        char *text = malloc(bytes);

        memcpy(text, answer, bytes);
        ck_assert_int_eq(tell(&w, "hdisk0 clear"), 0);
        ck_assert_int_eq(get(&r, 10, 5), 0);
        ck_assert_uint_eq(req.q_bytes, 10);
        ck_assert_mem_eq(answer, text + 5, 10);
        ck_assert_int_eq(get(&r, 100, (off_t)bytes - 3), 0);
        ck_assert_uint_eq(req.q_bytes, 3);
        ck_assert_int_eq(get(&r, 100, (off_t)bytes), 0);
        ck_assert_uint_eq(req.q_bytes, 0);
        free(text);
    }
    ck_assert_int_eq(tell(&r, "hdisk1 clear"), 0); /* the kernel keeps readers from writing */
    ck_assert_int_eq(tell(&w, "hdisk1 clear\nhdisk2 clear"), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("fuse_ops");
    TCase *t = tcase_create("ioctl"), *f = tcase_create("flush"), *d = tcase_create("data"),
          *n = tcase_create("names");

    tcase_add_test(t, test_authority);
    tcase_add_test(t, test_pointers_are_refused);
    tcase_add_test(t, test_what_an_ioctl_hands_over);
    tcase_add_test(t, test_writing_ioctls);
    tcase_add_test(t, test_a_failed_ioctl_has_its_structure);
    tcase_add_loop_test(f, test_a_flush_beside_a_write, 0, 2);
    tcase_add_loop_test(f, test_a_write_beside_a_flush, 0, 2);
    tcase_add_test(f, test_a_failed_flush_is_owed);
    tcase_add_test(f, test_durable_writes);
    tcase_add_test(d, test_opens);
    tcase_add_test(d, test_errors_in_the_middle);
    tcase_add_test(d, test_sizes_of_raw_requests);
    tcase_add_test(d, test_pieces_of_one_request);
    tcase_add_test(d, test_fallocate);
    tcase_add_test(d, test_lseek);
    tcase_add_test(n, test_names_and_attributes);
    tcase_add_test(n, test_rules);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_checked_fixture(f, setup, teardown);
    tcase_add_checked_fixture(d, setup, teardown);
    tcase_add_checked_fixture(n, setup, teardown);
    suite_add_tcase(s, t);
    suite_add_tcase(s, f);
    suite_add_tcase(s, d);
    suite_add_tcase(s, n);
    return test_run(s, argc, argv);
}
