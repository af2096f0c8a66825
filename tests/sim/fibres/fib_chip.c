/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_chip.c - a chip without room, or that loses commands, and a mapper that is short: what stands between
 * the adapter driver and the simulated bus in some seeds.
 *
 * start() now and then says that there is no room, and the chip calls back later, or leaves it to the driver
 * to ask again; a map has to wait, or never fits because it has too many pieces. None of it is an error for
 * whoever sent the request. The mapper wants to be told when the device begins and ends.
 */
#include "fib.h"

#include "adapter/ad_impl.h"

#define KICK_NS_MAX 20000000u
#define LOST_NS     300000000000u
#define LONG_NS     2000000000u

/* map_host[1]: how far a map has come. */
enum { CHIP_MAPPED = 1, CHIP_READY, CHIP_OVER };

static struct chip {
    struct ad_adapter *ch_ad; /* NULL: free */
    int (*ch_start)(void *hw, struct ad_xfer *xfer);
    const struct shim_dev_ops *ch_dev;
    struct shim_dev_ops ch_dev_own;
    struct fib_rng ch_rng;
    struct shim_timer ch_timer;
    int (*ch_reset_bus)(void *hw);
    int (*ch_reset_adapter)(void *hw);
    bool ch_finding, ch_anew; /* it gives back what was lost; an adapter reset waits for that */
    struct ad_xfer *ch_lost;  /* the one it has lost */
    const struct sc_buf *ch_lost_sb;
    struct shim_timer ch_found;
    void (*ch_abort)(void *hw, struct ad_xfer *xfer);
    uint64_t ch_full_ns; /* no room until then */
} chips[FIB_ADAPTERS_MAX + 1u];

static void kick(struct shim_timer *t)
{
    const struct chip *ch = t->tm_arg;

    ad_hw_kick(ch->ch_ad);
}

static struct chip *chip_of(const void *hw)
{
    struct chip *ch = chips;

    while (!ch->ch_ad || ch->ch_ad->adp_hw != hw)
        ch++;
    return ch;
}

/* What was lost comes back. */
static void found(struct chip *ch, enum ad_result result)
{
    struct ad_xfer *xfer = ch->ch_lost;

    if (!xfer)
        return;
    ch->ch_lost = NULL;
    ch->ch_lost_sb = NULL;
    fib_world.w_found_ns = shim_now_ns();
    xfer->xfer_result = (uint8_t)result;
    xfer->xfer_scsi_status = 0;
    xfer->xfer_resid = xfer->xfer_bytes;
    ch->ch_ad->adp_ops_own.freeze(ch->ch_ad->adp_hw, xfer->xfer_id, xfer->xfer_lun); /* as a chip does */
    ch->ch_finding = true;
    ad_hw_done(ch->ch_ad, xfer);
    ch->ch_finding = false;
    if (ch->ch_anew) {
        int said = ch->ch_reset_adapter(ch->ch_ad->adp_hw);

        ch->ch_anew = false;
        if (said != AD_HW_RESETTING)
            ad_hw_reset_done(ch->ch_ad, AD_RESET_ADAPTER, 0, 0, said);
    }
}

static void found_at_last(struct shim_timer *t) { found(t->tm_arg, AD_RES_ABORTED); }

static int chip_reset_bus(void *hw)
{
    struct chip *ch = chip_of(hw);

    if (fib_world.w_lost == FIB_LOST_RESET)
        found(ch, AD_RES_BUS_RESET);
    return ch->ch_reset_bus(hw);
}

/* What was lost is forgotten. */
static int chip_reset_adapter(void *hw)
{
    struct chip *ch = chip_of(hw);

    ch->ch_lost = NULL;
    ch->ch_lost_sb = NULL;
    ch->ch_anew = ch->ch_finding;
    return ch->ch_finding ? AD_HW_RESETTING : ch->ch_reset_adapter(hw);
}

