/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_ahead_test.c - announcements to the simulated bus: of use for a disk in memory while it is there,
 * harmless always.
 */
#include "sim_fixture.h"

#include <adapter/sim/sim_impl.h>

static bool ahead(unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how)
{
    return sim_hw_ops.ahead(fx_bus, id, lun, offset, bytes, how);
}

static void add(unsigned lun, bool ram)
{
    struct sim_disk_config cfg = {
        .sd_id = FX_ID, .sd_lun = (uint8_t)lun, .sd_block_bytes = 512, .sd_blocks = 64};

    ck_assert_int_eq(ram ? sim_medium_ram(64u * 512u, &cfg.sd_ops, &cfg.sd_medium)
                         : sim_medium_null(&cfg.sd_ops, &cfg.sd_medium),
                     0);
    ck_assert_int_eq(sim_disk_add(fx_bus, &cfg), 0);
}

START_TEST(test_of_use_for_a_disk_in_memory)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct ad_hw_caps caps;

    shim_test_begin_det(1);
    ck_assert_int_eq(sim_bus_create(&bus, &fx_bus), 0);
    ck_assert_int_eq(sim_hw_ops.attach(fx_bus, (struct ad_adapter *)&fx_bus, &caps), 0);
    ck_assert(!ahead(FX_ID, 0, 0, 0, 0));
    ck_assert(!ahead(SC_IDS_MAX, 0, 0, 0, 0));
    ck_assert(!ahead(FX_ID, SC_LUNS_MAX, 0, 0, 0));
    add(0, true);
    add(1, false);
    ck_assert(!ahead(FX_ID, 1, 0, 0, 0)); /* stores nothing */
    ck_assert(ahead(FX_ID, 0, 0, 0, 0));
    for (unsigned how = 0; how < 4; how++) {
        ck_assert(ahead(FX_ID, 0, 0, 4096, how));
        ck_assert(ahead(FX_ID, 0, 63u * 512u, 512, how));
        /* Outside, also where a sum would wrap: said to be of use, and nothing is computed of it. */
        ck_assert(ahead(FX_ID, 0, 63u * 512u, 1024, how));
        ck_assert(ahead(FX_ID, 0, UINT64_MAX - 511u, 1024, how));
    }
    sim_disk_remove(fx_bus, sim_disk_find(fx_bus, FX_ID, 0));
    ck_assert(!ahead(FX_ID, 0, 0, 4096, SC_AHEAD_NEXT)); /* its memory is gone */
    add(0, false);
    ck_assert(!ahead(FX_ID, 0, 0, 0, 0));
    sim_hw_ops.detach(fx_bus);
    sim_bus_destroy(fx_bus);
    shim_test_end();
}
END_TEST

static Suite *sim_ahead_suite(void)
{
    Suite *s = suite_create("sim_ahead");
    TCase *t = tcase_create("ahead");

    tcase_add_test(t, test_of_use_for_a_disk_in_memory);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(sim_ahead_suite(), argc, argv); }
