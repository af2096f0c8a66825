/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small_life.c - what goes away, or is exchanged, while somebody is in it: pollers, bufs, event functions, an
 * entry of the switch, the last opening.
 */
#include "small.h"

#include "adapter/sim/sim.h"

#define TURN_DEV SC_MAKEDEV(5, 0)

static void start(struct shim_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    SCHED_CHECK(shim_thread_start(t, fn, arg, name) == 0, "no fibre");
}

/* ---------------------------------------------------------------- pollers */

struct watcher {
    struct kern_poller wa_poller; /* first */
    uint32_t wa_number;
    uint32_t wa_inside;
    bool wa_gone;
};
static struct watcher *watchers[3];

static void watch(void *arg)
{
    struct watcher *w = arg;

    SCHED_CHECK(!w->wa_gone, "poller %u is called and has been removed", w->wa_number);
    w->wa_inside++;
    shim_det_mark();
    w->wa_inside--;
}

static void sleep_once(void *arg)
{
    event_t never = EVENT_NULL;

    (void)arg;
    (void)e_timedsleep(&never, NULL, 1);
}

static void unwatch(void *arg)
{
    struct watcher *w = arg;

    kern_poller_remove(&w->wa_poller);
    SCHED_CHECK(w->wa_inside == 0, "poller %u is removed and somebody is in it", w->wa_number);
    w->wa_gone = true;
    shim_free(w, sizeof(*w), 0, SHIM_TAG_KERN);
}

/* Two pollers are removed, and given back, by two threads while a third goes through them. */
static void run_poller(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t[2];

    small_host(st, seed);
    for (uint32_t i = 0; i < SC_ARRAY_SIZE(watchers); i++) {
        struct watcher *w = watchers[i] = shim_alloc(sizeof(*w), 0, SHIM_TAG_KERN);

        SCHED_CHECK(w != NULL, "no memory");
        *w = (struct watcher){.wa_poller = {.po_func = watch, .po_arg = w}, .wa_number = i};
        kern_poller_add(&w->wa_poller);
    }
    start(&t[0], sleep_once, NULL, "sleeper");
    start(&t[1], unwatch, watchers[2], "remover");
    unwatch(watchers[1]);
    for (uint32_t i = 0; i < 2; i++)
        shim_thread_join(&t[i]);
    unwatch(watchers[0]);
    small_down();
}

/* ---------------------------------------------------------------- iowait */

static void ends(void *arg) { iodone(arg); }

/* Who has waited for a buf may give it back at once. */
static void run_iowait(const struct det_strategy *st, uint64_t seed)
{
    struct shim_thread t;
    struct buf *bp;

    small_host(st, seed);
    bp = shim_alloc(sizeof(*bp), 0, SHIM_TAG_KERN);
    SCHED_CHECK(bp != NULL, "no memory");
    memset(bp, 0, sizeof(*bp));
    bp->b_iodone = iodone_wakeup;
    bp->b_event = EVENT_NULL;
    start(&t, ends, bp, "ends");
    SCHED_CHECK(iowait(bp) == 0, "iowait failed");
    shim_free(bp, sizeof(*bp), 0, SHIM_TAG_KERN);
    shim_thread_join(&t);
    small_down();
}

/* ---------------------------------------------------------------- an event against SCIOSTOP */

static bool stopped;

static void heard(struct sc_event_info *info)
{
    (void)info;
    SCHED_CHECK(!stopped, "an event function is called after SCIOSTOP");
    shim_det_mark();
    SCHED_CHECK(!stopped, "SCIOSTOP has returned and an event function still runs");
}

static void reset_seen(void *arg)
{
    (void)arg;
    ad_hw_event(chip.ch_ad, AD_EV_BUS_RESET);
}

static void run_event_stop(const struct det_strategy *st, uint64_t seed)
{
    struct sc_event_struct ev = {.id = 1, .mode = SC_IM_MODE, .async_func = heard};
    struct shim_thread t;
    uint64_t since;

    small_chip_prepare();
    small_up(st, seed);
    stopped = false;
    SCHED_CHECK(fp_ioctl(small_fp, SCIOEVENT, (intptr_t)&ev, 0) == 0, "SCIOEVENT failed");
    since = shim_now_ns();
    start(&t, reset_seen, NULL, "bus");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTOP, SC_ARG(1, 0), 0) == 0, "SCIOSTOP failed");
    stopped = true;
    SCHED_CHECK(shim_now_ns() == since, "it slept until its patience was at an end");
    shim_thread_join(&t);
    small_down();
}

