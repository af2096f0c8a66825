/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_dev.c - the device half of the shim for a simulated adapter.
 *
 * There are no registers and no interrupts, so those entries stay empty. "Bus address" means CPU
 * address, within this folder and nowhere else: sim_data.c turns it back.
 *
 * Does not contain: accounting and fault injection of maps (src/shim/shim.c).
 */
#include "sim_impl.h"

static int sim_dev_open(struct shim_dev *dev, struct shim_dma_limits *limits)
{
    (void)dev;
    limits->dl_segs_max = SIM_SEGS_MAX;
    limits->dl_seg_bytes_max = SIZE_MAX;
    limits->dl_boundary = 0;
    limits->dl_addr_max = UINT64_MAX;
    limits->dl_align = 1;
    return 0;
}

static void sim_dev_close(struct shim_dev *dev) { (void)dev; }

static int sim_dev_dma_alloc(struct shim_dev *dev, size_t bytes, size_t align, struct shim_dma_mem *m)
{
    (void)dev;
    m->dm_cpu = shim_alloc(bytes, align, SHIM_TAG_HW);
    if (!m->dm_cpu)
        return ENOMEM;
    m->dm_bus = (uintptr_t)m->dm_cpu;
    m->dm_bytes = bytes;
    m->dm_host[0] = align;
    return 0;
}

static void sim_dev_dma_free(struct shim_dev *dev, struct shim_dma_mem *m)
{
    (void)dev;
    shim_free(m->dm_cpu, m->dm_bytes, m->dm_host[0], SHIM_TAG_HW);
    m->dm_cpu = NULL;
}

/*
 * Map the pieces, joining neighbours. Never LATER: nothing is used up. NEVER when the caller's
 * array cannot hold the list; the caller knows how much room it gave and may come with more.
 */
static int sim_dev_dma_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                           struct shim_dma_map *map)
{
    struct shim_seg *segs = map->map_segs;
    uint32_t used = 0;
    uint64_t bytes = 0;

    (void)dev;
    (void)dir;
    if (SC_LIKELY(n == 1 && vec[0].iov_len != 0 && map->map_segs_max != 0)) { /* as nearly always */
        segs[0].seg_addr = (uintptr_t)vec[0].iov_base;
        map->map_bytes = segs[0].seg_bytes = vec[0].iov_len;
        map->map_nsegs = 1;
        return SHIM_MAP_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t addr = (uintptr_t)vec[i].iov_base;

        if (vec[i].iov_len == 0)
            continue;
        bytes += vec[i].iov_len;
        if (used && segs[used - 1].seg_addr + segs[used - 1].seg_bytes == addr) {
            segs[used - 1].seg_bytes += vec[i].iov_len;
            continue;
        }
        if (used >= map->map_segs_max || used >= SIM_SEGS_MAX)
            return SHIM_MAP_NEVER;
        segs[used].seg_addr = addr;
        segs[used].seg_bytes = vec[i].iov_len;
        used++;
    }
    map->map_nsegs = used;
    map->map_bytes = bytes;
    return SHIM_MAP_OK;
}

static void sim_dev_dma_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    (void)dev;
    map->map_nsegs = 0;
    map->map_bytes = 0;
}

static const struct shim_dev_ops sim_dev_ops = {
    .version = SHIM_DEV_VERSION,
    .size = sizeof(struct shim_dev_ops),
    .name = "sim",
    .open = sim_dev_open,
    .close = sim_dev_close,
    .dma_alloc = sim_dev_dma_alloc,
    .dma_free = sim_dev_dma_free,
    .dma_map = sim_dev_dma_map,
    .dma_unmap = sim_dev_dma_unmap,
};

void sim_dev_init(struct sim_bus *bus) { bus->bus_dev.dev_ops = &sim_dev_ops; }

struct shim_dev *sim_bus_dev(struct sim_bus *bus) { return &bus->bus_dev; }
