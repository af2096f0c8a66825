/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_flight.c - scpair errlog MOUNTPOINT DISK: the story of a disk's last recoveries, a line a step.
 *
 * The server hands out the flight recorders as JSON lines (scp/scp_flight.c); --json passes on those of
 * the disk, else they become sentences. A blank line parts one story from the next.
 *
 * Does not contain: the options, nor the error log itself (cli_errlog.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *flight_string(const json_t *step, const char *key)
{
    const char *text = json_string_value(json_object_get(step, key));

    return text != NULL ? text : "";
}

static long long flight_number(const json_t *step, const char *key)
{
    return (long long)json_integer_value(json_object_get(step, key));
}

const char *cli_time_text(double ns, char *out, size_t size)
{
    static const char *const unit[] = {"ns", "us", "ms", "s"};
    unsigned i = 0;

    while (ns >= 1000.0 && i + 1 < SC_ARRAY_SIZE(unit)) {
        ns /= 1000.0;
        i++;
    }
    (void)snprintf(out, size, "%.3g %s", ns, unit[i]);
    return out;
}

/* "2025-06-01T10:20:30.123456Z" as local time with microseconds. */
static void flight_when(const json_t *step)
{
    struct tm tm = {0};
    const char *text = flight_string(step, "when");
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    time_t t = rest != NULL ? timegm(&tm) : 0;
    char local[32];

    if (rest != NULL && localtime_r(&t, &tm) != NULL && strftime(local, sizeof(local), "%F %T", &tm) != 0)
        printf("%s%.7s ", local, rest);
    else
        printf("%s ", text);
}

/* "READ of blocks 1000-1031, 4 requests" */
static void flight_command(const json_t *step, bool requests)
{
    long long lba = flight_number(step, "lba"), blocks = flight_number(step, "blocks");
    long long n = flight_number(step, "requests");
    const char *op = flight_string(step, "command");

    if (*op != '\0')
        printf("%s", op);
    else
        printf("opcode %02llx", flight_number(step, "opcode"));
    if (blocks == 1)
        printf(" of block %lld", lba);
    else if (blocks > 1)
        printf(" of blocks %lld-%lld", lba, lba + blocks - 1);
    if (requests && n > 1)
        printf(", %lld requests", n);
}

static void flight_over(const json_t *step, const char *took)
{
    long long failed = flight_number(step, "failed"), good = flight_number(step, "good");
    long long retries = flight_number(step, "retries");

    printf("over: ");
    if (failed > 0)
        printf("%lld request%s failed (%s), ", failed, failed == 1 ? "" : "s",
               scp_strerror((int)flight_number(step, "errno")));
    printf("%lld good, %lld %s, %s\n", good, retries, retries == 1 ? "retry" : "retries", took);
}

static void flight_print(const json_t *step)
{
    const char *what = flight_string(step, "what"), *sense = flight_string(step, "sense");
    char took[32];

    (void)cli_time_text((double)flight_number(step, "took_ns"), took, sizeof(took));
    flight_when(step);
    printf("%-7s ", flight_string(step, "device"));
    if (strcmp(what, "over") == 0) {
        flight_over(step, took);
    } else if (strcmp(what, "state") == 0) {
        printf("queue: %s -> %s", flight_string(step, "rule"), flight_string(step, "did"));
        if (flight_number(step, "took_ns") > 0)
            printf(" after %s", took);
        printf("\n");
    } else if (strcmp(what, "limit") == 0) {
        printf("%s -> %s\n", flight_string(step, "rule"), flight_string(step, "did"));
    } else if (strcmp(what, "late") == 0) {
        flight_command(step, false);
        printf(": %s -> %s, after %s\n", flight_string(step, "rule"), flight_string(step, "did"), took);
    } else {
        flight_command(step, true);
        printf(": %s", flight_string(step, "seen"));
        if (*sense != '\0')
            printf(", sense %s", sense);
        printf(" -> rule \"%s\" -> %s", flight_string(step, "rule"), flight_string(step, "did"));
        if (flight_number(step, "errno") != 0)
            printf(" [%s]", scp_strerror((int)flight_number(step, "errno")));
        printf(" (%s)\n", took);
    }
}

/*
 * Print the steps of one disk that come after *seen, which moves along: two numbers, because the disk's
 * recorder and its LUN's count for themselves.
 */
int cli_flight_show(char *text, const char *disk, bool json, struct cli_flight_seen *seen)
{
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        json_t *step = *line != '\0' ? json_loads(line, 0, NULL) : NULL;
        bool ours = strcmp(flight_string(step, "disk"), disk) == 0;
        bool adapter = strcmp(flight_string(step, "device"), disk) != 0;
        json_int_t seq = json_integer_value(json_object_get(step, "seq"));
        json_int_t *last = adapter ? &seen->fs_adapter : &seen->fs_disk;

        if (ours && seq > *last) {
            json_int_t episode = json_integer_value(json_object_get(step, "episode"));

            *last = seq;
            if (!json && !adapter && seen->fs_episode != 0 && episode != seen->fs_episode)
                printf("\n");
            if (!adapter)
                seen->fs_episode = episode;
            if (json)
                printf("%s\n", line);
            else
                flight_print(step);
        }
        json_decref(step);
    }
    return cli_stdout(CLI_OK);
}

/* Is there such a disk? CLI_OK, or the exit code after saying which there are. */
int cli_flight_disk(const char *command, const char *mount, const char *disk)
{
    int rc = CLI_OK;
    json_t *spec = cli_ctl_json(mount, "spec", &rc);
    const json_t *disks = json_object_get(spec, "disks");
    size_t n = json_array_size(disks);
    bool found = false;

    for (size_t i = 0; i < n; i++)
        found |= strcmp(flight_string(json_array_get(disks, i), "name"), disk) == 0;
    if (spec != NULL && !found)
        rc = cli_fail(CLI_USAGE, "%s: %s: no such disk; %s has %s%s%s", command, disk, mount,
                      n > 0 ? flight_string(json_array_get(disks, 0), "name") : "none", n > 1 ? " to " : "",
                      n > 1 ? flight_string(json_array_get(disks, n - 1), "name") : "");
    json_decref(spec);
    return rc;
}
