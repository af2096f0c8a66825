/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_start.c - the loop that queues, dispatches and completes; command structures; the restart timer.
 *
 * See "Plug" in dd_strategy.c for why the loop looks as it does. What is here, in order: plugs; the pool
 * and the in-process queue; choosing the next command; the loop.
 *
 * Shortage: a command structure is taken before a buf leaves pending (NB-04), so without one nothing has
 * to be undone: the buf stays at the head (NB-01). A completion tries again, and for the case where nothing
 * is out one timer does (NB-02). If that cannot be armed either, nobody would ever come by again, and
 * what waits fails with ENOMEM. The pool is primed at configuration with enough for the queue depth, so this
 * happens only to those who configured a smaller one; those also get one try at enlarging it, at process
 * level.
 *
 * Does not contain: what makes a command (dd_span.c, dd_frag.c), what a completion means (dd_done.c).
 */
#include "dd_impl.h"

/* ------------------------------------------------------------------ plugs */

struct dd_plug *dd_plug_mine(struct dd_unit *un)
{
    uintptr_t me = dd_plug_self();
    struct dd_plug *plug = dd_plug_slot(un, me);

    return atomic_load_explicit(&plug->pl_open, memory_order_relaxed) == me ? plug : NULL;
}

/* Its slot is taken. Locks: un_lock held. */
static struct dd_plug *plug_local_locked(struct dd_unit *un, struct dd_plug *local)
{
    memset(local, 0, sizeof(*local));
    un->un_locals++;
    atomic_fetch_add_explicit(&un->un_tails, 1, memory_order_relaxed);
    atomic_store_explicit(&un->un_watched, true, memory_order_relaxed);
    return local;
}

/*
 * The thread's slot, or `local` when another thread sits in it (or this one, below an interrupt).
 * Locks: un_lock held, for the rest of it; those who use the lane take slots without.
 */
static inline struct dd_plug *plug_take_locked(struct dd_unit *un, struct dd_plug *local, uintptr_t me)
{
    struct dd_plug *plug = dd_plug_slot(un, me);
    uintptr_t nobody = 0;

    shim_sched_point();
    if (SC_LIKELY(atomic_compare_exchange_strong_explicit(&plug->pl_holder, &nobody, DD_PLUG_HELD,
                                                          memory_order_acquire, memory_order_relaxed)))
        return plug;
    return plug_local_locked(un, local);
}

/* The rare way out: the plug is a local one, or somebody closes the disk. Locks: takes un_lock. */
static void plug_drop_watched(struct dd_unit *un, struct dd_plug *plug)
{
    int old = disable_lock(INTIODONE, &un->un_lock);
    bool local = atomic_load_explicit(&plug->pl_holder, memory_order_relaxed) == 0;

    if (local)
        un->un_locals--;
    else
        atomic_store_explicit(&plug->pl_holder, DD_PLUG_OVER, memory_order_relaxed);
    atomic_store_explicit(&un->un_watched, un->un_closing || un->un_locals > 0, memory_order_relaxed);
    dd_wake_locked(un);
    unlock_enable(old, &un->un_lock);
    /* The last look at the unit: CFG_TERM waits for it. */
    if (local)
        atomic_fetch_sub_explicit(&un->un_tails, 1, memory_order_release);
    else
        atomic_store_explicit(&plug->pl_holder, 0, memory_order_release);
    shim_sched_point();
}

void dd_plug_drop(struct dd_unit *un, struct dd_plug *plug)
{
    KASSERT(!plug->pl_submitted.ch_head && !plug->pl_done_head);
    shim_sched_point();
    if (SC_UNLIKELY(atomic_load_explicit(&un->un_watched, memory_order_relaxed))) {
        plug_drop_watched(un, plug);
        return;
    }
    atomic_store_explicit(&plug->pl_holder, 0, memory_order_release);
    shim_sched_point();
}

static bool plugs_busy(const struct dd_unit *un)
{
    for (unsigned i = 0; i < DD_PLUGS; i++) {
        uintptr_t holder = atomic_load_explicit(&un->un_plugs[i].pl_holder, memory_order_acquire);

        if (holder != 0 && holder != DD_PLUG_OVER)
            return true;
    }
    return un->un_locals > 0;
}

