/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_preload.c - the functions that take the place of the C library's: open and its variants, ioctl,
 * and stat for the devices that exist only here.
 *
 * Whatever is not ours goes to the C library's function of the same name, untouched. open() looks at
 * the path alone, ioctl() at its number first, so other files of the program cost nothing.
 *
 * The descriptor that open() returns for a device in this process is a sealed, empty memory file
 * (sg_pair.c): it can be duplicated, passed on and closed like any other, read() finds its end and
 * write() fails. fstat() tells tools what they want to hear: a character device of the SCSI generic
 * driver.
 *
 * Not covered: openat() with such a path is, a relative path to it is not; fopen() and
 * statx() never come here.
 */
#define _GNU_SOURCE
#include "sg_impl.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SG_MAJOR 21u /* Linux' character major of the SCSI generic driver */

#define SG_EXPORT __attribute__((visibility("default")))

typedef int open_fn(const char *path, int flags, ...);
typedef int openat_fn(int dir, const char *path, int flags, ...);
typedef int ioctl_fn(int fd, unsigned long cmd, ...);
typedef int stat_fn(const char *path, void *st);
typedef int fstat_fn(int fd, void *st);

static struct {
    open_fn *open, *open64;
    openat_fn *openat, *openat64;
    ioctl_fn *ioctl;
    stat_fn *stat, *stat64, *lstat, *lstat64;
    fstat_fn *fstat, *fstat64;
} real;
static pthread_once_t real_once = PTHREAD_ONCE_INIT;

/* ISO C knows no way from an object pointer to a function; POSIX demands that this one works. */
#define SG_REAL(name)                                                                                        \
    do {                                                                                                     \
        void *found = dlsym(RTLD_NEXT, #name);                                                               \
        memcpy(&real.name, &found, sizeof(found));                                                           \
    } while (0)

static void real_find(void)
{
    SG_REAL(open);
    SG_REAL(open64);
    SG_REAL(openat);
    SG_REAL(openat64);
    SG_REAL(ioctl);
    SG_REAL(stat);
    SG_REAL(stat64);
    SG_REAL(lstat);
    SG_REAL(lstat64);
    SG_REAL(fstat);
    SG_REAL(fstat64);
}

/* Constructors of other libraries may call us before ours has run. */
static inline void real_ready(void) { (void)pthread_once(&real_once, real_find); }

int sg_real_open(const char *path, int flags, unsigned mode)
{
    real_ready();
    return real.open(path, flags, mode);
}

int sg_real_ioctl(int fd, unsigned long cmd, void *arg)
{
    real_ready();
    return real.ioctl(fd, cmd, arg);
}

int sg_real_fstat(int fd, void *st)
{
    real_ready();
    return real.fstat(fd, st);
}

/* ------------------------------------------------------------------ open */

/* The third argument is there when a file may be made. */
/* NOLINTBEGIN(bugprone-macro-parentheses): va_start takes a name */
#define SG_MODE(mode, flags)                                                                                 \
    do {                                                                                                     \
        if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                                    \
            va_list ap;                                                                                      \
            va_start(ap, flags);                                                                             \
            mode = va_arg(ap, unsigned);                                                                     \
            va_end(ap);                                                                                      \
        }                                                                                                    \
    } while (0)
/* NOLINTEND(bugprone-macro-parentheses) */

SG_EXPORT int open(const char *path, int flags, ...)
{
    unsigned mode = 0;

    SG_MODE(mode, flags);
    real_ready();
    return sg_pair_path(path) ? sg_pair_open(path, flags) : real.open(path, flags, mode);
}

SG_EXPORT int open64(const char *path, int flags, ...)
{
    unsigned mode = 0;

    SG_MODE(mode, flags);
    real_ready();
    return sg_pair_path(path) ? sg_pair_open(path, flags) : real.open64(path, flags, mode);
}

SG_EXPORT int openat(int dir, const char *path, int flags, ...)
{
    unsigned mode = 0;

    SG_MODE(mode, flags);
    real_ready();
    return sg_pair_path(path) ? sg_pair_open(path, flags) : real.openat(dir, path, flags, mode);
}

SG_EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    unsigned mode = 0;

    SG_MODE(mode, flags);
    real_ready();
    return sg_pair_path(path) ? sg_pair_open(path, flags) : real.openat64(dir, path, flags, mode);
}

/* What open() becomes in a program compiled with _FORTIFY_SOURCE when it has two arguments. */
SG_EXPORT int __open_2(const char *path, int flags);
SG_EXPORT int __open64_2(const char *path, int flags);
SG_EXPORT int __openat_2(int dir, const char *path, int flags);
SG_EXPORT int __openat64_2(int dir, const char *path, int flags);

int __open_2(const char *path, int flags) { return open(path, flags, 0u); }
int __open64_2(const char *path, int flags) { return open64(path, flags, 0u); }
int __openat_2(int dir, const char *path, int flags) { return openat(dir, path, flags, 0u); }
int __openat64_2(int dir, const char *path, int flags) { return openat64(dir, path, flags, 0u); }

/* ------------------------------------------------------------------ ioctl */

SG_EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
    struct sg_target t;
    va_list ap;
    void *arg;
    int rc;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);
    real_ready();
    if (!sg_ioctl_ours(cmd) || !sg_target_find(fd, &t))
        return real.ioctl(fd, cmd, arg);
    rc = sg_ioctl(&t, cmd, arg);
    if (rc >= 0)
        return rc;
    errno = -rc;
    return -1;
}

/* ------------------------------------------------------------------ stat */

static void stat_device(struct stat *st, const struct sg_target *t)
{
    memset(st, 0, sizeof(*st));
    st->st_mode = S_IFCHR | 0600;
    st->st_nlink = 1;
    st->st_rdev = makedev(SG_MAJOR, t->tg_disk * 2 + t->tg_nexus);
    st->st_blksize = (blksize_t)t->tg_info.block_bytes;
}

/* stat() of a path of ours opens it: what cannot be opened is not there. */
static int stat_path(const char *path, struct stat *st)
{
    int fd = sg_pair_open(path, O_RDONLY | O_CLOEXEC);
    struct sg_target t;
    bool found;

    if (fd < 0)
        return -1;
    found = sg_pair_find(fd, &t);
    (void)close(fd);
    if (!found) {
        errno = ENOENT;
        return -1;
    }
    stat_device(st, &t);
    return 0;
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout for both names");

#define SG_STAT(name, type)                                                                                  \
    SG_EXPORT int name(const char *path, struct type *st)                                                    \
    {                                                                                                        \
        real_ready();                                                                                        \
        return sg_pair_path(path) ? stat_path(path, (struct stat *)st) : real.name(path, st);                \
    }
#define SG_FSTAT(name, type)                                                                                 \
    SG_EXPORT int name(int fd, struct type *st)                                                              \
    {                                                                                                        \
        struct sg_target t;                                                                                  \
                                                                                                             \
        real_ready();                                                                                        \
        if (!sg_pair_find(fd, &t))                                                                           \
            return real.name(fd, st);                                                                        \
        stat_device((struct stat *)st, &t);                                                                  \
        return 0;                                                                                            \
    }
SG_STAT(stat, stat)
SG_STAT(stat64, stat64)
SG_STAT(lstat, stat)
SG_STAT(lstat64, stat64)
SG_FSTAT(fstat, stat)
SG_FSTAT(fstat64, stat64)

/* The program is over. Nothing of the pair may stay behind: an image must be as the disk left it. */
static __attribute__((destructor)) void preload_end(void) { (void)sg_pair_end(); }
