/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_load.c - scpair load: put the medium of a disk back in, as a hand at the drive would.
 *
 * Does not contain: what the disk makes of it (adapter/sim).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <string.h>

static int load_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{NULL, 0, NULL, 0}};
    char rule[64];
    int c, n;

    while ((c = cli_getopt(cmd, argc, argv, ":", longs)) != -1)
        return cli_getopt_rc(c);
    if (!cli_arguments(cmd, argc, argv, "MOUNTPOINT DISK") || !cli_disk_name(cmd, argv[optind + 1]))
        return CLI_USAGE;
    n = snprintf(rule, sizeof(rule), "%s load", argv[optind + 1]);
    if (n < 0 || (size_t)n >= sizeof(rule) || strpbrk(argv[optind + 1], " \t\r\n") != NULL)
        return cli_fail(CLI_USAGE, "load: %.64s: no such disk; name it as the mount does, for example hdisk0",
                        argv[optind + 1]);
    return cli_ctl_inject(cmd, argv[optind], rule);
}

const struct cli_command cli_load = {
    "load",
    "MOUNTPOINT DISK",
    "put the medium of a disk back in, after an eject or a stop",
    "An ejected or stopped disk answers \"not ready\". This puts its medium in and starts it, as a\n"
    "hand at the drive would, whoever has the disk reserved. The drivers find the medium changed at\n"
    "the next open. A disk that is ready stays so.\n\n"
    "Example:\n"
    "  scpair load mnt hdisk0\n",
    load_run,
};
