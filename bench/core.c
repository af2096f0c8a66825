/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core.c - what one request costs inside the driver pair, beside a bare memcpy of the same data.
 *
 * One thread keeps `depth` bufs of 4 KiB in flight on a simulated disk: it hands the driver a chain,
 * the completion routine collects what is finished, and the collected bufs become the next chain.
 * Each row alternates two phases, ABAB: A is the driver pair, B the *floor*: memcpy of the same
 * blocks, in the same order, between the same buffers and memory of the disk's size in the same
 * huge-page state, all of it touched before. The medians of both and their ratio are printed.
 *
 * Sections: options, the disk, the driver phase, the floor phase, rows, printing, --memory, main.
 *
 * Rejected: timing each request (a clock read costs as much as a request on the null disk), and a
 * floor that copies one hot block (it would measure the cache and flatter nobody but us).
 *
 * Does not contain: FUSE (bench/fuse), other disk sizes than the memory of the machine allows.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CORE_BLOCK_BYTES 4096u
#define CORE_DEPTH_MAX   256u
#define CORE_OFFSETS     (1u << 20) /* precomputed random block numbers: a power of two */
#define CORE_ROUNDS      11u        /* odd: the median is a measured value */
#define CORE_ROUNDS_MAX  64u
#define CORE_CHUNK       4096u /* requests of the first, calibrating phase */
#define CORE_ROWS_MAX    64u

enum core_op { CORE_RANDREAD, CORE_READ, CORE_RANDWRITE, CORE_WRITE, CORE_OPS };
static const char *const core_op_names[CORE_OPS] = {"randread", "read", "randwrite", "write"};
enum core_kind { CORE_RAM, CORE_NULL, CORE_KINDS };
static const char *const core_kind_names[CORE_KINDS] = {"ram", "null"};

/* ---------------------------------------------------------------- options */

static struct {
    uint64_t disk_bytes;
    double seconds; /* of one row, both phases */
    unsigned rounds;
    uint64_t once;  /* requests of each row, driver only; 0: measure */
    int op, kind;   /* only this one; -1 all */
    unsigned depth; /* only this one; 0 the usual */
    bool json, memory;
} core_opt = {.disk_bytes = 1ull << 30, .seconds = 3, .rounds = CORE_ROUNDS, .op = -1, .kind = -1};

/* ---------------------------------------------------------------- state */

struct core_row {
    enum core_kind kind;
    enum core_op op;
    unsigned depth;
    double ns, floor_ns;
    double bufs_per_command;
};

static struct {
    struct scp *pair;
    struct file *file;
    devno_t devno;
    enum core_kind kind;
    struct buf bufs[CORE_DEPTH_MAX];
    struct buf *done_head; /* finished, in the order of their completion */
    struct buf **done_tail;
    char *data;  /* the bufs' memory: depth blocks, page-aligned */
    char *floor; /* the floor's "disk" */
    uint64_t disk_huge_bytes, floor_huge_bytes;
    uint32_t *offsets; /* random block numbers */
    uint64_t next;     /* position in the row's sequence of blocks */
    bool mixed;        /* write rows have run: blocks no longer hold their numbers */
} core;

static _Thread_local bool core_main_thread;

_Noreturn static void core_die(const char *what, const char *why)
{
    fprintf(stderr, "core: %s: %s\n", what, why);
    exit(1);
}

static uint64_t core_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool core_is_write(enum core_op op) { return op == CORE_RANDWRITE || op == CORE_WRITE; }
static bool core_is_random(enum core_op op) { return op == CORE_RANDREAD || op == CORE_RANDWRITE; }

/* The n-th block of a row; both phases call this, so both pay for it. */
static inline uint64_t core_block(bool random, uint64_t n, uint64_t mask)
{
    return random ? core.offsets[n & (CORE_OFFSETS - 1)] : n & mask;
}

static uint64_t core_mask(void) { return core_opt.disk_bytes / CORE_BLOCK_BYTES - 1; }

static void core_offsets_fill(void)
{
    uint64_t x = 0x9e3779b97f4a7c15u, mask = core_mask();

    core.offsets = malloc(sizeof(*core.offsets) * CORE_OFFSETS);
    if (core.offsets == NULL)
        core_die("offsets", "out of memory");
    for (size_t i = 0; i < CORE_OFFSETS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        core.offsets[i] = (uint32_t)((x >> 20) & mask);
    }
}

static void *core_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        core_die("memory", "too little for disk and floor; give --size a smaller one");
    return p;
}

/* ---------------------------------------------------------------- the driver phase */

/* Completion routine of every buf. The disk answers inline, so this is the submitting thread. */
static void core_iodone(struct buf *bp)
{
    if (SC_UNLIKELY(!core_main_thread))
        core_die("driver", "a request finished on another thread: not the path this program measures");
    bp->av_forw = NULL;
    *core.done_tail = bp;
    core.done_tail = &bp->av_forw;
}

