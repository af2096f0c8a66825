/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_tag.c - which tag comes next: the one that has been free for longest; and tags that are left alone.
 *
 * A tag is its slot's number (NB-09). Free slots are in a ring: taken from its head, given back to its tail.
 * A device that comes back with a tag late, after it was told to forget the command, so meets a tag that
 * nobody has, and the chip an answer that it can throw away. With a stack the tag would be in use again at
 * once, and the device's late reselection would move the new command's data. A LUN that works in few slots
 * touches all of them in turn for that; a command is some 600 bytes, and what it costs was not to be
 * measured beside the chip.
 *
 * *Quarantine.* After an abort or a bus fault the late answer is no theory, so such a tag stays out of the
 * ring for AD_QUARANTINE_NS: longer than the selection time-out of 250 ms and the settling after a reset,
 * after which a device that has not come back does not. At most half of a LUN's tags are in quarantine; one
 * more lets the oldest go, to the tail of the ring. So a LUN always has tags, nobody ever waits for one to
 * come out, and no timer is behind it. After a bus reset or an adapter reset there is no quarantine: devices
 * have no commands then.
 *
 * The lane keeps its own order, lowest bit first: it is open only while commands end inside start(), and a
 * command that has pended, been aborted or met a bus fault has left it. What ends inside start() has not been
 * disconnected from.
 *
 * Does not contain: how many tags may be in use (ad_limit.c).
 */
#include "ad_impl.h"

/* SCIOSTART: all are free, lowest first; `room` has place for twice the openings. */
void ad_tags_start(struct ad_lun *lun, uint16_t *room)
{
    SHIM_ASSERT(room != NULL && lun->lun_openings >= 1 && lun->lun_openings <= AD_OPENINGS_MAX);
    lun->lun_free = room;
    lun->lun_free_at = 0;
    lun->lun_nfree = 0;
    lun->lun_quar = room + lun->lun_openings;
    lun->lun_quar_at = 0;
    lun->lun_nquar = 0;
    for (uint32_t i = 0; i < lun->lun_openings; i++)
        ad_tag_give_locked(lun, (uint16_t)i);
    SHIM_ASSERT(lun->lun_nfree == lun->lun_openings);
}

/* The oldest comes out. Locks: lun_lock. */
static void ad_quarantine_out_locked(struct ad_lun *lun)
{
    const uint16_t slot = lun->lun_quar[lun->lun_quar_at];

    SHIM_ASSERT(lun->lun_nquar > 0 && slot < lun->lun_openings && lun->lun_cmds[slot].cmd_quar_ns != 0);
    lun->lun_quar_at = lun->lun_quar_at + 1u == lun->lun_openings ? 0 : lun->lun_quar_at + 1u;
    lun->lun_nquar--;
    lun->lun_cmds[slot].cmd_quar_ns = 0;
    ad_tag_give_locked(lun, slot);
}

/* This tag's command was aborted, or its bus failed: not used again for a while. Locks: lun_lock. */
void ad_quarantine_locked(struct ad_lun *lun, uint16_t slot)
{
    uint32_t at = lun->lun_quar_at + lun->lun_nquar;

    SHIM_ASSERT(slot < lun->lun_openings && lun->lun_cmds[slot].cmd_quar_ns == 0);
    if (lun->lun_openings < 2) {
        ad_tag_give_locked(lun, slot);
        return;
    }
    lun->lun_cmds[slot].cmd_quar_ns = shim_now_ns() + AD_QUARANTINE_NS;
    lun->lun_quar[at < lun->lun_openings ? at : at - lun->lun_openings] = slot;
    if (++lun->lun_nquar > lun->lun_openings / 2)
        ad_quarantine_out_locked(lun);
    SHIM_ASSERT(lun->lun_nfree + lun->lun_nquar <= lun->lun_openings);
}

/* Let those out whose time is over, or all. Locks: lun_lock. */
void ad_quarantine_look_locked(struct ad_lun *lun, bool all)
{
    const uint64_t now = all ? UINT64_MAX : shim_now_ns();

    while (lun->lun_nquar > 0 && lun->lun_cmds[lun->lun_quar[lun->lun_quar_at]].cmd_quar_ns <= now)
        ad_quarantine_out_locked(lun);
}

/* May the device still come back with the tag of this command, which has ended? Locks: lun_lock. */
bool ad_tag_is_suspect(const struct ad_cmd *cmd)
{
    const uint8_t result = cmd->cmd_xfer.xfer_result;

    return (result == AD_RES_ABORTED || result == AD_RES_BUS_FAULT) &&
           !(cmd->cmd_flags & (AD_CMD_UNTAGGED | AD_CMD_TAKEN | AD_CMD_REFUSED));
}

/* The rings are sound: every slot at most once, and free. For tests. NULL, or what is wrong. */
const char *ad_tags_check_locked(const struct ad_lun *lun)
{
    uint8_t seen[AD_OPENINGS_MAX] = {0};

    if (lun->lun_nfree + lun->lun_nquar > lun->lun_openings || lun->lun_nquar > lun->lun_openings / 2)
        return "more tags are free or in quarantine than there are";
    for (uint32_t i = 0; i < lun->lun_nfree + lun->lun_nquar; i++) {
        const bool quar = i >= lun->lun_nfree;
        const uint32_t at =
            (quar ? lun->lun_quar_at + i - lun->lun_nfree : lun->lun_free_at + i) % lun->lun_openings;
        const uint16_t slot = quar ? lun->lun_quar[at] : lun->lun_free[at];

        if (slot >= lun->lun_openings || lun->lun_cmds[slot].cmd_state != AD_CMD_FREE)
            return "a tag on the free ring is not free";
        if (seen[slot]++ != 0)
            return "a tag is on the free ring twice";
        if (quar != (lun->lun_cmds[slot].cmd_quar_ns != 0))
            return "a tag is in the wrong ring";
    }
    return NULL;
}
