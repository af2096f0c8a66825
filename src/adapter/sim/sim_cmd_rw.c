/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_rw.c - commands that move blocks: READ, WRITE, VERIFY, WRITE AND VERIFY of every length,
 * COMPARE AND WRITE.
 *
 * Outline: the hot path / the ordinary path / verifying / compare and write.
 *
 * The hot path answers the one question "is this a faultless read or write of an undisturbed disk whose data
 * phase fits?" and if so does it: no struct sim_cmd, no table, no lock, the segment list handed to
 * the medium as it is. Everything else, and everything wrong, gets "no" before anything has happened
 * and takes the ordinary path, which alone knows how to complain.
 *
 * Rejected: decoding through the operation table with a fast flag per row. The indirect call and
 * the usage bytes cost more than the whole transfer on a null medium.
 *
 * Does not contain: commands that change blocks without moving them (sim_cmd_prov.c).
 */
#include "sim_impl.h"

#define SIM_BYTE1_RESERVED 0xe7u /* all but DPO and FUA */

/* ---------------------------------------------------------------- the hot path */

/* More than one segment: out of line, so that the usual case has a small stack frame. */
static __attribute__((noinline)) int sim_rw_segments(struct sim_disk *disk, const struct ad_xfer *x,
                                                     uint64_t off, bool write, bool fua)
{
    struct iovec vec[SIM_SEGS_MAX];
    uint32_t n = sim_data_iov(x, 0, x->xfer_bytes, vec);

    return write ? disk->dk_ops->write(disk->dk_medium, off, vec, n, x->xfer_bytes, fua)
                 : disk->dk_ops->read(disk->dk_medium, off, vec, n, x->xfer_bytes);
}

static inline void sim_stripe_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* The data phase holds these bytes in this direction. */
static inline bool sim_rw_fits(const struct ad_xfer *x, uint64_t bytes, bool write)
{
    const struct shim_dma_map *map = x->xfer_map;

    if (x->xfer_bytes != bytes || x->xfer_dir != (write ? SHIM_DIR_TO_DEVICE : SHIM_DIR_FROM_DEVICE) || !map)
        return false;
    return map->map_nsegs == 1 ? map->map_segs[0].seg_bytes >= bytes : map->map_bytes >= bytes;
}

/*
 * Try the hot path. True: the transfer is complete. False: nothing has happened, or the medium has failed;
 * then the ordinary path asks it again, and can say so without disturbing the sense of another command.
 * Context: any that may wait for the medium, many threads at once. Locks: none.
 */
