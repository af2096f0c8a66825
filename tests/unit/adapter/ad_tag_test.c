/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_tag_test.c - tags are used in turn, and one that the device may still come back with is left alone.
 */
#include "ad_fake.h"

#define DEPTH AD_OPENINGS_DEFAULT

static struct req q[DEPTH];

static void send_one(struct req *r, uint8_t flags)
{
    req_init(r);
    r->sb.flags = flags;
    req_send(r);
}

/* The tag of the newest pending command. */
static unsigned tag_now(void) { return fake.kept[fake.nkept - 1]->xfer_tag; }

/* Send one and have it end well; its tag. */
static unsigned tag_of_one(void)
{
    unsigned tag;

    send_one(&q[0], fake_lun->lun_state == AD_LUN_HALT ? SC_RESUME : 0);
    tag = tag_now();
    fake_end(fake.nkept - 1);
    fake_check(fake_lun);
    return tag;
}

/* One at a time: each of the others is used before one is used again. */
START_TEST(test_NB_09_a_tag_is_used_again_last)
{
    unsigned first[DEPTH];

    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < DEPTH; i++) {
        first[i] = tag_of_one();
        for (unsigned k = 0; k < i; k++)
            ck_assert_uint_ne(first[k], first[i]);
    }
    for (unsigned i = 0; i < 3 * DEPTH; i++)
        ck_assert_uint_eq(tag_of_one(), first[i % DEPTH]);
    fake_down();
}
END_TEST

/* They come back in the order in which they were freed, whatever the order they were taken in. */
START_TEST(test_NB_09_freed_first_is_used_first)
{
    unsigned freed[DEPTH];

    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < DEPTH; i++)
        send_one(&q[i], 0);
    for (unsigned i = 0; i < DEPTH; i++) {
        const unsigned at = (unsigned)(shim_det_random() % fake.nkept);

        freed[i] = fake.kept[at]->xfer_tag;
        fake_end(at);
    }
    for (unsigned i = 0; i < DEPTH; i++)
        ck_assert_uint_eq(tag_of_one(), freed[i]);
    fake_down();
}
END_TEST

/* A command that was aborted, or met a bus fault: its tag rests, though others go round and round. */
START_TEST(test_NB_09_a_suspect_tag_rests)
{
    const bool fault = _i != 0;
    unsigned tag;

    fake_up(true, FAKE_PEND);
    send_one(&q[1], 0);
    tag = tag_now();
    if (fault) {
        fake_script(AD_RES_BUS_FAULT, 0, 512);
        fake_end(0);
    } else {
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
        ck_assert_uint_eq(fake.aborts, 1);
    }
    ck_assert_uint_eq(q[1].done, 1);
    ck_assert_uint_eq(fake_flow().quarantined, 1);
    for (unsigned i = 0; i < 2 * DEPTH; i++)
        ck_assert_uint_ne(tag_of_one(), tag);
    shim_det_run(shim_now_ns() + AD_QUARANTINE_NS - 1);
    for (unsigned i = 0; i < 2 * DEPTH; i++)
        ck_assert_uint_ne(tag_of_one(), tag);
    shim_det_run(shim_now_ns() + 1);
    for (unsigned i = 0; i < DEPTH - 1; i++)
        ck_assert_uint_ne(tag_of_one(), tag); /* it is used last now */
    ck_assert_uint_eq(tag_of_one(), tag);
    ck_assert_uint_eq(fake_flow().quarantined, 0);
    fake_down();
}
END_TEST

/* An ordinary error, and a bus reset, leave nothing to fear. */
START_TEST(test_NB_09_other_ends_are_not_suspect)
{
    static const uint8_t ends[] = {AD_RES_STATUS, AD_RES_BUS_RESET, AD_RES_SELECT_TIMEOUT, AD_RES_HW_FAILURE};

    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(ends); i++) {
        send_one(&q[1], fake_lun->lun_state == AD_LUN_HALT ? SC_RESUME : 0);
        fake_script(ends[i], SC_BUSY_STATUS, 512);
        fake_end(0);
        ck_assert_uint_eq(fake_flow().quarantined, 0);
    }
    fake_down();
}
END_TEST

/* Everything is aborted: half of the tags rest, with the other half the LUN goes on. */
START_TEST(test_NB_09_half_of_the_tags_rest_at_most)
{
    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < DEPTH; i++)
        send_one(&q[i], 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    fake_check(fake_lun);
    ck_assert_uint_eq(fake_flow().quarantined, DEPTH / 2);
    for (unsigned i = 0; i < DEPTH; i++)
        send_one(&q[i], i == 0 ? SC_RESUME : 0);
    ck_assert_uint_eq(fake.nkept, DEPTH / 2);
    for (unsigned i = 0; i < DEPTH; i++) {
        fake_end(0);
        fake_check(fake_lun);
    }
    for (unsigned i = 0; i < DEPTH; i++)
        ck_assert_uint_eq(q[i].done, 1);
    fake_down();
}
END_TEST

/* One opening only: there is no other tag to take, and so none rests. */
START_TEST(test_NB_09_a_lun_with_one_tag_uses_it)
{
    shim_test_begin_det(1);
    fake_prepare();
    shim_det_tunable_set("ad_openings", 1);
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    send_one(&q[1], 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(fake_flow().quarantined, 0);
    ck_assert_uint_eq(tag_of_one(), 0);
    fake_down();
}
END_TEST

static Suite *ad_tag_suite(void)
{
    Suite *s = suite_create("ad_tag");
    TCase *t = tcase_create("tag");

    tcase_add_test(t, test_NB_09_a_tag_is_used_again_last);
    tcase_add_test(t, test_NB_09_freed_first_is_used_first);
    tcase_add_loop_test(t, test_NB_09_a_suspect_tag_rests, 0, 2);
    tcase_add_test(t, test_NB_09_other_ends_are_not_suspect);
    tcase_add_test(t, test_NB_09_half_of_the_tags_rest_at_most);
    tcase_add_test(t, test_NB_09_a_lun_with_one_tag_uses_it);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_tag_suite(), argc, argv); }
