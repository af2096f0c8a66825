/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_plug_test.c - disks of a pair that come and go: numbers and places, everything under way when one goes,
 * memory and descriptors after many rounds, threads that do not care, memory that runs out.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include "adapter/sim/sim.h"
#include "scp/scp_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define DISK_BYTES (1u << 20)
#define REQUESTS   64u
#define HANDLES    8u
#define THREADS    4u

static struct scp *pair;
static char err[SCP_ERROR_MAX];

static const struct scp_disk_spec ram = {
    .size = sizeof(ram), .medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES, .queue = 16};

static void begin(unsigned ndisks)
{
    struct scp_disk_spec disks[4] = {ram, ram, ram, ram};
    struct scp_spec spec = {.size = sizeof(spec), .disks = disks, .ndisks = ndisks};

    ck_assert_msg(scp_create(&spec, &pair, err, sizeof(err)) == 0, "%s", err);
}

static void end(void) { ck_assert_uint_eq(scp_destroy(pair), 0); }

static unsigned plug(const struct scp_disk_spec *spec)
{
    unsigned disk = 99;

    ck_assert_msg(scp_plug(pair, 0, spec, &disk, err, sizeof(err)) == 0, "%s", err);
    ck_assert(scp_disk_present(pair, disk));
    return disk;
}

static void unplug(unsigned disk)
{
    ck_assert_msg(scp_unplug(pair, disk, err, sizeof(err)) == 0, "%s", err);
    ck_assert(!scp_disk_present(pair, disk));
}

static struct file *open_disk(unsigned disk)
{
    struct file *fp;

    ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, disk), DREAD | DWRITE, NULL, 0, &fp), 0);
    return fp;
}

static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* ------------------------------------------------------------------ numbers */

START_TEST(test_CAM_14_numbers_come_back)
{
    struct sc_disk_info info;
    struct file *fp;
    unsigned disk;
    char *text;

    begin(2);
    ck_assert_uint_eq(plug(&ram), 2);
    ck_assert_str_eq(scp_disk_name(pair, 2), "hdisk2");
    fp = open_disk(2);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.id, 2);
    ck_assert_uint_eq(info.blocks, DISK_BYTES / 512);
    ck_assert_int_eq(fp_close(fp), 0);
    unplug(1);
    ck_assert_uint_eq(scp_ndisks(pair), 3);
    ck_assert_int_eq(scp_unplug(pair, 1, err, sizeof(err)), ENODEV);
    ck_assert_int_eq(scp_unplug(pair, 77, err, sizeof(err)), ENODEV);
    ck_assert_ptr_null(scp_sim_disk(pair, 1));
    text = scp_stat_json(pair);
    ck_assert_ptr_nonnull(strstr(text, "hdisk2"));
    ck_assert_ptr_null(strstr(text, "hdisk1"));
    free(text);
    ck_assert_int_eq(scp_inject(pair, "hdisk1 do=busy", err, sizeof(err)), ENOENT);
    ck_assert_str_eq(err, "\"hdisk1\": no such disk; there is hdisk0 to hdisk2");
    /* The same number, place and name again, for another disk. */
    disk = plug(&(struct scp_disk_spec){
        .size = sizeof(ram), .medium = SCP_MEDIUM_RAM, .bytes = 2 * DISK_BYTES, .block_bytes = 4096});
    ck_assert_uint_eq(disk, 1);
    ck_assert_str_eq(scp_disk_name(pair, 1), "hdisk1");
    fp = open_disk(1);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.id, 1);
    ck_assert_uint_eq(info.block_bytes, 4096);
    ck_assert_uint_eq(info.blocks, 2 * DISK_BYTES / 4096);
    /* In use when it goes: its number is not to be had until it is closed, and then is. */
    unplug(1);
    ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), ENXIO);
    ck_assert_uint_eq(scp_reap(pair), 1);
    ck_assert_uint_eq(plug(&ram), 3);
    ck_assert_str_eq(scp_disk_name(pair, 3), "hdisk3");
    ck_assert_int_eq(fp_close(open_disk(3)), 0);
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(scp_reap(pair), 0);
    ck_assert_uint_eq(plug(&ram), 1);
    for (unsigned i = 0; i < 4; i++)
        unplug(i);
    ck_assert_int_eq(scp_inject(pair, "hdisk1 do=busy", err, sizeof(err)), ENOENT);
    ck_assert_uint_eq(plug(&ram), 0);
    end();
}
END_TEST

