/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core.h - what the files of bench/core share: options, rows, the disks under test, workers.
 */
#ifndef BENCH_CORE_H
#define BENCH_CORE_H

#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdatomic.h>
#include <stdio.h>

#define CORE_BLOCK_BYTES 4096u
#define CORE_DEPTH_MAX   256u
#define CORE_OFFSETS     (1u << 20) /* precomputed random block numbers: a power of two */
#define CORE_ROUNDS      11u        /* odd: the median is a measured value */
#define CORE_ROUNDS_MAX  64u
#define CORE_ROWS_MAX    64u
#define CORE_THREADS_MAX 16u

enum core_op { CORE_RANDREAD, CORE_READ, CORE_RANDWRITE, CORE_WRITE, CORE_OPS };
enum core_kind { CORE_RAM, CORE_NULL, CORE_KINDS };

struct core_options {
    uint64_t disk_bytes;
    double seconds; /* of one row, both phases */
    unsigned rounds;
    uint64_t once;  /* requests of each row, driver only; 0: measure */
    int op, kind;   /* only this one; -1 all */
    unsigned depth; /* only this one; 0 the usual */
    unsigned threads, disks;
    bool json, memory;
    uint32_t pend; /* SCP_PEND_* */
};
extern struct core_options core_opt;

struct core_row {
    enum core_kind kind;
    enum core_op op;
    unsigned depth;
    double ns, floor_ns; /* wall time per request of all threads together */
    double bufs_per_command;
    double flushes_per_command;
};

_Noreturn void core_die(const char *what, const char *why);
uint64_t core_now_ns(void);
static inline bool core_is_write(enum core_op op) { return op == CORE_RANDWRITE || op == CORE_WRITE; }
static inline bool core_is_random(enum core_op op) { return op == CORE_RANDREAD || op == CORE_RANDWRITE; }
static inline uint64_t core_mask(void) { return core_opt.disk_bytes / CORE_BLOCK_BYTES - 1; }

/* ---------------------------------------------------------------- core_disk.c */

struct core_disk {
    struct file *file;
    devno_t devno;
    char *floor; /* the floor's "disk" */
};
extern struct core_disk core_disks[CORE_THREADS_MAX];

void *core_map(size_t bytes);
/* Build the pair with core_opt.disks disks of a kind, fill them and their floors; and the end of it. */
void core_disks_up(enum core_kind kind);
void core_disks_down(void);
/* Of all disks so far, and how often the adapter's chip was told that a batch is complete. */
struct core_count {
    uint64_t bufs, commands;
    uint32_t flushes;
};
void core_disks_count(struct core_count *count);
/* --memory. Returns the exit status. */
int core_memory(void);

/* ---------------------------------------------------------------- core_drive.c */

/* Make workers and their memory; worker 0 is the calling thread. */
void core_workers_start(void);
void core_workers_stop(void);
/* A row begins: `depth` bufs per worker, from the row's first block. */
void core_row_begin(unsigned depth);
/*
 * One phase of all workers: about `count` requests together. Returns how many it were, *took gets the
 * nanoseconds from the first request of any worker to the last completion of all.
 */
uint64_t core_phase_drive(enum core_op op, uint64_t count, uint64_t *took);
/* The floor of the phase before: the same blocks, in the same order, by the same threads. */
void core_phase_floor(enum core_op op, uint64_t *took);
/* Every buf of a read on a RAM disk must hold the number of the block it was last sent for. */
void core_check_read(void);
/* Write every block of a disk with its own number, in this thread. */
void core_disk_number(unsigned disk);

#endif /* BENCH_CORE_H */
