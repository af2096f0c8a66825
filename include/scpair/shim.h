/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim.h - the porter's contract: everything the core asks of the system it runs in.
 *
 * Two tables of functions. The *host half*, one per process or kernel: memory, locks, sleeping,
 * threads, time, copying from user memory, messages. The *device half*, one per adapter instance:
 * registers, interrupts, DMA. Each begins with its version and its size; entries are only ever
 * appended, so that an older port keeps working: what its table is too short for counts as NULL.
 * shim_init() and ad_attach() refuse a table they cannot use. docs/abi.md has the whole rule.
 *
 * The core never calls a table directly. It calls the shim_*() wrappers below, which are written
 * once for all hosts (src/shim/shim*.c) and do lock ranks, context checks, leak accounting and
 * the "fail the k-th call" test hook. A back end stays dumb.
 *
 *   needed for            host half            device half
 *   polled, one thread    1-6, 12, 16-18       20-23, 26-30     (19 functions)
 *   timeouts              14, 15
 *   interrupts                                 24, 25
 *   threads               7-11
 *   attributes            19
 *
 * Lock order is data: enum shim_rank. In checked mode entering a lock whose rank is not higher
 * than every lock held panics with both names. Ranks marked *leaf* may hold nothing above them.
 *
 * Does not contain: the AIX kernel services (sys/kservices.h), which are built on this.
 */
#ifndef SCPAIR_SHIM_H
#define SCPAIR_SHIM_H

#include <sys/sclock.h>
#include <sys/sctypes.h>

struct iovec;
struct uio;

SC_BEGIN_DECLS

/* ---------------------------------------------------------------- limits and small types */

#define SHIM_HOST_VERSION 1u /* of struct shim_host */
#define SHIM_DEV_VERSION  1u /* of struct shim_dev_ops */

/*
 * A table of functions begins with `uint32_t version, size`. The version changes when an entry
 * changes its meaning, which no release of the same soname does; the size is sizeof the table when
 * the port was compiled. SHIM_TABLE_BYTES: the smallest table that has the entry. SHIM_TABLE_HAS:
 * is this one long enough, and the entry not NULL?
 */
#define SHIM_TABLE_BYTES(type, entry) (offsetof(struct type, entry) + sizeof(((struct type *)0)->entry))
#define SHIM_TABLE_HAS(table, type, entry)                                                                   \
    ((table)->size >= SHIM_TABLE_BYTES(type, entry) && (table)->entry != NULL)
/*
 * Complete a port's table: what it has, cut or filled with NULL to the own_bytes that this core
 * knows. Any context.
 */
static inline void shim_table_copy(void *own, size_t own_bytes, const void *table, size_t table_bytes)
{
    memset(own, 0, own_bytes);
    table_bytes &= ~(sizeof(void (*)(void)) - 1u); /* no half entries */
    memcpy(own, table, table_bytes < own_bytes ? table_bytes : own_bytes);
}

/*
 * Lock ranks, outermost first (CAM-01..03). A lock may be entered only while every held lock has
 * a smaller rank, and none under a leaf. DD and AD never hold one another's locks: a strategy or
 * iodone call is made with none held. Who has which: docs/locks.md.
 */
enum shim_rank {
    SHIM_RANK_NONE = 0,
    SHIM_RANK_HOSTAPI = 10, /* src/scp, FUSE: configuration */
    SHIM_RANK_DD_OPEN = 20, /* device driver: open/close/config; may sleep under it via wait */
    SHIM_RANK_DD_LUN = 30,  /* device driver: one disk's queues */
    SHIM_RANK_AD_OPEN = 40, /* adapter: SCIOSTART/STOP/ioctl serialisation */
    SHIM_RANK_AD_LUN = 50,  /* adapter: one LUN's queue */
    SHIM_RANK_AD = 60,      /* adapter: credits, LUN table, waiters */
    SHIM_RANK_AD_DONE = 65, /* adapter: one thread's queue of LUNs: leaf */
    SHIM_RANK_HW = 70,      /* chip back end */
    SHIM_RANK_HW_DEV = 75,  /* simulated device */
    SHIM_RANK_KERN = 80,    /* kernel services: device switch, error log ... leaf */
    SHIM_RANK_EVENT = 90,   /* a lock used only with wait/wake: leaf */
    SHIM_RANK_MAX = 99
};

