/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_uio_test.c - uiomove, kcopyin and kcopyout, xmalloc.
 */
#include "panic_host.h"

static struct iovec iov[4];
static struct uio uio;
static char user[64], kernel[64];

static void setup(int16_t segflg)
{
    panic_begin(shim_det_host(1));
    memset(&uio, 0, sizeof(uio));
    memset(user, '.', sizeof(user));
    for (unsigned i = 0; i < sizeof(kernel); i++)
        kernel[i] = (char)('A' + i % 26);
    iov[0] = (struct iovec){user, 3};
    iov[1] = (struct iovec){user + 10, 0};
    iov[2] = (struct iovec){user + 20, 5};
    iov[3] = (struct iovec){user + 30, 4};
    uio.uio_iov = iov;
    uio.uio_iovcnt = 4;
    uio.uio_resid = 12;
    uio.uio_offset = 100;
    uio.uio_segflg = segflg;
}

static struct xmem xmem[4];

/* _i: UIO_USERSPACE, UIO_SYSSPACE. */
START_TEST(test_uiomove_scatters_and_advances)
{
    setup((int16_t)_i);
    ck_assert_int_eq(uiomove(kernel, 5, UIO_READ, &uio), 0);
    ck_assert(!memcmp(user, "ABC.", 4));
    ck_assert(!memcmp(user + 20, "DE.", 3));
    ck_assert_uint_eq(uio.uio_resid, 7);
    ck_assert_int_eq(uio.uio_offset, 105);
    ck_assert_int_eq(uio.uio_iovcnt, 2);
    ck_assert_int_eq(uio.uio_iovdcnt, 2);
    ck_assert_uint_eq(uio.uio_iov->iov_len, 3);
    ck_assert_int_eq(uiomove(kernel + 5, 100, UIO_READ, &uio), 0); /* no more than resid */
    ck_assert(!memcmp(user + 22, "FGH.", 4));
    ck_assert(!memcmp(user + 30, "IJKL.", 5));
    ck_assert_uint_eq(uio.uio_resid, 0);
    ck_assert_int_eq(uio.uio_iovcnt, 0);
    ck_assert_int_eq(uiomove(kernel, 10, UIO_READ, &uio), 0);
    /* Where the pieces have descriptors, those go along. */
    shim_test_end();
    setup((int16_t)_i);
    uio.uio_xmem = xmem;
    ck_assert_int_eq(uiomove(kernel, 5, UIO_READ, &uio), 0);
    ck_assert_ptr_eq(uio.uio_xmem, &xmem[2]);
    shim_test_end();
}
END_TEST

START_TEST(test_uiomove_gathers)
{
    setup((int16_t)_i);
    memcpy(user, "abc", 3);
    memcpy(user + 20, "defgh", 5);
    memcpy(user + 30, "ijkl", 4);
    ck_assert_int_eq(uiomove(kernel, 12, UIO_WRITE, &uio), 0);
    ck_assert(!memcmp(kernel, "abcdefghijklM", 13));
    shim_test_end();
}
END_TEST

START_TEST(test_AIX_16_uiomove_EFAULT_tells_how_far_it_got)
{
    setup(UIO_USERSPACE);
    shim_fail_set(SHIM_FAIL_COPY, 2, false);
    ck_assert_int_eq(uiomove(kernel, 12, UIO_READ, &uio), EFAULT);
    ck_assert_uint_eq(uio.uio_resid, 9);
    ck_assert_int_eq(uio.uio_offset, 103);
    ck_assert_int_eq(uiomove(kernel + 3, 9, UIO_READ, &uio), 0);
    ck_assert(!memcmp(user + 20, "DEFGH", 5));
    shim_test_end();
}
END_TEST

START_TEST(test_uiomove_fewer_bytes_than_promised)
{
    setup(UIO_SYSSPACE);
    uio.uio_resid = 20;
    ck_assert_int_eq(uiomove(kernel, 20, UIO_READ, &uio), EFAULT);
    ck_assert_uint_eq(uio.uio_resid, 8);
    shim_test_end();
}
END_TEST

START_TEST(test_uiomove_user_memory_in_completion_context_panics)
{
    setup(UIO_USERSPACE);
    shim_ctx_enter(shim_self(), SHIM_CTX_COMPLETION);
    panic_expect("SHIM_CTX_PROCESS");
    uiomove(kernel, 1, UIO_READ, &uio);
}
END_TEST

