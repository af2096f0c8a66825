/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sctypes.h - the types, constants and macros every other header stands on.
 *
 * Does not contain: any service (kservices.h); what differs from host to host, which is integer
 * types, errno numbers, struct iovec and mem*() (scpair/shim_types.h); what differs between C and
 * C++ (sclang.h).
 */
#ifndef SYS_SCTYPES_H
#define SYS_SCTYPES_H

#include <scpair/shim_types.h>

/*
 * errno values that AIX has and most hosts lack (spec: "AIX-only errno names"). The published
 * documents name them without numbers; ours start above every number a known host uses and stay
 * below 512, the largest errno FUSE lets through. A port that has the name keeps its own number.
 */
#define SC_ERRNO_BASE 400
#ifndef ENOCONNECT
#define ENOCONNECT (SC_ERRNO_BASE + 1) /* no connection to the device: bus fault */
#endif
#ifndef ENOTREADY
#define ENOTREADY (SC_ERRNO_BASE + 2) /* device not ready, or no medium */
#endif
#ifndef EWRPROTECT
#define EWRPROTECT (SC_ERRNO_BASE + 3) /* medium is write-protected */
#endif
#ifndef EFORMAT
#define EFORMAT (SC_ERRNO_BASE + 4) /* unformatted or incompatible medium */
#endif
#ifndef EMEDIA
#define EMEDIA (SC_ERRNO_BASE + 5) /* unrecovered medium error */
#endif
#ifndef ESOFT
#define ESOFT (SC_ERRNO_BASE + 6) /* recovered medium error, reported on request */
#endif

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

/* Members of an array; the structure around a member; which way a branch mostly goes. */
#define SC_ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define SC_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define SC_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define SC_UNLIKELY(x)                     __builtin_expect(!!(x), 0)

#endif /* SYS_SCTYPES_H */
