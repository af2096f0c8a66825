/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scsi.h - struct sc_buf and the adapter ioctls: the only thing a SCSI device driver and a SCSI
 * adapter driver know of each other.
 *
 * Names and rules after the published AIX documentation. Values are ours except the status bytes,
 * which IBM prints in service manuals. Layouts are ours; those that cross ioctl(2) are fixed by
 * _Static_assert.
 *
 * Does not contain: what is inside a CDB or a sense buffer (scsiproto.h); the contract of adapters
 * with wider ids and LUNs (scsi_buf.h).
 */
#ifndef SYS_SCSI_H
#define SYS_SCSI_H

#include <sys/buf.h>
#include <sys/devinfo.h>
#include <sys/sctypes.h>
#include <sys/scuio.h>

/* The transfer every adapter driver accepts in one command, in bytes (AIX-10). */
#define SC_MAXREQUEST 65536u

/* Address ranges the interface can name. */
#define SC_IDS_MAX  16u
#define SC_LUNS_MAX 32u

/* ------------------------------------------------------------------ the command */

/* CDB bytes, with the two the published structure names. LUN sits in byte 1, upper three bits. */
struct sc_cmd {
    uint8_t scsi_op_code; /* byte 0 */
    uint8_t lun; /* a LUN of 0..7 in bits 7-5, as SCSI-2 has it; the other bits belong to the command */
    uint8_t scsi_bytes[14]; /* bytes 2..15 */
};
struct scsi {
    uint8_t scsi_length;    /* CDB bytes: 6, 10, 12 or 16 */
    uint8_t scsi_id;        /* target id */
    uint8_t scsi_flags;     /* SC_NODISC, SC_ASYNC */
    uint8_t scsi_resvd;     /* 0 */
    struct sc_cmd scsi_cmd; /* the CDB */
};
#define SC_NODISC 0x80 /* forbid disconnection; never in normal use (AIX-28) */
#define SC_ASYNC  0x08 /* asynchronous transfer; only on the last retry after a bus fault (AIX-28) */

/*
 * One transaction, from the device driver to the adapter driver's strategy routine and back by
 * iodone(). `bufstruct` is first so that one address serves as both.
 */
struct sc_buf {
    struct buf bufstruct;     /* DD: address, count, direction, b_dev, b_iodone; av_forw NULL. AD: result */
    struct buf *bp;           /* DD: first original buf of a spanned request, else NULL */
    struct scsi scsi_command; /* DD */
    uint32_t timeout_value;   /* DD: seconds; 0 none */
    uint8_t status_validity;  /* AD: 0, SC_SCSI_ERROR or SC_ADAPTER_ERROR */
    uint8_t scsi_status;      /* AD: valid with SC_SCSI_ERROR */
    uint8_t general_card_status; /* AD: valid with SC_ADAPTER_ERROR */
    uint8_t adap_q_status;       /* AD: 0, or SC_DID_NOT_CLEAR_Q */
    uint8_t lun;                 /* DD: 0..31; 0..7 also in scsi_cmd.lun */
    uint8_t q_tag_msg;           /* DD: SC_NO_Q ... */
    uint8_t flags;               /* DD: SC_RESUME ... */
    uint8_t resvd2;              /* 0 */
    struct uio *resvd1;          /* DD: NULL, or the uio of a gathered write; AD may alter it */
    uint64_t resvd3[2];          /* 0: room */
};
SC_STATIC_ASSERT(offsetof(struct sc_buf, bufstruct) == 0, "an sc_buf is also a buf");
SC_STATIC_ASSERT(sizeof(struct sc_cmd) == 16, "room for the longest CDB");