/* ---------------------------------------------------------------- the switch */

static void open_absent(void *arg)
{
    struct file *fp;
    int error = fp_opendev(SMALL_DEVNO + 1, DREAD | DKERNEL, NULL, 0, &fp);

    (void)arg;
    SCHED_CHECK(error == ENXIO || error == EINVAL, "open of what is not there says %d", error);
}

/* The only adapter goes while somebody finds out that there is no second one; kern_fini() sees what is left.
 */
static void run_absent_detach(const struct det_strategy *st, uint64_t seed)
{
    struct ad_config cfg;
    struct shim_thread t;
    int error;

    small_chip_prepare();
    small_host(st, seed);
    small_chip_config(&cfg);
    SCHED_CHECK(ad_attach(SMALL_DEVNO, &cfg) == 0, "ad_attach failed");
    start(&t, open_absent, NULL, "opener");
    error = ad_detach(SMALL_DEVNO);
    SCHED_CHECK(error == 0 || error == EBUSY, "ad_detach says %d", error);
    shim_thread_join(&t);
    if (error != 0)
        SCHED_CHECK(ad_detach(SMALL_DEVNO) == 0, "the adapter stays");
    small_down();
}

static uint32_t turn_inside, turn_open; /* calls inside the driver; openings it knows of */

static int turn(uint32_t opens)
{
    SCHED_CHECK(turn_inside++ == 0, "two are inside open and close of one device");
    shim_det_mark();
    turn_open = opens == 0 ? 0 : turn_open + opens;
    turn_inside--;
    return 0;
}

static int turn_d_open(devno_t devno, unsigned long devflag, long chan, int ext)
{
    (void)devno;
    (void)devflag;
    (void)chan;
    (void)ext;
    return turn(1);
}

static int turn_d_close(devno_t devno, long chan)
{
    (void)devno;
    (void)chan;
    return turn(0);
}

static void turn_use(void *arg)
{
    struct file *fp;

    (void)arg;
    SCHED_CHECK(fp_opendev(TURN_DEV, DREAD, NULL, 0, &fp) == 0, "open failed");
    SCHED_CHECK(turn_open > 0, "the driver was told of the last close while somebody had it open");
    SCHED_CHECK(fp_close(fp) == 0, "close failed");
}

/* d_close comes with the last close, and never beside an open. */
static void run_turns(const struct det_strategy *st, uint64_t seed)
{
    static const struct devsw entries = {
        .d_open = turn_d_open, .d_close = turn_d_close, .d_opts = DEV_MPSAFE};
    struct shim_thread t;

    small_host(st, seed);
    turn_inside = turn_open = 0;
    SCHED_CHECK(devswadd(TURN_DEV, &entries) == 0, "devswadd failed");
    start(&t, turn_use, NULL, "other");
    turn_use(NULL);
    shim_thread_join(&t);
    SCHED_CHECK(turn_open == 0, "the driver was not told of the last close");
    SCHED_CHECK(devswdel(TURN_DEV) == 0, "devswdel failed");
    small_down();
}

/* ---------------------------------------------------------------- the diagnostic flag */

static void open_close(void *arg)
{
    struct file *fp;

    (void)arg;
    SCHED_CHECK(fp_opendev(SMALL_DEVNO, DREAD, NULL, 0, &fp) == 0, "open failed");
    SCHED_CHECK(fp_close(fp) == 0, "close failed");
}

/* Every ioctl looks at it, every open sets it: something for the thread sanitizer. */
static void run_diagnostic(const struct det_strategy *st, uint64_t seed)
{
    struct sc_adapter_stats stats = {0};
    struct shim_thread t;

    small_chip_prepare();
    small_up(st, seed);
    start(&t, open_close, NULL, "opener");
    SCHED_CHECK(fp_ioctl(small_fp, SCIOSTAT, (intptr_t)&stats, 0) == 0, "SCIOSTAT failed");
    shim_thread_join(&t);
    small_down();
}

