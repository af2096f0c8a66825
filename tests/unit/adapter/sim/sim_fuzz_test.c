/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_fuzz_test.c - 10^5 random CDBs with random data phases: the disk never crashes, never touches
 * a byte outside the data phase, never answers nonsense.
 *
 * Half of the CDBs are noise; the others are a known operation with a few bits changed, which gets much
 * deeper. SCPAIR_FUZZ_SEED and SCPAIR_FUZZ_COUNT override seed and number.
 */
#include "sim_fixture.h"

#define GUARD       64u
#define DATA_MAX    6000u
#define DISK_BLOCKS 512u

static uint8_t memory[GUARD + DATA_MAX + GUARD];

static uint64_t env(const char *name, uint64_t dflt)
{
    const char *v = getenv(name);

    return v ? strtoull(v, NULL, 0) : dflt;
}

static uint64_t rnd(uint64_t below) { return shim_det_random() % below; }

static unsigned random_cdb(uint8_t *cdb)
{
    static const uint8_t known[] = {0x00, 0x03, 0x04, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a,
                                    0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x2e, 0x2f, 0x35, 0x41, 0x42,
                                    0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5f, 0x88, 0x89, 0x8a, 0x8e,
                                    0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xae, 0xaf};
    static const uint8_t bytes[] = {6, 10, 12, 16};
    unsigned n;

    for (unsigned i = 0; i < 16; i++)
        cdb[i] = rnd(3) ? 0 : (uint8_t)rnd(rnd(2) ? 8 : 256);
    if (rnd(2)) {
        for (unsigned i = 0; i < 16; i++)
            cdb[i] = (uint8_t)rnd(256);
        return bytes[rnd(4)];
    }
    cdb[0] = known[rnd(sizeof(known))];
    n = cdb[0] < 0x20 ? 6 : cdb[0] < 0x60 ? 10 : cdb[0] < 0xa0 ? 16 : 12;
    /* Mostly within the rules: a zero control byte and small addresses. */
    if (rnd(8))
        cdb[n - 1] = 0;
    if (rnd(4) && n > 6)
        memset(cdb + 2, 0, n == 16 ? 7 : 2);
    if (cdb[0] == 0x9e)
        cdb[1] = rnd(2) ? 0x10 : 0x12;
    if (cdb[0] == 0xa3)
        cdb[1] = 0x0c;
    if (cdb[0] == 0x15 || cdb[0] == 0x55)
        cdb[1] = 0x10;
    return rnd(20) ? n : bytes[rnd(4)];
}

/* Parameter lists that look a little like ones. */
static void random_data(size_t bytes)
{
    uint8_t *d = memory + GUARD;

    for (size_t i = 0; i < bytes; i++)
        d[i] = rnd(4) ? 0 : (uint8_t)rnd(256);
    if (bytes > 8 && rnd(2)) {
        static const uint8_t page[] = {0x01, 0x08, 0x0a, 0x1c};

        memset(d, 0, 4);
        d[4] = page[rnd(4)];
        d[5] = d[4] == 0x08 ? 0x12 : 0x0a;
    }
}

static void one(void)
{
    static uint8_t before[sizeof(memory)];
    size_t bytes = rnd(4) ? rnd(DATA_MAX) : rnd(20);
    int dir = (int)rnd(2);
    uint8_t cdb[16];
    unsigned cdb_bytes = random_cdb(cdb);
    struct fx_cmd c;
    int said;

    memset(memory, 0xa5, sizeof(memory));
    random_data(bytes);
    memcpy(before, memory, sizeof(memory));
    fx_prepare(&c, cdb, cdb_bytes, dir, memory + GUARD, bytes);
    c.x.xfer_lun = rnd(16) ? 0 : (uint8_t)rnd(32);
    c.x.xfer_qmsg = rnd(2) ? SC_NO_Q : SC_SIMPLE_Q;
    c.x.xfer_tag = (uint16_t)rnd(64);
    said = sim_hw_ops.start(fx_bus, &c.x);
    ck_assert_int_eq(said, AD_HW_DONE);
    ck_assert_uint_lt(c.x.xfer_result, AD_RES_COUNT);
    ck_assert_uint_le(c.x.xfer_resid, bytes);
    ck_assert(c.x.xfer_result != AD_RES_GOOD || c.x.xfer_scsi_status == SC_GOOD_STATUS);
    ck_assert(c.x.xfer_result != AD_RES_STATUS || c.x.xfer_scsi_status != SC_GOOD_STATUS);
    /* What was not moved is as it was; a command going the other way changed nothing. */
    if (dir == FX_OUT)
        ck_assert_mem_eq(memory, before, sizeof(memory));
    else
        ck_assert_mem_eq(memory + GUARD + bytes - c.x.xfer_resid, before + GUARD + bytes - c.x.xfer_resid,
                         GUARD + DATA_MAX - bytes + c.x.xfer_resid);
    ck_assert_mem_eq(memory, before, GUARD);
    fx_release(&c);
    if (c.x.xfer_result == AD_RES_STATUS && c.x.xfer_scsi_status == SC_CHECK_CONDITION && rnd(2))
        fx_sense();
}

START_TEST(test_random_commands)
{
    uint64_t seed = env("SCPAIR_FUZZ_SEED", 20261120), count = env("SCPAIR_FUZZ_COUNT", 100000);
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = _i ? 4096 : 512, .sd_blocks = DISK_BLOCKS};
    static const uint8_t start_unit[6] = {0x1b, 0, 0, 0, 1};
    struct fx_cmd c;

    fx_begin_bus(&bus, seed + (uint64_t)_i);
    fx_add_disk(&disk);
    for (uint64_t i = 0; i < count; i++) {
        one();
        /* A stopped disk is dull company. */
        if (i % 16 == 0)
            fx_run(&c, start_unit, 6, FX_IN, NULL, 0);
    }
    fx_end();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_fuzz");
    TCase *t = tcase_create("fuzz");

    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_random_commands, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
