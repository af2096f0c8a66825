/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_batch.c - the chip that takes commands in batches: start() keeps each, flush() sends what was kept, and
 * an interrupt, or whoever asks, hands back lists of what has ended.
 *
 * Does not contain: what a command does at its disk: when its turn has come it arrives there as it would have
 * inside start() (sim_bus.c), and may have to wait there as a task (sim_task.c).
 *
 * A command is in one of three places, each a list in the order of start(): *held*, until flush(); *sent*,
 * until the interrupt; *running*, while the one thread that runs the batch is at it. All are linked through
 * the transfer's own scratch, under bus_lock. Frozen is decided when it is taken in, and not when it runs:
 * what a chip has taken before a freeze goes to its disk, which holds it back or not as a disk does.
 *
 * The interrupt is a timer that is due at once: a thread of the host, or the next event of the simulation. If
 * no timer is to be had, flush() runs the batch itself.
 *
 * A reset hands back what is held or sent in its scope as not delivered: no disk has seen it. What is running
 * arrives behind the reset.
 */
#include "sim_impl.h"

#define SIM_BATCH_ROOM_NS 1000000u /* after which a chip without room looks again */

#define SIM_NEXT(x)   ((x)->xfer_chip[0]) /* the next of its list */
#define SIM_WANTED(x) ((x)->xfer_chip[1]) /* abort() has come while it was running */

/* ---------------------------------------------------------------- lists */

static void sim_line_add(struct sim_line *l, struct ad_xfer *x)
{
    SIM_NEXT(x) = NULL;
    if (l->ln_head)
        SIM_NEXT(l->ln_tail) = x;
    else
        l->ln_head = x;
    l->ln_tail = x;
}

/* All of `from` behind `to`. */
static void sim_line_move(struct sim_line *to, struct sim_line *from)
{
    if (!from->ln_head)
        return;
    if (to->ln_head)
        SIM_NEXT(to->ln_tail) = from->ln_head;
    else
        to->ln_head = from->ln_head;
    to->ln_tail = from->ln_tail;
    from->ln_head = NULL;
}

/* Which transfers a reset or an abort is about. */
struct sim_scope {
    int sc_id, sc_lun; /* -1: all */
    const struct ad_xfer *sc_one;
};

static bool sim_in_scope(const struct sim_scope *s, const struct ad_xfer *x)
{
    return s->sc_one
               ? x == s->sc_one
               : (s->sc_id < 0 || x->xfer_id == s->sc_id) && (s->sc_lun < 0 || x->xfer_lun == s->sc_lun);
}

/* Those in the scope go from one list to the other, in order. */
static void sim_line_take(struct sim_line *l, const struct sim_scope *scope, struct sim_line *taken)
{
    struct sim_line all = *l;

    l->ln_head = NULL;
    for (struct ad_xfer *x = all.ln_head, *next; x; x = next) {
        next = SIM_NEXT(x);
        sim_line_add(sim_in_scope(scope, x) ? taken : l, x);
    }
}

/* ---------------------------------------------------------------- in */

/* Look at what was sent, at when_ns. False: no timer is to be had. Locks: bus_lock. */
static bool sim_batch_arm_locked(struct sim_bus *bus, uint64_t when_ns)
{
    if (bus->bus_pend == SIM_PEND_POLL || bus->bus_batch_armed)
        return true;
    bus->bus_batch_armed = shim_timer_arm(&bus->bus_batch_timer, when_ns) == 0;
    return bus->bus_batch_armed;
}

/* Whoever watches is told of what the chip takes in. Locks: bus_lock. */
static void sim_batch_watched_locked(struct sim_disk *disk, const struct ad_xfer *xfer)
{
    shim_lock_enter(&disk->dk_lock);
    if (disk->dk_watch)
        disk->dk_watch(disk->dk_watch_arg, xfer);
    shim_lock_exit(&disk->dk_lock);
}

