/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_gone.c - a disk that was taken out while it is in use: CFG_GONE makes its unit *invalid*.
 *
 *   configured ── CFG_GONE ─► invalid ── last close ─► invalid, closed ── CFG_TERM ─► the minor is free
 *
 * From one moment on, which is a bit in un_hold set under the LUN lock, nothing new begins: open, read,
 * write, ioctl and strategy answer ENXIO (CAM-16); what waits, is held to be resent, or sleeps for a slot
 * ends with ENXIO; recovery gives up, and neither it nor what is due with the disk (dd_todo.c) begins again
 * (CAM-18). What is at the adapter is fetched back with SCIOHALT. What had ended well by then has ended well;
 * every error on an invalid unit is ENXIO and not tried again (NB-18), because whatever the device had to
 * say, nobody can act on it any more.
 *
 * The bit is in un_hold because that is the one word the loop (dd_start.c) looks at before it sends: what
 * strategy had accepted a moment before is found in pending and refused there, so the good path pays nothing
 * and no moment is left between the look and the queueing.
 *
 * A unit that was invalid once never is valid again. It is not destroyed here, nor by a close: who closes
 * last is inside the driver, and whoever calls CFG_GONE may be beside any I/O (CAM-13). The configure method
 * calls CFG_TERM, which says EBUSY until the last close is over and waits for who is still inside (CAM-15).
 * Until then CFG_INIT of the minor says EEXIST. So nobody meets another disk under a number he has open
 * (CAM-14).
 *
 * Rejected: a count of references of our own on each unit. Opens are counted by un_opens and by the device
 * switch, who is on his way in by dd_users, requests by the queues: a fourth count would say what these say
 * (CAM-10, CAM-11: what each open took, its close gives back, before and after the disk has gone).
 * Rejected: destroying the unit by a timer after the last close; the timer's routine runs where nobody may
 * sleep, and CFG_TERM has to.
 *
 * Does not contain: taking the disk off its bus (the adapter's side), CFG_TERM (dd_life.c).
 */
#include "dd_impl.h"

/* Between two SCIOHALT, when a command was on its way to the adapter. */
#define GONE_LOOK_NS     UINT64_C(10000000)
/* Between two SCIOHALT for one that is lost. */
#define FETCH_PAUSE_NS   UINT64_C(10000000000)
/* An adapter driver that says 0 and keeps a command is asked for that long: longer than its whole recovery
 * takes. */
#define GONE_PATIENCE_NS UINT64_C(60000000000)

void dd_mode_set(struct dd_unit *un, enum dd_mode mode)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    if (!dd_is_gone_locked(un))
        atomic_store_explicit(&un->un_mode, (uint8_t)mode, memory_order_release);
    dd_geometry_changed_locked(un);
    unlock_enable(old, &un->un_lock);
}

/* ------------------------------------------------------------------ what fails */

/* A parked command ends. Locks: un_lock held. */
static void gone_end_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    const struct dd_rule gone = {"disk removed", DD_ANY, 0, 0, DD_ACT_FAIL, 0, ENXIO};
    const struct scsi_sense none = {0};

    if (cmd->cmd_sync)
        dd_sync_finish_locked(un, cmd, ENXIO, false);
    else
        dd_split_fail_locked(un, cmd, &gone, &none);
}

void dd_gone_error_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(dd_is_gone_locked(un));
    cmd->cmd_state = DD_CMD_FAILED;
    dd_recover_count_locked(cmd, &un->un_stats.in_process, &un->un_stats.recovering, DD_BUF_RECOVER);
    gone_end_locked(un, cmd);
}

void dd_gone_recovery_over_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(dd_is_gone_locked(un) && rec->rec_state != DD_REC_NONE);
    KASSERT(rec->rec_cmd->cmd_state == DD_CMD_FREE);
    if (rec->rec_current)
        gone_end_locked(un, rec->rec_current);
    rec->rec_current = NULL;
    while (rec->rec_failed_head) {
        struct dd_cmd *cmd = rec->rec_failed_head;

        rec->rec_failed_head = cmd->cmd_next;
        gone_end_locked(un, cmd);
    }
    rec->rec_kept = rec->rec_unstick = rec->rec_owed = rec->rec_delay = rec->rec_fetch = false;
    rec->rec_keys = rec->rec_cap16 = rec->rec_refused = false;
    rec->rec_home = rec->rec_asks = rec->rec_pause = rec->rec_silent = false;
    rec->rec_started = false;
    rec->rec_todo_tries = 0;
    rec->rec_wait_ms = 0;
    rec->rec_state = DD_REC_NONE;
    dd_hold_clear_locked(un, DD_HOLD_RECOVER);
    dd_wake_locked(un);
}

/* ------------------------------------------------------------------ the moment */

