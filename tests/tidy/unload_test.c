/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unload_test.c - a plug-in that uses the shared library is unloaded while a thread that used it lives.
 *
 *   unload_test LIBSCPAIR.SO
 *
 * The posix host hears of the end of each thread (posix_thread_end); its code has to be there then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <scpair/shim.h>
#include <stdio.h>

static void *library;
static pthread_barrier_t used, unloaded;

/* A function pointer out of dlsym(), without the cast that ISO C does not know. */
#define LOOK_UP(pointer, name) (*(void **)&(pointer) = dlsym(library, name))

static void *use_it(void *arg)
{
    const struct shim_host *(*host)(void);
    int (*init)(const struct shim_host *);
    size_t (*fini)(void);
    void (*stop)(void);
    int *failed = arg;

    LOOK_UP(host, "shim_posix_host");
    LOOK_UP(init, "shim_init");
    LOOK_UP(fini, "shim_fini");
    LOOK_UP(stop, "shim_posix_stop");
    *failed = !host || !init || !fini || !stop || init(host()) != 0 || fini() != 0;
    if (!*failed)
        stop();
    (void)pthread_barrier_wait(&used);
    (void)pthread_barrier_wait(&unloaded);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t t;
    int failed = 1;

    library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "unload_test: %s\n", argc == 2 ? dlerror() : "name the shared library");
        return 2;
    }
    if (pthread_barrier_init(&used, NULL, 2) || pthread_barrier_init(&unloaded, NULL, 2) ||
        pthread_create(&t, NULL, use_it, &failed))
        return 2;
    (void)pthread_barrier_wait(&used);
    if (dlclose(library) != 0)
        failed = 1;
    (void)pthread_barrier_wait(&unloaded);
    (void)pthread_join(t, NULL);
    puts(failed ? "FAIL" : "ok");
    return failed;
}
