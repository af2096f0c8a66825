/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_batch_test.c - the simulated chip in batches: nothing is at its disk before flush(), and what has ended
 * comes back in lists, in order; freezes, aborts and resets find what is held, sent, or at its disk.
 */
#include "sim_fixture.h"

#include <adapter/sim/sim_impl.h>

static struct fx_cmd cmd[60];
static uint8_t data[60][512];
static unsigned order[60], ended;
static const struct ad_hw_ops *ops;

static void note_end(struct fx_cmd *c)
{
    order[ended++] = c->x.xfer_tag;
    fx_release(c);
}

static void setup(enum sim_pend pend, uint64_t latency_ns)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 1000, .sd_latency_ns = latency_ns};

    fx_begin_bus(&bus, 1);
    disk.sd_latency_ns = 0;
    fx_add_disk(&disk);
    fx_disk->dk_latency_ns = latency_ns;
    fx_bus->bus_pend = (uint8_t)pend; /* the fixture's own commands end inside start() */
    ops = sim_bus_ops(fx_bus, false);
    ended = fx_list_count = 0;
    fx_on_done = note_end;
}

static int put(unsigned i, uint8_t value)
{
    const uint8_t cdb[10] = {0x2a, [5] = (uint8_t)i, [8] = 1};

    memset(data[i], value, 512);
    fx_prepare(&cmd[i], cdb, 10, SHIM_DIR_TO_DEVICE, data[i], 512);
    cmd[i].x.xfer_qmsg = SC_SIMPLE_Q;
    cmd[i].x.xfer_tag = (uint16_t)i;
    cmd[i].x.xfer_flags = 0;
    return ops->start(fx_bus, &cmd[i].x);
}

