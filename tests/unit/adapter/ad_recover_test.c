/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_recover_test.c - the ladder behind abort(): which resets a chip is asked for, in which order and when,
 * what is gated meanwhile, who takes commands back, what is out of service afterwards; in virtual time.
 */
#include "ad_fake.h"

#define SETTLE (AD_SETTLE_DEFAULT_MS * AD_NS_PER_MS)

static struct req r[16];
static uint64_t since;

static void send(unsigned i, unsigned lun, uint32_t seconds)
{
    req_init(&r[i]);
    r[i].sb.lun = (uint8_t)lun;
    r[i].sb.timeout_value = seconds;
    req_send(&r[i]);
}

/* The same once more, after an error. */
static void send_resume(unsigned i, unsigned lun, uint32_t seconds)
{
    req_init(&r[i]);
    r[i].sb.lun = (uint8_t)lun;
    r[i].sb.timeout_value = seconds;
    r[i].sb.flags = SC_RESUME;
    req_send(&r[i]);
}

static void run_to(uint64_t ns) { shim_det_run(since + ns); }
static void run_s(uint64_t seconds) { shim_det_run(shim_now_ns() + seconds * AD_NS_PER_S); }

static void came_back(const struct req *q, uint8_t card)
{
    ck_assert_uint_eq(q->done, 1);
    ck_assert_int_eq(q->sb.bufstruct.b_error, EIO);
    ck_assert_uint_eq(q->sb.status_validity, SC_ADAPTER_ERROR);
    ck_assert_uint_eq(q->sb.general_card_status, card);
    ck_assert_uint_eq(q->sb.bufstruct.b_resid, q->sb.bufstruct.b_bcount);
}

static int word(unsigned cmd, unsigned lun) { return fp_ioctl(fake_fp, cmd, SC_ARG(FAKE_ID, lun), 0); }

/* A chip with these operations, which loses abort() and what comes before the adapter reset. */
static void up(const struct ad_hw_ops *ops, unsigned luns)
{
    const struct ad_config more = {.cfg_ops = ops};

    shim_test_begin_det(1);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.lun_dead = fake.bus_dead = true;
    fake.reset_works = false;
    fake_attach(&more);
    for (unsigned i = 1; i < luns; i++)
        ck_assert_int_eq(word(SCIOSTART, i), 0);
    since = shim_now_ns();
}

static struct ad_lun *lun_at(unsigned lun) { return ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, lun); }

/* When the n-th rung (from 1) is asked for: abort() at 5 s, overdue at 10, and each has a stage and what
 * settles. */
#define RUNG(n) (10 * AD_NS_PER_S + ((n)-1u) * (AD_STAGE_NS + SETTLE))

