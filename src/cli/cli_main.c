/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_main.c - the scpair command: finds the sub-command and runs it.
 *
 * Exit codes are 0, 1 (it did not work) and 2 (bad command line or input). Every error is one line
 * "scpair: THING: what is wrong; what to do". Reports go to stdout, and as JSON with --json.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct cli_command *const cli_commands[] = {
    &cli_mount, &cli_umount, &cli_info, &cli_stat, &cli_errlog, &cli_inject, &cli_copy,  &cli_verify,
    &cli_bench, &cli_sg,     &cli_list, &cli_load, &cli_plug,   &cli_unplug, &cli_trace,
    &cli_capture, &cli_replay,
};

static const struct cli_command *cli_find(const char *name)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(cli_commands); i++)
        if (strcmp(cli_commands[i]->c_name, name) == 0)
            return cli_commands[i];
    return NULL;
}

static void cli_overview(void)
{
    printf(
        "scpair - a SCSI disk made of a device driver and an adapter driver, mounted or in this process\n\n"
        "usage: scpair COMMAND [OPTION]... [ARGUMENT]...\n\n");
    for (size_t i = 0; i < SC_ARRAY_SIZE(cli_commands); i++)
        printf("  %-8s %s\n", cli_commands[i]->c_name, cli_commands[i]->c_summary);
    printf("\n  scpair help COMMAND   the same as scpair COMMAND --help\n"
           "  scpair --version\n\n"
           "A first session:\n"
           "  truncate -s 256M disk.img && mkdir mnt\n"
           "  scpair mount --disk disk.img mnt      # mnt/scsi0, mnt/hdisk0, mnt/rhdisk0\n"
           "  mkfs.ext4 -F mnt/rhdisk0\n"
           "  scpair stat mnt\n"
           "  scpair umount mnt\n");
}

static bool cli_is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int cli_help_command(int argc, char **argv)
{
    const struct cli_command *cmd;

    /* "scpair help --help" is about help, which the overview is. */
    if (argc < 2 || cli_is_help(argv[1])) {
        cli_overview();
        return CLI_OK;
    }
    cmd = cli_find(argv[1]);
    if (cmd == NULL)
        return cli_fail(CLI_USAGE, "%s: no such command; scpair --help lists them", argv[1]);
    cli_help(cmd);
    return CLI_OK;
}

/*
 * A standard stream that is closed would be the number of the next file that is opened, and what is
 * printed would go into a disk's image.
 */
static void cli_reserve_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

static int cli_run(int argc, char **argv)
{
    const struct cli_command *cmd;

    if (argc < 2)
        return cli_fail(CLI_USAGE, "no command given; scpair --help lists them");
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("scpair %s\n", scp_version());
        return CLI_OK;
    }
    if (cli_is_help(argv[1]))
        return cli_help_command(argc - 1, argv + 1);
    if (argv[1][0] == '-')
        return cli_fail(CLI_USAGE, "%s: unknown option; options come after the command, see scpair --help",
                        argv[1]);
    cmd = cli_find(argv[1]);
    if (cmd == NULL)
        return cli_fail(CLI_USAGE, "%s: no such command; scpair --help lists them", argv[1]);
    return cmd->c_run(cmd, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int rc;

    cli_reserve_streams();
    /* A reader that went away is an error of write(2), not a sudden end in the middle of a request. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* Nor is a limit on file size (ulimit -f): a server would take all its disks with it. */
    (void)signal(SIGXFSZ, SIG_IGN);
    if (cli_fstab_helper(argc, argv, &rc))
        return rc;
    return cli_stdout(cli_run(argc, argv));
}
