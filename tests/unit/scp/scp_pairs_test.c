/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of several adapters in one pair and several pairs in one process: scp.c, scp_spec.c,
 * scp_process.c. Numbers and names, data that stays apart, one that goes while the other works,
 * leaks laid at the right door, specifications of other sizes.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include "scp/scp_impl.h"

#include <pthread.h>
#include <scpair/scpair.h>
#include <scpair/shim.h>
#include <stdatomic.h>
#include <stdlib.h>

#define DISK_BYTES (1u << 20)

/* A RAM disk; in an array. */
static struct scp_disk_spec ram_disk(void)
{
    return (struct scp_disk_spec){
        .size = sizeof(struct scp_disk_spec), .medium = SCP_MEDIUM_RAM, .bytes = DISK_BYTES};
}

static struct scp *create(const struct scp_spec *spec)
{
    char err[SCP_ERROR_MAX] = "";
    struct scp *p = NULL;

    ck_assert_msg(scp_create(spec, &p, err, sizeof(err)) == 0, "%s", err);
    return p;
}

/* `n` adapters with three RAM disks each. */
static struct scp *create_adapters(unsigned n)
{
    struct scp_disk_spec disks[3] = {ram_disk(), ram_disk(), ram_disk()};
    struct scp_adapter_spec adapters[SCP_ADAPTERS_MAX];
    struct scp_spec spec = {.size = sizeof(spec), .nadapters = n, .adapters = adapters};

    for (unsigned i = 0; i < n; i++)
        adapters[i] = (struct scp_adapter_spec){
            .size = sizeof(adapters[i]), .kind = "sim", .disks = disks, .ndisks = 3};
    return create(&spec);
}

/* Every block of every disk says whose it is; returns after reading all of it back. */
static void stamp(struct scp *p, uint8_t whose)
{
    static uint8_t out[65536], in[65536];
    struct file *fp;
    size_t done;

    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        ck_assert_int_eq(fp_opendev(scp_disk_devno(p, i), DREAD | DWRITE, NULL, 0, &fp), 0);
        memset(out, whose + (int)i, sizeof(out));
        ck_assert_int_eq(scp_raw_write(fp, out, sizeof(out), 4096, 0, &done), 0);
        ck_assert_uint_eq(done, sizeof(out));
        ck_assert_int_eq(fp_close(fp), 0);
    }
    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        ck_assert_int_eq(scp_disk_file(p, i, &fp), 0);
        ck_assert_int_eq(scp_raw_read(fp, in, sizeof(in), 4096, &done), 0);
        memset(out, whose + (int)i, sizeof(out));
        ck_assert_mem_eq(in, out, sizeof(in));
    }
}

/* Is what stamp() wrote still there? */
static void stamped(struct scp *p, uint8_t whose)
{
    uint8_t in[4096];
    struct file *fp;
    size_t done;

    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        ck_assert_int_eq(scp_disk_file(p, i, &fp), 0);
        ck_assert_int_eq(scp_raw_read(fp, in, sizeof(in), 8192, &done), 0);
        for (size_t k = 0; k < sizeof(in); k++)
            ck_assert_uint_eq(in[k], whose + i);
    }
}

static uint64_t commands_of(struct scp *p, unsigned adapter)
{
    struct sc_adapter_stats st;
    struct file *fp;

    ck_assert_int_eq(scp_adapter_file(p, adapter, &fp), 0);
    ck_assert_int_eq(fp_ioctl(fp, SCIOSTAT, (intptr_t)&st, 0), 0);
    ck_assert_uint_eq(st.commands, st.completed);
    return st.commands;
}

/* ---------------------------------------------------------------- one pair */

