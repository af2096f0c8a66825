/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_impl.h - what the files of the disk device driver share: its structures, limits and functions.
 *
 * Outline: limits; bits in buf.b_work; one command (struct dd_cmd); a buf cut into fragments; the plug;
 * recovery; one disk (struct dd_unit); prototypes by file.
 *
 * The theory of operation is in dd_strategy.c, that of errors in dd_recover.c. This header knows no
 * adapter driver and no host: <sys/...> only.
 */
#ifndef DD_IMPL_H
#define DD_IMPL_H

#include <stdatomic.h>
#include <sys/kservices.h>
#include <sys/scdisk.h>
#include <sys/scsched.h>
#include <sys/scsi.h>
#include <sys/scsiproto.h>
#include <sys/trchkid.h>

/* ------------------------------------------------------------------ limits */

#define DD_UNITS_MAX      256u /* minors */
#define DD_DEPTH_MAX      256u
#define DD_DEPTH_DEFAULT  64u
#define DD_SPAN_BUFS_MAX  258u /* 1 MiB of pages plus two ragged ends: the adapter's segment list */
#define DD_BATCH_MAX      32u  /* commands sent per lock hold: bounds how long a completion waits */
#define DD_PLUGS          16u  /* threads that can be plugged at once; a power of two */
#define DD_LANE_DEPTH_MIN (2u * DD_PLUGS) /* a smaller queue depth is all the queues' */
#define DD_ATTENTION_MAX  3u              /* unit attentions in a row that cost no retry */
#define DD_DEFERRED_MAX   100u            /* deferred errors that one command may meet */
#define DD_THROWN_SUSPECT                                                                                    \
    8u                         /* rounds in which all came back ENXIO: something is wrong with the queue ... \
                                */
#define DD_THROWN_MAX      32u /* ... and nothing helps */
#define DD_THROWN_MS       100u /* between two such rounds, at most */
#define DD_SENSE_TRIES_MAX 3u
#define DD_DEPTH_CLIMB     1024u /* good commands before a depth lowered by QUEUE FULL grows by one */
#define DD_READY_TRIES_MAX 8u    /* TEST UNIT READY at open: attentions and odd errors */
#define DD_RW_TIMEOUT_S    30u
#define DD_START_TIMEOUT_S 60u
#define DD_RETRIES         3u
#define DD_RESTART_MS      500
#define DD_BUSY_MS         1000
#define DD_QFULL_MS        100
#define DD_STEP_MS         60000         /* a recovery command may be late by that much */
#define DD_RESETS_MAX      3u            /* SCIORESETs for a disk that nobody answers for, until it does */
#define DD_DEAD_MS         60000         /* a dead disk is left alone that long */
#define DD_ERROR_MS        1000          /* an ENXIO waits that long for the error that is its cause */
#define DD_QFULL_WAITS     100u          /* how many dd_qfull_ms a request waits in all */
#define DD_SETTLE_NS       10000000000LL /* after a reset a device may be silent that long */
#define DD_SENSE_BYTES     252u          /* asked for; below 256, so pinned memory is enough */
#define DD_AREA_BYTES      65536u        /* the driver's own data pages ... */
#define DD_AREA_ARG_BYTES  16384u        /* ... the first of them hold ioctl structures */
#define DD_AREA_DATA_BYTES (DD_AREA_BYTES - DD_AREA_ARG_BYTES)
#define DD_UPHYSIO_BUFS    8u
#define DD_PLUG_WAIT_NS    UINT64_C(1000000)

/* ------------------------------------------------------------------ b_work of a buf we own */

/*
 * Upper bits: bytes to move (b_bcount, or less when the request crosses the end of the disk), always
 * a multiple of 512. Low bits: where the buf is.
 */
#define DD_BUF_FREE    0u
#define DD_BUF_PENDING 1u
#define DD_BUF_INPROC  2u
#define DD_BUF_RECOVER 3u
#define DD_BUF_STATE   3u
#define DD_BUF_TOLD    8u /* the flight recorder waits for its end */
#define DD_BUF_FLAGS   ((uintptr_t)(DEV_BSIZE - 1u))

static inline size_t dd_buf_bytes(const struct buf *bp) { return (size_t)(bp->b_work & ~DD_BUF_FLAGS); }
static inline unsigned dd_buf_state(const struct buf *bp) { return (unsigned)(bp->b_work & DD_BUF_STATE); }
static inline void dd_buf_state_set(struct buf *bp, unsigned state)
{
    bp->b_work = (bp->b_work & ~(uintptr_t)DD_BUF_STATE) | state;
}

/* A chain of bufs through av_forw. */
struct dd_chain {
    struct buf *ch_head, *ch_tail;
    uint32_t ch_n;
};

/* ------------------------------------------------------------------ one command */

enum dd_kind {
    DD_KIND_RW = 0,  /* one buf, or a span */
    DD_KIND_FRAG,    /* a piece of a larger buf */
    DD_KIND_SYNC,    /* somebody at process level waits: internal commands, ioctls, gathered writes */
    DD_KIND_RESERVE, /* the recovery command */
    DD_KIND_UNSTICK  /* SC_Q_RESUME while that is out */
};
enum dd_cmd_state {
    DD_CMD_FREE = 0,
    DD_CMD_HELD,     /* taken for a synchronous command, not sent yet */
    DD_CMD_INPROC,   /* picked (cmd_sent tells) or with the adapter driver */
    DD_CMD_FAILED,   /* parked for recovery */
    DD_CMD_RESEND,   /* to be sent again, before anything pending */
    DD_CMD_LANE,     /* a plug slot's, in or for the lane (dd_lane.c) */
    DD_CMD_LANE_DONE /* came back on another thread before its own looked: un_lock */
};

struct dd_unit;
struct dd_frag;
struct dd_sync;

