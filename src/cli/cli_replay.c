/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_replay.c - scpair replay: send captured commands to simulated disks of this process, and compare.
 *
 * Each goes as a pass-through command, so that no recovery comes between, one after the other in the order in
 * which they were sent. The whole file is looked at before the first one is sent. Data that went out were not
 * captured: blocks are written as zeroes, and a command whose data say what it does is left out.
 *
 * Does not contain: the file (cli_capfile.c), where it comes from (cli_capture.c).
 */
#define _GNU_SOURCE
#include "cli_capfile.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/scsiproto.h>
#include <unistd.h>

#define REPLAY_SHOWN     10u /* differences that are named */
#define REPLAY_TIMEOUT_S 60u
#define REPLAY_TICK_NS   100000000u /* between two looks of the progress bar */
#define REPLAY_TEXT_MAX  128u

/* Why a command is not sent. */
enum replay_skip {
    REPLAY_SENT,
    REPLAY_NOT_BACK,
    REPLAY_NEVER_SENT,
    REPLAY_WRITES,
    REPLAY_PARAMETERS,
    REPLAY_TOO_LONG,
    REPLAY_FORM,
    REPLAY_SKIPS
};
static const char *const replay_why[REPLAY_SKIPS] = {
    "",
    "had not come back when the capture ended",
    "did not reach the disk",
    "would write, and --no-writes is given",
    "depend on data that the file does not have",
    "move more than a command may here; see --max-transfer",
    "have a form that is not passed through",
};
static const char *const replay_key[REPLAY_SKIPS] = {"",           "unfinished", "not_sent", "writes",
                                                     "parameters", "too_long",   "form"};

struct replay {
    struct cli_pair re_pair;
    const char *re_path;
    bool re_no_writes, re_json, re_terminal;
    struct cli_end re_end[SCP_DISKS_MAX];
    uint64_t re_max[SCP_DISKS_MAX]; /* bytes in a command */
    uint8_t *re_data;
    size_t re_room;
    uint64_t re_equal, re_different, re_skipped[REPLAY_SKIPS];
    json_t *re_shown; /* the first differences */
    uint64_t re_started, re_looked;
};

/* ------------------------------------------------------------------ one command */

/* Does it write blocks, so that zeroes will do for its data? */
static bool replay_writes_blocks(uint8_t op)
{
    return op == SCSI_WRITE_6 || op == SCSI_WRITE_10 || op == SCSI_WRITE_12 || op == SCSI_WRITE_16 ||
           op == SCSI_WRITE_VERIFY_10 || op == SCSI_WRITE_VERIFY_12 || op == SCSI_WRITE_VERIFY_16 ||
           op == SCSI_WRITE_SAME_10 || op == SCSI_WRITE_SAME_16;
}

/* Does it change the medium, with data or without? */
static bool replay_changes(const struct cap_record *r)
{
    const uint8_t op = r->cr_cdb[0];

    return replay_writes_blocks(op) || op == SCSI_FORMAT_UNIT || op == SCSI_SANITIZE || op == SCSI_UNMAP ||
           op == SCSI_REASSIGN_BLOCKS || op == SCSI_COMPARE_AND_WRITE || op == SCSI_ORWRITE_16 ||
           (!r->cr_in && r->cr_bytes > 0);
}

static enum replay_skip replay_skip(const struct replay *re, const struct cap_record *r)
{
    const unsigned n = r->cr_cdb_bytes;

    if (!r->cr_back)
        return REPLAY_NOT_BACK;
    if (r->cr_errno != 0 && r->cr_status[0] == 0)
        return REPLAY_NEVER_SENT;
    if ((n != 6 && n != 10 && n != 12 && n != 16) || r->cr_cdb[0] >> 5 == 3 ||
        (r->cr_tag != 0 && (r->cr_tag < SC_SIMPLE_Q || r->cr_tag > SC_ORDERED_Q)))
        return REPLAY_FORM;
    if (re->re_no_writes && replay_changes(r))
        return REPLAY_WRITES;
    if (!r->cr_in && r->cr_bytes > 0 && !replay_writes_blocks(r->cr_cdb[0]))
        return REPLAY_PARAMETERS;
    return r->cr_bytes > re->re_max[r->cr_disk] ? REPLAY_TOO_LONG : REPLAY_SENT;
}