START_TEST(test_kcopy_user_and_kernel)
{
    setup(UIO_SYSSPACE);
    ck_assert_int_eq(kcopyout(kernel, (intptr_t)user, 4, 0), 0);
    ck_assert(!memcmp(user, "ABCD.", 5));
    ck_assert_int_eq(kcopyin((intptr_t) "xyz", kernel, 3, DKERNEL), 0);
    ck_assert(!memcmp(kernel, "xyzD", 4));
    ck_assert_int_eq(kcopyin(0, kernel, 3, DKERNEL), EFAULT);
    ck_assert_int_eq(kcopyout(kernel, 0, 3, DKERNEL), EFAULT);
    ck_assert_int_eq(kcopyin(8, kernel, 3, 0), EFAULT);
    shim_fail_set(SHIM_FAIL_COPY, 1, true);
    ck_assert_int_eq(kcopyout(kernel, (intptr_t)user, 4, 0), EFAULT);
    ck_assert_int_eq(kcopyout(kernel, (intptr_t)user, 4, DKERNEL), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_xmalloc_alignment_and_accounting)
{
    struct shim_account acc;

    panic_begin(shim_posix_host());
    for (int log2 = 0; log2 <= 12; log2++) {
        unsigned char *p = xmalloc(100, log2, PINNED_HEAP);

        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p & (((uintptr_t)1 << log2) - 1), 0);
        for (unsigned i = 0; i < 100; i++)
            ck_assert_uint_eq(p[i], 0);
        memset(p, 0xff, 100);
        shim_account_get(&acc);
        ck_assert_uint_eq(acc.acc_blocks[SHIM_TAG_DD], 1);
        ck_assert_int_eq(xmfree(p, PINNED_HEAP), 0);
    }
    ck_assert_ptr_null(xmalloc(1, 13, PINNED_HEAP));
    ck_assert_ptr_null(xmalloc(1, -1, PINNED_HEAP));
    ck_assert_ptr_null(xmalloc(SIZE_MAX - 10, 4, PINNED_HEAP));
    shim_fail_set(SHIM_FAIL_ALLOC, 1, false);
    ck_assert_ptr_null(xmalloc(1, 0, PINNED_HEAP));
    ck_assert_int_eq(xmfree(NULL, PINNED_HEAP), EINVAL);
    shim_test_end();
}
END_TEST

/* What is not of the one heap there is stays as it is. */
START_TEST(test_xmalloc_knows_its_heap)
{
    static _Alignas(16) char stranger[128];
    char *p;

    panic_begin(shim_posix_host());
    ck_assert_ptr_null(xmalloc(100, 4, PINNED_HEAP + 1));
    p = xmalloc(100, 4, PINNED_HEAP);
    ck_assert_ptr_nonnull(p);
    p[99] = 'z';
    ck_assert_int_eq(xmfree(p, PINNED_HEAP + 1), EINVAL);
    ck_assert_int_eq(p[99], 'z');
    ck_assert_int_eq(xmfree(p, PINNED_HEAP), 0);
    ck_assert_int_eq(xmfree(stranger + 64, PINNED_HEAP), EINVAL);
    shim_test_end(); /* nothing left */
}
END_TEST

static Suite *uio_suite(void)
{
    Suite *s = suite_create("kern_uio");
    TCase *tc = tcase_create("uio");

    tcase_add_loop_test(tc, test_uiomove_scatters_and_advances, 0, 2);
    tcase_add_loop_test(tc, test_uiomove_gathers, 0, 2);
    tcase_add_test(tc, test_AIX_16_uiomove_EFAULT_tells_how_far_it_got);
    tcase_add_test(tc, test_uiomove_fewer_bytes_than_promised);
    tcase_add_exit_test(tc, test_uiomove_user_memory_in_completion_context_panics, PANIC_AS_EXPECTED);
    tcase_add_test(tc, test_kcopy_user_and_kernel);
    tcase_add_test(tc, test_xmalloc_alignment_and_accounting);
    tcase_add_test(tc, test_xmalloc_knows_its_heap);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(uio_suite(), argc, argv); }
