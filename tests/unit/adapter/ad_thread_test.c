/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_thread_test.c - the adapter's threads, on the threaded host: what they do and what ends where it
 * arrives; that order, results and who waits for whom are the same with any number of done threads, and with
 * none.
 *
 * The fake chip keeps every command until the test ends it, so that the test alone calls it.
 */
#define _POSIX_C_SOURCE 200809L
#include "ad_fake.h"
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#define LUNS  8u
#define EACH  24u
#define TOTAL (LUNS * EACH)

/* What became of a request, and where. */
struct sent {
    struct req r;
    pthread_t where;
    unsigned at; /* 1, 2 ... of its LUN */
    uint32_t ctx;
    uint32_t gate; /* lun_gate when it was told */
};

static struct sent sent[TOTAL];
static sem_t told; /* once for each iodone */
static sem_t stay,
    stays; /* whom `staying` is in the iodone of waits for the first, having posted the second */
static struct sent *staying;
static _Atomic unsigned left;
static unsigned ended[LUNS]; /* one thread writes: the LUN's */

static void wait_for(sem_t *s)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    ck_assert_msg(sem_timedwait(s, &until) == 0, "nobody has come");
}

static void on_done(struct buf *bp)
{
    struct sent *s = SC_CONTAINER_OF(bp, struct sent, r.sb.bufstruct);

    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    s->where = pthread_self();
    s->ctx = shim_self()->self_ctx;
    s->at = ++ended[s->r.sb.lun];
    s->r.done++;
    if (s == staying) {
        sem_post(&stays);
        wait_for(&stay);
        shim_delay_ns(20000000); /* whoever does not wait for us is ahead */
        atomic_fetch_add(&left, 1u);
    }
    sem_post(&told);
}

/* The threaded host, but for a wake-up that looks whether the waker holds a lock. */
static _Atomic unsigned wakes_seen;
static _Thread_local unsigned own_locks; /* the test's, on this thread */

static void watch_wake(struct shim_event *ev)
{
    ck_assert_uint_eq(shim_self()->self_nlocks, own_locks);
    atomic_fetch_add(&wakes_seen, 1u);
    shim_posix_host()->wake(ev);
}

static bool is_asleep(struct ad_donq *dq)
{
    bool asleep;

    shim_lock_enter(&dq->dq_lock);
    asleep = dq->dq_asleep;
    shim_lock_exit(&dq->dq_lock);
    return asleep;
}

/* The adapter's threads have nothing to do. */
static void all_asleep(void)
{
    struct ad_adapter *adp = ad_find(FAKE_DEVNO);

    for (unsigned i = 0; i <= AD_DONE_THREADS_MAX; i++)
        while (adp->adp_donqs[i].dq_on && !is_asleep(&adp->adp_donqs[i]))
            shim_delay_ns(1000000);
}

static void up(const char *done_threads, const char *thread)
{
    static struct shim_host watched;

    ck_assert_int_eq(setenv("SCPAIR_AD_DONE_THREADS", done_threads, 1), 0);
    ck_assert_int_eq(setenv("SCPAIR_AD_THREAD", thread, 1), 0);
    sem_init(&told, 0, 0);
    sem_init(&stay, 0, 0);
    sem_init(&stays, 0, 0);
    staying = NULL;
    atomic_store(&left, 0u);
    memset(ended, 0, sizeof(ended));
    memset(sent, 0, sizeof(sent));
    atomic_store(&wakes_seen, 0u);
    watched = *shim_posix_host();
    watched.wake = watch_wake;
    shim_test_begin(&watched);
    fake_prepare();
    fake.mode = FAKE_PEND;
    fake_attach(NULL);
    for (unsigned lun = 1; lun < LUNS; lun++)
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, lun), 0), 0);
    all_asleep();
}

static void down(void)
{
    fake_down();
    shim_posix_stop();
}

static void make(unsigned i, unsigned lun)
{
    req_init(&sent[i].r);
    sent[i].r.sb.bufstruct.b_iodone = on_done;
    sent[i].r.sb.lun = (uint8_t)lun;
}

static struct sent *send_to(unsigned i, unsigned lun)
{
    make(i, lun);
    req_send(&sent[i].r);
    return &sent[i];
}

static struct sc_adapter_stats stats(void)
{
    struct sc_adapter_stats st;

    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTAT, (intptr_t)&st, 0), 0);
    return st;
}

/* As a device's interrupt handler would. */
static void end_in_interrupt(unsigned i)
{
    const uint32_t old = shim_ctx_enter(shim_self(), SHIM_CTX_INTERRUPT);

    fake_end(i);
    shim_ctx_leave(shim_self(), old);
}

