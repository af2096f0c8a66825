/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_grow_test.c - an adapter that changes while it is there: more room, other openings, other speeds; and
 * one that is switched on and off.
 */
#include "ad_fake.h"

static struct req q[64];
static struct ad_hw_ops ops;
static unsigned grows, wanted, grow_to, enables, disables;
static int enable_error;

/* ---------------------------------------------------------------- the chip's side */

static uint32_t chip_grow(void *hw, uint32_t want)
{
    struct fake *f = hw;

    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    grows++;
    wanted = want;
    ck_assert(f->ad->adp_growing); /* no other LUN is being started */
    for (unsigned i = 0; i < 2; i++) { /* frozen: nothing that is sent now is started */
        struct ad_lun *lun = ad_lun_find(f->ad, FAKE_ID, i);
        const unsigned starts = f->starts;

        if (lun == NULL || lun->lun_state == AD_LUN_STOPPED)
            continue;
        ck_assert(lun->lun_gate & AD_GATE_GROW);
        ck_assert_uint_eq(lun->lun_starting, 0);
        req_init(&q[60 + i]);
        q[60 + i].sb.lun = (uint8_t)i;
        req_send(&q[60 + i]);
        ck_assert_uint_eq(f->starts, starts);
        fake_check(lun);
    }
    if (grow_to > f->caps.cap_commands_max)
        f->caps.cap_commands_max = grow_to;
    return grow_to;
}

static int chip_enable(void *hw)
{
    (void)hw;
    enables++;
    return enable_error;
}

static void chip_disable(void *hw)
{
    (void)hw;
    disables++;
}

static void up(unsigned commands)
{
    const struct ad_config more = {.cfg_ops = &ops};

    grows = wanted = enables = disables = 0;
    enable_error = 0;
    ops = fake_ops;
    ops.grow = chip_grow;
    ops.enable = chip_enable;
    ops.disable = chip_disable;
    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_commands_max = commands;
    fake.mode = FAKE_PEND;
    fake_attach(&more);
}

static void start(unsigned lun)
{
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, lun), 0), 0);
}

static void send(unsigned i, unsigned lun)
{
    req_init(&q[i]);
    q[i].sb.lun = (uint8_t)lun;
    req_send(&q[i]);
}

/* ---------------------------------------------------------------- NB-06 */

/* The second LUN finds too few: the chip is asked with everybody frozen, and everybody goes on. */
START_TEST(test_NB_06_grows_at_start_while_frozen)
{
    struct ad_adapter *adp;

    grow_to = 1000;
    up(65);
    ck_assert_uint_eq(grows, 0); /* the first has enough */
    adp = ad_find(FAKE_DEVNO);
    send(0, 0);
    grow_to = 130;
    start(1);
    ck_assert_uint_eq(grows, 1);
    ck_assert_uint_eq(wanted, 130);
    ck_assert_uint_eq(adp->adp_credits, 130);
    ck_assert_uint_eq(fake.nkept, 2); /* what was sent meanwhile has been started since */
    ck_assert(!(fake_lun->lun_gate & AD_GATE_GROW));
    ck_assert(!adp->adp_growing);
    ck_assert_ptr_null(ad_ledger_idle(adp));
    ck_assert_uint_eq(fake_flow().freezes, 1);
    ck_assert_uint_eq(fake_flow().thaws, 1);
    ck_assert_uint_eq(fake_flow().late_thaws, 0);
    fake_end_all();
    ck_assert_uint_eq(q[0].done + q[60].done, 2);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* It does not grow, or by less, or by more than was asked: what it has said counts, and everybody is thawed.
 */
START_TEST(test_NB_06_what_the_chip_says_counts)
{
    static const unsigned rows[][2] = {{0, 65}, {65, 65}, {80, 80}, {500, 130}};

    grow_to = 65;
    up(65);
    grow_to = rows[_i][0];
    fake.caps.cap_commands_max = 65;
    start(1);
    fake.caps.cap_commands_max = 500;
    ck_assert_uint_eq(grows, 1);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits, rows[_i][1]);
    ck_assert_ptr_null(ad_ledger_idle(ad_find(FAKE_DEVNO)));
    fake_end_all();
    ck_assert_uint_eq(q[60].done, 1);
    fake_down();
}
END_TEST

