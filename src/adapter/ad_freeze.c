/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_freeze.c - who keeps a LUN from starting commands, how often, since when; and what becomes of a freeze
 * whose owner never thaws it.
 *
 * Each freeze is counted for its owner, and each thaw is one owner's (NB-11):
 *
 *   ERROR  the chip, for a command that failed; undone when the queue runs again
 *   CORE   the core, for one that it took back, or that never reached the chip; likewise
 *   HALT   SCIOHALT; likewise
 *   SENSE  an ioctl that has yet to fetch its sense data; undone by that ioctl (AD_GATE_HOLD)
 *   GROW   the adapter, while its chip is asked for more room (ad_grow.c); undone when it has answered
 * (AD_GATE_GROW)
 *
 * The first three are the chip's own count, lun_frozen, and go together. All are zero when the LUN is idle
 * and its queue runs: ad_ledger_idle() says whether that is so, for tests and simulations.
 *
 * *Time.* SENSE and GROW belong to somebody who is at work: after AD_FREEZE_NS nobody is. Then the freeze is
 * undone by the LUN's timer, the log says whose it was, and the owner's own thaw, should it still come,
 * finds it done (lg_debt). An ioctl whose REQUEST SENSE is with us is at work however long that takes: the
 * command has its own time. A queue that is kept after an error waits for its device driver, whose contract
 * gives it all the time it wants (AIX-22): after AD_FREEZE_NS with requests in it the log says so, once, and
 * nothing else is done. A halted queue is empty and waits for nobody.
 *
 * Does not contain: when a queue is halted or kept (ad_done.c), the chip's side (scpair/ad_hw.h).
 */
#include "ad_impl.h"

static const char *const ad_freeze_names[AD_FRZ_OWNERS] = {
    "a failed command", "a command taken back", "SCIOHALT", "an ioctl's sense data", "a growing adapter"};

/* ---------------------------------------------------------------- the ledger */

static void ad_ledger_add_locked(struct ad_lun *lun, enum ad_freeze_owner owner)
{
    struct ad_ledger *lg = &lun->lun_ledger;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    if (lg->lg_now[owner]++ == 0)
        lg->lg_since_ns[owner] = shim_now_ns();
    lg->lg_freezes++;
}

/* False: it had been undone before its owner came. */
static bool ad_ledger_sub_locked(struct ad_lun *lun, enum ad_freeze_owner owner)
{
    struct ad_ledger *lg = &lun->lun_ledger;

    SHIM_ASSERT(owner < AD_FRZ_OWNERS && shim_lock_is_held(&lun->lun_lock));
    if (SC_UNLIKELY(lg->lg_debt[owner] != 0)) {
        lg->lg_debt[owner]--;
        return false;
    }
    SHIM_ASSERT(lg->lg_now[owner] > 0);
    lg->lg_now[owner]--;
    lg->lg_thaws++;
    return true;
}

/* ---------------------------------------------------------------- the chip's count */

/* The chip starts nothing more of this LUN, whoever has picked it (NB-11). Locks: lun_lock. */
void ad_freeze_locked(struct ad_lun *lun, enum ad_freeze_owner owner)
{
    struct ad_adapter *adp = lun->lun_adp;

    SHIM_ASSERT(owner <= AD_FRZ_HALT); /* the others have a gate */
    if (adp->adp_ops->freeze == NULL)
        return;
    adp->adp_ops->freeze(adp->adp_hw, lun->lun_id, lun->lun_lun);
    lun->lun_frozen++;
    ad_ledger_add_locked(lun, owner);
}

/* The chip has done so itself, for a command that failed. Locks: lun_lock. */
void ad_freeze_noted_locked(struct ad_lun *lun)
{
    if (lun->lun_adp->adp_ops->freeze == NULL)
        return;
    lun->lun_frozen++;
    ad_ledger_add_locked(lun, AD_FRZ_ERROR);
}