bool fib_chip_keeps(const struct sc_buf *sb)
{
    for (unsigned i = 0; i < SC_ARRAY_SIZE(chips); i++)
        if (chips[i].ch_lost_sb == sb)
            return true;
    return false;
}

/* One at a time, and the long way only where a head is alone. */
static bool loses(struct chip *ch, const struct ad_xfer *xfer)
{
    const bool now = fib_world.w_lost != FIB_LOST_NONE && !ch->ch_lost && fib_percent(&ch->ch_rng, 4);
    bool head = false;

    for (unsigned i = 0; i < fib_world.w_ndisks; i++) {
        const struct fib_disk *d = &fib_world.w_disks[i];

        head |= d->dk_role == FIB_DISK_HEAD && d->dk_adapter == ch->ch_ad->adp_devno &&
                d->dk_id == xfer->xfer_id && d->dk_lun == xfer->xfer_lun;
    }
    return now && (head || fib_world.w_lost == FIB_LOST_RESET);
}

/* An abort that does nothing: the ladder has to bring the command back. */
static void chip_abort(void *hw, struct ad_xfer *xfer)
{
    struct chip *ch = chip_of(hw);

    if (!fib_percent(&ch->ch_rng, fib_world.w_deaf))
        ch->ch_abort(hw, xfer);
}

/* It has ended well, and says that it has moved less, or less than nothing. */
static void wrong_residual(struct chip *ch, struct ad_xfer *xfer)
{
    if (xfer->xfer_result == AD_RES_GOOD && xfer->xfer_resid == 0 && xfer->xfer_bytes > 0 &&
        fib_percent(&ch->ch_rng, fib_world.w_wrong))
        xfer->xfer_resid = 1 + fib_below(&ch->ch_rng, xfer->xfer_bytes + 8u);
}

/* No room, perhaps for long; and perhaps it says when there is. */
static bool full(struct chip *ch)
{
    if (fib_world.w_long_busy && fib_percent(&ch->ch_rng, 1))
        ch->ch_full_ns = shim_now_ns() + fib_below(&ch->ch_rng, LONG_NS);
    if (shim_now_ns() >= ch->ch_full_ns && !fib_percent(&ch->ch_rng, fib_world.w_busy))
        return false;
    if (fib_percent(&ch->ch_rng, 70))
        (void)shim_timer_arm(&ch->ch_timer, shim_now_ns() + fib_below(&ch->ch_rng, KICK_NS_MAX));
    return true;
}

static int chip_start(void *hw, struct ad_xfer *xfer)
{
    struct chip *ch = chip_of(hw);
    int said;

    if (loses(ch, xfer)) {
        ch->ch_lost = xfer;
        ch->ch_lost_sb = SC_CONTAINER_OF(xfer, struct ad_cmd, cmd_xfer)->cmd_sb;
        shim_det_observe(xfer->xfer_tag);
        if (fib_world.w_lost == FIB_LOST_LONG)
            (void)shim_timer_arm(&ch->ch_found, shim_now_ns() + LOST_NS);
        return AD_HW_PENDING;
    }
    SCHED_CHECK(xfer->xfer_bytes == 0 || xfer->xfer_map->map_host[1] == CHIP_READY,
                "manners: operation %02x was started with memory that was not synchronised",
                xfer->xfer_cdb[0]);
    if (full(ch)) {
        shim_det_observe(xfer->xfer_tag);
        return AD_HW_BUSY;
    }
    said = ch->ch_start(hw, xfer);
    if (said == AD_HW_DONE && fib_world.w_wrong != 0)
        wrong_residual(ch, xfer);
    return said;
}

static int chip_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                    struct shim_dma_map *map)
{
    struct chip *ch = chips;

    while (!ch->ch_ad || ch->ch_ad->adp_dev != dev)
        ch++;
    if (fib_percent(&ch->ch_rng, fib_world.w_later))
        return SHIM_MAP_LATER;
    if (fib_world.w_pieces != 0 && n > fib_world.w_pieces)
        return SHIM_MAP_NEVER;
    map->map_host[1] = CHIP_MAPPED;
    return ch->ch_dev->dma_map(dev, vec, n, dir, map);
}

