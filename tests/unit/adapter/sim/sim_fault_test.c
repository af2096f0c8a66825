/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_fault_test.c - injected misbehaviour: what matches, what strikes how often, what each action does.
 */
#include "sim_fixture.h"

static uint8_t data[8192];
static const uint8_t rd8[10] = {0x28, 0, 0, 0, 0, 100, 0, 0, 8}; /* blocks 100..107 */

static void setup(void)
{
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 100, 0, 0, 8};
    struct fx_cmd c;

    fx_begin(512, 4096);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(1 + i / 512);
    fx_run(&c, wr, 10, FX_OUT, data, 4096);
}

static struct sim_fault rule(int opcode, enum sim_fault_action action)
{
    return (struct sim_fault){.f_opcode = opcode, .f_lba_last = UINT64_MAX, .f_action = action};
}

static uint64_t hits(unsigned i)
{
    struct sim_fault f;

    ck_assert(sim_fault_get(fx_disk, i, &f));
    return f.f_hits;
}

static unsigned run_status(const uint8_t *cdb, unsigned cdb_bytes, int dir, size_t bytes)
{
    struct fx_cmd c;

    fx_run(&c, cdb, cdb_bytes, dir, data, bytes);
    return fx_status(&c);
}

START_TEST(test_actions_of_the_path)
{
    static const struct {
        enum sim_fault_action action;
        uint8_t result, status;
    } row[] = {{SIM_FAULT_BUSY, AD_RES_STATUS, SC_BUSY_STATUS},
               {SIM_FAULT_QUEUE_FULL, AD_RES_STATUS, SC_QUEUE_FULL},
               {SIM_FAULT_RESERVED, AD_RES_STATUS, SC_RESERVATION_CONFLICT},
               {SIM_FAULT_NO_RESPONSE, AD_RES_SELECT_TIMEOUT, 0},
               {SIM_FAULT_BUS_FAULT, AD_RES_BUS_FAULT, 0},
               {SIM_FAULT_BUS_RESET, AD_RES_BUS_RESET, 0},
               {SIM_FAULT_HW_FAILURE, AD_RES_HW_FAILURE, 0}};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(row); i++) {
        struct sim_fault f = rule(SIM_OPCODE_ANY, row[i].action);
        struct fx_cmd c;

        f.f_count = 1;
        ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
        fx_run(&c, rd8, 10, FX_IN, data, 4096);
        ck_assert_uint_eq(c.x.xfer_result, row[i].result);
        ck_assert_uint_eq(c.x.xfer_scsi_status, row[i].status);
        ck_assert_uint_eq(c.x.xfer_resid, 4096);
        ck_assert_uint_eq(hits(0), 1);
        sim_fault_clear(fx_disk);
        fx_sense();
        ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_GOOD_STATUS);
    }
    ck_assert_uint_eq(fx_event_count, 1);
    ck_assert_int_eq(fx_event_last, AD_EV_BUS_RESET);
}
END_TEST

/* Skip three, strike two, then never again; only commands that match are counted. */
START_TEST(test_skip_and_count_are_exact)
{
    static const uint8_t tur[6] = {0};
    struct sim_fault f = rule(0x28, SIM_FAULT_BUSY);

    f.f_skip = 3;
    f.f_count = 2;
    ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_eq(run_status(tur, 6, FX_IN, 0), SC_GOOD_STATUS);
        ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096),
                          i == 3 || i == 4 ? SC_BUSY_STATUS : SC_GOOD_STATUS);
    }
    ck_assert_uint_eq(hits(0), 2);
    sim_fault_clear(fx_disk);
    f.f_skip = 0;
    f.f_count = 0;
    sim_fault_add(fx_disk, &f);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_BUSY_STATUS);
    ck_assert_uint_eq(hits(0), 10);
}
END_TEST

