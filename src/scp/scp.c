/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp.c - builds the pair out of its parts and takes it down again.
 *
 * Contains the work that an operating system's configuration methods do on AIX: give device
 * numbers, attach the adapters, put disks on their buses, hand each disk driver instance its
 * define-device structure. Nothing here is on the path of a request.
 *
 * Does not contain: specifications (scp_spec.c, scp_parse.c), what pairs share (scp_process.c), the
 * buffer layer (scp_block.c), reports (scp_json.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include "../adapter/sim/posix/sim_posix_medium.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCP_STRING2(x) #x
#define SCP_STRING(x)  SCP_STRING2(x)

/* The adapter's own id, as on every parallel SCSI bus. */
#define SCP_ADAPTER_ID 7u

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
void scp_place_disk(unsigned index, uint8_t *id, uint8_t *lun)
{
    const unsigned usable = SC_IDS_MAX - 1;
    unsigned slot = index % usable;

    *lun = (uint8_t)(index / usable);
    *id = (uint8_t)(slot >= SCP_ADAPTER_ID ? slot + 1 : slot);
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
        if (d->bytes == 0)
            return scp_fail(err, size, EINVAL, "ram:0: size 0 bytes; give a size, for example ram:64M");
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

/*
 * The path of a disk that is there, for reports: a relative one means nothing to who reads them elsewhere or
 * after a chdir(2). Links stay as they are. Without memory or a working directory it stays as it was given.
 */
static void scp_path_absolute(struct scp_disk_spec *d)
{
    const char *rest = d->path;
    char *folder, *whole;

    if (rest == NULL || rest[0] == '/')
        return;
    while (rest[0] == '.' && rest[1] == '/')
        rest += 1 + strspn(rest + 1, "/");
    folder = getcwd(NULL, 0);
    if (folder != NULL && asprintf(&whole, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, rest) >= 0) {
        free((char *)(uintptr_t)d->path);
        d->path = whole;
    }
    free(folder);
}

/* Put one disk on its adapter's bus. Owns: the medium goes to the bus, or is closed here on failure. */
int scp_disk_put(struct scp *p, unsigned i, char *err, size_t size)
{
    struct scp_disk *dk = &p->p_disks[i];
    const struct scp_disk_spec *d = &dk->dk_spec;
    const struct scp_adapter *a = &p->p_adapters[dk->dk_adapter];
    struct sim_disk_config cfg = {0};
    uint64_t bytes = 0;
    int error;

    error = scp_medium_open(d, &bytes, &cfg.sd_ops, &cfg.sd_medium, err, size);
    if (error != 0)
        return error;
    SHIM_ASSERT(cfg.sd_ops != NULL);
    dk->dk_spec.bytes = bytes;
    cfg.sd_id = dk->dk_id;
    cfg.sd_lun = dk->dk_lun;
    cfg.sd_block_bytes = d->block_bytes;
    cfg.sd_blocks = bytes / cfg.sd_block_bytes;
    cfg.sd_physical_bytes = d->physical_bytes;
    cfg.sd_read_only = d->read_only;
    cfg.sd_removable = d->removable;
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
        error = sim_disk_add(a->a_bus, &cfg);
        if (error != 0)
            (void)scp_fail(err, size, error, "%s: cannot put the disk on the bus: %s",
                           d->path ? d->path : dk->dk_name, scp_strerror(error));
    }
    if (error == 0)
        scp_path_absolute(&dk->dk_spec);
    else if (cfg.sd_ops->close != NULL)
        cfg.sd_ops->close(cfg.sd_medium);
    return error;
}

/* Run the disk driver's configure method. */
int scp_disk_configure(struct scp *p, unsigned i, char *err, size_t size)
{
    struct scp_disk *dk = &p->p_disks[i];
    struct scdisk_dds dds = {0};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};
    int error;

    dds.adapter_devno = scp_adapter_devno(p, dk->dk_adapter);
    dds.scsi_id = dk->dk_id;
    dds.lun_id = dk->dk_lun;
    dds.queue_depth = (uint16_t)dk->dk_spec.queue;
    dds.max_coalesce = p->p_max_coalesce < UINT32_MAX ? (uint32_t)p->p_max_coalesce : UINT32_MAX;
    dds.no_tags = dk->dk_spec.no_tags;
    dds.no_reserve = dk->dk_spec.no_reserve;
    dds.clr_q = dk->dk_spec.clr_q;
    dds.no_q_err = dk->dk_spec.no_q_err;
    dds.rw_timeout = dk->dk_spec.rw_timeout;
    dds.start_timeout = dk->dk_spec.start_timeout;
    dds.retries = dk->dk_spec.retries;
    memcpy(dds.name, dk->dk_name, sizeof(dds.name));
    error = scdisk_config(SC_MAKEDEV(SCP_DISK_MAJOR, (unsigned)dk->dk_minor), CFG_INIT, &uio);
    if (error != 0)
        return scp_fail(err, size, error, "%s: the disk driver refused its configuration: %s", dk->dk_name,
                        scp_strerror(error));
    dk->dk_configured = true;
    return 0;
}

