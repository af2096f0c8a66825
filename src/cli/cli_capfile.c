/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_capfile.c - the file of captured commands: writing it, and reading one that somebody else has written.
 *
 * A reader believes nothing: every line has a bound, every number a range, and the first line says how many
 * follow, so that a file that was cut shows. No more than a line is in memory.
 *
 * Does not contain: where the commands come from (cli_capture.c), what is made of them (cli_replay.c).
 */
#define _GNU_SOURCE
#include "cli_capfile.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------ values */

static bool cap_wrong(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool cap_wrong(char *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, CAP_TEXT_MAX, fmt, ap);
    va_end(ap);
    return false;
}

static int cap_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

unsigned cap_cdb_parse(const char *text, uint8_t *cdb)
{
    const size_t n = text != NULL ? strlen(text) : 0;

    if (n == 0 || n % 2 != 0 || n > 2 * (size_t)CAP_CDB_MAX)
        return 0;
    memset(cdb, 0, CAP_CDB_MAX);
    for (size_t i = 0; i < n; i += 2) {
        const int high = cap_digit(text[i]), low = cap_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return 0;
        cdb[i / 2] = (uint8_t)(high << 4 | low);
    }
    return (unsigned)(n / 2);
}

const char *cap_cdb_text(const uint8_t *cdb, unsigned bytes, char *out)
{
    static const char digit[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digit[cdb[i] >> 4];
        out[2 * i + 1] = digit[cdb[i] & 0x0fu];
    }
    out[2 * (size_t)bytes] = '\0';
    return out;
}

bool cap_sense_parse(const char *text, uint8_t sense[3])
{
    static const unsigned at[] = {0, 2, 3, 5, 6}, of[] = {0, 1, 1, 2, 2};

    if (text == NULL || strlen(text) != 7 || text[1] != '/' || text[4] != '/')
        return false;
    memset(sense, 0, 3);
    for (size_t i = 0; i < SC_ARRAY_SIZE(at); i++) {
        if (cap_digit(text[at[i]]) < 0)
            return false;
        sense[of[i]] = (uint8_t)(sense[of[i]] << 4 | cap_digit(text[at[i]]));
    }
    return true;
}

/* A number of an object, 0 to max. */
static bool cap_number(const json_t *o, const char *key, uint64_t max, uint64_t *out, char *why)
{
    const json_t *v = json_object_get(o, key);

    if (v == NULL)
        return cap_wrong(why, "\"%s\" is missing", key);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
        return cap_wrong(why, "\"%s\": must be a number from 0 to %llu", key, (unsigned long long)max);
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static json_t *cap_load(const char *line, char *why)
{
    json_error_t error;
    json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &error);

    if (o == NULL)
        (void)cap_wrong(why, "not JSON (%.100s)", error.text);
    else if (!json_is_object(o))
        (void)cap_wrong(why, "not a JSON object");
    if (json_is_object(o))
        return o;
    json_decref(o);
    return NULL;
}

/* ------------------------------------------------------------------ lines */

static bool cap_header_disks(const json_t *o, struct cap_header *h, char *why)
{
    const json_t *disks = json_object_get(o, "disks");
    const size_t n = json_array_size(disks);

    if (n == 0 || n > SCP_DISKS_MAX)
        return cap_wrong(why, "\"disks\": must be a list of 1 to %u names", SCP_DISKS_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(disks, i));

        if (name == NULL || name[0] == '\0' || strlen(name) >= CAP_NAME_MAX)
            return cap_wrong(why, "\"disks\": each must be a name of 1 to %u letters", CAP_NAME_MAX - 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(h->ch_disks[j], name) == 0)
                return cap_wrong(why, "\"disks\": %s is there twice", name);
        (void)snprintf(h->ch_disks[i], CAP_NAME_MAX, "%s", name);
    }
    h->ch_ndisks = (unsigned)n;
    return true;
}

bool cap_header_parse(const char *line, struct cap_header *h, char *why)
{
    json_t *o = cap_load(line, why);
    uint64_t version = 0;
    bool good;

    memset(h, 0, sizeof(*h));
    if (o == NULL)
        return false;
    good = cap_number(o, "scpair_capture", CAP_NUMBER_MAX, &version, why);
    if (good && version != CAP_VERSION)
        good = cap_wrong(why, "a capture of version %llu; this program reads version %u",
                         (unsigned long long)version, CAP_VERSION);
    good = good && cap_header_disks(o, h, why) &&
           cap_number(o, "commands", CAP_NUMBER_MAX, &h->ch_commands, why) &&
           cap_number(o, "lost", CAP_NUMBER_MAX, &h->ch_lost, why);
    json_decref(o);
    return good;
}

