/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_serve.c - the life of a mount: session, worker threads, signals, the end.
 *
 * Workers. libfuse's multi-threaded loop with a /dev/fuse descriptor per thread (clone_fd), so that
 * a reply goes out on the queue its request came in on. Only a few idle threads are kept: the kernel
 * wakes them in turn, not the last one first, so each one more than needed comes with a cold buffer
 * and gets into the others' way at the medium's locks. More are started while all are busy, up to
 * the limit, so commands that take long hold up nobody.
 *
 * The end comes in one of two ways. Somebody unmounts: the kernel writes back what memory maps have
 * dirtied, the connection closes, the loop returns. Or a signal asks for it; then we try that same
 * unmount ourselves, while the workers still serve, because the write-back needs them. Only when
 * files are open, so that the unmount fails, do we sync, stop the loop and detach the mount: the
 * holders of those files get ENOTCONN. Either way the handles that are left are closed, which
 * flushes the disks.
 *
 * Signals are taken by a thread in sigwait(), not by handlers: an unmount may block, and nothing
 * may be interrupted in the middle of a request.
 *
 * Does not contain: the operations (fuse_tree.c, fuse_file.c, ...).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SERVE_IDLE_PER_CPU 2u
#define SERVE_IDLE_MIN     4u
#define SERVE_BACKGROUND   128u      /* asynchronous requests at once: above any queue depth that helps */
#define SERVE_MMAP_BYTES   262144    /* malloc asks the system for anything from here on */
#define SERVE_NUDGE_NS     50000000L /* how often the loop is woken until it has noticed */

/* What the signal thread needs. */
struct fuse_serving {
    struct fuse_session *sv_session;
    const char *sv_mountpoint;
    pthread_t sv_main;
    atomic_bool sv_over; /* the loop has returned */
};

/* ------------------------------------------------------------------ what the kernel is asked for */

static void fuse_serve_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->max_write = FUSE_REQUEST_BYTES;
    conn->max_readahead = FUSE_REQUEST_BYTES;
    conn->max_background = SERVE_BACKGROUND;
    conn->congestion_threshold = SERVE_BACKGROUND;
    /* Sizes and times never change by themselves; O_TRUNC must come as a setattr we can ignore. */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC);
}

static const struct fuse_lowlevel_ops fuse_serve_ops = {
    .init = fuse_serve_init,
    .lookup = fuse_tree_lookup,
    .getattr = fuse_tree_getattr,
    .setattr = fuse_tree_setattr,
    .readdir = fuse_tree_readdir,
    .statfs = fuse_tree_statfs,
    .open = fuse_file_open,
    .opendir = fuse_file_open,
    .releasedir = fuse_file_release,
    .release = fuse_file_release,
    .read = fuse_file_read,
    .write = fuse_file_write,
    .flush = fuse_disk_flush,
    .fsync = fuse_disk_fsync,
    .fallocate = fuse_space_fallocate,
    .lseek = fuse_space_lseek,
    .ioctl = fuse_ioctl_call,
};

/* ------------------------------------------------------------------ signals and the loop */

/* A signal asked for the end; see the top of the file. */
static void fuse_serve_leave(const struct fuse_serving *sv)
{
    char why[SCP_ERROR_MAX];
    int fd;

    if (fuse_serve_unmount(sv->sv_mountpoint, false, why, sizeof(why)) == 0)
        return;
    fd = open(sv->sv_mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)syncfs(fd);
        (void)close(fd);
    }
    fuse_session_exit(sv->sv_session);
}

static void fuse_serve_nudged(int sig) { (void)sig; }

/*
 * The signal thread. When the session is to end, the loop's own thread sleeps on a semaphore, which
 * only a signal handler interrupts; a nudge that comes just before it falls asleep is lost, hence
 * the repetition.
 */
static void *fuse_serve_signals(void *arg)
{
    struct fuse_serving *sv = arg;
    const struct timespec pause = {0, SERVE_NUDGE_NS};
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    while (!atomic_load(&sv->sv_over)) {
        if (!fuse_session_exited(sv->sv_session)) {
            if (sigwait(&set, &sig) == 0 && !atomic_load(&sv->sv_over))
                fuse_serve_leave(sv);
        } else {
            (void)pthread_kill(sv->sv_main, SIGRTMIN);
            (void)sigtimedwait(&set, NULL, &pause);
        }
    }
    return NULL;
}

/* How many workers to keep when there is nothing to do; see the top of the file. */
static unsigned fuse_serve_idle(unsigned threads)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned idle = cpus > 0 ? SERVE_IDLE_PER_CPU * (unsigned)cpus : SERVE_IDLE_MIN;

    if (idle < SERVE_IDLE_MIN)
        idle = SERVE_IDLE_MIN;
    return idle < threads ? idle : threads;
}

