/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_ioctl_test.c - the adapter ioctls: when, and which errno; events. Opening is in ad_life_test.c.
 */
#include "ad_fake.h"

static int scio(unsigned cmd, intptr_t arg) { return fp_ioctl(fake_fp, cmd, arg, 0); }
/* The same from outside the kernel. */
static int scio_user(unsigned cmd, void *arg)
{
    return fp_ioctlx(fake_fp, cmd, (intptr_t)arg, 0, DREAD | DWRITE | DAUTH);
}

/* ---------------------------------------------------------------- start, stop */

START_TEST(test_AIX_25_nothing_but_IOCINFO_before_SCIOSTART)
{
    struct devinfo info;
    struct sc_inquiry inq = {.scsi_id = 4};
    struct sc_startunit su = {.scsi_id = 4};
    struct sc_ready ready = {.scsi_id = 4};
    static struct sc_readblk rb = {.scsi_id = 4, .blklen = 512};
    static struct sc_passthru pt = {.version = SC_VERSION_1, .scsi_id = 4, .command_length = 6};
    struct sc_event_struct ev = {
        .id = 4, .mode = SC_IM_MODE, .async_func = (void (*)(struct sc_event_info *))abort};
    struct sc_lun_stats st = {.id = 4};

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(scio(IOCINFO, (intptr_t)&info), 0);
    ck_assert_uint_eq(info.devtype, DD_BUS);
    ck_assert_uint_eq(info.devsubtype, DS_SCSI);
    ck_assert_uint_eq(info.flags, 0);
    ck_assert_uint_eq(info.un.scsi.card_scsi_id, 7);
    ck_assert_uint_eq(info.un.scsi.max_transfer, 1u << 20);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(4, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(4, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIORESET, SC_ARG(4, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), EINVAL);
    ck_assert_int_eq(scio(SCIOSTUNIT, (intptr_t)&su), EINVAL);
    ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), EINVAL);
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), EINVAL);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EINVAL);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), EINVAL);
    ck_assert_int_eq(scio(SCIOLUNSTAT, (intptr_t)&st), EINVAL);
    ck_assert_int_eq(scio(0x1234, 0), EINVAL);
    ck_assert_uint_eq(fake.starts, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_start_refuses_used_own_and_impossible_addresses)
{
    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), EINVAL); /* in use */
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(7, 0)), EINVAL);       /* the adapter's own */
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(16, 0)), EINVAL);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(255, 255)), EINVAL);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(4, 8)), EINVAL);           /* this adapter has 8 LUNs */
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(4, 0) | 0x10000), EINVAL); /* reserved bytes */
    ck_assert_int_eq(scio(SCIOSTART, -1), EINVAL);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(4, 7)), 0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(4, 7)), 0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(4, 7)), EINVAL);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_start_without_memory_is_EIO_and_stop_releases_everything)
{
    struct shim_account before, after;

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(5, 0)), 0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(5, 0)), 0);
    shim_account_get(&before);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(scio(SCIOSTART, SC_ARG(5, 0)), 0);
        ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(5, 0)), 0);
    }
    shim_account_get(&after);
    ck_assert_uint_eq(before.acc_bytes[SHIM_TAG_AD], after.acc_bytes[SHIM_TAG_AD]);
    for (unsigned k = 1; k <= 2; k++) { /* the head, then the rest */
        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        ck_assert_int_eq(scio(SCIOSTART, SC_ARG(6, 0)), EIO);
        shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    }
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(6, 0)), 0);
    fake_down(); /* the last close stops what is left */
}
END_TEST

/* Ends what is pending, one command each time it fires. */
static void end_one(struct shim_timer *t)
{
    if (fake.nkept > 0)
        fake_end(0);
    if (fake.nkept > 0)
        (void)shim_timer_arm(t, shim_now_ns() + AD_NS_PER_S);
}

static struct req during;
static void send_during_stop(struct shim_timer *t)
{
    (void)t;
    req_init(&during);
    req_send(&during);
}

START_TEST(test_AIX_25_stop_waits_for_io_and_refuses_new)
{
    static struct req r[5];
    struct shim_timer later, ender;

    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 5; i++) {
        req_init(&r[i]);
        req_send(&r[i]);
    }
    shim_timer_init(&ender, end_one, NULL);
    shim_timer_init(&later, send_during_stop, NULL);
    ck_assert_int_eq(shim_timer_arm(&later, shim_now_ns() + AD_NS_PER_S / 2), 0);
    ck_assert_int_eq(shim_timer_arm(&ender, shim_now_ns() + AD_NS_PER_S), 0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(r[i].done, 1);
        ck_assert_uint_eq(r[i].sb.bufstruct.b_flags & B_ERROR, 0);
    }
    ck_assert_uint_eq(during.done, 1);
    ck_assert_int_eq(during.sb.bufstruct.b_error, EINVAL);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_stop_flushes_a_kept_queue)
{
    static struct req r[70];

    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 70; i++) {
        req_init(&r[i]);
        req_send(&r[i]);
    }
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    fake_end(0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0);
    for (unsigned i = 0; i < 70; i++)
        ck_assert_uint_eq(r[i].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_stop_with_a_silent_device_aborts_and_a_dead_chip_times_out)
{
    struct req r;

    fake_up(true, FAKE_PEND);
    req_init(&r);
    r.sb.timeout_value = 0;
    req_send(&r);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0); /* 30 s later, by abort */
    ck_assert_uint_eq(r.done, 1);
    ck_assert_int_eq(r.sb.bufstruct.b_error, ENXIO);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), 0);
    fake.mode = FAKE_INLINE;
    req_init(&r);
    req_expect(&r, 0);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- halt, reset */

