/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk_fz.c - whole sequences on one disk: strategy calls of any size, place, alignment, chain and option,
 * raw reads and writes from pieces of memory, ranges, faults, resets, another initiator, shortages, time.
 *
 * Each request comes back exactly once, in bounded time, with a residual that is true: what ended well has
 * the right bytes (fz_model.c says which may be there). When the faults are over the disk works again, and
 * holds what was written.
 *
 * Input: what the world is like; then operations.
 */
#define _GNU_SOURCE
#include "fz.h"

#include <string.h>

#include "shim/det/det_sched.h"

const char fz_name[] = "disk";

#define OPERATIONS 48u

static struct {
    struct fz_in in;
    struct fz_world_config cfg;
    struct file *fp, *guest;
    struct buf *chain, **chain_tail;
    bool trouble;   /* something has gone wrong: requests may fail */
    unsigned again; /* requests that iodone routines may still send */
} disk;

void fz_target_once(void) {}

/* ---------------------------------------------------------------- requests */

static void chain_send(void)
{
    struct buf *bp = disk.chain;

    disk.chain = NULL;
    disk.chain_tail = &disk.chain;
    if (bp)
        FZ_CHECK(devstrat(bp) == 0, "devstrat");
}

/* Does the driver have to refuse it? */
static bool is_wrong(const struct fz_req *r)
{
    return r->r_buf.b_bcount == 0 || r->r_buf.b_bcount % disk.cfg.wc_block_bytes != 0 ||
           r->r_first % (disk.cfg.wc_block_bytes / DEV_BSIZE) != 0 || r->r_first >= FZ_SECTORS ||
           (r->r_buf.b_options & ~(WRITEV | SC_OPT_FUA));
}

/* From iodone: one more of the same, at the next place. */
static void done_again(struct buf *bp)
{
    struct fz_req *r = (struct fz_req *)(void *)bp, *next;
    unsigned first = r->r_first + r->r_n, number = r->r_n;
    bool write = r->r_write;

    fz_req_done(bp);
    if (disk.again == 0 || first + number > FZ_SECTORS)
        return;
    disk.again--;
    next = fz_req_make(0, write, first, (size_t)number * DEV_BSIZE, 0);
    if (!next)
        return;
    next->r_buf.b_iodone = done_again;
    next->r_wrong = is_wrong(next);
    fz_req_sent(next);
    FZ_CHECK(devstrat(&next->r_buf) == 0, "devstrat from iodone");
}

/* Most are as they should be; the rest are what a driver has to refuse or to cut. */
static void op_request(uint8_t how)
{
    static const size_t sizes[8] = {4096, 512, 65536, 8192, 131072, 4096, 0, 4608};
    unsigned first = fz_u8(&disk.in);
    uint8_t shape = fz_u8(&disk.in);
    size_t bytes = sizes[shape & 7];
    size_t edge = how & 0x10 ? (size_t)(shape >> 3 & 7u) * 4u : 0;
    struct fz_req *r;

    if ((shape & 7) == 6)
        bytes = fz_u16(&disk.in);
    if ((shape & 7) != 6 && disk.cfg.wc_block_bytes == 4096) {
        first &= ~7u;
        bytes = (bytes + 4095u) & ~(size_t)4095u;
    }
    r = fz_req_make(0, how & 1, first, bytes, edge);
    if (!r)
        return;
    r->r_buf.b_options = how & 2 ? SC_OPT_FUA : how & 4 && how & 8 ? (uint32_t)(shape >> 3) : 0;
    if (how & 0x40) {
        r->r_buf.b_iodone = done_again;
        disk.again = disk.again < 6 ? disk.again + 2 : 6;
    }
    if (shape >= 0xf8 && (shape & 7) != 6) /* far beyond, or before the beginning */
        r->r_buf.b_blkno = (r->r_first = 1u << 30, shape & 1 ? -(int64_t)first - 1 : INT64_MAX - first);
    r->r_wrong = edge != 0 || is_wrong(r);
    fz_req_sent(r);
    *disk.chain_tail = &r->r_buf;
    disk.chain_tail = &r->r_buf.av_forw;
    if (!(how & 0x20))
        chain_send();
}

