/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_pair.c - the disk driver on the adapter core: what only the two together can get wrong.
 *
 * A disk behind the small chip; its commands end inside start().
 */
#include "small_ad.h"

#include "shim/det/det_impl.h"

#define SECOND UINT64_C(1000000000)

static uint32_t attentions; /* so many READs and WRITEs meet an attention */
static uint32_t arrived;    /* READs and WRITEs that have reached the chip */

/* ---------------------------------------------------------------- the disk */

static void copy(const struct ad_xfer *x, uint8_t *at, size_t room, bool to_memory)
{
    for (uint32_t i = 0; i < x->xfer_map->map_nsegs && room > 0; i++) {
        uint8_t *memory = (uint8_t *)(uintptr_t)x->xfer_map->map_segs[i].seg_addr;
        size_t n = (size_t)x->xfer_map->map_segs[i].seg_bytes;

        if (n > room)
            n = room;
        memcpy(to_memory ? memory : at, to_memory ? at : memory, n);
        at += n;
        room -= n;
    }
}

static void serve_rw(struct ad_xfer *x)
{
    const uint64_t lba =
        x->xfer_cdb[0] < 0x20 ? scsi_get24(x->xfer_cdb + 1) & 0x1fffff : scsi_get32(x->xfer_cdb + 2);

    arrived++;
    if (attentions > 0) {
        attentions--;
        memset(small_ad.sa_sense, 0, sizeof(small_ad.sa_sense));
        small_ad.sa_sense[0] = SCSI_SENSE_FIXED;
        small_ad.sa_sense[2] = SCSI_KEY_ATTENTION;
        small_ad.sa_sense[7] = 10;
        small_ad.sa_sense[12] = 0x29;
        x->xfer_result = AD_RES_STATUS;
        x->xfer_scsi_status = SC_CHECK_CONDITION;
        x->xfer_resid = x->xfer_bytes;
        return;
    }
    SCHED_CHECK(lba * DEV_BSIZE + x->xfer_bytes <= SMALL_DISK_BYTES, "beyond the medium");
    copy(x, small_ad.sa_medium + lba * DEV_BSIZE, x->xfer_bytes, x->xfer_dir == SHIM_DIR_FROM_DEVICE);
}

static void serve(struct ad_xfer *x)
{
    uint8_t data[64] = {0};
    size_t n;

    x->xfer_result = AD_RES_GOOD;
    x->xfer_scsi_status = SC_GOOD_STATUS;
    x->xfer_resid = 0;
    det_order_take(&small_ad);
    if (small_disk_is_rw(x->xfer_cdb)) {
        serve_rw(x);
    } else if (x->xfer_dir == SHIM_DIR_FROM_DEVICE && x->xfer_bytes > 0) {
        n = small_disk_answer(x->xfer_cdb, data);
        if (n > x->xfer_bytes)
            n = x->xfer_bytes;
        copy(x, data, n, true);
        x->xfer_resid = x->xfer_bytes - n;
    }
    det_order_give(&small_ad);
}

/* ---------------------------------------------------------------- a run */

static void pair_up(const struct det_strategy *st, uint64_t seed, bool keeps)
{
    struct ad_config cfg;

    small_chip_prepare();
    chip.ch_keeps_queue = keeps;
    chip.ch_serve = serve;
    chip.ch_commands = 32;
    attentions = arrived = 0;
    memset(&small_ad, 0, sizeof(small_ad));
    memset(small_bufs, 0, sizeof(small_bufs));
    small_host(st, seed);
    small_chip_config(&cfg);
    SCHED_CHECK(ad_attach(SMALL_DEVNO, &cfg) == 0, "ad_attach failed");
    small_attached = true;
    SCHED_CHECK(small_disk_config_at(SMALL_DISK_DEV, SMALL_DEVNO, 1, 4) == 0,
                "the disk cannot be configured");
    SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE, NULL, 0, &small_disk_fp) == 0,
                "the disk cannot be opened");
    arrived = 0;
}

static void pair_down(void)
{
    if (small_disk_fp) {
        SCHED_CHECK(dd_check_invariants(SMALL_DISK_DEV) == 0, "requests are left in the disk driver");
        SCHED_CHECK(fp_close(small_disk_fp) == 0, "the disk cannot be closed");
        small_disk_fp = NULL;
    }
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "the disk stays");
    SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "the adapter stays");
    small_attached = false;
}

