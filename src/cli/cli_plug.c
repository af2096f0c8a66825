/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_plug.c - scpair plug and scpair unplug: a mount gains and loses disks.
 *
 * The image's name goes to the server, whose working directory is another one, so it is made absolute here.
 * The answer is read from the file the request was written to: it is this request's, whoever else plugs.
 *
 * Does not contain: the other half (fuse/fuse_plug.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUG_TEXT_MAX 8192u

/* Hand one line to the server; *answer gets what it says to it. 0 or an exit code; the reason is said. */
static int plug_ask(const struct cli_command *cmd, const char *mount, const char *line, json_t **answer)
{
    int rc = CLI_OK, error;
    int fd = cli_ctl_open(mount, "plug", O_RDWR, &rc);
    char text[PLUG_TEXT_MAX] = "";
    const char *why;
    ssize_t n;

    if (fd < 0)
        return rc;
    n = write(fd, line, strlen(line));
    error = n < 0 ? errno : 0;
    n = pread(fd, text, sizeof(text) - 1, 0);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    *answer = json_loads(text, 0, NULL);
    why = json_string_value(json_object_get(*answer, "error"));
    if (error == 0 && *answer != NULL)
        return CLI_OK;
    if (error == EPERM)
        rc = cli_fail(CLI_FAILED, "%s: not allowed; be root or the user who mounted it", mount);
    else if (error == ESHUTDOWN)
        rc = cli_fail(CLI_FAILED, "%s: its server is stopping", mount);
    else
        rc = cli_fail(error == EINVAL || error == ENOENT ? CLI_USAGE : CLI_FAILED, "%s: %s", cmd->c_name,
                      why != NULL && *why != '\0' ? why : strerror(error != 0 ? error : EPROTO));
    json_decref(*answer);
    *answer = NULL;
    return rc;
}

/* The --disk syntax with the file's name absolute, into out. 0 or an exit code; the reason is said. */
static int plug_absolute(const char *text, char *out, size_t size)
{
    char err[SCP_ERROR_MAX], *copy = strdup(text), *folder;
    const char *name = text;
    struct scp_disk_spec d;
    size_t used = 0;
    int rc = CLI_OK;

    if (copy == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    /* Judged here as well: what is wrong with it is said without asking anybody. */
    if (scp_disk_parse(copy, &d, err, sizeof(err)) != 0) {
        free(copy);
        return cli_fail(CLI_USAGE, "%s", err);
    }
    if (d.medium == SCP_MEDIUM_FILE) {
        if (access(d.path, F_OK) < 0)
            rc = cli_fail(CLI_USAGE, "%s: %s; make one with truncate -s 64M %s", d.path, strerror(errno),
                          d.path);
        if (strncmp(name, "file=", 5) == 0)
            name += 5;
        if (name != text || d.path[0] != '/')
            used = (size_t)snprintf(out, size, "file=");
        folder = d.path[0] != '/' ? getcwd(NULL, 0) : NULL;
        for (const char *at = folder; at != NULL && *at != '\0' && used + 2 < size; at++) {
            out[used++] = *at;
            if (*at == ',')
                out[used++] = ','; /* two stand for one in a name */
        }
        if (folder != NULL && used + 1 < size)
            out[used++] = '/';
        free(folder);
    }
    free(copy);
    if (rc == CLI_OK && used + strlen(name) >= size)
        rc = cli_fail(CLI_USAGE, "%.64s...: the name is too long", text);
    if (rc == CLI_OK)
        memcpy(out + used, name, strlen(name) + 1);
    if (rc == CLI_OK && strchr(out, '\n') != NULL)
        rc = cli_fail(CLI_USAGE, "%.64s: the name has a line break in it; link to it by another one", text);
    return rc;
}

/* The arguments both have: MOUNTPOINT and one more. 0, or what to exit with; < 0: go on. */
static int plug_options(const struct cli_command *cmd, int argc, char **argv, const char **adapter,
                        bool *json)
{
    const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                   {adapter != NULL ? "adapter" : NULL, required_argument, NULL, 'a'},
                                   {NULL, 0, NULL, 0}};
    int c;

    while ((c = cli_getopt(cmd, argc, argv, adapter != NULL ? ":ja:" : ":j", longs)) != -1) {
        if (c == 'j')
            *json = true;
        else if (c == 'a' && adapter != NULL)
            *adapter = optarg;
        else
            return cli_getopt_rc(c);
    }
    return cli_arguments(cmd, argc, argv, adapter != NULL ? "MOUNTPOINT IMAGE" : "MOUNTPOINT DISK")
               ? -1
               : CLI_USAGE;
}

static int plug_run(const struct cli_command *cmd, int argc, char **argv)
{
    char spec[PLUG_TEXT_MAX - 64], line[PLUG_TEXT_MAX];
    const char *adapter = "scsi0";
    json_t *answer = NULL;
    bool json = false;
    int rc = plug_options(cmd, argc, argv, &adapter, &json);

    if (rc >= 0)
        return rc;
    if (strpbrk(adapter, " \n") != NULL || strlen(adapter) > 16)
        return cli_fail(CLI_USAGE,
                        "--adapter %.16s: no such adapter; name it as the mount does, for example "
                        "scsi0",
                        adapter);
    rc = plug_absolute(argv[optind + 1], spec, sizeof(spec));
    if (rc != CLI_OK)
        return rc;
    (void)snprintf(line, sizeof(line), "plug %s %s", adapter, spec);
    rc = plug_ask(cmd, argv[optind], line, &answer);
    if (rc != CLI_OK)
        return rc;
    if (json)
        return cli_json_print(answer);
    printf("%s\n", json_string_value(json_object_get(answer, "name")));
    json_decref(answer);
    return CLI_OK;
}

static int unplug_run(const struct cli_command *cmd, int argc, char **argv)
{
    char line[PLUG_TEXT_MAX];
    json_t *answer = NULL;
    bool json = false;
    int rc = plug_options(cmd, argc, argv, NULL, &json);
    long long open;

    if (rc >= 0)
        return rc;
    if (!cli_disk_name(cmd, argv[optind + 1]))
        return CLI_USAGE;
    if (strlen(argv[optind + 1]) > 64 || strpbrk(argv[optind + 1], " \n") != NULL)
        return cli_fail(CLI_USAGE,
                        "unplug: %.64s: no such disk; name it as the mount does, for example hdisk0",
                        argv[optind + 1]);
    (void)snprintf(line, sizeof(line), "unplug %s", argv[optind + 1]);
    rc = plug_ask(cmd, argv[optind], line, &answer);
    if (rc != CLI_OK)
        return rc;
    if (json)
        return cli_json_print(answer);
    open = json_integer_value(json_object_get(answer, "open"));
    if (open > 0)
        printf("%s: unplugged; it was open %lld time%s, and says ENXIO to who still has it\n",
               argv[optind + 1], open, open == 1 ? "" : "s");
    json_decref(answer);
    return CLI_OK;
}

const struct cli_command cli_plug = {
    "plug",
    "[--adapter NAME] [--json] MOUNTPOINT IMAGE[,OPTION]...",
    "put one more disk into a mount, while others are in use",
    "The disk hangs at an adapter of the mount and gets the lowest free number; its name is printed.\n"
    "IMAGE and the options are those of scpair mount --disk (scpair mount --help). The server opens\n"
    "the image, so only root and whoever mounted may plug.\n\n"
    "  -a, --adapter NAME  the adapter, as the mount names it (scsi0)\n"
    "  -j, --json          print {\"name\": ..., \"adapter\": ...}\n\n"
    "Examples:\n"
    "  truncate -s 1G more.img\n"
    "  scpair plug mnt more.img              # prints hdisk1: mnt/hdisk1, mnt/rhdisk1\n"
    "  scpair plug mnt ram:64M,block=4096\n"
    "  scpair unplug mnt hdisk1              # pulls it out again, in use or not\n",
    plug_run,
};

const struct cli_command cli_unplug = {
    "unplug",
    "[--json] MOUNTPOINT DISK",
    "pull a disk out of a mount, in use or not",
    "As pulling out a real disk: its names vanish from the mount; requests that are not finished, and\n"
    "all later ones through files that are still open, fail with ENXIO; what was written and not\n"
    "flushed may be lost. So unmount a file system on it first, unless that is what you want to see.\n"
    "Its number is free again when the last who had it open has closed it.\n"
    "Only root and whoever mounted may unplug.\n\n"
    "  -j, --json   print {\"name\": ..., \"open\": how often it was open}\n\n"
    "Examples:\n"
    "  scpair unplug mnt hdisk1\n"
    "  fuser -m mnt                          # who has something open there\n",
    unplug_run,
};
