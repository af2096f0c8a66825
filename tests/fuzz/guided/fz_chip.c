/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fz_chip.c - the device that does as the input says: a chip between the adapter core and the simulated bus.
 *
 * The bus executes every command inside start(). What it did can be spoiled, and told at once or later: a
 * held command waits in a list and comes back from a timer, so that others are under way meanwhile. No
 * freeze: what the bus beneath does by itself is not to matter.
 */
#include "fz.h"

#define CHIP_HELD 64u

static struct {
    struct fz_hook hook;
    struct ad_adapter *ad;
    void *hw;
    struct chip_held {
        struct ad_xfer *xfer;
        uint64_t when_ns;
    } held[CHIP_HELD];
    unsigned nheld;
    struct shim_timer timer;
} chip;

uint8_t *fz_chip_byte(const struct ad_xfer *x, uint64_t at)
{
    for (uint32_t i = 0; i < x->xfer_map->map_nsegs; i++) {
        const struct shim_seg *seg = &x->xfer_map->map_segs[i];

        if (at < seg->seg_bytes)
            return (uint8_t *)(uintptr_t)(seg->seg_addr + at);
        at -= seg->seg_bytes;
    }
    return NULL;
}

/* The earliest of what is held, when_ns of which has come. */
static struct ad_xfer *chip_take_due(void)
{
    struct ad_xfer *x;
    unsigned best = 0;

    for (unsigned i = 1; i < chip.nheld; i++)
        if (chip.held[i].when_ns < chip.held[best].when_ns)
            best = i;
    if (chip.nheld == 0 || chip.held[best].when_ns > shim_now_ns())
        return NULL;
    x = chip.held[best].xfer;
    chip.held[best] = chip.held[--chip.nheld];
    return x;
}

static void chip_arm(void)
{
    uint64_t first = UINT64_MAX;

    for (unsigned i = 0; i < chip.nheld; i++)
        if (chip.held[i].when_ns < first)
            first = chip.held[i].when_ns;
    if (chip.nheld != 0)
        (void)shim_timer_arm(&chip.timer, first);
}

static void chip_fired(struct shim_timer *t)
{
    struct ad_xfer *x;

    (void)t;
    while ((x = chip_take_due()) != NULL)
        ad_hw_done(chip.ad, x);
    chip_arm();
}

void fz_chip_set(const struct fz_hook *hook) { chip.hook = hook ? *hook : (struct fz_hook){0}; }

void fz_chip_empty(void) { FZ_CHECK(chip.nheld == 0, "%u commands are still at the device", chip.nheld); }

static int chip_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    chip.ad = ad;
    chip.hw = hw;
    chip.nheld = 0;
    shim_timer_init(&chip.timer, chip_fired, NULL);
    return sim_hw_ops.attach(hw, ad, caps);
}

static void chip_detach(void *hw)
{
    fz_chip_empty();
    (void)shim_timer_cancel(&chip.timer);
    sim_hw_ops.detach(hw);
}

static int chip_start(void *hw, struct ad_xfer *x)
{
    uint64_t ns;

    x->xfer_flags |= AD_XFER_PAST;
    if (!chip.hook.before || !chip.hook.before(x)) {
        int said = sim_hw_ops.start(hw, x);

        if (said != AD_HW_DONE)
            return said;
        if (chip.hook.after)
            chip.hook.after(x);
    }
    ns = chip.hook.hold_ns ? chip.hook.hold_ns(x) : 0;
    if (ns == 0 || chip.nheld == CHIP_HELD)
        return AD_HW_DONE;
    chip.held[chip.nheld++] = (struct chip_held){x, shim_now_ns() + ns};
    chip_arm();
    return AD_HW_PENDING;
}

/* Those of an id, or all, come back so; what the bus itself holds is its own affair. */
static void chip_give_up(const struct ad_xfer *one, unsigned id, uint8_t result)
{
    for (unsigned i = 0; i < chip.nheld; i++) {
        struct ad_xfer *x = chip.held[i].xfer;

        if ((one && x != one) || (!one && id != UINT32_MAX && x->xfer_id != id))
            continue;
        x->xfer_result = result;
        x->xfer_resid = x->xfer_bytes;
        chip.held[i].when_ns = shim_now_ns();
    }
    chip_arm();
}

static void chip_abort(void *hw, struct ad_xfer *x)
{
    for (unsigned i = 0; i < chip.nheld; i++) {
        if (chip.held[i].xfer == x) {
            chip_give_up(x, 0, AD_RES_ABORTED);
            return;
        }
    }
    sim_hw_ops.abort(hw, x);
}

static int chip_reset_target(void *hw, unsigned id)
{
    chip_give_up(NULL, id, AD_RES_ABORTED);
    return sim_hw_ops.reset_target(hw, id);
}

static int chip_reset_bus(void *hw)
{
    chip_give_up(NULL, UINT32_MAX, AD_RES_BUS_RESET);
    return sim_hw_ops.reset_bus(hw);
}

const struct ad_hw_ops fz_chip_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "fz",
    .attach = chip_attach,
    .detach = chip_detach,
    .start = chip_start,
    .abort = chip_abort,
    .reset_target = chip_reset_target,
    .reset_bus = chip_reset_bus,
};
