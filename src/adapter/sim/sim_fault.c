/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_fault.c - the table of misbehaviour: which rule strikes which command, exactly counted.
 *
 * A rule counts a command only when it matches and no earlier rule took it; first `f_skip` such
 * commands pass, then `f_count` are struck (0: all), of which f_every and f_interval_ns leave
 * some out. Everything happens under dk_lock, so the counts are exact however many threads send
 * commands; it costs nothing when no rule is due, because then the hot path is not left. The only
 * clock is the host's and the only chance the rule's own seed, so a simulation replays.
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

/* Does f_opcode cover a command with these SIM_OP_* flags? */
static bool sim_fault_takes(int opcode, unsigned flags, uint8_t cdb0)
{
    switch (opcode) {
    case SIM_OPCODE_ANY:
        return true;
    case SIM_OPCODE_READS:
        return (flags & SIM_OP_READS) != 0;
    case SIM_OPCODE_WRITES:
        return (flags & SIM_OP_WRITES) != 0;
    case SIM_OPCODE_DATA:
        return (flags & (SIM_OP_READS | SIM_OP_WRITES)) != 0;
    default:
        return opcode == cdb0;
    }
}

static bool sim_fault_matches(const struct sim_fault *f, const struct sim_cmd *c)
{
    unsigned flags = c->c_op ? c->c_op->op_flags : 0;

    if (!sim_fault_takes(f->f_opcode, flags, c->c_cdb[0]))
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

/* Would a command that matches now be struck, and not let pass? */
static bool sim_fault_ripe(const struct sim_fault_slot *s)
{
    return s->fs_skip_left == 0 && s->fs_every_left == 0 &&
           (s->fs_rule.f_interval_ns == 0 || shim_now_ns() >= s->fs_next_ns);
}

/* Set the moment after which the next command is struck. */
static void sim_fault_wind(struct sim_fault_slot *s)
{
    uint64_t mean = s->fs_rule.f_interval_ns, x;

    if (mean == 0)
        return;
    s->fs_random += 0x9e3779b97f4a7c15u;
    x = (s->fs_random ^ (s->fs_random >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    s->fs_next_ns = shim_now_ns() + mean / 2 + (x ^ (x >> 31)) % (mean + 1);
}

/* A command matched a rule that is due: let it pass, or take it. */
static bool sim_fault_count_locked(struct sim_fault_slot *s)
{
    if (!sim_fault_ripe(s)) {
        if (s->fs_skip_left)
            s->fs_skip_left--;
        else if (s->fs_every_left)
            s->fs_every_left--;
        return false;
    }
    if (s->fs_rule.f_count) {
        SHIM_ASSERT(s->fs_count_left > 0);
        s->fs_count_left--;
    }
    if (s->fs_rule.f_every)
        s->fs_every_left = s->fs_rule.f_every - 1;
    sim_fault_wind(s);
    s->fs_rule.f_hits++;
    return true;
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
        if (!sim_fault_count_locked(s))
            continue;
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
           f->f_opcode >= SIM_OPCODE_DATA && f->f_opcode <= 0xff && f->f_key <= 0xf &&
           f->f_interval_ns <= SIM_FAULT_INTERVAL_MAX_NS;
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
        s->fs_every_left = f->f_every ? f->f_every - 1 : 0;
        s->fs_random = f->f_seed;
        sim_fault_wind(s);
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