START_TEST(test_AIX_26_halt_ends_current_flushes_and_halts)
{
    static struct req r[70];
    struct req late;

    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_NOW;
    for (unsigned i = 0; i < 70; i++) {
        req_init(&r[i]);
        req_send(&r[i]);
    }
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_uint_eq(fake.aborts, 64);
    for (unsigned i = 0; i < 70; i++) {
        ck_assert_uint_eq(r[i].order, i + 1);
        ck_assert_int_eq(r[i].sb.bufstruct.b_error, ENXIO);
    }
    req_init(&late);
    req_expect(&late, ENXIO);
    late.done = 0;
    late.sb.flags = SC_RESUME;
    req_send(&late);
    fake_end_all();
    ck_assert_uint_eq(late.done, 1);
    ck_assert_uint_eq(late.sb.bufstruct.b_flags & B_ERROR, 0);
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(FAKE_ID, 0)), 0); /* with nothing to end */
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_AIX_26_halt_of_a_hung_bus_climbs_to_reset)
{
    struct req r;

    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    req_init(&r);
    req_send(&r);
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_uint_eq(fake.aborts, 1);
    ck_assert_uint_eq(fake.target_resets, 1);
    ck_assert_uint_eq(fake.bus_resets, 1);
    ck_assert_uint_eq(r.done, 1);
    fake_down();
}
END_TEST

START_TEST(test_AIX_26_reset_hits_every_lun_of_the_id_only)
{
    struct req r[3];

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 1)), 0);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(4, 0)), 0);
    for (unsigned i = 0; i < 3; i++)
        req_init(&r[i]);
    r[1].sb.lun = 1;
    r[2].sb.scsi_command.scsi_id = 4;
    for (unsigned i = 0; i < 3; i++)
        req_send(&r[i]);
    ck_assert_int_eq(scio(SCIORESET, SC_ARG(FAKE_ID, 0)), 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(r[i].done, 1);
        ck_assert_int_eq(r[i].sb.bufstruct.b_error, EIO);
        ck_assert_uint_eq(r[i].sb.general_card_status, SC_SCSI_BUS_RESET);
    }
    ck_assert_uint_eq(r[2].done, 0);
    fake_end_all();
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- events */

static struct sc_event_info seen;
static unsigned seen_n;
static void on_event(struct sc_event_info *info)
{
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    ck_assert(!kern_at_process_level());
    seen = *info;
    seen_n++;
}

START_TEST(test_AIX_27_event_rules)
{
    int mark;
    struct sc_event_struct ev = {
        .id = FAKE_ID, .mode = SC_IM_MODE, .async_func = on_event, .async_correlator = &mark};
    struct sc_event_struct bad = ev;

    fake_up(true, FAKE_INLINE);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET); /* nobody listens */
    ck_assert_int_eq(scio_user(SCIOEVENT, &ev), EPERM);
    bad.mode = SC_TM_MODE;
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&bad), EINVAL);
    bad = ev;
    bad.async_func = NULL;
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&bad), EINVAL);
    bad = ev;
    bad.id = 200;
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&bad), EINVAL);
    for (unsigned i = 0; i < sizeof(bad.reserved); i++) {
        bad = ev;
        bad.reserved[i] = 1;
        ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&bad), EINVAL);
    }
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), 0);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), EINVAL); /* once per session */
    seen_n = 0;
    ad_hw_event(fake.ad, AD_EV_FATAL);
    ck_assert_uint_eq(seen_n, 1);
    ck_assert_uint_eq(seen.events, SC_FATAL_HDW_ERR);
    ck_assert_ptr_eq(seen.async_correlator, &mark);
    ck_assert_uint_eq(seen.adap_devno, FAKE_DEVNO);
    ck_assert_uint_eq(seen.id, FAKE_ID);
    ck_assert_uint_eq(seen.lun, 0);
    ck_assert_uint_eq(seen.mode, SC_IM_MODE);
    ad_hw_event(fake.ad, AD_EV_CMD_FAILED);
    ck_assert_uint_eq(seen.events, SC_ADAP_CMD_FAILED);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ck_assert_uint_eq(seen.events, SC_SCSI_RESET_EVENT);
    ck_assert_uint_eq(seen_n, 3);
    /* The session ends: cancelled; a new one may register again. */
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ck_assert_uint_eq(seen_n, 3);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), EINVAL);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), 0);
    ck_assert_int_eq(fp_close(fake_fp), 0); /* close cancels as well */
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &fake_fp), 0);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    ck_assert_uint_eq(seen_n, 3);
    fake_down();
}
END_TEST