START_TEST(test_NB_21_each_rung_has_its_time)
{
    static const char *const asked[] = {"", "L3.0", "L3.0 T3", "L3.0 T3 B", "L3.0 T3 B A"};

    up(&fake_full_ops, 1);
    send(0, 0, 5); /* aborted at 5 s, overdue at 10 */
    for (unsigned i = 1; i < SC_ARRAY_SIZE(asked); i++) {
        run_to(RUNG(i) - 1);
        ck_assert_str_eq(fake.asked, asked[i - 1]);
        ck_assert_uint_eq(r[0].done, 0);
        fake_check(fake_lun);
        run_to(RUNG(i));
        ck_assert_str_eq(fake.asked, asked[i]);
    }
    came_back(&r[0], SC_CMD_TIMEOUT);
    ck_assert_uint_eq(fake.maps_live, 0);
    ck_assert_uint_eq(fake_stats().active, 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_NB_21_what_a_rung_brings_back_ends_it)
{
    up(&fake_full_ops, 1);
    fake.lun_dead = false;
    send(0, 0, 5);
    run_to(10 * AD_NS_PER_S);
    came_back(&r[0], SC_CMD_TIMEOUT);
    run_s(100);
    ck_assert_str_eq(fake.asked, "L3.0");
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert_uint_eq(lun_at(0)->lun_offline, 0);
    fake_down();
}
END_TEST

/* Where the first that is overdue has a reset of its own, the others come to the one that covers them all. */
START_TEST(test_eight_luns_of_one_id_cost_one_target_reset)
{
    for (unsigned full = 0; full < 2; full++) {
        struct ad_hw_ops ops = fake_full_ops;

        if (!full)
            ops.reset_lun = NULL;
        up(&ops, 8);
        fake.reset_works = true;
        for (unsigned i = 0; i < 8; i++)
            send(i, i, 5);
        run_s(30);
        ck_assert_str_eq(fake.asked, full ? "L3.0 T3" : "T3");
        for (unsigned i = 0; i < 8; i++) {
            came_back(&r[i], SC_CMD_TIMEOUT);
            fake_check(lun_at(i));
        }
        fake_down();
    }
}
END_TEST

/* One of them comes later: it waits for the round, and then for the target reset that the others need anyway.
 */
START_TEST(test_who_is_late_joins_the_next_round)
{
    up(&fake_full_ops, 2);
    fake.reset_works = true;
    send(0, 0, 5);
    send(1, 1, 7);
    run_s(30);
    ck_assert_str_eq(fake.asked, "L3.0 T3");
    came_back(&r[0], SC_CMD_TIMEOUT);
    came_back(&r[1], SC_CMD_TIMEOUT);
    fake_down();
}
END_TEST

START_TEST(test_nothing_is_started_until_the_devices_have_come_to)
{
    up(&fake_full_ops, 2);
    fake.lun_dead = false;
    send(0, 0, 5);
    run_to(10 * AD_NS_PER_S);
    came_back(&r[0], SC_CMD_TIMEOUT);
    send_resume(1, 0, 30);
    send(2, 1, 30); /* another LUN is not concerned */
    ck_assert_uint_eq(fake.starts, 2);
    ck_assert(lun_at(0)->lun_gate & AD_GATE_RESET);
    run_to(10 * AD_NS_PER_S + SETTLE - 1);
    ck_assert_uint_eq(fake.starts, 2);
    run_to(10 * AD_NS_PER_S + SETTLE);
    ck_assert_uint_eq(fake.starts, 3);
    fake_end_all();
    fake_down();
}
END_TEST

/* SCIOSTOP and SCIOSTART in between do not let it out either. */
START_TEST(test_a_lun_that_starts_meanwhile_is_gated_too)
{
    up(&fake_full_ops, 1);
    fake.reset_works = true;
    fake.lun_says = EIO;
    send(0, 0, 5);
    run_to(10 * AD_NS_PER_S);
    ck_assert_str_eq(fake.asked, "L3.0 T3"); /* what fails is not waited for */
    ck_assert_int_eq(word(SCIOSTOP, 0), 0);
    ck_assert_int_eq(word(SCIOSTART, 0), 0);
    ck_assert_int_eq(word(SCIOSTART, 1), 0);
    send(1, 0, 30);
    send(2, 1, 30);
    ck_assert_uint_eq(fake.starts, 1);
    run_to(10 * AD_NS_PER_S + SETTLE);
    ck_assert_uint_eq(fake.starts, 3);
    fake_end_all();
    fake_down();
}
END_TEST

START_TEST(test_the_settle_time_is_tunable)
{
    static const struct {
        int64_t ms;
        uint64_t ns;
    } rows[] = {{0, 0}, {1, AD_NS_PER_MS}, {5000, 5 * AD_NS_PER_S}, {-1, SETTLE}, {5001, SETTLE}};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        const struct ad_config more = {.cfg_ops = &fake_full_ops};

        shim_test_begin_det(1);
        fake_prepare();
        shim_det_tunable_set("ad_settle_ms", rows[i].ms);
        fake_attach(&more);
        since = shim_now_ns();
        ck_assert_int_eq(word(SCIORESET, 0), 0);
        ck_assert_uint_eq(shim_now_ns() - since, rows[i].ns);
        fake_down();
    }
}
END_TEST

