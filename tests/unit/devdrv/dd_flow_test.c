/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_flow_test.c - when commands go, and when they go again: busy and full devices, resets, adapters that
 * refuse, timers that cannot be had, and who has to wait for whom. The clock is virtual.
 *
 * Does not contain: what errors mean (dd_recover_test.c), what is due with the disk (dd_todo_test.c).
 */
#include "fake_ad.h"

#define MS UINT64_C(1000000)

static uint8_t *area;
static struct fake_buf fb[256];

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 2u << 20);
    ck_assert_ptr_nonnull(area);
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static struct fake_fault *fault(enum fake_action action, uint32_t code, unsigned count)
{
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, action);

    f->code = code;
    f->count = count;
    return f;
}

static unsigned errors(unsigned n)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < n; i++)
        bad += (fb[i].b.b_flags & B_ERROR) != 0 || fb[i].done != 1;
    return bad;
}

/* n reads that cannot be spanned, handed over one by one. */
static void submit(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fake_buf_init(&fb[i], true, 100 * (i % 128), area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
}

/* ------------------------------------------------------------------ busy, full, silent */

static const struct {
    enum fake_action action;
    uint32_t code;
    int error;
    uint64_t budget_ms, most_ms;
} upset[] = {
    {FAKE_STATUS, SC_BUSY_STATUS, EBUSY, 3000, 1000},
    {FAKE_STATUS, SC_QUEUE_FULL, EBUSY, 10000, 100},
    {FAKE_ADAPTER, SC_NO_DEVICE_RESPONSE, EIO, 3000, 1000},
    {FAKE_ERRNO, ENOMEM, ENOMEM, 3000, 1000},
};

/* Once, alone: a millisecond. */
START_TEST(test_once_costs_a_millisecond)
{
    struct file *fp = fake_open(NULL);
    uint64_t before = kern_now_ns();

    (void)fault(upset[_i].action, upset[_i].code, 1);
    submit(1);
    ck_assert_uint_eq(shim_det_timers(), 1);
    fake_settle(fb, 1);
    ck_assert_uint_eq(errors(1), 0);
    ck_assert_uint_eq(kern_now_ns() - before, MS);
    ck_assert_uint_eq(fake_stats().retries, 1);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

static struct fake_fault *busy_fault;

static void busy_over(struct trb *t)
{
    (void)t;
    busy_fault->count = 1;
}

/* For seconds: survived, and noticed soon enough; the delays double up to their most. */
START_TEST(test_NB_17_for_seconds)
{
    struct file *fp = fake_open(NULL);
    struct trb *t = talloc();
    uint64_t before = kern_now_ns(), took;

    busy_fault = fault(upset[_i].action, upset[_i].code, 0);
    t->func = busy_over;
    t->timeout_ns = 2500 * MS;
    ck_assert_int_eq(tstart(t), 0);
    submit(1);
    fake_settle(fb, 1);
    took = kern_now_ns() - before;
    ck_assert_uint_eq(errors(1), 0);
    ck_assert_uint_ge(took, 2500 * MS);
    ck_assert_uint_le(took, (2500 + upset[_i].most_ms) * MS);
    ck_assert_uint_le(fake_nrw(), 8 + 10 + 2500 / upset[_i].most_ms);
    ck_assert_uint_ge(fake_nrw(), 10);
    fake.nfaults = 0;
    fake_close(fp);
    tfree(t);
}
END_TEST

/* What one command has waited is not taken from the next one's time. */
START_TEST(test_each_command_has_its_time)
{
    struct file *fp = fake_open(NULL);
    struct trb *t = talloc();

    t->func = busy_over;
    for (unsigned i = 0; i < 2; i++) {
        fake.nfaults = 0;
        busy_fault = fault(upset[_i].action, upset[_i].code, 0);
        t->timeout_ns = (upset[_i].budget_ms * 3 / 4) * MS;
        ck_assert_int_eq(tstart(t), 0);
        submit(1);
        fake_settle(fb, 1);
        ck_assert_uint_eq(errors(1), 0);
    }
    fake.nfaults = 0;
    fake_close(fp);
    tfree(t);
}
END_TEST

/* For ever: an end, after the time it may wait in all and not much later. */
START_TEST(test_NB_17_for_ever)
{
    struct file *fp = fake_open(NULL);
    uint64_t before = kern_now_ns(), took;

    (void)fault(upset[_i].action, upset[_i].code, 0);
    submit(1);
    fake_settle(fb, 1);
    took = kern_now_ns() - before;
    ck_assert_int_eq(fb[0].b.b_error, upset[_i].error);
    ck_assert_uint_ge(took, (upset[_i].budget_ms - 200) * MS);
    ck_assert_uint_le(took, (upset[_i].budget_ms + upset[_i].most_ms) * MS);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* No timer is to be had: the time that would have been waited counts, and it ends. */
START_TEST(test_NB_02_for_ever_without_a_timer)
{
    struct file *fp = fake_open(NULL);

    (void)fault(upset[_i].action, upset[_i].code, 0);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    submit(1);
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_int_eq(fb[0].b.b_error, upset[_i].error);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Sixteen are at the device when the seventeenth is refused: it goes again when one of them completes. */
static struct sc_buf *slow[64];
static unsigned nslow, refuse_at;
static uint8_t refuse_with;

static bool slow_hook(struct sc_buf *sc)
{
    if (!(sc->bufstruct.b_flags & B_READ) || sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_READ_6)
        return false;
    if (refuse_at && --refuse_at == 0) {
        sc->bufstruct.b_flags |= B_ERROR;
        sc->bufstruct.b_error = EIO;
        sc->bufstruct.b_resid = sc->bufstruct.b_bcount;
        sc->status_validity = SC_SCSI_ERROR;
        sc->scsi_status = refuse_with;
        fake.active--;
        iodone(&sc->bufstruct);
        return true;
    }
    slow[nslow++] = sc;
    return true;
}

static void slow_end(int error)
{
    struct sc_buf *sc = slow[0];

    memmove(slow, slow + 1, --nslow * sizeof(slow[0]));
    if (error) {
        sc->bufstruct.b_flags |= B_ERROR;
        sc->bufstruct.b_error = error;
    }
    fake.active--;
    iodone(&sc->bufstruct);
}

START_TEST(test_NB_16_goes_again_at_the_next_completion)
{
    struct file *fp = fake_open(NULL);
    uint64_t before = kern_now_ns();
    struct sc_disk_info info;

    nslow = 0;
    refuse_at = 17;
    refuse_with = _i ? SC_QUEUE_FULL : SC_BUSY_STATUS;
    fake.hook = slow_hook;
    submit(20);
    ck_assert_uint_eq(nslow, 16); /* three more wait in the driver */
    ck_assert_uint_eq(shim_det_timers(), 0);
    slow_end(0);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.queue_depth, _i ? 16 : 64);
    ck_assert_uint_eq(nslow, _i ? 16 : 19); /* the refused one first, and the others as the depth allows */
    ck_assert_int_eq(slow[15]->bufstruct.b_blkno, 100 * 16);
    while (nslow)
        slow_end(0);
    fake.hook = NULL;
    ck_assert_uint_eq(errors(20), 0);
    ck_assert_uint_eq(kern_now_ns(), before);
    fake_close(fp);
}
END_TEST

/* What is out is thrown back and not completed: that makes no room; when the last is back, the timer. */
START_TEST(test_thrown_back_is_no_completion)
{
    struct file *fp = fake_open(NULL);

    nslow = 0;
    refuse_at = 5;
    refuse_with = SC_BUSY_STATUS;
    fake.hook = slow_hook;
    submit(6);
    while (nslow) {
        ck_assert_uint_eq(shim_det_timers(), 0);
        slow_end(ENXIO);
    }
    ck_assert_uint_eq(shim_det_timers(), 1);
    fake.hook = NULL;
    fake_settle(fb, 6);
    ck_assert_uint_eq(errors(6), 0);
    for (unsigned i = 1; i < 6; i++)
        ck_assert_uint_gt(fb[i].order, fb[i - 1].order);
    fake_close(fp);
}
END_TEST

/* A command that is out fails with its queue kept while we wait for a completion: it is looked at at once. */
START_TEST(test_kept_queue_while_waiting)
{
    struct file *fp = fake_open(NULL);

    nslow = 0;
    refuse_at = 3;
    refuse_with = SC_BUSY_STATUS;
    fake.hook = slow_hook;
    submit(3);
    slow[0]->status_validity = SC_SCSI_ERROR;
    slow[0]->scsi_status = SC_CHECK_CONDITION;
    slow[0]->adap_q_status = SC_DID_NOT_CLEAR_Q;
    fake_forget();
    slow_end(EIO);
    fake.hook = NULL;
    ck_assert_uint_eq(fake.log[0].cdb[0], SCSI_REQUEST_SENSE);
    ck_assert_uint_eq(fake.log[1].flags & SC_Q_RESUME, SC_Q_RESUME);
    slow_end(0);
    fake_settle(fb, 3);
    ck_assert_uint_eq(errors(3), 0);
    fake_close(fp);
}
END_TEST

/*
 * Five faults a second on 32 reads at a time, each of which takes 1 ms at the device: the virtual clock tells
 * how many there would be in ten seconds.
 */
static unsigned long rate_done;
static bool rate_on;

static void rate_again(struct fake_buf *b)
{
    rate_done++;
    if (!rate_on)
        return;
    b->b.av_forw = NULL;
    (void)devstrat(&b->b);
}

static void rate_device(struct trb *t)
{
    for (unsigned n = nslow; n > 0; n--)
        slow_end(0);
    if (rate_on)
        (void)tstart(t);
}

static void rate_refuse(struct trb *t)
{
    refuse_at = 1;
    if (rate_on)
        (void)tstart(t);
}

START_TEST(test_five_faults_a_second)
{
    static const uint8_t with[] = {0, SC_BUSY_STATUS, SC_QUEUE_FULL};
    static unsigned long undisturbed;
    struct trb *device = talloc(), *refuse = talloc();
    unsigned long count[3];

    for (unsigned kind = 0; kind < 3; kind++) {
        struct file *fp = fake_open(NULL);
        uint64_t end = kern_now_ns() + 10000 * MS;

        nslow = refuse_at = 0;
        rate_done = 0;
        rate_on = true;
        refuse_with = with[kind];
        fake.hook = slow_hook;
        device->func = rate_device;
        device->timeout_ns = MS;
        refuse->func = rate_refuse;
        refuse->timeout_ns = 200 * MS;
        for (unsigned i = 0; i < 32; i++) {
            fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
            fb[i].then = rate_again;
            fake_submit(&fb[i], 1);
        }
        ck_assert_int_eq(tstart(device), 0);
        if (kind)
            ck_assert_int_eq(tstart(refuse), 0);
        while (kern_now_ns() < end)
            ck_assert(shim_det_step());
        count[kind] = rate_done;
        rate_on = false;
        while (shim_det_step())
            ;
        for (unsigned i = 0; i < 32; i++)
            ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
        if (kind)
            ck_assert_uint_ge(fake_stats().retries, 45);
        fake.hook = NULL;
        fake_close(fp);
        ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    }
    undisturbed = count[0];
    ck_assert_uint_ge(undisturbed, 300000);
    ck_assert_uint_ge(count[1] * 2, undisturbed);
    ck_assert_uint_ge(count[2] * 2, undisturbed);
    tfree(device);
    tfree(refuse);
}
END_TEST

/* ------------------------------------------------------------------ resets */

/* After a reset the first command goes at once; only if nobody answers the adapter is asked to wait. */
START_TEST(test_delay_only_when_nobody_answers)
{
    const struct scdisk_dds dds = {.no_reserve = 1};
    struct file *fp = fake_open(&dds);
    struct sc_event_info info = {.events = SC_SCSI_RESET_EVENT};
    unsigned n;

    if (_i & 2) { /* the adapter's event says it */
        info.async_correlator = fake.event.async_correlator;
        fake.event.async_func(&info);
    } else {
        (void)fault(FAKE_ADAPTER, SC_SCSI_BUS_RESET, 1);
    }
    if (_i & 1)
        (void)fault(FAKE_ADAPTER, SC_NO_DEVICE_RESPONSE, 1);
    submit(1);
    fake_settle(fb, 1);
    ck_assert_uint_eq(errors(1), 0);
    n = fake_nrw();
    ck_assert_uint_eq(n, 1u + !(_i & 2) + (_i & 1));
    for (unsigned i = 0; i < n; i++)
        ck_assert_uint_eq(fake_rw(i)->flags & SC_DELAY_CMD, (_i & 1) && i == n - 1 ? SC_DELAY_CMD : 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* Without a reset, or long after one, nobody is asked. */
START_TEST(test_no_delay_without_reset)
{
    const struct scdisk_dds dds = {.no_reserve = 1};
    struct file *fp = fake_open(&dds);
    struct trb *t = talloc();

    if (_i) {
        struct sc_event_info info = {.events = SC_SCSI_RESET_EVENT,
                                     .async_correlator = fake.event.async_correlator};

        fake.event.async_func(&info);
        t->func = busy_over;
        busy_fault = &fake.faults[15];
        t->timeout_ns = 11000 * MS;
        ck_assert_int_eq(tstart(t), 0);
        ck_assert(shim_det_step());
    }
    (void)fault(FAKE_ADAPTER, SC_NO_DEVICE_RESPONSE, 2);
    submit(1);
    fake_settle(fb, 1);
    for (unsigned i = 0; i < fake_nrw(); i++)
        ck_assert_uint_eq(fake_rw(i)->flags & SC_DELAY_CMD, 0);
    tfree(t);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* SC_ASYNC on the last retry and only there, also of a command the driver sends for somebody. */
START_TEST(test_AIX_28_async_on_the_last_retry)
{
    struct file *fp = fake_open(NULL);

    fake_fault(SCSI_SYNC_CACHE_10, 0, 0, FAKE_ADAPTER)->code = _i ? SC_HOST_IO_BUS_ERR : SC_SCSI_BUS_FAULT;
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), EIO);
    ck_assert_uint_eq(fake.nlog, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(fake.log[i].scsi_flags, i == 3 && !_i ? SC_ASYNC : 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ the first command after a halt */

static struct fake_buf *hold_late;

static bool hold_hook(struct sc_buf *sc)
{
    (void)sc;
    if (hold_late) { /* while the command with SC_RESUME is on its way another one is submitted */
        struct fake_buf *late = hold_late;
        struct dd_unit *un = dd_unit_of(FAKE_DEV);

        hold_late = NULL;
        ck_assert_uint_eq(sc->flags & SC_RESUME, SC_RESUME);
        ck_assert_uint_eq(un->un_hold & DD_HOLD_RESUME, DD_HOLD_RESUME);
        ck_assert_uint_eq(un->un_active, 1);
        ck_assert_uint_eq(fake.nlog, 0);
        fake_submit(late, 1);
        fake_forget(); /* the hook sees a command before it is recorded */
    }
    return false;
}

/* As after SCIOHALT of another file's. */
static void need_resume(void)
{
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    int old = disable_lock(INTIODONE, &un->un_lock);

    un->un_need_resume = true;
    dd_lane_close_locked(un);
    unlock_enable(old, &un->un_lock);
}

/* Nothing overtakes the command that carries SC_RESUME: a buf's (0), one that somebody waits for (1). */
START_TEST(test_AIX_21_resume_goes_first)
{
    struct file *fp = fake_open(NULL);

    fake.halted = true;
    need_resume();
    fake_buf_init(&fb[1], true, 200, area, 512);
    fake_buf_init(&fb[0], true, 100, area + 4096, 512);
    hold_late = &fb[1];
    fake.hook = hold_hook;
    if (_i)
        ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    else
        fake_submit(&fb[0], 1);
    fake.hook = NULL;
    fake_settle(fb, _i ? 0 : 1);
    while (!fb[1].done)
        ck_assert(shim_det_step());
    ck_assert_uint_eq(fake.log[0].flags & SC_RESUME, SC_RESUME);
    ck_assert_uint_eq(fake.log[1].flags & SC_RESUME, 0);
    ck_assert_uint_eq(fake.enxio, 0);
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_hold, 0);
    fake_close(fp);
}
END_TEST

/* After it has gone the others are looked at again, although nothing completes meanwhile. */
START_TEST(test_second_look_after_resume)
{
    struct file *fp = fake_open(NULL);

    fake.held = true;
    dd_unit_of(FAKE_DEV)->un_need_resume = true;
    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
    fake_submit(fb, 4);
    ck_assert_uint_eq(fake_nheld(), 4);
    fake_complete_all();
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ refusals */

static bool few_segments(struct sc_buf *sc)
{
    unsigned n = 0;

    for (struct buf *bp = sc->bp; bp; bp = bp->av_forw)
        n++;
    if (n <= 16)
        return false;
    sc->bufstruct.b_flags |= B_ERROR;
    sc->bufstruct.b_error = EINVAL;
    sc->bufstruct.b_resid = sc->bufstruct.b_bcount;
    fake.active--;
    iodone(&sc->bufstruct);
    return true;
}

/* An adapter with fewer segments than we have bufs: a refused span goes buf by buf, nobody fails. */
START_TEST(test_refused_span_goes_one_by_one)
{
    struct file *fp = fake_open(NULL);

    fake.hook = few_segments;
    for (unsigned i = 0; i < 32; i++)
        fake_buf_init(&fb[i], false, 8 * i, area + 4096 * i, 4096);
    memset(area, 0x2d, 32 * 4096);
    fake_submit(fb, 32);
    fake_settle(fb, 32);
    ck_assert_uint_eq(errors(32), 0);
    ck_assert_int_eq(memcmp(fake.mem, area, 32 * 4096), 0);
    ck_assert_uint_eq(fake_nrw(), 32);
    fake.hook = NULL;
    fake_close(fp);
}
END_TEST

/* One buf that is refused has nobody else to blame. */
START_TEST(test_refused_single_fails)
{
    struct file *fp = fake_open(NULL);

    (void)fault(FAKE_ERRNO, _i ? EFAULT : EINVAL, 1);
    submit(1);
    ck_assert_int_eq(fb[0].b.b_error, _i ? EFAULT : EINVAL);
    ck_assert_uint_eq(fb[0].b.b_resid, 4096);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ shortage */

/* No memory, no timer, nothing out: an error is better than for ever. */
START_TEST(test_nobody_will_come_by)
{
    const struct scdisk_dds dds = {.queue_depth = 4, .pool = 1};
    struct file *fp = fake_open(&dds);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    struct dd_cmd *taken = un->un_free;

    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    un->un_free = NULL;
    submit(2);
    un->un_free = taken;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(fb[i].b.b_error, ENOMEM);
    ck_assert_uint_eq(fake_stats().completed, 2);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    submit(1);
    ck_assert_uint_eq(errors(1), 0);
    fake_close(fp);
}
END_TEST

/* Something is out: it comes back, and no error is needed. */
START_TEST(test_somebody_will_come_by)
{
    const struct scdisk_dds dds = {.queue_depth = 4, .pool = 1};
    struct file *fp = fake_open(&dds);

    fake.held = true;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    submit(3);
    ck_assert_uint_eq(fake_nheld(), 1);
    fake_complete_all();
    ck_assert_uint_eq(errors(3), 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* More failures do not put the restart off: it fires dd_restart_ms after the first. */
START_TEST(test_NB_02_failures_do_not_move_the_timer)
{
    const struct scdisk_dds dds = {.queue_depth = 4, .pool = 1};
    struct file *fp = fake_open(&dds);
    struct trb *t = talloc();
    uint64_t before = kern_now_ns();

    fake.held = true;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    submit(2);
    t->func = busy_over;
    busy_fault = &fake.faults[15];
    t->timeout_ns = 300 * MS;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert(shim_det_step());
    fake_buf_init(&fb[2], true, 500, area, 4096);
    fake_submit(&fb[2], 1);
    ck_assert(shim_det_step());
    ck_assert_uint_eq(kern_now_ns() - before, 500 * MS);
    ck_assert_uint_eq(fake_stats().restarts, 1);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake_complete_all();
    ck_assert_uint_eq(errors(3), 0);
    fake.held = false;
    tfree(t);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ turns and depth */

static unsigned turn_flushes, turn_reads;

static bool turn_hook(struct sc_buf *sc)
{
    uint8_t op = sc->scsi_command.scsi_cmd.scsi_op_code;

    turn_flushes += op == SCSI_SYNC_CACHE_10;
    turn_reads += op == SCSI_READ_6;
    /* The reader has always another one. */
    if (op == SCSI_SYNC_CACHE_10 && turn_flushes < 20)
        ck_assert_uint_ge(turn_reads + 2, turn_flushes);
    return false;
}

static void turn_complete(struct trb *t)
{
    (void)fake_complete_one();
    if (fake_nheld() || dd_unit_of(FAKE_DEV)->un_pending.ch_head)
        (void)tstart(t);
}

/* Depth 1, reads waiting: each flush is followed by a read, however many flushes there are. */
START_TEST(test_reads_and_flushes_take_turns)
{
    const struct scdisk_dds dds = {.no_tags = 1, .queue_depth = 1};
    struct file *fp = fake_open(&dds);
    struct trb *t = talloc();

    turn_flushes = turn_reads = 0;
    fake.held = true;
    fake.hook = turn_hook;
    t->func = turn_complete;
    t->timeout_ns = MS;
    submit(20);
    ck_assert_int_eq(tstart(t), 0);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
        /* Between two flushes exactly one read has gone. */
        ck_assert_uint_eq(turn_reads, i + 2u);
    }
    ck_assert_uint_eq(fake.active_max, 1); /* AIX-24: never two, ioctls included */
    fake.hook = NULL;
    fake_settle(fb, 20);
    ck_assert_uint_eq(errors(20), 0);
    fake.held = false;
    tfree(t);
    fake_close(fp);
}
END_TEST

/* Others wait for a slot all the time (un_sync_waiting stands for them): after a flush a read goes. */
START_TEST(test_a_flush_lets_a_read_go)
{
    const struct scdisk_dds dds = {.no_tags = 1, .queue_depth = 1};
    struct file *fp = fake_open(&dds);
    struct dd_unit *un = dd_unit_of(FAKE_DEV);

    fake.held = true;
    submit(3);
    un->un_sync_waiting++;
    un->un_turn_rw = false;
    ck_assert(fake_complete_one());
    ck_assert_uint_eq(fake_nheld(), 0); /* it is the others' turn */
    ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), 0);
    ck_assert_uint_eq(fake_nheld(), 1);
    ck_assert(fake_complete_one());
    ck_assert_uint_eq(fake_nheld(), 0);
    un->un_sync_waiting--;
    dd_kick(un);
    fake_complete_all();
    ck_assert_uint_eq(errors(3), 0);
    fake.held = false;
    fake_close(fp);
}
END_TEST

/* A pass-through command waits for room as well: with two reads out at depth 2 it is the third. */
START_TEST(test_AIX_24_ioctls_count_against_the_depth)
{
    const struct scdisk_dds dds = {.queue_depth = 2};
    struct file *fp = fake_open(&dds);
    static struct sc_passthru pt;
    struct trb *t = talloc();

    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    fake.held = true;
    fake_forget();
    submit(4);
    t->func = turn_complete;
    t->timeout_ns = MS;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(fp_ioctl(fp, _i ? DKFLUSH : DK_PASSTHRU, (intptr_t)&pt, 0), 0);
    ck_assert_uint_eq(fake.active_max, 2);
    fake_settle(fb, 4);
    fake.held = false;
    tfree(t);
    fake_close(fp);
}
END_TEST

/* A buf goes back to its owner unlinked, whichever way: done, failed, refused, split. */
START_TEST(test_av_forw_is_null_when_done)
{
    struct file *fp = fake_open(NULL);

    if (_i == 1) {
        struct fake_fault *f = fake_fault(FAKE_RW, 20, 20, FAKE_CHECK);

        f->key = SCSI_KEY_MEDIUM;
    } else if (_i == 2) {
        fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_PROTECT;
    } else if (_i == 3) {
        (void)fault(FAKE_ERRNO, EINVAL, 0);
    }
    for (unsigned i = 0; i < 8; i++)
        fake_buf_init(&fb[i], false, _i == 4 ? 30000 : 8 * i, area + 4096 * i, 4096);
    fake_submit(fb, 8);
    fake_settle(fb, 8);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_ptr_null(fb[i].b.av_forw);
        ck_assert_uint_eq(fb[i].b.b_work, 0);
        ck_assert_uint_eq(fb[i].done, 1);
    }
    ck_assert_uint_eq(errors(8) > 0, _i > 0);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_flow");
    TCase *t = tcase_create("upset");
    int kinds = (int)SC_ARRAY_SIZE(upset);

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_once_costs_a_millisecond, 0, kinds);
    tcase_add_loop_test(t, test_NB_17_for_seconds, 0, kinds);
    tcase_add_loop_test(t, test_each_command_has_its_time, 0, kinds);
    tcase_add_loop_test(t, test_NB_17_for_ever, 0, kinds);
    tcase_add_loop_test(t, test_NB_02_for_ever_without_a_timer, 0, kinds);
    tcase_add_loop_test(t, test_NB_16_goes_again_at_the_next_completion, 0, 2);
    tcase_add_test(t, test_thrown_back_is_no_completion);
    tcase_add_test(t, test_kept_queue_while_waiting);
    tcase_add_test(t, test_five_faults_a_second);
    suite_add_tcase(s, t);
    t = tcase_create("reset");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_delay_only_when_nobody_answers, 0, 4);
    tcase_add_loop_test(t, test_no_delay_without_reset, 0, 2);
    tcase_add_loop_test(t, test_AIX_28_async_on_the_last_retry, 0, 2);
    tcase_add_loop_test(t, test_AIX_21_resume_goes_first, 0, 2);
    tcase_add_test(t, test_second_look_after_resume);
    suite_add_tcase(s, t);
    t = tcase_create("start");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_refused_span_goes_one_by_one);
    tcase_add_loop_test(t, test_refused_single_fails, 0, 2);
    tcase_add_test(t, test_nobody_will_come_by);
    tcase_add_test(t, test_somebody_will_come_by);
    tcase_add_test(t, test_NB_02_failures_do_not_move_the_timer);
    tcase_add_test(t, test_reads_and_flushes_take_turns);
    tcase_add_test(t, test_a_flush_lets_a_read_go);
    tcase_add_loop_test(t, test_AIX_24_ioctls_count_against_the_depth, 0, 2);
    tcase_add_loop_test(t, test_av_forw_is_null_when_done, 0, 5);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
