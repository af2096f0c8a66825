/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scpair.h - the assembled pair: adapters with simulated disks, configured and ready to open.
 *
 * For programs (the FUSE mount, the scpair command, benchmarks, tests) that want the whole stack
 * and not its parts. Everything below stays reachable through the kernel services: open a disk
 * with fp_opendev(scp_disk_devno(p, i), ...), send bufs with devstrat(), call ioctls with
 * fp_ioctl(). Hosted systems only; the core itself does not need this file.
 */
#ifndef SCPAIR_SCPAIR_H
#define SCPAIR_SCPAIR_H

#include <sys/kservices.h>
#include <sys/scdisk.h>
#include <sys/scsi.h>
#include <sys/sctypes.h>

SC_BEGIN_DECLS

#define SCP_VERSION_MAJOR 0 /* changes with the contract */
#define SCP_VERSION_MINOR 2 /* before 1.0, so does this */
#define SCP_VERSION_PATCH 0 /* faults mended */
/* "0.2.0" of the library linked with, which may be newer than the header. Any context. */
const char *scp_version(void);

#define SCP_ADAPTERS_MAX   16u        /* of one pair; 32 in a process */
#define SCP_DISKS_MAX      64u        /* of one pair, over all its adapters; 256 in a process */
#define SCP_ADAPTER_MAJOR  1u         /* device number of adapter n: SC_MAKEDEV(SCP_ADAPTER_MAJOR, n) */
#define SCP_DISK_MAJOR     2u         /* and of disk n */
#define SCP_ERROR_MAX      512u       /* bytes: room for any line of text about an error */
#define SCP_TRANSFER_MAX   (1u << 20) /* largest --max-transfer, bytes */
#define SCP_QUEUE_MAX      256u       /* largest queue depth of a disk */
#define SCP_QUEUE_DEFAULT  64u        /* queue depth of a disk unless given */
#define SCP_PHYSICAL_MAX   65536u     /* largest physical block, bytes */
#define SCP_LATENCY_US_MAX 10000000u  /* ten seconds: beyond it the driver times out anyway */

/*
 * Where a disk's blocks are. NULL keeps nothing and reads as zeroes. VOID keeps nothing and leaves the
 * reader's memory as it was: for measuring the drivers alone, never for data that others will see.
 */
enum scp_medium { SCP_MEDIUM_FILE, SCP_MEDIUM_RAM, SCP_MEDIUM_NULL, SCP_MEDIUM_VOID };

/*
 * The specifications begin with their size, so that they may grow: sizeof the structure as the
 * program was compiled. 0 stands for the fields the structure had first, and is taken only where a
 * structure stands alone: in an array of several the size is also the distance to the next one, and
 * the same in each.
 * Zero in any other field means the default.
 */

/* One disk to be. */
struct scp_disk_spec {
    uint32_t size;           /* sizeof(struct scp_disk_spec), or 0 */
    enum scp_medium medium;  /* where its blocks are */
    const char *path;        /* SCP_MEDIUM_FILE: an existing regular file or block device */
    uint64_t bytes;          /* RAM, null, void: capacity; a file's is its size */
    uint32_t block_bytes;    /* 512 (default) or 4096 */
    bool read_only;          /* the disk says that it is write-protected */
    bool direct;             /* open the file with O_DIRECT */
    bool no_tags;            /* it cannot queue */
    uint32_t queue;          /* queue depth, default SCP_QUEUE_DEFAULT, 1..SCP_QUEUE_MAX */
    uint64_t latency_ns;     /* of every command; 0 */
    uint32_t physical_bytes; /* of a physical block: a power of two, block_bytes (default) to 65536 */
    bool removable;          /* its medium can be ejected */
    bool no_reserve;         /* no RESERVE at open: who manages persistent reservations wants that */
    bool clr_q;              /* the device drops all its commands on CHECK CONDITION */
    bool no_q_err;           /* its QERR bit, which would say so, is not asked for */
    uint16_t rw_timeout;     /* seconds for a READ or WRITE, default 30 */
    uint16_t start_timeout;  /* seconds to become ready, and for a flush, default 60 */
    uint16_t retries;        /* of a request, 1..100, default 3 */
};

/* One adapter to be, and the disks on its bus. */
struct scp_adapter_spec {
    uint32_t size;                     /* sizeof(struct scp_adapter_spec), or 0 */
    const char *kind;                  /* "sim", the simulated adapter; NULL means that too */
    const struct scp_disk_spec *disks; /* ndisks of them */
    uint32_t ndisks;                   /* at least one */
    bool no_gather;                    /* gathered writes are not offered */
    bool clears_queue;                 /* flavour: clear the LUN queue on CHECK CONDITION */
    uint64_t transfer_bytes_max;       /* 0: 1 MiB; >= SC_MAXREQUEST, a multiple of 4096 */
    uint32_t pend;                     /* SCP_PEND_*: when its commands end */
};
#define SCP_PEND_NOT 0u /* while they are sent, if the disk has no latency: the fastest */
#define SCP_PEND_INTERRUPT                                                                                   \
    1u                   /* as with a real adapter: sent in batches, handed back in lists on another thread */
