/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_freeze_test.c - the chip's freeze: what has been chosen is not started once its queue is halted, and
 * goes back to where it was. The fake chip freezes as the contract says, in every test of this folder, and
 * fake_down() wants all of it undone.
 */
#include "ad_fake.h"

static struct req q[8];

static void flags(struct req *r, uint8_t f)
{
    req_init(r);
    r->sb.flags = f;
}

START_TEST(test_AIX_20_what_was_chosen_before_a_halt_comes_back_enxio)
{
    fake_up(_i != 0, FAKE_PEND);
    req_init(&q[0]);
    req_send(&q[0]);
    /* The chip has frozen the LUN, and we have not heard of it: as if another thread were on its way to tell.
     */
    fake.frozen[FAKE_ID][0]++;
    req_init(&q[1]);
    req_send(&q[1]);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(fake.turned_away, 2); /* the second look */
    ck_assert_uint_eq(q[1].done, 0);
    ck_assert_uint_eq(fake_lun->lun_gate & AD_GATE_FROZEN, AD_GATE_FROZEN);
    fake.frozen[FAKE_ID][0]--;
    fake_script(AD_RES_STATUS, SC_BUSY_STATUS, 512);
    fake_end(0);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(q[0].order, 1);
    ck_assert_uint_eq(q[1].order, 2);
    ck_assert_int_eq(q[1].sb.bufstruct.b_error, ENXIO);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 1); /* as long as the queue is halted */
    fake_check(fake_lun);
    flags(&q[2], SC_RESUME);
    req_send(&q[2]);
    ck_assert_uint_eq(fake.starts, 2);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 0);
    fake_end_all();
    ck_assert_uint_eq(q[2].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_AIX_26_halt_freezes_the_chip_and_resume_undoes_it)
{
    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 3);
    req_init(&q[0]);
    req_expect(&q[0], ENXIO);
    flags(&q[1], SC_RESUME);
    req_expect(&q[1], 0);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 0);
    req_init(&q[0]);
    req_expect(&q[0], 0);
    ck_assert_uint_eq(fake.turned_away, 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    fake_down(); /* SCIOSTOP undoes it, too */
}
END_TEST

/* The ledger: what we think is frozen is what the chip has, and so often. */
static void frozen_is(unsigned n)
{
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], n);
    ck_assert_uint_eq(fake_lun->lun_frozen, n);
    fake_check(fake_lun);
}

/*
 * Every error freezes the LUN by one, SCIOHALT by one more; the queue that runs again undoes all of them, and
 * not one too many (the fake chip counts). Both flavours, each error.
 */
START_TEST(test_NB_11_every_freeze_has_one_thaw)
{
    static const struct {
        uint8_t result, status;
    } rows[] = {{AD_RES_STATUS, SC_CHECK_CONDITION},
                {AD_RES_STATUS, SC_BUSY_STATUS},
                {AD_RES_BUS_FAULT, 0},
                {AD_RES_SELECT_TIMEOUT, 0},
                {AD_RES_HW_FAILURE, 0}};

    for (unsigned i = 0; i < 2 * SC_ARRAY_SIZE(rows); i++) {
        const bool keeps = i % 2 != 0;
        const bool halt = keeps != (i % 4 < 2); /* each error with and without */
        bool kept = keeps && rows[i / 2].status == SC_CHECK_CONDITION;

        fake_up(keeps, FAKE_INLINE);
        req_init(&q[0]);
        req_expect(&q[0], 0);
        frozen_is(0);
        fake_script(rows[i / 2].result, rows[i / 2].status, 512);
        req_init(&q[0]);
        req_expect(&q[0], EIO);
        frozen_is(1);
        if (kept) { /* a recovery command that fails freezes, too */
            fake_script(AD_RES_BUS_FAULT, 0, 512);
            flags(&q[1], SC_RESUME);
            q[1].sb.q_tag_msg = SC_NO_Q;
            req_expect(&q[1], EIO);
            frozen_is(2);
        }
        if (halt) {
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
            frozen_is(kept ? 3 : 2);
            kept = false;
        }
        flags(&q[2], SC_RESUME | (kept ? SC_Q_RESUME : 0));
        req_expect(&q[2], 0);
        frozen_is(0);
        req_init(&q[3]);
        req_expect(&q[3], 0);
        frozen_is(0);
        ck_assert_uint_eq(fake.turned_away, 0);
        fake_down();
    }
}
END_TEST

