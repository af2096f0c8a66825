/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_spec.c - specifications in: structures of any size become the pair's own, checked and with
 * their defaults.
 *
 * A structure that is smaller than ours comes from a program compiled earlier: what it lacks is
 * zero, the default. One that is larger comes from a later program: it is taken if the part we do
 * not know is zero, since then it asks for nothing that we cannot do.
 *
 * Does not contain: text to structures (scp_parse.c), building (scp.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <stdlib.h>

/* What a size of 0 stands for: up to this field. Never changes, whatever is added behind. */
#define SPEC_END(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))
#define SPEC_DISK_FIRST       SPEC_END(struct scp_disk_spec, latency_ns)
#define SPEC_ADAPTER_FIRST    SPEC_END(struct scp_adapter_spec, transfer_bytes_max)
#define SPEC_PAIR_FIRST       SPEC_END(struct scp_spec, adapters)

/* Every structure begins with its size. */
static uint32_t spec_size(const void *in)
{
    uint32_t bytes;

    memcpy(&bytes, in, sizeof(bytes));
    return bytes;
}

/*
 * Element i of n; the first one's size is the distance between them. NULL when it has to be there and is not,
 * and when another one's is not the same: a larger one would be read beyond its place in the array.
 */
static const void *spec_at(const void *array, unsigned n, unsigned i, const char *what, char *err,
                           size_t size)
{
    const char *at = (const char *)array + spec_size(array) * (size_t)i;

    if (n > 1 && spec_size(at) == 0) {
        (void)scp_fail(err, size, EINVAL, "%s: size is 0 in an array of %u; set it to the structure's sizeof",
                       what, n);
        return NULL;
    }
    if (spec_size(at) != spec_size(array)) {
        (void)scp_fail(err, size, EINVAL, "%s: size is %u in element %u of an array, %u in the first", what,
                       spec_size(at), i, spec_size(array));
        return NULL;
    }
    return at;
}

/* Copy one structure; `ours` is its size here. 0 or EINVAL. */
static int spec_copy(void *out, size_t ours, const void *in, size_t first, const char *what, char *err,
                     size_t size)
{
    const char *bytes = in;
    uint32_t theirs = spec_size(in);

    if (theirs == 0)
        theirs = (uint32_t)first;
    if (theirs < first)
        return scp_fail(err, size, EINVAL, "%s: size %u: must be 0 or the structure's sizeof", what, theirs);
    for (size_t i = ours; i < theirs; i++)
        if (bytes[i] != 0) /* NOLINT(clang-analyzer-core.*): as long as its size says */
            return scp_fail(err, size, EINVAL,
                            "%s: asks for something this library (%s) does not know; use a newer one", what,
                            scp_version());
    memset(out, 0, ours);
    memcpy(out, in, theirs < ours ? theirs : ours);
    theirs = (uint32_t)ours; /* the copy is one of ours */
    memcpy(out, &theirs, sizeof(theirs));
    return 0;
}

int scp_spec_disk(struct scp_disk *dk, const struct scp_disk_spec *in, unsigned i, char *err, size_t size)
{
    struct scp_disk_spec *d = &dk->dk_spec;
    int error = spec_copy(d, sizeof(*d), in, SPEC_DISK_FIRST, "struct scp_disk_spec", err, size);

    if (error != 0)
        return error;
    if (d->block_bytes == 0)
        d->block_bytes = DEV_BSIZE;
    if (d->queue == 0)
        d->queue = SCP_QUEUE_DEFAULT;
    if (d->block_bytes != 512 && d->block_bytes != 4096)
        error = scp_fail(err, size, EINVAL, "disk %u: block size %u: must be 512 or 4096", i, d->block_bytes);
    else if (d->physical_bytes != 0 &&
             (d->physical_bytes < d->block_bytes || d->physical_bytes > SCP_PHYSICAL_MAX ||
              (d->physical_bytes & (d->physical_bytes - 1)) != 0))
        error = scp_fail(err, size, EINVAL,
                         "disk %u: physical block %u: must be a power of two from the block size to %u", i,
                         d->physical_bytes, SCP_PHYSICAL_MAX);
    else if (d->queue > SCP_QUEUE_MAX)
        error = scp_fail(err, size, EINVAL, "disk %u: queue depth %u: must be 1 to %u", i, d->queue,
                         SCP_QUEUE_MAX);
    else if (d->latency_ns > SCP_LATENCY_US_MAX * UINT64_C(1000))
        error = scp_fail(err, size, EINVAL, "disk %u: latency %llu ns: must be 0 to %u microseconds", i,
                         (unsigned long long)d->latency_ns, SCP_LATENCY_US_MAX);
    else if (d->medium == SCP_MEDIUM_FILE && d->path == NULL)
        error = scp_fail(err, size, EINVAL, "disk %u: no file named", i);
    if (error == 0 && d->path != NULL) {
        d->path = strdup(d->path);
        if (d->path == NULL)
            error = scp_fail(err, size, ENOMEM, "no memory for the pair");
    }
    if (error != 0)
        d->path = NULL;
    return error;
}

static int spec_adapter(struct scp *p, const void *in, unsigned i, char *err, size_t size)
{
    struct scp_adapter *a = &p->p_adapters[i];
    struct scp_adapter_spec *s = &a->a_spec;
    const void *disks;
    int error = spec_copy(s, sizeof(*s), in, SPEC_ADAPTER_FIRST, "struct scp_adapter_spec", err, size);

    if (error != 0)
        return error;
    if (s->kind != NULL && strcmp(s->kind, "sim") != 0)
        return scp_fail(err, size, EINVAL, "adapter %u: \"%s\": unknown kind; known: sim", i, s->kind);
    s->kind = "sim";
    if (s->transfer_bytes_max == 0)
        s->transfer_bytes_max = SCP_TRANSFER_MAX;
    if (s->transfer_bytes_max < SC_MAXREQUEST || s->transfer_bytes_max % SC_PAGE_SIZE != 0 ||
        s->transfer_bytes_max > SCP_TRANSFER_MAX)
        return scp_fail(err, size, EINVAL,
                        "adapter %u: maximum transfer %llu: must be a multiple of %u from %u (SC_MAXREQUEST) "
                        "to %u",
                        i, (unsigned long long)s->transfer_bytes_max, SC_PAGE_SIZE, SC_MAXREQUEST,
                        SCP_TRANSFER_MAX);
    if (s->pend > SCP_PEND_POLL)
        return scp_fail(err, size, EINVAL, "adapter %u: pend %u: must be 0 to %u", i, s->pend, SCP_PEND_POLL);
    if (s->ndisks == 0 || s->disks == NULL)
        return scp_fail(err, size, EINVAL, "adapter %u has no disk; name at least one with --disk after it",
                        i);
    if (s->ndisks > SCP_DISKS_MAX - p->p_ndisks)
        return scp_fail(err, size, EINVAL, "too many disks given; a pair has at most %u", SCP_DISKS_MAX);
    disks = s->disks;
    a->a_first = p->p_ndisks;
    s->disks = NULL; /* there is no array of them here; scp_disk_config() has each */
    for (unsigned k = 0; k < s->ndisks && error == 0; k++) {
        const void *disk = spec_at(disks, s->ndisks, k, "struct scp_disk_spec", err, size);

        if (disk == NULL)
            return EINVAL;
        p->p_disks[p->p_ndisks].dk_adapter = i;
        error = scp_spec_disk(&p->p_disks[p->p_ndisks], disk, p->p_ndisks, err, size);
        p->p_ndisks++;
    }
    return error;
}

/* One adapter, given in short. */
static int spec_short(struct scp *p, const struct scp_spec *s, char *err, size_t size)
{
    const struct scp_adapter_spec one = {.size = sizeof(one),
                                         .disks = s->disks,
                                         .ndisks = s->ndisks,
                                         .no_gather = s->no_gather,
                                         .clears_queue = s->clears_queue,
                                         .transfer_bytes_max = s->transfer_bytes_max};

    if (s->ndisks == 0)
        return scp_fail(err, size, EINVAL, "no disk given; name at least one with --disk");
    p->p_nadapters = 1;
    return spec_adapter(p, &one, 0, err, size);
}

int scp_spec_take(struct scp *p, const struct scp_spec *spec, char *err, size_t size)
{
    struct scp_spec s = {0};
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): its last field is a pointer */
    int error = spec_copy(&s, sizeof(s), spec, SPEC_PAIR_FIRST, "struct scp_spec", err, size);

    if (error != 0)
        return error;
    p->p_max_coalesce = s.max_coalesce;
    p->p_host = s.host != NULL ? s.host : shim_posix_host();
    if (s.nadapters == 0)
        return spec_short(p, &s, err, size);
    if (s.nadapters > SCP_ADAPTERS_MAX || s.adapters == NULL)
        return scp_fail(err, size, EINVAL, "%u adapters given; a pair has 1 to %u", s.nadapters,
                        SCP_ADAPTERS_MAX);
    if (s.disks != NULL || s.ndisks != 0 || s.no_gather || s.clears_queue || s.transfer_bytes_max != 0)
        return scp_fail(err, size, EINVAL, "adapters given, and one in short besides; use one of the two");
    for (unsigned i = 0; i < s.nadapters && error == 0; i++) {
        const void *adapter = spec_at(s.adapters, s.nadapters, i, "struct scp_adapter_spec", err, size);

        if (adapter == NULL)
            return EINVAL;
        p->p_nadapters++;
        error = spec_adapter(p, adapter, i, err, size);
    }
    return error;
}

void scp_spec_drop(struct scp *p)
{
    for (unsigned i = 0; i < p->p_ndisks; i++)
        free((char *)(uintptr_t)p->p_disks[i].dk_spec.path);
}
