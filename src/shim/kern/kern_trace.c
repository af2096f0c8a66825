/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_trace.c - the trace: a ring of records that hooks write while it runs.
 *
 * The ring is taken when a trace starts and kept after it has stopped, until the next one, so that
 * it can be read at leisure. When it is full the oldest record goes; numbers never repeat within a
 * trace, so a reader sees how many he has missed.
 *
 * One leaf lock for number, time and record: numbers then rise with time, whichever threads write,
 * and whoever reads finds no half record. Rejected: taking a slot with an atomic addition. It saves
 * the lock, but a writer that is overtaken by a whole round of the ring writes into somebody else's
 * record, and the times are out of order, which every reader would have to mend.
 *
 * Does not contain: the hooks (sys/trchkid.h), and what a record means (scp/scp_trace.c).
 */
#include "kern_impl.h"

#include <sys/trchkid.h>

SC_ATOMIC(uint32_t) sck_trc_on;

static struct {
    struct shim_lock lock;
    bool ready;           /* between kern_init() and kern_fini() */
    struct trc_rec *ring; /* NULL: there has been no trace */
    uint32_t records;     /* it holds */
    uint64_t seq;         /* of the newest */
} kern_trace;

static size_t trace_bytes(uint32_t records) { return (size_t)records * sizeof(struct trc_rec); }

int sck_trace_init(void)
{
    int rc = shim_lock_init(&kern_trace.lock, SHIM_RANK_KERN, "kern trace");

    SHIM_ASSERT(!kern_trace.ready && kern_trace.ring == NULL);
    kern_trace.ready = rc == 0;
    return rc;
}

void sck_trace_fini(void)
{
    trc_stop();
    kern_trace.ready = false;
    shim_free(kern_trace.ring, trace_bytes(kern_trace.records), 0, SHIM_TAG_KERN);
    kern_trace.ring = NULL;
    kern_trace.records = 0;
    kern_trace.seq = 0;
    shim_lock_fini(&kern_trace.lock);
}

/* Context: process. The ring is nobody's in particular: it outlives the pair whose thread asks. */
int trc_start(uint32_t records)
{
    struct trc_rec *ring, *old;
    uint32_t owner, old_records;

    if (!kern_trace.ready || records < TRC_RECORDS_MIN || records > TRC_RECORDS_MAX)
        return EINVAL;
    owner = shim_owner_enter(0);
    ring = shim_alloc(trace_bytes(records), 0, SHIM_TAG_KERN);
    shim_owner_leave(owner);
    if (!ring)
        return ENOMEM;
    shim_lock_enter(&kern_trace.lock);
    if (SC_ATOMIC_PEEK(&sck_trc_on) != 0) {
        shim_lock_exit(&kern_trace.lock);
        shim_free(ring, trace_bytes(records), 0, SHIM_TAG_KERN);
        return EBUSY;
    }
    old = kern_trace.ring;
    old_records = kern_trace.records;
    kern_trace.ring = ring;
    kern_trace.records = records;
    kern_trace.seq = 0;
    atomic_store_explicit(&sck_trc_on, 1u, memory_order_relaxed);
    shim_lock_exit(&kern_trace.lock);
    shim_free(old, trace_bytes(old_records), 0, SHIM_TAG_KERN);
    return 0;
}

/* Context: process. A hook that has looked before is turned away under the lock. */
void trc_stop(void)
{
    if (!kern_trace.ready)
        return;
    shim_lock_enter(&kern_trace.lock);
    atomic_store_explicit(&sck_trc_on, 0u, memory_order_relaxed);
    shim_lock_exit(&kern_trace.lock);
}

/* Context: any. Locks: the trace's. */
void trchook(uint32_t hkword, uint64_t d1, uint64_t d2, uint64_t d3, uint64_t d4, uint64_t d5)
{
    const uint64_t self = thread_self();

    shim_lock_enter(&kern_trace.lock);
    if (SC_ATOMIC_PEEK(&sck_trc_on) != 0) {
        struct trc_rec *r = &kern_trace.ring[kern_trace.seq % kern_trace.records];

        r->tr_seq = ++kern_trace.seq;
        r->tr_ns = shim_now_ns();
        r->tr_thread = self;
        r->tr_hook = hkword;
        r->tr_data[0] = d1;
        r->tr_data[1] = d2;
        r->tr_data[2] = d3;
        r->tr_data[3] = d4;
        r->tr_data[4] = d5;
    }
    shim_lock_exit(&kern_trace.lock);
}

/* Context: any. Locks: the trace's, once for every few records, so that a reader delays nobody. */
unsigned trc_read(uint64_t after_seq, struct trc_rec *out, unsigned max)
{
    const unsigned few = 64;
    unsigned n = 0;
    bool more = kern_trace.ready;

    while (more && n < max) {
        shim_lock_enter(&kern_trace.lock);
        if (kern_trace.seq > kern_trace.records && after_seq < kern_trace.seq - kern_trace.records)
            after_seq = kern_trace.seq - kern_trace.records;
        for (unsigned i = 0; i < few && n < max && after_seq < kern_trace.seq; i++)
            out[n++] = kern_trace.ring[after_seq++ % kern_trace.records];
        more = after_seq < kern_trace.seq;
        shim_lock_exit(&kern_trace.lock);
    }
    return n;
}

/* Context: any. */
void trc_query(struct trc_status *out)
{
    *out = (struct trc_status){0};
    if (!kern_trace.ready)
        return;
    shim_lock_enter(&kern_trace.lock);
    out->ts_on = SC_ATOMIC_PEEK(&sck_trc_on);
    out->ts_records = kern_trace.records;
    out->ts_seq = kern_trace.seq;
    out->ts_lost = kern_trace.seq > kern_trace.records ? kern_trace.seq - kern_trace.records : 0;
    shim_lock_exit(&kern_trace.lock);
}