#define SCP_PEND_POLL 2u /* the same without an interrupt: whoever waits asks for them */

/* The pair to be: adapters with their disks, or in short one simulated adapter. */
struct scp_spec {
    uint32_t size;      /* sizeof(struct scp_spec), or 0 */
    uint32_t nadapters; /* 0: one simulated adapter made of the next five fields */
    /* As in struct scp_adapter_spec. All zero when nadapters is not. */
    const struct scp_disk_spec *disks;
    uint32_t ndisks;
    bool no_gather;
    bool clears_queue;
    uint64_t transfer_bytes_max;
    uint64_t max_coalesce;                   /* largest span, bytes; 0: the maximum transfer */
    const struct shim_host *host;            /* NULL: shim_posix_host() */
    const struct scp_adapter_spec *adapters; /* nadapters of them, 1..SCP_ADAPTERS_MAX */
};

struct scp;

/*
 * Build it: attach the adapters, add the disks, run the configure methods. Nothing is opened.
 * The first pair of the process installs the host and starts the kernel services; the last to be
 * destroyed takes them down. All pairs of a process have the same host (EBUSY otherwise) and, as
 * in one operating system, one error log, one set of tunables and one numbering of devices: each
 * device gets the lowest free minor number and its name from it, so the first pair has scsi0 and
 * hdisk0, and a second one beside it goes on from there (EMFILE when the numbers are used up).
 * Returns 0, or an errno with one line in err (size bytes) that names the thing and the fix;
 * then nothing is left behind. Process; any thread, beside the I/O of other pairs. The spec and
 * what it points to may go when it has returned.
 */
int scp_create(const struct scp_spec *spec, struct scp **out, char *err, size_t size);
/*
 * Tear it down; every fp is closed, and no request is under way. Other pairs do not notice.
 * Returns the number of leaked blocks (0). Process.
 */
size_t scp_destroy(struct scp *p);

/*
 * What was built. Adapters and disks of a pair count from 0, disks over all its adapters. Any context.
 * On its simulated bus an adapter is id 7; its first 15 disks are LUN 0 of ids 0 to 6 and 8 to 15, in order,
 * the next 15 are LUN 1 of the same ids, and so on. DKINFO says so for an open disk.
 */
unsigned scp_nadapters(const struct scp *p);
devno_t scp_adapter_devno(const struct scp *p, unsigned adapter);
const char *scp_adapter_name(const struct scp *p, unsigned adapter); /* "scsi0" */
unsigned scp_ndisks(const struct scp *p); /* numbers in use or used before: see scp_disk_present() */
devno_t scp_disk_devno(const struct scp *p, unsigned disk);
const char *scp_disk_name(const struct scp *p, unsigned disk); /* "hdisk0" */
unsigned scp_disk_adapter(const struct scp *p, unsigned disk); /* the adapter it is on */
/*
 * The specification in force: defaults filled in, disks and path the pair's own, a relative path made
 * absolute. Until scp_destroy().
 */
const struct scp_adapter_spec *scp_adapter_config(const struct scp *p, unsigned adapter);
const struct scp_disk_spec *scp_disk_config(const struct scp *p, unsigned disk);
/*
 * The pair's own handles, opened at the first call and closed by scp_destroy(): for counters and
 * for a mount that keeps its devices open. 0, or fp_opendev's errno; *fpp stays the pair's. Process.
 */
int scp_disk_file(struct scp *p, unsigned disk, struct file **fpp);
int scp_adapter_file(struct scp *p, unsigned adapter, struct file **fpp);
/* The simulated disk behind it, for fault injection (src/adapter/sim/sim.h); NULL of one that is not there.
 */
struct sim_disk;
struct sim_disk *scp_sim_disk(const struct scp *p, unsigned disk);

/*
 * Disks that come and go while the pair is in use. Process; any thread, beside any I/O, to this disk too.
 *
 * scp_plug() puts a disk on the adapter and configures it. *disk gets its number: that of one that was
 * unplugged before, else the next. Its device number and its place on the bus are the lowest free ones. 0, or
 * an errno with a line in err as for scp_create(); then nothing has changed. EMFILE: SCP_DISKS_MAX are there.
 *
 * scp_unplug() pulls one out. From now on open, read, write, ioctl and devstrat answer ENXIO, and so does
 * every request to it that is not finished; when it returns, each of those is back with its owner, or on its
 * last step there on another thread. What is open stays open, to be closed by its owner. Device number, disk
 * number and place are given back with the last close, which scp_plug(), scp_unplug() and scp_reap() look
 * for. 0; ENODEV when it is not there; ETIMEDOUT when a command does not come back from the medium: the disk
 * has gone all the same, and unplugging it again tries once more.
 *
 * scp_reap() gives back what the last close has freed; it returns how many disks are unplugged and still
 * open.
 *
 * scp_disk_present(): is there a disk of this number? What the functions above say of one that is not there
 * is of no use; while another thread may unplug a disk, ask for its name, specification and handle on that
 * thread, or keep it from doing so.
 */
