/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_json.c - counters and the error log as JSON.
 *
 * The names are those scripts rely on (README, scpair-stat in the manual). Written with fprintf
 * into memory: the only strings that need quoting are checked by scp_json_string().
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define JSON_CLOCK_SLACK_NS UINT64_C(50000000) /* by which the two clocks may drift apart unnoticed */

void scp_json_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

/* Trailing empty buckets say nothing; they are left out. */
static void json_buckets(FILE *f, const char *name, const uint64_t *bucket)
{
    unsigned n = SC_LAT_BUCKETS;

    while (n > 0 && bucket[n - 1] == 0)
        n--;
    fprintf(f, ",\"%s\":[", name);
    for (unsigned i = 0; i < n; i++)
        fprintf(f, "%s%" PRIu64, i ? "," : "", bucket[i]);
    fputc(']', f);
}

/* What keeps a LUN from having more at its device. */
static void json_flow(FILE *f, struct file *fp, uint8_t id, uint8_t lun)
{
    struct sc_lun_flow fl = {.id = id, .lun = lun};

    if (fp_ioctl(fp, SCIOLUNFLOW, (intptr_t)&fl, 0) != 0)
        return;
    fprintf(f,
            ",\"flow\":{\"limit\":%u,\"limit_max\":%u,\"target_max\":%u,\"target_free\":%u"
            ",\"quarantined\":%u,\"frozen\":%u,\"queue_full\":%" PRIu64 ",\"queue_full_alone\":%" PRIu64
            ",\"lowered\":%" PRIu64 ",\"raised\":%" PRIu64 ",\"waits_limit\":%" PRIu64
            ",\"waits_target\":%" PRIu64 ",\"guards\":%" PRIu64 ",\"freezes\":%" PRIu64 ",\"thaws\":%" PRIu64
            ",\"late_thaws\":%" PRIu64 ",\"turns\":%" PRIu64 ",\"wait_max_ns\":%" PRIu64
            ",\"kb_per_s\":%u,\"mode\":%u}",
            fl.limit, fl.limit_max, fl.target_max, fl.target_free, fl.quarantined, fl.frozen, fl.fulls,
            fl.fulls_alone, fl.lowered, fl.raised, fl.waits_limit, fl.waits_target, fl.guards, fl.freezes,
            fl.thaws, fl.late_thaws, fl.turns, fl.wait_max_ns, fl.kb_per_s, fl.mode);
}

/* The LUNs of an adapter's disks: what went in and where it is. A LUN that is not started has no counters.
 * Locks: p_slots. */
static void json_luns(FILE *f, struct scp *p, unsigned adapter, struct file *fp)
{
    static const char *const state[] = {"stopped",  "running",   "halted",  "kept",
                                        "recovery", "recovered", "stopping"};
    bool comma = false;

    fprintf(f, ",\"luns\":[");
    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        const struct scp_disk *dk = &p->p_disks[i];
        struct sc_lun_stats st = {.id = dk->dk_id, .lun = dk->dk_lun};

        if (atomic_load(&dk->dk_state) == SCP_SLOT_FREE || dk->dk_adapter != adapter ||
            fp_ioctl(fp, SCIOLUNSTAT, (intptr_t)&st, 0) != 0)
            continue;
        fprintf(f,
                "%s{\"id\":%u,\"lun\":%u,\"disk\":\"%s\",\"state\":\"%s\",\"accepted\":%" PRIu64
                ",\"queued\":%u,\"active\":%u,\"flushing\":%u,\"completed\":%" PRIu64 ",\"errors\":%" PRIu64
                ",\"flushed\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"refused\":%" PRIu64
                ",\"waits_credit\":%" PRIu64 ",\"active_max\":%u,\"openings\":%u",
                comma ? "," : "", st.id, st.lun, dk->dk_name,
                state[st.state < SC_ARRAY_SIZE(state) ? st.state : 0], st.accepted, st.queued, st.active,
                st.flushing, st.completed, st.errors, st.flushed, st.timeouts, st.refused, st.waits_credit,
                st.active_max, st.openings);
        json_flow(f, fp, st.id, st.lun);
        fputc('}', f);
        comma = true;
    }
    fputc(']', f);
}

