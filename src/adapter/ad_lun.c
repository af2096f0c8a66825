/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_lun.c - starting, stopping, halting and resetting one LUN: SCIOSTART and its relatives.
 *
 * All memory of a LUN is one block taken at SCIOSTART: commands, the stack of free tags, long
 * segment lists; 88 KiB at 64 openings on a 64-bit machine. Its head stays until detach
 * (ad_impl.h says why).
 *
 * Does not contain: the ioctl entry and its copying (ad_ioctl.c).
 */
#include "ad_impl.h"

/* Take the memory of a LUN with this many openings and lay it out. 0 or ENOMEM. */
static int ad_lun_alloc(struct ad_lun *lun, uint32_t openings)
{
    const size_t cmds = (openings + 1u) * sizeof(struct ad_cmd);
    const size_t lists = AD_LONG_LISTS * sizeof(struct ad_long);
    const size_t bytes = cmds + lists + 2 * (size_t)openings * sizeof(uint16_t);
    char *mem = shim_alloc(bytes, 64, SHIM_TAG_AD);

    SHIM_ASSERT(lun->lun_mem == NULL && lun->lun_active == 0 && lun->lun_queued == 0);
    if (mem == NULL)
        return ENOMEM;
    lun->lun_mem = mem;
    lun->lun_mem_bytes = bytes;
    lun->lun_cmds = (struct ad_cmd *)(void *)mem;
    lun->lun_long = (struct ad_long *)(void *)(mem + cmds);
    lun->lun_long_free = (1u << AD_LONG_LISTS) - 1u;
    lun->lun_openings = openings;
    ad_tags_start(lun, (uint16_t *)(void *)(mem + cmds + lists));
    for (uint32_t i = 0; i <= openings; i++) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        cmd->cmd_lun = lun;
        cmd->cmd_slot = (uint16_t)i;
        cmd->cmd_map.map_segs = cmd->cmd_segs;
        cmd->cmd_map.map_segs_max = AD_SEGS_INLINE;
        cmd->cmd_xfer.xfer_id = lun->lun_id;
        cmd->cmd_xfer.xfer_lun = lun->lun_lun;
        cmd->cmd_xfer.xfer_tag = (uint16_t)i;
        cmd->cmd_xfer.xfer_map = &cmd->cmd_map;
    }
    return 0;
}

/* Make the head of a LUN nobody has started before. NULL without memory. Locks: adp_open_lock. */
static struct ad_lun *ad_lun_head(struct ad_adapter *adp, unsigned id, unsigned no)
{
    struct ad_lun *lun = shim_alloc(sizeof(*lun), 64, SHIM_TAG_AD);

    SHIM_ASSERT(shim_lock_is_held(&adp->adp_open_lock) && ad_lun_find(adp, id, no) == NULL);
    if (lun == NULL)
        return NULL;
    if (shim_lock_init(&lun->lun_lock, SHIM_RANK_AD_LUN, "ad_lun") != 0) {
        shim_free(lun, sizeof(*lun), 64, SHIM_TAG_AD);
        return NULL;
    }
    lun->lun_adp = adp;
    lun->lun_id = (uint8_t)id;
    lun->lun_lun = (uint8_t)no;
    lun->lun_state = AD_LUN_STOPPED;
    lun->lun_timer_at_ns = UINT64_MAX;
    shim_timer_init(&lun->lun_timer, ad_timer_fire, lun);
    lun->lun_event_sb.bufstruct.b_iodone = ad_event_told;
    lun->lun_event_sb.resvd1 = (void *)lun;
    atomic_store_explicit(&adp->adp_luns[id * adp->adp_caps.cap_luns + no], lun, memory_order_release);
    return lun;
}

/*
 * SCIOSTART. Context: process. Locks: takes adp_open_lock, lun_lock. Returns 0; EINVAL out of range,
 * the adapter's own id, or in use; EIO for lack of memory, as the contract has it. (AIX-25)
 */