/*
 * start() of a chip in batches: sim_freeze() takes the lock, so that the command is in, or it does not come
 * in. Context: any, no lock held.
 */
int sim_batch_start(struct sim_bus *bus, struct ad_xfer *xfer)
{
    struct sim_disk *disk = sim_disk_at(bus, xfer->xfer_id, xfer->xfer_lun);
    uint32_t odd;
    bool frozen;

    shim_lock_enter(&bus->bus_lock);
    odd = disk ? atomic_load_explicit(&disk->dk_odd, memory_order_relaxed) : 0;
    frozen = (odd & SIM_ODD_FROZEN) && !(xfer->xfer_flags & AD_XFER_PAST);
    if (!frozen) {
        if (SC_UNLIKELY((odd & (SIM_ODD_WATCH | SIM_ODD_GONE)) == SIM_ODD_WATCH))
            sim_batch_watched_locked(disk, xfer);
        SIM_WANTED(xfer) = NULL;
        sim_line_add(&bus->bus_held, xfer);
    }
    shim_lock_exit(&bus->bus_lock);
    return frozen ? AD_HW_FROZEN : AD_HW_PENDING;
}

void sim_batch_flush(void *hw)
{
    struct sim_bus *bus = hw;
    bool armed;

    shim_lock_enter(&bus->bus_lock);
    sim_line_move(&bus->bus_sent, &bus->bus_held);
    armed = !bus->bus_sent.ln_head || sim_batch_arm_locked(bus, shim_now_ns());
    shim_lock_exit(&bus->bus_lock);
    if (!armed)
        (void)sim_batch_run(bus, SIM_BATCH_MAX);
}

/* ---------------------------------------------------------------- out */

/* Take up to n that were sent. Locks: bus_lock. */
static unsigned sim_batch_take_locked(struct sim_bus *bus, struct ad_xfer **list, unsigned n)
{
    unsigned got = 0;

    while (got < n && bus->bus_sent.ln_head) {
        list[got] = bus->bus_sent.ln_head;
        bus->bus_sent.ln_head = SIM_NEXT(list[got++]);
    }
    bus->bus_running = got ? list : NULL;
    bus->bus_nrunning = got;
    bus->bus_calling += got;
    return got;
}

/*
 * Run one. True: it has ended, and is the caller's to hand back. False: it waits at its disk, or goes back to
 * what was sent. Locks: none held.
 */
static bool sim_batch_one(struct sim_bus *bus, struct ad_xfer *xfer)
{
    const int said = sim_bus_start(bus, xfer);
    bool wanted;

    if (SC_LIKELY(said == AD_HW_DONE))
        return true;
    shim_lock_enter(&bus->bus_lock);
    wanted = SIM_WANTED(xfer) != NULL;
    SIM_WANTED(xfer) = NULL;
    if (said == AD_HW_BUSY) {
        SIM_NEXT(xfer) = bus->bus_sent.ln_head;
        if (!bus->bus_sent.ln_head)
            bus->bus_sent.ln_tail = xfer;
        bus->bus_sent.ln_head = xfer;
        (void)sim_batch_arm_locked(bus, shim_now_ns() + SIM_BATCH_ROOM_NS);
    }
    shim_lock_exit(&bus->bus_lock);
    if (wanted)
        sim_bus_abort(bus, xfer);
    return false;
}

/*
 * Run up to n of what was sent, and hand back what has ended. Returns how many were run. Context: any, no
 * lock held; one thread at a time, others find nothing to do.
 */
