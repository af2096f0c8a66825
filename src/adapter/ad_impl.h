/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_impl.h - the adapter core's private structures, limits and functions.
 *
 * Contains what the ad_*.c files share. Outline: limits, states, one command (struct ad_cmd), one
 * LUN (struct ad_lun), one adapter (struct ad_adapter), then the functions, file by file.
 *
 * Does not contain: the chip's view (scpair/ad_hw.h), the sc_buf contract (sys/scsi.h), and why the
 * queue works as it does (the head of ad_queue.c).
 */
#ifndef AD_IMPL_H
#define AD_IMPL_H

#include <scpair/ad_hw.h>
#include <scpair/shim.h>
#include <stdatomic.h>
#include <sys/kservices.h>
#include <sys/scsched.h>
#include <sys/scsi.h>
#include <sys/sctypes.h>
#include <sys/trchkid.h>

/* ---------------------------------------------------------------- limits, with their reasons */

#define AD_MINORS_MAX       32u  /* adapters per process: the table is static and read without a lock */
#define AD_OPENINGS_MAX     256u /* a tag message carries one byte */
#define AD_OPENINGS_DEFAULT 64   /* tunable ad_openings: the depth the memory budget is stated for */
#define AD_SEGS_INLINE      8u   /* segments inside every command: enough for raw I/O and short spans */
#define AD_SEGS_LONG        258u /* 1 MiB in pages, and one part page at either end */
#define AD_LONG_LISTS       8u   /* long lists per LUN: long spans are few because they are long */
#define AD_BOUNCES          1u /* software gathers under way at once, per adapter: each is a whole transfer */

#define AD_NS_PER_MS         1000000ull
#define AD_NS_PER_S          1000000000ull
#define AD_STAGE_NS          (5 * AD_NS_PER_S)  /* what a chip gets to bring a command back, per rung */
#define AD_ADAPTER_NS        (10 * AD_NS_PER_S) /* what it gets to begin anew */
#define AD_LOST_NS           (60 * AD_NS_PER_S) /* between bus resets once everything has been tried */
#define AD_SETTLE_DEFAULT_MS 250                /* tunable ad_settle_ms: from reset to selection */
#define AD_SETTLE_MAX_MS     5000
#define AD_RETRY_NS          (10 * AD_NS_PER_MS) /* backstop after AD_HW_BUSY or a map that must wait */
#define AD_POLL_NS           AD_NS_PER_MS        /* a chip without interrupts, when nobody waits */
#define AD_STOP_WAIT_NS      (30 * AD_NS_PER_S)  /* SCIOSTOP: patience before it aborts */
#define AD_ICMD_TIMEOUT_S    30u                 /* commands of SCIOINQU, SCIOTUR */
#define AD_DELAY_DEFAULT_MS  1000                /* tunable ad_delay_ms: what SC_DELAY_CMD means */
#define AD_BATCH             32u                 /* commands started between two looks at the queue */
#define AD_POLL_BUDGET       32u                 /* commands a chip hands back at one question */
#define AD_UNSENT_MAX        4u /* undelivered ones in a row, then the LUN waits for AD_RETRY_NS */

#define AD_FREEZE_NS       (120 * AD_NS_PER_S) /* four times the longest of our own: it is forgotten */
#define AD_QUARANTINE_NS   (1 * AD_NS_PER_S) /* a tag whose command was aborted rests */
#define AD_GUARD_NS        (2 * AD_NS_PER_S) /* overtaken for so long: an ORDERED tag follows */
#define AD_GUARD_PARTS     4u                /* or for such a part of its time, if that is less */
#define AD_LIMIT_UP_NS     (1 * AD_NS_PER_S)  /* between two raises of a LUN's limit */
#define AD_LIMIT_UP_MAX_NS (64 * AD_NS_PER_S) /* where it is full at the same depth again */

#define AD_DONE_THREADS_MAX 16u /* tunable ad_done_threads */

#define AD_LANE_OPEN   0x80000000u
#define AD_LANE_SLOTS  31u /* slots in the lane: one per thread inside start() is enough */
#define AD_LANE_WORDS  4u  /* cache lines they are spread over: threads at once that do not share one */
#define AD_LANE_WORD_0 0x11111111u /* the slots of the first; those of the next are to the left of them */
#define AD_LANE_STREAK 32u         /* commands that must end inside start() before the lane is opened again */

/* ---------------------------------------------------------------- states */

/* State of one LUN's queue; the machine is in ad_queue.c, the legal moves in ad_check.c. */
enum ad_lun_state {
    AD_LUN_STOPPED = 0, /* before SCIOSTART */
    AD_LUN_RUN,
    AD_LUN_HALT,     /* queue empty, waits for SC_RESUME */
    AD_LUN_KEEP,     /* queue kept after a tagged CHECK CONDITION, waits for the device driver */
    AD_LUN_REC,      /* the one recovery command is under way */
    AD_LUN_REC_DONE, /* it went well: another, SC_Q_CLR or SC_Q_RESUME must follow */
    AD_LUN_STOPPING, /* SCIOSTOP waits for what is left */
    AD_LUN_STATES
};

/* Where one command structure is. */
enum ad_cmd_state {
    AD_CMD_FREE = 0,
    AD_CMD_STARTING, /* inside start(), or on the way there */
    AD_CMD_PENDING,  /* start() has said so; the chip owns it */
    AD_CMD_DONE      /* the chip has given it back; whoever set this, or holds a pin, completes it */
};

/* cmd_flags */
#define AD_CMD_CANCEL     0x01u /* wanted back: ENXIO unless it ends by itself */
#define AD_CMD_WANT_ABORT 0x02u /* abort() is still to be called */
#define AD_CMD_TIMED_OUT  0x04u
#define AD_CMD_REC        0x08u /* the recovery command of AD_LUN_REC */
#define AD_CMD_ORDERED    0x10u /* nothing may be on its way to the chip beside it */
#define AD_CMD_UNTAGGED   0x20u
#define AD_CMD_REFUSED    0x40u  /* never reached the chip: cmd_errno says why */
#define AD_CMD_FROM_LANE  0x80u  /* was in the lane when it was closed */
#define AD_CMD_SENSE      0x100u /* with AD_CMD_REC: an ioctl's REQUEST SENSE, which is no recovery */
#define AD_CMD_HIT        0x200u /* was at the chip when it was asked for a reset: has to come back */
#define AD_CMD_EARLY      0x800u /* starting, and the chip has given it back: its starter ends it */
#define AD_CMD_TAKEN      0x400u /* the core says how it ended, and not the chip: taken back, or never sent */

