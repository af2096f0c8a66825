/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of src/scp/scp_block.c: any offset and length against a shadow copy, both block
 * sizes, edges of the disk, threads that write parts of the same block, errors in the middle.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include <pthread.h>
#include <sched.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/devinfo.h>

#define DISK_BYTES (4u << 20)

static struct scp *pair;
static struct scp_block *block;

static void start(uint32_t block_bytes)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES, .block_bytes = block_bytes};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .transfer_bytes_max = 131072};
    char err[SCP_ERROR_MAX] = "";

    ck_assert_msg(scp_create(&spec, &pair, err, sizeof(err)) == 0, "%s", err);
    ck_assert_int_eq(scp_block_open(scp_disk_devno(pair, 0), DREAD | DWRITE, &block), 0);
}

static void stop(void)
{
    scp_block_close(block);
    ck_assert_uint_eq(scp_destroy(pair), 0);
}

static uint64_t random_state;
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void shadow_run(uint32_t block_bytes, uint64_t seed)
{
    uint8_t *shadow = calloc(1, DISK_BYTES);
    uint8_t *data = aligned_alloc(SC_PAGE_SIZE, 3u << 20);

    random_state = seed;
    start(block_bytes);
    for (unsigned i = 0; i < 600; i++) {
        size_t bytes = (size_t)(random_next() % (i % 50 == 0 ? 2u << 20 : 20000u)) + 1;
        uint64_t off = random_next() % DISK_BYTES;
        size_t want = bytes < DISK_BYTES - off ? bytes : (size_t)(DISK_BYTES - off);
        /* Memory at every offset in the page; one in four as the disk range lies, for the direct way. */
        uint8_t *at = data + (random_next() % 4 ? random_next() % SC_PAGE_SIZE : off % SC_PAGE_SIZE);
        size_t done = 0;

        if (random_next() & 1) {
            for (size_t k = 0; k < bytes; k++)
                at[k] = (uint8_t)random_next();
            ck_assert_int_eq(scp_block_write(block, at, bytes, off, &done), 0);
            ck_assert_uint_eq(done, want);
            memcpy(shadow + off, at, want);
        } else {
            ck_assert_int_eq(scp_block_read(block, at, bytes, off, &done), 0);
            ck_assert_uint_eq(done, want);
            ck_assert_msg(memcmp(shadow + off, at, want) == 0, "seed %llu step %u: %zu bytes at %llu differ",
                          (unsigned long long)seed, i, want, (unsigned long long)off);
        }
    }
    stop();
    free(shadow);
    free(data);
}

START_TEST(test_shadow_512) { shadow_run(512, 0x1234567u + (uint64_t)_i); }
END_TEST
START_TEST(test_shadow_4096) { shadow_run(4096, 0x7654321u + (uint64_t)_i); }
END_TEST

START_TEST(test_end_of_disk)
{
    uint8_t data[1024] = {0};
    size_t done = 99;

    start(512);
    ck_assert_int_eq(scp_block_read(block, data, sizeof(data), DISK_BYTES, &done), 0);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(scp_block_read(block, data, sizeof(data), DISK_BYTES + 1, &done), ENXIO);
    ck_assert_int_eq(scp_block_write(block, data, sizeof(data), DISK_BYTES, &done), ENXIO);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(scp_block_write(block, data, sizeof(data), DISK_BYTES - 100, &done), 0);
    ck_assert_uint_eq(done, 100);
    ck_assert_int_eq(scp_block_read(block, data, 0, 0, &done), 0);
    ck_assert_uint_eq(done, 0);
    stop();
}
END_TEST

