/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_ioctl.c - the ioctl entry point.
 *
 * Structures are copied into the driver's own pages (the area, one user at a time) and back. A structure with
 * a pointer also has an inline area; a user's pointer cannot be followed through a FUSE mount, so from a
 * caller without DKERNEL it is refused with EFAULT and the inline area is the way. A kernel caller may use
 * either.
 *
 * Pass-through commands are sent as given: no retry, no log; the result goes to the caller as it is.
 *
 * Does not contain: ranges (dd_range.c), synchronous commands (dd_internal.c).
 */
#include "dd_impl.h"

#define IOCTL_FORMAT_TIMEOUT_S (4u * 3600u)

_Static_assert(sizeof(struct sc_rdwrt) <= DD_AREA_ARG_BYTES, "arguments are copied into the area");
_Static_assert(sizeof(struct sc_passthru) <= DD_AREA_ARG_BYTES, "arguments are copied into the area");
_Static_assert(SC_DISK_IO_INLINE <= DD_AREA_DATA_BYTES && SC_PASSTHRU_INLINE <= DD_AREA_DATA_BYTES,
               "inline data is copied into the area's data pages");

static int ioctl_iocinfo(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    struct devinfo info = {0};
    int old = disable_lock(INTIODONE, &un->un_lock); /* a format may change them all */

    info.devtype = DD_SCDISK;
    info.flags = un->un_removable ? DF_RAND : DF_FIXED | DF_RAND;
    info.devsubtype = DS_SCSI;
    info.un.scdk.numblks = un->un_info.block_bytes ? dd_sectors(un) >> (un->un_shift - DEV_BSHIFT) : 0;
    info.un.scdk.blksize = un->un_info.block_bytes;
    info.un.scdk.max_request = un->un_transfer_max;
    info.un.scdk.segment_count = DD_SPAN_BUFS_MAX;
    info.un.scdk.segment_size = un->un_transfer_max;
    unlock_enable(old, &un->un_lock);
    return kcopyout(&info, arg, sizeof(info), devflag);
}

/* Nothing has come of it so far: what the last call left in the structure is not this one's answer. */
static void ioctl_rdwrse_clear(struct sc_rdwrt *rw)
{
    rw->status_validity = rw->scsi_status = rw->adapter_status = rw->sense_bytes = 0;
    rw->resid = rw->data_length;
}

/* The status of a finished command, and as much of its sense data as is wanted. */
static void ioctl_rdwrse_status(struct sc_rdwrt *rw, const struct dd_sync *sy)
{
    rw->status_validity = sy->sy_validity;
    rw->scsi_status = sy->sy_scsi_status;
    rw->adapter_status = sy->sy_adapter_status;
    rw->sense_bytes = sy->sy_sense_bytes;
    if (rw->sense_bytes > rw->req_sense_length)
        rw->sense_bytes = (uint8_t)rw->req_sense_length;
    KASSERT(rw->sense_bytes <= DD_SENSE_BYTES);
    memset(rw->sense, 0, sizeof(rw->sense));
    memcpy(rw->sense, sy->sy_sense_data, rw->sense_bytes);
}

/*
 * An open in diagnostic mode sends nothing, so the block size is asked for when somebody needs it, as given:
 * what the device has to say to that is the caller's to see. 0 or errno.
 */
static int ioctl_blocks_known(struct dd_unit *un, struct sc_rdwrt *rw)
{
    struct dd_sync sy;
    int error = un->un_info.block_bytes ? 0 : dd_probe_capacity(un, &sy, DD_SYNC_RAW);

    if (error)
        ioctl_rdwrse_status(rw, &sy);
    return error;
}

/* In diagnostic mode: something may have changed, or gone wrong. Ask again before the next READ or WRITE. */
static void ioctl_blocks_forget(struct dd_unit *un)
{
    int old = disable_lock(INTIODONE, &un->un_lock);

    if (atomic_load_explicit(&un->un_mode, memory_order_relaxed) == DD_MODE_DIAGNOSTIC)
        un->un_info.block_bytes = 0;
    unlock_enable(old, &un->un_lock);
}

