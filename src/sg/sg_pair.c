/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sg_pair.c - a pair inside the tool's own process, and its devices.
 *
 * SCPAIR_SG_DISK holds one disk per line, each as --disk takes it. The first open of a path below
 * /dev/scpair/ builds the pair; the end of the program takes it down. Per disk N there are
 *   rhdiskN hdiskN sgN         the driver pair (three names of one thing: only commands go through)
 *   rhdiskN@2 hdiskN@2 sgN@2   a second initiator on the same bus, which reaches the disk beside it
 * Tests of reservations need both.
 *
 * A disk is opened without reserving it, as Linux' driver does; and the second initiator's "power
 * on" attentions are fetched when the pair is built, as Linux does when it finds a disk.
 *
 * Each device has an empty, sealed memory file as its descriptor's file; its inode number tells
 * which device a descriptor is, whoever duplicated it.
 *
 * Threads do not survive fork(), so a child has no pair: open() gives ENXIO, and the descriptors it inherits
 * are no devices any more (ENOTTY). A child that calls exec() loads the library anew and builds its own.
 */
#define _GNU_SOURCE
#include "sg_impl.h"

#include "../adapter/sim/sim.h"
#include <scpair/ad_hw.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/scsiproto.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAIR_NEXUSES     2u
#define PAIR_SENSE_BYTES 252u
#define PAIR_ATTENTIONS  8u /* more than a disk remembers */
#define PAIR_CDB_BYTES   6u
#define PAIR_TEXT_MAX    65536u
#define PAIR_FD_MIN      200

struct pair_node {
    int no_fd; /* the memory file */
    dev_t no_dev;
    ino_t no_ino;
};

static struct {
    pthread_rwlock_t lock; /* writing: building and taking down; reading: using */
    atomic_bool there;     /* scp is built: so that fstat() of other files costs one load */
    bool forked, over;
    struct scp *scp;
    char *text; /* what disks[] point into */
    struct scp_disk_spec disks[SCP_DISKS_MAX];
    unsigned ndisks;
    struct file *file[SCP_DISKS_MAX];
    struct pair_node node[SCP_DISKS_MAX][PAIR_NEXUSES];
} pair = {.lock = PTHREAD_RWLOCK_INITIALIZER};

bool sg_pair_path(const char *path)
{
    return path != NULL && strncmp(path, SG_PAIR_DIRECTORY, sizeof(SG_PAIR_DIRECTORY) - 1) == 0 &&
           getenv(SG_PAIR_VARIABLE) != NULL;
}

/* One line on stderr; returns `error`. */
static int pair_fail(int error, const char *what, const char *why)
{
    (void)dprintf(STDERR_FILENO, "scpair: %s: %s\n", what, why);
    return error;
}

/* ------------------------------------------------------------------ the second initiator */

/* Run one command of the second initiator. It ends inside the call. */
static void pair_other_run(unsigned disk, const uint8_t *cdb, unsigned cdb_bytes, bool in, void *data,
                           uint32_t bytes, struct ad_xfer *x)
{
    struct shim_seg seg = {(uintptr_t)data, bytes};
    struct shim_dma_map map = {
        .map_segs = &seg, .map_segs_max = 1, .map_nsegs = bytes != 0 ? 1 : 0, .map_bytes = bytes};

    memset(x, 0, sizeof(*x));
    x->xfer_cdb = cdb;
    x->xfer_cdb_len = (uint8_t)cdb_bytes;
    x->xfer_qmsg = SC_NO_Q;
    x->xfer_dir = in ? SHIM_DIR_FROM_DEVICE : SHIM_DIR_TO_DEVICE;
    x->xfer_map = &map;
    x->xfer_bytes = bytes;
    sim_disk_other_initiator(scp_sim_disk(pair.scp, disk), x);
    x->xfer_cdb = NULL;
    x->xfer_map = NULL;
}

