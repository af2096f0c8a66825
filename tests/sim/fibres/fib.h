/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib.h - whole-stack runs with several callers, each a fibre: what the files of scpair-sim share.
 *
 * A run is a function of its seed: the seed chooses the world (adapters, disks, what callers there are,
 * whether and how the bus misbehaves) and the strategy that says who goes on. Each caller knows what it did
 * and what must be true of it; what several of them could disagree about (a block two of them write) is not
 * done.
 *
 * Contents: fib_swarm.c what a seed chooses; fib_world.c a run from building to taking down, time limits,
 * final checks; fib_memory.c buffers and shadows; fib_chain.c chains to strategy; fib_raw.c raw I/O and
 * ioctls; fib_limit.c how long
 * things may take; fib_head.c and fib_request.c a head of its own on an adapter; fib_hot.c an adapter that
 * comes and goes; fib_chip.c a chip without room; fib_cmds.c commands besides READ and WRITE; fib_guest.c
 * somebody else on a head's LUN; fib_idle.c what
 * is held while nothing is under way; fib_blame.c bad blocks and who is blamed; fib_life.c opening, closing,
 * configuring; fib_faults.c misbehaviour; fib_batch.c many seeds; fib_main.c the command line.
 */
#ifndef FIB_H
#define FIB_H

#include "../schedule.h"

#include "adapter/sim/sim.h"

#include <scpair/scpair.h>
#include <scpair/shim.h>

#define FIB_ADAPTERS_MAX 2u
#define FIB_DISKS_MAX    12u /* three per adapter with data, and the callers' own */
#define FIB_CALLERS_MAX  6u
#define FIB_SLOTS        16u /* bufs of one caller under way */
#define FIB_SECTOR       512u
#define FIB_REGION_MAX   (40u * SC_PAGE_SIZE) /* of a disk, for one caller */
#define FIB_CELL_BYTES                                                                                       \
    (8u * SC_PAGE_SIZE) /* memory of one slot, with a page that nobody may touch in front */
#define FIB_BIG_BYTES (FIB_REGION_MAX + 8u * SC_PAGE_SIZE)
#define FIB_HEAD_REQS 8u

#define FIB_LIMIT_GOOD_NS 5000000000u /* a request, an ioctl, an open, a close, when nothing misbehaves */
#define FIB_LIMIT_FAULT_NS                                                                                   \
    900000000000u /* all timeouts and retries that the drivers publish, one after the other */

struct fib_rng {
    uint64_t state;
};
uint64_t fib_random(struct fib_rng *r);
uint32_t fib_below(struct fib_rng *r, uint64_t n);
bool fib_percent(struct fib_rng *r, unsigned percent);

/* ---------------------------------------------------------------- disks */

enum fib_role {
    FIB_DISK_DATA, /* chains, raw I/O and ioctls; a region for each caller */
    FIB_DISK_LIFE, /* opened, closed, configured */
    FIB_DISK_HEAD  /* never configured open: somebody speaks to the adapter himself */
};

/* What is known of a sector. */
enum { FIB_SURE, FIB_UNSURE, FIB_ORDERED /* written twice, and the second counts */ };

struct fib_disk {
    enum fib_role dk_role;
    devno_t dk_devno, dk_adapter;
    struct sim_disk *dk_sim;
    uint64_t dk_bytes;
    uint32_t dk_region; /* bytes of one caller */
    uint32_t dk_block;
    uint8_t dk_id, dk_lun;
    bool dk_going; /* it is being pulled out; */
    bool dk_gone;  /* has been, and then dk_sim is NULL */
    uint64_t dk_gone_ns;
    bool dk_cached;     /* its cache may hold what was written; with w_watched */
    uint8_t *dk_shadow; /* dk_bytes */
    uint8_t *dk_state;  /* per sector: FIB_SURE ... */
};

/* ---------------------------------------------------------------- callers */

enum fib_kind { FIB_CHAIN, FIB_RAW, FIB_HEAD, FIB_HOT, FIB_OPENER, FIB_CONFIGURER, FIB_KINDS };
extern const char *const fib_kind_names[FIB_KINDS];

struct fib_slot {
    struct buf sl_buf;
    struct fib_caller *sl_caller;
    bool sl_busy;
    bool sl_ended; /* of a pair: done, the other one is not */
    bool sl_big;   /* its memory is the caller's large buffer */
    unsigned sl_disk;
    struct fib_slot *sl_pair;   /* the other of two writes to one place */
    bool sl_second;             /* sent after it */
    bool sl_after;              /* and after it had come back */
    bool sl_refused;            /* the disk had gone before it was sent */
    size_t sl_beyond;           /* bytes that lie behind the end of the disk */
    uint64_t sl_since, sl_naps; /* when it was sent */
    uint8_t *sl_cell;
};

