/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_mem.c - memory, live totals, DMA maps, and the "fail the k-th call" hook.
 *
 * Memory. Each block carries a trailer of 16 bytes behind the caller's last byte: a magic mixed
 * with its address, its size and its tag. A free with the wrong size or tag, a second free and
 * a write past the end all meet a trailer that does not match, and panic. This is on in every mode,
 * because memory is taken at attach time only and the check then costs nothing that counts.
 * Rejected: a header in front (a page-aligned block would cost a page more) and a table on the
 * side (needs a lock in a function that must work before any lock exists).
 *
 * Failures. Each kind has one bit in shim_hooks. While it is 0 a call costs one relaxed load; when
 * set, calls are counted and the k-th fails, once or for good. The sweep "k = 1, 2, 3 ..." visits
 * every failure a path can meet.
 *
 * Does not contain: attach-time policy (who allocates how much), pools.
 */
#include "shim_impl.h"

#define SHIM_TRAILER_BYTES       16u
#define SHIM_TRAILER_MAGIC       0x5ca1ab1eu
#define SHIM_TRAILER_TAG_MASK    0xffu
#define SHIM_TRAILER_OWNER_SHIFT 8u
#define SHIM_ALIGN_DEFAULT       16u
#define SHIM_POISON              0xa5
/* Poisoning more than this of one block would only touch memory nobody has used yet. */
#define SHIM_POISON_BYTES_MAX    ((size_t)1 << 20)

struct shim_trailer {
    uint32_t tr_magic; /* SHIM_TRAILER_MAGIC mixed with the block's address */
    uint32_t tr_tag;   /* the tag, and from bit 8 the owner */
    uint64_t tr_bytes; /* as asked for */
};
_Static_assert(sizeof(struct shim_trailer) == SHIM_TRAILER_BYTES, "the trailer has no padding");

/* Native width: a 32-bit port has no 64-bit atomics without a library. */
static _Atomic size_t shim_acc_blocks[SHIM_TAG_COUNT];
static _Atomic size_t shim_acc_bytes[SHIM_TAG_COUNT];
static _Atomic size_t shim_acc_owners[SHIM_OWNERS]; /* blocks */
static _Atomic size_t shim_acc_maps;
static _Atomic size_t shim_acc_locks;

static struct shim_failure {
    _Atomic size_t fl_calls;
    _Atomic size_t fl_failed;
    size_t fl_k;
    bool fl_for_good;
} shim_failures[SHIM_FAIL_COUNT];

/* ---------------------------------------------------------------- failures */

/*
 * Set or clear a failure. Context: any, but not while other threads make calls of that kind: the
 * count starts again and they would see it half done.
 */
void shim_fail_set(enum shim_fail what, uint64_t k, bool for_good)
{
    struct shim_failure *f = &shim_failures[what];
    uint32_t bit = 1u << (unsigned)what;

    SHIM_ASSERT((unsigned)what < SHIM_FAIL_COUNT);
    atomic_fetch_and_explicit(&shim_hooks, ~bit, memory_order_relaxed);
    if (k == 0)
        return; /* the counts stay to be read */
    atomic_store_explicit(&f->fl_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&f->fl_failed, 0, memory_order_relaxed);
    f->fl_k = k > SIZE_MAX ? SIZE_MAX : (size_t)k;
    f->fl_for_good = for_good;
    atomic_fetch_or_explicit(&shim_hooks, bit, memory_order_release);
}

bool shim_fail_count(enum shim_fail what)
{
    struct shim_failure *f = &shim_failures[what];
    size_t n = atomic_fetch_add_explicit(&f->fl_calls, 1, memory_order_relaxed) + 1;

    if (f->fl_k == SIZE_MAX || (f->fl_for_good ? n < f->fl_k : n != f->fl_k))
        return false;
    atomic_fetch_add_explicit(&f->fl_failed, 1, memory_order_relaxed);
    return true;
}

uint64_t shim_fail_calls(enum shim_fail what)
{
    return atomic_load_explicit(&shim_failures[what].fl_calls, memory_order_relaxed);
}

uint64_t shim_fail_failed(enum shim_fail what)
{
    return atomic_load_explicit(&shim_failures[what].fl_failed, memory_order_relaxed);
}

void shim_fail_reset(void)
{
    for (unsigned i = 0; i < SHIM_FAIL_COUNT; i++)
        shim_fail_set((enum shim_fail)i, 0, false);
}

