/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_gone_test.c - CFG_GONE: a disk is taken out while it is closed, open, busy, or being recovered.
 */
#include "fake_ad.h"

#include <pthread.h>

#define BUFS   6u
#define BYTES  4096u
#define LATE_S UINT64_C(1000000000)

static struct fake_buf bufs[BUFS];
static uint8_t memory[BUFS][BYTES] __attribute__((aligned(4096)));

static int gone(void) { return scdisk_config(FAKE_DEV, CFG_GONE, NULL); }

static void send(unsigned from, unsigned n, bool read)
{
    for (unsigned i = from; i < from + n; i++)
        fake_buf_init(&bufs[i], read, (uint64_t)i * 64, memory[i], BYTES);
    fake_submit(&bufs[from], n);
}

static void expect(unsigned from, unsigned n, int error)
{
    for (unsigned i = from; i < from + n; i++) {
        ck_assert_uint_eq(bufs[i].done, 1);
        ck_assert_int_eq((bufs[i].b.b_flags & B_ERROR) != 0, error != 0);
        ck_assert_int_eq(bufs[i].b.b_error, error);
        ck_assert_uint_eq(bufs[i].b.b_resid, error ? BYTES : 0);
    }
}

/* Nothing is in the driver, and nothing works any more. */
static void expect_dead(struct file *fp)
{
    struct sc_disk_stats st = fake_stats();
    struct sc_disk_info info;
    struct file *other;
    const unsigned sent = fake.nlog;

    ck_assert_uint_eq(st.pending + st.in_process + st.recovering, 0);
    ck_assert_uint_eq(st.completed, st.bufs);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &other), ENXIO);
    send(0, 1, true);
    expect(0, 1, ENXIO);
    fake_buf_init(&bufs[0], true, 1, memory[0], 7); /* nobody looks at what is wrong with it */
    fake_submit(bufs, 1);
    ck_assert_int_eq(bufs[0].b.b_error, ENXIO);
    if (fp) {
        ck_assert_int_eq(fake_rdwr(fp, true, memory[0], BYTES, 0, 0, NULL), ENXIO);
        ck_assert_int_eq(fake_rdwr(fp, false, memory[0], BYTES, 0, 0, NULL), ENXIO);
        ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), ENXIO);
        ck_assert_int_eq(fp_ioctl(fp, DKFLUSH, 0, 0), ENXIO);
        ck_assert_int_eq(fp_ioctl(fp, 12345, 0, 0), ENXIO);
    }
    ck_assert_uint_eq(fake.nlog, sent);
    ck_assert_ptr_null(fake.held_head);
    dd_mode_set(dd_unit_of(FAKE_DEV), DD_MODE_NORMAL); /* an open or format that ends now */
    ck_assert_int_eq(dd_unit_of(FAKE_DEV)->un_mode, DD_MODE_INVALID);
}

/* ------------------------------------------------------------------ quiet */

START_TEST(test_CAM_16_CAM_17_everything_answers_enxio)
{
    const struct err_rec none = {0};
    struct err_rec log[4] = {none};
    struct file *fp;
    unsigned n = 0;

    fake_begin(20480, 512);
    ck_assert_int_eq(gone(), ENXIO); /* not configured */
    fp = fake_open(NULL);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(gone(), 0);
        expect_dead(fp);
    }
    /* The hook has run once; nothing was sent, nothing had to be fetched. */
    for (unsigned i = 0, got = errlog_read(0, log, 4); i < got && i < 4; i++)
        n += strstr(log[i].er_text, "disk removed") ? (unsigned)log[i].er_count : 0;
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(fake.nlog + fake.halts, 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.stops, 1);
    expect_dead(NULL);
    ck_assert_int_eq(gone(), 0);
    fake_end();
}
END_TEST

