/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * floor.c - the least a FUSE server can do: one file, pread and pwrite, no SCSI.
 *
 * bench/fuse mounts this beside scpair and calls its figures the floor: what the kernel's FUSE
 * path, libfuse and the page cache cost on this machine before a driver pair does anything. So it
 * has to be the best simple server, not a straw man: low-level API, several threads with a
 * /dev/fuse descriptor each, direct I/O, 1 MiB requests, one aligned buffer per thread, and the
 * system call made by the worker that took the request from the kernel. The settings are those of
 * src/fuse; a setting that makes one faster belongs in both.
 *
 * Rejected: splice (a pipe's pages cost more than the copy they save; --splice shows it) and
 * replying from a mapping of the image (saves the copy, but a server with a driver in it cannot
 * do that, so it would be a floor under something else).
 *
 * Does not contain: anything of libscpair; error recovery; a second file.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLOOR_REQUEST_BYTES (1024u * 1024u)
#define FLOOR_BACKGROUND    128u
#define FLOOR_THREADS_MAX   64u
#define FLOOR_IDLE_MIN      4u /* fewer, and threads come and go with every burst */
#define FLOOR_PAGE_BYTES    4096u
#define FLOOR_INO           2u
#define FLOOR_TIMEOUT_S     3600.0
static const char floor_name[] = "rhdisk0";

/* What every operation needs. Read-only once the session runs. */
static struct {
    int fd;
    bool splice;
    off_t bytes;
} floor_image;

/* A worker's own buffer; lives as long as the thread. */
static _Thread_local void *floor_buffer;

static void floor_stat(fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_uid = geteuid();
    st->st_gid = getegid();
    st->st_nlink = 1;
    if (ino == FUSE_ROOT_ID) {
        st->st_mode = S_IFDIR | 0755;
    } else {
        st->st_mode = S_IFREG | 0600;
        st->st_size = floor_image.bytes;
        st->st_blocks = floor_image.bytes / 512;
        st->st_blksize = FLOOR_PAGE_BYTES;
    }
}

static void floor_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->max_write = FLOOR_REQUEST_BYTES;
    conn->max_readahead = FLOOR_REQUEST_BYTES;
    conn->max_background = FLOOR_BACKGROUND;
    conn->congestion_threshold = FLOOR_BACKGROUND;
    if (!floor_image.splice)
        conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static void floor_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;

    if (parent != FUSE_ROOT_ID || strcmp(name, floor_name) != 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    memset(&e, 0, sizeof(e));
    e.ino = FLOOR_INO;
    e.attr_timeout = FLOOR_TIMEOUT_S;
    e.entry_timeout = FLOOR_TIMEOUT_S;
    floor_stat(e.ino, &e.attr);
    fuse_reply_entry(req, &e);
}

static void floor_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    floor_stat(ino, &st);
    fuse_reply_attr(req, &st, FLOOR_TIMEOUT_S);
}

static void floor_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino != FLOOR_INO) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    fi->direct_io = 1;
    fuse_reply_open(req, fi);
}

static void floor_read(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t off, struct fuse_file_info *fi)
{
    ssize_t got;

    (void)ino;
    (void)fi;
    if (floor_image.splice) {
        struct fuse_bufvec vec = FUSE_BUFVEC_INIT(bytes);

        vec.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
        vec.buf[0].fd = floor_image.fd;
        vec.buf[0].pos = off;
        fuse_reply_data(req, &vec, FUSE_BUF_SPLICE_MOVE);
        return;
    }
    if (floor_buffer == NULL && posix_memalign(&floor_buffer, FLOOR_PAGE_BYTES, FLOOR_REQUEST_BYTES) != 0) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (bytes > FLOOR_REQUEST_BYTES) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    got = pread(floor_image.fd, floor_buffer, bytes, off);
    if (got < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_buf(req, floor_buffer, (size_t)got);
}

static void floor_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t off,
                        struct fuse_file_info *fi)
{
    ssize_t put;

