/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_batch_test.c - a chip that holds commands back until it is told, hands them back in lists, and says of
 * some that their device has not seen them.
 */
#include "ad_fake.h"

static struct req q[80];

static void batch_up(const struct ad_hw_ops *ops, bool keeps_queue)
{
    struct ad_config more = {.cfg_ops = ops};

    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_keeps_queue = keeps_queue;
    fake.mode = FAKE_PEND;
    fake_attach(&more);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(q); i++)
        req_init(&q[i]);
}

/* n requests that wait for room, and none of them has been started. */
static void batch_queue(unsigned n)
{
    fake.busy = 2;
    for (unsigned i = 0; i < n; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.busy, 0);
    ck_assert_uint_eq(fake.starts, 0);
}

static bool came(const struct req *r, int error)
{
    return r->done == 1 && (r->sb.bufstruct.b_flags & B_ERROR ? r->sb.bufstruct.b_error : 0) == error;
}

/* ---------------------------------------------------------------- flush */

START_TEST(test_flush_ends_each_call)
{
    batch_up(&fake_batch_ops, true);
    for (unsigned i = 0; i < 3; i++) {
        req_send(&q[i]);
        ck_assert_uint_eq(fake.nheld, 0);
        ck_assert_uint_eq(fake.flushes, i + 1);
    }
    fake_end_list(3);
    ck_assert_uint_eq(fake.flushes, 3); /* with nothing to send nobody is told */
    fake_down();
}
END_TEST

static int start_and_look(void *hw, struct ad_xfer *xfer)
{
    const int said = fake_batch_ops.start(hw, xfer);

    ck_assert_uint_eq(fake_lun->lun_starting, 1);
    fake_check(fake_lun);
    return said;
}

/* Given back before start() returns, it is on its way until then: by the lane, and by the queue. */
START_TEST(test_NB_06_early_is_not_arrived)
{
    struct ad_hw_ops ops = fake_batch_ops;

    ops.start = start_and_look;
    batch_up(&ops, true);
    fake.mode = FAKE_EARLY;
    for (unsigned i = 0; i < 2; i++) {
        req_send(&q[i]);
        ck_assert(came(&q[i], 0));
        ck_assert_uint_eq(fake_lun->lun_starting, 0);
    }
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_one_flush_for_all_that_may_start)
{
    static const unsigned many[] = {2, AD_BATCH, AD_BATCH + 1, AD_OPENINGS_DEFAULT};

    for (unsigned k = 0; k < SC_ARRAY_SIZE(many); k++) {
        batch_up(&fake_batch_ops, true);
        batch_queue(many[k]);
        ck_assert_uint_eq(fake.flushes, 0);
        ad_hw_kick(fake.ad);
        ck_assert_uint_eq(fake.nkept, many[k]);
        ck_assert_uint_eq(fake.nheld, 0);
        ck_assert_uint_eq(fake.flushes, 1);
        fake_check(fake_lun);
        fake_end_all();
        for (unsigned i = 0; i < many[k]; i++)
            ck_assert(came(&q[i], 0) && q[i].order == i + 1);
        fake_down();
    }
}
END_TEST

/* The chip runs full within a batch: what it took is sent, and the rest keeps its order. */
static unsigned room;
static void full(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    if (--room == 0)
        f->busy = 2;
}

START_TEST(test_a_batch_that_ends_for_want_of_room_is_sent)
{
    batch_up(&fake_batch_ops, true);
    batch_queue(10);
    fake.on_start = full;
    room = 3;
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.starts, 3);
    ck_assert_uint_eq(fake.nheld, 0);
    ck_assert_uint_eq(fake.flushes, 1);
    ck_assert_uint_eq(fake_lun->lun_queued, 7);
    fake_check(fake_lun);
    room = 100;
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.starts, 10);
    ck_assert_uint_eq(fake.flushes, 2);
    fake_end_list(10);
    for (unsigned i = 0; i < 10; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    fake_down();
}
END_TEST