int scp_plug(struct scp *p, unsigned adapter, const struct scp_disk_spec *spec, unsigned *disk, char *err,
             size_t size);
int scp_unplug(struct scp *p, unsigned disk, char *err, size_t size);
unsigned scp_reap(struct scp *p);
bool scp_disk_present(const struct scp *p, unsigned disk);

/*
 * Parse "--adapter" syntax: sim[,max-transfer=BYTES][,no-gather][,clears-queue][,pend|,pend=poll].
 * `text` is modified, not kept. 0, or EINVAL with a line in err. Any context.
 */
int scp_adapter_parse(char *text, struct scp_adapter_spec *out, char *err, size_t size);
/*
 * Parse "--disk" syntax: FILE[,block=4096][,phys=BYTES][,ro][,removable][,queue=N][,direct]
 * [,latency=USEC][,notags][,reserve=no][,clr_q=yes][,q_err=no][,rw_timeout=S][,start_timeout=S]
 * [,retries=N], or ram:SIZE / null:SIZE in place of FILE. Two commas stand for one
 * in the name of the file, and file=FILE is always a file. Options given twice or contradicting each other
 * are errors.
 * The spec keeps pointers into `text`, which is modified. 0, or EINVAL with a line in err.
 */
int scp_disk_parse(char *text, struct scp_disk_spec *out, char *err, size_t size);
/* "4096", "64k", "1M", "2G", "1T" to bytes. 0, or EINVAL. */
int scp_size_parse(const char *text, uint64_t *bytes);

/*
 * The block interface's buffer layer: any offset and length, read-modify-write at the edges,
 * page-size bufs in one chain to the driver, which spans them. One per open block device.
 */
struct scp_block;
/* 0, or fp_opendev's errno. Process. */
int scp_block_open(devno_t devno, unsigned long devflag, struct scp_block **out);
void scp_block_close(struct scp_block *b);
/*
 * Read or write; *done gets the bytes moved. 0 with fewer than asked for at the end of the disk and
 * nowhere else: what a device leaves out without an error is asked for again, and EIO at last. Or
 * another errno. Process; any number of threads.
 */
int scp_block_read(struct scp_block *b, void *data, size_t bytes, uint64_t off, size_t *done);
int scp_block_write(struct scp_block *b, const void *data, size_t bytes, uint64_t off, size_t *done);
struct file *scp_block_file(struct scp_block *b);

/*
 * Raw read or write of contiguous memory through the driver's d_read/d_write. *done gets the bytes
 * moved, fewer than asked for at the end of the disk or when the device moved fewer; nothing at all
 * before the end is EIO. 0 or errno. Process; any number of threads.
 */
int scp_raw_read(struct file *fp, void *data, size_t bytes, uint64_t off, size_t *done);
int scp_raw_write(struct file *fp, const void *data, size_t bytes, uint64_t off, int ext, size_t *done);

/* Text of an errno, ours included ("EMEDIA: unrecovered medium error"). Static storage. */
const char *scp_strerror(int error);
/* The nearest errno every Linux program knows, for ioctl(2) and read(2) on a mount. */
int scp_host_errno(int error);

/* JSON of the counters, as `scpair stat --json` prints it. malloc()ed, or NULL. */
char *scp_stat_json(struct scp *p);
/*
 * The error log as JSON lines, after errlog_read()'s after_seq: times of day as well as monotonic
 * ones, and for the disks of this pair the image they are kept in. malloc()ed, or NULL. Process.
 */
char *scp_errlog_json(const struct scp *p, uint64_t after_seq);
/*
 * What the flight recorders of the disks, and of their LUNs in the adapter driver, hold: a JSON object
 * per line and step, in order of time. "what" is seen (a command came back and was judged: seen, sense,
 * rule, did), over (all requests that took part have ended: requests, good, failed, retries), state
 * (the adapter driver's queue) or late (a command's time was up). malloc()ed, or NULL. Process.
 */
char *scp_flight_json(struct scp *p);
/*
 * What trc_start() (sys/kservices.h) and its hooks have recorded of this pair, as Chrome trace JSON for
 * ui.perfetto.dev: docs/observability.md. While it runs, or after trc_stop(). malloc()ed, or NULL. Process.
 */
char *scp_trace_json(struct scp *p);
/*
 * Inject from text: "hdisk0 op=0x28 lba=100-200 count=1 skip=0 do=check:3/11/00", "hdisk0 rate=5
 * do=busy", "hdisk0 clear". The language is that of scpair inject.
 * 0, or EINVAL/ENOENT with a line in err.
 */
int scp_inject(struct scp *p, const char *text, char *err, size_t size);
/*
 * The rule-th rule of a disk, in force or used up, as text scp_inject() would take. False when
 * there is none. Process.
 */
bool scp_inject_text(struct scp *p, unsigned disk, unsigned rule, char *out, size_t size);

SC_END_DECLS

#endif /* SCPAIR_SCPAIR_H */
