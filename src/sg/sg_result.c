/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_result.c - between a command and DK_PASSTHRU's structure, in both directions.
 *
 * The driver gives SCSI status or adapter status, never both. SG_IO has a field for each.
 */
#define _GNU_SOURCE
#include "sg_impl.h"

void sg_passthru_fill(const struct sg_command *cm, struct sc_passthru *pt)
{
    memset(pt, 0, offsetof(struct sc_passthru, data));
    pt->version = SC_VERSION_1;
    pt->q_tag_msg = SC_SIMPLE_Q;
    pt->flags = cm->cm_in ? SC_PT_READ : 0;
    pt->command_length = cm->cm_cdb_bytes;
    pt->autosense_length = SC_PASSTHRU_SENSE;
    pt->timeout_value = cm->cm_timeout_s;
    pt->data_length = cm->cm_bytes;
    memcpy(pt->scsi_cdb, cm->cm_cdb, cm->cm_cdb_bytes);
}

static uint16_t sg_host_status(uint8_t adapter_status)
{
    switch (adapter_status) {
    case SC_NO_DEVICE_RESPONSE:
        return SG_HOST_NO_CONNECT;
    case SC_CMD_TIMEOUT:
        return SG_HOST_TIME_OUT;
    case SC_SCSI_BUS_RESET:
        return SG_HOST_RESET;
    default:
        return SG_HOST_ERROR;
    }
}

int sg_passthru_result(struct sg_command *cm, const struct sc_passthru *pt, int error)
{
    cm->cm_status = SC_GOOD_STATUS;
    cm->cm_host = SG_HOST_OK;
    cm->cm_sense_bytes = 0;
    cm->cm_resid = pt->residual < cm->cm_bytes ? (uint32_t)pt->residual : cm->cm_bytes;
    if (pt->status_validity == 0) {
        /* A data phase the driver does not take: memory, in the words of SG_IO. */
        return error == EINVAL && pt->einval_arg == SC_EINVAL_LENGTH ? ENOMEM : error;
    }
    if (pt->status_validity & SC_SCSI_ERROR)
        cm->cm_status = pt->scsi_bus_status;
    if (pt->status_validity & SC_ADAPTER_ERROR)
        cm->cm_host = sg_host_status(pt->adapter_status);
    if (cm->cm_status == SC_CHECK_CONDITION && pt->sense_bytes <= sizeof(cm->cm_sense)) {
        cm->cm_sense_bytes = pt->sense_bytes;
        memcpy(cm->cm_sense, pt->autosense, pt->sense_bytes);
    }
    return 0;
}
