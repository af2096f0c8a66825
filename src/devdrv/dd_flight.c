/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_flight.c - the flight recorder of a disk: its last recoveries, step by step.
 *
 * Each command that recovery has judged is a record: the command, what came back, the rule, what was
 * done, how long that took from the moment the error was seen. The bufs of such a command are marked
 * (DD_BUF_TOLD), and when the last marked one has ended, well or not, a record says how it all came out.
 * So a span that is taken apart is one story: its bufs are sent again one by one, each meets its own
 * fate, and the record at the end says how many were good.
 *
 * Nothing is written while nothing goes wrong; a good command costs a look at one counter. All is under
 * un_lock, which everybody who comes here holds anyway.
 *
 * Does not contain: the error log (dd_stats.c), which counts equal errors in one record and so has no
 * order, no durations and no good end.
 */
#include "dd_impl.h"

/* The next slot, empty but for its number and time. Locks: un_lock held. */
static struct sc_flight_rec *flight_next_locked(struct dd_unit *un)
{
    struct sc_flight_rec *r = &un->un_flight.rec[un->un_flight.seq % SC_FLIGHT_RECORDS];

    memset(r, 0, sizeof(*r));
    r->seq = ++un->un_flight.seq;
    r->when_ns = kern_now_ns();
    return r;
}

/* The command of a record. */
static void flight_command(const struct dd_unit *un, const struct dd_cmd *cmd, struct sc_flight_rec *r)
{
    r->opcode = cmd->cmd_sc.scsi_command.scsi_cmd.scsi_op_code;
    r->read = (cmd->cmd_sc.bufstruct.b_flags & B_READ) != 0;
    if (cmd->cmd_kind > DD_KIND_FRAG)
        return;
    r->lba = cmd->cmd_lba;
    r->blocks = cmd->cmd_bytes >> un->un_shift;
    r->requests = cmd->cmd_kind == DD_KIND_RW ? cmd->cmd_nbufs : 1;
}

/* The bufs of this command take part from here on. Locks: un_lock held. */
static void flight_mark_locked(struct dd_unit *un, const struct dd_cmd *cmd)
{
    struct dd_flight *fl = &un->un_flying;
    struct buf *bp = cmd->cmd_bp;
    uint32_t n = cmd->cmd_kind == DD_KIND_RW ? cmd->cmd_nbufs : 1;

    if (fl->fl_left == 0) {
        uint32_t episode = fl->fl_over.episode + 1u;

        memset(&fl->fl_over, 0, sizeof(fl->fl_over));
        fl->fl_over.episode = episode;
        fl->fl_began_ns = cmd->cmd_failed_ns;
        flight_command(un, cmd, &fl->fl_over);
        fl->fl_over.requests = 0;
    }
    for (; n > 0; n--, bp = bp->av_forw) {
        if (bp->b_work & DD_BUF_TOLD)
            continue;
        bp->b_work |= DD_BUF_TOLD;
        fl->fl_left++;
        fl->fl_over.requests++;
    }
}

/* Context: completion. Locks: un_lock held. */
void dd_flight_seen_locked(struct dd_unit *un, const struct dd_cmd *cmd, int error, const char *rule,
                           const char *did, const struct scsi_sense *sense, uint32_t sense_bytes)
{
    const struct sc_buf *sc = &cmd->cmd_sc;
    struct sc_flight_rec *r;

    KASSERT(lock_mine(&un->un_lock));
    if (cmd->cmd_kind <= DD_KIND_FRAG)
        flight_mark_locked(un, cmd);
    else if (un->un_flying.fl_left == 0)
        un->un_flying.fl_over.episode++; /* a command of the driver's own is a story by itself */
    r = flight_next_locked(un);
    flight_command(un, cmd, r);
    r->what = SC_FLIGHT_SEEN;
    r->episode = un->un_flying.fl_over.episode;
    r->took_ns = r->when_ns - cmd->cmd_failed_ns;
    r->error = (uint16_t)error;
    r->status_validity = sc->status_validity;
    r->scsi_status = sc->scsi_status;
    r->adapter_status = sc->general_card_status;
    r->adap_q_status = sc->adap_q_status;
    r->sense_bytes = (uint8_t)sense_bytes;
    r->sense_key = sense->key;
    r->asc = sense->asc;
    r->ascq = sense->ascq;
    kern_format(r->did, sizeof(r->did), "%s", did);
    if (memcmp(r->did, "span split", sizeof("span split")) == 0)
        r->error = 0; /* that is for each buf by itself */
    kern_format(r->rule, sizeof(r->rule), "%s", rule);
    if (memcmp(r->did, "retried", sizeof("retried")) == 0)
        un->un_flying.fl_over.retries++;
}

/* Context: completion. Locks: un_lock held. */
void dd_flight_end_locked(struct dd_unit *un, struct buf *bp, int error)
{
    struct dd_flight *fl = &un->un_flying;
    struct sc_flight_rec *r;
    uint64_t seq;

    KASSERT(fl->fl_left > 0);
    KASSERT(bp->b_work & DD_BUF_TOLD);
    bp->b_work &= ~(uintptr_t)DD_BUF_TOLD;
    if (error) {
        fl->fl_over.failed++;
        if (fl->fl_over.error == 0)
            fl->fl_over.error = (uint16_t)error;
    } else {
        fl->fl_over.good++;
    }
    if (--fl->fl_left > 0)
        return;
    r = flight_next_locked(un);
    seq = r->seq;
    fl->fl_over.when_ns = r->when_ns;
    *r = fl->fl_over;
    r->seq = seq;
    r->what = SC_FLIGHT_OVER;
    r->took_ns = r->when_ns - fl->fl_began_ns;
}

/* DKFLIGHT, record by record: all of it at once is too much for a stack. */
int dd_flight_copyout(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    const intptr_t rec = arg + (intptr_t)offsetof(struct sc_flight, rec);
    struct sc_flight_rec one;
    uint8_t head[offsetof(struct sc_flight, rec)];
    int error = 0, old;

    for (unsigned i = 0; i < SC_FLIGHT_RECORDS && !error; i++) {
        old = disable_lock(INTIODONE, &un->un_lock);
        one = un->un_flight.rec[i];
        unlock_enable(old, &un->un_lock);
        error = kcopyout(&one, rec + (intptr_t)(i * sizeof(one)), sizeof(one), devflag);
    }
    /* The number last: what was written meanwhile is newer than it says. */
    old = disable_lock(INTIODONE, &un->un_lock);
    un->un_flight.id = un->un_dds.scsi_id;
    un->un_flight.lun = un->un_dds.lun_id;
    memcpy(head, &un->un_flight, sizeof(head));
    unlock_enable(old, &un->un_lock);
    return error ? error : kcopyout(head, arg, sizeof(head), devflag);
}
