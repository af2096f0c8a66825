/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_recover.c - what happens to a command that came back with B_ERROR.
 *
 * A small state machine per disk, driven by completions and one timer. It never sleeps and has no thread.
 *
 *   an sc_buf with EIO: the adapter driver has halted this disk's queue
 *       hold new commands; park the command; if nothing else is being recovered:
 *   ─► CHECK CONDITION?  REQUEST SENSE on the reserved structure (SC_RESUME, SC_NO_Q)     [SENSE]
 *   ─► the table (dd_sense.c) says: it was good / again / failed
 *         again: to the resend list;  failed: dd_split.c
 *   ─► more parked commands?  the next one, from the top
 *   ─► did the adapter driver keep its queue?  SC_Q_RESUME, which carries no command     [QUEUE]
 *         refused, what is kept would overtake what is sent again, or the device has
 *         dropped its own queue (clr_q, q_err):  SC_Q_CLR                                   [CLEAR]
 *   ─► something due with the whole disk?  dd_todo.c     [START, SPIN, RESERVE, KEYS, CAPACITY]
 *   ─► did it clear its queue?  wait until what was in it is home                        [HALT]
 *   ─► delay asked for?                                                             [DELAY, WAIT]
 *   ─► release the hold; the first command carries SC_RESUME if nothing has yet
 *
 * Two kinds of delay. A device that becomes ready is left alone for dd_busy_ms, and a retry is used. One that
 * is busy, full or silent may be so for a millisecond: the command goes again as soon as another one
 * completes, which says that there is room; only when nothing is out does a timer run, first for 1 ms, then
 * each time for as long as has been waited so far, at most dd_busy_ms (dd_qfull_ms). What bounds this is the
 * time waited in all: retries x dd_busy_ms (DD_QFULL_WAITS x dd_qfull_ms), which is as long a pause as ever,
 * without stopping everything for a second because of one BUSY. A try that a completion ended counts as 1 ms.
 * So a retry of BUSY is a dd_busy_ms of waiting, whatever the answers in it; when they are gone it is EBUSY.
 * (NB-17. Rejected: a retry and a whole dd_busy_ms for each answer; of 32 reads, with five BUSY a second
 * among them, some then failed.)
 *
 * After a reset the device may not answer selection yet. SC_DELAY_CMD has the adapter wait for that (a
 * second, ad_delay_ms), but nearly every device answers at once, with an attention. So the first command
 * goes out plain, and only when it finds nobody the next one carries SC_DELAY_CMD.
 *
 * Commands returned ENXIO were never executed: they go to the resend list, too, so that whatever comes
 * back, and in whatever order, is sent again in the original one (dd_requeue.c says what that is). Why they
 * came back is asked in dd_halt.c.                                                               [HALT]
 *
 * Several commands can be parked at once, when the adapter was working on several. They are judged one
 * after the other; the adapter's queue is resumed once, after the last.
 *
 * One trap. The queue has been cleared, our recovery command has set it going again and waits its turn behind
 * commands still at the device. One of those now fails with its queue kept: the recovery command is in
 * that queue, and we would wait for each other. So whenever a command fails with the queue kept
 * while a recovery command is out, a second reserved structure carries SC_Q_RESUME. If the recovery command
 * was not stuck the adapter driver refuses that, and nothing has changed.
 *
 * Commands somebody waits for at process level (ioctls, probes, gathered writes) are never sent again from
 * here: the sleeper is told and does it. For a gathered write that is the rule (AIX-17); for the others
 * it is simplest.
 *
 * Where it runs: whoever brings a failed command back, which is the adapter's thread where there is one
 * (ad_thread.c; NB-13, NB-14), and a timer. REQUEST SENSE is a command like others: a chip that is polled for
 * the first is polled for it, too. A REQUEST SENSE that fails is not itself sensed: its command is judged
 * without.
 *
 * Rejected: a recovery thread of the disk's own. It could sleep, but a host need not have threads, and a disk
 * whose recovery needs a free thread recovers last when all threads wait for that disk.
 *
 * Silence is counted for the disk as well: see dd_dead.c.
 *
 * Not here yet: reassignment.
 */
