/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_hw.h - what the adapter core asks of a chip, and what a chip may call back (NB-23).
 *
 * A back end (the simulated bus, or one outside this tree) sees this header and the device half of
 * shim.h. It knows no device driver, no sc_buf and no host. The core does queueing, credits, tags,
 * DMA mapping, timeouts and the halted-queue rules; the chip moves bytes.
 *
 * Life of an ad_xfer: the core fills it, maps its memory, and calls start(). From then on the
 * chip owns it until either start() returns AD_HW_DONE, or the chip calls ad_hw_done(), or
 * start() returns AD_HW_BUSY (it never owned it). After that the chip never touches it again.
 *
 * Giving a transfer back means that the device has let go of its memory, whatever the result: no
 * byte is read or written through xfer_map any more, because the core unmaps it at once and its
 * owner frees it. That holds for AD_RES_ABORTED, AD_RES_BUS_RESET and AD_RES_HW_FAILURE as for
 * AD_RES_GOOD. A chip that cannot be sure (a DMA engine that does not answer) keeps the transfer
 * until a reset has made it sure; the core asks for stronger and stronger resets meanwhile and
 * reuses nothing of a transfer that it has not got back.
 *
 * A chip may take commands in and hold them back until it is told that no more follow (flush), and may hand
 * back as many at once as its interrupt finds (ad_hw_done_list): what a command costs beside its data is then
 * paid once for a batch.
 *
 * Eighteen operations, of which six are always there, seven callbacks, two configuration calls. The
 * table is versioned as those of shim.h are: docs/abi.md.
 *
 * Does not contain: queues (ad_impl.h), the sc_buf contract (sys/scsi.h).
 */
#ifndef SCPAIR_AD_HW_H
#define SCPAIR_AD_HW_H

#include <scpair/shim.h>
#include <sys/sctypes.h>

SC_BEGIN_DECLS

#define AD_HW_VERSION   1u  /* of struct ad_hw_ops */
#define AD_HW_CDB_BYTES 16u /* readable at xfer_cdb, however long the CDB is */

struct ad_adapter; /* the core's; opaque to a chip */

/* One command as the chip sees it. */
struct ad_xfer {
    /* In: set by the core, constant while the chip owns the transfer. */
    const uint8_t *xfer_cdb;       /* the CDB, as built by the device driver; the chip only sends it. At
                                      least AD_HW_CDB_BYTES can be read there whatever xfer_cdb_len says */
    uint8_t xfer_cdb_len;          /* bytes to send: 6, 10, 12 or 16 */
    uint8_t xfer_id;               /* target */
    uint8_t xfer_lun;              /* and its LUN */
    uint8_t xfer_qmsg;             /* SC_NO_Q, SC_SIMPLE_Q, SC_HEAD_OF_Q, SC_ORDERED_Q */
    uint16_t xfer_tag;             /* valid unless SC_NO_Q; unique per LUN while in flight */
    uint8_t xfer_dir;              /* enum shim_dir */
    uint8_t xfer_flags;            /* AD_XFER_* */
    struct shim_dma_map *xfer_map; /* segments; map_nsegs 0 when there is no data phase */
    uint64_t xfer_bytes;           /* data phase length; 0 none */

    /* Out: set by the chip before DONE. */
    uint8_t xfer_result;      /* enum ad_result */
    uint8_t xfer_scsi_status; /* status byte, valid with AD_RES_STATUS */
    uint64_t xfer_resid;      /* bytes of xfer_bytes not moved */

    void *xfer_chip[4];        /* the chip's scratch */
    uint64_t xfer_reserved[2]; /* 0 */
};
#define AD_XFER_NODISC 0x01 /* do not allow disconnection */
#define AD_XFER_ASYNC  0x02 /* no synchronous negotiation */
#define AD_XFER_PAST   0x04 /* start() takes it although the LUN is frozen */

/*
 * How a command ended. One or none of SCSI status and adapter status is ever claimed (AIX-19). With
 * each of them the device has let go of the transfer's memory (see the head of this file).
 */
