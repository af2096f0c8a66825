/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_init.c - starting and stopping the kernel services, and the small ones: who am I, what time
 * is it, tunables, text, the end of an assertion.
 *
 * Does not contain: the services with state of their own (the other files of this folder).
 */
#include "kern_impl.h"

#include <stdarg.h>

/* Start the services. Context: process, after shim_init(). 0 or an errno, then nothing is left behind. */
int kern_init(void)
{
    int rc;

    /* Who did not look at what shim_init() answered has no host: there is no lock to be had, nor a panic. */
    if (!shim_host)
        return ENXIO;
    rc = sck_devsw_init();
    if (rc)
        return rc;
    rc = sck_errlog_init();
    if (rc) {
        sck_devsw_fini();
        return rc;
    }
    rc = sck_trace_init();
    if (rc == 0) {
        rc = sck_poll_init();
        if (rc)
            sck_trace_fini();
    }
    if (rc) {
        sck_errlog_fini();
        sck_devsw_fini();
    }
    return rc;
}

/* Stop them. Context: process; every file is closed and every driver removed. */
void kern_fini(void)
{
    sck_poll_fini();
    sck_trace_fini();
    sck_errlog_fini();
    sck_devsw_fini();
}

bool kern_at_process_level(void) { return shim_self()->self_ctx == SHIM_CTX_PROCESS; }

uint64_t thread_self(void) { return shim_self()->self_id; }

uint64_t kern_now_ns(void) { return shim_now_ns(); }

int64_t kern_tunable(const char *name, int64_t dflt) { return shim_tunable(name, dflt); }

int kern_format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = shim_vformat(out, size, fmt, ap);
    va_end(ap);
    return n;
}

_Noreturn void kern_assert_failed(const char *what, const char *file, int line)
{
    shim_panic("assertion failed: %s, %s:%d", what, file, line);
}
