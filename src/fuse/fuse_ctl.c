/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuse_ctl.c - the files of .scpair: what the scpair command reads of a mount and writes to it.
 *
 *   stat    counters, JSON            errlog  the error log, JSON lines
 *   pid     the server's process id   spec    what is mounted and how, JSON
 *   flight  the flight recorders: the steps of the last recoveries, JSON lines
 *   inject  write: one fault rule per line (scp_inject); a refused line fails the write(2) with
 *           EINVAL. read: the rules in force and why the last one was refused, JSON
 *   plug    write: disks come and go (fuse_plug.c)
 *
 *   trace   write: "start [RECORDS]" or "stop"; EBUSY when one runs. read: what it has, Chrome trace JSON
 *
 * The text is made at open, so one open sees one state however it reads it.
 */
#define _GNU_SOURCE
#include "fuse_impl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/devinfo.h>
#include <unistd.h>

#include "../adapter/sim/sim.h"

/* json_string() refuses text that is not UTF-8, which a path may be. */
static json_t *ctl_string(const char *text)
{
    json_t *s = json_string(text);

    return s != NULL ? s : json_string("(not UTF-8)");
}

static json_t *ctl_disk(const struct fuse_pair *pr, unsigned i)
{
    static const char *const medium[] = {"file", "ram", "null"};
    const struct scp_disk_spec *d = scp_disk_config(pr->pr_scp, i);
    const struct fuse_vdisk *vd = &pr->pr_disks[i];
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(scp_disk_name(pr->pr_scp, i)));
    json_object_set_new(o, "adapter",
                        json_string(scp_adapter_name(pr->pr_scp, scp_disk_adapter(pr->pr_scp, i))));
    json_object_set_new(o, "medium", json_string(medium[d->medium]));
    json_object_set_new(o, "path", d->path != NULL ? ctl_string(d->path) : json_null());
    json_object_set_new(o, "bytes", json_integer((json_int_t)vd->vd_bytes));
    json_object_set_new(o, "block", json_integer(vd->vd_block_bytes));
    json_object_set_new(o, "physical",
                        json_integer(d->physical_bytes ? d->physical_bytes : vd->vd_block_bytes));
    json_object_set_new(o, "removable", json_boolean(d->removable));
    json_object_set_new(o, "read_only", json_boolean(vd->vd_read_only));
    json_object_set_new(o, "direct", json_boolean(d->direct));
    json_object_set_new(o, "queue", json_integer(vd->vd_queue));
    json_object_set_new(o, "latency_ns", json_integer((json_int_t)d->latency_ns));
    json_object_set_new(o, "reserve", json_boolean(!d->no_reserve));
    json_object_set_new(o, "clr_q", json_boolean(d->clr_q));
    json_object_set_new(o, "q_err", json_boolean(!d->no_q_err));
    json_object_set_new(o, "rw_timeout", json_integer(d->rw_timeout ? d->rw_timeout : 30));
    json_object_set_new(o, "start_timeout", json_integer(d->start_timeout ? d->start_timeout : 60));
    json_object_set_new(o, "retries", json_integer(d->retries ? d->retries : 3));
    return o;
}

static json_t *ctl_adapter(const struct fuse_pair *pr, unsigned i)
{
    const struct scp_adapter_spec *a = scp_adapter_config(pr->pr_scp, i);
    struct devinfo info = {0};
    json_t *o = json_object();
    struct file *fp;

    json_object_set_new(o, "name", json_string(scp_adapter_name(pr->pr_scp, i)));
    json_object_set_new(o, "kind", json_string(a->kind));
    if (scp_adapter_file(pr->pr_scp, i, &fp) == 0 && fp_ioctl(fp, IOCINFO, (intptr_t)&info, 0) == 0)
        json_object_set_new(o, "max_transfer", json_integer((json_int_t)info.un.scsi.max_transfer));
    json_object_set_new(o, "no_gather", json_boolean(a->no_gather));
    json_object_set_new(o, "clears_queue", json_boolean(a->clears_queue));
    json_object_set_new(o, "pend",
                        json_string(a->pend == SCP_PEND_NOT    ? "no"
                                    : a->pend == SCP_PEND_POLL ? "poll"
                                                               : "interrupt"));
    return o;
}

