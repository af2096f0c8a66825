/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_icmd_test.c - the ioctls that send a command: how it is sent, and what they and their relatives say
 * while the LUN is being stopped. Their data and errno numbers are in ad_ioctl_test.c.
 */
#include "ad_fake.h"

static int scio(unsigned cmd, intptr_t arg) { return fp_ioctl(fake_fp, cmd, arg, 0); }

/* What the other ioctls say meanwhile: asked by a poller, while SCIOSTOP sleeps. */
static unsigned asked;
static void ask_during_stop(void *arg)
{
    static struct sc_readblk rb = {.scsi_id = FAKE_ID, .blklen = 512};
    static struct sc_passthru cmd = {.version = SC_VERSION_1, .scsi_id = FAKE_ID, .command_length = 6};
    struct sc_inquiry inq = {.scsi_id = FAKE_ID, .inquiry_len = 36};
    struct sc_startunit su = {.scsi_id = FAKE_ID};
    struct sc_ready ready = {.scsi_id = FAKE_ID};
    struct sc_event_struct ev = {
        .id = FAKE_ID, .mode = SC_IM_MODE, .async_func = (void (*)(struct sc_event_info *))abort};

    (void)arg;
    if (asked++ != 0 || fake_lun->lun_state != AD_LUN_STOPPING)
        return;
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(FAKE_ID, 0)), EIO);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIORESET, SC_ARG(FAKE_ID, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), EINVAL);
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), EINVAL);
    ck_assert_int_eq(scio(SCIOSTUNIT, (intptr_t)&su), EINVAL);
    ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), EINVAL);
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), EINVAL);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&cmd), EINVAL);
    fake_end(0);
}

START_TEST(test_AIX_25_what_comes_beside_a_stop)
{
    static struct kern_poller poller = {.po_func = ask_during_stop};
    struct req r;

    fake_up(true, FAKE_PEND);
    asked = 0;
    req_init(&r);
    req_send(&r);
    kern_poller_add(&poller);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0);
    kern_poller_remove(&poller);
    ck_assert_uint_ne(asked, 0);
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(r.sb.bufstruct.b_flags & B_ERROR, 0);
    fake_down();
}
END_TEST

/* How a command is to be sent, and how long it may take, is the caller's to say. */
START_TEST(test_AIX_28_flags_and_time_of_the_ioctls_commands)
{
    static struct sc_readblk rb = {.scsi_id = FAKE_ID, .blklen = 512, .timeout_value = 9};
    static struct sc_passthru cmd = {.version = SC_VERSION_1, .scsi_id = FAKE_ID, .command_length = 6};
    struct sc_inquiry inq = {.scsi_id = FAKE_ID, .inquiry_len = 36};
    struct sc_startunit su = {.scsi_id = FAKE_ID, .timeout_value = 7};
    struct sc_ready ready = {.scsi_id = FAKE_ID};
    const struct {
        unsigned cmd;
        void *arg;
        uint8_t *flags;
        unsigned seconds;
    } rows[] = {{SCIOINQU, &inq, &inq.flags, AD_ICMD_TIMEOUT_S},
                {SCIOSTUNIT, &su, &su.flags, 7},
                {SCIOTUR, &ready, &ready.flags, AD_ICMD_TIMEOUT_S},
                {SCIOREAD, &rb, &rb.flags, 9},
                {SCIOCMD, &cmd, NULL, 11}};

    cmd.timeout_value = 11;
    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned at = 2 * i;

        *rows[i].flags = SC_ASYNC;
        ck_assert_int_eq(scio(rows[i].cmd, (intptr_t)rows[i].arg), 0);
        ck_assert_uint_eq(fake.xflags[at], AD_XFER_ASYNC);
        *rows[i].flags = SC_NODISC;
        ck_assert_int_eq(scio(rows[i].cmd, (intptr_t)rows[i].arg), 0);
        ck_assert_uint_eq(fake.xflags[at + 1], AD_XFER_NODISC);
    }
    fake.mode = FAKE_PEND;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        const uint64_t before = shim_now_ns();

        ck_assert_int_eq(scio(rows[i].cmd, (intptr_t)rows[i].arg), ETIMEDOUT);
        ck_assert_uint_eq((shim_now_ns() - before) / 1000000000u, rows[i].seconds);
    }
    fake_down();
}
END_TEST

static Suite *ad_icmd_suite(void)
{
    Suite *s = suite_create("ad_icmd");
    TCase *commands = tcase_create("commands");

    tcase_add_test(commands, test_AIX_25_what_comes_beside_a_stop);
    tcase_add_test(commands, test_AIX_28_flags_and_time_of_the_ioctls_commands);
    suite_add_tcase(s, commands);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_icmd_suite(), argc, argv); }
