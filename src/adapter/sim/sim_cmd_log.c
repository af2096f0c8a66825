/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_log.c - how the disk says that it is well: LOG SENSE (pages 00, 02, 03, 0D, 2F) and SEND
 * DIAGNOSTIC's self-tests.
 *
 * Error counters count what the disk has told as MEDIUM ERROR, injected ones included. There is no LOG
 * SELECT: nothing can be reset or saved.
 *
 * Does not contain: injected misbehaviour (sim_fault.c).
 */
#include "sim_impl.h"

#define SIM_LOG_BYTES   128u
#define SIM_CELSIUS     30u /* it never gets warmer */
#define SIM_CELSIUS_MAX 60u

static const uint8_t sim_log_pages[] = {SCSI_LOG_SUPPORTED, SCSI_LOG_WRITE_ERRORS, SCSI_LOG_READ_ERRORS,
                                        SCSI_LOG_TEMPERATURE, SCSI_LOG_EXCEPTIONS};

/* ---------------------------------------------------------------- LOG SENSE */

/* Add one parameter unless it lies before the pointer of the CDB. */
static uint32_t sim_log_param(const struct sim_cmd *c, uint8_t *p, uint32_t used, unsigned code,
                              const void *value, unsigned bytes)
{
    if (code < scsi_get16(c->c_cdb + 5))
        return used;
    SHIM_ASSERT(used + 4 + bytes <= SIM_LOG_BYTES);
    scsi_put16(p + used, code);
    p[used + 2] = 0x03; /* in binary, and not a counter that stops */
    p[used + 3] = (uint8_t)bytes;
    memcpy(p + used + 4, value, bytes);
    return used + 4 + bytes;
}

/* 02 and 03: bytes processed, errors that could not be corrected; the kinds of corrected ones stay 0. */
static uint32_t sim_log_errors(const struct sim_cmd *c, uint8_t *p, bool write)
{
    struct sim_disk *disk = c->c_disk;
    uint32_t used = 4;

    for (unsigned code = 0; code <= 6; code++) {
        uint8_t value[8] = {0};

        if (code == 5)
            scsi_put64(value, sim_disk_bytes(disk, write));
        else if (code == 6)
            scsi_put64(value, atomic_load_explicit(&disk->dk_medium_errors[write], memory_order_relaxed));
        used = sim_log_param(c, p, used, code, value, sizeof(value));
    }
    return used;
}

/* The page as a whole; 0 when there is none of that code. */
static uint32_t sim_log_page(const struct sim_cmd *c, uint8_t *p)
{
    static const uint8_t now[2] = {0, SIM_CELSIUS}, limit[2] = {0, SIM_CELSIUS_MAX};
    static const uint8_t well[4] = {0, 0, SIM_CELSIUS, 0}; /* no exception */
    unsigned page = c->c_cdb[2] & 0x3f;
    uint32_t used = 4;

    p[0] = (uint8_t)page;
    switch (page) {
    case SCSI_LOG_SUPPORTED:
        for (unsigned i = 0; i < SC_ARRAY_SIZE(sim_log_pages); i++) {
            p[used++] = sim_log_pages[i];
            if (c->c_cdb[3])
                p[used++] = 0;
        }
        /* With subpages: this very list is one. */
        if (c->c_cdb[3]) {
            p[0] |= 0x40;
            p[1] = 0xff;
            p[used++] = SCSI_LOG_SUPPORTED;
            p[used++] = 0xff;
        }
        return used;
    case SCSI_LOG_WRITE_ERRORS:
    case SCSI_LOG_READ_ERRORS:
        return sim_log_errors(c, p, page == SCSI_LOG_WRITE_ERRORS);
    case SCSI_LOG_TEMPERATURE:
        used = sim_log_param(c, p, used, 0, now, sizeof(now));
        return sim_log_param(c, p, used, 1, limit, sizeof(limit));
    case SCSI_LOG_EXCEPTIONS:
        return sim_log_param(c, p, used, 0, well, sizeof(well));
    default:
        return 0;
    }
}

void sim_cmd_log_sense(struct sim_cmd *c)
{
    uint8_t data[SIM_LOG_BYTES];
    unsigned page = c->c_cdb[2] & 0x3f, control = c->c_cdb[2] >> 6, subpage = c->c_cdb[3];
    uint32_t bytes;

    memset(data, 0, sizeof(data));
    bytes = sim_log_page(c, data);
    if (bytes == 0) {
        sim_check_cdb(c, 2, 5);
        return;
    }
    if (subpage != 0 && !(page == SCSI_LOG_SUPPORTED && subpage == 0xff)) {
        sim_check_cdb(c, 3, 8);
        return;
    }
    /* Cumulative values alone: there are no thresholds, and a list of pages has neither. */
    if (page != SCSI_LOG_SUPPORTED && control != 1) {
        sim_check_cdb(c, 2, 7);
        return;
    }
    if (bytes == 4) {
        sim_check_cdb(c, 5, 8); /* the pointer lies behind the last parameter */
        return;
    }
    scsi_put16(data + 2, bytes - 4);
    sim_data_in(c, data, bytes, scsi_get16(c->c_cdb + 7));
}

/* ---------------------------------------------------------------- SEND DIAGNOSTIC */

/* Read the first, the middle and the last block. */
static void sim_self_test(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint64_t blocks = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed);
    const uint64_t lba[] = {0, blocks / 2, blocks - 1};
    uint8_t block[SIM_BLOCK_MAX];
    struct iovec one = {.iov_base = block, .iov_len = disk->dk_block_bytes};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(lba); i++) {
        if (disk->dk_ops->read(disk->dk_medium, lba[i] << disk->dk_block_shift, &one, 1,
                               disk->dk_block_bytes)) {
            sim_check(c, SCSI_KEY_HARDWARE, SCSI_ASC_SELF_TEST, SCSI_ASCQ_SELF_TEST_FAILED);
            return;
        }
    }
}

/*
 * The default self-test and the two in the foreground run here and now. Those in the background have
 * ended by the time somebody looks, so there is never one to abort. Diagnostic pages there are none.
 */
void sim_cmd_send_diagnostic(struct sim_cmd *c)
{
    unsigned code = c->c_cdb[1] >> 5;
    bool standard = (c->c_cdb[1] & 0x04) != 0;

    if (scsi_get16(c->c_cdb + 3) != 0) {
        sim_check_cdb(c, 3, 8);
        return;
    }
    if (code == 3 || code == 4 || code == 7 || (code != 0 && standard)) {
        sim_check_cdb(c, 1, 7);
        return;
    }
    if (standard || code == 5 || code == 6)
        sim_self_test(c);
}
