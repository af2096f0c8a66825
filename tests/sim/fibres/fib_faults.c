/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_faults.c - how a run misbehaves: which kinds of fault its seed allows, and a fibre that sets them.
 *
 * A third of the seeds have none: there, any error is a failure. The others have a few kinds, not all: a run
 * with every fault at once hardly ever reaches what needs a long quiet stretch.
 */
#include "fib.h"

#include "adapter/ad_impl.h"

#include <sys/scsiproto.h>

void fib_faults_choose(struct fib_world *w)
{
    struct fib_rng *r = &w->w_rng;
    unsigned kinds;

    if (fib_percent(r, 34))
        return;
    kinds = 1 + fib_below(r, 4);
    for (unsigned i = 0; i < kinds; i++) {
        const unsigned kind = fib_below(r, SIM_FAULT_COUNT + 8u);

        if (kind >= SIM_FAULT_COUNT)
            w->w_faults |= FIB_FAULT_ATTENTION << (kind - SIM_FAULT_COUNT);
        else if (kind != SIM_FAULT_NONE && kind != SIM_FAULT_CORRUPT) /* silent corruption cannot be judged */
            w->w_faults |= 1u << kind;
    }
    /* Who hangs and has no timer stays where he is, until something else happens to him. */
    if (w->w_faults & FIB_FAULT_TIMER)
        w->w_faults &= ~(1u << SIM_FAULT_HANG);
    w->w_fault_steps = 1 + fib_below(r, 12);
}

static void choose_sense(struct fib_rng *r, struct sim_fault *f)
{
    static const uint8_t senses[][3] = {
        {SCSI_KEY_MEDIUM, 0x11, 0x00},    {SCSI_KEY_MEDIUM, 0x0c, 0x00},  {SCSI_KEY_HARDWARE, 0x44, 0x00},
        {SCSI_KEY_ATTENTION, 0x29, 0x00}, {SCSI_KEY_ABORTED, 0x47, 0x00}, {SCSI_KEY_NOT_READY, 0x04, 0x01},
        {SCSI_KEY_RECOVERED, 0x17, 0x01},
    };
    const uint8_t *s = senses[fib_below(r, SC_ARRAY_SIZE(senses))];

    f->f_key = s[0];
    f->f_asc = s[1];
    f->f_ascq = s[2];
    f->f_descriptor = fib_percent(r, 30);
}

static void add_rule(struct fib_world *w, struct fib_rng *r, const struct fib_disk *d, unsigned action)
{
    const uint64_t blocks = d->dk_bytes / d->dk_block;
    struct sim_fault f = {.f_opcode = -1, .f_lba_last = UINT64_MAX};

    if (fib_percent(r, 40)) {
        f.f_lba_first = fib_below(r, blocks);
        f.f_lba_last = f.f_lba_first + fib_below(r, 64);
    }
    f.f_skip = fib_below(r, 4);
    f.f_count = 1 + fib_below(r, 3);
    f.f_action = (enum sim_fault_action)action;
    if (action == SIM_FAULT_CHECK)
        choose_sense(r, &f);
    else if (action == SIM_FAULT_SHORT)
        f.f_param = 1 + fib_below(r, 8192);
    else if (action == SIM_FAULT_DELAY)
        f.f_param = 1 + fib_below(r, 3000000);
    if (sim_fault_add(d->dk_sim, &f) < 0)
        sim_fault_clear(d->dk_sim);
    else
        w->w_rules++;
}

/* Somebody interferes with a disk in use, as SCIORESET and SCIOHALT of its own file would. */
static void interfere(const struct fib_disk *d, bool reset)
{
    struct ad_lun *lun = ad_lun_find(ad_find(d->dk_adapter), d->dk_id, d->dk_lun);
    int error;

    if (!lun || d->dk_role != FIB_DISK_DATA)
        return;
    error = reset ? ad_lun_reset(lun, AD_OWNER_ANY) : ad_lun_halt(lun, AD_OWNER_ANY);
    shim_det_observe((uint64_t)error);
}

