/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scdisk.h - the disk device driver's ioctls, attributes and counters.
 *
 * Published names; values and layouts are ours. An entry marked [ours] has no published
 * counterpart. Pointers and inline areas follow the rule in scsi.h. DKIOWRSE, DKFORMAT, DKUNMAP, DKZERO and
 * DKZERO_UNMAP need a file open for writing: EBADF.
 */
#ifndef SYS_SCDISK_H
#define SYS_SCDISK_H

#include <sys/scsi.h>

#include <sys/scknames.h>

SC_BEGIN_DECLS

/* readx/writex ext bits, also delivered in b_options. */
#define WRITEV     0x0001u /* verify after write */
#define HWRELOC    0x0002u /* relocate before writing; unsupported: EINVAL */
#define UNSAFEREL  0x0004u /* unsupported: EINVAL */
#define SC_OPT_FUA 0x0100u /* force unit access: on the medium when done [ours] */

#define SC_DISK_IO_INLINE 8192u /* bytes: the area inside struct sc_rdwrt */
#define SC_DISK_SENSE_MAX 255u  /* bytes of sense one may ask for */

/* DKIORDSE, DKIOWRSE: READ/WRITE that hands back sense. Sense length > 255 or length > max: EINVAL. */
struct sc_rdwrt {
    uint64_t lba;                    /* device blocks */
    uint64_t buffer;                 /* or 0: data */
    uint32_t data_length;            /* bytes */
    uint16_t timeout_value;          /* seconds */
    uint16_t req_sense_length;       /* bytes wanted, <= 255 */
    uint8_t status_validity;         /* out */
    uint8_t scsi_status;             /* out */
    uint8_t adapter_status;          /* out */
    uint8_t sense_bytes;             /* out */
    uint32_t resid;                  /* out */
    uint8_t sense[256];              /* out */
    uint8_t data[SC_DISK_IO_INLINE]; /* with buffer 0 */
};
SC_STATIC_ASSERT(offsetof(struct sc_rdwrt, sense) == 32, "fixed layout");
SC_STATIC_ASSERT(sizeof(struct sc_rdwrt) < 16384, "an ioctl number carries 14 bits of size");

/*
 * READ and WRITE with sense handed back, in any mode. EINVAL, EIO with the three status fields, EFAULT, ENXIO
 * beyond the end. In diagnostic mode the driver may have to ask for the block size first; what goes wrong
 * then is told in the same way, and nothing has been moved.
 */
#define DKIORDSE    SC_IOWR('D', 1, struct sc_rdwrt)
#define DKIOWRSE    SC_IOWR('D', 2, struct sc_rdwrt)
/* DKIOCMD: any command, diagnostic mode only (EACCES). DK_PASSTHRU: normal mode. No recovery, no log. */
#define DKIOCMD     SC_IOWR('D', 3, struct sc_passthru)
#define DK_PASSTHRU SC_IOWR('D', 4, struct sc_passthru)
/*
 * Removable media only (IOCINFO without DF_FIXED); EINVAL on a fixed disk. DKPMR: the medium stays in, until
 * DKAMR or the last close. DKEJECT: flush, then eject; EINVAL while it has to stay in, ENOTREADY without one.
 */
#define DKPMR       SC_IO('D', 5)
#define DKAMR       SC_IO('D', 6)
#define DKEJECT     SC_IO('D', 7)
/* Exclusive mode only (EACCES). */
#define DKFORMAT    SC_IO('D', 8)

/* ------------------------------------------------------------------ [ours] */

/* A byte range: multiples of the block size (EINVAL), within the disk (ENXIO). */
struct sc_range {
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes */
};
/*
 * SYNCHRONIZE CACHE. Fails also when the device says that a write was lost which it had acknowledged: once,
 * to whoever flushes first. Who has the disk open for several others tells each of them with DKFLUSHMARK.
 */
#define DKFLUSH      SC_IO('D', 32)
/* UNMAP: the range's contents are given up; reads zero when the device says so, else EOPNOTSUPP. */
#define DKUNMAP      SC_IOW('D', 33, struct sc_range)
/* The range reads as zeroes afterwards: WRITE SAME (with UNMAP when may_unmap), or plain writes. */
#define DKZERO       SC_IOW('D', 34, struct sc_range)
#define DKZERO_UNMAP SC_IOW('D', 35, struct sc_range)
/* In: offset. Out: length of the run that begins there and whether it is mapped (GET LBA STATUS). */
struct sc_extent {
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes */
    uint32_t mapped; /* out: 1 when the run holds data */
    uint32_t reserved;
};
#define DKEXTENT SC_IOWR('D', 36, struct sc_extent)

/* What the driver found out at open. Strings are NUL-terminated, printable. */
struct sc_disk_info {
    uint64_t blocks;             /* on the medium */
    uint32_t block_bytes;        /* 512 or 4096 */
    uint32_t queue_depth;        /* commands the driver keeps at the device */
    uint64_t transfer_bytes_max; /* largest single command */
    uint8_t id;                  /* target id */
    uint8_t lun;                 /* LUN */
    uint8_t read_only;           /* 1: write-protected */
    uint8_t write_cache;         /* 1: it caches writes */
    uint8_t tagged;              /* 1: commands are queued */
    uint8_t gather;              /* 1: the adapter takes gathered writes */
    uint8_t unmap;               /* 1: UNMAP is offered */
    uint8_t write_same;          /* 1: WRITE SAME is offered */
    uint32_t adapter_devno;      /* where it hangs */
    uint32_t opens;              /* since the disk was last closed */
    char vendor[9];              /* INQUIRY */
    char product[17];            /* INQUIRY */
    char revision[5];            /* INQUIRY */
    char serial[33];             /* page 80h */
    uint8_t device_id[32];       /* page 83h, the first designator of the LUN */
    uint8_t device_id_bytes;     /* in use */
    uint8_t reserved[7];
};
#define DKINFO SC_IOR('D', 37, struct sc_disk_info)

