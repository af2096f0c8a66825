/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_status.c - how the end of a command looks in its sc_buf, and in the error log.
 *
 * The one place that writes b_error, B_ERROR, b_resid and the four status bytes, from tables, so
 * that SCSI status and adapter status can never both be claimed (AIX-19).
 *
 * Does not contain: what an error does to the queue (ad_done.c).
 */
#include "ad_impl.h"

/* What each result of the chip becomes. */
static const struct ad_outcome {
    int16_t out_errno;
    uint8_t out_validity;
    uint8_t out_card;
    uint16_t out_sc_errno; /* what an SCIO command returns for it */
    uint32_t out_errid;    /* error-log id when the adapter driver is the one to log it, else 0 */
    const char *out_text;
} ad_outcomes[AD_RES_COUNT] = {
    [AD_RES_GOOD] = {0, 0, 0, 0, 0, "good"},
    [AD_RES_STATUS] = {EIO, SC_SCSI_ERROR, 0, EIO, 0, "device status"},
    [AD_RES_SELECT_TIMEOUT] = {EIO, SC_ADAPTER_ERROR, SC_NO_DEVICE_RESPONSE, ENODEV, 0, "no response"},
    [AD_RES_BUS_FAULT] = {EIO, SC_ADAPTER_ERROR, SC_SCSI_BUS_FAULT, ENOCONNECT, 0, "bus fault"},
    [AD_RES_BUS_RESET] = {EIO, SC_ADAPTER_ERROR, SC_SCSI_BUS_RESET, EIO, ERRID_SCSI_ERR1, "bus reset"},
    [AD_RES_HOST_BUS] = {EIO, SC_ADAPTER_ERROR, SC_HOST_IO_BUS_ERR, EIO, ERRID_SCSI_ERR1, "host bus error"},
    [AD_RES_HW_FAILURE] = {EIO, SC_ADAPTER_ERROR, SC_ADAPTER_HDW_FAILURE, EIO, ERRID_SCSI_ERR1,
                           "adapter hardware failure"},
    [AD_RES_SW_FAILURE] = {EIO, SC_ADAPTER_ERROR, SC_ADAPTER_SFW_FAILURE, EIO, ERRID_SCSI_ERR3,
                           "adapter microcode failure"},
    [AD_RES_FUSE] = {EIO, SC_ADAPTER_ERROR, SC_FUSE_OR_TERMINAL_PWR, EIO, ERRID_SCSI_ERR1,
                     "terminator power failure"},
    /* Taken back, though nobody asked for this command: a reset of its target hit it too. */
    [AD_RES_ABORTED] = {EIO, SC_ADAPTER_ERROR, SC_SCSI_BUS_RESET, EIO, 0, "lost in a device reset"},
    /* Nobody sees this one: the request is sent again (ad_done.c). */
    [AD_RES_UNSENT] = {EIO, SC_ADAPTER_ERROR, SC_SCSI_BUS_RESET, EIO, 0, "not delivered"},
};
static const struct ad_outcome ad_outcome_timeout = {EIO, SC_ADAPTER_ERROR, SC_CMD_TIMEOUT, ETIMEDOUT,
                                                     0,   "timeout"};

/* Everything clear: the status fields mean something only after iodone. */
void ad_status_clear(struct sc_buf *sb)
{
    sb->bufstruct.b_flags &= ~(B_ERROR | B_DONE);
    sb->bufstruct.b_error = 0;
    sb->bufstruct.b_resid = 0;
    sb->status_validity = 0;
    sb->scsi_status = 0;
    sb->general_card_status = 0;
    sb->adap_q_status = 0;
}

/*
 * A command came back from the chip. `timed_out`: its time was up and we asked for it. A command
 * that ended by itself while we asked is reported as it ended.
 * Context: any. Owns: the request is still the queue's.
 */
