/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trchkid.h - trace hooks: how a driver marks a place, and the hook words of the pair.
 *
 * TRCHKLn(hook word, n data words) and TRCHKLnT, which also takes the time, are written where
 * something happens. Here the time is always taken, as in newer AIX, so both are the same. While no
 * trace runs a hook costs a relaxed load and a branch that is predicted; its data words are not even
 * computed. trc_start() and the other calls are in kservices.h.
 *
 * A hook word is a hook id (12 bits; 0x010 to 0x0ff are for everybody), a hook type (4 bits: how much
 * is recorded) and 16 bits of the caller's. The values of the words below are ours, and so is that a
 * data word has 64 bits everywhere: a block address needs them.
 *
 * Does not contain: what is made of the records (src/scp/scp_trace.c).
 */
#ifndef SYS_TRCHKID_H
#define SYS_TRCHKID_H

#include <sys/sctypes.h>

#include <sys/scknames.h>

SC_BEGIN_DECLS

#define TRC_WORDS         5u   /* data words of a hook */
#define TRC_TYPE          0xeu /* hook word, up to five data words, time */
#define TRC_HOOK(id, sub) ((uint32_t)(id) << 20 | TRC_TYPE << 16 | (uint32_t)(sub)) /* [ours] */

/*
 * The disk driver. Word 1 is the disk's devno. A command is told by the address of its sc_buf, a
 * request by that of its buf; text is packed first letter lowest, zeroes behind it.
 */
#define HKWD_DD_STRATEGY TRC_HOOK(0x0d1, 1) /* buf, b_blkno, b_bcount, b_flags */
#define HKWD_DD_SEND     TRC_HOOK(0x0d1, 2) /* sc_buf, CDB 0-7, CDB 8-15, TRC_COMMAND(), TRC_DATA_IN */
#define HKWD_DD_CARRY    TRC_HOOK(0x0d1, 3) /* sc_buf, buf: that request is in the command sent last */
#define HKWD_DD_BACK     TRC_HOOK(0x0d1, 4) /* sc_buf, b_error, TRC_STATUS(), b_resid */
#define HKWD_DD_RULE     TRC_HOOK(0x0d1, 5) /* sc_buf, 24 letters: the rule that fired */
#define HKWD_DD_ACT      TRC_HOOK(0x0d1, 6) /* sc_buf, 16 letters: what was done; errno << 32 | sense */
#define HKWD_DD_STATE    TRC_HOOK(0x0d1, 7) /* recovery's state, as in src/devdrv/dd_impl.h; 0 none */
#define HKWD_DD_IODONE   TRC_HOOK(0x0d1, 8) /* buf, b_error, b_resid */
/* The adapter driver. Word 1 is TRC_LUN(). */
#define HKWD_AD_STRATEGY TRC_HOOK(0x0a1, 1) /* sc_buf, CDB 0-7, CDB 8-15, TRC_COMMAND() */
#define HKWD_AD_START    TRC_HOOK(0x0a1, 2) /* sc_buf: it is handed to the chip */
#define HKWD_AD_PENDING  TRC_HOOK(0x0a1, 3) /* sc_buf: the chip has kept it */
#define HKWD_AD_DONE     TRC_HOOK(0x0a1, 4) /* sc_buf, the chip's result, SCSI status, residual */
#define HKWD_AD_ABORT    TRC_HOOK(0x0a1, 5) /* sc_buf */
#define HKWD_AD_RESET    TRC_HOOK(0x0a1, 6) /* 0 the LUN's, 1 the target's, 2 the bus's, 3 the adapter's */
#define HKWD_AD_STATE    TRC_HOOK(0x0a1, 7) /* SC_LUN_*: from, to */
#define HKWD_AD_PUSH     TRC_HOOK(0x0a1, 8) /* sc_buf, b_error: it goes back to its owner */