/* What a thread may do just now. */
enum shim_ctx {
    SHIM_CTX_PROCESS = 0,    /* may sleep, may touch user memory */
    SHIM_CTX_COMPLETION = 1, /* AIX INTIODONE: inside an iodone routine or a timer; never sleeps */
    SHIM_CTX_INTERRUPT = 2   /* a device's interrupt handler; never sleeps */
};

#define SHIM_SELF_LOCKS  8 /* locks one thread may hold in checked mode */
#define SHIM_SELF_TURNS  2 /* iodone routines on one stack that others may wait for */
#define SHIM_IODONE_NEST 2 /* direct iodone nesting; deeper ones wait on the thread's list */

struct kern_plug;

/*
 * One per thread, found by self(). The host only provides zeroed storage that stays with the
 * thread; the other fields belong to the wrappers and to the kernel services. They keep a list of
 * records: storage that goes earlier than the host says so, shim_self_gone().
 */
struct shim_self {
    uint32_t self_ctx;          /* enum shim_ctx */
    uint32_t self_iodone_depth; /* iodone routines active on this stack */
    struct buf *self_done_head; /* iodone calls put off to the outermost one, oldest first */
    struct buf *self_done_tail; /* the youngest of them */
    uint32_t self_nlocks;       /* checked mode: locks held */
    struct simple_lock_data *self_locks[SHIM_SELF_LOCKS]; /* checked mode: which, in the order of entering */
    uint64_t self_id;      /* non-zero, unique while the thread lives; set by the host */
    uint32_t self_nosleep; /* checked mode: strategy calls active on this stack (AIX-03) */
    uint32_t self_owner;   /* whom memory is put down to (shim_owner_enter) */
    /* Turns, see src/shim/shim_self.c. */
    SC_ATOMIC(uintptr_t)
    self_turn[SHIM_SELF_TURNS];                   /* whose iodone routine runs here, and a number; 0 none */
    uintptr_t self_mark[SHIM_SELF_TURNS];         /* those that somebody waits for */
    struct shim_self *self_next;                  /* all records */
    struct kern_plug *self_plug;                  /* the thread's, see sys/kservices.h; NULL none */
    uint8_t self_turns;                           /* in use of self_turn */
    uint8_t self_turn_no;                         /* the next number */
    uint8_t self_listed;                          /* it is in the list of all records */
    uint8_t self_reserved[sizeof(uintptr_t) - 3]; /* the wrappers', to come */
};

/* A lock; see sys/sclock.h. */
#define shim_lock simple_lock_data

/*
 * Something to wait for. Zero-initialised is valid: "not signalled". A wake() with nobody asleep
 * is remembered; the wait() that consumes it clears it. A wake() wakes all who sleep at that time.
 * Several threads may wait for one event only with a lock and a condition checked in a loop: a
 * remembered wake() serves one of them. With a single waiter the object may be freed as soon as
 * wait() has returned "woken": wake() does not touch it after the exchange that signals it.
 */
struct shim_event {
    SC_ATOMIC(uint32_t) ev_word; /* 0 nothing, 1 signalled, 2 somebody sleeps */
};

/* A one-shot timer. `fn` runs in completion context with no lock held. */
struct shim_timer {
    void (*tm_fn)(struct shim_timer *t); /* set by shim_timer_init */
    void *tm_arg;                        /* the owner's */
    uint64_t tm_when_ns;                 /* host's: deadline while armed */
    uint32_t tm_state;                   /* host's: 0 idle, running or done, 1 armed */
    uint32_t tm_reserved0;
    struct shim_timer *tm_next; /* host's */
    struct shim_timer *tm_prev; /* host's */
    uintptr_t tm_host[2];       /* host's */
    uintptr_t tm_reserved;
};
enum shim_cancel {
    SHIM_CANCEL_WAS_ARMED = 0, /* it will not run */
    SHIM_CANCEL_IDLE = 1,      /* it was not armed: it has run, or never was armed */
    SHIM_CANCEL_RUNNING = 2    /* its function is running right now on another thread */
};

/* A thread that was started; the host's. */
struct shim_thread {
    uintptr_t th_host[4]; /* the host's */
};

/* How much a message matters; verbose is off by default. */
enum shim_level { SHIM_LOG_ERROR = 0, SHIM_LOG_WARN = 1, SHIM_LOG_INFO = 2, SHIM_LOG_VERBOSE = 3 };

