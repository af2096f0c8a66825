/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_trace.c - scpair trace: what a mount does, command by command, as a file for a trace viewer.
 *
 * The server's hooks write to a ring while .scpair/trace says so; the same file then reads as Chrome
 * trace JSON (scp/scp_trace.c), which is passed on as it is.
 *
 * Does not contain: a viewer.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACE_LOOK_NS 50000000u /* how soon a Ctrl-C is noticed */

struct trace_options {
    uint64_t to_seconds, to_records;
    const char *to_out; /* or NULL: stdout */
    bool to_json, to_stop;
};

/* Tell the server; CLI_OK or the exit code after saying what is wrong. */
static int trace_tell(const char *mount, const char *text)
{
    int rc = CLI_OK;
    int fd = cli_ctl_open(mount, "trace", O_WRONLY, &rc);
    ssize_t n;
    int error;

    if (fd < 0)
        return rc;
    n = write(fd, text, strlen(text));
    error = errno;
    (void)close(fd);
    if (n >= 0)
        return CLI_OK;
    if (error == ENODATA)
        return cli_fail(CLI_FAILED, "%s: no trace has been taken yet; scpair trace %s takes one", mount,
                        mount);
    if (error == EBUSY)
        return cli_fail(CLI_FAILED, "%s: a trace runs already; scpair trace --stop %s ends it", mount, mount);
    return cli_fail(CLI_FAILED, "%s: trace: %s", mount, strerror(error));
}

static void trace_sleep(uint64_t seconds)
{
    const uint64_t until = cli_now_ns() + seconds * 1000000000u;

    while (cli_stopped() == 0) {
        uint64_t now = cli_now_ns();

        if (now >= until)
            break;
        cli_sleep_ns(until - now < TRACE_LOOK_NS ? until - now : TRACE_LOOK_NS);
    }
}

/* What there is to say when the trace itself went to a file. */
static int trace_summary(const struct trace_options *to, const json_t *all)
{
    const json_t *other = json_object_get(all, "otherData");
    json_int_t records = json_integer_value(json_object_get(other, "records"));
    json_int_t lost = json_integer_value(json_object_get(other, "lost"));
    size_t events = json_array_size(json_object_get(all, "traceEvents"));

    if (to->to_json)
        return cli_json_print(json_pack("{s:o,s:I,s:I,s:I}", "file", cli_json_string(to->to_out), "events",
                                        (json_int_t)events, "records", records, "lost", lost));
    printf("%s: %zu events of %lld records; open it at https://ui.perfetto.dev\n", to->to_out, events,
           (long long)records);
    if (lost > 0)
        printf("the oldest %lld records were overwritten; more --records keep them\n", (long long)lost);
    return cli_stdout(CLI_OK);
}

static int trace_save(const struct trace_options *to, struct cli_out *out, const char *text)
{
    const size_t bytes = strlen(text);
    json_error_t error;
    json_t *all;
    ssize_t n = 0;
    int rc;

    if (to->to_out == NULL) {
        (void)fputs(text, stdout);
        return cli_stdout(CLI_OK);
    }
    all = json_loads(text, 0, &error);
    if (all == NULL)
        return cli_fail(CLI_FAILED, "trace: the trace is not JSON (%s)", error.text);
    for (size_t at = 0; at < bytes && n >= 0; at += (size_t)n) {
        n = write(out->o_fd, text + at, bytes - at);
        if (n < 0 && errno == EINTR)
            n = 0;
    }
    if (n < 0)
        rc = cli_fail(CLI_FAILED, "%s: %s; %s", to->to_out, strerror(errno), cli_out_left(out));
    else
        rc = cli_out_close(out, CLI_OK);
    if (rc == CLI_OK)
        rc = trace_summary(to, all);
    json_decref(all);
    return rc;
}

char *cli_trace_text(const char *mount, bool start, uint64_t records, uint64_t seconds, int *rc)
{
    char word[48];

    if (start) {
        (void)snprintf(word, sizeof(word), "start %llu", (unsigned long long)records);
        *rc = trace_tell(mount, word);
        if (*rc != CLI_OK)
            return NULL;
        cli_stop_catch();
        trace_sleep(seconds);
    }
    *rc = trace_tell(mount, "stop");
    return *rc == CLI_OK ? cli_ctl_read(mount, "trace", rc) : NULL;
}

