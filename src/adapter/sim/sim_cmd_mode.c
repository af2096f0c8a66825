/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_mode.c - MODE SENSE and MODE SELECT, 6 and 10: pages 01, 08, 0A, 1C; current, changeable,
 * default and saved values.
 *
 * A disk keeps its pages as one array of bytes, page after page, exactly as they cross the bus.
 * The changeable mask has the same shape, so MODE SELECT is a comparison: a list may differ from the current
 * page only in bits of the mask.
 *
 * Does not contain: what the bits do (sim_disk.c turns them into dk_odd).
 */
#include "sim_impl.h"

#define SIM_MODE_PAGES 4u
#define SIM_MODE_PS    0x80u /* in byte 0 of a page sent to the initiator: it can be saved */

/* Where the pages lie in the array: offset and length with header. */
static const struct {
    uint8_t mp_code, mp_at, mp_bytes;
} sim_mode_page[SIM_MODE_PAGES] = {{0x01, 0, 12}, {0x08, 12, 20}, {0x0a, 32, 12}, {0x1c, 44, 12}};

enum { SIM_MODE_WCE_AT = 12 + 2, SIM_MODE_DSENSE_AT = 32 + 2, SIM_MODE_SWP_AT = 32 + 4 };
#define SIM_MODE_WCE    0x04u
#define SIM_MODE_DSENSE 0x04u
#define SIM_MODE_SWP    0x08u

static const uint8_t sim_mode_default[SIM_MODE_BYTES] = {
    /* 01 read-write error recovery: automatic reallocation, three retries */
    0x01,
    0x0a,
    0xc0,
    0x03,
    0,
    0,
    0,
    0,
    0x03,
    0,
    0,
    0,
    /* 08 caching: write cache on */
    0x08,
    0x12,
    SIM_MODE_WCE,
    0,
    0xff,
    0xff,
    0,
    0,
    0xff,
    0xff,
    0xff,
    0xff,
    0x80,
    0x20,
    0,
    0,
    0,
    0,
    0,
    0,
    /* 0a control: global logging target save disable, unrestricted reordering, aborted tasks are told */
    0x0a,
    0x0a,
    0x02,
    0x10,
    0,
    0x40,
    0,
    0,
    0xff,
    0xff,
    0,
    0,
    /* 1c informational exceptions: none are reported */
    0x1c,
    0x0a,
    0x08,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
};
static const uint8_t sim_mode_changeable[SIM_MODE_BYTES] = {
    [SIM_MODE_WCE_AT] = SIM_MODE_WCE,
    [SIM_MODE_DSENSE_AT] = SIM_MODE_DSENSE,
    [SIM_MODE_SWP_AT] = SIM_MODE_SWP,
};

void sim_mode_defaults(uint8_t mode[SIM_MODE_BYTES]) { memcpy(mode, sim_mode_default, SIM_MODE_BYTES); }

bool sim_mode_wce(const struct sim_disk *disk)
{
    return (disk->dk_mode[SIM_MODE_WCE_AT] & SIM_MODE_WCE) != 0;
}

bool sim_mode_descriptor_sense(const struct sim_disk *disk)
{
    return (disk->dk_mode[SIM_MODE_DSENSE_AT] & SIM_MODE_DSENSE) != 0;
}

bool sim_mode_protected(const struct sim_disk *disk)
{
    return (disk->dk_mode[SIM_MODE_SWP_AT] & SIM_MODE_SWP) != 0;
}

/* ---------------------------------------------------------------- MODE SENSE */

/* The block descriptor, short or long. Returns its length. */
static uint32_t sim_mode_block_descriptor(const struct sim_disk *disk, bool is_long, uint8_t *p)
{
    uint64_t blocks = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed);

    if (is_long) {
        scsi_put64(p, blocks);
        scsi_put32(p + 12, disk->dk_block_bytes);
        return 16;
    }
    scsi_put32(p, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
    scsi_put24(p + 5, disk->dk_block_bytes);
    return 8;
}