/* One lets so many pass, the other strikes the third, the sixth ...; count ends both. */
START_TEST(test_every_counts_after_skip)
{
    struct sim_fault f = rule(0x28, SIM_FAULT_BUSY);

    f.f_skip = 2;
    f.f_every = 3;
    f.f_count = 3;
    ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_msg((run_status(rd8, 10, FX_IN, 4096) == SC_BUSY_STATUS) == (i == 4 || i == 7 || i == 10),
                      "command %u", i);
    ck_assert_uint_eq(hits(0), 3);
}
END_TEST

/* Send a READ every 100 us of the virtual clock; which were struck, as a hash, and how many. */
static unsigned rate_run(struct sim_fault *f, unsigned commands, uint64_t *pattern)
{
    unsigned struck = 0, apart = UINT32_MAX, last = 0;

    *pattern = 0;
    sim_fault_clear(fx_disk);
    ck_assert_int_eq(sim_fault_add(fx_disk, f), 0);
    for (unsigned i = 1; i <= commands; i++) {
        shim_delay_ns(100000);
        if (run_status(rd8, 10, FX_IN, 4096) != SC_QUEUE_FULL)
            continue;
        apart = struck && i - last < apart ? i - last : apart;
        last = i;
        struck++;
        *pattern = *pattern * 1099511628211u + i;
    }
    ck_assert_uint_eq(hits(0), struck);
    ck_assert_uint_ge(apart, 1000); /* half of 200 ms */
    return struck;
}

/* Five a second on average, never in a burst, the same ones for the same seed. */
START_TEST(test_rate_is_per_second_and_replays)
{
    struct sim_fault f = rule(SIM_OPCODE_DATA, SIM_FAULT_QUEUE_FULL);
    uint64_t a, b, c;
    unsigned n;

    f.f_interval_ns = 200000000;
    f.f_seed = 1;
    n = rate_run(&f, 200000, &a);
    ck_assert_msg(n >= 90 && n <= 110, "%u strikes in 20 s", n);
    ck_assert_uint_eq(rate_run(&f, 200000, &b), n);
    ck_assert_uint_eq(a, b);
    f.f_seed = 2;
    rate_run(&f, 200000, &c);
    ck_assert_uint_ne(a, c);
    /* After ten idle seconds one command is struck, not fifty. */
    shim_delay_ns(10000000000u);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_QUEUE_FULL);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_GOOD_STATUS);
    f.f_interval_ns = UINT64_MAX;
    ck_assert_int_lt(sim_fault_add(fx_disk, &f), 0);
}
END_TEST

/* What a driver sends of its own accord is not its business. */
START_TEST(test_data_rules_leave_other_commands_alone)
{
    static const uint8_t own[][10] = {{0x00}, {0x03, 0, 0, 0, 252}, {0x12, 0, 0, 0, 36}, {0x16}, {0x17},
                                      {0x35}};
    static const uint8_t bytes[] = {0, 252, 36, 0, 0, 0};
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 100, 0, 0, 8};
    struct sim_fault f = rule(SIM_OPCODE_DATA, SIM_FAULT_BUSY);

    ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(own); i++)
        ck_assert_msg(run_status(own[i], own[i][0] < 0x20 ? 6 : 10, FX_IN, bytes[i]) == SC_GOOD_STATUS,
                      "opcode %02x", own[i][0]);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_BUSY_STATUS);
    ck_assert_uint_eq(run_status(wr, 10, FX_OUT, 4096), SC_BUSY_STATUS);
    ck_assert_uint_eq(hits(0), 2);
    ck_assert_uint_eq(sim_disk_blocks(fx_disk), 4096);
}
END_TEST

