/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_impl.h - private to src/fuse: inodes, open handles, and what the files share.
 */
#ifndef FUSE_IMPL_H
#define FUSE_IMPL_H

#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "fuse_serve.h"

/* Our own bug: stays on in release, as in the core. */
#define FUSE_ASSERT(cond) KASSERT(cond)

/* Nothing in the mount changes behind the kernel's back, so it may remember for as long as it likes. */
#define FUSE_TIMEOUT_S 86400.0

/* The kernel's own largest request, and what we ask for. */
#define FUSE_REQUEST_BYTES (1u << 20)

/* What an inode is. */
enum fuse_kind {
    FUSE_KIND_NONE,
    FUSE_KIND_ROOT,
    FUSE_KIND_CTL_DIR, /* .scpair */
    FUSE_KIND_ADAPTER, /* scsiN */
    FUSE_KIND_BLOCK,   /* hdiskN */
    FUSE_KIND_RAW,     /* rhdiskN */
    FUSE_KIND_STAT,    /* .scpair/... */
    FUSE_KIND_ERRLOG,
    FUSE_KIND_FLIGHT,
    FUSE_KIND_PID,
    FUSE_KIND_SPEC,
    FUSE_KIND_INJECT,
    FUSE_KIND_PLUG,
    FUSE_KIND_TRACE
};

static inline bool fuse_kind_is_dir(enum fuse_kind kind)
{
    return kind == FUSE_KIND_ROOT || kind == FUSE_KIND_CTL_DIR;
}

#define SCP_NAME_BYTES 16u

/* Workers that disks may hold at once, all together; each of them --threads at most, and its part of these.
 */
#define FUSE_GATE_THREADS 4096u
/* That adapters may hold, and reports; and some for names, which wait for nobody. */
#define FUSE_GATE_OTHERS  32u

/* So many at once, and the rest waits without a worker (fuse_gate.c). */
struct fuse_put;
struct fuse_gate {
    _Atomic unsigned g_busy, g_waiting;
    pthread_mutex_t g_mutex; /* what is put down */
    struct fuse_put *g_first, **g_last;
};

/*
 * One slot for a disk: two inodes. The first group changes with the disk, under pr_tree and vd_mutex; whoever
 * has a handle keeps it from changing, but for vd_there and vd_gen.
 */
struct fuse_vdisk {
    bool vd_there;                /* its names are in the tree */
    bool vd_made;                 /* the mutex is */
    _Atomic uint32_t vd_gen;      /* disks that were unplugged here */
    char vd_name[SCP_NAME_BYTES]; /* "hdisk0" */
    devno_t vd_devno;
    unsigned vd_index;
    uint64_t vd_bytes;
    uint32_t vd_block_bytes; /* a power of two, at most a page */
    uint32_t vd_queue;       /* commands the driver keeps at the device */
    bool vd_read_only;
    bool vd_unmap; /* the device unmaps, and unmapped blocks read as zeroes */

    atomic_bool vd_dirty;       /* written since the last flush: close(2) has to flush */
    pthread_mutex_t vd_mutex;   /* vd_block, vd_block_opens */
    struct scp_block *vd_block; /* one for all opens: its lock is what keeps partial blocks whole */
    unsigned vd_block_opens;

    struct fuse_gate vd_gate; /* the slot's: there from the mount to its end */
};

/* An open file or directory. Owned by the kernel's file handle, from open to release. */
struct fuse_handle {
    struct fuse_handle *h_next, *h_prev; /* pr_handles */
    enum fuse_kind h_kind;
    unsigned h_index; /* of the adapter or disk */
    uint32_t h_gen;   /* disks: vd_gen when it was looked up */
    bool h_writable;
    bool h_direct;               /* opened with O_DIRECT */
    struct fuse_vdisk *h_disk;   /* disks */
    _Atomic uint32_t h_mark;     /* disks: which lost writes it has been told of (DKFLUSHMARK) */
    struct file *h_file;         /* adapter and disks: where ioctls go */
    struct scp_block *h_block;   /* FUSE_KIND_BLOCK */
    struct fuse_split *h_splits; /* FUSE_KIND_RAW; under pr_mutex */
    char *h_text;                /* .scpair: what a reader sees, made at open */
    size_t h_text_bytes;
    unsigned h_jobs; /* .scpair/plug: writes under way, which will set h_text; under pr_mutex */
};

