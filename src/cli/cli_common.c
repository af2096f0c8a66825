/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_common.c - messages, options, sizes and the pair, as every command needs them.
 *
 * Does not contain: the .scpair files (cli_ctl.c), moving data (cli_end.c, cli_job.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int cli_fail(int rc, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    /* One line, and nothing for the terminal to obey, whatever a file name contains. */
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    fprintf(stderr, "scpair: %s\n", line);
    return rc;
}

void cli_help(const struct cli_command *cmd)
{
    printf("scpair %s - %s\n\nusage: scpair %s %s\n\n%s", cmd->c_name, cmd->c_summary, cmd->c_name,
           cmd->c_usage, cmd->c_help);
}

/* Options that may be given again; cli_pair_option() sees to what must not. */
static const char *const cli_again[] = {"disk", "adapter", "max-transfer", "no-gather"};

/* "--depth 4" or "-d 4" as it stands in help, into out. */
static void cli_option_text(int c, const char *arg, const struct option *longs, char *out, size_t size)
{
    const struct option *l = longs;

    while (l->name != NULL && l->val != c)
        l++;
    if (l->name != NULL)
        (void)snprintf(out, size, "--%s%s%s", l->name, arg != NULL ? " " : "", arg != NULL ? arg : "");
    else
        (void)snprintf(out, size, "-%c%s%s", c, arg != NULL ? " " : "", arg != NULL ? arg : "");
}

/* Has this option been there before on this command line? Says so. */
static bool cli_option_again(const struct cli_command *cmd, int c, const struct option *longs)
{
    static struct {
        int c;
        char text[128];
    } seen[32];
    static unsigned n;
    char text[128];

    cli_option_text(c, optarg, longs, text, sizeof(text));
    for (size_t i = 0; i < SC_ARRAY_SIZE(cli_again); i++)
        if (strncmp(text + 2, cli_again[i], strlen(cli_again[i])) == 0)
            return false;
    for (unsigned i = 0; i < n; i++) {
        if (seen[i].c != c)
            continue;
        (void)cli_fail(CLI_USAGE, "%s: %s and %s: the same option twice; leave one out", cmd->c_name,
                       seen[i].text, text);
        return true;
    }
    KASSERT(n < SC_ARRAY_SIZE(seen));
    seen[n].c = c;
    memcpy(seen[n++].text, text, sizeof(text));
    return false;
}

/* Is it a letter that getopt_long did not know? `word` is the one before the next, "--json=1" or anything. */
static bool cli_option_is_short(const struct option *longs, const char *word)
{
    const struct option *l = longs;

    while (l->name != NULL && l->val != optopt)
        l++;
    /* A known one is a long option with a value it does not take; 0 is a long one nobody knows. */
    return optopt > 0 && optopt < 128 && (l->name == NULL || strncmp(word, "--", 2) != 0);
}

int cli_getopt(const struct cli_command *cmd, int argc, char **argv, const char *shorts,
               const struct option *longs)
{
    const char *word;
    int c;

    if (optind < argc && (strcmp(argv[optind], "--help") == 0 || strcmp(argv[optind], "-h") == 0)) {
        cli_help(cmd);
        return CLI_GETOPT_HELP;
    }
    opterr = 0;
    c = getopt_long(argc, argv, shorts, longs, NULL);
    word = argv[optind - 1];
    if (c == ':') {
        (void)cli_fail(CLI_USAGE, "%s: %s needs a value; see scpair %s --help", cmd->c_name, word,
                       cmd->c_name);
        return CLI_GETOPT_BAD;
    }
    if (c == '?') {
        if (cli_option_is_short(longs, word))
            (void)cli_fail(CLI_USAGE, "%s: -%c: unknown option; see scpair %s --help", cmd->c_name, optopt,
                           cmd->c_name);
        else
            (void)cli_fail(CLI_USAGE,
                           "%s: %s: unknown option, or one that takes no value; see scpair %s --help",
                           cmd->c_name, word, cmd->c_name);
        return CLI_GETOPT_BAD;
    }
    return c != -1 && cli_option_again(cmd, c, longs) ? CLI_GETOPT_BAD : c;
}

int cli_getopt_rc(int c) { return c == CLI_GETOPT_HELP ? CLI_OK : CLI_USAGE; }

bool cli_arguments(const struct cli_command *cmd, int argc, char **argv, const char *names)
{
    const char *name = names;
    int n = 0;

    /* Side by side, each with its name. */
    for (; *name != '\0'; n++) {
        const int bytes = (int)strcspn(name, " ");

        if (optind + n >= argc) {
            (void)cli_fail(CLI_USAGE, "%s: an argument is missing: %.*s; usage: scpair %s %s", cmd->c_name,
                           bytes, name, cmd->c_name, cmd->c_usage);
            return false;
        }
        if (argv[optind + n][0] == '\0') {
            (void)cli_fail(CLI_USAGE, "%s: \"\": the %.*s is an empty name; usage: scpair %s %s", cmd->c_name,
                           bytes, name, cmd->c_name, cmd->c_usage);
            return false;
        }
        name += bytes;
        name += *name == ' ';
    }
    if (argc - optind == n)
        return true;
    (void)cli_fail(CLI_USAGE, "%s: too many arguments, \"%.64s\" is one; usage: scpair %s %s", cmd->c_name,
                   argv[optind + n], cmd->c_name, cmd->c_usage);
    return false;
}

bool cli_disk_name(const struct cli_command *cmd, const char *given)
{
    const char *slash = strrchr(given, '/');
    const char *name = slash != NULL ? slash + 1 : given;

    name += strncmp(name, "rhdisk", 6) == 0;
    if (name == given || strncmp(name, "hdisk", 5) != 0 || name[5] == '\0' ||
        name[5 + strspn(name + 5, "0123456789")] != '\0')
        return true; /* whoever knows the disks judges it */
    (void)cli_fail(CLI_USAGE, "%s: %.128s: a file of the disk; name the disk itself, %.32s", cmd->c_name,
                   given, name);
    return false;
}

bool cli_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    const bool parsed = scp_size_parse(text, out) == 0;

    if (parsed && *out >= min && *out <= max)
        return true;
    (void)cli_fail(CLI_USAGE, "%s %s: %smust be %llu to %llu", option, text, parsed ? "" : "not a number; ",
                   (unsigned long long)min, (unsigned long long)max);
    return false;
}

