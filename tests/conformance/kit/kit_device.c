/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kit_device.c - the group of the device half: limits, mapping, memory for both sides.
 *
 * What needs a particular chip (registers, interrupts) is tested with that chip.
 *
 * Does not contain: the host half (kit_host.c, kit_sleep.c).
 */
#include "kit.h"

#include <sys/scuio.h>

#define DEV_SEGS 8u

static const char *device_cannot(const struct kit_config *config)
{
    return config->kc_dev ? NULL : "no device given (kc_dev)";
}

static void device_table(struct kit *k)
{
    const struct shim_dev_ops *ops = k->k_config->kc_dev->dev_ops;

    KIT_MUST(ops != NULL);
    KIT_MUST(ops->version == SHIM_DEV_VERSION);
    KIT_MUST(ops->name != NULL);
    KIT_MUST(ops->size >= SHIM_TABLE_BYTES(shim_dev_ops, dma_unmap));
    KIT_MUST(ops->open != NULL);
    KIT_MUST(ops->close != NULL);
    KIT_MUST(ops->dma_map != NULL);
    KIT_MUST(ops->dma_unmap != NULL);
    KIT_MUST((ops->dma_alloc == NULL) == (ops->dma_free == NULL));
    KIT_MUST((ops->intr_attach == NULL) == (ops->intr_detach == NULL));
}

static void device_opens_again(struct kit *k)
{
    struct shim_dev *dev = k->k_config->kc_dev;

    for (int i = 0; i < 3; i++) {
        struct shim_dma_limits limits = {0};

        KIT_MUST(dev->dev_ops->open(dev, &limits) == 0);
        dev->dev_ops->close(dev);
        KIT_MUST(limits.dl_segs_max >= 1);
        KIT_MUST(limits.dl_seg_bytes_max >= DEV_BSIZE);
        KIT_MUST(limits.dl_align >= 1 && (limits.dl_align & (limits.dl_align - 1)) == 0);
        KIT_MUST((limits.dl_boundary & (limits.dl_boundary - 1)) == 0);
        KIT_MUST(limits.dl_addr_max > 0);
    }
}

/* Does every segment keep to the limits? */
static bool segs_keep_limits(const struct shim_dma_map *map, const struct shim_dma_limits *l)
{
    for (uint32_t i = 0; i < map->map_nsegs; i++) {
        const struct shim_seg *seg = &map->map_segs[i];
        uint64_t last = seg->seg_addr + seg->seg_bytes - 1;

        if (seg->seg_bytes == 0 || seg->seg_bytes > l->dl_seg_bytes_max || last > l->dl_addr_max ||
            (seg->seg_addr & (l->dl_align - 1)) ||
            (l->dl_boundary && seg->seg_addr / l->dl_boundary != last / l->dl_boundary))
            return false;
    }
    return true;
}

/* Map n pieces both ways; their bytes, order and limits are kept, neighbours merged. */
static void device_try_map(struct kit *k, struct shim_dev *dev, const struct shim_dma_limits *limits,
                           const struct iovec *vec, uint32_t n, uint32_t nsegs_max)
{
    struct shim_seg segs[DEV_SEGS];
    uint64_t bytes = 0, total = 0;

    for (uint32_t i = 0; i < n; i++)
        bytes += vec[i].iov_len;
    for (int dir = SHIM_DIR_FROM_DEVICE; dir <= SHIM_DIR_TO_DEVICE; dir++) {
        struct shim_dma_map map = {.map_segs = segs, .map_segs_max = DEV_SEGS};
        uint64_t said;
        uint32_t nsegs;
        bool keeps;

        KIT_MUST(shim_dma_map(dev, vec, n, dir, &map) == SHIM_MAP_OK);
        shim_dma_sync(dev, &map, SHIM_SYNC_BEFORE, dir);
        shim_dma_sync(dev, &map, SHIM_SYNC_AFTER, dir);
        total = 0;
        for (uint32_t i = 0; i < map.map_nsegs; i++)
            total += segs[i].seg_bytes;
        keeps = segs_keep_limits(&map, limits);
        nsegs = map.map_nsegs;
        said = map.map_bytes;
        shim_dma_unmap(dev, &map);
        KIT_MUST(total == bytes && said == bytes);
        KIT_MUST(keeps);
        KIT_MUST(nsegs >= 1 && nsegs <= nsegs_max);
    }
}

