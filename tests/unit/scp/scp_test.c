/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of the assembled pair: scp.c, scp_raw.c, scp_json.c, scp_inject.c. Creation and its
 * errors, raw I/O and its edges, the fragment count a user can see, reports that parse.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include <fcntl.h>
#include <limits.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scp *pair;
static struct file *disk;

static void start(struct scp_spec *spec)
{
    char err[SCP_ERROR_MAX] = "";

    ck_assert_msg(scp_create(spec, &pair, err, sizeof(err)) == 0, "%s", err);
    ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &disk), 0);
}

static void start_ram(uint64_t bytes, uint64_t transfer_max)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = bytes};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .transfer_bytes_max = transfer_max};

    start(&spec);
}

static void stop(void)
{
    ck_assert_int_eq(fp_close(disk), 0);
    ck_assert_uint_eq(scp_destroy(pair), 0);
}

/* What a report says of an image means the same wherever it is read. */
START_TEST(test_a_relative_path_is_made_absolute)
{
    static const char *const names[][2] = {
        {"d.img", "/d.img"},
        {"./d.img", "/d.img"},
        {".//./d.img", "/d.img"},
        {"sub/../d.img", "/sub/../d.img"},
    };
    char folder[] = "/tmp/scpair-scp-test.XXXXXX", path[64], back[PATH_MAX];
    int fd;

    ck_assert_ptr_nonnull(getcwd(back, sizeof(back)));
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("sub", 0700), 0);
    fd = open("d.img", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    (void)close(fd);
    (void)snprintf(path, sizeof(path), "%s/d.img", folder);
    for (size_t i = 0; i <= SC_ARRAY_SIZE(names); i++) {
        bool absolute = i == SC_ARRAY_SIZE(names);
        struct scp_disk_spec d = {.medium = SCP_MEDIUM_FILE, .path = absolute ? path : names[i][0]};
        struct scp_spec spec = {.disks = &d, .ndisks = 1};
        char err[SCP_ERROR_MAX] = "", want[128];
        struct scp *p;

        ck_assert_msg(scp_create(&spec, &p, err, sizeof(err)) == 0, "%s", err);
        (void)snprintf(want, sizeof(want), "%s%s", folder, absolute ? "/d.img" : names[i][1]);
        ck_assert_str_eq(scp_disk_config(p, 0)->path, want);
        ck_assert_uint_eq(scp_destroy(p), 0);
    }
    ck_assert_int_eq(unlink("d.img"), 0);
    ck_assert_int_eq(rmdir("sub"), 0);
    ck_assert_int_eq(chdir(back), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(test_bad_specs_are_refused_with_a_reason)
{
    struct scp_disk_spec ram = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20};
    struct scp_disk_spec odd = {.medium = SCP_MEDIUM_RAM, .bytes = 1000};
    struct scp_disk_spec block7 = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .block_bytes = 7};
    struct scp_disk_spec missing = {.medium = SCP_MEDIUM_FILE, .path = "/nonexistent/disk.img"};
    struct scp_disk_spec directory = {.medium = SCP_MEDIUM_FILE, .path = "/"};
    struct scp_disk_spec slow = {
        .medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .latency_ns = SCP_LATENCY_US_MAX * UINT64_C(1000) + 1};
    struct scp_disk_spec two[2] = {ram, ram};
    struct scp_disk_spec second[2] = {ram, ram};
    struct scp_adapter_spec good = {.disks = &ram, .ndisks = 1};
    struct scp_adapter_spec empty = {.disks = &ram, .ndisks = 0};
    struct scp_adapter_spec strange = {.kind = "lsi", .disks = &ram, .ndisks = 1};
    const struct scp_spec bad[] = {
        {.disks = &ram, .ndisks = 0},
        {.disks = &ram, .ndisks = SCP_DISKS_MAX + 1},
        {.disks = &ram, .ndisks = 1, .transfer_bytes_max = 4096},
        {.disks = &ram, .ndisks = 1, .transfer_bytes_max = SC_MAXREQUEST + 1},
        {.disks = &ram, .ndisks = 1, .transfer_bytes_max = 1ull << 40},
        {.disks = &odd, .ndisks = 1},
        {.disks = &block7, .ndisks = 1},
        {.disks = &missing, .ndisks = 1},
        {.disks = &directory, .ndisks = 1},
        {.disks = two, .ndisks = 2}, /* an array of several without sizes */
        {.disks = second, .ndisks = 2},
        {.disks = &slow, .ndisks = 1},
        {.size = 8, .disks = &ram, .ndisks = 1},
        {.nadapters = 1},
        {.nadapters = SCP_ADAPTERS_MAX + 1, .adapters = &good},
        {.nadapters = 1, .adapters = &good, .disks = &ram, .ndisks = 1},
        {.nadapters = 1, .adapters = &empty},
        {.nadapters = 1, .adapters = &strange},
    };

    second[0].size = sizeof(second[0]);
    for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
        char err[SCP_ERROR_MAX] = "";
        struct scp *p = NULL;

        ck_assert_msg(scp_create(&bad[i], &p, err, sizeof(err)) != 0, "spec %zu was taken", i);
        ck_assert_msg(err[0] != '\0' && strchr(err, '\n') == NULL, "spec %zu: message \"%s\"", i, err);
        ck_assert_ptr_null(p);
    }
    /* Nothing was left behind: a good one works afterwards. */
    start_ram(1u << 20, 0);
    stop();
}
END_TEST

