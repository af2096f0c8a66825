/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_keep_test.c - queues that are kept after a tagged CHECK CONDITION: recovery commands, SC_Q_CLR,
 * SC_Q_RESUME.
 */
#include "ad_fake.h"

static struct req q[300];

static void reqs_init(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        req_init(&q[i]);
}

/* How a finished request came back. */
static void came_back(const struct req *r, int error, uint8_t validity, uint8_t status, uint8_t card)
{
    ck_assert_uint_eq(r->done, 1);
    ck_assert_int_eq(r->sb.bufstruct.b_flags & B_ERROR ? r->sb.bufstruct.b_error : 0, error);
    ck_assert_uint_eq(r->sb.status_validity, validity);
    ck_assert_uint_eq(r->sb.scsi_status, status);
    ck_assert_uint_eq(r->sb.general_card_status, card);
}
#define flushed(r) came_back(r, ENXIO, 0, 0, 0)
#define checked(r) came_back(r, EIO, SC_SCSI_ERROR, SC_CHECK_CONDITION, 0)

/* ---------------------------------------------------------------- errors: kept queue */

/* One command failed with CHECK CONDITION, `n` are queued behind the full openings of 2. */
static void keep_up(unsigned queued)
{
    shim_test_begin_det(1);
    fake_prepare();
    shim_det_tunable_set("ad_openings", 2);
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    reqs_init(3 + queued);
    for (unsigned i = 0; i < 2 + queued; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    checked(&q[0]);
    ck_assert_uint_eq(q[0].sb.adap_q_status, SC_DID_NOT_CLEAR_Q);
    ck_assert_uint_eq(fake.nkept, 1); /* request 1 stays at the device */
    ck_assert_uint_eq(req_orders, 1);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    fake_check(fake_lun);
}

static struct req sense;
static void sense_init(void)
{
    req_init(&sense);
    sense.sb.flags = SC_RESUME;
    sense.sb.q_tag_msg = SC_NO_Q;
}

static struct req control;
static void control_init(uint8_t flags)
{
    req_init(&control);
    control.sb.flags = flags;
    control.sb.scsi_command.scsi_length = 0;
    control.sb.bufstruct.b_bcount = 0;
    control.sb.bufstruct.b_un.b_addr = NULL;
}

START_TEST(test_AIX_22_sense_then_resume)
{
    keep_up(4);
    req_expect(&q[6], ENXIO); /* not the recovery command */
    sense_init();
    sense.sb.q_tag_msg = SC_SIMPLE_Q;
    req_expect(&sense, ENXIO); /* must be SC_NO_Q */
    sense_init();
    req_send(&sense);
    ck_assert_uint_eq(fake.nkept, 2); /* beside the tagged one the device kept */
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC);
    fake_check(fake_lun);
    q[6].done = 0;
    q[6].sb.flags = SC_RESUME;
    q[6].sb.q_tag_msg = SC_NO_Q;
    req_expect(&q[6], ENXIO); /* one recovery command at a time */
    control_init(SC_Q_RESUME);
    req_expect(&control, EINVAL); /* not before it has ended */
    fake_end(1);
    came_back(&sense, 0, 0, 0, 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC_DONE);
    req_init(&q[6]);
    req_expect(&q[6], ENXIO); /* clear or resume must follow ... */
    ck_assert_uint_eq(fake.starts, 3);
    sense_init();
    req_send(&sense); /* ... or one more recovery command, alone again */
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC);
    fake_end(1);
    came_back(&sense, 0, 0, 0, 0);
    control_init(SC_Q_RESUME);
    req_expect(&control, 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_check(fake_lun);
    fake_end_all();
    for (unsigned i = 1; i < 6; i++)
        came_back(&q[i], 0, 0, 0, 0);
    fake_down();
}
END_TEST

/* The recovery command has the opening of the one it recovers: there are never more out than openings. */
START_TEST(test_NB_07_recovery_takes_the_opening_of_what_it_recovers)
{
    keep_up(4); /* two openings, both were in use */
    sense_init();
    req_send(&sense);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_check(fake_lun);
    fake_end(0); /* request 1: nobody takes its opening meanwhile */
    ck_assert_uint_eq(fake.nkept, 1);
    fake_end(0);
    came_back(&sense, 0, 0, 0, 0);
    control_init(SC_Q_RESUME);
    req_expect(&control, 0);
    fake_check(fake_lun);
    fake_end_all();
    ck_assert_uint_eq(fake.nkept_max, 2);
    ck_assert_uint_eq(fake_stats().active_max, 2);
    fake_down();
}
END_TEST