/* Memory tags: who allocated. Shown by the leak report. */
enum shim_tag {
    SHIM_TAG_KERN,
    SHIM_TAG_DD,
    SHIM_TAG_AD,
    SHIM_TAG_HW,
    SHIM_TAG_SCP,
    SHIM_TAG_TEST,
    SHIM_TAG_COUNT
};
#define SHIM_TAG_ROOM 16 /* tags a report has room for */

/* ---------------------------------------------------------------- the host half */

/*
 * The host half. Every entry says what it must do, in which context it is called and what it may
 * return. Optional entries may be NULL where noted.
 */
struct shim_host {
    uint32_t version; /* SHIM_HOST_VERSION */
    uint32_t size;    /* sizeof(struct shim_host) the port was compiled with */
    const char *name; /* "posix", "det", ... */

    /* 1. Zeroed memory aligned to `align` (a power of two, at most a page), or NULL. Never sleeps. */
    void *(*alloc)(size_t size, size_t align);
    /* 2. Give it back; `size` and `align` as passed to alloc. */
    void (*free)(void *p, size_t size, size_t align);
    /* 3. Prepare a lock; the wrapper has filled every common field. May set sl_slow. 0 or errno. */
    int (*lock_init)(struct shim_lock *l);
    /* 4. Take down a free lock. */
    void (*lock_fini)(struct shim_lock *l);
    /* 5. Enter when the fast path failed or is off: must leave sl_word 1 or 2, owned by the caller. */
    void (*lock_enter)(struct shim_lock *l);
    /* 6. The fast path is off: free the lock. It is on: sl_word was 2 and is already 0, wake sleepers. */
    void (*lock_exit)(struct shim_lock *l);
    /*
     * 7. Sleep until `ev` is signalled or `deadline_ns` (absolute, now_ns clock, UINT64_MAX none).
     * `l` (may be NULL) is dropped while asleep and retaken. Consumes the signal.
     * Returns true woken, false timed out. Process context only.
     */
    bool (*wait)(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns);
    /* 8. Signal; somebody sleeps on ev (the wrapper did the exchange and saw 2). Any context. */
    void (*wake)(struct shim_event *ev);
    /* 9. Start a thread, or return ENOSYS: then the caller polls. */
    int (*thread_start)(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name);
    /* 10. Wait until it has returned. */
    void (*thread_join)(struct shim_thread *t);
    /*
     * 11. The calling thread's record. Asked in every context; docs/porting.md says what an interrupt on
     * top of a thread gets. A record that goes with its thread is taken out with shim_self_gone() first.
     */
    struct shim_self *(*self)(void);
    /* 12. Monotonic nanoseconds. */
    uint64_t (*now_ns)(void);
    /* 13. Busy wait. */
    void (*delay_ns)(uint64_t ns);
    /* 14. Arm, or move if armed, to absolute time when_ns. 0, or an errno when none can be had. */
    int (*timer_arm)(struct shim_timer *t, uint64_t when_ns);
    /* 15. Never waits; enum shim_cancel. */
    int (*timer_cancel)(struct shim_timer *t);
    /*
     * 16. Copy n bytes between kernel memory and one user address. to_user: kernel -> user.
     * 0 or EFAULT. Process context only.
     */
    int (*copy_user)(void *user, void *kernel, size_t n, bool to_user);
    /* 17. One line, no newline at the end. */
    void (*log)(int level, const char *text);
    /* 18. Does not return. */
    void (*panic)(const char *text);
    /* 19. A named number set by the administrator, else dflt. */
    int64_t (*tunable)(const char *name, int64_t dflt);
};

/* ---------------------------------------------------------------- the device half */

/* One piece of memory as the bus sees it. */
struct shim_seg {
    uint64_t seg_addr;  /* bus address: only ever from dma_map or dma_alloc */
    uint64_t seg_bytes; /* its length */
};

/* What the device's DMA can do; filled by open(). */
struct shim_dma_limits {
    uint32_t dl_segs_max;      /* segments in one map */
    uint64_t dl_seg_bytes_max; /* bytes in one segment */
    uint64_t dl_boundary;      /* no segment crosses a multiple of this; 0 none */
    uint64_t dl_addr_max;      /* highest bus address */
    uint32_t dl_align;         /* start alignment; 1 any */
    uint32_t dl_reserved0;     /* 0 */
    uint64_t dl_reserved[4];   /* 0 */
};