START_TEST(test_edges_of_latency_and_size)
{
    struct scp_disk_spec d = {
        .medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .latency_ns = SCP_LATENCY_US_MAX * UINT64_C(1000)};
    struct scp_spec spec = {.disks = &d, .ndisks = 1};
    char err[SCP_ERROR_MAX] = "";
    struct scp *p = NULL;

    ck_assert_msg(scp_create(&spec, &p, err, sizeof(err)) == 0, "%s", err);
    ck_assert_uint_eq(scp_destroy(p), 0);
    d.latency_ns = 0;
    d.bytes = 0;
    ck_assert_int_eq(scp_create(&spec, &p, err, sizeof(err)), EINVAL);
    ck_assert_msg(strstr(err, "size 0 bytes") != NULL, "%s", err);
}
END_TEST

START_TEST(test_AIX_11_eight_mib_raw_read_is_64_commands)
{
    uint8_t *data = malloc(8u << 20);
    struct sc_disk_stats before, after;
    size_t done;

    start_ram(16u << 20, 131072);
    ck_assert_int_eq(fp_ioctl(disk, DKSTATS, (intptr_t)&before, 0), 0);
    ck_assert_int_eq(scp_raw_read(disk, data, 8u << 20, 0, &done), 0);
    ck_assert_uint_eq(done, 8u << 20);
    ck_assert_int_eq(fp_ioctl(disk, DKSTATS, (intptr_t)&after, 0), 0);
    ck_assert_uint_eq(after.commands - before.commands, 64);
    stop();
    free(data);
}
END_TEST

/* A span limit has 64 bits here and 32 in the disk driver: above 4 GiB it is none, not the low half. */
START_TEST(test_AIX_08_span_limit_above_32_bits_is_no_limit)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .max_coalesce = (1ull << 32) + 4096};
    static uint8_t data[65536] __attribute__((aligned(SC_PAGE_SIZE)));
    struct sc_disk_stats before, after;
    struct scp_block *block;
    size_t done;

    start(&spec);
    ck_assert_int_eq(scp_block_open(scp_disk_devno(pair, 0), DREAD, &block), 0);
    ck_assert_int_eq(fp_ioctl(disk, DKSTATS, (intptr_t)&before, 0), 0);
    ck_assert_int_eq(scp_block_read(block, data, sizeof(data), 0, &done), 0);
    ck_assert_int_eq(fp_ioctl(disk, DKSTATS, (intptr_t)&after, 0), 0);
    ck_assert_uint_eq(after.bufs - before.bufs, 16);
    ck_assert_uint_eq(after.commands - before.commands, 1);
    scp_block_close(block);
    stop();
}
END_TEST

