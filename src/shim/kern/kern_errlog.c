/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_errlog.c - the error log: the last ERRLOG_RECORDS records, each with a count.
 *
 * Every entry takes a number that never repeats. An entry like one not long ago counts in that
 * one's record, which gets the new number, so that a reader who says which number it saw last gets
 * new records and new counts alike. Nothing is ever lost for want of memory: the table is taken
 * at start. A record goes to the host's log as one line when it begins, and when its count
 * reaches a power of ten: a disk that fails ten thousand times has five lines there.
 *
 * Does not contain: what an error means (the drivers).
 */
#include "kern_impl.h"

/* Small copies beside the records, so that looking for one reads three kilobytes and not eighty. */
static struct {
    struct shim_lock lock;
    struct err_rec *rec;               /* NULL: not started */
    uint64_t seq;                      /* of the newest entry */
    uint64_t slot_seq[ERRLOG_RECORDS]; /* er_seq; 0: free */
    uint32_t slot_key[ERRLOG_RECORDS]; /* errlog_key() */
} kern_errlog;

#define KERN_ERRLOG_BYTES (ERRLOG_RECORDS * sizeof(struct err_rec))

int sck_errlog_init(void)
{
    int rc = shim_lock_init(&kern_errlog.lock, SHIM_RANK_KERN, "kern errlog");

    if (rc)
        return rc;
    SHIM_ASSERT(kern_errlog.rec == NULL);
    kern_errlog.seq = 0;
    memset(kern_errlog.slot_seq, 0, sizeof(kern_errlog.slot_seq));
    kern_errlog.rec = shim_alloc(KERN_ERRLOG_BYTES, 0, SHIM_TAG_KERN);
    if (!kern_errlog.rec) {
        shim_lock_fini(&kern_errlog.lock);
        return ENOMEM;
    }
    return 0;
}

void sck_errlog_fini(void)
{
    shim_free(kern_errlog.rec, KERN_ERRLOG_BYTES, 0, SHIM_TAG_KERN);
    kern_errlog.rec = NULL;
    shim_lock_fini(&kern_errlog.lock);
}

static bool errlog_same(const struct err_rec *a, const struct err_rec *b)
{
    return a->er_id == b->er_id && a->er_temp == b->er_temp && a->er_errno == b->er_errno &&
           memcmp(a->er_resource, b->er_resource, ERR_RESOURCE_MAX) == 0 &&
           memcmp(a->er_text, b->er_text, ERR_TEXT_MAX) == 0;
}

/* Equal for records that are the same; seldom for others. */
static uint32_t errlog_key(const struct err_rec *r)
{
    uint32_t key = r->er_id * 31 + r->er_errno;

    for (const char *c = r->er_resource; *c; c++)
        key = key * 31 + (uint8_t)*c;
    for (const char *c = r->er_text; *c; c++)
        key = key * 31 + (uint8_t)*c;
    return key;
}

/* The slot of a record this entry counts in, or ERRLOG_RECORDS. */
static unsigned errlog_find_locked(const struct err_rec *r, uint32_t key)
{
    for (unsigned i = 0; i < ERRLOG_RECORDS; i++)
        if (kern_errlog.slot_key[i] == key && kern_errlog.slot_seq[i] != 0 &&
            errlog_same(&kern_errlog.rec[i], r) &&
            r->er_when_ns - kern_errlog.rec[i].er_when_ns <= ERRLOG_AGAIN_NS)
            return i;
    return ERRLOG_RECORDS;
}

/* The slot with the smallest number above `after`, or ERRLOG_RECORDS. */
static unsigned errlog_next_locked(uint64_t after)
{
    unsigned best = ERRLOG_RECORDS;
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < ERRLOG_RECORDS; i++) {
        if (kern_errlog.slot_seq[i] > after && kern_errlog.slot_seq[i] < least) {
            least = kern_errlog.slot_seq[i];
            best = i;
        }
    }
    return best;
}

/* A free slot, or else that of the oldest. */
static unsigned errlog_room_locked(void)
{
    for (unsigned i = 0; i < ERRLOG_RECORDS; i++)
        if (kern_errlog.slot_seq[i] == 0)
            return i;
    return errlog_next_locked(0);
}

