/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_fz.c - a device that lies about itself: INQUIRY, its pages, READ CAPACITY, MODE SENSE, LBA status,
 * persistent keys, at open and when the capacity is said to have changed.
 *
 * The driver may refuse to open or fail any request; what it says it found out must make sense, and it may
 * move nothing that was not asked for. As soon as the device tells the truth it opens, and is what it was.
 *
 * Input: what the world is like; then, answer by answer, what is wrong with it; between them what is done
 * with the open disk. Where it ends the device tells the truth.
 */
#define _GNU_SOURCE
#include "fz.h"

#include <string.h>

const char fz_name[] = "probe";

static struct {
    struct fz_in in;
    bool on;
    unsigned commands;
} dev;

void fz_target_once(void) {}

/* ---------------------------------------------------------------- the device */

static bool is_medium(uint8_t op)
{
    return op == SCSI_READ_6 || op == SCSI_READ_10 || op == SCSI_READ_12 || op == SCSI_READ_16 ||
           op == SCSI_REQUEST_SENSE;
}

static void dev_after(struct ad_xfer *x)
{
    uint8_t how, n, at;

    FZ_CHECK(++dev.commands < 20000, "20000 commands");
    if (!dev.on || fz_left(&dev.in) == 0 || x->xfer_dir != SHIM_DIR_FROM_DEVICE ||
        is_medium(x->xfer_cdb[0]) || x->xfer_bytes == 0)
        return;
    how = fz_u8(&dev.in);
    FZ_SAY("   command %02x %02x: %02x\n", x->xfer_cdb[0], x->xfer_cdb[1], how);
    switch (how & 7) {
    case 1: /* some bytes of the head, where formats and lengths are */
        for (n = (uint8_t)((how >> 3) + 1); n > 0; n--) {
            at = fz_u8(&dev.in);
            if (at < x->xfer_bytes)
                *fz_chip_byte(x, at) = fz_u8(&dev.in);
        }
        break;
    case 2: /* another answer altogether */
        n = fz_u8(&dev.in);
        for (uint64_t i = 0; i < n && i < x->xfer_bytes; i++)
            *fz_chip_byte(x, i) = fz_u8(&dev.in);
        x->xfer_result = AD_RES_GOOD;
        x->xfer_resid = n < x->xfer_bytes && (how & 8) ? x->xfer_bytes - n : 0;
        break;
    case 3: /* cut */
        x->xfer_resid = fz_u8(&dev.in) % (x->xfer_bytes + 1);
        break;
    case 4:
        x->xfer_result = AD_RES_STATUS;
        x->xfer_scsi_status = how & 8 ? SC_BUSY_STATUS : SC_CHECK_CONDITION;
        x->xfer_resid = x->xfer_bytes;
        break;
    default:
        break;
    }
}

static const struct fz_hook dev_hook = {.after = dev_after};

/* ---------------------------------------------------------------- the caller */

static void terminated(const char *text, size_t bytes, const char *what)
{
    size_t n = strnlen(text, bytes);

    FZ_CHECK(n < bytes, "%s of DKINFO is not terminated", what);
    for (size_t i = 0; i < n; i++)
        FZ_CHECK(text[i] >= 0x20 && text[i] < 0x7f, "%s of DKINFO has byte %02x", what,
                 (unsigned char)text[i]);
    fz_saw_bytes(text, n);
}

static void info_judge(struct file *fp, struct sc_disk_info *info)
{
    struct devinfo di;

    FZ_CHECK(fp_ioctl(fp, DKINFO, (intptr_t)info, 0) == 0, "DKINFO");
    terminated(info->vendor, sizeof(info->vendor), "vendor");
    terminated(info->product, sizeof(info->product), "product");
    terminated(info->revision, sizeof(info->revision), "revision");
    terminated(info->serial, sizeof(info->serial), "serial");
    FZ_CHECK(info->device_id_bytes <= sizeof(info->device_id), "device id of %u bytes",
             info->device_id_bytes);
    FZ_CHECK(info->block_bytes >= 512 && info->block_bytes <= 4096 &&
                 (info->block_bytes & (info->block_bytes - 1)) == 0,
             "blocks of %u bytes", info->block_bytes);
    FZ_CHECK(info->blocks > 0 && info->blocks <= (uint64_t)INT64_MAX / info->block_bytes, "%llu blocks of %u",
             (unsigned long long)info->blocks, info->block_bytes);
    FZ_CHECK(info->transfer_bytes_max >= info->block_bytes && info->transfer_bytes_max <= SC_MAXREQUEST &&
                 info->transfer_bytes_max % info->block_bytes == 0,
             "transfers of %llu bytes", (unsigned long long)info->transfer_bytes_max);
    FZ_CHECK(info->queue_depth >= 1 && info->queue_depth <= 8, "depth %u", info->queue_depth);
    FZ_CHECK(fp_ioctl(fp, IOCINFO, (intptr_t)&di, 0) == 0 && di.devtype == DD_SCDISK, "IOCINFO");
    fz_saw(info->blocks);
    fz_saw(info->block_bytes);
    fz_saw((uint64_t)info->unmap << 8 | (uint64_t)info->write_same << 4 | info->read_only);
}

