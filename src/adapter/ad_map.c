/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_map.c - the memory of a command: pieces, segments, and the copy of a software gather.
 *
 * A request's memory is one piece, a chain of bufs (a span) or the pieces of a uio (a gathered
 * write). Neighbours that touch are one piece already here: a span of pages that lie in a row, the
 * common case, then needs one segment.
 *
 * Every command has room for AD_SEGS_INLINE segments. More take one of the LUN's few long lists;
 * none free means the request waits at the head of its queue. Rejected: room for 258 segments in
 * every command, which is 260 KiB per LUN for something few commands need.
 *
 * A gathered write of memory the process and the core share is mapped where it lies. One of user
 * memory, or of more pieces or segments than fit, is copied to a bounce, which presents itself as a uio of
 * one piece in sc_buf.resvd1 (the contract lets the adapter driver alter it), so that nothing after this file
 * knows that it was copied.
 *
 * Does not contain: what makes a gather acceptable at all (ad_strategy.c checks the rest).
 */
#include "ad_impl.h"

static int ad_gather_fallback(struct ad_adapter *adp, struct sc_buf *sb);

/* Add memory to a list of pieces, merging it with the last if they touch. False: no room. */
static bool ad_piece_add(struct iovec *vec, uint32_t max, uint32_t *n, void *base, size_t bytes)
{
    if (bytes == 0)
        return true;
    if (*n > 0 && (char *)vec[*n - 1].iov_base + vec[*n - 1].iov_len == (char *)base) {
        vec[*n - 1].iov_len += bytes;
        return true;
    }
    if (*n == max)
        return false;
    vec[*n].iov_base = base;
    vec[*n].iov_len = bytes;
    (*n)++;
    return true;
}

/* The pieces of a request; 0 when they are more than max. */
static uint32_t ad_pieces(const struct sc_buf *sb, struct iovec *vec, uint32_t max)
{
    uint32_t n = 0;

    if (sb->bp != NULL) {
        for (const struct buf *bp = sb->bp; bp != NULL; bp = bp->av_forw)
            if (!ad_piece_add(vec, max, &n, bp->b_un.b_addr, bp->b_bcount))
                return 0;
    } else if (sb->resvd1 != NULL) {
        const struct uio *uio = sb->resvd1;

        for (int32_t i = 0; i < uio->uio_iovcnt; i++)
            if (!ad_piece_add(vec, max, &n, uio->uio_iov[i].iov_base, uio->uio_iov[i].iov_len))
                return 0;
    } else {
        vec[0].iov_base = sb->bufstruct.b_un.b_addr;
        vec[0].iov_len = sb->bufstruct.b_bcount;
        n = 1;
    }
    return n;
}

/* More pieces, or more segments, than a command has room for. */
static __attribute__((noinline)) int ad_map_long(struct ad_cmd *cmd)
{
    struct ad_lun *lun = cmd->cmd_lun;
    struct ad_adapter *adp = lun->lun_adp;
    struct ad_long *lists = lun->lun_long;
    unsigned list = 0;
    uint32_t n;
    int mapped = SHIM_MAP_NEVER;

    SHIM_ASSERT(cmd->cmd_long == 0 && cmd->cmd_map.map_nsegs == 0);
    if (adp->adp_segs_max <= AD_SEGS_INLINE)
        return SHIM_MAP_NEVER;
    shim_lock_enter(&lun->lun_lock);
    while (list < AD_LONG_LISTS && !(lun->lun_long_free & (1u << list)))
        list++;
    if (list < AD_LONG_LISTS) {
        lun->lun_long_free &= ~(1u << list);
        cmd->cmd_long = (uint16_t)(list + 1u);
    }
    shim_lock_exit(&lun->lun_lock);
    if (list == AD_LONG_LISTS)
        return AD_MAP_NO_LIST;
    n = ad_pieces(cmd->cmd_sb, lists[list].long_vec, AD_SEGS_LONG);
    cmd->cmd_map.map_segs = lists[list].long_segs;
    cmd->cmd_map.map_segs_max = adp->adp_segs_max;
    if (n != 0)
        mapped = shim_dma_map(adp->adp_dev, lists[list].long_vec, n, cmd->cmd_xfer.xfer_dir, &cmd->cmd_map);
    if (mapped == SHIM_MAP_OK)
        return mapped;
    /* The list itself goes back when the slot is released. */
    cmd->cmd_map.map_nsegs = 0;
    cmd->cmd_map.map_segs = cmd->cmd_segs;
    return mapped;
}

/*
 * Map the memory of a command that has a data phase.
 * Context: any. Locks: none held. Returns enum shim_map_result, or AD_MAP_NO_LIST.
 */
