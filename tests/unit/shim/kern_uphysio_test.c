/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_uphysio_test.c - raw I/O: how a request is cut, what is sent at once, and what the caller is
 * told when the k-th buf fails, comes up short or is refused, inline and out of order.
 */
#include "panic_host.h"

#define DEVNO    SC_MAKEDEV(5, 1)
#define SENT_MAX 512u

/* What the fake driver saw, and how it is to answer. */
static struct seen {
    struct buf copy;
} sent[SENT_MAX];
static unsigned nsent, nstrategy, inflight, inflight_max;
static unsigned fail_at;  /* 1-based number of the buf that fails; 0 none */
static int fail_errno;    /* with B_ERROR */
static size_t short_by;   /* of buf number fail_at, without error */
static bool later;        /* finish from timers, in an order that depends on the seed */
static size_t mincnt_max; /* what mincnt cuts to */
static unsigned mincnt_calls, mincnt_fail_at;

static void seen_reset(void)
{
    nsent = nstrategy = inflight = inflight_max = 0;
    fail_at = 0;
    fail_errno = 0;
    short_by = 0;
    mincnt_max = SIZE_MAX;
    mincnt_calls = mincnt_fail_at = 0;
}

static void finish(struct buf *bp, unsigned number)
{
    bp->b_resid = 0;
    if (number == fail_at && short_by) {
        bp->b_resid = short_by;
    } else if (number == fail_at) {
        bp->b_flags |= B_ERROR;
        bp->b_error = fail_errno;
        bp->b_resid = bp->b_bcount;
    } else if (bp->b_flags & B_READ) {
        memset(bp->b_un.b_addr, (int)(bp->b_blkno & 0x7f) + 1, bp->b_bcount);
    }
    inflight--;
    iodone(bp);
}

struct pending {
    struct shim_timer timer;
    struct buf *bp;
    unsigned number;
};

static void on_pending(struct shim_timer *t)
{
    struct pending *p = t->tm_arg;

    finish(p->bp, p->number);
    free(p);
}

static void strategy(struct buf *bp)
{
    nstrategy++;
    while (bp) {
        struct buf *next = bp->av_forw;

        ck_assert_uint_lt(nsent, SENT_MAX);
        memcpy(&sent[nsent].copy, bp, sizeof(*bp));
        nsent++;
        if (++inflight > inflight_max)
            inflight_max = inflight;
        if (later) {
            struct pending *p = calloc(1, sizeof(*p));

            p->bp = bp;
            p->number = nsent;
            shim_timer_init(&p->timer, on_pending, p);
            ck_assert_int_eq(shim_timer_arm(&p->timer, shim_now_ns() + 1 + shim_det_random() % 1000), 0);
        } else {
            finish(bp, nsent);
        }
        bp = next;
    }
}

static int mincnt(struct buf *bp, void *minparms)
{
    ck_assert_ptr_eq(minparms, &mincnt_max);
    mincnt_calls++;
    if (mincnt_calls == mincnt_fail_at)
        return ENOTTY;
    if (bp->b_bcount > mincnt_max)
        bp->b_bcount = mincnt_max;
    bp->b_options = 0x77;
    return 0;
}

/* One request over the pieces given; the iovecs are copied since uphysio advances them. */
static struct uio uio;
static struct iovec iov[64];
static char memory[1 << 20] __attribute__((aligned(4096)));

static void uio_set(int64_t offset, unsigned npieces, const size_t *pieces)
{
    char *p = memory;

    memset(&uio, 0, sizeof(uio));
    uio.uio_iov = iov;
    uio.uio_offset = offset;
    uio.uio_segflg = UIO_SYSSPACE;
    for (unsigned i = 0; i < npieces; i++) {
        iov[i] = (struct iovec){.iov_base = p, .iov_len = pieces[i]};
        p += pieces[i];
        uio.uio_resid += pieces[i];
        uio.uio_iovcnt++;
    }
}

static int go(unsigned rw, unsigned buf_cnt)
{
    return uphysio(&uio, rw, buf_cnt, DEVNO, strategy, mincnt, &mincnt_max);
}

static void begin(void)
{
    panic_begin(shim_det_host(5));
    seen_reset();
}

/* ---------------------------------------------------------------- cutting */

