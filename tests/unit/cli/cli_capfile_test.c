/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of src/cli/cli_capfile.c: what is written is read again as it was; what is hostile, cut or
 * somebody else's is refused, with a reason that names what is wrong.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include <unistd.h>

#include "cli/cli_capfile.h"

#define HEAD "{\"scpair_capture\":1,\"disks\":[\"hdisk0\",\"hdisk1\"],\"commands\":1,\"lost\":0}"
#define GOOD                                                                                                 \
    "{\"disk\":\"hdisk1\",\"ns\":5,\"cdb\":\"080008000000\",\"bytes\":512,\"in\":true,\"tag\":32,"           \
    "\"errno\":5,\"status\":[1,2,0,1],\"resid\":512,\"sense\":\"3/11/0f\"}"

START_TEST(test_what_is_written_is_read)
{
    const struct cap_header h = {.ch_ndisks = 2, .ch_disks = {"hdisk0", "hdisk1"}, .ch_commands = 7};
    const struct cap_record r = {.cr_disk = 1,
                                 .cr_ns = 12345678901u,
                                 .cr_cdb = {0x28, 0xff, 0x09},
                                 .cr_cdb_bytes = 10,
                                 .cr_bytes = UINT32_MAX,
                                 .cr_in = true,
                                 .cr_tag = 0x21,
                                 .cr_back = true,
                                 .cr_errno = 5,
                                 .cr_status = {1, 2, 3, 255},
                                 .cr_resid = 9,
                                 .cr_sensed = true,
                                 .cr_sense = {0xf, 0x11, 0xab}};
    struct cap_record out = {.cr_disk = 0}, open = {.cr_cdb = {0x35}, .cr_cdb_bytes = 16};
    struct cap_header hout;
    char why[CAP_TEXT_MAX] = "", *text = NULL, *second, *third;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    ck_assert(cap_header_write(f, &h) && cap_record_write(f, &h, &r) && cap_record_write(f, &h, &open));
    (void)fclose(f);
    second = strchr(text, '\n');
    *second++ = '\0';
    third = strchr(second, '\n');
    *third++ = '\0';
    ck_assert_msg(cap_header_parse(text, &hout, why), "%s", why);
    ck_assert_int_eq(memcmp(&h, &hout, sizeof(h)), 0);
    ck_assert_msg(cap_record_parse(second, &h, &out, why), "%s", why);
    ck_assert_int_eq(memcmp(r.cr_cdb, out.cr_cdb, sizeof(r.cr_cdb)), 0);
    ck_assert(out.cr_disk == 1 && out.cr_ns == r.cr_ns && out.cr_cdb_bytes == 10 && out.cr_in);
    ck_assert(out.cr_bytes == r.cr_bytes && out.cr_tag == 0x21 && out.cr_back && out.cr_errno == 5);
    ck_assert(out.cr_resid == 9 && out.cr_sensed && memcmp(out.cr_sense, r.cr_sense, 3) == 0);
    ck_assert_int_eq(memcmp(out.cr_status, r.cr_status, 4), 0);
    ck_assert_msg(cap_record_parse(third, &h, &out, why), "%s", why);
    ck_assert(!out.cr_back && !out.cr_sensed && !out.cr_in && out.cr_cdb_bytes == 16);
    free(text);
}
END_TEST

