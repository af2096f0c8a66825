/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_life_test.c - opening and closing an adapter, whose a LUN is, who has authority; attaching and
 * detaching; other chips; ending a LUN under load.
 */
#include "ad_fake.h"

static int scio(unsigned cmd, intptr_t arg) { return fp_ioctl(fake_fp, cmd, arg, 0); }

START_TEST(test_AIX_25_diagnostic_open_is_exclusive)
{
    struct file *fp;
    struct devinfo info;
    struct sc_adapter_stats st;

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), EACCES);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD, NULL, 0, &fp), 0); /* normal ones may be many */
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), EBUSY);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fake_fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD, NULL, 0, &fp), EACCES);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, SC_DIAGNOSTIC, &fp), EACCES);
    ck_assert_int_eq(scio(IOCINFO, (intptr_t)&info), 0);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), EACCES);
    ck_assert_int_eq(scio(SCIOSTAT, (intptr_t)&st), EACCES);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD, NULL, 0, &fake_fp), 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_a_lun_belongs_to_the_file_that_started_it)
{
    struct file *other = NULL;
    static struct req r;

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &other), 0);
    req_init(&r);
    req_send(&r);
    ck_assert_int_eq(fp_ioctl(other, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), EINVAL);
    ck_assert_int_eq(fp_ioctl(other, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), EINVAL);
    ck_assert_int_eq(fp_ioctl(other, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), EINVAL);
    ck_assert_int_eq(fp_ioctl(other, SCIORESET, SC_ARG(FAKE_ID, 0), 0), EINVAL);
    ck_assert_uint_eq(fake.target_resets, 0);
    ck_assert_uint_eq(fake.aborts, 0);
    ck_assert_int_eq(fp_ioctl(other, SCIOSTART, SC_ARG(5, 0), 0), 0);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(5, 0)), EINVAL);
    /* A close gives back what its file started, and only that. */
    ck_assert_int_eq(fp_close(other), 0);
    ck_assert_ptr_null(ad_lun_started(ad_find(FAKE_DEVNO), 5, 0));
    ck_assert_uint_eq(r.done, 0);
    fake_end_all();
    ck_assert_uint_eq(r.done, 1);
    ck_assert_uint_eq(r.sb.bufstruct.b_flags & B_ERROR, 0);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(5, 0)), 0);
    ck_assert_int_eq(scio(SCIORESET, SC_ARG(5, 0)), 0);
    ck_assert_uint_eq(fake.target_resets, 1);
    ck_assert_int_eq(scio(SCIOHALT, SC_ARG(5, 0)), 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_users_need_authority_for_all_but_looking)
{
    static const unsigned touching[] = {SCIOSTART,  SCIOSTOP, SCIOHALT, SCIORESET, SCIOEVENT, SCIOINQU,
                                        SCIOSTUNIT, SCIOTUR,  SCIOREAD, SCIOCMD,   0x12345};
    static char area[16384];
    struct sc_lun_stats ls = {.id = FAKE_ID};
    struct file *fp = NULL;

    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(touching); i++)
        ck_assert_int_eq(fp_ioctlx(fake_fp, touching[i], (intptr_t)area, 0, DREAD | DWRITE), EPERM);
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_int_eq(fp_ioctlx(fake_fp, IOCINFO, (intptr_t)area, 0, DREAD), 0);
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOSTAT, (intptr_t)area, 0, DREAD), 0);
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOLUNSTAT, (intptr_t)&ls, 0, DREAD), 0);
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOGTHW, 0, 0, DREAD), 0);
    ck_assert_int_eq(fp_ioctlx(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0, DREAD | DAUTH), 0);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD, NULL, SC_DIAGNOSTIC, &fp), EPERM);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DAUTH, NULL, SC_DIAGNOSTIC, &fp), 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD, NULL, 0, &fake_fp), 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_attach_undoes_itself_at_every_allocation)
{
    struct ad_config cfg = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};
    struct ad_hw_ops hole = fake_ops;
    unsigned k = 1;

    shim_test_begin_det(1);
    fake_prepare();
    for (;; k++) {
        int error;

        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        error = ad_attach(FAKE_DEVNO, &cfg);
        if (error == 0)
            break;
        ck_assert_int_eq(error, ENOMEM);
        ck_assert_ptr_null(ad_find(FAKE_DEVNO));
    }
    ck_assert_uint_gt(k, 1);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    ck_assert_int_eq(ad_attach(SC_MAKEDEV(9, AD_MINORS_MAX), &cfg), EINVAL);
    hole.abort = NULL;
    cfg.cfg_ops = &hole;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    hole = fake_ops;
    hole.version++;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, NULL), EINVAL);
    shim_test_end();
}
END_TEST