START_TEST(test_matching)
{
    static const struct {
        int opcode;
        uint64_t first, last;
        uint8_t read8, read0, write, verify, inquiry;
    } row[] = {
        /*                                            READ 100..107, READ 0, WRITE 100, VERIFY, INQUIRY */
        {SIM_OPCODE_ANY, 0, UINT64_MAX, 1, 1, 1, 1, 1},
        {SIM_OPCODE_DATA, 0, UINT64_MAX, 1, 1, 1, 0, 0},
        {SIM_OPCODE_READS, 0, UINT64_MAX, 1, 1, 0, 0, 0},
        {SIM_OPCODE_WRITES, 0, UINT64_MAX, 0, 0, 1, 0, 0},
        {0x28, 0, UINT64_MAX, 1, 0, 0, 0, 0},
        {SIM_OPCODE_ANY, 107, 200, 1, 0, 0, 0, 0},
        {SIM_OPCODE_ANY, 108, UINT64_MAX, 0, 0, 0, 0, 0},
        {SIM_OPCODE_ANY, 0, 100, 1, 1, 1, 1, 0},
        {SIM_OPCODE_ANY, 1, 99, 0, 0, 0, 0, 0},
        {0x2f, 100, 100, 0, 0, 0, 1, 0},
        {0x12, 0, UINT64_MAX, 0, 0, 0, 0, 1},
    };
    static const uint8_t rd0[6] = {0x08, 0, 0, 0, 1}, wr[16] = {0x8a, [9] = 100, [13] = 1};
    static const uint8_t vf[10] = {0x2f, 0, 0, 0, 0, 100, 0, 0, 1}, inq[6] = {0x12, 0, 0, 0, 36};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(row); i++) {
        struct sim_fault f = rule(row[i].opcode, SIM_FAULT_BUSY);
        unsigned want[] = {row[i].read8, row[i].read0, row[i].write, row[i].verify, row[i].inquiry};
        unsigned got[5];

        f.f_lba_first = row[i].first;
        f.f_lba_last = row[i].last;
        ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
        got[0] = run_status(rd8, 10, FX_IN, 4096);
        got[1] = run_status(rd0, 6, FX_IN, 512);
        got[2] = run_status(wr, 16, FX_OUT, 512);
        got[3] = run_status(vf, 10, FX_OUT, 0);
        got[4] = run_status(inq, 6, FX_IN, 36);
        for (unsigned k = 0; k < 5; k++)
            ck_assert_msg((got[k] == SC_BUSY_STATUS) == want[k], "rule %u, command %u: %02x", i, k, got[k]);
        sim_fault_clear(fx_disk);
    }
}
END_TEST

/* Bad block 103 of 100..107: three blocks arrive, the residual says so, INFORMATION names it. */
START_TEST(test_medium_error_transfers_what_was_before)
{
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 100, 0, 0, 8};
    struct sim_fault f = rule(SIM_OPCODE_ANY, SIM_FAULT_CHECK);
    uint8_t in[4096];
    struct scsi_sense s;
    struct fx_cmd c;

    f.f_lba_first = 103;
    f.f_lba_last = 104;
    f.f_key = SCSI_KEY_MEDIUM;
    f.f_asc = SCSI_ASC_READ_ERROR;
    sim_fault_add(fx_disk, &f);
    memset(in, 0xee, sizeof(in));
    fx_run(&c, rd8, 10, FX_IN, in, 4096);
    ck_assert_uint_eq(c.x.xfer_resid, 5 * 512);
    sim_fault_clear(fx_disk);
    s = fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_READ_ERROR, 0);
    ck_assert(s.info_valid);
    ck_assert_uint_eq(s.info, 103);
    ck_assert_uint_eq(in[0], 1);
    ck_assert_uint_eq(in[3 * 512 - 1], 3);
    ck_assert_uint_eq(in[3 * 512], 0xee);
    /* Starting inside the range: the first block asked for. */
    f.f_lba_first = 50;
    sim_fault_add(fx_disk, &f);
    fx_run(&c, rd8, 10, FX_IN, in, 4096);
    ck_assert_uint_eq(c.x.xfer_resid, 4096);
    sim_fault_clear(fx_disk);
    ck_assert_uint_eq(fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_READ_ERROR, 0).info, 100);
    /* A write: the blocks before the bad one are on the medium, the others are not. */
    f.f_lba_first = 102;
    sim_fault_add(fx_disk, &f);
    memset(data, 0x99, 4096);
    fx_run(&c, wr, 10, FX_OUT, data, 4096);
    ck_assert_uint_eq(c.x.xfer_resid, 6 * 512);
    sim_fault_clear(fx_disk);
    fx_expect_check(&c, SCSI_KEY_MEDIUM, SCSI_ASC_READ_ERROR, 0);
    fx_run(&c, rd8, 10, FX_IN, in, 4096);
    ck_assert_uint_eq(in[1023], 0x99);
    ck_assert_uint_eq(in[1024], 3);
}
END_TEST

