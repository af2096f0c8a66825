/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_range.c - UNMAP, zeroing and provisioning status of byte ranges.
 *
 * Ranges are multiples of the block size and lie within the disk. Long ones become several commands, none
 * longer than what the device says it takes. A device without WRITE SAME gets plain writes of zeroes; one
 * that cannot UNMAP, or does not promise that unmapped blocks read as zeroes, answers DKUNMAP with
 * EOPNOTSUPP.
 *
 * Does not contain: how commands are sent (dd_internal.c).
 */
#include "dd_impl.h"

#define RANGE_UNMAP_BYTES      24u /* parameter list: header and one descriptor */
#define RANGE_STATUS_BYTES     24u
#define RANGE_SAME_BLOCKS_MAX  (1u << 17) /* one WRITE SAME: what a slow disk writes within its timeout */
#define RANGE_UNMAP_BLOCKS_MAX (1u << 22)

/* The range in blocks. 0; EINVAL not whole blocks; ENXIO not within the disk. */
static int range_blocks(const struct dd_unit *un, const struct sc_range *range, uint64_t *lba,
                        uint64_t *blocks, struct dd_blocks *bl)
{
    uint64_t mask = dd_block_bytes(un) - 1u;
    uint64_t end = dd_sectors(un) << DEV_BSHIFT;

    *bl = dd_blocks_of(un);
    if ((range->offset | range->length) & mask)
        return EINVAL;
    if (range->offset > end || range->length > end - range->offset)
        return ENXIO;
    *lba = range->offset >> un->un_shift;
    *blocks = range->length >> un->un_shift;
    bl->bl_end = (range->offset + range->length) >> DEV_BSHIFT;
    return 0;
}

/* Does this failure say that the device does not know the command? */
static bool range_unknown(const struct dd_sync *sy)
{
    return sy->sy_sense.valid && sy->sy_sense.key == SCSI_KEY_ILLEGAL &&
           (sy->sy_sense.asc == 0x20 || sy->sy_sense.asc == 0x24 || sy->sy_sense.asc == 0x26);
}

/* Context: process. 0 or errno. */
int dd_range_unmap(struct dd_unit *un, const struct sc_range *range)
{
    uint64_t lba = 0, blocks = 0;
    uint32_t most = un->un_unmap_blocks_max ? un->un_unmap_blocks_max : RANGE_UNMAP_BLOCKS_MAX;
    struct dd_blocks bl;
    int error = range_blocks(un, range, &lba, &blocks, &bl);

    if (error)
        return error;
    if (un->un_read_only)
        return EWRPROTECT;
    if (!un->un_info.unmap || !un->un_lbprz)
        return EOPNOTSUPP;
    while (blocks > 0 && error == 0) {
        uint32_t n = blocks < most ? (uint32_t)blocks : most;
        uint8_t list[RANGE_UNMAP_BYTES] = {0};
        struct dd_sync sy;

        scsi_put16(list, RANGE_UNMAP_BYTES - 2u);
        scsi_put16(list + 2, RANGE_UNMAP_BYTES - 8u);
        scsi_put64(list + 8, lba);
        scsi_put32(list + 16, n);
        dd_sync_init(&sy, SCSI_UNMAP, list, sizeof(list), false);
        scsi_put16(sy.sy_cdb + 7, RANGE_UNMAP_BYTES);
        dd_sync_blocks(&sy, &bl, bl.bl_end);
        (void)dd_dirty_set(un, true);
        error = dd_sync_run(un, &sy);
        lba += n;
        blocks -= n;
    }
    return error;
}

/* WRITE SAME(16) of a block of zeroes. EOPNOTSUPP: the device does not know it. The area is ours. */
static int range_write_same(struct dd_unit *un, uint64_t *lba, uint64_t *blocks, bool unmap,
                            const struct dd_blocks *bl)
{
    uint64_t most = un->un_ws_blocks_max && un->un_ws_blocks_max < RANGE_SAME_BLOCKS_MAX
                        ? un->un_ws_blocks_max
                        : RANGE_SAME_BLOCKS_MAX;

    KASSERT(un->un_area_busy && most > 0);
    while (*blocks > 0) {
        uint32_t n = (uint32_t)(*blocks < most ? *blocks : most);
        struct dd_sync sy;
        int error;

        dd_sync_init(&sy, SCSI_WRITE_SAME_16, dd_area_data(un), dd_block_bytes(un), false);
        sy.sy_cdb[1] = unmap ? SCSI_WRITE_SAME_UNMAP : 0;
        scsi_put64(sy.sy_cdb + 2, *lba);
        scsi_put32(sy.sy_cdb + 10, n);
        sy.sy_timeout_s = un->un_dds.start_timeout;
        sy.sy_flags = DD_SYNC_QUIET;
        dd_sync_blocks(&sy, bl, bl->bl_end);
        (void)dd_dirty_set(un, true);
        error = dd_sync_run(un, &sy);
        if (error)
            return range_unknown(&sy) ? EOPNOTSUPP : error;
        *lba += n;
        *blocks -= n;
    }
    return 0;
}