/*
 * A buf counts as back when its command is, and its iodone is called after that: whoever is in the loop may
 * have some. Who leaves looks at un_watched without a fence, which nearly always shows him that we wait: a
 * moment's sleep is the backstop.
 */
void dd_plugs_wait_locked(struct dd_unit *un)
{
    KASSERT(kern_at_process_level());
    un->un_closing = true;
    atomic_store_explicit(&un->un_watched, true, memory_order_relaxed);
    un->un_sleepers++;
    while (plugs_busy(un))
        (void)e_timedsleep(&un->un_event, &un->un_lock, DD_PLUG_WAIT_NS);
    un->un_sleepers--;
    un->un_closing = false;
    atomic_store_explicit(&un->un_watched, un->un_locals > 0, memory_order_relaxed);
}

/* ------------------------------------------------------------------ pool and in-process queue */

/* Back to the pool, clean. Locks: un_lock held. */
void dd_pool_put_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(cmd->cmd_unit == un && cmd->cmd_state != DD_CMD_FREE);
    KASSERT(!cmd->cmd_frag && !cmd->cmd_sync);
    cmd->cmd_state = DD_CMD_FREE;
    cmd->cmd_bp = NULL;
    cmd->cmd_next = un->un_free;
    un->un_free = cmd;
}

/* Join the in-process queue, at its end. Locks: un_lock held. */
void dd_inproc_add_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(cmd->cmd_state != DD_CMD_INPROC);
    cmd->cmd_state = DD_CMD_INPROC;
    cmd->cmd_inp_next = NULL;
    cmd->cmd_inp_prev = un->un_inp_tail;
    if (un->un_inp_tail)
        un->un_inp_tail->cmd_inp_next = cmd;
    else
        un->un_inp_head = cmd;
    un->un_inp_tail = cmd;
    un->un_active++;
}

/* Leave it. Locks: un_lock held. */
void dd_inproc_del_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    KASSERT(cmd->cmd_state == DD_CMD_INPROC && un->un_active > 0);
    if (cmd->cmd_inp_next)
        cmd->cmd_inp_next->cmd_inp_prev = cmd->cmd_inp_prev;
    else
        un->un_inp_tail = cmd->cmd_inp_prev;
    if (cmd->cmd_inp_prev)
        cmd->cmd_inp_prev->cmd_inp_next = cmd->cmd_inp_next;
    else
        un->un_inp_head = cmd->cmd_inp_next;
    un->un_active--;
}

/*
 * Wake everybody who sleeps on the unit; each looks again. Called with the lock, because a sleeper that
 * was the last user may take the unit away as soon as it can look; it is a rare path.
 */
void dd_wake_locked(struct dd_unit *un)
{
    if (un->un_sleepers)
        e_wakeup(&un->un_event);
}

/* ------------------------------------------------------------------ choosing the next command */

/* Will nothing of its own accord make us look at the queues again? Locks: un_lock held. */
static bool start_stranded_locked(const struct dd_unit *un)
{
    return !un->un_free && !un->un_restart_armed && un->un_active == 0 && un->un_sync_waiting == 0 &&
           un->un_rec.rec_state == DD_REC_NONE && (un->un_pending.ch_head || un->un_split);
}

/* No structure for the head of pending. Locks: un_lock held. Requirements: NB-01, NB-02. */
static void start_shortage_locked(struct dd_unit *un)
{
    un->un_stats.alloc_failures++;
    if (!un->un_restart_armed && tstart(un->un_restart_trb) == 0)
        un->un_restart_armed = true;
    un->un_want_grow = un->un_pool_total < un->un_pool_max || start_stranded_locked(un);
}

/*
 * After a shortage, outside the lock: more memory, or an end with those who wait in vain. True: look again.
 * Context: any. Locks: none held.
 */
static bool start_relieve(struct dd_unit *un)
{
    bool stranded;
    int old;

    if (kern_at_process_level() && dd_pool_grow(un))
        return true;
    old = disable_lock(INTIODONE, &un->un_lock);
    stranded = start_stranded_locked(un);
    if (stranded)
        dd_refuse_waiting_locked(un, ENOMEM);
    unlock_enable(old, &un->un_lock);
    return stranded;
}

