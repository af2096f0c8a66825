/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_serve.c - the life of a mount: session, worker threads, privileges, the end.
 *
 * Workers. libfuse's multi-threaded loop with a /dev/fuse descriptor per thread (clone_fd), so that
 * a reply goes out on the queue its request came in on. Only a few idle threads are kept: the kernel
 * wakes them in turn, not the last one first, so each one more than needed comes with a cold buffer
 * and gets into the others' way at the medium's locks. More are started while all are busy, up to
 * a limit for each disk (fuse_gate.c) and for all together, so commands that take long hold up nobody. A
 * worker that is not needed costs nothing.
 *
 * Asynchronous requests (readahead, pages that are written back, libaio, io_uring) are counted by the kernel,
 * for the whole mount, and those over a limit wait there: with the usual one a silent disk would stop the
 * others, so we ask for as many as there may be.
 *
 * The end comes in one of two ways. Somebody unmounts: the kernel writes back what memory maps have
 * dirtied, the connection closes, the loop returns. Or a signal asks for it: see fuse_stop.c. Either
 * way the handles that are left are closed, which flushes the disks.
 *
 * Privileges. A server of root's has opened its images when it mounts, and needs nothing of root's
 * any more: it gives up all capabilities, and the ways to get them back, before there is a second
 * thread (capabilities are each thread's own). So the disks are opened for the first time after the
 * mount: a driver may start a timer's thread then.
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
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define SERVE_IDLE_PER_CPU 2u
#define SERVE_IDLE_MIN     4u
#define SERVE_BACKGROUND   65535u /* asynchronous requests at once; the kernel may take less */
#define SERVE_FREE         32u    /* workers for names, over those that gates let in */
#define SERVE_MMAP_BYTES   262144 /* malloc asks the system for anything from here on */

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
    .open = fuse_gate_open,
    .opendir = fuse_gate_open,
    .releasedir = fuse_gate_release,
    .release = fuse_gate_release,
    .read = fuse_gate_read,
    .write = fuse_gate_write,
    .flush = fuse_gate_flush,
    .fsync = fuse_gate_fsync,
    .fallocate = fuse_gate_fallocate,
    .lseek = fuse_gate_lseek,
    .ioctl = fuse_gate_ioctl,
};

/* ------------------------------------------------------------------ the loop */

/* How many workers to keep when there is nothing to do; see the top of the file. */
static unsigned fuse_serve_idle(unsigned threads)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned idle = cpus > 0 ? SERVE_IDLE_PER_CPU * (unsigned)cpus : SERVE_IDLE_MIN;

    if (idle < SERVE_IDLE_MIN)
        idle = SERVE_IDLE_MIN;
    return idle < threads ? idle : threads;
}

/* The most there can be: what the gates let in, and some. */
static unsigned fuse_serve_all(unsigned threads)
{
    const unsigned disks = threads * SCP_DISKS_MAX;

    return (disks < FUSE_GATE_THREADS ? disks : FUSE_GATE_THREADS) + 2u * FUSE_GATE_OTHERS + SERVE_FREE;
}

