/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_bus.c - the simulated chip: its life, the arrival of a command, abort and reset.
 *
 * Outline: bus life / start / abort and reset / the chip table.
 * Does not contain: commands that wait, and their order (sim_task.c), what a command does (sim_exec.c,
 * sim_cmd_*.c), the device half (sim_dev.c).
 *
 * An ordinary command touches nothing but its disk. It runs in sim_rw_fast(), inside start(), in the
 * caller's thread, with no lock held, so any number of threads can be inside one disk at once, and the
 * only serial point is the medium.
 */
#include "sim_impl.h"

/* ---------------------------------------------------------------- bus life */

static void sim_reset_fired(struct shim_timer *t);
static void sim_timer_fired(struct shim_timer *t) { sim_tasks_run_due(t->tm_arg); }

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
    sim_batch_init(bus, cfg->sb_pend);
    bus->bus_task_array = shim_alloc(bus->bus_commands_max * sizeof(struct sim_task), 0, SHIM_TAG_HW);
    if (!bus->bus_task_array || shim_lock_init(&bus->bus_lock, SHIM_RANK_HW, "sim bus") != 0) {
        if (bus->bus_task_array)
            shim_free(bus->bus_task_array, bus->bus_commands_max * sizeof(struct sim_task), 0, SHIM_TAG_HW);
        shim_free(bus, sizeof(*bus), 64, SHIM_TAG_HW);
        return ENOMEM;
    }
    for (uint32_t i = bus->bus_commands_max; i-- > 0;) {
        bus->bus_task_array[i].tk_next = bus->bus_free;
        bus->bus_free = &bus->bus_task_array[i];
    }
    bus->bus_waiting.tk_next = bus->bus_waiting.tk_prev = &bus->bus_waiting;
    shim_timer_init(&bus->bus_timer, sim_timer_fired, bus);
    for (unsigned i = 0; i < SIM_RESETS_MAX; i++) {
        bus->bus_resets[i].rs_bus = bus;
        shim_timer_init(&bus->bus_resets[i].rs_timer, sim_reset_fired, &bus->bus_resets[i]);
    }
    sim_ops_index(bus->bus_op_index);
    sim_dev_init(bus);
    *out = bus;
    return 0;
}

/* The timer routine may be on its last instructions on another thread; wait those out. */
static void sim_timer_quiesce(struct shim_timer *t)
{
    for (uint64_t ns = 1000; shim_timer_cancel(t) == SHIM_CANCEL_RUNNING; ns = sim_longer(ns))
        shim_delay_ns(ns);
}

void sim_bus_destroy(struct sim_bus *bus)
{
    sim_timer_quiesce(&bus->bus_timer);
    sim_timer_quiesce(&bus->bus_batch_timer);
    SHIM_ASSERT(bus->bus_waiting.tk_next == &bus->bus_waiting);
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        for (unsigned lun = 0; lun < SC_LUNS_MAX; lun++) {
            struct sim_disk *disk = atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire);

            if (disk)
                sim_disk_free(disk);
        }
    }
    shim_lock_fini(&bus->bus_lock);
    shim_free(bus->bus_task_array, bus->bus_commands_max * sizeof(struct sim_task), 0, SHIM_TAG_HW);
    shim_free(bus, sizeof(*bus), 64, SHIM_TAG_HW);
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

    for (unsigned lun = 0; lun < SC_LUNS_MAX && !target; lun++)
        target = sim_disk_find(bus, xfer->xfer_id, lun) != NULL;
    if (!target)
        return sim_transport_failed(xfer, AD_RES_SELECT_TIMEOUT);
    sim_cmd_init(&c, bus, NULL, xfer, SIM_NEXUS_ADAPTER);
    sim_execute(&c);
    sim_finish(&c);
    return AD_HW_DONE;
}

static int sim_reset_do(struct sim_bus *bus, enum ad_hw_reset which, unsigned id, unsigned lun);

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
        (void)sim_reset_do(bus, AD_RESET_BUS, 0, 0);
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

/*
 * A command arrives, unless the LUN is frozen. Under the lock that sim_freeze() takes, so that it has
 * arrived, and the watcher been told, or it does not: a freeze on top of this thread could not wait for it.
 * The odd bits of that moment go to *odd. A chip in batches has looked, and told, when it took the command
 * in.
 */
