/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_limit.c - how long anything may take, in virtual time: kinds late-halt, late-stop, late-close,
 * late-open, late-ioctl, late-request; and what a lost command or a thread in iodone may hold up.
 *
 * - nothing misbehaves: 5 s for everything
 * - something does: SCIOHALT 42 s, SCIOSTOP and the adapter's close 72 s (the ladder, after 30 s), SCIORESET
 * 21 s (a round that is about others, and its own), and a second; everything else 900 s: all timeouts and
 * retries one after the other
 * - a lost command (wedged): 150 s for its neighbours: its timeout, the ladder, a minute. Itself: when it is
 * given back
 * - a head stays in iodone: 5 s for another one's request whose strategy has returned (starved). What comes
 * back behind it for its own LUN waits for it, because responses have an order
 *
 * Time for which fibres were kept off their processor is added to each, and so is the rest of a time that had
 * begun before.
 */
#include "fib.h"

#include "shim/det/det_impl.h"

#include <string.h>

#define SECOND_NS 1000000000u

static const struct det_strategy *told; /* of a failure */

uint64_t fib_naps(void)
{
    const uint64_t now = shim_now_ns();

    return fib_world.w_naps - (fib_world.w_nap_end > now ? fib_world.w_nap_end - now : 0);
}

void fib_limits_begin(const struct det_strategy *st) { told = st; }

static void late(const char *kind, const char *what, uint64_t bound_ns, uint64_t since, uint64_t naps)
{
    const uint64_t now = shim_now_ns(), kept_off = fib_world.w_naps - naps;
    static char text[4096];
    int n;

    if (now - since <= bound_ns + kept_off || !fib_looked_for(kind))
        return;
    n = shim_format(text, sizeof(text), "%s: %s has taken %llu virtual seconds\n", kind, what,
                    (unsigned long long)((now - since) / SECOND_NS));
    shim_det_describe(text + n, sizeof(text) - (size_t)n);
    told->st_failed(told->st_arg, text);
}

void fib_late_request(const struct fib_caller *c, const struct sc_buf *sb, uint64_t since, uint64_t naps)
{
    if (sb && fib_chip_keeps(sb))
        return;
    /* What has just been found is not home yet. */
    if (sb && fib_world.w_lost == FIB_LOST_LONG)
        late("wedged", c->c_name, 150ull * SECOND_NS,
             since > fib_world.w_found_ns ? since : fib_world.w_found_ns, naps);
    else
        late("late-request", c->c_name, fib_world.w_limit_ns, since, naps);
}

void fib_late_starved(const struct fib_caller *c, uint64_t since, uint64_t naps)
{
    if (fib_world.w_dawdlers > 0 && c->c_dawdlers == 0)
        late("starved", c->c_name, FIB_LIMIT_GOOD_NS, since > c->c_stayed_ns ? since : c->c_stayed_ns, naps);
}

/* What a caller sleeps in. */
/* Pulled out: what was under way is back when that is over, or on its last step on another thread. */
static void late_gone(const struct fib_caller *c, const struct fib_slot *s)
{
    const struct fib_disk *d = &fib_world.w_disks[s->sl_disk];

    if (d->dk_gone && !fib_world.w_slow)
        late("late-request", "a request to a disk that has gone", FIB_LIMIT_GOOD_NS,
             s->sl_since > d->dk_gone_ns ? s->sl_since : d->dk_gone_ns, s->sl_naps);
    fib_late_request(c, NULL, s->sl_since, s->sl_naps);
}

static void late_call(const struct fib_caller *c)
{
    static const struct {
        const char *name, *kind;
        uint64_t seconds;
    } calls[] = {
        {"SCIOHALT", "late-halt", 43},   {"SCIOSTOP", "late-stop", 73},  {"adapter close", "late-close", 73},
        {"SCIORESET", "late-ioctl", 22}, {"SCIOSTART", "late-ioctl", 1}, {"close", "late-close", 0},
        {"open", "late-open", 0}};
    const char *kind = "late-ioctl";
    uint64_t bound = fib_world.w_limit_ns;

    for (size_t i = 0; i < SC_ARRAY_SIZE(calls); i++) {
        if (strcmp(calls[i].name, c->c_doing) != 0)
            continue;
        kind = calls[i].kind;
        if (calls[i].seconds != 0 && !fib_world.w_dawdles && calls[i].seconds * SECOND_NS < bound)
            bound = calls[i].seconds * SECOND_NS;
    }
    late(kind, c->c_doing, bound, c->c_since, c->c_naps);
}

void fib_limits(void)
{
    static uint64_t last;

    if (shim_now_ns() == last)
        return;
    last = shim_now_ns();
    for (unsigned i = 0; i < fib_world.w_ncallers; i++) {
        struct fib_caller *c = &fib_world.w_callers[i];

        if (c->c_doing)
            late_call(c);
        for (unsigned k = 0; c->c_outstanding > 0 && k < FIB_SLOTS; k++)
            if (c->c_slots[k].sl_busy && !c->c_slots[k].sl_ended && c->c_slots[k].sl_since != 0)
                late_gone(c, &c->c_slots[k]);
        if (c->c_kind == FIB_HEAD)
            fib_head_limits(c);
        if (c->c_kind == FIB_HOT)
            fib_hot_limits(c);
    }
}

void fib_doing(struct fib_caller *c, const char *what)
{
    c->c_doing = what;
    c->c_since = shim_now_ns();
    c->c_naps = fib_naps();
}

/* Who runs iodone may take his time, unless all timers wait for him. */
void fib_dawdle(struct fib_caller *c)
{
    if (!fib_world.w_dawdles || shim_det_fibre() == DET_FIBRE_TIMER || det_cur()->f_on_top ||
        !fib_percent(&c->c_rng, 10))
        return;
    fib_world.w_dawdlers++;
    c->c_dawdlers++;
    fib_leave(c);
    shim_delay_ns(20ull * SECOND_NS);
    fib_enter(c);
    c->c_dawdlers--;
    c->c_stayed_ns = shim_now_ns();
    fib_world.w_dawdlers--;
}
