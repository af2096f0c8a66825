/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kservices.h - the AIX kernel services a device driver is written against.
 *
 * Written once on top of shim.h (src/shim/kern). scdisk uses nothing else, and what scdisk uses
 * a third-party head may use. The names and rules are AIX's where AIX publishes them; an entry
 * marked [ours] has no published counterpart.
 *
 * Environments: *process* (may sleep), *interrupt* (iodone routines, timers: never sleeps).
 */
#ifndef SYS_KSERVICES_H
#define SYS_KSERVICES_H

#include <sys/buf.h>
#include <sys/sclock.h>
#include <sys/sctypes.h>
#include <sys/scuio.h>

#include <sys/scknames.h> /* xmalloc() is sck_xmalloc() in the linker, and so on */

SC_BEGIN_DECLS

/* ------------------------------------------------------------------ the device switch */

/* devflag bits handed to open and ioctl entry points. */
#define DREAD   0x0001ul
#define DWRITE  0x0002ul
#define DNDELAY 0x0004ul
#define DAPPEND 0x0008ul
#define DKERNEL 0x0010ul /* the caller is in the kernel: arg is a kernel address */
#define DAUTH   0x0020ul /* a user's call, and the user may configure devices (AIX: dev_config) [ours] */

/* ddconfig commands. */
#define CFG_INIT 1
#define CFG_TERM 2
#define CFG_QVPD 3
#define CFG_GONE 32 /* the device was taken out while it is in use: see the driver's config entry [ours] */

/*
 * One driver's entry points. A missing one is NULL and answers ENODEV (a close, 0). Each
 * open/close/read/write/ioctl/config entry runs at process level; d_strategy at either.
 *
 * d_close is called when the last file of a device number is closed, and also when its first open
 * has failed: be prepared for a close of what is not open. d_open and d_close of one device number
 * never run at the same time. A driver with DEV_EACHCLOSE in d_opts instead gets one d_close for
 * every successful d_open, beside opens, and the struct file * as `chan` in d_open, d_close and
 * d_ioctl, so that it can tell its files apart; channame does not reach it.
 */
struct devsw {
    /* The six of an open device: first open, last close, read, write, ioctl, strategy. */
    int (*d_open)(devno_t devno, unsigned long devflag, long chan, int ext);
    int (*d_close)(devno_t devno, long chan);
    int (*d_read)(devno_t devno, struct uio *uiop, long chan, int ext);
    int (*d_write)(devno_t devno, struct uio *uiop, long chan, int ext);
    int (*d_ioctl)(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext);
    void (*d_strategy)(struct buf *bp);
    /* ddconfig: CFG_INIT, CFG_TERM. Without it a driver is configured by other means. */
    int (*d_config)(devno_t devno, int cmd, struct uio *uiop);
    int (*d_dump)(devno_t devno, struct uio *uiop, int cmd, intptr_t arg, long chan,
                  int ext);      /* system dump; NULL in this project */
    uint32_t d_opts;             /* DEV_* */
    uint32_t d_reserved0;        /* 0 */
    void (*d_reserved[6])(void); /* NULL: entry points to come */
};
#define DEV_MPSAFE    0x1u
#define DEV_EACHCLOSE 0x2u /* see above [ours] */
#define DEVSW_MAJORS  64u  /* majors 0..63 */

/*
 * Add or remove a driver under the major number of devno; the table is copied. Process.
 * 0; EEXIST (taken, or open files use it); EINVAL (major too large); ENODEV (nothing to remove).
 */
int devswadd(devno_t devno, const struct devsw *dswp);
int devswdel(devno_t devno);
/* The entry for a major, or NULL. Any environment. [ours; AIX: devswqry] */
const struct devsw *devsw_find(devno_t devno);

/*
 * Call the strategy routine of bp->b_dev. Never waits. b_dev and b_iodone must be set.
 * 0; ENODEV when the major is unknown or has no strategy routine (the buf is untouched); EINVAL
 * when b_iodone is missing.
 * Process or interrupt. Owner of bp afterwards: the driver, until b_iodone.
 */
