/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fz_world.c - the pair around each input: services, a bus with small disks, adapter, disk driver; and what
 * must hold when nothing is under way.
 *
 * Small on purpose: two disks of 128 KiB and transfers of 64 KiB, so that an input costs some hundred
 * microseconds, most of it memory that is zeroed.
 */
#include "fz.h"

#include <string.h>

#include "adapter/ad_impl.h"
#include "devdrv/dd_impl.h"

struct fz_world fz_world;

static struct shim_host fz_host;

/* A device that lies makes the drivers talk. Nobody reads it a million times. */
static void fz_log(int level, const char *text)
{
    (void)level;
    FZ_SAY("   log: %s\n", text);
}

void fz_world_choose(struct fz_world_config *cfg, uint8_t byte)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->wc_disks = 1;
    cfg->wc_block_bytes = byte & 0x01 ? 4096 : 512;
    cfg->wc_clears_queue = (byte & 0x02) != 0;
    cfg->wc_no_tags = (byte & 0x04) != 0;
    cfg->wc_removable = (byte & 0x08) != 0;
    cfg->wc_no_gather = (byte & 0x10) != 0;
    cfg->wc_queue = byte & 0x20 ? 2 : 8;
    cfg->wc_no_reserve = (byte & 0x40) != 0;
}

static void world_disk(const struct fz_world_config *cfg, unsigned i)
{
    struct sim_disk_config disk = {.sd_id = (uint8_t)i,
                                   .sd_block_bytes = cfg->wc_block_bytes,
                                   .sd_blocks = FZ_SECTORS * DEV_BSIZE / cfg->wc_block_bytes,
                                   .sd_no_tags = cfg->wc_no_tags,
                                   .sd_removable = cfg->wc_removable,
                                   .sd_latency_ns = cfg->wc_latency_ns};
    struct scdisk_dds dds = {.adapter_devno = FZ_ADAPTER,
                             .scsi_id = (uint8_t)i,
                             .queue_depth = cfg->wc_queue,
                             .no_reserve = cfg->wc_no_reserve};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};

    memcpy(dds.name, i ? "hdisk1" : "hdisk0", 7);
    FZ_CHECK(sim_medium_ram((uint64_t)FZ_SECTORS * DEV_BSIZE, &disk.sd_ops, &disk.sd_medium) == 0, "medium");
    FZ_CHECK(sim_disk_add(fz_world.w_bus, &disk) == 0, "disk %u", i);
    fz_world.w_disk[i] = sim_disk_find(fz_world.w_bus, i, 0);
    FZ_CHECK(scdisk_config(FZ_DISK(i), CFG_INIT, &uio) == 0, "configuring disk %u", i);
}

void fz_world_up(const struct fz_world_config *cfg)
{
    struct sim_bus_config bus = {
        .sb_adapter_id = 7, .sb_transfer_bytes_max = SC_MAXREQUEST, .sb_clears_queue = cfg->wc_clears_queue};
    struct ad_config ad = {.cfg_ops = cfg->wc_hook ? &fz_chip_ops : &sim_hw_ops,
                           .cfg_commands_max = cfg->wc_commands_max,
                           .cfg_no_gather = cfg->wc_no_gather};

    fz_digest = UINT64_C(0xcbf29ce484222325);
    shim_checks_set(true);
    fz_host = *shim_det_host(1);
    fz_host.log = fz_log;
    shim_det_tunable_set("ad_openings", 8);
    FZ_CHECK(shim_init(&fz_host) == 0 && kern_init() == 0, "start");
    FZ_CHECK(sim_bus_create(&bus, &fz_world.w_bus) == 0, "bus");
    ad.cfg_hw = fz_world.w_bus;
    ad.cfg_dev = sim_bus_dev(fz_world.w_bus);
    fz_chip_set(NULL);
    FZ_CHECK(ad_attach(FZ_ADAPTER, &ad) == 0, "attach");
    fz_world.w_disks = cfg->wc_disks;
    fz_world.w_block_bytes = cfg->wc_block_bytes;
    for (unsigned i = 0; i < cfg->wc_disks; i++)
        world_disk(cfg, i);
    fz_chip_set(cfg->wc_hook);
    fz_model_reset();
}

