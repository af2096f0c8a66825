/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_batch.c - many seeds, several at once, and failures that are known.
 *
 * Workers take the next seed from a counter they share and say how it ended through a pipe, a message no
 * longer than a pipe takes in one piece. Each seed runs in a child of its worker: a crash is a result like
 * any other.
 *
 * A file of seeds has one in a line: SEED [KIND] [# comment]. With such a file as known failures a range is
 * as it should be when exactly those of them that lie in it fail, and in that way.
 */
#define _GNU_SOURCE
#include "fib.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct said {
    uint64_t sa_seed, sa_points, sa_digest, sa_commands, sa_faults, sa_virtual_ns;
    bool sa_failed;
    char sa_kind[24];
    char sa_text[1024];
};
_Static_assert(sizeof(struct said) <= 4096, "a message goes through the pipe in one piece");

struct line {
    uint64_t ln_seed;
    char ln_kind[24];
    bool ln_failed, ln_seen;
};

static struct {
    _Atomic uint64_t *next; /* index of the next seed, shared */
    struct line *lines;     /* of the file */
    size_t nlines;
    uint64_t nseeds, points, commands, faults, virtual_ns;
    uint64_t digest; /* of all runs, whatever order they end in */
    struct said *failures;
    size_t nfailures;
} batch;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool fib_seed_run(uint64_t seed, struct sched *s, bool story)
{
    fib_choose_schedule(s, seed);
    s->s_story = story;
    return sched_run(s, &fib_program);
}

/* ---------------------------------------------------------------- files of seeds */

const char *fib_number(const char *text, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 ? end : NULL;
}

/* SEED [KIND], without the comment. False: it is neither that nor empty. */
static bool read_line(char *text)
{
    struct line line = {.ln_seed = 0};
    const char *kind;

    text[strcspn(text, "#\r\n")] = '\0';
    for (size_t n = strlen(text); n > 0 && strchr(" \t", text[n - 1]); n--)
        text[n - 1] = '\0';
    text += strspn(text, " \t");
    if (!*text)
        return true;
    kind = fib_number(text, &line.ln_seed);
    if (!kind || !strchr(" \t", *kind))
        return false;
    kind += strspn(kind, " \t");
    if (*kind && !fib_is_kind(kind))
        return false;
    (void)snprintf(line.ln_kind, sizeof(line.ln_kind), "%s", kind);
    batch.lines = realloc(batch.lines, (batch.nlines + 1) * sizeof(*batch.lines));
    if (!batch.lines)
        abort();
    batch.lines[batch.nlines++] = line;
    return true;
}

static bool read_lines(const char *path)
{
    FILE *f = fopen(path, "r");
    char text[512];
    unsigned n = 0;
    bool ok = f != NULL;

    while (ok && ++n && fgets(text, sizeof(text), f)) {
        ok = read_line(text);
        if (!ok)
            fprintf(stderr,
                    "scpair-sim: %s:%u: %s: a line is SEED [KIND] [# comment]; --help has the kinds\n", path,
                    n, text);
    }
    if (!f || ferror(f)) {
        fprintf(stderr, "scpair-sim: %s: %s\n", path, strerror(errno));
        ok = false;
    }
    if (f)
        fclose(f);
    return ok;
}

static struct line *line_of(uint64_t seed)
{
    for (size_t i = 0; i < batch.nlines; i++)
        if (batch.lines[i].ln_seed == seed)
            return &batch.lines[i];
    return NULL;
}

/* ---------------------------------------------------------------- workers */

static uint64_t seed_at(const struct fib_batch *b, uint64_t i)
{
    return b->b_file ? batch.lines[i].ln_seed : b->b_first + i;
}

