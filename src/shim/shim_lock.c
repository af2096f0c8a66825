/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_lock.c - locks: the slow halves of sclock.h and, in checked mode, the order of locks.
 *
 * Ranks. A thread may enter a lock only while every lock it holds has a smaller rank, so no cycle
 * of waiting can form (CAM-01..03). The list of held locks is in the thread's own record: checking
 * needs no other lock and cannot disturb the order it watches. A checked lock has its fast path
 * off (sl_slow), which is the whole cost of the feature for the locks that are not checked. What
 * else holds for a rank is data, in one table below; docs/locks.md is made from it.
 *
 * Who slept. An exchange to 0 that finds 2 means that somebody may sleep on the word. The wake-up
 * is given by address only: the next owner may free the lock's memory as soon as the word is 0
 * (CAM-12), and that is why shim_lock_wake() reads nothing through its argument.
 *
 * Does not contain: parking (the hosts), the numbers of the ranks (shim.h).
 */
#include "shim_impl.h"

/* ---------------------------------------------------------------- the table of ranks */

#define RANK_SLEEPS 0x1u /* its holder may sleep on something else */
#define RANK_LEAF   0x2u /* nothing is entered while one is held */
#define RANK_LAST   0x4u /* nothing but a lock of the kernel services is */

/*
 * Roles (CAM-01): which lock plays that of each object that is locked by itself elsewhere, and why.
 *
 * role: a LUN: AD_LUN; in the device driver DD_LUN. Each has the LUN's own queues and states.
 * role: a target: AD. It has no queue; what its LUNs share (limits, resets) changes on errors only.
 * role: a bus: AD. An adapter has one, so a lock of its own would be taken with the adapter's each time.
 * role: a send queue: AD_LUN. The queue is the LUN's: a second lock would be held with the first throughout.
 * role: a done queue: AD_DONE, one for each thread of an adapter. The responses are the LUN's: AD_LUN.
 * role: an adapter: AD for the core's part (credits, recovery), HW for the chip's own.
 */
/* By rising rank; a number between two rows goes with the lower one. scripts/locks reads it. */
static const struct shim_rank_row {
    uint8_t row_rank;  /* enum shim_rank */
    uint8_t row_flags; /* RANK_* */
} shim_ranks[] = {
    {SHIM_RANK_NONE, RANK_SLEEPS},    /* whoever is outside of all: a port's own */
    {SHIM_RANK_HOSTAPI, RANK_SLEEPS}, /* who configures pairs */
    {SHIM_RANK_DD_OPEN, RANK_SLEEPS}, /* a head's opens, closes and configuration */
    {SHIM_RANK_DD_LUN, RANK_LAST},    /* a head's queues for one device */
    {SHIM_RANK_AD_OPEN, 0},           /* an adapter's opens, SCIOSTART and SCIOSTOP */
    {SHIM_RANK_AD_LUN, 0},            /* the adapter driver's queue for one LUN */
    {SHIM_RANK_AD, RANK_LEAF},        /* an adapter's credits, those who wait for them, its copies */
    {SHIM_RANK_AD_DONE, RANK_LEAF},   /* a done queue: LUNs for one of an adapter's threads */
    {SHIM_RANK_HW, 0},                /* a chip */
    {SHIM_RANK_HW_DEV, 0},            /* a simulated device behind it */
    {SHIM_RANK_KERN, RANK_LEAF},      /* kernel services: switch, error log, pollers */
    {SHIM_RANK_EVENT, RANK_LEAF},     /* what is used with a wait alone */
};

/* What may be done while a lock of this rank is held. */
static unsigned shim_rank_flags(unsigned rank)
{
    size_t row = SC_ARRAY_SIZE(shim_ranks) - 1;

    while (shim_ranks[row].row_rank > rank)
        row--;
    return shim_ranks[row].row_flags;
}

/* ---------------------------------------------------------------- the list of held locks */

/* The highest lock held, or NULL. They are kept in the order of entering, which is that of ranks. */
static const struct shim_lock *shim_lock_highest(const struct shim_self *self)
{
    const struct shim_lock *top = NULL;

    for (uint32_t i = 0; i < self->self_nlocks; i++)
        if (!top || self->self_locks[i]->sl_rank >= top->sl_rank)
            top = self->self_locks[i];
    return top;
}

static void shim_lock_check_enter(const struct shim_self *self, const struct shim_lock *l)
{
    const struct shim_lock *top = shim_lock_highest(self);
    unsigned flags;

    if (self->self_nlocks == SHIM_SELF_LOCKS)
        shim_panic("lock order: entering %s with %u locks held", l->sl_name, (unsigned)SHIM_SELF_LOCKS);
    flags = top ? shim_rank_flags(top->sl_rank) : 0;
    if (top && (top->sl_rank >= l->sl_rank || (flags & RANK_LEAF) ||
                ((flags & RANK_LAST) && l->sl_rank < SHIM_RANK_KERN)))
        shim_panic("lock order: entering %s (rank %u) while holding %s (rank %u)", l->sl_name,
                   (unsigned)l->sl_rank, top->sl_name, (unsigned)top->sl_rank);
}

