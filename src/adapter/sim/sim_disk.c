/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_disk.c - a disk's life on the simulated bus, and the state that several commands share: unit
 * attentions, the word that says whether anything is unusual, statistics.
 *
 * A place on the bus (id and LUN) that has had a disk keeps the memory of its struct sim_disk until the bus
 * goes, and the next disk there gets it. So a thread that has looked it up and lost its processor finds a
 * disk, whenever it goes on: one that has gone, or the one that is there by then, as if the command had come
 * later. What it read of the disk before cannot be taken for the other one's, because the word it looks at
 * twice (dk_odd) also says how many disks were there before. The medium goes with the disk, as soon as
 * sim_tasks_drain() has seen everybody out. Rejected: freeing the memory too, which would need a count of
 * threads on the hot path.
 *
 * Does not contain: executing commands (sim_exec.c), fault rules (sim_fault.c).
 */
#include "sim_impl.h"

/* ---------------------------------------------------------------- shared state */

/*
 * Work out dk_odd from everything it summarises. One function, called after every change, so
 * that no bit can be forgotten. A thread already in the hot path may miss a change that is made
 * while it runs; that is the same as having been a little faster.
 */
void sim_disk_odd_update_locked(struct sim_disk *disk)
{
    const struct sim_nexus *nx = &disk->dk_nexus[SIM_NEXUS_ADAPTER];
    uint32_t odd = disk->dk_gone ? SIM_ODD_GONE : 0;

    SHIM_ASSERT(shim_lock_is_held(&disk->dk_lock));
    odd |= nx->nx_attentions ? SIM_ODD_ATTENTION : 0;
    odd |= nx->nx_sense.se_valid ? SIM_ODD_SENSE : 0;
    odd |= sim_faults_due_locked(disk) ? SIM_ODD_FAULTS : 0;
    odd |= sim_resv_conflict_locked(disk, SIM_NEXUS_ADAPTER, SIM_ACCESS_WRITE) ? SIM_ODD_RESERVED : 0;
    odd |= disk->dk_stopped || disk->dk_ejected ? SIM_ODD_STOPPED : 0;
    odd |= disk->dk_latency_ns ? SIM_ODD_LATENCY : 0;
    odd |= disk->dk_depth ? SIM_ODD_DEPTH : 0;
    odd |= disk->dk_watch ? SIM_ODD_WATCH : 0;
    odd |= disk->dk_read_only || sim_mode_protected(disk) ? SIM_ODD_PROTECT : 0;
    odd |= sim_mode_wce(disk) ? 0 : SIM_ODD_WRITE_THROUGH;
    odd |= disk->dk_gate ? SIM_ODD_GATE : 0;
    odd |= disk->dk_frozen ? SIM_ODD_FROZEN : 0;
    odd |= disk->dk_series * SIM_ODD_SERIES;
    atomic_store_explicit(&disk->dk_odd, odd, memory_order_release);
}

/* Queue a unit attention; one that waits already is not doubled, and a full queue keeps the old ones. */
void sim_attention_locked(struct sim_disk *disk, unsigned nexus, uint8_t asc, uint8_t ascq)
{
    struct sim_nexus *nx = &disk->dk_nexus[nexus];

    SHIM_ASSERT(shim_lock_is_held(&disk->dk_lock));
    SHIM_ASSERT(nexus < SIM_NEXUS_COUNT && nx->nx_attentions <= SIM_ATTENTIONS_MAX);
    for (uint32_t i = 0; i < nx->nx_attentions; i++) {
        if (nx->nx_attention[i].ua_asc == asc && nx->nx_attention[i].ua_ascq == ascq)
            return;
    }
    if (nx->nx_attentions == SIM_ATTENTIONS_MAX)
        return;
    nx->nx_attention[nx->nx_attentions].ua_asc = asc;
    nx->nx_attention[nx->nx_attentions].ua_ascq = ascq;
    nx->nx_attentions++;
}

/* Everybody but `nexus` is told; SIM_NEXUS_COUNT: everybody. */
void sim_attention_others_locked(struct sim_disk *disk, unsigned nexus, uint8_t asc, uint8_t ascq)
{
    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++) {
        if (i != nexus)
            sim_attention_locked(disk, i, asc, ascq);
    }
    sim_disk_odd_update_locked(disk);
}

