/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * span_prop.c - what the device driver hands to the adapter driver, watched between the two.
 *
 * A recorder with entry points of its own stands in the device switch between scdisk and the real
 * adapter driver: it passes everything on and judges every sc_buf. Two heads and an adapter that
 * meet only in the device switch make that possible without touching either.
 *
 *   property: random request lists (a million by default); every command obeys AIX-05 to AIX-09
 *             and AIX-11, every request is sent exactly once and completes without error;
 *   ratio:    sequential page-sized writes 32 deep make at least 16 requests a command, random
 *             ones one each.
 *
 *   span_prop [--seed N] [--lists N]       SCPAIR_PROP_COUNT is the default for --lists
 */
#define _GNU_SOURCE
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/scsiproto.h>

#define RECORDER_DEVNO SC_MAKEDEV(5, 0)
#define DISK_DEVNO     SC_MAKEDEV(SCP_DISK_MAJOR, 40)
#define DISK_BYTES     (1ull << 32)
#define BLOCK          512u
#define TRANSFER_BYTES 131072u
#define LIST_MAX       24u
#define DEPTH          32u
#define RATIO_REQUESTS 32768u
#define RATIO_WANTED   16u

static uint64_t seed, state, lists;

static uint64_t rnd(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

#define MUST(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("rerun: span_prop --seed %llu --lists 1\n", (unsigned long long)seed);                    \
            printf("FAIL ");                                                                                 \
            printf(__VA_ARGS__);                                                                             \
            printf("\n");                                                                                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* A request and what happened to it. */
struct request {
    struct buf rq_buf;
    size_t rq_bytes; /* b_bcount as given */
    size_t rq_sent;  /* bytes of it seen in commands */
    unsigned rq_done;
};
static struct request requests[DEPTH > LIST_MAX ? DEPTH : LIST_MAX];
static unsigned nrequests;

/* ---------------------------------------------------------------- the recorder */

static struct file *real_adapter;
static devno_t real_devno;
static uint64_t commands, spanned, spanned_bufs, longest;

static uint64_t cdb_blocks(const struct sc_buf *sb, uint64_t *lba)
{
    const uint8_t *cdb = (const uint8_t *)&sb->scsi_command.scsi_cmd;

    switch (cdb[0]) {
    case SCSI_READ_6:
    case SCSI_WRITE_6:
        *lba = scsi_get24(cdb + 1) & 0x1fffff;
        return cdb[4] ? cdb[4] : 256;
    case SCSI_READ_10:
    case SCSI_WRITE_10:
        *lba = scsi_get32(cdb + 2);
        return scsi_get16(cdb + 7);
    case SCSI_READ_12:
    case SCSI_WRITE_12:
        *lba = scsi_get32(cdb + 2);
        return scsi_get32(cdb + 6);
    case SCSI_READ_16:
    case SCSI_WRITE_16:
        *lba = scsi_get64(cdb + 2);
        return scsi_get32(cdb + 10);
    default:
        return 0;
    }
}

static bool on_page(const void *p) { return ((uintptr_t)p & SC_PAGE_MASK) == 0; }

static struct request *request_of(struct buf *bp)
{
    for (unsigned i = 0; i < nrequests; i++)
        if (&requests[i].rq_buf == bp)
            return &requests[i];
    return NULL;
}

/* AIX-05 .. AIX-09: a chain of whole, consecutive requests of one direction whose inner edges are pages. */
static void judge_span(const struct sc_buf *sb, uint64_t lba)
{
    size_t total = 0, n = 0;
    int64_t blkno = (int64_t)lba;

    for (struct buf *bp = sb->bp; bp; bp = bp->av_forw, n++) {
        struct request *rq = request_of(bp);
        const uint8_t *start = bp->b_un.b_addr;

        MUST(rq, "a span holds a buf nobody sent");
        MUST(bp->b_bcount == rq->rq_bytes, "a request was cut to fit a span (AIX-07)");
        MUST((bp->b_flags & B_READ) == (sb->bufstruct.b_flags & B_READ),
             "reads and writes in one span (AIX-06)");
        MUST(bp->b_blkno == blkno, "blocks of a span are not consecutive (AIX-08)");
        MUST(n == 0 || on_page(start), "buf %zu of a span begins off a page (AIX-09)", n);
        MUST(!bp->av_forw || on_page(start + bp->b_bcount), "buf %zu of a span ends off a page (AIX-09)", n);
        blkno += (int64_t)(bp->b_bcount / BLOCK);
        total += bp->b_bcount;
        rq->rq_sent += bp->b_bcount;
    }
    MUST(total == sb->bufstruct.b_bcount, "the span's sum is not its count (AIX-05)");
    MUST(n > 1, "a span of one");
    spanned++;
    spanned_bufs += n;
    longest = n > longest ? n : longest;
}

/* A command without bp carries one request or a piece of one (AIX-11). */
static void judge_plain(const struct sc_buf *sb, uint64_t lba)
{
    const uint8_t *at = sb->bufstruct.b_un.b_addr;

    for (unsigned i = 0; i < nrequests; i++) {
        struct request *rq = &requests[i];
        uint64_t first = (uint64_t)rq->rq_buf.b_blkno;

        if (!rq->rq_done && lba >= first &&
            lba * BLOCK + sb->bufstruct.b_bcount <= first * BLOCK + rq->rq_bytes &&
            at == (uint8_t *)rq->rq_buf.b_un.b_addr + (lba - first) * BLOCK && rq->rq_sent < rq->rq_bytes &&
            (rq->rq_buf.b_flags & B_READ) == (sb->bufstruct.b_flags & B_READ)) {
            rq->rq_sent += sb->bufstruct.b_bcount;
            return;
        }
    }
    MUST(false, "a command for blocks nobody asked for: LBA %llu", (unsigned long long)lba);
}

/*
 * The request below is a copy: a driver in the middle may not change b_dev or b_iodone of what it
 * was given, and scdisk relies on that.
 */
static struct shell {
    struct sc_buf sh_copy;
    struct sc_buf *sh_orig; /* NULL: free */
} shells[80];

static void shell_done(struct buf *bp)
{
    struct shell *sh = SC_CONTAINER_OF(bp, struct shell, sh_copy.bufstruct);
    struct sc_buf *orig = sh->sh_orig;

    orig->bufstruct.b_flags |= bp->b_flags & B_ERROR;
    orig->bufstruct.b_error = bp->b_error;
    orig->bufstruct.b_resid = bp->b_resid;
    orig->status_validity = sh->sh_copy.status_validity;
    orig->scsi_status = sh->sh_copy.scsi_status;
    orig->general_card_status = sh->sh_copy.general_card_status;
    orig->adap_q_status = sh->sh_copy.adap_q_status;
    sh->sh_orig = NULL;
    iodone(&orig->bufstruct);
}

static void pass_on(struct sc_buf *sb)
{
    struct shell *sh = shells;

    while (sh < shells + SC_ARRAY_SIZE(shells) && sh->sh_orig)
        sh++;
    MUST(sh < shells + SC_ARRAY_SIZE(shells), "more commands under way than the queue depth allows");
    sh->sh_orig = sb;
    sh->sh_copy = *sb;
    sh->sh_copy.bufstruct.b_dev = real_devno;
    sh->sh_copy.bufstruct.b_iodone = shell_done;
    sb->bufstruct.b_flags &= ~(uint32_t)(B_ERROR | B_DONE);
    MUST(devstrat(&sh->sh_copy.bufstruct) == 0, "devstrat");
}

static void recorder_strategy(struct buf *bp)
{
    struct sc_buf *sb = (struct sc_buf *)(void *)bp;
    uint64_t lba = 0, blocks = cdb_blocks(sb, &lba);

    MUST(bp->av_forw == NULL, "more than one sc_buf in a strategy call (AIX-02)");
    if (blocks > 0 && nrequests > 0) {
        MUST(blocks * BLOCK == bp->b_bcount, "the CDB says %llu blocks, the count %zu bytes",
             (unsigned long long)blocks, bp->b_bcount);
        MUST(bp->b_bcount <= TRANSFER_BYTES, "%zu bytes in one command (AIX-08)", bp->b_bcount);
        MUST(!(sb->scsi_command.scsi_flags & (SC_NODISC | SC_ASYNC)), "SC_NODISC or SC_ASYNC (AIX-28)");
        commands++;
        if (sb->bp)
            judge_span(sb, lba);
        else
            judge_plain(sb, lba);
    }
    pass_on(sb);
}

static int recorder_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    (void)devno, (void)chan;
    return fp_opendev(real_devno, devflag, NULL, ext, &real_adapter);
}

