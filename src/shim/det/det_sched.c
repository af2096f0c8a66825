/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * det_sched.c - fibres: points, blocking, and time that passes only when nobody can run.
 *
 * A *point* is where another fibre may go on: before a lock is entered and after it is left, before a sleep
 * and a wake-up, where a timer begins, at start, join and end of a thread, and at the marks (scsched.h)
 * beside atomics that matter. At each the strategy picks one of the fibres that can run; the first
 * alternative is always to go on. A fibre that cannot go on is a point too, where going on is not among the
 * alternatives.
 *
 * Time stands still while anybody can run. When nobody can it jumps to the next timer, deadline or end of
 * a delay; when there is none of those, nobody will ever run again, which is a deadlock and is reported with
 * who waits for what. A strategy that calls a fibre slow lets time pass beside it: that is how an interrupted
 * thread meets its own timeout.
 *
 * Timers that are due make the timers' fibre ready, which stands for the timer thread of a hosted port and
 * for an idle processor; or, when the strategy wants interrupts, run on top of whichever fibre holds no lock,
 * with that fibre's thread record: the only way to enter code again on the thread that is in it.
 *
 * Locks are the host's own here (sl_slow): the word says who has them, and a fibre that finds one taken
 * waits until it is free. The parking of the threaded host is therefore not what is looked at;
 * tests/sim/small compiles that file itself on fibres.
 *
 * Rejected: real threads held back by a semaphore each (a switch costs 5 us and the sanitizers cannot
 * tell the schedule from luck); switching at every memory access (instrumentation that
 * knows nothing of our locks, and runs a hundred times as long).
 *
 * Does not contain: strategies (tests/sim), stacks (det_fibre.c).
 */
#include "det_impl.h"

#include <stdlib.h>

#define DET_POINTS_MAX 10000000u

const char *const det_point_names[DET_POINT_COUNT] = {
    [DET_POINT_MARK] = "mark",   [DET_POINT_LOCK] = "lock",       [DET_POINT_UNLOCK] = "unlock",
    [DET_POINT_WAIT] = "wait",   [DET_POINT_WAKE] = "wake",       [DET_POINT_START] = "start",
    [DET_POINT_JOIN] = "join",   [DET_POINT_END] = "end",         [DET_POINT_TIMER] = "timer",
    [DET_POINT_DELAY] = "delay", [DET_POINT_BLOCKED] = "blocked",
};

static void det_timers_fibre(void);
static void det_run_timer(struct det_fibre *f);

/* ---------------------------------------------------------------- failing */

static const char *det_state_name(const struct det_fibre *f)
{
    static const char *const names[] = {
        [DET_FREE] = "is free",          [DET_READY] = "can run",  [DET_LOCK] = "waits for lock",
        [DET_EVENT] = "waits for event", [DET_SLEEP] = "sleeps",   [DET_JOIN] = "waits for the end of",
        [DET_IDLE] = "has no timer due", [DET_DONE] = "has ended",
    };

    return names[f->f_state];
}

/* A number for an address, the same in every build: by order of first appearance. */
static uint32_t det_object_number(const void *object)
{
    for (uint32_t i = 0; i < shim_det.nobjects; i++)
        if (shim_det.objects[i] == object)
            return i + 1;
    if (shim_det.nobjects < DET_OBJECTS_MAX)
        shim_det.objects[shim_det.nobjects++] = object;
    return shim_det.nobjects;
}

void shim_det_describe(char *out, size_t size)
{
    size_t at = 0;

    for (uint32_t i = 0; i < shim_det.nfibres && at + 1 < size; i++) {
        const struct det_fibre *f = &shim_det.fibres[i];
        const struct shim_lock *l = f->f_state == DET_LOCK ? f->f_object : NULL;
        int n =
            shim_format(out + at, size - at, "  fibre %u (%s) %s", (unsigned)i, f->f_name, det_state_name(f));

        at += n > 0 ? (size_t)n : 0;
        if (at + 1 >= size)
            break;
        if (l)
            n = shim_format(out + at, size - at, " %s (rank %u), held by fibre %u\n", l->sl_name,
                            (unsigned)l->sl_rank, (unsigned)(l->sl_host[0] - 1u));
        else if (f->f_state == DET_JOIN)
            n = shim_format(out + at, size - at, " fibre %u\n", (unsigned)f->f_join);
        else if (f->f_state == DET_EVENT)
            n = shim_format(out + at, size - at, " %u%s\n", (unsigned)det_object_number(f->f_object),
                            f->f_until_ns == UINT64_MAX ? "" : ", with a limit");
        else
            n = shim_format(out + at, size - at, "\n");
        at += n > 0 ? (size_t)n : 0;
    }
}

