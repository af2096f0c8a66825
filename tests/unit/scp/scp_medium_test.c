/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_medium_test.c - the whole pair on a disk whose medium can be taken out.
 */
#include "../test_main.h"

#include "adapter/sim/sim.h"

#include <scpair/scpair.h>
#include <scpair/shim.h>

static struct scp *pair;
static struct file *disk;
static uint8_t data[512];

static void setup(void)
{
    const struct scp_disk_spec d = {
        .size = sizeof(d), .medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .removable = true};
    const struct scp_spec spec = {.size = sizeof(spec), .disks = &d, .ndisks = 1, .host = shim_det_host(1)};
    char err[SCP_ERROR_MAX] = "";

    ck_assert_msg(scp_create(&spec, &pair, err, sizeof(err)) == 0, "%s", err);
    ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &disk), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(fp_close(disk), 0);
    ck_assert_uint_eq(scp_destroy(pair), 0);
}

static int rd(void)
{
    size_t done;

    return scp_raw_read(disk, data, sizeof(data), 0, &done);
}

static int medium(unsigned cmd) { return fp_ioctl(disk, cmd, 0, 0); }

START_TEST(test_locked_ejected_and_loaded_again)
{
    struct devinfo di;
    struct file *other;

    ck_assert_int_eq(fp_ioctl(disk, IOCINFO, (intptr_t)&di, 0), 0);
    ck_assert_uint_eq(di.flags & DF_FIXED, 0);
    ck_assert_int_eq(medium(DKPMR), 0);
    ck_assert_int_eq(medium(DKEJECT), EINVAL);
    ck_assert_int_eq(rd(), 0);
    ck_assert_int_eq(medium(DKAMR), 0);
    ck_assert_int_eq(medium(DKEJECT), 0);
    ck_assert_int_eq(rd(), ENOTREADY);
    ck_assert_int_eq(medium(DKEJECT), ENOTREADY);
    sim_disk_load(scp_sim_disk(pair, 0));
    ck_assert_int_eq(rd(), EMEDIA); /* perhaps another one: told once */
    ck_assert_int_eq(rd(), 0);
    /* Held, and closed by everybody: the next one may take it out. */
    ck_assert_int_eq(medium(DKPMR), 0);
    ck_assert_int_eq(fp_close(disk), 0);
    ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, 0), DREAD, NULL, 0, &other), 0);
    disk = other;
    ck_assert_int_eq(medium(DKEJECT), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_medium");
    TCase *t = tcase_create("medium");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_locked_ejected_and_loaded_again);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
