/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_capture.c - scpair capture: the commands that a mount's disks had, and what came of them, as a file.
 *
 * They are taken out of the trace (cli_trace.c): the disk driver's side of it, where each command is once,
 * with its retries and the driver's own commands between them. The trace has them in the order in which they
 * came back; here they stand in the order in which they were sent.
 *
 * Does not contain: the file (cli_capfile.c), sending them again (cli_replay.c).
 */
#define _GNU_SOURCE
#include "cli_capfile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/scsiproto.h>
#include <unistd.h>

struct capture {
    const char *ca_mount, *ca_disk, *ca_out; /* ca_disk NULL: all */
    uint64_t ca_seconds, ca_records;
    bool ca_json;
    struct cap_header ca_header;
    unsigned ca_pid[SCP_DISKS_MAX]; /* of a disk of the header, in the trace */
    struct capture_command {
        uint64_t cc_number; /* the trace's: rises with the order of sending */
        struct cap_record cc_record;
    } * ca_commands;
    size_t ca_n;
};

/* ------------------------------------------------------------------ out of the trace */

static bool capture_is(const json_t *event, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text != NULL && strcmp(text, value) == 0;
}

/* Which disks there are. A LUN in the adapter driver is a process, too: its name has a blank. */
static void capture_disks(struct capture *ca, const json_t *events)
{
    struct cap_header *h = &ca->ca_header;

    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        const char *name = json_string_value(json_object_get(json_object_get(e, "args"), "name"));

        if (!capture_is(e, "ph", "M") || !capture_is(e, "name", "process_name") || name == NULL ||
            strchr(name, ' ') != NULL || strlen(name) >= CAP_NAME_MAX || h->ch_ndisks == SCP_DISKS_MAX ||
            (ca->ca_disk != NULL && strcmp(ca->ca_disk, name) != 0))
            continue;
        ca->ca_pid[h->ch_ndisks] = (unsigned)json_integer_value(json_object_get(e, "pid"));
        (void)snprintf(h->ch_disks[h->ch_ndisks++], CAP_NAME_MAX, "%s", name);
    }
}

static uint64_t capture_number(const json_t *args, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(args, key));
}

/* A command's event. What has no CDB controls a queue and is no command of a disk. */
static void capture_command(struct capture *ca, const json_t *event)
{
    struct capture_command *cc = &ca->ca_commands[ca->ca_n];
    struct cap_record *r = &cc->cc_record;
    const json_t *args = json_object_get(event, "args"), *status = json_object_get(args, "status");
    const json_int_t pid = json_integer_value(json_object_get(event, "pid"));

    memset(cc, 0, sizeof(*cc));
    while (r->cr_disk < ca->ca_header.ch_ndisks && ca->ca_pid[r->cr_disk] != pid)
        r->cr_disk++;
    r->cr_cdb_bytes = cap_cdb_parse(json_string_value(json_object_get(args, "cdb")), r->cr_cdb);
    if (r->cr_disk == ca->ca_header.ch_ndisks || r->cr_cdb_bytes == 0)
        return;
    cc->cc_number = capture_number(args, "command");
    r->cr_ns = (uint64_t)(json_number_value(json_object_get(event, "ts")) * 1000.0 + 0.5);
    r->cr_bytes = (uint32_t)capture_number(args, "bytes");
    r->cr_in = json_is_true(json_object_get(args, "in"));
    r->cr_tag = (uint8_t)capture_number(args, "tag");
    r->cr_back = status != NULL;
    r->cr_errno = (uint32_t)capture_number(args, "errno");
    r->cr_resid = capture_number(args, "resid");
    for (size_t i = 0; i < 4; i++)
        r->cr_status[i] = (uint8_t)json_integer_value(json_array_get(status, i));
    ca->ca_n++;
}

static int capture_order(const void *a, const void *b)
{
    const uint64_t x = ((const struct capture_command *)a)->cc_number;
    const uint64_t y = ((const struct capture_command *)b)->cc_number;

    return x < y ? -1 : x > y;
}

