/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kth_sweep.c - everything that can fail fails, one call after the other.
 *
 * For each kind of call (allocation, DMA mapping, timer, user copy) and k = 1, 2, 3 ... the whole
 * path create, open, read, write, gathered write, ioctl, close, destroy runs with the k-th such
 * call failing: once, and from then on for good. It ends with the first k no call reaches. Each
 * run must not crash, must not leak, must complete every request it accepted, and must work again
 * after the failure is over. All of it with commands that finish inline and with commands that
 * take 200 us, on the deterministic host.
 *
 * A failure for good would make a sleeper wait for ever, which is right and cannot be tested; so
 * the host's wait() is wrapped: after a minute of virtual time the failure is lifted, and whoever
 * still sleeps after three more minutes has been lost.
 *
 *   kth_sweep [--kind alloc|map|timer|copy] [--k N] [--for-good] [--latency] [-v]
 *
 * Does not contain: misbehaving devices (tests/sim), failures of the medium.
 */
#define _GNU_SOURCE
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DISK_BYTES        (1u << 20)
#define TRANSFER_BYTES    65536u
#define LATENCY_NS        200000u
#define PATIENCE_NS       60000000000ull
#define CHAIN_PATIENCE_NS UINT64_C(45000000000)
#define PATIENCE_ROUNDS   4
#define CHAIN             24u
#define K_MAX             5000u

static const char *const kind_names[] = {[SHIM_FAIL_ALLOC] = "alloc",
                                         [SHIM_FAIL_MAP] = "map",
                                         [SHIM_FAIL_TIMER] = "timer",
                                         [SHIM_FAIL_COPY] = "copy"};

/* The run under way. */
static struct sweep {
    enum shim_fail kind;
    unsigned k;
    bool for_good, latency, verbose;
    bool lifted;
    uint64_t hits;    /* failures that struck, kept over the lifting */
    const char *what; /* step of the path */
    unsigned left;    /* bufs of the chain not done */
} sw;

static const struct shim_host *det;
static struct shim_host host;
static _Alignas(SC_PAGE_SIZE) uint8_t image[DISK_BYTES], memory[DISK_BYTES];

static void say_rerun(void)
{
    char line[200];
    int n = snprintf(line, sizeof(line), "rerun: kth_sweep --kind %s --k %u%s%s -v\nFAIL in step '%s'\n",
                     kind_names[sw.kind], sw.k, sw.for_good ? " --for-good" : "",
                     sw.latency ? " --latency" : "", sw.what);

    if (n > 0 && write(STDOUT_FILENO, line, (size_t)n) < 0)
        _exit(1);
}

static void on_crash(int sig)
{
    say_rerun();
    signal(sig, SIG_DFL);
    raise(sig);
}

#define MUST(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            say_rerun();                                                                                     \
            printf(__VA_ARGS__);                                                                             \
            printf("\n");                                                                                    \
            fflush(stdout);                                                                                  \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* ---------------------------------------------------------------- the failure and its end */

static void lift(void)
{
    if (sw.lifted)
        return;
    sw.lifted = true;
    sw.hits = shim_fail_failed(sw.kind);
    shim_fail_set(sw.kind, 0, false);
    if (sw.verbose)
        printf("  lifted in '%s' after %llu failures\n", sw.what, (unsigned long long)sw.hits);
}

/* The host's wait, with an end to patience. Same contract. */
static bool sweep_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    for (int round = 0; round < PATIENCE_ROUNDS; round++) {
        uint64_t limit = det->now_ns() + PATIENCE_NS;
        bool finite = deadline_ns <= limit;

        if (det->wait(ev, l, finite ? deadline_ns : limit))
            return true;
        if (finite)
            return false;
        lift();
    }
    MUST(false, "lost: a sleeper in '%s' is never woken, minutes after the failure is over", sw.what);
    return false;
}

/* ---------------------------------------------------------------- the path */