/* Frozen within a batch: what was taken is sent, and the rest waits for the thaw. */
static void frozen(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    if (--room == 0)
        f->frozen[FAKE_ID][0]++;
}

START_TEST(test_a_batch_that_ends_frozen_is_sent)
{
    batch_up(&fake_batch_ops, true);
    batch_queue(10);
    fake.on_start = frozen;
    room = 4;
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.starts, 4);
    ck_assert_uint_eq(fake.nheld, 0);
    ck_assert_uint_eq(fake.flushes, 1);
    fake_check(fake_lun);
    fake.on_start = NULL;
    fake.frozen[FAKE_ID][0]--;
    shim_det_run(shim_now_ns() + 2 * AD_RETRY_NS); /* the chip has lost count, and nobody tells */
    ck_assert_uint_eq(fake.starts, 10);
    ck_assert_uint_eq(fake.nheld, 0);
    fake_end_list(10);
    for (unsigned i = 0; i < 10; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    fake_down();
}
END_TEST

/* A command ends with an error while its batch is on the way: the rest is not sent, or aborted. */
static void first_fails(struct fake *f, struct ad_xfer *xfer)
{
    if (--room != 0)
        return;
    xfer = f->kept[0];
    f->nkept = f->nheld = 0;
    xfer->xfer_result = AD_RES_BUS_FAULT;
    xfer->xfer_resid = xfer->xfer_bytes;
    f->frozen[FAKE_ID][0]++;
    ad_hw_done(f->ad, xfer);
}

START_TEST(test_XEN_08_an_error_within_a_batch_halts_the_rest)
{
    batch_up(&fake_batch_ops, true);
    batch_queue(8);
    fake.on_start = first_fails;
    room = 2; /* the second one is inside start() */
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.starts, 2);
    ck_assert_uint_eq(fake.nheld, 0);
    ck_assert(came(&q[0], EIO));
    ck_assert_uint_eq(fake.aborts, 1);
    for (unsigned i = 1; i < 8; i++)
        ck_assert(came(&q[i], ENXIO) && q[i].order == i + 1);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_down();
}
END_TEST

/* Each ordered or untagged command is alone on its way to the chip. */
START_TEST(test_a_batch_ends_at_an_ordered_command)
{
    batch_up(&fake_batch_ops, true);
    q[2].sb.q_tag_msg = SC_ORDERED_Q;
    q[4].sb.q_tag_msg = SC_NO_Q;
    batch_queue(6);
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.nkept, 4);
    ck_assert_uint_eq(fake.nheld, 0);
    fake_end_list(4);
    ck_assert_uint_eq(fake.nkept, 1);
    ck_assert_uint_eq(fake.nheld, 0);
    fake_end_list(1);
    fake_end_list(1);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    fake_down();
}
END_TEST

