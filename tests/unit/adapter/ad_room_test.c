/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_room_test.c - no room in the chip, in the mapper, in the segment lists; and how much memory a
 * LUN takes.
 */
#include "ad_fake.h"

static struct req q[AD_LONG_LISTS + 7];

static void reqs_init(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        req_init(&q[i]);
}

START_TEST(test_AIX_18_chip_without_room_is_kicked)
{
    fake_up(true, FAKE_PEND);
    reqs_init(10);
    fake.busy = 1000;
    for (unsigned i = 0; i < 10; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.starts, 0);
    fake_check(fake_lun);
    fake.busy = 0;
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.nkept, 10);
    fake_end_all();
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq(q[i].order, i + 1);
    fake_down();
}
END_TEST

static char logged[200];
static unsigned nlogged;

static void log_count(int level, const char *text)
{
    if (level != SHIM_LOG_VERBOSE)
        return;
    nlogged++;
    (void)snprintf(logged, sizeof(logged), "%s", text);
}

/* What goes back to the queue unsent is logged, once each time, and what has been sent never goes back. */
START_TEST(test_AIX_18_unsent_commands_are_logged)
{
    struct shim_host host = *shim_det_host(1);

    host.log = log_count;
    shim_test_begin(&host);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    reqs_init(2);
    nlogged = 0;
    fake.busy = 4; /* two tries each */
    req_send(&q[0]);
    ck_assert_uint_eq(nlogged, 1);
    ck_assert_str_eq(logged, "scsi0: 3,0: a command could not be sent: no room");
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(nlogged, 2);
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.starts, 1);
    fake.frozen[FAKE_ID][0] = 1;
    req_send(&q[1]);
    ck_assert_uint_eq(nlogged, 3);
    ck_assert_ptr_nonnull(strstr(logged, ": frozen"));
    fake.frozen[FAKE_ID][0] = 0;
    shim_det_run(shim_now_ns() + AD_RETRY_NS);
    fake_end_all();
    ck_assert_uint_eq(q[0].done + q[1].done, 2);
    ck_assert_uint_eq(fake.starts, 2);
    ck_assert_uint_eq(nlogged, 3);
    fake_down();
}
END_TEST

/*
 * A shortage, here of credits, sets a flag; the next release, on another LUN, clears it and wakes who waits,
 * without any timer.
 */
