/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iocinfo.c - an ordinary program's view of a mount: ask the adapter and a disk what they are with
 * IOCINFO, and the adapter whether it takes gathered writes with SCIOGTHW, all by ioctl(2).
 *
 *   cc $(pkg-config --cflags scpair) iocinfo.c -o iocinfo
 *   ./iocinfo [--json] MOUNTPOINT
 *
 * Nothing is linked with: the headers alone describe the interface.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/devinfo.h>
#include <sys/ioctl.h>
#include <sys/scsi.h>
#include <unistd.h>

static int open_node(const char *mount, const char *node)
{
    char path[4096];
    int fd;

    if (snprintf(path, sizeof(path), "%s/%s", mount, node) >= (int)sizeof(path)) {
        fprintf(stderr, "iocinfo: %s: path too long\n", mount);
        return -1;
    }
    fd = open(path, O_RDONLY);
    if (fd < 0)
        fprintf(stderr, "iocinfo: %s: %s; is a pair mounted there?\n", path, strerror(errno));
    return fd;
}

int main(int argc, char **argv)
{
    int json = argc > 1 && strcmp(argv[1], "--json") == 0;
    struct devinfo adapter, disk;
    int scsi, raw, gather, gather_errno;

    if (argc != 2 + json) {
        fprintf(stderr, "usage: iocinfo [--json] MOUNTPOINT\n");
        return 2;
    }
    scsi = open_node(argv[1 + json], "scsi0");
    raw = open_node(argv[1 + json], "rhdisk0");
    if (scsi < 0 || raw < 0)
        return 1;
    memset(&adapter, 0xee, sizeof(adapter));
    memset(&disk, 0xee, sizeof(disk));
    if (ioctl(scsi, IOCINFO, &adapter) != 0 || ioctl(raw, IOCINFO, &disk) != 0) {
        fprintf(stderr, "iocinfo: IOCINFO: %s\n", strerror(errno));
        return 1;
    }
    errno = 0;
    gather = ioctl(scsi, SCIOGTHW, 0);
    gather_errno = errno;
    close(scsi);
    close(raw);

    if (json) {
        printf("{\"scsi0\":{\"devtype\":\"%c\",\"devsubtype\":%u,\"card_scsi_id\":%u,"
               "\"max_transfer\":%llu},\"rhdisk0\":{\"devtype\":\"%c\",\"flags\":%u,\"devsubtype\":%u,"
               "\"numblks\":%llu,\"blksize\":%u,\"max_request\":%llu},"
               "\"sciogthw\":%d,\"sciogthw_errno\":\"%s\"}\n",
               adapter.devtype, adapter.devsubtype, adapter.un.scsi.card_scsi_id,
               (unsigned long long)adapter.un.scsi.max_transfer, disk.devtype, disk.flags, disk.devsubtype,
               (unsigned long long)disk.un.scdk.numblks, disk.un.scdk.blksize,
               (unsigned long long)disk.un.scdk.max_request, gather,
               gather == 0              ? ""
               : gather_errno == EINVAL ? "EINVAL"
                                        : strerror(gather_errno));
    } else {
        printf("scsi0:   devtype '%c' (bus), subtype %u, own SCSI id %u, maximum transfer %llu bytes\n",
               adapter.devtype, adapter.devsubtype, adapter.un.scsi.card_scsi_id,
               (unsigned long long)adapter.un.scsi.max_transfer);
        printf("rhdisk0: devtype '%c' (disk), subtype %u, %llu blocks of %u bytes, "
               "largest request %llu bytes\n",
               disk.devtype, disk.devsubtype, (unsigned long long)disk.un.scdk.numblks, disk.un.scdk.blksize,
               (unsigned long long)disk.un.scdk.max_request);
        if (gather == 0)
            printf("SCIOGTHW: 0: gathered writes are supported\n");
        else
            printf("SCIOGTHW: %d (%s): no gathered writes\n", gather,
                   gather_errno == EINVAL ? "EINVAL" : strerror(gather_errno));
    }
    return 0;
}
