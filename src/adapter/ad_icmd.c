/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_icmd.c - the adapter ioctls that send a command: SCIOINQU, SCIOSTUNIT, SCIOTUR, SCIOREAD, SCIOCMD.
 *
 * Each builds an sc_buf and sends it through the queue like any other; the ioctl sleeps until it
 * is back. These are the only CDBs the adapter driver ever writes, and it reads none.
 *
 * A command that ends in CHECK CONDITION leaves the queue held (not halted: ad_queue.c), and every
 * path here ends that hold: by fetching sense for a caller who wants it, or by saying no.
 *
 * Memory for data is taken per call. These are configuration and maintenance operations; ENOMEM
 * is among their published errors.
 *
 * Does not contain: policy. Status goes to the caller as it came; nothing is retried or logged.
 */
#include "ad_impl.h"

/* Operation codes sent from here. The wire header is not for this folder (AIX-29). */
enum {
    AD_OP_TEST_UNIT_READY = 0x00,
    AD_OP_REQUEST_SENSE = 0x03,
    AD_OP_READ_6 = 0x08,
    AD_OP_INQUIRY = 0x12,
    AD_OP_START_STOP = 0x1b
};

/* A kernel copy of a user's data area. */
struct ad_data {
    void *data;
    size_t bytes;
};

/* b_iodone of every command from here; its address is how the queue knows one. */
void ad_icmd_done(struct buf *bp) { iodone_wakeup(bp); }

/* Data memory in whole pages, as the interface asks for more than 256 bytes. 0 or ENOMEM. */
static int ad_data_get(struct ad_data *d, size_t bytes)
{
    SHIM_ASSERT(d->data == NULL && d->bytes == 0);
    d->bytes = (bytes + SC_PAGE_MASK) & ~(size_t)SC_PAGE_MASK;
    d->data = bytes == 0 ? NULL : shim_alloc(d->bytes, SC_PAGE_SIZE, SHIM_TAG_AD);
    return bytes != 0 && d->data == NULL ? ENOMEM : 0;
}

static void ad_data_put(struct ad_data *d)
{
    if (d->data != NULL)
        shim_free(d->data, d->bytes, SC_PAGE_SIZE, SHIM_TAG_AD);
    d->data = NULL;
}

/* Begin an untagged command with a zero CDB of `length` bytes. */
static void ad_icmd_init(struct ad_adapter *adp, struct sc_buf *sb, unsigned id, unsigned no, uint8_t length)
{
    SHIM_ASSERT(length >= 6 && length <= sizeof(sb->scsi_command.scsi_cmd));
    memset(sb, 0, sizeof(*sb));
    sb->bufstruct.b_dev = adp->adp_devno;
    sb->bufstruct.b_iodone = ad_icmd_done;
    sb->scsi_command.scsi_id = (uint8_t)id;
    sb->scsi_command.scsi_length = length;
    sb->lun = (uint8_t)no;
    sb->q_tag_msg = SC_NO_Q;
    sb->timeout_value = AD_ICMD_TIMEOUT_S;
}

/* Its CDB, byte by byte; for building only. */
static uint8_t *ad_icmd_cdb(struct sc_buf *sb) { return (uint8_t *)&sb->scsi_command.scsi_cmd; }

/* Its data. */
static void ad_icmd_data(struct sc_buf *sb, void *data, size_t bytes, bool in)
{
    sb->bufstruct.b_un.b_addr = data;
    sb->bufstruct.b_bcount = bytes;
    sb->bufstruct.b_flags = in ? B_READ : B_WRITE;
}

/* LUN bits of byte 1, for the few devices old enough to look there. */
static uint8_t ad_icmd_lun_bits(unsigned no) { return (uint8_t)(no < 8 ? no << 5 : 0); }

/* True when the finished command left a hold on the queue that its ioctl must end. */
static bool ad_icmd_holds(const struct sc_buf *sb)
{
    return sb->status_validity == SC_SCSI_ERROR && sb->scsi_status == SC_CHECK_CONDITION &&
           sb->adap_q_status == 0;
}

