/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_limit_test.c - a device that says QUEUE FULL gets less, and slowly more again.
 */
#include "ad_fake.h"

static struct req q[64];

static void reqs_send(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        req_init(&q[i]);
        req_send(&q[i]);
    }
}

/* As a device driver: the queue was thrown back, the next request resumes it. */
static void reqs_resume(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        req_init(&q[i]);
        q[i].sb.flags = i == 0 ? SC_RESUME : 0;
        req_send(&q[i]);
    }
}

/* With n commands at the device the last one is refused; all are home afterwards. */
static void full_at(unsigned n)
{
    ck_assert_uint_eq(fake.nkept, n);
    fake_script(AD_RES_STATUS, SC_QUEUE_FULL, 512);
    fake_end(n - 1);
    fake.script_n = fake.script_at = 0;
    ck_assert_uint_eq(fake.nkept, 0);
    ck_assert_uint_eq(fake_stats().queued, 0);
    fake_check(fake_lun);
}

/* The limit is what the device has kept; what was refused goes up and is not sent again. */
START_TEST(test_NB_16_full_leaves_what_the_device_has)
{
    const bool keeps = _i != 0;
    struct sc_lun_flow flow;

    fake_up(keeps, FAKE_PEND);
    reqs_send(12);
    full_at(12);
    ck_assert_uint_eq(fake.starts, 12); /* AIX-18: not by us */
    ck_assert_int_eq(q[11].sb.bufstruct.b_error, EIO);
    ck_assert_uint_eq(q[11].sb.scsi_status, SC_QUEUE_FULL);
    flow = fake_flow();
    ck_assert_uint_eq(flow.limit, 11);
    ck_assert_uint_eq(flow.limit_max, AD_OPENINGS_DEFAULT);
    ck_assert_uint_eq(flow.fulls, 1);
    ck_assert_uint_eq(flow.lowered, 1);
    ck_assert_uint_eq(flow.waits_limit, 0);
    reqs_resume(20);
    ck_assert_uint_eq(fake.nkept, 11);
    ck_assert_uint_gt(fake_flow().waits_limit, 0);
    for (unsigned i = 0; i < 9; i++) {
        fake_end(0);
        ck_assert_uint_eq(fake.nkept, 11); /* one back, one more */
    }
    fake_end_all();
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

/* What is queued behind the limit has never been counted by the device. */
START_TEST(test_NB_16_queued_requests_do_not_count)
{
    fake_up(true, FAKE_PEND);
    reqs_send(12);
    full_at(12);
    reqs_resume(30);
    full_at(11);
    ck_assert_uint_eq(fake_flow().limit, 10);
    fake_down();
}
END_TEST

/* Alone it is busy, and says nothing about depth; two leave one, and less than one there is not. */
START_TEST(test_NB_16_alone_is_busy_and_one_is_the_floor)
{
    fake_up(true, FAKE_PEND);
    reqs_send(1);
    full_at(1);
    ck_assert_uint_eq(fake_flow().limit, AD_OPENINGS_DEFAULT);
    ck_assert_uint_eq(fake_flow().fulls_alone, 1);
    reqs_resume(2);
    full_at(2);
    ck_assert_uint_eq(fake_flow().limit, 1);
    reqs_resume(3);
    full_at(1);
    ck_assert_uint_eq(fake_flow().limit, 1);
    ck_assert_uint_eq(fake_flow().fulls, 3);
    ck_assert_uint_eq(fake_flow().fulls_alone, 2);
    ck_assert_uint_eq(fake_flow().lowered, 1);
    reqs_resume(1);
    fake_end_all();
    ck_assert_uint_eq(q[0].done, 1);
    fake_down();
}
END_TEST

/* The chip has said less meanwhile: a refusal beside as many as may be there says nothing new. */
START_TEST(test_NB_16_full_at_the_limit_lowers_nothing)
{
    fake_up(true, FAKE_PEND);
    reqs_send(10);
    ad_hw_openings(fake.ad, fake_lun->lun_id, fake_lun->lun_lun, 9);
    full_at(10);
    ck_assert_uint_eq(fake_flow().limit, 9);
    ck_assert_uint_eq(fake_flow().fulls, 1);
    ck_assert_uint_eq(fake_flow().lowered, 0);
    fake_down();
}
END_TEST

/* Of a burst of refusals the first counts: the others were sent before it was known. */
START_TEST(test_NB_16_a_burst_is_one_refusal)
{
    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_LATER;
    reqs_send(10);
    fake_script(AD_RES_STATUS, SC_QUEUE_FULL, 512);
    fake_script(AD_RES_STATUS, SC_QUEUE_FULL, 512);
    fake_script(AD_RES_STATUS, SC_QUEUE_FULL, 512);
    fake_end(9);
    fake_end(8);
    fake_end(7);
    fake_end_all();
    ck_assert_uint_eq(fake_flow().fulls, 3);
    ck_assert_uint_eq(fake_flow().lowered, 1);
    ck_assert_uint_eq(fake_flow().limit, 9);
    fake_down();
}
END_TEST

/* One command that ends well now. */
static void good_one(void)
{
    req_init(&q[63]);
    q[63].sb.flags = fake_lun->lun_state == AD_LUN_HALT ? SC_RESUME : 0;
    req_send(&q[63]);
    fake_end_all();
    ck_assert_uint_eq(q[63].done, 1);
}

/* One more for each second without a refusal, asked at good ends; at the top it stays. */
START_TEST(test_NB_16_climbs_slowly_by_the_clock)
{
    fake_up(true, FAKE_PEND);
    shim_det_run(shim_now_ns() + AD_NS_PER_S);
    reqs_send(61);
    full_at(61);
    ck_assert_uint_eq(fake_flow().limit, 60);
    good_one();
    ck_assert_uint_eq(fake_flow().limit, 60);
    shim_det_run(shim_now_ns() + AD_LIMIT_UP_NS - 1);
    good_one();
    ck_assert_uint_eq(fake_flow().limit, 60);
    shim_det_run(shim_now_ns() + 1);
    good_one();
    good_one();
    ck_assert_uint_eq(fake_flow().limit, 61);
    shim_det_run(shim_now_ns() + 10 * AD_LIMIT_UP_NS); /* however long: by one */
    good_one();
    ck_assert_uint_eq(fake_flow().limit, 62);
    for (unsigned i = 0; i < 5; i++) {
        shim_det_run(shim_now_ns() + AD_LIMIT_UP_NS);
        good_one();
    }
    ck_assert_uint_eq(fake_flow().limit, AD_OPENINGS_DEFAULT);
    ck_assert_uint_eq(fake_flow().raised, 4);
    fake_down();
}
END_TEST

/* A device that is full at the same depth again is asked half as often; at another depth as often as ever. */
START_TEST(test_NB_16_the_same_depth_again_doubles_the_pause)
{
    uint64_t pause = AD_LIMIT_UP_NS;

    fake_up(true, FAKE_PEND);
    reqs_send(5);
    full_at(5);
    for (unsigned round = 0; round < 9; round++) {
        good_one();
        shim_det_run(shim_now_ns() + pause - 1);
        good_one();
        ck_assert_uint_eq(fake_flow().limit, 4);
        shim_det_run(shim_now_ns() + 1);
        good_one();
        ck_assert_uint_eq(fake_flow().limit, 5);
        reqs_send(5);
        full_at(5);
        pause = pause * 2 < AD_LIMIT_UP_MAX_NS ? pause * 2 : AD_LIMIT_UP_MAX_NS;
    }
    ck_assert_uint_eq(pause, AD_LIMIT_UP_MAX_NS);
    reqs_resume(3);
    full_at(3);
    good_one();
    shim_det_run(shim_now_ns() + AD_LIMIT_UP_NS);
    good_one();
    ck_assert_uint_eq(fake_flow().limit, 3);
    fake_down();
}
END_TEST

static bool lane_is_open(void)
{
    bool open;

    shim_lock_enter(&fake_lun->lun_lock);
    open = ad_lane_is_open_locked(fake_lun);
    shim_lock_exit(&fake_lun->lun_lock);
    return open;
}

/* The lane counts nothing, so a lowered LUN has none; at its top it has it again. */
START_TEST(test_NB_16_no_lane_below_the_top)
{
    fake_up(true, FAKE_PEND);
    reqs_send(64);
    full_at(64);
    ck_assert_uint_eq(fake_flow().limit, 63);
    fake.mode = FAKE_INLINE;
    good_one();
    for (unsigned i = 0; i < 2 * AD_LANE_STREAK; i++)
        good_one();
    ck_assert(!lane_is_open());
    shim_det_run(shim_now_ns() + AD_LIMIT_UP_NS);
    for (unsigned i = 0; i < 2 * AD_LANE_STREAK; i++)
        good_one();
    ck_assert_uint_eq(fake_flow().limit, 64);
    ck_assert(lane_is_open());
    fake_down();
}
END_TEST

/* An untagged command says nothing, whatever else the device keeps. Who starts anew starts high. */
START_TEST(test_NB_16_untagged_says_nothing_and_a_start_forgets)
{
    fake_up(true, FAKE_PEND);
    reqs_send(4);
    full_at(4);
    ck_assert_uint_eq(fake_flow().limit, 3);
    reqs_resume(3);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0); /* two are kept at the device */
    req_init(&q[10]);
    q[10].sb.q_tag_msg = SC_NO_Q;
    q[10].sb.flags = SC_RESUME;
    req_send(&q[10]);
    fake_script(AD_RES_STATUS, SC_QUEUE_FULL, 512);
    fake_end(fake.nkept - 1);
    ck_assert_uint_eq(q[10].done, 1);
    ck_assert_uint_eq(fake_flow().limit, 3);
    ck_assert_uint_eq(fake_flow().fulls_alone, 1);
    fake_end_all();
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(fake_flow().limit, AD_OPENINGS_DEFAULT);
    ck_assert_uint_eq(fake_flow().fulls, 0);
    fake_down();
}
END_TEST

