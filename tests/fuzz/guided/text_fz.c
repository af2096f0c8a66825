/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_fz.c - what people and scripts type: sizes, --disk and --adapter, fault rules, writes to
 * .scpair/inject; and text that comes from elsewhere and has to be quoted as JSON.
 *
 * An answer is 0 with something that can be used, or EINVAL (ENOENT) with one line that fits. What has been
 * taken can be said again: a rule read back is a rule, and the same one; the specification of a disk builds.
 *
 * Input: a byte for which of them, a byte for the room there is for the message, text.
 */
#define _GNU_SOURCE
#include "fz.h"

#include <scpair/scpair.h>
#include <string.h>

#include "scp/scp_impl.h"
#ifdef FZ_FUSE
#include "fuse/fuse_impl.h"
#endif

const char fz_name[] = "text";

static struct scp *pair;
static const struct scp_disk_spec pair_disks[2] = {
    {.size = sizeof(struct scp_disk_spec), .medium = SCP_MEDIUM_RAM, .bytes = 65536},
    {.size = sizeof(struct scp_disk_spec), .medium = SCP_MEDIUM_RAM, .bytes = 65536, .block_bytes = 4096}};

void fz_target_once(void)
{
    static struct shim_host host;
    struct scp_spec spec = {.size = sizeof(spec), .disks = pair_disks, .ndisks = 2, .host = &host};
    char err[SCP_ERROR_MAX];

    host = *shim_det_host(1);
    FZ_CHECK(scp_create(&spec, &pair, err, sizeof(err)) == 0, "create: %s", err);
}

/* ---------------------------------------------------------------- messages */

/* One line, ended within its room, which may be small; nothing behind it. */
static void message_judge(const char *err, size_t size, int error)
{
    size_t n = strnlen(err, size);

    FZ_CHECK(n < size, "the message is not ended within %zu bytes", size);
    FZ_CHECK(error == 0 || n > 0 || size == 1, "refused without a word");
    FZ_SAY("   %d: %s\n", error, err);
    fz_saw((uint64_t)error);
    if (error)
        fz_saw_bytes(err, n);
}

static char *message_room(uint8_t room, size_t *size)
{
    char *err;

    *size = room < 32 ? room + 1u : SCP_ERROR_MAX;
    err = calloc(1, *size);
    if (!err)
        abort();
    return err;
}

/* ---------------------------------------------------------------- the languages */

static void try_size(const char *text)
{
    uint64_t bytes = UINT64_MAX, again;
    char said[32];
    int error = scp_size_parse(text, &bytes);

    FZ_CHECK(error == 0 || error == EINVAL, "size: errno %d", error);
    fz_saw((uint64_t)error);
    if (error)
        return;
    fz_saw(bytes);
    (void)snprintf(said, sizeof(said), "%llu", (unsigned long long)bytes);
    FZ_CHECK(scp_size_parse(said, &again) == 0 && again == bytes, "\"%s\" is %s, and that is %llu", text,
             said, (unsigned long long)again);
}

/* What the parser takes the assembly takes, too. */
static void try_spec(const struct scp_disk_spec *d, const struct scp_adapter_spec *a)
{
    struct scp_adapter_spec one = a ? *a : (struct scp_adapter_spec){.size = sizeof(one)};
    struct scp_spec spec = {.size = sizeof(spec), .nadapters = 1, .adapters = &one};
    struct scp *p = calloc(1, sizeof(*p));
    char err[SCP_ERROR_MAX] = "";

    if (!p)
        abort();
    one.disks = d;
    one.ndisks = 1;
    FZ_CHECK(scp_spec_take(p, &spec, err, sizeof(err)) == 0, "parsed, and then: %s", err);
    scp_spec_drop(p);
    free(p);
}

static void try_disk(char *text, uint8_t room)
{
    struct scp_disk_spec d;
    size_t size;
    char *err = message_room(room, &size);
    int error = scp_disk_parse(text, &d, err, size);

    FZ_CHECK(error == 0 || error == EINVAL, "disk: errno %d", error);
    message_judge(err, size, error);
    if (error == 0) {
        FZ_CHECK(d.medium != SCP_MEDIUM_FILE || (d.path && d.path[0]), "a file without a name");
        FZ_CHECK(d.medium == SCP_MEDIUM_FILE || d.bytes > 0, "no bytes");
        fz_saw((uint64_t)d.medium << 32 | d.block_bytes);
        fz_saw(d.bytes);
        try_spec(&d, NULL);
    }
    free(err);
}

