/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_dead_test.c - a disk that has stopped answering: when it is dead, what fails then, and how it lives
 * again.
 */
#include "fake_ad.h"

#define BUFS    32u
#define DEAD_NS (DD_DEAD_MS * UINT64_C(1000000))

static uint8_t *area;
static struct fake_buf fb[BUFS];
static struct file *fp;

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

static struct fake_fault *silent(int opcode, unsigned count)
{
    struct fake_fault *f = fake_fault(opcode, 0, UINT64_MAX, FAKE_ADAPTER);

    f->code = SC_CMD_TIMEOUT;
    f->count = count;
    return f;
}

static int read_one(uint64_t block) { return fake_rdwr(fp, true, area, 512, (int64_t)block * 512, 0, NULL); }

static unsigned logged(const char *text)
{
    static struct err_rec rec[64];
    unsigned n = errlog_read(0, rec, 64), found = 0;

    for (unsigned i = 0; i < n; i++)
        found += strstr(rec[i].er_text, text) != NULL;
    return found;
}

static void dead(void)
{
    fp = fake_open(NULL);
    (void)silent(FAKE_ANY, 0);
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_eq(fake.faults[0].hits, 2);
    fake_forget();
}

/* Move the clock. */
static void nothing(struct trb *t) { (void)t; }
static void pass(uint64_t ns)
{
    struct trb *t = talloc();

    t->func = nothing;
    t->timeout_ns = ns;
    ck_assert_int_eq(tstart(t), 0);
    while (shim_det_step())
        continue;
    tfree(t);
}

/* A span of 32 bufs (0), 32 single ones (1): two timeouts and everybody knows. */
START_TEST(test_two_timeouts_in_all)
{
    struct sc_disk_stats st;

    fp = fake_open(NULL);
    (void)silent(FAKE_ANY, 0);
    for (unsigned i = 0; i < BUFS; i++)
        fake_buf_init(&fb[i], true, _i ? 100 * i : 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, BUFS);
    fake_settle(fb, BUFS);
    for (unsigned i = 0; i < BUFS; i++) {
        ck_assert_int_eq(fb[i].b.b_error, EIO);
        ck_assert_uint_eq(fb[i].b.b_resid, 4096);
    }
    ck_assert_uint_eq(fake.faults[0].hits, 2);
    st = fake_stats();
    ck_assert_uint_eq(st.errors, BUFS);
    ck_assert_uint_eq(logged("disk does not answer"), 1);
    /* Also who comes now: nothing is sent. */
    ck_assert_int_eq(read_one(7), EIO);
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), EIO);
    ck_assert_uint_eq(fake.faults[0].hits, 2);
    fake.nfaults = 0;
    fake.syncs = 0;
    ck_assert_int_eq(fp_close(fp), 0); /* what the flush failed to do is still to be done, and is */
    ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

static struct sc_buf *kept[2];
static unsigned nkept;

/* Keeps two, and with the third on its way both are timed out. */
static bool two_at_once(struct sc_buf *sc)
{
    (void)sc;
    if (nkept < 2) {
        kept[nkept++] = sc;
        return true;
    }
    fake.hook = NULL;
    fake.halted = true;
    for (unsigned i = 0; i < 2; i++) {
        kept[i]->bufstruct.b_flags |= B_ERROR;
        kept[i]->bufstruct.b_error = EIO;
        kept[i]->status_validity = SC_ADAPTER_ERROR;
        kept[i]->general_card_status = SC_CMD_TIMEOUT;
        fake.active--;
        iodone(&kept[i]->bufstruct);
    }
    return false;
}

