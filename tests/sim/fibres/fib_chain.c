/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_chain.c - a caller of the disks' strategy routine: chains, single requests, resubmission from iodone.
 *
 * What is judged when a request ends: exactly once; nothing of it changed since; b_resid within b_bcount;
 * without a fault no error; the bytes before the residual are right even when the rest failed; memory beside
 * the data untouched; and, of two writes to one place sent one after the other, that the second is on the
 * medium where that is promised.
 */
#include "fib.h"

#include <string.h>

#define GIVEN_BACK 0x6b

static bool send_some(struct fib_caller *c);

/* ---------------------------------------------------------------- completion */

/*
 * One command at a time: then two requests of one thread keep the order in which it sent them, through every
 * queue, error and retry. A tagged disk may have both, or two threads carry them to the chip, and it may swap
 * them.
 */
static bool one_at_a_time(unsigned disk)
{
    const struct scp_disk_spec *d = &fib_world.w_disk_specs[disk];

    return d->no_tags || d->queue == 1;
}

/* Both of a pair have ended. The second counts when it was sent after the first had come back, or when both
 * ended well on a disk that takes one at a time. */
static void pair_ended(struct fib_slot *s)
{
    struct fib_slot *second = s->sl_second ? s : s->sl_pair, *first = second->sl_pair;
    struct fib_disk *d = &fib_world.w_disks[s->sl_disk];
    const uint64_t off = (uint64_t)second->sl_buf.b_blkno << DEV_BSHIFT;
    const bool both = !((first->sl_buf.b_flags | second->sl_buf.b_flags) & B_ERROR) &&
                      first->sl_buf.b_resid == first->sl_beyond;
    const bool good = second->sl_buf.b_resid == second->sl_beyond &&
                      (second->sl_after || (both && one_at_a_time(s->sl_disk)));
    const size_t bytes = second->sl_buf.b_bcount - second->sl_beyond;

    memcpy(d->dk_shadow + off, second->sl_buf.b_un.b_addr, bytes);
    memset(d->dk_state + off / FIB_SECTOR, good ? FIB_ORDERED : FIB_UNSURE, bytes / FIB_SECTOR);
}

static void judge(struct fib_slot *s)
{
    const struct fib_caller *c = s->sl_caller;
    const struct buf *bp = &s->sl_buf;
    const bool write = !(bp->b_flags & B_READ);
    const int error = bp->b_flags & B_ERROR ? bp->b_error : 0;
    const uint64_t off = (uint64_t)bp->b_blkno << DEV_BSHIFT;

    SCHED_CHECK(!(bp->b_flags & B_ERROR) == (bp->b_error == 0),
                "contract: B_ERROR is%s set and b_error is %d", bp->b_flags & B_ERROR ? "" : " not",
                bp->b_error);
    SCHED_CHECK(!bp->av_forw, "contract: a request comes back with another one behind it");
    SCHED_CHECK(bp->b_flags & B_DONE, "contract: B_DONE is not set in iodone");
    SCHED_CHECK(bp->b_resid <= bp->b_bcount, "contract: residual %zu of %zu", bp->b_resid, bp->b_bcount);
    SCHED_CHECK(fib_trouble() || (error == 0 && bp->b_resid == s->sl_beyond),
                "error: %s: hdisk%u: %s at %llu, %zu bytes: errno %d (%s), residual %zu without any fault",
                c->c_name, s->sl_disk, write ? "write" : "read", (unsigned long long)off, bp->b_bcount, error,
                scp_strerror(error), bp->b_resid);
    SCHED_CHECK(!s->sl_refused || error == ENXIO, "contract: %s: hdisk%u has gone: errno %d (%s)", c->c_name,
                s->sl_disk, error, scp_strerror(error));
    SCHED_CHECK(error != ENXIO || fib_world.w_disks[s->sl_disk].dk_going,
                "error: %s: hdisk%u is there: ENXIO", c->c_name, s->sl_disk);
    SCHED_CHECK(error == 0 || !fib_free_of_charge(),
                "error: %s: hdisk%u: errno %d (%s), though what happens costs no try", c->c_name, s->sl_disk,
                error, scp_strerror(error));
    SCHED_CHECK(error == 0 || fib_plausible(error), "error: %s: hdisk%u: errno %d (%s) for a valid request",
                c->c_name, s->sl_disk, error, scp_strerror(error));
    SCHED_CHECK(error == 0 || bp->b_resid > s->sl_beyond || s->sl_beyond == bp->b_bcount,
                "error: hdisk%u: failed with %d and yet everything was moved", s->sl_disk, error);
    SCHED_CHECK(bp->b_resid >= s->sl_beyond, "data: hdisk%u: more was moved than there is", s->sl_disk);
    fib_blame(c->c_name, s->sl_disk, off, bp->b_bcount - s->sl_beyond, error, bp->b_bcount - bp->b_resid,
              true);
    if (!c->c_tight)
        fib_guard_check(c->c_name, bp->b_un.b_addr, bp->b_bcount);
    if (s->sl_pair)
        return;
    if (write)
        fib_written(s->sl_disk, off, bp->b_un.b_addr, bp->b_bcount - s->sl_beyond,
                    bp->b_bcount - bp->b_resid);
    else
        fib_compare(c->c_name, s->sl_disk, off, bp->b_un.b_addr, bp->b_bcount - bp->b_resid);
}