static int allowed(int error)
{
    switch (error) {
    case 0:
        return 1;
    case ENOMEM:
    case EAGAIN:
        return sw.kind == SHIM_FAIL_ALLOC || sw.kind == SHIM_FAIL_TIMER || sw.kind == SHIM_FAIL_MAP;
    case ETIMEDOUT:
        /* A request's time runs while it waits for room to be mapped. */
        return sw.kind == SHIM_FAIL_MAP && sw.for_good;
    case EFAULT:
        return sw.kind == SHIM_FAIL_COPY;
    case EIO:
        /* SCIOSTART's word for a lack of resources, and so open's. */
        if (strcmp(sw.what, "open") == 0 || strcmp(sw.what, "adapter open") == 0)
            return 1;
        /* And what a disk driver's ioctl makes of a timeout. */
        return sw.kind == SHIM_FAIL_MAP && sw.for_good;
    default:
        return 0;
    }
}

static void step_is(const char *what)
{
    sw.what = what;
    if (sw.verbose)
        printf("  %s\n", what);
}

/*
 * Try a step; when it is refused because of the failure, lift that and try again: then it must go.
 */
#define STEP(what_, expr)                                                                                    \
    do {                                                                                                     \
        int error_;                                                                                          \
        step_is(what_);                                                                                      \
        error_ = (expr);                                                                                     \
        MUST(allowed(error_), "%s: errno %d (%s) is no answer to this failure", what_, error_,               \
             scp_strerror(error_));                                                                          \
        if (error_) {                                                                                        \
            lift();                                                                                          \
            sw.hits += sw.hits == 0; /* a create that failed has forgotten the count */                      \
            error_ = (expr);                                                                                 \
            MUST(error_ == 0, "%s: still fails after the failure is over: errno %d (%s)", what_, error_,     \
                 scp_strerror(error_));                                                                      \
        }                                                                                                    \
    } while (0)

static int create(struct scp **pair)
{
    struct scp_disk_spec disk = {
        .medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES, .queue = 4, .latency_ns = sw.latency ? LATENCY_NS : 0};
    struct scp_spec spec = {.disks = &disk, .ndisks = 1, .transfer_bytes_max = TRANSFER_BYTES, .host = &host};
    char text[SCP_ERROR_MAX] = "";
    int error = scp_create(&spec, pair, text, sizeof(text));
    struct shim_account acc;

    if (error) {
        MUST(text[0], "create: errno %d without a word", error);
        shim_account_get(&acc);
        for (int tag = 0; tag < SHIM_TAG_COUNT; tag++)
            MUST(acc.acc_blocks[tag] == 0, "create failed and left %llu blocks of tag %d behind",
                 (unsigned long long)acc.acc_blocks[tag], tag);
    }
    return error;
}

static int raw(struct file *fp, bool write, size_t off, size_t bytes)
{
    size_t done = 0;
    int error =
        write ? scp_raw_write(fp, memory, bytes, off, 0, &done) : scp_raw_read(fp, memory, bytes, off, &done);

    MUST(error || done == bytes, "raw I/O: %zu of %zu bytes and no error", done, bytes);
    return error;
}

static int raw_read(struct file *fp)
{
    int error;

    memset(memory, 0xee, sizeof(memory));
    error = raw(fp, false, 0, DISK_BYTES);
    MUST(error || memcmp(memory, image, DISK_BYTES) == 0, "read: wrong data");
    return error;
}

static int raw_write(struct file *fp, uint8_t seed)
{
    for (size_t i = 0; i < DISK_BYTES; i++)
        memory[i] = image[i] = (uint8_t)(i / 512 + i * 3 + seed);
    return raw(fp, true, 0, DISK_BYTES);
}

/* writev of odd pieces, from user memory: a gathered write. */
static int gather(struct file *fp)
{
    struct iovec vec[4] = {{memory + 1, 100}, {memory + 500, 411}, {memory + 2000, 1}, {memory + 3000, 1536}};
    struct uio uio = {.uio_iov = vec, .uio_iovcnt = 4, .uio_resid = 2048, .uio_offset = 4096};

    uio.uio_segflg = UIO_USERSPACE;
    for (size_t i = 0, at = 4096; i < 4; at += vec[i].iov_len, i++)
        memcpy(image + at, vec[i].iov_base, vec[i].iov_len);
    return fp_rwuio(fp, UIO_WRITE, &uio, 0);
}

