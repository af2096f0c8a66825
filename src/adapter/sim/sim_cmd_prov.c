/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_prov.c - commands about blocks that carry no block data, or one block for many:
 * SYNCHRONIZE CACHE, UNMAP, WRITE SAME, GET LBA STATUS, FORMAT UNIT.
 *
 * Does not contain: what the disk says it can do about them (sim_cmd_vpd.c).
 */
#include "sim_impl.h"

/* ---------------------------------------------------------------- cache */

void sim_cmd_sync_cache(struct sim_cmd *c)
{
    int error;

    if (!sim_range_ok(c) || c->c_bad || !c->c_disk->dk_ops->flush)
        return;
    /* A range is a hint: the medium flushes everything. */
    error = c->c_disk->dk_ops->flush(c->c_disk->dk_medium);
    if (error)
        sim_check_medium(c, error, true, c->c_lba);
}

/* ---------------------------------------------------------------- filling */

/* Write one block's content to many blocks; the list names the same block again and again. */
static int sim_fill(struct sim_disk *disk, uint64_t lba, uint64_t blocks, uint8_t *block)
{
    struct iovec vec[64];
    bool fua = (atomic_load_explicit(&disk->dk_odd, memory_order_relaxed) & SIM_ODD_WRITE_THROUGH) != 0;

    for (unsigned i = 0; i < SC_ARRAY_SIZE(vec); i++) {
        vec[i].iov_base = block;
        vec[i].iov_len = disk->dk_block_bytes;
    }
    while (blocks) {
        uint32_t n = blocks < SC_ARRAY_SIZE(vec) ? (uint32_t)blocks : (uint32_t)SC_ARRAY_SIZE(vec);
        int error = disk->dk_ops->write(disk->dk_medium, lba << disk->dk_block_shift, vec, n,
                                        (uint64_t)n << disk->dk_block_shift, fua);

        if (error)
            return error;
        lba += n;
        blocks -= n;
    }
    return 0;
}

static int sim_zero(struct sim_disk *disk, uint64_t lba, uint64_t blocks, uint8_t *zero_block)
{
    if (disk->dk_ops->zero)
        return disk->dk_ops->zero(disk->dk_medium, lba << disk->dk_block_shift,
                                  blocks << disk->dk_block_shift);
    return sim_fill(disk, lba, blocks, zero_block);
}

