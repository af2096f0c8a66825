/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_life.c - an adapter comes, is opened, closed, and goes; finding adapters and LUNs.
 *
 * The table of adapters is static and indexed by minor number, and each adapter has an array of
 * LUN heads; both are read without a lock by the strategy routine. Attach and detach are
 * configuration: one call at a time, as configure methods run, and not beside I/O to the adapter
 * that comes or goes. Who opens is not the configure method's to choose: he counts as a user of the
 * minor from before he looks until he is done, and a detach that has begun turns newcomers away,
 * takes the adapter out of the table and waits for those who were inside.
 *
 * Does not contain: starting LUNs (ad_lun.c), ioctls (ad_ioctl.c).
 */
#include "ad_impl.h"

static _Atomic(struct ad_adapter *) ad_table[AD_MINORS_MAX];
static _Atomic uint32_t ad_users[AD_MINORS_MAX];

struct ad_adapter *ad_find(devno_t devno)
{
    struct ad_adapter *adp;

    if (SC_UNLIKELY(SC_MINOR(devno) >= AD_MINORS_MAX))
        return NULL;
    adp = atomic_load_explicit(&ad_table[SC_MINOR(devno)], memory_order_acquire);
    return adp != NULL && adp->adp_devno == devno ? adp : NULL;
}

struct ad_lun *ad_lun_find(struct ad_adapter *adp, unsigned id, unsigned lun)
{
    if (SC_UNLIKELY(id >= adp->adp_caps.cap_ids || lun >= adp->adp_caps.cap_luns))
        return NULL;
    return ad_lun_at(adp, id * adp->adp_caps.cap_luns + lun);
}

/* ---------------------------------------------------------------- open and close */

/* The caller counts as a user: what is found stays. Context: process. As ad_open(). */
static int ad_open_used(devno_t devno, unsigned long devflag, int ext)
{
    const bool diag = (ext & SC_DIAGNOSTIC) != 0;
    struct ad_adapter *adp;
    bool first = false;
    int error = 0;

    /* Either detach sees the count, or we see that the adapter has gone. */
    shim_sched_point();
    adp = atomic_load_explicit(&ad_table[SC_MINOR(devno)], memory_order_seq_cst);
    if (adp == NULL || adp->adp_devno != devno)
        return ENXIO;
    if (diag && !(devflag & (DKERNEL | DAUTH)))
        return EPERM;
    shim_lock_enter(&adp->adp_open_lock);
    if (adp->adp_dying) {
        error = ENXIO;
    } else if (atomic_load(&adp->adp_diag) || (diag && adp->adp_opens != 0)) {
        error = EACCES;
    } else {
        error = adp->adp_opens == 0 ? ad_power_locked(adp, true) : 0;
        first = error == 0 && adp->adp_opens == 0;
        adp->adp_opens += error == 0;
        if (error == 0)
            atomic_store(&adp->adp_diag, diag);
    }
    shim_lock_exit(&adp->adp_open_lock);
    /* A chip that is cut off gets another chance. Without success it can be looked at, and no more. */
    if (first && !diag && ad_recover_offline(adp))
        (void)ad_recover_ask(adp, 0);
    return error;
}

/*
 * d_open. Normal opens may be many; a diagnostic one is alone and needs authority (specification
 * 6.1). A normal one needs none: what it may do then is decided ioctl by ioctl, and reading what the
 * adapter is and has done is for everybody who may open the node.
 * Context: process. Returns 0, ENXIO not attached, EPERM, EACCES.
 */
static int ad_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    const unsigned minor = SC_MINOR(devno);
    int error;

    (void)chan;
    if (minor >= AD_MINORS_MAX)
        return ENXIO;
    shim_sched_point();
    atomic_fetch_add_explicit(&ad_users[minor], 1, memory_order_seq_cst);
    error = ad_open_used(devno, devflag, ext);
    shim_sched_point();
    atomic_fetch_sub_explicit(&ad_users[minor], 1, memory_order_release);
    return error;
}

