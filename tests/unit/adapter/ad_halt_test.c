/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_halt_test.c - errors that clear the queue and halt it, SC_RESUME, and how each error looks.
 * Queues that are kept are in ad_keep_test.c.
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

/* However a command ends, and however it got to the chip, it has been there once. */
START_TEST(test_AIX_18_the_device_gets_a_command_once)
{
    for (int mode = FAKE_INLINE; mode <= FAKE_EARLY; mode++) {
        for (unsigned i = 0; i < 2 * AD_RES_UNSENT; i++) {
            fake_up(true, (enum fake_mode)mode);
            reqs_init(1);
            q[0].sb.flags = i % 2 ? SC_RESUME : 0; /* with it no request is for the lane */
            fake_script((uint8_t)(i / 2), SC_BUSY_STATUS, 512);
            req_send(&q[0]);
            fake_end_all();
            ck_assert_uint_eq(q[0].done, 1);
            shim_det_run(shim_now_ns() + 100 * AD_NS_PER_S);
            ck_assert_uint_eq(fake.starts, 1);
            fake_down();
        }
    }
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
    ck_assert_uint_eq(rec[0].er_temp, 0);
    req_init(&q[0]);
    q[0].sb.flags = SC_RESUME;
    fake_script(AD_RES_BUS_RESET, 0, 512);
    req_expect(&q[0], EIO);
    ck_assert_uint_eq(errlog_read(rec[0].er_seq, rec, 8), 1);
    ck_assert_uint_eq(rec[0].er_temp, 1); /* this one passes by itself */
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
        fake.frozen[xfer->xfer_id][xfer->xfer_lun] += xfer->xfer_result != AD_RES_GOOD;
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

/* Refused by strategy: nothing has changed. Found out to be out of the adapter's reach: the queue runs. */
START_TEST(test_AIX_21_a_refused_resume_and_one_out_of_reach)
{
    fake_up(false, FAKE_INLINE);
    reqs_init(6);
    fake_script(AD_RES_STATUS, SC_BUSY_STATUS, 512);
    req_expect(&q[0], EIO);
    q[1].sb.flags = SC_RESUME;
    q[1].sb.resvd2 = 1;
    req_expect(&q[1], EINVAL);
    req_expect(&q[2], ENXIO); /* still halted */
    q[3].sb.flags = SC_RESUME;
    fake.map_never = true;
    req_expect(&q[3], EINVAL);
    ck_assert_uint_eq(q[3].sb.status_validity, 0);
    ck_assert_uint_eq(q[3].sb.bufstruct.b_resid, q[3].sb.bufstruct.b_bcount);
    fake.map_never = false;
    req_expect(&q[4], 0);
    ck_assert_uint_eq(fake.starts, 2);
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

/* BUSY or QUEUE FULL, and the request sent again: the adapter driver adds no time of its own. */
START_TEST(test_AIX_21_after_BUSY_the_queue_goes_on_at_once)
{
    static const uint8_t status[] = {SC_BUSY_STATUS, SC_QUEUE_FULL};

    for (unsigned i = 0; i < 2 * SC_ARRAY_SIZE(status); i++) {
        fake_up(i % 2 != 0, FAKE_PEND);
        reqs_init(34);
        for (unsigned k = 0; k < 32; k++)
            req_send(&q[k]);
        fake_script(AD_RES_STATUS, status[i / 2], 512);
        fake_end(0);
        came_back(&q[0], EIO, SC_SCSI_ERROR, status[i / 2], 0);
        for (unsigned k = 1; k < 32; k++)
            flushed(&q[k]); /* taken back from the device at the same moment */
        q[32].sb.flags = SC_RESUME;
        req_send(&q[32]);
        req_send(&q[33]);
        ck_assert_uint_eq(fake.nkept, 2); /* no clock has moved */
        fake_end_all();
        came_back(&q[32], 0, 0, 0, 0);
        came_back(&q[33], 0, 0, 0, 0);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* The table in sys/scsi.h: SCIORESET, and control transactions where no queue is kept. */
START_TEST(test_AIX_26_reset_and_control_in_running_and_halted)
{
    static const uint8_t control[] = {SC_Q_CLR, SC_Q_RESUME, SC_RESUME | SC_Q_CLR, SC_RESUME | SC_Q_RESUME};
    static struct req r[4];

    fake_up(true, FAKE_PEND);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < SC_ARRAY_SIZE(control); i++) {
            unsigned before = fake_lun->lun_state;

            ck_assert_uint_eq(before, k == 0 ? AD_LUN_RUN : AD_LUN_HALT);
            req_init(&r[0]);
            r[0].sb.flags = control[i];
            req_refused(&r[0], EINVAL);
            ck_assert_uint_eq(fake_lun->lun_state, before);
        }
        if (k == 1)
            break;
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIORESET, SC_ARG(FAKE_ID, 0), 0), 0);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN); /* nothing was there to reset */
        for (unsigned i = 0; i < 4; i++) {
            req_init(&r[i]);
            r[i].sb.q_tag_msg = i < 2 ? SC_SIMPLE_Q : SC_NO_Q; /* these wait behind */
            req_send(&r[i]);
        }
        ck_assert_uint_eq(fake.nkept, 2);
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIORESET, SC_ARG(FAKE_ID, 0), 0), 0);
        came_back(&r[0], EIO, SC_ADAPTER_ERROR, 0, SC_SCSI_BUS_RESET);
        for (unsigned i = 1; i < 4; i++)
            came_back(&r[i], ENXIO, 0, 0, 0);
    }
    fake_check(fake_lun);
    fake_down();
}
END_TEST

static Suite *ad_halt_suite(void)
{
    Suite *s = suite_create("ad_halt");
    TCase *status = tcase_create("status");
    TCase *cleared = tcase_create("cleared");

    tcase_add_test(status, test_AIX_18_the_device_gets_a_command_once);
    tcase_add_test(status, test_AIX_18_an_error_is_never_resent_and_adapter_errors_are_logged);
    tcase_add_test(status, test_AIX_19_one_status_or_none);
    tcase_add_test(status, test_AIX_19_short_transfer_is_no_error_and_residual_is_bounded);
    tcase_add_test(cleared, test_AIX_20_untagged_error_flushes_in_order_and_halts);
    tcase_add_test(cleared, test_AIX_20_tagged_commands_at_the_device_are_taken_back_first);
    tcase_add_test(cleared, test_AIX_21_halted_needs_SC_RESUME);
    tcase_add_test(cleared, test_AIX_21_a_refused_resume_and_one_out_of_reach);
    tcase_add_test(cleared, test_AIX_21_resume_waits_until_the_cancelled_are_home);
    tcase_add_test(cleared, test_AIX_20_cancelled_command_that_fails_clears_again);
    tcase_add_test(cleared, test_AIX_21_after_BUSY_the_queue_goes_on_at_once);
    tcase_add_test(cleared, test_AIX_26_reset_and_control_in_running_and_halted);
    suite_add_tcase(s, status);
    suite_add_tcase(s, cleared);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_halt_suite(), argc, argv); }
