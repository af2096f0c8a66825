/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_faults.c - how a run misbehaves: which kinds of fault its seed allows, and setting them.
 *
 * A third of the runs have no fault at all: there, any error is a failure of the test. Others get
 * a few kinds, not all: a run with every fault at once would hardly ever reach the states that
 * need a long quiet stretch.
 */
#include "sim_world.h"

#include "adapter/ad_impl.h"

#include <stdio.h>
#include <sys/scsiproto.h>

void faults_choose(struct world *w)
{
    struct world_rng *r = &w->w_rng;
    unsigned kinds;

    if (rng_percent(r, 34))
        return;
    kinds = 1 + (unsigned)rng_below(r, 4);
    for (unsigned i = 0; i < kinds; i++) {
        unsigned kind = (unsigned)rng_below(r, SIM_FAULT_COUNT + 3);

        if (kind >= SIM_FAULT_COUNT)
            w->w_faults |= WORLD_FAULT_ATTENTION << (kind - SIM_FAULT_COUNT);
        else if (kind != SIM_FAULT_NONE && kind != SIM_FAULT_CORRUPT) /* silent corruption cannot be judged */
            w->w_faults |= 1u << kind;
    }
    w->w_fault_percent = 1 + (unsigned)rng_below(r, 15);
}

static void choose_sense(struct world *w, struct sim_fault *f)
{
    static const uint8_t senses[][3] = {
        {SCSI_KEY_MEDIUM, 0x11, 0x00},    {SCSI_KEY_MEDIUM, 0x0c, 0x00},  {SCSI_KEY_HARDWARE, 0x44, 0x00},
        {SCSI_KEY_ATTENTION, 0x29, 0x00}, {SCSI_KEY_ABORTED, 0x47, 0x00}, {SCSI_KEY_NOT_READY, 0x04, 0x01},
        {SCSI_KEY_RECOVERED, 0x17, 0x01},
    };
    const uint8_t *s = senses[rng_below(&w->w_rng, SC_ARRAY_SIZE(senses))];

    f->f_key = s[0];
    f->f_asc = s[1];
    f->f_ascq = s[2];
    f->f_descriptor = rng_percent(&w->w_rng, 30);
}

static void add_rule(struct world *w, struct world_disk *d, unsigned action)
{
    struct world_rng *r = &w->w_rng;
    uint64_t blocks = d->dk_bytes / d->dk_block;
    struct sim_fault f = {.f_opcode = -1, .f_lba_last = UINT64_MAX};

    if (rng_percent(r, 60)) {
        f.f_lba_first = rng_below(r, blocks);
        f.f_lba_last = f.f_lba_first + rng_below(r, 64);
    }
    f.f_skip = (uint32_t)rng_below(r, 4);
    f.f_count = 1 + (uint32_t)rng_below(r, 3);
    f.f_action = (enum sim_fault_action)action;
    if (action == SIM_FAULT_CHECK)
        choose_sense(w, &f);
    else if (action == SIM_FAULT_SHORT)
        f.f_param = 1 + rng_below(r, 8192);
    else if (action == SIM_FAULT_DELAY)
        f.f_param = 1 + rng_below(r, 3000000);
    if (sim_fault_add(d->dk_sim, &f) < 0)
        sim_fault_clear(d->dk_sim);
    else
        w->w_rules++;
}

void faults_act(struct world *w)
{
    struct world_rng *r = &w->w_rng;
    unsigned i = (unsigned)rng_below(r, w->w_spec.ndisks);
    struct world_disk *d = &w->w_disks[i];
    unsigned bit = (unsigned)rng_below(r, 27);

    /* The next allowed kind from a random place on; the mask has at least one. */
    if (w->w_faults == 0)
        return;
    while ((w->w_faults & (1u << bit)) == 0)
        bit = (bit + 1) % 27;
    w->w_disturbed = true;
    if (w->w_verbose)
        printf("  step %u: fault kind %u on hdisk%u\n", w->w_step, bit, i);
    if ((1u << bit) == WORLD_FAULT_ATTENTION) {
        sim_disk_attention(d->dk_sim, 0x2a, 0x01);
    } else if ((1u << bit) == WORLD_FAULT_RESET || (1u << bit) == WORLD_FAULT_HALT) {
        struct sc_disk_info info;
        struct ad_lun *lun;
        int error = fp_ioctl(d->dk_fp, DKINFO, (intptr_t)&info, 0);

        WORLD_CHECK(w, error == 0, "DKINFO: %s", scp_strerror(error));
        lun = ad_lun_find(ad_find(info.adapter_devno), info.id, info.lun);
        /* Somebody interferes with a disk in use, as SCIORESET and SCIOHALT of its own file would. */
        error = (1u << bit) == WORLD_FAULT_RESET ? ad_lun_reset(lun, AD_OWNER_ANY)
                                                 : ad_lun_halt(lun, AD_OWNER_ANY);
        world_observe(w, (uint64_t)error);
    } else {
        add_rule(w, d, bit);
    }
}

void faults_clear(struct world *w)
{
    for (unsigned i = 0; i < w->w_spec.ndisks; i++)
        sim_fault_clear(w->w_disks[i].dk_sim);
}
