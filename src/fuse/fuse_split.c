/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_split.c - large raw requests which the kernel has cut in the middle of a block.
 *
 * The kernel passes direct I/O on in pieces of at most 256 pages of the caller's memory. If that
 * memory does not begin on a page, the first piece ends 1 byte to a page short of 1 MiB, wherever in
 * a block that is, and the next begins there: a program that asked for whole blocks would get EINVAL
 * because of where malloc() put its buffer. So a piece that begins on a block and is just that long
 * is taken for the first of such a request, and what the same thread asks next, if it goes on from
 * there, for the next. Everything else that is not whole blocks stays EINVAL.
 *
 * Reads: the block that was cut is read once; the bytes behind the cut are kept for the next piece,
 * so an 8 MiB read costs the same commands however its memory lies. Writes: the cut block is read,
 * changed and written back by the buffer layer, once for each of its parts; keeping the bytes back
 * would be cheaper, but they would have been acknowledged before they were written.
 *
 * Rejected: requests of fewer pages, which never end inside a block but cost every large aligned
 * request one more trip; answering short, which is allowed, but programs do not expect it of a disk.
 * Not handled: asynchronous I/O, whose pieces come all at once; it is used with aligned memory.
 *
 * Does not contain: requests of whole blocks (fuse_disk.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <stdlib.h>
#include <string.h>

#define SPLIT_KEPT_MAX 64u /* per handle: threads in the middle of such a request; the oldest goes */

/* A cut request that will go on. */
struct fuse_split {
    struct fuse_split *sp_next;
    pid_t sp_thread;
    bool sp_write;
    uint64_t sp_at; /* where the next piece begins */
    size_t sp_have; /* reads: bytes already here */
    uint8_t sp_bytes[SC_PAGE_SIZE];
};

/* Take the caller's entry off the handle's list, if it has one. */
static struct fuse_split *fuse_split_take(struct fuse_pair *pr, struct fuse_handle *h, pid_t thread)
{
    struct fuse_split **link = &h->h_splits;
    struct fuse_split *sp;

    pthread_mutex_lock(&pr->pr_mutex);
    while ((sp = *link) != NULL && sp->sp_thread != thread)
        link = &sp->sp_next;
    if (sp != NULL)
        *link = sp->sp_next;
    pthread_mutex_unlock(&pr->pr_mutex);
    return sp;
}

/* Put an entry at the head of the list, and drop the last of a full list. */
static void fuse_split_keep(struct fuse_pair *pr, struct fuse_handle *h, struct fuse_split *sp)
{
    struct fuse_split **link = &h->h_splits;
    unsigned n = 1;

    pthread_mutex_lock(&pr->pr_mutex);
    sp->sp_next = h->h_splits;
    h->h_splits = sp;
    while (*link != NULL && n++ <= SPLIT_KEPT_MAX)
        link = &(*link)->sp_next;
    sp = *link;
    *link = NULL;
    pthread_mutex_unlock(&pr->pr_mutex);
    FUSE_ASSERT(sp == NULL || sp->sp_next == NULL);
    free(sp);
}

void fuse_split_forget(struct fuse_handle *h)
{
    struct fuse_split *sp;

    while ((sp = h->h_splits) != NULL) {
        h->h_splits = sp->sp_next;
        free(sp);
    }
}

/*
 * The entry for this piece: the one the thread left behind, or a new one if this can be the first
 * piece. NULL: it is neither, *error says EINVAL or ENOMEM. The caller owns the entry.
 */
static struct fuse_split *fuse_split_begin(fuse_req_t req, struct fuse_handle *h, size_t size, uint64_t off,
                                           bool write, int *error)
{
    pid_t thread = fuse_req_ctx(req)->pid;
    struct fuse_split *sp = fuse_split_take(fuse_pair_of(req), h, thread);

    if (sp != NULL && sp->sp_write == write && sp->sp_at == off)
        return sp;
    free(sp);
    *error = EINVAL;
    if ((off & (h->h_disk->vd_block_bytes - 1u)) != 0 || size + SC_PAGE_SIZE <= FUSE_REQUEST_BYTES ||
        size > FUSE_REQUEST_BYTES)
        return NULL;
    *error = ENOMEM;
    sp = malloc(sizeof(*sp));
    if (sp != NULL) {
        sp->sp_thread = thread;
        sp->sp_write = write;
        sp->sp_have = 0;
    }
    return sp;
}

/* The piece is done up to `at`: wait for the next, or forget the request when it ended on a block. */
static void fuse_split_end(fuse_req_t req, struct fuse_handle *h, struct fuse_split *sp, uint64_t at)
{
    if ((at & (h->h_disk->vd_block_bytes - 1u)) == 0) {
        free(sp);
        return;
    }
    sp->sp_at = at;
    fuse_split_keep(fuse_pair_of(req), h, sp);
}

/*
 * A read that is not whole blocks, into `data`, which has room for a block more. 0 or an errno of
 * ours; *done gets the bytes. Context: process (a libfuse worker).
 */
int fuse_split_read(fuse_req_t req, struct fuse_handle *h, uint8_t *data, size_t size, uint64_t off,
                    size_t *done)
{
    size_t mask = h->h_disk->vd_block_bytes - 1u;
    int error;
    struct fuse_split *sp = fuse_split_begin(req, h, size, off, false, &error);
    size_t have, want, got = 0;

    if (sp == NULL)
        return error;
    error = 0;
    have = sp->sp_have;
    memcpy(data, sp->sp_bytes, have);
    if (size > have) {
        FUSE_ASSERT(((off + have) & mask) == 0);
        /* A piece of full length goes on: to the end of its page, where the request would have been cut. */
        if (size + SC_PAGE_SIZE > FUSE_REQUEST_BYTES)
            mask = SC_PAGE_MASK;
        want = (size - have + mask) & ~mask;
        error = scp_raw_read(h->h_file, data + have, want, off + have, &got);
        if (got > 0 || have > 0)
            error = 0;
    }
    have += got;
    *done = have < size ? have : size;
    if (error != 0 || have < size) {
        free(sp); /* the request ends here */
        return error;
    }
    sp->sp_have = have - size;
    FUSE_ASSERT(sp->sp_have < sizeof(sp->sp_bytes));
    memcpy(sp->sp_bytes, data + size, sp->sp_have);
    fuse_split_end(req, h, sp, off + size);
    return 0;
}

/*
 * A write that is not whole blocks. The results are the same. Context: process (a libfuse worker).
 */
int fuse_split_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size, uint64_t off,
                     size_t *done)
{
    struct scp_block *block = NULL;
    int error;
    struct fuse_split *sp = fuse_split_begin(req, h, size, off, true, &error);

    if (sp == NULL)
        return error;
    error = fuse_disk_block_join(h->h_disk, &block);
    if (error == 0) {
        error = scp_block_write(block, data, size, off, done);
        fuse_disk_block_leave(h->h_disk);
    }
    if (error != 0 || *done < size)
        free(sp);
    else
        fuse_split_end(req, h, sp, off + size);
    return error;
}
