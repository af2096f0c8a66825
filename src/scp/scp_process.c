/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_process.c - what the pairs of one process share: host, kernel services, device numbers.
 *
 * A process is to its pairs what an operating system is to its adapters: there is one host half,
 * one device switch, one error log, and a device number means one device. Pairs come and go in any
 * order; the first and the last of them start and stop the rest.
 *
 * Does not contain: the pair (scp.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

/* As many as the drivers have room for (AD_MINORS_MAX, DD_UNITS_MAX). */
#define PROCESS_ADAPTERS_MAX 32u
#define PROCESS_DISKS_MAX    256u
_Static_assert(PROCESS_ADAPTERS_MAX < SHIM_OWNERS, "an owner for each pair, which has an adapter at least");

static struct {
    pthread_mutex_t mutex; /* everything, and configuration as such */
    unsigned pairs;
    const struct shim_host *host; /* of the pairs there are */
    size_t leaked;                /* blocks that pairs have been told of and that are still there */
    struct {
        bool taken;
        size_t left;                   /* blocks that earlier pairs of this number have left behind */
    } owner[PROCESS_ADAPTERS_MAX + 1]; /* 0: the process as such */
    bool adapter_taken[PROCESS_ADAPTERS_MAX];
    bool disk_taken[PROCESS_DISKS_MAX];
} scp_process = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void scp_config_lock(void) { pthread_mutex_lock(&scp_process.mutex); }
void scp_config_unlock(void) { pthread_mutex_unlock(&scp_process.mutex); }

/* A free owner number; there is always one, or adapters have run out before. */
static uint32_t scp_owner_take(void)
{
    uint32_t i = 1;

    while (i < PROCESS_ADAPTERS_MAX && scp_process.owner[i].taken)
        i++;
    scp_process.owner[i].taken = true;
    scp_process.owner[i].left = shim_owner_blocks(i);
    return i;
}

int scp_process_join(const struct shim_host *host, uint32_t *owner, char *err, size_t size)
{
    int error;

    if (scp_process.pairs > 0) {
        if (host != scp_process.host)
            return scp_fail(err, size, EBUSY,
                            "this process has a pair on the host \"%s\"; a second one must be given the same",
                            shim_host->name);
        if (scp_process.pairs == PROCESS_ADAPTERS_MAX)
            return scp_fail(err, size, EMFILE, "this process has %u pairs; there is no room for more",
                            scp_process.pairs);
        scp_process.pairs++;
        *owner = scp_owner_take();
        return 0;
    }
    error = shim_init(host);
    if (error != 0)
        return scp_fail(err, size, error, "the host half of the shim was refused: %s", scp_strerror(error));
    error = kern_init();
    if (error != 0) {
        (void)shim_fini();
        return scp_fail(err, size, error, "the kernel services did not start: %s", scp_strerror(error));
    }
    scp_process.pairs = 1;
    scp_process.host = host;
    scp_process.leaked = 0;
    *owner = scp_owner_take();
    return 0;
}

size_t scp_process_part(uint32_t owner)
{
    size_t leaked;

    SHIM_ASSERT(scp_process.pairs > 0 && scp_process.owner[owner].taken);
    scp_process.owner[owner].taken = false;
    if (--scp_process.pairs > 0) {
        leaked = shim_owner_blocks(owner) - scp_process.owner[owner].left;
        scp_process.leaked += leaked;
        return leaked;
    }
    kern_fini();
    leaked = shim_fini();
    /* Everything that is left, but for what others have been told of. */
    leaked -= leaked < scp_process.leaked ? leaked : scp_process.leaked;
    if (scp_process.host == shim_posix_host())
        shim_posix_stop();
    scp_process.host = NULL;
    return leaked;
}

static bool *scp_minor_table(unsigned major, unsigned *n)
{
    SHIM_ASSERT(major == SCP_ADAPTER_MAJOR || major == SCP_DISK_MAJOR);
    *n = major == SCP_ADAPTER_MAJOR ? PROCESS_ADAPTERS_MAX : PROCESS_DISKS_MAX;
    return major == SCP_ADAPTER_MAJOR ? scp_process.adapter_taken : scp_process.disk_taken;
}

int scp_minor_take(unsigned major)
{
    unsigned n;
    bool *taken = scp_minor_table(major, &n);

    for (unsigned i = 0; i < n; i++) {
        if (!taken[i]) {
            taken[i] = true;
            return (int)i;
        }
    }
    return -1;
}

void scp_minor_give(unsigned major, int minor)
{
    unsigned n;
    bool *taken = scp_minor_table(major, &n);

    SHIM_ASSERT(minor >= 0 && (unsigned)minor < n && taken[minor]);
    taken[minor] = false;
}