/* Raw: one transfer from pieces of memory, which uphysio pins and the adapter may gather. */
static void op_raw(uint8_t how)
{
    struct iovec vec[5];
    uint8_t shape = fz_u8(&disk.in);
    unsigned first = fz_u8(&disk.in), pieces = 1u + shape % 5u;
    size_t bytes = ((size_t)(shape >> 4) + 1u) * 4096u, at = 0;
    struct fz_req *r;
    struct uio uio = {.uio_iov = vec, .uio_segflg = UIO_SYSSPACE};
    int error;

    if (disk.cfg.wc_block_bytes == 4096)
        first &= ~7u;
    r = fz_req_make(0, how & 1, first, bytes, how & 4 ? 512 : 0);
    if (!r)
        return;
    for (unsigned i = 0; i < pieces; i++) {
        size_t n = i + 1 == pieces ? bytes - at : (fz_u8(&disk.in) & 7u) * (how & 2 ? 512u : 4096u);

        n = n < bytes - at ? n : bytes - at;
        vec[i] = (struct iovec){r->r_data + r->r_edge + at, n};
        at += n;
    }
    uio.uio_iovcnt = (int32_t)pieces;
    uio.uio_resid = bytes;
    uio.uio_offset = (int64_t)first * DEV_BSIZE;
    r->r_wrong = is_wrong(r) || r->r_edge || how & 2;
    fz_req_sent(r);
    error = fp_rwuio(disk.fp, how & 1 ? UIO_WRITE : UIO_READ, &uio, how & 8 ? SC_OPT_FUA : 0);
    FZ_CHECK(uio.uio_resid <= bytes, "raw: %zu of %zu left", (size_t)uio.uio_resid, bytes);
    FZ_SAY("   raw: errno %d, %zu left\n", error, (size_t)uio.uio_resid);
    /* Only the end of the disk, or an error that is told by the next one, makes it shorter. */
    r->r_buf.b_resid = uio.uio_resid;
    r->r_buf.b_error = error;
    r->r_buf.b_flags |= error ? B_ERROR : 0;
    fz_req_done(&r->r_buf);
}

/* ---------------------------------------------------------------- the rest of the world */

static void op_fault(uint8_t how)
{
    static const int ops[4] = {SIM_OPCODE_DATA, SIM_OPCODE_ANY, SIM_OPCODE_READS, SIM_OPCODE_WRITES};
    struct sim_fault f = {.f_opcode = ops[how & 3],
                          .f_lba_last = UINT64_MAX,
                          .f_skip = how >> 2 & 3u,
                          .f_count = 1u + (how >> 4 & 3u)};
    uint8_t what = fz_u8(&disk.in);

    f.f_action = (enum sim_fault_action)(1u + what % (SIM_FAULT_COUNT - 1u));
    f.f_every = how >> 6;
    if (f.f_action == SIM_FAULT_CORRUPT) /* nobody could see that */
        f.f_action = SIM_FAULT_CHECK;
    disk.trouble = true;
    if (f.f_action == SIM_FAULT_CHECK) {
        f.f_key = what >> 4;
        f.f_asc = fz_u8(&disk.in);
        f.f_ascq = fz_u8(&disk.in);
        f.f_descriptor = f.f_ascq & 1;
    } else if (f.f_action == SIM_FAULT_SHORT) {
        f.f_param = (uint64_t)(1u + (what >> 5)) * 512u;
    } else if (f.f_action == SIM_FAULT_DELAY) {
        f.f_param = (uint64_t)(what >> 4) * 3000000000u;
    }
    /* What was recovered was not carried out here, and says so. */
    fz_short = fz_short || f.f_action == SIM_FAULT_SHORT || f.f_key == SCSI_KEY_RECOVERED;
    if (what & 0x80) {
        f.f_lba_first = fz_u8(&disk.in);
        f.f_lba_last = f.f_lba_first + 8;
    }
    FZ_SAY("   fault %d at op %d\n", (int)f.f_action, f.f_opcode);
    (void)sim_fault_add(fz_world.w_disk[0], &f);
}

