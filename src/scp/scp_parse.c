/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scp_parse.c - text to structures: sizes, --adapter and --disk specifications.
 *
 * Everything a person types is checked here, and an error names the word and the fix. Does not
 * contain: fault rules (scp_inject.c), the command line (src/cli).
 */
#define _GNU_SOURCE
#include "scp_impl.h"

#include <stdio.h>
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

/* The options of one text, to find those that are given twice or contradict each other. */
#define SCP_WORDS_MAX 16u
struct scp_words {
    const char *w_what; /* "--disk", for messages */
    unsigned w_n;
    const char *w_name[SCP_WORDS_MAX], *w_value[SCP_WORDS_MAX]; /* value NULL: a flag */
};

/* "queue=7" or "ro" into out, which is returned. */
static const char *scp_word_text(const char *name, const char *value, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s%s", name, value != NULL ? "=" : "", value != NULL ? value : "");
    return out;
}

/* Two options that do not go together: say so. */
static int scp_words_clash(const struct scp_words *w, unsigned i, const char *name, const char *value,
                           const char *why, char *err, size_t size)
{
    char a[SCP_ERROR_MAX / 4], b[SCP_ERROR_MAX / 4];

    return scp_fail(err, size, EINVAL, "%s: \"%s\" and \"%s\": %s", w->w_what,
                    scp_word_text(w->w_name[i], w->w_value[i], a, sizeof(a)),
                    scp_word_text(name, value, b, sizeof(b)), why);
}

/* Note one more option. EINVAL when it was there before. */
static int scp_words_add(struct scp_words *w, const char *name, const char *value, char *err, size_t size)
{
    for (unsigned i = 0; i < w->w_n; i++)
        if (strcmp(w->w_name[i], name) == 0)
            return scp_words_clash(w, i, name, value, "the same option twice; leave one out", err, size);
    if (w->w_n == SCP_WORDS_MAX)
        return scp_fail(err, size, EINVAL, "%s: too many options", w->w_what);
    w->w_name[w->w_n] = name;
    w->w_value[w->w_n++] = value;
    return 0;
}

/* The number of an option, or w_n. */
static unsigned scp_words_find(const struct scp_words *w, const char *name)
{
    unsigned i = 0;

    while (i < w->w_n && strcmp(w->w_name[i], name) != 0)
        i++;
    return i;
}

/*
 * Cut the name of a file off the front: up to a comma, while two commas stand for one in the name.
 * *rest moves behind it, or becomes NULL.
 */
static char *scp_name_cut(char **rest)
{
    char *name = *rest;
    char *to = name;
    const char *from = name;

    while (*from != '\0' && (from[0] != ',' || from[1] == ',')) {
        if (*from == ',')
            from++;
        *to++ = *from++;
    }
    *rest = *from == ',' ? name + (from + 1 - name) : NULL;
    *to = '\0';
    return name;
}

/* One "name" or "name=value" after the file name. `what` is which disk, for messages. */
/*
 * The attributes of the disk driver, by AIX's names. 0; EINVAL, told; ENOENT: it is none of them.
 */
static int scp_disk_attribute(const char *what, const char *name, const char *value, struct scp_disk_spec *d,
                              char *err, size_t size)
{
    static const struct {
        const char *name;
        size_t at;
        uint16_t least, most;
        bool word; /* yes or no; no is the one that is stored when `least` */
    } known[] = {
        {"reserve", offsetof(struct scp_disk_spec, no_reserve), 1, 0, true},
        {"clr_q", offsetof(struct scp_disk_spec, clr_q), 0, 0, true},
        {"q_err", offsetof(struct scp_disk_spec, no_q_err), 1, 0, true},
        {"rw_timeout", offsetof(struct scp_disk_spec, rw_timeout), 1, 3600, false},
        {"start_timeout", offsetof(struct scp_disk_spec, start_timeout), 1, 3600, false},
        {"retries", offsetof(struct scp_disk_spec, retries), 1, 100, false},
    };
    uint64_t number = 0;

    for (size_t i = 0; value != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        char *field = (char *)d + known[i].at;

        if (strcmp(name, known[i].name) != 0)
            continue;
        if (known[i].word) {
            if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
                return scp_fail(err, size, EINVAL, "%s: %s=%s: must be yes or no", what, name, value);
            *(bool *)(void *)field = (value[0] == 'n') == (known[i].least == 1);
            return 0;
        }
        if (scp_size_parse(value, &number) != 0 || number < known[i].least || number > known[i].most)
            return scp_fail(err, size, EINVAL, "%s: %s=%s: must be %u to %u", what, name, value,
                            known[i].least, known[i].most);
        *(uint16_t *)(void *)field = (uint16_t)number;
        return 0;
    }
    return ENOENT;
}