static void slot_free(struct fib_slot *s)
{
    /* Whoever still looks at it will be seen. */
    memset(&s->sl_buf, GIVEN_BACK, sizeof(s->sl_buf));
    s->sl_pair = NULL;
    s->sl_busy = s->sl_ended = false;
    if (s->sl_big)
        s->sl_caller->c_big = false;
    s->sl_big = false;
}

/* b_iodone. Context: completion, on whatever fibre brought it back. */
static void chain_done(struct buf *bp)
{
    struct fib_slot *s = SC_CONTAINER_OF(bp, struct fib_slot, sl_buf);
    struct fib_caller *c = s->sl_caller;
    const uint64_t off = (uint64_t)bp->b_blkno << DEV_BSHIFT;
    const bool write = !(bp->b_flags & B_READ);

    fib_enter(c);
    SCHED_CHECK(s->sl_busy && !s->sl_ended, "twice: a request of %s came back twice", c->c_name);
    SCHED_CHECK(shim_self()->self_nlocks == 0, "contract: iodone with %u locks held",
                shim_self()->self_nlocks);
    judge(s);
    shim_det_observe((uint64_t)(s - c->c_slots) << 32 ^ bp->b_resid ^
                     (uint64_t)(bp->b_flags & B_ERROR) << 20);
    c->c_errors += (bp->b_flags & B_ERROR) != 0;
    c->c_outstanding--;
    if (s->sl_pair && !s->sl_pair->sl_ended) {
        s->sl_ended = true;
    } else {
        if (bp->b_bcount > s->sl_beyond)
            fib_unclaim(c, s->sl_disk, write, off, bp->b_bcount - s->sl_beyond);
        if (s->sl_pair) {
            pair_ended(s);
            slot_free(s->sl_pair);
        }
        slot_free(s);
    }
    if (!c->c_draining && c->c_resubmits > 0 && fib_percent(&c->c_rng, c->c_resubmit)) {
        c->c_resubmits--;
        (void)send_some(c);
    }
    fib_leave(c);
    shim_wake(&c->c_event);
}

/* ---------------------------------------------------------------- making requests */

/* A buf of our own for a request, not sent yet. */
static struct fib_slot *slot_make(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes,
                                  size_t misalign)
{
    const size_t room = c->c_tight ? SC_PAGE_SIZE : FIB_CELL_BYTES - 2u * SC_PAGE_SIZE;
    struct fib_slot *s = NULL;
    struct buf *bp;

    fib_enter(c);
    for (unsigned i = 0; i < FIB_SLOTS && !s; i++)
        if (!c->c_slots[i].sl_busy)
            s = &c->c_slots[i];
    if (!s)
        return NULL;
    SCHED_CHECK(bytes + misalign <= room, "the test itself: a request of %zu bytes", bytes);
    bp = &s->sl_buf;
    for (size_t i = 0; s->sl_cell && i < sizeof(*bp); i++)
        SCHED_CHECK(((const uint8_t *)bp)[i] == GIVEN_BACK,
                    "touched: byte %zu of a buf of %s was written after it had been given back", i,
                    c->c_name);
    s->sl_cell = fib_cell(c, (unsigned)(s - c->c_slots));
    memset(bp, 0, sizeof(*bp));
    s->sl_caller = c;
    s->sl_busy = true;
    s->sl_ended = s->sl_second = s->sl_after = false;
    s->sl_pair = NULL;
    s->sl_beyond = 0;
    s->sl_disk = disk;
    bp->b_flags = write ? B_WRITE : B_READ;
    if (fib_percent(&c->c_rng, 20)) {
        /* A buf that was used before, as its owner left it. */
        bp->b_flags |= B_ERROR | B_DONE;
        bp->b_error = EIO;
        bp->b_resid = 1;
        bp->b_work = 7;
    }
    bp->b_iodone = chain_done;
    bp->b_dev = fib_world.w_disks[disk].dk_devno;
    bp->b_un.b_addr = s->sl_cell + misalign;
    bp->b_bcount = bytes;
    bp->b_blkno = (int64_t)(off >> DEV_BSHIFT);
    if (!c->c_tight)
        fib_guard_set(bp->b_un.b_addr, bytes);
    if (write)
        fib_fill(&c->c_rng, bp->b_un.b_addr, bytes);
    return s;
}