/* The flight recorder has each lowering, and the end of it. */
START_TEST(test_limit_is_in_the_flight_recorder)
{
    struct sc_flight flight = {.id = FAKE_ID};
    const struct sc_flight_rec *r = flight.rec;

    fake_up(true, FAKE_PEND);
    reqs_send(64);
    full_at(64);
    shim_det_run(shim_now_ns() + AD_LIMIT_UP_NS);
    good_one();
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOFLIGHT, (intptr_t)&flight, 0), 0);
    ck_assert_uint_eq(r[0].what, SC_FLIGHT_LIMIT);
    ck_assert_str_eq(r[0].rule, "QUEUE FULL");
    ck_assert_str_eq(r[0].did, "depth 64 -> 63");
    while (r->what != 0 && strcmp(r->rule, "no QUEUE FULL since") != 0)
        r++;
    ck_assert_uint_eq(r->what, SC_FLIGHT_LIMIT);
    ck_assert_str_eq(r->did, "depth 63 -> 64");
    fake_down();
}
END_TEST

START_TEST(test_flow_ioctl_checks_what_it_is_given)
{
    struct sc_lun_flow flow = {.id = FAKE_ID, .lun = 1};

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOLUNFLOW, (intptr_t)&flow, 0), EINVAL); /* not started */
    flow.lun = 0;
    flow.reserved[1] = 1;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOLUNFLOW, (intptr_t)&flow, 0), EINVAL);
    flow.reserved[1] = 0;
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOLUNFLOW, (intptr_t)&flow, 0, DREAD), 0); /* anybody */
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOLUNFLOW, 0, 0, DREAD), EFAULT);
    fake_down();
}
END_TEST

static Suite *ad_limit_suite(void)
{
    Suite *s = suite_create("ad_limit");
    TCase *t = tcase_create("limit");

    tcase_add_loop_test(t, test_NB_16_full_leaves_what_the_device_has, 0, 2);
    tcase_add_test(t, test_NB_16_queued_requests_do_not_count);
    tcase_add_test(t, test_NB_16_alone_is_busy_and_one_is_the_floor);
    tcase_add_test(t, test_NB_16_full_at_the_limit_lowers_nothing);
    tcase_add_test(t, test_NB_16_a_burst_is_one_refusal);
    tcase_add_test(t, test_NB_16_climbs_slowly_by_the_clock);
    tcase_add_test(t, test_NB_16_the_same_depth_again_doubles_the_pause);
    tcase_add_test(t, test_NB_16_no_lane_below_the_top);
    tcase_add_test(t, test_NB_16_untagged_says_nothing_and_a_start_forgets);
    tcase_add_test(t, test_limit_is_in_the_flight_recorder);
    tcase_add_test(t, test_flow_ioctl_checks_what_it_is_given);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_limit_suite(), argc, argv); }
