/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_ad.h - an adapter driver for tests of the disk driver: a devsw entry that records every sc_buf,
 * answers probing commands, keeps blocks in memory, and misbehaves as told.
 *
 * READs and WRITEs end inside strategy, or, with fake.held, wait until the test completes them. Errors
 * halt the queue as the contract says: without SC_RESUME everything comes back ENXIO. Every spanned command
 * is checked against AIX-05..09, every call against AIX-02 and AIX-24.
 *
 * Does not contain: the adapter core (tests/unit/adapter has a fake chip for that).
 */
#ifndef FAKE_AD_H
#define FAKE_AD_H

#include "../test_main.h"
#include "devdrv/dd_impl.h"

/* Check's own assertions write to a pipe each time; this one costs nothing while it holds. */
#define fake_check(cond)                                                                                     \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            ck_abort_msg("%s, %s:%d", #cond, __FILE__, __LINE__);                                            \
    } while (0)

#define FAKE_MAJOR      1u
#define FAKE_DISK_MAJOR 2u
#define FAKE_AD_DEV     SC_MAKEDEV(FAKE_MAJOR, 0)
#define FAKE_DEV        SC_MAKEDEV(FAKE_DISK_MAJOR, 0)
#define FAKE_LOG_MAX    8192u
#define FAKE_FAULTS_MAX 16u
#define FAKE_ANY        (-1)
#define FAKE_RW         (-2)

/* One command as it arrived. */
struct fake_cmd {
    uint8_t cdb[16], cdb_bytes;
    uint8_t flags, tag, scsi_flags;
    uint32_t timeout;
    size_t bytes;
    void *addr;
    bool read, spanned, gathered;
    unsigned nbufs;
    uint64_t lba;
    uint32_t blocks;
};

enum fake_action {
    FAKE_CHECK,   /* CHECK CONDITION with the sense given */
    FAKE_STATUS,  /* another SCSI status: code */
    FAKE_ADAPTER, /* adapter error: code */
    FAKE_ERRNO,   /* refused with this b_error, queue untouched */
    FAKE_SHORT    /* good, but the last `code` bytes are not moved */
};
struct fake_fault {
    int opcode;           /* FAKE_ANY, FAKE_RW or the opcode */
    uint64_t first, last; /* blocks touched */
    unsigned skip, count; /* count 0: for good */
    enum fake_action action;
    uint32_t code;
    uint8_t key, asc, ascq;
    bool no_info, descriptor, deferred;
    uint64_t info; /* 0: the first block touched in the range */
    bool info_set;
    unsigned hits;
};

struct fake {
    /* what it is; set between fake_begin and fake_open */
    uint64_t blocks;
    uint32_t block_bytes;
    uint64_t max_transfer;
    bool gather, tags, keeps, read_only, removable, held, no_sense;
    bool no_write_same, unmap, lbprz, fast;
    unsigned fail_ioctl; /* this one fails, with fail_error ... */
    int fail_error;
    uint8_t devtype; /* what IOCINFO says; 0: a SCSI adapter */
    bool drops;      /* of a command that fails nothing has crossed the bus */
    uint8_t *mem;
    size_t mem_bytes;
    /* replaces the answer to a data-in command; returns bytes */
    size_t (*reply)(const uint8_t *cdb, uint8_t *data, size_t n);
    /* SCIOAHEAD's function; NULL: ENODEV */
    bool (*ahead)(void *chip, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how);
    /* sees every sc_buf first; true: it took care of it */
    bool (*hook)(struct sc_buf *sc);
    unsigned halts, halt_good; /* SCIOHALT: how often; what of the held ends as it would */
    int halt_error;            /* it says that, and does nothing */
    void (*at_halt)(void);     /* called by it first */
    void (*at_reset)(void);    /* called by SCIORESET */
    bool event_in_stop;        /* a bus reset is told from inside SCIOSTOP */
    struct fake_fault faults[FAKE_FAULTS_MAX];
    unsigned nfaults;
    /* what happened */
    struct fake_cmd log[FAKE_LOG_MAX];
    unsigned nlog;
    unsigned active, active_max, starts, stops, resets, opens, closes, enxio, syncs, reserves, releases;
    bool halted, kept, started;
    uint8_t sense[32];
    struct sc_buf *held_head, *held_tail;
    struct sc_event_struct event;
};
extern struct fake fake;

/* Host, services, fake adapter. blocks * block_bytes of memory behind the disk. */
void fake_begin(uint64_t blocks, uint32_t block_bytes);
void fake_begin_posix(uint64_t blocks, uint32_t block_bytes);
/* The fake adapter alone; the caller has started host and services. */
void fake_setup_only(uint64_t blocks, uint32_t block_bytes);
/* Everything away again; nothing may be left. */
void fake_end(void);
/* Configure FAKE_DEV with the non-zero fields of dds (may be NULL). Returns scdisk_config's code. */
int fake_config(const struct scdisk_dds *dds);
/* Configure and open; asserts success. */
struct file *fake_open(const struct scdisk_dds *dds);
void fake_close(struct file *fp);
/* Forget the recorded commands. */
void fake_forget(void);
struct fake_fault *fake_fault(int opcode, uint64_t first, uint64_t last, enum fake_action action);
/* Recorded READs and WRITEs, and the i-th of them. */
unsigned fake_nrw(void);
const struct fake_cmd *fake_rw(unsigned i);
/* Complete the oldest held command; false when there is none. */
bool fake_complete_one(void);
void fake_complete_all(void);
unsigned fake_nheld(void);
/* Tell the driver of a bus reset. */
void fake_reset_event(void);

/* A buf of the test's, and its completion. */
struct fake_buf {
    struct buf b;
    unsigned done;
    unsigned order;
    bool more;
    void (*then)(struct fake_buf *fb);
};
extern unsigned fake_order;
void fake_buf_init(struct fake_buf *fb, bool read, uint64_t blkno, void *addr, size_t bytes);
/* Link n of them and hand the chain to strategy. */
void fake_submit(struct fake_buf *fb, unsigned n);
/* Fires timers until the bufs are done. The deterministic host only. */
void fake_settle(const struct fake_buf *fb, unsigned n);
/* dd_check_invariants of FAKE_DEV, and the stats. */
struct sc_disk_stats fake_stats(void);
/* Read or write through fp_rwuio; returns the errno, *resid what was left. */
int fake_rdwr(struct file *fp, bool read, void *data, size_t bytes, int64_t off, int ext, size_t *resid);

#endif /* FAKE_AD_H */
