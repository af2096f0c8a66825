/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_todo.c - what has to be put right with the disk as a whole before the next READ or WRITE.
 *
 * Something has happened to the device, not to one command: a reset or another initiator has taken our
 * reservation, its capacity has changed. What was seen sets a bit in un_todo, whoever saw it: a READ or
 * WRITE, the driver's own commands, a pass-through command, the adapter's event. Recovery does what is due as
 * its last step, with the reserved structure and everything else held back. When no recovery runs,
 * DD_HOLD_TODO keeps new commands back and the first one that wants to start begins one; an idle disk is
 * left alone.
 *
 *   DD_TODO_RESERVE    RESERVE. A conflict while persistent keys are registered (READ KEYS tells) means that
 *                      reservations are managed that way now: we go on without ours. Any other failure:
 *                      what waits fails (EBUSY; EIO) and the next request tries again, so that no write
 *                      goes out unreserved.
 *   DD_TODO_CAPACITY   READ CAPACITY. A new number of blocks counts from now on; another block size makes
 *                      every request EFORMAT until the disk is opened again, because addresses mean
 *                      something else now.
 *
 *   DD_TODO_MODE       MODE SENSE: write protection and write cache may be others now.
 *
 *   DD_TODO_READY      TEST UNIT READY, before anything else: is a dead disk there again? See dd_dead.c.
 *   DD_TODO_START      START UNIT, then ...
 *   DD_TODO_SPIN       ... TEST UNIT READY until it is ready, see dd_ready.c.
 *
 * Pass-through commands are not held back by what is due: they may be what puts it right.
 *
 * Does not contain: the recovery machine that calls this (dd_recover.c), the probing at open (dd_probe.c).
 */
#include "dd_impl.h"

#define TODO_TRIES_MAX  3u
#define TODO_KEYS_BYTES 8u
#define TODO_CAP16      32u
#define TODO_MODE_BYTES 64u

/* Something is due. Locks: un_lock held. Context: any. */
void dd_todo_set_locked(struct dd_unit *un, unsigned bits)
{
    KASSERT(lock_mine(&un->un_lock));
    if (dd_is_gone_locked(un))
        return; /* nothing will be put right */
    un->un_todo |= (uint8_t)bits;
    if (un->un_todo && un->un_rec.rec_state == DD_REC_NONE)
        dd_hold_set_locked(un, DD_HOLD_TODO);
}

/* Nothing is due any more: the disk is being closed. Locks: un_lock held. */
void dd_todo_forget_locked(struct dd_unit *un)
{
    un->un_todo = 0;
    dd_hold_clear_locked(un, DD_HOLD_TODO | DD_HOLD_GONE);
}

/* ------------------------------------------------------------------ nobody may go on */

/* All of a chain fails unmoved. Locks: un_lock held. */
static void todo_fail_chain_locked(struct dd_unit *un, struct buf *bp, int error)
{
    KASSERT(error != 0 && lock_mine(&un->un_lock));
    while (bp) {
        struct buf *next = bp->av_forw;

        bp->av_forw = NULL;
        bp->b_flags |= B_ERROR;
        bp->b_error = error;
        bp->b_resid = bp->b_bcount;
        un->un_stats.errors++;
        un->un_stats.completed++;
        KASSERT(dd_buf_state(bp) == DD_BUF_PENDING && un->un_stats.pending > 0);
        un->un_stats.pending--;
        dd_flight_done_locked(un, bp, error);
        dd_chain_add(&un->un_resp, bp, bp, 1);
        bp = next;
    }
}

/* Whatever waits to be sent, or to be sent again, fails. Context: any. Locks: un_lock held. */
void dd_refuse_waiting_locked(struct dd_unit *un, int error)
{
    struct buf *pending = un->un_pending.ch_head;

    un->un_pending = (struct dd_chain){NULL, NULL, 0};
    while (un->un_split) {
        struct dd_split *split = un->un_split;

        un->un_split = split->split_next;
        un->un_again--;
        todo_fail_chain_locked(un, split->split_bufs.ch_head, error);
        split->split_next = un->un_split_free;
        un->un_split_free = split;
    }
    while (un->un_resend) {
        struct dd_cmd *cmd = un->un_resend;

        un->un_resend = cmd->cmd_next;
        un->un_again--;
        if (cmd->cmd_kind == DD_KIND_FRAG)
            dd_frag_done_locked(un, cmd, 0, error, &un->un_resp);
        else
            todo_fail_chain_locked(un, cmd->cmd_bp, error);
        dd_pool_put_locked(un, cmd);
    }
    if (un->un_frag_cur)
        dd_frag_stop_locked(un, error, &un->un_resp);
    todo_fail_chain_locked(un, pending, error);
}

/* Nobody may go on: also who sleeps for a slot is told. Locks: un_lock held. */
void dd_todo_refuse_locked(struct dd_unit *un, int error)
{
    dd_refuse_waiting_locked(un, error);
    un->un_todo_round++;
    un->un_todo_error = error;
}

