/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thead.h - what a program must know of the conformance head: its configuration method and its
 * ioctls. The driver itself is thead.c.
 */
#ifndef THEAD_H
#define THEAD_H

#include <sys/kservices.h>
#include <sys/scsi.h>

/* The define-device structure its configure method takes through the uio. */
struct thead_dds {
    devno_t adapter_devno;
    uint8_t scsi_id;
    uint8_t lun_id;
};

/* What the head found out at open. */
struct thead_info {
    uint64_t transfer_bytes_max; /* the adapter's, from IOCINFO */
    int gather_errno;            /* what SCIOGTHW answered: 0 gathered writes work */
    uint32_t attentions;         /* CHECK CONDITIONs it recovered from */
};

/* One list of memory pieces to be read as one spanned command, or written as one gathered one. */
#define THEAD_PIECES_MAX 16
struct thead_io {
    uint32_t lba;
    uint32_t npieces;
    struct iovec pieces[THEAD_PIECES_MAX];
};
#define THEAD_INFO         SC_IOR('T', 1, struct thead_info)
#define THEAD_INQUIRY      SC_IOR('T', 2, uint8_t[36])
#define THEAD_SPAN_READ    SC_IOW('T', 3, struct thead_io)
#define THEAD_GATHER_WRITE SC_IOW('T', 4, struct thead_io)

/* CFG_INIT with a struct thead_dds in the uio; CFG_TERM. 0 or errno. Process. */
int thead_config(devno_t devno, int cmd, struct uio *uiop);

#endif /* THEAD_H */