START_TEST(test_a_reset_that_tells_its_end_is_not_waited_for_any_longer)
{
    up(&fake_full_ops, 1);
    fake.lun_says = fake.target_says = fake.bus_says = fake.adapter_says = AD_HW_RESETTING;
    send(0, 0, 5);
    run_to(11 * AD_NS_PER_S);
    ck_assert_str_eq(fake.asked, "L3.0");
    ad_hw_reset_done(fake.ad, AD_RESET_TARGET, FAKE_ID, 0, 0); /* nobody has asked for that */
    ad_hw_reset_done(fake.ad, AD_RESET_LUN, FAKE_ID, 1, 0);
    run_s(1);
    ck_assert_str_eq(fake.asked, "L3.0");
    ad_hw_reset_done(fake.ad, AD_RESET_LUN, FAKE_ID, 0, 0); /* and the command is not back */
    run_to(12 * AD_NS_PER_S + SETTLE);
    ck_assert_str_eq(fake.asked, "L3.0 T3");
    ad_hw_reset_done(fake.ad, AD_RESET_TARGET, FAKE_ID, 0, EIO); /* nothing was reset: no need to settle */
    ck_assert_str_eq(fake.asked, "L3.0 T3 B");
    run_to(12 * AD_NS_PER_S + 2 * SETTLE + AD_STAGE_NS); /* it never ends */
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A");
    ad_hw_reset_done(fake.ad, AD_RESET_BUS, 0, 0, 0); /* now it does */
    ck_assert_uint_eq(r[0].done, 0);
    fake.nkept = 0;
    ad_hw_reset_done(fake.ad, AD_RESET_ADAPTER, 0, 0, 0);
    came_back(&r[0], SC_CMD_TIMEOUT);
    ad_hw_reset_done(fake.ad, (enum ad_hw_reset)99, 0, 0, 0);
    ad_hw_reset_done(fake.ad, AD_RESET_LUN, 99, 0, 0);
    fake_down();
}
END_TEST

/* Resets that never tell their end are given up with their round: the next one waits for its own only. */
START_TEST(test_an_end_that_was_not_told_is_forgotten)
{
    up(&fake_full_ops, 1);
    fake.lun_says = fake.target_says = fake.bus_says = fake.adapter_says = AD_HW_RESETTING;
    send(0, 0, 5);
    run_to(10 * AD_NS_PER_S + 3 * AD_STAGE_NS);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A");
    fake.nkept = 0;
    ad_hw_reset_done(fake.ad, AD_RESET_ADAPTER, 0, 0, 0);
    came_back(&r[0], SC_CMD_TIMEOUT);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A");
    fake_down();
}
END_TEST

/* Everything is back, but the reset has not ended: its LUNs wait for that. */
START_TEST(test_a_reset_under_way_keeps_its_scope)
{
    up(&fake_full_ops, 1);
    fake.lun_says = AD_HW_RESETTING;
    send(0, 0, 5);
    run_to(10 * AD_NS_PER_S);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    came_back(&r[0], SC_CMD_TIMEOUT);
    send_resume(1, 0, 30);
    run_s(2);
    ck_assert_uint_eq(fake.starts, 1);
    ad_hw_reset_done(fake.ad, AD_RESET_LUN, FAKE_ID, 0, 0);
    ck_assert_uint_eq(fake.starts, 1);
    run_to(12 * AD_NS_PER_S + SETTLE);
    ck_assert_uint_eq(fake.starts, 2);
    ck_assert_str_eq(fake.asked, "L3.0");
    fake_end_all();
    fake_down();
}
END_TEST

/* Neighbours hit by the bus reset and lost in it have no time of their own to run out. */
START_TEST(test_what_a_reset_hits_has_to_come_back)
{
    up(&fake_full_ops, 2);
    send(0, 0, 5);
    send(1, 1, 0);
    run_to(RUNG(4));
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A");
    came_back(&r[0], SC_CMD_TIMEOUT);
    came_back(&r[1], SC_SCSI_BUS_RESET); /* to be sent again */
    fake_check(lun_at(1));
    fake_down();
}
END_TEST

