/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mount_fuzz.c - random system calls on every file of a mount and on its directories.
 *
 *   mount_fuzz MOUNT [--seed N] [--seconds N]
 *
 * Four processes at once; every second call is an ioctl(2). Numbers are the contract's, the kernel's own for
 * files and directories, or random; arguments random, plausible or zero; sizes and offsets odd. Any answer is
 * right, as long as it comes: the server must live, and answer when all is over (pid is read). Data on the
 * disks is destroyed.
 *
 * Does not contain: which errno is right (ioctl_probe.c, contract.py).
 */
#define _GNU_SOURCE
#define FUZZ_NAME "mount_fuzz MOUNT"
#include "../fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/devinfo.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/scdisk.h>
#include <sys/scsi.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define PROCESSES 4
#define CALLS     2000u /* of each process in a round */
#define BUFFER    (3u << 20)
#define COUNT(x)  (sizeof(x) / sizeof((x)[0]))

static const char *mount_point;
static uint8_t *buffer;
static char nodes[64][64];
static unsigned nnodes;
static _Atomic uint64_t *ioctls_done; /* of all processes */

static const unsigned ioctls[] = {
    IOCINFO, SCIOSTART, SCIOSTOP, SCIOHALT, SCIORESET, SCIOGTHW, SCIOEVENT, SCIOINQU, SCIOSTUNIT, SCIOTUR,
    SCIOREAD, SCIOCMD, SCIOLUNSTAT, SCIOSTAT, SCIOFLIGHT, DKFLIGHT, DKIORDSE, DKIOWRSE, DKIOCMD, DK_PASSTHRU,
    DKPMR, DKAMR, DKEJECT, DKFORMAT, DKFLUSH, DKUNMAP, DKZERO, DKZERO_UNMAP, DKEXTENT, DKINFO, DKSTATS,
    DKFLUSHMARK,
    /* The kernel's own, on files and on directories. */
    FIGETBSZ, FIBMAP, FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIOQSIZE, FIFREEZE, FITHAW, FITRIM, FICLONE,
    FICLONERANGE, FIDEDUPERANGE, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_GETVERSION, FS_IOC_SETVERSION,
    FS_IOC_FIEMAP, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FS_IOC_GETFSLABEL, FS_IOC_SETFSLABEL, BLKGETSIZE64,
    BLKGETSIZE, BLKSSZGET, BLKROSET, BLKFLSBUF, BLKDISCARD, BLKZEROOUT};

/* The files and directories, by what is there. */
static void find_nodes(const char *under)
{
    char path[4096];
    struct dirent *e;
    DIR *d;

    (void)snprintf(path, sizeof(path), "%s/%s", mount_point, under);
    d = opendir(path);
    MUST(d != NULL, "%s: %s", path, strerror(errno));
    while ((e = readdir(d)) != NULL && nnodes < COUNT(nodes))
        if (strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, ".") != 0)
            (void)snprintf(nodes[nnodes++], sizeof(nodes[0]), "%.20s/%.40s", under, e->d_name);
    (void)closedir(d);
    (void)snprintf(nodes[nnodes++], sizeof(nodes[0]), "%s", under);
}

static const char *random_path(char *path, size_t size)
{
    static const char *const odd[] = {"", "/", "/.", "/x", "/hdisk0", "/\xff\n"};

    (void)snprintf(path, size, "%s/%s%s", mount_point, nodes[rnd() % nnodes],
                   rnd() % 8 ? "" : odd[rnd() % COUNT(odd)]);
    return path;
}

/* Around the end of the disk, in a page, negative, huge. */
static off_t random_offset(void)
{
    switch (rnd() % 6) {
    case 0:
        return (off_t)rnd();
    case 1:
        return (off_t)(rnd() % 64) * 512;
    case 2:
        return (off_t)(16u << 20) - (off_t)(rnd() % 8192);
    case 3:
        return (off_t)(rnd() % (16u << 20));
    default:
        return (off_t)(rnd() % 4096) * 4096;
    }
}