static int scp_disk_option(const char *what, const char *name, const char *value, struct scp_disk_spec *d,
                           char *err, size_t size)
{
    uint64_t number = UINT64_MAX; /* what is none is in no range */
    bool flag = value == NULL;

    if (!flag)
        (void)scp_size_parse(value, &number);
    if (strcmp(name, "ro") == 0 && flag) {
        d->read_only = true;
    } else if (strcmp(name, "direct") == 0 && flag) {
        d->direct = true;
    } else if (strcmp(name, "notags") == 0 && flag) {
        d->no_tags = true;
    } else if (strcmp(name, "removable") == 0 && flag) {
        d->removable = true;
    } else if (strcmp(name, "phys") == 0 && !flag) {
        if (number < 512 || number > SCP_PHYSICAL_MAX || (number & (number - 1)) != 0)
            return scp_fail(err, size, EINVAL, "%s: phys=%s: must be a power of two from 512 to %u", what,
                            value, SCP_PHYSICAL_MAX);
        d->physical_bytes = (uint32_t)number;
    } else if (strcmp(name, "block") == 0 && !flag) {
        if (number != 512 && number != 4096)
            return scp_fail(err, size, EINVAL, "%s: block=%s: must be 512 or 4096", what, value);
        d->block_bytes = (uint32_t)number;
    } else if (strcmp(name, "queue") == 0 && !flag) {
        if (number < 1 || number > SCP_QUEUE_MAX)
            return scp_fail(err, size, EINVAL, "%s: queue=%s: must be 1 to %u", what, value, SCP_QUEUE_MAX);
        d->queue = (uint32_t)number;
    } else if (strcmp(name, "latency") == 0 && !flag) {
        if (number > SCP_LATENCY_US_MAX)
            return scp_fail(err, size, EINVAL, "%s: latency=%s: must be 0 to %u microseconds", what, value,
                            SCP_LATENCY_US_MAX);
        d->latency_ns = number * 1000u;
    } else {
        int error = scp_disk_attribute(what, name, value, d, err, size);

        return error != ENOENT ? error
                               : scp_fail(err, size, EINVAL,
                                          "%s: unknown option \"%s\"; known: block=512|4096 phys=BYTES ro "
                                          "removable direct notags queue=N latency=USEC reserve=yes|no "
                                          "clr_q=yes|no q_err=yes|no rw_timeout=S start_timeout=S retries=N",
                                          what, name);
    }
    return 0;
}

/* The part of a --disk before the options. */
static int scp_disk_medium(char **rest, struct scp_disk_spec *d, char *err, size_t size)
{
    bool file = strncmp(*rest, "file=", 5) == 0;
    char *word;

    if (file)
        *rest += 5;
    word = scp_name_cut(rest);
    if (*word == '\0')
        return scp_fail(err, size, EINVAL, "--disk: no file named; use --disk FILE, ram:SIZE or null:SIZE");
    if (!file && (strncmp(word, "ram:", 4) == 0 || strncmp(word, "null:", 5) == 0)) {
        const char *number = strchr(word, ':') + 1;

        d->medium = word[0] == 'r' ? SCP_MEDIUM_RAM : SCP_MEDIUM_NULL;
        if (scp_size_parse(number, &d->bytes) != 0 || d->bytes == 0)
            return scp_fail(err, size, EINVAL, "--disk: %s: \"%s\" is not a size; write for example ram:64M",
                            word, number);
        return 0;
    }
    d->medium = SCP_MEDIUM_FILE;
    d->path = word;
    return 0;
}

