/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_stats.c - counters, the invariant walker, and lines for the error log.
 *
 * Does not contain: the counting itself, which is where things happen.
 */
#include "dd_impl.h"

/* A consistent copy. Context: process or completion. Locks: takes un_lock. */
void dd_stats_get(struct dd_unit *un, struct sc_disk_stats *out)
{
    int old = disable_lock(INTIODONE, &un->un_lock);
    uint64_t queued = un->un_resp.ch_n;

    *out = un->un_stats;
    dd_lane_stats_locked(un, out);
    unlock_enable(old, &un->un_lock);
    for (unsigned i = 0; i < DD_PLUGS; i++)
        queued += atomic_load_explicit(&un->un_plugs[i].pl_responses, memory_order_relaxed);
    out->responses_queued = queued;
}

/* ------------------------------------------------------------------ the walker */

struct check_sums {
    uint64_t sum_pending, sum_inproc, sum_recovering;
};

static uint64_t check_chain(const struct buf *bp, unsigned state)
{
    uint64_t n = 0;

    for (; bp; bp = bp->av_forw, n++)
        KASSERT(dd_buf_state(bp) == state && dd_buf_bytes(bp) > 0);
    return n;
}

static void check_commands_locked(const struct dd_unit *un, struct check_sums *sums)
{
    uint32_t active = 0;
    uint32_t again = 0;
    const struct dd_rec *rec = &un->un_rec;

    for (const struct dd_cmd *cmd = un->un_inp_head; cmd; cmd = cmd->cmd_inp_next, active++) {
        KASSERT(cmd->cmd_state == DD_CMD_INPROC && cmd->cmd_unit == un);
        KASSERT(cmd->cmd_inp_next || un->un_inp_tail == cmd);
        if (cmd->cmd_kind == DD_KIND_RW)
            sums->sum_inproc += check_chain(cmd->cmd_bp, DD_BUF_INPROC);
    }
    KASSERT(active == un->un_active);
    for (const struct dd_split *split = un->un_split; split; split = split->split_next, again++) {
        KASSERT(split->split_bufs.ch_n > 0);
        sums->sum_pending += check_chain(split->split_bufs.ch_head, DD_BUF_PENDING);
    }
    for (const struct dd_cmd *cmd = un->un_resend; cmd; cmd = cmd->cmd_next, again++) {
        const struct dd_cmd *next = cmd->cmd_next;

        KASSERT(cmd->cmd_state == DD_CMD_RESEND);
        KASSERT(!next || next->cmd_resends <= cmd->cmd_resends);
        KASSERT(!next || next->cmd_resends < cmd->cmd_resends ||
                (int32_t)(next->cmd_seq - cmd->cmd_seq) > 0 ||
                (next->cmd_seq == cmd->cmd_seq && next->cmd_place > cmd->cmd_place));
        if (cmd->cmd_kind == DD_KIND_RW)
            sums->sum_pending += check_chain(cmd->cmd_bp, DD_BUF_PENDING);
    }
    KASSERT(again == un->un_again);
    for (const struct dd_cmd *cmd = rec->rec_failed_head; cmd; cmd = cmd->cmd_next)
        if (cmd->cmd_kind == DD_KIND_RW)
            sums->sum_recovering += check_chain(cmd->cmd_bp, DD_BUF_RECOVER);
    if (rec->rec_current && rec->rec_current->cmd_kind == DD_KIND_RW)
        sums->sum_recovering += check_chain(rec->rec_current->cmd_bp, DD_BUF_RECOVER);
    for (const struct dd_frag *frag = un->un_frag_busy; frag; frag = frag->frag_next) {
        KASSERT(frag->frag_bp && (frag->frag_left > 0 || frag == un->un_frag_cur));
        sums->sum_inproc++;
    }
    KASSERT((rec->rec_state == DD_REC_NONE) == !(un->un_hold & DD_HOLD_RECOVER));
}