static size_t random_size(void)
{
    switch (rnd() % 5) {
    case 0:
        return rnd() % 5000;
    case 1:
        return rnd() % BUFFER;
    case 2:
        return (1u << 20) + rnd() % 8192 - 4096;
    default:
        return (rnd() % 32) * 512;
    }
}

static int random_open(void)
{
    static const int flags[] = {O_APPEND,    O_CREAT,    O_EXCL,  O_TRUNC, O_DIRECT, O_DIRECTORY,
                                O_NOFOLLOW,  O_NONBLOCK, O_SYNC,  O_DSYNC, O_PATH,   O_NOATIME,
                                O_LARGEFILE, O_TMPFILE,  O_ASYNC, O_NOCTTY};
    char path[4096];
    int how = (int)(rnd() % 4);

    for (unsigned i = rnd() % 8 == 0 ? 3 : (unsigned)(rnd() % 2); i > 0; i--)
        how |= flags[rnd() % COUNT(flags)];
    return open(random_path(path, sizeof(path)), how, 0600);
}

static void random_ioctl(int fd)
{
    unsigned cmd = rnd() % 8 ? ioctls[rnd() % COUNT(ioctls)] : (unsigned)rnd();
    size_t size = (cmd >> 16) & 0x3fff;
    uint8_t *arg = buffer + rnd() % 64;
    struct sc_passthru pt;

    memset(arg, rnd() & 1 ? 0 : (int)rnd(), size);
    for (size_t i = rnd() % 4 == 0 ? 0 : rnd() % (size + 1); i < size && i < 64; i++)
        arg[i] = (uint8_t)(rnd() % 3 ? 0 : rnd());
    if ((cmd == SCIOCMD || cmd == DK_PASSTHRU || cmd == DKIOCMD) && rnd() % 4) {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.flags = rnd() & 1;
        pt.command_length = (uint8_t)(6 + rnd() % 3 * 4);
        for (unsigned i = 0; i < 16; i++)
            pt.scsi_cdb[i] = (uint8_t)rnd();
        pt.scsi_cdb[1] &= 0x1f;
        pt.data_length = rnd() % (SC_PASSTHRU_INLINE + 64);
        pt.autosense_length = (uint8_t)rnd();
        pt.timeout_value = 5;
        memcpy(arg, &pt, sizeof(pt));
    }
    fuzz_last = cmd;
    /* Not in a program's own memory: a plain word, or an address that is none. */
    if (size == 0 || rnd() % 16 == 0)
        (void)ioctl(fd, cmd, rnd() % 4 ? SC_ARG(rnd() % 18, rnd() % 34) : (intptr_t)rnd());
    else
        (void)ioctl(fd, cmd, arg);
    fuzz_last = 0;
}

static void random_file_call(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = (short)rnd()};
    off_t at = random_offset();
    struct stat st;
    uint8_t *m;

    switch (rnd() % 14) {
    case 0:
    case 1:
        (void)!pread(fd, buffer + rnd() % 4096, random_size(), at);
        break;
    case 2:
        (void)!pwrite(fd, buffer + rnd() % 4096, random_size(), at);
        break;
    case 3:
        (void)fallocate(fd, (int)(rnd() % 128), at, (off_t)random_size());
        break;
    case 4:
        (void)lseek(fd, at, (int)(rnd() % 7));
        break;
    case 5:
        (void)poll(&pfd, 1, 0);
        break;
    case 6:
        (void)(rnd() & 1 ? fsync(fd) : fdatasync(fd));
        break;
    case 7:
        (void)!ftruncate(fd, at);
        break;
    case 8:
        (void)syscall(SYS_getdents64, fd, buffer, random_size());
        break;
    case 9:
        m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, rnd() & 1 ? MAP_SHARED : MAP_PRIVATE, fd, at & ~4095ll);
        if (m != MAP_FAILED) {
            (void)msync(m, 8192, MS_SYNC);
            (void)munmap(m, 8192);
        }
        break;
    case 10:
        (void)fstat(fd, &st);
        (void)fchmod(fd, (mode_t)rnd() & 07777);
        break;
    case 11:
        (void)sendfile(fd, fd, &at, rnd() % 65536);
        break;
    case 12:
        (void)syscall(SYS_copy_file_range, fd, NULL, fd, NULL, random_size(), 0);
        break;
    default:
        (void)fgetxattr(fd, "user.x", buffer, rnd() % 100);
        break;
    }
}

