/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sense_fz.c - what a device says went wrong: sense data of any format and length, statuses, results of the
 * bus, at any of the commands that the pair sends, while others are under way.
 *
 * The device stays honest about data: what it says it has moved it has moved. So each request that ends well
 * has the right bytes, and when the device behaves again the disk works again: a plain read is answered, and
 * soon answered well; after a close and an open everything is as at first.
 *
 * Input: what the world is like; how many requests, and each (what, where, how large, how long the device
 * takes); then, command by command, what the device does. Where it ends the device behaves.
 */
#include "fz.h"

#include <string.h>

#include "devdrv/dd_impl.h"

const char fz_name[] = "sense";

#define REQUESTS 10u

static struct {
    struct fz_in in;
    bool on;
    uint32_t block_bytes;
    uint8_t sense[256]; /* what REQUEST SENSE will get */
    unsigned sense_bytes;
    uint8_t how; /* and how it is told */
    bool have;
    unsigned commands;
    unsigned events; /* times it did not do as it was told */
    bool fatal;      /* one of them is not to be tried again */
} dev;

/* So many events, none of them fatal, cost no request: each may be tried again that often, and once more. */
#define EVENTS_FREE 2u

void fz_target_once(void) {}

/* ---------------------------------------------------------------- the device */

/* What the policy says of these bytes: twice the same, and never from beyond them. */
static void sense_judge(const uint8_t *data, unsigned n)
{
    uint8_t *exact = malloc(n ? n : 1);
    struct scsi_sense a, b;

    if (!exact)
        abort();
    memcpy(exact, data, n);
    a = scsi_sense_parse(exact, n);
    b = scsi_sense_parse(data, n);
    FZ_CHECK(memcmp(&a, &b, sizeof(a)) == 0, "bytes behind the sense data matter");
    FZ_CHECK(dd_sense_rule(&a, false) == dd_sense_rule(&b, false), "two rules for one sense");
    FZ_CHECK(!a.valid || a.key < 16, "key %u", a.key);
    free(exact);
}

static bool sense_deferred(void)
{
    struct scsi_sense s = scsi_sense_parse(dev.sense, dev.sense_bytes);

    return s.valid && s.deferred;
}

/* Is this what will be the same tomorrow? In other words than the driver's: by key, with the exceptions. */
static bool sense_fatal(void)
{
    struct scsi_sense s = scsi_sense_parse(dev.sense, dev.sense_bytes);

    if (!s.valid || s.deferred)
        return false;
    switch (s.key) {
    case SCSI_KEY_NOT_READY:
        return s.asc == 0x3a || s.asc == 0x30 || s.asc == 0x31;
    case SCSI_KEY_MEDIUM:
        return s.asc == 0x30 || s.asc == 0x31;
    case SCSI_KEY_ATTENTION:
        return s.asc == 0x28 || (s.asc == 0x2a && s.ascq == 0x03);
    case SCSI_KEY_NO_SENSE:
    case SCSI_KEY_HARDWARE:
    case SCSI_KEY_ABORTED:
    case 9:
    case 10:
    case 12:
    case 15:
        return false;
    case SCSI_KEY_RECOVERED: /* the driver believes that it was carried out, and says what was moved */
        fz_short = true;
        return true;
    default:
        return true;
    }
}