START_TEST(test_NB_23_two_adapters_share_the_switch_and_nothing_else)
{
    struct ad_config cfg = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(ad_attach(SC_MAKEDEV(9, 1), &cfg), 0);
    ck_assert_ptr_ne(ad_find(SC_MAKEDEV(9, 1)), ad_find(FAKE_DEVNO));
    ck_assert_ptr_null(ad_find(SC_MAKEDEV(8, 1)));
    ck_assert_int_eq(ad_detach(SC_MAKEDEV(9, 1)), 0);
    fake.detaches = 0;
    ck_assert_ptr_nonnull(devsw_find(FAKE_DEVNO));
    fake.ad = ad_find(FAKE_DEVNO);
    fake_down();
}
END_TEST

static struct req load[100];
static bool load_over, load_more;
static unsigned load_refused;

/* Its owner may have more; a LUN that is being stopped refuses that. */
static void load_done(struct req *r)
{
    struct req again;

    ck_assert(!load_over); /* nobody hears of anything once the ioctl is back */
    ck_assert_uint_eq(r->done, 1);
    if (!load_more)
        return;
    req_init(&again);
    req_expect(&again, EINVAL);
    load_refused++;
}

static void end_fast(struct shim_timer *t)
{
    fake_end(0);
    if (fake.nkept > 0)
        (void)shim_timer_arm(t, shim_now_ns() + AD_NS_PER_MS);
}

/* A drain (SCIOSTOP) and a kill (SCIOHALT) under load: each request comes back once, and before the ioctl. */
START_TEST(test_NB_21_drain_and_kill_under_load)
{
    const bool kill = _i != 0;
    struct shim_timer ender;

    fake_up(true, FAKE_PEND);
    fake.abort_mode = FAKE_ABORT_LATER; /* what is killed comes back when the chip says so, too */
    load_over = false;
    load_more = !kill;
    load_refused = 0;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(load); i++) {
        req_init(&load[i]);
        load[i].then = load_done;
        req_send(&load[i]);
    }
    ck_assert_uint_eq(fake.nkept, AD_OPENINGS_DEFAULT);
    shim_timer_init(&ender, end_fast, NULL);
    ck_assert_int_eq(shim_timer_arm(&ender, shim_now_ns() + AD_NS_PER_MS), 0);
    ck_assert_int_eq(scio(kill ? SCIOHALT : SCIOSTOP, SC_ARG(FAKE_ID, 0)), 0);
    load_over = true;
    ck_assert_uint_eq(fake_lun->lun_active, 0);
    ck_assert_uint_eq(fake.nkept, 0);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(load); i++) {
        const struct buf *b = &load[i].sb.bufstruct;

        ck_assert_uint_eq(load[i].done, 1);
        ck_assert_int_eq(b->b_flags & B_ERROR ? b->b_error : 0, kill && i >= AD_OPENINGS_DEFAULT ? ENXIO : 0);
    }
    ck_assert_uint_eq(load_refused, kill ? 0 : SC_ARRAY_SIZE(load));
    fake_down();
}
END_TEST

/* Another kind of bus: no tags, eight ids, nothing that pends. */
static struct dummy {
    struct ad_adapter *ad;
    unsigned starts, detaches;
} dummy;