START_TEST(test_two_adapters_with_three_disks_each)
{
    static const char *const names[6] = {"hdisk0", "hdisk1", "hdisk2", "hdisk3", "hdisk4", "hdisk5"};
    struct scp *p = create_adapters(2);
    uint64_t before[2];
    uint8_t data[512];
    struct file *fp;
    size_t done;

    ck_assert_uint_eq(scp_nadapters(p), 2);
    ck_assert_uint_eq(scp_ndisks(p), 6);
    ck_assert_str_eq(scp_adapter_name(p, 0), "scsi0");
    ck_assert_str_eq(scp_adapter_name(p, 1), "scsi1");
    ck_assert_uint_ne(scp_adapter_devno(p, 0), scp_adapter_devno(p, 1));
    for (unsigned i = 0; i < 6; i++) {
        struct sc_disk_info info;

        ck_assert_str_eq(scp_disk_name(p, i), names[i]);
        ck_assert_uint_eq(scp_disk_adapter(p, i), i / 3);
        ck_assert_int_eq(scp_disk_file(p, i, &fp), 0);
        ck_assert_int_eq(fp_ioctl(fp, DKINFO, (intptr_t)&info, 0), 0);
        ck_assert_uint_eq(info.id, i % 3); /* each bus begins with id 0 */
        ck_assert_ptr_eq(scp_sim_disk(p, i), scp_sim_disk(p, i));
        ck_assert_ptr_ne(scp_sim_disk(p, i), scp_sim_disk(p, (i + 3) % 6));
    }
    stamp(p, 1);
    /* A read on hdisk4 is a command of scsi1, and of it alone. */
    for (unsigned i = 0; i < 2; i++)
        before[i] = commands_of(p, i);
    ck_assert_int_eq(scp_disk_file(p, 4, &fp), 0);
    ck_assert_int_eq(scp_raw_read(fp, data, sizeof(data), 4096, &done), 0);
    ck_assert_uint_eq(commands_of(p, 0), before[0]);
    ck_assert_uint_eq(commands_of(p, 1), before[1] + 1);
    ck_assert_uint_eq(scp_destroy(p), 0);
}
END_TEST

