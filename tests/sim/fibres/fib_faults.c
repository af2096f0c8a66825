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

#include <string.h>

void fib_faults_choose(struct fib_world *w)
{
    struct fib_rng *r = &w->w_rng;
    unsigned kinds;

    if (fib_percent(r, 34))
        return;
    kinds = 1 + fib_below(r, 4);
    for (unsigned i = 0; i < kinds; i++) {
        const unsigned kind = fib_below(r, SIM_FAULT_COUNT + 10u);

        if (kind >= SIM_FAULT_COUNT)
            w->w_faults |= FIB_FAULT_LIE << (kind - SIM_FAULT_COUNT);
        else if (kind != SIM_FAULT_NONE && kind != SIM_FAULT_CORRUPT) /* silent corruption cannot be judged */
            w->w_faults |= 1u << kind;
    }
    /* Who hangs and has no timer stays where he is, until something else happens to him. */
    if (w->w_faults & FIB_FAULT_TIMER)
        w->w_faults &= ~(1u << SIM_FAULT_HANG);
    w->w_fault_steps = 1 + fib_below(r, 12);
}

/* Every key, with codes that the driver knows and one that nobody does. */
static void choose_sense(struct fib_rng *r, struct sim_fault *f)
{
    static const uint8_t senses[][3] = {
        {SCSI_KEY_MEDIUM, 0x11, 0x00},
        {SCSI_KEY_MEDIUM, 0x0c, 0x00},
        {SCSI_KEY_HARDWARE, 0x44, 0x00},
        {SCSI_KEY_ATTENTION, 0x29, 0x00},
        {SCSI_KEY_ABORTED, 0x47, 0x00},
        {SCSI_KEY_NOT_READY, 0x04, 0x01},
        {SCSI_KEY_RECOVERED, 0x17, 0x01},
        {SCSI_KEY_NO_SENSE, 0x00, 0x00},
        {SCSI_KEY_NOT_READY, 0x04, 0x03},
        {SCSI_KEY_ILLEGAL, 0x24, 0x00},
        {SCSI_KEY_ATTENTION, 0x28, 0x00},
        {SCSI_KEY_ATTENTION, 0x2a, 0x09},
        {SCSI_KEY_ATTENTION, 0x3f, 0x0e},
        {SCSI_KEY_PROTECT, 0x27, 0x00},
        {SCSI_KEY_PROTECT, 0x27, 0x07},
        {SCSI_KEY_BLANK, 0x00, 0x00},
        {SCSI_KEY_MISCOMPARE, 0x1d, 0x00},
        {0x9, 0x80, 0x01},
        {0xa, 0x0d, 0x00},
        {0xd, 0x0d, 0x00},
        {0xf, 0x00, 0x00},
    };
    const uint8_t *s = senses[fib_below(r, SC_ARRAY_SIZE(senses))];

    f->f_key = s[0];
    f->f_asc = s[1];
    f->f_ascq = s[2];
    f->f_descriptor = fib_percent(r, 30);
    f->f_deferred = fib_percent(r, 15);
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

    if (!lun || d->dk_role != FIB_DISK_DATA || d->dk_going)
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

/* Another disk, which is new to everybody: it reads as zeroes. */
static void plug(struct fib_world *w, unsigned like)
{
    const unsigned adapter = scp_disk_adapter(w->w_pair, like);
    static uint8_t data[SC_PAGE_SIZE];
    char text[SCP_ERROR_MAX];
    struct file *fp;
    size_t done = 0;
    unsigned i = 0;
    int error = scp_plug(w->w_pair, adapter, &w->w_disk_specs[like], &i, text, sizeof(text));

    SCHED_CHECK(error == 0 || fib_plausible(error) || error == EMFILE, "error: scp_plug: %s", text);
    if (error != 0)
        return;
    error = fp_opendev(scp_disk_devno(w->w_pair, i), DREAD, NULL, 0, &fp);
    SCHED_CHECK(error == 0 || fib_open_plausible(error), "error: open of a new disk: errno %d (%s)", error,
                scp_strerror(error));
    if (error != 0)
        return;
    memset(data, 0xff, sizeof(data));
    error = scp_raw_read(fp, data, sizeof(data), 0, &done);
    SCHED_CHECK(error == 0 || fib_plausible(error), "error: a new disk: errno %d (%s)", error,
                scp_strerror(error));
    for (size_t at = 0; at < done; at++)
        SCHED_CHECK(data[at] == 0, "data: a new disk holds something at byte %zu", at);
    (void)fp_close(fp);
}

/* A disk with data is pulled out, whoever uses it. One stays. */
static void unplug(struct fib_world *w, unsigned disk, bool another)
{
    struct fib_disk *d = &w->w_disks[disk];
    char text[SCP_ERROR_MAX];
    unsigned left = 0;
    int error;

    for (unsigned i = 0; i < w->w_ndisks; i++)
        left += w->w_disks[i].dk_role == FIB_DISK_DATA && !w->w_disks[i].dk_going;
    if (d->dk_role != FIB_DISK_DATA || d->dk_going || left < 2)
        return;
    d->dk_going = true;
    error = scp_unplug(w->w_pair, disk, text, sizeof(text));
    SCHED_CHECK(error == 0 || (error == ETIMEDOUT && fib_trouble()), "error: scp_unplug: %s", text);
    d->dk_gone = true;
    d->dk_gone_ns = shim_now_ns();
    d->dk_cached = false;
    if (another)
        plug(w, disk);
}

static void lie(const struct fib_disk *d, struct fib_rng *r)
{
    static const uint8_t says[] = {SCSI_INQUIRY, SCSI_READ_CAPACITY_10, SCSI_MODE_SENSE_6,
                                   SCSI_REQUEST_SENSE};
    struct sim_fault f = {
        .f_lba_last = UINT64_MAX, .f_count = 1 + fib_below(r, 3), .f_action = SIM_FAULT_CORRUPT};

    f.f_opcode = says[fib_below(r, SC_ARRAY_SIZE(says))];
    f.f_param = fib_below(r, 36);
    /* Who believes a wrong size is not to blame: such a disk is only opened and closed. */
    if (d->dk_role == FIB_DISK_LIFE || f.f_opcode == SCSI_REQUEST_SENSE)
        (void)sim_fault_add(d->dk_sim, &f);
}

static void act(struct fib_world *w, struct fib_rng *r)
{
    const unsigned disk = fib_below(r, w->w_ndisks);
    const struct fib_disk *d = &w->w_disks[disk];
    unsigned bit = fib_below(r, FIB_FAULT_BITS);
    bool for_good;

    /* The next allowed kind from a random place on; the mask has at least one. */
    while ((w->w_faults & (1u << bit)) == 0)
        bit = (bit + 1) % FIB_FAULT_BITS;
    if (d->dk_going)
        return;
    switch (1u << bit) {
    case FIB_FAULT_UNPLUG:
        unplug(w, disk, fib_percent(r, 50));
        break;
    case FIB_FAULT_LIE:
        lie(d, r);
        break;
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
        if (w->w_disks[i].dk_going)
            continue;
        sim_fault_clear(w->w_disks[i].dk_sim);
        if (w->w_faults & FIB_FAULT_FOREIGN)
            fib_foreign_over(&w->w_disks[i]);
    }
    w->w_wrong = w->w_deaf = 0;
    w->w_long_busy = false;
    w->w_cleared = true;
}
