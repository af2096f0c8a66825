/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_gather_test.c - gathered writes: the conditions, what is mapped and what is copied, and that a
 * copy is given back.
 */
#include "ad_fake.h"

struct gather {
    struct req r;
    struct uio uio;
    struct iovec iov[4];
    uint8_t mem[4][600];
};

static void gather_init(struct gather *g, int16_t segflg)
{
    static const size_t lengths[4] = {1, 0, 511, 512};

    req_init(&g->r);
    memset(&g->uio, 0, sizeof(g->uio));
    for (unsigned i = 0; i < 4; i++) {
        memset(g->mem[i], (int)(0x40 + i), sizeof(g->mem[i]));
        g->iov[i].iov_base = g->mem[i];
        g->iov[i].iov_len = lengths[i];
    }
    g->uio.uio_iov = g->iov;
    g->uio.uio_iovcnt = 4;
    g->uio.uio_resid = 1024;
    g->uio.uio_segflg = segflg;
    g->r.sb.bufstruct.b_flags = B_WRITE;
    g->r.sb.bufstruct.b_bcount = 1024;
    g->r.sb.bufstruct.b_un.b_addr = NULL; /* ignored */
    g->r.sb.resvd1 = &g->uio;
}

static uint8_t gathered[1024];

/* What a chip would send. */
static void gather_look(struct fake *f, struct ad_xfer *xfer)
{
    size_t at = 0;

    (void)f;
    for (uint32_t i = 0; i < xfer->xfer_map->map_nsegs; i++) {
        memcpy(gathered + at, (void *)(uintptr_t)xfer->xfer_map->map_segs[i].seg_addr,
               (size_t)xfer->xfer_map->map_segs[i].seg_bytes);
        at += (size_t)xfer->xfer_map->map_segs[i].seg_bytes;
    }
}

static void gather_verify(void)
{
    ck_assert_uint_eq(gathered[0], 0x40);
    for (unsigned i = 1; i < 512; i++)
        ck_assert_uint_eq(gathered[i], 0x42);
    for (unsigned i = 512; i < 1024; i++)
        ck_assert_uint_eq(gathered[i], 0x43);
}

START_TEST(test_AIX_14_gather_of_odd_pieces_shared_and_user_memory)
{
    struct gather g;

    fake_up(true, FAKE_INLINE);
    fake.on_start = gather_look;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    gather_init(&g, UIO_SYSSPACE);
    req_expect(&g.r, 0);
    gather_verify();
    ck_assert_uint_eq(fake.nsegs_last, 3);
    memset(gathered, 0, sizeof(gathered));
    gather_init(&g, UIO_USERSPACE);
    req_expect(&g.r, 0);
    gather_verify();
    ck_assert_uint_eq(fake.nsegs_last, 1);
    /* Copies go back: many more than there is memory for at once. */
    for (unsigned i = 0; i < 100; i++) {
        gather_init(&g, UIO_USERSPACE);
        req_expect(&g.r, 0);
        ck_assert_ptr_null(g.r.sb.resvd1); /* altered, as the contract allows, but not dangling */
    }
    fake_down();
}
END_TEST

START_TEST(test_AIX_14_gather_of_more_pieces_than_a_list_is_copied)
{
    static struct iovec iov[600];
    static uint8_t mem[1200];
    struct gather g;

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    gather_init(&g, UIO_SYSSPACE);
    for (unsigned i = 0; i < 600; i++)
        iov[i] = (struct iovec){mem + 2 * i, 1};
    g.uio.uio_iov = iov;
    g.uio.uio_iovcnt = 600;
    g.uio.uio_resid = g.r.sb.bufstruct.b_bcount = 600;
    req_expect(&g.r, 0);
    ck_assert_uint_eq(fake.nsegs_last, 1);
    fake_down();
}
END_TEST

static struct gather late;
static void gather_from_iodone(struct req *r)
{
    (void)r;
    req_send(&late.r);
}

