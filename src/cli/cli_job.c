/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_job.c - goes through a range in blocks with several threads, and shows how far it is.
 *
 * Threads take the next block from a counter; there is no order between blocks. The progress bar is
 * for a terminal only; a pipe or a log stays clean.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define JOB_TICK_NS 100000000u /* between two looks at the counters */

bool cli_job_fail(struct cli_job *job, const char *fmt, ...)
{
    va_list ap;

    if (!atomic_flag_test_and_set(&job->j_said)) {
        va_start(ap, fmt);
        (void)vsnprintf(job->j_error, sizeof(job->j_error), fmt, ap);
        va_end(ap);
    }
    atomic_store(&job->j_failed, true);
    return false;
}

static void *job_thread(void *arg)
{
    struct cli_job *job = arg;
    uint8_t *buffer = aligned_alloc(SC_PAGE_SIZE, 2 * (job->j_block + CLI_END_SLACK));

    if (buffer == NULL)
        (void)cli_job_fail(job, "%s: no memory for a buffer; use a smaller --block or --depth", job->j_label);
    while (!atomic_load(&job->j_failed)) {
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

/* One line on the terminal, over the last one. */
static void job_progress(const struct cli_job *job, uint64_t started)
{
    uint64_t done = atomic_load(&job->j_done);
    double seconds = (double)(cli_now_ns() - started) / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    unsigned left = rate > 0 ? (unsigned)((double)(job->j_bytes - done) / rate) : 0;
    char have[24], want[24];

    fprintf(stderr, "\r%s: %3.0f%%  %s of %s  %.1f MiB/s  ETA %u:%02u   ", job->j_label,
            job->j_bytes ? 100.0 * (double)done / (double)job->j_bytes : 100.0,
            cli_bytes_text(done, have, sizeof(have)), cli_bytes_text(job->j_bytes, want, sizeof(want)),
            rate / (1 << 20), left / 60, left % 60);
}

int cli_job_run(struct cli_job *job)
{
    pthread_t threads[CLI_JOB_DEPTH_MAX];
    uint64_t started = cli_now_ns();
    bool terminal = isatty(STDERR_FILENO) == 1;
    unsigned n = 0;

    KASSERT(job->j_block >= CLI_JOB_BLOCK_MIN && job->j_depth >= 1 && job->j_depth <= CLI_JOB_DEPTH_MAX);
    atomic_flag_clear(&job->j_said);
    atomic_store(&job->j_running, job->j_depth);
    while (n < job->j_depth && pthread_create(&threads[n], NULL, job_thread, job) == 0)
        n++;
    /* Fewer threads than asked for still do the job; none do not. */
    atomic_fetch_sub(&job->j_running, job->j_depth - n);
    if (n == 0)
        (void)cli_job_fail(job, "%s: no thread could be started", job->j_label);
    while (terminal && atomic_load(&job->j_running) > 0) {
        cli_sleep_ns(JOB_TICK_NS);
        job_progress(job, started);
    }
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    job->j_seconds = (double)(cli_now_ns() - started) / 1e9;
    if (terminal)
        fprintf(stderr, "\r%*s\r", 78, "");
    return atomic_load(&job->j_failed) ? cli_fail(CLI_FAILED, "%s", job->j_error) : CLI_OK;
}
