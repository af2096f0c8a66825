/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kit_hosts.c - runs the portable conformance kit on the hosts of this tree, and on broken ones.
 *
 *   kit_hosts [HOST [GROUP]]     HOST: posix, det, polled (posix without sleep, timers, threads)
 *   kit_hosts --broken           each broken half must fail in the group named with it
 *
 * A kit that passes everything proves nothing: --broken puts one fault at a time into a half that
 * is otherwise good and demands that the kit notices, where it should.
 */
#include "kit/kit.h"

#include <adapter/sim/sim.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMORY_BYTES (1u << 20)
#define DMA_BYTES    8192u

static _Alignas(SC_PAGE_SIZE) uint8_t dma_memory[DMA_BYTES];
static bool quiet;
static char said[4096]; /* the FAIL lines of the last run */

/* ---------------------------------------------------------------- what the kit asks of a porter */

static void say(void *arg, const char *line)
{
    size_t used = strlen(said);

    (void)arg;
    if (!quiet)
        puts(line);
    if (strncmp(line, "FAIL", 4) == 0)
        (void)snprintf(said + used, sizeof(said) - used, "%s\n", line);
}

static jmp_buf panic_back;
static bool panic_expected;

static void panic_leaves(const char *text)
{
    if (!panic_expected) {
        fprintf(stderr, "panic: %s\n", text);
        abort();
    }
    longjmp(panic_back, 1);
}

static bool panics(void (*fn)(void *arg), void *arg)
{
    panic_expected = true;
    if (setjmp(panic_back) == 0) {
        fn(arg);
        panic_expected = false;
        return false;
    }
    panic_expected = false;
    return true;
}

static bool run_kit(const struct shim_host *host, struct shim_dev *dev, const char *group,
                    struct kit_result *result)
{
    const struct kit_config config = {.kc_host = host,
                                      .kc_dev = dev,
                                      .kc_dma = dma_memory,
                                      .kc_dma_bytes = sizeof(dma_memory),
                                      .kc_memory_bytes = MEMORY_BYTES,
                                      .kc_say = say,
                                      .kc_panics = panics};

    said[0] = '\0';
    return kit_run(&config, group, result);
}

/* ---------------------------------------------------------------- good halves */

static struct shim_host good_host(const char *name)
{
    struct shim_host host = strcmp(name, "det") == 0 ? *shim_det_host(42) : *shim_posix_host();

    host.panic = panic_leaves;
    if (strcmp(name, "polled") == 0) {
        host.wait = NULL;
        host.wake = NULL;
        host.thread_start = NULL;
        host.thread_join = NULL;
        host.self = NULL;
        host.delay_ns = NULL;
        host.timer_arm = NULL;
        host.timer_cancel = NULL;
        host.tunable = NULL;
    }
    return host;
}

/*
 * The simulated bus is made while a host is installed and lives on while the kit installs its own:
 * its memory would be counted as the kit's. So the device tried here is the bus's table on a
 * structure of its own.
 */
static struct shim_dev *good_device(const struct shim_host *host)
{
    static struct shim_dev dev;
    struct sim_bus_config cfg = {.sb_adapter_id = 7};
    struct sim_bus *bus;

    if (shim_init(host) != 0 || sim_bus_create(&cfg, &bus) != 0) {
        fprintf(stderr, "FAIL cannot make a simulated bus\n");
        exit(1);
    }
    dev = *sim_bus_dev(bus);
    sim_bus_destroy(bus);
    (void)shim_fini();
    return &dev;
}

static int run_good(const char *name, const char *group)
{
    static const struct {
        const char *name;
        unsigned skipped;
    } hosts[] = {{"posix", 0}, {"det", 1}, {"polled", 3}};
    int bad = 0;

    for (size_t i = 0; i < SC_ARRAY_SIZE(hosts); i++) {
        struct shim_host host;
        struct kit_result result;

        if (name && strcmp(name, hosts[i].name) != 0)
            continue;
        host = good_host(hosts[i].name);
        printf("== %s\n", hosts[i].name);
        if (!run_kit(&host, good_device(&host), group, &result)) {
            bad++;
            printf("rerun: kit_hosts %s%s%s\n", hosts[i].name, group ? " " : "", group ? group : "");
        } else if (!group && result.kr_skipped != hosts[i].skipped) {
            bad++;
            printf("FAIL %s: %u groups skipped, not %u\n", hosts[i].name, result.kr_skipped,
                   hosts[i].skipped);
        }
    }
    shim_posix_stop();
    return bad;
}

/* ---------------------------------------------------------------- broken ones */

static struct shim_host good;
static struct shim_dev_ops good_ops;

static void *alloc_dirty(size_t size, size_t align)
{
    uint8_t *p = good.alloc(size, align);

    if (p)
        p[size / 2] = 1;
    return p;
}

/* One block at a time may be live in the pool; the address is right, the next block the same. */
static uint8_t overlap_pool[MEMORY_BYTES];
static void *alloc_overlapping(size_t size, size_t align)
{
    if (size > sizeof(overlap_pool) - align)
        return NULL;
    memset(overlap_pool, 0, sizeof(overlap_pool));
    return (void *)(((uintptr_t)overlap_pool + align - 1) & ~(uintptr_t)(align - 1));
}
static void free_nothing(void *p, size_t size, size_t align) { (void)p, (void)size, (void)align; }

static size_t dry_left;
static void *alloc_once(size_t size, size_t align)
{
    if (size > dry_left)
        return NULL;
    dry_left -= size;
    return good.alloc(size, align);
}

static uint64_t backward_ns(void)
{
    static uint64_t now = 1ull << 40;

    return now -= 1000;
}

