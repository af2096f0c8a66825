/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_verify.c - scpair verify: does a disk give back what was written?
 *
 * Either two things are compared, or a pattern is used in which every eight bytes say where they
 * belong, so that a block in the wrong place shows as well as a damaged one.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <string.h>

struct verify {
    const struct cli_end *v_a, *v_b;
    uint64_t v_seed;
};

static bool verify_read(struct cli_job *job, const struct cli_end *end, void *data, size_t bytes,
                        uint64_t off)
{
    int error = cli_end_read(end, data, bytes, off);

    return error == 0 || cli_job_fail(job, off, "%s: reading at byte %llu: %s", end->e_name,
                                      (unsigned long long)off, scp_strerror(error));
}

/* ------------------------------------------------------------------ two ends */

static bool verify_two(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off)
{
    const struct verify *v = job->j_arg;
    uint8_t *other = buffer + job->j_block + CLI_END_SLACK;
    size_t i = 0;

    if (!verify_read(job, v->v_a, buffer, bytes, off) || !verify_read(job, v->v_b, other, bytes, off))
        return false;
    if (memcmp(buffer, other, bytes) == 0)
        return true;
    while (buffer[i] == other[i])
        i++;
    return cli_job_fail(job, off + i, "%s: differs from %s at byte %llu", v->v_b->e_name, v->v_a->e_name,
                        (unsigned long long)off + i);
}

int cli_verify_ends(struct cli_end *a, struct cli_end *b, uint64_t bytes, size_t block, unsigned depth,
                    struct cli_job *job)
{
    struct verify v = {.v_a = a, .v_b = b};
    int rc;

    *job = (struct cli_job){.j_label = "verify",
                            .j_fn = verify_two,
                            .j_arg = &v,
                            .j_bytes = bytes,
                            .j_block = block,
                            .j_depth = depth};
    rc = cli_job_run(job);
    job->j_arg = NULL;
    return rc;
}

/* ------------------------------------------------------------------ the pattern */

/* The eight bytes that belong at `off`: a bijection of it, so no two places look alike. */
static uint64_t verify_word(uint64_t seed, uint64_t off)
{
    uint64_t x = off + seed * 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool verify_fill(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off)
{
    const struct verify *v = job->j_arg;
    int error;

    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t word = verify_word(v->v_seed, off + i);

        memcpy(buffer + i, &word, sizeof(word));
    }
    error = cli_end_write(v->v_a, buffer, bytes, off);
    return error == 0 || cli_job_fail(job, off, "%s: writing at byte %llu: %s", v->v_a->e_name,
                                      (unsigned long long)off, scp_strerror(error));
}

static bool verify_pattern(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off)
{
    const struct verify *v = job->j_arg;

    if (!verify_read(job, v->v_a, buffer, bytes, off))
        return false;
    for (size_t i = 0; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t)) {
        uint64_t want = verify_word(v->v_seed, off + i), got;

        memcpy(&got, buffer + i, sizeof(got));
        if (got != want)
            return cli_job_fail(job, off + i, "%s: at byte %llu is %016llx, the pattern has %016llx",
                                v->v_a->e_name, (unsigned long long)off + i, (unsigned long long)got,
                                (unsigned long long)want);
    }
    return true;
}

/* Write the pattern if asked to, and look for it; `job` is the last of the two that ran. */
static int verify_run_pattern(struct cli_end *end, bool write, uint64_t seed, size_t block, unsigned depth,
                              struct cli_job *job)
{
    struct verify v = {.v_a = end, .v_seed = seed};
    struct cli_job look = {.j_label = "verify",
                           .j_fn = verify_pattern,
                           .j_arg = &v,
                           .j_bytes = end->e_bytes,
                           .j_block = block,
                           .j_depth = depth};
    double seconds = 0;
    int rc = CLI_OK, error;

