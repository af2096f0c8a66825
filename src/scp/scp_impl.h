/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_impl.h - private to src/scp: the assembled pair's own structure.
 */
#ifndef SCP_IMPL_H
#define SCP_IMPL_H

#include <pthread.h>
#include <scpair/ad_hw.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>

#include "../adapter/sim/sim.h"

struct scp_disk {
    char dk_name[16]; /* "hdisk0" */
    uint8_t dk_id, dk_lun;
    bool dk_configured;   /* scdisk_config(CFG_INIT) done */
    struct file *dk_file; /* scp_disk_file()'s handle, or NULL */
};

struct scp {
    bool p_shim_up, p_kern_up, p_attached;
    bool p_posix; /* the host is ours to stop */
    struct sim_bus *p_bus;
    unsigned p_ndisks;
    struct scp_disk p_disks[SCP_DISKS_MAX];
    pthread_mutex_t p_files_mutex; /* dk_file, p_adapter_file */
    struct file *p_adapter_file;
};

/* Write one line into err (may be NULL); always returns `error`. */
int scp_fail(char *err, size_t size, int error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif /* SCP_IMPL_H */
