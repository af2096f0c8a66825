/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_types.h - the types of a kernel that has everything of its own, for SCPAIR_PORT_TYPES_H.
 *
 * Nothing is included. Its struct iovec has other members in another order, its errno numbers are
 * a BSD's and some are missing: the core must compile with it all the same.
 *
 * Does not contain: what scpair/shim_types.h fills in.
 */
#ifndef PORT_TYPES_H
#define PORT_TYPES_H

typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __INTMAX_TYPE__ intmax_t;
typedef __SIZE_TYPE__ size_t;
#define INT32_MAX  __INT32_MAX__
#define INT64_MAX  __INT64_MAX__
#define UINT8_MAX  __UINT8_MAX__
#define UINT16_MAX __UINT16_MAX__
#define UINT32_MAX __UINT32_MAX__
#define UINT64_MAX __UINT64_MAX__
#define SIZE_MAX   __SIZE_MAX__

#define UINT64_C(n) n##ull

#define bool _Bool
#define true 1
#define false 0
#define NULL           ((void *)0)
#define offsetof(t, m) __builtin_offsetof(t, m)

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* A kernel's own: the length first, and a word of its own in between. */
struct iovec {
    size_t iov_len;
    unsigned long iov_space;
    void *iov_base;
};

#define EPERM     1
#define ENOENT    2
#define EIO       5
#define ENXIO     6
#define EBADF     9
#define ENOMEM    12
#define EACCES    13
#define EFAULT    14
#define EBUSY     16
#define EEXIST    17
#define ENODEV    19
#define EINVAL    22
#define EAGAIN    35
#define ETIMEDOUT 60
#define ENOSYS    78

#endif /* PORT_TYPES_H */