    *job = look;
    if (write) {
        job->j_label = "write";
        job->j_fn = verify_fill;
        rc = cli_job_run(job);
        seconds = job->j_seconds;
        error = rc == CLI_OK ? cli_end_flush(end) : 0;
        if (error != 0) {
            (void)cli_job_fail(job, UINT64_MAX, "%s: flushing: %s", end->e_name, scp_strerror(error));
            rc = cli_fail(CLI_FAILED, "%s", job->j_error);
        }
    }
    if (rc == CLI_OK) {
        *job = look;
        rc = cli_job_run(job);
        job->j_seconds += seconds;
    }
    job->j_arg = NULL;
    return rc;
}

/* ------------------------------------------------------------------ the command */

struct verify_request {
    struct cli_pair vr_pair;
    bool vr_write, vr_json, vr_seeded;
    uint64_t vr_seed, vr_block, vr_depth;
};

static int verify_options(const struct cli_command *cmd, struct verify_request *vr, int argc, char **argv)
{
    static const struct option longs[] = {CLI_PAIR_OPTIONS,
                                          {"write", no_argument, NULL, 'w'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"block", required_argument, NULL, 'b'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    bool ok = true;
    int c;

    while (ok && (c = cli_getopt(cmd, argc, argv, ":ws:b:d:j", longs)) != -1) {
        switch (c) {
        case 'w':
            vr->vr_write = true;
            break;
        case 'j':
            vr->vr_json = true;
            break;
        case 's':
            ok = cli_number("--seed", optarg, 0, UINT64_MAX, &vr->vr_seed);
            vr->vr_seeded = true;
            break;
        case 'b':
            ok = cli_size("--block", optarg, CLI_JOB_BLOCK_MIN, CLI_JOB_BLOCK_MIN, CLI_JOB_BLOCK_MAX,
                          &vr->vr_block);
            break;
        case 'd':
            ok = cli_number("--depth", optarg, 1, CLI_JOB_DEPTH_MAX, &vr->vr_depth);
            break;
        case CLI_GETOPT_HELP:
        case CLI_GETOPT_BAD:
            return -1 - cli_getopt_rc(c);
        default:
            ok = cli_pair_option(&vr->vr_pair, c, optarg) == CLI_OK;
        }
    }
    return ok ? 0 : -1 - CLI_USAGE;
}

/* What came of it. A difference is a result too: --json says where, beside the line on stderr. */
static int verify_report(const struct verify_request *vr, int rc, const char *name, uint64_t bytes,
                         const struct cli_job *job)
{
    json_t *o;
    int printed;

    if (!vr->vr_json) {
        if (rc == CLI_OK)
            printf("%s: %llu bytes are as they should be (%.2f s)\n", name, (unsigned long long)bytes,
                   job->j_seconds);
        return rc;
    }
    o = json_pack("{s:I,s:f,s:b}", "bytes", (json_int_t)bytes, "seconds", job->j_seconds, "ok", rc == CLI_OK);
    if (rc != CLI_OK) {
        (void)json_object_set_new(
            o, "at", job->j_error_at != UINT64_MAX ? json_integer((json_int_t)job->j_error_at) : json_null());
        (void)json_object_set_new(o, "error", cli_json_string(job->j_error));
    }
    printed = cli_json_print(o);
    return rc != CLI_OK ? rc : printed;
}

static int verify_compare(const struct verify_request *vr, const char *a_path, const char *b_path)
{
    struct cli_end a, b = {.e_fd = -1};
    struct cli_job job = {0};
    int rc = cli_end_open(&a, a_path, CLI_END_READ);

    if (rc != CLI_OK)
        return rc;
    rc = cli_end_open(&b, b_path, CLI_END_READ);
    if (rc == CLI_OK) {
        if (b.e_bytes < a.e_bytes) {
            (void)cli_job_fail(&job, b.e_bytes, "%s: %llu bytes, but %s has %llu", b_path,
                               (unsigned long long)b.e_bytes, a_path, (unsigned long long)a.e_bytes);
            rc = cli_fail(CLI_FAILED, "%s", job.j_error);
        } else {
            rc = cli_verify_ends(&a, &b, a.e_bytes, (size_t)vr->vr_block, (unsigned)vr->vr_depth, &job);
        }
        rc = verify_report(vr, rc, b_path, a.e_bytes, &job);
    }
    cli_end_close(&b);
    cli_end_close(&a);
    return rc;
}

static int verify_one(struct verify_request *vr, const char *path)
{
    struct cli_end end = {.e_fd = -1};
    struct cli_job job;
    int rc = CLI_OK;

    if (path == NULL)
        rc = cli_pair_create(&vr->vr_pair);
    if (rc == CLI_OK)
        rc = path != NULL ? cli_end_open(&end, path, vr->vr_write ? CLI_END_WRITE : CLI_END_READ)
                          : cli_end_disk(&end, &vr->vr_pair, 0, vr->vr_pair.p_texts[0], vr->vr_write);
    if (rc == CLI_OK) {
        rc = verify_run_pattern(&end, vr->vr_write, vr->vr_seed, (size_t)vr->vr_block, (unsigned)vr->vr_depth,
                                &job);
        rc = verify_report(vr, rc, end.e_name, end.e_bytes, &job);
    }
    cli_end_close(&end);
    return rc;
}

static int verify_run(const struct cli_command *cmd, int argc, char **argv)
{
    struct verify_request vr = {
        .vr_block = CLI_JOB_BLOCK_DEFAULT, .vr_depth = CLI_JOB_DEPTH_DEFAULT, .vr_seed = 1};
    int rc = verify_options(cmd, &vr, argc, argv);
    bool disk = vr.vr_pair.p_ndisks != 0;

    if (rc < 0)
        return cli_pair_end(&vr.vr_pair, -1 - rc);
    if (disk && vr.vr_pair.p_ndisks > 1)
        rc = cli_fail(CLI_USAGE, "verify: one --disk at a time");
    else if (!disk && argc - optind == 2 && vr.vr_seeded)
        rc = cli_fail(CLI_USAGE,
                      "verify: --seed is for the pattern, and two names are compared with each other");
    else if (vr.vr_write && argc - optind == 2)
        rc = cli_fail(CLI_USAGE,
                      "verify: --write is for the pattern, and two names are compared with each other");
    else if (!disk && !vr.vr_write && argc - optind == 2)
        rc = verify_compare(&vr, argv[optind], argv[optind + 1]);
    else if (cli_pair_unused(cmd, &vr.vr_pair) != CLI_OK ||
             !cli_arguments(cmd, argc, argv, disk ? "" : "TARGET"))
        rc = CLI_USAGE;
    else
        rc = verify_one(&vr, disk ? NULL : argv[optind]);
    return cli_pair_end(&vr.vr_pair, rc);
}

const struct cli_command cli_verify = {
    "verify",
    "A B  |  [--write] TARGET  |  [--write] --disk FILE[,OPTION]...",
    "compare two files or disks, or write a pattern and read it back",
    "With two names: is all of A also in B? With one: does TARGET hold the pattern?\n\n"
    "  -w, --write        write the pattern first. DESTROYS what is on TARGET\n"
    "  -s, --seed N       which pattern (1)\n"
    "  --disk FILE,...    a disk of an image, through the drivers, without a mount\n"
    "  -b, --block BYTES  bytes in one request, a multiple of 4096 up to 64M (1M)\n"
    "  -d, --depth N      requests at once, 1 to 256 (4)\n"
    "  -j, --json         the result as JSON: {\"bytes\", \"seconds\", \"ok\"}; if not ok also where,\n"
    "                     \"at\" (null: nowhere in particular), and \"error\"\n\n"
    "Examples:\n"
    "  scpair verify --write mnt/rhdisk0 && scpair verify mnt/hdisk0\n"
    "  scpair verify backup.img mnt/rhdisk0\n",
    verify_run,
};
