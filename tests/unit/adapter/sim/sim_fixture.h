/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_fixture.h - a simulated bus under test, with nothing above it: the tests are the adapter
 * core. Commands are hand-made transfers, mapped through the bus's own device half.
 *
 * ad_hw_done() and its two sisters are defined here, so a test program that includes this
 * does not pull the adapter core out of the library.
 *
 * Does not contain: tests. Include in one file per program.
 */
#ifndef SIM_FIXTURE_H
#define SIM_FIXTURE_H

#include "../../test_main.h"

#include <stdatomic.h>
#include <sys/scsi.h>
#include <sys/scsiproto.h>

#include "adapter/sim/sim.h"

#define FX_ID   3u
#define FX_SEGS 16u

/* One command, with everything the chip needs of it. */
struct fx_cmd {
    struct ad_xfer x;
    uint8_t cdb[16];
    struct shim_seg segs[FX_SEGS];
    struct shim_dma_map map;
    unsigned done; /* how often ad_hw_done() came for it */
};

static struct sim_bus *fx_bus;
static struct sim_disk *fx_disk;
static _Atomic unsigned fx_done_count, fx_kick_count, fx_event_count;
static enum ad_hw_event fx_event_last;
/* Called from ad_hw_done(), when set. */
static void (*fx_on_done)(struct fx_cmd *c);

void ad_hw_done(struct ad_adapter *ad, struct ad_xfer *xfer)
{
    struct fx_cmd *c = SC_CONTAINER_OF(xfer, struct fx_cmd, x);

    ck_assert_ptr_eq(ad, (struct ad_adapter *)&fx_bus);
    fx_done_count++;
    c->done++;
    if (fx_on_done)
        fx_on_done(c);
}

static unsigned fx_list_count; /* calls of the next */

void ad_hw_done_list(struct ad_adapter *ad, struct ad_xfer **xfers, unsigned n)
{
    fx_list_count++;
    for (unsigned i = 0; i < n; i++)
        ad_hw_done(ad, xfers[i]);
}

void ad_hw_kick(struct ad_adapter *ad)
{
    (void)ad;
    fx_kick_count++;
}

static unsigned fx_reset_count;
static int fx_reset_error;
static enum ad_hw_reset fx_reset_last;

void ad_hw_reset_done(struct ad_adapter *ad, enum ad_hw_reset which, unsigned id, unsigned lun, int error)
{
    (void)ad;
    (void)id;
    (void)lun;
    fx_reset_count++;
    fx_reset_last = which;
    fx_reset_error = error;
}

void ad_hw_event(struct ad_adapter *ad, enum ad_hw_event ev)
{
    (void)ad;
    fx_event_count++;
    fx_event_last = ev;
}

/* ---------------------------------------------------------------- commands */

/* Prepare a command for the fixture's disk. `dir` as in enum shim_dir; bytes 0: no data phase. */
static inline void fx_prepare(struct fx_cmd *c, const void *cdb, unsigned cdb_bytes, int dir, void *data,
                              size_t bytes)
{
    struct iovec vec = {data, bytes};

    memset(c, 0, sizeof(*c));
    memcpy(c->cdb, cdb, cdb_bytes);
    c->map.map_segs = c->segs;
    c->map.map_segs_max = FX_SEGS;
    c->x.xfer_cdb = c->cdb;
    c->x.xfer_cdb_len = (uint8_t)cdb_bytes;
    c->x.xfer_id = FX_ID;
    c->x.xfer_qmsg = SC_NO_Q;
    c->x.xfer_dir = (uint8_t)dir;
    c->x.xfer_flags = AD_XFER_PAST;
    /* What has failed before is known, as a core would have it; else the hot path stays closed. */
    sim_hw_ops.thaw(fx_bus, FX_ID, 0, UINT32_MAX);
    c->x.xfer_map = &c->map;
    c->x.xfer_bytes = bytes;
    c->x.xfer_resid = UINT64_MAX;
    c->x.xfer_result = AD_RES_COUNT;
    if (bytes)
        ck_assert_int_eq(shim_dma_map(sim_bus_dev(fx_bus), &vec, 1, dir, &c->map), SHIM_MAP_OK);
}