int ad_lun_start(struct ad_adapter *adp, unsigned id, unsigned no, long owner)
{
    struct ad_lun *lun;
    int error = EIO;
    bool grows;

    if (id >= adp->adp_caps.cap_ids || no >= adp->adp_caps.cap_luns || id == adp->adp_caps.cap_adapter_id)
        return EINVAL;
    grows = ad_grow_begin(adp);
    if (grows)
        ad_grow(adp, adp->adp_openings + 1u);
    shim_lock_enter(&adp->adp_open_lock);
    lun = ad_lun_find(adp, id, no);
    if (lun == NULL)
        lun = ad_lun_head(adp, id, no);
    if (lun != NULL) {
        shim_lock_enter(&lun->lun_lock);
        if (lun->lun_state != AD_LUN_STOPPED) {
            error = EINVAL;
        } else if (ad_lun_alloc(lun, adp->adp_openings) == 0) {
            lun->lun_owner = owner;
            lun->lun_can_tag = adp->adp_caps.cap_tags_max != 0;
            lun->lun_donq = ad_donq_for(adp, id, no);
            lun->lun_donq_all = lun->lun_donq_push = adp->adp_ndone != 0;
            ad_recover_start_locked(lun);
            lun->lun_timer_lost = false;
            lun->lun_retry_at_ns = 0;
            lun->lun_delay_sb = NULL;
            lun->lun_wait_until_ns = 0;
            lun->lun_accepted = lun->lun_completed = lun->lun_errors = 0;
            lun->lun_flushed = lun->lun_timeouts = lun->lun_refused = 0;
            lun->lun_active_max = 0;
            ad_limit_start_locked(lun);
            ad_openings_set_locked(lun);
            lun->lun_guard = false;
            lun->lun_guard_ns = lun->lun_guard_alone_ns = lun->lun_guards = 0;
            ad_credit_reserve(lun, lun->lun_openings + 1u);
            ad_state_set_locked(lun, AD_LUN_RUN);
            ad_lane_open_locked(lun);
            error = 0;
        }
        shim_lock_exit(&lun->lun_lock);
    }
    shim_lock_exit(&adp->adp_open_lock);
    if (grows)
        ad_grow_end(adp);
    return error;
}

/*
 * Is it started, and may this file stop, halt or reset it? 0, EINVAL not started or another's, EIO
 * on the way out. Locks: lun_lock.
 */
static int ad_lun_owned_locked(const struct ad_lun *lun, long owner)
{
    if (lun->lun_state == AD_LUN_STOPPED ||
        (lun->lun_owner != owner && lun->lun_owner != AD_OWNER_NONE && owner != AD_OWNER_ANY))
        return EINVAL;
    return lun->lun_state == AD_LUN_STOPPING ? EIO : 0;
}

bool ad_lun_is_owner(struct ad_lun *lun, long owner)
{
    bool mine;

    shim_lock_enter(&lun->lun_lock);
    mine = ad_lun_owned_locked(lun, owner) != EINVAL;
    shim_lock_exit(&lun->lun_lock);
    return mine;
}

/* Nothing of this LUN is anywhere but with its owner. */
static bool ad_lun_idle_locked(const struct ad_lun *lun)
{
    SHIM_ASSERT(ad_lane_active_locked(lun) == 0);
    return lun->lun_active == 0 && lun->lun_queued == 0 && lun->lun_flushing == 0 && lun->lun_holds == 0 &&
           lun->lun_responses == 0 && lun->lun_users == 0;
}

/* What a wait on lun_event is for. */
enum ad_lun_until {
    AD_UNTIL_IDLE,   /* nothing is anywhere, and nobody inside */
    AD_UNTIL_FLUSHED /* nothing that was wanted back is out */
};

/*
 * Sleep until that is so, or the time is over. Context: process. Locks: lun_lock, dropped while asleep.
 */
static bool ad_lun_wait_locked(struct ad_lun *lun, enum ad_lun_until until, uint64_t ns)
{
    const uint64_t deadline = shim_now_ns() + ns;
    uint64_t now = deadline - ns;
    uint64_t nap;
    bool done;

    lun->lun_sleepers++;
    for (;;) {
        done = until == AD_UNTIL_IDLE ? ad_lun_idle_locked(lun) && lun->lun_async_running == 0
                                      : lun->lun_cancelled == 0 && lun->lun_flushing == 0;
        if (done || now >= deadline)
            break;
        /* Not shim_wait(): this asks a chip that cannot interrupt. Nobody else may be there to ask for a
         * timer that was not to be had. */
        nap = deadline - now < AD_STAGE_NS ? deadline - now : AD_STAGE_NS;
        (void)e_timedsleep(&lun->lun_event.ev_word, &lun->lun_lock, nap);
        now = shim_now_ns();
        if (SC_UNLIKELY(atomic_load(&lun->lun_adp->adp_timer_lost))) {
            shim_lock_exit(&lun->lun_lock);
            ad_timers_lost(lun->lun_adp);
            shim_lock_enter(&lun->lun_lock);
        }
    }
    lun->lun_sleepers--;
    return done;
}

/*
 * Sleep until all responses that are queued now have been given back and the iodone routines have returned:
 * also those of the lane, which never were in a queue. No routine sleeps, so this ends. Context: process.
 * Locks: lun_lock, dropped while asleep.
 */