static void random_path_call(void)
{
    char path[4096], other[4096];
    struct statvfs vfs;

    (void)random_path(path, sizeof(path));
    (void)random_path(other, sizeof(other));
    switch (rnd() % 16) {
    case 0:
        (void)mkdir(path, 0700);
        break;
    case 1:
        (void)mknod(path, S_IFREG | 0600, 0);
        break;
    case 2:
        (void)!symlink(path, other);
        break;
    case 3:
        (void)!link(path, other);
        break;
    case 4:
        (void)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, rnd() % 8);
        break;
    case 5:
        (void)unlink(path);
        break;
    case 6:
        (void)rmdir(path);
        break;
    case 7:
        (void)chmod(path, (mode_t)rnd() & 07777);
        break;
    case 8:
        (void)!chown(path, (uid_t)rnd(), (gid_t)rnd());
        break;
    case 9:
        (void)utimensat(AT_FDCWD, path, NULL, 0);
        break;
    case 10:
        (void)!truncate(path, random_offset());
        break;
    case 11:
        (void)setxattr(path, rnd() & 1 ? "user.x" : "system.posix_acl_access", buffer, rnd() % 100, 0);
        break;
    case 12:
        (void)listxattr(path, (char *)buffer, rnd() % 100);
        (void)removexattr(path, "security.selinux");
        break;
    case 13:
        (void)access(path, (int)(rnd() % 8));
        break;
    case 14:
        (void)statvfs(path, &vfs);
        break;
    default:
        (void)!readlink(path, (char *)buffer, rnd() % 100);
        break;
    }
}

static void attack(void)
{
    int fd = -1;

    for (unsigned i = 0; i < CALLS; i++) {
        if (fd < 0 || rnd() % 8 == 0) {
            if (fd >= 0)
                (void)close(fd);
            fd = random_open();
        }
        if (fd >= 0 && rnd() % 2) {
            random_ioctl(fd);
            atomic_fetch_add(ioctls_done, 1);
        } else if (fd >= 0 && rnd() % 2) {
            random_file_call(fd);
        } else {
            random_path_call();
        }
    }
    if (fd >= 0)
        (void)close(fd);
}

static void check_alive(void)
{
    char path[4096];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/.scpair/pid", mount_point);
    fd = open(path, O_RDONLY);
    MUST(fd >= 0 && read(fd, path, sizeof(path)) > 0, "the server is gone: %s", strerror(errno));
    (void)close(fd);
}

static void round_of(void)
{
    int status, bad = 0;

    for (unsigned p = 0; p < PROCESSES; p++) {
        if (fork() == 0) {
            state = (seed * 2654435761u + p * 0x9e3779b97f4a7c15u) | 1;
            (void)alarm(FUZZ_HANG_S);
            attack();
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    check_alive();
    MUST(!bad, "a process did not end well");
}

int main(int argc, char **argv)
{
    size_t bytes = BUFFER + 65536;

    MUST(argc >= 2, "usage: mount_fuzz MOUNT [--seed N] [--seconds N]");
    mount_point = argv[1];
    buffer = aligned_alloc(4096, bytes);
    ioctls_done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(buffer != NULL && (void *)ioctls_done != MAP_FAILED, "no memory");
    memset(buffer, 0, bytes);
    find_nodes("");
    find_nodes(".scpair");
    fuzz_run(argc - 1, argv + 1, round_of);
    printf("mount_fuzz: %llu ioctls among more than twice as many calls, last seed %llu\n",
           (unsigned long long)atomic_load(ioctls_done), (unsigned long long)seed);
    return 0;
}
