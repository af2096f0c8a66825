/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_file.c - open and release, and handing reads and writes to the code for that kind of file.
 *
 * Every open(2) of a device is an fp_opendev() of its own and every release an fp_close(), so the
 * drivers see the opens and the last close they would see in an operating system. Handles are also
 * kept on a list: when a file system goes down the kernel does not promise a release for each.
 *
 * The open reply is written by hand because libfuse 3.14 cannot set FOPEN_PARALLEL_DIRECT_WRITES,
 * without which the kernel sends the direct writes of one file one at a time.
 *
 * A directory's open has a handle, too. The kernel needs none to list it, but whoever may look at a
 * directory may also send it an ioctl(2), and then every operation finds what it expects.
 *
 * Does not contain: data (fuse_disk.c, fuse_ctl.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>

#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

static void fuse_handle_link(struct fuse_pair *pr, struct fuse_handle *h)
{
    pthread_mutex_lock(&pr->pr_mutex);
    h->h_prev = NULL;
    h->h_next = pr->pr_handles;
    if (h->h_next != NULL)
        h->h_next->h_prev = h;
    pr->pr_handles = h;
    pthread_mutex_unlock(&pr->pr_mutex);
}

static void fuse_handle_unlink(struct fuse_pair *pr, struct fuse_handle *h)
{
    pthread_mutex_lock(&pr->pr_mutex);
    FUSE_ASSERT(pr->pr_handles != NULL);
    if (h->h_next != NULL)
        h->h_next->h_prev = h->h_prev;
    if (h->h_prev != NULL)
        h->h_prev->h_next = h->h_next;
    else
        pr->pr_handles = h->h_next;
    pthread_mutex_unlock(&pr->pr_mutex);
}

static void fuse_handle_free(struct fuse_handle *h)
{
    switch (h->h_kind) {
    case FUSE_KIND_BLOCK:
    case FUSE_KIND_RAW:
        fuse_disk_close(h);
        break;
    case FUSE_KIND_ADAPTER:
        (void)fp_close(h->h_file);
        break;
    default:
        free(h->h_text);
        break;
    }
    free(h);
}

/* Open the device behind a handle whose kind, disk and h_writable are set. 0 or an errno of ours. */
static int fuse_handle_open(struct fuse_pair *pr, struct fuse_handle *h)
{
    /* A stop lets those finish who are there (fuse_stop.c); reports may always be read. */
    if (atomic_load(&pr->pr_stopping) &&
        (h->h_kind == FUSE_KIND_BLOCK || h->h_kind == FUSE_KIND_RAW || h->h_kind == FUSE_KIND_ADAPTER))
        return ESHUTDOWN;
    switch (h->h_kind) {
    case FUSE_KIND_BLOCK:
    case FUSE_KIND_RAW:
        return fuse_disk_open(pr, h);
    case FUSE_KIND_ADAPTER:
        return fp_opendev(scp_adapter_devno(pr->pr_scp, h->h_index), DREAD | (h->h_writable ? DWRITE : 0),
                          NULL, 0, &h->h_file);
    case FUSE_KIND_ROOT:
    case FUSE_KIND_CTL_DIR:
        return 0;
    case FUSE_KIND_NONE:
        return ENOENT;
    default:
        return fuse_ctl_open(pr, h);
    }
}

void fuse_file_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    struct fuse_handle *h = calloc(1, sizeof(*h));
    struct fuse_open_out out = {0};
    int error;

    if (h == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    h->h_kind = fuse_tree_kind(pr, ino, &h->h_index, &h->h_gen);
    if (h->h_kind == FUSE_KIND_BLOCK || h->h_kind == FUSE_KIND_RAW)
        h->h_disk = &pr->pr_disks[h->h_index];
    h->h_writable = (fi->flags & O_ACCMODE) != O_RDONLY;
    h->h_direct = (fi->flags & O_DIRECT) != 0;
    error = fuse_handle_open(pr, h);
    if (h->h_kind == FUSE_KIND_NONE && fuse_tree_was_disk(pr, ino))
        error = ENXIO; /* unplugged, and the kernel had its inode */
    if (error != 0) {
        free(h);
        fuse_fail(req, error);
        return;
    }
    fuse_handle_link(pr, h);
    out.fh = (uint64_t)(uintptr_t)h;
    /* hdiskN goes through the page cache, emptied at each open; everything else goes past it. */
    if (h->h_kind != FUSE_KIND_BLOCK && !fuse_kind_is_dir(h->h_kind))
        out.open_flags |= FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
    if (fuse_reply_buf(req, (const char *)&out, sizeof(out)) == -ENOENT) {
        /* The open was interrupted: nobody will release it. */
        fuse_handle_unlink(pr, h);
        fuse_handle_free(h);
    }
}

void fuse_file_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);
    bool gone = h->h_disk != NULL && fuse_disk_is_gone(h);

    (void)ino;
    fuse_handle_unlink(fuse_pair_of(req), h);
    fuse_handle_free(h);
    if (gone)
        (void)scp_reap(fuse_pair_of(req)->pr_scp); /* it may have been the last */
    fuse_reply_err(req, 0);
}

void fuse_file_close_all(struct fuse_pair *pr)
{
    struct fuse_handle *h;
    bool job;

    while ((h = pr->pr_handles) != NULL) {
        fuse_handle_unlink(pr, h);
        pthread_mutex_lock(&pr->pr_mutex);
        job = h->h_jobs != 0;
        pthread_mutex_unlock(&pr->pr_mutex);
        if (!job) /* else the thread that does not end (fuse_plug_wait) has it, and the process ends */
            fuse_handle_free(h);
    }
}

void fuse_file_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);

    (void)ino;
    if (SC_LIKELY(h->h_disk != NULL && (h->h_kind == FUSE_KIND_RAW || h->h_kind == FUSE_KIND_BLOCK)))
        fuse_disk_read(req, h, size, (uint64_t)off);
    else if (h->h_kind == FUSE_KIND_ADAPTER)
        fuse_reply_err(req, ENODEV); /* an adapter has no data */
    else if (fuse_kind_is_dir(h->h_kind))
        fuse_reply_err(req, EISDIR);
    else
        fuse_ctl_read(req, h, size, (uint64_t)off);
}

void fuse_file_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);

    (void)ino;
    if (SC_LIKELY(h->h_kind == FUSE_KIND_RAW || h->h_kind == FUSE_KIND_BLOCK))
        /* The kernel passes O_DSYNC with each write, from O_SYNC at open or RWF_DSYNC. */
        fuse_disk_write(req, h, data, size, (uint64_t)off, (fi->flags & O_DSYNC) != 0);
    else if (h->h_kind == FUSE_KIND_ADAPTER)
        fuse_reply_err(req, ENODEV);
    else
        fuse_ctl_write(req, h, data, size);
}
