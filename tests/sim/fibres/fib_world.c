/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_world.c - a run from its seed to its end: build the pair, start the callers, join them, check, take
 * down.
 *
 * At every point it is asked whether anything takes longer than it may (fib_limit.c); a run in which nobody
 * can go on and no timer is armed is a deadlock before that. At quiescent moments: submitted = completed, no
 * response left, the walks of both drivers over their queues, no offence against the bus, the media hold what
 * was written; at the end nothing is left allocated.
 */
#include "fib.h"

#include "adapter/ad_impl.h"
#include "devdrv/dd_impl.h"
#include "shim/det/det_impl.h"

#include <sys/scsiproto.h>

#include <string.h>
#include <sys/resource.h>

#define FIB_CPU_SECONDS 60u

struct fib_world fib_world;
bool fib_tracing, fib_telling;

const char *fib_without[FIB_WITHOUT_MAX];

bool fib_looked_for(const char *kind)
{
    for (unsigned i = 0; i < FIB_WITHOUT_MAX && fib_without[i]; i++)
        if (strcmp(fib_without[i], kind) == 0)
            return false;
    return true;
}

bool fib_plausible(int error)
{
    static const int plausible[] = {EIO,       EMEDIA,     ENOTREADY,  EBUSY,
                                    ETIMEDOUT, ENOCONNECT, EWRPROTECT, EFORMAT};

    for (size_t i = 0; i < SC_ARRAY_SIZE(plausible); i++)
        if (error == plausible[i])
            return true;
    if (error == EINVAL || error == ENOSPC)
        return (fib_world.w_faults & (1u << SIM_FAULT_CHECK | FIB_FAULT_LIE)) != 0;
    if (error == ENXIO)
        return (fib_world.w_faults & (FIB_FAULT_UNPLUG | FIB_FAULT_LIE)) != 0;
    return error == ENOMEM && (fib_world.w_faults & FIB_FAULT_MEMORY);
}

/* What an oracle's text begins with; first those that can be left out. */
static const char *const kinds[] = {
    "late-iodone",     "late-event",  "late-halt", "late-stop", "late-close", "late-open",   "late-ioctl",
    "late-request",    "enxio-first", "order",     "disorder",  "after-halt", "last-iodone", "wedged",
    "starved",         "data",        "error",     "contract",  "twice",      "touched",     "idle",
    "blame",           "counters",    "progress",  "manners",   "leak",       "panic",       "crash",
    "the test itself", "deadlock",    "livelock",  "sanitizer"};
#define KINDS_WITHOUT 15u
_Static_assert(FIB_WITHOUT_MAX >= KINDS_WITHOUT, "all of them at once");

static bool kind_among(const char *kind, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

bool fib_can_do_without(const char *kind) { return kind_among(kind, KINDS_WITHOUT); }
bool fib_is_kind(const char *kind) { return kind_among(kind, SC_ARRAY_SIZE(kinds)); }

const char *fib_failure_kind(const char *text)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(kinds); i++) {
        const size_t n = strlen(kinds[i]);

        if (strncmp(text, kinds[i], n) == 0 && text[n] == ':')
            return kinds[i];
    }
    return strstr(text, "deadlock")     ? "deadlock"
           : strstr(text, "livelock")   ? "livelock"
           : strstr(text, "CPU time")   ? "livelock"
           : strstr(text, "crashed")    ? "crash"
           : strstr(text, "ended with") ? "sanitizer"
                                        : "panic";
}

static const struct det_strategy *behind; /* who decides, and is told of a failure */

void fib_sleep(struct fib_caller *c)
{
    fib_leave(c);
    (void)shim_wait(&c->c_event, NULL, UINT64_MAX);
    fib_enter(c);
}

/* Its own things change hands without a lock, because fibres change at points only: the sanitizer is told. */
void fib_enter(const struct fib_caller *c) { det_order_take(c); }
void fib_leave(const struct fib_caller *c) { det_order_give(c); }

/* ---------------------------------------------------------------- inside what was given back */

static struct {
    struct fib_inside st_in; /* of the outermost call */
    unsigned st_depth;
} strategies[DET_FIBRES_MAX];