/* What is in force: what the drivers made of the options, and the options that are ours. */
static char *ctl_spec(struct fuse_pair *pr)
{
    const struct fuse_serve_config *cfg = pr->pr_cfg;
    char mode[8];
    json_t *o = json_object();
    json_t *adapters = json_array();
    json_t *disks = json_array();
    char *text;

    for (unsigned i = 0; i < scp_nadapters(pr->pr_scp); i++)
        json_array_append_new(adapters, ctl_adapter(pr, i));
    pthread_rwlock_rdlock(&pr->pr_tree);
    for (unsigned i = 0; i < pr->pr_ndisks; i++)
        if (pr->pr_disks[i].vd_there)
            json_array_append_new(disks, ctl_disk(pr, i));
    pthread_rwlock_unlock(&pr->pr_tree);
    json_object_set_new(o, "version", json_string(scp_version()));
    json_object_set_new(o, "pid", json_integer(getpid()));
    json_object_set_new(o, "mountpoint", ctl_string(cfg->mountpoint));
    json_object_set_new(o, "threads", json_integer(cfg->threads));
    json_object_set_new(o, "allow_other", json_boolean(cfg->allow_other));
    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)cfg->mode);
    json_object_set_new(o, "mode", json_string(mode));
    json_object_set_new(o, "uid", json_integer(cfg->uid));
    json_object_set_new(o, "gid", json_integer(cfg->gid));
    json_object_set_new(o, "stop_timeout", json_integer(cfg->stop_seconds));
    json_object_set_new(o, "adapters", adapters);
    json_object_set_new(o, "disks", disks);
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

/*
 * A rule in the words of its language: what a reader finds in "op" and "do" can be written into a rule
 * again. The simulator's own numbers would mean something to nobody, and change.
 */
static json_t *ctl_rule(struct scp *p, unsigned disk, unsigned number, const struct sim_fault *f)
{
    json_t *o = json_object();
    char text[SCP_ERROR_MAX] = "";
    char *rest = text;
    const char *word;

    (void)scp_inject_text(p, disk, number, text, sizeof(text));
    json_object_set_new(o, "disk", json_string(scp_disk_name(p, disk)));
    json_object_set_new(o, "rule", json_integer(number));
    json_object_set_new(o, "text", json_string(text));
    while ((word = strsep(&rest, " ")) != NULL) {
        if (strncmp(word, "op=", 3) == 0)
            json_object_set_new(o, "op", json_string(word + 3));
        if (strncmp(word, "do=", 3) == 0)
            json_object_set_new(o, "do", json_string(word + 3));
    }
    /* null: to the end of the disk, and for good. */
    json_object_set_new(o, "lba_first", json_integer((json_int_t)f->f_lba_first));
    json_object_set_new(o, "lba_last",
                        f->f_lba_last != UINT64_MAX ? json_integer((json_int_t)f->f_lba_last) : json_null());
    json_object_set_new(o, "skip", json_integer(f->f_skip));
    json_object_set_new(o, "every", json_integer(f->f_every > 1 ? f->f_every : 1));
    json_object_set_new(o, "rate", json_real((double)f->f_rate_milli / 1000));
    json_object_set_new(o, "count", f->f_count != 0 ? json_integer(f->f_count) : json_null());
    json_object_set_new(o, "hits", json_integer((json_int_t)f->f_hits));
    return o;
}

