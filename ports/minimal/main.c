/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - a kernel's main program with the pair in it: passes the conformance kit, then reads and
 * writes a disk through the strategy routine and through the driver's read and write.
 *
 * The steps of docs/porting.md in their order. The disk is a simulated one in memory: its chip back
 * end runs on the port's own device half, as a real chip's would. No C library, no threads, no
 * timers, no interrupts.
 *
 * Does not contain: the port (port.c), the machine (machine_linux.c).
 */
#include "machine.h"
#include "port.h"

#include <adapter/sim/sim.h>
#include <conformance/kit/kit.h>
#include <sys/kservices.h>
#include <sys/scdisk.h>

#define ADAPTER    SC_MAKEDEV(1, 0)
#define DISK       SC_MAKEDEV(2, 0)
#define DISK_BYTES (1u << 20)
#define CHAIN_BUFS 8u

#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            say(NULL, "FAIL " #cond);                                                                        \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static _Alignas(SC_PAGE_SIZE) uint8_t area[CHAIN_BUFS * SC_PAGE_SIZE];
static struct shim_dev dev = {.dev_ops = &port_dev_ops};

static void say(void *arg, const char *line)
{
    (void)arg;
    machine_print(line);
}

static int run_kit(void)
{
    const struct kit_config config = {.kc_host = &port_host,
                                      .kc_dev = &dev,
                                      .kc_dma = area,
                                      .kc_dma_bytes = sizeof(area),
                                      .kc_memory_bytes = MACHINE_MEMORY_BYTES / 4,
                                      .kc_say = say};
    struct kit_result result;

    return kit_run(&config, NULL, &result) ? 0 : 1;
}

/* ---------------------------------------------------------------- putting the pair together */

static struct sim_bus *bus;

static int pair_start(void)
{
    struct sim_bus_config bus_config = {.sb_adapter_id = 7, .sb_transfer_bytes_max = SC_MAXREQUEST};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = DISK_BYTES / 512};
    struct scdisk_dds dds = {.adapter_devno = ADAPTER, .queue_depth = 4, .name = "hdisk0"};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};
    struct ad_config ad = {.cfg_ops = &sim_hw_ops, .cfg_dev = &dev, .cfg_no_gather = true};

    MUST(shim_init(&port_host) == 0);
    MUST(kern_init() == 0);
    MUST(sim_bus_create(&bus_config, &bus) == 0);
    MUST(sim_medium_ram(DISK_BYTES, &disk.sd_ops, &disk.sd_medium) == 0);
    MUST(sim_disk_add(bus, &disk) == 0);
    ad.cfg_hw = bus;
    MUST(ad_attach(ADAPTER, &ad) == 0);
    MUST(scdisk_config(DISK, CFG_INIT, &uio) == 0);
    return 0;
}

static int pair_stop(void)
{
    MUST(scdisk_config(DISK, CFG_TERM, NULL) == 0);
    MUST(ad_detach(ADAPTER) == 0);
    sim_bus_destroy(bus);
    kern_fini();
    MUST(shim_fini() == 0);
    return 0;
}

/* ---------------------------------------------------------------- using it */

static void fill(uint8_t seed)
{
    for (size_t i = 0; i < sizeof(area); i++)
        area[i] = (uint8_t)(i * 7 + i / 512 + seed);
}

static int is_filled(size_t bytes, uint8_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        if (area[i] != (uint8_t)(i * 7 + i / 512 + seed))
            return 0;
    return 1;
}

/* A chain of one-page requests from block 64 on: one spanned command. */
static int try_strategy(unsigned direction)
{
    struct buf bufs[CHAIN_BUFS];

    memset(bufs, 0, sizeof(bufs));
    for (unsigned i = 0; i < CHAIN_BUFS; i++) {
        bufs[i].b_flags = direction;
        bufs[i].b_dev = DISK;
        bufs[i].b_iodone = iodone_wakeup;
        bufs[i].b_un.b_addr = area + i * SC_PAGE_SIZE;
        bufs[i].b_bcount = SC_PAGE_SIZE;
        bufs[i].b_blkno = 64 + (int64_t)(i * (SC_PAGE_SIZE / DEV_BSIZE));
        bufs[i].av_forw = i + 1 < CHAIN_BUFS ? &bufs[i + 1] : NULL;
    }
    MUST(devstrat(&bufs[0]) == 0);
    for (unsigned i = 0; i < CHAIN_BUFS; i++) {
        MUST(iowait(&bufs[i]) == 0);
        MUST(bufs[i].b_resid == 0);
    }
    return 0;
}

/* One raw request of 1,536 bytes at block 200. */
static int try_raw(struct file *fp, enum uio_rw rw)
{
    struct iovec vec = {area, 1536};
    struct uio uio = {.uio_iov = &vec,
                      .uio_iovcnt = 1,
                      .uio_resid = 1536,
                      .uio_offset = 200 * DEV_BSIZE,
                      .uio_segflg = UIO_SYSSPACE};

    MUST(fp_rwuio(fp, rw, &uio, 0) == 0);
    MUST(uio.uio_resid == 0);
    return 0;
}

/* What the drivers hold, without the disk's blocks. */
static void say_memory(const char *when)
{
    struct shim_account acc;
    char line[128];

    shim_account_get(&acc);
    (void)shim_format(line, sizeof(line),
                      "memory %s: kernel services %u, disk driver %u, adapter driver %u bytes", when,
                      (unsigned)acc.acc_bytes[SHIM_TAG_KERN], (unsigned)acc.acc_bytes[SHIM_TAG_DD],
                      (unsigned)acc.acc_bytes[SHIM_TAG_AD]);
    say(NULL, line);
}

static int use_pair(void)
{
    struct sc_disk_stats stats;
    struct file *fp;

    say_memory("configured");
    MUST(fp_opendev(DISK, DREAD | DWRITE | DKERNEL, NULL, 0, &fp) == 0);
    say_memory("open");
    fill(1);
    MUST(try_strategy(B_WRITE) == 0);
    fill(2);
    MUST(try_raw(fp, UIO_WRITE) == 0);
    memset(area, 0, sizeof(area));
    MUST(try_strategy(B_READ) == 0);
    MUST(is_filled(sizeof(area), 1));
    memset(area, 0, sizeof(area));
    MUST(try_raw(fp, UIO_READ) == 0);
    MUST(is_filled(1536, 2));
    MUST(fp_ioctl(fp, DKSTATS, (intptr_t)&stats, 0) == 0);
    MUST(stats.spanned_commands == 2 && stats.spanned_bufs == 2 * CHAIN_BUFS);
    MUST(fp_close(fp) == 0);
    say(NULL, "strategy: 8 requests of a page in one command, written and read back");
    say(NULL, "read, write: 1536 bytes, written and read back");
    return 0;
}

int minimal_main(void);

int minimal_main(void)
{
    MUST(run_kit() == 0);
    MUST(pair_start() == 0);
    MUST(use_pair() == 0);
    MUST(pair_stop() == 0);
    say(NULL, "ok");
    return 0;
}
