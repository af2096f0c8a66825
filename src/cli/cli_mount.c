/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_mount.c - scpair mount: check the request, become a daemon, serve.
 *
 * The pair is built in the child: threads and file locks do not survive a fork. The child reports
 * through a pipe, one byte of exit code and a line of text, or a zero byte when the mount answers;
 * the parent prints and ends with that code. So a script that gets control back has a mount that
 * works, and whoever gets an error has it on the terminal.
 *
 * What a server inherits it would keep for as long as it lives: the lock of a script that started
 * it, the pipe of somebody who waits for its end. So every descriptor but the standard streams is
 * closed first, and those go to /dev/null once the mount answers.
 *
 * Does not contain: the mount itself (src/fuse).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include "../fuse/fuse_mounts.h"
#include "../fuse/fuse_serve.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#define MOUNT_WAIT_NS 50000000u /* between two looks at an image in use */

struct mount_request {
    struct cli_pair m_pair;
    struct fuse_serve_config m_serve;
    bool m_foreground;
    uint64_t m_wait_seconds; /* for an image in use */
    char *m_point;           /* absolute */
    int m_report;            /* daemon: the pipe to the parent, -1 once it has been told */
};

/* ------------------------------------------------------------------ checks before anything is done */

static int mount_check_fuse(void)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        (void)close(fd);
        return CLI_OK;
    }
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return cli_fail(CLI_FAILED, "/dev/fuse: FUSE is not available; load it with modprobe fuse, or give "
                                    "the container --device /dev/fuse");
    /* fusermount3 opens it for an ordinary user, and says so if it may not. */
    return CLI_OK;
}

/* Is there a mount on a path (absolute, no links)? */
struct mount_looked_for {
    const char *l_path;
    bool l_found;
};

static bool mount_look(const struct fuse_mount *m, void *arg)
{
    struct mount_looked_for *l = arg;

    l->l_found = l->l_found || strcmp(m->mo_point, l->l_path) == 0;
    return !l->l_found;
}

static bool mount_is_mounted(const char *path)
{
    struct mount_looked_for l = {.l_path = path};

    return fuse_mounts_each(mount_look, &l) == 0 && l.l_found;
}

/* The mount point: an existing directory nobody has mounted on. Fills m_point. */
static int mount_check_point(struct mount_request *m, const char *given)
{
    struct stat st;

    if (stat(given, &st) < 0) {
        if (errno == ENOTCONN)
            return cli_fail(CLI_FAILED, "%s: a mount whose server is gone; run scpair umount %s first", given,
                            given);
        if (errno == ENOENT)
            return cli_fail(CLI_USAGE, "%s: the mount point does not exist; make it with mkdir", given);
        return cli_fail(CLI_USAGE, "%s: mount point: %s", given, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode))
        return cli_fail(CLI_USAGE, "%s: the mount point is not a directory", given);
    m->m_point = realpath(given, NULL);
    if (m->m_point == NULL)
        return cli_fail(CLI_USAGE, "%s: mount point: %s", given, strerror(errno));
    if (mount_is_mounted(m->m_point))
        return cli_fail(CLI_FAILED, "%s: the mount point is in use; unmount it or choose another directory",
                        given);
    return CLI_OK;
}

/* ------------------------------------------------------------------ parent and child */

/* The three signals are for the serving thread's sigwait; later threads inherit the mask. */
static void mount_block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* Say how it went: to the parent while it waits, to stderr in the foreground, later to syslog. */
static int mount_report(struct mount_request *m, int rc, const char *text)
{
    char line[SCP_ERROR_MAX + 1];
    int n;

    if (m->m_foreground)
        return rc == CLI_OK ? rc : cli_fail(rc, "%s", text);
    if (m->m_report < 0) {
        syslog(LOG_ERR, "%s", text);
        return rc;
    }
    n = snprintf(line, sizeof(line), "%c%s", rc, text);
    if (n > (int)sizeof(line) - 1)
        n = (int)sizeof(line) - 1;
    /* Who is gone has seen this command fail: there shall be no mount. Blocked; the loop's to take. */
    if (write(m->m_report, line, (size_t)n) != n && rc == CLI_OK)
        (void)kill(getpid(), SIGTERM);
    (void)close(m->m_report);
    m->m_report = -1;
    return rc;
}

/* Tell systemd, when it has started us and wants to know (Type=notify). */
static void mount_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int s;

    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(to.sun_path))
        return;
    (void)stpcpy(to.sun_path, path);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return;
    (void)sendto(s, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    (void)close(s);
}

