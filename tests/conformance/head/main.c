/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - puts the conformance head (thead.c) on a pair with one RAM disk and makes it work.
 *
 * Shows: two heads share one adapter; SCIOSTART of an id/LUN in use is refused (AIX-25); INQUIRY,
 * a spanned read (AIX-05, AIX-09) and, where SCIOGTHW promises it, a gathered write (AIX-14)
 * through devstrat; everything is given back at the end.
 *
 *   thead [--no-gather]
 */
#include <scpair/scpair.h>
#include <stdio.h>
#include <stdlib.h>

#include "thead.h"

#define HEAD_DEVNO SC_MAKEDEV(9, 0)
#define DISK_BYTES (1u << 20)
#define SPAN_BYTES (1024u + 2 * SC_PAGE_SIZE + 1536u)
#define SPAN_LBA   77u

#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "FAIL %s:%d: %s\n", __FILE__, __LINE__, #cond);                                  \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static _Alignas(SC_PAGE_SIZE) uint8_t disk_image[DISK_BYTES];
static _Alignas(SC_PAGE_SIZE) uint8_t memory[8 * SC_PAGE_SIZE];

/* Through scdisk: what the head must find. */
static void write_pattern(struct scp *pair)
{
    struct file *fp;
    size_t done = 0;

    for (size_t i = 0; i < DISK_BYTES; i++)
        disk_image[i] = (uint8_t)(i * 7 + i / 512);
    MUST(fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &fp) == 0);
    MUST(scp_raw_write(fp, disk_image, DISK_BYTES, 0, 0, &done) == 0 && done == DISK_BYTES);
    MUST(fp_close(fp) == 0);
}

static void configure_head(struct scp *pair)
{
    struct thead_dds dds = {.adapter_devno = scp_adapter_devno(pair, 0), .scsi_id = 0, .lun_id = 0};
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};

    MUST(thead_config(HEAD_DEVNO, CFG_INIT, &uio) == 0);
}

/* Three and more pieces whose inner edges lie on pages; the outer ones do not. */
static void span_read(struct file *head)
{
    struct thead_io io = {.lba = SPAN_LBA, .npieces = 4};

    io.pieces[0] = (struct iovec){memory + SC_PAGE_SIZE - 1024, 1024};
    io.pieces[1] = (struct iovec){memory + 3 * SC_PAGE_SIZE, SC_PAGE_SIZE};
    io.pieces[2] = (struct iovec){memory + 2 * SC_PAGE_SIZE, SC_PAGE_SIZE};
    io.pieces[3] = (struct iovec){memory + 5 * SC_PAGE_SIZE, 1536};
    memset(memory, 0, sizeof(memory));
    MUST(fp_ioctl(head, THEAD_SPAN_READ, (intptr_t)&io, 0) == 0);
    for (uint32_t i = 0, at = SPAN_LBA * 512; i < io.npieces; at += (uint32_t)io.pieces[i].iov_len, i++)
        MUST(memcmp(io.pieces[i].iov_base, disk_image + at, io.pieces[i].iov_len) == 0);
    /* An inner buffer off the page edge is the head's mistake: refused, and nothing is halted. */
    io.pieces[1].iov_base = memory + 3 * SC_PAGE_SIZE + 512;
    MUST(fp_ioctl(head, THEAD_SPAN_READ, (intptr_t)&io, 0) == EINVAL);
    printf("spanned read: %u bytes in %u pieces, one command\n", SPAN_BYTES, io.npieces);
}

