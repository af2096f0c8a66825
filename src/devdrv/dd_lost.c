/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_lost.c - a write that was acknowledged and did not reach the medium: who is told of it.
 *
 * The device says so later: with a deferred error on whatever command comes by, or by refusing a SYNCHRONIZE
 * CACHE for the medium's sake. Whose write it was it does not say. So everybody is told who had the disk open
 * when it happened, once each, by a flush; and if nobody has been told by then, who opens it next, or the
 * last close. That is a count of such losses, and a mark for each open: the count as of what it has been
 * told.
 *
 * The driver hears of the first open and the last close only, so it cannot keep the marks: whoever shares one
 * open among many (src/fuse: a mount's file descriptors) keeps one for each and gives it with DKFLUSHMARK.
 * The driver keeps one, for all who flush without (DKFLUSH).
 *
 * Does not contain: what counts as lost (dd_effects.c), SYNCHRONIZE CACHE itself (dd_internal.c).
 */
#include "dd_impl.h"

/* It happened. Locks: un_lock held. */
void dd_lost_note_locked(struct dd_unit *un, int error)
{
    un->un_lost = error;
    un->un_lost_count++;
    un->un_lost_seen = false;
}

/* The same. Context: process. Locks: takes un_lock. */
void dd_lost_note(struct dd_unit *un, int error)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    dd_lost_note_locked(un, error);
    unlock_enable(old, &un->un_lock);
}

/* A first open: nothing is lost that anybody should hear of. Context: process; nobody else is in. */
void dd_lost_forget(struct dd_unit *un)
{
    un->un_lost_mark = un->un_lost_count;
    un->un_lost_seen = true;
}

/* The mark of an open that begins now. What nobody has been told yet it is told. Context: process. */
uint32_t dd_lost_mark(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);
    uint32_t mark = un->un_lost_seen ? un->un_lost_count : un->un_lost_count - 1u;

    unlock_enable(old, &un->un_lock);
    return mark;
}

/* What the open with this mark has not been told: 0 or an errno. Now it has. NULL: DKFLUSH's. Process. */
int dd_lost_tell(struct dd_unit *un, uint32_t *mark)
{
    int error = 0, old = disable_lock(INTIODONE, &un->un_lock);

    if (!mark)
        mark = &un->un_lost_mark;
    if (*mark != un->un_lost_count) {
        *mark = un->un_lost_count;
        un->un_lost_seen = true;
        error = un->un_lost;
    }
    unlock_enable(old, &un->un_lock);
    return error;
}

/*
 * Flush, and tell: also of what this flush has lost. mark NULL: DKFLUSH's. Context: process. 0 or errno.
 */
int dd_lost_flush(struct dd_unit *un, uint32_t *mark)
{
    int error = dd_cache_sync(un);
    int told = dd_lost_tell(un, mark);

    return told ? told : error; /* what has failed otherwise is still to be flushed, and fails again */
}

/* DKFLUSHMARK. Context: process. 0, EFAULT, EINVAL, or as a flush. */
int dd_lost_ioctl(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    struct sc_flush fl;
    int error = kcopyin(arg, &fl, sizeof(fl), devflag), rc = 0;

    if (error)
        return error;
    switch (fl.how) {
    case SC_FLUSH_OPEN:
        fl.mark = dd_lost_mark(un);
        break;
    case SC_FLUSH_TELL:
        rc = dd_lost_tell(un, &fl.mark);
        break;
    case SC_FLUSH_SILENT:
        rc = dd_cache_sync(un);
        break;
    case SC_FLUSH_ALL:
        rc = dd_lost_flush(un, &fl.mark);
        break;
    default:
        return EINVAL;
    }
    error = kcopyout(&fl, arg, sizeof(fl), devflag);
    return error ? error : rc;
}