/* Run the workers until the session ends. 0 or an errno. */
static int fuse_serve_loop(struct fuse_session *se, const struct fuse_serve_config *cfg)
{
    struct fuse_serving sv = {.sv_session = se, .sv_mountpoint = cfg->mountpoint, .sv_main = pthread_self()};
    struct sigaction nudge = {.sa_handler = fuse_serve_nudged};
    struct fuse_loop_config *loop = fuse_loop_cfg_create();
    unsigned threads = cfg->threads ? cfg->threads : FUSE_SERVE_THREADS;
    pthread_t signals;
    int rc;

    if (loop == NULL)
        return ENOMEM;
    /* A worker's request buffer goes back to the system with the worker, not into malloc's arenas. */
    (void)mallopt(M_MMAP_THRESHOLD, SERVE_MMAP_BYTES);
    fuse_loop_cfg_set_clone_fd(loop, 1);
    fuse_loop_cfg_set_idle_threads(loop, fuse_serve_idle(threads));
    fuse_loop_cfg_set_max_threads(loop, threads);
    (void)sigaction(SIGRTMIN, &nudge, NULL);
    (void)fuse_spin_install(se); /* faster, not needed */
    rc = pthread_create(&signals, NULL, fuse_serve_signals, &sv);
    if (rc == 0) {
        rc = -fuse_session_loop_mt(se, loop);
        atomic_store(&sv.sv_over, true);
        (void)pthread_kill(signals, SIGHUP); /* blocked and waited for there: ends nothing */
        (void)pthread_join(signals, NULL);
    }
    fuse_loop_cfg_destroy(loop);
    return rc > 0 ? rc : 0;
}

/* ------------------------------------------------------------------ mounting */

/* libfuse and fusermount3 explain failures on stderr; caught here, so that one line comes out. */
struct fuse_catch {
    int c_memory; /* what stderr is meanwhile */
    int c_stderr; /* the real one */
};

static void fuse_catch_begin(struct fuse_catch *c)
{
    c->c_memory = memfd_create("stderr", MFD_CLOEXEC);
    c->c_stderr = c->c_memory >= 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) : -1;
    if (c->c_stderr >= 0)
        (void)dup2(c->c_memory, STDERR_FILENO);
}

/* Put stderr back; `text` gets the last line that was written meanwhile. */
static void fuse_catch_end(struct fuse_catch *c, char *text, size_t size)
{
    char all[SCP_ERROR_MAX];
    ssize_t n = c->c_memory >= 0 ? pread(c->c_memory, all, sizeof(all) - 1, 0) : 0;
    char *line, *rest = all;

    all[n > 0 ? n : 0] = '\0';
    text[0] = '\0';
    while ((line = strsep(&rest, "\n")) != NULL)
        if (*line != '\0')
            (void)snprintf(text, size, "%s", line);
    if (c->c_stderr >= 0) {
        (void)dup2(c->c_stderr, STDERR_FILENO);
        (void)close(c->c_stderr);
    }
    if (c->c_memory >= 0)
        (void)close(c->c_memory);
}

static struct fuse_session *fuse_serve_session(struct fuse_pair *pr)
{
    const struct fuse_serve_config *cfg = pr->pr_cfg;
    char options[128];
    char *argv[] = {(char *)(uintptr_t) "scpair", (char *)(uintptr_t) "-o", options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    struct fuse_session *se;

    (void)snprintf(options, sizeof(options), "fsname=scpair,subtype=scpair,default_permissions%s",
                   cfg->allow_other ? ",allow_other" : "");
    se = fuse_session_new(&args, &fuse_serve_ops, sizeof(fuse_serve_ops), pr);
    if (se != NULL && fuse_session_mount(se, cfg->mountpoint) != 0) {
        fuse_session_destroy(se);
        se = NULL;
    }
    fuse_opt_free_args(&args);
    return se;
}

static int fuse_serve_mounted(struct fuse_pair *pr, char *err, size_t size)
{
    const struct fuse_serve_config *cfg = pr->pr_cfg;
    struct fuse_catch catch;
    struct fuse_session *se;
    char why[SCP_ERROR_MAX];
    int error;

    fuse_catch_begin(&catch);
    se = fuse_serve_session(pr);
    fuse_catch_end(&catch, why, sizeof(why));
    if (se == NULL) {
        (void)snprintf(err, size, "%s: FUSE did not mount it: %s", cfg->mountpoint,
                       why[0] != '\0' ? why : "no reason given; are you allowed to use /dev/fuse?");
        return EPERM;
    }
    if (cfg->ready != NULL)
        cfg->ready(cfg->ready_arg);
    error = fuse_serve_loop(se, cfg);
    fuse_session_unmount(se);
    fuse_session_destroy(se);
    if (error != 0)
        (void)snprintf(err, size, "%s: the FUSE session ended: %s", cfg->mountpoint, scp_strerror(error));
    return error;
}

/*
 * Context: process; the thread becomes the session's own until the end. Owns: the pair stays the
 * caller's, with nothing of ours open in it afterwards.
 */
int fuse_serve(struct scp *p, const struct fuse_serve_config *cfg, char *err, size_t size)
{
    struct fuse_pair *pr = calloc(1, sizeof(*pr));
    unsigned probed = 0;
    int error = 0;

    if (pr == NULL) {
        (void)snprintf(err, size, "no memory for the mount");
        return ENOMEM;
    }
    pr->pr_scp = p;
    pr->pr_cfg = cfg;
    pr->pr_ndisks = scp_ndisks(p);
    FUSE_ASSERT(pr->pr_ndisks <= SCP_DISKS_MAX);
    (void)clock_gettime(CLOCK_REALTIME, &pr->pr_since);
    pthread_mutex_init(&pr->pr_mutex, NULL);
    while (error == 0 && probed < pr->pr_ndisks) {
        error = fuse_disk_probe(pr, probed, err, size);
        if (error == 0)
            probed++;
    }
    if (error == 0)
        error = fuse_serve_mounted(pr, err, size);
    fuse_file_close_all(pr);
    for (unsigned i = 0; i < probed; i++)
        fuse_disk_fini(&pr->pr_disks[i]);
    pthread_mutex_destroy(&pr->pr_mutex);
    fuse_disk_buffers_free();
    free(pr);
    return error;
}
