/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_raw.c - a caller of the disks' read, write and ioctl entry points: one thing at a time, sleeping in it.
 */
#include "fib.h"

#include <sys/devinfo.h>

#include <string.h>

#define PIECES_MAX 8

/* ---------------------------------------------------------------- files */

void fib_open_data(struct fib_caller *c)
{
    for (unsigned i = 0; i < fib_world.w_ndisks; i++) {
        int error;

        /* Behind the number of one that has gone there may be another. */
        if (fib_world.w_disks[i].dk_role != FIB_DISK_DATA || fib_world.w_disks[i].dk_going)
            continue;
        fib_doing(c, "open");
        error = fp_opendev(fib_world.w_disks[i].dk_devno, DREAD | DWRITE, NULL, 0, &c->c_files[i]);
        fib_doing(c, NULL);
        SCHED_CHECK(error == 0 || (fib_trouble() && fib_open_plausible(error)),
                    "error: %s: open of hdisk%u: errno %d (%s)", c->c_name, i, error, scp_strerror(error));
    }
}

void fib_close_data(struct fib_caller *c)
{
    for (unsigned i = 0; i < fib_world.w_ndisks; i++) {
        int error;

        if (!c->c_files[i])
            continue;
        fib_doing(c, "close");
        error = fp_close(c->c_files[i]);
        fib_doing(c, NULL);
        c->c_files[i] = NULL;
        SCHED_CHECK(error == 0 || fib_trouble(), "error: %s: close of hdisk%u: errno %d (%s)", c->c_name, i,
                    error, scp_strerror(error));
    }
}

unsigned fib_data_disk(struct fib_caller *c)
{
    const unsigned from = fib_below(&c->c_rng, fib_world.w_ndisks);

    for (unsigned i = 0; i < fib_world.w_ndisks; i++) {
        const unsigned disk = (from + i) % fib_world.w_ndisks;

        if (fib_world.w_disks[disk].dk_role == FIB_DISK_DATA && c->c_files[disk])
            return disk;
    }
    return FIB_DISKS_MAX;
}

/* ---------------------------------------------------------------- reading and writing */

/* Cut `bytes` into up to PIECES_MAX pieces: multiples of `unit`, some of them empty. */
static int cut(struct fib_rng *r, struct iovec *vec, uint8_t *p, size_t bytes, size_t unit)
{
    int n = 0;

    while (bytes > 0) {
        size_t piece = bytes;

        if (n < PIECES_MAX - 1 && bytes > unit)
            piece = unit * fib_below(r, bytes / unit + 1);
        vec[n].iov_base = p;
        vec[n++].iov_len = piece;
        p += piece;
        bytes -= piece;
    }
    return n;
}

/* A random range of this caller's region. */
static void range(struct fib_caller *c, const struct fib_disk *d, uint64_t *off, size_t *bytes)
{
    const uint32_t blocks = d->dk_region / d->dk_block, at = fib_below(&c->c_rng, blocks);
    uint32_t n = 1 + fib_below(&c->c_rng, fib_percent(&c->c_rng, 30) ? blocks : 16);

    if (n > blocks - at)
        n = blocks - at;
    *off = (uint64_t)c->c_index * d->dk_region + (uint64_t)at * d->dk_block;
    *bytes = (size_t)n * d->dk_block;
}

static void raw_judge(struct fib_caller *c, unsigned disk, bool write, uint64_t off, size_t bytes,
                      size_t beyond, const struct uio *uio, int error, bool refusable)
{
    const bool complete = error == 0 && uio->uio_resid == beyond;
    size_t left = 0;

    for (int i = 0; i < uio->uio_iovcnt; i++)
        left += uio->uio_iov[i].iov_len;

    SCHED_CHECK(uio->uio_resid <= bytes && uio->uio_resid >= beyond, "contract: raw I/O: %zu left of %zu",
                uio->uio_resid, bytes);
    SCHED_CHECK(
        (uint64_t)uio->uio_offset == off + bytes - uio->uio_resid && left == uio->uio_resid,
        "contract: raw I/O: %zu of %zu left, but the offset has moved by %lld and the pieces hold %zu",
        uio->uio_resid, bytes, (long long)uio->uio_offset - (long long)off, left);
    SCHED_CHECK(complete || fib_trouble() || (refusable && error == EINVAL),
                "error: %s: hdisk%u: raw %s of %zu bytes at %llu: errno %d (%s), %zu left, without any fault",
                c->c_name, disk, write ? "write" : "read", bytes, (unsigned long long)off, error,
                scp_strerror(error), uio->uio_resid);
    /* uphysio counts to the first buf that failed, a gathered write all or nothing. */
    if (!refusable)
        fib_blame(c->c_name, disk, off, bytes - beyond, error, bytes - uio->uio_resid, false);
    SCHED_CHECK(error != ENXIO || fib_world.w_disks[disk].dk_going, "error: %s: hdisk%u is there: ENXIO",
                c->c_name, disk);
    SCHED_CHECK(error == 0 || !fib_free_of_charge() || (refusable && error == EINVAL),
                "error: %s: hdisk%u: errno %d (%s), though what happens costs no try", c->c_name, disk, error,
                scp_strerror(error));
    SCHED_CHECK(error == 0 || fib_plausible(error) || (refusable && error == EINVAL),
                "error: %s: hdisk%u: raw I/O: errno %d (%s)", c->c_name, disk, error, scp_strerror(error));
}