/* The mount. */
struct fuse_pair {
    struct scp *pr_scp;
    const struct fuse_serve_config *pr_cfg;
    struct timespec pr_since; /* every time stamp */
    atomic_bool pr_stopping;  /* nothing is opened any more */

    pthread_mutex_t pr_mutex; /* the rest */
    struct fuse_handle *pr_handles;
    char pr_inject_error[SCP_ERROR_MAX]; /* why the last rule was refused */

    unsigned pr_plugs; /* writes to .scpair/plug under way */
    pthread_cond_t pr_plugs_over;

    struct fuse_session *pr_session; /* while mounted */
    dev_t pr_dev;                    /* st_dev of what is in the mount; set before it is served */
    pthread_rwlock_t pr_tree;        /* which disks there are */
    unsigned pr_ndisks;              /* slots in use or used before */
    _Atomic unsigned pr_parts;       /* the same, for fuse_gate.c */
    struct fuse_gate pr_gate_adapters, pr_gate_reports;
    struct fuse_vdisk pr_disks[SCP_DISKS_MAX];
};

/* Our mount among all mounts. */
struct fuse_own {
    const char *ow_point;
    unsigned ow_major, ow_minor; /* st_dev of what is in it */
    int ow_unmounter;            /* or -1: we unmount ourselves */
};

/* What a stop needs. The first group is set before fuse_stop_begin(), and constant. */
struct fuse_stop {
    struct fuse_pair *st_pair;
    const struct fuse_serve_config *st_cfg;
    struct fuse_session *st_session;
    struct fuse_own st_own;

    pthread_t st_main, st_thread;
    atomic_bool st_over; /* the loop has returned */
    bool st_unmounted;   /* the signal thread's */
};

static inline struct fuse_pair *fuse_pair_of(fuse_req_t req) { return fuse_req_userdata(req); }
/*
 * A disk has been written to: close(2) will have to flush. Called after the write: a flush that ran
 * meanwhile did not have these bytes and has cleared the flag. Looked at first: most writes find it
 * set, and then the cache line stays shared.
 */
static inline void fuse_disk_dirtied(struct fuse_vdisk *vd)
{
    if (!atomic_load(&vd->vd_dirty))
        atomic_store(&vd->vd_dirty, true);
}
static inline struct fuse_handle *fuse_handle_of(const struct fuse_file_info *fi)
{
    return (struct fuse_handle *)(uintptr_t)fi->fh;
}

/* Answer with an errno of ours. */
static inline void fuse_fail(fuse_req_t req, int error) { fuse_reply_err(req, scp_host_errno(error)); }

/* fuse_stop.c: take the three signals until the loop is over. 0 or an errno. */
int fuse_stop_begin(struct fuse_stop *st);
void fuse_stop_end(struct fuse_stop *st);

/* fuse_unmounter.c */
/* Note which mount is ours; the path stays the caller's. Before anybody else can be there. 0 or an errno. */
int fuse_own_learn(struct fuse_own *ow, const char *point, int unmounter);
/* Take it down, and nothing else. 0, EBUSY, EXDEV when another is on top, ..., with the reason in err. */
int fuse_own_unmount(const struct fuse_own *ow, bool detach, char *err, size_t size);
/* Give up every capability of this thread, and of programs it starts. 0 or an errno. */
int fuse_priv_drop(void);

