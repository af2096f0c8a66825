/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sclock.h - the one lock object of the project and its inline fast path.
 *
 * The object is shared by the AIX services (kservices.h: Simple_lock) and by the porter's
 * contract (shim.h: struct shim_lock). An uncontended enter is one compare-and-swap and an exit
 * one exchange, with no call. A host that must do more (mask interrupts, take its own mutex) sets
 * sl_slow in its lock_init and is then called every time; the checking wrapper does the same,
 * which is how one binary runs with and without lock-order checks.
 *
 * Does not contain: lock ranks' meaning (shim.h), rank checks (src/shim/shim_lock.c).
 */
#ifndef SYS_SCLOCK_H
#define SYS_SCLOCK_H

#include <sys/scsched.h>
#include <sys/sctypes.h>

SC_BEGIN_DECLS

/* A lock. Fields are private to the inline functions below, the shim and the host. */
struct simple_lock_data {
    SC_ATOMIC(uint32_t) sl_word; /* 0 free, 1 held, 2 held and somebody may be asleep on it */
    uint8_t sl_slow;             /* not 0: the fast path is off; 1 by the host, 2 by checked mode */
    uint8_t sl_rank;             /* enum shim_rank */
    uint16_t sl_magic;           /* SL_MAGIC between init and fini */
    const char *sl_name;         /* for messages; static storage */
    uintptr_t sl_owner;          /* checked mode: the holder's thread number, 0 free */
    uintptr_t sl_host[2];        /* the host's, if it keeps a lock of its own */
    uintptr_t sl_reserved;       /* 0 */
};
#define SL_MAGIC 0x10c4u

/* Out-of-line halves; src/shim/shim_lock.c. Not to be called directly. */
void shim_lock_enter_slow(struct simple_lock_data *l);
void shim_lock_exit_slow(struct simple_lock_data *l);
/* `l` is free already and somebody slept on it. Only the address is used: the lock may be gone. */
void shim_lock_wake(struct simple_lock_data *l);

/*
 * Take a lock. Not recursive. Context: any; a host may forbid it in hard interrupt context.
 */
static inline void sc_lock_enter(struct simple_lock_data *l)
{
    uint32_t free_word = 0;

    if (SC_UNLIKELY(l->sl_slow) ||
        (shim_sched_point(), SC_UNLIKELY(!SC_ATOMIC_CAS(&l->sl_word, &free_word, 1))))
        shim_lock_enter_slow(l);
}

/* Give a lock back; by its owner only. */
static inline void sc_lock_exit(struct simple_lock_data *l)
{
    if (SC_UNLIKELY(l->sl_slow)) {
        shim_lock_exit_slow(l);
        return;
    }
    shim_sched_point();
    /* One exchange both frees the lock and learns whether somebody sleeps on it. */
    if (SC_UNLIKELY(SC_ATOMIC_SWAP(&l->sl_word, 0) == 2))
        shim_lock_wake(l);
}

SC_END_DECLS

#endif /* SYS_SCLOCK_H */
