/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile_fuzz.c - a device that lies: the disk driver against random INQUIRY, VPD, MODE SENSE,
 * READ CAPACITY and sense bytes, random statuses and random residuals.
 *
 * A chip that passes every command to the simulated bus and then spoils the answer sits between
 * the adapter core and the bus. On the deterministic host, so that retries and timeouts cost
 * nothing. The driver may refuse to open or fail any request; it may not crash, hang, leak, read
 * beyond what it asked for, or finish a request more than once.
 *
 *   hostile_fuzz [--seed N] [--seconds N]      the seed used is printed
 *
 * Does not contain: checks of what the driver concludes; the unit tests of dd_sense.c and
 * dd_life.c have those.
 */
#define _GNU_SOURCE
#define FUZZ_NAME "hostile_fuzz"
#include "fuzz.h"

#include <scpair/shim.h>
#include <sys/kservices.h>
#include <sys/scdisk.h>
#include <sys/scsiproto.h>

#include "adapter/sim/sim.h"

#define BLOCKS        2048u
#define ADAPTER_DEVNO SC_MAKEDEV(1, 0)
#define DISK_DEVNO    SC_MAKEDEV(2, 0)
#define REQUESTS      12

static uint64_t rounds, opened, lies;
static unsigned lie_percent, status_percent;

/* ---------------------------------------------------------------- the lying chip */

/* The bytes of the data phase in order, through the simulated bus's identity mapping. */
static uint8_t *data_byte(const struct ad_xfer *x, uint64_t at)
{
    for (uint32_t i = 0; i < x->xfer_map->map_nsegs; i++) {
        const struct shim_seg *seg = &x->xfer_map->map_segs[i];

        if (at < seg->seg_bytes)
            return (uint8_t *)(uintptr_t)(seg->seg_addr + at);
        at -= seg->seg_bytes;
    }
    return NULL;
}

static void lie_about_data(struct ad_xfer *x)
{
    static const uint8_t favourites[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 0x70, 0x71, 0x72, 0x73};
    unsigned how = (unsigned)(rnd() % 4), n;

    if (x->xfer_map->map_nsegs == 0 || x->xfer_bytes == 0)
        return;
    lies++;
    n = how == 0 ? (unsigned)x->xfer_bytes : 1 + (unsigned)(rnd() % 4);
    for (unsigned i = 0; i < n; i++) {
        /* Mostly the head of the answer, where lengths and formats are. */
        uint64_t at = how == 0 ? i : rnd() % 3 ? rnd() % 20 : rnd() % x->xfer_bytes;

        if (at < x->xfer_bytes)
            *data_byte(x, at) = how == 2 ? favourites[rnd() % sizeof(favourites)] : (uint8_t)rnd();
    }
    if (how == 3)
        x->xfer_resid = rnd() % (x->xfer_bytes + 1);
}

static bool is_medium_command(uint8_t op)
{
    switch (op) {
    case SCSI_READ_6:
    case SCSI_READ_10:
    case SCSI_READ_12:
    case SCSI_READ_16:
        return true;
    default:
        return false;
    }
}

static int liar_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    return sim_hw_ops.attach(hw, ad, caps);
}
static void liar_detach(void *hw) { sim_hw_ops.detach(hw); }
static void liar_abort(void *hw, struct ad_xfer *x) { sim_hw_ops.abort(hw, x); }
static int liar_reset_target(void *hw, unsigned id) { return sim_hw_ops.reset_target(hw, id); }
static int liar_reset_bus(void *hw) { return sim_hw_ops.reset_bus(hw); }

static int liar_start(void *hw, struct ad_xfer *x)
{
    static const uint8_t statuses[] = {SC_CHECK_CONDITION,
                                       SC_CHECK_CONDITION,
                                       SC_BUSY_STATUS,
                                       SC_QUEUE_FULL,
                                       SC_RESERVATION_CONFLICT,
                                       SC_COMMAND_TERMINATED,
                                       0x04,
                                       0x30,
                                       0x77};
    int said;

    x->xfer_flags |=
        AD_XFER_PAST; /* this chip has no freeze: what the bus beneath does of itself is not to matter */
    said = sim_hw_ops.start(hw, x);
    if (said != AD_HW_DONE)
        return said;
    if (x->xfer_dir == SHIM_DIR_FROM_DEVICE && !is_medium_command(x->xfer_cdb[0]) &&
        rnd() % 100 < lie_percent)
        lie_about_data(x);
    if (rnd() % 100 < status_percent) {
        x->xfer_result = (uint8_t)(rnd() % 4 ? AD_RES_STATUS : rnd() % AD_RES_ABORTED);
        x->xfer_scsi_status = x->xfer_result == AD_RES_STATUS ? statuses[rnd() % sizeof(statuses)] : 0;
        x->xfer_resid = x->xfer_bytes ? rnd() % (x->xfer_bytes + 1) : 0;
    }
    return said;
}

static const struct ad_hw_ops liar_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "liar",
    .attach = liar_attach,
    .detach = liar_detach,
    .start = liar_start,
    .abort = liar_abort,
    .reset_target = liar_reset_target,
    .reset_bus = liar_reset_bus,
};

