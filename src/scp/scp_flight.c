/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_flight.c - the flight recorders of a pair as JSON lines: of each disk and of its LUN in the adapter
 * driver, in order of time.
 *
 * The recorders hold numbers; here they get the names people use. One line is one step, with the same
 * fields for both drivers as far as they have them (scpair.h).
 *
 * Does not contain: the recording (devdrv/dd_flight.c, adapter/ad_flight.c), nor sentences
 * (cli/cli_flight.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/scsiproto.h>

/* A record and whose it is. */
struct flight_step {
    unsigned fs_disk;
    bool fs_adapter; /* from the adapter driver */
    struct sc_flight_rec fs_rec;
};

static const char *flight_status(uint8_t status)
{
    switch (status) {
    case SC_CHECK_CONDITION:
        return "CHECK CONDITION";
    case SC_BUSY_STATUS:
        return "BUSY";
    case SC_RESERVATION_CONFLICT:
        return "RESERVATION CONFLICT";
    case SC_COMMAND_TERMINATED:
        return "COMMAND TERMINATED";
    case SC_QUEUE_FULL:
        return "QUEUE FULL";
    default:
        return "SCSI status";
    }
}

static const char *flight_card(uint8_t status)
{
    switch (status) {
    case SC_HOST_IO_BUS_ERR:
        return "host bus error";
    case SC_SCSI_BUS_FAULT:
        return "bus fault";
    case SC_CMD_TIMEOUT:
        return "command timeout";
    case SC_NO_DEVICE_RESPONSE:
        return "no response";
    case SC_ADAPTER_HDW_FAILURE:
        return "adapter hardware failure";
    case SC_ADAPTER_SFW_FAILURE:
        return "adapter microcode failure";
    case SC_FUSE_OR_TERMINAL_PWR:
        return "terminator power failure";
    case SC_SCSI_BUS_RESET:
        return "bus reset";
    default:
        return "adapter status";
    }
}

/* What came back, in the words of the standards. */
static const char *flight_seen(const struct sc_flight_rec *r)
{
    if (r->status_validity & SC_SCSI_ERROR)
        return flight_status(r->scsi_status);
    if (r->status_validity & SC_ADAPTER_ERROR)
        return flight_card(r->adapter_status);
    return "refused by the adapter driver";
}

const char *scp_opcode_text(uint8_t opcode)
{
    switch (opcode) {
    case SCSI_READ_6:
    case SCSI_READ_10:
    case SCSI_READ_12:
    case SCSI_READ_16:
        return "READ";
    case SCSI_WRITE_6:
    case SCSI_WRITE_10:
    case SCSI_WRITE_12:
    case SCSI_WRITE_16:
        return "WRITE";
    case SCSI_WRITE_VERIFY_10:
    case SCSI_WRITE_VERIFY_16:
        return "WRITE AND VERIFY";
    case SCSI_TEST_UNIT_READY:
        return "TEST UNIT READY";
    case SCSI_REQUEST_SENSE:
        return "REQUEST SENSE";
    case SCSI_MODE_SENSE_6:
        return "MODE SENSE";
    case SCSI_INQUIRY:
        return "INQUIRY";
    case SCSI_RESERVE_6:
        return "RESERVE";
    case SCSI_RELEASE_6:
        return "RELEASE";
    case SCSI_START_STOP_UNIT:
        return "START STOP UNIT";
    case SCSI_READ_CAPACITY_10:
        return "READ CAPACITY";
    case SCSI_SYNC_CACHE_10:
        return "SYNCHRONIZE CACHE";
    case SCSI_UNMAP:
        return "UNMAP";
    default:
        return NULL;
    }
}

static void flight_line(FILE *f, const struct scp *p, const struct flight_step *s, uint64_t wall_ns)
{
    static const char *const what[] = {"?", "seen", "over", "state", "late", "limit"};
    const struct sc_flight_rec *r = &s->fs_rec;
    const struct scp_disk *dk = &p->p_disks[s->fs_disk];
    const char *op = scp_opcode_text(r->opcode);

    fprintf(f, "{\"device\":\"%s\",\"disk\":\"%s\"",
            s->fs_adapter ? scp_adapter_name(p, dk->dk_adapter) : dk->dk_name, dk->dk_name);
    if (s->fs_adapter)
        fprintf(f, ",\"id\":%u,\"lun\":%u", dk->dk_id, dk->dk_lun);
    fprintf(f, ",\"seq\":%" PRIu64 ",\"episode\":%" PRIu32 ",\"what\":\"%s\"", r->seq, r->episode,
            what[r->what < SC_ARRAY_SIZE(what) ? r->what : 0]);
    scp_json_time(f, "when", wall_ns, r->when_ns);
    fprintf(f, ",\"when_ns\":%" PRIu64 ",\"took_ns\":%" PRIu64, r->when_ns, r->took_ns);
    if (r->what != SC_FLIGHT_STATE && r->what != SC_FLIGHT_LIMIT) {
        fprintf(f, ",\"opcode\":%u", r->opcode);
        if (op != NULL)
            fprintf(f, ",\"command\":\"%s\"", op);
    }
    if (r->blocks != 0)
        fprintf(f, ",\"lba\":%" PRIu64 ",\"blocks\":%" PRIu32 ",\"read\":%s,\"requests\":%" PRIu32, r->lba,
                r->blocks, r->read ? "true" : "false", r->requests);
    if (r->what == SC_FLIGHT_SEEN) {
        fprintf(f, ",\"seen\":\"%s\",\"status\":[%u,%u,%u,%u]", flight_seen(r), r->status_validity,
                r->scsi_status, r->adapter_status, r->adap_q_status);
        if (r->sense_bytes != 0)
            fprintf(f, ",\"sense\":\"%x/%02x/%02x\"", r->sense_key, r->asc, r->ascq);
    }
    if (r->what == SC_FLIGHT_OVER) {
        fprintf(f, ",\"good\":%" PRIu32 ",\"failed\":%" PRIu32 ",\"retries\":%" PRIu32, r->good, r->failed,
                r->retries);
    } else {
        fprintf(f, ",\"rule\":");
        scp_json_string(f, r->rule);
        fprintf(f, ",\"did\":");
        scp_json_string(f, r->did);
    }
    fprintf(f, ",\"errno\":%u}\n", r->error);
}

/* Add the records of one recorder. */
static unsigned flight_add(struct flight_step *out, const struct sc_flight *from, unsigned disk, bool adapter)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SC_FLIGHT_RECORDS; i++) {
        if (from->rec[i].seq == 0)
            continue;
        out[n].fs_disk = disk;
        out[n].fs_adapter = adapter;
        out[n].fs_rec = from->rec[i];
        out[n].fs_rec.rule[sizeof(from->rec[i].rule) - 1] = '\0';
        out[n++].fs_rec.did[sizeof(from->rec[i].did) - 1] = '\0';
    }
    return n;
}

