/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore.c - programs in processes of their own: one run, all runs, and the shortest that still fails.
 */
#define _GNU_SOURCE
#include "schedule.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct sched_result *sched_result_new(void)
{
    struct sched_result *r =
        mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (r == MAP_FAILED) {
        fprintf(stderr, "sim: no memory for a result\n");
        exit(2);
    }
    return r;
}

/* ---------------------------------------------------------------- what is printed */

void sched_progress(const char *text)
{
    struct winsize size;
    int width = 80;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        width = size.ws_col;
    printf("\r\033[K%.*s", width - 1, text);
    fflush(stdout);
}

bool sched_output_open(const char *program)
{
    /* A closed one would be the next file that is opened, and get what is printed. */
    if (fcntl(STDOUT_FILENO, F_GETFD) >= 0)
        return true;
    fprintf(stderr, "%s: standard output is closed: give it one, /dev/null will do\n", program);
    return false;
}

int sched_output_done(const char *program, int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "%s: standard output: %s: the report is not complete\n", program, strerror(errno));
    return 2;
}

/* ---------------------------------------------------------------- one run */

/* A child has died of something: say of what. Its last decisions are in the result. */
static void crashed(struct sched_result *r, int status)
{
    r->r_failed = true;
    if (WIFSIGNALED(status))
        (void)snprintf(r->r_text, sizeof(r->r_text), "crashed: %s", strsignal(WTERMSIG(status)));
    else
        (void)snprintf(r->r_text, sizeof(r->r_text), "ended with %d: a sanitizer's report, above",
                       WEXITSTATUS(status));
}

static void quiet(const struct sched *s)
{
    if (s->s_story) {
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        return;
    }
    /* What it says on the way is of interest in the run that tells the story. */
    if (!freopen("/dev/null", "w", stderr))
        _exit(2);
}

static struct sched_result *dying;

#ifndef SIM_SANITIZED
/* Poisoned memory was used as a pointer, or something ran into a trap: a result like any other. */
static void died(int sig)
{
    dying->r_failed = dying->r_ended = true;
    dying->r_points = shim_det_points();
    (void)snprintf(dying->r_text, sizeof(dying->r_text), "fibre %u (%s) crashed: %s", shim_det_fibre(),
                   shim_det_fibre_name(shim_det_fibre()), strsignal(sig));
    _Exit(1);
}
#endif

/* Not under a sanitizer, which says more. */
static void catch_crashes(struct sched_result *r)
{
#ifndef SIM_SANITIZED
    static char stack[65536];
    const stack_t on = {.ss_sp = stack, .ss_size = sizeof(stack)};
    const struct sigaction act = {.sa_handler = died, .sa_flags = SA_ONSTACK};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};

    (void)sigaltstack(&on, NULL);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(signals); i++)
        (void)sigaction(signals[i], &act, NULL);
#endif
    dying = r;
}

static bool in_child(struct sched *s, const struct sched_program *p,
                     void (*body)(struct sched *s, const struct sched_program *p))
{
    pid_t child;
    int status;

    s->s_result->r_failed = s->s_result->r_ended = false;
    s->s_result->r_ndeviations = 0;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        quiet(s);
        catch_crashes(s->s_result);
        body(s, p);
        fflush(NULL);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("sim: fork");
        exit(2);
    }
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && !s->s_result->r_failed))
        crashed(s->s_result, status);
    return !s->s_result->r_failed;
}

/* ---------------------------------------------------------------- one run */

static void run_once(struct sched *s, const struct sched_program *p)
{
    s->s_interrupts |= p->p_interrupts;
    p->p_run(sched_begin(s), s->s_seed);
    sched_end(s);
}

bool sched_run(struct sched *s, const struct sched_program *p) { return in_child(s, p, run_once); }

/* ---------------------------------------------------------------- all of them */

static bool search_progress;

static void run_all(struct sched *s, const struct sched_program *p)
{
    uint64_t n = 0;
    char text[128];

    do {
        run_once(s, p);
        if (search_progress && ++n % 4096 == 0) {
            (void)snprintf(text, sizeof(text), "%-28s %llu schedules", p->p_name, (unsigned long long)n);
            sched_progress(text);
        }
    } while (sched_next(s));
    s->s_result->r_exhausted = true;
}

