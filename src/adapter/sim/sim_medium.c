/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_medium.c - the media that need no host: memory, and nothing in two kinds.
 *
 * "ram" is one zeroed block from the shim; a host that hands out memory lazily makes a large
 * and mostly empty disk cheap. "null" stores nothing and reads as zeroes. "void" does not even touch
 * the reader's memory: for measuring everything around the medium, in a program that gives nobody else
 * what it has read, for that is whatever the memory held before.
 *
 * Does not contain: the file medium (posix/).
 */
#include "sim_impl.h"

struct sim_ram {
    uint64_t ram_bytes;
    uint8_t *ram_data;
};

/* Prefetched ahead of a copy: as much as one page, the usual request. */
#define SIM_RAM_FETCH_BYTES 4096u
#define SIM_RAM_LINE_BYTES  64u

/*
 * Ask for the lines of a block that is in no cache, as any block of a large disk, all at once. The
 * copy's own misses come a few at a time, and the code between two requests keeps the CPU from
 * running ahead into the next copy; this gives a random read of 4 KiB a fifth of its time back.
 */
static inline void sim_ram_fetch(const uint8_t *from, size_t bytes)
{
    if (bytes > SIM_RAM_FETCH_BYTES)
        bytes = SIM_RAM_FETCH_BYTES;
    for (size_t off = 0; off < bytes; off += SIM_RAM_LINE_BYTES)
        __builtin_prefetch(from + off, 0, 2);
}

static int sim_ram_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    const struct sim_ram *ram = m;
    const uint8_t *from = ram->ram_data + off;

    SHIM_ASSERT(off <= ram->ram_bytes && bytes <= ram->ram_bytes - off);
    for (uint32_t i = 0; i < n; i++) {
        sim_ram_fetch(from, vec[i].iov_len);
        memcpy(vec[i].iov_base, from, vec[i].iov_len);
        from += vec[i].iov_len;
    }
    return 0;
}

static int sim_ram_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes, bool fua)
{
    struct sim_ram *ram = m;
    uint8_t *to = ram->ram_data + off;

    (void)fua;
    SHIM_ASSERT(off <= ram->ram_bytes && bytes <= ram->ram_bytes - off);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(to, vec[i].iov_base, vec[i].iov_len);
        to += vec[i].iov_len;
    }
    return 0;
}

static int sim_ram_zero(void *m, uint64_t off, uint64_t bytes)
{
    struct sim_ram *ram = m;

    SHIM_ASSERT(off <= ram->ram_bytes && bytes <= ram->ram_bytes - off);
    memset(ram->ram_data + off, 0, (size_t)bytes);
    return 0;
}

static const void *sim_ram_memory(void *m) { return ((const struct sim_ram *)m)->ram_data; }

static void sim_ram_close(void *m)
{
    struct sim_ram *ram = m;

    shim_free(ram->ram_data, (size_t)ram->ram_bytes, SC_PAGE_SIZE, SHIM_TAG_HW);
    shim_free(ram, sizeof(*ram), 0, SHIM_TAG_HW);
}

static const struct sim_medium_ops sim_ram_ops = {
    .version = 1,
    .size = sizeof(struct sim_medium_ops),
    .name = "ram",
    .read = sim_ram_read,
    .write = sim_ram_write,
    .unmap = sim_ram_zero,
    .zero = sim_ram_zero,
    .close = sim_ram_close,
    .memory = sim_ram_memory,
};

int sim_medium_ram(uint64_t bytes, const struct sim_medium_ops **ops, void **medium)
{
    struct sim_ram *ram;

    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return bytes == 0 ? EINVAL : ENOMEM;
    ram = shim_alloc(sizeof(*ram), 0, SHIM_TAG_HW);
    if (!ram)
        return ENOMEM;
    ram->ram_bytes = bytes;
    ram->ram_data = shim_alloc((size_t)bytes, SC_PAGE_SIZE, SHIM_TAG_HW);
    if (!ram->ram_data) {
        shim_free(ram, sizeof(*ram), 0, SHIM_TAG_HW);
        return ENOMEM;
    }
    *ops = &sim_ram_ops;
    *medium = ram;
    return 0;
}

static int sim_null_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)m, (void)off, (void)bytes;
    for (uint32_t i = 0; i < n; i++)
        memset(vec[i].iov_base, 0, vec[i].iov_len);
    return 0;
}

static int sim_void_read(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes)
{
    (void)m, (void)off, (void)vec, (void)n, (void)bytes;
    return 0;
}

static int sim_null_write(void *m, uint64_t off, const struct iovec *vec, uint32_t n, uint64_t bytes,
                          bool fua)
{
    (void)m, (void)off, (void)vec, (void)n, (void)bytes, (void)fua;
    return 0;
}

static int sim_null_zero(void *m, uint64_t off, uint64_t bytes)
{
    (void)m, (void)off, (void)bytes;
    return 0;
}

static const struct sim_medium_ops sim_null_ops = {
    .version = 1,
    .size = sizeof(struct sim_medium_ops),
    .name = "null",
    .read = sim_null_read,
    .write = sim_null_write,
    .unmap = sim_null_zero,
    .zero = sim_null_zero,
};

int sim_medium_null(const struct sim_medium_ops **ops, void **medium)
{
    *ops = &sim_null_ops;
    *medium = NULL;
    return 0;
}

static const struct sim_medium_ops sim_void_ops = {
    .version = 1,
    .size = sizeof(struct sim_medium_ops),
    .name = "void",
    .read = sim_void_read,
    .write = sim_null_write,
    .unmap = sim_null_zero,
    .zero = sim_null_zero,
};

int sim_medium_void(const struct sim_medium_ops **ops, void **medium)
{
    *ops = &sim_void_ops;
    *medium = NULL;
    return 0;
}
