/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_chip.c - a chip of a few lines, requests to send to it, and a place to set both up.
 */
#include "small.h"

struct small_chip chip;
struct file *small_fp;
bool small_attached;
struct small_req reqs[SMALL_REQS_MAX];
uint32_t small_orders;
struct shim_event small_event;

/* ---------------------------------------------------------------- the device half */

static int chip_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                    struct shim_dma_map *map)
{
    (void)dev;
    (void)dir;
    shim_det_mark();
    if (chip.ch_map_never)
        return SHIM_MAP_NEVER;
    if (chip.ch_map_room != 0 && chip.ch_maps == chip.ch_map_room)
        return SHIM_MAP_LATER;
    chip.ch_maps++;
    map->map_bytes = 0;
    map->map_nsegs = n;
    for (uint32_t i = 0; i < n; i++) {
        map->map_segs[i] = (struct shim_seg){(uintptr_t)vec[i].iov_base, vec[i].iov_len};
        map->map_bytes += vec[i].iov_len;
    }
    return SHIM_MAP_OK;
}

static void chip_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    (void)dev;
    (void)map;
    chip.ch_maps--;
    shim_det_mark();
}

static const struct shim_dev_ops chip_dev_ops = {
    .version = SHIM_DEV_VERSION,
    .size = sizeof(struct shim_dev_ops),
    .name = "small",
    .dma_map = chip_map,
    .dma_unmap = chip_unmap,
};

/* ---------------------------------------------------------------- the chip */

static int chip_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    (void)hw;
    chip.ch_ad = ad;
    *caps = (struct ad_hw_caps){.cap_transfer_bytes_max = 1u << 20,
                                .cap_commands_max = chip.ch_commands,
                                .cap_tags_max = (uint16_t)chip.ch_tags,
                                .cap_segs_max = 64,
                                .cap_adapter_id = 7,
                                .cap_ids = 4,
                                .cap_luns = chip.ch_luns,
                                .cap_keeps_queue = chip.ch_keeps_queue};
    return 0;
}

static void chip_detach(void *hw)
{
    (void)hw;
    SCHED_CHECK(chip.ch_nkept == 0, "detached with %u commands at the chip", chip.ch_nkept);
    for (uint32_t i = 0; i < chip.ch_nreset; i++)
        while (shim_timer_cancel(&chip.ch_reset[i].sr_timer) == SHIM_CANCEL_RUNNING)
            shim_delay_ns(1000);
}

static void chip_fill(struct ad_xfer *x)
{
    const uint8_t code = x->xfer_cdb[0];

    x->xfer_result = code == SMALL_CHECK || code == SMALL_BUSY ? AD_RES_STATUS : AD_RES_GOOD;
    x->xfer_scsi_status = code == SMALL_CHECK  ? SC_CHECK_CONDITION
                          : code == SMALL_BUSY ? SC_BUSY_STATUS
                                               : SC_GOOD_STATUS;
    x->xfer_resid = x->xfer_result == AD_RES_GOOD ? 0 : x->xfer_bytes;
}

/* A result that freezes the LUN, before anybody hears of it. */
static void chip_fails(const struct ad_xfer *x)
{
    chip.ch_frozen[x->xfer_lun] += x->xfer_result != AD_RES_GOOD;
}

static int chip_do(struct ad_xfer *x)
{
    const bool keep = chip.ch_pends || (!chip.ch_serve && x->xfer_cdb[0] == SMALL_LATER);

    if (chip.ch_frozen[x->xfer_lun] != 0 && !(x->xfer_flags & AD_XFER_PAST))
        return AD_HW_FROZEN;
    if (keep && chip.ch_room != 0 && chip.ch_nkept == chip.ch_room)
        return AD_HW_BUSY;
    if (chip.ch_nstarted < SC_ARRAY_SIZE(chip.ch_started))
        chip.ch_started[chip.ch_nstarted++] = x->xfer_cdb[0];
    if (chip.ch_on_start)
        chip.ch_on_start(x);
    if (!keep) {
        if (chip.ch_serve)
            chip.ch_serve(x);
        else
            chip_fill(x);
        chip_fails(x);
        return AD_HW_DONE;
    }
    SCHED_CHECK(chip.ch_nkept < SMALL_KEPT_MAX, "the chip is full");
    chip.ch_kept[chip.ch_nkept++] = x;
    chip.ch_nheld += chip.ch_batches;
    return AD_HW_PENDING;
}