/* Do the options contradict each other, or the medium? `medium` is its text. */
static int scp_disk_check(const struct scp_disk_spec *d, const struct scp_words *w, const char *medium,
                          char *err, size_t size)
{
    unsigned direct = scp_words_find(w, "direct"), notags = scp_words_find(w, "notags");
    unsigned queue = scp_words_find(w, "queue");

    if (d->medium != SCP_MEDIUM_FILE && direct < w->w_n)
        return scp_words_clash(w, direct, medium, NULL, "direct is for a file; leave it out", err, size);
    if (notags < w->w_n && queue < w->w_n && d->queue > 1)
        return scp_words_clash(w, notags, "queue", w->w_value[queue],
                               "without tags a disk takes one command at a time; leave one out", err, size);
    if (d->medium != SCP_MEDIUM_FILE && d->bytes % (d->block_bytes ? d->block_bytes : DEV_BSIZE) != 0)
        return scp_fail(err, size, EINVAL, "%s: size is not a multiple of the block size, %u; try ram:64M",
                        w->w_what, d->block_bytes ? d->block_bytes : DEV_BSIZE);
    if (d->physical_bytes != 0 && d->physical_bytes < (d->block_bytes ? d->block_bytes : DEV_BSIZE))
        return scp_fail(err, size, EINVAL, "%s: phys=%u: smaller than the logical block, block=%u", w->w_what,
                        d->physical_bytes, d->block_bytes ? d->block_bytes : DEV_BSIZE);
    return 0;
}

int scp_disk_parse(char *text, struct scp_disk_spec *out, char *err, size_t size)
{
    struct scp_disk_spec d = {.size = sizeof(d)};
    /* There may be many disks: messages name the one. A long name leaves room for the remedy. */
    char what[SCP_ERROR_MAX / 2];
    struct scp_words words = {.w_what = what};
    char *rest = text;
    int error = scp_disk_medium(&rest, &d, err, size);

    if (error == 0)
        (void)snprintf(what, sizeof(what), "--disk %s", d.medium == SCP_MEDIUM_FILE ? d.path : text);
    while (error == 0 && rest != NULL) {
        char *value = strsep(&rest, ",");
        char *name = strsep(&value, "=");

        error = scp_words_add(&words, name, value, err, size);
        if (error == 0)
            error = scp_disk_option(what, name, value, &d, err, size);
    }
    if (error == 0)
        error = scp_disk_check(&d, &words, text, err, size);
    if (error == 0)
        *out = d;
    return error;
}

/* The value of max-transfer. */
static int scp_transfer_parse(const char *what, const char *value, uint64_t *out, char *err, size_t size)
{
    if (scp_size_parse(value, out) != 0 || *out < SC_MAXREQUEST || *out > SCP_TRANSFER_MAX ||
        *out % SC_PAGE_SIZE != 0)
        return scp_fail(err, size, EINVAL, "%s: max-transfer=%s: must be a multiple of %u from %u to %u",
                        what, value, SC_PAGE_SIZE, SC_MAXREQUEST, SCP_TRANSFER_MAX);
    return 0;
}

int scp_adapter_parse(char *text, struct scp_adapter_spec *out, char *err, size_t size)
{
    struct scp_adapter_spec a = {.size = sizeof(a)};
    /* There may be several: messages name the one as it was given, before it is cut up. */
    char what[SCP_ERROR_MAX / 2];
    struct scp_words words = {.w_what = what};
    char *rest = text;
    const char *kind;
    int error = 0;

    (void)snprintf(what, sizeof(what), "--adapter %s", text);
    kind = strsep(&rest, ",");
    a.kind = "sim";
    if (strcmp(kind, a.kind) != 0)
        return scp_fail(err, size, EINVAL, "%s: \"%s\": unknown kind; known: sim", what, kind);
    while (rest != NULL && error == 0) {
        char *value = strsep(&rest, ",");
        const char *name = strsep(&value, "=");

        error = scp_words_add(&words, name, value, err, size);
        if (error != 0)
            break;
        if (strcmp(name, "max-transfer") == 0 && value != NULL)
            error = scp_transfer_parse(what, value, &a.transfer_bytes_max, err, size);
        else if (strcmp(name, "no-gather") == 0 && value == NULL)
            a.no_gather = true;
        else if (strcmp(name, "clears-queue") == 0 && value == NULL)
            a.clears_queue = true;
        else if (strcmp(name, "pend") == 0 && value != NULL && strcmp(value, "poll") != 0)
            error = scp_fail(err, size, EINVAL, "%s: pend=%s: must be pend or pend=poll", what, value);
        else if (strcmp(name, "pend") == 0)
            a.pend = value != NULL ? SCP_PEND_POLL : SCP_PEND_INTERRUPT;
        else
            error = scp_fail(err, size, EINVAL,
                             "%s: unknown option \"%s\"; known: max-transfer=BYTES no-gather clears-queue "
                             "pend[=poll]",
                             what, name);
    }
    if (error == 0)
        *out = a;
    return error;
}
