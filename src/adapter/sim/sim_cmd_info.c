/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_info.c - commands that ask what is there and how it is: TEST UNIT READY, INQUIRY,
 * REQUEST SENSE, READ CAPACITY, REPORT LUNS; and START STOP UNIT.
 *
 * INQUIRY, REQUEST SENSE and REPORT LUNS are also answered for a LUN that is not there: then
 * c_disk is NULL.
 *
 * Does not contain: vital product data (sim_cmd_vpd.c), mode pages (sim_cmd_mode.c), ejecting
 * (sim_cmd_removable.c).
 */
#include "sim_impl.h"

/* All its work is done by the gates. */
void sim_cmd_ready(struct sim_cmd *c) { SHIM_ASSERT(c->c_disk != NULL); }

/* ---------------------------------------------------------------- INQUIRY */

void sim_cmd_inquiry(struct sim_cmd *c)
{
    static const uint16_t versions[] = {0x0060 /* SAM-3 */, 0x0460 /* SPC-4 */, 0x04c0 /* SBC-3 */};
    static const char names[28] = "SCPAIR  SIMULATED DISK  0001"; /* vendor, product, revision */
    uint8_t data[96];

    if (c->c_cdb[1] & SCSI_INQUIRY_EVPD) {
        sim_cmd_inquiry_vpd(c);
        return;
    }
    if (c->c_cdb[2]) {
        sim_check_cdb(c, 2, 8);
        return;
    }
    memset(data, 0, sizeof(data));
    data[0] = c->c_disk ? 0x00 : 0x7f; /* disk; or: no device here and none possible */
    data[1] = c->c_disk && c->c_disk->dk_removable ? 0x80 : 0x00;
    data[2] = 0x06; /* SPC-4 */
    data[3] = 0x12; /* LUNs are reported by REPORT LUNS; response format 2 */
    data[4] = sizeof(data) - 5;
    data[7] = c->c_disk && c->c_disk->dk_tags ? 0x02 : 0x00;
    memcpy(data + 8, names, sizeof(names));
    for (unsigned i = 0; i < SC_ARRAY_SIZE(versions); i++)
        scsi_put16(data + 58 + (size_t)2 * i, versions[i]);
    sim_data_in(c, data, sizeof(data), scsi_get16(c->c_cdb + 3));
}

/* ---------------------------------------------------------------- REQUEST SENSE */

static uint32_t sim_sense_fixed(const struct sim_sense *s, uint8_t *data)
{
    data[0] = (uint8_t)(SCSI_SENSE_FIXED | s->se_deferred);
    data[2] = s->se_key;
    /* The field has 32 bits; an address that does not fit is left out, not cut. */
    if (s->se_info_valid && s->se_info <= UINT32_MAX) {
        data[0] |= 0x80;
        scsi_put32(data + 3, (uint32_t)s->se_info);
    }
    data[7] = SCSI_SENSE_FIXED_BYTES - 8;
    data[12] = s->se_asc;
    data[13] = s->se_ascq;
    if (s->se_field_valid)
        memcpy(data + 15, s->se_field, 3);
    return SCSI_SENSE_FIXED_BYTES;
}

static uint32_t sim_sense_descriptor(const struct sim_sense *s, uint8_t *data)
{
    uint32_t used = 8;

    data[0] = (uint8_t)(SCSI_SENSE_DESC | s->se_deferred);
    data[1] = s->se_key;
    data[2] = s->se_asc;
    data[3] = s->se_ascq;
    if (s->se_info_valid) {
        data[used + 1] = 0x0a;
        data[used + 2] = 0x80;
        scsi_put64(data + used + 4, s->se_info);
        used += 12;
    }
    if (s->se_field_valid) {
        data[used] = 0x02;
        data[used + 1] = 0x06;
        memcpy(data + used + 4, s->se_field, 3);
        used += 8;
    }
    data[7] = (uint8_t)(used - 8);
    return used;
}

/*
 * Take what there is to tell: sense of the last error, else a unit attention, else nothing.
 * Telling clears it.
 */