/* cmd_stage: how far a command has got that must come back. */
#define AD_STAGE_ABORT   1u /* abort() has been or will be called */
#define AD_STAGE_OVERDUE 2u /* to no avail: the adapter's recovery has it (ad_recover.c) */

/* lun_gate: reasons not to take the head of the queue. */
#define AD_GATE_CANCEL   0x01u /* commands are being taken back */
#define AD_GATE_HW       0x02u /* the chip or the mapper has no room */
#define AD_GATE_HOLD     0x04u /* an ioctl's command failed and its sense is being fetched */
#define AD_GATE_UNTAGGED 0x08u /* an untagged command is at the device */
#define AD_GATE_ORDERED  0x10u /* an ordered command is on its way to the chip */
#define AD_GATE_SEGS     0x20u /* no long segment list */
#define AD_GATE_FROZEN   0x40u /* the chip says so: an error is on its way to us, or with its owner */
#define AD_GATE_RESET    0x80u /* in the scope of a reset */
#define AD_GATE_TELL                                                                                         \
    0x100u /* an error that the LUN's thread tells, or an event, is on its way to its owner */
#define AD_GATE_GROW 0x200u /* the chip is being asked for more room */

/* lun_offline: why its requests end at once. */
#define AD_OFF_LUN     0x01u /* it kept a command until the adapter was reset */
#define AD_OFF_ADAPTER 0x02u /* the adapter is cut off */

struct ad_lun;
struct ad_adapter;

/* ---------------------------------------------------------------- one command */

/* A slot of the LUN's command array; its index is the tag (NB-09). Fields the good path uses come first. */
struct ad_cmd {
    struct ad_xfer cmd_xfer; /* what the chip sees; id, lun, tag, map set once at SCIOSTART */
    struct sc_buf *cmd_sb;
    struct ad_lun *cmd_lun;
    uint8_t cmd_state;  /* enum ad_cmd_state */
    uint8_t cmd_stage;  /* AD_STAGE_*, 0 none */
    uint16_t cmd_flags; /* AD_CMD_* */
    uint16_t cmd_slot;
    uint16_t cmd_long;            /* 1 + index of the long segment list, 0 none */
    uint32_t cmd_seq;             /* order of acceptance on this LUN */
    _Atomic size_t cmd_lane_done; /* commands ended in the lane; written by the slot's owner only */
    int32_t cmd_errno;            /* with AD_CMD_REFUSED */
    uint8_t cmd_pins;             /* abort() calls under way: the slot must not be reused */
    struct ad_cmd *cmd_next;      /* of a batch that has ended, and is its thread's */
    struct shim_dma_map cmd_map;
    uint64_t cmd_deadline_ns; /* 0 none; only while AD_CMD_PENDING */
    uint64_t cmd_since_ns;    /* pending since, */
    uint64_t cmd_since_done;  /* with so many of the LUN completed */
    uint64_t cmd_quar_ns;     /* free, and in quarantine until; 0 not */
    struct shim_seg cmd_segs[AD_SEGS_INLINE];
};

/* What a command of many pieces is mapped with; too large for a stack. */
struct ad_long {
    struct iovec long_vec[AD_SEGS_LONG]; /* the pieces, while ad_map() runs */
    struct shim_seg long_segs[AD_SEGS_LONG];
};

/* Requests in a row, linked by av_forw. */
struct ad_list {
    struct buf *l_head;
    struct buf *l_tail;
};

/* Whose freezes there are; ad_freeze.c. */
enum ad_freeze_owner { AD_FRZ_ERROR, AD_FRZ_CORE, AD_FRZ_HALT, AD_FRZ_SENSE, AD_FRZ_GROW, AD_FRZ_OWNERS };
struct ad_ledger {
    uint32_t lg_now[AD_FRZ_OWNERS];      /* in force */
    uint32_t lg_debt[AD_FRZ_OWNERS];     /* undone before their owners came, who are still to come */
    uint64_t lg_since_ns[AD_FRZ_OWNERS]; /* the oldest of those in force */
    uint32_t lg_told;                    /* the episode that has been complained of */
    uint64_t lg_freezes, lg_thaws, lg_late;
};

/* How many commands a LUN may have at its device; ad_limit.c. */
struct ad_limit {
    uint32_t lm_now;      /* this many */
    uint32_t lm_top;      /* as far as it may rise */
    uint32_t lm_last;     /* what it was lowered to last; 0 never */
    uint64_t lm_pause_ns; /* between two raises */
    uint64_t lm_up_ns;    /* not raised before */
    uint64_t lm_fulls, lm_alone, lm_lowered, lm_raised, lm_waits;
};

/* ---------------------------------------------------------------- one LUN */

/* One word of the lane (ad_lane.c), on a cache line of its own. */
struct ad_lane {
    _Alignas(64) _Atomic uint32_t lane_free; /* AD_LANE_OPEN and the free slots of this word; 0: closed */
};

/*
 * The head lives from the first SCIOSTART until the adapter is detached, so that a strategy call
 * that races with SCIOSTOP finds a lock to take; the memory behind lun_cmds goes at SCIOSTOP.
 * Everything without a note is protected by lun_lock.
 */
struct ad_lun {
    struct shim_lock lun_lock; /* rank SHIM_RANK_AD_LUN */
    struct ad_adapter *lun_adp;
    uint8_t lun_id, lun_lun;  /* constant */
    uint8_t lun_state;        /* enum ad_lun_state */
    long lun_owner;           /* chan of the file that started it, or AD_OWNER_NONE */
    bool lun_can_tag;         /* constant while started */
    bool lun_shared;          /* draws credits from the adapter's pool command by command */
    bool lun_timer_lost;      /* a timer could not be armed: the next activity tries again */
    bool lun_recover;         /* the adapter's recovery is owed a look, by who works here next */
    uint8_t lun_offline;      /* AD_OFF_* */
    uint8_t lun_rung;         /* enum ad_rung: the last that was tried for what is overdue here */
    uint32_t lun_overdue;     /* commands in AD_STAGE_OVERDUE that the chip has */
    uint32_t lun_hit;         /* commands with AD_CMD_HIT */
    uint64_t lun_again_ns;    /* not before: everything has been tried; 0 none */
    uint32_t lun_gate;        /* AD_GATE_* */
    uint32_t lun_lane_left;   /* AD_CMD_FROM_LANE commands: their threads have yet to see it closed */
    uint32_t lun_lane_streak; /* commands in a row that ended inside start() */
    struct ad_lane lun_lane[AD_LANE_WORDS]; /* slot s is in word s % AD_LANE_WORDS */
    /* The slots that are the lane's, 0 while it is closed; read without the lock as a hint. */
    _Alignas(64) _Atomic uint32_t lun_lane_slots;