/* What a stop waits for, and what became of it. Any thread. */
static void mount_say(void *arg, const char *text)
{
    const struct mount_request *m = arg;

    mount_notify("STOPPING=1");
    if (m->m_foreground)
        (void)cli_fail(CLI_OK, "%s", text);
    else
        syslog(LOG_NOTICE, "%s", text);
}

/* The mount answers: the parent may go, and the terminal is no longer ours. */
static void mount_ready(void *arg)
{
    struct mount_request *m = arg;
    int null;

    mount_notify("READY=1");
    if (m->m_foreground) {
        printf("mounted on %s; end with Ctrl-C or scpair umount\n", m->m_point);
        (void)fflush(stdout);
        return;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            (void)dup2(null, fd);
        (void)close(null);
    }
    /* Not to hold on to a directory somebody wants to remove or unmount. */
    (void)!chdir("/");
    (void)mount_report(m, CLI_OK, "");
}

/* Sleep until the next look. True when nobody wants the mount any more: a signal, or the parent is gone. */
static bool mount_given_up(const struct mount_request *m, const sigset_t *signals)
{
    const struct timespec pause = {0, MOUNT_WAIT_NS};
    struct pollfd parent = {.fd = m->m_report};

    return sigtimedwait(signals, NULL, &pause) > 0 ||
           (poll(&parent, 1, 0) > 0 && (parent.revents & POLLERR) != 0);
}

/* Build the pair; an image that another scpair still has may be waited for. */
static int mount_build(struct mount_request *m, const sigset_t *signals, char *err, size_t size)
{
    uint64_t end = cli_now_ns() + m->m_wait_seconds * 1000000000u;
    int error = 0;
    int rc = cli_pair_build(&m->m_pair, &error, err, size);

    while (error == EBUSY && cli_now_ns() < end && !mount_given_up(m, signals))
        rc = cli_pair_build(&m->m_pair, &error, err, size);
    return rc;
}

static int mount_serve(struct mount_request *m)
{
    char err[SCP_ERROR_MAX] = "the mount failed";
    sigset_t signals;
    size_t leaked;
    int rc, error;

    mount_block_signals(&signals);
    m->m_serve.unmounter = geteuid() == 0 ? fuse_unmounter_start() : -1;
    rc = mount_build(m, &signals, err, sizeof(err));
    if (rc != CLI_OK) {
        fuse_unmounter_end(m->m_serve.unmounter);
        return mount_report(m, rc, err);
    }
    m->m_serve.mountpoint = m->m_point;
    m->m_serve.ready = mount_ready;
    m->m_serve.say = mount_say;
    m->m_serve.arg = m;
    error = fuse_serve(m->m_pair.p_scp, &m->m_serve, err, sizeof(err));
    if (error != 0)
        rc = mount_report(m, CLI_FAILED, err);
    fuse_unmounter_end(m->m_serve.unmounter);
    if (error == EINPROGRESS) {
        m->m_pair.p_scp = NULL;
        return rc;
    }
    leaked = scp_destroy(m->m_pair.p_scp);
    m->m_pair.p_scp = NULL;
    if (leaked != 0) {
        (void)snprintf(err, sizeof(err), "%s: the drivers leaked %zu blocks of memory; please report this",
                       m->m_point, leaked);
        rc = mount_report(m, CLI_FAILED, err);
    }
    return rc;
}