static uint8_t pair_other_sense(unsigned disk, uint8_t *sense)
{
    const uint8_t cdb[PAIR_CDB_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, PAIR_SENSE_BYTES, 0};
    struct ad_xfer x;

    pair_other_run(disk, cdb, sizeof(cdb), true, sense, PAIR_SENSE_BYTES, &x);
    return x.xfer_result == AD_RES_GOOD ? (uint8_t)(PAIR_SENSE_BYTES - x.xfer_resid) : 0;
}

/* What happened before it came does not concern it. */
static void pair_other_settle(unsigned disk)
{
    const uint8_t ready[PAIR_CDB_BYTES] = {0};
    uint8_t sense[PAIR_SENSE_BYTES];
    struct ad_xfer x;

    for (unsigned i = 0; i < PAIR_ATTENTIONS; i++) {
        pair_other_run(disk, ready, sizeof(ready), false, NULL, 0, &x);
        if (x.xfer_result != AD_RES_STATUS || x.xfer_scsi_status != SC_CHECK_CONDITION)
            return;
        (void)pair_other_sense(disk, sense);
    }
}

static int pair_other_send(unsigned disk, struct sg_command *cm)
{
    struct ad_xfer x;

    pair_other_run(disk, cm->cm_cdb, cm->cm_cdb_bytes, cm->cm_in, cm->cm_data, cm->cm_bytes, &x);
    cm->cm_resid = (uint32_t)x.xfer_resid;
    cm->cm_status = SC_GOOD_STATUS;
    cm->cm_host = SG_HOST_OK;
    cm->cm_sense_bytes = 0;
    switch (x.xfer_result) {
    case AD_RES_GOOD:
        return 0;
    case AD_RES_STATUS:
        cm->cm_status = x.xfer_scsi_status;
        if (x.xfer_scsi_status == SC_CHECK_CONDITION)
            cm->cm_sense_bytes = pair_other_sense(disk, cm->cm_sense);
        return 0;
    case AD_RES_SELECT_TIMEOUT:
        cm->cm_host = SG_HOST_NO_CONNECT;
        return 0;
    case AD_RES_BUS_RESET:
        cm->cm_host = SG_HOST_RESET;
        return 0;
    default:
        cm->cm_host = SG_HOST_ERROR;
        return 0;
    }
}

/* ------------------------------------------------------------------ building and taking down */

/* The variable's lines into disks[]. 0 or an errno after saying what is wrong. */
static int pair_parse(void)
{
    const char *text = getenv(SG_PAIR_VARIABLE);
    char err[SCP_ERROR_MAX], *rest, *line;

    if (text == NULL || *text == '\0' || strlen(text) > PAIR_TEXT_MAX)
        return pair_fail(EINVAL, SG_PAIR_VARIABLE, "names no disk; use for example ram:64M");
    rest = pair.text = strdup(text);
    if (rest == NULL)
        return ENOMEM;
    for (pair.ndisks = 0; (line = strsep(&rest, "\n")) != NULL; pair.ndisks++) {
        if (pair.ndisks == SCP_DISKS_MAX)
            return pair_fail(EINVAL, SG_PAIR_VARIABLE, "too many disks");
        if (scp_disk_parse(line, &pair.disks[pair.ndisks], err, sizeof(err)) != 0)
            return pair_fail(EINVAL, SG_PAIR_VARIABLE, err);
    }
    return 0;
}

