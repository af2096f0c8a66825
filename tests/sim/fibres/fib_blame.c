/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_blame.c - bad blocks, in seeds in which nothing else misbehaves: who is blamed is known exactly.
 *
 * A block that is bad stays so, for reading and writing, and the disk says which it is. A request that
 * touches none ends well, whatever it shared a command with; one that does fails with EMEDIA, and what it
 * moved ends before its first bad block.
 */
#include "fib.h"

#include <sys/scsiproto.h>

#define BAD_MAX 3u

static struct {
    unsigned n;
    uint64_t at[BAD_MAX]; /* byte of the disk */
} bad[FIB_DISKS_MAX];

/* Of several in one command the disk tells the first: by address, as it finds them. */
static void add(struct fib_world *w, unsigned disk, uint64_t lba)
{
    const struct fib_disk *d = &w->w_disks[disk];
    const struct sim_fault f = {.f_opcode = SIM_OPCODE_DATA,
                                .f_lba_first = lba,
                                .f_lba_last = lba,
                                .f_action = SIM_FAULT_CHECK,
                                .f_key = SCSI_KEY_MEDIUM,
                                .f_asc = 0x11,
                                .f_descriptor = fib_percent(&w->w_rng, 30)};

    SCHED_CHECK(sim_fault_add(d->dk_sim, &f) >= 0, "the test itself: no room for a bad block");
    bad[disk].at[bad[disk].n++] = lba * d->dk_block;
}

void fib_blame_prepare(struct fib_world *w)
{
    for (unsigned i = 0; i < w->w_ndisks; i++) {
        const struct fib_disk *d = &w->w_disks[i];
        uint64_t lba = 0;

        bad[i].n = 0;
        if (!w->w_bad || d->dk_role != FIB_DISK_DATA)
            continue;
        for (unsigned n = 1 + fib_below(&w->w_rng, BAD_MAX); n > 0; n--) {
            lba += fib_below(&w->w_rng, d->dk_bytes / d->dk_block / BAD_MAX);
            add(w, i, lba++);
        }
    }
}

void fib_blame(const char *who, unsigned disk, uint64_t off, size_t bytes, int error, size_t moved,
               bool exact)
{
    uint64_t first = UINT64_MAX, before;

    if (!fib_world.w_bad || fib_world.w_slow || fib_world.w_wrong != 0)
        return;
    for (unsigned i = 0; i < bad[disk].n; i++)
        if (bad[disk].at[i] + fib_world.w_disks[disk].dk_block > off && bad[disk].at[i] < off + bytes &&
            bad[disk].at[i] < first)
            first = bad[disk].at[i];
    if (first == UINT64_MAX) {
        SCHED_CHECK(error == 0 && moved == bytes,
                    "blame: %s: hdisk%u: %zu bytes at %llu touch no bad block: errno %d (%s), %zu moved", who,
                    disk, bytes, (unsigned long long)off, error, scp_strerror(error), moved);
        return;
    }
    before = first > off ? first - off : 0;
    SCHED_CHECK(error == EMEDIA && (exact ? moved == before : moved <= before),
                "blame: %s: hdisk%u: %zu bytes at %llu, and byte %llu is bad: errno %d (%s), %zu moved", who,
                disk, bytes, (unsigned long long)off, (unsigned long long)first, error, scp_strerror(error),
                moved);
}