START_TEST(test_a_lun_that_needed_an_adapter_reset_is_out_of_service)
{
    up(&fake_full_ops, 2);
    send(0, 0, 5);
    run_to(RUNG(4));
    came_back(&r[0], SC_CMD_TIMEOUT);
    run_s(1);
    ck_assert_uint_eq(fake.starts, 1);
    send_resume(1, 0, 30);
    came_back(&r[1], SC_NO_DEVICE_RESPONSE);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT); /* as after any other error */
    send(2, 0, 30);
    ck_assert_int_eq(r[2].sb.bufstruct.b_error, ENXIO);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(fake.maps_live, 0);
    fake_check(fake_lun);
    send(3, 1, 30); /* the other one works */
    ck_assert_uint_eq(fake.starts, 2);
    fake_end_all();
    ck_assert_int_eq(word(SCIOSTOP, 0), 0);
    ck_assert_int_eq(word(SCIOSTART, 0), 0);
    send(4, 0, 30);
    fake_end_all();
    ck_assert_uint_eq(r[4].sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST

START_TEST(test_SCIORESET_puts_a_lun_into_service_if_it_works)
{
    up(&fake_full_ops, 1);
    send(0, 0, 5);
    run_to(RUNG(4));
    fake.target_says = EIO;
    ck_assert_int_eq(word(SCIORESET, 0), EIO);
    send_resume(1, 0, 30);
    came_back(&r[1], SC_NO_DEVICE_RESPONSE);
    fake.target_says = 0;
    ck_assert_int_eq(word(SCIORESET, 0), 0);
    send_resume(1, 0, 30);
    ck_assert_uint_eq(fake.nkept, 1);
    fake_end_all();
    ck_assert_uint_eq(r[1].sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST

static unsigned fatal;
static void on_event(struct sc_event_info *info) { fatal += (info->events & SC_FATAL_HDW_ERR) != 0; }

static void to_the_end(const struct ad_hw_ops *ops)
{
    struct sc_event_struct ev = {.id = FAKE_ID, .mode = SC_IM_MODE, .async_func = on_event};

    up(ops, 2);
    fatal = 0;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOEVENT, (intptr_t)&ev, 0), 0);
    fake.adapter_says = EIO;
    send(0, 0, 5);
    send(1, 1, 0);
    run_to(RUNG(4));
    came_back(&r[0], SC_CMD_TIMEOUT);
    came_back(&r[1], SC_SCSI_BUS_RESET);
    ck_assert_uint_eq(fatal, 1);
    ck_assert_uint_eq(fake.maps_live, 0);
    for (unsigned i = 0; i < 2; i++) {
        send_resume(2, i, 30);
        came_back(&r[2], SC_ADAPTER_HDW_FAILURE);
    }
    ck_assert_int_eq(word(SCIOHALT, 0), 0);
    ck_assert_int_eq(word(SCIOSTOP, 0), 0);
    ck_assert_int_eq(word(SCIOSTART, 0), 0);
    ck_assert_int_eq(word(SCIOSTART, 2), 0); /* not even a LUN nobody had */
    for (unsigned i = 0; i < 3; i += 2) {
        send(2, i, 30);
        came_back(&r[2], SC_ADAPTER_HDW_FAILURE);
    }
    ck_assert_uint_eq(fake.starts, 2);
}

START_TEST(test_AIX_27_a_chip_that_cannot_be_reset_is_cut_off)
{
    to_the_end(&fake_full_ops);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A I");
    ck_assert_int_eq(word(SCIORESET, 0), EIO);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A I A I");
    fake.adapter_says = 0;
    ck_assert_int_eq(word(SCIORESET, 0), 0);
    for (unsigned i = 0; i < 3; i++)
        send_resume(i, i, 30);
    ck_assert_uint_eq(fake.nkept, 3);
    fake_end_all();
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_the_first_open_gives_a_chip_another_chance)
{
    to_the_end(&fake_full_ops);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    for (unsigned i = 0; i < 2; i++) {
        fake.adapter_says = i == 0 ? EIO : 0;
        ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &fake_fp), 0);
        ck_assert_int_eq(word(SCIOSTART, 0), 0);
        send(0, 0, 30);
        if (i == 0) {
            came_back(&r[0], SC_ADAPTER_HDW_FAILURE);
            ck_assert_int_eq(fp_close(fake_fp), 0);
        }
    }
    fake_end_all();
    ck_assert_uint_eq(r[0].sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST

START_TEST(test_a_chip_may_have_one_without_the_other)
{
    struct ad_hw_ops ops = fake_full_ops;

    ops.reset_adapter = NULL;
    up(&ops, 1);
    send(0, 0, 5);
    run_to(RUNG(4));
    ck_assert_str_eq(fake.asked, "L3.0 T3 B I");
    came_back(&r[0], SC_CMD_TIMEOUT);
    ck_assert_int_eq(word(SCIORESET, 0), EIO);
    fake_down();

    /* It cannot be cut off, and cannot be reset: it keeps the command, and its memory is kept. */
    ops = fake_full_ops;
    ops.isolate = NULL;
    up(&ops, 1);
    fake.adapter_says = EIO;
    send(0, 0, 5);
    run_to(100 * AD_NS_PER_S);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A B B");
    ck_assert_uint_eq(r[0].done, 0);
    ck_assert_int_eq(word(SCIOHALT, 0), ETIMEDOUT);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    came_back(&r[0], SC_CMD_TIMEOUT);
    ck_assert_uint_eq(fake_lun->lun_again_ns, 0);
    send_resume(1, 0, 5); /* the next one has a ladder of its own, and not the times of the lost one */
    run_s(11);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A B B L3.0");
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    came_back(&r[1], SC_CMD_TIMEOUT);
    fake_down();
}
END_TEST

/* A chip that breaks its contract. */
START_TEST(test_NB_20_a_late_end_of_what_was_taken_back_is_counted)
{
    struct ad_xfer *late;

    up(&fake_full_ops, 1);
    send(0, 0, 5);
    late = fake.kept[0];
    run_to(RUNG(4));
    came_back(&r[0], SC_CMD_TIMEOUT);
    ad_hw_done(fake.ad, late);
    ck_assert_uint_eq(fake_lun->lun_doubles, 1);
    ck_assert_uint_eq(r[0].done, 1);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_SCIOHALT_and_SCIOSTOP_outlast_the_ladder)
{
    for (unsigned stop = 0; stop < 2; stop++) {
        up(&fake_full_ops, 1);
        fake.adapter_says = stop ? EIO : AD_HW_RESETTING; /* which never ends */
        send(0, 0, 0);
        ck_assert_int_eq(word(stop ? SCIOSTOP : SCIOHALT, 0), 0);
        ck_assert_str_eq(fake.asked, "L3.0 T3 B A I");
        ck_assert_uint_eq(r[0].done, 1);
        fake_down();
    }
}
END_TEST

/* And of no other id's: not when both are reset at once, and not when the bus is for the other one's sake. */
START_TEST(test_AIX_26_SCIORESET_does_not_answer_for_another_id)
{
    static const char *const before[] = {"L3.0", "L3.0 T3"};
    const intptr_t other = SC_ARG(FAKE_ID + 1u, 0);

    up(&fake_full_ops, 1);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, other, 0), 0);
    send(0, 0, 5);
    run_to(RUNG((unsigned)_i + 1u) + AD_NS_PER_S);
    ck_assert_str_eq(fake.asked, before[_i]);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIORESET, other, 0), 0);
    run_to(RUNG(5));
    ck_assert_uint_eq(r[0].done, 1);
    ck_assert_str_eq(fake.asked, _i == 0 ? "L3.0 T3 T4 B A" : "L3.0 T3 B A");
    fake_down();
}
END_TEST