    struct ad_limit lun_limit;
    struct ad_ledger lun_ledger;
    bool lun_growing;           /* has the freeze of a growing adapter */
    uint32_t lun_openings_said; /* by the chip, for this one; 0 nothing */

    struct ad_list lun_queue;  /* accepted, in order of acceptance; b_work is the sequence number */
    struct ad_list lun_flush;  /* to be given back ENXIO when the last cancelled command is home */
    struct sc_buf *lun_rec_sb; /* the recovery command, before it starts */
    struct ad_list lun_sense;  /* ioctls' REQUEST SENSE; each has its hold as long as it is on the way */

    struct ad_cmd *lun_cmds; /* lun_openings tagged slots and one spare for AD_LUN_REC */
    uint16_t *lun_free;      /* ring of free tagged slots; ad_tag.c */
    uint32_t lun_free_at;    /* its head */
    uint32_t lun_nfree;
    uint16_t *lun_quar; /* ring of slots whose tags are left alone for a while */
    uint32_t lun_quar_at;
    uint32_t lun_nquar;
    bool lun_guard;              /* the next SIMPLE tag goes out ORDERED; ad_guard.c */
    uint64_t lun_guard_ns;       /* when the device was last told to finish what it had */
    uint64_t lun_guard_alone_ns; /* when to look after the command that was alone when it pended */
    uint64_t lun_guards;
    uint32_t lun_openings;
    uint32_t lun_active;    /* slots not free, the spare included */
    uint32_t lun_starting;  /* of them: on the way to the chip */
    uint32_t lun_cancelled; /* of them: wanted back */
    uint32_t lun_aborts;    /* of them: abort() still to be called */
    uint32_t lun_queued;    /* on lun_queue and lun_sense, and lun_rec_sb */
    uint32_t lun_flushing;  /* on lun_flush */
    uint32_t lun_seq;
    struct ad_list lun_resp; /* finished, to be given back, oldest first; ad_push.c */
    uint32_t lun_responses;  /* on lun_resp (XEN-05) */
    uint32_t lun_in_hand;    /* taken from it by the thread that pushes, and not all given back yet */
    uint32_t lun_resp_seq;   /* responses there ever were */
    uint32_t lun_users;      /* threads that work on the LUN */
    bool lun_pushing;        /* one of them calls iodone */
    bool lun_push_listed;    /* lun_push_buf is on some thread's list of iodone calls put off */
    struct buf lun_push_buf;
    struct ad_donq *lun_donq;     /* whose thread does what has gone wrong, or NULL; constant while started */
    struct ad_lun *lun_donq_next; /* under dq_lock */
    bool lun_donq_listed;         /* on it, with a reference */
    bool lun_donq_all;            /* a done queue: every response leaves by it; constant while started */
    bool lun_donq_push;           /* what is on lun_resp leaves by it */
    bool lun_wake;                /* lun_sleepers are to be told, once the lock is dropped */
    uint32_t lun_frozen;          /* freezes of this LUN in the chip that we know of, and must undo */
    uint32_t lun_holds;           /* ioctls behind AD_GATE_HOLD */
    uint32_t lun_sleepers;        /* ioctls in shim_wait on lun_event */

    struct ad_long *lun_long; /* AD_LONG_LISTS of them */
    uint32_t lun_long_free;   /* bit i: list i is free */
    void *lun_mem;            /* the one block behind all of these */
    size_t lun_mem_bytes;

    struct shim_timer lun_timer;
    uint64_t lun_timer_at_ns;          /* armed for; UINT64_MAX none */
    uint64_t lun_retry_at_ns;          /* backstop for AD_GATE_HW; 0 none */
    uint64_t lun_delay_until_ns;       /* for SC_DELAY_CMD */
    const struct sc_buf *lun_delay_sb; /* whom it is for */
    uint64_t lun_wait_until_ns;        /* end of the time of a request that was turned away; 0 none */
    uint32_t lun_wait_seq;             /* which request */
    struct shim_event lun_event;       /* SCIOHALT and SCIOSTOP wait here */

    void (*lun_async_func)(struct sc_event_info *info); /* SCIOEVENT */
    void *lun_async_correlator;
    uint32_t lun_async_running; /* calls under way; SCIOSTOP waits for them */
    uint32_t lun_events;        /* SC_*_EVENT that are still to be told */
    bool lun_event_listed;      /* lun_event_sb is on lun_resp, or about to be called */
    struct sc_buf lun_event_sb; /* their place among the responses; resvd1 tells it from requests */

    /* Protected by adp_lock. */
    uint32_t lun_reserved; /* credits this LUN holds for good; 0 with lun_shared */
    uint32_t lun_granted;  /* credits handed over to it and not used yet */
    bool lun_waiting;      /* on adp_waiters */
    bool lun_run_queued;   /* on the adapter's list of LUNs to look at */
    struct ad_lun *lun_wait_next;
    struct ad_lun *lun_run_next;
    bool lun_tg_waiting; /* on its target's list */
    bool lun_tg_granted; /* has its target's credit for the next command */
    struct ad_lun *lun_tg_next;

    /* Counters. */
    uint64_t lun_accepted, lun_completed, lun_errors, lun_flushed, lun_timeouts, lun_refused;
    uint64_t lun_waits_credit; /* under adp_lock, and so the next */
    uint64_t lun_waits_target;
    uint64_t lun_wait_since_ns, lun_tg_since_ns; /* what it waits for now, if it does */
    uint64_t lun_turns, lun_wait_max_ns;
    uint64_t lun_doubles; /* ad_hw_done() for a command that was not out (NB-20) */
    uint32_t lun_active_max;
    uint32_t lun_unsent; /* commands in a row that came back undelivered */

    /* The flight recorder, ad_flight.c. */
    uint32_t lun_episode;
    uint64_t lun_halted_ns; /* when it last ceased to run */
    struct sc_flight lun_flight;
};

/* ---------------------------------------------------------------- an adapter's threads */

/* LUNs that have something for a thread to do, and the thread; ad_thread.c. */
struct ad_donq {
    struct shim_lock dq_lock; /* rank SHIM_RANK_AD_DONE */
    struct ad_adapter *dq_adp;
    bool dq_on;                          /* there is a thread; constant while the adapter is attached */
    _Atomic(struct shim_self *) dq_self; /* its record: compared, never followed */
    struct shim_thread dq_thread;
    struct shim_event dq_event; /* it sleeps here, and nobody else */