/* What is asked for, before anything is sent. 0 or errno. */
static int ioctl_rdwrse_bad(struct dd_unit *un, struct sc_rdwrt *rw, bool read, unsigned long devflag,
                            struct dd_blocks *bl)
{
    uint64_t most, blocks;
    int error;

    KASSERT(un->un_area_busy);
    if (rw->req_sense_length > SC_DISK_SENSE_MAX || rw->data_length > un->un_transfer_max ||
        rw->data_length == 0 || (!rw->buffer && rw->data_length > SC_DISK_IO_INLINE))
        return EINVAL;
    if (rw->buffer && !(devflag & DKERNEL))
        return EFAULT;
    error = ioctl_blocks_known(un, rw);
    if (error)
        return error;
    *bl = dd_blocks_of(un);
    if (rw->data_length & (dd_block_bytes(un) - 1u))
        return EINVAL;
    blocks = rw->data_length >> un->un_shift;
    most = dd_sectors(un) >> (un->un_shift - DEV_BSHIFT);
    if (rw->lba >= most || blocks > most - rw->lba)
        return ENXIO;
    bl->bl_end = (rw->lba + blocks) << (bl->bl_shift - DEV_BSHIFT);
    return !read && un->un_read_only ? EWRPROTECT : 0;
}

/* DKIORDSE and DKIOWRSE on a structure in the area. Returns the errno; results are in *rw. */
static int ioctl_rdwrse_checked(struct dd_unit *un, struct sc_rdwrt *rw, bool read, unsigned long devflag)
{
    struct dd_sync sy;
    struct dd_blocks bl;
    void *data = dd_area_data(un);
    int error;

    ioctl_rdwrse_clear(rw);
    error = ioctl_rdwrse_bad(un, rw, read, devflag, &bl);
    if (error)
        return error;
    if (rw->buffer)
        data = (void *)(uintptr_t)rw->buffer;
    else if (!read)
        memcpy(data, rw->data, rw->data_length);

    dd_sync_init(&sy, SCSI_READ_10, data, rw->data_length, read);
    memset(sy.sy_cdb, 0, sizeof(sy.sy_cdb));
    sy.sy_cdb_bytes = dd_cdb_rw(sy.sy_cdb, read, 0, rw->lba, rw->data_length >> un->un_shift, 0);
    sy.sy_flags = DD_SYNC_RAW;
    dd_sync_blocks(&sy, &bl, bl.bl_end);
    sy.sy_timeout_s = rw->timeout_value ? rw->timeout_value : un->un_dds.rw_timeout;
    if (!read)
        (void)dd_dirty_set(un, true);
    error = dd_sync_run(un, &sy);
    if (error)
        ioctl_blocks_forget(un);
    ioctl_rdwrse_status(rw, &sy);
    rw->resid = sy.sy_resid;
    if (read && !rw->buffer)
        memcpy(rw->data, data, rw->data_length - rw->resid);
    return error;
}

static int ioctl_rdwrse(struct dd_unit *un, intptr_t arg, bool read, unsigned long devflag)
{
    struct sc_rdwrt *rw = un->un_area;
    int error, copied;

    dd_area_get(un);
    error = kcopyin(arg, rw, sizeof(*rw), devflag);
    if (!error) {
        error = ioctl_rdwrse_checked(un, rw, read, devflag);
        copied = kcopyout(rw, arg, sizeof(*rw), devflag);
        error = copied ? copied : error;
    }
    dd_area_put(un);
    return error;
}

/*
 * Which field of a pass-through request is wrong: its number counted from `version`, or 0.
 */
