/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_probe.c - what the device is: ready, identity, limits, protection, capacity.
 *
 * Every byte a device sends is hostile until checked: lengths in INQUIRY, VPD and mode data are cut to what
 * arrived, strings to printable characters, a capacity that makes no sense fails the open with EFORMAT and
 * a line in the error log. Optional pages may be missing; the defaults are then what a plain disk does.
 *
 * Does not contain: the order of an open (dd_open.c).
 */
#include "dd_impl.h"

#define PROBE_INQUIRY_BYTES 96u
#define PROBE_VPD_BYTES     252u
#define PROBE_MODE_BYTES    192u
#define PROBE_SECOND_NS     UINT64_C(1000000000)
#define PROBE_WAIT_MIN_NS   UINT64_C(1000000)

/* Sleep at process level. */
static void probe_sleep(uint64_t ns)
{
    event_t never = EVENT_NULL;

    (void)e_timedsleep(&never, NULL, ns);
}

/* ------------------------------------------------------------------ ready */

static int probe_start_unit(struct dd_unit *un)
{
    struct dd_sync sy;

    dd_sync_init(&sy, SCSI_START_STOP_UNIT, NULL, 0, false);
    sy.sy_cdb[4] = 1;
    sy.sy_timeout_s = un->un_dds.start_timeout;
    sy.sy_flags = DD_SYNC_RAW;
    return dd_sync_run(un, &sy);
}

/* What has been done so far to make it ready. */
struct probe_ready {
    bool pr_started;       /* START UNIT */
    unsigned pr_waited_s;  /* while it came up */
    uint64_t pr_waited_ns; /* while it was busy, or silent after a reset */
    unsigned pr_tries;     /* TEST UNIT READY without any of these */
};

/* Is it silent because it has just been reset? */
static bool probe_settles(const struct dd_unit *un, const struct dd_sync *sy)
{
    return sy->sy_validity == SC_ADAPTER_ERROR && sy->sy_adapter_status == SC_NO_DEVICE_RESPONSE &&
           un->un_reset_ns && (int64_t)(kern_now_ns() - un->un_reset_ns) < DD_SETTLE_NS;
}

/*
 * Busy, full or silent: that may be over in a millisecond, so the waits grow from there, as they do in
 * dd_recover.c. Their sum is what DD_READY_TRIES_MAX waits of dd_busy_ms were. False: it has been waited for.
 */
static bool probe_wait(const struct dd_unit *un, struct probe_ready *pr)
{
    uint64_t ns = pr->pr_waited_ns < PROBE_WAIT_MIN_NS ? PROBE_WAIT_MIN_NS : pr->pr_waited_ns;

    if (ns > un->un_busy_ns)
        ns = un->un_busy_ns;
    if (pr->pr_waited_ns >= un->un_busy_ns * DD_READY_TRIES_MAX)
        return false;
    probe_sleep(ns);
    pr->pr_waited_ns += ns;
    return true;
}

/* What a failed TEST UNIT READY asks for. 0: try again; else the errno of the open. */
static int probe_not_ready(struct dd_unit *un, const struct dd_sync *sy, struct probe_ready *pr)
{
    const struct scsi_sense *sense = &sy->sy_sense;

    if (sy->sy_validity == SC_SCSI_ERROR && sy->sy_scsi_status == SC_RESERVATION_CONFLICT)
        return EBUSY;
    if (sy->sy_validity == SC_ADAPTER_ERROR || sy->sy_scsi_status != SC_CHECK_CONDITION) {
        if ((sy->sy_validity == SC_ADAPTER_ERROR && !probe_settles(un, sy)) || !probe_wait(un, pr))
            pr->pr_tries++;
        return 0;
    }
    if (sense->key == SCSI_KEY_ILLEGAL && sense->valid)
        return sense->asc == 0x25 ? ENODEV : EIO; /* no such LUN */
    if (!sense->valid || sense->key != SCSI_KEY_NOT_READY) {
        pr->pr_tries++;
        return 0;
    }
    if (sense->asc == 0x3a)
        return ENOTREADY;
    if (!(sense->asc == 0x04 && sense->ascq == 0x01) && !pr->pr_started) {
        pr->pr_started = true;
        pr->pr_tries++;
        (void)probe_start_unit(un);
        return 0;
    }
    if (++pr->pr_waited_s > un->un_dds.start_timeout)
        return ENOTREADY;
    probe_sleep(PROBE_SECOND_NS);
    return 0;
}

