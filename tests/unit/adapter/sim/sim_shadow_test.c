/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_shadow_test.c - property: whatever sequence of writes of all kinds a disk gets, what it
 * reads back is what a plain array in the test says. 512 and 4096 bytes per block, small disks in memory
 * and huge ones (addresses beyond 2^32 blocks) on a sparse medium.
 *
 * SCPAIR_PROP_SEED chooses another sequence, SCPAIR_PROP_COUNT another length.
 */
#include "sim_fixture.h"

#define WINDOW 1024u /* blocks the shadow covers */
#define BURST  64u   /* blocks per command at most */

static uint64_t base; /* first block of the window */
static uint32_t bs;
static uint8_t *shadow;
static uint8_t buf[BURST * 4096u];

/* ---------------------------------------------------------------- the sparse medium */

/* Knows the window alone; a byte outside means the disk got an address wrong. */
static uint8_t *sparse;

static uint8_t *sparse_at(uint64_t off, uint64_t bytes)
{
    ck_assert_uint_ge(off, base * bs);
    ck_assert_uint_le(off - base * bs + bytes, (uint64_t)WINDOW * bs);
    return sparse + (off - base * bs);
}
static int sparse_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    uint8_t *p = sparse_at(off, bytes);

    (void)m;
    for (uint32_t i = 0; i < n; p += vec[i++].iov_len)
        memcpy(vec[i].iov_base, p, vec[i].iov_len);
    return 0;
}
static int sparse_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    uint8_t *p = sparse_at(off, bytes);

    (void)m, (void)fua;
    for (uint32_t i = 0; i < n; p += vec[i++].iov_len)
        memcpy(p, vec[i].iov_base, vec[i].iov_len);
    return 0;
}
static int sparse_zero(void *m, uint64_t off, uint64_t bytes)
{
    (void)m;
    memset(sparse_at(off, bytes), 0, bytes);
    return 0;
}
static const struct sim_medium_ops sparse_ops = {.version = 1,
                                                 .size = sizeof(sparse_ops),
                                                 .name = "sparse",
                                                 .read = sparse_read,
                                                 .write = sparse_write,
                                                 .unmap = sparse_zero};

/* ---------------------------------------------------------------- the property */

static uint64_t rnd(uint64_t below) { return shim_det_random() % below; }

/* A CDB of a random length that can name the range. Returns its length. */
static unsigned make_cdb(uint8_t *cdb, unsigned code6, unsigned code10, uint64_t lba, uint32_t blocks)
{
    unsigned kind;

    memset(cdb, 0, 16);
    do {
        kind = (unsigned)rnd(4);
    } while ((kind == 0 && (!code6 || lba + blocks > 0x1fffff)) || (kind < 3 && lba + blocks > UINT32_MAX));
    cdb[0] = (uint8_t)(kind == 0 ? code6 : kind == 1 ? code10 : kind == 2 ? code10 + 0x80 : code10 + 0x60);
    if (kind == 0) {
        scsi_put24(cdb + 1, (uint32_t)lba);
        cdb[4] = (uint8_t)blocks;
        return 6;
    }
    if (kind == 1) {
        scsi_put32(cdb + 2, (uint32_t)lba);
        scsi_put16(cdb + 7, blocks);
        return 10;
    }
    if (kind == 2) {
        scsi_put32(cdb + 2, (uint32_t)lba);
        scsi_put32(cdb + 6, blocks);
        return 12;
    }
    scsi_put64(cdb + 2, lba);
    scsi_put32(cdb + 10, blocks);
    return 16;
}

/* Run with the buffer cut into random pieces, sometimes off the hot path by a longer data phase. */
static void run_cut(const uint8_t *cdb, unsigned cdb_bytes, int dir, size_t bytes)
{
    struct iovec vec[FX_SEGS];
    size_t at = 0, extra = rnd(4) == 0 ? bs : 0;
    uint32_t n = 0;
    struct fx_cmd c;

    if (bytes + extra > sizeof(buf))
        extra = 0;
    while (at < bytes + extra) {
        size_t piece = n == FX_SEGS - 1 ? bytes + extra - at : 1 + rnd(bytes + extra - at);

        vec[n].iov_base = buf + at;
        vec[n].iov_len = piece;
        at += piece;
        n++;
    }
    fx_prepare(&c, cdb, cdb_bytes, dir, NULL, 0);
    if (n) {
        ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), vec, n, dir, &c.map), SHIM_MAP_OK);
        if (c.map.map_nsegs == 1 && n > 1) {
            /* They lay next to each other and were joined: cut the list by hand. */
            for (uint32_t i = 0; i < n; i++) {
                c.segs[i].seg_addr = (uintptr_t)vec[i].iov_base;
                c.segs[i].seg_bytes = vec[i].iov_len;
            }
            c.map.map_nsegs = n;
        }
    }
    c.x.xfer_bytes = bytes + extra;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c.x), AD_HW_DONE);
    ck_assert_msg(fx_status(&c) == SC_GOOD_STATUS, "op %02x: sense %02x", cdb[0], fx_sense().asc);
    ck_assert_uint_eq(c.x.xfer_resid, extra);
    fx_release(&c);
}

