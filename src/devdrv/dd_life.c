/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_life.c - configuration: units come and go; all memory of a disk is taken here.
 *
 * CFG_INIT copies the define-device structure and primes everything a request may need: command
 * structures, fragment records, timers, data pages. Nothing is sent to the device before open.
 * dd_pool_grow is the one place that takes memory later, and only for those who configured a pool smaller
 * than the queue depth.
 *
 * The configure method calls one configuration at a time; units are found by minor number without a lock.
 * Who calls strategy, read, write or ioctl has the disk open, so its unit stays. Who opens it has not yet:
 * he counts as a user of the minor from before he looks until he is done, and a CFG_TERM that has begun turns
 * newcomers away, takes the unit out and waits for those who were inside.
 *
 * Does not contain: open and close (dd_open.c).
 */
#include "dd_impl.h"

static _Atomic(struct dd_unit *) dd_units[DD_UNITS_MAX];
static _Atomic uint32_t dd_users[DD_UNITS_MAX];

struct dd_unit *dd_unit_of(devno_t devno)
{
    unsigned minor = SC_MINOR(devno);

    return SC_LIKELY(minor < DD_UNITS_MAX) ? atomic_load_explicit(&dd_units[minor], memory_order_acquire)
                                           : NULL;
}

struct dd_unit *dd_unit_hold(devno_t devno)
{
    unsigned minor = SC_MINOR(devno);
    struct dd_unit *un;

    if (minor >= DD_UNITS_MAX)
        return NULL;
    /* Either the other side sees the count, or we see that the unit has gone. */
    shim_sched_point();
    atomic_fetch_add_explicit(&dd_users[minor], 1, memory_order_seq_cst);
    shim_sched_point();
    un = atomic_load_explicit(&dd_units[minor], memory_order_seq_cst);
    if (!un || un->un_devno != devno) {
        dd_unit_release(devno);
        return NULL;
    }
    return un;
}

void dd_unit_release(devno_t devno)
{
    uint32_t before = atomic_fetch_sub_explicit(&dd_users[SC_MINOR(devno)], 1, memory_order_release);

    KASSERT(before > 0);
}

/* Fill in what no command ever changes. */
static void life_cmd_init(struct dd_unit *un, struct dd_cmd *cmd)
{
    cmd->cmd_unit = un;
    cmd->cmd_sc.bufstruct.b_dev = un->un_dds.adapter_devno;
    cmd->cmd_sc.bufstruct.b_iodone = dd_done;
    cmd->cmd_sc.scsi_command.scsi_id = un->un_dds.scsi_id;
    cmd->cmd_sc.lun = un->un_dds.lun_id;
}

/* A chunk of n structures, ready for use, or NULL. */
static struct dd_chunk *life_chunk_make(struct dd_unit *un, uint32_t n)
{
    struct dd_chunk *chunk = xmalloc(sizeof(*chunk) + n * sizeof(struct dd_cmd), 6, PINNED_HEAP);

    if (!chunk)
        return NULL;
    chunk->chunk_n = n;
    for (uint32_t i = 0; i < n; i++)
        life_cmd_init(un, &chunk->chunk_cmds[i]);
    return chunk;
}

/* Hang a chunk in: its structures are free. Locks: un_lock held, or nobody knows the unit yet. */
static void life_chunk_add(struct dd_unit *un, struct dd_chunk *chunk)
{
    KASSERT(chunk->chunk_n > 0 && chunk->chunk_next == NULL);
    chunk->chunk_next = un->un_chunks;
    un->un_chunks = chunk;
    un->un_pool_total += chunk->chunk_n;
    un->un_memory_bytes += sizeof(*chunk) + chunk->chunk_n * sizeof(struct dd_cmd);
    for (uint32_t i = 0; i < chunk->chunk_n; i++) {
        chunk->chunk_cmds[i].cmd_next = un->un_free;
        un->un_free = &chunk->chunk_cmds[i];
    }
}