START_TEST(test_raw_edges)
{
    uint8_t data[4096];
    size_t done;

    start_ram(1u << 20, 0);
    ck_assert_int_eq(scp_raw_read(disk, data, 100, 0, &done), EINVAL);
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 7, &done), EINVAL);
    done = 99;
    ck_assert_int_eq(scp_raw_read(disk, data, 512, UINT64_MAX - 511, &done), EINVAL);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 1u << 20, &done), 0);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(scp_raw_read(disk, data, 512, (1u << 20) + 512, &done), ENXIO);
    ck_assert_int_eq(scp_raw_write(disk, data, 512, 1u << 20, 0, &done), ENXIO);
    ck_assert_int_eq(scp_raw_read(disk, data, 4096, (1u << 20) - 1024, &done), 0);
    ck_assert_uint_eq(done, 1024);
    ck_assert_int_eq(scp_raw_write(disk, data, 512, 0, (int)HWRELOC, &done), EINVAL);
    ck_assert_int_eq(scp_raw_write(disk, data, 512, 0, (int)SC_OPT_FUA, &done), 0);
    stop();
}
END_TEST

/* The deterministic host runs the same pair; a disk with latency finishes in virtual time. */
START_TEST(test_det_host_with_latency)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .latency_ns = 1000000};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .host = shim_det_host(1)};
    uint8_t out[4096], in[4096];
    uint64_t begin;
    size_t done;

    start(&spec);
    begin = kern_now_ns();
    memset(out, 0x5a, sizeof(out));
    ck_assert_int_eq(scp_raw_write(disk, out, sizeof(out), 8192, 0, &done), 0);
    ck_assert_int_eq(scp_raw_read(disk, in, sizeof(in), 8192, &done), 0);
    ck_assert_mem_eq(in, out, sizeof(in));
    ck_assert_uint_eq(kern_now_ns() - begin, 2000000);
    stop();
}
END_TEST

/* Two timeouts, and what the adapter driver needs to get a command back; by default they are 30 s. */
START_TEST(test_a_silent_disk_is_given_up_after_its_own_timeout)
{
    struct scp_disk_spec d = {
        .size = sizeof(d), .medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .rw_timeout = 2};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .host = shim_det_host(1)};
    char err[SCP_ERROR_MAX];
    uint8_t in[4096];
    uint64_t begin;
    size_t done;

    start(&spec);
    ck_assert_int_eq(scp_inject(pair, "hdisk0 op=any count=forever do=hang", err, sizeof(err)), 0);
    begin = kern_now_ns();
    ck_assert_int_eq(scp_raw_read(disk, in, sizeof(in), 8192, &done), EIO);
    ck_assert_uint_ge(kern_now_ns() - begin, UINT64_C(2000000000));
    ck_assert_uint_lt(kern_now_ns() - begin, UINT64_C(30000000000));
    ck_assert_int_eq(scp_inject(pair, "hdisk0 clear", err, sizeof(err)), 0);
    stop();
}
END_TEST

/* Nothing takes time here, so both drivers' steps have one time: the adapter driver saw it first. */
START_TEST(test_flight_steps_of_one_time_begin_with_the_adapter_driver)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20};
    struct scp_spec spec = {.disks = &d, .ndisks = 1, .host = shim_det_host(1)};
    const char *disk_step, *kept;
    char err[SCP_ERROR_MAX], *text;
    uint8_t in[4096];
    size_t done;

    start(&spec);
    ck_assert_int_eq(scp_inject(pair, "hdisk0 op=read count=1 do=check:3/11/00", err, sizeof(err)), 0);
    ck_assert_int_eq(scp_raw_read(disk, in, sizeof(in), 8192, &done), 0);
    text = scp_flight_json(pair);
    ck_assert_ptr_nonnull(text);
    kept = strstr(text, "\"did\":\"queue kept\"");
    disk_step = strstr(text, "{\"device\":\"hdisk0\"");
    ck_assert_msg(kept != NULL && disk_step != NULL && kept < disk_step, "%s", text);
    free(text);
    stop();
}
END_TEST