/* ------------------------------------------------------------------ steps */

/*
 * Send the next thing that is due. False: nothing is, or it cannot be had now.
 * Context: completion. Locks: un_lock held, recovery holds the queue.
 */
bool dd_todo_step_locked(struct dd_unit *un)
{
    uint8_t cdb[16] = {0};
    struct dd_rec *rec = &un->un_rec;

    if (rec->rec_fetch) {
        cdb[0] = SCSI_REQUEST_SENSE;
        cdb[4] = DD_SENSE_BYTES;
        dd_recover_send_locked(un, DD_REC_FETCH, cdb, 6, DD_SENSE_BYTES);
        return true;
    }
    if (un->un_todo & DD_TODO_READY) {
        dd_recover_send_locked(un, DD_REC_READY, cdb, 6, 0); /* all zeroes: TEST UNIT READY */
        return true;
    }
    if (un->un_hold & DD_HOLD_DEAD)
        return false; /* nothing else would be answered */
    if (un->un_todo & (DD_TODO_START | DD_TODO_SPIN))
        return dd_ready_step_locked(un);
    if ((un->un_todo & DD_TODO_RESERVE) && !rec->rec_refused) {
        if (rec->rec_keys) {
            cdb[0] = SCSI_PERSISTENT_RESERVE_IN; /* service action 0: READ KEYS */
            cdb[8] = TODO_KEYS_BYTES;
            dd_recover_send_locked(un, DD_REC_KEYS, cdb, 10, TODO_KEYS_BYTES);
        } else {
            cdb[0] = SCSI_RESERVE_6;
            dd_recover_send_locked(un, DD_REC_RESERVE, cdb, 6, 0);
        }
        return true;
    }
    if (un->un_todo & DD_TODO_CAPACITY) {
        if (rec->rec_cap16) {
            cdb[0] = SCSI_SERVICE_ACTION_IN_16;
            cdb[1] = SCSI_SA_READ_CAPACITY_16;
            cdb[13] = TODO_CAP16;
            dd_recover_send_locked(un, DD_REC_CAPACITY, cdb, 16, TODO_CAP16);
        } else {
            cdb[0] = SCSI_READ_CAPACITY_10;
            dd_recover_send_locked(un, DD_REC_CAPACITY, cdb, 10, 8);
        }
        return true;
    }
    if (un->un_todo & DD_TODO_MODE) {
        cdb[0] = SCSI_MODE_SENSE_6;
        cdb[2] = 0x08; /* caching */
        cdb[4] = TODO_MODE_BYTES;
        dd_recover_send_locked(un, DD_REC_MODE, cdb, 6, TODO_MODE_BYTES);
        return true;
    }
    return false;
}

/* RESERVE came back. Locks: un_lock held. */
static void todo_reserve_done_locked(struct dd_unit *un, const struct sc_buf *sc, bool failed)
{
    struct dd_rec *rec = &un->un_rec;
    bool conflict =
        failed && sc->status_validity == SC_SCSI_ERROR && sc->scsi_status == SC_RESERVATION_CONFLICT;

    if (!failed) {
        un->un_todo &= (uint8_t)~DD_TODO_RESERVE;
        un->un_reserved = true;
    } else if (conflict) {
        rec->rec_keys = true;
    } else if (++rec->rec_todo_tries >= TODO_TRIES_MAX) { /* the first is likely what the reset left behind */
        dd_log(un, NULL, ERRID_DISK_INFO, true, EIO, "reservation lost", "not regained", NULL, 0);
        rec->rec_refused = true;
        dd_todo_refuse_locked(un, EIO);
    }
}

/* READ KEYS came back; `bytes` of its data are there. Locks: un_lock held. */
static void todo_keys_done_locked(struct dd_unit *un, uint32_t bytes)
{
    struct dd_rec *rec = &un->un_rec;

    rec->rec_keys = false;
    if (dd_todo_keys(rec->rec_sense, bytes)) {
        dd_log(un, NULL, ERRID_DISK_INFO, true, 0, "persistent keys registered", "RESERVE given up", NULL, 0);
        un->un_todo &= (uint8_t)~DD_TODO_RESERVE;
        un->un_reserved = false;
        return;
    }
    dd_log(un, NULL, ERRID_DISK_INFO, true, EBUSY, "reservation lost", "another initiator has it", NULL, 0);
    rec->rec_refused = true;
    dd_todo_refuse_locked(un, EBUSY);
}

/* Does READ KEYS' parameter data list any? Context: any. */
bool dd_todo_keys(const uint8_t *data, uint32_t bytes)
{
    return bytes >= TODO_KEYS_BYTES && scsi_get32(data + 4) >= 8u;
}