/* ---------------------------------------------------------------- the adapter's thread */

START_TEST(test_NB_13_what_ends_well_ends_where_it_arrives)
{
    up("0", "1");
    (void)send_to(0, 0);
    end_in_interrupt(0);
    ck_assert_uint_eq(sent[0].r.done, 1);
    ck_assert(pthread_equal(sent[0].where, pthread_self()));
    ck_assert_uint_eq(stats().thread_wakes, 0);
    down();
}
END_TEST

START_TEST(test_NB_13_an_error_is_told_by_the_thread)
{
    up("0", "1");
    (void)send_to(0, 0);
    (void)send_to(1, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    end_in_interrupt(0);
    ck_assert_uint_ne(fake_lun->lun_state, AD_LUN_RUN); /* halted at once: nothing more is started */
    wait_for(&told);
    ck_assert(!pthread_equal(sent[0].where, pthread_self()));
    ck_assert_uint_eq(sent[0].ctx, SHIM_CTX_COMPLETION);
    ck_assert_int_eq(sent[0].r.sb.bufstruct.b_error, EIO);
    ck_assert_uint_eq(stats().thread_wakes, 1);
    all_asleep(); /* as long as it calls iodone of this LUN it does so for everybody */
    fake_end(0);  /* was at the device: ends well, where it arrives */
    wait_for(&told);
    ck_assert(pthread_equal(sent[1].where, pthread_self()));
    down();
}
END_TEST

/* Who is told of CHECK CONDITION asks for the sense data at once. */
static pthread_t sense_where;
static struct sent *asks;

static void on_check(struct buf *bp)
{
    on_done(bp);
    if (!(bp->b_flags & B_ERROR))
        return;
    req_init(&asks->r);
    asks->r.sb.bufstruct.b_iodone = on_done;
    asks->r.sb.flags = SC_RESUME;
    asks->r.sb.q_tag_msg = SC_NO_Q;
    asks->r.sb.scsi_command.scsi_cmd.scsi_op_code = 0x03;
    req_send(&asks->r);
}

static void where_started(struct fake *f, struct ad_xfer *xfer)
{
    (void)f;
    if (xfer->xfer_cdb[0] != 0x03)
        return;
    sense_where = pthread_self();
    sem_post(&stays);
}

START_TEST(test_NB_14_request_sense_is_sent_from_the_thread)
{
    up("0", "1");
    fake.on_start = where_started;
    asks = &sent[1];
    (void)send_to(0, 0);
    sent[0].r.sb.bufstruct.b_iodone = on_check;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    end_in_interrupt(0);
    wait_for(&told);
    wait_for(&stays);
    ck_assert(pthread_equal(sense_where, sent[0].where));
    ck_assert(!pthread_equal(sense_where, pthread_self()));
    all_asleep();
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    end_in_interrupt(0); /* it fails, and that is that */
    wait_for(&told);
    all_asleep();
    ck_assert_uint_eq(fake.starts, 2);
    down();
}
END_TEST

/* The chip's abort() is called by the thread. */
static pthread_t abort_where;
static struct ad_hw_ops watched_ops;
static sem_t aborted;

static void watch_abort(void *hw, struct ad_xfer *xfer)
{
    (void)hw;
    (void)xfer;
    abort_where = pthread_self();
    sem_post(&aborted);
}

START_TEST(test_NB_13_abort_is_called_by_the_thread)
{
    const struct ad_config cfg = {.cfg_ops = &watched_ops};

    watched_ops = fake_ops;
    watched_ops.abort = watch_abort;
    sem_init(&aborted, 0, 0);
    up("0", "1");
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    fake.detaches = 0;
    fake.caps.cap_keeps_queue = false; /* an error wants everything back */
    fake_attach(&cfg);
    (void)send_to(0, 0);
    (void)send_to(1, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    end_in_interrupt(0);
    wait_for(&aborted);
    ck_assert(!pthread_equal(abort_where, pthread_self()));
    fake_end(0);
    wait_for(&told);
    wait_for(&told);
    down();
}
END_TEST

/* A chip's reset that blocks holds up whoever asked for it, and no timer. */
static sem_t reset_goes_on, reset_begun, timer_ran;
static pthread_t reset_where, timer_where;

static int blocking_reset(void *hw, unsigned id)
{
    (void)hw;
    (void)id;
    reset_where = pthread_self();
    sem_post(&reset_begun);
    wait_for(&reset_goes_on);
    return 0;
}

static void on_timer(struct shim_timer *t)
{
    (void)t;
    timer_where = pthread_self();
    sem_post(&timer_ran);
}

static void *ask_reset(void *arg)
{
    (void)arg;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIORESET, SC_ARG(FAKE_ID, 0), 0), 0);
    return NULL;
}