/* fuse_tree.c: which inode is what; the operations on names and attributes. */
enum fuse_kind fuse_tree_kind(struct fuse_pair *pr, fuse_ino_t ino, unsigned *index, uint32_t *gen);
/* Was it the number of a disk that is unplugged? Any thread. */
bool fuse_tree_was_disk(const struct fuse_pair *pr, fuse_ino_t ino);
fuse_ino_t fuse_tree_disk_ino(const struct fuse_vdisk *vd, bool raw);
void fuse_tree_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void fuse_tree_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_tree_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi);
void fuse_tree_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fuse_tree_statfs(fuse_req_t req, fuse_ino_t ino);

/* fuse_file.c: open, release and the dispatch on what kind of file it is. */
void fuse_file_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_file_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_file_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fuse_file_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi);
/* Close what is still open when the mount goes; the kernel need not say release for each. */
void fuse_file_close_all(struct fuse_pair *pr);

/* fuse_gate.c: the operations below that may have to wait for a device, a limited number of them at once. */
void fuse_gate_init(struct fuse_gate *g);
/* Nobody is in it or at it. */
void fuse_gate_fini(struct fuse_gate *g);
/* Each as the function it is named after, at once or when it is its turn; then from another worker. */
void fuse_gate_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_gate_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_gate_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fuse_gate_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi);
void fuse_gate_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_gate_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fuse_gate_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                         struct fuse_file_info *fi);
void fuse_gate_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void fuse_gate_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
                     unsigned flags, const void *in, size_t in_bytes, size_t out_bytes);

/* fuse_disk.c: the disks' data. */
int fuse_disk_probe(struct fuse_pair *pr, unsigned disk, char *err, size_t size);
void fuse_disk_fini(struct fuse_vdisk *vd);
void fuse_disk_buffers_free(void);

/* ------------------------------------------------------------------ fuse_spin.c */

/* Have the session's workers look for the next request for a moment before they sleep. 0 or an errno. */
int fuse_spin_install(struct fuse_session *se);
int fuse_disk_open(struct fuse_pair *pr, struct fuse_handle *h);
void fuse_disk_close(struct fuse_handle *h);
int fuse_disk_flush_told(struct fuse_handle *h);
int fuse_disk_block_join(struct fuse_vdisk *vd, struct scp_block **out);
void fuse_disk_block_leave(struct fuse_vdisk *vd);
void fuse_disk_read(fuse_req_t req, struct fuse_handle *h, size_t size, uint64_t off);
void fuse_disk_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size, uint64_t off,
                     bool durable);
void fuse_disk_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_disk_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* fuse_split.c: raw requests the kernel has cut inside a block. */
int fuse_split_read(fuse_req_t req, struct fuse_handle *h, uint8_t *data, size_t size, uint64_t off,
                    size_t *done);
int fuse_split_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size, uint64_t off,
                     size_t *done);
void fuse_split_forget(struct fuse_handle *h);

/* fuse_space.c: which parts of a disk hold data. */
void fuse_space_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                          struct fuse_file_info *fi);
void fuse_space_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

/* fuse_ioctl.c */
void fuse_ioctl_call(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
                     unsigned flags, const void *in, size_t in_bytes, size_t out_bytes);

/* fuse_ctl.c: the files of .scpair. */
int fuse_ctl_open(struct fuse_pair *pr, struct fuse_handle *h);
void fuse_ctl_read(fuse_req_t req, struct fuse_handle *h, size_t size, uint64_t off);
void fuse_ctl_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size);

/* fuse_plug.c: disks come and go. */
void fuse_plug_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size);
/* Until no such write is under way. EINPROGRESS, with a line in err, when one has not ended in time. */
int fuse_plug_wait(struct fuse_pair *pr, char *err, size_t size);
/* Has the handle's disk gone? */
static inline bool fuse_disk_is_gone(const struct fuse_handle *h)
{
    return atomic_load(&h->h_disk->vd_gen) != h->h_gen;
}

#endif /* FUSE_IMPL_H */