/* By time; at one time the adapter driver, who saw it first; of one recorder by number. */
static int flight_order(const void *a, const void *b)
{
    const struct flight_step *x = a, *y = b;

    if (x->fs_rec.when_ns != y->fs_rec.when_ns)
        return x->fs_rec.when_ns < y->fs_rec.when_ns ? -1 : 1;
    if (x->fs_disk != y->fs_disk)
        return x->fs_disk < y->fs_disk ? -1 : 1;
    if (x->fs_adapter != y->fs_adapter)
        return x->fs_adapter ? -1 : 1;
    return x->fs_rec.seq < y->fs_rec.seq ? -1 : x->fs_rec.seq > y->fs_rec.seq;
}

/* Everything the drivers remember. A disk that cannot be opened just now has nothing to say. */
static unsigned flight_collect(struct scp *p, struct flight_step *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->p_ndisks; i++) {
        const struct scp_disk *dk = &p->p_disks[i];
        struct sc_flight flight = {0};
        struct file *fp;

        if (scp_disk_file(p, i, &fp) == 0 && fp_ioctl(fp, DKFLIGHT, (intptr_t)&flight, 0) == 0)
            n += flight_add(out + n, &flight, i, false);
        memset(&flight, 0, sizeof(flight));
        flight.id = dk->dk_id;
        flight.lun = dk->dk_lun;
        if (scp_adapter_file(p, dk->dk_adapter, &fp) == 0 &&
            fp_ioctl(fp, SCIOFLIGHT, (intptr_t)&flight, 0) == 0)
            n += flight_add(out + n, &flight, i, true);
    }
    return n;
}

char *scp_flight_json(struct scp *p)
{
    struct flight_step *steps = calloc((size_t)p->p_ndisks * 2u * SC_FLIGHT_RECORDS, sizeof(*steps));
    uint64_t wall_ns = scp_json_wall_ns();
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    unsigned n;

    if (f == NULL || steps == NULL) {
        if (f != NULL)
            (void)fclose(f);
        free(text);
        free(steps);
        return NULL;
    }
    n = flight_collect(p, steps);
    qsort(steps, n, sizeof(*steps), flight_order);
    for (unsigned i = 0; i < n; i++)
        flight_line(f, p, &steps[i], wall_ns);
    free(steps);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