bool cli_size(const char *option, const char *text, uint64_t unit, uint64_t min, uint64_t max, uint64_t *out)
{
    const bool parsed = scp_size_parse(text, out) == 0;

    if (parsed && *out >= min && *out <= max && *out % unit == 0)
        return true;
    (void)cli_fail(CLI_USAGE, "%s %s: %smust be a multiple of %llu from %llu to %llu, for example 64k or 1M",
                   option, text, parsed ? "" : "not a size; ", (unsigned long long)unit,
                   (unsigned long long)min, (unsigned long long)max);
    return false;
}

static atomic_int cli_stop_signal; /* written by the handler, read by all threads of a job */

static void cli_stop_note(int number)
{
    atomic_store_explicit(&cli_stop_signal, number, memory_order_relaxed);
}

void cli_stop_catch(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old, act = {.sa_handler = cli_stop_note, .sa_flags = SA_RESTART | (int)SA_RESETHAND};

    sigemptyset(&act.sa_mask);
    /* What whoever started us has turned off stays off: nohup. */
    for (size_t i = 0; i < SC_ARRAY_SIZE(numbers); i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &act, NULL);
}

int cli_stopped(void) { return atomic_load_explicit(&cli_stop_signal, memory_order_relaxed); }

uint64_t cli_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void cli_sleep_ns(uint64_t ns)
{
    struct timespec ts = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    (void)nanosleep(&ts, NULL);
}

const char *cli_bytes_text(uint64_t bytes, char *out, size_t size)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    unsigned i = 0;

    while (v >= 1024.0 && i + 1 < SC_ARRAY_SIZE(unit)) {
        v /= 1024.0;
        i++;
    }
    (void)snprintf(out, size, i == 0 ? "%.0f %s" : "%.1f %s", v, unit[i]);
    return out;
}

int cli_stdout(int rc)
{
    static bool said;
    int error = fflush(stdout) != 0 ? errno : 0;

    if (error == 0 && !ferror(stdout))
        return rc;
    if (!said)
        (void)cli_fail(CLI_FAILED, "stdout: the output could not be written%s%s", error ? ": " : "",
                       error ? strerror(error) : "");
    said = true;
    return CLI_FAILED;
}

json_t *cli_json_string(const char *text)
{
    json_t *s = json_string(text);

    return s != NULL ? s : json_string("(not UTF-8)");
}

int cli_json_print(json_t *value)
{
    /* An error of stdout is seen by cli_stdout(), whoever met it first. */
    (void)json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    (void)putchar('\n');
    json_decref(value);
    return cli_stdout(CLI_OK);
}

/* ------------------------------------------------------------------ the pair */

