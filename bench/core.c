/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core.c - what one request costs inside the driver pair, beside a bare memcpy of the same data.
 *
 * Each thread (one unless told otherwise) keeps `depth` bufs of 4 KiB in flight on a simulated disk:
 * it hands the driver a chain, the completion routine collects what is finished, and the collected
 * bufs become the next chain.
 * Each row alternates two phases, ABAB: A is the driver pair, B the *floor*: memcpy of the same
 * blocks, in the same order, between the same buffers and memory of the disk's size in the same
 * huge-page state, all of it touched before. The medians of both and their ratio are printed.
 *
 * With several threads the time is that of all of them together divided by the requests of all: on a
 * perfect pair two threads on two disks show half the time of one.
 *
 * Rejected: timing each request (a clock read costs as much as a request on the null disk), and a
 * floor that copies one hot block (it would measure the cache and flatter nobody but us).
 *
 * Does not contain: the phases (core_drive.c), the disks (core_disk.c), FUSE (bench/fuse), other sizes than
 * the memory of the machine allows.
 */
#define _GNU_SOURCE
#include "core.h"

#include <getopt.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CORE_CHUNK 4096u /* requests of the first, calibrating phase */

static const char *const core_op_names[CORE_OPS] = {"randread", "read", "randwrite", "write"};
static const char *const core_pend_names[] = {"poll", "interrupt"};
static const char *const core_kind_names[CORE_KINDS] = {"ram", "null"};

struct core_options core_opt = {.disk_bytes = 1ull << 30,
                                .seconds = 3,
                                .rounds = CORE_ROUNDS,
                                .op = -1,
                                .kind = -1,
                                .threads = 1,
                                .disks = 1};

_Noreturn void core_die(const char *what, const char *why)
{
    fprintf(stderr, "core: %s: %s\n", what, why);
    exit(1);
}

uint64_t core_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---------------------------------------------------------------- rows */