/* Memory both sides see; filled by dma_alloc. */
struct shim_dma_mem {
    void *dm_cpu;         /* as the processor sees it */
    uint64_t dm_bus;      /* as the device sees it */
    size_t dm_bytes;      /* its length */
    uintptr_t dm_host[4]; /* the device half's */
};

/* A live mapping. `map_segs` is the caller's array; the rest is filled by dma_map. */
struct shim_dma_map {
    struct shim_seg *map_segs; /* the list: what the device is told */
    uint32_t map_segs_max;     /* room in map_segs, set by the caller */
    uint32_t map_nsegs;        /* segments in use */
    uint64_t map_bytes;        /* sum of their lengths */
    uintptr_t map_host[4];     /* [0] the wrappers': not 0 while counted; [1..3] the device half's */
};

/* Which way the bytes go, when to flush, and what dma_map answers. */
enum shim_dir { SHIM_DIR_FROM_DEVICE = 0, SHIM_DIR_TO_DEVICE = 1 };
enum shim_sync { SHIM_SYNC_BEFORE = 0, SHIM_SYNC_AFTER = 1 };
enum shim_map_result {
    SHIM_MAP_OK = 0,
    SHIM_MAP_LATER = 1, /* no resources now: try again after an unmap */
    SHIM_MAP_NEVER = 2  /* cannot fit this device's limits */
};

struct shim_dev; /* a port embeds this at the start of its own structure */

/* The device half: one table per kind of device, one struct shim_dev per adapter. */
struct shim_dev_ops {
    uint32_t version; /* SHIM_DEV_VERSION */
    uint32_t size;    /* sizeof(struct shim_dev_ops) the port was compiled with */
    const char *name; /* for messages */

    /* 20. Make the device usable; fill limits. 0 or errno. */
    int (*open)(struct shim_dev *dev, struct shim_dma_limits *limits);
    /* 21. After intr_detach; every map is gone. */
    void (*close)(struct shim_dev *dev);
    /* 22. Read a register: space 0 = PCI configuration, n = BAR n-1; width 1, 2, 4 bytes. */
    uint32_t (*read)(struct shim_dev *dev, unsigned space, uint32_t off, unsigned width);
    /* 23. Write a register; ordered after an earlier dma_sync. */
    void (*write)(struct shim_dev *dev, unsigned space, uint32_t off, unsigned width, uint32_t v);
    /* 24. fn runs in interrupt context and says whether the interrupt was its own. NULL: polled only. */
    int (*intr_attach)(struct shim_dev *dev, bool (*fn)(void *arg), void *arg);
    /* 25. On return fn is not running and will not run. */
    void (*intr_detach)(struct shim_dev *dev);
    /* 26. Memory visible to both; 0 or ENOMEM. */
    int (*dma_alloc)(struct shim_dev *dev, size_t bytes, size_t align, struct shim_dma_mem *m);
    /* 27. */
    void (*dma_free)(struct shim_dev *dev, struct shim_dma_mem *m);
    /* 28. Map n pieces in order; merges neighbours. enum shim_map_result. Any context. */
    int (*dma_map)(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                   struct shim_dma_map *map);
    /* 29. */
    void (*dma_unmap)(struct shim_dev *dev, struct shim_dma_map *map);
    /* 30. when: enum shim_sync. */
    void (*dma_sync)(struct shim_dev *dev, struct shim_dma_map *map, int when, int dir);
};

/* One adapter instance; a port's own fields follow it. */
struct shim_dev {
    const struct shim_dev_ops *dev_ops; /* the table of its kind */
    uintptr_t dev_reserved[3];          /* 0 */
};

/* ---------------------------------------------------------------- the wrappers the core calls */

/*
 * Install the host half for this process. Must come before everything else and may be repeated
 * after shim_fini(). Functions 7-11, 13-15 and 19 may be missing (NULL): sleeping then polls the
 * clock, threads and timers answer ENOSYS, tunables keep their defaults. The table is copied; a
 * shorter one is completed, as long as it reaches function 18.
 * Returns 0; EINVAL for a table of the wrong version, too short or with a hole; EBUSY when a host
 * is installed. Context: process, single-threaded.
 */
int shim_init(const struct shim_host *host);

/*
 * Take the host out again. Returns the number of blocks still allocated (0 = no leak); what
 * leaked is logged by tag, counters and failure hooks start again from zero.
 */
