/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_stat.c - scpair stat: counters, what follows from them, and latency as a histogram.
 *
 * The server hands out JSON (scp/scp_json.c) and --json passes it on as it is; this file only
 * turns it into something to look at.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAT_WATCH_S     1u
#define STAT_WATCH_S_MAX 3600u
#define STAT_BAR         40u /* columns of the longest bar */

static json_int_t stat_number(const json_t *disk, const char *key)
{
    return json_integer_value(json_object_get(disk, key));
}

/* The latency below which `share` of the commands stayed: the upper edge of that bucket. */
static double stat_percentile(const json_t *buckets, json_int_t total, double share)
{
    json_int_t seen = 0;
    size_t i = 0;

    while (i < json_array_size(buckets)) {
        seen += json_integer_value(json_array_get(buckets, i++));
        if ((double)seen >= share * (double)total)
            break;
    }
    return (double)((uint64_t)1 << i);
}

static void stat_histogram(const char *what, const json_t *buckets)
{
    json_int_t total = 0, most = 0;
    char low[24], p50[24], p99[24];

    for (size_t i = 0; i < json_array_size(buckets); i++) {
        json_int_t n = json_integer_value(json_array_get(buckets, i));

        total += n;
        most = n > most ? n : most;
    }
    if (total <= 0 || most <= 0)
        return;
    printf("  %s latency of %lld sampled commands: p50 under %s, p99 under %s\n", what, (long long)total,
           cli_time_text(stat_percentile(buckets, total, 0.50), p50, sizeof(p50)),
           cli_time_text(stat_percentile(buckets, total, 0.99), p99, sizeof(p99)));
    for (size_t i = 0; i < json_array_size(buckets); i++) {
        json_int_t n = json_integer_value(json_array_get(buckets, i));
        unsigned bar;

        if (n <= 0)
            continue;
        bar = (unsigned)((uint64_t)n * STAT_BAR / (uint64_t)most);
        printf("    from %-8s %10lld ", cli_time_text((double)((uint64_t)1 << i), low, sizeof(low)),
               (long long)n);
        for (unsigned b = 0; b <= bar; b++)
            putchar('#');
        putchar('\n');
    }
}

static void stat_disk(const json_t *d)
{
    json_int_t bufs = stat_number(d, "bufs"), commands = stat_number(d, "commands");
    char in[24], out[24];

    printf("%s\n", json_string_value(json_object_get(d, "name")));
    printf("  bufs %lld in %lld commands", (long long)bufs, (long long)commands);
    if (commands > 0)
        printf(" (%.2f bufs per command)", (double)bufs / (double)commands);
    printf("; read %s, written %s\n", cli_bytes_text((uint64_t)stat_number(d, "bytes_read"), in, sizeof(in)),
           cli_bytes_text((uint64_t)stat_number(d, "bytes_written"), out, sizeof(out)));
    printf("  spanned %lld commands of %lld bufs; %lld fragments, %lld gathered, %lld internal\n",
           (long long)stat_number(d, "spanned_commands"), (long long)stat_number(d, "spanned_bufs"),
           (long long)stat_number(d, "fragments"), (long long)stat_number(d, "gathered"),
           (long long)stat_number(d, "internal"));
    printf("  now: %lld pending, %lld in process, %lld recovering; %lld completed, %lld not given back yet\n",
           (long long)stat_number(d, "pending"), (long long)stat_number(d, "in_process"),
           (long long)stat_number(d, "recovering"), (long long)stat_number(d, "completed"),
           (long long)stat_number(d, "reqs_queued_for_completion"));
    printf("  %lld errors, %lld retries, %lld requeued; %lld allocation failures, %lld restarts\n",
           (long long)stat_number(d, "errors"), (long long)stat_number(d, "retries"),
           (long long)stat_number(d, "requeued"), (long long)stat_number(d, "alloc_failures"),
           (long long)stat_number(d, "restarts"));
    stat_histogram("read", json_object_get(d, "latency_read_log2ns"));
    stat_histogram("write", json_object_get(d, "latency_write_log2ns"));
}

