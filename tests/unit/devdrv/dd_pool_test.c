/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_pool_test.c - command structures running out, release before respond, and many threads.
 */
#include "fake_ad.h"

#include <pthread.h>

static uint8_t *area;

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static void chain(struct fake_buf *fb, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * (i % 64), 4096);
    fake_submit(fb, n);
}

/* ------------------------------------------------------------------ NB-01 .. NB-05 */

START_TEST(test_NB_01_allocation_failure_leaves_buf_at_head)
{
    const struct scdisk_dds dds = {.queue_depth = 8, .pool = 2};
    struct fake_buf fb[6];
    struct file *fp = fake_open(&dds);
    struct sc_disk_stats st;

    fake.held = true;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    chain(fb, 6);
    st = fake_stats();
    ck_assert_uint_eq(st.in_process, 2);
    ck_assert_uint_eq(st.pending, 4);
    ck_assert_uint_ge(st.alloc_failures, 1);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(fb[i].done, 0); /* no error to the caller */
    fake_complete_all();
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
        ck_assert_uint_eq(fake_rw(i)->lba, 100 * i); /* order kept */
    }
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_NB_01_pool_grows_when_memory_is_there)
{
    const struct scdisk_dds dds = {.queue_depth = 8, .pool = 2};
    struct fake_buf fb[8];
    struct file *fp = fake_open(&dds);

    fake.held = true;
    chain(fb, 8);
    ck_assert_uint_eq(fake.active, 8);
    fake_complete_all();
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_NB_02_exactly_one_restart_timer)
{
    const struct scdisk_dds dds = {.queue_depth = 8, .pool = 1};
    struct fake_buf fb[20];
    struct file *fp = fake_open(&dds);
    uint64_t before = kern_now_ns();

    fake.held = true;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    for (unsigned i = 0; i < 20; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area, 4096);
        fake_submit(&fb[i], 1);
        ck_assert_uint_le(shim_det_timers(), 1);
    }
    ck_assert_uint_ge(fake_stats().alloc_failures, 19);
    ck_assert_uint_eq(shim_det_timers(), 1);
    ck_assert(shim_det_step());
    ck_assert_uint_eq(kern_now_ns() - before, UINT64_C(500000000));
    ck_assert_uint_eq(fake_stats().restarts, 1);
    ck_assert_uint_eq(shim_det_timers(), 1); /* still short: armed again, once */
    ck_assert(dd_unit_of(FAKE_DEV)->un_restart_armed);
    fake_complete_all();
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake.held = false;
    ck_assert_uint_eq(shim_det_timers(), 1);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert(!dd_unit_of(FAKE_DEV)->un_restart_armed); /* or the next shortage would arm none */
}
END_TEST

/* The timer's own work: nothing is out, nothing completes, and yet it goes on. */
START_TEST(test_NB_02_timer_restarts)
{
    const struct scdisk_dds dds = {.queue_depth = 4, .pool = 1};
    struct fake_buf fb;
    struct file *fp = fake_open(&dds);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct dd_cmd *taken = un->un_free;

    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    un->un_free = NULL;
    fake_buf_init(&fb, true, 0, area, 4096);
    fake_submit(&fb, 1);
    ck_assert_uint_eq(fb.done, 0);
    un->un_free = taken;
    ck_assert(shim_det_step());
    ck_assert_uint_eq(fb.done, 1);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake_close(fp);
}
END_TEST

