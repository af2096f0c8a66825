/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp.c - builds the pair out of its parts and takes it down again.
 *
 * Contains the work that an operating system's configuration methods do on AIX: install the host,
 * attach the adapter, put disks on its bus, hand each disk driver instance its define-device
 * structure. Nothing here is on the path of a request.
 *
 * Does not contain: parsing (scp_parse.c), the buffer layer (scp_block.c), reports (scp_json.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include "../adapter/sim/posix/sim_posix_medium.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SCP_STRING2(x) #x
#define SCP_STRING(x)  SCP_STRING2(x)

/* The adapter's own id, as on every parallel SCSI bus. */
#define SCP_ADAPTER_ID 7u

/* The pair a process may have: shim and kernel services are one per process. */
static pthread_mutex_t scp_one_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool scp_one_taken;

const char *scp_version(void)
{
    return SCP_STRING(SCP_VERSION_MAJOR) "." SCP_STRING(SCP_VERSION_MINOR) "." SCP_STRING(SCP_VERSION_PATCH);
}

int scp_fail(char *err, size_t size, int error, const char *fmt, ...)
{
    va_list ap;

    if (err != NULL && size > 0) {
        va_start(ap, fmt);
        (void)vsnprintf(err, size, fmt, ap);
        va_end(ap);
    }
    return error;
}

/* Disks fill the ids of LUN 0 first, then those of LUN 1, and so on, stepping over the adapter. */
static void scp_place_disk(unsigned index, uint8_t *id, uint8_t *lun)
{
    const unsigned usable = SC_IDS_MAX - 1;
    unsigned slot = index % usable;

    *lun = (uint8_t)(index / usable);
    *id = (uint8_t)(slot >= SCP_ADAPTER_ID ? slot + 1 : slot);
}

/* Reject what can be told to be wrong before anything is built. */
static int scp_spec_check(const struct scp_spec *spec, char *err, size_t size)
{
    if (spec->ndisks == 0)
        return scp_fail(err, size, EINVAL, "no disk given; name at least one with --disk");
    if (spec->ndisks > SCP_DISKS_MAX)
        return scp_fail(err, size, EINVAL, "%u disks given; the bus takes at most %u", spec->ndisks,
                        SCP_DISKS_MAX);
    if (spec->transfer_bytes_max != 0 &&
        (spec->transfer_bytes_max < SC_MAXREQUEST || spec->transfer_bytes_max % SC_PAGE_SIZE != 0 ||
         spec->transfer_bytes_max > SCP_TRANSFER_MAX))
        return scp_fail(err, size, EINVAL,
                        "maximum transfer %llu: must be a multiple of %u from %u (SC_MAXREQUEST) to %u",
                        (unsigned long long)spec->transfer_bytes_max, SC_PAGE_SIZE, SC_MAXREQUEST,
                        SCP_TRANSFER_MAX);
    for (unsigned i = 0; i < spec->ndisks; i++) {
        const struct scp_disk_spec *d = &spec->disks[i];
        uint32_t block = d->block_bytes ? d->block_bytes : DEV_BSIZE;

        if (block != 512 && block != 4096)
            return scp_fail(err, size, EINVAL, "disk %u: block size %u: must be 512 or 4096", i, block);
        if (d->queue > SCP_QUEUE_MAX)
            return scp_fail(err, size, EINVAL, "disk %u: queue depth %u: must be 1 to %u", i, d->queue,
                            SCP_QUEUE_MAX);
        if (d->medium == SCP_MEDIUM_FILE && d->path == NULL)
            return scp_fail(err, size, EINVAL, "disk %u: no file named", i);
    }
    return 0;
}

/* Open what the disk's bytes are kept in. On success *bytes is its capacity. */
static int scp_medium_open(const struct scp_disk_spec *d, uint64_t *bytes, const struct sim_medium_ops **ops,
                           void **medium, char *err, size_t size)
{
    int error;

    switch (d->medium) {
    case SCP_MEDIUM_FILE:
        return sim_posix_open(d->path, d->read_only, d->direct, bytes, ops, medium, err, size);
    case SCP_MEDIUM_RAM:
        *bytes = d->bytes;
        error = sim_medium_ram(d->bytes, ops, medium);
        return error ? scp_fail(err, size, error, "ram:%llu: not enough memory; ask for less",
                                (unsigned long long)d->bytes)
                     : 0;
    case SCP_MEDIUM_NULL:
        *bytes = d->bytes;
        return sim_medium_null(ops, medium);
    case SCP_MEDIUM_VOID:
        *bytes = d->bytes;
        return sim_medium_void(ops, medium);
    }
    return scp_fail(err, size, EINVAL, "unknown kind of medium %d", (int)d->medium);
}

/* Put one disk on the bus. Owns: the medium goes to the bus, or is closed here on failure. */
static int scp_disk_put(struct scp *p, const struct scp_spec *spec, unsigned i, char *err, size_t size)
{
    const struct scp_disk_spec *d = &spec->disks[i];
    struct scp_disk *dk = &p->p_disks[i];
    struct sim_disk_config cfg = {0};
    uint64_t bytes = 0;
    int error;

    error = scp_medium_open(d, &bytes, &cfg.sd_ops, &cfg.sd_medium, err, size);
    if (error != 0)
        return error;
    scp_place_disk(i, &dk->dk_id, &dk->dk_lun);
    (void)snprintf(dk->dk_name, sizeof(dk->dk_name), "hdisk%u", i);
    cfg.sd_id = dk->dk_id;
    cfg.sd_lun = dk->dk_lun;
    cfg.sd_block_bytes = d->block_bytes ? d->block_bytes : DEV_BSIZE;
    cfg.sd_blocks = bytes / cfg.sd_block_bytes;
    cfg.sd_read_only = d->read_only;
    cfg.sd_no_tags = d->no_tags;
    cfg.sd_latency_ns = d->latency_ns;
    if (bytes == 0 || bytes % cfg.sd_block_bytes != 0) {
        error =
            scp_fail(err, size, EINVAL,
                     bytes == 0 ? "%s: size %llu bytes: empty; make it larger, for example truncate -s 64M"
                                : "%s: size %llu bytes is not a multiple of the block size; use truncate -s "
                                  "or another block=",
                     d->path ? d->path : dk->dk_name, (unsigned long long)bytes);
    } else {
        error = sim_disk_add(p->p_bus, &cfg);
        if (error != 0)
            (void)scp_fail(err, size, error, "%s: cannot put the disk on the bus: %s",
                           d->path ? d->path : dk->dk_name, scp_strerror(error));
    }
    if (error != 0 && cfg.sd_ops->close != NULL)
        cfg.sd_ops->close(cfg.sd_medium);
    return error;
}

/* Run the disk driver's configure method. */
static int scp_disk_configure(struct scp *p, const struct scp_spec *spec, unsigned i, char *err, size_t size)
{
    struct scp_disk *dk = &p->p_disks[i];
    struct scdisk_dds dds = {0};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};
    int error;

    dds.adapter_devno = scp_adapter_devno(p);
    dds.scsi_id = dk->dk_id;
    dds.lun_id = dk->dk_lun;
    dds.queue_depth = (uint16_t)spec->disks[i].queue;
    dds.max_coalesce = spec->max_coalesce < UINT32_MAX ? (uint32_t)spec->max_coalesce : UINT32_MAX;
    dds.no_tags = spec->disks[i].no_tags;
    memcpy(dds.name, dk->dk_name, sizeof(dds.name));
    error = scdisk_config(scp_disk_devno(p, i), CFG_INIT, &uio);
    if (error != 0)
        return scp_fail(err, size, error, "%s: the disk driver refused its configuration: %s", dk->dk_name,
                        scp_strerror(error));
    dk->dk_configured = true;
    return 0;
}