/* SCIORESET is told what its reset was worth. */
START_TEST(test_AIX_26_SCIORESET_says_whether_everything_came_back)
{
    up(&fake_full_ops, 1);
    send(0, 0, 0);
    ck_assert_int_eq(word(SCIORESET, 0), EIO);
    ck_assert_uint_eq(shim_now_ns() - since, AD_STAGE_NS + SETTLE);
    ck_assert_str_eq(fake.asked, "T3 B"); /* and the ladder goes on from there */
    run_s(30);
    ck_assert_uint_eq(r[0].done, 1);
    fake_down();

    up(&fake_full_ops, 1);
    fake.reset_works = true;
    send(0, 0, 0);
    ck_assert_int_eq(word(SCIORESET, 0), 0);
    ck_assert_uint_eq(shim_now_ns() - since, SETTLE);
    came_back(&r[0], SC_SCSI_BUS_RESET);
    ck_assert_str_eq(fake.asked, "T3");
    fake_down();
}
END_TEST

static void stays_inside(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    shim_det_run(since + RUNG(3) + AD_STAGE_NS - 1);
    ck_assert_str_eq(f->asked, "L3.0 T3"); /* who is on his way there is waited for */
    shim_det_run(since + RUNG(3) + AD_STAGE_NS);
    ck_assert_str_eq(f->asked, "L3.0 T3 B");
    shim_det_run(since + RUNG(4) + 2 * AD_STAGE_NS - 1);
    ck_assert_str_eq(f->asked, "L3.0 T3 B");
    shim_det_run(since + RUNG(4) + 2 * AD_STAGE_NS);
    ck_assert_str_eq(f->asked, "L3.0 T3 B I");
}