static inline void fx_release(struct fx_cmd *c)
{
    if (c->map.map_nsegs)
        shim_dma_unmap(sim_bus_dev(fx_bus), &c->map);
}

/* Run a command that must finish inside start(). Result in c->x. */
static inline void fx_run(struct fx_cmd *c, const void *cdb, unsigned cdb_bytes, int dir, void *data,
                          size_t bytes)
{
    fx_prepare(c, cdb, cdb_bytes, dir, data, bytes);
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &c->x), AD_HW_DONE);
    ck_assert_uint_eq(c->done, 0);
    ck_assert_uint_lt(c->x.xfer_result, AD_RES_COUNT);
    ck_assert_uint_le(c->x.xfer_resid, c->x.xfer_bytes);
    fx_release(c);
}

/* The same as the second initiator. */
static inline void fx_run_other(struct fx_cmd *c, const void *cdb, unsigned cdb_bytes, int dir, void *data,
                                size_t bytes)
{
    fx_prepare(c, cdb, cdb_bytes, dir, data, bytes);
    sim_disk_other_initiator(fx_disk, &c->x);
    fx_release(c);
}

/* The status byte, with "GOOD" for a result that carries none, and FX_FAULT for a bus fault. */
#define FX_FAULT 0xffu
static inline unsigned fx_status(const struct fx_cmd *c)
{
    if (c->x.xfer_result == AD_RES_BUS_FAULT)
        return FX_FAULT;
    ck_assert_msg(c->x.xfer_result == AD_RES_GOOD || c->x.xfer_result == AD_RES_STATUS, "result %u",
                  c->x.xfer_result);
    return c->x.xfer_result == AD_RES_GOOD ? SC_GOOD_STATUS : c->x.xfer_scsi_status;
}

static inline struct scsi_sense fx_sense_as(bool other, uint8_t *raw)
{
    static const uint8_t cdb[6] = {SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0};
    uint8_t data[252];
    struct fx_cmd c;

    memset(data, 0, sizeof(data));
    if (other)
        fx_run_other(&c, cdb, 6, SHIM_DIR_FROM_DEVICE, data, sizeof(data));
    else
        fx_run(&c, cdb, 6, SHIM_DIR_FROM_DEVICE, data, sizeof(data));
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    if (raw)
        memcpy(raw, data, sizeof(data));
    return scsi_sense_parse(data, sizeof(data) - c.x.xfer_resid);
}

static inline struct scsi_sense fx_sense(void) { return fx_sense_as(false, NULL); }

/* The command ended in CHECK CONDITION with this sense; fetches it. */
static inline struct scsi_sense fx_expect_check(const struct fx_cmd *c, unsigned key, unsigned asc,
                                                unsigned ascq)
{
    struct scsi_sense s;

    ck_assert_uint_eq(fx_status(c), SC_CHECK_CONDITION);
    s = fx_sense();
    ck_assert(s.valid);
    ck_assert_msg(s.key == key && s.asc == asc && s.ascq == ascq,
                  "op %02x: sense %x/%02x/%02x, wanted %x/%02x/%02x", c->cdb[0], s.key, s.asc, s.ascq, key,
                  asc, ascq);
    return s;
}

/* One row of a table test: a CDB, its data phase, how it must end. */
struct fx_row {
    const char *name;
    uint8_t cdb[16];
    uint8_t cdb_bytes;
    uint8_t dir;
    uint32_t bytes;
    uint8_t status;
    uint8_t key, asc, ascq;
    uint32_t resid;
};

