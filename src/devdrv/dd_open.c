/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_open.c - open and close.
 *
 * The first open builds the path and asks the device who it is (dd_probe.c); the last close waits for all
 * I/O, makes the cache durable, gives medium and reservation free and takes the path down. Opens in between
 * only count; the kernel services call d_close for the last one alone. No lock is held across any of it:
 * un_busy keeps a second open or close out.
 *
 * ext flags:                    open                           close
 *   none                        RESERVE per policy             RELEASE
 *   SC_FORCED_OPEN              SCIORESET first                as without
 *   SC_NO_RESERVE               no RESERVE                     no RELEASE
 *   SC_RETAIN_RESERVATION       as without                     no RELEASE, if any opener asked
 *   SC_SINGLE                   EBUSY if open; others EACCES   as without
 *   SC_DIAGNOSTIC               EACCES if open; path only      no commands
 *   SC_DIAGNOSTIC|FORCED        path, SCIORESET                no commands
 *
 * Does not contain: the device's identity and limits (dd_probe.c).
 */
#include "dd_impl.h"

#define OPEN_EXT_ALL      (SC_DIAGNOSTIC | SC_FORCED_OPEN | SC_RETAIN_RESERVATION | SC_NO_RESERVE | SC_SINGLE)
#define OPEN_TRANSFER_MIN SC_PAGE_SIZE

static intptr_t open_path_arg(const struct dd_unit *un)
{
    return SC_ARG(un->un_dds.scsi_id, un->un_dds.lun_id);
}

/* A bus reset was seen, or the adapter is in trouble. Context: completion; nothing may be called back. */
static void open_event(struct sc_event_info *info)
{
    struct dd_unit *un = info->async_correlator;
    uint32_t events = info->events;
    int old;

    if (!(events & SC_SCSI_RESET_EVENT))
        return;
    old = disable_lock(INTIODONE, &un->un_lock);
    un->un_reset_ns = kern_now_ns() | 1u;
    if (un->un_reserved)
        dd_todo_set_locked(un, DD_TODO_RESERVE);
    unlock_enable(old, &un->un_lock);
}

/* The adapter's side of the path. 0 or errno; nothing is left behind then. */
static int open_path(struct dd_unit *un, int ext)
{
    struct devinfo info = {0};
    struct sc_event_struct ev = {0};
    struct sc_ahead ahead = {0};
    uint64_t most;
    int error = fp_opendev(un->un_dds.adapter_devno, DREAD | DWRITE | DKERNEL, NULL, 0, &un->un_fp);

    if (error)
        return error;
    error = fp_ioctl(un->un_fp, IOCINFO, (intptr_t)&info, 0);
    most = info.un.scsi.max_transfer;
    if (!error && (info.devtype != DD_BUS || info.devsubtype != DS_SCSI || most < OPEN_TRANSFER_MIN))
        error = ENODEV;
    if (!error)
        error = fp_ioctl(un->un_fp, SCIOSTART, open_path_arg(un), 0);
    if (error) {
        fp_close(un->un_fp);
        un->un_fp = NULL;
        return error;
    }
    un->un_adapter_max = most > INT_MAX ? (uint32_t)INT_MAX & ~SC_PAGE_MASK : (uint32_t)most & ~SC_PAGE_MASK;
    un->un_transfer_max = un->un_adapter_max;
    if (ext & SC_FORCED_OPEN)
        error = fp_ioctl(un->un_fp, SCIORESET, open_path_arg(un), 0);
    if (error) {
        (void)fp_ioctl(un->un_fp, SCIOSTOP, open_path_arg(un), 0);
        fp_close(un->un_fp);
        un->un_fp = NULL;
        return error;
    }
    /* Gathered writes, events and announcements are offered or not; both answers are fine. */
    un->un_gather = fp_ioctl(un->un_fp, SCIOGTHW, 0, 0) == 0;
    ev.id = un->un_dds.scsi_id;
    ev.lun = un->un_dds.lun_id;
    ev.mode = SC_IM_MODE;
    ev.async_func = open_event;
    ev.async_correlator = un;
    (void)fp_ioctl(un->un_fp, SCIOEVENT, (intptr_t)&ev, 0);
    ahead.id = un->un_dds.scsi_id;
    ahead.lun = un->un_dds.lun_id;
    error = fp_ioctl(un->un_fp, SCIOAHEAD, (intptr_t)&ahead, 0);
    un->un_ahead = error ? NULL : ahead.func;
    un->un_ahead_chip = error ? NULL : ahead.chip;
    dd_gone_path_up(un);
    return 0;
}