START_TEST(test_an_adapter_is_not_reset_while_a_command_is_on_its_way)
{
    up(&fake_full_ops, 1);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(4, 0), 0), 0);
    send(0, 0, 5);
    run_to(RUNG(2) + AD_NS_PER_S);
    fake.on_start = stays_inside;
    req_init(&r[1]);
    r[1].sb.scsi_command.scsi_id = 4;
    req_send(&r[1]);
    came_back(&r[0], SC_CMD_TIMEOUT);
    came_back(&r[1], SC_ADAPTER_HDW_FAILURE);
    fake_down();
}
END_TEST

/* Far longer than a round waits. */
static void stays_for_long(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    shim_det_run(since + RUNG(4) + 2 * AD_STAGE_NS + 2 * AD_ADAPTER_NS);
    ck_assert_str_eq(f->asked, "L3.0 T3 B");
    ck_assert_uint_eq(r[0].done, 0);
}

/* A chip that cannot be cut off was never asked: it is, as soon as the other one has arrived. */
START_TEST(test_an_adapter_reset_that_had_to_wait_is_not_forgotten)
{
    struct ad_hw_ops ops = fake_full_ops;

    ops.isolate = NULL;
    up(&ops, 1);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(4, 0), 0), 0);
    send(0, 0, 5);
    run_to(RUNG(2) + AD_NS_PER_S);
    fake.on_start = stays_for_long;
    req_init(&r[1]);
    r[1].sb.scsi_command.scsi_id = 4;
    req_send(&r[1]);
    ck_assert_uint_eq(r[0].done, 0);
    run_s((AD_ADAPTER_NS + AD_STAGE_NS) / AD_NS_PER_S);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B A");
    came_back(&r[0], SC_CMD_TIMEOUT);
    came_back(&r[1], SC_SCSI_BUS_RESET);
    ck_assert_uint_eq(fake_lun->lun_again_ns, 0);
    fake_down();
}
END_TEST

/* When it arrives in time, the round goes on at once. */
static void arrives(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    shim_det_run(since + RUNG(3) + AD_NS_PER_S);
    ck_assert_str_eq(f->asked, "L3.0 T3");
}

START_TEST(test_a_round_begins_when_what_was_on_its_way_has_arrived)
{
    up(&fake_full_ops, 1);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(4, 0), 0), 0);
    fake.bus_dead = false;
    send(0, 0, 5);
    run_to(RUNG(2) + AD_NS_PER_S);
    fake.on_start = arrives;
    req_init(&r[1]);
    r[1].sb.scsi_command.scsi_id = 4;
    req_send(&r[1]);
    ck_assert_str_eq(fake.asked, "L3.0 T3 B");
    ck_assert_uint_eq(fake.asked_at, since + RUNG(3) + AD_NS_PER_S);
    came_back(&r[0], SC_CMD_TIMEOUT);
    came_back(&r[1], SC_SCSI_BUS_RESET);
    fake_down();
}
END_TEST