START_TEST(test_XEN_10_the_next_release_wakes_who_is_short)
{
    struct ad_config more = {.cfg_commands_max = 1};
    struct ad_lun *other;

    shim_test_begin_det(1);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    other = ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, 1);
    reqs_init(3);
    req_send(&q[0]);
    ck_assert(!other->lun_waiting);
    for (unsigned i = 1; i < 3; i++) {
        q[i].sb.lun = 1;
        req_send(&q[i]);
        ck_assert(other->lun_waiting);
        ck_assert_uint_eq(other->lun_waits_credit, 1); /* one flag, however many wait behind it */
    }
    ck_assert_uint_eq(fake.starts, 1);
    fake_end(0);
    ck_assert_uint_eq(q[0].order, 1);
    ck_assert_uint_eq(fake.starts, 2); /* inside that completion */
    ck_assert_uint_eq(fake.kept[0]->xfer_lun, 1);
    fake_end(0);
    fake_end(0);
    ck_assert_uint_eq(q[2].order, 3);
    ck_assert(!other->lun_waiting);
    fake_check(other);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_chip_that_forgets_to_kick_is_tried_again)
{
    fake_up(true, FAKE_INLINE);
    reqs_init(10);
    fake.busy = 4; /* two tries each: the first and one more look */
    req_send(&q[0]);
    ck_assert_uint_eq(q[0].done, 0);
    ck_assert_uint_eq(shim_det_timers(), 1);
    shim_det_run(shim_now_ns() + AD_RETRY_NS);
    ck_assert_uint_eq(q[0].done, 0);
    shim_det_run(shim_now_ns() + AD_RETRY_NS);
    ck_assert_uint_eq(q[0].done, 1);
    /* Room between the first and the second look costs nothing. */
    fake.busy = 1;
    req_expect(&q[1], 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_map_without_room_waits_for_an_unmap)
{
    fake_up(true, FAKE_PEND);
    reqs_init(3);
    req_send(&q[0]);
    fake.map_later = 2;
    req_send(&q[1]);
    req_send(&q[2]);
    ck_assert_uint_eq(fake.nkept, 1);
    fake_check(fake_lun);
    fake_end(0); /* its unmap lets both in */
    ck_assert_uint_eq(fake.nkept, 2);
    fake_end_all();
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(q[i].order, i + 1);
    fake_down();
}
END_TEST

/* The walk among those who wait begins one LUN further at each kick: nobody is always last. */
START_TEST(test_AIX_18_kicks_go_round)
{
    struct ad_adapter *adp;

    fake_up(true, FAKE_PEND);
    adp = ad_find(FAKE_DEVNO);
    reqs_init(3);
    fake.busy = 1000000;
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, i), 0), 0);
        q[i].sb.lun = (uint8_t)i;
        req_send(&q[i]);
    }
    for (unsigned i = 0; i <= FAKE_ID * adp->adp_caps.cap_luns; i++)
        ad_hw_kick(adp);
    ck_assert_uint_eq(fake.nkept, 0);
    fake.busy = 0;
    ad_hw_kick(adp);
    ck_assert_uint_eq(fake.nkept, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(fake.kept[i]->xfer_lun, (i + 1) % 3);
    fake_end_all();
    fake_down();
}
END_TEST

