/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_target.c - which disk a descriptor leads to, and the way there.
 *
 * Does not contain: either way (sg_mount.c, sg_pair.c).
 */
#define _GNU_SOURCE
#include "sg_impl.h"

bool sg_target_find(int fd, struct sg_target *t)
{
    int saved = errno;
    bool found;

    memset(t, 0, sizeof(*t));
    t->tg_fd = fd;
    found = sg_pair_find(fd, t);
    if (!found && sg_mount_find(fd, &t->tg_info)) {
        t->tg_kind = SG_KIND_MOUNT;
        found = true;
    }
    errno = saved;
    return found;
}

int sg_target_send(const struct sg_target *t, struct sg_command *cm)
{
    return t->tg_kind == SG_KIND_MOUNT ? sg_mount_send(t, cm) : sg_pair_send(t, cm);
}

uint32_t sg_target_bytes_max(const struct sg_target *t)
{
    return t->tg_info.transfer_bytes_max < UINT32_MAX ? (uint32_t)t->tg_info.transfer_bytes_max : UINT32_MAX;
}