static void raw_io(struct fib_caller *c, unsigned disk)
{
    struct fib_rng *r = &c->c_rng;
    const struct fib_disk *d = &fib_world.w_disks[disk];
    const struct scp_adapter_spec *a =
        scp_adapter_config(fib_world.w_pair, scp_disk_adapter(fib_world.w_pair, disk));
    const bool write = fib_percent(r, 60), odd = fib_percent(r, 40);
    uint8_t *data = fib_big(c) + (fib_percent(r, 50) ? 0 : 4u * fib_below(r, 1024));
    struct iovec vec[PIECES_MAX];
    struct uio uio = {.uio_iov = vec, .uio_segflg = fib_percent(r, 50) ? UIO_USERSPACE : UIO_SYSSPACE};
    uint64_t off;
    size_t bytes, beyond = 0;
    bool refusable;
    int error;

    range(c, d, &off, &bytes);
    if (off + bytes == d->dk_bytes && fib_percent(r, 60)) {
        beyond = d->dk_block * (1u + fib_below(r, 3));
        bytes += beyond;
    }
    uio.uio_iovcnt = fib_percent(r, 60) ? cut(r, vec, data, bytes, odd ? 1 : d->dk_block) : 1;
    if (uio.uio_iovcnt == 1)
        vec[0] = (struct iovec){data, bytes};
    uio.uio_resid = bytes;
    uio.uio_offset = (int64_t)off;
    /* Scattered memory off the block needs a gathered write; where there is none it is refused, unsent. */
    refusable = odd && uio.uio_iovcnt > 1 && (!write || a->no_gather || bytes > a->transfer_bytes_max);
    fib_guard_set(data, bytes);
    if (write)
        fib_fill(r, data, bytes);
    fib_doing(c, write ? "raw write" : "raw read");
    error = fp_rwuio(c->c_files[disk], write ? UIO_WRITE : UIO_READ, &uio,
                     write && fib_percent(r, 20) ? SC_OPT_FUA : 0);
    fib_doing(c, NULL);
    raw_judge(c, disk, write, off, bytes, beyond, &uio, error, refusable);
    fib_guard_check(c->c_name, data, bytes);
    if (write)
        fib_written(disk, off, data, bytes - beyond, bytes - uio.uio_resid);
    else
        fib_compare(c->c_name, disk, off, data, bytes - uio.uio_resid);
    shim_det_observe(uio.uio_resid ^ (uint64_t)(unsigned)error << 40);
    c->c_requests++;
    c->c_errors += error != 0;
}

/* ---------------------------------------------------------------- ioctls */

static void stats(struct fib_caller *c, unsigned disk)
{
    struct sc_disk_stats st;
    const int error = fp_ioctl(c->c_files[disk], DKSTATS, (intptr_t)&st, 0);

    if (error == ENXIO && fib_world.w_disks[disk].dk_going)
        return;
    SCHED_CHECK(error == 0, "error: DKSTATS: errno %d", error);
    SCHED_CHECK(st.bufs == st.pending + st.in_process + st.recovering + st.completed,
                "counters: hdisk%u: submitted %llu != pending %llu + in process %llu + recovering %llu + "
                "completed %llu",
                disk, (unsigned long long)st.bufs, (unsigned long long)st.pending,
                (unsigned long long)st.in_process, (unsigned long long)st.recovering,
                (unsigned long long)st.completed);
}

static int zero(struct fib_caller *c, unsigned disk, unsigned cmd)
{
    static const uint8_t zeroes[FIB_REGION_MAX];
    const struct fib_disk *d = &fib_world.w_disks[disk];
    struct sc_range rg;
    size_t bytes;
    int error;

    range(c, d, &rg.offset, &bytes);
    rg.length = bytes;
    error = fp_ioctl(c->c_files[disk], cmd, (intptr_t)&rg, 0);
    if (cmd != DKUNMAP || error != EOPNOTSUPP)
        fib_written(disk, rg.offset, zeroes, bytes, error ? 0 : bytes);
    return cmd == DKUNMAP && error == EOPNOTSUPP ? 0 : error;
}

