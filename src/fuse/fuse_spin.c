/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_spin.c - how a worker waits for the next request: it looks for a moment
 * before it sleeps.
 *
 * A program that sends one request at a time sends the next a few microseconds
 * after the answer. Falling asleep and being woken on another CPU costs more
 * than all the drivers do for a 4 KiB read, in a virtual machine several times
 * as much. So one worker at a time polls its /dev/fuse descriptor for SPIN_NS
 * after it has answered, and only then sleeps in read(2) like the others. Where
 * waking is expensive (a CPU that has gone idle, a loaded machine) that makes one
 * request at a time up to twice as fast; where it is cheap, and with several under
 * way, when nobody waits, it changes nothing that can be measured.
 *
 * What it costs is bounded: SPIN_NS of one CPU after a request, nothing while
 * the mount is idle. When the CPUs have other work, a spinning worker uses up
 * the time it should have for the request, so one that notices that it was off
 * the CPU stops the spinning for SPIN_REST_NS. With a single CPU it is off.
 *
 * Rejected: poll(2) on the descriptor, which wakes every sleeping worker for
 * each request; all workers spinning, which takes the CPUs from the programs.
 *
 * Does not contain: what a request does (fuse_disk.c).
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* About one round trip of a 4 KiB request. */
#define SPIN_NS           20000u
/* This long between two looks: somebody else had the CPU. */
#define SPIN_PREEMPTED_NS 50000u
#define SPIN_REST_NS      500000000u
/* Between two looks, so as not to hold the queue's lock against the submitter. */
#define SPIN_PAUSES       16u

static atomic_bool spin_taken;            /* some worker is looking */
static _Atomic uint64_t spin_rest_until;  /* not before then */
static _Thread_local bool spin_unblocked; /* this worker's descriptor has O_NONBLOCK set */

static uint64_t spin_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The flag belongs to the open file, which with clone_fd is the worker's own.
 */
static void spin_block(int fd, bool block)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, block ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
    spin_unblocked = !block;
}

/* Look for a request for SPIN_NS. The number of bytes, or -1, with EAGAIN when
 * none came. */
static ssize_t spin_look(int fd, void *data, size_t size, uint64_t from)
{
    uint64_t last = from, now;
    ssize_t n;

    for (;;) {
        n = read(fd, data, size);
        if (n >= 0 || errno != EAGAIN)
            return n;
        for (unsigned i = 0; i < SPIN_PAUSES; i++)
            atomic_signal_fence(memory_order_seq_cst);
        now = spin_now_ns();
        if (now - last > SPIN_PREEMPTED_NS)
            atomic_store_explicit(&spin_rest_until, now + SPIN_REST_NS, memory_order_relaxed);
        if (now - from > SPIN_NS) {
            errno = EAGAIN;
            return -1;
        }
        last = now;
    }
}

/* libfuse's read(2) of the next request. Context: a worker; a cancellation
 * point, as read(2) is. */
static ssize_t spin_read(int fd, void *data, size_t size, void *userdata)
{
    uint64_t now = spin_now_ns();
    ssize_t n;
    int error;

    (void)userdata;
    if (now >= atomic_load_explicit(&spin_rest_until, memory_order_relaxed) &&
        !atomic_load_explicit(&spin_taken, memory_order_relaxed) && !atomic_exchange(&spin_taken, true)) {
        if (!spin_unblocked)
            spin_block(fd, false);
        n = spin_look(fd, data, size, now);
        error = errno;
        atomic_store(&spin_taken, false);
        if (n >= 0 || error != EAGAIN) {
            errno = error;
            return n;
        }
    }
    if (spin_unblocked)
        spin_block(fd, true);
    return read(fd, data, size);
}

static ssize_t spin_writev(int fd, struct iovec *vec, int n, void *userdata)
{
    (void)userdata;
    return writev(fd, vec, n);
}

/*
 * Have the session's workers wait this way. Context: after the mount, before
 * the loop. 0 or an errno; then they wait as libfuse has them.
 */
int fuse_spin_install(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.read = spin_read, .writev = spin_writev};
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0 || CPU_COUNT(&cpus) < 2)
        return 0;
    atomic_store(&spin_taken, false);
    atomic_store(&spin_rest_until, 0);
    return -fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