/* Each adapter has its own limits and flavour, and reports say which disk is where. */
START_TEST(test_options_and_reports_are_per_adapter)
{
    struct scp_disk_spec disk = ram_disk();
    struct scp_adapter_spec adapters[2] = {
        {.size = sizeof(adapters[0]), .disks = &disk, .ndisks = 1, .transfer_bytes_max = 65536},
        {.size = sizeof(adapters[0]), .disks = &disk, .ndisks = 1, .no_gather = true}};
    struct scp_spec spec = {.size = sizeof(spec), .nadapters = 2, .adapters = adapters};
    struct scp *p = create(&spec);
    struct file *fp;
    struct devinfo info;
    uint8_t sector[512];
    char err[SCP_ERROR_MAX];
    size_t done;
    char *text;

    ck_assert_int_eq(scp_adapter_file(p, 0, &fp), 0);
    ck_assert_int_eq(fp_ioctl(fp, IOCINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.un.scsi.max_transfer, 65536);
    ck_assert_int_eq(fp_ioctl(fp, SCIOGTHW, 0, 0), 0);
    ck_assert_int_eq(scp_adapter_file(p, 1, &fp), 0);
    ck_assert_int_eq(fp_ioctl(fp, IOCINFO, (intptr_t)&info, 0), 0);
    ck_assert_uint_eq(info.un.scsi.max_transfer, SCP_TRANSFER_MAX);
    ck_assert_int_ne(fp_ioctl(fp, SCIOGTHW, 0, 0), 0);
    /* What is in force, defaults filled in. */
    ck_assert_str_eq(scp_adapter_config(p, 1)->kind, "sim");
    ck_assert_uint_eq(scp_adapter_config(p, 1)->transfer_bytes_max, SCP_TRANSFER_MAX);
    ck_assert_uint_eq(scp_disk_config(p, 1)->block_bytes, 512);
    ck_assert_uint_eq(scp_disk_config(p, 1)->queue, SCP_QUEUE_DEFAULT);

    text = scp_stat_json(p);
    ck_assert_ptr_nonnull(strstr(text, "{\"adapters\":[{\"name\":\"scsi0\""));
    ck_assert_ptr_nonnull(strstr(text, "{\"name\":\"scsi1\""));
    ck_assert_ptr_nonnull(strstr(text, "{\"name\":\"hdisk0\",\"adapter\":\"scsi0\""));
    ck_assert_ptr_nonnull(strstr(text, "{\"name\":\"hdisk1\",\"adapter\":\"scsi1\""));
    free(text);

    /* A rule names one disk and strikes there. */
    ck_assert_int_eq(scp_inject(p, "hdisk1 op=read lba=9 count=forever do=check:3/11/00", err, sizeof(err)),
                     0);
    ck_assert_int_eq(scp_disk_file(p, 0, &fp), 0);
    ck_assert_int_eq(scp_raw_read(fp, sector, sizeof(sector), 9 * 512, &done), 0);
    ck_assert_int_eq(scp_disk_file(p, 1, &fp), 0);
    ck_assert_int_eq(scp_raw_read(fp, sector, sizeof(sector), 9 * 512, &done), EMEDIA);
    text = scp_errlog_json(p, 0);
    ck_assert_ptr_nonnull(strstr(text, "\"resource\":\"hdisk1\""));
    ck_assert_ptr_null(strstr(text, "\"resource\":\"hdisk0\""));
    free(text);
    ck_assert_uint_eq(scp_destroy(p), 0);
}
END_TEST

/* The second of two adapters cannot be built: the first goes again, completely. */
START_TEST(test_failure_in_the_second_adapter_undoes_the_first)
{
    struct scp_disk_spec good = ram_disk();
    struct scp_disk_spec bad = {.medium = SCP_MEDIUM_FILE, .path = "/nonexistent/disk.img"};
    struct scp_adapter_spec adapters[2] = {{.size = sizeof(adapters[0]), .disks = &good, .ndisks = 1},
                                           {.size = sizeof(adapters[0]), .disks = &bad, .ndisks = 1}};
    struct scp_spec spec = {.size = sizeof(spec), .nadapters = 2, .adapters = adapters};
    char err[SCP_ERROR_MAX] = "";
    struct scp *p = NULL;

    ck_assert_int_eq(scp_create(&spec, &p, err, sizeof(err)), ENOENT);
    ck_assert_ptr_nonnull(strstr(err, "/nonexistent/disk.img"));
    p = create_adapters(2);
    ck_assert_str_eq(scp_adapter_name(p, 0), "scsi0");
    stamp(p, 1);
    ck_assert_uint_eq(scp_destroy(p), 0);
}
END_TEST

/* ---------------------------------------------------------------- specifications of other sizes */

START_TEST(test_specs_of_earlier_and_later_programs)
{
    struct {
        struct scp_disk_spec disk;
        uint64_t later; /* a field this library does not know */
    } disks[2];
    struct {
        struct scp_adapter_spec adapter;
        uint64_t later;
    } adapter = {0};
    struct scp_spec spec = {.size = sizeof(spec), .nadapters = 1, .adapters = &adapter.adapter};
    char err[SCP_ERROR_MAX] = "";
    struct scp *p;

    memset(disks, 0, sizeof(disks));
    for (unsigned i = 0; i < 2; i++) {
        disks[i].disk = ram_disk();
        disks[i].disk.size = sizeof(disks[i]);
        disks[i].disk.bytes = (i + 1u) << 20;
    }
    adapter.adapter.size = sizeof(adapter);
    adapter.adapter.disks = &disks[0].disk;
    adapter.adapter.ndisks = 2;
    p = create(&spec);
    ck_assert_uint_eq(scp_disk_config(p, 1)->bytes, 2u << 20);
    ck_assert_uint_eq(scp_disk_config(p, 1)->size, sizeof(struct scp_disk_spec));
    ck_assert_uint_eq(scp_destroy(p), 0);

    disks[1].later = 1;
    ck_assert_int_eq(scp_create(&spec, &p, err, sizeof(err)), EINVAL);
    ck_assert_ptr_nonnull(strstr(err, "does not know"));
    disks[1].later = 0;
    adapter.later = 1;
    ck_assert_int_eq(scp_create(&spec, &p, err, sizeof(err)), EINVAL);
}
END_TEST

/* The first one's size is where the others are: one that says more would be read beyond the array. */
START_TEST(test_elements_of_an_array_have_one_size)
{
    static const int more[] = {8, -8, 4096};
    struct scp_disk_spec *disks = calloc(2, sizeof(*disks)); /* exactly, for a sanitizer */
    struct scp_adapter_spec adapters[2];
    struct scp_spec spec = {.size = sizeof(spec), .disks = disks, .ndisks = 2};
    char err[SCP_ERROR_MAX] = "";
    struct scp *p;

    ck_assert_ptr_nonnull(disks);
    disks[0] = disks[1] = ram_disk();
    for (unsigned i = 0; i < SC_ARRAY_SIZE(more); i++) {
        disks[1].size = (uint32_t)((int)sizeof(*disks) + more[i]);
        ck_assert_int_eq(scp_create(&spec, &p, err, sizeof(err)), EINVAL);
        ck_assert_ptr_nonnull(strstr(err, "in element 1"));
    }
    disks[1].size = sizeof(*disks);
    for (unsigned i = 0; i < 2; i++)
        adapters[i] = (struct scp_adapter_spec){.size = sizeof(adapters[i]), .disks = disks, .ndisks = 2};
    adapters[1].size += 8;
    spec = (struct scp_spec){.size = sizeof(spec), .nadapters = 2, .adapters = adapters};
    ck_assert_int_eq(scp_create(&spec, &p, err, sizeof(err)), EINVAL);
    adapters[1].size -= 8;
    ck_assert_uint_eq(scp_destroy(create(&spec)), 0);
    free(disks);
}
END_TEST

/* ---------------------------------------------------------------- two pairs */

START_TEST(test_two_pairs_side_by_side_first_goes_first)
{
    struct scp *a = create_adapters(1);
    struct scp *b = create_adapters(2);

    ck_assert_str_eq(scp_adapter_name(a, 0), "scsi0");
    ck_assert_str_eq(scp_adapter_name(b, 0), "scsi1");
    ck_assert_str_eq(scp_disk_name(b, 0), "hdisk3");
    stamp(a, 1);
    stamp(b, 100);
    stamped(a, 1);
    ck_assert_uint_eq(scp_destroy(a), 0);
    stamped(b, 100);
    stamp(b, 50);
    ck_assert_uint_eq(scp_destroy(b), 0);
}
END_TEST

START_TEST(test_two_pairs_side_by_side_second_goes_first)
{
    struct scp *a = create_adapters(1);
    struct scp *b = create_adapters(2);
    struct scp *c;

    stamp(a, 1);
    stamp(b, 100);
    ck_assert_uint_eq(scp_destroy(b), 0);
    stamped(a, 1);
    /* The numbers that came free are given again. */
    c = create_adapters(1);
    ck_assert_str_eq(scp_adapter_name(c, 0), "scsi1");
    ck_assert_str_eq(scp_disk_name(c, 0), "hdisk3");
    stamp(c, 7);
    stamped(a, 1);
    ck_assert_uint_eq(scp_destroy(a), 0);
    stamped(c, 7);
    ck_assert_uint_eq(scp_destroy(c), 0);
    /* And all from the beginning when nobody is left. */
    a = create_adapters(1);
    ck_assert_str_eq(scp_adapter_name(a, 0), "scsi0");
    ck_assert_uint_eq(scp_destroy(a), 0);
}
END_TEST

struct worker {
    struct scp *w_pair;
    atomic_bool w_stop;
    atomic_uint w_rounds;
    atomic_int w_error;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    uint8_t data[4096];
    struct file *fp;
    size_t done;

    for (uint64_t i = 0; !atomic_load(&w->w_stop) && atomic_load(&w->w_error) == 0; i++) {
        int error = scp_disk_file(w->w_pair, (unsigned)(i % 3), &fp);

        if (error == 0)
            error = scp_raw_read(fp, data, sizeof(data), i % 256 * 4096, &done);
        atomic_store(&w->w_error, error);
        atomic_fetch_add(&w->w_rounds, 1);
    }
    return NULL;
}

/* Pairs come and go while one works; nobody waits for luck: each step waits for rounds of work. */
START_TEST(test_pairs_come_and_go_beside_one_at_work)
{
    struct worker w = {.w_pair = create_adapters(1)};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, work, &w), 0);
    for (unsigned i = 0; i < 20; i++) {
        unsigned rounds = atomic_load(&w.w_rounds);
        struct scp *p = create_adapters(1 + i % 3);

        stamp(p, (uint8_t)(i + 1));
        while (atomic_load(&w.w_rounds) < rounds + 2 && atomic_load(&w.w_error) == 0)
            continue;
        ck_assert_uint_eq(scp_destroy(p), 0);
    }
    atomic_store(&w.w_stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(atomic_load(&w.w_error), 0);
    ck_assert_uint_eq(scp_destroy(w.w_pair), 0);
}
END_TEST