/* Requirements: AIX-01. */
uint64_t dd_check_invariants(devno_t devno)
{
    struct dd_unit *un = dd_unit_of(devno);
    struct check_sums sums = {0, 0, 0};
    struct sc_disk_stats *st, sum;
    uint64_t held;
    int old;

    KASSERT(un);
    st = &sum;
    old = disable_lock(INTIODONE, &un->un_lock);
    sum = un->un_stats;
    dd_lane_stats_locked(un, &sum);
    sums.sum_inproc = sum.in_process - un->un_stats.in_process;
    sums.sum_pending = check_chain(un->un_pending.ch_head, DD_BUF_PENDING);
    KASSERT(sums.sum_pending == un->un_pending.ch_n);
    check_commands_locked(un, &sums);
    KASSERT(sums.sum_pending == st->pending && sums.sum_inproc == st->in_process);
    KASSERT(sums.sum_recovering == st->recovering);
    KASSERT(st->bufs == st->pending + st->in_process + st->recovering + st->completed);
    KASSERT(st->errors <= st->completed);
    KASSERT(un->un_flying.fl_left <= st->pending + st->in_process + st->recovering);
    KASSERT(un->un_active <= un->un_depth_max && un->un_depth >= 1 && un->un_depth <= un->un_depth_max);
    held = st->pending + st->in_process + st->recovering;
    unlock_enable(old, &un->un_lock);
    return held;
}

size_t dd_memory_bytes(devno_t devno)
{
    const struct dd_unit *un = dd_unit_of(devno);

    return un ? un->un_memory_bytes : 0;
}

/* ------------------------------------------------------------------ the error log */

/*
 * One record, in the published order of detail: CDB length, target, LUN, CDB, validity, SCSI status, adapter
 * status, sense bytes. The text leaves the block out, so that a row of the same errors is one record.
 * Diagnostic mode and pass-through commands are not logged, nor what a device need not know (CAM-19).
 * Context: any. Locks: un_lock held when there is a command, which the flight recorder is told of as well.
 */
void dd_log(struct dd_unit *un, const struct dd_cmd *cmd, uint32_t id, bool temp, int error, const char *rule,
            const char *did, const uint8_t *sense, uint32_t sense_bytes)
{
    struct scsi_sense parsed = {0};
    struct err_rec rec = {0};
    uint8_t *d = rec.er_detail;
    size_t name_bytes =
        sizeof(rec.er_resource) < sizeof(un->un_dds.name) ? sizeof(rec.er_resource) : sizeof(un->un_dds.name);

    if (atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_DIAGNOSTIC)
        return;
    rec.er_id = id;
    rec.er_temp = temp;
    rec.er_errno = (uint16_t)error;
    memcpy(rec.er_resource, un->un_dds.name, name_bytes);
    rec.er_resource[sizeof(rec.er_resource) - 1] = '\0';
    if (!cmd) {
        kern_format(rec.er_text, sizeof(rec.er_text), "%s: %s", rule, did);
        errsave(&rec, sizeof(rec));
        return;
    }
    d[0] = cmd->cmd_sc.scsi_command.scsi_length;
    d[1] = un->un_dds.scsi_id;
    d[2] = un->un_dds.lun_id;
    memcpy(d + 3, &cmd->cmd_sc.scsi_command.scsi_cmd, 16);
    d[19] = cmd->cmd_sc.status_validity;
    d[20] = cmd->cmd_sc.scsi_status;
    d[21] = cmd->cmd_sc.general_card_status;
    if (sense_bytes > ERR_DETAIL_MAX - 22u)
        sense_bytes = ERR_DETAIL_MAX - 22u;
    if (sense_bytes)
        memcpy(d + 22, sense, sense_bytes);
    rec.er_detail_bytes = (uint8_t)(22u + sense_bytes);
    if (sense_bytes > 13) {
        parsed = scsi_sense_parse(sense, sense_bytes);
        if (parsed.key == SCSI_KEY_ILLEGAL && cmd->cmd_sync && (cmd->cmd_sync->sy_flags & DD_SYNC_UNKNOWN))
            return;
        kern_format(rec.er_text, sizeof(rec.er_text), "opcode %02x: sense %x/%02x/%02x: %s: %s", d[3],
                    parsed.key, parsed.asc, parsed.ascq, rule, did);
    } else {
        kern_format(rec.er_text, sizeof(rec.er_text), "opcode %02x: status %02x/%02x/%02x: %s: %s", d[3],
                    d[19], d[20], d[21], rule, did);
    }
    if (cmd->cmd_kind == DD_KIND_RW || cmd->cmd_kind == DD_KIND_FRAG) {
        rec.er_low = cmd->cmd_lba;
        rec.er_end = cmd->cmd_lba + (cmd->cmd_bytes >> un->un_shift);
    }
    if (trc_ison())
        dd_trace_judged(un, cmd, error, rule, did, &parsed);
    dd_flight_seen_locked(un, cmd, error, rule, did, &parsed, sense_bytes > 13 ? sense_bytes : 0);
    errsave(&rec, sizeof(rec));
}