START_TEST(test_reports_name_the_promised_fields)
{
    static const char *const field[] = {"\"adapters\":[{\"name\":\"scsi0\"",
                                        "\"disks\":[{\"name\":\"hdisk0\",\"adapter\":\"scsi0\"",
                                        "\"bufs\":",
                                        "\"commands\":",
                                        "\"spanned_commands\":",
                                        "\"spanned_bufs\":",
                                        "\"fragments\":",
                                        "\"gathered\":",
                                        "\"pending\":0",
                                        "\"in_process\":0",
                                        "\"completed\":",
                                        "\"errors\":0",
                                        "\"retries\":0"};
    char *text;

    start_ram(1u << 20, 0);
    text = scp_stat_json(pair);
    for (size_t i = 0; i < SC_ARRAY_SIZE(field); i++)
        ck_assert_msg(strstr(text, field[i]) != NULL, "%s is not in %s", field[i], text);
    free(text);
    stop();
}
END_TEST

START_TEST(test_inject_language)
{
    static const char *const bad[] = {
        "",
        "hdisk9 clear",
        "hdisk0",
        "hdisk0 do=",
        "hdisk0 do=zap",
        "hdisk0 op=read",
        "hdisk0 do=check",
        "hdisk0 do=check:3",
        "hdisk0 do=check:33/0/0",
        "hdisk0 do=short",
        "hdisk0 do=busy:1",
        "hdisk0 lba=5-2 do=busy",
        "hdisk0 lba=x do=busy",
        "hdisk0 count=0 do=busy",
        "hdisk0 op=300 do=busy",
        "hdisk0 zebra=1 do=busy",
        "hdisk0 attention=29",
    };
    char err[SCP_ERROR_MAX];
    uint8_t data[512];
    size_t done;
    char *log;

    start_ram(1u << 20, 0);
    for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
        err[0] = '\0';
        ck_assert_msg(scp_inject(pair, bad[i], err, sizeof(err)) != 0, "\"%s\" was taken", bad[i]);
        ck_assert_msg(err[0] != '\0', "\"%s\": no message", bad[i]);
    }
    ck_assert_int_eq(
        scp_inject(pair, "hdisk0 op=read lba=10-20 count=forever do=check:3/11/00/desc", err, sizeof(err)),
        0);
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 10 * 512, &done), EMEDIA);
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 21 * 512, &done), 0);
    log = scp_errlog_json(pair, 0);
    ck_assert_msg(strstr(log, "DISK_ERR1") != NULL && strstr(log, "\"resource\":\"hdisk0\"") != NULL, "%s",
                  log);
    ck_assert_msg(strstr(log, "\"block_first\":10,\"block_last\":10,") != NULL, "%s", log);
    ck_assert_msg(strstr(log, "\"image\":\"ram\"") != NULL, "%s", log);
    free(log);
    ck_assert_int_eq(scp_inject(pair, "hdisk0 clear", err, sizeof(err)), 0);
    ck_assert_int_eq(scp_raw_read(disk, data, 512, 10 * 512, &done), 0);
    stop();
}
END_TEST