int devstrat(struct buf *bp); /* devstrategy() is the same under its other published name */

/*
 * Several devstrat calls follow, says the thread between the two: a driver whose device likes to be told of
 * many requests at once may take them in and start them together. At kern_plug_end() it has, at the latest;
 * also when the thread sleeps in these services or calls fp_*, when a driver has enough, and when another
 * thread starts them. A request may so end after its devstrat call has returned where it would have ended
 * inside. Begin and end come in pairs on one stack, with nothing in between that waits by other means than
 * these services; a pair inside another pair does nothing. The structure is the caller's and needs no
 * initialisation. Any environment; no lock held at the end. [ours]
 */
struct kern_plug {
    /* What kern_plug_join() has been given. */
    struct kern_plug_call {
        void (*pc_func)(void *arg); /* the kernel's */
        void *pc_arg;               /* the kernel's */
    } kp_calls[4];                  /* the kernel's */
    uint32_t kp_ncalls;             /* the kernel's */
    uint32_t kp_inner;              /* the kernel's */
    uintptr_t kp_reserved[2];
};
void kern_plug_begin(struct kern_plug *plug);
void kern_plug_end(struct kern_plug *plug);
/*
 * For a driver: call func(arg) once when the calling thread's plug is pulled, at process or interrupt level,
 * no lock held. KERN_PLUG_OLD: that is so already. KERN_PLUG_NONE: the thread has no plug, or no room in it;
 * start the request now. Never waits; locks may be held. Any environment. [ours]
 */
#define KERN_PLUG_NONE 0
#define KERN_PLUG_NEW  1
#define KERN_PLUG_OLD  2
int kern_plug_join(void (*func)(void *arg), void *arg);

/* An open device, for kernel callers. */
struct file;
/*
 * Open, use and close a device. Process; EINVAL anywhere else, and nothing has happened then.
 * channame is handed to the driver as its chan. fp_opendev returns the driver's code, EINVAL for a
 * major nobody has, ENODEV when the driver cannot be opened, ENOMEM, EMFILE (4096 files are open in
 * the process). fp_ioctl passes DKERNEL: arg is a kernel address or a plain
 * word, and the errno is the return value. fp_rwuio reads or writes at uiop->uio_offset; EBADF when
 * not opened for it.
 * fp_ioctlx passes the devflag bits given instead (a user's ioctl: without DKERNEL, arg is a user
 * address, and DAUTH says that this user has authority). EBADF for a file that is not open.
 * fp_getdevno: SC_NODEV then.
 */
int fp_opendev(devno_t devno, unsigned long devflag, void *channame, int ext, struct file **fpp);
int fp_close(struct file *fp);
int fp_ioctl(struct file *fp, unsigned cmd, intptr_t arg, int ext);
int fp_ioctlx(struct file *fp, unsigned cmd, intptr_t arg, int ext, unsigned long devflag);
int fp_rwuio(struct file *fp, enum uio_rw rw, struct uio *uiop, int ext);
devno_t fp_getdevno(const struct file *fp);

/* ------------------------------------------------------------------ block I/O */

/*
 * A request is finished: sets B_DONE and runs bp->b_iodone, at once or, when iodone calls are
 * already nested SHIM_IODONE_NEST deep on this stack, as soon as the outermost returns. So a
 * completion that submits and completes another request never grows the stack. The caller must
 * hold no lock and not touch bp again. Any environment.
 */
void iodone(struct buf *bp);

/*
 * Wait for a request whose b_iodone is iodone_wakeup (or calls it). Process; no lock held; only
 * by whoever called strategy. 0, b_error, or EIO when B_ERROR is set without one.
 */
int iowait(struct buf *bp);
/* The usual b_iodone of a synchronous caller: wakes iowait. [ours] */
void iodone_wakeup(struct buf *bp);

/* ------------------------------------------------------------------ locks */

typedef struct simple_lock_data Simple_lock;

/*
 * Lock classes, in the order in which they may be nested: the class is the rank. A head of your
 * own uses LOCK_CLASS_DD; no lock may be held across strategy, devstrat, iodone or fp_*.
 */