#include "dd_impl.h"

/* What a rule says about the disk, and not about the command. */
#define RECOVER_DISK_FLAGS                                                                                   \
    (DD_RULE_RESERVE | DD_RULE_RESET | DD_RULE_CAPACITY | DD_RULE_MODE | DD_RULE_DEFERRED)

/* ------------------------------------------------------------------ lists and counters */

/* A parked command's bufs change gauge. Fragments stay in process with their buf. */
void dd_recover_count_locked(struct dd_cmd *cmd, uint64_t *from, uint64_t *to, unsigned state)
{
    if (cmd->cmd_kind != DD_KIND_RW)
        return;
    KASSERT(*from >= cmd->cmd_nbufs);
    *from -= cmd->cmd_nbufs;
    *to += cmd->cmd_nbufs;
    for (struct buf *bp = cmd->cmd_bp; bp; bp = bp->av_forw)
        dd_buf_state_set(bp, state);
}

void dd_recover_again_locked(struct dd_unit *un, struct dd_cmd *cmd, uint64_t *from)
{
    dd_recover_count_locked(cmd, from, &un->un_stats.pending, DD_BUF_PENDING);
    dd_requeue_locked(un, cmd);
}

/* ------------------------------------------------------------------ verdicts */

/*
 * Busy, full or silent: may this command wait once more? If so, for how long at most; see the head of the
 * file. Locks: un_lock held.
 */
static bool recover_may_wait_locked(struct dd_unit *un, struct dd_cmd *cmd, const struct dd_rule *rule)
{
    bool full = (rule->rule_flags & DD_RULE_QFULL) != 0;
    uint64_t most_ms = (full ? un->un_qfull_ns : un->un_busy_ns) / 1000000u;
    uint64_t budget_ms = most_ms * (full ? DD_QFULL_WAITS : un->un_dds.retries);
    uint32_t waited_ms, next_ms;

    if (cmd->cmd_waits == 0)
        cmd->cmd_wait_mark = un->un_waited_ms;
    waited_ms = un->un_waited_ms - cmd->cmd_wait_mark;
    if ((uint64_t)waited_ms + cmd->cmd_waits >= budget_ms && cmd->cmd_waits >= un->un_dds.retries)
        return false;
    cmd->cmd_waits++;
    next_ms = waited_ms + 1u < most_ms ? waited_ms + 1u : (uint32_t)most_ms;
    if (next_ms > un->un_rec.rec_wait_ms)
        un->un_rec.rec_wait_ms = next_ms;
    return true;
}

/* Has this command any try left under this rule? Counts the one it takes. Locks: un_lock held. */
static bool recover_may_retry_locked(struct dd_unit *un, struct dd_cmd *cmd, const struct dd_rule *rule)
{
    unsigned limit = rule->rule_flags & DD_RULE_ONCE ? 1u : un->un_dds.retries;

    if (rule->rule_flags & (DD_RULE_BUSY | DD_RULE_QFULL))
        return recover_may_wait_locked(un, cmd, rule);
    if (rule->rule_flags & DD_RULE_DEFERRED)
        return ++cmd->cmd_deferred < DD_DEFERRED_MAX;
    if (rule->rule_flags & DD_RULE_FREE && ++cmd->cmd_attentions <= DD_ATTENTION_MAX)
        return true;
    if (!(rule->rule_flags & DD_RULE_FREE))
        cmd->cmd_attentions = 0;
    if (cmd->cmd_retries >= limit)
        return false;
    cmd->cmd_retries++;
    cmd->cmd_bus_fault = (rule->rule_flags & DD_RULE_BUSFAULT) != 0;
    return true;
}