void fib_inside(const struct fib_inside *in, bool enters)
{
    const uint32_t fibre = shim_det_fibre();

    if (enters) {
        if (strategies[fibre].st_depth++ == 0)
            strategies[fibre].st_in = *in;
    } else {
        strategies[fibre].st_depth--;
    }
}

static bool inside_given_back(uint32_t fibre)
{
    const struct fib_inside *in = &strategies[fibre].st_in;

    return strategies[fibre].st_depth > 0 && *in->in_ends != in->in_end;
}

/* A lock is about to be entered, or was left just now. A timer on top of a fibre is none of its doing. */
static void look_inside(const struct det_choice *ch)
{
    if ((ch->ch_point != DET_POINT_LOCK && ch->ch_point != DET_POINT_UNLOCK) ||
        shim_det.fibres[ch->ch_cur].f_on_top)
        return;
    FIB_CHECK("last-iodone",
              !inside_given_back(ch->ch_cur) || ch->ch_object != strategies[ch->ch_cur].st_in.in_lock,
              "%s looks at a LUN that was given back after the last iodone", shim_det_fibre_name(ch->ch_cur));
}

/* What such a thread does to the memory that was the LUN is the same failure. */
static void on_failed(void *arg, const char *text)
{
    static char named[SCHED_TEXT_MAX];

    if (inside_given_back(shim_det_fibre()) && strstr(text, "sl_magic")) {
        (void)shim_format(named, sizeof(named), "last-iodone: %s: %s", shim_det_fibre_name(shim_det_fibre()),
                          text);
        text = named;
    }
    behind->st_failed(arg, text);
}

/* ---------------------------------------------------------------- between the scheduler and the strategy */

static uint64_t on_point(void *arg, const struct det_choice *ch)
{
    const uint64_t slow = behind->st_slow ? behind->st_slow(arg, ch) : 0;

    fib_world.w_naps += slow;
    if (slow != 0 && shim_now_ns() + slow > fib_world.w_nap_end)
        fib_world.w_nap_end = shim_now_ns() + slow;
    if (fib_world.w_pair)
        fib_limits();
    look_inside(ch);
    return slow;
}

static void on_trace(void *arg, enum det_point point, uint32_t fibre, const char *object, void *const *frames)
{
    char place[160];

    (void)arg;
    story_place(frames, place, sizeof(place));
    printf("%8llu %14llu ns  %2u %-14s %-8s %-16s %s\n", (unsigned long long)shim_det_points(),
           (unsigned long long)shim_now_ns(), fibre, shim_det_fibre_name(fibre), det_point_names[point],
           object ? object : "", place);
}

static const struct det_strategy *between(const struct det_strategy *st)
{
    static struct det_strategy mine;

    behind = st;
    fib_limits_begin(st);
    mine = *st;
    mine.st_slow = on_point;
    mine.st_failed = on_failed;
    if (fib_tracing)
        mine.st_trace = on_trace;
    return &mine;
}

/* ---------------------------------------------------------------- building */

/* Another pair, so that host and services stay when the one that is looked at goes. */
static void keep(struct fib_world *w)
{
    static const struct scp_disk_spec disk = {
        .size = sizeof(disk), .medium = SCP_MEDIUM_NULL, .bytes = SC_PAGE_SIZE};
    const struct scp_spec spec = {.size = sizeof(spec), .disks = &disk, .ndisks = 1, .host = w->w_spec.host};

    SCHED_CHECK(scp_create(&spec, &w->w_keeper, NULL, 0) == 0, "the test itself: no second pair");
}

/* Everything has come back and is closed: the pair may go, whoever is still on his way out of it. */
static void take_down(struct fib_world *w)
{
    struct scp *pair = w->w_pair;
    size_t leaked;

    w->w_pair = NULL;
    for (unsigned i = 0; i < w->w_spec.nadapters; i++)
        fib_chip_away(scp_adapter_devno(pair, i));
    for (unsigned i = 0; i < w->w_ncallers && !fib_looked_for("last-iodone"); i++)
        fib_head_join(&w->w_callers[i]);
    leaked = scp_destroy(pair);
    SCHED_CHECK(leaked == 0, "leak: %zu blocks", leaked);
    for (unsigned i = 0; i < w->w_ncallers; i++)
        fib_head_join(&w->w_callers[i]);
    shim_delay_ns(1); /* the timers' fibre may have been about to look */
    leaked = scp_destroy(w->w_keeper);
    SCHED_CHECK(leaked == 0, "leak: %zu blocks of the process", leaked);
}

