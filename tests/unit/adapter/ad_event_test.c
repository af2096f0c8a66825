/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_event_test.c - events take their turn among the responses of a LUN, and nothing is started before they
 * are told. Who may register, and what SCIOSTOP waits for: ad_ioctl_test.c.
 */
#include "ad_fake.h"

#define TOLD_MAX 8u

/* What an owner has been told, in order: 'a' to 'z' a request, '0' and '1' an event of that LUN. */
static char story[32];
static uint32_t told[TOLD_MAX];
static unsigned ntold;
static void (*in_event)(unsigned lun);
static struct req q[8];
static unsigned started_before; /* fake.starts when it mattered */

static void tell(char what)
{
    const size_t n = strlen(story);

    ck_assert_uint_lt(n + 1, sizeof(story));
    story[n] = what;
}

static void on_event(struct sc_event_info *info)
{
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    ck_assert_uint_eq(shim_self()->self_ctx, SHIM_CTX_COMPLETION);
    ck_assert_uint_lt(ntold, TOLD_MAX);
    told[ntold++] = info->events;
    tell((char)('0' + info->lun));
    if (in_event)
        in_event(info->lun);
}

static void listen_to(unsigned lun)
{
    struct sc_event_struct ev = {
        .id = FAKE_ID, .lun = (uint8_t)lun, .mode = SC_IM_MODE, .async_func = on_event};

    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOEVENT, (intptr_t)&ev, 0), 0);
}

static void on_done(struct req *r) { tell((char)('a' + (r - q))); }

static void up(enum fake_mode mode)
{
    memset(story, 0, sizeof(story));
    ntold = 0;
    in_event = NULL;
    fake_up(true, mode);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(q); i++) {
        req_init(&q[i]);
        q[i].then = on_done;
    }
    listen_to(0);
}

/* The first of three comes back; while its owner has it the second does, an event happens, and a fourth is
 * sent. */
static void meanwhile(struct req *r)
{
    on_done(r);
    fake_end(0);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    fake_end(0);
    started_before = fake.starts;
    req_send(&q[3]);
    ck_assert_uint_eq(fake.starts, started_before); /* frozen */
    tell('.');
}

START_TEST(test_CAM_08_an_event_takes_its_turn)
{
    up(FAKE_PEND);
    q[0].then = meanwhile;
    for (unsigned i = 0; i < 3; i++)
        req_send(&q[i]);
    fake_end(0);
    ck_assert_str_eq(story, "a.b0c");
    ck_assert_uint_eq(fake.starts, started_before + 1); /* thawed */
    ck_assert_uint_eq(told[0], SC_SCSI_RESET_EVENT);
    fake_check(fake_lun);
    fake_end(0);
    fake_down();
}
END_TEST

/* Who is told first sends to one that is not told yet, and to himself. */
static void send_other(unsigned lun)
{
    in_event = NULL;
    started_before = fake.starts;
    q[0].sb.lun = (uint8_t)(1 - lun);
    q[1].sb.lun = (uint8_t)lun;
    req_send(&q[1]);
    ck_assert_uint_eq(fake.starts, started_before);
    req_send(&q[0]); /* whoever is there gives back what there is, and then starts it */
    tell('.');
}

START_TEST(test_CAM_08_all_are_frozen_before_the_first_is_told)
{
    up(FAKE_INLINE);
    listen_to(1);
    in_event = send_other;
    ad_hw_event(fake.ad, AD_EV_FATAL);
    ck_assert_uint_eq(ntold, 2);
    ck_assert_uint_eq(fake.starts, started_before + 2);
    ck_assert_uint_eq(q[0].done, 1);
    ck_assert_uint_eq(q[1].done, 1);
    ck_assert_str_eq(story, "01a.b");
    fake_check(fake_lun);
    fake_down();
}
END_TEST

static void two_events(struct req *r)
{
    on_done(r);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ad_hw_event(fake.ad, AD_EV_CMD_FAILED);
}

START_TEST(test_CAM_08_what_happens_before_it_is_told_is_told_at_once)
{
    up(FAKE_PEND);
    q[0].then = two_events;
    req_send(&q[0]);
    fake_end(0);
    ck_assert_str_eq(story, "a0");
    ck_assert_uint_eq(told[0], SC_SCSI_RESET_EVENT | SC_ADAP_CMD_FAILED);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ck_assert_str_eq(story, "a00");
    ck_assert_uint_eq(told[1], SC_SCSI_RESET_EVENT);
    fake_down();
}
END_TEST

/* One that happens while it is told is told once more. */
static void again(unsigned lun)
{
    (void)lun;
    in_event = NULL;
    ad_hw_event(fake.ad, AD_EV_CMD_FAILED);
}

START_TEST(test_CAM_08_an_event_inside_an_event)
{
    up(FAKE_INLINE);
    in_event = again;
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ck_assert_str_eq(story, "00");
    ck_assert_uint_eq(told[1], SC_ADAP_CMD_FAILED);
    req_expect(&q[0], 0);
    fake_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ad_event");
    TCase *t = tcase_create("the way of completions");

    tcase_add_test(t, test_CAM_08_an_event_takes_its_turn);
    tcase_add_test(t, test_CAM_08_all_are_frozen_before_the_first_is_told);
    tcase_add_test(t, test_CAM_08_what_happens_before_it_is_told_is_told_at_once);
    tcase_add_test(t, test_CAM_08_an_event_inside_an_event);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
