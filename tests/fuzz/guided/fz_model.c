/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fz_model.c - requests to the disks, and what each sector may hold by now: see fz.h.
 *
 * A read that ended well must show, in each sector that it says it moved, one of the writes that may have
 * been there at some moment while it was under way, and the sector's own number.
 */
#define _GNU_SOURCE
#include "fz.h"

#include <string.h>

unsigned fz_out, fz_failed;
bool fz_short;

static struct {
    uint64_t may[FZ_DISKS][FZ_SECTORS]; /* a bit for each write */
    struct fz_req reqs[FZ_REQS];
    unsigned number;                        /* of the last write */
    unsigned zero_disk, zero_first, zero_n; /* what an ioctl under way makes zeroes of */
} model;

void fz_model_reset(void)
{
    for (unsigned i = 0; i < FZ_REQS; i++)
        FZ_CHECK(model.reqs[i].r_data == NULL, "a request of the last input is still there");
    memset(&model, 0, sizeof(model));
    for (unsigned d = 0; d < FZ_DISKS; d++)
        for (unsigned s = 0; s < FZ_SECTORS; s++)
            model.may[d][s] = 1;
    fz_out = fz_failed = 0;
    fz_short = false;
}

/* Something may have come to a sector: reads and writes under way have to know. */
static void model_may(unsigned disk, unsigned sector, uint64_t may)
{
    model.may[disk][sector] |= may;
    for (unsigned i = 0; i < FZ_REQS; i++) {
        struct fz_req *r = &model.reqs[i];

        if (r->r_out && r->r_disk == disk && sector >= r->r_first && sector - r->r_first < r->r_n)
            r->r_seen[sector - r->r_first] |= may;
    }
}

void fz_model_spoil(unsigned disk, uint64_t first, uint64_t n, uint64_t may)
{
    for (uint64_t s = first; s < FZ_SECTORS && s - first < n; s++)
        model_may(disk, (unsigned)s, may);
}

/* An ioctl is about to make zeroes, or to give up blocks: now, later or never, until it returns. */
void fz_model_zero_begin(unsigned disk, unsigned first, unsigned n)
{
    model.zero_disk = disk;
    model.zero_first = first;
    model.zero_n = n;
    fz_model_spoil(disk, first, n, 1);
}

void fz_model_zero_end(void) { model.zero_n = 0; }

static uint64_t model_zero(unsigned disk, unsigned sector)
{
    return disk == model.zero_disk && sector >= model.zero_first && sector - model.zero_first < model.zero_n;
}

/* ---------------------------------------------------------------- contents */

static uint64_t model_word(unsigned number, unsigned sector)
{
    return number ? (uint64_t)number << 32 | (sector + 1u) : 0;
}

static void model_fill(uint8_t *data, unsigned number, unsigned sector)
{
    uint64_t word = model_word(number, sector);

    memcpy(data, &word, 8);
    for (unsigned have = 8; have < DEV_BSIZE; have *= 2)
        memcpy(data + have, data, have);
}

static void model_judge(const struct fz_req *r, unsigned i)
{
    const uint8_t *data = r->r_data + r->r_edge + (size_t)i * DEV_BSIZE;
    unsigned sector = r->r_first + i, number;
    uint64_t word;

    if (r->r_seen[i] & FZ_ANYTHING)
        return;
    memcpy(&word, data, 8);
    number = (unsigned)(word >> 32);
    FZ_CHECK(memcmp(data, data + 8, DEV_BSIZE - 8) == 0,
             "sector %u is torn: %016llx at 0, then something else", sector, (unsigned long long)word);
    FZ_CHECK(number <= FZ_WRITES && word == model_word(number, sector),
             "sector %u holds %016llx, which was never written there", sector, (unsigned long long)word);
    FZ_CHECK(r->r_seen[i] >> number & 1, "sector %u holds write %u; it may hold %#llx", sector, number,
             (unsigned long long)r->r_seen[i]);
}

/* ---------------------------------------------------------------- requests */

struct fz_req *fz_req_make(unsigned disk, bool write, unsigned first, size_t bytes, size_t edge)
{
    struct fz_req *r = model.reqs;

    while (r < model.reqs + FZ_REQS && r->r_data)
        r++;
    if (r == model.reqs + FZ_REQS || (write && model.number == FZ_WRITES))
        return NULL;
    memset(r, 0, sizeof(*r));
    r->r_disk = disk;
    r->r_write = write;
    r->r_first = first;
    r->r_n = (unsigned)((bytes + DEV_BSIZE - 1) / DEV_BSIZE);
    r->r_edge = edge;
    r->r_number = write ? ++model.number : 0;
    r->r_seen = calloc(r->r_n ? r->r_n : 1, sizeof(uint64_t));
    /* The end of the memory is the end of the buffer. */
    if (posix_memalign((void **)&r->r_data, SC_PAGE_SIZE, edge + (size_t)r->r_n * DEV_BSIZE + !r->r_n) != 0 ||
        !r->r_seen)
        abort();
    for (unsigned i = 0; i < r->r_n; i++)
        model_fill(r->r_data + edge + (size_t)i * DEV_BSIZE, write ? r->r_number : 0x7fffffffu, first + i);
    r->r_buf.b_flags = write ? B_WRITE : B_READ;
    r->r_buf.b_dev = FZ_DISK(disk);
    r->r_buf.b_iodone = fz_req_done;
    r->r_buf.b_un.b_addr = r->r_data + edge;
    r->r_buf.b_bcount = bytes;
    r->r_buf.b_blkno = first;
    return r;
}