START_TEST(test_many_disks_with_ids_around_the_adapter)
{
    struct scp_disk_spec d[20];
    struct scp_spec spec = {.disks = d, .ndisks = 20};
    uint8_t out[512], in[512];
    size_t done;

    for (unsigned i = 0; i < 20; i++)
        d[i] = (struct scp_disk_spec){
            .size = sizeof(d[i]), .medium = SCP_MEDIUM_RAM, .bytes = 1u << 20, .queue = 4};
    start(&spec);
    for (unsigned i = 0; i < 20; i++) {
        struct file *fp;

        ck_assert_int_eq(fp_opendev(scp_disk_devno(pair, i), DREAD | DWRITE, NULL, 0, &fp), 0);
        memset(out, (int)i + 1, sizeof(out));
        ck_assert_int_eq(scp_raw_write(fp, out, sizeof(out), 0, 0, &done), 0);
        ck_assert_int_eq(fp_close(fp), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct file *fp;
        struct sc_disk_info info;

        ck_assert_int_eq(scp_disk_file(pair, i, &fp), 0);
        ck_assert_int_eq(scp_raw_read(fp, in, sizeof(in), 0, &done), 0);
        ck_assert_uint_eq(in[0], i + 1);
        ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
        ck_assert_uint_ne(info.id, 7);
    }
    stop();
}
END_TEST

/* A disk's last close stops its LUN; what the adapter has counted stays. */
START_TEST(test_adapter_counts_survive_the_last_close)
{
    struct sc_adapter_stats before, after;
    struct file *adapter;
    uint8_t data[512];
    size_t done;

    start_ram(1u << 20, 0);
    ck_assert_int_eq(scp_adapter_file(pair, 0, &adapter), 0);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(scp_raw_read(disk, data, sizeof(data), 0, &done), 0);
    ck_assert_int_eq(fp_ioctl(adapter, SCIOSTAT, (intptr_t)&before, 0), 0);
    ck_assert_uint_ge(before.commands, 100);
    ck_assert_int_eq(fp_close(disk), 0);
    ck_assert_int_eq(fp_ioctl(adapter, SCIOSTAT, (intptr_t)&after, 0), 0);
    ck_assert_uint_ge(after.commands, before.commands);
    ck_assert_uint_eq(after.commands, after.completed);
    ck_assert_uint_eq(after.luns_started, 0);
    ck_assert_uint_eq(scp_destroy(pair), 0);
}
END_TEST

/* A name may have anything in it but a slash; a report is JSON all the same. */
START_TEST(test_reports_quote_names)
{
    static const char odd[] = "/tmp/scpair-a\"b\\c\nd\xc3\x7f.img";
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_FILE, .path = odd};
    struct scp_spec spec = {.disks = &d, .ndisks = 1};
    char err[SCP_ERROR_MAX] = "", *text;
    uint8_t sector[512];
    size_t done;
    int fd = open(odd, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    (void)close(fd);
    start(&spec);
    ck_assert_int_eq(unlink(odd), 0);
    ck_assert_int_eq(
        scp_inject(pair, "hdisk0 op=read lba=5 count=forever do=check:3/11/00", err, sizeof(err)), 0);
    ck_assert_int_eq(scp_raw_read(disk, sector, 512, 5 * 512, &done), EMEDIA);
    text = scp_errlog_json(pair, 0);
    ck_assert_msg(strstr(text, "\"image\":\"/tmp/scpair-a\\\"b\\\\c\\u000ad\\u00c3\\u007f.img\"") != NULL,
                  "%s", text);
    free(text);
    stop();
}
END_TEST

/* A log of several batches: every record once, in order. */
START_TEST(test_a_long_error_log)
{
    struct scp_disk_spec d = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20};
    struct scp_spec spec = {.disks = &d, .ndisks = 1};
    unsigned long long last = 0, seq;
    char *text, *line, *rest;
    unsigned n = 0;

    start(&spec);
    for (unsigned i = 0; i < 50; i++) {
        struct err_rec r = {.er_id = ERRID_DISK_ERR4};

        (void)snprintf(r.er_resource, sizeof(r.er_resource), "dev%u", i);
        (void)snprintf(r.er_text, sizeof(r.er_text), "text %u", i);
        errsave(&r, sizeof(r));
    }
    rest = text = scp_errlog_json(pair, 0);
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (*line == '\0')
            continue;
        ck_assert_int_eq(sscanf(line, "{\"seq\":%llu", &seq), 1);
        ck_assert_uint_gt(seq, last);
        last = seq;
        n++;
    }
    ck_assert_uint_eq(n, 50);
    free(text);
    stop();
}
END_TEST

