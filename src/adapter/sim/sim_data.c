/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_data.c - the data phase: between a command and the memory the core has mapped for it.
 *
 * Nothing here moves a byte beyond the data phase: c_room_bytes is the smaller of what the
 * initiator announced and what its segments hold, and 0 when the direction is the other one. A disk
 * that has more to send, or wants more, meets the wrong bus phase: the command ends as a bus fault.
 *
 * Does not contain: block data on the hot path (sim_cmd_rw.c builds its own list).
 */
#include "sim_impl.h"

/* How much data the CDB asks for. */
uint64_t sim_data_want(const struct sim_cmd *c)
{
    const uint8_t *cdb = c->c_cdb;
    unsigned kind = c->c_op->op_data;
    uint32_t block = c->c_disk ? c->c_disk->dk_block_bytes : 0;
    uint64_t bytes = 0;

    switch (kind) {
    case SIM_DATA_NONE:
        return 0;
    case SIM_DATA_BLOCKS:
        return c->c_blocks * block;
    case SIM_DATA_TWICE:
        return 2 * c->c_blocks * block;
    case SIM_DATA_VERIFY:
        return !(cdb[1] & SCSI_CDB1_BYTCHK) ? 0 : (cdb[1] & 0x04) ? block : c->c_blocks * block;
    case SIM_DATA_BLOCK:
        return cdb[0] == SCSI_WRITE_SAME_16 && (cdb[1] & SCSI_WRITE_SAME_NDOB) ? 0 : block;
    case SIM_DATA_FORMAT:
        return !(cdb[1] & 0x10) ? 0 : (cdb[1] & 0x20) ? 8 : 4;
    case SIM_DATA_EIGHT:
        return 8;
    default:
        SHIM_ASSERT(kind / 8 + kind % 8 <= c->c_op->op_cdb_bytes);
        for (unsigned i = 0; i < kind % 8; i++)
            bytes = bytes << 8 | cdb[kind / 8 + i];
        return bytes;
    }
}

/* The data phase takes that much; otherwise the command is a bus fault, and that has been said. */
bool sim_data_fits(struct sim_cmd *c, uint64_t bytes)
{
    const struct ad_xfer *x = c->c_xfer;
    unsigned goes = x->xfer_dir == SHIM_DIR_FROM_DEVICE ? SIM_OP_IN : SIM_OP_OUT;

    if (bytes <= c->c_room_bytes)
        return true;
    sim_protocol(c,
                 x->xfer_bytes && !(c->c_op->op_flags & goes) ? SIM_PROTOCOL_DIRECTION : SIM_PROTOCOL_LENGTH);
    return false;
}

/*
 * List bytes [off, off + bytes) of the data phase. `vec` has room for SIM_SEGS_MAX entries.
 * Returns the number used; the caller has checked that the segments hold that much.
 */
uint32_t sim_data_iov(const struct ad_xfer *x, uint64_t off, uint64_t bytes, struct iovec *vec)
{
    const struct shim_dma_map *map = x->xfer_map;
    uint32_t n = 0;

    SHIM_ASSERT(map->map_nsegs <= SIM_SEGS_MAX);
    for (uint32_t i = 0; i < map->map_nsegs && bytes; i++) {
        uint64_t have = map->map_segs[i].seg_bytes;

        if (off >= have) {
            off -= have;
            continue;
        }
        have -= off;
        if (have > bytes)
            have = bytes;
        vec[n].iov_base = (void *)(uintptr_t)(map->map_segs[i].seg_addr + off);
        vec[n].iov_len = (size_t)have;
        n++;
        bytes -= have;
        off = 0;
    }
    SHIM_ASSERT(bytes == 0);
    return n;
}

/* Copy between a buffer and the data phase, segment by segment. */
static void sim_data_copy(struct sim_cmd *c, uint64_t off, uint8_t *buf, uint64_t bytes, bool to_memory)
{
    const struct shim_dma_map *map = c->c_xfer->xfer_map;

    SHIM_ASSERT(off + bytes <= c->c_room_bytes);
    for (uint32_t i = 0; i < map->map_nsegs && bytes; i++) {
        uint64_t n = map->map_segs[i].seg_bytes;
        uint8_t *mem = (uint8_t *)(uintptr_t)map->map_segs[i].seg_addr + off;

        if (off >= n) {
            off -= n;
            continue;
        }
        n -= off;
        if (n > bytes)
            n = bytes;
        if (to_memory)
            memcpy(mem, buf, (size_t)n);
        else
            memcpy(buf, mem, (size_t)n);
        buf += n;
        bytes -= n;
        off = 0;
    }
    SHIM_ASSERT(bytes == 0);
}

/*
 * Answer with parameter data: cut to the allocation length, which is no error in SCSI, and by an injected
 * short transfer. To have more than the data phase takes is one.
 */
void sim_data_in(struct sim_cmd *c, const void *from, uint64_t bytes, uint64_t alloc_bytes)
{
    if (bytes > alloc_bytes)
        bytes = alloc_bytes;
    if (!sim_data_fits(c, bytes))
        bytes = c->c_room_bytes;
    bytes = bytes > c->c_short_bytes ? bytes - c->c_short_bytes : 0;
    sim_data_in_at(c, 0, from, bytes);
}

/* Put bytes at an offset of the data-in phase; those outside the room are dropped. */
void sim_data_in_at(struct sim_cmd *c, uint64_t off, const void *from, uint64_t bytes)
{
    if (off >= c->c_room_bytes)
        return;
    if (bytes > c->c_room_bytes - off)
        bytes = c->c_room_bytes - off;
    if (bytes == 0)
        return;
    /* sim_data_copy() only reads the buffer in this direction. */
    sim_data_copy(c, off, (uint8_t *)(uintptr_t)from, bytes, true);
    if (c->c_moved_bytes < off + bytes)
        c->c_moved_bytes = off + bytes;
}

/* Fetch parameter data at an offset of the data-out phase. Returns how many bytes there were. */
uint64_t sim_data_out(struct sim_cmd *c, uint64_t off, void *to, uint64_t bytes)
{
    uint64_t room = c->c_room_bytes > c->c_short_bytes ? c->c_room_bytes - c->c_short_bytes : 0;

    if (!sim_data_fits(c, off + bytes) || off >= room)
        return 0;
    if (bytes > room - off)
        bytes = room - off;
    if (bytes == 0)
        return 0;
    sim_data_copy(c, off, to, bytes, false);
    if (c->c_moved_bytes < off + bytes)
        c->c_moved_bytes = off + bytes;
    return bytes;
}

/* Invert one byte of what was sent to the initiator. */
void sim_data_invert(struct sim_cmd *c, uint64_t off)
{
    struct iovec vec[SIM_SEGS_MAX];

    if (c->c_moved_bytes == 0)
        return;
    sim_data_iov(c->c_xfer, off % c->c_moved_bytes, 1, vec);
    *(uint8_t *)vec[0].iov_base ^= 0xff;
}
