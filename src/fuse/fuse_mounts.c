/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_mounts.c - reads /proc/self/mountinfo.
 *
 * A line is "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS", with
 * space, tab, newline and backslash in a name written as \040, \011, \012 and \134.
 */
#define _GNU_SOURCE
#include "fuse_mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Turn \ooo into the byte, in place: the text only gets shorter. */
static char *mounts_decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
            from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return text;
}

/* user_id=N among the comma-separated options of a FUSE mount, or -1. */
static long mounts_user(char *options)
{
    char *word;

    while ((word = strsep(&options, ",")) != NULL)
        if (strncmp(word, "user_id=", 8) == 0)
            return strtol(word + 8, NULL, 10);
    return -1;
}

bool fuse_mount_parse(char *line, struct fuse_mount *out)
{
    enum { MOUNT_ID, MOUNT_PARENT, MOUNT_DEV, MOUNT_ROOT, MOUNT_POINT, MOUNT_OPTIONS, MOUNT_FIELDS };
    char *field[MOUNT_FIELDS] = {NULL};
    char *rest = line, *word, *type, *source, *options;

    line[strcspn(line, "\n")] = '\0';
    for (unsigned i = 0; i < MOUNT_FIELDS; i++) {
        field[i] = strsep(&rest, " ");
        if (field[i] == NULL)
            return false;
    }
    do
        word = strsep(&rest, " ");
    while (word != NULL && strcmp(word, "-") != 0);
    type = strsep(&rest, " ");
    source = strsep(&rest, " ");
    options = strsep(&rest, " ");
    if (options == NULL || sscanf(field[MOUNT_ID], "%u", &out->mo_id) != 1 ||
        sscanf(field[MOUNT_PARENT], "%u", &out->mo_parent) != 1 ||
        sscanf(field[MOUNT_DEV], "%u:%u", &out->mo_major, &out->mo_minor) != 2)
        return false;
    out->mo_point = mounts_decode(field[MOUNT_POINT]);
    out->mo_type = mounts_decode(type);
    out->mo_source = mounts_decode(source);
    out->mo_user = mounts_user(options);
    return true;
}

int fuse_mounts_each(fuse_mounts_fn fn, void *arg)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    struct fuse_mount m;
    char *line = NULL;
    size_t size = 0;

    if (f == NULL)
        return errno;
    while (getline(&line, &size, f) > 0)
        if (fuse_mount_parse(line, &m) && !fn(&m, arg))
            break;
    free(line);
    (void)fclose(f);
    return 0;
}