/* A page-aligned megabyte is one chain of 256 bufs, which becomes 8 commands of 128 KiB. */
START_TEST(test_AIX_05_chain_is_spanned)
{
    uint8_t *data = aligned_alloc(SC_PAGE_SIZE, 1u << 20);
    struct sc_disk_stats before, after;
    size_t done;

    start(512);
    ck_assert_int_eq(fp_ioctl(scp_block_file(block), DKSTATS, (intptr_t)&before, 0), 0);
    ck_assert_int_eq(scp_block_read(block, data, 1u << 20, 0, &done), 0);
    ck_assert_int_eq(fp_ioctl(scp_block_file(block), DKSTATS, (intptr_t)&after, 0), 0);
    ck_assert_uint_eq(after.bufs - before.bufs, 256);
    ck_assert_uint_eq(after.commands - before.commands, 8);
    ck_assert_uint_eq(after.spanned_bufs - before.spanned_bufs, 256);
    stop();
    free(data);
}
END_TEST

START_TEST(test_error_in_the_middle_counts_what_came_before)
{
    uint8_t *data = aligned_alloc(SC_PAGE_SIZE, 64u << 10);
    char err[SCP_ERROR_MAX];
    size_t done;

    start(512);
    ck_assert_int_eq(
        scp_inject(pair, "hdisk0 op=read lba=40 count=forever do=check:3/11/00", err, sizeof(err)), 0);
    ck_assert_int_eq(scp_block_read(block, data, 64u << 10, 0, &done), EMEDIA);
    ck_assert_uint_eq(done, 40 * 512);
    ck_assert_int_eq(scp_inject(pair, "hdisk0 clear", err, sizeof(err)), 0);
    ck_assert_int_eq(scp_block_read(block, data, 64u << 10, 0, &done), 0);
    ck_assert_uint_eq(done, 64u << 10);
    stop();
    free(data);
}
END_TEST

/* A device that says GOOD and leaves the last 4 KiB of a command out. `count` 0: for ever. */
static void fall_short(const char *op, unsigned count)
{
    char rule[128], err[SCP_ERROR_MAX] = "";

    if (count == 0)
        (void)snprintf(rule, sizeof(rule), "hdisk0 op=%s count=forever do=short:4096", op);
    else
        (void)snprintf(rule, sizeof(rule), "hdisk0 op=%s count=%u do=short:4096", op, count);
    ck_assert_msg(scp_inject(pair, rule, err, sizeof(err)) == 0, "%s", err);
}

/* Any alignment: straight from the caller's memory, bounced, and with edges to be read. */
static const struct short_case {
    uint64_t off;
    size_t bytes;
} short_cases[] = {{65536, 65536}, {65536 + 512, 65536}, {65536 + 7, 20001}, {4096, 4096}, {8192 + 1, 30}};

START_TEST(test_short_and_good_is_asked_for_again)
{
    const struct short_case *c = &short_cases[_i];
    uint8_t *data = malloc(c->bytes), *back = malloc(c->bytes);
    size_t done;

    start(512);
    for (size_t i = 0; i < c->bytes; i++)
        data[i] = (uint8_t)(i * 7 + 1);
    fall_short("write", 1);
    ck_assert_int_eq(scp_block_write(block, data, c->bytes, c->off, &done), 0);
    ck_assert_uint_eq(done, c->bytes);
    fall_short("read", 1);
    ck_assert_int_eq(scp_block_read(block, back, c->bytes, c->off, &done), 0);
    ck_assert_uint_eq(done, c->bytes);
    ck_assert_mem_eq(data, back, c->bytes);
    stop();
    free(data);
    free(back);
}
END_TEST

START_TEST(test_short_and_good_for_ever_is_EIO)
{
    const struct short_case *c = &short_cases[_i];
    uint8_t *data = calloc(1, c->bytes);
    size_t done;

    start(512);
    fall_short("write", 0);
    ck_assert_int_eq(scp_block_write(block, data, c->bytes, c->off, &done), EIO);
    ck_assert_uint_lt(done, c->bytes);
    fall_short("read", 0);
    ck_assert_int_eq(scp_block_read(block, data, c->bytes, c->off, &done), EIO);
    ck_assert_uint_lt(done, c->bytes);
    stop();
    free(data);
}
END_TEST

