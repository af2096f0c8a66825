/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_plug.c - .scpair/plug: a mount gains and loses disks.
 *
 *   write: "plug scsi0 IMAGE[,OPTION]..." or "unplug hdisk3"; read: what became of it, JSON
 *
 * A write is carried out by a thread of its own, which answers it: unplugging waits for what is under way,
 * and telling the kernel waits for pages that it writes back first, through the workers. None of them may be
 * the one who waits.
 *
 * Names vanish before the disk does: vd_there and vd_gen change under pr_tree, which whoever looks at names
 * holds for reading. An inode number has the generation of its slot in it, so what the kernel still remembers
 * of a disk that has gone never means the next one. Whoever opens looks twice, before and after: in between
 * the number may have got another disk. Handles stay until their owners close them; the last one's release
 * gives the slot back (scp_reap).
 *
 * Who may: root, and whoever mounted. The server opens the image with its own rights, so the mode of the file
 * is not enough: with --uid= it may be somebody else's.
 *
 * Does not contain: what a disk's options mean (scp/scp_parse.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PLUG_TEXT_MAX 8192u /* a path may have 4096 bytes, and commas in it are doubled */

/* A write under way. */
struct fuse_plug_job {
    struct fuse_pair *j_pair;
    fuse_req_t j_req;
    struct fuse_handle *j_handle;
    size_t j_bytes; /* of the write */
    char j_text[PLUG_TEXT_MAX];
};

/* ------------------------------------------------------------------ plug */

/*
 * A disk of this very mount is no image for it: the server would keep its own mount in use, which then cannot
 * be unmounted, and would wait for itself.
 */
static int plug_image_check(const struct fuse_pair *pr, const struct scp_disk_spec *d, char *err, size_t size)
{
    struct stat st;

    if (d->medium != SCP_MEDIUM_FILE || stat(d->path, &st) < 0 || st.st_dev != pr->pr_dev)
        return 0; /* what is not there is told by who opens it */
    (void)snprintf(err, size, "%s: is in this very mount; give an image outside of it", d->path);
    return EINVAL;
}

static int plug_in(struct fuse_pair *pr, char *text, json_t *out, char *err, size_t size)
{
    char *spec = text;
    const char *name = strsep(&spec, " ");
    struct scp_disk_spec d;
    unsigned adapter = 0, disk;
    int error;

    if (spec == NULL)
        return EINVAL;
    while (adapter < scp_nadapters(pr->pr_scp) && strcmp(name, scp_adapter_name(pr->pr_scp, adapter)) != 0)
        adapter++;
    if (adapter == scp_nadapters(pr->pr_scp)) {
        (void)snprintf(err, size, "\"%s\": no such adapter; there is %s%s%s", name,
                       scp_adapter_name(pr->pr_scp, 0), adapter > 1 ? " to " : " only",
                       adapter > 1 ? scp_adapter_name(pr->pr_scp, adapter - 1) : "");
        return ENOENT;
    }
    error = scp_disk_parse(spec, &d, err, size);
    if (error == 0)
        error = plug_image_check(pr, &d, err, size);
    if (error == 0)
        error = scp_plug(pr->pr_scp, adapter, &d, &disk, err, size);
    if (error != 0)
        return error;
    error = fuse_disk_probe(pr, disk, err, size);
    if (error != 0) {
        (void)scp_unplug(pr->pr_scp, disk, NULL, 0);
        return error;
    }
    json_object_set_new(out, "name", json_string(pr->pr_disks[disk].vd_name));
    json_object_set_new(out, "adapter", json_string(name));
    return 0;
}

/* ------------------------------------------------------------------ unplug */

static unsigned plug_handles(struct fuse_pair *pr, const struct fuse_vdisk *vd)
{
    unsigned n = 0;

    pthread_mutex_lock(&pr->pr_mutex);
    for (const struct fuse_handle *h = pr->pr_handles; h != NULL; h = h->h_next)
        n += h->h_disk == vd;
    pthread_mutex_unlock(&pr->pr_mutex);
    return n;
}

/* The kernel forgets names, attributes and pages. What it does not know it need not forget. */
static void plug_tell(struct fuse_session *se, const char *disk, fuse_ino_t ino)
{
    char name[2][SCP_NAME_BYTES + 1];

    (void)snprintf(name[0], sizeof(name[0]), "%s", disk);
    (void)snprintf(name[1], sizeof(name[1]), "r%s", disk);
    for (unsigned i = 0; i < 2 && se != NULL; i++) {
        (void)fuse_lowlevel_notify_delete(se, FUSE_ROOT_ID, ino + i, name[i], strlen(name[i]));
        (void)fuse_lowlevel_notify_inval_inode(se, ino + i, 0, 0);
    }
}

static int plug_out(struct fuse_pair *pr, const char *name, json_t *out, char *err, size_t size)
{
    struct fuse_vdisk *vd = NULL;
    unsigned disk = 0, open;
    fuse_ino_t ino = 0;
    int error;

    pthread_rwlock_wrlock(&pr->pr_tree);
    while (disk < pr->pr_ndisks &&
           !(pr->pr_disks[disk].vd_there && strcmp(pr->pr_disks[disk].vd_name, name) == 0))
        disk++;
    if (disk < pr->pr_ndisks) {
        vd = &pr->pr_disks[disk];
        ino = fuse_tree_disk_ino(vd, false);
        vd->vd_there = false;
        atomic_fetch_add(&vd->vd_gen, 1);
    }
    pthread_rwlock_unlock(&pr->pr_tree);
    if (vd == NULL) {
        (void)snprintf(err, size, "\"%s\": no such disk; scpair info lists those there are", name);
        return ENOENT;
    }
    open = plug_handles(pr, vd);
    error = scp_unplug(pr->pr_scp, disk, err, size);
    plug_tell(pr->pr_session, name, ino);
    json_object_set_new(out, "name", json_string(name));
    json_object_set_new(out, "open", json_integer(open));
    return error;
}

