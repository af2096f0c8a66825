/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_bus.c - the simulated chip: start, abort and reset, and the commands that pend.
 *
 * Outline: bus life / commands that wait / start / abort and reset / the chip table.
 * Does not contain: what a command does (sim_exec.c, sim_cmd_*.c), the device half (sim_dev.c).
 *
 * An ordinary command never touches this file's list. It runs in sim_rw_fast() or sim_execute(),
 * inside start(), in the caller's thread, with no lock held, so any number of threads can be inside one
 * disk at once, and the only serial point is the medium.
 *
 * A command that must wait (latency, an injected delay or hang) gets a record from a pool taken
 * when the bus was made, in a list ordered by time, and one timer runs for the earliest. Whoever
 * takes a record off the list, under bus_lock, owns the right to complete the command: the timer
 * routine, abort() or a reset. That is why nothing is ever completed twice. The command is
 * executed at the end of its wait, not at the start, so that what an abort took back has
 * never reached the medium.
 *
 * Rejected: one timer per command (a host timer object is bigger than the command and a thousand of
 * them would be armed); executing first and delaying the answer (an aborted write would have
 * happened).
 */
#include "sim_impl.h"

/* ---------------------------------------------------------------- bus life */

static void sim_timer_fired(struct shim_timer *t);

int sim_bus_create(const struct sim_bus_config *cfg, struct sim_bus **out)
{
    struct sim_bus *bus = shim_alloc(sizeof(*bus), 64, SHIM_TAG_HW);

    if (!bus)
        return ENOMEM;
    bus->bus_transfer_bytes_max =
        cfg->sb_transfer_bytes_max ? cfg->sb_transfer_bytes_max : SIM_TRANSFER_DEFAULT;
    bus->bus_commands_max = cfg->sb_commands_max ? cfg->sb_commands_max : SIM_COMMANDS_MAX;
    bus->bus_adapter_id = cfg->sb_adapter_id % SC_IDS_MAX;
    bus->bus_clears_queue = cfg->sb_clears_queue;
    bus->bus_no_tags = cfg->sb_no_tags;
    bus->bus_pend_array = shim_alloc(bus->bus_commands_max * sizeof(struct sim_pend), 0, SHIM_TAG_HW);
    if (!bus->bus_pend_array || shim_lock_init(&bus->bus_lock, SHIM_RANK_HW, "sim bus") != 0) {
        if (bus->bus_pend_array)
            shim_free(bus->bus_pend_array, bus->bus_commands_max * sizeof(struct sim_pend), 0, SHIM_TAG_HW);
        shim_free(bus, sizeof(*bus), 64, SHIM_TAG_HW);
        return ENOMEM;
    }
    for (uint32_t i = bus->bus_commands_max; i-- > 0;) {
        bus->bus_pend_array[i].pe_next = bus->bus_free;
        bus->bus_free = &bus->bus_pend_array[i];
    }
    bus->bus_pending.pe_next = bus->bus_pending.pe_prev = &bus->bus_pending;
    shim_timer_init(&bus->bus_timer, sim_timer_fired, bus);
    sim_ops_index(bus->bus_op_index);
    sim_dev_init(bus);
    *out = bus;
    return 0;
}

/* The timer routine may be on its last instructions on another thread; wait those out. */
static void sim_timer_quiesce(struct sim_bus *bus)
{
    while (shim_timer_cancel(&bus->bus_timer) == SHIM_CANCEL_RUNNING)
        shim_delay_ns(1000);
}

void sim_bus_destroy(struct sim_bus *bus)
{
    sim_timer_quiesce(bus);
    SHIM_ASSERT(bus->bus_pending.pe_next == &bus->bus_pending);
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        for (unsigned lun = 0; lun < SC_LUNS_MAX; lun++) {
            struct sim_disk *disk = atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire);

            if (disk)
                sim_disk_free(disk);
        }
    }
    while (bus->bus_gone) {
        struct sim_disk *disk = bus->bus_gone;

        bus->bus_gone = disk->dk_next_gone;
        sim_disk_free(disk);
    }
    shim_lock_fini(&bus->bus_lock);
    shim_free(bus->bus_pend_array, bus->bus_commands_max * sizeof(struct sim_pend), 0, SHIM_TAG_HW);
    shim_free(bus, sizeof(*bus), 64, SHIM_TAG_HW);
}

