/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_lane_test.c - when a request passes the queues, and when the lane is open at all.
 *
 * Does not contain: the lane between threads (tests/sim/small/small_dlane.c).
 */
#include "fake_ad.h"

static uint8_t *area;
static struct fake_buf fb[64];

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, 64u * 4096u);
    ck_assert_ptr_nonnull(area);
    memset(fb, 0, sizeof(fb));
}

static void teardown(void)
{
    free(area);
    fake_end();
}

static struct dd_unit *unit(void) { return dd_unit_of(FAKE_DEV); }
static bool is_open(void) { return unit()->un_lane; }

/* Did that request go past the queues? Only those have no number. */
static bool passes(unsigned i, bool read)
{
    const uint32_t seq = unit()->un_seq;

    fake_buf_init(&fb[i], read, 100 * i, area + (size_t)4096 * i, 4096);
    fake_submit(&fb[i], 1);
    ck_assert_uint_eq(fb[i].done, 1);
    ck_assert_uint_eq(fb[i].b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fb[i].b.b_resid, 0);
    ck_assert(fb[i].b.b_work == 0 && !fb[i].b.av_forw);
    return unit()->un_seq == seq;
}

/* ------------------------------------------------------------------ open or not */

/* A disk whose depth has room for it, and which can tag, has a lane from the moment it is open. */
START_TEST(test_open_by_depth_and_tags)
{
    const struct scdisk_dds dds[] = {
        {.queue_depth = DD_LANE_DEPTH_MIN}, {.queue_depth = DD_LANE_DEPTH_MIN - 1}, {.no_tags = 1}};
    struct file *fp = fake_open(&dds[_i]);

    ck_assert_int_eq(is_open(), _i == 0);
    ck_assert_int_eq(passes(0, false), _i == 0);
    ck_assert_uint_eq(fake_rw(0)->tag, _i == 2 ? SC_NO_Q : SC_SIMPLE_Q);
    ck_assert_uint_eq(fake_rw(0)->flags, 0);
    fake_close(fp);
    ck_assert(!is_open());
}
END_TEST

/* A chain is no request alone: it may become one command. */
START_TEST(test_chain_is_spanned)
{
    struct file *fp = fake_open(NULL);

    for (unsigned i = 0; i < 4; i++)
        fake_buf_init(&fb[i], true, 8 * i, area + (size_t)4096 * i, 4096);
    fake_submit(fb, 4);
    ck_assert_uint_eq(fake_nrw(), 1);
    ck_assert_uint_eq(fake_rw(0)->nbufs, 4);
    ck_assert(is_open());
    ck_assert(passes(4, true));
    fake_close(fp);
}
END_TEST

/* What is larger than one command is cut, in the queues. */
START_TEST(test_large_is_cut)
{
    struct file *fp;

    fake.max_transfer = 8192;
    fp = fake_open(NULL);
    fake_buf_init(&fb[0], true, 0, area, 16384);
    fake_submit(&fb[0], 1);
    ck_assert_uint_eq(fake_nrw(), 2);
    ck_assert_uint_eq(fb[0].done, 1);
    fake_close(fp);
}
END_TEST

static void then_next(struct fake_buf *b)
{
    const unsigned i = (unsigned)(b - fb) + 1u;

    fake_buf_init(&fb[i], true, 8 * i, area + (size_t)4096 * i, 4096);
    fb[i].then = i < 3 ? then_next : NULL;
    fake_submit(&fb[i], 1);
}