/* Requirements: NB-01. */
bool dd_pool_grow(struct dd_unit *un)
{
    struct dd_chunk *chunk;
    uint32_t n;
    int old = disable_lock(INTIODONE, &un->un_lock);

    n = un->un_pool_max - un->un_pool_total;
    KASSERT(un->un_pool_total <= un->un_pool_max);
    unlock_enable(old, &un->un_lock);
    if (n == 0)
        return false;
    chunk = life_chunk_make(un, n);
    if (!chunk)
        return false;
    old = disable_lock(INTIODONE, &un->un_lock);
    if (un->un_pool_total + n <= un->un_pool_max) {
        life_chunk_add(un, chunk);
        chunk = NULL;
    }
    unlock_enable(old, &un->un_lock);
    if (chunk)
        xmfree(chunk, PINNED_HEAP); /* another thread was faster */
    return true;
}

static void life_free(struct dd_unit *un)
{
    while (un->un_chunks) {
        struct dd_chunk *next = un->un_chunks->chunk_next;

        xmfree(un->un_chunks, PINNED_HEAP);
        un->un_chunks = next;
    }
    if (un->un_restart_trb)
        tfree(un->un_restart_trb);
    if (un->un_delay_trb)
        tfree(un->un_delay_trb);
    if (un->un_step_trb)
        tfree(un->un_step_trb);
    if (un->un_area)
        xmfree(un->un_area, PINNED_HEAP);
    if (un->un_frags)
        xmfree(un->un_frags, PINNED_HEAP);
    if (un->un_splits)
        xmfree(un->un_splits, PINNED_HEAP);
    xmfree(un, PINNED_HEAP);
}

static struct trb *life_timer(struct dd_unit *un, void (*func)(struct trb *t))
{
    struct trb *t = talloc();

    if (t) {
        t->func = func;
        t->func_data = un;
    }
    return t;
}

/* Defaults for what the define-device structure leaves at zero. 0 or EINVAL. */
static int life_dds_check(struct scdisk_dds *dds)
{
    if (dds->scsi_id >= SC_IDS_MAX || dds->lun_id >= SC_LUNS_MAX || dds->queue_depth > DD_DEPTH_MAX ||
        dds->pool > 4u * DD_DEPTH_MAX || dds->retries > 100u)
        return EINVAL;
    if (dds->reserved1 || dds->clr_q > 1 || dds->no_q_err > 1)
        return EINVAL;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(dds->reserved); i++)
        if (dds->reserved[i])
            return EINVAL;
    if (dds->max_coalesce && dds->max_coalesce < DEV_BSIZE)
        return EINVAL;
    dds->name[sizeof(dds->name) - 1] = '\0';
    if (!dds->name[0])
        return EINVAL;
    if (!dds->queue_depth)
        dds->queue_depth = DD_DEPTH_DEFAULT;
    if (!dds->rw_timeout)
        dds->rw_timeout = DD_RW_TIMEOUT_S;
    if (!dds->start_timeout)
        dds->start_timeout = DD_START_TIMEOUT_S;
    if (!dds->retries)
        dds->retries = DD_RETRIES;
    if (!dds->pool) {
        dds->pool = dds->queue_depth + 2u;
        /* One for each that may be out (XEN-09), and at least a page of structures (NB-03). */
        if (dds->pool < SC_PAGE_SIZE / sizeof(struct dd_cmd) + 1u)
            dds->pool = SC_PAGE_SIZE / sizeof(struct dd_cmd) + 1u;
    }
    return 0;
}

