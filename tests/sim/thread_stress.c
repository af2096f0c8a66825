/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thread_stress.c - many threads on one disk, on the threaded host: what the deterministic runs
 * cannot show. Meant above all for the ThreadSanitizer build.
 *
 * Each thread owns a stripe of the disk and a copy of what it holds. It writes and reads back,
 * through the raw device and by chains to strategy whose completions may come on other threads;
 * one more thread asks for counters and flushes. Three rounds: commands that end inline, commands
 * that take 20 us (the timer thread completes them), and the second with a device that now and
 * then answers BUSY, QUEUE FULL, unit attention or an aborted command, all of which the driver
 * must hide.
 *
 *   thread_stress [--seconds N]      per round; default 1
 *
 * Does not contain: errors a caller would see (sim_run has those).
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

#include "adapter/sim/sim.h"

#define THREADS      4u
#define STRIPE_BYTES (256u * 1024)
#define CHAIN        16u
#define BLOCK        512u

#define MUST(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("rerun: thread_stress --seconds 10\n");                                                   \
            printf("FAIL " __VA_ARGS__);                                                                     \
            printf("\n");                                                                                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static struct scp *pair;
static _Atomic bool stop;
static _Atomic uint64_t operations;

struct worker {
    pthread_t thread;
    unsigned index;
    uint64_t state;
    struct file *fp;
    uint8_t *copy, *memory;
    struct wbuf {
        struct buf buf;
        struct worker *owner;
    } bufs[CHAIN];
    _Atomic unsigned left;
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

    MUST(!(bp->b_flags & B_ERROR) && bp->b_resid == 0, "strategy: errno %d, residual %zu", bp->b_error,
         bp->b_resid);
    if (atomic_fetch_sub(&w->left, 1) == 1)
        e_wakeup(&w->all_done);
}

/* A chain of pages over a random part of the stripe. */
static void by_chain(struct worker *w, bool write)
{
    unsigned n = 1 + (unsigned)rnd(w, CHAIN);
    uint64_t page = rnd(w, STRIPE_BYTES / SC_PAGE_SIZE - n);
    size_t off = (size_t)page * SC_PAGE_SIZE;

    memset(w->bufs, 0, sizeof(w->bufs));
    for (size_t i = 0; write && i < n * SC_PAGE_SIZE; i += 64)
        w->copy[off + i] = (uint8_t)rnd(w, 256);
    if (write)
        memcpy(w->memory + off, w->copy + off, n * SC_PAGE_SIZE);
    else
        memset(w->memory + off, 0xee, n * SC_PAGE_SIZE);
    atomic_store(&w->left, n + 1);
    for (unsigned i = 0; i < n; i++) {
        struct buf *bp = &w->bufs[i].buf;

        w->bufs[i].owner = w;
        bp->b_flags = write ? B_WRITE : B_READ;
        bp->b_dev = scp_disk_devno(pair, 0);
        bp->b_iodone = chain_done;
        bp->b_un.b_addr = w->memory + off + i * SC_PAGE_SIZE;
        bp->b_bcount = SC_PAGE_SIZE;
        bp->b_blkno = (int64_t)((w->index * STRIPE_BYTES + off) / BLOCK + i * (SC_PAGE_SIZE / BLOCK));
        bp->av_forw = i + 1 < n ? &w->bufs[i + 1].buf : NULL;
    }
    MUST(devstrat(&w->bufs[0].buf) == 0, "devstrat");
    if (atomic_fetch_sub(&w->left, 1) != 1)
        while (atomic_load(&w->left) > 0)
            (void)e_sleep_thread(&w->all_done, NULL, EVENT_SHORT);
    MUST(memcmp(w->memory + off, w->copy + off, n * SC_PAGE_SIZE) == 0, "chain: wrong data");
}

static void by_raw(struct worker *w, bool write)
{
    size_t n = BLOCK * (1 + (size_t)rnd(w, 300)), off = BLOCK * (size_t)rnd(w, (STRIPE_BYTES - n) / BLOCK),
           done = 0;
    uint64_t at = w->index * STRIPE_BYTES + off;
    int error;

    if (write) {
        for (size_t i = 0; i < n; i += 64)
            w->copy[off + i] = (uint8_t)rnd(w, 256);
        memcpy(w->memory + off, w->copy + off, n);
        error = scp_raw_write(w->fp, w->memory + off, n, at, 0, &done);
    } else {
        error = scp_raw_read(w->fp, w->memory + off, n, at, &done);
    }
    MUST(error == 0 && done == n, "raw: errno %d (%s), %zu of %zu", error, scp_strerror(error), done, n);
    MUST(memcmp(w->memory + off, w->copy + off, n) == 0, "raw: wrong data");
}