static void ad_lun_pushed_locked(struct ad_lun *lun)
{
    const uint32_t last = lun->lun_resp_seq;

    lun->lun_sleepers++;
    while ((int32_t)(last - (lun->lun_resp_seq - lun->lun_responses - lun->lun_in_hand)) > 0)
        (void)e_timedsleep(&lun->lun_event.ev_word, &lun->lun_lock, AD_STAGE_NS);
    lun->lun_sleepers--;
    shim_lock_exit(&lun->lun_lock);
    shim_turns_wait(lun);
    shim_lock_enter(&lun->lun_lock);
}

/*
 * It is idle and takes nothing in: wait for the iodone routines of the lane's requests, too. True unless
 * somebody is inside after all and does not leave. Context: process. Locks: lun_lock, dropped while asleep.
 */
static bool ad_lun_left_locked(struct ad_lun *lun)
{
    shim_lock_exit(&lun->lun_lock);
    shim_turns_wait(lun);
    shim_lock_enter(&lun->lun_lock);
    return ad_lun_wait_locked(lun, AD_UNTIL_IDLE, AD_STAGE_NS);
}

/* Give out what can be given out and call what aborts there are; lun_lock is dropped and retaken. */
static void ad_lun_push_locked(struct ad_lun *lun)
{
    ad_flush_push_locked(lun);
    ad_enter_locked(lun);
    ad_work_unlock(lun);
    shim_lock_enter(&lun->lun_lock);
}

/*
 * SCIOHALT: end the current command, flush the rest, leave the queue halted (AIX-26, NB-21).
 * Context: process. Returns 0; EINVAL not started, or by another file; EIO stopping; ETIMEDOUT when
 * the chip does not bring a command back: the queue is halted all the same.
 */
int ad_lun_halt(struct ad_lun *lun, long owner)
{
    int error;

    shim_lock_enter(&lun->lun_lock);
    error = ad_lun_owned_locked(lun, owner);
    if (error == 0) {
        ad_freeze_locked(lun, AD_FRZ_HALT);
        ad_clear_locked(lun);
        ad_state_set_locked(lun, AD_LUN_HALT);
        ad_lun_push_locked(lun);
        if (!ad_lun_wait_locked(lun, AD_UNTIL_FLUSHED, ad_recover_patience(lun->lun_adp)))
            error = ETIMEDOUT;
        ad_lun_pushed_locked(lun);
    }
    shim_lock_exit(&lun->lun_lock);
    if (error == ETIMEDOUT)
        ad_log(lun->lun_adp, ERRID_SCSI_ERR1, false, "SCIOHALT: a command did not come back in time");
    return error;
}

/* Everything a started LUN holds, given back. The LUN is idle. Locks: enters with lun_lock, leaves without.
 */
static void ad_lun_release_unlock(struct ad_lun *lun)
{
    void *mem = lun->lun_mem;
    const size_t bytes = lun->lun_mem_bytes;

    ad_quarantine_look_locked(lun, true);
    SHIM_ASSERT(lun->lun_nfree == lun->lun_openings && lun->lun_responses == 0 && lun->lun_users == 0);
    SHIM_ASSERT(lun->lun_long_free == (1u << AD_LONG_LISTS) - 1u);
    SHIM_ASSERT(lun->lun_frozen == 0); /* whoever leaves a LUN that stops has seen to that */
    SHIM_ASSERT(lun->lun_async_running == 0 && !lun->lun_pushing && !lun->lun_donq_listed);
    SHIM_ASSERT(lun->lun_accepted == lun->lun_completed && lun->lun_queued + lun->lun_flushing == 0);
    SHIM_ASSERT(lun->lun_cancelled + lun->lun_aborts + lun->lun_overdue + lun->lun_hit == 0);
    ad_stats_keep_locked(lun);
    ad_state_set_locked(lun, AD_LUN_STOPPED);
    lun->lun_async_func = NULL;
    lun->lun_async_correlator = NULL;
    lun->lun_mem = NULL;
    lun->lun_mem_bytes = 0;
    lun->lun_cmds = NULL;
    lun->lun_free = NULL;
    lun->lun_quar = NULL;
    lun->lun_long = NULL;
    lun->lun_openings = 0;
    lun->lun_nfree = 0;
    lun->lun_timer_at_ns = UINT64_MAX;
    (void)shim_timer_cancel(&lun->lun_timer);
    lun->lun_timer_lost = false;
    ad_credit_unreserve(lun);
    lun->lun_shared = false;
    shim_lock_exit(&lun->lun_lock);
    shim_free(mem, bytes, 64, SHIM_TAG_AD);
    ad_serve(lun->lun_adp);
}