/*
 * d_close, of every file (DEV_EACHCLOSE): stops what this file started and left, so that a device
 * driver that died does not keep a LUN for ever, and none of its event functions is called
 * afterwards. Nobody else's LUN is touched. Context: process.
 */
static int ad_close(devno_t devno, long chan)
{
    struct ad_adapter *adp = ad_find(devno);

    if (adp == NULL)
        return ENXIO;
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun != NULL)
            ad_lun_orphan(lun, chan);
    }
    shim_lock_enter(&adp->adp_open_lock);
    SHIM_ASSERT(adp->adp_opens > 0);
    SHIM_ASSERT(!atomic_load(&adp->adp_diag) || adp->adp_opens == 1);
    adp->adp_opens--;
    if (adp->adp_opens == 0) {
        atomic_store(&adp->adp_diag, false);
        (void)ad_power_locked(adp, false);
    }
    shim_lock_exit(&adp->adp_open_lock);
    return 0;
}

static const struct devsw ad_devsw = {
    .d_open = ad_open,
    .d_close = ad_close,
    .d_ioctl = ad_ioctl,
    .d_strategy = ad_strategy,
    .d_opts = DEV_MPSAFE | DEV_EACHCLOSE,
};

/* ---------------------------------------------------------------- attach */

/* Are the configuration and the two tables whole? An older chip's table may end before poll. */
static bool ad_config_ok(const struct ad_config *cfg)
{
    const struct ad_hw_ops *ops = cfg->cfg_ops;

    if (ops == NULL ||
        (cfg->cfg_reserved4 | cfg->cfg_reserved[0] | cfg->cfg_reserved[1] | cfg->cfg_reserved[2]) != 0) {
        shim_log(SHIM_LOG_ERROR, "ad: ad_config without cfg_ops, or with a reserved field that is not 0");
        return false;
    }
    if (shim_dev_check(cfg->cfg_dev) != 0)
        return false;
    if (ops->version != AD_HW_VERSION || ops->size < SHIM_TABLE_BYTES(ad_hw_ops, reset_bus)) {
        shim_log(SHIM_LOG_ERROR,
                 "ad: ad_hw_ops has version %u and size %u; this core takes version %u and size %u or more",
                 ops->version, ops->size, AD_HW_VERSION, (unsigned)SHIM_TABLE_BYTES(ad_hw_ops, reset_bus));
        return false;
    }
    if (!(ops->attach && ops->detach && ops->start && ops->abort && ops->reset_target && ops->reset_bus)) {
        shim_log(SHIM_LOG_ERROR,
                 "ad: ad_hw_ops of %s: attach, detach, start, abort, reset_target and reset_bus must be set",
                 ops->name ? ops->name : "a chip without a name");
        return false;
    }
    if (SHIM_TABLE_HAS(ops, ad_hw_ops, enable) != SHIM_TABLE_HAS(ops, ad_hw_ops, disable)) {
        shim_log(SHIM_LOG_ERROR, "ad: ad_hw_ops of %s: enable and disable must both be set, or both be NULL",
                 ops->name ? ops->name : "a chip without a name");
        return false;
    }
    if (SHIM_TABLE_HAS(ops, ad_hw_ops, freeze) == SHIM_TABLE_HAS(ops, ad_hw_ops, thaw))
        return true;
    shim_log(SHIM_LOG_ERROR, "ad: ad_hw_ops of %s: freeze and thaw must both be set, or both be NULL",
             ops->name ? ops->name : "a chip without a name");
    return false;
}