static bool sim_arrive(const struct sim_bus *bus, struct sim_disk *disk, const struct ad_xfer *xfer,
                       uint32_t *odd)
{
    bool frozen;

    shim_lock_enter(&disk->dk_lock);
    *odd = atomic_load_explicit(&disk->dk_odd, memory_order_seq_cst);
    frozen = !bus->bus_pend && (*odd & SIM_ODD_FROZEN) && !(xfer->xfer_flags & AD_XFER_PAST);
    if (!frozen && !bus->bus_pend && (*odd & (SIM_ODD_WATCH | SIM_ODD_GONE)) == SIM_ODD_WATCH &&
        disk->dk_watch)
        disk->dk_watch(disk->dk_watch_arg, xfer);
    shim_lock_exit(&disk->dk_lock);
    return !frozen;
}

/*
 * Take a command that has arrived into the task set and run it, unless it has to wait.
 * Context: any. Locks: none held. Owns: as sim_start_odd().
 */
static int sim_start_task(struct sim_bus *bus, struct sim_cmd *c, uint64_t delay_ns)
{
    bool kick = false;
    int said;
    struct sim_task *t = sim_task_enter(c, delay_ns, &said);

    if (!t) {
        if (said == AD_HW_DONE) {
            sim_protocol_note(c, SIM_PROTOCOL_OVERLAP);
            sim_check(c, SCSI_KEY_ABORTED, SCSI_ASC_OVERLAPPED, 0);
            sim_finish(c);
        }
        atomic_fetch_sub_explicit(&c->c_disk->dk_active, 1, memory_order_relaxed);
    } else if (said == AD_HW_DONE && !sim_task_run(bus, t, &kick)) {
        said = AD_HW_PENDING;
    }
    if (kick)
        ad_hw_kick(bus->bus_ad);
    return said;
}

/*
 * Every command that is not a plain read or write on an undisturbed disk. Who takes the disk away waits for
 * whoever is in here. Context: any. Locks: none held. Owns: xfer from here until DONE, or until the callback.
 */
static int sim_start_inside(struct sim_bus *bus, struct sim_disk *disk, struct ad_xfer *xfer)
{
    struct sim_cmd c;
    uint64_t delay_ns;
    uint32_t odd;
    int started = -1;

    if (!sim_arrive(bus, disk, xfer, &odd))
        return AD_HW_FROZEN;
    if (odd & SIM_ODD_GONE)
        return sim_start_absent(bus, xfer);
    delay_ns = disk->dk_latency_ns;
    sim_cmd_init(&c, bus, disk, xfer, SIM_NEXUS_ADAPTER);
    if ((odd & SIM_ODD_SENSE) && xfer->xfer_qmsg == SC_NO_Q)
        sim_allegiance_told(disk, SIM_NEXUS_ADAPTER);
    atomic_fetch_add_explicit(&disk->dk_opcode[c.c_cdb[0]], 1, memory_order_relaxed);
    if (!sim_active_enter(disk)) {
        started = sim_status(xfer, xfer->xfer_qmsg == SC_NO_Q ? SC_BUSY_STATUS : SC_QUEUE_FULL);
    } else if (xfer->xfer_qmsg != SC_NO_Q && (!disk->dk_tags || xfer->xfer_tag >= SIM_TAGS_MAX)) {
        sim_protocol(&c, SIM_PROTOCOL_TAG);
        sim_finish(&c);
        started = AD_HW_DONE;
    } else if (odd & SIM_ODD_FAULTS) {
        started = sim_start_fault(bus, &c, &delay_ns);
    }
    if (started < 0)
        return sim_start_task(bus, &c, delay_ns);
    atomic_fetch_sub_explicit(&disk->dk_active, 1, memory_order_relaxed);
    return started;
}

static int sim_start_odd(struct sim_bus *bus, struct sim_disk *disk, struct ad_xfer *xfer)
{
    int said;

    atomic_fetch_add_explicit(&disk->dk_inside, 1, memory_order_seq_cst);
    said = sim_start_inside(bus, disk, xfer);
    atomic_fetch_sub_explicit(&disk->dk_inside, 1, memory_order_release);
    return said;
}

static __attribute__((noinline)) int sim_start(void *hw, struct ad_xfer *xfer)
{
    struct sim_bus *bus = hw;
    struct sim_disk *disk = NULL;
    int said;

    if (SC_LIKELY(xfer->xfer_id < SC_IDS_MAX && xfer->xfer_lun < SC_LUNS_MAX))
        disk = atomic_load_explicit(&bus->bus_disk[xfer->xfer_id][xfer->xfer_lun], memory_order_acquire);
    if (SC_UNLIKELY(!disk))
        return sim_start_absent(bus, xfer);
    if (SC_LIKELY(sim_rw_fast(disk, xfer)))
        return AD_HW_DONE;
    said = sim_start_odd(bus, disk, xfer);
    if (said == AD_HW_DONE && xfer->xfer_result != AD_RES_GOOD)
        sim_freeze(disk);
    return said;
}