    (void)ino;
    (void)fi;
    put = pwrite(floor_image.fd, data, bytes, off);
    if (put < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, (size_t)put);
}

static void floor_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, (datasync ? fdatasync(floor_image.fd) : fsync(floor_image.fd)) < 0 ? errno : 0);
}

static const struct fuse_lowlevel_ops floor_ops = {
    .init = floor_init,
    .lookup = floor_lookup,
    .getattr = floor_getattr,
    .open = floor_open,
    .read = floor_read,
    .write = floor_write,
    .fsync = floor_fsync,
};

/*
 * How many idle workers to keep. The kernel wakes them in turn, not the last one first, so each
 * one more than needed brings in a cold buffer: with 32 of them 1 MiB writes lose a quarter.
 */
static unsigned floor_idle_threads(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned idle = cpus > 0 ? 2u * (unsigned)cpus : FLOOR_IDLE_MIN;

    return idle < FLOOR_IDLE_MIN ? FLOOR_IDLE_MIN : idle > FLOOR_THREADS_MAX ? FLOOR_THREADS_MAX : idle;
}

/* Run a mounted session until it is unmounted or signalled. Returns the exit status. */
static int floor_serve(struct fuse_session *se, unsigned idle)
{
    struct fuse_loop_config *cfg = fuse_loop_cfg_create();
    int rc;

    if (cfg == NULL)
        return 1;
    fuse_loop_cfg_set_clone_fd(cfg, 1);
    fuse_loop_cfg_set_idle_threads(cfg, idle);
    fuse_loop_cfg_set_max_threads(cfg, FLOOR_THREADS_MAX);
    rc = fuse_session_loop_mt(se, cfg);
    fuse_loop_cfg_destroy(cfg);
    return rc == 0 || rc == SIGTERM || rc == SIGINT || rc == SIGHUP ? 0 : 1;
}

static int floor_run(const char *mountpoint, unsigned idle)
{
    char *argv[] = {"floor", "-o", "fsname=floor", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    struct fuse_session *se;
    int rc = 1;

    se = fuse_session_new(&args, &floor_ops, sizeof(floor_ops), NULL);
    if (se == NULL)
        return 1;
    if (fuse_set_signal_handlers(se) == 0) {
        if (fuse_session_mount(se, mountpoint) == 0) {
            rc = floor_serve(se, idle);
            fuse_session_unmount(se);
        }
        fuse_remove_signal_handlers(se);
    }
    fuse_session_destroy(se);
    fuse_opt_free_args(&args);
    return rc;
}

static int floor_usage(FILE *to, int rc)
{
    fprintf(to,
            "usage: floor [--idle N] [--splice] IMAGE MOUNTPOINT\n"
            "Serves IMAGE as MOUNTPOINT/%s with pread and pwrite, in the foreground, until\n"
            "unmounted or told to end by SIGTERM, with up to 64 threads, N of them\n"
            "kept when idle. The floor that bench/fuse measures.\n",
            floor_name);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"idle", required_argument, NULL, 'i'},
                                            {"splice", no_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    unsigned long idle = floor_idle_threads();
    struct stat st;
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'i':
            idle = strtoul(optarg, NULL, 10);
            break;
        case 's':
            floor_image.splice = true;
            break;
        case 'h':
            return floor_usage(stdout, 0);
        default:
            return floor_usage(stderr, 2);
        }
    }
    if (argc - optind != 2 || idle == 0 || idle > FLOOR_THREADS_MAX)
        return floor_usage(stderr, 2);
    floor_image.fd = open(argv[optind], O_RDWR | O_CLOEXEC);
    if (floor_image.fd < 0 || fstat(floor_image.fd, &st) < 0) {
        fprintf(stderr, "floor: %s: %s; give an image file that can be read and written\n", argv[optind],
                strerror(errno));
        return 1;
    }
    floor_image.bytes = st.st_size;
    return floor_run(argv[optind + 1], (unsigned)idle);
}
