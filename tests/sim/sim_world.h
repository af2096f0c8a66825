/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_world.h - one whole-stack run on the deterministic host: the pair, its caller, and what the
 * caller knows to be true.
 *
 * The caller sends everything a caller may send (chains to strategy, raw reads and writes with
 * scattered memory, ioctls, from process level and from inside iodone) while the simulated bus is
 * slow and misbehaves. It keeps a shadow of every disk and compares. A run is a function of its
 * seed: the seed picks the configuration (a "swarm": not every run has every fault), the requests
 * and the faults.
 *
 * Contents: sim_world.c builds, checks and ends a run; sim_caller.c makes the requests and judges
 * their completions; sim_faults.c misbehaves; sim_run.c is the command line.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <scpair/scpair.h>
#include <scpair/shim.h>

#include "adapter/sim/sim.h"

#define WORLD_DISKS_MAX   3u
#define WORLD_SLOTS       200u /* bufs in flight, all disks together */
#define WORLD_SECTOR      512u
#define WORLD_RESUBMITS   24u /* from iodone, in one step */
#define WORLD_DRAIN_STEPS 2000000u

/* The test's own generator, so that a change in the product does not shift the requests. */
struct world_rng {
    uint64_t state;
};
uint64_t rng_next(struct world_rng *r);
/* 0 .. n-1 */
uint64_t rng_below(struct world_rng *r, uint64_t n);
bool rng_percent(struct world_rng *r, unsigned percent);

/* One request of the caller. */
struct world_slot {
    struct buf slot_buf;
    struct world *slot_world;
    bool slot_busy;
    bool slot_claimed; /* it holds the sectors of its range */
    unsigned slot_disk;
    int slot_expect_error; /* -1: judge by the data */
    size_t slot_expect_resid;
    uint8_t *slot_block; /* malloc()ed; slot_buf.b_un lies inside */
};

struct world_disk {
    struct file *dk_fp;
    devno_t dk_devno;
    struct sim_disk *dk_sim;
    uint64_t dk_bytes;
    uint32_t dk_block;
    uint8_t *dk_shadow;      /* dk_bytes */
    uint8_t *dk_unsure;      /* per sector: a failed write may or may not have got there */
    uint16_t *dk_readers;    /* per sector: reads under way */
    uint8_t *dk_writer;      /* per sector: a write under way */
    unsigned dk_outstanding; /* our bufs at the driver */
};

struct world {
    uint64_t w_seed;
    unsigned w_steps;
    bool w_verbose;
    struct world_rng w_rng;
    /* The swarm's choice. */
    struct scp_disk_spec w_specs[WORLD_DISKS_MAX];
    struct scp_spec w_spec;
    uint32_t w_faults;        /* bit per enum sim_fault_action, and WORLD_FAULT_* */
    unsigned w_fault_percent; /* chance per step */
    unsigned w_chain_max;
    unsigned w_resubmit_percent;
    unsigned w_sequential_percent;
    /* The run. */
    struct scp *w_pair;
    struct file *w_adapter;
    uint64_t w_transfer_max;
    struct world_disk w_disks[WORLD_DISKS_MAX];
    struct world_slot w_slots[WORLD_SLOTS];
    unsigned w_resubmits; /* left in this step: a chain from each of a chain's completions never ends */
    bool w_draining;      /* nothing new from iodone */
    bool w_disturbed;     /* a fault was set: errors are possible */
    unsigned w_step;
    uint64_t w_digest; /* of everything observed: same seed, same digest */
    uint64_t w_bufs, w_raw, w_ioctls, w_errors, w_rules;
};
#define WORLD_FAULT_ATTENTION (1u << 24)
#define WORLD_FAULT_RESET     (1u << 25)
#define WORLD_FAULT_HALT      (1u << 26)

/* sim_world.c */
/* Run a seed to its end; steps 0 lets the seed choose. Does not return on a failure: it prints and exits. */
void world_run(struct world *w, uint64_t seed, unsigned steps, bool verbose);
/* Say what was wrong and how to see it again, and end the program with 1. */
_Noreturn void world_fail(const struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define WORLD_CHECK(w, cond, ...)                                                                            \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            world_fail((w), __VA_ARGS__);                                                                    \
    } while (0)
void world_observe(struct world *w, uint64_t value);

/* sim_caller.c */
/* One random action of the caller. */
void caller_act(struct world *w);
/* Read every disk and compare; no fault may be active. */
void caller_compare_all(struct world *w);

/* sim_faults.c */
void faults_choose(struct world *w);
void faults_act(struct world *w);
void faults_clear(struct world *w);

#endif /* SIM_WORLD_H */