/* The chip has room at the second look: nothing is left that keeps the next one away, however it ends. */
START_TEST(test_AIX_18_second_look_at_the_chip)
{
    for (unsigned mode = FAKE_INLINE; mode <= FAKE_EARLY; mode++) {
        fake_up(true, (enum fake_mode)mode);
        req_init(&q[0]);
        req_init(&q[1]);
        fake.busy = 1;
        req_send(&q[0]);
        ck_assert_uint_eq(fake_lun->lun_gate, 0);
        req_send(&q[1]);
        ck_assert_uint_eq(fake.starts, 2);
        fake_end_all();
        ck_assert_uint_eq(q[0].done + q[1].done, 2);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* It has room after all when it is asked once more: nobody is held back. */
START_TEST(test_AIX_18_second_look_at_the_mapper)
{
    fake_up(true, FAKE_PEND);
    reqs_init(2);
    fake.map_later = 1;
    req_send(&q[0]);
    ck_assert_uint_eq(fake.nkept, 1);
    req_send(&q[1]);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_check(fake_lun);
    fake_end_all();
    fake_down();
}
END_TEST

/* Who waits for the mapper is looked after by whoever ends next, on another LUN and in its lane. */
START_TEST(test_AIX_18_an_unmap_in_the_lane_helps)
{
    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    reqs_init(2);
    fake.map_later = 2;
    req_send(&q[0]);
    ck_assert_uint_eq(q[0].done, 0);
    q[1].sb.lun = 1;
    ck_assert(ad_lane_is_open_locked(ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, 1)));
    req_expect(&q[1], 0);
    ck_assert_uint_eq(q[0].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_memory_that_never_maps_is_EINVAL_and_does_not_halt)
{
    fake_up(true, FAKE_INLINE);
    reqs_init(2);
    fake.map_never = true;
    req_expect(&q[0], EINVAL);
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_uint_eq(q[0].sb.bufstruct.b_resid, 512);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN);
    fake.map_never = false;
    req_expect(&q[1], 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* More long spans at once than there are lists: they wait their turn and none is lost. */
START_TEST(test_AIX_05_long_spans_beyond_the_lists_wait)
{
    static struct buf b[AD_LONG_LISTS + 6][10];

    fake_up(true, FAKE_PEND);
    reqs_init(AD_LONG_LISTS + 7);
    for (unsigned k = 0; k < AD_LONG_LISTS + 6; k++) {
        memset(b[k], 0, sizeof(b[k]));
        for (unsigned i = 0; i < 10; i++) {
            b[k][i].b_flags = B_READ;
            b[k][i].b_un.b_addr = (void *)(uintptr_t)((2 * i + 2) * SC_PAGE_SIZE);
            b[k][i].b_bcount = SC_PAGE_SIZE;
            b[k][i].av_forw = i < 9 ? &b[k][i + 1] : NULL;
        }
        q[k].sb.bp = b[k];
        q[k].sb.bufstruct.b_bcount = 10 * SC_PAGE_SIZE;
        req_send(&q[k]);
    }
    req_send(&q[AD_LONG_LISTS + 6]); /* a short one keeps its place behind them */
    ck_assert_uint_eq(fake.nkept, AD_LONG_LISTS);
    fake_check(fake_lun);
    while (fake.nkept > 0) {
        fake_end(0);
        fake_check(fake_lun);
    }
    for (unsigned k = 0; k < AD_LONG_LISTS + 7; k++)
        ck_assert_uint_eq(q[k].order, k + 1);
    fake_down();
}
END_TEST

/* A long list is taken for the first try, given up for the second, and back after both have failed. */
START_TEST(test_AIX_18_a_long_list_survives_a_mapper_that_says_later_twice)
{
    static struct buf b[10];

    fake_up(true, FAKE_INLINE);
    for (unsigned round = 0; round < 3 * AD_LONG_LISTS; round++) {
        req_init(&q[0]);
        memset(b, 0, sizeof(b));
        for (unsigned i = 0; i < 10; i++) {
            b[i].b_flags = B_READ;
            b[i].b_un.b_addr = (void *)(uintptr_t)((2 * i + 2) * SC_PAGE_SIZE);
            b[i].b_bcount = SC_PAGE_SIZE;
            b[i].av_forw = i < 9 ? &b[i + 1] : NULL;
        }
        q[0].sb.bp = b;
        q[0].sb.bufstruct.b_bcount = 10 * SC_PAGE_SIZE;
        fake.map_later = 2;
        req_send(&q[0]);
        ck_assert_uint_eq(q[0].done, 0);
        ck_assert_uint_eq(fake_lun->lun_long_free, (1u << AD_LONG_LISTS) - 1u);
        ad_hw_kick(fake.ad);
        ck_assert_uint_eq(q[0].done, 1);
        ck_assert_uint_eq(q[0].sb.bufstruct.b_flags & B_ERROR, 0);
        fake.map_later = 1; /* and a list is not taken twice when the second look succeeds */
        q[0].done = 0;
        req_expect(&q[0], 0);
        ck_assert_uint_eq(fake_lun->lun_long_free, (1u << AD_LONG_LISTS) - 1u);
    }
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* A credit handed to a LUN between its last look at its queue and its stop. */
START_TEST(test_NB_05_a_stop_gives_back_what_the_lun_was_granted)
{
    struct ad_config more = {.cfg_commands_max = 2};
    struct ad_adapter *adp;

    shim_test_begin_det(1);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    adp = ad_find(FAKE_DEVNO);
    ck_assert(fake_lun->lun_shared);
    shim_lock_enter(&fake_lun->lun_lock);
    ck_assert(ad_credit_take_locked(fake_lun));
    ck_assert(ad_credit_take_locked(fake_lun));
    ck_assert(!ad_credit_take_locked(fake_lun)); /* waits */
    shim_lock_exit(&fake_lun->lun_lock);
    ad_credit_return(fake_lun); /* granted, not used */
    ck_assert_uint_eq(fake_lun->lun_granted, 1);
    ck_assert_ptr_eq(adp->adp_run_head, fake_lun);
    shim_lock_enter(&fake_lun->lun_lock);
    ad_credit_unreserve(fake_lun);
    shim_lock_exit(&fake_lun->lun_lock);
    ck_assert_ptr_null(adp->adp_run_head); /* nobody looks after a LUN that is stopped */
    ck_assert_uint_eq(fake_lun->lun_granted, 0);
    ck_assert_uint_eq(adp->adp_credits_free, 1);
    ad_credit_return(fake_lun);
    ck_assert_uint_eq(adp->adp_credits_free, 2);
    fake_down();
}
END_TEST

/* Another command fails while this one is inside start(), which finds no room. */
static void fail_the_other(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_busy = NULL;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    fake_end(0);
}

/* What was wanted back and had not got to the chip gives its credit back, too. */
START_TEST(test_NB_05_a_command_thrown_back_on_its_way_returns_its_credit)
{
    struct ad_config more = {.cfg_commands_max = 2};

    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_keeps_queue = false;
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    ck_assert(fake_lun->lun_shared);
    req_init(&q[0]);
    req_init(&q[1]);
    req_send(&q[0]);
    fake.on_busy = fail_the_other;
    fake.busy = 2;
    req_send(&q[1]);
    ck_assert_uint_eq(q[0].done, 1);
    ck_assert_uint_eq(q[1].done, 1);
    ck_assert_int_eq(q[0].sb.bufstruct.b_error, EIO);
    ck_assert_int_eq(q[1].sb.bufstruct.b_error, ENXIO);
    ck_assert_uint_eq(q[1].order, 2);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, 2);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* And whoever waits for them goes on at once. */
START_TEST(test_NB_05_what_a_stopped_lun_had_reserved_starts_others)
{
    struct ad_config more = {.cfg_commands_max = 6};

    shim_test_begin_det(1);
    fake_prepare();
    shim_det_tunable_set("ad_openings", 2);
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    ck_assert_uint_eq(fake_lun->lun_reserved, 3);
    for (unsigned i = 1; i <= 2; i++)
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, i), 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        req_init(&q[i]);
        q[i].sb.lun = (uint8_t)(i < 2 ? 1 : 2);
        req_send(&q[i]);
    }
    ck_assert_uint_eq(fake.nkept, 3); /* all that are shared */
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(fake.nkept, 4);
    fake_end_all();
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, 6);
    fake_down();
}
END_TEST

/* LUNs that wait for a credit and are stopped leave the line, from its head, middle and tail. */
START_TEST(test_NB_05_a_stopped_lun_leaves_the_line)
{
    struct ad_config more = {.cfg_commands_max = 1};
    struct ad_adapter *adp;

    for (unsigned leaver = 1; leaver <= 3; leaver++) {
        shim_test_begin_det(1);
        fake_prepare();
        fake.mode = FAKE_PEND;
        fake_attach(&more);
        adp = ad_find(FAKE_DEVNO);
        req_init(&q[0]);
        req_send(&q[0]); /* has the only credit */
        for (unsigned i = 1; i <= 4; i++) {
            if (i == 4) { /* before the last of them comes */
                shim_lock_enter(&ad_lun_find(adp, FAKE_ID, leaver)->lun_lock);
                ad_credit_unreserve(ad_lun_find(adp, FAKE_ID, leaver));
                shim_lock_exit(&ad_lun_find(adp, FAKE_ID, leaver)->lun_lock);
                ck_assert_ptr_null(adp->adp_run_head);
            }
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, i), 0), 0);
            req_init(&q[i]);
            q[i].sb.lun = (uint8_t)i;
            req_send(&q[i]);
        }
        ck_assert_uint_eq(fake.starts, 1);
        /* The others get their turn, in their order. */
        for (unsigned n = 1; n <= 4; n++) {
            fake_end(0);
            if (n < 4) {
                ck_assert_uint_eq(fake.nkept, 1);
                ck_assert_uint_eq(fake.kept[0]->xfer_lun, n + (n >= leaver));
            }
        }
        ck_assert_uint_eq(fake.nkept, 0);
        ck_assert_uint_eq(adp->adp_credits_free, 1);
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, leaver), 0), 0);
        ck_assert_uint_eq(q[leaver].done, 1);
        fake_down();
    }
}
END_TEST

