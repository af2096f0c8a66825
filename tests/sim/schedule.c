/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule.c - strategies: who goes on, by seed, by list, or one schedule after the other.
 *
 * Walk: a switch with probability 1/s_one_in at each point; a low one reaches far into long paths.
 * PCT: every fibre has a random priority and the highest that can run does; at s_depth - 1 points spread
 * over the length of the run the running fibre falls below all others. A bug that needs d events in order
 * among n fibres is found with probability at least 1/(n k^(d-1)) in a run of k points (Burckhardt and
 * others, ASPLOS 2010). Starved, slow: lost wake-ups, unfairness, a thread that meets its own timeout.
 * Search: depth first, by replaying a prefix and going another way at its end; a schedule is left out when it
 * would preempt more often than the bound (Musuvathi and Qadeer, PLDI 2007). Switching away from a fibre that
 * cannot go on is no preemption and costs nothing.
 */
#include "schedule.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const sched_kind_names[] = {
    [SCHED_FIRST] = "first", [SCHED_WALK] = "walk",     [SCHED_PCT] = "pct",      [SCHED_STARVED] = "starved",
    [SCHED_SLOW] = "slow",   [SCHED_REPLAY] = "replay", [SCHED_SEARCH] = "search"};

uint64_t sched_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(struct sched *s, uint64_t n) { return (uint32_t)(sched_random(&s->s_random) % n); }

static struct sched *sched_current; /* of this process: the one that was begun last */

/* ---------------------------------------------------------------- what was decided */

static void note(struct sched *s, uint32_t at, uint32_t pick, uint64_t slow_ns)
{
    struct sched_result *r = s->s_result;

    if (r->r_ndeviations == SCHED_DEVIATIONS_MAX) {
        r->r_overflow = true;
        return;
    }
    r->r_deviations[r->r_ndeviations] = (struct sched_deviation){at, pick, slow_ns};
    r->r_ndeviations++;
}

/* ---------------------------------------------------------------- the strategies */

static uint32_t pick_walk(struct sched *s, const struct det_choice *ch)
{
    if (ch->ch_forced)
        return below(s, ch->ch_n);
    if (below(s, s->s_one_in) != 0)
        return 0;
    return 1 + below(s, ch->ch_n - 1u);
}

static uint32_t pick_pct(struct sched *s, const struct det_choice *ch)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < ch->ch_n; i++) {
        /* A timer on top of a fibre: as if the timers' fibre ran. */
        const uint32_t a = ch->ch_who[i] & DET_ON_TOP ? DET_FIBRE_TIMER : ch->ch_who[i];
        const uint32_t b = ch->ch_who[best] & DET_ON_TOP ? DET_FIBRE_TIMER : ch->ch_who[best];

        if (s->s_priority[a] > s->s_priority[b] ||
            (s->s_priority[a] == s->s_priority[b] && (ch->ch_who[i] & DET_ON_TOP) && below(s, 2) == 0))
            best = i;
    }
    return best;
}

/* A walk that never goes to the victim while there is another way. */
static uint32_t pick_starved(struct sched *s, const struct det_choice *ch)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        const uint32_t i = pick_walk(s, ch);

        if (ch->ch_who[i] != s->s_victim)
            return i;
        for (uint32_t k = 0; k < ch->ch_n; k++)
            if (ch->ch_who[k] != s->s_victim)
                return k;
    }
    return 0;
}

static uint32_t pick_replay(struct sched *s)
{
    while (s->s_at_replay < s->s_nreplay && s->s_replay[s->s_at_replay].dv_slow_ns != 0)
        s->s_at_replay++;
    if (s->s_at_replay == s->s_nreplay || s->s_replay[s->s_at_replay].dv_at != s->s_at)
        return 0;
    return s->s_replay[s->s_at_replay++].dv_pick;
}

static uint32_t pick_search(struct sched *s, const struct det_choice *ch)
{
    struct sched_step *st;

    if (s->s_at == SCHED_DEPTH_MAX)
        sched_fail("this program is too long for an exhaustive search: %u decisions", SCHED_DEPTH_MAX);
    st = &s->s_steps[s->s_at];
    if (s->s_at < s->s_len) {
        if (st->st_n != ch->ch_n || st->st_forced != ch->ch_forced)
            sched_fail("not deterministic: decision %u had %u alternatives and has %u", s->s_at, st->st_n,
                       ch->ch_n);
        return st->st_pick;
    }
    *st = (struct sched_step){(uint8_t)ch->ch_n, 0, ch->ch_forced};
    s->s_len = s->s_at + 1;
    return 0;
}

static uint32_t sched_pick(void *arg, const struct det_choice *ch)
{
    struct sched *s = arg;
    uint32_t i = 0;

    switch (s->s_kind) {
    case SCHED_WALK:
    case SCHED_SLOW:
        i = pick_walk(s, ch);
        break;
    case SCHED_PCT:
        i = pick_pct(s, ch);
        break;
    case SCHED_STARVED:
        i = pick_starved(s, ch);
        break;
    case SCHED_REPLAY:
        i = pick_replay(s);
        if (i >= ch->ch_n)
            i = 0; /* shrinking has changed what there is */
        break;
    case SCHED_SEARCH:
        i = pick_search(s, ch);
        break;
    case SCHED_FIRST:
        break;
    }
    if (i != 0) {
        note(s, s->s_at, i, 0);
        s->s_result->r_preemptions += !ch->ch_forced;
    }
    s->s_at++;
    s->s_result->r_decisions = s->s_at;
    return i;
}

