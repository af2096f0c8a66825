/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_resv_test.c - RESERVE and RELEASE, persistent reservations, between the adapter and a
 * second initiator.
 */
#include "sim_fixture.h"

static uint8_t data[512];

static void setup(void) { fx_begin(512, 1000); }

/* One command as one of the two initiators ("us" or "them"); returns its status. */
static unsigned as(bool them, const uint8_t *cdb, unsigned cdb_bytes, int dir, void *buf, size_t bytes)
{
    struct fx_cmd c;

    if (them)
        fx_run_other(&c, cdb, cdb_bytes, dir, buf, bytes);
    else
        fx_run(&c, cdb, cdb_bytes, dir, buf, bytes);
    return fx_status(&c);
}

static unsigned tur(bool them) { return as(them, (const uint8_t[6]){0}, 6, FX_IN, NULL, 0); }
static unsigned rd(bool them) { return as(them, (const uint8_t[10]){0x28, [8] = 1}, 10, FX_IN, data, 512); }
static unsigned wr(bool them) { return as(them, (const uint8_t[10]){0x2a, [8] = 1}, 10, FX_OUT, data, 512); }
static unsigned inq(bool them) { return as(them, (const uint8_t[6]){0x12, 0, 0, 0, 36}, 6, FX_IN, data, 36); }

static unsigned pr_out(bool them, unsigned action, unsigned type, uint64_t key, uint64_t action_key)
{
    uint8_t cdb[10] = {0x5f, (uint8_t)action, (uint8_t)type, [8] = 24};
    uint8_t list[24] = {0};

    scsi_put64(list, key);
    scsi_put64(list + 8, action_key);
    return as(them, cdb, 10, FX_OUT, list, sizeof(list));
}

static uint32_t pr_in(unsigned action)
{
    uint8_t cdb[10] = {0x5e, (uint8_t)action, [7] = 1};

    memset(data, 0, sizeof(data));
    ck_assert_uint_eq(as(false, cdb, 10, FX_IN, data, 256), SC_GOOD_STATUS);
    return scsi_get32(data + 4);
}