bool sched_search(struct sched *s, const struct sched_program *p, bool progress)
{
    bool ok;

    s->s_kind = SCHED_SEARCH;
    s->s_len = 0;
    s->s_result->r_schedules = s->s_result->r_digests = 0;
    s->s_result->r_exhausted = false;
    search_progress = progress;
    ok = in_child(s, p, run_all);
    if (progress)
        sched_progress("");
    return ok;
}

/* ---------------------------------------------------------------- shrinking */

/* Past a number, of whatever base: a word that begins with a digit. */
static const char *past_number(const char *s)
{
    if (isdigit((unsigned char)*s))
        while (isalnum((unsigned char)*s))
            s++;
    return s;
}

/*
 * Is it one failure that two runs ended with? Their first lines are the same but for numbers; the others say
 * who waited where. With fewer deviations a run may well fail of something else.
 */
static bool same_failure(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = past_number(a);
        b = past_number(b);
        if (*a != *b)
            return false;
        if (*a == '\0' || *a == '\n')
            return true;
    }
}

/* Run a list; true when it still fails in the way of `text`. */
static bool still_fails(const struct sched *of, const struct sched_program *p, struct sched_result *r,
                        const struct sched_deviation *list, uint32_t n, const char *text)
{
    struct sched s = {.s_kind = SCHED_REPLAY,
                      .s_seed = of->s_seed,
                      .s_points_max = of->s_points_max,
                      .s_interrupts = of->s_interrupts,
                      .s_replay = list,
                      .s_nreplay = n,
                      .s_result = r};

    return !sched_run(&s, p) && same_failure(r->r_text, text);
}

/* Halves, quarters ... single ones: drop what is not needed. */
uint32_t sched_shrink(const struct sched *s, const struct sched_program *p, struct sched_result *r,
                      bool progress)
{
    struct sched_deviation *list = malloc(sizeof(*list) * (r->r_ndeviations + 1)),
                           *less = malloc(sizeof(*list) * (r->r_ndeviations + 1));
    struct sched_result *scratch = sched_result_new();
    uint32_t n = r->r_ndeviations, runs = 0;

    if (!list || !less)
        exit(2);
    memcpy(list, r->r_deviations, n * sizeof(*list));
    for (uint32_t size = n; size > 0; size = size > 1 && size / 2 == 0 ? 1 : size / 2) {
        for (uint32_t at = 0; at < n;) {
            const uint32_t cut = size < n - at ? size : n - at;

            memcpy(less, list, at * sizeof(*list));
            memcpy(less + at, list + at + cut, (n - at - cut) * sizeof(*list));
            runs++;
            if (still_fails(s, p, scratch, less, n - cut, r->r_text)) {
                struct sched_deviation *swap = list;

                list = less;
                less = swap;
                n -= cut;
            } else {
                at += cut;
            }
            if (progress && runs % 16 == 0) {
                char text[80];

                (void)snprintf(text, sizeof(text), "shrinking: %u deviations left, %u runs", n, runs);
                sched_progress(text);
            }
        }
    }
    if (progress)
        sched_progress("");
    memcpy(r->r_deviations, list, n * sizeof(*list));
    r->r_ndeviations = n;
    free(list);
    free(less);
    (void)munmap(scratch, sizeof(*scratch));
    return runs;
}

/* ---------------------------------------------------------------- telling */

void sched_tell(const struct sched *of, const struct sched_program *p, const struct sched_result *r)
{
    struct sched s = {.s_kind = SCHED_REPLAY,
                      .s_seed = of->s_seed,
                      .s_points_max = of->s_points_max,
                      .s_interrupts = of->s_interrupts,
                      .s_replay = r->r_deviations,
                      .s_nreplay = r->r_ndeviations,
                      .s_story = true,
                      .s_result = sched_result_new()};

    (void)sched_run(&s, p);
    printf("  %s\n", s.s_result->r_text);
    (void)munmap(s.s_result, sizeof(*s.s_result));
}