static int pair_node_make(struct pair_node *node, unsigned disk, unsigned nexus)
{
    char name[32];
    struct stat st;
    int low;

    (void)snprintf(name, sizeof(name), "scpair:sg%u%s", disk, nexus != 0 ? "@2" : "");
    low = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (low < 0)
        return errno;
    /* Out of the way: the tool may count on 0 to 2, or on what open() returns next. */
    node->no_fd = fcntl(low, F_DUPFD_CLOEXEC, PAIR_FD_MIN);
    (void)close(low);
    if (node->no_fd < 0)
        return errno;
    if (fcntl(node->no_fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0 ||
        sg_real_fstat(node->no_fd, &st) < 0)
        return errno;
    node->no_dev = st.st_dev;
    node->no_ino = st.st_ino;
    return 0;
}

static size_t pair_take_down(void)
{
    size_t leaked = 0;

    atomic_store_explicit(&pair.there, false, memory_order_release);
    for (unsigned i = 0; i < pair.ndisks; i++) {
        for (unsigned n = 0; n < PAIR_NEXUSES; n++)
            if (pair.node[i][n].no_fd > 0)
                (void)close(pair.node[i][n].no_fd);
        if (pair.file[i] != NULL)
            (void)fp_close(pair.file[i]);
        pair.file[i] = NULL;
    }
    memset(pair.node, 0, sizeof(pair.node));
    if (pair.scp != NULL)
        leaked = scp_destroy(pair.scp);
    pair.scp = NULL;
    free(pair.text);
    pair.text = NULL;
    pair.ndisks = 0;
    return leaked;
}

static int pair_build(void)
{
    struct scp_spec spec = {.size = sizeof(spec), .disks = pair.disks};
    char err[SCP_ERROR_MAX];
    int error = pair_parse();

    if (error != 0)
        return error;
    spec.ndisks = pair.ndisks;
    error = scp_create(&spec, &pair.scp, err, sizeof(err));
    if (error != 0) {
        pair.scp = NULL;
        return pair_fail(error, SG_PAIR_VARIABLE, err);
    }
    for (unsigned i = 0; i < pair.ndisks; i++) {
        error = fp_opendev(scp_disk_devno(pair.scp, i), DREAD | DKERNEL, NULL, SC_NO_RESERVE, &pair.file[i]);
        if (error != 0) {
            pair.file[i] = NULL;
            return pair_fail(error, scp_disk_name(pair.scp, i), scp_strerror(error));
        }
        pair_other_settle(i);
        for (unsigned n = 0; n < PAIR_NEXUSES && error == 0; n++)
            error = pair_node_make(&pair.node[i][n], i, n);
        if (error != 0)
            return error;
    }
    return 0;
}

/* In the child the threads are gone: forget the pair without touching it. */
static void pair_forked(void)
{
    atomic_store_explicit(&pair.there, false, memory_order_release);
    pair.forked = true;
    pair.lock = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER;
}

static int pair_fork_error;

static void pair_fork_watch(void) { pair_fork_error = pthread_atfork(NULL, NULL, pair_forked); }

/* Build it once. 0 or an errno. */
static int pair_get(void)
{
    static pthread_once_t watch = PTHREAD_ONCE_INIT;
    sigset_t all, old;
    int error = 0;

    /* It stays until the end; to wait for the lock would be to wait for every command under way. */
    if (atomic_load_explicit(&pair.there, memory_order_acquire))
        return 0;
    /* Before the lock is taken: a child of another thread must not find it held by nobody. */
    (void)pthread_once(&watch, pair_fork_watch);
    if (pair_fork_error != 0)
        return pair_fork_error;
    pthread_rwlock_wrlock(&pair.lock);
    if (pair.forked || pair.over) {
        error = ENXIO;
    } else if (!atomic_load_explicit(&pair.there, memory_order_relaxed)) {
        /* The program's signals are for its own threads. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        error = pair_build();
        if (error != 0)
            (void)pair_take_down();
        else
            atomic_store_explicit(&pair.there, true, memory_order_release);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    pthread_rwlock_unlock(&pair.lock);
    return error;
}

size_t sg_pair_end(void)
{
    size_t leaked = 0;

    /* A thread that is inside a command while the program ends keeps the pair, and it ends with it. */
    if (pthread_rwlock_trywrlock(&pair.lock) != 0)
        return 0;
    if (!pair.forked && pair.scp != NULL)
        leaked = pair_take_down();
    pthread_rwlock_unlock(&pair.lock);
    return leaked;
}

/* ------------------------------------------------------------------ devices */

/* "rhdisk0", "hdisk0", "sg0", each with "@2" or without. False: no such name. */
static bool pair_name(const char *name, unsigned *disk, unsigned *nexus)
{
    static const char *const kinds[] = {"rhdisk", "hdisk", "sg"};
    char *end;

    for (size_t i = 0; i < SC_ARRAY_SIZE(kinds); i++) {
        size_t n = strlen(kinds[i]);
        unsigned long number;

        if (strncmp(name, kinds[i], n) != 0 || name[n] < '0' || name[n] > '9')
            continue;
        number = strtoul(name + n, &end, 10);
        *nexus = strcmp(end, "@2") == 0 ? 1 : 0;
        *disk = (unsigned)number;
        return number < SCP_DISKS_MAX && (*end == '\0' || *nexus != 0);
    }
    return false;
}

int sg_pair_open(const char *path, int flags)
{
    unsigned disk, nexus;
    char file[32];
    int error, fd = -1;

    if (!pair_name(path + sizeof(SG_PAIR_DIRECTORY) - 1, &disk, &nexus)) {
        errno = ENOENT;
        return -1;
    }
    error = pair_get();
    if (error != 0) {
        errno = scp_host_errno(error);
        return -1;
    }
    pthread_rwlock_rdlock(&pair.lock);
    if (disk >= pair.ndisks || pair.node[disk][nexus].no_fd <= 0) {
        errno = ENOENT;
    } else {
        /* Opened anew, not duplicated: each open has its own flags. Nothing may be made or cut. */
        (void)snprintf(file, sizeof(file), "/proc/self/fd/%d", pair.node[disk][nexus].no_fd);
        fd = sg_real_open(file, flags & ~(O_CREAT | O_EXCL | O_TRUNC), 0);
    }
    pthread_rwlock_unlock(&pair.lock);
    return fd;
}

/* Which node has this inode? Locks: read. */
static bool pair_node_find(const struct stat *st, struct sg_target *t)
{
    for (unsigned i = 0; i < pair.ndisks; i++) {
        for (unsigned n = 0; n < PAIR_NEXUSES; n++) {
            if (pair.node[i][n].no_ino != st->st_ino || pair.node[i][n].no_dev != st->st_dev)
                continue;
            t->tg_kind = SG_KIND_PAIR;
            t->tg_disk = i;
            t->tg_nexus = n;
            return fp_ioctl(pair.file[i], DKINFO, (intptr_t)&t->tg_info, 0) == 0;
        }
    }
    return false;
}

bool sg_pair_find(int fd, struct sg_target *t)
{
    struct stat st;
    bool found;

    if (!atomic_load_explicit(&pair.there, memory_order_acquire) || sg_real_fstat(fd, &st) < 0)
        return false;
    pthread_rwlock_rdlock(&pair.lock);
    found = pair_node_find(&st, t);
    pthread_rwlock_unlock(&pair.lock);
    return found;
}

int sg_pair_send(const struct sg_target *t, struct sg_command *cm)
{
    struct sc_passthru pt;
    int error = ENXIO;

    pthread_rwlock_rdlock(&pair.lock);
    if (pair.scp == NULL || pair.forked) {
        /* taken down since the descriptor was looked at */
    } else if (t->tg_nexus != 0) {
        error = pair_other_send(t->tg_disk, cm);
    } else {
        sg_passthru_fill(cm, &pt);
        pt.buffer = (uintptr_t)cm->cm_data;
        error = fp_ioctlx(pair.file[t->tg_disk], DK_PASSTHRU, (intptr_t)&pt, 0, DKERNEL | DREAD | DWRITE);
        error = scp_host_errno(sg_passthru_result(cm, &pt, error));
    }
    pthread_rwlock_unlock(&pair.lock);
    return error;
}