/* status_validity */
#define SC_SCSI_ERROR           0x01
#define SC_ADAPTER_ERROR        0x02
/* scsi_status */
#define SC_GOOD_STATUS          0x00
#define SC_CHECK_CONDITION      0x02
#define SC_BUSY_STATUS          0x08
#define SC_RESERVATION_CONFLICT 0x18
#define SC_COMMAND_TERMINATED   0x22
#define SC_QUEUE_FULL           0x28
/* general_card_status */
#define SC_HOST_IO_BUS_ERR      0x01
#define SC_SCSI_BUS_FAULT       0x02
#define SC_CMD_TIMEOUT          0x04
#define SC_NO_DEVICE_RESPONSE   0x08
#define SC_ADAPTER_HDW_FAILURE  0x10
#define SC_ADAPTER_SFW_FAILURE  0x20
#define SC_FUSE_OR_TERMINAL_PWR 0x40
#define SC_SCSI_BUS_RESET       0x80
/* adap_q_status */
#define SC_DID_NOT_CLEAR_Q      0x01
/* q_tag_msg: the SCSI-2 message codes */
#define SC_NO_Q                 0x00
#define SC_SIMPLE_Q             0x20
#define SC_HEAD_OF_Q            0x21
#define SC_ORDERED_Q            0x22
/*
 * flags, and the queue that the adapter driver keeps for each started id/LUN. What a head does to it,
 * and what it gets (after the published recovery rules; the table is the contract of this project):
 *
 *   state      what comes                             what happens                                 then
 *   running    a request                              queued, sent in order                        running
 *              one ends without B_ERROR               iodone; b_resid may be more than 0           running
 *              one ends with EIO                      those behind it come back ENXIO, in order    halted
 *              a tagged CHECK CONDITION or COMMAND    SC_DID_NOT_CLEAR_Q: tagged requests behind   kept
 *              TERMINATED, where the adapter keeps    it stay queued; untagged ones ENXIO
 *              SCIOHALT                               all come back ENXIO                          halted
 *              SCIORESET, commands at the device      the first of them comes back EIO with        halted
 *                                                     SC_SCSI_BUS_RESET, what is behind it ENXIO
 *              SCIORESET, none                        nothing                                      running
 *              SC_Q_CLR, SC_Q_RESUME                  EINVAL                                       running
 *   halted     a request with SC_RESUME               queued, sent                                 running
 *              SC_Q_CLR, SC_Q_RESUME (with SC_RESUME  EINVAL                                       halted
 *              too)
 *              a request without                      ENXIO                                        halted
 *   kept       SC_RESUME and SC_NO_Q, a command       sent alone: the recovery command             recovering
 *              SC_Q_CLR                               all queued come back ENXIO, then itself      halted
 *              SC_RESUME and SC_Q_RESUME              its command first, if it has one             running
 *              anything else                          ENXIO                                        kept
 *   recovering the recovery command ends well         iodone                                       recovered
 *              it fails                               EIO                                          kept
 *   recovered  as in kept; SC_RESUME is no longer needed with SC_Q_RESUME
 *
 * What is wanted back from the device may have ended there by itself: then it comes back as it ended.
 * A request that strategy refuses (EINVAL, ENOMEM, EFAULT) was never in the queue and changes nothing. That
 * the adapter cannot reach its memory is found out when it is its turn: EINVAL then (ENOMEM: a gathered write
 * for whose copy there is no memory); it is not sent and halts nothing, but its SC_RESUME or SC_Q_RESUME has
 * had its effect. Except the recovery command: the queue is kept, as when it fails.
 */
#define SC_RESUME               0x01 /* first transaction after the queue halted */
#define SC_DELAY_CMD            0x02 /* hold back a second (ad_delay_ms): the device was just reset */
#define SC_Q_CLR                0x04 /* no command: clear the queue kept after an error */
#define SC_Q_RESUME             0x08 /* let the queue kept after an error run again */

/* ------------------------------------------------------------------ adapter ioctls */

/*
 * Process level only. A kernel caller gets the errno as fp_ioctl's value, a user -1 and errno.
 * Plain-word arguments: LUN in bits 7-0, id in bits 15-8, the rest 0.
 *
 * Structures with a pointer also have an inline area: with the pointer NULL the data is there.
 * Through a FUSE mount only the structure itself crosses, so the pointer must be NULL (EFAULT
 * otherwise); a caller in the same address space may use either. Reserved members are 0: EINVAL.
 */
#define SC_ARG(id, lun) ((intptr_t)(((unsigned)(id) << 8) | (unsigned)(lun)))

/*
 * A user needs authority (DAUTH) for all of these but SCIOGTHW: EPERM.
 *
 * Open the path to an id/LUN; before anything else but IOCINFO (AIX-25). It belongs to the file that
 * started it: to another one SCIOSTOP, SCIOHALT and SCIORESET are EINVAL, and its close ends with a
 * SCIOSTOP of what it left started. EIO, EINVAL, ETIMEDOUT.
 */
