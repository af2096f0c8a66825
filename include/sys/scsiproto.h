/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scsiproto.h - what travels on a SCSI bus: operation codes, field offsets, sense and VPD
 * layouts (SPC-4, SBC-3). Big-endian loads and stores. No state, no policy.
 *
 * Used by the device driver and by the simulated device; never by the adapter core (AIX-29).
 */
#ifndef SYS_SCSIPROTO_H
#define SYS_SCSIPROTO_H

#include <sys/sctypes.h>

/* Operation codes. */
enum {
    SCSI_TEST_UNIT_READY = 0x00,
    SCSI_REQUEST_SENSE = 0x03,
    SCSI_FORMAT_UNIT = 0x04,
    SCSI_REASSIGN_BLOCKS = 0x07,
    SCSI_READ_6 = 0x08,
    SCSI_WRITE_6 = 0x0a,
    SCSI_INQUIRY = 0x12,
    SCSI_MODE_SELECT_6 = 0x15,
    SCSI_RESERVE_6 = 0x16,
    SCSI_RELEASE_6 = 0x17,
    SCSI_MODE_SENSE_6 = 0x1a,
    SCSI_START_STOP_UNIT = 0x1b,
    SCSI_SEND_DIAGNOSTIC = 0x1d,
    SCSI_PREVENT_ALLOW = 0x1e,
    SCSI_READ_CAPACITY_10 = 0x25,
    SCSI_READ_10 = 0x28,
    SCSI_WRITE_10 = 0x2a,
    SCSI_WRITE_VERIFY_10 = 0x2e,
    SCSI_VERIFY_10 = 0x2f,
    SCSI_PREFETCH_10 = 0x34,
    SCSI_SYNC_CACHE_10 = 0x35,
    SCSI_READ_DEFECT_10 = 0x37,
    SCSI_WRITE_SAME_10 = 0x41,
    SCSI_UNMAP = 0x42,
    SCSI_SANITIZE = 0x48,
    SCSI_LOG_SENSE = 0x4d,
    SCSI_MODE_SELECT_10 = 0x55,
    SCSI_RESERVE_10 = 0x56,
    SCSI_RELEASE_10 = 0x57,
    SCSI_MODE_SENSE_10 = 0x5a,
    SCSI_PERSISTENT_RESERVE_IN = 0x5e,
    SCSI_PERSISTENT_RESERVE_OUT = 0x5f,
    SCSI_READ_16 = 0x88,
    SCSI_COMPARE_AND_WRITE = 0x89,
    SCSI_WRITE_16 = 0x8a,
    SCSI_ORWRITE_16 = 0x8b,
    SCSI_WRITE_VERIFY_16 = 0x8e,
    SCSI_VERIFY_16 = 0x8f,
    SCSI_PREFETCH_16 = 0x90,
    SCSI_SYNC_CACHE_16 = 0x91,
    SCSI_WRITE_SAME_16 = 0x93,
    SCSI_SERVICE_ACTION_IN_16 = 0x9e,
    SCSI_REPORT_LUNS = 0xa0,
    SCSI_MAINTENANCE_IN = 0xa3,
    SCSI_READ_12 = 0xa8,
    SCSI_WRITE_12 = 0xaa,
    SCSI_WRITE_VERIFY_12 = 0xae,
    SCSI_VERIFY_12 = 0xaf,
    SCSI_READ_DEFECT_12 = 0xb7
};
#define SCSI_SA_READ_CAPACITY_16 0x10 /* of SERVICE ACTION IN(16) */
#define SCSI_SA_GET_LBA_STATUS   0x12 /* with SERVICE ACTION IN(16) */
#define SCSI_SA_SANITIZE_BLOCK   0x02 /* of SANITIZE */
#define SCSI_SA_SANITIZE_CRYPTO  0x03
#define SCSI_SA_SANITIZE_EXIT    0x1f
#define SCSI_SA_REPORT_OPCODES   0x0c /* of MAINTENANCE IN */
#define SCSI_SA_REPORT_TASK_MGMT 0x0d

/* Status bytes are SC_*_STATUS etc. in scsi.h. CDB flag bits: */
#define SCSI_CDB1_FUA         0x08
#define SCSI_CDB1_DPO         0x10 /* disable page out */
#define SCSI_CDB1_BYTCHK      0x02 /* VERIFY, WRITE AND VERIFY: compare with the data sent */
#define SCSI_WRITE_SAME_UNMAP 0x08 /* byte 1: may unmap */
#define SCSI_WRITE_SAME_NDOB  0x01 /* 16-byte form only: no data-out buffer, write zeroes */
#define SCSI_INQUIRY_EVPD     0x01 /* byte 1: a vital product data page */