#define LOCK_CLASS_DD_OPEN 20 /* SHIM_RANK_DD_OPEN: configuration, open, close */
#define LOCK_CLASS_DD      30 /* SHIM_RANK_DD_LUN: queues */
#define LOCK_ALLOC_PIN     1

/*
 * Prepare a lock. `name` is static text [ours: AIX has an occurrence number here]. Process.
 * 0; ENOMEM; EINVAL (class).
 */
int lock_alloc(Simple_lock *lock, int flags, int lock_class, const char *name);
/* Take it down; it must be free. Process. */
void lock_free(Simple_lock *lock);
/* For data that only processes use. */
static inline void simple_lock(Simple_lock *lock) { sc_lock_enter(lock); }
static inline void simple_unlock(Simple_lock *lock) { sc_lock_exit(lock); }
/* For data that completions use too. Returns the priority to give back. Any environment. */
#define INTMAX_PRI 0
#define INTIODONE  7
#define INTBASE    11
static inline int disable_lock(int priority, Simple_lock *lock)
{
    sc_lock_enter(lock);
    return priority;
}
static inline void unlock_enable(int old, Simple_lock *lock)
{
    (void)old;
    sc_lock_exit(lock);
}
/* For assertions: true when the caller holds it, or nobody can tell. [ours] */
bool lock_mine(const Simple_lock *lock);

/* ------------------------------------------------------------------ sleeping */

typedef SC_ATOMIC(uint32_t) event_t; /* EVENT_NULL when initialised */
#define EVENT_NULL       0u          /* nobody waits, no wakeup is remembered */
#define EVENT_SHORT      0           /* flags: not to be interrupted */
#define EVENT_SIGRET     1           /* flags: a signal may end it; the same here */
#define THREAD_AWAKENED  1           /* result: woken */
#define THREAD_TIMED_OUT 2           /* result: the limit passed */

/*
 * Sleep until e_wakeup(word). `lock` (may be NULL) is dropped while asleep. A wakeup that came
 * after the last sleep is remembered, so check your condition in a loop. Process.
 */
int e_sleep_thread(event_t *word, Simple_lock *lock, int flags);
/* The same with a limit in nanoseconds from now: THREAD_AWAKENED or THREAD_TIMED_OUT. [ours] */
int e_timedsleep(event_t *word, Simple_lock *lock, uint64_t ns);
/* Wake everybody who sleeps on word. Any environment. */
void e_wakeup(event_t *word);

/*
 * A function that everybody who sleeps in these services calls now and then, for a device that
 * cannot interrupt: it looks for completions. Called at process level with no lock held, by several
 * threads at once. `po_func` and `po_arg` are the caller's; the structure stays where it is until it
 * is removed, which waits until nobody is in po_func. Process. [ours]
 */
struct kern_poller {
    void (*po_func)(void *arg);  /* looks for completions */
    void *po_arg;                /* handed to it */
    struct kern_poller *po_next; /* the kernel's */
    uint32_t po_busy;            /* the kernel's */
    uint32_t po_removed;         /* the kernel's */
    uintptr_t po_reserved[2];
};
void kern_poller_add(struct kern_poller *p);
void kern_poller_remove(struct kern_poller *p);

/* True at process level: sleeping and user memory are allowed. [ours] */
bool kern_at_process_level(void);
/* A number that is the calling thread's own while it lives; never 0. */
uint64_t thread_self(void);

/* ------------------------------------------------------------------ timers */

/* Watchdog: whole seconds. Published fields. */
struct watchdog {
    struct watchdog *next;            /* the kernel's */
    struct watchdog *prev;            /* the kernel's */
    void (*func)(struct watchdog *w); /* runs at interrupt level, once, count seconds after w_start */
    uint16_t count;                   /* the kernel's: seconds at w_start, 0 when over; not counted down */
    uint16_t restart;                 /* seconds w_start begins with */
    void *w_trb;                      /* the kernel's */
    uintptr_t w_reserved[2];          /* 0 */
};
/*
 * w_init: process, 0 or ENOMEM; leaves it stopped. w_start, w_stop: any. w_clear: process; -1 if
 * func runs now, on another thread.
 */
