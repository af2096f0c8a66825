/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_swarm.c - what a seed chooses before anything runs: adapters, disks, callers, faults, strategy.
 *
 * A swarm: each seed turns most things off. Everything at once hides what needs a crowd of one kind.
 */
#include "fib.h"

#include <string.h>

uint64_t fib_random(struct fib_rng *r) { return sched_random(&r->state); }

uint32_t fib_below(struct fib_rng *r, uint64_t n) { return (uint32_t)(fib_random(r) % n); }

bool fib_percent(struct fib_rng *r, unsigned percent) { return fib_below(r, 100) < percent; }

const char *const fib_kind_names[FIB_KINDS] = {
    [FIB_CHAIN] = "chain", [FIB_RAW] = "raw",       [FIB_HEAD] = "head",
    [FIB_HOT] = "hot",     [FIB_OPENER] = "opener", [FIB_CONFIGURER] = "configurer"};

/* ---------------------------------------------------------------- callers */

/* Kinds first: what disks there have to be follows from them. */
static void choose_callers(struct fib_world *w)
{
    static const unsigned chains[] = {1, 2, 4, 10};
    struct fib_rng *r = &w->w_rng;
    unsigned allowed = 0, openers = 0, hots = 0;

    for (unsigned k = 0; k <= FIB_OPENER; k++)
        allowed |= fib_percent(r, 60) ? 1u << k : 0;
    if (allowed == 0)
        allowed = 1u << FIB_CHAIN;
    w->w_ncallers = 2 + fib_below(r, FIB_CALLERS_MAX - 1u);
    for (unsigned i = 0; i < w->w_ncallers; i++) {
        struct fib_caller *c = &w->w_callers[i];
        unsigned kind = fib_below(r, FIB_CONFIGURER);

        while (!(allowed & (1u << kind)))
            kind = (kind + 1) % FIB_CONFIGURER;
        if (kind == FIB_HOT && hots++ > 0)
            kind = FIB_HEAD; /* there is one device number for it */
        /* The second of those who open the disk may be the one who takes it away. */
        if (kind == FIB_OPENER && openers++ == 1 && fib_percent(r, 70)) {
            kind = FIB_CONFIGURER;
            w->w_configured = true;
        }
        c->c_kind = (enum fib_kind)kind;
        c->c_index = i;
        c->c_rng.state = fib_random(r);
        c->c_steps = 2 + fib_below(r, 12);
        c->c_chain_max = chains[fib_below(r, SC_ARRAY_SIZE(chains))];
        c->c_resubmit = fib_percent(r, 50) ? 40 : 0;
        c->c_sequential = fib_below(r, 101);
        c->c_pairs = fib_percent(r, 25) ? 30 : 0;
        c->c_bigs = fib_percent(r, 25) ? 40 : 0;
        c->c_tight = fib_percent(r, 30);
        (void)shim_format(c->c_name, sizeof(c->c_name), "%s %u", fib_kind_names[kind], i);
    }
}

/* ---------------------------------------------------------------- disks */

static void choose_disk(struct fib_world *w, enum fib_role role)
{
    static const uint32_t queues[] = {1, 2, 3, 4, 8, 16, 64};
    static const uint64_t latencies[] = {0, 0, 0, 1, 1000, 50000, 2000000};
    struct fib_rng *r = &w->w_rng;
    struct scp_disk_spec *spec = &w->w_disk_specs[w->w_ndisks];
    struct fib_disk *d = &w->w_disks[w->w_ndisks++];

    d->dk_role = role;
    d->dk_block = fib_percent(r, 40) ? 4096 : 512;
    d->dk_region = (6 + fib_below(r, 34)) * SC_PAGE_SIZE;
    d->dk_bytes = (uint64_t)d->dk_region * w->w_ncallers;
    spec->size = sizeof(*spec);
    spec->medium = SCP_MEDIUM_RAM;
    spec->bytes = d->dk_bytes;
    spec->block_bytes = d->dk_block;
    spec->no_tags = fib_percent(r, 20);
    spec->queue = queues[fib_below(r, SC_ARRAY_SIZE(queues))];
    spec->latency_ns = latencies[fib_below(r, SC_ARRAY_SIZE(latencies))];
}