/* ---------------------------------------------------------------- totals */

static const char *shim_tag_name(unsigned tag)
{
    static const char *const names[SHIM_TAG_COUNT] = {"kern", "dd", "ad", "hw", "scp", "test"};

    return names[tag];
}

void shim_account_lock(bool more)
{
    if (more)
        atomic_fetch_add_explicit(&shim_acc_locks, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&shim_acc_locks, 1, memory_order_relaxed);
}

void shim_account_get(struct shim_account *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < SHIM_TAG_COUNT; i++) {
        out->acc_blocks[i] = atomic_load_explicit(&shim_acc_blocks[i], memory_order_relaxed);
        out->acc_bytes[i] = atomic_load_explicit(&shim_acc_bytes[i], memory_order_relaxed);
    }
    out->acc_maps = atomic_load_explicit(&shim_acc_maps, memory_order_relaxed);
    out->acc_locks = atomic_load_explicit(&shim_acc_locks, memory_order_relaxed);
}

size_t shim_account_close(void)
{
    size_t total = 0;

    for (unsigned i = 0; i < SHIM_TAG_COUNT; i++) {
        size_t blocks = atomic_exchange_explicit(&shim_acc_blocks[i], 0, memory_order_relaxed);
        size_t bytes = atomic_exchange_explicit(&shim_acc_bytes[i], 0, memory_order_relaxed);

        if (blocks)
            shim_log(SHIM_LOG_ERROR, "leak: %s: %llu blocks, %llu bytes", shim_tag_name(i),
                     (unsigned long long)blocks, (unsigned long long)bytes);
        total += blocks;
    }
    for (unsigned i = 0; i < SHIM_OWNERS; i++)
        atomic_store_explicit(&shim_acc_owners[i], 0, memory_order_relaxed);
    atomic_store_explicit(&shim_acc_maps, 0, memory_order_relaxed);
    atomic_store_explicit(&shim_acc_locks, 0, memory_order_relaxed);
    return total;
}

uint32_t shim_owner_enter(uint32_t owner)
{
    struct shim_self *self = shim_self();
    uint32_t before = self->self_owner;

    SHIM_ASSERT(owner < SHIM_OWNERS);
    self->self_owner = owner;
    return before;
}

void shim_owner_leave(uint32_t before) { shim_self()->self_owner = before; }

uint32_t shim_owner(void) { return shim_self()->self_owner; }

size_t shim_owner_blocks(uint32_t owner)
{
    SHIM_ASSERT(owner < SHIM_OWNERS);
    return atomic_load_explicit(&shim_acc_owners[owner], memory_order_relaxed);
}

/* ---------------------------------------------------------------- memory */

static uint32_t shim_trailer_magic(const void *p)
{
    return SHIM_TRAILER_MAGIC ^ (uint32_t)((uintptr_t)p >> 4);
}

/* Zeroed memory, or NULL. Context: any; never sleeps. Owns: the caller, until shim_free. */
void *shim_alloc(size_t size, size_t align, enum shim_tag tag)
{
    struct shim_trailer trailer = {.tr_tag = (uint32_t)tag, .tr_bytes = size};
    char *p;

    SHIM_ASSERT((unsigned)tag < SHIM_TAG_COUNT);
    if (align == 0)
        align = SHIM_ALIGN_DEFAULT;
    SHIM_ASSERT((align & (align - 1)) == 0 && align <= SC_PAGE_SIZE);
    if (shim_fail_now(SHIM_FAIL_ALLOC) || size > SIZE_MAX - SHIM_TRAILER_BYTES)
        return NULL;
    p = shim_host->alloc(size + SHIM_TRAILER_BYTES, align);
    if (!p)
        return NULL;
    SHIM_ASSERT(((uintptr_t)p & (align - 1)) == 0);
    trailer.tr_magic = shim_trailer_magic(p);
    trailer.tr_tag |= shim_owner() << SHIM_TRAILER_OWNER_SHIFT;
    atomic_fetch_add_explicit(&shim_acc_owners[shim_owner()], 1, memory_order_relaxed);
    memcpy(p + size, &trailer, sizeof(trailer));
    atomic_fetch_add_explicit(&shim_acc_blocks[tag], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&shim_acc_bytes[tag], size, memory_order_relaxed);
    return p;
}