struct fib_head; /* fib_head.c */

struct fib_caller {
    enum fib_kind c_kind;
    unsigned c_index;
    char c_name[24];
    struct fib_rng c_rng;
    struct shim_thread c_thread;
    struct shim_event c_event; /* something of ours has ended */
    unsigned c_steps;
    unsigned c_disk; /* opener, configurer, head: which */
    /* How it behaves. */
    unsigned c_chain_max, c_resubmit, c_sequential, c_pairs, c_bigs;
    bool c_tight; /* its buffers are neighbours in memory */
    /* The run. */
    struct file *c_files[FIB_DISKS_MAX];
    struct fib_slot c_slots[FIB_SLOTS];
    unsigned c_outstanding, c_resubmits;
    bool c_draining;
    bool c_big;                                                   /* its large buffer is in use */
    uint8_t c_claims[FIB_DISKS_MAX][FIB_REGION_MAX / FIB_SECTOR]; /* readers, or 255: a writer */
    /* What it sleeps in, if anything. */
    const char *c_doing;
    uint64_t c_since, c_naps;
    uint64_t c_requests, c_errors;
    unsigned c_dawdlers;  /* its iodone routines that stay */
    uint64_t c_stayed_ns; /* when the last of them went */
};

/* ---------------------------------------------------------------- the world */

struct fib_world {
    uint64_t w_seed;
    struct fib_rng w_rng;
    /* The swarm's choice. */
    struct scp_disk_spec w_disk_specs[FIB_DISKS_MAX];
    struct scp_adapter_spec w_adapter_specs[FIB_ADAPTERS_MAX];
    struct scp_spec w_spec;
    unsigned w_ndisks, w_ncallers, w_phases;
    uint32_t w_faults; /* bit per enum sim_fault_action, and FIB_FAULT_* */
    unsigned w_fault_steps;
    bool w_slow;         /* the strategy takes fibres off their processor: commands may meet their timeout */
    bool w_watched;      /* what reaches the disks is looked at: no command takes the short way inside them */
    bool w_rush;         /* taken down without a pause for whoever is still inside */
    bool w_configured;   /* somebody takes a disk away and back */
    uint32_t w_openings; /* commands of one LUN at the device; 256 and there are not enough for all LUNs */
    /* In fib_chip.c: per cent of the commands for which the chip has no room, and of the maps that have to
     * wait; the most pieces a map may have, or 0. */
    unsigned w_busy, w_later, w_pieces;
    /* And of the commands that end well inside start() whose residual is wrong, of aborts that do nothing,
     * and whether there is now and then no room for long. */
    unsigned w_wrong, w_deaf;
    bool w_long_busy;
    /* Commands that the chip loses: FIB_LOST_*. */
    unsigned w_lost;
    bool w_bad;     /* some blocks are, and nothing else */
    bool w_dawdles; /* heads stay in their iodone routines for a while */
    bool w_threads; /* the adapters have threads of their own */
    bool w_pends;   /* of some adapter no command ends where it is sent */
    unsigned w_dawdlers;
    uint64_t w_limit_ns;
    /* The run. */
    struct scp *w_pair;
    struct scp *w_keeper; /* host and services stay while the pair goes */
    struct fib_disk w_disks[FIB_DISKS_MAX];
    struct fib_caller w_callers[FIB_CALLERS_MAX];
    struct fib_head *w_heads[FIB_CALLERS_MAX];
    uint64_t w_naps;     /* virtual time that fibres were kept off their processor */
    uint64_t w_nap_end;  /* when the last of them is back */
    uint64_t w_found_ns; /* when a chip has found what it had lost */
    uint64_t w_rules;    /* faults set */
    bool w_cleared;      /* faults are over */
};
/* Until a reset of the bus; or for longer than that, on a head's own disk. */
enum { FIB_LOST_NONE, FIB_LOST_RESET, FIB_LOST_LONG };
#define FIB_FAULT_ATTENTION (1u << 24)
#define FIB_FAULT_RESET     (1u << 25)
#define FIB_FAULT_HALT      (1u << 26)
#define FIB_FAULT_BUS       (1u << 27) /* somebody resets the bus */
#define FIB_FAULT_FOREIGN   (1u << 28) /* another initiator does something to a disk */
#define FIB_FAULT_MEMORY    (1u << 29) /* an allocation fails */
#define FIB_FAULT_TIMER     (1u << 30) /* a timer cannot be armed */
#define FIB_FAULT_WILD      (1u << 31) /* whoever may sends what changes the disk for everybody */
#define FIB_FAULT_UNPLUG    (1u << 23) /* a disk in use is pulled out, and another one comes */
#define FIB_FAULT_LIE       (1u << 22) /* a disk says nonsense of itself */
#define FIB_FAULT_BITS      32u
_Static_assert(SIM_FAULT_COUNT <= 22u, "a bit for each");
extern struct fib_world fib_world;