/* The steps of scp_create that need undoing; scp_take_down() undoes exactly those that were done. */
static int scp_build(struct scp *p, const struct scp_spec *spec, char *err, size_t size)
{
    struct sim_bus_config bus = {0};
    struct ad_config ad = {0};
    int error;

    error = shim_init(spec->host ? spec->host : shim_posix_host());
    if (error != 0)
        return scp_fail(err, size, error, "the host half of the shim was refused: %s", scp_strerror(error));
    p->p_shim_up = true;
    p->p_posix = spec->host == NULL || spec->host == shim_posix_host();
    error = kern_init();
    if (error != 0)
        return scp_fail(err, size, error, "the kernel services did not start: %s", scp_strerror(error));
    p->p_kern_up = true;

    bus.sb_adapter_id = SCP_ADAPTER_ID;
    bus.sb_transfer_bytes_max = spec->transfer_bytes_max;
    bus.sb_clears_queue = spec->clears_queue;
    error = sim_bus_create(&bus, &p->p_bus);
    if (error != 0)
        return scp_fail(err, size, error, "the simulated bus could not be made: %s", scp_strerror(error));
    for (unsigned i = 0; i < spec->ndisks && error == 0; i++)
        error = scp_disk_put(p, spec, i, err, size);
    if (error != 0)
        return error;

    ad.cfg_ops = &sim_hw_ops;
    ad.cfg_hw = p->p_bus;
    ad.cfg_dev = sim_bus_dev(p->p_bus);
    ad.cfg_transfer_bytes_max = spec->transfer_bytes_max;
    ad.cfg_no_gather = spec->no_gather;
    error = ad_attach(scp_adapter_devno(p), &ad);
    if (error != 0)
        return scp_fail(err, size, error, "scsi0: attach failed: %s", scp_strerror(error));
    p->p_attached = true;
    for (unsigned i = 0; i < spec->ndisks && error == 0; i++)
        error = scp_disk_configure(p, spec, i, err, size);
    return error;
}

