/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_inject.c - the language of `scpair inject`: one line, one fault rule.
 *
 *   DISK [op=CODE|data|read|write|any] [lba=FIRST[-LAST]] [skip=N] [every=N | rate=P [seed=N]]
 *        [count=N|forever | once] do=ACTION
 *   DISK clear | DISK attention=ASC/ASCQ | DISK load
 *
 * ACTION: check:KEY/ASC/ASCQ[/desc][/deferred] (hexadecimal, as standards print them), busy, qfull,
 * reserved, hang, noresponse, busfault, busreset, hwfail, short:BYTES, delay:USEC, corrupt.
 *
 * Without op= a rule strikes READ and WRITE commands and leaves alone what the driver sends of its
 * own accord. Without count= it strikes once, or for good when every= or rate= is given. A word
 * given twice, two that contradict each other and a rule that could never strike are errors.
 *
 * Does not contain: what a rule does (adapter/sim/sim_fault.c).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <inttypes.h>
#include <stdio.h>
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

/* "3/11/00" into up to three bytes, and "desc" and "deferred" after them when there is a rule for it. */
static bool inject_sense(char *text, unsigned bytes, uint8_t *out, struct sim_fault *f)
{
    uint64_t v;

    for (unsigned i = 0; i < bytes; i++) {
        if (!inject_number(strsep(&text, "/"), 16, 0xff, &v))
            return false;
        out[i] = (uint8_t)v;
    }
    while (f != NULL && text != NULL) {
        const char *word = strsep(&text, "/");
        bool *flag = strcmp(word, "desc") == 0       ? &f->f_descriptor
                     : strcmp(word, "deferred") == 0 ? &f->f_deferred
                                                     : NULL;

        if (flag == NULL || *flag)
            return false;
        *flag = true;
    }
    return text == NULL;
}

