/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim.c - the wrappers between the core and the host half: installing a host, sleeping, timers,
 * threads, copies, messages.
 *
 * The point of this layer is that the rules are enforced once. A host is a dumb table; who may
 * sleep, in which order locks nest, what leaks, and "let the k-th call fail" live here, so a new
 * port gets all of it by filling in its table, and a test finds the same mistakes on each host.
 *
 * The cost on the good path is a design limit: a wrapper that is called per request does nothing
 * but the call and at most one relaxed load (shim_hooks, 0 in production).
 *
 * Rejected: a debug build with its own wrappers (a fault would then be hunted in a binary other
 * than the one it happened in); a macro per wrapper (no place for a breakpoint); letting the core
 * call the table directly and stacking a checking host in front of the real one (two indirect
 * calls per lock, and the inline lock path would have to go).
 *
 * Does not contain: locks (shim_lock.c), memory, accounting and DMA (shim_mem.c), the formatter
 * (shim_format.c), what stands in for missing host functions (shim_fallback.c).
 */
#include "shim_impl.h"

#include <stdarg.h>

#define SHIM_LINE_BYTES 320u

const struct shim_host *shim_host;
_Atomic uint32_t shim_hooks;

/* The host in use: the caller's table with its holes filled. */
static struct shim_host shim_host_copy;

/* ---------------------------------------------------------------- installing a host */

/*
 * What a host lacks of the functions without which nothing runs (shim.h: "polled, one thread"), or of
 * those that come in pairs; NULL for nothing. The numbers are those of shim.h.
 */
static const char *shim_host_lacks(const struct shim_host *h)
{
    const struct {
        const char *what;
        bool there;
    } needs[] = {
        {"a name", h->name != NULL},
        {"1 alloc", h->alloc != NULL},
        {"2 free", h->free != NULL},
        {"3 lock_init", h->lock_init != NULL},
        {"4 lock_fini", h->lock_fini != NULL},
        {"5 lock_enter", h->lock_enter != NULL},
        {"6 lock_exit", h->lock_exit != NULL},
        {"one of 7 wait and 8 wake", (h->wait == NULL) == (h->wake == NULL)},
        {"one of 9 thread_start and 10 thread_join", (h->thread_start == NULL) == (h->thread_join == NULL)},
        {"12 now_ns", h->now_ns != NULL},
        {"one of 14 timer_arm and 15 timer_cancel", (h->timer_arm == NULL) == (h->timer_cancel == NULL)},
        {"16 copy_user", h->copy_user != NULL},
        {"17 log", h->log != NULL},
        {"18 panic", h->panic != NULL}};

    for (size_t i = 0; i < SC_ARRAY_SIZE(needs); i++)
        if (!needs[i].there)
            return needs[i].what;
    return NULL;
}

/*
 * Install a host. Context: process, single-threaded. Locks: none. Owns: nothing; the table is
 * copied, so that missing functions can be filled in without a test at every call.
 */
int shim_init(const struct shim_host *host)
{
    char line[SHIM_LINE_BYTES];
    const char *lacks;
    int error;

    if (shim_host)
        return EBUSY;
    if (!host || host->version != SHIM_HOST_VERSION || host->size < SHIM_TABLE_BYTES(shim_host, panic))
        return EINVAL;
    shim_table_copy(&shim_host_copy, sizeof(shim_host_copy), host, host->size);
    lacks = shim_host_lacks(&shim_host_copy);
    if (lacks) {
        /* The version is right, so its log is what it seems; shim_log() needs a host that is installed. */
        (void)shim_format(line, sizeof(line), "shim: the host's table lacks %s", lacks);
        if (shim_host_copy.log)
            shim_host_copy.log(SHIM_LOG_ERROR, line);
        return EINVAL;
    }
    shim_fallback_fill(&shim_host_copy);
    shim_host = &shim_host_copy;
    SHIM_ASSERT(shim_self()->self_ctx == SHIM_CTX_PROCESS);
    SHIM_ASSERT(shim_self()->self_nlocks == 0);
    error = shim_records_init();
    if (error != 0)
        shim_host = NULL;
    return error;
}

/* Take the host out. Context: process; the only thread left. */
size_t shim_fini(void)
{
    size_t leaked;

    if (!shim_host)
        return 0;
    SHIM_ASSERT(shim_self()->self_nlocks == 0);
    SHIM_ASSERT(shim_self()->self_done_head == NULL);
    shim_records_fini();
    leaked = shim_account_close();
    shim_fail_reset();
    shim_host = NULL;
    return leaked;
}

/* Checked mode. Context: any. */
void shim_checks_set(bool on)
{
    if (on)
        atomic_fetch_or_explicit(&shim_hooks, SHIM_HOOK_CHECKS, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&shim_hooks, ~SHIM_HOOK_CHECKS, memory_order_relaxed);
}

/* ---------------------------------------------------------------- sleep and wake */

/*
 * Sleep until ev is signalled. Context: process. Locks: drops and retakes l; nothing of rank
 * SHIM_RANK_DD_LUN or above may be held besides (docs/locks.md). Requirement: AIX-03, CAM-09 (who must not
 * sleep panics instead). A signal that is there already is taken without calling the host.
 */
