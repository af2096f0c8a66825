/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_scope.c - what a round of the recovery is about: the LUNs in its scope, the resets whose end is to be
 * told, and what is taken back when the chip has let go of everything.
 *
 * Does not contain: when any of this is done (ad_round.c), why (the head of ad_recover.c).
 */
#include "ad_recover.h"

/* ---------------------------------------------------------------- scope */

/* The i-th LUN with its lock, if it is started and the round is about it; else NULL. */
static struct ad_lun *ad_scope_lock(struct ad_adapter *adp, unsigned i)
{
    struct ad_lun *lun = ad_lun_at(adp, i);

    if (lun == NULL || !(adp->adp_rec.rec_scope[lun->lun_id] & (1u << lun->lun_lun)))
        return NULL;
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state != AD_LUN_STOPPED)
        return lun;
    shim_lock_exit(&lun->lun_lock);
    return NULL;
}

/*
 * Gate what is in the scope, let go what is no longer: it goes to the adapter's list, to be looked at. A LUN
 * that starts meanwhile either sees the new scope or is seen here.
 */
void ad_scope_set(struct ad_adapter *adp, const uint32_t scope[SC_IDS_MAX])
{
    shim_lock_enter(&adp->adp_lock);
    memcpy(adp->adp_rec.rec_scope, scope, sizeof(adp->adp_rec.rec_scope));
    shim_lock_exit(&adp->adp_lock);
    shim_sched_point();
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        if (lun->lun_state == AD_LUN_STOPPED) {
            lun->lun_gate = 0;
        } else if (scope[lun->lun_id] & (1u << lun->lun_lun)) {
            ad_gate_set_locked(lun, AD_GATE_RESET);
        } else if (lun->lun_gate & AD_GATE_RESET) {
            SHIM_ASSERT(lun->lun_hit == 0); /* the stage is over */
            lun->lun_gate &= ~AD_GATE_RESET;
            shim_lock_enter(&adp->adp_lock);
            ad_run_append_locked(adp, lun);
            shim_lock_exit(&adp->adp_lock);
        }
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Is anything of the scope on its way to the chip? */
bool ad_scope_starting(struct ad_adapter *adp)
{
    bool starting = false;

    for (unsigned i = 0; i < ad_lun_count(adp) && !starting; i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        starting = lun->lun_starting != 0;
        shim_lock_exit(&lun->lun_lock);
    }
    return starting;
}

/* The ids from which something is missing that should be back. */
uint32_t ad_scope_missing(struct ad_adapter *adp)
{
    uint32_t missing = 0;

    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        if (lun->lun_overdue + lun->lun_hit != 0)
            missing |= 1u << lun->lun_id;
        shim_lock_exit(&lun->lun_lock);
    }
    return missing;
}

/* Is anything overdue? */
bool ad_scope_overdue(struct ad_adapter *adp)
{
    bool overdue = false;

    for (unsigned i = 0; i < ad_lun_count(adp) && !overdue; i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        overdue = lun->lun_overdue != 0;
        shim_lock_exit(&lun->lun_lock);
    }
    return overdue;
}

/* The chip is about to be asked: it has to bring back whatever it has now. */
void ad_scope_mark(struct ad_adapter *adp)
{
    static const char *const names[] = {"", "LUN reset", "target reset", "bus reset", "adapter reset"};
    const uint8_t rung = adp->adp_rec.rec_rung;

    SHIM_ASSERT(rung >= AD_RUNG_LUN && rung <= AD_RUNG_ADAPTER && !ad_waits(adp));
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        for (uint32_t k = 0; k <= lun->lun_openings && lun->lun_active != 0; k++) {
            struct ad_cmd *cmd = &lun->lun_cmds[k];

            if (cmd->cmd_state != AD_CMD_PENDING)
                continue;
            SHIM_ASSERT(!(cmd->cmd_flags & AD_CMD_HIT));
            cmd->cmd_flags |= AD_CMD_HIT;
            lun->lun_hit++;
        }
        if (lun->lun_overdue != 0)
            ad_flight_rung_locked(lun, names[rung]);
        shim_lock_exit(&lun->lun_lock);
    }
}

/*
 * The stage is over: what has not come back is overdue, and this rung has been tried for it. A chip that was
 * not asked is asked when others have had their turn.
 */
