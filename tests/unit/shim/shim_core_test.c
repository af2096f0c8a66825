/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_core_test.c - installing a host, what stands in for a missing function, memory accounting,
 * DMA map accounting, and the k-th failure.
 */
#define _GNU_SOURCE
#include "panic_host.h"

/* ---------------------------------------------------------------- installing */

START_TEST(test_init_refuses_wrong_version_size_and_holes)
{
    struct shim_host h = *shim_det_host(1);

    ck_assert_int_eq(shim_init(NULL), EINVAL);
    h.version = 2;
    ck_assert_int_eq(shim_init(&h), EINVAL);
    h = *shim_det_host(1);
    h.size = SHIM_TABLE_BYTES(shim_host, panic) - 1; /* too short for what nothing runs without */
    ck_assert_int_eq(shim_init(&h), EINVAL);
    h = *shim_det_host(1);
    h.alloc = NULL;
    ck_assert_int_eq(shim_init(&h), EINVAL);
    h = *shim_det_host(1);
    h.panic = NULL;
    ck_assert_int_eq(shim_init(&h), EINVAL);
    h = *shim_det_host(1);
    h.wake = NULL; /* wait without wake is a hole, neither of them is not */
    ck_assert_int_eq(shim_init(&h), EINVAL);
    ck_assert_ptr_null(shim_host);
    ck_assert_int_eq(shim_init(shim_det_host(1)), 0);
    ck_assert_int_eq(shim_init(shim_det_host(1)), EBUSY);
    ck_assert_uint_eq(shim_fini(), 0);
    ck_assert_int_eq(shim_init(shim_det_host(1)), 0); /* and again */
    ck_assert_uint_eq(shim_fini(), 0);
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

static char init_said[128];

static void init_log(int level, const char *text)
{
    ck_assert_int_eq(level, SHIM_LOG_ERROR);
    (void)snprintf(init_said, sizeof(init_said), "%s", text);
}

/* A porter sees which of thirty functions it is. */
START_TEST(test_init_names_the_hole)
{
    struct shim_host h = *shim_det_host(1);

    h.log = init_log;
    h.copy_user = NULL;
    ck_assert_int_eq(shim_init(&h), EINVAL);
    ck_assert_str_eq(init_said, "shim: the host's table lacks 16 copy_user");
    h.copy_user = shim_det_host(1)->copy_user;
    h.timer_arm = NULL;
    ck_assert_int_eq(shim_init(&h), EINVAL);
    ck_assert_str_eq(init_said, "shim: the host's table lacks one of 14 timer_arm and 15 timer_cancel");
    h.log = NULL; /* nobody to tell */
    ck_assert_int_eq(shim_init(&h), EINVAL);
}
END_TEST

/* Each of them alone is missed; one of a pair is a hole, too. */
START_TEST(test_init_needs_every_function)
{
    static const size_t needed[] = {
        offsetof(struct shim_host, name),         offsetof(struct shim_host, alloc),
        offsetof(struct shim_host, free),         offsetof(struct shim_host, lock_init),
        offsetof(struct shim_host, lock_fini),    offsetof(struct shim_host, lock_enter),
        offsetof(struct shim_host, lock_exit),    offsetof(struct shim_host, now_ns),
        offsetof(struct shim_host, copy_user),    offsetof(struct shim_host, log),
        offsetof(struct shim_host, panic),        offsetof(struct shim_host, wait),
        offsetof(struct shim_host, wake),         offsetof(struct shim_host, timer_arm),
        offsetof(struct shim_host, timer_cancel), offsetof(struct shim_host, thread_start),
        offsetof(struct shim_host, thread_join),
    };

    for (unsigned i = 0; i < SC_ARRAY_SIZE(needed); i++) {
        struct shim_host h = *shim_det_host(1);

        memset((char *)&h + needed[i], 0, sizeof(void *));
        ck_assert_msg(shim_init(&h) == EINVAL, "entry at %zu is not missed", needed[i]);
        ck_assert_ptr_null(shim_host);
    }
}
END_TEST

static int64_t tunable_never(const char *name, int64_t dflt)
{
    ck_abort_msg("called %s beyond the end of the table (%lld)", name, (long long)dflt);
}

/* What an older port's table is too short for is not there, whatever the bytes behind it say. */
START_TEST(test_init_completes_an_older_table)
{
    struct shim_host h = *shim_det_host(1);

    h.size = SHIM_TABLE_BYTES(shim_host, panic);
    h.tunable = tunable_never;
    ck_assert_int_eq(shim_init(&h), 0);
    ck_assert_ptr_ne(shim_host->tunable, tunable_never);
    ck_assert_int_eq(shim_tunable("ad_openings", 17), 17);
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

/* So is an entry of which it has the first half only. */
START_TEST(test_init_takes_no_half_of_an_entry)
{
    struct shim_host h = *shim_det_host(1);

    h.tunable = tunable_never;
    for (uint32_t part = 1; part < sizeof(h.tunable); part++) {
        h.size = SHIM_TABLE_BYTES(shim_host, panic) + part;
        ck_assert_int_eq(shim_init(&h), 0);
        ck_assert_int_eq(shim_tunable("ad_openings", 17), 17);
        ck_assert_uint_eq(shim_fini(), 0);
    }
}
END_TEST

/* A newer port's table is taken as far as this core knows it. */
START_TEST(test_init_takes_a_newer_table)
{
    struct {
        struct shim_host known;
        void (*later[4])(void);
    } h = {.known = *shim_det_host(1)};

    h.known.size = sizeof(h);
    ck_assert_int_eq(shim_init(&h.known), 0);
    ck_assert_ptr_eq(shim_host->now_ns, h.known.now_ns);
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

static uint64_t tick_ns;
static uint64_t tick_now(void) { return tick_ns += 100; }
static void timer_noop(struct shim_timer *t) { (void)t; }

/* The 12 host functions a polled, single-threaded port starts with are enough. */
START_TEST(test_init_polled_host_gets_stand_ins)
{
    struct shim_host h = *shim_det_host(1);
    struct shim_event ev = {0};
    struct shim_timer tm;
    struct shim_thread th;
    struct shim_lock lock;

    h.wait = NULL;
    h.wake = NULL;
    h.thread_start = NULL;
    h.thread_join = NULL;
    h.self = NULL;
    h.delay_ns = NULL;
    h.timer_arm = NULL;
    h.timer_cancel = NULL;
    h.tunable = NULL;
    h.now_ns = tick_now;
    ck_assert_int_eq(shim_init(&h), 0);
    ck_assert_ptr_nonnull(shim_self());
    ck_assert_uint_ne(shim_self()->self_id, 0);
    ck_assert(!shim_wait(&ev, NULL, tick_ns + 1000));
    shim_wake(&ev);
    ck_assert(shim_wait(&ev, NULL, 0));
    ck_assert_int_eq(shim_lock_init(&lock, SHIM_RANK_DD_OPEN, "sleeper"), 0);
    shim_lock_enter(&lock);
    ck_assert(!shim_wait(&ev, &lock, tick_ns + 1000));
    shim_wake(&ev);
    ck_assert(shim_wait(&ev, &lock, 0));
    shim_lock_exit(&lock);
    shim_lock_fini(&lock);
    ck_assert_int_eq(shim_thread_start(&th, (void (*)(void *))timer_noop, NULL, "x"), ENOSYS);
    shim_timer_init(&tm, timer_noop, NULL);
    ck_assert_int_eq(shim_timer_arm(&tm, 5), ENOSYS);
    ck_assert_int_eq(shim_timer_cancel(&tm), SHIM_CANCEL_IDLE);
    ck_assert_int_eq(shim_tunable("x", 7), 7);
    shim_delay_ns(1000);
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

START_TEST(test_joining_without_threads_panics)
{
    struct shim_host h = *shim_det_host(1);
    struct shim_thread th = {0};

    h.thread_start = NULL;
    h.thread_join = NULL;
    panic_begin(&h);
    panic_expect("this host has no threads");
    shim_thread_join(&th);
}
END_TEST

/* Nothing to copy needs no address; the host is not asked. */
START_TEST(test_copying_nothing_is_allowed)
{
    panic_begin(shim_det_host(1));
    ck_assert_int_eq(shim_copy_user(NULL, NULL, 0, true), 0);
    ck_assert_int_eq(shim_copy_user(NULL, NULL, 0, false), 0);
    shim_test_end();
    shim_log(SHIM_LOG_ERROR, "no host hears this"); /* and nothing happens */
}
END_TEST

/* ---------------------------------------------------------------- memory */

START_TEST(test_alloc_is_zeroed_aligned_and_counted)
{
    struct shim_account acc;

    panic_begin(_i ? shim_posix_host() : shim_det_host(1));
    for (size_t align = 16; align <= 4096; align *= 2) {
        size_t size = align * 3 + 5;
        unsigned char *p = shim_alloc(size, align, SHIM_TAG_TEST);

        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % align, 0);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(p[i], 0);
        memset(p, 0xff, size);
        shim_account_get(&acc);
        ck_assert_uint_eq(acc.acc_blocks[SHIM_TAG_TEST], 1);
        ck_assert_uint_eq(acc.acc_bytes[SHIM_TAG_TEST], size);
        shim_free(p, size, align, SHIM_TAG_TEST);
    }
    shim_account_get(&acc);
    ck_assert_uint_eq(acc.acc_blocks[SHIM_TAG_TEST], 0);
    ck_assert_uint_eq(acc.acc_bytes[SHIM_TAG_TEST], 0);
    ck_assert_ptr_null(shim_alloc(SIZE_MAX, 0, SHIM_TAG_TEST));
    shim_free(NULL, 5, 0, SHIM_TAG_TEST);
    shim_test_end();
}
END_TEST

/* A block counts for who took it, whoever gives it back. */
START_TEST(test_owner_of_a_block)
{
    uint32_t before;
    size_t had;
    void *p;

    panic_begin(shim_det_host(1));
    had = shim_owner_blocks(0);
    before = shim_owner_enter(1);
    p = shim_alloc(100, 0, SHIM_TAG_TEST);
    shim_owner_leave(before);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(shim_owner_blocks(1), 1);
    shim_free(p, 100, 0, SHIM_TAG_TEST);
    ck_assert_uint_eq(shim_owner_blocks(1), 0);
    ck_assert_uint_eq(shim_owner_blocks(0), had);
    shim_test_end();
}
END_TEST

START_TEST(test_alloc_large_block_comes_and_goes)
{
    const size_t size = (size_t)8 << 20;
    char *p;

    panic_begin(shim_posix_host());
    p = shim_alloc(size, 4096, SHIM_TAG_TEST);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % 4096, 0);
    p[0] = p[size - 1] = 1;
    shim_free(p, size, 4096, SHIM_TAG_TEST);
    shim_test_end();
}
END_TEST

START_TEST(test_free_with_wrong_size_panics)
{
    char *p;

    panic_begin(shim_det_host(1));
    p = shim_alloc(64, 0, SHIM_TAG_TEST);
    panic_expect("not what was allocated");
    shim_free(p, 32, 0, SHIM_TAG_TEST);
}
END_TEST

START_TEST(test_free_with_wrong_tag_panics)
{
    char *p;

    panic_begin(shim_det_host(1));
    p = shim_alloc(64, 0, SHIM_TAG_TEST);
    panic_expect("not what was allocated");
    shim_free(p, 64, 0, SHIM_TAG_DD);
}
END_TEST

START_TEST(test_free_after_overrun_panics)
{
    char *p;

    panic_begin(shim_det_host(1));
    p = shim_alloc(64, 0, SHIM_TAG_TEST);
    p[64] = 1;
    panic_expect("not what was allocated");
    shim_free(p, 64, 0, SHIM_TAG_TEST);
}
END_TEST

static unsigned char freed_seen;
static void free_look(void *p, size_t size, size_t align)
{
    (void)align;
    freed_seen = ((unsigned char *)p)[size / 4];
    free(p);
}

START_TEST(test_free_poisons_in_checked_mode)
{
    struct shim_host h = *shim_det_host(1);

    h.free = free_look;
    shim_checks_set(true);
    ck_assert_int_eq(shim_init(&h), 0);
    shim_free(shim_alloc(64, 0, SHIM_TAG_TEST), 64, 0, SHIM_TAG_TEST);
    ck_assert_uint_eq(freed_seen, 0xa5);
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

static unsigned leak_lines;
static void leak_log(int level, const char *text)
{
    if (level == SHIM_LOG_ERROR && strstr(text, "leak: test: 2 blocks, 30 bytes"))
        leak_lines++;
}

START_TEST(test_fini_counts_and_names_what_leaked)
{
    struct shim_host h = *shim_det_host(1);
    void *p, *q;

    h.log = leak_log;
    ck_assert_int_eq(shim_init(&h), 0);
    p = shim_alloc(10, 0, SHIM_TAG_TEST);
    q = shim_alloc(20, 0, SHIM_TAG_TEST);
    ck_assert_uint_eq(shim_fini(), 2);
    ck_assert_uint_eq(leak_lines, 1);
    ck_assert_int_eq(shim_init(&h), 0);
    ck_assert_uint_eq(shim_fini(), 0);
    free(p);
    free(q);
}
END_TEST

/* ---------------------------------------------------------------- failures */

START_TEST(test_fail_kth_once_and_for_good)
{
    panic_begin(shim_det_host(1));
    for (uint64_t k = 1; k <= 4; k++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            shim_fail_set(SHIM_FAIL_ALLOC, k, for_good != 0);
            for (uint64_t call = 1; call <= 5; call++) {
                void *p = shim_alloc(8, 0, SHIM_TAG_TEST);

                ck_assert_int_eq(p == NULL, for_good ? call >= k : call == k);
                shim_free(p, 8, 0, SHIM_TAG_TEST);
            }
            ck_assert_uint_eq(shim_fail_calls(SHIM_FAIL_ALLOC), 5);
            ck_assert_uint_eq(shim_fail_failed(SHIM_FAIL_ALLOC), for_good ? 6 - k : 1);
        }
    }
    shim_fail_set(SHIM_FAIL_ALLOC, UINT64_MAX, true); /* only count */
    shim_free(shim_alloc(8, 0, SHIM_TAG_TEST), 8, 0, SHIM_TAG_TEST);
    ck_assert_uint_eq(shim_fail_calls(SHIM_FAIL_ALLOC), 1);
    ck_assert_uint_eq(shim_fail_failed(SHIM_FAIL_ALLOC), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_fail_every_kind_answers_as_documented)
{
    struct shim_timer tm;
    struct shim_thread th;
    char a[4] = "abc", b[4] = "";

    panic_begin(shim_det_host(1));
    for (int what = 0; what < SHIM_FAIL_COUNT; what++)
        shim_fail_set((enum shim_fail)what, 1, true);
    shim_timer_init(&tm, timer_noop, NULL);
    ck_assert_ptr_null(shim_alloc(1, 0, SHIM_TAG_TEST));
    ck_assert_int_eq(shim_timer_arm(&tm, 1), ENOMEM);
    ck_assert_int_eq(shim_copy_user(b, a, 4, true), EFAULT);
    ck_assert_str_eq(b, "");
    ck_assert_int_eq(shim_thread_start(&th, (void (*)(void *))timer_noop, NULL, "x"), ENOMEM);
    for (int what = 0; what < SHIM_FAIL_COUNT; what++)
        shim_fail_set((enum shim_fail)what, 0, false);
    ck_assert_int_eq(shim_copy_user(b, a, 4, true), 0);
    ck_assert_str_eq(b, "abc");
    ck_assert_int_eq(shim_copy_user(NULL, a, 4, true), EFAULT); /* no user memory there */
    ck_assert_uint_eq(shim_det_timers(), 0);
    shim_test_end();
}
END_TEST

/* The threaded host knows three kinds of address that are no user's. */
START_TEST(test_posix_copy_user_refuses_what_is_no_memory)
{
    char a[4] = "abc", b[4] = "";

    panic_begin(shim_posix_host());
    ck_assert_int_eq(shim_copy_user(b, a, 4, true), 0);
    ck_assert_str_eq(b, "abc");
    for (unsigned to_user = 0; to_user < 2; to_user++) {
        ck_assert_int_eq(shim_copy_user(NULL, a, 4, to_user), EFAULT);
        ck_assert_int_eq(shim_copy_user((void *)(uintptr_t)(SC_PAGE_SIZE - 1), a, 4, to_user), EFAULT);
        ck_assert_int_eq(shim_copy_user((void *)(UINTPTR_MAX - 2), a, 4, to_user), EFAULT);
    }
    shim_test_end();
}
END_TEST

/* A tunable is a number, or the default. */
START_TEST(test_posix_tunable)
{
    static const struct {
        const char *text;
        int64_t value;
    } row[] = {
        {"12", 12}, {"0x10", 16}, {"-3", -3}, {"", 7}, {"12x", 7}, {"x", 7}, {"99999999999999999999", 7}};

    panic_begin(shim_posix_host());
    ck_assert_int_eq(unsetenv("SCPAIR_TEST_NUMBER"), 0);
    ck_assert_int_eq(shim_tunable("test_number", 7), 7);
    for (size_t i = 0; i < SC_ARRAY_SIZE(row); i++) {
        ck_assert_int_eq(setenv("SCPAIR_TEST_NUMBER", row[i].text, 1), 0);
        ck_assert_int_eq(shim_tunable("test_number", 7), row[i].value);
    }
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- DMA */

static int fake_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                    struct shim_dma_map *map)
{
    (void)dev;
    (void)vec;
    (void)dir;
    if (n > map->map_segs_max)
        return SHIM_MAP_NEVER;
    map->map_nsegs = n;
    return SHIM_MAP_OK;
}
static void fake_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    (void)dev;
    map->map_nsegs = 0;
}

START_TEST(test_dma_maps_are_counted_and_fail_on_request)
{
    static const struct shim_dev_ops ops = {.dma_map = fake_map, .dma_unmap = fake_unmap};
    struct shim_dev dev = {.dev_ops = &ops};
    struct shim_seg segs[2];
    struct shim_dma_map map = {.map_segs = segs, .map_segs_max = 2};
    struct iovec vec[3] = {{0}};
    struct shim_account acc;

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(shim_dma_map(&dev, vec, 3, 0, &map), SHIM_MAP_NEVER);
    ck_assert_int_eq(shim_dma_map(&dev, vec, 2, 0, &map), SHIM_MAP_OK);
    shim_account_get(&acc);
    ck_assert_uint_eq(acc.acc_maps, 1);
    shim_checks_set(false); /* switching in between must not upset the total */
    shim_dma_unmap(&dev, &map);
    shim_account_get(&acc);
    ck_assert_uint_eq(acc.acc_maps, 0);
    shim_fail_set(SHIM_FAIL_MAP, 1, false);
    ck_assert_int_eq(shim_dma_map(&dev, vec, 1, 0, &map), SHIM_MAP_LATER);
    ck_assert_int_eq(shim_dma_map(&dev, vec, 1, 0, &map), SHIM_MAP_OK);
    shim_account_get(&acc);
    ck_assert_uint_eq(acc.acc_maps, 1);
    shim_dma_unmap(&dev, &map);
    shim_dma_sync(&dev, &map, SHIM_SYNC_BEFORE, SHIM_DIR_FROM_DEVICE); /* optional entry missing */
    shim_test_end();
}
END_TEST

static Suite *core_suite(void)
{
    Suite *s = suite_create("shim_core");
    TCase *install = tcase_create("install");
    TCase *memory = tcase_create("memory");
    TCase *failures = tcase_create("failures");

    tcase_add_test(install, test_init_refuses_wrong_version_size_and_holes);
    tcase_add_test(install, test_init_names_the_hole);
    tcase_add_test(install, test_init_completes_an_older_table);
    tcase_add_test(install, test_init_takes_no_half_of_an_entry);
    tcase_add_test(install, test_init_takes_a_newer_table);
    tcase_add_test(install, test_init_needs_every_function);
    tcase_add_test(install, test_init_polled_host_gets_stand_ins);
    tcase_add_exit_test(install, test_joining_without_threads_panics, PANIC_AS_EXPECTED);
    tcase_add_test(install, test_copying_nothing_is_allowed);
    suite_add_tcase(s, install);
    tcase_add_loop_test(memory, test_alloc_is_zeroed_aligned_and_counted, 0, 2);
    tcase_add_test(memory, test_owner_of_a_block);
    tcase_add_test(memory, test_alloc_large_block_comes_and_goes);
    tcase_add_exit_test(memory, test_free_with_wrong_size_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(memory, test_free_with_wrong_tag_panics, PANIC_AS_EXPECTED);
    tcase_add_exit_test(memory, test_free_after_overrun_panics, PANIC_AS_EXPECTED);
    tcase_add_test(memory, test_free_poisons_in_checked_mode);
    tcase_add_test(memory, test_fini_counts_and_names_what_leaked);
    suite_add_tcase(s, memory);
    tcase_add_test(failures, test_fail_kth_once_and_for_good);
    tcase_add_test(failures, test_fail_every_kind_answers_as_documented);
    tcase_add_test(failures, test_posix_copy_user_refuses_what_is_no_memory);
    tcase_add_test(failures, test_posix_tunable);
    tcase_add_test(failures, test_dma_maps_are_counted_and_fail_on_request);
    suite_add_tcase(s, failures);
    return s;
}

int main(int argc, char **argv) { return test_run(core_suite(), argc, argv); }
