/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_errlog.c - scpair errlog: the error log of a mount, once or as it grows.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <stdlib.h>
#include <string.h>

#define ERRLOG_LOOK_NS 250000000u /* between two looks with --follow */

static const char *errlog_string(const json_t *record, const char *key)
{
    const char *text = json_string_value(json_object_get(record, key));

    return text != NULL ? text : "?";
}

static void errlog_print(const json_t *record)
{
    json_int_t number = json_integer_value(json_object_get(record, "errno"));
    json_int_t ns = json_integer_value(json_object_get(record, "when_ns"));

    printf("%5lld %12.6f %s %-9s %-8s %s", (long long)json_integer_value(json_object_get(record, "seq")),
           (double)ns / 1e9, errlog_string(record, "type"), errlog_string(record, "id"),
           errlog_string(record, "resource"), errlog_string(record, "text"));
    if (number != 0)
        printf(" [%s]", scp_strerror((int)number));
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
    return fflush(stdout) == 0 ? CLI_OK : cli_fail(CLI_FAILED, "stdout: %s", strerror(errno));
}

static int errlog_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"follow", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    bool json = false, follow = false;
    json_int_t seq = 0;
    int c, rc;

    while ((c = cli_getopt(cmd, argc, argv, ":jf", longs)) != -1) {
        if (c == 'j')
            json = true;
        else if (c == 'f')
            follow = true;
        else
            return cli_getopt_rc(c);
    }
    if (!cli_arguments(cmd, argc, 1))
        return CLI_USAGE;
    do {
        char *text = cli_ctl_read(argv[optind], "errlog", &rc);

        if (text == NULL)
            return rc;
        rc = errlog_show(text, json, &seq);
        free(text);
        if (follow)
            cli_sleep_ns(ERRLOG_LOOK_NS);
    } while (follow && rc == CLI_OK);
    return rc;
}

const struct cli_command cli_errlog = {
    "errlog",
    "[--json] [--follow] MOUNTPOINT",
    "the error log: what was seen, which rule fired, what was done",
    "  -j, --json     one JSON object per line\n"
    "  -f, --follow   go on until interrupted\n\n"
    "Columns: number, seconds of the monotonic clock, TEMP (recovered) or PERM, kind, device, text.\n"
    "The log keeps the last 256 records.\n\n"
    "Example:\n"
    "  scpair errlog --json mnt | jq 'select(.type == \"PERM\")'\n",
    errlog_run,
};
