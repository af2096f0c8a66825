/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_lane_test.c - the words of the lane: who uses which, what one closes for all, and whose a slot is.
 *
 * The thread of a test plays several: the lane tells threads by the number in their record.
 */
#include "ad_fake.h"

static struct req q[16];

/* Be the thread with this number; no lock may be held. Returns who we were. */
static uint64_t be(uint64_t id)
{
    struct shim_self *self = shim_self();
    const uint64_t was = self->self_id;

    self->self_id = id;
    return was;
}

/* Send as that thread and expect it back well. */
static void send_as(uint64_t id, struct req *r)
{
    const uint64_t was = be(id);

    req_init(r);
    req_expect(r, 0);
    (void)be(was);
}

/* Threads whose numbers follow one another have words, and with them tags, of their own, always. */
START_TEST(test_XEN_01_threads_have_words_of_their_own)
{
    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < 12; i++)
        send_as(4 + i % AD_LANE_WORDS, &q[i]);
    for (unsigned i = 0; i < 12; i++) {
        ck_assert_uint_eq(fake.tag[i], fake.tag[i % AD_LANE_WORDS]);
        for (unsigned k = 0; k < i % AD_LANE_WORDS; k++)
            ck_assert_uint_ne(fake.tag[i], fake.tag[k]);
    }
    ck_assert(ad_lane_is_open_locked(fake_lun));
    ck_assert_uint_eq(fake_stats().completed, 12);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* A LUN with one opening has a slot in one word only: everybody finds it. */
START_TEST(test_XEN_01_a_thread_goes_on_to_the_other_words)
{
    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_tags_max = 1;
    fake_attach(NULL);
    ck_assert(ad_lane_is_open_locked(fake_lun));
    for (unsigned i = 0; i < AD_LANE_WORDS; i++) {
        send_as(4 + i, &q[i]);
        ck_assert(ad_lane_is_open_locked(fake_lun)); /* nobody had to take the lock */
        fake_check(fake_lun);
    }
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- closing from inside */

static uint64_t inside_id;

/* While the outer command is inside start(): another thread's, in its own word; then one closes them all. */
static void second_word_then_close(struct fake *f, struct ad_xfer *xfer)
{
    (void)xfer;
    f->on_start = NULL;
    send_as(inside_id, &q[1]);
    ck_assert(ad_lane_is_open_locked(fake_lun));
    ck_assert_uint_eq(ad_lane_active_locked(fake_lun), 1);
    fake_check(fake_lun);
    req_init(&q[2]);
    q[2].sb.flags = SC_RESUME; /* not plain, and yet nothing it has to wait for */
    req_expect(&q[2], 0);
    ck_assert_uint_eq(ad_lane_free_locked(fake_lun), 0);
    ck_assert_uint_eq(fake_lun->lun_lane_left, 1);
    fake_check(fake_lun);
    send_as(inside_id, &q[3]); /* in no word of the lane */
    ck_assert_uint_eq(fake_lun->lun_lane_left, 1);
}

START_TEST(test_XEN_01_who_closes_closes_every_word)
{
    for (unsigned outer = 0; outer < AD_LANE_WORDS; outer++) {
        fake_up(true, FAKE_INLINE);
        inside_id = 4 + (outer + 1) % AD_LANE_WORDS;
        fake.on_start = second_word_then_close;
        send_as(4 + outer, &q[0]);
        ck_assert_uint_eq(fake_lun->lun_lane_left, 0);
        ck_assert_uint_eq(fake_lun->lun_active, 0);
        ck_assert_uint_eq(fake_lun->lun_nfree, fake_lun->lun_openings);
        ck_assert_uint_eq(fake_stats().completed, 4);
        fake_check(fake_lun);
        for (unsigned i = 0; i < AD_LANE_STREAK; i++)
            send_as(4 + i % AD_LANE_WORDS, &q[4]);
        ck_assert(ad_lane_is_open_locked(fake_lun));
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* ---------------------------------------------------------------- whose slot it is */

static void look_from_inside(struct fake *f, struct ad_xfer *xfer)
{
    const struct ad_cmd *cmd = SC_CONTAINER_OF(xfer, struct ad_cmd, cmd_xfer);

    f->on_start = NULL;
    ck_assert(ad_lane_has_locked(fake_lun, cmd));
    for (unsigned i = 0; i < fake_lun->lun_openings; i++)
        if (&fake_lun->lun_cmds[i] != cmd)
            ck_assert(!ad_lane_has_locked(fake_lun, &fake_lun->lun_cmds[i]));
    fake_check(fake_lun);
}

START_TEST(test_XEN_01_a_slot_in_use_is_known_in_every_word)
{
    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < AD_LANE_WORDS; i++) {
        fake.on_start = look_from_inside;
        send_as(4 + i, &q[i]);
        ck_assert_uint_eq(ad_lane_active_locked(fake_lun), 0);
        fake_check(fake_lun);
    }
    fake_down();
}
END_TEST

static Suite *ad_lane_suite(void)
{
    Suite *s = suite_create("ad_lane");
    TCase *words = tcase_create("words");

    tcase_add_test(words, test_XEN_01_threads_have_words_of_their_own);
    tcase_add_test(words, test_XEN_01_a_thread_goes_on_to_the_other_words);
    tcase_add_test(words, test_XEN_01_who_closes_closes_every_word);
    tcase_add_test(words, test_XEN_01_a_slot_in_use_is_known_in_every_word);
    suite_add_tcase(s, words);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_lane_suite(), argc, argv); }
