/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kit_host.c - groups of the host half that every port has: the table, memory, locks, time,
 * copying, messages, panic.
 *
 * Does not contain: what needs sleeping, timers or threads (kit_sleep.c).
 */
#include "kit.h"

/* ---------------------------------------------------------------- the table */

static void log_nothing(int level, const char *text) { (void)level, (void)text; }

/* A wrong table is refused before anything of it is called, and leaves nothing behind. */
static void table_refused_when_wrong(struct kit *k)
{
    struct shim_host copy = *k->k_config->kc_host;

    copy.log = log_nothing; /* these holes are none of the porter's */
    copy.version = SHIM_HOST_VERSION + 1;
    KIT_MUST(shim_init(&copy) == EINVAL);
    copy = *k->k_config->kc_host;
    copy.log = log_nothing;
    copy.size = sizeof(copy.version) + sizeof(copy.size);
    KIT_MUST(shim_init(&copy) == EINVAL);
    copy = *k->k_config->kc_host;
    copy.log = log_nothing;
    copy.alloc = NULL;
    KIT_MUST(shim_init(&copy) == EINVAL);
    copy = *k->k_config->kc_host;
    copy.log = log_nothing;
    copy.panic = NULL;
    KIT_MUST(shim_init(&copy) == EINVAL);
    KIT_MUST(shim_init(NULL) == EINVAL);
}

/* One host at a time; after shim_fini() there may be another. */
static void table_installed_once(struct kit *k)
{
    KIT_MUST(shim_init(k->k_config->kc_host) == 0);
    if (shim_init(k->k_config->kc_host) != EBUSY)
        kit_fail(k, "shim_init(host) == EBUSY", __FILE__, __LINE__);
    if (shim_fini() != 0)
        kit_fail(k, "shim_fini() == 0", __FILE__, __LINE__);
    KIT_MUST(shim_init(k->k_config->kc_host) == 0);
    (void)shim_fini();
}

static const struct kit_test table_tests[] = {
    {"refused when wrong", table_refused_when_wrong},
    {"installed once", table_installed_once},
    {NULL, NULL},
};
const struct kit_group kit_group_table = {"table", "all", NULL, table_tests, true, false};

/* ---------------------------------------------------------------- 1, 2 memory */

#define MEM_BLOCKS 32u

static bool mem_is_filled(const uint8_t *p, size_t n, uint8_t with)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != with)
            return false;
    return true;
}

/* Zero also the second time, when the host hands out what was used before. */
static void mem_zeroed_and_aligned(struct kit *k)
{
    const size_t sizes[] = {1, 7, 64, 4095, 4096, k->k_config->kc_memory_bytes / 4};

    for (int round = 0; round < 2; round++) {
        for (size_t align = 1; align <= SC_PAGE_SIZE; align *= 2) {
            for (size_t s = 0; s < SC_ARRAY_SIZE(sizes); s++) {
                uint8_t *p = shim_alloc(sizes[s], align, SHIM_TAG_TEST);
                bool aligned = ((uintptr_t)p & (align - 1)) == 0, zero;

                KIT_MUST(p != NULL);
                zero = mem_is_filled(p, sizes[s], 0);
                memset(p, 0xa5, sizes[s]);
                shim_free(p, sizes[s], align, SHIM_TAG_TEST);
                KIT_MUST(aligned);
                KIT_MUST(zero);
            }
        }
    }
}

static void mem_do_not_overlap(struct kit *k)
{
    const size_t bytes = k->k_config->kc_memory_bytes / (MEM_BLOCKS * 2);
    uint8_t *p[MEM_BLOCKS];
    unsigned n = 0, whole = 0;

    for (n = 0; n < MEM_BLOCKS; n++) {
        p[n] = shim_alloc(bytes + n, 8, SHIM_TAG_TEST);
        if (!p[n])
            break;
        memset(p[n], (int)n + 1, bytes + n);
    }
    for (unsigned i = 0; i < n; i++)
        whole += mem_is_filled(p[i], bytes + i, (uint8_t)(i + 1));
    /* Giving back what overlaps would be noticed by a panic: said here, while the kit can still say it. */
    KIT_MUST(whole == n);
    /* Not in the order of allocation. */
    for (unsigned i = 0; i < n; i += 2)
        shim_free(p[i], bytes + i, 8, SHIM_TAG_TEST);
    for (unsigned i = 1; i < n; i += 2)
        shim_free(p[i], bytes + i, 8, SHIM_TAG_TEST);
    KIT_MUST(n == MEM_BLOCKS);
}

/* What was given back can be had again: a host that only hands out runs dry. */
static void mem_comes_back(struct kit *k)
{
    const size_t bytes = k->k_config->kc_memory_bytes / 4;

    for (int i = 0; i < 1000; i++) {
        void *p = shim_alloc(bytes, 16, SHIM_TAG_TEST);

        KIT_MUST(p != NULL);
        shim_free(p, bytes, 16, SHIM_TAG_TEST);
    }
}

/* More than there can be is NULL, not a panic. */
static void mem_too_much_is_null(struct kit *k)
{
    KIT_MUST(shim_alloc(SIZE_MAX / 2, 16, SHIM_TAG_TEST) == NULL);
}

static const struct kit_test memory_tests[] = {
    {"zeroed and aligned", mem_zeroed_and_aligned},
    {"blocks do not overlap", mem_do_not_overlap},
    {"given back, had again", mem_comes_back},
    {"too much is NULL", mem_too_much_is_null},
    {NULL, NULL},
};
const struct kit_group kit_group_memory = {"memory", "1, 2", NULL, memory_tests, false, false};

/* ---------------------------------------------------------------- 3-6 locks */