/* Plain writes. The area is ours and zero. */
static int range_write_zeroes(struct dd_unit *un, uint64_t lba, uint64_t blocks)
{
    uint32_t most = DD_AREA_DATA_BYTES >> un->un_shift;
    int error = 0;

    KASSERT(un->un_area_busy && most > 0);
    while (blocks > 0 && error == 0) {
        uint32_t n = blocks < most ? (uint32_t)blocks : most;
        size_t moved = 0;

        error = dd_area_rw(un, lba, n, false, 0, &moved);
        if (error == 0 && moved < (size_t)n << un->un_shift)
            error = EIO;
        lba += n;
        blocks -= n;
    }
    return error;
}

/*
 * Context: process. 0 or errno. With may_unmap the device may give the space up, if it promises zeroes.
 */
int dd_range_zero(struct dd_unit *un, const struct sc_range *range, bool may_unmap)
{
    uint64_t lba = 0, blocks = 0;
    struct dd_blocks bl;
    int error = range_blocks(un, range, &lba, &blocks, &bl);

    if (error)
        return error;
    if (un->un_read_only)
        return EWRPROTECT;
    dd_area_get(un);
    memset(dd_area_data(un), 0, DD_AREA_DATA_BYTES);
    error = EOPNOTSUPP;
    if (un->un_info.write_same) {
        error = range_write_same(un, &lba, &blocks, may_unmap && un->un_ws_unmap && un->un_lbprz, &bl);
        if (error == EOPNOTSUPP) {
            int old = disable_lock(INTIODONE, &un->un_lock);

            un->un_info.write_same = 0;
            unlock_enable(old, &un->un_lock);
        }
    }
    if (error == EOPNOTSUPP)
        error = range_write_zeroes(un, lba, blocks);
    dd_area_put(un);
    return error;
}

/*
 * The run of equally provisioned blocks at ext->offset. A device that cannot tell has everything mapped.
 * Context: process. 0; EINVAL; ENXIO; a device error.
 */
int dd_range_extent(struct dd_unit *un, struct sc_extent *ext)
{
    const struct dd_blocks bl = dd_blocks_of(un);
    uint64_t end = dd_sectors(un) << DEV_BSHIFT;
    uint64_t lba = ext->offset >> un->un_shift;
    uint8_t data[RANGE_STATUS_BYTES] = {0};
    uint64_t first, blocks;
    struct dd_sync sy;
    int error;

    if (ext->offset & (dd_block_bytes(un) - 1u) || ext->reserved)
        return EINVAL;
    if (ext->offset >= end)
        return ENXIO;
    ext->length = end - ext->offset;
    ext->mapped = 1;
    if (!un->un_info.unmap && !un->un_ws_unmap)
        return 0;
    dd_sync_init(&sy, SCSI_SERVICE_ACTION_IN_16, data, sizeof(data), true);
    sy.sy_cdb[1] = SCSI_SA_GET_LBA_STATUS;
    scsi_put64(sy.sy_cdb + 2, lba);
    scsi_put32(sy.sy_cdb + 10, sizeof(data));
    sy.sy_flags = DD_SYNC_QUIET;
    dd_sync_blocks(&sy, &bl, (ext->offset >> DEV_BSHIFT) + 1u);
    error = dd_sync_run(un, &sy);
    if (error)
        return range_unknown(&sy) ? 0 : error;
    first = scsi_get64(data + 8);
    blocks = scsi_get32(data + 16);
    /* Only believed when it covers the block asked for. */
    if (sy.sy_resid || lba < first || lba - first >= blocks)
        return 0;
    blocks -= lba - first;
    if (blocks < ext->length >> un->un_shift)
        ext->length = blocks << un->un_shift;
    KASSERT(ext->length != 0 && ext->length <= end - ext->offset);
    ext->mapped = (data[20] & 0x0f) != 1;
    return 0;
}