/* The first command that has to be sent again, as it is. Locks: un_lock held. */
static struct dd_cmd *start_resend_locked(struct dd_unit *un)
{
    struct dd_cmd *cmd = un->un_resend;

    KASSERT(cmd->cmd_state == DD_CMD_RESEND);
    un->un_resend = cmd->cmd_next;
    un->un_again--;
    cmd->cmd_time_ns = 0;
    atomic_store_explicit(&cmd->cmd_sent, cmd->cmd_seq - 1u, memory_order_relaxed);
    if (cmd->cmd_kind == DD_KIND_RW) {
        un->un_stats.pending -= cmd->cmd_nbufs;
        un->un_stats.in_process += cmd->cmd_nbufs;
        for (struct buf *bp = cmd->cmd_bp; bp; bp = bp->av_forw)
            dd_buf_state_set(bp, DD_BUF_INPROC);
    }
    return cmd;
}

/* A structure as good as new. Locks: un_lock held. */
static inline void start_fresh_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    un->un_free = cmd->cmd_next;
    cmd->cmd_retries = 0;
    cmd->cmd_attentions = 0;
    cmd->cmd_deferred = 0;
    cmd->cmd_bus_fault = 0;
    cmd->cmd_waits = 0;
    cmd->cmd_place = 0; /* with the five before it one store */
    cmd->cmd_resends = 0;
    /* Every SC_LAT_SAMPLE-th is timed; the clock is read where it is sent. */
    cmd->cmd_time_ns = (un->un_stats.commands & (SC_LAT_SAMPLE - 1u)) == 0;
}

/* What goes before pending: the first of it, or NULL: no structure. Locks: un_lock held. */
static struct dd_cmd *start_again_locked(struct dd_unit *un)
{
    struct dd_cmd *cmd = un->un_free;

    if (!dd_requeue_split_first_locked(un))
        return start_resend_locked(un);
    if (!cmd) {
        start_shortage_locked(un);
        return NULL;
    }
    start_fresh_locked(un, cmd);
    dd_split_take_locked(un, cmd);
    return cmd;
}

/* Make the next command and put it in process, or NULL. Locks: un_lock held. Requirements: NB-04. */
static struct dd_cmd *start_next_locked(struct dd_unit *un, struct dd_plug *plug)
{
    struct dd_cmd *cmd;

    if (SC_UNLIKELY(un->un_again != 0)) {
        cmd = start_again_locked(un);
        if (!cmd)
            return NULL;
    } else {
        if (!un->un_pending.ch_head && !un->un_frag_cur)
            return NULL;
        cmd = un->un_free;
        if (SC_UNLIKELY(!cmd)) {
            start_shortage_locked(un);
            return NULL;
        }
        if (SC_UNLIKELY(un->un_frag_cur || dd_buf_bytes(un->un_pending.ch_head) > un->un_transfer_max)) {
            if (!dd_frag_cut_locked(un, cmd))
                return NULL;
        } else {
            dd_span_take_locked(un, cmd);
        }
        start_fresh_locked(un, cmd);
        cmd->cmd_seq = un->un_seq++;
    }
    un->un_stats.commands++;
    if (cmd->cmd_nbufs > 1) {
        un->un_stats.spanned_commands++;
        un->un_stats.spanned_bufs += cmd->cmd_nbufs;
    }
    cmd->cmd_sendflags = 0;
    if (SC_UNLIKELY(un->un_need_resume)) {
        cmd->cmd_sendflags = (uint8_t)(SC_RESUME | (un->un_need_delay ? SC_DELAY_CMD : 0));
        un->un_need_resume = un->un_need_delay = false;
        /* Others would overtake it on another thread and be thrown back: they wait until it is sent. */
        dd_hold_set_locked(un, DD_HOLD_RESUME);
        plug->pl_resume = true;
    }
    dd_inproc_add_locked(un, cmd);
    return cmd;
}