/* What a disk answered, in words: the part of it that is compared. */
static void replay_answer(const uint8_t status[4], bool sensed, const uint8_t sense[3], char *out)
{
    if (status[0] & SC_ADAPTER_ERROR)
        (void)snprintf(out, REPLAY_TEXT_MAX, "adapter status %02x", status[2]);
    else if (!(status[0] & SC_SCSI_ERROR))
        (void)snprintf(out, REPLAY_TEXT_MAX, "good");
    else if (sensed)
        (void)snprintf(out, REPLAY_TEXT_MAX, "status %02x, sense %x/%02x/%02x", status[1], sense[0], sense[1],
                       sense[2]);
    else
        (void)snprintf(out, REPLAY_TEXT_MAX, "status %02x", status[1]);
}

/* Send it. What comes of it is as in a record: only that part of `now` is set. */
static int replay_send(struct replay *re, const struct cap_record *r, struct cap_record *now)
{
    struct sc_passthru *pt = calloc(1, sizeof(*pt));
    struct scsi_sense sense;
    int error;

    memset(now, 0, sizeof(*now));
    if (pt == NULL)
        return ENOMEM;
    pt->version = SC_VERSION_1;
    pt->q_tag_msg = r->cr_tag;
    pt->flags = r->cr_in ? SC_PT_READ : 0;
    pt->command_length = (uint8_t)r->cr_cdb_bytes;
    pt->autosense_length = SC_PASSTHRU_SENSE;
    pt->timeout_value = REPLAY_TIMEOUT_S;
    pt->buffer = (uintptr_t)re->re_data;
    pt->data_length = r->cr_bytes;
    memcpy(pt->scsi_cdb, r->cr_cdb, sizeof(pt->scsi_cdb));
    if (!r->cr_in)
        memset(re->re_data, 0, r->cr_bytes);
    error = fp_ioctlx(re->re_end[r->cr_disk].e_file, DK_PASSTHRU, (intptr_t)pt, 0, DKERNEL | DREAD | DWRITE);
    now->cr_back = true;
    now->cr_status[0] = pt->status_validity;
    now->cr_status[1] = pt->scsi_bus_status;
    now->cr_status[2] = pt->adapter_status;
    now->cr_resid = pt->residual;
    sense = scsi_sense_parse(pt->autosense, pt->sense_bytes);
    now->cr_sensed = pt->sense_bytes > 0;
    now->cr_sense[0] = sense.key;
    now->cr_sense[1] = sense.asc;
    now->cr_sense[2] = sense.ascq;
    free(pt);
    return error != 0 && now->cr_status[0] == 0 ? error : 0;
}

/* Are they equal in what both know? Else `what` says in which. */
static const char *replay_compare(const struct cap_record *r, const struct cap_record *now)
{
    if (r->cr_status[0] != now->cr_status[0] ||
        ((r->cr_status[0] & SC_SCSI_ERROR) && r->cr_status[1] != now->cr_status[1]) ||
        ((r->cr_status[0] & SC_ADAPTER_ERROR) && r->cr_status[2] != now->cr_status[2]))
        return "status";
    if (r->cr_sensed && now->cr_sensed && memcmp(r->cr_sense, now->cr_sense, sizeof(r->cr_sense)) != 0)
        return "sense";
    return r->cr_resid != now->cr_resid ? "resid" : NULL;
}

