/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_fake.c - the fake chip, its device half, and the requests of ad_fake.h.
 */
#include "ad_fake.h"

struct fake fake;
struct file *fake_fp;
struct ad_lun *fake_lun;
unsigned req_orders;

/* ---------------------------------------------------------------- the device half */

static int fake_dev_open(struct shim_dev *dev, struct shim_dma_limits *limits)
{
    (void)dev;
    limits->dl_segs_max = 4096;
    return 0;
}

static int fake_dev_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                        struct shim_dma_map *map)
{
    struct fake *f = (struct fake *)(void *)dev;

    (void)dir;
    if (f->map_later > 0) {
        f->map_later--;
        return SHIM_MAP_LATER;
    }
    if (f->map_never)
        return SHIM_MAP_NEVER;
    map->map_bytes = 0;
    map->map_nsegs = 0;
    for (uint32_t i = 0; i < n; i++) {
        uintptr_t at = (uintptr_t)vec[i].iov_base;
        const uintptr_t end = at + vec[i].iov_len;

        while (at < end) {
            const uintptr_t page_end = (at | SC_PAGE_MASK) + 1;
            const uintptr_t to = f->map_pages && page_end < end ? page_end : end;

            if (map->map_nsegs == map->map_segs_max)
                return SHIM_MAP_NEVER;
            map->map_segs[map->map_nsegs++] = (struct shim_seg){at, to - at};
            at = to;
        }
        map->map_bytes += vec[i].iov_len;
    }
    f->maps++;
    f->maps_live++;
    return SHIM_MAP_OK;
}

static void fake_dev_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    struct fake *f = (struct fake *)(void *)dev;

    (void)map;
    ck_assert_uint_gt(f->maps_live, 0);
    f->maps_live--;
}

static const struct shim_dev_ops fake_dev_ops = {
    .version = SHIM_DEV_VERSION,
    .size = sizeof(struct shim_dev_ops),
    .name = "fake",
    .open = fake_dev_open,
    .dma_map = fake_dev_map,
    .dma_unmap = fake_dev_unmap,
};

/* ---------------------------------------------------------------- the chip */

static int fake_hw_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    struct fake *f = hw;

    f->ad = ad;
    *caps = f->caps;
    return 0;
}

static void fake_hw_detach(void *hw)
{
    struct fake *f = hw;

    ck_assert_uint_eq(f->nkept, 0);
    f->detaches++;
}

/* What ends badly freezes its LUN before anybody hears of it. */
static void fake_freeze(struct fake *f, const struct ad_xfer *xfer)
{
    f->frozen[xfer->xfer_id][xfer->xfer_lun] +=
        xfer->xfer_result != AD_RES_GOOD && xfer->xfer_result != AD_RES_UNSENT;
}

/* Fill in the out fields from the script. */
static void fake_fill(struct fake *f, struct ad_xfer *xfer)
{
    struct fake_result r = {AD_RES_GOOD, SC_GOOD_STATUS, 0};

    if (f->script_at < f->script_n)
        r = f->script[f->script_at++];
    xfer->xfer_result = r.result;
    xfer->xfer_scsi_status = r.status;
    xfer->xfer_resid = r.resid;
    if (r.result == AD_RES_GOOD && f->data_in && xfer->xfer_dir == SHIM_DIR_FROM_DEVICE && xfer->xfer_bytes) {
        size_t n = f->data_in_bytes < xfer->xfer_bytes ? f->data_in_bytes : (size_t)xfer->xfer_bytes;

        memcpy((void *)(uintptr_t)xfer->xfer_map->map_segs[0].seg_addr, f->data_in, n);
        xfer->xfer_resid = xfer->xfer_bytes - n;
    }
    fake_freeze(f, xfer);
    f->dones++;
}

/* Look for what no chip should ever see. */
static void fake_record(struct fake *f, struct ad_xfer *xfer)
{
    unsigned at = f->starts % FAKE_LOG_MAX;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < f->nkept; i++) {
        ck_assert_ptr_ne(f->kept[i], xfer);
        if (f->kept[i]->xfer_qmsg != SC_NO_Q && xfer->xfer_qmsg != SC_NO_Q &&
            f->kept[i]->xfer_id == xfer->xfer_id && f->kept[i]->xfer_lun == xfer->xfer_lun)
            ck_assert_uint_ne(f->kept[i]->xfer_tag, xfer->xfer_tag);
    }
    ck_assert_uint_lt(f->nkept, f->caps.cap_commands_max);
    if (xfer->xfer_bytes != 0) {
        for (uint32_t i = 0; i < xfer->xfer_map->map_nsegs; i++)
            bytes += xfer->xfer_map->map_segs[i].seg_bytes;
        ck_assert_uint_eq(bytes, xfer->xfer_bytes);
        f->first_byte[at] = (unsigned long)xfer->xfer_map->map_segs[0].seg_addr;
    }
    f->nsegs_last = xfer->xfer_map->map_nsegs;
    f->qmsg[at] = xfer->xfer_qmsg;
    f->tag[at] = xfer->xfer_tag;
    f->xflags[at] = xfer->xfer_flags;
    f->cdb_last_len = xfer->xfer_cdb_len;
    memcpy(f->cdb_last, xfer->xfer_cdb, 16);
    f->starts++;
}

