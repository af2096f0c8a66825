/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_requeue.c - in which order what has been sent before goes again.
 *
 * Two lists and one order: whole commands (un_resend) and what is left of spans that were taken apart
 * (un_split). Both go before pending, whose bufs have never been sent, and between the two the
 * same order decides:
 *
 *   1. who has been sent more often: before the first one that has been sent less often, never behind it
 *   2. among equals, who was first dispatched first
 *   3. bufs of one span, as they lay in it
 *
 * 1 keeps a command that is unlucky from being overtaken for ever. 2 is what "among equals order is kept"
 * asks for, and more: when a queue is thrown back, its commands come home on several threads and in any
 * order, and order of arrival would keep that. Where they do come home in order, the two are the same.
 *
 * AIX allows this: a block driver may take requests in any order, and when an adapter driver returns a queue
 * "so that the device driver can reorder", requeuing is ours. Of two commands the younger
 * has been sent more often only when it was at the device beside the older one, and then nobody had promised
 * which of them is executed first.
 *
 * Rejected: first dispatch alone, as it was. A command that was refused again and again went behind
 * an older one that was sent for the second time.
 *
 * Does not contain: whether it goes again (dd_recover.c, dd_halt.c), taking spans apart (dd_split.c).
 */
#include "dd_impl.h"

/* Does a go before b? Numbers of dispatch wrap: the difference is what counts. Requirements: NB-12. */
static bool requeue_before(const struct dd_place *a, const struct dd_place *b)
{
    if (a->pc_resends != b->pc_resends)
        return a->pc_resends > b->pc_resends;
    if (a->pc_seq != b->pc_seq)
        return (int32_t)(a->pc_seq - b->pc_seq) < 0;
    return a->pc_place < b->pc_place;
}

static struct dd_place requeue_place(const struct dd_cmd *cmd)
{
    return (struct dd_place){cmd->cmd_seq, cmd->cmd_resends, cmd->cmd_place};
}

/* Context: any. Locks: un_lock held. Requirements: NB-12. */
void dd_requeue_locked(struct dd_unit *un, struct dd_cmd *cmd)
{
    const struct dd_place mine = requeue_place(cmd);
    struct dd_cmd **link = &un->un_resend;

    KASSERT(cmd->cmd_kind <= DD_KIND_FRAG && cmd->cmd_state != DD_CMD_RESEND);
    cmd->cmd_state = DD_CMD_RESEND;
    while (*link) {
        const struct dd_place other = requeue_place(*link);

        if (requeue_before(&mine, &other))
            break;
        link = &(*link)->cmd_next;
    }
    cmd->cmd_next = *link;
    *link = cmd;
    un->un_again++;
}

/* Context: completion. Locks: un_lock held. Requirements: NB-12. */
void dd_requeue_split_locked(struct dd_unit *un, struct dd_split *split)
{
    struct dd_split **link = &un->un_split;

    KASSERT(split->split_bufs.ch_n > 0);
    while (*link && requeue_before(&(*link)->split_at, &split->split_at))
        link = &(*link)->split_next;
    split->split_next = *link;
    *link = split;
    un->un_again++;
}

/* Context: any. Locks: un_lock held. */
bool dd_requeue_split_first_locked(const struct dd_unit *un)
{
    struct dd_place other;

    if (!un->un_split || !un->un_resend)
        return un->un_split != NULL;
    other = requeue_place(un->un_resend);
    return requeue_before(&un->un_split->split_at, &other);
}

/* One more; those past counting are equals. */
void dd_requeue_count(struct dd_cmd *cmd)
{
    if (cmd->cmd_resends < UINT16_MAX)
        cmd->cmd_resends++;
}