/*
 * Are persistent reservation keys registered? Then RESERVE is a conflict for everybody, also for
 * those who are registered: reservations are managed by others, and we open without one.
 */
static bool open_keys(struct dd_unit *un)
{
    uint8_t data[8] = {0};
    struct dd_sync sy;

    dd_sync_init(&sy, SCSI_PERSISTENT_RESERVE_IN, data, sizeof(data), true);
    sy.sy_cdb[8] = sizeof(data);
    sy.sy_flags = DD_SYNC_QUIET;
    return dd_sync_run(un, &sy) == 0 && dd_todo_keys(data, sizeof(data) - sy.sy_resid);
}

static int open_reserve(struct dd_unit *un, uint8_t opcode)
{
    struct dd_sync sy;
    int error, old;

    dd_sync_init(&sy, opcode, NULL, 0, false);
    sy.sy_flags = DD_SYNC_QUIET;
    error = dd_sync_run(un, &sy);
    if (error == EBUSY && sy.sy_scsi_status == SC_RESERVATION_CONFLICT && open_keys(un)) {
        dd_log(un, NULL, ERRID_DISK_INFO, true, 0, "persistent keys registered", "opened without RESERVE",
               NULL, 0);
        return 0;
    }
    /* A device that does not know RESERVE cannot be reserved by anybody else either. */
    if (error == EINVAL && sy.sy_sense.valid && sy.sy_sense.key == SCSI_KEY_ILLEGAL)
        return 0;
    if (error == 0) {
        old = disable_lock(INTIODONE, &un->un_lock); /* open_event() looks at it */
        un->un_reserved = opcode == SCSI_RESERVE_6;
        unlock_enable(old, &un->un_lock);
    }
    return error;
}

void dd_open_wait_idle_locked(struct dd_unit *un)
{
    dd_lane_close_locked(un);
    if (dd_lane_busy_locked(un))
        dd_plugs_wait_locked(un); /* then what has left the lane is out like others */
    while (un->un_active || un->un_pending.ch_head || un->un_again || un->un_frag_busy ||
           un->un_resp.ch_head ||
           (un->un_hold & ~(DD_HOLD_TODO | DD_HOLD_GONE | DD_HOLD_DEAD | DD_HOLD_INVALID)) ||
           un->un_rec.rec_state != DD_REC_NONE || un->un_unstick_cmd.cmd_state != DD_CMD_FREE ||
           un->un_area_busy || un->un_resetting) {
        if (SC_LIKELY(!dd_step_lost_locked(un) || dd_is_gone_locked(un) || !un->un_path)) {
            dd_sleep_locked(un);
            continue;
        }
        /* Recovery's own command does not come home, and nothing goes on without it: it is fetched. */
        dd_fetch_locked(un);
    }
}

