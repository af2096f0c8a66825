/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_impl.h - what the files of the simulated adapter share: the bus, a disk, one command being
 * executed, and the table row that describes an operation code.
 *
 * Outline: limits / sense / a disk / a command / the bus / functions by file.
 * Does not contain: the contract for users (sim.h), wire formats (sys/scsiproto.h).
 *
 * Locks. bus_lock (rank HW) guards the task sets of all disks, the list of those that wait, and their
 * timer. dk_lock (rank HW_DEV) guards everything of a disk but the hot fields and its task set. Neither is
 * held in a callback into the core. dk_turn (rank HW) is held while a task of the disk is executed and is the
 * only one held over the medium.
 */
#ifndef SIM_IMPL_H
#define SIM_IMPL_H

#include "sim.h"
#include <scpair/ad_hw.h>
#include <scpair/shim.h>
#include <stdatomic.h>
#include <sys/scsched.h>
#include <sys/scsi.h>
#include <sys/scsiproto.h>
#include <sys/sctypes.h>

/* ---------------------------------------------------------------- limits */

#define SIM_TAGS_MAX         64u   /* tags per LUN; the depth for which the memory limits are stated */
#define SIM_SEGS_MAX         258u  /* 1 MiB in pages, with both ends cut, and one to spare */
#define SIM_COMMANDS_MAX     1024u /* default credits of the adapter */
#define SIM_TRANSFER_DEFAULT (1u << 20)
#define SIM_BLOCK_MAX        4096u
#define SIM_PHYSICAL_MAX     65536u
#define SIM_CAW_BLOCKS_MAX   16u        /* MAXIMUM COMPARE AND WRITE LENGTH */
#define SIM_WRITE_SAME_MAX   (1u << 23) /* blocks: keeps one command's inline run bounded */
#define SIM_UNMAP_DESCS_MAX  255u       /* its list fits one page */
#define SIM_ATTENTIONS_MAX   6u
#define SIM_NEXUS_COUNT      SIM_INITIATORS /* the adapter, and the others of the tests */
#define SIM_NEXUS_ADAPTER    0u
#define SIM_TASK_ABORTED     0x40u /* status TASK ABORTED */
#define SIM_MODE_BYTES       56u   /* all mode pages end to end */

/* ---------------------------------------------------------------- sense */

struct sim_sense {
    bool se_valid;
    bool se_descriptor; /* always hand out in descriptor format */
    bool se_deferred;   /* of an earlier command */
    bool se_info_valid;
    bool se_field_valid; /* se_field holds the three sense-key-specific bytes */
    uint8_t se_key, se_asc, se_ascq;
    uint8_t se_field[3];
    uint64_t se_info;
};

/*
 * What a disk remembers for one initiator. Parallel SCSI has no autosense: after CHECK CONDITION
 * the sense waits here (contingent allegiance) until REQUEST SENSE fetches it, or until the next
 * command of that initiator throws it away.
 *
 * Which one is the next? Several threads may be inside start() when the condition arises, and a command
 * that was under way then is none of the next: a chip that sees CHECK CONDITION does not send what it
 * still holds. So a tagged command is the next one only if the initiator knows of the condition:
 * it comes from the thread that was given it (nx_thread), or an untagged command has come since
 * (nx_told), because nobody mixes those. Any other waits until the allegiance is over (sim_task.c).
 */
struct sim_nexus {
    struct sim_sense nx_sense;
    uint64_t nx_thread;
    uint64_t nx_since_ns; /* nx_sense is there */
    bool nx_told;
    uint32_t nx_attentions; /* entries used of: */
    struct {
        uint8_t ua_asc, ua_ascq;
    } nx_attention[SIM_ATTENTIONS_MAX];
    bool nx_registered; /* persistent reservations */
    uint64_t nx_key;
    bool nx_prevents; /* PREVENT ALLOW: the medium stays in */
};

/* ---------------------------------------------------------------- a disk */

/*
 * Why a disk's commands leave the hot path; one word, read once per command. The last two
 * matter for writes only.
 */
