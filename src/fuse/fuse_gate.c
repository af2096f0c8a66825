/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_gate.c - how many threads one disk may hold.
 *
 * A worker carries a request all the way down and waits for its end, so a disk that stops answering holds a
 * worker for each request until its timeouts are over. Were the workers common property, it would in the end
 * hold them all, and the other disks and .scpair would wait for it. So each disk has a gate, through which at
 * most so many workers go at once; there are always enough for every disk to have its part (gate_limit), and
 * some more for names, reports and adapters. What comes to a full gate is put down in memory with its data,
 * and its worker goes back to the kernel for the next request. Who comes out of a gate takes what was put
 * down there first, as long as there is any.
 *
 * Order. Requests that are under way at the same time have none, neither in the kernel nor here; a program
 * that waits for the answer before it asks the next has the order it wants. Those at a gate are served first
 * come, first served.
 *
 * The counting. g_busy counts who is inside and, for a moment, who has just found out that it is full;
 * g_waiting what is put down. Whoever puts something down and whoever comes out writes the one and then looks
 * at the other, so one of them sees that there is room and something to do: nothing is left lying. A gate
 * that is never full costs two additions.
 *
 * Rejected: a limit on all workers and a reserve for each disk, which makes the other disks slower while one
 * is silent; a thread for each request that waits.
 *
 * Does not contain: what a request does (fuse_disk.c, ...), the workers (fuse_serve.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(FUSE_GATE_THREADS / SCP_DISKS_MAX >= 16u, "a disk's part is what disks can do at once");

enum gate_op {
    GATE_OPEN,
    GATE_RELEASE,
    GATE_READ,
    GATE_WRITE,
    GATE_FLUSH,
    GATE_FSYNC,
    GATE_FALLOCATE,
    GATE_LSEEK,
    GATE_IOCTL
};

/* A request as libfuse hands it over. Put down, g_data is a copy. */
struct fuse_put {
    struct fuse_put *p_next;
    fuse_req_t p_req;
    fuse_ino_t p_ino;
    struct fuse_file_info p_fi;
    enum gate_op p_op;
    int p_number;   /* mode, whence, datasync */
    unsigned p_cmd; /* of an ioctl, with its flags and its argument */
    unsigned p_flags;
    void *p_arg;
    off_t p_off;
    size_t p_size; /* of p_data, or wanted */
    size_t p_out;
    const void *p_data;
    uint8_t p_copy[];
};

static void gate_run(struct fuse_put *p)
{
    switch (p->p_op) {
    case GATE_OPEN:
        fuse_file_open(p->p_req, p->p_ino, &p->p_fi);
        break;
    case GATE_RELEASE:
        fuse_file_release(p->p_req, p->p_ino, &p->p_fi);
        break;
    case GATE_READ:
        fuse_file_read(p->p_req, p->p_ino, p->p_size, p->p_off, &p->p_fi);
        break;
    case GATE_WRITE:
        fuse_file_write(p->p_req, p->p_ino, p->p_data, p->p_size, p->p_off, &p->p_fi);
        break;
    case GATE_FLUSH:
        fuse_disk_flush(p->p_req, p->p_ino, &p->p_fi);
        break;
    case GATE_FSYNC:
        fuse_disk_fsync(p->p_req, p->p_ino, p->p_number, &p->p_fi);
        break;
    case GATE_FALLOCATE:
        fuse_space_fallocate(p->p_req, p->p_ino, p->p_number, p->p_off, (off_t)p->p_size, &p->p_fi);
        break;
    case GATE_LSEEK:
        fuse_space_lseek(p->p_req, p->p_ino, p->p_off, p->p_number, &p->p_fi);
        break;
    case GATE_IOCTL:
        fuse_ioctl_call(p->p_req, p->p_ino, p->p_cmd, p->p_arg, &p->p_fi, p->p_flags, p->p_data, p->p_size,
                        p->p_out);
        break;
    }
}

/* ------------------------------------------------------------------ the gate */

void fuse_gate_init(struct fuse_gate *g)
{
    pthread_mutex_init(&g->g_mutex, NULL);
    g->g_last = &g->g_first;
}

void fuse_gate_fini(struct fuse_gate *g)
{
    FUSE_ASSERT(g->g_first == NULL && atomic_load(&g->g_busy) == 0);
    pthread_mutex_destroy(&g->g_mutex);
}

/* A disk's part of the workers. Any thread. */
static unsigned gate_limit(const struct fuse_pair *pr, const struct fuse_gate *g)
{
    const unsigned disks = atomic_load_explicit(&pr->pr_parts, memory_order_relaxed);
    unsigned part;

    if (g == &pr->pr_gate_adapters || g == &pr->pr_gate_reports)
        return FUSE_GATE_OTHERS;
    part = FUSE_GATE_THREADS / (disks != 0 ? disks : 1u);
    return part < pr->pr_cfg->threads ? part : pr->pr_cfg->threads;
}

/* Take the first that is put down, and go in with it. Locks: g_mutex. */
static struct fuse_put *gate_take(struct fuse_gate *g)
{
    struct fuse_put *p = g->g_first;

    if (p == NULL)
        return NULL;
    g->g_first = p->p_next;
    if (g->g_first == NULL)
        g->g_last = &g->g_first;
    atomic_fetch_sub(&g->g_waiting, 1);
    atomic_fetch_add(&g->g_busy, 1);
    return p;
}

/* Come out; the next that has been put down and may go in, or NULL. */
static struct fuse_put *gate_leave(const struct fuse_pair *pr, struct fuse_gate *g)
{
    struct fuse_put *p = NULL;

    atomic_fetch_sub(&g->g_busy, 1);
    if (SC_LIKELY(atomic_load(&g->g_waiting) == 0))
        return NULL;
    pthread_mutex_lock(&g->g_mutex);
    if (atomic_load(&g->g_busy) < gate_limit(pr, g))
        p = gate_take(g);
    pthread_mutex_unlock(&g->g_mutex);
    return p;
}

/* Put a request down. What may go in nevertheless, because somebody came out meanwhile, or NULL. */
static struct fuse_put *gate_put(const struct fuse_pair *pr, struct fuse_gate *g, struct fuse_put *p)
{
    struct fuse_put *first = NULL;

    pthread_mutex_lock(&g->g_mutex);
    p->p_next = NULL;
    *g->g_last = p;
    g->g_last = &p->p_next;
    atomic_fetch_add(&g->g_waiting, 1);
    if (atomic_fetch_sub(&g->g_busy, 1) - 1u < gate_limit(pr, g))
        first = gate_take(g);
    pthread_mutex_unlock(&g->g_mutex);
    return first;
}

/* A request with its data, for later. NULL without memory. */
static struct fuse_put *gate_copy(const struct fuse_put *p)
{
    const size_t bytes = p->p_data != NULL ? p->p_size : 0;
    struct fuse_put *copy = malloc(sizeof(*copy) + bytes);

    if (copy == NULL)
        return NULL;
    *copy = *p;
    if (bytes != 0)
        memcpy(copy->p_copy, p->p_data, bytes);
    if (p->p_data != NULL)
        copy->p_data = copy->p_copy;
    return copy;
}

/* Through the gate, if there is one, now or later. Context: process (a libfuse worker). */
static void gate_pass(struct fuse_gate *g, struct fuse_put *p)
{
    struct fuse_pair *pr = fuse_pair_of(p->p_req);
    struct fuse_put *next;

    if (g == NULL) {
        gate_run(p);
        return;
    }
    if (SC_LIKELY(atomic_fetch_add(&g->g_busy, 1) < gate_limit(pr, g) && atomic_load(&g->g_waiting) == 0)) {
        gate_run(p);
        next = gate_leave(pr, g);
    } else {
        next = gate_copy(p);
        if (next == NULL) {
            fuse_reply_err(p->p_req, ENOMEM);
            next = gate_leave(pr, g);
        } else {
            next = gate_put(pr, g, next);
        }
    }
    while (next != NULL) {
        gate_run(next);
        free(next);
        next = gate_leave(pr, g);
    }
}

/* ------------------------------------------------------------------ the operations */

/* The gate of what is no disk; NULL: it never waits. */
static struct fuse_gate *gate_other(struct fuse_pair *pr, enum fuse_kind kind)
{
    if (fuse_kind_is_dir(kind))
        return NULL;
    return kind == FUSE_KIND_ADAPTER ? &pr->pr_gate_adapters : &pr->pr_gate_reports;
}

/* A file's gate, or NULL. */
static struct fuse_gate *gate_of(fuse_req_t req, const struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);

    if (SC_LIKELY(h->h_disk != NULL))
        return &h->h_disk->vd_gate;
    return gate_other(fuse_pair_of(req), h->h_kind);
}