bool sim_rw_fast(struct sim_disk *disk, struct ad_xfer *x)
{
    const uint8_t *cdb = x->xfer_cdb;
    uint32_t odd = atomic_load_explicit(&disk->dk_odd, memory_order_acquire);
    uint64_t capacity = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed);
    unsigned shift = atomic_load_explicit(&disk->dk_block_shift, memory_order_relaxed);
    unsigned cdb_bytes = x->xfer_cdb_len;
    unsigned byte1, reserved, length;
    bool write, fua;
    uint64_t lba, blocks, bytes;
    struct sim_stripe *sp;
    int error;

    /* Not a byte beyond the CDB is looked at: each case knows how long its CDB is. */
    if (SC_UNLIKELY(cdb_bytes < 6))
        return false;
    write = (cdb[0] & 0x02) != 0; /* in every length a WRITE code is its READ code plus 2 */
    byte1 = cdb[1] & SIM_BYTE1_RESERVED;
    fua = (cdb[1] & SCSI_CDB1_FUA) != 0;
    switch (cdb[0]) {
    case SCSI_READ_10:
    case SCSI_WRITE_10:
        if (cdb_bytes != 10)
            return false;
        length = 1;
        reserved = (cdb[6] & 0xe0u) | cdb[9];
        lba = scsi_get32(cdb + 2);
        blocks = scsi_get16(cdb + 7);
        break;
    case SCSI_READ_16:
    case SCSI_WRITE_16:
        if (cdb_bytes != 16)
            return false;
        length = 3;
        reserved = (cdb[14] & 0xe0u) | cdb[15];
        lba = scsi_get64(cdb + 2);
        blocks = scsi_get32(cdb + 10);
        break;
    case SCSI_READ_6:
    case SCSI_WRITE_6:
        if (cdb_bytes != 6)
            return false;
        length = 0;
        byte1 = cdb[1] & 0xe0u;
        reserved = cdb[5];
        lba = scsi_get24(cdb + 1) & 0x1fffffu;
        blocks = cdb[4] ? cdb[4] : 256;
        fua = false;
        break;
    case SCSI_READ_12:
    case SCSI_WRITE_12:
        if (cdb_bytes != 12)
            return false;
        length = 2;
        reserved = (cdb[10] & 0xe0u) | cdb[11];
        lba = scsi_get32(cdb + 2);
        blocks = scsi_get32(cdb + 6);
        break;
    default:
        return false;
    }
    if (SC_UNLIKELY(byte1 == disk->dk_lun_bits))
        byte1 = 0;
    bytes = blocks << shift;
    if (SC_UNLIKELY((odd & (write ? SIM_ODD_ANY : SIM_ODD_ANY & ~SIM_ODD_WRITE_ONLY)) | byte1 | reserved) ||
        SC_UNLIKELY(lba >= capacity || blocks > capacity - lba || blocks == 0 ||
                    blocks > atomic_load_explicit(&disk->dk_transfer_blocks_max, memory_order_relaxed)) ||
        SC_UNLIKELY(!sim_rw_fits(x, bytes, write)))
        return false;

    /* Mark the tag, then look once more: see sim_task.c. Both are plain accesses. */
    if (SC_LIKELY(x->xfer_qmsg == atomic_load_explicit(&disk->dk_hot_qmsg, memory_order_relaxed) &&
                  x->xfer_tag < SIM_TAGS_MAX))
        sp = &disk->dk_stripe[x->xfer_tag];
    else if (x->xfer_qmsg == SC_NO_Q)
        sp = &disk->dk_stripe[SIM_TAGS_MAX];
    else
        return false;
    if (SC_UNLIKELY(atomic_load_explicit(&sp->sp_busy, memory_order_relaxed) != SIM_BUSY_NOT))
        return false;
    atomic_store_explicit(&sp->sp_busy, SIM_BUSY_HOT, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    shim_sched_point();
    if (SC_UNLIKELY(atomic_load_explicit(&disk->dk_odd, memory_order_acquire) != odd)) {
        atomic_store_explicit(&sp->sp_busy, SIM_BUSY_NOT, memory_order_release);
        return false;
    }

    if (SC_LIKELY(x->xfer_map->map_nsegs == 1)) {
        struct iovec vec = {.iov_base = (void *)(uintptr_t)x->xfer_map->map_segs[0].seg_addr,
                            .iov_len = (size_t)bytes};

        error = write ? disk->dk_ops->write(disk->dk_medium, lba << shift, &vec, 1, bytes, fua)
                      : disk->dk_ops->read(disk->dk_medium, lba << shift, &vec, 1, bytes);
    } else {
        error = sim_rw_segments(disk, x, lba << shift, write, fua);
    }
    if (SC_UNLIKELY(error)) {
        atomic_store_explicit(&sp->sp_busy, SIM_BUSY_NOT, memory_order_release);
        return false;
    }
    sim_stripe_add(&sp->sp_ops[(write ? 4u : 0u) + length], 1);
    sim_stripe_add(&sp->sp_bytes[write], bytes);
    x->xfer_result = AD_RES_GOOD;
    x->xfer_scsi_status = SC_GOOD_STATUS;
    x->xfer_resid = 0;
    shim_sched_point();
    atomic_store_explicit(&sp->sp_busy, SIM_BUSY_NOT, memory_order_release);
    return true;
}

/* ---------------------------------------------------------------- the ordinary path */

/* What SIM_FAULT_SHORT and the data phase leave of a transfer of `bytes`. */
static uint64_t sim_rw_cut(const struct sim_cmd *c, uint64_t bytes)
{
    if (bytes > c->c_room_bytes)
        bytes = c->c_room_bytes;
    return bytes > c->c_short_bytes ? bytes - c->c_short_bytes : 0;
}

/* Blocks on the disk, number of them allowed; says what is wrong when not. */
bool sim_rw_range_ok(struct sim_cmd *c)
{
    static const uint8_t length_at[] = {
        [SIM_RANGE_6] = 4, [SIM_RANGE_10] = 7, [SIM_RANGE_12] = 6, [SIM_RANGE_16] = 10};

    if (!sim_range_ok(c))
        return false;
    if (c->c_blocks > c->c_disk->dk_transfer_blocks_max) {
        sim_check_cdb(c, length_at[c->c_op->op_range], 8);
        return false;
    }
    return true;
}

/* The blocks before an injected bad one. */
uint64_t sim_rw_good_blocks(const struct sim_cmd *c)
{
    if (!c->c_bad)
        return c->c_blocks;
    SHIM_ASSERT(c->c_bad_lba >= c->c_lba);
    return c->c_bad_lba - c->c_lba < c->c_blocks ? c->c_bad_lba - c->c_lba : c->c_blocks;
}

/*
 * The two parts of a read are functions of their own, one after the other, so that the segment list
 * and the block never lie on the stack together.
 */
