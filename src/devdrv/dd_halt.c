/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_halt.c - a queue that is found halted: what ENXIO means, and when that is known.
 *
 * The adapter driver halts the queue first and tells of the error afterwards. Between the two, and until who
 * is told has our lock, other threads' commands come back ENXIO. There is another reason for ENXIO: somebody
 * called SCIOHALT, and then no error comes at all. The answer to both is SC_RESUME, but in the first case
 * only after the error is known, or what should wait for its recovery overtakes it.
 *
 * So an error is noted at once, with the lock, when its iodone meets a thread that is inside the driver
 * already and will look at it later (dd_halt_note): from then on nothing new starts. And an ENXIO while no
 * error is known begins a recovery that waits [HALT] until what is at the adapter is home: whatever has
 * failed is among it. An error that comes goes the usual way. If none comes it was SCIOHALT. A timer
 * (dd_error_ms) stands behind that for an adapter driver that keeps the others for long.
 *
 * An error that cleared the queue sends the others home, too, a moment later. They keep their places only if
 * nothing new has gone before they are here; so recovery ends by waiting for them, in the same way.
 *
 * Who was thrown back has done nothing wrong: this is not held against a request, whether it happens once or
 * a thousand times, as long as others get on. Only when nobody has got on for DD_THROWN_MAX rounds, pauses
 * between them, has the disk failed, and with it whatever waits. After DD_THROWN_SUSPECT of
 * them the queue may be a kept one that we do not know of: SC_Q_RESUME is tried.
 *
 * Does not contain: errors (dd_recover.c).
 */
#include "dd_impl.h"

/* ------------------------------------------------------------------ errors on their way to the lock */

static bool halt_is_error(const struct dd_cmd *cmd)
{
    int error = cmd->cmd_sc.bufstruct.b_error;

    return error == EIO || error == 0;
}

/* Context: completion. Locks: none held. */
void dd_halt_note(struct dd_unit *un, struct dd_cmd *cmd)
{
    int old;

    if (cmd->cmd_kind > DD_KIND_SYNC)
        return; /* recovery holds everything as it is */
    old = disable_lock(INTIODONE, &un->un_lock);
    cmd->cmd_noted = 1;
    un->un_noted++;
    un->un_noted_errors += halt_is_error(cmd);
    dd_hold_set_locked(un, DD_HOLD_ERROR);
    unlock_enable(old, &un->un_lock);
}

/* Context: completion. Locks: un_lock held, also while the command is looked at. */
void dd_halt_noted_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(cmd->cmd_noted && un->un_noted > 0);
    cmd->cmd_noted = 0;
    un->un_noted_errors -= halt_is_error(cmd);
    if (--un->un_noted == 0)
        dd_hold_clear_locked(un, DD_HOLD_ERROR);
    KASSERT(un->un_noted_errors <= un->un_noted);
}

/* ------------------------------------------------------------------ ENXIO */

/* How often everything has come back since somebody got on. Locks: un_lock held. */
static uint32_t halt_rounds_locked(struct dd_unit *un)
{
    uint64_t progress = un->un_stats.completed + un->un_progress + dd_lane_done_locked(un);

    if (progress != un->un_thrown_at) {
        un->un_thrown_at = progress;
        un->un_thrown = 0;
    }
    return un->un_thrown;
}

/* No error has come: it was SCIOHALT, or something is wrong. Locks: un_lock held. */
static void halt_conclude_locked(struct dd_unit *un)
{
    KASSERT(un->un_hold & DD_HOLD_RECOVER);
    un->un_need_resume = true;
    un->un_thrown = halt_rounds_locked(un) + 1u;
    if (un->un_thrown % DD_THROWN_SUSPECT == 0)
        un->un_rec.rec_kept = true;
    if (un->un_thrown < DD_THROWN_MAX)
        return;
    un->un_thrown = 0;
    un->un_rec.rec_kept = false;
    dd_log(un, NULL, ERRID_DISK_ERR3, false, EIO, "thrown back again and again", "failed", NULL, 0);
    dd_todo_refuse_locked(un, EIO);
}

/* Is anything at the adapter driver, or about to be? Locks: un_lock held; a hold has closed the lane. */
static bool halt_is_out_locked(const struct dd_unit *un)
{
    return un->un_active > 0 || dd_lane_busy_locked(un);
}

/* Context: completion. Locks: un_lock held; the caller looks at the queues afterwards. */
void dd_halt_look_locked(struct dd_unit *un, bool timer)
{
    struct dd_rec *rec = &un->un_rec;
    bool asks = rec->rec_asks && !rec->rec_failed_head;

    KASSERT(rec->rec_state == DD_REC_HALT);
    if (un->un_noted_errors > 0)
        return; /* who has it comes to us next */
    if (!timer && !rec->rec_failed_head && (rec->rec_pause || halt_is_out_locked(un)))
        return;
    dd_delay_stop_locked(un);
    rec->rec_pause = rec->rec_asks = false;
    if (!rec->rec_failed_head)
        rec->rec_home = false;
    rec->rec_state = DD_REC_JUDGE;
    if (asks)
        halt_conclude_locked(un);
    dd_recover_next_locked(un);
}

/* Arm the timer that stands behind it. False: there is none. Locks: un_lock held. */
static bool halt_timer_locked(struct dd_unit *un, uint64_t ns)
{
    un->un_rec.rec_state = DD_REC_HALT;
    dd_trace_state(un);
    return dd_delay_start_locked(un, ns);
}

/* Context: completion. Locks: un_lock held, recovery holds the queue. */
bool dd_halt_home_locked(struct dd_unit *un)
{
    bool waits = un->un_rec.rec_home && halt_is_out_locked(un);

    return waits && halt_timer_locked(un, un->un_error_ns);
}

/* Begin to wait. Without a timer there is no waiting: rounds are counted. Locks: un_lock held. */
static void halt_begin_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    uint32_t rounds = halt_rounds_locked(un);
    uint64_t ns = un->un_error_ns;

    KASSERT(rec->rec_state == DD_REC_NONE);
    dd_hold_clear_locked(un, DD_HOLD_TODO);
    dd_hold_set_locked(un, DD_HOLD_RECOVER);
    rec->rec_state = DD_REC_HALT;
    rec->rec_asks = true;
    rec->rec_pause = rounds >= DD_THROWN_SUSPECT && rounds + 1u < DD_THROWN_MAX;
    if (rec->rec_pause) {
        uint32_t ms = 1u << (rounds - DD_THROWN_SUSPECT);

        ns = (ms < DD_THROWN_MS ? ms : DD_THROWN_MS) * UINT64_C(1000000);
    }
    /* The last round has no end to wait for: its sleepers have been told already. */
    if (rounds + 1u >= DD_THROWN_MAX ||
        !((rec->rec_pause || halt_is_out_locked(un)) && halt_timer_locked(un, ns)))
        dd_halt_look_locked(un, true);
}

/* Context: completion. Locks: un_lock held; the caller looks at the queues afterwards. */
void dd_halt_thrown_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(cmd->cmd_kind <= DD_KIND_SYNC && !cmd->cmd_noted);
    un->un_stats.requeued++;
    if (cmd->cmd_kind == DD_KIND_SYNC) {
        dd_sync_finish_locked(un, cmd, EIO, halt_rounds_locked(un) + 1u < DD_THROWN_MAX);
    } else {
        dd_requeue_count(cmd);
        dd_recover_again_locked(un, cmd, &un->un_stats.in_process);
    }
    if (!(un->un_hold & DD_HOLD_RECOVER) && un->un_noted_errors == 0)
        halt_begin_locked(un);
}
