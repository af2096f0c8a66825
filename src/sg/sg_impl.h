/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_impl.h - private to src/sg: the preload library that lets programs written for Linux' SCSI
 * generic interface talk to an scpair disk.
 *
 * A program's open() and ioctl() come here first (sg_preload.c). What is behind a descriptor is
 * found out at each call (sg_target.c), so that descriptors which were duplicated, inherited or
 * opened in a way we do not see work as well, and the library keeps nothing about the program's
 * files. A command in either of SG_IO's two headers (sg_io.c) becomes a struct sg_command, and that
 * goes through a mount (sg_mount.c, in pieces by sg_split.c) or to a pair in this process
 * (sg_pair.c).
 *
 * Locks: sg_pair.c has one, which it holds for reading while a command runs. Everything else is on
 * the caller's stack.
 */
#ifndef SG_IMPL_H
#define SG_IMPL_H

#include <scpair/scpair.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SG_IO's host_status: what an adapter can say. Values of the Linux interface. */
enum {
    SG_HOST_OK = 0x00,
    SG_HOST_NO_CONNECT = 0x01,
    SG_HOST_TIME_OUT = 0x03,
    SG_HOST_ABORT = 0x05,
    SG_HOST_ERROR = 0x07,
    SG_HOST_RESET = 0x08
};
#define SG_DRIVER_SENSE 0x08u /* driver_status: sense was fetched */

#define SG_VERSION_NUM     30536  /* 3.5.36: the interface as of today's kernels */
#define SG_TIMEOUT_MS      60000u /* when a command names none */
#define SG_BLOCKS_MAX      255u   /* what BLKSECTGET tells at most */
#define SG_JIFFIES_PER_SEC 100    /* the unit of SG_SET_TIMEOUT */

/* One command, whatever header it came in. */
struct sg_command {
    uint8_t cm_cdb[16];
    uint8_t cm_cdb_bytes;
    bool cm_in;       /* data comes from the device */
    uint8_t *cm_data; /* page-aligned, cm_bytes long; NULL without data */
    uint32_t cm_bytes;
    uint32_t cm_timeout_s;
    /* Out. */
    uint32_t cm_resid;
    uint8_t cm_status;
    uint8_t cm_sense_bytes;
    uint16_t cm_host; /* SG_HOST_* */
    uint8_t cm_sense[SC_PASSTHRU_SENSE];
};

/* What a descriptor leads to. */
enum sg_kind { SG_KIND_MOUNT, SG_KIND_PAIR };
struct sg_target {
    enum sg_kind tg_kind;
    int tg_fd;         /* MOUNT */
    unsigned tg_disk;  /* PAIR: which disk */
    unsigned tg_nexus; /* PAIR: 0 the driver pair, 1 the second initiator on the bus */
    struct sc_disk_info tg_info;
};

/* ------------------------------------------------------------------ sg_preload.c */

/* The C library's own functions. Any thread. */
int sg_real_open(const char *path, int flags, unsigned mode);
int sg_real_ioctl(int fd, unsigned long cmd, void *arg);
int sg_real_fstat(int fd, void *st);

/* ------------------------------------------------------------------ sg_target.c */

/* Is there one of our disks behind this descriptor? Then *t is filled. errno stays. */
bool sg_target_find(int fd, struct sg_target *t);
/* Send a command. 0 when it has a status, or an errno when it had no chance to get one. */
int sg_target_send(const struct sg_target *t, struct sg_command *cm);
/* Largest data phase of one command, bytes. */
uint32_t sg_target_bytes_max(const struct sg_target *t);

/* ------------------------------------------------------------------ sg_ioctl.c */

/* True when `cmd` is one that we answer for a disk of ours. */
bool sg_ioctl_ours(unsigned long cmd);
/* Answer it. 0 or more, or a negative errno. */
int sg_ioctl(const struct sg_target *t, unsigned long cmd, void *arg);

/* ------------------------------------------------------------------ sg_io.c */

/* SG_IO with either header. 0, or a negative errno. */
int sg_io(const struct sg_target *t, void *header);

/* ------------------------------------------------------------------ sg_result.c: shared by both back ends */

/* DK_PASSTHRU's structure for a command, without data and without the results. */
void sg_passthru_fill(const struct sg_command *cm, struct sc_passthru *pt);
/* Take its results over. `error` is what the ioctl ended with. 0 or an errno, as sg_target_send. */
int sg_passthru_result(struct sg_command *cm, const struct sc_passthru *pt, int error);

/* ------------------------------------------------------------------ sg_mount.c */

/* Is it a disk on a mount of ours? Fills info. */
bool sg_mount_find(int fd, struct sc_disk_info *info);
int sg_mount_send(const struct sg_target *t, struct sg_command *cm);

/* ------------------------------------------------------------------ sg_split.c */

/* How a command that is too long for one call may be sent all the same. */
enum sg_split {
    SG_SPLIT_NO,    /* not at all */
    SG_SPLIT_ALLOC, /* ask for less: the answer is cut to an allocation length anyway */
    SG_SPLIT_BLOCKS /* block by block: a READ or WRITE whose data length is its blocks */
};
enum sg_split sg_split_how(const struct sg_command *cm, uint32_t block_bytes);
/* Change the CDB: another allocation length; the range of an SG_SPLIT_BLOCKS command. */
void sg_split_set_alloc(struct sg_command *cm, uint32_t bytes);
void sg_split_get_range(const struct sg_command *cm, uint64_t *lba, uint32_t *blocks);
void sg_split_set_range(struct sg_command *cm, uint64_t lba, uint32_t blocks);

/* ------------------------------------------------------------------ sg_pair.c */

/* Where the devices of a pair in this process are, when SCPAIR_SG_DISK names disks. */
#define SG_PAIR_DIRECTORY "/dev/scpair/"
#define SG_PAIR_VARIABLE  "SCPAIR_SG_DISK"
/* True when the path is below that directory and the variable is set. */
bool sg_pair_path(const char *path);
/* Open one: a descriptor, or -1 with errno. The first call builds the pair. */
int sg_pair_open(const char *path, int flags);
/* The disk a descriptor of sg_pair_open leads to. */
bool sg_pair_find(int fd, struct sg_target *t);
int sg_pair_send(const struct sg_target *t, struct sg_command *cm);
/* Take the pair down; descriptors lead nowhere afterwards. The number of blocks that leaked. */
size_t sg_pair_end(void);

#endif /* SG_IMPL_H */