/* Are the chip's capabilities, which come to attach() zeroed, filled in? */
static bool ad_caps_ok(const struct ad_adapter *adp)
{
    const struct ad_hw_caps *caps = &adp->adp_caps;

    if (caps->cap_transfer_bytes_max >= SC_MAXREQUEST && caps->cap_commands_max != 0 &&
        caps->cap_segs_max != 0 && caps->cap_ids != 0 && caps->cap_ids <= SC_IDS_MAX && caps->cap_luns != 0 &&
        caps->cap_luns <= SC_LUNS_MAX)
        return true;
    shim_log(SHIM_LOG_ERROR,
             "%s: capabilities: transfer_bytes_max %llu (at least %u), commands_max %u and segs_max %u "
             "(not 0), ids %u (1 to %u), luns %u (1 to %u)",
             adp->adp_name, (unsigned long long)caps->cap_transfer_bytes_max, (unsigned)SC_MAXREQUEST,
             (unsigned)caps->cap_commands_max, (unsigned)caps->cap_segs_max, (unsigned)caps->cap_ids,
             (unsigned)SC_IDS_MAX, (unsigned)caps->cap_luns, (unsigned)SC_LUNS_MAX);
    return false;
}

/* Segments that a page may take: pieces end at the boundary, and are no longer than the mapper says. */
static uint32_t ad_segs_per_page(const struct shim_dma_limits *dma)
{
    uint64_t part = SC_PAGE_SIZE;
    uint64_t piece;

    if (dma->dl_boundary != 0 && dma->dl_boundary < part)
        part = dma->dl_boundary;
    piece = dma->dl_seg_bytes_max != 0 && dma->dl_seg_bytes_max < part ? dma->dl_seg_bytes_max : part;
    return (uint32_t)((SC_PAGE_SIZE + part - 1u) / part * ((part + piece - 1u) / piece));
}

/* The most that is certain to fit, wherever in scattered pages it lies: whole pages, and one for both ends.
 */
static uint64_t ad_segs_hold(const struct shim_dma_limits *dma, uint32_t segs)
{
    const uint32_t pages = segs / ad_segs_per_page(dma);

    return pages < 2 ? 0 : (uint64_t)(pages - 1u) * SC_PAGE_SIZE;
}

/* The lower one of two limits of which 0 is none. */
static uint32_t ad_target_max(const struct ad_hw_caps *caps, const struct ad_config *cfg)
{
    const uint32_t chip =
        caps->cap_target_commands < UINT32_MAX ? (uint32_t)caps->cap_target_commands : UINT32_MAX;
    const uint32_t told = cfg->cfg_target_commands_max;

    return chip == 0 || (told != 0 && told < chip) ? told : chip;
}