/* LUNs that are owed a look and are stopped leave that list, too, from its head, middle and tail. */
START_TEST(test_NB_05_a_stopped_lun_leaves_those_to_look_at)
{
    struct ad_adapter *adp;

    for (unsigned leaver = 1; leaver <= 3; leaver++) {
        struct ad_lun *at;

        shim_test_begin_det(1);
        fake_prepare();
        fake_attach(NULL);
        adp = ad_find(FAKE_DEVNO);
        for (unsigned i = 1; i <= 4; i++)
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, i), 0), 0);
        shim_lock_enter(&adp->adp_lock);
        for (unsigned i = 1; i <= 4; i++) {
            if (i == 4) /* before the last of them comes */
                ad_run_remove_locked(adp, ad_lun_find(adp, FAKE_ID, leaver));
            ad_run_append_locked(adp, ad_lun_find(adp, FAKE_ID, i));
        }
        at = adp->adp_run_head;
        for (unsigned n = 1; n <= 3; n++, at = at->lun_run_next)
            ck_assert_ptr_eq(at, ad_lun_find(adp, FAKE_ID, n + (n >= leaver)));
        ck_assert_ptr_null(at);
        shim_lock_exit(&adp->adp_lock);
        ad_serve(adp);
        ck_assert_ptr_null(adp->adp_run_head);
        fake_down();
    }
}
END_TEST