static void work(const struct fib_batch *b, int out)
{
    struct sched s = {.s_result = sched_result_new()};
    uint64_t i;

    while ((i = atomic_fetch_add(batch.next, 1)) < batch.nseeds) {
        struct said said = {.sa_seed = seed_at(b, i)};

        said.sa_failed = !fib_seed_run(said.sa_seed, &s, false);
        said.sa_points = s.s_result->r_points;
        said.sa_digest = s.s_result->r_digest;
        said.sa_commands = s.s_result->r_commands;
        said.sa_faults = s.s_result->r_faults;
        said.sa_virtual_ns = s.s_result->r_virtual_ns;
        if (said.sa_failed) {
            (void)snprintf(said.sa_kind, sizeof(said.sa_kind), "%s", fib_failure_kind(s.s_result->r_text));
            (void)snprintf(said.sa_text, sizeof(said.sa_text), "%.1023s", s.s_result->r_text);
        }
        if (write(out, &said, sizeof(said)) != (ssize_t)sizeof(said))
            _exit(2);
    }
    _exit(0);
}

static void hear(const struct fib_batch *b, const struct said *said)
{
    struct line *ln = line_of(said->sa_seed);
    const bool expected = b->b_known && ln && (!ln->ln_kind[0] || strcmp(ln->ln_kind, said->sa_kind) == 0);

    batch.points += said->sa_points;
    batch.commands += said->sa_commands;
    batch.faults += said->sa_faults;
    batch.virtual_ns += said->sa_virtual_ns;
    batch.digest += said->sa_digest * (2 * said->sa_seed + 1);
    if (ln) {
        ln->ln_seen = true;
        ln->ln_failed = said->sa_failed;
    }
    if (!said->sa_failed)
        return;
    if (!b->b_json && !expected) {
        if (b->b_progress)
            sched_progress("");
        printf("rerun: scpair-sim --seed %llu --shrink", (unsigned long long)said->sa_seed);
        /* What is not looked for is left out of some worlds, too: without this it is another run. */
        for (unsigned i = 0; i < FIB_WITHOUT_MAX && fib_without[i]; i++)
            printf(" --without %s", fib_without[i]);
        putchar('\n');
        printf("FAIL seed %llu [%s]: %s\n", (unsigned long long)said->sa_seed, said->sa_kind, said->sa_text);
        fflush(stdout);
    }
    batch.failures = realloc(batch.failures, (batch.nfailures + 1) * sizeof(*batch.failures));
    if (!batch.failures)
        abort();
    batch.failures[batch.nfailures++] = *said;
}

static bool run_all(const struct fib_batch *b)
{
    struct said said;
    int ends[2], status;
    uint64_t done = 0;
    bool ok = true;

    if (pipe(ends) != 0)
        return false;
    fflush(NULL);
    for (unsigned i = 0; i < b->b_jobs; i++) {
        const pid_t child = fork();

        if (child == 0) {
            close(ends[0]);
            work(b, ends[1]);
        }
        if (child < 0)
            return false;
    }
    close(ends[1]);
    while (read(ends[0], &said, sizeof(said)) == (ssize_t)sizeof(said)) {
        hear(b, &said);
        if (b->b_progress && ++done % 16 == 0) {
            (void)snprintf(said.sa_text, sizeof(said.sa_text), "%llu of %llu seeds, %zu failed",
                           (unsigned long long)done, (unsigned long long)batch.nseeds, batch.nfailures);
            sched_progress(said.sa_text);
        }
    }
    if (b->b_progress)
        sched_progress("");
    close(ends[0]);
    for (unsigned i = 0; i < b->b_jobs; i++)
        ok &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return ok;
}

/* ---------------------------------------------------------------- how it went */

static int by_seed(const void *a, const void *b)
{
    const uint64_t x = ((const struct said *)a)->sa_seed, y = ((const struct said *)b)->sa_seed;

    return x < y ? -1 : x > y;
}

