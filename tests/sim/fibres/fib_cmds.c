/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_cmds.c - commands besides READ and WRITE: what heads, tools and other initiators send to a disk.
 *
 * They are well formed, so that the simulated bus has nothing against them; whether the disk does what they
 * ask depends on its state, and nobody here says. Some of them change that state for everybody.
 */
#include "fib.h"

#include <sys/scsiproto.h>

#include <string.h>

/* CDB: operation, length, data in, bytes of data. */
static void form(struct fib_cdb *c, uint8_t operation, uint8_t length, bool in, uint32_t bytes)
{
    memset(c, 0, sizeof(*c));
    c->cd_cdb[0] = operation;
    c->cd_length = length;
    c->cd_in = in;
    c->cd_bytes = bytes;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* PERSISTENT RESERVE OUT: registering, reserving, letting go. */
static void pr_out(struct fib_rng *r, struct fib_cdb *c, uint8_t *data)
{
    static const uint8_t actions[] = {0x00, 0x01, 0x02, 0x03, 0x06, 0x06}, types[] = {1, 3, 5, 6};

    form(c, SCSI_PERSISTENT_RESERVE_OUT, 10, false, 24);
    c->cd_cdb[1] = actions[fib_below(r, SC_ARRAY_SIZE(actions))];
    c->cd_cdb[2] = types[fib_below(r, SC_ARRAY_SIZE(types))];
    c->cd_cdb[8] = 24;
    memset(data, 0, 24);
    data[fib_percent(r, 50) ? 7 : 15] = 0x17;
}

/* MODE SELECT of the caching page: the write cache on or off. */
static void mode_select(struct fib_rng *r, struct fib_cdb *c, uint8_t *data)
{
    static const uint8_t list[24] = {0,    0,    0,    0,    0x08, 0x12, 0x04, 0, 0xff, 0xff, 0, 0,
                                     0xff, 0xff, 0xff, 0xff, 0x80, 0x20, 0,    0, 0,    0,    0, 0};

    form(c, SCSI_MODE_SELECT_6, 6, false, sizeof(list));
    c->cd_cdb[1] = 0x10;
    c->cd_cdb[4] = sizeof(list);
    memcpy(data, list, sizeof(list));
    data[6] = fib_percent(r, 50) ? 0x04 : 0;
}

/* A few blocks at `lba` given up, or the same everywhere. */
static void no_contents(struct fib_rng *r, const struct fib_disk *d, uint32_t lba, uint32_t blocks,
                        struct fib_cdb *c, uint8_t *data)
{
    if (fib_percent(r, 50)) {
        form(c, SCSI_UNMAP, 10, false, 24);
        c->cd_cdb[8] = 24;
        memset(data, 0, 24);
        data[1] = 22;
        data[3] = 16;
        put32(data + 12, lba);
        put32(data + 16, blocks);
    } else {
        form(c, SCSI_WRITE_SAME_10, 10, false, d->dk_block);
        put32(c->cd_cdb + 2, lba);
        c->cd_cdb[8] = (uint8_t)blocks;
        memset(data, 0, d->dk_block);
    }
}

void fib_cdb_same(const struct fib_disk *d, uint64_t lba, uint32_t blocks, struct fib_cdb *c)
{
    form(c, SCSI_WRITE_SAME_16, 16, false, d->dk_block);
    put32(c->cd_cdb + 6, (uint32_t)lba);
    put32(c->cd_cdb + 10, blocks);
}

void fib_cdb_compare(const struct fib_disk *d, uint64_t lba, struct fib_cdb *c)
{
    form(c, SCSI_COMPARE_AND_WRITE, 16, false, 2u * d->dk_block);
    put32(c->cd_cdb + 6, (uint32_t)lba);
    c->cd_cdb[13] = 1;
}

/* Who may do what: reservations, the motor. */
static void authority(struct fib_rng *r, struct fib_cdb *c, uint8_t *data)
{
    switch (fib_below(r, 5)) {
    case 0:
        form(c, SCSI_RESERVE_6, 6, false, 0);
        break;
    case 1:
        form(c, SCSI_RELEASE_6, 6, false, 0);
        break;
    case 2:
        form(c, SCSI_START_STOP_UNIT, 6, false, 0);
        c->cd_cdb[4] = fib_percent(r, 70);
        break;
    case 3:
        mode_select(r, c, data);
        break;
    default:
        pr_out(r, c, data);
        break;
    }
}

void fib_cdb_choose(struct fib_rng *r, const struct fib_disk *d, struct fib_cdb *c, uint8_t *data)
{
    const uint32_t blocks = (uint32_t)(d->dk_bytes / d->dk_block), n = 1 + fib_below(r, 8);
    const uint32_t lba = fib_below(r, blocks - n);

    switch (fib_below(r, 12)) {
    case 0:
        form(c, SCSI_TEST_UNIT_READY, 6, false, 0);
        break;
    case 1:
        form(c, SCSI_INQUIRY, 6, true, 36);
        c->cd_cdb[4] = 36;
        break;
    case 2:
        form(c, SCSI_MODE_SENSE_6, 6, true, 192);
        c->cd_cdb[2] = 0x3f;
        c->cd_cdb[4] = 192;
        break;
    case 3:
        form(c, SCSI_PERSISTENT_RESERVE_IN, 10, true, 64);
        c->cd_cdb[8] = 64;
        break;
    case 4:
        form(c, SCSI_FORMAT_UNIT, 6, false, 0);
        break;
    case 5:
        form(c, SCSI_SYNC_CACHE_10, 10, false, 0);
        break;
    case 6:
        form(c, SCSI_VERIFY_10, 10, false, 0);
        put32(c->cd_cdb + 2, lba);
        c->cd_cdb[8] = (uint8_t)n;
        break;
    case 7:
        fib_cdb_compare(d, lba, c);
        memset(data, 0, 2u * d->dk_block);
        break;
    case 8:
    case 9:
        no_contents(r, d, lba, n, c, data);
        break;
    default:
        authority(r, c, data);
        break;
    }
}

/* ---------------------------------------------------------------- another initiator */

static void foreign(const struct fib_disk *d, const struct fib_cdb *c, uint8_t *data)
{
    struct shim_seg seg = {(uintptr_t)data, c->cd_bytes};
    struct shim_dma_map map = {
        .map_segs = &seg, .map_segs_max = 1, .map_nsegs = c->cd_bytes != 0, .map_bytes = c->cd_bytes};
    struct ad_xfer x = {.xfer_cdb = c->cd_cdb,
                        .xfer_cdb_len = c->cd_length,
                        .xfer_dir = c->cd_in ? SHIM_DIR_FROM_DEVICE : SHIM_DIR_TO_DEVICE,
                        .xfer_bytes = c->cd_bytes,
                        .xfer_map = &map};

    sim_disk_other_initiator(d->dk_sim, &x);
    shim_det_observe((uint64_t)x.xfer_result << 8 | x.xfer_scsi_status);
}

void fib_foreign(struct fib_rng *r, const struct fib_disk *d)
{
    static uint8_t data[SC_PAGE_SIZE];
    struct fib_cdb c;

    authority(r, &c, data);
    foreign(d, &c, data);
}

void fib_foreign_over(const struct fib_disk *d)
{
    static uint8_t data[SC_PAGE_SIZE];
    struct fib_cdb c;

    /* Twice: the first may meet a unit attention. */
    for (unsigned i = 0; i < 2; i++) {
        form(&c, SCSI_RELEASE_6, 6, false, 0);
        foreign(d, &c, data);
        form(&c, SCSI_PERSISTENT_RESERVE_OUT, 10, false, 24);
        c.cd_cdb[1] = 0x06; /* register and ignore the key there may be; clear all */
        c.cd_cdb[8] = 24;
        memset(data, 0, 24);
        data[15] = 0x17;
        foreign(d, &c, data);
        c.cd_cdb[1] = 0x03;
        memset(data, 0, 24);
        data[7] = 0x17;
        foreign(d, &c, data);
        form(&c, SCSI_START_STOP_UNIT, 6, false, 0);
        c.cd_cdb[4] = 1;
        foreign(d, &c, data);
    }
}