START_TEST(test_other_checks)
{
    struct sim_fault f = rule(0x28, SIM_FAULT_CHECK);
    uint8_t raw[252];
    struct scsi_sense s;
    struct fx_cmd c;

    /* Recovered error: all the data, and sense. In descriptor format. */
    f.f_key = SCSI_KEY_RECOVERED;
    f.f_asc = 0x17;
    f.f_descriptor = true;
    sim_fault_add(fx_disk, &f);
    memset(data, 0, 4096);
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(fx_status(&c), SC_CHECK_CONDITION);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    ck_assert_uint_eq(data[4095], 8);
    s = fx_sense_as(false, raw);
    ck_assert_uint_eq(raw[0], 0x72);
    ck_assert_uint_eq(s.key, SCSI_KEY_RECOVERED);
    ck_assert(s.info_valid);
    ck_assert_uint_eq(s.info, 100);
    sim_fault_clear(fx_disk);
    /* Aborted command: nothing happens. */
    f.f_key = SCSI_KEY_ABORTED;
    f.f_asc = 0x47;
    f.f_descriptor = false;
    sim_fault_add(fx_disk, &f);
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(c.x.xfer_resid, 4096);
    fx_expect_check(&c, SCSI_KEY_ABORTED, 0x47, 0);
}
END_TEST

/* About an earlier command: this one does not run, and the response code says so, in both formats. */
START_TEST(test_deferred_check)
{
    struct sim_fault f = rule(0x28, SIM_FAULT_CHECK);
    uint8_t raw[252];
    struct scsi_sense s;
    struct fx_cmd c;

    f.f_key = SCSI_KEY_RECOVERED; /* which would move everything */
    f.f_asc = 0x0c;
    f.f_deferred = true;
    for (unsigned descriptor = 0; descriptor < 2; descriptor++) {
        f.f_descriptor = descriptor;
        sim_fault_add(fx_disk, &f);
        fx_run(&c, rd8, 10, FX_IN, data, 4096);
        ck_assert_uint_eq(fx_status(&c), SC_CHECK_CONDITION);
        ck_assert_uint_eq(c.x.xfer_resid, 4096);
        s = fx_sense_as(false, raw);
        ck_assert_uint_eq(raw[0] & 0x7f, descriptor ? 0x73 : 0x71);
        ck_assert(s.deferred);
        ck_assert_uint_eq(s.key, SCSI_KEY_RECOVERED);
        sim_fault_clear(fx_disk);
    }
}
END_TEST

START_TEST(test_short_transfer)
{
    struct sim_fault f = rule(SIM_OPCODE_ANY, SIM_FAULT_SHORT);
    static const uint8_t inq[6] = {0x12, 0, 0, 0, 36};
    struct fx_cmd c;

    f.f_param = 700;
    sim_fault_add(fx_disk, &f);
    memset(data, 0xee, sizeof(data));
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 700);
    ck_assert_uint_eq(data[4096 - 701], 7);
    ck_assert_uint_eq(data[4096 - 700], 0xee);
    fx_run(&c, inq, 6, FX_IN, data, 36);
    ck_assert_uint_eq(c.x.xfer_resid, 36); /* less than 700: nothing is left */
    sim_fault_clear(fx_disk);
    f.f_param = 10;
    sim_fault_add(fx_disk, &f);
    fx_run(&c, inq, 6, FX_IN, data, 255);
    ck_assert_uint_eq(c.x.xfer_resid, 255 - 26);
    fx_run(&c, inq, 6, FX_IN, data, 20); /* counted from what the data phase would have carried */
    ck_assert_uint_eq(c.x.xfer_resid, 10);
}
END_TEST