START_TEST(test_raw_short_and_good)
{
    uint8_t *data = aligned_alloc(SC_PAGE_SIZE, 65536);
    struct file *fp = NULL;
    size_t done;

    memset(data, 0x5a, 65536);
    start(512);
    ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &fp), 0);
    fall_short("write", 0);
    fall_short("read", 0);
    ck_assert_int_eq(scp_raw_write(fp, data, 65536, 0, 0, &done), 0);
    ck_assert_uint_eq(done, 65536 - 4096);
    ck_assert_int_eq(scp_raw_read(fp, data, 65536, 0, &done), 0);
    ck_assert_uint_eq(done, 65536 - 4096);
    /* Nothing at all is no success before the end of the disk, and at the end it is. */
    ck_assert_int_eq(scp_raw_write(fp, data, 4096, 0, 0, &done), EIO);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(scp_raw_read(fp, data, 4096, 0, &done), EIO);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(scp_raw_read(fp, data, 4096, DISK_BYTES, &done), 0);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(fp_close(fp), 0);
    stop();
    free(data);
}
END_TEST

#define WRITERS 4
static void *writer(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint8_t mine[100];
    size_t done;

    memset(mine, (int)(me + 1), sizeof(mine));
    /* All writers share blocks: 100-byte stripes, each thread its own. */
    for (unsigned i = 0; i < 400; i++)
        if (scp_block_write(block, mine, sizeof(mine), (uint64_t)(i * WRITERS + me) * sizeof(mine), &done) !=
            0)
            return (void *)1;
    return NULL;
}

START_TEST(test_partial_writes_of_threads_do_not_lose_each_other)
{
    pthread_t t[WRITERS];
    static uint8_t back[400 * WRITERS * 100];
    void *failed;
    size_t done;

    start(512);
    for (uintptr_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, writer, (void *)i), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(t[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(scp_block_read(block, back, sizeof(back), 0, &done), 0);
    for (size_t i = 0; i < sizeof(back); i++)
        ck_assert_msg(back[i] == (i / 100) % WRITERS + 1, "byte %zu was lost", i);
    stop();
}
END_TEST

/* ---------------------------------------------------------------- a driver that finishes elsewhere */

#define FAKE_MAJOR 9u
static struct buf *_Atomic fake_next; /* for the other thread to finish */
static atomic_bool fake_end;

static int fake_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    (void)devno, (void)devflag, (void)chan, (void)ext;
    return 0;
}

static int fake_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    struct devinfo *info = (struct devinfo *)arg;

    (void)devno, (void)cmd, (void)devflag, (void)chan, (void)ext;
    *info = (struct devinfo){.devtype = DD_SCDISK, .un.scdk = {.numblks = 8, .blksize = 512}};
    return 0;
}

static void fake_strategy(struct buf *bp) { atomic_store(&fake_next, bp); }

/* Finishes each buf a little later than the one before, so that all ways to meet the waiter come up. */
static void *fake_finisher(void *arg)
{
    unsigned later = 0, idle = 0;

    while (!atomic_load(&fake_end)) {
        struct buf *bp = atomic_exchange(&fake_next, NULL);

        if (bp) {
            for (unsigned spin = 0; spin < later; spin++)
                atomic_signal_fence(memory_order_seq_cst);
            later = (later + 1) % 64;
            idle = 0;
            iodone(bp);
        } else if (++idle % 1024 == 0) {
            sched_yield();
        }
    }
    return arg;
}

/*
 * Whoever has read may close at once, and that frees what the completion signals through. A completion that
 * still reaches for it is seen by the sanitizers.
 */
