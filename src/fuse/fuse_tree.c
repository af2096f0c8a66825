/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_tree.c - the names in the mounted directory and their attributes.
 *
 *   scsiN              an adapter: ioctls only
 *   hdiskN, rhdiskN    a disk through the block interface, and raw
 *   .scpair/           stat errlog pid spec (read), inject (read and write)
 *
 * All are regular files: a FUSE mount by an ordinary user cannot hold device nodes that lead back
 * to the server, and a regular file of the disk's size is what mkfs, loop and dd want to see. The
 * set never changes while mounted, so an inode number says everything: small ones are fixed, adapter
 * i has FUSE_INO_ADAPTERS + i, disk i has FUSE_INO_DISKS + 2i (block) and + 2i + 1 (raw).
 *
 * A disk cannot change its size. O_TRUNC is ignored, as a device ignores it (the kernel sends it
 * as a setattr to 0 without a handle); any other size than the disk's is refused with EINVAL.
 *
 * Does not contain: opening and data (fuse_file.c, fuse_disk.c, fuse_ctl.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUSE_INO_ADAPTERS 32u
#define FUSE_INO_DISKS    64u
#define FUSE_BLOCKS_UNIT  512u /* st_blocks counts these */
_Static_assert(FUSE_INO_ADAPTERS + SCP_ADAPTERS_MAX <= FUSE_INO_DISKS, "inode numbers do not overlap");

/* The inodes that are always there. The permission bits of devices are the mount's. */
static const struct fuse_fixed {
    fuse_ino_t f_ino;
    fuse_ino_t f_parent;
    enum fuse_kind f_kind;
    mode_t f_mode;
    const char *f_name;
} fuse_fixed[] = {
    {FUSE_ROOT_ID, FUSE_ROOT_ID, FUSE_KIND_ROOT, S_IFDIR | 0755, "."},
    {2, FUSE_ROOT_ID, FUSE_KIND_CTL_DIR, S_IFDIR | 0755, ".scpair"},
    {4, 2, FUSE_KIND_STAT, S_IFREG | 0444, "stat"},
    {5, 2, FUSE_KIND_ERRLOG, S_IFREG | 0444, "errlog"},
    {6, 2, FUSE_KIND_PID, S_IFREG | 0444, "pid"},
    {7, 2, FUSE_KIND_SPEC, S_IFREG | 0444, "spec"},
    {8, 2, FUSE_KIND_INJECT, S_IFREG | 0600, "inject"},
};

static const struct fuse_fixed *fuse_fixed_find(fuse_ino_t ino)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(fuse_fixed); i++)
        if (fuse_fixed[i].f_ino == ino)
            return &fuse_fixed[i];
    return NULL;
}

/* What an inode is; *index gets the number of its adapter or disk, else 0. Any thread. */
enum fuse_kind fuse_tree_kind(const struct fuse_pair *pr, fuse_ino_t ino, unsigned *index)
{
    const struct fuse_fixed *f = fuse_fixed_find(ino);

    *index = 0;
    if (f != NULL)
        return f->f_kind;
    if (ino >= FUSE_INO_ADAPTERS && ino < FUSE_INO_ADAPTERS + scp_nadapters(pr->pr_scp)) {
        *index = (unsigned)(ino - FUSE_INO_ADAPTERS);
        return FUSE_KIND_ADAPTER;
    }
    if (ino < FUSE_INO_DISKS || ino >= FUSE_INO_DISKS + 2u * pr->pr_ndisks)
        return FUSE_KIND_NONE;
    *index = (unsigned)(ino - FUSE_INO_DISKS) / 2u;
    return (ino & 1u) ? FUSE_KIND_RAW : FUSE_KIND_BLOCK;
}

/* Fill in the attributes; false when there is no such inode. */
static bool fuse_tree_stat(const struct fuse_pair *pr, fuse_ino_t ino, struct stat *st)
{
    const struct fuse_fixed *f = fuse_fixed_find(ino);
    unsigned disk;
    enum fuse_kind kind = fuse_tree_kind(pr, ino, &disk);

    memset(st, 0, sizeof(*st));
    if (kind == FUSE_KIND_NONE)
        return false;
    st->st_ino = ino;
    st->st_uid = pr->pr_cfg->uid;
    st->st_gid = pr->pr_cfg->gid;
    st->st_atim = st->st_mtim = st->st_ctim = pr->pr_since;
    st->st_nlink = 1;
    st->st_blksize = (blksize_t)SC_PAGE_SIZE;
    if (f != NULL) {
        st->st_mode = f->f_mode;
        if (S_ISDIR(f->f_mode))
            st->st_nlink = ino == FUSE_ROOT_ID ? 3 : 2;
        return true;
    }
    /* Writable even when the disk is not: the open then says EROFS, which names the reason. */
    st->st_mode = S_IFREG | pr->pr_cfg->mode;
    if (kind == FUSE_KIND_ADAPTER)
        return true;
    FUSE_ASSERT(disk < pr->pr_ndisks);
    st->st_size = (off_t)pr->pr_disks[disk].vd_bytes;
    st->st_blocks = (blkcnt_t)(pr->pr_disks[disk].vd_bytes / FUSE_BLOCKS_UNIT);
    return true;
}