/* ---------------------------------------------------------------- commands that wait */

static void sim_pend_unlink_locked(struct sim_bus *bus, struct sim_pend *p)
{
    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    SHIM_ASSERT(p->pe_next && p->pe_prev && p != &bus->bus_pending);
    p->pe_prev->pe_next = p->pe_next;
    p->pe_next->pe_prev = p->pe_prev;
    p->pe_prev = NULL;
    p->pe_next = NULL;
}

/* Into the list by time; searched from the end because equal latencies arrive in order. */
static void sim_pend_link_locked(struct sim_bus *bus, struct sim_pend *p)
{
    struct sim_pend *at = bus->bus_pending.pe_prev;

    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    while (at != &bus->bus_pending && at->pe_when_ns > p->pe_when_ns)
        at = at->pe_prev;
    p->pe_prev = at;
    p->pe_next = at->pe_next;
    at->pe_next->pe_prev = p;
    at->pe_next = p;
}

/* Arm the timer for the earliest waiting command. False: no timer is to be had. */
static bool sim_pend_arm_locked(struct sim_bus *bus)
{
    struct sim_pend *first = bus->bus_pending.pe_next;

    SHIM_ASSERT(shim_lock_is_held(&bus->bus_lock));
    if (first == &bus->bus_pending || first->pe_when_ns == UINT64_MAX)
        return true;
    return shim_timer_arm(&bus->bus_timer, first->pe_when_ns) == 0;
}

/*
 * Let a command wait until when_ns. Returns AD_HW_PENDING; AD_HW_BUSY when the chip is full; or
 * AD_HW_DONE when no timer could be armed: the caller then executes at once, because losing
 * the latency is better than losing the command.
 */
static int sim_pend_add(struct sim_bus *bus, struct sim_disk *disk, struct ad_xfer *xfer, uint64_t when_ns)
{
    struct sim_pend *p;
    int started = AD_HW_PENDING;

    shim_lock_enter(&bus->bus_lock);
    p = bus->bus_free;
    if (!p) {
        bus->bus_was_full = true;
        shim_lock_exit(&bus->bus_lock);
        return AD_HW_BUSY;
    }
    bus->bus_free = p->pe_next;
    p->pe_xfer = xfer;
    p->pe_disk = disk;
    p->pe_when_ns = when_ns;
    sim_pend_link_locked(bus, p);
    if (bus->bus_pending.pe_next == p && !sim_pend_arm_locked(bus)) {
        sim_pend_unlink_locked(bus, p);
        p->pe_next = bus->bus_free;
        bus->bus_free = p;
        started = AD_HW_DONE;
    }
    shim_lock_exit(&bus->bus_lock);
    return started;
}

/*
 * Complete a chain of records (linked by pe_next) that the caller took off the list.
 * result AD_RES_COUNT: execute them now; otherwise they come back with that result untouched.
 * Context: any. Locks: none held, the core is called back.
 */
static void sim_pend_complete(struct sim_bus *bus, struct sim_pend *chain, enum ad_result result)
{
    bool kick = false;

    while (chain) {
        struct sim_pend *p = chain;
        struct ad_xfer *xfer = p->pe_xfer;
        struct sim_disk *disk = p->pe_disk;

        chain = p->pe_next;
        shim_lock_enter(&bus->bus_lock);
        p->pe_next = bus->bus_free;
        bus->bus_free = p;
        kick = kick || bus->bus_was_full;
        bus->bus_was_full = false;
        shim_lock_exit(&bus->bus_lock);

        if (result == AD_RES_COUNT) {
            struct sim_cmd c;

            sim_cmd_init(&c, bus, disk, xfer, SIM_NEXUS_ADAPTER);
            sim_execute(&c);
            sim_finish(&c);
        } else {
            xfer->xfer_result = (uint8_t)result;
            xfer->xfer_scsi_status = 0;
            xfer->xfer_resid = xfer->xfer_bytes;
        }
        atomic_fetch_sub_explicit(&disk->dk_active, 1, memory_order_relaxed);
        ad_hw_done(bus->bus_ad, xfer);
    }
    if (kick)
        ad_hw_kick(bus->bus_ad);
}