/* uio_resid rules: a piece that is longer goes as far as that, and keeps the rest. */
START_TEST(test_uphysio_ends_where_resid_does)
{
    begin();
    uio_set(0, 2, (size_t[]){1024, 4096});
    uio.uio_resid = 2048;
    ck_assert_int_eq(go(B_WRITE, 4), 0);
    ck_assert_uint_eq(nsent, 2);
    ck_assert_uint_eq(sent[1].copy.b_bcount, 1024);
    ck_assert_uint_eq(uio.uio_resid, 0);
    ck_assert_int_eq(uio.uio_iovcnt, 1);
    ck_assert_uint_eq(uio.uio_iov->iov_len, 3072);
    ck_assert_ptr_eq(uio.uio_iov->iov_base, memory + 2048);
    ck_assert_int_eq(go(B_WRITE, 4), 0); /* nothing left of it */
    ck_assert_uint_eq(nsent, 2);
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_needs_no_mincnt)
{
    begin();
    uio_set(0, 2, (size_t[]){1024, 512});
    ck_assert_int_eq(uphysio(&uio, B_READ, 4, DEVNO, strategy, NULL, NULL), 0);
    ck_assert_uint_eq(nsent, 2);
    ck_assert_uint_eq(mincnt_calls, 0);
    ck_assert_uint_eq(uio.uio_resid, 0);
    ck_assert_int_eq(memory[1024], 3);
    shim_test_end();
}
END_TEST

static int mincnt_wrong(struct buf *bp, void *minparms)
{
    bp->b_bcount = *(const bool *)minparms ? bp->b_bcount + 512 : 0;
    return 0;
}

/* _i: makes it nothing, makes it more. Neither is sent. */
START_TEST(test_uphysio_takes_no_nonsense_from_mincnt)
{
    bool more = _i != 0;

    begin();
    uio_set(0, 1, (size_t[]){1024});
    ck_assert_int_eq(uphysio(&uio, B_READ, 4, DEVNO, strategy, mincnt_wrong, &more), EINVAL);
    ck_assert_uint_eq(nsent, 0);
    ck_assert_uint_eq(uio.uio_resid, 1024);
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_one_piece_one_buf)
{
    begin();
    uio_set(8192, 1, (size_t[]){4096});
    uio.uio_segflg = UIO_USERSPACE;
    ck_assert_int_eq(go(B_READ, 1), 0);
    ck_assert_uint_eq(nsent, 1);
    ck_assert_uint_eq(mincnt_calls, 1);
    ck_assert_uint_eq(sent[0].copy.b_dev, DEVNO);
    ck_assert_uint_eq(sent[0].copy.b_flags & (B_READ | B_DONE | B_ERROR), B_READ);
    ck_assert_ptr_eq(sent[0].copy.b_un.b_addr, memory);
    ck_assert_uint_eq(sent[0].copy.b_bcount, 4096);
    ck_assert_int_eq(sent[0].copy.b_blkno, 16);
    ck_assert_uint_eq(sent[0].copy.b_options, 0x77);
    ck_assert_int_eq(sent[0].copy.b_xmemd.aspace_id, XMEM_PROC);
    ck_assert_ptr_null(sent[0].copy.av_forw);
    ck_assert_uint_eq(uio.uio_resid, 0);
    ck_assert_int_eq(uio.uio_offset, 12288);
    ck_assert_int_eq(uio.uio_iovcnt, 0);
    ck_assert_int_eq(uio.uio_iovdcnt, 1);
    ck_assert_ptr_eq(uio.uio_iov, iov + 1);
    shim_test_end();
}
END_TEST