    /* Protected by dq_lock. */
    bool dq_asleep; /* and nobody has woken it yet */
    bool dq_look;   /* the recovery wants to be looked at */
    bool dq_end;
    struct ad_lun *dq_head;
    struct ad_lun *dq_tail;
    uint32_t dq_wakes; /* how often it has been woken (CAM-06) */
};

/* ---------------------------------------------------------------- an adapter's recovery */

/* Rungs of the ladder behind abort(). */
enum ad_rung { AD_RUNG_NONE = 0, AD_RUNG_LUN, AD_RUNG_TARGET, AD_RUNG_BUS, AD_RUNG_ADAPTER, AD_RUNG_LOST };

/* Where a round is; the machine is in ad_recover.c. */
enum ad_round {
    AD_ROUND_NONE = 0,
    AD_ROUND_DRAIN, /* the scope is gated, and some of it is still on its way to the chip */
    AD_ROUND_STAGE, /* the chip has been asked */
    AD_ROUND_SETTLE /* it has done what it would; the devices come to */
};

/* Somebody sleeps until a reset has been done for him. Protected by adp_lock. */
struct ad_ask {
    struct ad_ask *ask_next;
    uint8_t ask_id; /* the target */
    bool ask_done;
    int ask_error;
};

struct ad_recovery {
    /* Protected by adp_lock. */
    bool rec_running;               /* a thread is in the machine; the rest below is his */
    bool rec_again;                 /* and has to look once more */
    bool rec_gone;                  /* the adapter is being detached */
    bool rec_timer_lost;            /* the timer could not be armed */
    bool rec_offline;               /* the chip is cut off */
    uint64_t rec_timer_at_ns;       /* armed for; UINT64_MAX none */
    uint64_t rec_want_ns;           /* to be armed for; UINT64_MAX none */
    uint32_t rec_scope[SC_IDS_MAX]; /* LUNs that are gated, by id; written by the runner */
    uint32_t rec_wait[SC_IDS_MAX];  /* LUN resets whose end is to be told, */
    uint32_t rec_wait_ids;          /* target resets, */
    uint32_t rec_wait_all;          /* and others: bit is enum ad_hw_reset */
    int rec_error;                  /* the first of a reset of this round */
    uint32_t rec_failed_ids;        /* whose SCIORESET is EIO after this round */
    struct ad_ask *rec_asks;        /* for the next round */
    struct shim_event rec_event;    /* whoever asked waits here */

    /* The runner's. */
    uint8_t rec_round;             /* enum ad_round */
    uint8_t rec_rung;              /* the strongest of this round */
    bool rec_lost;                 /* it is for what nothing brings back */
    bool rec_unasked;              /* somebody stayed on his way to the chip: the adapter was not reset */
    bool rec_blind;                /* nobody will tell that a reset of this round has ended */
    bool rec_reset;                /* something has been reset in this round */
    uint32_t rec_luns[SC_IDS_MAX]; /* LUNs to reset */
    uint32_t rec_ids;              /* targets to reset */
    uint64_t rec_until_ns;         /* the end of this part of the round */
    struct ad_ask *rec_asking;     /* for whom this round is, too */
    struct shim_timer rec_timer;
};

/* ---------------------------------------------------------------- one adapter */

/* Memory of a software gather; its own uio describes it, so that mapping sees an ordinary gather. */
struct ad_bounce {
    struct uio bn_uio;
    struct iovec bn_iov;
    bool bn_busy; /* adp_lock */
};

/* All LUNs of one id together; ad_target.c. Protected by adp_lock. */
struct ad_target {
    uint32_t tg_max; /* credits; constant, 0: no limit */
    uint32_t tg_free;
    _Atomic uint32_t
        tg_openings; /* what the chip has said for all its LUNs; 0 nothing. No lock, and so the next */
    _Atomic uint32_t tg_kb_per_s, tg_mode;
    struct ad_lun *tg_wait_head; /* LUNs without a credit of it, oldest first */
    struct ad_lun *tg_wait_tail;
};

struct ad_adapter {
    const struct ad_hw_ops *adp_ops;
    void *adp_hw;
    struct shim_dev *adp_dev;
    struct ad_hw_ops adp_ops_own; /* the chip's table as far as it goes, NULL where it ends early */
    /* The device half's dma_sync, looked up at attach: NULL where its table has none or ends before it. */
    void (*adp_dma_sync)(struct shim_dev *dev, struct shim_dma_map *map, int when, int dir);
    devno_t adp_devno;
    uint32_t adp_owner; /* whom later memory is put down to: the configuring thread's shim_owner */
    struct ad_hw_caps adp_caps;
    uint64_t adp_transfer_max; /* bytes */
    uint32_t adp_openings;     /* per LUN; 1 when the adapter cannot tag */
    uint32_t adp_segs_max;     /* per command, as chip and mapper allow */
    bool adp_gather;
    uint64_t adp_delay_ns;  /* SC_DELAY_CMD */
    uint64_t adp_settle_ns; /* after a reset */
    char adp_name[ERR_RESOURCE_MAX];
    bool adp_batches;              /* the chip holds commands back until it is told: ad_batch.c */
    atomic_bool adp_unflushed;     /* it may have some that it has not been told of */
    _Atomic uint32_t adp_flushes;  /* how often it was */
    bool adp_polled;               /* the chip is asked for completions: nothing interrupts */
    atomic_bool adp_polling;       /* by somebody now */
    struct kern_poller adp_poller; /* and by whoever sleeps */

    _Atomic(struct ad_lun *) *adp_luns; /* [id * cap_luns + lun]; set once, read without a lock */
    _Atomic uint32_t adp_map_wait;      /* somebody waits for an unmap */
    atomic_bool adp_timer_lost;         /* of some LUN; any timer that does fire looks */

    struct shim_lock adp_open_lock; /* rank SHIM_RANK_AD_OPEN: opens, SCIOSTART */
    uint32_t adp_opens;
    bool adp_enabled;     /* the chip has been told that somebody is there */
    bool adp_dying;       /* a detach has begun: nobody opens it any more */
    atomic_bool adp_diag; /* open with SC_DIAGNOSTIC; read without the lock */