START_TEST(test_NB_03_progress_without_allocator)
{
    const struct scdisk_dds dds = {.queue_depth = (uint16_t)(_i ? 64 : 1)};
    struct fake_buf fb[50];
    struct file *fp = fake_open(&dds);

    ck_assert_uint_ge(dd_unit_of(FAKE_DEV)->un_pool_total * sizeof(struct dd_cmd), SC_PAGE_SIZE);
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    for (unsigned round = 0; round < 200; round++) {
        chain(fb, 50);
        for (unsigned i = 0; i < 50; i++)
            ck_assert_uint_eq(fb[i].done, 1);
        fake_forget();
    }
    ck_assert_uint_eq(fake_stats().completed, 10000);
    ck_assert_uint_eq(fake_stats().alloc_failures, 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake_close(fp);
}
END_TEST

static unsigned reentered;

/* Issue re-enters the start routine before the first command is back: nothing is sent twice. */
static bool reenter(struct sc_buf *sc)
{
    static struct fake_buf inner[3];
    uint8_t op = sc->scsi_command.scsi_cmd.scsi_op_code;

    if (op != SCSI_READ_6 || reentered >= 3)
        return false;
    fake_buf_init(&inner[reentered], true, 5000 + 100 * reentered, area, 4096);
    reentered++;
    fake_submit(&inner[reentered - 1], 1);
    dd_check_invariants(FAKE_DEV);
    return false;
}

START_TEST(test_NB_04_reentrant_issue)
{
    struct fake_buf fb[4];
    struct file *fp = fake_open(NULL);

    reentered = 0;
    fake.hook = reenter;
    chain(fb, 4);
    ck_assert_uint_eq(fake_nrw(), 7);
    for (unsigned i = 0; i < 7; i++)
        for (unsigned k = 0; k < i; k++)
            ck_assert_uint_ne(fake_rw(i)->lba, fake_rw(k)->lba);
    ck_assert_uint_eq(fake_stats().completed, 7);
    fake.hook = NULL;
    fake_close(fp);
}
END_TEST

/* The driver's own share of NB-05: never more at the adapter than the queue depth. */
START_TEST(test_NB_05_depth_is_never_exceeded)
{
    const struct scdisk_dds dds = {.queue_depth = 5};
    struct fake_buf fb[40];
    struct file *fp = fake_open(&dds);

    fake.held = true;
    chain(fb, 40);
    ck_assert_uint_eq(fake.active, 5);
    fake_complete_all();
    ck_assert_uint_eq(fake.active_max, 5);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ waiting at process level */

static struct trb *tick;

/* Every millisecond one held command is completed. */
static void tick_fired(struct trb *t)
{
    if (fake_complete_one() || fake.active)
        ck_assert_int_eq(tstart(t), 0);
}

static void tick_start(void)
{
    tick = talloc();
    ck_assert_ptr_nonnull(tick);
    tick->func = tick_fired;
    tick->timeout_ns = 1000000;
    ck_assert_int_eq(tstart(tick), 0);
}

static void tick_stop(void)
{
    (void)tstop(tick);
    tfree(tick);
}

/*
 * A flush while every structure is in use, and one of them has to be sent again first. With one
 * structure only, whoever waits must not keep the resend from going.
 */
START_TEST(test_sync_waits_for_a_slot)
{
    const struct scdisk_dds dds = {.queue_depth = 1, .pool = 1};
    struct fake_buf fb[5];
    struct file *fp = fake_open(_i ? &dds : NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, 99, FAKE_CHECK);

    f->key = SCSI_KEY_ABORTED;
    f->count = 2;
    fake.held = true;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    chain(fb, 5);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    tick_start();
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    fake_complete_all();
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    tick_stop();
    fake.held = false;
    fake_close(fp);
}
END_TEST

START_TEST(test_NB_21_close_waits_for_all_io)
{
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);

    fake.held = true;
    chain(fb, 8);
    tick_start();
    fake_close(fp); /* the fake asserts that nothing is out at SCIOSTOP */
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    tick_stop();
    fake.held = false;
}
END_TEST

/* ------------------------------------------------------------------ XEN-01 .. XEN-06, XEN-09, XEN-10 */

static unsigned xen_left;

/* At the moment a completion is seen, everything it used is back; so this always finds room. */
static void xen_again(struct fake_buf *fb)
{
    struct dd_unit *un = dd_unit_of(FAKE_DEV);

    ck_assert_ptr_nonnull(un->un_free);
    ck_assert_uint_lt(un->un_active, un->un_depth);
    if (xen_left == 0)
        return;
    xen_left--;
    fb->b.av_forw = NULL;
    ck_assert_int_eq(devstrat(&fb->b), 0);
}

START_TEST(test_XEN_01_room_at_completion)
{
    const struct scdisk_dds dds = {.queue_depth = 1, .pool = 1};
    struct fake_buf fb;
    struct file *fp = fake_open(&dds);

    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    fake.held = _i != 0;
    xen_left = 1000;
    fake_buf_init(&fb, true, 0, area, 4096);
    fb.then = xen_again;
    fake_submit(&fb, 1);
    while (fake_complete_one())
        ;
    ck_assert_uint_eq(fb.done, 1001);
    ck_assert_uint_eq(fake_stats().alloc_failures, 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake.held = false;
    fake_close(fp);
}
END_TEST

static void load_again(struct fake_buf *fb)
{
    if (xen_left == 0)
        return;
    xen_left--;
    fb->b.av_forw = NULL;
    ck_assert_int_eq(devstrat(&fb->b), 0);
}

/* The pool is as large as the depth says: with no more memory, and more requests than that, each sent again
 * from its completion, a structure is never missing. */
START_TEST(test_XEN_09_no_shortage_with_a_pool_of_the_depth)
{
    const struct scdisk_dds dds = {.queue_depth = 40};
    struct fake_buf fb[100];
    struct file *fp = fake_open(&dds);

    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    fake.held = true;
    xen_left = 2000;
    for (unsigned i = 0; i < 100; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * (i % 64), 4096);
        fb[i].then = load_again;
        fake_submit(&fb[i], 1);
    }
    while (xen_left > 0) {
        if (fake.active != 40)
            ck_abort_msg("%u out, of 40", fake.active);
        ck_assert(fake_complete_one());
    }
    fake_complete_all();
    ck_assert_uint_eq(fake_stats().completed, 2100);
    ck_assert_uint_eq(fake_stats().alloc_failures, 0);
    ck_assert_uint_eq(fake_stats().restarts, 0);
    ck_assert_uint_eq(shim_det_timers(), 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* An undersized pool: the shortage is noted, and the next completion goes on, without the timer. */
START_TEST(test_XEN_10_the_next_completion_goes_on)
{
    const struct scdisk_dds dds = {.queue_depth = 8, .pool = 2};
    struct fake_buf fb[10];
    struct file *fp = fake_open(&dds);
    uint64_t before = kern_now_ns();

    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    fake.held = true;
    chain(fb, 10);
    ck_assert_uint_eq(fake.active, 2);
    ck_assert_uint_ge(fake_stats().alloc_failures, 1);
    ck_assert(dd_unit_of(FAKE_DEV)->un_restart_armed);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert(fake_complete_one());
        ck_assert_uint_eq(fb[i].done, 1);
        ck_assert_uint_eq(fake.active, 2);
    }
    fake_complete_all();
    ck_assert_uint_eq(fake_stats().completed, 10);
    ck_assert_uint_eq(fake_stats().restarts, 0);
    ck_assert_uint_eq(kern_now_ns(), before);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake.held = false;
    fake_close(fp);
}
END_TEST

static uint64_t xen_seen_queued, xen_seen_completed;

/* Between the two steps: responses counted, already released, not all pushed. */
static void xen_look(struct fake_buf *fb)
{
    struct sc_disk_stats st;

    (void)fb;
    dd_stats_get(dd_unit_of(FAKE_DEV), &st);
    xen_seen_queued = st.responses_queued;
    xen_seen_completed = st.completed;
    ck_assert(!lock_mine(&dd_unit_of(FAKE_DEV)->un_lock));
}

START_TEST(test_XEN_02_XEN_05_queue_then_push)
{
    struct fake_buf fb[8];
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 8; i++) {
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
        fb[i].then = xen_look;
    }
    xen_seen_queued = 0;
    fake_submit(fb, 8);
    ck_assert_uint_eq(xen_seen_queued, 8);
    ck_assert_uint_eq(xen_seen_completed, 8);
    ck_assert_uint_eq(fake_stats().responses_queued, 0);
    fake_close(fp);
}
END_TEST

START_TEST(test_XEN_06_errors_counted_once)
{
    const struct scdisk_dds dds = {.retries = 2};
    struct fake_buf fb[8];
    struct file *fp = fake_open(&dds);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    for (unsigned i = 0; i < 8; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 8);
    ck_assert_uint_eq(fake_stats().errors, 8);
    ck_assert_uint_eq(fake_stats().completed, 8);
    ck_assert_uint_ge(fake_stats().retries, 16);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* XEN-03 and XEN-04 with real threads: one lock covers queue and release, and it is asserted. */
#define THREADS    8
#define PER_THREAD 20000

static void *hammer(void *arg)
{
    struct fake_buf fb[16];
    unsigned id = (unsigned)(uintptr_t)arg;
    uintptr_t failed = 0;

    for (unsigned round = 0; round < PER_THREAD / 16; round++) {
        for (unsigned i = 0; i < 16; i++) {
            fake_buf_init(&fb[i], (i + id) & 1, 8 * ((i * (1 + id % 3)) % 64), area + 4096 * i, 4096);
            fb[i].b.b_iodone = iodone_wakeup;
            fb[i].b.av_forw = i < 15 ? &fb[i + 1].b : NULL;
        }
        dd_strategy(&fb[0].b);
        for (unsigned i = 0; i < 16; i++)
            failed += iowait(&fb[i].b) != 0 || fb[i].b.b_resid != 0;
    }
    return (void *)failed;
}

START_TEST(test_XEN_03_XEN_04_many_threads)
{
    const struct scdisk_dds dds = {.queue_depth = (uint16_t)(_i ? 3 : 64)};
    pthread_t th[THREADS];
    struct sc_disk_stats st;
    struct file *fp;

    fake_begin_posix(20480, 512);
    area = aligned_alloc(4096, 1u << 20);
    fp = fake_open(&dds);
    fake.fast = true;
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&th[i], NULL, hammer, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *failed;

        ck_assert_int_eq(pthread_join(th[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    st = fake_stats();
    ck_assert_uint_eq(st.completed, (uint64_t)THREADS * PER_THREAD);
    ck_assert_uint_eq(st.responses_queued, 0);
    fake.fast = false;
    fake_close(fp);
    free(area);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ k-th failure */

/* Every allocation of configuration and open fails once: clean error, no leak, works afterwards. */
START_TEST(test_kth_allocation_failure)
{
    struct file *fp;
    uint64_t k = 1;
    int rc = ENOMEM;

    for (; rc && k < 100; k++) {
        shim_fail_set(SHIM_FAIL_ALLOC, k, _i != 0);
        rc = fake_config(NULL);
        if (rc == 0) {
            rc = fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp);
            if (rc == 0)
                fake_close(fp);
            ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
        }
        ck_assert(rc == 0 || rc == ENOMEM);
        shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_ge(k, 5);
}
END_TEST

/* ------------------------------------------------------------------ whose plug */

static struct fake_buf nested[2]; /* submitted from below the first command's strategy */
static unsigned hooked;

static void nested_submit(unsigned i)
{
    fake_buf_init(&nested[i], true, 9000 + 100 * i, area + 4096 * (60 + i), 4096);
    fake_submit(&nested[i], 1);
}

static void *neighbour(void *arg)
{
    fake_submit(arg, 1);
    return NULL;
}

/* With something in this thread's plug, as many threads as there are plugs come by, one after the other. */
static bool neighbours_hook(struct sc_buf *sc)
{
    static struct fake_buf theirs[DD_PLUGS];

    (void)sc;
    if (hooked++ != 0)
        return false;
    nested_submit(0);
    for (unsigned i = 0; i < DD_PLUGS; i++) {
        pthread_t t;

        fake_buf_init(&theirs[i], true, 200 * i, area + 4096 * i, 4096);
        ck_assert_int_eq(pthread_create(&t, NULL, neighbour, &theirs[i]), 0);
        ck_assert_int_eq(pthread_join(t, NULL), 0);
        ck_assert_uint_eq(theirs[i].done, 1);
        ck_assert_uint_eq(theirs[i].b.b_flags & B_ERROR, 0);
    }
    ck_assert_uint_eq(nested[0].done, 0); /* it is this thread's to send, when it is back */
    nested_submit(1);
    return false;
}

/* Every plug is in use by at most one thread: what waits in this one's is not touched by the rest. */
START_TEST(test_plug_is_nobody_elses)
{
    struct fake_buf fb;
    struct file *fp;

    fake_end();
    fake_begin_posix(20480, 512);
    fp = fake_open(NULL);
    hooked = 0;
    fake.hook = neighbours_hook;
    fake_buf_init(&fb, true, 0, area, 4096);
    fake_submit(&fb, 1);
    fake.hook = NULL;
    ck_assert_uint_eq(fb.done, 1);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(nested[i].done, 1);
        ck_assert_uint_eq(nested[i].b.b_flags & B_ERROR, 0);
    }
    dd_check_invariants(FAKE_DEV);
    fake_close(fp);
}
END_TEST

static struct shim_host interrupting;
static void *(*plain_alloc)(size_t size, size_t align);
static bool interrupt_due;

/* An interrupt arrives while the loop is between two rounds: the held command is complete. */
static void *interrupting_alloc(size_t size, size_t align)
{
    if (interrupt_due) {
        interrupt_due = false;
        ck_assert(fake_complete_one());
    }
    return plain_alloc(size, align);
}

static bool interrupt_hook(struct sc_buf *sc)
{
    (void)sc;
    if (hooked++ == 0) {
        nested_submit(0);
        interrupt_due = true;
    }
    return false;
}

/* Below an interrupt the thread's own plug, shut and not empty, is as much in use as another one's. */
START_TEST(test_plug_below_an_interrupt)
{
    const struct scdisk_dds dds = {.queue_depth = 8, .pool = 1};
    struct fake_buf fb[3];
    struct file *fp;

    fake_end();
    interrupting = *shim_det_host(1);
    plain_alloc = interrupting.alloc;
    interrupting.alloc = interrupting_alloc;
    shim_test_begin(&interrupting);
    fake_setup_only(20480, 512);
    fp = fake_open(&dds);
    fake.held = true;
    hooked = 0;
    fake.hook = interrupt_hook;
    chain(fb, 3);
    fake.hook = NULL;
    ck_assert(!interrupt_due);
    ck_assert_uint_eq(fb[0].done, 1);
    fake_complete_all();
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    ck_assert_uint_eq(nested[0].done, 1);
    dd_check_invariants(FAKE_DEV);
    fake.held = false;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_pool");
    TCase *t = tcase_create("shortage");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_NB_01_allocation_failure_leaves_buf_at_head);
    tcase_add_test(t, test_NB_01_pool_grows_when_memory_is_there);
    tcase_add_test(t, test_NB_02_exactly_one_restart_timer);
    tcase_add_test(t, test_NB_02_timer_restarts);
    tcase_add_loop_test(t, test_NB_03_progress_without_allocator, 0, 2);
    tcase_add_test(t, test_NB_04_reentrant_issue);
    tcase_add_test(t, test_NB_05_depth_is_never_exceeded);
    tcase_add_loop_test(t, test_kth_allocation_failure, 0, 2);
    tcase_add_loop_test(t, test_sync_waits_for_a_slot, 0, 2);
    tcase_add_test(t, test_NB_21_close_waits_for_all_io);
    suite_add_tcase(s, t);
    t = tcase_create("release");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_XEN_01_room_at_completion, 0, 2);
    tcase_add_test(t, test_XEN_09_no_shortage_with_a_pool_of_the_depth);
    tcase_add_test(t, test_XEN_10_the_next_completion_goes_on);
    tcase_add_test(t, test_XEN_02_XEN_05_queue_then_push);
    tcase_add_test(t, test_XEN_06_errors_counted_once);
    suite_add_tcase(s, t);
    t = tcase_create("plugs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_plug_is_nobody_elses);
    tcase_add_test(t, test_plug_below_an_interrupt);
    suite_add_tcase(s, t);
    t = tcase_create("threads");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_XEN_03_XEN_04_many_threads, 0, 2);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
