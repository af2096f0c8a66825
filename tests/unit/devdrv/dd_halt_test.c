/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_halt_test.c - who is thrown back: nobody is blamed for it, everybody keeps his place, and a queue that
 * nothing sets going again has an end.
 */
#include <semaphore.h>

#include "fake_ad.h"

#define BUFS 48u

static uint8_t *area;
static struct fake_buf fb[BUFS];

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

static struct fake_fault *medium(uint64_t first, uint64_t last, unsigned count)
{
    struct fake_fault *f = fake_fault(FAKE_RW, first, last, FAKE_CHECK);

    f->key = SCSI_KEY_MEDIUM;
    f->asc = 0x0c;
    f->no_info = true;
    f->count = count;
    return f;
}

/* ------------------------------------------------------------------ nobody is blamed */

/* Thirty bad blocks are tried four times each; ten requests behind them come back each time. */
START_TEST(test_innocents_do_not_fail)
{
    struct file *fp;

    fake.keeps = _i != 0;
    fp = fake_open(NULL);
    fake.held = true;
    (void)medium(0, 100 * 30 - 1, 0);
    for (unsigned i = 0; i < 40; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    while (fake_complete_one())
        continue;
    fake_settle(fb, 40);
    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_eq(fb[i].b.b_flags & B_ERROR ? fb[i].b.b_error : 0, i < 30 ? EMEDIA : 0);
    if (!_i)
        ck_assert_uint_gt(fake_stats().requeued, 1000);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

static unsigned suspected;

static bool count_suspected(struct sc_buf *sc)
{
    suspected += (sc->flags & SC_Q_RESUME) != 0;
    return false;
}

/* Nothing helps: a request (0), a flush (1) and a pass-through command (2) end, and the disk stays usable. */
START_TEST(test_thrown_back_for_ever)
{
    static struct sc_passthru pt;
    struct file *fp = fake_open(NULL);

    suspected = 0;
    fake.hook = count_suspected;
    fake_fault(FAKE_ANY, 0, UINT64_MAX, FAKE_ERRNO)->code = ENXIO;
    if (_i == 0) {
        ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), EIO);
    } else if (_i == 1) {
        ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), EIO);
    } else {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), EIO);
    }
    ck_assert_uint_le(fake.faults[0].hits, 3 * DD_THROWN_MAX);
    ck_assert_uint_eq(suspected, DD_THROWN_MAX / DD_THROWN_SUSPECT - 1); /* not of what is given up */
    fake.hook = NULL;
    fake.nfaults = 0;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    fake_close(fp);
}
END_TEST

/* Somebody halts the queue again and again, and each time the request gets on: that is no failure. */
START_TEST(test_halted_often)
{
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 2 * DD_THROWN_MAX; i++) {
        fake.halted = true;
        ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), 0);
    }
    ck_assert_uint_eq(fake_stats().requeued, 2 * DD_THROWN_MAX);
    fake_close(fp);
}
END_TEST

/* Others get on in the lane, on another thread: a request that is thrown back does not fail. */
START_TEST(test_lane_is_progress)
{
    const struct scdisk_dds dds = {.queue_depth = 1};
    struct file *fp = fake_open(&dds);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);

    un->un_thrown = DD_THROWN_MAX - 1;
    un->un_thrown_at = un->un_stats.completed + un->un_progress;
    if (_i)
        atomic_store(&un->un_plugs[0].pl_bufs, 1); /* as its thread counts them */
    fake.halted = true;
    ck_assert_int_eq(fake_rdwr(fp, true, area, 512, 0, 0, NULL), _i ? 0 : EIO);
    atomic_store(&un->un_plugs[0].pl_bufs, 0);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ an error that has not been told */

static struct sc_buf *flush_held;
static bool flush_failed;
static void untold_end(struct sc_buf *sc, int error, uint8_t status);

