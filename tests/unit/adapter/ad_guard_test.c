/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_guard_test.c - a device that always serves the newest first starves nobody for ever.
 */
#include "ad_fake.h"

static struct req old, q[8];

static void again(struct req *r)
{
    req_init(r);
    r->then = again;
    req_send(r);
}

static void stop(struct req *r) { (void)r; }

/*
 * The device: what came last is next, but not past an ORDERED one: then what came before it, oldest first. A
 * command each 10 ms. False: it has nothing.
 */
static bool serve(void)
{
    unsigned at = fake.nkept;

    if (at == 0)
        return false;
    for (unsigned i = 0; i < fake.nkept; i++)
        if (fake.kept[i]->xfer_qmsg == SC_ORDERED_Q) {
            at = i == 0 ? 1 : i;
            break;
        }
    shim_det_run(shim_now_ns() + 10 * AD_NS_PER_MS);
    fake_end(at - 1);
    return true;
}

static unsigned ordered(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fake.starts && i < FAKE_LOG_MAX; i++)
        n += fake.qmsg[i] == SC_ORDERED_Q;
    return n;
}

static void stream(unsigned depth, uint32_t timeout_s)
{
    fake_up(true, FAKE_PEND);
    req_init(&old);
    old.sb.timeout_value = timeout_s;
    req_send(&old);
    for (unsigned i = 0; i < depth; i++)
        again(&q[i]);
}

static void stream_end(unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        q[i].then = stop;
    while (serve())
        ;
    fake_check(fake_lun);
    fake_down();
}

/* After 2 s, or a quarter of its time, the one that is overtaken has an ORDERED tag behind it. */
START_TEST(test_NB_09_a_starved_command_gets_an_ordered_tag)
{
    static const struct {
        uint32_t timeout;
        uint64_t after_ns;
    } rows[] = {{30, AD_GUARD_NS}, {0, AD_GUARD_NS}, {4, 1 * AD_NS_PER_S}, {100, AD_GUARD_NS}};
    uint64_t began;

    stream(4, rows[_i].timeout);
    began = shim_now_ns();
    while (!old.done) {
        ck_assert(serve());
        ck_assert_uint_le(shim_now_ns() - began, rows[_i].after_ns + 200 * AD_NS_PER_MS);
    }
    ck_assert_uint_ge(shim_now_ns() - began, rows[_i].after_ns);
    ck_assert(!(old.sb.bufstruct.b_flags & B_ERROR));
    ck_assert_uint_eq(ordered(), 1);
    ck_assert_uint_eq(fake_flow().guards, 1);
    ck_assert_uint_eq(q[0].sb.q_tag_msg, SC_SIMPLE_Q); /* the request is its owner's */
    stream_end(4);
}
END_TEST

/* A device that serves everybody in time, however long the stream, never sees one. */
START_TEST(test_NB_09_no_guard_where_nobody_starves)
{
    stream(4, 30);
    for (unsigned i = 0; i < 2000; i++) {
        shim_det_run(shim_now_ns() + 10 * AD_NS_PER_MS);
        fake_end(0);
    }
    ck_assert_uint_eq(old.done, 1);
    ck_assert_uint_eq(ordered(), 0);
    stream_end(4);
}
END_TEST

/* Nobody comes back: then nobody is overtaken, and an ORDERED tag would help nobody. */
START_TEST(test_NB_09_no_guard_at_a_device_that_stands)
{
    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 4; i++) {
        req_init(&q[i]);
        req_send(&q[i]);
    }
    shim_det_run(shim_now_ns() + 20 * AD_NS_PER_S);
    req_init(&old);
    req_send(&old);
    ck_assert_uint_eq(ordered(), 0);
    fake_end_all();
    ck_assert_uint_eq(old.done, 1);
    fake_down();
}
END_TEST

/* A guard is for all that were there, and is not sent again for them if the device does not obey. */
START_TEST(test_NB_09_one_guard_for_all_that_were_there)
{
    stream(4, 30);
    for (unsigned i = 0; i < 800; i++) { /* 8 s */
        shim_det_run(shim_now_ns() + 10 * AD_NS_PER_MS);
        fake_end(fake.nkept - 1);
    }
    ck_assert_uint_eq(old.done, 0);
    ck_assert_uint_eq(ordered(), 1);
    for (unsigned i = 0; i < 4; i++)
        q[i].then = stop;
    shim_det_run(shim_now_ns() + 30 * AD_NS_PER_S); /* its timeout is still its own */
    ck_assert_uint_eq(old.done, 1);
    stream_end(4);
}
END_TEST