START_TEST(test_NB_13_a_reset_that_blocks_is_the_threads)
{
    const struct ad_config cfg = {.cfg_ops = &watched_ops};
    struct shim_timer t;
    pthread_t asker;

    watched_ops = fake_ops;
    watched_ops.reset_target = blocking_reset;
    sem_init(&reset_goes_on, 0, 0);
    sem_init(&reset_begun, 0, 0);
    sem_init(&timer_ran, 0, 0);
    up("0", "1");
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    fake.detaches = 0;
    fake_attach(&cfg);
    ck_assert_int_eq(pthread_create(&asker, NULL, ask_reset, NULL), 0);
    wait_for(&reset_begun);
    shim_timer_init(&t, on_timer, NULL);
    ck_assert_int_eq(shim_timer_arm(&t, shim_now_ns() + 1000), 0);
    wait_for(&timer_ran);
    ck_assert(!pthread_equal(reset_where, timer_where));
    ck_assert(!pthread_equal(reset_where, asker));
    sem_post(&reset_goes_on);
    (void)pthread_join(asker, NULL);
    down();
}
END_TEST

START_TEST(test_without_threads_everything_is_done_by_who_passes)
{
    up("0", "0");
    (void)send_to(0, 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    end_in_interrupt(0);
    ck_assert_uint_eq(sent[0].r.done, 1);
    ck_assert(pthread_equal(sent[0].where, pthread_self()));
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIORESET, SC_ARG(FAKE_ID, 0), 0), 0);
    down();
}
END_TEST

START_TEST(test_a_thread_that_does_not_start_is_no_error)
{
    ck_assert_int_eq(setenv("SCPAIR_AD_DONE_THREADS", "4", 1), 0);
    ck_assert_int_eq(setenv("SCPAIR_AD_THREAD", "1", 1), 0);
    for (unsigned k = 1; k <= 5; k++) {
        sem_init(&told, 0, 0);
        memset(sent, 0, sizeof(sent));
        shim_test_begin_posix();
        fake_prepare();
        fake.mode = FAKE_PEND;
        shim_fail_set(SHIM_FAIL_THREAD, k, true);
        fake_attach(NULL);
        ck_assert_uint_eq(fake_lun->lun_adp->adp_ndone, k < 2 ? 0 : k - 2);
        ck_assert(fake_lun->lun_adp->adp_donqs[0].dq_on == (k > 1));
        (void)send_to(0, 0);
        fake_script(AD_RES_STATUS, SC_BUSY_STATUS, 512);
        fake_end(0);
        wait_for(&told);
        fake_down();
    }
    shim_posix_stop();
}
END_TEST

/* ---------------------------------------------------------------- done threads */

/* Send EACH to each LUN, end them by turns, every seventh short; collect all. */
static void run_all(void)
{
    for (unsigned i = 0; i < TOTAL; i++)
        (void)send_to(i, i % LUNS);
    for (unsigned i = 0; i < TOTAL; i++) {
        fake_script(AD_RES_GOOD, SC_GOOD_STATUS, i % 7 == 0 ? i % 512 : 0);
        fake.script_at = fake.script_n - 1;
        end_in_interrupt(0);
        fake.script_n = fake.script_at = 0;
    }
    for (unsigned i = 0; i < TOTAL; i++)
        wait_for(&told);
}

static const char *const numbers[] = {"1", "2", "7"};

START_TEST(test_CAM_05_each_LUN_has_its_thread_and_its_order)
{
    unsigned threads = 0;

    up(numbers[_i], "1");
    run_all();
    for (unsigned i = 0; i < TOTAL; i++) {
        ck_assert_uint_eq(sent[i].r.done, 1);
        ck_assert_uint_eq(sent[i].at, i / LUNS + 1);
        ck_assert(pthread_equal(sent[i].where, sent[i % LUNS].where));
        ck_assert(!pthread_equal(sent[i].where, pthread_self()));
    }
    for (unsigned i = 0; i < LUNS; i++) {
        unsigned k = 0;

        while (!pthread_equal(sent[k].where, sent[i].where))
            k++;
        threads += k == i;
    }
    ck_assert_uint_le(threads, (unsigned)atoi(numbers[_i]));
    ck_assert_uint_ge(threads, _i == 0 ? 1 : _i == 1 ? 2 : 4); /* eight LUNs are spread */
    down();
}
END_TEST

