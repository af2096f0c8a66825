/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_icmd_data_test.c - commands the adapter sends for an ioctl: what reaches the chip, and what the caller
 * gets when they fail.
 *
 * Does not contain: when they are allowed, errno, queue and sense (ad_ioctl_test.c).
 */
#include "ad_fake.h"

static int scio(unsigned cmd, intptr_t arg) { return fp_ioctl(fake_fp, cmd, arg, 0); }

static struct sc_passthru pt;
static void pt_init(void)
{
    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.scsi_id = FAKE_ID;
    pt.command_length = 10;
    pt.flags = SC_PT_READ;
    pt.data_length = 100;
    pt.timeout_value = 10;
}

static uint8_t sent[64];
static unsigned long long sent_bytes;
static unsigned sent_dir;

/* What a chip would take from memory. */
static void look_at_data(struct fake *f, struct ad_xfer *xfer)
{
    (void)f;
    sent_bytes = xfer->xfer_bytes;
    sent_dir = xfer->xfer_dir;
    if (sent_bytes != 0 && xfer->xfer_dir == SHIM_DIR_TO_DEVICE)
        memcpy(sent, (const void *)(uintptr_t)xfer->xfer_map->map_segs[0].seg_addr, sizeof(sent));
}

/* Out of the structure, out of a buffer, and no data at all, with and without a buffer. */
START_TEST(test_AIX_25_pass_through_sends_data)
{
    static uint8_t big[5000];
    static const uint8_t lengths[] = {6, 10, 12, 16};

    fake_up(true, FAKE_INLINE);
    fake.on_start = look_at_data;
    memset(big, 0xb1, sizeof(big));
    pt_init();
    pt.flags = 0;
    memset(pt.data, 0xa7, 100);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), 0);
    ck_assert_uint_eq(sent_bytes, 100);
    ck_assert_uint_eq(sent_dir, SHIM_DIR_TO_DEVICE);
    ck_assert_uint_eq(sent[0], 0xa7);
    pt_init();
    pt.flags = 0;
    pt.buffer = (uintptr_t)big;
    pt.data_length = sizeof(big);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), 0);
    ck_assert_uint_eq(sent_bytes, sizeof(big));
    ck_assert_uint_eq(sent[63], 0xb1);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(lengths); i++) {
        pt_init();
        pt.buffer = i % 2 ? (uintptr_t)big : 0;
        pt.data_length = 0;
        pt.flags = i < 2 ? SC_PT_READ : 0;
        pt.command_length = lengths[i];
        ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), 0);
        ck_assert_uint_eq(sent_bytes, 0);
        ck_assert_uint_eq(pt.residual, 0);
        ck_assert_uint_eq(fake.cdb_last_len, lengths[i]);
    }
    fake_down();
}
END_TEST

/* Data that did not come is not handed out: the caller's memory stays as it was. */
START_TEST(test_AIX_25_a_failed_command_gives_no_data)
{
    struct sc_inquiry inq = {.scsi_id = FAKE_ID, .inquiry_len = 36};
    static struct sc_readblk rb = {.scsi_id = FAKE_ID, .blklen = 512};
    static uint8_t page[512], untouched[512];

    fake_up(true, FAKE_INLINE);
    fake.data_in = "some data";
    fake.data_in_bytes = 9;
    inq.inquiry_ptr = rb.data_ptr = (uintptr_t)page;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), EIO);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), EIO);
    pt_init();
    pt.buffer = (uintptr_t)page;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100); /* nothing came */
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    ck_assert_mem_eq(page, untouched, sizeof(page));
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), 0);
    ck_assert_mem_eq(page, "some data", 9);
    ck_assert_int_eq(scio(SCIOEVENT, 0), EFAULT);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* A LUN that three bits cannot say is not in the CDB. */
START_TEST(test_AIX_25_lun_bits_of_old_devices)
{
    static const unsigned luns[] = {5, 9};

    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_luns = 16;
    fake_attach(NULL);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(luns); i++) {
        struct sc_ready ready = {.scsi_id = FAKE_ID, .lun_id = (uint8_t)luns[i]};

        ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, luns[i])), 0);
        ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), 0);
        ck_assert_uint_eq(fake.cdb_last[1], luns[i] < 8 ? luns[i] << 5 : 0);
        ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, luns[i])), 0);
    }
    fake_down();
}
END_TEST

static Suite *ad_icmd_suite(void)
{
    Suite *s = suite_create("ad_icmd_data");
    TCase *tc = tcase_create("commands");

    tcase_add_test(tc, test_AIX_25_pass_through_sends_data);
    tcase_add_test(tc, test_AIX_25_a_failed_command_gives_no_data);
    tcase_add_test(tc, test_AIX_25_lun_bits_of_old_devices);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_icmd_suite(), argc, argv); }