static void gate_file(struct fuse_put *p) { gate_pass(gate_of(p->p_req, &p->p_fi), p); }

void fuse_gate_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    struct fuse_put p = {.p_req = req, .p_ino = ino, .p_fi = *fi, .p_op = GATE_OPEN};
    unsigned index;
    uint32_t gen;
    enum fuse_kind kind = fuse_tree_kind(pr, ino, &index, &gen);
    const bool disk = kind == FUSE_KIND_BLOCK || kind == FUSE_KIND_RAW;

    gate_pass(disk ? &pr->pr_disks[index].vd_gate : gate_other(pr, kind), &p);
}

void fuse_gate_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    gate_file(&(struct fuse_put){.p_req = req, .p_ino = ino, .p_fi = *fi, .p_op = GATE_RELEASE});
}

void fuse_gate_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    gate_file(&(struct fuse_put){
        .p_req = req, .p_ino = ino, .p_fi = *fi, .p_op = GATE_READ, .p_size = size, .p_off = off});
}

void fuse_gate_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    gate_file(&(struct fuse_put){.p_req = req,
                                 .p_ino = ino,
                                 .p_fi = *fi,
                                 .p_op = GATE_WRITE,
                                 .p_data = data,
                                 .p_size = size,
                                 .p_off = off});
}

