/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_world.c - a run from its seed to its end: choose a configuration, build the pair, act,
 * check the invariants after every step, drain, compare, take down, count leaks.
 *
 * Checked after every step: submitted = pending + in process + recovering + completed (AIX-01),
 * that the driver holds exactly the requests the caller is waiting for, no response left unpushed
 * (XEN-05), and the adapter core's own walk over every LUN. At the end: every request completed
 * (AIX-04), the disks hold what was written, nothing is left allocated.
 */
#define _GNU_SOURCE
#include "sim_world.h"

#include "adapter/ad_impl.h"
#include "devdrv/dd_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t rng_next(struct world_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct world_rng *r, uint64_t n) { return rng_next(r) % n; }

bool rng_percent(struct world_rng *r, unsigned percent) { return rng_below(r, 100) < percent; }

/* The drivers' own account of what happened last. */
static void print_errlog(void)
{
    static struct err_rec recs[ERRLOG_RECORDS];
    unsigned n = shim_host ? errlog_read(0, recs, ERRLOG_RECORDS) : 0;

    for (unsigned i = n > 8 ? n - 8 : 0; i < n; i++)
        printf("  errlog %llu: %s at %llu ns: %s: from block %llu, %llu times\n",
               (unsigned long long)recs[i].er_seq, recs[i].er_resource,
               (unsigned long long)recs[i].er_when_ns, recs[i].er_text, (unsigned long long)recs[i].er_low,
               (unsigned long long)recs[i].er_count);
}

void world_fail(const struct world *w, const char *fmt, ...)
{
    va_list ap;

    printf("rerun: sim_run --seed %llu --steps %u -v\n", (unsigned long long)w->w_seed, w->w_steps);
    printf("FAIL seed %llu step %u at %llu ns: ", (unsigned long long)w->w_seed, w->w_step,
           (unsigned long long)(shim_host ? shim_now_ns() : 0));
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    print_errlog();
    fflush(stdout);
    exit(1);
}

void world_observe(struct world *w, uint64_t value)
{
    w->w_digest = (w->w_digest ^ value) * 0x100000001b3ull;
    w->w_digest ^= w->w_digest >> 29;
}

/* ---------------------------------------------------------------- the swarm */

static void choose_disk(struct world *w, struct scp_disk_spec *d)
{
    static const uint32_t queues[] = {1, 2, 3, 4, 8, 16, 32, 64, 256};
    static const uint64_t latencies[] = {0, 0, 0, 1, 1000, 50000, 2000000};
    struct world_rng *r = &w->w_rng;

    memset(d, 0, sizeof(*d));
    d->size = sizeof(*d);
    d->medium = SCP_MEDIUM_RAM;
    d->block_bytes = rng_percent(r, 40) ? 4096 : 512;
    d->bytes = (64 + rng_below(r, 448)) * 4096 + (d->block_bytes == 512 ? rng_below(r, 8) * 512 : 0);
    d->no_tags = rng_percent(r, 15);
    d->queue = queues[rng_below(r, SC_ARRAY_SIZE(queues))];
    d->latency_ns = latencies[rng_below(r, SC_ARRAY_SIZE(latencies))];
}

static void choose(struct world *w)
{
    static const uint64_t transfers[] = {65536, 69632, 131072, 262144, 1048576};
    static const unsigned chains[] = {1, 4, 12, 40};
    struct world_rng *r = &w->w_rng;

    w->w_spec.ndisks = 1 + (unsigned)rng_below(r, WORLD_DISKS_MAX);
    for (unsigned i = 0; i < w->w_spec.ndisks; i++)
        choose_disk(w, &w->w_specs[i]);
    w->w_spec.disks = w->w_specs;
    w->w_spec.transfer_bytes_max = transfers[rng_below(r, SC_ARRAY_SIZE(transfers))];
    w->w_spec.no_gather = rng_percent(r, 30);
    w->w_spec.clears_queue = rng_percent(r, 50);
    w->w_spec.max_coalesce = rng_percent(r, 20) ? 4096 * (1 + rng_below(r, 16)) : 0;
    w->w_spec.host = shim_det_host(w->w_seed);
    w->w_chain_max = chains[rng_below(r, SC_ARRAY_SIZE(chains))];
    w->w_resubmit_percent = rng_percent(r, 50) ? 40 : 0;
    w->w_sequential_percent = (unsigned)rng_below(r, 101);
    faults_choose(w);
    if (w->w_steps == 0)
        w->w_steps = 60 + (unsigned)rng_below(r, 140);
}

