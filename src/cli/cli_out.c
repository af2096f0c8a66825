/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_out.c - a file that a command writes: all of it or nothing, and never over something else.
 *
 * It is written under a temporary name beside the one that is meant, and gets that when all of it is on the
 * disk: what was interrupted, by whatever, never looks like a whole one. What is there already is looked at
 * first. A disk of a mount, in whatever way it is named, is somebody's data and no place for a report; so is
 * anything else that is no plain file, where a rename would put a file in the place of a device.
 *
 * Does not contain: what is written (cli_copy.c, cli_trace.c, cli_capture.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include "../fuse/fuse_mounts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ------------------------------------------------------------------ what is there */

/* Which mount of ours has this st_dev? */
struct out_search {
    dev_t s_dev;
    char s_point[SCP_ERROR_MAX]; /* or "" */
};

static bool out_match(const struct fuse_mount *m, void *arg)
{
    struct out_search *s = arg;

    if (strcmp(m->mo_type, FUSE_MOUNT_TYPE) == 0 && makedev(m->mo_major, m->mo_minor) == s->s_dev)
        (void)snprintf(s->s_point, sizeof(s->s_point), "%s", m->mo_point);
    return s->s_point[0] == '\0';
}

/* A name in the folder of `path`, or the folder itself: malloc()ed, or NULL. */
static char *out_beside(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Is it, or would it be, in a mount of ours? Then that is said. */
static int out_in_mount(const char *path, const struct stat *st)
{
    struct out_search s = {.s_point = ""};
    struct stat folder;
    char *beside;

    if (st == NULL) {
        beside = out_beside(path);
        if (beside == NULL)
            return cli_fail(CLI_FAILED, "no memory");
        if (stat(beside, &folder) == 0)
            st = &folder;
        free(beside);
    }
    if (st == NULL)
        return CLI_OK; /* whoever makes the file says why it cannot be made */
    s.s_dev = st->st_dev;
    (void)fuse_mounts_each(out_match, &s);
    if (s.s_point[0] == '\0')
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: is inside the scpair mount %s; name a file outside of it", path,
                    s.s_point);
}

/*
 * A mount holds a lock on its images, and a disk of a mount in another namespace is not in our list of mounts
 * but answers as a disk.
 */
static int out_in_use(const char *path)
{
    struct cli_end end;
    int rc = cli_end_open(&end, path, CLI_END_WRITE);

    if (rc != CLI_OK)
        return rc;
    if (end.e_device)
        rc = cli_fail(CLI_USAGE, "%s: a disk; name a file", path);
    else if (flock(end.e_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        rc = cli_fail(CLI_FAILED,
                      "%s: in use by another process, perhaps as a disk of a mount; name another file", path);
    cli_end_close(&end);
    return rc;
}

static int out_look(struct cli_out *o)
{
    struct stat st;
    int rc;

    if (o->o_path[0] == '\0')
        return cli_fail(CLI_USAGE, "\"\": an empty name; name the file to write");
    o->o_existed = stat(o->o_path, &o->o_old) == 0;
    rc = out_in_mount(o->o_path, o->o_existed ? &o->o_old : NULL);
    if (rc != CLI_OK)
        return rc;
    if (!o->o_existed) {
        if (lstat(o->o_path, &st) == 0)
            return cli_fail(CLI_USAGE, "%s: a link to nothing; remove it or name its target", o->o_path);
        o->o_final = strdup(o->o_path);
        return o->o_final != NULL ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
    }
    if (!S_ISREG(o->o_old.st_mode))
        return cli_fail(CLI_USAGE, "%s: %s, which is not written over; name a file", o->o_path,
                        S_ISDIR(o->o_old.st_mode) ? "a directory" : "not a plain file");
    rc = out_in_use(o->o_path);
    if (rc != CLI_OK)
        return rc;
    /* A link stays, and its target is replaced. */
    o->o_final = realpath(o->o_path, NULL);
    return o->o_final != NULL ? CLI_OK : cli_fail(CLI_FAILED, "%s: %s", o->o_path, strerror(errno));
}

/* ------------------------------------------------------------------ the file */

int cli_out_open(struct cli_out *o, const char *path)
{
    size_t bytes;
    int rc;

    *o = (struct cli_out){.o_path = path, .o_fd = -1};
    rc = out_look(o);
    if (rc != CLI_OK)
        return rc;
    bytes = strlen(o->o_final) + sizeof(".part-XXXXXX");
    o->o_temp = malloc(bytes);
    if (o->o_temp == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    (void)snprintf(o->o_temp, bytes, "%s.part-XXXXXX", o->o_final);
    o->o_fd = mkostemp(o->o_temp, O_CLOEXEC);
    if (o->o_fd >= 0)
        return CLI_OK;
    rc = cli_fail(errno == ENOENT || errno == ENOTDIR || errno == EACCES ? CLI_USAGE : CLI_FAILED,
                  "%s: cannot make a file beside it: %s%s", path, strerror(errno),
                  errno == ENOENT   ? "; make the folder first"
                  : errno == EACCES ? "; choose a folder that you may write to"
                                    : "");
    free(o->o_temp);
    o->o_temp = NULL;
    return rc;
}

const char *cli_out_left(const struct cli_out *o)
{
    return o->o_existed ? "it is as it was" : "it was not made";
}

/* Onto the disk and under its own name. 0 or an errno. */
static int out_finish(struct cli_out *o)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    /* Whose it was; only root can give it back to somebody else. */
    if (o->o_existed && fchown(o->o_fd, o->o_old.st_uid, o->o_old.st_gid) < 0)
        o->o_old.st_mode &= 0777u;
    if (fchmod(o->o_fd, o->o_existed ? o->o_old.st_mode & 07777u : 0666u & ~mask) < 0 || fsync(o->o_fd) < 0 ||
        rename(o->o_temp, o->o_final) < 0)
        return errno;
    return 0;
}

int cli_out_close(struct cli_out *o, int rc)
{
    const bool begun = o->o_fd >= 0;
    int error = begun && rc == CLI_OK ? out_finish(o) : 0;
    char *folder = NULL;
    int fd;

    if (error != 0)
        rc = cli_fail(CLI_FAILED, "%s: %s; %s", o->o_path, strerror(error), cli_out_left(o));
    if (begun && rc != CLI_OK)
        (void)unlink(o->o_temp);
    if (begun)
        (void)close(o->o_fd);
    /* The new name has to survive a crash, too. */
    if (begun && rc == CLI_OK)
        folder = out_beside(o->o_final);
    fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(folder);
    free(o->o_temp);
    free(o->o_final);
    *o = (struct cli_out){.o_fd = -1};
    return rc;
}
