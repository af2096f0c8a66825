/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_batch.c - several commands at once: on their way to a chip that holds them back, and from its interrupt.
 *
 * Does not contain: how one command ends (ad_done.c), which comes next (ad_queue.c), the kernel services'
 * plug (kern_plug.c).
 *
 * ---- To the chip
 *
 * A chip with flush() sends nothing before it is told that no more follow: one doorbell for a batch. Whoever
 * works on a LUN of such a chip picks as many commands as may start in one hold of lun_lock, starts them all
 * without it, and marks them pending in another. He goes on until nothing can be done, and then tells the
 * chip.
 *
 * *Never forgotten.* adp_unflushed is set in the lock hold that marks a command pending, by a thread that is
 * counted in lun_users; it leaves by ad_work_unlock(), whose last step is ad_flush_chip_locked(). However the
 * batch has ended - no room, a gate, a halt, an error - that step comes, since it looks at the word and not
 * at what this thread has done. Who finds the word set takes it and calls flush() for all that was started
 * before; another thread whose command was among them finds it clear, and somebody is on his way to the chip.
 *
 * When start() turns one away for want of room, the rest of the batch is not tried: it goes back to its
 * places behind it. Rejected: batches for a chip that ends commands inside start(); one thread would do
 * everybody's I/O (ad_queue.c).
 *
 * *Plug.* A thread that says that several requests follow (kern_plug()) leaves them in the queue: accepted,
 * in order, for everybody to see, and any other thread that works on the LUN starts them. At its unplug it
 * looks after the LUN, to which it has kept a reference. Rejected: a list of the thread's own. It would save
 * a lock per request, and hide them from halts, from SCIOSTOP, and from whoever could start them while the
 * thread waits.
 *
 * ---- From the chip
 *
 * A chip may call ad_hw_done() before start() has returned AD_HW_PENDING. cmd_state, under
 * lun_lock, decides who ends the command: in AD_CMD_STARTING the callback leaves a note
 * (AD_CMD_EARLY) and the starter, who is bound to look, ends it; in AD_CMD_PENDING the callback
 * does. Ending it in the callback in both cases would free the slot under the starter's feet. It stays
 * AD_CMD_STARTING until start() has returned: a chip that is reset, or asked to grow, relies on nobody being
 * in there.
 *
 * A list is taken apart by LUN. Two holds of the lock for each: to see which are the chip's to hand back, and
 * to end them; between the two their memory is unmapped, which is done with no lock held.
 */
#include "ad_impl.h"

/* ---------------------------------------------------------------- to the chip */

/* It is the chip's from now on. Returns when to look after it, UINT64_MAX never. */
static uint64_t ad_pend_locked(struct ad_lun *lun, struct ad_cmd *cmd, uint64_t *now)
{
    uint64_t guard;

    SHIM_ASSERT(cmd->cmd_state == AD_CMD_STARTING);
    cmd->cmd_state = AD_CMD_PENDING;
    AD_TRACE(HKWD_AD_PENDING, cmd->cmd_sb, 0, 0, 0);
    ad_arrived_locked(lun, cmd);
    if (*now == 0)
        *now = shim_now_ns();
    if (SC_UNLIKELY(cmd->cmd_flags & AD_CMD_CANCEL)) {
        cmd->cmd_flags |= AD_CMD_WANT_ABORT;
        cmd->cmd_stage = AD_STAGE_ABORT;
        cmd->cmd_deadline_ns = *now + AD_STAGE_NS;
        lun->lun_aborts++;
    } else if (cmd->cmd_sb->timeout_value != 0) {
        cmd->cmd_deadline_ns = *now + cmd->cmd_sb->timeout_value * AD_NS_PER_S;
    }
    guard = ad_guard_begin_locked(lun, cmd, *now);
    return cmd->cmd_deadline_ns != 0 && cmd->cmd_deadline_ns < guard ? cmd->cmd_deadline_ns : guard;
}

/*
 * start() has said AD_HW_PENDING. What has not ended already is the chip's, and its clock runs. A timer that
 * cannot be armed does not fail the request: lun_timer_lost makes the next activity on the LUN try again.
 * Context: any. Locks: enters with none, leaves with lun_lock.
 */