/* ------------------------------------------------------------------ a write */

/* What a reader of this handle sees from now on. */
static void plug_result(struct fuse_pair *pr, struct fuse_handle *h, json_t *out)
{
    char *text = json_dumps(out, JSON_COMPACT), *old;

    if (text == NULL)
        return;
    pthread_mutex_lock(&pr->pr_mutex);
    old = h->h_text;
    h->h_text = text;
    h->h_text_bytes = strlen(text);
    pthread_mutex_unlock(&pr->pr_mutex);
    free(old);
}

static int plug_run(struct fuse_pair *pr, char *text, json_t *out, char *err, size_t size)
{
    text[strcspn(text, "\n")] = '\0';
    if (strncmp(text, "plug ", 5) == 0 && strchr(text + 5, ' ') != NULL)
        return plug_in(pr, text + 5, out, err, size);
    if (strncmp(text, "unplug ", 7) == 0)
        return plug_out(pr, text + 7, out, err, size);
    (void)snprintf(err, size, "wanted: \"plug ADAPTER IMAGE[,OPTION]...\" or \"unplug DISK\"");
    return EINVAL;
}

static void *plug_main(void *arg)
{
    struct fuse_plug_job *j = arg;
    struct fuse_pair *pr = j->j_pair;
    struct fuse_handle *h = j->j_handle;
    char err[SCP_ERROR_MAX] = "";
    json_t *out = json_object(), *why;
    int error = plug_run(pr, j->j_text, out, err, sizeof(err));

    if (error != 0) {
        why = json_string(err);
        json_object_set_new(out, "error", why != NULL ? why : json_string("(not UTF-8)"));
    }
    plug_result(pr, h, out);
    json_decref(out);
    pthread_mutex_lock(&pr->pr_mutex);
    h->h_jobs--; /* its owner may close it as soon as he has his answer */
    pthread_mutex_unlock(&pr->pr_mutex);
    if (error != 0)
        fuse_fail(j->j_req, error);
    else
        fuse_reply_write(j->j_req, j->j_bytes);
    free(j);
    pthread_mutex_lock(&pr->pr_mutex);
    if (--pr->pr_plugs == 0)
        pthread_cond_broadcast(&pr->pr_plugs_over);
    pthread_mutex_unlock(&pr->pr_mutex);
    return NULL;
}

/*
 * Opening an image takes as long as whoever has it wants: a file on a network, or on another mount whose
 * server hangs. A thread that waits there cannot be got back.
 */
int fuse_plug_wait(struct fuse_pair *pr, char *err, size_t size)
{
    const unsigned seconds = pr->pr_cfg->stop_seconds > 0 ? pr->pr_cfg->stop_seconds : 1u;
    struct timespec until;
    unsigned left;
    int error = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds;
    pthread_mutex_lock(&pr->pr_mutex);
    while (pr->pr_plugs != 0 && error == 0)
        error = pthread_cond_timedwait(&pr->pr_plugs_over, &pr->pr_mutex, &until);
    left = pr->pr_plugs;
    pthread_mutex_unlock(&pr->pr_mutex);
    if (left == 0)
        return 0;
    (void)snprintf(
        err, size,
        "%s: %u plug or unplug under way %s not ended within %u s, perhaps because an image does not "
        "answer; the server ends without",
        pr->pr_cfg->mountpoint, left, left == 1 ? "has" : "have", seconds);
    return EINPROGRESS;
}

/* Context: process (a libfuse worker). The answer comes from another thread. */
void fuse_plug_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    uid_t uid = fuse_req_ctx(req)->uid;
    struct fuse_plug_job *j;
    pthread_t id;
    int error;

    if (uid != 0 && uid != getuid()) {
        fuse_reply_err(req, EPERM);
        return;
    }
    if (atomic_load(&pr->pr_stopping) || size >= PLUG_TEXT_MAX) {
        fuse_reply_err(req, size >= PLUG_TEXT_MAX ? E2BIG : ESHUTDOWN);
        return;
    }
    j = calloc(1, sizeof(*j));
    if (j == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    *j = (struct fuse_plug_job){.j_pair = pr, .j_req = req, .j_handle = h, .j_bytes = size};
    memcpy(j->j_text, data, size);
    pthread_mutex_lock(&pr->pr_mutex);
    pr->pr_plugs++;
    h->h_jobs++;
    pthread_mutex_unlock(&pr->pr_mutex);
    error = pthread_create(&id, NULL, plug_main, j);
    if (error == 0) {
        (void)pthread_detach(id);
        return;
    }
    pthread_mutex_lock(&pr->pr_mutex);
    pr->pr_plugs--;
    h->h_jobs--;
    pthread_mutex_unlock(&pr->pr_mutex);
    free(j);
    fuse_reply_err(req, error);
}