/* How many the device has of us: not those that are still on their way to it. Locks: un_lock held. */
static uint32_t recover_sent_locked(const struct dd_unit *un)
{
    uint32_t n = 0;

    for (const struct dd_cmd *cmd = un->un_inp_head; cmd; cmd = cmd->cmd_inp_next)
        n += cmd->cmd_kind > DD_KIND_FRAG ||
             atomic_load_explicit(&cmd->cmd_sent, memory_order_relaxed) == cmd->cmd_seq;
    return n;
}

/* Side effects on what is sent next. Locks: un_lock held. */
static void recover_flow_effects_locked(struct dd_unit *un, unsigned flags)
{
    if (flags & DD_RULE_DELAY)
        un->un_rec.rec_delay = true;
    if (flags & (DD_RULE_START | DD_RULE_BECOMING))
        dd_ready_due_locked(un, flags);
    if ((flags & DD_RULE_ABSENT) && un->un_reset_ns &&
        (int64_t)(kern_now_ns() - un->un_reset_ns) < DD_SETTLE_NS)
        un->un_need_delay = true;
    if (flags & DD_RULE_QFULL) {
        /* The failed one is not among them any more, so that is "active minus one" (NB-16). */
        uint32_t sent = recover_sent_locked(un);

        if (sent > 0 && sent < un->un_depth)
            un->un_depth = sent;
        un->un_good_run = 0;
        KASSERT(un->un_depth >= 1);
    }
}

/* Said once for the disk, not for each request. */
static const struct dd_rule recover_dead = {"disk does not answer", DD_ANY, 0, 0, DD_ACT_FAIL, 0, EIO};

/* How a failure is called in the error log. */
static uint32_t recover_errid(const struct dd_rule *rule)
{
    if (rule->rule_flags & DD_RULE_CHANGED)
        return ERRID_DISK_INFO;
    return rule->rule_error == EMEDIA ? ERRID_DISK_ERR1 : ERRID_DISK_ERR3;
}

/*
 * Carry out what the table says about the command being looked at.
 * Context: completion. Locks: un_lock held. The caller goes on with dd_recover_next_locked.
 */
static void recover_verdict_locked(struct dd_unit *un, const struct dd_rule *rule,
                                   const struct scsi_sense *sense, uint32_t sense_bytes)
{
    struct dd_rec *rec = &un->un_rec;
    struct dd_cmd *cmd = rec->rec_current;
    struct dd_sync *sy = cmd->cmd_sync;
    const uint8_t *bytes = sense_bytes ? rec->rec_sense : NULL;
    bool span = cmd->cmd_kind == DD_KIND_RW && cmd->cmd_nbufs > 1;
    enum dd_action act;

    KASSERT(cmd->cmd_state == DD_CMD_FAILED);
    rec->rec_current = NULL;
    if (sy) {
        sy->sy_sense = *sense;
        sy->sy_sense_bytes = (uint8_t)sense_bytes;
        if (sense_bytes)
            memcpy(sy->sy_sense_data, rec->rec_sense, sense_bytes);
    }
    if (rule->rule_flags & RECOVER_DISK_FLAGS)
        rec->rec_todo_tries = 0;
    dd_disk_effects_locked(un, rule->rule_flags, sense);
    if (sy && sy->sy_flags & DD_SYNC_RAW) {
        dd_sync_finish_locked(un, cmd, EIO, false);
        return;
    }
    recover_flow_effects_locked(un, rule->rule_flags);
    if (rule->rule_flags & (DD_RULE_SILENT | DD_RULE_ABSENT) && dd_dead_silence_locked(un, rule, false))
        rule = &recover_dead;
    act = (enum dd_action)rule->rule_action;
    /* A span that may have one bad block is taken apart at once; its bufs have their own retries. */
    if (act == DD_ACT_RETRY && !(span && (rule->rule_flags & DD_RULE_INFO)) &&
        recover_may_retry_locked(un, cmd, rule)) {
        un->un_stats.retries++;
        if (!sy || !(sy->sy_flags & DD_SYNC_QUIET))
            dd_log(un, cmd, ERRID_DISK_ERR4, true, 0, rule->rule_name, "retried", bytes, sense_bytes);
        if (sy) {
            dd_sync_finish_locked(un, cmd, rule->rule_error, true);
        } else {
            dd_requeue_count(cmd);
            dd_recover_again_locked(un, cmd, &un->un_stats.recovering);
        }
    } else if (act == DD_ACT_OK) {
        dd_log(un, cmd, ERRID_DISK_ERR4, true, 0, rule->rule_name, "accepted", bytes, sense_bytes);
        if (sy) {
            dd_sync_finish_locked(un, cmd, 0, false);
        } else {
            dd_recover_count_locked(cmd, &un->un_stats.recovering, &un->un_stats.in_process, DD_BUF_INPROC);
            cmd->cmd_time_ns = 0;
            dd_release_locked(un, cmd, &un->un_resp);
        }
    } else {
        if (rule->rule_flags & DD_RULE_ABSENT && dd_dead_silence_locked(un, rule, true))
            rule = &recover_dead;
        if (rule != &recover_dead && (!sy || !(sy->sy_flags & DD_SYNC_QUIET)))
            dd_log(un, cmd, recover_errid(rule), false, rule->rule_error, rule->rule_name,
                   span ? "span split" : "failed", bytes, sense_bytes);
        if (sy)
            dd_sync_finish_locked(un, cmd, rule->rule_error, false);
        else
            dd_split_fail_locked(un, cmd, rule, sense);
    }
}

