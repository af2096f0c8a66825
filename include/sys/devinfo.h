/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * devinfo.h - the answer to IOCINFO, which every device gives.
 *
 * Published names; widths and numbers are ours, with no padding the compiler could choose.
 */
#ifndef SYS_DEVINFO_H
#define SYS_DEVINFO_H

#include <sys/sctypes.h>

/* devtype */
#define DD_DISK   'R' /* older text for disks */
#define DD_SCDISK 'k' /* a disk under scdisk */
#define DD_BUS    'b' /* a bus: the adapter */
#define DD_TMSCSI 'y'
/* devsubtype */
#define DS_SCSI   22 /* SCSI adapter or device */
#define DS_TM     23
#define DS_SDA    24
/* flags of a disk */
#define DF_FIXED  0x01 /* non-removable medium */
#define DF_RAND   0x02 /* random access */
#define DF_FAST   0x04

/* What a device is, and its limits. Which member of `un` counts follows from devtype. */
struct devinfo {
    uint8_t devtype;     /* DD_* */
    uint8_t flags;       /* DF_*; 0 for an adapter */
    uint16_t devsubtype; /* DS_* */
    uint32_t reserved;   /* 0 */
    union {
        /* DD_BUS, DS_SCSI */
        struct {
            uint32_t card_scsi_id; /* the adapter's own SCSI id */
            uint32_t reserved0;
            uint64_t max_transfer; /* largest initiator-mode transfer, bytes */
        } scsi;
        /* DD_SCDISK */
        struct {
            uint64_t numblks; /* blocks on the medium */
            uint32_t blksize; /* bytes in a block */
            uint32_t segment_count;
            uint64_t max_request; /* largest ioctl transfer and largest single command, bytes */
            uint64_t segment_size;
        } scdk;
        uint8_t pad[56];
    } un; /* limits, by devtype */
};
SC_STATIC_ASSERT(sizeof(struct devinfo) == 64, "devinfo crosses ioctl(2): its size is fixed");
SC_STATIC_ASSERT(offsetof(struct devinfo, un) == 8, "devinfo layout");

/* Fill in a struct devinfo. On every device, in any mode. 0; EFAULT. */
#define IOCINFO SC_IOR('c', 0, struct devinfo)

#endif /* SYS_DEVINFO_H */