/* While a queue is kept only recovery commands start, one at a time, whatever room there is. */
START_TEST(test_NB_08_only_recovery_starts_while_a_queue_is_kept)
{
    keep_up(4);
    fake_end(0); /* request 1: the device has nothing now, four wait */
    ck_assert_uint_eq(fake.starts, 2);
    for (unsigned round = 0; round < 2; round++) {
        sense_init();
        req_send(&sense);
        ck_assert_uint_eq(fake.starts, 3 + round);
        ck_assert_uint_eq(fake.qmsg[2 + round], SC_NO_Q);
        req_init(&control);
        control.sb.flags = SC_RESUME;
        control.sb.q_tag_msg = SC_NO_Q;
        req_refused(&control, ENXIO); /* a second one */
        req_init(&q[6]);
        req_refused(&q[6], ENXIO);
        fake_end(0);
        came_back(&sense, 0, 0, 0, 0);
        ck_assert_uint_eq(fake.starts, 3 + round);
        ck_assert_uint_eq(fake.turned_away, 0); /* nothing has been tried, either */
        fake_check(fake_lun);
    }
    control_init(SC_Q_RESUME);
    req_expect(&control, 0);
    ck_assert_uint_eq(fake.starts, 6);
    fake_end_all();
    for (unsigned i = 2; i < 6; i++)
        came_back(&q[i], 0, 0, 0, 0);
    fake_down();
}
END_TEST

static struct req late;
static void send_late(struct req *r)
{
    (void)r;
    req_init(&late);
    req_send(&late);
    ck_assert_uint_eq(late.done, 0);
}