/* Every close(2) is one, also a forked process's of what it was given; most have nothing to wait for. */
void fuse_gate_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct fuse_handle *h = fuse_handle_of(fi);

    if (h->h_disk == NULL || !h->h_writable || !atomic_load(&h->h_disk->vd_dirty))
        fuse_disk_flush(req, ino, fi);
    else
        gate_file(&(struct fuse_put){.p_req = req, .p_ino = ino, .p_fi = *fi, .p_op = GATE_FLUSH});
}

void fuse_gate_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    gate_file(&(struct fuse_put){
        .p_req = req, .p_ino = ino, .p_fi = *fi, .p_op = GATE_FSYNC, .p_number = datasync});
}

void fuse_gate_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                         struct fuse_file_info *fi)
{
    if (length < 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    gate_file(&(struct fuse_put){.p_req = req,
                                 .p_ino = ino,
                                 .p_fi = *fi,
                                 .p_op = GATE_FALLOCATE,
                                 .p_number = mode,
                                 .p_off = off,
                                 .p_size = (size_t)length});
}

void fuse_gate_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    gate_file(&(struct fuse_put){
        .p_req = req, .p_ino = ino, .p_fi = *fi, .p_op = GATE_LSEEK, .p_number = whence, .p_off = off});
}

void fuse_gate_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
                     unsigned flags, const void *in, size_t in_bytes, size_t out_bytes)
{
    gate_file(&(struct fuse_put){.p_req = req,
                                 .p_ino = ino,
                                 .p_fi = *fi,
                                 .p_op = GATE_IOCTL,
                                 .p_cmd = cmd,
                                 .p_arg = arg,
                                 .p_flags = flags,
                                 .p_data = in,
                                 .p_size = in_bytes,
                                 .p_out = out_bytes});
}