static void stat_adapter(const json_t *a)
{
    printf("%s\n  %lld commands, %lld completed, %lld errors, %lld resets; %lld of %lld credits free\n",
           json_string_value(json_object_get(a, "name")), (long long)stat_number(a, "commands"),
           (long long)stat_number(a, "completed"), (long long)stat_number(a, "errors"),
           (long long)stat_number(a, "resets"), (long long)stat_number(a, "credits_free"),
           (long long)stat_number(a, "credits"));
}

static void stat_lun(const json_t *l)
{
    printf("  lun %lld,%lld (%s) %s: %lld accepted = %lld queued + %lld active + %lld flushing + %lld "
           "completed\n",
           (long long)stat_number(l, "id"), (long long)stat_number(l, "lun"),
           json_string_value(json_object_get(l, "disk")), json_string_value(json_object_get(l, "state")),
           (long long)stat_number(l, "accepted"), (long long)stat_number(l, "queued"),
           (long long)stat_number(l, "active"), (long long)stat_number(l, "flushing"),
           (long long)stat_number(l, "completed"));
    printf("    %lld errors, %lld thrown back, %lld timeouts, %lld refused; at most %lld of %lld at the "
           "device\n",
           (long long)stat_number(l, "errors"), (long long)stat_number(l, "flushed"),
           (long long)stat_number(l, "timeouts"), (long long)stat_number(l, "refused"),
           (long long)stat_number(l, "active_max"), (long long)stat_number(l, "openings"));
}

/* What has kept it from having more at its device; silent about a LUN that nothing has kept. */
static void stat_flow(const json_t *fl)
{
    if (stat_number(fl, "queue_full") != 0)
        printf("    QUEUE FULL %lld times, %lld of them alone; now at most %lld of %lld (%lld times less, "
               "%lld more)\n",
               (long long)stat_number(fl, "queue_full"), (long long)stat_number(fl, "queue_full_alone"),
               (long long)stat_number(fl, "limit"), (long long)stat_number(fl, "limit_max"),
               (long long)stat_number(fl, "lowered"), (long long)stat_number(fl, "raised"));
    if (stat_number(fl, "target_max") != 0)
        printf("    its target: %lld of %lld free, waited for %lld times\n",
               (long long)stat_number(fl, "target_free"), (long long)stat_number(fl, "target_max"),
               (long long)stat_number(fl, "waits_target"));
}

/* How long it had to wait for its turn, where LUNs share what the adapter holds. */
static void stat_turns(const json_t *fl)
{
    if (stat_number(fl, "turns") != 0)
        printf("    waited its turn %lld times, at most %.3f ms\n", (long long)stat_number(fl, "turns"),
               (double)stat_number(fl, "wait_max_ns") / 1e6);
}

static void stat_print(const json_t *all)
{
    const json_t *adapters = json_object_get(all, "adapters");
    const json_t *memory = json_object_get(all, "memory");
    const json_t *disks = json_object_get(all, "disks");

    for (size_t i = 0; i < json_array_size(adapters); i++) {
        const json_t *luns = json_object_get(json_array_get(adapters, i), "luns");

        stat_adapter(json_array_get(adapters, i));
        for (size_t l = 0; l < json_array_size(luns); l++) {
            stat_lun(json_array_get(luns, l));
            stat_flow(json_object_get(json_array_get(luns, l), "flow"));
            stat_turns(json_object_get(json_array_get(luns, l), "flow"));
        }
    }
    printf("memory of the disk drivers: %lld bytes, of the adapter drivers: %lld\n",
           (long long)stat_number(memory, "dd"), (long long)stat_number(memory, "ad"));
    for (size_t i = 0; i < json_array_size(disks); i++)
        stat_disk(json_array_get(disks, i));
}

