/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_reccmd.c - recovery's own two command structures, and the timer of its waits.
 *
 * One carries REQUEST SENSE, the steps of dd_todo.c and queue transactions, one after the other. The other is
 * for the case that the first is stuck: see the head of dd_recover.c.
 *
 * Does not contain: which command is sent when (dd_recover.c, dd_todo.c), its deadline (dd_states.c).
 */
#include "dd_impl.h"

#define RECCMD_SENSE_BYTES 6

/*
 * Fill one of the two reserved structures. cdb NULL: a queue transaction, which carries no command and
 * therefore no CDB length (AIX-23), but id and LUN. Locks: un_lock held.
 */
static void reccmd_build_locked(struct dd_unit *un, struct dd_cmd *cmd, const uint8_t *cdb, uint8_t cdb_bytes,
                                uint8_t flags, uint32_t data_bytes)
{
    struct sc_buf *sc = &cmd->cmd_sc;

    KASSERT(cmd->cmd_state == DD_CMD_FREE && data_bytes <= sizeof(un->un_rec.rec_sense));
    cmd->cmd_state = DD_CMD_HELD;
    sc->bufstruct.b_flags = B_READ | B_MPSAFE | B_ASYNC;
    sc->bufstruct.b_error = 0;
    sc->bufstruct.av_forw = NULL;
    sc->bufstruct.b_un.b_addr = data_bytes ? un->un_rec.rec_sense : NULL;
    sc->bufstruct.b_bcount = data_bytes;
    sc->bufstruct.b_resid = 0;
    sc->bufstruct.b_blkno = 0;
    sc->bufstruct.b_xmemd.aspace_id = XMEM_GLOBAL;
    sc->bp = NULL;
    sc->resvd1 = NULL;
    sc->timeout_value = un->un_dds.rw_timeout;
    sc->q_tag_msg = SC_NO_Q;
    sc->flags = flags;
    sc->status_validity = 0;
    sc->adap_q_status = 0;
    sc->scsi_command.scsi_flags = 0;
    memset(&sc->scsi_command.scsi_cmd, 0, sizeof(sc->scsi_command.scsi_cmd));
    sc->scsi_command.scsi_length = 0;
    if (cdb) {
        memcpy(&sc->scsi_command.scsi_cmd, cdb, cdb_bytes);
        sc->scsi_command.scsi_length = cdb_bytes;
    }
    sc->scsi_command.scsi_cmd.lun |= un->un_lun_bits;
    un->un_stats.internal++;
}

/* Have the loop send the recovery structure. Locks: un_lock held. */
void dd_recover_ready_locked(struct dd_unit *un, enum dd_rec_state state, const uint8_t *cdb,
                             uint8_t cdb_bytes, uint8_t flags, uint32_t data_bytes)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(!rec->rec_ready && (un->un_hold & DD_HOLD_RECOVER));
    if (cdb && un->un_need_delay) {
        flags |= SC_DELAY_CMD;
        un->un_need_delay = false;
    }
    reccmd_build_locked(un, rec->rec_cmd, cdb, cdb_bytes, flags, data_bytes);
    if (data_bytes)
        memset(rec->rec_sense, 0, sizeof(rec->rec_sense));
    rec->rec_state = state;
    rec->rec_ready = true;
    dd_trace_state(un);
}

/* Give the recovery structure a command, with SC_RESUME if the queue is halted. Locks: un_lock held. */
void dd_recover_send_locked(struct dd_unit *un, enum dd_rec_state state, const uint8_t *cdb,
                            uint8_t cdb_bytes, uint32_t data_bytes)
{
    dd_recover_ready_locked(un, state, cdb, cdb_bytes, un->un_need_resume ? SC_RESUME : 0, data_bytes);
}

/*
 * The next command to send on behalf of recovery, or NULL. Called by the loop.
 * Locks: un_lock held.
 */
struct dd_cmd *dd_recover_take_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    struct dd_cmd *cmd = NULL;

    if (rec->rec_ready) {
        rec->rec_ready = false;
        cmd = rec->rec_cmd;
        dd_step_begin_locked(un);
    } else if (rec->rec_unstick && rec->rec_unstick_cmd->cmd_state == DD_CMD_FREE) {
        rec->rec_unstick = false;
        cmd = rec->rec_unstick_cmd;
        reccmd_build_locked(un, cmd, NULL, 0, SC_RESUME | (rec->rec_late ? SC_Q_CLR : SC_Q_RESUME), 0);
    }
    if (cmd) {
        KASSERT(cmd->cmd_state == DD_CMD_HELD);
        cmd->cmd_state = DD_CMD_INPROC;
    }
    return cmd;
}

void dd_recover_sense_locked(struct dd_unit *un)
{
    const uint8_t cdb[RECCMD_SENSE_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, DD_SENSE_BYTES, 0};

    /* Always with SC_RESUME: an error has halted the queue, whoever noticed first. */
    dd_recover_ready_locked(un, DD_REC_SENSE, cdb, RECCMD_SENSE_BYTES, SC_RESUME, DD_SENSE_BYTES);
}

/* ------------------------------------------------------------------ the timer of waits */

/*
 * What tstop() says does not count: -1 while the routine runs may mean its tail, in which it sends what it
 * has released, and what was armed meanwhile is disarmed all the same. So the routine looks at the time it
 * was last armed for. Locks: un_lock held.
 */
bool dd_delay_start_locked(struct dd_unit *un, uint64_t ns)
{
    KASSERT(lock_mine(&un->un_lock));
    un->un_rec.rec_delay_ns = kern_now_ns() + ns;
    un->un_delay_trb->timeout_ns = ns;
    un->un_rec.rec_timer = tstart(un->un_delay_trb) == 0;
    return un->un_rec.rec_timer;
}

void dd_delay_stop_locked(struct dd_unit *un)
{
    un->un_rec.rec_delay_ns = UINT64_MAX;
    un->un_rec.rec_timer = false;
    (void)tstop(un->un_delay_trb);
}