START_TEST(test_AIX_13_each_broken_condition_is_refused)
{
    struct gather g;
    struct req r;
    struct buf b;

    fake_up(true, FAKE_INLINE);
    gather_init(&g, UIO_SYSSPACE);
    g.r.sb.bufstruct.b_flags = B_READ; /* not a write */
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    memset(&b, 0, sizeof(b)); /* bp not NULL, and nothing else wrong with it */
    b.b_un.b_addr = &g;
    b.b_bcount = g.r.sb.bufstruct.b_bcount;
    g.r.sb.bp = &b;
    req_refused(&g.r, EINVAL);
    ck_assert_ptr_nonnull(g.r.sb.resvd1);
    gather_init(&g, UIO_SYSSPACE);
    g.r.sb.bufstruct.b_bcount = 1023; /* total */
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    g.uio.uio_resid = 1000;
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    g.iov[2].iov_len = SIZE_MAX; /* a sum that wraps */
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    g.uio.uio_iovcnt = -1;
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    g.uio.uio_iov = NULL; /* four pieces, and no list of them */
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    g.uio.uio_iovcnt = 0; /* none, and yet a kilobyte */
    g.uio.uio_iov = NULL;
    req_refused(&g.r, EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    g.r.sb.resvd1 = NULL; /* no uio: then it is an ordinary write without an address */
    req_refused(&g.r, EINVAL);
    /* Not at process level, which is also AIX-17's retry from iodone. */
    gather_init(&late, UIO_SYSSPACE);
    req_init(&r);
    r.then = gather_from_iodone;
    req_expect(&r, 0);
    ck_assert_uint_eq(late.r.done, 1);
    ck_assert_int_eq(late.r.sb.bufstruct.b_error, EINVAL);
    fake_down();
}
END_TEST

/* A piece without memory; one of no bytes may be without. */
START_TEST(test_AIX_16_a_piece_at_NULL_is_EFAULT)
{
    static const int16_t where[] = {UIO_SYSSPACE, UIO_USERSPACE};
    struct gather g;

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(where); i++) {
        gather_init(&g, where[i]);
        g.iov[2].iov_base = NULL;
        req_refused(&g.r, EFAULT);
        gather_init(&g, where[i]);
        g.iov[1].iov_base = NULL;
        req_expect(&g.r, 0);
    }
    fake_down();
}
END_TEST

START_TEST(test_AIX_17_retry_from_process_level_works_after_restoring)
{
    struct gather g;

    fake_up(true, FAKE_INLINE);
    fake.on_start = gather_look;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    gather_init(&g, UIO_USERSPACE);
    fake_script(AD_RES_BUS_FAULT, 0, 1024);
    req_expect(&g.r, EIO);
    memset(gathered, 0, sizeof(gathered));
    gather_init(&g, UIO_USERSPACE); /* restores resvd1, the uio and its pieces */
    g.r.sb.flags = SC_RESUME;
    req_expect(&g.r, 0);
    gather_verify();
    fake_down();
}
END_TEST

