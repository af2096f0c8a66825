/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cmd_vpd.c - vital product data: pages 00, 80, 83, B0, B1 and B2 of INQUIRY.
 *
 * Does not contain: standard INQUIRY data (sim_cmd_info.c).
 */
#include "sim_impl.h"

#define SIM_VPD_BYTES 128u

static const uint8_t sim_vpd_pages[] = {SCSI_VPD_SUPPORTED,       SCSI_VPD_SERIAL,
                                        SCSI_VPD_DEVICE_ID,       SCSI_VPD_BLOCK_LIMITS,
                                        SCSI_VPD_BLOCK_CHARACTER, SCSI_VPD_PROVISIONING};

static uint32_t sim_serial_bytes(const struct sim_disk *disk)
{
    uint32_t n = 0;

    while (disk->dk_serial[n] != '\0')
        n++;
    SHIM_ASSERT(n > 0 && n <= 16);
    return n;
}

/* A number for the NAA designator out of the serial number (FNV-1a, 60 bits used). */
static uint64_t sim_serial_hash(const struct sim_disk *disk)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (const char *p = disk->dk_serial; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    return h;
}

/* 83: vendor and serial in text, and a locally assigned NAA name. Returns the payload's length. */
static uint32_t sim_vpd_device_id(const struct sim_disk *disk, uint8_t *p)
{
    static const char vendor[8] = "SCPAIR  ";
    uint32_t serial = sim_serial_bytes(disk);
    uint8_t *naa = p + 4 + 8 + serial;

    p[0] = 0x02; /* ASCII */
    p[1] = 0x01; /* of the logical unit; T10 vendor identification */
    p[3] = (uint8_t)(8 + serial);
    memcpy(p + 4, vendor, sizeof(vendor));
    memcpy(p + 12, disk->dk_serial, serial);
    naa[0] = 0x01; /* binary */
    naa[1] = 0x03; /* NAA */
    naa[3] = 8;
    scsi_put64(naa + 4, (sim_serial_hash(disk) >> 4) | (uint64_t)3 << 60);
    return 4 + 8 + serial + 12;
}

/* B0: what one command may ask for. */
static uint32_t sim_vpd_limits(const struct sim_disk *disk, uint8_t *p)
{
    uint32_t page = SIM_BLOCK_MAX >> disk->dk_block_shift, physical = 1u << disk->dk_physical_exponent;
    uint32_t granularity = page > physical ? page : physical;

    p[0] = 0x01; /* WSNZ: WRITE SAME of 0 blocks is refused */
    p[1] = SIM_CAW_BLOCKS_MAX;
    scsi_put16(p + 2, granularity);
    scsi_put32(p + 4, disk->dk_transfer_blocks_max);
    scsi_put32(p + 8, disk->dk_transfer_blocks_max);
    if (disk->dk_ops->unmap) {
        scsi_put32(p + 16, UINT32_MAX);
        scsi_put32(p + 20, SIM_UNMAP_DESCS_MAX);
        scsi_put32(p + 24, granularity);
    }
    scsi_put64(p + 32, SIM_WRITE_SAME_MAX);
    return 60;
}

/* B1: it does not rotate. */
static uint32_t sim_vpd_character(const struct sim_disk *disk, uint8_t *p)
{
    scsi_put16(p, 1);
    if (disk->dk_ops->unmap)
        p[3] = 0x50; /* after SANITIZE a READ without a WRITE is fine, block and cryptographic erase alike */
    return 60;
}

/* B2: UNMAP and both WRITE SAMEs deallocate, and deallocated blocks read as zeroes. */
static uint32_t sim_vpd_provisioning(const struct sim_disk *disk, uint8_t *p)
{
    if (disk->dk_ops->unmap) {
        p[1] = 0x80 | 0x40 | 0x20 | 0x04;
        p[2] = 0x02; /* thin */
    }
    return 4;
}

void sim_cmd_inquiry_vpd(struct sim_cmd *c)
{
    const struct sim_disk *disk = c->c_disk;
    uint8_t data[SIM_VPD_BYTES];
    uint8_t *payload = data + 4;
    uint8_t page = c->c_cdb[2];
    uint32_t bytes;

    memset(data, 0, sizeof(data));
    data[0] = disk ? 0x00 : 0x7f;
    data[1] = page;
    if (!disk && page != SCSI_VPD_SUPPORTED) {
        sim_check_cdb(c, 2, 8);
        return;
    }
    switch (page) {
    case SCSI_VPD_SUPPORTED:
        /* A LUN that is not there knows this page alone. */
        bytes = disk ? sizeof(sim_vpd_pages) : 1;
        memcpy(payload, sim_vpd_pages, bytes);
        break;
    case SCSI_VPD_SERIAL:
        bytes = sim_serial_bytes(disk);
        memcpy(payload, disk->dk_serial, bytes);
        break;
    case SCSI_VPD_DEVICE_ID:
        bytes = sim_vpd_device_id(disk, payload);
        break;
    case SCSI_VPD_BLOCK_LIMITS:
        bytes = sim_vpd_limits(disk, payload);
        break;
    case SCSI_VPD_BLOCK_CHARACTER:
        bytes = sim_vpd_character(disk, payload);
        break;
    case SCSI_VPD_PROVISIONING:
        bytes = sim_vpd_provisioning(disk, payload);
        break;
    default:
        sim_check_cdb(c, 2, 8);
        return;
    }
    SHIM_ASSERT(bytes + 4 <= sizeof(data));
    scsi_put16(data + 2, bytes);
    sim_data_in(c, data, bytes + 4, scsi_get16(c->c_cdb + 3));
}
