/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kit.c - runs the groups of the conformance kit and reports.
 *
 * Around every test the host is installed, checked mode is on, and afterwards nothing may be left:
 * no memory, no lock, no map. A test that fails ends; the next begins on a fresh host.
 *
 * Does not contain: any test (kit_host.c, kit_sleep.c, kit_device.c).
 */
#include "kit.h"

#define KIT_LINE_BYTES       200u
#define KIT_MEMORY_BYTES_MIN 65536u
#define KIT_DMA_BYTES_MIN    8192u

static const struct kit_group *const kit_groups[] = {
    &kit_group_table, &kit_group_memory,   &kit_group_locks,  &kit_group_time,
    &kit_group_copy,  &kit_group_messages, &kit_group_device, &kit_group_timers,
    &kit_group_sleep, &kit_group_threads,  &kit_group_panic,
};

void kit_fail(struct kit *k, const char *what, const char *file, unsigned line)
{
    if (k->k_what)
        return;
    k->k_what = what;
    k->k_file = file;
    k->k_line = line;
}

static void kit_say(const struct kit_config *config, const char *fmt, ...)
{
    char line[KIT_LINE_BYTES];
    __builtin_va_list ap;

    __builtin_va_start(ap, fmt);
    (void)shim_vformat(line, sizeof(line), fmt, ap);
    __builtin_va_end(ap);
    config->kc_say(config->kc_arg, line);
}

/* No strcmp: not among the four functions the core may use. */
static bool kit_names_equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* What a test must not leave behind. */
static void kit_check_clean(struct kit *k)
{
    struct shim_account acc;
    uint64_t blocks = 0;

    shim_account_get(&acc);
    for (unsigned tag = 0; tag < SHIM_TAG_COUNT; tag++)
        blocks += acc.acc_blocks[tag];
    KIT_MUST(acc.acc_locks == 0);
    KIT_MUST(acc.acc_maps == 0);
    KIT_MUST(blocks == 0);
    KIT_MUST(shim_self()->self_nlocks == 0);
}

static void kit_run_test(struct kit *k, const struct kit_group *group, const struct kit_test *test)
{
    int error = 0;

    k->k_what = NULL;
    if (!group->kg_bare) {
        shim_checks_set(true);
        error = shim_init(k->k_config->kc_host);
    }
    if (error) {
        kit_fail(k, "shim_init(host) == 0", __FILE__, __LINE__);
        return;
    }
    test->kt_fn(k);
    if (!group->kg_bare) {
        if (!k->k_what && !k->k_skip)
            kit_check_clean(k);
        (void)shim_fini();
        shim_checks_set(false);
    }
}

static void kit_run_group(struct kit *k, const struct kit_group *group, struct kit_result *result)
{
    unsigned passed = 0;

    k->k_skip = group->kg_cannot ? group->kg_cannot(k->k_config) : NULL;
    for (const struct kit_test *test = group->kg_tests; test->kt_name && !k->k_skip; test++) {
        kit_run_test(k, group, test);
        if (k->k_skip)
            break;
        if (k->k_what) {
            result->kr_failed++;
            kit_say(k->k_config, "FAIL %s: %s: %s (%s:%u)", group->kg_name, test->kt_name, k->k_what,
                    k->k_file, k->k_line);
        } else {
            passed++;
        }
        /* The others call what the first did not find. */
        if (k->k_what && group->kg_gate && test == group->kg_tests)
            break;
    }
    result->kr_passed += passed;
    if (k->k_skip) {
        result->kr_skipped++;
        kit_say(k->k_config, "skip %s (functions %s): %s", group->kg_name, group->kg_functions, k->k_skip);
    } else {
        kit_say(k->k_config, "     %s (functions %s): %u passed", group->kg_name, group->kg_functions,
                passed);
    }
}

/* Without a host nothing can be tried, and one line says more than every test failing. */
static bool kit_host_is_taken(const struct kit_config *config)
{
    const struct shim_host *host = config->kc_host;
    int error = shim_init(host);

    if (error == 0) {
        (void)shim_fini();
        return true;
    }
    if (error == EBUSY)
        kit_say(config, "FAIL table: a host is installed; call shim_fini() before kit_run()");
    else if (!host || host->version != SHIM_HOST_VERSION || host->size < SHIM_TABLE_BYTES(shim_host, panic))
        kit_say(config, "FAIL table: version %u and size %u; set them to %u and %u", host ? host->version : 0,
                host ? host->size : 0, SHIM_HOST_VERSION, (unsigned)sizeof(*host));
    else
        kit_say(config,
                "FAIL table: shim_init() refuses it (%d); the line in the host's log says what it lacks",
                error);
    return false;
}

bool kit_run(const struct kit_config *config, const char *only, struct kit_result *result)
{
    struct kit k = {.k_config = config};
    bool found = false;

    *result = (struct kit_result){0, 0, 0};
    if (config->kc_memory_bytes < KIT_MEMORY_BYTES_MIN ||
        (config->kc_dev && (!config->kc_dma || config->kc_dma_bytes < KIT_DMA_BYTES_MIN ||
                            ((uintptr_t)config->kc_dma & SC_PAGE_MASK)))) {
        kit_say(config, "FAIL config: kc_memory_bytes under %u, or kc_dma not page aligned or under %u bytes",
                KIT_MEMORY_BYTES_MIN, KIT_DMA_BYTES_MIN);
        result->kr_failed++;
        return false;
    }
    if (!kit_host_is_taken(config)) {
        result->kr_failed++;
        return false;
    }
    for (size_t i = 0; i < SC_ARRAY_SIZE(kit_groups); i++) {
        if (only && !kit_names_equal(only, kit_groups[i]->kg_name))
            continue;
        found = true;
        kit_run_group(&k, kit_groups[i], result);
    }
    if (!found) {
        kit_say(config, "FAIL there is no group called %s", only);
        result->kr_failed++;
    }
    kit_say(config, "%u passed, %u failed, %u skipped", result->kr_passed, result->kr_failed,
            result->kr_skipped);
    return result->kr_failed == 0 && result->kr_passed > 0;
}