unsigned sim_batch_run(struct sim_bus *bus, unsigned n)
{
    struct ad_xfer *list[SIM_BATCH_MAX], *ended[SIM_BATCH_MAX];
    unsigned got = 0, nended = 0;
    bool armed;

    shim_lock_enter(&bus->bus_lock);
    if (!bus->bus_running)
        got = sim_batch_take_locked(bus, list, n < SIM_BATCH_MAX ? n : SIM_BATCH_MAX);
    shim_lock_exit(&bus->bus_lock);
    if (got == 0)
        return 0;
    for (unsigned i = 0; i < got; i++)
        if (SC_LIKELY(sim_batch_one(bus, list[i])))
            ended[nended++] = list[i];
    shim_lock_enter(&bus->bus_lock);
    bus->bus_running = NULL;
    /* More, for which whoever came meanwhile has found us here. */
    armed = !bus->bus_sent.ln_head || sim_batch_arm_locked(bus, shim_now_ns());
    shim_lock_exit(&bus->bus_lock);
    if (nended != 0)
        ad_hw_done_list(bus->bus_ad, ended, nended);
    sim_calls_end(bus, got);
    return armed ? got : got + sim_batch_run(bus, n);
}

static void sim_batch_fired(struct shim_timer *t)
{
    struct sim_bus *bus = t->tm_arg;

    shim_lock_enter(&bus->bus_lock);
    bus->bus_batch_armed = false;
    shim_lock_exit(&bus->bus_lock);
    (void)sim_batch_run(bus, SIM_BATCH_MAX);
}

unsigned sim_batch_poll(void *hw, unsigned budget)
{
    /* What is not handed back is at its disk, and no reason to be asked again at once. */
    return sim_batch_run(hw, budget);
}

/* ---------------------------------------------------------------- taking back */

/*
 * What has not reached its disk is handed back with that result. Those that are running are only marked, when
 * one is meant. Context: any, no lock held. True: one was meant, and it was here.
 */
static bool sim_batch_back(struct sim_bus *bus, const struct sim_scope *scope, enum ad_result result)
{
    struct sim_line taken = {NULL, NULL};
    bool here;

    shim_lock_enter(&bus->bus_lock);
    sim_line_take(&bus->bus_sent, scope, &taken);
    sim_line_take(&bus->bus_held, scope, &taken);
    here = taken.ln_head != NULL;
    for (struct ad_xfer *x = taken.ln_head; x; x = SIM_NEXT(x))
        bus->bus_calling++;
    for (unsigned i = 0; scope->sc_one && bus->bus_running && i < bus->bus_nrunning; i++) {
        if (bus->bus_running[i] != scope->sc_one)
            continue;
        SIM_WANTED(bus->bus_running[i]) = bus;
    }
    shim_lock_exit(&bus->bus_lock);
    for (struct ad_xfer *x = taken.ln_head, *next; x; x = next) {
        next = SIM_NEXT(x);
        x->xfer_result = (uint8_t)result;
        x->xfer_scsi_status = SC_GOOD_STATUS;
        x->xfer_resid = x->xfer_bytes;
        if (result != AD_RES_UNSENT)
            sim_freeze(sim_disk_at(bus, x->xfer_id, x->xfer_lun));
        ad_hw_done(bus->bus_ad, x);
        sim_calls_end(bus, 1);
    }
    return here;
}

void sim_batch_reset(struct sim_bus *bus, int id, int lun)
{
    const struct sim_scope scope = {id, lun, NULL};

    (void)sim_batch_back(bus, &scope, AD_RES_UNSENT);
}

bool sim_batch_abort(struct sim_bus *bus, const struct ad_xfer *xfer)
{
    const struct sim_scope scope = {-1, -1, xfer};

    return sim_batch_back(bus, &scope, AD_RES_ABORTED);
}

/* The chip begins anew, or is cut off. Locks: bus_lock. */
void sim_batch_forget_locked(struct sim_bus *bus) { bus->bus_held.ln_head = bus->bus_sent.ln_head = NULL; }

/* ---------------------------------------------------------------- coming and going */

void sim_batch_init(struct sim_bus *bus, enum sim_pend pend)
{
    bus->bus_pend = (uint8_t)pend;
    shim_timer_init(&bus->bus_batch_timer, sim_batch_fired, bus);
}