static void chip_sync(struct shim_dev *dev, struct shim_dma_map *map, int when, int dir)
{
    (void)dev;
    (void)dir;
    map->map_host[1] = when == SHIM_SYNC_BEFORE ? CHIP_READY : CHIP_OVER;
}

/* What the device has had is synchronised before anybody looks at it. */
static void chip_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    struct chip *ch = chips;

    while (!ch->ch_ad || ch->ch_ad->adp_dev != dev)
        ch++;
    SCHED_CHECK(map->map_host[1] == CHIP_MAPPED || map->map_host[1] == CHIP_OVER,
                "manners: memory is unmapped and was not synchronised after the transfer");
    map->map_host[1] = 0;
    ch->ch_dev->dma_unmap(dev, map);
}

/* Process, nobody uses the adapter yet. */
void fib_chip_between(devno_t devno, uint64_t seed)
{
    struct chip *ch = chips;

    if (fib_world.w_busy == 0 && fib_world.w_later == 0 && fib_world.w_pieces == 0 &&
        fib_world.w_wrong == 0 && fib_world.w_deaf == 0 && !fib_world.w_long_busy &&
        fib_world.w_lost == FIB_LOST_NONE)
        return;
    while (ch->ch_ad)
        ch++;
    ch->ch_ad = ad_find(devno);
    ch->ch_rng.state = seed;
    ch->ch_start = ch->ch_ad->adp_ops_own.start;
    ch->ch_ad->adp_ops_own.start = chip_start;
    ch->ch_full_ns = 0;
    ch->ch_abort = ch->ch_ad->adp_ops_own.abort;
    ch->ch_ad->adp_ops_own.abort = chip_abort;
    ch->ch_reset_bus = ch->ch_ad->adp_ops_own.reset_bus;
    ch->ch_ad->adp_ops_own.reset_bus = chip_reset_bus;
    ch->ch_reset_adapter = ch->ch_ad->adp_ops_own.reset_adapter;
    ch->ch_ad->adp_ops_own.reset_adapter = chip_reset_adapter;
    shim_timer_init(&ch->ch_found, found_at_last, ch);
    ch->ch_dev = ch->ch_ad->adp_dev->dev_ops;
    ch->ch_dev_own = *ch->ch_dev;
    ch->ch_dev_own.dma_map = chip_map;
    ch->ch_dev_own.dma_unmap = chip_unmap;
    ch->ch_ad->adp_dma_sync = chip_sync;
    ch->ch_ad->adp_dev->dev_ops = &ch->ch_dev_own;
    shim_timer_init(&ch->ch_timer, kick, ch);
}

/* Process. Everything has come back. */
void fib_chip_away(devno_t devno)
{
    struct chip *ch = chips;

    while (ch < chips + SC_ARRAY_SIZE(chips) && (!ch->ch_ad || ch->ch_ad->adp_devno != devno))
        ch++;
    if (ch == chips + SC_ARRAY_SIZE(chips))
        return;
    while (shim_timer_cancel(&ch->ch_timer) == SHIM_CANCEL_RUNNING)
        shim_delay_ns(1000);
    while (shim_timer_cancel(&ch->ch_found) == SHIM_CANCEL_RUNNING)
        shim_delay_ns(1000);
    ch->ch_ad->adp_ops_own.start = ch->ch_start;
    ch->ch_ad->adp_ops_own.abort = ch->ch_abort;
    ch->ch_ad->adp_ops_own.reset_bus = ch->ch_reset_bus;
    ch->ch_ad->adp_ops_own.reset_adapter = ch->ch_reset_adapter;
    ch->ch_ad->adp_dev->dev_ops = ch->ch_dev;
    ch->ch_ad->adp_dma_sync = NULL;
    ch->ch_ad = NULL;
}
