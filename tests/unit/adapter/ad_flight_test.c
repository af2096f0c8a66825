/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_flight_test.c - the flight recorder of a LUN: halts, kept queues and how long they stood, the
 * ladder of a command that does not come back, and who may read it.
 */
#include "ad_fake.h"

static struct req r[4];
static struct sc_flight flight;

/* What FAKE_ID holds; returns the number of the newest. */
static uint64_t look(void)
{
    memset(&flight, 0, sizeof(flight));
    flight.id = FAKE_ID;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOFLIGHT, (intptr_t)&flight, 0), 0);
    ck_assert_uint_eq(flight.id, FAKE_ID);
    return flight.seq;
}

static const struct sc_flight_rec *record(uint64_t seq)
{
    const struct sc_flight_rec *rec = &flight.rec[(seq - 1) % SC_FLIGHT_RECORDS];

    ck_assert_uint_eq(rec->seq, seq);
    return rec;
}

static void says(uint64_t seq, unsigned what, const char *rule, const char *did, uint64_t took_ns)
{
    ck_assert_uint_eq(record(seq)->what, what);
    ck_assert_str_eq(record(seq)->rule, rule);
    ck_assert_str_eq(record(seq)->did, did);
    ck_assert_uint_eq(record(seq)->took_ns, took_ns);
}

START_TEST(test_a_halted_queue_and_how_long_it_stood)
{
    uint64_t began;

    fake_up(false, FAKE_PEND);
    ck_assert_uint_eq(look(), 0); /* starting a LUN is nothing to tell */
    req_init(&r[0]);
    req_send(&r[0]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    began = shim_now_ns();
    fake_end(0);
    shim_delay_ns(3 * AD_NS_PER_MS);
    req_init(&r[1]);
    r[1].sb.flags = SC_RESUME;
    req_send(&r[1]);
    fake_end_all();
    ck_assert_uint_eq(look(), 2);
    says(1, SC_FLIGHT_STATE, "running", "halted", 0);
    ck_assert_uint_eq(record(1)->when_ns, began);
    says(2, SC_FLIGHT_STATE, "halted", "running", shim_now_ns() - began);
    ck_assert_uint_ge(record(2)->took_ns, 3 * AD_NS_PER_MS);
    ck_assert_uint_eq(record(1)->episode, record(2)->episode);
    fake_down();
}
END_TEST

START_TEST(test_a_kept_queue)
{
    fake_up(true, FAKE_PEND);
    req_init(&r[0]);
    req_send(&r[0]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    shim_delay_ns(2 * AD_NS_PER_MS);
    req_init(&r[1]);
    r[1].sb.flags = SC_RESUME;
    r[1].sb.q_tag_msg = SC_NO_Q;
    req_send(&r[1]);
    fake_end_all();
    req_init(&r[2]);
    r[2].sb.flags = SC_Q_RESUME;
    r[2].sb.scsi_command.scsi_length = 0;
    r[2].sb.bufstruct.b_bcount = 0;
    r[2].sb.bufstruct.b_un.b_addr = NULL;
    req_send(&r[2]);
    ck_assert_uint_eq(look(), 2); /* the recovery commands between are the device driver's to tell */
    says(1, SC_FLIGHT_STATE, "running", "queue kept", 0);
    says(2, SC_FLIGHT_STATE, "recovered", "running", shim_now_ns() - record(1)->when_ns);
    ck_assert_uint_ge(record(2)->took_ns, 2 * AD_NS_PER_MS);
    fake_down();
}
END_TEST

/* A kept queue that somebody halts: it is told that it will not go on where it stood. */
START_TEST(test_a_kept_queue_is_halted)
{
    fake_up(true, FAKE_PEND);
    req_init(&r[0]);
    req_send(&r[0]);
    fake_script(AD_RES_STATUS, SC_CHECK_CONDITION, 512);
    fake_end(0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(look(), 2);
    says(1, SC_FLIGHT_STATE, "running", "queue kept", 0);
    says(2, SC_FLIGHT_STATE, "queue kept", "halted", record(2)->when_ns - record(1)->when_ns);
    fake_down();
}
END_TEST

/* A command the chip keeps whatever is tried: each rung after its time. */
START_TEST(test_the_ladder)
{
    static const char *const told[][2] = {
        {"command timeout", "abort"},       {"not back from abort", "recovery"},
        {"still not back", "target reset"}, {"still not back", "bus reset"},
        {"still not back", "bus reset"},    {"still not back", "bus reset"}};
    const uint64_t round = AD_STAGE_NS + 250 * AD_NS_PER_MS; /* and it settles */
    const uint64_t took[] = {10 * AD_NS_PER_S, AD_STAGE_NS, 0, round, round, AD_LOST_NS};
    uint64_t when;

    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    fake.bus_dead = true;
    req_init(&r[0]);
    r[0].sb.timeout_value = 10;
    r[0].sb.scsi_command.scsi_cmd.scsi_op_code = 0x08;
    when = shim_now_ns();
    req_send(&r[0]);
    shim_det_run(when + 90 * AD_NS_PER_S);
    ck_assert_uint_eq(look(), SC_ARRAY_SIZE(told));
    for (unsigned i = 0; i < SC_ARRAY_SIZE(told); i++) {
        when += took[i];
        says(i + 1, SC_FLIGHT_LATE, told[i][0], told[i][1], i < 2 ? took[i] : 0);
        ck_assert_uint_eq(record(i + 1)->when_ns, when);
    }
    ck_assert_uint_eq(record(1)->opcode, 0x08);
    ck_assert_uint_eq(record(1)->read, 1);
    fake_script(AD_RES_ABORTED, 0, 512);
    fake_end(0);
    ck_assert_uint_eq(r[0].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_who_may_read_it)
{
    fake_up(true, FAKE_PEND);
    memset(&flight, 0, sizeof(flight));
    flight.id = FAKE_ID;
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOFLIGHT, (intptr_t)&flight, 0, DREAD), 0); /* anybody */
    flight.reserved[5] = 1;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOFLIGHT, (intptr_t)&flight, 0), EINVAL);
    flight.reserved[5] = 0;
    flight.lun = 7;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOFLIGHT, (intptr_t)&flight, 0), EINVAL); /* never started */
    flight.lun = 255;
    flight.id = 255;
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOFLIGHT, (intptr_t)&flight, 0), EINVAL);
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOFLIGHT, 0, 0, DREAD), EFAULT);
    fake_down();
}
END_TEST

static Suite *flight_suite(void)
{
    Suite *s = suite_create("ad_flight");
    TCase *t = tcase_create("flight");

    tcase_add_test(t, test_a_halted_queue_and_how_long_it_stood);
    tcase_add_test(t, test_a_kept_queue);
    tcase_add_test(t, test_a_kept_queue_is_halted);
    tcase_add_test(t, test_the_ladder);
    tcase_add_test(t, test_who_may_read_it);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(flight_suite(), argc, argv); }
