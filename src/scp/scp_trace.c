/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_trace.c - the trace as Chrome trace JSON, which chrome://tracing and ui.perfetto.dev draw.
 *
 * A process per disk (its name) and per LUN in the adapter driver ("scsi0 0,0"). Slices in one thread must
 * nest, and commands of a queue overlap, so each slice gets the lowest lane that is free when it begins, and
 * a lane is a thread:
 *
 *   hdisk0      requests    strategy to iodone of a buf
 *               commands    sent to back, with the CDB
 *               recovery    instants: the rule that fired and what was done; states of recovery
 *   scsi0 0,0   commands    strategy to push of an sc_buf, and inside it start to done at the chip
 *               queue       instants: halted, kept, running; abort, reset
 *
 * An arrow leads from a request to each command that carries it. What has not ended when the trace is read
 * ends with it and says so; what had begun before the oldest record is left out.
 *
 * Does not contain: the recording (shim/kern/kern_trace.c), and hooks of other drivers, which it skips.
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/scsiproto.h>
#include <sys/trchkid.h>

#define TRACE_LANES        1024u /* more at once share the last one */
#define TRACE_FAILED       4096u /* more than a mount has commands at its disks */
#define TRACE_LUN_PID      1000u /* disk i is process 1 + i, its LUN this much more */
#define TRACE_TID_INSTANTS 1u
#define TRACE_TID_COMMANDS 10u
#define TRACE_TID_REQUESTS 2000u

enum trace_kind { TRACE_REQUEST, TRACE_COMMAND, TRACE_LUN, TRACE_KINDS };

/* A slice that has begun. */
struct trace_open {
    uint64_t o_key; /* address of the buf or sc_buf */
    uint8_t o_kind;
    bool o_pending;
    unsigned o_disk, o_lane;
    uint64_t o_number;              /* in the output: what an address stands for */
    struct trc_rec o_begin;         /* the hook it began with */
    uint64_t o_start_ns, o_done_ns; /* TRACE_LUN: at the chip; 0 not (yet) */
    uint64_t o_done[3];             /* result, SCSI status, residual */
};

/* A command that came back with an error: what it was is known only when its sense has been fetched. */
struct trace_failed {
    uint64_t f_key, f_number; /* address of the sc_buf, what it stands for in the output */
};

struct trace_out {
    FILE *t_f;
    struct scp *t_scp;
    uint64_t t_base_ns, t_last_ns, t_number, t_flows;
    bool t_comma;
    struct trace_open *t_open;
    size_t t_nopen, t_room;
    struct trace_failed t_failed[TRACE_FAILED]; /* the last ones, a ring */
    uint64_t t_nfailed;
    uint64_t t_rule[3]; /* of the rule that waits for what was done */
    bool t_lane[SCP_DISKS_MAX][TRACE_KINDS][TRACE_LANES];
    unsigned t_lanes[SCP_DISKS_MAX][TRACE_KINDS]; /* ever used */
};

/* ------------------------------------------------------------------ events */

static unsigned trace_pid(unsigned disk, unsigned kind)
{
    return 1u + disk + (kind == TRACE_LUN ? TRACE_LUN_PID : 0);
}

static unsigned trace_tid(unsigned kind, unsigned lane)
{
    return lane + (kind == TRACE_REQUEST ? TRACE_TID_REQUESTS : TRACE_TID_COMMANDS);
}

/* Begin an event: up to and including its time, in microseconds with three decimals. */
static void trace_event(struct trace_out *t, const char *phase, unsigned pid, unsigned tid, uint64_t ns)
{
    const uint64_t at = ns - t->t_base_ns;

    fprintf(t->t_f, "%s\n{\"ph\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":%" PRIu64 ".%03u", t->t_comma ? "," : "",
            phase, pid, tid, at / 1000u, (unsigned)(at % 1000u));
    t->t_comma = true;
}

static void trace_dur(struct trace_out *t, uint64_t ns)
{
    fprintf(t->t_f, ",\"dur\":%" PRIu64 ".%03u", ns / 1000u, (unsigned)(ns % 1000u));
}

/* ------------------------------------------------------------------ what words mean */

