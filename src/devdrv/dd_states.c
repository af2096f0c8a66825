/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_states.c - the states of recovery: how long each may last, and what happens then.
 *
 * In most of them a command of recovery's own is at the adapter driver, which promises to end it in its
 * timeout. dd_step_ms beyond that we do not believe it any more. First the second structure carries SC_Q_CLR:
 * if our command sits in a queue that was kept, that brings it home. If it is still out when the same time
 * has passed again, the disk is dead (dd_dead.c): what waits fails with EIO, and what comes. The command's
 * memory stays with the adapter driver; when it does come home, recovery goes on from there, and the disk can
 * be asked.
 *
 * Does not contain: how one state leads to the next (dd_recover.c).
 */
#include "dd_impl.h"

static const struct dd_state states[] = {
    [DD_REC_NONE] = {"none", DD_UNTIL_NONE, "", ""},
    [DD_REC_SENSE] = {"sense", DD_UNTIL_STEP, "asked DD_SENSE_TRIES_MAX times; then judged without",
                      "cleared, dead"},
    [DD_REC_RESERVE] = {"reserve", DD_UNTIL_STEP, "conflict: KEYS; three times: what waits fails",
                        "cleared, dead"},
    [DD_REC_KEYS] = {"keys", DD_UNTIL_STEP, "as if there were none: what waits fails", "cleared, dead"},
    [DD_REC_CAPACITY] = {"capacity", DD_UNTIL_STEP, "three times; then the old one counts", "cleared, dead"},
    [DD_REC_READY] = {"ready", DD_UNTIL_STEP, "the disk stays dead: what waits fails", "cleared, dead"},
    [DD_REC_START] = {"start", DD_UNTIL_STEP, "spin", "cleared, dead"},
    [DD_REC_SPIN] = {"spin", DD_UNTIL_STEP, "start once, delay, or start_timeout: what waits fails",
                     "cleared, dead"},
    [DD_REC_MODE] = {"mode", DD_UNTIL_STEP, "three times; then the old ones count", "cleared, dead"},
    [DD_REC_FETCH] = {"fetch", DD_UNTIL_STEP, "goes on", "cleared, dead"},
    [DD_REC_QUEUE] = {"queue", DD_UNTIL_STEP, "CLEAR", "cleared, dead"},
    [DD_REC_CLEAR] = {"clear", DD_UNTIL_STEP, "SC_RESUME with the next command", "cleared, dead"},
    [DD_REC_DELAY] = {"delay", DD_UNTIL_TIMER, "", "goes on"},
    [DD_REC_JUDGE] = {"judge", DD_UNTIL_NONE, "", ""},
    [DD_REC_WAIT] = {"wait", DD_UNTIL_TIMER, "goes on", "goes on"},
    [DD_REC_HALT] = {"halt", DD_UNTIL_TIMER, "DD_THROWN_MAX rounds: what waits fails",
                     "goes on with SC_RESUME"},
};

const struct dd_state *dd_state_of(enum dd_rec_state state)
{
    KASSERT((size_t)state < SC_ARRAY_SIZE(states));
    return &states[state];
}

/* The recovery command goes out. Without a timer it is believed. Locks: un_lock held. */
void dd_step_begin_locked(struct dd_unit *un)
{
    KASSERT(dd_state_of(un->un_rec.rec_state)->state_until == DD_UNTIL_STEP);
    un->un_rec.rec_late = 0;
    un->un_step_trb->timeout_ns =
        un->un_rec.rec_cmd->cmd_sc.timeout_value * UINT64_C(1000000000) + un->un_step_ns;
    un->un_rec.rec_until_ns = kern_now_ns() + un->un_step_trb->timeout_ns;
    (void)tstart(un->un_step_trb);
}

/* It is home. Locks: un_lock held. */
void dd_step_end_locked(struct dd_unit *un)
{
    un->un_rec.rec_late = 0;
    un->un_rec.rec_until_ns = UINT64_MAX; /* one that is running already sees that it is late */
    (void)tstop(un->un_step_trb);
}

/* It is not home in time. Context: completion, no lock. */
void dd_step_fired(struct trb *t)
{
    struct dd_unit *un = t->func_data;
    struct dd_rec *rec = &un->un_rec;
    int old = disable_lock(INTIODONE, &un->un_lock);

    if (kern_now_ns() < rec->rec_until_ns) {
        unlock_enable(old, &un->un_lock);
        return;
    }
    dd_log(un, NULL, ERRID_DISK_ERR3, rec->rec_late == 0, EIO, dd_state_of(rec->rec_state)->state_name,
           rec->rec_late == 0 ? "recovery command overdue, queue cleared" : "recovery command lost", NULL, 0);
    KASSERT(rec->rec_cmd->cmd_state == DD_CMD_INPROC);
    if (rec->rec_late++ == 0) {
        rec->rec_unstick = true;
        rec->rec_until_ns = kern_now_ns() + t->timeout_ns;
        (void)tstart(t);
    } else {
        rec->rec_until_ns = UINT64_MAX;
        dd_dead_set_locked(un);
        dd_recover_fail_parked_locked(un);
        dd_wake_locked(un); /* who closes it fetches the command */
    }
    unlock_enable(old, &un->un_lock);
    dd_kick(un);
}