static uint8_t ioctl_passthru_bad(const struct dd_unit *un, const struct sc_passthru *pt)
{
    uint8_t group = pt->scsi_cdb[0] >> 5;

    if (pt->version != SC_VERSION_1)
        return 1;
    if (pt->q_tag_msg && (pt->q_tag_msg < SC_SIMPLE_Q || pt->q_tag_msg > SC_ORDERED_Q))
        return 6;
    if (pt->q_flags & ~SC_DELAY_CMD) /* the queue is ours */
        return 7;
    if (pt->flags & ~SC_PT_READ)
        return 8;
    if (pt->command_length != 6 && pt->command_length != 10 && pt->command_length != 12 &&
        pt->command_length != 16)
        return 9;
    if (group == 3) /* variable length and reserved: no field for it here */
        return 19;
    if (pt->autosense_length > SC_PASSTHRU_SENSE)
        return 10;
    if (pt->reserved)
        return 12;
    if (pt->data_length > un->un_transfer_max || (!pt->buffer && pt->data_length > SC_PASSTHRU_INLINE))
        return SC_EINVAL_LENGTH;
    return 0;
}

/*
 * Sense of a pass-through command whose caller wanted none. The device has given it away, but the caller may
 * still ask with a REQUEST SENSE of his own: then it is he who gets it. Until his next command.
 */
static void ioctl_sense_keep(struct dd_unit *un, const struct dd_sync *sy)
{
    un->un_kept_bytes = 0;
    if (!(sy->sy_flags & DD_SYNC_NOSENSE) || sy->sy_sense_bytes == 0)
        return;
    memcpy(un->un_kept_sense, sy->sy_sense_data, sy->sy_sense_bytes);
    un->un_kept_bytes = sy->sy_sense_bytes;
}

/* Is this the REQUEST SENSE that fetches what was kept? Then it is answered here. */
static bool ioctl_sense_kept(struct dd_unit *un, struct sc_passthru *pt, void *data)
{
    size_t bytes = un->un_kept_bytes;

    KASSERT(bytes <= sizeof(un->un_kept_sense));
    if (pt->scsi_cdb[0] != SCSI_REQUEST_SENSE || !bytes || !(pt->flags & SC_PT_READ))
        return false;
    if (bytes > pt->scsi_cdb[4])
        bytes = pt->scsi_cdb[4];
    if (bytes > pt->data_length)
        bytes = (size_t)pt->data_length;
    memcpy(data, un->un_kept_sense, bytes);
    pt->status_validity = pt->scsi_bus_status = pt->adapter_status = pt->adap_q_status = 0;
    pt->sense_bytes = 0;
    pt->residual = pt->data_length - bytes;
    memset(pt->autosense, 0, sizeof(pt->autosense));
    un->un_kept_bytes = 0;
    return true;
}

/*
 * Does this command leave things to be written behind? What has no data phase changes no block of ours, and
 * STOP UNIT writes the cache out itself (unless told not to): a close need not ask a stopped disk to.
 */
static bool ioctl_passthru_stops(const struct sc_passthru *pt)
{
    return pt->scsi_cdb[0] == SCSI_START_STOP_UNIT && (pt->scsi_cdb[4] & 0x01) == 0 &&
           !((pt->scsi_cdb[4] & 0xf0) == 0 && (pt->scsi_cdb[4] & 0x04));
}

/* The command has been carried out: what does it change for the driver? */
static void ioctl_passthru_effects(struct dd_unit *un, const struct sc_passthru *pt)
{
    uint8_t op = pt->scsi_cdb[0];
    int old;

    if (op != SCSI_FORMAT_UNIT && op != SCSI_MODE_SELECT_6 && op != SCSI_MODE_SELECT_10)
        return;
    if (atomic_load_explicit(&un->un_mode, memory_order_relaxed) != DD_MODE_NORMAL) {
        ioctl_blocks_forget(un);
        return;
    }
    /* Whoever changes the capacity himself gets no attention for it. */
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_todo_set_locked(un, DD_TODO_CAPACITY | DD_TODO_MODE);
    unlock_enable(old, &un->un_lock);
}

