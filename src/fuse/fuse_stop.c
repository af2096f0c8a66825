/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_stop.c - a signal asks a server to end.
 *
 * Somebody may have files open, a file system on hdisk0 may be mounted and full of data that it has
 * not written yet. So a stop is not an end but the wish for one:
 *
 *   1. Devices are not opened any more (ESHUTDOWN). Those who have them go on undisturbed.
 *   2. We unmount our own mount, as anybody would, while the workers serve: the kernel writes back
 *      what memory maps have dirtied. If that works the loop ends by itself, with the last who holds
 *      it another way (a bind mount, a copy in another mount namespace): who waits for one says so.
 *   3. In use: sync(2), so that file systems on our disks write what they hold, and again 2. every
 *      now and then until the users are gone or the stated time is over.
 *   4. Then, or at a second signal: once more sync(2), for a while at most; the mount is taken out
 *      of the tree and the loop ends. Whoever still has files open gets ENOTCONN.
 *
 * Rejected: taking the mount out of the tree at once and waiting for its last user. It needs no
 * polling, but nobody could find the users any more (fuser -m), nor unmount again.
 *
 * Signals are taken by a thread in sigwait(), not by handlers: an unmount may block, and nothing may
 * be interrupted in the middle of a request.
 *
 * Does not contain: whose mount it is (fuse_unmounter.c), the loop (fuse_serve.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include "fuse_mounts.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define STOP_RETRY_MIN_NS 20000000u    /* between two tries to unmount, at first */
#define STOP_RETRY_MAX_NS 500000000u   /* and later: an ordinary user's try is a process */
#define STOP_SYNC_NS      10000000000u /* a forced end waits so long for sync(2) */
#define STOP_GRACE_NS     5000000000u  /* from the unmount to the end of the loop */
#define STOP_QUIET_NS     1000000000u  /* a loop that has not ended so long after the unmount is explained */
#define STOP_NUDGE_NS     50000000L    /* how often the loop is woken until it has noticed */

static uint64_t stop_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

static void __attribute__((format(printf, 2, 3))) stop_say(const struct fuse_stop *st, const char *fmt, ...)
{
    char text[SCP_ERROR_MAX];
    va_list ap;

    if (st->st_cfg->say == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    st->st_cfg->say(st->st_cfg->arg, text);
}

/* ------------------------------------------------------------------ sync(2), which may not come back */

/* Static: the thread may outlive the stop, when a disk of somebody's does not answer. */
static atomic_bool stop_syncing;

static void *stop_sync_main(void *arg)
{
    sync();
    atomic_store(&stop_syncing, false);
    return arg;
}

/* Begin one unless one is under way. */
static void stop_sync_begin(void)
{
    pthread_t id;

    if (atomic_exchange(&stop_syncing, true))
        return;
    if (pthread_create(&id, NULL, stop_sync_main, NULL) == 0)
        (void)pthread_detach(id);
    else
        atomic_store(&stop_syncing, false);
}

/* ------------------------------------------------------------------ the stop */

/* One try to unmount; `first` says what it met. */
static void stop_try(struct fuse_stop *st, bool first)
{
    char why[SCP_ERROR_MAX] = "";
    int error;

    if (st->st_unmounted || atomic_load(&st->st_over))
        return;
    error = fuse_own_unmount(&st->st_own, false, why, sizeof(why));
    st->st_unmounted = error == 0;
    if (error != 0 && first && !atomic_load(&st->st_over))
        stop_say(st,
                 "%s: stopping; %s; waiting for its users for up to %u s, a second signal ends it at once",
                 st->st_cfg->mountpoint, error == EBUSY ? "it is in use" : why, st->st_cfg->stop_seconds);
}

/* A bind mount of what was ours, in our own mount namespace. */
struct stop_copy {
    const struct fuse_own *c_own;
    char c_point[SCP_ERROR_MAX / 2]; /* where, or "" */
};

static bool stop_look(const struct fuse_mount *m, void *arg)
{
    struct stop_copy *c = arg;

    if (m->mo_major == c->c_own->ow_major && m->mo_minor == c->c_own->ow_minor)
        (void)snprintf(c->c_point, sizeof(c->c_point), "%s", m->mo_point);
    return c->c_point[0] == '\0';
}

/*
 * Unmounted, and the loop goes on: there is a copy of the mount. Nobody can look into other mount namespaces,
 * so what is not in ours can only be guessed at.
 */
static void stop_say_copy(const struct fuse_stop *st)
{
    struct stop_copy c = {.c_own = &st->st_own};

    (void)fuse_mounts_each(stop_look, &c);
    if (c.c_point[0] != '\0')
        stop_say(st,
                 "%s: unmounted, but still connected: it is mounted on %s as well; a second signal ends it",
                 st->st_cfg->mountpoint, c.c_point);
    else
        stop_say(st,
                 "%s: unmounted, but still connected: something else holds a copy of the mount, perhaps "
                 "another mount namespace; a second signal ends it",
                 st->st_cfg->mountpoint);
}

/* Wait for `ns` at most. True when another signal has come. */
static bool stop_wait(uint64_t ns)
{
    const struct timespec pause = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    sigset_t set;

    stop_signals(&set);
    return sigtimedwait(&set, NULL, &pause) > 0;
}

/* Step 4 of the top of the file. */
static void stop_force(struct fuse_stop *st)
{
    uint64_t end = stop_now_ns() + STOP_SYNC_NS;
    char why[SCP_ERROR_MAX] = "";

    stop_sync_begin();
    while (atomic_load(&stop_syncing) && stop_now_ns() < end && !atomic_load(&st->st_over))
        if (stop_wait(STOP_RETRY_MIN_NS))
            break;
    if (!st->st_unmounted && !atomic_load(&st->st_over) &&
        fuse_own_unmount(&st->st_own, true, why, sizeof(why)) != 0)
        stop_say(st, "%s: ended, but still in the tree: %s; run scpair umount on it later",
                 st->st_cfg->mountpoint, why);
    fuse_session_exit(st->st_session);
}

static void stop_run(struct fuse_stop *st)
{
    uint64_t now = stop_now_ns();
    uint64_t end = now + (uint64_t)st->st_cfg->stop_seconds * 1000000000u;
    uint64_t pause = STOP_RETRY_MIN_NS;
    uint64_t unmounted = 0; /* when it was, for as long as nothing has been said of it */
    bool forced = false, said = false;

    atomic_store(&st->st_pair->pr_stopping, true);
    stop_try(st, true);
    if (!st->st_unmounted)
        stop_sync_begin();
    else if (end < now + STOP_GRACE_NS)
        end = now + STOP_GRACE_NS;
    while (!atomic_load(&st->st_over) && !forced && stop_now_ns() < end) {
        forced = stop_wait(pause);
        pause = pause * 2 < STOP_RETRY_MAX_NS ? pause * 2 : STOP_RETRY_MAX_NS;
        stop_try(st, false);
        if (st->st_unmounted && unmounted == 0)
            unmounted = stop_now_ns();
        if (unmounted != 0 && !said && stop_now_ns() >= unmounted + STOP_QUIET_NS &&
            !atomic_load(&st->st_over)) {
            stop_say_copy(st);
            said = true;
        }
    }
    /* The end of the loop also comes as a signal. */
    if (atomic_load(&st->st_over))
        return;
    stop_say(st, "%s: %s; ending while it is in use", st->st_cfg->mountpoint,
             forced ? "a second signal" : "its users had their time");
    stop_force(st);
}

/*
 * The signal thread. When the session is to end, the loop's own thread sleeps on a semaphore, which
 * only a signal handler interrupts; a nudge that comes just before it falls asleep is lost, hence
 * the repetition.
 */
static void *stop_main(void *arg)
{
    struct fuse_stop *st = arg;
    const struct timespec pause = {0, STOP_NUDGE_NS};
    sigset_t set;
    int sig;

    stop_signals(&set);
    while (!atomic_load(&st->st_over)) {
        if (!fuse_session_exited(st->st_session)) {
            if (sigwait(&set, &sig) == 0 && !atomic_load(&st->st_over))
                stop_run(st);
        } else {
            (void)pthread_kill(st->st_main, SIGRTMIN);
            (void)sigtimedwait(&set, NULL, &pause);
        }
    }
    return NULL;
}

static void stop_nudged(int sig) { (void)sig; }

int fuse_stop_begin(struct fuse_stop *st)
{
    struct sigaction nudge = {.sa_handler = stop_nudged};

    (void)sigaction(SIGRTMIN, &nudge, NULL);
    st->st_main = pthread_self();
    atomic_init(&st->st_over, false);
    return pthread_create(&st->st_thread, NULL, stop_main, st);
}

void fuse_stop_end(struct fuse_stop *st)
{
    atomic_store(&st->st_over, true);
    (void)pthread_kill(st->st_thread, SIGHUP); /* blocked and waited for there: ends nothing */
    (void)pthread_join(st->st_thread, NULL);
}