START_TEST(test_XEN_01_close_right_after_a_completion_on_another_thread)
{
    static const struct devsw fake = {
        .d_open = fake_open, .d_ioctl = fake_ioctl, .d_strategy = fake_strategy};
    pthread_t finisher;
    uint8_t data[512];
    size_t done;

    ck_assert_int_eq(shim_init(shim_posix_host()), 0);
    ck_assert_int_eq(kern_init(), 0);
    ck_assert_int_eq(devswadd(SC_MAKEDEV(FAKE_MAJOR, 0), &fake), 0);
    ck_assert_int_eq(pthread_create(&finisher, NULL, fake_finisher, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) {
        ck_assert_int_eq(scp_block_open(SC_MAKEDEV(FAKE_MAJOR, 0), DREAD, &block), 0);
        ck_assert_int_eq(scp_block_read(block, data, sizeof(data), 0, &done), 0);
        ck_assert_uint_eq(done, sizeof(data));
        scp_block_close(block);
    }
    atomic_store(&fake_end, true);
    ck_assert_int_eq(pthread_join(finisher, NULL), 0);
    ck_assert_int_eq(devswdel(SC_MAKEDEV(FAKE_MAJOR, 0)), 0);
    kern_fini();
    ck_assert_uint_eq(shim_fini(), 0);
}
END_TEST

/* ---------------------------------------------------------------- a driver that does as it is told */

#define PLAN_BLOCKS 8192u
/* What the buf number `at` of call number `call` does: leave `resid` bytes out, or fail. */
static struct plan {
    unsigned call, at;
    size_t resid;
    int error;
} plan[8];
static unsigned plans, plan_calls, plan_writes;
static size_t plan_bytes[16];  /* of each call */
static int64_t plan_blkno[16]; /* where it began */
static uint8_t plan_disk[PLAN_BLOCKS * 512u];
static void (*plan_meanwhile)(void); /* during the first call */

static int plan_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    (void)fake_ioctl(devno, cmd, arg, devflag, chan, ext);
    ((struct devinfo *)arg)->un.scdk.numblks = PLAN_BLOCKS;
    return 0;
}

static void plan_buf(struct buf *bp, unsigned call, unsigned at)
{
    const struct plan none = {0}, *p = &none;
    size_t n;

    for (unsigned i = 0; i < plans; i++)
        if (plan[i].call == call && plan[i].at == at)
            p = &plan[i];
    n = bp->b_bcount - p->resid;
    if (bp->b_flags & B_READ)
        memcpy(bp->b_un.b_addr, plan_disk + bp->b_blkno * 512, n);
    else
        memcpy(plan_disk + bp->b_blkno * 512, bp->b_un.b_addr, n);
    bp->b_resid = p->resid;
    if (p->error != 0) {
        bp->b_flags |= B_ERROR;
        bp->b_error = p->error;
    }
    iodone(bp);
}

static void plan_strategy(struct buf *bp)
{
    unsigned call = plan_calls++, at = 0;

    ck_assert_uint_lt(call, SC_ARRAY_SIZE(plan_bytes));
    plan_blkno[call] = bp->b_blkno;
    plan_writes += !(bp->b_flags & B_READ);
    for (struct buf *b = bp; b; b = b->av_forw)
        plan_bytes[call] += b->b_bcount;
    /* What is read is read now, and only handed over later. */
    for (struct buf *b = bp, *next; b; b = next) {
        next = b->av_forw;
        if (next == NULL && plan_meanwhile != NULL && call == 0) {
            void (*fn)(void) = plan_meanwhile;

            plan_meanwhile = NULL;
            memcpy(b->b_un.b_addr, plan_disk + b->b_blkno * 512, b->b_bcount);
            fn();
            iodone(b);
            return;
        }
        plan_buf(b, call, at++);
    }
}

static const struct devsw plan_devsw = {
    .d_open = fake_open, .d_ioctl = plan_ioctl, .d_strategy = plan_strategy};

static void plan_begin(const struct plan *wanted, unsigned n)
{
    if (n > 0)
        memcpy(plan, wanted, n * sizeof(plan[0]));
    plans = n;
    for (size_t i = 0; i < sizeof(plan_disk); i++)
        plan_disk[i] = (uint8_t)(i * 7 >> 4);
    ck_assert_int_eq(shim_init(shim_posix_host()), 0);
    ck_assert_int_eq(kern_init(), 0);
    ck_assert_int_eq(devswadd(SC_MAKEDEV(FAKE_MAJOR, 0), &plan_devsw), 0);
    ck_assert_int_eq(scp_block_open(SC_MAKEDEV(FAKE_MAJOR, 0), DREAD | DWRITE, &block), 0);
    plan_calls = plan_writes = 0;
}