/* The timer: run what is due, and arm again for what is not. */
static void sim_timer_fired(struct shim_timer *t)
{
    struct sim_bus *bus = t->tm_arg;
    struct sim_pend *chain = NULL, **tail = &chain;
    uint64_t now = shim_now_ns();
    bool armed;

    shim_lock_enter(&bus->bus_lock);
    do {
        struct sim_pend *p;

        while ((p = bus->bus_pending.pe_next) != &bus->bus_pending && p->pe_when_ns <= now) {
            sim_pend_unlink_locked(bus, p);
            *tail = p;
            tail = &p->pe_next;
        }
        armed = sim_pend_arm_locked(bus);
        /* No timer: the earliest is due now, for nobody would wake it later. */
        if (!armed)
            now = bus->bus_pending.pe_next->pe_when_ns;
    } while (!armed);
    shim_lock_exit(&bus->bus_lock);
    sim_pend_complete(bus, chain, AD_RES_COUNT);
}

/*
 * Take back what pends: of one id (-1: every id), of one disk (NULL: every disk).
 * Context: any. Locks: none held, the core is called back.
 */
void sim_bus_drop(struct sim_bus *bus, int id, const struct sim_disk *disk, enum ad_result result)
{
    struct sim_pend *chain = NULL, **tail = &chain;

    shim_lock_enter(&bus->bus_lock);
    for (struct sim_pend *p = bus->bus_pending.pe_next, *next; p != &bus->bus_pending; p = next) {
        next = p->pe_next;
        if ((id >= 0 && p->pe_disk->dk_id != id) || (disk && p->pe_disk != disk))
            continue;
        sim_pend_unlink_locked(bus, p);
        *tail = p;
        tail = &p->pe_next;
    }
    shim_lock_exit(&bus->bus_lock);
    sim_pend_complete(bus, chain, result);
}

/* ---------------------------------------------------------------- start */

static int sim_transport_failed(struct ad_xfer *xfer, enum ad_result result)
{
    xfer->xfer_result = (uint8_t)result;
    xfer->xfer_scsi_status = 0;
    xfer->xfer_resid = xfer->xfer_bytes;
    return AD_HW_DONE;
}

static int sim_status(struct ad_xfer *xfer, uint8_t status)
{
    sim_transport_failed(xfer, AD_RES_STATUS);
    xfer->xfer_scsi_status = status;
    return AD_HW_DONE;
}

/* A LUN that is not there: a target answers for it if the id has any LUN at all. */
static int sim_start_absent(struct sim_bus *bus, struct ad_xfer *xfer)
{
    struct sim_cmd c;
    bool target = false;

    for (unsigned lun = 0; lun < SC_LUNS_MAX && xfer->xfer_id < SC_IDS_MAX && !target; lun++)
        target = atomic_load_explicit(&bus->bus_disk[xfer->xfer_id][lun], memory_order_acquire) != NULL;
    if (!target)
        return sim_transport_failed(xfer, AD_RES_SELECT_TIMEOUT);
    sim_cmd_init(&c, bus, NULL, xfer, SIM_NEXUS_ADAPTER);
    sim_execute(&c);
    sim_finish(&c);
    return AD_HW_DONE;
}

static int sim_reset_bus(void *hw);

/*
 * What an injected fault of the path does. Returns an ad_hw_start value when the command is
 * settled, or -1 to go on, with *delay_ns raised for SIM_FAULT_DELAY.
 */