/* What waits, and what arrives while a response is being pushed, starts when the push is over. */
START_TEST(test_XEN_08_the_queue_is_looked_at_again_after_a_push)
{
    for (unsigned arrives = 0; arrives < 2; arrives++) {
        uint64_t now;

        keep_up(2);
        now = shim_now_ns();
        control_init(SC_Q_RESUME | SC_RESUME);
        control.then = arrives ? send_late : NULL;
        req_expect(&control, 0);
        ck_assert_uint_eq(fake.nkept, 2);
        fake_end_all();
        ck_assert_uint_eq(req_orders, 5 + arrives);
        if (arrives)
            ck_assert_uint_eq(late.order, req_orders); /* in its place, the last */
        ck_assert_uint_eq(shim_now_ns(), now);         /* no timer had to help */
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

START_TEST(test_AIX_22_clear_returns_everything_and_itself_last)
{
    unsigned orders;

    keep_up(4);
    sense_init();
    req_send(&sense);
    fake_end(1);
    control_init(SC_Q_CLR);
    orders = req_orders;
    req_send(&control); /* request 1 is at the device: abort brings it back at once */
    ck_assert_uint_eq(fake.aborts, 1);
    for (unsigned i = 1; i < 6; i++) {
        flushed(&q[i]);
        ck_assert_uint_eq(q[i].order, orders + i);
    }
    flushed(&control);
    ck_assert_uint_eq(control.order, orders + 6);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    req_init(&q[7]);
    req_expect(&q[7], ENXIO);
    req_init(&q[7]);
    q[7].sb.flags = SC_RESUME;
    req_send(&q[7]);
    fake_end_all();
    came_back(&q[7], 0, 0, 0, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_22_clear_and_resume_without_a_recovery_command)
{
    keep_up(4);
    control_init(SC_Q_RESUME); /* first after the error: needs SC_RESUME */
    req_expect(&control, ENXIO);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    control_init(SC_Q_RESUME | SC_RESUME);
    req_expect(&control, 0);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_end_all();
    fake_down();

    keep_up(4);
    control_init(SC_Q_CLR);
    req_expect(&control, ENXIO);
    for (unsigned i = 1; i < 6; i++)
        flushed(&q[i]);
    fake_down();
}
END_TEST

START_TEST(test_AIX_22_resume_with_a_command_runs_it_first)
{
    keep_up(4);
    req_init(&control);
    control.sb.flags = SC_Q_RESUME | SC_RESUME;
    control.sb.scsi_command.scsi_length = 7; /* a command, and none that there is */
    req_refused(&control, EINVAL);
    control_init(SC_Q_RESUME | SC_Q_CLR | SC_RESUME);
    req_refused(&control, EINVAL);
    req_init(&control);
    control.sb.flags = SC_Q_RESUME | SC_RESUME;
    req_send(&control);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_end(1);
    came_back(&control, 0, 0, 0, 0);
    ck_assert_uint_eq(q[2].done, 0);
    fake_end_all();
    for (unsigned i = 1; i < 6; i++)
        came_back(&q[i], 0, 0, 0, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_22_failing_recovery_command_keeps_the_queue_halted)
{
    keep_up(4);
    for (unsigned k = 0; k < 3; k++) {
        sense_init();
        req_send(&sense);
        fake_script(AD_RES_STATUS, SC_BUSY_STATUS, 512);
        fake_end(1);
        came_back(&sense, EIO, SC_SCSI_ERROR, SC_BUSY_STATUS, 0);
        ck_assert_uint_eq(sense.sb.adap_q_status, SC_DID_NOT_CLEAR_Q);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
        fake_check(fake_lun);
    }
    sense_init();
    req_send(&sense);
    fake_end(1);
    came_back(&sense, 0, 0, 0, 0);
    control_init(SC_Q_RESUME);
    req_expect(&control, 0);
    fake_end_all();
    fake_down();
}
END_TEST

START_TEST(test_AIX_22_kept_command_that_fails_too)
{
    keep_up(4);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0); /* request 1: the queue stays kept */
    checked(&q[1]);
    ck_assert_uint_eq(q[1].sb.adap_q_status, SC_DID_NOT_CLEAR_Q);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    fake_down();

    keep_up(4);
    sense_init();
    req_send(&sense);
    fake.abort_mode = FAKE_ABORT_LATER;
    fake_script(AD_RES_BUS_FAULT, 0, 512);
    fake_end(0); /* request 1, a clearing error in the middle of recovery */
    came_back(&q[1], EIO, SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_FAULT);
    ck_assert_uint_eq(q[1].sb.adap_q_status, 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    ck_assert_uint_eq(sense.done, 0);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    flushed(&sense);
    for (unsigned i = 2; i < 6; i++)
        flushed(&q[i]);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* The same while the recovery command is out, and after it: the queue stays kept, and recovery goes on. */
START_TEST(test_AIX_22_a_kept_command_that_fails_during_recovery)
{
    for (unsigned after = 0; after < 2; after++) {
        keep_up(4);
        sense_init();
        req_send(&sense);
        if (after)
            fake_end(1);
        fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
        fake_end(0); /* request 1 */
        checked(&q[1]);
        ck_assert_uint_eq(q[1].sb.adap_q_status, SC_DID_NOT_CLEAR_Q);
        ck_assert_uint_eq(fake_lun->lun_state, after ? AD_LUN_REC_DONE : AD_LUN_REC);
        if (!after)
            fake_end(0);
        came_back(&sense, 0, 0, 0, 0);
        control_init(SC_Q_RESUME);
        req_expect(&control, 0);
        fake_end_all();
        for (unsigned i = 2; i < 6; i++)
            came_back(&q[i], 0, 0, 0, 0);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* A recovery command that cannot be sent has failed: the next one may be tried. */
START_TEST(test_AIX_22_a_recovery_command_that_cannot_be_mapped)
{
    keep_up(4);
    sense_init();
    fake.map_never = true;
    req_expect(&sense, EINVAL);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    fake.map_never = false;
    sense_init();
    req_send(&sense);
    fake_end(1);
    came_back(&sense, 0, 0, 0, 0);
    control_init(SC_Q_RESUME);
    req_expect(&control, 0);
    fake_end_all();
    for (unsigned i = 1; i < 6; i++)
        came_back(&q[i], 0, 0, 0, 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* Give a request ten pages that are no neighbours: more segments than a command has room for. */
static void make_long(struct req *r, struct buf *b)
{
    memset(b, 0, 10 * sizeof(*b));
    for (unsigned i = 0; i < 10; i++) {
        b[i].b_flags = B_READ;
        b[i].b_un.b_addr = (void *)(uintptr_t)((2 * i + 2) * SC_PAGE_SIZE);
        b[i].b_bcount = SC_PAGE_SIZE;
        b[i].av_forw = i < 9 ? &b[i + 1] : NULL;
    }
    r->sb.bp = b;
    r->sb.bufstruct.b_bcount = 10 * SC_PAGE_SIZE;
}

/* A long recovery command for which there is no list of segments waits for one like anybody. */
START_TEST(test_AIX_22_a_long_recovery_command_waits_for_a_list)
{
    static struct buf b[AD_LONG_LISTS + 1][10];

    fake_up(true, FAKE_PEND);
    reqs_init(AD_LONG_LISTS + 1);
    req_send(&q[AD_LONG_LISTS]);
    for (unsigned k = 0; k < AD_LONG_LISTS; k++) {
        make_long(&q[k], b[k]);
        req_send(&q[k]);
    }
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    checked(&q[AD_LONG_LISTS]);
    sense_init();
    make_long(&sense, b[AD_LONG_LISTS]);
    req_send(&sense);
    ck_assert_uint_eq(fake.nkept, AD_LONG_LISTS);
    fake_end(0);
    ck_assert_uint_eq(fake.nkept, AD_LONG_LISTS); /* it has taken the place of that one */
    fake_end_all();
    came_back(&sense, 0, 0, 0, 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC_DONE);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* A recovery command that waits for room is thrown back like the others. */
START_TEST(test_AIX_26_a_recovery_command_without_room_is_halted)
{
    keep_up(4);
    sense_init();
    fake.busy = 2;
    req_send(&sense);
    ck_assert_uint_eq(fake.nkept, 1);
    ck_assert_uint_eq(sense.done, 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    flushed(&sense);
    for (unsigned i = 1; i < 6; i++)
        flushed(&q[i]);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* A RESERVE or REQUEST SENSE waits behind tagged commands, one of which fails: its owner gets it back. */
START_TEST(test_AIX_22_untagged_requests_are_not_kept)
{
    fake_up(true, FAKE_PEND);
    reqs_init(6);
    q[3].sb.q_tag_msg = SC_NO_Q;
    q[3].sb.flags = SC_RESUME;
    for (unsigned i = 0; i < 6; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.nkept, 3);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(1);
    checked(&q[1]);
    ck_assert_uint_eq(q[1].order, 1);
    flushed(&q[3]);
    ck_assert_uint_eq(q[3].order, 2);
    ck_assert_uint_eq(fake_lun->lun_queued, 2);
    fake_check(fake_lun);
    control_init(SC_Q_RESUME | SC_RESUME);
    req_expect(&control, 0);
    fake_end_all();
    came_back(&q[4], 0, 0, 0, 0);
    came_back(&q[5], 0, 0, 0, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_23_control_transactions_do_not_touch_the_bus)
{
    keep_up(0);
    control_init(SC_Q_RESUME | SC_RESUME);
    control.sb.timeout_value = 0;
    req_expect(&control, 0);
    ck_assert_uint_eq(fake.starts, 2);
    ck_assert_uint_eq(control.sb.bufstruct.b_resid, 0);
    fake_end_all();
    /* They need an id and a LUN like anything else. */
    control_init(SC_Q_CLR);
    control.sb.scsi_command.scsi_id = 5;
    req_expect(&control, EINVAL);
    fake_down();
}
END_TEST

static Suite *ad_keep_suite(void)
{
    Suite *s = suite_create("ad_keep");
    TCase *kept = tcase_create("kept");

    tcase_add_test(kept, test_AIX_22_sense_then_resume);
    tcase_add_test(kept, test_NB_07_recovery_takes_the_opening_of_what_it_recovers);
    tcase_add_test(kept, test_NB_08_only_recovery_starts_while_a_queue_is_kept);
    tcase_add_test(kept, test_XEN_08_the_queue_is_looked_at_again_after_a_push);
    tcase_add_test(kept, test_AIX_22_clear_returns_everything_and_itself_last);
    tcase_add_test(kept, test_AIX_22_clear_and_resume_without_a_recovery_command);
    tcase_add_test(kept, test_AIX_22_resume_with_a_command_runs_it_first);
    tcase_add_test(kept, test_AIX_22_failing_recovery_command_keeps_the_queue_halted);
    tcase_add_test(kept, test_AIX_22_kept_command_that_fails_too);
    tcase_add_test(kept, test_AIX_22_a_kept_command_that_fails_during_recovery);
    tcase_add_test(kept, test_AIX_26_a_recovery_command_without_room_is_halted);
    tcase_add_test(kept, test_AIX_22_a_long_recovery_command_waits_for_a_list);
    tcase_add_test(kept, test_AIX_22_a_recovery_command_that_cannot_be_mapped);
    tcase_add_test(kept, test_AIX_22_untagged_requests_are_not_kept);
    tcase_add_test(kept, test_AIX_23_control_transactions_do_not_touch_the_bus);
    suite_add_tcase(s, kept);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_keep_suite(), argc, argv); }