/* It belongs to the file that started the LUN: nobody else takes its place, nor is called later. */
START_TEST(test_AIX_27_events_are_the_owners)
{
    int mark;
    struct sc_event_struct ev = {
        .id = FAKE_ID, .mode = SC_IM_MODE, .async_func = on_event, .async_correlator = &mark};
    static struct req r;
    struct file *other = NULL;

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &other), 0);
    ck_assert_int_eq(fp_ioctl(other, SCIOEVENT, (intptr_t)&ev, 0), EINVAL);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), 0);
    seen_n = 0;
    ad_hw_event(fake.ad, AD_EV_FATAL);
    ck_assert_uint_eq(seen_n, 1);
    /* A chip that keeps a command: the close cannot stop the LUN, but cancels the event all the same. */
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    fake.bus_dead = true;
    req_init(&r);
    req_send(&r);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    seen_n = 0;
    ad_hw_event(fake.ad, AD_EV_FATAL);
    ck_assert_uint_eq(seen_n, 0);
    fake_end_all();
    fake_fp = other;
    fake_down();
}
END_TEST

static void event_beside_stop(struct shim_timer *t)
{
    (void)t;
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_STOPPING);
    ad_hw_event(fake.ad, AD_EV_BUS_RESET);
    fake_end_all();
}

/* Who has begun to stop is told nothing any more, long as it may take. */
START_TEST(test_AIX_27_no_event_while_stopping)
{
    struct sc_event_struct ev = {.id = FAKE_ID, .mode = SC_IM_MODE, .async_func = on_event};
    struct shim_timer t;
    struct req r;

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(scio(SCIOEVENT, (intptr_t)&ev), 0);
    req_init(&r);
    req_send(&r);
    seen_n = 0;
    shim_timer_init(&t, event_beside_stop, NULL);
    ck_assert_int_eq(shim_timer_arm(&t, shim_now_ns() + AD_NS_PER_MS), 0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(seen_n, 0);
    fake_down();
}
END_TEST

/* ---------------------------------------------------------------- commands */

START_TEST(test_AIX_25_inquiry_inline_pointer_and_user)
{
    struct sc_inquiry inq = {.scsi_id = FAKE_ID, .inquiry_len = 36};
    uint8_t out[255] = {0};

    fake_up(true, FAKE_INLINE);
    fake.data_in = "0123456789abcdef0123456789abcdefABCD";
    fake.data_in_bytes = 36;
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), 0);
    ck_assert_mem_eq(inq.inquiry_data, fake.data_in, 36);
    ck_assert_uint_eq(fake.cdb_last[0], 0x12);
    ck_assert_uint_eq(fake.cdb_last[1], 0);
    ck_assert_uint_eq(fake.cdb_last[4], 36);
    ck_assert_uint_eq(fake.cdb_last_len, 6);
    inq.inquiry_ptr = (uintptr_t)out;
    inq.inquiry_len = 255;
    inq.get_extd = 1;
    inq.code_page = 0x83;
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), 0); /* shorter than asked */
    ck_assert_mem_eq(out, fake.data_in, 36);
    ck_assert_uint_eq(out[36], 0);
    ck_assert_uint_eq(fake.cdb_last[1], 1);
    ck_assert_uint_eq(fake.cdb_last[2], 0x83);
    ck_assert_int_eq(scio_user(SCIOINQU, &inq), EFAULT); /* a pointer from outside */
    inq.inquiry_ptr = 0;
    memset(inq.inquiry_data, 0, sizeof(inq.inquiry_data));
    ck_assert_int_eq(scio_user(SCIOINQU, &inq), 0);
    ck_assert_mem_eq(inq.inquiry_data, fake.data_in, 36);
    ck_assert_int_eq(scio_user(SCIOINQU, NULL), EFAULT);
    inq.get_extd = 2;
    ck_assert_int_eq(scio(SCIOINQU, (intptr_t)&inq), EINVAL);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_errno_table_of_commands)
{
    static const struct {
        uint8_t result, status;
        int error;
    } rows[] = {
        {AD_RES_STATUS, SC_CHECK_CONDITION, EIO},
        {AD_RES_STATUS, SC_BUSY_STATUS, EIO},
        {AD_RES_SELECT_TIMEOUT, 0, ENODEV},
        {AD_RES_BUS_FAULT, 0, ENOCONNECT},
        {AD_RES_HW_FAILURE, 0, EIO},
        {AD_RES_BUS_RESET, 0, EIO},
    };
    struct sc_ready ready = {.scsi_id = FAKE_ID};
    struct sc_startunit su = {.scsi_id = FAKE_ID, .start_flag = 1, .timeout_value = 60};
    struct req r;

    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        fake_script(rows[i].result, rows[i].status, 0);
        ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), rows[i].error);
        ck_assert_uint_eq(ready.scsi_status, rows[i].status);
        ck_assert_uint_eq(ready.status_validity,
                          rows[i].result == AD_RES_STATUS ? SC_SCSI_ERROR : SC_ADAPTER_ERROR);
        /* A tool's error does not halt the queue of whoever uses the disk. */
        req_init(&r);
        req_expect(&r, 0);
        fake_check(fake_lun);
    }
    ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), 0);
    ck_assert_uint_eq(ready.status_validity, 0);
    ck_assert_int_eq(scio(SCIOSTUNIT, (intptr_t)&su), 0);
    ck_assert_uint_eq(fake.cdb_last[0], 0x1b);
    ck_assert_uint_eq(fake.cdb_last[1], 0);
    ck_assert_uint_eq(fake.cdb_last[4], 1);
    su.start_flag = 0;
    su.immed_flag = 1;
    ck_assert_int_eq(scio(SCIOSTUNIT, (intptr_t)&su), 0);
    ck_assert_uint_eq(fake.cdb_last[1], 1);
    ck_assert_uint_eq(fake.cdb_last[4], 0);
    su.start_flag = 2;
    ck_assert_int_eq(scio(SCIOSTUNIT, (intptr_t)&su), EINVAL);
    /* No answer at all. */
    fake.mode = FAKE_PEND;
    ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), ETIMEDOUT);
    /* Halted: the command is flushed; the caller sees EIO without a status. */
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_int_eq(scio(SCIOTUR, (intptr_t)&ready), EIO);
    ck_assert_uint_eq(ready.status_validity, 0);
    fake_down();
}
END_TEST

