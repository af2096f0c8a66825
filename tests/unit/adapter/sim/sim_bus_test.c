/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_bus_test.c - the chip table: creating buses and disks, commands that pend (latency, delay,
 * hang), abort, reset, removal, a full chip, a host without timers.
 */
#include "sim_fixture.h"

#define MS 1000000u

static uint8_t data[64][512];
static const uint8_t rd[10] = {0x28, 0, 0, 0, 0, 5, 0, 0, 1}, wr[10] = {0x2a, 0, 0, 0, 0, 5, 0, 0, 1};
static struct fx_cmd cmd[64];

static void begin(uint64_t latency_ns, uint32_t depth, uint32_t commands_max)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7, .sb_commands_max = commands_max};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 4096, .sd_queue_depth = depth};

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    /* The latency comes with a second LUN, so that the fixture's own commands finish at once. */
    disk.sd_latency_ns = latency_ns;
    disk.sd_lun = 1;
    disk.sd_ops = NULL;
    if (latency_ns) {
        fx_add_disk(&disk);
        fx_prepare(&cmd[0], (const uint8_t[6]){0}, 6, FX_IN, NULL, 0);
        cmd[0].x.xfer_lun = 1;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[0].x), AD_HW_PENDING);
        ck_assert(shim_det_step());
        ck_assert_uint_eq(cmd[0].x.xfer_scsi_status, SC_CHECK_CONDITION);
        fx_prepare(&cmd[0], (const uint8_t[6]){0}, 6, FX_IN, NULL, 0);
        cmd[0].x.xfer_lun = 1;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[0].x), AD_HW_PENDING);
        ck_assert(shim_det_step());
        ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_GOOD);
        fx_done_count = 0;
    }
}

static void setup(void) { begin(0, 0, 0); }

/* Start command i; returns what start() said. */
static int start(unsigned i, unsigned lun, bool write)
{
    fx_prepare(&cmd[i], write ? wr : rd, 10, write ? FX_OUT : FX_IN, data[i], 512);
    cmd[i].x.xfer_lun = (uint8_t)lun;
    cmd[i].x.xfer_qmsg = SC_SIMPLE_Q;
    cmd[i].x.xfer_tag = (uint16_t)i;
    return sim_hw_ops.start(fx_bus, &cmd[i].x);
}

static void hang_reads(uint32_t count)
{
    struct sim_fault f = {
        .f_opcode = SIM_OPCODE_READS, .f_lba_last = UINT64_MAX, .f_count = count, .f_action = SIM_FAULT_HANG};

    ck_assert_int_ge(sim_fault_add(fx_disk, &f), 0);
}

/* Release what the tests above left mapped. */
static void release(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fx_release(&cmd[i]);
}

/* ---------------------------------------------------------------- life */

START_TEST(test_bad_disks_are_refused)
{
    struct sim_disk_config ok = {.sd_id = 1, .sd_block_bytes = 512, .sd_blocks = 8}, c;

    ck_assert_int_eq(sim_medium_null(&ok.sd_ops, &ok.sd_medium), 0);
    c = ok;
    c.sd_block_bytes = 7;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c.sd_block_bytes = 8192;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c.sd_block_bytes = 768;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c = ok;
    c.sd_blocks = 0;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c.sd_blocks = UINT64_MAX / 512;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c = ok;
    c.sd_id = 16;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c.sd_id = 1;
    c.sd_lun = 32;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c = ok;
    c.sd_ops = NULL;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EINVAL);
    c = ok;
    c.sd_id = 7;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EEXIST);
    c.sd_id = FX_ID;
    ck_assert_int_eq(sim_disk_add(fx_bus, &c), EEXIST);
    ck_assert_int_eq(sim_disk_add(fx_bus, &ok), 0);
    ck_assert_ptr_nonnull(sim_disk_find(fx_bus, 1, 0));
    ck_assert_ptr_null(sim_disk_find(fx_bus, 1, 1));
    ck_assert_ptr_null(sim_disk_find(fx_bus, 99, 99));
}
END_TEST