enum ad_result {
    AD_RES_GOOD = 0,       /* status GOOD; xfer_resid valid */
    AD_RES_STATUS,         /* the device answered another status: xfer_scsi_status */
    AD_RES_SELECT_TIMEOUT, /* nobody answered at that id/LUN: SC_NO_DEVICE_RESPONSE */
    AD_RES_BUS_FAULT,      /* SC_SCSI_BUS_FAULT */
    AD_RES_BUS_RESET,      /* SC_SCSI_BUS_RESET */
    AD_RES_HOST_BUS,       /* SC_HOST_IO_BUS_ERR */
    AD_RES_HW_FAILURE,     /* SC_ADAPTER_HDW_FAILURE */
    AD_RES_SW_FAILURE,     /* SC_ADAPTER_SFW_FAILURE */
    AD_RES_FUSE,           /* SC_FUSE_OR_TERMINAL_PWR */
    AD_RES_ABORTED,        /* ended by abort(), reset_lun() or reset_target() at the core's request */
    /*
     * The device has never seen it: no CDB byte has reached it. The core sends it again, in its old place,
     * unless it is wanted back; no retry, and nobody's error (AIX-18). It freezes nothing. Of the commands of
     * one LUN the younger ones have not been delivered either, but for those with AD_XFER_PAST: they come
     * back so, too, or with the result of what hit them all.
     */
    AD_RES_UNSENT,
    AD_RES_COUNT
};

/* What start() says. */
enum ad_hw_start {
    AD_HW_DONE = 0,    /* finished already; the out fields are filled. ad_hw_done() is NOT called */
    AD_HW_PENDING = 1, /* ad_hw_done() will be called, perhaps before start() returns */
    AD_HW_BUSY = 2,    /* no room in the chip: nothing happened; the core tries again after ad_hw_kick() */
    AD_HW_FROZEN = 3 /* the LUN is frozen (see freeze): nothing happened; the core tries again after thaw() */
};

/* What a reset says whose end ad_hw_reset_done() will tell; no errno has this value. */
#define AD_HW_RESETTING (-1)

/* Which of them. */
enum ad_hw_reset { AD_RESET_LUN, AD_RESET_TARGET, AD_RESET_BUS, AD_RESET_ADAPTER };

/* What a chip can do; filled by attach(). */
struct ad_hw_caps {
    uint64_t cap_transfer_bytes_max; /* largest data phase */
    uint32_t cap_commands_max;       /* commands the adapter holds at once: the credits */
    uint32_t cap_tags_max;           /* tagged commands per LUN; 0: cannot tag */
    uint32_t cap_segs_max;           /* segments per command, as limited by the chip */
    uint8_t cap_adapter_id;          /* the adapter's own SCSI id */
    uint8_t cap_ids;                 /* number of ids on the bus: 8 or 16 */
    uint8_t cap_luns;                /* LUNs per id: 1..32 */
    bool cap_gather;                 /* gathered writes are offered */
    bool cap_keeps_queue;            /* after CHECK CONDITION with tags keep the queue (SC_DID_NOT_CLEAR_Q) */
    uint64_t cap_target_commands;    /* commands of all LUNs of one id it holds at once; 0: no such limit */
    uint64_t cap_reserved[3];        /* 0, as the core passes them */
};

/* The operations. Called with no lock of the core held, unless said otherwise. */
struct ad_hw_ops {
    uint32_t version; /* AD_HW_VERSION */
    uint32_t size;    /* sizeof(struct ad_hw_ops) */
    const char *name; /* "sim", "sym53c" */

    /* Bring the chip up; fill caps; remember `ad` for callbacks. Process context. 0 or errno. */
    int (*attach)(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps);
    /* Everything is idle. Afterwards no callback comes. Process context. */
    void (*detach)(void *hw);
    /*
     * Send one command. Any context, several threads at once. Must not call ad_hw_done() for
     * this transfer and also return AD_HW_DONE. Never blocks except for the medium itself.
     */
    int (*start)(void *hw, struct ad_xfer *xfer);
    /*
     * Take one command back. When it comes back (by ad_hw_done with AD_RES_ABORTED, or having
     * finished on its own) the device can no longer reach its memory. Asynchronous; any context.
     * The chip may have given the transfer back at the same moment: then this does nothing. The
     * core does not use the transfer for another command before abort() has returned.
     */
    void (*abort)(void *hw, struct ad_xfer *xfer);
    /*
     * The resets, these two and reset_lun and reset_adapter below. Any context, no lock of the core held;
     * one at a time, but abort() of other commands may be under way. Each says
     *   AD_HW_RESETTING  ad_hw_reset_done() tells when it has ended, perhaps before this call returns; by
     *                    then everything in its scope has been handed back that ever will be
     *   0                under way or done, and nobody tells which: the core waits for the commands
     *   errno            nothing has been reset: the core goes on to the next stronger one at once
     * Nothing new of the scope is started from before the call until some time after the end
     * (ad_settle_ms), and no start() of it is under way, unless it has been for longer than 5 s.
     *
     * Bus device reset: every command of that id comes back AD_RES_ABORTED.
     */
    int (*reset_target)(void *hw, unsigned id);
    /* Bus reset: every command comes back AD_RES_BUS_RESET, then ad_hw_event(AD_EV_BUS_RESET). */
    int (*reset_bus)(void *hw);
    /*
     * Look for completions without an interrupt, and call ad_hw_done() for each; NULL when
     * start() never pends. Any context, one caller at a time. When the device half has no
     * intr_attach, everybody who sleeps in the core or in the kernel services calls this again and
     * again, and the core's timers do, each millisecond, while a command is out. A chip with an
     * interrupt is never asked.
     */
    void (*poll)(void *hw);

