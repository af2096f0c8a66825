/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_errlog.c - scpair errlog: the error log of a mount, once or as it grows.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ERRLOG_LOOK_NS 250000000u /* between two looks with --follow */
#define ERRLOG_DATE    11u        /* characters of "2025-06-01 " */

static const char *errlog_string(const json_t *record, const char *key)
{
    const char *text = json_string_value(json_object_get(record, key));

    return text != NULL ? text : "?";
}

/* "2025-06-01T10:20:30.123456Z" as local time, "2025-06-01 12:20:30.123". */
static void errlog_time(const json_t *record, const char *key, char *out, size_t size)
{
    struct tm tm = {0};
    const char *text = errlog_string(record, key);
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    time_t t = rest != NULL ? timegm(&tm) : 0;
    char local[32];

    if (rest == NULL || localtime_r(&t, &tm) == NULL || strftime(local, sizeof(local), "%F %T", &tm) == 0)
        (void)snprintf(out, size, "%s", text);
    else
        (void)snprintf(out, size, "%s%.4s", local, rest);
}

static void errlog_blocks(const json_t *record)
{
    const json_t *first = json_object_get(record, "block_first");
    json_int_t from = json_integer_value(first);
    json_int_t to = json_integer_value(json_object_get(record, "block_last"));

    if (first != NULL && from == to)
        printf(": block %lld", (long long)from);
    else if (first != NULL)
        printf(": blocks %lld-%lld", (long long)from, (long long)to);
}

static void errlog_print(const json_t *record)
{
    json_int_t number = json_integer_value(json_object_get(record, "errno"));
    json_int_t count = json_integer_value(json_object_get(record, "count"));
    const char *image = json_string_value(json_object_get(record, "image"));
    char last[40], first[40];

    errlog_time(record, "last", last, sizeof(last));
    errlog_time(record, "first", first, sizeof(first));
    printf("%5lld %s %s %-9s %s", (long long)json_integer_value(json_object_get(record, "seq")), last,
           errlog_string(record, "type"), errlog_string(record, "id"), errlog_string(record, "resource"));
    if (image != NULL)
        printf(" (%s)", image);
    printf(" %s", errlog_string(record, "text"));
    errlog_blocks(record);
    if (number != 0)
        printf(" [%s]", scp_strerror((int)number));
    /* The date of the first one only when it is another. */
    if (count > 1)
        printf(" (%lld times since %s)", (long long)count,
               strncmp(first, last, ERRLOG_DATE) == 0 ? first + ERRLOG_DATE : first);
    printf("\n");
}

/* Print the records of JSON lines that come after *seq, and move *seq along. */
static int errlog_show(char *text, bool json, json_int_t *seq)
{
    char *rest = text;
    char *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        json_t *record = *line != '\0' ? json_loads(line, 0, NULL) : NULL;
        json_int_t n = json_integer_value(json_object_get(record, "seq"));

        if (record != NULL && n > *seq) {
            *seq = n;
            if (json)
                printf("%s\n", line);
            else
                errlog_print(record);
        }
        json_decref(record);
    }
    return cli_stdout(CLI_OK);
}

static int errlog_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"follow", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    bool json = false, follow = false;
    json_int_t seq = 0;
    struct cli_flight_seen seen = {0};
    const char *disk = NULL, *file = "errlog";
    int c, rc = CLI_FAILED;
    char *text;

    while ((c = cli_getopt(cmd, argc, argv, ":jf", longs)) != -1) {
        if (c == 'j')
            json = true;
        else if (c == 'f')
            follow = true;
        else
            return cli_getopt_rc(c);
    }
    if (argc - optind >= 2) {
        if (!cli_arguments(cmd, argc, argv, "MOUNTPOINT DISK") || !cli_disk_name(cmd, argv[optind + 1]))
            return CLI_USAGE;
        disk = argv[optind + 1];
        file = "flight";
        rc = cli_flight_disk(cmd->c_name, argv[optind], disk);
        if (rc != CLI_OK)
            return rc;
    } else if (!cli_arguments(cmd, argc, argv, "MOUNTPOINT")) {
        return CLI_USAGE;
    }
    text = cli_ctl_read(argv[optind], file, &rc);
    while (text != NULL) {
        rc = disk != NULL ? cli_flight_show(text, disk, json, &seen) : errlog_show(text, json, &seq);
        free(text);
        if (!follow || rc != CLI_OK)
            break;
        cli_sleep_ns(ERRLOG_LOOK_NS);
        text = cli_ctl_again(argv[optind], file, &rc);
    }
    return rc;
}

const struct cli_command cli_errlog = {
    "errlog",
    "[--json] [--follow] MOUNTPOINT [DISK]",
    "the error log, or with DISK its last recoveries step by step",
    "  -j, --json     one JSON object per line\n"
    "  -f, --follow   go on, until Ctrl-C or the unmount; a record whose count rose comes again\n\n"
    "Columns: number, time, TEMP (recovered) or PERM, kind, device and its image, text, blocks,\n"
    "what the caller got, how often. What happens again within a minute is one record with a count.\n"
    "The log keeps the last 256 records.\n\n"
    "With DISK (hdisk0) it is the disk's flight recorder and its LUN's in the adapter driver instead:\n"
    "the last 32 steps of each, every one with its own time. A command that came back with an error\n"
    "says what was seen, which rule fired and what was done; \"over\" says how many of the requests\n"
    "that took part failed and were good, and how long it took from the first error to the last end.\n\n"
    "Examples:\n"
    "  scpair inject mnt hdisk0 op=read lba=1000 count=forever do=check:3/11/00\n"
    "  dd if=mnt/rhdisk0 of=/dev/null skip=1000 count=1; scpair errlog mnt hdisk0\n"
    "  scpair errlog --json mnt | jq 'select(.type == \"PERM\")'\n",
    errlog_run,
};
