/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_conformance.c - what every port's host half must do, run here on each host of the tree.
 *
 * Whoever writes a port adds it to hosts[] and runs this until it passes. A test case per group of
 * functions (the numbers are those of scpair/shim.h), so that a port can grow in the documented
 * steps: memory, locks, time and copying first, then timers, then threads. A group whose function
 * says ENOSYS (thread_start) is passed over. The device half is tried on the simulated bus.
 *
 * Time is only ever checked one way: not too early. How late a host may be is not part of the
 * contract.
 */
#include "test_main.h"

#include "adapter/sim/sim.h"

#include <signal.h>

#define MS 1000000ull

static const struct shim_host *host_posix(void) { return shim_posix_host(); }
static const struct shim_host *host_det(void) { return shim_det_host(42); }
static const struct shim_host *(*const hosts[])(void) = {host_posix, host_det};
#define NHOSTS ((int)SC_ARRAY_SIZE(hosts))

static void begin(int i) { shim_test_begin(hosts[i]()); }

/* ---------------------------------------------------------------- the table */

START_TEST(test_table_refused_when_wrong)
{
    struct shim_host copy = *hosts[_i]();

    copy.version = SHIM_HOST_VERSION + 1;
    ck_assert_int_eq(shim_init(&copy), EINVAL);
    copy = *hosts[_i]();
    copy.size = sizeof(copy) / 2;
    ck_assert_int_eq(shim_init(&copy), EINVAL);
    copy = *hosts[_i]();
    copy.alloc = NULL;
    ck_assert_int_eq(shim_init(&copy), EINVAL);
    /* The refusals left nothing behind; a second host at once is refused too. */
    begin(_i);
    ck_assert_int_eq(shim_init(hosts[_i]()), EBUSY);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- 1, 2 memory */

START_TEST(test_memory_zeroed_and_aligned)
{
    static const size_t sizes[] = {1, 7, 64, 4095, 4096, 65536, 16u << 20};

    begin(_i);
    for (int round = 0; round < 2; round++) {
        for (size_t align = 1; align <= 4096; align *= 2) {
            for (size_t s = 0; s < SC_ARRAY_SIZE(sizes); s++) {
                size_t n = sizes[s], ends = n < 4096 ? n : 4096;
                uint8_t *p = shim_alloc(n, align, SHIM_TAG_TEST);

                ck_assert_ptr_nonnull(p);
                ck_assert_uint_eq((uintptr_t)p & (align - 1), 0);
                /* Zero also the second time, when the host hands out what was used before. */
                for (size_t i = 0; i < ends; i++)
                    ck_assert_uint_eq(p[i] | p[n - 1 - i], 0);
                memset(p, 0xa5, ends);
                memset(p + n - ends, 0x5a, ends);
                shim_free(p, n, align, SHIM_TAG_TEST);
            }
        }
    }
    shim_test_end();
}
END_TEST

START_TEST(test_memory_blocks_do_not_overlap)
{
    uint8_t *p[64];

    begin(_i);
    for (unsigned i = 0; i < 64; i++) {
        p[i] = shim_alloc(100 + i, 8, SHIM_TAG_TEST);
        ck_assert_ptr_nonnull(p[i]);
        memset(p[i], (int)i, 100 + i);
    }
    for (unsigned i = 0; i < 64; i++) {
        ck_assert_uint_eq(p[i][0], i);
        ck_assert_uint_eq(p[i][99 + i], i);
        shim_free(p[i], 100 + i, 8, SHIM_TAG_TEST);
    }
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- 7, 8, 12, 13 events and time */

START_TEST(test_time_moves_forward)
{
    uint64_t before, after;

    begin(_i);
    before = shim_now_ns();
    for (int i = 0; i < 1000; i++) {
        after = shim_now_ns();
        ck_assert_uint_ge(after, before);
        before = after;
    }
    shim_delay_ns(50000);
    ck_assert_uint_ge(shim_now_ns(), before + 50000);
    shim_test_end();
}
END_TEST

START_TEST(test_wake_before_wait_is_remembered_once)
{
    struct shim_event ev = {0};
    uint64_t until;

    begin(_i);
    shim_wake(&ev);
    shim_wake(&ev);
    ck_assert(shim_wait(&ev, NULL, UINT64_MAX));
    /* Consumed: the next wait runs into its deadline, and not before it. */
    until = shim_now_ns() + 2 * MS;
    ck_assert(!shim_wait(&ev, NULL, until));
    ck_assert_uint_ge(shim_now_ns(), until);
    /* A deadline in the past is an answer at once. */
    ck_assert(!shim_wait(&ev, NULL, 0));
    shim_wake(&ev);
    ck_assert(shim_wait(&ev, NULL, 0));
    shim_test_end();
}
END_TEST

START_TEST(test_wait_gives_the_lock_back)
{
    struct shim_event ev = {0};
    struct shim_lock lock;

    begin(_i);
    ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_EVENT, "conformance"), 0);
    shim_lock_enter(&lock);
    ck_assert(shim_lock_is_held(&lock));
    ck_assert(!shim_wait(&ev, &lock, shim_now_ns() + MS));
    ck_assert(shim_lock_is_held(&lock));
    shim_lock_exit(&lock);
    shim_lock_fini(&lock);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- 14, 15 timers */

struct probe {
    struct shim_timer timer;
    struct shim_event fired_event;
    _Atomic unsigned fired;
    _Atomic uint64_t when_ns;
    _Atomic unsigned ctx;
    unsigned again; /* how often it arms itself anew */
};

static void probe_fn(struct shim_timer *t)
{
    struct probe *p = t->tm_arg;

    p->when_ns = shim_now_ns();
    p->ctx = shim_self()->self_ctx;
    if (p->again > 0) {
        p->again--;
        ck_assert_int_eq(shim_timer_arm(t, shim_now_ns() + MS), 0);
    }
    p->fired++;
    shim_wake(&p->fired_event);
}

static void pass_time(uint64_t ns)
{
    struct shim_event never = {0};

    ck_assert(!shim_wait(&never, NULL, shim_now_ns() + ns));
}

/* It has gone off and will not again. The end of its function may still be under way on another thread. */
static void assert_over(struct probe *p)
{
    int said;

    while ((said = shim_timer_cancel(&p->timer)) == SHIM_CANCEL_RUNNING)
        pass_time(MS);
    ck_assert_int_eq(said, SHIM_CANCEL_IDLE);
}

START_TEST(test_timer_fires_once_and_not_early)
{
    struct probe p = {0};
    uint64_t when;

    begin(_i);
    shim_timer_init(&p.timer, probe_fn, &p);
    when = shim_now_ns() + 3 * MS;
    ck_assert_int_eq(shim_timer_arm(&p.timer, when), 0);
    ck_assert(shim_wait(&p.fired_event, NULL, UINT64_MAX));
    ck_assert_uint_ge(p.when_ns, when);
    ck_assert_uint_eq(p.ctx, SHIM_CTX_COMPLETION);
    pass_time(5 * MS);
    ck_assert_uint_eq(p.fired, 1);
    assert_over(&p);
    shim_test_end();
}
END_TEST

START_TEST(test_NB_02_arming_an_armed_timer_moves_it)
{
    struct probe p = {0};
    uint64_t start;

    begin(_i);
    shim_timer_init(&p.timer, probe_fn, &p);
    start = shim_now_ns();
    /* Later, then earlier than the first: it goes off once, at the last time given. */
    ck_assert_int_eq(shim_timer_arm(&p.timer, start + 400 * MS), 0);
    ck_assert_int_eq(shim_timer_arm(&p.timer, start + 800 * MS), 0);
    ck_assert_int_eq(shim_timer_arm(&p.timer, start + 4 * MS), 0);
    ck_assert(shim_wait(&p.fired_event, NULL, UINT64_MAX));
    ck_assert_uint_ge(p.when_ns, start + 4 * MS);
    ck_assert_uint_lt(p.when_ns, start + 400 * MS);
    assert_over(&p);
    ck_assert_uint_eq(p.fired, 1);
    shim_test_end();
}
END_TEST

START_TEST(test_timer_cancelled_stays_quiet)
{
    struct probe p = {0};

    begin(_i);
    shim_timer_init(&p.timer, probe_fn, &p);
    ck_assert_int_eq(shim_timer_cancel(&p.timer), SHIM_CANCEL_IDLE);
    ck_assert_int_eq(shim_timer_arm(&p.timer, shim_now_ns() + 500 * MS), 0);
    ck_assert_int_eq(shim_timer_cancel(&p.timer), SHIM_CANCEL_WAS_ARMED);
    ck_assert_int_eq(shim_timer_cancel(&p.timer), SHIM_CANCEL_IDLE);
    pass_time(2 * MS);
    ck_assert_uint_eq(p.fired, 0);
    shim_test_end();
}
END_TEST

START_TEST(test_timer_may_arm_itself)
{
    struct probe p = {.again = 3};

    begin(_i);
    shim_timer_init(&p.timer, probe_fn, &p);
    ck_assert_int_eq(shim_timer_arm(&p.timer, shim_now_ns() + MS), 0);
    while (p.fired < 4)
        (void)shim_wait(&p.fired_event, NULL, UINT64_MAX);
    pass_time(3 * MS);
    assert_over(&p);
    ck_assert_uint_eq(p.fired, 4);
    shim_test_end();
}
END_TEST

START_TEST(test_timers_fire_in_order)
{
    static struct probe p[50];
    uint64_t start;

    begin(_i);
    memset(p, 0, sizeof(p));
    start = shim_now_ns();
    for (unsigned i = 0; i < 50; i++) {
        shim_timer_init(&p[i].timer, probe_fn, &p[i]);
        /* 17 is prime to 50: armed in a scrambled order. */
        ck_assert_int_eq(shim_timer_arm(&p[i].timer, start + MS + (i * 17 % 50) * (MS / 4)), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        ck_assert(shim_wait(&p[i].fired_event, NULL, UINT64_MAX));
        assert_over(&p[i]);
    }
    for (unsigned i = 0; i < 50; i++)
        for (unsigned j = 0; j < 50; j++)
            if (i * 17 % 50 < j * 17 % 50)
                ck_assert_uint_le(p[i].when_ns, p[j].when_ns);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- 3-6, 9-11 locks and threads */

#define THREADS 4
#define ROUNDS  20000

struct crowd {
    struct shim_lock lock;
    unsigned long counter; /* under lock */
    struct shim_event go, done;
    _Atomic unsigned left;
    struct shim_self *_Atomic selves[THREADS];
    _Atomic unsigned next;
};

static void crowd_member(void *arg)
{
    struct crowd *c = arg;

    c->selves[c->next++] = shim_self();
    for (int i = 0; i < ROUNDS; i++) {
        shim_lock_enter(&c->lock);
        c->counter++;
        shim_lock_exit(&c->lock);
    }
    if (--c->left == 0)
        shim_wake(&c->done);
}

START_TEST(test_lock_excludes_threads)
{
    static struct crowd c;
    struct shim_thread threads[THREADS];
    int error = 0;

    begin(_i);
    memset(&c, 0, sizeof(c));
    ck_assert_int_eq(shim_lock_init(&c.lock, SHIM_RANK_DD_LUN, "crowd"), 0);
    c.left = THREADS;
    for (int i = 0; i < THREADS && error == 0; i++)
        error = shim_thread_start(&threads[i], crowd_member, &c, "crowd");
    if (error == ENOSYS) {
        /* No threads: a lock is then only a promise, which must still be keepable. */
        shim_lock_enter(&c.lock);
        shim_lock_exit(&c.lock);
    } else {
        ck_assert_int_eq(error, 0);
        ck_assert(shim_wait(&c.done, NULL, UINT64_MAX));
        for (int i = 0; i < THREADS; i++)
            shim_thread_join(&threads[i]);
        ck_assert_uint_eq(c.counter, (unsigned long)THREADS * ROUNDS);
        for (int i = 0; i < THREADS; i++)
            ck_assert_ptr_ne(c.selves[i], shim_self());
    }
    shim_lock_fini(&c.lock);
    shim_test_end();
}
END_TEST

struct pingpong {
    struct shim_event ping, pong;
    unsigned turns;
};

static void pong_thread(void *arg)
{
    struct pingpong *pp = arg;

    for (int i = 0; i < ROUNDS / 10; i++) {
        (void)shim_wait(&pp->ping, NULL, UINT64_MAX);
        pp->turns++;
        shim_wake(&pp->pong);
    }
}

START_TEST(test_no_wakeup_is_lost_between_threads)
{
    static struct pingpong pp;
    struct shim_thread thread;
    int error;

    begin(_i);
    memset(&pp, 0, sizeof(pp));
    error = shim_thread_start(&thread, pong_thread, &pp, "pong");
    if (error != ENOSYS) {
        ck_assert_int_eq(error, 0);
        for (int i = 0; i < ROUNDS / 10; i++) {
            shim_wake(&pp.ping);
            ck_assert(shim_wait(&pp.pong, NULL, UINT64_MAX));
            ck_assert_uint_eq(pp.turns, (unsigned)i + 1);
        }
        shim_thread_join(&thread);
    }
    shim_test_end();
}
END_TEST

START_TEST(test_self_stays_and_begins_at_process_level)
{
    begin(_i);
    ck_assert_ptr_nonnull(shim_self());
    ck_assert_ptr_eq(shim_self(), shim_self());
    ck_assert_uint_eq(shim_self()->self_ctx, SHIM_CTX_PROCESS);
    ck_assert(kern_at_process_level());
    ck_assert_uint_ne(thread_self(), 0);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- 16-19 the rest */

START_TEST(test_copy_both_ways)
{
    uint8_t kernel[32], user[32];

    begin(_i);
    memset(kernel, 1, sizeof(kernel));
    memset(user, 2, sizeof(user));
    ck_assert_int_eq(shim_copy_user(user, kernel, 16, true), 0);
    ck_assert_uint_eq(user[15], 1);
    ck_assert_uint_eq(user[16], 2);
    ck_assert_int_eq(shim_copy_user(user + 16, kernel + 16, 16, false), 0);
    ck_assert_uint_eq(kernel[15], 1);
    ck_assert_uint_eq(kernel[16], 2);
    ck_assert_int_eq(shim_copy_user(user, kernel, 0, true), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_tunable_falls_back)
{
    begin(_i);
    ck_assert_int_eq(shim_tunable("conformance_no_such_name", -17), -17);
    shim_log(SHIM_LOG_VERBOSE, "conformance %s %d", "text", 1);
    shim_test_end();
}
END_TEST

START_TEST(test_panic_does_not_return)
{
    begin(_i);
    shim_panic("on purpose, host %d", _i);
}
END_TEST

/* ---------------------------------------------------------------- 20-30 the device half */

START_TEST(test_device_half_of_the_simulated_bus)
{
    struct sim_bus_config cfg = {.sb_adapter_id = 7};
    struct shim_dma_limits limits = {0};
    struct shim_seg segs[8];
    struct shim_dma_map map = {.map_segs = segs, .map_segs_max = 8};
    static uint8_t memory[4096];
    struct iovec vec[] = {{memory, 100}, {memory + 100, 28}, {memory + 512, 512}};
    struct shim_dma_mem mem = {0};
    struct sim_bus *bus;
    struct shim_dev *dev;
    uint64_t total = 0;

    begin(_i);
    ck_assert_int_eq(sim_bus_create(&cfg, &bus), 0);
    dev = sim_bus_dev(bus);
    ck_assert_uint_eq(dev->dev_ops->version, SHIM_DEV_VERSION);
    ck_assert_int_eq(dev->dev_ops->open(dev, &limits), 0);
    ck_assert_uint_ge(limits.dl_segs_max, 3);
    ck_assert_int_eq(shim_dma_map(dev, vec, 3, SHIM_DIR_FROM_DEVICE, &map), SHIM_MAP_OK);
    /* Neighbours are merged; order and length are kept. */
    ck_assert_uint_eq(map.map_nsegs, 2);
    for (uint32_t i = 0; i < map.map_nsegs; i++)
        total += segs[i].seg_bytes;
    ck_assert_uint_eq(total, 640);
    ck_assert_uint_eq(map.map_bytes, 640);
    ck_assert_uint_eq(segs[0].seg_bytes, 128);
    shim_dma_unmap(dev, &map);
    ck_assert_int_eq(dev->dev_ops->dma_alloc(dev, 8192, 4096, &mem), 0);
    ck_assert_ptr_nonnull(mem.dm_cpu);
    ck_assert_uint_eq(mem.dm_bus % 4096, 0);
    ck_assert_uint_ge(mem.dm_bytes, 8192);
    dev->dev_ops->dma_free(dev, &mem);
    dev->dev_ops->close(dev);
    sim_bus_destroy(bus);
    shim_test_end();
}
END_TEST

START_TEST(test_map_failure_says_later)
{
    struct sim_bus_config cfg = {.sb_adapter_id = 7};
    struct shim_dma_limits limits = {0};
    struct shim_seg segs[8];
    struct shim_dma_map map = {.map_segs = segs, .map_segs_max = 8};
    static uint8_t memory[512];
    struct iovec vec = {memory, sizeof(memory)};
    struct sim_bus *bus;
    struct shim_dev *dev;

    begin(_i);
    ck_assert_int_eq(sim_bus_create(&cfg, &bus), 0);
    dev = sim_bus_dev(bus);
    ck_assert_int_eq(dev->dev_ops->open(dev, &limits), 0);
    shim_fail_set(SHIM_FAIL_MAP, 1, false);
    ck_assert_int_eq(shim_dma_map(dev, &vec, 1, SHIM_DIR_TO_DEVICE, &map), SHIM_MAP_LATER);
    ck_assert_int_eq(shim_dma_map(dev, &vec, 1, SHIM_DIR_TO_DEVICE, &map), SHIM_MAP_OK);
    shim_dma_unmap(dev, &map);
    dev->dev_ops->close(dev);
    sim_bus_destroy(bus);
    shim_test_end();
}
END_TEST

static TCase *group(Suite *s, const char *name)
{
    TCase *tc = tcase_create(name);

    suite_add_tcase(s, tc);
    return tc;
}

static Suite *conformance_suite(void)
{
    Suite *s = suite_create("shim_conformance");
    TCase *tc = group(s, "table");

    tcase_add_loop_test(tc, test_table_refused_when_wrong, 0, NHOSTS);
    tc = group(s, "memory");
    tcase_add_loop_test(tc, test_memory_zeroed_and_aligned, 0, NHOSTS);
    tcase_add_loop_test(tc, test_memory_blocks_do_not_overlap, 0, NHOSTS);
    tc = group(s, "events");
    tcase_add_loop_test(tc, test_time_moves_forward, 0, NHOSTS);
    tcase_add_loop_test(tc, test_wake_before_wait_is_remembered_once, 0, NHOSTS);
    tcase_add_loop_test(tc, test_wait_gives_the_lock_back, 0, NHOSTS);
    tc = group(s, "timers");
    tcase_add_loop_test(tc, test_timer_fires_once_and_not_early, 0, NHOSTS);
    tcase_add_loop_test(tc, test_NB_02_arming_an_armed_timer_moves_it, 0, NHOSTS);
    tcase_add_loop_test(tc, test_timer_cancelled_stays_quiet, 0, NHOSTS);
    tcase_add_loop_test(tc, test_timer_may_arm_itself, 0, NHOSTS);
    tcase_add_loop_test(tc, test_timers_fire_in_order, 0, NHOSTS);
    tc = group(s, "threads");
    tcase_add_loop_test(tc, test_lock_excludes_threads, 0, NHOSTS);
    tcase_add_loop_test(tc, test_no_wakeup_is_lost_between_threads, 0, NHOSTS);
    tcase_add_loop_test(tc, test_self_stays_and_begins_at_process_level, 0, NHOSTS);
    tc = group(s, "rest");
    tcase_add_loop_test(tc, test_copy_both_ways, 0, NHOSTS);
    tcase_add_loop_test(tc, test_tunable_falls_back, 0, NHOSTS);
    tcase_add_loop_test_raise_signal(tc, test_panic_does_not_return, SIGABRT, 0, NHOSTS);
    tc = group(s, "device");
    tcase_add_loop_test(tc, test_device_half_of_the_simulated_bus, 0, NHOSTS);
    tcase_add_loop_test(tc, test_map_failure_says_later, 0, NHOSTS);
    return s;
}

int main(int argc, char **argv) { return test_run(conformance_suite(), argc, argv); }