/* Sense keys. */
enum {
    SCSI_KEY_NO_SENSE = 0x0,
    SCSI_KEY_RECOVERED = 0x1,
    SCSI_KEY_NOT_READY = 0x2,
    SCSI_KEY_MEDIUM = 0x3,
    SCSI_KEY_HARDWARE = 0x4,
    SCSI_KEY_ILLEGAL = 0x5,
    SCSI_KEY_ATTENTION = 0x6,
    SCSI_KEY_PROTECT = 0x7,
    SCSI_KEY_BLANK = 0x8,
    SCSI_KEY_COPY_ABORTED = 0xa,
    SCSI_KEY_ABORTED = 0xb,
    SCSI_KEY_OVERFLOW = 0xd,
    SCSI_KEY_MISCOMPARE = 0xe
};

/* Additional sense codes, and the qualifiers that matter to somebody. */
enum {
    SCSI_ASC_NOT_READY = 0x04,
    SCSI_ASC_WRITE_ERROR = 0x0c,
    SCSI_ASC_READ_ERROR = 0x11,
    SCSI_ASC_PARAMETER_LENGTH = 0x1a, /* PARAMETER LIST LENGTH ERROR */
    SCSI_ASC_MISCOMPARE = 0x1d,
    SCSI_ASC_OPCODE = 0x20,          /* INVALID COMMAND OPERATION CODE */
    SCSI_ASC_LBA = 0x21,             /* LOGICAL BLOCK ADDRESS OUT OF RANGE */
    SCSI_ASC_CDB_FIELD = 0x24,       /* INVALID FIELD IN CDB */
    SCSI_ASC_LUN = 0x25,             /* LOGICAL UNIT NOT SUPPORTED */
    SCSI_ASC_PARAMETER_FIELD = 0x26, /* INVALID FIELD IN PARAMETER LIST */
    SCSI_ASC_WRITE_PROTECTED = 0x27,
    SCSI_ASC_MEDIUM_CHANGED = 0x28, /* NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED */
    SCSI_ASC_RESET = 0x29,          /* POWER ON, RESET, OR BUS DEVICE RESET OCCURRED */
    SCSI_ASC_PARAMETERS = 0x2a,     /* PARAMETERS CHANGED */
    SCSI_ASC_NO_MEDIUM = 0x3a,      /* MEDIUM NOT PRESENT */
    SCSI_ASC_SAVING = 0x39,         /* SAVING PARAMETERS NOT SUPPORTED */
    SCSI_ASC_SELF_TEST = 0x3e,
    SCSI_ASC_TARGET_CHANGED = 0x3f, /* TARGET OPERATING CONDITIONS HAVE CHANGED */
    SCSI_ASC_TARGET_FAILURE = 0x44, /* INTERNAL TARGET FAILURE */
    SCSI_ASC_DATA_PHASE = 0x4b,     /* DATA PHASE ERROR */
    SCSI_ASC_OVERLAPPED = 0x4e,     /* OVERLAPPED COMMANDS ATTEMPTED */
    SCSI_ASC_REMOVAL = 0x53         /* MEDIA LOAD OR EJECT FAILED */
};
enum {
    SCSI_ASCQ_START_NEEDED = 0x02,       /* 04: INITIALIZING COMMAND REQUIRED */
    SCSI_ASCQ_INVALID_RELEASE = 0x04,    /* 26: INVALID RELEASE OF PERSISTENT RESERVATION */
    SCSI_ASCQ_SOFTWARE_PROTECT = 0x02,   /* 27: LOGICAL UNIT SOFTWARE WRITE PROTECTED */
    SCSI_ASCQ_SPACE_EXHAUSTED = 0x07,    /* 27: SPACE ALLOCATION FAILED WRITE PROTECT */
    SCSI_ASCQ_POWER_ON = 0x00,           /* 29: and also "some reset" */
    SCSI_ASCQ_REMOVAL_PREVENTED = 0x02,  /* 53: MEDIUM REMOVAL PREVENTED */
    SCSI_ASCQ_BUS_RESET = 0x02,          /* 29 */
    SCSI_ASCQ_DEVICE_RESET = 0x03,       /* 29 */
    SCSI_ASCQ_MODE_CHANGED = 0x01,       /* 2a */
    SCSI_ASCQ_RESERVE_PREEMPTED = 0x03,  /* 2a */
    SCSI_ASCQ_RESERVE_RELEASED = 0x04,   /* 2a */
    SCSI_ASCQ_REGISTER_PREEMPTED = 0x05, /* 2a */
    SCSI_ASCQ_CAPACITY = 0x09,           /* 2a: CAPACITY DATA HAS CHANGED */
    SCSI_ASCQ_SELF_TEST_FAILED = 0x03,   /* 3e: LOGICAL UNIT FAILED SELF-TEST */
    SCSI_ASCQ_LUNS_CHANGED = 0x0e        /* 3f: REPORTED LUNS DATA HAS CHANGED */
};