/*
 * Take what may be sent now; the list through cmd_next. True when the batch limit ended it.
 * Locks: un_lock held.
 */
static bool start_pick_locked(struct dd_unit *un, struct dd_plug *plug, struct dd_cmd **list)
{
    struct dd_cmd **tail = list;
    unsigned n = 0;

    if (SC_UNLIKELY(un->un_hold != 0)) {
        /* A recovery command borrows the opening of the one it recovers: it does not count. */
        const bool waits = un->un_pending.ch_head || un->un_again || un->un_frag_cur;
        struct dd_cmd *cmd;

        if ((un->un_hold & DD_HOLD_INVALID) && waits) {
            dd_refuse_waiting_locked(un, ENXIO);
            return true;
        }
        if ((un->un_hold & DD_HOLD_DEAD) && waits && !dd_dead_try_locked(un)) {
            dd_refuse_waiting_locked(un, EIO);
            return true;
        }
        if ((un->un_hold & DD_HOLD_GONE) && waits) {
            dd_refuse_waiting_locked(un, EFORMAT);
            return true;
        }
        if ((un->un_hold & (DD_HOLD_TODO | DD_HOLD_ERROR | DD_HOLD_DEAD)) == DD_HOLD_TODO && waits)
            dd_recover_begin_locked(un);
        while ((cmd = dd_recover_take_locked(un)) != NULL) {
            cmd->cmd_next = NULL;
            *tail = cmd;
            tail = &cmd->cmd_next;
        }
    }
    /*
     * Who waits for a slot takes turns with pending, so that neither starves; resends go on, they may hold
     * the structure he waits for.
     */
    while (!un->un_hold && un->un_active < un->un_depth &&
           (SC_LIKELY(!un->un_sync_waiting) || un->un_again || un->un_turn_rw)) {
        struct dd_cmd *cmd;

        if (n == DD_BATCH_MAX)
            return true;
        if (SC_UNLIKELY(un->un_turn_rw) && !un->un_again)
            un->un_turn_rw = false;
        cmd = start_next_locked(un, plug);
        if (!cmd)
            break;
        cmd->cmd_next = NULL;
        *tail = cmd;
        tail = &cmd->cmd_next;
        n++;
    }
    return false;
}

/* ------------------------------------------------------------------ the loop */

/* Give bufs back to their owners, the release having been done. Locks: none may be held. */
static void run_push(struct dd_plug *plug, const struct dd_chain *resp)
{
    struct buf *bp = resp->ch_head;

    while (bp) {
        struct buf *next = bp->av_forw;

        KASSERT(dd_buf_state(bp) != DD_BUF_FREE);
        bp->b_work = 0;
        bp->av_forw = NULL;
        if (next)
            bp->b_flags |= B_MORE_DONE;
        dd_trace_iodone(bp->b_dev, bp);
        iodone(bp);
        bp = next;
    }
    atomic_store_explicit(&plug->pl_responses, 0, memory_order_relaxed);
}

/*
 * A command that was picked, and then a hold began: sent now, it would only meet a halted queue and come
 * back. What it had from un_need_resume it leaves behind. Context: any. Locks: un_lock held. Requirements:
 * AIX-21.
 */
bool dd_recalled_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    if (!(un->un_hold & DD_HOLD_RECALLS))
        return false;
    dd_inproc_del_locked(un, cmd);
    if (cmd->cmd_sendflags & SC_RESUME) {
        un->un_need_resume = true;
        un->un_need_delay |= (cmd->cmd_sendflags & SC_DELAY_CMD) != 0;
        dd_hold_clear_locked(un, DD_HOLD_RESUME);
    }
    return true;
}

/* Those of a list that are not to be sent now go back to their places. Returns what is left of it. */
static struct dd_cmd *run_recall(struct dd_unit *un, struct dd_plug *plug, struct dd_cmd *cmd)
{
    struct dd_cmd *left = NULL, **tail = &left;
    int old = disable_lock(INTIODONE, &un->un_lock);