size_t shim_fini(void);

/* Turn checked mode on or off for locks initialised from now on. Off by default. */
void shim_checks_set(bool on);
/* What is switched on: one bit per enum shim_fail, and SHIM_HOOK_CHECKS. Private to the wrappers. */
extern SC_ATOMIC(uint32_t) shim_hooks;
#define SHIM_HOOK_CHECKS 0x80000000u
static inline bool shim_checks_on(void) { return (SC_ATOMIC_PEEK(&shim_hooks) & SHIM_HOOK_CHECKS) != 0; }

/*
 * A thread is about to call iodone() for something of `key`, which is 64-byte aligned, and others may want to
 * wait until the routine has returned. The sequence is: begin; give back, with release, what says that the
 * request is under way; iodone(); end. Whoever then takes what was given back, with acquire, and calls
 * shim_turns_wait(key), waits for it. Begun and ended like brackets, on one thread, also by a timer on top of
 * it. Returns the thread's record for shim_turn_end(); NULL when it cannot be: iodone() would put the call
 * off, or the record is full. Context: any. [ours]
 */
struct shim_self *shim_turn_begin(const void *key);
void shim_turn_end(struct shim_self *self);
/*
 * Wait until all turns of this key that have begun are over. Context: process, no lock held that may not be
 * slept under. [ours]
 */
void shim_turns_wait(const void *key);
/*
 * A port says that the memory of a record which self() has returned is about to go: its thread ends.
 * Records that stay as long as the host need not be taken out. Also when no host is installed any more, or
 * while shim_fini() runs. Context: any, no lock held; the thread is not inside an iodone routine. [ours]
 */
void shim_self_gone(struct shim_self *self);

/* The installed host; for inline wrappers and kern/. */
extern const struct shim_host *shim_host;

/* 1, 2. Memory; attach time only. align 0 means 16. */
void *shim_alloc(size_t size, size_t align, enum shim_tag tag);
void shim_free(void *p, size_t size, size_t align, enum shim_tag tag);

/* 3..6. Locks. `name` must be static storage. lock_init returns 0 or errno. */
int shim_lock_init(struct shim_lock *l, enum shim_rank rank, const char *name);
void shim_lock_fini(struct shim_lock *l);
static inline void shim_lock_enter(struct shim_lock *l) { sc_lock_enter(l); }
static inline void shim_lock_exit(struct shim_lock *l) { sc_lock_exit(l); }
/* For assertions. False when the caller does not hold it: exact in checked mode, else "nobody does". */
bool shim_lock_is_held(const struct shim_lock *l);

/* 7, 8. Sleep and wake. */
bool shim_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns);
void shim_wake(struct shim_event *ev);

/* 9, 10. */
int shim_thread_start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name);
void shim_thread_join(struct shim_thread *t);

/* 11..13. */
static inline struct shim_self *shim_self(void) { return shim_host->self(); }
static inline uint64_t shim_now_ns(void) { return shim_host->now_ns(); }
void shim_delay_ns(uint64_t ns);
/* Enter a context; returns the one to go back to. */
static inline uint32_t shim_ctx_enter(struct shim_self *self, uint32_t ctx)
{
    uint32_t old = self->self_ctx;

    self->self_ctx = ctx;
    return old;
}
static inline void shim_ctx_leave(struct shim_self *self, uint32_t old) { self->self_ctx = old; }

/* 14, 15. */
void shim_timer_init(struct shim_timer *t, void (*fn)(struct shim_timer *t), void *arg);
int shim_timer_arm(struct shim_timer *t, uint64_t when_ns);
int shim_timer_cancel(struct shim_timer *t);
/* For hosts: run a timer that is due, in completion context. The timer may be gone afterwards. */
void shim_timer_run(struct shim_timer *t);

/* 16. */
int shim_copy_user(void *user, void *kernel, size_t n, bool to_user);

