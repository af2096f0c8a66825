/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fz.h - what the coverage-guided fuzzers share: input bytes, the world they run in, the device that does as
 * the input says, and a model of what may be on the disk.
 *
 * A target is one function, fz_target(): bytes in, everything it saw folded into one number out. libFuzzer
 * calls it (fz_main.c), or a program that runs files. Whatever it does depends on the bytes alone: it runs on
 * the deterministic host, which is set up and taken down around each input, and bytes that are not there are
 * zeroes. What must not be is FZ_CHECK() or an assertion of the drivers; both end in abort().
 *
 * Does not contain: the seeded fuzzers (../fuzz.h).
 */
#ifndef FZ_H
#define FZ_H

#include <scpair/ad_hw.h>
#include <scpair/shim.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/kservices.h>
#include <sys/scdisk.h>
#include <sys/scsiproto.h>

#include "adapter/sim/sim.h"

/* ---------------------------------------------------------------- the target, and what it says */

extern const char fz_name[]; /* "sense" */
/* Run one input. Returns a digest of what was seen: the same for the same bytes, always. */
uint64_t fz_target(const uint8_t *data, size_t bytes);
/* Once for the process, before the first input. */
void fz_target_once(void);

void fz_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
#define FZ_CHECK(cond, ...)                                                                                  \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            fz_fail(__FILE__, __LINE__, __VA_ARGS__);                                                        \
    } while (0)

/* With -v, or FZ_VERBOSE set: what is done and what comes of it. */
extern bool fz_verbose;
#define FZ_SAY(...)                                                                                          \
    do {                                                                                                     \
        if (fz_verbose)                                                                                      \
            (void)fprintf(stderr, __VA_ARGS__);                                                              \
    } while (0)

/* What was seen, so far. */
extern uint64_t fz_digest;
void fz_saw(uint64_t what);
void fz_saw_bytes(const void *data, size_t bytes);

/* ---------------------------------------------------------------- input */

struct fz_in {
    const uint8_t *in_at, *in_end;
};

static inline size_t fz_left(const struct fz_in *in) { return (size_t)(in->in_end - in->in_at); }
static inline uint8_t fz_u8(struct fz_in *in) { return in->in_at < in->in_end ? *in->in_at++ : 0; }
static inline uint16_t fz_u16(struct fz_in *in)
{
    unsigned high = fz_u8(in);

    return (uint16_t)(high << 8 | fz_u8(in));
}
static inline uint32_t fz_u32(struct fz_in *in)
{
    uint32_t high = fz_u16(in);

    return high << 16 | fz_u16(in);
}
static inline uint64_t fz_u64(struct fz_in *in)
{
    uint64_t high = fz_u32(in);

    return high << 32 | fz_u32(in);
}
/* At most `most` bytes into out; returns how many there were. */
size_t fz_bytes(struct fz_in *in, void *out, size_t most);

/* ---------------------------------------------------------------- the world */

#define FZ_ADAPTER  SC_MAKEDEV(1, 0)
#define FZ_DISKS    2u
#define FZ_DISK(n)  SC_MAKEDEV(2, (n))
#define FZ_SECTORS  256u                    /* of each disk: 128 KiB */
#define FZ_STEPS    20000u                  /* timers until something that waits must be there */
#define FZ_HOURS_NS UINT64_C(7200000000000) /* and the virtual time it may take */

struct fz_hook;
struct fz_world_config {
    unsigned wc_disks;
    uint32_t wc_block_bytes;
    uint16_t wc_queue;
    bool wc_clears_queue, wc_no_tags, wc_removable, wc_no_gather, wc_no_reserve;
    uint64_t wc_latency_ns;
    const struct fz_hook *wc_hook; /* NULL: the simulated bus itself, which freezes a LUN */
    uint32_t wc_commands_max;      /* 0: the bus's */
};
struct fz_world {
    struct sim_bus *w_bus;
    struct sim_disk *w_disk[FZ_DISKS];
    unsigned w_disks;
    uint32_t w_block_bytes;
};
extern struct fz_world fz_world;

/* The eight bits of a byte as what a world may be like. */
void fz_world_choose(struct fz_world_config *cfg, uint8_t byte);
void fz_world_up(const struct fz_world_config *cfg);
/* Everything is closed. Nothing may be left. */
void fz_world_down(void);
/* Nothing is under way: pool, counters and credits must say so. The disk is configured. */
void fz_world_idle(unsigned disk);
/* Run timers until *left is 0. */
void fz_wait(const unsigned *left);

/* ---------------------------------------------------------------- the device that obeys the input */

/*
 * Between the adapter core and the bus. before() may end a command by itself (true, out fields filled);
 * after() may spoil what the bus has done. Both only see commands that the bus ends at once. With a hold the
 * command comes back later, from a timer.
 */
struct fz_hook {
    bool (*before)(struct ad_xfer *x);
    void (*after)(struct ad_xfer *x);
    uint64_t (*hold_ns)(const struct ad_xfer *x); /* NULL or 0: at once */
};
extern const struct ad_hw_ops fz_chip_ops;
void fz_chip_set(const struct fz_hook *hook);
void fz_chip_empty(void);
/* Byte `at` of a data phase, or NULL. */
uint8_t *fz_chip_byte(const struct ad_xfer *x, uint64_t at);

/* ---------------------------------------------------------------- requests, and what may be on the disk */

/*
 * Each write has a number, which is in each of its sectors together with the sector's own. A sector may hold
 * any write that was under way when the last one that ended well began or ended, whatever failed since, and
 * what is under way now.
 */
#define FZ_WRITES   60u /* numbers 1..: 0 is what was there, zeroes */
#define FZ_ANYTHING (UINT64_C(1) << 63)
#define FZ_REQS     24u

struct fz_req {
    struct buf r_buf; /* first */
    bool r_out, r_write;
    unsigned r_disk, r_first, r_n; /* sectors; r_n may go beyond the end */
    unsigned r_number;
    uint64_t *r_seen; /* for each sector: read: what it may return; write: what overlapped */
    uint8_t *r_data;  /* malloc()ed, with r_edge bytes before the buffer */
    size_t r_edge;
    bool r_wrong; /* it breaks a rule: the driver may refuse it */
};
extern unsigned fz_out;    /* requests under way */
extern unsigned fz_failed; /* requests that came back with an error, or short of what they should move */
extern bool
    fz_short; /* the device has moved less than was asked for, now and then: residuals may be larger */

void fz_model_reset(void);
/* Sectors [first, first + n) may hold what we cannot know (anything), or zeroes beside what was there. */
void fz_model_spoil(unsigned disk, uint64_t first, uint64_t n, uint64_t may);
/* The same around an ioctl that makes zeroes. */
void fz_model_zero_begin(unsigned disk, unsigned first, unsigned n);
void fz_model_zero_end(void);
/* A request made ready, NULL when all are in use. `edge` puts the buffer so far behind a page's start. */
struct fz_req *fz_req_make(unsigned disk, bool write, unsigned first, size_t bytes, size_t edge);
/* It was never sent. */
void fz_req_drop(struct fz_req *r);
/* From now on it is the driver's: noted in the model. */
void fz_req_sent(struct fz_req *r);
void fz_req_done(struct buf *bp); /* the b_iodone */
/* A read of one block that is waited for. Its errno. */
int fz_plain_read(unsigned disk, unsigned sector, uint32_t block_bytes);

#endif /* FZ_H */