/* The first attention is told, or number i has been told otherwise. */
void sim_attention_drop_locked(struct sim_nexus *nx, uint32_t i)
{
    SHIM_ASSERT(i < nx->nx_attentions);
    nx->nx_attentions--;
    memmove(&nx->nx_attention[i], &nx->nx_attention[i + 1],
            (nx->nx_attentions - i) * sizeof(nx->nx_attention[0]));
}

/* A LUN of this id has come or gone: all the others say so, once the bus is in use. */
static void sim_luns_changed(struct sim_bus *bus, unsigned id, unsigned but_lun)
{
    for (unsigned lun = 0; lun < SC_LUNS_MAX && bus->bus_ad; lun++) {
        struct sim_disk *disk = sim_disk_find(bus, id, lun);

        if (!disk || lun == but_lun)
            continue;
        shim_lock_enter(&disk->dk_lock);
        sim_attention_others_locked(disk, SIM_NEXUS_COUNT, SCSI_ASC_TARGET_CHANGED, SCSI_ASCQ_LUNS_CHANGED);
        shim_lock_exit(&disk->dk_lock);
    }
}

/* REPORT LUNS has told it; nobody needs to hear it from the other LUNs as well. */
void sim_luns_told(struct sim_bus *bus, unsigned id, unsigned nexus)
{
    for (unsigned lun = 0; lun < SC_LUNS_MAX; lun++) {
        struct sim_disk *disk = sim_disk_find(bus, id, lun);
        struct sim_nexus *nx = disk ? &disk->dk_nexus[nexus] : NULL;

        if (!disk)
            continue;
        shim_lock_enter(&disk->dk_lock);
        for (uint32_t i = nx->nx_attentions; i-- > 0;) {
            if (nx->nx_attention[i].ua_asc == SCSI_ASC_TARGET_CHANGED &&
                nx->nx_attention[i].ua_ascq == SCSI_ASCQ_LUNS_CHANGED)
                sim_attention_drop_locked(nx, i);
        }
        sim_disk_odd_update_locked(disk);
        shim_lock_exit(&disk->dk_lock);
    }
}

/* After a bus or device reset: RESERVE is gone, saved mode pages are current, sense is dropped. */
void sim_disk_was_reset(struct sim_disk *disk, uint8_t ascq)
{
    shim_lock_enter(&disk->dk_lock);
    for (unsigned i = 0; i < SIM_NEXUS_COUNT; i++)
        disk->dk_nexus[i].nx_sense.se_valid = disk->dk_nexus[i].nx_prevents = false;
    disk->dk_reserve_holder = -1;
    memcpy(disk->dk_mode, disk->dk_mode_saved, sizeof(disk->dk_mode));
    sim_attention_others_locked(disk, SIM_NEXUS_COUNT, SCSI_ASC_RESET, ascq);
    shim_lock_exit(&disk->dk_lock);
}

/* ---------------------------------------------------------------- life */

static bool sim_disk_config_ok(const struct sim_disk_config *cfg)
{
    const struct sim_medium_ops *ops = cfg->sd_ops;

    if (cfg->sd_id >= SC_IDS_MAX || cfg->sd_lun >= SC_LUNS_MAX)
        return false;
    if (cfg->sd_block_bytes < 512 || cfg->sd_block_bytes > SIM_BLOCK_MAX ||
        (cfg->sd_block_bytes & (cfg->sd_block_bytes - 1)) != 0)
        return false;
    if (cfg->sd_physical_bytes &&
        (cfg->sd_physical_bytes < cfg->sd_block_bytes || cfg->sd_physical_bytes > SIM_PHYSICAL_MAX ||
         (cfg->sd_physical_bytes & (cfg->sd_physical_bytes - 1)) != 0))
        return false;
    if (cfg->sd_blocks == 0 || cfg->sd_blocks > (uint64_t)INT64_MAX / cfg->sd_block_bytes)
        return false;
    return ops && ops->version == 1 && ops->size >= sizeof(*ops) && ops->read && ops->write;
}

