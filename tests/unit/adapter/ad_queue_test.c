/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_queue_test.c - the queue of one LUN: tags, credits, order, the halted states in both flavours,
 * release before response. What happens when there is no room is in ad_room_test.c.
 */
#include "ad_fake.h"
#include <signal.h>

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

/* ---------------------------------------------------------------- status, table AIX-19 */

START_TEST(test_AIX_19_one_status_or_none)
{
    static const struct {
        uint8_t result, status, validity, scsi, card;
    } rows[] = {
        {AD_RES_STATUS, SC_CHECK_CONDITION, SC_SCSI_ERROR, SC_CHECK_CONDITION, 0},
        {AD_RES_STATUS, SC_BUSY_STATUS, SC_SCSI_ERROR, SC_BUSY_STATUS, 0},
        {AD_RES_STATUS, SC_RESERVATION_CONFLICT, SC_SCSI_ERROR, SC_RESERVATION_CONFLICT, 0},
        {AD_RES_STATUS, SC_COMMAND_TERMINATED, SC_SCSI_ERROR, SC_COMMAND_TERMINATED, 0},
        {AD_RES_STATUS, SC_QUEUE_FULL, SC_SCSI_ERROR, SC_QUEUE_FULL, 0},
        {AD_RES_SELECT_TIMEOUT, 0xff, SC_ADAPTER_ERROR, 0, SC_NO_DEVICE_RESPONSE},
        {AD_RES_BUS_FAULT, 0xff, SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_FAULT},
        {AD_RES_BUS_RESET, 0xff, SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_RESET},
        {AD_RES_HOST_BUS, 0xff, SC_ADAPTER_ERROR, 0, SC_HOST_IO_BUS_ERR},
        {AD_RES_HW_FAILURE, 0xff, SC_ADAPTER_ERROR, 0, SC_ADAPTER_HDW_FAILURE},
        {AD_RES_SW_FAILURE, 0xff, SC_ADAPTER_ERROR, 0, SC_ADAPTER_SFW_FAILURE},
        {AD_RES_FUSE, 0xff, SC_ADAPTER_ERROR, 0, SC_FUSE_OR_TERMINAL_PWR},
    };

    for (int keeps = 0; keeps < 2; keeps++) {
        for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
            bool kept =
                keeps && (rows[i].scsi == SC_CHECK_CONDITION || rows[i].scsi == SC_COMMAND_TERMINATED);

            fake_up(keeps != 0, FAKE_INLINE);
            fake_script(rows[i].result, rows[i].status, 200);
            reqs_init(1);
            q[0].sb.status_validity = 0xff; /* must be cleared on entry */
            q[0].sb.scsi_status = q[0].sb.general_card_status = q[0].sb.adap_q_status = 0xff;
            req_send(&q[0]);
            came_back(&q[0], EIO, rows[i].validity, rows[i].scsi, rows[i].card);
            ck_assert_uint_eq(q[0].sb.bufstruct.b_resid, 200);
            ck_assert_uint_eq(q[0].sb.adap_q_status, kept ? SC_DID_NOT_CLEAR_Q : 0);
            ck_assert_uint_eq(fake_lun->lun_state, kept ? AD_LUN_KEEP : AD_LUN_HALT);
            fake_check(fake_lun);
            fake_down();
        }
    }
}
END_TEST

START_TEST(test_AIX_19_short_transfer_is_no_error_and_residual_is_bounded)
{
    fake_up(true, FAKE_INLINE);
    reqs_init(3);
    fake_script(AD_RES_GOOD, 0, 12);
    fake_script(AD_RES_GOOD, 0, UINT64_MAX);
    fake_script(AD_RES_STATUS, SC_GOOD_STATUS, 0);
    req_expect(&q[0], 0);
    ck_assert_uint_eq(q[0].sb.bufstruct.b_resid, 12);
    req_expect(&q[1], 0);
    ck_assert_uint_eq(q[1].sb.bufstruct.b_resid, 512);
    req_expect(&q[2], 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN);
    fake_down();
}
END_TEST