/* The pool of a disk that does nothing: each structure free, and on the list once. */
static void world_pool(const struct dd_unit *un)
{
    unsigned n = 0, frags = 0;

    for (const struct dd_cmd *cmd = un->un_free; cmd; cmd = cmd->cmd_next) {
        FZ_CHECK(cmd->cmd_state == DD_CMD_FREE, "a free command is in state %u", cmd->cmd_state);
        FZ_CHECK(++n <= un->un_pool_total, "the free list is a ring");
    }
    FZ_CHECK(n == un->un_pool_total, "%u of %u commands are free", n, un->un_pool_total);
    for (const struct dd_frag *f = un->un_frag_free; f && frags <= un->un_dds.queue_depth + 1u;
         f = f->frag_next)
        frags++;
    FZ_CHECK(frags == un->un_dds.queue_depth + 1u, "%u of %u fragment records are free", frags,
             un->un_dds.queue_depth + 1u);
}

void fz_world_idle(unsigned disk)
{
    struct dd_unit *un = dd_unit_of(FZ_DISK(disk));
    const struct sc_disk_stats *st = &un->un_stats;
    struct ad_adapter *adp = ad_find(FZ_ADAPTER);
    struct sc_adapter_stats ad;

    /* What is being recovered is not idle yet, and what has been answered may be. */
    for (unsigned i = 0; i < FZ_STEPS && (un->un_active || un->un_rec.rec_state != DD_REC_NONE); i++)
        if (!shim_det_step())
            break;
    FZ_CHECK(un->un_active == 0 && un->un_rec.rec_state == DD_REC_NONE,
             "idle, with %u commands out and recovery in state %d", un->un_active, (int)un->un_rec.rec_state);
    FZ_CHECK(!un->un_inp_head && !un->un_resend && !un->un_pending.ch_head && !un->un_frag_busy &&
                 !un->un_resp.ch_head,
             "idle, with something in a queue");
    FZ_CHECK(st->pending == 0 && st->in_process == 0 && st->recovering == 0 && st->responses_queued == 0,
             "idle, and %llu pending, %llu in process, %llu recovering", (unsigned long long)st->pending,
             (unsigned long long)st->in_process, (unsigned long long)st->recovering);
    FZ_CHECK(st->bufs == st->completed, "%llu accepted, %llu completed", (unsigned long long)st->bufs,
             (unsigned long long)st->completed);
    FZ_CHECK(st->errors <= st->completed, "more errors than requests");
    FZ_CHECK(un->un_depth >= 1 && un->un_depth <= un->un_depth_max, "depth %u of %u", un->un_depth,
             un->un_depth_max);
    world_pool(un);
    ad_stats_get(adp, &ad);
    FZ_CHECK(ad.commands == ad.completed && ad.responses_pending == 0, "the adapter sent %llu and got %llu",
             (unsigned long long)ad.commands, (unsigned long long)ad.completed);
    FZ_CHECK(ad.credits_free == ad.credits, "%u of %u credits are free", ad.credits_free, ad.credits);
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);
        const char *broken = lun ? ad_lun_check(lun) : NULL;

        FZ_CHECK(broken == NULL, "LUN %u: %s", i, broken);
    }
}

void fz_wait(const unsigned *left)
{
    uint64_t end = shim_now_ns() + FZ_HOURS_NS;

    for (unsigned i = 0; *left > 0; i++) {
        FZ_CHECK(shim_det_step(), "lost: %u requests and no timer armed", *left);
        FZ_CHECK(i < FZ_STEPS && shim_now_ns() < end, "%u requests are not back after %u timers, %llu s",
                 *left, i, (unsigned long long)((shim_now_ns() - (end - FZ_HOURS_NS)) / 1000000000u));
    }
}

void fz_world_down(void)
{
    size_t left;

    FZ_CHECK(fz_out == 0, "%u requests are still out", fz_out);
    fz_chip_set(NULL);
    for (unsigned i = 0; i < fz_world.w_disks; i++)
        FZ_CHECK(scdisk_config(FZ_DISK(i), CFG_TERM, NULL) == 0, "CFG_TERM after everything is closed");
    FZ_CHECK(ad_detach(FZ_ADAPTER) == 0, "detach after everything is closed");
    sim_bus_destroy(fz_world.w_bus);
    kern_fini();
    FZ_CHECK(shim_det_timers() == 0, "%u timers are still armed", shim_det_timers());
    left = shim_fini();
    FZ_CHECK(left == 0, "%zu blocks of memory are left", left);
}