/* Show one report and free it. `what` is for the message. */
static int stat_show(const char *what, char *text, bool json)
{
    json_t *all = json_loads(text, 0, NULL);

    if (all == NULL) {
        free(text);
        return cli_fail(CLI_FAILED, "%s: the counters are not JSON", what);
    }
    if (json)
        (void)fputs(text, stdout);
    else
        stat_print(all);
    json_decref(all);
    free(text);
    return cli_stdout(CLI_OK);
}

static int stat_mount(const char *mount, bool json)
{
    int rc = CLI_FAILED;
    char *text = cli_ctl_read(mount, "stat", &rc);

    return text != NULL ? stat_show(mount, text, json) : rc;
}

/* A pair in this process. */
static int stat_pair(struct cli_pair *pair, bool json)
{
    char *text = scp_stat_json(pair->p_scp);

    return text != NULL ? stat_show("--disk", text, json) : cli_fail(CLI_FAILED, "stat: no memory");
}

/* Until interrupted, or the mount is taken away. */
static int stat_watch(const char *mount, bool json, uint64_t seconds)
{
    /* A screen to paint over, or a stream of reports? */
    bool screen = !json && isatty(STDOUT_FILENO) == 1;
    int rc = CLI_FAILED;
    char *text = cli_ctl_read(mount, "stat", &rc);

    while (text != NULL) {
        if (screen)
            printf("\033[H\033[2J");
        rc = stat_show(mount, text, json);
        if (rc != CLI_OK)
            break;
        cli_sleep_ns(seconds * 1000000000u);
        text = cli_ctl_again(mount, "stat", &rc);
    }
    return rc;
}

static int stat_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {CLI_PAIR_OPTIONS,
                                          {"json", no_argument, NULL, 'j'},
                                          {"watch", optional_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    struct cli_pair pair = {0};
    uint64_t watch = 0;
    bool json = false;
    int c, rc = CLI_OK;

    while (rc == CLI_OK && (c = cli_getopt(cmd, argc, argv, ":jw::", longs)) != -1) {
        if (c == 'j')
            json = true;
        else if (c == CLI_GETOPT_HELP || c == CLI_GETOPT_BAD)
            return cli_pair_end(&pair, cli_getopt_rc(c));
        else if (c != 'w')
            rc = cli_pair_option(&pair, c, optarg);
        else if (optarg == NULL)
            watch = STAT_WATCH_S;
        else if (!cli_number("--watch", optarg, 1, STAT_WATCH_S_MAX, &watch))
            rc = CLI_USAGE;
    }
    if (rc == CLI_OK)
        rc = cli_pair_unused(cmd, &pair);
    if (rc == CLI_OK && !cli_arguments(cmd, argc, argv, pair.p_ndisks == 0 ? "MOUNTPOINT" : ""))
        rc = CLI_USAGE;
    if (rc == CLI_OK && pair.p_ndisks > 0) {
        if (watch != 0)
            rc = cli_fail(CLI_USAGE,
                          "stat: --watch is for a mount; nothing changes on a --disk of this process");
        else
            rc = cli_pair_create(&pair);
        if (rc == CLI_OK)
            rc = stat_pair(&pair, json);
    } else if (rc == CLI_OK) {
        rc = watch != 0 ? stat_watch(argv[optind], json, watch) : stat_mount(argv[optind], json);
    }
    return cli_pair_end(&pair, rc);
}

const struct cli_command cli_stat = {
    "stat",
    "[--json] [--watch[=SECONDS]] MOUNTPOINT  |  [--json] --disk FILE[,OPTION]...",
    "counters of the drivers, and latency as a histogram",
    "  -j, --json              as JSON, one line per report\n"
    "  -w, --watch[=SECONDS]   every 1 to 3600 seconds (1), until Ctrl-C or the unmount\n"
    "  --disk FILE,...         what one open of an image's disk costs, without a mount\n\n"
    "bufs are requests, commands are what was sent to the disk; a spanned command carries several\n"
    "bufs, a fragment is part of one. One command in 16 is timed.\n\n"
    "Examples:\n"
    "  scpair stat --watch mnt\n"
    "  scpair stat --json mnt | jq '.disks[0] | .bufs / .commands'\n",
    stat_run,
};