/* WRITE SAME and COMPARE AND WRITE as a program sends them: the driver looks at neither. */
static int passthru(struct fib_caller *c, unsigned disk)
{
    static struct sc_passthru pts[FIB_CALLERS_MAX];
    static uint8_t writtens[FIB_CALLERS_MAX][FIB_REGION_MAX];
    uint8_t *written = writtens[c->c_index];
    struct sc_passthru *pt = &pts[c->c_index];
    const struct fib_disk *d = &fib_world.w_disks[disk];
    struct fib_cdb cmd;
    uint64_t off;
    size_t bytes;
    int error;

    memset(pt, 0, sizeof(*pt));
    range(c, d, &off, &bytes);
    if (fib_percent(&c->c_rng, 50)) {
        fib_cdb_same(d, off / d->dk_block, (uint32_t)(bytes / d->dk_block), &cmd);
        fib_fill(&c->c_rng, pt->data, d->dk_block);
        for (size_t at = 0; at < bytes; at += d->dk_block)
            memcpy(written + at, pt->data, d->dk_block);
    } else {
        bytes = d->dk_block;
        if (d->dk_state[off / FIB_SECTOR] != FIB_SURE ||
            d->dk_state[(off + bytes - 1) / FIB_SECTOR] != FIB_SURE)
            return 0;
        fib_cdb_compare(d, off / d->dk_block, &cmd);
        memcpy(pt->data, d->dk_shadow + off, bytes);
        fib_fill(&c->c_rng, pt->data + bytes, bytes);
        memcpy(written, pt->data + bytes, bytes);
    }
    pt->version = SC_VERSION_1;
    pt->scsi_id = d->dk_id;
    pt->lun_id = d->dk_lun;
    pt->timeout_value = 30;
    pt->command_length = cmd.cd_length;
    pt->data_length = cmd.cd_bytes;
    memcpy(pt->scsi_cdb, cmd.cd_cdb, sizeof(pt->scsi_cdb));
    error = fp_ioctl(c->c_files[disk], DK_PASSTHRU, (intptr_t)pt, 0);
    fib_written(disk, off, written, bytes, error ? 0 : bytes);
    return error;
}

static void ioctl_some(struct fib_caller *c, unsigned disk)
{
    static const unsigned ways[] = {DKZERO, DKZERO_UNMAP, DKUNMAP};
    struct fib_rng *r = &c->c_rng;
    const struct fib_disk *d = &fib_world.w_disks[disk];
    struct sc_extent extent = {.offset = (uint64_t)fib_below(r, d->dk_bytes / d->dk_block) * d->dk_block};
    struct sc_disk_info dkinfo;
    struct devinfo info;
    int error = 0;

    fib_doing(c, "ioctl");
    switch (fib_below(r, 9)) {
    case 0:
        error = fp_ioctl(c->c_files[disk], IOCINFO, (intptr_t)&info, 0);
        SCHED_CHECK((error == ENXIO && d->dk_going) || error != 0 ||
                        info.un.scdk.numblks * info.un.scdk.blksize == d->dk_bytes,
                    "error: hdisk%u: IOCINFO: errno %d, %llu blocks", disk, error,
                    (unsigned long long)info.un.scdk.numblks);
        break;
    case 1:
        error = fp_ioctl(c->c_files[disk], DKFLUSH, 0, 0);
        break;
    case 2:
        error = fp_ioctl(c->c_files[disk], DKEXTENT, (intptr_t)&extent, 0);
        error = error == EOPNOTSUPP ? 0 : error;
        break;
    case 3:
        stats(c, disk);
        break;
    case 4:
        error = fp_ioctl(c->c_files[disk], DKINFO, (intptr_t)&dkinfo, 0);
        break;
    case 5:
    case 6:
        error = passthru(c, disk);
        break;
    default:
        error = zero(c, disk, ways[fib_below(r, SC_ARRAY_SIZE(ways))]);
        break;
    }
    fib_doing(c, NULL);
    /* A device that gets half of a parameter list calls it wrong. */
    SCHED_CHECK(error == 0 || (fib_trouble() && (fib_plausible(error) || error == EINVAL)),
                "error: %s: hdisk%u: ioctl: errno %d (%s)", c->c_name, disk, error, scp_strerror(error));
}

/* ---------------------------------------------------------------- the caller */

void fib_raw_run(void *arg)
{
    struct fib_caller *c = arg;

    fib_open_data(c);
    for (unsigned step = 0; step < c->c_steps; step++) {
        const unsigned disk = fib_data_disk(c);

        if (disk == FIB_DISKS_MAX)
            break;
        if (fib_percent(&c->c_rng, 70))
            raw_io(c, disk);
        else
            ioctl_some(c, disk);
    }
    fib_close_data(c);
}