/* The error log and the failure hooks belong to the process: a second pair does not clear them. */
START_TEST(test_second_pair_leaves_the_error_log_alone)
{
    struct scp *a = create_adapters(1);
    uint8_t sector[512];
    char err[SCP_ERROR_MAX];
    struct scp *b;
    struct file *fp;
    size_t done;
    struct err_rec before[8], after[8];
    unsigned n;

    ck_assert_int_eq(scp_inject(a, "hdisk0 op=read lba=3 count=forever do=check:3/11/00", err, sizeof(err)),
                     0);
    ck_assert_int_eq(scp_disk_file(a, 0, &fp), 0);
    ck_assert_int_eq(scp_raw_read(fp, sector, sizeof(sector), 3 * 512, &done), EMEDIA);
    n = errlog_read(0, before, SC_ARRAY_SIZE(before));
    ck_assert_uint_gt(n, 0);
    b = create_adapters(1);
    ck_assert_uint_eq(scp_destroy(b), 0);
    ck_assert_uint_eq(errlog_read(0, after, SC_ARRAY_SIZE(after)), n);
    for (unsigned i = 0; i < n; i++) {
        ck_assert_uint_eq(after[i].er_seq, before[i].er_seq);
        ck_assert_uint_eq(after[i].er_when_ns, before[i].er_when_ns);
        ck_assert_str_eq(after[i].er_text, before[i].er_text);
    }
    ck_assert_uint_eq(scp_destroy(a), 0);
}
END_TEST

