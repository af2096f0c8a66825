/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * det_impl.h - what the files of the deterministic host share: its state, and a fibre.
 */
#ifndef DET_IMPL_H
#define DET_IMPL_H

#include "../shim_timerq.h"
#include "det_sched.h"

#define DET_TUNABLES_MAX 32u
#define DET_NAME_MAX     32u
#define DET_OBJECTS_MAX  1024u

enum det_state {
    DET_FREE,
    DET_READY,
    DET_LOCK,  /* waits for f_object, a lock */
    DET_EVENT, /* waits for f_object, an event, until f_until_ns */
    DET_SLEEP, /* until f_until_ns */
    DET_JOIN,  /* for fibre f_join to end */
    DET_IDLE,  /* the timers' fibre, with none due */
    DET_DONE
};

struct det_context; /* det_fibre.c: registers, stack, what the sanitizers want to know */

struct det_fibre {
    struct shim_self f_self; /* what self() returns */
    enum det_state f_state;
    char f_name[DET_NAME_MAX];
    const void *f_object;
    uint32_t f_join;
    uint64_t f_until_ns;
    uint32_t f_held;  /* locks held */
    bool f_on_top;    /* a timer runs on top of it */
    bool f_woken;     /* its event came */
    bool f_consumes;  /* and is its to reset */
    bool f_timed_out; /* f_until_ns came first */
    /* Beside f_object: an interrupt on top of a sleeper that is about to be may wait for a lock. */
    const void *f_event;
    uint64_t f_waiting;         /* order among those who wait for f_event; 0 none */
    struct shim_timer *f_timer; /* whose function runs here */
    void (*f_fn)(void *arg);
    void *f_arg;
};

struct det_host {
    uint64_t seed;
    uint64_t random;
    uint64_t now_ns;
    struct shim_timerq timers;
    struct shim_self *current; /* without fibres: which of the two records below */
    struct shim_self process;
    struct shim_self timer;
    unsigned ntunables;
    struct {
        char name[DET_NAME_MAX];
        int64_t value;
    } tunables[DET_TUNABLES_MAX];
    struct {
        uint64_t left; /* calls until the one that fails; 0: none does */
        bool for_good;
    } shortage[DET_SHORT_COUNT];
    /* With fibres. */
    const struct det_fibre_ops *ops; /* NULL: none */
    const struct det_strategy *strategy;
    struct det_fibre fibres[DET_FIBRES_MAX];
    uint32_t nfibres;
    uint32_t cur;
    uint64_t waits; /* for f_waiting */
    uint64_t points;
    uint64_t digest;
    const void *objects[DET_OBJECTS_MAX]; /* by address: numbers that do not depend on it */
    uint32_t nobjects;
};
extern struct det_host shim_det __attribute__((visibility("hidden")));

static inline struct det_fibre *det_cur(void) { return &shim_det.fibres[shim_det.cur]; }

/*
 * What the host's table does when there are fibres. The library has none: det_sched.c and det_fibre.c are
 * linked into simulations only.
 */
struct det_fibre_ops {
    struct shim_self *(*self)(void);
    void (*lock_enter)(struct shim_lock *l);
    void (*lock_exit)(struct shim_lock *l);
    bool (*wait)(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns);
    void (*wake)(struct shim_event *ev);
    int (*start)(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name);
    void (*join)(struct shim_thread *t);
    void (*delay)(uint64_t ns);
    void (*release)(void *p); /* free() it, when nobody can look at it any more */
    void (*timer_armed)(struct shim_timer *t);
    bool (*timer_runs)(const struct shim_timer *t); /* on another fibre */
    void (*fail)(const char *text);
};

/* det_fibre.c: stacks and switching. */
void det_context_reset(void);
void det_context_make(uint32_t fibre, void (*entry)(void));
/* Go on as fibre `to`; `last`: `from` will never run again. */
void det_context_switch(uint32_t from, uint32_t to, bool last);
/* A new fibre's first act. */
void det_context_entered(void);
/* What the thread sanitizer does not see, because this host is not instrumented: order by a lock, an event
 * ... */
void det_order_give(const void *by);
void det_order_take(const void *by);
/* It is to look away while bookkeeping that all fibres share goes through the C library. */
void det_blind(bool on);

#endif /* DET_IMPL_H */