static void sim_sense_take(struct sim_cmd *c, struct sim_sense *s, bool *descriptor)
{
    struct sim_disk *disk = c->c_disk;
    struct sim_nexus *nx = &disk->dk_nexus[c->c_nexus];

    shim_lock_enter(&disk->dk_lock);
    *descriptor = sim_mode_descriptor_sense(disk);
    if (nx->nx_sense.se_valid) {
        *s = nx->nx_sense;
        nx->nx_sense.se_valid = false;
    } else if (nx->nx_attentions) {
        s->se_key = SCSI_KEY_ATTENTION;
        s->se_asc = nx->nx_attention[0].ua_asc;
        s->se_ascq = nx->nx_attention[0].ua_ascq;
        sim_attention_drop_locked(nx, 0);
    } else if (disk->dk_ejected) {
        s->se_key = SCSI_KEY_NOT_READY;
        s->se_asc = SCSI_ASC_NO_MEDIUM;
    } else if (disk->dk_stopped) {
        s->se_key = SCSI_KEY_NOT_READY;
        s->se_asc = SCSI_ASC_NOT_READY;
        s->se_ascq = SCSI_ASCQ_START_NEEDED;
    }
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

/*
 * The format is the descriptor one when the CDB asks for it, when D_SENSE is set (there is no
 * autosense on this bus, so this is the only way that sense of a command travels), or when an injected
 * fault wants it.
 */
void sim_cmd_request_sense(struct sim_cmd *c)
{
    uint8_t data[SCSI_SENSE_BYTES_MAX];
    struct sim_sense s;
    bool descriptor = false;
    uint32_t bytes;

    memset(&s, 0, sizeof(s));
    memset(data, 0, sizeof(data));
    if (c->c_disk) {
        sim_sense_take(c, &s, &descriptor);
    } else {
        s.se_key = SCSI_KEY_ILLEGAL;
        s.se_asc = SCSI_ASC_LUN;
    }
    descriptor = descriptor || s.se_descriptor || (c->c_cdb[1] & 0x01);
    bytes = descriptor ? sim_sense_descriptor(&s, data) : sim_sense_fixed(&s, data);
    sim_data_in(c, data, bytes, c->c_cdb[4]);
}

/* ---------------------------------------------------------------- capacity */

/* An address without PMI, or the other way round, is a mistake the standard wants told. */
static bool sim_capacity_fields_ok(struct sim_cmd *c, bool pmi, uint64_t lba)
{
    if (!pmi && lba != 0) {
        sim_check_cdb(c, 2, 8);
        return false;
    }
    return true;
}

void sim_cmd_capacity_10(struct sim_cmd *c)
{
    uint64_t last = atomic_load_explicit(&c->c_disk->dk_blocks, memory_order_relaxed) - 1;
    uint8_t data[8];

    if (!sim_capacity_fields_ok(c, c->c_cdb[8] & 1, scsi_get32(c->c_cdb + 2)))
        return;
    scsi_put32(data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
    scsi_put32(data + 4, c->c_disk->dk_block_bytes);
    sim_data_in(c, data, sizeof(data), sizeof(data));
}

void sim_cmd_capacity_16(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t data[32];

    if (!sim_capacity_fields_ok(c, c->c_cdb[14] & 1, scsi_get64(c->c_cdb + 2)))
        return;
    memset(data, 0, sizeof(data));
    scsi_put64(data, atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed) - 1);
    scsi_put32(data + 8, disk->dk_block_bytes);
    data[13] = disk->dk_physical_exponent;
    if (disk->dk_ops->unmap)
        data[14] = 0xc0; /* provisioned thinly, and unmapped blocks read as zeroes */
    sim_data_in(c, data, sizeof(data), scsi_get32(c->c_cdb + 10));
}

/* ---------------------------------------------------------------- REPORT LUNS */

void sim_cmd_report_luns(struct sim_cmd *c)
{
    uint8_t data[8 + 8 * SC_LUNS_MAX];
    uint32_t alloc = scsi_get32(c->c_cdb + 6);
    uint32_t used = 8;

    if (c->c_cdb[2] > 2) {
        sim_check_cdb(c, 2, 8);
        return;
    }
    if (alloc < 16) {
        sim_check_cdb(c, 6, 8);
        return;
    }
    memset(data, 0, sizeof(data));
    /* SELECT REPORT 1 asks for well-known logical units alone; there are none. */
    for (unsigned lun = 0; lun < SC_LUNS_MAX && c->c_cdb[2] != 1; lun++) {
        if (!sim_disk_find(c->c_bus, c->c_xfer->xfer_id, lun))
            continue;
        data[used + 1] = (uint8_t)lun;
        used += 8;
    }
    scsi_put32(data, used - 8);
    sim_data_in(c, data, used, alloc);
    sim_luns_told(c->c_bus, c->c_xfer->xfer_id, c->c_nexus);
}

/* ---------------------------------------------------------------- no data */

/*
 * START STOP UNIT. A POWER CONDITION makes START and LOEJ meaningless. ACTIVE, IDLE and STANDBY end the
 * stopped state, for a disk comes out of them by itself when it is needed; the forced ones, LU CONTROL and
 * the reserved values are granted and change nothing. LOEJ: sim_cmd_removable.c.
 */
void sim_cmd_start_stop(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    unsigned power = c->c_cdb[4] >> 4;
    bool start = (c->c_cdb[4] & 0x01) != 0, keep_cache = (c->c_cdb[4] & 0x04) != 0;
    bool standby = power == 0x3 || power == 0xb;

    /* Stopping writes what is cached, unless told not to. */
    if ((power == 0 ? !start : standby) && !keep_cache && disk->dk_ops->flush) {
        int error = disk->dk_ops->flush(disk->dk_medium);

        if (error) {
            sim_check_medium(c, error, true, 0);
            return;
        }
    }
    if (power == 0 && (c->c_cdb[4] & 0x02)) {
        sim_load_eject(c, start);
        return;
    }
    shim_lock_enter(&disk->dk_lock);
    if (power <= 3)
        disk->dk_stopped = power == 0 && !start;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}