/* One adapter's disks are neighbours in the list: those with data, and what callers want for themselves. */
static void choose_adapter(struct fib_world *w, unsigned adapter, bool last)
{
    static const uint64_t transfers[] = {65536, 69632, 131072, 1048576};
    struct fib_rng *r = &w->w_rng;
    struct scp_adapter_spec *a = &w->w_adapter_specs[adapter];
    const unsigned first = w->w_ndisks;
    unsigned data = 1 + fib_below(r, 3);

    for (; data > 0; data--)
        choose_disk(w, FIB_DISK_DATA);
    for (unsigned i = 0; i < w->w_ncallers && w->w_ndisks < FIB_DISKS_MAX; i++) {
        struct fib_caller *c = &w->w_callers[i];

        if (c->c_disk != 0 || (!last && fib_percent(r, 50)))
            continue;
        if (c->c_kind == FIB_HEAD) {
            c->c_disk = w->w_ndisks;
            choose_disk(w, FIB_DISK_HEAD);
        } else if (c->c_kind == FIB_OPENER || c->c_kind == FIB_CONFIGURER) {
            for (unsigned k = 0; k < w->w_ncallers; k++)
                if (w->w_callers[k].c_kind == FIB_OPENER || w->w_callers[k].c_kind == FIB_CONFIGURER)
                    w->w_callers[k].c_disk = w->w_ndisks;
            choose_disk(w, FIB_DISK_LIFE);
        }
    }
    a->size = sizeof(*a);
    a->kind = "sim";
    a->disks = &w->w_disk_specs[first];
    a->ndisks = w->w_ndisks - first;
    a->no_gather = fib_percent(r, 30);
    a->clears_queue = fib_percent(r, 50);
    a->transfer_bytes_max = transfers[fib_below(r, SC_ARRAY_SIZE(transfers))];
}

static void choose_chip(struct fib_world *w)
{
    static const unsigned often[] = {2, 10, 30, 60}, pieces[] = {1, 2, 5};
    struct fib_rng *r = &w->w_rng;

    if (fib_percent(r, 20))
        w->w_busy = often[fib_below(r, SC_ARRAY_SIZE(often))];
    if (fib_percent(r, 20))
        w->w_later = often[fib_below(r, SC_ARRAY_SIZE(often))];
    if (fib_percent(r, 10))
        w->w_pieces = pieces[fib_below(r, SC_ARRAY_SIZE(pieces))];
    w->w_long_busy = fib_percent(r, 10);
    if (fib_percent(r, 8))
        w->w_wrong = often[fib_below(r, 2)];
    if (fib_percent(r, 8))
        w->w_deaf = 30;
}

/* Lost commands, and threads that stay in iodone. With nothing else, where others are judged by it. */
static void choose_holding_up(struct fib_world *w)
{
    const unsigned which = fib_below(&w->w_rng, 100);

    if (which < 6) {
        w->w_lost = FIB_LOST_RESET;
        w->w_faults &= ~FIB_FAULT_TIMER;
    } else if (which < 12 && fib_looked_for("wedged")) {
        w->w_lost = FIB_LOST_LONG;
        w->w_faults = 0;
    } else if (which >= 85 && !fib_trouble()) {
        w->w_bad = true;
    } else if (which < 24 && !fib_trouble() && fib_looked_for("starved")) {
        w->w_dawdles = true;
    }
}

/*
 * When commands end. From numbers of its own: what else a seed chooses stays. Nobody is asked where something
 * takes seconds: at a look each 50 us that is a million points.
 */
static void choose_pend(struct fib_world *w)
{
    struct fib_rng r = {w->w_seed * 0x9e3779b97f4a7c15u + 0xba7c4};
    const bool quick = w->w_lost == FIB_LOST_NONE && w->w_faults == 0 && !w->w_dawdles && !w->w_long_busy &&
                       !w->w_bad && w->w_deaf == 0 && !w->w_slow && w->w_ncallers < 4;

    for (unsigned i = 0; i < w->w_spec.nadapters; i++)
        if (fib_percent(&r, 35)) {
            w->w_pends = true;
            w->w_adapter_specs[i].pend = quick && fib_percent(&r, 40) ? SCP_PEND_POLL : SCP_PEND_INTERRUPT;
        }
}

void fib_choose(struct fib_world *w, uint64_t seed)
{
    static const uint32_t openings[] = {1, 2, 4, 64, 64, 256};
    struct fib_rng *r = &w->w_rng;
    struct sched s = {0};

    w->w_seed = seed;
    r->state = seed * 2 + 1;
    w->w_spec.size = sizeof(w->w_spec);
    w->w_spec.nadapters = 1 + fib_below(r, FIB_ADAPTERS_MAX);
    w->w_spec.adapters = w->w_adapter_specs;
    w->w_spec.max_coalesce = fib_percent(r, 20) ? SC_PAGE_SIZE * (1u + fib_below(r, 16)) : 0;
    choose_callers(w);
    for (unsigned i = 0; i < w->w_spec.nadapters; i++)
        choose_adapter(w, i, i + 1 == w->w_spec.nadapters);
    choose_chip(w);
    fib_faults_choose(w);
    w->w_phases = 1 + fib_percent(r, 25);
    w->w_watched = fib_percent(r, 40);
    w->w_rush = fib_percent(r, 40);
    w->w_openings = openings[fib_below(r, SC_ARRAY_SIZE(openings))];
    fib_choose_schedule(&s, seed);
    w->w_slow = s.s_kind == SCHED_SLOW;
    choose_holding_up(w);
    choose_pend(w);
    w->w_limit_ns = fib_trouble() || w->w_dawdles || w->w_long_busy ? FIB_LIMIT_FAULT_NS : FIB_LIMIT_GOOD_NS;
}

