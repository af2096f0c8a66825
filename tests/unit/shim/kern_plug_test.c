/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_plug_test.c - the plug of a thread: who joins it, when it is pulled, and who must not find it.
 */
#include "panic_host.h"

static unsigned calls[8], order[8], ncalls;
static bool unplugged; /* in each call */

static void count(void *arg)
{
    const unsigned i = (unsigned)(uintptr_t)arg;

    calls[i]++;
    if (ncalls < SC_ARRAY_SIZE(order))
        order[ncalls++] = i;
    unplugged &= kern_plug_join(count, arg) == KERN_PLUG_NONE && shim_self()->self_nlocks == 0;
}

static int join(unsigned i) { return kern_plug_join(count, (void *)(uintptr_t)i); }

static void begin(void)
{
    panic_begin(shim_det_host(1));
    memset(calls, 0, sizeof(calls));
    ncalls = 0;
    unplugged = true;
}

static void end(void)
{
    ck_assert(unplugged);
    ck_assert_ptr_null(shim_self()->self_plug);
    shim_test_end();
}

START_TEST(test_each_is_called_once_at_the_end_in_order)
{
    struct kern_plug plug;

    begin();
    ck_assert_int_eq(join(0), KERN_PLUG_NONE);
    kern_plug_begin(&plug);
    ck_assert_int_eq(join(1), KERN_PLUG_NEW);
    ck_assert_int_eq(join(2), KERN_PLUG_NEW);
    ck_assert_int_eq(join(1), KERN_PLUG_OLD);
    ck_assert_uint_eq(ncalls, 0);
    kern_plug_end(&plug);
    ck_assert_uint_eq(ncalls, 2);
    ck_assert(order[0] == 1 && order[1] == 2);
    ck_assert_int_eq(join(0), KERN_PLUG_NONE);
    end();
}
END_TEST

START_TEST(test_the_inner_pair_does_nothing)
{
    struct kern_plug outer, inner;

    begin();
    kern_plug_begin(&outer);
    ck_assert_int_eq(join(1), KERN_PLUG_NEW);
    kern_plug_begin(&inner);
    ck_assert_int_eq(join(1), KERN_PLUG_OLD);
    kern_plug_end(&inner);
    ck_assert_uint_eq(ncalls, 0);
    ck_assert_int_eq(join(2), KERN_PLUG_NEW);
    kern_plug_end(&outer);
    ck_assert_uint_eq(ncalls, 2);
    end();
}
END_TEST

START_TEST(test_a_full_plug)
{
    struct kern_plug plug;

    begin();
    kern_plug_begin(&plug);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(plug.kp_calls); i++)
        ck_assert_int_eq(join(i), KERN_PLUG_NEW);
    ck_assert_int_eq(join(7), KERN_PLUG_NONE);
    ck_assert_int_eq(join(1), KERN_PLUG_OLD);
    kern_plug_end(&plug);
    ck_assert_uint_eq(ncalls, SC_ARRAY_SIZE(plug.kp_calls));
    ck_assert_uint_eq(calls[7], 0);
    end();
}
END_TEST

/* Who sleeps may sleep for what he has held back. */
static event_t word;
static void wake(void *arg)
{
    count(arg);
    e_wakeup(&word);
}

START_TEST(test_a_sleeper_pulls_it)
{
    struct kern_plug plug;
    Simple_lock lock;

    begin();
    ck_assert_int_eq(lock_alloc(&lock, LOCK_ALLOC_PIN, LOCK_CLASS_DD, "plug test"), 0);
    kern_plug_begin(&plug);
    word = EVENT_NULL;
    ck_assert_int_eq(kern_plug_join(wake, (void *)(uintptr_t)3), KERN_PLUG_NEW);
    ck_assert_int_eq(e_sleep_thread(&word, NULL, EVENT_SHORT), THREAD_AWAKENED); /* nobody else is there */
    ck_assert_uint_eq(calls[3], 1);
    ck_assert_int_eq(kern_plug_join(wake, (void *)(uintptr_t)3), KERN_PLUG_NEW); /* it still is plugged */
    simple_lock(&lock);
    ck_assert_int_eq(e_sleep_thread(&word, &lock, EVENT_SHORT), THREAD_AWAKENED);
    ck_assert_uint_eq(calls[3], 2);
    simple_unlock(&lock);
    kern_plug_end(&plug);
    ck_assert_uint_eq(calls[3], 2);
    lock_free(&lock);
    end();
}
END_TEST