/* Take the path down. The unit is idle. Returns the first error worth telling. */
static int open_teardown(struct dd_unit *un, bool commands)
{
    event_t never = EVENT_NULL;
    int error = 0, rc, old;

    if (commands && (un->un_dirty || !un->un_lost_seen)) {
        uint32_t mark = dd_lost_mark(un); /* told is what nobody has been told */

        dd_dead_last_chance(un);
        error = dd_lost_flush(un, &mark);
    }
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_todo_forget_locked(un);
    unlock_enable(old, &un->un_lock);
    if (commands && un->un_prevents)
        (void)dd_medium_keep(un, false);
    if (commands && un->un_reserved && !un->un_retain)
        (void)open_reserve(un, SCSI_RELEASE_6);
    /* These two may have failed: their sleeper has the answer, but the recovery may still be under way. */
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_open_wait_idle_locked(un);
    unlock_enable(old, &un->un_lock);
    while (tstop(un->un_restart_trb) < 0 || tstop(un->un_delay_trb) < 0 || tstop(un->un_step_trb) < 0)
        (void)e_timedsleep(&never, NULL, 1000000);
    un->un_restart_armed = false;
    dd_gone_path_down(un);
    rc = fp_ioctl(un->un_fp, SCIOSTOP, open_path_arg(un), 0);
    un->un_ahead = NULL;
    (void)fp_close(un->un_fp);
    un->un_fp = NULL;
    /* No event comes any more; one that came since the first time has left work for nobody. */
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_todo_forget_locked(un);
    un->un_reserved = un->un_retain = un->un_single = false;
    unlock_enable(old, &un->un_lock);
    return error ? error : rc;
}

int dd_open_limits(struct dd_unit *un)
{
    uint32_t coalesce = un->un_dds.max_coalesce;
    uint32_t most = un->un_adapter_max;
    int error = 0, old = disable_lock(INTIODONE, &un->un_lock); /* after a format there are other threads */

    if (un->un_device_blocks_max && un->un_device_blocks_max < most >> un->un_shift)
        most = un->un_device_blocks_max << un->un_shift;
    if (most < dd_block_bytes(un)) {
        error = EINVAL;
    } else {
        un->un_transfer_max = most & ~(dd_block_bytes(un) - 1u);
        un->un_span_max = coalesce && coalesce < un->un_transfer_max ? coalesce : un->un_transfer_max;
        KASSERT(un->un_transfer_max != 0 && un->un_span_max <= un->un_transfer_max);
        un->un_info.id = un->un_dds.scsi_id;
        un->un_info.lun = un->un_dds.lun_id;
        un->un_info.adapter_devno = un->un_dds.adapter_devno;
        un->un_info.transfer_bytes_max = un->un_transfer_max;
        un->un_info.tagged = un->un_tag != SC_NO_Q;
        un->un_info.gather = un->un_gather;
        un->un_info.read_only = un->un_read_only;
    }
    unlock_enable(old, &un->un_lock);
    return error;
}

/* The device's side of a normal first open. 0 or errno; the path stays. */
static int open_device(struct dd_unit *un, unsigned long devflag, int ext)
{
    struct dd_sync sy;
    int error = dd_probe_ready(un);

    if (!error && !un->un_dds.no_reserve && !(ext & SC_NO_RESERVE))
        error = open_reserve(un, SCSI_RESERVE_6);
    if (!error)
        error = dd_probe_identify(un);
    if (!error)
        error = dd_probe_capacity(un, &sy, 0);
    if (!error)
        error = dd_open_limits(un);
    if (!error && un->un_read_only && (devflag & DWRITE))
        error = EWRPROTECT;
    return error;
}

/* A first open: from nothing to usable. Context: process, un_busy is ours. */
static int open_first(struct dd_unit *un, unsigned long devflag, int ext)
{
    int error, old;

    KASSERT(un->un_busy && un->un_opens == 0 && un->un_fp == NULL);
    memset(&un->un_info, 0, sizeof(un->un_info));
    un->un_depth = un->un_depth_max = 1;
    un->un_tag = SC_NO_Q;
    un->un_need_resume = un->un_need_delay = un->un_rec.rec_owed = false;
    un->un_read_only = un->un_reserved = un->un_turn_rw = false;
    atomic_store_explicit(&un->un_dirty, false, memory_order_relaxed);
    un->un_removable = un->un_prevents = un->un_ws_unmap = false;
    un->un_good_run = 0;
    dd_lost_forget(un);
    old = disable_lock(INTIODONE, &un->un_lock); /* CFG_GONE may be beside us, and writes that word */
    dd_dead_forget_locked(un);
    unlock_enable(old, &un->un_lock);
    un->un_kept_bytes = 0;
    un->un_reset_ns = ext & SC_FORCED_OPEN ? kern_now_ns() | 1u : 0;
    error = open_path(un, ext);
    if (error)
        return error;
    if (ext & SC_DIAGNOSTIC) {
        dd_mode_set(un, DD_MODE_DIAGNOSTIC);
        return 0;
    }
    error = open_device(un, devflag, ext);
    if (error) {
        old = disable_lock(INTIODONE, &un->un_lock);
        dd_open_wait_idle_locked(un);
        unlock_enable(old, &un->un_lock);
        (void)open_teardown(un, true);
        return error;
    }
    dd_mode_set(un, DD_MODE_NORMAL);
    return 0;
}

