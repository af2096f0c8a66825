/* SPDX-License-Identifier: BSD-2-Clause */
/* port.c - a whole port: polled, one thread, no C library. Ten host and nine device functions. */
#include "port.h"
#include "machine.h"

/* Host 1, 2: first fit over one area; from where to where what is live reaches, by address. */
static size_t live[256][2];
static unsigned nlive;

static void *port_alloc(size_t size, size_t align)
{
    size_t at = 0;
    unsigned i;

    for (i = 0; i < nlive && (live[i][0] < at || live[i][0] - at < size); i++)
        at = (live[i][1] + align - 1) & ~(align - 1);
    if (nlive == 256 || at > MACHINE_MEMORY_BYTES || size > MACHINE_MEMORY_BYTES - at)
        return NULL;
    memmove(&live[i + 1], &live[i], (nlive++ - i) * sizeof(live[0]));
    live[i][0] = at;
    live[i][1] = at + size;
    return memset(machine_memory + at, 0, size);
}
static void port_free(void *p, size_t size, size_t align)
{
    unsigned i = 0;

    while (machine_memory + live[i][0] != (uint8_t *)p)
        i++;
    memmove(&live[i], &live[i + 1], (--nlive - i) * sizeof(live[0]));
}
/* Host 3-6: with one thread the wrappers' own word is the lock; to find it taken is a bug. */
static int port_lock_init(struct shim_lock *l) { return 0; }
static void port_lock_done(struct shim_lock *l) {}
static void port_lock_enter(struct shim_lock *l) { shim_panic("%s: entered twice", l->sl_name); }
/* Host 12, 16-18. */
static int port_copy_user(void *user, void *kernel, size_t n, bool to_user)
{
    return memcpy(to_user ? user : kernel, to_user ? kernel : user, n) ? 0 : EFAULT;
}
static void port_log(int level, const char *text)
{
    if (level <= SHIM_LOG_WARN)
        machine_print(text);
}
/* clang-format off */
const struct shim_host port_host = {
    .version = SHIM_HOST_VERSION, .size = sizeof(struct shim_host), .name = "minimal", .alloc = port_alloc,
    .free = port_free, .lock_init = port_lock_init, .lock_fini = port_lock_done,
    .lock_enter = port_lock_enter, .lock_exit = port_lock_done, .now_ns = machine_clock_ns,
    .copy_user = port_copy_user, .log = port_log, .panic = machine_panic,
};
/* clang-format on */

/* Device 20-23: registers are memory, bus addresses the processor's. */
static int port_open(struct shim_dev *dev, struct shim_dma_limits *l)
{
    *l = (struct shim_dma_limits){
        .dl_segs_max = 258, .dl_seg_bytes_max = 1u << 20, .dl_addr_max = UINT64_MAX, .dl_align = 1};
    return 0;
}
static void port_close(struct shim_dev *dev) {}
static uint32_t port_read(struct shim_dev *dev, unsigned space, uint32_t off, unsigned width)
{
    volatile uint8_t *at = machine_spaces[space] + off;

    return width == 1 ? *at : width == 2 ? *(volatile uint16_t *)at : *(volatile uint32_t *)at;
}
static void port_write(struct shim_dev *dev, unsigned space, uint32_t off, unsigned width, uint32_t v)
{
    volatile uint8_t *at = machine_spaces[space] + off;

    width == 1   ? (void)(*at = (uint8_t)v)
    : width == 2 ? (void)(*(volatile uint16_t *)at = (uint16_t)v)
                 : (void)(*(volatile uint32_t *)at = v);
}
/* Device 26-30: one segment for each stretch of memory. */
static int port_dma_alloc(struct shim_dev *dev, size_t bytes, size_t align, struct shim_dma_mem *m)
{
    m->dm_cpu = port_alloc(bytes, align);
    m->dm_bus = (uintptr_t)m->dm_cpu;
    m->dm_bytes = bytes;
    return m->dm_cpu ? 0 : ENOMEM;
}
static void port_dma_free(struct shim_dev *dev, struct shim_dma_mem *m) { port_free(m->dm_cpu, 0, 0); }
static int port_dma_map(struct shim_dev *dev, const struct iovec *v, uint32_t n, int dir,
                        struct shim_dma_map *m)
{
    struct shim_seg *last = NULL;

    m->map_nsegs = 0;
    m->map_bytes = 0;
    for (uint32_t i = 0; i < n; m->map_bytes += v[i++].iov_len) {
        if (!last || last->seg_addr + last->seg_bytes != (uintptr_t)v[i].iov_base) {
            if (m->map_nsegs == m->map_segs_max)
                return SHIM_MAP_NEVER;
            last = &m->map_segs[m->map_nsegs++];
            *last = (struct shim_seg){(uintptr_t)v[i].iov_base, 0};
        }
        last->seg_bytes += v[i].iov_len;
    }
    return SHIM_MAP_OK;
}
static void port_dma_unmap(struct shim_dev *dev, struct shim_dma_map *m) { m->map_nsegs = 0; }
static void port_dma_sync(struct shim_dev *dev, struct shim_dma_map *m, int when, int dir) {}
/* clang-format off */
const struct shim_dev_ops port_dev_ops = {
    .version = SHIM_DEV_VERSION, .size = sizeof(struct shim_dev_ops), .name = "minimal", .open = port_open,
    .close = port_close, .read = port_read, .write = port_write, .dma_alloc = port_dma_alloc,
    .dma_free = port_dma_free, .dma_map = port_dma_map, .dma_unmap = port_dma_unmap,
    .dma_sync = port_dma_sync,
};
/* clang-format on */