/* Every field of the simple ones, wrong one at a time: EINVAL, and nothing is sent. */
START_TEST(test_AIX_25_wrong_fields_are_EINVAL)
{
    const struct sc_inquiry inq = {.scsi_id = FAKE_ID, .inquiry_len = 36};
    const struct sc_startunit su = {.scsi_id = FAKE_ID};
    const struct sc_ready ready = {.scsi_id = FAKE_ID};
    static struct sc_readblk rb;

    fake_up(true, FAKE_INLINE);
#define wrong(type, cmd, from, member, value)                                                                \
    do {                                                                                                     \
        static type bad_;                                                                                    \
        bad_ = (from);                                                                                       \
        bad_.member = (value);                                                                               \
        ck_assert_int_eq(scio(cmd, (intptr_t)&bad_), EINVAL);                                                \
    } while (0)
    rb = (struct sc_readblk){.scsi_id = FAKE_ID, .blklen = 512};
    wrong(struct sc_inquiry, SCIOINQU, inq, flags, 1);
    wrong(struct sc_inquiry, SCIOINQU, inq, get_extd, 2);
    wrong(struct sc_inquiry, SCIOINQU, inq, lun_id, 9);
    wrong(struct sc_startunit, SCIOSTUNIT, su, flags, 1);
    wrong(struct sc_startunit, SCIOSTUNIT, su, start_flag, 2);
    wrong(struct sc_startunit, SCIOSTUNIT, su, immed_flag, 2);
    wrong(struct sc_startunit, SCIOSTUNIT, su, scsi_id, 9);
    wrong(struct sc_ready, SCIOTUR, ready, flags, 1);
    wrong(struct sc_ready, SCIOTUR, ready, lun_id, 1);
    wrong(struct sc_readblk, SCIOREAD, rb, flags, 1);
    wrong(struct sc_readblk, SCIOREAD, rb, blklen, 0);
    wrong(struct sc_readblk, SCIOREAD, rb, blklen, SCIOREAD_BYTES_MAX + 1);
    wrong(struct sc_readblk, SCIOREAD, rb, blk_no, 1u << 21);
    wrong(struct sc_readblk, SCIOREAD, rb, scsi_id, 9);
    wrong(struct sc_inquiry, SCIOINQU, inq, reserved[0], 1);
    wrong(struct sc_inquiry, SCIOINQU, inq, reserved[1], 0x80);
    wrong(struct sc_startunit, SCIOSTUNIT, su, reserved, 1);
    wrong(struct sc_ready, SCIOTUR, ready, reserved[0], 1);
    wrong(struct sc_ready, SCIOTUR, ready, reserved[2], 1);
    wrong(struct sc_readblk, SCIOREAD, rb, reserved, 1);
    wrong(struct sc_readblk, SCIOREAD, rb, reserved2, 1u << 31);
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_uint_eq(fake_stats().accepted, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_read_block)
{
    static struct sc_readblk rb;
    static uint8_t block[4096];
    static uint8_t out[4096];

    fake_up(true, FAKE_INLINE);
    memset(block, 0x5a, sizeof(block));
    fake.data_in = block;
    fake.data_in_bytes = sizeof(block);
    rb.scsi_id = FAKE_ID;
    rb.blklen = 4096;
    rb.blk_no = 0x12345;
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), 0);
    ck_assert_mem_eq(rb.data, block, 4096);
    ck_assert_mem_eq(fake.cdb_last, "\x08\x01\x23\x45\x01\x00", 6);
    rb.data_ptr = (uintptr_t)out;
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), 0);
    ck_assert_mem_eq(out, block, 4096);
    ck_assert_int_eq(scio_user(SCIOREAD, &rb), EFAULT);
    rb.data_ptr = 0;
    rb.blklen = 4097;
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), EINVAL);
    rb.blklen = 0;
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), EINVAL);
    rb.blklen = 512;
    rb.blk_no = 1u << 21;
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), EINVAL);
    rb.blk_no = 0;
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    ck_assert_int_eq(scio(SCIOREAD, (intptr_t)&rb), ENOMEM);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake_down();
}
END_TEST

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
    pt.scsi_cdb[0] = 0xa5;
}

