/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_serve.h - mount an assembled pair and serve it until it is unmounted.
 *
 * For the scpair command. What is in the mounted directory is described in fuse_tree.c, how the
 * disks behave in fuse_disk.c. Does not contain: becoming a daemon (cli/cli_mount.c).
 */
#ifndef FUSE_SERVE_H
#define FUSE_SERVE_H

#include <scpair/scpair.h>
#include <sys/types.h>

/* What is asked for when nobody says otherwise, and the most that may be. */
#define FUSE_SERVE_THREADS     256u
#define FUSE_SERVE_THREADS_MAX 1024u
#define FUSE_SERVE_MODE        0600u
#define FUSE_SERVE_STOP_S      60u
#define FUSE_SERVE_STOP_S_MAX  86400u

/* What to serve, and where. */
struct fuse_serve_config {
    const char *mountpoint; /* absolute path of a directory */
    unsigned threads;       /* that serve one disk at once, at most */
    bool allow_other;       /* other users may use the mount, as far as mode, uid and gid let them */
    mode_t mode;            /* permission bits of scsi0 and the disks */
    uid_t uid;              /* of every file in the mount */
    gid_t gid;
    unsigned stop_seconds;    /* how long a stop waits for users, at most */
    int unmounter;            /* fuse_unmounter_start(): capabilities are given up; or -1 */
    void (*ready)(void *arg); /* called once, in the calling thread, when the mount answers */
    /* Something to tell whoever looks after the server; any thread. May be NULL. */
    void (*say)(void *arg, const char *text);
    void *arg; /* of both */
};

/*
 * Serve `p` at the mount point; returns when it has been unmounted or when SIGTERM, SIGINT or
 * SIGHUP asked for the end and its users are gone or have had their time (fuse_stop.c): every
 * request answered, every open device closed and flushed. The caller has blocked those three signals
 * before the process had a second thread; with an unmounter there is none yet.
 * 0, or an errno with one line in err (size bytes); then nothing is mounted. EINPROGRESS: a plug or unplug
 * does not end, its thread uses the pair, which therefore is not to be destroyed: end the process. Process.
 */
int fuse_serve(struct scp *p, const struct fuse_serve_config *cfg, char *err, size_t size);

/*
 * Fork the process that keeps the power to unmount when the server gives it up: for root, whose
 * three signals are blocked, and before anything is opened. A descriptor for the configuration, or
 * -1 with errno. Process.
 */
int fuse_unmounter_start(void);
/* It ends; after fuse_serve(). -1 is fine. Process. */
void fuse_unmounter_end(int unmounter);

/*
 * Unmount `mountpoint` (absolute) as root by umount(2), otherwise through fusermount3. `detach`:
 * also while files are open; their holders keep them. 0, EBUSY while files are open, or another
 * errno; then err (size bytes) has the reason. Process.
 */
int fuse_serve_unmount(const char *mountpoint, bool detach, char *err, size_t size);

#endif /* FUSE_SERVE_H */
