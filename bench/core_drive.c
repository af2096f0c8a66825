/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core_drive.c - the two phases of bench/core: requests through the drivers, and the bare copies.
 *
 * Worker i keeps its bufs in flight on disk i modulo the number of disks. A buf that is finished
 * goes back to the worker that sent it: onto its list when that worker's own thread finished it, else
 * onto a second list that other threads may push to. With one thread the second list is never
 * touched, and a request that some other thread finishes is an error: it would not be the path that
 * is measured.
 *
 * A phase ends for all as soon as one worker has sent its share, and is over when every buf is
 * back, so that no part of it is one thread running alone.
 *
 * Does not contain: which rows there are (core.c), the disks (core_disk.c).
 */
#define _GNU_SOURCE
#include "core.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define CORE_NAP_NS 1000000u /* should a wake-up be missed */

struct core_worker;

struct core_buf {
    struct buf cb_buf;
    struct core_worker *cb_worker;
};

struct core_worker {
    struct buf *w_done_head; /* finished by this thread, in the order of completion */
    struct buf **w_done_tail;
    char *w_data;    /* the bufs' memory: depth blocks, page-aligned */
    uint64_t w_next; /* position in the worker's sequence of blocks */
    uint64_t w_from; /* where the last phase began */
    uint64_t w_sent;
    event_t w_event; /* something of this worker is finished: with --pend */
    struct core_disk *w_disk;
    struct core_buf w_bufs[CORE_DEPTH_MAX];
    /* On lines of their own: what other threads write must not slow down the rest. */
    _Alignas(128) struct buf *_Atomic w_foreign; /* finished by other threads, newest first */
    _Alignas(128) pthread_t w_thread;
};

/* What a phase is; written by worker 0 between two barriers. */
enum core_what { CORE_DRIVE, CORE_FLOOR, CORE_END };
static struct {
    uint32_t *offsets; /* random block numbers */
    pthread_barrier_t barrier;
    enum core_what what;
    enum core_op op;
    unsigned depth;
    uint64_t share;   /* requests that end the phase, of one worker */
    atomic_bool over; /* one has sent its share */
} core_work;

static struct core_worker core_workers[CORE_THREADS_MAX];
static _Thread_local struct core_worker *core_me;

static void core_offsets_fill(void)
{
    uint64_t x = 0x9e3779b97f4a7c15u, mask = core_mask();

    core_work.offsets = malloc(sizeof(*core_work.offsets) * CORE_OFFSETS);
    if (core_work.offsets == NULL)
        core_die("offsets", "out of memory");
    for (size_t i = 0; i < CORE_OFFSETS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        core_work.offsets[i] = (uint32_t)((x >> 20) & mask);
    }
}

/* The n-th block of a row; both phases call this, so both pay for it. */
static inline uint64_t core_block(bool random, uint64_t n, uint64_t mask)
{
    return random ? core_work.offsets[n & (CORE_OFFSETS - 1)] : n & mask;
}

/* ---------------------------------------------------------------- the driver phase */