void fz_req_drop(struct fz_req *r)
{
    free(r->r_data);
    free(r->r_seen);
    r->r_data = NULL;
    r->r_seen = NULL;
    r->r_out = false;
}

void fz_req_sent(struct fz_req *r)
{
    fz_out++;
    r->r_out = true;
    for (unsigned i = 0; i < r->r_n && r->r_first + i < FZ_SECTORS; i++) {
        if (!r->r_write) {
            r->r_seen[i] = model.may[r->r_disk][r->r_first + i];
            continue;
        }
        /* What is under way already may land after this one. */
        for (unsigned k = 0; k < FZ_REQS; k++) {
            const struct fz_req *o = &model.reqs[k];

            if (o != r && o->r_out && o->r_write && o->r_disk == r->r_disk && r->r_first + i >= o->r_first &&
                r->r_first + i - o->r_first < o->r_n)
                r->r_seen[i] |= UINT64_C(1) << o->r_number;
        }
        model_may(r->r_disk, r->r_first + i, UINT64_C(1) << r->r_number);
    }
}

/* What it moves when all is well: up to the end of the disk. */
static size_t req_whole(const struct fz_req *r)
{
    size_t inside = r->r_first < FZ_SECTORS ? (size_t)(FZ_SECTORS - r->r_first) * DEV_BSIZE : 0;

    return r->r_buf.b_bcount < inside ? r->r_buf.b_bcount : inside;
}

void fz_req_done(struct buf *bp)
{
    struct fz_req *r = (struct fz_req *)(void *)bp;
    bool good = !(bp->b_flags & B_ERROR);
    size_t moved, whole;

    FZ_CHECK(r >= model.reqs && r < model.reqs + FZ_REQS && r->r_data, "iodone of something else");
    FZ_CHECK(r->r_out && fz_out > 0, "a request completed twice");
    FZ_CHECK(bp->b_resid <= bp->b_bcount, "residual %zu of %zu", bp->b_resid, bp->b_bcount);
    FZ_CHECK(good || bp->b_error > 0, "failed without an errno");
    FZ_SAY("   %s %u+%u: errno %d, residual %zu of %zu\n", r->r_write ? "write" : "read", r->r_first, r->r_n,
           good ? 0 : bp->b_error, bp->b_resid, bp->b_bcount);
    fz_saw((uint64_t)(good ? 0 : bp->b_error) << 32 | bp->b_resid);
    FZ_CHECK(bp->av_forw == NULL, "it comes back with the next one still behind it");
    moved = good ? bp->b_bcount - bp->b_resid : 0;
    whole = req_whole(r);
    FZ_CHECK(!good || moved <= whole, "%zu of %zu bytes moved, and there are %zu", moved, bp->b_bcount,
             whole);
    FZ_CHECK(!good || moved == whole || fz_short, "%zu of %zu bytes moved, and no error", moved, whole);
    fz_failed += !r->r_wrong && moved < whole;
    if (r->r_write) /* of a block that did not come whole nothing is written */
        moved &= ~(size_t)(fz_world.w_block_bytes - 1u);
    for (unsigned i = 0; i < moved / DEV_BSIZE; i++) {
        if (r->r_write)
            model.may[r->r_disk][r->r_first + i] = model_zero(r->r_disk, r->r_first + i) | r->r_seen[i] |
                                                   UINT64_C(1) << r->r_number |
                                                   (model.may[r->r_disk][r->r_first + i] & FZ_ANYTHING);
        else
            model_judge(r, i);
    }
    fz_req_drop(r);
    fz_out--;
}

int fz_plain_read(unsigned disk, unsigned sector, uint32_t block_bytes)
{
    struct fz_req *r = fz_req_make(disk, false, sector & ~(block_bytes / DEV_BSIZE - 1u), block_bytes, 0);
    unsigned before = fz_out;
    uint64_t digest = fz_digest;
    int error;
    struct buf *bp;

    FZ_CHECK(r != NULL && before == 0, "no room for a plain read");
    bp = &r->r_buf;
    fz_req_sent(r);
    FZ_CHECK(devstrat(bp) == 0, "devstrat");
    fz_wait(&fz_out);
    error = bp->b_flags & B_ERROR ? bp->b_error : 0; /* the buf is ours again, only its data is gone */
    fz_digest = digest;
    fz_saw((uint64_t)error);
    return error;
}