/* A disk nobody has open. */
START_TEST(test_CAM_14_closed_and_back_again)
{
    struct file *fp;

    fake_begin(20480, 512);
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(gone(), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp), ENXIO);
    ck_assert_int_eq(fake_config(NULL), EEXIST);
    ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    ck_assert_int_eq(gone(), ENXIO);
    fp = fake_open(NULL); /* another disk, as good as any */
    send(0, BUFS, false);
    expect(0, BUFS, 0);
    fake_close(fp);
    fake_end();
}
END_TEST

/* With 0 ... 8 openings: each close is honoured once, and only after the last the minor can be had again. */
START_TEST(test_CAM_10_CAM_11_CAM_13_openings_are_given_back)
{
    struct file *fp[8];

    fake_begin(20480, 512);
    for (unsigned n = 0; n <= 8; n++) {
        ck_assert_int_eq(fake_config(NULL), 0);
        for (unsigned i = 0; i < n; i++)
            ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp[i]), 0);
        ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_opens, n);
        ck_assert_int_eq(gone(), 0);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), EBUSY);
            ck_assert_int_eq(fake_config(NULL), EEXIST);
            ck_assert_uint_eq(fake.closes, fake.opens - 1);
            ck_assert_int_eq(fp_close(fp[i]), 0);
        }
        ck_assert_uint_eq(fake.closes, fake.opens); /* the path is down with the last */
        ck_assert_uint_eq(fake.stops, fake.starts);
        ck_assert_ptr_nonnull(dd_unit_of(FAKE_DEV)); /* but a close destroys nothing */
        ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_opens, 0);
        ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
    }
    fake_end();
}
END_TEST

/* What was written and is still in the cache of a disk that is not there: the last close says so, once. */
START_TEST(test_the_last_close_tells_of_a_lost_cache)
{
    struct file *fp[2];

    fake_begin(20480, 512);
    fp[0] = fake_open(NULL);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp[1]), 0);
    send(0, 1, false);
    expect(0, 1, 0);
    ck_assert_int_eq(gone(), 0);
    fake_forget();
    ck_assert_int_eq(fp_close(fp[0]), 0);
    ck_assert_int_eq(fp_close(fp[1]), ENXIO);
    ck_assert_uint_eq(fake.nlog, 0);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ under load */

/* Two at the adapter, four behind them. */
START_TEST(test_NB_21_what_waits_and_what_is_out)
{
    const struct scdisk_dds dds = {.queue_depth = 2, .max_coalesce = BYTES};
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(&dds);
    fake.held = true;
    send(0, BUFS, true);
    ck_assert_uint_eq(fake_nheld(), 2);
    ck_assert_int_eq(gone(), 0);
    expect(0, BUFS, ENXIO);
    ck_assert_uint_eq(fake.halts, 1);
    expect_dead(fp);
    fake_close(fp);
    fake_end();
}
END_TEST

/* What ends well while it is being fetched back has ended well. */
START_TEST(test_what_has_ended_well_ends_well)
{
    const struct scdisk_dds dds = {.queue_depth = 3, .max_coalesce = BYTES};
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(&dds);
    fake.held = true;
    memset(fake.mem, 0x5a, fake.mem_bytes);
    fake.halt_good = 1;
    send(0, BUFS, true);
    ck_assert_int_eq(gone(), 0);
    expect(0, 1, 0);
    ck_assert_uint_eq(memory[0][BYTES - 1], 0x5a);
    expect(1, BUFS - 1, ENXIO);
    expect_dead(fp);
    fake_close(fp);
    fake_end();
}
END_TEST