static _Noreturn void det_fail(const char *text)
{
    static bool failing;

    if (!failing && shim_det.strategy && shim_det.strategy->st_failed) {
        failing = true;
        det_blind(true);
        shim_det.strategy->st_failed(shim_det.strategy->st_arg, text);
    }
    __builtin_trap();
}

static _Noreturn void det_fail_described(const char *what)
{
    static char text[4096];
    int n = shim_format(text, sizeof(text), "%s\n", what);

    shim_det_describe(text + n, sizeof(text) - (size_t)n);
    det_fail(text);
}

/* ---------------------------------------------------------------- the digest */

void shim_det_observe(uint64_t value)
{
    shim_det.digest = (shim_det.digest ^ value) * 0x100000001b3u;
    shim_det.digest ^= shim_det.digest >> 29;
}

uint64_t shim_det_points(void) { return shim_det.points; }
uint64_t shim_det_digest(void) { return shim_det.digest; }
uint32_t shim_det_fibre(void) { return shim_det.cur; }
const char *shim_det_fibre_name(uint32_t fibre)
{
    return fibre < shim_det.nfibres ? shim_det.fibres[fibre].f_name : "?";
}

/* Where this point is, innermost first, by the frame pointers that tests/sim is compiled with. */
static void det_frames(void *const *base, void **frames)
{
    for (unsigned i = 0; i < DET_FRAMES; i++) {
        void *const *up = (void *const *)base[0];

        frames[i] = base[1];
        if (up <= base || (uintptr_t)up - (uintptr_t)base > 65536 || ((uintptr_t)up & 7) != 0) {
            for (i++; i < DET_FRAMES; i++)
                frames[i] = NULL;
            return;
        }
        base = up;
    }
}

static void det_note(enum det_point point, const void *object, const char *name)
{
    const uint64_t limit =
        shim_det.strategy->st_points_max ? shim_det.strategy->st_points_max : DET_POINTS_MAX;

    shim_det.points++;
    /* Locks only: an event may lie on a stack, and there compilers differ in what comes to lie at one
     * address. */
    shim_det_observe((uint64_t)point << 48 ^ (uint64_t)shim_det.cur << 32 ^
                     (object && name ? det_object_number(object) : 0));
    if (shim_det.points > limit)
        det_fail_described("livelock: too many points without an end");
    if (shim_det.strategy->st_trace) {
        void *frames[DET_FRAMES];

        det_frames(__builtin_frame_address(0), frames);
        det_blind(true);
        shim_det.strategy->st_trace(shim_det.strategy->st_arg, point, shim_det.cur, name, frames);
        det_blind(false);
    }
}

/* ---------------------------------------------------------------- choosing */

static bool det_timer_due(void)
{
    return shim_det.timers.tq_first && shim_det.timers.tq_first->tm_when_ns <= shim_det.now_ns;
}

/* Those whose time has come can run. */
static void det_ripen(void)
{
    struct det_fibre *timers = &shim_det.fibres[DET_FIBRE_TIMER];

    for (uint32_t i = 0; i < shim_det.nfibres; i++) {
        struct det_fibre *f = &shim_det.fibres[i];

        if ((f->f_state == DET_SLEEP || f->f_state == DET_EVENT) && f->f_until_ns <= shim_det.now_ns) {
            f->f_timed_out = true;
            f->f_state = DET_READY;
        }
    }
    if (timers->f_state == DET_IDLE && det_timer_due())
        timers->f_state = DET_READY;
}