static void plan_end(void)
{
    scp_block_close(block);
    ck_assert_int_eq(devswdel(SC_MAKEDEV(FAKE_MAJOR, 0)), 0);
    kern_fini();
    ck_assert_uint_eq(shim_fini(), 0);
}

static uint8_t plan_memory[4u << 20] __attribute__((aligned(4096)));

/* What is left out is asked for again from the block where it stopped, four times in all. */
START_TEST(test_how_a_short_transfer_goes_on)
{
    static const struct plan odd[] = {{0, 0, 4096 - 700, 0}};
    static const struct plan middle[] = {{0, 0, 512, 0}};
    static const struct plan slow[] = {
        {0, 0, 2048 - 512, 0}, {1, 0, 1536 - 512, 0}, {2, 0, 1024 - 512, 0}, {3, 0, 0, 0}};
    static const struct plan never[] = {
        {0, 0, 4096 - 512, 0}, {1, 0, 3584 - 512, 0}, {2, 0, 3072 - 512, 0}, {3, 0, 2560 - 512, 0}};
    static const struct plan before[] = {{0, 0, 824, 0}, {1, 0, 824, 0}, {2, 0, 824, 0}, {3, 0, 824, 0}};
    static const struct plan inside[] = {{0, 0, 624, 0}, {1, 0, 624, 0}, {2, 0, 624, 0}, {3, 0, 624, 0}};
    size_t done;

    switch (_i) {
    case 0: /* inside a block */
        plan_begin(odd, 1);
        ck_assert_int_eq(scp_block_read(block, plan_memory, 4096, 0, &done), 0);
        ck_assert_uint_eq(done, 4096);
        ck_assert_uint_eq(plan_calls, 2);
        ck_assert_int_eq(plan_blkno[1], 1);
        ck_assert_uint_eq(plan_bytes[1], 4096 - 512);
        break;
    case 1: /* what a later buf has moved does not count */
        plan_begin(middle, 1);
        ck_assert_int_eq(scp_block_read(block, plan_memory, 12288, 0, &done), 0);
        ck_assert_uint_eq(done, 12288);
        ck_assert_uint_eq(plan_calls, 2);
        ck_assert_int_eq(plan_blkno[1], 7);
        ck_assert_mem_eq(plan_memory, plan_disk, 12288);
        break;
    case 2:
        plan_begin(slow, 4);
        ck_assert_int_eq(scp_block_read(block, plan_memory, 2048, 0, &done), 0);
        ck_assert_uint_eq(done, 2048);
        ck_assert_uint_eq(plan_calls, 4);
        break;
    case 3:
        plan_begin(never, 4);
        ck_assert_int_eq(scp_block_read(block, plan_memory, 4096, 0, &done), EIO);
        ck_assert_uint_eq(done, 2048);
        ck_assert_uint_eq(plan_calls, 4);
        break;
    default: /* it stops before the bytes that are wanted, or after a hundred of them */
        plan_begin(_i == 4 ? before : inside, 4);
        ck_assert_int_eq(scp_block_read(block, plan_memory, 400, 300, &done), EIO);
        ck_assert_uint_eq(done, _i == 4 ? 0 : 100);
    }
    plan_end();
}
END_TEST

/* Of several errors the first in the order of the disk counts, and bytes up to it. */
START_TEST(test_the_first_error_counts)
{
    static const struct plan two[] = {{0, 1, 4096, EMEDIA}, {0, 2, 4096, ENOTREADY}};
    size_t done;

    plan_begin(two, 2);
    ck_assert_int_eq(scp_block_read(block, plan_memory, 16384, 0, &done), EMEDIA);
    ck_assert_uint_eq(done, 4096);
    plan_end();
}
END_TEST