/* Undo scp_build, wherever it stopped. Returns the number of blocks still allocated. */
static size_t scp_take_down(struct scp *p)
{
    size_t leaked = 0;

    for (unsigned i = 0; i < p->p_ndisks; i++) {
        if (p->p_disks[i].dk_file != NULL)
            (void)fp_close(p->p_disks[i].dk_file);
        if (p->p_disks[i].dk_configured)
            SHIM_ASSERT(scdisk_config(scp_disk_devno(p, i), CFG_TERM, NULL) == 0);
    }
    if (p->p_adapter_file != NULL)
        (void)fp_close(p->p_adapter_file);
    if (p->p_attached)
        SHIM_ASSERT(ad_detach(scp_adapter_devno(p)) == 0);
    if (p->p_bus != NULL)
        sim_bus_destroy(p->p_bus);
    if (p->p_kern_up)
        kern_fini();
    if (p->p_shim_up) {
        leaked = shim_fini();
        if (p->p_posix)
            shim_posix_stop();
    }
    pthread_mutex_destroy(&p->p_files_mutex);
    free(p);

    pthread_mutex_lock(&scp_one_mutex);
    scp_one_taken = false;
    pthread_mutex_unlock(&scp_one_mutex);
    return leaked;
}

int scp_create(const struct scp_spec *spec, struct scp **out, char *err, size_t size)
{
    struct scp *p;
    bool taken;
    int error = scp_spec_check(spec, err, size);

    if (error != 0)
        return error;
    pthread_mutex_lock(&scp_one_mutex);
    taken = scp_one_taken;
    scp_one_taken = true;
    pthread_mutex_unlock(&scp_one_mutex);
    if (taken)
        return scp_fail(err, size, EBUSY, "this process has a pair already; destroy it first");

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        pthread_mutex_lock(&scp_one_mutex);
        scp_one_taken = false;
        pthread_mutex_unlock(&scp_one_mutex);
        return scp_fail(err, size, ENOMEM, "no memory for the pair");
    }
    pthread_mutex_init(&p->p_files_mutex, NULL);
    p->p_ndisks = spec->ndisks;
    error = scp_build(p, spec, err, size);
    if (error != 0) {
        (void)scp_take_down(p);
        return error;
    }
    *out = p;
    return 0;
}

size_t scp_destroy(struct scp *p) { return scp_take_down(p); }

unsigned scp_ndisks(const struct scp *p) { return p->p_ndisks; }

devno_t scp_adapter_devno(const struct scp *p)
{
    (void)p;
    return SC_MAKEDEV(SCP_ADAPTER_MAJOR, 0);
}

devno_t scp_disk_devno(const struct scp *p, unsigned disk)
{
    SHIM_ASSERT(disk < p->p_ndisks);
    return SC_MAKEDEV(SCP_DISK_MAJOR, disk);
}

const char *scp_disk_name(const struct scp *p, unsigned disk)
{
    SHIM_ASSERT(disk < p->p_ndisks);
    return p->p_disks[disk].dk_name;
}

struct sim_disk *scp_sim_disk(const struct scp *p, unsigned disk)
{
    SHIM_ASSERT(disk < p->p_ndisks);
    return sim_disk_find(p->p_bus, p->p_disks[disk].dk_id, p->p_disks[disk].dk_lun);
}

/* Open a handle once, under the mutex: two first callers must not open twice. */
static int scp_file_once(struct scp *p, devno_t devno, struct file **slot, struct file **fpp)
{
    int error = 0;

    pthread_mutex_lock(&p->p_files_mutex);
    if (*slot == NULL)
        error = fp_opendev(devno, DREAD | DKERNEL, NULL, 0, slot);
    if (error != 0)
        *slot = NULL;
    *fpp = *slot;
    pthread_mutex_unlock(&p->p_files_mutex);
    return error;
}

int scp_disk_file(struct scp *p, unsigned disk, struct file **fpp)
{
    return scp_file_once(p, scp_disk_devno(p, disk), &p->p_disks[disk].dk_file, fpp);
}

int scp_adapter_file(struct scp *p, struct file **fpp)
{
    return scp_file_once(p, scp_adapter_devno(p), &p->p_adapter_file, fpp);
}