/*
 * Nobody can run: the next moment at which somebody can. A timer is one only when its fibre has nothing else
 * to do: while it waits for a lock, what is due stays due and time goes on for the others.
 */
static void det_time_passes(void)
{
    const bool idle = shim_det.fibres[DET_FIBRE_TIMER].f_state == DET_IDLE;
    uint64_t next = idle && shim_det.timers.tq_first ? shim_det.timers.tq_first->tm_when_ns : UINT64_MAX;

    for (uint32_t i = 0; i < shim_det.nfibres; i++) {
        const struct det_fibre *f = &shim_det.fibres[i];

        if ((f->f_state == DET_SLEEP || f->f_state == DET_EVENT) && f->f_until_ns < next)
            next = f->f_until_ns;
    }
    if (next == UINT64_MAX)
        det_fail_described("deadlock: nobody can run, and no timer can fire");
    if (next > shim_det.now_ns)
        shim_det.now_ns = next;
}

static uint32_t det_ask(enum det_point point, const void *object, bool forced, const uint8_t *who, uint32_t n)
{
    struct det_choice ch = {.ch_point = point,
                            .ch_cur = shim_det.cur,
                            .ch_forced = forced,
                            .ch_n = n,
                            .ch_who = who,
                            .ch_object = object};
    uint32_t i = 0;

    if (n > 1 && shim_det.strategy->st_pick)
        i = shim_det.strategy->st_pick(shim_det.strategy->st_arg, &ch);
    SHIM_ASSERT(i < n);
    return i;
}

static void det_switch(uint32_t to)
{
    const uint32_t from = shim_det.cur;

    if (to == from)
        return;
    shim_det.cur = to;
    det_context_switch(from, to, shim_det.fibres[from].f_state == DET_DONE);
}

/* The current fibre cannot go on (its state says why): somebody else runs until it can. */
static void det_block(void)
{
    uint8_t who[DET_FIBRES_MAX];
    uint32_t n;

    for (;;) {
        n = 0;
        det_ripen();
        for (uint32_t i = 0; i < shim_det.nfibres; i++) {
            const uint32_t f = (shim_det.cur + i) % shim_det.nfibres;

            if (shim_det.fibres[f].f_state == DET_READY)
                who[n++] = (uint8_t)f;
        }
        if (n > 0)
            break;
        det_time_passes();
    }
    det_switch(who[det_ask(DET_POINT_BLOCKED, det_cur()->f_object, true, who, n)]);
}

/* A point: perhaps somebody else first. */
static void det_point_at(enum det_point point, const void *object, const char *name)
{
    struct det_fibre *f = det_cur();
    struct det_choice here = {.ch_point = point, .ch_cur = shim_det.cur, .ch_object = object};
    uint8_t who[DET_FIBRES_MAX + 1];
    uint32_t n = 1, i;
    uint64_t slow;

    SHIM_ASSERT(f->f_state == DET_READY);
    det_note(point, object, name);
    slow = shim_det.strategy->st_slow ? shim_det.strategy->st_slow(shim_det.strategy->st_arg, &here) : 0;
    if (slow) {
        f->f_state = DET_SLEEP;
        f->f_until_ns = shim_det.now_ns + slow;
        det_block();
        return;
    }
    det_ripen();
    who[0] = (uint8_t)shim_det.cur;
    for (uint32_t other = 0; other < shim_det.nfibres; other++)
        if (other != shim_det.cur && shim_det.fibres[other].f_state == DET_READY)
            who[n++] = (uint8_t)other;
    if (shim_det.strategy->st_interrupts && det_timer_due() && f->f_held == 0 && !f->f_on_top && !f->f_timer)
        who[n++] = (uint8_t)(DET_ON_TOP | shim_det.cur);
    i = det_ask(point, object, false, who, n);
    if (who[i] & DET_ON_TOP) {
        f->f_on_top = true;
        if (shim_det.strategy->st_on_top) {
            det_blind(true);
            shim_det.strategy->st_on_top(shim_det.strategy->st_arg, shim_det.cur, shim_det.timers.tq_first);
            det_blind(false);
        }
        det_run_timer(f);
        f->f_on_top = false;
    } else {
        det_switch(who[i]);
    }
}

