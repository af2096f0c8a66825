/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_lane.c - the good path past an idle queue: one atomic operation in, one out, no lock.
 *
 * Does not contain: anything about errors, waiting or order. Whatever is not plain leaves the lane.
 *
 * With a chip that ends commands inside start(), the queue of a LUN is empty nearly always, and
 * two holds of lun_lock would be half the cost of a command. The lane is a few words: in each
 * AD_LANE_OPEN and a bit for each free slot that belongs to this word. While it is open
 *
 *     the state is AD_LUN_RUN, no gate is set, nothing is queued or flushing, and the LUN's
 *     openings are backed by reserved credits,
 *
 * so that a SIMPLE tagged request without flags has nothing to wait for: it takes a bit with one
 * compare-and-swap, runs, and gives the bit back with another. Both work only on an open word.
 *
 * There are several words because a cache line that two threads write in turn costs more than all the
 * rest of a command. A thread begins with the word that its number names, so that threads that are alone
 * there have bits, commands and all that goes with a tag to themselves; it goes on to the others when it
 * finds no free bit, and gives up where it finds a closed one.
 *
 * Who is about to change any of the above closes the lane first, under lun_lock
 * (ad_lane_close_locked), word by word, and changes nothing before the last is closed: until then a
 * thread may still come in where it is open, as it might have a moment earlier. From the bits missing
 * when he closed their words he knows exactly which slots are in use, and turns each into an ordinary command
 * in AD_CMD_STARTING, older than anything queued after. Its thread finds the lane closed when it comes back
 * and ends it under the lock, in ad_complete_lock(), like any other. The closer never touches what that
 * thread writes (request, transfer, map) and the thread never touches what the closer writes (state, flags,
 * sequence), until it has seen the lane closed.
 *
 * A command that does not end well inside start() closes the lane itself and goes on as an
 * ordinary one: its owner is told the same whichever way it took (CAM-07). The lane opens again after
 * AD_LANE_STREAK ordinary commands in a row have ended inside start(); so a chip that pends, as real
 * ones do, pays for the lane once. And not before every thread that was in it has ended its command:
 * one that slept through closing and opening would take the new lane for the one it entered.
 *
 * Order of release (XEN-01): map, then slot, then iodone; there is no other resource. The slot's
 * return is one atomic step, which is why it needs no mutex around queue, release and push.
 *
 * iodone comes after everything has been given back, when nothing in the LUN shows that it is still to come.
 * So the thread notes in its own record that it is in a turn of this LUN (shim_turn_begin()), before it takes
 * a slot; SCIOSTOP and SCIOHALT wait for such turns. A thread too deep in iodone routines has no lane.
 *
 * Rejected: a lock-free queue. The lane needs none, because it is open only while there is nothing
 * to queue. Rejected: a reader-writer lock; its readers write the same word twice as well and
 * need the tag besides. Rejected: a slot of its own for each thread: threads come and go, slots are few.
 */
#include "ad_impl.h"

/* Is this slot in use in the lane? Locks: lun_lock. */
bool ad_lane_has_locked(const struct ad_lun *lun, const struct ad_cmd *cmd)
{
    return ad_lane_is_open_locked(lun) && cmd->cmd_slot < AD_LANE_SLOTS &&
           (ad_lane_slots(lun) & ~ad_lane_free_locked(lun) & (1u << cmd->cmd_slot));
}

/*
 * Open the lane with the free slots it may have, unless something speaks against it. Commands that
 * are active go on as ordinary ones beside it. Locks: lun_lock.
 */
