/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_internal.c - commands of the driver's own, sent and waited for at process level, and its data pages.
 *
 * Probing, ioctls, flushes and gathered writes use the same command structures, queue depth and recovery as
 * READs and WRITEs. Who needs one sleeps until a structure and room at the device are there; while anybody
 * does, no new READ or WRITE is started, so waiting is short. A retry is made by the sleeper, never from
 * completion: recovery hands the command back with sy_again.
 *
 * Data of at most 256 bytes may be anywhere in pinned memory. Longer data goes through the area: whole
 * pages taken at configuration that nothing else touches while a command is out.
 *
 * Does not contain: which commands (dd_probe.c, dd_ioctl.c, dd_range.c).
 */
#include "dd_impl.h"

/* CDB length by operation code group. */
static uint8_t sync_cdb_bytes(uint8_t opcode)
{
    static const uint8_t group_bytes[8] = {6, 10, 10, 0, 16, 12, 0, 0};
    uint8_t bytes = group_bytes[opcode >> 5];

    KASSERT(bytes != 0);
    return bytes;
}

void dd_sync_init(struct dd_sync *sy, uint8_t opcode, void *data, uint32_t bytes, bool read)
{
    memset(sy, 0, sizeof(*sy));
    sy->sy_cdb[0] = opcode;
    sy->sy_cdb_bytes = sync_cdb_bytes(opcode);
    sy->sy_data = data;
    sy->sy_bytes = bytes;
    sy->sy_read = read;
    sy->sy_timeout_s = DD_RW_TIMEOUT_S;
}

void dd_sleep_locked(struct dd_unit *un)
{
    KASSERT(kern_at_process_level());
    un->un_sleepers++;
    e_sleep_thread(&un->un_event, &un->un_lock, EVENT_SHORT);
    KASSERT(un->un_sleepers > 0);
    un->un_sleepers--;
}

/* Fill the sc_buf. No lock: the command is held by us. */
static void sync_build(struct dd_unit *un, struct dd_cmd *cmd, struct dd_sync *sy)
{
    struct sc_buf *sc = &cmd->cmd_sc;

    KASSERT(sy->sy_cdb_bytes && (sy->sy_bytes == 0 || sy->sy_data || sy->sy_uio));
    if (sy->sy_uio)
        dd_gather_restore(sy);
    sc->bufstruct.b_flags = (sy->sy_read ? B_READ : B_WRITE) | B_MPSAFE | B_ASYNC;
    sc->bufstruct.b_error = 0;
    sc->bufstruct.av_forw = NULL;
    sc->bufstruct.b_un.b_addr = sy->sy_data;
    sc->bufstruct.b_bcount = sy->sy_bytes;
    sc->bufstruct.b_blkno = 0;
    sc->bufstruct.b_resid = 0;
    sc->bufstruct.b_xmemd.aspace_id = XMEM_GLOBAL;
    sc->bp = NULL;
    sc->resvd1 = sy->sy_uio;
    sc->timeout_value = sy->sy_timeout_s;
    /* A disk that cannot tag has one command at a time: in order and alone, whatever was asked for. */
    sc->q_tag_msg = sy->sy_flags & DD_SYNC_TAG && un->un_tag != SC_NO_Q ? sy->sy_tag : un->un_tag;
    sc->flags = cmd->cmd_sendflags;
    sc->status_validity = 0;
    sc->adap_q_status = 0;
    sc->scsi_command.scsi_flags = cmd->cmd_bus_fault && cmd->cmd_retries >= un->un_dds.retries ? SC_ASYNC : 0;
    sc->scsi_command.scsi_length = sy->sy_cdb_bytes;
    memcpy(&sc->scsi_command.scsi_cmd, sy->sy_cdb, sizeof(sy->sy_cdb));
    sc->scsi_command.scsi_cmd.lun |= un->un_lun_bits;
}

/*
 * Room at the device, a structure, and our turn: a READ or WRITE that waits goes between two of us. Who has
 * a structure already does not wait for that, because it may be the one the other needs. Locks: un_lock held.
 */