static void trace_unpack(uint8_t *out, const uint64_t *words, unsigned n)
{
    for (unsigned i = 0; i < n * 8u; i++)
        out[i] = (uint8_t)(words[i / 8u] >> 8u * (i % 8u));
}

/* A READ's or WRITE's first block and number of blocks; false for anything else. */
static bool trace_blocks(const uint8_t *cdb, unsigned bytes, uint64_t *lba, uint64_t *blocks)
{
    const char *op = scp_opcode_text(cdb[0]);

    if (op == NULL || (strcmp(op, "READ") != 0 && strncmp(op, "WRITE", 5) != 0))
        return false;
    switch (bytes) {
    case 6:
        *lba = (uint64_t)(cdb[1] & 0x1fu) << 16 | (uint64_t)cdb[2] << 8 | cdb[3];
        *blocks = cdb[4] != 0 ? cdb[4] : 256u;
        return true;
    case 10:
        *lba = scsi_get32(cdb + 2);
        *blocks = scsi_get16(cdb + 7);
        return true;
    case 12:
        *lba = scsi_get32(cdb + 2);
        *blocks = scsi_get32(cdb + 6);
        return true;
    case 16:
        *lba = scsi_get64(cdb + 2);
        *blocks = scsi_get32(cdb + 10);
        return true;
    default:
        return false;
    }
}

/* ,"name":...,"args":{... of a command, from the words of its hook; the object is left open. */
static void trace_command(struct trace_out *t, const struct trace_open *o)
{
    const uint64_t packed = o->o_begin.tr_data[4];
    const unsigned bytes = packed & 0xffu;
    uint8_t cdb[16];
    uint64_t lba = 0, blocks = 0;
    const char *op;
    bool rw;

    trace_unpack(cdb, &o->o_begin.tr_data[2], 2);
    op = scp_opcode_text(cdb[0]);
    rw = trace_blocks(cdb, bytes, &lba, &blocks);
    fprintf(t->t_f, ",\"name\":\"");
    if (bytes == 0)
        fprintf(t->t_f, "queue control");
    else if (op != NULL)
        fprintf(t->t_f, "%s", op);
    else
        fprintf(t->t_f, "opcode %02x", cdb[0]);
    if (rw)
        fprintf(t->t_f, " %" PRIu64 "+%" PRIu64, lba, blocks);
    fprintf(t->t_f, "\",\"args\":{\"command\":%" PRIu64 ",\"cdb\":\"", o->o_number);
    for (unsigned i = 0; i < bytes && i < sizeof(cdb); i++)
        fprintf(t->t_f, "%02x", cdb[i]);
    fprintf(t->t_f, "\",\"opcode\":%u", cdb[0]);
    if (rw)
        fprintf(t->t_f, ",\"lba\":%" PRIu64 ",\"blocks\":%" PRIu64, lba, blocks);
    fprintf(t->t_f, ",\"bytes\":%" PRIu64 ",\"tag\":%u", packed >> 32, (unsigned)(packed >> 8 & 0xffu));
}

