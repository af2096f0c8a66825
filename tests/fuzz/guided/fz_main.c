/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fz_main.c - the two ways to run a target: libFuzzer's entry points, or a program that runs files.
 *
 *   NAME_fz [-v] FILE|DIRECTORY...      each twice, which must see the same; how many is printed
 *
 * Does not contain: how inputs are found and made small (scripts/fuzz).
 */
#define _GNU_SOURCE
#include "fz.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool fz_verbose;
uint64_t fz_digest;

void fz_fail(const char *file, int line, const char *fmt, ...)
{
    const char *name = strrchr(file, '/');
    va_list ap;

    (void)fprintf(stderr, "fuzz: %s: %s:%d: ", fz_name, name ? name + 1 : file, line);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    abort();
}

void fz_saw(uint64_t what) { fz_digest = (fz_digest ^ what) * UINT64_C(0x100000001b3) + 1; }

void fz_saw_bytes(const void *data, size_t bytes)
{
    const uint8_t *b = data;

    for (size_t i = 0; i < bytes; i++)
        fz_saw(b[i]);
}

size_t fz_bytes(struct fz_in *in, void *out, size_t most)
{
    size_t n = fz_left(in) < most ? fz_left(in) : most;

    if (n != 0)
        memcpy(out, in->in_at, n);
    in->in_at += n;
    return n;
}

static void fz_once(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    fz_verbose = fz_verbose || getenv("FZ_VERBOSE") != NULL;
    fz_target_once();
}

#ifdef FZ_LIBFUZZER

/* Little freed memory kept back, so that pages are used again: the worlds are large and live shortly. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=4:malloc_context_size=6"; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fz_once();
    (void)fz_target(data, bytes);
    return 0;
}

#else

static const char *fz_file; /* being run, for the report of a crash */
static unsigned fz_files;

/* The report of an abort() or a sanitizer comes from elsewhere; which input it was does not. */
static void fz_note(const char *path)
{
    fz_file = path;
    FZ_SAY("== %s\n", path);
}

static void fz_run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint64_t first;
    uint8_t *data;
    long size;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) {
        (void)fprintf(stderr, "%s_fz: %s: %s\n", fz_name, path, strerror(errno));
        exit(2);
    }
    /* Exactly as long, so that a sanitizer sees who reads beyond. */
    data = malloc(size ? (size_t)size : 1);
    if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size) {
        (void)fprintf(stderr, "%s_fz: %s: cannot be read\n", fz_name, path);
        exit(2);
    }
    (void)fclose(f);
    fz_note(path);
    first = fz_target(data, (size_t)size);
    FZ_CHECK(fz_target(data, (size_t)size) == first, "%s: the second run saw something else", path);
    free(data);
    fz_files++;
}

static int fz_visible(const struct dirent *d) { return d->d_name[0] != '.'; }

static void fz_run_path(const char *path)
{
    struct dirent **names;
    struct stat st;
    int n;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        fz_run_file(path);
        return;
    }
    n = scandir(path, &names, fz_visible, alphasort);
    for (int i = 0; i < n; i++) {
        char *inside;

        if (asprintf(&inside, "%s/%s", path, names[i]->d_name) < 0)
            abort();
        fz_run_path(inside);
        free(inside);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void fz_on_abort(int sig)
{
    static const char text[] = "\nfuzz: while running ";

    (void)sig;
    if (fz_file != NULL && (write(2, text, sizeof(text) - 1) < 0 || write(2, fz_file, strlen(fz_file)) < 0 ||
                            write(2, "\n", 1) < 0))
        _exit(1);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            fz_verbose = true;
            continue;
        }
        fz_once();
        (void)signal(SIGABRT, fz_on_abort);
        (void)signal(SIGSEGV, fz_on_abort);
        fz_run_path(argv[i]);
    }
    if (fz_files == 0) {
        (void)fprintf(stderr, "usage: %s_fz [-v] FILE|DIRECTORY...\n", fz_name);
        return 2;
    }
    printf("%s_fz: %u inputs, each twice, last digest %016llx\n", fz_name, fz_files,
           (unsigned long long)fz_digest);
    return 0;
}

#endif
