/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_impl.h - private to src/scp: the assembled pair's own structure, and what the pairs of a
 * process share.
 */
#ifndef SCP_IMPL_H
#define SCP_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <scpair/ad_hw.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdio.h>

#include "../adapter/sim/sim.h"

#define SCP_NAME_MAX 16u

/* What a slot of p_disks has. */
enum scp_slot { SCP_SLOT_FREE, SCP_SLOT_THERE, SCP_SLOT_GONE };

struct scp_disk {
    _Atomic int dk_state;         /* enum scp_slot; scp_plug.c */
    struct scp_disk_spec dk_spec; /* in force; the path is ours */
    char dk_name[SCP_NAME_MAX];   /* "hdisk0" */
    int dk_minor;                 /* -1: none yet */
    unsigned dk_adapter;
    uint8_t dk_id, dk_lun;
    bool dk_configured;   /* scdisk_config(CFG_INIT) done */
    bool dk_on_bus;       /* unplugged, but the bus could not let it go */
    struct file *dk_file; /* scp_disk_file()'s handle, or NULL */
};

struct scp_adapter {
    struct scp_adapter_spec a_spec; /* in force */
    char a_name[SCP_NAME_MAX];      /* "scsi0" */
    int a_minor;                    /* -1: none yet */
    bool a_attached;
    unsigned a_first; /* the disks it began with are p_disks[a_first ...] */
    struct sim_bus *a_bus;
    struct file *a_file; /* scp_adapter_file()'s handle, or NULL */
};

struct scp {
    bool p_joined;    /* one of the process's pairs */
    uint32_t p_owner; /* shim_owner of its memory */
    uint64_t p_max_coalesce;
    const struct shim_host *p_host;
    unsigned p_nadapters;
    _Atomic unsigned p_ndisks; /* slots that were ever used */
    struct scp_adapter p_adapters[SCP_ADAPTERS_MAX];
    struct scp_disk p_disks[SCP_DISKS_MAX];
    pthread_mutex_t p_files_mutex; /* dk_file, a_file */
    pthread_rwlock_t p_slots;      /* see scp_plug.c */
};

/* Write one line into err (may be NULL); always returns `error`. */
int scp_fail(char *err, size_t size, int error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ------------------------------------------------------------------ scp.c */

/* Disk number `index` of an adapter has this place on its bus. */
void scp_place_disk(unsigned index, uint8_t *id, uint8_t *lun);
/* Give a disk its device number and name; EMFILE. */
int scp_number_disk(struct scp_disk *dk, char *err, size_t size);
/* Put it on its adapter's bus, at dk_id and dk_lun; run the disk driver's configure method. */
int scp_disk_put(struct scp *p, unsigned i, char *err, size_t size);
int scp_disk_configure(struct scp *p, unsigned i, char *err, size_t size);

/* ------------------------------------------------------------------ scp_spec.c */

/*
 * Copy a specification of any size into a new pair, with defaults filled in and everything checked
 * that can be without building. 0 or an errno with a line in err.
 */
int scp_spec_take(struct scp *p, const struct scp_spec *spec, char *err, size_t size);
/* The same for one disk, of slot i. */
int scp_spec_disk(struct scp_disk *dk, const struct scp_disk_spec *spec, unsigned i, char *err, size_t size);
/* Give back what the copy holds. */
void scp_spec_drop(struct scp *p);

/* ------------------------------------------------------------------ scp_process.c */

/*
 * Configuration is one call at a time in the whole process: everything below, ad_attach and the
 * configure methods are called with this held.
 */
void scp_config_lock(void);
void scp_config_unlock(void);
/*
 * One more pair; the first installs the host and starts the services. *owner is whom its memory is to be put
 * down to. 0 or an errno with a line in err.
 */
int scp_process_join(const struct shim_host *host, uint32_t *owner, char *err, size_t size);
/* One pair less; the last takes them down. Returns the blocks that it, or if last anybody, has not given
 * back.
 */
size_t scp_process_part(uint32_t owner);
/* The lowest free minor number of a major, or -1. */
int scp_minor_take(unsigned major);
void scp_minor_give(unsigned major, int minor);

/* ------------------------------------------------------------------ scp_json.c, scp_flight.c */

/* A string with its quotation marks. */
void scp_json_string(FILE *f, const char *text);
/* ,"name":"2025-06-01T10:20:30.123456Z" where wall_ns was the time at monotonic 0. */
void scp_json_time(FILE *f, const char *name, uint64_t wall_ns, uint64_t ns);
uint64_t scp_json_wall_ns(void);
/* "READ", or NULL. */
const char *scp_opcode_text(uint8_t opcode);

#endif /* SCP_IMPL_H */