/* "scsi1", "hdisk7" or "rhdisk7" to an inode; 0 when there is none. */
static fuse_ino_t fuse_tree_device_ino(const struct fuse_pair *pr, const char *name)
{
    unsigned raw = name[0] == 'r';

    for (unsigned i = 0; i < scp_nadapters(pr->pr_scp); i++)
        if (strcmp(name, scp_adapter_name(pr->pr_scp, i)) == 0)
            return FUSE_INO_ADAPTERS + i;
    for (unsigned i = 0; i < pr->pr_ndisks; i++)
        if (strcmp(name + raw, scp_disk_name(pr->pr_scp, i)) == 0)
            return FUSE_INO_DISKS + 2u * i + raw;
    return 0;
}

void fuse_tree_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct fuse_pair *pr = fuse_pair_of(req);
    struct fuse_entry_param e;

    memset(&e, 0, sizeof(e));
    for (size_t i = 1; i < SC_ARRAY_SIZE(fuse_fixed); i++)
        if (fuse_fixed[i].f_parent == parent && strcmp(fuse_fixed[i].f_name, name) == 0)
            e.ino = fuse_fixed[i].f_ino;
    if (e.ino == 0 && parent == FUSE_ROOT_ID)
        e.ino = fuse_tree_device_ino(pr, name);
    if (e.ino == 0 || !fuse_tree_stat(pr, e.ino, &e.attr)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    e.attr_timeout = e.entry_timeout = FUSE_TIMEOUT_S;
    fuse_reply_entry(req, &e);
}

void fuse_tree_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    if (fuse_tree_stat(fuse_pair_of(req), ino, &st))
        fuse_reply_attr(req, &st, FUSE_TIMEOUT_S);
    else
        fuse_reply_err(req, ENOENT);
}

void fuse_tree_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct stat st;

    if (!fuse_tree_stat(fuse_pair_of(req), ino, &st)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    if ((to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
        fuse_reply_err(req, EPERM);
        return;
    }
    /* Size 0 without a handle is how the kernel says O_TRUNC; see above. */
    if ((to_set & FUSE_SET_ATTR_SIZE) != 0 && attr->st_size != st.st_size &&
        !(attr->st_size == 0 && fi == NULL)) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    fuse_reply_attr(req, &st, FUSE_TIMEOUT_S);
}

/* ------------------------------------------------------------------ listing */

/* A directory listing being put together. */
struct fuse_listing {
    fuse_req_t ls_req;
    char *ls_text;
    size_t ls_used, ls_size;
    off_t ls_skip; /* entries the caller has seen */
    off_t ls_at;
    bool ls_full;
};

static void fuse_listing_add(struct fuse_listing *ls, fuse_ino_t ino, mode_t mode, const char *name)
{
    struct stat st = {.st_ino = ino, .st_mode = mode};
    size_t need;

    if (ls->ls_at++ < ls->ls_skip || ls->ls_full)
        return;
    need = fuse_add_direntry(ls->ls_req, ls->ls_text + ls->ls_used, ls->ls_size - ls->ls_used, name, &st,
                             ls->ls_at);
    if (need > ls->ls_size - ls->ls_used)
        ls->ls_full = true;
    else
        ls->ls_used += need;
}

void fuse_tree_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    const struct fuse_pair *pr = fuse_pair_of(req);
    struct fuse_listing ls = {.ls_req = req, .ls_size = size, .ls_skip = off};
    const struct fuse_fixed *self = fuse_fixed_find(ino);
    char name[24];

    (void)fi;
    if (self == NULL || !S_ISDIR(self->f_mode)) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    ls.ls_text = malloc(size);
    if (ls.ls_text == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    fuse_listing_add(&ls, ino, S_IFDIR, ".");
    fuse_listing_add(&ls, self->f_parent, S_IFDIR, "..");
    for (size_t i = 1; i < SC_ARRAY_SIZE(fuse_fixed); i++)
        if (fuse_fixed[i].f_parent == ino)
            fuse_listing_add(&ls, fuse_fixed[i].f_ino, fuse_fixed[i].f_mode, fuse_fixed[i].f_name);
    for (unsigned i = 0; i < scp_nadapters(pr->pr_scp) && ino == FUSE_ROOT_ID; i++)
        fuse_listing_add(&ls, FUSE_INO_ADAPTERS + i, S_IFREG, scp_adapter_name(pr->pr_scp, i));
    for (unsigned i = 0; i < 2u * pr->pr_ndisks && ino == FUSE_ROOT_ID; i++) {
        (void)snprintf(name, sizeof(name), "%s%s", (i & 1u) ? "r" : "", scp_disk_name(pr->pr_scp, i / 2u));
        fuse_listing_add(&ls, FUSE_INO_DISKS + i, S_IFREG, name);
    }
    fuse_reply_buf(req, ls.ls_text, ls.ls_used);
    free(ls.ls_text);
}

void fuse_tree_statfs(fuse_req_t req, fuse_ino_t ino)
{
    const struct fuse_pair *pr = fuse_pair_of(req);
    struct statvfs vfs;

    (void)ino;
    memset(&vfs, 0, sizeof(vfs));
    vfs.f_bsize = vfs.f_frsize = SC_PAGE_SIZE;
    vfs.f_namemax = 255;
    vfs.f_files = SC_ARRAY_SIZE(fuse_fixed) + scp_nadapters(pr->pr_scp) + (size_t)pr->pr_ndisks * 2u;
    for (unsigned i = 0; i < pr->pr_ndisks; i++)
        vfs.f_blocks += (fsblkcnt_t)(pr->pr_disks[i].vd_bytes / SC_PAGE_SIZE);
    fuse_reply_statfs(req, &vfs);
}
