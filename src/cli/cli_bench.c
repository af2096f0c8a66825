/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_bench.c - scpair bench: how fast is this disk, in this process or through a mount?
 *
 * In the process, bufs are handed to the driver's strategy routine in chains and go out again from
 * where they completed, so that `depth` of them are under way in one thread. On a path the depth is
 * a number of threads with pread and pwrite. The figures answer "is something wrong here"; those
 * with floors and peers come from the programs under bench/.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BENCH_SECONDS     3u
#define BENCH_SECONDS_MAX 3600u
#define BENCH_CHECK       64u /* rounds between two looks at the clock */

static const char *const bench_ops[] = {"randread", "randwrite", "read", "write"};

struct bench {
    struct cli_pair be_pair;
    struct cli_end be_end;
    unsigned be_op;
    uint64_t be_block, be_depth, be_seconds;
    bool be_json;
    uint64_t be_slots; /* blocks of be_block on the disk */
    /* Result. */
    uint64_t be_done;
    double be_elapsed;
    int be_error;
};

static bool bench_writes(const struct bench *be) { return (be->be_op & 1u) != 0; }

/* The next block's number: xorshift, or one after the other. */
static uint64_t bench_next(const struct bench *be, uint64_t *state, uint64_t *sequential)
{
    uint64_t x = *state;

    if (be->be_op >= 2)
        return (*sequential)++ % be->be_slots;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x % be->be_slots;
}

/* ------------------------------------------------------------------ in this process */

/* A buf, and the place of those that are done. */
struct bench_ring;
struct bench_buf {
    struct buf bb_buf;
    struct bench_ring *bb_ring;
    struct bench_buf *bb_next;
};
struct bench_ring {
    pthread_mutex_t br_mutex; /* completions may come from a timer thread */
    struct bench_buf *br_done;
    event_t br_event;
};

static void bench_iodone(struct buf *bp)
{
    struct bench_buf *bb = SC_CONTAINER_OF(bp, struct bench_buf, bb_buf);
    struct bench_ring *ring = bb->bb_ring;

    pthread_mutex_lock(&ring->br_mutex);
    bb->bb_next = ring->br_done;
    ring->br_done = bb;
    pthread_mutex_unlock(&ring->br_mutex);
    e_wakeup(&ring->br_event);
}

/* Those that are done, when there are any; *waited says whether it had to wait for them. */
static struct bench_buf *bench_collect(struct bench_ring *ring, bool *waited)
{
    struct bench_buf *list;

    for (;;) {
        pthread_mutex_lock(&ring->br_mutex);
        list = ring->br_done;
        ring->br_done = NULL;
        pthread_mutex_unlock(&ring->br_mutex);
        if (list != NULL)
            return list;
        *waited = true;
        (void)e_sleep_thread(&ring->br_event, NULL, EVENT_SHORT);
    }
}

/* Set every buf of the list going again, as one chain. */
static void bench_send(const struct bench *be, struct bench_buf *list, uint64_t *state, uint64_t *sequential)
{
    struct buf *head = NULL, **tail = &head;

    for (struct bench_buf *bb = list; bb != NULL; bb = bb->bb_next) {
        struct buf *bp = &bb->bb_buf;

        bp->b_flags = (bench_writes(be) ? B_WRITE : B_READ) | B_MPSAFE;
        bp->b_error = 0;
        bp->b_bcount = be->be_block;
        bp->b_blkno = (int64_t)((bench_next(be, state, sequential) * be->be_block) >> DEV_BSHIFT);
        bp->av_forw = NULL;
        *tail = bp;
        tail = &bp->av_forw;
    }
    KASSERT(head != NULL);
    KASSERT(devstrat(head) == 0);
}

static int bench_process(struct bench *be)
{
    struct bench_ring ring = {.br_mutex = PTHREAD_MUTEX_INITIALIZER};
    struct bench_buf *bufs = calloc(be->be_depth, sizeof(*bufs));
    uint8_t *data = aligned_alloc(SC_PAGE_SIZE, be->be_depth * be->be_block);
    uint64_t state = 0x2545f4914f6cdd1du, sequential = 0, started = cli_now_ns(), inflight = be->be_depth;
    struct bench_buf *list = NULL;
    bool over = false, waited;

    if (bufs == NULL || data == NULL) {
        free(bufs);
        free(data);
        return cli_fail(CLI_FAILED, "bench: no memory; use a smaller --block or --depth");
    }
    memset(data, 0x5c, be->be_depth * be->be_block);
    for (uint64_t i = be->be_depth; i-- > 0; list = &bufs[i]) {
        bufs[i].bb_ring = &ring;
        bufs[i].bb_next = list;
        bufs[i].bb_buf.b_iodone = bench_iodone;
        bufs[i].bb_buf.b_dev = scp_disk_devno(be->be_pair.p_scp, 0);
        bufs[i].bb_buf.b_un.b_addr = data + i * be->be_block;
    }
    for (unsigned round = 1; inflight > 0; round++) {
        if (!over)
            bench_send(be, list, &state, &sequential);
        waited = false;
        list = bench_collect(&ring, &waited);
        /* The clock costs half of what a request to a null disk does; who waited has the time. */
        if (waited || round % BENCH_CHECK == 0 || be->be_error != 0)
            over = over || be->be_error != 0 || cli_stopped() != 0 ||
                   cli_now_ns() - started > be->be_seconds * 1000000000u;
        for (struct bench_buf *bb = list; bb != NULL; bb = bb->bb_next) {
            be->be_done++;
            inflight -= over;
            if ((bb->bb_buf.b_flags & B_ERROR) != 0)
                be->be_error = bb->bb_buf.b_error;
        }
    }
    be->be_elapsed = (double)(cli_now_ns() - started) / 1e9;
    free(data);
    free(bufs);
    return CLI_OK;
}

