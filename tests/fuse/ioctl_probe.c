/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl_probe.c - the ioctls of the contract, called on a mount as any program would.
 *
 * usage: ioctl_probe MOUNT. Two disks: hdisk0 of 512-byte blocks, hdisk1 of 4096 and read-only.
 * Uses only the public headers and ioctl(2). One "ok" or "FAIL" line per check.
 */
#define _GNU_SOURCE
#include <sys/devinfo.h>
#include <sys/scdisk.h>
#include <sys/scsi.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int failures;

static void check(const char *what, int good)
{
    printf("%s %s\n", good ? "ok  " : "FAIL", what);
    failures += !good;
}

/* ioctl, with the errno as the result. */
static int call(int fd, unsigned long cmd, void *arg) { return ioctl(fd, cmd, arg) == 0 ? 0 : errno; }
static int call_word(int fd, unsigned long cmd, intptr_t word)
{
    return ioctl(fd, cmd, word) == 0 ? 0 : errno;
}

static int open_node(const char *mount, const char *name, int flags)
{
    char path[4096];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", mount, name);
    fd = open(path, flags);
    if (fd < 0) {
        perror(path);
        _exit(1);
    }
    return fd;
}

static void probe_adapter_info(int fd)
{
    struct devinfo info;
    struct sc_adapter_stats st = {0};

    memset(&info, 0xff, sizeof(info));
    check("AIX_25 IOCINFO on scsi0 needs no SCIOSTART", call(fd, IOCINFO, &info) == 0);
    check("scsi0 is a SCSI bus", info.devtype == DD_BUS && info.devsubtype == DS_SCSI && info.flags == 0);
    check("AIX_10 its maximum transfer is at least SC_MAXREQUEST",
          info.un.scsi.max_transfer >= SC_MAXREQUEST);
    check("AIX_15 SCIOGTHW", call(fd, SCIOGTHW, NULL) == 0);
    check("SCIOSTAT", call(fd, SCIOSTAT, &st) == 0 && st.credits > 0);
}

static void probe_adapter_paths(int fd)
{
    struct sc_inquiry inq = {.scsi_id = 5, .inquiry_len = 36};
    struct sc_ready tur = {.scsi_id = 5};
    struct devinfo info = {0};
    struct sc_event_struct ev = {0};
    int error;

    (void)call(fd, IOCINFO, &info);
    check("AIX_25 SCIOSTART of the adapter's own id: EINVAL",
          call_word(fd, SCIOSTART, SC_ARG(info.un.scsi.card_scsi_id, 0)) == EINVAL);
    check("AIX_25 SCIOINQU before SCIOSTART: EINVAL", call(fd, SCIOINQU, &inq) == EINVAL);
    check("AIX_25 SCIOSTOP before SCIOSTART: EINVAL", call_word(fd, SCIOSTOP, SC_ARG(5, 0)) == EINVAL);
    check("AIX_26 SCIOHALT before SCIOSTART: EINVAL", call_word(fd, SCIOHALT, SC_ARG(5, 0)) == EINVAL);
    check("AIX_25 SCIOSTART of an id with nothing there", call_word(fd, SCIOSTART, SC_ARG(5, 0)) == 0);
    check("AIX_25 SCIOSTART twice: EINVAL", call_word(fd, SCIOSTART, SC_ARG(5, 0)) == EINVAL);
    check("SCIOINQU where nothing answers: ENODEV", call(fd, SCIOINQU, &inq) == ENODEV);
    error = call(fd, SCIOTUR, &tur);
    check("SCIOTUR where nothing answers: ENODEV", error == ENODEV);
    check("AIX_25 SCIOSTOP", call_word(fd, SCIOSTOP, SC_ARG(5, 0)) == 0);
    check("AIX_27 SCIOEVENT is for kernel callers: EPERM", call(fd, SCIOEVENT, &ev) == EPERM);
}

/* hdisk1 sits at id 1; nobody has it open, so its path can be started from here. */
static void probe_adapter_device(int fd)
{
    struct sc_inquiry inq = {.scsi_id = 1, .inquiry_len = 36};
    struct sc_ready tur = {.scsi_id = 1};
    struct sc_readblk rb = {.scsi_id = 1, .blklen = 4096, .blk_no = 0, .timeout_value = 10};

    check("SCIOSTART of hdisk1's path", call_word(fd, SCIOSTART, SC_ARG(1, 0)) == 0);
    check("SCIOINQU", call(fd, SCIOINQU, &inq) == 0);
    check("INQUIRY data says direct-access", (inq.inquiry_data[0] & 0x1f) == 0 && inq.inquiry_data[4] >= 31);
    inq.inquiry_ptr = (uint64_t)(uintptr_t)&inq;
    check("SCIOINQU with a pointer, through a mount: EFAULT", call(fd, SCIOINQU, &inq) == EFAULT);
    (void)call(fd, SCIOTUR, &tur);
    check("SCIOTUR", call(fd, SCIOTUR, &tur) == 0);
    check("SCIOREAD", call(fd, SCIOREAD, &rb) == 0);
    rb.blklen = 4097;
    check("SCIOREAD of more than 4096 bytes: EINVAL", call(fd, SCIOREAD, &rb) == EINVAL);
    check("SCIOSTOP", call_word(fd, SCIOSTOP, SC_ARG(1, 0)) == 0);
}