static void describe(const struct world *w)
{
    printf(
        "seed %llu: %u steps, max transfer %llu, %s, %s, chains to %u, resubmit %u%%, faults %#x at %u%%\n",
        (unsigned long long)w->w_seed, w->w_steps, (unsigned long long)w->w_spec.transfer_bytes_max,
        w->w_spec.no_gather ? "no gather" : "gather", w->w_spec.clears_queue ? "clears queue" : "keeps queue",
        w->w_chain_max, w->w_resubmit_percent, w->w_faults, w->w_fault_percent);
    for (unsigned i = 0; i < w->w_spec.ndisks; i++)
        printf("  hdisk%u: %llu bytes, block %u, queue %u%s, latency %llu ns\n", i,
               (unsigned long long)w->w_specs[i].bytes, w->w_specs[i].block_bytes, w->w_specs[i].queue,
               w->w_specs[i].no_tags ? ", no tags" : "", (unsigned long long)w->w_specs[i].latency_ns);
}

/* ---------------------------------------------------------------- building and ending */

static void open_disk(struct world *w, unsigned i)
{
    struct world_disk *d = &w->w_disks[i];
    size_t sectors;
    int error;

    d->dk_devno = scp_disk_devno(w->w_pair, i);
    d->dk_sim = scp_sim_disk(w->w_pair, i);
    d->dk_bytes = w->w_specs[i].bytes;
    d->dk_block = w->w_specs[i].block_bytes;
    sectors = (size_t)(d->dk_bytes / WORLD_SECTOR);
    d->dk_shadow = calloc(1, (size_t)d->dk_bytes);
    d->dk_unsure = calloc(sectors, 1);
    d->dk_readers = calloc(sectors, sizeof(uint16_t));
    d->dk_writer = calloc(sectors, 1);
    WORLD_CHECK(w, d->dk_shadow && d->dk_unsure && d->dk_readers && d->dk_writer, "no memory for the shadow");
    error = fp_opendev(d->dk_devno, DREAD | DWRITE, NULL, 0, &d->dk_fp);
    WORLD_CHECK(w, error == 0, "open of hdisk%u: %s", i, scp_strerror(error));
}

static void build(struct world *w)
{
    char text[SCP_ERROR_MAX];
    struct devinfo info;
    int error;

    shim_checks_set(true);
    error = scp_create(&w->w_spec, &w->w_pair, text, sizeof(text));
    WORLD_CHECK(w, error == 0, "scp_create: %s", text);
    for (unsigned i = 0; i < w->w_spec.ndisks; i++)
        open_disk(w, i);
    error = fp_opendev(scp_adapter_devno(w->w_pair, 0), DREAD | DWRITE, NULL, 0, &w->w_adapter);
    WORLD_CHECK(w, error == 0, "open of scsi0: %s", scp_strerror(error));
    error = fp_ioctl(w->w_adapter, IOCINFO, (intptr_t)&info, 0);
    WORLD_CHECK(w, error == 0 && info.un.scsi.max_transfer == w->w_spec.transfer_bytes_max,
                "IOCINFO of scsi0: %d, maximum %llu", error, (unsigned long long)info.un.scsi.max_transfer);
    w->w_transfer_max = info.un.scsi.max_transfer;
}

static void take_down(struct world *w)
{
    size_t leaked;

    for (unsigned i = 0; i < w->w_spec.ndisks; i++) {
        struct world_disk *d = &w->w_disks[i];
        int error = fp_close(d->dk_fp);

        WORLD_CHECK(w, error == 0, "close of hdisk%u: %s", i, scp_strerror(error));
        free(d->dk_shadow);
        free(d->dk_unsure);
        free(d->dk_readers);
        free(d->dk_writer);
    }
    WORLD_CHECK(w, fp_close(w->w_adapter) == 0, "close of scsi0 failed");
    leaked = scp_destroy(w->w_pair);
    WORLD_CHECK(w, leaked == 0, "%zu blocks leaked", leaked);
    shim_checks_set(false);
}

/* ---------------------------------------------------------------- invariants */