static bool sim_is_zero(const uint8_t *p, uint32_t bytes)
{
    return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

/*
 * WRITE SAME 10 and 16. UNMAP with a block of zeroes deallocates, which reads back as zeroes;
 * UNMAP with any other block just writes, as SBC allows.
 */
void sim_cmd_write_same(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t block[SIM_BLOCK_MAX];
    bool unmap = (c->c_cdb[1] & SCSI_WRITE_SAME_UNMAP) != 0;
    bool no_data = c->c_op->op_code == SCSI_WRITE_SAME_16 && (c->c_cdb[1] & SCSI_WRITE_SAME_NDOB);
    int error;

    if (unmap && !disk->dk_ops->unmap) {
        sim_check_cdb(c, 1, 3);
        return;
    }
    if (!sim_range_ok(c))
        return;
    /* WSNZ in the block limits page: 0 does not mean "to the end" here. */
    if (c->c_blocks == 0 || c->c_blocks > SIM_WRITE_SAME_MAX) {
        sim_check_cdb(c, c->c_op->op_code == SCSI_WRITE_SAME_16 ? 10 : 7, 8);
        return;
    }
    memset(block, 0, disk->dk_block_bytes);
    if (!no_data && sim_data_out(c, 0, block, disk->dk_block_bytes) < disk->dk_block_bytes) {
        sim_check(c, SCSI_KEY_ABORTED, SCSI_ASC_DATA_PHASE, 0);
        return;
    }
    if (c->c_bad)
        return;
    if (!sim_is_zero(block, disk->dk_block_bytes))
        error = sim_fill(disk, c->c_lba, c->c_blocks, block);
    else if (unmap)
        error = disk->dk_ops->unmap(disk->dk_medium, c->c_lba << disk->dk_block_shift,
                                    c->c_blocks << disk->dk_block_shift);
    else
        error = sim_zero(disk, c->c_lba, c->c_blocks, block);
    if (error)
        sim_check_medium(c, error, true, c->c_lba);
}

/* ---------------------------------------------------------------- provisioning */

/*
 * UNMAP. The whole list is checked before the first block goes: a list that is refused
 * has changed nothing.
 */
void sim_cmd_unmap(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t list[8 + 16 * SIM_UNMAP_DESCS_MAX];
    uint32_t list_bytes = scsi_get16(c->c_cdb + 7);
    uint32_t descs;

    if (list_bytes == 0)
        return;
    if (list_bytes < 8 || sim_data_out(c, 0, list, list_bytes < sizeof(list) ? list_bytes : sizeof(list)) <
                              (list_bytes < sizeof(list) ? list_bytes : sizeof(list))) {
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
        return;
    }
    /* A descriptor length beyond the list names descriptors that were not sent: they do not count. */
    descs = scsi_get16(list + 2) / 16;
    if (descs > (list_bytes - 8) / 16)
        descs = (list_bytes - 8) / 16;
    if (descs > SIM_UNMAP_DESCS_MAX) {
        sim_check_param(c, 2, 8);
        return;
    }
    for (uint32_t i = 0; i < descs; i++) {
        c->c_lba = scsi_get64(list + 8 + (size_t)16 * i);
        c->c_blocks = scsi_get32(list + 16 + (size_t)16 * i);
        c->c_range = true;
        if (!sim_range_ok(c))
            return;
    }
    for (uint32_t i = 0; i < descs; i++) {
        uint64_t lba = scsi_get64(list + 8 + (size_t)16 * i);
        uint64_t blocks = scsi_get32(list + 16 + (size_t)16 * i);
        int error = blocks ? disk->dk_ops->unmap(disk->dk_medium, lba << disk->dk_block_shift,
                                                 blocks << disk->dk_block_shift)
                           : 0;

        if (error) {
            sim_check_medium(c, error, true, lba);
            return;
        }
    }
}

/* GET LBA STATUS: runs of mapped and deallocated blocks from an address on, as many as fit. */
void sim_cmd_lba_status(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t data[8 + 16 * 64];
    uint64_t capacity = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed);
    uint64_t lba = scsi_get64(c->c_cdb + 2);
    uint32_t alloc = scsi_get32(c->c_cdb + 10);
    uint32_t used = 8;

    if (lba >= capacity) {
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_LBA, 0);
        return;
    }
    memset(data, 0, 8);
    while (lba < capacity && used + 16 <= sizeof(data) && (used == 8 || used + 16 <= alloc)) {
        uint64_t run_bytes = (capacity - lba) << disk->dk_block_shift;
        uint64_t run;
        bool mapped = true;
        int error = disk->dk_ops->mapped ? disk->dk_ops->mapped(disk->dk_medium, lba << disk->dk_block_shift,
                                                                &run_bytes, &mapped)
                                         : 0;

        if (error) {
            sim_check_medium(c, error, false, lba);
            return;
        }
        run = run_bytes >> disk->dk_block_shift;
        if (run == 0) {
            /* The run ends inside this block, which is therefore partly mapped. */
            run = 1;
            mapped = true;
        }
        if (run > capacity - lba)
            run = capacity - lba;
        if (run > UINT32_MAX)
            run = UINT32_MAX;
        scsi_put64(data + used, lba);
        scsi_put32(data + used + 8, (uint32_t)run);
        scsi_put32(data + used + 12, mapped ? 0 : 1u << 24);
        used += 16;
        lba += run;
    }
    scsi_put32(data, used - 4);
    sim_data_in(c, data, used, alloc);
}

/* ---------------------------------------------------------------- format */

/* Check FORMAT UNIT's parameter list: a header without defect list or initialization pattern. */
static bool sim_format_list_ok(struct sim_cmd *c)
{
    bool is_long = (c->c_cdb[1] & 0x20) != 0;
    uint32_t bytes = is_long ? 8 : 4;
    uint8_t list[8];

    if (sim_data_out(c, 0, list, bytes) < bytes) {
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
        return false;
    }
    if (list[0] & 0x07) {
        sim_check_param(c, 0, 2); /* protection information */
        return false;
    }
    if (list[1] & 0x08) {
        sim_check_param(c, 1, 3); /* initialization pattern */
        return false;
    }
    if (is_long ? scsi_get32(list + 4) != 0 : scsi_get16(list + 2) != 0) {
        sim_check_param(c, is_long ? 4 : 2, 8); /* defect list */
        return false;
    }
    return true;
}

/*
 * FORMAT UNIT. All blocks become zero where the medium can do that in one go; otherwise they
 * keep what they had, which is as good as any content after a format.
 */
void sim_cmd_format(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint64_t bytes = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed) << disk->dk_block_shift;
    int error = 0;

    if (c->c_cdb[1] & 0x10) {
        if (!sim_format_list_ok(c))
            return;
    } else if (c->c_cdb[1] & 0x2f) {
        /* Everything else in byte 1 speaks about a list that is not there. */
        sim_check_cdb(c, 1, 8);
        return;
    }
    if (disk->dk_ops->unmap)
        error = disk->dk_ops->unmap(disk->dk_medium, 0, bytes);
    else if (disk->dk_ops->zero)
        error = disk->dk_ops->zero(disk->dk_medium, 0, bytes);
    if (error)
        sim_check_medium(c, error, true, 0);
}
