/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_reserve_test.c - persistent reservation keys on the whole pair: who registers one, closes and opens
 * again finds the disk usable; and a disk that was stopped closes well.
 */
#include "../test_main.h"

#include <scpair/scpair.h>
#include <stdlib.h>
#include <string.h>
#include <sys/scsiproto.h>

static struct scp *pair;
static struct sc_passthru pt;

static void setup_with(bool no_reserve)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .no_reserve = no_reserve};
    struct scp_spec s = {.disks = &d, .ndisks = 1};
    char err[SCP_ERROR_MAX] = "";

    d.size = sizeof(d);
    ck_assert_msg(scp_create(&s, &pair, err, sizeof(err)) == 0, "%s", err);
}

static int disk_open(int ext, struct file **fpp)
{
    return fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE | DKERNEL, NULL, ext, fpp);
}

/* PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY. */
static int register_key(struct file *fp, uint64_t key)
{
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 10;
    pt.data_length = 24;
    pt.timeout_value = 10;
    pt.scsi_cdb[0] = SCSI_PERSISTENT_RESERVE_OUT;
    pt.scsi_cdb[1] = 6;
    pt.scsi_cdb[8] = 24;
    scsi_put64(pt.data + 8, key);
    return fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0);
}

static void write_one(struct file *fp)
{
    char *data = aligned_alloc(4096, 4096);
    size_t done;

    memset(data, 1, 4096);
    ck_assert_int_eq(scp_raw_write(fp, data, 4096, 0, 0, &done), 0);
    ck_assert_uint_eq(done, 4096);
    free(data);
}

/* Registered with our RESERVE on the disk (0), without (1), on a disk with reserve=no (2). */
START_TEST(test_registered_closed_and_opened_again)
{
    struct file *fp;

    setup_with(_i == 2);
    ck_assert_int_eq(disk_open(_i == 1 ? SC_NO_RESERVE : 0, &fp), 0);
    ck_assert_int_eq(register_key(fp, 42), 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(disk_open(0, &fp), 0);
    write_one(fp);
    ck_assert_int_eq(register_key(fp, 0), 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(disk_open(0, &fp), 0);
    write_one(fp);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(scp_destroy(pair), 0);
}
END_TEST

/* STOP UNIT after a write: the close is neither slow nor an error. */
START_TEST(test_stopped_disk_closes)
{
    struct file *fp;

    setup_with(false);
    ck_assert_int_eq(disk_open(0, &fp), 0);
    write_one(fp);
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    pt.timeout_value = 10;
    pt.scsi_cdb[0] = SCSI_START_STOP_UNIT;
    ck_assert_int_eq(fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0), 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(scp_destroy(pair), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_reserve");
    TCase *t = tcase_create("reserve");

    tcase_add_loop_test(t, test_registered_closed_and_opened_again, 0, 3);
    tcase_add_test(t, test_stopped_disk_closes);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
