/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_inject.c - the language of `scpair inject`: one line, one fault rule.
 *
 *   DISK [op=CODE|any|read|write] [lba=FIRST[-LAST]] [count=N|forever] [skip=N] do=ACTION
 *   DISK clear | DISK attention=ASC/ASCQ
 *
 * ACTION: check:KEY/ASC/ASCQ[/desc] (hexadecimal, as standards print them), busy, qfull, reserved,
 * hang, noresponse, busfault, busreset, hwfail, short:BYTES, delay:USEC, corrupt.
 *
 * Does not contain: what a rule does (adapter/sim/sim_fault.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <stdlib.h>

#define INJECT_LINE_MAX 256u

static const struct inject_action {
    const char *a_name;
    enum sim_fault_action a_action;
    bool a_param; /* takes ":NUMBER" */
} inject_actions[] = {
    {"busy", SIM_FAULT_BUSY, false},
    {"qfull", SIM_FAULT_QUEUE_FULL, false},
    {"reserved", SIM_FAULT_RESERVED, false},
    {"hang", SIM_FAULT_HANG, false},
    {"noresponse", SIM_FAULT_NO_RESPONSE, false},
    {"busfault", SIM_FAULT_BUS_FAULT, false},
    {"busreset", SIM_FAULT_BUS_RESET, false},
    {"hwfail", SIM_FAULT_HW_FAILURE, false},
    {"short", SIM_FAULT_SHORT, true},
    {"delay", SIM_FAULT_DELAY, true},
    {"corrupt", SIM_FAULT_CORRUPT, false},
};

/* A number up to max in the given base, all of the text. */
static bool inject_number(const char *text, int base, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned long long v;

    if (text == NULL || *text == '\0' || *text == '-' || *text == '+' || *text == ' ')
        return false;
    errno = 0;
    v = strtoull(text, &end, base);
    if (errno != 0 || *end != '\0' || v > max)
        return false;
    *out = v;
    return true;
}

/* "3/11/00" into up to three bytes, and "desc" as a fourth word when `desc` is wanted. */
static bool inject_sense(char *text, unsigned bytes, uint8_t *out, bool *desc)
{
    uint64_t v;

    for (unsigned i = 0; i < bytes; i++) {
        if (!inject_number(strsep(&text, "/"), 16, 0xff, &v))
            return false;
        out[i] = (uint8_t)v;
    }
    if (text != NULL && desc != NULL && strcmp(text, "desc") == 0) {
        *desc = true;
        return true;
    }
    return text == NULL;
}

static int inject_do(char *value, struct sim_fault *f, char *err, size_t size)
{
    char *param = value;
    char *name = strsep(&param, ":");
    uint8_t sense[3];

    if (strcmp(name, "check") == 0) {
        if (param == NULL || !inject_sense(param, 3, sense, &f->f_descriptor) || sense[0] > 0xf)
            return scp_fail(err, size, EINVAL,
                            "do=check: wants KEY/ASC/ASCQ in hexadecimal, for example do=check:3/11/00");
        f->f_action = SIM_FAULT_CHECK;
        f->f_key = sense[0];
        f->f_asc = sense[1];
        f->f_ascq = sense[2];
        return 0;
    }
    for (size_t i = 0; i < SC_ARRAY_SIZE(inject_actions); i++) {
        const struct inject_action *a = &inject_actions[i];

        if (strcmp(name, a->a_name) != 0)
            continue;
        if (a->a_param ? !inject_number(param, 0, UINT32_MAX, &f->f_param) : param != NULL)
            return scp_fail(err, size, EINVAL, "do=%s: %s", name,
                            a->a_param ? "wants a number, as in do=short:512 or do=delay:1000"
                                       : "takes no number");
        f->f_action = a->a_action;
        if (a->a_action == SIM_FAULT_DELAY)
            f->f_param *= 1000u;
        return 0;
    }
    return scp_fail(
        err, size, EINVAL,
        "do=%s: unknown; known: check:K/A/Q busy qfull reserved hang noresponse busfault busreset "
        "hwfail short:BYTES delay:USEC corrupt",
        name);
}

static int inject_word(char *word, struct sim_fault *f, char *err, size_t size)
{
    char *value = word;
    char *name = strsep(&value, "=");
    uint64_t v = 0;
    bool ok = value != NULL;

    if (ok && strcmp(name, "do") == 0)
        return inject_do(value, f, err, size);
    if (ok && strcmp(name, "op") == 0) {
        if (strcmp(value, "any") == 0)
            f->f_opcode = SIM_OPCODE_ANY;
        else if (strcmp(value, "read") == 0)
            f->f_opcode = SIM_OPCODE_READS;
        else if (strcmp(value, "write") == 0)
            f->f_opcode = SIM_OPCODE_WRITES;
        else if ((ok = inject_number(value, 0, 0xff, &v)))
            f->f_opcode = (int)v;
    } else if (ok && strcmp(name, "lba") == 0) {
        char *last = value;
        char *first = strsep(&last, "-");

        ok = inject_number(first, 0, UINT64_MAX, &f->f_lba_first);
        f->f_lba_last = f->f_lba_first;
        if (ok && last != NULL)
            ok = inject_number(last, 0, UINT64_MAX, &f->f_lba_last) && f->f_lba_last >= f->f_lba_first;
    } else if (ok && strcmp(name, "count") == 0) {
        if (strcmp(value, "forever") != 0)
            ok = inject_number(value, 0, UINT32_MAX, &v) && v > 0;
        f->f_count = (uint32_t)v;
    } else if (ok && strcmp(name, "skip") == 0) {
        ok = inject_number(value, 0, UINT32_MAX, &v);
        f->f_skip = (uint32_t)v;
    } else {
        return scp_fail(err, size, EINVAL,
                        "\"%s\": unknown; a rule is DISK [op=] [lba=] [count=] [skip=] do=ACTION", name);
    }
    return ok ? 0 : scp_fail(err, size, EINVAL, "%s=%s: not a valid value", name, value);
}

static int inject_rule(struct sim_disk *disk, const char *name, char *rest, char *err, size_t size)
{
    struct sim_fault f = {.f_opcode = SIM_OPCODE_ANY, .f_lba_last = UINT64_MAX, .f_count = 1};
    char *word;
    int error;

    while ((word = strsep(&rest, " \t")) != NULL) {
        if (*word == '\0')
            continue;
        error = inject_word(word, &f, err, size);
        if (error != 0)
            return error;
    }
    if (f.f_action == SIM_FAULT_NONE)
        return scp_fail(err, size, EINVAL, "%s: the rule has no do=ACTION", name);
    if (sim_fault_add(disk, &f) < 0)
        return scp_fail(err, size, EINVAL, "%s: %u rules are the limit; use \"%s clear\" first", name,
                        SIM_FAULTS_MAX, name);
    return 0;
}

int scp_inject(struct scp *p, const char *text, char *err, size_t size)
{
    char line[INJECT_LINE_MAX];
    char *rest = line;
    char *name;
    uint8_t sense[2];
    struct sim_disk *disk = NULL;
    size_t n = strcspn(text, "\r\n");

    if (n >= sizeof(line))
        return scp_fail(err, size, EINVAL, "a rule has at most %u characters", INJECT_LINE_MAX - 1);
    memcpy(line, text, n);
    line[n] = '\0';
    name = strsep(&rest, " \t");
    for (unsigned i = 0; i < scp_ndisks(p); i++)
        if (strcmp(name, scp_disk_name(p, i)) == 0)
            disk = scp_sim_disk(p, i);
    if (disk == NULL)
        return scp_fail(err, size, ENOENT, "\"%s\": no such disk; the first is hdisk0", name);
    if (rest == NULL)
        return scp_fail(err, size, EINVAL, "%s: nothing to do; add do=ACTION, clear or attention=ASC/ASCQ",
                        name);
    if (strcmp(rest, "clear") == 0) {
        sim_fault_clear(disk);
        return 0;
    }
    if (strncmp(rest, "attention=", 10) == 0) {
        if (!inject_sense(rest + 10, 2, sense, NULL))
            return scp_fail(err, size, EINVAL,
                            "%s: attention wants ASC/ASCQ in hexadecimal, for example 29/00", name);
        sim_disk_attention(disk, sense[0], sense[1]);
        return 0;
    }
    return inject_rule(disk, name, rest, err, size);
}
