/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clash.c - a port's source in a kernel that has a struct iovec and errno numbers of its own and
 * has told us nothing: shim.h alone must leave both as they are. Compiled by headers_test.sh.
 */
#include <stddef.h>

struct iovec {
    size_t iov_len;
    void *iov_base;
};
#define ENOSYS    78
#define ETIMEDOUT 60

#include <scpair/shim.h>

_Static_assert(ENOSYS == 78 && ETIMEDOUT == 60, "the kernel's own numbers stay");
_Static_assert(offsetof(struct iovec, iov_len) == 0, "the kernel's own iovec stays");