static void errlog_count_locked(struct err_rec *old, const struct err_rec *r)
{
    SHIM_ASSERT(old->er_count > 0 && old->er_seq < r->er_seq);
    old->er_count++;
    old->er_when_ns = r->er_when_ns;
    old->er_seq = r->er_seq;
    if (r->er_end == 0)
        return;
    if (old->er_end == 0 || r->er_low < old->er_low)
        old->er_low = r->er_low;
    if (r->er_end > old->er_end)
        old->er_end = r->er_end;
}

static bool errlog_is_power_of_ten(uint64_t n)
{
    while (n >= 10 && n % 10 == 0)
        n /= 10;
    return n == 1;
}

/* End a text, with nothing but zeroes after its end: texts are compared whole. */
static void errlog_end_text(char *text, size_t size)
{
    size_t n = 0;

    while (n < size - 1 && text[n])
        n++;
    memset(text + n, 0, size - n);
}

/* A record as the caller gave it, made safe: shorter ones filled up, texts ended. */
static void errlog_take(struct err_rec *full, const struct err_rec *rec, size_t len)
{
    memset(full, 0, sizeof(*full));
    memcpy(full, rec, len < sizeof(*full) ? len : sizeof(*full));
    errlog_end_text(full->er_resource, ERR_RESOURCE_MAX);
    errlog_end_text(full->er_text, ERR_TEXT_MAX);
    if (full->er_detail_bytes > ERR_DETAIL_MAX)
        full->er_detail_bytes = ERR_DETAIL_MAX;
    full->er_count = 1;
}

/* One line for the host's log. */
static void errlog_tell(const struct err_rec *r, uint64_t count)
{
    enum shim_level level = r->er_temp ? SHIM_LOG_VERBOSE : SHIM_LOG_INFO;

    if (count > 1)
        shim_log(level, "%s: %s (%llu times)", r->er_resource, r->er_text, (unsigned long long)count);
    else if (r->er_end != 0)
        shim_log(level, "%s: %s: block %llu", r->er_resource, r->er_text, (unsigned long long)r->er_low);
    else
        shim_log(level, "%s: %s", r->er_resource, r->er_text);
}

/*
 * Append, or count. Context: any. Locks: takes the log's; none of rank KERN or above held. A record
 * shorter than ours is filled up, so that a driver built with an older header is understood.
 */
void errsave(struct err_rec *rec, size_t len)
{
    struct err_rec full;
    uint64_t count = 1;
    uint32_t key;
    unsigned i;

    if (!kern_errlog.rec || !rec || len < offsetof(struct err_rec, er_resource))
        return;
    errlog_take(&full, rec, len);
    key = errlog_key(&full);
    shim_lock_enter(&kern_errlog.lock);
    full.er_when_ns = full.er_first_ns = shim_now_ns(); /* in the order of the numbers */
    full.er_seq = full.er_first_seq = ++kern_errlog.seq;
    i = errlog_find_locked(&full, key);
    if (i < ERRLOG_RECORDS) {
        errlog_count_locked(&kern_errlog.rec[i], &full);
        count = kern_errlog.rec[i].er_count;
    } else {
        i = errlog_room_locked();
        kern_errlog.rec[i] = full;
        kern_errlog.slot_key[i] = key;
    }
    SHIM_ASSERT(i < ERRLOG_RECORDS && kern_errlog.slot_seq[i] < full.er_seq);
    kern_errlog.slot_seq[i] = full.er_seq;
    shim_lock_exit(&kern_errlog.lock);
    rec->er_when_ns = full.er_when_ns;
    rec->er_seq = full.er_seq;
    if (count == 1 || errlog_is_power_of_ten(count))
        errlog_tell(&full, count);
}

/* Copy out. Context: any. Locks: the log's, once per record, so that a slow reader delays nobody. */
unsigned errlog_read(uint64_t after_seq, struct err_rec *out, unsigned max)
{
    unsigned n = 0;

    if (!kern_errlog.rec)
        return 0;
    while (n < max) {
        unsigned i;

        shim_lock_enter(&kern_errlog.lock);
        i = errlog_next_locked(after_seq);
        if (i < ERRLOG_RECORDS)
            out[n] = kern_errlog.rec[i];
        shim_lock_exit(&kern_errlog.lock);
        if (i == ERRLOG_RECORDS)
            break;
        SHIM_ASSERT(out[n].er_seq > after_seq);
        after_seq = out[n++].er_seq;
    }
    return n;
}
