/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_guard.c - no command starves at its device behind younger ones.
 *
 * SIMPLE tags leave the order to the device, and a device that serves what is nearest may never come to what
 * is far as long as near ones arrive. It ends when the host stops sending, or sends an ORDERED tag, before
 * which the device has to finish what it has. So: a command that has been there for AD_GUARD_NS, and sees
 * younger ones come back, makes the next SIMPLE request of its LUN go out ORDERED. The bound is then
 * AD_GUARD_NS, one look of the timer, and what the device had at that moment. One guard is for all commands
 * that were there before it, and none is sent for them again: a device that does not obey has the command's
 * timeout before it.
 *
 * AD_GUARD_NS is far above what a sound device takes for its whole queue (256 commands at 5 ms are 1.3 s)
 * and far below the timeouts that drivers use (30 s): an ORDERED tag costs the device one draining of its
 * queue, which at most every 2 s is nothing. For a command with less time than AD_GUARD_PARTS times that, it
 * is that part of its time.
 *
 * Only commands that pend are watched, by the LUN's timer, and only where there are several; nothing is
 * counted where they start or end. Nothing has to be done for a LUN that sends nothing: its device has
 * nobody to prefer. A queue of HEAD OF QUEUE tags only is what its owner wants it to be. The request's
 * q_tag_msg is not changed; what it asks for it gets, and more.
 *
 * Rejected: every n-th command ORDERED, without looking (a draining each time, for devices that need none);
 * draining the LUN by not sending (idle bus, and a timer to end it).
 */
#include "ad_impl.h"

/* Time until a command may call for a guard. */
static uint64_t ad_guard_after(const struct ad_cmd *cmd)
{
    const uint64_t part = cmd->cmd_sb->timeout_value * (AD_NS_PER_S / AD_GUARD_PARTS);

    return part != 0 && part < AD_GUARD_NS ? part : AD_GUARD_NS;
}

/* Is anybody there who could go by? Who comes later looks for who was alone. */
static bool ad_guard_company_locked(const struct ad_lun *lun)
{
    return lun->lun_active > 1 || ad_lane_is_open_locked(lun);
}

/*
 * A command pends: when its LUN's timer is to look after it, or UINT64_MAX. Locks: lun_lock.
 */
uint64_t ad_guard_begin_locked(struct ad_lun *lun, struct ad_cmd *cmd, uint64_t now)
{
    uint64_t due = now + ad_guard_after(cmd);

    SHIM_ASSERT(cmd->cmd_sb != NULL && cmd->cmd_lun == lun);
    cmd->cmd_since_ns = now;
    cmd->cmd_since_done = lun->lun_completed;
    if (cmd->cmd_flags & AD_CMD_UNTAGGED)
        return UINT64_MAX;
    if (!ad_guard_company_locked(lun)) {
        lun->lun_guard_alone_ns = due;
        return UINT64_MAX;
    }
    if (lun->lun_guard_alone_ns > now && lun->lun_guard_alone_ns < due)
        due = lun->lun_guard_alone_ns;
    return due;
}

/* Is there a guard still to come for this one? Those that pended before the last are covered by it. */
static bool ad_guard_wanted(const struct ad_lun *lun, const struct ad_cmd *cmd)
{
    return cmd->cmd_state == AD_CMD_PENDING && !(cmd->cmd_flags & (AD_CMD_UNTAGGED | AD_CMD_CANCEL)) &&
           cmd->cmd_stage == 0 && cmd->cmd_since_ns >= lun->lun_guard_ns;
}

/*
 * The lane opens, or commands begin to end inside start(): what pends beside them is looked after from now
 * on. False: no timer is to be had. Locks: lun_lock.
 */
bool ad_guard_lane_locked(struct ad_lun *lun)
{
    return lun->lun_active == 0 || ad_timer_want_locked(lun, shim_now_ns() + AD_GUARD_NS);
}

/* When the timer is to look, for this one; UINT64_MAX never. Locks: lun_lock. */
uint64_t ad_guard_when_locked(const struct ad_lun *lun, const struct ad_cmd *cmd, uint64_t now)
{
    const uint64_t due = cmd->cmd_since_ns + ad_guard_after(cmd);

    if (lun->lun_guard || !ad_guard_company_locked(lun) || !ad_guard_wanted(lun, cmd))
        return UINT64_MAX;
    return due > now ? due : now + ad_guard_after(cmd); /* nobody has overtaken it yet: once more */
}

/* The timer looks after a pending command. Locks: lun_lock. */
void ad_guard_look_locked(struct ad_lun *lun, const struct ad_cmd *cmd, uint64_t now)
{
    SHIM_ASSERT(cmd->cmd_state == AD_CMD_PENDING && shim_lock_is_held(&lun->lun_lock));
    if (lun->lun_guard || !ad_guard_wanted(lun, cmd) || now < cmd->cmd_since_ns + ad_guard_after(cmd))
        return;
    if (cmd->cmd_since_done == lun->lun_completed && !ad_lane_is_open_locked(lun))
        return;
    ad_lane_close_locked(lun); /* what goes there is not seen by ad_guard_tag_locked() */
    lun->lun_guard = true;
}

/*
 * The tag that this one goes out with, on a LUN that can tag; on one that cannot there is none (NB-10). The
 * contract leaves no caller without a word: q_tag_msg 0 is SC_NO_Q, untagged and alone, which is stricter
 * than the ORDERED that a caller who says nothing gets elsewhere. What is urgent has no tag either: recovery
 * commands must be SC_NO_Q (AIX-22) and go past the queue in a slot of their own, and so does an ioctl's
 * REQUEST SENSE. Locks: lun_lock.
 */
uint8_t ad_guard_tag_locked(struct ad_lun *lun, const struct sc_buf *sb)
{
    return sb->q_tag_msg == SC_SIMPLE_Q && lun->lun_guard ? SC_ORDERED_Q : sb->q_tag_msg;
}

/* One is on its way that the device finishes all older ones before, or that goes alone. Locks: lun_lock. */
void ad_guard_sent_locked(struct ad_lun *lun, const struct ad_cmd *cmd)
{
    if (cmd->cmd_xfer.xfer_qmsg == SC_HEAD_OF_Q)
        return;
    if (lun->lun_guard && cmd->cmd_xfer.xfer_qmsg == SC_ORDERED_Q && cmd->cmd_sb->q_tag_msg == SC_SIMPLE_Q) {
        lun->lun_guards++;
        ad_flight_guard_locked(lun);
    }
    lun->lun_guard = false;
    lun->lun_guard_ns = shim_now_ns();
}