static void dev_sense(bool rw)
{
    static const uint8_t formats[] = {0x70, 0x72, 0x71, 0x73, 0xf0};
    unsigned len = fz_u8(&dev.in);

    dev.how = fz_u8(&dev.in);
    memset(dev.sense, 0, sizeof(dev.sense));
    if (dev.how & 0x80) { /* key, ASC and ASCQ, well formed */
        uint8_t format = formats[len % sizeof(formats)];
        bool desc = (format & 0x7f) >= 0x72;
        uint8_t triple[3];

        (void)fz_bytes(&dev.in, triple, 3);
        dev.sense[0] = format;
        dev.sense[desc ? 1 : 2] = triple[0] & 0x0f;
        dev.sense[desc ? 2 : 12] = triple[1];
        dev.sense[desc ? 3 : 13] = triple[2];
        dev.sense[7] = desc ? 0 : 10;
        if (format == 0xf0)
            (void)fz_bytes(&dev.in, dev.sense + 3, 4);
        dev.sense_bytes = desc ? 8 : 18;
    } else {
        dev.sense_bytes = (unsigned)fz_bytes(&dev.in, dev.sense, len);
    }
    dev.have = true;
    /* A deferred error is about an earlier command. Of a RESERVE it counts like any other. */
    dev.events += !rw || !sense_deferred();
    dev.fatal = sense_fatal() || dev.fatal;
    sense_judge(dev.sense, dev.sense_bytes);
}

/* A status or a result instead of an answer. */
static void dev_status(struct ad_xfer *x, bool moved)
{
    static const uint8_t statuses[] = {SC_BUSY_STATUS,        SC_QUEUE_FULL, SC_RESERVATION_CONFLICT,
                                       SC_COMMAND_TERMINATED, 0x04,          0x30};
    uint8_t what = fz_u8(&dev.in);

    dev.events++;
    if (what & 0x80) {
        x->xfer_result =
            (uint8_t)(AD_RES_SELECT_TIMEOUT + (what & 0x7f) % (AD_RES_ABORTED - AD_RES_SELECT_TIMEOUT));
    } else {
        x->xfer_result = AD_RES_STATUS;
        x->xfer_scsi_status = (uint8_t)(what < 0x40 ? statuses[what % sizeof(statuses)] : what << 1);
    }
    if (!moved)
        x->xfer_resid = x->xfer_bytes;
    dev.fatal = dev.fatal || (what & 0x80 ? x->xfer_result >= AD_RES_HW_FAILURE /* once only */
                                          : x->xfer_scsi_status == SC_RESERVATION_CONFLICT);
}

static void dev_request_sense(struct ad_xfer *x)
{
    unsigned n = dev.sense_bytes < x->xfer_bytes ? dev.sense_bytes : (unsigned)x->xfer_bytes;

    dev.have = false;
    for (unsigned i = 0; i < n; i++)
        *fz_chip_byte(x, i) = dev.sense[i];
    x->xfer_result = AD_RES_GOOD;
    x->xfer_resid = x->xfer_bytes - n;
    switch (dev.how & 7) {
    case 1: /* says that all came */
        x->xfer_resid = 0;
        break;
    case 2: /* says that something came */
        x->xfer_resid = fz_u8(&dev.in) % (x->xfer_bytes + 1);
        break;
    case 3:
        dev_status(x, false);
        break;
    case 4: /* and more of the same: sense about the REQUEST SENSE */
        x->xfer_result = AD_RES_STATUS;
        x->xfer_scsi_status = SC_CHECK_CONDITION;
        x->xfer_resid = x->xfer_bytes;
        dev_sense(false);
        break;
    default:
        break;
    }
}

static bool dev_before(struct ad_xfer *x)
{
    uint8_t what;

    FZ_CHECK(++dev.commands < 20000, "20000 commands for %u requests", REQUESTS);
    x->xfer_scsi_status = 0;
    if (x->xfer_cdb[0] == SCSI_REQUEST_SENSE && dev.have) {
        dev_request_sense(x);
        return true;
    }
    if (!dev.on || fz_left(&dev.in) == 0)
        return false;
    what = fz_u8(&dev.in) & 7;
    FZ_SAY("   command %02x: %u\n", x->xfer_cdb[0], what);
    if (what == 1 || what == 2) {
        if (what == 2) {
            if (sim_hw_ops.start(fz_world.w_bus, x) != AD_HW_DONE || x->xfer_result != AD_RES_GOOD)
                return true; /* the bus has something to say itself */
        } else {
            x->xfer_resid = x->xfer_bytes;
        }
        x->xfer_result = AD_RES_STATUS;
        x->xfer_scsi_status = SC_CHECK_CONDITION;
        dev_sense(x->xfer_cdb[0] == SCSI_READ_6 || x->xfer_cdb[0] == SCSI_READ_10 ||
                  x->xfer_cdb[0] == SCSI_WRITE_6 || x->xfer_cdb[0] == SCSI_WRITE_10);
        return true;
    }
    if (what == 3) {
        dev_status(x, false);
        return true;
    }
    return false;
}

