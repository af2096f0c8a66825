/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_sg.c - scpair sg: start a program that speaks Linux' SCSI generic interface under the preload
 * library (src/sg), so that it finds a SCSI disk in a mounted file or in its own process.
 *
 * This process becomes the program: exit code and signals are the program's own.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SG_LIBRARY   "libscpair-sg.so"
#define SG_VARIABLE  "SCPAIR_SG_DISK"
#define SG_NOT_FOUND 127 /* what a shell says of a command that is not there */
#define SG_INSTALLED SCPAIR_INSTALLED SG_LIBRARY
#define SG_NOT_RUN   126

/* Where the library is: beside this program (a build), where it is installed relative to it, or absolute. */
static bool sg_library(char *out, size_t size)
{
    static const char *const below[] = {"", "../" SCPAIR_LIBDIR "/scpair/"};
    char here[PATH_MAX], path[2 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);

    here[n > 0 ? n : 0] = '\0';
    for (size_t i = 0; n > 0 && i < SC_ARRAY_SIZE(below); i++) {
        char *slash = strrchr(here, '/');

        (void)snprintf(path, sizeof(path), "%.*s/%s%s", (int)(slash != NULL ? slash - here : 0), here,
                       below[i], SG_LIBRARY);
        if (access(path, R_OK) == 0)
            return (size_t)snprintf(out, size, "%s", path) < size;
    }
    return access(SG_INSTALLED, R_OK) == 0 && (size_t)snprintf(out, size, "%s", SG_INSTALLED) < size;
}

/* The disks as the library reads them: one per line. NULL after saying what is wrong; *rc is the exit code.
 */
static char *sg_disks(const struct cli_pair *pair, char *const *texts, int *rc)
{
    size_t room = 1;
    char *all;

    for (unsigned i = 0; i < pair->p_ndisks; i++) {
        if (strchr(texts[i], '\n') != NULL) {
            *rc = cli_fail(CLI_USAGE, "--disk %s: a line feed in the name; use a link to the file", texts[i]);
            return NULL;
        }
        room += strlen(texts[i]) + 1;
    }
    all = calloc(1, room);
    if (all == NULL) {
        *rc = cli_fail(CLI_FAILED, "no memory");
        return NULL;
    }
    for (unsigned i = 0; i < pair->p_ndisks; i++) {
        (void)strncat(all, i != 0 ? "\n" : "", room - 1 - strlen(all));
        (void)strncat(all, texts[i], room - 1 - strlen(all));
    }
    return all;
}

/* LD_PRELOAD: ours first, then what was there. */
static int sg_environment(const char *library, const char *disks)
{
    const char *others = getenv("LD_PRELOAD");
    char *value = NULL;
    int rc;

    if (strpbrk(library, " :") != NULL)
        return cli_fail(CLI_FAILED,
                        "sg: %s: a blank or colon in its path; the dynamic linker takes no such "
                        "name, install scpair elsewhere",
                        library);
    if (asprintf(&value, "%s%s%s", library, others != NULL && *others != '\0' ? ":" : "",
                 others != NULL ? others : "") < 0)
        return cli_fail(CLI_FAILED, "no memory");
    rc = setenv("LD_PRELOAD", value, 1);
    free(value);
    if (rc == 0)
        rc = disks != NULL ? setenv(SG_VARIABLE, disks, 1) : unsetenv(SG_VARIABLE);
    return rc == 0 ? CLI_OK : cli_fail(CLI_FAILED, "sg: the environment cannot be set: %s", strerror(errno));
}

/* The image files are there? Said here, before the tool is started, and by name. */
static int sg_check(const struct cli_pair *pair)
{
    for (unsigned i = 0; i < pair->p_ndisks; i++) {
        const struct scp_disk_spec *d = &pair->p_disks[i];

        if (d->medium == SCP_MEDIUM_FILE && access(d->path, R_OK) != 0)
            return cli_fail(CLI_USAGE, "--disk %s: %s", d->path,
                            errno == ENOENT ? "no such file; create it with \"truncate -s 1G FILE\""
                                            : strerror(errno));
    }
    return CLI_OK;
}

static int sg_exec(char **argv)
{
    int error;

    /* As the program would find them without us. */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
    (void)execvp(argv[0], argv);
    error = errno;
    return cli_fail(error == ENOENT ? SG_NOT_FOUND : SG_NOT_RUN, "sg: %s: %s", argv[0],
                    error == ENOENT ? "no such program; is its package installed?" : strerror(error));
}

static int sg_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{"disk", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
    struct cli_pair pair = {0};
    char *texts[SCP_DISKS_MAX] = {NULL}, *disks = NULL, library[PATH_MAX];
    int c, rc = CLI_OK;

    while (rc == CLI_OK && (c = cli_getopt(cmd, argc, argv, "+:d:", longs)) != -1) {
        if (c != 'd') {
            (void)cli_pair_end(&pair, CLI_OK);
            return cli_getopt_rc(c);
        }
        rc = cli_pair_disk(&pair, optarg);
        if (rc == CLI_OK)
            texts[pair.p_ndisks - 1] = optarg;
    }
    if (rc == CLI_OK && optind == argc)
        rc = cli_fail(CLI_USAGE, "sg: no program given; for example: scpair sg --disk ram:64M -- sg_inq "
                                 "/dev/scpair/rhdisk0");
    if (rc == CLI_OK)
        rc = sg_check(&pair);
    if (rc == CLI_OK && !sg_library(library, sizeof(library)))
        rc =
            cli_fail(CLI_FAILED, "sg: %s is neither beside this program nor at %s; install scpair as a whole",
                     SG_LIBRARY, SG_INSTALLED);
    if (rc == CLI_OK && pair.p_ndisks != 0)
        disks = sg_disks(&pair, texts, &rc);
    if (rc == CLI_OK)
        rc = sg_environment(library, disks);
    free(disks);
    rc = cli_pair_end(&pair, rc);
    return rc == CLI_OK ? sg_exec(argv + optind) : rc;
}

const struct cli_command cli_sg = {
    "sg", "[--disk FILE[,OPTION]...]... [--] PROGRAM [ARGUMENT]...",
    "start a tool that speaks SG_IO (sg3_utils, iscsi-test-cu) on a scpair disk",
    "The tool runs under a preload library that answers Linux' SCSI generic interface.\n"
    "\n"
    "  scpair sg -- sg_inq mnt/rhdisk0\n"
    "      a disk of a mount, through its file; the data of one command passes in pieces of 8 KiB\n"
    "  scpair sg --disk ram:64M -- sg_readcap --16 /dev/scpair/rhdisk0\n"
    "      a disk that lives in the tool's own process and ends with it\n"
    "\n"
    "  -d, --disk SPEC   a disk for the tool's process, as for mount; may be repeated. Its devices:\n"
    "                      /dev/scpair/rhdiskN (also hdiskN, sgN)   through both drivers\n"
    "                      /dev/scpair/rhdiskN@2                    a second initiator on the bus\n"
    "\n"
    "The exit code is the tool's; 127 when it is not found, 126 when it cannot be started.\n"
    "A tool that is linked statically or runs set-user-ID does not take the library.\n",
    sg_run};