/* READ CAPACITY came back. Locks: un_lock held. */
static void todo_capacity_done_locked(struct dd_unit *un, uint32_t bytes, bool failed)
{
    struct dd_rec *rec = &un->un_rec;
    const uint8_t *d = rec->rec_sense;
    uint64_t last = rec->rec_cap16 ? scsi_get64(d) : scsi_get32(d);
    uint32_t block_bytes = scsi_get32(d + (rec->rec_cap16 ? 8 : 4));
    bool whole = bytes >= (rec->rec_cap16 ? 12u : 8u);

    if (failed && ++rec->rec_todo_tries < TODO_TRIES_MAX)
        return;
    if (!failed && whole && !rec->rec_cap16 && last == UINT32_MAX) {
        rec->rec_cap16 = true;
        return;
    }
    un->un_todo &= (uint8_t)~DD_TODO_CAPACITY;
    if (failed || !whole) {
        dd_log(un, NULL, ERRID_DISK_INFO, true, 0, "capacity changed", "not told", NULL, 0);
        return;
    }
    if (block_bytes != dd_block_bytes(un) || last >= (uint64_t)INT64_MAX >> un->un_shift) {
        dd_log(un, NULL, ERRID_DISK_INFO, false, EFORMAT, "block size changed", "open the disk again", NULL,
               0);
        dd_size_set_locked(un, 0);
        dd_hold_set_locked(
            un, DD_HOLD_GONE); /* the loop refuses what waits, and what still comes back to be resent */
        return;
    }
    if (un->un_info.blocks != last + 1)
        dd_log(un, NULL, ERRID_DISK_INFO, true, 0, "capacity changed", "the new one counts", NULL, 0);
    un->un_info.blocks = last + 1;
    dd_size_set_locked(un, (last + 1) << (un->un_shift - DEV_BSHIFT));
}

/* MODE SENSE came back. Locks: un_lock held. */
static void todo_mode_done_locked(struct dd_unit *un, uint32_t bytes, bool failed)
{
    const uint8_t *d = un->un_rec.rec_sense;
    uint32_t page = 4u + d[3];

    if (failed && ++un->un_rec.rec_todo_tries < TODO_TRIES_MAX)
        return;
    un->un_todo &= (uint8_t)~DD_TODO_MODE;
    if (failed || bytes < 4)
        return;
    un->un_read_only = (d[2] & 0x80) != 0;
    un->un_info.read_only = un->un_read_only;
    dd_geometry_changed_locked(un);
    if (page + 3 <= bytes && (d[page] & 0x3f) == 0x08)
        un->un_info.write_cache = (d[page + 2] & 0x04) != 0;
}

/*
 * Sense of a step that failed. That it failed has been counted; but what the device says in passing (another
 * medium, a capacity, a write of before that was lost) it says once. A device that says so again and again
 * does not keep us here. Locks: un_lock held.
 */
static void todo_fetched_locked(struct dd_unit *un, uint32_t bytes)
{
    struct scsi_sense sense = scsi_sense_parse(un->un_rec.rec_sense, bytes);
    bool open = atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_NORMAL;
    const struct dd_rule *rule = dd_sense_rule(&sense, un->un_removable && open);
    unsigned flags = rule->rule_flags & (DD_RULE_CHANGED | DD_RULE_DEFERRED);

    if (un->un_rec.rec_todo_tries < TODO_TRIES_MAX)
        flags |= rule->rule_flags & (DD_RULE_RESERVE | DD_RULE_CAPACITY | DD_RULE_MODE);
    dd_disk_effects_locked(un, flags, &sense);
    dd_ready_sense_locked(un, &sense, rule->rule_flags);
}

/*
 * The command of a step came back.
 * Context: completion. Locks: un_lock held; the caller goes on with recovery.
 */
void dd_todo_done_locked(struct dd_unit *un, unsigned step)
{
    struct dd_rec *rec = &un->un_rec;
    const struct sc_buf *sc = &rec->rec_cmd->cmd_sc;
    bool failed = (sc->bufstruct.b_flags & B_ERROR) != 0;
    uint32_t want = (uint32_t)sc->bufstruct.b_bcount;
    uint32_t bytes = failed || sc->bufstruct.b_resid > want ? 0 : want - (uint32_t)sc->bufstruct.b_resid;

    rec->rec_fetch = failed && step != DD_REC_FETCH && sc->status_validity == SC_SCSI_ERROR &&
                     sc->scsi_status == SC_CHECK_CONDITION;
    if (step == DD_REC_FETCH)
        todo_fetched_locked(un, bytes);
    else if (step == DD_REC_READY)
        dd_dead_asked_locked(un, sc, failed);
    else if (step == DD_REC_START || step == DD_REC_SPIN)
        dd_ready_done_locked(un, step, failed);
    else if (step == DD_REC_RESERVE)
        todo_reserve_done_locked(un, sc, failed);
    else if (step == DD_REC_KEYS)
        todo_keys_done_locked(un, bytes);
    else if (step == DD_REC_MODE)
        todo_mode_done_locked(un, bytes, failed);
    else
        todo_capacity_done_locked(un, bytes, failed);
}