/* ---------------------------------------------------------------- one round */

static unsigned left;

static void request_done(struct buf *bp)
{
    MUST(left > 0, "a request completed twice");
    MUST(bp->b_resid <= bp->b_bcount, "residual %zu of %zu", bp->b_resid, bp->b_bcount);
    left--;
}

static void use(struct file *fp)
{
    static _Alignas(SC_PAGE_SIZE) uint8_t memory[REQUESTS * SC_PAGE_SIZE];
    static struct buf bufs[REQUESTS];
    static struct sc_disk_info info;
    struct sc_range range = {0, 4096};

    if (fp_ioctl(fp, DKINFO, (intptr_t)&info, 0) == 0) {
        MUST(info.vendor[8] == 0 && info.product[16] == 0 && info.revision[4] == 0 && info.serial[32] == 0,
             "a string of DKINFO is not terminated");
        MUST(info.device_id_bytes <= sizeof(info.device_id), "device id of %u bytes", info.device_id_bytes);
        MUST(info.blocks > 0 && info.block_bytes >= 512 && info.block_bytes <= 4096 &&
                 (info.block_bytes & (info.block_bytes - 1)) == 0,
             "opened with %llu blocks of %u", (unsigned long long)info.blocks, info.block_bytes);
    }
    memset(bufs, 0, sizeof(bufs));
    left = REQUESTS;
    for (unsigned i = 0; i < REQUESTS; i++) {
        bufs[i].b_flags = i & 1 ? B_WRITE : B_READ;
        bufs[i].b_dev = DISK_DEVNO;
        bufs[i].b_iodone = request_done;
        bufs[i].b_un.b_addr = memory + i * SC_PAGE_SIZE;
        bufs[i].b_bcount = SC_PAGE_SIZE;
        bufs[i].b_blkno = (int64_t)(rnd() % 64) * 8;
        bufs[i].av_forw = i + 1 < REQUESTS ? &bufs[i + 1] : NULL;
    }
    MUST(devstrat(&bufs[0]) == 0, "devstrat");
    while (left > 0)
        MUST(shim_det_step(), "lost: %u requests and no timer armed", left);
    (void)fp_ioctl(fp, DKFLUSH, 0, 0);
    (void)fp_ioctl(fp, DKZERO, (intptr_t)&range, 0);
    (void)fp_ioctl(fp, DKUNMAP, (intptr_t)&range, 0);
}

static void round_of(void)
{
    struct sim_bus_config bus_cfg = {.sb_adapter_id = 7};
    struct sim_disk_config disk_cfg = {.sd_block_bytes = rnd() & 1 ? 512 : 4096, .sd_blocks = BLOCKS};
    struct scdisk_dds dds = {.adapter_devno = ADAPTER_DEVNO, .queue_depth = (uint16_t)(1 + rnd() % 16)};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};
    struct ad_config cfg = {.cfg_ops = &liar_ops};
    struct sim_bus *bus;
    struct file *fp;

    shim_checks_set(true);
    MUST(shim_init(shim_det_host(seed)) == 0 && kern_init() == 0, "start");
    memcpy(dds.name, "hdisk0", 7);
    bus_cfg.sb_clears_queue = rnd() & 1;
    MUST(sim_bus_create(&bus_cfg, &bus) == 0, "bus");
    MUST(sim_medium_ram((uint64_t)BLOCKS * disk_cfg.sd_block_bytes, &disk_cfg.sd_ops, &disk_cfg.sd_medium) ==
             0,
         "medium");
    MUST(sim_disk_add(bus, &disk_cfg) == 0, "disk");
    cfg.cfg_hw = bus;
    cfg.cfg_dev = sim_bus_dev(bus);
    lie_percent = status_percent = 0;
    MUST(ad_attach(ADAPTER_DEVNO, &cfg) == 0, "attach");
    MUST(scdisk_config(DISK_DEVNO, CFG_INIT, &uio) == 0, "configure");
    for (int i = 0; i < 4; i++) {
        lie_percent = (unsigned)(rnd() % 3 ? rnd() % 60 : 0);
        status_percent = (unsigned)(rnd() % 3 == 0 ? rnd() % 30 : 0);
        if (fp_opendev(DISK_DEVNO, DREAD | DWRITE | DKERNEL, NULL, rnd() % 4 == 0 ? SC_FORCED_OPEN : 0,
                       &fp) == 0) {
            opened++;
            use(fp);
            (void)fp_close(fp);
        }
    }
    MUST(scdisk_config(DISK_DEVNO, CFG_TERM, NULL) == 0, "CFG_TERM after everything is closed");
    MUST(ad_detach(ADAPTER_DEVNO) == 0, "detach after everything is closed");
    sim_bus_destroy(bus);
    kern_fini();
    MUST(shim_fini() == 0, "leak");
    rounds++;
}

int main(int argc, char **argv)
{
    fuzz_run(argc, argv, round_of);
    printf("hostile_fuzz: %llu rounds, %llu opens, %llu lies, last seed %llu\n", (unsigned long long)rounds,
           (unsigned long long)opened, (unsigned long long)lies, (unsigned long long)seed);
    return 0;
}