/*
 * The queue runs, or has ended: undo all freezes we know of (NB-11). Those of commands that have failed
 * meanwhile, and are still on their way to us, stay. What was turned away looks again. Locks: lun_lock.
 */
void ad_thaw_locked(struct ad_lun *lun)
{
    struct ad_adapter *adp = lun->lun_adp;
    const uint32_t n = lun->lun_frozen;

    SHIM_ASSERT(n != 0 && adp->adp_ops->thaw != NULL);
    lun->lun_frozen = 0;
    for (unsigned owner = AD_FRZ_ERROR; owner <= AD_FRZ_HALT; owner++)
        while (lun->lun_ledger.lg_now[owner] != 0)
            (void)ad_ledger_sub_locked(lun, (enum ad_freeze_owner)owner);
    adp->adp_ops->thaw(adp->adp_hw, lun->lun_id, lun->lun_lun, n);
    lun->lun_gate &= ~AD_GATE_FROZEN;
}

/* ---------------------------------------------------------------- gates with an owner */

static uint32_t ad_freeze_gate(enum ad_freeze_owner owner)
{
    return owner == AD_FRZ_SENSE ? AD_GATE_HOLD : AD_GATE_GROW;
}

/* SENSE or GROW begins. Locks: lun_lock. */
void ad_freeze_gate_locked(struct ad_lun *lun, enum ad_freeze_owner owner)
{
    SHIM_ASSERT(owner == AD_FRZ_SENSE || owner == AD_FRZ_GROW);
    ad_gate_set_locked(lun, ad_freeze_gate(owner));
    ad_ledger_add_locked(lun, owner);
    if (owner == AD_FRZ_SENSE)
        lun->lun_holds++;
    (void)ad_timer_want_locked(lun, lun->lun_ledger.lg_since_ns[owner] + AD_FREEZE_NS);
}

/* It ends; whoever calls looks at the queue then. Locks: lun_lock. */
void ad_thaw_gate_locked(struct ad_lun *lun, enum ad_freeze_owner owner)
{
    if (!ad_ledger_sub_locked(lun, owner))
        return;
    SHIM_ASSERT(owner != AD_FRZ_SENSE || lun->lun_holds > 0);
    if (owner == AD_FRZ_SENSE)
        lun->lun_holds--;
    if (lun->lun_ledger.lg_now[owner] == 0)
        lun->lun_gate &= ~ad_freeze_gate(owner);
}

/* ---------------------------------------------------------------- time */

/* Does a queue wait for its device driver? Then since when, else 0. */
static uint64_t ad_kept_since_locked(const struct ad_lun *lun)
{
    const bool kept = lun->lun_state == AD_LUN_KEEP || lun->lun_state == AD_LUN_REC_DONE;

    return kept && lun->lun_queued != 0 && lun->lun_ledger.lg_told != lun->lun_episode ? lun->lun_halted_ns
                                                                                       : 0;
}

/* When the LUN's timer is to look after its freezes; UINT64_MAX never. Locks: lun_lock. */
uint64_t ad_freeze_when_locked(const struct ad_lun *lun)
{
    const struct ad_ledger *lg = &lun->lun_ledger;
    uint64_t first = UINT64_MAX;

    for (unsigned owner = AD_FRZ_SENSE; owner <= AD_FRZ_GROW; owner++)
        if (lg->lg_now[owner] != 0 && lg->lg_since_ns[owner] < first)
            first = lg->lg_since_ns[owner];
    if (ad_kept_since_locked(lun) != 0 && lun->lun_halted_ns < first)
        first = lun->lun_halted_ns;
    return first == UINT64_MAX ? first : first + AD_FREEZE_NS;
}

/* Is the ioctl at work: is its REQUEST SENSE with us? */
static bool ad_sense_out_locked(const struct ad_lun *lun)
{
    return lun->lun_sense.l_head != NULL || lun->lun_cmds[lun->lun_openings].cmd_state != AD_CMD_FREE;
}