static int recorder_close(devno_t devno, long chan)
{
    (void)devno, (void)chan;
    return fp_close(real_adapter);
}

static int recorder_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan,
                          int ext)
{
    (void)devno, (void)chan;
    return fp_ioctlx(real_adapter, cmd, arg, ext, devflag);
}

/* ---------------------------------------------------------------- the pair around it */

static struct scp *pair;
static struct file *disk;

static void build(uint32_t queue, uint64_t latency_ns)
{
    static const struct devsw entries = {.d_open = recorder_open,
                                         .d_close = recorder_close,
                                         .d_ioctl = recorder_ioctl,
                                         .d_strategy = recorder_strategy,
                                         .d_opts = DEV_MPSAFE};
    struct scp_disk_spec spec_disk = {
        .medium = SCP_MEDIUM_NULL, .bytes = DISK_BYTES, .latency_ns = latency_ns};
    struct scp_spec spec = {
        .disks = &spec_disk, .ndisks = 1, .transfer_bytes_max = TRANSFER_BYTES, .host = shim_det_host(seed)};
    struct scdisk_dds dds = {
        .adapter_devno = RECORDER_DEVNO, .queue_depth = (uint16_t)queue, .name = "hdisk40"};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};
    char text[SCP_ERROR_MAX];

    MUST(scp_create(&spec, &pair, text, sizeof(text)) == 0, "create: %s", text);
    real_devno = scp_adapter_devno(pair, 0);
    MUST(devswadd(RECORDER_DEVNO, &entries) == 0, "devswadd");
    MUST(scdisk_config(DISK_DEVNO, CFG_INIT, &uio) == 0, "configure");
    nrequests = 0;
    MUST(fp_opendev(DISK_DEVNO, DREAD | DWRITE, NULL, 0, &disk) == 0, "open");
    commands = spanned = spanned_bufs = longest = 0;
}

