/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_ahead.c - what is wanted soon: a medium in memory has it in the cache by then.
 *
 * A random read of a large RAM disk waits for the page walk and the first line of its block, and for the
 * lines behind it as fast as the copy asks for them, which is a few at a time; the code between two copies
 * keeps the CPU from running ahead into the next one. Whoever sends commands knows the next one.
 *
 * Some commands ahead the first line is asked for, and with it the page walk is done; all lines when it is
 * the next, not earlier, for a cache near the CPU holds few blocks.
 *
 * Nobody is in the way and nothing is in use: the disk's place outlives all who know of it, its medium does
 * not, so no byte of that is looked at. A prefetch from an address that is no longer memory does nothing.
 */
#include "sim_impl.h"

#define SIM_AHEAD_LINE_BYTES 64u
#define SIM_AHEAD_NEXT_BYTES 4096u /* a page, the usual request: of a longer one the copy fetches the rest   \
                                    */

/* `write`: 1, so that the line need not be asked for once more. */
#define SIM_AHEAD_LINES(p, bytes, write)                                                                     \
    for (size_t at = 0; at < (bytes); at += SIM_AHEAD_LINE_BYTES)                                            \
    __builtin_prefetch((p) + at, write, 2)

/* See scpair/ad_hw.h. Context: any. Locks: none. */
bool sim_ahead(void *hw, unsigned id, unsigned lun, uint64_t offset, uint32_t bytes, unsigned how)
{
    const struct sim_bus *bus = hw;
    struct sim_disk *disk = NULL;
    uintptr_t memory;
    uint64_t size;
    const uint8_t *p;

    if (SC_LIKELY(id < SC_IDS_MAX && lun < SC_LUNS_MAX))
        disk = atomic_load_explicit(&bus->bus_disk[id][lun], memory_order_acquire);
    if (!disk)
        return false;
    memory = atomic_load_explicit(&disk->dk_memory, memory_order_relaxed);
    if (memory == 0)
        return false;
    size = atomic_load_explicit(&disk->dk_blocks, memory_order_relaxed)
           << atomic_load_explicit(&disk->dk_block_shift, memory_order_relaxed);
    if (SC_UNLIKELY(bytes == 0 || offset > size || bytes > size - offset))
        return true;
    p = (const uint8_t *)(memory + (uintptr_t)offset);
    if (bytes > SIM_AHEAD_NEXT_BYTES)
        bytes = SIM_AHEAD_NEXT_BYTES;
    if (!(how & SC_AHEAD_NEXT))
        bytes = 1;
    if (how & SC_AHEAD_WRITE)
        SIM_AHEAD_LINES(p, bytes, 1);
    else
        SIM_AHEAD_LINES(p, bytes, 0);
    return true;
}