/* It does not become ready: why? */
static int probe_gave_up(struct dd_unit *un, const struct dd_sync *sy)
{
    int error = EIO;

    if (sy->sy_validity == SC_ADAPTER_ERROR && sy->sy_adapter_status == SC_CMD_TIMEOUT)
        error = ETIMEDOUT;
    else if (sy->sy_validity == SC_SCSI_ERROR &&
             (sy->sy_scsi_status == SC_BUSY_STATUS || sy->sy_scsi_status == SC_QUEUE_FULL))
        error = EBUSY;
    dd_log(un, NULL, ERRID_DISK_ERR2, false, error, "device does not become ready", "open failed", NULL, 0);
    return error;
}

/*
 * Until the device answers TEST UNIT READY well: attentions are eaten, a stopped unit is started, one that
 * is on its way is waited for.
 * Context: process. 0; EBUSY, ENODEV, ENOTREADY, ETIMEDOUT, EIO. Requirement: NB-17.
 */
int dd_probe_ready(struct dd_unit *un)
{
    struct probe_ready pr = {0};
    struct dd_sync sy;
    int error;

    do {
        dd_sync_init(&sy, SCSI_TEST_UNIT_READY, NULL, 0, false);
        sy.sy_flags = DD_SYNC_RAW;
        error = dd_sync_run(un, &sy);
        if (error != EIO)
            return error;
        error = probe_not_ready(un, &sy, &pr);
        if (error)
            return error;
    } while (pr.pr_tries < DD_READY_TRIES_MAX);
    return probe_gave_up(un, &sy);
}

/* ------------------------------------------------------------------ identity */