static void take_down(void)
{
    MUST(fp_close(disk) == 0 && scdisk_config(DISK_DEVNO, CFG_TERM, NULL) == 0, "close");
    MUST(devswdel(RECORDER_DEVNO) == 0, "devswdel");
    MUST(scp_destroy(pair) == 0, "leak");
}

/* ---------------------------------------------------------------- the property */

static _Alignas(SC_PAGE_SIZE) uint8_t arena[512 * SC_PAGE_SIZE];

static void list_done(struct buf *bp)
{
    struct request *rq = SC_CONTAINER_OF(bp, struct request, rq_buf);

    MUST(!(bp->b_flags & B_ERROR) && bp->b_resid == 0, "errno %d, residual %zu", bp->b_error, bp->b_resid);
    MUST(rq->rq_done++ == 0, "completed twice (AIX-04)");
    MUST(rq->rq_sent == rq->rq_bytes, "%zu of %zu bytes sent", rq->rq_sent, rq->rq_bytes);
}

/* A list that is nearly a span: each rule is broken now and then. */
static void make_list(void)
{
    int64_t blkno = (int64_t)rnd(1u << 22);
    uint32_t direction = rnd(2) ? B_READ : B_WRITE;

    nrequests = 1 + (unsigned)rnd(LIST_MAX);
    for (unsigned i = 0; i < nrequests; i++) {
        struct request *rq = &requests[i];
        size_t page = rnd(400), offset = 0, bytes = SC_PAGE_SIZE * (rnd(8) ? 1 : 1 + rnd(40));

        if (rnd(10) == 0)
            direction ^= B_READ;
        if (rnd(10) == 0)
            blkno += (int64_t)rnd(3) * 8 - 8;
        if (i == 0 || rnd(8) == 0)
            offset = BLOCK * rnd(8) + (rnd(8) ? 0 : 4 * rnd(128));
        if (rnd(6) == 0)
            bytes = BLOCK * (1 + rnd(20));
        else if (rnd(2) && offset % BLOCK == 0 && offset < SC_PAGE_SIZE)
            bytes -= offset; /* ends on a page */
        if (blkno < 0)
            blkno = 0;
        memset(rq, 0, sizeof(*rq));
        rq->rq_buf.b_flags = direction;
        rq->rq_buf.b_dev = DISK_DEVNO;
        rq->rq_buf.b_iodone = list_done;
        rq->rq_buf.b_un.b_addr = arena + page * SC_PAGE_SIZE + offset;
        rq->rq_buf.b_bcount = rq->rq_bytes = bytes;
        rq->rq_buf.b_blkno = blkno;
        rq->rq_buf.av_forw = i + 1 < nrequests ? &requests[i + 1].rq_buf : NULL;
        blkno += (int64_t)(bytes / BLOCK);
    }
}