#define SCIOSTART  SC_IO('S', 1)
/* Close it; waits for its I/O. EINVAL not started, or by another file. */
#define SCIOSTOP   SC_IO('S', 2)
/* End the current command, flush the rest (ENXIO), and halt (AIX-26). EINVAL as above; EIO: stopping. */
#define SCIOHALT   SC_IO('S', 3)
/* Bus device reset to the id: all its LUNs. EINVAL as above. */
#define SCIORESET  SC_IO('S', 4)
/* Are gathered writes supported? arg NULL. 0, or EINVAL: never attempt one (AIX-15). */
#define SCIOGTHW   SC_IO('S', 5)
/* Register for asynchronous events. Kernel callers only (EPERM), the file that started it, once (EINVAL). */
#define SCIOEVENT  SC_IOWR('S', 6, struct sc_event_struct)
#define SCIOINQU   SC_IOWR('S', 7, struct sc_inquiry)
#define SCIOSTUNIT SC_IOWR('S', 8, struct sc_startunit)
#define SCIOTUR    SC_IOWR('S', 9, struct sc_ready)
#define SCIOREAD   SC_IOWR('S', 10, struct sc_readblk)
#define SCIOCMD    SC_IOWR('S', 11, struct sc_passthru)

/* SCIOINQU: INQUIRY. errno: EFAULT, EINVAL, EIO, ENOCONNECT, ENODEV, ENOMEM, ETIMEDOUT. */
struct sc_inquiry {
    uint8_t scsi_id;     /* target */
    uint8_t lun_id;      /* its LUN */
    uint8_t flags;       /* SC_ASYNC, SC_NODISC */
    uint8_t inquiry_len; /* bytes wanted, at most 255 */
    uint8_t get_extd;    /* 1: vital product data page code_page */
    uint8_t code_page;   /* with get_extd */
    uint8_t reserved[2];
    uint64_t inquiry_ptr;      /* address of the data area, or 0: inquiry_data */
    uint8_t inquiry_data[256]; /* with inquiry_ptr 0 */
};
SC_STATIC_ASSERT(sizeof(struct sc_inquiry) == 272, "fixed layout");

/* SCIOSTUNIT: START STOP UNIT. */
struct sc_startunit {
    uint8_t scsi_id;    /* target */
    uint8_t lun_id;     /* its LUN */
    uint8_t flags;      /* SC_ASYNC, SC_NODISC */
    uint8_t start_flag; /* 1 start, 0 stop */
    uint8_t immed_flag; /* 1: do not wait until it has spun up */
    uint8_t reserved;
    uint16_t timeout_value; /* seconds */
};
SC_STATIC_ASSERT(sizeof(struct sc_startunit) == 8, "fixed layout");

/* SCIOTUR: TEST UNIT READY. On EIO the two status fields say why. */
struct sc_ready {
    uint8_t scsi_id;         /* target */
    uint8_t lun_id;          /* its LUN */
    uint8_t flags;           /* SC_ASYNC, SC_NODISC */
    uint8_t status_validity; /* out */
    uint8_t scsi_status;     /* out */
    uint8_t reserved[3];
};
SC_STATIC_ASSERT(sizeof(struct sc_ready) == 8, "fixed layout");

/* SCIOREAD: one block by READ(6), at most 4096 bytes (EINVAL). */
#define SCIOREAD_BYTES_MAX 4096u
struct sc_readblk {
    uint8_t scsi_id; /* target */
    uint8_t lun_id;  /* its LUN */
    uint8_t flags;   /* SC_ASYNC, SC_NODISC */
    uint8_t reserved;
    uint16_t blklen;        /* block length, bytes */
    uint16_t timeout_value; /* seconds */
    uint32_t blk_no;        /* 21 bits */
    uint32_t reserved2;
    uint64_t data_ptr;                /* or 0: data */
    uint8_t data[SCIOREAD_BYTES_MAX]; /* with data_ptr 0 */
};
SC_STATIC_ASSERT(sizeof(struct sc_readblk) == 24 + SCIOREAD_BYTES_MAX, "fixed layout");

