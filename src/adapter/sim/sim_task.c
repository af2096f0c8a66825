/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_task.c - the task set of a disk: which commands are at the device, in which order they may
 * run, and those that wait for a time or for others.
 *
 * Outline: the hot path's gate / waiting by time / order / entering and leaving / running / taking back.
 * Does not contain: what a command does (sim_exec.c, sim_cmd_*.c), arrival and its faults (sim_bus.c).
 *
 * A plain read or write of an undisturbed disk is no task: it runs in sim_rw_fast(), beside any
 * number of others, and marks its tag's stripe as busy for so long. Every other command is a task: a
 * record from a pool taken when the bus was made, in the disk's list by arrival and, while it waits, in
 * the bus's list by time; one timer runs for the earliest. Whoever takes a record off the list by
 * time, under bus_lock, owns the right to complete the command: the timer routine, abort() or a
 * reset. That is why nothing is ever completed twice. A command is executed at the end of its wait,
 * so that what an abort took back has never reached the medium.
 *
 * Order (SAM). ORDERED waits for all older commands and holds the younger ones back; HEAD OF QUEUE
 * waits for nobody and holds back what has not begun; after CHECK CONDITION nothing but REQUEST
 * SENSE runs until the initiator has fetched the sense or thrown it away (contingent allegiance).
 * Commands that were held back go to the list by time as due now: the timer runs them, never the
 * thread that let them go, whose caller has not even been told about its own command.
 *
 * The hot path against all this. What must run alone (ORDERED, COMPARE AND WRITE) closes the gate, a
 * bit in dk_odd, and waits until no stripe is busy. A thread on the hot path marks its stripe and then
 * looks at dk_odd once more. Two plain accesses: on a processor with a store buffer the mark may become
 * visible only after the look. The closing thread therefore waits SIM_SETTLE_NS between closing and
 * looking, many times what any such buffer takes to drain. Rejected: an exchange in the hot path, which
 * needs no such wait; measured 4.5 of 54 ns per request of a disk that never sees ORDERED.
 *
 * Tasks of one disk are executed one at a time (dk_turn). So a command that fails cannot meet the
 * waiting sense of another one, and COMPARE AND WRITE needs no lock of its own.
 *
 * Rejected: one timer per command (a host timer object is bigger than the command and a thousand of
 * them would be armed); executing first and delaying the answer (an aborted write would have
 * happened).
 */
#include "sim_impl.h"

#define SIM_SETTLE_NS     2000u
/* An initiator that has not asked for sense after so long will not: what was held back goes on. */
#define SIM_ALLEGIANCE_NS 1000000000u

/* ---------------------------------------------------------------- the hot path's gate */

/* Close the hot path, once more; or open it again. Context: any. Locks: takes dk_lock. */
static void sim_gate_move(struct sim_disk *disk, int by)
{
    shim_lock_enter(&disk->dk_lock);
    SHIM_ASSERT(by > 0 || disk->dk_gate > 0);
    disk->dk_gate += (uint32_t)by;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

/* Wait for somebody who is quick, unless he has lost his processor. */

/* The gate is closed: wait for those who went through before. */
static void sim_gate_drain(struct sim_disk *disk)
{
    /* Not a fence, which the thread sanitizer does not know: no load below is done before this. */
    (void)atomic_fetch_add_explicit(&disk->dk_odd, 0, memory_order_seq_cst);
    shim_delay_ns(SIM_SETTLE_NS);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(disk->dk_stripe); i++) {
        for (uint64_t ns = 1000;
             atomic_load_explicit(&disk->dk_stripe[i].sp_busy, memory_order_acquire) == SIM_BUSY_HOT;
             ns = sim_longer(ns))
            shim_delay_ns(ns);
    }
}

/*
 * Freeze. Who looked before has arrived when this returns: on the hot path he is done. Nobody waits for a
 * lock of the core there. Context: any. Locks: takes dk_lock, and bus_lock after it; one of the core may be
 * held.
 */
