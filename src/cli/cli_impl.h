/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_impl.h - private to src/cli: what the commands share.
 */
#ifndef CLI_IMPL_H
#define CLI_IMPL_H

#include <getopt.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include <scpair/scpair.h>

/* Exit codes. */
#define CLI_OK     0
#define CLI_FAILED 1 /* it was asked for rightly and did not work */
#define CLI_USAGE  2 /* bad command line or bad input */

/* One command. c_help is what --help prints after the first line. */
struct cli_command {
    const char *c_name;
    const char *c_usage;
    const char *c_summary;
    const char *c_help;
    int (*c_run)(const struct cli_command *cmd, int argc, char **argv);
};
extern const struct cli_command cli_mount, cli_umount, cli_info, cli_stat, cli_errlog, cli_inject, cli_copy,
    cli_verify, cli_bench, cli_sg, cli_list, cli_load, cli_plug, cli_unplug, cli_trace,
    cli_capture, cli_replay;

/* ------------------------------------------------------------------ cli_common.c */

/* Print "scpair: ..." as one line on stderr; returns rc. */
int cli_fail(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The command's --help, on stdout. */
void cli_help(const struct cli_command *cmd);

/* Long options without a letter count from here; above every character. */
#define CLI_OPT(n)      (256 + (n))
/* Answers of cli_getopt besides -1 and an option's value. */
#define CLI_GETOPT_HELP 1000 /* printed: return CLI_OK */
#define CLI_GETOPT_BAD  1001 /* said: return CLI_USAGE */
/*
 * getopt_long with our own messages; an option given twice is one of them. `shorts` begins with ':'. -h and
 * --help are known everywhere and must be in neither list.
 */
int cli_getopt(const struct cli_command *cmd, int argc, char **argv, const char *shorts,
               const struct option *longs);
/* The exit code for one of the two answers above. */
int cli_getopt_rc(int c);
/*
 * Exactly these arguments left, none of them empty? `names` are their words in the usage, "MOUNTPOINT DISK".
 * Otherwise says which is wrong and returns false.
 */
bool cli_arguments(const struct cli_command *cmd, int argc, char **argv, const char *names);
/*
 * Is it a name that a mount may have for a disk? False after saying which disk is meant: "rhdisk0" and
 * "mnt/hdisk0" are names of files.
 */
bool cli_disk_name(const struct cli_command *cmd, const char *given);

/* A number of an option, a count or seconds, min to max; false after saying what is wrong and what is right.
 */
bool cli_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* The same for a size in bytes, which is also a multiple of `unit`. */
bool cli_size(const char *option, const char *text, uint64_t unit, uint64_t min, uint64_t max, uint64_t *out);

/*
 * From now on SIGINT, SIGTERM and SIGHUP are noted, once each; a second one ends the process as usual.
 * For commands that have something to put in order first.
 */
void cli_stop_catch(void);
/* The signal that came, or 0. Any thread. */
int cli_stopped(void);

uint64_t cli_now_ns(void);
void cli_sleep_ns(uint64_t ns);
/* "1.5 GiB" into out, which is returned. */
const char *cli_bytes_text(uint64_t bytes, char *out, size_t size);
/*
 * Write out what was printed. Returns rc, or CLI_FAILED after saying so, once, when stdout did not
 * take it all. Every command ends with it; those that go on and on call it after each report.
 */
int cli_stdout(int rc);
/* A string for JSON, of a name that may not be UTF-8. */
json_t *cli_json_string(const char *text);
/* Print a JSON value in one line and give it up. As cli_stdout(CLI_OK). */
int cli_json_print(json_t *value);

/* The adapters, disks and options a pair is made of, as commands collect them. Do not copy: it points into
 * itself. */
struct cli_pair {
    struct scp_spec p_spec;
    struct scp_adapter_spec p_adapters[SCP_ADAPTERS_MAX]; /* each with a part of p_disks */
    unsigned p_ndisks;
    struct scp_disk_spec p_disks[SCP_DISKS_MAX];
    char *p_texts[SCP_DISKS_MAX]; /* what p_disks point into */
    struct scp *p_scp;
};
#define CLI_PAIR_OPTIONS                                                                                     \
    {"disk", required_argument, NULL, CLI_OPT(0)}, {"max-transfer", required_argument, NULL, CLI_OPT(1)},    \
        {"no-gather", no_argument, NULL, CLI_OPT(2)},                                                        \
    {                                                                                                        \
        "adapter", required_argument, NULL, CLI_OPT(3)                                                       \
    }
/* Take one of those options. CLI_OK, or CLI_USAGE after saying what is wrong. */
int cli_pair_option(struct cli_pair *pair, int c, const char *arg);
/* Add a --disk to the last adapter, which is an implicit one before the first --adapter. The same results. */
int cli_pair_disk(struct cli_pair *pair, const char *text);
/* For commands that take a path instead: is an option there that only a --disk can use? As above. */
int cli_pair_unused(const struct cli_command *cmd, const struct cli_pair *pair);
/* Build it; p_scp is set. CLI_OK, or the exit code after saying what is wrong. */
int cli_pair_create(struct cli_pair *pair);
/* The same, handing out the errno and the text instead of printing it. */
int cli_pair_build(struct cli_pair *pair, int *error, char *err, size_t size);
/* Take it down and forget the texts; returns rc, or CLI_FAILED when memory leaked. */
int cli_pair_end(struct cli_pair *pair, int rc);

/* ------------------------------------------------------------------ cli_fstab.c */

/* Called as mount(8)'s helper? Then *rc is the exit code. */
bool cli_fstab_helper(int argc, char **argv, int *rc);

/* ------------------------------------------------------------------ cli_ctl.c: a mount's .scpair */

/* Open MOUNT/.scpair/NAME; -1 after saying what is wrong, and *rc is the exit code. */
int cli_ctl_open(const char *mount, const char *name, int flags, int *rc);
/* All of it, malloc()ed, or NULL and *rc in the same way. */
char *cli_ctl_read(const char *mount, const char *name, int *rc);
/* The same, parsed, with nothing said: 0, or an errno. */
int cli_ctl_try(const char *mount, const char *name, json_t **out);
/* Have a rule applied. The exit code; what is wrong with the rule is said as the server put it. */
int cli_ctl_inject(const struct cli_command *cmd, const char *mount, const char *rule);
/*
 * The same for a command that looks again and again: NULL with *rc CLI_OK, and nothing said, when the
 * mount has been taken away since. A mount that answers no more is given two seconds to go.
 */
char *cli_ctl_again(const char *mount, const char *name, int *rc);
/* The same as cli_ctl_read(), parsed. */
json_t *cli_ctl_json(const char *mount, const char *name, int *rc);

/* ------------------------------------------------------------------ cli_flight.c */

/* The last of a disk that has been shown: its own step, its LUN's, and its story. */
struct cli_flight_seen {
    json_int_t fs_disk, fs_adapter, fs_episode;
};
/* Show a disk's steps among JSON lines. As cli_stdout(CLI_OK). */
int cli_flight_show(char *text, const char *disk, bool json, struct cli_flight_seen *seen);
/* Is there such a disk? CLI_OK, or the exit code after saying what is wrong, as `command`. */
int cli_flight_disk(const char *command, const char *mount, const char *disk);
/* "1.05 us" for nanoseconds, into out, which is returned. */
const char *cli_time_text(double ns, char *out, size_t size);

/* ------------------------------------------------------------------ cli_trace.c */

#define CLI_TRACE_SECONDS     5u
#define CLI_TRACE_SECONDS_MAX 3600u
/*
 * A mount's trace as JSON, malloc()ed: of so many seconds from now or until a signal with `start`, else the
 * one that runs or ran. NULL after saying what is wrong, and *rc is the exit code.
 */
char *cli_trace_text(const char *mount, bool start, uint64_t records, uint64_t seconds, int *rc);

/* ------------------------------------------------------------------ cli_end.c: something with blocks */

/* A file, a device in a mount, or a disk of a pair in this process. */
struct cli_end {
    const char *e_name;  /* for messages */
    int e_fd;            /* or -1 */
    struct file *e_file; /* or NULL */
    uint64_t e_bytes;
    uint32_t e_block; /* reads and writes are multiples of this; 1 for a plain file */
    bool e_device;    /* its size is what it is */
};
enum cli_end_use { CLI_END_READ, CLI_END_WRITE };
/* Open a path. CLI_OK or the exit code after saying what is wrong. */
int cli_end_open(struct cli_end *end, const char *path, enum cli_end_use use);
/* Use disk i of a pair. The same results. */
int cli_end_disk(struct cli_end *end, struct cli_pair *pair, unsigned disk, const char *name, bool write);
void cli_end_close(struct cli_end *end);
/* Room every buffer needs beyond the bytes asked for: parts of blocks are rounded out. */
#define CLI_END_SLACK SC_PAGE_SIZE
/*
 * Move bytes at an offset that is a multiple of the block. 0 or an errno; a read past the end is
 * EIO. Any number of threads, but a write that ends inside a block is for the last one only.
 */
int cli_end_read(const struct cli_end *end, void *data, size_t bytes, uint64_t off);
int cli_end_write(const struct cli_end *end, void *data, size_t bytes, uint64_t off);
int cli_end_flush(const struct cli_end *end);
/* An ioctl of the contract. 0 or an errno of ours. */
int cli_end_ioctl(const struct cli_end *end, unsigned cmd, void *arg);

/* ------------------------------------------------------------------ cli_out.c: a file that is written */

struct cli_out {
    const char *o_path;     /* as it was given; for messages */
    int o_fd;               /* to write to; -1: not open */
    char *o_temp, *o_final; /* what is written, and what it becomes */
    bool o_existed;
    struct stat o_old; /* of o_final, when it existed */
};
/*
 * Begin a file beside `path`, which is refused when it is in a mount of ours, in use as an image, or there
 * and no plain file. CLI_OK, or the exit code after saying what is wrong. To be closed in either case.
 */
int cli_out_open(struct cli_out *o, const char *path);
/*
 * With rc CLI_OK give it its name when it is on the disk, else remove it. Returns rc, or the exit code of
 * what went wrong here, which is said. Nothing happens to what is not open.
 */
int cli_out_close(struct cli_out *o, int rc);
/* What a failure leaves of the file, for messages: "it is as it was". */
const char *cli_out_left(const struct cli_out *o);

/* ------------------------------------------------------------------ cli_job.c: many blocks, several threads
 */

struct cli_job;
/* Do `bytes` at `off` with a page-aligned buffer of 2 * (j_block + CLI_END_SLACK) bytes. False ends the job.
 */
typedef bool (*cli_job_fn)(struct cli_job *job, uint8_t *buffer, size_t bytes, uint64_t off);
struct cli_job {
    const char *j_label; /* of the progress bar: "copy" */
    const char *j_left;  /* for messages: what a failure leaves behind; or NULL */
    cli_job_fn j_fn;
    void *j_arg;
    uint64_t j_bytes; /* 0 .. j_bytes is done, in pieces of j_block */
    size_t j_block;
    unsigned j_depth; /* threads */
    /* Out. */
    double j_seconds;
    char j_error[256];   /* what j_fn said by cli_job_fail() nearest to the beginning */
    uint64_t j_error_at; /* at which byte, as given there */
    /* Private. */
    _Atomic uint64_t j_next, j_done;
    _Atomic unsigned j_running;
    atomic_bool j_failed;
};
#define CLI_JOB_BLOCK_MIN     SC_PAGE_SIZE
#define CLI_JOB_BLOCK_MAX     (64u << 20)
#define CLI_JOB_BLOCK_DEFAULT (1u << 20)
#define CLI_JOB_DEPTH_MAX     256u
#define CLI_JOB_DEPTH_DEFAULT 4u
/* Note why, and at which byte (UINT64_MAX: none); the smallest counts. Returns false. Any thread. */
bool cli_job_fail(struct cli_job *job, uint64_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * Run it with a progress bar when stderr is a terminal. CLI_OK, or CLI_FAILED after printing j_error
 * and j_left. A signal noted by cli_stop_catch() ends it as a failure.
 */
int cli_job_run(struct cli_job *job);
/*
 * One line of progress in less than `columns` (0: not known), or "" where there is no room for it.
 * Returns out.
 */
const char *cli_job_progress(const char *label, uint64_t done, uint64_t bytes, double seconds,
                             unsigned columns, char *out, size_t size);

/* cli_verify.c: compare two ends, also after a copy. Exit code; `job` gets the seconds and the error. */
int cli_verify_ends(struct cli_end *a, struct cli_end *b, uint64_t bytes, size_t block, unsigned depth,
                    struct cli_job *job);

#endif /* CLI_IMPL_H */