/* Commands that end before the batch is over are ended by whoever started them, in order. */
START_TEST(test_a_batch_that_is_back_before_it_is_sent)
{
    batch_up(&fake_batch_ops, true);
    fake.mode = FAKE_EARLY;
    batch_queue(5);
    ad_hw_kick(fake.ad);
    for (unsigned i = 0; i < 5; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* Memory that cannot be mapped, in the middle. */
START_TEST(test_a_batch_with_a_request_that_cannot_be_mapped)
{
    batch_up(&fake_batch_ops, true);
    q[1].sb.bufstruct.b_bcount = 0;
    batch_queue(3);
    fake.map_later = 2;
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.starts, 0); /* the first of them waits, and so do the others */
    fake_check(fake_lun);
    ad_hw_kick(fake.ad);
    ck_assert_uint_eq(fake.nkept, 3);
    ck_assert_uint_eq(fake.flushes, 1);
    fake_end_list(3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    fake_down();
}
END_TEST

/* All of a batch time out as if they had been sent one by one. */
START_TEST(test_a_batch_has_deadlines)
{
    batch_up(&fake_batch_ops, true);
    q[4].sb.q_tag_msg = SC_NO_Q; /* the others wait for it, and no timer runs */
    q[4].sb.timeout_value = 0;
    req_send(&q[4]);
    for (unsigned i = 0; i < 4; i++) {
        q[i].sb.timeout_value = 10 - i;
        req_send(&q[i]);
    }
    fake_end_list(1);
    ck_assert_uint_eq(fake.nkept, 4);
    shim_det_run(shim_now_ns() + 8 * AD_NS_PER_S);
    ck_assert(came(&q[3], EIO));
    ck_assert_uint_eq(q[3].sb.general_card_status, SC_CMD_TIMEOUT);
    ck_assert(came(&q[0], ENXIO) && q[0].order == 3);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- plug */

START_TEST(test_a_plug_is_one_batch)
{
    struct kern_plug plug;

    batch_up(&fake_batch_ops, true);
    req_send(&q[20]); /* the lane is shut from here on */
    kern_plug_begin(&plug);
    for (unsigned i = 0; i < 10; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(fake_lun->lun_queued, 10);
    ck_assert_uint_eq(fake_lun->lun_users, 1); /* SCIOSTOP waits for the plug */
    fake_check(fake_lun);
    kern_plug_end(&plug);
    ck_assert_uint_eq(fake.starts, 11);
    ck_assert_uint_eq(fake.nheld, 0);
    ck_assert_uint_eq(fake.flushes, 2);
    ck_assert_uint_eq(fake_lun->lun_users, 0);
    fake_end_list(11);
    for (unsigned i = 0; i < 10; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 2);
    fake_down();
}
END_TEST

static unsigned list_more, list_told;

static void list_over(void *arg)
{
    (void)arg;
    ck_assert_uint_eq(list_more, 5);
    ck_assert(fake_lun->lun_pushing); /* others cannot overtake */
    list_told++;
}

/* Owners of a list: each says whether more come, and the first wants something. */
static void list_then(struct req *r)
{
    list_more += (r->sb.bufstruct.b_flags & B_MORE_DONE) != 0;
    ck_assert_int_eq((r->sb.bufstruct.b_flags & B_MORE_DONE) != 0, r->order < 6);
    if (r == &q[0])
        req_send(&q[20]);
    ck_assert_int_ne(kern_plug_join(list_over, &list_more), KERN_PLUG_NONE);
    ck_assert_uint_eq(fake.starts, 6); /* not while the others have not been told */
}

/* A list has a plug of its own, which ends with it: who has the thread's may wait for these very requests. */
START_TEST(test_a_list_in_a_plug)
{
    struct kern_plug plug;

    list_more = list_told = 0;
    batch_up(&fake_batch_ops, true);
    for (unsigned i = 0; i < 6; i++) {
        q[i].then = list_then;
        req_send(&q[i]);
    }
    q[5].sb.bufstruct.b_flags |= B_MORE_DONE; /* left there by somebody */
    ck_assert_uint_eq(fake.starts, 6);
    kern_plug_begin(&plug);
    fake_end_list(6);
    ck_assert_uint_eq(list_told, 1);
    ck_assert_uint_eq(fake.starts, 7);
    ck_assert_ptr_eq(shim_self()->self_plug, &plug);
    kern_plug_end(&plug);
    fake_end_list(1);
    ck_assert(came(&q[20], 0));
    fake_down();
}
END_TEST

/* A queue that is long enough is not left alone. */
START_TEST(test_a_plug_has_a_bound)
{
    struct kern_plug plug;

    batch_up(&fake_batch_ops, true);
    req_send(&q[70]);
    kern_plug_begin(&plug);
    for (unsigned i = 0; i < AD_BATCH; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.starts, 1 + AD_BATCH);
    ck_assert_uint_eq(fake.nheld, 0);
    for (unsigned i = AD_BATCH; i < AD_BATCH + 5; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(fake.starts, 1 + AD_BATCH);
    kern_plug_end(&plug);
    ck_assert_uint_eq(fake.starts, 1 + AD_BATCH + 5);
    fake_end_all();
    fake_down();
}
END_TEST

/* Somebody else is at the LUN: he starts what the plugged thread has left there. */
START_TEST(test_others_start_what_a_plug_leaves)
{
    struct kern_plug plug;

    batch_up(&fake_batch_ops, true);
    req_send(&q[20]);
    kern_plug_begin(&plug);
    req_send(&q[0]);
    req_send(&q[1]);
    fake_end_list(1); /* an interrupt */
    ck_assert_uint_eq(fake.starts, 3);
    ck_assert_uint_eq(fake.nheld, 0);
    kern_plug_end(&plug);
    ck_assert_uint_eq(fake.starts, 3);
    fake_end_list(2);
    ck_assert(came(&q[0], 0) && came(&q[1], 0));
    fake_down();
}
END_TEST

/* The plugged thread halts or stops the LUN itself: what it has left there is accounted for. */
START_TEST(test_AIX_26_a_plugged_thread_halts_and_stops)
{
    struct kern_plug plug;

    batch_up(&fake_batch_ops, true);
    req_send(&q[20]);
    kern_plug_begin(&plug);
    req_send(&q[0]);
    req_send(&q[1]);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert(came(&q[20], ENXIO) && came(&q[0], ENXIO) && came(&q[1], ENXIO));
    ck_assert_uint_eq(fake.starts, 3);
    req_send(&q[2]); /* a halted queue refuses, at the latest when the plug is pulled */
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert(came(&q[2], ENXIO));
    kern_plug_end(&plug);
    fake_down();
}
END_TEST

/* A chip without flush() starts at once. */
START_TEST(test_a_plug_is_nothing_to_other_chips)
{
    struct kern_plug plug;

    batch_up(&fake_ops, true);
    req_send(&q[20]);
    kern_plug_begin(&plug);
    req_send(&q[0]);
    ck_assert_uint_eq(fake.starts, 2);
    kern_plug_end(&plug);
    fake_end_all();
    fake_down();
}
END_TEST

/* Whoever sends again from iodone has his requests in one batch, after the last iodone of the list. */
static unsigned again;
static void resend(struct req *r)
{
    if (again == 0)
        return;
    again--;
    req_send(r);
    ck_assert_uint_eq(fake.nkept, 0);
}

START_TEST(test_XEN_01_what_is_sent_from_a_list_is_one_batch)
{
    batch_up(&fake_batch_ops, true);
    for (unsigned i = 0; i < 8; i++) {
        q[i].then = resend;
        req_send(&q[i]);
    }
    again = 8;
    fake.flushes = 0;
    fake_end_list(8);
    ck_assert_uint_eq(fake.nkept, 8);
    ck_assert_uint_eq(fake.nheld, 0);
    ck_assert_uint_eq(fake.flushes, 1);
    fake_end_list(8);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- lists */

static unsigned users_in;
static void look(struct req *r)
{
    (void)r;
    users_in = fake_lun->lun_in_hand;
}

START_TEST(test_XEN_05_a_list_is_one_push)
{
    struct req other;

    batch_up(&fake_batch_ops, true);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 2), 0), 0);
    req_init(&other);
    other.sb.lun = 2;
    for (unsigned i = 0; i < 6; i++) {
        q[i].then = look;
        req_send(&q[i]);
        if (i == 2)
            req_send(&other);
    }
    fake_script(AD_RES_GOOD, 0, 0);
    fake_script(AD_RES_GOOD, 0, 12);
    fake_end_list(7);
    ck_assert_uint_eq(users_in, 6); /* all of them in one thread's hand */
    ck_assert_uint_eq(q[1].sb.bufstruct.b_resid, 12);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    ck_assert(came(&other, 0) && other.order == 7);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_NB_20_a_list_names_a_command_twice)
{
    struct ad_xfer *list[3];

    batch_up(&fake_batch_ops, true);
    req_send(&q[0]);
    req_send(&q[1]);
    list[0] = list[2] = fake.kept[0];
    list[1] = fake.kept[1];
    fake.nkept = 0;
    ad_hw_done_list(fake.ad, list, 3);
    ck_assert(came(&q[0], 0) && came(&q[1], 0));
    ck_assert_uint_eq(fake_lun->lun_doubles, 1);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* An error in the middle: what is behind it in the list has ended by itself, what is not is taken back. */
START_TEST(test_AIX_20_an_error_in_a_list)
{
    batch_up(&fake_batch_ops, false);
    for (unsigned i = 0; i < 5; i++)
        req_send(&q[i]);
    fake_script(AD_RES_GOOD, 0, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_script(AD_RES_GOOD, 0, 0);
    fake_end_list(3);
    ck_assert(came(&q[0], 0) && came(&q[1], EIO) && came(&q[2], 0));
    ck_assert(came(&q[3], ENXIO) && came(&q[4], ENXIO));
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(q[i].order, i + 1);
    fake_down();
}
END_TEST

/* abort() of a command is under way while it comes in a list: its caller ends it. */
static void abort_beside(void *hw, struct ad_xfer *xfer)
{
    (void)hw;
    (void)xfer;
    fake_end_list(fake.nkept);
    ck_assert_uint_eq(q[0].done, 0);
    ck_assert_uint_eq(q[1].done, 1);
}

START_TEST(test_a_list_beside_an_abort)
{
    struct ad_hw_ops ops = fake_batch_ops;

    ops.abort = abort_beside;
    batch_up(&ops, true);
    q[0].sb.timeout_value = 1;
    req_send(&q[0]);
    req_send(&q[1]);
    shim_det_run(shim_now_ns() + 2 * AD_NS_PER_S);
    ck_assert(came(&q[0], 0) && came(&q[1], 0));
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- not delivered */

START_TEST(test_AIX_18_what_no_device_has_seen_is_sent_again)
{
    for (int mode = FAKE_INLINE; mode <= FAKE_EARLY; mode++) {
        batch_up(&fake_ops, true);
        fake.mode = (enum fake_mode)mode;
        q[0].sb.flags = SC_RESUME;
        fake_script(AD_RES_UNSENT, 0, 512);
        fake_script(AD_RES_UNSENT, 0, 512);
        req_send(&q[0]);
        fake_end_all();
        ck_assert(came(&q[0], 0));
        ck_assert_uint_eq(q[0].sb.bufstruct.b_resid, 0);
        ck_assert_uint_eq(fake.starts, 3);
        ck_assert_uint_eq(fake_stats().errors, 0);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

static char logged[8][200];
static unsigned nlogged;
static void log_keep(int level, const char *text)
{
    if (level == SHIM_LOG_VERBOSE && nlogged < SC_ARRAY_SIZE(logged))
        (void)snprintf(logged[nlogged++], sizeof(logged[0]), "%s", text);
}

/* In its old place: before those that have come since. */
START_TEST(test_AIX_18_unsent_commands_keep_their_place_and_are_logged)
{
    struct shim_host host = *shim_det_host(1);

    batch_up(&fake_batch_ops, true);
    fake_down();
    host.log = log_keep;
    shim_test_begin(&host);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(&(struct ad_config){.cfg_ops = &fake_batch_ops});
    nlogged = 0;
    for (unsigned i = 0; i < 3; i++) {
        req_init(&q[i]);
        q[i].sb.bufstruct.b_un.b_addr = q[i].data;
        req_send(&q[i]);
    }
    fake_script(AD_RES_GOOD, 0, 0);
    fake_script(AD_RES_UNSENT, 0, 0);
    fake_script(AD_RES_UNSENT, 0, 0);
    fake_end_list(3);
    ck_assert(came(&q[0], 0) && q[1].done == 0 && q[2].done == 0);
    ck_assert_uint_eq(fake.starts, 5);
    ck_assert_uint_eq(fake.flushes, 4);
    ck_assert_uint_eq(fake.first_byte[3], (unsigned long)(uintptr_t)q[1].data);
    ck_assert_uint_eq(fake.first_byte[4], (unsigned long)(uintptr_t)q[2].data);
    ck_assert_uint_eq(nlogged, 2);
    ck_assert_ptr_nonnull(strstr(logged[1], "could not be sent: the device has not seen it"));
    fake_end_list(2);
    ck_assert(came(&q[1], 0) && came(&q[2], 0) && q[2].order == 3);
    fake_down();
}
END_TEST

/* A chip that delivers nothing is not asked all the time, and a request's time runs. */
START_TEST(test_a_chip_that_delivers_nothing)
{
    batch_up(&fake_ops, true);
    fake.mode = FAKE_INLINE;
    q[0].sb.timeout_value = 2;
    q[0].sb.flags = SC_RESUME;
    for (unsigned i = 0; i < 64; i++)
        fake.script[i] = (struct fake_result){AD_RES_UNSENT, 0, 512};
    fake.script_n = 64;
    req_send(&q[0]);
    ck_assert_uint_eq(fake.starts, AD_UNSENT_MAX + 1);
    shim_det_run(shim_now_ns() + 5 * AD_RETRY_NS + AD_RETRY_NS / 2);
    ck_assert_uint_eq(fake.starts, AD_UNSENT_MAX + 1 + 5);
    fake.busy = 100000;
    shim_det_run(shim_now_ns() + 3 * AD_NS_PER_S);
    ck_assert(came(&q[0], EIO));
    ck_assert_uint_eq(q[0].sb.general_card_status, SC_CMD_TIMEOUT);
    fake.busy = 0;
    fake_down();
}
END_TEST

/* Wanted back by a halt: ENXIO, as one that was picked and not started. */
START_TEST(test_an_unsent_command_obeys_a_halt)
{
    batch_up(&fake_batch_ops, true);
    fake.abort_mode = FAKE_ABORT_FINISHED;
    for (unsigned i = 0; i < 3; i++)
        req_send(&q[i]);
    for (unsigned i = 0; i < 3; i++)
        fake_script(AD_RES_UNSENT, 0, 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(came(&q[i], ENXIO) && q[i].order == i + 1);
    ck_assert_uint_eq(fake.starts, 3);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* The queue is kept when it comes back: it stays in it. */
START_TEST(test_an_unsent_command_in_a_kept_queue)
{
    batch_up(&fake_batch_ops, true);
    for (unsigned i = 0; i < 3; i++)
        req_send(&q[i]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_script(AD_RES_UNSENT, 0, 0);
    fake_script(AD_RES_UNSENT, 0, 0);
    fake_end_list(3);
    ck_assert(came(&q[0], EIO));
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    ck_assert_uint_eq(fake_lun->lun_queued, 2);
    q[3].sb.q_tag_msg = SC_NO_Q;
    q[3].sb.flags = SC_RESUME;
    req_send(&q[3]);
    fake_script(AD_RES_UNSENT, 0, 0); /* the recovery command, too */
    fake_end_list(1);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC);
    fake_end_list(1);
    ck_assert(came(&q[3], 0));
    q[4].sb.flags = SC_Q_RESUME;
    q[4].sb.scsi_command.scsi_length = 0;
    req_send(&q[4]);
    ck_assert_uint_eq(fake.nkept, 2);
    fake_end_list(2);
    ck_assert(came(&q[1], 0) && came(&q[2], 0));
    fake_down();
}
END_TEST

/* Its time was up, and then the chip finds it had never sent it: a timeout. */
START_TEST(test_an_unsent_command_whose_time_was_up)
{
    batch_up(&fake_batch_ops, true);
    fake.abort_mode = FAKE_ABORT_FINISHED;
    q[0].sb.timeout_value = 1;
    req_send(&q[0]);
    fake_script(AD_RES_UNSENT, 0, 0);
    shim_det_run(shim_now_ns() + 2 * AD_NS_PER_S);
    ck_assert(came(&q[0], EIO));
    ck_assert_uint_eq(q[0].sb.general_card_status, SC_CMD_TIMEOUT);
    ck_assert_uint_eq(q[0].sb.bufstruct.b_resid, 512);
    ck_assert_uint_eq(fake.starts, 1);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- asking with a budget */

START_TEST(test_a_chip_is_asked_for_so_many)
{
    struct ad_hw_ops ops = fake_batch_ops;

    ops.poll_some = fake_poll_some;
    ops.poll = NULL;
    batch_up(&ops, true);
    for (unsigned i = 0; i < AD_POLL_BUDGET + 3; i++)
        req_send(&q[i]);
    ck_assert_uint_eq(q[0].done, 0);
    shim_det_run(shim_now_ns() + AD_POLL_NS + AD_POLL_NS / 2);
    ck_assert_uint_eq(fake.budget_last, AD_POLL_BUDGET);
    for (unsigned i = 0; i < AD_POLL_BUDGET + 3; i++)
        ck_assert(came(&q[i], 0) && q[i].order == i + 1);
    fake_down();
}
END_TEST

/* A table from before: it is asked as it always was. */
START_TEST(test_an_older_chip_has_no_flush)
{
    struct ad_hw_ops ops = fake_batch_ops;

    ops.size = offsetof(struct ad_hw_ops, flush);
    batch_up(&ops, true);
    req_send(&q[0]);
    ck_assert_uint_eq(fake.flushes, 0);
    fake.nheld = 0;
    fake_end_all();
    ck_assert(came(&q[0], 0));
    fake_down();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("ad_batch");
    TCase *t = tcase_create("flush");

    tcase_add_test(t, test_flush_ends_each_call);
    tcase_add_test(t, test_NB_06_early_is_not_arrived);
    tcase_add_test(t, test_one_flush_for_all_that_may_start);
    tcase_add_test(t, test_a_batch_that_ends_for_want_of_room_is_sent);
    tcase_add_test(t, test_a_batch_that_ends_frozen_is_sent);
    tcase_add_test(t, test_XEN_08_an_error_within_a_batch_halts_the_rest);
    tcase_add_test(t, test_a_batch_ends_at_an_ordered_command);
    tcase_add_test(t, test_a_batch_that_is_back_before_it_is_sent);
    tcase_add_test(t, test_a_batch_with_a_request_that_cannot_be_mapped);
    tcase_add_test(t, test_a_batch_has_deadlines);
    tcase_add_test(t, test_an_older_chip_has_no_flush);
    suite_add_tcase(s, t);
    t = tcase_create("plug");
    tcase_add_test(t, test_a_plug_is_one_batch);
    tcase_add_test(t, test_a_list_in_a_plug);
    tcase_add_test(t, test_a_plug_has_a_bound);
    tcase_add_test(t, test_others_start_what_a_plug_leaves);
    tcase_add_test(t, test_AIX_26_a_plugged_thread_halts_and_stops);
    tcase_add_test(t, test_a_plug_is_nothing_to_other_chips);
    tcase_add_test(t, test_XEN_01_what_is_sent_from_a_list_is_one_batch);
    suite_add_tcase(s, t);
    t = tcase_create("lists");
    tcase_add_test(t, test_XEN_05_a_list_is_one_push);
    tcase_add_test(t, test_NB_20_a_list_names_a_command_twice);
    tcase_add_test(t, test_AIX_20_an_error_in_a_list);
    tcase_add_test(t, test_a_list_beside_an_abort);
    tcase_add_test(t, test_a_chip_is_asked_for_so_many);
    suite_add_tcase(s, t);
    t = tcase_create("unsent");
    tcase_add_test(t, test_AIX_18_what_no_device_has_seen_is_sent_again);
    tcase_add_test(t, test_AIX_18_unsent_commands_keep_their_place_and_are_logged);
    tcase_add_test(t, test_a_chip_that_delivers_nothing);
    tcase_add_test(t, test_an_unsent_command_obeys_a_halt);
    tcase_add_test(t, test_an_unsent_command_in_a_kept_queue);
    tcase_add_test(t, test_an_unsent_command_whose_time_was_up);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
