/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_tree.c - the names in the mounted directory and their attributes.
 *
 *   scsiN              an adapter: ioctls only
 *   hdiskN, rhdiskN    a disk through the block interface, and raw
 *   .scpair/           stat errlog flight pid spec (read), inject plug trace (read and write)
 *
 * All are regular files: a FUSE mount by an ordinary user cannot hold device nodes that lead back
 * to the server, and a regular file of the disk's size is what mkfs, loop and dd want to see. An inode
 * number says everything: small ones are fixed, adapter i has FUSE_INO_ADAPTERS + i, the disk in slot i
 * has FUSE_INO_DISKS + 2i (block) and + 2i + 1 (raw), and FUSE_INO_ROUND more for each disk that was
 * unplugged there before: a number never means another disk.
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
#define FUSE_INO_ROUND    256u
#define FUSE_BLOCKS_UNIT  512u /* st_blocks counts these */
_Static_assert(2u * SCP_DISKS_MAX <= FUSE_INO_ROUND, "two inode numbers for each slot");
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
    {9, 2, FUSE_KIND_PLUG, S_IFREG | 0600, "plug"},
    {10, 2, FUSE_KIND_FLIGHT, S_IFREG | 0444, "flight"},
    {11, 2, FUSE_KIND_TRACE, S_IFREG | 0600, "trace"},
};

static const struct fuse_fixed *fuse_fixed_find(fuse_ino_t ino)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(fuse_fixed); i++)
        if (fuse_fixed[i].f_ino == ino)
            return &fuse_fixed[i];
    return NULL;
}

bool fuse_tree_was_disk(const struct fuse_pair *pr, fuse_ino_t ino)
{
    fuse_ino_t at = ino - FUSE_INO_DISKS;

    return ino >= FUSE_INO_DISKS && at % FUSE_INO_ROUND / 2u < SCP_DISKS_MAX &&
           at / FUSE_INO_ROUND < atomic_load(&pr->pr_disks[at % FUSE_INO_ROUND / 2u].vd_gen);
}

fuse_ino_t fuse_tree_disk_ino(const struct fuse_vdisk *vd, bool raw)
{
    return FUSE_INO_DISKS + 2u * vd->vd_index + raw + (fuse_ino_t)FUSE_INO_ROUND * atomic_load(&vd->vd_gen);
}

/* Locks: pr_tree. */
static enum fuse_kind fuse_tree_kind_locked(const struct fuse_pair *pr, fuse_ino_t ino, unsigned *index)
{
    const struct fuse_fixed *f = fuse_fixed_find(ino);
    const struct fuse_vdisk *vd;

    *index = 0;
    if (f != NULL)
        return f->f_kind;
    if (ino >= FUSE_INO_ADAPTERS && ino < FUSE_INO_ADAPTERS + scp_nadapters(pr->pr_scp)) {
        *index = (unsigned)(ino - FUSE_INO_ADAPTERS);
        return FUSE_KIND_ADAPTER;
    }
    if (ino < FUSE_INO_DISKS || (ino - FUSE_INO_DISKS) % FUSE_INO_ROUND >= (fuse_ino_t)2 * pr->pr_ndisks)
        return FUSE_KIND_NONE;
    *index = (unsigned)((ino - FUSE_INO_DISKS) % FUSE_INO_ROUND) / 2u;
    vd = &pr->pr_disks[*index];
    if (!vd->vd_there || fuse_tree_disk_ino(vd, ino & 1u) != ino)
        return FUSE_KIND_NONE;
    return (ino & 1u) ? FUSE_KIND_RAW : FUSE_KIND_BLOCK;
}

/* What an inode is; *index gets the number of its adapter or slot, else 0, *gen the slot's. Any thread. */
enum fuse_kind fuse_tree_kind(struct fuse_pair *pr, fuse_ino_t ino, unsigned *index, uint32_t *gen)
{
    enum fuse_kind kind;

    pthread_rwlock_rdlock(&pr->pr_tree);
    kind = fuse_tree_kind_locked(pr, ino, index);
    *gen = kind == FUSE_KIND_BLOCK || kind == FUSE_KIND_RAW ? atomic_load(&pr->pr_disks[*index].vd_gen) : 0;
    pthread_rwlock_unlock(&pr->pr_tree);
    return kind;
}

