/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_unmounter.c - a server's own mount: telling it from others, and taking it down without
 * keeping the power to.
 *
 * Own is what has our device number at our path. umount2(2) takes whatever is on top there, so a
 * file system that somebody mounted over ours would go in its place; hence the look before. There
 * is no call that unmounts by descriptor, so a mount made in the microseconds between would be hit.
 *
 * Unmounting takes CAP_SYS_ADMIN, which is nearly everything root has. A server of root's gives all
 * its capabilities up once it is mounted; a process of a few pages, forked before there was anything
 * else, keeps that one. The first message names the mount; from then on it knows two commands for it
 * and ends with the socket. An ordinary user's server has fusermount3 for this, and no such process.
 *
 * Does not contain: when to unmount (fuse_stop.c), how (fuse_umount.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNMOUNTER_UNMOUNT 'u'
#define UNMOUNTER_DETACH  'd'

/* The first message. */
struct unmounter_place {
    unsigned up_major, up_minor;
    char up_point[PATH_MAX];
};

/* The answer to a command. */
struct unmounter_answer {
    int ua_error;
    char ua_why[256];
};

/* ------------------------------------------------------------------ capabilities */

/* Keep what is in `keep` (bits of the first 32 capabilities) and never get more. 0 or an errno. */
static int fuse_priv_keep(uint32_t keep)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (cap >= 32 || (keep & (1u << cap)) == 0)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* EINVAL: a kernel that does not have it */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errno;
    data[0].effective = data[0].permitted = keep;
    return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

int fuse_priv_drop(void) { return fuse_priv_keep(0); }

/* ------------------------------------------------------------------ is it ours */

/* The device number at a path, without asking the file system there anything. */
static int own_look(const char *point, unsigned *dev_major, unsigned *dev_minor)
{
    struct statx stx;

    if (statx(AT_FDCWD, point, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stx) != 0)
        return errno;
    *dev_major = stx.stx_dev_major;
    *dev_minor = stx.stx_dev_minor;
    return 0;
}

/* Unmount it if it is on top. 0, EBUSY while in use, EXDEV when something else is there, ... */
static int own_unmount(const char *point, unsigned dev_major, unsigned dev_minor, bool detach, char *err,
                       size_t size)
{
    unsigned at_major = 0, at_minor = 0;
    int error = own_look(point, &at_major, &at_minor);

    if (error != 0) {
        (void)snprintf(err, size, "%s", strerror(error));
        return error;
    }
    if (at_major != dev_major || at_minor != dev_minor) {
        (void)snprintf(err, size, "something else is mounted there; unmount that first");
        return EXDEV;
    }
    return fuse_serve_unmount(point, detach, err, size);
}

/* ------------------------------------------------------------------ the process */

/* Its life. `s` is its end of the socket; every other descriptor is closed. */
static void unmounter_main(int s)
{
    struct unmounter_place place;
    struct unmounter_answer answer;
    char command;
    int null;

    (void)prctl(PR_SET_NAME, "scpair-umount", 0, 0, 0);
    (void)chdir("/");
    /* The caller may wait for the end of what these are connected to. */
    null = open("/dev/null", O_RDWR);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
        (void)dup2(null, fd);
    if (s > 3)
        (void)close_range(3, (unsigned)s - 1, 0);
    (void)close_range((unsigned)s + 1, UINT_MAX, 0);
    /* The path may lead through directories that let root in only because he is root. */
    if (fuse_priv_keep(1u << CAP_SYS_ADMIN | 1u << CAP_DAC_READ_SEARCH) != 0)
        return;
    if (recv(s, &place, sizeof(place), 0) != (ssize_t)sizeof(place))
        return;
    place.up_point[sizeof(place.up_point) - 1] = '\0';
    while (recv(s, &command, 1, 0) == 1) {
        memset(&answer, 0, sizeof(answer));
        answer.ua_error = own_unmount(place.up_point, place.up_major, place.up_minor,
                                      command == UNMOUNTER_DETACH, answer.ua_why, sizeof(answer.ua_why));
        if (send(s, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer))
            return;
    }
}

/* Ours among the children of this process, which may have had others before it became a server. */
static pid_t unmounter_pid;

int fuse_unmounter_start(void)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        unmounter_main(pair[1]);
        _exit(0);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return -1;
    }
    unmounter_pid = pid;
    return pair[0];
}

void fuse_unmounter_end(int unmounter)
{
    if (unmounter < 0)
        return;
    (void)close(unmounter);
    while (waitpid(unmounter_pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* ------------------------------------------------------------------ the server's side */

int fuse_own_learn(struct fuse_own *ow, const char *point, int unmounter)
{
    struct unmounter_place place = {0};
    int error;

    ow->ow_point = point;
    ow->ow_unmounter = unmounter;
    error = own_look(point, &ow->ow_major, &ow->ow_minor);
    if (error != 0 || unmounter < 0)
        return error;
    place.up_major = ow->ow_major;
    place.up_minor = ow->ow_minor;
    if (strlen(point) >= sizeof(place.up_point))
        return ENAMETOOLONG;
    (void)stpcpy(place.up_point, point);
    return send(unmounter, &place, sizeof(place), MSG_NOSIGNAL) == (ssize_t)sizeof(place) ? 0 : errno;
}

int fuse_own_unmount(const struct fuse_own *ow, bool detach, char *err, size_t size)
{
    struct unmounter_answer answer;
    char command = detach ? UNMOUNTER_DETACH : UNMOUNTER_UNMOUNT;

    if (ow->ow_unmounter < 0)
        return own_unmount(ow->ow_point, ow->ow_major, ow->ow_minor, detach, err, size);
    if (send(ow->ow_unmounter, &command, 1, MSG_NOSIGNAL) != 1 ||
        recv(ow->ow_unmounter, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer)) {
        (void)snprintf(err, size, "the process that unmounts is gone; run scpair umount %s", ow->ow_point);
        return ESRCH;
    }
    answer.ua_why[sizeof(answer.ua_why) - 1] = '\0';
    (void)snprintf(err, size, "%s", answer.ua_why);
    return answer.ua_error;
}
