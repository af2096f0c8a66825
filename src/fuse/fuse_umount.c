/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_umount.c - unmounting: umount2(2) where that is allowed, otherwise fusermount3, and why it
 * did not work.
 *
 * Does not contain: when a server unmounts (fuse_serve.c), waiting for one to end (cli/cli_umount.c).
 */
#define _GNU_SOURCE
#include "fuse_serve.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run it with its stderr in `said`. Its wait status, or -1 with errno. */
static int umount_spawn(char **argv, int said)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status, error;

    if (posix_spawn_file_actions_init(&actions) != 0) {
        errno = ENOMEM;
        return -1;
    }
    error = posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
    if (error == 0)
        error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        errno = error;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* fusermount3 -u. What it says is put into err; its text is the only thing that tells busy from the rest. */
static int umount_fusermount(const char *mountpoint, bool detach, char *err, size_t size)
{
    char *argv[] = {(char *)(uintptr_t) "fusermount3", (char *)(uintptr_t)(detach ? "-uz" : "-u"),
                    (char *)(uintptr_t) "--", (char *)(uintptr_t)mountpoint, NULL};
    int said = memfd_create("fusermount3", MFD_CLOEXEC);
    int status;
    ssize_t n;

    if (said < 0) {
        (void)snprintf(err, size, "%s", strerror(errno));
        return ENOMEM;
    }
    status = umount_spawn(argv, said);
    n = pread(said, err, size - 1, 0);
    err[n > 0 ? n : 0] = '\0';
    err[strcspn(err, "\n")] = '\0';
    (void)close(said);
    if (status < 0) {
        (void)snprintf(err, size, "fusermount3 is missing; install the package fuse3");
        return ENOENT;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return strstr(err, strerrordesc_np(EBUSY)) != NULL ? EBUSY : EPERM;
}

int fuse_serve_unmount(const char *mountpoint, bool detach, char *err, size_t size)
{
    int error = umount2(mountpoint, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) == 0 ? 0 : errno;

    if (error == EPERM)
        return umount_fusermount(mountpoint, detach, err, size);
    if (error != 0)
        (void)snprintf(err, size, "%s", strerror(error));
    return error;
}