static int sim_start_fault(struct sim_bus *bus, struct sim_cmd *c, uint64_t *delay_ns)
{
    struct sim_fault f;

    if (!sim_fault_strike(c, SIM_STAGE_ARRIVE, &f))
        return -1;
    switch (f.f_action) {
    case SIM_FAULT_BUSY:
        return sim_status(c->c_xfer, SC_BUSY_STATUS);
    case SIM_FAULT_QUEUE_FULL:
        return sim_status(c->c_xfer, SC_QUEUE_FULL);
    case SIM_FAULT_HANG:
        *delay_ns = UINT64_MAX;
        return -1;
    case SIM_FAULT_DELAY:
        *delay_ns += f.f_param < UINT64_MAX - *delay_ns ? f.f_param : 0;
        return -1;
    case SIM_FAULT_NO_RESPONSE:
        return sim_transport_failed(c->c_xfer, AD_RES_SELECT_TIMEOUT);
    case SIM_FAULT_BUS_FAULT:
        return sim_transport_failed(c->c_xfer, AD_RES_BUS_FAULT);
    case SIM_FAULT_HW_FAILURE:
        return sim_transport_failed(c->c_xfer, AD_RES_HW_FAILURE);
    case SIM_FAULT_BUS_RESET:
        sim_reset_bus(bus);
        return sim_transport_failed(c->c_xfer, AD_RES_BUS_RESET);
    default:
        shim_panic("sim: execution fault %d matched on arrival", (int)f.f_action);
    }
}

/* The depth meter. True when the command fits into the disk's queue. */
static bool sim_active_enter(struct sim_disk *disk)
{
    uint32_t active = atomic_fetch_add_explicit(&disk->dk_active, 1, memory_order_relaxed) + 1;
    uint32_t max = atomic_load_explicit(&disk->dk_active_max, memory_order_relaxed);

    if (disk->dk_depth && active > disk->dk_depth)
        return false;
    while (active > max && !atomic_compare_exchange_weak_explicit(&disk->dk_active_max, &max, active,
                                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    return true;
}

static void sim_tell_watcher(struct sim_disk *disk, const struct ad_xfer *xfer)
{
    void (*fn)(void *, const struct ad_xfer *);
    void *arg;

    shim_lock_enter(&disk->dk_lock);
    fn = disk->dk_watch;
    arg = disk->dk_watch_arg;
    shim_lock_exit(&disk->dk_lock);
    if (fn)
        fn(arg, xfer);
}

/*
 * Every command that is not a plain read or write on an undisturbed disk.
 * Context: any. Locks: none held. Owns: xfer from here until DONE, or until the callback.
 */
static int sim_start_odd(struct sim_bus *bus, struct sim_disk *disk, struct ad_xfer *xfer)
{
    struct sim_cmd c;
    uint64_t delay_ns = disk->dk_latency_ns;
    uint32_t odd = atomic_load_explicit(&disk->dk_odd, memory_order_acquire);
    int started;

    if (odd & SIM_ODD_GONE)
        return sim_transport_failed(xfer, AD_RES_SELECT_TIMEOUT);
    if (odd & SIM_ODD_WATCH)
        sim_tell_watcher(disk, xfer);
    atomic_fetch_add_explicit(&disk->dk_opcode[xfer->xfer_cdb_len ? xfer->xfer_cdb[0] : 0], 1,
                              memory_order_relaxed);
    if (!sim_active_enter(disk)) {
        started = sim_status(xfer, xfer->xfer_qmsg == SC_NO_Q ? SC_BUSY_STATUS : SC_QUEUE_FULL);
    } else {
        sim_cmd_init(&c, bus, disk, xfer, SIM_NEXUS_ADAPTER);
        started = odd & SIM_ODD_FAULTS ? sim_start_fault(bus, &c, &delay_ns) : -1;
        if (started < 0 && delay_ns != 0) {
            uint64_t now = delay_ns == UINT64_MAX ? 0 : shim_now_ns();

            started =
                sim_pend_add(bus, disk, xfer, delay_ns < UINT64_MAX - now ? now + delay_ns : UINT64_MAX);
            /* Pending: the record is the timer's, and xfer may be gone already. */
            if (started == AD_HW_PENDING)
                return started;
            if (started == AD_HW_DONE)
                started = -1;
        }
        if (started < 0) {
            sim_execute(&c);
            sim_finish(&c);
            started = AD_HW_DONE;
        }
    }
    atomic_fetch_sub_explicit(&disk->dk_active, 1, memory_order_relaxed);
    return started;
}

static int sim_start(void *hw, struct ad_xfer *xfer)
{
    struct sim_bus *bus = hw;
    struct sim_disk *disk = NULL;

    if (SC_LIKELY(xfer->xfer_id < SC_IDS_MAX && xfer->xfer_lun < SC_LUNS_MAX))
        disk = atomic_load_explicit(&bus->bus_disk[xfer->xfer_id][xfer->xfer_lun], memory_order_acquire);
    if (SC_UNLIKELY(!disk))
        return sim_start_absent(bus, xfer);
    if (SC_LIKELY(sim_rw_fast(disk, xfer)))
        return AD_HW_DONE;
    return sim_start_odd(bus, disk, xfer);
}

/* ---------------------------------------------------------------- abort and reset */

/*
 * A command that is not on the list is inside start(), or being completed: it comes back by
 * itself. The core knows whether start() has said PENDING, and aborts after that.
 */
static void sim_abort(void *hw, struct ad_xfer *xfer)
{
    struct sim_bus *bus = hw;
    struct sim_pend *p;

    shim_lock_enter(&bus->bus_lock);
    for (p = bus->bus_pending.pe_next; p != &bus->bus_pending && p->pe_xfer != xfer;)
        p = p->pe_next;
    if (p != &bus->bus_pending)
        sim_pend_unlink_locked(bus, p);
    else
        p = NULL;
    shim_lock_exit(&bus->bus_lock);
    sim_pend_complete(bus, p, AD_RES_ABORTED);
}

/* Put the disks of one id (-1: all) into the state after a reset. */
static void sim_disks_reset(struct sim_bus *bus, int only_id, uint8_t ascq)
{
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        for (unsigned lun = 0; lun < SC_LUNS_MAX && (only_id < 0 || id == (unsigned)only_id); lun++) {
            struct sim_disk *disk = atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire);

            if (disk)
                sim_disk_was_reset(disk, ascq);
        }
    }
}