/*
 * SCIOCMD and DK_PASSTHRU: any command, no recovery, no logging. q_flags are for the file that started the
 * id/LUN (SC_DELAY_CMD for all): EINVAL with einval_arg 7.
 */
#define SC_PASSTHRU_INLINE 8192u
#define SC_PASSTHRU_SENSE  252u
#define SC_VERSION_1       1
#define SC_EINVAL_LENGTH   18 /* einval_arg: data length above the maximum */
struct sc_passthru {
    uint8_t version;                      /* 1: SC_VERSION_1 */
    uint8_t status_validity;              /* 2, out */
    uint8_t scsi_bus_status;              /* 3, out */
    uint8_t adapter_status;               /* 4, out */
    uint8_t adap_q_status;                /* 5, out */
    uint8_t q_tag_msg;                    /* 6 */
    uint8_t q_flags;                      /* 7: SC_RESUME ... */
    uint8_t flags;                        /* 8: SC_PT_READ: data comes in */
    uint8_t command_length;               /* 9: 6, 10, 12, 16 */
    uint8_t autosense_length;             /* 10: sense wanted after CHECK CONDITION; 0 none */
    uint8_t einval_arg;                   /* 11, out: 1-based number of the field that was wrong, 0 unknown */
    uint8_t reserved;                     /* 12: 0 */
    uint16_t scsi_id;                     /* 13 */
    uint16_t lun_id;                      /* 14 */
    uint32_t timeout_value;               /* 15: seconds */
    uint32_t reserved1;                   /* 0; the layout must not depend on how a machine aligns 64 bits */
    uint64_t residual;                    /* 16, out */
    uint64_t buffer;                      /* 17: or 0: data */
    uint64_t data_length;                 /* 18 */
    uint8_t scsi_cdb[16];                 /* 19 */
    uint8_t autosense[SC_PASSTHRU_SENSE]; /* 20, out */
    uint8_t sense_bytes;                  /* 21, out */
    uint8_t reserved2[3];
    uint8_t data[SC_PASSTHRU_INLINE]; /* with buffer 0 */
};
#define SC_PT_READ 0x01
SC_STATIC_ASSERT(offsetof(struct sc_passthru, data) == 320, "fixed layout");
SC_STATIC_ASSERT(sizeof(struct sc_passthru) < 16384, "an ioctl number carries 14 bits of size");

/* ------------------------------------------------------------------ asynchronous events */

#define SC_IM_MODE          1    /* initiator */
#define SC_TM_MODE          2    /* target */
#define SC_FATAL_HDW_ERR    0x01 /* events: the adapter is dead */
#define SC_ADAP_CMD_FAILED  0x02 /* events: a command of its own failed */
#define SC_SCSI_RESET_EVENT 0x04 /* events: somebody reset the bus */
#define SC_BUFS_EXHAUSTED   0x08 /* events: target mode, out of buffers */

/* What async_func gets. Valid during the call only; copy `events`. */
struct sc_event_info {
    uint32_t events; /* SC_* above, several at once possible */
    uint8_t id;      /* whose event */
    uint8_t lun;     /* and LUN */
    uint8_t mode;    /* SC_IM_MODE */
    uint8_t reserved;
    devno_t adap_devno;     /* which adapter */
    void *async_correlator; /* as registered */
};

/* SCIOEVENT's argument. async_func may run at interrupt level, with no AD lock held. */
struct sc_event_struct {
    uint8_t id;   /* target of a LUN that is started */
    uint8_t lun;  /* and its LUN */
    uint8_t mode; /* SC_IM_MODE */
    uint8_t reserved[5];
    void (*async_func)(struct sc_event_info *info); /* called for every event */
    void *async_correlator;                         /* handed to it */
};

/* ------------------------------------------------------------------ openx ext flags of disk drivers */

/* EPERM for a user without authority (DAUTH). */
#define SC_DIAGNOSTIC         0x01 /* alone on the device, no retries (EACCES when it is open) */
#define SC_FORCED_OPEN        0x02 /* break another initiator's reservation */
#define SC_RETAIN_RESERVATION 0x04 /* do not release at close */
#define SC_NO_RESERVE         0x08 /* do not reserve at open */
#define SC_SINGLE             0x10 /* exclusive open (EBUSY) */

/* ------------------------------------------------------------------ statistics [ours] */