static void try_adapter(char *text, uint8_t room)
{
    struct scp_adapter_spec a;
    size_t size;
    char *err = message_room(room, &size);
    int error = scp_adapter_parse(text, &a, err, size);

    FZ_CHECK(error == 0 || error == EINVAL, "adapter: errno %d", error);
    message_judge(err, size, error);
    if (error == 0) {
        fz_saw(a.transfer_bytes_max);
        try_spec(&pair_disks[0], &a);
    }
    free(err);
}

static void rules_clear(void)
{
    for (unsigned d = 0; d < 2; d++)
        sim_fault_clear(scp_sim_disk(pair, d));
}

/* Each rule in force, written out, is taken again and is then written in the same way. */
static void rules_judge(void)
{
    char said[2 * SIM_FAULTS_MAX][SCP_ERROR_MAX], again[SCP_ERROR_MAX], err[SCP_ERROR_MAX];
    unsigned n[2] = {0, 0};

    for (unsigned d = 0; d < 2; d++)
        while (n[d] < SIM_FAULTS_MAX &&
               scp_inject_text(pair, d, n[d], said[d * SIM_FAULTS_MAX + n[d]], SCP_ERROR_MAX))
            n[d]++;
    for (unsigned d = 0; d < 2; d++) {
        for (unsigned i = 0; i < n[d]; i++) {
            const char *text = said[d * SIM_FAULTS_MAX + i];

            rules_clear();
            FZ_CHECK(scp_inject(pair, text, err, sizeof(err)) == 0, "\"%s\" was read back, and then: %s",
                     text, err);
            FZ_CHECK(scp_inject_text(pair, d, 0, again, sizeof(again)) && strcmp(again, text) == 0,
                     "\"%s\" becomes \"%s\"", text, again);
            fz_saw_bytes(text, strlen(text));
        }
    }
}

static void try_inject(char *text, uint8_t room)
{
    size_t size;
    char *err = message_room(room, &size), *rest = text, *line;
    int error = 0;

    rules_clear();
    while (error == 0 && (line = strsep(&rest, "\n")) != NULL) {
        error = scp_inject(pair, line, err, size);
        FZ_CHECK(error == 0 || error == EINVAL || error == ENOENT, "inject: errno %d", error);
    }
    message_judge(err, size, error);
    rules_judge();
    free(err);
}

/* ---------------------------------------------------------------- .scpair */

#ifdef FZ_FUSE

struct fuse_req {
    struct fuse_pair *q_pair;
    unsigned q_answers;
    int q_error;
    size_t q_bytes;
};

void *fuse_req_userdata(fuse_req_t req) { return req->q_pair; }
int fuse_reply_err(fuse_req_t req, int err)
{
    req->q_answers++;
    req->q_error = err;
    return 0;
}
int fuse_reply_write(fuse_req_t req, size_t count)
{
    req->q_answers++;
    req->q_bytes = count;
    return 0;
}

static void try_control(const char *text, size_t bytes)
{
    static struct fuse_pair fp = {.pr_mutex = PTHREAD_MUTEX_INITIALIZER};
    struct fuse_handle h = {.h_kind = FUSE_KIND_INJECT, .h_writable = true};
    struct fuse_req req = {.q_pair = &fp};

    rules_clear();
    fp.pr_scp = pair;
    fp.pr_ndisks = 2;
    fuse_ctl_write(&req, &h, text, bytes);
    FZ_CHECK(req.q_answers == 1, "%u answers to a write", req.q_answers);
    FZ_CHECK(req.q_error ? req.q_error == EINVAL : req.q_bytes == bytes, "errno %d, %zu of %zu bytes",
             req.q_error, req.q_bytes, bytes);
    fz_saw((uint64_t)req.q_error);
    FZ_CHECK(fuse_ctl_open(&fp, &h) == 0 && h.h_text_bytes == strlen(h.h_text), "reading it back");
    fz_saw_bytes(h.h_text, req.q_error ? 0 : h.h_text_bytes);
    free(h.h_text);
    rules_judge();
}