/* A disk that has gone for its users and is still on its bus, a command of it being in the medium, is kept.
 */
/* scpair capture takes the names of the disks from the trace, and replay refuses one without a name. */
START_TEST(test_a_trace_names_the_disks_that_are_there)
{
    unsigned disk;
    char *text;

    begin(1);
    disk = plug(&ram);
    ck_assert_int_eq(trc_start(64), 0);
    unplug(disk);
    ck_assert_uint_eq(scp_reap(pair), 0);
    text = scp_trace_json(pair);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(text, "\"args\":{\"name\":\"hdisk0\"}"));
    ck_assert_ptr_null(strstr(text, "\"args\":{\"name\":\"\"}"));
    ck_assert_ptr_null(strstr(text, "()"));
    free(text);
    trc_stop();
    end();
}
END_TEST

START_TEST(test_a_disk_that_is_still_on_its_bus_is_not_given_back)
{
    struct file *fp;
    unsigned disk;

    begin(1);
    disk = plug(&ram);
    fp = open_disk(disk);
    unplug(disk);
    pair->p_disks[disk].dk_on_bus = true;
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(scp_reap(pair), 1);
    ck_assert_uint_eq(plug(&ram), disk + 1); /* neither its number nor its place */
    ck_assert_uint_ne(pair->p_disks[disk + 1].dk_id, pair->p_disks[disk].dk_id);
    pair->p_disks[disk].dk_on_bus = false;
    ck_assert_uint_eq(scp_reap(pair), 0);
    ck_assert_uint_eq(plug(&ram), disk);
    end();
}
END_TEST

START_TEST(test_what_cannot_be_plugged)
{
    const struct scp_disk_spec missing = {.medium = SCP_MEDIUM_FILE, .path = "/nonexistent/disk.img"};
    const struct scp_disk_spec odd = {.medium = SCP_MEDIUM_RAM, .bytes = 1000};
    const struct scp_disk_spec block7 = {.medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES, .block_bytes = 7};
    unsigned disk;

    begin(1);
    ck_assert_int_eq(scp_plug(pair, 0, &missing, &disk, err, sizeof(err)), ENOENT);
    ck_assert_int_eq(scp_plug(pair, 0, &odd, &disk, err, sizeof(err)), EINVAL);
    ck_assert_int_eq(scp_plug(pair, 0, &block7, &disk, err, sizeof(err)), EINVAL);
    ck_assert_int_eq(scp_plug(pair, 1, &ram, &disk, err, sizeof(err)), EINVAL);
    ck_assert_uint_eq(scp_ndisks(pair), 1);
    while (scp_ndisks(pair) < SCP_DISKS_MAX)
        (void)plug(&ram);
    ck_assert_int_eq(scp_plug(pair, 0, &ram, &disk, err, sizeof(err)), EMFILE);
    unplug(17);
    ck_assert_uint_eq(plug(&ram), 17);
    end();
}
END_TEST

/* ------------------------------------------------------------------ 8 handles, 64 requests */

struct request {
    struct buf b; /* first */
    uint8_t *memory;
};
static struct request requests[REQUESTS];
static uint8_t memory[REQUESTS][4096] __attribute__((aligned(4096)));
static _Atomic unsigned back;

static void request_done(struct buf *bp)
{
    (void)bp;
    atomic_fetch_add(&back, 1);
}

static void request_send(unsigned i, unsigned disk)
{
    struct buf *bp = &requests[i].b;

    memset(bp, 0, sizeof(*bp));
    bp->b_flags = i % 2 ? B_READ : B_WRITE;
    bp->b_iodone = request_done;
    bp->b_dev = scp_disk_devno(pair, disk);
    bp->b_blkno = (int64_t)(i * 16);
    bp->b_un.b_addr = (void *)memory[i];
    bp->b_bcount = 4096;
    ck_assert_int_eq(devstrat(bp), 0);
}