/* Lives in the unit's pool; never freed while the unit exists. */
struct dd_cmd {
    struct sc_buf cmd_sc;                       /* first: iodone hands back its address */
    struct dd_cmd *cmd_next;                    /* free, to-send, done, failed or resend list */
    struct dd_cmd *cmd_inp_next, *cmd_inp_prev; /* in-process queue */
    struct dd_unit *cmd_unit;
    struct buf *cmd_bp;   /* RW: first original; FRAG: the buf */
    struct buf *cmd_tail; /* RW: last original */
    struct dd_frag *cmd_frag;
    struct dd_sync *cmd_sync;
    uint64_t cmd_lba;
    uint64_t cmd_time_ns; /* 0 not sampled; start, then duration */
    size_t cmd_off;       /* FRAG: offset in the buf */
    uint32_t cmd_bytes;
    uint32_t cmd_nbufs;    /* RW */
    uint32_t cmd_seq;      /* order of first dispatch: resends keep it, and so do the bufs of a split span */
    uint8_t cmd_kind;      /* enum dd_kind */
    uint8_t cmd_state;     /* enum dd_cmd_state */
    uint8_t cmd_sendflags; /* sc_buf.flags of the next send */
    uint8_t cmd_read;
    uint8_t cmd_retries;
    uint8_t cmd_attentions;    /* in a row */
    uint8_t cmd_deferred;      /* deferred errors it has met */
    uint8_t cmd_bus_fault;     /* the last failure was one */
    uint16_t cmd_waits;        /* times it was told to wait (DD_RULE_BUSY, DD_RULE_QFULL) ... */
    uint16_t cmd_place;        /* in the span it was part of */
    uint16_t cmd_resends;      /* times it went, or is to go, again: dd_requeue.c */
    uint32_t cmd_wait_mark;    /* ... and un_waited_ms at the first of them */
    _Atomic uint32_t cmd_sent; /* cmd_seq when it was passed to the adapter driver; another one: not yet */
    uint64_t cmd_failed_ns;    /* when it last came back with an error */
    uint8_t cmd_noted;         /* it came back with an error that has been noted: see dd_halt.c */
};

/* Where something stands among what is to be sent again: dd_requeue.c. */
struct dd_place {
    uint32_t pc_seq;     /* of the command or span: cmd_seq */
    uint16_t pc_resends; /* how often it will have gone again */
    uint16_t pc_place;   /* in its span */
};

/* What is left of a span that was taken apart: bufs that go again one by one. */
struct dd_split {
    struct dd_split *split_next;
    struct dd_chain split_bufs;
    struct dd_place split_at; /* of the first that is left */
};

/* A buf larger than one command. */
struct dd_frag {
    struct dd_frag *frag_next;
    struct buf *frag_bp;
    size_t frag_off;       /* next byte to cut */
    size_t frag_bytes;     /* bytes to move in all */
    size_t frag_stop;      /* everything below was moved, as far as known; frag_bytes at first */
    size_t frag_error_off; /* where the first error in block order was ... */
    int32_t frag_error;    /* ... and which */
    uint32_t frag_left;    /* pieces out */
};

/* What a range of blocks was judged by: it is not sent when that has changed too much. */
struct dd_blocks {
    uint64_t bl_end; /* the first sector (DEV_BSIZE) behind it */
    uint32_t bl_geometry;
    uint8_t bl_shift;
};

/* A synchronous command: filled by the caller, on its stack while it sleeps. */
struct dd_sync {
    uint8_t sy_cdb[16];
    uint8_t sy_cdb_bytes;
    uint8_t sy_read;            /* direction of the data */
    uint8_t sy_flags;           /* DD_SYNC_* */
    uint8_t sy_tag;             /* DD_SYNC_TAG: SC_NO_Q ... */
    struct dd_blocks sy_blocks; /* DD_SYNC_BLOCKS */
    uint32_t sy_timeout_s;
    void *sy_data;
    uint32_t sy_bytes;
    struct uio *sy_uio; /* gathered write (part of a struct dd_gather); sy_bytes is the total */
    /* out */
    uint8_t sy_done;  /* under the LUN lock */
    uint8_t sy_again; /* retry from process level */
    uint8_t sy_validity, sy_scsi_status, sy_adapter_status, sy_adap_q;
    uint8_t sy_sense_bytes;
    int32_t sy_error;
    uint32_t sy_resid;
    struct scsi_sense sy_sense;
    uint8_t sy_sense_data[DD_SENSE_BYTES];
};
#define DD_SYNC_RAW     0x01u /* as given: no retry, no log (DKIOCMD, DK_PASSTHRU, DKIORDSE; NB-24) */
#define DD_SYNC_NOSENSE 0x02u /* the caller may want to fetch the sense himself: keep it for him */
#define DD_SYNC_QUIET   0x04u /* failing is normal: no log (CAM-19) */
#define DD_SYNC_TAG     0x08u /* sy_tag counts, as far as the disk can tag */
#define DD_SYNC_DELAY   0x10u /* with SC_DELAY_CMD */
#define DD_SYNC_BLOCKS  0x40u /* its CDB has block addresses: see dd_blocks_of */
#define DD_SYNC_UNKNOWN 0x20u /* a device need not know it: no log of ILLEGAL REQUEST (CAM-19) */

/* ------------------------------------------------------------------ the plug (dd_start.c) */

/*
 * What one thread collects while it is inside the driver: see "Plug" in dd_strategy.c. Lists belong
 * to the holder alone; pl_open is its permission to itself to append to them.
 */
enum dd_plug_holder {
    DD_PLUG_FREE = 0,
    DD_PLUG_HELD, /* its thread is in the driver */
    DD_PLUG_LANE, /* and has a command in the lane */
    DD_PLUG_OVER  /* only not given back yet */
};
struct dd_plug {
    _Alignas(64) _Atomic uintptr_t pl_holder;   /* DD_PLUG_* */
    _Atomic uintptr_t pl_open;                  /* the holder while a nested call may append, else 0 */
    struct dd_chain pl_submitted;               /* accepted bufs, on their way to pending */
    struct dd_cmd *pl_done_head, *pl_done_tail; /* commands that came back */
    bool pl_again;                              /* look at the queues once more */
    bool pl_resume;                             /* the last of those picked carries SC_RESUME */
    uint32_t pl_geometry;                       /* un_geometry when the first of pl_submitted was judged */
    _Atomic uint32_t pl_responses;              /* queued, not yet pushed (XEN-05) */
    /* The lane's; see dd_lane.c. */
    struct dd_cmd *pl_cmd;  /* set under un_lock; of a slot that is held the holder's */
    _Atomic size_t pl_bufs; /* ended in the lane and not counted in un_stats yet; the holder's ... */
    _Atomic size_t pl_bytes_read, pl_bytes_written; /* ... as are these */
};

static inline void dd_plug_open(struct dd_plug *plug, uintptr_t me)
{
    shim_sched_point();
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&plug->pl_open, me, memory_order_relaxed);
}