/* Moved less than was asked for, and says so: reads only, or the disk had more than it says. */
static void dev_after(struct ad_xfer *x)
{
    uint32_t short_by;

    if (!dev.on || fz_left(&dev.in) == 0 || x->xfer_result != AD_RES_GOOD ||
        x->xfer_bytes < dev.block_bytes ||
        !(x->xfer_cdb[0] == SCSI_READ_10 || x->xfer_cdb[0] == SCSI_READ_16) || *dev.in.in_at % 8 != 6)
        return;
    fz_short = dev.fatal = true;
    short_by = (fz_u8(&dev.in) >> 3) * (uint32_t)DEV_BSIZE;
    x->xfer_resid = short_by < x->xfer_bytes ? short_by : x->xfer_bytes;
}

static uint64_t dev_hold_ns(const struct ad_xfer *x)
{
    (void)x;
    return dev.on && fz_left(&dev.in) ? (uint64_t)(fz_u8(&dev.in) & 3) * 20000u : 0;
}

static const struct fz_hook dev_hook = {dev_before, dev_after, dev_hold_ns};

/* ---------------------------------------------------------------- the callers */

/* An ioctl beside the requests: what it says has to be sane; what it does is not judged here. */
static void use_ioctl(struct file *fp, uint8_t what, unsigned sector)
{
    static struct sc_passthru pt;
    static struct sc_rdwrt rw;
    struct sc_range range = {(uint64_t)(sector & ~7u) * DEV_BSIZE, 4096};
    int error;

    switch (what % 4) {
    case 0:
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        pt.autosense_length = what & 0x10 ? 0 : 64;
        pt.timeout_value = 5;
        error = fp_ioctl(fp, DK_PASSTHRU, (intptr_t)&pt, 0);
        FZ_CHECK(pt.sense_bytes <= pt.autosense_length, "%u bytes of sense", pt.sense_bytes);
        fz_saw_bytes(pt.autosense, pt.sense_bytes);
        break;
    case 1:
        memset(&rw, 0, sizeof(rw));
        rw.lba = sector / (dev.block_bytes / DEV_BSIZE);
        rw.data_length = 4096;
        rw.req_sense_length = what;
        error = fp_ioctl(fp, DKIORDSE, (intptr_t)&rw, 0);
        FZ_CHECK(rw.sense_bytes <= rw.req_sense_length && rw.resid <= rw.data_length,
                 "DKIORDSE: sense %u, resid %u", rw.sense_bytes, rw.resid);
        break;
    case 2:
        error = fp_ioctl(fp, DKFLUSH, 0, 0);
        break;
    default:
        fz_model_zero_begin(0, sector & ~7u, 8);
        error = fp_ioctl(fp, DKZERO, (intptr_t)&range, 0);
        fz_model_zero_end();
        break;
    }
    FZ_SAY("   ioctl %u: errno %d\n", what % 4, error);
    FZ_CHECK(error >= 0 && error < 512, "ioctl: errno %d", error);
    fz_saw((uint64_t)error);
}

