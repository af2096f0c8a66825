/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.c - a program with the driver pair inside: README's third example, complete.
 *
 *   cc $(pkg-config --cflags scpair) program.c $(pkg-config --libs scpair)
 *
 * Makes an adapter with a RAM disk, writes a block, reads it back, says what the disk is.
 */
#include <scpair/scpair.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "program: %s: %s\n", what, scp_strerror(error));
    return 1;
}

int main(void)
{
    struct scp_disk_spec disk = {.size = sizeof(disk), .medium = SCP_MEDIUM_RAM, .bytes = 64u << 20};
    struct scp_spec spec = {.size = sizeof(spec), .disks = &disk, .ndisks = 1};
    char err[SCP_ERROR_MAX];
    struct sc_disk_info info;
    uint8_t *data = aligned_alloc(4096, 8192);
    struct file *fp;
    struct scp *pair;
    size_t done;
    int error;

    if (data == NULL || scp_create(&spec, &pair, err, sizeof(err)) != 0) {
        fprintf(stderr, "program: %s\n", data != NULL ? err : "no memory");
        return 1;
    }
    error = fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &fp);
    if (error != 0)
        return fail("open", error);
    memset(data, 0x5c, 4096);
    error = scp_raw_write(fp, data, 4096, 1u << 20, 0, &done);
    if (error == 0)
        error = scp_raw_read(fp, data + 4096, 4096, 1u << 20, &done);
    if (error == 0)
        error = fp_ioctl(fp, DKINFO, (intptr_t)&info, 0);
    if (error != 0)
        return fail(scp_disk_name(pair, 0), error);
    printf("%s on %s: %s %s, queue depth %u, what was read is %s\n", scp_disk_name(pair, 0),
           scp_adapter_name(pair, 0), info.vendor, info.product, info.queue_depth,
           memcmp(data, data + 4096, 4096) == 0 ? "what was written" : "something else");
    error = memcmp(data, data + 4096, 4096) != 0;
    (void)fp_close(fp);
    free(data);
    return scp_destroy(pair) != 0 || error;
}