    /*
     * The next two are both there or both NULL. A LUN is frozen while its count is not 0; then start() says
     * AD_HW_FROZEN to every transfer without AD_XFER_PAST, and what it took before is not touched. The chip
     * adds one itself for every transfer of the LUN that ends with another result than AD_RES_GOOD (and
     * AD_RES_UNSENT), before it reports that, and none for what the core takes back itself after
     * reset_adapter() or isolate(), which nobody would thaw; freeze() adds one, thaw() takes `n` off.
     * What one thread is
     * about to start is so never started after another one has learned that the queue is halted. When
     * freeze() returns, and when such a result is reported, no start() that said otherwise is still under
     * way. A chip without them may be given a command that was chosen just before. Any context; a lock of the
     * core of a smaller rank than SHIM_RANK_HW is held: no callback from here.
     */
    void (*freeze)(void *hw, unsigned id, unsigned lun);
    void (*thaw)(void *hw, unsigned id, unsigned lun, unsigned n);

    /*
     * The rest of the ladder, weakest and strongest; each may be NULL. Contexts and answers of the first two
     * are those of reset_target.
     *
     * LOGICAL UNIT RESET: every command of that LUN comes back AD_RES_ABORTED. NULL: no such rung.
     */
    int (*reset_lun)(void *hw, unsigned id, unsigned lun);
    /*
     * The chip begins anew: afterwards it is as attach() left it, but for the counts of freezes, which stay.
     * 0: it has ended. When it has ended (0, or ad_hw_reset_done() without an error) no transfer from before
     * is touched any more, no memory is read or written through its map, and no ad_hw_done() comes for it:
     * what the chip has not handed back by then the core takes back itself, and gives to its owner. No
     * start() is under way. NULL: no such rung.
     */
    int (*reset_adapter)(void *hw);
    /*
     * The last rung: the chip is cut off from memory (no bus mastering) and calls back no more. Cannot
     * fail, does not wait. The core takes everything back. Until a later reset_adapter() has succeeded only
     * that, freeze(), thaw(), flush(), abort() of what is taken back just then, isolate() and detach() are
     * called. NULL: a command that no reset brings back is kept, and its memory with it, for ever.
     */
    void (*isolate)(void *hw);

    /*
     * The batch is complete: the chip sends what start() has said AD_HW_PENDING to and it has held back. With
     * this entry it may hold back any of them until then, and the core starts several commands before it
     * calls. It calls at least once behind each of them, always, and without delay: also when the batch has
     * ended with AD_HW_BUSY, AD_HW_FROZEN, a halt or an error. Any context, several threads at once, beside
     * start() on other threads, no lock of the core held; with nothing held back it does nothing. abort() and
     * the resets find commands that are held back among the others. NULL: start() sends.
     */
    void (*flush)(void *hw);
    /*
     * As poll(), in whose place it is called: hands back at most `budget` commands and says how many. It is
     * called once more when it was `budget`.
     */
    unsigned (*poll_some)(void *hw, unsigned budget);

    /*
     * Room for more commands: `want` in all, which is more than there is. Says how many there are now; the
     * core uses no more than it wanted. Process context, one caller at a time; no start() is under way unless
     * it has been for longer than 5 s, and none comes meanwhile. It may sleep. NULL: as many as attach() has
     * said.
     */
    uint32_t (*grow)(void *hw, uint32_t want);

    /*
     * The next two are both there or both NULL. Somebody has the adapter open: the chip takes part in its
     * bus; nobody has, and it has no command: it may rest. enable() comes before the first start() after
     * attach() and after each disable(), which comes before detach(). Errno: the open fails with it. Process
     * context, one at a time; a lock of the core is held, so neither sleeps or calls back.
     */
    int (*enable)(void *hw);
    void (*disable)(void *hw);