static void use(struct file *fp)
{
    unsigned n = fz_u8(&dev.in) % REQUESTS + 1;
    uint8_t what[REQUESTS], where[REQUESTS], size[REQUESTS];
    struct buf *chain = NULL, **tail = &chain;

    for (unsigned i = 0; i < n; i++) {
        what[i] = fz_u8(&dev.in);
        where[i] = fz_u8(&dev.in);
        size[i] = fz_u8(&dev.in);
    }
    dev.on = true;
    for (unsigned i = 0; i < n; i++) {
        struct fz_req *r;
        unsigned per = dev.block_bytes / DEV_BSIZE;
        size_t blocks = size[i] & 0x80 ? (size[i] & 0x7fu) + 1u : (size[i] & 7u) + 1u;

        if ((what[i] & 7) == 7) {
            use_ioctl(fp, what[i] >> 3, where[i]);
            continue;
        }
        r = fz_req_make(0, what[i] & 1, where[i] & ~(per - 1), blocks * dev.block_bytes, 0);
        if (!r)
            continue;
        r->r_wrong = r->r_first >= FZ_SECTORS;
        r->r_buf.b_options = what[i] & 8 ? SC_OPT_FUA : 0;
        fz_req_sent(r);
        *tail = &r->r_buf;
        tail = &r->r_buf.av_forw;
        if (what[i] & 0x10)
            continue; /* the next one is in the same chain */
        FZ_CHECK(devstrat(chain) == 0, "devstrat");
        chain = NULL;
        tail = &chain;
        if (what[i] & 0x20)
            (void)shim_det_step();
    }
    if (chain)
        FZ_CHECK(devstrat(chain) == 0, "devstrat");
    fz_wait(&fz_out);
    dev.on = false;
    FZ_CHECK(dev.fatal || dev.events > EVENTS_FREE || fz_failed == 0,
             "%u requests failed for %u events that all may be tried again", fz_failed, dev.events);
}

/* The device behaves: is it a disk again? */
static void well(const char *when)
{
    int error = 0;

    /* One that did not answer is left alone for dd_dead_ms (dd_dead.c). */
    shim_det_run(kern_now_ns() + UINT64_C(61000000000));
    for (unsigned i = 0; i < 8; i++) {
        error = fz_plain_read(0, 8 * i, dev.block_bytes);
        if (error == 0)
            break;
    }
    FZ_CHECK(error == 0, "%s: the device behaves, and reads still fail with errno %d", when, error);
}

uint64_t fz_target(const uint8_t *data, size_t bytes)
{
    struct fz_world_config cfg;
    struct file *fp;
    uint8_t more;

    memset(&dev, 0, sizeof(dev));
    dev.in = (struct fz_in){data, data + bytes};
    fz_world_choose(&cfg, fz_u8(&dev.in));
    more = fz_u8(&dev.in);
    cfg.wc_hook = &dev_hook;
    dev.block_bytes = cfg.wc_block_bytes;
    fz_world_up(&cfg);
    dev.on = (more & 1) != 0; /* what it says at open, too */
    if (dev.on &&
        fp_opendev(FZ_DISK(0), DREAD | DWRITE | DKERNEL, NULL, more & 2 ? SC_FORCED_OPEN : 0, &fp) == 0) {
        use(fp);
        fz_world_idle(0);
        (void)fp_close(fp);
    }
    dev.on = false;
    FZ_CHECK(fp_opendev(FZ_DISK(0), DREAD | DWRITE | DKERNEL, NULL, 0, &fp) == 0,
             "open of a device that behaves");
    use(fp);
    fz_world_idle(0);
    well("after the requests");
    fz_saw((uint64_t)fp_ioctl(fp, DKFLUSH, 0, 0));
    FZ_CHECK(fp_ioctl(fp, DKFLUSH, 0, 0) == 0, "the second flush fails too");
    fz_world_idle(0);
    FZ_CHECK(fp_close(fp) == 0, "close");
    FZ_CHECK(fp_opendev(FZ_DISK(0), DREAD | DKERNEL, NULL, 0, &fp) == 0, "the second open");
    for (unsigned s = 0; s < FZ_SECTORS; s += 64)
        FZ_CHECK(fz_plain_read(0, s, 64 * DEV_BSIZE) == 0, "sector %u after the second open", s);
    FZ_CHECK(fp_close(fp) == 0, "the second close");
    fz_world_down();
    return fz_digest;
}