static bool wait_early(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    return good.wait(ev, l, deadline_ns == UINT64_MAX ? deadline_ns : 0);
}

/* Leaves the signal where it is. */
static bool wait_sticky(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    bool woken = good.wait(ev, l, deadline_ns);

    ev->ev_word = 1;
    return woken;
}

static int arm_early(struct shim_timer *t, uint64_t when_ns)
{
    (void)when_ns;
    return good.timer_arm(t, good.now_ns());
}

static int cancel_forgets(struct shim_timer *t)
{
    (void)good.timer_cancel(t);
    return SHIM_CANCEL_IDLE;
}

static struct shim_self *self_without_number(void)
{
    static struct shim_self self;

    return &self;
}

static int copy_reversed(void *user, void *kernel, size_t n, bool to_user)
{
    return good.copy_user(user, kernel, n, !to_user);
}

static int64_t tunable_zero(const char *name, int64_t dflt)
{
    (void)name, (void)dflt;
    return 0;
}

static int map_long(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                    struct shim_dma_map *map)
{
    int said_by_it = good_ops.dma_map(dev, vec, n, dir, map);

    if (said_by_it == SHIM_MAP_OK)
        map->map_segs[0].seg_bytes++;
    return said_by_it;
}

static int map_never_gives_up(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                              struct shim_dma_map *map)
{
    int said_by_it = good_ops.dma_map(dev, vec, n, dir, map);

    return said_by_it == SHIM_MAP_NEVER ? SHIM_MAP_LATER : said_by_it;
}

static int open_without_limits(struct shim_dev *dev, struct shim_dma_limits *limits)
{
    (void)dev;
    memset(limits, 0, sizeof(*limits));
    return 0;
}

/* Stand for NULL in the table below: a function that the port forgot. */
static int copy_forgotten(void *user, void *kernel, size_t n, bool to_user)
{
    return good.copy_user(user, kernel, n, to_user);
}
static int map_forgotten(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                         struct shim_dma_map *map)
{
    return good_ops.dma_map(dev, vec, n, dir, map);
}

struct broken {
    const char *what;
    const char *group; /* where it has to be noticed */
    struct shim_host host;
    struct shim_dev_ops ops;
};

/* A field that is NULL here is the good half's. */
static const struct broken broken[] = {
    {"memory that is not zeroed", "memory", {.alloc = alloc_dirty}, {0}},
    {"blocks that overlap", "memory", {.alloc = alloc_overlapping, .free = free_nothing}, {0}},
    {"memory that never comes back", "memory", {.alloc = alloc_once}, {0}},
    {"a clock that runs backward", "time", {.now_ns = backward_ns}, {0}},
    {"a thread without a number", "time", {.self = self_without_number}, {0}},
    {"a copy in the wrong direction", "copy", {.copy_user = copy_reversed}, {0}},
    {"tunables that forget the default", "messages", {.tunable = tunable_zero}, {0}},
    {"a wait that ends early", "sleep", {.wait = wait_early}, {0}},
    {"a wait that leaves the signal", "sleep", {.wait = wait_sticky}, {0}},
    {"timers that fire early", "timers", {.timer_arm = arm_early}, {0}},
    {"a cancel that says nothing", "timers", {.timer_cancel = cancel_forgets}, {0}},
    {"segments that are too long", "device", {0}, {.dma_map = map_long}},
    {"a map that is never said not to fit", "device", {0}, {.dma_map = map_never_gives_up}},
    {"a host with a hole", "table", {.copy_user = copy_forgotten}, {0}},
    {"a device with a hole", "device", {0}, {.dma_map = map_forgotten}},
    {"limits of nothing", "device", {0}, {.open = open_without_limits}},
};

#define TAKE(half, from, field)                                                                              \
    do {                                                                                                     \
        if ((from).field)                                                                                    \
            (half)->field = (from).field;                                                                    \
    } while (0)

static void break_host(struct shim_host *host, const struct shim_host *with)
{
    TAKE(host, *with, alloc);
    TAKE(host, *with, free);
    TAKE(host, *with, wait);
    TAKE(host, *with, timer_arm);
    TAKE(host, *with, timer_cancel);
    TAKE(host, *with, self);
    TAKE(host, *with, now_ns);
    TAKE(host, *with, copy_user);
    TAKE(host, *with, tunable);
}

static int run_broken(void)
{
    int missed = 0;

    good = good_host("posix");
    for (size_t i = 0; i < SC_ARRAY_SIZE(broken); i++) {
        const struct broken *b = &broken[i];
        struct shim_host host = good;
        struct shim_dev dev = *good_device(&good);
        struct shim_dev_ops ops = *dev.dev_ops;
        struct kit_result result;
        char want[64];

        good_ops = ops;
        break_host(&host, &b->host);
        TAKE(&ops, b->ops, open);
        TAKE(&ops, b->ops, dma_map);
        if (host.copy_user == copy_forgotten)
            host.copy_user = NULL;
        if (ops.dma_map == map_forgotten)
            ops.dma_map = NULL;
        dev.dev_ops = &ops;
        dry_left = MEMORY_BYTES;
        quiet = true;
        (void)run_kit(&host, &dev, b->group, &result);
        quiet = false;
        snprintf(want, sizeof(want), "FAIL %s:", b->group);
        if (result.kr_failed == 0 || !strstr(said, want)) {
            missed++;
            printf("FAIL the kit does not notice %s in group %s\n", b->what, b->group);
        } else {
            printf("noticed: %s: %s", b->what, said);
        }
    }
    shim_posix_stop();
    if (missed)
        printf("rerun: kit_hosts --broken\n");
    return missed;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && strcmp(argv[1], "--broken") == 0)
        return run_broken() != 0;
    return run_good(argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL) != 0;
}