void ad_scope_unmark(struct ad_adapter *adp, uint64_t now)
{
    const uint8_t rung = adp->adp_rec.rec_lost ? AD_RUNG_LOST : adp->adp_rec.rec_rung;

    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_scope_lock(adp, i);

        if (lun == NULL)
            continue;
        for (uint32_t k = 0; k <= lun->lun_openings && lun->lun_hit != 0; k++) {
            struct ad_cmd *cmd = &lun->lun_cmds[k];

            if (!(cmd->cmd_flags & AD_CMD_HIT))
                continue;
            cmd->cmd_flags &= (uint16_t)~AD_CMD_HIT;
            lun->lun_hit--;
            if (cmd->cmd_stage != AD_STAGE_OVERDUE)
                ad_recover_overdue_locked(lun, cmd);
        }
        SHIM_ASSERT(lun->lun_hit == 0);
        if (lun->lun_overdue != 0 && lun->lun_rung < rung) {
            if (!adp->adp_rec.rec_unasked)
                lun->lun_rung = rung;
            if (rung != AD_RUNG_LOST) /* which has the time of the next bus reset there */
                lun->lun_again_ns = adp->adp_rec.rec_unasked ? now + AD_ADAPTER_NS : 0;
        }
        shim_lock_exit(&lun->lun_lock);
    }
}

/* Every LUN's word why it is out of service: those bits away, these to it. */
void ad_offline_set(struct ad_adapter *adp, uint8_t away, uint8_t to, uint32_t ids)
{
    SHIM_ASSERT((away & to) == 0 && !shim_lock_is_held(&adp->adp_lock));
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL || !(ids & (1u << lun->lun_id)))
            continue;
        shim_lock_enter(&lun->lun_lock);
        /* Out of service it goes in a round only, which has gated it, and so closed its lane. */
        SHIM_ASSERT(to == 0 || !ad_lane_is_open_locked(lun));
        lun->lun_offline = (uint8_t)((lun->lun_offline & ~away) | to);
        shim_lock_exit(&lun->lun_lock);
    }
}

/* ---------------------------------------------------------------- resets whose end is to be told */

static uint32_t *ad_wait_word(struct ad_recovery *rec, enum ad_hw_reset which, unsigned id, unsigned lun,
                              uint32_t *bit)
{
    SHIM_ASSERT(id < SC_IDS_MAX && lun < SC_LUNS_MAX && (unsigned)which <= AD_RESET_ADAPTER);
    *bit = 1u << (which == AD_RESET_LUN ? lun : which == AD_RESET_TARGET ? id : (unsigned)which);
    return which == AD_RESET_LUN      ? &rec->rec_wait[id]
           : which == AD_RESET_TARGET ? &rec->rec_wait_ids
                                      : &rec->rec_wait_all;
}

/* It has ended, or failed. False: nobody waits for it. Locks: adp_lock. */
static bool ad_wait_end_locked(struct ad_recovery *rec, enum ad_hw_reset which, unsigned id, unsigned lun,
                               int error)
{
    uint32_t bit;
    uint32_t *word = ad_wait_word(rec, which, id, lun, &bit);

    if (!(*word & bit))
        return false;
    *word &= ~bit;
    if (error == 0) {
        rec->rec_reset = true;
        return true;
    }
    if (rec->rec_error == 0)
        rec->rec_error = error;
    if (which != AD_RESET_LUN) /* which is nobody's SCIORESET */
        rec->rec_failed_ids |= which == AD_RESET_TARGET ? bit : AD_ALL;
    return true;
}

bool ad_waits(struct ad_adapter *adp)
{
    struct ad_recovery *rec = &adp->adp_rec;
    uint32_t any;

    shim_lock_enter(&adp->adp_lock);
    any = rec->rec_wait_ids | rec->rec_wait_all;
    for (unsigned id = 0; id < SC_IDS_MAX; id++)
        any |= rec->rec_wait[id];
    shim_lock_exit(&adp->adp_lock);
    return any != 0;
}

void ad_hw_reset_done(struct ad_adapter *ad, enum ad_hw_reset which, unsigned id, unsigned lun, int error)
{
    bool mine;

    if ((unsigned)which > AD_RESET_ADAPTER || id >= SC_IDS_MAX || lun >= SC_LUNS_MAX)
        return;
    shim_lock_enter(&ad->adp_lock);
    mine = ad_wait_end_locked(&ad->adp_rec, which, id, lun, error);
    shim_lock_exit(&ad->adp_lock);
    if (!mine)
        return;
    ad_recover(ad);
    ad_serve(ad);
}

static int ad_reset_do(struct ad_adapter *adp, enum ad_hw_reset which, unsigned id, unsigned lun)
{
    const struct ad_hw_ops *ops = adp->adp_ops;

    switch (which) {
    case AD_RESET_LUN:
        return ops->reset_lun(adp->adp_hw, id, lun);
    case AD_RESET_TARGET:
        return ops->reset_target(adp->adp_hw, id);
    case AD_RESET_BUS:
        return ops->reset_bus(adp->adp_hw);
    default:
        return ops->reset_adapter(adp->adp_hw);
    }
}