int scp_number_disk(struct scp_disk *dk, char *err, size_t size)
{
    dk->dk_minor = scp_minor_take(SCP_DISK_MAJOR);
    if (dk->dk_minor < 0)
        return scp_fail(err, size, EMFILE, "the disks of this process's pairs have used up the numbers");
    (void)snprintf(dk->dk_name, sizeof(dk->dk_name), "hdisk%d", dk->dk_minor);
    return 0;
}

/* Give every device its number and the name that goes with it. */
static int scp_number(struct scp *p, char *err, size_t size)
{
    for (unsigned i = 0; i < p->p_nadapters; i++) {
        struct scp_adapter *a = &p->p_adapters[i];

        a->a_minor = scp_minor_take(SCP_ADAPTER_MAJOR);
        if (a->a_minor < 0)
            return scp_fail(err, size, EMFILE,
                            "the adapters of this process's pairs have used up the numbers");
        (void)snprintf(a->a_name, sizeof(a->a_name), "scsi%d", a->a_minor);
    }
    for (unsigned i = 0; i < p->p_ndisks; i++) {
        int error = scp_number_disk(&p->p_disks[i], err, size);

        if (error != 0)
            return error;
    }
    return 0;
}

/* One adapter: its bus, the disks on it, the driver, and the disk driver's instances. */
static int scp_adapter_build(struct scp *p, unsigned adapter, char *err, size_t size)
{
    struct scp_adapter *a = &p->p_adapters[adapter];
    const unsigned end = a->a_first + a->a_spec.ndisks;
    struct sim_bus_config bus = {0};
    struct ad_config ad = {0};
    int error;

    bus.sb_adapter_id = SCP_ADAPTER_ID;
    bus.sb_transfer_bytes_max = a->a_spec.transfer_bytes_max;
    bus.sb_clears_queue = a->a_spec.clears_queue;
    bus.sb_pend = (enum sim_pend)a->a_spec.pend;
    error = sim_bus_create(&bus, &a->a_bus);
    if (error != 0)
        return scp_fail(err, size, error, "%s: the simulated bus could not be made: %s", a->a_name,
                        scp_strerror(error));
    for (unsigned i = a->a_first; i < end && error == 0; i++) {
        scp_place_disk(i - a->a_first, &p->p_disks[i].dk_id, &p->p_disks[i].dk_lun);
        error = scp_disk_put(p, i, err, size);
    }
    if (error != 0)
        return error;

    ad.cfg_ops = sim_bus_ops(a->a_bus, false);
    ad.cfg_hw = a->a_bus;
    ad.cfg_dev = sim_bus_dev(a->a_bus);
    ad.cfg_transfer_bytes_max = a->a_spec.transfer_bytes_max;
    ad.cfg_no_gather = a->a_spec.no_gather;
    error = ad_attach(scp_adapter_devno(p, adapter), &ad);
    if (error != 0)
        return scp_fail(err, size, error, "%s: attach failed: %s", a->a_name, scp_strerror(error));
    a->a_attached = true;
    for (unsigned i = a->a_first; i < end && error == 0; i++) {
        error = scp_disk_configure(p, i, err, size);
        atomic_store(&p->p_disks[i].dk_state, SCP_SLOT_THERE);
    }
    return error;
}

/* The steps of scp_create that need undoing; scp_take_down() undoes exactly those that were done. */
static int scp_build(struct scp *p, char *err, size_t size)
{
    uint32_t before;
    int error = scp_process_join(p->p_host, &p->p_owner, err, size);

    if (error != 0)
        return error;
    p->p_joined = true;
    before = shim_owner_enter(p->p_owner);
    error = scp_number(p, err, size);
    for (unsigned i = 0; i < p->p_nadapters && error == 0; i++)
        error = scp_adapter_build(p, i, err, size);
    shim_owner_leave(before);
    return error;
}

