/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_effects.c - what an error says of the disk as a whole, whichever command met it.
 *
 * A reset, a reservation that is gone, another capacity or medium, a write of before that was lost: this is
 * noted before the verdict on the command, so that whoever is told of its end finds the disk in its new
 * state.
 *
 * Does not contain: putting it right (dd_todo.c), the verdict (dd_recover.c).
 */
#include "dd_impl.h"

/* An earlier write did not reach the medium. Whose it was the device does not say. Locks: un_lock held. */
static void effects_deferred_locked(struct dd_unit *un, const struct scsi_sense *sense)
{
    struct scsi_sense current = *sense;
    const struct dd_rule *rule;

    if (sense->key == SCSI_KEY_NO_SENSE || sense->key == SCSI_KEY_RECOVERED ||
        sense->key == SCSI_KEY_ATTENTION)
        return; /* nothing was lost */
    current.deferred = false;
    rule = dd_sense_rule(&current, false);
    dd_lost_note_locked(un, rule->rule_error == EINVAL ? EIO : rule->rule_error);
}

/* Not while an open or a diagnostic program is about it. */
bool dd_is_open(const struct dd_unit *un)
{
    return atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_NORMAL;
}

/* Side effects on the disk as a whole, whichever command showed them. Locks: un_lock held. */
void dd_disk_effects_locked(struct dd_unit *un, unsigned flags, const struct scsi_sense *sense)
{
    KASSERT(lock_mine(&un->un_lock));
    if (flags & DD_RULE_RESET)
        un->un_reset_ns = kern_now_ns() | 1u;
    if ((flags & DD_RULE_RESERVE) && un->un_reserved)
        dd_todo_set_locked(un, DD_TODO_RESERVE);
    if ((flags & DD_RULE_CAPACITY) && dd_is_open(un))
        dd_todo_set_locked(un, DD_TODO_CAPACITY);
    if ((flags & DD_RULE_MODE) && dd_is_open(un))
        dd_todo_set_locked(un, DD_TODO_MODE);
    if (flags & DD_RULE_CHANGED)
        dd_todo_refuse_locked(un, EMEDIA);
    if (flags & DD_RULE_DEFERRED)
        effects_deferred_locked(un, sense);
}