static bool sync_may_go_locked(const struct dd_unit *un, const struct dd_sync *sy, const struct dd_cmd *cmd)
{
    uint32_t hold = un->un_hold & ~DD_HOLD_GONE;

    /* What is due with the disk is no concern of a pass-through command: it may be the cure. */
    if (sy->sy_flags & DD_SYNC_RAW)
        hold &= ~(DD_HOLD_TODO | DD_HOLD_DEAD);
    if (hold || un->un_active >= un->un_depth)
        return false;
    return cmd || (un->un_free && !(un->un_turn_rw && (un->un_pending.ch_head || un->un_frag_cur)));
}

/*
 * Sleep until this command may be sent. 0, or why not: what is due with the disk could not be done.
 * Locks: un_lock held, dropped while asleep.
 */
static int sync_wait_locked(struct dd_unit *un, const struct dd_sync *sy, const struct dd_cmd *cmd, int *old)
{
    uint32_t round = un->un_todo_round;
    int error = 0;

    un->un_sync_waiting++;
    while (!error && !sync_may_go_locked(un, sy, cmd)) {
        uint32_t hold = sy->sy_flags & DD_SYNC_RAW ? 0 : un->un_hold;
        bool kick = false;

        dd_lane_close_locked(un);
        if (dd_is_gone_locked(un)) {
            error = ENXIO;
            break;
        }
        if (dd_step_lost_locked(un)) { /* nothing goes out before that is home */
            error = EIO;
            break;
        }
        if (hold & DD_HOLD_DEAD) {
            kick = !(un->un_todo & DD_TODO_READY);
            if (!dd_dead_try_locked(un)) {
                error = EIO;
                break;
            }
        } else if ((hold & (DD_HOLD_TODO | DD_HOLD_ERROR)) == DD_HOLD_TODO) {
            dd_recover_begin_locked(un);
            kick = true;
        }
        if (kick) {
            unlock_enable(*old, &un->un_lock);
            dd_kick(un);
            *old = disable_lock(INTIODONE, &un->un_lock);
        } else {
            dd_sleep_locked(un);
        }
        if (round != un->un_todo_round && !(sy->sy_flags & DD_SYNC_RAW))
            error = un->un_todo_error;
    }
    if ((un->un_hold & DD_HOLD_GONE) && sy->sy_uio)
        error = EFORMAT;
    KASSERT(un->un_sync_waiting > 0);
    un->un_sync_waiting--;
    return error;
}

/* Do the block addresses in its CDB still mean what they did? 0 or errno. Locks: un_lock held. */
static int sync_blocks_locked(const struct dd_unit *un, const struct dd_sync *sy)
{
    if (SC_LIKELY(!(sy->sy_flags & DD_SYNC_BLOCKS) || sy->sy_blocks.bl_geometry == dd_geometry(un)))
        return 0;
    if (atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_FORMAT)
        return EACCES;
    if (sy->sy_blocks.bl_shift != un->un_shift)
        return EFORMAT;
    return sy->sy_blocks.bl_end > dd_sectors(un) ? ENXIO : 0;
}

/* Wait, take or keep a structure, put it in process. Returns it, built; NULL: refused, sy_error says why. */
static struct dd_cmd *sync_slot(struct dd_unit *un, struct dd_sync *sy, struct dd_cmd *cmd)
{
    int old = disable_lock(INTIODONE, &un->un_lock);
    int error = sync_wait_locked(un, sy, cmd, &old);