void ad_lane_open_locked(struct ad_lun *lun)
{
    uint32_t slots = 0;

    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    lun->lun_lane_streak = 0;
    if (lun->lun_state != AD_LUN_RUN || lun->lun_gate != 0 || lun->lun_queued != 0 ||
        lun->lun_flushing != 0 || lun->lun_frozen != 0 || lun->lun_shared || !lun->lun_can_tag ||
        lun->lun_lane_left != 0 || lun->lun_timer_lost || lun->lun_offline != 0 ||
        lun->lun_limit.lm_now != lun->lun_openings || lun->lun_donq_all || ad_lane_is_open_locked(lun))
        return;
    if (lun->lun_guard || !ad_guard_lane_locked(lun))
        return;
    for (uint32_t n = lun->lun_nfree; n > 0; n--) {
        const uint16_t slot = ad_tag_take_locked(lun);

        if (slot < AD_LANE_SLOTS)
            slots |= 1u << slot;
        else
            ad_tag_give_locked(lun, slot);
    }
    atomic_store_explicit(&lun->lun_lane_slots, slots, memory_order_relaxed);
    /* Release: who finds the lane open also finds the memory of its slots. */
    for (unsigned w = 0; w < AD_LANE_WORDS; w++) {
        shim_sched_point();
        atomic_store_explicit(&lun->lun_lane[w].lane_free, AD_LANE_OPEN | (slots & AD_LANE_WORD_0 << w),
                              memory_order_release);
    }
}

/* Close it; what is in it becomes ordinary. Locks: lun_lock. */
void ad_lane_close_locked(struct ad_lun *lun)
{
    const uint32_t slots = ad_lane_slots(lun);
    uint32_t lane = 0;

    if (SC_LIKELY(!ad_lane_is_open_locked(lun)))
        return;
    SHIM_ASSERT(shim_lock_is_held(&lun->lun_lock));
    for (unsigned w = 0; w < AD_LANE_WORDS; w++) {
        shim_sched_point();
        lane |= atomic_exchange_explicit(&lun->lun_lane[w].lane_free, 0, memory_order_acq_rel);
    }
    SHIM_ASSERT(((lane & ~AD_LANE_OPEN) & ~slots) == 0);
    for (uint32_t i = AD_LANE_SLOTS; i-- > 0;) {
        struct ad_cmd *cmd = &lun->lun_cmds[i];

        if (!(slots & (1u << i)))
            continue;
        if (lane & (1u << i)) {
            ad_tag_give_locked(lun, (uint16_t)i);
            continue;
        }
        SHIM_ASSERT(cmd->cmd_state == AD_CMD_FREE && cmd->cmd_flags == 0);
        cmd->cmd_state = AD_CMD_STARTING;
        cmd->cmd_flags = AD_CMD_FROM_LANE;
        cmd->cmd_stage = 0;
        lun->lun_lane_left++;
        cmd->cmd_seq = lun->lun_seq++;
        lun->lun_accepted++;
        lun->lun_starting++;
        lun->lun_active++;
    }
    if (lun->lun_active > lun->lun_active_max)
        lun->lun_active_max = lun->lun_active;
    atomic_store_explicit(&lun->lun_lane_slots, 0, memory_order_relaxed);
}

/* Where a thread begins to look. Its number is a counter on one host and an address on another. */
static inline unsigned ad_lane_first(const struct shim_self *self)
{
    const unsigned id = (unsigned)self->self_id;

    return (id ^ id >> 6) % AD_LANE_WORDS;
}

/* Take a slot; NULL: none is free, or the lane is closed. */
static inline struct ad_cmd *ad_lane_take(struct ad_lun *lun, const struct shim_self *self)
{
    const unsigned first = ad_lane_first(self);

    for (unsigned i = 0; i < AD_LANE_WORDS; i++) {
        _Atomic uint32_t *word = &lun->lun_lane[(first + i) % AD_LANE_WORDS].lane_free;
        uint32_t lane = atomic_load_explicit(word, memory_order_relaxed);

        while (SC_LIKELY(lane & ~AD_LANE_OPEN)) { /* which an open word only has */
            shim_sched_point();
            if (SC_LIKELY(atomic_compare_exchange_weak_explicit(word, &lane, lane & (lane - 1u),
                                                                memory_order_acquire, memory_order_relaxed)))
                return &lun->lun_cmds[__builtin_ctz(lane)];
        }
        if (!(lane & AD_LANE_OPEN))
            break;
    }
    return NULL;
}

/*
 * Give the slot back. False when the lane has been closed meanwhile: the command is ordinary now.
 */