/* An older program's structure ends where its size says; what lies behind it is somebody else's. */
START_TEST(test_an_older_structure_is_read_to_its_end)
{
    struct {
        struct scp_disk_spec known;
        uint8_t more[64];
    } d;
    struct scp_spec spec = {.disks = &d.known, .ndisks = 1};
    const size_t end = offsetof(struct scp_disk_spec, physical_bytes);

    memset(&d, 0, sizeof(d));
    memset((uint8_t *)&d + end, 0x01, sizeof(d) - end);
    d.known.size = (uint32_t)end;
    d.known.medium = SCP_MEDIUM_RAM;
    d.known.bytes = 1u << 20;
    start(&spec);
    ck_assert_uint_eq(scp_disk_config(pair, 0)->physical_bytes, 0);
    ck_assert(!scp_disk_config(pair, 0)->removable && !scp_disk_config(pair, 0)->no_reserve);
    stop();
    /* One that has the first of what came later, and not the rest. */
    d.known.physical_bytes = 4096;
    d.known.size = (uint32_t)offsetof(struct scp_disk_spec, removable);
    start(&spec);
    ck_assert_uint_eq(scp_disk_config(pair, 0)->physical_bytes, 4096);
    ck_assert(!scp_disk_config(pair, 0)->removable && !scp_disk_config(pair, 0)->no_reserve);
    stop();
}
END_TEST

START_TEST(test_errno_texts)
{
    ck_assert_ptr_nonnull(strstr(scp_strerror(EMEDIA), "EMEDIA"));
    ck_assert_int_eq(scp_host_errno(EMEDIA), EIO);
    ck_assert_int_eq(scp_host_errno(EWRPROTECT), EROFS);
    ck_assert_int_eq(scp_host_errno(ENOTREADY), ENOMEDIUM);
    ck_assert_int_eq(scp_host_errno(ENOCONNECT), ENOTCONN);
    ck_assert_int_eq(scp_host_errno(EFORMAT), EMEDIUMTYPE);
    ck_assert_int_eq(scp_host_errno(EINVAL), EINVAL);
    ck_assert_ptr_nonnull(scp_strerror(99999));
    ck_assert_str_eq(scp_version(), "0.2.0");
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp");
    TCase *t = tcase_create("pair");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, test_bad_specs_are_refused_with_a_reason);
    tcase_add_test(t, test_a_relative_path_is_made_absolute);
    tcase_add_test(t, test_edges_of_latency_and_size);
    tcase_add_test(t, test_AIX_11_eight_mib_raw_read_is_64_commands);
    tcase_add_test(t, test_AIX_08_span_limit_above_32_bits_is_no_limit);
    tcase_add_test(t, test_raw_edges);
    tcase_add_test(t, test_det_host_with_latency);
    tcase_add_test(t, test_a_silent_disk_is_given_up_after_its_own_timeout);
    tcase_add_test(t, test_flight_steps_of_one_time_begin_with_the_adapter_driver);
    tcase_add_test(t, test_reports_name_the_promised_fields);
    tcase_add_test(t, test_inject_language);
    tcase_add_test(t, test_many_disks_with_ids_around_the_adapter);
    tcase_add_test(t, test_adapter_counts_survive_the_last_close);
    tcase_add_test(t, test_errno_texts);
    tcase_add_test(t, test_reports_quote_names);
    tcase_add_test(t, test_a_long_error_log);
    tcase_add_test(t, test_an_older_structure_is_read_to_its_end);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