/* Returns what to open it with again. */
static inline uintptr_t dd_plug_shut(struct dd_plug *plug)
{
    uintptr_t me = atomic_load_explicit(&plug->pl_open, memory_order_relaxed);

    atomic_store_explicit(&plug->pl_open, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    shim_sched_point();
    return me;
}

/* ------------------------------------------------------------------ recovery (dd_recover.c) */

enum dd_rec_state {
    DD_REC_NONE = 0,
    DD_REC_SENSE,    /* REQUEST SENSE is out */
    DD_REC_RESERVE,  /* RESERVE is out, after a reset */
    DD_REC_KEYS,     /* PERSISTENT RESERVE IN: who has it? */
    DD_REC_CAPACITY, /* READ CAPACITY */
    DD_REC_READY,    /* TEST UNIT READY: is a dead disk there again? */
    DD_REC_START,    /* START UNIT (dd_ready.c) */
    DD_REC_SPIN,     /* TEST UNIT READY: has it become ready? */
    DD_REC_MODE,     /* MODE SENSE */
    DD_REC_FETCH,    /* REQUEST SENSE, because one of the seven before it failed */
    DD_REC_QUEUE,    /* SC_Q_RESUME is out */
    DD_REC_CLEAR,    /* SC_Q_CLR is out */
    DD_REC_DELAY,    /* the delay timer runs */
    DD_REC_JUDGE,    /* on its way from one to the next, within one lock hold */
    DD_REC_WAIT,     /* for a completion, or for the timer when nothing is out */
    DD_REC_HALT      /* until all are home, or for the timer (dd_halt.c) */
};

/* One row about a state, see dd_states.c. */
enum dd_until { DD_UNTIL_NONE, DD_UNTIL_TIMER /* un_delay_trb */, DD_UNTIL_STEP /* un_step_trb */ };
struct dd_state {
    const char *state_name;
    enum dd_until state_until;
    const char *state_failed; /* what follows when its command fails */
    const char *state_late;   /* ... and when its time is over */
};

enum dd_action { DD_ACT_OK, DD_ACT_RETRY, DD_ACT_FAIL };

/* One row of a policy table: what was seen and what is done about it. */
struct dd_rule {
    const char *rule_name;
    uint8_t rule_key, rule_asc, rule_ascq; /* DD_ANY matches all */
    uint8_t rule_action;                   /* enum dd_action */
    uint32_t rule_flags;                   /* DD_RULE_* */
    int16_t rule_error;                    /* errno when it fails, or retries are used up */
};
#define DD_ANY           0xffu
#define DD_RULE_SPLIT    0x01u    /* a span: send its bufs one by one, the blame is one buf's */
#define DD_RULE_FREE     0x02u    /* the first DD_ATTENTION_MAX in a row cost no retry */
#define DD_RULE_DELAY    0x04u    /* wait dd_busy_ms first */
#define DD_RULE_ONCE     0x08u    /* at most one retry */
#define DD_RULE_RESERVE  0x10u    /* the reservation is gone: take it again first */
#define DD_RULE_RESET    0x20u    /* the device was reset */
#define DD_RULE_QFULL    0x40u    /* lower the depth; wait for room, at most dd_qfull_ms at once */
#define DD_RULE_BUSFAULT 0x80u    /* last retry asynchronous (AIX-28) */
#define DD_RULE_INFO     0x100u   /* sense INFORMATION tells the failing block */
#define DD_RULE_BUSY     0x200u   /* wait for a completion or a moment, at most dd_busy_ms at once */
#define DD_RULE_ABSENT   0x400u   /* it does not answer: after a reset perhaps not yet */
#define DD_RULE_CAPACITY 0x800u   /* read the capacity again */
#define DD_RULE_DEFERRED 0x1000u  /* about an earlier command: kept for the next flush or close */
#define DD_RULE_BECOMING 0x8000u  /* it is on its way: ask until it is ready (dd_ready.c) */
#define DD_RULE_START    0x10000u /* it waits for START UNIT */
#define DD_RULE_MODE     0x20000u /* ask for its mode parameters again */
#define DD_RULE_SILENT   0x4000u  /* it said nothing: see dd_dead.c */
#define DD_RULE_CHANGED  0x2000u  /* it is another medium now: whatever waits fails, too */

struct dd_rec {
    enum dd_rec_state rec_state;
    bool rec_ready;     /* rec_cmd waits to be sent */
    bool rec_kept;      /* the adapter driver kept its queue: it must hear SC_Q_RESUME */
    bool rec_owed;      /* REQUEST SENSE failed: the device still holds sense for us */
    bool rec_unstick;   /* rec_unstick_cmd wants to be sent */
    bool rec_delay;     /* before the next step */
    bool rec_timer;     /* DD_REC_WAIT, DD_REC_HALT: the timer is armed */
    bool rec_pause;     /* DD_REC_HALT: it is time that has to pass; who comes home changes nothing */
    bool rec_asks;      /* DD_REC_HALT: because of an ENXIO that nobody has explained */
    bool rec_home;      /* the adapter driver has cleared its queue: what was in it is on its way home */
    bool rec_keys;      /* RESERVE met a conflict: are there persistent keys? */
    bool rec_cap16;     /* READ CAPACITY(16) */
    bool rec_fetch;     /* a step of dd_todo.c left sense at the device */
    bool rec_silent;    /* silence has been counted, this time */
    bool rec_refused;   /* RESERVE has failed for good, this time */
    bool rec_started;   /* START UNIT has been sent, this time */
    uint8_t rec_odd;    /* answers to TEST UNIT READY that said nothing about being ready ... */
    uint32_t rec_spins; /* ... of so many */
    uint64_t rec_spin_until_ns; /* when it has to be ready */
    uint8_t rec_tries, rec_todo_tries;
    uint8_t rec_late;      /* times that rec_cmd was missed */
    uint64_t rec_until_ns; /* when it will be */
    uint64_t rec_delay_ns; /* when un_delay_trb counts; one that fires before that has been stopped */
    uint32_t rec_wait_ms;  /* before the next step, unless a command completes first; 0 none */
    struct dd_cmd *rec_failed_head, *rec_failed_tail;
    struct dd_cmd *rec_cmd;         /* the reserved structure */
    struct dd_cmd *rec_unstick_cmd; /* the other one */
    struct dd_cmd *rec_current;     /* the failed command being looked at */
    uint8_t rec_sense[DD_SENSE_BYTES + 4];
};

/* What the flight recorder knows of the recovery under way (dd_flight.c). */
struct dd_flight {
    uint32_t fl_left;             /* bufs with DD_BUF_TOLD; 0: no recovery is under way */
    uint64_t fl_began_ns;         /* when the first command came back */
    struct sc_flight_rec fl_over; /* what will be said at its end */
};

/* ------------------------------------------------------------------ one disk */

#define DD_HOLD_RECOVER 0x1u  /* no new commands: recovery */
#define DD_HOLD_RESUME  0x2u  /* the command with SC_RESUME goes first */
#define DD_HOLD_GONE    0x8u  /* block addresses mean something else now: no READ or WRITE until reopened */
#define DD_HOLD_TODO    0x4u  /* the next to start begins with what is due (dd_todo.c) */
#define DD_HOLD_ERROR   0x10u /* an error has come, and who is told of it has not had the lock yet */
#define DD_HOLD_DEAD    0x20u /* it does not answer: whatever wants to start fails (dd_dead.c) */
#define DD_HOLD_INVALID 0x40u /* the disk was taken out: nothing begins any more (dd_gone.c) */

#define DD_TODO_RESERVE  0x1u /* un_todo */
#define DD_TODO_CAPACITY 0x2u
#define DD_TODO_READY    0x4u
#define DD_TODO_START    0x8u
#define DD_TODO_SPIN     0x10u
#define DD_TODO_MODE     0x20u

/* Why a unit is not simply open. */
enum dd_mode { DD_MODE_CLOSED = 0, DD_MODE_NORMAL, DD_MODE_DIAGNOSTIC, DD_MODE_FORMAT, DD_MODE_INVALID };

struct dd_unit {
    Simple_lock un_lock; /* LOCK_CLASS_DD: everything below, unless said otherwise */
    /* queues */
    struct dd_chain un_pending;
    struct dd_cmd *un_inp_head, *un_inp_tail; /* in process */
    struct dd_cmd *un_resend;                 /* to be sent again, in the order of dd_requeue.c ... */
    struct dd_split *un_split;                /* ... and these with them, by split_at */
    struct dd_split *un_split_free;
    uint32_t un_again; /* entries of both lists: they go before pending */
    struct dd_cmd *un_free;
    struct dd_frag *un_frag_cur; /* being cut */
    struct dd_frag *un_frag_free;
    struct dd_frag *un_frag_busy; /* cut to the end or being cut */
    struct dd_chain un_resp;      /* completed by recovery, to be pushed by whoever comes by */
    uint32_t un_active;           /* commands out, without the recovery command */
    uint32_t un_depth;            /* may be out: 1..un_depth_max */
    uint32_t un_hold;             /* DD_HOLD_*, by dd_hold_set_locked and dd_hold_clear_locked */
    uint32_t un_sync_waiting;     /* process-level callers that wait for a slot */
    uint32_t un_sleepers;         /* on un_event */
    uint32_t un_seq;
    uint32_t un_good_run;
    bool un_need_resume;     /* the next command must carry SC_RESUME */
    bool un_need_delay;      /* and SC_DELAY_CMD */
    bool un_turn_rw;         /* a synchronous command has had its turn: now a READ or WRITE, if one waits */
    uint8_t un_todo;         /* DD_TODO_* */
    uint32_t un_lane_streak; /* rounds in a row in which all came back inside devstrat() */
    bool un_want_grow;
    bool un_restart_armed;
    _Atomic bool un_dirty;  /* written since the last SYNCHRONIZE CACHE; the lane sets it without the lock */
    _Atomic bool un_lane;   /* open; written under un_lock, read without */
    int32_t un_lost;        /* errno of the last write that was acknowledged and lost (dd_lost.c) ... */
    uint32_t un_lost_count; /* ... and how many there have been ... */
    uint32_t un_lost_mark;  /* ... when a DKFLUSH last told of it ... */
    bool un_lost_seen;      /* ... and whether anybody has been told of the last */
    int32_t un_todo_error;  /* why waiting requests were refused, the last time ... */
    uint32_t un_todo_round; /* ... and how often that has been */
    uint32_t un_noted, un_noted_errors; /* errors on their way to the lock; those that halted the queue */
    uint32_t un_thrown;                 /* rounds of ENXIO since anybody got on ... */
    uint64_t un_thrown_at;              /* ... which is when this was the sum of what is below */
    uint64_t un_progress;   /* what shows in no other counter: pieces, synchronous commands, verdicts */
    uint64_t un_good;       /* good ends that show in no other counter */
    uint64_t un_quiet_good; /* how much good had come at the last silence ... */
    uint32_t un_silences;   /* ... and how many there have been since */
    uint64_t un_dead_since; /* when it was last seen to be */
    uint8_t un_resets;      /* that the driver has asked for since it died ... */
    bool un_resetting;      /* ... and one is under way */
    uint32_t un_waited_ms;  /* all waits by timer in DD_REC_WAIT so far; wraps */
    uint64_t un_reset_ns;   /* when a reset was last seen; 0 never */
    uint8_t un_kept_bytes;  /* sense that a pass-through caller may still ask for */
    uint8_t un_kept_sense[DD_SENSE_BYTES];
    /* constant while open; read without the lock */
    uint8_t un_shift;    /* block size is 1 << un_shift */
    uint8_t un_lun_bits; /* LUN << 5 for byte 1 of a CDB */
    uint8_t un_tag;      /* SC_SIMPLE_Q or SC_NO_Q */
    bool (*un_ahead)(void *chip, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how);
    void *un_ahead_chip;       /* SCIOAHEAD; un_ahead is NULL where it is of no use */
    _Atomic bool un_read_only; /* may change, with un_geometry, when its mode parameters do */
    _Atomic uint8_t un_mode;   /* enum dd_mode */
    _Atomic bool un_watched; /* changed under the lock: who leaves the loop says so (dd_plugs_wait_locked) */
    _Atomic bool un_recall;  /* changed under the lock: what has been picked and not sent goes back */
    /*
     * Counts, under the lock, what a request is judged by: mode, block size, capacity. Who judges without the
     * lock reads it first, and with the lock sees whether his judgement still holds.
     */
    _Atomic uint32_t un_geometry;
    _Atomic bool
        un_absent; /* dead, and nobody answers selection: a LUN out of service looks so (dd_dead.c) */
    uint32_t un_depth_max;
    uint32_t un_transfer_max; /* one command, bytes */
    uint32_t un_span_max;
    uint32_t un_adapter_max; /* one command, bytes, as the adapter says; whole pages */
    /* Capacity in DEV_BSIZE units, changed under the lock, read without: see dd_sectors. */
#if UINTPTR_MAX > UINT32_MAX
    _Atomic uint64_t un_size;
#else
    _Atomic uint32_t un_size[2][2]; /* low half, high half */
    _Atomic uint32_t un_size_changes;
#endif
    devno_t un_devno;
    struct scdisk_dds un_dds;
    struct sc_disk_stats un_stats;
    struct dd_flight un_flying;
    struct sc_flight un_flight;
    struct dd_rec un_rec;
    struct sc_disk_info un_info;
    /* open and close; un_lock */
    struct file *un_fp;
    uint32_t un_opens;         /* since the device was last closed; 0 closed */
    bool un_busy;              /* an open or close is under way */
    bool un_closing;           /* somebody waits for those in the loop ... */
    uint32_t un_locals;        /* ... of whom so many have their plug on the stack */
    _Atomic uint32_t un_tails; /* of those, who may still look at the unit */
    bool un_dying;             /* CFG_TERM has begun: no more opens */
    bool un_path;              /* un_fp may be used by who has not opened the disk ... */
    bool un_halting;           /* ... and somebody does: CFG_GONE */
    bool un_single, un_retain, un_reserved;
    bool un_area_busy;
    bool un_gather;
    bool un_clears;    /* on CHECK CONDITION it drops all it has of us: clr_q, or QERR */
    bool un_removable; /* its medium can be taken out ... */
    bool un_prevents;  /* ... but for DKPMR */
    bool un_lbprz;     /* unmapped blocks read as zeroes */
    bool un_ws_unmap;
    uint32_t un_unmap_blocks_max;
    uint32_t un_device_blocks_max; /* one READ or WRITE, as the device says; 0 no limit */
    uint64_t un_ws_blocks_max;
    event_t un_event;
    /* since configuration */
    struct trb *un_restart_trb, *un_delay_trb, *un_step_trb;
    uint64_t un_busy_ns, un_qfull_ns, un_error_ns, un_dead_ns, un_step_ns;
    void *un_area; /* DD_AREA_BYTES, whole pages */
    struct dd_chunk *un_chunks;
    uint32_t un_pool_total, un_pool_max;
    struct dd_frag *un_frags;
    struct dd_split *un_splits;
    size_t un_memory_bytes;
    struct dd_plug un_plugs[DD_PLUGS];
    struct dd_cmd un_reserve_cmd, un_unstick_cmd;
};

#define DD_HOLD_RECALLS (DD_HOLD_RECOVER | DD_HOLD_ERROR | DD_HOLD_INVALID)

void dd_lane_close_locked(struct dd_unit *un);
static inline void dd_hold_set_locked(struct dd_unit *un, uint32_t bits)
{
    un->un_hold |= bits;
    dd_lane_close_locked(un);
    if (bits & DD_HOLD_RECALLS)
        atomic_store_explicit(&un->un_recall, true, memory_order_relaxed);
}

static inline void dd_hold_clear_locked(struct dd_unit *un, uint32_t bits)
{
    un->un_hold &= ~bits;
    if (bits & DD_HOLD_RECALLS)
        atomic_store_explicit(&un->un_recall, (un->un_hold & DD_HOLD_RECALLS) != 0, memory_order_relaxed);
}

/* Memory of command structures. */
struct dd_chunk {
    struct dd_chunk *chunk_next;
    uint32_t chunk_n;
    struct dd_cmd chunk_cmds[];
};

static inline uint32_t dd_block_bytes(const struct dd_unit *un) { return 1u << un->un_shift; }

/*
 * The capacity may change while the disk is open, and 64 bits are not read in one go everywhere: on such a
 * machine there are two places, and the number of changes says which one counts. Another number afterwards:
 * the place may have been written to meanwhile, by the change after the next.
 */
static inline uint64_t dd_sectors(const struct dd_unit *un)
{
#if UINTPTR_MAX > UINT32_MAX
    return atomic_load_explicit(&un->un_size, memory_order_relaxed);
#else
    uint32_t changes, low, high;

    do {
        changes = atomic_load_explicit(&un->un_size_changes, memory_order_acquire);
        low = atomic_load_explicit(&un->un_size[changes & 1u][0], memory_order_acquire);
        high = atomic_load_explicit(&un->un_size[changes & 1u][1], memory_order_acquire);
    } while (SC_UNLIKELY(atomic_load_explicit(&un->un_size_changes, memory_order_relaxed) != changes));
    return (uint64_t)high << 32 | low;
#endif
}

/* ------------------------------------------------------------------ dd_ahead.c */

/* Only with un_ahead, which is looked at where they are called. Any environment, with or without locks. */
void dd_ahead_chain(const struct dd_unit *un, const struct buf *bp);
void dd_ahead_next(const struct dd_unit *un, const struct dd_cmd *next);

/* ------------------------------------------------------------------ dd_life.c, dd_open.c, dd_probe.c */

/* The unit of a device number, or NULL. Any environment. */
struct dd_unit *dd_unit_of(devno_t devno);
/* The same for who has not opened it: the unit stays until it is released. Process. */
struct dd_unit *dd_unit_hold(devno_t devno);
void dd_unit_release(devno_t devno);
int dd_open(devno_t devno, unsigned long devflag, long chan, int ext);
int dd_close(devno_t devno, long chan);
/* One try to enlarge the pool; false without memory. Process level, no lock. */
bool dd_pool_grow(struct dd_unit *un);
/* un_lock held, or nobody else can see the unit. */
void dd_size_set_locked(struct dd_unit *un, uint64_t sectors);
int dd_probe_ready(struct dd_unit *un);
int dd_probe_identify(struct dd_unit *un);
int dd_probe_capacity(struct dd_unit *un, struct dd_sync *sy, uint8_t flags);
/* Limits that follow from the adapter, the device and the attributes together. 0 or EINVAL. */
int dd_open_limits(struct dd_unit *un);
/* A new mode, unless the disk has gone. No lock held. */
void dd_mode_set(struct dd_unit *un, enum dd_mode mode);
/* Wait until nothing is queued, out or being recovered. Locks: un_lock held, dropped while asleep. */
void dd_open_wait_idle_locked(struct dd_unit *un);

/* ------------------------------------------------------------------ dd_gone.c */

/* CFG_GONE. */
int dd_gone(devno_t devno);
/* Is it? Locks: un_lock held. */
static inline bool dd_is_gone_locked(const struct dd_unit *un)
{
    return (un->un_hold & DD_HOLD_INVALID) != 0;
}
/* A pool command came back with an error, from a disk that has gone. Locks: un_lock held. */
void dd_gone_error_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* Recovery's own command is back, from a disk that has gone: nothing more is tried. Locks: un_lock held. */
void dd_gone_recovery_over_locked(struct dd_unit *un);
/* From now on CFG_GONE may use un_fp; from now on it does not, and is not. No lock held. */
void dd_gone_path_up(struct dd_unit *un);
void dd_gone_path_down(struct dd_unit *un);
/* Have recovery's own lost command back, or pause. Process; un_lock held, dropped meanwhile. */
void dd_fetch_locked(struct dd_unit *un);

/* ------------------------------------------------------------------ dd_strategy.c, dd_span.c, dd_frag.c */

void dd_strategy(struct buf *bp);
/* The disk is not what it was when these were judged: once more. Who is refused now goes to `resp`. */
void dd_judge_again_locked(struct dd_unit *un, struct dd_chain *in, struct dd_chain *resp);
static inline uint32_t dd_geometry(const struct dd_unit *un)
{
    return atomic_load_explicit(&un->un_geometry, memory_order_acquire);
}
/* Something of it has another value now. Locks: un_lock held. */
static inline void dd_geometry_changed_locked(struct dd_unit *un)
{
    atomic_store_explicit(&un->un_geometry, atomic_load_explicit(&un->un_geometry, memory_order_relaxed) + 1u,
                          memory_order_release);
}
static inline void dd_chain_add(struct dd_chain *ch, struct buf *first, struct buf *last, uint32_t n)
{
    if (ch->ch_head)
        ch->ch_tail->av_forw = first;
    else
        ch->ch_head = first;
    ch->ch_tail = last;
    ch->ch_n += n;
}
/* Take the head of pending, and what may go with it, into cmd. */
void dd_span_take_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* The command for one buf that is in no queue. */
void dd_span_of_locked(struct dd_unit *un, struct dd_cmd *cmd, struct buf *bp);
/* May `next` follow `bp` in one command of so far `bytes`? */
bool dd_span_fits(const struct dd_unit *un, const struct buf *bp, const struct buf *next, size_t bytes);
/* Cut the next piece of the current, or of the first pending, large buf. False: no record. */
bool dd_frag_cut_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* A piece ended: `moved` bytes of it came through. Queues the response when it was the last. */
void dd_frag_done_locked(struct dd_unit *un, struct dd_cmd *cmd, size_t moved, int error,
                         struct dd_chain *resp);
/* Cut no more of the current one: what is not cut has failed. */
void dd_frag_stop_locked(struct dd_unit *un, int error, struct dd_chain *resp);

/* ------------------------------------------------------------------ dd_start.c, dd_done.c */

/* Enter the driver with newly accepted bufs (may be empty): queue, start, complete, until quiet. `geometry`:
 * un_geometry before they were judged. */
void dd_run(struct dd_unit *un, const struct dd_chain *submitted, uint32_t geometry);
/* The same, for a command that came back. */
void dd_run_done(struct dd_unit *un, struct dd_cmd *cmd);
/* Look at the queues again: something has changed. No lock held. */
void dd_kick(struct dd_unit *un);
/* Wait until all who are in the loop have given back what they had. Process; un_lock held, dropped while
 * asleep. */
void dd_plugs_wait_locked(struct dd_unit *un);
/* This thread's plug if it is inside the driver already, else NULL. */
struct dd_plug *dd_plug_mine(struct dd_unit *un);
/* The loop, for who holds a plug and un_lock; both are given back. `old` is for unlock_enable. */
void dd_run_plugged(struct dd_unit *un, struct dd_plug *plug, uintptr_t me, int old);
/* Give the slot back; its lists are empty. */
void dd_plug_drop(struct dd_unit *un, struct dd_plug *plug);
static inline uintptr_t dd_plug_self(void)
{
    uintptr_t me = (uintptr_t)thread_self();

    KASSERT(me != 0);
    return me;
}
static inline struct dd_plug *dd_plug_slot(struct dd_unit *un, uintptr_t me)
{
    /* Thread numbers are counters on one host and addresses on another. */
    return &un->un_plugs[(me ^ me >> 6 ^ me >> 12) & (DD_PLUGS - 1u)];
}
/* A command has come back: to the end of what the holder looks at. */
static inline void dd_plug_done(struct dd_plug *plug, struct dd_cmd *cmd)
{
    cmd->cmd_next = NULL;
    if (plug->pl_done_head)
        plug->pl_done_tail->cmd_next = cmd;
    else
        plug->pl_done_head = cmd;
    plug->pl_done_tail = cmd;
}

/* ------------------------------------------------------------------ dd_lane.c */

/* Send one buf past the queues; false: not possible, nothing has happened. Any environment, no lock. */
bool dd_lane_submit(struct dd_unit *un, struct buf *bp, uint32_t geometry);
void dd_lane_open_locked(struct dd_unit *un);
/* Is a command of the lane on its way? Only of use when it is closed. */
bool dd_lane_busy_locked(const struct dd_unit *un);
/* How many have ended there and are not in un_stats yet. */
uint64_t dd_lane_done_locked(const struct dd_unit *un);
/* Close what must not be open any more, open what has proved to be of use. */
void dd_lane_look_locked(struct dd_unit *un, bool inside, bool more);
/* All is quiet, and stays so: its structures go back to the pool. */
void dd_lane_fini_locked(struct dd_unit *un);
void dd_lane_stats_locked(const struct dd_unit *un, struct sc_disk_stats *st);
/* One command's duration (dd_done.c). */
void dd_sample_locked(struct dd_unit *un, const struct dd_cmd *cmd);
void dd_pool_put_locked(struct dd_unit *un, struct dd_cmd *cmd);
void dd_inproc_add_locked(struct dd_unit *un, struct dd_cmd *cmd);
void dd_inproc_del_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* Has a hold begun that takes back what was picked? Then this one is not in process any more; its caller
 * keeps it. */
bool dd_recalled_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* Wake those who wait for a slot, for silence or for the area. */
void dd_wake_locked(struct dd_unit *un);
void dd_restart_fired(struct trb *t);
/* The less usual completions. */
void dd_done_other_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* b_iodone of every sc_buf. */
void dd_done(struct buf *bp);
/* Give the structure of a command that ended well back and queue its bufs' responses. */
void dd_release_locked(struct dd_unit *un, struct dd_cmd *cmd, struct dd_chain *resp);

/* ------------------------------------------------------------------ dd_cdb.c, dd_sense.c, dd_recover.c */

/* Build the smallest READ/WRITE that fits; returns its length. Exported to tests. */
uint8_t dd_cdb_rw(uint8_t *cdb, bool read, uint32_t options, uint64_t lba, uint32_t blocks, uint8_t lun_bits);
/* Fill the sc_buf of a READ/WRITE command. No lock: the command is ours. */
void dd_cdb_build(struct dd_unit *un, struct dd_cmd *cmd);
const struct dd_rule *dd_sense_rule(const struct scsi_sense *sense, bool removable);
/* The row for an error return without sense; NULL: ask for sense. */
const struct dd_rule *dd_status_rule(const struct sc_buf *sc);

/* An sc_buf came back with B_ERROR. */
void dd_recover_error_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* What recovery wants to have sent, or NULL. */
struct dd_cmd *dd_recover_take_locked(struct dd_unit *un);
/* The recovery commands came back. */
void dd_recover_unstick_done_locked(struct dd_unit *un);
void dd_recover_reserve_done_locked(struct dd_unit *un);
void dd_recover_delay_fired(struct trb *t);
/* The timer of waits. False: not to be had. Stopped, it changes nothing, though it may be running. */
bool dd_delay_start_locked(struct dd_unit *un, uint64_t ns);
void dd_delay_stop_locked(struct dd_unit *un);
/* A command came back while recovery waits for one; good: without an error. */
void dd_recover_nudge_locked(struct dd_unit *un, bool good);
/* The same with these flags; cdb NULL: a queue transaction. */
void dd_recover_ready_locked(struct dd_unit *un, enum dd_rec_state state, const uint8_t *cdb,
                             uint8_t cdb_bytes, uint8_t flags, uint32_t data_bytes);
void dd_recover_sense_locked(struct dd_unit *un);
/* Give the recovery structure a command, which the loop sends. */
void dd_recover_send_locked(struct dd_unit *un, enum dd_rec_state state, const uint8_t *cdb,
                            uint8_t cdb_bytes, uint32_t data_bytes);
/* Something is due and wants to be done now: begin, if nothing runs. The caller runs the loop. */
void dd_recover_begin_locked(struct dd_unit *un);
/* Judge what is parked; then finish. */
void dd_recover_next_locked(struct dd_unit *un);
/* A command's bufs change gauge. Fragments stay in process with their buf. */
void dd_recover_count_locked(struct dd_cmd *cmd, uint64_t *from, uint64_t *to, unsigned state);
/*
 * Keep a command that was not executed, or is tried again, for its turn. Its bufs leave that gauge. One that
 * was sent is counted by the caller before (dd_requeue_count()).
 */
void dd_recover_again_locked(struct dd_unit *un, struct dd_cmd *cmd, uint64_t *from);

/* ------------------------------------------------------------------ dd_requeue.c */

/* It will have been sent once more: that decides its place. */
void dd_requeue_count(struct dd_cmd *cmd);
/* Put it among what is to be sent again; un_again counts it. */
void dd_requeue_locked(struct dd_unit *un, struct dd_cmd *cmd);
void dd_requeue_split_locked(struct dd_unit *un, struct dd_split *split);
/* Is a buf of a split span the next to go? */
bool dd_requeue_split_first_locked(const struct dd_unit *un);

/* ------------------------------------------------------------------ dd_halt.c */

/* It came back with B_ERROR and waits in this thread's plug: hold what is new. Takes the lock. */
void dd_halt_note(struct dd_unit *un, struct dd_cmd *cmd);
/* Now it has its turn. */
void dd_halt_noted_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* It came back ENXIO. */
void dd_halt_thrown_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* Before the hold ends: does anybody have to come home? Begins to wait. */
bool dd_halt_home_locked(struct dd_unit *un);
/* In DD_REC_HALT: somebody came home; or (timer) the time is over. */
void dd_halt_look_locked(struct dd_unit *un, bool timer);

/* Those parked fail: nobody will judge them. */
void dd_recover_fail_parked_locked(struct dd_unit *un);

/* ------------------------------------------------------------------ dd_states.c, dd_dead.c */

const struct dd_state *dd_state_of(enum dd_rec_state state);
void dd_step_begin_locked(struct dd_unit *un);
void dd_step_end_locked(struct dd_unit *un);
void dd_step_fired(struct trb *t);
/* Has recovery's own command been given up? Only its coming home lets recovery go on. Locks: un_lock held. */
static inline bool dd_step_lost_locked(const struct dd_unit *un) { return un->un_rec.rec_late > 1; }
void dd_dead_set_locked(struct dd_unit *un);
bool dd_dead_silence_locked(struct dd_unit *un, const struct dd_rule *rule, bool used_up);
void dd_dead_alive_locked(struct dd_unit *un);
bool dd_dead_try_locked(struct dd_unit *un);
void dd_dead_asked_locked(struct dd_unit *un, const struct sc_buf *sc, bool failed);
void dd_dead_forget_locked(struct dd_unit *un);
/* Somebody at process level wants something of it: if its time is over, a reset first. No lock held. */
void dd_dead_reset(struct dd_unit *un);
static inline void dd_dead_mend(struct dd_unit *un)
{
    if (SC_UNLIKELY(atomic_load_explicit(&un->un_absent, memory_order_relaxed)))
        dd_dead_reset(un);
}
/* Whatever is said next is worth asking for: the disk is being closed, and not all is on it. */
void dd_dead_last_chance(struct dd_unit *un);

/* ------------------------------------------------------------------ dd_ready.c, dd_todo.c */

void dd_ready_due_locked(struct dd_unit *un, unsigned flags);
bool dd_ready_step_locked(struct dd_unit *un);
void dd_ready_done_locked(struct dd_unit *un, unsigned step, bool failed);
void dd_ready_sense_locked(struct dd_unit *un, const struct scsi_sense *sense, unsigned flags);

void dd_todo_set_locked(struct dd_unit *un, unsigned bits);
void dd_todo_forget_locked(struct dd_unit *un);
bool dd_todo_step_locked(struct dd_unit *un);
void dd_todo_done_locked(struct dd_unit *un, unsigned step);
/* Open in the ordinary way: not while an open or a diagnostic program is about it. */
bool dd_is_open(const struct dd_unit *un);
/* What sense data means for the disk as a whole; flags: DD_RULE_*. */
void dd_disk_effects_locked(struct dd_unit *un, unsigned flags, const struct scsi_sense *sense);
bool dd_todo_keys(const uint8_t *data, uint32_t bytes);
void dd_refuse_waiting_locked(struct dd_unit *un, int error);
void dd_todo_refuse_locked(struct dd_unit *un, int error);

/* Take the next buf of the first split span into cmd. Locks: un_lock held. */
void dd_split_take_locked(struct dd_unit *un, struct dd_cmd *cmd);
/* Would what the adapter driver has kept overtake what is to be sent again? */
bool dd_split_overtaken_locked(const struct dd_unit *un);
/* Finish a parked command (dd_split.c). */
void dd_split_fail_locked(struct dd_unit *un, struct dd_cmd *cmd, const struct dd_rule *rule,
                          const struct scsi_sense *sense);
void dd_sync_finish_locked(struct dd_unit *un, struct dd_cmd *cmd, int error, bool again);

/* ------------------------------------------------------------------ dd_internal.c, dd_gather.c */

/* Send a command of our own and wait. 0 or sy_error. Process, no lock. */
int dd_sync_run(struct dd_unit *un, struct dd_sync *sy);
/*
 * Taken before a range is judged, and given to the command that has its addresses in its CDB: that is not
 * sent when they have come to mean something else (EFORMAT; EACCES during a format) or the disk now ends
 * before `end`, a sector (ENXIO).
 */
static inline struct dd_blocks dd_blocks_of(const struct dd_unit *un)
{
    return (struct dd_blocks){.bl_geometry = dd_geometry(un), .bl_shift = un->un_shift};
}
static inline void dd_sync_blocks(struct dd_sync *sy, const struct dd_blocks *bl, uint64_t end)
{
    sy->sy_flags |= DD_SYNC_BLOCKS;
    sy->sy_blocks = *bl;
    sy->sy_blocks.bl_end = end;
}
/* Prepare one with everything zero, CDB length by opcode group. */
void dd_sync_init(struct dd_sync *sy, uint8_t opcode, void *data, uint32_t bytes, bool read);
/* The driver's own pages; one user at a time. */
void dd_area_get(struct dd_unit *un);
/* Sleep on the unit; the lock is dropped meanwhile. Look again afterwards. Process. */
void dd_sleep_locked(struct dd_unit *un);
void dd_area_put(struct dd_unit *un);
static inline uint8_t *dd_area_data(const struct dd_unit *un)
{
    return (uint8_t *)un->un_area + DD_AREA_ARG_BYTES;
}
/* Move [lba, lba + blocks) to or from the area's data, through strategy. */
int dd_area_rw(struct dd_unit *un, uint64_t lba, uint32_t blocks, bool read, uint32_t options, size_t *moved);
int dd_cache_sync(struct dd_unit *un);

/* ------------------------------------------------------------------ dd_lost.c */

void dd_lost_note_locked(struct dd_unit *un, int error);
void dd_lost_note(struct dd_unit *un, int error);
void dd_lost_forget(struct dd_unit *un);
uint32_t dd_lost_mark(struct dd_unit *un);
int dd_lost_tell(struct dd_unit *un, uint32_t *mark);
int dd_lost_flush(struct dd_unit *un, uint32_t *mark);
int dd_lost_ioctl(struct dd_unit *un, intptr_t arg, unsigned long devflag);

/* ------------------------------------------------------------------ dd_internal.c, again */

/* Something was, or is about to be, written; or nothing is left to be made durable. Returns what was. */
bool dd_dirty_set(struct dd_unit *un, bool dirty);
/* The same with true, cheap, and with or without the lock. */
static inline void dd_dirty_mark(struct dd_unit *un)
{
    if (!atomic_load_explicit(&un->un_dirty, memory_order_acquire))
        atomic_store_explicit(&un->un_dirty, true, memory_order_release);
}
/* Put the caller's uio back as it was before a (re)send: adapter drivers may alter it (AIX-17). */
void dd_gather_restore(struct dd_sync *sy);
/* Move a uio forward: resid, offset, pieces and their xmem descriptors together. */
void dd_uio_advance(struct uio *uiop, size_t bytes);
/* One gathered write; EOPNOTSUPP: use another way, nothing happened. */
int dd_gather_write(struct dd_unit *un, struct uio *uiop, uint32_t options);

/* ------------------------------------------------------------------ dd_rdwr.c, dd_ioctl.c, dd_range.c */

int dd_read(devno_t devno, struct uio *uiop, long chan, int ext);
int dd_write(devno_t devno, struct uio *uiop, long chan, int ext);
int dd_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext);
/* PREVENT or ALLOW MEDIUM REMOVAL. */
int dd_medium_keep(struct dd_unit *un, bool keep);
int dd_range_unmap(struct dd_unit *un, const struct sc_range *range);
int dd_range_zero(struct dd_unit *un, const struct sc_range *range, bool may_unmap);
int dd_range_extent(struct dd_unit *un, struct sc_extent *ext);

