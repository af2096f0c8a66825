/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_ad.h - an adapter driver of a few lines, a disk behind it, and bufs to send there: what programs
 * about the disk driver share.
 *
 * It answers what an open asks and keeps some blocks in memory. A READ or WRITE ends inside strategy, or is
 * kept until the program or a timer ends it. An error halts its queue, as the contract says, before anybody
 * has heard of it: what comes then without SC_RESUME is refused ENXIO.
 */
#ifndef SMALL_AD_H
#define SMALL_AD_H

#include "small.h"

#include "devdrv/dd_impl.h"

#define SMALL_AD_DEV     SC_MAKEDEV(1, 0)
#define SMALL_DISK_DEV   SC_MAKEDEV(2, 0)
#define SMALL_DISK_DEV1  SC_MAKEDEV(2, 1)
#define SMALL_DISK_BYTES 131072u
#define SMALL_BUFS_MAX   40u

/* How the next READs and WRITEs end. */
enum small_ad_fault {
    SMALL_AD_NONE,
    SMALL_AD_ATTENTION, /* CHECK CONDITION: a reset has been; to be sent again */
    SMALL_AD_MEDIUM,    /* CHECK CONDITION: the medium, nobody says where */
    SMALL_AD_ILLEGAL,   /* CHECK CONDITION: not to be sent again */
    SMALL_AD_TIMEOUT    /* nothing comes back until timeout_value is over */
};

struct small_ad {
    bool sa_keeps_queue; /* after a tagged CHECK CONDITION */
    bool sa_pends;       /* READs and WRITEs wait for small_ad_end() ... */
    bool sa_ends_later;  /* ... or for a timer, sa_later_ns after they came; 0: it is due at once, and runs
 when the schedule lets it */
    uint64_t sa_later_ns;
    enum small_ad_fault sa_fault;
    uint32_t sa_faults;         /* so many of them; then none */
    uint32_t sa_refuse_resumes; /* so many SC_Q_RESUME are refused with ENOMEM ... */
    uint32_t sa_refuse_clears;  /* ... and SC_Q_CLR with EINVAL */
    bool sa_formats;            /* FORMAT UNIT makes blocks of 4096 bytes ... */
    bool sa_formatted;          /* ... and has */
    bool sa_loses_sense;        /* REQUEST SENSE waits, too, for small_ad_end() or SCIOHALT */
    bool sa_checks_resume;      /* no SC_RESUME before the error was told */
    /* what happened */
    bool sa_unheard; /* it has halted, and the owner of the failed command does not know yet */
    bool sa_halted, sa_kept;
    uint32_t sa_open; /* openings */
    uint32_t sa_out;  /* taken in and not given back */
    uint32_t sa_rw;   /* READs and WRITEs that were taken in */
    bool sa_cached;   /* written since the last SYNCHRONIZE CACHE */
    uint8_t sa_sense[18];
    struct sc_event_struct sa_event; /* who wants to hear of resets */
    struct buf *sa_head, *sa_tail;
    struct shim_timer sa_timer;
    uint8_t sa_medium[SMALL_DISK_BYTES];
};
extern struct small_ad small_ad;

/* Host, services, adapter driver; the disk configured with that queue depth (0: default), open if `open`. */
void small_disk_up(const struct det_strategy *st, uint64_t seed, uint32_t depth, bool open);
void small_disk_down(void);
/* On the small adapter driver, or another one. */
int small_disk_config(devno_t devno, uint32_t depth);
int small_disk_config_at(devno_t devno, devno_t adapter, uint8_t id, uint32_t depth);
extern struct file *small_disk_fp;
extern bool small_disk_reserves; /* what is configured next sends RESERVE when it is opened */
/* Is that a READ or WRITE? What the disk answers to the rest; returns bytes. */
bool small_disk_is_rw(const uint8_t *cdb);
size_t small_disk_answer(const uint8_t *cdb, uint8_t *data);
/* End the oldest that waits. False: none. */
bool small_ad_end(void);

struct small_buf {
    struct buf sb_buf; /* first */
    uint32_t sb_done;
    void (*sb_then)(struct small_buf *b);
    uint8_t *sb_data;
};
extern struct small_buf small_bufs[SMALL_BUFS_MAX];
/* `sectors` of 512 bytes at `at`; writes are of bytes `fill`. */
struct small_buf *small_buf(uint32_t i, bool read, uint32_t at, uint32_t sectors, uint8_t fill);
/* Send n of them from the i-th on as a chain. */
void small_bufs_send(uint32_t i, uint32_t n);
/* Until n of them are done, or so much time is over: false. */
bool small_bufs_wait(uint32_t n, uint64_t ns);

#endif /* SMALL_AD_H */