START_TEST(test_AIX_18_an_error_is_never_resent_and_adapter_errors_are_logged)
{
    struct err_rec rec[8];
    unsigned n;

    fake_up(true, FAKE_INLINE);
    reqs_init(2);
    fake_script(AD_RES_BUS_FAULT, 0, 512);
    fake_script(AD_RES_HW_FAILURE, 0, 512);
    req_expect(&q[0], EIO);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(errlog_read(0, rec, 8), 0); /* a bus fault is the device driver's */
    q[1].sb.flags = SC_RESUME;
    req_expect(&q[1], EIO);
    ck_assert_uint_eq(fake.starts, 2);
    n = errlog_read(0, rec, 8);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(rec[0].er_id, ERRID_SCSI_ERR1);
    ck_assert_str_eq(rec[0].er_resource, "scsi0");
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- errors: cleared queue */

START_TEST(test_AIX_20_untagged_error_flushes_in_order_and_halts)
{
    for (int keeps = 0; keeps < 2; keeps++) {
        fake_up(keeps != 0, FAKE_PEND);
        reqs_init(5);
        for (unsigned i = 0; i < 5; i++) {
            q[i].sb.q_tag_msg = SC_NO_Q;
            req_send(&q[i]);
        }
        fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
        fake_end(0);
        checked(&q[0]);
        ck_assert_uint_eq(q[0].sb.adap_q_status, 0);
        ck_assert_uint_eq(q[0].order, 1);
        for (unsigned i = 1; i < 5; i++) {
            flushed(&q[i]);
            ck_assert_uint_eq(q[i].order, i + 1);
            ck_assert_uint_eq(q[i].sb.bufstruct.b_resid, 512);
        }
        ck_assert_uint_eq(fake.starts, 1);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

START_TEST(test_AIX_20_tagged_commands_at_the_device_are_taken_back_first)
{
    fake_up(false, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_LATER;
    reqs_init(70);
    for (unsigned i = 0; i < 70; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.nkept, 64);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(3);
    checked(&q[3]);
    ck_assert_uint_eq(q[3].order, 1);
    ck_assert_uint_eq(fake.aborts, 63);
    ck_assert_uint_eq(req_orders, 1); /* nobody has its memory back while the chip may write to it */
    fake_check(fake_lun);
    /* They come back in reverse; one has finished, one failed by itself. */
    for (unsigned left = 63; left > 0; left--) {
        struct ad_xfer *xfer = fake.kept[left - 1];

        fake.nkept--;
        xfer->xfer_result = left == 10 ? AD_RES_GOOD : left == 20 ? AD_RES_BUS_FAULT : AD_RES_ABORTED;
        xfer->xfer_resid = left == 10 ? 0 : 512;
        ad_hw_done(fake.ad, xfer);
        fake_check(fake_lun);
    }
    came_back(&q[10], 0, 0, 0, 0); /* kept[] lost index 3, so 9 is request 10 */
    came_back(&q[20], EIO, SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_FAULT);
    for (unsigned i = 0, last = 0; i < 70; i++) {
        if (i == 3 || i == 10 || i == 20)
            continue;
        flushed(&q[i]);
        ck_assert_uint_gt(q[i].order, last); /* in the order they were sent */
        last = q[i].order;
    }
    fake_down();
}
END_TEST

START_TEST(test_AIX_21_halted_needs_SC_RESUME)
{
    fake_up(false, FAKE_INLINE);
    reqs_init(6);
    fake_script(AD_RES_STATUS, SC_BUSY_STATUS, 512);
    req_expect(&q[0], EIO);
    req_expect(&q[1], ENXIO);
    req_expect(&q[2], ENXIO);
    ck_assert_uint_eq(fake.starts, 1);
    q[3].sb.flags = SC_RESUME;
    req_expect(&q[3], 0);
    req_expect(&q[4], 0);
    q[5].sb.flags = SC_RESUME; /* harmless while running */
    req_expect(&q[5], 0);
    ck_assert_uint_eq(fake_stats().refused, 2);
    fake_down();
}
END_TEST

START_TEST(test_AIX_21_resume_waits_until_the_cancelled_are_home)
{
    fake_up(false, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_LATER;
    reqs_init(4);
    for (unsigned i = 0; i < 3; i++)
        req_send(&q[i]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    q[3].sb.flags = SC_RESUME;
    q[3].sb.q_tag_msg = SC_NO_Q;
    req_send(&q[3]);
    ck_assert_uint_eq(fake.starts, 3);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    ck_assert_uint_eq(fake.starts, 3);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    flushed(&q[1]);
    flushed(&q[2]);
    ck_assert_uint_eq(fake.starts, 4);
    fake_end(0);
    came_back(&q[3], 0, 0, 0, 0);
    ck_assert_uint_eq(q[3].order, 4);
    fake_down();
}
END_TEST

/* The recovery of the first error is queued when a command wanted back fails too: it must not be kept. */
START_TEST(test_AIX_20_cancelled_command_that_fails_clears_again)
{
    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_LATER;
    reqs_init(4);
    for (unsigned i = 0; i < 3; i++)
        req_send(&q[i]);
    fake_script(AD_RES_BUS_FAULT, 0, 512);
    fake_end(0);
    q[3].sb.flags = SC_RESUME;
    q[3].sb.q_tag_msg = SC_NO_Q;
    req_send(&q[3]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    checked(&q[1]);
    ck_assert_uint_eq(q[1].sb.adap_q_status, 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    flushed(&q[2]);
    flushed(&q[3]); /* its owner hears of it and can begin with the sense data */
    fake_check(fake_lun);
    fake_down();
}
END_TEST

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
    TCase *cleared = tcase_create("cleared");
    TCase *kept = tcase_create("kept");
    TCase *release = tcase_create("release");

    tcase_add_test(depth, test_AIX_24_untagged_adapter_has_one_outstanding);
    tcase_add_test(depth, test_NB_09_untagged_command_runs_alone);
    tcase_add_test(depth, test_NB_09_tags_unique_and_openings_kept);
    tcase_add_test(depth, test_NB_09_ordered_tags_keep_their_place);
    tcase_add_test(depth, test_NB_09_ordered_waits_until_the_others_have_arrived);
    tcase_add_test(depth, test_NB_05_credits_are_never_overdrawn_and_every_lun_gets_its_turn);
    tcase_add_test(depth, test_NB_05_credit_waiters_inline_do_not_recurse);
    tcase_add_test(depth, test_NB_05_reserved_credits_return_at_stop);
    tcase_add_test(depth, test_NB_20_double_completion_is_counted_and_harmless);
    tcase_add_test(depth, test_NB_20_done_before_start_returns);
    tcase_add_test(cleared, test_AIX_18_an_error_is_never_resent_and_adapter_errors_are_logged);
    tcase_add_test(cleared, test_AIX_19_one_status_or_none);
    tcase_add_test(cleared, test_AIX_19_short_transfer_is_no_error_and_residual_is_bounded);
    tcase_add_test(cleared, test_AIX_20_untagged_error_flushes_in_order_and_halts);
    tcase_add_test(cleared, test_AIX_20_tagged_commands_at_the_device_are_taken_back_first);
    tcase_add_test(cleared, test_AIX_21_halted_needs_SC_RESUME);
    tcase_add_test(cleared, test_AIX_21_resume_waits_until_the_cancelled_are_home);
    tcase_add_test(cleared, test_AIX_20_cancelled_command_that_fails_clears_again);
    tcase_add_test(kept, test_AIX_22_sense_then_resume);
    tcase_add_test(kept, test_AIX_22_clear_returns_everything_and_itself_last);
    tcase_add_test(kept, test_AIX_22_clear_and_resume_without_a_recovery_command);
    tcase_add_test(kept, test_AIX_22_resume_with_a_command_runs_it_first);
    tcase_add_test(kept, test_AIX_22_failing_recovery_command_keeps_the_queue_halted);
    tcase_add_test(kept, test_AIX_22_kept_command_that_fails_too);
    tcase_add_test(kept, test_AIX_22_untagged_requests_are_not_kept);
    tcase_add_test(kept, test_AIX_23_control_transactions_do_not_touch_the_bus);
    tcase_add_test(release, test_XEN_01_resubmit_from_iodone_with_pools_of_one);
    tcase_add_test(release, test_XEN_02_release_lies_between_queueing_and_pushing);
    tcase_add_test(release, test_XEN_05_nothing_stays_queued_after_a_push);
    tcase_add_test(release, test_XEN_07_owner_is_told_with_no_lock_held);
    tcase_add_test_raise_signal(release, test_XEN_04_release_without_the_mutex_is_caught, SIGABRT);
    tcase_add_test(release, test_XEN_06_every_error_counted_once);
    suite_add_tcase(s, depth);
    suite_add_tcase(s, cleared);
    suite_add_tcase(s, kept);
    suite_add_tcase(s, release);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_queue_suite(), argc, argv); }