/* ------------------------------------------------------------------ the machine */

/*
 * A delay, if one was asked for. False: there is none.
 * Without a timer there is no delay; retries and time waited are counted, so this ends all the same.
 * Locks: un_lock held.
 */
static bool recover_delay_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    uint32_t wait_ms;

    if (rec->rec_delay) {
        rec->rec_delay = false;
        rec->rec_wait_ms = 0;
        rec->rec_state = DD_REC_DELAY;
        dd_trace_state(un);
        return dd_delay_start_locked(un, un->un_busy_ns);
    }
    if (rec->rec_wait_ms == 0)
        return false;
    rec->rec_state = DD_REC_WAIT;
    dd_trace_state(un);
    if (un->un_active > 0)
        return true; /* a completion says when */
    un->un_waited_ms += rec->rec_wait_ms;
    wait_ms = rec->rec_wait_ms;
    rec->rec_wait_ms = 0;
    return dd_delay_start_locked(un, (uint64_t)wait_ms * 1000000u);
}

/* Everything judged: put the queue back to work, step by step. Locks: un_lock held. */
static void recover_finish_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(!rec->rec_failed_head && !rec->rec_current && !rec->rec_ready);
    if (rec->rec_kept) {
        rec->rec_kept = false;
        /* A device that has dropped what it had does not know what the adapter driver thinks it has. */
        if (un->un_clears || dd_split_overtaken_locked(un))
            dd_recover_ready_locked(un, DD_REC_CLEAR, NULL, 0, SC_Q_CLR | SC_RESUME, 0);
        else
            dd_recover_ready_locked(un, DD_REC_QUEUE, NULL, 0, SC_Q_RESUME | SC_RESUME, 0);
        return;
    }
    if (((un->un_todo || rec->rec_fetch) && dd_todo_step_locked(un)) || dd_halt_home_locked(un) ||
        recover_delay_locked(un))
        return;
    KASSERT(rec->rec_cmd->cmd_state == DD_CMD_FREE);
    rec->rec_state = DD_REC_NONE;
    dd_trace_state(un);
    rec->rec_unstick = rec->rec_keys = rec->rec_cap16 = rec->rec_refused = rec->rec_silent = false;
    rec->rec_todo_tries = 0;
    dd_hold_clear_locked(un, DD_HOLD_RECOVER);
    dd_todo_set_locked(un, 0); /* what could not be done stays due */
    dd_wake_locked(un);
}