/* Run the workers until the session ends. 0 or an errno. */
static int fuse_serve_loop(struct fuse_session *se, struct fuse_stop *st, unsigned threads)
{
    struct fuse_loop_config *loop = fuse_loop_cfg_create();
    int rc;

    if (loop == NULL)
        return ENOMEM;
    /* A worker's request buffer goes back to the system with the worker, not into malloc's arenas. */
    (void)mallopt(M_MMAP_THRESHOLD, SERVE_MMAP_BYTES);
    fuse_loop_cfg_set_clone_fd(loop, 1);
    fuse_loop_cfg_set_idle_threads(loop, fuse_serve_idle(threads));
    fuse_loop_cfg_set_max_threads(loop, fuse_serve_all(threads));
    (void)fuse_spin_install(se); /* faster, not needed */
    rc = fuse_stop_begin(st);
    if (rc == 0) {
        rc = -fuse_session_loop_mt(se, loop);
        fuse_stop_end(st);
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

/*
 * Give the session up without unmounting: that is fuse_stop.c's, who looks what is there, while
 * libfuse takes whatever is at the path. It leaves the path alone when its descriptor says that the
 * connection is gone (POLLERR), as a pipe does that nobody reads.
 */
static void fuse_serve_let_go(struct fuse_session *se)
{
    int gone[2];

    if (pipe2(gone, O_CLOEXEC) == 0) {
        (void)close(gone[0]);
        (void)dup2(gone[1], fuse_session_fd(se));
        (void)close(gone[1]);
        fuse_session_unmount(se);
    }
    fuse_session_destroy(se);
}

static int fuse_serve_probe(struct fuse_pair *pr, char *err, size_t size)
{
    int error = 0;

    for (unsigned i = 0; i < scp_ndisks(pr->pr_scp) && error == 0; i++)
        error = fuse_disk_probe(pr, i, err, size);
    return error;
}

/* Mounted: ready the rest, and serve. */
static int fuse_serve_mounted(struct fuse_pair *pr, struct fuse_session *se, char *err, size_t size)
{
    const struct fuse_serve_config *cfg = pr->pr_cfg;
    struct fuse_stop st = {.st_pair = pr, .st_cfg = cfg, .st_session = se};
    char why[SCP_ERROR_MAX];
    int error = fuse_own_learn(&st.st_own, cfg->mountpoint, cfg->unmounter), plugs;

    if (error == 0 && cfg->unmounter >= 0)
        error = fuse_priv_drop();
    if (error != 0)
        (void)snprintf(err, size, "%s: mounted, but cannot be served: %s", cfg->mountpoint,
                       scp_strerror(error));
    else
        error = fuse_serve_probe(pr, err, size);
    if (error != 0) {
        (void)fuse_own_unmount(&st.st_own, true, why, sizeof(why));
        return error;
    }
    if (cfg->ready != NULL)
        cfg->ready(cfg->arg);
    pr->pr_session = se;
    pr->pr_dev = makedev(st.st_own.ow_major, st.st_own.ow_minor);
    error = fuse_serve_loop(se, &st, cfg->threads);
    plugs = fuse_plug_wait(pr, err, size);
    pr->pr_session = NULL;
    if (plugs != 0)
        return plugs;
    if (error != 0)
        (void)snprintf(err, size, "%s: the FUSE session ended: %s", cfg->mountpoint, scp_strerror(error));
    return error;
}

static int fuse_serve_mount(struct fuse_pair *pr, char *err, size_t size)
{
    struct fuse_catch catch;
    struct fuse_session *se;
    char why[SCP_ERROR_MAX];
    int error;

    fuse_catch_begin(&catch);
    se = fuse_serve_session(pr);
    fuse_catch_end(&catch, why, sizeof(why));
    if (se == NULL) {
        (void)snprintf(err, size, "%s: FUSE did not mount it: %s", pr->pr_cfg->mountpoint,
                       why[0] != '\0' ? why : "no reason given; are you allowed to use /dev/fuse?");
        return EPERM;
    }
    error = fuse_serve_mounted(pr, se, err, size);
    if (error != EINPROGRESS)
        fuse_serve_let_go(se); /* the thread that does not end will answer to it */
    return error;
}

/*
 * Context: process; the thread becomes the session's own until the end. Owns: the pair stays the
 * caller's, with nothing of ours open in it afterwards.
 */
int fuse_serve(struct scp *p, const struct fuse_serve_config *cfg, char *err, size_t size)
{
    struct fuse_pair *pr = calloc(1, sizeof(*pr));
    int error;

    if (pr == NULL) {
        (void)snprintf(err, size, "no memory for the mount");
        return ENOMEM;
    }
    pr->pr_scp = p;
    pr->pr_cfg = cfg;
    (void)clock_gettime(CLOCK_REALTIME, &pr->pr_since);
    pthread_mutex_init(&pr->pr_mutex, NULL);
    pthread_cond_init(&pr->pr_plugs_over, NULL);
    pthread_rwlock_init(&pr->pr_tree, NULL);
    fuse_gate_init(&pr->pr_gate_adapters);
    fuse_gate_init(&pr->pr_gate_reports);
    for (unsigned i = 0; i < SCP_DISKS_MAX; i++)
        fuse_gate_init(&pr->pr_disks[i].vd_gate);
    error = fuse_serve_mount(pr, err, size);
    fuse_file_close_all(pr);
    if (error == EINPROGRESS)
        return error; /* the thread that does not end has all this */
    for (unsigned i = 0; i < SCP_DISKS_MAX; i++) {
        fuse_disk_fini(&pr->pr_disks[i]);
        fuse_gate_fini(&pr->pr_disks[i].vd_gate);
    }
    fuse_gate_fini(&pr->pr_gate_reports);
    fuse_gate_fini(&pr->pr_gate_adapters);
    pthread_rwlock_destroy(&pr->pr_tree);
    pthread_cond_destroy(&pr->pr_plugs_over);
    pthread_mutex_destroy(&pr->pr_mutex);
    fuse_disk_buffers_free();
    free(pr);
    return error;
}