/* The recovery command passes; what was kept follows when the queue is resumed. */
START_TEST(test_AIX_21_the_recovery_command_passes_a_freeze)
{
    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 2; i++) {
        req_init(&q[i]);
        req_send(&q[i]);
    }
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    ck_assert_uint_eq(q[0].done, 1);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 1);
    flags(&q[2], SC_RESUME);
    q[2].sb.q_tag_msg = SC_NO_Q;
    req_send(&q[2]);
    ck_assert_uint_eq(fake.starts, 3);
    ck_assert_uint_eq(fake.xflags[2] & AD_XFER_PAST, AD_XFER_PAST);
    ck_assert_uint_eq(fake.xflags[1] & AD_XFER_PAST, 0);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 1);
    fake_end(1);
    flags(&q[3], SC_Q_RESUME);
    req_send(&q[3]);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 0);
    ck_assert_uint_eq(fake.turned_away, 0);
    fake_end_all();
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

/* What keeps a command back changes between the two looks. */
START_TEST(test_AIX_18_no_room_then_frozen_then_room)
{
    fake_up(false, FAKE_PEND);
    fake.busy = 1;
    fake.frozen[FAKE_ID][0] = 1; /* found at the second look */
    req_init(&q[0]);
    req_send(&q[0]);
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_uint_eq(fake.turned_away, 2);
    ck_assert_uint_eq(fake_lun->lun_gate, AD_GATE_FROZEN); /* there is room */
    /* Whose failure it was is told now, and halts nothing: it was an ioctl's. */
    shim_lock_enter(&fake_lun->lun_lock);
    fake_lun->lun_frozen = 1;
    ad_enter_locked(fake_lun);
    ad_work_unlock(fake_lun);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 0);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(fake_lun->lun_gate, 0);
    fake_end_all();
    ck_assert_uint_eq(q[0].done, 1);
    ck_assert_uint_eq(q[0].sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST

/* The chip says frozen and we know of no failure: the request's time runs, and then it is back. */
START_TEST(test_AIX_18_a_chip_that_has_lost_count_keeps_nothing_for_ever)
{
    fake_up(false, FAKE_INLINE);
    fake.frozen[FAKE_ID][0] = 1;
    req_init(&q[0]);
    q[0].sb.timeout_value = 5;
    req_send(&q[0]);
    shim_det_run(shim_now_ns() + 4 * AD_NS_PER_S);
    ck_assert_uint_eq(q[0].done, 0);
    ck_assert_uint_gt(fake.turned_away, 100); /* asked again and again */
    shim_det_run(shim_now_ns() + 2 * AD_NS_PER_S);
    ck_assert_uint_eq(q[0].done, 1);
    ck_assert(q[0].sb.bufstruct.b_flags & B_ERROR);
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_uint_eq(fake.frozen[FAKE_ID][0], 2); /* the queue is halted, which the chip cannot know */
    fake.frozen[FAKE_ID][0]--;                     /* found again */
    flags(&q[1], SC_RESUME);
    req_expect(&q[1], 0);
    fake_down();
}
END_TEST

/* Half a pair is no pair. */
START_TEST(test_freeze_and_thaw_come_together)
{
    struct ad_hw_ops half = fake_ops;
    struct ad_config cfg = {.cfg_ops = &half, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    shim_test_begin_det(1);
    fake_prepare();
    half.thaw = NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    half = fake_ops;
    half.freeze = NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    half.thaw = NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    shim_test_end();
}
END_TEST

/* The ledger has a line for each owner, and at rest all are zero. */
START_TEST(test_NB_11_ledger_by_owner)
{
    struct ad_adapter *adp;

    fake_up(false, FAKE_PEND);
    adp = ad_find(FAKE_DEVNO);
    ck_assert_ptr_null(ad_ledger_idle(adp));
    req_init(&q[0]);
    req_send(&q[0]);
    fake_script(AD_RES_STATUS, SC_BUSY_STATUS, 512);
    fake_end(0);
    ck_assert_uint_eq(fake_lun->lun_ledger.lg_now[AD_FRZ_ERROR], 1);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(fake_lun->lun_ledger.lg_now[AD_FRZ_HALT], 1);
    ck_assert_uint_eq(fake_flow().frozen, 2);
    fake_check(fake_lun);
    flags(&q[1], SC_RESUME);
    req_send(&q[1]);
    fake_end_all();
    ck_assert_ptr_null(ad_ledger_idle(adp));
    ck_assert_uint_eq(fake_flow().freezes, 2);
    ck_assert_uint_eq(fake_flow().thaws, 2);
    ck_assert_uint_eq(fake_flow().late_thaws, 0);
    shim_lock_enter(&fake_lun->lun_lock); /* somebody forgets */
    ad_freeze_locked(fake_lun, AD_FRZ_CORE);
    shim_lock_exit(&fake_lun->lun_lock);
    ck_assert_str_eq(ad_ledger_idle(adp), "a command taken back");
    fake_lun->lun_frozen++;
    ck_assert_str_eq(ad_lun_check(fake_lun), "the chip's freezes are not the ledger's");
    fake_lun->lun_frozen--;
    fake_lun->lun_ledger.lg_thaws++;
    ck_assert_str_eq(ad_lun_check(fake_lun), "freezes and thaws do not add up");
    fake_lun->lun_ledger.lg_thaws--;
    req_init(&q[2]);
    req_send(&q[2]);
    fake_end_all();
    ck_assert_ptr_null(ad_ledger_idle(adp));
    fake_down();
}
END_TEST

/* An owner that never thaws: after its time the LUN goes on, and its own thaw, later, finds it done. */
START_TEST(test_NB_11_a_forgotten_freeze_is_thawed)
{
    const enum ad_freeze_owner owner = _i == 0 ? AD_FRZ_SENSE : AD_FRZ_GROW;

    fake_up(true, FAKE_PEND);
    shim_lock_enter(&fake_lun->lun_lock);
    ad_freeze_gate_locked(fake_lun, owner);
    ad_freeze_gate_locked(fake_lun, owner);
    shim_lock_exit(&fake_lun->lun_lock);
    req_init(&q[0]);
    req_send(&q[0]);
    shim_det_run(shim_now_ns() + AD_FREEZE_NS - 1);
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_ptr_nonnull(ad_ledger_idle(ad_find(FAKE_DEVNO)));
    fake_check(fake_lun);
    shim_det_run(shim_now_ns() + 1);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(fake_flow().late_thaws, 2);
    fake_check(fake_lun);
    ck_assert_ptr_null(ad_ledger_idle(ad_find(FAKE_DEVNO)));
    shim_lock_enter(&fake_lun->lun_lock);
    ad_thaw_gate_locked(fake_lun, owner); /* its owner, at last */
    ad_freeze_gate_locked(fake_lun, owner);
    ad_thaw_gate_locked(fake_lun, owner); /* and its other thaw: a freeze in force is another's */
    ck_assert_uint_eq(fake_lun->lun_ledger.lg_now[owner], 1);
    ad_thaw_gate_locked(fake_lun, owner);
    ck_assert_uint_eq(fake_lun->lun_ledger.lg_now[owner], 0);
    ck_assert_uint_eq(fake_lun->lun_gate, 0);
    shim_lock_exit(&fake_lun->lun_lock);
    fake_end_all();
    fake_check(fake_lun);
    fake_down();
}
END_TEST

static unsigned complaints;

static void count_complaints(int level, const char *text)
{
    complaints += level == SHIM_LOG_ERROR && strstr(text, "wait behind an error") != NULL;
}

/* A kept queue is its driver's for as long as he likes; the log says once that requests wait in it. */
START_TEST(test_AIX_22_a_kept_queue_is_complained_of_and_kept)
{
    struct shim_host host = *shim_det_host(1);

    host.log = count_complaints;
    complaints = 0;
    shim_test_begin(&host);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    for (unsigned i = 0; i < 2; i++) {
        req_init(&q[i]);
        q[i].sb.timeout_value = 0;
    }
    req_send(&q[0]);
    fake_lun->lun_limit.lm_now = 1; /* the second waits in the queue */
    req_send(&q[1]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    ck_assert_uint_eq(fake_lun->lun_queued, 1);
    shim_det_run(shim_now_ns() + AD_FREEZE_NS - 1);
    ck_assert_uint_eq(complaints, 0);
    shim_det_run(shim_now_ns() + 10 * AD_FREEZE_NS);
    ck_assert_uint_eq(complaints, 1);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    ck_assert_uint_eq(fake.starts, 1);
    fake_down();
}
END_TEST

static Suite *freeze_suite(void)
{
    Suite *s = suite_create("ad_freeze");
    TCase *tc = tcase_create("freeze");

    tcase_add_loop_test(tc, test_AIX_20_what_was_chosen_before_a_halt_comes_back_enxio, 0, 2);
    tcase_add_test(tc, test_AIX_26_halt_freezes_the_chip_and_resume_undoes_it);
    tcase_add_test(tc, test_NB_11_every_freeze_has_one_thaw);
    tcase_add_test(tc, test_AIX_21_the_recovery_command_passes_a_freeze);
    tcase_add_test(tc, test_AIX_18_no_room_then_frozen_then_room);
    tcase_add_test(tc, test_AIX_18_a_chip_that_has_lost_count_keeps_nothing_for_ever);
    tcase_add_test(tc, test_freeze_and_thaw_come_together);
    tcase_add_test(tc, test_NB_11_ledger_by_owner);
    tcase_add_loop_test(tc, test_NB_11_a_forgotten_freeze_is_thawed, 0, 2);
    tcase_add_test(tc, test_AIX_22_a_kept_queue_is_complained_of_and_kept);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(freeze_suite(), argc, argv); }