/* 8 MiB of 128 KiB is the issue's own example; here 1 MiB of 16 KiB: 64 bufs, at most 8 at once. */
START_TEST(test_uphysio_mincnt_cuts_exactly)
{
    begin();
    later = _i != 0;
    uio_set(0, 1, (size_t[]){1 << 20});
    mincnt_max = 16384;
    ck_assert_int_eq(go(B_READ, 64), 0);
    ck_assert_uint_eq(nsent, 64);
    ck_assert_uint_eq(mincnt_calls, 64);
    ck_assert_uint_le(inflight_max, 8);
    for (unsigned i = 0; i < 64; i++) {
        ck_assert_uint_eq(sent[i].copy.b_bcount, 16384);
        ck_assert_int_eq(sent[i].copy.b_blkno, (int64_t)i * 32);
        ck_assert_int_eq(memory[(size_t)i * 16384 + 5], (int)((i * 32u) & 0x7f) + 1);
    }
    ck_assert_uint_eq(uio.uio_resid, 0);
    later = false;
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_pieces_are_never_joined_and_go_as_a_chain)
{
    static struct xmem xmem[4] = {{.aspace_id = XMEM_GLOBAL},
                                  {.aspace_id = XMEM_PROC},
                                  {.aspace_id = XMEM_GLOBAL},
                                  {.aspace_id = XMEM_PROC}};

    begin();
    uio_set(512, 4, (size_t[]){1024, 0, 512, 4096});
    uio.uio_xmem = xmem;
    ck_assert_int_eq(go(B_WRITE, 8), 0);
    ck_assert_uint_eq(nsent, 3);
    ck_assert_uint_eq(nstrategy, 1);
    ck_assert_uint_eq(sent[0].copy.b_bcount, 1024);
    ck_assert_int_eq(sent[1].copy.b_blkno, 3);
    ck_assert_int_eq(sent[2].copy.b_blkno, 4);
    ck_assert_int_eq(sent[1].copy.b_xmemd.aspace_id, XMEM_GLOBAL);
    ck_assert_int_eq(sent[2].copy.b_xmemd.aspace_id, XMEM_PROC);
    ck_assert_uint_eq(sent[0].copy.b_flags & B_READ, 0);
    ck_assert_int_eq(uio.uio_iovdcnt, 4);
    ck_assert_ptr_eq(uio.uio_xmem, xmem + 4);
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_buf_cnt_bounds_what_is_in_flight)
{
    begin();
    later = true;
    for (unsigned buf_cnt = 1; buf_cnt <= 10; buf_cnt++) {
        seen_reset();
        mincnt_max = 4096;
        uio_set(0, 1, (size_t[]){40 * 4096});
        ck_assert_int_eq(go(B_READ, buf_cnt), 0);
        ck_assert_uint_eq(nsent, 40);
        ck_assert_uint_eq(inflight_max, buf_cnt < 8 ? buf_cnt : 8);
    }
    later = false;
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_bad_arguments)
{
    begin();
    uio_set(0, 1, (size_t[]){512});
    ck_assert_int_eq(go(B_READ, 0), EINVAL);
    ck_assert_int_eq(go(B_READ, 65), EINVAL);
    ck_assert_int_eq(go(B_READ | B_ASYNC, 1), EINVAL);
    ck_assert_int_eq(uphysio(&uio, B_READ, 1, DEVNO, NULL, NULL, NULL), EINVAL);
    uio_set(-512, 1, (size_t[]){512});
    ck_assert_int_eq(go(B_READ, 1), EINVAL);
    uio_set(INT64_MAX - 511, 1, (size_t[]){1024});
    ck_assert_int_eq(go(B_READ, 1), EINVAL);
    uio_set(100, 1, (size_t[]){512});
    ck_assert_int_eq(go(B_READ, 1), EINVAL);
    ck_assert_uint_eq(uio.uio_resid, 512);
    uio_set(0, 1, (size_t[]){512});
    iov[0].iov_base = NULL;
    ck_assert_int_eq(go(B_READ, 1), EFAULT);
    uio_set(0, 1, (size_t[]){512});
    mincnt_max = 0;
    ck_assert_int_eq(go(B_READ, 1), EINVAL);
    uio_set(0, 0, NULL);
    ck_assert_int_eq(go(B_READ, 1), 0);
    uio_set(0, 2, (size_t[]){0, 0});
    ck_assert_int_eq(go(B_READ, 1), 0);
    ck_assert_uint_eq(nsent, 0);
    uio_set(0, 1, (size_t[]){1024});
    uio.uio_resid = 2048; /* more than the pieces hold */
    mincnt_max = SIZE_MAX;
    ck_assert_int_eq(go(B_READ, 4), EFAULT);
    ck_assert_uint_eq(uio.uio_resid, 1024);
    shim_test_end();
}
END_TEST

