/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_check_test.c - the checker checked: each invariant of a LUN, broken by hand, is noticed and named.
 */
#include "ad_fake.h"

static struct req q[8];

/* Break one field of a sound LUN, ask, and mend it again. */
#define breaks(field, value, words)                                                                          \
    do {                                                                                                     \
        __typeof__(field) sound_ = (field);                                                                  \
        (field) = (__typeof__(field))(value);                                                                \
        said(words);                                                                                         \
        (field) = sound_;                                                                                    \
        fake_check(fake_lun);                                                                                \
    } while (0)

static void said(const char *words)
{
    const char *broken = ad_lun_check(fake_lun);

    ck_assert_msg(broken != NULL && strstr(broken, words) != NULL, "\"%s\" instead of \"%s\"",
                  broken ? broken : "nothing", words);
}

/* Two commands at the chip, the second untagged request and three more in the queue. */
static void up(void)
{
    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 6; i++) {
        req_init(&q[i]);
        q[i].sb.q_tag_msg = i == 2 ? SC_NO_Q : SC_SIMPLE_Q;
        req_send(&q[i]);
    }
    ck_assert_uint_eq(fake.nkept, 2);
    fake_check(fake_lun);
}

static void down(void)
{
    fake_end_all();
    fake_down();
}

START_TEST(test_lists_and_counts)
{
    struct buf *head;

    up();
    head = fake_lun->lun_queue.l_head;
    breaks(fake_lun->lun_queued, 3, "queue's length");
    breaks(fake_lun->lun_queue.l_tail, head, "queue's length");
    breaks(head->b_work, head->av_forw->b_work + 1, "queue's length or order");
    breaks(fake_lun->lun_sense.l_head, head, "queue's length");
    breaks(fake_lun->lun_flushing, 1, "flush list");
    breaks(fake_lun->lun_accepted, 0, "accepted !=");
    breaks(fake_lun->lun_responses, 1, "not pushed");
    breaks(fake_lun->lun_holds, 1, "hold gate");
    breaks(fake_lun->lun_gate, AD_GATE_HOLD, "hold gate");
    breaks(fake_lun->lun_state, AD_LUN_HALT, "halted queue is not empty");
    breaks(fake_lun->lun_state, AD_LUN_STOPPED, "stopped LUN holds");
    fake_lun->lun_rec_sb = &q[7].sb;
    fake_lun->lun_queued++;
    fake_lun->lun_accepted++;
    said("recovery command waits outside");
    fake_lun->lun_rec_sb = NULL;
    fake_lun->lun_queued--;
    fake_lun->lun_accepted--;
    down();
}
END_TEST

START_TEST(test_slots)
{
    struct ad_cmd *out, *unused, *spare;
    uint16_t *free;

    up();
    out = SC_CONTAINER_OF(fake.kept[0], struct ad_cmd, cmd_xfer);
    free = &fake_lun->lun_free[fake_lun->lun_free_at];
    unused = &fake_lun->lun_cmds[*free];
    spare = &fake_lun->lun_cmds[fake_lun->lun_openings];
    breaks(fake_lun->lun_starting, 7, "do not add up");
    breaks(fake_lun->lun_cancelled, 1, "do not add up");
    breaks(fake_lun->lun_aborts, 1, "do not add up");
    breaks(fake_lun->lun_lane_left, 7, "do not add up");
    breaks(out->cmd_state, AD_CMD_STARTING, "do not add up");
    breaks(out->cmd_flags, out->cmd_flags | AD_CMD_WANT_ABORT, "do not add up");
    breaks(out->cmd_flags, out->cmd_flags | AD_CMD_UNTAGGED, "untagged command is not alone");
    breaks(fake_lun->lun_gate, AD_GATE_UNTAGGED, "untagged command is not alone");
    breaks(fake_lun->lun_gate, AD_GATE_CANCEL, "cancel gate");
    breaks(out->cmd_long, 1, "both free and in use");
    breaks(unused->cmd_flags, AD_CMD_CANCEL, "free slot is not clean");
    breaks(unused->cmd_pins, 1, "free slot is not clean");
    breaks(unused->cmd_long, 1, "free slot is not clean");
    breaks(unused->cmd_map.map_nsegs, 1, "free slot is not clean");
    breaks(unused->cmd_deadline_ns, 1, "free slot is not clean");
    breaks(unused->cmd_state, AD_CMD_PENDING, "free ring is not free");
    breaks(*free, fake_lun->lun_openings, "free ring is not free");
    breaks(free[0], free[1], "free ring twice");
    breaks(unused->cmd_quar_ns, 1, "wrong ring");
    breaks(fake_lun->lun_nquar, fake_lun->lun_openings, "than there are");
    breaks(spare->cmd_state, AD_CMD_PENDING, "spare slot");
    down();
}
END_TEST