/* The configuration's limit is not grown past. */
START_TEST(test_NB_06_the_configuration_says_how_far)
{
    struct ad_config more = {.cfg_ops = &ops, .cfg_commands_max = 70};

    ops = fake_ops;
    ops.grow = chip_grow;
    grows = 0;
    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_commands_max = 100;
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    grow_to = 1000;
    start(1);
    ck_assert_uint_eq(grows, 0); /* it has as many as it may */
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits, 70);
    fake_down();
}
END_TEST

/* Who waits for a credit is handed one of the new ones. */
START_TEST(test_NB_06_who_waits_is_served)
{
    grow_to = 2;
    up(2);
    for (unsigned i = 0; i < 6; i++)
        send(i, 0);
    ck_assert_uint_eq(fake.nkept, 2);
    ck_assert(fake_lun->lun_waiting);
    grow_to = 5;
    start(1);
    ck_assert_uint_eq(fake.nkept, 5);
    fake_end_all();
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- NB-19 */

/* Less at once, more up to the openings, for one LUN, a target, or all. */
START_TEST(test_NB_19_openings_by_the_chip)
{
    up(1024);
    start(1);
    for (unsigned i = 0; i < 20; i++)
        send(i, 0);
    ck_assert_uint_eq(fake.nkept, 20);
    ad_hw_openings(fake.ad, FAKE_ID, 0, 5);
    ck_assert_uint_eq(fake_flow().limit, 5);
    ck_assert_uint_eq(fake_flow().limit_max, 5);
    send(20, 0);
    ck_assert_uint_eq(fake.nkept, 20); /* those that are there may stay; no more */
    for (unsigned i = 0; i < 16; i++)
        fake_end(0);
    ck_assert_uint_eq(fake.nkept, 5);
    for (unsigned i = 21; i < 30; i++)
        send(i, 0);
    ck_assert_uint_eq(fake.nkept, 5);
    ad_hw_openings(fake.ad, FAKE_ID, 0, 8);
    ck_assert_uint_eq(fake.nkept, 8); /* room at once */
    ad_hw_openings(fake.ad, FAKE_ID, 0, 100000);
    ck_assert_uint_eq(fake.nkept, 14);
    ck_assert_uint_eq(fake_flow().limit, AD_OPENINGS_DEFAULT); /* memory is taken for so many */
    fake_end_all();
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_NB_19_wildcard_and_later_starts)
{
    struct ad_adapter *adp;

    up(1024);
    adp = ad_find(FAKE_DEVNO);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(4, 0), 0), 0);
    ad_hw_openings(fake.ad, FAKE_ID, AD_HW_ALL, 7);
    ck_assert_uint_eq(fake_flow().limit_max, 7);
    ck_assert_uint_eq(ad_lun_find(adp, 4, 0)->lun_limit.lm_top, AD_OPENINGS_DEFAULT);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(5, 0), 0), 0);
    ck_assert_uint_eq(ad_lun_find(adp, 5, 0)->lun_limit.lm_top, AD_OPENINGS_DEFAULT);
    start(2);
    ck_assert_uint_eq(ad_lun_find(adp, FAKE_ID, 2)->lun_limit.lm_now, 7);
    ad_hw_openings(fake.ad, FAKE_ID, 0, 3); /* for one: counts more */
    ck_assert_uint_eq(fake_flow().limit, 3);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    start(0);
    ck_assert_uint_eq(fake_flow().limit, 3);
    ad_hw_openings(fake.ad, AD_HW_ALL, AD_HW_ALL, 2);
    ck_assert_uint_eq(fake_flow().limit, 2);
    ck_assert_uint_eq(ad_lun_find(adp, 4, 0)->lun_limit.lm_top, 2);
    ad_hw_openings(fake.ad, AD_HW_ALL, AD_HW_ALL, 0);
    ck_assert_uint_eq(fake_flow().limit, AD_OPENINGS_DEFAULT);
    fake_down();
}
END_TEST