static int chip_start(void *hw, struct ad_xfer *x)
{
    const bool single = x->xfer_qmsg != SC_SIMPLE_Q;
    int said;

    (void)hw;
    SCHED_CHECK(!chip.ch_cut, "a command is sent to a chip that is cut off");
    chip.ch_inside++;
    chip.ch_single += single;
    SCHED_CHECK(!chip.ch_checks_single || chip.ch_single == 0 || chip.ch_inside == 1,
                "message %02x is on its way to the chip beside %u others", x->xfer_qmsg, chip.ch_inside - 1);
    shim_det_mark();
    said = chip_do(x);
    shim_det_mark();
    chip.ch_inside--;
    chip.ch_single -= single;
    return said;
}

static struct ad_xfer *chip_take(uint32_t i)
{
    struct ad_xfer *x = chip.ch_kept[i];

    /* By hand: ThreadSanitizer looks into memmove(), and takes this for something that several threads do. */
    for (struct ad_xfer *volatile *at = &chip.ch_kept[i]; at + 1 < &chip.ch_kept[chip.ch_nkept]; at++)
        at[0] = at[1];
    if (i + chip.ch_nheld >= chip.ch_nkept) /* the youngest are held back */
        chip.ch_nheld--;
    chip.ch_nkept--;
    return x;
}

/* The core is told. An adapter reset has not ended while somebody is at that. */
static void chip_tell(struct ad_xfer *x)
{
    chip.ch_telling++;
    ad_hw_done(chip.ch_ad, x);
    chip.ch_telling--;
    if (chip.ch_telling == 0 && chip.ch_anew) {
        chip.ch_anew = false;
        ad_hw_reset_done(chip.ch_ad, AD_RESET_ADAPTER, 0, 0, 0);
    }
}

bool small_end(void)
{
    struct ad_xfer *x;

    if (chip.ch_nkept == 0)
        return false;
    x = chip_take(0);
    if (chip.ch_serve)
        chip.ch_serve(x);
    else
        chip_fill(x);
    chip_fails(x);
    chip_tell(x);
    return true;
}

bool small_end_list(void)
{
    struct ad_xfer *list[SMALL_KEPT_MAX];
    const uint32_t n = chip.ch_nkept - chip.ch_nheld;

    for (uint32_t i = 0; i < n; i++) {
        list[i] = chip_take(0);
        chip_fill(list[i]);
        chip_fails(list[i]);
    }
    if (n != 0)
        ad_hw_done_list(chip.ch_ad, list, n);
    return n != 0;
}

static void chip_give_back(uint32_t i, uint8_t result)
{
    struct ad_xfer *x = chip_take(i);

    x->xfer_result = result;
    x->xfer_scsi_status = SC_GOOD_STATUS;
    x->xfer_resid = x->xfer_bytes;
    chip_fails(x);
    chip_tell(x);
}

static void chip_abort(void *hw, struct ad_xfer *x)
{
    (void)hw;
    shim_det_mark();
    for (uint32_t i = 0; i < chip.ch_nkept && chip.ch_heeds == SMALL_ABORT; i++) {
        if (chip.ch_kept[i] == x) {
            chip_give_back(i, AD_RES_ABORTED);
            return;
        }
    }
}

/* What a reset does to the commands in its scope. 0, or EIO when it does not help. */
static int chip_reset_do(enum ad_hw_reset which, unsigned lun)
{
    static const uint8_t heeded[] = {SMALL_RESET_LUN, SMALL_RESET_TARGET, SMALL_RESET_BUS,
                                     SMALL_RESET_ADAPTER};

    shim_det_mark();
    if (chip.ch_heeds > heeded[which])
        return which == AD_RESET_ADAPTER || chip.ch_resets_fail ? EIO : 0;
    if (which == AD_RESET_ADAPTER) {
        SCHED_CHECK(chip.ch_inside == 0, "the chip begins anew while %u commands are on their way to it",
                    chip.ch_inside);
        chip.ch_nkept = 0;
        chip.ch_cut = false;
        chip.ch_anew = chip.ch_telling != 0;
        return chip.ch_anew ? AD_HW_RESETTING : 0;
    }
    for (uint32_t i = 0; i < chip.ch_nkept;) {
        if (which == AD_RESET_LUN && chip.ch_kept[i]->xfer_lun != lun)
            i++;
        else
            chip_give_back(i, which == AD_RESET_BUS ? AD_RES_BUS_RESET : AD_RES_ABORTED);
    }
    return 0;
}