/* The parent: wait for the report, print it, return its exit code. */
static int mount_wait(int report, pid_t child)
{
    char line[SCP_ERROR_MAX + 1];
    size_t used = 0;
    ssize_t n;
    int status = 0;

    while (used < sizeof(line) - 1) {
        n = read(report, line + used, sizeof(line) - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        if (line[0] == CLI_OK)
            return CLI_OK;
    }
    line[used] = '\0';
    (void)waitpid(child, &status, 0);
    if (used == 0)
        return cli_fail(CLI_FAILED, "mount: the server ended before it was ready (%s %d); try -f to see more",
                        WIFSIGNALED(status) ? "signal" : "exit code",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return cli_fail(line[0], "%s", line + 1);
}

static int mount_daemon(struct mount_request *m)
{
    int pipes[2];
    pid_t child;
    int rc;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return cli_fail(CLI_FAILED, "mount: pipe: %s", strerror(errno));
    (void)fflush(NULL);
    child = fork();
    if (child < 0)
        return cli_fail(CLI_FAILED, "mount: fork: %s", strerror(errno));
    if (child > 0) {
        (void)close(pipes[1]);
        rc = mount_wait(pipes[0], child);
        (void)close(pipes[0]);
        return rc;
    }
    (void)close(pipes[0]);
    (void)setsid();
    openlog("scpair", LOG_PID, LOG_DAEMON);
    m->m_report = pipes[1];
    _exit(mount_serve(m));
}

/* ------------------------------------------------------------------ the command */

/* Permission bits in octal. */
static bool mount_mode(const char *text, mode_t *out)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (text[0] < '0' || text[0] > '7' || *end != '\0' || mode > 0666 || (mode & 0111) != 0) {
        (void)cli_fail(CLI_USAGE, "--mode %s: must be octal permission bits, 0 to 0666, without execution",
                       text);
        return false;
    }
    *out = (mode_t)mode;
    return true;
}

/* A number, or a name the system knows. */
static bool mount_owner(const char *option, const char *text, uint32_t *out)
{
    const struct passwd *pw = option[2] == 'u' ? getpwnam(text) : NULL;
    const struct group *gr = option[2] == 'g' ? getgrnam(text) : NULL;
    uint64_t id;

    if (pw != NULL || gr != NULL) {
        *out = pw != NULL ? pw->pw_uid : gr->gr_gid;
        return true;
    }
    if (scp_size_parse(text, &id) != 0 || id >= UINT32_MAX) {
        (void)cli_fail(CLI_USAGE, "%s %s: neither a number nor a name that is known here", option, text);
        return false;
    }
    *out = (uint32_t)id;
    return true;
}

/* The options of access and of the end. CLI_OK, CLI_USAGE after saying why, or -1: none of these. */
static int mount_option(struct fuse_serve_config *serve, int c, const char *arg)
{
    uint64_t value = 0;
    bool good;

    switch (c) {
    case CLI_OPT(11):
        serve->allow_other = true;
        return CLI_OK;
    case CLI_OPT(12):
        good = mount_mode(arg, &serve->mode);
        break;
    case CLI_OPT(13):
        good = mount_owner("--uid", arg, &serve->uid);
        break;
    case CLI_OPT(14):
        good = mount_owner("--gid", arg, &serve->gid);
        break;
    case CLI_OPT(15):
        good = cli_number("--stop-timeout", arg, 0, FUSE_SERVE_STOP_S_MAX, &value);
        serve->stop_seconds = (unsigned)value;
        break;
    default:
        return -1;
    }
    return good ? CLI_OK : CLI_USAGE;
}

static int mount_options(const struct cli_command *cmd, struct mount_request *m, int argc, char **argv)
{
    static const struct option longs[] = {CLI_PAIR_OPTIONS,
                                          {"foreground", no_argument, NULL, 'f'},
                                          {"threads", required_argument, NULL, CLI_OPT(10)},
                                          {"allow-other", no_argument, NULL, CLI_OPT(11)},
                                          {"mode", required_argument, NULL, CLI_OPT(12)},
                                          {"uid", required_argument, NULL, CLI_OPT(13)},
                                          {"gid", required_argument, NULL, CLI_OPT(14)},
                                          {"wait", required_argument, NULL, CLI_OPT(16)},
                                          {"stop-timeout", required_argument, NULL, CLI_OPT(15)},
                                          {NULL, 0, NULL, 0}};
    uint64_t value;
    int c, rc;

    while ((c = cli_getopt(cmd, argc, argv, ":f", longs)) != -1) {
        switch (c) {
        case 'f':
            m->m_foreground = true;
            break;
        case CLI_OPT(10):
            if (!cli_number("--threads", optarg, 1, FUSE_SERVE_THREADS_MAX, &value))
                return CLI_USAGE;
            m->m_serve.threads = (unsigned)value;
            break;
        case CLI_OPT(16):
            if (!cli_number("--wait", optarg, 0, FUSE_SERVE_STOP_S_MAX, &m->m_wait_seconds))
                return CLI_USAGE;
            break;
        case CLI_GETOPT_HELP:
        case CLI_GETOPT_BAD:
            return -1 - cli_getopt_rc(c);
        default:
            rc = mount_option(&m->m_serve, c, optarg);
            if (rc < 0)
                rc = cli_pair_option(&m->m_pair, c, optarg);
            if (rc != CLI_OK)
                return rc;
        }
    }
    return CLI_OK;
}

static int mount_run(const struct cli_command *cmd, int argc, char **argv)
{
    struct mount_request m = {.m_report = -1,
                              .m_serve = {.threads = FUSE_SERVE_THREADS,
                                          .mode = FUSE_SERVE_MODE,
                                          .uid = geteuid(),
                                          .gid = getegid(),
                                          .stop_seconds = FUSE_SERVE_STOP_S}};
    int rc = mount_options(cmd, &m, argc, argv);

    if (rc < 0)
        return cli_pair_end(&m.m_pair, -1 - rc);
    if (rc == CLI_OK && m.m_pair.p_ndisks == 0)
        rc = cli_fail(CLI_USAGE, "mount: no disk given; name at least one with --disk FILE, for example "
                                 "scpair mount --disk disk.img mnt");
    if (rc == CLI_OK && !cli_arguments(cmd, argc, argv, "MOUNTPOINT"))
        rc = CLI_USAGE;
    if (rc == CLI_OK)
        rc = mount_check_point(&m, argv[optind]);
    if (rc == CLI_OK)
        rc = mount_check_fuse();
    if (rc == CLI_OK) {
        (void)close_range(STDERR_FILENO + 1, UINT_MAX, 0);
        rc = m.m_foreground ? mount_serve(&m) : mount_daemon(&m);
    }
    free(m.m_point);
    return cli_pair_end(&m.m_pair, rc);
}

const struct cli_command cli_mount = {
    "mount",
    "[-f] [--adapter sim[,OPTION]...] --disk FILE[,OPTION]... [--disk ...] [OPTION]... MOUNTPOINT",
    "mount disks as scsi0, hdisk0, rhdisk0 ... through FUSE",
    "Serves each disk twice: hdiskN takes any offset and size and goes through the page cache,\n"
    "rhdiskN is raw: block multiples only, straight to the driver. scsiN is an adapter (ioctls).\n"
    "Returns when the mount is ready; the server stays in the background until scpair umount.\n\n"
    "  --disk FILE[,OPTION]...  an image file or block device; or ram:SIZE, or null:SIZE (no data)\n"
    "                           a comma in FILE is written twice; file=FILE is always a file\n"
    "        block=4096         block size, 512 (default) or 4096\n"
    "        phys=BYTES         physical blocks, larger than block=; 65536 at most\n"
    "        ro                 write-protected\n"
    "        removable          its medium can be ejected and loaded\n"
    "        queue=N            commands at the disk at once, 1 to 256 (64)\n"
    "        direct             open FILE with O_DIRECT\n"
    "        latency=USEC       every command takes that long, up to 10000000\n"
    "        notags             a disk without command queuing\n"
    "        reserve=no         no RESERVE at open, for who registers persistent keys\n"
    "        clr_q=yes, q_err=no, rw_timeout=S (30), start_timeout=S (60), retries=N (3)\n"
    "                           attributes of the disk driver, see scpair(1)\n"
    "  --adapter sim[,OPTION]...  one more adapter; without any there is one. The --disk,\n"
    "                           --max-transfer and --no-gather after it are its own\n"
    "        max-transfer=BYTES, no-gather   as the options below\n"
    "        clears-queue       clears a disk's queue on CHECK CONDITION\n"
    "        pend, pend=poll    commands are sent in batches and end on a thread of the adapter, as\n"
    "                           with a real one; or without an interrupt, by whoever waits\n"
    "  --max-transfer BYTES     largest single command, 65536 to 1048576 (1048576)\n"
    "  --no-gather              an adapter without gathered writes\n"
    "  --threads N              requests of one disk that are served at once, 1 to 1024 (256)\n"
    "  --allow-other            let other users in, as far as the next three let them\n"
    "  --mode OCTAL             permission bits of scsi0 and the disks (0600)\n"
    "  --uid USER, --gid GROUP  owner of the files, a name or a number (whoever mounts)\n"
    "  --wait SECONDS           for an image that another scpair still has, 0 to 86400 (0)\n"
    "  --stop-timeout SECONDS   how long SIGTERM waits until nobody uses the mount, 0 to 86400 (60)\n"
    "  -f, --foreground         do not go into the background\n\n"
    "Examples:\n"
    "  truncate -s 1G disk.img && mkdir mnt && scpair mount --disk disk.img mnt\n"
    "  scpair mount --disk a.img,block=4096,ro --disk ram:64M --max-transfer 131072 mnt\n"
    "  scpair mount --adapter sim --disk a.img --adapter sim,no-gather --disk b.img mnt\n\n"
    "hdiskN's cache is dropped at each open; after writing on rhdiskN open hdiskN afresh.\n",
    mount_run,
};
