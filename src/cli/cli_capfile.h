/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_capfile.h - the file of scpair capture and scpair replay: JSON lines.
 *
 * The first line says what it is, and how many lines follow:
 *
 *     {"scpair_capture":1,"disks":["hdisk0"],"commands":2,"lost":0}
 *
 * Each other line is a command, in the order of sending:
 *
 *     {"disk":"hdisk0","ns":1200,"cdb":"2800000003e8000008","bytes":4096,"in":true,"tag":32,
 *      "errno":5,"status":[1,2,0,0],"resid":4096,"sense":"3/11/00"}
 *
 * "ns" is when it was sent, since the capture began; "in" that its data came in; "tag" the queue tag message,
 * 0 without one. The last line is left out for a command that had not come back, "sense" where it is not
 * known. Other keys are ignored, so that a later version may add some.
 */
#ifndef CLI_CAPFILE_H
#define CLI_CAPFILE_H

#include "cli_impl.h"

#define CAP_VERSION    1u
#define CAP_LINE_MAX   4096u /* bytes, its line feed included */
#define CAP_NAME_MAX   32u
#define CAP_TEXT_MAX   192u /* of what is wrong with a line */
#define CAP_CDB_MAX    16u
#define CAP_NUMBER_MAX INT64_MAX /* what JSON here can carry */

struct cap_header {
    unsigned ch_ndisks;
    char ch_disks[SCP_DISKS_MAX][CAP_NAME_MAX];
    uint64_t ch_commands, ch_lost; /* lines that follow; trace records that were overwritten */
};

struct cap_record {
    unsigned cr_disk; /* of ch_disks */
    uint64_t cr_ns;
    uint8_t cr_cdb[CAP_CDB_MAX];
    unsigned cr_cdb_bytes; /* 1 to CAP_CDB_MAX */
    uint32_t cr_bytes;
    bool cr_in;
    uint8_t cr_tag;
    bool cr_back; /* it came back: */
    uint32_t cr_errno;
    uint8_t cr_status[4]; /* as TRC_STATUS() has them */
    uint64_t cr_resid;
    bool cr_sensed;
    uint8_t cr_sense[3]; /* key, ASC, ASCQ */
};

/* One line without its line feed. False with what is wrong in `why`, CAP_TEXT_MAX bytes. */
bool cap_header_parse(const char *line, struct cap_header *h, char *why);
bool cap_record_parse(const char *line, const struct cap_header *h, struct cap_record *r, char *why);
/* "3/11/00" into three numbers; false: it is none. */
bool cap_sense_parse(const char *text, uint8_t sense[3]);
/* "2800..." into bytes, 1 to CAP_CDB_MAX; 0: it is none. */
unsigned cap_cdb_parse(const char *text, uint8_t *cdb);
/* The bytes as text into out, 2 * CAP_CDB_MAX + 1 bytes, which is returned. */
const char *cap_cdb_text(const uint8_t *cdb, unsigned bytes, char *out);
/* Write a line. False: stdio has the error. */
bool cap_header_write(FILE *f, const struct cap_header *h);
bool cap_record_write(FILE *f, const struct cap_header *h, const struct cap_record *r);

/* A file that is read, a line at a time. */
struct cap_file {
    const char *cf_path;
    FILE *cf_f;
    uint64_t cf_line; /* the last one read, from 1 */
    struct cap_header cf_header;
};
/* Open it and read its first line. CLI_OK, or the exit code after saying what is wrong. Close in any case. */
int cap_open(struct cap_file *cf, const char *path);
/* The next command: CLI_OK and *r, or with *end that there is none; else as above. */
int cap_next(struct cap_file *cf, struct cap_record *r, bool *end);
/* From the first command once more. As above. */
int cap_rewind(struct cap_file *cf);
void cap_close(struct cap_file *cf);

#endif /* CLI_CAPFILE_H */