int ad_map(struct ad_cmd *cmd)
{
    struct ad_adapter *adp = cmd->cmd_lun->lun_adp;
    const struct sc_buf *sb = cmd->cmd_sb;
    struct shim_dma_map *map = &cmd->cmd_map;
    struct iovec vec[AD_SEGS_INLINE];
    uint32_t n = 1;
    int mapped;

    SHIM_ASSERT(map->map_nsegs == 0);
    vec[0].iov_base = sb->bufstruct.b_un.b_addr;
    vec[0].iov_len = sb->bufstruct.b_bcount;
    if (SC_UNLIKELY(sb->bp != NULL || sb->resvd1 != NULL))
        n = ad_pieces(sb, vec, AD_SEGS_INLINE);
    if (n != 0) {
        map->map_segs_max = adp->adp_segs_max < AD_SEGS_INLINE ? adp->adp_segs_max : AD_SEGS_INLINE;
        mapped = shim_dma_map(adp->adp_dev, vec, n, cmd->cmd_xfer.xfer_dir, map);
        if (SC_LIKELY(mapped == SHIM_MAP_OK))
            return mapped;
        map->map_nsegs = 0;
        if (mapped == SHIM_MAP_LATER)
            return mapped;
    }
    /* A second attempt after SHIM_MAP_LATER may hold a list already. */
    if (cmd->cmd_long != 0) {
        shim_lock_enter(&cmd->cmd_lun->lun_lock);
        cmd->cmd_lun->lun_long_free |= 1u << (cmd->cmd_long - 1u);
        cmd->cmd_long = 0;
        shim_lock_exit(&cmd->cmd_lun->lun_lock);
    }
    return ad_map_long(cmd);
}

/*
 * ad_map() has said `mapped`. What does not fit and never will, but is a gather, may fit as a copy.
 * Apart from ad_map(), which the good path goes through. Context and value as there; also
 * AD_MAP_NO_COPY.
 */
int ad_map_insist(struct ad_cmd *cmd, int mapped)
{
    int error;

    if (mapped != SHIM_MAP_NEVER)
        return mapped;
    error = ad_gather_fallback(cmd->cmd_lun->lun_adp, cmd->cmd_sb);
    if (error != 0)
        return error == ENOMEM ? AD_MAP_NO_COPY : SHIM_MAP_NEVER;
    return ad_map(cmd);
}

/* Undo ad_map(), if it has mapped anything. Context: any. */
void ad_unmap(struct ad_cmd *cmd)
{
    struct ad_adapter *adp = cmd->cmd_lun->lun_adp;

    if (cmd->cmd_map.map_nsegs == 0)
        return;
    ad_sync(adp, cmd, SHIM_SYNC_AFTER);
    shim_dma_unmap(adp->adp_dev, &cmd->cmd_map);
    cmd->cmd_map.map_nsegs = 0;
    cmd->cmd_map.map_segs = cmd->cmd_segs;
}

/* ---------------------------------------------------------------- gathered writes */

/* A free bounce of the right size, now this request's, or NULL. */
static struct ad_bounce *ad_bounce_take(struct ad_adapter *adp, const struct sc_buf *sb)
{
    struct ad_bounce *bn = NULL;

    SHIM_ASSERT(sb->bufstruct.b_bcount <= adp->adp_transfer_max);
    shim_lock_enter(&adp->adp_lock);
    for (unsigned i = 0; i < AD_BOUNCES && adp->adp_bounce_mem != NULL && bn == NULL; i++)
        if (!adp->adp_bounces[i].bn_busy) {
            bn = &adp->adp_bounces[i];
            bn->bn_busy = true;
            bn->bn_iov.iov_base = (char *)adp->adp_bounce_mem + i * (size_t)adp->adp_transfer_max;
        }
    shim_lock_exit(&adp->adp_lock);
    if (bn == NULL)
        return NULL;
    bn->bn_iov.iov_len = sb->bufstruct.b_bcount;
    memset(&bn->bn_uio, 0, sizeof(bn->bn_uio));
    bn->bn_uio.uio_iov = &bn->bn_iov;
    bn->bn_uio.uio_iovcnt = 1;
    bn->bn_uio.uio_resid = sb->bufstruct.b_bcount;
    bn->bn_uio.uio_segflg = UIO_SYSSPACE;
    return bn;
}

/* Copy a gathered write to a bounce. 0, ENOMEM, EFAULT. (AIX-16) */
static int ad_gather_copy(struct ad_adapter *adp, struct sc_buf *sb)
{
    struct ad_bounce *bn = ad_bounce_take(adp, sb);
    int error;

    if (bn == NULL)
        return ENOMEM;
    error = uiomove(bn->bn_iov.iov_base, sb->bufstruct.b_bcount, UIO_WRITE, sb->resvd1);
    sb->resvd1 = &bn->bn_uio;
    if (error != 0)
        ad_gather_release(adp, sb);
    return error;
}

/*
 * The same when the mapper has found that it takes more segments than there are. The memory is
 * shared, or it would be a copy already; so this may happen at any level, and the uio is left as it
 * is. 0; EINVAL no gather, or a copy already; ENOMEM.
 */
