/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_io.c - SG_IO: its two headers, checked, turned into a command, and filled with the results.
 *
 * Version 3 (struct sg_io_hdr, 'S') and version 4 (struct sg_io_v4, 'Q') meet in struct sg_request.
 * The rules are those of Linux' block layer, which every tool is tried with: a direction matters only
 * when there is data; a data length beyond the scatter list is cut to it; the residual counts from the
 * length the caller gave.
 *
 * Data goes through a buffer of ours, page-aligned, because the pair demands that nobody else touches
 * the pages of a transfer.
 *
 * Not offered: the asynchronous write() and read() of the headers, mapped buffers, commands with
 * data in both directions, CDBs longer than 16 bytes (the adapter carries no more: DID_ABORT).
 */
#define _GNU_SOURCE
#include "sg_impl.h"

#include <linux/bsg.h>
#include <scsi/sg.h>
#include <stdlib.h>
#include <time.h>

/* Of the v3 header in today's kernels; the C library's header has not got it. */
#define SG_MMAP_IO 4u

#define SG_CDB_BYTES_MIN 6u
#define SG_CDB_BYTES_MAX 252u

struct sg_request {
    const uint8_t *rq_cdb;
    uint32_t rq_cdb_bytes;
    bool rq_in, rq_no_copy; /* data comes in; but is not wanted */
    void *rq_data;          /* flat, or rq_iovecs of struct sg_iovec */
    uint32_t rq_iovecs;
    uint32_t rq_bytes;
    uint32_t rq_timeout_ms;
    uint8_t *rq_sense;
    uint32_t rq_sense_room;
    /* Out. */
    uint32_t rq_sense_bytes, rq_duration_ms, rq_resid;
    uint8_t rq_status;
    uint16_t rq_host;
};

static uint64_t sg_now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* Bytes that the caller's memory holds, at most rq_bytes. */
static uint32_t sg_request_room(const struct sg_request *rq)
{
    const struct sg_iovec *vec = rq->rq_data;
    uint64_t room = 0;

    if (rq->rq_iovecs == 0)
        return rq->rq_bytes;
    for (uint32_t i = 0; i < rq->rq_iovecs && room < rq->rq_bytes; i++)
        room += vec[i].iov_len < rq->rq_bytes ? vec[i].iov_len : rq->rq_bytes;
    return room < rq->rq_bytes ? (uint32_t)room : rq->rq_bytes;
}

/* Copy between the caller's memory and `flat`. */
static void sg_request_copy(const struct sg_request *rq, uint8_t *flat, size_t bytes, bool to_caller)
{
    struct sg_iovec one = {rq->rq_data, bytes};
    const struct sg_iovec *vec = rq->rq_iovecs != 0 ? rq->rq_data : &one;

    while (bytes > 0) {
        size_t n = vec->iov_len < bytes ? vec->iov_len : bytes;

        if (n != 0 && to_caller)
            memcpy(vec->iov_base, flat, n);
        else if (n != 0)
            memcpy(flat, vec->iov_base, n);
        flat += n;
        bytes -= n;
        vec++;
    }
}

static void sg_request_results(struct sg_request *rq, const struct sg_command *cm)
{
    rq->rq_status = cm->cm_status;
    rq->rq_host = cm->cm_host;
    rq->rq_resid = rq->rq_bytes - (cm->cm_bytes - cm->cm_resid);
    if (rq->rq_sense != NULL) {
        rq->rq_sense_bytes = cm->cm_sense_bytes < rq->rq_sense_room ? cm->cm_sense_bytes : rq->rq_sense_room;
        memcpy(rq->rq_sense, cm->cm_sense, rq->rq_sense_bytes);
    }
}

/* Check what both headers have in common. 0 or an errno. */
static int sg_request_check(const struct sg_target *t, const struct sg_request *rq)
{
    if (rq->rq_cdb == NULL || rq->rq_cdb_bytes < SG_CDB_BYTES_MIN || rq->rq_cdb_bytes > SG_CDB_BYTES_MAX)
        return EMSGSIZE;
    if (rq->rq_bytes != 0 && rq->rq_data == NULL)
        return EFAULT;
    return rq->rq_bytes > sg_target_bytes_max(t) ? ENOMEM : 0;
}