/* Undo scp_build, wherever it stopped. Returns the number of blocks still allocated. */
static size_t scp_take_down(struct scp *p)
{
    size_t leaked = 0;

    for (unsigned i = 0; i < p->p_ndisks; i++) {
        struct scp_disk *dk = &p->p_disks[i];

        if (dk->dk_file != NULL)
            (void)fp_close(dk->dk_file);
        if (dk->dk_configured)
            SHIM_ASSERT(scdisk_config(scp_disk_devno(p, i), CFG_TERM, NULL) == 0);
        if (dk->dk_minor >= 0)
            scp_minor_give(SCP_DISK_MAJOR, dk->dk_minor);
    }
    for (unsigned i = 0; i < p->p_nadapters; i++) {
        struct scp_adapter *a = &p->p_adapters[i];

        if (a->a_file != NULL)
            (void)fp_close(a->a_file);
        if (a->a_attached)
            SHIM_ASSERT(ad_detach(scp_adapter_devno(p, i)) == 0);
        if (a->a_bus != NULL)
            sim_bus_destroy(a->a_bus);
        if (a->a_minor >= 0)
            scp_minor_give(SCP_ADAPTER_MAJOR, a->a_minor);
    }
    if (p->p_joined)
        leaked = scp_process_part(p->p_owner);
    return leaked;
}

static void scp_free(struct scp *p)
{
    scp_spec_drop(p);
    pthread_mutex_destroy(&p->p_files_mutex);
    pthread_rwlock_destroy(&p->p_slots);
    free(p);
}

int scp_create(const struct scp_spec *spec, struct scp **out, char *err, size_t size)
{
    struct scp *p = calloc(1, sizeof(*p));
    int error;

    if (p == NULL)
        return scp_fail(err, size, ENOMEM, "no memory for the pair");
    pthread_mutex_init(&p->p_files_mutex, NULL);
    pthread_rwlock_init(&p->p_slots, NULL);
    for (unsigned i = 0; i < SCP_ADAPTERS_MAX; i++)
        p->p_adapters[i].a_minor = -1;
    for (unsigned i = 0; i < SCP_DISKS_MAX; i++)
        p->p_disks[i].dk_minor = -1;
    error = scp_spec_take(p, spec, err, size);
    if (error == 0) {
        scp_config_lock();
        error = scp_build(p, err, size);
        if (error != 0)
            (void)scp_take_down(p);
        scp_config_unlock();
    }
    if (error != 0) {
        scp_free(p);
        return error;
    }
    *out = p;
    return 0;
}

size_t scp_destroy(struct scp *p)
{
    size_t leaked;

    scp_config_lock();
    leaked = scp_take_down(p);
    scp_config_unlock();
    scp_free(p);
    return leaked;
}

/* ------------------------------------------------------------------ what was built */

unsigned scp_nadapters(const struct scp *p) { return p->p_nadapters; }

unsigned scp_ndisks(const struct scp *p) { return atomic_load(&p->p_ndisks); }

static const struct scp_adapter *scp_adapter_at(const struct scp *p, unsigned adapter)
{
    SHIM_ASSERT(adapter < p->p_nadapters);
    return &p->p_adapters[adapter];
}

static const struct scp_disk *scp_disk_at(const struct scp *p, unsigned disk)
{
    SHIM_ASSERT(disk < p->p_ndisks);
    return &p->p_disks[disk];
}

devno_t scp_adapter_devno(const struct scp *p, unsigned adapter)
{
    return SC_MAKEDEV(SCP_ADAPTER_MAJOR, (unsigned)scp_adapter_at(p, adapter)->a_minor);
}

devno_t scp_disk_devno(const struct scp *p, unsigned disk)
{
    return SC_MAKEDEV(SCP_DISK_MAJOR, (unsigned)scp_disk_at(p, disk)->dk_minor);
}

const char *scp_adapter_name(const struct scp *p, unsigned adapter)
{
    return scp_adapter_at(p, adapter)->a_name;
}

const char *scp_disk_name(const struct scp *p, unsigned disk) { return scp_disk_at(p, disk)->dk_name; }

unsigned scp_disk_adapter(const struct scp *p, unsigned disk) { return scp_disk_at(p, disk)->dk_adapter; }

const struct scp_adapter_spec *scp_adapter_config(const struct scp *p, unsigned adapter)
{
    return &scp_adapter_at(p, adapter)->a_spec;
}

const struct scp_disk_spec *scp_disk_config(const struct scp *p, unsigned disk)
{
    return &scp_disk_at(p, disk)->dk_spec;
}

struct sim_disk *scp_sim_disk(const struct scp *p, unsigned disk)
{
    const struct scp_disk *dk = scp_disk_at(p, disk);

    if (!scp_disk_present(p, disk))
        return NULL;
    return sim_disk_find(p->p_adapters[dk->dk_adapter].a_bus, dk->dk_id, dk->dk_lun);
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
    if (!scp_disk_present(p, disk))
        return ENXIO;
    return scp_file_once(p, scp_disk_devno(p, disk), &p->p_disks[disk].dk_file, fpp);
}

int scp_adapter_file(struct scp *p, unsigned adapter, struct file **fpp)
{
    return scp_file_once(p, scp_adapter_devno(p, adapter), &p->p_adapters[adapter].a_file, fpp);
}