static int dummy_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    ck_assert_ptr_eq(hw, &dummy);
    dummy.ad = ad;
    *caps = (struct ad_hw_caps){.cap_transfer_bytes_max = SC_MAXREQUEST,
                                .cap_commands_max = 1,
                                .cap_segs_max = 64,
                                .cap_adapter_id = 6,
                                .cap_ids = 8,
                                .cap_luns = 1};
    return 0;
}
static void dummy_detach(void *hw) { ((struct dummy *)hw)->detaches++; }
static int dummy_start(void *hw, struct ad_xfer *xfer)
{
    ck_assert_uint_eq(xfer->xfer_qmsg, SC_NO_Q);
    xfer->xfer_result = AD_RES_GOOD;
    xfer->xfer_resid = 0;
    ((struct dummy *)hw)->starts++;
    return AD_HW_DONE;
}
static void dummy_abort(void *hw, struct ad_xfer *xfer)
{
    ck_abort_msg("nothing pends: %p %p", hw, (void *)xfer);
}
static int dummy_reset_target(void *hw, unsigned id) { return hw == &dummy && id < 8 ? 0 : EINVAL; }
static int dummy_reset_bus(void *hw) { return hw == &dummy ? 0 : EINVAL; }

static const struct ad_hw_ops dummy_ops = {
    .version = AD_HW_VERSION,
    .size = SHIM_TABLE_BYTES(ad_hw_ops, reset_bus),
    .name = "dummy",
    .attach = dummy_attach,
    .detach = dummy_detach,
    .start = dummy_start,
    .abort = dummy_abort,
    .reset_target = dummy_reset_target,
    .reset_bus = dummy_reset_bus,
};

/* It plugs in by its table, beside the first one; each has its own ids, tags and requests. */
START_TEST(test_NB_23_a_second_kind_of_bus_beside_the_first)
{
    const devno_t second = SC_MAKEDEV(9, 1);
    struct ad_config cfg = {.cfg_ops = &dummy_ops, .cfg_hw = &dummy, .cfg_dev = &fake.dev};
    struct file *fp = NULL;
    static struct req r[2];

    memset(&dummy, 0, sizeof(dummy));
    fake_up(true, FAKE_INLINE);
    ck_assert_int_eq(ad_attach(second, &cfg), 0);
    ck_assert_int_eq(fp_opendev(second, DREAD | DWRITE | DKERNEL, NULL, 0, &fp), 0);
    ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(8, 0), 0), EINVAL); /* it has eight */
    ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(6, 0), 0), EINVAL); /* its own */
    ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(ad_lun_find(ad_find(second), FAKE_ID, 0)->lun_openings, 1);
    ck_assert_uint_eq(fake_lun->lun_openings, AD_OPENINGS_DEFAULT);
    for (unsigned i = 0; i < 4; i++) {
        req_init(&r[i % 2]);
        if (i % 2 != 0)
            r[1].sb.bufstruct.b_dev = second;
        req_expect(&r[i % 2], 0);
        ck_assert_uint_eq(fake.starts, i / 2 + 1);
        ck_assert_uint_eq(dummy.starts, (i + 1) / 2);
    }
    ck_assert_int_eq(fp_ioctl(fp, SCIORESET, SC_ARG(FAKE_ID, 0), 0), 0);
    ck_assert_uint_eq(fake.target_resets, 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(ad_detach(second), 0);
    ck_assert_uint_eq(dummy.detaches, 1);
    ck_assert_uint_eq(fake.detaches, 0);
    fake_down();
}
END_TEST

/* The device switch's lock is this host's own kind: what another thread does once it is free is done there.
 */
#define LOCK_HOSTS_OWN 1u
static bool detach_next;
static int detach_answer;

static int own_lock_init(struct shim_lock *l)
{
    if (strcmp(l->sl_name, "kern devsw") == 0)
        l->sl_slow |= LOCK_HOSTS_OWN;
    return 0;
}
static void own_lock_enter(struct shim_lock *l)
{
    ck_assert_uint_eq(atomic_load(&l->sl_word), 0);
    atomic_store(&l->sl_word, 1);
}
static void own_lock_exit(struct shim_lock *l)
{
    atomic_store(&l->sl_word, 0);
    if (!detach_next)
        return;
    detach_next = false;
    detach_answer = ad_detach(FAKE_DEVNO);
}