static void send(void *arg) { small_bufs_send((uint32_t)(uintptr_t)arg, 1); }

static void start(struct shim_thread *t, void (*fn)(void *arg), uint32_t arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, (void *)(uintptr_t)arg, name) == 0, "no fibre");
}

static void good(uint32_t i)
{
    SCHED_CHECK(small_bufs[i].sb_done == 1 && !(small_bufs[i].sb_buf.b_flags & B_ERROR), "buf %u: errno %d",
                i, (int)small_bufs[i].sb_buf.b_error);
}

static void both_written(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        good(i);
        SCHED_CHECK(small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE] == i + 1, "write %u is not on the medium",
                    i);
    }
}

/* ---------------------------------------------------------------- the programs */

static void run_two(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    pair_up(st, seed, false);
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send, i, i == 0 ? "first" : "second");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(2, SECOND), "not both are back after a second");
    for (uint32_t i = 0; i < 2; i++) {
        good(i);
        SCHED_CHECK(small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE] == i + 1, "write %u is not on the medium",
                    i);
    }
    pair_down();
    small_down();
}

/*
 * Two writes; the first to arrive meets an attention. Both are sent again once at most: the other one came
 * back because the queue was cleared, or was turned away because it was halted. (Their order is nobody's
 * promise: two threads may carry two SIMPLE commands to the chip side by side.)
 */
static void run_attention(const struct det_strategy *st, uint64_t seed, bool keeps)
{
    struct shim_thread t[2];

    pair_up(st, seed, keeps);
    attentions = 1;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send, i, i == 0 ? "first" : "second");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(2, 60 * SECOND), "not both are back after a minute");
    both_written();
    SCHED_CHECK(arrived <= 4, "%u commands for two writes and an attention", arrived);
    pair_down();
    small_down();
}

static void run_attention_clear(const struct det_strategy *st, uint64_t seed)
{
    run_attention(st, seed, false);
}
static void run_attention_keep(const struct det_strategy *st, uint64_t seed)
{
    run_attention(st, seed, true);
}

/* As soon as the buf is back, its owner takes everything away. */
static void run_last(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    pair_up(st, seed, false);
    (void)small_buf(0, true, 0, 8, 0);
    start(&t, send, 0, "sender");
    SCHED_CHECK(small_bufs_wait(1, SECOND), "not back after a second");
    good(0);
    pair_down();
    shim_thread_join(&t);
    small_down();
}

static void reset_seen(void *arg)
{
    (void)arg;
    ad_hw_event(chip.ch_ad, AD_EV_BUS_RESET);
}

/*
 * A bus reset takes the reservation away while the disk is closed. That leaves nothing to do for who opens it
 * next and wants no reservation.
 */
static void run_reset_close(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;

    small_disk_reserves = true;
    pair_up(st, seed, false);
    small_disk_reserves = false;
    start(&t, reset_seen, 0, "bus");
    SCHED_CHECK(fp_close(small_disk_fp) == 0, "the disk cannot be closed");
    shim_thread_join(&t);
    chip.ch_nstarted = 0;
    SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_NO_RESERVE, &small_disk_fp) ==
                    0,
                "the disk cannot be opened again");
    (void)small_buf(0, true, 0, 8, 0);
    small_bufs_send(0, 1);
    SCHED_CHECK(small_bufs_wait(1, SECOND), "not back after a second");
    good(0);
    for (uint32_t i = 0; i < chip.ch_nstarted; i++)
        SCHED_CHECK(chip.ch_started[i] != SCSI_RESERVE_6, "RESERVE, after an open that wants none");
    pair_down();
    small_down();
}

/*
 * The disk is taken out while two write, one of whom may meet an attention: each is back once, good and on
 * the medium, or ENXIO; the LUN is given back, and the disk that comes next can have it.
 */