/* A fixed field to a NUL-terminated printable string without trailing blanks. */
static void probe_text(char *out, size_t out_bytes, const uint8_t *in, size_t in_bytes)
{
    size_t n = in_bytes < out_bytes - 1 ? in_bytes : out_bytes - 1;

    for (size_t i = 0; i < n; i++)
        out[i] = (char)(in[i] >= 0x20 && in[i] < 0x7f ? in[i] : '.');
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

/* INQUIRY, standard data or a page. Returns the bytes that arrived, 0 when it failed. */
static uint32_t probe_inquiry(struct dd_unit *un, int page, uint8_t *data, uint32_t bytes, int *error)
{
    struct dd_sync sy;

    memset(data, 0, bytes);
    dd_sync_init(&sy, SCSI_INQUIRY, data, bytes, true);
    if (page >= 0) {
        sy.sy_cdb[1] = SCSI_INQUIRY_EVPD;
        sy.sy_cdb[2] = (uint8_t)page;
        sy.sy_flags = DD_SYNC_QUIET;
    }
    scsi_put16(sy.sy_cdb + 3, bytes);
    *error = dd_sync_run(un, &sy);
    KASSERT(sy.sy_resid <= bytes);
    return *error ? 0 : bytes - sy.sy_resid;
}

/* A VPD page: its own bytes (header included) that really arrived; 0 when it is not what was asked for. */
static uint32_t probe_vpd(struct dd_unit *un, uint8_t page, uint8_t *data)
{
    int error;
    uint32_t got = probe_inquiry(un, page, data, PROBE_VPD_BYTES, &error);
    uint32_t said = 4u + scsi_get16(data + 2);

    KASSERT(got <= PROBE_VPD_BYTES);
    if (got < 4 || data[1] != page)
        return 0;
    return said < got ? said : got;
}

/* The best designator of page 83: NAA, else the first that fits. */
static void probe_device_id(struct dd_unit *un, const uint8_t *data, uint32_t bytes)
{
    struct sc_disk_info *info = &un->un_info;

    KASSERT(bytes <= PROBE_VPD_BYTES);
    for (uint32_t at = 4; at + 4 <= bytes; at += 4u + data[at + 3]) {
        uint32_t n = data[at + 3];
        bool naa = (data[at + 1] & 0x0f) == 3;

        if (at + 4 + n > bytes)
            return;
        if (n == 0 || n > sizeof(info->device_id) || (info->device_id_bytes && !naa))
            continue;
        memcpy(info->device_id, data + at + 4, n);
        info->device_id_bytes = (uint8_t)n;
        if (naa)
            return;
    }
}

static void probe_vpd_limits(struct dd_unit *un, const uint8_t *data, uint32_t bytes)
{
    un->un_unmap_blocks_max = bytes >= 24 ? scsi_get32(data + 20) : 0;
    un->un_ws_blocks_max = bytes >= 44 ? scsi_get64(data + 36) : 0;
    un->un_device_blocks_max = bytes >= 12 ? scsi_get32(data + 8) : 0;
}

static void probe_vpd_all(struct dd_unit *un)
{
    uint8_t pages[PROBE_VPD_BYTES], data[PROBE_VPD_BYTES];
    uint32_t npages = probe_vpd(un, SCSI_VPD_SUPPORTED, pages);

    for (uint32_t i = 4; i < npages; i++) {
        uint8_t page = pages[i];
        uint32_t bytes;
        int old;

        if (page != SCSI_VPD_SERIAL && page != SCSI_VPD_DEVICE_ID && page != SCSI_VPD_BLOCK_LIMITS &&
            page != SCSI_VPD_PROVISIONING)
            continue;
        bytes = probe_vpd(un, page, data);
        if (bytes <= 4)
            continue;
        old = disable_lock(INTIODONE, &un->un_lock); /* after a format DKINFO may be asked meanwhile */
        if (page == SCSI_VPD_SERIAL)
            probe_text(un->un_info.serial, sizeof(un->un_info.serial), data + 4, bytes - 4);
        else if (page == SCSI_VPD_DEVICE_ID)
            probe_device_id(un, data, bytes);
        else if (page == SCSI_VPD_BLOCK_LIMITS)
            probe_vpd_limits(un, data, bytes);
        else if (bytes >= 6) {
            un->un_info.unmap = (data[5] & 0x80) != 0;
            un->un_ws_unmap = (data[5] & 0x40) != 0;
            un->un_lbprz = (data[5] & 0x04) != 0;
        }
        unlock_enable(old, &un->un_lock);
    }
}

/* Write protection and write cache. A device without mode pages is taken as writable. */
static void probe_mode(struct dd_unit *un)
{
    static const uint8_t tries[2] = {0x08, 0x3f};
    uint8_t data[PROBE_MODE_BYTES];

    for (unsigned i = 0; i < SC_ARRAY_SIZE(tries); i++) {
        struct dd_sync sy;
        uint32_t got, page;
        int old;

        memset(data, 0, sizeof(data));
        dd_sync_init(&sy, SCSI_MODE_SENSE_6, data, sizeof(data), true);
        sy.sy_cdb[2] = tries[i];
        sy.sy_cdb[4] = sizeof(data);
        sy.sy_flags = DD_SYNC_QUIET;
        if (dd_sync_run(un, &sy))
            continue;
        KASSERT(sy.sy_resid <= sizeof(data));
        got = (uint32_t)sizeof(data) - sy.sy_resid;
        if (got < 4)
            continue;
        old = disable_lock(INTIODONE, &un->un_lock);
        un->un_read_only = (data[2] & 0x80) != 0;
        /* Pages follow the block descriptors; the first caching page counts. */
        for (page = 4u + data[3]; page + 3 <= got; page += 2u + data[page + 1]) {
            if ((data[page] & 0x3f) == 0x08) {
                un->un_info.write_cache = (data[page + 2] & 0x04) != 0;
                break;
            }
        }
        unlock_enable(old, &un->un_lock);
        return;
    }
}

/*
 * Does it drop all commands when one meets CHECK CONDITION? clr_q says so; else the device does, in the
 * control mode page, unless it is not to be asked (q_err). A device without that page keeps them.
 */
static void probe_clears(struct dd_unit *un)
{
    uint8_t data[PROBE_MODE_BYTES] = {0};
    bool clears = un->un_dds.clr_q != 0;
    struct dd_sync sy;
    uint32_t got, page;
    int old;

    if (!clears && !un->un_dds.no_q_err) {
        dd_sync_init(&sy, SCSI_MODE_SENSE_6, data, sizeof(data), true);
        sy.sy_cdb[2] = 0x0a;
        sy.sy_cdb[4] = sizeof(data);
        sy.sy_flags = DD_SYNC_QUIET;
        got = dd_sync_run(un, &sy) ? 0 : (uint32_t)sizeof(data) - sy.sy_resid;
        page = 4u + data[3];
        /* QERR 01b: all tasks of all nexuses; 11b: ours. */
        clears = page + 4 <= got && (data[page] & 0x3f) == 0x0a && (data[page + 3] & 0x02) != 0;
    }
    old = disable_lock(INTIODONE, &un->un_lock);
    un->un_clears = clears;
    unlock_enable(old, &un->un_lock);
}

/*
 * INQUIRY, VPD, MODE SENSE. Context: process. 0; ENODEV when it is no disk; a device error.
 */
int dd_probe_identify(struct dd_unit *un)
{
    struct sc_disk_info *info = &un->un_info;
    uint8_t data[PROBE_INQUIRY_BYTES];
    int error, old;
    uint32_t got = probe_inquiry(un, -1, data, sizeof(data), &error);

    if (error)
        return error;
    if (got < 5 || data[0] != 0) {
        dd_log(un, NULL, ERRID_DISK_INFO, false, ENODEV, "INQUIRY: not a disk", "open failed", NULL, 0);
        return ENODEV;
    }
    old = disable_lock(INTIODONE, &un->un_lock);
    probe_text(info->vendor, sizeof(info->vendor), data + 8, got >= 16 ? 8 : 0);
    probe_text(info->product, sizeof(info->product), data + 16, got >= 32 ? 16 : 0);
    probe_text(info->revision, sizeof(info->revision), data + 32, got >= 36 ? 4 : 0);
    un->un_removable = (data[1] & 0x80) != 0;
    un->un_lbprz = un->un_ws_unmap = false;
    un->un_unmap_blocks_max = un->un_device_blocks_max = 0;
    un->un_ws_blocks_max = 0;
    info->write_same = 1; /* until the device says otherwise */
    unlock_enable(old, &un->un_lock);
    probe_vpd_all(un);
    probe_mode(un);
    /* Tags only now: until here one command at a time (AIX-24). */
    if (got >= 8 && (data[7] & 0x02) && !un->un_dds.no_tags) {
        probe_clears(un);
        old = disable_lock(INTIODONE, &un->un_lock);
        KASSERT(un->un_dds.queue_depth >= 1 && un->un_dds.queue_depth <= DD_DEPTH_MAX);
        un->un_tag = SC_SIMPLE_Q;
        un->un_depth = un->un_depth_max = un->un_dds.queue_depth;
        unlock_enable(old, &un->un_lock);
    }
    return 0;
}

/* ------------------------------------------------------------------ capacity */

static int probe_capacity_16(struct dd_unit *un, struct dd_sync *sy, uint8_t flags, uint64_t *last,
                             uint32_t *block_bytes)
{
    uint8_t data[32] = {0};
    int error;

    dd_sync_init(sy, SCSI_SERVICE_ACTION_IN_16, data, sizeof(data), true);
    sy->sy_cdb[1] = SCSI_SA_READ_CAPACITY_16;
    scsi_put32(sy->sy_cdb + 10, sizeof(data));
    sy->sy_flags = flags;
    error = dd_sync_run(un, sy);
    if (error)
        return error;
    if (sizeof(data) - sy->sy_resid < 12)
        return EFORMAT;
    *last = scsi_get64(data);
    *block_bytes = scsi_get32(data + 8);
    if (data[14] & 0x40)
        un->un_lbprz = true;
    return 0;
}

/* The new capacity, in DEV_BSIZE units; readers see the old one or the new one. Locks: un_lock held. */
void dd_size_set_locked(struct dd_unit *un, uint64_t sectors)
{
#if UINTPTR_MAX > UINT32_MAX
    atomic_store_explicit(&un->un_size, sectors, memory_order_relaxed);
#else
    uint32_t changes = atomic_load_explicit(&un->un_size_changes, memory_order_relaxed) + 1u;

    /* Release, too: who sees one of these sees the number of the change before. */
    atomic_store_explicit(&un->un_size[changes & 1u][0], (uint32_t)sectors, memory_order_release);
    atomic_store_explicit(&un->un_size[changes & 1u][1], (uint32_t)(sectors >> 32), memory_order_release);
    atomic_store_explicit(&un->un_size_changes, changes, memory_order_release);
#endif
    dd_geometry_changed_locked(un);
}

/* Believe a capacity, or not. */
static int probe_capacity_set(struct dd_unit *un, uint64_t last, uint32_t block_bytes)
{
    uint8_t shift = DEV_BSHIFT;
    int old;

    while (shift < 12 && 1u << shift != block_bytes)
        shift++;
    if (1u << shift != block_bytes || last >= (uint64_t)INT64_MAX >> shift)
        return EFORMAT;
    old = disable_lock(INTIODONE, &un->un_lock);
    un->un_shift = shift;
    dd_size_set_locked(un, (last + 1) << (shift - DEV_BSHIFT));
    un->un_info.blocks = last + 1;
    un->un_info.block_bytes = block_bytes;
    unlock_enable(old, &un->un_lock);
    return 0;
}

/*
 * READ CAPACITY(10), and (16) when that is not enough. `sy` is the last command sent, with `flags`.
 * Context: process. 0; EFORMAT when the answer makes no sense; a device error.
 */
int dd_probe_capacity(struct dd_unit *un, struct dd_sync *sy, uint8_t flags)
{
    uint8_t data[8] = {0};
    uint64_t last;
    uint32_t block_bytes;
    int error;

    dd_sync_init(sy, SCSI_READ_CAPACITY_10, data, sizeof(data), true);
    sy->sy_flags = flags;
    error = dd_sync_run(un, sy);
    if (error)
        return error;
    last = scsi_get32(data);
    block_bytes = scsi_get32(data + 4);
    if (sy->sy_resid)
        error = EFORMAT;
    else if (last == 0xffffffffu || un->un_info.unmap || un->un_ws_unmap)
        error = probe_capacity_16(un, sy, flags, &last, &block_bytes);
    if (!error)
        error = probe_capacity_set(un, last, block_bytes);
    if (error == EFORMAT)
        dd_log(un, NULL, ERRID_DISK_INFO, false, error, "READ CAPACITY makes no sense", "open failed", NULL,
               0);
    return error;
}
