/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_impl.h - what the files of the wrapper layer (src/shim/shim*.c) share among themselves.
 *
 * Does not contain: anything a host, a service or a driver may use; that is scpair/shim.h.
 */
#ifndef SHIM_IMPL_H
#define SHIM_IMPL_H

#include <scpair/shim.h>
#include <sys/scsched.h>
#include <sys/sctypes.h>

/* Who switched the fast path of a lock off (simple_lock_data.sl_slow). */
#define SHIM_SLOW_HOST  1u
#define SHIM_SLOW_CHECK 2u

/*
 * Should this call fail? The usual answer costs one relaxed load: the counting is out of line.
 */
bool shim_fail_count(enum shim_fail what);
static inline bool shim_fail_now(enum shim_fail what)
{
    uint32_t hooks = atomic_load_explicit(&shim_hooks, memory_order_relaxed);

    return SC_UNLIKELY((hooks >> (unsigned)what) & 1u) && shim_fail_count(what);
}

/* Forget all failures to come (shim_fini). */
void shim_fail_reset(void);
/* Log what is still allocated and start counting from zero; returns the blocks. */
size_t shim_account_close(void);
/* One lock more or less. */
void shim_account_lock(bool more);
/* Fill the functions a host may leave out. */
void shim_fallback_fill(struct shim_host *h);
/* Checked mode: panic unless only `l`, and locks that may be slept under, are held. */
void shim_lock_check_sleep(const struct shim_self *self, const struct shim_lock *l);

/* shim_self.c: the list of all records. 0 or errno. */
int shim_records_init(void);
void shim_records_fini(void);

#endif /* SHIM_IMPL_H */
