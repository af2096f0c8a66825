/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_ctl.c - reads and writes the .scpair files of a mount, and explains when there are none.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CTL_GROW    65536u
#define CTL_GONE_NS 2000000000u /* how long a mount that answers no more may take to go */
#define CTL_LOOK_NS 20000000u

/* MOUNT/.scpair/NAME into path. False when that is too long. */
static bool ctl_path(char *path, size_t size, const char *mount, const char *name)
{
    return (size_t)snprintf(path, size, "%s/.scpair/%s", mount, name) < size;
}

/* Say why a file of .scpair did not open or read; returns the exit code. */
static int ctl_explain(const char *mount, const char *name, int error)
{
    struct stat st;

    if (error == ENAMETOOLONG)
        return cli_fail(CLI_USAGE, "%.64s...: the path is too long", mount);
    if (error == ENOTCONN || error == ECONNABORTED)
        return cli_fail(CLI_FAILED, "%s: its server is gone; run scpair umount %s", mount, mount);
    if (error == EACCES || error == EPERM)
        return cli_fail(CLI_FAILED, "%s: not allowed; be root or the user who mounted it", mount);
    if (stat(mount, &st) < 0)
        return cli_fail(CLI_USAGE, "%s: %s; give the directory scpair mount was given", mount,
                        strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return cli_fail(CLI_USAGE, "%s: not a directory; give the one scpair mount was given", mount);
    if (error == ENOENT || error == ENOTDIR)
        return cli_fail(CLI_USAGE, "%s: not an scpair mount; make one with scpair mount --disk FILE %s",
                        mount, mount);
    return cli_fail(CLI_FAILED, "%s/.scpair/%s: %s", mount, name, strerror(error));
}

int cli_ctl_open(const char *mount, const char *name, int flags, int *rc)
{
    char path[4096];
    int fd = -1;
    int error = ENAMETOOLONG;

    if (ctl_path(path, sizeof(path), mount, name)) {
        fd = open(path, flags | O_CLOEXEC);
        error = errno;
    }
    if (fd < 0)
        *rc = ctl_explain(mount, name, error);
    return fd;
}

/* All of an open file, malloc()ed. 0 or an errno. */
static int ctl_read_all(int fd, char **out)
{
    size_t used = 0, size = 0;
    char *text = NULL, *more;
    ssize_t n = 1;

    while (n > 0) {
        if (size - used < CTL_GROW) {
            more = realloc(text, size + CTL_GROW + 1);
            if (more == NULL) {
                free(text);
                return ENOMEM;
            }
            text = more;
            size += CTL_GROW;
        }
        n = read(fd, text + used, size - used);
        if (n > 0)
            used += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (n < 0) {
        free(text);
        return errno;
    }
    text[used] = '\0';
    *out = text;
    return 0;
}

/* The same of a file of .scpair. */
static int ctl_read(const char *mount, const char *name, char **out)
{
    char path[4096];
    int fd, error;

    if (!ctl_path(path, sizeof(path), mount, name))
        return ENAMETOOLONG;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    error = ctl_read_all(fd, out);
    (void)close(fd);
    return error;
}

char *cli_ctl_read(const char *mount, const char *name, int *rc)
{
    char *text = NULL;
    int error = ctl_read(mount, name, &text);

    if (error != 0)
        *rc = ctl_explain(mount, name, error);
    return text;
}

/* Is no mount of ours there (any more)? A directory with a dead server behind it still is one. */
static bool ctl_is_gone(const char *mount)
{
    char path[4096];
    struct stat st;

    return ctl_path(path, sizeof(path), mount, "pid") && stat(path, &st) < 0 &&
           (errno == ENOENT || errno == ENOTDIR);
}

char *cli_ctl_again(const char *mount, const char *name, int *rc)
{
    char *text = NULL;
    int error = ctl_read(mount, name, &text);

    /* Something other than text: it may be on its way out. */
    for (uint64_t began = cli_now_ns(); error != 0 && !ctl_is_gone(mount); cli_sleep_ns(CTL_LOOK_NS)) {
        if (cli_now_ns() - began > CTL_GONE_NS) {
            *rc = ctl_explain(mount, name, error);
            return NULL;
        }
    }
    *rc = CLI_OK;
    return text;
}

json_t *cli_ctl_json(const char *mount, const char *name, int *rc)
{
    char *text = cli_ctl_read(mount, name, rc);
    json_error_t error;
    json_t *value;

    if (text == NULL)
        return NULL;
    value = json_loads(text, 0, &error);
    free(text);
    if (value == NULL)
        *rc = cli_fail(CLI_FAILED, "%s/.scpair/%s: not JSON (%s); is it an scpair of another version?", mount,
                       name, error.text);
    return value;
}

int cli_ctl_try(const char *mount, const char *name, json_t **out)
{
    char *text = NULL;
    int error = ctl_read(mount, name, &text);

    *out = error == 0 ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return error == 0 && *out == NULL ? EPROTO : error;
}

int cli_ctl_inject(const struct cli_command *cmd, const char *mount, const char *rule)
{
    int rc = CLI_OK;
    int fd = cli_ctl_open(mount, "inject", O_WRONLY, &rc);
    json_t *state;
    ssize_t n;
    int error;

    if (fd < 0)
        return rc;
    n = write(fd, rule, strlen(rule));
    error = errno;
    (void)close(fd);
    if (n >= 0)
        return CLI_OK;
    if (error != EINVAL)
        return cli_fail(CLI_FAILED, "%s: %s", mount, strerror(error));
    state = cli_ctl_json(mount, "inject", &rc);
    if (state == NULL)
        return rc;
    rc = cli_fail(CLI_USAGE, "%s: %s", cmd->c_name, json_string_value(json_object_get(state, "last_error")));
    json_decref(state);
    return rc;
}