static void gather_write(struct file *head, bool offered)
{
    static const size_t sizes[] = {1, 510, 0, 700, 837};
    struct thead_io io = {.lba = SPAN_LBA, .npieces = SC_ARRAY_SIZE(sizes)};
    size_t at = 3;

    for (uint32_t i = 0; i < io.npieces; i++) {
        io.pieces[i] = (struct iovec){memory + at, sizes[i]};
        memset(memory + at, (int)(0xa0 + i), sizes[i]);
        memcpy(disk_image + SPAN_LBA * 512 + (at - 3), memory + at, sizes[i]);
        at += sizes[i];
    }
    if (!offered) {
        /* SCIOGTHW said no: an attempt is refused instead of crashing (AIX-15). */
        MUST(fp_ioctl(head, THEAD_GATHER_WRITE, (intptr_t)&io, 0) == EINVAL);
        printf("gathered write: not offered, refused\n");
        return;
    }
    MUST((at - 3) % 512 == 0);
    MUST(fp_ioctl(head, THEAD_GATHER_WRITE, (intptr_t)&io, 0) == 0);
    span_read(head);
    printf("gathered write: %zu bytes in %u pieces, read back\n", at - 3, io.npieces);
}

/*
 * A device that is busy for a while, one whose queue is full and one that is gone for a while are got
 * over; one that stays away is an error, and it does not stay one when the device comes back.
 */
static void weather(struct scp *pair, struct file *head)
{
    static const char *const passing[] = {"hdisk0 op=any count=3 do=busy", "hdisk0 op=any count=1 do=qfull",
                                          "hdisk0 op=0x12 count=2 do=busy"};
    char inquiry[36], text[SCP_ERROR_MAX];

    for (size_t i = 0; i < SC_ARRAY_SIZE(passing); i++) {
        MUST(scp_inject(pair, passing[i], text, sizeof(text)) == 0);
        for (int again = 0; again < 3; again++)
            MUST(fp_ioctl(head, THEAD_INQUIRY, (intptr_t)inquiry, 0) == 0);
        MUST(scp_inject(pair, "hdisk0 clear", text, sizeof(text)) == 0);
    }
    MUST(scp_inject(pair, "hdisk0 op=any count=1 do=noresponse", text, sizeof(text)) == 0);
    MUST(fp_ioctl(head, THEAD_INQUIRY, (intptr_t)inquiry, 0) == EIO);
    MUST(fp_ioctl(head, THEAD_INQUIRY, (intptr_t)inquiry, 0) == 0);
    printf("busy, full and silent devices: got over\n");
}

int main(int argc, char **argv)
{
    struct scp_disk_spec disk = {.medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES};
    struct scp_spec spec = {.disks = &disk, .ndisks = 1};
    struct file *head, *other;
    struct thead_info info;
    char inquiry[36 + 1] = {0}, text[SCP_ERROR_MAX];
    struct scp *pair;

    spec.no_gather = argc > 1 && strcmp(argv[1], "--no-gather") == 0;
    if (scp_create(&spec, &pair, text, sizeof(text)) != 0) {
        fprintf(stderr, "FAIL %s\n", text);
        return 1;
    }
    printf("libscpair %s\n", scp_version());
    write_pattern(pair);
    configure_head(pair);

    MUST(fp_opendev(HEAD_DEVNO, DREAD | DWRITE, NULL, 0, &head) == 0);
    MUST(fp_opendev(scp_disk_devno(pair, 0), DREAD, NULL, 0, &other) != 0);
    MUST(fp_ioctl(head, THEAD_INFO, (intptr_t)&info, 0) == 0);
    MUST(info.transfer_bytes_max >= SC_MAXREQUEST);
    MUST(info.gather_errno == (spec.no_gather ? EINVAL : 0));
    MUST(fp_ioctl(head, THEAD_INQUIRY, (intptr_t)inquiry, 0) == 0);
    MUST((inquiry[0] & 0x1f) == 0 && inquiry[8] > ' ');
    printf("INQUIRY: '%.28s', adapter maximum %llu bytes\n", inquiry + 8,
           (unsigned long long)info.transfer_bytes_max);
    span_read(head);
    gather_write(head, !spec.no_gather);
    weather(pair, head);
    MUST(fp_close(head) == 0);

    MUST(fp_opendev(scp_disk_devno(pair, 0), DREAD, NULL, 0, &other) == 0);
    MUST(fp_close(other) == 0);
    MUST(thead_config(HEAD_DEVNO, CFG_TERM, NULL) == 0);
    MUST(scp_destroy(pair) == 0);
    printf("ok\n");
    return 0;
}