/* Send it and sleep until it is back, ending a hold. Context: process. Returns the ioctl's errno. */
static int ad_icmd_run(struct ad_lun *lun, struct sc_buf *sb)
{
    ad_strategy(&sb->bufstruct);
    (void)iowait(&sb->bufstruct);
    SHIM_ASSERT(sb->bufstruct.b_flags & B_DONE);
    if (ad_icmd_holds(sb))
        ad_hold_release(lun);
    return ad_status_errno(sb);
}

/*
 * Where an ioctl's data goes: through a pointer for a caller in the kernel, else into the
 * structure. A user's pointer would be an address in a process we may not share memory with.
 */
static int ad_pointer_check(uint64_t pointer, unsigned long devflag)
{
    if (pointer == 0 || (devflag & DKERNEL))
        return 0;
    shim_log(SHIM_LOG_VERBOSE, "ad: ioctl with a pointer from outside the kernel; use the inline area");
    return EFAULT;
}

/* SCIOINQU. */
static int ad_icmd_inquiry(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct sc_inquiry inq;
    struct sc_buf sb;
    struct ad_lun *lun;
    size_t got;
    int error = kcopyin(arg, &inq, sizeof(inq), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_started(adp, inq.scsi_id, inq.lun_id);
    if (lun == NULL || (inq.flags & ~(SC_ASYNC | SC_NODISC)) || inq.get_extd > 1 ||
        ad_bytes_set(inq.reserved, sizeof(inq.reserved)))
        return EINVAL;
    error = ad_pointer_check(inq.inquiry_ptr, devflag);
    if (error != 0)
        return error;
    ad_icmd_init(adp, &sb, inq.scsi_id, inq.lun_id, 6);
    sb.scsi_command.scsi_flags = inq.flags;
    ad_icmd_cdb(&sb)[0] = AD_OP_INQUIRY;
    ad_icmd_cdb(&sb)[1] = (uint8_t)(ad_icmd_lun_bits(inq.lun_id) | inq.get_extd);
    ad_icmd_cdb(&sb)[2] = inq.get_extd ? inq.code_page : 0;
    ad_icmd_cdb(&sb)[4] = inq.inquiry_len;
    memset(inq.inquiry_data, 0, sizeof(inq.inquiry_data));
    ad_icmd_data(&sb, inq.inquiry_data, inq.inquiry_len, true);
    error = ad_icmd_run(lun, &sb);
    if (error != 0)
        return error;
    SHIM_ASSERT(sb.bufstruct.b_resid <= inq.inquiry_len);
    got = inq.inquiry_len - sb.bufstruct.b_resid;
    if (inq.inquiry_ptr != 0)
        return kcopyout(inq.inquiry_data, (intptr_t)inq.inquiry_ptr, got, devflag);
    return kcopyout(&inq, arg, sizeof(inq), devflag);
}

/* SCIOSTUNIT. */
static int ad_icmd_start_unit(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct sc_startunit su;
    struct sc_buf sb;
    struct ad_lun *lun;
    int error = kcopyin(arg, &su, sizeof(su), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_started(adp, su.scsi_id, su.lun_id);
    if (lun == NULL || (su.flags & ~(SC_ASYNC | SC_NODISC)) || su.start_flag > 1 || su.immed_flag > 1 ||
        su.reserved != 0)
        return EINVAL;
    ad_icmd_init(adp, &sb, su.scsi_id, su.lun_id, 6);
    sb.scsi_command.scsi_flags = su.flags;
    sb.timeout_value = su.timeout_value;
    ad_icmd_cdb(&sb)[0] = AD_OP_START_STOP;
    ad_icmd_cdb(&sb)[1] = (uint8_t)(ad_icmd_lun_bits(su.lun_id) | su.immed_flag);
    ad_icmd_cdb(&sb)[4] = su.start_flag;
    return ad_icmd_run(lun, &sb);
}

/* SCIOTUR: the two status fields go out on failure too. */
static int ad_icmd_ready(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct sc_ready ready;
    struct sc_buf sb;
    struct ad_lun *lun;
    int copied;
    int error = kcopyin(arg, &ready, sizeof(ready), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_started(adp, ready.scsi_id, ready.lun_id);
    if (lun == NULL || (ready.flags & ~(SC_ASYNC | SC_NODISC)) ||
        ad_bytes_set(ready.reserved, sizeof(ready.reserved)))
        return EINVAL;
    ad_icmd_init(adp, &sb, ready.scsi_id, ready.lun_id, 6);
    sb.scsi_command.scsi_flags = ready.flags;
    ad_icmd_cdb(&sb)[0] = AD_OP_TEST_UNIT_READY;
    ad_icmd_cdb(&sb)[1] = ad_icmd_lun_bits(ready.lun_id);
    error = ad_icmd_run(lun, &sb);
    ready.status_validity = sb.status_validity;
    ready.scsi_status = sb.scsi_status;
    copied = kcopyout(&ready, arg, sizeof(ready), devflag);
    return error != 0 ? error : copied;
}

/* SCIOREAD, with the caller's structure in kernel memory. */
static int ad_icmd_read_block(struct ad_adapter *adp, struct sc_readblk *rb, intptr_t arg,
                              unsigned long devflag)
{
    struct sc_buf sb;
    struct ad_lun *lun;
    uint8_t *cdb = ad_icmd_cdb(&sb);
    int error = kcopyin(arg, rb, sizeof(*rb), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_started(adp, rb->scsi_id, rb->lun_id);
    if (lun == NULL || (rb->flags & ~(SC_ASYNC | SC_NODISC)) || rb->blklen == 0 ||
        rb->blklen > SCIOREAD_BYTES_MAX || rb->blk_no >= 1u << 21 || rb->reserved != 0 || rb->reserved2 != 0)
        return EINVAL;
    error = ad_pointer_check(rb->data_ptr, devflag);
    if (error != 0)
        return error;
    ad_icmd_init(adp, &sb, rb->scsi_id, rb->lun_id, 6);
    sb.scsi_command.scsi_flags = rb->flags;
    sb.timeout_value = rb->timeout_value;
    cdb[0] = AD_OP_READ_6;
    cdb[1] = (uint8_t)(ad_icmd_lun_bits(rb->lun_id) | (rb->blk_no >> 16));
    cdb[2] = (uint8_t)(rb->blk_no >> 8);
    cdb[3] = (uint8_t)rb->blk_no;
    cdb[4] = 1;
    ad_icmd_data(&sb, rb->data, rb->blklen, true);
    error = ad_icmd_run(lun, &sb);
    if (error != 0)
        return error;
    SHIM_ASSERT(sb.bufstruct.b_resid <= rb->blklen);
    if (rb->data_ptr != 0)
        return kcopyout(rb->data, (intptr_t)rb->data_ptr, rb->blklen - sb.bufstruct.b_resid, devflag);
    return kcopyout(rb, arg, sizeof(*rb), devflag);
}

/* ---------------------------------------------------------------- SCIOCMD */

/* Number of the first field of a pass-through that is wrong, as einval_arg counts them, or 0. */
static uint8_t ad_passthru_check(const struct ad_adapter *adp, const struct sc_passthru *pt)
{
    if (pt->version != SC_VERSION_1)
        return 1;
    if (pt->q_tag_msg != SC_NO_Q && (pt->q_tag_msg < SC_SIMPLE_Q || pt->q_tag_msg > SC_ORDERED_Q))
        return 6;
    if (pt->q_flags & ~(SC_RESUME | SC_DELAY_CMD | SC_Q_RESUME))
        return 7;
    if (pt->flags & ~SC_PT_READ)
        return 8;
    if (pt->command_length != 6 && pt->command_length != 10 && pt->command_length != 12 &&
        pt->command_length != 16)
        return 9;
    if (pt->autosense_length > SC_PASSTHRU_SENSE)
        return 10;
    if (pt->reserved != 0)
        return 12;
    if (pt->scsi_id >= adp->adp_caps.cap_ids)
        return 13;
    if (pt->lun_id >= adp->adp_caps.cap_luns)
        return 14;
    if (pt->data_length > adp->adp_transfer_max || (pt->buffer == 0 && pt->data_length > SC_PASSTHRU_INLINE))
        return SC_EINVAL_LENGTH;
    return 0;
}

/* CHECK CONDITION, and the caller wants the sense data: fetch it before any other command can. */
static void ad_passthru_sense(struct ad_adapter *adp, struct ad_lun *lun, struct sc_passthru *pt)
{
    struct sc_buf sb;

    SHIM_ASSERT(pt->autosense_length != 0 && pt->autosense_length <= SC_PASSTHRU_SENSE);
    ad_icmd_init(adp, &sb, pt->scsi_id, pt->lun_id, 6);
    ad_icmd_cdb(&sb)[0] = AD_OP_REQUEST_SENSE;
    ad_icmd_cdb(&sb)[1] = ad_icmd_lun_bits(pt->lun_id);
    ad_icmd_cdb(&sb)[4] = pt->autosense_length;
    ad_icmd_data(&sb, pt->autosense, pt->autosense_length, true);
    if (!ad_submit_sense(lun, &sb))
        return;
    (void)iowait(&sb.bufstruct);
    if (ad_icmd_holds(&sb))
        ad_hold_release(lun);
    ad_hold_release(lun); /* the hold it passed */
    SHIM_ASSERT(sb.bufstruct.b_resid <= pt->autosense_length);
    if (!(sb.bufstruct.b_flags & B_ERROR))
        pt->sense_bytes = (uint8_t)(pt->autosense_length - sb.bufstruct.b_resid);
}

/* Send the command of a checked pass-through with its data in `data`. Fills the out fields. */
static int ad_passthru_send(struct ad_adapter *adp, struct ad_lun *lun, struct sc_passthru *pt, void *data)
{
    struct sc_buf sb;
    int error;

    ad_icmd_init(adp, &sb, pt->scsi_id, pt->lun_id, pt->command_length);
    memcpy(&sb.scsi_command.scsi_cmd, pt->scsi_cdb, sizeof(pt->scsi_cdb));
    ad_icmd_data(&sb, data, (size_t)pt->data_length, (pt->flags & SC_PT_READ) != 0);
    sb.timeout_value = pt->timeout_value;
    sb.q_tag_msg = pt->q_tag_msg;
    sb.flags = pt->q_flags;

    ad_strategy(&sb.bufstruct);
    (void)iowait(&sb.bufstruct);
    error = ad_status_errno(&sb);
    /* All else was looked at before: what strategy refuses here is the queue flag for this state. */
    if (error == EINVAL && (pt->q_flags & SC_Q_RESUME) &&
        ad_lun_started(adp, pt->scsi_id, pt->lun_id) != NULL)
        pt->einval_arg = 7;
    pt->status_validity = sb.status_validity;
    pt->scsi_bus_status = sb.scsi_status;
    pt->adapter_status = sb.general_card_status;
    pt->adap_q_status = sb.adap_q_status;
    pt->residual = sb.bufstruct.b_resid;
    SHIM_ASSERT(pt->residual <= pt->data_length);
    pt->sense_bytes = 0;
    if (ad_icmd_holds(&sb)) {
        if (pt->autosense_length != 0)
            ad_passthru_sense(adp, lun, pt);
        else
            ad_hold_release(lun);
    }
    return error;
}

/* The command of a checked pass-through, with its data there and back. The out fields may stay cleared. */
static int ad_passthru_move(struct ad_adapter *adp, struct ad_lun *lun, struct sc_passthru *pt,
                            unsigned long devflag)
{
    struct ad_data d = {NULL, 0};
    int copied = 0;
    int error = ad_pointer_check(pt->buffer, devflag);

    SHIM_ASSERT(pt->einval_arg == 0 && pt->data_length <= adp->adp_transfer_max);
    if (error != 0)
        return error;
    if (pt->buffer == 0)
        return ad_passthru_send(adp, lun, pt, pt->data_length != 0 ? pt->data : NULL);
    error = ad_data_get(&d, (size_t)pt->data_length);
    if (error == 0 && !(pt->flags & SC_PT_READ))
        error = kcopyin((intptr_t)pt->buffer, d.data, (size_t)pt->data_length, devflag);
    if (error == 0) {
        error = ad_passthru_send(adp, lun, pt, d.data);
        if ((pt->flags & SC_PT_READ) && pt->residual < pt->data_length)
            copied =
                kcopyout(d.data, (intptr_t)pt->buffer, (size_t)(pt->data_length - pt->residual), devflag);
    }
    ad_data_put(&d);
    return error != 0 ? error : copied;
}

/* SCIOCMD, with the caller's structure in kernel memory. */
static int ad_icmd_passthru(struct ad_adapter *adp, struct sc_passthru *pt, intptr_t arg,
                            unsigned long devflag, long owner)
{
    struct ad_lun *lun;
    int copied;
    int error = kcopyin(arg, pt, sizeof(*pt), devflag);

    if (error != 0)
        return error;
    /* What the last call left in the structure is not this one's answer. */
    pt->status_validity = pt->scsi_bus_status = pt->adapter_status = pt->adap_q_status = pt->sense_bytes = 0;
    pt->residual = pt->data_length;
    pt->einval_arg = ad_passthru_check(adp, pt);
    lun = pt->einval_arg == 0 ? ad_lun_started(adp, pt->scsi_id, pt->lun_id) : NULL;
    /* The queue after an error is the owner's: who resumes it must know what is in it. */
    if (lun != NULL && (pt->q_flags & (SC_RESUME | SC_Q_RESUME)) && !ad_lun_is_owner(lun, owner))
        pt->einval_arg = 7;
    if (lun == NULL || pt->einval_arg != 0 || pt->reserved1 != 0 ||
        ad_bytes_set(pt->reserved2, sizeof(pt->reserved2))) {
        (void)kcopyout(pt, arg, sizeof(*pt), devflag);
        return EINVAL;
    }
    error = ad_passthru_move(adp, lun, pt, devflag);
    copied = kcopyout(pt, arg, sizeof(*pt), devflag);
    return error != 0 ? error : copied;
}

/*
 * The ioctls of this file. The two whose structures are too large for a stack get memory here.
 * Context: process. Returns 0 or errno by the table of the specification, section 6.3.
 */
int ad_icmd_ioctl(struct ad_adapter *adp, unsigned cmd, intptr_t arg, unsigned long devflag, long owner)
{
    struct ad_data d = {NULL, 0};
    int error;

    switch (cmd) {
    case SCIOINQU:
        return ad_icmd_inquiry(adp, arg, devflag);
    case SCIOSTUNIT:
        return ad_icmd_start_unit(adp, arg, devflag);
    case SCIOTUR:
        return ad_icmd_ready(adp, arg, devflag);
    default:
        break;
    }
    SHIM_ASSERT(cmd == SCIOREAD || cmd == SCIOCMD);
    error = ad_data_get(&d, cmd == SCIOREAD ? sizeof(struct sc_readblk) : sizeof(struct sc_passthru));
    if (error != 0)
        return error;
    if (cmd == SCIOREAD)
        error = ad_icmd_read_block(adp, d.data, arg, devflag);
    else
        error = ad_icmd_passthru(adp, d.data, arg, devflag, owner);
    ad_data_put(&d);
    return error;
}