/* A large buf of which two pieces are out. */
START_TEST(test_a_buf_in_pieces)
{
    const struct scdisk_dds dds = {.queue_depth = 2};
    static uint8_t large[8 * BYTES] __attribute__((aligned(4096)));
    struct file *fp;

    fake_begin(20480, 512);
    ck_assert_int_eq(fake_config(&dds), 0);
    fake.max_transfer = 2 * BYTES;
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    fake_forget();
    fake.held = true;
    fake.halt_good = 1; /* the first piece */
    fake_buf_init(&bufs[0], true, 0, large, sizeof(large));
    fake_submit(bufs, 1);
    ck_assert_uint_eq(fake_nheld(), 2);
    ck_assert_int_eq(gone(), 0);
    ck_assert_uint_eq(bufs[0].done, 1);
    ck_assert_int_eq(bufs[0].b.b_error, ENXIO);
    ck_assert_uint_eq(bufs[0].b.b_resid, sizeof(large) - 2 * BYTES);
    expect_dead(fp);
    fake_close(fp);
    fake_end();
}
END_TEST

/* Who resubmits from iodone is told each time, and it ends. */
static unsigned again;

static void resubmit(struct fake_buf *fb)
{
    ck_assert_int_eq(fb->b.b_error, ENXIO);
    if (again++ < 100) {
        fake_buf_init(fb, true, 0, memory[0], BYTES);
        fb->then = resubmit;
        fake_submit(fb, 1);
    }
}

START_TEST(test_resubmitting_from_iodone)
{
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(NULL);
    fake.held = true;
    again = 0;
    fake_buf_init(&bufs[0], true, 0, memory[0], BYTES);
    bufs[0].then = resubmit;
    fake_submit(bufs, 1);
    ck_assert_int_eq(gone(), 0);
    ck_assert_uint_eq(again, 101);
    expect_dead(fp);
    fake_close(fp);
    fake_end();
}
END_TEST

/* The adapter cannot bring a command back at once; it comes later, with an error nobody asks about. */
static void late(struct trb *t)
{
    (void)t;
    fake.halt_error = 0;
    fake_complete_all();
}

START_TEST(test_CAM_18_a_late_error_begins_nothing)
{
    struct file *fp;
    struct trb *t;

    fake_begin(20480, 512);
    t = talloc();
    fp = fake_open(NULL);
    fake.held = true;
    send(0, 1, false);
    fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK)->key = SCSI_KEY_ATTENTION;
    fake.halt_error = ETIMEDOUT;
    t->func = late;
    t->timeout_ns = LATE_S;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(gone(), ETIMEDOUT);
    ck_assert_uint_eq(bufs[0].done, 0);
    fake_forget();
    ck_assert_int_eq(fp_close(fp), 0); /* waits for it: it is the driver's until then */
    expect(0, 1, ENXIO);
    ck_assert_uint_eq(fake.nlog, 0); /* no REQUEST SENSE */
    tfree(t);
    fake_end();
}
END_TEST

/* A thread had taken a command before the moment, and hands it over after the first SCIOHALT. */
static struct sc_buf *on_its_way;

static bool take_it(struct sc_buf *sc)
{
    on_its_way = sc;
    fake.hook = NULL;
    return true;
}

static void hand_over(struct trb *t)
{
    (void)t;
    ck_assert_uint_ge(fake.halts, 1);
    fake.held_head = fake.held_tail = on_its_way; /* with SC_RESUME it would have been taken */
}

START_TEST(test_what_comes_after_the_first_halt)
{
    struct file *fp;
    struct trb *t;

    fake_begin(20480, 512);
    t = talloc();
    fp = fake_open(NULL);
    fake.hook = take_it;
    send(0, 1, false);
    t->func = hand_over;
    t->timeout_ns = 1000000;
    ck_assert_int_eq(tstart(t), 0);
    ck_assert_int_eq(gone(), 0);
    expect(0, 1, ENXIO);
    ck_assert_uint_eq(fake.halts, 2);
    fake_close(fp);
    tfree(t);
    fake_end();
}
END_TEST

static bool gone_beside(struct sc_buf *sc)
{
    const uint64_t mine = shim_self()->self_id;

    (void)sc;
    fake.hook = NULL;
    fake.halt_error = ETIMEDOUT; /* or it would be waited for, by us */
    shim_self()->self_id = mine + 1;
    ck_assert_int_eq(gone(), ETIMEDOUT);
    shim_self()->self_id = mine;
    return false;
}