/* A parameter list of which the end did not arrive is refused, and nothing of it done. */
START_TEST(test_short_parameter_lists)
{
    /* What each list would do if what is missing were as it is in the caller's memory. */
    static const struct fx_row rows[] = {
        {"MODE SELECT(6)", {0x15, 0x10, [4] = 24}, 6, FX_OUT, 24, FX_BAD_LENGTH},
        {"MODE SELECT(10)", {0x55, 0x10, [8] = 28}, 10, FX_OUT, 28, FX_BAD_LENGTH},
        {"UNMAP", {0x42, [8] = 24}, 10, FX_OUT, 24, FX_BAD_LENGTH},
        {"FORMAT UNIT", {0x04, 0x10}, 6, FX_OUT, 4, FX_BAD_LENGTH},
        {"FORMAT UNIT, long", {0x04, 0x30}, 6, FX_OUT, 8, FX_BAD_LENGTH},
        {"PERSISTENT RESERVE OUT", {0x5f, [8] = 24}, 10, FX_OUT, 24, FX_BAD_LENGTH},
        {"WRITE SAME",
         {0x41, [5] = 100, [8] = 1},
         10,
         FX_OUT,
         512,
         SC_CHECK_CONDITION,
         SCSI_KEY_ABORTED,
         SCSI_ASC_DATA_PHASE,
         0,
         0},
    };
    static const uint8_t mode6[6] = {0x1a, 0x08, 0x08, 0, 24}, mode10[10] = {0x5a, 0x08, 0x08, [8] = 28};
    struct sim_fault f = rule(SIM_OPCODE_ANY, SIM_FAULT_SHORT);
    uint8_t list[512], before[24], after[24];
    struct fx_cmd c;

    f.f_param = 1;
    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        memset(list, 0, sizeof(list));
        if (rows[i].cdb[0] == 0x15 || rows[i].cdb[0] == 0x55) {
            fx_run(&c, i == 0 ? mode6 : mode10, i == 0 ? 6 : 10, FX_IN, list, rows[i].bytes);
            ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
            memset(list, 0, i == 0 ? 4 : 8);
            list[i == 0 ? 4 : 8] &= 0x7f;
        } else if (rows[i].cdb[0] == 0x42) {
            scsi_put16(list, 22);
            scsi_put16(list + 2, 16);
            scsi_put64(list + 8, 100);
            scsi_put32(list + 16, 8);
        }
        fx_run(&c, mode6, 6, FX_IN, before, 24);
        /* It would have been taken but for that. */
        ck_assert_int_eq(sim_fault_add(fx_disk, &f), 0);
        fx_rows(&rows[i], 1, list);
        sim_fault_clear(fx_disk);
        fx_run(&c, mode6, 6, FX_IN, after, 24);
        ck_assert_mem_eq(before, after, 24);
        memset(list, 0, sizeof(list));
        fx_run(&c, rd8, 10, FX_IN, data, 4096);
        ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
        for (unsigned k = 0; k < 4096; k++)
            ck_assert_msg(data[k] == 1 + k / 512, "%s: byte %u", rows[i].name, k);
    }
}
END_TEST

START_TEST(test_corrupt_data)
{
    struct sim_fault f = rule(SIM_OPCODE_ANY, SIM_FAULT_CORRUPT);
    static const uint8_t wr[10] = {0x2a, 0, 0, 0, 0, 200, 0, 0, 1};
    struct fx_cmd c;

    f.f_param = 4096 + 513;
    sim_fault_add(fx_disk, &f);
    ck_assert_uint_eq(run_status(wr, 10, FX_OUT, 512), SC_GOOD_STATUS);
    ck_assert_uint_eq(hits(0), 0); /* writes are not its business */
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    ck_assert_uint_eq(c.x.xfer_resid, 0);
    for (unsigned i = 0; i < 4096; i++)
        ck_assert_uint_eq(data[i], i == 513 ? (uint8_t) ~(1 + i / 512) : 1 + i / 512);
    ck_assert_uint_eq(hits(0), 1);
}
END_TEST