/* ---------------------------------------------------------------- the simulated bus */

static struct sim_bus *bus;
static bool bus_frozen;
static unsigned bus_told;

static void bus_freeze(struct shim_timer *t)
{
    (void)t;
    sim_hw_ops.freeze(bus, 1, 0);
    bus_frozen = true;
}

static void bus_watch(void *arg, const struct ad_xfer *x)
{
    (void)arg;
    (void)x;
    SCHED_CHECK(!bus_frozen, "a command has arrived at a LUN that was frozen before");
    bus_told++;
}

/* A command arrives, and the LUN is frozen by another thread, or by an interrupt on top of this one. */
static void run_arrive(const struct det_strategy *st, uint64_t seed)
{
    static const uint8_t ready[6] = {0}; /* TEST UNIT READY */
    const struct sim_bus_config cfg = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_id = 1, .sd_block_bytes = 512, .sd_blocks = 8};
    struct ad_xfer x = {.xfer_id = 1, .xfer_cdb = ready, .xfer_cdb_len = sizeof(ready), .xfer_qmsg = SC_NO_Q};
    struct shim_timer t;
    int said;

    small_host(st, seed);
    bus_frozen = false;
    bus_told = 0;
    SCHED_CHECK(sim_bus_create(&cfg, &bus) == 0 && sim_medium_null(&disk.sd_ops, &disk.sd_medium) == 0 &&
                    sim_disk_add(bus, &disk) == 0,
                "no bus");
    sim_disk_watch(sim_disk_find(bus, 1, 0), bus_watch, NULL);
    shim_timer_init(&t, bus_freeze, NULL);
    SCHED_CHECK(shim_timer_arm(&t, shim_now_ns()) == 0, "no timer");
    said = sim_hw_ops.start(bus, &x);
    SCHED_CHECK(said == (bus_told ? AD_HW_DONE : AD_HW_FROZEN), "start() says %d, the disk was told %u times",
                said, bus_told);
    while (!bus_frozen)
        shim_delay_ns(1000);
    sim_hw_ops.thaw(bus, 1, 0, 1);
    while (shim_timer_cancel(&t) == SHIM_CANCEL_RUNNING)
        shim_delay_ns(1000);
    sim_bus_destroy(bus);
    small_down();
}

/* ---------------------------------------------------------------- detach */

/* Longer than SCIOSTOP and a stage after it. */
static void stay(struct small_req *r)
{
    (void)r;
    shim_delay_ns(100000000000u);
}

/* The LUN's thread is kept off its processor on its way out: close gives up, detach has to wait for it. */
static void run_detach_thread(const struct det_strategy *st, uint64_t seed)
{
    struct small_req *r;

    small_chip_prepare();
    small_host(st, seed);
    shim_det_tunable_set("ad_thread", 1);
    small_attach();
    r = small_req(0, 0, SMALL_CHECK);
    r->rq_then = stay;
    small_send(r);
    small_down();
    SCHED_CHECK(r->rq_done == 1, "the adapter has gone before its request came back");
}

/* ---------------------------------------------------------------- the list */

static const struct sched_program programs[] = {
    {"poller-gone", "pollers are removed while somebody goes through them", run_poller, false, NULL},
    {"iowait-gone", "a buf is given back as soon as iowait returns", run_iowait, false, NULL},
    {"event-stop", "no event function runs after SCIOSTOP", run_event_stop, false, NULL},
    {"absent-detach", "open of an adapter that is not there against ad_detach", run_absent_detach, false,
     NULL},
    {"open-close-turns", "open and close of one device come one after the other", run_turns, false, NULL},
    {"sim-arrive", "a LUN of the simulated bus is frozen while a command arrives", run_arrive, true, NULL},
    {"detach-thread", "ad_detach while the adapter's thread stays for long", run_detach_thread, false, NULL},
    {"diagnostic-flag", "an ioctl beside an open", run_diagnostic, false, NULL},
};
const struct small_group small_life = {"life", programs, SC_ARRAY_SIZE(programs)};