/* All memory of a unit. 0 or ENOMEM, with whatever was taken in the unit. */
static int life_fill(struct dd_unit *un)
{
    uint32_t nfrags = un->un_dds.queue_depth + 1u;
    /* The lane's structures come on top: they are nobody else's while it is open. */
    uint32_t lane = un->un_dds.queue_depth >= DD_LANE_DEPTH_MIN ? DD_PLUGS : 0;
    struct dd_chunk *chunk = life_chunk_make(un, un->un_dds.pool + lane);

    KASSERT(un->un_chunks == NULL && un->un_pool_total == 0);
    if (!chunk)
        return ENOMEM;
    life_chunk_add(un, chunk);
    un->un_pool_max = un->un_dds.queue_depth + 2u + lane;
    if (un->un_pool_max < un->un_pool_total)
        un->un_pool_max = un->un_pool_total;
    un->un_frags = xmalloc(nfrags * sizeof(struct dd_frag), 3, PINNED_HEAP);
    un->un_splits = xmalloc(nfrags * sizeof(struct dd_split), 3, PINNED_HEAP);
    un->un_area = xmalloc(DD_AREA_BYTES, 12, PINNED_HEAP);
    un->un_restart_trb = life_timer(un, dd_restart_fired);
    un->un_delay_trb = life_timer(un, dd_recover_delay_fired);
    un->un_step_trb = life_timer(un, dd_step_fired);
    if (!un->un_frags || !un->un_splits || !un->un_area || !un->un_restart_trb || !un->un_delay_trb ||
        !un->un_step_trb)
        return ENOMEM;
    for (uint32_t i = 0; i < nfrags; i++) {
        un->un_frags[i].frag_next = un->un_frag_free;
        un->un_frag_free = &un->un_frags[i];
        un->un_splits[i].split_next = un->un_split_free;
        un->un_split_free = &un->un_splits[i];
    }
    un->un_memory_bytes +=
        sizeof(*un) + nfrags * (sizeof(struct dd_frag) + sizeof(struct dd_split)) + DD_AREA_BYTES;
    un->un_restart_trb->timeout_ns = (uint64_t)kern_tunable("dd_restart_ms", DD_RESTART_MS) * 1000000u;
    un->un_busy_ns = (uint64_t)kern_tunable("dd_busy_ms", DD_BUSY_MS) * 1000000u;
    un->un_qfull_ns = (uint64_t)kern_tunable("dd_qfull_ms", DD_QFULL_MS) * 1000000u;
    un->un_step_ns = (uint64_t)kern_tunable("dd_step_ms", DD_STEP_MS) * 1000000u;
    un->un_dead_ns = (uint64_t)kern_tunable("dd_dead_ms", DD_DEAD_MS) * 1000000u;
    un->un_error_ns = (uint64_t)kern_tunable("dd_error_ms", DD_ERROR_MS) * 1000000u;
    life_cmd_init(un, &un->un_reserve_cmd);
    life_cmd_init(un, &un->un_unstick_cmd);
    un->un_reserve_cmd.cmd_kind = DD_KIND_RESERVE;
    un->un_unstick_cmd.cmd_kind = DD_KIND_UNSTICK;
    un->un_rec.rec_cmd = &un->un_reserve_cmd;
    un->un_rec.rec_unstick_cmd = &un->un_unstick_cmd;
    return lock_alloc(&un->un_lock, LOCK_ALLOC_PIN, LOCK_CLASS_DD, "dd_lun");
}

/* Does another unit use this major? */
static bool life_major_in_use(devno_t devno)
{
    for (unsigned i = 0; i < DD_UNITS_MAX; i++) {
        struct dd_unit *un = atomic_load_explicit(&dd_units[i], memory_order_relaxed);

        if (un && un->un_devno != devno && SC_MAJOR(un->un_devno) == SC_MAJOR(devno))
            return true;
    }
    return false;
}

/* Is it a disk of ours? Then it is no adapter: one that opened itself would wait for itself. */
static bool life_is_disk(devno_t adapter, devno_t devno)
{
    const struct devsw *there = devsw_find(adapter);

    return SC_MAJOR(adapter) == SC_MAJOR(devno) || (there && there->d_strategy == dd_strategy);
}

