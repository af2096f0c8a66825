/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core_disk.c - the disks of bench/core, the memory their floors copy from, and --memory.
 *
 * Does not contain: the phases (core_drive.c).
 */
#define _GNU_SOURCE
#include "core.h"

#include "adapter/ad_impl.h" /* for a count that nobody but a benchmark wants */

#include <sys/mman.h>

struct core_disk core_disks[CORE_THREADS_MAX];

static struct scp *core_pair;

void *core_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        core_die("memory", "too little for disks and floors; give --size a smaller one");
    return p;
}

static void core_pair_up(enum core_kind kind)
{
    struct scp_disk_spec disks[CORE_THREADS_MAX];
    const struct scp_adapter_spec adapter = {
        .size = sizeof(adapter), .disks = disks, .ndisks = core_opt.disks, .pend = core_opt.pend};
    const struct scp_spec spec = {.size = sizeof(spec), .adapters = &adapter, .nadapters = 1};
    char err[SCP_ERROR_MAX];

    for (unsigned i = 0; i < core_opt.disks; i++)
        disks[i] = (struct scp_disk_spec){.size = sizeof(disks[i]),
                                          .medium = kind == CORE_RAM ? SCP_MEDIUM_RAM : SCP_MEDIUM_VOID,
                                          .bytes = core_opt.disk_bytes,
                                          .queue = 64};
    if (scp_create(&spec, &core_pair, err, sizeof(err)) != 0)
        core_die("scp_create", err);
    for (unsigned i = 0; i < core_opt.disks; i++) {
        struct core_disk *d = &core_disks[i];
        int error;

        d->devno = scp_disk_devno(core_pair, i);
        error = fp_opendev(d->devno, DREAD | DWRITE | DKERNEL, NULL, 0, &d->file);
        if (error != 0)
            core_die("open", scp_strerror(error));
    }
}

/* Bytes of huge pages in mappings at least as large as the disk. */
static uint64_t core_huge_bytes(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    unsigned long long from = 0, to = 0, kib;
    uint64_t sum = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            continue;
        if (to - from >= core_opt.disk_bytes && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
            sum += kib * 1024u;
    }
    if (f != NULL)
        (void)fclose(f);
    return sum;
}

/*
 * Write every block of a RAM disk with its own number, then give its floor memory in the same
 * state: same size, huge pages when the disk has them, every page touched.
 */
static void core_fill(enum core_kind kind)
{
    uint64_t disk_huge, floor_huge, want;
    bool huge;

    for (unsigned i = 0; i < core_opt.disks && kind == CORE_RAM; i++)
        core_disk_number(i);
    if (core_opt.once != 0)
        return;
    disk_huge = core_huge_bytes();
    want = core_opt.disk_bytes * core_opt.disks;
    /* There is nothing to match beside a null disk; the faster floor is the stricter one. */
    huge = kind == CORE_NULL || disk_huge > want / 2;
    for (unsigned i = 0; i < core_opt.disks; i++) {
        core_disks[i].floor = core_map(core_opt.disk_bytes);
        (void)madvise(core_disks[i].floor, core_opt.disk_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        memset(core_disks[i].floor, 0x5a, core_opt.disk_bytes);
    }
    floor_huge = core_huge_bytes() - disk_huge;
    if (kind == CORE_RAM && !core_opt.json)
        printf("huge pages: %llu MiB of the RAM disks, %llu MiB of the floors' memory\n",
               (unsigned long long)(disk_huge >> 20), (unsigned long long)(floor_huge >> 20));
}

void core_disks_up(enum core_kind kind)
{
    core_pair_up(kind);
    core_fill(kind);
}

void core_disks_down(void)
{
    for (unsigned i = 0; i < core_opt.disks; i++) {
        if (core_disks[i].floor != NULL)
            (void)munmap(core_disks[i].floor, core_opt.disk_bytes);
        (void)fp_close(core_disks[i].file);
        core_disks[i] = (struct core_disk){0};
    }
    if (scp_destroy(core_pair) != 0)
        core_die("scp_destroy", "memory is still allocated");
}

void core_disks_count(struct core_count *count)
{
    struct sc_disk_stats stats;
    struct file *file;

    *count = (struct core_count){0};
    if (scp_adapter_file(core_pair, 0, &file) == 0)
        count->flushes = atomic_load(&ad_find(fp_getdevno(file))->adp_flushes);
    for (unsigned i = 0; i < core_opt.disks; i++) {
        int error = fp_ioctl(core_disks[i].file, DKSTATS, (intptr_t)&stats, 0);

        if (error != 0)
            core_die("DKSTATS", scp_strerror(error));
        count->bufs += stats.bufs;
        count->commands += stats.commands;
    }
}

/* ---------------------------------------------------------------- --memory */

/* DD and AD bytes with n null disks of queue depth 64, all open. */
static uint64_t core_memory_of(unsigned n)
{
    struct scp_disk_spec one = {
        .size = sizeof(one), .medium = SCP_MEDIUM_NULL, .bytes = 1ull << 40, .queue = 64};
    struct scp_disk_spec disks[2] = {one, one};
    struct scp_spec spec = {.disks = disks, .ndisks = n};
    struct file *files[2];
    struct shim_account acc;
    struct scp *pair;
    char err[SCP_ERROR_MAX];

    if (scp_create(&spec, &pair, err, sizeof(err)) != 0)
        core_die("scp_create", err);
    for (unsigned i = 0; i < n; i++)
        if (fp_opendev(scp_disk_devno(pair, i), DREAD | DWRITE | DKERNEL, NULL, 0, &files[i]) != 0)
            core_die("open", "failed");
    shim_account_get(&acc);
    for (unsigned i = 0; i < n; i++)
        (void)fp_close(files[i]);
    if (scp_destroy(pair) != 0)
        core_die("scp_destroy", "memory is still allocated");
    return acc.acc_bytes[SHIM_TAG_DD] + acc.acc_bytes[SHIM_TAG_AD];
}

/* What a second LUN adds is what a LUN costs: the adapter's own memory cancels out. */
int core_memory(void)
{
    uint64_t one = core_memory_of(1), two = core_memory_of(2);

    if (core_opt.json)
        printf("{\"queue_depth\":64,\"lun_bytes\":%llu,\"one_lun_total_bytes\":%llu}\n",
               (unsigned long long)(two - one), (unsigned long long)one);
    else
        printf(
            "device driver and adapter at queue depth 64: %llu bytes per LUN (%llu with the adapter's own)\n",
            (unsigned long long)(two - one), (unsigned long long)one);
    return 0;
}