/* The pages asked for, in one of the four kinds of values. Returns their length. */
static uint32_t sim_mode_pages(struct sim_disk *disk, unsigned control, unsigned code, uint8_t *p)
{
    uint32_t used = 0;

    shim_lock_enter(&disk->dk_lock);
    for (unsigned i = 0; i < SIM_MODE_PAGES; i++) {
        unsigned at = sim_mode_page[i].mp_at, bytes = sim_mode_page[i].mp_bytes;
        const uint8_t *from = control == 0   ? disk->dk_mode
                              : control == 1 ? sim_mode_changeable
                              : control == 2 ? sim_mode_default
                                             : disk->dk_mode_saved;

        if (code != 0x3f && code != sim_mode_page[i].mp_code)
            continue;
        memcpy(p + used, from + at, bytes);
        p[used] = (uint8_t)(sim_mode_page[i].mp_code | SIM_MODE_PS);
        p[used + 1] = (uint8_t)(bytes - 2);
        used += bytes;
    }
    shim_lock_exit(&disk->dk_lock);
    return used;
}

void sim_cmd_mode_sense(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    bool ten = c->c_op->op_code == SCSI_MODE_SENSE_10;
    bool long_lba = ten && (c->c_cdb[1] & 0x10);
    unsigned control = c->c_cdb[2] >> 6, code = c->c_cdb[2] & 0x3f, subpage = c->c_cdb[3];
    uint32_t alloc = ten ? scsi_get16(c->c_cdb + 7) : c->c_cdb[4];
    uint32_t header = ten ? 8 : 4, descriptor = 0, pages;
    uint8_t data[8 + 16 + SIM_MODE_BYTES];
    bool protect;

    memset(data, 0, sizeof(data));
    /* Subpage FF means "with subpages"; we have none but 00. */
    if (subpage != 0 && !(subpage == 0xff && code == 0x3f)) {
        sim_check_cdb(c, 3, 8);
        return;
    }
    if (!(c->c_cdb[1] & 0x08))
        descriptor = sim_mode_block_descriptor(disk, long_lba, data + header);
    pages = sim_mode_pages(disk, control, code, data + header + descriptor);
    if (pages == 0) {
        sim_check_cdb(c, 2, 5);
        return;
    }
    protect = (atomic_load_explicit(&disk->dk_odd, memory_order_relaxed) & SIM_ODD_PROTECT) != 0;
    if (ten) {
        scsi_put16(data, header - 2 + descriptor + pages);
        data[3] = (uint8_t)(0x10u | (protect ? 0x80u : 0u)); /* DPO and FUA are understood */
        data[4] = long_lba;
        scsi_put16(data + 6, descriptor);
    } else {
        data[0] = (uint8_t)(header - 1 + descriptor + pages);
        data[2] = (uint8_t)(0x10u | (protect ? 0x80u : 0u));
        data[3] = (uint8_t)descriptor;
    }
    sim_data_in(c, data, header + descriptor + pages, alloc);
}

/* ---------------------------------------------------------------- MODE SELECT */

#define SIM_SELECT_BYTES 256u /* more than every page with the longest header */

/* The block descriptor may only repeat what is: neither size nor block length can be changed. */
static bool sim_select_descriptor_ok(struct sim_cmd *c, const uint8_t *p, uint32_t at, bool is_long)
{
    uint64_t capacity = atomic_load_explicit(&c->c_disk->dk_blocks, memory_order_relaxed);
    uint64_t blocks = is_long ? scsi_get64(p + at) : scsi_get32(p + at);
    uint32_t block_bytes = is_long ? scsi_get32(p + at + 12) : scsi_get24(p + at + 5);

    if (blocks != 0 && blocks != capacity && !(is_long ? blocks == UINT64_MAX : blocks == UINT32_MAX)) {
        sim_check_param(c, at, 8);
        return false;
    }
    if (block_bytes != c->c_disk->dk_block_bytes) {
        sim_check_param(c, is_long ? at + 12 : at + 5, 8);
        return false;
    }
    return true;
}