/* Called at every point, before the decision. */
static uint64_t sched_slow(void *arg, const struct det_choice *ch)
{
    static const uint64_t naps[] = {1, 1000, 1000000, 1000000000, 40000000000};
    struct sched *s = arg;
    const uint64_t at = s->s_point++;
    uint64_t ns = 0;

    /* Here and not where there is a choice: who falls while he is alone is still at the bottom later. */
    for (uint32_t i = 0; s->s_kind == SCHED_PCT && i + 1 < s->s_depth; i++)
        if (s->s_places[i] == at)
            s->s_priority[ch->ch_cur] = -(int32_t)i - 1;
    if (s->s_kind == SCHED_REPLAY) {
        for (uint32_t i = 0; i < s->s_nreplay; i++)
            if (s->s_replay[i].dv_slow_ns != 0 && s->s_replay[i].dv_at == at)
                ns = s->s_replay[i].dv_slow_ns;
    } else if (s->s_kind == SCHED_SLOW && ch->ch_cur != DET_FIBRE_TIMER &&
               (!s->s_one_slow || ch->ch_cur == s->s_victim) && below(s, s->s_one_slow ? 16 : 64) == 0) {
        ns = naps[below(s, SC_ARRAY_SIZE(naps))];
    }
    if (ns != 0)
        note(s, (uint32_t)at, 0, ns);
    return ns;
}

static _Noreturn void sched_failed(void *arg, const char *text)
{
    struct sched *s = arg;

    s->s_result->r_failed = true;
    s->s_result->r_ended = true;
    s->s_result->r_points = shim_det_points();
    s->s_result->r_digest = shim_det_digest();
    (void)snprintf(s->s_result->r_text, sizeof(s->s_result->r_text), "%s", text);
    if (s->s_story)
        story_end();
    fflush(NULL);
    _Exit(1);
}

_Noreturn void sched_fail(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sched_failed(sched_current, text);
}

/* ---------------------------------------------------------------- beginning, ending, going on */

const struct det_strategy *sched_begin(struct sched *s)
{
    struct sched_result *r = s->s_result;

    sched_current = s;
    if (s->s_kind == SCHED_SEARCH && !s->s_steps) {
        s->s_steps = calloc(SCHED_DEPTH_MAX, sizeof(*s->s_steps));
        if (!s->s_steps)
            abort();
    }
    s->s_random = s->s_seed * 0x2545f4914f6cdd1du + 0x5eed;
    s->s_at = s->s_at_replay = 0;
    s->s_point = 0;
    if (s->s_one_in == 0)
        s->s_one_in = 16;
    if (s->s_depth < 2)
        s->s_depth = 3;
    if (s->s_length == 0)
        s->s_length = 2000;
    for (uint32_t i = 0; i < DET_FIBRES_MAX; i++)
        s->s_priority[i] = (int32_t)(below(s, 1u << 20) + 1u);
    for (uint32_t i = 0; i < SC_ARRAY_SIZE(s->s_places); i++)
        s->s_places[i] = sched_random(&s->s_random) % s->s_length;
    if (s->s_fibres == 0)
        s->s_fibres = 6;
    s->s_victim = below(s, s->s_fibres);
    r->r_failed = r->r_ended = r->r_overflow = false;
    r->r_text[0] = '\0';
    r->r_points = r->r_decisions = r->r_preemptions = 0;
    r->r_ndeviations = 0;
    s->s_strategy = (struct det_strategy){.st_pick = sched_pick,
                                          .st_slow = sched_slow,
                                          .st_failed = sched_failed,
                                          .st_trace = s->s_story ? story_point : NULL,
                                          .st_on_top = s->s_story ? story_on_top : NULL,
                                          .st_arg = s,
                                          .st_interrupts = s->s_interrupts,
                                          .st_points_max = s->s_points_max};
    return &s->s_strategy;
}

void sched_end(struct sched *s)
{
    s->s_result->r_ended = true;
    s->s_result->r_points = shim_det_points();
    s->s_result->r_digest = shim_det_digest();
    s->s_result->r_schedules++;
    s->s_result->r_digests = (s->s_result->r_digests ^ s->s_result->r_digest) * 0x100000001b3u;
}

bool sched_next(struct sched *s)
{
    uint32_t spent = 0;

    /* Preemptions of the whole path; going back from its end takes them off one by one. */
    for (uint32_t i = 0; i < s->s_len; i++)
        spent += s->s_steps[i].st_pick != 0 && !s->s_steps[i].st_forced;
    while (s->s_len > 0) {
        struct sched_step *st = &s->s_steps[s->s_len - 1];
        const uint32_t before = spent - (st->st_pick != 0 && !st->st_forced);

        if (st->st_pick + 1u < st->st_n && (st->st_forced || before < s->s_preemptions)) {
            st->st_pick++;
            return true;
        }
        spent = before;
        s->s_len--;
    }
    return false;
}