/* A detach while somebody finds out that another minor is not there: EBUSY, and all is as it was; never a
 * driver in the switch without an adapter. */
START_TEST(test_AIX_25_detach_beside_the_failing_open_of_another)
{
    struct shim_host host = *shim_det_host(1);
    struct file *fp;

    host.lock_init = own_lock_init;
    host.lock_enter = own_lock_enter;
    host.lock_exit = own_lock_exit;
    shim_test_begin(&host);
    fake_prepare();
    fake_attach(NULL);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    detach_next = true;
    detach_answer = -1;
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO + 1, DREAD, NULL, 0, &fp), ENXIO);
    ck_assert_int_eq(detach_answer, EBUSY);
    ck_assert_uint_eq(fake.detaches, 0);
    ck_assert_ptr_nonnull(devsw_find(FAKE_DEVNO));
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &fake_fp), 0);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    fake_fp = NULL;
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    ck_assert_uint_eq(fake.detaches, 1);
    ck_assert_ptr_null(devsw_find(FAKE_DEVNO));
    shim_test_end();
}
END_TEST

/* A close that meets a new open stops nothing of the newcomer's. */
static struct file *newcomer;
static void newcomer_comes(struct shim_timer *t)
{
    (void)t;
    /* The close is asleep in SCIOSTOP: this is what another process does meanwhile. */
    ck_assert_int_eq(ad_lun_start(ad_find(FAKE_DEVNO), 5, 0, (long)(intptr_t)newcomer), 0);
    fake_end_all();
}

START_TEST(test_AIX_25_a_close_stops_nothing_of_a_newcomer)
{
    struct shim_timer t;
    static struct req r[2];

    fake_up(true, FAKE_PEND);
    req_init(&r[0]);
    req_send(&r[0]);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &newcomer), 0);
    shim_timer_init(&t, newcomer_comes, NULL);
    ck_assert_int_eq(shim_timer_arm(&t, shim_now_ns() + AD_NS_PER_MS), 0);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_uint_eq(r[0].done, 1);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_STOPPED);
    req_init(&r[1]);
    r[1].sb.scsi_command.scsi_id = 5;
    req_send(&r[1]);
    ck_assert_uint_eq(fake.nkept, 1);
    fake_end_all();
    ck_assert_uint_eq(r[1].sb.bufstruct.b_flags & B_ERROR, 0);
    fake_fp = newcomer;
    fake_down();
}
END_TEST

/* The chip keeps a command for ever: nothing panics, and when it comes home everything can go. */
START_TEST(test_AIX_25_detach_with_a_command_inside_is_EBUSY)
{
    static struct req r;
    struct file *fp = NULL; /* open beside the other: not at the same address */

    fake_up(true, FAKE_PEND);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &fp), 0);
    fake.abort_mode = FAKE_ABORT_NEVER;
    fake.reset_works = false;
    fake.bus_dead = true;
    req_init(&r);
    req_send(&r);
    ck_assert_int_eq(fp_close(fake_fp), 0);
    ck_assert_uint_eq(fake_lun->lun_state, AD_LUN_HALT);
    ck_assert_uint_eq(r.done, 0);
    fake_check(fake_lun);
    /* Its file is gone: anybody may try, and nobody may start it again. */
    ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(FAKE_ID, 0), 0), EINVAL);
    ck_assert_int_eq(fp_ioctl(fp, SCIOHALT, SC_ARG(FAKE_ID, 0), 0), ETIMEDOUT);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), EBUSY);
    ck_assert_uint_eq(fake.detaches, 0);
    fake_check(fake_lun);
    fake_end_all();
    ck_assert_uint_eq(r.done, 1);
    fake_fp = NULL;
    fake_down();
}
END_TEST