/* Check one page of the list and put its changeable bits into `mode`. False: sense is set. */
static bool sim_select_page(struct sim_cmd *c, const uint8_t *p, uint32_t at, uint32_t left, uint8_t *mode,
                            uint32_t *used)
{
    for (unsigned i = 0; i < SIM_MODE_PAGES; i++) {
        unsigned bytes = sim_mode_page[i].mp_bytes;
        uint8_t *now = mode + sim_mode_page[i].mp_at;
        const uint8_t *mask = sim_mode_changeable + sim_mode_page[i].mp_at;

        if ((p[at] & 0x7f) != sim_mode_page[i].mp_code)
            continue;
        if (left < 2 || p[at + 1] != bytes - 2) {
            sim_check_param(c, at + 1, 8);
            return false;
        }
        if (left < bytes) {
            sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
            return false;
        }
        for (unsigned b = 2; b < bytes; b++) {
            unsigned wrong = (p[at + b] ^ now[b]) & ~(unsigned)mask[b] & 0xffu;

            if (wrong) {
                sim_check_param(c, at + b, 31u - (unsigned)__builtin_clz(wrong));
                return false;
            }
            now[b] = p[at + b];
        }
        *used = bytes;
        return true;
    }
    sim_check_param(c, at, 5);
    return false;
}

/* Check the list and work out the new pages. Nothing of the disk changes. */
static bool sim_select_list(struct sim_cmd *c, const uint8_t *p, uint32_t bytes, uint8_t *mode)
{
    bool ten = c->c_op->op_code == SCSI_MODE_SELECT_10;
    bool is_long = ten && bytes >= 8 && (p[4] & 1);
    uint32_t at = ten ? 8 : 4;
    uint32_t descriptor = bytes < at ? 0 : ten ? scsi_get16(p + 6) : p[3];

    if (bytes < at || bytes - at < descriptor) {
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
        return false;
    }
    if (descriptor != 0) {
        if (descriptor != (is_long ? 16u : 8u)) {
            sim_check_param(c, ten ? 6 : 3, 8);
            return false;
        }
        if (!sim_select_descriptor_ok(c, p, at, is_long))
            return false;
    }
    for (at += descriptor; at < bytes;) {
        uint32_t used;

        if (!sim_select_page(c, p, at, bytes - at, mode, &used))
            return false;
        at += used;
    }
    return true;
}

/*
 * All of a list or nothing of it. The other initiators learn of a change by a unit attention; the
 * sender knows.
 */
void sim_cmd_mode_select(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    bool ten = c->c_op->op_code == SCSI_MODE_SELECT_10;
    uint32_t bytes = ten ? scsi_get16(c->c_cdb + 7) : c->c_cdb[4];
    uint8_t list[SIM_SELECT_BYTES], mode[SIM_MODE_BYTES];
    bool ok;

    if (!(c->c_cdb[1] & 0x10)) {
        sim_check_cdb(c, 1, 4); /* page format: there is no other */
        return;
    }
    if (bytes == 0)
        return;
    if (bytes > sizeof(list) || sim_data_out(c, 0, list, bytes) < bytes) {
        sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_PARAMETER_LENGTH, 0);
        return;
    }
    shim_lock_enter(&disk->dk_lock);
    memcpy(mode, disk->dk_mode, sizeof(mode));
    ok = sim_select_list(c, list, bytes, mode);
    if (ok) {
        bool changed = memcmp(mode, disk->dk_mode, sizeof(mode)) != 0;

        memcpy(disk->dk_mode, mode, sizeof(mode));
        if (c->c_cdb[1] & 0x01)
            memcpy(disk->dk_mode_saved, mode, sizeof(mode));
        if (changed)
            sim_attention_others_locked(disk, c->c_nexus, SCSI_ASC_PARAMETERS, SCSI_ASCQ_MODE_CHANGED);
    }
    shim_lock_exit(&disk->dk_lock);
}