void ad_started_lock(struct ad_lun *lun, struct ad_cmd **cmds, unsigned n)
{
    struct ad_cmd *ended = NULL, **tail = &ended;
    uint64_t now = 0, first = UINT64_MAX;
    bool pending = false;

    shim_lock_enter(&lun->lun_lock);
    for (unsigned i = 0; i < n; i++) {
        uint64_t deadline;

        if (SC_UNLIKELY(cmds[i]->cmd_flags & AD_CMD_EARLY)) {
            cmds[i]->cmd_flags &= (uint16_t)~AD_CMD_EARLY;
            cmds[i]->cmd_state = AD_CMD_DONE;
            ad_arrived_locked(lun, cmds[i]);
            *tail = cmds[i];
            tail = &cmds[i]->cmd_next;
            continue;
        }
        pending = true;
        deadline = ad_pend_locked(lun, cmds[i], &now);
        if (deadline < first)
            first = deadline;
    }
    *tail = NULL;
    if (pending && lun->lun_adp->adp_batches)
        atomic_store_explicit(&lun->lun_adp->adp_unflushed, true, memory_order_release);
    if (first != UINT64_MAX)
        (void)ad_timer_want_locked(lun, first);
    if (SC_UNLIKELY(lun->lun_adp->adp_polled) && pending)
        (void)ad_timer_want_locked(lun, shim_now_ns() + AD_POLL_NS);
    if (ended != NULL) {
        shim_lock_exit(&lun->lun_lock);
        ad_complete_list_lock(ended);
    }
}

/* One of a batch was turned away: the others go back behind it. Locks: lun_lock, dropped and retaken. */
static void ad_batch_back_locked(struct ad_lun *lun, struct ad_cmd **cmds, unsigned n)
{
    const uint32_t gate = lun->lun_gate & AD_GATE_HW ? AD_GATE_HW : AD_GATE_FROZEN;

    for (unsigned i = 0; i < n; i++) {
        shim_lock_exit(&lun->lun_lock);
        ad_requeue_lock(cmds[i], gate);
    }
}

/* Map and start one. True: it pends. False: it is dealt with, and lun_lock is held. */
static bool ad_batch_start(struct ad_adapter *adp, struct ad_cmd *cmd)
{
    int said, mapped = SHIM_MAP_OK;

    if (SC_UNLIKELY(cmd->cmd_xfer.xfer_result != AD_RES_GOOD)) { /* as in ad_exec_lock() */
        ad_complete_lock(cmd);
        return false;
    }
    if (cmd->cmd_xfer.xfer_bytes != 0) {
        mapped = ad_map(cmd);
        if (SC_UNLIKELY(mapped != SHIM_MAP_OK) && !ad_map_failed(cmd, mapped))
            return false;
        ad_sync(adp, cmd, SHIM_SYNC_BEFORE);
    }
    shim_sched_point();
    AD_TRACE(HKWD_AD_START, cmd->cmd_sb, 0, 0, 0);
    said = adp->adp_ops->start(adp->adp_hw, &cmd->cmd_xfer);
    shim_sched_point();
    if (SC_LIKELY(said == AD_HW_PENDING))
        return true;
    ad_exec_said_lock(cmd, said);
    return false;
}

/*
 * Pick what may follow the first command, start all, mark those that pend. Owns: first comes from
 * ad_pick_locked(). Context: any. Locks: lun_lock, dropped and retaken.
 */
void ad_batch_locked(struct ad_lun *lun, struct ad_cmd *first)
{
    struct ad_adapter *adp = lun->lun_adp;
    struct ad_cmd *cmds[AD_BATCH];
    unsigned n = 1, pending = 0;

    cmds[0] = first;
    while (n < AD_BATCH && (cmds[n] = ad_pick_locked(lun)) != NULL)
        n++;
    shim_lock_exit(&lun->lun_lock);
    for (unsigned i = 0; i < n; i++) {
        if (SC_LIKELY(ad_batch_start(adp, cmds[i]))) {
            cmds[pending++] = cmds[i];
            continue;
        }
        if (SC_UNLIKELY(lun->lun_gate & (AD_GATE_HW | AD_GATE_FROZEN))) {
            ad_batch_back_locked(lun, cmds + i + 1, n - i - 1);
            n = i + 1;
        }
        shim_lock_exit(&lun->lun_lock);
    }
    ad_started_lock(lun, cmds, pending);
}

/*
 * Tell the chip, if somebody has to. Context: any. Locks: lun_lock, dropped and retaken; true then.
 */
bool ad_flush_chip_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;

    if (SC_LIKELY(!atomic_load_explicit(&adp->adp_unflushed, memory_order_relaxed)))
        return false;
    shim_lock_exit(&lun->lun_lock);
    shim_sched_point();
    if (atomic_exchange_explicit(&adp->adp_unflushed, false, memory_order_acq_rel)) {
        atomic_fetch_add_explicit(&adp->adp_flushes, 1u, memory_order_relaxed);
        shim_sched_point();
        adp->adp_ops->flush(adp->adp_hw);
    }
    shim_sched_point();
    shim_lock_enter(&lun->lun_lock);
    return true;
}