static __attribute__((noinline)) int sim_read_whole(struct sim_cmd *c, uint64_t bytes)
{
    struct sim_disk *disk = c->c_disk;
    struct iovec vec[SIM_SEGS_MAX];
    uint32_t n = sim_data_iov(c->c_xfer, 0, bytes, vec);

    return disk->dk_ops->read(disk->dk_medium, c->c_lba << disk->dk_block_shift, vec, n, bytes);
}

/* The data phase ends inside the block that begins at byte `at` of it: the medium knows whole ones only. */
static __attribute__((noinline)) int sim_read_tail(struct sim_cmd *c, uint64_t at, uint64_t tail)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t block[SIM_BLOCK_MAX];
    struct iovec one = {.iov_base = block, .iov_len = disk->dk_block_bytes};
    int error;

    memset(block, 0, disk->dk_block_bytes);
    error = disk->dk_ops->read(disk->dk_medium, (c->c_lba << disk->dk_block_shift) + at, &one, 1,
                               disk->dk_block_bytes);
    if (error == 0)
        sim_data_in_at(c, at, block, tail);
    return error;
}

void sim_cmd_read(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint64_t bytes, tail;
    int error = 0;

    if (!sim_rw_range_ok(c))
        return;
    bytes = sim_rw_cut(c, sim_rw_good_blocks(c) << disk->dk_block_shift);
    tail = bytes & (disk->dk_block_bytes - 1);
    bytes -= tail;
    if (bytes) {
        error = sim_read_whole(c, bytes);
        if (error == 0)
            c->c_moved_bytes = bytes;
    }
    if (error == 0 && tail)
        error = sim_read_tail(c, bytes, tail);
    if (error)
        sim_check_medium(c, error, false, c->c_lba);
    atomic_fetch_add_explicit(&disk->dk_bytes_read, c->c_moved_bytes, memory_order_relaxed);
}

/* Write c_blocks from `off` of the data phase; a block that did not arrive whole is not written. */
static void sim_write_blocks(struct sim_cmd *c, uint64_t off, bool fua)
{
    struct sim_disk *disk = c->c_disk;
    struct iovec vec[SIM_SEGS_MAX];
    uint64_t room = c->c_room_bytes > off ? c->c_room_bytes - off : 0;
    uint64_t bytes = sim_rw_good_blocks(c) << disk->dk_block_shift;
    uint64_t whole;

    if (bytes > room)
        bytes = room;
    bytes = bytes > c->c_short_bytes ? bytes - c->c_short_bytes : 0;
    whole = bytes & ~(uint64_t)(disk->dk_block_bytes - 1);
    if (whole) {
        uint32_t n = sim_data_iov(c->c_xfer, off, whole, vec);
        int error;

        fua = fua || (atomic_load_explicit(&disk->dk_odd, memory_order_relaxed) & SIM_ODD_WRITE_THROUGH);
        error = disk->dk_ops->write(disk->dk_medium, c->c_lba << disk->dk_block_shift, vec, n, whole, fua);
        if (error) {
            sim_check_medium(c, error, true, c->c_lba);
            return;
        }
    }
    if (c->c_moved_bytes < off + bytes)
        c->c_moved_bytes = bytes ? off + bytes : 0;
    atomic_fetch_add_explicit(&disk->dk_bytes_written, whole, memory_order_relaxed);
}

void sim_cmd_write(struct sim_cmd *c)
{
    if (sim_rw_range_ok(c))
        sim_write_blocks(c, 0, c->c_op->op_range != SIM_RANGE_6 && (c->c_cdb[1] & SCSI_CDB1_FUA));
}

/* ---------------------------------------------------------------- verifying */

/* Read blocks for nothing but the medium's opinion: many at a time into one and the same buffer. */
static int sim_read_through(struct sim_disk *disk, uint64_t lba, uint64_t blocks)
{
    uint8_t block[SIM_BLOCK_MAX];
    struct iovec vec[16];

    for (unsigned i = 0; i < SC_ARRAY_SIZE(vec); i++) {
        vec[i].iov_base = block;
        vec[i].iov_len = disk->dk_block_bytes;
    }
    while (blocks) {
        uint32_t n = blocks < SC_ARRAY_SIZE(vec) ? (uint32_t)blocks : (uint32_t)SC_ARRAY_SIZE(vec);
        int error = disk->dk_ops->read(disk->dk_medium, lba << disk->dk_block_shift, vec, n,
                                       (uint64_t)n << disk->dk_block_shift);

        if (error)
            return error;
        lba += n;
        blocks -= n;
    }
    return 0;
}

/*
 * Compare one block as it is stored with the data phase from `off` on, a piece at a time. False: *at is
 * the offset in the block of the first difference.
 */
