/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_ahead_test.c - what an adapter hears of requests that are on their way, and when.
 */
#include "fake_ad.h"

static uint8_t *area;

/* What was told, and how many commands had been sent by then. */
static struct {
    uint64_t offset;
    uint32_t bytes;
    unsigned how, sent;
} told[64];
static unsigned ntold;

static bool tell(void *chip, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how)
{
    (void)id;
    (void)lun;
    ck_assert_ptr_eq(chip, &fake);
    ck_assert_uint_lt(ntold, SC_ARRAY_SIZE(told));
    told[ntold].offset = offset;
    told[ntold].bytes = bytes;
    told[ntold].how = how;
    told[ntold].sent = fake_nrw();
    ntold++;
    return true;
}

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    ck_assert_ptr_nonnull(area);
    ntold = 0;
    fake.ahead = tell;
}

static void teardown(void)
{
    free(area);
    fake_end();
}

/* Each of a chain when it is accepted, and all but the first once more before the command in front of it. */
START_TEST(test_a_chain_is_told_twice)
{
    struct fake_buf fb[3];
    struct file *fp = fake_open(NULL);

    fake_forget();
    ntold = 0;
    for (unsigned i = 0; i < 3; i++)
        fake_buf_init(&fb[i], i != 1, 1000 - 100 * i, area + 8192 * i, 4096);
    fake_submit(fb, 3);
    ck_assert_uint_eq(fake_nrw(), 3);
    ck_assert_uint_eq(ntold, 5);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(told[i].offset, 512u * (1000 - 100 * i));
        ck_assert_uint_eq(told[i].bytes, 4096);
        ck_assert_uint_eq(told[i].how, i == 1 ? SC_AHEAD_WRITE : 0);
        ck_assert_uint_eq(told[i].sent, 0);
    }
    for (unsigned i = 1; i < 3; i++) {
        ck_assert_uint_eq(told[2 + i].offset, 512u * (1000 - 100 * i));
        ck_assert_uint_eq(told[2 + i].bytes, 4096);
        ck_assert_uint_eq(told[2 + i].how, SC_AHEAD_NEXT | (i == 1 ? SC_AHEAD_WRITE : 0));
        ck_assert_uint_eq(told[2 + i].sent, i - 1);
    }
    fake_close(fp);
}
END_TEST

/* What comes alone is not told, and of what lies in a row only the first. */
START_TEST(test_alone_and_in_a_row)
{
    struct fake_buf fb[4];
    struct file *fp = fake_open(NULL);

    ntold = 0;
    fake_buf_init(&fb[0], true, 80, area, 4096);
    fake_submit(fb, 1);
    ck_assert_uint_eq(ntold, 0);
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 4);
    ck_assert_uint_eq(ntold, 1);
    ck_assert_uint_eq(told[0].offset, 0);
    fake_close(fp);
}
END_TEST

/* An adapter that does not want to know is not told; the next time the disk is opened it is asked anew. */
START_TEST(test_only_who_wants_to_know)
{
    struct fake_buf fb[2];
    struct file *fp;

    fake.ahead = NULL;
    fp = fake_open(NULL);
    for (unsigned i = 0; i < 2; i++)
        fake_buf_init(&fb[i], true, 80 * i, area + 8192 * i, 4096);
    fake_submit(fb, 2);
    ck_assert_uint_eq(ntold, 0);
    ck_assert_int_eq(fp_close(fp), 0);
    fake.ahead = tell;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, 0, &fp), 0);
    for (unsigned i = 0; i < 2; i++)
        fake_buf_init(&fb[i], true, 80 * i, area + 8192 * i, 4096);
    fake_submit(fb, 2);
    ck_assert_uint_eq(ntold, 3);
    fake_close(fp);
}
END_TEST

static Suite *dd_ahead_suite(void)
{
    Suite *s = suite_create("dd_ahead");
    TCase *ahead = tcase_create("ahead");

    tcase_add_checked_fixture(ahead, setup, teardown);
    tcase_add_test(ahead, test_a_chain_is_told_twice);
    tcase_add_test(ahead, test_alone_and_in_a_row);
    tcase_add_test(ahead, test_only_who_wants_to_know);
    suite_add_tcase(s, ahead);
    return s;
}

int main(int argc, char **argv) { return test_run(dd_ahead_suite(), argc, argv); }