/* ---------------------------------------------------------------- plug */

/* Context: any. The reference is the plug's. */
static void ad_unplugged(void *arg)
{
    struct ad_lun *lun = arg;

    shim_lock_enter(&lun->lun_lock);
    ad_flush_push_locked(lun);
    ad_work_unlock(lun);
}

/* A queue that is long enough is not left: it would only be longer. Locks: lun_lock. */
bool ad_plug_locked(struct ad_lun *lun)
{
    int joined;

    if (lun->lun_queued >= AD_BATCH)
        return false;
    joined = kern_plug_join(ad_unplugged, lun);
    if (joined == KERN_PLUG_NEW)
        ad_enter_locked(lun);
    return joined != KERN_PLUG_NONE;
}

/* ---------------------------------------------------------------- from the chip */

/* May the caller end this command, which the chip hands back? Locks: lun_lock. */
static bool ad_home_locked(struct ad_lun *lun, struct ad_cmd *cmd)
{
    if (cmd->cmd_state == AD_CMD_FREE && ad_lane_has_locked(lun, cmd))
        ad_lane_close_locked(lun);
    if (SC_LIKELY(cmd->cmd_state == AD_CMD_PENDING))
        return ad_recover_home_locked(lun, cmd);
    if (cmd->cmd_state == AD_CMD_STARTING && !(cmd->cmd_flags & AD_CMD_EARLY)) {
        cmd->cmd_flags |= AD_CMD_EARLY;
    } else {
        lun->lun_doubles++;
        shim_log(SHIM_LOG_WARN, "%s: %d,%d tag %u was completed twice", lun->lun_adp->adp_name, lun->lun_id,
                 lun->lun_lun, (unsigned)cmd->cmd_slot);
    }
    return false;
}

/* End these, if any. Locks: enters with lun_lock, leaves without. */
static void ad_home_unlock(struct ad_lun *lun, struct ad_cmd *cmds)
{
    if (cmds == NULL) {
        shim_lock_exit(&lun->lun_lock);
        return;
    }
    ad_enter_locked(lun);
    shim_lock_exit(&lun->lun_lock);
    ad_complete_list_lock(cmds);
    ad_work_unlock(lun);
}

static struct ad_cmd *ad_cmd_of(struct ad_xfer *xfer)
{
    return SC_CONTAINER_OF(xfer, struct ad_cmd, cmd_xfer);
}

/*
 * Called by the chip: a pending command has ended. A call for a command that is not out is the
 * chip's bug; it is counted and changes nothing (NB-20). That the tag is in use again by then
 * cannot be told apart here, which is why a chip keeps its own record of what it owns.
 * Context: any; no lock of the chip held.
 */
void ad_hw_done(struct ad_adapter *ad, struct ad_xfer *xfer)
{
    struct ad_cmd *cmd = ad_cmd_of(xfer);
    struct ad_lun *lun = cmd->cmd_lun;

    SHIM_ASSERT(lun->lun_adp == ad);
    shim_lock_enter(&lun->lun_lock);
    if (ad_home_locked(lun, cmd))
        cmd->cmd_next = NULL;
    else
        cmd = NULL;
    ad_home_unlock(lun, cmd);
}

/* See scpair/ad_hw.h. A LUN of an entry that is left cannot go: it has that command. */
void ad_hw_done_list(struct ad_adapter *ad, struct ad_xfer **xfers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct ad_cmd *cmds = NULL, **tail = &cmds;
        struct ad_lun *lun;

        if (xfers[i] == NULL)
            continue;
        lun = ad_cmd_of(xfers[i])->cmd_lun;
        SHIM_ASSERT(lun->lun_adp == ad);
        shim_lock_enter(&lun->lun_lock);
        for (unsigned k = i; k < n; k++) {
            struct ad_cmd *cmd = xfers[k] ? ad_cmd_of(xfers[k]) : NULL;

            if (cmd == NULL || cmd->cmd_lun != lun)
                continue;
            xfers[k] = NULL;
            if (SC_UNLIKELY(!ad_home_locked(lun, cmd)))
                continue;
            *tail = cmd;
            tail = &cmd->cmd_next;
        }
        *tail = NULL;
        ad_home_unlock(lun, cmds);
    }
}