static void json_adapter(FILE *f, struct scp *p, unsigned i)
{
    struct sc_adapter_stats st = {0};
    struct file *fp;
    int error = scp_adapter_file(p, i, &fp);

    if (error == 0)
        error = fp_ioctl(fp, SCIOSTAT, (intptr_t)&st, 0);
    fprintf(f, "{\"name\":\"%s\"", scp_adapter_name(p, i));
    if (error != 0) {
        fprintf(f, ",\"error\":");
        scp_json_string(f, scp_strerror(error));
    }
    fprintf(f,
            ",\"max_transfer\":%" PRIu64 ",\"commands\":%" PRIu64 ",\"completed\":%" PRIu64
            ",\"errors\":%" PRIu64 ",\"resets\":%" PRIu64 ",\"events\":%" PRIu64
            ",\"responses_pending\":%" PRIu64 ",\"credits\":%u,\"credits_free\":%u,\"luns_started\":%u"
            ",\"thread_wakes\":%u",
            st.max_transfer, st.commands, st.completed, st.errors, st.resets, st.events, st.responses_pending,
            st.credits, st.credits_free, st.luns_started, st.thread_wakes);
    if (error == 0)
        json_luns(f, p, i, fp);
    fputc('}', f);
}

static void json_disk(FILE *f, struct scp *p, unsigned i)
{
    struct sc_disk_stats st = {0};
    struct file *fp;
    int error = scp_disk_file(p, i, &fp);

    if (error == 0)
        error = fp_ioctl(fp, DKSTATS, (intptr_t)&st, 0);
    fprintf(f, "{\"name\":\"%s\",\"adapter\":\"%s\"", scp_disk_name(p, i),
            scp_adapter_name(p, scp_disk_adapter(p, i)));
    if (error != 0) {
        fprintf(f, ",\"error\":");
        scp_json_string(f, scp_strerror(error));
    }
    fprintf(f,
            ",\"bufs\":%" PRIu64 ",\"commands\":%" PRIu64 ",\"spanned_commands\":%" PRIu64
            ",\"spanned_bufs\":%" PRIu64 ",\"fragments\":%" PRIu64 ",\"gathered\":%" PRIu64
            ",\"internal\":%" PRIu64 ",\"pending\":%" PRIu64 ",\"in_process\":%" PRIu64
            ",\"recovering\":%" PRIu64 ",\"completed\":%" PRIu64 ",\"errors\":%" PRIu64
            ",\"retries\":%" PRIu64 ",\"requeued\":%" PRIu64 ",\"alloc_failures\":%" PRIu64
            ",\"restarts\":%" PRIu64 ",\"responses_queued\":%" PRIu64
            ",\"reqs_queued_for_completion\":%" PRIu64 ",\"reqs_completed_with_error\":%" PRIu64
            ",\"bytes_read\":%" PRIu64 ",\"bytes_written\":%" PRIu64 ",\"latency_sample\":%u",
            st.bufs, st.commands, st.spanned_commands, st.spanned_bufs, st.fragments, st.gathered,
            st.internal, st.pending, st.in_process, st.recovering, st.completed, st.errors, st.retries,
            st.requeued, st.alloc_failures, st.restarts, st.responses_queued, st.responses_queued, st.errors,
            st.bytes_read, st.bytes_written, SC_LAT_SAMPLE);
    json_buckets(f, "latency_read_log2ns", st.lat_read);
    json_buckets(f, "latency_write_log2ns", st.lat_write);
    fputc('}', f);
}

static void json_memory(FILE *f)
{
    static const char *const tag[SHIM_TAG_COUNT] = {"kern", "dd", "ad", "hw", "scp", "test"};
    struct shim_account acc;

    shim_account_get(&acc);
    for (unsigned i = 0; i < SHIM_TAG_COUNT; i++)
        fprintf(f, "%s\"%s\":%" PRIu64, i ? "," : "{", tag[i], acc.acc_bytes[i]);
    fputc('}', f);
}

char *scp_stat_json(struct scp *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    unsigned n = 0;

    if (f == NULL)
        return NULL;
    fprintf(f, "{\"adapters\":[");
    pthread_rwlock_rdlock(&p->p_slots);
    for (unsigned i = 0; i < p->p_nadapters; i++) {
        if (i > 0)
            fputc(',', f);
        json_adapter(f, p, i);
    }
    fprintf(f, "],\"disks\":[");
    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        if (!scp_disk_present(p, i))
            continue;
        if (n++ > 0)
            fputc(',', f);
        json_disk(f, p, i);
    }
    pthread_rwlock_unlock(&p->p_slots);
    fprintf(f, "],\"memory\":");
    json_memory(f);
    fprintf(f, "}\n");
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static const char *errid_text(uint32_t id)
{
    switch (id) {
    case ERRID_SCSI_ERR1:
        return "SCSI_ERR1";
    case ERRID_SCSI_ERR2:
        return "SCSI_ERR2";
    case ERRID_SCSI_ERR3:
        return "SCSI_ERR3";
    case ERRID_SCSI_ERR4:
        return "SCSI_ERR4";
    case ERRID_DISK_ERR1:
        return "DISK_ERR1";
    case ERRID_DISK_ERR2:
        return "DISK_ERR2";
    case ERRID_DISK_ERR3:
        return "DISK_ERR3";
    case ERRID_DISK_ERR4:
        return "DISK_ERR4";
    case ERRID_DISK_INFO:
        return "DISK_INFO";
    default:
        return "UNKNOWN";
    }
}