/* A request in the lane, past all queues: it is fetched back like any other. */
START_TEST(test_NB_21_what_is_in_the_lane)
{
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(NULL);
    ck_assert(dd_unit_of(FAKE_DEV)->un_lane);
    fake.hook = gone_beside;
    send(0, 1, true);
    ck_assert_uint_eq(bufs[0].done, 1);
    ck_assert_uint_eq(fake.halts, 1);
    fake.halt_error = 0;
    fake_close(fp);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ while it recovers */

static uint8_t keep_op;
static struct sc_buf *kept_sc;

static bool keep_one(struct sc_buf *sc)
{
    if (sc->scsi_command.scsi_cmd.scsi_op_code != keep_op || kept_sc)
        return false;
    kept_sc = sc;
    return true;
}

static void give_kept_back(void)
{
    if (!kept_sc)
        return;
    kept_sc->bufstruct.b_flags |= B_ERROR;
    kept_sc->bufstruct.b_error = ENXIO;
    kept_sc->bufstruct.b_resid = kept_sc->bufstruct.b_bcount;
    fake.active--;
    iodone(&kept_sc->bufstruct);
    kept_sc = NULL;
}

/* An attention on the first of three; recovery's command `op` stays at the adapter. */
static void recover_and_go(uint8_t op, enum dd_rec_state state)
{
    const struct scdisk_dds dds = {.queue_depth = 2, .max_coalesce = BYTES};
    struct fake_fault *f;
    struct dd_unit *un;
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(&dds);
    un = dd_unit_of(FAKE_DEV);
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_CHECK);
    f->key = SCSI_KEY_ATTENTION;
    f->asc = 0x29;
    f->no_info = true;
    f->count = 1;
    keep_op = op;
    kept_sc = NULL;
    fake.hook = keep_one;
    fake.at_halt = give_kept_back;
    send(0, 3, false);
    ck_assert_ptr_nonnull(kept_sc);
    ck_assert_int_eq(un->un_rec.rec_state, state);
    fake_forget();
    ck_assert_int_eq(gone(), 0);
    ck_assert_uint_eq(fake.nlog, 0);
    expect(0, 3, ENXIO);
    fake.hook = NULL;
    expect_dead(fp);
    ck_assert_int_eq(un->un_rec.rec_state, DD_REC_NONE);
    (void)fp_close(fp);
    fake_end();
}

START_TEST(test_CAM_18_while_sense_is_fetched) { recover_and_go(SCSI_REQUEST_SENSE, DD_REC_SENSE); }
END_TEST
START_TEST(test_CAM_18_while_it_reserves_again) { recover_and_go(SCSI_RESERVE_6, DD_REC_RESERVE); }
END_TEST

/* It waits for a timer, which then has nothing to do. */
static void wait_and_go(const struct fake_fault *like, enum dd_rec_state state)
{
    event_t never = EVENT_NULL;
    struct dd_unit *un;
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(NULL);
    un = dd_unit_of(FAKE_DEV);
    *fake_fault(FAKE_RW, 0, UINT64_MAX, like->action) = *like;
    send(0, 3, false);
    for (unsigned i = 0; i < 100 && un->un_rec.rec_state != state; i++)
        (void)e_timedsleep(&never, NULL, 1000);
    ck_assert_int_eq(un->un_rec.rec_state, state);
    fake_forget();
    ck_assert_int_eq(gone(), 0);
    expect(0, 3, ENXIO);
    ck_assert_int_eq(un->un_rec.rec_state, DD_REC_NONE);
    (void)e_timedsleep(&never, NULL, 100 * LATE_S);
    ck_assert_uint_eq(fake.nlog, 0);
    expect_dead(fp);
    fake_close(fp);
    fake_end();
}