/* Runs once (CAM-17). Locks: un_lock held; the caller runs the loop, which refuses what waits. */
static void gone_begin_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(!dd_is_gone_locked(un));
    dd_todo_forget_locked(un);
    dd_dead_forget_locked(un);
    dd_hold_set_locked(un, DD_HOLD_INVALID);
    atomic_store_explicit(&un->un_mode, DD_MODE_INVALID, memory_order_release);
    dd_log(un, NULL, ERRID_DISK_INFO, false, ENXIO, "disk removed", un->un_opens ? "in use" : "not in use",
           NULL, 0);
    rec->rec_unstick = false;
    if (rec->rec_ready) {
        rec->rec_ready = false;
        rec->rec_cmd->cmd_state = DD_CMD_FREE;
    }
    /* One that is out comes back, and then it is over (dd_recover_reserve_done_locked). */
    if (rec->rec_state != DD_REC_NONE && rec->rec_cmd->cmd_state == DD_CMD_FREE) {
        dd_delay_stop_locked(un);
        dd_gone_recovery_over_locked(un);
    }
    dd_wake_locked(un);
}

/* ------------------------------------------------------------------ fetching back */

void dd_gone_path_up(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    un->un_path = true;
    unlock_enable(old, &un->un_lock);
}

void dd_gone_path_down(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    un->un_path = false;
    while (un->un_halting)
        dd_sleep_locked(un);
    unlock_enable(old, &un->un_lock);
}

/* Is anything of ours with the adapter driver, or on its way there? Locks: un_lock held. */
static bool gone_is_out_locked(const struct dd_unit *un)
{
    return un->un_active || dd_lane_busy_locked(un) || un->un_reserve_cmd.cmd_state == DD_CMD_INPROC ||
           un->un_unstick_cmd.cmd_state == DD_CMD_INPROC;
}

/*
 * Have everything back. More than once, because a thread that had taken a command before the moment may hand
 * it over after the first SCIOHALT. Context: process, no lock. 0, or what SCIOHALT says.
 */
static int gone_fetch(struct dd_unit *un)
{
    intptr_t where = SC_ARG(un->un_dds.scsi_id, un->un_dds.lun_id);
    uint64_t until = kern_now_ns() + GONE_PATIENCE_NS;
    int error = 0, old = disable_lock(INTIODONE, &un->un_lock);

    while (!error && un->un_path && gone_is_out_locked(un)) {
        if (kern_now_ns() >= until) {
            error = ETIMEDOUT;
            break;
        }
        if (un->un_halting) {
            dd_sleep_locked(un); /* another CFG_GONE is at it */
            continue;
        }
        un->un_halting = true;
        unlock_enable(old, &un->un_lock);
        error = fp_ioctl(un->un_fp, SCIOHALT, where, 0);
        old = disable_lock(INTIODONE, &un->un_lock);
        un->un_halting = false;
        dd_wake_locked(un);
        if (!error && gone_is_out_locked(un)) {
            un->un_sleepers++;
            (void)e_timedsleep(&un->un_event, &un->un_lock, GONE_LOOK_NS);
            un->un_sleepers--;
        }
    }
    unlock_enable(old, &un->un_lock);
    return error;
}

/*
 * Recovery's own command is lost and the disk is to be closed: have it back. One SCIOHALT; if that does not
 * help, a pause. Context: process. Locks: un_lock held, dropped meanwhile.
 */
void dd_fetch_locked(struct dd_unit *un)
{
    KASSERT(kern_at_process_level() && un->un_fp != NULL);
    if (un->un_halting) {
        dd_sleep_locked(un); /* CFG_GONE is at it */
        return;
    }
    un->un_halting = true;
    unlock_enable(INTBASE, &un->un_lock);
    (void)fp_ioctl(un->un_fp, SCIOHALT, SC_ARG(un->un_dds.scsi_id, un->un_dds.lun_id), 0);
    (void)disable_lock(INTIODONE, &un->un_lock);
    un->un_halting = false;
    dd_wake_locked(un);
    if (dd_step_lost_locked(un)) {
        un->un_sleepers++;
        (void)e_timedsleep(&un->un_event, &un->un_lock, FETCH_PAUSE_NS);
        un->un_sleepers--;
    }
}

/*
 * CFG_GONE. Context: process; any number of times, on any number of threads, beside anything. Locks: none
 * held. 0; ENXIO not configured; ETIMEDOUT, or what else SCIOHALT says: invalid all the same.
 */
int dd_gone(devno_t devno)
{
    struct dd_unit *un = dd_unit_hold(devno);
    int error, old;

    if (!un)
        return ENXIO;
    old = disable_lock(INTIODONE, &un->un_lock);
    if (!dd_is_gone_locked(un))
        gone_begin_locked(un);
    unlock_enable(old, &un->un_lock);
    dd_kick(un);
    error = gone_fetch(un);
    dd_unit_release(devno);
    return error;
}
