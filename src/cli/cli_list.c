/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_list.c - scpair list: every scpair mount of this machine, and what is on it.
 *
 * Mounts are found in the kernel's own list, so one whose server is dead, or that belongs to another
 * user, is there too, and said to be so.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include "../fuse/fuse_mounts.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* How a mount answers: "serving", or why it does not. Its spec goes to *spec, or NULL does. */
static const char *list_state(const struct fuse_mount *m, json_t **spec)
{
    struct stat st;
    int error;

    *spec = NULL;
    if (stat(m->mo_point, &st) < 0)
        error = errno;
    else if (st.st_dev != makedev(m->mo_major, m->mo_minor))
        return "covered";
    else
        error = cli_ctl_try(m->mo_point, "spec", spec);
    if (error == 0)
        return "serving";
    return error == EACCES || error == EPERM ? "denied" : error == ENOTCONN ? "dead" : "failing";
}

static bool list_add(const struct fuse_mount *m, void *arg)
{
    json_t *list = arg, *o, *spec;
    const struct passwd *user;

    if (strcmp(m->mo_type, FUSE_MOUNT_TYPE) != 0)
        return true;
    o = json_object();
    user = m->mo_user >= 0 ? getpwuid((uid_t)m->mo_user) : NULL;
    json_object_set_new(o, "mountpoint", cli_json_string(m->mo_point));
    json_object_set_new(o, "state", json_string(list_state(m, &spec)));
    json_object_set_new(o, "uid", json_integer(m->mo_user));
    json_object_set_new(o, "user", user != NULL ? cli_json_string(user->pw_name) : json_null());
    json_object_update_missing(o, spec);
    json_decref(spec);
    json_array_append_new(list, o);
    return true;
}

/* ------------------------------------------------------------------ text */

static void list_disk(const json_t *d)
{
    const char *path = json_string_value(json_object_get(d, "path"));
    const char *medium = json_string_value(json_object_get(d, "medium"));
    char size[24];

    printf("  %-8s %10s  %s%s\n", json_string_value(json_object_get(d, "name")),
           cli_bytes_text((uint64_t)json_integer_value(json_object_get(d, "bytes")), size, sizeof(size)),
           path != NULL ? path : medium, json_is_true(json_object_get(d, "read_only")) ? " (read-only)" : "");
}

static void list_mount(const json_t *m)
{
    static const char *const states[][2] = {
        {"dead", "its server is gone; run scpair umount"},
        {"denied", "another user's; only they and root can look inside"},
        {"covered", "something else is mounted over it"},
        {"failing", "its server does not answer as it should"},
    };
    const char *state = json_string_value(json_object_get(m, "state"));
    const char *user = json_string_value(json_object_get(m, "user"));
    const json_t *disks = json_object_get(m, "disks");

    printf("%s", json_string_value(json_object_get(m, "mountpoint")));
    if (json_object_get(m, "pid") != NULL)
        printf("  pid %lld", (long long)json_integer_value(json_object_get(m, "pid")));
    if (user != NULL)
        printf("  user %s", user);
    printf("\n");
    for (size_t i = 0; i < SC_ARRAY_SIZE(states); i++)
        if (strcmp(state, states[i][0]) == 0)
            printf("  %s\n", states[i][1]);
    for (size_t i = 0; i < json_array_size(disks); i++)
        list_disk(json_array_get(disks, i));
}

static int list_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    json_t *list;
    bool json = false;
    int c, error;

    while ((c = cli_getopt(cmd, argc, argv, ":j", longs)) != -1) {
        if (c != 'j')
            return cli_getopt_rc(c);
        json = true;
    }
    if (!cli_arguments(cmd, argc, argv, ""))
        return CLI_USAGE;
    list = json_array();
    error = fuse_mounts_each(list_add, list);
    if (error != 0) {
        json_decref(list);
        return cli_fail(CLI_FAILED, "/proc/self/mountinfo: %s", strerror(error));
    }
    if (json)
        return cli_json_print(json_pack("{s:o}", "mounts", list));
    for (size_t i = 0; i < json_array_size(list); i++)
        list_mount(json_array_get(list, i));
    if (json_array_size(list) == 0)
        printf("nothing is mounted\n");
    json_decref(list);
    return CLI_OK;
}

const struct cli_command cli_list = {
    "list",
    "[--json]",
    "all scpair mounts, their servers and disks",
    "  -j, --json   as JSON: {\"mounts\": [{\"mountpoint\", \"state\", \"uid\", \"pid\", \"disks\", "
    "...}]}\n\n"
    "The state is serving, dead (the server was killed: scpair umount cleans up), denied (another\n"
    "user's mount), covered (something else is mounted over it) or failing.\n\n"
    "Example:\n"
    "  scpair list --json | jq -r '.mounts[].mountpoint'\n",
    list_run,
};