START_TEST(test_CAM_18_while_a_busy_disk_is_waited_for)
{
    const struct fake_fault busy = {
        .opcode = FAKE_RW, .last = UINT64_MAX, .action = FAKE_STATUS, .code = SC_BUSY_STATUS};

    wait_and_go(&busy, DD_REC_WAIT);
}
END_TEST

START_TEST(test_CAM_18_while_a_disk_becomes_ready)
{
    const struct fake_fault becoming = {.opcode = FAKE_RW,
                                        .last = UINT64_MAX,
                                        .action = FAKE_CHECK,
                                        .key = SCSI_KEY_NOT_READY,
                                        .asc = 0x04,
                                        .ascq = 0x01,
                                        .no_info = true};

    wait_and_go(&becoming, DD_REC_DELAY);
}
END_TEST

/* NB-18: the device does not answer selection. Retried as long as there is a disk; not once there is none. */
START_TEST(test_NB_18_no_retry_of_a_disk_that_has_gone)
{
    struct fake_fault *f;
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(NULL);
    f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_ADAPTER);
    f->code = SC_SCSI_BUS_FAULT;
    f->count = 1;
    send(0, 1, false);
    expect(0, 1, 0);
    ck_assert_uint_eq(fake_nrw(), 2);
    fake_forget();
    f->hits = 0;
    fake.held = true;
    send(0, 1, false);
    fake.halt_good = 1; /* it ends with its error while it is fetched back */
    ck_assert_int_eq(gone(), 0);
    expect(0, 1, ENXIO);
    ck_assert_uint_eq(fake_nrw(), 1);
    expect_dead(fp);
    (void)fp_close(fp);
    fake_end();
}
END_TEST

/* A bus reset, told afterwards, is nothing to put right. */
START_TEST(test_CAM_18_an_event_leaves_nothing_due)
{
    struct file *fp;

    fake_begin(20480, 512);
    fp = fake_open(NULL);
    ck_assert_uint_eq(fake.reserves, 1);
    fake_reset_event();
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_todo, DD_TODO_RESERVE);
    ck_assert_int_eq(gone(), 0);
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_todo, 0);
    fake_reset_event();
    ck_assert_uint_eq(dd_unit_of(FAKE_DEV)->un_todo, 0);
    expect_dead(fp);
    fake_close(fp);
    ck_assert_uint_eq(fake.reserves, 1);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ with threads */

static void *flusher(void *arg) { return (void *)(uintptr_t)fp_ioctl(arg, DKFLUSH, 0, 0); }

/* Somebody sleeps for a slot. */
START_TEST(test_who_sleeps_for_a_slot)
{
    const struct scdisk_dds dds = {.queue_depth = 1};
    struct dd_unit *un;
    struct file *fp;
    pthread_t th[2];
    bool asleep = false;
    void *rc;

    fake_begin_posix(20480, 512);
    fp = fake_open(&dds);
    un = dd_unit_of(FAKE_DEV);
    fake.held = true;
    send(0, 1, true);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&th[i], NULL, flusher, fp), 0);
    while (!asleep) {
        int old = disable_lock(INTIODONE, &un->un_lock);

        asleep = un->un_sleepers == 2;
        unlock_enable(old, &un->un_lock);
        shim_delay_ns(1000000);
    }
    ck_assert_int_eq(gone(), 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(th[i], &rc), 0);
        ck_assert_int_eq((int)(uintptr_t)rc, ENXIO);
    }
    expect(0, 1, ENXIO);
    ck_assert_int_eq(fp_close(fp), ENXIO); /* nobody has flushed it */
    fake_end();
}
END_TEST

static _Atomic unsigned halting;

static void halt_slowly(void)
{
    atomic_fetch_add(&halting, 1);
    shim_delay_ns(20000000);
}

static void *goner(void *arg) { return (void *)(uintptr_t)(gone() + (arg ? 1 : 0)); }
static void *closer(void *arg) { return (void *)(uintptr_t)fp_close(arg); }