static void ioctl_passthru_clear(struct sc_passthru *pt)
{
    pt->status_validity = pt->scsi_bus_status = pt->adapter_status = pt->adap_q_status = pt->sense_bytes = 0;
    pt->residual = pt->data_length;
}

static int ioctl_passthru_checked(struct dd_unit *un, struct sc_passthru *pt, unsigned long devflag)
{
    struct dd_sync sy;
    bool read = (pt->flags & SC_PT_READ) != 0;
    bool stops = ioctl_passthru_stops(pt), was_dirty = false;
    void *data = pt->buffer ? (void *)(uintptr_t)pt->buffer : dd_area_data(un);
    int error;

    KASSERT(un->un_area_busy);
    ioctl_passthru_clear(pt);
    pt->einval_arg = ioctl_passthru_bad(un, pt);
    if (pt->einval_arg || pt->reserved1 || pt->reserved2[0] || pt->reserved2[1] || pt->reserved2[2])
        return EINVAL; /* the last two have no number */
    if (pt->buffer && !(devflag & DKERNEL))
        return EFAULT;
    if (!pt->buffer && !read)
        memcpy(data, pt->data, (size_t)pt->data_length);
    if (ioctl_sense_kept(un, pt, pt->buffer ? data : pt->data))
        return 0;
    memset(&sy, 0, sizeof(sy));
    memcpy(sy.sy_cdb, pt->scsi_cdb, sizeof(sy.sy_cdb));
    sy.sy_cdb_bytes = pt->command_length;
    sy.sy_data = pt->data_length ? data : NULL;
    sy.sy_bytes = (uint32_t)pt->data_length;
    sy.sy_read = read;
    sy.sy_timeout_s = pt->timeout_value;
    sy.sy_tag = pt->q_tag_msg;
    /* No policy of ours: the result goes to the caller as it is (NB-24). */
    sy.sy_flags = DD_SYNC_RAW | DD_SYNC_TAG | (pt->autosense_length ? 0 : DD_SYNC_NOSENSE) |
                  (pt->q_flags & SC_DELAY_CMD ? DD_SYNC_DELAY : 0);
    if (stops)
        was_dirty = dd_dirty_set(un, false);
    else if (!read && pt->data_length > 0)
        (void)dd_dirty_set(un, true);
    error = dd_sync_run(un, &sy);
    if (error && was_dirty)
        (void)dd_dirty_set(un, true);
    if (error)
        ioctl_blocks_forget(un);
    else
        ioctl_passthru_effects(un, pt);
    ioctl_sense_keep(un, &sy);
    pt->status_validity = sy.sy_validity;
    pt->scsi_bus_status = sy.sy_scsi_status;
    pt->adapter_status = sy.sy_adapter_status;
    pt->adap_q_status = sy.sy_adap_q;
    KASSERT(sy.sy_resid <= sy.sy_bytes);
    pt->residual = sy.sy_resid;
    pt->sense_bytes = sy.sy_sense_bytes < pt->autosense_length ? sy.sy_sense_bytes : pt->autosense_length;
    memset(pt->autosense, 0, sizeof(pt->autosense));
    KASSERT(pt->sense_bytes <= DD_SENSE_BYTES);
    memcpy(pt->autosense, sy.sy_sense_data, pt->sense_bytes);
    if (read && !pt->buffer)
        memcpy(pt->data, data, sy.sy_bytes - sy.sy_resid);
    return error;
}

static int ioctl_passthru(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    struct sc_passthru *pt = un->un_area;
    int error, copied;

    dd_area_get(un);
    error = kcopyin(arg, pt, sizeof(*pt), devflag);
    if (!error) {
        error = ioctl_passthru_checked(un, pt, devflag);
        copied = kcopyout(pt, arg, sizeof(*pt), devflag);
        error = copied ? copied : error;
    }
    dd_area_put(un);
    return error;
}

