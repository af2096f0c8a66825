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

#define CTL_GROW 65536u

int cli_ctl_open(const char *mount, const char *name, int flags, int *rc)
{
    char path[4096];
    struct stat st;
    int fd;

    if ((size_t)snprintf(path, sizeof(path), "%s/.scpair/%s", mount, name) >= sizeof(path)) {
        *rc = cli_fail(CLI_USAGE, "%.64s...: the path is too long", mount);
        return -1;
    }
    fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOTCONN)
        *rc = cli_fail(CLI_FAILED, "%s: its server is gone; run scpair umount %s", mount, mount);
    else if (errno == EACCES || errno == EPERM)
        *rc = cli_fail(CLI_FAILED, "%s: not allowed; be root or the user who mounted it", mount);
    else if (stat(mount, &st) < 0)
        *rc =
            cli_fail(CLI_USAGE, "%s: %s; give the directory scpair mount was given", mount, strerror(errno));
    else
        *rc = cli_fail(CLI_USAGE, "%s: not an scpair mount; make one with scpair mount --disk FILE %s", mount,
                       mount);
    return -1;
}

char *cli_ctl_read(const char *mount, const char *name, int *rc)
{
    int fd = cli_ctl_open(mount, name, O_RDONLY, rc);
    size_t used = 0, size = 0;
    char *text = NULL, *more;
    ssize_t n = 1;

    if (fd < 0)
        return NULL;
    while (n > 0) {
        if (size - used < CTL_GROW) {
            more = realloc(text, size + CTL_GROW + 1);
            if (more == NULL)
                break;
            text = more;
            size += CTL_GROW;
        }
        n = read(fd, text + used, size - used);
        if (n > 0)
            used += (size_t)n;
    }
    (void)close(fd);
    if (n != 0) {
        *rc = cli_fail(CLI_FAILED, "%s/.scpair/%s: %s", mount, name, strerror(n < 0 ? errno : ENOMEM));
        free(text);
        return NULL;
    }
    text[used] = '\0';
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