static int core_double_cmp(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double core_median(double *v, unsigned n)
{
    qsort(v, n, sizeof(*v), core_double_cmp);
    return v[n / 2];
}

/* How many requests fill one phase. */
static uint64_t core_calibrate(enum core_op op)
{
    const double phase_ns = core_opt.seconds * 1e9 / (2.0 * core_opt.rounds);
    uint64_t count = CORE_CHUNK, took = 0, sent;

    for (;;) {
        sent = core_phase_drive(op, count, &took);
        if ((double)took >= phase_ns / 4 || count >= 1ull << 32)
            break;
        count *= 2;
    }
    return (uint64_t)((double)sent * phase_ns / (double)(took ? took : 1)) + 1;
}

/* `numbered`: the blocks of the RAM disks still hold their numbers. */
static void core_row_run(struct core_row *row, bool numbered)
{
    double ns[CORE_ROUNDS_MAX], floor_ns[CORE_ROUNDS_MAX];
    struct core_count did[2];
    uint64_t count, sent, took;

    core_row_begin(row->depth);
    if (core_opt.once != 0) {
        sent = core_phase_drive(row->op, core_opt.once, &took);
        row->ns = (double)took / (double)sent;
        return;
    }
    count = core_calibrate(row->op);
    core_disks_count(&did[0]);
    for (unsigned r = 0; r < core_opt.rounds; r++) {
        sent = core_phase_drive(row->op, count, &took);
        ns[r] = (double)took / (double)sent;
        if (!core_is_write(row->op) && numbered)
            core_check_read();
        core_phase_floor(row->op, &took);
        floor_ns[r] = (double)took / (double)sent;
    }
    core_disks_count(&did[1]);
    row->ns = core_median(ns, core_opt.rounds);
    row->floor_ns = core_median(floor_ns, core_opt.rounds);
    if (did[1].commands != did[0].commands) {
        const double commands = (double)(did[1].commands - did[0].commands);

        row->bufs_per_command = (double)(did[1].bufs - did[0].bufs) / commands;
        row->flushes_per_command = (double)(did[1].flushes - did[0].flushes) / commands;
    }
}

/* Every wanted row of one kind of disk. Returns how many were added. */
static unsigned core_rows_of(enum core_kind kind, struct core_row *rows, unsigned room)
{
    static const unsigned usual[] = {1, 32};
    bool numbered = kind == CORE_RAM;
    unsigned n = 0;

    core_disks_up(kind);
    for (int op = 0; op < CORE_OPS; op++) {
        if (core_opt.op >= 0 && core_opt.op != op)
            continue;
        for (size_t d = 0; d < (core_opt.depth ? 1 : SC_ARRAY_SIZE(usual)) && n < room; d++) {
            struct core_row *row = &rows[n++];

            row->kind = kind;
            row->op = (enum core_op)op;
            row->depth = core_opt.depth ? core_opt.depth : usual[d];
            if (isatty(STDERR_FILENO))
                fprintf(stderr, "\r\033[K%s %s depth %u", core_kind_names[kind], core_op_names[op],
                        row->depth);
            core_row_run(row, numbered);
            numbered = numbered && !core_is_write(row->op);
        }
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    core_disks_down();
    return n;
}

/* ---------------------------------------------------------------- printing */

static double core_ratio(const struct core_row *row)
{
    return row->floor_ns > 0 ? row->ns / row->floor_ns : 0;
}

static void core_print_json(const struct core_row *rows, unsigned n)
{
    printf("{\"rows\":[");
    for (unsigned i = 0; i < n; i++)
        printf("%s\n{\"disk\":\"%s\",\"op\":\"%s\",\"depth\":%u,\"threads\":%u,\"disks\":%u,\"ns\":%.1f,"
               "\"floor_ns\":%.1f,\"ratio\":%.3f,\"bufs_per_command\":%.2f,\"flushes_per_command\":%.4f}",
               i ? "," : "", core_kind_names[rows[i].kind], core_op_names[rows[i].op], rows[i].depth,
               core_opt.threads, core_opt.disks, rows[i].ns, rows[i].floor_ns, core_ratio(&rows[i]),
               rows[i].bufs_per_command, rows[i].flushes_per_command);
    printf("\n]}\n");
}

static void core_print_table(const struct core_row *rows, unsigned n)
{
    printf("%-5s %-10s %5s %7s %5s %11s %11s %7s %13s %15s\n", "disk", "op", "depth", "threads", "disks",
           "ns/request", "memcpy ns", "ratio", "bufs/command", "flushes/command");
    for (unsigned i = 0; i < n; i++)
        printf("%-5s %-10s %5u %7u %5u %11.1f %11.1f %7.2f %13.2f %15.4f\n", core_kind_names[rows[i].kind],
               core_op_names[rows[i].op], rows[i].depth, core_opt.threads, core_opt.disks, rows[i].ns,
               rows[i].floor_ns, core_ratio(&rows[i]), rows[i].bufs_per_command, rows[i].flushes_per_command);
}

/* ---------------------------------------------------------------- main */

static int core_usage(FILE *to, int rc)
{
    fprintf(to,
            "usage: core [options]\n"
            "4 KiB requests through the driver pair in one process, beside the memcpy floor.\n\n"
            "  --json             "
            "{\"rows\":[{\"disk\",\"op\",\"depth\",\"threads\",\"disks\",\"ns\",\"floor_ns\",...}]}\n"
            "  --disk ram|null    only this disk\n"
            "  --op OP            only randread, read, randwrite or write\n"
            "  --depth N          this depth instead of 1 and 32 (at most %u)\n"
            "  --pend HOW         an adapter that takes commands in batches and ends none while it is sent: "
            "poll,\n"
            "                     whoever waits asks it, or interrupt, it has a thread that tells\n"
            "  --threads N        so many threads at once, each with its own depth (1, at most %u);\n"
            "                     ns is wall time per request of all threads together\n"
            "  --disks M          on so many disks in turn, at most one per thread (1)\n"
            "  --size BYTES       of each disk and its floor memory, a power of two; 1G\n"
            "  --seconds S        time of one row; 3\n"
            "  --rounds N         driver and floor phases of a row; %u\n"
            "  --quick            --seconds 0.4 --rounds 5\n"
            "  --once N           send N requests per row and stop: for callgrind, for instance\n"
            "                     valgrind --tool=callgrind core --disk null --op randread --depth 32 --once "
            "100000\n"
            "  --memory           bytes of driver and adapter memory per LUN\n",
            CORE_DEPTH_MAX, CORE_THREADS_MAX, CORE_ROUNDS);
    return rc;
}

static int core_name_find(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fprintf(stderr, "core: %s: unknown; see --help\n", name);
    exit(2);
}

static bool core_options_ok(void)
{
    return core_opt.depth <= CORE_DEPTH_MAX && core_opt.rounds != 0 && core_opt.rounds <= CORE_ROUNDS_MAX &&
           core_opt.seconds > 0 && core_opt.seconds < 3600 && core_opt.disk_bytes >= (1u << 20) &&
           core_opt.disk_bytes <= (1ull << 40) && (core_opt.disk_bytes & (core_opt.disk_bytes - 1)) == 0 &&
           core_opt.threads >= 1 && core_opt.threads <= CORE_THREADS_MAX && core_opt.disks >= 1 &&
           core_opt.disks <= core_opt.threads;
}

/* Returns -1 to go on, or the exit status. */
static int core_options(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"disk", required_argument, NULL, 'D'},
                                            {"op", required_argument, NULL, 'o'},
                                            {"depth", required_argument, NULL, 'd'},
                                            {"size", required_argument, NULL, 's'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"quick", no_argument, NULL, 'q'},
                                            {"once", required_argument, NULL, 'n'},
                                            {"memory", no_argument, NULL, 'm'},
                                            {"threads", required_argument, NULL, 'T'},
                                            {"disks", required_argument, NULL, 'M'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"pend", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'j':
            core_opt.json = true;
            break;
        case 'D':
            core_opt.kind = core_name_find(core_kind_names, CORE_KINDS, optarg);
            break;
        case 'o':
            core_opt.op = core_name_find(core_op_names, CORE_OPS, optarg);
            break;
        case 'd':
            core_opt.depth = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'p':
            core_opt.pend =
                core_name_find(core_pend_names, 2, optarg) == 0 ? SCP_PEND_POLL : SCP_PEND_INTERRUPT;
            break;
        case 'T':
            core_opt.threads = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'M':
            core_opt.disks = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            if (scp_size_parse(optarg, &core_opt.disk_bytes) != 0)
                return core_usage(stderr, 2);
            break;
        case 't':
            core_opt.seconds = strtod(optarg, NULL);
            break;
        case 'r':
            core_opt.rounds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'q':
            core_opt.seconds = 0.4;
            core_opt.rounds = 5;
            break;
        case 'n':
            core_opt.once = strtoull(optarg, NULL, 10);
            break;
        case 'm':
            core_opt.memory = true;
            break;
        case 'h':
            return core_usage(stdout, 0);
        default:
            return core_usage(stderr, 2);
        }
    }
    return optind == argc && core_options_ok() ? -1 : core_usage(stderr, 2);
}

int main(int argc, char **argv)
{
    struct core_row rows[CORE_ROWS_MAX] = {0};
    unsigned n = 0;
    int rc = core_options(argc, argv);

    if (rc >= 0)
        return rc;
    if (core_opt.memory)
        return core_memory();
    core_workers_start();
    for (int kind = 0; kind < CORE_KINDS; kind++)
        if (core_opt.kind < 0 || core_opt.kind == kind)
            n += core_rows_of((enum core_kind)kind, rows + n, CORE_ROWS_MAX - n);
    core_workers_stop();
    if (core_opt.json)
        core_print_json(rows, n);
    else
        core_print_table(rows, n);
    return 0;
}