/* Look at the parked commands until one needs sense data; then finish. Locks: un_lock held. */
void dd_recover_next_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    const struct scsi_sense none = {0};

    KASSERT(!rec->rec_current && (un->un_hold & DD_HOLD_RECOVER));
    while (rec->rec_failed_head) {
        struct dd_cmd *cmd = rec->rec_failed_head;
        const struct dd_rule *rule = dd_status_rule(&cmd->cmd_sc);

        if ((un->un_hold & DD_HOLD_DEAD) && !(cmd->cmd_sync && cmd->cmd_sync->sy_flags & DD_SYNC_RAW))
            rule = &recover_dead;
        rec->rec_failed_head = cmd->cmd_next;
        rec->rec_current = cmd;
        rec->rec_tries = 0;
        /* Sense that could not be fetched earlier may be why the device is busy: fetch it now. */
        if (!rule || (rec->rec_owed && cmd->cmd_sc.status_validity == SC_SCSI_ERROR &&
                      cmd->cmd_sc.scsi_status == SC_BUSY_STATUS)) {
            dd_recover_sense_locked(un);
            return;
        }
        recover_verdict_locked(un, rule, &none, 0);
    }
    recover_finish_locked(un);
}

/* Context: any. Locks: un_lock held. */
void dd_recover_begin_locked(struct dd_unit *un)
{
    KASSERT(lock_mine(&un->un_lock));
    if (SC_UNLIKELY(dd_step_lost_locked(un)))
        dd_recover_fail_parked_locked(un); /* nobody would look at it again */
    if (un->un_rec.rec_state != DD_REC_NONE || dd_is_gone_locked(un))
        return;
    dd_hold_clear_locked(un, DD_HOLD_TODO);
    dd_hold_set_locked(un, DD_HOLD_RECOVER);
    un->un_rec.rec_state = DD_REC_JUDGE;
    dd_trace_state(un);
    dd_recover_next_locked(un);
}

/* Refused by the adapter driver (EINVAL, EFAULT ...): the queue was not touched. Locks: un_lock held. */
static void recover_refused_locked(struct dd_unit *un, struct dd_cmd *cmd, int error)
{
    struct dd_rule refused = {"refused", DD_ANY, 0, 0, DD_ACT_FAIL, 0, (int16_t)error};
    const struct scsi_sense none = {0};
    bool span = error == EINVAL && cmd->cmd_kind == DD_KIND_RW && cmd->cmd_nbufs > 1;

    KASSERT(error != 0 && cmd->cmd_kind <= DD_KIND_FRAG);
    /* It may take its bufs one by one: not every adapter has as many segments as we have bufs. */
    if (span)
        refused.rule_flags = DD_RULE_SPLIT;
    cmd->cmd_state = DD_CMD_FAILED;
    dd_recover_count_locked(cmd, &un->un_stats.in_process, &un->un_stats.recovering, DD_BUF_RECOVER);
    dd_log(un, cmd, ERRID_DISK_ERR3, span, error, refused.rule_name, span ? "span split" : "failed", NULL, 0);
    dd_split_fail_locked(un, cmd, &refused, &none);
}

/* Park a command until it is its turn to be judged. Locks: un_lock held. */
static void recover_park_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(cmd->cmd_kind <= DD_KIND_SYNC && cmd->cmd_state != DD_CMD_FAILED);
    cmd->cmd_state = DD_CMD_FAILED;
    dd_recover_count_locked(cmd, &un->un_stats.in_process, &un->un_stats.recovering, DD_BUF_RECOVER);
    cmd->cmd_next = NULL;
    if (rec->rec_failed_head)
        rec->rec_failed_tail->cmd_next = cmd;
    else
        rec->rec_failed_head = cmd;
    rec->rec_failed_tail = cmd;
    dd_hold_set_locked(un, DD_HOLD_RECOVER);
}

/*
 * An sc_buf of a pool command came back with B_ERROR; it has left the in-process queue.
 * Context: completion. Locks: un_lock held; the caller looks at the queues afterwards.
 */