/* Give memory back, with the size, alignment and tag it was asked for with. NULL is fine. */
void shim_free(void *p, size_t size, size_t align, enum shim_tag tag)
{
    struct shim_trailer trailer;

    if (!p)
        return;
    SHIM_ASSERT((unsigned)tag < SHIM_TAG_COUNT);
    memcpy(&trailer, (char *)p + size, sizeof(trailer));
    if (trailer.tr_magic != shim_trailer_magic(p) || trailer.tr_bytes != size ||
        (trailer.tr_tag & SHIM_TRAILER_TAG_MASK) != (uint32_t)tag)
        shim_panic("free: %llu bytes of tag %s: not what was allocated, or overwritten",
                   (unsigned long long)size, shim_tag_name((unsigned)tag));
    atomic_fetch_sub_explicit(&shim_acc_owners[trailer.tr_tag >> SHIM_TRAILER_OWNER_SHIFT], 1,
                              memory_order_relaxed);
    memset((char *)p + size, 0, sizeof(trailer)); /* a second free finds no trailer */
    if (shim_checks_on())
        memset(p, SHIM_POISON, size < SHIM_POISON_BYTES_MAX ? size : SHIM_POISON_BYTES_MAX);
    atomic_fetch_sub_explicit(&shim_acc_blocks[tag], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shim_acc_bytes[tag], size, memory_order_relaxed);
    shim_host->free(p, size + SHIM_TRAILER_BYTES, align ? align : SHIM_ALIGN_DEFAULT);
}

/* ---------------------------------------------------------------- DMA */

#define SHIM_HOOK_MAPS (SHIM_HOOK_CHECKS | (1u << SHIM_FAIL_MAP))

/* See shim.h. A device half may lack registers, interrupts and sync, but not mapping. */
int shim_dev_check(const struct shim_dev *dev)
{
    const struct shim_dev_ops *ops = dev ? dev->dev_ops : NULL;

    if (!ops) {
        shim_log(SHIM_LOG_ERROR, "shim: the device has no dev_ops table");
        return EINVAL;
    }
    if (ops->version != SHIM_DEV_VERSION || ops->size < SHIM_TABLE_BYTES(shim_dev_ops, dma_unmap)) {
        shim_log(SHIM_LOG_ERROR,
                 "shim: dev_ops has version %u and size %u; this core takes version %u and size %u or more",
                 ops->version, ops->size, SHIM_DEV_VERSION,
                 (unsigned)SHIM_TABLE_BYTES(shim_dev_ops, dma_unmap));
        return EINVAL;
    }
    if (!ops->dma_map || !ops->dma_unmap) {
        shim_log(SHIM_LOG_ERROR, "shim: dev_ops of %s: dma_map and dma_unmap must be set",
                 ops->name ? ops->name : "a device without a name");
        return EINVAL;
    }
    return 0;
}

/*
 * Map memory for the device. Context: any. Owns: the caller, until shim_dma_unmap. Maps are
 * counted while checks or a MAP failure are on; the map itself remembers that it was counted, so
 * switching in between does not upset the total.
 */
int shim_dma_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir, struct shim_dma_map *map)
{
    uint32_t hooks = atomic_load_explicit(&shim_hooks, memory_order_relaxed);
    int rc;

    if (SC_UNLIKELY(hooks & (1u << SHIM_FAIL_MAP)) && shim_fail_count(SHIM_FAIL_MAP))
        return SHIM_MAP_LATER;
    rc = dev->dev_ops->dma_map(dev, vec, n, dir, map);
    map->map_host[0] = 0;
    if (SC_UNLIKELY(hooks & SHIM_HOOK_MAPS) && rc == SHIM_MAP_OK) {
        SHIM_ASSERT(map->map_nsegs <= map->map_segs_max);
        map->map_host[0] = 1;
        atomic_fetch_add_explicit(&shim_acc_maps, 1, memory_order_relaxed);
    }
    return rc;
}

/* Undo it. Context: any. XEN-01: before the completion can be seen. */
void shim_dma_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    if (SC_UNLIKELY(map->map_host[0] != 0)) {
        map->map_host[0] = 0;
        atomic_fetch_sub_explicit(&shim_acc_maps, 1, memory_order_relaxed);
    }
    dev->dev_ops->dma_unmap(dev, map);
}