/* What stays with the adapter counts for who attached it, whoever asks for it. */
START_TEST(test_NB_23_memory_is_the_adapters_owners)
{
    uint32_t before;
    size_t had;

    shim_test_begin_det(1);
    fake_prepare();
    before = shim_owner_enter(1);
    fake_attach(NULL);
    shim_owner_leave(before);
    had = shim_owner_blocks(1);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(5, 0)), 0);
    ck_assert_uint_eq(shim_owner_blocks(1), had + 2); /* its head, and what it works with */
    ck_assert_int_eq(scio(SCIOGTHW, 0), 0);
    ck_assert_uint_eq(shim_owner_blocks(1), had + 3);
    ck_assert_int_eq(scio(SCIOSTOP, SC_ARG(5, 0)), 0);
    ck_assert_uint_eq(shim_owner_blocks(1), had + 2);
    fake_down();
}
END_TEST

/* What one command can carry for certain, whatever pages its memory lies in. */
START_TEST(test_AIX_10_the_maximum_follows_the_segments)
{
    struct ad_config cfg = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};
    static uint8_t mem[64 * SC_PAGE_SIZE] __attribute__((aligned(4096)));
    struct devinfo info;
    static struct req r;

    shim_test_begin_det(1);
    fake_prepare();
    fake.map_pages = true;
    fake.caps.cap_segs_max = 16;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL); /* SC_MAXREQUEST does not fit */
    fake.detaches = 0;
    fake.caps.cap_segs_max = 64;
    fake_attach(NULL);
    ck_assert_int_eq(fp_ioctl(fake_fp, IOCINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.un.scsi.max_transfer, 63 * SC_PAGE_SIZE);
    req_init(&r);
    r.sb.bufstruct.b_un.b_addr = mem + 1; /* 64 segments: the worst place it can lie at */
    r.sb.bufstruct.b_bcount = (size_t)info.un.scsi.max_transfer;
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.nsegs_last, 64);
    r.done = 0;
    r.sb.bufstruct.b_bcount++;
    req_expect(&r, EINVAL);
    fake_down();
}
END_TEST

static int open_with_boundary(struct shim_dev *dev, struct shim_dma_limits *limits)
{
    (void)dev;
    limits->dl_boundary = 2048;
    return 0;
}

/* Nor does a segment hold more than what lies between two boundaries. */
START_TEST(test_AIX_10_the_maximum_follows_the_boundary)
{
    struct shim_dev_ops ops;
    struct devinfo info;

    shim_test_begin_det(1);
    fake_prepare();
    ops = *fake.dev.dev_ops;
    ops.open = open_with_boundary;
    fake.dev.dev_ops = &ops;
    fake.caps.cap_segs_max = 65;
    fake_attach(NULL);
    ck_assert_int_eq(fp_ioctl(fake_fp, IOCINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.un.scsi.max_transfer, (64 / 2 - 1) * SC_PAGE_SIZE);
    fake_down();
}
END_TEST

static unsigned configs_refused;

static void count_refused(int level, const char *text)
{
    configs_refused += level == SHIM_LOG_ERROR && strstr(text, "ad: ad_config ") != NULL;
}

/* docs/porting.md: "What ad_attach() refuses, it explains in your log." */
START_TEST(test_a_configuration_that_is_refused_is_explained)
{
    struct ad_config bad = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev, .cfg_reserved4 = 1};
    struct shim_host host = *shim_det_host(1);

    host.log = count_refused;
    configs_refused = 0;
    shim_test_begin(&host);
    fake_prepare();
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
    ck_assert_uint_eq(configs_refused, 1);
    bad.cfg_reserved4 = 0;
    bad.cfg_ops = NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
    ck_assert_uint_eq(configs_refused, 2);
    shim_test_end();
}
END_TEST

/* Every hole and every impossible number, one at a time. */
START_TEST(test_AIX_25_what_cannot_attach)
{
    struct ad_config cfg = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};
    struct ad_config bad;
    struct ad_hw_ops ops;
    static const struct devsw other = {.d_opts = DEV_MPSAFE};

    shim_test_begin_det(1);
    fake_prepare();
