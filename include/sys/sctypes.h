/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sctypes.h - the types, errno values and memory functions every other header stands on.
 *
 * This is the only header of the project that asks what the compiler is building for: a hosted
 * build takes errno values, `struct iovec` and mem*() from the host's C library; a freestanding
 * build (a kernel, a boot loader) gets them from here. Nothing else in the core has a
 * preprocessor conditional on the host.
 *
 * Does not contain: any service. Those are in kservices.h.
 */
#ifndef SYS_SCTYPES_H
#define SYS_SCTYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __STDC_HOSTED__
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#else
/* Freestanding: the linker must find these four, as every C compiler demands anyway. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* One piece of a scattered memory area. */
struct iovec {
    void *iov_base; /* first byte */
    size_t iov_len; /* bytes */
};

/* Not from <limits.h>: GCC's own, even freestanding, asks for the host's. */
#define CHAR_BIT __CHAR_BIT__
#define INT_MAX  __INT_MAX__
#define UINT_MAX (__INT_MAX__ * 2u + 1u)

#define EPERM       1
#define ENOENT      2
#define EINTR       4
#define EIO         5
#define ENXIO       6
#define EBADF       9
#define EAGAIN      11
#define ENOMEM      12
#define EACCES      13
#define EFAULT      14
#define EBUSY       16
#define EEXIST      17
#define ENODEV      19
#define EINVAL      22
#define EMFILE      24
#define ENOTTY      25
#define ENOSPC      28
#define EROFS       30
#define ERANGE      34
#define ENOSYS      38
#define EPROTO      71
#define EOPNOTSUPP  95
#define ETIMEDOUT   110
#define EALREADY    114
#define EINPROGRESS 115
#define ESTALE      116
#define ENOMSG      42
#endif

/*
 * errno values that AIX has and most hosts lack (spec: "AIX-only errno names"). The published
 * documents name them without numbers; ours start above every number a known host uses and stay
 * below 512, the largest errno FUSE lets through.
 */
#define SC_ERRNO_BASE 400
#define ENOCONNECT    (SC_ERRNO_BASE + 1) /* no connection to the device: bus fault */
#define ENOTREADY     (SC_ERRNO_BASE + 2) /* device not ready, or no medium */
#define EWRPROTECT    (SC_ERRNO_BASE + 3) /* medium is write-protected */
#define EFORMAT       (SC_ERRNO_BASE + 4) /* unformatted or incompatible medium */
#define EMEDIA        (SC_ERRNO_BASE + 5) /* unrecovered medium error */
#define ESOFT         (SC_ERRNO_BASE + 6) /* recovered medium error, reported on request */

/* A device number: major in the upper half, minor in the lower. */
typedef uint32_t devno_t;
#define SC_MAKEDEV(major, minor) (((devno_t)(major) << 16) | ((devno_t)(minor)&0xffffu))
#define SC_MAJOR(devno)          ((unsigned)((devno) >> 16))
#define SC_MINOR(devno)          ((unsigned)((devno)&0xffffu))
#define SC_NODEV                 ((devno_t)-1) /* no device */

/* The kernel's memory page and the unit of buf.b_blkno. */
#define SC_PAGE_SIZE 4096u
#define SC_PAGE_MASK (SC_PAGE_SIZE - 1u)
#define DEV_BSHIFT   9
#define DEV_BSIZE    (1u << DEV_BSHIFT)

/*
 * ioctl numbers carry direction and size, in the layout of the asm-generic Linux ioctl encoding,
 * because FUSE hands over exactly the bytes the number promises and nothing else. `type` is a
 * letter, `nr` 0..255, the size at most 16383 bytes.
 */
#define SC_IOC_NONE  0u
#define SC_IOC_WRITE 1u
#define SC_IOC_READ  2u
#define SC_IOC(dir, type, nr, size)                                                                          \
    (((unsigned)(dir) << 30) | ((unsigned)(size) << 16) | ((unsigned)(type) << 8) | (unsigned)(nr))
#define SC_IO(type, nr)      SC_IOC(SC_IOC_NONE, type, nr, 0)
#define SC_IOR(type, nr, t)  SC_IOC(SC_IOC_READ, type, nr, sizeof(t))
#define SC_IOW(type, nr, t)  SC_IOC(SC_IOC_WRITE, type, nr, sizeof(t))
#define SC_IOWR(type, nr, t) SC_IOC(SC_IOC_READ | SC_IOC_WRITE, type, nr, sizeof(t))
#define SC_IOC_SIZE(cmd)     (((unsigned)(cmd) >> 16) & 0x3fffu)
#define SC_IOC_DIR(cmd)      ((unsigned)(cmd) >> 30)

#define SC_ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define SC_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define SC_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define SC_UNLIKELY(x)                     __builtin_expect(!!(x), 0)

#endif /* SYS_SCTYPES_H */
