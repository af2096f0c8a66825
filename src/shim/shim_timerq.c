/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_timerq.c - the armed timers of a host: a pairing heap inside the timers themselves.
 *
 * With thousands of commands in flight each has a timeout, nearly all of which are cancelled long
 * before they are due. So adding must be O(1) and cancelling cheap, memory must not be needed, and
 * equal times must come out in the order of arming, or a seed would not replay. A pairing heap gives
 * all four. Rejected: a sorted list (mixed short and long times make adding linear), a binary heap
 * (needs an array that grows), a wheel (many more lines, and a tick the virtual clock lacks).
 *
 * Links: tm_host[0] first child, tm_next next sibling, tm_prev the sibling before or, for a first
 * child, the parent. tm_host[1] is the order of arming.
 *
 * Does not contain: locking, the clock.
 */
#include "shim_timerq.h"

static struct shim_timer *shim_tq_child(const struct shim_timer *t)
{
    return (struct shim_timer *)t->tm_host[0];
}

static bool shim_tq_is_before(const struct shim_timer *a, const struct shim_timer *b)
{
    if (a->tm_when_ns != b->tm_when_ns)
        return a->tm_when_ns < b->tm_when_ns;
    return (intptr_t)(a->tm_host[1] - b->tm_host[1]) < 0;
}

/* Make one heap of two; either may be NULL. The result has no siblings and no parent. */
static struct shim_timer *shim_tq_meld(struct shim_timer *a, struct shim_timer *b)
{
    struct shim_timer *top, *sub;

    if (!a || !b)
        return a ? a : b;
    top = shim_tq_is_before(b, a) ? b : a;
    sub = top == a ? b : a;
    sub->tm_next = shim_tq_child(top);
    if (sub->tm_next)
        sub->tm_next->tm_prev = sub;
    sub->tm_prev = top;
    top->tm_host[0] = (uintptr_t)sub;
    top->tm_next = NULL;
    top->tm_prev = NULL;
    return top;
}

/*
 * Make one heap of a list of siblings: pair them up from the left, then fold the pairs from the
 * right. The pairs are stacked through tm_next, so no recursion.
 */
static struct shim_timer *shim_tq_merge(struct shim_timer *list)
{
    struct shim_timer *pairs = NULL, *all = NULL;

    while (list) {
        struct shim_timer *a = list, *b = list->tm_next;

        list = b ? b->tm_next : NULL;
        a->tm_next = a->tm_prev = NULL;
        if (b)
            b->tm_next = b->tm_prev = NULL;
        a = shim_tq_meld(a, b);
        a->tm_next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct shim_timer *a = pairs;

        pairs = a->tm_next;
        a->tm_next = NULL;
        all = shim_tq_meld(all, a);
    }
    return all;
}

void shim_timerq_insert(struct shim_timerq *q, struct shim_timer *t, uint64_t when_ns)
{
    SHIM_ASSERT(t->tm_state == 0);
    t->tm_when_ns = when_ns;
    t->tm_state = 1;
    t->tm_next = NULL;
    t->tm_prev = NULL;
    t->tm_host[0] = 0;
    t->tm_host[1] = q->tq_seq++;
    q->tq_first = shim_tq_meld(q->tq_first, t);
    q->tq_count++;
}

void shim_timerq_remove(struct shim_timerq *q, struct shim_timer *t)
{
    struct shim_timer *rest = shim_tq_merge(shim_tq_child(t));

    SHIM_ASSERT(t->tm_state == 1 && q->tq_count > 0);
    if (t == q->tq_first) {
        q->tq_first = rest;
    } else {
        if (shim_tq_child(t->tm_prev) == t)
            t->tm_prev->tm_host[0] = (uintptr_t)t->tm_next;
        else
            t->tm_prev->tm_next = t->tm_next;
        if (t->tm_next)
            t->tm_next->tm_prev = t->tm_prev;
        q->tq_first = shim_tq_meld(q->tq_first, rest);
    }
    t->tm_host[0] = 0;
    t->tm_next = NULL;
    t->tm_prev = NULL;
    t->tm_state = 0;
    q->tq_count--;
}
