/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_posix_medium_test.c - the file medium: every operation on ordinary, sparse, read-only and direct
 * images, and the message for each way in which opening goes wrong.
 */
#define _GNU_SOURCE
#include "../../../shim/panic_host.h"

#include <adapter/sim/posix/sim_posix_medium.h>
#include <adapter/sim/sim.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMAGE_BYTES ((uint64_t)4 << 20)

static char dir[200], image[256];
static const struct sim_medium_ops *ops;
static void *medium;
static uint64_t bytes;
static char err[200];
static unsigned char data[1 << 20] __attribute__((aligned(4096)));
static unsigned char back[1 << 20] __attribute__((aligned(4096)));

static void image_create(uint64_t size)
{
    const char *tmp = getenv("TMPDIR");
    int fd;

    snprintf(dir, sizeof(dir), "%s/scpair-medium-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chmod(dir, 0755), 0);
    snprintf(image, sizeof(image), "%s/disk.img", dir);
    fd = open(image, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 7 + i / 4096);
}

static void image_remove(void)
{
    unlink(image);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int medium_open(bool read_only, bool direct)
{
    err[0] = '\0';
    return sim_posix_open(image, read_only, direct, &bytes, &ops, &medium, err, sizeof(err));
}

static void begin(bool read_only, bool direct)
{
    panic_begin(shim_posix_host());
    image_create(IMAGE_BYTES);
    ck_assert_int_eq(medium_open(read_only, direct), 0);
    ck_assert_uint_eq(bytes, IMAGE_BYTES);
    ck_assert_str_eq(ops->name, "file");
}

static void end(void)
{
    ops->close(medium);
    image_remove();
    shim_test_end();
}

static int rd(uint64_t off, void *p, size_t n)
{
    struct iovec vec = {p, n};

    return ops->read(medium, off, &vec, 1, n);
}

static int wr(uint64_t off, void *p, size_t n, bool fua)
{
    struct iovec vec = {p, n};

    return ops->write(medium, off, &vec, 1, n, fua);
}

static void expect(uint64_t off, const void *want, size_t n)
{
    memset(back, 0xee, n);
    ck_assert_int_eq(rd(off, back, n), 0);
    ck_assert(!memcmp(back, want, n));
}

/* ---------------------------------------------------------------- transfers */

/* _i: bit 0 direct, bit 1 fua. A directory without O_DIRECT is told apart and passed over. */
START_TEST(test_medium_write_then_read)
{
    panic_begin(shim_posix_host());
    image_create(IMAGE_BYTES);
    if (medium_open(false, _i & 1) == 0) {
        ck_assert_int_eq(wr(0, data, 4096, _i & 2), 0);
        ck_assert_int_eq(wr(512, data + 3, 512, _i & 2), 0); /* not aligned for direct */
        ck_assert_int_eq(wr(IMAGE_BYTES - 65536, data, 65536, _i & 2), 0);
        expect(0, data, 512);
        expect(512, data + 3, 512);
        expect(1024, data + 1024, 3072);
        expect(IMAGE_BYTES - 65536, data, 65536);
        ck_assert_int_eq(ops->flush(medium), 0);
        ops->close(medium);
    } else {
        ck_assert_int_eq(_i & 1, 1);
        ck_assert_ptr_nonnull(strstr(err, "leave out \"direct\""));
    }
    image_remove();
    shim_test_end();
}
END_TEST

/* More pieces than one system call takes, of odd lengths, empty ones among them. */
START_TEST(test_medium_long_vectors)
{
    static struct iovec vec[3000];
    size_t total = 0;

    begin(false, false);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(vec); i++) {
        vec[i] = (struct iovec){data + total, i % 5 == 4 ? 0 : (i * 13) % 300};
        total += vec[i].iov_len;
    }
    ck_assert_uint_lt(total, sizeof(data));
    ck_assert_int_eq(ops->write(medium, 4096, vec, SC_ARRAY_SIZE(vec), total, false), 0);
    expect(4096, data, total);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(vec); i++)
        vec[i].iov_base = back + ((unsigned char *)vec[i].iov_base - data);
    memset(back, 0, sizeof(back));
    ck_assert_int_eq(ops->read(medium, 4096, vec, SC_ARRAY_SIZE(vec), total), 0);
    ck_assert(!memcmp(back, data, total));
    end();
}
END_TEST

START_TEST(test_medium_outside_the_image_is_refused)
{
    begin(false, false);
    ck_assert_int_eq(rd(IMAGE_BYTES, back, 512), EINVAL);
    ck_assert_int_eq(rd(IMAGE_BYTES - 512, back, 1024), EINVAL);
    ck_assert_int_eq(rd(UINT64_MAX - 100, back, 512), EINVAL);
    ck_assert_int_eq(wr(IMAGE_BYTES - 512, data, 1024, false), EINVAL);
    ck_assert_int_eq(ops->unmap(medium, IMAGE_BYTES, 512), EINVAL);
    ck_assert_int_eq(ops->zero(medium, UINT64_MAX, 512), EINVAL);
    end();
}
END_TEST