/* A command in one word: bytes, bufs, queue tag message, bytes of the CDB. [ours] */
#define TRC_COMMAND(bytes, bufs, tag, cdb_bytes)                                                             \
    ((uint64_t)(bytes) << 32 | (uint64_t)(bufs) << 16 | (uint64_t)(tag) << 8 | (uint64_t)(cdb_bytes))
/* Or this: data of the command come in. No command has so many bufs. [ours] */
#define TRC_DATA_IN UINT64_C(0x80000000)
/* The four status bytes of an sc_buf in one word. [ours] */
#define TRC_STATUS(validity, scsi, adapter, q)                                                               \
    ((uint64_t)(validity) << 24 | (uint64_t)(scsi) << 16 | (uint64_t)(adapter) << 8 | (uint64_t)(q))
/* A LUN in one word: its adapter's device number, id, LUN. [ours] */
#define TRC_LUN(devno, id, lun) ((uint64_t)(lun) << 40 | (uint64_t)(id) << 32 | (uint64_t)(devno))

/* Eight bytes, or as many as there are, as one data word, first byte lowest. [ours] */
static inline uint64_t trc_pack(const void *bytes, size_t n)
{
    const uint8_t *b = (const uint8_t *)bytes;
    uint64_t word = 0;

    for (size_t i = 0; i < n && i < 8; i++)
        word |= (uint64_t)b[i] << 8 * i;
    return word;
}

/* Not 0: a trace runs. The services', to be read only. */
extern SC_ATOMIC(uint32_t) sck_trc_on;

/* Is it worth while to look for data words? [ours] */
static inline bool trc_ison(void) { return SC_UNLIKELY(SC_ATOMIC_PEEK(&sck_trc_on) != 0); }

/*
 * Record a hook. Call it through the macros. Any environment, no lock of rank KERN or above held: a
 * leaf lock of the services is taken.
 */
void trchook(uint32_t hkword, uint64_t d1, uint64_t d2, uint64_t d3, uint64_t d4, uint64_t d5);

/*
 * Record a hook with so many data words, if a trace runs; they are not looked at otherwise. T: with the
 * time, which every record has here. Context as trchook().
 */
#define TRCHKL5T(hw, d1, d2, d3, d4, d5)                                                                     \
    do {                                                                                                     \
        if (trc_ison())                                                                                      \
            sck_trchook(hw, (uint64_t)(d1), (uint64_t)(d2), (uint64_t)(d3), (uint64_t)(d4), (uint64_t)(d5)); \
    } while (0)
#define TRCHKL0T(hw)                    TRCHKL5T(hw, 0, 0, 0, 0, 0)      /* 0 words */
#define TRCHKL1T(hw, d1)                TRCHKL5T(hw, d1, 0, 0, 0, 0)     /* 1 words */
#define TRCHKL2T(hw, d1, d2)            TRCHKL5T(hw, d1, d2, 0, 0, 0)    /* 2 words */
#define TRCHKL3T(hw, d1, d2, d3)        TRCHKL5T(hw, d1, d2, d3, 0, 0)   /* 3 words */
#define TRCHKL4T(hw, d1, d2, d3, d4)    TRCHKL5T(hw, d1, d2, d3, d4, 0)  /* 4 words */
#define TRCHKL0(hw)                     TRCHKL0T(hw)                     /* 0 words */
#define TRCHKL1(hw, d1)                 TRCHKL1T(hw, d1)                 /* 1 words */
#define TRCHKL2(hw, d1, d2)             TRCHKL2T(hw, d1, d2)             /* 2 words */
#define TRCHKL3(hw, d1, d2, d3)         TRCHKL3T(hw, d1, d2, d3)         /* 3 words */
#define TRCHKL4(hw, d1, d2, d3, d4)     TRCHKL4T(hw, d1, d2, d3, d4)     /* 4 words */
#define TRCHKL5(hw, d1, d2, d3, d4, d5) TRCHKL5T(hw, d1, d2, d3, d4, d5) /* 5 words */

SC_END_DECLS

#include <sys/scknames.h> /* once more: see there */

#endif /* SYS_TRCHKID_H */
