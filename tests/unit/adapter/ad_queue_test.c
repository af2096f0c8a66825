/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_queue_test.c - the queue of one LUN while it runs: tags, openings, credits, order, and release
 * before response. The states after an error are in ad_halt_test.c and ad_keep_test.c; no room is in
 * ad_room_test.c.
 */
#include "ad_fake.h"
#include <signal.h>

static struct req q[300];

static void reqs_init(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        req_init(&q[i]);
}

/* ---------------------------------------------------------------- tags, openings, credits */

START_TEST(test_AIX_24_untagged_adapter_has_one_outstanding)
{
    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_tags_max = 0;
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    reqs_init(8);
    for (unsigned i = 0; i < 8; i++)
        req_send(&q[i]);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(fake.nkept, 1);
        fake_check(fake_lun);
        fake_end(0);
        ck_assert_uint_eq(q[i].order, i + 1);
        ck_assert_uint_eq(fake.qmsg[i], SC_NO_Q);
    }
    ck_assert_uint_eq(fake.nkept_max, 1);
    fake_down();
}
END_TEST

START_TEST(test_NB_09_untagged_command_runs_alone)
{
    fake_up(true, FAKE_PEND);
    reqs_init(6);
    q[2].sb.q_tag_msg = SC_NO_Q;
    q[3].sb.q_tag_msg = SC_NO_Q;
    for (unsigned i = 0; i < 6; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.nkept, 2); /* 0, 1 */
    fake_end(0);
    ck_assert_uint_eq(fake.nkept, 1);
    fake_end(0);
    ck_assert_uint_eq(fake.nkept, 1); /* 2 alone */
    ck_assert_uint_eq(fake.kept[0]->xfer_qmsg, SC_NO_Q);
    fake_check(fake_lun);
    fake_end(0);
    ck_assert_uint_eq(fake.nkept, 1); /* 3 alone */
    fake_end(0);
    ck_assert_uint_eq(fake.nkept, 2); /* 4, 5 */
    fake_end_all();
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(q[i].order, i + 1);
    fake_down();
}
END_TEST

START_TEST(test_NB_09_tags_unique_and_openings_kept)
{
    fake_up(true, FAKE_PEND); /* the fake chip checks that tags are unique */
    reqs_init(200);
    for (unsigned i = 0; i < 200; i++) {
        req_send(&q[i]);
        fake_check(fake_lun);
    }
    ck_assert_uint_eq(fake.nkept, AD_OPENINGS_DEFAULT);
    ck_assert_uint_eq(fake_stats().queued, 200 - AD_OPENINGS_DEFAULT);
    while (fake.nkept > 0) {
        fake_end((unsigned)(shim_det_random() % fake.nkept));
        fake_check(fake_lun);
        ck_assert_uint_le(fake.nkept, AD_OPENINGS_DEFAULT);
    }
    for (unsigned i = 0; i < 200; i++)
        ck_assert_uint_eq(q[i].done, 1);
    ck_assert_uint_eq(fake_stats().active_max, AD_OPENINGS_DEFAULT);
    fake_down();
}
END_TEST

/* Requests to LUN `no` of the same id. */
static void to_lun(struct req *r, unsigned no) { r->sb.lun = (uint8_t)no; }

