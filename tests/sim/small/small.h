/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small.h - closed programs of two or three fibres, for exhaustive search: what they share.
 *
 * Each sets the drivers up on a chip that does nothing but what the program says, lets its fibres meet, takes
 * everything down and checks what must hold whoever was faster.
 *
 * Contents: small.c the command line and the list; small_chip.c the chip; small_ad.c an adapter driver for
 * programs about the disk driver alone; the others: programs.
 */
#ifndef SMALL_H
#define SMALL_H

#include "../schedule.h"

#include "adapter/ad_impl.h"

#include <sys/kservices.h>

#define SMALL_DEVNO    SC_MAKEDEV(9, 0)
#define SMALL_KEPT_MAX 16u
#define SMALL_REQS_MAX 16u

/* ---------------------------------------------------------------- the chip */

/* What it takes to get a command back. */
enum small_rung {
    SMALL_ABORT,
    SMALL_RESET_LUN,
    SMALL_RESET_TARGET,
    SMALL_RESET_BUS,
    SMALL_RESET_ADAPTER, /* which hands nothing back */
    SMALL_LOST           /* it has to be cut off */
};

/* It ends a command inside start(), or keeps it until small_end(). Results by the command's first byte. */
struct small_chip {
    struct shim_dev ch_dev; /* first */
    struct ad_adapter *ch_ad;
    bool ch_keeps_queue, ch_pends;
    bool ch_batches;   /* with ch_pends: what it keeps is held back until flush() */
    uint32_t ch_nheld; /* the youngest so many of ch_kept */
    uint32_t ch_flushes;
    uint32_t ch_commands, ch_tags;
    uint8_t ch_luns;
    struct ad_xfer *ch_kept[SMALL_KEPT_MAX];
    uint32_t ch_nkept;
    uint8_t ch_started[64]; /* operation codes in the order in which they reached the chip */
    uint32_t ch_nstarted;
    uint32_t ch_room;      /* commands it keeps at once; 0: as many as there is space for */
    uint32_t ch_map_room;  /* commands whose memory is mapped at once; 0: any number */
    uint32_t ch_maps;      /* that many are */
    bool ch_map_never;     /* no memory is to its mapper's liking */
    uint32_t ch_inside;    /* threads inside start() */
    uint32_t ch_single;    /* of them: with commands that are to be there alone */
    uint32_t ch_frozen[8]; /* by LUN, all of one id */
    bool ch_checks_single;
    uint8_t ch_heeds; /* the first rung of the ladder that brings a command back; those before do nothing */
    uint64_t ch_reset_ns;  /* how long a reset takes, which then tells its end; 0: it is done at once */
    bool ch_resets_fail;   /* those that do not help say so, instead of nothing */
    bool ch_old;           /* it knows neither reset_lun nor what comes after the bus reset */
    bool ch_cut;           /* it is cut off */
    uint32_t ch_resets[4]; /* by enum ad_hw_reset */
    uint32_t ch_isolated;
    uint32_t ch_telling; /* threads that tell the core of a command */
    bool ch_anew;        /* an adapter reset waits for them */
    struct small_reset {
        struct shim_timer sr_timer;
        enum ad_hw_reset sr_which;
        unsigned sr_id, sr_lun;
    } ch_reset[8]; /* those under way */
    uint32_t ch_nreset;
    void (*ch_on_start)(struct ad_xfer *x); /* or NULL */
    void (*ch_serve)(struct ad_xfer *x); /* what it does with a command instead of the codes below; or NULL */
};
extern struct small_chip chip;

/* What an operation code does. */
enum {
    SMALL_GOOD = 0x08,  /* ends well */
    SMALL_LATER = 0x09, /* is kept until small_end(), and ends well */
    SMALL_CHECK = 0x0a, /* CHECK CONDITION */
    SMALL_BUSY = 0x0b   /* BUSY status */
};

/* ---------------------------------------------------------------- a run */

/* Host, services, adapter with LUN 0 of id 1 started and the file that did it. */
void small_up(const struct det_strategy *st, uint64_t seed);
/* The same in pieces. */
void small_host(const struct det_strategy *st, uint64_t seed);
void small_attach(void);
void small_chip_config(struct ad_config *cfg);
/* LUN 0 is as it should be, as far as anybody can tell. */
void small_check(void);
/* And down again; whatever the program took down itself is left out. */
void small_down(void);
extern struct file *small_fp;
extern bool small_attached;
/* End the oldest command that the chip keeps. False: none. */
bool small_end(void);
/* End all that has been sent by one call. False: none. */
bool small_end_list(void);
void small_chip_prepare(void);

/* ---------------------------------------------------------------- requests */

struct small_req {
    struct sc_buf rq_sb; /* first */
    uint32_t rq_done;    /* iodone calls */
    uint32_t rq_order;   /* 1, 2, 3 ... over all requests of the run */
    void (*rq_then)(struct small_req *r);
    uint8_t rq_data[64];
};
extern struct small_req reqs[SMALL_REQS_MAX];
extern uint32_t small_orders;
extern struct shim_event small_event; /* signalled by each iodone */

/* A tagged six-byte read to id 1, LUN `lun`. */
struct small_req *small_req(uint32_t i, uint8_t lun, uint8_t code);
void small_send(struct small_req *r);
void small_submit(void *req); /* the same, as a thread */
/* Sleep until so many of reqs[] are done. */
void small_wait_done(uint32_t n);
int small_errno(const struct small_req *r);

/* ---------------------------------------------------------------- the programs */

/* A file's programs. A group can be named on the command line like a program. */
struct small_group {
    const char *sg_name;
    const struct sched_program *sg_programs;
    unsigned sg_n;
};
extern const struct small_group small_park, small_nest, small_turn, small_queue, small_lane, small_batch,
    small_time, small_life, small_grow, small_recover, small_disk, small_dlane, small_gone, small_pair,
    small_example;

#endif /* SMALL_H */