/*
 * FORMAT UNIT with the defaults; nobody else may have the disk open. Afterwards the disk may be another
 * one: blocks, their size, limits and protection are read again, as at open, and until that is done every
 * other request gets EACCES. If it cannot be done the disk stays that way until it is opened again.
 */
static int ioctl_format(struct dd_unit *un)
{
    struct dd_sync sy;
    int error, old;

    if (!un->un_single)
        return EACCES;
    if (un->un_read_only)
        return EWRPROTECT;
    dd_mode_set(un, DD_MODE_FORMAT);
    old = disable_lock(INTIODONE, &un->un_lock);
    dd_open_wait_idle_locked(un);
    unlock_enable(old, &un->un_lock);
    dd_sync_init(&sy, SCSI_FORMAT_UNIT, NULL, 0, false);
    sy.sy_timeout_s = IOCTL_FORMAT_TIMEOUT_S;
    error = dd_sync_run(un, &sy);
    if (!error) {
        error = dd_probe_identify(un);
        if (!error)
            error = dd_probe_capacity(un, &sy, 0);
        if (!error)
            error = dd_open_limits(un);
        if (error) {
            old = disable_lock(INTIODONE, &un->un_lock);
            dd_size_set_locked(un, 0);
            unlock_enable(old, &un->un_lock);
        }
    }
    dd_mode_set(un, DD_MODE_NORMAL);
    return error;
}

/*
 * Hold the medium, or let it go. Whoever may use the disk may do either; the last close lets go.
 * Context: process. 0 or errno.
 */
int dd_medium_keep(struct dd_unit *un, bool keep)
{
    struct dd_sync sy;
    int error, old;

    dd_sync_init(&sy, SCSI_PREVENT_ALLOW, NULL, 0, false);
    sy.sy_cdb[4] = keep;
    error = dd_sync_run(un, &sy);
    if (!error) {
        old = disable_lock(INTIODONE, &un->un_lock);
        un->un_prevents = keep;
        unlock_enable(old, &un->un_lock);
    }
    return error;
}

/*
 * DKEJECT. What has been written is made durable first: an error can still be told then, and the medium is
 * still there. A locked one is the device's to refuse: EINVAL.
 */
static int ioctl_eject(struct dd_unit *un)
{
    struct dd_sync sy;
    bool was_dirty;
    int error = dd_lost_flush(un, NULL);

    if (error)
        return error;
    dd_sync_init(&sy, SCSI_START_STOP_UNIT, NULL, 0, false);
    sy.sy_cdb[4] = 0x02; /* LOEJ without START */
    sy.sy_timeout_s = un->un_dds.start_timeout;
    /* A write that came in between is written out by the drive: a close need not ask one without a medium. */
    was_dirty = dd_dirty_set(un, false);
    error = dd_sync_run(un, &sy);
    if (error && was_dirty)
        (void)dd_dirty_set(un, true);
    return error;
}

static int ioctl_medium(struct dd_unit *un, unsigned cmd)
{
    if (!un->un_removable)
        return EINVAL;
    return cmd == DKEJECT ? ioctl_eject(un) : dd_medium_keep(un, cmd == DKPMR);
}

static int ioctl_range(struct dd_unit *un, unsigned cmd, intptr_t arg, unsigned long devflag)
{
    struct sc_range range;
    int error = kcopyin(arg, &range, sizeof(range), devflag);

    if (error)
        return error;
    return cmd == DKUNMAP ? dd_range_unmap(un, &range) : dd_range_zero(un, &range, cmd == DKZERO_UNMAP);
}

static int ioctl_extent(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    struct sc_extent ext;
    int error = kcopyin(arg, &ext, sizeof(ext), devflag);

    if (!error)
        error = dd_range_extent(un, &ext);
    return error ? error : kcopyout(&ext, arg, sizeof(ext), devflag);
}