/* "SIM" and the address, when the configuration names no serial number. */
static void sim_disk_serial(struct sim_disk *disk, const char *wanted)
{
    unsigned n = 0;

    for (; n < 16 && wanted[n] != '\0'; n++)
        disk->dk_serial[n] = wanted[n];
    if (n == 0)
        shim_format(disk->dk_serial, sizeof(disk->dk_serial), "SIM%02x%02x", disk->dk_id, disk->dk_lun);
}

static int sim_disk_locks(struct sim_disk *disk)
{
    if (shim_lock_init(&disk->dk_lock, SHIM_RANK_HW_DEV, "sim disk") != 0)
        return ENOMEM;
    if (shim_lock_init(&disk->dk_turn, SHIM_RANK_HW, "sim disk's turn") != 0) {
        shim_lock_fini(&disk->dk_lock);
        return ENOMEM;
    }
    return 0;
}

/* Memory for a disk at this place: new, or that of the one that was there. NULL without memory. */
static struct sim_disk *sim_disk_place(struct sim_bus *bus, unsigned id, unsigned lun)
{
    struct sim_disk *disk = atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire);

    if (disk)
        return disk;
    disk = shim_alloc(sizeof(*disk), 64, SHIM_TAG_HW);
    if (!disk)
        return NULL;
    if (sim_disk_locks(disk) != 0) {
        shim_free(disk, sizeof(*disk), 64, SHIM_TAG_HW);
        return NULL;
    }
    disk->dk_bus = bus;
    disk->dk_id = (uint8_t)id;
    disk->dk_lun = (uint8_t)lun;
    disk->dk_lun_bits = (uint8_t)(lun < 8 ? lun * 32u : 0u);
    disk->dk_gone = true;
    return disk;
}

/* What it is. Nobody is inside. Locks: dk_lock. */
static void sim_disk_make_locked(struct sim_disk *disk, const struct sim_disk_config *cfg)
{
    const struct sim_bus *bus = disk->dk_bus;
    unsigned shift = (unsigned)__builtin_ctz(cfg->sd_block_bytes);

    disk->dk_block_bytes = cfg->sd_block_bytes;
    atomic_store_explicit(&disk->dk_block_shift, (uint8_t)shift, memory_order_relaxed);
    atomic_store_explicit(&disk->dk_transfer_blocks_max,
                          bus->bus_transfer_bytes_max >> shift < UINT32_MAX
                              ? (uint32_t)(bus->bus_transfer_bytes_max >> shift)
                              : UINT32_MAX,
                          memory_order_relaxed);
    atomic_store_explicit(&disk->dk_blocks, cfg->sd_blocks, memory_order_relaxed);
    disk->dk_read_only = cfg->sd_read_only;
    disk->dk_removable = cfg->sd_removable;
    disk->dk_physical_exponent = 0;
    if (cfg->sd_physical_bytes)
        disk->dk_physical_exponent =
            (uint8_t)(__builtin_ctz(cfg->sd_physical_bytes) - __builtin_ctz(cfg->sd_block_bytes));
    disk->dk_tags = !cfg->sd_no_tags && !bus->bus_no_tags;
    atomic_store_explicit(&disk->dk_hot_qmsg, disk->dk_tags ? SC_SIMPLE_Q : 0xff, memory_order_relaxed);
    disk->dk_depth = cfg->sd_queue_depth;
    disk->dk_latency_ns = cfg->sd_latency_ns;
    disk->dk_ops = cfg->sd_ops;
    disk->dk_medium = cfg->sd_medium;
    atomic_store_explicit(&disk->dk_memory,
                          cfg->sd_ops->memory ? (uintptr_t)cfg->sd_ops->memory(cfg->sd_medium) : 0,
                          memory_order_relaxed);
    memset(disk->dk_serial, 0, sizeof(disk->dk_serial));
    sim_disk_serial(disk, cfg->sd_serial);
}