void shim_det_mark(void)
{
    if (shim_det.ops)
        det_point_at(DET_POINT_MARK, NULL, NULL);
}

/* ---------------------------------------------------------------- locks */

static void det_fibre_lock_enter(struct shim_lock *l)
{
    struct det_fibre *f = det_cur();

    det_point_at(DET_POINT_LOCK, l, l->sl_name);
    for (;;) {
        /* What holds it may have been given back meanwhile; a poisoned word would look taken for ever. */
        SHIM_ASSERT(l->sl_magic == SL_MAGIC);
        if (atomic_load_explicit(&l->sl_word, memory_order_relaxed) == 0)
            break;
        f->f_state = DET_LOCK;
        f->f_object = l;
        det_block();
    }
    atomic_store_explicit(&l->sl_word, 1, memory_order_relaxed);
    l->sl_host[0] = shim_det.cur + 1u;
    f->f_held++;
    det_order_take(l);
}

/* Once the word is 0 the lock may be gone: its address is all that is used. */
static void det_fibre_lock_exit(struct shim_lock *l)
{
    struct det_fibre *f = det_cur();
    const char *name = l->sl_name;

    SHIM_ASSERT(l->sl_host[0] == shim_det.cur + 1u && f->f_held > 0);
    det_order_give(l);
    l->sl_host[0] = 0;
    atomic_store_explicit(&l->sl_word, 0, memory_order_relaxed);
    f->f_held--;
    for (uint32_t i = 0; i < shim_det.nfibres; i++)
        if (shim_det.fibres[i].f_state == DET_LOCK && shim_det.fibres[i].f_object == l)
            shim_det.fibres[i].f_state = DET_READY;
    det_point_at(DET_POINT_UNLOCK, l, name);
}

/* ---------------------------------------------------------------- events */

/* Say that somebody sleeps, or take the signal that is there. True: taken. */
static bool det_event_announce(struct shim_event *ev)
{
    uint32_t word = 0;

    if (atomic_compare_exchange_strong(&ev->ev_word, &word, 2) || word == 2)
        return false;
    atomic_store(&ev->ev_word, 0);
    det_order_take(ev);
    return true;
}

static bool det_event_others(const struct shim_event *ev, const struct det_fibre *me)
{
    for (uint32_t i = 0; i < shim_det.nfibres; i++)
        if (&shim_det.fibres[i] != me && shim_det.fibres[i].f_waiting && shim_det.fibres[i].f_event == ev)
            return true;
    return false;
}

/* The time is up. A wake-up may have come all the same. */
static bool det_event_timed_out(struct shim_event *ev, const struct det_fibre *me)
{
    uint32_t word = 2;

    if (det_event_others(ev, me))
        return false; /* the word speaks for them */
    if (atomic_compare_exchange_strong(&ev->ev_word, &word, 0) || word != 1)
        return false;
    atomic_store(&ev->ev_word, 0);
    return true;
}

static bool det_fibre_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    struct det_fibre *f = det_cur();
    uint32_t signalled = 1;
    bool woken;

    det_point_at(DET_POINT_WAIT, ev, NULL);
    if (det_event_announce(ev))
        return true;
    f->f_event = ev;
    f->f_waiting = ++shim_det.waits;
    f->f_woken = f->f_consumes = f->f_timed_out = false;
    if (l)
        shim_lock_exit(l);
    while (!f->f_woken && shim_det.now_ns < deadline_ns) {
        f->f_state = DET_EVENT;
        f->f_object = ev;
        f->f_until_ns = deadline_ns;
        det_block();
    }
    f->f_waiting = 0;
    woken = f->f_woken || det_event_timed_out(ev, f);
    /* Unless somebody who came later has taken it; then the word may speak for another sleeper already. */
    if (f->f_consumes)
        (void)atomic_compare_exchange_strong(&ev->ev_word, &signalled, 0);
    if (woken)
        det_order_take(ev);
    if (l)
        shim_lock_enter(l);
    return woken;
}

/* The word says "signalled" already and said that somebody slept: all who do go on, the first takes the
 * signal. */