/* 17..19. shim_log formats %s %d %u %x %lx %llu %llx %c %% and widths; the core has no printf. */
void shim_log(enum shim_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
SC_NORETURN void shim_panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t shim_tunable(const char *name, int64_t dflt);
/* The formatter behind them: like snprintf, returns the length it wanted. */
int shim_format(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int shim_vformat(char *out, size_t size, const char *fmt, __builtin_va_list ap);

/*
 * Can this core use a device half? ad_attach() asks. 0, or EINVAL with a line in the log: another
 * version, too short, no dma_map or no dma_unmap. Any context.
 */
int shim_dev_check(const struct shim_dev *dev);

/* 26..30 with accounting and k-th failure; the others are called through dev->dev_ops. */
int shim_dma_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                 struct shim_dma_map *map);
void shim_dma_unmap(struct shim_dev *dev, struct shim_dma_map *map);
static inline void shim_dma_sync(struct shim_dev *dev, struct shim_dma_map *map, int when, int dir)
{
    if (SHIM_TABLE_HAS(dev->dev_ops, shim_dev_ops, dma_sync))
        dev->dev_ops->dma_sync(dev, map, when, dir);
}

/*
 * Our own bug: stays on in release, panics with the place. A caller's bug is a returned errno
 * instead.
 */
#define SHIM_ASSERT(cond)                                                                                    \
    do {                                                                                                     \
        if (SC_UNLIKELY(!(cond)))                                                                            \
            shim_panic("assertion failed: %s, %s:%d", #cond, __FILE__, __LINE__);                            \
    } while (0)

/* ---------------------------------------------------------------- test hooks and accounting */

/* What can be made to fail. */
enum shim_fail {
    SHIM_FAIL_ALLOC,
    SHIM_FAIL_MAP,
    SHIM_FAIL_TIMER,
    SHIM_FAIL_COPY,
    SHIM_FAIL_THREAD,
    SHIM_FAIL_COUNT
};

/*
 * Make the k-th call of that kind from now on fail (k = 1 is the next one), once or for good.
 * k = 0 turns it off. A failing alloc gives NULL, map SHIM_MAP_LATER, timer ENOMEM, copy EFAULT,
 * thread ENOMEM. Context: any; not for production use.
 */
void shim_fail_set(enum shim_fail what, uint64_t k, bool for_good);
/*
 * Calls of that kind since shim_fail_set, and how many were made to fail. Counted while a k is
 * set; k = UINT64_MAX counts without ever failing.
 */
uint64_t shim_fail_calls(enum shim_fail what);
uint64_t shim_fail_failed(enum shim_fail what);

/* Live totals; zero when everything has been given back. */
struct shim_account {
    uint64_t acc_blocks[SHIM_TAG_ROOM]; /* by enum shim_tag */
    uint64_t acc_bytes[SHIM_TAG_ROOM];  /* likewise */
    uint64_t acc_maps;  /* live DMA maps; counted in checked mode or while a MAP failure is set */
    uint64_t acc_locks; /* initialised locks */
};
void shim_account_get(struct shim_account *out);

/*
 * Owners: blocks are also counted by whom they are taken for, so that one of several systems in a process
 * can be asked for its leaks while the others live. The owner is the thread's; 0, nobody in
 * particular, until it enters another. Any context.
 */
#define SHIM_OWNERS 64u
/* From now on this thread takes memory for `owner` (below SHIM_OWNERS). Returns the one before. */
uint32_t shim_owner_enter(uint32_t owner);
/* Back to the one before. */
void shim_owner_leave(uint32_t before);
/* The thread's, for an object that takes more memory later on other threads. */
uint32_t shim_owner(void);
/* Blocks taken for an owner and not given back, by whichever thread. */
size_t shim_owner_blocks(uint32_t owner);

/* ---------------------------------------------------------------- the hosts in this tree */

/* Threads, the monotonic clock, one timer thread. src/shim/posix. */
const struct shim_host *shim_posix_host(void);
/* Ends the posix timer thread; call after shim_fini(). */
void shim_posix_stop(void);

/*
 * Deterministic: one thread, a virtual clock that moves only in wait(), delay and
 * shim_det_run*(); same seed, same run. src/shim/det.
 */
const struct shim_host *shim_det_host(uint64_t seed);
/* Fire the next timer, moving the clock to it. False when none is armed. */
bool shim_det_step(void);
/* Fire timers until none is armed or the clock has passed until_ns. */
void shim_det_run(uint64_t until_ns);
/* The seeded generator: the only randomness a simulation may use. */
uint64_t shim_det_random(void);
/* Number of timers armed right now. */
unsigned shim_det_timers(void);
/* Set a tunable seen by tunable(); posix reads SCPAIR_<NAME> from the environment instead. */
void shim_det_tunable_set(const char *name, int64_t value);

SC_END_DECLS

#endif /* SCPAIR_SHIM_H */
