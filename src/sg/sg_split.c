/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_split.c - which commands may be sent in pieces or with a shorter answer, and how their CDBs
 * change.
 *
 * Only where the standard says that the result is the same. A READ or WRITE of n blocks is n reads or
 * writes, in order, up to the first error; COMPARE AND WRITE and WRITE ATOMIC are not, one block of
 * WRITE SAME is not n, and a parameter list is one list. Parameter data that comes in is cut to the
 * allocation length, so asking for less gives the same bytes as long as they fit.
 */
#define _GNU_SOURCE
#include "sg_impl.h"

#include <sys/scsiproto.h>

/* What the pair itself has no name for. */
enum { SG_LOG_SENSE = 0x4d, SG_RECEIVE_COPY = 0x84 };

/* Where a CDB has its range, by its length: address, its bytes, count, its bytes. */
struct sg_range_at {
    uint8_t ra_lba, ra_lba_bytes, ra_count, ra_count_bytes;
};

/* Where a CDB of that length has them; NULL: in no place we know. */
static const struct sg_range_at *sg_range_of(const struct sg_command *cm)
{
    static const struct sg_range_at six = {1, 3, 4, 1}, ten = {2, 4, 7, 2}, twelve = {2, 4, 6, 4},
                                    sixteen = {2, 8, 10, 4};

    switch (cm->cm_cdb_bytes) {
    case 6:
        return &six;
    case 10:
        return &ten;
    case 12:
        return &twelve;
    case 16:
        return &sixteen;
    default:
        return NULL;
    }
}

/* Commands that are as good block by block. */
static bool sg_split_is_rw(const uint8_t *cdb)
{
    static const uint8_t codes[] = {
        SCSI_READ_6,          SCSI_READ_10,         SCSI_READ_12,         SCSI_READ_16,
        SCSI_WRITE_6,         SCSI_WRITE_10,        SCSI_WRITE_12,        SCSI_WRITE_16,
        SCSI_WRITE_VERIFY_10, SCSI_WRITE_VERIFY_12, SCSI_WRITE_VERIFY_16, SCSI_ORWRITE_16,
    };
    static const uint8_t verify[] = {SCSI_VERIFY_10, SCSI_VERIFY_12, SCSI_VERIFY_16};

    for (size_t i = 0; i < SC_ARRAY_SIZE(codes); i++)
        if (cdb[0] == codes[i])
            return true;
    /* VERIFY carries its blocks with BYTCHK 01 alone. */
    for (size_t i = 0; i < SC_ARRAY_SIZE(verify); i++)
        if (cdb[0] == verify[i])
            return ((cdb[1] >> 1) & 3) == 1;
    return false;
}

/* The allocation length: offset and bytes, or no bytes when the command has none. */
static void sg_split_alloc_at(const uint8_t *cdb, unsigned *at, unsigned *bytes)
{
    static const struct {
        uint8_t code;
        int16_t action; /* -1: byte 1 has none */
        uint8_t at, bytes;
    } rows[] = {
        {SCSI_INQUIRY, -1, 3, 2},
        {SG_LOG_SENSE, -1, 7, 2},
        {SCSI_MODE_SENSE_10, -1, 7, 2},
        {SCSI_PERSISTENT_RESERVE_IN, -1, 7, 2},
        {SCSI_READ_DEFECT_10, -1, 7, 2},
        {SCSI_READ_DEFECT_12, -1, 6, 4},
        {SCSI_REPORT_LUNS, -1, 6, 4},
        {SCSI_MAINTENANCE_IN, -1, 6, 4},
        {SG_RECEIVE_COPY, -1, 10, 4},
        {SCSI_SERVICE_ACTION_IN_16, SCSI_SA_READ_CAPACITY_16, 10, 4},
        {SCSI_SERVICE_ACTION_IN_16, SCSI_SA_GET_LBA_STATUS, 10, 4},
    };

    *at = *bytes = 0;
    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        if (cdb[0] == rows[i].code && (rows[i].action < 0 || (cdb[1] & 0x1f) == rows[i].action)) {
            *at = rows[i].at;
            *bytes = rows[i].bytes;
        }
    }
}

static uint64_t sg_cdb_get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0)
        v = v << 8 | *p++;
    return v;
}

static void sg_cdb_put(uint8_t *p, unsigned bytes, uint64_t v)
{
    while (bytes-- > 0) {
        p[bytes] = (uint8_t)v;
        v >>= 8;
    }
}

enum sg_split sg_split_how(const struct sg_command *cm, uint32_t block_bytes)
{
    unsigned at, bytes;
    uint32_t blocks;
    uint64_t lba;

    sg_split_alloc_at(cm->cm_cdb, &at, &bytes);
    if (cm->cm_in && bytes != 0 && at + bytes <= cm->cm_cdb_bytes)
        return SG_SPLIT_ALLOC;
    if (!sg_split_is_rw(cm->cm_cdb) || sg_range_of(cm) == NULL || block_bytes > SC_PASSTHRU_INLINE)
        return SG_SPLIT_NO;
    sg_split_get_range(cm, &lba, &blocks);
    return (uint64_t)blocks * block_bytes == cm->cm_bytes ? SG_SPLIT_BLOCKS : SG_SPLIT_NO;
}

void sg_split_set_alloc(struct sg_command *cm, uint32_t bytes)
{
    unsigned at, n;

    sg_split_alloc_at(cm->cm_cdb, &at, &n);
    if (sg_cdb_get(cm->cm_cdb + at, n) > bytes)
        sg_cdb_put(cm->cm_cdb + at, n, bytes);
}

void sg_split_get_range(const struct sg_command *cm, uint64_t *lba, uint32_t *blocks)
{
    const struct sg_range_at *ra = sg_range_of(cm);

    *lba = sg_cdb_get(cm->cm_cdb + ra->ra_lba, ra->ra_lba_bytes);
    *blocks = (uint32_t)sg_cdb_get(cm->cm_cdb + ra->ra_count, ra->ra_count_bytes);
    if (cm->cm_cdb_bytes == 6) {
        *lba &= 0x1fffffu;
        if (*blocks == 0)
            *blocks = 256;
    }
}

void sg_split_set_range(struct sg_command *cm, uint64_t lba, uint32_t blocks)
{
    const struct sg_range_at *ra = sg_range_of(cm);

    if (cm->cm_cdb_bytes == 6)
        lba |= (uint64_t)(cm->cm_cdb[1] & 0xe0u) << 16;
    sg_cdb_put(cm->cm_cdb + ra->ra_lba, ra->ra_lba_bytes, lba);
    sg_cdb_put(cm->cm_cdb + ra->ra_count, ra->ra_count_bytes, blocks);
}