START_TEST(test_NB_05_credits_are_never_overdrawn_and_every_lun_gets_its_turn)
{
    struct ad_config more = {.cfg_commands_max = 3};
    unsigned done_by_lun[4] = {0};

    shim_test_begin_det(7);
    fake_prepare();
    fake.caps.cap_commands_max = 4; /* the fake chip checks: never more than this */
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    for (unsigned no = 1; no < 4; no++)
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, no), 0), 0);
    reqs_init(200);
    for (unsigned i = 0; i < 200; i++) {
        to_lun(&q[i], i < 50 ? 0 : i < 100 ? 1 : i < 150 ? 2 : 3); /* LUN 0 comes with 50 before the rest */
        req_send(&q[i]);
        ck_assert_uint_le(fake.nkept, 3);
    }
    for (unsigned ended = 0; fake.nkept > 0; ended++) {
        unsigned no = fake.kept[0]->xfer_lun;

        done_by_lun[no]++;
        fake_end(0);
        ck_assert_uint_eq(fake.nkept, ended < 197 ? 3 : 199 - ended); /* work conserving */
        for (unsigned i = 0; i < 4; i++)
            fake_check(ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, i));
        if (ended >= 20 && ended < 150) /* round robin: nobody is far behind */
            for (unsigned i = 0; i < 4; i++)
                ck_assert_uint_ge(done_by_lun[i] + 6, ended / 4);
    }
    for (unsigned i = 0; i < 200; i++)
        ck_assert_uint_eq(q[i].done, 1);
    ck_assert_uint_gt(fake_stats().waits_credit, 0);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, 3);
    fake_down();
}
END_TEST

START_TEST(test_NB_05_credit_waiters_inline_do_not_recurse)
{
    struct ad_config more = {.cfg_commands_max = 1};

    shim_test_begin_det(7);
    fake_prepare();
    fake_attach(&more);
    fake.mode = FAKE_PEND;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    reqs_init(300);
    for (unsigned i = 0; i < 300; i++) {
        to_lun(&q[i], i % 2);
        req_send(&q[i]);
    }
    ck_assert_uint_eq(fake.nkept, 1);
    fake.mode = FAKE_INLINE; /* 299 waiting commands now end inside one ad_hw_done() */
    fake_end(0);
    for (unsigned i = 0; i < 300; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_NB_05_reserved_credits_return_at_stop)
{
    struct sc_adapter_stats st;

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTAT, (intptr_t)&st, 0), 0);
    ck_assert_uint_eq(st.credits, 1024);
    ck_assert_uint_eq(st.credits_free, 1024);
    reqs_init(1);
    req_send(&q[0]);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTAT, (intptr_t)&st, 0), 0);
    ck_assert_uint_eq(st.credits_free, 1023);
    ck_assert_uint_eq(st.responses_pending, 0);
    ck_assert_uint_eq(st.luns_started, 1);
    fake_end_all();
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, 1024);
    fake_down();
}
END_TEST

/* A LUN has credits of its own as long as half of all stay for the others; else it shares. */
START_TEST(test_NB_05_half_of_the_credits_stay)
{
    const uint32_t mine = AD_OPENINGS_DEFAULT + 1u;

    for (uint32_t credits = 2 * mine - 2; credits <= 2 * mine; credits++) {
        struct ad_config more = {.cfg_commands_max = credits};

        shim_test_begin_det(1);
        fake_prepare();
        fake_attach(&more);
        ck_assert_int_eq(fake_lun->lun_shared, credits < 2 * mine - 1);
        fake_down();
    }
}
END_TEST