static void chip_reset_ends(struct shim_timer *t)
{
    const struct small_reset *r = t->tm_arg;
    const int said = chip_reset_do(r->sr_which, r->sr_lun);

    if (said != AD_HW_RESETTING)
        ad_hw_reset_done(chip.ch_ad, r->sr_which, r->sr_id, r->sr_lun, said);
}

static int chip_reset(enum ad_hw_reset which, unsigned id, unsigned lun)
{
    struct small_reset *r = &chip.ch_reset[chip.ch_nreset % SC_ARRAY_SIZE(chip.ch_reset)];

    chip.ch_resets[which]++;
    if (chip.ch_reset_ns == 0)
        return chip_reset_do(which, lun);
    if (chip.ch_nreset < SC_ARRAY_SIZE(chip.ch_reset))
        chip.ch_nreset++;
    shim_timer_init(&r->sr_timer, chip_reset_ends, r);
    r->sr_which = which;
    r->sr_id = id;
    r->sr_lun = lun;
    SCHED_CHECK(shim_timer_arm(&r->sr_timer, shim_now_ns() + chip.ch_reset_ns) == 0, "no timer");
    return AD_HW_RESETTING;
}

static int chip_reset_lun(void *hw, unsigned id, unsigned lun)
{
    (void)hw;
    return chip_reset(AD_RESET_LUN, id, lun);
}

static int chip_reset_target(void *hw, unsigned id)
{
    (void)hw;
    return chip_reset(AD_RESET_TARGET, id, 0);
}

static int chip_reset_bus(void *hw)
{
    (void)hw;
    return chip_reset(AD_RESET_BUS, 0, 0);
}

static int chip_reset_adapter(void *hw)
{
    (void)hw;
    return chip_reset(AD_RESET_ADAPTER, 0, 0);
}

static void chip_isolate(void *hw)
{
    (void)hw;
    SCHED_CHECK(chip.ch_inside == 0, "the chip is cut off while %u commands are on their way to it",
                chip.ch_inside);
    chip.ch_nkept = 0;
    chip.ch_cut = true;
    chip.ch_isolated++;
    shim_det_mark();
}

static void chip_freeze(void *hw, unsigned id, unsigned lun)
{
    (void)hw;
    (void)id;
    chip.ch_frozen[lun]++;
}

static void chip_thaw(void *hw, unsigned id, unsigned lun, unsigned n)
{
    (void)hw;
    (void)id;
    SCHED_CHECK(n <= chip.ch_frozen[lun], "%u freezes are undone, and there are %u", n, chip.ch_frozen[lun]);
    chip.ch_frozen[lun] -= n;
}

static const struct ad_hw_ops chip_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "small",
    .attach = chip_attach,
    .detach = chip_detach,
    .start = chip_start,
    .abort = chip_abort,
    .reset_target = chip_reset_target,
    .reset_bus = chip_reset_bus,
    .freeze = chip_freeze,
    .thaw = chip_thaw,
    .reset_lun = chip_reset_lun,
    .reset_adapter = chip_reset_adapter,
    .isolate = chip_isolate,
};

static void chip_flush(void *hw)
{
    (void)hw;
    SCHED_CHECK(shim_self()->self_nlocks == 0, "flush() with a lock held");
    shim_det_mark();
    chip.ch_nheld = 0;
    chip.ch_flushes++;
    shim_det_mark();
}

static struct ad_hw_ops chip_old_ops;

/* ---------------------------------------------------------------- a run */

void small_chip_prepare(void)
{
    memset(&chip, 0, sizeof(chip));
    chip.ch_dev.dev_ops = &chip_dev_ops;
    chip.ch_commands = 16;
    chip.ch_tags = 4;
    chip.ch_luns = 4;
}