/*
 * The chip has nothing of a LUN that takes nothing in: wait for its thread to give back the rest, however
 * long that is kept off its processor. True: nothing is left. Context: process. Locks: lun_lock, dropped
 * while asleep.
 */
static bool ad_lun_emptied_locked(struct ad_lun *lun)
{
    const bool waits = lun->lun_donq != NULL && !ad_donq_is_me(lun->lun_donq);

    while (waits && lun->lun_active == 0 && !ad_lun_wait_locked(lun, AD_UNTIL_IDLE, AD_STAGE_NS))
        ;
    return lun->lun_active == 0 && lun->lun_async_running == 0 && ad_lun_idle_locked(lun) &&
           ad_lun_left_locked(lun);
}

/* Detach finds a LUN whose file is gone and whose last command may have come home since. */
int ad_lun_stop_now(struct ad_lun *lun)
{
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state != AD_LUN_STOPPED && lun->lun_state != AD_LUN_STOPPING) {
        ad_state_set_locked(lun, AD_LUN_STOPPING);
        ad_clear_locked(lun);
        ad_lun_push_locked(lun);
        if (ad_lun_emptied_locked(lun)) {
            ad_lun_release_unlock(lun);
            return 0;
        }
        ad_state_set_locked(lun, AD_LUN_HALT);
    }
    if (lun->lun_state == AD_LUN_STOPPED) {
        shim_lock_exit(&lun->lun_lock);
        return 0;
    }
    shim_lock_exit(&lun->lun_lock);
    return EBUSY;
}

/*
 * SCIOSTOP: refuse new requests, wait for the old ones, give the memory back. A queue kept after an
 * error would wait for ever for its device driver, so it is flushed; and so is everything when the
 * device takes too long. (NB-21)
 * Context: process. Returns 0; EINVAL not started, by another file, or stopping already; ETIMEDOUT
 * when the chip keeps a command: then the LUN stays started, halted.
 */
int ad_lun_stop(struct ad_lun *lun, long owner)
{
    bool kept;
    bool idle;

    shim_lock_enter(&lun->lun_lock);
    if (ad_lun_owned_locked(lun, owner) != 0) {
        shim_lock_exit(&lun->lun_lock);
        return EINVAL;
    }
    kept = lun->lun_state != AD_LUN_RUN;
    ad_state_set_locked(lun, AD_LUN_STOPPING);
    if (kept)
        ad_clear_locked(lun);
    ad_lun_push_locked(lun);
    idle = ad_lun_wait_locked(lun, AD_UNTIL_IDLE, AD_STOP_WAIT_NS);
    if (!idle) {
        ad_clear_locked(lun);
        ad_lun_push_locked(lun);
        idle = ad_lun_wait_locked(lun, AD_UNTIL_IDLE, ad_recover_patience(lun->lun_adp));
    }
    if (idle)
        idle = ad_lun_left_locked(lun);
    if (!idle) {
        ad_state_set_locked(lun, AD_LUN_HALT);
        shim_lock_exit(&lun->lun_lock);
        ad_log(lun->lun_adp, ERRID_SCSI_ERR1, false, "SCIOSTOP: a command did not come back in time");
        return ETIMEDOUT;
    }
    ad_lun_release_unlock(lun);
    return 0;
}

/* Context: process. Whatever becomes of it, it is nobody's afterwards, unless somebody else has it. */
void ad_lun_orphan(struct ad_lun *lun, long owner)
{
    bool mine;

    shim_lock_enter(&lun->lun_lock);
    mine = lun->lun_state != AD_LUN_STOPPED && lun->lun_owner == owner;
    if (mine)
        lun->lun_async_func = NULL; /* whatever SCIOSTOP says, nobody is called any more */
    shim_lock_exit(&lun->lun_lock);
    if (!mine || ad_lun_stop(lun, owner) == 0)
        return;
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state != AD_LUN_STOPPED && lun->lun_owner == owner)
        lun->lun_owner = AD_OWNER_NONE;
    shim_lock_exit(&lun->lun_lock);
}

/*
 * SCIORESET: bus device reset to the LUN's target, or, when the chip is cut off, an attempt to have it begin
 * anew. Context: process; until the devices have come to. 0; EINVAL not started, by another file, or
 * stopping; EIO.
 */
int ad_lun_reset(struct ad_lun *lun, long owner)
{
    bool allowed;

    shim_lock_enter(&lun->lun_lock);
    allowed = ad_lun_owned_locked(lun, owner) == 0;
    shim_lock_exit(&lun->lun_lock);
    return allowed ? ad_recover_ask(lun->lun_adp, lun->lun_id) : EINVAL;
}
