/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_thread_test.c - many threads inside one bus, on the threaded host: the hot path, pending
 * commands with aborts and resets racing the timer, fault rules counted exactly, COMPARE AND WRITE as
 * a lock. Meant to be run under TSan as well.
 */
#include "sim_fixture.h"

#include <adapter/sim/sim_impl.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 6u
#define ROUNDS  2000u
#define REGION  64u /* blocks per thread */

static void begin_threads(uint64_t latency_ns)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = THREADS * REGION};
    struct ad_hw_caps caps;
    static const uint8_t sense[6] = {0x03, 0, 0, 0, 18};
    uint8_t buf[18];
    struct fx_cmd c;

    shim_test_begin_posix();
    ck_assert_int_eq(sim_bus_create(&bus, &fx_bus), 0);
    ck_assert_int_eq(sim_hw_ops.attach(fx_bus, (struct ad_adapter *)&fx_bus, &caps), 0);
    disk.sd_id = FX_ID;
    ck_assert_int_eq(sim_medium_ram(disk.sd_blocks * 512, &disk.sd_ops, &disk.sd_medium), 0);
    ck_assert_int_eq(sim_disk_add(fx_bus, &disk), 0);
    fx_disk = sim_disk_find(fx_bus, FX_ID, 0);
    fx_run(&c, sense, 6, FX_IN, buf, sizeof(buf));
    if (latency_ns) {
        struct sim_fault f = {.f_opcode = SIM_OPCODE_READS,
                              .f_lba_last = UINT64_MAX,
                              .f_action = SIM_FAULT_DELAY,
                              .f_param = latency_ns};

        ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
    }
}

static void end_threads(void)
{
    sim_hw_ops.detach(fx_bus);
    sim_bus_destroy(fx_bus);
    shim_test_end();
    shim_posix_stop();
}

static void run_threads(void *(*fn)(void *))
{
    pthread_t t[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, fn, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static uint8_t start_lun;

/* The same as fx_run(), without Check's assertions, which are not made for threads. */
static bool start_io(struct fx_cmd *c, unsigned who, bool write, uint64_t lba, uint32_t blocks, uint8_t *buf,
                     int *said)
{
    struct iovec vec = {buf, blocks * 512u};

    memset(c, 0, sizeof(*c));
    c->cdb[0] = write ? 0x2a : 0x28;
    scsi_put32(c->cdb + 2, (uint32_t)lba);
    scsi_put16(c->cdb + 7, blocks);
    c->map.map_segs = c->segs;
    c->map.map_segs_max = FX_SEGS;
    c->x.xfer_cdb = c->cdb;
    c->x.xfer_cdb_len = 10;
    c->x.xfer_id = FX_ID;
    c->x.xfer_lun = start_lun;
    c->x.xfer_qmsg = SC_SIMPLE_Q;
    c->x.xfer_flags = AD_XFER_PAST;
    c->x.xfer_tag = (uint16_t)who;
    c->x.xfer_dir = write ? FX_OUT : FX_IN;
    c->x.xfer_map = &c->map;
    c->x.xfer_bytes = vec.iov_len;
    if (shim_dma_map(sim_bus_dev(fx_bus), &vec, 1, c->x.xfer_dir, &c->map) != SHIM_MAP_OK)
        return false;
    *said = sim_hw_ops.start(fx_bus, &c->x);
    return true;
}

static _Atomic unsigned bad, finished, aborted, struck;

/* ---------------------------------------------------------------- the hot path */

static void *hot(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg;
    uint8_t out[4096], in[4096];

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t lba = who * REGION + (i * 8) % REGION;
        struct fx_cmd c;
        int said;

        memset(out, (int)(who * 31 + i), sizeof(out));
        if (!start_io(&c, who, true, lba, 8, out, &said) || said != AD_HW_DONE ||
            c.x.xfer_result != AD_RES_GOOD)
            atomic_fetch_add(&bad, 1);
        fx_release(&c);
        if (!start_io(&c, who, false, lba, 8, in, &said) || said != AD_HW_DONE ||
            c.x.xfer_result != AD_RES_GOOD || memcmp(in, out, sizeof(in)) != 0)
            atomic_fetch_add(&bad, 1);
        fx_release(&c);
    }
    return NULL;
}

START_TEST(test_hot_path_from_many_threads)
{
    struct sim_disk_stats st;

    begin_threads(0);
    bad = 0;
    run_threads(hot);
    ck_assert_uint_eq(bad, 0);
    sim_disk_stats_get(fx_disk, &st);
    ck_assert_uint_eq(st.st_by_opcode[0x28], THREADS * ROUNDS);
    ck_assert_uint_eq(st.st_bytes_written, (uint64_t)THREADS * ROUNDS * 4096);
    end_threads();
}
END_TEST

/* ---------------------------------------------------------------- faults are counted exactly */

static void *counted(void *arg)
{
    uint8_t buf[512];

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct fx_cmd c;
        int said;

        if (!start_io(&c, (unsigned)(uintptr_t)arg, false, 0, 1, buf, &said) || said != AD_HW_DONE)
            atomic_fetch_add(&bad, 1);
        if (c.x.xfer_result == AD_RES_STATUS && c.x.xfer_scsi_status == SC_BUSY_STATUS)
            atomic_fetch_add(&struck, 1);
        fx_release(&c);
    }
    return NULL;
}