START_TEST(test_AIX_25_pass_through_names_the_wrong_field)
{
    fake_up(true, FAKE_INLINE);
#define WRONG(field, value, number)                                                                          \
    do {                                                                                                     \
        pt_init();                                                                                           \
        pt.status_validity = pt.scsi_bus_status = pt.adapter_status = pt.sense_bytes =                       \
            2; /* an older call's */                                                                         \
        pt.field = value;                                                                                    \
        ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EINVAL);                                              \
        ck_assert_uint_eq(pt.einval_arg, number);                                                            \
        ck_assert_uint_eq(pt.status_validity | pt.scsi_bus_status | pt.adapter_status | pt.sense_bytes, 0);  \
        ck_assert_uint_eq(pt.residual, pt.data_length);                                                      \
    } while (0)
    WRONG(version, 2, 1);
    WRONG(q_tag_msg, 1, 6);
    WRONG(q_tag_msg, SC_ORDERED_Q + 1, 6);
    WRONG(q_flags, SC_Q_CLR, 7);
    WRONG(flags, 2, 8);
    WRONG(command_length, 11, 9);
    WRONG(autosense_length, 253, 10);
    WRONG(reserved, 1, 12);
    WRONG(scsi_id, 16, 13);
    WRONG(lun_id, 8, 14);
    WRONG(data_length, SC_PASSTHRU_INLINE + 1, SC_EINVAL_LENGTH);
    WRONG(reserved1, 1, 0);
    WRONG(reserved2[0], 1, 0);
    WRONG(reserved2[1], 1, 0);
    WRONG(reserved2[2], 1, 0);
    WRONG(q_flags, SC_Q_RESUME, 7); /* the queue runs */
    pt_init();
    pt.buffer = (uintptr_t)&pt;
    pt.data_length = (1u << 20) + 1;
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EINVAL);
    ck_assert_uint_eq(pt.einval_arg, SC_EINVAL_LENGTH);
    ck_assert_uint_eq(fake.starts, 0);
    fake_down();
}
END_TEST

/* Refused before it was sent: no field tells of the call before. */
START_TEST(test_AIX_25_pass_through_that_is_not_sent_leaves_no_old_answer)
{
    static uint8_t far[8192];

    fake_up(true, FAKE_INLINE);
    for (unsigned user = 0; user < 2; user++) {
        pt_init();
        pt.status_validity = pt.scsi_bus_status = pt.adapter_status = pt.adap_q_status = pt.sense_bytes = 2;
        pt.residual = 12345;
        pt.buffer = (uintptr_t)far;
        shim_fail_set(SHIM_FAIL_ALLOC, user ? 0 : 2,
                      false); /* the structure's memory is there, the data's not */
        ck_assert_int_eq(user ? scio_user(SCIOCMD, &pt) : scio(SCIOCMD, (intptr_t)&pt),
                         user ? EFAULT : ENOMEM);
        shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
        ck_assert_uint_eq(pt.status_validity | pt.scsi_bus_status | pt.adapter_status, 0);
        ck_assert_uint_eq(pt.adap_q_status | pt.sense_bytes, 0);
        ck_assert_uint_eq(pt.residual, 100);
    }
    ck_assert_uint_eq(fake.starts, 0);
    fake_down();
}
END_TEST

