/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_ready.c - a disk that is not ready while it is open: started, and waited for, by recovery.
 *
 * NOT READY has its own answer when the device says what it needs. "Initializing command required": START
 * UNIT, once. "Becoming ready", or after a START: TEST UNIT READY every dd_busy_ms until the device is ready,
 * says something else, or start_timeout is over; then whatever waits fails with ENOTREADY. Who met it goes
 * again afterwards, for one of his retries, so a device that says "ready" to TEST UNIT READY and "becoming
 * ready" to a READ keeps nobody for ever. Everything is held meanwhile: a disk that turns up has nothing to
 * say.
 *
 * A pass-through command starts nothing: who stops a disk with one wants it stopped. The next READ or WRITE
 * starts it again, as an open would.
 *
 * Does not contain: the same at open, at process level (dd_probe.c); a disk that does not answer (dd_dead.c).
 */
#include "dd_impl.h"

#define READY_ODD_MAX 8u /* answers that are neither ready nor becoming so */

/* A command met it. Context: completion. Locks: un_lock held; recovery runs. */
void dd_ready_due_locked(struct dd_unit *un, unsigned flags)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(un->un_hold & DD_HOLD_RECOVER);
    if (!(un->un_todo & (DD_TODO_START | DD_TODO_SPIN))) {
        rec->rec_spin_until_ns = kern_now_ns() + un->un_dds.start_timeout * UINT64_C(1000000000);
        rec->rec_spins = rec->rec_odd = 0;
        rec->rec_started = false;
        rec->rec_delay = !(flags & DD_RULE_START);
    }
    if ((flags & DD_RULE_START) && !rec->rec_started)
        dd_todo_set_locked(un, DD_TODO_START);
    dd_todo_set_locked(un, DD_TODO_SPIN);
}

/* Send what is due. False: nothing, or the time between two questions has to pass. Locks: un_lock held. */
bool dd_ready_step_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    uint8_t cdb[6] = {0}; /* all zeroes: TEST UNIT READY */

    KASSERT(un->un_todo & (DD_TODO_START | DD_TODO_SPIN));
    if (un->un_todo & DD_TODO_START) {
        cdb[0] = SCSI_START_STOP_UNIT;
        cdb[4] = 0x01;
        dd_recover_send_locked(un, DD_REC_START, cdb, sizeof(cdb), 0);
        rec->rec_cmd->cmd_sc.timeout_value = un->un_dds.start_timeout;
        return true;
    }
    if (!(un->un_todo & DD_TODO_SPIN) || rec->rec_delay)
        return false;
    dd_recover_send_locked(un, DD_REC_SPIN, cdb, sizeof(cdb), 0);
    return true;
}

/* Nobody is asked any more. ready: what waits may go. Locks: un_lock held. */
static void ready_over_locked(struct dd_unit *un, bool ready)
{
    KASSERT(lock_mine(&un->un_lock));
    un->un_todo &= (uint8_t) ~(DD_TODO_START | DD_TODO_SPIN);
    un->un_rec.rec_delay = false;
    if (ready)
        return;
    dd_log(un, NULL, ERRID_DISK_ERR3, false, ENOTREADY, "does not become ready", "what waits fails", NULL, 0);
    dd_todo_refuse_locked(un, ENOTREADY);
}

/*
 * START UNIT or TEST UNIT READY came back. Sense, if there is any, is fetched next (dd_ready_sense_locked).
 * Context: completion. Locks: un_lock held; the caller goes on with recovery.
 */
void dd_ready_done_locked(struct dd_unit *un, unsigned step, bool failed)
{
    struct dd_rec *rec = &un->un_rec;
    const uint64_t pause_ns = un->un_busy_ns ? un->un_busy_ns : 1000000u;

    KASSERT(step == DD_REC_START || step == DD_REC_SPIN);
    if (step == DD_REC_START) {
        un->un_todo &= (uint8_t)~DD_TODO_START;
        rec->rec_started = true; /* whether it has helped is asked next */
        return;
    }
    if (!failed) {
        ready_over_locked(un, true);
        return;
    }
    /* Without a timer no time passes: so the questions are counted, too. */
    if (kern_now_ns() >= rec->rec_spin_until_ns ||
        rec->rec_spins++ > un->un_dds.start_timeout * UINT64_C(1000000000) / pause_ns + READY_ODD_MAX)
        ready_over_locked(un, false);
    else if (!rec->rec_fetch && ++rec->rec_odd >= READY_ODD_MAX)
        ready_over_locked(un, true); /* it is something else: the command that met it will tell */
}

/* What it said to that. Context: completion. Locks: un_lock held. */
void dd_ready_sense_locked(struct dd_unit *un, const struct scsi_sense *sense, unsigned flags)
{
    struct dd_rec *rec = &un->un_rec;

    if (!(un->un_todo & DD_TODO_SPIN))
        return;
    if (flags & DD_RULE_START && !rec->rec_started) {
        un->un_todo |= DD_TODO_START;
    } else if (flags & DD_RULE_BECOMING) {
        rec->rec_delay = true;
    } else if (sense->valid && sense->key == SCSI_KEY_NOT_READY) {
        ready_over_locked(un, false); /* no medium; started in vain; formatting */
    } else if (++rec->rec_odd >= READY_ODD_MAX) {
        ready_over_locked(un, true);
    }
}
