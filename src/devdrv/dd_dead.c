/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_dead.c - a disk that has stopped answering.
 *
 * Retries are for a command. When the disk itself is gone each of them takes the whole timeout, and so does
 * each buf of a span, one after the other: an hour for a megabyte. So silence is counted for the disk: at the
 * second command timeout, or when all tries to select it are used up, and nothing good has come from it in
 * between, it is dead: DD_HOLD_DEAD. Whatever waits fails at once with EIO, and so does what comes.
 *
 * A dead disk is left alone for dd_dead_ms. The first request after that has recovery send TEST UNIT READY
 * before anything else, and waits for it (DD_TODO_READY). Any status, good or not, is an answer: the disk
 * lives again, and takes its reservation first. Silence again: what waits fails, and the time starts anew. An
 * open is a new beginning, and a pass-through command goes out in any case: when it is answered, that counts,
 * too.
 *
 * Silence counts once per recovery: commands that time out together are one sign.
 *
 * A disk that does not answer selection may be a LUN that the adapter driver has taken out of service, after
 * a command that only an adapter reset ended. SCIORESET puts it back. So before such a disk is asked again
 * the driver has it reset: where it may sleep (READ and WRITE by entry point, commands of its own, ioctls),
 * at most once in dd_dead_ms and DD_RESETS_MAX times until it answers. A reset hits the whole id, and a disk
 * that was pulled out is not to disturb its neighbours for ever. Requests through strategy alone ask without
 * it.
 *
 * The last close of a dead disk with data not flushed asks once more, whatever the time: afterwards nobody
 * can.
 */
#include "dd_impl.h"

/* How much good has come from the disk. Locks: un_lock held. */
static uint64_t dead_good_locked(const struct dd_unit *un)
{
    return un->un_stats.completed - un->un_stats.errors + un->un_good + dd_lane_done_locked(un);
}

/* Context: completion. Locks: un_lock held. */
void dd_dead_set_locked(struct dd_unit *un)
{
    KASSERT(lock_mine(&un->un_lock));
    if (un->un_hold & DD_HOLD_DEAD)
        return;
    dd_hold_set_locked(un, DD_HOLD_DEAD);
    un->un_dead_since = kern_now_ns();
    un->un_resets = 0;
    dd_log(un, NULL, ERRID_DISK_ERR3, false, EIO, "disk does not answer", "all requests fail", NULL, 0);
    dd_todo_refuse_locked(un, EIO);
}

/*
 * A command met silence; used_up: it has no try left. True: the disk is dead.
 * Context: completion. Locks: un_lock held.
 */
bool dd_dead_silence_locked(struct dd_unit *un, const struct dd_rule *rule, bool used_up)
{
    uint64_t good = dead_good_locked(un);
    bool first = good != un->un_quiet_good || un->un_silences == 0;

    KASSERT(rule->rule_flags & (DD_RULE_SILENT | DD_RULE_ABSENT));
    if (first) {
        un->un_quiet_good = good;
        un->un_silences = 1;
        un->un_rec.rec_silent = true;
    } else if ((rule->rule_flags & DD_RULE_SILENT) && !un->un_rec.rec_silent) {
        un->un_rec.rec_silent = true;
        un->un_silences++;
    }
    if (!(un->un_hold & DD_HOLD_DEAD) &&
        atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_NORMAL &&
        ((rule->rule_flags & DD_RULE_SILENT) ? un->un_silences >= 2 : used_up && !first)) {
        dd_dead_set_locked(un);
        atomic_store_explicit(&un->un_absent, (rule->rule_flags & DD_RULE_ABSENT) != 0, memory_order_relaxed);
    }
    return (un->un_hold & DD_HOLD_DEAD) != 0;
}