/*
 * The chip says when it has reset the bus, and whoever has asked to be told is told in his turn: whoever
 * gives his responses back does it, and may be kept off his processor.
 */
static void reset_bus(const struct fib_world *w, devno_t adapter)
{
    struct ad_adapter *ad = ad_find(adapter);
    unsigned told[FIB_CALLERS_MAX];

    for (unsigned i = 0; i < w->w_ncallers; i++)
        told[i] = fib_head_told(&w->w_callers[i], adapter);
    (void)ad->adp_ops->reset_bus(ad->adp_hw);
    for (unsigned i = 0, tries = 0; i < w->w_ncallers && tries < 1000; tries++) {
        if (told[i] == 0 || told[i] != fib_head_told(&w->w_callers[i], adapter))
            i++;
        else
            shim_delay_ns(tries < 10 ? 1000 : 1000000000u);
    }
    for (unsigned i = 0; i < w->w_ncallers; i++)
        SCHED_CHECK(told[i] == 0 || told[i] != fib_head_told(&w->w_callers[i], adapter),
                    "contract: %s was not told of a bus reset", w->w_callers[i].c_name);
}

static void act(struct fib_world *w, struct fib_rng *r)
{
    const struct fib_disk *d = &w->w_disks[fib_below(r, w->w_ndisks)];
    unsigned bit = fib_below(r, FIB_FAULT_BITS);
    bool for_good;

    /* The next allowed kind from a random place on; the mask has at least one. */
    while ((w->w_faults & (1u << bit)) == 0)
        bit = (bit + 1) % FIB_FAULT_BITS;
    switch (1u << bit) {
    case FIB_FAULT_ATTENTION:
        sim_disk_attention(d->dk_sim, 0x2a, 0x01);
        break;
    case FIB_FAULT_RESET:
    case FIB_FAULT_HALT:
        interfere(d, (1u << bit) == FIB_FAULT_RESET);
        break;
    case FIB_FAULT_BUS:
        reset_bus(w, d->dk_adapter);
        break;
    case FIB_FAULT_FOREIGN:
        fib_foreign(r, d);
        break;
    case FIB_FAULT_MEMORY:
        shim_det_short(DET_SHORT_MEMORY, 1 + fib_below(r, 8), false);
        break;
    case FIB_FAULT_TIMER:
        for_good = fib_percent(r, 50);
        shim_det_short(DET_SHORT_TIMERS, 1 + fib_below(r, 8), for_good);
        break;
    case FIB_FAULT_WILD:
        break; /* the callers do it */
    default:
        add_rule(w, r, d, bit);
    }
}

void fib_faults_run(void *arg)
{
    struct fib_world *w = arg;
    struct fib_rng r = {w->w_seed * 0x9e3779b97f4a7c15u + 0xfa};

    if (w->w_faults == 0)
        return;
    for (unsigned step = 0; step < w->w_fault_steps; step++) {
        act(w, &r);
        if (fib_percent(&r, 40))
            shim_delay_ns(1 + fib_below(&r, 2000000));
        else
            for (uint32_t n = fib_below(&r, 16); n > 0; n--)
                shim_det_mark();
        /* A host that is short of timers is so for a moment, and then something happens on each adapter. */
        if (w->w_faults & FIB_FAULT_TIMER) {
            shim_det_short(DET_SHORT_TIMERS, 0, false);
            for (unsigned a = 0; a < w->w_spec.nadapters; a++)
                ad_hw_kick(ad_find(scp_adapter_devno(w->w_pair, a)));
        }
    }
}

void fib_faults_clear(struct fib_world *w)
{
    shim_det_short(DET_SHORT_MEMORY, 0, false);
    shim_det_short(DET_SHORT_TIMERS, 0, false);
    for (unsigned i = 0; i < w->w_ndisks; i++) {
        sim_fault_clear(w->w_disks[i].dk_sim);
        if (w->w_faults & FIB_FAULT_FOREIGN)
            fib_foreign_over(&w->w_disks[i]);
    }
    w->w_cleared = true;
}