void sim_freeze(struct sim_disk *disk)
{
    if (!disk)
        return;
    shim_lock_enter(&disk->dk_lock);
    disk->dk_frozen++;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
    if (!disk->dk_bus->bus_pend) {
        sim_gate_drain(disk);
        return;
    }
    shim_lock_enter(&disk->dk_bus->bus_lock); /* who is inside start() is out then */
    shim_lock_exit(&disk->dk_bus->bus_lock);
}

/* Undo n freezes; before the core was there, there were none. */
void sim_thaw(struct sim_disk *disk, uint32_t n)
{
    if (!disk)
        return;
    shim_lock_enter(&disk->dk_lock);
    disk->dk_frozen -= n < disk->dk_frozen ? n : disk->dk_frozen;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

struct sim_stripe *sim_stripe_of(struct sim_disk *disk, const struct ad_xfer *x)
{
    if (x->xfer_qmsg == SC_NO_Q)
        return &disk->dk_stripe[SIM_TAGS_MAX];
    SHIM_ASSERT(x->xfer_tag < SIM_TAGS_MAX);
    return &disk->dk_stripe[x->xfer_tag];
}

/* ---------------------------------------------------------------- waiting by time */

static void sim_wait_unlink_locked(struct sim_bus *bus, struct sim_task *t)
{
    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    SHIM_ASSERT(t->tk_waiting && t != &bus->bus_waiting);
    t->tk_prev->tk_next = t->tk_next;
    t->tk_next->tk_prev = t->tk_prev;
    t->tk_prev = NULL;
    t->tk_next = NULL;
    t->tk_waiting = false;
    t->tk_disk->dk_blocked -= t->tk_blocked;
    t->tk_blocked = false;
}

/* Into the list by time; searched from the end because equal latencies arrive in order. */
static void sim_wait_link_locked(struct sim_bus *bus, struct sim_task *t, uint64_t when_ns)
{
    struct sim_task *at = bus->bus_waiting.tk_prev;

    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    t->tk_when_ns = when_ns;
    t->tk_waiting = true;
    while (at != &bus->bus_waiting && at->tk_when_ns > when_ns)
        at = at->tk_prev;
    t->tk_prev = at;
    t->tk_next = at->tk_next;
    at->tk_next->tk_prev = t;
    at->tk_next = t;
}

/* Arm the timer for the earliest waiting command. False: no timer is to be had. */
static bool sim_wait_arm_locked(struct sim_bus *bus)
{
    struct sim_task *first = bus->bus_waiting.tk_next;

    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    if (first == &bus->bus_waiting || first->tk_when_ns == UINT64_MAX)
        return true;
    return shim_timer_arm(&bus->bus_timer, first->tk_when_ns) == 0;
}

static uint64_t sim_wait_until(uint64_t delay_ns)
{
    uint64_t now = delay_ns == UINT64_MAX ? 0 : shim_now_ns();

    return delay_ns < UINT64_MAX - now ? now + delay_ns : UINT64_MAX;
}

/* ---------------------------------------------------------------- order */

/* Must this command wait for others? `t` NULL: one that is no task, younger than all. */
static bool sim_order_blocks_locked(const struct sim_bus *bus, const struct sim_disk *disk,
                                    const struct sim_task *t, uint8_t qmsg)
{
    bool older = true;

    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    if (disk->dk_orders == 0 || qmsg == SC_HEAD_OF_Q)
        return false;
    for (const struct sim_task *u = disk->dk_tasks; u; u = u->tk_younger) {
        if (u == t) {
            older = false;
        } else if (!u->tk_dead && (u->tk_qmsg == SC_HEAD_OF_Q ||
                                   (older && (qmsg == SC_ORDERED_Q || u->tk_qmsg == SC_ORDERED_Q)))) {
            return true;
        }
    }
    return false;
}

/* REQUEST SENSE belongs to the error, not to the queue. */
static bool sim_is_request_sense(const struct ad_xfer *x)
{
    return x->xfer_cdb_len > 0 && x->xfer_cdb[0] == SCSI_REQUEST_SENSE;
}

static bool sim_allegiance_blocks(struct sim_disk *disk, const struct ad_xfer *x)
{
    return (atomic_load_explicit(&disk->dk_odd, memory_order_acquire) & SIM_ODD_SENSE) &&
           !sim_is_request_sense(x);
}

static bool sim_task_blocked_locked(const struct sim_bus *bus, const struct sim_task *t)
{
    if (t->tk_qmsg == SC_NO_Q && sim_is_request_sense(t->tk_xfer))
        return false;
    return sim_order_blocks_locked(bus, t->tk_disk, t, t->tk_qmsg);
}

/*
 * Hold a command back until sim_release_locked() finds nothing against it, or until when_ns. False: no
 * timer could be armed.
 */
static bool sim_block_locked(struct sim_bus *bus, struct sim_task *t, uint64_t when_ns)
{
    sim_wait_link_locked(bus, t, when_ns);
    t->tk_blocked = true;
    t->tk_disk->dk_blocked++;
    return sim_wait_arm_locked(bus);
}

/*
 * Something has ended: make due what was held back by it. Whose turn it would be but for sense that
 * nobody may ever fetch waits so long and no longer. False: no timer could be armed, and the caller has
 * to run what is due.
 */
static bool sim_release_locked(struct sim_bus *bus, struct sim_disk *disk)
{
    bool moved = false, armed = true;

    if (disk->dk_blocked == 0)
        return true;
    for (struct sim_task *t = disk->dk_tasks; t; t = t->tk_younger) {
        if (!t->tk_blocked || sim_task_blocked_locked(bus, t))
            continue;
        if (sim_allegiance_blocks(disk, t->tk_xfer)) {
            if (t->tk_when_ns == UINT64_MAX && t->tk_delay_ns != UINT64_MAX) {
                sim_wait_unlink_locked(bus, t);
                armed = sim_block_locked(bus, t, sim_wait_until(SIM_ALLEGIANCE_NS)) && armed;
            }
            continue;
        }
        sim_wait_unlink_locked(bus, t);
        sim_wait_link_locked(bus, t, sim_wait_until(t->tk_delay_ns));
        t->tk_delay_ns = 0;
        moved = true;
    }
    return (!moved || sim_wait_arm_locked(bus)) && armed;
}

/* The allegiance is over, or a reset has cleared everything. Context: any. Locks: none held. */
void sim_tasks_release(struct sim_bus *bus, struct sim_disk *disk)
{
    bool armed;

    shim_lock_enter(&bus->bus_lock);
    armed = sim_release_locked(bus, disk);
    shim_lock_exit(&bus->bus_lock);
    if (!armed)
        sim_tasks_run_due(bus);
}

/* ---------------------------------------------------------------- entering and leaving */

static bool sim_is_order(uint8_t qmsg) { return qmsg == SC_ORDERED_Q || qmsg == SC_HEAD_OF_Q; }

/*
 * The initiator used a tag that is in use. The target drops all commands of that initiator without
 * a word, the one with the tag included: from its side they never end.
 */
static void sim_overlap_locked(struct sim_bus *bus, struct sim_disk *disk)
{
    for (struct sim_task *t = disk->dk_tasks; t; t = t->tk_younger) {
        if (!t->tk_waiting)
            continue; /* running: it ends as if it had been a moment faster */
        sim_wait_unlink_locked(bus, t);
        sim_wait_link_locked(bus, t, UINT64_MAX);
        t->tk_dead = true;
        if (t->tk_stripe)
            atomic_store_explicit(&t->tk_stripe->sp_busy, SIM_BUSY_NOT, memory_order_release);
        t->tk_stripe = NULL;
    }
}

/* A command in the set may wait for its order or its time, or may not have to. As sim_task_enter() says. */
static int sim_task_begin_locked(struct sim_bus *bus, struct sim_task *t, uint64_t delay_ns)
{
    if (sim_task_blocked_locked(bus, t)) {
        t->tk_delay_ns = delay_ns;
        (void)sim_block_locked(bus, t, UINT64_MAX);
        return AD_HW_PENDING;
    }
    if (delay_ns == 0)
        return AD_HW_DONE;
    sim_wait_link_locked(bus, t, sim_wait_until(delay_ns));
    if (bus->bus_waiting.tk_next != t || sim_wait_arm_locked(bus))
        return AD_HW_PENDING;
    /* No timer: to lose the latency is better than to lose the command. */
    sim_wait_unlink_locked(bus, t);
    return AD_HW_DONE;
}

/*
 * Take a command into the task set. Returns the record; NULL with *said AD_HW_BUSY when the chip is
 * full, or with *said AD_HW_DONE when its tag is in use. With a record, *said AD_HW_PENDING: it
 * waits, and is no longer the caller's; AD_HW_DONE: the caller runs it now.
 * Context: any. Locks: none held.
 */
struct sim_task *sim_task_enter(struct sim_cmd *c, uint64_t delay_ns, int *said)
{
    struct sim_bus *bus = c->c_bus;
    struct sim_disk *disk = c->c_disk;
    struct ad_xfer *x = c->c_xfer;
    struct sim_stripe *sp = sim_stripe_of(disk, x);
    bool order = sim_is_order(x->xfer_qmsg), armed = true;
    struct sim_task *t;

    if (order)
        sim_gate_move(disk, 1);
    shim_lock_enter(&bus->bus_lock);
    t = bus->bus_free;
    *said = t ? AD_HW_DONE : AD_HW_BUSY;
    if (!t) {
        bus->bus_was_full = true;
    } else if (atomic_exchange_explicit(&sp->sp_busy, SIM_BUSY_TASK, memory_order_acq_rel) != SIM_BUSY_NOT) {
        sim_overlap_locked(bus, disk);
        t = NULL;
    } else {
        bus->bus_free = t->tk_next;
        *t = (struct sim_task){.tk_xfer = x, .tk_disk = disk, .tk_stripe = sp, .tk_qmsg = x->xfer_qmsg};
        t->tk_older = disk->dk_tasks_last;
        *(t->tk_older ? &t->tk_older->tk_younger : &disk->dk_tasks) = t;
        disk->dk_tasks_last = t;
        disk->dk_orders += order;
        if (sim_allegiance_arrival(c))
            armed = sim_release_locked(bus, disk);
        *said = sim_task_begin_locked(bus, t, delay_ns);
    }
    shim_lock_exit(&bus->bus_lock);
    if (!t && order)
        sim_gate_move(disk, -1);
    if (!armed)
        sim_tasks_run_due(bus);
    return t;
}

/*
 * A task has ended: out of the set, its tag free again, those behind it on their way. True when
 * the chip was full and the core wants to know.
 * Context: any. Locks: none held. Owns: the record is gone afterwards; the transfer stays the caller's.
 */
bool sim_task_leave(struct sim_bus *bus, struct sim_task *t)
{
    struct sim_disk *disk = t->tk_disk;
    bool order = sim_is_order(t->tk_qmsg), armed, kick;

    shim_lock_enter(&bus->bus_lock);
    SHIM_ASSERT(!t->tk_waiting);
    *(t->tk_older ? &t->tk_older->tk_younger : &disk->dk_tasks) = t->tk_younger;
    *(t->tk_younger ? &t->tk_younger->tk_older : &disk->dk_tasks_last) = t->tk_older;
    disk->dk_orders -= order;
    if (t->tk_stripe)
        atomic_store_explicit(&t->tk_stripe->sp_busy, SIM_BUSY_NOT, memory_order_release);
    t->tk_next = bus->bus_free;
    bus->bus_free = t;
    kick = bus->bus_was_full;
    bus->bus_was_full = false;
    armed = sim_release_locked(bus, disk);
    shim_lock_exit(&bus->bus_lock);
    if (order)
        sim_gate_move(disk, -1);
    atomic_fetch_sub_explicit(&disk->dk_active, 1, memory_order_release);
    if (!armed)
        sim_tasks_run_due(bus);
    return kick;
}

/* ---------------------------------------------------------------- running */

/* Execute a command in its turn. False: an allegiance holds it back, nothing has happened. */
static bool sim_run_in_turn(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    bool alone = c->c_xfer->xfer_qmsg == SC_ORDERED_Q || (c->c_op && (c->c_op->op_flags & SIM_OP_ALONE));
    bool run;

    if (alone)
        sim_gate_move(disk, 1);
    shim_lock_enter(&disk->dk_turn);
    run = c->c_nexus != SIM_NEXUS_ADAPTER || !sim_allegiance_blocks(disk, c->c_xfer);
    if (run) {
        if (alone)
            sim_gate_drain(disk);
        sim_execute(c);
        sim_finish(c);
    }
    shim_lock_exit(&disk->dk_turn);
    if (alone)
        sim_gate_move(disk, -1);
    if (run && sim_is_request_sense(c->c_xfer))
        sim_tasks_release(c->c_bus, disk);
    if (run && c->c_aborts)
        sim_tasks_take(c->c_bus, -1, disk, AD_RES_STATUS, SIM_DEAF_ABORT);
    return run;
}

/* Its out fields, when it has not run. */
static void sim_task_untouched(struct ad_xfer *xfer, enum ad_result result)
{
    xfer->xfer_result = (uint8_t)result;
    xfer->xfer_scsi_status = result == AD_RES_STATUS ? SIM_TASK_ABORTED : SC_GOOD_STATUS;
    xfer->xfer_resid = xfer->xfer_bytes;
}

/*
 * Run a task that is due. True: the out fields are filled and the task has left the set; *kick is
 * raised when the core wants one. False: it waits again.
 */
bool sim_task_run(struct sim_bus *bus, struct sim_task *t, bool *kick)
{
    struct sim_disk *disk = t->tk_disk;
    struct sim_cmd c;

    sim_cmd_init(&c, bus, disk, t->tk_xfer, SIM_NEXUS_ADAPTER);
    /* It may have waited for other sense, which is gone: that of now has its own time. */
    if (t->tk_overdue && sim_allegiance_older(disk, c.c_nexus, SIM_ALLEGIANCE_NS))
        sim_allegiance_end(&c);
    while (!sim_run_in_turn(&c)) {
        bool wait, aborted;

        shim_lock_enter(&bus->bus_lock);
        /* Looked at again under this lock: whoever ends the allegiance takes it afterwards. */
        wait = sim_allegiance_blocks(disk, t->tk_xfer);
        aborted = wait && t->tk_aborted;
        wait = wait && !aborted;
        if (wait && !sim_block_locked(bus, t, sim_wait_until(SIM_ALLEGIANCE_NS))) {
            sim_wait_unlink_locked(bus, t);
            t->tk_overdue = true;
            wait = false;
        }
        shim_lock_exit(&bus->bus_lock);
        if (wait)
            return false;
        if (aborted) {
            sim_task_untouched(t->tk_xfer, AD_RES_ABORTED);
            break;
        }
        if (t->tk_overdue)
            sim_allegiance_end(&c);
    }
    *kick = sim_task_leave(bus, t) || *kick;
    return true;
}

/* A command of another initiator: no task, it runs now or not at all. Context: may wait for the medium. */
void sim_task_foreign(struct sim_cmd *c)
{
    struct sim_bus *bus = c->c_bus;
    bool blocked;

    shim_lock_enter(&bus->bus_lock);
    blocked = sim_order_blocks_locked(bus, c->c_disk, NULL, c->c_xfer->xfer_qmsg) ||
              (c->c_xfer->xfer_qmsg == SC_ORDERED_Q && c->c_disk->dk_tasks);
    shim_lock_exit(&bus->bus_lock);
    if (!blocked) {
        (void)sim_allegiance_arrival(c);
        (void)sim_run_in_turn(c);
        return;
    }
    c->c_status = SC_BUSY_STATUS;
    sim_finish(c);
}

/*
 * The core has been told of n, or need not be. Who is the last ends an adapter reset that has waited for
 * that. Context: any. Locks: none held, the core is called back.
 */
void sim_calls_end(struct sim_bus *bus, unsigned n)
{
    bool anew;

    shim_lock_enter(&bus->bus_lock);
    SHIM_ASSERT(bus->bus_calling >= n);
    bus->bus_calling -= n;
    anew = bus->bus_calling == 0 && bus->bus_anew;
    if (anew)
        bus->bus_anew = false;
    shim_lock_exit(&bus->bus_lock);
    if (!anew)
        return;
    if (sim_tasks_forget(bus)) /* what arrived at its disk meanwhile; and there is somebody else now */
        return;
    ad_hw_reset_done(bus->bus_ad, AD_RESET_ADAPTER, 0, 0, 0);
}

/*
 * Complete a chain of records (linked by tk_next) that the caller took off the list by time.
 * result AD_RES_COUNT: run them now; otherwise they come back with that result untouched.
 * Context: any. Locks: none held, the core is called back.
 */
static void sim_tasks_complete(struct sim_bus *bus, struct sim_task *chain, enum ad_result result)
{
    bool kick = false;

    while (chain) {
        struct sim_task *t = chain;
        struct ad_xfer *xfer = t->tk_xfer;
        struct sim_disk *disk = t->tk_disk;

        chain = t->tk_next;
        t->tk_next = NULL;
        if (result == AD_RES_COUNT) {
            if (!sim_task_run(bus, t, &kick)) {
                sim_calls_end(bus, 1);
                continue;
            }
        } else {
            sim_task_untouched(xfer, result);
            kick = sim_task_leave(bus, t) || kick;
        }
        if (xfer->xfer_result != AD_RES_GOOD)
            sim_freeze(disk);
        ad_hw_done(bus->bus_ad, xfer);
        sim_calls_end(bus, 1);
    }
    if (kick)
        ad_hw_kick(bus->bus_ad);
}

/* Run what is due, and arm the timer for what is not. Context: any. Locks: none held. */
void sim_tasks_run_due(struct sim_bus *bus)
{
    struct sim_task *chain = NULL, **tail = &chain;
    uint64_t now = shim_now_ns();
    bool armed;

    shim_lock_enter(&bus->bus_lock);
    do {
        struct sim_task *t;

        while ((t = bus->bus_waiting.tk_next) != &bus->bus_waiting && t->tk_when_ns <= now) {
            t->tk_overdue = t->tk_blocked;
            sim_wait_unlink_locked(bus, t);
            bus->bus_calling++;
            *tail = t;
            tail = &t->tk_next;
        }
        armed = sim_wait_arm_locked(bus);
        /* No timer: the earliest is due now, for nobody would wake it later. */
        if (!armed)
            now = bus->bus_waiting.tk_next->tk_when_ns;
    } while (!armed);
    shim_lock_exit(&bus->bus_lock);
    sim_tasks_complete(bus, chain, AD_RES_COUNT);
}

/* ---------------------------------------------------------------- taking back */

/* Does this command hang, and not heed what is done to bring it back? Locks: bus_lock. */
static bool sim_is_deaf_locked(const struct sim_bus *bus, const struct sim_task *t, enum sim_deaf rung)
{
    return bus->bus_deaf >= rung && t->tk_when_ns == UINT64_MAX && !t->tk_blocked;
}

/*
 * Take back what waits: of one id (-1: every id), of one disk (NULL: every disk), and heeds that rung.
 * AD_RES_STATUS means aborted by another initiator, TASK ABORTED.
 * Context: any. Locks: none held, the core is called back.
 */
void sim_tasks_take(struct sim_bus *bus, int id, const struct sim_disk *disk, enum ad_result result,
                    enum sim_deaf rung)
{
    struct sim_task *chain = NULL, **tail = &chain;

    shim_lock_enter(&bus->bus_lock);
    for (struct sim_task *t = bus->bus_waiting.tk_next, *next; t != &bus->bus_waiting; t = next) {
        next = t->tk_next;
        if ((id >= 0 && t->tk_disk->dk_id != id) || (disk && t->tk_disk != disk) ||
            sim_is_deaf_locked(bus, t, rung))
            continue;
        sim_wait_unlink_locked(bus, t);
        bus->bus_calling++;
        *tail = t;
        tail = &t->tk_next;
    }
    shim_lock_exit(&bus->bus_lock);
    sim_tasks_complete(bus, chain, result);
}

/* Has everybody left a disk that takes nothing in any more? */
static bool sim_tasks_none(struct sim_bus *bus, const struct sim_disk *disk)
{
    bool none = atomic_load_explicit(&disk->dk_inside, memory_order_seq_cst) == 0;

    shim_lock_enter(&bus->bus_lock);
    none = none && !disk->dk_tasks;
    shim_lock_exit(&bus->bus_lock);
    return none && atomic_load_explicit(&disk->dk_active, memory_order_acquire) == 0;
}

/*
 * The disk has gone: what waits comes back as not selected, what runs is waited for. Afterwards nobody is in
 * its medium. Context: process. Locks: none held, the core is called back.
 */
void sim_tasks_drain(struct sim_bus *bus, struct sim_disk *disk)
{
    sim_gate_drain(disk);
    sim_tasks_take(bus, -1, disk, AD_RES_SELECT_TIMEOUT, SIM_DEAF_COUNT);
    /* Who had looked before it went may enter its task only now. */
    for (uint64_t ns = 1000; !sim_tasks_none(bus, disk); ns = sim_longer(ns)) {
        shim_delay_ns(ns);
        sim_tasks_take(bus, -1, disk, AD_RES_SELECT_TIMEOUT, SIM_DEAF_COUNT);
    }
}

/*
 * It is not in the list by time. When it is on its way to run, it ends by itself at once, unless the sense of
 * one before it holds it back: then it does not wait for whoever wants it back to fetch that. Locks:
 * bus_lock.
 */
static void sim_task_mark_locked(struct sim_bus *bus, const struct ad_xfer *xfer)
{
    const struct sim_disk *disk = atomic_load(&bus->bus_disk[xfer->xfer_id][xfer->xfer_lun]);

    for (struct sim_task *t = disk ? disk->dk_tasks : NULL; t; t = t->tk_younger)
        if (t->tk_xfer == xfer && !t->tk_waiting)
            t->tk_aborted = true;
}

/* The same for one transfer; nothing happens when it is gone. */
void sim_task_abort(struct sim_bus *bus, const struct ad_xfer *xfer)
{
    struct sim_task *t;

    shim_lock_enter(&bus->bus_lock);
    for (t = bus->bus_waiting.tk_next; t != &bus->bus_waiting && t->tk_xfer != xfer;)
        t = t->tk_next;
    if (t == &bus->bus_waiting) {
        sim_task_mark_locked(bus, xfer);
        t = NULL;
    } else if (sim_is_deaf_locked(bus, t, SIM_DEAF_ABORT)) {
        t = NULL;
    } else {
        sim_wait_unlink_locked(bus, t);
        bus->bus_calling++;
    }
    shim_lock_exit(&bus->bus_lock);
    sim_tasks_complete(bus, t, AD_RES_ABORTED);
}

/*
 * The chip begins anew, or is cut off: what waits is forgotten, and the core takes it back itself. Context:
 * any. Locks: none held. True when a thread is telling the core the end of another command: the last of them
 * will end the reset.
 */
bool sim_tasks_forget(struct sim_bus *bus)
{
    struct sim_task *chain = NULL;
    bool calling;

    shim_lock_enter(&bus->bus_lock);
    sim_batch_forget_locked(bus);
    while (bus->bus_waiting.tk_next != &bus->bus_waiting) {
        struct sim_task *t = bus->bus_waiting.tk_next;

        sim_wait_unlink_locked(bus, t);
        t->tk_next = chain;
        chain = t;
    }
    calling = bus->bus_calling != 0;
    bus->bus_anew = calling && !bus->bus_cut;
    shim_lock_exit(&bus->bus_lock);
    while (chain) {
        struct sim_task *t = chain;

        chain = t->tk_next;
        t->tk_next = NULL;
        (void)sim_task_leave(bus, t);
    }
    return calling;
}
