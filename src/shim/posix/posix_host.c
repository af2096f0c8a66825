/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix_host.c - the host half for a process: memory, threads, clock, messages, and the table.
 *
 * Large blocks come from mmap, so that a RAM disk of many gigabytes costs only the pages that
 * have been written; small ones from the C library. "User memory" is the process's own, hence a
 * user copy is a memcpy behind a check for addresses that can be no memory.
 *
 * Does not contain: parking (posix_park.c), timers (posix_timer.c).
 */
#define _GNU_SOURCE
#include "posix_impl.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define POSIX_MMAP_BYTES_MIN ((size_t)1 << 20)
#define POSIX_HUGE_BYTES_MIN ((size_t)4 << 20)
#define POSIX_NAME_MAX       64u

void shim_posix_must(int rc, const char *what)
{
    if (rc)
        shim_panic("posix: %s: %s", what, strerror(rc));
}

/* ---------------------------------------------------------------- the thread's record */

/* initial-exec: one load instead of a call into the dynamic linker, on the path of every request. */
static __thread struct shim_posix_thread posix_me __attribute__((tls_model("initial-exec")));

static pthread_key_t posix_end_key;
static pthread_once_t posix_end_once = PTHREAD_ONCE_INIT;

/*
 * A thread ends: its record goes with it. What ends after us, another key's value say, may still do
 * I/O; it then finds a thread that is not set up, and we are called once more.
 */
static void posix_thread_end(void *p)
{
    struct shim_posix_thread *me = p;

    shim_self_gone(&me->pt_self);
    me->pt_ready = false;
    shim_posix_must(pthread_cond_destroy(&me->pt_cond), "cond_destroy");
}

static void posix_end_key_make(void)
{
    shim_posix_must(pthread_key_create(&posix_end_key, posix_thread_end), "key_create");
}

static void posix_thread_setup(struct shim_posix_thread *me)
{
    static _Atomic uint64_t ids;
    pthread_condattr_t attr;

    shim_posix_must(pthread_condattr_init(&attr), "condattr_init");
    shim_posix_must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "condattr_setclock");
    shim_posix_must(pthread_cond_init(&me->pt_cond, &attr), "cond_init");
    shim_posix_must(pthread_condattr_destroy(&attr), "condattr_destroy");
    shim_posix_must(pthread_once(&posix_end_once, posix_end_key_make), "once");
    shim_posix_must(pthread_setspecific(posix_end_key, me), "setspecific");
    if (me->pt_self.self_id == 0)
        me->pt_self.self_id = atomic_fetch_add(&ids, 1) + 1;
    me->pt_ready = true;
}

struct shim_posix_thread *shim_posix_thread(void)
{
    struct shim_posix_thread *me = &posix_me;

    if (SC_UNLIKELY(!me->pt_ready))
        posix_thread_setup(me);
    return me;
}

static struct shim_self *posix_self(void) { return &shim_posix_thread()->pt_self; }

/* ---------------------------------------------------------------- memory */

static void *posix_alloc(size_t size, size_t align)
{
    void *p;

    if (size >= POSIX_MMAP_BYTES_MIN) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
        if (size >= POSIX_HUGE_BYTES_MIN)
            (void)madvise(p, size, MADV_HUGEPAGE); /* a hint: failing changes nothing */
        return p;
    }
    if (align <= _Alignof(max_align_t))
        return calloc(1, size);
    if (posix_memalign(&p, align, size))
        return NULL;
    memset(p, 0, size);
    return p;
}

static void posix_free(void *p, size_t size, size_t align)
{
    (void)align;
    if (size < POSIX_MMAP_BYTES_MIN)
        free(p);
    else if (munmap(p, size))
        shim_posix_must(errno, "munmap");
}

/* The lowest pages are never mapped, and no object wraps around: all a process can tell cheaply. */
static int posix_copy_user(void *user, void *kernel, size_t n, bool to_user)
{
    uintptr_t first = (uintptr_t)user;

    if (first < SC_PAGE_SIZE || first + n < first)
        return EFAULT;
    if (to_user)
        memcpy(user, kernel, n);
    else
        memcpy(kernel, user, n);
    return 0;
}

