/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace_make.c - does a few known things on the deterministic host and prints the trace of it, for
 * trace_test.py, which knows what must be in there to the nanosecond. A disk command takes a millisecond.
 *
 * "trace_make lost": the same with so small a ring that only the end is left.
 * "trace_make again": only the hooks of a request whose end is not told, and of another one at its address.
 */
#define _GNU_SOURCE
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/trchkid.h>

static struct scp *pair;
static _Alignas(4096) uint8_t data[4][16384];

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "trace_make: %s\n", what);
        exit(1);
    }
}

static void buf_init(struct buf *bp, uint64_t blkno, unsigned i)
{
    memset(bp, 0, sizeof(*bp));
    bp->b_flags = B_READ | B_MPSAFE;
    bp->b_dev = scp_disk_devno(pair, 0);
    bp->b_blkno = (daddr_t)blkno;
    bp->b_un.b_addr = (void *)data[i];
    bp->b_bcount = 4096;
    bp->b_xmemd.aspace_id = XMEM_GLOBAL;
    bp->b_iodone = iodone_wakeup;
}

/* Two that cannot be one command, at the device at the same time. */
static void overlap(void)
{
    struct buf a, b;

    buf_init(&a, 4096, 0);
    buf_init(&b, 8192, 1);
    must(devstrat(&a) == 0 && devstrat(&b) == 0, "devstrat");
    must(iowait(&a) == 0 && iowait(&b) == 0, "iowait");
}

/* As if the record of the first one's end had been overwritten. */
static void again(void)
{
    const uint64_t address = 0x1000;
    const devno_t devno = scp_disk_devno(pair, 0);

    must(trc_start(64) == 0, "trc_start");
    TRCHKL5T(HKWD_DD_STRATEGY, devno, address, 8, 4096, B_READ);
    TRCHKL5T(HKWD_DD_STRATEGY, devno, address, 16, 4096, B_READ);
    TRCHKL5T(HKWD_DD_IODONE, devno, address, 0, 0, 0);
    trc_stop();
}

static void print_trace(void)
{
    char *text = scp_trace_json(pair);

    must(text != NULL, "scp_trace_json");
    fputs(text, stdout);
    free(text);
}

int main(int argc, char **argv)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 16u << 20, .latency_ns = 1000000};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .host = shim_det_host(1)};
    bool lost = argc > 1 && strcmp(argv[1], "lost") == 0;
    char err[SCP_ERROR_MAX] = "";
    struct scp_block *block;
    struct file *disk;
    struct buf last;
    size_t done;

    must(scp_create(&spec, &pair, err, sizeof(err)) == 0, err);
    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        again();
        print_trace();
        must(scp_destroy(pair) == 0, "something was leaked");
        return 0;
    }
    must(fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &disk) == 0, "open");
    must(scp_block_open(scp_disk_devno(pair, 0), DREAD, &block) == 0, "open the block device");
    must(trc_start(lost ? 64 : 4096) == 0, "trc_start");
    must(scp_raw_write(disk, data[0], 4096, 8192, 0, &done) == 0 && done == 4096, "write");
    must(scp_block_read(block, data[0], 16384, 65536, &done) == 0 && done == 16384, "read of four pages");
    must(scp_inject(pair, "hdisk0 op=read lba=1000 count=1 do=check:3/11/00", err, sizeof(err)) == 0, err);
    must(scp_raw_read(disk, data[0], 4096, 512000, &done) == 0 && done == 4096, "read with one error");
    overlap();
    buf_init(&last, 1u << 30, 0);
    must(devstrat(&last) == 0 && iowait(&last) == ENXIO, "a read past the end");
    buf_init(&last, 0, 0);
    must(devstrat(&last) == 0, "devstrat");
    trc_stop();
    print_trace();
    must(iowait(&last) == 0, "iowait");
    scp_block_close(block);
    must(fp_close(disk) == 0, "close");
    must(scp_destroy(pair) == 0, "something was leaked");
    return 0;
}