    struct shim_lock adp_lock;    /* rank SHIM_RANK_AD: credits, waiters, bounces */
    uint32_t adp_credits;         /* all */
    uint32_t adp_credits_free;    /* in the pool */
    uint32_t adp_credits_most;    /* as far as they may grow; constant */
    bool adp_growing;             /* a LUN is being started, for which the chip may be asked for more */
    struct ad_lun *adp_wait_head; /* LUNs without a credit, oldest first */
    struct ad_lun *adp_wait_tail;
    struct ad_target adp_targets[SC_IDS_MAX];
    uint32_t adp_kick_next;                /* where the next kick begins, for fairness */
    _Atomic(struct ad_lun *) adp_run_head; /* LUNs that are owed a look; read without the lock, too */
    struct ad_lun *adp_run_tail;
    uint32_t adp_runners; /* threads that serve this list and hold no LUN of their own */
    void *adp_bounce_mem;
    struct ad_bounce adp_bounces[AD_BOUNCES];
    struct ad_recovery adp_rec;
    struct ad_donq adp_donqs[1 + AD_DONE_THREADS_MAX]; /* the recovery thread's, and the done threads' */
    uint32_t adp_ndone;                                /* done threads; constant while attached */
    uint64_t adp_resets, adp_events;
    struct sc_adapter_stats adp_past; /* what LUNs had counted when they were stopped */
};

/* ---------------------------------------------------------------- ad_life.c */

/* The adapter attached under devno, or NULL. Any context, no lock. */
struct ad_adapter *ad_find(devno_t devno);
/* The LUN head, or NULL when it was never started or is out of range. Any context, no lock. */
struct ad_lun *ad_lun_find(struct ad_adapter *adp, unsigned id, unsigned lun);
/* The table index range and the i-th head or NULL, for walks over all LUNs. */
static inline unsigned ad_lun_count(const struct ad_adapter *adp)
{
    return (unsigned)adp->adp_caps.cap_ids * adp->adp_caps.cap_luns;
}
static inline struct ad_lun *ad_lun_at(const struct ad_adapter *adp, unsigned i)
{
    return atomic_load_explicit(&adp->adp_luns[i], memory_order_acquire);
}

/* Is one of these bytes, which are reserved, not 0? Room is room only while nobody has put anything there. */
static inline bool ad_bytes_set(const uint8_t *bytes, size_t n)
{
    while (n > 0 && bytes[n - 1] == 0)
        n--;
    return n > 0;
}

/* ---------------------------------------------------------------- ad_lun.c */

/*
 * `owner` is the chan of the file that asks. The last three do nothing for another file than the
 * one that started the LUN, unless that file is gone; AD_OWNER_ANY is let through everywhere.
 */
#define AD_OWNER_NONE 0L    /* lun_owner: its file was closed, and the chip still has a command */
#define AD_OWNER_ANY  (-1L) /* for asking: the adapter driver itself */
int ad_lun_start(struct ad_adapter *adp, unsigned id, unsigned lun, long owner);
int ad_lun_stop(struct ad_lun *lun, long owner);
/* Stop it without waiting for anything. 0, or EBUSY: the chip has a command, or somebody is stopping it. */
int ad_lun_stop_now(struct ad_lun *lun);
int ad_lun_halt(struct ad_lun *lun, long owner);
int ad_lun_reset(struct ad_lun *lun, long owner);
bool ad_lun_is_owner(struct ad_lun *lun, long owner);
/* The file has been closed: stop what it started. */
void ad_lun_orphan(struct ad_lun *lun, long owner);

/* ---------------------------------------------------------------- ad_strategy.c */

void ad_strategy(struct buf *bp);
/* Check the pieces of a spanned request; 0 or EINVAL. Exported for tests. */
int ad_span_check(const struct sc_buf *sb);

/* ---------------------------------------------------------------- ad_queue.c, ad_done.c */

/* Take a request in, or refuse it; starts what can be started. */
void ad_submit(struct ad_lun *lun, struct sc_buf *sb);
/* The same for an ioctl's own REQUEST SENSE: before everything that is queued. False: not possible now. */
bool ad_submit_sense(struct ad_lun *lun, struct sc_buf *sb);
/* An ioctl needs no sense after all: its hold ends. */
void ad_hold_release(struct ad_lun *lun);
/* Take the next command that may start, or NULL. */
struct ad_cmd *ad_pick_locked(struct ad_lun *lun);
/* Call abort() for one command that waits for it; lun_lock is dropped and retaken. */
void ad_abort_one_locked(struct ad_lun *lun);
/* Want everything of this LUN back: commands at the device and the queue. */
void ad_clear_locked(struct ad_lun *lun);
/* The time of a request that is still queued is up: end it as a command that timed out. */
void ad_expire_locked(struct ad_lun *lun, struct sc_buf *sb);
/* When the last cancelled command is home, what waits for it may be given back. */
void ad_flush_push_locked(struct ad_lun *lun);
/* Insert by sequence number. */
void ad_list_insert(struct ad_list *l, struct sc_buf *sb);
void ad_list_append(struct ad_list *l, struct sc_buf *sb);
struct sc_buf *ad_list_take(struct ad_list *l);
/* Carry on after ad_map() said `mapped`, or start() said `said`. As ad_exec_lock(). */
void ad_exec_mapped_lock(struct ad_cmd *cmd, int mapped);
void ad_exec_said_lock(struct ad_cmd *cmd, int said);
/* Carry a command to the chip and, if it ends there, to its end. Enters without lun_lock, leaves with it. */
void ad_exec_lock(struct ad_cmd *cmd);
/* The memory of a command could not be mapped. True: it is after all; else it is dealt with, and lun_lock
 * held.
 */
bool ad_map_failed(struct ad_cmd *cmd, int mapped);
/* It was never handed to the device: back to where it was in the queue, behind this gate. As ad_exec_lock().
 */
void ad_requeue_lock(struct ad_cmd *cmd, uint32_t gate);
/* The command has reached the chip: others may go there. */
void ad_arrived_locked(struct ad_lun *lun, struct ad_cmd *cmd);
/* The one way commands end, oldest first, linked by cmd_next. Enters without lun_lock, leaves with it. */
void ad_complete_list_lock(struct ad_cmd *cmds);
/* The same for one. */
static inline void ad_complete_lock(struct ad_cmd *cmd)
{
    cmd->cmd_next = NULL;
    ad_complete_list_lock(cmd);
}
void ad_state_set_locked(struct ad_lun *lun, enum ad_lun_state to);

/* ---------------------------------------------------------------- ad_batch.c */