/* What the disk has at block i. */
static uint8_t at(unsigned i)
{
    const uint8_t cdb[10] = {0x28, [5] = (uint8_t)i, [8] = 1};
    const uint8_t pend = fx_bus->bus_pend;
    const uint64_t latency = fx_disk->dk_latency_ns;
    static uint8_t in[512];
    struct fx_cmd c;

    fx_bus->bus_pend = SIM_PEND_NOT;
    fx_disk->dk_latency_ns = 0;
    fx_run(&c, cdb, 10, SHIM_DIR_FROM_DEVICE, in, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    fx_bus->bus_pend = pend;
    fx_disk->dk_latency_ns = latency;
    return in[0];
}

static void fault(enum sim_fault_action action)
{
    struct sim_fault f = {.f_opcode = 0x2a, .f_lba_last = UINT64_MAX, .f_count = 1, .f_action = action};

    ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
}

START_TEST(test_nothing_before_flush_and_all_in_one_list)
{
    setup(SIM_PEND_INTERRUPT, 0);
    for (unsigned i = 1; i <= 5; i++)
        ck_assert_int_eq(put(i, 0x55), AD_HW_PENDING);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert_uint_eq(ended, 0);
    ck_assert_uint_eq(at(1), 0);
    ops->flush(fx_bus);
    ck_assert_uint_eq(ended, 0); /* by the interrupt, not inside */
    ck_assert_int_eq(put(6, 0x66), AD_HW_PENDING);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert_uint_eq(ended, 5);
    ck_assert_uint_eq(fx_list_count, 1);
    for (unsigned i = 1; i <= 5; i++)
        ck_assert(order[i - 1] == i && at(i) == 0x55 && cmd[i].x.xfer_result == AD_RES_GOOD);
    ck_assert_uint_eq(at(6), 0);
    ops->flush(fx_bus);
    ops->flush(fx_bus);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert(ended == 6 && at(6) == 0x66);
    fx_end();
}
END_TEST

START_TEST(test_more_than_one_list_holds)
{
    setup(SIM_PEND_INTERRUPT, 0);
    for (unsigned i = 0; i < 60; i++)
        ck_assert_int_eq(put(i, 1), AD_HW_PENDING);
    ops->flush(fx_bus);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert_uint_eq(ended, 60);
    ck_assert_uint_eq(fx_list_count, 2);
    fx_end();
}
END_TEST

START_TEST(test_asked_with_a_budget)
{
    setup(SIM_PEND_POLL, 0);
    for (unsigned i = 0; i < 7; i++)
        ck_assert_int_eq(put(i, 1), AD_HW_PENDING);
    ck_assert_uint_eq(ops->poll_some(fx_bus, 32), 0);
    ops->flush(fx_bus);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert_uint_eq(ended, 0);
    ck_assert_uint_eq(ops->poll_some(fx_bus, 5), 5);
    ck_assert_uint_eq(ended, 5);
    ck_assert_uint_eq(ops->poll_some(fx_bus, 5), 2);
    ck_assert_uint_eq(ended, 7);
    fx_end();
}
END_TEST

/* No timer is to be had: what was sent ends all the same. */
START_TEST(test_without_a_timer)
{
    setup(SIM_PEND_INTERRUPT, 0);
    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_eq(put(i, 1), AD_HW_PENDING);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    ops->flush(fx_bus);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    ck_assert_uint_eq(ended, 40);
    fx_end();
}
END_TEST

/* What it took before a freeze it sends; then it takes nothing but what may pass. */
START_TEST(test_frozen)
{
    setup(SIM_PEND_INTERRUPT, 0);
    ck_assert_int_eq(put(1, 1), AD_HW_PENDING);
    ops->freeze(fx_bus, FX_ID, 0);
    fx_prepare(&cmd[2], (const uint8_t[6]){0}, 6, SHIM_DIR_FROM_DEVICE, NULL, 0); /* thaws */
    ops->freeze(fx_bus, FX_ID, 0);
    cmd[2].x.xfer_flags = 0;
    ck_assert_int_eq(ops->start(fx_bus, &cmd[2].x), AD_HW_FROZEN);
    cmd[2].x.xfer_flags = AD_XFER_PAST;
    ck_assert_int_eq(ops->start(fx_bus, &cmd[2].x), AD_HW_PENDING);
    ops->flush(fx_bus);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert_uint_eq(ended, 2);
    ck_assert_uint_eq(at(1), 1);
    fx_end();
}
END_TEST

/* abort() takes back what is held, what is sent, and what is at its disk; the others go on. */
START_TEST(test_abort_everywhere)
{
    setup(SIM_PEND_INTERRUPT, 1000000);
    for (unsigned i = 1; i <= 3; i++)
        ck_assert_int_eq(put(i, 9), AD_HW_PENDING);
    ops->abort(fx_bus, &cmd[1].x); /* held */
    ck_assert_uint_eq(cmd[1].done, 1);
    ck_assert_uint_eq(cmd[1].x.xfer_result, AD_RES_ABORTED);
    ops->flush(fx_bus);
    ops->abort(fx_bus, &cmd[2].x); /* sent */
    ck_assert_uint_eq(cmd[2].done, 1);
    shim_det_run(shim_now_ns() + 1000);
    ops->abort(fx_bus, &cmd[3].x); /* at its disk */
    ck_assert_uint_eq(cmd[3].done, 1);
    shim_det_run(shim_now_ns() + 5000000);
    ck_assert_uint_eq(ended, 3);
    ck_assert(at(1) == 0 && at(2) == 0 && at(3) == 0);
    fx_end();
}
END_TEST

/* A reset: what has not reached its disk comes back undelivered, the rest as it always did. */
START_TEST(test_AIX_18_resets_hand_back_what_was_not_delivered)
{
    for (unsigned which = 0; which < 3; which++) {
        setup(SIM_PEND_INTERRUPT, 0);
        fault(SIM_FAULT_HANG);
        ck_assert_int_eq(put(1, 9), AD_HW_PENDING);
        ops->flush(fx_bus);
        shim_det_run(shim_now_ns() + 1000);
        ck_assert_int_eq(put(2, 9), AD_HW_PENDING);
        ops->flush(fx_bus);
        ck_assert_int_eq(put(3, 9), AD_HW_PENDING);
        ck_assert_int_eq(which == 0   ? ops->reset_lun(fx_bus, FX_ID, 0)
                         : which == 1 ? ops->reset_target(fx_bus, FX_ID)
                                      : ops->reset_bus(fx_bus),
                         0);
        ck_assert_uint_eq(ended, 3);
        ck_assert_uint_eq(cmd[1].x.xfer_result, which == 2 ? AD_RES_BUS_RESET : AD_RES_ABORTED);
        ck_assert_uint_eq(cmd[2].x.xfer_result, AD_RES_UNSENT);
        ck_assert_uint_eq(cmd[3].x.xfer_result, AD_RES_UNSENT);
        ck_assert_uint_eq(cmd[3].x.xfer_resid, 512);
        shim_det_run(shim_now_ns() + 1000000);
        ck_assert_uint_eq(ended, 3);
        fx_end();
    }
}
END_TEST

/* What was sent before what is held comes back before it. */
START_TEST(test_resets_keep_the_order)
{
    setup(SIM_PEND_INTERRUPT, 0);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(put(i, 1), AD_HW_PENDING);
        if (i == 2)
            ops->flush(fx_bus);
    }
    sim_batch_reset(fx_bus, FX_ID, 0);
    ck_assert_uint_eq(ended, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(order[i] == i && cmd[i].x.xfer_result == AD_RES_UNSENT);
    fx_end();
}
END_TEST

/* Of another LUN, and behind an adapter reset. */
START_TEST(test_resets_elsewhere_and_of_all)
{
    setup(SIM_PEND_INTERRUPT, 0);
    ck_assert_int_eq(put(1, 9), AD_HW_PENDING);
    ops->flush(fx_bus);
    ck_assert_int_eq(put(2, 9), AD_HW_PENDING);
    ck_assert_int_eq(ops->reset_target(fx_bus, FX_ID + 1), 0);
    ck_assert_int_eq(ops->reset_lun(fx_bus, FX_ID, 1), 0);
    sim_batch_reset(fx_bus, FX_ID, 1); /* as if there were a disk */
    ck_assert_uint_eq(ended, 0);
    ck_assert_int_eq(ops->reset_adapter(fx_bus), 0);
    ops->flush(fx_bus);
    shim_det_run(shim_now_ns() + 1000000);
    ck_assert_uint_eq(ended, 0); /* forgotten */
    ck_assert(cmd[1].done == 0 && cmd[2].done == 0);
    fx_release(&cmd[1]); /* the core takes them back itself */
    fx_release(&cmd[2]);
    fx_end();
}
END_TEST

/* An error freezes the LUN before it is told. */
static unsigned frozen_at_done;
static void look_frozen(struct fx_cmd *c)
{
    note_end(c);
    frozen_at_done = fx_disk->dk_frozen;
}

START_TEST(test_an_error_freezes)
{
    setup(SIM_PEND_INTERRUPT, 0);
    fx_on_done = look_frozen;
    fault(SIM_FAULT_BUSY);
    ck_assert_int_eq(put(1, 9), AD_HW_PENDING);
    ops->flush(fx_bus);
    shim_det_run(shim_now_ns() + 1000);
    ck_assert_uint_eq(cmd[1].x.xfer_result, AD_RES_STATUS);
    ck_assert_uint_eq(frozen_at_done, 1);
    ck_assert_int_eq(ops->start(fx_bus, &cmd[1].x), AD_HW_FROZEN);
    fx_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("sim_batch");
    TCase *t = tcase_create("batch");

    tcase_add_test(t, test_nothing_before_flush_and_all_in_one_list);
    tcase_add_test(t, test_more_than_one_list_holds);
    tcase_add_test(t, test_asked_with_a_budget);
    tcase_add_test(t, test_without_a_timer);
    tcase_add_test(t, test_frozen);
    tcase_add_test(t, test_abort_everywhere);
    tcase_add_test(t, test_AIX_18_resets_hand_back_what_was_not_delivered);
    tcase_add_test(t, test_resets_keep_the_order);
    tcase_add_test(t, test_resets_elsewhere_and_of_all);
    tcase_add_test(t, test_an_error_freezes);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