/* The first rule that is due takes the command; the next one does not even count it. */
START_TEST(test_rules_in_order)
{
    struct sim_fault busy = rule(0x28, SIM_FAULT_BUSY), full = rule(0x28, SIM_FAULT_QUEUE_FULL);

    busy.f_count = 1;
    full.f_skip = 1;
    full.f_count = 1;
    ck_assert_int_eq(sim_fault_add(fx_disk, &busy), 0);
    ck_assert_int_eq(sim_fault_add(fx_disk, &full), 1);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_BUSY_STATUS);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_GOOD_STATUS);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_QUEUE_FULL);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_GOOD_STATUS);
}
END_TEST

/* Unit attention comes before execution faults and after faults of the path. */
START_TEST(test_order_of_the_gates)
{
    struct sim_fault check = rule(0x28, SIM_FAULT_CHECK), none = rule(0x28, SIM_FAULT_NO_RESPONSE);
    struct fx_cmd c;

    check.f_key = SCSI_KEY_HARDWARE;
    check.f_asc = 0x44;
    check.f_count = 1;
    none.f_count = 1;
    sim_fault_add(fx_disk, &check);
    sim_fault_add(fx_disk, &none);
    sim_disk_attention(fx_disk, 0x29, 0);
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    ck_assert_uint_eq(c.x.xfer_result, AD_RES_SELECT_TIMEOUT);
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    fx_expect_check(&c, SCSI_KEY_ATTENTION, 0x29, 0);
    fx_run(&c, rd8, 10, FX_IN, data, 4096);
    fx_expect_check(&c, SCSI_KEY_HARDWARE, 0x44, 0);
    ck_assert_uint_eq(run_status(rd8, 10, FX_IN, 4096), SC_GOOD_STATUS);
}
END_TEST

START_TEST(test_senseless_rules)
{
    struct sim_fault ok = rule(SIM_OPCODE_ANY, SIM_FAULT_BUSY), bad[6], got;

    for (unsigned i = 0; i < 6; i++)
        bad[i] = ok;
    bad[0].f_action = SIM_FAULT_NONE;
    bad[1].f_action = SIM_FAULT_COUNT;
    bad[2].f_lba_first = 2;
    bad[2].f_lba_last = 1;
    bad[3].f_opcode = 256;
    bad[4].f_opcode = SIM_OPCODE_DATA - 1;
    bad[5].f_key = 16;
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(sim_fault_add(fx_disk, &bad[i]), -1);
    ok.f_hits = 99;
    for (unsigned i = 0; i < SIM_FAULTS_MAX; i++)
        ck_assert_int_eq(sim_fault_add(fx_disk, &ok), (int)i);
    ck_assert_int_eq(sim_fault_add(fx_disk, &ok), -1);
    ck_assert(sim_fault_get(fx_disk, SIM_FAULTS_MAX - 1, &got));
    ck_assert_uint_eq(got.f_hits, 0);
    ck_assert(!sim_fault_get(fx_disk, SIM_FAULTS_MAX, &got));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_fault");
    TCase *t = tcase_create("faults");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_actions_of_the_path);
    tcase_add_test(t, test_skip_and_count_are_exact);
    tcase_add_test(t, test_every_counts_after_skip);
    tcase_add_test(t, test_rate_is_per_second_and_replays);
    tcase_add_test(t, test_data_rules_leave_other_commands_alone);
    tcase_add_test(t, test_matching);
    tcase_add_test(t, test_medium_error_transfers_what_was_before);
    tcase_add_test(t, test_other_checks);
    tcase_add_test(t, test_deferred_check);
    tcase_add_test(t, test_short_transfer);
    tcase_add_test(t, test_short_parameter_lists);
    tcase_add_test(t, test_corrupt_data);
    tcase_add_test(t, test_rules_in_order);
    tcase_add_test(t, test_order_of_the_gates);
    tcase_add_test(t, test_senseless_rules);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