/* Somebody else on the bus: a reservation, a stopped motor. */
static void op_initiator(uint8_t how)
{
    static const uint8_t ops[4] = {SCSI_RESERVE_6, SCSI_RELEASE_6, SCSI_START_STOP_UNIT,
                                   SCSI_TEST_UNIT_READY};
    uint8_t cdb[AD_HW_CDB_BYTES] = {ops[how & 3], 0, 0, 0, (how & 3) == 2 ? how >> 2 & 1u : 0};
    struct shim_dma_map map = {0};
    struct ad_xfer x = {.xfer_cdb = cdb, .xfer_cdb_len = 6, .xfer_map = &map};

    disk.trouble = true;
    sim_disk_initiator(fz_world.w_disk[0], 1, &x);
}

/* A third party with authority: commands of its own between the driver's. */
static void op_guest(uint8_t how)
{
    static struct sc_passthru pt;
    struct sc_ready ready = {.scsi_id = 0};
    struct sc_inquiry inq = {.inquiry_len = 96};
    unsigned long flags = DREAD | DWRITE | DAUTH;
    int error;

    switch (how & 3) {
    case 0:
        error = fp_ioctlx(disk.guest, SCIOTUR, (intptr_t)&ready, 0, flags);
        break;
    case 1:
        error = fp_ioctlx(disk.guest, SCIOINQU, (intptr_t)&inq, 0, flags);
        break;
    case 2:
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        pt.autosense_length = how & 4 ? 64 : 0;
        pt.timeout_value = 5;
        error = fp_ioctlx(disk.guest, SCIOCMD, (intptr_t)&pt, 0, flags);
        break;
    default:
        error = fp_ioctlx(disk.guest, how & 4 ? SCIORESET : SCIOHALT, SC_ARG(0, 0), 0, flags);
        FZ_CHECK(error == EINVAL, "another file's SCIORESET or SCIOHALT: errno %d", error);
        break;
    }
    FZ_SAY("   guest %u: errno %d\n", how & 3, error);
    fz_saw((uint64_t)error);
}

static void op_range(uint8_t how)
{
    static const unsigned cmds[4] = {DKZERO, DKUNMAP, DKZERO_UNMAP, DKFLUSH};
    unsigned first = fz_u8(&disk.in) & ~7u, n = ((how >> 2 & 7u) + 1u) * 8u;
    struct sc_range range = {(uint64_t)first * DEV_BSIZE, (uint64_t)n * DEV_BSIZE};
    int error;

    if ((how & 3) != 3)
        fz_model_zero_begin(0, first, n);
    error = fp_ioctl(disk.fp, cmds[how & 3], (how & 3) == 3 ? 0 : (intptr_t)&range, 0);
    fz_model_zero_end();
    FZ_SAY("   range %u: errno %d\n", how & 3, error);
    FZ_CHECK(error == 0 || disk.trouble || first + n > FZ_SECTORS, "range: errno %d", error);
    fz_saw((uint64_t)error);
}

/* No fault any more, nobody else, nothing short; the medium is in and the motor runs. */
static void world_calm(void)
{
    sim_fault_clear(fz_world.w_disk[0]);
    op_initiator(1);
    op_initiator(2 | 4);
    sim_disk_load(fz_world.w_disk[0]);
    shim_det_short(DET_SHORT_MEMORY, 0, false);
}

static void op_reopen(uint8_t how)
{
    int error;

    chain_send();
    fz_wait(&fz_out);
    error = fp_close(disk.fp);
    FZ_CHECK(error == 0 || disk.trouble, "close: errno %d", error);
    disk.fp = NULL;
    error = fp_opendev(FZ_DISK(0), DREAD | DWRITE | DKERNEL, NULL, how & 1 ? SC_FORCED_OPEN : 0, &disk.fp);
    FZ_CHECK(error == 0 || disk.trouble, "open: errno %d", error);
    if (error)
        disk.fp = NULL;
    FZ_SAY("   opened again: %s\n", disk.fp ? "yes" : "no");
}