/* True when found and taken off the list. */
static bool shim_lock_forget(struct shim_self *self, const struct shim_lock *l)
{
    for (uint32_t i = 0; i < self->self_nlocks; i++) {
        if (self->self_locks[i] != l)
            continue;
        self->self_nlocks--;
        for (; i < self->self_nlocks; i++)
            self->self_locks[i] = self->self_locks[i + 1];
        return true;
    }
    return false;
}

void shim_lock_check_sleep(const struct shim_self *self, const struct shim_lock *l)
{
    for (uint32_t i = 0; i < self->self_nlocks; i++) {
        const struct shim_lock *held = self->self_locks[i];

        if (held != l && !(shim_rank_flags(held->sl_rank) & RANK_SLEEPS))
            shim_panic("sleeping with %s held (rank %u)", held->sl_name, (unsigned)held->sl_rank);
    }
    if (l && l->sl_slow & SHIM_SLOW_CHECK && !shim_lock_is_held(l))
        shim_panic("sleeping on %s without holding it", l->sl_name);
}

/* ---------------------------------------------------------------- life of a lock */

/* Prepare a lock. Context: process. Locks: none. 0, EINVAL (rank or name) or the host's errno. */
int shim_lock_init(struct shim_lock *l, enum shim_rank rank, const char *name)
{
    int rc;

    if (!l || !name || rank <= SHIM_RANK_NONE || rank > SHIM_RANK_MAX)
        return EINVAL;
    memset(l, 0, sizeof(*l));
    l->sl_rank = (uint8_t)rank;
    l->sl_magic = SL_MAGIC;
    l->sl_name = name;
    rc = shim_host->lock_init(l);
    if (rc) {
        l->sl_magic = 0;
        return rc;
    }
    if (shim_checks_on())
        l->sl_slow |= SHIM_SLOW_CHECK;
    shim_account_lock(true);
    return 0;
}

/* Take a lock down. Context: process. It must be free. */
void shim_lock_fini(struct shim_lock *l)
{
    SHIM_ASSERT(l->sl_magic == SL_MAGIC);
    if (atomic_load_explicit(&l->sl_word, memory_order_acquire) != 0)
        shim_panic("lock_fini: %s is held", l->sl_name);
    shim_host->lock_fini(l);
    l->sl_magic = 0;
    shim_account_lock(false);
}

bool shim_lock_is_held(const struct shim_lock *l)
{
    const struct shim_self *self;

    if (!(l->sl_slow & SHIM_SLOW_CHECK))
        return atomic_load_explicit(&l->sl_word, memory_order_relaxed) != 0;
    self = shim_self();
    for (uint32_t i = 0; i < self->self_nlocks; i++)
        if (self->self_locks[i] == l)
            return true;
    return false;
}

/* ---------------------------------------------------------------- the slow halves */

static void shim_lock_enter_word(struct shim_lock *l)
{
    uint32_t free_word = 0;

    if ((l->sl_slow & SHIM_SLOW_HOST) ||
        !atomic_compare_exchange_strong_explicit(&l->sl_word, &free_word, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        shim_host->lock_enter(l);
}

/*
 * Enter a lock that is taken, checked, or the host's own kind. Context: any the host allows.
 * Locks: takes l. Panics on a broken order before it can deadlock.
 */
void shim_lock_enter_slow(struct simple_lock_data *l)
{
    struct shim_self *self;

    SHIM_ASSERT(l->sl_magic == SL_MAGIC);
    if (!(l->sl_slow & SHIM_SLOW_CHECK)) {
        shim_lock_enter_word(l);
        return;
    }
    self = shim_self();
    shim_lock_check_enter(self, l);
    shim_lock_enter_word(l);
    SHIM_ASSERT(l->sl_owner == 0);
    l->sl_owner = (uintptr_t)self->self_id;
    self->self_locks[self->self_nlocks++] = l;
}

/* Leave a lock whose fast path is off. Locks: gives l back. Panics when the caller is not the owner. */
void shim_lock_exit_slow(struct simple_lock_data *l)
{
    SHIM_ASSERT(l->sl_magic == SL_MAGIC);
    if (l->sl_slow & SHIM_SLOW_CHECK) {
        if (!shim_lock_forget(shim_self(), l))
            shim_panic("lock_exit: %s is not held by this thread", l->sl_name);
        l->sl_owner = 0;
    }
    if (l->sl_slow & SHIM_SLOW_HOST)
        shim_host->lock_exit(l);
    else if (atomic_exchange_explicit(&l->sl_word, 0, memory_order_release) == 2)
        shim_lock_wake(l);
}

void shim_lock_wake(struct simple_lock_data *l) { shim_host->lock_exit(l); }