/* What recovery found out: the sense of a command that came back before. */
static void capture_sense(struct capture *ca, const json_t *args)
{
    const struct capture_command key = {.cc_number = capture_number(args, "command")};
    struct capture_command *cc =
        ca->ca_n > 0 ? bsearch(&key, ca->ca_commands, ca->ca_n, sizeof(key), capture_order) : NULL;
    struct cap_record *r = cc != NULL ? &cc->cc_record : NULL;
    uint8_t sense[3];

    if (r == NULL || r->cr_sensed || !r->cr_back || r->cr_status[0] != SC_SCSI_ERROR ||
        r->cr_status[1] != SC_CHECK_CONDITION ||
        !cap_sense_parse(json_string_value(json_object_get(args, "sense")), sense) || sense[0] == 0)
        return;
    memcpy(r->cr_sense, sense, sizeof(sense));
    r->cr_sensed = true;
}

static int capture_collect(struct capture *ca, const json_t *all)
{
    const json_t *events = json_object_get(all, "traceEvents");
    const size_t n = json_array_size(events);

    capture_disks(ca, events);
    ca->ca_header.ch_lost = capture_number(json_object_get(all, "otherData"), "lost");
    ca->ca_commands = calloc(n + 1, sizeof(*ca->ca_commands));
    if (ca->ca_commands == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    for (size_t i = 0; i < n; i++)
        if (capture_is(json_array_get(events, i), "cat", "command"))
            capture_command(ca, json_array_get(events, i));
    if (ca->ca_n > 0)
        qsort(ca->ca_commands, ca->ca_n, sizeof(*ca->ca_commands), capture_order);
    for (size_t i = 0; i < n; i++)
        if (capture_is(json_array_get(events, i), "cat", "recovery"))
            capture_sense(ca, json_object_get(json_array_get(events, i), "args"));
    ca->ca_header.ch_commands = ca->ca_n;
    if (ca->ca_header.ch_ndisks == 0)
        return cli_fail(CLI_FAILED, "capture: %s: no such disk any more",
                        ca->ca_disk != NULL ? ca->ca_disk : ca->ca_mount);
    return CLI_OK;
}

/* ------------------------------------------------------------------ the command */

static int capture_write(const struct capture *ca, struct cli_out *out)
{
    const int fd = dup(out->o_fd);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool good;

    if (f == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return cli_fail(CLI_FAILED, "%s: %s; %s", ca->ca_out, strerror(errno), cli_out_left(out));
    }
    good = cap_header_write(f, &ca->ca_header);
    for (size_t i = 0; i < ca->ca_n && good; i++)
        good = cap_record_write(f, &ca->ca_header, &ca->ca_commands[i].cc_record);
    good &= ferror(f) == 0;
    if (fclose(f) == 0 && good)
        return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: %s; %s", ca->ca_out, strerror(errno), cli_out_left(out));
}

static int capture_summary(const struct capture *ca)
{
    const struct cap_header *h = &ca->ca_header;

    if (ca->ca_json)
        return cli_json_print(json_pack("{s:o,s:i,s:I,s:I}", "file", cli_json_string(ca->ca_out), "disks",
                                        (int)h->ch_ndisks, "commands", (json_int_t)h->ch_commands, "lost",
                                        (json_int_t)h->ch_lost));
    printf("%s: %llu commands of %u disk%s\n", ca->ca_out, (unsigned long long)h->ch_commands, h->ch_ndisks,
           h->ch_ndisks == 1 ? "" : "s");
    if (h->ch_lost > 0)
        printf("the oldest %llu records were overwritten; more --records keep them\n",
               (unsigned long long)h->ch_lost);
    return cli_stdout(CLI_OK);
}

static int capture_take(struct capture *ca, struct cli_out *out)
{
    int rc = CLI_OK;
    char *text = cli_trace_text(ca->ca_mount, true, ca->ca_records, ca->ca_seconds, &rc);
    json_error_t error;
    json_t *all;

    if (text == NULL)
        return rc;
    all = json_loads(text, 0, &error);
    free(text);
    if (all == NULL)
        return cli_fail(CLI_FAILED, "capture: the trace is not JSON (%s)", error.text);
    rc = capture_collect(ca, all);
    json_decref(all);
    return rc == CLI_OK ? capture_write(ca, out) : rc;
}

static int capture_do(struct capture *ca)
{
    struct cli_out out = {.o_fd = -1};
    int rc = ca->ca_disk != NULL ? cli_flight_disk("capture", ca->ca_mount, ca->ca_disk) : CLI_OK;

    /* A file that cannot be written is told before anything is recorded. */
    if (rc == CLI_OK)
        rc = cli_out_open(&out, ca->ca_out);
    if (rc == CLI_OK)
        rc = capture_take(ca, &out);
    rc = cli_out_close(&out, rc);
    if (rc == CLI_OK)
        rc = capture_summary(ca);
    free(ca->ca_commands);
    return rc;
}

static int capture_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{"seconds", required_argument, NULL, 's'},
                                          {"out", required_argument, NULL, 'o'},
                                          {"records", required_argument, NULL, 'r'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    struct capture *ca = calloc(1, sizeof(*ca));
    int c, rc = CLI_OK;

    if (ca == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    *ca = (struct capture){.ca_seconds = CLI_TRACE_SECONDS, .ca_records = TRC_RECORDS_DEFAULT};
    while (rc == CLI_OK && (c = cli_getopt(cmd, argc, argv, ":s:o:r:j", longs)) != -1) {
        if (c == CLI_GETOPT_HELP || c == CLI_GETOPT_BAD) {
            free(ca);
            return cli_getopt_rc(c);
        }
        if (c == 's' && !cli_number("--seconds", optarg, 1, CLI_TRACE_SECONDS_MAX, &ca->ca_seconds))
            rc = CLI_USAGE;
        if (c == 'r' && !cli_number("--records", optarg, TRC_RECORDS_MIN, TRC_RECORDS_MAX, &ca->ca_records))
            rc = CLI_USAGE;
        ca->ca_json |= c == 'j';
        if (c == 'o')
            ca->ca_out = optarg;
    }
    if (rc == CLI_OK &&
        !cli_arguments(cmd, argc, argv, argc - optind >= 2 ? "MOUNTPOINT DISK" : "MOUNTPOINT"))
        rc = CLI_USAGE;
    if (rc == CLI_OK && argc - optind == 2 && !cli_disk_name(cmd, argv[optind + 1]))
        rc = CLI_USAGE;
    if (rc == CLI_OK && ca->ca_out == NULL)
        rc = cli_fail(CLI_USAGE, "capture: --out FILE is missing: where the commands go");
    if (rc == CLI_OK) {
        ca->ca_mount = argv[optind];
        ca->ca_disk = argc - optind == 2 ? argv[optind + 1] : NULL;
        rc = capture_do(ca);
    }
    free(ca);
    return rc;
}

const struct cli_command cli_capture = {
    "capture",
    "[--seconds N] [--records N] --out FILE [--json] MOUNTPOINT [DISK]",
    "the commands a disk had and what came of each, for scpair replay",
    "  -o, --out FILE    where they go: JSON lines, the first says what it is\n"
    "  -s, --seconds N   for so long, 1 to 3600 (5), or until Ctrl-C\n"
    "  -r, --records N   keep the last N records of the trace, 16 to 1048576 (65536); a request is about "
    "ten\n"
    "  -j, --json        say how much it was as JSON\n\n"
    "Each line is a command in the order of sending: its CDB, how much data it was to move and where to, "
    "its\n"
    "queue tag, SCSI and adapter status, residual, and sense where the driver judged it. Data are not in\n"
    "the file. With DISK (hdisk0) it is that disk's only. The trace is used for it: one runs at a time.\n\n"
    "Examples:\n"
    "  scpair capture --seconds 2 --out c.jsonl mnt hdisk0 & dd if=mnt/rhdisk0 of=/dev/null bs=1M; wait\n"
    "  scpair replay c.jsonl --disk ram:256M\n"
    "  tail -n +2 c.jsonl | jq -r .cdb[0:2] | sort | uniq -c     # which commands, how often\n",
    capture_run,
};