static void probe_disk(int fd)
{
    struct devinfo info = {0};
    struct sc_disk_info k = {0};
    struct sc_disk_stats st = {0};
    struct sc_extent e = {0};
    struct sc_flush fl = {.how = SC_FLUSH_OPEN};
    uint64_t bytes = 0;

    check("IOCINFO on rhdisk0", call(fd, IOCINFO, &info) == 0);
    check("rhdisk0 is a disk", info.devtype == DD_SCDISK && info.devsubtype == DS_SCSI);
    check("of 512-byte blocks", info.un.scdk.blksize == 512 && info.un.scdk.numblks == (64u << 20) / 512);
    check("its max_request is the adapter's", info.un.scdk.max_request >= SC_MAXREQUEST);
    check("DKINFO", call(fd, DKINFO, &k) == 0 && k.blocks == info.un.scdk.numblks && k.block_bytes == 512);
    check("DKSTATS", call(fd, DKSTATS, &st) == 0);
    check("DKFLUSH", call(fd, DKFLUSH, NULL) == 0);
    check("DKFLUSHMARK", call(fd, DKFLUSHMARK, &fl) == 0);
    check("DKEXTENT", call(fd, DKEXTENT, &e) == 0 && e.length != 0);
    check("BLKGETSIZE64", call(fd, BLKGETSIZE64, &bytes) == 0 && bytes == (64u << 20));
    check("DKEJECT on a fixed disk: EINVAL", call(fd, DKEJECT, NULL) == EINVAL);
    check("SCIOGTHW is not for disks: EINVAL", call(fd, SCIOGTHW, NULL) == EINVAL);
    check("an unknown ioctl: EINVAL", call(fd, SC_IOR('D', 99, struct devinfo), &info) == EINVAL);
}

static void probe_disk_data(int fd)
{
    static struct sc_rdwrt rw;
    static struct sc_passthru pt;
    struct sc_range range = {0, 4096};

    memset(&rw, 0, sizeof(rw));
    rw.lba = 8;
    rw.data_length = 1024;
    memset(rw.data, 0x77, 1024);
    check("DKIOWRSE", call(fd, DKIOWRSE, &rw) == 0);
    memset(rw.data, 0, 1024);
    check("DKIORDSE", call(fd, DKIORDSE, &rw) == 0 && rw.data[0] == 0x77 && rw.data[1023] == 0x77);
    rw.req_sense_length = 256;
    check("DKIORDSE with a sense length above 255: EINVAL", call(fd, DKIORDSE, &rw) == EINVAL);
    rw.req_sense_length = 0;
    rw.buffer = (uint64_t)(uintptr_t)&rw;
    check("DKIORDSE with a pointer, through a mount: EFAULT", call(fd, DKIORDSE, &rw) == EFAULT);
    check("DKZERO", call(fd, DKZERO, &range) == 0);
    range.offset = 7;
    check("DKZERO of part of a block: EINVAL", call(fd, DKZERO, &range) == EINVAL);
    range.offset = 1ull << 40;
    check("DKZERO past the end: ENXIO", call(fd, DKZERO, &range) == ENXIO);

    pt.version = SC_VERSION_1;
    pt.flags = SC_PT_READ;
    pt.command_length = 6;
    pt.timeout_value = 10;
    pt.data_length = 36;
    pt.scsi_cdb[0] = 0x12; /* INQUIRY */
    pt.scsi_cdb[4] = 36;
    check("DK_PASSTHRU of an INQUIRY", call(fd, DK_PASSTHRU, &pt) == 0 && pt.data[4] >= 31);
    pt.data_length = 1ull << 40;
    check("DK_PASSTHRU of too much: EINVAL, field 18",
          call(fd, DK_PASSTHRU, &pt) == EINVAL && pt.einval_arg == SC_EINVAL_LENGTH);
    check("DKIOCMD outside diagnostic mode: EACCES", call(fd, DKIOCMD, &pt) == EACCES);
    check("DKFORMAT outside exclusive mode: EACCES", call(fd, DKFORMAT, NULL) == EACCES);
}

/* The structure comes back although the call failed: its fields say why. */
static void probe_sense(int fd)
{
    static struct sc_passthru pt;

    memset(&pt, 0, sizeof(pt));
    pt.version = SC_VERSION_1;
    pt.command_length = 6;
    pt.timeout_value = 10;
    pt.autosense_length = 18;
    pt.scsi_cdb[0] = 0x02; /* no such command */
    check("DK_PASSTHRU of an unknown command: EIO", call(fd, DK_PASSTHRU, &pt) == EIO);
    check("its status comes back",
          pt.status_validity == SC_SCSI_ERROR && pt.scsi_bus_status == SC_CHECK_CONDITION);
    check("and its sense: illegal request", pt.sense_bytes >= 14 && (pt.autosense[2] & 0xf) == 5);
}

static void probe_read_only(int fd)
{
    struct sc_range range = {0, 4096};

    check("DKUNMAP on a handle opened for reading: EBADF", call(fd, DKUNMAP, &range) == EBADF);
}

int main(int argc, char **argv)
{
    int scsi0, disk, ro;

    if (argc != 2) {
        fprintf(stderr, "usage: ioctl_probe MOUNT\n");
        return 2;
    }
    scsi0 = open_node(argv[1], "scsi0", O_RDWR);
    probe_adapter_info(scsi0);
    probe_adapter_paths(scsi0);
    probe_adapter_device(scsi0);
    disk = open_node(argv[1], "rhdisk0", O_RDWR);
    probe_disk(disk);
    probe_disk_data(disk);
    probe_sense(disk);
    ro = open_node(argv[1], "rhdisk1", O_RDONLY);
    probe_read_only(ro);
    close(ro);
    close(disk);
    close(scsi0);
    return failures != 0;
}