/* Run it. 0 or an errno; the results are in *rq. */
static int sg_request_run(const struct sg_target *t, struct sg_request *rq)
{
    struct sg_command cm = {0};
    uint64_t begun = sg_now_ms();
    int error = sg_request_check(t, rq);

    if (error != 0)
        return error;
    if (rq->rq_cdb_bytes > sizeof(cm.cm_cdb)) {
        rq->rq_host = SG_HOST_ABORT;
        rq->rq_resid = rq->rq_bytes;
        return 0;
    }
    memcpy(cm.cm_cdb, rq->rq_cdb, rq->rq_cdb_bytes);
    cm.cm_cdb_bytes = (uint8_t)rq->rq_cdb_bytes;
    cm.cm_bytes = sg_request_room(rq);
    cm.cm_in = rq->rq_in && cm.cm_bytes != 0;
    cm.cm_timeout_s = (rq->rq_timeout_ms != 0 ? rq->rq_timeout_ms : SG_TIMEOUT_MS) / 1000u;
    cm.cm_timeout_s += rq->rq_timeout_ms % 1000u != 0;
    if (cm.cm_bytes != 0) {
        size_t room = ((size_t)cm.cm_bytes + SC_PAGE_SIZE - 1) / SC_PAGE_SIZE * SC_PAGE_SIZE;

        cm.cm_data = aligned_alloc(SC_PAGE_SIZE, room);
        if (cm.cm_data == NULL)
            return ENOMEM;
        if (cm.cm_in) /* whatever the disk does, the caller gets nothing of this heap */
            memset(cm.cm_data, 0, room);
        else
            sg_request_copy(rq, cm.cm_data, cm.cm_bytes, false);
    }
    error = sg_target_send(t, &cm);
    if (error == 0) {
        sg_request_results(rq, &cm);
        if (cm.cm_in && !rq->rq_no_copy)
            sg_request_copy(rq, cm.cm_data, cm.cm_bytes - cm.cm_resid, true);
        rq->rq_duration_ms = (uint32_t)(sg_now_ms() - begun);
    }
    free(cm.cm_data);
    return error;
}

/* ------------------------------------------------------------------ version 3 */

/* The direction, when there is data. False: no such direction. */
static bool sg_v3_direction(const struct sg_io_hdr *h, struct sg_request *rq)
{
    switch (h->dxfer_direction) {
    case SG_DXFER_FROM_DEV:
    case SG_DXFER_TO_FROM_DEV:
        rq->rq_in = true;
        return true;
    case SG_DXFER_TO_DEV:
        return true;
    case SG_DXFER_NONE:
        rq->rq_bytes = 0;
        return true;
    default:
        return h->dxfer_len == 0;
    }
}

static int sg_io_v3(const struct sg_target *t, struct sg_io_hdr *h)
{
    struct sg_request rq = {.rq_cdb = h->cmdp,
                            .rq_cdb_bytes = h->cmd_len,
                            .rq_data = h->dxferp,
                            .rq_iovecs = h->iovec_count,
                            .rq_bytes = h->dxfer_len,
                            .rq_no_copy = (h->flags & SG_FLAG_NO_DXFER) != 0,
                            .rq_timeout_ms = h->timeout,
                            .rq_sense = h->sbp,
                            .rq_sense_room = h->mx_sb_len};
    int error;

    if ((h->flags & SG_MMAP_IO) != 0 || !sg_v3_direction(h, &rq))
        return EINVAL;
    error = sg_request_run(t, &rq);
    if (error != 0)
        return error;
    h->status = rq.rq_status;
    h->masked_status = (rq.rq_status >> 1) & 0x1f;
    h->msg_status = 0;
    h->sb_len_wr = (unsigned char)rq.rq_sense_bytes;
    h->host_status = rq.rq_host;
    h->driver_status = rq.rq_sense_bytes != 0 ? SG_DRIVER_SENSE : 0;
    h->resid = (int)rq.rq_resid;
    h->duration = rq.rq_duration_ms;
    h->info = rq.rq_status != 0 || rq.rq_host != 0 ? SG_INFO_CHECK : SG_INFO_OK;
    return 0;
}

/* ------------------------------------------------------------------ version 4 */

static int sg_io_v4(const struct sg_target *t, struct sg_io_v4 *h)
{
    bool in = h->din_xfer_len != 0;
    struct sg_request rq = {.rq_cdb = (const uint8_t *)(uintptr_t)h->request,
                            .rq_cdb_bytes = h->request_len,
                            .rq_in = in,
                            .rq_data = (void *)(uintptr_t)(in ? h->din_xferp : h->dout_xferp),
                            .rq_iovecs = in ? h->din_iovec_count : h->dout_iovec_count,
                            .rq_bytes = in ? h->din_xfer_len : h->dout_xfer_len,
                            .rq_timeout_ms = h->timeout,
                            .rq_sense = (uint8_t *)(uintptr_t)h->response,
                            .rq_sense_room = h->max_response_len};
    int error;

    if (h->protocol != BSG_PROTOCOL_SCSI || h->subprotocol != BSG_SUB_PROTOCOL_SCSI_CMD)
        return EINVAL;
    if (in && h->dout_xfer_len != 0)
        return EOPNOTSUPP;
    error = sg_request_run(t, &rq);
    if (error != 0)
        return error;
    h->device_status = rq.rq_status;
    h->transport_status = rq.rq_host;
    h->driver_status = rq.rq_sense_bytes != 0 ? SG_DRIVER_SENSE : 0;
    h->retry_delay = 0;
    h->info = rq.rq_status != 0 || rq.rq_host != 0 ? SG_INFO_CHECK : SG_INFO_OK;
    h->duration = rq.rq_duration_ms;
    h->response_len = rq.rq_sense_bytes;
    h->din_resid = in ? (int)rq.rq_resid : 0;
    h->dout_resid = in ? 0 : (int)rq.rq_resid;
    return 0;
}

int sg_io(const struct sg_target *t, void *header)
{
    int id;

    /* Both headers begin with the letter that tells them apart. */
    memcpy(&id, header, sizeof(id));
    if (id == 'S')
        return -sg_io_v3(t, header);
    if (id == 'Q')
        return -sg_io_v4(t, header);
    return -ENOSYS;
}
