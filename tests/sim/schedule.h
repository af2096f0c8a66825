/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule.h - running a program on fibres under a schedule: strategies, exhaustive search, replay,
 * shrinking, and the story of what is left.
 *
 * A program is a function that sets everything up, starts fibres with shim_thread_start(), joins them,
 * takes everything down and judges with SCHED_CHECK(). It runs in a process of its own, so that a panic, a
 * crash or a sanitizer's report is a result like any other, and what was decided up to there is known.
 *
 * A schedule is written down as its *deviations*: decision number and what was picked, where that was not the
 * first alternative (which is to go on, or the next fibre by number when the current one cannot). No
 * deviation at all is the run in which nobody is ever preempted.
 *
 * Contents: schedule.c the strategies; explore.c processes, search and shrinking; story.c telling.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "shim/det/det_sched.h"

#include <stdio.h>

#define SCHED_DEVIATIONS_MAX 65536u
#define SCHED_DEPTH_MAX      16384u /* decisions of one run of an exhaustive search */
#define SCHED_TEXT_MAX       6144u

enum sched_kind {
    SCHED_FIRST,   /* nobody is preempted */
    SCHED_WALK,    /* switch with a probability */
    SCHED_PCT,     /* random priorities and a few places where the running one falls to the bottom */
    SCHED_STARVED, /* a walk in which one fibre runs only when nobody else can */
    SCHED_SLOW,    /* a walk in which a fibre is now and then off its processor for a while */
    SCHED_REPLAY,  /* a list of deviations */
    SCHED_SEARCH   /* every schedule with so many preemptions */
};
extern const char *const sched_kind_names[];

struct sched_deviation {
    uint32_t dv_at;      /* number of the decision */
    uint32_t dv_pick;    /* alternative */
    uint64_t dv_slow_ns; /* or: taken off for so long; then dv_pick is 0 and dv_at the number of the point */
};

/* What a run leaves behind; in memory that the processes share. */
struct sched_result {
    bool r_failed;
    bool r_ended; /* by itself: not a crash */
    char r_text[SCHED_TEXT_MAX];
    uint64_t r_points, r_decisions, r_preemptions, r_digest;
    uint64_t r_schedules; /* of a search: run so far */
    uint64_t r_digests;   /* and of all their digests: the same with every compiler, or something leaked in */
    uint64_t r_commands, r_faults, r_virtual_ns; /* what a program of the whole stack says of itself */
    bool r_exhausted;
    uint32_t r_ndeviations;
    bool r_overflow; /* more deviations than there is room for */
    struct sched_deviation r_deviations[SCHED_DEVIATIONS_MAX];
};

struct sched {
    enum sched_kind s_kind;
    uint64_t s_seed;
    bool s_interrupts;      /* timers also on top of fibres; a program may want it whatever this says */
    uint64_t s_points_max;  /* 0: the host's */
    uint32_t s_one_in;      /* walk: a switch at one point in so many */
    uint32_t s_depth;       /* PCT: places + 1 */
    uint64_t s_length;      /* PCT: points a run is believed to have */
    uint32_t s_fibres;      /* starved, slow: how many fibres there may be, the victim is one of them */
    bool s_one_slow;        /* slow: the victim alone; else all but the timers */
    uint32_t s_preemptions; /* search: bound */
    const struct sched_deviation *s_replay;
    uint32_t s_nreplay;
    bool s_story; /* print where fibres stop and go on */
    struct sched_result *s_result;
    /* schedule.c's own */
    struct det_strategy s_strategy;
    uint64_t s_random;
    uint32_t s_victim;
    uint32_t s_at, s_at_replay;
    uint64_t s_point;
    uint64_t s_places[8];
    int32_t s_priority[DET_FIBRES_MAX];
    struct sched_step {
        uint8_t st_n, st_pick, st_forced;
    } * s_steps;
    uint32_t s_nsteps, s_len;
};

/* schedule.c */
/* Prepare one run; what is left of an earlier one, except the search's place, is forgotten. */
const struct det_strategy *sched_begin(struct sched *s);
/* The run has ended well. */
void sched_end(struct sched *s);
/* Search: the next schedule. False: that was the last. */
bool sched_next(struct sched *s);
uint64_t sched_random(uint64_t *state);

/* explore.c */
struct sched_program {
    const char *p_name;
    const char *p_what; /* a line */
    void (*p_run)(const struct det_strategy *st, uint64_t seed);
    bool p_interrupts; /* in every run; else as the schedule says */
    /* The fault of today's drivers that this program finds, in a line; NULL: it holds. */
    const char *p_known;
};
/* Run it once, in a process of its own. False: it failed; s_result says how. */
bool sched_run(struct sched *s, const struct sched_program *p);
/* Every schedule with at most s_preemptions of them. False: one failed, s_result has it. */
bool sched_search(struct sched *s, const struct sched_program *p, bool progress);
/* Drop deviations while it still fails in the same way. Leaves the shortest list found in `r`. Returns runs
 * made. */
uint32_t sched_shrink(const struct sched *s, const struct sched_program *p, struct sched_result *r,
                      bool progress);
/* Print what is left as a story. */
void sched_tell(const struct sched *s, const struct sched_program *p, const struct sched_result *r);
struct sched_result *sched_result_new(void);

/* For commands: one line on a terminal, cut to its width, written over the one before; "" takes it away. */
void sched_progress(const char *text);
/* Is there a standard output? Says so if not. */
bool sched_output_open(const char *program);
/* All of it is written: the exit status; else 2, after a word about it. */
int sched_output_done(const char *program, int code);

/* The oracle: our program says that something is wrong. Does not return. */
_Noreturn void sched_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define SCHED_CHECK(cond, ...)                                                                               \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            sched_fail(__VA_ARGS__);                                                                         \
    } while (0)

/* story.c: file, line and function of a way to a point, the first outside the services; "" unknown. */
void story_place(void *const *frames, char *out, size_t size);
/* st_arg is a struct sched. */
void story_point(void *arg, enum det_point point, uint32_t fibre, const char *object, void *const *frames);
void story_on_top(void *arg, uint32_t fibre, const struct shim_timer *t);
/* The run has failed: what is still to be told. */
void story_end(void);

#endif /* SCHEDULE_H */