/* Two at once, and the last close beside them: SCIOHALT uses a path that is still there. */
START_TEST(test_CAM_12_CAM_17_two_at_once_and_a_close)
{
    pthread_t th[3];
    struct file *fp;
    void *rc;

    fake_begin_posix(20480, 512);
    fp = fake_open(NULL);
    fake.held = true;
    fake.at_halt = halt_slowly;
    atomic_store(&halting, 0);
    send(0, 2, true);
    ck_assert_int_eq(pthread_create(&th[0], NULL, goner, NULL), 0);
    while (atomic_load(&halting) == 0)
        shim_delay_ns(100000);
    ck_assert_int_eq(pthread_create(&th[1], NULL, goner, NULL), 0);
    ck_assert_int_eq(pthread_create(&th[2], NULL, closer, fp), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(th[i], &rc), 0);
        ck_assert_int_eq((int)(uintptr_t)rc, 0);
    }
    expect(0, 2, ENXIO);
    ck_assert_uint_eq(fake.halts, 1);
    ck_assert_uint_eq(fake.stops, 1);
    fake_end();
}
END_TEST

/* ------------------------------------------------------------------ a thousand rounds */

START_TEST(test_CAM_14_CAM_15_a_thousand_rounds)
{
    const struct scdisk_dds dds = {.queue_depth = 2, .max_coalesce = BYTES};
    size_t blocks = 0;

    fake_begin(20480, 512);
    fake.held = true;
    for (unsigned i = 0; i < 1000; i++) {
        struct file *fp[2];

        fp[0] = fake_open(&dds);
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD, NULL, 0, &fp[1]), 0);
        send(0, BUFS, true);
        ck_assert_int_eq(gone(), 0);
        expect(0, BUFS, ENXIO);
        for (unsigned k = 0; k < 2; k++)
            ck_assert_int_eq(fp_close(fp[k]), 0);
        ck_assert_int_eq(scdisk_config(FAKE_DEV, CFG_TERM, NULL), 0);
        if (i == 0)
            blocks = shim_owner_blocks(0);
        ck_assert_uint_eq(shim_owner_blocks(0), blocks);
    }
    fake_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_gone");
    TCase *t = tcase_create("gone");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_CAM_16_CAM_17_everything_answers_enxio);
    tcase_add_test(t, test_CAM_14_closed_and_back_again);
    tcase_add_test(t, test_CAM_10_CAM_11_CAM_13_openings_are_given_back);
    tcase_add_test(t, test_the_last_close_tells_of_a_lost_cache);
    tcase_add_test(t, test_NB_21_what_waits_and_what_is_out);
    tcase_add_test(t, test_what_has_ended_well_ends_well);
    tcase_add_test(t, test_a_buf_in_pieces);
    tcase_add_test(t, test_resubmitting_from_iodone);
    tcase_add_test(t, test_CAM_18_a_late_error_begins_nothing);
    tcase_add_test(t, test_what_comes_after_the_first_halt);
    tcase_add_test(t, test_NB_21_what_is_in_the_lane);
    tcase_add_test(t, test_CAM_18_while_sense_is_fetched);
    tcase_add_test(t, test_CAM_18_while_it_reserves_again);
    tcase_add_test(t, test_CAM_18_while_a_busy_disk_is_waited_for);
    tcase_add_test(t, test_CAM_18_while_a_disk_becomes_ready);
    tcase_add_test(t, test_NB_18_no_retry_of_a_disk_that_has_gone);
    tcase_add_test(t, test_CAM_18_an_event_leaves_nothing_due);
    tcase_add_test(t, test_who_sleeps_for_a_slot);
    tcase_add_test(t, test_CAM_12_CAM_17_two_at_once_and_a_close);
    tcase_add_test(t, test_CAM_14_CAM_15_a_thousand_rounds);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