static void ranges(struct file *fp, uint8_t what, uint64_t at, const struct sc_disk_info *info)
{
    static const unsigned cmds[] = {DKUNMAP, DKZERO, DKZERO_UNMAP};
    uint64_t all = info->blocks * info->block_bytes;
    struct sc_range range = {at * info->block_bytes, (uint64_t)(what >> 2) * info->block_bytes};
    struct sc_extent ext = {.offset = range.offset};
    int error;

    if (what % 4 == 3) {
        error = fp_ioctl(fp, DKEXTENT, (intptr_t)&ext, 0);
        FZ_CHECK(error != 0 || (ext.length > 0 && ext.length % info->block_bytes == 0 && ext.mapped <= 1 &&
                                ext.offset < all && ext.length <= all - ext.offset),
                 "extent of %llu at %llu of %llu", (unsigned long long)ext.length,
                 (unsigned long long)ext.offset, (unsigned long long)all);
        fz_saw(ext.length);
    } else {
        error = fp_ioctl(fp, cmds[what % 4], (intptr_t)&range, 0);
    }
    FZ_SAY("   range %u: errno %d\n", what % 4, error);
    FZ_CHECK(error >= 0 && error < 512, "range: errno %d", error);
    fz_saw((uint64_t)error);
}

/* Where its blocks are is as it says, so contents are not judged: how much, how often, and whose memory. */
struct request {
    struct buf rq_buf; /* first */
    bool rq_out;
};

static unsigned left;

static void request_done(struct buf *bp)
{
    struct request *rq = (struct request *)(void *)bp;

    FZ_CHECK(rq->rq_out && left > 0, "a request completed twice");
    FZ_CHECK(bp->b_resid <= bp->b_bcount, "residual %zu of %zu", bp->b_resid, bp->b_bcount);
    FZ_SAY("   block %lld: errno %d, residual %zu\n", (long long)bp->b_blkno,
           bp->b_flags & B_ERROR ? bp->b_error : 0, bp->b_resid);
    fz_saw((uint64_t)bp->b_resid << 16 | (uint64_t)(bp->b_flags & B_ERROR ? bp->b_error : 0));
    rq->rq_out = false;
    left--;
}

static void requests(uint8_t what, const struct sc_disk_info *info)
{
    static struct request rqs[4];
    size_t bytes = (size_t)(1u + (what >> 2 & 31u)) * 4096u;
    int64_t end = (int64_t)(info->blocks * (info->block_bytes / DEV_BSIZE));

    memset(rqs, 0, sizeof(rqs));
    for (unsigned i = 0; i < 4; i++) {
        struct buf *bp = &rqs[i].rq_buf;
        int64_t where = fz_u8(&dev.in) & ~7;

        if (posix_memalign(&bp->b_un.b_addr, SC_PAGE_SIZE, bytes) != 0)
            abort();
        memset(bp->b_un.b_addr, 0x5a, bytes);
        bp->b_flags = what & 1 ? B_WRITE : B_READ;
        bp->b_dev = FZ_DISK(0);
        bp->b_iodone = request_done;
        bp->b_bcount = bytes;
        bp->b_blkno = what & 2 ? (end & ~INT64_C(7)) - where : where; /* from either end, as it says */
        bp->av_forw = i < 3 ? &rqs[i + 1].rq_buf : NULL;
        rqs[i].rq_out = true;
    }
    left = 4;
    FZ_CHECK(devstrat(&rqs[0].rq_buf) == 0, "devstrat");
    fz_wait(&left);
    for (unsigned i = 0; i < 4; i++)
        free(rqs[i].rq_buf.b_un.b_addr);
}

