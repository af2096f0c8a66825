/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_extra.c - what a modern disk offers beside the everyday: ORWRITE, PRE-FETCH, READ DEFECT
 * DATA, SANITIZE.
 *
 * Not offered, because a simulated disk could not keep the promise: WRITE ATOMIC (a file medium may be
 * cut short by a kill) and SANITIZE OVERWRITE (a file does not overwrite in place).
 *
 * Does not contain: COMPARE AND WRITE (sim_cmd_rw.c), UNMAP and WRITE SAME (sim_cmd_prov.c).
 */
#include "sim_impl.h"

/* ---------------------------------------------------------------- ORWRITE */

/* One block: read, or, written back. False: it did not arrive whole, or sense is set. */
static bool sim_or_block(struct sim_cmd *c, uint64_t i, bool fua)
{
    struct sim_disk *disk = c->c_disk;
    uint8_t sent[256], stored[SIM_BLOCK_MAX];
    struct iovec one = {.iov_base = stored, .iov_len = disk->dk_block_bytes};
    uint64_t off = (c->c_lba + i) << disk->dk_block_shift;
    bool writing = false;
    int error;

    memset(stored, 0, disk->dk_block_bytes);
    error = disk->dk_ops->read(disk->dk_medium, off, &one, 1, disk->dk_block_bytes);
    if (error == 0) {
        for (uint32_t at = 0; at < disk->dk_block_bytes; at += (uint32_t)sizeof(sent)) {
            if (sim_data_out(c, (i << disk->dk_block_shift) + at, sent, sizeof(sent)) < sizeof(sent))
                return false;
            for (uint32_t b = 0; b < sizeof(sent); b++)
                stored[at + b] |= sent[b];
        }
        writing = true;
        error = disk->dk_ops->write(disk->dk_medium, off, &one, 1, disk->dk_block_bytes, fua);
    }
    if (error)
        sim_check_medium(c, error, writing, c->c_lba + i);
    return error == 0;
}

/* ORWRITE(16). Nothing of this disk runs beside it (SIM_OP_ALONE), so nothing is lost in between. */
void sim_cmd_orwrite(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint64_t blocks, done = 0;
    bool fua;

    if (!sim_rw_range_ok(c))
        return;
    blocks = sim_rw_good_blocks(c);
    fua = (c->c_cdb[1] & SCSI_CDB1_FUA) ||
          (atomic_load_explicit(&disk->dk_odd, memory_order_relaxed) & SIM_ODD_WRITE_THROUGH);
    while (done < blocks && sim_or_block(c, done, fua))
        done++;
    atomic_fetch_add_explicit(&disk->dk_bytes_written, done << disk->dk_block_shift, memory_order_relaxed);
}

/* ---------------------------------------------------------------- PRE-FETCH */

/*
 * PRE-FETCH 10 and 16. There is no cache that is nearer than the medium: GOOD, which says that not all
 * of the blocks are in one (CONDITION MET would promise that).
 */
void sim_cmd_prefetch(struct sim_cmd *c) { (void)sim_range_ok(c); }

/* ---------------------------------------------------------------- READ DEFECT DATA */

#define SIM_DEFECT_LISTS   0x18u /* PLIST and GLIST */
#define SIM_DEFECT_FORMATS 0x07u

/* Both lists of a simulated disk are empty, in every format the standard knows. */
void sim_cmd_defects(struct sim_cmd *c)
{
    bool ten = c->c_op->op_code == SCSI_READ_DEFECT_10;
    unsigned wish_at = ten ? 2 : 1;
    uint8_t wish = c->c_cdb[wish_at];
    uint32_t alloc = ten ? scsi_get16(c->c_cdb + 7) : scsi_get32(c->c_cdb + 6);
    uint8_t data[8] = {0};

    if ((wish & SIM_DEFECT_FORMATS) >= 6) {
        sim_check_cdb(c, wish_at, 2); /* a vendor's own, and reserved */
        return;
    }
    data[1] = wish & (SIM_DEFECT_LISTS | SIM_DEFECT_FORMATS);
    sim_data_in(c, data, ten ? 4 : 8, alloc);
}

/* ---------------------------------------------------------------- SANITIZE */

/*
 * BLOCK ERASE and CRYPTOGRAPHIC ERASE: every block is given up and reads as zeroes, whether it had been
 * deallocated before or not. It ends before the status, so there is no failure mode to be in.
 */
void sim_cmd_sanitize(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    uint64_t bytes = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed) << disk->dk_block_shift;
    int error = disk->dk_ops->unmap(disk->dk_medium, 0, bytes);

    if (error == 0 && disk->dk_ops->flush)
        error = disk->dk_ops->flush(disk->dk_medium);
    if (error)
        sim_check_medium(c, error, true, 0);
}

/* EXIT FAILURE MODE, in which this disk never is: nothing to do. */
void sim_cmd_sanitize_exit(struct sim_cmd *c) { SHIM_ASSERT(c->c_disk != NULL); }
