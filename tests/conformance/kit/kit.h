/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kit.h - the portable conformance kit: whether a port's two halves do what <scpair/shim.h> says.
 *
 * Made to run where a port runs: in a kernel without files, processes or a C library. It needs
 * what the core itself needs (memcpy, memmove, memset, memcmp), takes the host and the device from
 * the caller, and takes no more memory than it is given. Passing it *is* the port.
 *
 * The tests come in groups, one for each step in which a port grows. A group whose functions the
 * host does not offer (NULL in its table, or ENOSYS) is skipped and named. Time is checked one way
 * only: not too early. How late a host may be is not part of the contract.
 *
 * Does not contain: the drivers. The groups call the host and the device half through the
 * wrappers, as the core does.
 */
#ifndef KIT_H
#define KIT_H

#include <scpair/shim.h>

/* What to try, and how to talk. Filled by the porter; not changed. */
struct kit_config {
    const struct shim_host *kc_host; /* the host half */
    /*
     * The device half, not yet open; NULL: the device group is skipped. `kc_dma` is memory that the
     * device can reach, `kc_dma_bytes` of it, at least 8192; page aligned.
     */
    struct shim_dev *kc_dev;
    void *kc_dma;
    size_t kc_dma_bytes;
    /* At most so much memory is taken from the host at once; at least 64 KiB. */
    size_t kc_memory_bytes;
    /* One line of the report, without a newline. Process context. */
    void (*kc_say)(void *arg, const char *line);
    void *kc_arg;
    /*
     * Run fn and tell whether the host's panic was called in it: the porter's panic then leaves fn (a
     * longjmp, a thread that ends). NULL: the panic group is skipped. After it the services are started anew.
     */
    bool (*kc_panics)(void (*fn)(void *arg), void *arg);
};

/* How it went. */
struct kit_result {
    unsigned kr_passed;
    unsigned kr_failed;
    unsigned kr_skipped; /* groups */
};

/*
 * Run the groups, or the one called `only` (NULL: all). No host may be installed; none is
 * afterwards. Process context. True when nothing failed and something ran.
 */
bool kit_run(const struct kit_config *config, const char *only, struct kit_result *result);

/* ---------------------------------------------------------------- for the groups */

/* What a running test knows. */
struct kit {
    const struct kit_config *k_config;
    const char *k_what; /* the condition that failed first, or NULL */
    const char *k_file;
    unsigned k_line;
    const char *k_skip; /* why the group cannot run here, or NULL */
};

struct kit_test {
    const char *kt_name;
    void (*kt_fn)(struct kit *k);
};

struct kit_group {
    const char *kg_name;
    const char *kg_functions; /* their numbers in <scpair/shim.h> */
    /* Why not on this host, or NULL. */
    const char *(*kg_cannot)(const struct kit_config *config);
    const struct kit_test *kg_tests; /* up to one without a name */
    bool kg_bare;                    /* no host installed while the tests run */
    bool kg_gate;                    /* without the first test the others cannot run */
};

extern const struct kit_group kit_group_table, kit_group_memory, kit_group_locks, kit_group_time,
    kit_group_copy, kit_group_messages, kit_group_sleep, kit_group_timers, kit_group_threads,
    kit_group_device, kit_group_panic;

/* The test fails here, and ends. */
#define KIT_MUST(cond)                                                                                       \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            kit_fail(k, #cond, __FILE__, __LINE__);                                                          \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)
/* The first failure of a test counts. */
void kit_fail(struct kit *k, const char *what, const char *file, unsigned line);

#endif /* KIT_H */