/* Kinds of failure that are not looked for: where a fault is known, what is behind it can be seen. */
#define FIB_WITHOUT_MAX 16u
extern const char *fib_without[FIB_WITHOUT_MAX];
bool fib_looked_for(const char *kind);
/* Is it one of those that can be left out? */
bool fib_can_do_without(const char *kind);
/* Is it a kind of failure at all? */
bool fib_is_kind(const char *kind);
/* A number of 64 bits at the beginning of a text. Where it ends; NULL: there is none. */
const char *fib_number(const char *text, uint64_t *out);
#define FIB_CHECK(kind, cond, ...)                                                                           \
    do {                                                                                                     \
        if (!(cond) && fib_looked_for(kind))                                                                 \
            sched_fail(kind ": " __VA_ARGS__);                                                               \
    } while (0)

/* Errors are possible. */
static inline bool fib_trouble(void)
{
    return fib_world.w_faults != 0 || fib_world.w_slow || fib_world.w_lost != FIB_LOST_NONE ||
           fib_world.w_bad || fib_world.w_wrong != 0 || fib_world.w_deaf != 0;
}
/* Nothing happens but what costs a request no try: QUEUE FULL, unit attentions, and a little time. */
static inline bool fib_free_of_charge(void)
{
    const uint32_t free = 1u << SIM_FAULT_QUEUE_FULL | 1u << SIM_FAULT_DELAY | FIB_FAULT_ATTENTION;

    return fib_world.w_faults != 0 && (fib_world.w_faults & ~free) == 0 && !fib_world.w_slow &&
           fib_world.w_lost == FIB_LOST_NONE && fib_world.w_wrong == 0;
}
/* One of those a misbehaving bus may cause, to who asked for something valid. */
bool fib_plausible(int error);
/* And of an open, which may meet half an answer about what the device is. */
static inline bool fib_open_plausible(int error)
{
    return fib_plausible(error) || error == ENODEV || error == EINVAL;
}

/* fib_swarm.c */
void fib_choose(struct fib_world *w, uint64_t seed);
void fib_choose_schedule(struct sched *s, uint64_t seed);
void fib_describe(const struct fib_world *w, const struct sched *s);

/* fib_world.c */
extern const struct sched_program fib_program;
extern bool fib_tracing; /* a line a point */
extern bool fib_telling; /* say what the world is made of */
/* Sleep until something of this caller's ends. */
void fib_sleep(struct fib_caller *c);
/* This fibre begins and ends to look at what is the caller's: around its iodone routines, strategy and
 * sleeps. */
void fib_enter(const struct fib_caller *c);
void fib_leave(const struct fib_caller *c);
/*
 * A thread inside strategy. Once everything is back and the LUN given back, nothing there is its business:
 * it may only be on its way out.
 */
struct fib_inside {
    const struct shim_lock *in_lock; /* of the LUN */
    const unsigned *in_ends;         /* how often such a LUN has been given back */
    unsigned in_end;                 /* and when the thread went in */
};
/* This fibre goes into strategy, or has come out. Inside another one's iodone the outer one counts. */
void fib_inside(const struct fib_inside *in, bool enters);
/* The adapter driver's own walk over every LUN. Any time, no lock held. */
void fib_look(void);
/* The first word of what went wrong. */
const char *fib_failure_kind(const char *text);

/* fib_limit.c */
void fib_limits_begin(const struct det_strategy *st);
void fib_limits(void);
/* The caller is about to sleep in something that has a limit; NULL: it has come back. */
void fib_doing(struct fib_caller *c, const char *what);
/* What w_naps would be had each nap been counted as it passes: from where to count on. */
uint64_t fib_naps(void);
/* A request is under way: its sc_buf, if it is one, and since when. Fails when that is too long. */
void fib_late_request(const struct fib_caller *c, const struct sc_buf *sb, uint64_t since, uint64_t naps);
/* The same of one that only a thread in iodone can hold up. */
void fib_late_starved(const struct fib_caller *c, uint64_t since, uint64_t naps);
/* At the end of an iodone routine. */
void fib_dawdle(struct fib_caller *c);