/* Commands that time out together are one sign of silence: the disk is asked again. */
START_TEST(test_together_is_once)
{
    fp = fake_open(NULL);
    nkept = 0;
    fake.hook = two_at_once;
    for (unsigned i = 0; i < 3; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
    fake_settle(fb, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(logged("disk does not answer"), 0);
    fake_close(fp);
}
END_TEST

/* Timeouts with something good between them: slow, and not dead. */
START_TEST(test_good_between)
{
    fp = fake_open(NULL);
    for (unsigned i = 0; i < 5; i++) {
        fake.nfaults = 0;
        (void)silent(FAKE_RW, 1);
        ck_assert_int_eq(_i ? fp_ioctl(fp, DKFLUSH, 0, 0) : 0, 0);
        ck_assert_int_eq(read_one(i), 0);
        ck_assert_uint_eq(fake.faults[0].hits, 1);
    }
    ck_assert_uint_eq(logged("disk does not answer"), 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* All tries to select it are used up. */
START_TEST(test_nobody_there)
{
    fp = fake_open(NULL);
    silent(FAKE_ANY, 0)->code = SC_NO_DEVICE_RESPONSE;
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_gt(fake.faults[0].hits, 2);
    ck_assert_uint_eq(logged("disk does not answer"), 1);
    fake_forget();
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_eq(fake.nlog, 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* It is asked after its time, and not before; by a request (0), by a flush (1). */
START_TEST(test_asked_after_its_time)
{
    dead();
    pass(DEAD_NS - 1000000);
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_eq(fake.nlog, 0);
    pass(1000000);
    ck_assert_int_eq(_i ? fp_ioctl(fp, DKFLUSH, 0, 0) : read_one(0), EIO);
    ck_assert_uint_eq(fake.nlog, 1); /* one try, and it begins anew */
    ck_assert_uint_eq(fake.log[0].cdb[0], SCSI_TEST_UNIT_READY);
    ck_assert_uint_eq(fake.log[0].flags & SC_RESUME, SC_RESUME);
    pass(DEAD_NS - 1000000);
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_eq(fake.nlog, 1);
    pass(1000000);
    fake.nfaults = 0;
    ck_assert_int_eq(_i ? fp_ioctl(fp, DKFLUSH, 0, 0) : read_one(0), 0);
    ck_assert_uint_eq(fake.log[1].cdb[0], SCSI_TEST_UNIT_READY);
    ck_assert_uint_eq(fake.log[2].cdb[0], SCSI_RESERVE_6);
    ck_assert_uint_eq(logged("it does again"), 1);
    ck_assert_int_eq(read_one(1), 0);
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_hold, 0);
    fake_close(fp);
}
END_TEST

/* Not ready, or busy, is an answer as well; sense that it leaves is fetched. */
START_TEST(test_any_answer_counts)
{
    struct fake_fault *f;

    dead();
    fake.nfaults = 0;
    f = fake_fault(SCSI_TEST_UNIT_READY, 0, UINT64_MAX, _i ? FAKE_STATUS : FAKE_CHECK);
    f->code = SC_BUSY_STATUS;
    f->key = SCSI_KEY_ATTENTION;
    f->asc = 0x29;
    pass(DEAD_NS);
    ck_assert_int_eq(read_one(0), 0);
    ck_assert_uint_eq(f->hits, 1);
    if (!_i)
        ck_assert_uint_eq(fake.log[1].cdb[0], SCSI_REQUEST_SENSE);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* An open begins anew; a pass-through command goes out, and its good end counts. */
START_TEST(test_other_ways_back)
{
    static struct sc_passthru pt;

    dead();
    fake.nfaults = 0;
    if (_i) {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), 0);
    } else {
        ck_assert_int_eq(fp_close(fp), 0);
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    }
    ck_assert_int_eq(read_one(0), 0);
    fake_close(fp);
}
END_TEST

static struct sc_buf *lost;
static unsigned cleared;

static bool lose_sense(struct sc_buf *sc)
{
    if (sc->flags & SC_Q_CLR) {
        fake.active--;
        cleared++;
        sc->bufstruct.b_flags |= B_ERROR;
        sc->bufstruct.b_error = EINVAL;
        iodone(&sc->bufstruct);
        return true;
    }
    if (sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_REQUEST_SENSE)
        return false;
    lost = sc;
    return true;
}

/* REQUEST SENSE does not come home: the adapter driver's timeout is over, and then our own, twice. */
START_TEST(test_recovery_command_lost)
{
    struct fake_fault *f;
    uint64_t since;

    fp = fake_open(NULL);
    lost = NULL;
    cleared = 0;
    f = fake_fault(FAKE_RW, 0, 0, FAKE_CHECK);
    f->key = SCSI_KEY_ABORTED;
    f->count = 1;
    fake.hook = lose_sense;
    since = kern_now_ns();
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 512);
    fake_submit(fb, 4);
    fake_settle(fb, 4);
    ck_assert_ptr_nonnull(lost);
    ck_assert_uint_eq(cleared, 1);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(fb[i].b.b_error, EIO);
    ck_assert_uint_eq(kern_now_ns() - since,
                      2 * (DD_RW_TIMEOUT_S * UINT64_C(1000000000) + DD_STEP_MS * UINT64_C(1000000)));
    ck_assert_int_eq(read_one(0), EIO);
    fake.hook = NULL;
    fake.active--;
    iodone(&lost->bufstruct);
    dd_check_invariants(FAKE_DEV);
    pass(DEAD_NS);
    ck_assert_int_eq(read_one(0), 0);
    fake_close(fp);
}
END_TEST

/* The timer behind a recovery command, running already when that comes home: nothing is overdue. */
START_TEST(test_step_timer_too_late)
{
    struct fake_fault *f;

    fp = fake_open(NULL);
    fake.no_sense = true;
    f = fake_fault(FAKE_RW, 0, 0, FAKE_CHECK);
    f->key = SCSI_KEY_ABORTED;
    f->count = 1;
    ck_assert_int_eq(read_one(0), 0);
    pass(UINT64_C(1000000000) * 3600);
    dd_step_fired(dd_unit_of(FAKE_DEV)->un_step_trb);
    ck_assert_uint_eq(logged("overdue"), 0);
    ck_assert(!dd_unit_of(FAKE_DEV)->un_rec.rec_unstick);
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert_int_eq(read_one(0), 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ a LUN out of service */

static void back_in_service(void)
{
    fake.nfaults = 0;
    fake.halted = false;
}

/* Nobody answers selection: when the disk has been left alone, a reset comes before the question. */
START_TEST(test_reset_asked_for)
{
    fp = fake_open(NULL);
    silent(FAKE_ANY, 0)->code = SC_NO_DEVICE_RESPONSE;
    while (!(dd_unit_of(FAKE_DEV)->un_hold & DD_HOLD_DEAD))
        ck_assert_int_eq(read_one(0), EIO);
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_eq(fake.resets, 0); /* not before its time */
    pass(DEAD_NS);
    fake.at_reset = back_in_service;
    ck_assert_int_eq(_i ? fp_ioctl(fp, DKFLUSH, 0, 0) : read_one(0), 0);
    ck_assert_uint_eq(fake.resets, 1);
    ck_assert_uint_eq(logged("nobody answers"), 1);
    pass(DEAD_NS);
    ck_assert_int_eq(read_one(0), 0);
    ck_assert_uint_eq(fake.resets, 1);
    fake_close(fp);
}
END_TEST

/* It was pulled out: its neighbours are not reset for ever. One that is silent otherwise gets none. */
START_TEST(test_resets_have_an_end)
{
    fp = fake_open(NULL);
    silent(FAKE_ANY, 0)->code = _i ? SC_CMD_TIMEOUT : SC_NO_DEVICE_RESPONSE;
    while (!(dd_unit_of(FAKE_DEV)->un_hold & DD_HOLD_DEAD))
        (void)read_one(0);
    for (unsigned i = 0; i < 6; i++) {
        pass(DEAD_NS);
        ck_assert_int_eq(read_one(0), EIO);
        ck_assert_int_eq(read_one(0), EIO);
        ck_assert_uint_eq(fake.resets, _i ? 0 : i + 1 < DD_RESETS_MAX ? i + 1 : DD_RESETS_MAX);
    }
    back_in_service();
    pass(DEAD_NS);
    ck_assert_int_eq(read_one(0), 0);
    /* It has answered: when it dies once more its resets are counted anew. */
    silent(FAKE_ANY, 0)->code = _i ? SC_CMD_TIMEOUT : SC_NO_DEVICE_RESPONSE;
    while (!(dd_unit_of(FAKE_DEV)->un_hold & DD_HOLD_DEAD))
        (void)read_one(0);
    pass(DEAD_NS);
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert_uint_eq(fake.resets, _i ? 0 : DD_RESETS_MAX + 1);
    back_in_service();
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ closed while dead */

/* The last close asks once more: what was written reaches the medium if the disk is there again. */
START_TEST(test_close_is_the_last_chance)
{
    fp = fake_open(NULL);
    ck_assert_int_eq(fake_rdwr(fp, false, area, 512, 0, 0, NULL), 0);
    (void)silent(FAKE_ANY, 0);
    ck_assert_int_eq(read_one(0), EIO);
    ck_assert(dd_unit_of(FAKE_DEV)->un_hold & DD_HOLD_DEAD);
    if (_i)
        fake.nfaults = 0;
    fake.syncs = 0;
    ck_assert_int_eq(fp_close(fp), _i ? 0 : EIO);
    ck_assert_uint_eq(fake.syncs, _i != 0);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
}
END_TEST

static struct sc_buf *taken;

static bool keep_sense(struct sc_buf *sc)
{
    if (((const uint8_t *)&sc->scsi_command.scsi_cmd)[0] != SCSI_REQUEST_SENSE || taken)
        return false;
    taken = sc;
    return true;
}

static void give_kept(void)
{
    struct sc_buf *sc = taken;

    if (!sc)
        return;
    taken = NULL;
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = ENXIO;
    sc->bufstruct.b_resid = sc->bufstruct.b_bcount;
    fake.active--;
    iodone(&sc->bufstruct);
}

/* REQUEST SENSE never comes home by itself: a close has it fetched, and returns. */
START_TEST(test_close_fetches_what_is_lost)
{
    struct fake_fault *f;

    fp = fake_open(NULL);
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);
    f->key = SCSI_KEY_ATTENTION;
    f->asc = 0x29;
    f->count = 1;
    f->no_info = true;
    taken = NULL;
    fake.hook = keep_sense;
    fake.at_halt = give_kept;
    ck_assert_int_eq(read_one(0), EIO); /* dead, at the second deadline */
    ck_assert_ptr_nonnull(taken);
    ck_assert_uint_eq(fake.halts, 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(fake.halts, 1); /* it is not sent once more, to be lost again */
    fake.hook = NULL;
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
}
END_TEST

static bool keep_read(struct sc_buf *sc)
{
    if (((const uint8_t *)&sc->scsi_command.scsi_cmd)[0] != SCSI_READ_6 || taken)
        return false;
    taken = sc;
    return true;
}

/* An adapter driver that says 0 to SCIOHALT and keeps a command: CFG_GONE has an end. */
START_TEST(test_gone_has_an_end)
{
    uint64_t began;

    fp = fake_open(NULL);
    taken = NULL;
    fake.hook = keep_read;
    fake_buf_init(&fb[0], true, 0, area, 512);
    fake_submit(fb, 1);
    ck_assert_ptr_nonnull(taken);
    began = kern_now_ns();
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_GONE, NULL), ETIMEDOUT);
    ck_assert_uint_ge(kern_now_ns() - began, UINT64_C(60000000000));
    ck_assert_uint_lt(kern_now_ns() - began, UINT64_C(61000000000));
    fake.hook = NULL;
    give_kept();
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
}
END_TEST

/* Each state has its row; the ones with a command out have the deadline. */
START_TEST(test_states)
{
    for (int i = DD_REC_NONE; i <= DD_REC_HALT; i++) {
        const struct dd_state *st = dd_state_of((enum dd_rec_state)i);

        ck_assert_ptr_nonnull(st->state_name);
        ck_assert_int_eq(st->state_until == DD_UNTIL_STEP, i >= DD_REC_SENSE && i <= DD_REC_CLEAR);
        if (st->state_until != DD_UNTIL_NONE)
            ck_assert_uint_gt(strlen(st->state_late), 0);
    }
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_dead");
    TCase *t = tcase_create("dead");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_two_timeouts_in_all, 0, 2);
    tcase_add_test(t, test_together_is_once);
    tcase_add_loop_test(t, test_good_between, 0, 2);
    tcase_add_test(t, test_nobody_there);
    tcase_add_loop_test(t, test_asked_after_its_time, 0, 2);
    tcase_add_loop_test(t, test_any_answer_counts, 0, 2);
    tcase_add_loop_test(t, test_other_ways_back, 0, 2);
    tcase_add_test(t, test_recovery_command_lost);
    tcase_add_test(t, test_step_timer_too_late);
    tcase_add_test(t, test_states);
    tcase_add_loop_test(t, test_reset_asked_for, 0, 2);
    tcase_add_loop_test(t, test_resets_have_an_end, 0, 2);
    tcase_add_loop_test(t, test_close_is_the_last_chance, 0, 2);
    tcase_add_test(t, test_close_fetches_what_is_lost);
    tcase_add_test(t, test_gone_has_an_end);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