/*
 * With done threads nobody is called back from submit, done, an event or SCIOSTART: whoever calls them may
 * hold a lock of his own, or not. (Without them iodone runs in there, and checks insist that no lock is
 * held.)
 */
static unsigned listened;

static void on_event(struct sc_event_info *info)
{
    (void)info;
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    listened++;
    sem_post(&told);
}

START_TEST(test_CAM_04_a_callers_lock_held_and_not_held)
{
    struct sc_event_struct ev = {.id = FAKE_ID, .mode = SC_IM_MODE, .async_func = on_event};
    struct shim_lock mine;

    up("2", "1");
    listened = 0;
    ck_assert_int_eq(shim_lock_init(&mine, SHIM_RANK_HOSTAPI, "mine"), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOEVENT, (intptr_t)&ev, 0), 0);
    own_locks = (unsigned)_i;
    if (_i)
        shim_lock_enter(&mine);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID + 1, 0), 0), 0);
    for (unsigned i = 0; i < LUNS; i++) { /* not by devstrat(), which is for callers without */
        make(i, i);
        ad_strategy(&sent[i].r.sb.bufstruct);
    }
    for (unsigned i = 0; i < LUNS; i++) {
        if (i == 3)
            fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
        end_in_interrupt(0);
    }
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    if (_i)
        shim_lock_exit(&mine);
    own_locks = 0;
    for (unsigned i = 0; i < LUNS + 1; i++)
        wait_for(&told);
    ck_assert_uint_eq(listened, 1);
    for (unsigned i = 0; i < LUNS; i++) {
        ck_assert_uint_eq(sent[i].r.done, 1);
        ck_assert_int_eq(sent[i].r.sb.bufstruct.b_error, i == 3 ? EIO : 0);
    }
    shim_lock_fini(&mine);
    down();
}
END_TEST

START_TEST(test_CAM_06_who_is_awake_is_not_woken)
{
    struct sc_adapter_stats before;

    up("1", "1");
    staying = send_to(0, 0);
    fake_end(0);
    wait_for(&stays);
    before = stats();
    ck_assert_uint_eq(before.thread_wakes, 1);
    for (unsigned i = 1; i < 40; i++) { /* it is awake, in somebody's iodone */
        (void)send_to(i, i % LUNS);
        fake_end(0);
    }
    ck_assert_uint_eq(stats().thread_wakes, before.thread_wakes);
    sem_post(&stay);
    for (unsigned i = 0; i < 40; i++)
        wait_for(&told);
    /* Once it sleeps again one wake-up is enough for two. */
    all_asleep();
    (void)send_to(40, 1);
    fake_end(0);
    wait_for(&told);
    ck_assert_uint_eq(stats().thread_wakes, before.thread_wakes + 1);
    down();
}
END_TEST

START_TEST(test_CAM_07_results_are_those_of_direct_completion)
{
    static struct sent direct[TOTAL];

    up("0", "0");
    run_all();
    down();
    memcpy(direct, sent, sizeof(sent));
    up(numbers[_i], "1");
    run_all();
    down();
    for (unsigned i = 0; i < TOTAL; i++) {
        const struct buf *a = &direct[i].r.sb.bufstruct, *b = &sent[i].r.sb.bufstruct;

        ck_assert_uint_eq(direct[i].at, sent[i].at);
        ck_assert_uint_eq(a->b_resid, b->b_resid);
        ck_assert_int_eq(a->b_error, b->b_error);
        ck_assert_uint_eq(a->b_flags & B_ERROR, b->b_flags & B_ERROR);
        ck_assert_uint_eq(direct[i].ctx, sent[i].ctx);
    }
}
END_TEST

START_TEST(test_CAM_07_errors_halt_and_come_in_order_as_in_direct_completion)
{
    up(numbers[_i], "1");
    fake.abort_mode = FAKE_ABORT_LATER;
    for (unsigned i = 0; i < 4; i++)
        (void)send_to(i, 0);
    fake_script(AD_RES_BUS_FAULT, 0, 512);
    fake_end(1);
    wait_for(&told);
    ck_assert_uint_eq(sent[1].at, 1); /* the cause first */
    all_asleep();                     /* the aborts have been called: the chip is the test's again */
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    for (unsigned i = 0; i < 3; i++) {
        fake_script(AD_RES_ABORTED, 0, 512);
        fake_end(0);
    }
    for (unsigned i = 0; i < 3; i++)
        wait_for(&told);
    ck_assert_int_eq(sent[1].r.sb.bufstruct.b_error, EIO);
    ck_assert_uint_eq(sent[0].at, 2);
    ck_assert_uint_eq(sent[2].at, 3);
    ck_assert_uint_eq(sent[3].at, 4);
    ck_assert_int_eq(sent[3].r.sb.bufstruct.b_error, ENXIO);
    fake_check(fake_lun);
    down();
}
END_TEST