/* Every allocation on the way fails once: an error, nothing lost, the caller keeps its medium. */
START_TEST(test_allocation_failures)
{
    struct sim_bus_config cfg = {.sb_adapter_id = 7};
    struct sim_bus *bus = NULL;
    const struct sim_medium_ops *ops;
    void *medium;
    int error = ENOMEM;

    for (uint64_t k = 1; error; k++) {
        ck_assert_uint_lt(k, 50);
        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        error = sim_bus_create(&cfg, &bus);
        ck_assert(error == 0 || error == ENOMEM);
    }
    error = ENOMEM;
    for (uint64_t k = 1; error; k++) {
        ck_assert_uint_lt(k, 50);
        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        error = sim_medium_ram(8 * 512, &ops, &medium);
    }
    error = ENOMEM;
    for (uint64_t k = 1; error; k++) {
        struct sim_disk_config disk = {
            .sd_block_bytes = 512, .sd_blocks = 8, .sd_ops = ops, .sd_medium = medium};

        ck_assert_uint_lt(k, 50);
        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        error = sim_disk_add(bus, &disk);
    }
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    sim_bus_destroy(bus);
}
END_TEST

START_TEST(test_capabilities)
{
    struct sim_bus_config cfg = {.sb_adapter_id = 5,
                                 .sb_clears_queue = true,
                                 .sb_no_tags = true,
                                 .sb_transfer_bytes_max = 131072,
                                 .sb_commands_max = 9};
    struct ad_hw_caps caps;
    struct sim_bus *bus;

    ck_assert_int_eq(sim_bus_create(&cfg, &bus), 0);
    ck_assert_int_eq(sim_hw_ops.attach(bus, NULL, &caps), 0);
    ck_assert_uint_eq(caps.cap_transfer_bytes_max, 131072);
    ck_assert_uint_eq(caps.cap_commands_max, 9);
    ck_assert_uint_eq(caps.cap_tags_max, 0);
    ck_assert_uint_eq(caps.cap_adapter_id, 5);
    ck_assert_uint_eq(caps.cap_ids, 16);
    ck_assert_uint_eq(caps.cap_luns, 32);
    ck_assert(!caps.cap_keeps_queue);
    sim_hw_ops.detach(bus);
    sim_bus_destroy(bus);
}
END_TEST

START_TEST(test_dma_memory_and_limits)
{
    struct shim_dev *dev = sim_bus_dev(fx_bus);
    struct shim_dma_limits limits = {0};
    struct shim_dma_mem m = {0};

    ck_assert_int_eq(dev->dev_ops->open(dev, &limits), 0);
    ck_assert_uint_ge(limits.dl_segs_max, 257);
    ck_assert_int_eq(dev->dev_ops->dma_alloc(dev, 5000, 4096, &m), 0);
    ck_assert_uint_eq((uintptr_t)m.dm_cpu % 4096, 0);
    ck_assert_uint_eq(m.dm_bytes, 5000);
    memset(m.dm_cpu, 1, 5000);
    dev->dev_ops->dma_free(dev, &m);
    dev->dev_ops->close(dev);
}
END_TEST

/* ---------------------------------------------------------------- pending */

START_TEST(test_latency_pends_and_executes_at_the_end)
{
    uint64_t t0;

    begin(2 * MS, 0, 0);
    t0 = shim_now_ns();
    memset(data[0], 0x77, 512);
    ck_assert_int_eq(start(0, 1, true), AD_HW_PENDING);
    memset(data[0], 0x78, 512); /* the medium is written after the latency, so it sees this */
    ck_assert_uint_eq(fx_done_count, 0);
    ck_assert_uint_eq(shim_det_timers(), 1);
    ck_assert(shim_det_step());
    ck_assert_uint_eq(fx_done_count, 1);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_GOOD);
    ck_assert_uint_eq(cmd[0].x.xfer_resid, 0);
    ck_assert_uint_ge(shim_now_ns(), t0 + 2 * MS);
    ck_assert_int_eq(start(1, 1, false), AD_HW_PENDING);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(data[1][511], 0x78);
    ck_assert_uint_eq(shim_det_timers(), 0);
    release(2);
    fx_end();
}
END_TEST