/* Completion routine of every buf. A disk without latency answers inline, so mostly this is the sender. */
static void core_iodone(struct buf *bp)
{
    struct core_worker *w = SC_CONTAINER_OF(bp, struct core_buf, cb_buf)->cb_worker;
    bool more;

    if (SC_LIKELY(w == core_me)) {
        bp->av_forw = NULL;
        *w->w_done_tail = bp;
        w->w_done_tail = &bp->av_forw;
        if (SC_UNLIKELY(core_opt.pend != 0) && !(bp->b_flags & B_MORE_DONE))
            e_wakeup(&w->w_event);
        return;
    }
    if (core_opt.threads == 1 && !core_opt.pend)
        core_die("driver", "a request finished on another thread: not the path this program measures");
    more = (bp->b_flags & B_MORE_DONE) != 0;
    bp->av_forw = atomic_load_explicit(&w->w_foreign, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&w->w_foreign, &bp->av_forw, bp, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    if (core_opt.pend && !more)
        e_wakeup(&w->w_event);
}

static void core_bufs_setup(struct core_worker *w, unsigned depth)
{
    w->w_done_head = NULL;
    w->w_done_tail = &w->w_done_head;
    for (unsigned i = 0; i < depth; i++) {
        struct buf *bp = &w->w_bufs[i].cb_buf;

        memset(bp, 0, sizeof(*bp));
        w->w_bufs[i].cb_worker = w;
        bp->b_dev = w->w_disk->devno;
        bp->b_iodone = core_iodone;
        bp->b_bcount = CORE_BLOCK_BYTES;
        bp->b_un.b_addr = w->w_data + (size_t)i * CORE_BLOCK_BYTES;
        bp->b_xmemd.aspace_id = XMEM_GLOBAL;
        *w->w_done_tail = bp;
        w->w_done_tail = &bp->av_forw;
    }
}

/* What other threads have finished, put behind the own ones. */
static void core_take_foreign(struct core_worker *w)
{
    struct buf *bp = atomic_exchange_explicit(&w->w_foreign, NULL, memory_order_acquire);

    while (bp != NULL) {
        struct buf *next = bp->av_forw;

        bp->av_forw = NULL;
        *w->w_done_tail = bp;
        w->w_done_tail = &bp->av_forw;
        bp = next;
    }
}

/* The finished bufs of this worker as a chain; waits for one. */
static struct buf *core_collect(struct core_worker *w)
{
    struct buf *head;

    if ((core_opt.threads > 1 || core_opt.pend) &&
        atomic_load_explicit(&w->w_foreign, memory_order_relaxed) != NULL)
        core_take_foreign(w);
    while (SC_UNLIKELY(w->w_done_head == NULL)) {
        if (core_opt.pend) /* asks, if there is nobody else to */
            (void)e_timedsleep(&w->w_event, NULL, CORE_NAP_NS);
        else if (core_opt.threads == 1)
            core_die("driver", "no request finished inline");
        else
            (void)sched_yield();
        core_take_foreign(w);
    }
    head = w->w_done_head;
    w->w_done_head = NULL;
    w->w_done_tail = &w->w_done_head;
    return head;
}

/* Wait until all bufs are back, for the next phase. */
static void core_drain(struct core_worker *w, unsigned depth)
{
    unsigned back;

    for (;;) {
        back = 0;
        core_take_foreign(w);
        for (struct buf *bp = w->w_done_head; bp != NULL; bp = bp->av_forw)
            back++;
        if (back == depth)
            return;
        if (core_opt.pend)
            (void)e_timedsleep(&w->w_event, NULL, CORE_NAP_NS);
        else
            (void)sched_yield();
    }
}

/*
 * Push requests through the driver until this worker has sent its share or another one has.
 * Every finished buf is looked at: a failed request must not look like a fast one.
 */
static void core_drive(struct core_worker *w, enum core_op op, uint64_t share)
{
    const bool random = core_is_random(op);
    const uint32_t flags = (core_is_write(op) ? B_WRITE : B_READ) | B_ASYNC | B_MPSAFE;
    const uint64_t mask = core_mask();
    uint64_t sent = 0, next = w->w_next;

    w->w_from = next;
    while (sent < share && !atomic_load_explicit(&core_work.over, memory_order_relaxed)) {
        struct buf *head = core_collect(w);

        for (struct buf *bp = head; bp != NULL; bp = bp->av_forw) {
            if (SC_UNLIKELY((bp->b_flags & B_ERROR) != 0 || bp->b_resid != 0))
                core_die("request failed", scp_strerror(bp->b_error));
            bp->b_flags = flags;
            bp->b_blkno = (int64_t)(core_block(random, next++, mask) * (CORE_BLOCK_BYTES / DEV_BSIZE));
            sent++;
        }
        if (SC_UNLIKELY(devstrat(head) != 0))
            core_die("devstrat", "the disk's driver is not in the device switch");
    }
    atomic_store_explicit(&core_work.over, true, memory_order_relaxed);
    w->w_next = next;
    w->w_sent = sent;
}

void core_disk_number(unsigned disk)
{
    const uint64_t blocks = core_opt.disk_bytes / CORE_BLOCK_BYTES;
    struct core_worker *w = &core_workers[0];
    struct core_disk *mine = w->w_disk;
    uint64_t *number = (uint64_t *)(void *)w->w_data;

    w->w_disk = &core_disks[disk];
    for (uint64_t i = 0; i < blocks; i++) {
        core_bufs_setup(w, 1);
        *number = i;
        w->w_next = i;
        atomic_store(&core_work.over, false);
        core_drive(w, CORE_WRITE, 1);
    }
    w->w_disk = mine;
}

void core_check_read(void)
{
    for (unsigned t = 0; t < core_opt.threads; t++) {
        for (unsigned i = 0; i < core_work.depth; i++) {
            const struct buf *bp = &core_workers[t].w_bufs[i].cb_buf;
            uint64_t number;

            /* In the first phase not every buf need have been sent. */
            memcpy(&number, bp->b_un.b_addr, sizeof(number));
            if (bp->b_flags != 0 && number != (uint64_t)bp->b_blkno / (CORE_BLOCK_BYTES / DEV_BSIZE))
                core_die("data", "a read returned another block's data");
        }
    }
}

/* ---------------------------------------------------------------- the floor phase */

/* The same copies with nothing around them. `bytes` is a variable so that the library's memcpy runs. */
static void core_floor(const struct core_worker *w, enum core_op op, unsigned depth, size_t bytes)
{
    const bool random = core_is_random(op), write = core_is_write(op);
    const uint64_t mask = core_mask();
    unsigned slot = 0;

    for (uint64_t i = 0; i < w->w_sent; i++) {
        char *block = w->w_disk->floor + core_block(random, w->w_from + i, mask) * CORE_BLOCK_BYTES;
        char *mine = w->w_data + (size_t)slot * CORE_BLOCK_BYTES;

        if (write)
            memcpy(block, mine, bytes);
        else
            memcpy(mine, block, bytes);
        if (++slot == depth)
            slot = 0;
    }
}

/* ---------------------------------------------------------------- workers */

static void core_work_one(struct core_worker *w)
{
    if (core_work.what == CORE_DRIVE) {
        core_drive(w, core_work.op, core_work.share);
        core_drain(w, core_work.depth);
    } else {
        core_floor(w, core_work.op, core_work.depth, CORE_BLOCK_BYTES + (size_t)(core_work.share == 0));
    }
}

/* All workers do the phase that core_work describes. Returns the nanoseconds it took. */
static uint64_t core_work_all(enum core_what what)
{
    uint64_t start;

    core_work.what = what;
    atomic_store(&core_work.over, false);
    if (core_opt.threads > 1)
        (void)pthread_barrier_wait(&core_work.barrier);
    start = core_now_ns();
    core_work_one(&core_workers[0]);
    if (core_opt.threads > 1)
        (void)pthread_barrier_wait(&core_work.barrier);
    return core_now_ns() - start;
}

/* Each on a CPU of its own while there are enough: two on one would measure the scheduler. */
static void core_pin(unsigned i)
{
    cpu_set_t all, one;
    unsigned seen = 0;

    if (pthread_getaffinity_np(pthread_self(), sizeof(all), &all) != 0)
        return;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &all) && seen++ == i % (unsigned)CPU_COUNT(&all))
            CPU_SET((size_t)cpu, &one);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void *core_worker_main(void *arg)
{
    struct core_worker *w = arg;

    core_me = w;
    core_pin((unsigned)(w - core_workers));
    for (;;) {
        (void)pthread_barrier_wait(&core_work.barrier);
        if (core_work.what == CORE_END)
            return NULL;
        core_work_one(w);
        (void)pthread_barrier_wait(&core_work.barrier);
    }
}