static void use(struct file *fp)
{
    struct sc_disk_info info;

    for (unsigned i = 0; i < 8 && fz_left(&dev.in) > 0; i++) {
        uint8_t what = fz_u8(&dev.in);

        info_judge(fp, &info);
        switch (what % 8) {
        case 0:
        case 1:
            ranges(fp, fz_u8(&dev.in), fz_u8(&dev.in), &info);
            break;
        case 2:
            sim_disk_attention(fz_world.w_disk[0], 0x2a, 0x09); /* capacity changed */
            break;
        case 3:
            sim_disk_attention(fz_world.w_disk[0], what & 0x40 ? 0x28 : 0x29, 0);
            break;
        case 4:
            (void)sim_disk_resize(fz_world.w_disk[0], 1u + fz_u8(&dev.in) % (FZ_SECTORS / 8));
            break;
        default:
            requests(fz_u8(&dev.in), &info);
            break;
        }
    }
    fz_world_idle(0);
}

static int open_disk(uint8_t how, struct file **fpp)
{
    int error = fp_opendev(FZ_DISK(0), DREAD | (how & 1 ? 0 : DWRITE) | DKERNEL, NULL,
                           how & 2   ? SC_FORCED_OPEN
                           : how & 4 ? SC_SINGLE
                                     : 0,
                           fpp);

    FZ_SAY("open: errno %d\n", error);
    fz_saw((uint64_t)error);
    FZ_CHECK(error >= 0 && error < 512, "open: errno %d", error);
    return error;
}

/* What the disk is when nobody lies: as at first, whatever it said since. */
static void truth(struct sc_disk_info *info, const struct fz_world_config *cfg)
{
    struct sc_disk_info now;
    struct file *fp;
    unsigned sectors_per = cfg->wc_block_bytes / DEV_BSIZE;

    dev.on = false;
    fz_model_spoil(0, 0, FZ_SECTORS, FZ_ANYTHING);
    FZ_CHECK(open_disk(2, &fp) == 0, "a disk that tells the truth does not open");
    info_judge(fp, info);
    FZ_CHECK(info->blocks == sim_disk_blocks(fz_world.w_disk[0]) && info->block_bytes == cfg->wc_block_bytes,
             "%llu blocks of %u", (unsigned long long)info->blocks, info->block_bytes);
    FZ_CHECK(fp_ioctl(fp, DKFLUSH, 0, 0) == 0, "flush of a disk that tells the truth");
    /* And while it is open: another size counts as soon as somebody has heard of it. */
    for (unsigned i = 0; i < 2; i++) {
        uint64_t blocks = info->blocks - (i ? 0 : info->blocks / 4);

        FZ_CHECK(sim_disk_resize(fz_world.w_disk[0], blocks) == 0, "resize");
        FZ_CHECK(fz_plain_read(0, 0, cfg->wc_block_bytes) == 0, "a read after a change of the capacity");
        info_judge(fp, &now);
        FZ_CHECK(now.blocks == blocks, "%llu blocks, told of %llu", (unsigned long long)now.blocks,
                 (unsigned long long)blocks);
    }
    FZ_CHECK(fz_plain_read(0, (unsigned)(info->blocks - 1) * sectors_per, cfg->wc_block_bytes) == 0,
             "the last block of a disk that tells the truth");
    FZ_CHECK(fp_close(fp) == 0, "close of a disk that tells the truth");
}

uint64_t fz_target(const uint8_t *data, size_t bytes)
{
    struct sc_disk_info before, after;
    struct fz_world_config cfg;
    struct file *fp;

    memset(&dev, 0, sizeof(dev));
    dev.in = (struct fz_in){data, data + bytes};
    fz_world_choose(&cfg, fz_u8(&dev.in));
    cfg.wc_hook = &dev_hook;
    fz_world_up(&cfg);
    truth(&before, &cfg);
    for (unsigned i = 0; i < 3 && fz_left(&dev.in) > 0; i++) {
        uint8_t how = fz_u8(&dev.in);

        dev.on = !(how & 8); /* or it begins to lie when it is open */
        if (open_disk(how, &fp) != 0)
            continue;
        dev.on = true;
        use(fp);
        fz_saw((uint64_t)fp_close(fp));
    }
    truth(&after, &cfg);
    /* Its size and the last word on WRITE SAME are what may have changed for good. */
    before.blocks = after.blocks;
    FZ_CHECK(memcmp(&before, &after, sizeof(before)) == 0, "DKINFO is not what it was");
    fz_world_down();
    return fz_digest;
}