#define SC_LAT_BUCKETS 40u /* bucket i counts commands of [2^i, 2^(i+1)) ns */
#define SC_LAT_SAMPLE  16u /* one command in 16 is timed: a clock read costs as much as a null command */

/*
 * Counters of one disk. submitted = pending + in_process + recovering + completed, always.
 */
struct sc_disk_stats {
    uint64_t bufs;                      /* requests accepted by strategy (submitted) */
    uint64_t commands;                  /* READ/WRITE commands sent, first tries and retries */
    uint64_t spanned_commands;          /* of them: with more than one buf */
    uint64_t spanned_bufs;              /* bufs in those */
    uint64_t fragments;                 /* commands that were a piece of a larger buf */
    uint64_t gathered;                  /* gathered writes sent */
    uint64_t internal;                  /* the driver's own commands: TUR, sense, capacity ... */
    uint64_t pending;                   /* gauge: bufs */
    uint64_t in_process;                /* gauge: bufs */
    uint64_t recovering;                /* gauge: bufs */
    uint64_t completed;                 /* bufs */
    uint64_t errors;                    /* bufs completed with an error, each once (XEN-06) */
    uint64_t retries;                   /* commands sent again after an error */
    uint64_t requeued;                  /* ENXIO followers taken back */
    uint64_t alloc_failures;            /* no command structure: waited (NB-01) */
    uint64_t restarts;                  /* restart timer fired (NB-02) */
    uint64_t responses_queued;          /* completed, not yet pushed: 0 after every push (XEN-05) */
    uint64_t bytes_read;                /* moved, without retries */
    uint64_t bytes_written;             /* likewise */
    uint64_t lat_read[SC_LAT_BUCKETS];  /* one in SC_LAT_SAMPLE, by duration */
    uint64_t lat_write[SC_LAT_BUCKETS]; /* likewise */
};
#define DKSTATS SC_IOR('D', 38, struct sc_disk_stats)

/* The disk's flight recorder. Opening and closing the disk do not empty it. */
#define DKFLIGHT SC_IOR('D', 39, struct sc_flight)

/*
 * The same for one open of many: `mark` is the caller's, one for each open, and says of which losses it has
 * been told. Out: the new mark, also on an error, but not with EINVAL (how) or EFAULT.
 */
struct sc_flush {
    uint32_t mark; /* in: of which losses this open has been told; out: the new mark */
    uint32_t how; /* SC_FLUSH_* */
};
#define SC_FLUSH_ALL    0u /* flush, and tell what this open has not been told: its errno */
#define SC_FLUSH_OPEN   1u /* an open begins: gives it its mark. What nobody has been told yet it is told */
#define SC_FLUSH_TELL   2u /* tell, without a flush; no command is sent */
#define SC_FLUSH_SILENT 3u /* flush, without telling: what was lost is still to be told */
#define DKFLUSHMARK     SC_IOWR('D', 40, struct sc_flush)

/*
 * The define-device structure: what the configure method hands to ddconfig(CFG_INIT) through a
 * uio. Zero means the default. CFG_INIT copies it; nothing is sent to the device before open.
 */
struct scdisk_dds {
    devno_t adapter_devno;  /* of the adapter */
    uint8_t scsi_id;        /* target id */
    uint8_t lun_id;         /* LUN */
    uint16_t queue_depth;   /* commands at the device at once, 1..256; default 64; 1 without tags */
    char name[16];          /* "hdisk0": resource name in the error log */
    uint16_t rw_timeout;    /* seconds, default 30 */
    uint16_t start_timeout; /* seconds, default 60 */
    uint32_t max_coalesce;  /* bytes, 512 or more; default: the adapter's maximum */
    uint16_t retries;       /* per request, at most 100; default 3 */
    uint8_t no_tags;        /* q_type=none */
    uint8_t no_reserve;     /* reserve_policy=no_reserve */
    uint32_t pool;          /* command structures primed at configuration, <= 1024; default queue_depth + 2 */
    uint8_t clr_q;        /* clr_q=yes: on CHECK CONDITION the device drops all commands it has; default no */
    uint8_t no_q_err;     /* q_err=no: what the QERR bit of its control mode page says of that is not asked */
    uint16_t reserved1;   /* 0 */
    uint32_t reserved[7]; /* 0 */
};

/*
 * The driver's configuration entry point; it puts the other entry points in the device switch
 * when its first minor is configured. d_config of the AIX contract.
 * CFG_INIT: uiop gives a struct scdisk_dds. 0, EEXIST, EINVAL, ENOMEM, EFAULT.
 * CFG_TERM: EBUSY while open; ENXIO not configured. Process.
 * CFG_GONE [ours]: the disk was taken out. From now on open, read, write, ioctl and strategy answer ENXIO,
 * and so does every request that is not finished; those at the adapter are fetched back with SCIOHALT. Closes
 * stay as they are (the last one says ENXIO when something written was not flushed); after the last one
 * CFG_TERM gives the minor back, and until then CFG_INIT says EEXIST.
 * There is no way back. 0, any number of times; ENXIO not configured; ETIMEDOUT when the adapter does not
 * bring a command back: it has gone all the same. uiop is not looked at. Process, beside any I/O, no lock
 * held.
 */
int scdisk_config(devno_t devno, int cmd, struct uio *uiop);

SC_END_DECLS

#include <sys/scknames.h> /* once more: see there */

#endif /* SYS_SCDISK_H */