void dd_recover_error_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct dd_rec *rec = &un->un_rec;
    const struct dd_rule *rule = dd_status_rule(&cmd->cmd_sc);
    int error = cmd->cmd_sc.bufstruct.b_error;

    KASSERT(lock_mine(&un->un_lock));
    if (SC_UNLIKELY(dd_is_gone_locked(un))) {
        dd_gone_error_locked(un, cmd);
        return;
    }
    if (error == ENXIO) {
        dd_halt_thrown_locked(un, cmd);
        return;
    }
    un->un_progress++;
    if (error != EIO && error != 0) {
        if (cmd->cmd_kind == DD_KIND_SYNC) {
            dd_sync_finish_locked(un, cmd, error, false);
        } else if (error != ENOMEM) {
            recover_refused_locked(un, cmd, error);
        } else {
            recover_park_locked(un, cmd); /* the adapter driver is short of something, for the moment */
            dd_recover_begin_locked(un);
        }
        return;
    }
    recover_park_locked(un, cmd);
    un->un_need_resume = true;
    /* The latest error counts: one that clears also clears what an earlier one had kept. */
    rec->rec_kept = (cmd->cmd_sc.adap_q_status & SC_DID_NOT_CLEAR_Q) != 0;
    /* A busy or full device goes on with what it has: the next completion tells. */
    rec->rec_home = !rec->rec_kept && !(rule && rule->rule_flags & (DD_RULE_BUSY | DD_RULE_QFULL));
    /* Is the recovery command itself behind it, in the kept queue? See the head of this file. */
    if (rec->rec_kept && rec->rec_state >= DD_REC_SENSE && rec->rec_state < DD_REC_QUEUE)
        rec->rec_unstick = true;
    dd_recover_begin_locked(un);
}

/*
 * SC_Q_RESUME or SC_Q_CLR came back. Refused: the kept queue can be cleared instead; when that is refused,
 * too, the first command to be sent says SC_RESUME, and what the adapter driver makes of it is seen then
 * (dd_halt.c). Cleared: everything in the queue comes home, and so has this, with ENXIO.
 * Locks: un_lock held; the caller goes on, unless something is sent.
 */
static void recover_queue_done_locked(struct dd_unit *un, enum dd_rec_state was, int error)
{
    if (was == DD_REC_QUEUE && error) {
        dd_recover_ready_locked(un, DD_REC_CLEAR, NULL, 0, SC_Q_CLR | SC_RESUME, 0);
    } else if (was == DD_REC_CLEAR) {
        un->un_need_resume = true;
        un->un_rec.rec_home = error == 0 || error == ENXIO;
    }
}

/*
 * REQUEST SENSE, a queue transaction or a step of dd_todo.c came back.
 * Context: completion. Locks: un_lock held.
 */
void dd_recover_reserve_done_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    struct sc_buf *sc = &rec->rec_cmd->cmd_sc;
    bool failed = (sc->bufstruct.b_flags & B_ERROR) != 0;
    bool lost = dd_step_lost_locked(un);
    enum dd_rec_state was = rec->rec_state;
    const struct dd_rule *rule;
    struct scsi_sense sense = {0};
    uint32_t bytes = 0;

    KASSERT(rec->rec_cmd->cmd_state == DD_CMD_INPROC);
    rec->rec_cmd->cmd_state = DD_CMD_FREE;
    dd_step_end_locked(un);
    if (SC_UNLIKELY(dd_is_gone_locked(un))) {
        dd_gone_recovery_over_locked(un);
        return;
    }
    rec->rec_state = DD_REC_JUDGE;
    un->un_need_resume = failed;
    un->un_good += !failed;
    if (was == DD_REC_SENSE) {
        /* If a reset came between, the device has forgotten that and tells of the reset now (NB-15). */
        if (failed && !lost && ++rec->rec_tries < DD_SENSE_TRIES_MAX) {
            dd_recover_sense_locked(un);
            return;
        }
        if (!failed) {
            bytes = DD_SENSE_BYTES;
            if (sc->bufstruct.b_resid < bytes)
                bytes -= (uint32_t)sc->bufstruct.b_resid;
            else
                bytes = 0;
            sense = scsi_sense_parse(rec->rec_sense, bytes);
        }
        rec->rec_owed = failed;
        if (rec->rec_current) { /* else it has been given up: dd_states.c */
            rule = dd_status_rule(&rec->rec_current->cmd_sc);
            if (!rule)
                rule = dd_sense_rule(&sense, un->un_removable && dd_is_open(un));
            recover_verdict_locked(un, rule, &sense, bytes);
        }
        dd_recover_next_locked(un);
        return;
    }
    KASSERT(was >= DD_REC_RESERVE && was <= DD_REC_CLEAR);
    if (was < DD_REC_QUEUE)
        dd_todo_done_locked(un, was);
    else
        recover_queue_done_locked(un, was, failed ? sc->bufstruct.b_error : 0);
    if (rec->rec_state == DD_REC_JUDGE)
        dd_recover_next_locked(un);
}