START_TEST(test_fault_counts_are_exact_with_threads)
{
    struct sim_fault f = {.f_opcode = 0x28,
                          .f_lba_last = UINT64_MAX,
                          .f_skip = 500,
                          .f_count = 777,
                          .f_action = SIM_FAULT_BUSY};

    begin_threads(0);
    bad = struck = 0;
    ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
    run_threads(counted);
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(struck, 777);
    ck_assert(sim_fault_get(fx_disk, 0, &f));
    ck_assert_uint_eq(f.f_hits, 777);
    end_threads();
}
END_TEST

/* ---------------------------------------------------------------- aborts and resets against the timer */

static _Atomic unsigned slot_done[THREADS];

static void slot_finished(struct fx_cmd *c)
{
    if (c->x.xfer_result == AD_RES_ABORTED || c->x.xfer_result == AD_RES_BUS_RESET)
        atomic_fetch_add(&aborted, 1);
    else
        atomic_fetch_add(&finished, 1);
    atomic_fetch_add_explicit(&slot_done[c->x.xfer_tag], 1, memory_order_release);
}

static void wait_done(unsigned who)
{
    while (atomic_load_explicit(&slot_done[who], memory_order_acquire) == 0)
        sched_yield();
}

/* What a reset meets ends in another way, and takes sense with it. */
static _Atomic unsigned resets_begun, resets_over;
static _Atomic unsigned resets_seen[THREADS]; /* begun when the thread's last command began, or RESETTING */
#define RESETTING UINT_MAX

static void resets_look(unsigned who)
{
    unsigned over = atomic_load(&resets_over), begun = atomic_load(&resets_begun);

    atomic_store(&resets_seen[who], over == begun ? begun : RESETTING);
}

/*
 * After CHECK CONDITION: ask for the sense, which is this command's, and let the others go on. It must be
 * there, unless the device was reset meanwhile, or somebody whose own sense a reset has taken away asked
 * first: as many may miss theirs as such a one has found some.
 */
static _Atomic unsigned sense_missing, sense_found_late;

static unsigned fetch_sense(const struct fx_cmd *failed, unsigned who)
{
    uint8_t sense[18] = {0};
    struct iovec vec = {sense, sizeof(sense)};
    const unsigned before = atomic_load(&resets_seen[who]);
    struct fx_cmd c;

    if (failed->x.xfer_result != AD_RES_STATUS || failed->x.xfer_scsi_status != SC_CHECK_CONDITION)
        return 0;
    memset(&c, 0, sizeof(c));
    c.cdb[0] = SCSI_REQUEST_SENSE;
    c.cdb[4] = sizeof(sense);
    c.map.map_segs = c.segs;
    c.map.map_segs_max = FX_SEGS;
    c.x = (struct ad_xfer){.xfer_cdb = c.cdb,
                           .xfer_cdb_len = 6,
                           .xfer_id = FX_ID,
                           .xfer_qmsg = SC_SIMPLE_Q,
                           .xfer_flags = AD_XFER_PAST,
                           .xfer_tag = (uint16_t)who,
                           .xfer_dir = FX_IN,
                           .xfer_map = &c.map,
                           .xfer_bytes = sizeof(sense)};
    if (shim_dma_map(sim_bus_dev(fx_bus), &vec, 1, FX_IN, &c.map) != SHIM_MAP_OK ||
        sim_hw_ops.start(fx_bus, &c.x) != AD_HW_DONE)
        atomic_fetch_add(&bad, 1);
    else if (atomic_load(&resets_begun) != before)
        atomic_fetch_add(&sense_found_late, sense[2] != 0);
    else if (c.x.xfer_result != AD_RES_GOOD)
        atomic_fetch_add(&bad, 1);
    else
        atomic_fetch_add(&sense_missing, sense[2] == 0);
    fx_release(&c);
    return sense[2] & 0x0fu;
}