static void sim_disk_counters_zero(struct sim_disk *disk)
{
    for (unsigned i = 0; i < SC_ARRAY_SIZE(disk->dk_opcode); i++)
        atomic_store_explicit(&disk->dk_opcode[i], 0, memory_order_relaxed);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(disk->dk_protocol); i++)
        atomic_store_explicit(&disk->dk_protocol[i], 0, memory_order_relaxed);
    for (unsigned s = 0; s < SC_ARRAY_SIZE(disk->dk_stripe); s++) {
        for (unsigned i = 0; i < SC_ARRAY_SIZE(disk->dk_stripe[s].sp_ops); i++)
            atomic_store_explicit(&disk->dk_stripe[s].sp_ops[i], 0, memory_order_relaxed);
        for (unsigned i = 0; i < 2; i++)
            atomic_store_explicit(&disk->dk_stripe[s].sp_bytes[i], 0, memory_order_relaxed);
    }
    for (unsigned i = 0; i < 2; i++)
        atomic_store_explicit(&disk->dk_medium_errors[i], 0, memory_order_relaxed);
    atomic_store_explicit(&disk->dk_bytes_read, 0, memory_order_relaxed);
    atomic_store_explicit(&disk->dk_bytes_written, 0, memory_order_relaxed);
    atomic_store_explicit(&disk->dk_active_max, 0, memory_order_relaxed);
}

/* It is there, as after power on; what the core has frozen here stays so. Locks: dk_lock. */
static void sim_disk_power_on_locked(struct sim_disk *disk)
{
    memset(disk->dk_nexus, 0, sizeof(disk->dk_nexus));
    disk->dk_faults = 0;
    disk->dk_stopped = disk->dk_ejected = false;
    sim_mode_defaults(disk->dk_mode);
    sim_mode_defaults(disk->dk_mode_saved);
    disk->dk_reserve_holder = -1;
    disk->dk_pr_holder = -1;
    disk->dk_pr_type = 0;
    disk->dk_pr_generation = 0;
    disk->dk_watch = NULL;
    disk->dk_series++;
    disk->dk_gone = false;
    sim_attention_others_locked(disk, SIM_NEXUS_COUNT, SCSI_ASC_RESET, SCSI_ASCQ_POWER_ON);
}

int sim_disk_add(struct sim_bus *bus, const struct sim_disk_config *cfg)
{
    struct sim_disk *disk;

    if (!sim_disk_config_ok(cfg))
        return EINVAL;
    if (cfg->sd_id == bus->bus_adapter_id || sim_disk_find(bus, cfg->sd_id, cfg->sd_lun))
        return EEXIST;
    disk = sim_disk_place(bus, cfg->sd_id, cfg->sd_lun);
    if (!disk)
        return ENOMEM;
    sim_disk_counters_zero(disk);
    shim_lock_enter(&disk->dk_lock);
    sim_disk_make_locked(disk, cfg);
    sim_disk_power_on_locked(disk);
    shim_lock_exit(&disk->dk_lock);
    atomic_store_explicit(&bus->bus_disk[disk->dk_id][disk->dk_lun], disk, memory_order_release);
    sim_luns_changed(bus, disk->dk_id, disk->dk_lun);
    return 0;
}

/* Nobody is inside any more. */
static void sim_disk_medium_close(struct sim_disk *disk)
{
    SHIM_ASSERT(atomic_load_explicit(&disk->dk_active, memory_order_relaxed) == 0);
    atomic_store_explicit(&disk->dk_memory, 0, memory_order_relaxed);
    if (disk->dk_ops->close)
        disk->dk_ops->close(disk->dk_medium);
    disk->dk_medium = NULL;
}

/* The bus goes: give everything back. */
void sim_disk_free(struct sim_disk *disk)
{
    if (!disk->dk_gone)
        sim_disk_medium_close(disk);
    shim_lock_fini(&disk->dk_turn);
    shim_lock_fini(&disk->dk_lock);
    shim_free(disk, sizeof(*disk), 64, SHIM_TAG_HW);
}

struct sim_disk *sim_disk_find(struct sim_bus *bus, unsigned id, unsigned lun)
{
    struct sim_disk *disk;

    if (id >= SC_IDS_MAX || lun >= SC_LUNS_MAX)
        return NULL;
    disk = atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire);
    if (!disk || (atomic_load_explicit(&disk->dk_odd, memory_order_acquire) & SIM_ODD_GONE))
        return NULL;
    return disk;
}

void sim_disk_remove(struct sim_bus *bus, struct sim_disk *disk)
{
    SHIM_ASSERT(sim_disk_find(bus, disk->dk_id, disk->dk_lun) == disk);
    shim_lock_enter(&disk->dk_lock);
    disk->dk_gone = true;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
    sim_tasks_drain(bus, disk);
    sim_disk_medium_close(disk);
    sim_luns_changed(bus, disk->dk_id, disk->dk_lun);
}