#define hole(member)                                                                                         \
    do {                                                                                                     \
        ops = fake_ops;                                                                                      \
        ops.member = NULL;                                                                                   \
        bad = cfg;                                                                                           \
        bad.cfg_ops = &ops;                                                                                  \
        ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);                                               \
    } while (0)
    hole(attach);
    hole(detach);
    hole(start);
    hole(abort);
    hole(reset_target);
    hole(reset_bus);
    bad = cfg;
    bad.cfg_ops = NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
    bad = cfg;
    bad.cfg_dev = NULL;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(bad.cfg_reserved); i++) {
        bad = cfg;
        bad.cfg_reserved[i] = 1;
        ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
    }
    bad = cfg;
    bad.cfg_reserved4 = 1;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
#define cap(member, value)                                                                                   \
    do {                                                                                                     \
        fake_prepare();                                                                                      \
        fake.caps.member = (value);                                                                          \
        ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);                                               \
        ck_assert_uint_eq(fake.detaches, 1); /* the chip was brought up, and down again */                   \
    } while (0)
    cap(cap_transfer_bytes_max, SC_MAXREQUEST - 1);
    cap(cap_commands_max, 0);
    cap(cap_segs_max, 0);
    cap(cap_segs_max, 1);
    cap(cap_ids, 0);
    cap(cap_ids, SC_IDS_MAX + 1);
    cap(cap_luns, 0);
    cap(cap_luns, SC_LUNS_MAX + 1);
    fake_prepare();
    bad = cfg;
    bad.cfg_transfer_bytes_max = SC_MAXREQUEST - 1;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &bad), EINVAL);
    /* Its major is another driver's; its minor is taken. */
    fake_prepare();
    ck_assert_int_eq(devswadd(FAKE_DEVNO, &other), 0);
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EEXIST);
    ck_assert_ptr_null(ad_find(FAKE_DEVNO));
    ck_assert_int_eq(devswdel(FAKE_DEVNO), 0);
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EEXIST);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO + 1), ENXIO);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), ENXIO);
    shim_test_end();
}
END_TEST

/* A device half with narrow segments, one that cannot be opened, and a chip that does not come up. */
static uint64_t seg_bytes, boundary;
static int open_error, attach_error;
static int narrow_open(struct shim_dev *dev, struct shim_dma_limits *limits)
{
    (void)dev;
    limits->dl_segs_max = 200;
    limits->dl_seg_bytes_max = seg_bytes;
    limits->dl_boundary = boundary;
    return open_error;
}
static int attach_fails(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    return attach_error != 0 ? attach_error : fake_ops.attach(hw, ad, caps);
}
static int reset_fails(void *hw, unsigned id)
{
    (void)hw, (void)id;
    return EBUSY;
}

START_TEST(test_AIX_10_narrow_segments_and_devices_that_do_not_come_up)
{
    struct shim_dev_ops dev_ops;
    struct ad_hw_ops ops = fake_ops;
    struct ad_config cfg = {.cfg_ops = &ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};
    static const struct {
        uint64_t seg_bytes, boundary, want;
    } rows[] = {{0, 0, 199 * SC_PAGE_SIZE},
                {1u << 20, 1u << 16, 199 * SC_PAGE_SIZE},
                {512, 0, (200 / 8 - 1) * SC_PAGE_SIZE},
                {0, 1024, (200 / 4 - 1) * SC_PAGE_SIZE},
                {2048, 1024, (200 / 4 - 1) * SC_PAGE_SIZE},
                {4095, 0, (200 / 2 - 1) * SC_PAGE_SIZE}, /* a page does not fit into one */
                {1000, 2048, (200 / 6 - 1) * SC_PAGE_SIZE}};

    shim_test_begin_det(1);
    fake_prepare();
    dev_ops = *fake.dev.dev_ops;
    dev_ops.open = narrow_open;
    fake.dev.dev_ops = &dev_ops;
    ops.attach = attach_fails;
    ops.reset_target = reset_fails;
    open_error = ENXIO;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), ENXIO);
    open_error = 0;
    attach_error = EIO;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EIO);
    attach_error = 0;
    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        seg_bytes = rows[i].seg_bytes;
        boundary = rows[i].boundary;
        ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
        ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_transfer_max, rows[i].want);
        ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    }
    fake.detaches = 0;
    dev_ops.open = NULL; /* says nothing: the chip's limits */
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_transfer_max, 1u << 20);
    ck_assert_int_eq(fp_opendev(FAKE_DEVNO, DREAD | DKERNEL, NULL, 0, &fake_fp), 0);
    ck_assert_int_eq(scio(SCIOSTART, SC_ARG(FAKE_ID, 0)), 0);
    ck_assert_int_eq(scio(SCIORESET, SC_ARG(FAKE_ID, 0)), EIO);
    fake_down();
}
END_TEST