enum {
    SIM_ODD_ATTENTION = 0x01, /* a unit attention waits */
    SIM_ODD_SENSE = 0x02,     /* sense waits */
    SIM_ODD_FAULTS = 0x04,    /* a fault rule is still due */
    SIM_ODD_RESERVED = 0x08,  /* reserved by somebody else */
    SIM_ODD_STOPPED = 0x10,
    SIM_ODD_LATENCY = 0x20,
    SIM_ODD_DEPTH = 0x40, /* the queue has a limit */
    SIM_ODD_WATCH = 0x80,
    SIM_ODD_GONE = 0x100,
    SIM_ODD_PROTECT = 0x200,
    SIM_ODD_WRITE_THROUGH = 0x400,
    SIM_ODD_GATE = 0x800,    /* something has to run alone, or in order */
    SIM_ODD_FROZEN = 0x1000, /* the core is to hear of an error, or has asked for it */
    SIM_ODD_ANY = 0xffff     /* above them: which disk this is of those that were at this place */
};
#define SIM_ODD_SERIES     0x10000u
#define SIM_ODD_WRITE_ONLY (SIM_ODD_PROTECT | SIM_ODD_WRITE_THROUGH)

/*
 * Hot counters, one stripe per tag. A tag has one owner at a time, so plain loads and stores are
 * exact; the atomics are relaxed and cost nothing. Untagged commands share the last stripe: there is
 * one at a time by the nature of untagged queueing. sp_busy says that the tag is in use, and by whom.
 */
enum { SIM_BUSY_NOT, SIM_BUSY_HOT, SIM_BUSY_TASK };
struct sim_stripe {
    _Alignas(64) _Atomic uint32_t sp_busy; /* SIM_BUSY_* */
    _Atomic uint64_t sp_bytes[2];          /* read, written */
    _Atomic uint64_t sp_ops[8];            /* READ 6, 10, 12, 16, WRITE 6, 10, 12, 16 */
};

struct sim_fault_slot {
    struct sim_fault fs_rule;
    uint32_t fs_skip_left;
    uint32_t fs_count_left; /* meaningless when f_count is 0 */
    uint32_t fs_every_left; /* so many commands pass before the next is struck */
    uint64_t fs_next_ns;    /* with f_interval_ns: no strike before */
    uint64_t fs_random;
};

struct sim_disk {
    /* Hot: read by every command, written rarely. */
    _Atomic uint32_t dk_odd; /* SIM_ODD_*; written under dk_lock */
    /* Atomic, because the hot path reads them before it has seen which disk this is. */
    _Atomic uint8_t dk_block_shift;
    _Atomic uint8_t dk_hot_qmsg; /* the tag message of the hot path; none when the disk does not queue */
    uint8_t dk_lun_bits;         /* the LUN as SCSI-2 puts it in CDB byte 1; 0 when it does not fit */
    _Atomic uint64_t dk_blocks;
    const struct sim_medium_ops *dk_ops;
    void *dk_medium;
    _Atomic uintptr_t dk_memory; /* of the medium, 0 none: for sim_ahead.c, which only computes with it */
    struct sim_stripe dk_stripe[SIM_TAGS_MAX + 1];

    /* Set when added. */
    struct sim_bus *dk_bus;
    uint32_t dk_series;         /* how many disks were here before; under dk_lock */
    _Atomic uint32_t dk_inside; /* threads in the ordinary path */
    uint8_t dk_id, dk_lun;
    bool dk_read_only;
    bool dk_removable;
    bool dk_tags;
    uint8_t dk_physical_exponent; /* logical blocks per physical block, as a power of two */
    uint32_t dk_block_bytes;
    _Atomic uint32_t dk_transfer_blocks_max;
    uint32_t dk_depth;
    uint64_t dk_latency_ns;
    char dk_serial[17];

    /* Counters of the ordinary path. */
    _Atomic uint64_t dk_opcode[256];
    _Atomic uint64_t dk_bytes_read, dk_bytes_written;
    _Atomic uint64_t dk_protocol[SIM_PROTOCOL_COUNT];
    _Atomic uint64_t dk_medium_errors[2]; /* told to an initiator: reading, writing */
    _Atomic uint32_t dk_active, dk_active_max;

    /* Under bus_lock. */
    struct sim_task *dk_tasks, *dk_tasks_last; /* by arrival */
    uint32_t dk_blocked;                       /* of these: held back */
    uint32_t dk_orders;                        /* of these: ORDERED or HEAD OF QUEUE */