START_TEST(test_AIX_10_lun_memory_stays_within_128_KiB)
{
    struct shim_account before, after;

    fake_up(true, FAKE_INLINE);
    shim_account_get(&before);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    shim_account_get(&after);
    ck_assert_uint_le(after.acc_bytes[SHIM_TAG_AD] - before.acc_bytes[SHIM_TAG_AD], 128u << 10);
    fake_down();
}
END_TEST

static Suite *ad_room_suite(void)
{
    Suite *s = suite_create("ad_room");
    TCase *room = tcase_create("room");

    tcase_add_test(room, test_AIX_18_chip_without_room_is_kicked);
    tcase_add_test(room, test_AIX_18_unsent_commands_are_logged);
    tcase_add_test(room, test_XEN_10_the_next_release_wakes_who_is_short);
    tcase_add_test(room, test_AIX_18_chip_that_forgets_to_kick_is_tried_again);
    tcase_add_test(room, test_AIX_18_map_without_room_waits_for_an_unmap);
    tcase_add_test(room, test_AIX_18_kicks_go_round);
    tcase_add_test(room, test_AIX_18_second_look_at_the_chip);
    tcase_add_test(room, test_AIX_18_second_look_at_the_mapper);
    tcase_add_test(room, test_AIX_18_an_unmap_in_the_lane_helps);
    tcase_add_test(room, test_AIX_18_memory_that_never_maps_is_EINVAL_and_does_not_halt);
    tcase_add_test(room, test_AIX_05_long_spans_beyond_the_lists_wait);
    tcase_add_test(room, test_AIX_18_a_long_list_survives_a_mapper_that_says_later_twice);
    tcase_add_test(room, test_NB_05_a_stop_gives_back_what_the_lun_was_granted);
    tcase_add_test(room, test_NB_05_a_command_thrown_back_on_its_way_returns_its_credit);
    tcase_add_test(room, test_NB_05_what_a_stopped_lun_had_reserved_starts_others);
    tcase_add_test(room, test_NB_05_a_stopped_lun_leaves_the_line);
    tcase_add_test(room, test_NB_05_a_stopped_lun_leaves_those_to_look_at);
    tcase_add_test(room, test_AIX_10_lun_memory_stays_within_128_KiB);
    suite_add_tcase(s, room);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_room_suite(), argc, argv); }