int sim_bus_start(struct sim_bus *bus, struct ad_xfer *xfer) { return sim_start(bus, xfer); }

static int sim_start_batch(void *hw, struct ad_xfer *xfer) { return sim_batch_start(hw, xfer); }

/* ---------------------------------------------------------------- abort and reset */

/*
 * A command that is not on the list is inside start(), or being completed: it comes back by
 * itself. The core knows whether start() has said PENDING, and aborts after that.
 */
void sim_bus_abort(struct sim_bus *bus, struct ad_xfer *xfer) { sim_task_abort(bus, xfer); }

static void sim_abort(void *hw, struct ad_xfer *xfer)
{
    struct sim_bus *bus = hw;

    if (!bus->bus_pend || !sim_batch_abort(bus, xfer))
        sim_bus_abort(bus, xfer);
}

/* Put the disks of one id (-1: all) into the state after a reset. */
static void sim_disks_reset(struct sim_bus *bus, int only_id, uint8_t ascq)
{
    for (unsigned id = 0; id < SC_IDS_MAX; id++) {
        for (unsigned lun = 0; lun < SC_LUNS_MAX && (only_id < 0 || id == (unsigned)only_id); lun++) {
            struct sim_disk *disk = sim_disk_find(bus, id, lun);

            if (disk)
                sim_disk_was_reset(disk, ascq);
        }
    }
}

/* Also one that has gone: the core undoes what it has seen, and the next disk here goes on counting. */
struct sim_disk *sim_disk_at(struct sim_bus *bus, unsigned id, unsigned lun)
{
    return id < SC_IDS_MAX && lun < SC_LUNS_MAX
               ? atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire)
               : NULL;
}

/* What a reset does, when its time has come. 0 or errno. */
static int sim_reset_do(struct sim_bus *bus, enum ad_hw_reset which, unsigned id, unsigned lun)
{
    struct sim_disk *disk;

    switch (which) {
    case AD_RESET_LUN:
        disk = sim_disk_find(bus, id, lun);
        if (!disk)
            return 0;
        sim_disk_was_reset(disk, SCSI_ASCQ_DEVICE_RESET);
        sim_batch_reset(bus, (int)id, (int)lun);
        sim_tasks_take(bus, -1, disk, AD_RES_ABORTED, SIM_DEAF_LUN);
        return 0;
    case AD_RESET_TARGET:
        sim_disks_reset(bus, (int)id, SCSI_ASCQ_DEVICE_RESET);
        sim_batch_reset(bus, (int)id, -1);
        sim_tasks_take(bus, (int)id, NULL, AD_RES_ABORTED, SIM_DEAF_TARGET);
        return 0;
    case AD_RESET_BUS:
        sim_disks_reset(bus, -1, SCSI_ASCQ_BUS_RESET);
        sim_batch_reset(bus, -1, -1);
        sim_tasks_take(bus, -1, NULL, AD_RES_BUS_RESET, SIM_DEAF_BUS);
        ad_hw_event(bus->bus_ad, AD_EV_BUS_RESET);
        return 0;
    default:
        if (bus->bus_deaf >= SIM_DEAF_ADAPTER)
            return EIO;
        shim_lock_enter(&bus->bus_lock);
        bus->bus_cut = false;
        shim_lock_exit(&bus->bus_lock);
        sim_disks_reset(bus, -1, SCSI_ASCQ_BUS_RESET);
        return sim_tasks_forget(bus) ? AD_HW_RESETTING : 0;
    }
}

static void sim_reset_fired(struct shim_timer *t)
{
    struct sim_reset *rs = t->tm_arg;
    struct sim_bus *bus = rs->rs_bus;
    const struct sim_reset it = *rs;
    int said = sim_reset_do(bus, (enum ad_hw_reset)it.rs_which, it.rs_id, it.rs_lun);

    shim_lock_enter(&bus->bus_lock);
    rs->rs_busy = false;
    shim_lock_exit(&bus->bus_lock);
    if (said != AD_HW_RESETTING)
        ad_hw_reset_done(bus->bus_ad, (enum ad_hw_reset)it.rs_which, it.rs_id, it.rs_lun, said);
}