/* State of a LUN's queue: see the table at `flags` above. */
#define SC_LUN_STOPPED   0 /* before SCIOSTART */
#define SC_LUN_RUNNING   1
#define SC_LUN_HALTED    2
#define SC_LUN_KEPT      3
#define SC_LUN_RECOVERY  4 /* recovering */
#define SC_LUN_RECOVERED 5
#define SC_LUN_STOPPING  6 /* SCIOSTOP waits for what is left */

/* Counters of one LUN in the adapter driver. arg: id and LUN in the structure. */
struct sc_lun_stats {
    uint8_t id;    /* in: target */
    uint8_t lun;   /* in: LUN */
    uint8_t state; /* out: SC_LUN_* */
    uint8_t reserved;
    uint32_t queued;       /* gauge: waiting */
    uint32_t active;       /* gauge: at the device */
    uint32_t active_max;   /* highest so far */
    uint32_t openings;     /* commands it may have at the device */
    uint32_t flushing;     /* gauge: thrown back, and not given back before the chip has let go of all */
    uint64_t accepted;     /* by strategy: queued + active + flushing + completed, always */
    uint64_t completed;    /* given back */
    uint64_t errors;       /* of them, with B_ERROR */
    uint64_t flushed;      /* of them, thrown back with ENXIO */
    uint64_t timeouts;     /* commands that took too long */
    uint64_t refused;      /* by the rules of the interface */
    uint64_t waits_credit; /* times the adapter had no room */
};
struct sc_adapter_stats {
    uint64_t commands;          /* sent */
    uint64_t completed;         /* came back */
    uint64_t errors;            /* of them, with an error */
    uint64_t resets;            /* asked for */
    uint64_t events;            /* reported */
    uint64_t responses_pending; /* done but not given back yet: 0 at rest */
    uint32_t credits;           /* commands it holds at once */
    uint32_t credits_free;      /* of them, free */
    uint32_t luns_started;      /* SCIOSTART in force */
    uint32_t thread_wakes;      /* wake-ups of its own threads; wraps */
    uint64_t max_transfer;      /* bytes */
};
#define SCIOLUNSTAT SC_IOWR('S', 32, struct sc_lun_stats)
#define SCIOSTAT    SC_IOR('S', 33, struct sc_adapter_stats)

/* What keeps a LUN from having more commands at its device. EINVAL: not started, or reserved bytes not 0. */
struct sc_lun_flow {
    uint8_t id;  /* in: target */
    uint8_t lun; /* in: LUN */
    uint8_t reserved[2];
    uint32_t limit;        /* gauge: commands it may have at the device; lowered by QUEUE FULL */
    uint32_t limit_max;    /* as far as that may rise */
    uint32_t target_max;   /* commands all LUNs of its target may have together; 0: no such limit */
    uint32_t target_free;  /* gauge: of them, free */
    uint32_t quarantined;  /* gauge: tags that are not used again yet */
    uint32_t frozen;       /* gauge: freezes in force */
    uint32_t reserved4;    /* 0, and so the last member */
    uint64_t fulls;        /* QUEUE FULL seen */
    uint64_t fulls_alone;  /* of them, with nothing else at the device: as BUSY */
    uint64_t lowered;      /* times the limit was lowered */
    uint64_t raised;       /* times it was raised by one */
    uint64_t waits_limit;  /* looks at the queue that found the limit reached */
    uint64_t waits_target; /* times the target had no room */
    uint64_t guards;       /* ORDERED tags sent so that nothing starves at the device */
    uint64_t freezes;      /* freezes there were */
    uint64_t thaws;        /* of them, undone */
    uint64_t late_thaws;   /* of them, because their time was up */
    uint64_t turns;        /* credits it was handed while it waited */
    uint64_t wait_max_ns;  /* longest wait for one */
    uint32_t kb_per_s;     /* how its target transfers data, as far as the chip has told; 0 it has not */
    uint32_t mode;         /* AD_MODE_* of <scpair/ad_hw.h> */
    uint64_t reserved8[3];
};
SC_STATIC_ASSERT(sizeof(struct sc_lun_flow) == 160, "fixed layout");
#define SCIOLUNFLOW SC_IOWR('S', 35, struct sc_lun_flow)

/* ------------------------------------------------------------------ the flight recorder [ours] */