static void chain_done(struct buf *bp)
{
    MUST(!(bp->b_flags & B_ERROR) && bp->b_resid == 0, "strategy: errno %d, residual %zu of %zu", bp->b_error,
         bp->b_resid, bp->b_bcount);
    MUST(sw.left > 0, "a request completed twice");
    sw.left--;
}

/* A chain to strategy: a span, a large one that is fragmented, a single. All must succeed in the end. */
static void chain(devno_t devno)
{
    static struct buf bufs[CHAIN];
    int64_t blkno = 0;

    memset(bufs, 0, sizeof(bufs));
    for (unsigned i = 0; i < CHAIN; i++) {
        struct buf *bp = &bufs[i];
        size_t bytes = i == 20 ? 3 * TRANSFER_BYTES : SC_PAGE_SIZE;

        bp->b_flags = i % 12 < 10 ? B_READ : B_WRITE;
        bp->b_dev = devno;
        bp->b_iodone = chain_done;
        bp->b_un.b_addr = memory + (blkno << DEV_BSHIFT);
        bp->b_bcount = bytes;
        bp->b_blkno = blkno;
        blkno += (int64_t)(bytes >> DEV_BSHIFT);
        bp->av_forw = i + 1 < CHAIN ? &bufs[i + 1] : NULL;
    }
    memcpy(memory, image, DISK_BYTES);
    sw.left = CHAIN;
    MUST(devstrat(&bufs[0]) == 0, "devstrat refused the chain");
    /* One timeout, and not two: then the disk would be dead, and the chain with it. */
    for (uint64_t until = det->now_ns() + CHAIN_PATIENCE_NS; sw.left > 0 && det->now_ns() < until;)
        if (!shim_det_step())
            break;
    if (sw.left > 0)
        lift();
    while (sw.left > 0)
        MUST(shim_det_step(), "lost: %u requests outstanding, no timer armed, after the failure is over",
             sw.left);
    MUST(memcmp(memory, image, DISK_BYTES) == 0, "strategy: wrong data");
}

static int ioctls(struct file *disk, struct file *adapter)
{
    static struct sc_passthru pt;
    static struct sc_inquiry inq;
    struct sc_disk_info info;
    struct devinfo dev;
    int error;

    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.flags = SC_PT_READ;
    pt.command_length = 6;
    pt.scsi_cdb[0] = 0x12;
    pt.scsi_cdb[4] = 36;
    pt.data_length = 36;
    pt.timeout_value = 10;
    memset(&inq, 0, sizeof(inq));
    inq.inquiry_len = 36;
    /* Without DKERNEL the argument is the user's: every copy may fail. */
    error = fp_ioctlx(disk, IOCINFO, (intptr_t)&dev, 0, DREAD | DWRITE);
    error = error ? error : fp_ioctlx(disk, DKINFO, (intptr_t)&info, 0, DREAD | DWRITE);
    error = error ? error : fp_ioctlx(disk, DK_PASSTHRU, (intptr_t)&pt, 0, DREAD | DWRITE);
    error = error ? error : fp_ioctlx(disk, DKFLUSH, 0, 0, DREAD | DWRITE);
    error = error ? error : fp_ioctlx(adapter, SCIOINQU, (intptr_t)&inq, 0, DREAD | DWRITE | DAUTH);
    error = error ? error : fp_ioctlx(adapter, SCIOGTHW, 0, 0, DREAD | DWRITE);
    return error;
}