/* ------------------------------------------------------------------ dd_flight.c */

/* DKFLIGHT. Process, no lock. */
int dd_flight_copyout(struct dd_unit *un, intptr_t arg, unsigned long devflag);
/* A command that came back with an error has been judged. */
void dd_flight_seen_locked(struct dd_unit *un, const struct dd_cmd *cmd, int error, const char *rule,
                           const char *did, const struct scsi_sense *sense, uint32_t sense_bytes);
/* This buf has its end; it is marked DD_BUF_TOLD. */
void dd_flight_end_locked(struct dd_unit *un, struct buf *bp, int error);
static inline void dd_flight_done_locked(struct dd_unit *un, struct buf *bp, int error)
{
    if (SC_UNLIKELY(bp->b_work & DD_BUF_TOLD))
        dd_flight_end_locked(un, bp, error);
}

/* ------------------------------------------------------------------ dd_trace.c */

void dd_trace_sent(const struct dd_unit *un, const struct dd_cmd *cmd);
void dd_trace_judged(const struct dd_unit *un, const struct dd_cmd *cmd, int error, const char *rule,
                     const char *did, const struct scsi_sense *sense);
/* A command is about to be sent. */
static inline void dd_trace_send(const struct dd_unit *un, const struct dd_cmd *cmd)
{
    if (trc_ison())
        dd_trace_sent(un, cmd);
}
/* A request is about to be given back. */
static inline void dd_trace_iodone(devno_t devno, const struct buf *bp)
{
    TRCHKL4T(HKWD_DD_IODONE, devno, (uintptr_t)bp, bp->b_flags & B_ERROR ? bp->b_error : 0, bp->b_resid);
}
/* Recovery has another state. */
static inline void dd_trace_state(const struct dd_unit *un)
{
    TRCHKL2T(HKWD_DD_STATE, un->un_devno, un->un_rec.rec_state);
}

/* ------------------------------------------------------------------ dd_stats.c */

void dd_stats_get(struct dd_unit *un, struct sc_disk_stats *out);
/*
 * Walk every queue and compare with the counters; panics on a difference, returns the number of
 * bufs the driver holds. For tests. Takes the lock.
 */
uint64_t dd_check_invariants(devno_t devno);
/* Bytes of memory held for this unit. For tests. */
size_t dd_memory_bytes(devno_t devno);
/* One line in the error log. `cmd` may be NULL; else un_lock is held, and the flight recorder has it too. */
void dd_log(struct dd_unit *un, const struct dd_cmd *cmd, uint32_t id, bool temp, int error, const char *rule,
            const char *did, const uint8_t *sense, uint32_t sense_bytes);

#endif /* DD_IMPL_H */
