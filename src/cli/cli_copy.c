/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_copy.c - scpair copy: everything of one file or disk into another.
 *
 * A copy that was interrupted, by whatever, never looks like a whole one: a file gets its name when all of it
 * is on the disk. A disk cannot be renamed; the message says that a part of the source is on it.
 *
 * Does not contain: how a file is written so (cli_out.c), the comparison after it (cli_verify.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct copy {
    struct cli_pair cp_pair;
    struct cli_end cp_src, cp_dst;
    const char *cp_from, *cp_to; /* --from-disk, --to-disk */
    const char *cp_from_path, *cp_to_path;
    size_t cp_block;
    unsigned cp_depth;
    bool cp_verify, cp_json;
    struct cli_out cp_out; /* a plain file's; cp_dst is open to the same */
    char cp_left[256];     /* for messages */
};

static bool copy_block(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off)
{
    const struct copy *cp = job->j_arg;
    int error = cli_end_read(&cp->cp_src, buffer, bytes, off);

    if (error != 0)
        return cli_job_fail(job, off, "%s: reading at byte %llu: %s", cp->cp_src.e_name,
                            (unsigned long long)off, scp_strerror(error));
    error = cli_end_write(&cp->cp_dst, buffer, bytes, off);
    if (error != 0)
        return cli_job_fail(job, off, "%s: writing at byte %llu: %s", cp->cp_dst.e_name,
                            (unsigned long long)off, scp_strerror(error));
    return true;
}

static int copy_options(const struct cli_command *cmd, struct copy *cp, int argc, char **argv)
{
    static const struct option longs[] = {{"verify", no_argument, NULL, 'v'},
                                          {"block", required_argument, NULL, 'b'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"from-disk", required_argument, NULL, CLI_OPT(20)},
                                          {"to-disk", required_argument, NULL, CLI_OPT(21)},
                                          {NULL, 0, NULL, 0}};
    uint64_t v;
    int c;

    while ((c = cli_getopt(cmd, argc, argv, ":vb:d:j", longs)) != -1) {
        switch (c) {
        case 'v':
            cp->cp_verify = true;
            break;
        case 'j':
            cp->cp_json = true;
            break;
        case 'b':
            if (!cli_size("--block", optarg, CLI_JOB_BLOCK_MIN, CLI_JOB_BLOCK_MIN, CLI_JOB_BLOCK_MAX, &v))
                return -1 - CLI_USAGE;
            cp->cp_block = (size_t)v;
            break;
        case 'd':
            if (!cli_number("--depth", optarg, 1, CLI_JOB_DEPTH_MAX, &v))
                return -1 - CLI_USAGE;
            cp->cp_depth = (unsigned)v;
            break;
        case CLI_OPT(20):
            cp->cp_from = optarg;
            break;
        case CLI_OPT(21):
            cp->cp_to = optarg;
            break;
        default:
            return -1 - cli_getopt_rc(c);
        }
    }
    return 0;
}

/* Both on one pair. The disk numbers follow from the order. */
static int copy_pair(struct copy *cp)
{
    int rc = CLI_OK;

    if (cp->cp_from != NULL)
        rc = cli_pair_disk(&cp->cp_pair, cp->cp_from);
    if (rc == CLI_OK && cp->cp_to != NULL)
        rc = cli_pair_disk(&cp->cp_pair, cp->cp_to);
    if (rc == CLI_OK && cp->cp_pair.p_ndisks > 0)
        rc = cli_pair_create(&cp->cp_pair);
    return rc;
}

/* ------------------------------------------------------------------ the destination */

/* A disk that is there is written to as it is, a file beside itself. */
static int copy_path(struct copy *cp)
{
    struct stat st;
    int rc = CLI_OK;

    if (stat(cp->cp_to_path, &st) == 0)
        rc = cli_end_open(&cp->cp_dst, cp->cp_to_path, CLI_END_WRITE);
    if (rc != CLI_OK || cp->cp_dst.e_device)
        return rc;
    cli_end_close(&cp->cp_dst);
    rc = cli_out_open(&cp->cp_out, cp->cp_to_path);
    if (rc == CLI_OK)
        rc = cli_end_open(&cp->cp_dst, cp->cp_out.o_temp, CLI_END_WRITE);
    cp->cp_dst.e_name = cp->cp_to_path;
    return rc;
}

static int copy_open_to(struct copy *cp)
{
    if (cp->cp_to != NULL)
        return cli_end_disk(&cp->cp_dst, &cp->cp_pair, cp->cp_from != NULL, cp->cp_to, true);
    return copy_path(cp);
}

static int copy_open(struct copy *cp)
{
    struct stat a, b;
    int rc;

    if (cp->cp_from_path != NULL && cp->cp_to_path != NULL && stat(cp->cp_from_path, &a) == 0 &&
        stat(cp->cp_to_path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return cli_fail(CLI_USAGE, "%s: source and destination are the same", cp->cp_from_path);
    rc = cp->cp_from != NULL ? cli_end_disk(&cp->cp_src, &cp->cp_pair, 0, cp->cp_from, false)
                             : cli_end_open(&cp->cp_src, cp->cp_from_path, CLI_END_READ);
    if (rc == CLI_OK)
        rc = copy_open_to(cp);
    if (rc != CLI_OK)
        return rc;
    (void)snprintf(cp->cp_left, sizeof(cp->cp_left),
                   cp->cp_dst.e_device    ? "%.128s holds a part of the copy"
                   : cp->cp_out.o_existed ? "%.128s is as it was"
                                          : "%.128s was not made",
                   cp->cp_dst.e_name);
    if (cp->cp_dst.e_device && cp->cp_src.e_bytes > cp->cp_dst.e_bytes)
        return cli_fail(CLI_USAGE, "%s: too small: %llu bytes do not fit into %llu", cp->cp_dst.e_name,
                        (unsigned long long)cp->cp_src.e_bytes, (unsigned long long)cp->cp_dst.e_bytes);
    if (!cp->cp_dst.e_device && ftruncate(cp->cp_dst.e_fd, (off_t)cp->cp_src.e_bytes) < 0)
        return cli_fail(CLI_FAILED, "%s: %s; %s", cp->cp_dst.e_name, strerror(errno), cp->cp_left);
    return CLI_OK;
}

/* ------------------------------------------------------------------ the copy */

static int copy_all(struct copy *cp, double *seconds)
{
    struct cli_job job = {.j_label = "copy",
                          .j_left = cp->cp_left,
                          .j_fn = copy_block,
                          .j_arg = cp,
                          .j_bytes = cp->cp_src.e_bytes,
                          .j_block = cp->cp_block,
                          .j_depth = cp->cp_depth};
    struct cli_job check;
    int rc = cli_job_run(&job);
    int error = rc == CLI_OK ? cli_end_flush(&cp->cp_dst) : 0;

    if (error != 0)
        rc =
            cli_fail(CLI_FAILED, "%s: flushing: %s; %s", cp->cp_dst.e_name, scp_strerror(error), cp->cp_left);
    if (rc == CLI_OK && cp->cp_verify)
        rc = cli_verify_ends(&cp->cp_src, &cp->cp_dst, job.j_bytes, cp->cp_block, cp->cp_depth, &check);
    *seconds = job.j_seconds;
    return rc;
}

static int copy_report(const struct copy *cp, double seconds)
{
    uint64_t bytes = cp->cp_src.e_bytes;
    double rate = seconds > 0 ? (double)bytes / seconds / (1 << 20) : 0;

    if (cp->cp_json)
        return cli_json_print(json_pack("{s:I,s:f,s:f,s:b}", "bytes", (json_int_t)bytes, "seconds", seconds,
                                        "mib_per_s", rate, "verified", cp->cp_verify));
    printf("copied %llu bytes in %.2f s (%.0f MiB/s)%s\n", (unsigned long long)bytes, seconds, rate,
           cp->cp_verify ? ", verified" : "");
    return CLI_OK;
}

static int copy_run(const struct cli_command *cmd, int argc, char **argv)
{
    struct copy cp = {.cp_block = CLI_JOB_BLOCK_DEFAULT,
                      .cp_depth = CLI_JOB_DEPTH_DEFAULT,
                      .cp_src.e_fd = -1,
                      .cp_dst.e_fd = -1,
                      .cp_out.o_fd = -1};
    double seconds = 0;
    int rc = copy_options(cmd, &cp, argc, argv);

    if (rc < 0)
        return -1 - rc;
    if (!cli_arguments(cmd, argc, argv,
                       cp.cp_from == NULL ? (cp.cp_to == NULL ? "SRC DST" : "SRC")
                       : cp.cp_to == NULL ? "DST"
                                          : ""))
        return CLI_USAGE;
    if (cp.cp_from == NULL)
        cp.cp_from_path = argv[optind++];
    if (cp.cp_to == NULL)
        cp.cp_to_path = argv[optind];
    cli_stop_catch();
    rc = copy_pair(&cp);
    if (rc == CLI_OK)
        rc = copy_open(&cp);
    if (rc == CLI_OK)
        rc = copy_all(&cp, &seconds);
    rc = cli_out_close(&cp.cp_out, rc);
    if (rc == CLI_OK)
        rc = copy_report(&cp, seconds);
    cli_end_close(&cp.cp_src);
    cli_end_close(&cp.cp_dst);
    return cli_pair_end(&cp.cp_pair, rc);
}

const struct cli_command cli_copy = {
    "copy",
    "[--verify] [--block BYTES] [--depth N] SRC DST",
    "copy a file or disk to another, with progress",
    "SRC and DST are files, or disks of a mount (mnt/rhdisk0). A disk of an image goes through the\n"
    "drivers without any mount:\n\n"
    "  --from-disk FILE[,OPTION]...  in place of SRC; as mount's --disk\n"
    "  --to-disk FILE[,OPTION]...    in place of DST\n"
    "  -v, --verify                  read both again and compare\n"
    "  -b, --block BYTES             bytes in one request, a multiple of 4096 up to 64M (1M)\n"
    "  -d, --depth N                 requests at once, 1 to 256 (4)\n"
    "  -j, --json                    the result as JSON\n\n"
    "A file DST is written as DST.part-XXXXXX beside it and renamed when it is complete and on the\n"
    "disk; interrupted or failed, that is removed and DST stays as it was. A disk cannot be renamed:\n"
    "after a failure it holds a part of the copy.\n\n"
    "Examples:\n"
    "  scpair copy --verify backup.img mnt/rhdisk0\n"
    "  scpair copy --from-disk disk.img,block=4096 copy.img\n"
    "  scpair copy --from-disk a.img --to-disk b.img\n",
    copy_run,
};