/* start() has said AD_HW_PENDING to these commands of one LUN. Enters without lun_lock, leaves with it. */
void ad_started_lock(struct ad_lun *lun, struct ad_cmd **cmds, unsigned n);
/* Carry this command to the chip, and those that may follow it. Locks: lun_lock, dropped and retaken. */
void ad_batch_locked(struct ad_lun *lun, struct ad_cmd *first);
/* Requests follow this one, and its LUN is looked after at the last. False: look now. */
bool ad_plug_locked(struct ad_lun *lun);
/* Tell the chip that the batch is complete, if it must be told. Locks: as above; true when they were dropped.
 */
bool ad_flush_chip_locked(struct ad_lun *lun);

/* ---------------------------------------------------------------- ad_push.c */

void ad_run_append_locked(struct ad_adapter *adp, struct ad_lun *lun);
void ad_run_remove_locked(struct ad_adapter *adp, struct ad_lun *lun);
/* One more thread works on the LUN; ad_work_unlock() ends that. */
void ad_enter_locked(struct ad_lun *lun);
void ad_resp_locked(struct ad_lun *lun, struct sc_buf *sb);
bool ad_push_begin_locked(struct ad_lun *lun, struct ad_list *out);
void ad_push(struct ad_adapter *adp, struct ad_list *l);
void ad_push_end_locked(struct ad_lun *lun);
/* Work until nothing can be done, and leave the LUN. */
void ad_work_unlock(struct ad_lun *lun);
/* Look after the LUNs on the adapter's list. */
void ad_serve(struct ad_adapter *adp);
/* Let every LUN that waits for the chip or the mapper try again; ad_serve() or ad_work_unlock() must follow.
 */
void ad_kick_waiting(struct ad_adapter *adp);

/* A trace hook about a request; d3 to d5 are computed while a trace runs only. */
#define AD_TRACE(hw, sb, d3, d4, d5)                                                                         \
    TRCHKL5T(hw, TRC_LUN((sb)->bufstruct.b_dev, (sb)->scsi_command.scsi_id, (sb)->lun), (uintptr_t)(sb), d3, \
             d4, d5)
/* Half of its CDB, copied and not read. */
static inline uint64_t ad_trace_cdb(const struct sc_buf *sb, size_t half)
{
    return trc_pack((const uint8_t *)&sb->scsi_command.scsi_cmd + 8 * half, 8);
}
/* It is about to be given back. */
#define AD_TRACE_PUSH(sb)                                                                                    \
    AD_TRACE(HKWD_AD_PUSH, sb, (sb)->bufstruct.b_flags &B_ERROR ? (sb)->bufstruct.b_error : 0, 0, 0)
/* The chip has let go of it. */
#define AD_TRACE_DONE(cmd)                                                                                   \
    AD_TRACE(HKWD_AD_DONE, (cmd)->cmd_sb, (cmd)->cmd_xfer.xfer_result, (cmd)->cmd_xfer.xfer_scsi_status,     \
             (cmd)->cmd_xfer.xfer_resid)

_Static_assert(sizeof(struct sc_cmd) >= AD_HW_CDB_BYTES, "a chip may read that much of any CDB");

/* What the chip is to see of a request; the rest was set at SCIOSTART. */
static inline void ad_xfer_fill(struct ad_cmd *cmd, struct sc_buf *sb, uint8_t qmsg)
{
    struct ad_xfer *xfer = &cmd->cmd_xfer;
    const uint8_t flags = sb->scsi_command.scsi_flags;

    cmd->cmd_sb = sb;
    sb->bufstruct.b_work = (uintptr_t)cmd;
    xfer->xfer_cdb = (const uint8_t *)&sb->scsi_command.scsi_cmd;
    xfer->xfer_cdb_len = sb->scsi_command.scsi_length;
    xfer->xfer_qmsg = qmsg;
    xfer->xfer_dir = sb->bufstruct.b_flags & B_READ ? SHIM_DIR_FROM_DEVICE : SHIM_DIR_TO_DEVICE;
    xfer->xfer_flags = 0;
    if (SC_UNLIKELY(flags != 0))
        xfer->xfer_flags =
            (uint8_t)((flags & SC_NODISC ? AD_XFER_NODISC : 0) | (flags & SC_ASYNC ? AD_XFER_ASYNC : 0));
    xfer->xfer_bytes = sb->bufstruct.b_bcount;
    xfer->xfer_result = AD_RES_GOOD;
    xfer->xfer_scsi_status = SC_GOOD_STATUS;
    xfer->xfer_resid = 0;
}

/* ---------------------------------------------------------------- ad_lane.c */

/* Take a request down the lane: true when it has been dealt with, false when it must go to ad_submit(). */
bool ad_lane_submit(struct ad_lun *lun, struct sc_buf *sb);
/* Open it if nothing speaks against it. */
void ad_lane_open_locked(struct ad_lun *lun);
/* Close it: what is in it is an ordinary command from now on. */
void ad_lane_close_locked(struct ad_lun *lun);
/* Is this slot in use in the lane? */
bool ad_lane_has_locked(const struct ad_lun *lun, const struct ad_cmd *cmd);
/* The free slots of all its words and, if it is open, AD_LANE_OPEN. */
static inline uint32_t ad_lane_free_locked(const struct ad_lun *lun)
{
    uint32_t lane = 0;

    for (unsigned w = 0; w < AD_LANE_WORDS; w++)
        lane |= atomic_load_explicit(&lun->lun_lane[w].lane_free, memory_order_relaxed);
    return lane;
}
static inline bool ad_lane_is_open_locked(const struct ad_lun *lun)
{
    return (atomic_load_explicit(&lun->lun_lane[0].lane_free, memory_order_relaxed) & AD_LANE_OPEN) != 0;
}
/* The slots it has while it is open. */
static inline uint32_t ad_lane_slots(const struct ad_lun *lun)
{
    return atomic_load_explicit(&lun->lun_lane_slots, memory_order_relaxed);
}
/* Set a gate, which the lane knows nothing of. */
static inline void ad_gate_set_locked(struct ad_lun *lun, uint32_t gate)
{
    ad_lane_close_locked(lun);
    lun->lun_gate |= gate;
}
/*
 * An error is a response, or will be. Where there is a thread, that is who gives it back; what is started
 * before would be started behind its owner's back. Locks: lun_lock.
 */