static void *racing(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg;
    uint8_t buf[512];

    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        struct fx_cmd c;
        int said;

        atomic_store(&slot_done[who], 0);
        resets_look(who);
        if (!start_io(&c, who, false, who, 1, buf, &said)) {
            atomic_fetch_add(&bad, 1);
            return NULL;
        }
        if (said == AD_HW_PENDING) {
            if (i % 3 == 1)
                sim_hw_ops.abort(fx_bus, &c.x);
            if (i % 100 == 50) {
                atomic_fetch_add(&resets_begun, 1);
                sim_hw_ops.reset_target(fx_bus, FX_ID);
                atomic_fetch_add(&resets_over, 1);
            }
            wait_done(who);
            /* Time for a second completion, if there were one. */
            sched_yield();
            if (atomic_load(&slot_done[who]) != 1)
                atomic_fetch_add(&bad, 1);
        } else {
            atomic_fetch_add(&bad, 1);
        }
        fx_release(&c);
        fetch_sense(&c, who);
    }
    return NULL;
}

START_TEST(test_every_pending_command_comes_back_once)
{
    begin_threads(20000);
    bad = finished = aborted = sense_missing = sense_found_late = 0;
    fx_on_done = slot_finished;
    run_threads(racing);
    fx_on_done = NULL;
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_le(sense_missing, sense_found_late);
    ck_assert_uint_eq(finished + aborted, THREADS * (ROUNDS / 4));
    ck_assert_uint_gt(aborted, 0);
    end_threads();
}
END_TEST

/* ---------------------------------------------------------------- COMPARE AND WRITE */

/* Each thread counts a block up by COMPARE AND WRITE; no count may be lost. */
static void *counting(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg, won = 0;
    uint64_t guess = 0;

    for (uint64_t tries = 0; won < 100 && tries < 10000000; tries++) {
        uint8_t buf[1024] = {0};
        struct iovec vec = {buf, sizeof(buf)};
        struct fx_cmd c;

        memset(&c, 0, sizeof(c));
        c.cdb[0] = SCSI_COMPARE_AND_WRITE;
        c.cdb[13] = 1;
        memcpy(buf, &guess, 8);
        guess++;
        memcpy(buf + 512, &guess, 8);
        c.map.map_segs = c.segs;
        c.map.map_segs_max = FX_SEGS;
        c.x = (struct ad_xfer){.xfer_cdb = c.cdb,
                               .xfer_cdb_len = 16,
                               .xfer_id = FX_ID,
                               .xfer_qmsg = SC_SIMPLE_Q,
                               .xfer_flags = AD_XFER_PAST,
                               .xfer_tag = (uint16_t)who,
                               .xfer_dir = FX_OUT,
                               .xfer_map = &c.map,
                               .xfer_bytes = sizeof(buf)};
        shim_dma_map(sim_bus_dev(fx_bus), &vec, 1, FX_OUT, &c.map);
        atomic_store(&slot_done[who], 0);
        /* Behind somebody's miscompare it waits until that one has its sense. */
        if (sim_hw_ops.start(fx_bus, &c.x) == AD_HW_PENDING)
            wait_done(who);
        fx_release(&c);
        fetch_sense(&c, who);
        /*
         * On a miscompare somebody else was faster. The number only grows, so the next guess is not above
         * it either. (A READ would tell at once, but a READ beside a write is nobody's business to order.)
         */
        if (c.x.xfer_result == AD_RES_GOOD)
            won++;
    }
    if (won != 100)
        atomic_fetch_add(&bad, 1);
    return NULL;
}

START_TEST(test_compare_and_write_is_a_lock)
{
    uint8_t buf[512];
    uint64_t total;
    struct fx_cmd c;
    int said;

    begin_threads(0);
    bad = 0;
    fx_on_done = slot_finished;
    run_threads(counting);
    fx_on_done = NULL;
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 0);
    ck_assert(start_io(&c, 0, false, 0, 1, buf, &said));
    fx_release(&c);
    memcpy(&total, buf, 8);
    ck_assert_uint_eq(total, THREADS * 100);
    end_threads();
}
END_TEST

/* ---------------------------------------------------------------- what runs alone, and the hot path */

static _Atomic unsigned inside, alone_met;
static _Atomic bool hold;

/* A write stays inside the medium until something that should be alone has closed the hot path, and a while
 * more. */
static int held_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    (void)m, (void)off, (void)vec, (void)n, (void)bytes, (void)fua;
    if (!atomic_exchange(&hold, false))
        return 0;
    atomic_fetch_add(&inside, 1);
    while (!(atomic_load(&fx_disk->dk_odd) & SIM_ODD_GATE) && !atomic_load(&alone_met))
        sched_yield();
    for (unsigned i = 0; i < 20000 && !atomic_load(&alone_met); i++)
        sched_yield();
    atomic_fetch_sub(&inside, 1);
    return 0;
}
static int held_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)m, (void)off, (void)bytes;
    atomic_fetch_add(&alone_met, atomic_load(&inside));
    for (uint32_t i = 0; i < n; i++)
        memset(vec[i].iov_base, 0, vec[i].iov_len);
    return 0;
}
static const struct sim_medium_ops held_ops = {
    .version = 1, .size = sizeof(held_ops), .name = "held", .read = held_read, .write = held_write};

