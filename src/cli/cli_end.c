/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_end.c - one way to read and write plain files, devices of a mount, and disks in this process.
 *
 * A device takes whole blocks, a file does not care. The functions here take any length at a block
 * boundary and round the last piece out: read, changed and written back on a device.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_end_ioctl(const struct cli_end *end, unsigned cmd, void *arg)
{
    if (end->e_file != NULL)
        return fp_ioctl(end->e_file, cmd, (intptr_t)arg, 0);
    return ioctl(end->e_fd, cmd, arg) == 0 ? 0 : errno;
}

/* What IOCINFO says about a disk of ours; leaves everything as it is when it is none. */
static void cli_end_probe(struct cli_end *end)
{
    struct devinfo info = {0};

    if (cli_end_ioctl(end, IOCINFO, &info) != 0 || info.devtype != DD_SCDISK || info.un.scdk.blksize == 0)
        return;
    end->e_device = true;
    end->e_block = info.un.scdk.blksize;
    end->e_bytes = info.un.scdk.numblks * info.un.scdk.blksize;
}

int cli_end_open(struct cli_end *end, const char *path, enum cli_end_use use)
{
    /* A pipe nobody writes to would keep open(2) waiting; what is taken below never does. */
    int flags = O_NONBLOCK | (use == CLI_END_READ ? O_RDONLY : O_RDWR);
    struct stat st;

    memset(end, 0, sizeof(*end));
    end->e_name = path;
    end->e_block = 1;
    end->e_fd = open(path, flags | O_CLOEXEC);
    if (end->e_fd < 0)
        return cli_fail(CLI_USAGE, "%s: %s%s", path, strerror(errno),
                        errno == ENOENT   ? "; check the name"
                        : errno == EACCES ? "; check its permissions"
                        : errno == EISDIR ? "; name a file or a disk in it"
                                          : "");
    if (fstat(end->e_fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
        (void)close(end->e_fd);
        return cli_fail(CLI_USAGE, "%s: neither a file nor a disk%s", path,
                        S_ISDIR(st.st_mode) ? "; name one in it, of a mount for example rhdisk0" : "");
    }
    (void)fcntl(end->e_fd, F_SETFL, 0);
    end->e_bytes = (uint64_t)st.st_size;
    if (S_ISBLK(st.st_mode)) {
        end->e_bytes = (uint64_t)lseek(end->e_fd, 0, SEEK_END);
        end->e_device = true;
    } else {
        cli_end_probe(end);
    }
    return CLI_OK;
}

int cli_end_disk(struct cli_end *end, struct cli_pair *pair, unsigned disk, const char *name, bool write)
{
    int error;

    memset(end, 0, sizeof(*end));
    end->e_fd = -1;
    end->e_name = name;
    error = fp_opendev(scp_disk_devno(pair->p_scp, disk), DREAD | DKERNEL | (write ? DWRITE : 0), NULL, 0,
                       &end->e_file);
    if (error != 0) {
        end->e_file = NULL;
        return cli_fail(CLI_FAILED, "%s: the disk does not open: %s", name, scp_strerror(error));
    }
    cli_end_probe(end);
    KASSERT(end->e_device);
    return CLI_OK;
}

void cli_end_close(struct cli_end *end)
{
    if (end->e_file != NULL)
        (void)fp_close(end->e_file);
    else if (end->e_fd >= 0)
        (void)close(end->e_fd);
    end->e_file = NULL;
    end->e_fd = -1;
}

/* Move all of it or say why not. */
static int cli_end_move(const struct cli_end *end, uint8_t *data, size_t bytes, uint64_t off, bool write)
{
    size_t at = 0;

    while (at < bytes) {
        size_t done = 0;
        int error = 0;

        if (end->e_file != NULL) {
            error = write ? scp_raw_write(end->e_file, data + at, bytes - at, off + at, 0, &done)
                          : scp_raw_read(end->e_file, data + at, bytes - at, off + at, &done);
        } else {
            ssize_t n = write ? pwrite(end->e_fd, data + at, bytes - at, (off_t)(off + at))
                              : pread(end->e_fd, data + at, bytes - at, (off_t)(off + at));

            if (n < 0 && errno == EINTR)
                continue;
            error = n < 0 ? errno : 0;
            done = n < 0 ? 0 : (size_t)n;
        }
        if (error != 0)
            return error;
        /* Short, but for part of a block, goes on; so does not what stands still. */
        if (done == 0 || (done % end->e_block != 0 && at + done < bytes))
            return EIO;
        at += done;
    }
    return 0;
}

static size_t cli_end_round(const struct cli_end *end, size_t bytes)
{
    return (bytes + end->e_block - 1) / end->e_block * end->e_block;
}

int cli_end_read(const struct cli_end *end, void *data, size_t bytes, uint64_t off)
{
    return cli_end_move(end, data, cli_end_round(end, bytes), off, false);
}

int cli_end_write(const struct cli_end *end, void *data, size_t bytes, uint64_t off)
{
    size_t whole = bytes - bytes % end->e_block;
    _Alignas(SC_PAGE_SIZE) uint8_t last[SC_PAGE_SIZE];
    int error = cli_end_move(end, data, whole, off, true);

    KASSERT(end->e_block <= sizeof(last));
    if (error != 0 || whole == bytes)
        return error;
    error = cli_end_move(end, last, end->e_block, off + whole, false);
    if (error != 0)
        return error;
    memcpy(last, (uint8_t *)data + whole, bytes - whole);
    return cli_end_move(end, last, end->e_block, off + whole, true);
}

int cli_end_flush(const struct cli_end *end)
{
    if (end->e_file != NULL)
        return fp_ioctl(end->e_file, DKFLUSH, 0, 0);
    return fsync(end->e_fd) == 0 ? 0 : errno;
}
