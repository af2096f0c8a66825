/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_ioctl.c - the ioctls of the SCSI generic driver and of block devices that tools ask a disk.
 *
 * What only tunes Linux' driver (command queueing, pack ids, debugging) is accepted and has no
 * effect: the tools that set it go on without. Timeout and reserved size are the same for every open
 * of a process.
 *
 * BLKSECTGET counts in blocks of the disk, and at most 255 of them: tools take it for the largest
 * command they may send, and READ(6) ends there.
 *
 * Does not contain: SG_IO (sg_io.c).
 */
#define _GNU_SOURCE
#include "sg_impl.h"

#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/scsiproto.h>

/* Of <scsi/scsi_ioctl.h> and the kernel's scsi.h; the numbers are the interface. */
#define SG_GET_IDLUN      0x5382
#define SG_PROBE_HOST     0x5385
#define SG_GET_BUS_NUMBER 0x5386

static _Atomic int sg_timeout_jiffies = (int)(SG_TIMEOUT_MS / 1000) * SG_JIFFIES_PER_SEC;

bool sg_ioctl_ours(unsigned long cmd)
{
    switch (cmd) {
    case SG_IO:
    case SG_GET_VERSION_NUM:
    case SG_GET_SCSI_ID:
    case SG_GET_TIMEOUT:
    case SG_SET_TIMEOUT:
    case SG_GET_RESERVED_SIZE:
    case SG_SET_RESERVED_SIZE:
    case SG_EMULATED_HOST:
    case SG_GET_SG_TABLESIZE:
    case SG_GET_LOW_DMA:
    case SG_SET_FORCE_LOW_DMA:
    case SG_GET_COMMAND_Q:
    case SG_SET_COMMAND_Q:
    case SG_SET_FORCE_PACK_ID:
    case SG_GET_KEEP_ORPHAN:
    case SG_SET_KEEP_ORPHAN:
    case SG_SET_DEBUG:
    case SG_GET_TRANSFORM:
    case SG_SCSI_RESET:
    case SG_GET_IDLUN:
    case SG_PROBE_HOST:
    case SG_GET_BUS_NUMBER:
    case BLKSECTGET:
    case BLKSSZGET:
    case BLKPBSZGET:
    case BLKGETSIZE:
    case BLKGETSIZE64:
    case BLKROGET:
        return true;
    default:
        return false;
    }
}

static int sg_scsi_id(const struct sg_target *t, struct sg_scsi_id *out)
{
    memset(out, 0, sizeof(*out));
    out->scsi_id = t->tg_info.id;
    out->lun = t->tg_info.lun;
    out->h_cmd_per_lun = (short)t->tg_info.queue_depth;
    out->d_queue_depth = (short)t->tg_info.queue_depth;
    return 0;
}

/* READ CAPACITY(16) alone knows. A disk that does not answer has physical blocks like its logical ones. */
static int sg_physical_bytes(const struct sg_target *t)
{
    struct sg_command cm = {.cm_cdb = {SCSI_SERVICE_ACTION_IN_16, SCSI_SA_READ_CAPACITY_16, [13] = 32},
                            .cm_cdb_bytes = 16,
                            .cm_in = true,
                            .cm_bytes = 32,
                            .cm_timeout_s = SG_TIMEOUT_MS / 1000};
    uint8_t *page = aligned_alloc(SC_PAGE_SIZE, SC_PAGE_SIZE);
    unsigned exponent = 0;

    cm.cm_data = page;
    if (page != NULL && sg_target_send(t, &cm) == 0 && cm.cm_status == SC_GOOD_STATUS &&
        cm.cm_host == SG_HOST_OK && cm.cm_resid <= 16)
        exponent = page[13] & 0x0f;
    free(page);
    return (int)(t->tg_info.block_bytes << exponent);
}

static int sg_ioctl_block(const struct sg_target *t, unsigned long cmd, void *arg)
{
    uint64_t most = sg_target_bytes_max(t) / t->tg_info.block_bytes;
    uint64_t bytes = t->tg_info.blocks * t->tg_info.block_bytes;

    switch (cmd) {
    case BLKSECTGET:
        *(unsigned short *)arg = (unsigned short)(most < SG_BLOCKS_MAX ? most : SG_BLOCKS_MAX);
        return 0;
    case BLKSSZGET:
        *(int *)arg = (int)t->tg_info.block_bytes;
        return 0;
    case BLKPBSZGET:
        *(int *)arg = sg_physical_bytes(t);
        return 0;
    case BLKGETSIZE:
        *(unsigned long *)arg = (unsigned long)(bytes / DEV_BSIZE);
        return 0;
    case BLKGETSIZE64:
        memcpy(arg, &bytes, sizeof(bytes));
        return 0;
    default: /* BLKROGET */
        *(int *)arg = t->tg_info.read_only;
        return 0;
    }
}

/* The questions whose answer is a number, or that set something. */
static int sg_ioctl_number(const struct sg_target *t, unsigned long cmd, int *arg)
{
    switch (cmd) {
    case SG_GET_VERSION_NUM:
        *arg = SG_VERSION_NUM;
        return 0;
    case SG_SET_TIMEOUT:
        if (*arg < 0)
            return -EIO;
        atomic_store_explicit(&sg_timeout_jiffies, *arg, memory_order_relaxed);
        return 0;
    case SG_GET_RESERVED_SIZE:
        *arg = (int)sg_target_bytes_max(t);
        return 0;
    case SG_SET_RESERVED_SIZE:
        return *arg < 0 ? -EINVAL : 0;
    case SG_GET_SG_TABLESIZE:
        *arg = IOV_MAX;
        return 0;
    case SG_GET_COMMAND_Q:
        *arg = 1;
        return 0;
    case SG_SCSI_RESET:
        /* The LUN belongs to the disk driver's file; nobody else may reset it. */
        return *arg == SG_SCSI_RESET_NOTHING ? 0 : -EOPNOTSUPP;
    case SG_GET_IDLUN:
        arg[0] = t->tg_info.id | t->tg_info.lun << 8;
        arg[1] = (int)t->tg_info.adapter_devno;
        return 0;
    case SG_EMULATED_HOST:
    case SG_GET_LOW_DMA:
    case SG_GET_KEEP_ORPHAN:
    case SG_GET_BUS_NUMBER:
        *arg = 0;
        return 0;
    case SG_PROBE_HOST:
        *arg = 0; /* no name in the caller's text buffer, whose length this held */
        return 1;
    default: /* what tunes Linux' driver */
        return 0;
    }
}

int sg_ioctl(const struct sg_target *t, unsigned long cmd, void *arg)
{
    if (cmd == SG_GET_TIMEOUT)
        return atomic_load_explicit(&sg_timeout_jiffies, memory_order_relaxed);
    if (cmd == SG_GET_TRANSFORM)
        return 0;
    if (arg == NULL)
        return -EFAULT;
    switch (cmd) {
    case SG_IO:
        return sg_io(t, arg);
    case SG_GET_SCSI_ID:
        return sg_scsi_id(t, arg);
    case BLKSECTGET:
    case BLKSSZGET:
    case BLKPBSZGET:
    case BLKGETSIZE:
    case BLKGETSIZE64:
    case BLKROGET:
        return sg_ioctl_block(t, cmd, arg);
    default:
        return sg_ioctl_number(t, cmd, arg);
    }
}