/* From here on a file is open for it, if there is to be one. */
static int trace_take(const struct trace_options *to, struct cli_out *out, const char *mount)
{
    int rc = CLI_OK;
    char *text = cli_trace_text(mount, !to->to_stop, to->to_records, to->to_seconds, &rc);

    if (text == NULL)
        return rc;
    rc = trace_save(to, out, text);
    free(text);
    return rc;
}

/* A file that cannot be written is told before anything is traced. */
static int trace_mount(const struct trace_options *to, const char *mount)
{
    struct cli_out out = {.o_fd = -1};
    int rc = to->to_out != NULL ? cli_out_open(&out, to->to_out) : CLI_OK;

    if (rc == CLI_OK)
        rc = trace_take(to, &out, mount);
    return cli_out_close(&out, rc);
}

static int trace_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        {"seconds", required_argument, NULL, 's'}, {"out", required_argument, NULL, 'o'},
        {"records", required_argument, NULL, 'r'}, {"json", no_argument, NULL, 'j'},
        {"stop", no_argument, NULL, 'x'},          {NULL, 0, NULL, 0}};
    struct trace_options to = {.to_seconds = CLI_TRACE_SECONDS, .to_records = TRC_RECORDS_DEFAULT};
    bool given = false;
    int c;

    while ((c = cli_getopt(cmd, argc, argv, ":s:o:r:jx", longs)) != -1) {
        if (c == 's' && !cli_number("--seconds", optarg, 1, CLI_TRACE_SECONDS_MAX, &to.to_seconds))
            return CLI_USAGE;
        if (c == 'r' && !cli_number("--records", optarg, TRC_RECORDS_MIN, TRC_RECORDS_MAX, &to.to_records))
            return CLI_USAGE;
        if (c == CLI_GETOPT_HELP || c == CLI_GETOPT_BAD)
            return cli_getopt_rc(c);
        given |= c == 's' || c == 'r';
        to.to_json |= c == 'j';
        to.to_stop |= c == 'x';
        if (c == 'o')
            to.to_out = optarg;
    }
    if (to.to_stop && given)
        return cli_fail(CLI_USAGE, "trace: --stop ends what runs; --seconds and --records are for a new one");
    if (to.to_json && to.to_out == NULL)
        return cli_fail(CLI_USAGE, "trace: --json is about --out, which is not given; stdout has the trace");
    if (!cli_arguments(cmd, argc, argv, "MOUNTPOINT"))
        return CLI_USAGE;
    return trace_mount(&to, argv[optind]);
}

const struct cli_command cli_trace = {
    "trace",
    "[--seconds N] [--records N] [--out FILE [--json]] MOUNTPOINT  |  --stop [--out FILE] MOUNTPOINT",
    "what both drivers do, command by command, for a trace viewer",
    "  -s, --seconds N   for so long, 1 to 3600 (5), or until Ctrl-C\n"
    "  -r, --records N   keep the last N records, 16 to 1048576 (65536, 4.5 MiB); a request is about ten\n"
    "  -o, --out FILE    write the trace there and say how much it is; else it goes to stdout\n"
    "  -j, --json        say that as JSON\n"
    "  -x, --stop        end a trace that somebody left running, and show what it has; or the last one\n\n"
    "The trace is Chrome trace JSON: open it at https://ui.perfetto.dev or chrome://tracing. Each disk\n"
    "is a process with its requests, its commands (from sent to back, the CDB in the arguments) and an\n"
    "instant for each step of recovery; so is its LUN in the adapter driver, with what the chip took of\n"
    "it inside. Arrows lead from a request to the command that carries it. While no trace runs the hooks\n"
    "cost one look at a word.\n\n"
    "Examples:\n"
    "  scpair trace --seconds 2 --out t.json mnt & dd if=mnt/rhdisk0 of=/dev/null bs=1M count=64; wait\n"
    "  scpair trace --seconds 2 mnt | jq '[.traceEvents[] | select(.cat == \"command\") | .dur] | max'\n",
    trace_run,
};