/* One that takes its time, if there is a place for it and a timer to be had; else at once. */
static int sim_reset(struct sim_bus *bus, enum ad_hw_reset which, unsigned id, unsigned lun)
{
    struct sim_reset *rs = NULL;

    shim_lock_enter(&bus->bus_lock);
    for (unsigned i = 0; bus->bus_reset_ns != 0 && i < SIM_RESETS_MAX && !rs; i++)
        if (!bus->bus_resets[i].rs_busy)
            rs = &bus->bus_resets[i];
    if (rs) {
        rs->rs_busy = true;
        rs->rs_which = (uint8_t)which;
        rs->rs_id = (uint8_t)id;
        rs->rs_lun = (uint8_t)lun;
        if (shim_timer_arm(&rs->rs_timer, shim_now_ns() + bus->bus_reset_ns) != 0) {
            rs->rs_busy = false;
            rs = NULL;
        }
    }
    shim_lock_exit(&bus->bus_lock);
    return rs ? AD_HW_RESETTING : sim_reset_do(bus, which, id, lun);
}

static int sim_reset_lun(void *hw, unsigned id, unsigned lun) { return sim_reset(hw, AD_RESET_LUN, id, lun); }

static int sim_reset_target(void *hw, unsigned id)
{
    return id < SC_IDS_MAX ? sim_reset(hw, AD_RESET_TARGET, id, 0) : EINVAL;
}

static int sim_reset_bus(void *hw) { return sim_reset(hw, AD_RESET_BUS, 0, 0); }

static int sim_reset_adapter(void *hw) { return sim_reset(hw, AD_RESET_ADAPTER, 0, 0); }

static void sim_isolate(void *hw)
{
    struct sim_bus *bus = hw;

    shim_lock_enter(&bus->bus_lock);
    bus->bus_cut = true;
    shim_lock_exit(&bus->bus_lock);
    (void)sim_tasks_forget(bus);
}

void sim_bus_deafen(struct sim_bus *bus, enum sim_deaf deaf, uint64_t reset_ns)
{
    shim_lock_enter(&bus->bus_lock);
    bus->bus_deaf = (uint8_t)deaf;
    bus->bus_reset_ns = reset_ns;
    shim_lock_exit(&bus->bus_lock);
}

/* ---------------------------------------------------------------- freezing */

/* A LUN that never had a disk is not frozen: whatever is started there fails, and does nothing. */
static void sim_hw_freeze(void *hw, unsigned id, unsigned lun) { sim_freeze(sim_disk_at(hw, id, lun)); }

static void sim_hw_thaw(void *hw, unsigned id, unsigned lun, unsigned n)
{
    sim_thaw(sim_disk_at(hw, id, lun), n);
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

    for (unsigned i = 0; i < SIM_RESETS_MAX; i++)
        sim_timer_quiesce(&bus->bus_resets[i].rs_timer);
    sim_timer_quiesce(&bus->bus_batch_timer);
    sim_batch_reset(bus, -1, -1);
    sim_tasks_take(bus, -1, NULL, AD_RES_ABORTED, SIM_DEAF_COUNT);
    sim_timer_quiesce(&bus->bus_timer);
    bus->bus_ad = NULL;
}

#define SIM_HW_OPS                                                                                           \
    .version = AD_HW_VERSION, .size = sizeof(struct ad_hw_ops), .name = "sim", .attach = sim_attach,         \
    .detach = sim_detach, .abort = sim_abort, .reset_target = sim_reset_target, .reset_bus = sim_reset_bus,  \
    .freeze = sim_hw_freeze, .thaw = sim_hw_thaw, .reset_lun = sim_reset_lun,                                \
    .reset_adapter = sim_reset_adapter, .ahead = sim_ahead

#define SIM_BATCH_OPS SIM_HW_OPS, .start = sim_start_batch, .flush = sim_batch_flush

const struct ad_hw_ops sim_hw_ops = {SIM_HW_OPS, .start = sim_start};
const struct ad_hw_ops sim_hw_ops_cut = {SIM_HW_OPS, .start = sim_start, .isolate = sim_isolate};
static const struct ad_hw_ops sim_hw_ops_pend[2][2] = {
    {{SIM_BATCH_OPS}, {SIM_BATCH_OPS, .isolate = sim_isolate}},
    {{SIM_BATCH_OPS, .poll_some = sim_batch_poll},
     {SIM_BATCH_OPS, .poll_some = sim_batch_poll, .isolate = sim_isolate}}};

const struct ad_hw_ops *sim_bus_ops(const struct sim_bus *bus, bool cut)
{
    if (bus->bus_pend)
        return &sim_hw_ops_pend[bus->bus_pend == SIM_PEND_POLL][cut];
    return cut ? &sim_hw_ops_cut : &sim_hw_ops;
}