static char *ctl_rules(struct fuse_pair *pr)
{
    json_t *o = json_object();
    json_t *rules = json_array();
    struct sim_fault f;
    char *text;

    pthread_rwlock_rdlock(&pr->pr_tree);
    for (unsigned d = 0; d < pr->pr_ndisks; d++) {
        for (unsigned i = 0; pr->pr_disks[d].vd_there && i < SIM_FAULTS_MAX; i++)
            if (sim_fault_get(scp_sim_disk(pr->pr_scp, d), i, &f))
                json_array_append_new(rules, ctl_rule(pr->pr_scp, d, i, &f));
    }
    pthread_rwlock_unlock(&pr->pr_tree);
    json_object_set_new(o, "rules", rules);
    pthread_mutex_lock(&pr->pr_mutex);
    json_object_set_new(o, "last_error", ctl_string(pr->pr_inject_error));
    pthread_mutex_unlock(&pr->pr_mutex);
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

/* Make what a reader will see. 0, EACCES or ENOMEM. */
int fuse_ctl_open(struct fuse_pair *pr, struct fuse_handle *h)
{
    if (h->h_writable && h->h_kind != FUSE_KIND_INJECT && h->h_kind != FUSE_KIND_PLUG &&
        h->h_kind != FUSE_KIND_TRACE)
        return EACCES;
    switch (h->h_kind) {
    case FUSE_KIND_STAT:
        h->h_text = scp_stat_json(pr->pr_scp);
        break;
    case FUSE_KIND_ERRLOG:
        h->h_text = scp_errlog_json(pr->pr_scp, 0);
        break;
    case FUSE_KIND_FLIGHT:
        h->h_text = scp_flight_json(pr->pr_scp);
        break;
    case FUSE_KIND_TRACE:
        /* Who writes wants to have one begun or ended; megabytes of text would be for nothing. */
        h->h_text = h->h_writable ? strdup("") : scp_trace_json(pr->pr_scp);
        break;
    case FUSE_KIND_PID:
        if (asprintf(&h->h_text, "%ld\n", (long)getpid()) < 0)
            h->h_text = NULL;
        break;
    case FUSE_KIND_PLUG:
        h->h_text = strdup("{}");
        break;
    case FUSE_KIND_SPEC:
        h->h_text = ctl_spec(pr);
        break;
    default:
        FUSE_ASSERT(h->h_kind == FUSE_KIND_INJECT);
        h->h_text = ctl_rules(pr);
        break;
    }
    if (h->h_text == NULL)
        return ENOMEM;
    h->h_text_bytes = strlen(h->h_text);
    return 0;
}

void fuse_ctl_read(fuse_req_t req, struct fuse_handle *h, size_t size, uint64_t off)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    char *copy = NULL;

    FUSE_ASSERT(h->h_text != NULL);
    /* A copy: the reader may have closed the file, and the handle be gone, before the reply returns. */
    pthread_mutex_lock(&pr->pr_mutex);
    if (off >= h->h_text_bytes)
        size = 0;
    else if (size > h->h_text_bytes - off)
        size = h->h_text_bytes - (size_t)off;
    if (size != 0) {
        copy = malloc(size);
        if (copy != NULL)
            memcpy(copy, h->h_text + off, size);
    }
    pthread_mutex_unlock(&pr->pr_mutex);
    if (size != 0 && copy == NULL)
        fuse_reply_err(req, ENOMEM);
    else
        fuse_reply_buf(req, copy, size);
    free(copy);
}

/* "start", "start 4096" or "stop", with or without an end of line. 0 or an errno. */
static int ctl_trace(char *text)
{
    char *rest = text;
    char *word = strsep(&rest, " \t\n"), *number = strsep(&rest, " \t\n");
    uint64_t records = TRC_RECORDS_DEFAULT;
    struct trc_status status;

    if (rest != NULL && *rest != '\0')
        return EINVAL;
    if (strcmp(word, "stop") == 0 && (number == NULL || *number == '\0')) {
        trc_query(&status);
        if (status.ts_records == 0)
            return ENODATA; /* there never was one */
        trc_stop();
        return 0;
    }
    if (strcmp(word, "start") != 0)
        return EINVAL;
    if (number != NULL && *number != '\0' && scp_size_parse(number, &records) != 0)
        return EINVAL;
    return records <= TRC_RECORDS_MAX ? trc_start((uint32_t)records) : EINVAL;
}

/* Apply every line of one write(2); stops at the first that is refused. */
void fuse_ctl_write(fuse_req_t req, struct fuse_handle *h, const char *data, size_t size)
{
    struct fuse_pair *pr = fuse_pair_of(req);
    char err[SCP_ERROR_MAX] = "";
    char *text, *rest, *line;
    int error = 0;

    if (h->h_kind == FUSE_KIND_PLUG) {
        fuse_plug_write(req, h, data, size);
        return;
    }
    if (h->h_kind != FUSE_KIND_INJECT && h->h_kind != FUSE_KIND_TRACE) {
        fuse_reply_err(req, EBADF);
        return;
    }
    text = rest = strndup(data, size);
    if (text == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (h->h_kind == FUSE_KIND_TRACE) {
        error = ctl_trace(text);
        free(text);
        if (error != 0)
            fuse_fail(req, error);
        else
            fuse_reply_write(req, size);
        return;
    }
    while (error == 0 && (line = strsep(&rest, "\n")) != NULL)
        if (line[strspn(line, " \t\r")] != '\0')
            error = scp_inject(pr->pr_scp, line, err, sizeof(err));
    free(text);
    if (error != 0) {
        pthread_mutex_lock(&pr->pr_mutex);
        memcpy(pr->pr_inject_error, err, sizeof(err));
        pthread_mutex_unlock(&pr->pr_mutex);
        fuse_fail(req, EINVAL);
        return;
    }
    fuse_reply_write(req, size);
}
