/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_stress.c - the execution engine on the threaded host: eight LUNs of one adapter, four done threads
 * and the recovery thread, while devices misbehave, targets are reset, queues halted, and a disk comes and
 * goes.
 *
 * Each thread has a region of each of seven disks and a copy of what it holds, which it writes and reads back
 * by chains to strategy. What the device driver could not hide from it is done again, and counted. The eighth
 * disk is pulled out while requests to it are under way; each of them must come back once.
 *
 *   engine_stress [--seconds N] [--done N]      default 2 seconds, 4 done threads
 *
 * Does not contain: one disk's own races (thread_stress.c).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/scsiproto.h>
#include <time.h>

#include "adapter/ad_impl.h"
#include "adapter/sim/sim.h"

#define DISKS        8u
#define STAYING      7u
#define THREADS      4u
#define REGION_BYTES (64u * 1024)
#define CHAIN        8u
#define BLOCK        512u
#define TRIES        200u

#define MUST(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("rerun: engine_stress --seconds 10\n");                                                   \
            printf("FAIL " __VA_ARGS__);                                                                     \
            printf("\n");                                                                                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static struct scp *pair;
static _Atomic bool stop;
static _Atomic uint64_t operations, again, resets, pulled;

struct worker {
    pthread_t thread;
    unsigned index;
    uint64_t state;
    uint8_t copy[STAYING][REGION_BYTES], *memory;
    struct wbuf {
        struct buf buf;
        struct worker *owner;
    } bufs[CHAIN];
    _Atomic unsigned left, failed;
    event_t all_done;
};

static uint64_t rnd(struct worker *w, uint64_t n)
{
    w->state ^= w->state << 13;
    w->state ^= w->state >> 7;
    w->state ^= w->state << 17;
    return w->state % n;
}

static void chain_done(struct buf *bp)
{
    struct worker *w = SC_CONTAINER_OF(bp, struct wbuf, buf)->owner;

    if (bp->b_flags & B_ERROR || bp->b_resid != 0)
        atomic_fetch_add(&w->failed, 1);
    if (atomic_fetch_sub(&w->left, 1) == 1)
        e_wakeup(&w->all_done);
}

/* Send a chain of n pages at byte `at` of a disk, in or out of w->memory. */
static void chain_send(struct worker *w, devno_t devno, bool write, uint64_t at, unsigned n)
{
    memset(w->bufs, 0, sizeof(w->bufs));
    atomic_store(&w->failed, 0);
    atomic_store(&w->left, n + 1);
    for (unsigned i = 0; i < n; i++) {
        struct buf *bp = &w->bufs[i].buf;

        w->bufs[i].owner = w;
        bp->b_flags = write ? B_WRITE : B_READ;
        bp->b_dev = devno;
        bp->b_iodone = chain_done;
        bp->b_un.b_addr = w->memory + (size_t)i * SC_PAGE_SIZE;
        bp->b_bcount = SC_PAGE_SIZE;
        bp->b_blkno = (int64_t)(at / BLOCK + i * (SC_PAGE_SIZE / BLOCK));
        bp->av_forw = i + 1 < n ? &w->bufs[i + 1].buf : NULL;
    }
    (void)devstrat(&w->bufs[0].buf);
}

/* All of it is back; false: some with an error. */
static bool chain_wait(struct worker *w)
{
    if (atomic_fetch_sub(&w->left, 1) != 1)
        while (atomic_load(&w->left) > 0)
            (void)e_sleep_thread(&w->all_done, NULL, EVENT_SHORT);
    return atomic_load(&w->failed) == 0;
}

static void work_once(struct worker *w)
{
    const unsigned disk = (unsigned)rnd(w, STAYING), n = 1 + (unsigned)rnd(w, CHAIN);
    const size_t off = (size_t)rnd(w, REGION_BYTES / SC_PAGE_SIZE - n) * SC_PAGE_SIZE;
    const bool write = rnd(w, 2) != 0;
    unsigned tries = 0;

    for (size_t i = 0; write && i < n * SC_PAGE_SIZE; i += 64)
        w->copy[disk][off + i] = (uint8_t)rnd(w, 256);
    do {
        MUST(tries++ < TRIES, "disk %u fails for good", disk);
        if (write)
            memcpy(w->memory, w->copy[disk] + off, n * SC_PAGE_SIZE);
        else
            memset(w->memory, 0xee, n * SC_PAGE_SIZE);
        chain_send(w, scp_disk_devno(pair, disk), write, (uint64_t)w->index * REGION_BYTES + off, n);
    } while (!chain_wait(w));
    atomic_fetch_add(&again, tries - 1);
    MUST(memcmp(w->memory, w->copy[disk] + off, n * SC_PAGE_SIZE) == 0, "disk %u: wrong data", disk);
    atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
}

static void *work(void *arg)
{
    while (!atomic_load(&stop))
        work_once(arg);
    return NULL;
}