static void device_maps(struct kit *k)
{
    struct shim_dev *dev = k->k_config->kc_dev;
    uint8_t *memory = k->k_config->kc_dma;
    const struct iovec one = {memory, DEV_BSIZE};
    const struct iovec joined[] = {{memory, 1024}, {memory + 1024, 1024}};
    const struct iovec apart[] = {{memory, DEV_BSIZE}, {memory + SC_PAGE_SIZE, DEV_BSIZE}};
    struct shim_dma_limits limits = {0};

    KIT_MUST(dev->dev_ops->open(dev, &limits) == 0);
    device_try_map(k, dev, &limits, &one, 1, 1);
    if (!k->k_what && limits.dl_seg_bytes_max >= 2048)
        device_try_map(k, dev, &limits, joined, 2, 1);
    if (!k->k_what && limits.dl_segs_max >= 2)
        device_try_map(k, dev, &limits, apart, 2, 2);
    dev->dev_ops->close(dev);
}

/* What does not fit the caller's list will never fit: it is not an answer that makes the core wait. */
static void device_map_that_never_fits(struct kit *k)
{
    struct shim_dev *dev = k->k_config->kc_dev;
    uint8_t *memory = k->k_config->kc_dma;
    const struct iovec apart[] = {{memory, DEV_BSIZE}, {memory + SC_PAGE_SIZE, DEV_BSIZE}};
    struct shim_seg segs[1];
    struct shim_dma_map map = {.map_segs = segs, .map_segs_max = 1};
    struct shim_dma_limits limits = {0};
    int said;

    KIT_MUST(dev->dev_ops->open(dev, &limits) == 0);
    said = shim_dma_map(dev, apart, 2, SHIM_DIR_TO_DEVICE, &map);
    if (said == SHIM_MAP_OK)
        shim_dma_unmap(dev, &map);
    dev->dev_ops->close(dev);
    KIT_MUST(said == SHIM_MAP_NEVER);
}

static void device_failed_map_is_later(struct kit *k)
{
    struct shim_dev *dev = k->k_config->kc_dev;
    const struct iovec one = {k->k_config->kc_dma, DEV_BSIZE};
    struct shim_seg segs[DEV_SEGS];
    struct shim_dma_map map = {.map_segs = segs, .map_segs_max = DEV_SEGS};
    struct shim_dma_limits limits = {0};
    int first, second;

    KIT_MUST(dev->dev_ops->open(dev, &limits) == 0);
    shim_fail_set(SHIM_FAIL_MAP, 1, false);
    first = shim_dma_map(dev, &one, 1, SHIM_DIR_TO_DEVICE, &map);
    second = shim_dma_map(dev, &one, 1, SHIM_DIR_TO_DEVICE, &map);
    if (second == SHIM_MAP_OK)
        shim_dma_unmap(dev, &map);
    shim_fail_set(SHIM_FAIL_MAP, 0, false);
    dev->dev_ops->close(dev);
    KIT_MUST(first == SHIM_MAP_LATER);
    KIT_MUST(second == SHIM_MAP_OK);
}

static void device_memory_for_both(struct kit *k)
{
    struct shim_dev *dev = k->k_config->kc_dev;
    struct shim_dma_limits limits = {0};
    struct shim_dma_mem mem = {0};
    bool good;

    if (!dev->dev_ops->dma_alloc)
        return;
    KIT_MUST(dev->dev_ops->open(dev, &limits) == 0);
    good = dev->dev_ops->dma_alloc(dev, 4096, 4096, &mem) == 0;
    if (good) {
        good = mem.dm_cpu && mem.dm_bus % 4096 == 0 && mem.dm_bytes >= 4096 &&
               mem.dm_bus + 4095 <= limits.dl_addr_max;
        dev->dev_ops->dma_free(dev, &mem);
    }
    dev->dev_ops->close(dev);
    KIT_MUST(good);
}

static const struct kit_test device_tests[] = {
    {"the table", device_table},
    {"opens again", device_opens_again},
    {"maps", device_maps},
    {"what never fits", device_map_that_never_fits},
    {"a failed map is tried later", device_failed_map_is_later},
    {"memory for both sides", device_memory_for_both},
    {NULL, NULL},
};
const struct kit_group kit_group_device = {"device",     "20, 21, 26-30", device_cannot,
                                           device_tests, false,           true};