/* ---------------------------------------------------------------- who goes on */

void fib_choose_schedule(struct sched *s, uint64_t seed)
{
    static const uint32_t one_in[] = {2, 16, 256};
    static const uint64_t lengths[] = {500, 3000, 10000, 40000};
    struct fib_rng r = {seed * 0x2545f4914f6cdd1du + 0x5c4ed};
    const unsigned kind = fib_below(&r, 100);

    s->s_seed = seed;
    s->s_kind = kind < 40 ? SCHED_WALK : kind < 70 ? SCHED_PCT : kind < 83 ? SCHED_STARVED : SCHED_SLOW;
    s->s_fibres = 6 + fib_below(&r, 8);
    s->s_one_slow = fib_percent(&r, 70);
    s->s_one_in = one_in[fib_below(&r, SC_ARRAY_SIZE(one_in))];
    s->s_depth = 2 + fib_below(&r, 3);
    s->s_length = lengths[fib_below(&r, SC_ARRAY_SIZE(lengths))];
    s->s_interrupts = fib_percent(&r, 50);
    s->s_points_max = 1000000;
}

/* ---------------------------------------------------------------- in words */

void fib_describe(const struct fib_world *w, const struct sched *s)
{
    printf("seed %llu: %u callers, %u adapters, %u disks, %s", (unsigned long long)w->w_seed, w->w_ncallers,
           w->w_spec.nadapters, w->w_ndisks, sched_kind_names[s->s_kind]);
    if (s->s_kind == SCHED_PCT)
        printf(" of depth %u over %llu points", s->s_depth, (unsigned long long)s->s_length);
    else
        printf(" 1 in %u", s->s_one_in);
    printf(", %u openings", w->w_openings);
    printf("%s, faults %#x in %u steps%s%s\n", s->s_interrupts ? ", interrupts" : "", w->w_faults,
           w->w_fault_steps, w->w_phases > 1 ? ", twice" : "", w->w_rush ? ", in a rush at the end" : "");
    if (w->w_busy || w->w_later || w->w_pieces)
        printf("  no room at %u%% of the commands, maps wait at %u%%, %u pieces at most (0: any)\n",
               w->w_busy, w->w_later, w->w_pieces);
    if (w->w_lost || w->w_dawdles)
        printf("  %s\n", w->w_dawdles                  ? "heads stay in iodone"
                         : w->w_lost == FIB_LOST_RESET ? "commands are lost until a bus reset"
                                                       : "commands are lost for long");
    if (w->w_wrong || w->w_deaf || w->w_long_busy)
        printf("  wrong residuals at %u%%, aborts do nothing at %u%%%s\n", w->w_wrong, w->w_deaf,
               w->w_long_busy ? ", no room for long" : "");
    if (w->w_bad)
        printf("  some blocks are bad\n");
    for (unsigned i = 0; i < w->w_spec.nadapters; i++)
        printf("  scsi%u: %u disks, %s, %s%s, maximum transfer %llu\n", i, w->w_adapter_specs[i].ndisks,
               w->w_adapter_specs[i].no_gather ? "no gather" : "gather",
               w->w_adapter_specs[i].clears_queue ? "clears its queue" : "keeps its queue",
               w->w_adapter_specs[i].pend == SCP_PEND_NOT    ? ""
               : w->w_adapter_specs[i].pend == SCP_PEND_POLL ? ", in batches, asked"
                                                             : ", in batches",
               (unsigned long long)w->w_adapter_specs[i].transfer_bytes_max);
    for (unsigned i = 0; i < w->w_ndisks; i++) {
        static const char *const roles[] = {"data", "opened and closed", "a head's own"};
        const struct scp_disk_spec *d = &w->w_disk_specs[i];

        printf("  hdisk%u: %s, %llu bytes in blocks of %u, queue %u%s, latency %llu ns\n", i,
               roles[w->w_disks[i].dk_role], (unsigned long long)d->bytes, d->block_bytes, d->queue,
               d->no_tags ? ", no tags" : "", (unsigned long long)d->latency_ns);
    }
    for (unsigned i = 0; i < w->w_ncallers; i++) {
        const struct fib_caller *c = &w->w_callers[i];

        printf("  %s: %u steps", c->c_name, c->c_steps);
        if (c->c_kind == FIB_CHAIN)
            printf(", chains to %u, %u%% in sequence, %u%% again from iodone%s%s", c->c_chain_max,
                   c->c_sequential, c->c_resubmit, c->c_pairs ? ", writes twice" : "",
                   c->c_tight ? ", buffers side by side" : "");
        else if (c->c_kind != FIB_RAW && c->c_kind != FIB_HOT)
            printf(", on hdisk%u", c->c_disk);
        printf("\n");
    }
}
