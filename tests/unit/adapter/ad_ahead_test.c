/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_ahead_test.c - SCIOAHEAD: who is told the chip's function, and who is told that there is none.
 */
#include "ad_fake.h"

static bool useful;

static bool ahead(void *hw, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how)
{
    ck_assert_ptr_eq(hw, &fake);
    ck_assert(id == FAKE_ID && lun == 0 && offset == 0 && bytes == 0 && how == 0);
    return useful;
}

static int ask(struct sc_ahead *a)
{
    memset(a, 0, sizeof(*a));
    a->id = FAKE_ID;
    return fp_ioctl(fake_fp, SCIOAHEAD, (intptr_t)a, 0);
}

START_TEST(test_the_chips_function_is_handed_out)
{
    static struct ad_hw_ops ops;
    struct sc_ahead a;

    ops = fake_ops;
    ops.ahead = ahead;
    shim_test_begin_det(1);
    fake_prepare();
    fake_attach(&(struct ad_config){.cfg_ops = &ops});
    useful = true;
    ck_assert_int_eq(ask(&a), 0);
    ck_assert_ptr_eq(a.chip, &fake);
    ck_assert(a.func == ahead);
    useful = false;
    ck_assert_int_eq(ask(&a), ENODEV);
    useful = true;
    /* A user learns no address, whatever he may do. */
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOAHEAD, (intptr_t)&a, 0, DREAD | DWRITE | DAUTH), EPERM);
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOAHEAD, (intptr_t)&a, 0, DREAD), EPERM);
    a.reserved[5] = 1;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOAHEAD, (intptr_t)&a, 0), EINVAL);
    a.reserved[5] = 0;
    a.lun = 1; /* never started */
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOAHEAD, (intptr_t)&a, 0), EINVAL);
    fake_down();
}
END_TEST

START_TEST(test_a_chip_without_one)
{
    struct sc_ahead a;

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(ask(&a), ENODEV);
    ck_assert(a.func == NULL);
    fake_down();
}
END_TEST

static Suite *ad_ahead_suite(void)
{
    Suite *s = suite_create("ad_ahead");
    TCase *t = tcase_create("ahead");

    tcase_add_test(t, test_the_chips_function_is_handed_out);
    tcase_add_test(t, test_a_chip_without_one);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_ahead_suite(), argc, argv); }
