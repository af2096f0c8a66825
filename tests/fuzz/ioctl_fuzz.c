/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl_fuzz.c - random ioctl arguments to the adapter and to a disk, as a user could send them.
 *
 * The argument is a block of exactly the size the number promises, so that a sanitizer sees any
 * byte read or written beyond it. Numbers are mostly real ones, now and then random. Structures
 * are random, random but plausible (good id, good lengths), or all zeroes. Nothing may crash, hang
 * or leak; the answer must be 0 or an errno below 512.
 *
 *   ioctl_fuzz [--seed N] [--seconds N]     the seed used is printed; runs on the threaded host
 *
 * Does not contain: checks that the right errno comes back; the unit tests have those.
 */
#define _GNU_SOURCE
#define FUZZ_NAME "ioctl_fuzz"
#include "fuzz.h"

#include <scpair/scpair.h>
#include <scpair/shim.h>

#define DISK_BYTES   (1u << 20)
#define ROUND_IOCTLS 2000u

static uint64_t calls;

static const unsigned adapter_cmds[] = {IOCINFO,  SCIOSTART, SCIOSTOP,    SCIOHALT,   SCIORESET,
                                        SCIOGTHW, SCIOEVENT, SCIOINQU,    SCIOSTUNIT, SCIOTUR,
                                        SCIOREAD, SCIOCMD,   SCIOLUNSTAT, SCIOSTAT,   SCIOFLIGHT};
static const unsigned disk_cmds[] = {IOCINFO,      DKIORDSE, DKIOWRSE, DKIOCMD, DK_PASSTHRU, DKPMR,
                                     DKAMR,        DKEJECT,  DKFORMAT, DKFLUSH, DKUNMAP,     DKZERO,
                                     DKZERO_UNMAP, DKEXTENT, DKINFO,   DKSTATS, DKFLIGHT,    DKFLUSHMARK};

/* Bytes that come close to what a sensible caller would send, so that more than the first check is reached.
 */
static void make_plausible(unsigned cmd, uint8_t *arg, size_t size)
{
    memset(arg, 0, size);
    if (cmd == SCIOCMD || cmd == DK_PASSTHRU || cmd == DKIOCMD) {
        static const uint8_t lengths[] = {6, 10, 12, 16};
        struct sc_passthru pt;

        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.flags = rnd() & 1;
        pt.command_length = lengths[rnd() & 3];
        for (unsigned i = 0; i < sizeof(pt.scsi_cdb); i++)
            pt.scsi_cdb[i] = (uint8_t)rnd();
        pt.scsi_cdb[1] &= 0x1f;
        pt.data_length = rnd() % (SC_PASSTHRU_INLINE + 64);
        pt.autosense_length = (uint8_t)rnd();
        pt.q_tag_msg = rnd() & 1 ? SC_SIMPLE_Q : SC_NO_Q;
        pt.timeout_value = 5;
        memcpy(arg, &pt, size);
    } else if (cmd == DKUNMAP || cmd == DKZERO || cmd == DKZERO_UNMAP || cmd == DKEXTENT) {
        struct sc_range range = {rnd() % (2 * DISK_BYTES) & ~511ull, rnd() % DISK_BYTES & ~511ull};

        memcpy(arg, &range, sizeof(range));
    } else if (cmd == DKIORDSE || cmd == DKIOWRSE) {
        struct sc_rdwrt io;

        memset(&io, 0, sizeof(io));
        io.lba = rnd() % (DISK_BYTES / 256);
        io.data_length = (uint32_t)(rnd() % (SC_DISK_IO_INLINE + 1024)) & ~511u;
        io.req_sense_length = (uint16_t)(rnd() % 300);
        memcpy(arg, &io, size);
    } else {
        for (size_t i = 2; i < size && i < 24; i++)
            arg[i] = rnd() % 3 ? 0 : (uint8_t)rnd();
    }
}

static void one_ioctl(struct file *fp, const unsigned *cmds, size_t ncmds)
{
    unsigned cmd = rnd() % 16 ? cmds[rnd() % ncmds] : (unsigned)rnd();
    size_t size = SC_IOC_SIZE(cmd);
    uint8_t *arg = malloc(size ? size : 1);
    intptr_t word;
    int error;

    MUST(arg, "no memory");
    switch (rnd() % 4) {
    case 0:
        memset(arg, rnd() & 1 ? 0 : 0xff, size);
        break;
    case 1:
        for (size_t i = 0; i < size; i++)
            arg[i] = (uint8_t)rnd();
        break;
    default:
        make_plausible(cmd, arg, size);
        break;
    }
    /* A plain word: small ids and LUNs, or anything. The disk's own path (0/0) stays alone mostly. */
    word = rnd() % 4 ? SC_ARG(rnd() % 18, rnd() % 34) : (intptr_t)rnd();
    fuzz_last = cmd;
    error = fp_ioctlx(fp, cmd, size ? (intptr_t)arg : word, 0, DREAD | DWRITE | DAUTH);
    MUST(error >= 0 && error < 512, "ioctl %#x: errno %d", cmd, error);
    calls++;
    free(arg);
}

static void round_of(void)
{
    struct scp_disk_spec disks[2] = {
        {.size = sizeof(disks[0]), .medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES},
        {.size = sizeof(disks[0]), .medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES, .block_bytes = 4096}};
    struct scp_spec spec = {.disks = disks, .ndisks = 2, .transfer_bytes_max = 65536};
    struct file *disk[2], *adapter;
    char text[SCP_ERROR_MAX];
    struct scp *pair;

    spec.no_gather = rnd() & 1;
    spec.clears_queue = rnd() & 1;
    MUST(scp_create(&spec, &pair, text, sizeof(text)) == 0, "create: %s", text);
    for (unsigned i = 0; i < 2; i++) {
        int ext = rnd() % 4 == 0 ? SC_DIAGNOSTIC : rnd() % 4 == 0 ? SC_SINGLE : 0;
        int error = fp_opendev(scp_disk_devno(pair, i), DREAD | DWRITE | DKERNEL, NULL, ext, &disk[i]);

        MUST(error == 0, "open with ext %#x: %s", ext, scp_strerror(error));
    }
    MUST(fp_opendev(scp_adapter_devno(pair, 0), DREAD | DWRITE, NULL, 0, &adapter) == 0, "open of scsi0");
    for (unsigned i = 0; i < ROUND_IOCTLS; i++) {
        if (rnd() & 1)
            one_ioctl(adapter, adapter_cmds, SC_ARRAY_SIZE(adapter_cmds));
        else
            one_ioctl(disk[rnd() & 1], disk_cmds, SC_ARRAY_SIZE(disk_cmds));
    }
    /* A user may have stopped a path under the driver: then its own close may say so, and no more. */
    for (unsigned i = 0; i < 2; i++)
        (void)fp_close(disk[i]);
    (void)fp_close(adapter);
    MUST(scp_destroy(pair) == 0, "leak");
}

int main(int argc, char **argv)
{
    /* A fuzzed START STOP UNIT leaves a disk "not ready", which is retried with a delay each time. */
    (void)setenv("SCPAIR_DD_BUSY_MS", "1", 1);
    fuzz_run(argc, argv, round_of);
    printf("ioctl_fuzz: %llu ioctls, last seed %llu\n", (unsigned long long)calls, (unsigned long long)seed);
    return 0;
}