int w_init(struct watchdog *w);
void w_start(struct watchdog *w);
void w_stop(struct watchdog *w);
int w_clear(struct watchdog *w);

/* Fine timer. `func` runs at interrupt level with no lock held. */
struct trb {
    void (*func)(struct trb *t); /* what to run */
    void *func_data;             /* the owner's */
    uint64_t timeout_ns;         /* from tstart */
    void *t_host;                /* the kernel's */
    uintptr_t t_reserved[2];
};
/* talloc: process, NULL without memory. tstart: arms, or moves when armed; 0 or the host's errno. Any. */
struct trb *talloc(void);
int tstart(struct trb *t);
/*
 * tstop: 0 it will not run, 1 it was not armed, -1 it is running right now on another thread (from func
 * itself: 1, or 0 when it has been started again). Any. tfree: process; stopped.
 */
int tstop(struct trb *t);
void tfree(struct trb *t);
/* Monotonic nanoseconds. Any. [ours] */
uint64_t kern_now_ns(void);

/* ------------------------------------------------------------------ memory and user memory */

#define PINNED_HEAP 1 /* heap: memory that is never paged out, which is all there is */
/* Zeroed memory aligned to 1 << align_log2 (at most a page), or NULL. At configuration only. Never sleeps. */
void *xmalloc(size_t size, int align_log2, int heap);
/* Give it back. */
int xmfree(void *p, int heap);

/*
 * User copies for ioctl routines. When devflag has DKERNEL both addresses are kernel addresses.
 * Process. 0; EFAULT.
 */
int kcopyin(intptr_t uaddr, void *kaddr, size_t n, unsigned long devflag);
int kcopyout(const void *kaddr, intptr_t uaddr, size_t n, unsigned long devflag);

/* ------------------------------------------------------------------ errors, traces, attributes */

/*
 * One error-log record. `er_detail` follows AIX's printed order: CDB length, target, LUN, CDB
 * (16), validity, SCSI status, adapter status, sense bytes.
 *
 * What happens again and again is one record with a count [ours]: an entry counts in an older
 * record when er_resource, er_id, er_temp, er_errno and er_text are the same and no more than
 * ERRLOG_AGAIN_NS lie between the two. So what differs from block to block does not belong in the
 * text: blocks have fields. The record keeps the detail of its first entry.
 */
#define ERR_RESOURCE_MAX 16
#define ERR_DETAIL_MAX   96
#define ERR_TEXT_MAX     120
struct err_rec {
    uint32_t er_id;                     /* ERRID_* */
    uint8_t er_temp;                    /* 1 TEMP: recovered; 0 PERM */
    uint8_t er_detail_bytes;            /* of er_detail in use */
    uint16_t er_errno;                  /* what the caller got; 0 */
    uint64_t er_when_ns;                /* set by errsave: the last entry counted, by kern_now_ns */
    uint64_t er_seq;                    /* set by errsave: the number of that entry, 1, 2, 3 ... */
    char er_resource[ERR_RESOURCE_MAX]; /* "hdisk0" */
    char er_text[ERR_TEXT_MAX];         /* one line: what was seen, which rule fired, what was done */
    uint8_t er_detail[ERR_DETAIL_MAX];  /* in the order above */
    uint64_t er_low;                    /* the blocks it is about: the first, and */
    uint64_t er_end;                    /* one past the last; 0 for none. Of a record: all its entries' */
    uint64_t er_first_ns;               /* set by errsave: the first entry counted */
    uint64_t er_first_seq;              /* set by errsave: its number; the record keeps it as its name */
    uint64_t er_count;                  /* set by errsave: how many entries the record stands for */
    uint64_t er_reserved[4];
};
enum {
    ERRID_SCSI_ERR1 = 0x5c510001, /* adapter hardware, permanent */
    ERRID_SCSI_ERR2,              /* adapter hardware, potentially catastrophic */
    ERRID_SCSI_ERR3,              /* microcode, permanent */
    ERRID_SCSI_ERR4,
    ERRID_DISK_ERR1 = 0x5c510101, /* permanent medium failure */
    ERRID_DISK_ERR2,              /* device not responding */
    ERRID_DISK_ERR3,              /* equipment */
    ERRID_DISK_ERR4,              /* temporary: recovered, retried */
    ERRID_DISK_INFO               /* worth a line: mode changed, attention */
};
#define ERRLOG_RECORDS  256u /* records the log keeps */
#define ERRLOG_AGAIN_NS 60000000000ull
/*
 * Append to the error log, or count in a record like it. When the log is full, the record goes whose
 * last entry is the oldest. Any environment, no lock of rank KERN or above held.
 */