/* An offset has 64 bits also where a size has 32; tidy_bits32 does this compiled for such a machine. */
START_TEST(test_uphysio_beyond_4_GiB)
{
    static const int64_t offsets[] = {4096,
                                      (INT64_C(1) << 32) - 4096,
                                      INT64_C(1) << 32,
                                      (INT64_C(1) << 33) - 4096,
                                      INT64_C(1) << 40,
                                      INT64_MAX - 8191};

    begin();
    for (unsigned i = 0; i < SC_ARRAY_SIZE(offsets); i++) {
        uio_set(offsets[i] & ~INT64_C(511), 1, (size_t[]){7680});
        nsent = 0;
        ck_assert_int_eq(go(B_READ, 1), 0);
        ck_assert_uint_eq(nsent, 1);
        ck_assert(sent[0].copy.b_blkno == offsets[i] >> DEV_BSHIFT);
        ck_assert_uint_eq(uio.uio_resid, 0);
    }
    shim_test_end();
}
END_TEST

/* A piece of 100 bytes would make the next one begin inside a block: refused there, not rounded. */
START_TEST(test_uphysio_piece_that_ends_inside_a_block)
{
    begin();
    uio_set(0, 2, (size_t[]){100, 412});
    ck_assert_int_eq(go(B_READ, 8), EINVAL);
    ck_assert_uint_eq(uio.uio_resid, 412);
    ck_assert_uint_eq(nsent, 1);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- errors */

/* The k-th of 12 fails, for every k, inline and later: resid counts from there, error is its own. */
START_TEST(test_uphysio_kth_buf_fails)
{
    begin();
    later = _i != 0;
    for (unsigned k = 1; k <= 12; k++) {
        for (unsigned buf_cnt = 1; buf_cnt <= 8; buf_cnt += 7) {
            seen_reset();
            mincnt_max = 2048;
            fail_at = k;
            fail_errno = EMEDIA;
            uio_set(4096, 3, (size_t[]){8192, 8192, 8192});
            ck_assert_int_eq(go(B_READ, buf_cnt), EMEDIA);
            ck_assert_uint_eq(uio.uio_resid, (12 - (k - 1)) * 2048);
            ck_assert_int_eq(uio.uio_offset, 4096 + (int64_t)(k - 1) * 2048);
            ck_assert_int_eq(uio.uio_iovdcnt, (int)((k - 1) / 4));
            ck_assert_uint_eq(inflight, 0);
            if (buf_cnt == 1)
                ck_assert_uint_eq(nsent, k); /* nothing was sent after it */
        }
    }
    later = false;
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_error_without_number_is_EIO)
{
    begin();
    fail_at = 1;
    uio_set(0, 1, (size_t[]){512});
    ck_assert_int_eq(go(B_READ, 1), EIO);
    ck_assert_uint_eq(uio.uio_resid, 512);
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_ENXIO_from_the_driver_is_passed_on)
{
    begin();
    fail_at = 1;
    fail_errno = ENXIO;
    uio_set(1 << 20, 1, (size_t[]){512});
    ck_assert_int_eq(go(B_WRITE, 1), ENXIO);
    ck_assert_uint_eq(uio.uio_resid, 512);
    ck_assert_int_eq(uio.uio_offset, 1 << 20);
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_short_buf_ends_like_end_of_file)
{
    begin();
    later = _i != 0;
    for (unsigned k = 1; k <= 6; k++) {
        seen_reset();
        mincnt_max = 2048;
        fail_at = k;
        short_by = 1536;
        uio_set(0, 1, (size_t[]){6 * 2048});
        ck_assert_int_eq(go(B_READ, 4), 0);
        ck_assert_uint_eq(uio.uio_resid, 6 * 2048 - ((k - 1) * 2048 + 512));
        ck_assert_int_eq(uio.uio_offset, (int64_t)((k - 1) * 2048 + 512));
    }
    seen_reset(); /* and nothing at all */
    fail_at = 1;
    short_by = 4096;
    uio_set(0, 1, (size_t[]){4096});
    ck_assert_int_eq(go(B_READ, 1), 0);
    ck_assert_uint_eq(uio.uio_resid, 4096);
    later = false;
    shim_test_end();
}
END_TEST

START_TEST(test_uphysio_mincnt_refuses_the_kth)
{
    begin();
    later = _i != 0;
    for (unsigned k = 1; k <= 6; k++) {
        seen_reset();
        mincnt_max = 1024;
        mincnt_fail_at = k;
        uio_set(0, 1, (size_t[]){6 * 1024});
        ck_assert_int_eq(go(B_READ, 4), ENOTTY);
        ck_assert_uint_eq(nsent, k - 1);
        ck_assert_uint_eq(uio.uio_resid, (6 - (k - 1)) * 1024);
    }
    later = false;
    shim_test_end();
}
END_TEST

/* An error far back must not hide a short transfer or another error before it, whichever came first. */
START_TEST(test_uphysio_first_in_order_wins_not_first_in_time)
{
    begin();
    later = true;
    for (unsigned round = 0; round < 200; round++) {
        seen_reset();
        mincnt_max = 512;
        fail_at = 3;
        fail_errno = EIO;
        mincnt_fail_at = 7;
        uio_set(0, 1, (size_t[]){10 * 512});
        ck_assert_int_eq(go(B_WRITE, 8), EIO);
        ck_assert_uint_eq(uio.uio_resid, 8 * 512);
    }
    later = false;
    shim_test_end();
}
END_TEST

static void strategy_sleeps(struct buf *bp)
{
    event_t never = EVENT_NULL;

    (void)bp;
    panic_expect("inside a strategy routine");
    e_timedsleep(&never, NULL, 1);
}

START_TEST(test_AIX_03_uphysio_strategy_must_not_sleep)
{
    begin();
    uio_set(0, 1, (size_t[]){512});
    uphysio(&uio, B_READ, 1, DEVNO, strategy_sleeps, NULL, NULL);
}
END_TEST

START_TEST(test_uphysio_from_completion_context_is_EINVAL)
{
    uint32_t old;

    begin();
    uio_set(0, 1, (size_t[]){512});
    old = shim_ctx_enter(shim_self(), SHIM_CTX_COMPLETION);
    ck_assert_int_eq(go(B_READ, 1), EINVAL);
    shim_ctx_leave(shim_self(), old);
    ck_assert_uint_eq(nsent, 0);
    ck_assert_uint_eq(uio.uio_resid, 512);
    ck_assert_int_eq(go(B_READ, 1), 0);
    shim_test_end();
}
END_TEST

static Suite *uphysio_suite(void)
{
    Suite *s = suite_create("kern_uphysio");
    TCase *cut = tcase_create("cutting");
    TCase *errors = tcase_create("errors");

    tcase_add_test(cut, test_uphysio_one_piece_one_buf);
    tcase_add_test(cut, test_uphysio_ends_where_resid_does);
    tcase_add_test(cut, test_uphysio_needs_no_mincnt);
    tcase_add_loop_test(cut, test_uphysio_takes_no_nonsense_from_mincnt, 0, 2);
    tcase_add_loop_test(cut, test_uphysio_mincnt_cuts_exactly, 0, 2);
    tcase_add_test(cut, test_uphysio_pieces_are_never_joined_and_go_as_a_chain);
    tcase_add_test(cut, test_uphysio_buf_cnt_bounds_what_is_in_flight);
    tcase_add_test(cut, test_uphysio_bad_arguments);
    tcase_add_test(cut, test_uphysio_beyond_4_GiB);
    tcase_add_test(cut, test_uphysio_piece_that_ends_inside_a_block);
    suite_add_tcase(s, cut);
    tcase_add_loop_test(errors, test_uphysio_kth_buf_fails, 0, 2);
    tcase_add_test(errors, test_uphysio_error_without_number_is_EIO);
    tcase_add_test(errors, test_uphysio_ENXIO_from_the_driver_is_passed_on);
    tcase_add_loop_test(errors, test_uphysio_short_buf_ends_like_end_of_file, 0, 2);
    tcase_add_loop_test(errors, test_uphysio_mincnt_refuses_the_kth, 0, 2);
    tcase_add_test(errors, test_uphysio_first_in_order_wins_not_first_in_time);
    tcase_add_exit_test(errors, test_AIX_03_uphysio_strategy_must_not_sleep, PANIC_AS_EXPECTED);
    tcase_add_test(errors, test_uphysio_from_completion_context_is_EINVAL);
    suite_add_tcase(s, errors);
    return s;
}

int main(int argc, char **argv) { return test_run(uphysio_suite(), argc, argv); }
