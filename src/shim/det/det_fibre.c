/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * det_fibre.c - stacks for fibres, switching between them, and what the sanitizers want to be told.
 *
 * ucontext does the switching. It makes a system call for the signal mask each time, which is what
 * a run of the simulation spends most on; registers saved by hand would be five times as fast and belong to
 * one processor.
 *
 * Thread sanitizer. Each fibre is a thread to it, and a switch orders nothing (flag 1), so that two
 * fibres that touch the same memory without a lock are reported in every run of that schedule, although
 * they share one processor. The host itself is compiled without instrumentation: its own state is shared by
 * all fibres. What orders them on a real host (a lock, an event, a timer's arming, start and join) is said by
 * det_order_give() and det_order_take().
 *
 * Stacks, and the sanitizer's idea of a thread, are kept from run to run: a search makes and forgets fibres a
 * hundred thousand times.
 *
 * Does not contain: who runs (det_sched.c).
 */
#define _GNU_SOURCE
#include "det_impl.h"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef DET_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef DET_TSAN
#include <sanitizer/tsan_interface.h>
/* Of the sanitizer's run-time library, without a header. */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
const char *__tsan_default_options(void);

/* When a run ends with fibres left it would give them a second to say what they have; none of them runs. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
    return "atexit_sleep_ms=0";
}
#endif

#define DET_STACK_BYTES ((size_t)512 * 1024)
#define DET_GUARD_BYTES ((size_t)SC_PAGE_SIZE)

struct det_context {
    ucontext_t cx_registers;
    char *cx_stack; /* NULL: main's own */
    const void *cx_bottom;
    size_t cx_bytes;
    void *cx_fake;   /* address sanitizer's */
    void *cx_thread; /* thread sanitizer's */
    void (*cx_entry)(void);
};

static struct det_context det_contexts[DET_FIBRES_MAX];

static void det_context_stack(struct det_context *cx)
{
    char *p;

    if (cx->cx_stack)
        return;
    p = mmap(NULL, DET_STACK_BYTES + DET_GUARD_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, DET_GUARD_BYTES, PROT_NONE) != 0)
        shim_panic("det: no memory for the stack of a fibre");
    cx->cx_stack = p + DET_GUARD_BYTES;
    cx->cx_bottom = cx->cx_stack;
    cx->cx_bytes = DET_STACK_BYTES;
}

static void det_context_first(void)
{
    det_context_entered();
    det_contexts[shim_det.cur].cx_entry();
}

void det_context_make(uint32_t fibre, void (*entry)(void))
{
    struct det_context *cx = &det_contexts[fibre];

    SHIM_ASSERT(fibre != DET_FIBRE_MAIN);
    det_context_stack(cx);
    cx->cx_entry = entry;
    cx->cx_fake = NULL;
    if (getcontext(&cx->cx_registers) != 0)
        shim_panic("det: getcontext failed");
    cx->cx_registers.uc_stack.ss_sp = cx->cx_stack;
    cx->cx_registers.uc_stack.ss_size = cx->cx_bytes;
    cx->cx_registers.uc_link = NULL;
    makecontext(&cx->cx_registers, det_context_first, 0);
#ifdef DET_TSAN
    if (!cx->cx_thread)
        cx->cx_thread = __tsan_create_fiber(0);
#endif
}

void det_context_reset(void)
{
#ifdef DET_TSAN
    det_contexts[DET_FIBRE_MAIN].cx_thread = __tsan_get_current_fiber();
#endif
#ifdef DET_ASAN
    {
        pthread_attr_t attr;
        void *bottom = NULL;
        size_t bytes = 0;

        if (pthread_getattr_np(pthread_self(), &attr) == 0) {
            (void)pthread_attr_getstack(&attr, &bottom, &bytes);
            (void)pthread_attr_destroy(&attr);
        }
        det_contexts[DET_FIBRE_MAIN].cx_bottom = bottom;
        det_contexts[DET_FIBRE_MAIN].cx_bytes = bytes;
    }
#endif
}

void det_context_entered(void)
{
#ifdef DET_ASAN
    __sanitizer_finish_switch_fiber(det_contexts[shim_det.cur].cx_fake, NULL, NULL);
#endif
}

void det_context_switch(uint32_t from, uint32_t to, bool last)
{
    struct det_context *f = &det_contexts[from], *t = &det_contexts[to];

    (void)last;
#ifdef DET_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &f->cx_fake, t->cx_bottom, t->cx_bytes);
#endif
#ifdef DET_TSAN
    __tsan_switch_to_fiber(t->cx_thread, 1);
#endif
    if (swapcontext(&f->cx_registers, &t->cx_registers) != 0)
        shim_panic("det: swapcontext failed");
    det_context_entered();
}

void det_order_give(const void *by)
{
#ifdef DET_TSAN
    __tsan_release((void *)(uintptr_t)by);
#else
    (void)by;
#endif
}

void det_order_take(const void *by)
{
#ifdef DET_TSAN
    __tsan_acquire((void *)(uintptr_t)by);
#else
    (void)by;
#endif
}

void det_blind(bool on)
{
#ifdef DET_TSAN
    if (on) {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    } else {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
#else
    (void)on;
#endif
}