/* Work out the limits from what the chip, the mapper and the administrator say. 0 or EINVAL. */
static int ad_limits_set(struct ad_adapter *adp, const struct ad_config *cfg,
                         const struct shim_dma_limits *dma)
{
    const struct ad_hw_caps *caps = &adp->adp_caps;
    int64_t openings = shim_tunable("ad_openings", AD_OPENINGS_DEFAULT);
    int64_t delay_ms = shim_tunable("ad_delay_ms", AD_DELAY_DEFAULT_MS);
    int64_t settle_ms = shim_tunable("ad_settle_ms", AD_SETTLE_DEFAULT_MS);

    if (!ad_caps_ok(adp))
        return EINVAL;
    adp->adp_transfer_max = caps->cap_transfer_bytes_max;
    if (cfg->cfg_transfer_bytes_max != 0 && cfg->cfg_transfer_bytes_max < adp->adp_transfer_max)
        adp->adp_transfer_max = cfg->cfg_transfer_bytes_max;
    if (adp->adp_transfer_max < SC_MAXREQUEST) {
        shim_log(SHIM_LOG_ERROR, "%s: cfg_transfer_bytes_max %llu: must be 0 or at least %u", adp->adp_name,
                 (unsigned long long)adp->adp_transfer_max, (unsigned)SC_MAXREQUEST);
        return EINVAL;
    }
    adp->adp_credits = caps->cap_commands_max;
    if (cfg->cfg_commands_max != 0 && cfg->cfg_commands_max < adp->adp_credits)
        adp->adp_credits = cfg->cfg_commands_max;
    adp->adp_credits_free = adp->adp_credits;
    adp->adp_credits_most = cfg->cfg_commands_max != 0 ? cfg->cfg_commands_max : UINT32_MAX;
    ad_targets_init(adp, ad_target_max(caps, cfg));
    adp->adp_segs_max = caps->cap_segs_max < AD_SEGS_LONG ? caps->cap_segs_max : AD_SEGS_LONG;
    if (dma->dl_segs_max != 0 && dma->dl_segs_max < adp->adp_segs_max)
        adp->adp_segs_max = dma->dl_segs_max;
    /* Every page may need a segment of its own, and the first and last one may be part pages. */
    if (adp->adp_transfer_max > ad_segs_hold(dma, adp->adp_segs_max))
        adp->adp_transfer_max = ad_segs_hold(dma, adp->adp_segs_max);
    if (adp->adp_transfer_max < SC_MAXREQUEST) {
        shim_log(SHIM_LOG_ERROR, "%s: %u segments, %u for a page, do not hold the %u bytes of SC_MAXREQUEST",
                 adp->adp_name, (unsigned)adp->adp_segs_max, (unsigned)ad_segs_per_page(dma),
                 (unsigned)SC_MAXREQUEST);
        return EINVAL;
    }
    if (openings < 1 || openings > (int64_t)AD_OPENINGS_MAX)
        openings = AD_OPENINGS_DEFAULT;
    adp->adp_openings = (uint32_t)openings < caps->cap_tags_max ? (uint32_t)openings : caps->cap_tags_max;
    if (adp->adp_openings == 0)
        adp->adp_openings = 1;
    SHIM_ASSERT(adp->adp_openings <= AD_OPENINGS_MAX && adp->adp_segs_max != 0 && adp->adp_credits != 0);
    adp->adp_gather = caps->cap_gather && !cfg->cfg_no_gather;
    if (settle_ms < 0 || settle_ms > AD_SETTLE_MAX_MS)
        settle_ms = AD_SETTLE_DEFAULT_MS;
    adp->adp_settle_ns = (uint64_t)settle_ms * AD_NS_PER_MS;
    adp->adp_delay_ns = (delay_ms < 0 ? 0u : (uint64_t)delay_ms) * AD_NS_PER_MS;
    return 0;
}

/* Free what ad_attach() has built so far. */
static void ad_free(struct ad_adapter *adp)
{
    SHIM_ASSERT(adp->adp_opens == 0 && adp->adp_runners == 0 && !adp->adp_enabled);
    if (adp->adp_luns != NULL)
        shim_free(adp->adp_luns, ad_lun_count(adp) * sizeof(*adp->adp_luns), 0, SHIM_TAG_AD);
    if (adp->adp_lock.sl_magic == SL_MAGIC)
        shim_lock_fini(&adp->adp_lock);
    if (adp->adp_open_lock.sl_magic == SL_MAGIC)
        shim_lock_fini(&adp->adp_open_lock);
    shim_free(adp, sizeof(*adp), 64, SHIM_TAG_AD);
}

/* Bring device and chip up and fill in the rest; undoes itself on failure. 0 or errno. */
static int ad_bring_up(struct ad_adapter *adp, const struct ad_config *cfg)
{
    struct shim_dma_limits dma;
    int error;

    memset(&dma, 0, sizeof(dma));
    error = adp->adp_dev->dev_ops->open ? adp->adp_dev->dev_ops->open(adp->adp_dev, &dma) : 0;
    if (error != 0)
        return error;
    error = adp->adp_ops->attach(adp->adp_hw, adp, &adp->adp_caps);
    if (error == 0) {
        error = ad_limits_set(adp, cfg, &dma);
        if (error == 0) {
            adp->adp_luns = shim_alloc(ad_lun_count(adp) * sizeof(*adp->adp_luns), 0, SHIM_TAG_AD);
            error = adp->adp_luns == NULL ? ENOMEM : 0;
        }
        if (error != 0)
            adp->adp_ops->detach(adp->adp_hw);
    }
    if (error != 0 && adp->adp_dev->dev_ops->close)
        adp->adp_dev->dev_ops->close(adp->adp_dev);
    return error;
}