START_TEST(test_lane)
{
    uint32_t lane, slots, second;

    fake_up(true, FAKE_INLINE);
    lane = atomic_load(&fake_lun->lun_lane[0].lane_free);
    ck_assert(lane & AD_LANE_OPEN);
    breaks(fake_lun->lun_gate, AD_GATE_HW, "lane is open and should not be");
    breaks(fake_lun->lun_shared, true, "lane is open and should not be");
    breaks(fake_lun->lun_lane_left, 1, "lane is open and should not be");
    slots = ad_lane_slots(fake_lun);
    atomic_store(&fake_lun->lun_lane_slots, slots & ~1u);
    said("slots that are not its own");
    atomic_store(&fake_lun->lun_lane_slots, slots);
    atomic_store(&fake_lun->lun_lane[0].lane_free, lane & ~1u);
    atomic_fetch_or(&fake_lun->lun_lane[1].lane_free, 1u);
    said("slots that are not its own");
    atomic_fetch_and(&fake_lun->lun_lane[1].lane_free, ~1u);
    atomic_store(&fake_lun->lun_lane[0].lane_free, lane);
    second = atomic_exchange(&fake_lun->lun_lane[1].lane_free, 0);
    said("half open");
    atomic_store(&fake_lun->lun_lane[1].lane_free, second);
    ck_assert_uint_gt(fake_lun->lun_nfree, 0);
    breaks(fake_lun->lun_free[fake_lun->lun_free_at], 0, "free and in the lane");
    atomic_store(&fake_lun->lun_lane[0].lane_free, lane & ~AD_LANE_OPEN);
    said("closed lane has slots");
    atomic_store(&fake_lun->lun_lane_slots, 0);
    said("closed lane has slots");
    atomic_store(&fake_lun->lun_lane_slots, slots);
    atomic_store(&fake_lun->lun_lane[0].lane_free, lane);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* The table of legal moves, as ad_queue.c has it. */
START_TEST(test_moves_of_the_state)
{
    static const char *const legal[AD_LUN_STATES] = {
        /* to:              STOPPED RUN HALT KEEP REC REC_DONE STOPPING */
        [AD_LUN_STOPPED] = ".100000",
        [AD_LUN_STOPPING] = "101000."};

    for (int from = 0; from < AD_LUN_STATES; from++) /* staying is always legal */
        for (int to = 0; legal[from] != NULL && to < AD_LUN_STATES; to++)
            if (legal[from][to] != '.')
                ck_assert_msg(ad_state_move_ok((enum ad_lun_state)from, (enum ad_lun_state)to) ==
                                  (legal[from][to] == '1'),
                              "from %d to %d", from, to);
    ck_assert(ad_state_move_ok(AD_LUN_KEEP, AD_LUN_REC));
    ck_assert(!ad_state_move_ok(AD_LUN_RUN, AD_LUN_REC));
    ck_assert(!ad_state_move_ok(AD_LUN_HALT, AD_LUN_KEEP));
}
END_TEST

/* SCIOSTAT counts since the attachment, whatever becomes of the LUNs; resets and events of the adapter too.
 */
START_TEST(test_counts_since_the_attachment)
{
    struct sc_adapter_stats st;

    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            fake_script(AD_RES_BUS_FAULT, 0, 512);
        req_init(&q[i]);
        q[i].sb.flags = i == 1 ? SC_RESUME : 0;
        req_expect(&q[i], i == 0 ? EIO : 0);
    }
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIORESET, SC_ARG(FAKE_ID, 0), 0), 0);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ad_hw_event(fake.ad, AD_EV_CMD_FAILED);
    for (unsigned stopped = 0; stopped < 2; stopped++) {
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTAT, (intptr_t)&st, 0), 0);
        ck_assert_uint_eq(st.luns_started, 1 - stopped);
        ck_assert_uint_eq(st.commands, 3);
        ck_assert_uint_eq(st.completed, 3);
        ck_assert_uint_eq(st.errors, 1);
        ck_assert_uint_eq(st.resets, 2);
        ck_assert_uint_eq(st.events, 2);
        if (!stopped)
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    }
    fake_down();
}
END_TEST

/* While a command of the lane is inside start(), another one closes the lane. */
static void lane_is_closed_inside(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    req_init(&q[1]);
    q[1].sb.q_tag_msg = SC_NO_Q;
    req_send(&q[1]);
}

/* Who leaves the lane is counted where he arrives, and there alone. */
START_TEST(test_counts_of_who_leaves_the_lane)
{
    struct sc_lun_stats st;

    fake_up(true, FAKE_INLINE);
    fake.on_start = lane_is_closed_inside;
    req_init(&q[0]);
    req_expect(&q[0], 0);
    ck_assert_uint_eq(q[1].done, 1);
    st = fake_stats();
    ck_assert_uint_eq(st.accepted, 2);
    ck_assert_uint_eq(st.completed, 2);
    fake_down();
}
END_TEST

static Suite *ad_check_suite(void)
{
    Suite *s = suite_create("ad_check");
    TCase *check = tcase_create("check");

    tcase_add_test(check, test_lists_and_counts);
    tcase_add_test(check, test_slots);
    tcase_add_test(check, test_lane);
    tcase_add_test(check, test_moves_of_the_state);
    tcase_add_test(check, test_counts_since_the_attachment);
    tcase_add_test(check, test_counts_of_who_leaves_the_lane);
    suite_add_tcase(s, check);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_check_suite(), argc, argv); }