/* What reaches a disk with data. Context: any, inside the chip's start(). */
static void watch_cache(void *arg, const struct ad_xfer *x)
{
    struct fib_disk *d = arg;

    switch (x->xfer_cdb[0]) {
    case SCSI_SYNC_CACHE_10:
    case SCSI_SYNC_CACHE_16:
        d->dk_cached = false;
        break;
    case SCSI_WRITE_6:
    case SCSI_WRITE_10:
    case SCSI_WRITE_12:
    case SCSI_WRITE_16:
        d->dk_cached |= x->xfer_cdb[0] == SCSI_WRITE_6 || !(x->xfer_cdb[1] & SCSI_CDB1_FUA);
        break;
    case SCSI_WRITE_SAME_10:
    case SCSI_WRITE_SAME_16:
    case SCSI_COMPARE_AND_WRITE:
        d->dk_cached = true;
        break;
    default:
        break;
    }
}

static void build(struct fib_world *w)
{
    char text[SCP_ERROR_MAX];
    struct scp *pair;
    int error = scp_create(&w->w_spec, &pair, text, sizeof(text));

    SCHED_CHECK(error == 0, "the test itself: scp_create: %s", text);
    for (unsigned i = 0; i < w->w_ndisks; i++) {
        struct fib_disk *d = &w->w_disks[i];
        const struct dd_unit *un;

        d->dk_devno = scp_disk_devno(pair, i);
        d->dk_adapter = scp_adapter_devno(pair, scp_disk_adapter(pair, i));
        d->dk_sim = scp_sim_disk(pair, i);
        un = dd_unit_of(d->dk_devno);
        d->dk_id = un->un_dds.scsi_id;
        d->dk_lun = un->un_dds.lun_id;
        if (w->w_watched && d->dk_role == FIB_DISK_DATA)
            sim_disk_watch(d->dk_sim, watch_cache, d);
    }
    fib_memory_prepare(w);
    fib_life_prepare(w);
    fib_blame_prepare(w);
    for (unsigned i = 0; i < w->w_spec.nadapters; i++)
        fib_chip_between(scp_adapter_devno(pair, i), w->w_seed * 4u + i);
    keep(w);
    w->w_pair = pair;
}

static void run_callers(struct fib_world *w)
{
    static void (*const runs[FIB_KINDS])(void *arg) = {
        [FIB_CHAIN] = fib_chain_run, [FIB_RAW] = fib_raw_run,       [FIB_HEAD] = fib_head_run,
        [FIB_HOT] = fib_hot_run,     [FIB_OPENER] = fib_opener_run, [FIB_CONFIGURER] = fib_configurer_run};
    struct shim_thread faults;

    for (unsigned i = 0; i < w->w_ncallers; i++) {
        struct fib_caller *c = &w->w_callers[i];

        c->c_draining = false;
        SCHED_CHECK(shim_thread_start(&c->c_thread, runs[c->c_kind], c, c->c_name) == 0,
                    "the test itself: no fibre");
    }
    if (w->w_faults)
        SCHED_CHECK(shim_thread_start(&faults, fib_faults_run, w, "faults") == 0,
                    "the test itself: no fibre");
    for (unsigned i = 0; i < w->w_ncallers; i++)
        shim_thread_join(&w->w_callers[i].c_thread);
    if (w->w_faults)
        shim_thread_join(&faults);
}

/* ---------------------------------------------------------------- checks */