static inline void ad_donq_want_locked(struct ad_lun *lun)
{
    if (lun->lun_donq == NULL)
        return;
    lun->lun_donq_push = true;
    ad_gate_set_locked(lun, AD_GATE_TELL);
}
/* Commands in the lane now. Counted by hand: a builtin would be a library call on some machines. */
static inline uint32_t ad_lane_active_locked(const struct ad_lun *lun)
{
    uint32_t n = 0;

    if (ad_lane_is_open_locked(lun))
        for (uint32_t used = ad_lane_slots(lun) & ~ad_lane_free_locked(lun); used != 0; used &= used - 1u)
            n++;
    return n;
}

/* ---------------------------------------------------------------- ad_status.c */

/* Fill in how a command ended; the one place that makes b_error, b_resid and the status bytes. */
void ad_status_result(struct sc_buf *sb, const struct ad_xfer *xfer, bool timed_out);
/* The same for a request that was not executed. */
void ad_status_refused(struct sc_buf *sb, int error);
/* Everything clear, for a request on its way in. */
void ad_status_clear(struct sc_buf *sb);
/* errno of an SCIO command from its finished sc_buf. */
int ad_status_errno(const struct sc_buf *sb);
/* Put an adapter error into the error log; device errors are the device driver's. No lock needed. */
void ad_log_result(const struct ad_lun *lun, const struct sc_buf *sb);
void ad_log(const struct ad_adapter *adp, uint32_t id, bool temp, const char *text);

/* ---------------------------------------------------------------- ad_credit.c */

void ad_turn_locked(struct ad_lun *lun, uint64_t since_ns);
void ad_credit_give_locked(struct ad_adapter *adp);
void ad_credit_reserve(struct ad_lun *lun, uint32_t want);
/* These put the LUN that is given a credit on the adapter's list. */
void ad_credit_unreserve(struct ad_lun *lun);
/* The next two only for a LUN with lun_shared, lun_lock held. One credit for one command; false and on the
 * waiters' list when there is none. */
bool ad_credit_take_locked(struct ad_lun *lun);
/* Grants that cannot be used now go to the next waiter. */
void ad_credit_drop_locked(struct ad_lun *lun);
/* The oldest waiter gets it. Any lock of a smaller rank than adp_lock may be held. */
void ad_credit_return(struct ad_lun *lun);

/* ---------------------------------------------------------------- ad_target.c */

void ad_targets_init(struct ad_adapter *adp, uint32_t max);
bool ad_target_get_locked(struct ad_adapter *adp, struct ad_lun *lun);
void ad_target_use_locked(struct ad_lun *lun);
void ad_target_drop_locked(struct ad_adapter *adp, struct ad_lun *lun);
void ad_target_return_locked(struct ad_adapter *adp, const struct ad_lun *lun);
void ad_target_leave_locked(struct ad_adapter *adp, struct ad_lun *lun);

/* ---------------------------------------------------------------- ad_freeze.c */

/* The chip is to start nothing more of the LUN; it has done so itself; it may again. The last only with
 * lun_frozen. */
void ad_freeze_locked(struct ad_lun *lun, enum ad_freeze_owner owner);
void ad_freeze_noted_locked(struct ad_lun *lun);
void ad_thaw_locked(struct ad_lun *lun);
/* AD_FRZ_SENSE or AD_FRZ_GROW: its gate is shut, and may be opened as far as this owner goes. */
void ad_freeze_gate_locked(struct ad_lun *lun, enum ad_freeze_owner owner);
void ad_thaw_gate_locked(struct ad_lun *lun, enum ad_freeze_owner owner);
uint64_t ad_freeze_when_locked(const struct ad_lun *lun);
void ad_freeze_look_locked(struct ad_lun *lun, uint64_t now);
const char *ad_ledger_check_locked(const struct ad_lun *lun);
const char *ad_ledger_idle(struct ad_adapter *adp);

/* ---------------------------------------------------------------- ad_tag.c */

void ad_tags_start(struct ad_lun *lun, uint16_t *room);
/* The tag that has been free for longest; there is one. */
static inline uint16_t ad_tag_take_locked(struct ad_lun *lun)
{
    const uint16_t slot = lun->lun_free[lun->lun_free_at];

    lun->lun_free_at = lun->lun_free_at + 1u == lun->lun_openings ? 0 : lun->lun_free_at + 1u;
    lun->lun_nfree--;
    return slot;
}
static inline void ad_tag_give_locked(struct ad_lun *lun, uint16_t slot)
{
    const uint32_t at = lun->lun_free_at + lun->lun_nfree++;

    lun->lun_free[at < lun->lun_openings ? at : at - lun->lun_openings] = slot;
}
void ad_quarantine_locked(struct ad_lun *lun, uint16_t slot);
void ad_quarantine_look_locked(struct ad_lun *lun, bool all);
bool ad_tag_is_suspect(const struct ad_cmd *cmd);
const char *ad_tags_check_locked(const struct ad_lun *lun);

/* ---------------------------------------------------------------- ad_grow.c */

bool ad_grow_begin(struct ad_adapter *adp);
void ad_grow_end(struct ad_adapter *adp);
void ad_grow(struct ad_adapter *adp, uint32_t want);
void ad_openings_set_locked(struct ad_lun *lun);
int ad_power_locked(struct ad_adapter *adp, bool on);

/* ---------------------------------------------------------------- ad_guard.c */

uint64_t ad_guard_begin_locked(struct ad_lun *lun, struct ad_cmd *cmd, uint64_t now);
bool ad_guard_lane_locked(struct ad_lun *lun);
uint64_t ad_guard_when_locked(const struct ad_lun *lun, const struct ad_cmd *cmd, uint64_t now);
void ad_guard_look_locked(struct ad_lun *lun, const struct ad_cmd *cmd, uint64_t now);
uint8_t ad_guard_tag_locked(struct ad_lun *lun, const struct sc_buf *sb);
void ad_guard_sent_locked(struct ad_lun *lun, const struct ad_cmd *cmd);

/* ---------------------------------------------------------------- ad_limit.c */

void ad_limit_start_locked(struct ad_lun *lun);
/* A command ended with QUEUE FULL. */
void ad_limit_full_locked(struct ad_lun *lun, const struct ad_cmd *cmd);
/* A command ended well, and lm_now is less than lm_top. */
void ad_limit_good_locked(struct ad_lun *lun);
void ad_lun_flow_get(struct ad_lun *lun, struct sc_lun_flow *out);

/* ---------------------------------------------------------------- ad_map.c */