static inline bool ad_lane_release(struct ad_lun *lun, struct ad_cmd *cmd)
{
    const size_t done = atomic_load_explicit(&cmd->cmd_lane_done, memory_order_relaxed);
    const uint32_t bit = 1u << cmd->cmd_slot;
    _Atomic uint32_t *word = &lun->lun_lane[cmd->cmd_slot % AD_LANE_WORDS].lane_free;
    uint32_t lane = atomic_load_explicit(word, memory_order_relaxed);

    atomic_store_explicit(&cmd->cmd_lane_done, done + 1, memory_order_relaxed);
    while (SC_LIKELY(lane & AD_LANE_OPEN)) {
        SHIM_ASSERT(!(lane & bit));
        shim_sched_point();
        if (SC_LIKELY(atomic_compare_exchange_weak_explicit(word, &lane, lane | bit, memory_order_release,
                                                            memory_order_relaxed)))
            return true;
    }
    atomic_store_explicit(&cmd->cmd_lane_done, done, memory_order_relaxed);
    return false;
}

/* Not plain, or the lane is closed: go on as an ordinary command. */
static void ad_lane_leave(struct shim_self *self, struct ad_cmd *cmd, int mapped, int said)
{
    struct ad_lun *lun = cmd->cmd_lun;

    shim_lock_enter(&lun->lun_lock);
    ad_lane_close_locked(lun);
    ad_enter_locked(lun); /* counted from here on, as anybody */
    shim_lock_exit(&lun->lun_lock);
    shim_turn_end(self);
    if (mapped != SHIM_MAP_OK)
        ad_exec_mapped_lock(cmd, mapped);
    else
        ad_exec_said_lock(cmd, said);
    ad_work_unlock(lun);
}

/*
 * Take a checked request down the lane.
 * Context: any; never sleeps. Locks: none. Owns: sb is ours when true is returned; iodone may have
 * come. (XEN-01, AIX-03)
 */
bool ad_lane_submit(struct ad_lun *lun, struct sc_buf *sb)
{
    struct ad_adapter *adp = lun->lun_adp;
    struct shim_self *self;
    struct ad_cmd *cmd;
    int said;

    if (SC_UNLIKELY(sb->flags != 0 || sb->q_tag_msg != SC_SIMPLE_Q) || ad_lane_slots(lun) == 0)
        return false;
    self = shim_turn_begin(lun);
    if (SC_UNLIKELY(self == NULL))
        return false;
    cmd = ad_lane_take(lun, self);
    if (SC_UNLIKELY(cmd == NULL)) {
        shim_turn_end(self);
        return false;
    }
    ad_xfer_fill(cmd, sb, SC_SIMPLE_Q);
    if (SC_LIKELY(cmd->cmd_xfer.xfer_bytes != 0)) {
        int mapped = ad_map(cmd);

        if (SC_UNLIKELY(mapped != SHIM_MAP_OK)) {
            ad_lane_leave(self, cmd, mapped, 0);
            return true;
        }
        ad_sync(adp, cmd, SHIM_SYNC_BEFORE);
    }
    AD_TRACE(HKWD_AD_START, sb, 0, 0, 0);
    shim_sched_point();
    said = adp->adp_ops->start(adp->adp_hw, &cmd->cmd_xfer);
    shim_sched_point();
    if (SC_UNLIKELY(said != AD_HW_DONE || cmd->cmd_xfer.xfer_result != AD_RES_GOOD ||
                    cmd->cmd_xfer.xfer_resid != 0 || cmd->cmd_long != 0 || sb->resvd1 != NULL)) {
        ad_lane_leave(self, cmd, SHIM_MAP_OK, said);
        return true;
    }
    ad_unmap(cmd);
    shim_sched_point();
    if (SC_UNLIKELY(atomic_load_explicit(&adp->adp_map_wait, memory_order_relaxed)) ||
        SC_UNLIKELY(!ad_lane_release(lun, cmd))) {
        ad_lane_leave(self, cmd, SHIM_MAP_OK, said);
        return true;
    }
    if (trc_ison()) {
        AD_TRACE(HKWD_AD_DONE, sb, AD_RES_GOOD, SC_GOOD_STATUS, 0); /* the slot may be another's */
        AD_TRACE_PUSH(sb);
    }
    iodone(&sb->bufstruct);
    shim_turn_end(self);
    return true;
}
