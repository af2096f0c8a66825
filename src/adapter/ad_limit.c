/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_limit.c - how many commands a LUN may have at its device: less than its openings once the device has
 * said QUEUE FULL, and slowly more again.
 *
 * The command that was answered QUEUE FULL goes up to its owner like any other error (AIX-18: what has been
 * handed to the device is never sent again by us). What changes is how many follow: as many as the device
 * has just shown that it holds, which is those it has beside the one it refused, and at least one (NB-16).
 * Commands on their way to it or in our queue have not been counted by it, so they do not count here. Alone
 * at the device, a command says nothing about depth: then it is BUSY in other words, and the limit stays. A
 * burst of refusals is one: a command that is already wanted back was sent under the old limit.
 *
 * Up again: by one after AD_LIMIT_UP_NS without a refusal. A device shares its room with other initiators,
 * so what was full may not be full later; trying costs one refusal, and here a refusal throws the LUN's
 * queue back, so it is not tried often. When it was refused at the same depth as the last time the pause
 * doubles, up to AD_LIMIT_UP_MAX_NS: then it is the device's size and not its neighbours. The clock is read
 * at good ends of a lowered LUN only, and no timer is needed: what waits for the limit waits for a command
 * at the device.
 *
 * Of three schools (active minus one; alone is BUSY, and hold the queue at the floor; remember, and climb
 * slowly) this takes the floor and free retry of the first, the rule for one alone of the second, the memory
 * and the climb of the third. Rejected: lowering by halves. The device has said how many it holds.
 *
 * The lane counts nothing, so it is closed while the limit is lower than the openings.
 *
 * Does not contain: credits, which are the adapter's and the target's (ad_credit.c, ad_target.c); what the
 * device driver does with the error.
 */
#include "ad_impl.h"

/* SCIOSTART: nothing is known against any depth. Locks: lun_lock. */
void ad_limit_start_locked(struct ad_lun *lun)
{
    SHIM_ASSERT(lun->lun_openings != 0 && shim_lock_is_held(&lun->lun_lock));
    memset(&lun->lun_limit, 0, sizeof(lun->lun_limit));
    lun->lun_limit.lm_top = lun->lun_openings;
    lun->lun_limit.lm_now = lun->lun_openings;
    lun->lun_limit.lm_pause_ns = AD_LIMIT_UP_NS;
}

/* Commands the device has beside this one, which has just come back. */
static uint32_t ad_limit_others_locked(const struct ad_lun *lun, const struct ad_cmd *cmd)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i <= lun->lun_openings; i++)
        n += &lun->lun_cmds[i] != cmd && lun->lun_cmds[i].cmd_state == AD_CMD_PENDING;
    return n;
}

/* A command ended with QUEUE FULL; its slot is still its own. Locks: lun_lock. (NB-16, AIX-18) */
void ad_limit_full_locked(struct ad_lun *lun, const struct ad_cmd *cmd)
{
    struct ad_limit *lm = &lun->lun_limit;
    const uint32_t others = ad_limit_others_locked(lun, cmd);

    lm->lm_fulls++;
    if (cmd->cmd_flags & AD_CMD_CANCEL)
        return;
    if (others == 0 || (cmd->cmd_flags & AD_CMD_UNTAGGED)) {
        lm->lm_alone++;
        return;
    }
    if (others >= lm->lm_now)
        return;
    ad_lane_close_locked(lun);
    lm->lm_pause_ns = others != lm->lm_last                      ? AD_LIMIT_UP_NS
                      : lm->lm_pause_ns * 2 < AD_LIMIT_UP_MAX_NS ? lm->lm_pause_ns * 2
                                                                 : AD_LIMIT_UP_MAX_NS;
    lm->lm_last = others;
    lm->lm_lowered++;
    ad_flight_limit_locked(lun, "QUEUE FULL", lm->lm_now, others);
    lm->lm_now = others;
    lm->lm_up_ns = shim_now_ns() + lm->lm_pause_ns;
    SHIM_ASSERT(lm->lm_now != 0 && lm->lm_now < lm->lm_top);
}

/* A command of a LUN below its top has ended well. Locks: lun_lock. */
void ad_limit_good_locked(struct ad_lun *lun)
{
    struct ad_limit *lm = &lun->lun_limit;
    const uint64_t now = shim_now_ns();

    SHIM_ASSERT(lm->lm_now < lm->lm_top);
    if (now < lm->lm_up_ns)
        return;
    lm->lm_now++;
    lm->lm_raised++;
    lm->lm_up_ns = now + lm->lm_pause_ns;
    if (lm->lm_now == lm->lm_top)
        ad_flight_limit_locked(lun, "no QUEUE FULL since", lm->lm_now - 1u, lm->lm_now);
}

/* SCIOLUNFLOW. Context: any. */
void ad_lun_flow_get(struct ad_lun *lun, struct sc_lun_flow *out)
{
    struct ad_adapter *adp = lun->lun_adp;
    const struct ad_limit *lm = &lun->lun_limit;

    memset(out, 0, sizeof(*out));
    shim_lock_enter(&lun->lun_lock);
    out->id = lun->lun_id;
    out->lun = lun->lun_lun;
    out->limit = lm->lm_now;
    out->limit_max = lm->lm_top;
    out->fulls = lm->lm_fulls;
    out->fulls_alone = lm->lm_alone;
    out->lowered = lm->lm_lowered;
    out->raised = lm->lm_raised;
    out->waits_limit = lm->lm_waits;
    if (lun->lun_nquar != 0)
        ad_quarantine_look_locked(lun, false);
    out->quarantined = lun->lun_nquar;
    out->guards = lun->lun_guards;
    SHIM_ASSERT(lun->lun_ledger.lg_freezes >= lun->lun_ledger.lg_thaws);
    out->frozen = (uint32_t)(lun->lun_ledger.lg_freezes - lun->lun_ledger.lg_thaws);
    out->freezes = lun->lun_ledger.lg_freezes;
    out->thaws = lun->lun_ledger.lg_thaws;
    out->late_thaws = lun->lun_ledger.lg_late;
    shim_lock_enter(&adp->adp_lock);
    out->target_max = adp->adp_targets[lun->lun_id].tg_max;
    out->target_free = adp->adp_targets[lun->lun_id].tg_free;
    out->waits_target = lun->lun_waits_target;
    out->turns = lun->lun_turns;
    out->wait_max_ns = lun->lun_wait_max_ns;
    out->kb_per_s = atomic_load_explicit(&adp->adp_targets[lun->lun_id].tg_kb_per_s, memory_order_relaxed);
    out->mode = atomic_load_explicit(&adp->adp_targets[lun->lun_id].tg_mode, memory_order_relaxed);
    shim_lock_exit(&adp->adp_lock);
    shim_lock_exit(&lun->lun_lock);
}
