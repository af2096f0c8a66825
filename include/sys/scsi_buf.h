/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scsi_buf.h - struct scsi_buf and the SCIOL* numbers: the contract of adapters whose ids and LUNs
 * do not fit into 8 bits (Fibre Channel, iSCSI, SAS, virtual SCSI). Reserved: no adapter driver of
 * this project takes one yet.
 *
 * A device driver learns from the adapter which of the two contracts it speaks (IOCINFO's
 * devsubtype: DS_SCSI takes a struct sc_buf), and never mixes them. So that a mistake does not end
 * in a structure read as the other one, a scsi_buf says what it is: B_SCSI_BUF in
 * bufstruct.b_flags. An adapter driver looks there before it touches anything behind bufstruct. The
 * one for struct sc_buf gives such a request back with B_ERROR, EINVAL and b_resid = b_bcount, and
 * has written nothing behind bufstruct; one for struct scsi_buf does the same to a request without
 * the bit. Its SCIOL* ioctls are EINVAL for an adapter driver that does not have them.
 *
 * All that is not about addresses is as in scsi.h: the halted queue, SC_RESUME, SC_Q_CLR,
 * SC_Q_RESUME, SC_DID_NOT_CLEAR_Q, spanned and gathered requests, one request per strategy call.
 *
 * Names after the published documents, which give no values and not all of the layout: the rest
 * is ours. The structures carry a version and room; more will be appended, never moved.
 *
 * Does not contain: struct sc_buf (scsi.h).
 */
#ifndef SYS_SCSI_BUF_H
#define SYS_SCSI_BUF_H

#include <sys/scsi.h>

#define SCSI_VERSION_1 1 /* the one version so far */

/* The command, with room for CDBs longer than 16 bytes behind a pointer one day. */
struct scsi_cdb {
    uint8_t scsi_length;  /* CDB bytes: 6, 10, 12 or 16 */
    uint8_t FCP_flags;    /* SC_NODISC, SC_ASYNC */
    uint8_t resvd[6];     /* 0 */
    uint8_t scsi_cmd[16]; /* the CDB */
};

/* One transaction. Set by the device driver (DD) or by the adapter driver (AD), as in an sc_buf. */
struct scsi_buf {
    struct buf bufstruct;         /* DD: as in an sc_buf, and B_SCSI_BUF in b_flags */
    struct buf *bp;               /* DD: first original buf of a spanned request, else NULL */
    struct uio *resvd1;           /* DD: NULL, or the uio of a gathered write; AD may alter it */
    struct scsi_cdb scsi_command; /* DD */
    uint64_t scsi_id;             /* DD: the target, in the adapter's own numbering */
    uint64_t lun_id;              /* DD: the LUN, as SAM's 8 bytes read as one big-endian number */
    uint64_t world_wide_name;     /* DD: of the port, or 0 */
    uint64_t node_name;           /* DD: of the node, or 0 */
    uint64_t kernext_handle;      /* DD: from SCIOLSTART; needed with dynamic tracking, else 0 */
    uint32_t timeout_value;       /* DD: seconds; 0 none */
    uint8_t version;              /* DD: SCSI_VERSION_1 */
    uint8_t q_tag_msg;            /* DD: SC_NO_Q ... */
    uint16_t flags;               /* DD: SC_RESUME ... SC_Q_RESUME, and those below */
    uint8_t status_validity;      /* AD: 0, SC_SCSI_ERROR or SC_ADAPTER_ERROR */
    uint8_t scsi_status;          /* AD: valid with SC_SCSI_ERROR */
    uint8_t adap_q_status;        /* AD: 0, or SC_DID_NOT_CLEAR_Q */
    uint8_t adap_set_flags;       /* AD: SC_AUTOSENSE_DATA_VALID */
    uint32_t adapter_status;      /* AD: valid with SC_ADAPTER_ERROR; the bits of general_card_status */
    uint32_t add_status;          /* AD: the vendor's detail, or 0 */
    uint32_t autosense_length;    /* DD: bytes behind autosense_buffer_ptr; 0: no autosense */
    uint32_t resvd2;              /* 0 */
    void *autosense_buffer_ptr;   /* DD: where the AD puts sense data */
    uint64_t resvd3[8];           /* 0 */
};
SC_STATIC_ASSERT(offsetof(struct scsi_buf, bufstruct) == 0, "a scsi_buf is also a buf");

/* flags beside the four of scsi.h, which keep their values */
#define SC_CLEAR_ACA            0x0010
#define SC_TARGET_RESET         0x0020
#define SC_LUN_RESET            0x0040
#define SC_QUIESCE_IO           0x0080
#define SC_DEV_RESTART          0x0100
/* q_tag_msg beside those of scsi.h */
#define SC_ACA_Q                0x2f
/* adap_set_flags */
#define SC_AUTOSENSE_DATA_VALID 0x01

/* SCIOLSTART, SCIOLSTOP, SCIOLHALT, SCIOLRESET. */
struct scsi_sciolst {
    uint16_t version;         /* SCSI_VERSION_1 */
    uint16_t flags;           /* SCIOLRESET: SC_TARGET_RESET or SC_LUN_RESET */
    uint32_t resvd;           /* 0 */
    uint64_t scsi_id;         /* as in a scsi_buf */
    uint64_t lun_id;          /* likewise */
    uint64_t world_wide_name; /* or 0 */
    uint64_t node_name;       /* or 0 */
    uint64_t kernext_handle;  /* SCIOLSTART, out */
    uint64_t resvd2[4];       /* 0 */
};
SC_STATIC_ASSERT(sizeof(struct scsi_sciolst) == 80, "fixed layout");

/* Numbers within type 'S' that belong to this contract; nothing else may use 64 to 79. */
enum {
    SCIOL_NR_START = 64,
    SCIOL_NR_STOP,
    SCIOL_NR_HALT,
    SCIOL_NR_RESET,
    SCIOL_NR_INQU,
    SCIOL_NR_STUNIT,
    SCIOL_NR_TUR,
    SCIOL_NR_READ,
    SCIOL_NR_CMD,
    SCIOL_NR_EVENT,
    SCIOL_NR_CHBA,
    SCIOL_NR_PASSTHRUHBA,
    SCIOL_NR_LAST = 79
};
#define SCIOLSTART SC_IOWR('S', SCIOL_NR_START, struct scsi_sciolst)
#define SCIOLSTOP  SC_IOWR('S', SCIOL_NR_STOP, struct scsi_sciolst)
#define SCIOLHALT  SC_IOWR('S', SCIOL_NR_HALT, struct scsi_sciolst)
#define SCIOLRESET SC_IOWR('S', SCIOL_NR_RESET, struct scsi_sciolst)

#endif /* SYS_SCSI_BUF_H */