static void then_two(struct fake_buf *b)
{
    (void)b;
    for (unsigned i = 1; i < 3; i++) {
        fake_buf_init(&fb[i], true, 8 * i, area + (size_t)4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
}

/* From iodone one request more goes down the lane, too (0); of several the queues may make a span (1). */
START_TEST(test_resubmitted_from_iodone)
{
    struct file *fp = fake_open(NULL);
    const uint32_t seq = unit()->un_seq;

    fake_buf_init(&fb[0], true, 0, area, 4096);
    fb[0].then = _i ? then_two : then_next;
    fake_submit(&fb[0], 1);
    ck_assert_uint_eq(fb[2].done, 1);
    ck_assert_uint_eq(unit()->un_seq - seq, _i ? 1 : 0);
    ck_assert_uint_eq(fake_rw(1)->nbufs, _i ? 2 : 1);
    dd_check_invariants(FAKE_DEV);
    fake_close(fp);
}
END_TEST

/* What the queues owe somebody keeps it shut: a caller that waits for his turn (0), a resume (1), what is to
 * be sent again (2), what is due with the disk (3), a lower depth (4). */
START_TEST(test_what_keeps_it_shut)
{
    struct file *fp = fake_open(NULL);
    struct dd_unit *un = unit();
    int old = disable_lock(INTIODONE, &un->un_lock);

    for (int set = 1; set >= 0; set--) {
        dd_lane_close_locked(un);
        un->un_sync_waiting = _i == 0 && set;
        un->un_need_resume = _i == 1 && set;
        un->un_again = _i == 2 && set;
        un->un_todo = _i == 3 && set ? DD_TODO_RESERVE : 0;
        un->un_depth = un->un_depth_max - (_i == 4 && set);
        dd_lane_open_locked(un);
        ck_assert_int_eq(is_open(), !set);
    }
    unlock_enable(old, &un->un_lock);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ leaving it */

/* An adapter that pends: the first command joins the queues, and so does everything until the lane has proved
 * to be of use, which takes a whole streak. (NB-07: room for a command in every slot must be left) */
START_TEST(test_pending_leaves_the_lane)
{
    struct file *fp = fake_open(NULL);
    unsigned rounds = 0;

    fake.held = true;
    fake_buf_init(&fb[0], false, 0, area, 4096);
    fake_submit(&fb[0], 1);
    ck_assert(!is_open());
    ck_assert_uint_eq(unit()->un_active, 1);
    ck_assert_uint_eq(fake_stats().in_process, 1);
    ck_assert_uint_eq(dd_check_invariants(FAKE_DEV), 1);
    fake.held = false;
    ck_assert(fake_complete_one());
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_uint_eq(fake_stats().completed, 1);
    ck_assert_uint_eq(fake_stats().bytes_written, 4096);
    for (; !is_open(); rounds++)
        ck_assert(!passes(1, true));
    ck_assert_uint_eq(rounds, 32);
    ck_assert(passes(1, true));
    fake_close(fp);
}
END_TEST

/* A command that fails there is recovered as any other, and the lane stays shut meanwhile. */
START_TEST(test_failed_is_recovered)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, _i ? FAKE_CHECK : FAKE_STATUS);

    fake.keeps = _i == 2;
    f->count = 1;
    f->code = SC_BUSY_STATUS;
    f->key = SCSI_KEY_ABORTED;
    fake_buf_init(&fb[0], false, 0, area, 4096);
    fake_submit(&fb[0], 1);
    ck_assert(!is_open());
    while (!fb[0].done)
        ck_assert(shim_det_step());
    ck_assert_uint_eq(fb[0].b.b_flags & B_ERROR, 0);
    ck_assert_uint_eq(fake_nrw(), 2);
    ck_assert_uint_eq(fake_stats().retries, 1);
    ck_assert_uint_eq(fake_stats().commands, 2);
    dd_check_invariants(FAKE_DEV);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* A short transfer is told in the buf's residual; counted is what was moved. */
START_TEST(test_short_transfer)
{
    struct file *fp = fake_open(NULL);
    struct fake_fault *f = fake_fault(FAKE_RW, 0, UINT64_MAX, FAKE_SHORT);

    f->code = 1024;
    f->count = 1;
    fake_buf_init(&fb[0], true, 0, area, 4096);
    fake_submit(&fb[0], 1);
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_uint_eq(fb[0].b.b_resid, 1024);
    ck_assert_uint_eq(fake_stats().bytes_read, 3072);
    fake.nfaults = 0;
    fake_close(fp);
}
END_TEST

/* A reset took the reservation: what comes waits for RESERVE, and does not pass. */
START_TEST(test_reset_shuts_it)
{
    struct file *fp = fake_open(NULL);
    unsigned reserves = fake.reserves;

    ck_assert_uint_eq(reserves, 1);
    fake_reset_event();
    ck_assert(!is_open());
    ck_assert(!passes(0, false));
    ck_assert_uint_eq(fake.reserves, 2);
    fake_close(fp);
}
END_TEST

static bool halt_inside(struct sc_buf *sc)
{
    const uint64_t mine = shim_self()->self_id;

    fake.hook = NULL;
    fake.halted = true;
    for (unsigned i = 1; i < 3; i++)
        fake_buf_init(&fb[i], true, 100 * i, area + (size_t)4096 * i, 4096);
    shim_self()->self_id = mine + 1;
    fake_submit(&fb[1], 2); /* as another thread: ENXIO, and the request in the lane may be why */
    shim_self()->self_id = mine;
    ck_assert_uint_eq(fb[1].done, 0);
    ck_assert_uint_eq(unit()->un_rec.rec_state, DD_REC_HALT);
    fake.active--;
    sc->bufstruct.b_resid = 0;
    iodone(&sc->bufstruct);
    return true;
}

/* The queue is found halted while a request is in the lane. When that is back, all is known, at once. */
START_TEST(test_halt_waits_for_it)
{
    struct file *fp = fake_open(NULL);
    const uint64_t before = kern_now_ns();

    fake.hook = halt_inside;
    fake_buf_init(&fb[0], true, 0, area, 4096);
    fake_submit(&fb[0], 1);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(fb[i].done == 1 && !(fb[i].b.b_flags & B_ERROR));
    ck_assert_uint_eq(shim_det_timers(), 0);
    ck_assert_uint_eq(kern_now_ns(), before);
    fake_close(fp);
}
END_TEST

/* With so much out that a command in every slot would be more than the depth, the lane is shut. */
START_TEST(test_NB_07_depth_is_kept)
{
    struct file *fp = fake_open(NULL); /* depth 64 */
    const unsigned room = 64u - DD_PLUGS;

    fake.held = true;
    for (unsigned i = 0; i < room; i++)
        fake_buf_init(&fb[i], true, 100 * i, area, 512);
    fake_submit(fb, room); /* a chain: none of them in the lane */
    ck_assert_uint_eq(unit()->un_active, room);
    ck_assert(is_open());
    fake_buf_init(&fb[room], true, 100 * room, area, 512);
    fake_submit(&fb[room], 1);
    ck_assert(!is_open());
    ck_assert_uint_eq(fake.active, room + 1);
    fake.held = false;
    fake_complete_all();
    for (unsigned i = 0; i <= room; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ the books */

/* Counters and samples are the same as without the lane, at every moment. */
START_TEST(test_counters)
{
    struct file *fp = fake_open(NULL);
    struct sc_disk_stats st;
    uint64_t samples = 0;

    for (unsigned n = 1; n <= 3 * SC_LAT_SAMPLE; n++) {
        ck_assert(passes(0, n % 3 == 0));
        st = fake_stats();
        ck_assert_uint_eq(st.bufs, n);
        ck_assert_uint_eq(st.commands, n);
        ck_assert_uint_eq(st.completed, n);
        ck_assert_uint_eq(st.in_process + st.pending + st.recovering, 0);
        ck_assert_uint_eq(st.bytes_read, n / 3 * 4096);
        ck_assert_uint_eq(st.bytes_written, (n - n / 3) * 4096);
        ck_assert_uint_eq(st.responses_queued, 0);
    }
    for (unsigned i = 0; i < SC_LAT_BUCKETS; i++)
        samples += st.lat_read[i] + st.lat_write[i];
    ck_assert_uint_eq(samples, 3);
    fake_close(fp);
}
END_TEST

static unsigned seen_inside;

static bool look_inside(struct sc_buf *sc)
{
    (void)sc;
    ck_assert_uint_eq(fake_stats().in_process, 1);
    ck_assert_uint_eq(fake_stats().bufs, ++seen_inside);
    ck_assert_uint_eq(dd_check_invariants(FAKE_DEV), 1);
    return false;
}

/* While the adapter has it, it is in process; so are those that follow it from iodone. */
START_TEST(test_AIX_01_in_process_meanwhile)
{
    struct file *fp = fake_open(NULL);

    seen_inside = 0;
    fake.hook = look_inside;
    fake_buf_init(&fb[0], true, 0, area, 4096);
    fb[0].then = then_next;
    fake_submit(&fb[0], 1);
    fake.hook = NULL;
    ck_assert_uint_eq(seen_inside, 4);
    ck_assert(is_open());
    fake_close(fp);
}
END_TEST

/* A write makes the disk dirty, a read does not: the last close makes the cache durable only then. */
START_TEST(test_dirty)
{
    struct file *fp = fake_open(NULL);

    ck_assert(passes(0, _i == 0));
    ck_assert_uint_eq(fake.syncs, 0);
    fake_close(fp);
    ck_assert_uint_eq(fake.syncs, _i == 0 ? 0 : 1);
}
END_TEST

static bool dirty_inside;

static void look_dirty(struct fake_buf *b)
{
    (void)b;
    dirty_inside = unit()->un_dirty;
}

/* Whoever asks for a flush from iodone, or as soon as he is told, finds the disk dirty. */
START_TEST(test_dirty_when_told)
{
    struct file *fp = fake_open(NULL);

    dirty_inside = false;
    fake_buf_init(&fb[0], false, 0, area, 4096);
    fb[0].then = look_dirty;
    fake_submit(&fb[0], 1);
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert(dirty_inside);
    fake_close(fp);
}
END_TEST

/* The slots' structures come from the pool and go back to it: a hundred opens leave it as it was. */
START_TEST(test_structures_go_back)
{
    struct file *fp = fake_open(NULL);
    unsigned first = 0;

    for (unsigned n = 0; n < 100; n++) {
        unsigned free_cmds = 0;

        ck_assert(passes(0, false));
        ck_assert_int_eq(fp_close(fp), 0);
        for (const struct dd_cmd *cmd = unit()->un_free; cmd; cmd = cmd->cmd_next)
            free_cmds++;
        if (n == 0)
            first = free_cmds;
        ck_assert_uint_eq(free_cmds, first);
        ck_assert_uint_eq(free_cmds, unit()->un_pool_total);
        ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE, NULL, 0, &fp), 0);
    }
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_lane");
    TCase *t = tcase_create("open");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_open_by_depth_and_tags, 0, 3);
    tcase_add_test(t, test_chain_is_spanned);
    tcase_add_test(t, test_large_is_cut);
    tcase_add_loop_test(t, test_resubmitted_from_iodone, 0, 2);
    tcase_add_loop_test(t, test_what_keeps_it_shut, 0, 5);
    suite_add_tcase(s, t);
    t = tcase_create("leaving");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_pending_leaves_the_lane);
    tcase_add_loop_test(t, test_failed_is_recovered, 0, 3);
    tcase_add_test(t, test_short_transfer);
    tcase_add_test(t, test_reset_shuts_it);
    tcase_add_test(t, test_halt_waits_for_it);
    tcase_add_test(t, test_NB_07_depth_is_kept);
    suite_add_tcase(s, t);
    t = tcase_create("books");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_counters);
    tcase_add_test(t, test_AIX_01_in_process_meanwhile);
    tcase_add_loop_test(t, test_dirty, 0, 2);
    tcase_add_test(t, test_dirty_when_told);
    tcase_add_test(t, test_structures_go_back);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