void core_workers_start(void)
{
    const size_t bytes = (size_t)CORE_DEPTH_MAX * CORE_BLOCK_BYTES;

    core_offsets_fill();
    core_me = &core_workers[0];
    for (unsigned i = 0; i < core_opt.threads; i++) {
        struct core_worker *w = &core_workers[i];

        w->w_disk = &core_disks[i % core_opt.disks];
        w->w_data = core_map(bytes);
        memset(w->w_data, 0x11, bytes);
    }
    if (core_opt.threads == 1)
        return;
    if (pthread_barrier_init(&core_work.barrier, NULL, core_opt.threads) != 0)
        core_die("threads", "no barrier");
    for (unsigned i = 1; i < core_opt.threads; i++)
        if (pthread_create(&core_workers[i].w_thread, NULL, core_worker_main, &core_workers[i]) != 0)
            core_die("threads", "cannot be started");
    core_pin(0);
}

void core_workers_stop(void)
{
    if (core_opt.threads > 1) {
        core_work.what = CORE_END;
        (void)pthread_barrier_wait(&core_work.barrier);
        for (unsigned i = 1; i < core_opt.threads; i++)
            (void)pthread_join(core_workers[i].w_thread, NULL);
        (void)pthread_barrier_destroy(&core_work.barrier);
    }
    free(core_work.offsets);
}

void core_row_begin(unsigned depth)
{
    core_work.depth = depth;
    for (unsigned i = 0; i < core_opt.threads; i++) {
        core_bufs_setup(&core_workers[i], depth);
        /* Each its own part of the disk, and of the random numbers. */
        core_workers[i].w_next = i * ((core_mask() + 1) / core_opt.threads);
    }
}

uint64_t core_phase_drive(enum core_op op, uint64_t count, uint64_t *took)
{
    uint64_t sent = 0;

    core_work.op = op;
    core_work.share = count / core_opt.threads + 1;
    *took = core_work_all(CORE_DRIVE);
    for (unsigned i = 0; i < core_opt.threads; i++)
        sent += core_workers[i].w_sent;
    return sent;
}

void core_phase_floor(enum core_op op, uint64_t *took)
{
    core_work.op = op;
    *took = core_work_all(CORE_FLOOR);
}