void errsave(struct err_rec *rec, size_t len);
/*
 * Copy up to max records with er_seq > after_seq, by rising er_seq; returns how many. A record in
 * which another entry was counted has that entry's er_seq and so comes again: a follower that
 * passes the last er_seq it got sees each new record and each new count, and knows by er_first_seq
 * which record it is. Entries are lost to it only where records have gone: when the counts it has
 * seen grow by less than er_seq did. [ours] Any.
 */
unsigned errlog_read(uint64_t after_seq, struct err_rec *out, unsigned max);

/*
 * One record of the trace, and how the trace stands [ours]. Hooks, their macros and the hook words of
 * the pair are in <sys/trchkid.h>.
 */
struct trc_rec {
    uint64_t tr_seq;    /* 1, 2, 3 ... since trc_start(); times rise with it */
    uint64_t tr_ns;     /* kern_now_ns() */
    uint64_t tr_thread; /* thread_self() of who called the hook */
    uint32_t tr_hook;   /* the hook word */
    uint32_t tr_reserved;
    uint64_t tr_data[5]; /* the data words; 0 where the hook has none */
};
struct trc_status {
    uint32_t ts_on;      /* 1: a trace runs */
    uint32_t ts_records; /* the ring holds; 0: there has been no trace */
    uint64_t ts_seq;     /* number of the newest record */
    uint64_t ts_lost;    /* records that have been overwritten */
    uint64_t ts_reserved[4];
};
#define TRC_RECORDS_MIN     16u
#define TRC_RECORDS_MAX     (1u << 20) /* 72 MiB */
#define TRC_RECORDS_DEFAULT (1u << 16)
/*
 * Start a trace of the process with a ring of that many records; the last one is forgotten. EBUSY: one
 * runs; EINVAL: too small or large; ENOMEM. trc_stop() ends it and keeps the records until the next
 * start, or kern_fini(). Process. [ours]
 */
int trc_start(uint32_t records);
void trc_stop(void);
/*
 * Copy up to max records with tr_seq > after_seq, by rising tr_seq, while it runs or afterwards; returns
 * how many. A gap is what has been overwritten: before the first one, or, while it runs, between any two.
 * Any. [ours]
 */
unsigned trc_read(uint64_t after_seq, struct trc_rec *out, unsigned max);
void trc_query(struct trc_status *out);

/* Format text as shim_format does, for er_text. [ours] Any. */
int kern_format(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* An administrator's number by name, read once at configuration. [ours] Process. */
int64_t kern_tunable(const char *name, int64_t dflt);

/* Our own bug: on in release. The caller's bug is returned as an errno instead. */
SC_NORETURN void kern_assert_failed(const char *what, const char *file, int line);
#define KASSERT(cond)                                                                                        \
    do {                                                                                                     \
        if (SC_UNLIKELY(!(cond)))                                                                            \
            sck_assert_failed(#cond, __FILE__, __LINE__);                                                    \
    } while (0)

/*
 * Start and stop the services; called by whoever owns the process, after shim_init() and before
 * shim_fini(). kern_init: 0, ENOMEM, ENXIO when no host is installed. kern_fini: everything closed and
 * removed from the switch.
 */
int kern_init(void);
void kern_fini(void);

SC_END_DECLS

#include <sys/scknames.h> /* once more: see there */

#endif /* SYS_KSERVICES_H */
