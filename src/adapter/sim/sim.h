/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim.h - the simulated adapter: a bus with targets and LUNs, disks on it, and their misbehaviour.
 *
 * For those who build a system (src/scp, tests, bench). A sim_bus is both the chip behind
 * struct ad_hw_ops and the device half of the shim. A disk keeps its blocks in a *medium*: a
 * table of functions, so that this folder needs no file descriptor and compiles freestanding.
 *
 * When several rules match one command, the first one added that is due strikes and the others do
 * not count it. Rules about the path (NO_RESPONSE, BUS_*, HW_FAILURE, HANG, BUSY, QUEUE_FULL,
 * DELAY) are looked at when a command arrives; the others when the disk executes it, after unit
 * attention and reservation have had their say.
 *
 * With no latency set a command runs to its end inside start(), in the caller's thread: no
 * hand-over. With latency, or an injected hang, it pends and finishes on a shim timer.
 *
 * Does not contain: the SCSI command set (sim_cmd_*.c), the file medium (posix/).
 */
#ifndef SIM_H
#define SIM_H

#include <scpair/ad_hw.h>
#include <sys/sctypes.h>

struct sim_bus;
struct sim_disk;

/*
 * Where a disk's bytes are. Offsets and lengths are bytes and multiples of the disk's block size.
 * Called from several threads at once with no lock held. Each returns 0 or an errno; ENOSPC and
 * EIO become sense data. Optional entries may be NULL.
 */
struct sim_medium_ops {
    uint32_t version; /* 1 */
    uint32_t size;
    const char *name; /* "file", "ram", "null", "void" */
    int (*read)(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes);
    int (*write)(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua);
    int (*flush)(void *m);
    int (*unmap)(void *m, uint64_t off, uint64_t bytes); /* NULL: UNMAP is not offered */
    int (*zero)(void *m, uint64_t off, uint64_t bytes);  /* NULL: zeroes are written */
    int (*mapped)(void *m, uint64_t off, uint64_t *run_bytes, bool *is_mapped); /* GET LBA STATUS */
    void (*close)(void *m);
    const void *(*memory)(void *m); /* where byte 0 lies, and the others behind it; NULL: not in memory */
};

/* One disk. */
struct sim_disk_config {
    uint8_t sd_id;
    uint8_t sd_lun;
    uint32_t sd_block_bytes; /* 512, 1024, 2048 or 4096 */
    uint64_t sd_blocks;
    uint32_t sd_physical_bytes; /* of a physical block: a power of two; 0: as a logical one */
    bool sd_read_only;
    bool sd_removable;       /* the medium can be ejected and loaded: START STOP UNIT, PREVENT ALLOW */
    bool sd_no_tags;         /* INQUIRY CmdQue 0 */
    uint32_t sd_queue_depth; /* TASK SET FULL above this many; 0 unlimited */
    uint64_t sd_latency_ns;  /* 0: commands finish inside start() */
    char sd_serial[17];      /* printable, NUL-terminated; "" makes one from id and LUN */
    const struct sim_medium_ops *sd_ops;
    void *sd_medium;
};

/* Misbehaviour: what happens to the commands a rule matches. */
enum sim_fault_action {
    SIM_FAULT_NONE = 0,
    SIM_FAULT_CHECK,       /* CHECK CONDITION with key/asc/ascq; medium errors give the LBA */
    SIM_FAULT_BUSY,        /* status BUSY */
    SIM_FAULT_QUEUE_FULL,  /* status TASK SET FULL */
    SIM_FAULT_RESERVED,    /* status RESERVATION CONFLICT */
    SIM_FAULT_HANG,        /* never answers; until aborted or reset */
    SIM_FAULT_NO_RESPONSE, /* selection timeout */
    SIM_FAULT_BUS_FAULT,
    SIM_FAULT_BUS_RESET, /* a bus reset hits while the command runs */
    SIM_FAULT_HW_FAILURE,
    SIM_FAULT_SHORT,   /* GOOD, but the last f_param bytes are not moved */
    SIM_FAULT_DELAY,   /* f_param ns later, then as usual */
    SIM_FAULT_CORRUPT, /* data-in commands: byte f_param (modulo the length) of the data inverted */
    SIM_FAULT_COUNT
};
#define SIM_OPCODE_ANY    (-1)
#define SIM_OPCODE_READS  (-2) /* READ(6), (10), (12), (16) */
#define SIM_OPCODE_WRITES (-3) /* WRITE and WRITE AND VERIFY of any length */
#define SIM_OPCODE_DATA   (-4) /* either of the two: leaves what a driver sends of its own accord alone */
struct sim_fault {
    int f_opcode;         /* CDB byte 0, or SIM_OPCODE_* */
    uint64_t f_lba_first; /* only commands touching [first, last]; 0..UINT64_MAX any */
    uint64_t f_lba_last;
    uint32_t f_skip;  /* let that many matching commands pass first */
    uint32_t f_count; /* then hit that many; 0 = for good */
    enum sim_fault_action f_action;
    uint8_t f_key, f_asc, f_ascq;
    bool f_descriptor; /* sense in descriptor format */
    bool f_deferred;   /* it is about an earlier command: this one does not run */
    uint64_t f_param;
    uint64_t f_hits; /* out: how often it has struck */
    /*
     * Of the commands that skip and count leave: every f_every-th one (0 and 1: all), or the first
     * after each of a row of moments f_interval_ns apart on average (0: no such limit; half to one
     * and a half of it, drawn from f_seed). A moment nobody came after is not made up for.
     */
    uint32_t f_every;
    uint64_t f_interval_ns;
    uint32_t f_rate_milli; /* for who shows the rule: the strikes in 1000 s that were asked for; 0: not so */
    uint64_t f_seed;
};
#define SIM_FAULTS_MAX            16u
#define SIM_FAULT_INTERVAL_MAX_NS (1ull << 62)