void ad_status_result(struct sc_buf *sb, const struct ad_xfer *xfer, bool timed_out)
{
    const unsigned result = xfer->xfer_result;
    const struct ad_outcome *o;

    SHIM_ASSERT(result < AD_RES_COUNT);
    o = &ad_outcomes[result];
    if (timed_out && (result == AD_RES_ABORTED || result == AD_RES_BUS_RESET))
        o = &ad_outcome_timeout;
    else if (result == AD_RES_STATUS && xfer->xfer_scsi_status == SC_GOOD_STATUS)
        o = &ad_outcomes[AD_RES_GOOD];
    /* A residual larger than the request would send its owner out of bounds. */
    sb->bufstruct.b_resid =
        xfer->xfer_resid < xfer->xfer_bytes ? (size_t)xfer->xfer_resid : (size_t)xfer->xfer_bytes;
    if (o->out_errno == 0)
        return;
    sb->bufstruct.b_flags |= B_ERROR;
    sb->bufstruct.b_error = o->out_errno;
    sb->status_validity = o->out_validity;
    if (o->out_validity == SC_SCSI_ERROR)
        sb->scsi_status = xfer->xfer_scsi_status;
    else
        sb->general_card_status = o->out_card;
    SHIM_ASSERT(sb->status_validity == SC_SCSI_ERROR || sb->status_validity == SC_ADAPTER_ERROR);
    SHIM_ASSERT(sb->scsi_status == 0 || sb->general_card_status == 0);
}

/* Not executed: refused (EINVAL, ENOMEM, EFAULT) or flushed (ENXIO). No status of anybody's. */
void ad_status_refused(struct sc_buf *sb, int error)
{
    SHIM_ASSERT(error != 0);
    ad_status_clear(sb);
    sb->bufstruct.b_flags |= B_ERROR;
    sb->bufstruct.b_error = error;
    sb->bufstruct.b_resid = sb->bufstruct.b_bcount;
}

/* What an SCIO ioctl returns for the command it sent. A flushed one is EIO: try again. */
int ad_status_errno(const struct sc_buf *sb)
{
    if (!(sb->bufstruct.b_flags & B_ERROR))
        return 0;
    SHIM_ASSERT(sb->bufstruct.b_error != 0);
    if (sb->status_validity == SC_ADAPTER_ERROR) {
        if (sb->general_card_status == ad_outcome_timeout.out_card)
            return ad_outcome_timeout.out_sc_errno;
        for (unsigned i = 0; i < AD_RES_COUNT; i++)
            if (ad_outcomes[i].out_card == sb->general_card_status)
                return ad_outcomes[i].out_sc_errno;
    }
    return sb->bufstruct.b_error == ENXIO ? EIO : sb->bufstruct.b_error;
}

/* Write one line into the error log as this adapter; nothing in diagnostic mode. */
void ad_log(const struct ad_adapter *adp, uint32_t id, bool temp, const char *text)
{
    struct err_rec rec;

    if (atomic_load(&adp->adp_diag))
        return;
    memset(&rec, 0, sizeof(rec));
    rec.er_id = id;
    rec.er_temp = temp ? 1 : 0;
    (void)kern_format(rec.er_resource, sizeof(rec.er_resource), "%s", adp->adp_name);
    (void)kern_format(rec.er_text, sizeof(rec.er_text), "%s", text);
    errsave(&rec, sizeof(rec));
}

/*
 * A request is about to go back with an error: errors of the adapter and the host bus are logged
 * here; bus faults, timeouts, silence and SCSI status are the device driver's to log, who knows
 * whether they matter. Context: any.
 */
void ad_log_result(const struct ad_lun *lun, const struct sc_buf *sb)
{
    char text[ERR_TEXT_MAX];

    if (sb->status_validity != SC_ADAPTER_ERROR)
        return;
    for (unsigned i = 0; i < AD_RES_ABORTED; i++) {
        const struct ad_outcome *o = &ad_outcomes[i];

        if (o->out_card != sb->general_card_status || o->out_errid == 0)
            continue;
        (void)kern_format(text, sizeof(text), "%s at id %u lun %u: request returned EIO, adapter status %02x",
                          o->out_text, (unsigned)lun->lun_id, (unsigned)lun->lun_lun, (unsigned)o->out_card);
        ad_log(lun->lun_adp, o->out_errid, i == AD_RES_BUS_RESET, text);
        return;
    }
}