/* The timer looks: whose time is over? Locks: lun_lock. */
void ad_freeze_look_locked(struct ad_lun *lun, uint64_t now)
{
    struct ad_ledger *lg = &lun->lun_ledger;
    uint32_t late;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock) && lun->lun_cmds != NULL);
    for (unsigned owner = AD_FRZ_SENSE; owner <= AD_FRZ_GROW; owner++) {
        if (lg->lg_now[owner] == 0 || now < lg->lg_since_ns[owner] + AD_FREEZE_NS)
            continue;
        if (owner == AD_FRZ_SENSE && ad_sense_out_locked(lun)) {
            lg->lg_since_ns[owner] = now;
            continue;
        }
        ad_flight_rung_locked(lun, "thawed, not by its owner");
        shim_log(SHIM_LOG_ERROR, "%s: %d,%d: %s has kept it frozen for %u s: thawed", lun->lun_adp->adp_name,
                 lun->lun_id, lun->lun_lun, ad_freeze_names[owner], (unsigned)(AD_FREEZE_NS / AD_NS_PER_S));
        late = lg->lg_now[owner];
        while (lg->lg_now[owner] != 0)
            ad_thaw_gate_locked(lun, (enum ad_freeze_owner)owner);
        lg->lg_late += late;
        lg->lg_debt[owner] += late; /* its owners' own thaws are still to come */
    }
    if (ad_kept_since_locked(lun) != 0 && now >= lun->lun_halted_ns + AD_FREEZE_NS) {
        lg->lg_told = lun->lun_episode;
        ad_flight_rung_locked(lun, "waits for its driver");
        shim_log(SHIM_LOG_ERROR, "%s: %d,%d: %u requests wait behind an error that nobody looks after",
                 lun->lun_adp->adp_name, lun->lun_id, lun->lun_lun, (unsigned)lun->lun_queued);
    }
}

/* ---------------------------------------------------------------- looking */

/* Does it add up? NULL, or what does not. Locks: lun_lock. */
const char *ad_ledger_check_locked(const struct ad_lun *lun)
{
    const struct ad_ledger *lg = &lun->lun_ledger;
    uint64_t now = 0;

    for (unsigned owner = 0; owner < AD_FRZ_OWNERS; owner++)
        now += lg->lg_now[owner];
    if (lg->lg_freezes - lg->lg_thaws != now)
        return "freezes and thaws do not add up";
    if (lg->lg_now[AD_FRZ_ERROR] + lg->lg_now[AD_FRZ_CORE] + lg->lg_now[AD_FRZ_HALT] != lun->lun_frozen)
        return "the chip's freezes are not the ledger's";
    if (lg->lg_now[AD_FRZ_SENSE] != lun->lun_holds)
        return "the holds are not the ledger's";
    if ((lg->lg_now[AD_FRZ_GROW] != 0) != ((lun->lun_gate & AD_GATE_GROW) != 0))
        return "the gate of a growing adapter is wrong";
    return NULL;
}

/*
 * When all is quiet: is any LUN whose queue runs, or that is stopped, frozen by anybody? Context: any; no
 * lock held. NULL, or by whom.
 */
const char *ad_ledger_idle(struct ad_adapter *adp)
{
    const char *who = NULL;

    for (unsigned i = 0; i < ad_lun_count(adp) && who == NULL; i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        shim_lock_enter(&lun->lun_lock);
        who = ad_ledger_check_locked(lun);
        for (unsigned owner = 0; owner < AD_FRZ_OWNERS && who == NULL; owner++)
            if (lun->lun_ledger.lg_now[owner] != 0 &&
                (lun->lun_state == AD_LUN_RUN || lun->lun_state == AD_LUN_STOPPED || owner >= AD_FRZ_SENSE))
                who = ad_freeze_names[owner];
        shim_lock_exit(&lun->lun_lock);
    }
    return who;
}