/* The host has no timer for the recovery, the k-th time it asks, and never again from then on. */
START_TEST(test_NB_02_the_recovery_without_a_timer)
{
    for (unsigned k = 1; k <= 10; k++) {
        for (unsigned always = 0; always < 2; always++) {
            up(&fake_full_ops, 1);
            send(0, 0, 0);
            shim_fail_set(SHIM_FAIL_TIMER, k, always != 0);
            if (!always) {
                ck_assert_int_eq(word(SCIOHALT, 0), 0);
                ck_assert_uint_eq(r[0].done, 1);
                ck_assert_str_eq(fake.asked, "L3.0 T3 B A");
            } else {
                (void)word(SCIOHALT, 0);
                shim_fail_set(SHIM_FAIL_TIMER, 0, false);
                ck_assert_int_eq(word(SCIOHALT, 0), 0); /* somebody who sleeps asks again */
                ck_assert_uint_eq(r[0].done, 1);
            }
            shim_fail_set(SHIM_FAIL_TIMER, 0, false);
            run_s(1);
            ck_assert_uint_eq(lun_at(0)->lun_gate, 0);
            fake_down();
        }
    }
}
END_TEST

static Suite *ad_recover_suite(void)
{
    Suite *s = suite_create("ad_recover");
    TCase *rungs = tcase_create("rungs");
    TCase *ends = tcase_create("ends");

    tcase_add_test(rungs, test_NB_21_each_rung_has_its_time);
    tcase_add_test(rungs, test_NB_21_what_a_rung_brings_back_ends_it);
    tcase_add_test(rungs, test_eight_luns_of_one_id_cost_one_target_reset);
    tcase_add_test(rungs, test_who_is_late_joins_the_next_round);
    tcase_add_test(rungs, test_nothing_is_started_until_the_devices_have_come_to);
    tcase_add_test(rungs, test_a_lun_that_starts_meanwhile_is_gated_too);
    tcase_add_test(rungs, test_the_settle_time_is_tunable);
    tcase_add_test(rungs, test_a_reset_that_tells_its_end_is_not_waited_for_any_longer);
    tcase_add_test(rungs, test_an_end_that_was_not_told_is_forgotten);
    tcase_add_test(rungs, test_a_reset_under_way_keeps_its_scope);
    tcase_add_test(rungs, test_what_a_reset_hits_has_to_come_back);
    tcase_add_test(rungs, test_an_adapter_is_not_reset_while_a_command_is_on_its_way);
    tcase_add_test(rungs, test_an_adapter_reset_that_had_to_wait_is_not_forgotten);
    tcase_add_test(rungs, test_a_round_begins_when_what_was_on_its_way_has_arrived);
    tcase_add_test(rungs, test_NB_02_the_recovery_without_a_timer);
    tcase_add_test(ends, test_a_lun_that_needed_an_adapter_reset_is_out_of_service);
    tcase_add_test(ends, test_SCIORESET_puts_a_lun_into_service_if_it_works);
    tcase_add_test(ends, test_AIX_27_a_chip_that_cannot_be_reset_is_cut_off);
    tcase_add_test(ends, test_the_first_open_gives_a_chip_another_chance);
    tcase_add_test(ends, test_a_chip_may_have_one_without_the_other);
    tcase_add_test(ends, test_NB_20_a_late_end_of_what_was_taken_back_is_counted);
    tcase_add_test(ends, test_SCIOHALT_and_SCIOSTOP_outlast_the_ladder);
    tcase_add_test(ends, test_AIX_26_SCIORESET_says_whether_everything_came_back);
    tcase_add_loop_test(ends, test_AIX_26_SCIORESET_does_not_answer_for_another_id, 0, 2);
    suite_add_tcase(s, rungs);
    suite_add_tcase(s, ends);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_recover_suite(), argc, argv); }