/* Fixed-format sense, byte offsets. Descriptor format is 0x72/0x73; deferred 0x71/0x73. */
#define SCSI_SENSE_FIXED          0x70
#define SCSI_SENSE_FIXED_DEFERRED 0x71 /* about an earlier command */
#define SCSI_SENSE_DESC           0x72 /* descriptor format */
#define SCSI_SENSE_DESC_DEFERRED  0x73 /* about an earlier command */
#define SCSI_SENSE_FIXED_BYTES    18u  /* a full one without vendor bytes */
#define SCSI_SENSE_BYTES_MAX      252u /* as the length byte allows */

/* VPD pages. */
enum {
    SCSI_VPD_SUPPORTED = 0x00,
    SCSI_VPD_SERIAL = 0x80,
    SCSI_VPD_DEVICE_ID = 0x83,
    SCSI_VPD_BLOCK_LIMITS = 0xb0,
    SCSI_VPD_BLOCK_CHARACTER = 0xb1,
    SCSI_VPD_PROVISIONING = 0xb2
};

/* Log pages. */
enum {
    SCSI_LOG_SUPPORTED = 0x00,
    SCSI_LOG_WRITE_ERRORS = 0x02,
    SCSI_LOG_READ_ERRORS = 0x03,
    SCSI_LOG_TEMPERATURE = 0x0d,
    SCSI_LOG_EXCEPTIONS = 0x2f
};

/* Big-endian fields of 2, 3, 4 and 8 bytes at any address. */
static inline uint16_t scsi_get16(const uint8_t *p) { return (uint16_t)((unsigned)p[0] << 8 | p[1]); }
static inline uint32_t scsi_get24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}
static inline uint32_t scsi_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t scsi_get64(const uint8_t *p)
{
    return (uint64_t)scsi_get32(p) << 32 | scsi_get32(p + 4);
}
static inline void scsi_put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void scsi_put24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)v;
}
static inline void scsi_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void scsi_put64(uint8_t *p, uint64_t v)
{
    scsi_put32(p, (uint32_t)(v >> 32));
    scsi_put32(p + 4, (uint32_t)v);
}

/* A sense buffer taken apart; `valid` false when the bytes make no sense data at all. */
struct scsi_sense {
    bool valid;      /* there was anything to parse */
    bool deferred;   /* about an earlier command */
    bool info_valid; /* `info` holds an LBA or a count */
    uint8_t key;     /* SCSI_KEY_* */
    uint8_t asc;     /* additional sense code */
    uint8_t ascq;    /* its qualifier */
    uint64_t info;   /* INFORMATION, with info_valid */
};

/*
 * Take sense bytes apart, fixed or descriptor format, never reading beyond `n` bytes whatever the
 * device wrote in its length fields. Any context.
 */
static inline struct scsi_sense scsi_sense_parse(const uint8_t *b, size_t n)
{
    struct scsi_sense s;
    uint8_t code = n ? (uint8_t)(b[0] & 0x7f) : 0;

    memset(&s, 0, sizeof(s));
    if ((code == SCSI_SENSE_FIXED || code == SCSI_SENSE_FIXED_DEFERRED) && n >= 3) {
        size_t have = n >= 8 ? 8u + b[7] : n;

        if (have > n)
            have = n;
        s.valid = true;
        s.deferred = code == SCSI_SENSE_FIXED_DEFERRED;
        s.key = b[2] & 0x0f;
        if ((b[0] & 0x80) && n >= 7) {
            s.info_valid = true;
            s.info = scsi_get32(b + 3);
        }
        s.asc = have > 12 ? b[12] : 0;
        s.ascq = have > 13 ? b[13] : 0;
    } else if ((code == SCSI_SENSE_DESC || code == SCSI_SENSE_DESC_DEFERRED) && n >= 4) {
        size_t end = n >= 8 ? 8u + b[7] : n;

        if (end > n)
            end = n;
        s.valid = true;
        s.deferred = code == SCSI_SENSE_DESC_DEFERRED;
        s.key = b[1] & 0x0f;
        s.asc = b[2];
        s.ascq = b[3];
        /* Walk the descriptors; type 0 is INFORMATION: length 10, VALID bit, 8-byte value at 4. */
        for (size_t at = 8; at + 2 <= end; at += 2u + b[at + 1]) {
            if (b[at] == 0 && b[at + 1] >= 10 && at + 12 <= end && (b[at + 2] & 0x80)) {
                s.info_valid = true;
                s.info = scsi_get64(b + at + 4);
            }
        }
    }
    return s;
}

#endif /* SYS_SCSIPROTO_H */
