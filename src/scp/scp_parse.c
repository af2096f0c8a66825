/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_parse.c - text to structures: sizes, --adapter and --disk specifications.
 *
 * Everything a person types is checked here, and an error names the word and the fix. Does not
 * contain: fault rules (scp_inject.c), the command line (src/cli).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <stdlib.h>

int scp_size_parse(const char *text, uint64_t *bytes)
{
    static const char units[] = "kmgtp";
    char *end;
    unsigned long long value;
    const char *unit;
    unsigned shift = 0;

    /* strtoull would take a sign and leading space; a size has neither. */
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return EINVAL;
    errno = 0;
    /* Base 0 would read "010" as eight; nobody means octal bytes. */
    value = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
    if (errno != 0)
        return EINVAL;
    if (*end != '\0') {
        unit = strchr(units, *end | 0x20);
        if (unit == NULL)
            return EINVAL;
        shift = 10u * (unsigned)(unit - units + 1);
        end++;
        /* "KiB", "KB" and "K" are the same here: nobody means a decimal disk block. */
        if ((*end | 0x20) == 'i')
            end++;
        if ((*end | 0x20) == 'b')
            end++;
        if (*end != '\0')
            return EINVAL;
    }
    if (shift != 0 && value > UINT64_MAX >> shift)
        return EINVAL;
    *bytes = (uint64_t)value << shift;
    return 0;
}

static bool scp_option_has_number(const char *name)
{
    return strcmp(name, "block") == 0 || strcmp(name, "queue") == 0 || strcmp(name, "latency") == 0;
}

/* One "name" or "name=value" after the file name. */
static int scp_disk_option(const char *name, const char *value, struct scp_disk_spec *d, char *err,
                           size_t size)
{
    uint64_t number = 0;
    bool flag = value == NULL;

    if (!flag && scp_option_has_number(name) && scp_size_parse(value, &number) != 0)
        return scp_fail(err, size, EINVAL, "--disk: %s=%s: not a number", name, value);
    if (strcmp(name, "ro") == 0 && flag) {
        d->read_only = true;
    } else if (strcmp(name, "direct") == 0 && flag) {
        d->direct = true;
    } else if (strcmp(name, "notags") == 0 && flag) {
        d->no_tags = true;
    } else if (strcmp(name, "block") == 0 && !flag) {
        if (number != 512 && number != 4096)
            return scp_fail(err, size, EINVAL, "--disk: block=%s: must be 512 or 4096", value);
        d->block_bytes = (uint32_t)number;
    } else if (strcmp(name, "queue") == 0 && !flag) {
        if (number < 1 || number > SCP_QUEUE_MAX)
            return scp_fail(err, size, EINVAL, "--disk: queue=%s: must be 1 to %u", value, SCP_QUEUE_MAX);
        d->queue = (uint32_t)number;
    } else if (strcmp(name, "latency") == 0 && !flag) {
        if (number > SCP_LATENCY_US_MAX)
            return scp_fail(err, size, EINVAL, "--disk: latency=%s: must be 0 to %u microseconds", value,
                            SCP_LATENCY_US_MAX);
        d->latency_ns = number * 1000u;
    } else {
        return scp_fail(
            err, size, EINVAL,
            "--disk: unknown option \"%s\"; known: block=512|4096 ro direct notags queue=N latency=USEC",
            name);
    }
    return 0;
}

int scp_disk_parse(char *text, struct scp_disk_spec *out, char *err, size_t size)
{
    struct scp_disk_spec d = {.size = sizeof(d)};
    char *rest = text;
    char *word = strsep(&rest, ",");
    int error;

    if (word == NULL || *word == '\0')
        return scp_fail(err, size, EINVAL, "--disk: no file named; use --disk FILE, ram:SIZE or null:SIZE");
    if (strncmp(word, "ram:", 4) == 0 || strncmp(word, "null:", 5) == 0) {
        const char *number = strchr(word, ':') + 1;

        d.medium = word[0] == 'r' ? SCP_MEDIUM_RAM : SCP_MEDIUM_NULL;
        if (scp_size_parse(number, &d.bytes) != 0 || d.bytes == 0)
            return scp_fail(err, size, EINVAL, "--disk: %s: \"%s\" is not a size; write for example ram:64M",
                            word, number);
    } else {
        d.medium = SCP_MEDIUM_FILE;
        d.path = word;
    }
    while (rest != NULL) {
        char *value = strsep(&rest, ",");
        char *name = strsep(&value, "=");

        error = scp_disk_option(name, value, &d, err, size);
        if (error != 0)
            return error;
    }
    if (d.medium != SCP_MEDIUM_FILE && d.bytes % (d.block_bytes ? d.block_bytes : DEV_BSIZE) != 0)
        return scp_fail(err, size, EINVAL, "--disk: %s: size is not a multiple of the block size", text);
    *out = d;
    return 0;
}

/* The value of max-transfer. */
static int scp_transfer_parse(const char *value, uint64_t *out, char *err, size_t size)
{
    if (scp_size_parse(value, out) != 0 || *out < SC_MAXREQUEST || *out > SCP_TRANSFER_MAX ||
        *out % SC_PAGE_SIZE != 0)
        return scp_fail(err, size, EINVAL,
                        "--adapter: max-transfer=%s: must be a multiple of %u from %u to %u", value,
                        SC_PAGE_SIZE, SC_MAXREQUEST, SCP_TRANSFER_MAX);
    return 0;
}

int scp_adapter_parse(char *text, struct scp_adapter_spec *out, char *err, size_t size)
{
    struct scp_adapter_spec a = {.size = sizeof(a)};
    char *rest = text;
    const char *kind = strsep(&rest, ",");
    int error = 0;

    a.kind = "sim";
    if (kind == NULL || strcmp(kind, a.kind) != 0)
        return scp_fail(err, size, EINVAL, "--adapter: \"%s\": unknown kind; known: sim", kind ? kind : "");
    while (rest != NULL && error == 0) {
        char *value = strsep(&rest, ",");
        const char *name = strsep(&value, "=");

        if (strcmp(name, "max-transfer") == 0 && value != NULL)
            error = scp_transfer_parse(value, &a.transfer_bytes_max, err, size);
        else if (strcmp(name, "no-gather") == 0 && value == NULL)
            a.no_gather = true;
        else if (strcmp(name, "clears-queue") == 0 && value == NULL)
            a.clears_queue = true;
        else
            error = scp_fail(
                err, size, EINVAL,
                "--adapter: unknown option \"%s\"; known: max-transfer=BYTES no-gather clears-queue", name);
    }
    if (error == 0)
        *out = a;
    return error;
}