    struct shim_lock dk_turn; /* see above */
    struct shim_lock dk_lock; /* everything below */
    uint32_t dk_gate;         /* reasons to keep the hot path closed */
    uint32_t dk_frozen;       /* freezes of the chip's contract that have not been undone */
    struct sim_nexus dk_nexus[SIM_NEXUS_COUNT];
    struct sim_fault_slot dk_fault[SIM_FAULTS_MAX];
    uint32_t dk_faults;
    bool dk_stopped;
    bool dk_ejected; /* no medium; never on a fixed disk */
    bool dk_gone;
    uint8_t dk_mode[SIM_MODE_BYTES];
    uint8_t dk_mode_saved[SIM_MODE_BYTES];
    int8_t dk_reserve_holder; /* RESERVE: nexus, or -1 */
    int8_t dk_pr_holder;      /* persistent reservation: nexus, or -1 */
    uint8_t dk_pr_type;       /* 0 none */
    uint32_t dk_pr_generation;
    void (*dk_watch)(void *arg, const struct ad_xfer *xfer);
    void *dk_watch_arg;
};

/* ---------------------------------------------------------------- a command */

struct sim_cmd;

/* How a reservation held by somebody else treats an operation. */
enum sim_access {
    SIM_ACCESS_FREE,    /* always allowed */
    SIM_ACCESS_PR_FREE, /* allowed under a persistent reservation, not under RESERVE */
    SIM_ACCESS_READ,    /* allowed under write exclusive */
    SIM_ACCESS_WRITE
};

/* Where a CDB has its block range. */
enum sim_range { SIM_RANGE_NONE, SIM_RANGE_6, SIM_RANGE_10, SIM_RANGE_12, SIM_RANGE_16, SIM_RANGE_CAW };

/*
 * How much data a CDB asks for. Multiples of 8 are the kinds below; any other number is a length field:
 * the byte where it begins times 8, plus its bytes (SIM_DATA_LEN in sim_ops.c).
 */
enum sim_data_kind {
    SIM_DATA_NONE = 0 * 8,
    SIM_DATA_BLOCKS = 1 * 8, /* the block range */
    SIM_DATA_TWICE = 2 * 8,  /* the block range two times */
    SIM_DATA_VERIFY = 3 * 8, /* as BYTCHK says: nothing, the block range, or one block */
    SIM_DATA_BLOCK = 4 * 8,  /* one block, or nothing with WRITE SAME's NDOB */
    SIM_DATA_FORMAT = 5 * 8, /* with FMTDATA a header, long or short */
    SIM_DATA_EIGHT = 6 * 8   /* eight bytes */
};

enum {
    SIM_OP_IN = 0x01,      /* has a data-in phase */
    SIM_OP_OUT = 0x02,     /* has a data-out phase */
    SIM_OP_MEDIUM = 0x04,  /* needs a started unit */
    SIM_OP_QUIET = 0x08,   /* does not report unit attention */
    SIM_OP_ACTION = 0x10,  /* byte 1 holds a service action: op_usage[1] is its value */
    SIM_OP_UNMAP = 0x20,   /* only when the medium can unmap */
    SIM_OP_ABSENT = 0x40,  /* answered for a LUN that is not there */
    SIM_OP_READS = 0x80,   /* SIM_OPCODE_READS */
    SIM_OP_WRITES = 0x100, /* SIM_OPCODE_WRITES */
    SIM_OP_MODIFY = 0x200, /* changes the medium: refused when it is write-protected */
    SIM_OP_ALONE = 0x400   /* nothing of the disk runs beside it */
};

/*
 * One row of the operation table. op_usage is the CDB usage data of SPC: a bit that is not set
 * there must be 0 in a CDB. It both checks CDBs and answers REPORT SUPPORTED OPERATION CODES.
 */
struct sim_op {
    uint8_t op_code;
    uint8_t op_cdb_bytes;
    uint8_t op_access; /* enum sim_access */
    uint8_t op_range;  /* enum sim_range */
    uint8_t op_data;   /* enum sim_data_kind, or a length field */
    uint16_t op_flags; /* SIM_OP_* */
    uint8_t op_usage[16];
    void (*op_run)(struct sim_cmd *c);
};

/* One command while it is being executed; lives on the stack. */
struct sim_cmd {
    struct sim_bus *c_bus;
    struct sim_disk *c_disk; /* NULL: the id is there, the LUN is not */
    struct ad_xfer *c_xfer;
    const struct sim_op *c_op; /* NULL: unknown operation code */
    uint8_t c_cdb[16];         /* LUN bits of byte 1 removed, zeroes after the end */
    uint8_t c_nexus;
    uint8_t c_result; /* enum ad_result */
    uint8_t c_status;
    bool c_range;  /* c_lba and c_blocks are valid */
    bool c_bad;    /* stop before c_bad_lba */
    bool c_aborts; /* the adapter's other commands are to be aborted */
    uint64_t c_lba, c_blocks;
    uint64_t c_bad_lba;
    uint64_t c_room_bytes;  /* what the data phase can carry in this operation's direction */
    uint64_t c_want_bytes;  /* what the CDB asks for; an allocation length is an upper bound */
    uint64_t c_short_bytes; /* SIM_FAULT_SHORT: not moved at the end */
    uint64_t c_moved_bytes;
    struct sim_sense c_sense;
};