static void check_disk(struct fib_world *w, unsigned i)
{
    const struct fib_disk *d = &w->w_disks[i];
    static struct sc_disk_stats st;
    struct file *fp = NULL;
    int error = 0;

    for (unsigned tries = 0; tries < (fib_trouble() ? 5u : 1u) && !fp; tries++)
        error = fp_opendev(d->dk_devno, DREAD | DWRITE, NULL, 0, &fp);
    SCHED_CHECK(error == 0, "progress: hdisk%u: open at the end: errno %d (%s)", i, error,
                scp_strerror(error));
    if (d->dk_role == FIB_DISK_DATA)
        fib_compare_all(w, i, fp);
    error = fp_ioctl(fp, DKSTATS, (intptr_t)&st, 0);
    SCHED_CHECK(error == 0, "error: DKSTATS: errno %d", error);
    SCHED_CHECK(
        st.bufs == st.completed && st.pending + st.in_process + st.recovering == 0,
        "counters: hdisk%u: submitted %llu, completed %llu, pending %llu, in process %llu, recovering %llu",
        i, (unsigned long long)st.bufs, (unsigned long long)st.completed, (unsigned long long)st.pending,
        (unsigned long long)st.in_process, (unsigned long long)st.recovering);
    SCHED_CHECK(dd_check_invariants(d->dk_devno) == 0, "counters: hdisk%u: requests on the queues", i);
    /* Whoever pushes the last of the reading: a thread may be kept off its processor. */
    shim_delay_ns(fib_world.w_threads && fib_world.w_slow ? 1000000000000u : 1u);
    error = fp_ioctl(fp, DKSTATS, (intptr_t)&st, 0);
    SCHED_CHECK(error == 0 && st.responses_queued == 0,
                "counters: hdisk%u: %llu responses queued and not pushed", i,
                (unsigned long long)st.responses_queued);
    fib_idle(w, i);
    error = fp_close(fp);
    SCHED_CHECK(error == 0 || fib_trouble(), "error: hdisk%u: close: errno %d", i, error);
}

/* What the simulated disk has seen done against the rules of the bus: nothing. Sense may be thrown away. */
static void check_manners(struct fib_world *w, unsigned i)
{
    static struct sim_disk_stats st;

    sim_disk_stats_get(w->w_disks[i].dk_sim, &st);
    for (unsigned kind = 0; kind < SIM_PROTOCOL_COUNT; kind++)
        if (kind != SIM_PROTOCOL_ALLEGIANCE)
            SCHED_CHECK(st.st_protocol[kind] == 0,
                        "manners: hdisk%u: %llu offences of kind %u against the bus", i,
                        (unsigned long long)st.st_protocol[kind], kind);
}

/* What both of an adapter's books say when nobody has it open any more. */
static void check_adapter_counters(struct fib_world *w, unsigned a)
{
    const struct ad_adapter *ad = ad_find(scp_adapter_devno(w->w_pair, a));
    struct sc_adapter_stats st;

    for (unsigned i = 0; i < AD_BOUNCES; i++)
        SCHED_CHECK(!ad->adp_bounces[i].bn_busy, "leak: scsi%u: the copy of a gathered write is kept", a);
    ad_stats_get(ad_find(scp_adapter_devno(w->w_pair, a)), &st);
    SCHED_CHECK(st.commands == st.completed && st.responses_pending == 0,
                "counters: scsi%u: %llu commands, %llu completed, %llu responses", a,
                (unsigned long long)st.commands, (unsigned long long)st.completed,
                (unsigned long long)st.responses_pending);
    /* A LUN whose owner had closed before its lost command was found is stopped when the adapter goes. */
    /* Nor is one that SCIOSTOP gave up on, because a thread inside it was kept off its processor. */
    SCHED_CHECK(w->w_lost != FIB_LOST_NONE ||
                    ((st.luns_started == 0 || w->w_naps != 0 || w->w_slow) && st.credits_free == st.credits),
                "counters: scsi%u: %u LUNs, %u of %u credits", a, st.luns_started, st.credits_free,
                st.credits);
}

