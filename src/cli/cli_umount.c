/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_umount.c - scpair umount: unmount, then wait until the server has flushed and ended.
 *
 * The wait is on a pidfd, taken before the unmount, so that a process id used again by somebody
 * else is never waited for.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include "../fuse/fuse_mounts.h"
#include "../fuse/fuse_serve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UMOUNT_WAIT_S     60u
#define UMOUNT_WAIT_S_MAX 86400u

/* What is to be unmounted. */
struct umount_target {
    const char *u_given; /* as the user wrote it, for messages */
    char u_point[4096];  /* absolute, no links */
    unsigned u_major, u_minor;
    bool u_ours;
    long u_user; /* who mounted it */
};

static bool umount_look(const struct fuse_mount *m, void *arg)
{
    struct umount_target *u = arg;

    if (m->mo_major == u->u_major && m->mo_minor == u->u_minor && strcmp(m->mo_point, u->u_point) == 0) {
        u->u_ours = strcmp(m->mo_type, FUSE_MOUNT_TYPE) == 0;
        u->u_user = m->mo_user;
    }
    return true;
}

/*
 * Find the mount. O_PATH and an empty request to statx(2) ask the mount nothing, so this also works
 * on a dead one, through links, and on somebody else's. CLI_OK or an exit code after saying why.
 */
static int umount_find(struct umount_target *u)
{
    char name[64];
    struct statx stx;
    ssize_t n = -1;
    int fd = open(u->u_given, O_PATH | O_CLOEXEC);

    if (fd >= 0) {
        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        n = readlink(name, u->u_point, sizeof(u->u_point) - 1);
        if (n >= 0 && statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stx) < 0)
            n = -1;
    }
    if (n < 0) {
        int rc = cli_fail(CLI_USAGE, "%s: %s; give the directory scpair mount was given", u->u_given,
                          strerror(errno));

        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    (void)close(fd);
    u->u_point[n] = '\0';
    u->u_major = stx.stx_dev_major;
    u->u_minor = stx.stx_dev_minor;
    n = fuse_mounts_each(umount_look, u);
    if (n != 0)
        return cli_fail(CLI_FAILED, "/proc/self/mountinfo: %s", strerror((int)n));
    if (!u->u_ours)
        return cli_fail(CLI_USAGE, "%s: not an scpair mount; nothing to unmount", u->u_given);
    if (geteuid() != 0 && u->u_user >= 0 && (uid_t)u->u_user != getuid())
        return cli_fail(CLI_FAILED, "%s: mounted by user %ld; be that user or root to unmount it", u->u_given,
                        u->u_user);
    return CLI_OK;
}

/* A descriptor for the mount's server, or -1 when there is none to wait for: dead, or not for us to read. */
static int umount_server(const struct umount_target *u)
{
    char path[sizeof(u->u_point) + 16];
    char text[32];
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/.scpair/pid", u->u_point);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    return (int)syscall(SYS_pidfd_open, (pid_t)strtol(text, NULL, 10), 0);
}

static int umount_wait(const char *point, int server, uint64_t seconds)
{
    struct pollfd pfd = {.fd = server, .events = POLLIN};
    int n;

    do
        n = poll(&pfd, 1, (int)(seconds * 1000u));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return cli_fail(
            CLI_FAILED,
            "%s: unmounted, but its server still runs after %llu s; wait with --timeout, or kill it", point,
            (unsigned long long)seconds);
    return CLI_OK;
}

static int umount_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{"timeout", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    struct umount_target u = {.u_user = -1};
    uint64_t seconds = UMOUNT_WAIT_S;
    char why[SCP_ERROR_MAX];
    int c, rc, server, error;

    while ((c = cli_getopt(cmd, argc, argv, ":t:", longs)) != -1) {
        if (c != 't')
            return cli_getopt_rc(c);
        if (!cli_number("--timeout", optarg, 1, UMOUNT_WAIT_S_MAX, &seconds))
            return CLI_USAGE;
    }
    if (!cli_arguments(cmd, argc, argv, "MOUNTPOINT"))
        return CLI_USAGE;
    u.u_given = argv[optind];
    rc = umount_find(&u);
    if (rc != CLI_OK)
        return rc;
    server = umount_server(&u);
    error = fuse_serve_unmount(u.u_point, false, why, sizeof(why));
    if (error == EBUSY)
        rc = cli_fail(CLI_FAILED, "%s: busy; close its files (fuser -vm %s) and unmount what is on its disks",
                      u.u_given, u.u_given);
    else if (error != 0)
        rc = cli_fail(CLI_FAILED, "%s: cannot unmount: %s", u.u_given, why);
    else if (server >= 0)
        rc = umount_wait(u.u_given, server, seconds);
    if (server >= 0)
        (void)close(server);
    return rc;
}

const struct cli_command cli_umount = {
    "umount",
    "[--timeout SECONDS] MOUNTPOINT",
    "unmount, and wait until everything is flushed and the server is gone",
    "  -t, --timeout SECONDS   how long to wait for the server to end, 1 to 86400 (60)\n\n"
    "Fails, and changes nothing, while files of the mount are open. A mount whose server was\n"
    "killed is cleaned up, too.\n\n"
    "Example:\n"
    "  scpair umount mnt && cp disk.img backup.img\n",
    umount_run,
};