/* What is queued after an error is the owner's to run or to clear. */
START_TEST(test_AIX_22_nobody_else_resumes_a_queue)
{
    static const uint8_t flags[] = {SC_RESUME, SC_Q_RESUME, SC_RESUME | SC_Q_RESUME};
    static struct req r;
    struct file *other = NULL;

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &other), 0);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 0);
    req_init(&r);
    req_expect(&r, EIO);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    fake.starts = 0;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(flags); i++) {
        pt_init();
        pt.q_flags = flags[i];
        ck_assert_int_eq(fp_ioctl(other, SCIOCMD, (intptr_t)&pt, 0), EINVAL);
        ck_assert_uint_eq(pt.einval_arg, 7);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
    }
    ck_assert_uint_eq(fake.starts, 0);
    pt_init();
    pt.q_flags = SC_RESUME | SC_Q_RESUME;
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_RUN);
    pt_init();
    ck_assert_int_eq(fp_ioctl(other, SCIOCMD, (intptr_t)&pt, 0), 0); /* a plain command is for everybody */
    ck_assert_int_eq(fp_close(other), 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_pass_through_moves_data_and_fetches_sense)
{
    static uint8_t big[70000];
    struct req r;

    fake_up(true, FAKE_INLINE);
    fake.data_in = "some data";
    fake.data_in_bytes = 9;
    pt_init();
    ck_assert_int_eq(scio_user(SCIOCMD, &pt), 0);
    ck_assert_mem_eq(pt.data, "some data", 9);
    ck_assert_uint_eq(pt.residual, 91);
    ck_assert_uint_eq(fake.cdb_last[0], 0xa5);
    ck_assert_uint_eq(fake.cdb_last_len, 10);
    pt_init();
    pt.buffer = (uintptr_t)big;
    pt.data_length = sizeof(big);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), 0);
    ck_assert_mem_eq(big, "some data", 9);
    ck_assert_int_eq(scio_user(SCIOCMD, &pt), EFAULT);
    for (unsigned k = 1; k <= 2; k++) {
        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), ENOMEM);
        shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    }
    /* CHECK CONDITION: without autosense the status only, with it the sense bytes. */
    pt_init();
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    ck_assert_uint_eq(pt.status_validity, SC_SCSI_ERROR);
    ck_assert_uint_eq(pt.scsi_bus_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(pt.residual, 100);
    ck_assert_uint_eq(pt.sense_bytes, 0);
    pt_init();
    pt.autosense_length = 18;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    ck_assert_uint_eq(fake.cdb_last[0], 0x03);
    ck_assert_uint_eq(fake.cdb_last[4], 18);
    ck_assert_uint_eq(pt.sense_bytes, 9);
    ck_assert_mem_eq(pt.autosense, "some data", 9);
    ck_assert_uint_eq(pt.scsi_bus_status, SC_CHECK_CONDITION);
    /* The sense command fails too. */
    pt_init();
    pt.autosense_length = 18;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 18);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    ck_assert_uint_eq(pt.sense_bytes, 0);
    req_init(&r);
    req_expect(&r, 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

static struct req behind[3];
static unsigned behind_starts;
static void end_for_ioctl(struct shim_timer *t)
{
    if (fake.nkept > 0) {
        if (behind_starts == 0) { /* others arrive while the failing command is out */
            for (unsigned i = 0; i < 3; i++) {
                req_init(&behind[i]);
                req_send(&behind[i]);
            }
        }
        behind_starts++;
        fake_end(0);
    }
    (void)shim_timer_arm(t, shim_now_ns() + AD_NS_PER_MS);
}

START_TEST(test_AIX_20_sense_of_an_ioctl_comes_before_anything_queued)
{
    struct shim_timer t;

    fake_up(true, FAKE_PEND);
    shim_timer_init(&t, end_for_ioctl, NULL);
    (void)shim_timer_arm(&t, shim_now_ns() + AD_NS_PER_MS);
    behind_starts = 0;
    pt_init();
    pt.autosense_length = 18;
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    (void)shim_timer_cancel(&t);
    ck_assert_uint_eq(fake.qmsg[1], SC_NO_Q); /* the sense command is second */
    fake_end_all();
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(behind[i].done, 1);
        ck_assert_uint_eq(behind[i].sb.bufstruct.b_flags & B_ERROR, 0);
    }
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/*
 * A disk with a contingent allegiance: it does not go on with the older command before it has given
 * its sense data. `round` begins with one command that stays.
 */
static void end_sense_first(struct shim_timer *t)
{
    if (behind_starts == 0) {
        behind_starts = 1;
        ck_assert_uint_eq(fake.nkept, 2);
        fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
        fake_end(1);
        req_init(&behind[1]); /* must not pass the sense command, nor clear its data */
        req_send(&behind[1]);
        ck_assert_uint_eq(behind[1].done, 0);
    } else if (fake.nkept == 2 && fake.cdb_last[0] == 0x03) {
        ck_assert_uint_eq(fake.starts, 3);
        fake_end(1);
        fake_end_all();
        return;
    }
    (void)shim_timer_arm(t, shim_now_ns() + AD_NS_PER_MS);
}

START_TEST(test_AIX_20_NB_08_sense_of_an_ioctl_does_not_wait_for_the_commands_it_frees)
{
    struct shim_timer t;
    uint64_t since;

    fake_up(true, FAKE_PEND);
    req_init(&behind[0]);
    req_send(&behind[0]);
    behind_starts = 0;
    shim_timer_init(&t, end_sense_first, NULL);
    (void)shim_timer_arm(&t, shim_now_ns() + AD_NS_PER_MS);
    pt_init();
    pt.q_tag_msg = SC_SIMPLE_Q;
    pt.autosense_length = 18;
    since = shim_now_ns();
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    ck_assert_uint_lt(shim_now_ns() - since, 10 * AD_NS_PER_MS);
    ck_assert_uint_eq(pt.scsi_bus_status, SC_CHECK_CONDITION);
    ck_assert_uint_eq(pt.sense_bytes, 18);
    ck_assert_uint_eq(fake.aborts, 0);
    fake_end_all();
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(behind[i].done, 1);
        ck_assert_uint_eq(behind[i].sb.bufstruct.b_flags & B_ERROR, 0);
    }
    ck_assert_uint_eq(fake_lun->lun_holds, 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

/* The sense command itself finds no room, and is then flushed: the ioctl ends, and so does its hold. */
static void flush_sense(struct shim_timer *t)
{
    if (behind_starts == 0) {
        behind_starts = 1;
        fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
        fake.busy = 6;
        fake_end(1);
    } else if (fake.starts == 2 && fake.busy < 5) {
        fake_check(fake_lun);
        fake_script(behind_starts == 1 ? AD_RES_STATUS : AD_RES_BUS_FAULT, SC_CHECK_CONDITION, 512);
        fake_end(0); /* the disk's own command fails: the queue is kept, or cleared */
        return;
    }
    (void)shim_timer_arm(t, shim_now_ns() + AD_NS_PER_MS);
}

START_TEST(test_AIX_20_sense_of_an_ioctl_goes_back_with_the_queue)
{
    for (unsigned keeps = 0; keeps < 2; keeps++) {
        struct shim_timer t;
        uint64_t since;

        fake_up(keeps != 0, FAKE_PEND);
        since = shim_now_ns();
        req_init(&behind[0]);
        req_send(&behind[0]);
        behind_starts = 0;
        shim_timer_init(&t, flush_sense, NULL);
        (void)shim_timer_arm(&t, shim_now_ns() + AD_NS_PER_MS);
        pt_init();
        pt.q_tag_msg = SC_SIMPLE_Q;
        pt.autosense_length = 18;
        ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
        ck_assert_uint_eq(pt.sense_bytes, 0);
        ck_assert_uint_lt(shim_now_ns() - since, 100 * AD_NS_PER_MS); /* not by its timeout */
        ck_assert_uint_eq(behind[0].done, 1);
        ck_assert_uint_eq(fake_lun->lun_state, keeps ? AD_LUN_KEEP : AD_LUN_HALT);
        ck_assert_uint_eq(fake_lun->lun_holds, 0);
        fake_check(fake_lun);
        fake_down();
    }
}
END_TEST

/* While an ioctl's sense command is out the queue is kept, and its device driver begins to recover. */
static void recover_beside_sense(struct shim_timer *t)
{
    if (behind_starts == 0) {
        behind_starts = 1;
        fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 100);
        fake_end(1);
    } else if (fake.nkept == 2 && fake.cdb_last[0] == 0x03) {
        fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
        fake_end(0);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_KEEP);
        req_init(&behind[1]);
        behind[1].sb.q_tag_msg = SC_NO_Q;
        behind[1].sb.flags = SC_RESUME;
        req_send(&behind[1]);
        ck_assert_uint_eq(fake.nkept, 1); /* its slot is taken */
        fake_check(fake_lun);
        fake_end(0);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC); /* not done: it has only begun */
        ck_assert_uint_eq(fake.nkept, 1);
        fake_check(fake_lun);
        fake_end(0);
        ck_assert_uint_eq(behind[1].done, 1);
        ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_REC_DONE);
        return;
    }
    (void)shim_timer_arm(t, shim_now_ns() + AD_NS_PER_MS);
}

