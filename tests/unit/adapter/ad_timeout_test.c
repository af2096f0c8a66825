/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_timeout_test.c - timeouts, the ladder behind them, SC_DELAY_CMD, timers that cannot be armed;
 * in virtual time.
 */
#include "ad_fake.h"

static struct req r[8];

static void send(unsigned i, uint32_t seconds)
{
    req_init(&r[i]);
    r[i].sb.timeout_value = seconds;
    req_send(&r[i]);
}

static void run_s(uint64_t seconds) { shim_det_run(shim_now_ns() + seconds * AD_NS_PER_S); }

static void timed_out(const struct req *q)
{
    ck_assert_uint_eq(q->done, 1);
    ck_assert_int_eq(q->sb.bufstruct.b_error, EIO);
    ck_assert_uint_eq(q->sb.status_validity, SC_ADAPTER_ERROR);
    ck_assert_uint_eq(q->sb.general_card_status, SC_CMD_TIMEOUT);
    ck_assert_uint_eq(q->sb.scsi_status, 0);
}

START_TEST(test_AIX_18_timeout_aborts_then_reports)
{
    fake_up(true, FAKE_PEND);
    send(0, 10);
    run_s(9);
    ck_assert_uint_eq(fake.aborts, 0);
    run_s(2);
    ck_assert_uint_eq(fake.aborts, 1);
    timed_out(&r[0]);
    ck_assert_uint_eq(fake.starts, 1); /* never sent again */
    ck_assert_uint_eq(fake_stats().timeouts, 1);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_zero_means_no_timeout)
{
    fake_up(true, FAKE_PEND);
    send(0, 0);
    ck_assert_uint_eq(shim_det_timers(), 0);
    run_s(1000000);
    ck_assert_uint_eq(r[0].done, 0);
    fake_end_all();
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_inline_commands_need_no_timer)
{
    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < 8; i++)
        send(i, 30);
    ck_assert_uint_eq(shim_det_timers(), 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_memory_is_not_returned_before_the_chip_lets_go)
{
    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_LATER;
    send(0, 10);
    run_s(13);
    ck_assert_uint_eq(fake.aborts, 1);
    ck_assert_uint_eq(r[0].done, 0);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    timed_out(&r[0]);
    run_s(100);
    ck_assert_uint_eq(fake.target_resets, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_command_that_ends_while_being_aborted_is_reported_as_it_ended)
{
    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_FINISHED;
    send(0, 10);
    fake_script(AD_RES_GOOD, 0, 7);
    run_s(11);
    ck_assert_uint_eq(r[0].done, 1);
    ck_assert_uint_eq(r[0].sb.bufstruct.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(r[0].sb.bufstruct.b_resid, 7);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_ladder_target_reset_after_5_s_bus_reset_after_10)
{
    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_NEVER;
    send(0, 10);
    run_s(14);
    ck_assert_uint_eq(fake.target_resets, 0);
    run_s(2);
    ck_assert_uint_eq(fake.target_resets, 1);
    timed_out(&r[0]);
    fake_down();

    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    send(0, 10);
    send(1, 0);
    run_s(19);
    ck_assert_uint_eq(fake.bus_resets, 0);
    run_s(2);
    ck_assert_uint_eq(fake.bus_resets, 1);
    timed_out(&r[0]);
    ck_assert_uint_eq(r[1].done, 1);
    ck_assert_uint_eq(r[1].sb.general_card_status, SC_SCSI_BUS_RESET);
    fake_down();
}
END_TEST

/* The first one fails while this one is inside start(). */
static void fail_the_first(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    fake_end(0);
}

/* A command that was wanted back before the chip had it climbs the ladder like one that was there already. */
START_TEST(test_AIX_18_the_ladder_of_a_command_wanted_back_inside_start)
{
    fake_up(false, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_NEVER;
    send(0, 0);
    fake.on_start = fail_the_first;
    send(1, 0);
    ck_assert_int_eq(r[0].sb.bufstruct.b_error, EIO);
    ck_assert_uint_eq(r[1].done, 0);
    ck_assert_uint_eq(fake.aborts, 1);
    run_s(4);
    ck_assert_uint_eq(fake.target_resets, 0);
    run_s(2);
    ck_assert_uint_eq(fake.target_resets, 1);
    ck_assert_uint_eq(r[1].done, 1);
    ck_assert_int_eq(r[1].sb.bufstruct.b_error, ENXIO);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_each_deadline_of_several_is_kept)
{
    fake_up(false, FAKE_PEND);
    send(0, 50);
    send(1, 20);
    send(2, 30);
    run_s(5);
    fake_end(1); /* request 1 in time: its timer finds nothing to do */
    ck_assert_uint_eq(r[1].done, 1);
    run_s(20);
    ck_assert_uint_eq(fake.aborts, 0);
    run_s(6); /* 31 s: request 2; clearing takes request 0 back too */
    timed_out(&r[2]);
    ck_assert_uint_eq(r[0].done, 1);
    ck_assert_int_eq(r[0].sb.bufstruct.b_error, ENXIO);
    ck_assert_uint_gt(r[0].order, r[2].order);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_kept_queue_still_times_out)
{
    fake_up(true, FAKE_PEND);
    send(0, 10);
    send(1, 10);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    run_s(11);
    timed_out(&r[1]);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_down();
}
END_TEST

START_TEST(test_NB_02_a_timer_that_cannot_be_armed_is_armed_by_the_next_activity)
{
    fake_up(true, FAKE_PEND);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    send(0, 10);
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert_uint_eq(r[0].done, 0); /* not lost, not failed */
    send(1, 10);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    send(2, 10);
    ck_assert_uint_eq(shim_det_timers(), 1);
    run_s(11);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(r[i].done, 1);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_NB_02_no_room_and_no_timer_still_goes_on)
{
    fake_up(true, FAKE_INLINE);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    fake.busy = 2;
    send(0, 10);
    ck_assert_uint_eq(r[0].done, 0);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    send(1, 10); /* any activity arms the backstop */
    run_s(1);
    ck_assert_uint_eq(r[0].order, 1);
    ck_assert_uint_eq(r[1].order, 2);
    fake_down();
}
END_TEST

START_TEST(test_NB_02_one_timer_however_many_wait)
{
    fake_up(true, FAKE_INLINE);
    fake.busy = 1000;
    for (unsigned i = 0; i < 8; i++) {
        send(i, 10);
        ck_assert_uint_eq(shim_det_timers(), 1);
    }
    fake.busy = 0;
    run_s(1);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(r[i].order, i + 1);
    fake_down();
}
END_TEST

START_TEST(test_AIX_21_SC_DELAY_CMD_is_held_back_and_others_behind_it)
{
    fake_up(true, FAKE_INLINE);
    req_init(&r[0]);
    r[0].sb.flags = SC_DELAY_CMD | SC_RESUME;
    req_send(&r[0]);
    send(1, 30);
    ck_assert_uint_eq(fake.starts, 0);
    shim_det_run(shim_now_ns() + (AD_DELAY_DEFAULT_MS - 1) * AD_NS_PER_MS);
    ck_assert_uint_eq(fake.starts, 0);
    fake_check(fake_lun);
    shim_det_run(shim_now_ns() + 2 * AD_NS_PER_MS);
    ck_assert_uint_eq(r[0].order, 1);
    ck_assert_uint_eq(r[1].order, 2);
    /* Again: the delay counts for each command. */
    req_init(&r[0]);
    r[0].sb.flags = SC_DELAY_CMD;
    req_send(&r[0]);
    ck_assert_uint_eq(r[0].done, 0);
    run_s(2);
    ck_assert_uint_eq(r[0].done, 1);
    /* And when one was thrown back before its time was over. */
    req_init(&r[0]);
    r[0].sb.flags = SC_DELAY_CMD;
    req_send(&r[0]);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_int_eq(r[0].sb.bufstruct.b_error, ENXIO);
    run_s(2);
    req_init(&r[0]);
    r[0].sb.flags = SC_DELAY_CMD | SC_RESUME;
    req_send(&r[0]);
    ck_assert_uint_eq(r[0].done, 0);
    run_s(2);
    ck_assert_uint_eq(r[0].done, 1);
    /* Without a timer it goes at once rather than never. */
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    req_init(&r[0]);
    r[0].sb.flags = SC_DELAY_CMD;
    req_expect(&r[0], 0);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake_down();
}
END_TEST

static unsigned lost_events;
static void on_lost(struct sc_event_info *info) { lost_events += info->events == SC_FATAL_HDW_ERR; }

static int fake_no_bus_reset(void *hw)
{
    ((struct fake *)hw)->bus_resets++;
    return 0;
}

/* A recovery command may be held back too. */
START_TEST(test_AIX_22_a_recovery_command_may_be_held_back)
{
    fake_up(true, FAKE_PEND);
    send(0, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    req_init(&r[1]);
    r[1].sb.q_tag_msg = SC_NO_Q;
    r[1].sb.flags = SC_RESUME | SC_DELAY_CMD;
    req_send(&r[1]);
    shim_det_run(shim_now_ns() + 999 * AD_NS_PER_MS);
    ck_assert_uint_eq(fake.starts, 1);
    fake_check(fake_lun);
    shim_det_run(shim_now_ns() + 2 * AD_NS_PER_MS);
    ck_assert_uint_eq(fake.starts, 2);
    fake_end_all();
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC_DONE);
    fake_down();
}
END_TEST

/* Turned away by the chip, or by the mapper, again and again: the request's time runs all the same. */
START_TEST(test_AIX_18_time_runs_while_there_is_no_room)
{
    for (unsigned mapper = 0; mapper < 2; mapper++) {
        uint64_t from;

        fake_up(true, FAKE_PEND);
        fake.busy = mapper ? 0 : 1000000;
        fake.map_later = mapper ? 1000000 : 0;
        from = shim_now_ns();
        send(0, 5);
        send(1, 100); /* behind it */
        shim_det_run(from + 5 * AD_NS_PER_S - 1);
        ck_assert_uint_eq(r[0].done, 0);
        fake_check(fake_lun);
        shim_det_run(from + 5 * AD_NS_PER_S + AD_RETRY_NS);
        timed_out(&r[0]);
        ck_assert_uint_eq(r[0].sb.bufstruct.b_resid, 512);
        ck_assert_uint_eq(r[1].done, 1);
        ck_assert_int_eq(r[1].sb.bufstruct.b_error, ENXIO);
        ck_assert_uint_eq(r[1].order, 2);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
        ck_assert_uint_eq(fake_stats().timeouts, 1);
        ck_assert_uint_eq(fake.starts, 0);
        fake_check(fake_lun);
        /* The same sc_buf again: its time begins anew. */
        from = shim_now_ns();
        req_init(&r[0]);
        r[0].sb.flags = SC_RESUME;
        r[0].sb.timeout_value = 5;
        req_send(&r[0]);
        run_s(4);
        ck_assert_uint_eq(r[0].done, 0);
        fake.busy = fake.map_later = 0;
        run_s(1);
        ck_assert_uint_eq(fake.starts, 1);
        /* And at the chip it has all of it. */
        run_s(4);
        ck_assert_uint_eq(r[0].done, 0);
        fake_end_all();
        ck_assert_uint_eq(r[0].sb.bufstruct.b_flags & B_ERROR, 0);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* A recovery command and an ioctl's sense command are turned away in slots of their own. */
START_TEST(test_AIX_22_time_of_a_recovery_command_runs_while_there_is_no_room)
{
    fake_up(true, FAKE_PEND);
    send(0, 0);
    send(1, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    fake.busy = 1000000;
    req_init(&r[2]);
    r[2].sb.q_tag_msg = SC_NO_Q;
    r[2].sb.flags = SC_RESUME;
    r[2].sb.timeout_value = 3;
    req_send(&r[2]);
    run_s(2);
    ck_assert_uint_eq(r[2].done, 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC);
    fake_check(fake_lun);
    run_s(2);
    timed_out(&r[2]);
    ck_assert_uint_eq(r[2].sb.adap_q_status, SC_DID_NOT_CLEAR_Q);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    fake_check(fake_lun);
    fake.busy = 0;
    fake_end_all();
    ck_assert_uint_eq(r[1].sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST

/* The host is short of timers for a moment, for longer, and while a delay asks for one too. */
START_TEST(test_NB_02_a_timer_that_cannot_be_armed_is_asked_for_again)
{
    fake_up(true, FAKE_PEND);
    shim_fail_set(SHIM_FAIL_TIMER, 1, false);
    send(0, 5); /* nothing else happens on this adapter */
    ck_assert_uint_eq(shim_det_timers(), 1);
    run_s(6);
    timed_out(&r[0]);
    fake_down();
}
END_TEST

START_TEST(test_NB_02_a_delay_without_a_timer_does_not_hide_a_timeout_without_one)
{
    fake_up(true, FAKE_PEND);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    send(0, 5);
    req_init(&r[1]);
    r[1].sb.flags = SC_DELAY_CMD;
    r[1].sb.timeout_value = 0;
    req_send(&r[1]); /* goes at once: no timer for its delay */
    ck_assert_uint_eq(fake.nkept, 2);
    ck_assert_uint_eq(shim_det_timers(), 0);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    send(2, 0); /* any activity */
    ck_assert_uint_eq(shim_det_timers(), 1);
    run_s(6);
    timed_out(&r[0]);
    fake_end_all();
    fake_down();
}
END_TEST

/* Nothing happens on the LUN that got no timer; one of another LUN comes to its help. */
START_TEST(test_NB_02_a_timer_of_another_lun_helps)
{
    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    req_init(&r[0]);
    r[0].sb.lun = 1;
    r[0].sb.timeout_value = 2;
    req_send(&r[0]);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    send(1, 5);
    ck_assert_uint_eq(shim_det_timers(), 1);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    run_s(3);
    timed_out(&r[0]);
    ck_assert(!fake_lun->lun_timer_lost);
    run_s(3);
    timed_out(&r[1]);
    fake_down();
}
END_TEST

/* Its timer cannot be had then, either: the next one comes to its help. */
START_TEST(test_NB_02_a_later_timer_of_another_lun_helps)
{
    fake_up(true, FAKE_PEND);
    for (unsigned i = 1; i <= 2; i++) {
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, i), 0), 0);
        req_init(&r[i]);
        r[i].sb.lun = (uint8_t)i;
        r[i].sb.timeout_value = 2 * i;
        req_send(&r[i]);
    }
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    send(0, 5);
    shim_fail_set(SHIM_FAIL_TIMER, 2, true); /* one for the LUN whose timer fires, none for this one */
    run_s(3);
    timed_out(&r[1]);
    ck_assert(fake_lun->lun_timer_lost);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    run_s(2);
    timed_out(&r[2]);
    ck_assert(!fake_lun->lun_timer_lost);
    run_s(1);
    timed_out(&r[0]);
    fake_down();
}
END_TEST

/* Nor any timer at all: each event of any LUN is one more try. */
START_TEST(test_NB_02_an_event_of_another_lun_helps)
{
    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    send(0, 5);
    ck_assert(fake_lun->lun_timer_lost);
    ck_assert_uint_eq(shim_det_timers(), 0);
    req_init(&r[1]);
    r[1].sb.lun = 1;
    r[1].sb.timeout_value = 0;
    req_send(&r[1]);
    ck_assert(fake_lun->lun_timer_lost); /* one more try, in vain, and not one after the other */
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake_end(1); /* the other LUN's: its end is an event */
    ck_assert_uint_eq(r[1].done, 1);
    ck_assert(!fake_lun->lun_timer_lost);
    ck_assert_uint_eq(shim_det_timers(), 1);
    run_s(6);
    timed_out(&r[0]);
    fake_down();
}
END_TEST

START_TEST(test_AIX_27_a_chip_that_keeps_a_command_for_ever_is_a_fatal_event)
{
    struct sc_event_struct ev = {.id = FAKE_ID, .mode = SC_IM_MODE, .async_func = on_lost};
    struct ad_hw_ops dead = fake_ops;
    struct err_rec rec[16];
    unsigned n, fatal = 0;

    fake_up(true, FAKE_PEND);
    dead.reset_bus = fake_no_bus_reset;
    ad_find(FAKE_DEVNO)->adp_ops = &dead;
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOEVENT, (intptr_t)&ev, 0), 0);
    lost_events = 0;
    send(0, 10);
    run_s(300);
    ck_assert_uint_eq(r[0].done, 0); /* its memory may still be written to */
    ck_assert_uint_eq(lost_events, 1);
    ck_assert_uint_ge(fake.bus_resets, 4);
    n = errlog_read(0, rec, 16);
    for (unsigned i = 0; i < n; i++)
        fatal += rec[i].er_id == ERRID_SCSI_ERR2;
    ck_assert_uint_eq(fatal, 1);
    /* SCIOHALT and SCIOSTOP give up in time, and the LUN stays started. */
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), ETIMEDOUT);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), ETIMEDOUT);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0); /* at last */
    timed_out(&r[0]);
    fake_down();
}
END_TEST