/*
 * Commands that end inside start() go by, in the queue or in the lane, where nobody counts: it is closed for
 * the guard.
 */
START_TEST(test_NB_09_the_lane_is_guarded_too)
{
    fake_up(true, FAKE_PEND);
    req_init(&q[1]);
    req_send(&q[1]); /* was in the lane, which stays closed until it is home */
    req_init(&old);
    if (_i == 0)
        fake_end(0);
    req_send(&old);
    if (_i == 1)
        fake_end(0);
    fake.mode = FAKE_INLINE;
    for (unsigned i = 0; i < 2 * AD_LANE_STREAK; i++) {
        req_init(&q[0]);
        req_expect(&q[0], 0);
    }
    shim_lock_enter(&fake_lun->lun_lock);
    ck_assert_int_eq(ad_lane_is_open_locked(fake_lun), _i < 2);
    shim_lock_exit(&fake_lun->lun_lock);
    ck_assert_uint_eq(ordered(), 0);
    for (unsigned i = 0; i < 500 && ordered() == 0; i++) {
        shim_det_run(shim_now_ns() + 10 * AD_NS_PER_MS);
        req_init(&q[0]);
        req_expect(&q[0], 0);
    }
    ck_assert_uint_eq(ordered(), 1);
    fake_end_all();
    ck_assert_uint_eq(old.done, 1);
    fake_down();
}
END_TEST

/* What is on the wire for what was asked, on LUNs that can tag and that cannot. */
START_TEST(test_NB_10_tag_table)
{
    static const struct {
        bool can_tag;
        uint8_t asked, sent;
    } rows[] = {
        {true, SC_NO_Q, SC_NO_Q},           {true, SC_SIMPLE_Q, SC_SIMPLE_Q},
        {true, SC_HEAD_OF_Q, SC_HEAD_OF_Q}, {true, SC_ORDERED_Q, SC_ORDERED_Q},
        {false, SC_NO_Q, SC_NO_Q},          {false, SC_SIMPLE_Q, SC_NO_Q},
        {false, SC_HEAD_OF_Q, SC_NO_Q},     {false, SC_ORDERED_Q, SC_NO_Q},
    };

    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_tags_max = rows[_i].can_tag ? 16 : 0;
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    req_init(&q[0]);
    q[0].sb.q_tag_msg = rows[_i].asked;
    req_send(&q[0]);
    ck_assert_uint_eq(fake.qmsg[0], rows[_i].sent);
    if (rows[_i].sent == SC_NO_Q) { /* alone */
        req_init(&q[1]);
        req_send(&q[1]);
        ck_assert_uint_eq(fake.starts, 1);
    }
    fake_end_all();
    fake_down();
}
END_TEST

/* What is urgent goes out untagged, past a queue that is kept; anything tagged is no recovery command. */
START_TEST(test_NB_10_urgent_commands_have_no_tag)
{
    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 3; i++) {
        req_init(&q[i]);
        req_send(&q[i]);
    }
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    for (unsigned tag = SC_SIMPLE_Q; tag <= SC_ORDERED_Q; tag++) {
        req_init(&q[3]);
        q[3].sb.flags = SC_RESUME;
        q[3].sb.q_tag_msg = (uint8_t)tag;
        req_refused(&q[3], ENXIO);
    }
    req_init(&q[3]);
    q[3].sb.flags = SC_RESUME;
    q[3].sb.q_tag_msg = SC_NO_Q;
    req_send(&q[3]);
    ck_assert_uint_eq(fake.qmsg[3], SC_NO_Q);
    ck_assert_uint_eq(fake.nkept, 3); /* beside the two that are kept */
    fake_end_all();
    fake_down();
}
END_TEST

static Suite *ad_guard_suite(void)
{
    Suite *s = suite_create("ad_guard");
    TCase *t = tcase_create("guard");

    tcase_add_loop_test(t, test_NB_09_a_starved_command_gets_an_ordered_tag, 0, 4);
    tcase_add_test(t, test_NB_09_no_guard_where_nobody_starves);
    tcase_add_test(t, test_NB_09_no_guard_at_a_device_that_stands);
    tcase_add_test(t, test_NB_09_one_guard_for_all_that_were_there);
    tcase_add_loop_test(t, test_NB_09_the_lane_is_guarded_too, 0, 3);
    tcase_add_loop_test(t, test_NB_10_tag_table, 0, 8);
    tcase_add_test(t, test_NB_10_urgent_commands_have_no_tag);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_guard_suite(), argc, argv); }