void fib_look(void)
{
    const struct fib_world *w = &fib_world;

    for (unsigned a = 0; w->w_pair && a < w->w_spec.nadapters; a++) {
        struct ad_adapter *adp = ad_find(scp_adapter_devno(w->w_pair, a));

        for (unsigned i = 0; i < ad_lun_count(adp); i++) {
            /* Not ad_lun_at(): inline here, where the thread sanitizer does not see what it acquires. */
            struct ad_lun *lun = ad_lun_find(adp, i / adp->adp_caps.cap_luns, i % adp->adp_caps.cap_luns);
            const char *broken = lun ? ad_lun_check(lun) : NULL;

            SCHED_CHECK(!broken, "counters: scsi%u, LUN %u: %s", a, i, broken);
        }
    }
}

/* All callers have gone, and with the pause nobody is on his way out any more. */
static void check(struct fib_world *w)
{
    shim_delay_ns(1000);
    fib_look();
    for (unsigned i = 0; i < w->w_ndisks; i++)
        SCHED_CHECK(!w->w_disks[i].dk_cached || fib_trouble(),
                    "data: hdisk%u was closed and its cache holds what was written", i);
    for (unsigned i = 0; i < w->w_ndisks; i++)
        if (w->w_disks[i].dk_role != FIB_DISK_HEAD && !w->w_disks[i].dk_going)
            check_disk(w, i);
    shim_delay_ns(1000);
    fib_look();
    for (unsigned a = 0; a < w->w_spec.nadapters; a++)
        check_adapter_counters(w, a);
    for (unsigned i = 0; i < w->w_ndisks; i++)
        if (!w->w_disks[i].dk_going)
            check_manners(w, i);
}

/* ---------------------------------------------------------------- the run */

/*
 * Half of the seeds have a recovery thread, some done threads. No random number: it would move all seeds.
 * None where callers stay in iodone: who shares a thread with them waits.
 */
static void threads(uint64_t seed)
{
    static const uint8_t done[] = {0, 0, 0, 1, 0, 2, 0, 7};

    const int64_t ndone = fib_world.w_dawdles ? 0 : done[seed / 2 % SC_ARRAY_SIZE(done)];

    fib_world.w_threads = ndone != 0 || (!fib_world.w_dawdles && seed % 2 != 0);
    shim_det_tunable_set("ad_thread", fib_world.w_threads && seed % 2);
    shim_det_tunable_set("ad_done_threads", ndone);
}

/* How much it was: what the disks have seen, and the rules of misbehaviour that were set. */
static void tell_work(const struct fib_world *w, struct sched_result *r)
{
    static struct sim_disk_stats st;

    r->r_commands = 0;
    for (unsigned i = 0; i < w->w_ndisks; i++) {
        if (w->w_disks[i].dk_going)
            continue;
        sim_disk_stats_get(w->w_disks[i].dk_sim, &st);
        r->r_commands += st.st_commands;
    }
    r->r_faults = w->w_rules;
    r->r_virtual_ns = shim_now_ns();
}

static void run(const struct det_strategy *st, uint64_t seed)
{
    struct fib_world *w = &fib_world;

    /* A loop without a point in it: no other limit sees it. */
    (void)setrlimit(RLIMIT_CPU, &(struct rlimit){FIB_CPU_SECONDS, FIB_CPU_SECONDS + 5});
    memset(w, 0, sizeof(*w));
    fib_choose(w, seed);
    w->w_spec.host = shim_det_host(seed);
    shim_det_sched(between(st));
    shim_checks_set(true);
    shim_det_tunable_set("ad_openings", w->w_openings);
    threads(seed);
    build(w);
    for (unsigned phase = 0; phase < w->w_phases; phase++) {
        run_callers(w);
        if (phase + 1 < w->w_phases && !w->w_rush)
            fib_look();
    }
    tell_work(w, ((struct sched *)st->st_arg)->s_result);
    fib_faults_clear(w);
    if (!w->w_rush)
        check(w);
    take_down(w);
    SCHED_CHECK(shim_det_sched_idle(), "progress: a fibre has not ended");
    for (unsigned i = 0; i < w->w_ncallers; i++)
        shim_det_observe(w->w_callers[i].c_requests << 32 ^ w->w_callers[i].c_errors);
    shim_checks_set(false);
}

const struct sched_program fib_program = {"fibres", "whole-stack runs with several callers", run, false,
                                          NULL};