/* One of those who sleep in the kernel services. Context: process. */
static void ad_poll_waiter(void *arg) { ad_poll(arg); }

/* A chip that can be asked and cannot interrupt will be asked. (The device half says whether it can.) */
static void ad_poll_begin(struct ad_adapter *adp)
{
    adp->adp_polled = (adp->adp_ops->poll != NULL || adp->adp_ops->poll_some != NULL) &&
                      adp->adp_dev->dev_ops->intr_attach == NULL;
    if (!adp->adp_polled)
        return;
    adp->adp_poller.po_func = ad_poll_waiter;
    adp->adp_poller.po_arg = adp;
    kern_poller_add(&adp->adp_poller);
}

/* Take the chip and the device down again. */
static void ad_bring_down(struct ad_adapter *adp)
{
    if (adp->adp_polled)
        kern_poller_remove(&adp->adp_poller);
    adp->adp_ops->detach(adp->adp_hw);
    if (adp->adp_dev->dev_ops->close)
        adp->adp_dev->dev_ops->close(adp->adp_dev);
}

/* Put the driver in the device switch unless an earlier minor has. 0 or errno. */
static int ad_switch_on(devno_t devno)
{
    const struct devsw *there = devsw_find(devno);

    if (there != NULL && there->d_strategy == ad_strategy)
        return 0;
    return devswadd(devno, &ad_devsw);
}

/* Take it out when no adapter of this major is left. 0; EEXIST while somebody has a file of it, or tries to
 * open one. */
static int ad_switch_off(devno_t devno)
{
    for (unsigned i = 0; i < AD_MINORS_MAX; i++) {
        struct ad_adapter *adp = atomic_load_explicit(&ad_table[i], memory_order_acquire);

        if (adp != NULL && SC_MAJOR(adp->adp_devno) == SC_MAJOR(devno))
            return 0;
    }
    return devswdel(devno);
}

int ad_attach(devno_t devno, const struct ad_config *cfg)
{
    struct ad_adapter *adp;
    int error;

    if (SC_MINOR(devno) >= AD_MINORS_MAX || cfg == NULL || !ad_config_ok(cfg))
        return EINVAL;
    if (atomic_load_explicit(&ad_table[SC_MINOR(devno)], memory_order_acquire) != NULL)
        return EEXIST;
    adp = shim_alloc(sizeof(*adp), 64, SHIM_TAG_AD);
    if (adp == NULL)
        return ENOMEM;
    shim_table_copy(&adp->adp_ops_own, sizeof(adp->adp_ops_own), cfg->cfg_ops, cfg->cfg_ops->size);
    adp->adp_ops = &adp->adp_ops_own;
    adp->adp_batches = adp->adp_ops->flush != NULL;
    adp->adp_hw = cfg->cfg_hw;
    adp->adp_dev = cfg->cfg_dev;
    if (SHIM_TABLE_HAS(cfg->cfg_dev->dev_ops, shim_dev_ops, dma_sync))
        adp->adp_dma_sync = cfg->cfg_dev->dev_ops->dma_sync;
    adp->adp_devno = devno;
    adp->adp_owner = shim_owner();
    ad_recover_init(adp);
    (void)shim_format(adp->adp_name, sizeof(adp->adp_name), "scsi%u", SC_MINOR(devno));
    error = shim_lock_init(&adp->adp_open_lock, SHIM_RANK_AD_OPEN, "ad_open");
    if (error == 0)
        error = shim_lock_init(&adp->adp_lock, SHIM_RANK_AD, "ad");
    if (error == 0)
        error = ad_bring_up(adp, cfg);
    if (error != 0) {
        ad_free(adp);
        return error;
    }
    ad_poll_begin(adp);
    ad_threads_begin(adp);
    atomic_store_explicit(&ad_table[SC_MINOR(devno)], adp, memory_order_release);
    error = ad_switch_on(devno);
    if (error != 0) {
        atomic_store_explicit(&ad_table[SC_MINOR(devno)], NULL, memory_order_release);
        ad_threads_end(adp);
        ad_bring_down(adp);
        ad_free(adp);
    }
    return error;
}