static int sim_reset_target(void *hw, unsigned id)
{
    struct sim_bus *bus = hw;

    if (id >= SC_IDS_MAX)
        return EINVAL;
    sim_disks_reset(bus, (int)id, SCSI_ASCQ_DEVICE_RESET);
    sim_bus_drop(bus, (int)id, NULL, AD_RES_ABORTED);
    return 0;
}

static int sim_reset_bus(void *hw)
{
    struct sim_bus *bus = hw;

    sim_disks_reset(bus, -1, SCSI_ASCQ_BUS_RESET);
    sim_bus_drop(bus, -1, NULL, AD_RES_BUS_RESET);
    ad_hw_event(bus->bus_ad, AD_EV_BUS_RESET);
    return 0;
}

/* ---------------------------------------------------------------- the chip table */

static int sim_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    struct sim_bus *bus = hw;

    memset(caps, 0, sizeof(*caps));
    bus->bus_ad = ad;
    caps->cap_transfer_bytes_max = bus->bus_transfer_bytes_max;
    caps->cap_commands_max = bus->bus_commands_max;
    caps->cap_tags_max = bus->bus_no_tags ? 0 : SIM_TAGS_MAX;
    caps->cap_segs_max = SIM_SEGS_MAX;
    caps->cap_adapter_id = bus->bus_adapter_id;
    caps->cap_ids = SC_IDS_MAX;
    caps->cap_luns = SC_LUNS_MAX;
    caps->cap_gather = true;
    caps->cap_keeps_queue = !bus->bus_clears_queue;
    return 0;
}

/* What still hangs comes back now, so that detaching never waits for a fault that never ends. */
static void sim_detach(void *hw)
{
    struct sim_bus *bus = hw;

    sim_bus_drop(bus, -1, NULL, AD_RES_ABORTED);
    sim_timer_quiesce(bus);
    bus->bus_ad = NULL;
}

const struct ad_hw_ops sim_hw_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "sim",
    .attach = sim_attach,
    .detach = sim_detach,
    .start = sim_start,
    .abort = sim_abort,
    .reset_target = sim_reset_target,
    .reset_bus = sim_reset_bus,
};