START_TEST(test_AIX_22_sense_of_an_ioctl_is_not_the_recovery)
{
    struct shim_timer t;

    fake_up(true, FAKE_PEND);
    req_init(&behind[0]);
    req_send(&behind[0]);
    behind_starts = 0;
    shim_timer_init(&t, recover_beside_sense, NULL);
    (void)shim_timer_arm(&t, shim_now_ns() + AD_NS_PER_MS);
    pt_init();
    pt.q_tag_msg = SC_SIMPLE_Q;
    pt.autosense_length = 18;
    ck_assert_int_eq(scio(SCIOCMD, (intptr_t)&pt), EIO);
    ck_assert_uint_eq(pt.sense_bytes, 18);
    ck_assert_uint_eq(fake_lun->lun_holds, 0);
    fake_check(fake_lun);
    fake_down();
}
END_TEST

START_TEST(test_AIX_16_every_user_copy_of_every_ioctl_can_fail)
{
    struct devinfo info;
    struct sc_inquiry inq = {.scsi_id = FAKE_ID, .inquiry_len = 36};
    struct sc_startunit su = {.scsi_id = FAKE_ID};
    struct sc_ready ready = {.scsi_id = FAKE_ID};
    static struct sc_readblk rb = {.scsi_id = FAKE_ID, .blklen = 512};
    struct sc_adapter_stats as;
    struct sc_lun_stats ls = {.id = FAKE_ID};
    struct {
        unsigned cmd;
        void *arg;
        unsigned copies;
    } rows[] = {{IOCINFO, &info, 1}, {SCIOINQU, &inq, 2}, {SCIOSTUNIT, &su, 1}, {SCIOTUR, &ready, 2},
                {SCIOREAD, &rb, 2},  {SCIOCMD, &pt, 2},   {SCIOSTAT, &as, 1},   {SCIOLUNSTAT, &ls, 2}};

    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++)
        for (unsigned k = 1; k <= rows[i].copies + 1; k++) {
            pt_init();
            shim_fail_set(SHIM_FAIL_COPY, k, false);
            ck_assert_int_eq(scio_user(rows[i].cmd, rows[i].arg), k <= rows[i].copies ? EFAULT : 0);
            shim_fail_set(SHIM_FAIL_COPY, 0, false);
            fake_check(fake_lun);
        }
    fake_down();
}
END_TEST