static int ioctl_info(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    struct sc_disk_info info;
    int old = disable_lock(INTIODONE, &un->un_lock);

    info = un->un_info;
    info.opens = un->un_opens;
    info.queue_depth = un->un_depth;
    unlock_enable(old, &un->un_lock);
    return kcopyout(&info, arg, sizeof(info), devflag);
}

static int ioctl_stats(struct dd_unit *un, intptr_t arg, unsigned long devflag)
{
    struct sc_disk_stats stats;

    dd_stats_get(un, &stats);
    return kcopyout(&stats, arg, sizeof(stats), devflag);
}

/* What changes the medium and is no command of the caller's own. */
static bool ioctl_writes(unsigned cmd)
{
    return cmd == DKIOWRSE || cmd == DKFORMAT || cmd == DKUNMAP || cmd == DKZERO || cmd == DKZERO_UNMAP;
}

/* What needs the disk open in the ordinary way: EACCES in another mode. */
static bool ioctl_is_normal(unsigned cmd)
{
    return cmd == DKPMR || cmd == DKAMR || cmd == DKEJECT || cmd == DKFORMAT || cmd == DKFLUSH ||
           cmd == DKFLUSHMARK || cmd == DKUNMAP || cmd == DKZERO || cmd == DKZERO_UNMAP || cmd == DKEXTENT;
}

static int ioctl_normal(struct dd_unit *un, unsigned cmd, intptr_t arg, unsigned long devflag)
{
    switch (cmd) {
    case DKPMR:
    case DKAMR:
    case DKEJECT:
        return ioctl_medium(un, cmd);
    case DKFORMAT:
        return ioctl_format(un);
    case DKFLUSH:
        return dd_lost_flush(un, NULL);
    case DKFLUSHMARK:
        return dd_lost_ioctl(un, arg, devflag);
    case DKEXTENT:
        return ioctl_extent(un, arg, devflag);
    default:
        KASSERT(cmd == DKUNMAP || cmd == DKZERO || cmd == DKZERO_UNMAP);
        return ioctl_range(un, cmd, arg, devflag);
    }
}

/*
 * Context: process. Locks: none. Returns the errno: whether there is such an operation comes first, then
 * whether the disk is in the mode for it, then whether the file is open for it.
 */
int dd_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    struct dd_unit *un = dd_unit_of(devno);
    unsigned mode = un ? atomic_load_explicit(&un->un_mode, memory_order_relaxed) : DD_MODE_CLOSED;
    bool other = mode != DD_MODE_NORMAL;
    bool readonly = ioctl_writes(cmd) && !(devflag & DWRITE);

    (void)chan;
    (void)ext;
    if (mode == DD_MODE_CLOSED || mode == DD_MODE_INVALID)
        return ENXIO;
    switch (cmd) {
    case IOCINFO:
        return ioctl_iocinfo(un, arg, devflag);
    case DKINFO:
        return ioctl_info(un, arg, devflag);
    case DKSTATS:
        return ioctl_stats(un, arg, devflag);
    case DKFLIGHT:
        return dd_flight_copyout(un, arg, devflag);
    case DKIOCMD:
        return mode == DD_MODE_DIAGNOSTIC ? ioctl_passthru(un, arg, devflag) : EACCES;
    case DK_PASSTHRU:
        return other ? EACCES : ioctl_passthru(un, arg, devflag);
    case DKIORDSE:
    case DKIOWRSE:
        other = mode == DD_MODE_FORMAT;
        break;
    default:
        if (!ioctl_is_normal(cmd))
            return EINVAL;
        break;
    }
    if (other)
        return EACCES;
    if (readonly)
        return un->un_read_only ? EWRPROTECT : EBADF;
    if (cmd == DKIORDSE || cmd == DKIOWRSE)
        return ioctl_rdwrse(un, arg, cmd == DKIORDSE, devflag);
    return ioctl_normal(un, cmd, arg, devflag);
}