/* fib_memory.c */
void fib_memory_prepare(struct fib_world *w);
uint8_t *fib_cell(const struct fib_caller *c, unsigned slot);
uint8_t *fib_big(const struct fib_caller *c);
void fib_fill(struct fib_rng *r, uint8_t *p, size_t bytes);
bool fib_claim(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes);
void fib_unclaim(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes);
/* A write has ended having moved the first `moved` bytes. */
void fib_written(unsigned disk, uint64_t off, const uint8_t *data, size_t bytes, size_t moved);
void fib_compare(const char *who, unsigned disk, uint64_t off, const uint8_t *data, size_t moved);
/* Nobody has written beside the data. */
void fib_guard_set(uint8_t *data, size_t bytes);
void fib_guard_check(const char *who, const uint8_t *data, size_t bytes);
void fib_compare_all(struct fib_world *w, unsigned disk, struct file *fp);

/* The callers: from opening to closing. */
void fib_chain_run(void *arg);
void fib_raw_run(void *arg);
void fib_head_run(void *arg);
void fib_hot_run(void *arg);
void fib_opener_run(void *arg);
void fib_configurer_run(void *arg);
void fib_life_prepare(struct fib_world *w);
/* In a rush a head's other thread may still be on its way out of strategy when the pair goes. */
void fib_head_join(struct fib_caller *c);
void fib_open_data(struct fib_caller *c);
void fib_close_data(struct fib_caller *c);
/* A disk that has a region of this caller's; FIB_DISKS_MAX: none. */
unsigned fib_data_disk(struct fib_caller *c);
/* fib_guest.c: one thing somebody else does to a LUN, with the adapter open as fp. */
void fib_guest_act(struct fib_caller *c, struct file *fp, const struct fib_disk *d);
/* How often a head that has asked to be told of resets of this adapter was told, and 1; 0: it has not. */
unsigned fib_head_told(const struct fib_caller *c, devno_t adapter);
/* How long a head's oldest request has been under way; fails when too long. */
void fib_head_limits(const struct fib_caller *c);
/* The same of the adapter that comes and goes. */
void fib_hot_limits(const struct fib_caller *c);

/* fib_chip.c: stand between the adapter driver and the bus, if the seed wants it, and go away. */
void fib_chip_between(devno_t devno, uint64_t seed);
void fib_chip_away(devno_t devno);
/* Has a chip lost the command of this request, and not given it back? */
bool fib_chip_keeps(const struct sc_buf *sb);

/* fib_blame.c: bad blocks on the disks with data, if the seed wants them; and how a request to one of them
 * ended, without what lies beyond its end; whether what it has moved is told to the block. */
void fib_blame_prepare(struct fib_world *w);
void fib_blame(const char *who, unsigned disk, uint64_t off, size_t bytes, int error, size_t moved,
               bool exact);
/* fib_idle.c: nothing is under way on this disk, which is open. */
void fib_idle(const struct fib_world *w, unsigned disk);

/* fib_cmds.c: a well-formed command, and how much data goes which way. */
struct fib_cdb {
    uint8_t cd_cdb[16];
    uint8_t cd_length;
    bool cd_in;
    uint32_t cd_bytes; /* at most two blocks */
};
/* Any; `data` gets what goes out. Some change the disk for everybody. */
void fib_cdb_choose(struct fib_rng *r, const struct fib_disk *d, struct fib_cdb *c, uint8_t *data);
/* WRITE SAME of one block; COMPARE AND WRITE of one: the block that is there, and the one to be. */
void fib_cdb_same(const struct fib_disk *d, uint64_t lba, uint32_t blocks, struct fib_cdb *c);
void fib_cdb_compare(const struct fib_disk *d, uint64_t lba, struct fib_cdb *c);
/* Another initiator reserves the disk, stops its motor, changes its mode ...; and takes all of that back. */
void fib_foreign(struct fib_rng *r, const struct fib_disk *d);
void fib_foreign_over(const struct fib_disk *d);

/* fib_faults.c */
void fib_faults_choose(struct fib_world *w);
void fib_faults_run(void *arg);
void fib_faults_clear(struct fib_world *w);

/* fib_batch.c */
struct fib_batch {
    uint64_t b_first, b_last;
    unsigned b_jobs;
    bool b_json, b_progress;
    const char *b_known; /* file of failures that are expected, or NULL */
    const char *b_file;  /* file of seeds to run instead of a range, or NULL */
};
int fib_batch_run(const struct fib_batch *b);
/* One seed in this process's child. */
bool fib_seed_run(uint64_t seed, struct sched *s, bool story);

#endif /* FIB_H */