static void replay_differs(struct replay *re, const struct cap_file *cf, const struct cap_record *r,
                           const struct cap_record *now, const char *what, int error)
{
    char cdb[2 * CAP_CDB_MAX + 1], was[REPLAY_TEXT_MAX], is[REPLAY_TEXT_MAX];

    re->re_different++;
    if (json_array_size(re->re_shown) == REPLAY_SHOWN)
        return;
    replay_answer(r->cr_status, r->cr_sensed, r->cr_sense, was);
    replay_answer(now->cr_status, now->cr_sensed, now->cr_sense, is);
    if (error != 0)
        (void)snprintf(is, sizeof(is), "not sent: %s", scp_strerror(error));
    else if (strcmp(what, "resid") == 0) {
        (void)snprintf(was, sizeof(was), "%llu bytes not moved", (unsigned long long)r->cr_resid);
        (void)snprintf(is, sizeof(is), "%llu bytes not moved", (unsigned long long)now->cr_resid);
    }
    (void)json_array_append_new(re->re_shown,
                                json_pack("{s:I,s:o,s:s,s:s,s:s,s:s}", "line", (json_int_t)cf->cf_line,
                                          "disk", cli_json_string(cf->cf_header.ch_disks[r->cr_disk]), "cdb",
                                          cap_cdb_text(r->cr_cdb, r->cr_cdb_bytes, cdb), "what", what, "was",
                                          was, "is", is));
}

static void replay_one(struct replay *re, const struct cap_file *cf, const struct cap_record *r)
{
    const enum replay_skip skip = replay_skip(re, r);
    struct cap_record now;
    const char *what;
    int error;

    if (skip != REPLAY_SENT) {
        re->re_skipped[skip]++;
        return;
    }
    error = replay_send(re, r, &now);
    what = error != 0 ? "error" : replay_compare(r, &now);
    if (what == NULL)
        re->re_equal++;
    else
        replay_differs(re, cf, r, &now, what, error);
}

/* ------------------------------------------------------------------ all of them */

static void replay_progress(struct replay *re, const struct cap_file *cf, bool over)
{
    const uint64_t all = cf->cf_header.ch_commands, now = cli_now_ns();

    if (!re->re_terminal || (!over && now - re->re_looked < REPLAY_TICK_NS))
        return;
    re->re_looked = now;
    if (over)
        fprintf(stderr, "\r%*s\r", 13, "");
    else
        fprintf(stderr, "\rreplay: %3u%%", (unsigned)((double)(cf->cf_line - 1) * 100.0 / (double)all));
}

/* Before anything is sent: is all of the file good? */
static int replay_check(struct cap_file *cf)
{
    struct cap_record r;
    bool end = false;
    int rc;

    do
        rc = cap_next(cf, &r, &end);
    while (rc == CLI_OK && !end);
    return rc == CLI_OK ? cap_rewind(cf) : rc;
}

static int replay_commands(struct replay *re, struct cap_file *cf)
{
    struct cap_record r;
    bool end = false;
    int rc = CLI_OK;

    re->re_terminal = isatty(STDERR_FILENO) == 1;
    while (rc == CLI_OK) {
        rc = cap_next(cf, &r, &end);
        if (rc != CLI_OK || end)
            break;
        replay_one(re, cf, &r);
        replay_progress(re, cf, false);
        if (cli_stopped() != 0) {
            replay_progress(re, cf, true);
            return cli_fail(CLI_FAILED, "replay: interrupted at line %llu of %s",
                            (unsigned long long)cf->cf_line, re->re_path);
        }
    }
    replay_progress(re, cf, true);
    return rc;
}