/* Both ways a lock is used: inline with the fast path, and checked through the host. */
static void lock_round_trips(struct kit *k)
{
    struct shim_lock lock;

    for (int checked = 0; checked < 2; checked++) {
        bool held, left;

        shim_checks_set(checked != 0);
        KIT_MUST(shim_lock_init(&lock, SHIM_RANK_DD_LUN, "kit") == 0);
        for (int i = 0; i < 100; i++) {
            shim_lock_enter(&lock);
            shim_lock_exit(&lock);
        }
        shim_lock_enter(&lock);
        held = shim_lock_is_held(&lock);
        shim_lock_exit(&lock);
        left = !shim_lock_is_held(&lock);
        shim_lock_fini(&lock);
        KIT_MUST(held);
        KIT_MUST(left);
    }
}

static void lock_ranks_nest(struct kit *k)
{
    struct shim_lock outer, inner;

    KIT_MUST(shim_lock_init(&outer, SHIM_RANK_DD_OPEN, "kit outer") == 0);
    if (shim_lock_init(&inner, SHIM_RANK_AD_LUN, "kit inner") != 0) {
        shim_lock_fini(&outer);
        kit_fail(k, "a second lock", __FILE__, __LINE__);
        return;
    }
    shim_lock_enter(&outer);
    shim_lock_enter(&inner);
    shim_lock_exit(&outer); /* in any order */
    shim_lock_exit(&inner);
    shim_lock_fini(&inner);
    shim_lock_fini(&outer);
}

static const struct kit_test lock_tests[] = {
    {"enter and exit", lock_round_trips},
    {"two at once", lock_ranks_nest},
    {NULL, NULL},
};
const struct kit_group kit_group_locks = {"locks", "3-6", NULL, lock_tests, false, false};

/* ---------------------------------------------------------------- 11-13 time, self */

static void time_moves_forward(struct kit *k)
{
    uint64_t before = shim_now_ns(), after;

    for (int i = 0; i < 1000; i++) {
        after = shim_now_ns();
        KIT_MUST(after >= before);
        before = after;
    }
    shim_delay_ns(50000);
    KIT_MUST(shim_now_ns() >= before + 50000);
}

static void self_stays_and_begins_at_process_level(struct kit *k)
{
    struct shim_self *self = shim_self();

    KIT_MUST(self != NULL);
    KIT_MUST(self == shim_self());
    KIT_MUST(self->self_ctx == SHIM_CTX_PROCESS);
    KIT_MUST(self->self_id != 0);
    KIT_MUST(self->self_nlocks == 0);
}

static const struct kit_test time_tests[] = {
    {"moves forward", time_moves_forward},
    {"self stays", self_stays_and_begins_at_process_level},
    {NULL, NULL},
};
const struct kit_group kit_group_time = {"time", "11-13", NULL, time_tests, false, false};

/* ---------------------------------------------------------------- 16 copying */

static void copy_both_ways(struct kit *k)
{
    uint8_t kernel[32], user[32];

    memset(kernel, 1, sizeof(kernel));
    memset(user, 2, sizeof(user));
    KIT_MUST(shim_copy_user(user, kernel, 16, true) == 0);
    KIT_MUST(mem_is_filled(user, 16, 1) && mem_is_filled(user + 16, 16, 2));
    KIT_MUST(shim_copy_user(user + 16, kernel + 16, 16, false) == 0);
    KIT_MUST(mem_is_filled(kernel, 16, 1) && mem_is_filled(kernel + 16, 16, 2));
    KIT_MUST(shim_copy_user(user, kernel, 0, true) == 0);
}

static const struct kit_test copy_tests[] = {{"both ways", copy_both_ways}, {NULL, NULL}};
const struct kit_group kit_group_copy = {"copy", "16", NULL, copy_tests, false, false};

/* ---------------------------------------------------------------- 17, 19 messages, tunables */

static void messages_go_out(struct kit *k)
{
    shim_log(SHIM_LOG_VERBOSE, "conformance %s %d", "text", 1);
    KIT_MUST(shim_tunable("conformance_no_such_name", -17) == -17);
}

static const struct kit_test message_tests[] = {{"log and tunable", messages_go_out}, {NULL, NULL}};
const struct kit_group kit_group_messages = {"messages", "17, 19", NULL, message_tests, false, false};

/* ---------------------------------------------------------------- 18 panic */

static const char *panic_cannot(const struct kit_config *config)
{
    return config->kc_panics ? NULL : "the port gives no way to come back from a panic (kc_panics)";
}

static void panic_once(void *arg) { shim_panic("the conformance kit, on purpose: %s", (const char *)arg); }

static void panic_never(void *arg) { (void)arg; }

static void panic_does_not_return(struct kit *k)
{
    KIT_MUST(k->k_config->kc_panics(panic_once, "text"));
    KIT_MUST(!k->k_config->kc_panics(panic_never, NULL));
}

/* A block written beyond its end is noticed when it is given back. */
static void panic_overrun(void *arg)
{
    char *p = arg;

    p[24] = (char)(p[24] + 1);
    shim_free(p, 24, 8, SHIM_TAG_TEST);
}

static void panic_on_overrun(struct kit *k)
{
    char *p = shim_alloc(24, 8, SHIM_TAG_TEST);
    bool panicked;

    KIT_MUST(p != NULL);
    panicked = k->k_config->kc_panics(panic_overrun, p);
    p[24] = (char)(p[24] - 1);
    shim_free(p, 24, 8, SHIM_TAG_TEST);
    KIT_MUST(panicked);
}

static const struct kit_test panic_tests[] = {
    {"does not return", panic_does_not_return},
    {"an overrun block", panic_on_overrun},
    {NULL, NULL},
};
const struct kit_group kit_group_panic = {"panic", "18", panic_cannot, panic_tests, false, false};
