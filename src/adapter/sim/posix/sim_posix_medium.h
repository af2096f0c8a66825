/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_posix_medium.h - a simulated disk's blocks in a file or on a block device.
 *
 * For those who build a system on the posix host (src/scp, tests). Does not contain: the other
 * media (sim.h).
 */
#ifndef SIM_POSIX_MEDIUM_H
#define SIM_POSIX_MEDIUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_medium_ops;

/*
 * Open `path`, an existing regular file or block device, for sim_disk_config.sd_ops/sd_medium.
 * `direct` opens with O_DIRECT. *bytes gets the size. Until the medium is closed the file is locked
 * against another scpair (shared when read_only), with a loop device the file behind it as well, and a block
 * device that may be written is held exclusively: EBUSY while it is mounted.
 * 0, or an errno with one line in err (size bytes) that names the file and what to do. Process.
 */
int sim_posix_open(const char *path, bool read_only, bool direct, uint64_t *bytes,
                   const struct sim_medium_ops **ops, void **medium, char *err, size_t size);

#endif /* SIM_POSIX_MEDIUM_H */