    while (cmd) {
        struct dd_cmd *next = cmd->cmd_next;

        if (cmd->cmd_kind <= DD_KIND_FRAG && dd_recalled_locked(un, cmd)) {
            if (cmd->cmd_sendflags & SC_RESUME)
                plug->pl_resume = false;
            un->un_stats.commands--;
            if (cmd->cmd_nbufs > 1) {
                un->un_stats.spanned_commands--;
                un->un_stats.spanned_bufs -= cmd->cmd_nbufs;
            }
            dd_recover_again_locked(un, cmd, &un->un_stats.in_process);
            plug->pl_again = true;
        } else {
            cmd->cmd_next = NULL;
            *tail = cmd;
            tail = &cmd->cmd_next;
        }
        cmd = next;
    }
    dd_recover_nudge_locked(un, false);
    unlock_enable(old, &un->un_lock);
    return left;
}

/*
 * Hand commands to the adapter driver, one call each (AIX-02). Picked and sent are two things: between them
 * an error may come, on this thread or another. Locks: none may be held.
 */
static void run_send(struct dd_unit *un, struct dd_plug *plug, struct dd_cmd *cmd)
{
    const bool several = cmd->cmd_next != NULL;
    struct kern_plug held; /* by an adapter that likes to be told of several at once */

    if (several)
        kern_plug_begin(&held);
    while (cmd) {
        struct dd_cmd *next = cmd->cmd_next;
        int error;

        if (SC_LIKELY(cmd->cmd_kind <= DD_KIND_FRAG)) {
            if (SC_UNLIKELY(atomic_load_explicit(&un->un_recall, memory_order_relaxed))) {
                struct dd_cmd *left = run_recall(un, plug, cmd);

                if (left != cmd) {
                    cmd = left;
                    continue;
                }
                next = cmd->cmd_next;
            }
            dd_cdb_build(un, cmd);
            atomic_store_explicit(&cmd->cmd_sent, cmd->cmd_seq, memory_order_relaxed);
        }
        if (cmd->cmd_time_ns)
            cmd->cmd_time_ns = kern_now_ns();
        dd_trace_send(un, cmd);
        if (SC_UNLIKELY(un->un_ahead != NULL) && next)
            dd_ahead_next(un, next);
        error = devstrat(&cmd->cmd_sc.bufstruct);
        if (SC_UNLIKELY(error)) {
            /* The adapter driver has gone from the switch: nobody else will complete it. */
            cmd->cmd_sc.bufstruct.b_flags |= B_ERROR;
            cmd->cmd_sc.bufstruct.b_error = error;
            iodone(&cmd->cmd_sc.bufstruct);
        }
        cmd = next;
    }
    if (several)
        kern_plug_end(&held);
    if (SC_UNLIKELY(plug->pl_resume)) { /* the last one was it: nothing is picked behind it */
        int old = disable_lock(INTIODONE, &un->un_lock);

        dd_hold_clear_locked(un, DD_HOLD_RESUME);
        unlock_enable(old, &un->un_lock);
        plug->pl_again = true;
    }
}

/* Queue what was submitted; release, or begin to recover, what came back. Locks: un_lock held. Requirements:
 * XEN-01, XEN-02. */
static void run_collect_locked(struct dd_unit *un, struct dd_plug *plug, struct dd_chain *resp)
{
    struct dd_chain *in = &plug->pl_submitted;
    struct dd_cmd *cmd = plug->pl_done_head;

    KASSERT(lock_mine(&un->un_lock));
    if (in->ch_head && SC_UNLIKELY(plug->pl_geometry != dd_geometry(un)))
        dd_judge_again_locked(un, in, resp);
    if (in->ch_head) {
        dd_chain_add(&un->un_pending, in->ch_head, in->ch_tail, in->ch_n);
        un->un_stats.bufs += in->ch_n;
        un->un_stats.pending += in->ch_n;
        *in = (struct dd_chain){NULL, NULL, 0};
    }
    plug->pl_done_head = NULL;
    while (cmd) {
        struct dd_cmd *next = cmd->cmd_next;

        if (SC_UNLIKELY(cmd->cmd_state == DD_CMD_LANE)) {
            cmd->cmd_state = DD_CMD_LANE_DONE; /* its thread is bound to look */
        } else if (SC_LIKELY(cmd->cmd_kind <= DD_KIND_FRAG && !(cmd->cmd_sc.bufstruct.b_flags & B_ERROR))) {
            dd_inproc_del_locked(un, cmd);
            dd_release_locked(un, cmd, resp);
        } else {
            dd_done_other_locked(un, cmd);
        }
        cmd = next;
    }
    if (SC_UNLIKELY(un->un_resp.ch_head != NULL)) {
        dd_chain_add(resp, un->un_resp.ch_head, un->un_resp.ch_tail, un->un_resp.ch_n);
        un->un_resp = (struct dd_chain){NULL, NULL, 0};
    }
}