/* `rule` says what the disk does with them. */
static void everything_comes_back(const char *rule)
{
    char text[64];
    struct file *fp[HANDLES];
    uint8_t data[512] __attribute__((aligned(512)));
    unsigned disk, failed = 0;
    size_t done;

    begin(1);
    disk = plug(&ram);
    for (unsigned i = 0; i < HANDLES; i++)
        fp[i] = open_disk(disk);
    (void)snprintf(text, sizeof(text), "hdisk1 %s", rule);
    ck_assert_msg(scp_inject(pair, text, err, sizeof(err)) == 0, "%s", err);
    atomic_store(&back, 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        request_send(i, disk);
    unplug(disk);
    ck_assert_uint_eq(back, REQUESTS);
    for (unsigned i = 0; i < REQUESTS; i++) {
        const struct buf *bp = &requests[i].b;

        failed += (bp->b_flags & B_ERROR) != 0;
        ck_assert_int_eq(bp->b_error, bp->b_flags & B_ERROR ? ENXIO : 0);
        ck_assert_uint_eq(bp->b_resid, bp->b_flags & B_ERROR ? 4096 : 0);
    }
    ck_assert_uint_gt(failed, 0);
    for (unsigned i = 0; i < HANDLES; i++) {
        struct file *more;

        ck_assert_int_eq(scp_raw_read(fp[i], data, sizeof(data), 0, &done), ENXIO);
        ck_assert_int_eq(scp_raw_write(fp[i], data, sizeof(data), 0, 0, &done), ENXIO);
        ck_assert_int_eq(fp_ioctl(fp[i], DKFLUSH, 0, 0), ENXIO);
        ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, disk), DREAD, NULL, 0, &more), ENXIO);
        ck_assert_uint_eq(scp_reap(pair), 1);
        (void)fp_close(fp[i]);
    }
    ck_assert_uint_eq(scp_reap(pair), 0);
    end();
}

START_TEST(test_CAM_16_NB_21_hang) { everything_comes_back("count=forever do=hang"); }
END_TEST
START_TEST(test_CAM_16_NB_18_no_response) { everything_comes_back("count=forever do=noresponse"); }
END_TEST
START_TEST(test_CAM_16_busy) { everything_comes_back("count=forever do=busy"); }
END_TEST
START_TEST(test_CAM_16_delay) { everything_comes_back("every=3 do=delay:200000"); }
END_TEST
START_TEST(test_CAM_16_medium_errors) { everything_comes_back("count=forever do=check:2/04/01"); }
END_TEST

/* ------------------------------------------------------------------ many rounds */

START_TEST(test_CAM_14_CAM_15_a_thousand_rounds)
{
    char path[] = "/tmp/scp_plug_XXXXXX";
    struct scp_disk_spec file = {.size = sizeof(file), .medium = SCP_MEDIUM_FILE, .path = path};
    struct shim_account before = {0}, after;
    unsigned fds = 0;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, DISK_BYTES), 0);
    close(fd);
    begin(1);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned disk = plug(round % 4 ? &file : &ram);
        struct file *fp = open_disk(disk);

        ck_assert_uint_eq(disk, 1);
        atomic_store(&back, 0);
        if (round % 2)
            ck_assert_int_eq(scp_inject(pair, "hdisk1 skip=5 do=hang", err, sizeof(err)), 0);
        for (unsigned i = 0; i < 12; i++)
            request_send(i, disk);
        unplug(disk);
        ck_assert_uint_eq(back, 12);
        (void)fp_close(fp);
        ck_assert_uint_eq(scp_reap(pair), 0);
        shim_account_get(&after);
        if (round == 0) {
            before = after;
            fds = descriptors();
        }
        for (unsigned t = 0; t < SHIM_TAG_COUNT; t++)
            ck_assert_uint_eq(after.acc_bytes[t], before.acc_bytes[t]);
        ck_assert_uint_eq(after.acc_locks, before.acc_locks);
    }
    ck_assert_uint_eq(descriptors(), fds);
    unlink(path);
    end();
}
END_TEST

/* ------------------------------------------------------------------ threads */

static _Atomic bool over;
static _Atomic unsigned odd, good, gone;