static void put_json(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void report_json(double took, bool ok)
{
    printf("{\"seeds\": %llu, \"ok\": %s, \"seconds\": %.1f, \"points\": %llu, \"digest\": \"%016llx\", ",
           (unsigned long long)batch.nseeds, ok ? "true" : "false", took, (unsigned long long)batch.points,
           (unsigned long long)batch.digest);
    printf("\"failures\": [");
    for (size_t i = 0; i < batch.nfailures; i++) {
        printf("%s\n  {\"seed\": %llu, \"kind\": \"%s\", \"digest\": \"%016llx\", \"text\": ", i ? "," : "",
               (unsigned long long)batch.failures[i].sa_seed, batch.failures[i].sa_kind,
               (unsigned long long)batch.failures[i].sa_digest);
        put_json(batch.failures[i].sa_text);
        printf("}");
    }
    printf("]}\n");
}

/* Failures by kind, with the first seeds of each. */
static void report_kinds(void)
{
    for (size_t i = 0; i < batch.nfailures; i++) {
        size_t same = 0, n = 0;

        for (size_t k = 0; k < i; k++)
            same += strcmp(batch.failures[k].sa_kind, batch.failures[i].sa_kind) == 0;
        if (same)
            continue;
        printf("  %-16s", batch.failures[i].sa_kind);
        for (size_t k = i; k < batch.nfailures; k++)
            if (strcmp(batch.failures[k].sa_kind, batch.failures[i].sa_kind) == 0 && n++ < 8)
                printf(" %llu", (unsigned long long)batch.failures[k].sa_seed);
        printf("%s (%zu)\n", n > 8 ? " ..." : "", n);
    }
}

/* Exactly the known ones have failed, each in its way. */
static bool judge_known(const struct fib_batch *b)
{
    bool ok = true;

    for (size_t i = 0; i < batch.nfailures; i++) {
        const struct line *ln = line_of(batch.failures[i].sa_seed);

        ok &= ln && (!ln->ln_kind[0] || strcmp(ln->ln_kind, batch.failures[i].sa_kind) == 0);
    }
    for (size_t i = 0; i < batch.nlines; i++) {
        if (!batch.lines[i].ln_seen || batch.lines[i].ln_failed)
            continue;
        ok = false;
        if (!b->b_json)
            printf("seed %llu [%s] does not fail any more: take it out of %s\n",
                   (unsigned long long)batch.lines[i].ln_seed, batch.lines[i].ln_kind, b->b_known);
    }
    return ok;
}

int fib_batch_run(const struct fib_batch *b)
{
    const double start = seconds();
    bool ok;

    batch.nseeds = b->b_last - b->b_first + 1;
    if ((b->b_known || b->b_file) && !read_lines(b->b_known ? b->b_known : b->b_file))
        return 2;
    if (b->b_file)
        batch.nseeds = batch.nlines;
    batch.next = mmap(NULL, SC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (batch.next == MAP_FAILED || !run_all(b)) {
        fprintf(stderr, "scpair-sim: a worker has died\n");
        return 2;
    }
    if (batch.nfailures > 1)
        qsort(batch.failures, batch.nfailures, sizeof(*batch.failures), by_seed);
    ok = b->b_known ? judge_known(b) : batch.nfailures == 0;
    if (b->b_json) {
        report_json(seconds() - start, ok);
    } else {
        printf("scpair-sim: %llu seeds, %zu failed%s, %.1f million points, digest %016llx, %.1f s\n",
               (unsigned long long)batch.nseeds, batch.nfailures,
               b->b_known ? ok ? ", all of them known" : "; not as known" : "", (double)batch.points / 1e6,
               (unsigned long long)batch.digest, seconds() - start);
        if (batch.commands != 0)
            printf("  %llu commands at the disks, %llu rules of misbehaviour, %llu virtual hours\n",
                   (unsigned long long)batch.commands, (unsigned long long)batch.faults,
                   (unsigned long long)(batch.virtual_ns / 3600000000000u));
        report_kinds();
    }
    return ok ? 0 : 1;
}