static void property(void)
{
    uint64_t first_seed = seed, bufs = 0;

    build(64, 0);
    for (uint64_t i = 0; i < lists; i++) {
        seed = first_seed + i;
        state = seed * 0x9e3779b97f4a7c15ull | 1;
        make_list();
        MUST(devstrat(&requests[0].rq_buf) == 0, "devstrat");
        for (unsigned k = 0; k < nrequests; k++)
            MUST(requests[k].rq_done == 1, "request %u of %u did not complete", k, nrequests);
        bufs += nrequests;
    }
    seed = first_seed;
    printf(
        "property: %llu lists, %llu requests, %llu commands, %llu spanned with %llu requests, longest %llu\n",
        (unsigned long long)lists, (unsigned long long)bufs, (unsigned long long)commands,
        (unsigned long long)spanned, (unsigned long long)spanned_bufs, (unsigned long long)longest);
    MUST(lists < 1000 || (spanned > lists / 4 && longest > 8),
         "the lists hardly made a span: they prove nothing");
    nrequests = 0;
    take_down();
}

/* ---------------------------------------------------------------- the ratio */

static uint64_t submitted, completed;
static int64_t next_blkno;
static bool random_order, one_by_one;

static void ratio_fill(struct request *rq)
{
    struct buf *bp = &rq->rq_buf;
    size_t page = (size_t)(rq - requests);

    memset(rq, 0, sizeof(*rq));
    bp->b_flags = B_WRITE;
    bp->b_dev = DISK_DEVNO;
    bp->b_un.b_addr = arena + page * SC_PAGE_SIZE;
    bp->b_bcount = rq->rq_bytes = SC_PAGE_SIZE;
    /* 17 apart in pages and more: no two random ones are neighbours. */
    bp->b_blkno = random_order ? (int64_t)(rnd(4096) * 17 * 8) : next_blkno;
    next_blkno += SC_PAGE_SIZE / BLOCK;
    submitted++;
}

static void ratio_done(struct buf *bp)
{
    struct request *rq = SC_CONTAINER_OF(bp, struct request, rq_buf);

    MUST(!(bp->b_flags & B_ERROR), "errno %d", bp->b_error);
    completed++;
    if (one_by_one && submitted < RATIO_REQUESTS) {
        ratio_fill(rq);
        bp->b_iodone = ratio_done;
        MUST(devstrat(bp) == 0, "devstrat");
    }
}

/* Keep DEPTH requests at the driver: in chains of DEPTH, or one anew for each that completes. */
static void ratio(const char *what, uint32_t queue, uint64_t latency_ns, bool chains, bool random,
                  bool want_spans)
{
    double per_command;

    random_order = random;
    one_by_one = !chains;
    submitted = completed = 0;
    next_blkno = 0;
    state = seed | 1;
    build(queue, latency_ns);
    nrequests = DEPTH;
    while (completed < RATIO_REQUESTS) {
        uint64_t before = completed;

        if (submitted < RATIO_REQUESTS && (chains || submitted == 0)) {
            for (unsigned i = 0; i < DEPTH; i++) {
                ratio_fill(&requests[i]);
                requests[i].rq_buf.b_iodone = ratio_done;
                if (chains)
                    requests[i].rq_buf.av_forw = i + 1 < DEPTH ? &requests[i + 1].rq_buf : NULL;
                else
                    MUST(devstrat(&requests[i].rq_buf) == 0, "devstrat");
            }
            if (chains)
                MUST(devstrat(&requests[0].rq_buf) == 0, "devstrat");
        }
        while (completed < submitted && shim_det_step())
            ;
        MUST(completed > before, "%s: no progress", what);
    }
    per_command = (double)completed / (double)commands;
    printf("ratio: %-46s %llu requests, %llu commands, %.1f each\n", what, (unsigned long long)completed,
           (unsigned long long)commands, per_command);
    if (want_spans)
        MUST(commands * RATIO_WANTED <= completed, "%s: %.1f requests a command, wanted %u", what,
             per_command, RATIO_WANTED);
    else
        MUST(commands == completed, "%s: %llu commands for %llu requests", what, (unsigned long long)commands,
             (unsigned long long)completed);
    nrequests = 0;
    take_down();
}

int main(int argc, char **argv)
{
    const char *count = getenv("SCPAIR_PROP_COUNT");
    bool one = false;

    seed = 1;
    lists = count ? strtoull(count, NULL, 10) : 1000000;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--lists") == 0)
            lists = strtoull(argv[i + 1], NULL, 10);
        one = true;
    }
    property();
    if (one)
        return 0;
    ratio("sequential, chains of 32, inline", 64, 0, true, false, true);
    ratio("sequential, chains of 32, 100 us, queue 64", 64, 100000, true, false, true);
    ratio("sequential, 32 deep from iodone, 100 us, queue 1", 1, 100000, false, false, true);
    ratio("random, chains of 32, inline", 64, 0, true, true, false);
    ratio("random, 32 deep from iodone, 100 us, queue 64", 64, 100000, false, true, false);
    return 0;
}