static void send_chain(struct fib_caller *c, struct buf *head)
{
    for (struct buf *bp = head; bp; bp = bp->av_forw) {
        struct fib_slot *s = SC_CONTAINER_OF(bp, struct fib_slot, sl_buf);

        s->sl_since = shim_now_ns();
        s->sl_naps = fib_naps();
        s->sl_refused = fib_world.w_disks[s->sl_disk].dk_gone;
        c->c_outstanding++;
        c->c_requests++;
    }
    fib_leave(c);
    SCHED_CHECK(devstrat(head) == 0, "contract: devstrat refused a chain");
    fib_enter(c);
}

/* Where a buffer begins inside its page. */
static size_t misalignment(struct fib_caller *c)
{
    if (c->c_tight)
        return 0;
    switch (fib_below(&c->c_rng, 4)) {
    case 0:
        return FIB_SECTOR * fib_below(&c->c_rng, 8);
    case 1:
        return 4u * fib_below(&c->c_rng, 1024);
    default:
        return 0;
    }
}

/* One more request for a chain at `off`, if nothing speaks against it. */
static struct fib_slot *add(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes)
{
    const struct fib_disk *d = &fib_world.w_disks[disk];
    const uint64_t end = (uint64_t)(c->c_index + 1u) * d->dk_region;
    struct fib_slot *s;
    bool beyond;

    if (off >= end)
        return NULL;
    if (bytes > end - off)
        bytes = (size_t)(end - off);
    if (!fib_claim(c, disk, write, off, bytes))
        return NULL;
    /* The last of all may ask for more than there is. */
    beyond = off + bytes == d->dk_bytes && bytes < SC_PAGE_SIZE && fib_percent(&c->c_rng, 60);
    s = slot_make(c, disk, write, off, beyond ? bytes + d->dk_block : bytes,
                  bytes % SC_PAGE_SIZE == 0 && fib_percent(&c->c_rng, 80) ? 0 : misalignment(c));
    if (!s)
        fib_unclaim(c, disk, write, off, bytes);
    else if (beyond)
        s->sl_beyond = d->dk_block;
    return s;
}

/* A chain of up to c_chain_max requests: a sequence, which may become one command, or here and there. */
static bool send_some(struct fib_caller *c)
{
    struct fib_rng *r = &c->c_rng;
    const unsigned disk = fib_data_disk(c), n = 1 + fib_below(r, c->c_chain_max);
    const struct fib_disk *d = &fib_world.w_disks[disk];
    const bool sequence = fib_percent(r, c->c_sequential);
    const uint32_t blocks = d->dk_region / d->dk_block, most = c->c_tight ? SC_PAGE_SIZE : 4u * SC_PAGE_SIZE;
    const uint64_t base = (uint64_t)c->c_index * d->dk_region;
    /* The end is where things are cut off. */
    uint64_t at = base + (uint64_t)(fib_percent(r, 10) ? blocks - 1u - fib_below(r, 8) % blocks
                                                       : fib_below(r, blocks)) *
                             d->dk_block;
    bool write = fib_percent(r, 50);
    struct buf *head = NULL, **link = &head;

    for (unsigned i = 0; i < n; i++) {
        size_t bytes = sequence && fib_percent(r, 85) ? SC_PAGE_SIZE
                                                      : d->dk_block * (1 + fib_below(r, most / d->dk_block));
        struct fib_slot *s;

        if (!sequence) {
            at = base + (uint64_t)fib_below(r, blocks) * d->dk_block;
            write = fib_percent(r, 50);
        }
        s = add(c, disk, write, at, bytes);
        if (!s)
            break;
        *link = &s->sl_buf;
        link = &s->sl_buf.av_forw;
        at += s->sl_buf.b_bcount;
    }
    if (head)
        send_chain(c, head);
    return head != NULL;
}