/* Many at once: each comes back exactly once, in the order they were sent; the meter saw them. */
START_TEST(test_AIX_24_many_pending_and_the_depth_meter)
{
    struct sim_disk_stats st;

    begin(MS, 0, 0);
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(start(i, 1, false), AD_HW_PENDING);
    sim_disk_stats_get(fx_disk, &st);
    ck_assert_uint_eq(st.st_active, 50);
    shim_det_run(UINT64_MAX);
    for (unsigned i = 0; i < 50; i++)
        ck_assert_uint_eq(cmd[i].done, 1);
    sim_disk_stats_get(fx_disk, &st);
    ck_assert_uint_eq(st.st_active, 0);
    ck_assert_uint_eq(st.st_active_max, 50);
    release(50);
    fx_end();
}
END_TEST

START_TEST(test_delay_fault_and_order_by_time)
{
    struct sim_fault f = {.f_opcode = 0x28,
                          .f_lba_last = UINT64_MAX,
                          .f_count = 1,
                          .f_action = SIM_FAULT_DELAY,
                          .f_param = 10 * MS};

    sim_fault_add(fx_disk, &f);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    f.f_param = 3 * MS;
    sim_fault_add(fx_disk, &f);
    ck_assert_int_eq(start(1, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(start(2, 0, false), AD_HW_DONE);
    ck_assert(shim_det_step());
    ck_assert_uint_eq(cmd[1].done, 1);
    ck_assert_uint_eq(cmd[0].done, 0);
    ck_assert(shim_det_step());
    ck_assert_uint_eq(cmd[0].done, 1);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_GOOD);
    release(3);
}
END_TEST

START_TEST(test_hang_until_abort)
{
    hang_reads(1);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert_int_eq(start(1, 0, false), AD_HW_DONE);
    sim_hw_ops.abort(fx_bus, &cmd[1].x); /* not there any more: nothing */
    ck_assert_uint_eq(fx_done_count, 0);
    sim_hw_ops.abort(fx_bus, &cmd[0].x);
    ck_assert_uint_eq(cmd[0].done, 1);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_ABORTED);
    ck_assert_uint_eq(cmd[0].x.xfer_resid, 512);
    sim_hw_ops.abort(fx_bus, &cmd[0].x);
    ck_assert_uint_eq(cmd[0].done, 1);
    release(2);
}
END_TEST

START_TEST(test_reset_target_takes_its_commands_back)
{
    struct sim_disk_config other = {.sd_id = 4, .sd_block_bytes = 512, .sd_blocks = 8, .sd_latency_ns = MS};

    ck_assert_int_eq(sim_medium_null(&other.sd_ops, &other.sd_medium), 0);
    ck_assert_int_eq(sim_disk_add(fx_bus, &other), 0);
    hang_reads(0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(start(i, 0, false), AD_HW_PENDING);
    fx_prepare(&cmd[3], (const uint8_t[6]){0x12, 0, 0, 0, 36}, 6, FX_IN, data[3], 36);
    cmd[3].x.xfer_id = 4;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[3].x), AD_HW_PENDING);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, 0), 0); /* nobody there */
    ck_assert_uint_eq(fx_done_count, 0);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(cmd[i].done, 1);
        ck_assert_uint_eq(cmd[i].x.xfer_result, AD_RES_ABORTED);
    }
    ck_assert_uint_eq(cmd[3].done, 0); /* another id */
    ck_assert_uint_eq(fx_event_count, 0);
    ck_assert_uint_eq(fx_sense().ascq, SCSI_ASCQ_DEVICE_RESET);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(cmd[3].done, 1);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, 16), EINVAL);
    /* Nor has the other id anything to say of it: its own arrival, and no more. */
    for (unsigned i = 0; i < 2; i++) {
        fx_release(&cmd[3]);
        fx_prepare(&cmd[3], (const uint8_t[6]){0x03, 0, 0, 0, 18}, 6, FX_IN, data[3], 18);
        cmd[3].x.xfer_id = 4;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[3].x), AD_HW_PENDING);
        shim_det_run(UINT64_MAX);
        ck_assert_uint_eq(data[3][2], i == 0 ? SCSI_KEY_ATTENTION : SCSI_KEY_NO_SENSE);
    }
    release(4);
}
END_TEST