START_TEST(test_reserve_and_release)
{
    static const uint8_t reserve6[6] = {0x16}, release6[6] = {0x17}, reserve10[10] = {0x56},
                         release10[10] = {0x57};

    ck_assert_uint_eq(as(false, reserve6, 6, FX_IN, NULL, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(as(false, reserve10, 10, FX_IN, NULL, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(wr(false), SC_GOOD_STATUS);
    ck_assert_uint_eq(as(true, reserve6, 6, FX_IN, NULL, 0), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(tur(true), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(rd(true), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(inq(true), SC_GOOD_STATUS);
    /* Release by somebody else is no error and does nothing. */
    ck_assert_uint_eq(as(true, release10, 10, FX_IN, NULL, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(rd(true), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(as(false, release6, 6, FX_IN, NULL, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(rd(true), SC_GOOD_STATUS);
    /* And the other way round: now our hot path has to notice. */
    ck_assert_uint_eq(as(true, reserve10, 10, FX_IN, NULL, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(rd(false), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(wr(false), SC_RESERVATION_CONFLICT);
    /* A reset ends it. */
    ck_assert_int_eq(sim_hw_ops.reset_bus(fx_bus), 0);
    ck_assert_uint_eq(fx_sense().ascq, SCSI_ASCQ_BUS_RESET);
    ck_assert_uint_eq(rd(false), SC_GOOD_STATUS);
}
END_TEST

/* Who may do what under each type: the holder, a registered initiator, a stranger. */
START_TEST(test_persistent_types)
{
    static const struct {
        uint8_t type, stranger_reads, stranger_writes, registrant_reads, registrant_writes;
    } row[] = {{1, 1, 0, 1, 0}, {3, 0, 0, 0, 0}, {5, 1, 0, 1, 1},
               {6, 0, 0, 1, 1}, {7, 1, 0, 1, 1}, {8, 0, 0, 1, 1}};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(row); i++) {
        unsigned no = SC_RESERVATION_CONFLICT;

        ck_assert_uint_eq(pr_out(false, 0, 0, 0, 0xaa), SC_GOOD_STATUS);
        ck_assert_uint_eq(pr_out(false, 1, row[i].type, 0xaa, 0), SC_GOOD_STATUS);
        ck_assert_uint_eq(rd(false), SC_GOOD_STATUS);
        ck_assert_uint_eq(wr(false), SC_GOOD_STATUS);
        ck_assert_uint_eq(rd(true), row[i].stranger_reads ? SC_GOOD_STATUS : no);
        ck_assert_uint_eq(wr(true), row[i].stranger_writes ? SC_GOOD_STATUS : no);
        ck_assert_uint_eq(tur(true), SC_GOOD_STATUS);
        ck_assert_uint_eq(inq(true), SC_GOOD_STATUS);
        ck_assert_uint_eq(pr_out(true, 0, 0, 0, 0xbb), SC_GOOD_STATUS);
        ck_assert_uint_eq(rd(true), row[i].registrant_reads ? SC_GOOD_STATUS : no);
        ck_assert_uint_eq(wr(true), row[i].registrant_writes ? SC_GOOD_STATUS : no);
        ck_assert_uint_eq(pr_out(false, 3, 0, 0xaa, 0), SC_GOOD_STATUS); /* CLEAR */
        ck_assert_uint_eq(tur(true), SC_CHECK_CONDITION);
        ck_assert_uint_eq(fx_sense_as(true, NULL).ascq, SCSI_ASCQ_RESERVE_PREEMPTED);
    }
}
END_TEST

START_TEST(test_persistent_reports)
{
    ck_assert_uint_eq(pr_in(0), 0);
    ck_assert_uint_eq(pr_in(1), 0);
    pr_out(false, 0, 0, 0, 0x1122334455667788);
    pr_out(true, 6, 0, 0x99, 0xbb); /* REGISTER AND IGNORE EXISTING KEY */
    ck_assert_uint_eq(pr_in(0), 16);
    ck_assert_uint_eq(scsi_get32(data), 2);
    ck_assert_uint_eq(scsi_get64(data + 8), 0x1122334455667788);
    ck_assert_uint_eq(scsi_get64(data + 16), 0xbb);
    pr_out(false, 1, 5, 0x1122334455667788, 0);
    ck_assert_uint_eq(pr_in(1), 16);
    ck_assert_uint_eq(scsi_get64(data + 8), 0x1122334455667788);
    ck_assert_uint_eq(data[21], 5);
    ck_assert_uint_eq(pr_in(3), 96);
    ck_assert_uint_eq(data[20], 1);
    ck_assert_uint_eq(scsi_get16(data + 8 + 26), 7);
    pr_in(2);
    ck_assert_uint_eq(scsi_get16(data), 8);
}
END_TEST

START_TEST(test_persistent_rules)
{
    unsigned conflict = SC_RESERVATION_CONFLICT;
    static const uint8_t reserve[6] = {0x16};

    /* Not registered, wrong key. */
    ck_assert_uint_eq(pr_out(false, 1, 1, 0xaa, 0), conflict);
    ck_assert_uint_eq(pr_out(false, 0, 0, 0xaa, 0xaa), conflict);
    ck_assert_uint_eq(pr_out(false, 0, 0, 0, 0xaa), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 1, 1, 0xab, 0), conflict);
    ck_assert_uint_eq(as(false, reserve, 6, FX_IN, NULL, 0), conflict);
    /* A new key replaces the old one. */
    ck_assert_uint_eq(pr_out(false, 0, 0, 0xaa, 0xac), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 1, 1, 0xac, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 1, 1, 0xac, 0), SC_GOOD_STATUS); /* the same again */
    ck_assert_uint_eq(pr_out(false, 1, 3, 0xac, 0), conflict);
    pr_out(true, 0, 0, 0, 0xbb);
    ck_assert_uint_eq(pr_out(true, 1, 1, 0xbb, 0), conflict);
    /* Releasing somebody else's does nothing; the wrong type of one's own is an error. */
    ck_assert_uint_eq(pr_out(true, 2, 1, 0xbb, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(wr(true), conflict);
    ck_assert_uint_eq(pr_out(false, 2, 3, 0xac, 0), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense().ascq, SCSI_ASCQ_INVALID_RELEASE);
    ck_assert_uint_eq(pr_out(false, 2, 1, 0xac, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(wr(true), SC_GOOD_STATUS);
    /* Unregistering the holder ends the reservation; registrants are told. */
    ck_assert_uint_eq(pr_out(false, 1, 5, 0xac, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 0, 0, 0xac, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(tur(true), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense_as(true, NULL).ascq, SCSI_ASCQ_RESERVE_RELEASED);
    ck_assert_uint_eq(pr_in(1), 0);
}
END_TEST

START_TEST(test_persistent_preempt)
{
    pr_out(false, 0, 0, 0, 0xaa);
    pr_out(true, 0, 0, 0, 0xbb);
    pr_out(false, 1, 3, 0xaa, 0);
    ck_assert_uint_eq(rd(true), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(pr_out(true, 4, 1, 0xbb, 0xcc), SC_RESERVATION_CONFLICT); /* nobody has that key */
    ck_assert_uint_eq(pr_out(true, 4, 1, 0xbb, 0xaa), SC_GOOD_STATUS);
    /* They hold it now, we are out and have been told. */
    ck_assert_uint_eq(wr(true), SC_GOOD_STATUS);
    ck_assert_uint_eq(tur(false), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense().ascq, SCSI_ASCQ_REGISTER_PREEMPTED);
    ck_assert_uint_eq(wr(false), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(rd(false), SC_GOOD_STATUS);
    /* Persistent: a reset changes nothing. */
    ck_assert_int_eq(sim_hw_ops.reset_bus(fx_bus), 0);
    fx_sense();
    ck_assert_uint_eq(wr(false), SC_RESERVATION_CONFLICT);
    pr_out(false, 0, 0, 0, 0xaa);
    ck_assert_uint_eq(pr_out(false, 5, 8, 0xaa, 0xbb), SC_GOOD_STATUS); /* PREEMPT AND ABORT */
    ck_assert_uint_eq(wr(false), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(1), 16);
    ck_assert_uint_eq(data[21], 8);
    ck_assert_uint_eq(scsi_get64(data + 8), 0); /* all registrants: no key */
}
END_TEST

/* All-registrants reservations: ended by the last one to go, taken over with key 0. */
START_TEST(test_persistent_all_registrants)
{
    uint32_t generation;

    pr_out(false, 0, 0, 0, 0xaa);
    pr_out(true, 0, 0, 0, 0xbb);
    ck_assert_uint_eq(pr_out(false, 4, 1, 0xaa, 0), SC_CHECK_CONDITION); /* nothing is reserved */
    ck_assert_uint_eq(fx_sense().asc, SCSI_ASC_PARAMETER_FIELD);
    ck_assert_uint_eq(pr_out(false, 1, 7, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 0, 0, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(1), 16); /* the other one still holds it */
    ck_assert_uint_eq(wr(false), SC_RESERVATION_CONFLICT);
    pr_out(false, 0, 0, 0, 0xaa);
    ck_assert_uint_eq(pr_out(false, 4, 3, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(tur(true), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense_as(true, NULL).ascq, SCSI_ASCQ_REGISTER_PREEMPTED);
    ck_assert_uint_eq(rd(true), SC_RESERVATION_CONFLICT);
    ck_assert_uint_eq(pr_in(0), 8);
    /* One's own key as the victim of a reservation nobody holds: unregisters oneself. */
    ck_assert_uint_eq(pr_out(false, 2, 3, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 4, 3, 0xaa, 0xaa), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(0), 0);
    /* Unregistering when not registered is nothing, and no new generation. */
    generation = scsi_get32(data);
    ck_assert_uint_eq(pr_out(false, 0, 0, 0, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(0), 0);
    ck_assert_uint_eq(scsi_get32(data), generation);
    /* The last registration takes the reservation with it. */
    pr_out(false, 0, 0, 0, 0xaa);
    ck_assert_uint_eq(pr_out(false, 1, 8, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(1), 16);
    ck_assert_uint_eq(pr_out(false, 0, 0, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(1), 0);
    ck_assert_uint_eq(rd(true), SC_GOOD_STATUS);
    /* The holder who preempts its own key changes the type and stays registered. */
    pr_out(false, 0, 0, 0, 0xaa);
    ck_assert_uint_eq(pr_out(false, 1, 1, 0xaa, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_out(false, 4, 3, 0xaa, 0xaa), SC_GOOD_STATUS);
    ck_assert_uint_eq(pr_in(0), 8);
    ck_assert_uint_eq(pr_in(1), 16);
    ck_assert_uint_eq(data[21], 3);
}
END_TEST

START_TEST(test_persistent_table)
{
    static const struct fx_row rows[] = {
        {"type 2", {0x5f, 1, 0x02, [8] = 24}, 10, FX_OUT, 24, FX_BAD_CDB},
        {"type 9", {0x5f, 1, 0x09, [8] = 24}, 10, FX_OUT, 24, FX_BAD_CDB},
        {"scope 1", {0x5f, 1, 0x11, [8] = 24}, 10, FX_OUT, 24, FX_BAD_CDB},
        {"list of 23", {0x5f, 0, 0, [8] = 23}, 10, FX_OUT, 23, FX_BAD_LENGTH},
        {"list of 28", {0x5f, 0, 0, [8] = 28}, 10, FX_OUT, 28, FX_BAD_LENGTH},
        {"data of 20", {0x5f, 0, 0, [8] = 24}, 10, FX_OUT, 20, FX_BAD_PHASE, 20},
        {"action 7", {0x5f, 7, 0, [8] = 24}, 10, FX_OUT, 24, FX_BAD_CDB},
        {"in: action 4", {0x5e, 4, [8] = 24}, 10, FX_IN, 24, FX_BAD_CDB},
        {"third-party RESERVE", {0x16, 0x10}, 6, FX_IN, 0, FX_BAD_CDB},
    };
    static const uint8_t aptpl[10] = {0x5f, 0, 0, [8] = 24};

    memset(data, 0, sizeof(data));
    FX_ROWS(rows, data);
    memset(data, 0, sizeof(data));
    data[20] = 1;
    ck_assert_uint_eq(as(false, aptpl, 10, FX_OUT, data, 24), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense().asc, SCSI_ASC_PARAMETER_FIELD);
}
END_TEST

/* One PERSISTENT RESERVE OUT as initiator `who`; 0 is the adapter. */
static unsigned out_as(unsigned who, unsigned action, unsigned type, uint64_t key, uint64_t action_key)
{
    uint8_t cdb[10] = {0x5f, (uint8_t)action, (uint8_t)type, [8] = 24}, list[24] = {0};
    struct fx_cmd c;

    scsi_put64(list, key);
    scsi_put64(list + 8, action_key);
    fx_prepare(&c, cdb, 10, FX_OUT, list, sizeof(list));
    if (who)
        sim_disk_initiator(fx_disk, who, &c.x);
    else
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
    fx_release(&c);
    return fx_status(&c);
}

/* What initiator `who` is told next: asc and ascq of a unit attention, 0 for nothing. */
static unsigned told(unsigned who)
{
    uint8_t sense[18] = {0};
    struct fx_cmd c;

    fx_prepare(&c, (const uint8_t[6]){0x03, [4] = 18}, 6, FX_IN, sense, sizeof(sense));
    if (who)
        sim_disk_initiator(fx_disk, who, &c.x);
    else
        ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
    fx_release(&c);
    ck_assert(sense[2] == (sense[12] ? SCSI_KEY_ATTENTION : 0));
    return sense[12] * 256u + sense[13];
}

/* Who is told what when reservations and registrations go. */
START_TEST(test_attentions_of_reservations)
{
    for (unsigned who = 1; who < SIM_INITIATORS; who++) {
        told(who); /* power on */
        ck_assert_uint_eq(out_as(who, 0, 0, 0, who + 1), SC_GOOD_STATUS);
    }
    ck_assert_uint_eq(out_as(0, 0, 0, 0, 1), SC_GOOD_STATUS);
    /* Released: the others, when the type is one for registrants. */
    ck_assert_uint_eq(out_as(1, 1, 1, 2, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(out_as(1, 2, 1, 2, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(told(0) + told(2) + told(3), 0);
    ck_assert_uint_eq(out_as(1, 1, 5, 2, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(out_as(1, 2, 5, 2, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(told(0), 0x2a04);
    ck_assert_uint_eq(told(1), 0);
    ck_assert_uint_eq(told(2), 0x2a04);
    ck_assert_uint_eq(told(3), 0x2a04);
    /* Preempted with another type: the victim, and those who stay. */
    ck_assert_uint_eq(out_as(1, 1, 5, 2, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(out_as(2, 4, 6, 3, 2), SC_GOOD_STATUS);
    ck_assert_uint_eq(told(0), 0x2a04);
    ck_assert_uint_eq(told(1), 0x2a05);
    ck_assert_uint_eq(told(2), 0);
    ck_assert_uint_eq(told(3), 0x2a04);
    /* With the same type the victim alone. */
    ck_assert_uint_eq(out_as(3, 4, 6, 4, 3), SC_GOOD_STATUS);
    ck_assert_uint_eq(told(0), 0);
    ck_assert_uint_eq(told(2), 0x2a05);
    /* The holder takes its registration back. */
    ck_assert_uint_eq(out_as(3, 0, 0, 4, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(told(0), 0x2a04);
    /* Cleared. */
    ck_assert_uint_eq(out_as(2, 0, 0, 0, 3), SC_GOOD_STATUS);
    ck_assert_uint_eq(out_as(2, 3, 0, 3, 0), SC_GOOD_STATUS);
    ck_assert_uint_eq(told(0), 0x2a03);
    ck_assert_uint_eq(told(2) + told(3), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_cmd_resv");
    TCase *t = tcase_create("reservations");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_reserve_and_release);
    tcase_add_test(t, test_persistent_types);
    tcase_add_test(t, test_persistent_reports);
    tcase_add_test(t, test_persistent_rules);
    tcase_add_test(t, test_persistent_preempt);
    tcase_add_test(t, test_persistent_all_registrants);
    tcase_add_test(t, test_persistent_table);
    tcase_add_test(t, test_attentions_of_reservations);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
