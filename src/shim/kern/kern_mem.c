/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_mem.c - xmalloc, and copies between kernel and user for ioctl routines.
 *
 * xmfree gets no size, so each block is preceded by a header that remembers how it was allocated.
 * The header takes one unit of alignment (at least 32 bytes): allocate pages in one piece.
 *
 * Does not contain: uiomove (kern_uio.c).
 */
#include "kern_impl.h"

#define KERN_HEAP_MAGIC     0x4ea9u
#define KERN_ALIGN_LOG2_MAX 12

struct kern_heap_head {
    uint32_t hh_magic;
    uint32_t hh_offset; /* from the block to the caller's first byte; also the alignment */
    size_t hh_total;
};
#define KERN_HEAP_OFFSET_MIN 32u
_Static_assert(sizeof(struct kern_heap_head) <= KERN_HEAP_OFFSET_MIN, "the header fits before the data");

/* Context: process, at configuration; never sleeps. NULL without memory or for a wild alignment. */
void *xmalloc(size_t size, int align_log2, int heap)
{
    struct kern_heap_head *head;
    uint32_t offset;
    char *block;

    if (align_log2 < 0 || align_log2 > KERN_ALIGN_LOG2_MAX || heap != PINNED_HEAP)
        return NULL;
    offset = 1u << align_log2;
    if (offset < KERN_HEAP_OFFSET_MIN)
        offset = KERN_HEAP_OFFSET_MIN;
    if (size > SIZE_MAX - offset)
        return NULL;
    block = shim_alloc(size + offset, offset, SHIM_TAG_DD);
    if (!block)
        return NULL;
    head = (struct kern_heap_head *)(void *)(block + offset - sizeof(*head));
    head->hh_magic = KERN_HEAP_MAGIC;
    head->hh_offset = offset;
    head->hh_total = size + offset;
    return block + offset;
}

/* Context: process. 0, or EINVAL for something that xmalloc has not made. */
int xmfree(void *p, int heap)
{
    struct kern_heap_head *head;
    uint32_t offset;

    if (!p || heap != PINNED_HEAP)
        return EINVAL;
    head = (struct kern_heap_head *)(void *)((char *)p - sizeof(*head));
    if (head->hh_magic != KERN_HEAP_MAGIC)
        return EINVAL;
    offset = head->hh_offset;
    SHIM_ASSERT(offset >= KERN_HEAP_OFFSET_MIN && (offset & (offset - 1u)) == 0 && head->hh_total >= offset);
    head->hh_magic = 0;
    shim_free((char *)p - offset, head->hh_total, offset, SHIM_TAG_DD);
    return 0;
}

/* User to kernel. Context: process. With DKERNEL both are kernel addresses, and only NULL is refused. */
int kcopyin(intptr_t uaddr, void *kaddr, size_t n, unsigned long devflag)
{
    if (!(devflag & DKERNEL))
        return shim_copy_user((void *)uaddr, kaddr, n, false);
    if (!uaddr)
        return EFAULT;
    if (n > 0) /* nothing may come from, or go to, nowhere */
        memcpy(kaddr, (const void *)uaddr, n);
    return 0;
}

/* Kernel to user. */
int kcopyout(const void *kaddr, intptr_t uaddr, size_t n, unsigned long devflag)
{
    if (!(devflag & DKERNEL))
        return shim_copy_user((void *)uaddr, (void *)(uintptr_t)kaddr, n, true);
    if (!uaddr)
        return EFAULT;
    if (n > 0)
        memcpy((void *)uaddr, kaddr, n);
    return 0;
}