static void check_disk(struct world *w, unsigned i)
{
    struct world_disk *d = &w->w_disks[i];
    static struct sc_disk_stats st;
    uint64_t held, walked = dd_check_invariants(d->dk_devno);
    int error = fp_ioctl(d->dk_fp, DKSTATS, (intptr_t)&st, 0);

    WORLD_CHECK(w, error == 0, "DKSTATS: %s", scp_strerror(error));
    held = st.pending + st.in_process + st.recovering;
    WORLD_CHECK(
        w, st.bufs == held + st.completed,
        "hdisk%u: submitted %llu != pending %llu + in process %llu + recovering %llu + completed %llu", i,
        (unsigned long long)st.bufs, (unsigned long long)st.pending, (unsigned long long)st.in_process,
        (unsigned long long)st.recovering, (unsigned long long)st.completed);
    WORLD_CHECK(w, walked == held, "hdisk%u: %llu requests on the queues, %llu counted", i,
                (unsigned long long)walked, (unsigned long long)held);
    WORLD_CHECK(w, held == d->dk_outstanding,
                "hdisk%u: the driver holds %llu requests, the caller waits for %u", i,
                (unsigned long long)held, d->dk_outstanding);
    WORLD_CHECK(w, st.responses_queued == 0, "hdisk%u: %llu responses queued and not pushed", i,
                (unsigned long long)st.responses_queued);
    world_observe(w, st.commands);
}

/*
 * What the simulated disk has seen the pair do against the rules of the bus: nothing. Sense may be
 * thrown away, when faults hit the REQUEST SENSEs.
 */
static void check_manners(struct world *w, unsigned i)
{
    static struct sim_disk_stats st;

    sim_disk_stats_get(w->w_disks[i].dk_sim, &st);
    for (unsigned kind = 0; kind < SIM_PROTOCOL_COUNT; kind++) {
        if (kind != SIM_PROTOCOL_ALLEGIANCE)
            WORLD_CHECK(w, st.st_protocol[kind] == 0, "hdisk%u: %llu offences of kind %u against the bus", i,
                        (unsigned long long)st.st_protocol[kind], kind);
    }
}

static void check_all(struct world *w)
{
    struct ad_adapter *adp = ad_find(scp_adapter_devno(w->w_pair, 0));

    for (unsigned i = 0; i < w->w_spec.ndisks; i++) {
        check_disk(w, i);
        check_manners(w, i);
    }
    for (unsigned i = 0; i < ad_lun_count(adp); i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);
        const char *broken = lun ? ad_lun_check(lun) : NULL;

        WORLD_CHECK(w, broken == NULL, "adapter, LUN %u: %s", i, broken);
    }
    WORLD_CHECK(w, shim_self()->self_nlocks == 0, "%u locks held between steps", shim_self()->self_nlocks);
}

static unsigned outstanding(const struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->w_spec.ndisks; i++)
        n += w->w_disks[i].dk_outstanding;
    return n;
}

/* A disk that did not answer is left alone that long (dd_dead_ms); then it is asked. */
#define WORLD_DEAD_NS UINT64_C(60000000000)

/* Let time pass until nothing is under way. A request nobody will ever wake is a lost request. */
static void drain(struct world *w)
{
    unsigned steps = 0;

    w->w_draining = true;
    while (outstanding(w) > 0) {
        WORLD_CHECK(w, shim_det_step(), "lost: %u requests outstanding and no timer is armed",
                    outstanding(w));
        WORLD_CHECK(w, steps++ < WORLD_DRAIN_STEPS, "%u requests do not finish", outstanding(w));
    }
    check_all(w);
    w->w_draining = false;
}

void world_run(struct world *w, uint64_t seed, unsigned steps, bool verbose)
{
    memset(w, 0, sizeof(*w));
    w->w_seed = seed;
    w->w_steps = steps;
    w->w_verbose = verbose;
    w->w_rng.state = seed * 2 + 1;
    choose(w);
    if (verbose)
        describe(w);
    build(w);
    for (w->w_step = 0; w->w_step < w->w_steps; w->w_step++) {
        w->w_resubmits = WORLD_RESUBMITS;
        if (rng_percent(&w->w_rng, w->w_fault_percent))
            faults_act(w);
        caller_act(w);
        check_all(w);
        for (uint64_t n = rng_below(&w->w_rng, 8); n > 0; n--)
            (void)shim_det_step();
        check_all(w);
    }
    drain(w);
    faults_clear(w);
    shim_det_run(shim_now_ns() + WORLD_DEAD_NS);
    caller_compare_all(w);
    world_observe(w, shim_now_ns());
    take_down(w);
    if (verbose)
        printf("  %llu bufs, %llu raw, %llu ioctls, %llu rules set, %llu errors; digest %016llx\n",
               (unsigned long long)w->w_bufs, (unsigned long long)w->w_raw, (unsigned long long)w->w_ioctls,
               (unsigned long long)w->w_rules, (unsigned long long)w->w_errors,
               (unsigned long long)w->w_digest);
}