/* Map the memory of a command. enum shim_map_result, or AD_MAP_NO_LIST. */
#define AD_MAP_NO_LIST 3 /* all long lists are in use */
#define AD_MAP_NO_COPY 4 /* a gather that must be copied, and no memory to copy it to */
int ad_map(struct ad_cmd *cmd);
/* What it said, or, of a gather that will never fit, what its copy makes of it. */
int ad_map_insist(struct ad_cmd *cmd, int mapped);
void ad_unmap(struct ad_cmd *cmd);
/* Tell a mapper that wants to know that the device is about to use the memory, or has. Any context. */
static inline void ad_sync(struct ad_adapter *adp, struct ad_cmd *cmd, int when)
{
    if (SC_UNLIKELY(adp->adp_dma_sync != NULL))
        adp->adp_dma_sync(adp->adp_dev, &cmd->cmd_map, when, cmd->cmd_xfer.xfer_dir);
}
/* Is this an acceptable gathered write? Copies when it must. 0 or errno. Process level. */
int ad_gather_prepare(struct ad_adapter *adp, struct sc_buf *sb);
/* Give the copy back, if there is one. No lock held. */
void ad_gather_release(struct ad_adapter *adp, struct sc_buf *sb);
/* SCIOGTHW: take the copy memory. */
void ad_bounce_prime(struct ad_adapter *adp);
void ad_bounce_free(struct ad_adapter *adp);

/* ---------------------------------------------------------------- ad_timeout.c */

void ad_timer_fire(struct shim_timer *t);
/* Make sure the LUN's timer fires no later than when_ns; false when it could not be armed. */
bool ad_timer_want_locked(struct ad_lun *lun, uint64_t when_ns);
/* A request goes back to the queue for want of room: its time runs from the first such moment on. */
void ad_timer_turned_away_locked(struct ad_lun *lun, const struct sc_buf *sb);
/* Arm for the earliest thing the LUN waits for. */
void ad_timer_rearm_locked(struct ad_lun *lun);

/* Ask a chip without interrupts for completions. No lock held. */
void ad_poll(struct ad_adapter *adp);
/* Timers are to be had again, perhaps: arm those that could not be. No lock held. */
void ad_timers_lost(struct ad_adapter *adp);

/* ---------------------------------------------------------------- ad_recover.c */

void ad_recover_init(struct ad_adapter *adp);
/* Look whether anything can be done. Any context, no lock held; ad_serve() or ad_work_unlock() must follow.
 */
void ad_recover(struct ad_adapter *adp);
/* Have the target reset, or a chip that is cut off begin anew, and wait for the end. Process. 0 or EIO. */
int ad_recover_ask(struct ad_adapter *adp, unsigned id);
/* The chip does not have this command any more: true when the caller is to complete it. Locks: lun_lock. */
bool ad_recover_home_locked(struct ad_lun *lun, struct ad_cmd *cmd);
/* abort() was to no avail. Locks: lun_lock. */
void ad_recover_overdue_locked(struct ad_lun *lun, struct ad_cmd *cmd);
/* A LUN starts: its gate, and whether it is in service. Locks: lun_lock. */
void ad_recover_start_locked(struct ad_lun *lun);
/* The lost timer once more; false when it is not to be had. Any lock of a smaller rank than adp_lock. */
bool ad_recover_rearm(struct ad_adapter *adp);
/* How long it takes at most until a command that is wanted back is back. */
uint64_t ad_recover_patience(const struct ad_adapter *adp);
/* Is the chip cut off? */
bool ad_recover_offline(struct ad_adapter *adp);
/* All LUNs are stopped, the adapter goes. Process. */
void ad_recover_quiesce(struct ad_adapter *adp);

/* ---------------------------------------------------------------- ad_thread.c */

/* Start the adapter's threads, as many as there are to be had; end them. Process. */
void ad_threads_begin(struct ad_adapter *adp);
void ad_threads_end(struct ad_adapter *adp);
/* The queue of the thread that is to do what goes wrong with this LUN, or all of its responses; or NULL. */
struct ad_donq *ad_donq_for(struct ad_adapter *adp, unsigned id, unsigned lun);
/* Is this that thread, and at work for nobody else? */
bool ad_donq_is_me(const struct ad_donq *dq);
/* Put the LUN on its queue. True: dq_event is to be woken, with no lock held. Locks: lun_lock. */
bool ad_donq_give_locked(struct ad_lun *lun);
/* Have the thread call ad_recover(). Any context, no lock held. */
void ad_donq_look(struct ad_donq *dq);
/* Wake-ups of the adapter's threads since its attachment. */
uint32_t ad_donq_wakes(struct ad_adapter *adp);
/* ---------------------------------------------------------------- ad_event.c */

int ad_event_register(struct ad_adapter *adp, const struct sc_event_struct *ev, long owner);
void ad_event_deliver(struct ad_adapter *adp, uint32_t events);
/* b_iodone of lun_event_sb. */
void ad_event_told(struct buf *bp);

/* ---------------------------------------------------------------- ad_ioctl.c, ad_icmd.c */

int ad_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext);
/* The ioctls that send a command of their own. */
int ad_icmd_ioctl(struct ad_adapter *adp, unsigned cmd, intptr_t arg, unsigned long devflag, long owner);
/* b_iodone of those commands, by which the queue knows them. */
void ad_icmd_done(struct buf *bp);
/* The started LUN, or NULL. */
struct ad_lun *ad_lun_started(struct ad_adapter *adp, unsigned id, unsigned lun);

/* ---------------------------------------------------------------- ad_flight.c */

void ad_flight_state_locked(struct ad_lun *lun, enum ad_lun_state from, enum ad_lun_state to);
void ad_flight_late_locked(struct ad_lun *lun, const struct ad_cmd *cmd);
void ad_flight_rung_locked(struct ad_lun *lun, const char *did);
void ad_flight_guard_locked(struct ad_lun *lun);
void ad_flight_limit_locked(struct ad_lun *lun, const char *why, uint32_t from, uint32_t to);
int ad_flight_ioctl(struct ad_adapter *adp, intptr_t arg, unsigned long devflag);

/* ---------------------------------------------------------------- ad_check.c */

void ad_lun_stats_get(struct ad_lun *lun, struct sc_lun_stats *out);
void ad_stats_get(struct ad_adapter *adp, struct sc_adapter_stats *out);
void ad_stats_keep_locked(struct ad_lun *lun);
/* Walk everything; NULL when all invariants hold, else the broken one in words. For tests. Takes lun_lock. */
const char *ad_lun_check(struct ad_lun *lun);
bool ad_state_move_ok(enum ad_lun_state from, enum ad_lun_state to);

#endif /* AD_IMPL_H */