static int fake_hw_start(void *hw, struct ad_xfer *xfer)
{
    struct fake *f = hw;

    ck_assert(!f->cut);
    if (f->busy > 0) {
        f->busy--;
        if (f->on_busy)
            f->on_busy(f, xfer);
        return AD_HW_BUSY;
    }
    if (f->frozen[xfer->xfer_id][xfer->xfer_lun] != 0 && !(xfer->xfer_flags & AD_XFER_PAST)) {
        f->turned_away++;
        return AD_HW_FROZEN;
    }
    fake_record(f, xfer);
    if (f->on_start)
        f->on_start(f, xfer);
    if (f->cut) { /* it has been inside for too long */
        xfer->xfer_result = AD_RES_HW_FAILURE;
        xfer->xfer_resid = xfer->xfer_bytes;
        fake_freeze(f, xfer);
        return AD_HW_DONE;
    }
    if (f->mode == FAKE_INLINE) {
        fake_fill(f, xfer);
        return AD_HW_DONE;
    }
    if (f->mode == FAKE_EARLY) {
        fake_fill(f, xfer);
        ad_hw_done(f->ad, xfer);
        return AD_HW_PENDING;
    }
    ck_assert_uint_lt(f->nkept, FAKE_KEPT_MAX);
    f->kept[f->nkept++] = xfer;
    f->nheld += f->batches;
    if (f->nkept > f->nkept_max)
        f->nkept_max = f->nkept;
    return AD_HW_PENDING;
}

/* Take it out of the list; NULL when it is not there. */
static struct ad_xfer *fake_take(struct fake *f, unsigned i)
{
    struct ad_xfer *xfer = f->kept[i];

    ck_assert_uint_lt(i, f->nkept);
    if (i >= f->nkept - f->nheld) /* the youngest are held back */
        f->nheld--;
    memmove(&f->kept[i], &f->kept[i + 1], (f->nkept - i - 1) * sizeof(f->kept[0]));
    f->nkept--;
    return xfer;
}

void fake_end(unsigned i)
{
    struct ad_xfer *xfer = fake_take(&fake, i);

    fake_fill(&fake, xfer);
    ad_hw_done(fake.ad, xfer);
}

void fake_end_all(void)
{
    while (fake.nkept > 0)
        fake_end(0);
}

void fake_end_list(unsigned n)
{
    struct ad_xfer *list[FAKE_KEPT_MAX];

    for (unsigned i = 0; i < n; i++) {
        ck_assert_uint_lt(fake.nheld, fake.nkept); /* only what has been sent can end */
        list[i] = fake_take(&fake, 0);
        fake_fill(&fake, list[i]);
    }
    ad_hw_done_list(fake.ad, list, n);
    for (unsigned i = 0; i < n; i++)
        ck_assert_ptr_null(list[i]);
}

static void fake_give_back(struct fake *f, struct ad_xfer *xfer, uint8_t result)
{
    xfer->xfer_result = result;
    xfer->xfer_scsi_status = SC_GOOD_STATUS;
    xfer->xfer_resid = xfer->xfer_bytes;
    fake_freeze(f, xfer);
    ad_hw_done(f->ad, xfer);
}

static void fake_hw_abort(void *hw, struct ad_xfer *xfer)
{
    struct fake *f = hw;

    f->aborts++;
    for (unsigned i = 0; i < f->nkept; i++) {
        if (f->kept[i] != xfer)
            continue;
        if (f->abort_mode == FAKE_ABORT_NOW)
            fake_give_back(f, fake_take(f, i), AD_RES_ABORTED);
        else if (f->abort_mode == FAKE_ABORT_FINISHED)
            fake_end(i);
        else if (f->abort_mode == FAKE_ABORT_LATER)
            f->aborting[f->naborting++] = xfer;
        return;
    }
}

static int fake_hw_reset_target(void *hw, unsigned id)
{
    struct fake *f = hw;

    f->target_resets++;
    for (unsigned i = 0; f->reset_works && i < f->nkept;) {
        if (f->kept[i]->xfer_id == id)
            fake_give_back(f, fake_take(f, i), AD_RES_ABORTED);
        else
            i++;
    }
    return 0;
}

