/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_umount.c - scpair umount: unmount, then wait until the server has flushed and ended.
 *
 * The wait is on a pidfd, taken before the unmount, so that a process id used again by somebody
 * else is never waited for.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

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

/* A descriptor for the mount's server, or -1 when there is none to wait for. */
static int umount_server(const char *point)
{
    int rc;
    char *text = cli_ctl_read(point, "pid", &rc);
    long pid = text != NULL ? strtol(text, NULL, 10) : 0;

    free(text);
    return pid > 0 ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
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

/* Is there a mount of ours, alive or dead? Says what is wrong otherwise. */
static int umount_check(const char *point, bool *dead)
{
    char path[4096];
    struct stat st;

    *dead = stat(point, &st) < 0 && errno == ENOTCONN;
    if (*dead)
        return CLI_OK;
    if (stat(point, &st) < 0)
        return cli_fail(CLI_USAGE, "%s: %s; give the directory scpair mount was given", point,
                        strerror(errno));
    (void)snprintf(path, sizeof(path), "%s/.scpair/pid", point);
    /* The kernel may still know the directory itself when the server is dead. */
    if (stat(path, &st) < 0 && errno == ENOTCONN)
        *dead = true;
    else if (stat(path, &st) < 0)
        return cli_fail(CLI_USAGE, "%s: not an scpair mount; nothing to unmount", point);
    return CLI_OK;
}

static int umount_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{"timeout", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    uint64_t seconds = UMOUNT_WAIT_S;
    const char *given;
    bool dead;
    char *point;
    int c, rc, server, error;

    while ((c = cli_getopt(cmd, argc, argv, ":t:", longs)) != -1) {
        if (c != 't')
            return cli_getopt_rc(c);
        if (!cli_size("--timeout", optarg, 1, UMOUNT_WAIT_S_MAX, &seconds))
            return CLI_USAGE;
    }
    if (!cli_arguments(cmd, argc, 1))
        return CLI_USAGE;
    given = argv[optind];
    rc = umount_check(given, &dead);
    if (rc != CLI_OK)
        return rc;
    /* A dead mount cannot be resolved through; it is named as it was given. */
    point = dead ? strdup(given) : realpath(given, NULL);
    if (point == NULL)
        return cli_fail(CLI_FAILED, "%s: %s", given, strerror(errno));
    server = dead ? -1 : umount_server(point);
    error = fuse_serve_unmount(point);
    if (error == EBUSY)
        rc = cli_fail(CLI_FAILED, "%s: busy; close its files (fuser -vm %s) and unmount what is on its disks",
                      given, given);
    else if (error != 0)
        rc =
            cli_fail(CLI_FAILED, "%s: cannot unmount: %s", given,
                     error == ENOENT ? "fusermount3 is missing; install the package fuse3" : strerror(error));
    else if (server >= 0)
        rc = umount_wait(given, server, seconds);
    if (server >= 0)
        (void)close(server);
    free(point);
    return rc;
}

const struct cli_command cli_umount = {
    "umount",
    "[--timeout SECONDS] MOUNTPOINT",
    "unmount, and wait until everything is flushed and the server is gone",
    "  -t, --timeout SECONDS   how long to wait for the server to end (60)\n\n"
    "Fails, and changes nothing, while files of the mount are open. A mount whose server was\n"
    "killed is cleaned up, too.\n\n"
    "Example:\n"
    "  scpair umount mnt && cp disk.img backup.img\n",
    umount_run,
};