/* Which disk a devno is, or which LUN; false for a device that is not the pair's. */
static bool trace_disk(const struct scp *p, const struct trc_rec *r, unsigned *disk)
{
    const devno_t devno = (devno_t)r->tr_data[0];
    const bool lun = r->tr_hook >> 20 == HKWD_AD_STRATEGY >> 20;

    for (unsigned i = 0; i < p->p_ndisks; i++) {
        const struct scp_disk *dk = &p->p_disks[i];

        if (lun ? r->tr_data[0] == TRC_LUN(scp_adapter_devno(p, dk->dk_adapter), dk->dk_id, dk->dk_lun)
                : devno == scp_disk_devno(p, i)) {
            *disk = i;
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ slices */

static struct trace_open *trace_find(struct trace_out *t, unsigned kind, uint64_t key)
{
    for (size_t i = t->t_nopen; i-- > 0;)
        if (t->t_open[i].o_kind == kind && t->t_open[i].o_key == key)
            return &t->t_open[i];
    return NULL;
}

static void trace_forget(struct trace_out *t, struct trace_open *o)
{
    t->t_lane[o->o_disk][o->o_kind][o->o_lane] = false;
    *o = t->t_open[--t->t_nopen];
}

static bool trace_begin(struct trace_out *t, unsigned kind, const struct trc_rec *r, unsigned disk)
{
    struct trace_open *o = trace_find(t, kind, r->tr_data[1]);
    unsigned lane = 0;

    if (o != NULL)
        trace_forget(t, o); /* its end was overwritten */
    if (t->t_nopen == t->t_room) {
        size_t room = t->t_room != 0 ? 2 * t->t_room : 256;

        o = realloc(t->t_open, room * sizeof(*o));
        if (o == NULL)
            return false;
        t->t_open = o;
        t->t_room = room;
    }
    while (lane < TRACE_LANES - 1 && t->t_lane[disk][kind][lane])
        lane++;
    t->t_lane[disk][kind][lane] = true;
    if (lane >= t->t_lanes[disk][kind])
        t->t_lanes[disk][kind] = lane + 1;
    o = &t->t_open[t->t_nopen++];
    *o = (struct trace_open){.o_key = r->tr_data[1],
                             .o_kind = (uint8_t)kind,
                             .o_disk = disk,
                             .o_lane = lane,
                             .o_number = ++t->t_number,
                             .o_begin = *r};
    return true;
}

/* The chip's part of an adapter driver's command, inside it. */
static void trace_chip(struct trace_out *t, const struct trace_open *o, uint64_t end_ns)
{
    if (o->o_start_ns == 0)
        return;
    trace_event(t, "X", trace_pid(o->o_disk, TRACE_LUN), trace_tid(TRACE_LUN, o->o_lane), o->o_start_ns);
    trace_dur(t, (o->o_done_ns != 0 ? o->o_done_ns : end_ns) - o->o_start_ns);
    fprintf(t->t_f, ",\"cat\":\"chip\",\"name\":\"chip\",\"args\":{\"command\":%" PRIu64 ",\"pending\":%s",
            o->o_number, o->o_pending ? "true" : "false");
    if (o->o_done_ns != 0)
        fprintf(t->t_f, ",\"result\":%" PRIu64 ",\"scsi_status\":%" PRIu64 ",\"resid\":%" PRIu64,
                o->o_done[0], o->o_done[1], o->o_done[2]);
    fprintf(t->t_f, "}}");
}

/* It has ended with the record `r`, or, NULL, not before the trace. */
static void trace_end(struct trace_out *t, struct trace_open *o, const struct trc_rec *r)
{
    static const char *const cat[TRACE_KINDS] = {"request", "command", "adapter"};
    const uint64_t end_ns = r != NULL ? r->tr_ns : t->t_last_ns;

    trace_event(t, "X", trace_pid(o->o_disk, o->o_kind), trace_tid(o->o_kind, o->o_lane), o->o_begin.tr_ns);
    trace_dur(t, end_ns - o->o_begin.tr_ns);
    fprintf(t->t_f, ",\"cat\":\"%s\"", cat[o->o_kind]);
    if (o->o_kind == TRACE_REQUEST) {
        bool read = (o->o_begin.tr_data[4] & B_READ) != 0;

        fprintf(t->t_f,
                ",\"name\":\"%s %" PRIu64 "\",\"args\":{\"request\":%" PRIu64 ",\"blkno\":%" PRIu64
                ",\"bytes\":%" PRIu64,
                read ? "read" : "write", o->o_begin.tr_data[2], o->o_number, o->o_begin.tr_data[2],
                o->o_begin.tr_data[3]);
    } else {
        trace_command(t, o);
    }
    if (o->o_kind == TRACE_COMMAND)
        fprintf(t->t_f, ",\"requests\":%u,\"in\":%s", (unsigned)(o->o_begin.tr_data[4] >> 16 & 0x7fffu),
                o->o_begin.tr_data[4] & TRC_DATA_IN ? "true" : "false");
    fprintf(t->t_f, ",\"thread\":%" PRIu64, o->o_begin.tr_thread);
    if (r == NULL)
        fprintf(t->t_f, ",\"unfinished\":true");
    else
        fprintf(t->t_f, ",\"errno\":%" PRIu64, r->tr_data[2]);
    if (r != NULL && o->o_kind == TRACE_COMMAND)
        fprintf(t->t_f, ",\"status\":[%u,%u,%u,%u],\"resid\":%" PRIu64,
                (unsigned)(r->tr_data[3] >> 24 & 0xffu), (unsigned)(r->tr_data[3] >> 16 & 0xffu),
                (unsigned)(r->tr_data[3] >> 8 & 0xffu), (unsigned)(r->tr_data[3] & 0xffu), r->tr_data[4]);
    if (r != NULL && o->o_kind == TRACE_REQUEST)
        fprintf(t->t_f, ",\"resid\":%" PRIu64, r->tr_data[3]);
    fprintf(t->t_f, "}}");
    if (o->o_kind == TRACE_LUN)
        trace_chip(t, o, end_ns);
    if (o->o_kind == TRACE_COMMAND && r != NULL && r->tr_data[2] != 0)
        t->t_failed[t->t_nfailed++ % TRACE_FAILED] = (struct trace_failed){o->o_key, o->o_number};
    trace_forget(t, o);
}

/* An arrow from a request to the command that carries it. */
static void trace_flow(struct trace_out *t, const struct trc_rec *r)
{
    const struct trace_open *command = trace_find(t, TRACE_COMMAND, r->tr_data[1]);
    const struct trace_open *request = trace_find(t, TRACE_REQUEST, r->tr_data[2]);

    if (command == NULL || request == NULL)
        return;
    t->t_flows++;
    trace_event(t, "s", trace_pid(request->o_disk, TRACE_REQUEST), trace_tid(TRACE_REQUEST, request->o_lane),
                r->tr_ns);
    fprintf(t->t_f,
            ",\"cat\":\"carry\",\"name\":\"carried by\",\"id\":%" PRIu64 ",\"args\":{\"request\":%" PRIu64
            "}}",
            t->t_flows, request->o_number);
    trace_event(t, "f", trace_pid(command->o_disk, TRACE_COMMAND), trace_tid(TRACE_COMMAND, command->o_lane),
                r->tr_ns);
    fprintf(t->t_f,
            ",\"bp\":\"e\",\"cat\":\"carry\",\"name\":\"carried by\",\"id\":%" PRIu64
            ",\"args\":{\"command\":%" PRIu64 "}}",
            t->t_flows, command->o_number);
}

/* ------------------------------------------------------------------ instants */

static void trace_instant(struct trace_out *t, const struct trc_rec *r, unsigned disk, unsigned kind,
                          const char *cat, const char *a, const char *b)
{
    trace_event(t, "i", trace_pid(disk, kind), TRACE_TID_INSTANTS, r->tr_ns);
    fprintf(t->t_f, ",\"s\":\"t\",\"cat\":\"%s\",\"name\":\"%s%s\",\"args\":{", cat, a, b);
}

/* Which command that has come back is this? The latest at that address; 0: not known. */
static uint64_t trace_failed(const struct trace_out *t, uint64_t key)
{
    for (uint64_t n = t->t_nfailed; n > 0 && n + TRACE_FAILED > t->t_nfailed; n--)
        if (t->t_failed[(n - 1) % TRACE_FAILED].f_key == key)
            return t->t_failed[(n - 1) % TRACE_FAILED].f_number;
    return 0;
}

/* A rule and what was done about it. */
static void trace_act(struct trace_out *t, const struct trc_rec *r, unsigned disk)
{
    uint8_t rule[25] = {0}, did[17] = {0};
    const uint64_t word = r->tr_data[4];

    trace_unpack(rule, t->t_rule, 3);
    trace_unpack(did, &r->tr_data[2], 2);
    /* They are ours and have no quotation marks; of somebody else's hook they might. */
    for (uint8_t *c = rule; *c != 0; c++)
        *c = *c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\' ? '?' : *c;
    for (uint8_t *c = did; *c != 0; c++)
        *c = *c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\' ? '?' : *c;
    trace_event(t, "i", trace_pid(disk, TRACE_COMMAND), TRACE_TID_INSTANTS, r->tr_ns);
    fprintf(t->t_f,
            ",\"s\":\"t\",\"cat\":\"recovery\",\"name\":\"%s: %s\",\"args\":{\"rule\":\"%s\",\"did\":\"%s\""
            ",\"command\":%" PRIu64 ",\"errno\":%u,\"sense\":\"%x/%02x/%02x\"}}",
            (char *)rule, (char *)did, (char *)rule, (char *)did, trace_failed(t, r->tr_data[1]),
            (unsigned)(word >> 32),
            (unsigned)(word >> 16 & 0xffu), (unsigned)(word >> 8 & 0xffu), (unsigned)(word & 0xffu));
}

static void trace_state(struct trace_out *t, const struct trc_rec *r, unsigned disk)
{
    static const char *const recovery[] = {"over",       "request sense",   "reserve",      "read keys",
                                           "capacity",   "test unit ready", "start unit",   "becoming ready?",
                                           "mode sense", "fetch sense",     "resume queue", "clear queue",
                                           "delay",      "begins",          "wait",         "wait for all"};
    static const char *const queue[] = {"stopped",  "running",   "halted",  "kept",
                                        "recovery", "recovered", "stopping"};

    if (r->tr_hook == HKWD_DD_STATE) {
        uint64_t state = r->tr_data[1];

        trace_instant(t, r, disk, TRACE_COMMAND, "recovery",
                      "recovery: ", state < SC_ARRAY_SIZE(recovery) ? recovery[state] : "?");
        fprintf(t->t_f, "\"state\":%" PRIu64 "}}", state);
    } else {
        uint64_t to = r->tr_data[2];

        trace_instant(t, r, disk, TRACE_LUN, "queue", "queue ", to < SC_ARRAY_SIZE(queue) ? queue[to] : "?");
        fprintf(t->t_f, "\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}", r->tr_data[1], to);
    }
}

/* ------------------------------------------------------------------ all of it */

static void trace_lun_record(struct trace_out *t, const struct trc_rec *r, unsigned disk)
{
    static const char *const reset[] = {"LUN", "target", "bus", "adapter"};
    struct trace_open *o = trace_find(t, TRACE_LUN, r->tr_data[1]);

    switch (r->tr_hook) {
    case HKWD_AD_ABORT:
        trace_instant(t, r, disk, TRACE_LUN, "queue", "abort", "");
        fprintf(t->t_f, "\"command\":%" PRIu64 "}}", o != NULL ? o->o_number : 0);
        break;
    case HKWD_AD_RESET:
        trace_instant(t, r, disk, TRACE_LUN, "queue", r->tr_data[1] < 4 ? reset[r->tr_data[1]] : "?",
                      " reset");
        fprintf(t->t_f, "}}");
        break;
    case HKWD_AD_START:
        if (o != NULL)
            o->o_start_ns = r->tr_ns;
        break;
    case HKWD_AD_PENDING:
        if (o != NULL)
            o->o_pending = true;
        break;
    case HKWD_AD_DONE:
        if (o != NULL) {
            o->o_done_ns = r->tr_ns;
            memcpy(o->o_done, &r->tr_data[2], sizeof(o->o_done));
        }
        break;
    default:
        break;
    }
}

/* False: no memory. */
static bool trace_record(struct trace_out *t, const struct trc_rec *r)
{
    struct trace_open *o = NULL;
    unsigned disk;

    if (!trace_disk(t->t_scp, r, &disk))
        return true;
    switch (r->tr_hook) {
    case HKWD_DD_STRATEGY:
        return trace_begin(t, TRACE_REQUEST, r, disk);
    case HKWD_DD_SEND:
        return trace_begin(t, TRACE_COMMAND, r, disk);
    case HKWD_AD_STRATEGY:
        return trace_begin(t, TRACE_LUN, r, disk);
    case HKWD_DD_CARRY:
        trace_flow(t, r);
        break;
    case HKWD_DD_RULE:
        memcpy(t->t_rule, &r->tr_data[2], sizeof(t->t_rule));
        break;
    case HKWD_DD_ACT:
        trace_act(t, r, disk);
        break;
    case HKWD_DD_STATE:
    case HKWD_AD_STATE:
        trace_state(t, r, disk);
        break;
    case HKWD_DD_IODONE:
        o = trace_find(t, TRACE_REQUEST, r->tr_data[1]);
        break;
    case HKWD_DD_BACK:
        o = trace_find(t, TRACE_COMMAND, r->tr_data[1]);
        break;
    case HKWD_AD_PUSH:
        o = trace_find(t, TRACE_LUN, r->tr_data[1]);
        break;
    default:
        trace_lun_record(t, r, disk);
        break;
    }
    if (o != NULL)
        trace_end(t, o, r);
    return true;
}

/* A name and a place for a process or thread. */
static void trace_name(struct trace_out *t, const char *what, unsigned pid, unsigned tid, const char *name,
                       unsigned number)
{
    fprintf(t->t_f, "%s\n{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"name\":\"%s_name\",\"args\":{\"name\":\"%s",
            t->t_comma ? "," : "", pid, tid, what, name);
    if (number > 0)
        fprintf(t->t_f, " %u", number);
    fprintf(t->t_f, "\"}}");
    fprintf(t->t_f,
            ",\n{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"name\":\"%s_sort_index\",\"args\":{\"sort_index\":%u}}",
            pid, tid, what, *what == 'p' ? pid % TRACE_LUN_PID * 2u + pid / TRACE_LUN_PID : tid);
    t->t_comma = true;
}

static void trace_names(struct trace_out *t)
{
    static const char *const lane[TRACE_KINDS] = {"request", "command", "command"};
    const struct scp *p = t->t_scp;
    char name[64];

    for (unsigned i = 0; i < p->p_ndisks; i++) {
        const struct scp_disk *dk = &p->p_disks[i];

        if (dk->dk_name[0] == '\0')
            continue; /* unplugged and given back: nothing in the trace is a disk's of this number */
        trace_name(t, "process", trace_pid(i, TRACE_COMMAND), 0, dk->dk_name, 0);
        trace_name(t, "thread", trace_pid(i, TRACE_COMMAND), TRACE_TID_INSTANTS, "recovery", 0);
        (void)snprintf(name, sizeof(name), "%s %u,%u (%s)", scp_adapter_name(p, dk->dk_adapter), dk->dk_id,
                       dk->dk_lun, dk->dk_name);
        trace_name(t, "process", trace_pid(i, TRACE_LUN), 0, name, 0);
        trace_name(t, "thread", trace_pid(i, TRACE_LUN), TRACE_TID_INSTANTS, "queue", 0);
        for (unsigned kind = 0; kind < TRACE_KINDS; kind++)
            for (unsigned n = 0; n < t->t_lanes[i][kind]; n++)
                trace_name(t, "thread", trace_pid(i, kind), trace_tid(kind, n), lane[kind], n + 1);
    }
}

static bool trace_all(struct trace_out *t)
{
    struct trc_rec batch[64];
    struct trc_status st;
    uint64_t after = 0;
    unsigned n;
    bool good = true;

    trc_query(&st); /* what comes while we write is another reader's */
    while (good && after < st.ts_seq && (n = trc_read(after, batch, (unsigned)SC_ARRAY_SIZE(batch))) > 0) {
        if (after == 0)
            t->t_base_ns = batch[0].tr_ns;
        for (unsigned i = 0; i < n && good; i++) {
            t->t_last_ns = batch[i].tr_ns;
            good = trace_record(t, &batch[i]);
        }
        after = batch[n - 1].tr_seq;
    }
    while (t->t_nopen > 0)
        trace_end(t, &t->t_open[t->t_nopen - 1], NULL);
    trace_names(t);
    return good;
}

char *scp_trace_json(struct scp *p)
{
    struct trace_out *t = calloc(1, sizeof(*t));
    struct trc_status st;
    char *text = NULL;
    size_t size = 0;
    bool good = false;

    if (t == NULL)
        return NULL;
    t->t_scp = p;
    t->t_f = open_memstream(&text, &size);
    if (t->t_f != NULL) {
        fprintf(t->t_f, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
        good = trace_all(t);
        trc_query(&st);
        fprintf(t->t_f, "\n],\"otherData\":{\"running\":%s,\"records\":%" PRIu64 ",\"lost\":%" PRIu64,
                st.ts_on ? "true" : "false", st.ts_seq, st.ts_lost);
        scp_json_time(t->t_f, "start", scp_json_wall_ns(), t->t_base_ns);
        fprintf(t->t_f, "}}\n");
        good = fclose(t->t_f) == 0 && good;
    }
    free(t->t_open);
    free(t);
    if (!good) {
        free(text);
        return NULL;
    }
    return text;
}
