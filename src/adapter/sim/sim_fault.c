/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_fault.c - the table of misbehaviour: which rule strikes which command, exactly counted.
 *
 * A rule counts a command only when it matches and no earlier rule took it; first `f_skip` such
 * commands pass, then `f_count` are struck (0: all). Everything happens under dk_lock, so the
 * counts are exact however many threads send commands; it costs nothing when no rule is due,
 * because then the hot path is not left.
 *
 * Does not contain: what a strike does (sim_bus.c for the path, sim_exec.c for execution).
 */
#include "sim_impl.h"

/* Actions looked at when the command arrives. */
static bool sim_fault_is_path(enum sim_fault_action a)
{
    switch (a) {
    case SIM_FAULT_BUSY:
    case SIM_FAULT_QUEUE_FULL:
    case SIM_FAULT_HANG:
    case SIM_FAULT_NO_RESPONSE:
    case SIM_FAULT_BUS_FAULT:
    case SIM_FAULT_BUS_RESET:
    case SIM_FAULT_HW_FAILURE:
    case SIM_FAULT_DELAY:
        return true;
    default:
        return false;
    }
}

static bool sim_fault_matches(const struct sim_fault *f, const struct sim_cmd *c)
{
    unsigned flags = c->c_op ? c->c_op->op_flags : 0;

    if (f->f_opcode == SIM_OPCODE_READS    ? !(flags & SIM_OP_READS)
        : f->f_opcode == SIM_OPCODE_WRITES ? !(flags & SIM_OP_WRITES)
                                           : (f->f_opcode != SIM_OPCODE_ANY && f->f_opcode != c->c_cdb[0]))
        return false;
    if (f->f_action == SIM_FAULT_CORRUPT && !(flags & SIM_OP_IN))
        return false;
    if (f->f_action == SIM_FAULT_SHORT && !(flags & (SIM_OP_IN | SIM_OP_OUT)))
        return false;
    if (f->f_lba_first == 0 && f->f_lba_last == UINT64_MAX)
        return true;
    /* Written so that a range that ends at the largest LBA there is does not wrap. */
    return c->c_range && c->c_blocks && f->f_lba_last >= c->c_lba &&
           (f->f_lba_first <= c->c_lba || f->f_lba_first - c->c_lba < c->c_blocks);
}

static bool sim_fault_due(const struct sim_fault_slot *s)
{
    return s->fs_rule.f_count == 0 || s->fs_count_left > 0;
}

bool sim_faults_due_locked(const struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->dk_faults; i++) {
        if (sim_fault_due(&disk->dk_fault[i]))
            return true;
    }
    return false;
}

/* Would the next execution fault be a CHECK CONDITION? Looks only; counts nothing. */
bool sim_fault_would_check_locked(struct sim_disk *disk, const struct sim_cmd *c)
{
    SHIM_ASSERT(shim_lock_is_held(&disk->dk_lock));
    for (uint32_t i = 0; i < disk->dk_faults; i++) {
        const struct sim_fault_slot *s = &disk->dk_fault[i];

        if (!sim_fault_is_path(s->fs_rule.f_action) && sim_fault_due(s) && s->fs_skip_left == 0 &&
            sim_fault_matches(&s->fs_rule, c))
            return s->fs_rule.f_action == SIM_FAULT_CHECK;
    }
    return false;
}

/*
 * Let the rules of one stage look at a command. True when one strikes; *out is a copy of it.
 * Context: any. Locks: takes dk_lock.
 */
bool sim_fault_strike(struct sim_cmd *c, enum sim_stage stage, struct sim_fault *out)
{
    struct sim_disk *disk = c->c_disk;
    bool struck = false;

    if (!(atomic_load_explicit(&disk->dk_odd, memory_order_acquire) & SIM_ODD_FAULTS))
        return false;
    shim_lock_enter(&disk->dk_lock);
    for (uint32_t i = 0; i < disk->dk_faults && !struck; i++) {
        struct sim_fault_slot *s = &disk->dk_fault[i];

        if (sim_fault_is_path(s->fs_rule.f_action) != (stage == SIM_STAGE_ARRIVE) || !sim_fault_due(s) ||
            !sim_fault_matches(&s->fs_rule, c))
            continue;
        if (s->fs_skip_left) {
            s->fs_skip_left--;
            continue;
        }
        if (s->fs_rule.f_count) {
            SHIM_ASSERT(s->fs_count_left > 0);
            s->fs_count_left--;
        }
        s->fs_rule.f_hits++;
        *out = s->fs_rule;
        struck = true;
    }
    if (struck)
        sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
    return struck;
}

static bool sim_fault_is_sensible(const struct sim_fault *f)
{
    return f->f_action > SIM_FAULT_NONE && f->f_action < SIM_FAULT_COUNT && f->f_lba_first <= f->f_lba_last &&
           f->f_opcode >= SIM_OPCODE_WRITES && f->f_opcode <= 0xff && f->f_key <= 0xf;
}

int sim_fault_add(struct sim_disk *disk, const struct sim_fault *f)
{
    int number = -1;

    if (!sim_fault_is_sensible(f))
        return -1;
    shim_lock_enter(&disk->dk_lock);
    if (disk->dk_faults < SIM_FAULTS_MAX) {
        struct sim_fault_slot *s = &disk->dk_fault[disk->dk_faults];

        s->fs_rule = *f;
        s->fs_rule.f_hits = 0;
        s->fs_skip_left = f->f_skip;
        s->fs_count_left = f->f_count;
        number = (int)disk->dk_faults++;
        sim_disk_odd_update_locked(disk);
    }
    shim_lock_exit(&disk->dk_lock);
    return number;
}

void sim_fault_clear(struct sim_disk *disk)
{
    shim_lock_enter(&disk->dk_lock);
    disk->dk_faults = 0;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

bool sim_fault_get(struct sim_disk *disk, unsigned i, struct sim_fault *out)
{
    bool found;

    shim_lock_enter(&disk->dk_lock);
    found = i < disk->dk_faults;
    if (found)
        *out = disk->dk_fault[i].fs_rule;
    shim_lock_exit(&disk->dk_lock);
    return found;
}