/* ---------------------------------------------------------------- the bus */

/* A command in a disk's task set. */
struct sim_task {
    struct sim_task *tk_next, *tk_prev;     /* of the bus, by time, while it waits */
    struct sim_task *tk_older, *tk_younger; /* of the disk, by arrival */
    struct ad_xfer *tk_xfer;
    struct sim_disk *tk_disk;
    struct sim_stripe *tk_stripe; /* its tag; NULL: the tag has been given up */
    uint64_t tk_when_ns;          /* UINT64_MAX: hangs, or is held back */
    uint64_t tk_delay_ns;         /* to wait when it is held back no more */
    uint8_t tk_qmsg;
    bool tk_waiting; /* in the list by time */
    bool tk_blocked; /* held back */
    bool tk_overdue; /* held back for too long */
    bool tk_aborted; /* wanted back while it was on its way to run */
    bool tk_dead;    /* dropped by the target: will never end by itself */
};

/* A reset under way. */
#define SIM_RESETS_MAX 8u
struct sim_reset {
    struct shim_timer rs_timer;
    struct sim_bus *rs_bus;
    bool rs_busy;     /* bus_lock */
    uint8_t rs_which; /* enum ad_hw_reset */
    uint8_t rs_id, rs_lun;
};

/* Transfers in a row, linked through their scratch. */
struct sim_line {
    struct ad_xfer *ln_head, *ln_tail;
};
#define SIM_BATCH_MAX 32u /* commands an interrupt hands back at once */

struct sim_bus {
    struct shim_dev bus_dev;                                      /* first: the device half */
    _Atomic(struct sim_disk *) bus_disk[SC_IDS_MAX][SC_LUNS_MAX]; /* places; a gone disk keeps its own */
    struct ad_adapter *bus_ad;
    uint64_t bus_transfer_bytes_max;
    uint32_t bus_commands_max;
    uint8_t bus_adapter_id;
    bool bus_clears_queue;
    bool bus_no_tags;
    uint8_t bus_pend;          /* enum sim_pend */
    uint8_t bus_op_index[256]; /* first row of the operation table, 1-based; 0 none */

    struct shim_timer bus_timer;
    struct shim_lock bus_lock;   /* everything below */
    struct sim_task bus_waiting; /* list head, by time; hanging ones at the end */
    struct sim_task *bus_free;
    struct sim_task *bus_task_array;
    bool bus_was_full;
    bool bus_cut;         /* isolated: nothing is called back any more */
    bool bus_anew;        /* an adapter reset ends when bus_calling is 0 */
    uint8_t bus_deaf;     /* enum sim_deaf */
    uint32_t bus_calling; /* tasks off the list whose end the core has not been told, or is just being told */
    uint64_t bus_reset_ns;
    struct sim_reset bus_resets[SIM_RESETS_MAX];

    /* With bus_pend: sim_batch.c. */
    struct shim_timer bus_batch_timer;
    struct sim_line bus_held, bus_sent;
    struct ad_xfer **bus_running; /* what a thread is at, NULL none */
    unsigned bus_nrunning;
    bool bus_batch_armed;
};

/* ---------------------------------------------------------------- functions */

#define SIM_PATIENCE_NS 1000000u /* between two looks at a thread that has lost its processor */
/* How long to wait after a wait of ns was in vain. */
static inline uint64_t sim_longer(uint64_t ns) { return ns < SIM_PATIENCE_NS ? 2 * ns : ns; }

/* Does the adapter reset have to wait for threads that are inside the core? Then they tell its end. */
bool sim_tasks_forget(struct sim_bus *bus);

/* So many of those have returned from the core, or need not go there. No lock held, the core is called back.
 */
void sim_calls_end(struct sim_bus *bus, unsigned n);

/* sim_bus.c: a command arrives at its disk, as start() says; abort() of one that has. */
int sim_bus_start(struct sim_bus *bus, struct ad_xfer *xfer);
void sim_bus_abort(struct sim_bus *bus, struct ad_xfer *xfer);
/* The place's disk, also one that has gone; NULL none. */
struct sim_disk *sim_disk_at(struct sim_bus *bus, unsigned id, unsigned lun);