/* What it came back with, if it did. */
static bool cap_record_back(const json_t *o, struct cap_record *r, char *why)
{
    const json_t *status = json_object_get(o, "status"), *sense = json_object_get(o, "sense");
    uint64_t error = 0;

    r->cr_back = status != NULL;
    if (!r->cr_back)
        return sense == NULL || cap_wrong(why, "\"sense\" without \"status\"");
    if (json_array_size(status) != 4)
        return cap_wrong(why, "\"status\": must be a list of 4 numbers");
    for (size_t i = 0; i < 4; i++) {
        const json_t *v = json_array_get(status, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT8_MAX)
            return cap_wrong(why, "\"status\": each must be a number from 0 to 255");
        r->cr_status[i] = (uint8_t)json_integer_value(v);
    }
    if (!cap_number(o, "resid", r->cr_bytes, &r->cr_resid, why) ||
        !cap_number(o, "errno", UINT32_MAX, &error, why))
        return false;
    r->cr_errno = (uint32_t)error;
    r->cr_sensed = sense != NULL;
    return sense == NULL || cap_sense_parse(json_string_value(sense), r->cr_sense) ||
           cap_wrong(why, "\"sense\": must be like \"3/11/00\"");
}

static bool cap_record_fields(const json_t *o, const struct cap_header *h, struct cap_record *r, char *why)
{
    const char *disk = json_string_value(json_object_get(o, "disk"));
    const json_t *in = json_object_get(o, "in");
    uint64_t bytes = 0, tag = 0;

    while (disk != NULL && r->cr_disk < h->ch_ndisks && strcmp(h->ch_disks[r->cr_disk], disk) != 0)
        r->cr_disk++;
    if (disk == NULL || r->cr_disk == h->ch_ndisks)
        return cap_wrong(why, "\"disk\": must be one that the first line names");
    r->cr_cdb_bytes = cap_cdb_parse(json_string_value(json_object_get(o, "cdb")), r->cr_cdb);
    if (r->cr_cdb_bytes == 0)
        return cap_wrong(why, "\"cdb\": must be 1 to %u bytes, two of 0-9 and a-f for each", CAP_CDB_MAX);
    if (!json_is_boolean(in))
        return cap_wrong(why, "\"in\": must be true or false");
    r->cr_in = json_is_true(in);
    if (!cap_number(o, "ns", CAP_NUMBER_MAX, &r->cr_ns, why) ||
        !cap_number(o, "bytes", UINT32_MAX, &bytes, why) || !cap_number(o, "tag", UINT8_MAX, &tag, why))
        return false;
    r->cr_bytes = (uint32_t)bytes;
    r->cr_tag = (uint8_t)tag;
    return cap_record_back(o, r, why);
}

bool cap_record_parse(const char *line, const struct cap_header *h, struct cap_record *r, char *why)
{
    json_t *o = cap_load(line, why);
    bool good;

    memset(r, 0, sizeof(*r));
    if (o == NULL)
        return false;
    good = cap_record_fields(o, h, r, why);
    json_decref(o);
    return good;
}

bool cap_header_write(FILE *f, const struct cap_header *h)
{
    fprintf(f, "{\"scpair_capture\":%u,\"disks\":[", CAP_VERSION);
    for (unsigned i = 0; i < h->ch_ndisks; i++)
        fprintf(f, "%s\"%s\"", i > 0 ? "," : "", h->ch_disks[i]);
    return fprintf(f, "],\"commands\":%llu,\"lost\":%llu}\n", (unsigned long long)h->ch_commands,
                   (unsigned long long)h->ch_lost) > 0;
}

