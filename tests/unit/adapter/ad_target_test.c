/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_target_test.c - credits of a target: never more than it may have, taken in turns, none lost.
 */
#include "ad_fake.h"

static struct req q[400];

static void to(struct req *r, unsigned id, unsigned lun)
{
    req_init(r);
    r->sb.scsi_command.scsi_id = (uint8_t)id;
    r->sb.lun = (uint8_t)lun;
}

/* An adapter with this many credits, of which a target may have so many; LUNs 0 and 1 of ids 3 and 4. */
static void up(unsigned all, unsigned chip, unsigned told)
{
    const struct ad_config more = {.cfg_commands_max = all, .cfg_target_commands_max = told};

    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_target_commands = chip;
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(3, 1), 0), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(4, 0), 0), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(4, 1), 0), 0);
}

static struct ad_lun *lun_of(unsigned id, unsigned lun) { return ad_lun_find(ad_find(FAKE_DEVNO), id, lun); }

static unsigned kept_of(unsigned id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.nkept; i++)
        n += fake.kept[i]->xfer_id == id;
    return n;
}

/* Nothing is lost: the pools are as full as they were made. */
static void pools_are_full(void)
{
    struct ad_adapter *adp = ad_find(FAKE_DEVNO);

    ck_assert_uint_eq(adp->adp_credits_free, adp->adp_credits);
    ck_assert_ptr_null(adp->adp_wait_head);
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        ck_assert_uint_eq(adp->adp_targets[id].tg_free, adp->adp_targets[id].tg_max);
        ck_assert_ptr_null(adp->adp_targets[id].tg_wait_head);
    }
}

/* The lower of the two limits counts, and 0 is none. */
START_TEST(test_NB_05_target_limit_is_the_lower_of_two)
{
    static const unsigned rows[][3] = {{0, 0, 10}, {4, 0, 4}, {0, 3, 3}, {4, 3, 3}, {3, 4, 3}};

    up(100, rows[_i][0], rows[_i][1]);
    for (unsigned i = 0; i < 10; i++) {
        to(&q[i], 3, i % 2);
        req_send(&q[i]);
    }
    ck_assert_uint_eq(kept_of(3), rows[_i][2]);
    ck_assert_uint_eq(fake_flow().target_max, rows[_i][2] == 10 ? 0 : rows[_i][2]);
    ck_assert_uint_eq(fake_flow().target_free, 0);
    for (unsigned i = 10; i < 12; i++) { /* another target is not concerned */
        to(&q[i], 4, 0);
        req_send(&q[i]);
    }
    ck_assert_uint_eq(kept_of(4), 2);
    fake_end_all();
    for (unsigned i = 0; i < 12; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

/* Two LUNs of one target with more than it holds take turns exactly: one each. */
START_TEST(test_NB_05_luns_of_a_target_take_turns)
{
    unsigned ended[2] = {0, 0};

    up(100, 0, 1);
    for (unsigned i = 0; i < 80; i++) { /* all of the one before the first of the other */
        to(&q[i], 3, i / 40);
        req_send(&q[i]);
    }
    for (unsigned i = 0; i < 80; i++) {
        ck_assert_uint_eq(fake.nkept, 1);
        ended[fake.kept[0]->xfer_lun]++;
        fake_end(0);
        ck_assert_uint_le(ended[0], ended[1] + 2); /* it has one at the device when the other comes */
        ck_assert_uint_le(ended[1], ended[0] + 1);
        fake_check(lun_of(3, 0));
        fake_check(lun_of(3, 1));
    }
    ck_assert_uint_gt(fake_flow().waits_target, 0);
    pools_are_full();
    fake_down();
}
END_TEST

/*
 * Four LUNs of two targets that never have enough, one of them 32 times as deep as another: after 400
 * commands each has had 100, and none has waited for longer than the three others took.
 */
static unsigned served[4];
static bool more_wanted;

static void stream(struct req *r)
{
    const unsigned id = r->sb.scsi_command.scsi_id, lun = r->sb.lun;

    served[2 * (id - 3) + lun]++;
    if (!more_wanted)
        return;
    to(r, id, lun);
    r->then = stream;
    req_send(r);
}

START_TEST(test_XEN_10_turns_are_counted_exactly)
{
    static const unsigned depth[4] = {32, 1, 8, 2};
    unsigned n = 0;

    memset(served, 0, sizeof(served));
    more_wanted = true;
    up(1, 0, 0);
    for (unsigned k = 0; k < 4; k++)
        for (unsigned i = 0; i < depth[k]; i++, n++) {
            to(&q[n], 3 + k / 2, k % 2);
            q[n].then = stream;
            req_send(&q[n]);
        }
    for (unsigned i = 0; i < 401; i++) {
        shim_det_run(shim_now_ns() + AD_NS_PER_MS);
        fake_end(0);
    }
    for (unsigned k = 0; k < 4; k++) {
        const struct ad_lun *lun = lun_of(3 + k / 2, k % 2);

        ck_assert_uint_eq(served[k], 100 + (k == 0));      /* and the first one, for the asking */
        ck_assert_uint_eq(lun->lun_turns, 100 + (k == 0)); /* with the one it has now */
        ck_assert_uint_le(lun->lun_wait_max_ns, 4 * AD_NS_PER_MS);
        ck_assert_uint_ge(lun->lun_wait_max_ns, 3 * AD_NS_PER_MS);
    }
    more_wanted = false;
    while (fake.nkept > 0)
        fake_end(0);
    pools_are_full();
    fake_down();
}
END_TEST

/* Short of both: whoever is handed one can use it, no target has more than its own, and all end. */
START_TEST(test_NB_05_short_of_target_and_adapter)
{
    up(5, 3, 0);
    for (unsigned i = 0; i < 400; i++) {
        to(&q[i], 3 + i / 200, (i / 100) % 2);
        req_send(&q[i]);
    }
    for (unsigned left = 400; left > 0; left--) {
        ck_assert_uint_le(kept_of(3), 3);
        ck_assert_uint_le(kept_of(4), 3);
        ck_assert_uint_eq(fake.nkept, left > 200 && kept_of(3) && kept_of(4) ? 5 : fake.nkept);
        ck_assert_uint_gt(fake.nkept, 0);
        fake_end((unsigned)(shim_det_random() % fake.nkept));
        for (unsigned k = 0; k < 4; k++)
            fake_check(lun_of(3 + k / 2, k % 2));
    }
    for (unsigned i = 0; i < 400; i++)
        ck_assert_uint_eq(q[i].done, 1);
    pools_are_full();
    fake_down();
}
END_TEST

/* A LUN that is halted while it waits, or has a credit in hand that it cannot use, passes it on. */
START_TEST(test_NB_05_what_a_halted_lun_was_handed_goes_on)
{
    up(100, 0, 1);
    to(&q[0], 3, 0);
    to(&q[1], 3, 1);
    to(&q[2], 3, 0);
    for (unsigned i = 0; i < 3; i++)
        req_send(&q[i]);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(3, 1), 0), 0);
    ck_assert_int_eq(q[1].sb.bufstruct.b_error, ENXIO);
    fake_end(0);
    ck_assert_uint_eq(fake.nkept, 1);
    ck_assert_uint_eq(fake.kept[0]->xfer_lun, 0);
    fake_end(0);
    ck_assert_uint_eq(q[2].done, 1);
    pools_are_full();
    fake_down();
}
END_TEST