/* With another lock held nothing can be started from here; the sleep is one as always. */
START_TEST(test_a_sleeper_with_another_lock)
{
    struct kern_plug plug;
    Simple_lock open;

    begin();
    ck_assert_int_eq(lock_alloc(&open, LOCK_ALLOC_PIN, LOCK_CLASS_DD_OPEN, "plug open"), 0);
    kern_plug_begin(&plug);
    ck_assert_int_eq(join(3), KERN_PLUG_NEW);
    word = EVENT_NULL;
    simple_lock(&open);
    ck_assert_int_eq(e_timedsleep(&word, NULL, 1000), THREAD_TIMED_OUT);
    ck_assert_uint_eq(ncalls, 0);
    simple_unlock(&open);
    kern_plug_end(&plug);
    ck_assert_uint_eq(ncalls, 1);
    lock_free(&open);
    end();
}
END_TEST

/* Who opens, controls or closes a device, or reads it. */
#define DEV SC_MAKEDEV(11, 0)
static int inside(void)
{
    ck_assert_uint_eq(calls[5], 1);
    ck_assert_int_eq(join(6), KERN_PLUG_NONE);
    return 0;
}
static int plug_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    (void)devno, (void)devflag, (void)chan, (void)ext;
    return inside();
}
static int plug_close(devno_t devno, long chan)
{
    (void)devno, (void)chan;
    return inside();
}
static int plug_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    (void)devno, (void)cmd, (void)arg, (void)devflag, (void)chan, (void)ext;
    return inside();
}

START_TEST(test_turning_to_a_device_pulls_it)
{
    static const struct devsw dsw = {.d_open = plug_open, .d_close = plug_close, .d_ioctl = plug_ioctl};
    struct kern_plug plug;
    struct file *fp = NULL;

    begin();
    ck_assert_int_eq(devswadd(DEV, &dsw), 0);
    for (unsigned what = 0; what < 3; what++) {
        calls[5] = 0;
        kern_plug_begin(&plug);
        ck_assert_int_eq(join(5), KERN_PLUG_NEW);
        ck_assert_int_eq(what == 0   ? fp_opendev(DEV, DREAD, NULL, 0, &fp)
                         : what == 1 ? fp_ioctl(fp, 1, 0, 0)
                                     : fp_close(fp),
                         0);
        ck_assert_int_eq(join(5), KERN_PLUG_NEW); /* and it is plugged as before */
        kern_plug_end(&plug);
        ck_assert_uint_eq(calls[5], 2);
    }
    ck_assert_int_eq(devswdel(DEV), 0);
    end();
}
END_TEST

/* A timer on top of the thread, as a port without threads runs it, is not the thread. */
static int timer_joined;
static void fire(struct shim_timer *t)
{
    (void)t;
    timer_joined = join(2);
}

START_TEST(test_a_timer_finds_no_plug)
{
    struct kern_plug plug;
    struct shim_timer t;

    begin();
    shim_timer_init(&t, fire, NULL);
    kern_plug_begin(&plug);
    ck_assert_int_eq(join(1), KERN_PLUG_NEW);
    timer_joined = -1;
    shim_timer_run(&t);
    ck_assert_int_eq(timer_joined, KERN_PLUG_NONE);
    ck_assert_uint_eq(ncalls, 0);
    ck_assert_int_eq(join(1), KERN_PLUG_OLD);
    kern_plug_end(&plug);
    ck_assert_uint_eq(ncalls, 1);
    end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("kern_plug");
    TCase *t = tcase_create("plug");

    tcase_add_test(t, test_each_is_called_once_at_the_end_in_order);
    tcase_add_test(t, test_the_inner_pair_does_nothing);
    tcase_add_test(t, test_a_full_plug);
    tcase_add_test(t, test_a_sleeper_pulls_it);
    tcase_add_test(t, test_a_sleeper_with_another_lock);
    tcase_add_test(t, test_turning_to_a_device_pulls_it);
    tcase_add_test(t, test_a_timer_finds_no_plug);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
