/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bits32.c - raw I/O on a machine whose size_t has 32 bits: any offset an int64_t holds is taken.
 *
 * Compiled and run by bits32_test.sh, with nothing but the kernel services and the virtual-clock host.
 * Exits with 1 and says what was wrong, else with 0.
 */
#include <scpair/shim.h>
#include <sys/kservices.h>
#include <sys/scuio.h>

#include <stdio.h>

static int64_t seen_block;

static void strategy(struct buf *bp)
{
    seen_block = bp->b_blkno;
    bp->b_resid = 0;
    iodone(bp);
}

int main(void)
{
    static const int64_t offsets[] = {4096,
                                      (INT64_C(1) << 32) - 4096,
                                      INT64_C(1) << 32,
                                      (INT64_C(1) << 33) - 4096,
                                      INT64_C(1) << 40,
                                      (INT64_MAX & ~INT64_C(511)) - 8192};
    static char memory[8192];
    int bad = 0;

    if (sizeof(size_t) != 4 || shim_init(shim_det_host(1)) != 0 || kern_init() != 0) {
        puts("FAIL: not a 32-bit program, or it does not come up");
        return 1;
    }
    for (size_t i = 0; i < SC_ARRAY_SIZE(offsets); i++) {
        struct iovec iov = {memory, sizeof(memory)};
        struct uio uio = {.uio_iov = &iov,
                          .uio_iovcnt = 1,
                          .uio_offset = offsets[i],
                          .uio_resid = sizeof(memory),
                          .uio_segflg = UIO_SYSSPACE};
        int error = uphysio(&uio, B_READ, 1, SC_MAKEDEV(5, 1), strategy, NULL, NULL);

        if (error != 0 || uio.uio_resid != 0 || seen_block != offsets[i] >> DEV_BSHIFT) {
            printf("FAIL: uphysio at %lld: errno %d, %u bytes left, block %lld\n", (long long)offsets[i],
                   error, (unsigned)uio.uio_resid, (long long)seen_block);
            bad = 1;
        }
    }
    kern_fini();
    return shim_fini() != 0 || bad;
}