static void one_operation(void)
{
    uint8_t op = fz_u8(&disk.in), how = fz_u8(&disk.in);

    if (!disk.fp) { /* the last open has failed; this one need not */
        world_calm();
        FZ_CHECK(fp_opendev(FZ_DISK(0), DREAD | DWRITE | DKERNEL, NULL, SC_FORCED_OPEN, &disk.fp) == 0,
                 "open of a disk that behaves again");
    }
    switch (op % 16) {
    case 8:
        chain_send();
        op_raw(how);
        break;
    case 9:
        for (unsigned i = 0; i < how % 32u; i++)
            if (!shim_det_step())
                break;
        break;
    case 10:
        op_fault(how);
        break;
    case 11:
        disk.trouble = true;
        sim_disk_attention(fz_world.w_disk[0], how & 1 ? 0x29 : 0x2a, how & 1 ? 0 : how >> 1 & 15u);
        break;
    case 12:
        op_initiator(how);
        break;
    case 13:
        op_guest(how);
        break;
    case 14:
        if (how & 0x80)
            op_reopen(how);
        else
            op_range(how);
        break;
    case 15:
        disk.trouble = disk.trouble || (how & 0x80);
        if (how & 0x80)
            shim_det_short(DET_SHORT_MEMORY, 1u + (how & 7u), false);
        else
            shim_det_run(shim_now_ns() + (uint64_t)how * 100000000u);
        break;
    default:
        op_request(how);
        break;
    }
}

/* Is it a disk again, and does it hold what it should? */
static void judge_end(void)
{
    struct file *fp;
    int error = 0;

    FZ_CHECK(disk.trouble || fz_failed == 0, "nothing went wrong, and %u requests failed", fz_failed);
    world_calm();
    shim_det_run(shim_now_ns() + UINT64_C(61000000000)); /* a silent one is left alone for dd_dead_ms */
    for (unsigned i = 0; i < 10; i++) {
        error = fz_plain_read(0, 0, disk.cfg.wc_block_bytes);
        if (error == 0)
            break;
    }
    FZ_CHECK(error == 0, "the device behaves, and reads still fail with errno %d", error);
    fz_saw((uint64_t)fp_ioctl(disk.fp, DKFLUSH, 0, 0));
    FZ_CHECK(fp_ioctl(disk.fp, DKFLUSH, 0, 0) == 0, "the second flush fails too");
    fz_world_idle(0);
    FZ_CHECK(fp_close(disk.fp) == 0, "close");
    FZ_CHECK(fp_opendev(FZ_DISK(0), DREAD | DKERNEL, NULL, 0, &fp) == 0, "the second open");
    for (unsigned s = 0; s < FZ_SECTORS; s += 64)
        FZ_CHECK(fz_plain_read(0, s, 64 * DEV_BSIZE) == 0, "sector %u after the second open", s);
    FZ_CHECK(fp_close(fp) == 0, "the second close");
}

static void watch(void *arg, const struct ad_xfer *x)
{
    (void)arg;
    FZ_SAY("      %llu: command %02x, tag %02x/%u, %llu bytes\n", (unsigned long long)(shim_now_ns() / 1000u),
           x->xfer_cdb[0], x->xfer_qmsg, x->xfer_tag, (unsigned long long)x->xfer_bytes);
}

uint64_t fz_target(const uint8_t *data, size_t bytes)
{
    uint8_t more;

    memset(&disk, 0, sizeof(disk));
    disk.chain_tail = &disk.chain;
    disk.in = (struct fz_in){data, data + bytes};
    fz_world_choose(&disk.cfg, fz_u8(&disk.in));
    more = fz_u8(&disk.in);
    disk.cfg.wc_latency_ns = more & 3 ? (more & 3u) * UINT64_C(50000) : 0;
    disk.cfg.wc_commands_max = more & 4 ? 3 : 0;
    fz_world_up(&disk.cfg);
    FZ_CHECK(fp_opendev(FZ_DISK(0), DREAD | DWRITE | DKERNEL, NULL, 0, &disk.fp) == 0, "open");
    FZ_CHECK(fp_opendev(FZ_ADAPTER, DREAD | DWRITE, NULL, 0, &disk.guest) == 0, "open of the adapter");
    if (fz_verbose)
        sim_disk_watch(fz_world.w_disk[0], watch, NULL);
    for (unsigned i = 0; i < OPERATIONS && fz_left(&disk.in) > 0; i++)
        one_operation();
    chain_send();
    fz_wait(&fz_out);
    if (!disk.fp) {
        world_calm();
        FZ_CHECK(fp_opendev(FZ_DISK(0), DREAD | DWRITE | DKERNEL, NULL, SC_FORCED_OPEN, &disk.fp) == 0,
                 "open of a disk that behaves again");
    }
    judge_end();
    FZ_CHECK(fp_close(disk.guest) == 0, "close of the adapter");
    fz_world_down();
    return fz_digest;
}