/* What an administrator may say, and what is made of nonsense. */
START_TEST(test_AIX_25_attributes_lower_and_nonsense_is_ignored)
{
    static const struct {
        int64_t openings, delay_ms;
        uint32_t tags, want_openings;
        uint64_t want_delay_ns;
    } rows[] = {{32, 5, 256, 32, 5 * AD_NS_PER_MS},
                {0, -1, 256, AD_OPENINGS_DEFAULT, 0},
                {257, 0, 256, AD_OPENINGS_DEFAULT, 0},
                {256, 1, 8, 8, AD_NS_PER_MS},
                {64, 1, 0, 1, AD_NS_PER_MS}};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        struct ad_config more = {.cfg_commands_max = 100, .cfg_transfer_bytes_max = SC_MAXREQUEST};
        struct ad_adapter *adp;

        shim_test_begin_det(1);
        fake_prepare();
        shim_det_tunable_set("ad_openings", rows[i].openings);
        shim_det_tunable_set("ad_delay_ms", rows[i].delay_ms);
        fake.caps.cap_tags_max = rows[i].tags;
        fake_attach(&more);
        adp = ad_find(FAKE_DEVNO);
        ck_assert_uint_eq(adp->adp_openings, rows[i].want_openings);
        ck_assert_uint_eq(adp->adp_delay_ns, rows[i].want_delay_ns);
        ck_assert_uint_eq(adp->adp_credits, 100);
        ck_assert_uint_eq(adp->adp_transfer_max, SC_MAXREQUEST);
        fake_down();
    }
}
END_TEST

static Suite *ad_life_suite(void)
{
    Suite *s = suite_create("ad_life");
    TCase *life = tcase_create("life");

    tcase_add_test(life, test_AIX_25_diagnostic_open_is_exclusive);
    tcase_add_test(life, test_AIX_25_a_lun_belongs_to_the_file_that_started_it);
    tcase_add_test(life, test_AIX_25_users_need_authority_for_all_but_looking);
    tcase_add_test(life, test_AIX_25_attach_undoes_itself_at_every_allocation);
    tcase_add_loop_test(life, test_NB_21_drain_and_kill_under_load, 0, 2);
    tcase_add_test(life, test_NB_23_a_second_kind_of_bus_beside_the_first);
    tcase_add_test(life, test_NB_23_two_adapters_share_the_switch_and_nothing_else);
    tcase_add_test(life, test_AIX_25_detach_beside_the_failing_open_of_another);
    tcase_add_test(life, test_AIX_25_a_close_stops_nothing_of_a_newcomer);
    tcase_add_test(life, test_AIX_25_detach_with_a_command_inside_is_EBUSY);
    tcase_add_test(life, test_NB_23_memory_is_the_adapters_owners);
    tcase_add_test(life, test_AIX_10_the_maximum_follows_the_segments);
    tcase_add_test(life, test_AIX_10_the_maximum_follows_the_boundary);
    tcase_add_test(life, test_a_configuration_that_is_refused_is_explained);
    tcase_add_test(life, test_AIX_25_what_cannot_attach);
    tcase_add_test(life, test_AIX_25_attributes_lower_and_nonsense_is_ignored);
    tcase_add_test(life, test_AIX_10_narrow_segments_and_devices_that_do_not_come_up);
    suite_add_tcase(s, life);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_life_suite(), argc, argv); }
