/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_job.c - goes through a range in blocks with several threads, and shows how far it is.
 *
 * Threads take the next block from a counter; there is no order between blocks. The progress bar is
 * for a terminal only; a pipe or a log stays clean. It is as long as the terminal is wide.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define JOB_TICK_NS 100000000u /* between two looks at the counters */
#define JOB_COLUMNS 40u        /* of a terminal that does not say */

/* Of several threads that fail the one that is nearest to the beginning is heard. */
static pthread_mutex_t job_error_mutex = PTHREAD_MUTEX_INITIALIZER;

bool cli_job_fail(struct cli_job *job, uint64_t at, const char *fmt, ...)
{
    va_list ap;

    pthread_mutex_lock(&job_error_mutex);
    if (job->j_error[0] == '\0' || at < job->j_error_at) {
        va_start(ap, fmt);
        (void)vsnprintf(job->j_error, sizeof(job->j_error), fmt, ap);
        va_end(ap);
        job->j_error_at = at;
    }
    pthread_mutex_unlock(&job_error_mutex);
    atomic_store(&job->j_failed, true);
    return false;
}

static bool job_goes_on(struct cli_job *job)
{
    int number = cli_stopped();

    return number == 0 || cli_job_fail(job, UINT64_MAX, "%s: interrupted by %s", job->j_label,
                                       number == SIGINT    ? "SIGINT"
                                       : number == SIGTERM ? "SIGTERM"
                                                           : "SIGHUP");
}

static void *job_thread(void *arg)
{
    struct cli_job *job = arg;
    uint8_t *buffer = aligned_alloc(SC_PAGE_SIZE, 2 * (job->j_block + CLI_END_SLACK));

    if (buffer == NULL)
        (void)cli_job_fail(job, UINT64_MAX, "%s: no memory for a buffer; use a smaller --block or --depth",
                           job->j_label);
    while (!atomic_load(&job->j_failed) && job_goes_on(job)) {
        uint64_t off = atomic_fetch_add(&job->j_next, job->j_block);
        size_t bytes = job->j_block;

        if (off >= job->j_bytes)
            break;
        if (bytes > job->j_bytes - off)
            bytes = (size_t)(job->j_bytes - off);
        if (!job->j_fn(job, buffer, bytes, off))
            break;
        atomic_fetch_add(&job->j_done, bytes);
    }
    free(buffer);
    atomic_fetch_sub(&job->j_running, 1);
    return NULL;
}

/* Columns of the terminal behind stderr, 0 when it does not say. */
static unsigned job_columns(void)
{
    struct winsize ws = {0};

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 ? ws.ws_col : 0;
}

const char *cli_job_progress(const char *label, uint64_t done, uint64_t bytes, double seconds,
                             unsigned columns, char *out, size_t size)
{
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double left = rate > 0 ? (double)(bytes - done) / rate : 0;
    unsigned percent = bytes != 0 ? (unsigned)(100.0 * (double)done / (double)bytes) : 100;
    char have[24], want[24], eta[24] = "";
    int n = 0;

    if (left < 100 * 60)
        (void)snprintf(eta, sizeof(eta), "  ETA %u:%02u", (unsigned)left / 60, (unsigned)left % 60);
    /* From the longest form to the shortest; the last column stays free, or the line would wrap. */
    for (unsigned form = 0; form < 4; form++) {
        if (form == 0)
            n = snprintf(out, size, "%s: %3u%%  %s of %s  %.1f MiB/s%s", label, percent,
                         cli_bytes_text(done, have, sizeof(have)), cli_bytes_text(bytes, want, sizeof(want)),
                         rate / (1 << 20), eta);
        else if (form == 1)
            n = snprintf(out, size, "%s: %3u%%  %.1f MiB/s%s", label, percent, rate / (1 << 20), eta);
        else if (form == 2)
            n = snprintf(out, size, "%s: %3u%%", label, percent);
        else
            n = snprintf(out, size, "%u%%", percent);
        if (n >= 0 && (size_t)n < size && (unsigned)n < (columns != 0 ? columns : JOB_COLUMNS))
            return out;
    }
    out[0] = '\0';
    return out;
}

/* One line on the terminal, over the last one, which had *shown characters. */
static void job_show(const struct cli_job *job, uint64_t started, int *shown)
{
    char line[160] = "";
    int before = *shown;

    if (job != NULL)
        (void)cli_job_progress(job->j_label, atomic_load(&job->j_done), job->j_bytes,
                               (double)(cli_now_ns() - started) / 1e9, job_columns(), line, sizeof(line));
    *shown = (int)strlen(line);
    fprintf(stderr, "\r%s%*s%s", line, before > *shown ? before - *shown : 0, "", job == NULL ? "\r" : "");
}

int cli_job_run(struct cli_job *job)
{
    pthread_t threads[CLI_JOB_DEPTH_MAX];
    uint64_t started = cli_now_ns();
    bool terminal = isatty(STDERR_FILENO) == 1;
    unsigned n = 0;
    int shown = 0;

    KASSERT(job->j_block >= CLI_JOB_BLOCK_MIN && job->j_depth >= 1 && job->j_depth <= CLI_JOB_DEPTH_MAX);
    job->j_error[0] = '\0';
    atomic_store(&job->j_running, job->j_depth);
    while (n < job->j_depth && pthread_create(&threads[n], NULL, job_thread, job) == 0)
        n++;
    /* Fewer threads than asked for still do the job; none do not. */
    atomic_fetch_sub(&job->j_running, job->j_depth - n);
    if (n == 0)
        (void)cli_job_fail(job, UINT64_MAX, "%s: no thread could be started", job->j_label);
    while (terminal && atomic_load(&job->j_running) > 0) {
        cli_sleep_ns(JOB_TICK_NS);
        job_show(job, started, &shown);
    }
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    job->j_seconds = (double)(cli_now_ns() - started) / 1e9;
    if (terminal)
        job_show(NULL, started, &shown);
    /* A signal after the last block came too late. */
    if (!atomic_load(&job->j_failed))
        return CLI_OK;
    return cli_fail(CLI_FAILED, "%s%s%s", job->j_error, job->j_left != NULL ? "; " : "",
                    job->j_left != NULL ? job->j_left : "");
}