/* May this open join those that are? Locks: un_lock held. */
static int open_join_locked(const struct dd_unit *un, unsigned long devflag, int ext)
{
    if (atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_DIAGNOSTIC || un->un_single ||
        (ext & SC_DIAGNOSTIC))
        return EACCES;
    if (ext & SC_SINGLE)
        return EBUSY;
    return un->un_read_only && (devflag & DWRITE) ? EWRPROTECT : 0;
}

/*
 * Context: process. 0; EACCES, EBUSY, EINVAL (ext), ENXIO (not configured), EPERM (an ext flag from a user
 * without authority), EWRPROTECT; what the adapter or the device answered.
 */
int dd_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    struct dd_unit *un;
    int error, old;

    (void)chan;
    if (ext & ~OPEN_EXT_ALL)
        return EINVAL;
    if (ext && !(devflag & (DKERNEL | DAUTH)))
        return EPERM;
    un = dd_unit_hold(devno);
    if (!un)
        return ENXIO;
    old = disable_lock(INTIODONE, &un->un_lock);
    while (un->un_busy)
        dd_sleep_locked(un);
    if (un->un_dying || dd_is_gone_locked(un)) {
        error = ENXIO;
    } else if (un->un_opens > 0) {
        error = open_join_locked(un, devflag, ext);
    } else {
        un->un_busy = true;
        unlock_enable(old, &un->un_lock);
        error = open_first(un, devflag, ext);
        old = disable_lock(INTIODONE, &un->un_lock);
        un->un_busy = false;
        un->un_single = !error && (ext & (SC_SINGLE | SC_DIAGNOSTIC));
        dd_wake_locked(un);
    }
    if (!error) {
        KASSERT(un->un_fp != NULL && !un->un_busy);
        if (un->un_opens++ == 0)
            dd_lane_open_locked(un);
        un->un_retain |= (ext & SC_RETAIN_RESERVATION) != 0;
    }
    unlock_enable(old, &un->un_lock);
    dd_unit_release(devno);
    return error;
}

/*
 * The last close, or a first open has failed and there is nothing to do. Context: process. 0, ENXIO, or what
 * went wrong while the cache was made durable.
 */
int dd_close(devno_t devno, long chan)
{
    struct dd_unit *un = dd_unit_hold(devno);
    int error = 0, old;
    bool diag;

    (void)chan;
    if (!un)
        return ENXIO;
    old = disable_lock(INTIODONE, &un->un_lock);
    while (un->un_busy)
        dd_sleep_locked(un);
    if (un->un_opens > 0) {
        un->un_opens = 0;
        un->un_busy = true;
        dd_open_wait_idle_locked(un);
        dd_plugs_wait_locked(un);
        dd_lane_fini_locked(un);
        unlock_enable(old, &un->un_lock);
        diag = atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_DIAGNOSTIC;
        error = open_teardown(un, !diag);
        dd_mode_set(un, DD_MODE_CLOSED);
        old = disable_lock(INTIODONE, &un->un_lock);
        un->un_busy = false;
        dd_wake_locked(un);
    }
    unlock_enable(old, &un->un_lock);
    dd_unit_release(devno);
    return error;
}