/* The whole path once. Returns how many calls were made to fail. */
static uint64_t walk(void)
{
    struct file *disk, *adapter;
    struct scp *pair;
    size_t leaked;

    sw.lifted = false;
    sw.hits = 0;
    shim_checks_set(true);
    shim_fail_set(sw.kind, sw.k, sw.for_good);
    STEP("create", create(&pair));
    STEP("open", fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &disk));
    STEP("adapter open", fp_opendev(scp_adapter_devno(pair, 0), DREAD | DWRITE, NULL, 0, &adapter));
    STEP("write", raw_write(disk, (uint8_t)sw.k));
    STEP("read", raw_read(disk));
    STEP("gather", gather(disk));
    step_is("strategy");
    chain(scp_disk_devno(pair, 0));
    STEP("ioctl", ioctls(disk, adapter));
    step_is("close");
    MUST(fp_close(disk) == 0, "close of the disk fails");
    STEP("open", fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &disk));
    /* Over: everything works as on the first day. */
    lift();
    step_is("afterwards");
    MUST(raw_read(disk) == 0 && raw_write(disk, 99) == 0 && raw_read(disk) == 0 && gather(disk) == 0,
         "no progress after the failure is over");
    MUST(raw_read(disk) == 0, "no read after the failure is over");
    MUST(fp_close(disk) == 0 && fp_close(adapter) == 0, "close fails after the failure is over");
    step_is("destroy");
    leaked = scp_destroy(pair);
    MUST(leaked == 0, "%zu blocks leaked", leaked);
    shim_checks_set(false);
    return sw.hits;
}

/* k = 1, 2, 3 ... until no call is left to fail. Returns the last k that struck. */
static unsigned sweep(enum shim_fail kind, bool for_good, bool latency)
{
    sw.kind = kind;
    sw.for_good = for_good;
    sw.latency = latency;
    for (sw.k = 1; sw.k <= K_MAX; sw.k++)
        if (walk() == 0)
            break;
    MUST(sw.k <= K_MAX, "the path never ends: %u calls", sw.k);
    printf("%-5s %-8s %-12s k = 1 .. %u\n", kind_names[kind], for_good ? "for good" : "once",
           latency ? "with latency" : "inline", sw.k - 1);
    fflush(stdout);
    return sw.k - 1;
}

static int sweep_all(const bool *kinds)
{
    /* Fewer failures than this and the sweep has missed the path it is about. */
    static const unsigned least[SHIM_FAIL_COUNT] = {
        [SHIM_FAIL_ALLOC] = 5, [SHIM_FAIL_MAP] = 20, [SHIM_FAIL_TIMER] = 1, [SHIM_FAIL_COPY] = 5};
    int bad = 0;

    for (int kind = 0; kind <= SHIM_FAIL_COPY; kind++) {
        for (int latency = 0; kinds[kind] && latency < 2; latency++) {
            /* Inline, no timer is needed, and that is a virtue. */
            unsigned want = kind == SHIM_FAIL_TIMER && !latency ? 0 : least[kind];

            for (int for_good = 0; for_good < 2; for_good++) {
                unsigned got = sweep((enum shim_fail)kind, for_good, latency);

                if (got < want) {
                    printf("FAIL only %u calls of kind %s, expected %u\n", got, kind_names[kind], want);
                    bad = 1;
                }
            }
        }
    }
    return bad;
}

int main(int argc, char **argv)
{
    bool kinds[SHIM_FAIL_COUNT] = {true, true, true, true}, good = true;

    for (int i = 1; i < argc && good; i++) {
        if (strcmp(argv[i], "--for-good") == 0) {
            sw.for_good = true;
        } else if (strcmp(argv[i], "--latency") == 0) {
            sw.latency = true;
        } else if (strcmp(argv[i], "-v") == 0) {
            sw.verbose = true;
        } else if (strcmp(argv[i], "--k") == 0 && i + 1 < argc) {
            sw.k = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--kind") == 0 && i + 1 < argc) {
            i++;
            good = false;
            for (int kind = 0; kind <= SHIM_FAIL_COPY; kind++) {
                kinds[kind] = strcmp(argv[i], kind_names[kind]) == 0;
                good |= kinds[kind];
                if (kinds[kind])
                    sw.kind = (enum shim_fail)kind;
            }
        } else {
            good = false;
        }
    }
    if (!good) {
        fprintf(stderr,
                "usage: kth_sweep [--kind alloc|map|timer|copy] [--k N [--for-good] [--latency]] [-v]\n");
        return 2;
    }
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    det = shim_det_host(1);
    /* A request that waits to be mapped times out, and a disk that lets two time out is left alone for a
     * while. */
    shim_det_tunable_set("dd_dead_ms", 0);
    host = *det;
    host.wait = sweep_wait;
    if (sw.k) {
        printf("%llu failures struck\n", (unsigned long long)walk());
        return 0;
    }
    return sweep_all(kinds);
}
