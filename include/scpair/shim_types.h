/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_types.h - the porter's types: fixed widths, errno numbers, struct iovec, memory functions.
 *
 * The only header of the project that asks what the compiler is building for. Three answers:
 *
 *   hosted          the host's C library gives everything, its <sys/uio.h> struct iovec;
 *   freestanding    the compiler's headers give the types, this file the errno numbers (Linux's);
 *                   <sys/scuio.h> struct iovec, which shim.h itself only names;
 *   a kernel with types of its own: -DSCPAIR_PORT_TYPES_H='"mykernel/scpair_types.h"'
 *                   that header gives everything, whether the build is hosted or not:
 *                     - uint8_t ... uint64_t, int8_t ... int64_t, uintptr_t, intptr_t, intmax_t, size_t,
 *                       which must be the types the compiler itself has for them
 *                       (__UINT64_TYPE__ ...), their limits (UINT32_MAX, UINT64_MAX, SIZE_MAX ...)
 *                       and UINT64_C;
 *                     - bool, true, false, NULL, offsetof;
 *                     - memcpy, memmove, memset, memcmp;
 *                     - struct iovec with at least iov_base (a pointer) and iov_len (a size_t);
 *                     - errno numbers, positive and below 256. A name it does not define gets a number
 *                       from 257 up, so that it is never another name's.
 *
 * Everything that meets in one image is compiled with the same answer: the core, the port and the
 * heads must agree on the numbers. An errno name or limit that is defined before this file is
 * included is left alone in every case.
 *
 * Does not contain: what has no counterpart on any host (sys/sctypes.h).
 */
#ifndef SCPAIR_SHIM_TYPES_H
#define SCPAIR_SHIM_TYPES_H

#ifdef SCPAIR_PORT_TYPES_H
/* First of all: some compilers' <stdatomic.h>, which sclang.h includes, brings their <stdint.h>. */
#include SCPAIR_PORT_TYPES_H
/* A number for an errno name that the port does not have. */
#define SHIM_ERRNO(n) ((n) + 256)
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if __STDC_HOSTED__
#include <errno.h>
#include <limits.h>
#include <string.h>
#else
#include <sys/sclang.h>
SC_BEGIN_DECLS
/* Freestanding: the linker must find these four, as every C compiler demands anyway. */
void *memcpy(void *SC_RESTRICT dst, const void *SC_RESTRICT src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
SC_END_DECLS

#endif
/* The number of an errno name that nobody else has defined. */
#define SHIM_ERRNO(n) (n)
#endif

#include <sys/sclang.h>

/* Not from <limits.h>: GCC's own, even freestanding, asks for the host's. */
#ifndef CHAR_BIT
#define CHAR_BIT __CHAR_BIT__
#endif
#ifndef INT_MAX
#define INT_MAX __INT_MAX__
#endif
#ifndef UINT_MAX
#define UINT_MAX (__INT_MAX__ * 2u + 1u)
#endif

/* Every errno the core returns. */
#ifndef EPERM
#define EPERM SHIM_ERRNO(1)
#endif
#ifndef ENOENT
#define ENOENT SHIM_ERRNO(2)
#endif
#ifndef EINTR
#define EINTR SHIM_ERRNO(4)
#endif
#ifndef EIO
#define EIO SHIM_ERRNO(5)
#endif
#ifndef ENXIO
#define ENXIO SHIM_ERRNO(6)
#endif
#ifndef EBADF
#define EBADF SHIM_ERRNO(9)
#endif
#ifndef EAGAIN
#define EAGAIN SHIM_ERRNO(11)
#endif
#ifndef ENOMEM
#define ENOMEM SHIM_ERRNO(12)
#endif
#ifndef EACCES
#define EACCES SHIM_ERRNO(13)
#endif
#ifndef EFAULT
#define EFAULT SHIM_ERRNO(14)
#endif
#ifndef EBUSY
#define EBUSY SHIM_ERRNO(16)
#endif
#ifndef EEXIST
#define EEXIST SHIM_ERRNO(17)
#endif
#ifndef ENODEV
#define ENODEV SHIM_ERRNO(19)
#endif
#ifndef EINVAL
#define EINVAL SHIM_ERRNO(22)
#endif
#ifndef EMFILE
#define EMFILE SHIM_ERRNO(24)
#endif
#ifndef ENOTTY
#define ENOTTY SHIM_ERRNO(25)
#endif
#ifndef ENOSPC
#define ENOSPC SHIM_ERRNO(28)
#endif
#ifndef EROFS
#define EROFS SHIM_ERRNO(30)
#endif
#ifndef ERANGE
#define ERANGE SHIM_ERRNO(34)
#endif
#ifndef ENOSYS
#define ENOSYS SHIM_ERRNO(38)
#endif
#ifndef ENOMSG
#define ENOMSG SHIM_ERRNO(42)
#endif
#ifndef EPROTO
#define EPROTO SHIM_ERRNO(71)
#endif
#ifndef EOPNOTSUPP
#define EOPNOTSUPP SHIM_ERRNO(95)
#endif
#ifndef ETIMEDOUT
#define ETIMEDOUT SHIM_ERRNO(110)
#endif
#ifndef EALREADY
#define EALREADY SHIM_ERRNO(114)
#endif
#ifndef EINPROGRESS
#define EINPROGRESS SHIM_ERRNO(115)
#endif
#ifndef ESTALE
#define ESTALE SHIM_ERRNO(116)
#endif

#endif /* SCPAIR_SHIM_TYPES_H */