START_TEST(test_AIX_15_no_gather_means_EINVAL_not_a_crash)
{
    struct ad_config more = {.cfg_no_gather = true};
    struct gather g;

    shim_test_begin_det(1);
    fake_prepare();
    fake_attach(&more);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    req_refused(&g.r, EINVAL);
    fake_down();
    /* The chip cannot. */
    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_gather = false;
    fake_attach(NULL);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), EINVAL);
    gather_init(&g, UIO_SYSSPACE);
    req_refused(&g.r, EINVAL);
    fake_down();
    /* It can; the argument must be NULL. */
    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 1, 0), EINVAL);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_16_gather_copy_reports_ENOMEM_and_EFAULT)
{
    struct gather g[AD_BOUNCES + 1];

    fake_up(true, FAKE_PEND);
    /* SCIOGTHW finds no memory: gathers are offered, but a copy has nowhere to go. */
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    gather_init(&g[0], UIO_USERSPACE);
    req_refused(&g[0].r, ENOMEM);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    /* All copies in use. */
    for (unsigned i = 0; i < AD_BOUNCES; i++) {
        gather_init(&g[i], UIO_USERSPACE);
        req_send(&g[i].r);
        ck_assert_uint_eq(g[i].r.done, 0);
    }
    gather_init(&g[AD_BOUNCES], UIO_USERSPACE);
    req_refused(&g[AD_BOUNCES].r, ENOMEM);
    fake_end_all();
    /* Each copy of the call fails once: never leaks the copy memory. */
    for (unsigned k = 1; k <= 3; k++) {
        gather_init(&g[0], UIO_USERSPACE);
        shim_fail_set(SHIM_FAIL_COPY, k, false);
        req_refused(&g[0].r, EFAULT);
        shim_fail_set(SHIM_FAIL_COPY, 0, false);
    }
    gather_init(&g[0], UIO_USERSPACE);
    req_send(&g[0].r);
    fake_end_all();
    ck_assert_uint_eq(g[0].r.done, 1);
    ck_assert_uint_eq(g[0].r.sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST
/* Every way out gives the copy back: the next gathers can be copied after each. */
/* As much as one command may carry, and not a byte more. */
START_TEST(test_AIX_14_largest_gather)
{
    static uint8_t mem[(1u << 20) + SC_PAGE_SIZE] __attribute__((aligned(4096)));
    struct gather g;

    fake_up(true, FAKE_INLINE);
    for (size_t more = 0; more < 2; more++) {
        size_t bytes = ad_find(FAKE_DEVNO)->adp_transfer_max + more;

        ck_assert_uint_le(bytes, sizeof(mem));
        gather_init(&g, UIO_SYSSPACE);
        g.iov[0] = (struct iovec){mem, 512};
        g.iov[1] = (struct iovec){mem + 512, bytes - 512};
        g.uio.uio_iovcnt = 2;
        g.uio.uio_resid = g.r.sb.bufstruct.b_bcount = bytes;
        req_expect(&g.r, more ? EINVAL : 0);
    }
    fake_down();
}
END_TEST

START_TEST(test_AIX_16_the_copy_is_given_back_on_every_way_out)
{
    static struct gather g[AD_BOUNCES];
    static struct req before, rec;

    fake_up(false, FAKE_PEND);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
    for (unsigned way = 0; way < 4; way++) {
        req_init(&before);
        before.sb.q_tag_msg = SC_NO_Q; /* holds the queue */
        before.sb.flags = way != 0 ? SC_RESUME : 0;
        req_send(&before);
        for (unsigned i = 0; i < AD_BOUNCES; i++) {
            gather_init(&g[i], UIO_USERSPACE);
            req_send(&g[i].r);
            ck_assert_uint_eq(g[i].r.done, 0);
        }
        if (way == 0) { /* flushed from the queue by SCIOHALT */
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
        } else if (way == 1) { /* flushed by an error */
            fake_script(AD_RES_BUS_FAULT, 0, 512);
            fake_end(0);
        } else if (way == 2) { /* aborted at the device */
            fake_end(0);
            ck_assert_uint_eq(fake.nkept, AD_BOUNCES);
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
        } else { /* its time is up in the queue */
            fake.busy = 1000000;
            fake_end(0);
            shim_det_run(shim_now_ns() + 31 * AD_NS_PER_S);
            fake.busy = 0;
        }
        for (unsigned i = 0; i < AD_BOUNCES; i++) {
            ck_assert_uint_eq(g[i].r.done, 1);
            ck_assert_int_eq(g[i].r.sb.bufstruct.b_error, way == 3 && i == 0 ? EIO : ENXIO);
            ck_assert_ptr_null(g[i].r.sb.resvd1);
            ck_assert(!ad_find(FAKE_DEVNO)->adp_bounces[i].bn_busy);
        }
        fake_check(fake_lun);
    }
    /* And a refusal: the queue is halted. */
    gather_init(&g[0], UIO_USERSPACE);
    req_expect(&g[0].r, ENXIO);
    ck_assert(!ad_find(FAKE_DEVNO)->adp_bounces[0].bn_busy);
    req_init(&rec);
    rec.sb.flags = SC_RESUME;
    req_send(&rec);
    fake_end_all();
    ck_assert_uint_eq(rec.done, 1);
    fake_down();
}
END_TEST

/* Shared memory in more pages than there are segments: copied after all, if there is memory for it. */
START_TEST(test_AIX_14_a_gather_that_cannot_be_mapped_is_copied)
{
    static uint8_t mem[40 * 2 * SC_PAGE_SIZE] __attribute__((aligned(4096)));
    static struct iovec iov[40];
    static struct req r;
    struct uio uio;

    shim_test_begin_det(1);
    fake_prepare();
    fake.map_pages = true;
    fake.caps.cap_segs_max = 64;
    fake.on_start = gather_look;
    fake_attach(NULL);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 40; i++) { /* each over the edge of a page: 80 segments */
            iov[i] = (struct iovec){mem + i * 2 * SC_PAGE_SIZE + 4083, 25};
            memset(iov[i].iov_base, (int)(i + 1), 25);
        }
        uio = (struct uio){.uio_iov = iov, .uio_iovcnt = 40, .uio_resid = 1000, .uio_segflg = UIO_SYSSPACE};
        req_init(&r);
        r.sb.bufstruct.b_flags = B_WRITE;
        r.sb.bufstruct.b_bcount = 1000;
        r.sb.resvd1 = &uio;
        if (round == 0) { /* nobody has asked for gathers: no memory to copy to */
            req_expect(&r, ENOMEM);
            ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN);
            ck_assert_int_eq(fp_ioctl(fake_fp, SCIOGTHW, 0, 0), 0);
            continue;
        }
        req_expect(&r, 0);
        ck_assert_uint_eq(fake.nsegs_last, 1);
        for (unsigned i = 0; i < 1000; i++)
            ck_assert_uint_eq(gathered[i], i / 25 + 1);
        ck_assert_uint_eq(uio.uio_resid, 1000); /* the uio is as it was */
        ck_assert(!ad_find(FAKE_DEVNO)->adp_bounces[0].bn_busy);
        /* A copy that cannot be mapped either is not copied again. */
        fake.map_never = true;
        r.done = 0;
        r.sb.resvd1 = &uio;
        req_expect(&r, EINVAL);
        ck_assert(!ad_find(FAKE_DEVNO)->adp_bounces[0].bn_busy);
        fake.map_never = false;
    }
    fake_check(fake_lun);
    fake_down();
}
END_TEST

static Suite *ad_gather_suite(void)
{
    Suite *s = suite_create("ad_gather");
    TCase *gathers = tcase_create("gathers");

    tcase_add_test(gathers, test_AIX_14_gather_of_odd_pieces_shared_and_user_memory);
    tcase_add_test(gathers, test_AIX_14_gather_of_more_pieces_than_a_list_is_copied);
    tcase_add_test(gathers, test_AIX_13_each_broken_condition_is_refused);
    tcase_add_test(gathers, test_AIX_16_a_piece_at_NULL_is_EFAULT);
    tcase_add_test(gathers, test_AIX_17_retry_from_process_level_works_after_restoring);
    tcase_add_test(gathers, test_AIX_15_no_gather_means_EINVAL_not_a_crash);
    tcase_add_test(gathers, test_AIX_16_gather_copy_reports_ENOMEM_and_EFAULT);
    tcase_add_test(gathers, test_AIX_14_largest_gather);
    tcase_add_test(gathers, test_AIX_16_the_copy_is_given_back_on_every_way_out);
    tcase_add_test(gathers, test_AIX_14_a_gather_that_cannot_be_mapped_is_copied);
    suite_add_tcase(s, gathers);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_gather_suite(), argc, argv); }