static int replay_disks(struct replay *re)
{
    int rc = cli_pair_create(&re->re_pair);

    for (unsigned i = 0; i < re->re_pair.p_ndisks && rc == CLI_OK; i++) {
        struct sc_disk_info info;

        rc = cli_end_disk(&re->re_end[i], &re->re_pair, i, re->re_pair.p_texts[i], !re->re_no_writes);
        if (rc != CLI_OK)
            break;
        if (fp_ioctl(re->re_end[i].e_file, DKINFO, (intptr_t)&info, 0) != 0)
            return cli_fail(CLI_FAILED, "%s: the disk does not say what it is", re->re_pair.p_texts[i]);
        re->re_max[i] = info.transfer_bytes_max;
        if (re->re_room < info.transfer_bytes_max)
            re->re_room = (size_t)info.transfer_bytes_max;
    }
    if (rc != CLI_OK)
        return rc;
    re->re_room = (re->re_room + SC_PAGE_SIZE) / SC_PAGE_SIZE * SC_PAGE_SIZE;
    re->re_data = aligned_alloc(SC_PAGE_SIZE, re->re_room);
    re->re_shown = json_array();
    return re->re_data != NULL && re->re_shown != NULL ? CLI_OK : cli_fail(CLI_FAILED, "no memory");
}

/* ------------------------------------------------------------------ the report */