static void core_bufs_setup(unsigned depth)
{
    core.done_head = NULL;
    core.done_tail = &core.done_head;
    for (unsigned i = 0; i < depth; i++) {
        struct buf *bp = &core.bufs[i];

        memset(bp, 0, sizeof(*bp));
        bp->b_dev = core.devno;
        bp->b_iodone = core_iodone;
        bp->b_bcount = CORE_BLOCK_BYTES;
        bp->b_un.b_addr = core.data + (size_t)i * CORE_BLOCK_BYTES;
        bp->b_xmemd.aspace_id = XMEM_GLOBAL;
        *core.done_tail = bp;
        core.done_tail = &bp->av_forw;
    }
}

/*
 * Push `count` requests (rounded up to whole chains) through the driver. Returns how many.
 * Every finished buf is looked at: a failed request must not look like a fast one.
 */
static uint64_t core_drive(enum core_op op, uint64_t count)
{
    const bool random = core_is_random(op);
    const uint32_t flags = (core_is_write(op) ? B_WRITE : B_READ) | B_ASYNC | B_MPSAFE;
    const uint64_t mask = core_mask();
    uint64_t sent = 0, next = core.next;

    while (sent < count) {
        struct buf *head = core.done_head;

        if (SC_UNLIKELY(head == NULL))
            core_die("driver", "no request finished inline");
        core.done_head = NULL;
        core.done_tail = &core.done_head;
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
    core.next = next;
    return sent;
}

/* ---------------------------------------------------------------- the floor phase */

/* The same copies with nothing around them. `bytes` is a variable so that the library's memcpy runs. */
static void core_floor(enum core_op op, unsigned depth, uint64_t count, uint64_t from, size_t bytes)
{
    const bool random = core_is_random(op), write = core_is_write(op);
    const uint64_t mask = core_mask();
    unsigned slot = 0;

    for (uint64_t i = 0; i < count; i++) {
        char *block = core.floor + core_block(random, from + i, mask) * CORE_BLOCK_BYTES;
        char *mine = core.data + (size_t)slot * CORE_BLOCK_BYTES;

        if (write)
            memcpy(block, mine, bytes);
        else
            memcpy(mine, block, bytes);
        if (++slot == depth)
            slot = 0;
    }
}

/* ---------------------------------------------------------------- the disk */

static void core_pair_up(enum core_kind kind)
{
    struct scp_disk_spec disk = {.medium = kind == CORE_RAM ? SCP_MEDIUM_RAM : SCP_MEDIUM_VOID,
                                 .bytes = core_opt.disk_bytes,
                                 .queue = 64};
    struct scp_spec spec = {.disks = &disk, .ndisks = 1};
    char err[SCP_ERROR_MAX];
    int error = scp_create(&spec, &core.pair, err, sizeof(err));

    if (error != 0)
        core_die("scp_create", err);
    core.kind = kind;
    core.devno = scp_disk_devno(core.pair, 0);
    error = fp_opendev(core.devno, DREAD | DWRITE | DKERNEL, NULL, 0, &core.file);
    if (error != 0)
        core_die("open", scp_strerror(error));
    core.mixed = false;
}

static void core_pair_down(void)
{
    (void)fp_close(core.file);
    if (scp_destroy(core.pair) != 0)
        core_die("scp_destroy", "memory is still allocated");
}

static struct sc_disk_stats core_stats(void)
{
    struct sc_disk_stats stats;
    int error = fp_ioctl(core.file, DKSTATS, (intptr_t)&stats, 0);

    if (error != 0)
        core_die("DKSTATS", scp_strerror(error));
    return stats;
}

/* Bytes of huge pages in mappings at least as large as the disk. */
static uint64_t core_huge_bytes(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    unsigned long long from = 0, to = 0, kib;
    uint64_t sum = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            continue;
        if (to - from >= core_opt.disk_bytes && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
            sum += kib * 1024u;
    }
    if (f != NULL)
        (void)fclose(f);
    return sum;
}

/*
 * Write every block of the RAM disk with its own number, then give the floor memory in the same
 * state: same size, huge pages when the disk has them, every page touched.
 */
static void core_fill(void)
{
    const uint64_t blocks = core_opt.disk_bytes / CORE_BLOCK_BYTES;
    uint64_t *number = (uint64_t *)(void *)core.data;
    bool huge;

    for (uint64_t i = 0; i < blocks && core.kind == CORE_RAM; i++) {
        core_bufs_setup(1);
        *number = i;
        core.next = i;
        (void)core_drive(CORE_WRITE, 1);
    }
    if (core_opt.once != 0)
        return;
    core.disk_huge_bytes = core_huge_bytes();
    /* There is nothing to match beside a null disk; the faster floor is the stricter one. */
    huge = core.kind == CORE_NULL || core.disk_huge_bytes > core_opt.disk_bytes / 2;
    core.floor = core_map(core_opt.disk_bytes);
    (void)madvise(core.floor, core_opt.disk_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(core.floor, 0x5a, core_opt.disk_bytes);
    core.floor_huge_bytes = core_huge_bytes() - core.disk_huge_bytes;
    if (core.kind == CORE_RAM && !core_opt.json)
        printf("huge pages: %llu MiB of the RAM disk, %llu MiB of the floor's memory\n",
               (unsigned long long)(core.disk_huge_bytes >> 20),
               (unsigned long long)(core.floor_huge_bytes >> 20));
}

/* Every buf of a read row must hold the number of the block it was last sent for. */
static void core_check_read(unsigned depth)
{
    for (unsigned i = 0; i < depth && core.kind == CORE_RAM && !core.mixed; i++) {
        uint64_t number;

        memcpy(&number, core.bufs[i].b_un.b_addr, sizeof(number));
        if (number != (uint64_t)core.bufs[i].b_blkno / (CORE_BLOCK_BYTES / DEV_BSIZE))
            core_die("data", "a read returned another block's data");
    }
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
    uint64_t count = CORE_CHUNK, start, took;

    for (;;) {
        start = core_now_ns();
        (void)core_drive(op, count);
        took = core_now_ns() - start;
        if ((double)took >= phase_ns / 4 || count >= 1ull << 32)
            break;
        count *= 2;
    }
    return (uint64_t)((double)count * phase_ns / (double)(took ? took : 1)) + 1;
}

static void core_row_run(struct core_row *row)
{
    double ns[CORE_ROUNDS_MAX], floor_ns[CORE_ROUNDS_MAX];
    struct sc_disk_stats before, after;
    uint64_t count, start, from;

    core_bufs_setup(row->depth);
    core.next = 0;
    if (core_opt.once != 0) {
        start = core_now_ns();
        count = core_drive(row->op, core_opt.once);
        row->ns = (double)(core_now_ns() - start) / (double)count;
        return;
    }
    count = core_calibrate(row->op);
    before = core_stats();
    for (unsigned r = 0; r < core_opt.rounds; r++) {
        uint64_t sent;

        from = core.next;
        start = core_now_ns();
        sent = core_drive(row->op, count);
        ns[r] = (double)(core_now_ns() - start) / (double)sent;
        if (!core_is_write(row->op))
            core_check_read(row->depth);
        start = core_now_ns();
        core_floor(row->op, row->depth, sent, from, CORE_BLOCK_BYTES + (size_t)(sent == 0));
        floor_ns[r] = (double)(core_now_ns() - start) / (double)sent;
    }
    after = core_stats();
    core.mixed = core.mixed || core_is_write(row->op);
    row->ns = core_median(ns, core_opt.rounds);
    row->floor_ns = core_median(floor_ns, core_opt.rounds);
    if (after.commands != before.commands)
        row->bufs_per_command =
            (double)(after.bufs - before.bufs) / (double)(after.commands - before.commands);
}

/* Every wanted row of one disk. Returns how many were added. */
static unsigned core_rows_of(enum core_kind kind, struct core_row *rows, unsigned room)
{
    static const unsigned usual[] = {1, 32};
    unsigned n = 0;

    core_pair_up(kind);
    core_fill();
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
            core_row_run(row);
        }
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (core.floor != NULL)
        (void)munmap(core.floor, core_opt.disk_bytes);
    core.floor = NULL;
    core_pair_down();
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
        printf("%s\n{\"disk\":\"%s\",\"op\":\"%s\",\"depth\":%u,\"ns\":%.1f,\"floor_ns\":%.1f,\"ratio\":%.3f,"
               "\"bufs_per_command\":%.2f}",
               i ? "," : "", core_kind_names[rows[i].kind], core_op_names[rows[i].op], rows[i].depth,
               rows[i].ns, rows[i].floor_ns, core_ratio(&rows[i]), rows[i].bufs_per_command);
    printf("\n]}\n");
}

static void core_print_table(const struct core_row *rows, unsigned n)
{
    printf("%-5s %-10s %5s %11s %11s %7s %13s\n", "disk", "op", "depth", "ns/request", "memcpy ns", "ratio",
           "bufs/command");
    for (unsigned i = 0; i < n; i++)
        printf("%-5s %-10s %5u %11.1f %11.1f %7.2f %13.2f\n", core_kind_names[rows[i].kind],
               core_op_names[rows[i].op], rows[i].depth, rows[i].ns, rows[i].floor_ns, core_ratio(&rows[i]),
               rows[i].bufs_per_command);
}

/* ---------------------------------------------------------------- --memory */

/* DD and AD bytes with n null disks of queue depth 64, all open. */
static uint64_t core_memory_of(unsigned n)
{
    struct scp_disk_spec one = {
        .size = sizeof(one), .medium = SCP_MEDIUM_NULL, .bytes = 1ull << 40, .queue = 64};
    struct scp_disk_spec disks[2] = {one, one};
    struct scp_spec spec = {.disks = disks, .ndisks = n};
    struct file *files[2];
    struct shim_account acc;
    struct scp *pair;
    char err[SCP_ERROR_MAX];

    if (scp_create(&spec, &pair, err, sizeof(err)) != 0)
        core_die("scp_create", err);
    for (unsigned i = 0; i < n; i++)
        if (fp_opendev(scp_disk_devno(pair, i), DREAD | DWRITE | DKERNEL, NULL, 0, &files[i]) != 0)
            core_die("open", "failed");
    shim_account_get(&acc);
    for (unsigned i = 0; i < n; i++)
        (void)fp_close(files[i]);
    if (scp_destroy(pair) != 0)
        core_die("scp_destroy", "memory is still allocated");
    return acc.acc_bytes[SHIM_TAG_DD] + acc.acc_bytes[SHIM_TAG_AD];
}

/* What a second LUN adds is what a LUN costs: the adapter's own memory cancels out. */
static int core_memory(void)
{
    uint64_t one = core_memory_of(1), two = core_memory_of(2);

    if (core_opt.json)
        printf("{\"queue_depth\":64,\"lun_bytes\":%llu,\"one_lun_total_bytes\":%llu}\n",
               (unsigned long long)(two - one), (unsigned long long)one);
    else
        printf(
            "device driver and adapter at queue depth 64: %llu bytes per LUN (%llu with the adapter's own)\n",
            (unsigned long long)(two - one), (unsigned long long)one);
    return 0;
}

/* ---------------------------------------------------------------- main */

static int core_usage(FILE *to, int rc)
{
    fprintf(
        to,
        "usage: core [options]\n"
        "4 KiB requests through the driver pair in one process and thread, beside the memcpy floor.\n\n"
        "  --json             {\"rows\":[{\"disk\",\"op\",\"depth\",\"ns\",\"floor_ns\",\"ratio\",...}]}\n"
        "  --disk ram|null    only this disk\n"
        "  --op OP            only randread, read, randwrite or write\n"
        "  --depth N          this depth instead of 1 and 32 (at most %u)\n"
        "  --size BYTES       disk and floor memory, a power of two; 1G\n"
        "  --seconds S        time of one row; 3\n"
        "  --rounds N         driver and floor phases of a row; %u\n"
        "  --quick            --seconds 0.4 --rounds 5\n"
        "  --once N           send N requests per row and stop: for callgrind, for instance\n"
        "                     valgrind --tool=callgrind core --disk null --op randread --depth 32 --once "
        "100000\n"
        "  --memory           bytes of driver and adapter memory per LUN\n",
        CORE_DEPTH_MAX, CORE_ROUNDS);
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

/* Returns -1 to go on, or the exit status. */
static int core_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},         {"disk", required_argument, NULL, 'D'},
        {"op", required_argument, NULL, 'o'},     {"depth", required_argument, NULL, 'd'},
        {"size", required_argument, NULL, 's'},   {"seconds", required_argument, NULL, 't'},
        {"rounds", required_argument, NULL, 'r'}, {"quick", no_argument, NULL, 'q'},
        {"once", required_argument, NULL, 'n'},   {"memory", no_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
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
    if (optind != argc || core_opt.depth > CORE_DEPTH_MAX || core_opt.rounds == 0 ||
        core_opt.rounds > CORE_ROUNDS_MAX || !(core_opt.seconds > 0 && core_opt.seconds < 3600) ||
        core_opt.disk_bytes < (1u << 20) || core_opt.disk_bytes > (1ull << 40) ||
        (core_opt.disk_bytes & (core_opt.disk_bytes - 1)) != 0)
        return core_usage(stderr, 2);
    return -1;
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
    core_main_thread = true;
    core_offsets_fill();
    core.data = core_map((size_t)CORE_DEPTH_MAX * CORE_BLOCK_BYTES);
    memset(core.data, 0x11, (size_t)CORE_DEPTH_MAX * CORE_BLOCK_BYTES);
    for (int kind = 0; kind < CORE_KINDS; kind++)
        if (core_opt.kind < 0 || core_opt.kind == kind)
            n += core_rows_of((enum core_kind)kind, rows + n, CORE_ROWS_MAX - n);
    if (core_opt.json)
        core_print_json(rows, n);
    else
        core_print_table(rows, n);
    return 0;
}
