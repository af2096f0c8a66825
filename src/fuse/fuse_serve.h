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

/* At most so many threads take requests from the kernel at once, when nobody says otherwise. */
#define FUSE_SERVE_THREADS     64u
#define FUSE_SERVE_THREADS_MAX 1024u

/* What to serve, and where. */
struct fuse_serve_config {
    const char *mountpoint;   /* absolute path of a directory */
    unsigned threads;         /* 0: FUSE_SERVE_THREADS */
    bool allow_other;         /* other users may use the mount */
    void (*ready)(void *arg); /* called once, in the calling thread, when the mount answers */
    void *ready_arg;
};

/*
 * Serve `p` at the mount point; returns when it has been unmounted or when SIGTERM, SIGINT or
 * SIGHUP asked for the end: every request answered, every open device closed and flushed. The
 * caller has blocked those three signals before the process had a second thread.
 * 0, or an errno with one line in err (size bytes); then nothing is mounted. Process.
 */
int fuse_serve(struct scp *p, const struct fuse_serve_config *cfg, char *err, size_t size);

/*
 * Unmount `mountpoint` (absolute) as root by umount(2), otherwise through fusermount3. `detach`:
 * also while files are open; their holders keep them. 0, EBUSY while files are open, or another
 * errno; then err (size bytes) has the reason. Process.
 */
int fuse_serve_unmount(const char *mountpoint, bool detach, char *err, size_t size);

#endif /* FUSE_SERVE_H */