static Suite *ad_ioctl_suite(void)
{
    Suite *s = suite_create("ad_ioctl");
    TCase *life = tcase_create("life");
    TCase *halt = tcase_create("halt");
    TCase *commands = tcase_create("commands");

    tcase_add_test(life, test_AIX_25_nothing_but_IOCINFO_before_SCIOSTART);
    tcase_add_test(life, test_AIX_25_start_refuses_used_own_and_impossible_addresses);
    tcase_add_test(life, test_AIX_25_start_without_memory_is_EIO_and_stop_releases_everything);
    tcase_add_test(life, test_AIX_25_stop_waits_for_io_and_refuses_new);
    tcase_add_test(life, test_AIX_25_stop_flushes_a_kept_queue);
    tcase_add_test(life, test_AIX_25_stop_with_a_silent_device_aborts_and_a_dead_chip_times_out);
    tcase_add_test(halt, test_AIX_26_halt_ends_current_flushes_and_halts);
    tcase_add_test(halt, test_AIX_26_halt_of_a_hung_bus_climbs_to_reset);
    tcase_add_test(halt, test_AIX_26_reset_hits_every_lun_of_the_id_only);
    tcase_add_test(halt, test_AIX_27_event_rules);
    tcase_add_test(halt, test_AIX_27_events_are_the_owners);
    tcase_add_test(halt, test_AIX_27_no_event_while_stopping);
    tcase_add_test(commands, test_AIX_25_inquiry_inline_pointer_and_user);
    tcase_add_test(commands, test_AIX_25_errno_table_of_commands);
    tcase_add_test(commands, test_AIX_25_wrong_fields_are_EINVAL);
    tcase_add_test(commands, test_AIX_25_read_block);
    tcase_add_test(commands, test_AIX_25_pass_through_names_the_wrong_field);
    tcase_add_test(commands, test_AIX_25_pass_through_that_is_not_sent_leaves_no_old_answer);
    tcase_add_test(commands, test_AIX_25_pass_through_moves_data_and_fetches_sense);
    tcase_add_test(commands, test_AIX_22_nobody_else_resumes_a_queue);
    tcase_add_test(commands, test_AIX_20_sense_of_an_ioctl_comes_before_anything_queued);
    tcase_add_test(commands, test_AIX_20_NB_08_sense_of_an_ioctl_does_not_wait_for_the_commands_it_frees);
    tcase_add_test(commands, test_AIX_20_sense_of_an_ioctl_goes_back_with_the_queue);
    tcase_add_test(commands, test_AIX_22_sense_of_an_ioctl_is_not_the_recovery);
    tcase_add_test(commands, test_AIX_16_every_user_copy_of_every_ioctl_can_fail);
    suite_add_tcase(s, life);
    suite_add_tcase(s, halt);
    suite_add_tcase(s, commands);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_ioctl_suite(), argc, argv); }