static void *work(void *arg)
{
    struct worker *w = arg;

    while (!atomic_load(&stop)) {
        bool write = rnd(w, 2) != 0;

        if (rnd(w, 2))
            by_chain(w, write);
        else
            by_raw(w, write);
        atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
    }
    return NULL;
}

/* Somebody looks at the counters and flushes all the while. */
static void *look(void *arg)
{
    struct file *fp = arg;
    static struct sc_disk_stats st;

    while (!atomic_load(&stop)) {
        MUST(fp_ioctl(fp, DKSTATS, (intptr_t)&st, 0) == 0, "DKSTATS");
        MUST(st.bufs == st.pending + st.in_process + st.recovering + st.completed,
             "submitted is not the sum of the queues");
        MUST(fp_ioctl(fp, DKFLUSH, 0, 0) == 0, "DKFLUSH");
    }
    return NULL;
}

static void misbehave(struct sim_disk *sim)
{
    static const enum sim_fault_action actions[] = {SIM_FAULT_BUSY, SIM_FAULT_QUEUE_FULL, SIM_FAULT_CHECK};

    sim_fault_clear(sim);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(actions); i++) {
        struct sim_fault f = {.f_opcode = -1, .f_lba_last = UINT64_MAX, .f_skip = 40 + 30 * i, .f_count = 1};

        f.f_action = actions[i];
        f.f_key = SCSI_KEY_ABORTED;
        f.f_asc = 0x47;
        MUST(sim_fault_add(sim, &f) >= 0, "sim_fault_add");
    }
    sim_disk_attention(sim, 0x2a, 0x01);
}

static void round_of(const char *name, uint64_t latency_ns, bool faults, unsigned seconds)
{
    static struct worker workers[THREADS];
    static struct sim_disk_stats seen;
    struct scp_disk_spec disk = {
        .medium = SCP_MEDIUM_RAM, .bytes = THREADS * STRIPE_BYTES, .queue = 8, .latency_ns = latency_ns};
    struct scp_spec spec = {.disks = &disk, .ndisks = 1, .transfer_bytes_max = 65536};
    struct timespec tick = {0, 20000000}, now;
    char text[SCP_ERROR_MAX];
    pthread_t looker;
    struct file *fp;
    time_t end;

    atomic_store(&stop, false);
    atomic_store(&operations, 0);
    MUST(scp_create(&spec, &pair, text, sizeof(text)) == 0, "create: %s", text);
    MUST(fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &fp) == 0, "open");
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *w = &workers[i];

        memset(w, 0, sizeof(*w));
        w->index = i;
        w->state = 0x9e3779b97f4a7c15ull * (i + 1);
        w->fp = fp;
        w->copy = calloc(1, STRIPE_BYTES);
        w->memory = aligned_alloc(SC_PAGE_SIZE, STRIPE_BYTES);
        MUST(w->copy && w->memory, "no memory");
        MUST(pthread_create(&w->thread, NULL, work, w) == 0, "pthread_create");
    }
    MUST(pthread_create(&looker, NULL, look, fp) == 0, "pthread_create");
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + (time_t)seconds;
    while (now.tv_sec <= end) {
        if (faults)
            misbehave(scp_sim_disk(pair, 0));
        clock_nanosleep(CLOCK_MONOTONIC, 0, &tick,
                        NULL); /* the length of the round, no race is hidden by it */
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    atomic_store(&stop, true);
    sim_fault_clear(scp_sim_disk(pair, 0));
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        free(workers[i].copy);
        free(workers[i].memory);
    }
    (void)pthread_join(looker, NULL);
    sim_disk_stats_get(scp_sim_disk(pair, 0), &seen);
    for (unsigned kind = 0; kind < SIM_PROTOCOL_COUNT; kind++)
        MUST(kind == SIM_PROTOCOL_ALLEGIANCE || seen.st_protocol[kind] == 0, "an offence against the bus");
    MUST(faults || seen.st_protocol[SIM_PROTOCOL_ALLEGIANCE] == 0, "sense was thrown away");
    MUST(fp_close(fp) == 0 && scp_destroy(pair) == 0, "close, or a leak");
    printf("%-24s %llu operations on %u threads\n", name, (unsigned long long)atomic_load(&operations),
           THREADS);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned seconds =
        argc > 2 && strcmp(argv[1], "--seconds") == 0 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;

    shim_checks_set(true);
    round_of("inline", 0, false, seconds);
    round_of("20 us", 20000, false, seconds);
    round_of("20 us and misbehaving", 20000, true, seconds);
    return 0;
}