START_TEST(test_another_host_beside_a_pair_is_refused)
{
    struct scp_disk_spec disk = ram_disk();
    struct scp_spec other = {.disks = &disk, .ndisks = 1, .host = shim_det_host(1)};
    struct scp *a = create_adapters(1);
    char err[SCP_ERROR_MAX] = "";
    struct scp *b = NULL;

    ck_assert_int_eq(scp_create(&other, &b, err, sizeof(err)), EBUSY);
    ck_assert_ptr_nonnull(strstr(err, "posix"));
    ck_assert_ptr_null(b);
    stamp(a, 1);
    ck_assert_uint_eq(scp_destroy(a), 0);
    /* Alone it may have that host. */
    b = create(&other);
    stamp(b, 1);
    ck_assert_uint_eq(scp_destroy(b), 0);
}
END_TEST

START_TEST(test_numbers_run_out_with_a_message)
{
    struct scp *p[3];
    char err[SCP_ERROR_MAX] = "";
    struct scp_disk_spec disk = ram_disk();
    struct scp_spec spec = {.disks = &disk, .ndisks = 1};

    p[0] = create_adapters(SCP_ADAPTERS_MAX);
    p[1] = create_adapters(SCP_ADAPTERS_MAX);
    ck_assert_int_eq(scp_create(&spec, &p[2], err, sizeof(err)), EMFILE);
    ck_assert_ptr_nonnull(strstr(err, "numbers"));
    ck_assert_uint_eq(scp_destroy(p[0]), 0);
    p[2] = create(&spec);
    stamp(p[2], 9);
    stamp(p[1], 1);
    ck_assert_uint_eq(scp_destroy(p[1]), 0);
    ck_assert_uint_eq(scp_destroy(p[2]), 0);
}
END_TEST