START_TEST(test_medium_cut_short_behind_our_back_is_EIO)
{
    begin(false, false);
    ck_assert_int_eq(truncate(image, 4096), 0);
    ck_assert_int_eq(rd(0, back, 4096), 0);
    ck_assert_int_eq(rd(2048, back, 4096), EIO);
    ck_assert_int_eq(rd(8192, back, 512), EIO);
    end();
}
END_TEST

/* A limit on file size is no room, and not a fault of the disk; what lies below it is still written. */
START_TEST(test_medium_file_size_limit_is_ENOSPC)
{
    const struct rlimit limit = {1u << 20, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};

    begin(false, false);
    ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(wr(2u << 20, data, 4096, false), ENOSPC);
    ck_assert_int_eq(wr(2u << 20, data, 4096, true), ENOSPC);
    ck_assert_int_eq(wr((1u << 20) - 4096u, data, 8192, false), ENOSPC);
    ck_assert_int_eq(wr(4096, data, 8192, false), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    expect(4096, data, 8192);
    ck_assert_int_eq(wr(2u << 20, data, 4096, false), 0);
    end();
}
END_TEST

START_TEST(test_medium_read_only)
{
    begin(true, false);
    ck_assert_int_eq(rd(0, back, 512), 0);
    ck_assert_int_eq(wr(0, data, 512, false), EROFS);
    ck_assert_int_eq(ops->unmap(medium, 0, 4096), EROFS);
    ck_assert_int_eq(ops->zero(medium, 0, 4096), EROFS);
    ck_assert_int_eq(ops->flush(medium), 0);
    end();
}
END_TEST

/* ---------------------------------------------------------------- holes */

START_TEST(test_medium_unmap_and_zero_read_as_zeroes)
{
    static const unsigned char zeroes[65536];

    begin(false, false);
    ck_assert_int_eq(wr(0, data, sizeof(data), false), 0);
    ck_assert_int_eq(ops->unmap(medium, 8192, 65536), 0);
    ck_assert_int_eq(ops->zero(medium, 131072 + 512, 65536), 0);
    ck_assert_int_eq(ops->unmap(medium, 0, 0), 0);
    expect(0, data, 8192);
    expect(8192, zeroes, 65536);
    expect(8192 + 65536, data + 8192 + 65536, 131072 + 512 - 8192 - 65536);
    expect(131072 + 512, zeroes, 65536);
    expect(131072 + 512 + 65536, data + 131072 + 512 + 65536, 4096);
    end();
}
END_TEST

/* Runs cover the image from end to end, holes are never said to be where data is. */
START_TEST(test_medium_mapped_runs)
{
    uint64_t off = 0, data_bytes = 0;
    unsigned runs = 0;

    begin(false, false);
    ck_assert_int_eq(wr(1 << 20, data, 65536, false), 0);
    ck_assert_int_eq(ops->flush(medium), 0);
    while (off < IMAGE_BYTES) {
        uint64_t run;
        bool is_mapped;

        ck_assert_int_eq(ops->mapped(medium, off, &run, &is_mapped), 0);
        ck_assert_uint_gt(run, 0);
        ck_assert_uint_le(off + run, IMAGE_BYTES);
        if (!is_mapped)
            ck_assert(off + run <= 1 << 20 || off >= (1 << 20) + 65536);
        data_bytes += is_mapped ? run : 0;
        off += run;
        runs++;
    }
    ck_assert_uint_ge(data_bytes, 65536);
    ck_assert_uint_le(runs, 3);
    ck_assert_int_eq(ops->mapped(medium, IMAGE_BYTES, &off, &(bool){false}), EINVAL);
    end();
}
END_TEST

/* ---------------------------------------------------------------- opening */

static void refuse(const char *path, bool read_only, int error, const char *words)
{
    ck_assert_int_eq(sim_posix_open(path, read_only, false, &bytes, &ops, &medium, err, sizeof(err)), error);
    ck_assert_msg(strstr(err, words) != NULL, "\"%s\" does not contain \"%s\"", err, words);
    ck_assert_ptr_null(strchr(err, '\n'));
    if (*path)
        ck_assert_msg(!strncmp(err, path, strlen(path)), "\"%s\" does not name %s", err, path);
}

START_TEST(test_medium_open_refusals_name_the_thing_and_the_fix)
{
    char path[300];

    panic_begin(shim_posix_host());
    image_create(0);
    refuse(image, false, EINVAL, "is empty; give it a size");
    refuse("", false, ENOENT, "give an image file");
    refuse(dir, false, EISDIR, "is a directory; give an image file");
    snprintf(path, sizeof(path), "%s/missing", dir);
    refuse(path, false, ENOENT, "no such file; create it with");
    snprintf(path, sizeof(path), "%s/disk.img/below", dir);
    refuse(path, false, ENOTDIR, "not a directory");
    snprintf(path, sizeof(path), "%s/fifo", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refuse(path, true, EINVAL, "neither a regular file nor a block device");
    unlink(path);
    snprintf(path, sizeof(path), "%s/loop", dir);
    ck_assert_int_eq(symlink(path, path), 0);
    refuse(path, true, ELOOP, "symbolic links");
    unlink(path);
    refuse("/dev/null", false, EINVAL, "neither a regular file nor a block device");
    ck_assert_int_eq(sim_posix_open(dir, false, false, &bytes, &ops, &medium, NULL, 0), EISDIR);
    image_remove();
    shim_test_end();
}
END_TEST

START_TEST(test_medium_open_without_permission)
{
    panic_begin(shim_posix_host());
    image_create(4096);
    if (geteuid() == 0) { /* root may do everything: become somebody */
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            if (setuid(65534))
                _exit(3);
            _exit(medium_open(false, false) == EACCES &&
                          strstr(err, "permission denied; make the file writable") &&
                          medium_open(true, false) == EACCES && strstr(err, "make the file readable")
                      ? 0
                      : 1);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    } else {
        ck_assert_int_eq(chmod(image, 0), 0);
        refuse(image, false, EACCES, "permission denied; make the file writable");
    }
    image_remove();
    shim_test_end();
}
END_TEST

START_TEST(test_medium_open_twice_is_refused_unless_both_only_read)
{
    void *first;

    begin(false, false);
    first = medium;
    ck_assert_int_eq(medium_open(false, false), EBUSY);
    ck_assert_ptr_nonnull(strstr(err, "in use by another scpair; unmount that first"));
    ck_assert_int_eq(medium_open(true, false), EBUSY);
    ops->close(first);
    ck_assert_int_eq(medium_open(true, false), 0);
    first = medium;
    ck_assert_int_eq(medium_open(true, false), 0);
    ops->close(first);
    ck_assert_int_eq(medium_open(false, false), EBUSY);
    end();
}
END_TEST

/* The name is swapped between two images all the time: a direct medium is one of them, never half of each. */
static atomic_bool swap_end;
static char swap_other[256], swap_link[256], swap_next[256];

static void *swapper(void *arg)
{
    for (unsigned i = 0; !atomic_load(&swap_end); i++)
        if (symlink(i & 1 ? swap_other : image, swap_next) || rename(swap_next, swap_link))
            return arg;
    return NULL;
}

START_TEST(test_medium_direct_and_buffered_are_one_file)
{
    static unsigned char a[4096] __attribute__((aligned(4096))), b[4096];
    pthread_t thread;
    void *failed;
    int fd;

    panic_begin(shim_posix_host());
    image_create(IMAGE_BYTES);
    snprintf(swap_other, sizeof(swap_other), "%s/other.img", dir);
    snprintf(swap_link, sizeof(swap_link), "%s/link", dir);
    snprintf(swap_next, sizeof(swap_next), "%s/next", dir);
    fd = open(swap_other, O_RDWR | O_CREAT, 0600);
    memset(b, 0x77, sizeof(b));
    ck_assert_int_eq(ftruncate(fd, IMAGE_BYTES), 0);
    ck_assert_int_eq(pwrite(fd, b, sizeof(b), 0), sizeof(b));
    close(fd);
    ck_assert_int_eq(symlink(image, swap_link), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, swapper, swap_link), 0);
    for (unsigned i = 0; i < 3000; i++) {
        if (sim_posix_open(swap_link, true, true, &bytes, &ops, &medium, err, sizeof(err)))
            continue;
        ck_assert_int_eq(rd(0, a, sizeof(a)), 0);   /* direct */
        ck_assert_int_eq(rd(0, back + 1, 4096), 0); /* not aligned: buffered */
        ck_assert_mem_eq(a, back + 1, sizeof(a));
        ops->close(medium);
    }
    atomic_store(&swap_end, true);
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    unlink(swap_link);
    unlink(swap_other);
    image_remove();
    shim_test_end();
}
END_TEST

/*
 * A loop device of the image: its name, and a descriptor with whose closing the kernel detaches it, however
 * the test ends; -1 where none is to be had.
 */
static int loop_make(const char *options, char *device, size_t size)
{
    char command[400];
    FILE *losetup;
    int keep;

    snprintf(command, sizeof(command), "losetup %s --find --show '%s' 2>/dev/null", options, image);
    losetup = popen(command, "r");
    *device = '\0';
    if (losetup && fgets(device, (int)size, losetup))
        device[strcspn(device, "\n")] = '\0';
    if (losetup)
        pclose(losetup);
    keep = *device ? open(device, O_RDONLY) : -1;
    if (keep >= 0) {
        snprintf(command, sizeof(command), "losetup --detach '%s'", device);
        ck_assert_int_eq(system(command), 0);
    }
    return keep;
}

/* Somebody else, as a mount would, has claimed the device. Passed over where no loop device is to be had. */
START_TEST(test_medium_open_of_a_claimed_device_is_refused)
{
    char device[64];
    void *first;
    int fd, keep;

    panic_begin(shim_posix_host());
    image_create(IMAGE_BYTES);
    keep = loop_make("", device, sizeof(device));
    if (keep >= 0) {
        fd = open(device, O_RDWR | O_EXCL);
        ck_assert_int_ge(fd, 0);
        refuse(device, false, EBUSY, "unmount it first");
        ck_assert_int_eq(sim_posix_open(device, true, false, &bytes, &ops, &medium, err, sizeof(err)), 0);
        ops->close(medium);
        close(fd);
        ck_assert_int_eq(sim_posix_open(device, false, true, &bytes, &ops, &medium, err, sizeof(err)), 0);
        ck_assert_uint_eq(bytes, IMAGE_BYTES);
        ck_assert_int_eq(wr(0, data, 4096, true), 0);
        expect(0, data, 4096);
        first = medium;
        refuse(device, false, EBUSY, "in use by");
        ops->close(first);
        close(keep);
    }
    image_remove();
    shim_test_end();
}
END_TEST

/* One image, directly and through a loop device of it, in either order. */
START_TEST(test_medium_behind_a_loop_device_is_locked)
{
    char device[64], part[64];
    int keep, keep_part;
    void *first;

    panic_begin(shim_posix_host());
    image_create(IMAGE_BYTES);
    keep = loop_make("", device, sizeof(device));
    keep_part = loop_make("--offset 65536", part, sizeof(part));
    if (keep >= 0 && keep_part >= 0) {
        ck_assert_int_eq(sim_posix_open(device, false, false, &bytes, &ops, &medium, err, sizeof(err)), 0);
        first = medium;
        refuse(image, false, EBUSY, "is in use by another scpair");
        refuse(image, true, EBUSY, "is in use by another scpair");
        ops->close(first);
        ck_assert_int_eq(sim_posix_open(image, false, false, &bytes, &ops, &medium, err, sizeof(err)), 0);
        first = medium;
        refuse(device, false, EBUSY, "the file behind it is in use");
        refuse(device, true, EBUSY, "the file behind it is in use");
        /* One of a part of the file may be as it should be. */
        ck_assert_int_eq(sim_posix_open(part, false, false, &bytes, &ops, &medium, err, sizeof(err)), 0);
        ops->close(medium);
        ops->close(first);
        ck_assert_int_eq(sim_posix_open(image, true, false, &bytes, &ops, &medium, err, sizeof(err)), 0);
        first = medium;
        ck_assert_int_eq(sim_posix_open(device, true, false, &bytes, &ops, &medium, err, sizeof(err)), 0);
        ops->close(medium);
        ops->close(first);
    }
    if (keep >= 0)
        close(keep);
    if (keep_part >= 0)
        close(keep_part);
    image_remove();
    shim_test_end();
}
END_TEST

static Suite *medium_suite(void)
{
    Suite *s = suite_create("sim_posix");
    TCase *io = tcase_create("transfers");
    TCase *holes = tcase_create("holes");
    TCase *opening = tcase_create("opening");

    tcase_add_loop_test(io, test_medium_write_then_read, 0, 4);
    tcase_add_test(io, test_medium_long_vectors);
    tcase_add_test(io, test_medium_outside_the_image_is_refused);
    tcase_add_test(io, test_medium_cut_short_behind_our_back_is_EIO);
    tcase_add_test(io, test_medium_file_size_limit_is_ENOSPC);
    tcase_add_test(io, test_medium_read_only);
    suite_add_tcase(s, io);
    tcase_add_test(holes, test_medium_unmap_and_zero_read_as_zeroes);
    tcase_add_test(holes, test_medium_mapped_runs);
    suite_add_tcase(s, holes);
    tcase_add_test(opening, test_medium_open_refusals_name_the_thing_and_the_fix);
    tcase_add_test(opening, test_medium_open_without_permission);
    tcase_add_test(opening, test_medium_open_twice_is_refused_unless_both_only_read);
    tcase_add_test(opening, test_medium_direct_and_buffered_are_one_file);
    tcase_add_test(opening, test_medium_open_of_a_claimed_device_is_refused);
    tcase_add_test(opening, test_medium_behind_a_loop_device_is_locked);
    suite_add_tcase(s, opening);
    return s;
}

int main(int argc, char **argv) { return test_run(medium_suite(), argc, argv); }
