/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * det_sched.h - fibres on the deterministic host: what decides who runs, and what is told about it.
 *
 * For tests/sim only. shim_det_sched() after shim_det_host() and before shim_init() turns the one-thread
 * host into one where thread_start() makes a fibre, and where at every *point* (see det_sched.c) the
 * strategy says which fibre goes on. A run is a function of what the strategy says, and of nothing else.
 *
 * Does not contain: strategies, stories, replay (tests/sim).
 */
#ifndef DET_SCHED_H
#define DET_SCHED_H

#include <scpair/shim.h>
#include <sys/scsched.h> /* shim_det_mark(): a point of the test's own */

#define DET_FIBRES_MAX  120u
#define DET_FIBRE_MAIN  0u /* whoever called shim_det_sched() */
/* Runs what is due when nobody else does, as an idle processor or a timer thread would. */
#define DET_FIBRE_TIMER 1u

/* Where a fibre may stop. */
enum det_point {
    DET_POINT_MARK, /* shim_sched_point() */
    DET_POINT_LOCK, /* before a lock is entered */
    DET_POINT_UNLOCK,
    DET_POINT_WAIT,
    DET_POINT_WAKE,
    DET_POINT_START,
    DET_POINT_JOIN,
    DET_POINT_END,
    DET_POINT_TIMER, /* a timer's function is about to run */
    DET_POINT_DELAY,
    DET_POINT_BLOCKED, /* the fibre cannot go on: somebody else has to */
    DET_POINT_COUNT
};
extern const char *const det_point_names[DET_POINT_COUNT];

#define DET_ON_TOP 0x80u /* in ch_who: a due timer, as an interrupt on top of the current fibre */

/* A decision. Alternative 0 is what happens without a strategy. */
struct det_choice {
    enum det_point ch_point;
    uint32_t ch_cur;       /* the fibre that got here */
    bool ch_forced;        /* it cannot go on: any alternative is as good as another, none is a preemption */
    uint32_t ch_n;         /* alternatives, at least 2 */
    const uint8_t *ch_who; /* fibre of each */
    const void *ch_object; /* lock or event, or NULL */
};

#define DET_FRAMES 16u /* return addresses kept of a point, innermost first */

struct det_strategy {
    /* Which alternative? Below ch_n. */
    uint32_t (*st_pick)(void *arg, const struct det_choice *ch);
    /* Take the current fibre off its processor for so many virtual nanoseconds? 0 no. May be NULL. */
    uint64_t (*st_slow)(void *arg, const struct det_choice *ch);
    /* Told of every point, with the way there. May be NULL. */
    void (*st_trace)(void *arg, enum det_point point, uint32_t fibre, const char *object,
                     void *const *frames);
    /* Told of a timer that is about to run on top of the current fibre. May be NULL. */
    void (*st_on_top)(void *arg, uint32_t fibre, const struct shim_timer *t);
    /* The run has failed: a panic, a deadlock, a livelock. Does not return. */
    void (*st_failed)(void *arg, const char *text);
    void *st_arg;
    bool st_interrupts;     /* timers may run on top of any fibre that holds no lock */
    uint64_t st_points_max; /* more than so many is a livelock; 0: ten million */
};

/* Fibres from now on, until the next shim_det_host(). `st` stays the caller's and must live as long. */
void shim_det_sched(const struct det_strategy *st);
/* Every fibre but the caller and the timers' has ended: forget them. False: some has not. */
bool shim_det_sched_idle(void);
/* Points passed, and a digest of them and of everything observed: the same for the same decisions. */
uint64_t shim_det_points(void);
uint64_t shim_det_digest(void);
void shim_det_observe(uint64_t value);
/*
 * The host is short of something: the k-th allocation, or arming of a timer, from now on fails, that one
 * alone or it and all that follow; k = 0: no longer. Unlike shim_fail_set() at any time, and unseen by the
 * thread sanitizer.
 */
enum det_short { DET_SHORT_MEMORY, DET_SHORT_TIMERS, DET_SHORT_COUNT };
void shim_det_short(enum det_short what, uint64_t k, bool for_good);
/* The current fibre, and what a fibre is called. */
uint32_t shim_det_fibre(void);
const char *shim_det_fibre_name(uint32_t fibre);
/*
 * For primitives of a test's own: sleep on an address until roused; false: until_ns has come first. Not a
 * point, so nothing happens between the caller's last look and the sleep.
 */
bool shim_det_sleep(const void *object, uint64_t until_ns);
void shim_det_rouse(const void *object);
/* Who waits for what, a line each, into `out`. */
void shim_det_describe(char *out, size_t size);

#endif /* DET_SCHED_H */