START_TEST(test_reset_bus_takes_everything_back)
{
    hang_reads(0);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(start(1, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(sim_hw_ops.reset_bus(fx_bus), 0);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_BUS_RESET);
    ck_assert_uint_eq(cmd[1].x.xfer_result, AD_RES_BUS_RESET);
    ck_assert_uint_eq(fx_done_count, 2);
    ck_assert_uint_eq(fx_event_count, 1);
    ck_assert_uint_eq(fx_sense().ascq, SCSI_ASCQ_BUS_RESET);
    release(2);
}
END_TEST

/* What hangs heeds the rung it is to heed, and none before. */
START_TEST(test_a_deaf_chip_takes_a_stronger_reset)
{
    for (unsigned deaf = SIM_DEAF_NONE; deaf <= SIM_DEAF_ADAPTER; deaf++) {
        fx_done_count = 0;
        sim_bus_deafen(fx_bus, (enum sim_deaf)deaf, 0);
        hang_reads(0);
        ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
        sim_hw_ops.abort(fx_bus, &cmd[0].x);
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_ABORT);
        ck_assert_int_eq(sim_hw_ops.reset_lun(fx_bus, FX_ID, 1), 0); /* nobody there */
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_ABORT);
        ck_assert_int_eq(sim_hw_ops.reset_lun(fx_bus, FX_ID, 0), 0);
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_LUN);
        ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), 0);
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_TARGET);
        ck_assert_int_eq(sim_hw_ops.reset_bus(fx_bus), 0);
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_BUS);
        ck_assert_int_eq(sim_hw_ops.reset_adapter(fx_bus), deaf < SIM_DEAF_ADAPTER ? 0 : EIO);
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_BUS); /* forgotten, not handed back */
        sim_hw_ops_cut.isolate(fx_bus);
        ck_assert_uint_eq(cmd[0].done, deaf < SIM_DEAF_BUS);
        release(1);
    }
    ck_assert_ptr_null(sim_hw_ops.isolate);
    sim_bus_deafen(fx_bus, SIM_DEAF_NONE, 0);
}
END_TEST

START_TEST(test_a_reset_that_takes_its_time_tells_its_end)
{
    sim_bus_deafen(fx_bus, SIM_DEAF_NONE, MS);
    fx_reset_count = 0;
    hang_reads(0);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), AD_HW_RESETTING);
    ck_assert_uint_eq(cmd[0].done, 0);
    shim_det_run(shim_now_ns() + MS);
    ck_assert_uint_eq(cmd[0].done, 1);
    ck_assert_uint_eq(fx_reset_count, 1);
    ck_assert_int_eq(fx_reset_last, AD_RESET_TARGET);
    ck_assert_int_eq(fx_reset_error, 0);
    sim_bus_deafen(fx_bus, SIM_DEAF_ADAPTER, MS);
    ck_assert_int_eq(sim_hw_ops.reset_adapter(fx_bus), AD_HW_RESETTING);
    shim_det_run(shim_now_ns() + MS);
    ck_assert_uint_eq(fx_reset_count, 2);
    ck_assert_int_eq(fx_reset_error, EIO);
    sim_bus_deafen(fx_bus, SIM_DEAF_NONE, 0);
    release(1);
}
END_TEST