/* ---------------------------------------------------------------- nobody is inside afterwards */

static void *let_go(void *arg)
{
    (void)arg;
    shim_delay_ns(20000000);
    sem_post(&stay);
    return NULL;
}

static const unsigned calls[] = {SCIOSTOP, SCIOHALT};

START_TEST(test_AIX_27_stop_and_halt_return_after_the_last_iodone)
{
    pthread_t t;

    up("2", "1");
    staying = send_to(0, 0);
    fake_end(0);
    wait_for(&stays);
    ck_assert_int_eq(pthread_create(&t, NULL, let_go, NULL), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, calls[_i], SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(atomic_load(&left), 1);
    (void)pthread_join(t, NULL);
    down();
}
END_TEST

START_TEST(test_close_returns_after_the_last_iodone)
{
    pthread_t t;

    up("2", "1");
    staying = send_to(0, 0);
    fake_end(0);
    wait_for(&stays);
    ck_assert_int_eq(pthread_create(&t, NULL, let_go, NULL), 0);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_uint_eq(atomic_load(&left), 1);
    fake_fp = NULL;
    (void)pthread_join(t, NULL);
    down();
}
END_TEST

START_TEST(test_XEN_07_sleepers_are_woken_with_no_lock_held)
{
    /* on_done() looks at the record for iodone, watch_wake() for whoever sleeps in an ioctl. */
    pthread_t t;

    up("2", "1");
    for (unsigned i = 0; i < 8; i++) {
        staying = send_to(i, 0);
        fake_end(0);
        wait_for(&stays);
        ck_assert_int_eq(pthread_create(&t, NULL, let_go, NULL), 0);
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
        (void)pthread_join(t, NULL);
        wait_for(&told);
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), 0);
    }
    ck_assert_uint_gt(atomic_load(&wakes_seen), 8); /* the thread, and the sleepers */
    down();
}
END_TEST

START_TEST(test_CAM_01_each_lock_has_its_rank)
{
    const struct ad_adapter *adp;

    up("2", "1");
    adp = ad_find(FAKE_DEVNO);
    ck_assert_uint_eq(adp->adp_open_lock.sl_rank, SHIM_RANK_AD_OPEN);
    ck_assert_uint_eq(fake_lun->lun_lock.sl_rank, SHIM_RANK_AD_LUN); /* the LUN and its send queue */
    ck_assert_uint_eq(adp->adp_lock.sl_rank, SHIM_RANK_AD);          /* adapter, bus, targets */
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(adp->adp_donqs[i].dq_lock.sl_rank, SHIM_RANK_AD_DONE);
    down();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ad_thread");
    TCase *t = tcase_create("the adapter's thread");

    tcase_add_test(t, test_NB_13_what_ends_well_ends_where_it_arrives);
    tcase_add_test(t, test_NB_13_an_error_is_told_by_the_thread);
    tcase_add_test(t, test_NB_14_request_sense_is_sent_from_the_thread);
    tcase_add_test(t, test_NB_13_abort_is_called_by_the_thread);
    tcase_add_test(t, test_NB_13_a_reset_that_blocks_is_the_threads);
    tcase_add_test(t, test_without_threads_everything_is_done_by_who_passes);
    tcase_add_test(t, test_a_thread_that_does_not_start_is_no_error);
    tcase_add_test(t, test_CAM_01_each_lock_has_its_rank);
    suite_add_tcase(s, t);
    t = tcase_create("done threads");
    tcase_add_loop_test(t, test_CAM_05_each_LUN_has_its_thread_and_its_order, 0, 3);
    tcase_add_loop_test(t, test_CAM_04_a_callers_lock_held_and_not_held, 0, 2);
    tcase_add_test(t, test_CAM_06_who_is_awake_is_not_woken);
    tcase_add_loop_test(t, test_CAM_07_results_are_those_of_direct_completion, 0, 3);
    tcase_add_loop_test(t, test_CAM_07_errors_halt_and_come_in_order_as_in_direct_completion, 0, 3);
    tcase_add_loop_test(t, test_AIX_27_stop_and_halt_return_after_the_last_iodone, 0, 2);
    tcase_add_test(t, test_close_returns_after_the_last_iodone);
    tcase_add_test(t, test_XEN_07_sleepers_are_woken_with_no_lock_held);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