/* sim_batch.c: the chip in batches. */
void sim_batch_init(struct sim_bus *bus, enum sim_pend pend);
int sim_batch_start(struct sim_bus *bus, struct ad_xfer *xfer);
void sim_batch_flush(void *hw);
unsigned sim_batch_poll(void *hw, unsigned budget);
unsigned sim_batch_run(struct sim_bus *bus, unsigned n);
/* What has not reached its disk comes back undelivered: of one id, one LUN; -1 all. No lock held. */
void sim_batch_reset(struct sim_bus *bus, int id, int lun);
/* True: it had not reached its disk, and is back. */
bool sim_batch_abort(struct sim_bus *bus, const struct ad_xfer *xfer);
void sim_batch_forget_locked(struct sim_bus *bus);

/* sim_ahead.c: the chip's entry of that name. */
bool sim_ahead(void *hw, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how);

/* sim_exec.c: one command from CDB to status. */
void sim_cmd_init(struct sim_cmd *c, struct sim_bus *bus, struct sim_disk *disk, struct ad_xfer *xfer,
                  unsigned nexus);
void sim_execute(struct sim_cmd *c);
void sim_finish(struct sim_cmd *c);
void sim_check(struct sim_cmd *c, uint8_t key, uint8_t asc, uint8_t ascq);
void sim_check_info(struct sim_cmd *c, uint8_t key, uint8_t asc, uint8_t ascq, uint64_t info);
void sim_check_cdb(struct sim_cmd *c, unsigned byte, unsigned bit);
void sim_check_param(struct sim_cmd *c, unsigned byte, unsigned bit);
void sim_check_medium(struct sim_cmd *c, int error, bool write, uint64_t lba);
bool sim_range_ok(struct sim_cmd *c);
void sim_protocol_note(const struct sim_cmd *c, enum sim_protocol kind);
void sim_protocol(struct sim_cmd *c, enum sim_protocol kind);
bool sim_allegiance_arrival(struct sim_cmd *c);
bool sim_allegiance_older(struct sim_disk *disk, unsigned nexus, uint64_t ns);
void sim_allegiance_end(struct sim_cmd *c);
void sim_allegiance_told(struct sim_disk *disk, unsigned nexus);

/* sim_task.c: the task set. */
struct sim_stripe *sim_stripe_of(struct sim_disk *disk, const struct ad_xfer *x);
struct sim_task *sim_task_enter(struct sim_cmd *c, uint64_t delay_ns, int *said);
bool sim_task_run(struct sim_bus *bus, struct sim_task *t, bool *kick);
bool sim_task_leave(struct sim_bus *bus, struct sim_task *t);
void sim_task_foreign(struct sim_cmd *c);
void sim_task_abort(struct sim_bus *bus, const struct ad_xfer *xfer);
void sim_tasks_take(struct sim_bus *bus, int id, const struct sim_disk *disk, enum ad_result result,
                    enum sim_deaf rung);
void sim_tasks_drain(struct sim_bus *bus, struct sim_disk *disk);
void sim_tasks_release(struct sim_bus *bus, struct sim_disk *disk);
void sim_tasks_run_due(struct sim_bus *bus);
/* One freeze more: nothing arrives any more that may not pass. n less. disk may be NULL. */
void sim_freeze(struct sim_disk *disk);
void sim_thaw(struct sim_disk *disk, uint32_t n);

/* sim_ops.c: the table. */
extern const struct sim_op sim_ops[];
extern const unsigned sim_ops_count;
void sim_ops_index(uint8_t index[256]);
const struct sim_op *sim_op_find(const struct sim_bus *bus, const uint8_t *cdb);
bool sim_op_offered(const struct sim_disk *disk, const struct sim_op *op);

/* sim_data.c: the data phase. */
uint32_t sim_data_iov(const struct ad_xfer *x, uint64_t off, uint64_t bytes, struct iovec *vec);
uint64_t sim_data_want(const struct sim_cmd *c);
bool sim_data_fits(struct sim_cmd *c, uint64_t bytes);
void sim_data_in(struct sim_cmd *c, const void *from, uint64_t bytes, uint64_t alloc_bytes);
void sim_data_in_at(struct sim_cmd *c, uint64_t off, const void *from, uint64_t bytes);
uint64_t sim_data_out(struct sim_cmd *c, uint64_t off, void *to, uint64_t bytes);
void sim_data_invert(struct sim_cmd *c, uint64_t off);