/* Fill in the attributes; false when there is no such inode. */
static bool fuse_tree_stat_locked(const struct fuse_pair *pr, fuse_ino_t ino, struct stat *st)
{
    const struct fuse_fixed *f = fuse_fixed_find(ino);
    unsigned disk;
    enum fuse_kind kind = fuse_tree_kind_locked(pr, ino, &disk);

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

static bool fuse_tree_stat(struct fuse_pair *pr, fuse_ino_t ino, struct stat *st)
{
    bool there;

    pthread_rwlock_rdlock(&pr->pr_tree);
    there = fuse_tree_stat_locked(pr, ino, st);
    pthread_rwlock_unlock(&pr->pr_tree);
    return there;
}

/* What is not there: a name that never was, or a disk that was unplugged. */
static int fuse_tree_absent(const struct fuse_pair *pr, fuse_ino_t ino)
{
    return fuse_tree_was_disk(pr, ino) ? ENXIO : ENOENT;
}

/* "scsi1", "hdisk7" or "rhdisk7" to an inode; 0 when there is none. */
static fuse_ino_t fuse_tree_device_ino(const struct fuse_pair *pr, const char *name)
{
    unsigned raw = name[0] == 'r';

    for (unsigned i = 0; i < scp_nadapters(pr->pr_scp); i++)
        if (strcmp(name, scp_adapter_name(pr->pr_scp, i)) == 0)
            return FUSE_INO_ADAPTERS + i;
    for (unsigned i = 0; i < pr->pr_ndisks; i++)
        if (pr->pr_disks[i].vd_there && strcmp(name + raw, pr->pr_disks[i].vd_name) == 0)
            return fuse_tree_disk_ino(&pr->pr_disks[i], raw);
    return 0;
}

void fuse_tree_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    struct fuse_entry_param e;
    bool there;

    memset(&e, 0, sizeof(e));
    for (size_t i = 1; i < SC_ARRAY_SIZE(fuse_fixed); i++)
        if (fuse_fixed[i].f_parent == parent && strcmp(fuse_fixed[i].f_name, name) == 0)
            e.ino = fuse_fixed[i].f_ino;
    pthread_rwlock_rdlock(&pr->pr_tree);
    if (e.ino == 0 && parent == FUSE_ROOT_ID)
        e.ino = fuse_tree_device_ino(pr, name);
    there = e.ino != 0 && fuse_tree_stat_locked(pr, e.ino, &e.attr);
    pthread_rwlock_unlock(&pr->pr_tree);
    if (!there) {
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
        fuse_reply_err(req, fuse_tree_absent(fuse_pair_of(req), ino));
}

void fuse_tree_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct stat st;

    if (!fuse_tree_stat(fuse_pair_of(req), ino, &st)) {
        fuse_reply_err(req, fuse_tree_absent(fuse_pair_of(req), ino));
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
    struct fuse_pair *pr = fuse_pair_of(req);
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
    pthread_rwlock_rdlock(&pr->pr_tree);
    for (unsigned i = 0; i < 2u * pr->pr_ndisks && ino == FUSE_ROOT_ID; i++) {
        const struct fuse_vdisk *vd = &pr->pr_disks[i / 2u];

        /* A disk that is not there has its place in the list all the same: others must not move up. */
        if (!vd->vd_there) {
            ls.ls_at++;
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s%s", (i & 1u) ? "r" : "", vd->vd_name);
        fuse_listing_add(&ls, fuse_tree_disk_ino(vd, i & 1u), S_IFREG, name);
    }
    pthread_rwlock_unlock(&pr->pr_tree);
    fuse_reply_buf(req, ls.ls_text, ls.ls_used);
    free(ls.ls_text);
}

void fuse_tree_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    struct statvfs vfs;

    (void)ino;
    memset(&vfs, 0, sizeof(vfs));
    vfs.f_bsize = vfs.f_frsize = SC_PAGE_SIZE;
    vfs.f_namemax = 255;
    vfs.f_files = SC_ARRAY_SIZE(fuse_fixed) + scp_nadapters(pr->pr_scp);
    pthread_rwlock_rdlock(&pr->pr_tree);
    for (unsigned i = 0; i < pr->pr_ndisks; i++) {
        if (!pr->pr_disks[i].vd_there)
            continue;
        vfs.f_files += 2;
        vfs.f_blocks += (fsblkcnt_t)(pr->pr_disks[i].vd_bytes / SC_PAGE_SIZE);
    }
    pthread_rwlock_unlock(&pr->pr_tree);
    fuse_reply_statfs(req, &vfs);
}