static void run_gone(const struct det_strategy *st, uint64_t seed, uint32_t errors, bool keeps)
{
    struct shim_thread t[2];
    int error;

    pair_up(st, seed, keeps);
    attentions = errors;
    for (uint32_t i = 0; i < 2; i++)
        (void)small_buf(i, false, 64 * i, 8, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < 2; i++)
        start(&t[i], send, i, i == 0 ? "first" : "second");
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_GONE, NULL) == 0, "CFG_GONE failed");
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    SCHED_CHECK(small_bufs_wait(2, SECOND), "not both are back after a second");
    for (uint32_t i = 0; i < 2; i++) {
        error = small_bufs[i].sb_buf.b_flags & B_ERROR ? small_bufs[i].sb_buf.b_error : 0;
        SCHED_CHECK(error == ENXIO || (error == 0 && small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE] == i + 1),
                    "write %u: errno %d, and %u on the medium", i, error,
                    small_ad.sa_medium[(size_t)64 * i * DEV_BSIZE]);
    }
    SCHED_CHECK(dd_check_invariants(SMALL_DISK_DEV) == 0, "requests are left in the disk driver");
    error = fp_close(small_disk_fp);
    SCHED_CHECK(error == 0 || error == ENXIO, "close says %d", error);
    SCHED_CHECK(scdisk_config(SMALL_DISK_DEV, CFG_TERM, NULL) == 0, "the disk stays");
    attentions = 0;
    SCHED_CHECK(small_disk_config_at(SMALL_DISK_DEV, SMALL_DEVNO, 1, 4) == 0, "no other disk");
    SCHED_CHECK(fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE, NULL, 0, &small_disk_fp) == 0,
                "the other disk does not open");
    pair_down();
    small_down();
}

static void run_gone_two(const struct det_strategy *st, uint64_t seed) { run_gone(st, seed, 0, false); }
static void run_gone_clear(const struct det_strategy *st, uint64_t seed) { run_gone(st, seed, 1, false); }
static void run_gone_keep(const struct det_strategy *st, uint64_t seed) { run_gone(st, seed, 1, true); }

/*
 * A command that only an adapter reset brings back: the LUN is out of service, and the disk dead after what
 * is sent again. Closed and opened it works.
 */
static void run_offline(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;
    int error;

    pair_up(st, seed, false);
    chip.ch_heeds = SMALL_RESET_ADAPTER;
    chip.ch_pends = true;
    for (uint32_t i = 0; i < 3; i++)
        (void)small_buf(i, true, 64 * i, 8, 0);
    small_bufs_send(0, 1);
    shim_delay_ns(35 * SECOND);
    start(&t, send, 1, "sender");
    SCHED_CHECK(small_bufs_wait(2, 900 * SECOND), "not both are back after a quarter of an hour");
    shim_thread_join(&t);
    error = fp_close(small_disk_fp);
    SCHED_CHECK(error == 0 || error == EIO, "close says %d", error);
    chip.ch_pends = false;
    chip.ch_heeds = SMALL_ABORT;
    error = fp_opendev(SMALL_DISK_DEV, DREAD | DWRITE, NULL, 0, &small_disk_fp);
    SCHED_CHECK(error == 0, "opened again: %d", error);
    small_bufs_send(2, 1);
    SCHED_CHECK(small_bufs_wait(3, SECOND), "opened again, and a request does not come back");
    good(2);
    pair_down();
    small_down();
}

static const struct sched_program programs[] = {
    {"pair-two", "two threads write", run_two, false, NULL},
    {"pair-attention", "two writes, and one of them meets an attention", run_attention_clear, false, NULL},
    {"pair-attention-keep", "the same with a queue that is kept", run_attention_keep, false, NULL},
    {"pair-gone", "the disk is taken out while two write", run_gone_two, false, NULL},
    {"pair-gone-attention", "the same, and one of them meets an attention", run_gone_clear, false, NULL},
    {"pair-gone-attention-keep", "the same with a queue that is kept", run_gone_keep, false, NULL},
    {"pair-offline", "a LUN out of service under a dead disk, which is opened again", run_offline, false,
     NULL},
    {"pair-last", "disk and adapter go right after the last iodone", run_last, false, NULL},
    {"pair-reset-close", "a bus reset beside the last close leaves nothing to the next open", run_reset_close,
     false, NULL},
};
const struct small_group small_pair = {"pair", programs, SC_ARRAY_SIZE(programs)};