bool shim_wait(struct shim_event *ev, struct shim_lock *l, uint64_t deadline_ns)
{
    const struct shim_self *self = shim_self();
    uint32_t signalled = 1;

    if (SC_UNLIKELY(self->self_ctx != SHIM_CTX_PROCESS))
        shim_panic("wait: called in %s context",
                   self->self_ctx == SHIM_CTX_INTERRUPT ? "interrupt" : "completion");
    if (SC_UNLIKELY(self->self_nosleep != 0))
        shim_panic("wait: called inside a strategy routine");
    if (SC_UNLIKELY(shim_checks_on()))
        shim_lock_check_sleep(self, l);
    shim_sched_point();
    if (atomic_compare_exchange_strong_explicit(&ev->ev_word, &signalled, 0, memory_order_acquire,
                                                memory_order_relaxed))
        return true;
    return shim_host->wait(ev, l, deadline_ns);
}

/*
 * Signal ev. Context: any. The exchange is the last access to *ev: whoever waits may free it
 * right after, so the host gets the address only to find the sleepers by it.
 */
void shim_wake(struct shim_event *ev)
{
    shim_sched_point();
    if (atomic_exchange_explicit(&ev->ev_word, 1, memory_order_acq_rel) == 2)
        shim_host->wake(ev);
}

/* ---------------------------------------------------------------- threads */

/* Start a thread. Context: process. 0, ENOSYS (poll instead) or an errno. */
int shim_thread_start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    SHIM_ASSERT(t && fn && name);
    if (shim_fail_now(SHIM_FAIL_THREAD))
        return ENOMEM;
    return shim_host->thread_start(t, fn, arg, name);
}

/* Wait until a thread has returned. Context: process, no lock held. */
void shim_thread_join(struct shim_thread *t)
{
    const struct shim_self *self = shim_self();

    SHIM_ASSERT(self->self_ctx == SHIM_CTX_PROCESS);
    if (shim_checks_on())
        shim_lock_check_sleep(self, NULL);
    shim_host->thread_join(t);
}

/* ---------------------------------------------------------------- time */

void shim_delay_ns(uint64_t ns) { shim_host->delay_ns(ns); }

/* Prepare a timer. Context: any. Owns: the caller, who cancels it before freeing it. */
void shim_timer_init(struct shim_timer *t, void (*fn)(struct shim_timer *t), void *arg)
{
    SHIM_ASSERT(t && fn);
    memset(t, 0, sizeof(*t));
    t->tm_fn = fn;
    t->tm_arg = arg;
}

/*
 * Arm, or move if armed, so that however often it is called one timer runs (NB-02).
 * Context: any. 0 or an errno; a failed call leaves the timer as it was.
 */
int shim_timer_arm(struct shim_timer *t, uint64_t when_ns)
{
    SHIM_ASSERT(t->tm_fn != NULL);
    if (shim_fail_now(SHIM_FAIL_TIMER))
        return ENOMEM;
    return shim_host->timer_arm(t, when_ns);
}

/* enum shim_cancel. Context: any; never waits. */
int shim_timer_cancel(struct shim_timer *t)
{
    SHIM_ASSERT(t->tm_fn != NULL);
    return shim_host->timer_cancel(t);
}

/*
 * Run a timer that is due. Context: the host's timer thread or wait loop, or on top of whichever thread
 * runs. Locks: none held before or after. Owns: the function may free the timer, so *t is not
 * touched after the call.
 * That thread may be inside iodone, or just hanging something on its list of iodone calls put off: on
 * top of it we begin with an empty list and no depth, as a thread of our own would.
 */
void shim_timer_run(struct shim_timer *t)
{
    struct shim_self *self = shim_self();
    const uint32_t old = shim_ctx_enter(self, SHIM_CTX_COMPLETION);
    const uint32_t depth = self->self_iodone_depth;
    struct buf *const head = self->self_done_head;
    struct buf *const tail = self->self_done_tail;
    struct kern_plug *const plug = self->self_plug;

    SHIM_ASSERT(self->self_nlocks == 0);
    self->self_iodone_depth = 0;
    self->self_done_head = NULL;
    self->self_plug = NULL;
    t->tm_fn(t);
    SHIM_ASSERT(self->self_nlocks == 0);
    SHIM_ASSERT(self->self_done_head == NULL && self->self_iodone_depth == 0);
    self->self_iodone_depth = depth;
    self->self_done_head = head;
    self->self_done_tail = tail;
    self->self_plug = plug;
    shim_ctx_leave(self, old);
}

/* ---------------------------------------------------------------- user memory */

/* Copy between kernel memory and one user address. Context: process. 0 or EFAULT. */
int shim_copy_user(void *user, void *kernel, size_t n, bool to_user)
{
    SHIM_ASSERT(shim_self()->self_ctx == SHIM_CTX_PROCESS);
    if (shim_fail_now(SHIM_FAIL_COPY))
        return EFAULT;
    if (n == 0)
        return 0;
    return shim_host->copy_user(user, kernel, n, to_user);
}

/* ---------------------------------------------------------------- messages */

/* One line to the host's log. Context: any. */
void shim_log(enum shim_level level, const char *fmt, ...)
{
    char line[SHIM_LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)shim_vformat(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (shim_host)
        shim_host->log((int)level, line);
}

/*
 * Our own bug. Context: any. Never returns: a host whose panic() does, or no host at all, ends in
 * a trap instruction, because going on would mean acting on a state we know to be wrong.
 */
_Noreturn void shim_panic(const char *fmt, ...)
{
    char line[SHIM_LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)shim_vformat(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (shim_host)
        shim_host->panic(line);
    __builtin_trap();
}

/* An administrator's number. Context: process, at configuration. */
int64_t shim_tunable(const char *name, int64_t dflt) { return shim_host->tunable(name, dflt); }