/*
 * Until nothing is left for this thread to do.
 * Context: process or completion; never sleeps. Locks: un_lock held (`old` is for unlock_enable), and let
 * go; taken once per round. Owns: the plug, which is free afterwards.
 */
void dd_run_plugged(struct dd_unit *un, struct dd_plug *plug, uintptr_t me, int old)
{
    bool more, grow;
    bool sent = false;

    for (;;) {
        struct dd_chain resp = {NULL, NULL, 0};
        struct dd_cmd *send = NULL;

        plug->pl_again = plug->pl_resume = false;
        sent = sent && plug->pl_done_head;
        run_collect_locked(un, plug, &resp);
        sent = sent && un->un_active == 0; /* all that was sent was back already */
        more = start_pick_locked(un, plug, &send);
        dd_lane_look_locked(un, sent, more);
        sent = send != NULL;
        grow = un->un_want_grow;
        un->un_want_grow = false;
        atomic_store_explicit(&plug->pl_responses, resp.ch_n, memory_order_relaxed);
        if (SC_UNLIKELY(un->un_sleepers > 0))
            dd_wake_locked(un);
        unlock_enable(old, &un->un_lock);

        dd_plug_open(plug, me);
        if (resp.ch_head)
            run_push(plug, &resp);
        if (send)
            run_send(un, plug, send);
        (void)dd_plug_shut(plug);
        if (SC_UNLIKELY(grow))
            more |= start_relieve(un);
        /* What came in meanwhile from others is theirs to start; what came on this stack is ours. */
        if (!more && !plug->pl_again && !plug->pl_submitted.ch_head && !plug->pl_done_head)
            break;
        old = disable_lock(INTIODONE, &un->un_lock);
    }
    dd_plug_drop(un, plug);
}

/* These two out of line: who finds his plug open shall not make room for one on the stack. */
__attribute__((noinline)) void dd_run(struct dd_unit *un, const struct dd_chain *submitted, uint32_t geometry)
{
    struct dd_plug local;
    uintptr_t me = dd_plug_self();
    int old = disable_lock(INTIODONE, &un->un_lock);
    struct dd_plug *plug = plug_take_locked(un, &local, me);

    plug->pl_submitted = *submitted;
    plug->pl_geometry = geometry;
    dd_run_plugged(un, plug, me, old);
}

__attribute__((noinline)) void dd_run_done(struct dd_unit *un, struct dd_cmd *cmd)
{
    struct dd_plug local;
    uintptr_t me = dd_plug_self();
    int old = disable_lock(INTIODONE, &un->un_lock);
    struct dd_plug *plug = plug_take_locked(un, &local, me);

    cmd->cmd_next = NULL;
    plug->pl_done_head = plug->pl_done_tail = cmd;
    dd_run_plugged(un, plug, me, old);
}

void dd_kick(struct dd_unit *un)
{
    const struct dd_chain nothing = {NULL, NULL, 0};
    struct dd_plug *plug = dd_plug_mine(un);

    if (plug)
        plug->pl_again = true;
    else
        dd_run(un, &nothing, 0);
}

/* The restart timer: exactly one, armed by start_shortage_locked. Context: completion. Requirements: NB-02.
 */
void dd_restart_fired(struct trb *t)
{
    struct dd_unit *un = t->func_data;
    int old = disable_lock(INTIODONE, &un->un_lock);

    un->un_restart_armed = false;
    un->un_stats.restarts++;
    unlock_enable(old, &un->un_lock);
    dd_kick(un);
}