static inline void fx_rows(const struct fx_row *rows, size_t n, void *data)
{
    for (size_t i = 0; i < n; i++) {
        const struct fx_row *r = &rows[i];
        struct fx_cmd c;

        fx_run(&c, r->cdb, r->cdb_bytes, r->dir, data, r->bytes);
        ck_assert_msg(fx_status(&c) == r->status, "%s: status %02x, wanted %02x", r->name, fx_status(&c),
                      r->status);
        if (r->status == SC_CHECK_CONDITION) {
            struct scsi_sense s = fx_sense();

            ck_assert_msg(s.key == r->key && s.asc == r->asc && s.ascq == r->ascq,
                          "%s: sense %x/%02x/%02x, wanted %x/%02x/%02x", r->name, s.key, s.asc, s.ascq,
                          r->key, r->asc, r->ascq);
        } else {
            ck_assert_msg(c.x.xfer_resid == r->resid, "%s: resid %llu, wanted %u", r->name,
                          (unsigned long long)c.x.xfer_resid, r->resid);
        }
    }
}
/* What an initiator has done wrong so far, by the disk's own count. */
static inline uint64_t fx_protocol(enum sim_protocol kind)
{
    struct sim_disk_stats st;

    sim_disk_stats_get(fx_disk, &st);
    return st.st_protocol[kind];
}

#define FX_IN               SHIM_DIR_FROM_DEVICE
#define FX_OUT              SHIM_DIR_TO_DEVICE
#define FX_ROWS(rows, data) fx_rows(rows, sizeof(rows) / sizeof((rows)[0]), data)
#define FX_ILLEGAL          SC_CHECK_CONDITION, SCSI_KEY_ILLEGAL
#define FX_BAD_CDB          FX_ILLEGAL, SCSI_ASC_CDB_FIELD, 0, 0
#define FX_BAD_LBA          FX_ILLEGAL, SCSI_ASC_LBA, 0, 0
#define FX_BAD_LENGTH       FX_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0, 0
#define FX_BAD_PHASE        FX_FAULT, 0, 0, 0
#define FX_BAD_PARAM        FX_ILLEGAL, SCSI_ASC_PARAMETER_FIELD, 0, 0

/* ---------------------------------------------------------------- set-up */

/* Host, bus and chip; no disk yet. */
static inline void fx_begin_bus(const struct sim_bus_config *cfg, uint64_t seed)
{
    struct ad_hw_caps caps;

    shim_test_begin_det(seed);
    fx_done_count = fx_kick_count = fx_event_count = 0;
    fx_on_done = NULL;
    ck_assert_int_eq(sim_bus_create(cfg, &fx_bus), 0);
    ck_assert_int_eq(sim_hw_ops.attach(fx_bus, (struct ad_adapter *)&fx_bus, &caps), 0);
}

/* A disk at FX_ID:0 on the medium given, or in memory when ops is NULL. Unit attention is cleared. */
static inline void fx_add_disk(struct sim_disk_config *cfg)
{
    cfg->sd_id = FX_ID;
    if (!cfg->sd_ops)
        ck_assert_int_eq(sim_medium_ram(cfg->sd_blocks * cfg->sd_block_bytes, &cfg->sd_ops, &cfg->sd_medium),
                         0);
    ck_assert_int_eq(sim_disk_add(fx_bus, cfg), 0);
    fx_disk = sim_disk_find(fx_bus, cfg->sd_id, cfg->sd_lun);
    ck_assert_ptr_nonnull(fx_disk);
    if (cfg->sd_lun == 0) {
        ck_assert_uint_eq(fx_sense().key, SCSI_KEY_ATTENTION);
        ck_assert_uint_eq(fx_sense_as(true, NULL).key, SCSI_KEY_ATTENTION);
    }
}

/* The usual: adapter 7, one disk of `blocks` in memory. */
static inline void fx_begin(uint32_t block_bytes, uint64_t blocks)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = block_bytes, .sd_blocks = blocks};

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
}

static inline void fx_end(void)
{
    sim_hw_ops.detach(fx_bus);
    sim_bus_destroy(fx_bus);
    shim_test_end();
}

#endif /* SIM_FIXTURE_H */