static bool sim_compare_block(struct sim_cmd *c, const uint8_t *stored, uint64_t off, uint64_t *at)
{
    uint8_t sent[256];

    for (uint32_t done = 0; done < c->c_disk->dk_block_bytes; done += (uint32_t)sizeof(sent)) {
        const size_t got = (size_t)sim_data_out(c, off + done, sent, sizeof(sent));

        for (size_t i = 0; i < got; i++) {
            if (sent[i] != stored[done + i]) {
                *at = done + i;
                return false;
            }
        }
    }
    return true;
}

/*
 * Compare blocks of the medium with the data phase; `stride` 0 compares every block with the
 * first one. True when all are equal; otherwise *at is the offset of the first difference, or
 * sense has been set for a medium that cannot be read.
 */
static bool sim_compare(struct sim_cmd *c, uint64_t blocks, uint64_t stride, uint64_t *at)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t stored[SIM_BLOCK_MAX];

    *at = 0;
    for (uint64_t i = 0; i < blocks; i++) {
        struct iovec one = {.iov_base = stored, .iov_len = disk->dk_block_bytes};
        int error;

        memset(stored, 0, disk->dk_block_bytes);
        error = disk->dk_ops->read(disk->dk_medium, (c->c_lba + i) << disk->dk_block_shift, &one, 1,
                                   disk->dk_block_bytes);
        if (error) {
            sim_check_medium(c, error, false, c->c_lba + i);
            return false;
        }
        if (!sim_compare_block(c, stored, i * stride, at)) {
            *at += i << disk->dk_block_shift;
            sim_check(c, SCSI_KEY_MISCOMPARE, SCSI_ASC_MISCOMPARE, 0);
            return false;
        }
    }
    return true;
}

void sim_cmd_verify(struct sim_cmd *c)
{
    unsigned bytchk = (c->c_cdb[1] >> 1) & 3;
    uint64_t at;
    int error;

    if (bytchk == 2) {
        sim_check_cdb(c, 1, 2);
        return;
    }
    if (!sim_rw_range_ok(c))
        return;
    if (bytchk == 0) {
        error = sim_read_through(c->c_disk, c->c_lba, sim_rw_good_blocks(c));
        if (error)
            sim_check_medium(c, error, false, c->c_lba);
        return;
    }
    if (c->c_blocks == 0)
        return;
    /* Everything announced crosses the bus, whatever the comparison says. */
    c->c_moved_bytes = sim_rw_cut(c, (bytchk == 3 ? 1 : c->c_blocks) << c->c_disk->dk_block_shift);
    sim_compare(c, sim_rw_good_blocks(c), bytchk == 3 ? 0 : c->c_disk->dk_block_bytes, &at);
}

void sim_cmd_write_verify(struct sim_cmd *c)
{
    uint64_t at;

    if (!sim_rw_range_ok(c))
        return;
    /* Verifying is about the medium, so the data goes through any cache first. */
    sim_write_blocks(c, 0, true);
    if (c->c_status != SC_GOOD_STATUS)
        return;
    if (c->c_cdb[1] & SCSI_CDB1_BYTCHK) {
        sim_compare(c, c->c_moved_bytes >> c->c_disk->dk_block_shift, c->c_disk->dk_block_bytes, &at);
    } else {
        int error = sim_read_through(c->c_disk, c->c_lba, c->c_moved_bytes >> c->c_disk->dk_block_shift);

        if (error)
            sim_check_medium(c, error, false, c->c_lba);
    }
}

/* ---------------------------------------------------------------- compare and write */

/*
 * COMPARE AND WRITE: the first half of the data is compared, the second half written. Nothing of this disk
 * runs beside it (SIM_OP_ALONE), so it is atomic against every other command.
 */
void sim_cmd_compare_and_write(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint64_t half = c->c_blocks << disk->dk_block_shift;
    uint64_t at;

    if (!sim_range_ok(c))
        return;
    if (c->c_blocks > SIM_CAW_BLOCKS_MAX) {
        sim_check_cdb(c, 13, 8);
        return;
    }
    if (c->c_short_bytes) {
        sim_check(c, SCSI_KEY_ABORTED, SCSI_ASC_DATA_PHASE, 0);
        return;
    }
    if (c->c_bad || half == 0)
        return;
    if (sim_compare(c, c->c_blocks, disk->dk_block_bytes, &at)) {
        sim_write_blocks(c, half, (c->c_cdb[1] & SCSI_CDB1_FUA) != 0);
    } else if (c->c_sense.se_key == SCSI_KEY_MISCOMPARE) {
        c->c_sense.se_info_valid = true;
        c->c_sense.se_info = at;
        c->c_moved_bytes = 2 * half;
    }
}