/* SCIOSTOP of one that waits: it leaves the list from the head, the middle and the tail. */
START_TEST(test_NB_05_a_stopped_lun_leaves_its_targets_list)
{
    struct ad_lun *lun[3];

    up(100, 0, 1);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(3, 2), 0), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(3, 3), 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        to(&q[i], 3, i);
        req_send(&q[i]);
        if (i > 0) {
            lun[i - 1] = lun_of(3, i);
            ck_assert(lun[i - 1]->lun_tg_waiting);
        }
    }
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(3, 1 + _i), 0), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(3, 1 + _i), 0), 0);
    ck_assert(!lun[_i]->lun_tg_waiting);
    to(&q[4], 3, 0); /* behind the others, wherever their list ends now */
    req_send(&q[4]);
    fake_end_all();
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(q[i].done, 1);
    ck_assert_uint_eq(q[4].order, 5);
    pools_are_full();
    fake_down();
}
END_TEST

static Suite *ad_target_suite(void)
{
    Suite *s = suite_create("ad_target");
    TCase *t = tcase_create("target");

    tcase_add_loop_test(t, test_NB_05_target_limit_is_the_lower_of_two, 0, 5);
    tcase_add_test(t, test_NB_05_luns_of_a_target_take_turns);
    tcase_add_test(t, test_XEN_10_turns_are_counted_exactly);
    tcase_add_test(t, test_NB_05_short_of_target_and_adapter);
    tcase_add_test(t, test_NB_05_what_a_halted_lun_was_handed_goes_on);
    tcase_add_loop_test(t, test_NB_05_a_stopped_lun_leaves_its_targets_list, 0, 3);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_target_suite(), argc, argv); }