/* ------------------------------------------------------------------ on a path */

struct bench_path {
    struct bench *bp_bench;
    uint64_t bp_until;
    _Atomic uint64_t bp_done;
    _Atomic uint64_t bp_sequential;
    _Atomic unsigned bp_seed;
    _Atomic int bp_error;
};

static void *bench_path_thread(void *arg)
{
    struct bench_path *bp = arg;
    const struct bench *be = bp->bp_bench;
    uint8_t *data = aligned_alloc(SC_PAGE_SIZE, be->be_block + CLI_END_SLACK);
    uint64_t state = 0x2545f4914f6cdd1du * (1u + atomic_fetch_add(&bp->bp_seed, 1)), unused = 0;
    int error = data == NULL ? ENOMEM : 0;

    if (data != NULL)
        memset(data, 0x5c, be->be_block);
    while (error == 0 && atomic_load(&bp->bp_error) == 0 && cli_stopped() == 0 &&
           cli_now_ns() < bp->bp_until) {
        uint64_t slot = be->be_op >= 2 ? atomic_fetch_add(&bp->bp_sequential, 1) % be->be_slots
                                       : bench_next(be, &state, &unused);

        error = bench_writes(be) ? cli_end_write(&be->be_end, data, be->be_block, slot * be->be_block)
                                 : cli_end_read(&be->be_end, data, be->be_block, slot * be->be_block);
        if (error == 0)
            atomic_fetch_add(&bp->bp_done, 1);
    }
    if (error != 0)
        atomic_store(&bp->bp_error, error);
    free(data);
    return NULL;
}

static int bench_on_path(struct bench *be)
{
    struct bench_path bp = {.bp_bench = be};
    pthread_t threads[CLI_JOB_DEPTH_MAX];
    uint64_t started = cli_now_ns();
    unsigned n = 0;

    bp.bp_until = started + be->be_seconds * 1000000000u;
    while (n < be->be_depth && pthread_create(&threads[n], NULL, bench_path_thread, &bp) == 0)
        n++;
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    be->be_elapsed = (double)(cli_now_ns() - started) / 1e9;
    be->be_done = atomic_load(&bp.bp_done);
    be->be_error = atomic_load(&bp.bp_error);
    return n > 0 ? CLI_OK : cli_fail(CLI_FAILED, "bench: no thread could be started");
}

/* ------------------------------------------------------------------ the command */

static bool bench_op(struct bench *be, const char *text)
{
    for (unsigned i = 0; i < SC_ARRAY_SIZE(bench_ops); i++) {
        if (strcmp(bench_ops[i], text) == 0) {
            be->be_op = i;
            return true;
        }
    }
    (void)cli_fail(CLI_USAGE, "--op %s: must be randread, randwrite, read or write", text);
    return false;
}