/* "2025-06-01T10:20:30.123456Z", where `wall_ns` was the time at monotonic 0. */
void scp_json_time(FILE *f, const char *name, uint64_t wall_ns, uint64_t ns)
{
    time_t seconds = (time_t)((wall_ns + ns) / 1000000000u);
    char text[32] = "";
    struct tm tm;

    if (gmtime_r(&seconds, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(f, ",\"%s\":\"%s.%06uZ\"", name, text, (unsigned)((wall_ns + ns) / 1000u % 1000000u));
}

/* What the disk of that name is kept in; nothing for other devices. */
static void json_image(FILE *f, const struct scp *p, const char *resource)
{
    static const char *const medium[] = {"file", "ram", "null", "void"};

    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        const struct scp_disk_spec *d = scp_disk_config(p, i);

        if (strcmp(scp_disk_name(p, i), resource) != 0)
            continue;
        fprintf(f, ",\"image\":");
        scp_json_string(f, d->path != NULL                     ? d->path
                           : d->medium < SC_ARRAY_SIZE(medium) ? medium[d->medium]
                                                               : "?");
    }
}

/* One line. wall_ns is the time of day at monotonic 0, as it looks now. */
static void json_record(FILE *f, const struct scp *p, const struct err_rec *r, uint64_t wall_ns)
{
    char resource[ERR_RESOURCE_MAX + 1] = {0};
    char text[ERR_TEXT_MAX + 1] = {0};
    unsigned bytes = r->er_detail_bytes < ERR_DETAIL_MAX ? r->er_detail_bytes : ERR_DETAIL_MAX;

    /* A head driver of somebody else's may have filled these to the brim. */
    memcpy(resource, r->er_resource, ERR_RESOURCE_MAX);
    memcpy(text, r->er_text, ERR_TEXT_MAX);
    fprintf(f, "{\"seq\":%" PRIu64 ",\"first_seq\":%" PRIu64 ",\"count\":%" PRIu64, r->er_seq,
            r->er_first_seq, r->er_count);
    scp_json_time(f, "first", wall_ns, r->er_first_ns);
    scp_json_time(f, "last", wall_ns, r->er_when_ns);
    fprintf(f,
            ",\"first_ns\":%" PRIu64 ",\"when_ns\":%" PRIu64 ",\"id\":\"%s\",\"type\":\"%s\",\"resource\":",
            r->er_first_ns, r->er_when_ns, errid_text(r->er_id), r->er_temp ? "TEMP" : "PERM");
    scp_json_string(f, resource);
    json_image(f, p, resource);
    if (r->er_end != 0)
        fprintf(f, ",\"block_first\":%" PRIu64 ",\"block_last\":%" PRIu64, r->er_low, r->er_end - 1);
    fprintf(f, ",\"errno\":%u,\"text\":", r->er_errno);
    scp_json_string(f, text);
    fprintf(f, ",\"detail\":\"");
    for (unsigned i = 0; i < bytes; i++)
        fprintf(f, "%02x", r->er_detail[i]);
    fprintf(f, "\"}\n");
}

/*
 * The time of day at monotonic 0. Kept while it is as good as right, so that a record has the same
 * times whenever it is asked for; taken anew when somebody has set the clock.
 */
uint64_t scp_json_wall_ns(void)
{
    static _Atomic uint64_t kept;
    uint64_t old = atomic_load(&kept), fresh;
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    fresh = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - shim_now_ns();
    if (fresh - old + JSON_CLOCK_SLACK_NS <= 2 * JSON_CLOCK_SLACK_NS)
        return old;
    atomic_store(&kept, fresh);
    return fresh;
}

char *scp_errlog_json(const struct scp *p, uint64_t after_seq)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    struct err_rec batch[16];
    uint64_t wall_ns = scp_json_wall_ns();
    pthread_rwlock_t *slots = &((struct scp *)(uintptr_t)p)->p_slots;
    unsigned n;

    if (f == NULL)
        return NULL;
    pthread_rwlock_rdlock(slots);
    while ((n = errlog_read(after_seq, batch, (unsigned)SC_ARRAY_SIZE(batch))) > 0) {
        for (unsigned i = 0; i < n; i++)
            json_record(f, p, &batch[i], wall_ns);
        SHIM_ASSERT(batch[n - 1].er_seq > after_seq);
        after_seq = batch[n - 1].er_seq;
    }
    pthread_rwlock_unlock(slots);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
