/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_cdb.c - READ and WRITE commands: the smallest CDB that holds address and length, and the sc_buf
 * around it.
 *
 *      form   address      blocks          flags
 *      6      21 bits      1..256          none: it has no FUA and no VERIFY; 256 is written as 0
 *      10     32 bits      16 bits         FUA, or the opcode of WRITE AND VERIFY
 *      12     32 bits      32 bits         the same
 *      16     64 bits      32 bits         the same
 *
 * Does not contain: other commands (dd_internal.c and its users).
 */
#include "dd_impl.h"

#define CDB6_LBA_END     (UINT64_C(1) << 21)
#define CDB6_BLOCKS_MAX  256u
#define CDB10_LBA_END    (UINT64_C(1) << 32)
#define CDB10_BLOCKS_MAX 0xffffu

/*
 * Fill 16 bytes; returns how many count. `blocks` is at least 1.
 * Context: any. Locks: none.
 */
uint8_t dd_cdb_rw(uint8_t *cdb, bool read, uint32_t options, uint64_t lba, uint32_t blocks, uint8_t lun_bits)
{
    bool verify = !read && (options & WRITEV);
    /* WRITE AND VERIFY has no FUA bit and needs none: it reads back what is on the medium. */
    uint8_t flags = (options & SC_OPT_FUA) && !verify ? SCSI_CDB1_FUA : 0;

    KASSERT(blocks > 0);
    if (!flags && !verify && lba < CDB6_LBA_END && blocks <= CDB6_BLOCKS_MAX) {
        cdb[0] = read ? SCSI_READ_6 : SCSI_WRITE_6;
        scsi_put24(cdb + 1, (uint32_t)lba);
        cdb[1] |= lun_bits;
        cdb[4] = (uint8_t)blocks;
        cdb[5] = 0;
        return 6;
    }
    cdb[1] = flags | lun_bits;
    if (lba < CDB10_LBA_END && blocks <= CDB10_BLOCKS_MAX) {
        cdb[0] = verify ? SCSI_WRITE_VERIFY_10 : read ? SCSI_READ_10 : SCSI_WRITE_10;
        scsi_put32(cdb + 2, (uint32_t)lba);
        cdb[6] = 0;
        scsi_put16(cdb + 7, blocks);
        cdb[9] = 0;
        return 10;
    }
    if (lba < CDB10_LBA_END) {
        cdb[0] = verify ? SCSI_WRITE_VERIFY_12 : read ? SCSI_READ_12 : SCSI_WRITE_12;
        scsi_put32(cdb + 2, (uint32_t)lba);
        scsi_put32(cdb + 6, blocks);
        cdb[10] = 0;
        cdb[11] = 0;
        return 12;
    }
    cdb[0] = verify ? SCSI_WRITE_VERIFY_16 : read ? SCSI_READ_16 : SCSI_WRITE_16;
    scsi_put64(cdb + 2, lba);
    scsi_put32(cdb + 10, blocks);
    cdb[14] = 0;
    cdb[15] = 0;
    return 16;
}

/*
 * Make the sc_buf of a READ or WRITE from the command's own fields. Members that never change (b_dev,
 * b_iodone, ids) were set when the pool was made; the whole structure is not cleared, it is 200 bytes.
 * Context: any. Locks: none: the command is in process but not sent, so it is ours alone.
 */
void dd_cdb_build(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct sc_buf *sc = &cmd->cmd_sc;
    struct buf *bp = cmd->cmd_bp;

    KASSERT((cmd->cmd_state == DD_CMD_INPROC || cmd->cmd_state == DD_CMD_LANE) &&
            cmd->cmd_kind <= DD_KIND_FRAG);
    sc->bufstruct.b_flags = (bp->b_flags & B_READ) | B_MPSAFE | B_ASYNC;
    sc->bufstruct.b_error = 0;
    sc->bufstruct.av_forw = NULL;
    sc->bufstruct.b_un.b_addr = (uint8_t *)bp->b_un.b_addr + cmd->cmd_off;
    sc->bufstruct.b_bcount = cmd->cmd_bytes;
    sc->bufstruct.b_blkno = bp->b_blkno + (int64_t)(cmd->cmd_off >> DEV_BSHIFT);
    sc->bufstruct.b_resid = 0;
    sc->bufstruct.b_xmemd = bp->b_xmemd;
    sc->bp = cmd->cmd_nbufs > 1 ? bp : NULL;
    sc->resvd1 = NULL;
    sc->timeout_value = un->un_dds.rw_timeout;
    sc->flags = cmd->cmd_sendflags;
    sc->q_tag_msg = un->un_tag;
    sc->status_validity = 0;
    sc->adap_q_status = 0;
    /* The last retry after a bus fault is the only command ever sent asynchronously (AIX-28). */
    sc->scsi_command.scsi_flags =
        SC_UNLIKELY(cmd->cmd_bus_fault) && cmd->cmd_retries >= un->un_dds.retries ? SC_ASYNC : 0;
    sc->scsi_command.scsi_length =
        dd_cdb_rw((uint8_t *)&sc->scsi_command.scsi_cmd, cmd->cmd_read != 0, bp->b_options, cmd->cmd_lba,
                  cmd->cmd_bytes >> un->un_shift, un->un_lun_bits);
}
