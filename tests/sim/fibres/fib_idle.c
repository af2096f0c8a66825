/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_idle.c - what both drivers hold while nothing is under way: nothing.
 *
 * Every pool is full, no queue is kept, held back or frozen, and what was counted up has been counted down. A
 * number that leaks one in a thousand commands shows in no request, but here.
 */
#include "fib.h"

#include "adapter/ad_impl.h"
#include "devdrv/dd_impl.h"

#define IDLE(cond, ...) SCHED_CHECK(cond, "idle: " __VA_ARGS__)

static uint32_t free_commands(const struct dd_unit *un)
{
    uint32_t n = 0;

    for (const struct dd_cmd *cmd = un->un_free; cmd; cmd = cmd->cmd_next)
        n++;
    for (unsigned i = 0; i < DD_PLUGS; i++)
        n += un->un_plugs[i].pl_cmd != NULL;
    return n;
}

static void unit_idle(const struct dd_unit *un, unsigned i)
{
    const uint32_t n = free_commands(un);

    IDLE(n == un->un_pool_total, "hdisk%u: %u of %u command structures are free", i, n, un->un_pool_total);
    IDLE(un->un_active == 0 && un->un_again == 0 && !un->un_split && !un->un_frag_busy && !un->un_frag_cur,
         "hdisk%u: %u commands, %u to be sent again, or a part of one", i, un->un_active, un->un_again);
    IDLE(un->un_hold == 0, "hdisk%u: held back: %#x", i, un->un_hold);
    IDLE(un->un_noted == 0 && un->un_noted_errors == 0 && un->un_sync_waiting == 0 && un->un_sleepers == 0,
         "hdisk%u: %u errors noted, %u and %u sleepers", i, un->un_noted, un->un_sync_waiting,
         un->un_sleepers);
    IDLE(un->un_rec.rec_state == DD_REC_NONE && !un->un_resp.ch_head, "hdisk%u: recovery is in state %u", i,
         (unsigned)un->un_rec.rec_state);
}

static void lun_idle(const struct ad_lun *lun, unsigned i)
{
    const uint32_t in_lane = atomic_load_explicit(&lun->lun_lane_slots, memory_order_relaxed);
    const uint32_t slots = (uint32_t)__builtin_popcount(in_lane);

    IDLE(lun->lun_state == AD_LUN_RUN, "hdisk%u: its LUN is in state %u", i, lun->lun_state);
    IDLE(lun->lun_active == 0 && lun->lun_queued == 0 && lun->lun_flushing == 0 && lun->lun_responses == 0,
         "hdisk%u: its LUN has %u commands, %u queued, %u to be thrown back", i, lun->lun_active,
         lun->lun_queued, lun->lun_flushing);
    IDLE(lun->lun_nfree + lun->lun_nquar + slots == lun->lun_openings,
         "hdisk%u: %u and %u of %u slots are free", i, lun->lun_nfree, slots, lun->lun_openings);
    IDLE(lun->lun_long_free == (1u << AD_LONG_LISTS) - 1u, "hdisk%u: segment lists %#x are free", i,
         lun->lun_long_free);
    IDLE(lun->lun_frozen == 0 && lun->lun_holds == 0, "hdisk%u: its LUN is frozen %u times, held %u times", i,
         lun->lun_frozen, lun->lun_holds);
    IDLE(ad_ledger_check_locked(lun) == NULL, "hdisk%u: %s", i, ad_ledger_check_locked(lun));
    IDLE(lun->lun_gate == 0 || fib_world.w_lost != FIB_LOST_NONE || fib_trouble(),
         "hdisk%u: its LUN is gated: %#x", i, lun->lun_gate);
    IDLE(lun->lun_users == 0 && !lun->lun_pushing && lun->lun_in_hand == 0 && lun->lun_sleepers == 0,
         "hdisk%u: %u threads are inside its LUN", i, lun->lun_users);
    IDLE(lun->lun_overdue == 0 && lun->lun_hit == 0, "hdisk%u: %u commands are overdue, %u hit by a reset", i,
         lun->lun_overdue, lun->lun_hit);
}

void fib_idle(const struct fib_world *w, unsigned i)
{
    const struct fib_disk *d = &w->w_disks[i];
    struct ad_lun *lun = ad_lun_find(ad_find(d->dk_adapter), d->dk_id, d->dk_lun);

    unit_idle(dd_unit_of(d->dk_devno), i);
    if (!lun)
        return;
    shim_lock_enter(&lun->lun_lock);
    lun_idle(lun, i);
    shim_lock_exit(&lun->lun_lock);
}
