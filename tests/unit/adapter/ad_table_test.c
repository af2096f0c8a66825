/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_table_test.c - the contract with a chip: the tables it comes with (other versions are refused,
 * older ones taken as far as they go, newer ones as far as this core knows them), the CDB bytes it
 * may read, and that the memory is free again with every result.
 */
#include "ad_fake.h"

#include <stdlib.h>

static struct ad_hw_ops ops;
static struct shim_dev_ops dev_ops;

/* Attach with `ops` and `dev_ops` as they are, and detach again. */
static int attach(void)
{
    struct ad_config cfg = {.cfg_ops = &ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};
    int error = ad_attach(FAKE_DEVNO, &cfg);

    if (error == 0)
        ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    return error;
}

/* The fake chip's own tables, copied to be spoilt. */
static void tables(void)
{
    fake_prepare();
    ops = fake_ops;
    dev_ops = *fake.dev.dev_ops;
    fake.dev.dev_ops = &dev_ops;
}

static char said[400]; /* the last line of the log */

static void log_kept(int level, const char *text)
{
    (void)level;
    (void)snprintf(said, sizeof(said), "%s", text);
}

static void host_up(void)
{
    struct shim_host host = *shim_det_host(1);

    host.log = log_kept;
    shim_test_begin(&host);
    tables();
}

/* Attaching fails, and a line in the log has the words. */
static void refused_with(const char *words)
{
    said[0] = '\0';
    ck_assert_int_eq(attach(), EINVAL);
    ck_assert_msg(strstr(said, words) != NULL, "\"%s\" lacks \"%s\"", said, words);
    tables();
}

/* Whoever writes a chip learns what is wrong with it, not only that something is. */
START_TEST(test_what_is_wrong_is_in_the_log)
{
    const struct ad_config cfg = {
        .cfg_ops = &ops, .cfg_hw = &fake, .cfg_dev = &fake.dev, .cfg_transfer_bytes_max = 512};

    ops.version = AD_HW_VERSION + 1;
    refused_with("version 2");
    ops.abort = NULL;
    refused_with("reset_target and reset_bus must be set");
    dev_ops.dma_map = NULL;
    refused_with("dma_map and dma_unmap must be set");
    fake.caps.cap_ids = 0;
    refused_with("ids 0 (1 to 16)");
    fake.caps.cap_transfer_bytes_max = 512;
    refused_with("transfer_bytes_max 512 (at least 65536)");
    fake.caps.cap_luns = 33;
    refused_with("luns 33 (1 to 32)");
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    ck_assert_msg(strstr(said, "cfg_transfer_bytes_max 512: must be 0 or at least 65536") != NULL, "%s",
                  said);
}
END_TEST

START_TEST(test_device_half_is_checked)
{
    ck_assert_int_eq(attach(), 0);
    dev_ops.version = SHIM_DEV_VERSION + 1;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    dev_ops.size = SHIM_TABLE_BYTES(shim_dev_ops, dma_unmap) - 1;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    dev_ops.dma_map = NULL;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    dev_ops.dma_unmap = NULL;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    fake.dev.dev_ops = NULL;
    ck_assert_int_eq(attach(), EINVAL);
    ck_assert_uint_eq(fake.detaches, 0); /* the chip never heard of it */
    tables();
    ck_assert_int_eq(attach(), 0);
}
END_TEST

START_TEST(test_chip_table_is_checked)
{
    ops.version = AD_HW_VERSION + 1;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    ops.size = SHIM_TABLE_BYTES(ad_hw_ops, reset_bus) - 1;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    ops.abort = NULL;
    ck_assert_int_eq(attach(), EINVAL);
    tables();
    ck_assert_int_eq(attach(), 0);
}
END_TEST

static void sync_never(struct shim_dev *dev, struct shim_dma_map *map, int when, int dir)
{
    ck_abort_msg("called beyond the end of the table: %p %p %d %d", (void *)dev, (void *)map, when, dir);
}
static void poll_never(void *hw) { ck_abort_msg("called beyond the end of the table: %p", hw); }

/* Entries that an older table is too short for are never called: a whole read goes by. */
START_TEST(test_older_tables_end_where_they_say)
{
    struct ad_config cfg = {.cfg_ops = &ops};
    struct req r;

    dev_ops.size = SHIM_TABLE_BYTES(shim_dev_ops, dma_unmap);
    dev_ops.dma_sync = sync_never;
    ops.size = SHIM_TABLE_BYTES(ad_hw_ops, reset_bus);
    ops.poll = poll_never;
    fake_attach(&cfg);
    ck_assert_ptr_null(fake.ad->adp_ops->poll);
    req_init(&r);
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.starts, 1);
    ck_assert_uint_eq(fake.maps, 1);
    fake_down();
    host_up();
}
END_TEST

/* A chip compiled with a later header has a longer table: what is behind the end is not copied. */
START_TEST(test_newer_chip_table_is_cut)
{
    struct {
        struct ad_hw_ops known;
        void (*later[8])(void);
    } newer = {.known = ops};
    struct ad_config cfg = {.cfg_ops = &newer.known, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    newer.known.size = sizeof(newer);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(newer.later); i++)
        newer.later[i] = host_up;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_ptr_eq(fake.ad->adp_hw, &fake); /* the member behind the copy */
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
}
END_TEST

/* ---------------------------------------------------------------- what the contract promises a chip, and
 * asks */

static uint8_t cdb_seen[AD_HW_CDB_BYTES];
static void read_whole_cdb(struct fake *f, struct ad_xfer *xfer)
{
    (void)f;
    ck_assert_uint_eq(xfer->xfer_cdb_len, 6);
    memcpy(cdb_seen, xfer->xfer_cdb, sizeof(cdb_seen));
}

