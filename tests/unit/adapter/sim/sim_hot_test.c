/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_hot_test.c - a disk of the simulated bus goes, and another one comes in its place, while threads read:
 * nobody is in a medium that is closed, and what was frozen is undone. Meant to be run under TSan as well.
 */
#include "sim_fixture.h"

#include <adapter/sim/sim_impl.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 6u
#define REGION  64u /* blocks per thread */

static void begin_threads(void)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = THREADS * REGION};
    struct ad_hw_caps caps;
    static const uint8_t sense[6] = {0x03, 0, 0, 0, 18};
    uint8_t buf[18];
    struct fx_cmd c;

    shim_test_begin_posix();
    ck_assert_int_eq(sim_bus_create(&bus, &fx_bus), 0);
    ck_assert_int_eq(sim_hw_ops.attach(fx_bus, (struct ad_adapter *)&fx_bus, &caps), 0);
    disk.sd_id = FX_ID;
    ck_assert_int_eq(sim_medium_ram(disk.sd_blocks * 512, &disk.sd_ops, &disk.sd_medium), 0);
    ck_assert_int_eq(sim_disk_add(fx_bus, &disk), 0);
    fx_disk = sim_disk_find(fx_bus, FX_ID, 0);
    fx_run(&c, sense, 6, FX_IN, buf, sizeof(buf));
}

static void end_threads(void)
{
    sim_hw_ops.detach(fx_bus);
    sim_bus_destroy(fx_bus);
    shim_test_end();
    shim_posix_stop();
}

/* The same as fx_run(), without Check's assertions, which are not made for threads. */
static bool start_io(struct fx_cmd *c, unsigned who, bool write, uint64_t lba, uint32_t blocks, uint8_t *buf,
                     int *said)
{
    struct iovec vec = {buf, blocks * 512u};

    memset(c, 0, sizeof(*c));
    c->cdb[0] = write ? 0x2a : 0x28;
    scsi_put32(c->cdb + 2, (uint32_t)lba);
    scsi_put16(c->cdb + 7, blocks);
    c->map.map_segs = c->segs;
    c->map.map_segs_max = FX_SEGS;
    c->x.xfer_cdb = c->cdb;
    c->x.xfer_cdb_len = 10;
    c->x.xfer_id = FX_ID;
    c->x.xfer_lun = 1;
    c->x.xfer_qmsg = SC_SIMPLE_Q;
    c->x.xfer_flags = AD_XFER_PAST;
    c->x.xfer_tag = (uint16_t)who;
    c->x.xfer_dir = write ? FX_OUT : FX_IN;
    c->x.xfer_map = &c->map;
    c->x.xfer_bytes = vec.iov_len;
    if (shim_dma_map(sim_bus_dev(fx_bus), &vec, 1, c->x.xfer_dir, &c->map) != SHIM_MAP_OK)
        return false;
    *said = sim_hw_ops.start(fx_bus, &c->x);
    return true;
}

static _Atomic unsigned bad, finished;
static _Atomic unsigned slot_done[THREADS];

/* It had to wait for the sense of another one. */
static void slot_finished(struct fx_cmd *c)
{
    atomic_fetch_add_explicit(&slot_done[c->x.xfer_tag], 1, memory_order_release);
}

/* ---------------------------------------------------------------- disks that come and go */

#define CHANGES 300u

/* A medium that knows whether it is closed and who is in it. */
struct guard {
    _Atomic unsigned inside;
    _Atomic bool closed;
};
static struct guard guards[CHANGES + 1];
static _Atomic bool over;

static int guard_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    struct guard *g = m;

    (void)off;
    (void)bytes;
    atomic_fetch_add(&g->inside, 1);
    for (uint32_t i = 0; i < n; i++)
        memset(vec[i].iov_base, 0, vec[i].iov_len);
    if (atomic_load(&g->closed))
        atomic_fetch_add(&bad, 1);
    atomic_fetch_sub(&g->inside, 1);
    return 0;
}

static int guard_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    (void)fua;
    return guard_read(m, off, vec, n, bytes);
}

static void guard_close(void *m)
{
    struct guard *g = m;

    if (atomic_load(&g->inside) != 0 || atomic_exchange(&g->closed, true))
        atomic_fetch_add(&bad, 1);
}

static void guard_add(unsigned i)
{
    static const struct sim_medium_ops ops = {.version = 1,
                                              .size = sizeof(ops),
                                              .name = "guard",
                                              .read = guard_read,
                                              .write = guard_write,
                                              .close = guard_close};
    const struct sim_disk_config disk = {.sd_id = FX_ID,
                                         .sd_lun = 1,
                                         .sd_block_bytes = 512,
                                         .sd_blocks = THREADS * REGION,
                                         .sd_ops = &ops,
                                         .sd_medium = &guards[i]};

    if (sim_disk_add(fx_bus, &disk) != 0)
        atomic_fetch_add(&bad, 1);
}

/* It is there, not there, or new; whatever failed has frozen the LUN, and is undone as the core does. */
static void *reader(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg;
    uint8_t in[4096];

    while (!atomic_load(&over)) {
        struct fx_cmd c;
        int said = AD_HW_PENDING;

        atomic_store(&slot_done[who], 0);
        if (!start_io(&c, who, false, who * REGION, 8, in, &said)) {
            atomic_fetch_add(&bad, 1);
            return NULL;
        }
        while (said == AD_HW_PENDING && atomic_load_explicit(&slot_done[who], memory_order_acquire) == 0)
            sched_yield();
        if (c.x.xfer_result != AD_RES_GOOD && c.x.xfer_result != AD_RES_STATUS &&
            c.x.xfer_result != AD_RES_SELECT_TIMEOUT)
            atomic_fetch_add(&bad, 1);
        if (c.x.xfer_result != AD_RES_GOOD)
            sim_hw_ops.thaw(fx_bus, FX_ID, 1, 1);
        else
            atomic_fetch_add(&finished, 1);
        fx_release(&c);
    }
    return NULL;
}

static void *changer(void *arg)
{
    struct sim_bus *bus = arg;
    const size_t blocks = shim_owner_blocks(0);

    for (unsigned i = 1; i <= CHANGES; i++) {
        unsigned before = atomic_load(&finished);

        /* Now and then somebody has used it. */
        for (unsigned k = 0; k < 100 && i % 4 == 0 && atomic_load(&finished) == before; k++)
            sched_yield();
        sim_disk_remove(bus, sim_disk_find(bus, FX_ID, 1));
        if (!atomic_load(&guards[i - 1].closed))
            atomic_fetch_add(&bad, 1);
        if (i % 3 == 0)
            sched_yield();
        guard_add(i);
        if (shim_owner_blocks(0) != blocks)
            atomic_fetch_add(&bad, 1);
    }
    atomic_store(&over, true);
    return NULL;
}

START_TEST(test_CAM_12_CAM_14_disks_come_and_go_under_load)
{
    pthread_t t[THREADS];

    begin_threads();
    bad = finished = 0;
    fx_on_done = slot_finished;
    atomic_store(&over, false);
    guard_add(0);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, i ? reader : changer, i ? (void *)i : fx_bus), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_gt(finished, 0);
    ck_assert_uint_eq(sim_disk_find(fx_bus, FX_ID, 1)->dk_frozen, 0);
    end_threads();
    ck_assert(atomic_load(&guards[CHANGES].closed));
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("sim_hot");
    TCase *t = tcase_create("threads");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_CAM_12_CAM_14_disks_come_and_go_under_load);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