/* QUEUE FULL's limit and the chip's: the lower one, and the climb ends at the chip's. */
START_TEST(test_NB_19_openings_beside_queue_full)
{
    up(1024);
    for (unsigned i = 0; i < 10; i++)
        send(i, 0);
    fake_script(AD_RES_STATUS, SC_QUEUE_FULL, 512);
    fake_end(9);
    ck_assert_uint_eq(fake_flow().limit, 9);
    ad_hw_openings(fake.ad, FAKE_ID, 0, 10);
    ck_assert_uint_eq(fake_flow().limit, 9);
    for (unsigned i = 0; i < 4; i++) {
        shim_det_run(shim_now_ns() + AD_LIMIT_UP_NS);
        req_init(&q[0]);
        q[0].sb.flags = i == 0 ? SC_RESUME : 0;
        req_send(&q[0]);
        fake_end_all();
    }
    ck_assert_uint_eq(fake_flow().limit, 10);
    ad_hw_openings(fake.ad, FAKE_ID, 0, 4);
    ck_assert_uint_eq(fake_flow().limit, 4);
    fake_down();
}
END_TEST

START_TEST(test_NB_19_transfer_mode_is_shown)
{
    up(1024);
    ck_assert_uint_eq(fake_flow().kb_per_s, 0);
    ad_hw_mode(fake.ad, FAKE_ID, 320000, AD_MODE_SYNC | AD_MODE_WIDE | AD_MODE_DT);
    ad_hw_mode(fake.ad, FAKE_ID + 1, 5000, 0);
    ad_hw_mode(fake.ad, 4000, 5000, 0); /* nobody */
    ck_assert_uint_eq(fake_flow().kb_per_s, 320000);
    ck_assert_uint_eq(fake_flow().mode, AD_MODE_SYNC | AD_MODE_WIDE | AD_MODE_DT);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- NB-22 */

START_TEST(test_NB_22_enabled_while_somebody_has_it_open)
{
    struct file *more[3];

    up(1024);
    ck_assert_uint_eq(enables, 1);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &more[i]), 0);
    ck_assert_uint_eq(enables, 1);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_int_eq(fp_close(more[0]), 0);
    ck_assert_int_eq(fp_close(more[1]), 0);
    ck_assert_uint_eq(disables, 0);
    ck_assert_int_eq(fp_close(more[2]), 0);
    ck_assert_uint_eq(disables, 1);
    enable_error = ENODEV;
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &fake_fp), ENODEV);
    ck_assert_uint_eq(enables, 2);
    ck_assert_uint_eq(disables, 1); /* what failed is not undone */
    enable_error = 0;
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &fake_fp), 0);
    ck_assert_uint_eq(enables, 3);
    fake_down();
    ck_assert_uint_eq(disables, 2);
}
END_TEST

/* A command that nobody can take back keeps the chip on after the last close; the detach switches it off. */
START_TEST(test_NB_22_not_disabled_under_a_command)
{
    up(1024);
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    fake.bus_dead = true;
    send(0, 0);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    fake_fp = NULL;
    ck_assert_uint_eq(disables, 0);
    fake_end_all();
    fake_down();
    ck_assert_uint_eq(disables, 1);
    ck_assert_uint_eq(enables, 1);
}
END_TEST

START_TEST(test_NB_22_both_or_neither)
{
    struct ad_config cfg = {.cfg_ops = &ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    shim_test_begin_det(1);
    fake_prepare();
    ops = fake_ops;
    ops.enable = chip_enable;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    ops.enable = NULL;
    ops.disable = chip_disable;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    shim_test_end();
}
END_TEST

static Suite *ad_grow_suite(void)
{
    Suite *s = suite_create("ad_grow");
    TCase *t = tcase_create("grow");

    tcase_add_test(t, test_NB_06_grows_at_start_while_frozen);
    tcase_add_loop_test(t, test_NB_06_what_the_chip_says_counts, 0, 4);
    tcase_add_test(t, test_NB_06_the_configuration_says_how_far);
    tcase_add_test(t, test_NB_06_who_waits_is_served);
    tcase_add_test(t, test_NB_19_openings_by_the_chip);
    tcase_add_test(t, test_NB_19_wildcard_and_later_starts);
    tcase_add_test(t, test_NB_19_openings_beside_queue_full);
    tcase_add_test(t, test_NB_19_transfer_mode_is_shown);
    tcase_add_test(t, test_NB_22_enabled_while_somebody_has_it_open);
    tcase_add_test(t, test_NB_22_not_disabled_under_a_command);
    tcase_add_test(t, test_NB_22_both_or_neither);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_grow_suite(), argc, argv); }