#else

static void try_control(const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
}

#endif

/* ---------------------------------------------------------------- JSON */

static const char *json_value(const char *at);

static const char *json_space(const char *at) { return at + strspn(at, " \t\r\n"); }

static const char *json_text(const char *at)
{
    FZ_CHECK(*at == '"', "JSON: a string is due at \"%.40s\"", at);
    for (at++; *at != '"'; at++) {
        FZ_CHECK((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f, "JSON: byte %02x in a string",
                 (unsigned char)*at);
        if (*at != '\\')
            continue;
        at++;
        FZ_CHECK(*at != '\0' && strchr("\"\\/bfnrtu", *at), "JSON: \\%c", *at);
        if (*at == 'u') {
            FZ_CHECK(strspn(at + 1, "0123456789abcdefABCDEF") >= 4, "JSON: %.6s", at);
            at += 4;
        }
    }
    return at + 1;
}

static const char *json_list(const char *at, char end)
{
    at = json_space(at + 1);
    if (*at == end)
        return at + 1;
    for (;; at = json_space(at + 1)) {
        if (end == '}') {
            at = json_space(json_text(at));
            FZ_CHECK(*at == ':', "JSON: a colon is due at \"%.40s\"", at);
            at = json_space(at + 1);
        }
        at = json_space(json_value(at));
        if (*at == end)
            return at + 1;
        FZ_CHECK(*at == ',', "JSON: a comma is due at \"%.40s\"", at);
    }
}

static const char *json_value(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t n;

    if (*at == '{' || *at == '[')
        return json_list(at, *at == '{' ? '}' : ']');
    if (*at == '"')
        return json_text(at);
    for (unsigned i = 0; i < 3; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    n = strspn(at, "0123456789+-.eE");
    FZ_CHECK(n > 0, "JSON: a value is due at \"%.40s\"", at);
    return at + n;
}

/* An entry in the error log made of the input, as JSON. */
static void try_errlog(struct fz_in *in)
{
    struct err_rec rec = {0}, last[2];
    uint64_t after = 0;
    unsigned n;
    char *json;
    const char *at;

    while ((n = errlog_read(after, last, 2)) > 0)
        after = last[n - 1].er_seq;
    rec.er_id = fz_u32(in);
    rec.er_errno = fz_u16(in);
    rec.er_detail_bytes = fz_u8(in);
    rec.er_low = fz_u64(in);
    rec.er_end = fz_u64(in);
    (void)fz_bytes(in, rec.er_resource, sizeof(rec.er_resource));
    (void)fz_bytes(in, rec.er_detail, 16);
    (void)fz_bytes(in, rec.er_text, sizeof(rec.er_text));
    errsave(&rec, sizeof(rec));
    json = scp_errlog_json(pair, after);
    FZ_CHECK(json && *json, "the entry is not in the log");
    for (at = json; *at; at = json_space(at)) {
        FZ_CHECK(*at == '{', "JSON: a line begins with \"%.20s\"", at);
        at = json_value(at);
    }
    free(json);
}

uint64_t fz_target(const uint8_t *data, size_t bytes)
{
    struct fz_in in = {data, data + bytes};
    uint8_t which = fz_u8(&in), room = fz_u8(&in);
    size_t n = fz_left(&in);
    char *text = malloc(n + 1);

    if (!text)
        abort();
    fz_digest = UINT64_C(0xcbf29ce484222325);
    memcpy(text, in.in_at ? (const void *)in.in_at : "", n);
    text[n] = '\0';
    switch (which % 6) {
    case 0:
        try_inject(text, room);
        break;
    case 1:
        try_disk(text, room);
        break;
    case 2:
        try_adapter(text, room);
        break;
    case 3:
        try_size(text);
        break;
    case 4:
        try_control(text, n);
        break;
    default:
        try_errlog(&in);
        break;
    }
    free(text);
    return fz_digest;
}