/*
 * What a driver remembers of its last recoveries, one record a step: always on, written where
 * something has gone wrong and nowhere else. The error log counts what is alike; here each step has its
 * own time, request and result, in order.
 */
#define SC_FLIGHT_RECORDS 32u
#define SC_FLIGHT_SEEN    1 /* a command came back with an error: what was seen, which rule, what was done */
#define SC_FLIGHT_OVER    2 /* the last request that took part has ended */
#define SC_FLIGHT_STATE   3 /* adapter: the LUN's queue was halted, kept, resumed */
#define SC_FLIGHT_LATE    4 /* adapter: a command's time was up */
#define SC_FLIGHT_LIMIT   5 /* adapter: how many commands a LUN may have at its device has changed */
struct sc_flight_rec {
    uint64_t seq;            /* 1, 2, 3 ...; 0: no record */
    uint64_t when_ns;        /* kern_now_ns() */
    uint64_t took_ns;        /* since it was seen; OVER: since the first was; STATE: since the queue ran */
    uint64_t lba;            /* the command's first block, when blocks is not 0 */
    uint32_t blocks;         /* 0: no READ or WRITE, or nobody looked */
    uint32_t episode;        /* what belongs together has the same number */
    uint32_t requests;       /* bufs in the command; OVER: bufs that took part */
    uint32_t good;           /* OVER: of them, ended well */
    uint32_t failed;         /* OVER: of them, ended with an error */
    uint32_t retries;        /* OVER: commands sent again */
    uint16_t error;          /* errno the requests got, or the first of several; 0 none */
    uint8_t what;            /* SC_FLIGHT_* */
    uint8_t opcode;          /* first byte of the CDB */
    uint8_t read;            /* 1: data comes from the device */
    uint8_t status_validity; /* as in the sc_buf, and so the next three */
    uint8_t scsi_status;     /* with SC_SCSI_ERROR */
    uint8_t adapter_status;  /* general_card_status */
    uint8_t adap_q_status;   /* what became of the queue */
    uint8_t sense_bytes;     /* 0: there is no sense, and the next three mean nothing */
    uint8_t sense_key;       /* its key */
    uint8_t asc;             /* additional sense code */
    uint8_t ascq;            /* and its qualifier */
    uint8_t reserved[3];
    char rule[32]; /* NUL-terminated: "medium error" */
    char did[24];  /* likewise: "retried", "span split", "failed" */
};
SC_STATIC_ASSERT(sizeof(struct sc_flight_rec) == 128, "fixed layout");
struct sc_flight {
    uint8_t id;  /* in, SCIOFLIGHT: target */
    uint8_t lun; /* and LUN */
    uint8_t reserved[6];
    uint64_t seq; /* of the newest; record n is rec[(n - 1) % SC_FLIGHT_RECORDS] */
    struct sc_flight_rec rec[SC_FLIGHT_RECORDS]; /* out */
};
SC_STATIC_ASSERT(sizeof(struct sc_flight) < 16384, "an ioctl number carries 14 bits of size");
/* EINVAL: the LUN has never been started. What it remembers outlives SCIOSTOP. */
#define SCIOFLIGHT SC_IOWR('S', 34, struct sc_flight)

/* ------------------------------------------------------------------ what comes next [ours] */

/*
 * SCIOAHEAD: whom to tell of READs and WRITEs that are on their way. A disk in memory then fetches what
 * would be waited for: the first line of each soon, all of the one that comes next. `func` may be called
 * from any context and thread, with or without locks, until the file that asked is closed; it changes
 * nothing, and what it is told need not come. For kernel callers only (EPERM). EINVAL: the LUN is not
 * started. ENODEV: it would be of no use.
 */
#define SC_AHEAD_WRITE 0x1u /* it will be written, not read */
#define SC_AHEAD_NEXT  0x2u /* by the command after the one that is sent now; else: some commands later */
struct sc_ahead {
    uint8_t id;  /* in: target */
    uint8_t lun; /* and LUN */
    uint8_t reserved[6];
    /* out */
    bool (*func)(void *chip, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how);
    void *chip; /* its first argument */
};
#define SCIOAHEAD SC_IOWR('S', 36, struct sc_ahead)

#endif /* SYS_SCSI_H */