static int inject_do(char *value, struct sim_fault *f, char *err, size_t size)
{
    char *param = value;
    char *name = strsep(&param, ":");
    uint8_t sense[3];

    if (strcmp(name, "check") == 0) {
        if (param == NULL || !inject_sense(param, 3, sense, f) || sense[0] > 0xf)
            return scp_fail(err, size, EINVAL,
                            "do=check: wants KEY/ASC/ASCQ in hexadecimal, KEY up to f, for example "
                            "do=check:3/11/00");
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
            return scp_fail(err, size, EINVAL, "do=%s%s%s: %s", name, param ? ":" : "", param ? param : "",
                            a->a_param
                                ? "wants a number up to 4294967295, as in do=short:512 or do=delay:1000"
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

/* Words of a rule, as bits of in_have. */
enum {
    INJECT_OP,
    INJECT_LBA,
    INJECT_SKIP,
    INJECT_EVERY,
    INJECT_RATE,
    INJECT_SEED,
    INJECT_COUNT,
    INJECT_ONCE,
    INJECT_DO,
    INJECT_WORDS
};
static const char *const inject_words[INJECT_WORDS] = {"op",   "lba",   "skip", "every", "rate",
                                                       "seed", "count", "once", "do"};
/* What their values must be, for messages; those with a message of their own have none here. */
static const char *const inject_wants[INJECT_WORDS] = {
    [INJECT_OP] = "must be data, read, write, any or a code from 0 to 0xff",
    [INJECT_SKIP] = "must be 0 to 4294967295",
    [INJECT_EVERY] = "must be 1 to 4294967295",
    [INJECT_RATE] = "must be 0.001 to 1000000, with at most three decimals",
    [INJECT_SEED] = "must be 0 to 18446744073709551615",
    [INJECT_COUNT] = "must be 1 to 4294967295, or forever",
    [INJECT_ONCE] = "once takes no value",
};

/* A rule while it is being read. */
struct inject_rule {
    struct sim_fault in_fault;
    const char *in_text[INJECT_WORDS]; /* what was given, or NULL */
    uint64_t in_blocks;                /* of the disk */
};

static bool inject_op(const char *value, int *opcode)
{
    static const struct {
        const char *name;
        int opcode;
    } names[] = {{"any", SIM_OPCODE_ANY},
                 {"data", SIM_OPCODE_DATA},
                 {"read", SIM_OPCODE_READS},
                 {"write", SIM_OPCODE_WRITES}};
    uint64_t v;

    for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++) {
        if (strcmp(value, names[i].name) == 0) {
            *opcode = names[i].opcode;
            return true;
        }
    }
    if (!inject_number(value, 0, 0xff, &v))
        return false;
    *opcode = (int)v;
    return true;
}

static int inject_lba(char *value, struct inject_rule *in, char *err, size_t size)
{
    struct sim_fault *f = &in->in_fault;
    char *last = value;
    char *first = strsep(&last, "-");
    bool ok = inject_number(first, 0, UINT64_MAX, &f->f_lba_first);

    f->f_lba_last = f->f_lba_first;
    if (ok && last != NULL)
        ok = inject_number(last, 0, UINT64_MAX, &f->f_lba_last);
    if (!ok)
        return scp_fail(err, size, EINVAL, "lba=%s%s%s: wants FIRST or FIRST-LAST", first, last ? "-" : "",
                        last ? last : "");
    if (f->f_lba_last < f->f_lba_first)
        return scp_fail(err, size, EINVAL, "lba=%s-%s: ends before it begins", first, last);
    if (f->f_lba_last >= in->in_blocks)
        return scp_fail(err, size, EINVAL, "lba=%s: beyond the disk, whose last block is %llu",
                        last ? last : first, (unsigned long long)in->in_blocks - 1);
    return 0;
}

/*
 * "5", "0.25": strikes per second, up to a million, to nanoseconds between two of them. The interval is a
 * whole number, so the rate itself is kept as well: what is read back is what was given.
 */
static bool inject_rate(const char *text, struct sim_fault *f)
{
    uint64_t milli = 0;
    unsigned decimals = 0;
    const char *c = text;

    if (*c < '0' || *c > '9')
        return false;
    for (; *c >= '0' && *c <= '9' && milli <= 1000000u; c++)
        milli = milli * 10 + (unsigned)(*c - '0');
    if (*c == '.')
        for (c++; *c >= '0' && *c <= '9' && decimals < 3; c++, decimals++)
            milli = milli * 10 + (unsigned)(*c - '0');
    if (*c != '\0' || (c[-1] == '.'))
        return false;
    for (; decimals < 3; decimals++)
        milli *= 10;
    if (milli == 0 || milli > 1000000000u)
        return false;
    f->f_rate_milli = (uint32_t)milli;
    f->f_interval_ns = (1000000000000u + milli / 2) / milli;
    return true;
}

/* One word of a rule. `value` is what follows its "=", or NULL. */
static int inject_word(unsigned word, char *value, struct inject_rule *in, char *err, size_t size)
{
    struct sim_fault *f = &in->in_fault;
    uint64_t v = 0;
    bool ok = value != NULL;

    switch (word) {
    case INJECT_DO:
        return ok ? inject_do(value, f, err, size)
                  : scp_fail(err, size, EINVAL, "do: wants an action, for example do=busy");
    case INJECT_LBA:
        return ok ? inject_lba(value, in, err, size)
                  : scp_fail(err, size, EINVAL, "lba: wants FIRST or FIRST-LAST, for example lba=0-7");
    case INJECT_OP:
        ok = ok && inject_op(value, &f->f_opcode);
        break;
    case INJECT_SKIP:
        ok = ok && inject_number(value, 0, UINT32_MAX, &v);
        f->f_skip = (uint32_t)v;
        break;
    case INJECT_EVERY:
        ok = ok && inject_number(value, 0, UINT32_MAX, &v) && v > 0;
        f->f_every = (uint32_t)v;
        break;
    case INJECT_RATE:
        ok = ok && inject_rate(value, f);
        break;
    case INJECT_SEED:
        ok = ok && inject_number(value, 0, UINT64_MAX, &f->f_seed);
        break;
    case INJECT_COUNT:
        if (!ok || strcmp(value, "forever") != 0)
            ok = ok && inject_number(value, 0, UINT32_MAX, &v) && v > 0;
        f->f_count = (uint32_t)v;
        break;
    default:
        SHIM_ASSERT(word == INJECT_ONCE);
        ok = !ok;
        f->f_count = 1;
    }
    return ok ? 0
              : scp_fail(err, size, EINVAL, "%s%s%s: not a valid value; %s", inject_words[word],
                         value ? "=" : "", value ? value : "", inject_wants[word]);
}

/* Do the words of a rule contradict each other? */
static int inject_check(const struct inject_rule *in, char *err, size_t size)
{
    static const uint8_t pairs[][2] = {{INJECT_ONCE, INJECT_COUNT},
                                       {INJECT_ONCE, INJECT_EVERY},
                                       {INJECT_ONCE, INJECT_RATE},
                                       {INJECT_EVERY, INJECT_RATE}};
    const char *const *t = in->in_text;

    for (size_t i = 0; i < SC_ARRAY_SIZE(pairs); i++)
        if (t[pairs[i][0]] != NULL && t[pairs[i][1]] != NULL)
            return scp_fail(err, size, EINVAL, "\"%s\" and \"%s\" contradict each other; leave one out",
                            t[pairs[i][0]], t[pairs[i][1]]);
    if (t[INJECT_SEED] != NULL && t[INJECT_RATE] == NULL)
        return scp_fail(err, size, EINVAL, "\"%s\" is for rate=, which is not given", t[INJECT_SEED]);
    if (in->in_fault.f_action == SIM_FAULT_CORRUPT && in->in_fault.f_opcode == SIM_OPCODE_WRITES)
        return scp_fail(err, size, EINVAL, "\"%s\" and \"%s\" contradict each other: corrupt is for reads",
                        t[INJECT_OP], t[INJECT_DO]);
    return 0;
}

/* Is a rule like this one in force already? Then adding it is a slip: count= says how often. */
static int inject_known(struct sim_disk *disk, const char *name, const struct sim_fault *f, char *err,
                        size_t size)
{
    struct sim_fault g = {0}; /* gcc at link time does not see that sim_fault_get() fills it */

    for (unsigned i = 0; sim_fault_get(disk, i, &g); i++) {
        bool over = g.f_count != 0 && g.f_hits >= g.f_count;

        if (!over && g.f_opcode == f->f_opcode && g.f_lba_first == f->f_lba_first &&
            g.f_lba_last == f->f_lba_last && g.f_skip == f->f_skip && g.f_every == f->f_every &&
            g.f_interval_ns == f->f_interval_ns && g.f_action == f->f_action && g.f_key == f->f_key &&
            g.f_asc == f->f_asc && g.f_ascq == f->f_ascq && g.f_descriptor == f->f_descriptor &&
            g.f_deferred == f->f_deferred && g.f_param == f->f_param)
            return scp_fail(err, size, EINVAL,
                            "%s: rule %u is the same but for its count; use count=, or \"%s clear\" first",
                            name, i, name);
    }
    return 0;
}

/* Read the words. `line` is cut up, and `in` points into it. */
static int inject_read(const char *disk, char *line, struct inject_rule *in, char *err, size_t size)
{
    char given[INJECT_LINE_MAX];
    char *rest = line;
    char *word;
    int error = 0;

    while (error == 0 && (word = strsep(&rest, " \t")) != NULL) {
        size_t n = strcspn(word, "=");
        unsigned i = 0;

        if (*word == '\0')
            continue;
        while (i < INJECT_WORDS && (strlen(inject_words[i]) != n || strncmp(inject_words[i], word, n) != 0))
            i++;
        if (i == INJECT_WORDS)
            return scp_fail(err, size, EINVAL,
                            "\"%s\": unknown; a rule is DISK [op=] [lba=] [skip=] [every=|rate=] "
                            "[count=|once] do=ACTION",
                            word);
        if (in->in_text[i] != NULL)
            return scp_fail(err, size, EINVAL, "\"%s\" and \"%s\": give %s once", in->in_text[i], word,
                            inject_words[i]);
        in->in_text[i] = word;
        /* The value is cut up; the word itself stays for messages. */
        (void)snprintf(given, sizeof(given), "%s", word);
        error = inject_word(i, word[n] == '=' ? given + n + 1 : NULL, in, err, size);
    }
    if (error == 0 && in->in_text[INJECT_DO] == NULL)
        error = scp_fail(err, size, EINVAL, "%s: the rule has no do=ACTION", disk);
    return error;
}

static int inject_rule(struct sim_disk *disk, const char *name, char *rest, char *err, size_t size)
{
    struct inject_rule in = {.in_fault = {.f_opcode = SIM_OPCODE_DATA, .f_lba_last = UINT64_MAX},
                             .in_blocks = sim_disk_blocks(disk)};
    int error = inject_read(name, rest, &in, err, size);

    if (error == 0)
        error = inject_check(&in, err, size);
    if (error != 0)
        return error;
    if (in.in_text[INJECT_COUNT] == NULL && in.in_text[INJECT_EVERY] == NULL &&
        in.in_text[INJECT_RATE] == NULL)
        in.in_fault.f_count = 1;
    error = inject_known(disk, name, &in.in_fault, err, size);
    if (error != 0)
        return error;
    if (sim_fault_add(disk, &in.in_fault) < 0)
        return scp_fail(err, size, EINVAL, "%s: %u rules are the limit; use \"%s clear\" first", name,
                        SIM_FAULTS_MAX, name);
    return 0;
}

/* The names there are: "hdisk0", "hdisk0 and hdisk2", "hdisk0, ... hdisk9". Locks: p_slots. */
static int inject_no_disk(const struct scp *p, const char *name, char *err, size_t size)
{
    const char *first = NULL, *last = NULL;

    for (unsigned i = 0; i < scp_ndisks(p); i++) {
        if (!scp_disk_present(p, i))
            continue;
        last = scp_disk_name(p, i);
        first = first != NULL ? first : last;
    }
    if (first == NULL)
        return scp_fail(err, size, ENOENT, "\"%s\": no such disk; all are unplugged", name);
    if (strchr(name, '=') != NULL || strcmp(name, "clear") == 0 || strcmp(name, "load") == 0)
        return scp_fail(err, size, ENOENT, "\"%s\": a rule begins with its disk, for example \"%s %s\"", name,
                        first, name);
    return scp_fail(err, size, ENOENT, "\"%s\": no such disk; there is %s%s%s", name, first,
                    first != last ? " to " : " only", first != last ? last : "");
}

/* What is to be done with a disk. Locks: p_slots. */
static int inject_disk(struct sim_disk *disk, const char *name, char *rest, char *err, size_t size)
{
    static const char *const alone[] = {"clear", "load", NULL};
    uint8_t sense[2];

    if (rest == NULL)
        return scp_fail(err, size, EINVAL,
                        "%s: nothing to do; add do=ACTION, clear, load or attention=ASC/ASCQ", name);
    rest += strspn(rest, " \t");
    for (const char *const *word = alone; *word != NULL; word++) {
        const size_t n = strlen(*word);
        const size_t blanks = strncmp(rest, *word, n) == 0 ? strspn(rest + n, " \t") : 0;

        if (blanks > 0 && rest[n + blanks] != '\0')
            return scp_fail(err, size, EINVAL, "\"%s\" goes with nothing else; leave \"%s\" out", *word,
                            rest + n + blanks);
    }
    if (strcmp(rest, "clear") == 0) {
        sim_fault_clear(disk);
        return 0;
    }
    if (strcmp(rest, "load") == 0) {
        sim_disk_load(disk);
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

int scp_inject(struct scp *p, const char *text, char *err, size_t size)
{
    char line[INJECT_LINE_MAX];
    char *rest = line;
    char *name;
    struct sim_disk *disk = NULL;
    size_t n = strcspn(text, "\r\n");
    int error;

    if (n >= sizeof(line))
        return scp_fail(err, size, EINVAL, "a rule has at most %u characters", INJECT_LINE_MAX - 1);
    memcpy(line, text, n);
    line[n] = '\0';
    name = strsep(&rest, " \t");
    pthread_rwlock_rdlock(&p->p_slots);
    for (unsigned i = 0; i < scp_ndisks(p); i++)
        if (scp_disk_present(p, i) && strcmp(name, scp_disk_name(p, i)) == 0)
            disk = scp_sim_disk(p, i);
    error = disk == NULL ? inject_no_disk(p, name, err, size) : inject_disk(disk, name, rest, err, size);
    pthread_rwlock_unlock(&p->p_slots);
    return error;
}

/* ------------------------------------------------------------------ rules as text */

static void inject_print_op(FILE *f, int opcode)
{
    if (opcode == SIM_OPCODE_ANY)
        fprintf(f, "op=any");
    else if (opcode == SIM_OPCODE_DATA)
        fprintf(f, "op=data");
    else if (opcode < 0)
        fprintf(f, "op=%s", opcode == SIM_OPCODE_READS ? "read" : "write");
    else
        fprintf(f, "op=0x%02x", (unsigned)opcode);
}

static void inject_print_do(FILE *f, const struct sim_fault *r)
{
    if (r->f_action == SIM_FAULT_CHECK)
        fprintf(f, " do=check:%x/%02x/%02x%s%s", r->f_key, r->f_asc, r->f_ascq,
                r->f_descriptor ? "/desc" : "", r->f_deferred ? "/deferred" : "");
    for (size_t i = 0; i < SC_ARRAY_SIZE(inject_actions); i++) {
        const struct inject_action *a = &inject_actions[i];

        if (a->a_action != r->f_action)
            continue;
        fprintf(f, " do=%s", a->a_name);
        if (a->a_param)
            fprintf(f, ":%" PRIu64, r->f_param / (a->a_action == SIM_FAULT_DELAY ? 1000u : 1u));
    }
}

/* As short as it can be written: 5, 0.25. */
static void inject_print_rate(FILE *f, uint32_t milli)
{
    unsigned decimals = 3, rest = milli % 1000u;

    for (; decimals > 0 && rest % 10 == 0; decimals--)
        rest /= 10;
    fprintf(f, " rate=%u", milli / 1000u);
    if (decimals > 0)
        fprintf(f, ".%0*u", (int)decimals, rest);
}

bool scp_inject_text(struct scp *p, unsigned disk, unsigned rule, char *out, size_t size)
{
    struct sim_fault r;
    FILE *f;

    if (size == 0 || !scp_disk_present(p, disk) || !sim_fault_get(scp_sim_disk(p, disk), rule, &r))
        return false;
    f = fmemopen(out, size, "w");
    if (f == NULL) {
        out[0] = '\0';
        return true;
    }
    fprintf(f, "%s ", scp_disk_name(p, disk));
    inject_print_op(f, r.f_opcode);
    if (r.f_lba_first != 0 || r.f_lba_last != UINT64_MAX)
        fprintf(f, " lba=%" PRIu64 "-%" PRIu64, r.f_lba_first, r.f_lba_last);
    if (r.f_skip != 0)
        fprintf(f, " skip=%u", r.f_skip);
    if (r.f_every > 1)
        fprintf(f, " every=%u", r.f_every);
    if (r.f_interval_ns != 0)
        inject_print_rate(f, r.f_rate_milli);
    if (r.f_interval_ns != 0 && r.f_seed != 0)
        fprintf(f, " seed=%" PRIu64, r.f_seed);
    if (r.f_count == 0)
        fprintf(f, " count=forever");
    else
        fprintf(f, " count=%u", r.f_count);
    inject_print_do(f, &r);
    (void)fclose(f);
    out[size - 1] = '\0';
    return true;
}