static void *hot_writer(void *arg)
{
    uint8_t buf[512] = {0};
    struct fx_cmd c;
    int said;

    (void)arg;
    if (!start_io(&c, 1, true, 0, 1, buf, &said) || said != AD_HW_DONE || c.x.xfer_result != AD_RES_GOOD)
        atomic_fetch_add(&bad, 1);
    fx_release(&c);
    return NULL;
}

/* A thread is in the middle of a plain WRITE: ORDERED and COMPARE AND WRITE begin when it has left. */
START_TEST(test_alone_against_the_hot_path)
{
    static const uint8_t caw[16] = {SCSI_COMPARE_AND_WRITE, [13] = 1}, rd[10] = {0x28, [8] = 1};
    struct sim_disk_config disk = {
        .sd_id = FX_ID, .sd_lun = 1, .sd_block_bytes = 512, .sd_blocks = 8, .sd_ops = &held_ops};
    uint8_t buf[1024] = {0};
    pthread_t t;
    struct fx_cmd c;

    begin_threads(0);
    bad = 0;
    ck_assert_int_eq(sim_disk_add(fx_bus, &disk), 0);
    fx_disk = sim_disk_find(fx_bus, FX_ID, 1);
    for (unsigned i = 0; i < 2; i++) {
        start_lun = 1;
        fx_prepare(&c, (const uint8_t[6]){SCSI_REQUEST_SENSE, [4] = 18}, 6, FX_IN, buf, 18);
        c.x.xfer_lun = 1;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        fx_release(&c);
        memset(buf, 0, sizeof(buf));
        alone_met = 0;
        hold = true;
        ck_assert_int_eq(pthread_create(&t, NULL, hot_writer, NULL), 0);
        while (atomic_load(&inside) == 0)
            sched_yield();
        if (i == 0)
            fx_prepare(&c, rd, 10, FX_IN, buf, 512);
        else
            fx_prepare(&c, caw, 16, FX_OUT, buf, 1024);
        c.x.xfer_lun = 1;
        c.x.xfer_tag = 2;
        c.x.xfer_qmsg = i == 0 ? SC_ORDERED_Q : SC_SIMPLE_Q;
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
        ck_assert_uint_eq(c.x.xfer_result, AD_RES_GOOD);
        pthread_join(t, NULL);
        ck_assert_uint_eq(alone_met, 0);
        fx_release(&c);
    }
    start_lun = 0;
    ck_assert_uint_eq(bad, 0);
    end_threads();
}
END_TEST

/* ---------------------------------------------------------------- sense and other threads */

static void *reader(void *arg)
{
    uint8_t buf[512];
    struct fx_cmd c;
    int said;

    (void)arg;
    atomic_store(&slot_done[1], 0);
    if (!start_io(&c, 1, false, 0, 1, buf, &said) || said != AD_HW_PENDING)
        atomic_fetch_add(&bad, 1);
    atomic_store(&hold, true);
    if (said == AD_HW_PENDING)
        wait_done(1);
    if (c.x.xfer_result != AD_RES_GOOD)
        atomic_fetch_add(&bad, 1);
    fx_release(&c);
    return NULL;
}

/* A command that another thread had under way does not cost this one its sense: it waits for it. */
START_TEST(test_command_under_way_waits_for_the_sense)
{
    uint8_t sense[18] = {0};
    pthread_t t;
    struct fx_cmd c;

    begin_threads(0);
    bad = 0;
    hold = false;
    fx_on_done = slot_finished;
    fx_prepare(&c, (const uint8_t[6]){0x02}, 6, FX_IN, NULL, 0);
    c.x.xfer_qmsg = SC_SIMPLE_Q;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
    ck_assert_int_eq(pthread_create(&t, NULL, reader, NULL), 0);
    while (!atomic_load(&hold))
        sched_yield();
    ck_assert_uint_eq(slot_done[1], 0);
    fx_run(&c, (const uint8_t[6]){SCSI_REQUEST_SENSE, [4] = 18}, 6, FX_IN, sense, sizeof(sense));
    ck_assert_uint_eq(sense[12], SCSI_ASC_OPCODE);
    pthread_join(t, NULL);
    fx_on_done = NULL;
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 0);
    end_threads();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_thread");
    TCase *t = tcase_create("threads");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_hot_path_from_many_threads);
    tcase_add_test(t, test_fault_counts_are_exact_with_threads);
    tcase_add_test(t, test_every_pending_command_comes_back_once);
    tcase_add_test(t, test_compare_and_write_is_a_lock);
    tcase_add_test(t, test_alone_against_the_hot_path);
    tcase_add_test(t, test_command_under_way_waits_for_the_sense);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