static void *user(void *arg)
{
    uint8_t data[4096] __attribute__((aligned(4096)));
    uintptr_t who = (uintptr_t)arg;

    while (!atomic_load(&over)) {
        struct file *fp;
        size_t done;
        int error = fp_opendev(SC_MAKEDEV(SCP_DISK_MAJOR, 1), DREAD | DWRITE, NULL, 0, &fp);

        if (error != 0) {
            if (error != ENXIO)
                atomic_fetch_add(&odd, 1);
            continue;
        }
        for (unsigned i = 0; i < 50 && error == 0; i++) {
            error = i % 2
                        ? scp_raw_read(fp, data, sizeof(data), (who * 50 + i) * 4096 % DISK_BYTES, &done)
                        : scp_raw_write(fp, data, sizeof(data), (who * 50 + i) * 4096 % DISK_BYTES, 0, &done);
            atomic_fetch_add(error == 0 ? &good : &gone, 1);
        }
        if (error != 0 && error != ENXIO)
            atomic_fetch_add(&odd, 1);
        (void)fp_close(fp);
    }
    return NULL;
}

static void *reporter(void *arg)
{
    while (!atomic_load(&over)) {
        free(scp_stat_json(pair));
        free(scp_errlog_json(pair, 0));
        (void)scp_inject(pair, "hdisk1 every=7 do=busy", NULL, 0);
        (void)scp_inject(pair, "hdisk1 clear", NULL, 0);
    }
    return arg;
}

START_TEST(test_CAM_11_CAM_12_CAM_13_beside_threads)
{
    pthread_t t[THREADS + 1];

    begin(1);
    atomic_store(&over, false);
    odd = good = gone = 0;
    for (uintptr_t i = 0; i <= THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, i < THREADS ? user : reporter, (void *)i), 0);
    for (unsigned round = 0; round < 100 || good == 0; round++) {
        unsigned disk = SCP_DISKS_MAX, before;

        /* Until the last of the old one is gone the number is taken, and the disk another one. */
        while (disk != 1) {
            disk = plug(&ram);
            if (disk != 1)
                unplug(disk);
            sched_yield();
        }
        /* Sometimes at once, sometimes when somebody has used it. */
        before = good;
        for (unsigned k = 0; k < round % 8 * 100 && good < before + 10; k++)
            sched_yield();
        unplug(disk);
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i <= THREADS; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(odd, 0);
    ck_assert_uint_gt(good, 0);
    ck_assert_uint_eq(scp_reap(pair), 0);
    end();
}
END_TEST

/* ------------------------------------------------------------------ no memory */

START_TEST(test_the_kth_allocation_fails)
{
    struct shim_account before, after;
    unsigned disk, failed = 0;
    int error = ENOMEM;

    begin(1);
    (void)plug(&ram);
    unplug(1);
    shim_account_get(&before);
    for (uint64_t k = 1; error != 0; k++) {
        shim_fail_set(SHIM_FAIL_ALLOC, k, false);
        error = scp_plug(pair, 0, &ram, &disk, err, sizeof(err));
        shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
        if (error == 0)
            break;
        failed++;
        ck_assert_int_eq(error, ENOMEM);
        ck_assert_uint_eq(scp_reap(pair), 0);
        shim_account_get(&after);
        for (unsigned t = 0; t < SHIM_TAG_COUNT; t++)
            ck_assert_uint_eq(after.acc_bytes[t], before.acc_bytes[t]);
        ck_assert_uint_eq(after.acc_locks, before.acc_locks);
    }
    ck_assert_uint_ge(failed, 5);
    ck_assert_uint_eq(disk, 1);
    ck_assert_int_eq(fp_close(open_disk(1)), 0);
    end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_plug");
    TCase *t = tcase_create("plug");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_CAM_14_numbers_come_back);
    tcase_add_test(t, test_a_trace_names_the_disks_that_are_there);
    tcase_add_test(t, test_a_disk_that_is_still_on_its_bus_is_not_given_back);
    tcase_add_test(t, test_what_cannot_be_plugged);
    tcase_add_test(t, test_CAM_16_NB_21_hang);
    tcase_add_test(t, test_CAM_16_NB_18_no_response);
    tcase_add_test(t, test_CAM_16_busy);
    tcase_add_test(t, test_CAM_16_delay);
    tcase_add_test(t, test_CAM_16_medium_errors);
    tcase_add_test(t, test_CAM_14_CAM_15_a_thousand_rounds);
    tcase_add_test(t, test_CAM_11_CAM_12_CAM_13_beside_threads);
    tcase_add_test(t, test_the_kth_allocation_fails);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