START_TEST(test_NB_20_double_completion_is_counted_and_harmless)
{
    struct ad_xfer *xfer;

    fake_up(true, FAKE_PEND);
    reqs_init(2);
    req_send(&q[0]);
    xfer = fake.kept[0];
    fake_end(0);
    ad_hw_done(fake.ad, xfer);
    ck_assert_uint_eq(q[0].done, 1);
    ck_assert_uint_eq(fake_lun->lun_doubles, 1);
    fake_check(fake_lun);
    req_send(&q[1]);
    fake_end(0);
    ck_assert_uint_eq(q[1].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_NB_20_done_before_start_returns)
{
    fake_up(true, FAKE_EARLY);
    reqs_init(100);
    fake_script(AD_RES_GOOD, 0, 100);
    for (unsigned i = 0; i < 100; i++)
        req_expect(&q[i], 0);
    ck_assert_uint_eq(q[0].sb.bufstruct.b_resid, 100);
    ck_assert_uint_eq(fake_lun->lun_doubles, 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- order */

static unsigned order_starts[16];
static unsigned order_n;
static void order_note(struct fake *f, struct ad_xfer *xfer)
{
    (void)f;
    order_starts[order_n++ % 16] = xfer->xfer_qmsg;
}

START_TEST(test_NB_09_ordered_tags_keep_their_place)
{
    fake_up(true, FAKE_PEND);
    order_n = 0;
    fake.on_start = order_note;
    reqs_init(6);
    q[2].sb.q_tag_msg = SC_ORDERED_Q;
    q[4].sb.q_tag_msg = SC_HEAD_OF_Q;
    for (unsigned i = 0; i < 6; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.nkept, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(order_starts[i], q[i].sb.q_tag_msg);
    fake_check(fake_lun);
    fake_end_all();
    fake_down();
}
END_TEST

/* While request 0 is on its way to the chip another thread sends 1, ordered; and then 2 beside that. */
static void order_cut_in(struct fake *f, struct ad_xfer *xfer)
{
    unsigned mine = ++order_n;

    (void)f;
    (void)xfer;
    if (mine < 3) {
        req_send(&q[mine]);
        ck_assert_uint_eq(fake.starts, mine); /* it waits until this one has arrived */
    }
}

START_TEST(test_NB_09_ordered_waits_until_the_others_have_arrived)
{
    for (int mode = FAKE_INLINE; mode <= FAKE_PEND; mode++) {
        for (uint8_t tag = SC_HEAD_OF_Q; tag <= SC_ORDERED_Q; tag++) {
            fake_up(true, (enum fake_mode)mode);
            order_n = 0;
            fake.on_start = order_cut_in;
            reqs_init(3);
            q[1].sb.q_tag_msg = tag;
            req_send(&q[0]);
            ck_assert_uint_eq(fake.starts, 3);
            ck_assert_uint_eq(fake.qmsg[0], SC_SIMPLE_Q);
            ck_assert_uint_eq(fake.qmsg[1], tag);
            ck_assert_uint_eq(fake.qmsg[2], SC_SIMPLE_Q);
            fake_check(fake_lun);
            fake_end_all();
            fake_down();
        }
    }
}
END_TEST

/* ---------------------------------------------------------------- the lane */

static bool lane_is_open(void) { return ad_lane_is_open_locked(fake_lun); }

/* While a command of the lane is inside start(): the lane is closed, and ordinary ones run well. */
static void lane_close_inside(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    ck_assert(lane_is_open());
    shim_lock_enter(&fake_lun->lun_lock);
    ad_lane_close_locked(fake_lun);
    shim_lock_exit(&fake_lun->lun_lock);
    for (unsigned i = 1; i <= 2 * AD_LANE_STREAK; i++) {
        req_init(&q[i]);
        req_expect(&q[i], 0);
        ck_assert(!lane_is_open()); /* one who entered the old lane has yet to leave it */
    }
}

START_TEST(test_XEN_01_the_lane_opens_when_everybody_has_left_the_last_one)
{
    fake_up(true, FAKE_INLINE);
    fake.on_start = lane_close_inside;
    req_init(&q[0]);
    req_expect(&q[0], 0);
    ck_assert_uint_eq(fake.starts, 1 + 2 * AD_LANE_STREAK);
    for (unsigned i = 0; i < AD_LANE_STREAK && !lane_is_open(); i++) {
        req_init(&q[1]);
        req_expect(&q[1], 0);
    }
    ck_assert(lane_is_open());
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- direct or queued */

#define WAYS_N 1000

/* How one request came back; all of one size, so that two can be compared as memory. */
struct way_end {
    uint64_t error, resid, validity, scsi, card, q_status, done, order, inside;
};
static struct way_end way_ends[4][WAYS_N];
static bool way_sending;

static void way_done(struct req *r)
{
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    r->data[0] = way_sending; /* in the context of who sent it? */
}

/* One request of the list; what happens to it depends on the seed alone. */
static void way_send(unsigned way, unsigned i, uint32_t rnd)
{
    static const struct fake_result results[] = {{AD_RES_GOOD, 0, 0},
                                                 {AD_RES_GOOD, 0, 0},
                                                 {AD_RES_GOOD, 0, 100},
                                                 {AD_RES_STATUS, SC_BUSY_STATUS, 512},
                                                 {AD_RES_STATUS, SC_CHECK_CONDITION, 12},
                                                 {AD_RES_BUS_FAULT, 0, 512}};
    struct way_end *e = &way_ends[way][i];
    static struct req r;

    req_init(&r);
    r.then = way_done;
    /* Half of those that come after an error resume the queue, the others learn that it is halted. */
    r.sb.flags = i > 0 && way_ends[way][i - 1].error != 0 && (rnd & 1) ? SC_RESUME : 0;
    r.sb.resvd2 = (rnd >> 2 & 127) == 0;
    fake.script_n = fake.script_at = 0;
    fake.script[fake.script_n++] = results[rnd % 500 < SC_ARRAY_SIZE(results) ? rnd % 500 : 0];
    way_sending = true;
    req_send(&r);
    way_sending = false;
    fake_end_all();
    *e = (struct way_end){.error = r.sb.bufstruct.b_flags & B_ERROR ? (uint64_t)r.sb.bufstruct.b_error : 0,
                          .resid = r.sb.bufstruct.b_resid,
                          .validity = r.sb.status_validity,
                          .scsi = r.sb.scsi_status,
                          .card = r.sb.general_card_status,
                          .q_status = r.sb.adap_q_status,
                          .done = r.done,
                          .order = r.order,
                          .inside = r.data[0]};
}

/*
 * The same list in the lane, past it, through a chip that answers too early and one that answers later:
 * nobody can tell which it was. Only of the last are the good ones told later than from inside strategy.
 */
START_TEST(test_CAM_07_direct_and_queued_completions_are_the_same)
{
    static const enum fake_mode modes[] = {FAKE_INLINE, FAKE_INLINE, FAKE_EARLY, FAKE_PEND};

    for (unsigned way = 0; way < SC_ARRAY_SIZE(modes); way++) {
        struct ad_config more = {.cfg_commands_max = way == 0 ? 0 : 8}; /* who shares has no lane */
        uint32_t rnd = 4711;
        unsigned in_lane = 0;

        shim_test_begin_det(1);
        fake_prepare();
        fake.caps.cap_keeps_queue = false;
        fake.mode = modes[way];
        fake_attach(&more);
        ck_assert_int_eq(lane_is_open(), way == 0);
        for (unsigned i = 0; i < WAYS_N; i++) {
            rnd = rnd * 1664525u + 1013904223u;
            in_lane += lane_is_open();
            way_send(way, i, rnd >> 8);
            if (modes[way] != FAKE_PEND && !way_ends[way][i].inside)
                ck_abort_msg("way %u: request %u has waited", way, i);
            way_ends[way][i].inside = 0;
            if (way_ends[way][i].done != 1 ||
                memcmp(&way_ends[way][i], &way_ends[0][i], sizeof(way_ends[0][i])) != 0)
                ck_abort_msg("way %u: request %u came back in another way", way, i);
        }
        ck_assert(way == 0 ? in_lane > WAYS_N / 4 : in_lane == 0);
        ck_assert_uint_gt(fake_stats().errors, 5);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* ---------------------------------------------------------------- release before response */

static unsigned chain_left;
static void chain_next(struct req *r)
{
    struct sc_lun_stats st;

    fake_check(fake_lun);
    /* Everything the request used is free: the next one starts at once, with one opening. */
    ad_lun_stats_get(fake_lun, &st);
    ck_assert_uint_eq(st.active, 0);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, 1);
    ck_assert_uint_eq(fake.maps_live, 0);
    ck_assert_uint_eq(fake_lun->lun_responses, 0);
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    if (chain_left == 0)
        return;
    chain_left--;
    req_init(r);
    r->then = chain_next;
    req_send(r);
}

START_TEST(test_XEN_01_resubmit_from_iodone_with_pools_of_one)
{
    struct ad_config more = {.cfg_commands_max = 1};
    for (int mode = FAKE_INLINE; mode <= FAKE_EARLY; mode++) {
        shim_test_begin_det(1);
        fake_prepare();
        shim_det_tunable_set("ad_openings", 1);
        fake.mode = (enum fake_mode)mode;
        fake_attach(&more);
        chain_left = 50000; /* would not fit on a stack if it grew */
        reqs_init(1);
        q[0].then = chain_next;
        req_send(&q[0]);
        while (fake.nkept > 0)
            fake_end(0);
        ck_assert_uint_eq(chain_left, 0);
        ck_assert_uint_eq(fake_stats().completed, 50001);
        ck_assert_uint_eq(fake_stats().waits_credit, 0);
        ck_assert_uint_eq(fake_stats().queued, 0);
        fake_down();
    }
}
END_TEST

static unsigned load_left;
static void load_again(struct req *r)
{
    ck_assert(!fake_lun->lun_waiting);
    if (load_left == 0)
        return;
    load_left--;
    req_init(r);
    r->then = load_again;
    req_send(r);
}

/* How many commands of LUN 0 the chip has. */
static unsigned load_kept(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nkept; i++)
        n += fake.kept[i]->xfer_lun == 0;
    return n;
}

/*
 * A LUN that has credits for its openings is never short of one, though three others have taken all that is
 * left and it has more requests than openings, which are sent again from iodone and end in any order.
 */
START_TEST(test_XEN_09_no_shortage_with_pools_of_the_advertised_depth)
{
    const unsigned mine = AD_OPENINGS_DEFAULT + 36, all = mine + 3 * AD_OPENINGS_DEFAULT;
    struct ad_config more = {.cfg_commands_max = 2 * (AD_OPENINGS_DEFAULT + 1)};

    shim_test_begin_det(3);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    for (unsigned no = 1; no < 4; no++)
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, no), 0), 0);
    load_left = 600;
    reqs_init(all);
    for (unsigned i = mine; i < all; i++) {
        to_lun(&q[i], 1 + i % 3);
        req_send(&q[i]);
    }
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, 0);
    for (unsigned i = 0; i < mine; i++) {
        q[i].then = load_again;
        req_send(&q[i]);
    }
    while (load_left > 0) {
        unsigned at = (unsigned)(shim_det_random() % fake.nkept);

        ck_assert_uint_eq(load_kept(), AD_OPENINGS_DEFAULT);
        while (fake.kept[at]->xfer_lun != 0)
            at = (at + 1) % fake.nkept;
        fake_end(at);
    }
    ck_assert_uint_eq(fake_stats().waits_credit, 0);
    fake_end_all();
    ck_assert_uint_eq(fake_stats().completed, 600 + mine);
    ck_assert_uint_eq(fake_stats().waits_credit, 0);
    fake_down();
}
END_TEST

static unsigned trace_maps_at_iodone;
static void trace_iodone(struct req *r)
{
    (void)r;
    trace_maps_at_iodone += fake.maps_live;
    ck_assert_uint_eq(fake_lun->lun_responses, 0);  /* XEN-05: pushed */
    ck_assert_uint_eq(shim_self()->self_nlocks, 0); /* XEN-07 */
    fake_check(fake_lun);
}

START_TEST(test_XEN_02_release_lies_between_queueing_and_pushing)
{
    fake_up(false, FAKE_PEND);
    reqs_init(20);
    for (unsigned i = 0; i < 20; i++) {
        q[i].then = trace_iodone;
        req_send(&q[i]);
    }
    fake_script(AD_RES_GOOD, 0, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    trace_maps_at_iodone = 0;
    fake_end(0);
    ck_assert_uint_eq(trace_maps_at_iodone, 19); /* its own map is gone, the others live */
    fake_end(0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

/* Counter 1: seen from outside between any two steps it is 0, however many responses one push carries. */
START_TEST(test_XEN_05_nothing_stays_queued_after_a_push)
{
    struct sc_adapter_stats st;

    fake_up(false, FAKE_PEND);
    reqs_init(30);
    for (unsigned i = 0; i < 30; i++) {
        q[i].then = trace_iodone; /* looks at the counter inside every iodone */
        req_send(&q[i]);
    }
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    fake_end(0); /* one push: the failed one and 29 flushed */
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTAT, (intptr_t)&st, 0), 0);
    ck_assert_uint_eq(st.responses_pending, 0);
    ck_assert_uint_eq(st.completed, 30);
    ck_assert_uint_eq(st.errors, 1);
    fake_down();
}
END_TEST

/* No lock is held when the owner is told, on any way a request can come back. */
START_TEST(test_XEN_07_owner_is_told_with_no_lock_held)
{
    fake_up(true, FAKE_INLINE);
    reqs_init(4);
    for (unsigned i = 0; i < 4; i++)
        q[i].then = trace_iodone;
    req_expect(&q[0], 0);
    q[1].sb.resvd2 = 1;
    req_expect(&q[1], EINVAL);
    fake_script(AD_RES_BUS_FAULT, 0, 512);
    req_expect(&q[2], EIO);
    req_expect(&q[3], ENXIO);
    fake_down();
}
END_TEST

/* Whoever releases must hold the mutex: the checked build stops who does not. */
START_TEST(test_XEN_04_release_without_the_mutex_is_caught)
{
    fake_up(true, FAKE_PEND);
    ad_clear_locked(fake_lun);
}
END_TEST

START_TEST(test_XEN_06_every_error_counted_once)
{
    struct sc_lun_stats st;

    fake_up(false, FAKE_PEND);
    reqs_init(100);
    for (unsigned i = 0; i < 40; i++)
        req_send(&q[i]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    fake_end(5);
    for (unsigned i = 40; i < 50; i++)
        req_send(&q[i]); /* refused */
    st = fake_stats();
    ck_assert_uint_eq(st.errors, 1);
    ck_assert_uint_eq(st.flushed, 39);
    ck_assert_uint_eq(st.refused, 10);
    ck_assert_uint_eq(st.accepted, 40);
    ck_assert_uint_eq(st.completed, 40);
    fake_down();
}
END_TEST

static Suite *ad_queue_suite(void)
{
    Suite *s = suite_create("ad_queue");
    TCase *depth = tcase_create("depth");
    TCase *release = tcase_create("release");

    tcase_add_test(depth, test_AIX_24_untagged_adapter_has_one_outstanding);
    tcase_add_test(depth, test_NB_09_untagged_command_runs_alone);
    tcase_add_test(depth, test_NB_09_tags_unique_and_openings_kept);
    tcase_add_test(depth, test_NB_05_credits_are_never_overdrawn_and_every_lun_gets_its_turn);
    tcase_add_test(depth, test_NB_05_credit_waiters_inline_do_not_recurse);
    tcase_add_test(depth, test_NB_05_reserved_credits_return_at_stop);
    tcase_add_test(depth, test_NB_05_half_of_the_credits_stay);
    tcase_add_test(depth, test_NB_20_double_completion_is_counted_and_harmless);
    tcase_add_test(depth, test_NB_20_done_before_start_returns);
    tcase_add_test(depth, test_NB_09_ordered_tags_keep_their_place);
    tcase_add_test(depth, test_NB_09_ordered_waits_until_the_others_have_arrived);
    tcase_add_test(release, test_XEN_01_the_lane_opens_when_everybody_has_left_the_last_one);
    tcase_add_test(release, test_CAM_07_direct_and_queued_completions_are_the_same);
    tcase_add_test(release, test_XEN_01_resubmit_from_iodone_with_pools_of_one);
    tcase_add_test(release, test_XEN_09_no_shortage_with_pools_of_the_advertised_depth);
    tcase_add_test(release, test_XEN_02_release_lies_between_queueing_and_pushing);
    tcase_add_test(release, test_XEN_05_nothing_stays_queued_after_a_push);
    tcase_add_test(release, test_XEN_07_owner_is_told_with_no_lock_held);
    tcase_add_test_raise_signal(release, test_XEN_04_release_without_the_mutex_is_caught, SIGABRT);
    tcase_add_test(release, test_XEN_06_every_error_counted_once);
    suite_add_tcase(s, depth);
    suite_add_tcase(s, release);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_queue_suite(), argc, argv); }