/* ---------------------------------------------------------------- threads */

struct posix_start {
    void (*fn)(void *arg);
    void *arg;
    char name[16]; /* the kernel's limit */
};

static void *posix_thread_main(void *p)
{
    struct posix_start start = *(struct posix_start *)p;

    free(p);
    (void)pthread_setname_np(pthread_self(), start.name);
    start.fn(start.arg);
    return NULL;
}

/* Signals are the program's business: its own threads must get them, not ours. */
int shim_posix_thread_create(pthread_t *out, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    shim_posix_must(pthread_sigmask(SIG_SETMASK, &all, &old), "sigmask");
    rc = pthread_create(out, NULL, fn, arg);
    shim_posix_must(pthread_sigmask(SIG_SETMASK, &old, NULL), "sigmask");
    return rc;
}

static int posix_thread_start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    struct posix_start *start = malloc(sizeof(*start));
    pthread_t id;
    int rc;

    if (!start)
        return ENOMEM;
    start->fn = fn;
    start->arg = arg;
    (void)snprintf(start->name, sizeof(start->name), "%s", name);
    rc = shim_posix_thread_create(&id, posix_thread_main, start);
    if (rc) {
        free(start);
        return rc;
    }
    _Static_assert(sizeof(pthread_t) <= sizeof(uintptr_t), "a thread id fits where it is kept");
    t->th_host[0] = (uintptr_t)id;
    return 0;
}

static void posix_thread_join(struct shim_thread *t)
{
    shim_posix_must(pthread_join((pthread_t)t->th_host[0], NULL), "join");
}

/* ---------------------------------------------------------------- time */

uint64_t shim_posix_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct timespec shim_posix_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

static void posix_delay_ns(uint64_t ns)
{
    uint64_t end = shim_posix_now_ns() + ns;

    while (shim_posix_now_ns() < end)
        continue;
}

/* ---------------------------------------------------------------- messages and numbers */

/* SCPAIR_<NAME> from the environment. A value that is no number is reported and not used. */
static int64_t posix_tunable(const char *name, int64_t dflt)
{
    char key[POSIX_NAME_MAX] = "SCPAIR_";
    size_t n = strlen(key);
    const char *text;
    char *end;
    long long value;

    for (; *name && n + 1 < sizeof(key); name++)
        key[n++] = (char)toupper((unsigned char)*name);
    text = getenv(key);
    if (!text || !*text)
        return dflt;
    errno = 0;
    value = strtoll(text, &end, 0);
    if (errno || *end) {
        fprintf(stderr, "scpair: %s=%s is not a number, using %lld\n", key, text, (long long)dflt);
        return dflt;
    }
    return value;
}

static void posix_log(int level, const char *text)
{
    if (level <= posix_tunable("log_level", SHIM_LOG_WARN))
        fprintf(stderr, "scpair: %s\n", text);
}

static void posix_panic(const char *text)
{
    fprintf(stderr, "scpair: panic: %s\n", text);
    abort();
}

/* ---------------------------------------------------------------- the table */

const struct shim_host *shim_posix_host(void)
{
    static const struct shim_host host = {
        .version = SHIM_HOST_VERSION,
        .size = sizeof(struct shim_host),
        .name = "posix",
        .alloc = posix_alloc,
        .free = posix_free,
        .lock_init = shim_posix_lock_init,
        .lock_fini = shim_posix_lock_fini,
        .lock_enter = shim_posix_lock_enter,
        .lock_exit = shim_posix_lock_exit,
        .wait = shim_posix_wait,
        .wake = shim_posix_wake,
        .thread_start = posix_thread_start,
        .thread_join = posix_thread_join,
        .self = posix_self,
        .now_ns = shim_posix_now_ns,
        .delay_ns = posix_delay_ns,
        .timer_arm = shim_posix_timer_arm,
        .timer_cancel = shim_posix_timer_cancel,
        .copy_user = posix_copy_user,
        .log = posix_log,
        .panic = posix_panic,
        .tunable = posix_tunable,
    };

    return &host;
}