/* When commands end. */
enum sim_pend {
    SIM_PEND_NOT = 0,   /* inside start(), if they can */
    SIM_PEND_INTERRUPT, /* never there: they are sent in batches, and an interrupt hands them back in lists */
    SIM_PEND_POLL       /* the same without an interrupt: whoever waits asks */
};
/* The bus. Process context. 0 or ENOMEM. */
struct sim_bus_config {
    uint8_t sb_adapter_id;          /* usually 7 */
    uint64_t sb_transfer_bytes_max; /* 0 means 1 MiB */
    uint32_t sb_commands_max;       /* 0 means 1024 */
    bool sb_clears_queue;           /* AD flavour: true clears the queue on CHECK CONDITION */
    bool sb_no_tags;                /* adapter without tagging */
    enum sim_pend sb_pend;
};
int sim_bus_create(const struct sim_bus_config *cfg, struct sim_bus **out);
/* The bus is detached and idle; its disks are destroyed and their media closed. */
void sim_bus_destroy(struct sim_bus *bus);

/*
 * Put a disk on the bus. Before or after attach. On success the bus owns the medium and closes
 * it; on failure the caller still does. 0, EEXIST (id/LUN taken, or the adapter's own id),
 * EINVAL (block size, no blocks, id or LUN out of range), ENOMEM.
 */
int sim_disk_add(struct sim_bus *bus, const struct sim_disk_config *cfg);
/* The disk at that id and LUN, or NULL. */
struct sim_disk *sim_disk_find(struct sim_bus *bus, unsigned id, unsigned lun);

/*
 * Give the disk another size: CAPACITY DATA HAS CHANGED for every initiator. The medium must hold
 * that much already. Process context. 0, EINVAL (no blocks, or more than 2^63 bytes).
 */
int sim_disk_resize(struct sim_disk *disk, uint64_t blocks);
/*
 * Pull the disk out. From now on nobody answers at its id and LUN; what pended comes back
 * AD_RES_SELECT_TIMEOUT; what runs is waited for. Then its medium is closed, and another disk may be added in
 * its place, which gets its memory: `disk` is not to be used any more. Beside commands to it and to others;
 * adding and removing on one bus is for one thread at a time. Process context, no lock held.
 */
void sim_disk_remove(struct sim_bus *bus, struct sim_disk *disk);
/*
 * Run one command as if another initiator on the bus had sent it, `number` 1 to SIM_INITIATORS - 1
 * (0 is the adapter): reservations, unit attentions and sense are kept for each separately. Always
 * finishes inside the call and fills the out fields: BUSY when the adapter's commands would have
 * to end first. xfer_id and xfer_lun are ignored. Any context that may wait for the medium. For tests.
 */
#define SIM_INITIATORS 4u
void sim_disk_initiator(struct sim_disk *disk, unsigned number, struct ad_xfer *xfer);
/* The same as initiator 1. */
void sim_disk_other_initiator(struct sim_disk *disk, struct ad_xfer *xfer);

/* Add a misbehaviour; returns its number 0.. or -1 when the table is full or the rule is senseless. */
int sim_fault_add(struct sim_disk *disk, const struct sim_fault *f);
/*
 * Put the medium in and start the unit, as a hand at the drive does: no reservation keeps it out.
 * A disk that is ready stays as it is. Process context.
 */