static void step(uint64_t capacity)
{
    uint32_t blocks = 1 + (uint32_t)rnd(BURST - 1), at = (uint32_t)rnd(WINDOW - blocks + 1);
    uint8_t cdb[16], *mine = shadow + (size_t)at * bs;
    size_t bytes = (size_t)blocks * bs;
    unsigned n;

    ck_assert_uint_le(base + at + blocks, capacity);
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t r = shim_det_random();

        memcpy(buf + i, &r, 8);
    }
    switch (rnd(8)) {
    case 0: /* WRITE SAME, sometimes of zeroes with UNMAP */
        if (rnd(2))
            memset(buf, 0, bs);
        for (uint32_t i = 0; i < blocks; i++)
            memcpy(mine + (size_t)i * bs, buf, bs);
        memset(cdb, 0, sizeof(cdb));
        cdb[0] = 0x93;
        cdb[1] = rnd(2) ? 0x08 : 0;
        scsi_put64(cdb + 2, base + at);
        scsi_put32(cdb + 10, blocks);
        run_cut(cdb, 16, FX_OUT, bs);
        break;
    case 1: /* UNMAP */
        memset(mine, 0, bytes);
        memset(buf, 0, 24);
        scsi_put16(buf + 2, 16);
        scsi_put64(buf + 8, base + at);
        scsi_put32(buf + 16, blocks);
        memset(cdb, 0, sizeof(cdb));
        cdb[0] = 0x42;
        cdb[8] = 24;
        run_cut(cdb, 10, FX_OUT, 24);
        break;
    case 2: /* WRITE AND VERIFY */
        memcpy(mine, buf, bytes);
        n = make_cdb(cdb, 0, 0x2e, base + at, blocks);
        cdb[1] |= 0x02;
        run_cut(cdb, n, FX_OUT, bytes);
        break;
    case 3:
    case 4: /* WRITE */
        memcpy(mine, buf, bytes);
        n = make_cdb(cdb, 0x0a, 0x2a, base + at, blocks);
        run_cut(cdb, n, FX_OUT, bytes);
        break;
    default: /* READ */
        n = make_cdb(cdb, 0x08, 0x28, base + at, blocks);
        run_cut(cdb, n, FX_IN, bytes);
        ck_assert_mem_eq(buf, mine, bytes);
        break;
    }
}

static uint64_t env(const char *name, uint64_t dflt)
{
    const char *v = getenv(name);

    return v ? strtoull(v, NULL, 0) : dflt;
}

static const struct {
    uint32_t block_bytes;
    uint64_t base, capacity;
    bool sparse;
} shape[] = {
    {512, 0, WINDOW, false},
    {4096, 0, WINDOW, false},
    {512, ((uint64_t)1 << 32) - 500, (uint64_t)1 << 33, true},
    {512, (((uint64_t)1 << 33) - WINDOW), (uint64_t)1 << 33, true},
    {4096, ((uint64_t)1 << 40) + 77, ((uint64_t)1 << 40) + 77 + WINDOW, true},
    {512, 0x1fffff - 300, (uint64_t)1 << 30, true},
};

START_TEST(test_random_writes_against_a_shadow)
{
    uint64_t seed = env("SCPAIR_PROP_SEED", 4711), count = env("SCPAIR_PROP_COUNT", 4000);
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = shape[_i].block_bytes, .sd_blocks = shape[_i].capacity};

    bs = shape[_i].block_bytes;
    base = shape[_i].base;
    fx_begin_bus(&bus, seed);
    shadow = calloc(WINDOW, bs);
    sparse = calloc(WINDOW, bs);
    ck_assert(shadow && sparse);
    if (shape[_i].sparse)
        disk.sd_ops = &sparse_ops;
    fx_add_disk(&disk);
    for (uint64_t i = 0; i < count; i++)
        step(disk.sd_blocks);
    /* And the whole window once more. */
    for (uint32_t at = 0; at < WINDOW; at += BURST) {
        uint8_t cdb[16] = {0x88};

        scsi_put64(cdb + 2, base + at);
        scsi_put32(cdb + 10, BURST);
        run_cut(cdb, 16, FX_IN, (size_t)BURST * bs);
        ck_assert_mem_eq(buf, shadow + (size_t)at * bs, (size_t)BURST * bs);
    }
    free(shadow);
    free(sparse);
    fx_end();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_shadow");
    TCase *t = tcase_create("shadow");

    tcase_add_loop_test(t, test_random_writes_against_a_shadow, 0, (int)SC_ARRAY_SIZE(shape));
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