/* Is this file the one disk `i` is kept in already? */
static bool cli_pair_same(const struct cli_pair *pair, unsigned i, const struct stat *st)
{
    struct stat other;

    return pair->p_disks[i].medium == SCP_MEDIUM_FILE && stat(pair->p_disks[i].path, &other) == 0 &&
           other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* The adapter that disks and options go to: the last one, or the implicit one. */
static struct scp_adapter_spec *cli_pair_last(struct cli_pair *pair)
{
    if (pair->p_spec.nadapters == 0) {
        pair->p_spec =
            (struct scp_spec){.size = sizeof(pair->p_spec), .nadapters = 1, .adapters = pair->p_adapters};
        pair->p_adapters[0] = (struct scp_adapter_spec){.size = sizeof(pair->p_adapters[0])};
    }
    return &pair->p_adapters[pair->p_spec.nadapters - 1];
}

static int cli_pair_adapter(struct cli_pair *pair, const char *given)
{
    char err[SCP_ERROR_MAX];
    struct scp_adapter_spec a;
    char *text;
    int error;

    if (pair->p_spec.nadapters > 0 && cli_pair_last(pair)->ndisks == 0)
        return cli_fail(
            CLI_USAGE,
            "--adapter %s: the adapter before it has no disk; an adapter's --disk and options follow it",
            given);
    if (pair->p_spec.nadapters == SCP_ADAPTERS_MAX)
        return cli_fail(CLI_USAGE, "--adapter %s: too many adapters; at most %u", given, SCP_ADAPTERS_MAX);
    text = strdup(given);
    if (text == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    error = scp_adapter_parse(text, &a, err, sizeof(err));
    free(text);
    if (error != 0)
        return cli_fail(CLI_USAGE, "%s", err);
    if (pair->p_spec.nadapters > 0)
        pair->p_spec.nadapters++;
    *cli_pair_last(pair) = a;
    return CLI_OK;
}

int cli_pair_disk(struct cli_pair *pair, const char *text)
{
    struct scp_adapter_spec *a = cli_pair_last(pair);
    char err[SCP_ERROR_MAX];
    unsigned n = pair->p_ndisks;
    struct scp_disk_spec *d = &pair->p_disks[n];
    struct stat st;

    if (n == SCP_DISKS_MAX)
        return cli_fail(CLI_USAGE, "--disk %s: too many disks; at most %u", text, SCP_DISKS_MAX);
    pair->p_texts[n] = strdup(text);
    if (pair->p_texts[n] == NULL)
        return cli_fail(CLI_FAILED, "no memory");
    if (scp_disk_parse(pair->p_texts[n], d, err, sizeof(err)) != 0) {
        free(pair->p_texts[n]);
        return cli_fail(CLI_USAGE, "%s", err);
    }
    for (unsigned i = 0; i < n && d->medium == SCP_MEDIUM_FILE && stat(d->path, &st) == 0; i++) {
        if (cli_pair_same(pair, i, &st)) {
            (void)cli_fail(CLI_USAGE, "--disk %s: the same file as disk %u; give each disk its own", d->path,
                           i);
            free(pair->p_texts[n]);
            return CLI_USAGE;
        }
    }
    pair->p_ndisks = n + 1;
    if (a->ndisks++ == 0)
        a->disks = d;
    return CLI_OK;
}

int cli_pair_option(struct cli_pair *pair, int c, const char *arg)
{
    struct scp_adapter_spec *a;

    if (c == CLI_OPT(0))
        return cli_pair_disk(pair, arg);
    if (c == CLI_OPT(3))
        return cli_pair_adapter(pair, arg);
    a = cli_pair_last(pair);
    if (c == CLI_OPT(2)) {
        if (a->no_gather)
            return cli_fail(CLI_USAGE, "--no-gather: given twice for adapter %u; leave one out",
                            pair->p_spec.nadapters - 1);
        a->no_gather = true;
        return CLI_OK;
    }
    KASSERT(c == CLI_OPT(1));
    if (a->transfer_bytes_max != 0)
        return cli_fail(CLI_USAGE,
                        "--max-transfer %s: adapter %u has max-transfer %llu already; leave one out", arg,
                        pair->p_spec.nadapters - 1, (unsigned long long)a->transfer_bytes_max);
    return cli_size("--max-transfer", arg, SC_PAGE_SIZE, SC_MAXREQUEST, SCP_TRANSFER_MAX,
                    &a->transfer_bytes_max)
               ? CLI_OK
               : CLI_USAGE;
}

int cli_pair_unused(const struct cli_command *cmd, const struct cli_pair *pair)
{
    if (pair->p_spec.nadapters == 0 || pair->p_ndisks != 0)
        return CLI_OK;
    return cli_fail(CLI_USAGE,
                    "%s: --adapter, --max-transfer and --no-gather are for --disk, which is not given",
                    cmd->c_name);
}

int cli_pair_build(struct cli_pair *pair, int *errp, char *err, size_t size)
{
    int error = *errp = scp_create(&pair->p_spec, &pair->p_scp, err, size);

    if (error == 0)
        return CLI_OK;
    /* What the user can put right by typing something else is bad input. */
    return error == ENOMEM || error == EIO || error == EBUSY || error == EWOULDBLOCK ? CLI_FAILED : CLI_USAGE;
}

int cli_pair_create(struct cli_pair *pair)
{
    char err[SCP_ERROR_MAX] = "the pair could not be built";
    int rc, error;

    rc = cli_pair_build(pair, &error, err, sizeof(err));
    return rc == CLI_OK ? CLI_OK : cli_fail(rc, "%s", err);
}

int cli_pair_end(struct cli_pair *pair, int rc)
{
    size_t leaked = pair->p_scp != NULL ? scp_destroy(pair->p_scp) : 0;

    pair->p_scp = NULL;
    for (unsigned i = 0; i < pair->p_ndisks; i++)
        free(pair->p_texts[i]);
    pair->p_ndisks = 0;
    if (leaked != 0)
        return cli_fail(CLI_FAILED, "the drivers leaked %zu blocks of memory; please report this", leaked);
    return rc;
}
