/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_fake.h - a chip that does what a test tells it, requests to send to it, and a place to set
 * both up. For the tests of the adapter core.
 *
 * The fake chip executes nothing. It answers inside start(), or keeps commands until the test
 * ends them, or has no room; results come from a script. It checks what any chip would rely
 * on: tags unique per LUN, never more commands than the adapter said it holds, never one twice.
 *
 * Does not contain: SCSI devices (the simulated bus has its own tests).
 */
#ifndef AD_FAKE_H
#define AD_FAKE_H

#include "adapter/ad_impl.h"
#include "test_main.h"

#define FAKE_DEVNO    SC_MAKEDEV(9, 0)
#define FAKE_KEPT_MAX 512u
#define FAKE_LOG_MAX  4096u
#define FAKE_ID       3u

enum fake_mode { FAKE_INLINE, FAKE_PEND, FAKE_EARLY /* ad_hw_done() before start() returns */ };
enum fake_abort { FAKE_ABORT_NOW, FAKE_ABORT_LATER, FAKE_ABORT_NEVER, FAKE_ABORT_FINISHED };

/* One scripted ending; used up in order, then everything is GOOD. */
struct fake_result {
    uint8_t result;
    uint8_t status;
    uint64_t resid;
};

struct fake {
    struct shim_dev dev; /* first: the device half */
    struct ad_adapter *ad;
    struct ad_hw_caps caps;
    enum fake_mode mode;
    enum fake_abort abort_mode;
    unsigned busy;      /* say BUSY that many times */
    unsigned map_later; /* say LATER that many times */
    bool map_never;
    bool map_pages; /* a mapper without an IOMMU: every page is a segment */
    bool reset_works;
    bool bus_dead; /* a bus reset brings nothing back */
    /* With fake_full_ops, what each reset says instead of doing anything; 0: it does it. And what was asked.
     */
    int lun_says, target_says, bus_says, adapter_says;
    bool lun_dead;           /* a LUN reset brings nothing back */
    bool cut;                /* isolated: nothing is started */
    char asked[128];         /* "L3.0 T3 B A I": all resets, in order */
    uint64_t asked_at;       /* the last one */
    unsigned frozen[16][32]; /* by id and LUN: freezes not undone */
    unsigned turned_away;    /* start() has said FROZEN so often */
    struct fake_result script[64];
    unsigned script_n, script_at;
    struct ad_xfer *kept[FAKE_KEPT_MAX]; /* pending, oldest first */
    unsigned nkept, nkept_max;
    struct ad_xfer *aborting[FAKE_KEPT_MAX];
    unsigned naborting;
    unsigned starts, dones, aborts, target_resets, bus_resets, detaches, maps, maps_live;
    unsigned long first_byte[FAKE_LOG_MAX]; /* address of the first segment, per start */
    uint8_t qmsg[FAKE_LOG_MAX];
    uint16_t tag[FAKE_LOG_MAX];
    uint8_t xflags[FAKE_LOG_MAX];
    uint32_t nsegs_last;
    uint8_t cdb_last[16];
    uint8_t cdb_last_len;
    /* With fake_batch_ops: what start() has kept and no flush() has sent; it does not come back by
     * fake_end(). */
    bool batches;
    unsigned nheld, flushes;
    unsigned budget_last; /* of poll_some() */
    const void *data_in; /* copied into the first segment of a read */
    size_t data_in_bytes;
    void (*on_start)(struct fake *f, struct ad_xfer *xfer);
    void (*on_busy)(struct fake *f, struct ad_xfer *xfer); /* while it says BUSY */
};
extern struct fake fake;
extern const struct ad_hw_ops fake_ops;
/* With LUN reset, adapter reset and isolation. */
extern const struct ad_hw_ops fake_full_ops;

/* With flush(). */
extern const struct ad_hw_ops fake_batch_ops;
/* A poll_some(): ends what has been sent. */
unsigned fake_poll_some(void *hw, unsigned budget);

/* Attach an adapter of this flavour on the det host, open it and start id FAKE_ID, LUN 0. */
void fake_up(bool keeps_queue, enum fake_mode mode);
/* The same in pieces: fill in what differs in between. */
void fake_prepare(void);
void fake_attach(const struct ad_config *more);
void fake_down(void);
extern struct file *fake_fp;
extern struct ad_lun *fake_lun;
/* End the i-th pending command, with what the script says. */
void fake_end(unsigned i);
void fake_end_all(void);
/* End the first n pending commands by one call. */
void fake_end_list(unsigned n);
/* Have every invariant of a LUN checked. */
#define fake_check(lun)                                                                                      \
    do {                                                                                                     \
        const char *broken = ad_lun_check(lun);                                                              \
        ck_assert_msg(broken == NULL, "%s", broken ? broken : "");                                           \
    } while (0)

/* A request, and what became of it. */
struct req {
    struct sc_buf sb;
    unsigned done;  /* iodone calls */
    unsigned order; /* 1, 2, 3 ... over all requests since fake_prepare() */
    uint8_t data[512];
    void (*then)(struct req *r); /* called from iodone */
};
extern unsigned req_orders;
/* A tagged six-byte read of 512 bytes to FAKE_ID, LUN 0. */
void req_init(struct req *r);
void req_send(struct req *r);
/* Send and check how it came back at once. */
#define req_expect(r, error)                                                                                 \
    do {                                                                                                     \
        req_send(r);                                                                                         \
        ck_assert_uint_eq((r)->done, 1);                                                                     \
        ck_assert_int_eq((r)->sb.bufstruct.b_flags &B_ERROR ? (r)->sb.bufstruct.b_error : 0, error);         \
    } while (0)
/* Send what must be refused: errno, nothing at the device, queue as it was, everything untransferred. */
void req_refused(struct req *r, int error);
void fake_script(uint8_t result, uint8_t status, uint64_t resid);
struct sc_lun_stats fake_stats(void);
struct sc_lun_flow fake_flow(void);

#endif /* AD_FAKE_H */
