/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_grow.c - LUNs that are started at the same time on a chip that is asked for more room each time, and
 * has none: no command is on its way to it meanwhile, and nobody stays frozen.
 */
#include "small.h"

static struct ad_hw_ops ops;
static bool growing;

static uint32_t grow(void *hw, uint32_t want)
{
    (void)hw;
    (void)want;
    SCHED_CHECK(!growing, "two ask at once");
    SCHED_CHECK(chip.ch_inside == 0, "asked while a command is on its way to it");
    growing = true;
    shim_det_mark();
    growing = false;
    return chip.ch_commands;
}

static void no_growth(struct ad_xfer *x)
{
    SCHED_CHECK(!growing, "a command of LUN %u comes while it is asked for more room", x->xfer_lun);
}

/* A LUN of one's own: started, and used at once. */
static void start_and_send(void *arg)
{
    struct small_req *r = arg;

    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, r->rq_sb.lun), 0) == 0, "SCIOSTART failed");
    small_send(r);
}

static void run_two(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];
    struct ad_config cfg;

    growing = false;
    small_chip_prepare();
    chip.ch_commands = 5; /* one LUN's */
    chip.ch_on_start = no_growth;
    small_host(st, seed);
    small_chip_config(&cfg);
    ops = *cfg.cfg_ops;
    ops.grow = grow;
    cfg.cfg_ops = &ops;
    SCHED_CHECK(ad_attach(SMALL_DEVNO, &cfg) == 0, "ad_attach failed");
    small_attached = true;
    SCHED_CHECK(fp_opendev(SMALL_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &small_fp) == 0, "open failed");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, 0), 0) == 0, "SCIOSTART failed");
    for (uint32_t i = 0; i < 2; i++)
        SCHED_CHECK(shim_thread_start(&t[i], start_and_send, small_req(i, (uint8_t)(i + 1), SMALL_GOOD),
                                      i ? "second" : "first") == 0,
                    "no fibre");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    small_send(small_req(2, 0, SMALL_GOOD));
    for (uint32_t i = 0; i < 3; i++)
        SCHED_CHECK(reqs[i].rq_done == 1, "LUN %u is still frozen", reqs[i].rq_sb.lun);
    small_check();
    small_down();
}

static const struct sched_program programs[] = {
    {"grow-two", "two LUNs start while the chip has no more room", run_two, false, NULL},
};
const struct small_group small_grow = {"grow", programs, SC_ARRAY_SIZE(programs)};