/* More than a command takes: the driver cuts it up. */
static void send_big(struct fib_caller *c, unsigned disk)
{
    struct fib_rng *r = &c->c_rng;
    const struct fib_disk *d = &fib_world.w_disks[disk];
    const uint64_t base = (uint64_t)c->c_index * d->dk_region;
    const uint32_t blocks = d->dk_region / d->dk_block, at = fib_below(r, blocks / 2);
    const uint64_t off = base + (uint64_t)at * d->dk_block;
    const size_t bytes = (size_t)(blocks - at) * d->dk_block;
    const bool write = fib_percent(r, 70);
    struct fib_slot *s;

    if (c->c_big || !fib_claim(c, disk, write, off, bytes))
        return;
    s = slot_make(c, disk, write, off, d->dk_block, 0);
    if (!s) {
        fib_unclaim(c, disk, write, off, bytes);
        return;
    }
    c->c_big = s->sl_big = true;
    s->sl_buf.b_un.b_addr = fib_big(c) + 512u * fib_below(r, 8);
    s->sl_buf.b_bcount = bytes;
    fib_guard_set(s->sl_buf.b_un.b_addr, bytes);
    if (write)
        fib_fill(r, s->sl_buf.b_un.b_addr, bytes);
    send_chain(c, &s->sl_buf);
}

/* How a caller finds the end of a disk: nothing is there, and that is no error. */
static void send_end(struct fib_caller *c, unsigned disk)
{
    const struct fib_disk *d = &fib_world.w_disks[disk];
    struct fib_slot *s = slot_make(c, disk, false, d->dk_bytes, d->dk_block, 0);

    if (!s)
        return;
    s->sl_beyond = d->dk_block;
    send_chain(c, &s->sl_buf);
}

/* Two writes to one place, one after the other, without waiting for the first. */
static void send_pair(struct fib_caller *c, unsigned disk)
{
    struct fib_rng *r = &c->c_rng;
    const struct fib_disk *d = &fib_world.w_disks[disk];
    const uint64_t off = (uint64_t)c->c_index * d->dk_region +
                         (uint64_t)fib_below(r, d->dk_region / d->dk_block) * d->dk_block;
    struct fib_slot *first = add(c, disk, true, off, d->dk_block), *second;

    if (!first)
        return;
    second = slot_make(c, disk, true, off, first->sl_buf.b_bcount, 0);
    if (second)
        second->sl_beyond = first->sl_beyond;
    if (second) {
        first->sl_pair = second;
        second->sl_pair = first;
        second->sl_second = true;
    }
    if (second && fib_percent(r, 50)) {
        first->sl_buf.av_forw = &second->sl_buf;
        second = NULL;
    }
    send_chain(c, &first->sl_buf);
    if (second) {
        second->sl_after = first->sl_ended;
        send_chain(c, &second->sl_buf);
    }
}

/* ---------------------------------------------------------------- the caller */

static void wait_until(struct fib_caller *c, unsigned most)
{
    while (c->c_outstanding > most)
        fib_sleep(c);
}

void fib_chain_run(void *arg)
{
    struct fib_caller *c = arg;

    fib_open_data(c);
    for (unsigned step = 0; step < c->c_steps && fib_data_disk(c) != FIB_DISKS_MAX; step++) {
        const unsigned disk = fib_data_disk(c);

        c->c_resubmits = 4;
        if (fib_percent(&c->c_rng, 10))
            fib_look();
        if (fib_percent(&c->c_rng, c->c_pairs))
            send_pair(c, disk);
        else if (fib_percent(&c->c_rng, 5))
            send_end(c, disk);
        else if (fib_percent(&c->c_rng, c->c_bigs))
            send_big(c, disk);
        else if (!send_some(c))
            wait_until(c, c->c_outstanding / 2);
        if (fib_percent(&c->c_rng, 25))
            wait_until(c, fib_below(&c->c_rng, c->c_outstanding + 1u));
    }
    c->c_draining = true;
    wait_until(c, 0);
    fib_close_data(c);
}