/* Ask the chip for one reset. No lock held; it may call back from here. */
void ad_reset_call(struct ad_adapter *adp, enum ad_hw_reset which, unsigned id, unsigned lun)
{
    static const char *const names[] = {"LUN", "target", "bus", "adapter"};
    struct ad_recovery *rec = &adp->adp_rec;
    char text[ERR_TEXT_MAX];
    uint32_t bit;
    uint32_t *word = ad_wait_word(rec, which, id, lun, &bit);
    int said;

    shim_lock_enter(&adp->adp_lock);
    adp->adp_resets++;
    SHIM_ASSERT(!(*word & bit)); /* each once in a round */
    *word |= bit;
    shim_lock_exit(&adp->adp_lock);
    if (rec->rec_asking == NULL) {
        (void)kern_format(text, sizeof(text), "a command did not come back: %s reset (id %u lun %u)",
                          names[which], id, lun);
        ad_log(adp, ERRID_SCSI_ERR1, true, text);
    }
    TRCHKL2T(HKWD_AD_RESET, TRC_LUN(adp->adp_devno, id, lun), which);
    shim_sched_point();
    said = ad_reset_do(adp, which, id, lun);
    shim_sched_point();
    if (said == AD_HW_RESETTING)
        return;
    rec->rec_blind = rec->rec_blind || said == 0;
    shim_lock_enter(&adp->adp_lock);
    (void)ad_wait_end_locked(rec, which, id, lun, said);
    shim_lock_exit(&adp->adp_lock);
}

/* ---------------------------------------------------------------- the chip has let go of everything */

/* Take back what this LUN has at the chip, which has not handed it back and will not. */
static void ad_take_back_lun(struct ad_lun *lun, bool offline)
{
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state == AD_LUN_STOPPED) {
        shim_lock_exit(&lun->lun_lock);
        return;
    }
    ad_enter_locked(lun);
    if (offline && lun->lun_overdue != 0) {
        lun->lun_offline |= AD_OFF_LUN;
        ad_flight_rung_locked(lun, "out of service");
    }
    for (uint32_t i = 0; i <= lun->lun_openings && lun->lun_active != 0; i++) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (cmd->cmd_state != AD_CMD_PENDING)
            continue;
        SHIM_ASSERT(!(cmd->cmd_flags & (AD_CMD_TAKEN | AD_CMD_REFUSED)));
        cmd->cmd_flags |= AD_CMD_TAKEN;
        cmd->cmd_xfer.xfer_result = AD_RES_BUS_RESET;
        cmd->cmd_xfer.xfer_scsi_status = SC_GOOD_STATUS;
        cmd->cmd_xfer.xfer_resid = cmd->cmd_xfer.xfer_bytes;
        if (!ad_recover_home_locked(lun, cmd))
            continue; /* whoever is inside abort() completes it */
        shim_lock_exit(&lun->lun_lock);
        ad_complete_lock(cmd);
    }
    ad_work_unlock(lun);
}

static void ad_take_back(struct ad_adapter *adp, bool offline)
{
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun != NULL)
            ad_take_back_lun(lun, offline);
    }
}

static void ad_offline_note(struct ad_adapter *adp, bool offline)
{
    shim_lock_enter(&adp->adp_lock);
    adp->adp_rec.rec_offline = offline;
    shim_lock_exit(&adp->adp_lock);
    if (offline)
        ad_offline_set(adp, 0, AD_OFF_ADAPTER, AD_ALL);
    else
        ad_offline_set(adp, AD_OFF_ADAPTER, 0, AD_ALL);
}

/* The adapter reset has ended well. */
void ad_adapter_anew(struct ad_adapter *adp)
{
    const bool overdue = ad_scope_overdue(adp);

    ad_take_back(adp, true);
    if (adp->adp_rec.rec_offline)
        ad_offline_note(adp, false);
    if (overdue)
        ad_log(adp, ERRID_SCSI_ERR1, false,
               "the adapter was reset for a command that no other reset brought back: its LUN is out of "
               "service");
}

/* The adapter reset has failed, or there is none. */
void ad_adapter_off(struct ad_adapter *adp)
{
    SHIM_ASSERT(adp->adp_rec.rec_rung == AD_RUNG_ADAPTER && adp->adp_rec.rec_running);
    if (adp->adp_ops->isolate == NULL)
        return; /* what is missing is lost */
    shim_sched_point();
    adp->adp_ops->isolate(adp->adp_hw);
    shim_sched_point();
    if (!adp->adp_rec.rec_offline) {
        ad_offline_note(adp, true);
        ad_log(adp, ERRID_SCSI_ERR2, false,
               "the adapter cannot be reset: it is cut off from memory and out of service");
        ad_event_deliver(adp, SC_FATAL_HDW_ERR);
    }
    ad_take_back(adp, false);
}
