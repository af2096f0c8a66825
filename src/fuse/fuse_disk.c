/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_disk.c - the data of hdiskN and rhdiskN.
 *
 * The path of a request. A worker thread of libfuse takes it from the kernel and carries it all the
 * way down in its own stack: the driver's read or write routine, the strategy routines, the medium.
 * When nothing pends the data is there on return and the same thread answers. So the costs are those
 * of a bare FUSE server plus the drivers' own: no hand-over, no queue, no lock of this folder.
 *
 * Memory. Reads go into a page-aligned buffer each worker keeps; the reply hands it to the
 * kernel as it is. Writes come from the buffer libfuse received the request in. Rejected: splice (a
 * pipe's pages cost more than the copy they save), replying from the image's mapping (there is no
 * image at this level, only a device).
 *
 * rhdiskN is the character device: FOPEN_DIRECT_IO, so what the program asks is what the driver gets,
 * block multiples or EINVAL; but see fuse_disk_is_small, and fuse_split.c. hdiskN is the block
 * device: any offset and size, through the kernel's page cache and then scp_block_*.
 *
 * The page cache is write-through. Rejected: FUSE_CAP_WRITEBACK_CACHE would merge small writes, but
 * then the kernel takes the file's size for its own and lets it grow, so that `dd of=hdisk0` never
 * meets the end of the disk, and errors come out long after the write(2) they belong to.
 *
 * Coherence. What is written on hdiskN reaches the device before write(2) returns, so rhdiskN sees
 * it (memory maps: after msync or fsync). The other way round, hdiskN's cached pages are dropped at
 * every open: to see what was written on rhdiskN, open hdiskN afresh. This is the rule of AIX, too:
 * do not use both at once.
 *
 * Durability. fsync, O_SYNC and O_DSYNC as usual. A close(2) after writes flushes the device as the
 * last close of a disk does, and reports the flush's error. A write that was acknowledged and lost fails the
 * next fsync of every descriptor that was open then, once, and a close(2) that comes before.
 *
 * Does not contain: fallocate and lseek (fuse_space.c), ioctls (fuse_ioctl.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ------------------------------------------------------------------ a worker's buffer */

/*
 * Large enough for any request, but only touched as far as requests go. Workers come and go with the
 * load; their buffers stay, because fresh memory costs a page fault for every page of a request.
 */
struct fuse_buffer {
    struct fuse_buffer *b_next; /* fuse_buffers */
    uint8_t *b_memory;          /* FUSE_BUFFER_BYTES, page-aligned */
};
#define FUSE_BUFFER_BYTES ((size_t)FUSE_REQUEST_BYTES + SC_PAGE_SIZE)

/* Static, not the mount's: a worker that is no longer needed may outlive the loop by a moment. */
static pthread_mutex_t fuse_buffers_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct fuse_buffer *fuse_buffers; /* of workers that have ended */
static unsigned fuse_buffers_kept;       /* how many */
#define FUSE_BUFFERS_WARM 2u
static pthread_once_t fuse_buffer_once = PTHREAD_ONCE_INIT;
static pthread_key_t fuse_buffer_key;
static _Thread_local struct fuse_buffer *fuse_buffer;

static void fuse_buffer_put(void *arg)
{
    struct fuse_buffer *b = arg;

    pthread_mutex_lock(&fuse_buffers_mutex);
    /* A burst's worth of workers would leave as many megabytes behind: only a few stay warm. */
    if (fuse_buffers_kept++ >= FUSE_BUFFERS_WARM)
        (void)madvise(b->b_memory, FUSE_BUFFER_BYTES, MADV_DONTNEED);
    b->b_next = fuse_buffers;
    fuse_buffers = b;
    pthread_mutex_unlock(&fuse_buffers_mutex);
}

static void fuse_buffer_key_make(void)
{
    FUSE_ASSERT(pthread_key_create(&fuse_buffer_key, fuse_buffer_put) == 0);
}

/* The calling worker's first request with data: take a buffer somebody left, or make one. May be NULL. */
static struct fuse_buffer *fuse_buffer_take(void)
{
    struct fuse_buffer *b;

    (void)pthread_once(&fuse_buffer_once, fuse_buffer_key_make);
    pthread_mutex_lock(&fuse_buffers_mutex);
    b = fuse_buffers;
    if (b != NULL) {
        fuse_buffers = b->b_next;
        fuse_buffers_kept--;
    }
    pthread_mutex_unlock(&fuse_buffers_mutex);
    if (b == NULL) {
        b = malloc(sizeof(*b));
        if (b == NULL)
            return NULL;
        b->b_memory = aligned_alloc(SC_PAGE_SIZE, FUSE_BUFFER_BYTES);
        if (b->b_memory == NULL) {
            free(b);
            return NULL;
        }
    }
    (void)pthread_setspecific(fuse_buffer_key, b);
    fuse_buffer = b;
    return b;
}

/* The calling worker's buffer, or NULL without memory. */
static inline uint8_t *fuse_buffer_get(void)
{
    struct fuse_buffer *b = fuse_buffer;

    if (SC_UNLIKELY(b == NULL)) {
        b = fuse_buffer_take();
        if (b == NULL)
            return NULL;
    }
    return b->b_memory;
}

void fuse_disk_buffers_free(void)
{
    struct fuse_buffer *b;

    pthread_mutex_lock(&fuse_buffers_mutex);
    fuse_buffers_kept = 0;
    while ((b = fuse_buffers) != NULL) {
        fuse_buffers = b->b_next;
        free(b->b_memory);
        free(b);
    }
    pthread_mutex_unlock(&fuse_buffers_mutex);
}

/* ------------------------------------------------------------------ probe, open, close */

/*
 * Learn the disk's size by opening it once, and show it. 0, or an errno with a line in err. Context: process.
 */
int fuse_disk_probe(struct fuse_pair *pr, unsigned disk, char *err, size_t size)
{
    struct fuse_vdisk *vd = &pr->pr_disks[disk];
    const devno_t devno = scp_disk_devno(pr->pr_scp, disk);
    struct sc_disk_info info;
    struct file *fp;
    int error = fp_opendev(devno, DREAD, NULL, 0, &fp);

    if (error == 0) {
        error = fp_ioctl(fp, DKINFO, (intptr_t)&info, 0);
        (void)fp_close(fp);
    }
    if (error != 0) {
        (void)snprintf(err, size, "%s: the disk does not open: %s", scp_disk_name(pr->pr_scp, disk),
                       scp_strerror(error));
        return error;
    }
    FUSE_ASSERT(info.block_bytes != 0 && (info.block_bytes & (info.block_bytes - 1)) == 0);
    if (!vd->vd_made)
        pthread_mutex_init(&vd->vd_mutex, NULL);
    pthread_rwlock_wrlock(&pr->pr_tree);
    pthread_mutex_lock(&vd->vd_mutex);
    (void)snprintf(vd->vd_name, sizeof(vd->vd_name), "%s", scp_disk_name(pr->pr_scp, disk));
    vd->vd_devno = devno;
    vd->vd_index = disk;
    vd->vd_block_bytes = info.block_bytes;
    vd->vd_bytes = info.blocks * info.block_bytes;
    vd->vd_queue = info.queue_depth;
    vd->vd_read_only = info.read_only != 0;
    vd->vd_unmap = info.unmap != 0;
    atomic_store(&vd->vd_dirty, false);
    vd->vd_made = vd->vd_there = true;
    if (disk >= pr->pr_ndisks)
        pr->pr_ndisks = disk + 1;
    atomic_store(&pr->pr_parts, pr->pr_ndisks);
    pthread_mutex_unlock(&vd->vd_mutex);
    pthread_rwlock_unlock(&pr->pr_tree);
    return 0;
}

void fuse_disk_fini(struct fuse_vdisk *vd)
{
    if (!vd->vd_made)
        return;
    FUSE_ASSERT(vd->vd_block == NULL && vd->vd_block_opens == 0);
    pthread_mutex_destroy(&vd->vd_mutex);
}

/* Join the disk's block device, opening it for the first. Always for writing if the disk can be. */
int fuse_disk_block_join(struct fuse_vdisk *vd, struct scp_block **out)
{
    unsigned long devflag;
    int error = 0;

    pthread_mutex_lock(&vd->vd_mutex);
    devflag = DREAD | (vd->vd_read_only ? 0 : DWRITE);
    if (vd->vd_block_opens == 0)
        error = scp_block_open(vd->vd_devno, devflag, &vd->vd_block);
    if (error == 0) {
        vd->vd_block_opens++;
        *out = vd->vd_block;
    }
    pthread_mutex_unlock(&vd->vd_mutex);
    return error;
}

void fuse_disk_block_leave(struct fuse_vdisk *vd)
{
    pthread_mutex_lock(&vd->vd_mutex);
    FUSE_ASSERT(vd->vd_block_opens > 0);
    if (--vd->vd_block_opens == 0) {
        scp_block_close(vd->vd_block);
        vd->vd_block = NULL;
    }
    pthread_mutex_unlock(&vd->vd_mutex);
}

/*
 * Flush the device, or only ask what has been lost (SC_FLUSH_*). `note`: what the answer says this handle has
 * been told. Several threads may be here for one handle: at worst it is told twice. 0 or an errno of ours.
 */
static int fuse_disk_sync(struct fuse_handle *h, uint32_t how, bool note)
{
    struct sc_flush fl = {.mark = atomic_load(&h->h_mark), .how = how};
    int error = fp_ioctl(h->h_file, DKFLUSHMARK, (intptr_t)&fl, 0);

    if (note)
        atomic_store(&h->h_mark, fl.mark);
    return error;
}

/* The device behind a handle. `raw`: its number; `small`: it has large blocks. 0 or an errno of ours. */
static int fuse_disk_open_device(struct fuse_handle *h, devno_t raw, bool small)
{
    int error;

    if (h->h_kind == FUSE_KIND_RAW) {
        error = fp_opendev(raw, DREAD | (h->h_writable ? DWRITE : 0), NULL, 0, &h->h_file);
        if (error == 0 && small && !h->h_direct) {
            error = fuse_disk_block_join(h->h_disk, &h->h_block);
            if (error != 0)
                (void)fp_close(h->h_file);
        }
        return error;
    }
    error = fuse_disk_block_join(h->h_disk, &h->h_block);
    if (error == 0)
        h->h_file = scp_block_file(h->h_block);
    return error;
}

/* Is it still the disk that was looked up? Looked at twice; see fuse_plug.c. */
int fuse_disk_open(struct fuse_pair *pr, struct fuse_handle *h)
{
    struct fuse_vdisk *vd = h->h_disk;
    bool there, read_only, small;
    devno_t devno;
    int error;

    pthread_rwlock_rdlock(&pr->pr_tree);
    there = vd->vd_there && !fuse_disk_is_gone(h);
    read_only = vd->vd_read_only;
    small = vd->vd_block_bytes > DEV_BSIZE;
    devno = vd->vd_devno;
    pthread_rwlock_unlock(&pr->pr_tree);
    if (!there)
        return ENXIO;
    if (h->h_writable && read_only)
        return EROFS;
    error = fuse_disk_open_device(h, devno, small);
    if (error == 0 && fuse_disk_is_gone(h)) {
        fuse_disk_close(h);
        error = ENXIO;
    }
    if (error == 0)
        (void)fuse_disk_sync(h, SC_FLUSH_OPEN, true);
    return error;
}

/*
 * Flush the device if it was written to since the last time; if not, what has been lost is told all the same.
 * Not noted: the close(2) of another process that has the descriptor, too, tells nobody who listens. 0 or an
 * errno of ours.
 */
static int fuse_disk_flush_dirty(struct fuse_handle *h, uint32_t how)
{
    int error;

    /* Cleared first: a write that comes while the flush runs sets it again. */
    if (!atomic_exchange(&h->h_disk->vd_dirty, false))
        return how == SC_FLUSH_ALL ? fuse_disk_sync(h, SC_FLUSH_TELL, false) : 0;
    error = fuse_disk_sync(h, how, false);
    if (error != 0)
        atomic_store(&h->h_disk->vd_dirty, true);
    return error;
}

void fuse_disk_close(struct fuse_handle *h)
{
    /* Nobody is left to tell; close(2) has had its own flush and its error. */
    (void)fuse_disk_flush_dirty(h, SC_FLUSH_SILENT);
    if (h->h_block != NULL)
        fuse_disk_block_leave(h->h_disk);
    if (h->h_kind == FUSE_KIND_RAW)
        (void)fp_close(h->h_file);
    fuse_split_forget(h);
}

/* DKFLUSH of a program is its fsync. */
int fuse_disk_flush_told(struct fuse_handle *h) { return fuse_disk_sync(h, SC_FLUSH_ALL, true); }

/* ------------------------------------------------------------------ data */

/*
 * May this request on rhdiskN go through the buffer layer? Only on a disk with large blocks, for a
 * program that did not ask for O_DIRECT, and in multiples of DEV_BSIZE: mkfs and fsck look for their
 * superblock at byte 1024 of whatever they are given. All writes of such a program go that way, or a
 * whole block could slip in between the reading and the writing back of a part of it.
 */
static bool fuse_disk_is_small(const struct fuse_handle *h, size_t size, uint64_t off)
{
    return h->h_block != NULL && ((off | size) & (DEV_BSIZE - 1u)) == 0;
}

/* Whole blocks, as nearly always? */
static inline bool fuse_disk_whole(const struct fuse_handle *h, size_t size, uint64_t off)
{
    return ((off | size) & (h->h_disk->vd_block_bytes - 1u)) == 0;
}

/*
 * Context: process (a libfuse worker). A failed read of the raw device returns what came before the
 * failure, and the error to whoever reads on; the block device must not be short before its end,
 * because the kernel takes that for the end of the file.
 */
void fuse_disk_read(fuse_req_t req, struct fuse_handle *h, size_t size, uint64_t off)
{
    /* At the disk's place within a page, so that hdiskN needs no bounce copy; and a page for a cut block. */
    size_t skip = h->h_kind == FUSE_KIND_BLOCK ? (size_t)(off & SC_PAGE_MASK) : 0;
    uint8_t *data = fuse_buffer_get();
    size_t done = 0;
    int error;

    if (SC_UNLIKELY(data == NULL || size > FUSE_REQUEST_BYTES)) {
        fuse_reply_err(req, data == NULL ? ENOMEM : EINVAL);
        return;
    }
    data += skip;
    if (h->h_kind == FUSE_KIND_RAW) {
        if (SC_LIKELY(fuse_disk_whole(h, size, off)))
            error = scp_raw_read(h->h_file, data, size, off, &done);
        else if (fuse_disk_is_small(h, size, off))
            error = scp_block_read(h->h_block, data, size, off, &done);
        else
            error = fuse_split_read(req, h, data, size, off, &done);
        if (done > 0)
            error = 0;
    } else {
        error = scp_block_read(h->h_block, data, size, off, &done);
    }
    FUSE_ASSERT(done <= size);
    if (SC_UNLIKELY(error != 0))
        fuse_fail(req, error);
    else
        fuse_reply_buf(req, (const char *)data, done);
}

/* Context: process (a libfuse worker). `durable`: on the medium before the answer. */
void fuse_disk_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size, uint64_t off,
                     bool durable)
{
    size_t done = 0;
    int error;

    if (h->h_kind == FUSE_KIND_RAW && SC_LIKELY(h->h_block == NULL && fuse_disk_whole(h, size, off))) {
        error = scp_raw_write(h->h_file, data, size, off, durable ? (int)SC_OPT_FUA : 0, &done);
    } else {
        if (h->h_kind == FUSE_KIND_BLOCK || fuse_disk_is_small(h, size, off))
            error = scp_block_write(h->h_block, data, size, off, &done);
        else
            error = fuse_split_write(req, h, data, size, off, &done);
        if (error == 0 && durable)
            error = fuse_disk_flush_told(h);
    }
    FUSE_ASSERT(done <= size);
    fuse_disk_dirtied(h->h_disk);
    /* On hdiskN this may be a page that the kernel writes back: it looks at the error, not at the count. */
    if (SC_UNLIKELY(error != 0 && (done == 0 || durable || h->h_kind == FUSE_KIND_BLOCK)))
        fuse_fail(req, error);
    else
        fuse_reply_write(req, done);
}

void fuse_disk_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);
    bool disk = h->h_kind == FUSE_KIND_RAW || h->h_kind == FUSE_KIND_BLOCK;

    (void)ino;
    fuse_fail(req, disk && h->h_writable ? fuse_disk_flush_dirty(h, SC_FLUSH_ALL) : 0);
}

void fuse_disk_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct fuse_handle *h = fuse_handle_of(fi);

    (void)ino;
    (void)datasync; /* a disk has no metadata */
    if (h->h_kind != FUSE_KIND_RAW && h->h_kind != FUSE_KIND_BLOCK)
        fuse_reply_err(req, EINVAL);
    else
        fuse_fail(req, fuse_disk_flush_told(h));
}