/* A block of which a part stays must be read first, or nothing is written. */
START_TEST(test_an_edge_that_cannot_be_read)
{
    static const struct plan bad[] = {{0, 0, 512, EMEDIA}};
    size_t done = 99;

    plan_begin(bad, 1);
    ck_assert_int_eq(scp_block_write(block, plan_memory, 100, _i ? 512 : 700, &done), EMEDIA);
    ck_assert_uint_eq(done, 0);
    ck_assert_uint_eq(plan_writes, 0);
    plan_end();
}
END_TEST

/* A large range is cut where the disk's chunks begin, so that it has two edges and not many. */
START_TEST(test_a_large_range_is_cut_at_the_disks_chunks)
{
    size_t done;

    plan_begin(NULL, 0);
    ck_assert_int_eq(scp_block_read(block, plan_memory, 2u << 20, 512, &done), 0);
    ck_assert_uint_eq(plan_calls, 3);
    ck_assert_uint_eq(plan_bytes[0], (1u << 20) - 512);
    ck_assert_uint_eq(plan_bytes[1], 1u << 20);
    ck_assert_uint_eq(plan_bytes[2], 512);
    ck_assert_mem_eq(plan_memory, plan_disk + 512, 2u << 20);
    plan_end();
}
END_TEST

static pthread_t other_writer;
static atomic_bool other_there, other_done;

static void *write_a_block(void *arg)
{
    static uint8_t whole[512];
    size_t done;

    memset(whole, 0xbb, sizeof(whole));
    atomic_store(&other_there, true);
    (void)scp_block_write(block, whole, sizeof(whole), 1024, &done);
    atomic_store(&other_done, true);
    return arg;
}

/* Another thread writes the block as a whole while a part of it is being changed. */
static void write_meanwhile(void)
{
    ck_assert_int_eq(pthread_create(&other_writer, NULL, write_a_block, NULL), 0);
    while (!atomic_load(&other_there))
        (void)sched_yield();
    /* Whoever may go on beside us does so now; who may not is not there, however long this takes. */
    for (unsigned i = 0; i < 2000 && !atomic_load(&other_done); i++)
        shim_delay_ns(100000);
}

START_TEST(test_a_part_of_a_block_is_written_alone)
{
    uint8_t part[100];
    size_t done;

    plan_begin(NULL, 0);
    plan_meanwhile = write_meanwhile;
    memset(part, 0xaa, sizeof(part));
    ck_assert_int_eq(scp_block_write(block, part, sizeof(part), 1024, &done), 0);
    ck_assert_int_eq(pthread_join(other_writer, NULL), 0);
    /* It came after us, or all of it before. */
    for (unsigned i = 0; i < 512; i++)
        ck_assert_msg(plan_disk[1024 + i] == 0xbb, "byte %u is %02x", i, plan_disk[1024 + i]);
    plan_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_block");
    TCase *t = tcase_create("block");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_how_a_short_transfer_goes_on, 0, 6);
    tcase_add_test(t, test_the_first_error_counts);
    tcase_add_loop_test(t, test_an_edge_that_cannot_be_read, 0, 2);
    tcase_add_test(t, test_a_large_range_is_cut_at_the_disks_chunks);
    tcase_add_test(t, test_a_part_of_a_block_is_written_alone);
    tcase_add_loop_test(t, test_shadow_512, 0, 4);
    tcase_add_loop_test(t, test_shadow_4096, 0, 4);
    tcase_add_test(t, test_end_of_disk);
    tcase_add_test(t, test_AIX_05_chain_is_spanned);
    tcase_add_test(t, test_error_in_the_middle_counts_what_came_before);
    tcase_add_loop_test(t, test_short_and_good_is_asked_for_again, 0, SC_ARRAY_SIZE(short_cases));
    tcase_add_loop_test(t, test_short_and_good_for_ever_is_EIO, 0, SC_ARRAY_SIZE(short_cases));
    tcase_add_test(t, test_raw_short_and_good);
    tcase_add_test(t, test_partial_writes_of_threads_do_not_lose_each_other);
    tcase_add_test(t, test_XEN_01_close_right_after_a_completion_on_another_thread);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