static int anew_said;
static void reset_inside(struct fx_cmd *c)
{
    (void)c;
    anew_said = sim_hw_ops.reset_adapter(fx_bus);
    ck_assert_uint_eq(fx_reset_count, 0);
}

/* The adapter is reset while a thread tells the core of a command: it has not ended before he is out. */
START_TEST(test_an_adapter_reset_waits_for_who_is_inside_the_core)
{
    fx_reset_count = 0;
    hang_reads(0);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(start(1, 0, false), AD_HW_PENDING);
    fx_on_done = reset_inside;
    sim_hw_ops.abort(fx_bus, &cmd[0].x);
    fx_on_done = NULL;
    ck_assert_int_eq(anew_said, AD_HW_RESETTING);
    ck_assert_uint_eq(fx_reset_count, 1);
    ck_assert_int_eq(fx_reset_last, AD_RESET_ADAPTER);
    ck_assert_uint_eq(cmd[1].done, 0);
    release(2);
}
END_TEST

/* Detaching ends what would never end. */
START_TEST(test_detach_with_a_hung_command)
{
    setup();
    hang_reads(0);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    sim_hw_ops.detach(fx_bus);
    ck_assert_uint_eq(cmd[0].done, 1);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_ABORTED);
    release(1);
    sim_bus_destroy(fx_bus);
    shim_test_end();
}
END_TEST

/* A callback that starts the next command, from inside an abort and from inside the timer. */
static unsigned restarts;
static void restart_on_done(struct fx_cmd *c)
{
    unsigned i = (unsigned)(c - cmd);

    fx_release(c);
    if (restarts++ < 20)
        ck_assert_int_eq(start(i, 1, false), AD_HW_PENDING);
}

START_TEST(test_starting_again_from_the_callback)
{
    begin(MS, 0, 0);
    restarts = 0;
    fx_on_done = restart_on_done;
    ck_assert_int_eq(start(0, 1, false), AD_HW_PENDING);
    sim_hw_ops.abort(fx_bus, &cmd[0].x);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(restarts, 21);
    fx_end();
}
END_TEST

START_TEST(test_full_chip_is_busy_and_kicks)
{
    begin(MS, 0, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(start(i, 1, false), AD_HW_PENDING);
    ck_assert_int_eq(start(4, 1, false), AD_HW_BUSY);
    ck_assert_uint_eq(fx_kick_count, 0);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(fx_kick_count, 1);
    ck_assert_uint_eq(cmd[4].done, 0); /* it never was the chip's */
    ck_assert_uint_eq(fx_done_count, 4);
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[4].x), AD_HW_PENDING);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(cmd[4].done, 1);
    ck_assert_uint_eq(fx_kick_count, 1); /* once for being full once */
    release(5);
    fx_end();
}
END_TEST

START_TEST(test_task_set_full)
{
    struct sim_disk_stats st;

    begin(0, 2, 0);
    hang_reads(2);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(start(1, 0, false), AD_HW_PENDING);
    ck_assert_int_eq(start(2, 0, false), AD_HW_DONE);
    ck_assert_uint_eq(cmd[2].x.xfer_scsi_status, SC_QUEUE_FULL);
    fx_prepare(&cmd[3], rd, 10, FX_IN, data[3], 512);
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[3].x), AD_HW_DONE);
    ck_assert_uint_eq(cmd[3].x.xfer_scsi_status, SC_BUSY_STATUS); /* untagged */
    sim_hw_ops.abort(fx_bus, &cmd[0].x);
    fx_release(&cmd[2]);
    ck_assert_int_eq(start(2, 0, false), AD_HW_DONE);
    ck_assert_uint_eq(cmd[2].x.xfer_result, AD_RES_GOOD);
    sim_hw_ops.abort(fx_bus, &cmd[1].x);
    sim_disk_stats_get(fx_disk, &st);
    ck_assert_uint_eq(st.st_active, 0);
    release(4);
    fx_end();
}
END_TEST