START_TEST(test_a_first_line_that_is_none)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"[]", "not a JSON object"},
        {"{}", "\"scpair_capture\" is missing"},
        {"{\"traceEvents\":[]}", "\"scpair_capture\" is missing"},
        {"{\"scpair_capture\":2,\"disks\":[\"a\"],\"commands\":0,\"lost\":0}", "version 2"},
        {"{\"scpair_capture\":1,\"scpair_capture\":1}", "not JSON"},
        {"{\"scpair_capture\":\"1\"}", "\"scpair_capture\": must be a number"},
        {"{\"scpair_capture\":1}", "\"disks\": must be a list"},
        {"{\"scpair_capture\":1,\"disks\":[]}", "\"disks\": must be a list"},
        {"{\"scpair_capture\":1,\"disks\":[7]}", "each must be a name"},
        {"{\"scpair_capture\":1,\"disks\":[\"\"]}", "each must be a name"},
        {"{\"scpair_capture\":1,\"disks\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}", "each must be a name"},
        {"{\"scpair_capture\":1,\"disks\":[\"a\",\"a\"]}", "a is there twice"},
        {"{\"scpair_capture\":1,\"disks\":[\"a\"],\"commands\":-1,\"lost\":0}", "\"commands\": must be"},
        {"{\"scpair_capture\":1,\"disks\":[\"a\"],\"commands\":1.5,\"lost\":0}", "\"commands\": must be"},
        {"{\"scpair_capture\":1,\"disks\":[\"a\"],\"commands\":99999999999999999999}", "not JSON"},
        {"{\"scpair_capture\":1,\"disks\":[\"a\"],\"commands\":1}", "\"lost\" is missing"},
    };
    char why[CAP_TEXT_MAX], many[CAP_LINE_MAX] = "{\"scpair_capture\":1,\"disks\":[\"d\"";
    struct cap_header h;

    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        ck_assert_msg(!cap_header_parse(rows[i].line, &h, why), "%s", rows[i].line);
        ck_assert_msg(strstr(why, rows[i].why) != NULL, "%s: \"%s\"", rows[i].line, why);
    }
    for (unsigned i = 0; i < SCP_DISKS_MAX; i++)
        (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), ",\"d%u\"", i);
    (void)strncat(many, "],\"commands\":0,\"lost\":0}", sizeof(many) - strlen(many) - 1);
    ck_assert(!cap_header_parse(many, &h, why));
    ck_assert_msg(strstr(why, "\"disks\": must be a list of 1 to") != NULL, "%s", why);
}
END_TEST

/* GOOD with one text in the place of another. */
static const char *with(const char *old, const char *new, char *out)
{
    const char *at = strstr(GOOD, old);

    ck_assert_msg(at != NULL, "%s", old);
    (void)snprintf(out, CAP_LINE_MAX, "%.*s%s%s", (int)(at - GOOD), GOOD, new, at + strlen(old));
    return out;
}

START_TEST(test_a_command_that_is_none)
{
    static const struct {
        const char *old, *new, *why;
    } rows[] = {
        {"{", "", "not JSON"},
        {"hdisk1", "hdisk2", "\"disk\": must be one"},
        {"\"hdisk1\"", "1", "\"disk\": must be one"},
        {"080008000000", "", "\"cdb\": must be"},
        {"080008000000", "08000800000", "\"cdb\": must be"},
        {"080008000000", "08000800000G", "\"cdb\": must be"},
        {"080008000000", "0800080000 0", "\"cdb\": must be"},
        {"080008000000", "0011223344556677889900112233445566", "\"cdb\": must be"},
        {"\"080008000000\"", "8", "\"cdb\": must be"},
        {"true", "1", "\"in\": must be"},
        {"\"ns\":5", "\"ns\":-5", "\"ns\": must be"},
        {"\"ns\":5,", "", "\"ns\" is missing"},
        {":512,\"in\"", ":4294967296,\"in\"", "\"bytes\": must be"},
        {"\"tag\":32", "\"tag\":256", "\"tag\": must be"},
        {"[1,2,0,1]", "[1,2,0]", "\"status\": must be a list"},
        {"[1,2,0,1]", "[1,2,0,1,1]", "\"status\": must be a list"},
        {"[1,2,0,1]", "[1,2,0,256]", "\"status\": each"},
        {"[1,2,0,1]", "[1,2,0,-1]", "\"status\": each"},
        {"[1,2,0,1]", "[1,2,0,null]", "\"status\": each"},
        {"\"resid\":512", "\"resid\":513", "\"resid\": must be a number from 0 to 512"},
        {"\"resid\":512,", "", "\"resid\" is missing"},
        {"\"errno\":5", "\"errno\":4294967296", "\"errno\": must be"},
        {"\"status\":[1,2,0,1],", "", "\"sense\" without"},
        {"3/11/0f", "3/11/0", "\"sense\": must be"},
        {"3/11/0f", "3/11/0F", "\"sense\": must be"},
        {"3/11/0f", "3-11/0f", "\"sense\": must be"},
        {"3/11/0f", "x/11/0f", "\"sense\": must be"},
        {"\"3/11/0f\"", "null", "\"sense\": must be"},
    };
    char line[CAP_LINE_MAX], why[CAP_TEXT_MAX];
    struct cap_record r;
    struct cap_header h;

    ck_assert(cap_header_parse(HEAD, &h, why));
    ck_assert_msg(cap_record_parse(GOOD, &h, &r, why), "%s", why);
    ck_assert(cap_record_parse(with("{", "{\"later\":[{}],", line), &h, &r, why));
    for (size_t i = 0; i < SC_ARRAY_SIZE(rows); i++) {
        ck_assert_msg(!cap_record_parse(with(rows[i].old, rows[i].new, line), &h, &r, why), "%s", line);
        ck_assert_msg(strstr(why, rows[i].why) != NULL, "%s: \"%s\"", line, why);
    }
}
END_TEST