static void det_fibre_wake(struct shim_event *ev)
{
    struct det_fibre *first = NULL;

    det_order_give(ev);
    for (uint32_t i = 0; i < shim_det.nfibres; i++) {
        struct det_fibre *f = &shim_det.fibres[i];

        if (!f->f_waiting || f->f_event != ev || f->f_woken)
            continue;
        f->f_woken = true;
        if (f->f_state == DET_EVENT)
            f->f_state = DET_READY;
        if (!first || f->f_waiting < first->f_waiting)
            first = f;
    }
    if (first)
        first->f_consumes = true;
    det_point_at(DET_POINT_WAKE, ev, NULL);
}

bool shim_det_sleep(const void *object, uint64_t until_ns)
{
    struct det_fibre *f = det_cur();

    f->f_timed_out = false;
    f->f_state = DET_EVENT;
    f->f_object = object;
    f->f_until_ns = until_ns;
    det_block();
    return !f->f_timed_out;
}

void shim_det_rouse(const void *object)
{
    for (uint32_t i = 0; i < shim_det.nfibres; i++) {
        struct det_fibre *f = &shim_det.fibres[i];

        if (f->f_state == DET_EVENT && f->f_object == object && !f->f_waiting)
            f->f_state = DET_READY;
    }
}

/* ---------------------------------------------------------------- threads */

static void det_fibre_entry(void)
{
    struct det_fibre *f = det_cur();

    det_order_take(f);
    f->f_fn(f->f_arg);
    det_note(DET_POINT_END, NULL, f->f_name);
    SHIM_ASSERT(f->f_held == 0);
    det_order_give(f);
    f->f_state = DET_DONE;
    for (uint32_t i = 0; i < shim_det.nfibres; i++)
        if (shim_det.fibres[i].f_state == DET_JOIN && &shim_det.fibres[shim_det.fibres[i].f_join] == f)
            shim_det.fibres[i].f_state = DET_READY;
    det_block();
    shim_panic("det: a fibre that had ended went on");
}

static uint32_t det_fibre_new(const char *name, void (*fn)(void *arg), void *arg)
{
    const uint32_t id = shim_det.nfibres;
    struct det_fibre *f = &shim_det.fibres[id];

    if (id == DET_FIBRES_MAX)
        return DET_FIBRES_MAX;
    shim_det.nfibres++;
    memset(f, 0, sizeof(*f));
    f->f_self.self_id = id + 1u;
    f->f_state = DET_READY;
    (void)shim_format(f->f_name, sizeof(f->f_name), "%s", name);
    f->f_fn = fn;
    f->f_arg = arg;
    return id;
}

static int det_fibre_start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    const uint32_t id = det_fibre_new(name, fn, arg);

    if (id == DET_FIBRES_MAX)
        return ENOMEM;
    t->th_host[0] = id;
    det_context_make(id, det_fibre_entry);
    det_order_give(&shim_det.fibres[id]);
    det_point_at(DET_POINT_START, NULL, name);
    return 0;
}

static void det_fibre_join(struct shim_thread *t)
{
    struct det_fibre *f = det_cur(), *of = &shim_det.fibres[t->th_host[0]];

    det_point_at(DET_POINT_JOIN, NULL, of->f_name);
    while (of->f_state != DET_DONE) {
        f->f_state = DET_JOIN;
        f->f_join = (uint32_t)t->th_host[0];
        f->f_object = NULL;
        det_block();
    }
    det_order_take(of);
}

/* ---------------------------------------------------------------- time */

/* Spinning for a while: the others run. */
static void det_fibre_delay(uint64_t ns)
{
    struct det_fibre *f = det_cur();

    det_note(DET_POINT_DELAY, NULL, NULL);
    f->f_state = DET_SLEEP;
    f->f_object = NULL;
    f->f_until_ns = shim_det.now_ns + ns;
    det_block();
}

static bool det_fibre_runs_timer(const struct shim_timer *t)
{
    for (uint32_t i = 0; i < shim_det.nfibres; i++)
        if (i != shim_det.cur && shim_det.fibres[i].f_timer == t)
            return true;
    det_order_take(t);
    return false;
}