/* No timer to be had: the command runs at once instead of never; later ones are not stuck either. */
START_TEST(test_no_timer)
{
    begin(MS, 0, 0);
    shim_fail_set(SHIM_FAIL_TIMER, 1, false);
    ck_assert_int_eq(start(0, 1, false), AD_HW_DONE);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_GOOD);
    ck_assert_int_eq(start(1, 1, false), AD_HW_PENDING);
    shim_delay_ns(1000);
    ck_assert_int_eq(start(2, 1, false), AD_HW_PENDING);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    ck_assert(shim_det_step()); /* fires for 1 and cannot arm for 2: both come back */
    ck_assert_uint_eq(cmd[1].done, 1);
    ck_assert_uint_eq(cmd[2].done, 1);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    release(3);
    fx_end();
}
END_TEST

/* ---------------------------------------------------------------- removal, watching */

START_TEST(test_remove_and_replace)
{
    struct sim_disk_config again = {.sd_block_bytes = 512, .sd_blocks = 16};

    hang_reads(0);
    ck_assert_int_eq(start(0, 0, false), AD_HW_PENDING);
    sim_disk_remove(fx_bus, fx_disk);
    ck_assert_uint_eq(cmd[0].done, 1);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_SELECT_TIMEOUT);
    ck_assert_ptr_null(sim_disk_find(fx_bus, FX_ID, 0));
    fx_release(&cmd[0]);
    ck_assert_int_eq(start(0, 0, false), AD_HW_DONE);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_SELECT_TIMEOUT);
    fx_add_disk(&again); /* with its power-on attention */
    fx_release(&cmd[0]);
    ck_assert_int_eq(start(0, 0, false), AD_HW_DONE);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_GOOD);
    release(1);
}
END_TEST

static unsigned watched;
static void watch(void *arg, const struct ad_xfer *xfer)
{
    ck_assert_ptr_eq(arg, &watched);
    ck_assert_uint_eq(xfer->xfer_cdb[0], 0x28);
    watched++;
}

START_TEST(test_watch_sees_every_command_once)
{
    watched = 0;
    sim_disk_watch(fx_disk, watch, &watched);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(start(i, 0, false), AD_HW_DONE);
        ck_assert_uint_eq(watched, i + 1);
    }
    sim_disk_watch(fx_disk, NULL, NULL);
    fx_release(&cmd[0]);
    ck_assert_int_eq(start(0, 0, false), AD_HW_DONE);
    ck_assert_uint_eq(watched, 5);
    release(5);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_bus");
    TCase *t = tcase_create("usual disk"), *own = tcase_create("own disk");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_bad_disks_are_refused);
    tcase_add_test(t, test_allocation_failures);
    tcase_add_test(t, test_capabilities);
    tcase_add_test(t, test_dma_memory_and_limits);
    tcase_add_test(t, test_delay_fault_and_order_by_time);
    tcase_add_test(t, test_hang_until_abort);
    tcase_add_test(t, test_reset_target_takes_its_commands_back);
    tcase_add_test(t, test_reset_bus_takes_everything_back);
    tcase_add_test(t, test_a_deaf_chip_takes_a_stronger_reset);
    tcase_add_test(t, test_a_reset_that_takes_its_time_tells_its_end);
    tcase_add_test(t, test_an_adapter_reset_waits_for_who_is_inside_the_core);
    tcase_add_test(t, test_remove_and_replace);
    tcase_add_test(t, test_watch_sees_every_command_once);
    suite_add_tcase(s, t);
    tcase_add_test(own, test_latency_pends_and_executes_at_the_end);
    tcase_add_test(own, test_AIX_24_many_pending_and_the_depth_meter);
    tcase_add_test(own, test_detach_with_a_hung_command);
    tcase_add_test(own, test_starting_again_from_the_callback);
    tcase_add_test(own, test_full_chip_is_busy_and_kicks);
    tcase_add_test(own, test_task_set_full);
    tcase_add_test(own, test_no_timer);
    suite_add_tcase(s, own);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