bool cap_record_write(FILE *f, const struct cap_header *h, const struct cap_record *r)
{
    char cdb[2 * CAP_CDB_MAX + 1];

    fprintf(f, "{\"disk\":\"%s\",\"ns\":%llu,\"cdb\":\"%s\",\"bytes\":%u,\"in\":%s,\"tag\":%u",
            h->ch_disks[r->cr_disk], (unsigned long long)r->cr_ns,
            cap_cdb_text(r->cr_cdb, r->cr_cdb_bytes, cdb), r->cr_bytes, r->cr_in ? "true" : "false",
            r->cr_tag);
    if (r->cr_back)
        fprintf(f, ",\"errno\":%u,\"status\":[%u,%u,%u,%u],\"resid\":%llu", r->cr_errno, r->cr_status[0],
                r->cr_status[1], r->cr_status[2], r->cr_status[3], (unsigned long long)r->cr_resid);
    if (r->cr_back && r->cr_sensed)
        fprintf(f, ",\"sense\":\"%x/%02x/%02x\"", r->cr_sense[0], r->cr_sense[1], r->cr_sense[2]);
    return fputs("}\n", f) >= 0;
}

/* ------------------------------------------------------------------ the file */

static int cap_bad(const struct cap_file *cf, const char *why)
{
    return cli_fail(CLI_USAGE, "%s: line %llu: %s; give it a file as scpair capture wrote it", cf->cf_path,
                    (unsigned long long)cf->cf_line, why);
}

/* The next line without its line feed. CLI_OK, with *end at the end of the file; else said. */
static int cap_line(struct cap_file *cf, char *line, bool *end)
{
    size_t n = 0;
    int c;

    cf->cf_line++;
    while ((c = getc_unlocked(cf->cf_f)) != EOF && c != '\n') {
        if (c == '\0')
            return cap_bad(cf, "a byte of zero");
        if (n == CAP_LINE_MAX - 1)
            return cap_bad(cf, "longer than 4095 bytes");
        line[n++] = (char)c;
    }
    line[n] = '\0';
    if (c == EOF && ferror(cf->cf_f))
        return cli_fail(CLI_FAILED, "%s: %s", cf->cf_path, strerror(errno));
    *end = c == EOF && n == 0;
    return c == EOF && n > 0 ? cap_bad(cf, "the file ends within it") : CLI_OK;
}

static int cap_first(struct cap_file *cf)
{
    char line[CAP_LINE_MAX], why[CAP_TEXT_MAX];
    bool end = false;
    int rc = cap_line(cf, line, &end);

    if (rc != CLI_OK)
        return rc;
    if (end)
        return cap_bad(cf, "the file is empty");
    return cap_header_parse(line, &cf->cf_header, why) ? CLI_OK : cap_bad(cf, why);
}

int cap_open(struct cap_file *cf, const char *path)
{
    struct stat st;
    int fd;

    *cf = (struct cap_file){.cf_path = path};
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe that nobody writes to */
    if (fd < 0)
        return cli_fail(CLI_USAGE, "%s: %s; scpair capture makes such a file", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return cli_fail(CLI_USAGE, "%s: not a plain file; name one that scpair capture wrote", path);
    }
    cf->cf_f = fdopen(fd, "r");
    if (cf->cf_f == NULL) {
        (void)close(fd);
        return cli_fail(CLI_FAILED, "no memory");
    }
    return cap_first(cf);
}

int cap_next(struct cap_file *cf, struct cap_record *r, bool *end)
{
    char line[CAP_LINE_MAX], why[CAP_TEXT_MAX];
    int rc = cap_line(cf, line, end);
    const uint64_t had = cf->cf_line - 2; /* commands before this line */

    if (rc != CLI_OK || (*end && had == cf->cf_header.ch_commands))
        return rc;
    if (*end)
        (void)snprintf(why, sizeof(why), "the file ends after %llu of %llu commands", (unsigned long long)had,
                       (unsigned long long)cf->cf_header.ch_commands);
    else if (had == cf->cf_header.ch_commands)
        (void)snprintf(why, sizeof(why), "more than the %llu commands of the first line",
                       (unsigned long long)had);
    else if (cap_record_parse(line, &cf->cf_header, r, why))
        return CLI_OK;
    return cap_bad(cf, why);
}

int cap_rewind(struct cap_file *cf)
{
    if (fseeko(cf->cf_f, 0, SEEK_SET) < 0)
        return cli_fail(CLI_FAILED, "%s: %s", cf->cf_path, strerror(errno));
    cf->cf_line = 0;
    return cap_first(cf);
}

void cap_close(struct cap_file *cf)
{
    if (cf->cf_f != NULL)
        (void)fclose(cf->cf_f);
    cf->cf_f = NULL;
}