static int fake_hw_reset_bus(void *hw)
{
    struct fake *f = hw;

    f->bus_resets++;
    if (f->bus_dead)
        return 0;
    while (f->nkept > 0)
        fake_give_back(f, fake_take(f, 0), AD_RES_BUS_RESET);
    ad_hw_event(f->ad, AD_EV_BUS_RESET);
    return 0;
}

/* ---------------------------------------------------------------- the rest of the ladder */

static void fake_asked(struct fake *f, const char *form, unsigned id, unsigned lun)
{
    const size_t n = strlen(f->asked);

    ck_assert_uint_lt(n + 8, sizeof(f->asked));
    (void)shim_format(f->asked + n, sizeof(f->asked) - n, n ? " " : "");
    (void)shim_format(f->asked + n + (n != 0), sizeof(f->asked) - n - 1, form, id, lun);
    f->asked_at = shim_now_ns();
}

static int fake_full_lun(void *hw, unsigned id, unsigned lun)
{
    struct fake *f = hw;

    fake_asked(f, "L%u.%u", id, lun);
    for (unsigned i = 0; f->lun_says == 0 && !f->lun_dead && i < f->nkept;) {
        if (f->kept[i]->xfer_id == id && f->kept[i]->xfer_lun == lun)
            fake_give_back(f, fake_take(f, i), AD_RES_ABORTED);
        else
            i++;
    }
    return f->lun_says;
}

static int fake_full_target(void *hw, unsigned id)
{
    struct fake *f = hw;

    fake_asked(f, "T%u", id, 0);
    return f->target_says != 0 ? f->target_says : fake_hw_reset_target(hw, id);
}

static int fake_full_bus(void *hw)
{
    struct fake *f = hw;

    fake_asked(f, "B", 0, 0);
    return f->bus_says != 0 ? f->bus_says : fake_hw_reset_bus(hw);
}

static int fake_full_adapter(void *hw)
{
    struct fake *f = hw;

    fake_asked(f, "A", 0, 0);
    if (f->adapter_says == 0) {
        f->nkept = 0;
        f->cut = false;
    }
    return f->adapter_says;
}

static void fake_full_isolate(void *hw)
{
    struct fake *f = hw;

    fake_asked(f, "I", 0, 0);
    f->nkept = 0;
    f->cut = true;
}

static void fake_hw_freeze(void *hw, unsigned id, unsigned lun)
{
    struct fake *f = hw;

    f->frozen[id][lun]++;
}

static void fake_hw_thaw(void *hw, unsigned id, unsigned lun, unsigned n)
{
    struct fake *f = hw;

    ck_assert_uint_gt(n, 0);
    ck_assert_uint_ge(f->frozen[id][lun], n); /* a ledger: never more than there are */
    f->frozen[id][lun] -= n;
}

const struct ad_hw_ops fake_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "fake",
    .attach = fake_hw_attach,
    .detach = fake_hw_detach,
    .start = fake_hw_start,
    .abort = fake_hw_abort,
    .reset_target = fake_hw_reset_target,
    .reset_bus = fake_hw_reset_bus,
    .freeze = fake_hw_freeze,
    .thaw = fake_hw_thaw,
};

const struct ad_hw_ops fake_full_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "fake",
    .attach = fake_hw_attach,
    .detach = fake_hw_detach,
    .start = fake_hw_start,
    .abort = fake_hw_abort,
    .reset_target = fake_full_target,
    .reset_bus = fake_full_bus,
    .freeze = fake_hw_freeze,
    .thaw = fake_hw_thaw,
    .reset_lun = fake_full_lun,
    .reset_adapter = fake_full_adapter,
    .isolate = fake_full_isolate,
};

/* ---------------------------------------------------------------- batches */

static void fake_batch_flush(void *hw)
{
    struct fake *f = hw;

    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    f->flushes++;
    f->nheld = 0;
}

unsigned fake_poll_some(void *hw, unsigned budget)
{
    struct fake *f = hw;
    const unsigned sent = f->nkept - f->nheld, n = sent < budget ? sent : budget;

    f->budget_last = budget;
    if (n != 0)
        fake_end_list(n);
    return n;
}

const struct ad_hw_ops fake_batch_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "fake",
    .attach = fake_hw_attach,
    .detach = fake_hw_detach,
    .start = fake_hw_start,
    .abort = fake_hw_abort,
    .reset_target = fake_hw_reset_target,
    .reset_bus = fake_hw_reset_bus,
    .freeze = fake_hw_freeze,
    .thaw = fake_hw_thaw,
    .flush = fake_batch_flush,
};