/* Nothing is believed: each byte of a good line replaced by some others is refused or read, and no more. */
START_TEST(test_every_byte_may_be_another)
{
    static const char others[] = {'"', '\\', '{', '}',    '[',    '9',    '-',
                                  'e', ' ',  ',', '\x01', '\x7f', '\x80', '\xff'};
    char line[sizeof(GOOD)], why[CAP_TEXT_MAX];
    struct cap_record r;
    struct cap_header h;

    ck_assert(cap_header_parse(HEAD, &h, why));
    for (size_t at = 0; at < sizeof(GOOD) - 1; at++)
        for (size_t i = 0; i < sizeof(others); i++) {
            memcpy(line, GOOD, sizeof(line));
            line[at] = others[i];
            why[0] = '\0';
            if (cap_record_parse(line, &h, &r, why))
                ck_assert(r.cr_disk < 2 && r.cr_cdb_bytes >= 1 && r.cr_cdb_bytes <= CAP_CDB_MAX &&
                          r.cr_resid <= r.cr_bytes);
            else
                ck_assert_msg(why[0] != '\0', "%s", line);
        }
}
END_TEST

/* A first line that blanks make so long: read, or refused for that and no other reason. */
START_TEST(test_lines_have_a_longest)
{
    char path[] = "/tmp/capfile.XXXXXX";
    struct cap_file cf;
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w+");

    ck_assert(f != NULL);
    for (unsigned more = 0; more < 2; more++) {
        rewind(f);
        ck_assert_int_eq(fprintf(f, "%-*s\n", (int)(CAP_LINE_MAX - 1 + more), HEAD), CAP_LINE_MAX + more);
        ck_assert_int_eq(fflush(f), 0);
        ck_assert_int_eq(cap_open(&cf, path), more == 0 ? CLI_OK : CLI_USAGE);
        cap_close(&cf);
    }
    (void)fclose(f);
    (void)unlink(path);
}
END_TEST

static Suite *capfile_suite(void)
{
    Suite *s = suite_create("cli_capfile");
    TCase *tc = tcase_create("lines");

    tcase_add_test(tc, test_what_is_written_is_read);
    tcase_add_test(tc, test_a_first_line_that_is_none);
    tcase_add_test(tc, test_a_command_that_is_none);
    tcase_add_test(tc, test_every_byte_may_be_another);
    tcase_add_test(tc, test_lines_have_a_longest);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(capfile_suite(), argc, argv); }