    if (!error)
        error = sync_blocks_locked(un, sy);
    if (error) {
        sy->sy_error = error;
        sy->sy_validity = 0;
        sy->sy_resid = sy->sy_bytes;
        if (cmd) {
            cmd->cmd_sync = NULL;
            dd_pool_put_locked(un, cmd);
        }
        dd_wake_locked(un);
        unlock_enable(old, &un->un_lock);
        return NULL;
    }
    un->un_turn_rw = true;
    if (!cmd) {
        KASSERT(un->un_free != NULL && un->un_active < un->un_depth);
        cmd = un->un_free;
        un->un_free = cmd->cmd_next;
        cmd->cmd_state = DD_CMD_HELD;
        cmd->cmd_kind = DD_KIND_SYNC;
        cmd->cmd_bp = NULL;
        cmd->cmd_nbufs = 0;
        cmd->cmd_time_ns = 0;
        cmd->cmd_lba = 0;
        cmd->cmd_bytes = sy->sy_bytes;
        cmd->cmd_read = sy->sy_read;
        cmd->cmd_retries = cmd->cmd_attentions = cmd->cmd_deferred = cmd->cmd_bus_fault = 0;
        cmd->cmd_waits = cmd->cmd_resends = 0;
        cmd->cmd_sync = sy;
    }
    KASSERT(cmd->cmd_state == DD_CMD_HELD && cmd->cmd_sync == sy);
    sy->sy_done = sy->sy_again = 0;
    cmd->cmd_sendflags = sy->sy_flags & DD_SYNC_DELAY ? SC_DELAY_CMD : 0;
    if (un->un_need_resume) {
        cmd->cmd_sendflags |= (uint8_t)(SC_RESUME | (un->un_need_delay ? SC_DELAY_CMD : 0));
        un->un_need_resume = un->un_need_delay = false;
        dd_hold_set_locked(un, DD_HOLD_RESUME);
    }
    if (sy->sy_uio) {
        un->un_stats.gathered++;
        un->un_stats.commands++;
    } else {
        un->un_stats.internal++;
    }
    dd_inproc_add_locked(un, cmd);
    unlock_enable(old, &un->un_lock);
    sync_build(un, cmd, sy);
    return cmd;
}

/* Between slot and adapter driver a hold has begun: not sent, it waits for its slot again. */
static bool sync_recall(struct dd_unit *un, struct dd_sync *sy, struct dd_cmd *cmd)
{
    int old = disable_lock(INTIODONE, &un->un_lock);
    bool recalled = dd_recalled_locked(un, cmd);

    if (recalled) {
        cmd->cmd_state = DD_CMD_HELD;
        if (sy->sy_uio) {
            un->un_stats.gathered--;
            un->un_stats.commands--;
        } else {
            un->un_stats.internal--;
        }
        dd_recover_nudge_locked(un, false);
    }
    unlock_enable(old, &un->un_lock);
    if (recalled)
        dd_kick(un);
    return recalled;
}

/*
 * Send, wait, and send again as recovery says. Returns 0 or the errno.
 * Context: process. Locks: none held. Owns: sy and its data until the return.
 */
int dd_sync_run(struct dd_unit *un, struct dd_sync *sy)
{
    struct dd_cmd *cmd = NULL;

    KASSERT(kern_at_process_level());
    if (!(sy->sy_flags & DD_SYNC_RAW))
        dd_dead_mend(un);
    do {
        bool resume;
        int error, old;

        cmd = sync_slot(un, sy, cmd);
        if (!cmd)
            break;
        if (atomic_load_explicit(&un->un_recall, memory_order_relaxed) && sync_recall(un, sy, cmd)) {
            sy->sy_again = 1;
            continue;
        }
        resume = (cmd->cmd_sendflags & SC_RESUME) != 0;
        dd_trace_send(un, cmd);
        error = devstrat(&cmd->cmd_sc.bufstruct);
        if (error) {
            cmd->cmd_sc.bufstruct.b_flags |= B_ERROR;
            cmd->cmd_sc.bufstruct.b_error = error;
            iodone(&cmd->cmd_sc.bufstruct);
        }
        if (resume) {
            old = disable_lock(INTIODONE, &un->un_lock);
            dd_hold_clear_locked(un, DD_HOLD_RESUME);
            unlock_enable(old, &un->un_lock);
        }
        /* Others were held back while we waited for the slot. */
        dd_kick(un);
        old = disable_lock(INTIODONE, &un->un_lock);
        while (!sy->sy_done)
            dd_sleep_locked(un);
        unlock_enable(old, &un->un_lock);
    } while (sy->sy_again);
    return sy->sy_error;
}

/*
 * A synchronous command is finished, or (again) has to be sent again by its sleeper, who then keeps the
 * structure. Context: completion. Locks: un_lock held.
 */