static int life_init(devno_t devno, struct uio *uiop)
{
    static const struct devsw entries = {
        .d_open = dd_open,
        .d_close = dd_close,
        .d_read = dd_read,
        .d_write = dd_write,
        .d_ioctl = dd_ioctl,
        .d_strategy = dd_strategy,
        .d_config = scdisk_config,
        .d_opts = DEV_MPSAFE,
    };
    struct scdisk_dds dds;
    struct dd_unit *un;
    int error;

    if (dd_unit_of(devno))
        return EEXIST;
    if (SC_MINOR(devno) >= DD_UNITS_MAX || !uiop || uiop->uio_resid < sizeof(dds))
        return EINVAL;
    error = uiomove(&dds, sizeof(dds), UIO_WRITE, uiop);
    if (!error)
        error = life_is_disk(dds.adapter_devno, devno) ? EINVAL : life_dds_check(&dds);
    if (error)
        return error;
    un = xmalloc(sizeof(*un), 6, PINNED_HEAP);
    if (!un)
        return ENOMEM;
    un->un_devno = devno;
    un->un_dds = dds;
    un->un_depth = un->un_depth_max = 1;
    un->un_shift = DEV_BSHIFT;
    un->un_tag = SC_NO_Q;
    un->un_lun_bits = (uint8_t)(dds.lun_id < 8 ? dds.lun_id << 5 : 0);
    error = life_fill(un);
    if (error) {
        life_free(un);
        return error;
    }
    if (!life_major_in_use(devno))
        error = devswadd(devno, &entries);
    if (error) {
        lock_free(&un->un_lock);
        life_free(un);
        return error;
    }
    atomic_store_explicit(&dd_units[SC_MINOR(devno)], un, memory_order_release);
    return 0;
}

/* Nobody has it open; a thread that completed the last request may still be on its way out. */
static void life_quiesce(struct dd_unit *un)
{
    event_t never = EVENT_NULL;

    shim_sched_point();
    while (atomic_load_explicit(&dd_users[SC_MINOR(un->un_devno)], memory_order_seq_cst))
        (void)e_timedsleep(&never, NULL, 1000000);
    for (unsigned i = 0; i < DD_PLUGS; i++)
        while (atomic_load_explicit(&un->un_plugs[i].pl_holder, memory_order_acquire))
            (void)e_timedsleep(&never, NULL, 1000000);
    while (atomic_load_explicit(&un->un_tails, memory_order_acquire))
        (void)e_timedsleep(&never, NULL, 1000000);
}

static int life_term(devno_t devno)
{
    struct dd_unit *un = dd_unit_of(devno);
    bool open;
    int error = 0, old;

    if (!un || un->un_devno != devno)
        return ENXIO;
    old = disable_lock(INTIODONE, &un->un_lock);
    open = un->un_opens > 0 || un->un_busy;
    un->un_dying = !open;
    unlock_enable(old, &un->un_lock);
    if (open)
        return EBUSY;
    if (!life_major_in_use(devno))
        error = devswdel(devno);
    if (error) {
        old = disable_lock(INTIODONE, &un->un_lock);
        un->un_dying = false;
        unlock_enable(old, &un->un_lock);
        return error == EEXIST ? EBUSY : error;
    }
    shim_sched_point();
    atomic_store_explicit(&dd_units[SC_MINOR(devno)], NULL, memory_order_seq_cst);
    life_quiesce(un);
    KASSERT(!un->un_pending.ch_head && !un->un_inp_head && !un->un_resend);
    KASSERT(un->un_rec.rec_state == DD_REC_NONE && un->un_active == 0 && !un->un_resp.ch_head);
    KASSERT(un->un_opens == 0 && !un->un_busy && un->un_fp == NULL && un->un_sleepers == 0);
    lock_free(&un->un_lock);
    life_free(un);
    return 0;
}

/*
 * Context: process. 0; EEXIST, EINVAL, ENOMEM, EFAULT; EBUSY, ENXIO.
 */
int scdisk_config(devno_t devno, int cmd, struct uio *uiop)
{
    switch (cmd) {
    case CFG_INIT:
        return life_init(devno, uiop);
    case CFG_TERM:
        return life_term(devno);
    case CFG_GONE:
        return dd_gone(devno);
    default:
        return EINVAL;
    }
}