static int bench_options(const struct cli_command *cmd, struct bench *be, int argc, char **argv)
{
    static const struct option longs[] = {CLI_PAIR_OPTIONS,
                                          {"op", required_argument, NULL, 'o'},
                                          {"block", required_argument, NULL, 'b'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"time", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    bool ok = true;
    int c;

    while (ok && (c = cli_getopt(cmd, argc, argv, ":o:b:d:t:j", longs)) != -1) {
        switch (c) {
        case 'o':
            ok = bench_op(be, optarg);
            break;
        case 'b':
            ok = cli_size("--block", optarg, DEV_BSIZE, DEV_BSIZE, CLI_JOB_BLOCK_MAX, &be->be_block);
            break;
        case 'd':
            ok = cli_number("--depth", optarg, 1, CLI_JOB_DEPTH_MAX, &be->be_depth);
            break;
        case 't':
            ok = cli_number("--time", optarg, 1, BENCH_SECONDS_MAX, &be->be_seconds);
            break;
        case 'j':
            be->be_json = true;
            break;
        case CLI_GETOPT_HELP:
        case CLI_GETOPT_BAD:
            return -1 - cli_getopt_rc(c);
        default:
            ok = cli_pair_option(&be->be_pair, c, optarg) == CLI_OK;
        }
    }
    return ok ? 0 : -1 - CLI_USAGE;
}

static int bench_report(const struct bench *be)
{
    double iops = be->be_elapsed > 0 ? (double)be->be_done / be->be_elapsed : 0;
    double mib = iops * (double)be->be_block / (1 << 20);
    double ns = be->be_done > 0 ? be->be_elapsed * 1e9 / (double)be->be_done : 0;

    if (be->be_error != 0)
        return cli_fail(CLI_FAILED, "%s: %s", be->be_end.e_name, scp_strerror(be->be_error));
    if (be->be_json)
        return cli_json_print(json_pack(
            "{s:s,s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:b}", "disk", be->be_end.e_name, "op",
            bench_ops[be->be_op], "block", (json_int_t)be->be_block, "depth", (json_int_t)be->be_depth,
            "requests", (json_int_t)be->be_done, "seconds", be->be_elapsed, "iops", iops, "mib_per_s", mib,
            "ns", ns, "interrupted", cli_stopped() != 0));
    printf("%s: %s, %llu bytes, depth %llu: %.0f requests/s, %.0f MiB/s, %.0f ns each%s\n", be->be_end.e_name,
           bench_ops[be->be_op], (unsigned long long)be->be_block, (unsigned long long)be->be_depth, iops,
           mib, ns, cli_stopped() != 0 ? " (interrupted)" : "");
    return CLI_OK;
}

/* Open what is to be measured. */
static int bench_open(struct bench *be, const char *path)
{
    int rc = path == NULL ? cli_pair_create(&be->be_pair) : CLI_OK;

    if (rc == CLI_OK)
        rc = path != NULL
                 ? cli_end_open(&be->be_end, path, bench_writes(be) ? CLI_END_WRITE : CLI_END_READ)
                 : cli_end_disk(&be->be_end, &be->be_pair, 0, be->be_pair.p_texts[0], bench_writes(be));
    if (rc != CLI_OK)
        return rc;
    if (be->be_block % be->be_end.e_block != 0)
        return cli_fail(CLI_USAGE, "--block %llu: must be a multiple of the disk's block, %u",
                        (unsigned long long)be->be_block, be->be_end.e_block);
    be->be_slots = be->be_end.e_bytes / be->be_block;
    if (be->be_slots == 0)
        return cli_fail(CLI_USAGE, "%s: smaller than one --block", be->be_end.e_name);
    return CLI_OK;
}

static int bench_run(const struct cli_command *cmd, int argc, char **argv)
{
    struct bench be = {
        .be_end.e_fd = -1, .be_block = SC_PAGE_SIZE, .be_depth = 32, .be_seconds = BENCH_SECONDS};
    int rc = bench_options(cmd, &be, argc, argv);
    bool disk = be.be_pair.p_ndisks != 0;

    if (rc < 0)
        return cli_pair_end(&be.be_pair, -1 - rc);
    if (disk && be.be_pair.p_ndisks > 1)
        rc = cli_fail(CLI_USAGE, "bench: one --disk at a time");
    else if (cli_pair_unused(cmd, &be.be_pair) != CLI_OK ||
             !cli_arguments(cmd, argc, argv, disk ? "" : "PATH"))
        rc = CLI_USAGE;
    else {
        /* Before the first thing that takes time: an early Ctrl-C ends with what there is, too. */
        cli_stop_catch();
        rc = bench_open(&be, disk ? NULL : argv[optind]);
    }
    if (rc == CLI_OK)
        rc = disk ? bench_process(&be) : bench_on_path(&be);
    if (rc == CLI_OK)
        rc = bench_report(&be);
    cli_end_close(&be.be_end);
    return cli_pair_end(&be.be_pair, rc);
}

const struct cli_command cli_bench = {
    "bench",
    "[--op OP] [--block BYTES] [--depth N] [--time SECONDS] PATH  |  --disk FILE[,OPTION]...",
    "measure a disk, through the drivers in this process or through a mount",
    "  -o, --op OP         randread (default), randwrite, read or write. Writing DESTROYS data\n"
    "  -b, --block BYTES   bytes in one request, a multiple of 512 up to 64M (4096)\n"
    "  -d, --depth N       requests at once, 1 to 256; on a PATH: threads (32)\n"
    "  -t, --time SECONDS  how long, 1 to 3600 (3)\n"
    "  --disk FILE,...     a disk of an image, or ram:SIZE or null:SIZE, without a mount\n"
    "  -j, --json          the result as JSON\n\n"
    "Ctrl-C ends it early and prints what has been measured.\n\n"
    "Examples:\n"
    "  scpair bench --disk null:1G\n"
    "  scpair bench --op read --block 1M --depth 4 mnt/rhdisk0\n",
    bench_run,
};