static const char *replay_string(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int replay_report_json(struct replay *re, const struct cap_header *h, double seconds, uint64_t skipped)
{
    json_t *why = json_object();

    for (unsigned i = 1; i < REPLAY_SKIPS; i++)
        if (re->re_skipped[i] > 0)
            (void)json_object_set_new(why, replay_key[i], json_integer((json_int_t)re->re_skipped[i]));
    return cli_json_print(json_pack("{s:o,s:I,s:I,s:I,s:I,s:o,s:I,s:f,s:O,s:b}", "file",
                                    cli_json_string(re->re_path), "commands", (json_int_t)h->ch_commands,
                                    "equal", (json_int_t)re->re_equal, "different",
                                    (json_int_t)re->re_different, "skipped", (json_int_t)skipped,
                                    "why_skipped", why, "lost", (json_int_t)h->ch_lost, "seconds", seconds,
                                    "differences", re->re_shown, "ok", re->re_different == 0));
}

static int replay_report(struct replay *re, const struct cap_header *h)
{
    const double seconds = (double)(cli_now_ns() - re->re_started) / 1e9;
    uint64_t skipped = 0;
    int rc;

    for (unsigned i = 1; i < REPLAY_SKIPS; i++)
        skipped += re->re_skipped[i];
    if (re->re_json) {
        rc = replay_report_json(re, h, seconds, skipped);
    } else {
        for (size_t i = 0; i < json_array_size(re->re_shown); i++) {
            const json_t *d = json_array_get(re->re_shown, i);

            printf("line %lld: %s %s: was %s, is %s\n",
                   (long long)json_integer_value(json_object_get(d, "line")), replay_string(d, "disk"),
                   replay_string(d, "cdb"), replay_string(d, "was"), replay_string(d, "is"));
        }
        if (re->re_different > REPLAY_SHOWN)
            printf("and %llu more\n", (unsigned long long)(re->re_different - REPLAY_SHOWN));
        for (unsigned i = 1; i < REPLAY_SKIPS; i++)
            if (re->re_skipped[i] > 0)
                printf("skipped: %llu that %s\n", (unsigned long long)re->re_skipped[i], replay_why[i]);
        if (h->ch_lost > 0)
            printf("the capture had lost its oldest %llu trace records\n", (unsigned long long)h->ch_lost);
        printf("%s: %llu commands: %llu equal, %llu different, %llu skipped (%.2f s)\n", re->re_path,
               (unsigned long long)h->ch_commands, (unsigned long long)re->re_equal,
               (unsigned long long)re->re_different, (unsigned long long)skipped, seconds);
        rc = cli_stdout(CLI_OK);
    }
    if (rc == CLI_OK && re->re_different > 0)
        rc = cli_fail(CLI_FAILED, "%s: %llu of %llu commands were answered in another way", re->re_path,
                      (unsigned long long)re->re_different, (unsigned long long)h->ch_commands);
    return rc;
}

static int replay_do(struct replay *re)
{
    struct cap_file cf;
    int rc = cap_open(&cf, re->re_path);

    if (rc == CLI_OK)
        rc = replay_check(&cf);
    if (rc == CLI_OK && cf.cf_header.ch_ndisks != re->re_pair.p_ndisks)
        rc = cli_fail(CLI_USAGE, "replay: %s has the commands of %u disk%s; give %s --disk, not %u",
                      re->re_path, cf.cf_header.ch_ndisks, cf.cf_header.ch_ndisks == 1 ? "" : "s",
                      cf.cf_header.ch_ndisks == 1 ? "one" : "each a", re->re_pair.p_ndisks);
    if (rc == CLI_OK)
        rc = replay_disks(re);
    if (rc == CLI_OK) {
        cli_stop_catch();
        re->re_started = cli_now_ns();
        rc = replay_commands(re, &cf);
        if (rc == CLI_OK)
            rc = replay_report(re, &cf.cf_header);
    }
    for (unsigned i = 0; i < SCP_DISKS_MAX; i++)
        cli_end_close(&re->re_end[i]);
    json_decref(re->re_shown);
    free(re->re_data);
    cap_close(&cf);
    return rc;
}

static int replay_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {CLI_PAIR_OPTIONS,
                                          {"no-writes", no_argument, NULL, 'n'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    struct replay *re = calloc(1, sizeof(*re));
    int c, rc = CLI_OK;

    if (re == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    for (unsigned i = 0; i < SCP_DISKS_MAX; i++)
        re->re_end[i].e_fd = -1;
    while (rc == CLI_OK && (c = cli_getopt(cmd, argc, argv, ":nj", longs)) != -1) {
        if (c == CLI_GETOPT_HELP || c == CLI_GETOPT_BAD) {
            rc = cli_pair_end(&re->re_pair, cli_getopt_rc(c));
            free(re);
            return rc;
        }
        re->re_no_writes |= c == 'n';
        re->re_json |= c == 'j';
        if (c != 'n' && c != 'j')
            rc = cli_pair_option(&re->re_pair, c, optarg);
    }
    if (rc == CLI_OK && !cli_arguments(cmd, argc, argv, "FILE"))
        rc = CLI_USAGE;
    if (rc == CLI_OK && re->re_pair.p_ndisks == 0)
        rc = cli_fail(CLI_USAGE, "replay: no --disk to send the commands to; for example --disk ram:256M");
    if (rc == CLI_OK) {
        re->re_path = argv[optind];
        rc = replay_do(re);
    }
    rc = cli_pair_end(&re->re_pair, rc);
    free(re);
    return rc;
}

const struct cli_command cli_replay = {
    "replay",
    "[--no-writes] [--json] --disk FILE[,OPTION]... FILE",
    "send captured commands to a simulated disk and compare what it answers",
    "FILE is from scpair capture. Its commands go one by one, in the order in which they were sent, to "
    "disks\n"
    "of this process, through both drivers and without recovery. Compared are SCSI and adapter status, "
    "sense\n"
    "where the file has it, and the residual; not data, which the file does not have.\n\n"
    "  --disk FILE,...    the disk, as for mount: as large as the captured one, with the same block size. "
    "One\n"
    "                     for each disk in the file, in that order. Writes go to it as zeroes, which\n"
    "                     DESTROYS what is on an image; ram:SIZE is nobody's\n"
    "  -n, --no-writes    leave out what changes the medium\n"
    "  -j, --json         {\"commands\", \"equal\", \"different\", \"skipped\", \"why_skipped\", \"lost\",\n"
    "                     \"seconds\", \"differences\": the first ten, \"ok\"}\n\n"
    "Left out is also what had not come back, what never reached the disk, and what sends parameters, such "
    "as\n"
    "MODE SELECT or UNMAP. Exit code 0: all that were sent are equal; 1: some are not, the first ten are "
    "named.\n\n"
    "Examples:\n"
    "  scpair capture --seconds 2 --out c.jsonl mnt hdisk0 && scpair replay c.jsonl --disk ram:256M\n"
    "  scpair replay --no-writes --json c.jsonl --disk copy-of.img | jq .differences\n",
    replay_run,
};