/* sim_disk.c */
uint64_t sim_disk_bytes(const struct sim_disk *disk, bool write);
void sim_luns_told(struct sim_bus *bus, unsigned id, unsigned nexus);
void sim_disk_odd_update_locked(struct sim_disk *disk);
void sim_attention_locked(struct sim_disk *disk, unsigned nexus, uint8_t asc, uint8_t ascq);
void sim_attention_drop_locked(struct sim_nexus *nx, uint32_t i);
void sim_attention_others_locked(struct sim_disk *disk, unsigned nexus, uint8_t asc, uint8_t ascq);
void sim_disk_was_reset(struct sim_disk *disk, uint8_t ascq);
void sim_disk_free(struct sim_disk *disk);

/* sim_dev.c */
void sim_dev_init(struct sim_bus *bus);

/* sim_fault.c */
enum sim_stage { SIM_STAGE_ARRIVE, SIM_STAGE_EXECUTE };
bool sim_fault_strike(struct sim_cmd *c, enum sim_stage stage, struct sim_fault *out);
bool sim_faults_due_locked(const struct sim_disk *disk);

/* sim_cmd_rw.c */
bool sim_rw_fast(struct sim_disk *disk, struct ad_xfer *x);
bool sim_rw_range_ok(struct sim_cmd *c);
uint64_t sim_rw_good_blocks(const struct sim_cmd *c);
void sim_cmd_read(struct sim_cmd *c);
void sim_cmd_write(struct sim_cmd *c);
void sim_cmd_verify(struct sim_cmd *c);
void sim_cmd_write_verify(struct sim_cmd *c);
void sim_cmd_compare_and_write(struct sim_cmd *c);

/* sim_cmd_prov.c */
void sim_cmd_sync_cache(struct sim_cmd *c);
void sim_cmd_unmap(struct sim_cmd *c);
void sim_cmd_write_same(struct sim_cmd *c);
void sim_cmd_lba_status(struct sim_cmd *c);
void sim_cmd_format(struct sim_cmd *c);

/* sim_cmd_info.c and sim_cmd_vpd.c */
void sim_cmd_ready(struct sim_cmd *c);
void sim_cmd_inquiry(struct sim_cmd *c);
void sim_cmd_inquiry_vpd(struct sim_cmd *c);
void sim_cmd_request_sense(struct sim_cmd *c);
void sim_cmd_capacity_10(struct sim_cmd *c);
void sim_cmd_capacity_16(struct sim_cmd *c);
void sim_cmd_report_luns(struct sim_cmd *c);
void sim_cmd_report_opcodes(struct sim_cmd *c);
void sim_cmd_report_task_mgmt(struct sim_cmd *c);
void sim_cmd_start_stop(struct sim_cmd *c);

/* sim_cmd_removable.c */
void sim_cmd_prevent(struct sim_cmd *c);
void sim_load_eject(struct sim_cmd *c, bool load);

/* sim_cmd_extra.c */
void sim_cmd_orwrite(struct sim_cmd *c);
void sim_cmd_prefetch(struct sim_cmd *c);
void sim_cmd_defects(struct sim_cmd *c);
void sim_cmd_sanitize(struct sim_cmd *c);
void sim_cmd_sanitize_exit(struct sim_cmd *c);

/* sim_cmd_log.c */
void sim_cmd_log_sense(struct sim_cmd *c);
void sim_cmd_send_diagnostic(struct sim_cmd *c);

/* sim_cmd_mode.c */
void sim_mode_defaults(uint8_t mode[SIM_MODE_BYTES]);
bool sim_mode_wce(const struct sim_disk *disk);
bool sim_mode_descriptor_sense(const struct sim_disk *disk);
bool sim_mode_protected(const struct sim_disk *disk);
void sim_cmd_mode_sense(struct sim_cmd *c);
void sim_cmd_mode_select(struct sim_cmd *c);

/* sim_cmd_resv.c */
bool sim_resv_conflict_locked(const struct sim_disk *disk, unsigned nexus, unsigned access);
void sim_cmd_reserve(struct sim_cmd *c);
void sim_cmd_release(struct sim_cmd *c);
void sim_cmd_pr_in(struct sim_cmd *c);
void sim_cmd_pr_out(struct sim_cmd *c);

#endif /* SIM_IMPL_H */