void small_host(const struct det_strategy *st, uint64_t seed)
{
    const struct shim_host *host = shim_det_host(seed);

    memset(reqs, 0, sizeof(reqs));
    memset(&small_event, 0, sizeof(small_event));
    small_orders = 0;
    small_fp = NULL;
    small_attached = false;
    shim_det_sched(st);
    shim_checks_set(true);
    SCHED_CHECK(shim_init(host) == 0 && kern_init() == 0, "the host does not come up");
    shim_det_tunable_set("ad_openings", 4);
    shim_det_tunable_set("ad_thread", 0); /* a program that wants it says so: it is a fibre more */
}

void small_chip_config(struct ad_config *cfg)
{
    chip_old_ops = chip_ops;
    chip_old_ops.size = offsetof(struct ad_hw_ops, reset_lun);
    if (chip.ch_batches) {
        chip_old_ops = chip_ops;
        chip_old_ops.flush = chip_flush;
    }
    *cfg = (struct ad_config){.cfg_ops = chip.ch_old || chip.ch_batches ? &chip_old_ops : &chip_ops,
                              .cfg_hw = &chip,
                              .cfg_dev = &chip.ch_dev};
}

void small_attach(void)
{
    struct ad_config cfg;

    small_chip_config(&cfg);
    SCHED_CHECK(ad_attach(SMALL_DEVNO, &cfg) == 0, "ad_attach failed");
    small_attached = true;
    SCHED_CHECK(fp_opendev(SMALL_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &small_fp) == 0, "open failed");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTART, SC_ARG(1, 0), 0) == 0, "SCIOSTART failed");
}

void small_up(const struct det_strategy *st, uint64_t seed)
{
    small_host(st, seed);
    small_attach();
}

void small_check(void)
{
    struct ad_lun *lun = ad_lun_find(ad_find(SMALL_DEVNO), 1, 0);
    const char *broken = ad_lun_check(lun);

    SCHED_CHECK(!broken, "LUN 0: %s", broken);
}

void small_down(void)
{
    if (small_fp)
        SCHED_CHECK(fp_close(small_fp) == 0, "close failed");
    if (small_attached)
        SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "detach failed");
    shim_delay_ns(1); /* a timer's fibre that has just called the last iodone comes to its end */
    kern_fini();
    SCHED_CHECK(shim_det_sched_idle(), "a fibre has not ended");
    SCHED_CHECK(shim_fini() == 0, "memory leaked");
    shim_checks_set(false);
}

/* ---------------------------------------------------------------- requests */

static void req_done(struct buf *bp)
{
    struct small_req *r = (struct small_req *)(void *)bp;

    r->rq_order = ++small_orders;
    if (r->rq_then)
        r->rq_then(r);
    r->rq_done++;
    shim_wake(&small_event);
}

struct small_req *small_req(uint32_t i, uint8_t lun, uint8_t code)
{
    struct small_req *r = &reqs[i];

    memset(r, 0, sizeof(*r));
    r->rq_sb.bufstruct.b_flags = B_READ;
    r->rq_sb.bufstruct.b_iodone = req_done;
    r->rq_sb.bufstruct.b_dev = SMALL_DEVNO;
    r->rq_sb.bufstruct.b_un.b_addr = (void *)r->rq_data;
    r->rq_sb.bufstruct.b_bcount = sizeof(r->rq_data);
    r->rq_sb.scsi_command.scsi_length = 6;
    r->rq_sb.scsi_command.scsi_id = 1;
    r->rq_sb.scsi_command.scsi_cmd.scsi_op_code = code;
    r->rq_sb.lun = lun;
    r->rq_sb.q_tag_msg = SC_SIMPLE_Q;
    r->rq_sb.timeout_value = 30;
    return r;
}

void small_send(struct small_req *r) { SCHED_CHECK(devstrat(&r->rq_sb.bufstruct) == 0, "devstrat failed"); }

void small_submit(void *req) { small_send(req); }

void small_wait_done(uint32_t n)
{
    for (;;) {
        uint32_t done = 0;

        for (uint32_t i = 0; i < SMALL_REQS_MAX; i++)
            done += reqs[i].rq_done;
        if (done >= n)
            return;
        (void)shim_wait(&small_event, NULL, UINT64_MAX);
    }
}

int small_errno(const struct small_req *r)
{
    return r->rq_sb.bufstruct.b_flags & B_ERROR ? r->rq_sb.bufstruct.b_error : 0;
}
