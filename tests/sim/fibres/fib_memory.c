/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_memory.c - the callers' buffers, and what each of them believes is on the disks.
 *
 * All of it is static: the adapter merges neighbouring memory into one segment, so where a buffer lies is
 * part of what happens, and must not come from an allocator. Each caller has a region of each disk for
 * itself, so that its shadow needs nobody's consent, and never has a write under way together with anything
 * else on the same sectors, unless it wants to see which of two writes wins.
 */
#include "fib.h"

#include <string.h>

#define GUARD_BYTES 64u
#define GUARD       0xa5
#define WRITING     255u

static _Alignas(SC_PAGE_SIZE) uint8_t cells[FIB_CALLERS_MAX][FIB_SLOTS * FIB_CELL_BYTES];
static _Alignas(SC_PAGE_SIZE) uint8_t bigs[FIB_CALLERS_MAX][FIB_BIG_BYTES];
static _Alignas(SC_PAGE_SIZE) uint8_t whole[FIB_CALLERS_MAX * FIB_REGION_MAX];
static uint8_t shadows[FIB_DISKS_MAX][FIB_CALLERS_MAX * FIB_REGION_MAX];
static uint8_t states[FIB_DISKS_MAX][FIB_CALLERS_MAX * FIB_REGION_MAX / FIB_SECTOR];

void fib_memory_prepare(struct fib_world *w)
{
    for (unsigned i = 0; i < w->w_ndisks; i++) {
        w->w_disks[i].dk_shadow = shadows[i];
        w->w_disks[i].dk_state = states[i];
        memset(shadows[i], 0, sizeof(shadows[i]));
        memset(states[i], FIB_SURE, sizeof(states[i]));
    }
}

uint8_t *fib_cell(const struct fib_caller *c, unsigned slot)
{
    return cells[c->c_index] + slot * (c->c_tight ? SC_PAGE_SIZE : FIB_CELL_BYTES) +
           (c->c_tight ? 0 : SC_PAGE_SIZE);
}

uint8_t *fib_big(const struct fib_caller *c) { return bigs[c->c_index] + SC_PAGE_SIZE; }

void fib_fill(struct fib_rng *r, uint8_t *p, size_t bytes)
{
    uint64_t v = fib_random(r);

    for (size_t at = 0; at + 8 <= bytes; at += 8) {
        v = v * 6364136223846793005u + 1442695040888963407u;
        memcpy(p + at, &v, 8);
    }
}

/* ---------------------------------------------------------------- claims */

bool fib_claim(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes)
{
    const uint64_t base = (uint64_t)c->c_index * fib_world.w_disks[disk].dk_region;
    const uint64_t first = (off - base) / FIB_SECTOR, last = (off - base + bytes - 1) / FIB_SECTOR;
    uint8_t *claims = c->c_claims[disk];

    for (uint64_t s = first; s <= last; s++)
        if (claims[s] == WRITING || (write && claims[s] != 0))
            return false;
    for (uint64_t s = first; s <= last; s++)
        claims[s] = write ? WRITING : (uint8_t)(claims[s] + 1);
    return true;
}

void fib_unclaim(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes)
{
    const uint64_t base = (uint64_t)c->c_index * fib_world.w_disks[disk].dk_region;
    uint8_t *claims = c->c_claims[disk];

    for (uint64_t s = (off - base) / FIB_SECTOR; s <= (off - base + bytes - 1) / FIB_SECTOR; s++)
        claims[s] = write ? 0 : (uint8_t)(claims[s] - 1);
}

/* ---------------------------------------------------------------- shadows */

/* A block of which only a part crossed the bus may or may not be on the medium. */
void fib_written(unsigned disk, uint64_t off, const uint8_t *data, size_t bytes, size_t moved)
{
    struct fib_disk *d = &fib_world.w_disks[disk];
    const uint64_t good = off + moved / d->dk_block * d->dk_block;

    memcpy(d->dk_shadow + off, data, moved);
    for (uint64_t s = off / FIB_SECTOR; s < (off + bytes) / FIB_SECTOR; s++)
        d->dk_state[s] = (s + 1) * FIB_SECTOR > good ? FIB_UNSURE : FIB_SURE;
}

void fib_compare(const char *who, unsigned disk, uint64_t off, const uint8_t *data, size_t moved)
{
    const struct fib_disk *d = &fib_world.w_disks[disk];

    for (size_t at = 0; at < moved; at += FIB_SECTOR) {
        const size_t n = moved - at < FIB_SECTOR ? moved - at : FIB_SECTOR;
        const uint8_t state = d->dk_state[(off + at) / FIB_SECTOR];

        if (state == FIB_UNSURE || memcmp(data + at, d->dk_shadow + off + at, n) == 0)
            continue;
        if (state == FIB_ORDERED && !fib_looked_for("order"))
            continue;
        if (state == FIB_ORDERED)
            sched_fail("order: %s: hdisk%u: byte %llu does not hold the second of two writes", who, disk,
                       (unsigned long long)(off + at));
        sched_fail("data: %s: hdisk%u: wrong data at byte %llu of the disk, %zu of a read of %zu", who, disk,
                   (unsigned long long)(off + at), at, moved);
    }
}

/* ---------------------------------------------------------------- beside the data */

void fib_guard_set(uint8_t *data, size_t bytes)
{
    memset(data - GUARD_BYTES, GUARD, GUARD_BYTES);
    memset(data + bytes, GUARD, GUARD_BYTES);
}

void fib_guard_check(const char *who, const uint8_t *data, size_t bytes)
{
    const uint8_t *before = data - GUARD_BYTES, *behind = data + bytes;

    for (unsigned i = 0; i < GUARD_BYTES; i++)
        SCHED_CHECK(before[i] == GUARD && behind[i] == GUARD,
                    "data: %s: memory beside a buffer of %zu bytes was written to", who, bytes);
}

/* ---------------------------------------------------------------- at the end */

#define FIB_DEAD_NS UINT64_C(61000000000)

/*
 * What every caller believes, against the medium. After faults a first try may still meet their tail, and a
 * disk that was silent is left alone for a minute (dd_dead_ms).
 */
void fib_compare_all(struct fib_world *w, unsigned disk, struct file *fp)
{
    const struct fib_disk *d = &w->w_disks[disk];
    size_t done = 0;
    int error = 0;

    for (unsigned tries = 0; tries < (fib_trouble() ? 5u : 1u); tries++) {
        error = scp_raw_read(fp, whole, (size_t)d->dk_bytes, 0, &done);
        if (error == 0 && done == d->dk_bytes)
            break;
        shim_delay_ns(FIB_DEAD_NS);
    }
    SCHED_CHECK(error == 0 && done == d->dk_bytes,
                "progress: hdisk%u: reading it at the end: errno %d (%s), %zu bytes", disk, error,
                scp_strerror(error), done);
    fib_compare("at the end", disk, 0, whole, done);
}