void sim_disk_load(struct sim_disk *disk);
/* The capacity in blocks, as it is now. Any context. */
uint64_t sim_disk_blocks(const struct sim_disk *disk);
/* Forget all. */
void sim_fault_clear(struct sim_disk *disk);
/* Copy the i-th with its hits; false when there is none. */
bool sim_fault_get(struct sim_disk *disk, unsigned i, struct sim_fault *out);
/* Make the next command see UNIT ATTENTION with this code. */
void sim_disk_attention(struct sim_disk *disk, uint8_t asc, uint8_t ascq);

/*
 * What an initiator did that the rules of the bus forbid. Each is counted and logged (the first,
 * the second, the fourth, the eighth ... of a kind), and ends as said here.
 */
enum sim_protocol {
    SIM_PROTOCOL_CDB,       /* too few or too many CDB bytes for the operation code: bus fault */
    SIM_PROTOCOL_DIRECTION, /* the data phase goes the other way than the CDB: bus fault */
    SIM_PROTOCOL_LENGTH,    /* the disk has, or wants, more data than the data phase offers: bus fault */
    SIM_PROTOCOL_TAG,       /* a tag for a disk without CmdQue, or beyond the chip's: bus fault */
    /*
     * A tag that is in use, or a second untagged command: CHECK CONDITION, OVERLAPPED COMMANDS
     * ATTEMPTED; the disk drops the adapter's other commands, and they never end by themselves.
     */
    SIM_PROTOCOL_OVERLAP,
    SIM_PROTOCOL_ALLEGIANCE, /* a command instead of REQUEST SENSE: it runs, and the sense is gone */
    SIM_PROTOCOL_COUNT
};

/*
 * What the device saw, for tests that count deliveries. Exact when nothing is in flight. The
 * active numbers count commands that pended or were watched (sim_disk_watch) or met a queue
 * limit; one that runs to its end inside start() on an ordinary disk is not worth the atomics.
 */
struct sim_disk_stats {
    uint64_t st_commands; /* commands delivered */
    uint64_t st_by_opcode[256];
    uint64_t st_bytes_read, st_bytes_written;
    uint32_t st_active, st_active_max;
    uint64_t st_protocol[SIM_PROTOCOL_COUNT];
};
void sim_disk_stats_get(struct sim_disk *disk, struct sim_disk_stats *out);
/*
 * Called for every command delivered, before it is executed, with the disk's lock held: it may look at the
 * command, and call nothing of the bus. NULL turns it off. For tests.
 */
void sim_disk_watch(struct sim_disk *disk, void (*fn)(void *arg, const struct ad_xfer *xfer), void *arg);

/*
 * What a command that hangs (SIM_FAULT_HANG) does not heed; others do not heed it either, once they hang. A
 * reset takes reset_ns, and then tells its end; 0: it is done at once. For tests; before anything hangs.
 */
enum sim_deaf {
    SIM_DEAF_NONE,
    SIM_DEAF_ABORT,
    SIM_DEAF_LUN,     /* nor a LUN reset */
    SIM_DEAF_TARGET,  /* nor a target reset */
    SIM_DEAF_BUS,     /* nor a bus reset: the adapter has to be reset, which hands nothing back */
    SIM_DEAF_ADAPTER, /* nor that, which fails: it has to be isolated */
    SIM_DEAF_COUNT
};
void sim_bus_deafen(struct sim_bus *bus, enum sim_deaf deaf, uint64_t reset_ns);

/* The chip table and the device half of this bus, for struct ad_config. */
extern const struct ad_hw_ops sim_hw_ops;
/*
 * The same with isolate, for tests in which commands do nothing but hang. A simulated disk works in threads
 * of the process, and nothing can cut one off that is moving data or waits for its medium: so the chip above
 * has none.
 */
extern const struct ad_hw_ops sim_hw_ops_cut;
/* The table for a bus as it was configured, with isolate or without. */
const struct ad_hw_ops *sim_bus_ops(const struct sim_bus *bus, bool cut);
struct shim_dev *sim_bus_dev(struct sim_bus *bus);

/*
 * Media without a host: memory from the shim; nothing, which reads as zeroes; and nothing at all: a
 * read leaves the memory as it is, so that only what is around the medium is measured.
 */
int sim_medium_ram(uint64_t bytes, const struct sim_medium_ops **ops, void **medium);
int sim_medium_null(const struct sim_medium_ops **ops, void **medium);
int sim_medium_void(const struct sim_medium_ops **ops, void **medium);

#endif /* SIM_H */