uint64_t sim_disk_blocks(const struct sim_disk *disk)
{
    return atomic_load_explicit(&disk->dk_blocks, memory_order_acquire);
}

int sim_disk_resize(struct sim_disk *disk, uint64_t blocks)
{
    if (blocks == 0 || blocks > (uint64_t)INT64_MAX >> disk->dk_block_shift)
        return EINVAL;
    shim_lock_enter(&disk->dk_lock);
    atomic_store_explicit(&disk->dk_blocks, blocks, memory_order_relaxed);
    sim_attention_others_locked(disk, SIM_NEXUS_COUNT, SCSI_ASC_PARAMETERS, SCSI_ASCQ_CAPACITY);
    shim_lock_exit(&disk->dk_lock);
    return 0;
}

/* ---------------------------------------------------------------- for those outside */

void sim_disk_attention(struct sim_disk *disk, uint8_t asc, uint8_t ascq)
{
    shim_lock_enter(&disk->dk_lock);
    sim_attention_locked(disk, SIM_NEXUS_ADAPTER, asc, ascq);
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

void sim_disk_watch(struct sim_disk *disk, void (*fn)(void *arg, const struct ad_xfer *xfer), void *arg)
{
    shim_lock_enter(&disk->dk_lock);
    disk->dk_watch = fn;
    disk->dk_watch_arg = arg;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

void sim_disk_initiator(struct sim_disk *disk, unsigned number, struct ad_xfer *xfer)
{
    struct sim_cmd c;

    SHIM_ASSERT(number > SIM_NEXUS_ADAPTER && number < SIM_NEXUS_COUNT);
    sim_cmd_init(&c, disk->dk_bus, disk, xfer, number);
    atomic_fetch_add_explicit(&disk->dk_opcode[c.c_cdb[0]], 1, memory_order_relaxed);
    sim_task_foreign(&c);
}

void sim_disk_other_initiator(struct sim_disk *disk, struct ad_xfer *xfer)
{
    sim_disk_initiator(disk, 1, xfer);
}

/* Bytes read or written so far. */
uint64_t sim_disk_bytes(const struct sim_disk *disk, bool write)
{
    uint64_t bytes =
        atomic_load_explicit(write ? &disk->dk_bytes_written : &disk->dk_bytes_read, memory_order_relaxed);

    for (unsigned s = 0; s < SC_ARRAY_SIZE(disk->dk_stripe); s++) {
        const struct sim_stripe *sp = &disk->dk_stripe[s];

        bytes += atomic_load_explicit(&sp->sp_bytes[write], memory_order_relaxed);
    }
    return bytes;
}

void sim_disk_stats_get(struct sim_disk *disk, struct sim_disk_stats *out)
{
    static const uint8_t op[8] = {SCSI_READ_6,  SCSI_READ_10,  SCSI_READ_12,  SCSI_READ_16,
                                  SCSI_WRITE_6, SCSI_WRITE_10, SCSI_WRITE_12, SCSI_WRITE_16};

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 256; i++)
        out->st_by_opcode[i] = atomic_load_explicit(&disk->dk_opcode[i], memory_order_relaxed);
    out->st_bytes_read = sim_disk_bytes(disk, false);
    out->st_bytes_written = sim_disk_bytes(disk, true);
    for (unsigned s = 0; s < SC_ARRAY_SIZE(disk->dk_stripe); s++) {
        struct sim_stripe *sp = &disk->dk_stripe[s];

        for (unsigned i = 0; i < SC_ARRAY_SIZE(op); i++)
            out->st_by_opcode[op[i]] += atomic_load_explicit(&sp->sp_ops[i], memory_order_relaxed);
    }
    for (unsigned i = 0; i < 256; i++)
        out->st_commands += out->st_by_opcode[i];
    for (unsigned i = 0; i < SIM_PROTOCOL_COUNT; i++)
        out->st_protocol[i] = atomic_load_explicit(&disk->dk_protocol[i], memory_order_relaxed);
    out->st_active = atomic_load_explicit(&disk->dk_active, memory_order_relaxed);
    out->st_active_max = atomic_load_explicit(&disk->dk_active_max, memory_order_relaxed);
}