static int ad_gather_fallback(struct ad_adapter *adp, struct sc_buf *sb)
{
    const struct uio *uio = sb->resvd1;
    struct ad_bounce *bn;
    size_t at = 0;

    if (uio == NULL || sb->bp != NULL)
        return EINVAL;
    for (unsigned i = 0; i < AD_BOUNCES; i++)
        if (uio == &adp->adp_bounces[i].bn_uio)
            return EINVAL;
    bn = ad_bounce_take(adp, sb);
    if (bn == NULL)
        return ENOMEM;
    for (int32_t i = 0; i < uio->uio_iovcnt; i++) {
        memcpy((char *)bn->bn_iov.iov_base + at, uio->uio_iov[i].iov_base, uio->uio_iov[i].iov_len);
        at += uio->uio_iov[i].iov_len;
    }
    SHIM_ASSERT(at == sb->bufstruct.b_bcount);
    sb->resvd1 = &bn->bn_uio;
    return 0;
}

/*
 * Check a gathered write and copy it if it must be. Conditions of AIX-13 and AIX-14; bp was checked
 * before. Context: process (that is one of the conditions: completion context gets EINVAL, which
 * is also why a retry from iodone is refused, AIX-17). Locks: none. Returns 0, EINVAL, ENOMEM, EFAULT.
 */
int ad_gather_prepare(struct ad_adapter *adp, struct sc_buf *sb)
{
    const struct uio *uio = sb->resvd1;
    uint64_t bytes = 0;
    uint32_t pieces = 0;

    SHIM_ASSERT(uio != NULL && sb->bp == NULL);
    if (!adp->adp_gather || shim_self()->self_ctx != SHIM_CTX_PROCESS || (sb->bufstruct.b_flags & B_READ) ||
        (sb->flags & SC_Q_CLR))
        return EINVAL;
    if (uio->uio_iovcnt < 0 || (uio->uio_iovcnt > 0 && uio->uio_iov == NULL))
        return EINVAL;
    for (int32_t i = 0; i < uio->uio_iovcnt; i++) {
        if (uio->uio_iov[i].iov_len > adp->adp_transfer_max - bytes)
            return EINVAL;
        if (uio->uio_iov[i].iov_len != 0 && uio->uio_iov[i].iov_base == NULL)
            return EFAULT;
        bytes += uio->uio_iov[i].iov_len;
        pieces += uio->uio_iov[i].iov_len != 0;
    }
    if (bytes != sb->bufstruct.b_bcount || bytes != uio->uio_resid)
        return EINVAL;
    if (uio->uio_segflg == UIO_SYSSPACE && pieces <= AD_SEGS_LONG && pieces <= adp->adp_segs_max)
        return 0;
    return ad_gather_copy(adp, sb);
}

/* The copy of this request, if it is one of ours, is free again. Context: any; no lock held. */
void ad_gather_release(struct ad_adapter *adp, struct sc_buf *sb)
{
    for (unsigned i = 0; i < AD_BOUNCES; i++) {
        struct ad_bounce *bn = &adp->adp_bounces[i];

        if (sb->resvd1 != &bn->bn_uio)
            continue;
        sb->resvd1 = NULL;
        shim_lock_enter(&adp->adp_lock);
        SHIM_ASSERT(bn->bn_busy);
        bn->bn_busy = false;
        shim_lock_exit(&adp->adp_lock);
        return;
    }
}

/*
 * Take the copy memory, once, when somebody asks for gathered writes (SCIOGTHW). Without it only
 * shared memory can be gathered and a copy reports ENOMEM; a later SCIOGTHW tries again.
 */
void ad_bounce_prime(struct ad_adapter *adp)
{
    size_t bytes = (size_t)adp->adp_transfer_max * AD_BOUNCES;
    void *mem;
    bool mine;

    SHIM_ASSERT(adp->adp_gather);
    shim_lock_enter(&adp->adp_lock);
    mine = adp->adp_bounce_mem == NULL;
    shim_lock_exit(&adp->adp_lock);
    if (!mine)
        return;
    mem = shim_alloc(bytes, SC_PAGE_SIZE, SHIM_TAG_AD);
    if (mem == NULL)
        return;
    shim_lock_enter(&adp->adp_lock);
    mine = adp->adp_bounce_mem == NULL;
    if (mine)
        adp->adp_bounce_mem = mem;
    shim_lock_exit(&adp->adp_lock);
    if (!mine)
        shim_free(mem, bytes, SC_PAGE_SIZE, SHIM_TAG_AD);
}

/* Detach: no gather is under way. */
void ad_bounce_free(struct ad_adapter *adp)
{
    if (adp->adp_bounce_mem != NULL)
        shim_free(adp->adp_bounce_mem, (size_t)adp->adp_transfer_max * AD_BOUNCES, SC_PAGE_SIZE, SHIM_TAG_AD);
    adp->adp_bounce_mem = NULL;
}