/* Sixteen bytes can be read of a six-byte CDB, and they are the request's own. */
START_TEST(test_sixteen_cdb_bytes_are_readable)
{
    struct req *r = malloc(sizeof(*r)); /* so that ASan sees a read beyond */

    fake_attach(NULL);
    fake.on_start = read_whole_cdb;
    req_init(r);
    memset(&r->sb.scsi_command.scsi_cmd, 0x5a, sizeof(r->sb.scsi_command.scsi_cmd));
    r->sb.scsi_command.scsi_cmd.lun = 0;
    req_expect(r, 0);
    ck_assert_mem_eq(cdb_seen, &r->sb.scsi_command.scsi_cmd, sizeof(cdb_seen));
    fake_down();
    free(r);
    host_up();
}
END_TEST

static unsigned maps_at_iodone;
static void count_maps(struct req *r)
{
    (void)r;
    maps_at_iodone = fake.maps_live;
}

/* With every result the device has let go: the core has unmapped the memory before iodone. */
START_TEST(test_every_result_gives_the_memory_back)
{
    struct req r;

    fake_attach(NULL);
    req_init(&r);
    r.then = count_maps;
    r.sb.flags = SC_RESUME; /* the queue halts after an error */
    maps_at_iodone = 99;
    fake_script((uint8_t)_i, _i == AD_RES_STATUS ? SC_BUSY_STATUS : SC_GOOD_STATUS, 512);
    req_send(&r);
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(fake.maps, 1);
    ck_assert_uint_eq(maps_at_iodone, 0);
    fake_down();
    host_up();
}
END_TEST

/* Calls of dma_sync, and what had happened before each. */
static struct {
    int when, dir;
    unsigned starts, dones, maps_live;
} syncs[8];
static unsigned nsyncs;

static void sync_note(struct shim_dev *dev, struct shim_dma_map *map, int when, int dir)
{
    ck_assert_ptr_eq(dev, &fake.dev);
    ck_assert_uint_eq(map->map_nsegs, 1);
    ck_assert_uint_lt(nsyncs, SC_ARRAY_SIZE(syncs));
    syncs[nsyncs].when = when;
    syncs[nsyncs].dir = dir;
    syncs[nsyncs].starts = fake.starts;
    syncs[nsyncs].dones = fake.dones;
    syncs[nsyncs++].maps_live = fake.maps_live;
}

/* Down the lane, on the ordinary way, and pending at the chip: with SC_RESUME no request is for the lane. */
static const struct {
    enum fake_mode mode;
    uint8_t flags;
} sync_ways[] = {{FAKE_INLINE, 0}, {FAKE_INLINE, SC_RESUME}, {FAKE_PEND, 0}, {FAKE_EARLY, SC_RESUME}};

/* A mapper that wants to know hears of each transfer twice: before the chip has it, and while it is mapped.
 */
START_TEST(test_mapper_hears_before_and_after)
{
    static const int dirs[] = {SHIM_DIR_FROM_DEVICE, SHIM_DIR_TO_DEVICE};
    struct req r;

    dev_ops.dma_sync = sync_note;
    fake_attach(NULL);
    fake.mode = sync_ways[_i].mode;
    for (unsigned d = 0; d < SC_ARRAY_SIZE(dirs); d++) {
        nsyncs = fake.starts = fake.dones = 0;
        req_init(&r);
        r.sb.flags = sync_ways[_i].flags;
        if (dirs[d] == SHIM_DIR_TO_DEVICE)
            r.sb.bufstruct.b_flags &= ~(uint32_t)B_READ;
        req_send(&r);
        if (fake.mode == FAKE_PEND) {
            ck_assert_uint_eq(nsyncs, 1);
            fake_end_all();
        }
        ck_assert_uint_eq(r.done, 1);
        ck_assert_uint_eq(nsyncs, 2);
        ck_assert_int_eq(syncs[0].when, SHIM_SYNC_BEFORE);
        ck_assert_uint_eq(syncs[0].starts, 0);
        ck_assert_int_eq(syncs[1].when, SHIM_SYNC_AFTER);
        ck_assert_uint_eq(syncs[1].dones, 1);
        for (unsigned i = 0; i < 2; i++) {
            ck_assert_int_eq(syncs[i].dir, dirs[d]);
            ck_assert_uint_eq(syncs[i].maps_live, 1);
        }
        ck_assert_uint_eq(fake.maps_live, 0);
    }
    /* Nothing is said of a command without data. */
    nsyncs = 0;
    req_init(&r);
    r.sb.flags = sync_ways[_i].flags;
    r.sb.bufstruct.b_bcount = 0;
    req_send(&r);
    if (fake.mode == FAKE_PEND)
        fake_end_all();
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(nsyncs, 0);
    fake_down();
    host_up();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("ad_table");
    TCase *t = tcase_create("tables");

    tcase_add_checked_fixture(t, host_up, shim_test_end);
    tcase_add_test(t, test_device_half_is_checked);
    tcase_add_test(t, test_chip_table_is_checked);
    tcase_add_test(t, test_what_is_wrong_is_in_the_log);
    tcase_add_test(t, test_older_tables_end_where_they_say);
    tcase_add_test(t, test_newer_chip_table_is_cut);
    tcase_add_test(t, test_sixteen_cdb_bytes_are_readable);
    tcase_add_loop_test(t, test_every_result_gives_the_memory_back, 0, AD_RES_UNSENT);
    tcase_add_loop_test(t, test_mapper_hears_before_and_after, 0, (int)SC_ARRAY_SIZE(sync_ways));
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