/* Is every LUN stopped, or can be at once? 0 or EBUSY. */
static int ad_quiet(struct ad_adapter *adp)
{
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        if (ad_lun_stop_now(lun) != 0)
            return EBUSY;
    }
    return 0;
}

/* Does a thread still look after LUNs of the adapter's list, all of which are stopped? */
static bool ad_has_runners(struct ad_adapter *adp)
{
    bool has;

    shim_lock_enter(&adp->adp_lock);
    has = adp->adp_runners != 0;
    shim_lock_exit(&adp->adp_lock);
    return has;
}

/* A detach begins, unless somebody has it open, or comes to nothing. False: it is open. */
static bool ad_dying_set(struct ad_adapter *adp, bool dying)
{
    shim_lock_enter(&adp->adp_open_lock);
    adp->adp_dying = dying && adp->adp_opens == 0;
    dying = adp->adp_dying;
    shim_lock_exit(&adp->adp_open_lock);
    return dying;
}

/*
 * A LUN's timer may be on its way out, having brought the last command back by a reset: the chip that it goes
 * on to use and the memory it runs in stay until then. All LUNs are stopped, so none is armed again.
 */
static void ad_timers_quiesce(struct ad_adapter *adp)
{
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        while (lun != NULL && shim_timer_cancel(&lun->lun_timer) == SHIM_CANCEL_RUNNING)
            shim_delay_ns(1000);
    }
}

int ad_detach(devno_t devno)
{
    struct ad_adapter *adp = ad_find(devno);
    event_t never = EVENT_NULL;

    if (adp == NULL)
        return ENXIO;
    if (!ad_dying_set(adp, true))
        return EBUSY;
    if (ad_quiet(adp) != 0) {
        (void)ad_dying_set(adp, false);
        return EBUSY;
    }
    atomic_store_explicit(&ad_table[SC_MINOR(devno)], NULL, memory_order_seq_cst);
    if (ad_switch_off(devno) == EEXIST) {
        /* Somebody is just finding out that another device of this major does not exist. */
        atomic_store_explicit(&ad_table[SC_MINOR(devno)], adp, memory_order_release);
        (void)ad_dying_set(adp, false);
        return EBUSY;
    }
    shim_sched_point();
    while (atomic_load_explicit(&ad_users[SC_MINOR(devno)], memory_order_seq_cst) != 0 || ad_has_runners(adp))
        (void)e_timedsleep(&never, NULL, AD_NS_PER_MS);
    ad_timers_quiesce(adp);
    ad_recover_quiesce(adp);
    ad_threads_end(adp);
    shim_lock_enter(&adp->adp_open_lock);
    (void)ad_power_locked(adp, false);
    shim_lock_exit(&adp->adp_open_lock);
    ad_bring_down(adp);
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun == NULL)
            continue;
        SHIM_ASSERT(lun->lun_state == AD_LUN_STOPPED);
        shim_lock_fini(&lun->lun_lock);
        shim_free(lun, sizeof(*lun), 64, SHIM_TAG_AD);
    }
    SHIM_ASSERT(adp->adp_credits_free == adp->adp_credits && adp->adp_wait_head == NULL);
    SHIM_ASSERT(atomic_load_explicit(&adp->adp_run_head, memory_order_relaxed) == NULL);
    ad_bounce_free(adp);
    ad_free(adp);
    return 0;
}