static Suite *ad_timeout_suite(void)
{
    Suite *s = suite_create("ad_timeout");
    TCase *timeouts = tcase_create("timeouts");
    TCase *timers = tcase_create("timers");

    tcase_add_test(timeouts, test_NB_02_a_timer_of_another_lun_helps);
    tcase_add_test(timeouts, test_NB_02_a_later_timer_of_another_lun_helps);
    tcase_add_test(timeouts, test_NB_02_an_event_of_another_lun_helps);
    tcase_add_test(timeouts, test_NB_02_a_delay_without_a_timer_does_not_hide_a_timeout_without_one);
    tcase_add_test(timeouts, test_NB_02_a_timer_that_cannot_be_armed_is_asked_for_again);
    tcase_add_test(timeouts, test_AIX_22_time_of_a_recovery_command_runs_while_there_is_no_room);
    tcase_add_test(timeouts, test_AIX_18_time_runs_while_there_is_no_room);
    tcase_add_test(timeouts, test_AIX_22_a_recovery_command_may_be_held_back);
    tcase_add_test(timeouts, test_AIX_18_timeout_aborts_then_reports);
    tcase_add_test(timeouts, test_AIX_18_zero_means_no_timeout);
    tcase_add_test(timeouts, test_AIX_18_inline_commands_need_no_timer);
    tcase_add_test(timeouts, test_AIX_18_memory_is_not_returned_before_the_chip_lets_go);
    tcase_add_test(timeouts, test_AIX_18_command_that_ends_while_being_aborted_is_reported_as_it_ended);
    tcase_add_test(timeouts, test_AIX_18_ladder_target_reset_after_5_s_bus_reset_after_10);
    tcase_add_test(timeouts, test_AIX_18_the_ladder_of_a_command_wanted_back_inside_start);
    tcase_add_test(timeouts, test_AIX_18_each_deadline_of_several_is_kept);
    tcase_add_test(timeouts, test_AIX_18_kept_queue_still_times_out);
    tcase_add_test(timeouts, test_AIX_27_a_chip_that_keeps_a_command_for_ever_is_a_fatal_event);
    tcase_add_test(timers, test_NB_02_a_timer_that_cannot_be_armed_is_armed_by_the_next_activity);
    tcase_add_test(timers, test_NB_02_no_room_and_no_timer_still_goes_on);
    tcase_add_test(timers, test_NB_02_one_timer_however_many_wait);
    tcase_add_test(timers, test_AIX_21_SC_DELAY_CMD_is_held_back_and_others_behind_it);
    suite_add_tcase(s, timeouts);
    suite_add_tcase(s, timers);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_timeout_suite(), argc, argv); }