/* Blocks taken for a pair; as its drivers would take them. */
static void *take_for(const struct scp *p, size_t bytes)
{
    uint32_t before = shim_owner_enter(p->p_owner);
    void *block = shim_alloc(bytes, 0, SHIM_TAG_TEST);

    shim_owner_leave(before);
    return block;
}

/* Each destroy tells of its own pair's leaks, whoever goes first, and nobody is blamed twice. */
START_TEST(test_leaks_are_laid_at_the_right_door)
{
    static void *leaked[3]; /* reachable: our own leak counter is tested, not the sanitizer's */
    struct scp *a, *b, *c;
    void *given_back;

    setenv("SCPAIR_LOG_LEVEL", "-1", 1); /* the leak report would be a line of its own */
    a = create_adapters(1);
    b = create_adapters(1);
    leaked[0] = take_for(a, 100);
    leaked[1] = take_for(a, 200);
    leaked[2] = take_for(b, 300);
    ck_assert(leaked[0] != NULL && leaked[1] != NULL && leaked[2] != NULL);
    given_back = take_for(a, 400);
    stamp(b, 1);
    shim_free(given_back, 400, 0, SHIM_TAG_TEST);
    ck_assert_uint_eq(scp_destroy(a), 2);
    /* The next one gets the number that came free, and not the blame. */
    c = create_adapters(2);
    ck_assert_uint_eq(c->p_owner, 1);
    stamp(c, 1);
    ck_assert_uint_eq(scp_destroy(c), 0);
    ck_assert_uint_eq(scp_destroy(b), 1);
    a = create_adapters(1);
    ck_assert_uint_eq(scp_destroy(a), 0);
}
END_TEST

/* What an adapter takes when a LUN is started on some thread is the pair's: a pair that goes has given it
 * back. */
START_TEST(test_memory_of_opens_is_put_down_to_the_pair)
{
    struct scp *a = create_adapters(1);
    struct scp *b = create_adapters(1);
    size_t built_a = shim_owner_blocks(a->p_owner), built_b = shim_owner_blocks(b->p_owner);

    ck_assert_uint_gt(built_a, 0);
    ck_assert_uint_eq(built_a, built_b);
    stamp(b, 1);
    ck_assert_uint_eq(shim_owner_blocks(a->p_owner), built_a);
    ck_assert_uint_gt(shim_owner_blocks(b->p_owner), built_b);
    ck_assert_uint_eq(shim_owner(), 0);
    ck_assert_uint_eq(scp_destroy(b), 0);
    ck_assert_uint_eq(scp_destroy(a), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("scp_pairs");
    TCase *t = tcase_create("pairs");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_two_adapters_with_three_disks_each);
    tcase_add_test(t, test_options_and_reports_are_per_adapter);
    tcase_add_test(t, test_failure_in_the_second_adapter_undoes_the_first);
    tcase_add_test(t, test_specs_of_earlier_and_later_programs);
    tcase_add_test(t, test_elements_of_an_array_have_one_size);
    tcase_add_test(t, test_two_pairs_side_by_side_first_goes_first);
    tcase_add_test(t, test_two_pairs_side_by_side_second_goes_first);
    tcase_add_test(t, test_pairs_come_and_go_beside_one_at_work);
    tcase_add_test(t, test_second_pair_leaves_the_error_log_alone);
    tcase_add_test(t, test_another_host_beside_a_pair_is_refused);
    tcase_add_test(t, test_numbers_run_out_with_a_message);
    tcase_add_test(t, test_leaks_are_laid_at_the_right_door);
    tcase_add_test(t, test_memory_of_opens_is_put_down_to_the_pair);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