static bool flush_hook(struct sc_buf *sc)
{
    const uint8_t op = sc->scsi_command.scsi_cmd.scsi_op_code;

    if (op == SCSI_SYNC_CACHE_10 && !flush_held) {
        flush_held = sc;
        return true;
    }
    if (op == SCSI_READ_6 && !flush_failed) {
        flush_failed = true;
        fake.halted = true;
        untold_end(flush_held, EIO, SC_CHECK_CONDITION);
        fake.active--; /* this one was at the device already, and is good */
        sc->bufstruct.b_resid = 0;
        iodone(&sc->bufstruct);
        return true;
    }
    return false;
}

static void send_three(struct trb *t)
{
    (void)t;
    fake_submit(fb, 3);
}

/* A flush fails while this thread sends three requests: nothing more goes to a halted queue. */
START_TEST(test_AIX_21_a_flush_fails_meanwhile)
{
    struct trb *t = talloc();
    struct file *fp;

    fake.tags = true;
    fp = fake_open(NULL);
    for (unsigned i = 0; i < 3; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
    flush_held = NULL;
    flush_failed = false;
    fake.hook = flush_hook;
    t->func = send_three;
    t->timeout_ns = 1000;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    fake_settle(fb, 3);
    ck_assert(flush_failed);
    ck_assert_uint_eq(fake.enxio, 0);
    fake.hook = NULL;
    tfree(t);
    fake_close(fp);
}
END_TEST

static struct sc_buf *untold[2];

static bool untold_hook(struct sc_buf *sc)
{
    if (sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_READ_6 || sc->flags & SC_RESUME || untold[1])
        return false;
    untold[untold[0] != NULL] = sc;
    return true;
}

static void untold_end(struct sc_buf *sc, int error, uint8_t status)
{
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = error;
    sc->status_validity = status ? SC_SCSI_ERROR : 0;
    sc->scsi_status = status;
    fake.active--;
    iodone(&sc->bufstruct);
}

/*
 * Of two commands the younger comes back ENXIO. Nothing is sent before the older is home: with an error (0)
 * or thrown back as well (1); or the timer says that it takes too long (2).
 */
START_TEST(test_AIX_21_no_resume_before_the_error)
{
    struct file *fp = fake_open(NULL);

    memset(untold, 0, sizeof(untold));
    fake.hook = untold_hook;
    for (unsigned i = 0; i < 3; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
    fake_submit(&fb[0], 1);
    fake_submit(&fb[1], 1);
    ck_assert_ptr_nonnull(untold[1]);
    fake.halted = true;
    fake_forget();
    untold_end(untold[1], ENXIO, 0);
    fake_submit(&fb[2], 1);
    ck_assert_uint_eq(fake.nlog, 0);
    ck_assert_uint_eq(shim_det_timers(), 1);
    if (_i == 0) {
        untold_end(untold[0], EIO, SC_CHECK_CONDITION);
        ck_assert_uint_eq(fake.log[0].cdb[0], SCSI_REQUEST_SENSE);
    } else if (_i == 1) {
        untold_end(untold[0], ENXIO, 0);
        ck_assert_uint_eq(fake.log[0].lba, 0);
    } else {
        uint64_t before = kern_now_ns();

        ck_assert(shim_det_step());
        ck_assert_uint_eq(kern_now_ns() - before, DD_ERROR_MS * UINT64_C(1000000));
        ck_assert_uint_eq(fake.log[0].lba, 100);
        untold_end(untold[0], ENXIO, 0);
    }
    ck_assert_uint_eq(fake.log[0].flags & SC_RESUME, SC_RESUME);
    ck_assert_uint_eq(shim_det_timers(), 0);
    fake_settle(fb, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake.hook = NULL;
    fake_close(fp);
}
END_TEST

/* Without a timer there is no waiting. */
START_TEST(test_NB_02_no_timer_behind_it)
{
    struct file *fp = fake_open(NULL);

    memset(untold, 0, sizeof(untold));
    fake.hook = untold_hook;
    fake_buf_init(&fb[0], true, 0, area, 512);
    fake_buf_init(&fb[1], true, 100, area + 4096, 512);
    fake_submit(&fb[0], 1);
    fake_submit(&fb[1], 1);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    untold_end(untold[1], ENXIO, 0);
    ck_assert_uint_eq(fb[1].done, 1);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    untold_end(untold[0], ENXIO, 0);
    ck_assert_uint_eq(fb[0].done, 1);
    fake.hook = NULL;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ picked, and not sent */

/* Commands that end inside strategy: the first of a batch fails, and the rest of it is not sent in vain. */
START_TEST(test_AIX_21_picked_ones_go_back)
{
    struct file *fp = fake_open(NULL);
    unsigned long long picked, n;

    (void)medium(0, 100 * 30 - 1, 0);
    for (unsigned i = 0; i < 40; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
    fake_forget();
    picked = fake_stats().commands;
    fake_submit(fb, 40);
    fake_settle(fb, 40);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_int_eq(fb[i].b.b_flags & B_ERROR ? fb[i].b.b_error : 0, i < 30 ? EMEDIA : 0);
        ck_assert_uint_eq(fb[i].order, i + 1);
    }
    ck_assert_uint_eq(fake_stats().requeued, 0);
    ck_assert_uint_eq(fake.enxio, 0);
    n = fake_stats().commands - picked;
    ck_assert_uint_eq(n, fake_nrw());
    ck_assert_uint_eq(n, 30 * 4 + 10);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

static struct sc_buf *full_first;

/* The first waits at the device; the second finds it full while the thread still has the other eighteen. */
static bool full_hook(struct sc_buf *sc)
{
    if (sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_READ_6 || full_first)
        return false;
    full_first = sc;
    return true;
}

static bool full_told;

static bool full_elsewhere(struct sc_buf *sc)
{
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct dd_plug *plug = dd_plug_mine(un);
    uintptr_t me;

    if (full_hook(sc))
        return true;
    if (sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_READ_6 || full_told)
        return false;
    full_told = true;
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = EIO;
    sc->status_validity = SC_SCSI_ERROR;
    sc->scsi_status = SC_QUEUE_FULL;
    fake.active--;
    me = dd_plug_shut(plug); /* as an interrupt, or another thread, which has no plug here */
    iodone(&sc->bufstruct);
    dd_plug_open(plug, me);
    return true;
}

/* QUEUE FULL while others are picked and not sent: the depth is what the device had. */
START_TEST(test_NB_16_depth_counts_what_was_sent)
{
    struct file *fp = fake_open(NULL);

    full_first = NULL;
    full_told = false;
    fake.hook = full_elsewhere;
    for (unsigned i = 0; i < 20; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
    fake_submit(fb, 20);
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_depth, 1);
    fake.hook = NULL;
    fake.active--;
    full_first->bufstruct.b_resid = 0;
    iodone(&full_first->bufstruct);
    fake_settle(fb, 20);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ places */

/* Two spans fail, others are thrown back, one waits: all go in the order in which they were submitted. */
START_TEST(test_NB_12_everybody_keeps_his_place)
{
    const struct scdisk_dds dds = {.queue_depth = 4, .pool = _i ? 4 : 0};
    struct file *fp = fake_open(&dds);
    unsigned n = 0;

    fake.held = true;
    for (unsigned i = 0; i < 12; i++) { /* spans of 3, 1, 3, 1 and 4 */
        static const unsigned at[] = {0, 8, 16, 100, 200, 208, 216, 300, 400, 408, 416, 424};

        fake_buf_init(&fb[i], i < 8, at[i], area + 4096 * i, 4096);
    }
    fake_submit(&fb[0], 3);
    fake_submit(&fb[3], 1);
    fake_submit(&fb[4], 3);
    fake_submit(&fb[7], 1);
    fake_submit(&fb[8], 4);
    (void)medium(8, 8, 1);
    fake_forget();
    ck_assert(fake_complete_one());
    /* The pieces are on their way, the others wait behind them; now one of the pieces is busy. */
    dd_check_invariants(FAKE_DEV);
    (void)medium(208, 208, 1);
    fake_fault(FAKE_RW, 8, 8, FAKE_STATUS)->code = SC_BUSY_STATUS;
    fake.faults[2].count = 1;
    while (fake_complete_one() || (!fb[11].done && shim_det_step()))
        dd_check_invariants(FAKE_DEV);
    fake_settle(fb, 12);
    for (unsigned i = 0; i < 12; i++) {
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
        ck_assert_uint_eq(fb[i].order, i + 1);
    }
    for (unsigned i = 0; i < fake_nrw(); i++)
        n += fake_rw(i)->nbufs > 1;
    ck_assert_uint_ge(n, 2);
    fake.nfaults = 0;
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* A kept queue is cleared, and not resumed, when something in it would overtake what is sent again. */
START_TEST(test_AIX_22_kept_and_younger)
{
    struct file *fp;

    fake.keeps = true;
    fp = fake_open(NULL);
    fake.held = true;
    fake_buf_init(&fb[0], _i == 2, 0, area, 4096);
    fake_buf_init(&fb[1], _i == 2, _i == 1 ? 8 : 7, area + 4096, 512); /* 1: beside it; 2: nobody writes */
    fake_submit(&fb[0], 1);
    fake_submit(&fb[1], 1);
    medium(0, 0, 1)->key = SCSI_KEY_ABORTED;
    fake_forget();
    ck_assert(fake_complete_one());
    ck_assert_uint_eq(fake.log[1].flags, SC_RESUME | (_i ? SC_Q_RESUME : SC_Q_CLR));
    if (!_i) {
        ck_assert_uint_eq(fake.log[2].flags, SC_RESUME);
        ck_assert_uint_eq(fake.log[2].lba, 0);
        ck_assert_uint_eq(fake.log[3].lba, 7);
    }
    fake_complete_all();
    fake_settle(fb, 2);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ the kept queue and refusals */

static unsigned refuse_resumes, refuse_clears;
static int refuse_error;

static bool refuse_hook(struct sc_buf *sc)
{
    unsigned *left = sc->flags & SC_Q_RESUME ? &refuse_resumes : sc->flags & SC_Q_CLR ? &refuse_clears : NULL;

    if (!left || *left == 0)
        return false;
    --*left;
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = refuse_error;
    fake.active--;
    iodone(&sc->bufstruct);
    return true;
}

/* SC_Q_RESUME is refused: SC_Q_CLR, and all go again. That is refused, too, a few times: all the same. */
START_TEST(test_AIX_23_refused)
{
    static const int with[] = {EINVAL, ENXIO, EIO, ENOMEM};
    struct file *fp;

    fake.keeps = true;
    fp = fake_open(NULL);
    fake.held = true;
    for (unsigned i = 0; i < 4; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
        fake_submit(&fb[i], 1);
    }
    medium(0, 0, 1)->key = SCSI_KEY_ILLEGAL;
    refuse_error = with[_i % 4];
    refuse_resumes = _i < 4 ? 1 : 2;
    refuse_clears = _i < 4 ? 0 : 1;
    if (_i >= 4 && refuse_error == ENXIO) {
        refuse_error = EINVAL; /* that is how SC_Q_CLR succeeds */
    }
    fake.hook = refuse_hook;
    fake_forget();
    ck_assert(fake_complete_one());
    if (_i < 4) { /* the refused one is not recorded */
        ck_assert_uint_eq(fake.log[0].cdb[0], SCSI_REQUEST_SENSE);
        ck_assert_uint_eq(fake.log[1].flags & SC_Q_CLR, SC_Q_CLR);
    }
    fake_buf_init(&fb[4], true, 1000, area, 512);
    fake_submit(&fb[4], 1);
    for (unsigned i = 0; i < 1000 && !(fb[1].done && fb[2].done && fb[3].done && fb[4].done); i++)
        if (fake.kept || !fake_complete_one())
            (void)shim_det_step();
    fake_settle(fb, 5);
    for (unsigned i = 1; i < 5; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    fake.hook = NULL;
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ a timer that runs its tail */

static sem_t tail_in, tail_out;
static unsigned tail_sent;

/* The second try is sent by the timer's routine, which stays in here. */
static bool tail_hook(struct sc_buf *sc)
{
    (void)sc;
    if (++tail_sent == 2) {
        (void)sem_post(&tail_in);
        (void)sem_wait(&tail_out);
    }
    return false;
}

/*
 * A wait begins while the routine of the last one still sends what it has released. Stopping its timer says
 * that it runs; who stops it has to look all the same, for the routine will not.
 */
START_TEST(test_stopped_while_the_routine_has_its_tail_to_run)
{
    struct fake_fault *f;
    struct dd_unit *un;
    struct file *fp;
    int old;

    fake_begin_posix(20480, 512);
    area = aligned_alloc(4096, 4096);
    ck_assert_ptr_nonnull(area);
    fp = fake_open(NULL);
    un = dd_unit_of(FAKE_DEV);
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_STATUS);
    f->code = SC_BUSY_STATUS;
    f->count = 1;
    tail_sent = 0;
    ck_assert_int_eq(sem_init(&tail_in, 0, 0) + sem_init(&tail_out, 0, 0), 0);
    fake.hook = tail_hook;
    fake_buf_init(&fb[0], true, 0, area, 512);
    fake_submit(&fb[0], 1);
    ck_assert_int_eq(sem_wait(&tail_in), 0);
    old = disable_lock(INTIODONE, &un->un_lock);
    ck_assert_int_eq(un->un_rec.rec_state, DD_REC_NONE);
    dd_hold_set_locked(un, DD_HOLD_RECOVER);
    un->un_rec.rec_state = DD_REC_HALT;
    ck_assert(dd_delay_start_locked(un, UINT64_C(3600000000000)));
    dd_halt_look_locked(un, true);
    ck_assert_int_eq(un->un_rec.rec_state, DD_REC_NONE);
    ck_assert_uint_eq(un->un_hold & DD_HOLD_RECOVER, 0);
    unlock_enable(old, &un->un_lock);
    ck_assert_int_eq(sem_post(&tail_out), 0);
    fake_close(fp); /* waits for the request */
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_uint_eq(fb[0].b.b_flags & B_ERROR, 0);
    fake.hook = NULL;
    free(area);
    fake_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_halt");
    TCase *t = tcase_create("halt");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_innocents_do_not_fail, 0, 2);
    tcase_add_loop_test(t, test_thrown_back_for_ever, 0, 3);
    tcase_add_test(t, test_halted_often);
    tcase_add_loop_test(t, test_lane_is_progress, 0, 2);
    tcase_add_test(t, test_AIX_21_a_flush_fails_meanwhile);
    tcase_add_loop_test(t, test_AIX_21_no_resume_before_the_error, 0, 3);
    tcase_add_test(t, test_NB_02_no_timer_behind_it);
    tcase_add_test(t, test_AIX_21_picked_ones_go_back);
    tcase_add_test(t, test_NB_16_depth_counts_what_was_sent);
    tcase_add_loop_test(t, test_NB_12_everybody_keeps_his_place, 0, 2);
    tcase_add_loop_test(t, test_AIX_22_kept_and_younger, 0, 3);
    tcase_add_loop_test(t, test_AIX_23_refused, 0, 8);
    suite_add_tcase(s, t);
    t = tcase_create("tail");
    tcase_add_test(t, test_stopped_while_the_routine_has_its_tail_to_run);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