/* Context: any. Locks: un_lock held. */
void dd_dead_alive_locked(struct dd_unit *un)
{
    KASSERT(lock_mine(&un->un_lock));
    un->un_silences = 0;
    /* While a lost command holds recovery, what waits would wait for ever. */
    if (!(un->un_hold & DD_HOLD_DEAD) || dd_step_lost_locked(un))
        return;
    dd_hold_clear_locked(un, DD_HOLD_DEAD);
    atomic_store_explicit(&un->un_absent, false, memory_order_relaxed);
    un->un_todo &= (uint8_t)~DD_TODO_READY;
    dd_log(un, NULL, ERRID_DISK_INFO, true, 0, "disk does not answer", "it does again", NULL, 0);
    if (un->un_reserved)
        dd_todo_set_locked(un, DD_TODO_RESERVE);
}

/*
 * Somebody waits for a dead disk. False: in vain. True: it is being asked.
 * Context: any. Locks: un_lock held; the caller runs the loop.
 */
bool dd_dead_try_locked(struct dd_unit *un)
{
    KASSERT(un->un_hold & DD_HOLD_DEAD);
    if (un->un_todo & DD_TODO_READY)
        return true;
    if (un->un_rec.rec_state != DD_REC_NONE || un->un_hold & DD_HOLD_ERROR ||
        kern_now_ns() - un->un_dead_since < un->un_dead_ns)
        return false;
    un->un_todo |= DD_TODO_READY;
    dd_recover_begin_locked(un);
    return true;
}

/* TEST UNIT READY came back. Context: completion. Locks: un_lock held; the caller goes on with recovery. */
void dd_dead_asked_locked(struct dd_unit *un, const struct sc_buf *sc, bool failed)
{
    if (!failed || sc->status_validity & SC_SCSI_ERROR) {
        dd_dead_alive_locked(un);
        return;
    }
    if (sc->bufstruct.b_error == ENXIO && ++un->un_rec.rec_todo_tries < DD_SENSE_TRIES_MAX)
        return; /* the queue was halted: it has not been asked yet */
    un->un_todo &= (uint8_t)~DD_TODO_READY;
    un->un_dead_since = kern_now_ns();
    atomic_store_explicit(&un->un_absent,
                          sc->status_validity == SC_ADAPTER_ERROR &&
                              sc->general_card_status == SC_NO_DEVICE_RESPONSE,
                          memory_order_relaxed);
    dd_todo_refuse_locked(un, EIO);
}

/* Silences are not forgotten: the good that an open meets is newer. Context: any. Locks: un_lock held. */
void dd_dead_forget_locked(struct dd_unit *un)
{
    dd_hold_clear_locked(un, DD_HOLD_DEAD);
    atomic_store_explicit(&un->un_absent, false, memory_order_relaxed);
}

/* Context: process; the disk is open. Locks: none held. */
void dd_dead_reset(struct dd_unit *un)
{
    int error, old = disable_lock(INTIODONE, &un->un_lock);

    if (!(un->un_hold & DD_HOLD_DEAD) || un->un_rec.rec_state != DD_REC_NONE || un->un_resetting ||
        un->un_resets >= DD_RESETS_MAX || !un->un_path ||
        kern_now_ns() - un->un_dead_since < un->un_dead_ns) {
        unlock_enable(old, &un->un_lock);
        return;
    }
    un->un_resetting = true;
    un->un_resets++;
    unlock_enable(old, &un->un_lock);
    error = fp_ioctl(un->un_fp, SCIORESET, SC_ARG(un->un_dds.scsi_id, un->un_dds.lun_id), 0);
    old = disable_lock(INTIODONE, &un->un_lock);
    KASSERT(un->un_resetting && un->un_resets > 0 && un->un_resets <= DD_RESETS_MAX);
    un->un_resetting = false;
    un->un_reset_ns = kern_now_ns() | 1u;
    dd_log(un, NULL, ERRID_DISK_INFO, true, error, "nobody answers", "reset, and asked again", NULL, 0);
    dd_wake_locked(un);
    unlock_enable(old, &un->un_lock);
}

/* Context: process. Locks: none held. */
void dd_dead_last_chance(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    if (un->un_hold & DD_HOLD_DEAD)
        un->un_dead_since = kern_now_ns() - un->un_dead_ns;
    unlock_enable(old, &un->un_lock);
    dd_dead_mend(un);
}
