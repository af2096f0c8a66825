/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_mounts.h - what is mounted where, from /proc/self/mountinfo.
 *
 * One reader for everybody who asks: is the mount point in use, whose mount is it, which are ours.
 * Does not contain: mounting and unmounting (fuse_serve.h).
 */
#ifndef FUSE_MOUNTS_H
#define FUSE_MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

/* The file system type of our mounts. */
#define FUSE_MOUNT_TYPE "fuse.scpair"

/* One line. The strings are decoded and end with the call they were handed out in. */
struct fuse_mount {
    unsigned mo_id, mo_parent;   /* of the mount, and of the one it stands on */
    unsigned mo_major, mo_minor; /* st_dev of what is in it */
    const char *mo_point;        /* absolute, no links */
    const char *mo_type;         /* FUSE_MOUNT_TYPE when it is ours */
    const char *mo_source;
    long mo_user; /* who mounted it, for FUSE; -1 when the line does not say */
};

/*
 * Take one line of mountinfo apart, in place. False when it is none. Any context.
 */
bool fuse_mount_parse(char *line, struct fuse_mount *out);

/*
 * Call `fn` for every mount, in the order of the kernel's list (a mount that stands on another
 * comes after it), until it returns false. 0, or an errno when the list cannot be read. Process.
 */
typedef bool (*fuse_mounts_fn)(const struct fuse_mount *m, void *arg);
int fuse_mounts_each(fuse_mounts_fn fn, void *arg);

#endif /* FUSE_MOUNTS_H */