/* Context: completion. Locks: un_lock held; the recovery command is still out. */
void dd_recover_fail_parked_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    const struct scsi_sense none = {0};

    KASSERT(dd_step_lost_locked(un));
    while (rec->rec_current || rec->rec_failed_head) {
        if (!rec->rec_current) {
            rec->rec_current = rec->rec_failed_head;
            rec->rec_failed_head = rec->rec_current->cmd_next;
        }
        recover_verdict_locked(un, &recover_dead, &none, 0);
    }
}

/* The second SC_Q_RESUME came back. Refused: the recovery command was not stuck. Locks: un_lock held. */
void dd_recover_unstick_done_locked(struct dd_unit *un)
{
    struct dd_rec *rec = &un->un_rec;
    struct dd_cmd *cmd = rec->rec_unstick_cmd;

    KASSERT(cmd->cmd_state == DD_CMD_INPROC);
    cmd->cmd_state = DD_CMD_FREE;
    if (!(cmd->cmd_sc.bufstruct.b_flags & B_ERROR))
        rec->rec_kept = false;
}

/* The delay is over. Context: completion, no lock. */
void dd_recover_delay_fired(struct trb *t)
{
    struct dd_unit *un = t->func_data;
    int old = disable_lock(INTIODONE, &un->un_lock);

    if (kern_now_ns() < un->un_rec.rec_delay_ns) {
        unlock_enable(old, &un->un_lock);
        return; /* stopped, or started again, since it began to run */
    }
    dd_delay_stop_locked(un);
    if (un->un_rec.rec_state == DD_REC_HALT) {
        dd_halt_look_locked(un, true);
    } else if (un->un_rec.rec_state == DD_REC_DELAY || un->un_rec.rec_state == DD_REC_WAIT) {
        un->un_rec.rec_state = DD_REC_JUDGE;
        dd_recover_next_locked(un);
    }
    unlock_enable(old, &un->un_lock);
    dd_kick(un);
}

/*
 * A command came back while recovery waits for one. A good one has made room at the device: go on.
 * One that was thrown back has not, but when it was the last, only the timer can say when.
 * Locks: un_lock held.
 */
void dd_recover_nudge_locked(struct dd_unit *un, bool good)
{
    struct dd_rec *rec = &un->un_rec;

    KASSERT(lock_mine(&un->un_lock));
    if (rec->rec_state == DD_REC_HALT)
        dd_halt_look_locked(un, false);
    if (rec->rec_state != DD_REC_WAIT)
        return;
    if (rec->rec_timer) {
        /* It was armed when nothing was out; only the recovery's own or a late one comes now. */
        if (!good)
            return;
        dd_delay_stop_locked(un);
    } else if (!good && un->un_active > 0 && !rec->rec_failed_head) {
        return;
    }
    if (good)
        rec->rec_wait_ms = 0;
    rec->rec_state = DD_REC_JUDGE;
    dd_recover_next_locked(un);
}