void dd_sync_finish_locked(struct dd_unit *un, struct dd_cmd *cmd, int error, bool again)
{
    struct dd_sync *sy = cmd->cmd_sync;
    const struct sc_buf *sc = &cmd->cmd_sc;

    KASSERT(sy && !sy->sy_done && cmd->cmd_kind == DD_KIND_SYNC);
    sy->sy_error = error;
    sy->sy_again = again;
    sy->sy_validity = sc->status_validity;
    sy->sy_scsi_status = sc->status_validity & SC_SCSI_ERROR ? sc->scsi_status : 0;
    sy->sy_adapter_status = sc->status_validity & SC_ADAPTER_ERROR ? sc->general_card_status : 0;
    sy->sy_adap_q = sc->adap_q_status;
    sy->sy_resid = sc->bufstruct.b_resid < sy->sy_bytes ? (uint32_t)sc->bufstruct.b_resid : sy->sy_bytes;
    sy->sy_done = 1;
    cmd->cmd_state = DD_CMD_HELD;
    if (!again) {
        cmd->cmd_sync = NULL;
        dd_pool_put_locked(un, cmd);
    }
    dd_wake_locked(un);
}

/* ------------------------------------------------------------------ the area */

void dd_area_get(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    while (un->un_area_busy)
        dd_sleep_locked(un);
    un->un_area_busy = true;
    unlock_enable(old, &un->un_lock);
}

void dd_area_put(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    KASSERT(un->un_area_busy);
    un->un_area_busy = false;
    dd_wake_locked(un);
    unlock_enable(old, &un->un_lock);
}

/*
 * Blocks between the disk and the area, the way of every other request.
 * Context: process; the caller has the area. 0 or errno; *moved bytes came through.
 */
int dd_area_rw(struct dd_unit *un, uint64_t lba, uint32_t blocks, bool read, uint32_t options, size_t *moved)
{
    struct buf b = {0};
    int error;

    KASSERT(un->un_area_busy && (size_t)blocks << un->un_shift <= DD_AREA_DATA_BYTES);
    b.b_flags = (read ? B_READ : B_WRITE) | B_BUSY | B_MPSAFE;
    b.b_iodone = iodone_wakeup;
    b.b_dev = un->un_devno;
    b.b_options = options;
    b.b_un.b_addr = dd_area_data(un);
    b.b_bcount = (size_t)blocks << un->un_shift;
    b.b_blkno = (int64_t)(lba << (un->un_shift - DEV_BSHIFT));
    b.b_xmemd.aspace_id = XMEM_GLOBAL;
    dd_strategy(&b);
    error = iowait(&b);
    KASSERT(b.b_resid <= b.b_bcount);
    *moved = b.b_bcount - b.b_resid;
    return error;
}

bool dd_dirty_set(struct dd_unit *un, bool dirty)
{
    int old = disable_lock(INTIODONE, &un->un_lock);
    bool was = un->un_dirty;

    un->un_dirty = dirty;
    unlock_enable(old, &un->un_lock);
    return was;
}

/*
 * SYNCHRONIZE CACHE, everything. A disk that has no cache may not know the command: fine.
 * What it could not write is lost, and noted so; of what was lost before the caller is not told (dd_lost.c).
 * Context: process. 0 or errno.
 */
int dd_cache_sync(struct dd_unit *un)
{
    struct dd_sync sy;
    int error;

    dd_sync_init(&sy, SCSI_SYNC_CACHE_10, NULL, 0, false);
    sy.sy_timeout_s = un->un_dds.start_timeout;
    sy.sy_flags = DD_SYNC_UNKNOWN;
    /* Before it is sent: a write that completes from now on makes it dirty again. */
    (void)dd_dirty_set(un, false);
    error = dd_sync_run(un, &sy);
    if (error == EINVAL && sy.sy_sense.valid && sy.sy_sense.key == SCSI_KEY_ILLEGAL)
        error = 0;
    if (error) {
        (void)dd_dirty_set(un, true);
        if (sy.sy_sense.valid && (sy.sy_sense.key == SCSI_KEY_MEDIUM || sy.sy_sense.key == SCSI_KEY_HARDWARE))
            dd_lost_note(un, error);
    }
    return error;
}
