/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_errlog.c - the error log: a ring of the last ERRLOG_RECORDS records.
 *
 * Records have a number that never repeats, so a reader says which it saw last and gets what came
 * after it; a gap in the numbers tells it how many have gone. Nothing is ever lost for want of
 * memory: the ring is taken at start. Each record also goes to the host's log as one line.
 *
 * Does not contain: what an error means (the drivers).
 */
#include "kern_impl.h"

static struct {
    struct shim_lock lock;
    struct err_rec *ring; /* NULL: not started */
    uint64_t seq;         /* of the newest record */
} kern_errlog;

#define KERN_ERRLOG_BYTES (ERRLOG_RECORDS * sizeof(struct err_rec))
_Static_assert((ERRLOG_RECORDS & (ERRLOG_RECORDS - 1)) == 0, "a record's place is its number, masked");

int sck_errlog_init(void)
{
    int rc = shim_lock_init(&kern_errlog.lock, SHIM_RANK_KERN, "kern errlog");

    if (rc)
        return rc;
    kern_errlog.seq = 0;
    kern_errlog.ring = shim_alloc(KERN_ERRLOG_BYTES, 0, SHIM_TAG_KERN);
    if (!kern_errlog.ring) {
        shim_lock_fini(&kern_errlog.lock);
        return ENOMEM;
    }
    return 0;
}

void sck_errlog_fini(void)
{
    shim_free(kern_errlog.ring, KERN_ERRLOG_BYTES, 0, SHIM_TAG_KERN);
    kern_errlog.ring = NULL;
    shim_lock_fini(&kern_errlog.lock);
}

/*
 * Append. Context: any. Locks: takes the log's; none of rank KERN or above held. A record shorter
 * than ours is filled up with zeroes, so that a driver built with an older header is understood.
 */
void errsave(struct err_rec *rec, size_t len)
{
    struct err_rec full;

    if (!kern_errlog.ring || !rec || len < offsetof(struct err_rec, er_resource))
        return;
    memset(&full, 0, sizeof(full));
    memcpy(&full, rec, len < sizeof(full) ? len : sizeof(full));
    full.er_resource[ERR_RESOURCE_MAX - 1] = '\0';
    full.er_text[ERR_TEXT_MAX - 1] = '\0';
    if (full.er_detail_bytes > ERR_DETAIL_MAX)
        full.er_detail_bytes = ERR_DETAIL_MAX;
    full.er_when_ns = shim_now_ns();
    shim_lock_enter(&kern_errlog.lock);
    full.er_seq = ++kern_errlog.seq;
    kern_errlog.ring[full.er_seq & (ERRLOG_RECORDS - 1)] = full;
    shim_lock_exit(&kern_errlog.lock);
    rec->er_when_ns = full.er_when_ns;
    rec->er_seq = full.er_seq;
    shim_log(full.er_temp ? SHIM_LOG_VERBOSE : SHIM_LOG_INFO, "%s: %s", full.er_resource, full.er_text);
}

/* Copy out. Context: any. Locks: the log's, once per record, so that a slow reader delays nobody. */
unsigned errlog_read(uint64_t after_seq, struct err_rec *out, unsigned max)
{
    unsigned n = 0;

    if (!kern_errlog.ring)
        return 0;
    while (n < max) {
        bool more;

        shim_lock_enter(&kern_errlog.lock);
        if (kern_errlog.seq > ERRLOG_RECORDS && after_seq < kern_errlog.seq - ERRLOG_RECORDS)
            after_seq = kern_errlog.seq - ERRLOG_RECORDS; /* those before have gone */
        more = after_seq < kern_errlog.seq;
        if (more)
            out[n] = kern_errlog.ring[(after_seq + 1) & (ERRLOG_RECORDS - 1)];
        shim_lock_exit(&kern_errlog.lock);
        if (!more)
            break;
        SHIM_ASSERT(out[n].er_seq == after_seq + 1);
        after_seq++;
        n++;
    }
    return n;
}