/* The eighth disk: put in, opened, pulled out with requests under way, closed. */
static void *pull(void *arg)
{
    struct worker *w = arg;
    struct scp_disk_spec spec = {.size = sizeof(spec),
                                 .medium = SCP_MEDIUM_RAM,
                                 .bytes = REGION_BYTES,
                                 .queue = 8,
                                 .latency_ns = 200000};
    char text[SCP_ERROR_MAX];
    struct file *fp;
    unsigned disk = STAYING;

    while (!atomic_load(&stop)) {
        MUST(fp_opendev(scp_disk_devno(pair, disk), DREAD | DWRITE, NULL, 0, &fp) == 0, "open");
        for (unsigned i = rnd(w, 3) ? 1 : 0; i > 0; i--) {
            chain_send(w, scp_disk_devno(pair, disk), rnd(w, 2) != 0, 0, CHAIN);
            (void)chain_wait(w);
        }
        chain_send(w, scp_disk_devno(pair, disk), rnd(w, 2) != 0, 0, CHAIN);
        MUST(scp_unplug(pair, disk, text, sizeof(text)) == 0, "unplug: %s", text);
        (void)chain_wait(w);
        (void)fp_close(fp);
        (void)scp_reap(pair);
        MUST(scp_plug(pair, 0, &spec, &disk, text, sizeof(text)) == 0, "plug: %s", text);
        atomic_fetch_add(&pulled, 1);
    }
    return NULL;
}

/* A disk misbehaves for a few commands; its target is reset, or its queue halted. */
static void misbehave(struct worker *w)
{
    static const enum sim_fault_action actions[] = {SIM_FAULT_BUSY, SIM_FAULT_QUEUE_FULL, SIM_FAULT_CHECK};
    const unsigned disk = (unsigned)rnd(w, STAYING);
    struct sim_disk *sim = scp_sim_disk(pair, disk);
    struct ad_adapter *adp = ad_find(scp_adapter_devno(pair, 0));
    struct ad_lun *lun = NULL;

    sim_fault_clear(sim);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(actions); i++) {
        struct sim_fault f = {.f_opcode = -1, .f_lba_last = UINT64_MAX, .f_skip = 10 * i, .f_count = 1};

        f.f_action = actions[i];
        f.f_key = SCSI_KEY_ABORTED;
        f.f_asc = 0x47;
        MUST(sim_fault_add(sim, &f) >= 0, "sim_fault_add");
    }
    for (unsigned i = 0, seen = 0; i < ad_lun_count(adp) && lun == NULL; i++)
        if (ad_lun_at(adp, i) != NULL && seen++ == disk)
            lun = ad_lun_at(adp, i);
    if (lun == NULL || rnd(w, 4) != 0)
        return;
    if (rnd(w, 2))
        (void)ad_lun_halt(lun, AD_OWNER_ANY);
    else
        (void)ad_lun_reset(lun, AD_OWNER_ANY);
    atomic_fetch_add(&resets, 1);
}

static void run(unsigned seconds)
{
    static struct worker workers[THREADS + 2];
    static struct scp_disk_spec disks[DISKS];
    struct scp_spec spec = {
        .size = sizeof(spec), .disks = disks, .ndisks = DISKS, .transfer_bytes_max = 65536};
    struct file *files[STAYING];
    struct timespec tick = {0, 20000000}, now;
    struct sc_adapter_stats st;
    char text[SCP_ERROR_MAX];
    time_t end;

    for (unsigned i = 0; i < DISKS; i++)
        disks[i] = (struct scp_disk_spec){.size = sizeof(disks[i]),
                                          .medium = SCP_MEDIUM_RAM,
                                          .bytes = THREADS * REGION_BYTES,
                                          .queue = 4 + i,
                                          .latency_ns = i < 2 ? 0 : 10000 * i};
    MUST(scp_create(&spec, &pair, text, sizeof(text)) == 0, "create: %s", text);
    for (unsigned i = 0; i < STAYING; i++)
        MUST(fp_opendev(scp_disk_devno(pair, i), DREAD | DWRITE, NULL, 0, &files[i]) == 0, "open");
    for (unsigned i = 0; i < THREADS + 2; i++) {
        struct worker *w = &workers[i];

        w->index = i;
        w->state = 0x9e3779b97f4a7c15ull * (i + 1);
        w->memory = aligned_alloc(SC_PAGE_SIZE, CHAIN * SC_PAGE_SIZE);
        MUST(w->memory, "no memory");
        memset(w->memory, 0, CHAIN * SC_PAGE_SIZE);
        if (i <= THREADS)
            MUST(pthread_create(&w->thread, NULL, i < THREADS ? work : pull, w) == 0, "pthread_create");
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + (time_t)seconds;
    while (now.tv_sec < end) {
        misbehave(&workers[THREADS + 1]);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL); /* how often: no race is hidden by it */
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < STAYING; i++)
        sim_fault_clear(scp_sim_disk(pair, i));
    for (unsigned i = 0; i <= THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS + 2; i++)
        free(workers[i].memory);
    ad_stats_get(ad_find(scp_adapter_devno(pair, 0)), &st);
    for (unsigned i = 0; i < STAYING; i++)
        MUST(fp_close(files[i]) == 0, "close");
    MUST(scp_destroy(pair) == 0, "a leak");
    printf(
        "%llu operations on %u threads, %llu done again, %llu resets and halts, %llu disks pulled out; %llu "
        "commands, %u wake-ups\n",
        (unsigned long long)atomic_load(&operations), THREADS, (unsigned long long)atomic_load(&again),
        (unsigned long long)atomic_load(&resets), (unsigned long long)atomic_load(&pulled),
        (unsigned long long)st.commands, st.thread_wakes);
}

int main(int argc, char **argv)
{
    const char *done = "4";
    unsigned seconds = 2;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--done") == 0)
            done = argv[i + 1];
    }
    MUST(setenv("SCPAIR_AD_DONE_THREADS", done, 1) == 0, "setenv");
    shim_checks_set(true);
    run(seconds);
    return 0;
}