    /*
     * A READ or WRITE of these bytes of a LUN's medium is on its way: SC_AHEAD_* say how near (sys/scsi.h). A
     * chip whose medium lies in memory fetches into the cache what will be waited for first; nothing that
     * anybody could see changes. What is announced may never come, may lie outside the medium, and need not
     * be announced. False: no announcement for this LUN is of any use, which is asked with 0 bytes when
     * somebody opens it. Any context, any thread, beside every other entry but attach() and detach(), also
     * when the chip has been cut off: no lock is taken and the hardware is not touched. NULL: of no use.
     */
    bool (*ahead)(void *hw, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how);
};

/*
 * A pending transfer has ended: out fields filled. Any context, no chip lock held: the call may
 * complete requests and start new ones, and so re-enter start(). The transfer is the core's again.
 */
void ad_hw_done(struct ad_adapter *ad, struct ad_xfer *xfer);

/*
 * `n` pending transfers have ended, in this order, of any LUNs: the same as so many calls of ad_hw_done(),
 * but what they have in common is done once for each LUN. The array is the chip's again when the call
 * returns; its contents are lost. Context and locks as for ad_hw_done().
 */
void ad_hw_done_list(struct ad_adapter *ad, struct ad_xfer **xfers, unsigned n);

/*
 * The reset that said AD_HW_RESETTING has ended: 0, or errno, then nothing has been reset. id and lun as in
 * the call, and 0 where it had none. One that the core no longer waits for is ignored. Any context, no chip
 * lock held: the call may start commands.
 */
void ad_hw_reset_done(struct ad_adapter *ad, enum ad_hw_reset which, unsigned id, unsigned lun, int error);

/* Room again after AD_HW_BUSY. Any context, no chip lock held. */
void ad_hw_kick(struct ad_adapter *ad);

/* Something happened that belongs to no command. Any context, no chip lock held. */
enum ad_hw_event { AD_EV_BUS_RESET, AD_EV_FATAL, AD_EV_CMD_FAILED };
void ad_hw_event(struct ad_adapter *ad, enum ad_hw_event ev);

/*
 * A LUN may have that many commands at its device from now on, 1 or more; 0: the chip has no opinion any
 * more. It takes effect with the next command; a number above the LUN's openings is its openings. AD_HW_ALL
 * as lun: all LUNs of the id, and as id besides: all there are; both also those that are started later. Any
 * context, no chip lock held: the call may start commands. (NB-19)
 */
#define AD_HW_ALL 0xffffffffu
void ad_hw_openings(struct ad_adapter *ad, unsigned id, unsigned lun, unsigned openings);

/*
 * A target and the chip have agreed on how they transfer data: so many kilobytes a second, AD_MODE_*. It
 * changes nothing here and is shown (SCIOLUNFLOW). Any context, no chip lock held. (NB-19)
 */
#define AD_MODE_SYNC 0x01u /* synchronous */
#define AD_MODE_WIDE 0x02u /* 16 bits */
#define AD_MODE_DT   0x04u /* data at both edges of the clock */
void ad_hw_mode(struct ad_adapter *ad, unsigned id, uint32_t kb_per_s, uint32_t flags);

/* ---------------------------------------------------------------- attaching */

/* What the configure method knows about one adapter. */
struct ad_config {
    const struct ad_hw_ops *cfg_ops; /* the chip */
    void *cfg_hw;                    /* passed to every operation */
    struct shim_dev *cfg_dev;        /* device half; maps the memory of every command */
    uint64_t cfg_transfer_bytes_max; /* lowers the chip's maximum; 0 keeps it; >= SC_MAXREQUEST */
    uint32_t cfg_commands_max;       /* lowers the credits; 0 keeps them */
    bool cfg_no_gather;              /* do not offer gathered writes */
    uint32_t cfg_target_commands_max; /* lowers the chip's limit for all LUNs of one id; 0 keeps it */
    uint32_t cfg_reserved4;           /* 0: else EINVAL, and so the rest */
    uint64_t cfg_reserved[3];
};

/*
 * Attach an adapter under a device number and put the adapter driver in the device switch if this
 * is its first minor (the work of ddconfig CFG_INIT for back ends that live in C structures
 * rather than in a DDS). Process context. 0, EINVAL (bad config), EEXIST, ENOMEM, or attach()'s.
 */
int ad_attach(devno_t devno, const struct ad_config *cfg);

/*
 * Undo ad_attach. EBUSY while it is open, or while the chip still has a command or a completion routine has
 * not returned; ENXIO when there is none. Process context.
 */
int ad_detach(devno_t devno);

SC_END_DECLS

#endif /* SCPAIR_AD_HW_H */