/* The next due timer, on this fibre's stack. */
static void det_run_timer(struct det_fibre *f)
{
    struct shim_timer *t = shim_det.timers.tq_first;

    shim_timerq_remove(&shim_det.timers, t);
    f->f_timer = t;
    det_order_take(t);
    shim_timer_run(t);
    f->f_timer = NULL;
    det_order_give(t); /* by its address only: whoever cancels it now may free what it worked on */
}

static void det_timers_fibre(void)
{
    struct det_fibre *f = det_cur();

    for (;;) {
        while (!det_timer_due()) {
            det_order_give(&shim_det.timers); /* for who ends the run */
            f->f_state = DET_IDLE;
            f->f_object = NULL;
            det_block();
        }
        det_point_at(DET_POINT_TIMER, NULL, NULL);
        if (det_timer_due())
            det_run_timer(f);
    }
}

/* ---------------------------------------------------------------- memory */

/*
 * What is freed stays as the wrappers have poisoned it until the run is over, so that whoever still looks at
 * it meets a lock without its magic number, the same in every build. The address sanitizer does better.
 */
static struct {
    void **gr_blocks;
    size_t gr_n, gr_room;
} det_graveyard;

static void det_fibre_release(void *p)
{
#ifdef DET_ASAN
    free(p);
#else
    if (det_graveyard.gr_n == det_graveyard.gr_room) {
        det_graveyard.gr_room = det_graveyard.gr_room ? 2 * det_graveyard.gr_room : 256;
        det_graveyard.gr_blocks =
            realloc(det_graveyard.gr_blocks, det_graveyard.gr_room * sizeof(*det_graveyard.gr_blocks));
        if (!det_graveyard.gr_blocks)
            shim_panic("det: no memory to remember what was freed");
    }
    det_graveyard.gr_blocks[det_graveyard.gr_n++] = p;
#endif
}

static void det_bury(void)
{
    while (det_graveyard.gr_n > 0)
        free(det_graveyard.gr_blocks[--det_graveyard.gr_n]);
}

/* ---------------------------------------------------------------- on and off */

static struct shim_self *det_fibre_self(void) { return &det_cur()->f_self; }

static void det_fibre_timer_armed(struct shim_timer *t) { det_order_give(t); }

static void det_fibre_fail(const char *text) { det_fail(text); }

static const struct det_fibre_ops det_ops = {
    .self = det_fibre_self,
    .lock_enter = det_fibre_lock_enter,
    .lock_exit = det_fibre_lock_exit,
    .wait = det_fibre_wait,
    .wake = det_fibre_wake,
    .start = det_fibre_start,
    .join = det_fibre_join,
    .delay = det_fibre_delay,
    .release = det_fibre_release,
    .timer_armed = det_fibre_timer_armed,
    .timer_runs = det_fibre_runs_timer,
    .fail = det_fibre_fail,
};

void shim_det_sched(const struct det_strategy *st)
{
    SHIM_ASSERT(!shim_host && st);
    det_bury();
    det_context_reset();
    shim_det.ops = &det_ops;
    shim_det.strategy = st;
    shim_det.digest = 0xcbf29ce484222325u;
    (void)det_fibre_new("main", NULL, NULL);
    (void)det_fibre_new("timers", NULL, NULL);
    shim_det.fibres[DET_FIBRE_TIMER].f_state = DET_IDLE;
    det_context_make(DET_FIBRE_TIMER, det_timers_fibre);
}

bool shim_det_sched_idle(void)
{
    const struct det_fibre *timers = &shim_det.fibres[DET_FIBRE_TIMER];

    det_order_take(&shim_det.timers);
    for (uint32_t i = 0; i < shim_det.nfibres; i++)
        if (i > DET_FIBRE_TIMER && shim_det.fibres[i].f_state != DET_DONE)
            return false;
    /* A timer that was due and has been cancelled since has made its fibre ready for nothing. */
    return shim_det.cur == DET_FIBRE_MAIN && (timers->f_state == DET_IDLE || timers->f_state == DET_READY) &&
           !timers->f_timer;
}