/* ---------------------------------------------------------------- setting up */

void fake_prepare(void)
{
    memset(&fake, 0, sizeof(fake));
    req_orders = 0;
    fake.dev.dev_ops = &fake_dev_ops;
    fake.reset_works = true;
    fake.caps = (struct ad_hw_caps){.cap_transfer_bytes_max = 1u << 20,
                                    .cap_commands_max = 1024,
                                    .cap_tags_max = 256,
                                    .cap_segs_max = 512,
                                    .cap_adapter_id = 7,
                                    .cap_ids = 16,
                                    .cap_luns = 8,
                                    .cap_gather = true,
                                    .cap_keeps_queue = true};
}

void fake_attach(const struct ad_config *more)
{
    struct ad_config cfg = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    if (more) {
        if (more->cfg_ops)
            cfg.cfg_ops = more->cfg_ops;
        cfg.cfg_transfer_bytes_max = more->cfg_transfer_bytes_max;
        cfg.cfg_commands_max = more->cfg_commands_max;
        cfg.cfg_no_gather = more->cfg_no_gather;
        cfg.cfg_target_commands_max = more->cfg_target_commands_max;
    }
    fake.batches = cfg.cfg_ops->flush != NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &fake_fp), 0);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), 0);
    fake_lun = ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, 0);
    ck_assert_ptr_nonnull(fake_lun);
}

void fake_up(bool keeps_queue, enum fake_mode mode)
{
    shim_test_begin_det(1);
    fake_prepare();
    fake.caps.cap_keeps_queue = keeps_queue;
    fake.mode = mode;
    fake_attach(NULL);
}

void fake_down(void)
{
    if (fake_fp)
        ck_assert_int_eq(fp_close(fake_fp), 0);
    fake_fp = NULL;
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    ck_assert_uint_eq(fake.detaches, 1);
    ck_assert_uint_eq(fake.maps_live, 0);
    for (unsigned id = 0; id < SC_ARRAY_SIZE(fake.frozen); id++)
        for (unsigned lun = 0; lun < SC_ARRAY_SIZE(fake.frozen[0]); lun++)
            ck_assert_msg(fake.frozen[id][lun] == 0, "%u,%u is left frozen %u times", id, lun,
                          fake.frozen[id][lun]);
    shim_test_end();
}

/* ---------------------------------------------------------------- requests */

static void req_done(struct buf *bp)
{
    struct req *r = SC_CONTAINER_OF(bp, struct req, sb.bufstruct);

    r->done++;
    r->order = ++req_orders;
    if (r->then)
        r->then(r);
}

void req_init(struct req *r)
{
    memset(r, 0, sizeof(*r));
    r->sb.bufstruct.b_flags = B_READ;
    r->sb.bufstruct.b_iodone = req_done;
    r->sb.bufstruct.b_dev = FAKE_DEVNO;
    r->sb.bufstruct.b_un.b_addr = r->data;
    r->sb.bufstruct.b_bcount = sizeof(r->data);
    r->sb.scsi_command.scsi_length = 6;
    r->sb.scsi_command.scsi_id = FAKE_ID;
    r->sb.q_tag_msg = SC_SIMPLE_Q;
    r->sb.timeout_value = 30;
}

void req_send(struct req *r) { ck_assert_int_eq(devstrat(&r->sb.bufstruct), 0); }

void req_refused(struct req *r, int error)
{
    unsigned starts = fake.starts;
    uint8_t state = fake_lun->lun_state;

    r->done = 0;
    req_expect(r, error);
    ck_assert_uint_eq(fake.starts, starts);
    ck_assert_uint_eq(fake_lun->lun_state, state);
    ck_assert_uint_eq(r->sb.bufstruct.b_resid, r->sb.bufstruct.b_bcount);
    ck_assert_uint_eq(r->sb.status_validity, 0);
    fake_check(fake_lun);
}

void fake_script(uint8_t result, uint8_t status, uint64_t resid)
{
    ck_assert_uint_lt(fake.script_n, SC_ARRAY_SIZE(fake.script));
    fake.script[fake.script_n++] = (struct fake_result){result, status, resid};
}

struct sc_lun_stats fake_stats(void)
{
    struct sc_lun_stats st = {.id = FAKE_ID};

    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOLUNSTAT, (intptr_t)&st, 0), 0);
    return st;
}

struct sc_lun_flow fake_flow(void)
{
    struct sc_lun_flow flow = {.id = FAKE_ID};

    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOLUNFLOW, (intptr_t)&flow, 0), 0);
    return flow;
}
