/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_guest.c - somebody else with the adapter open: a tool that looks at a head's LUN with the adapter's own
 * commands, while the head uses, halts and stops it.
 *
 * His commands never halt the queue, whatever becomes of them, and what is the owner's alone he may not do.
 */
#include "fib.h"

#include <sys/devinfo.h>
#include <sys/scsiproto.h>

#include <string.h>

/* Whatever may come of a command to a LUN that its owner halts, resets and stops meanwhile. */
static bool possible(int error)
{
    return error == 0 || error == EIO || error == ENXIO || error == EINVAL || fib_plausible(error) ||
           (fib_trouble() && error == ENODEV);
}

static void judge(const struct fib_caller *c, const char *what, int error)
{
    SCHED_CHECK(possible(error), "error: %s: %s by a guest: errno %d (%s)", c->c_name, what, error,
                scp_strerror(error));
    shim_det_observe((uint64_t)(unsigned)error);
}

static void inquiry(struct fib_caller *c, struct file *fp, const struct fib_disk *d)
{
    struct sc_inquiry inq = {.scsi_id = d->dk_id, .lun_id = d->dk_lun, .inquiry_len = 36};
    const int error = fp_ioctl(fp, SCIOINQU, (intptr_t)&inq, 0);

    judge(c, "SCIOINQU", error);
    SCHED_CHECK(error != 0 || fib_trouble() || memcmp(inq.inquiry_data + 8, "SCPAIR", 6) == 0,
                "data: %s: SCIOINQU brought somebody else's data", c->c_name);
}

static void ready(struct fib_caller *c, struct file *fp, const struct fib_disk *d)
{
    struct sc_ready r = {.scsi_id = d->dk_id, .lun_id = d->dk_lun};

    judge(c, "SCIOTUR", fp_ioctl(fp, SCIOTUR, (intptr_t)&r, 0));
}

static void start_unit(struct fib_caller *c, struct file *fp, const struct fib_disk *d)
{
    struct sc_startunit su = {.scsi_id = d->dk_id, .lun_id = d->dk_lun, .start_flag = 1, .timeout_value = 30};

    judge(c, "SCIOSTUNIT", fp_ioctl(fp, SCIOSTUNIT, (intptr_t)&su, 0));
}

/* A command that fails as often as not, with its sense. */
static void command(struct fib_caller *c, struct file *fp, const struct fib_disk *d)
{
    static struct sc_passthru pts[FIB_CALLERS_MAX];
    struct sc_passthru *pt = &pts[c->c_index];
    const bool wrong = fib_percent(&c->c_rng, 50);
    int error;

    memset(pt, 0, sizeof(*pt));
    pt->version = SC_VERSION_1;
    pt->scsi_id = d->dk_id;
    pt->lun_id = d->dk_lun;
    pt->timeout_value = 30;
    pt->command_length = 10;
    pt->scsi_cdb[0] = wrong ? SCSI_READ_10 : SCSI_SYNC_CACHE_10;
    if (wrong) { /* beyond the end */
        memset(pt->scsi_cdb + 2, 0x7f, 4);
        pt->scsi_cdb[8] = 1;
        pt->flags = SC_PT_READ;
        pt->data_length = d->dk_block;
    }
    pt->autosense_length = fib_percent(&c->c_rng, 70) ? SC_PASSTHRU_SENSE : 0;
    error = fp_ioctl(fp, SCIOCMD, (intptr_t)pt, 0);
    judge(c, "SCIOCMD", error);
    SCHED_CHECK(!wrong || error != 0, "error: %s: a READ beyond the end went well", c->c_name);
    /* Nothing comes between a CHECK CONDITION and its sense but what halts the queue. */
    SCHED_CHECK(
        !wrong || fib_trouble() || pt->sense_bytes == 0 || (pt->autosense[2] & 0x0f) == SCSI_KEY_ILLEGAL ||
            (pt->autosense[2] & 0x0f) == SCSI_KEY_ATTENTION || (pt->autosense[2] & 0x0f) == SCSI_KEY_NO_SENSE,
        "data: %s: SCIOCMD brought the sense of something else: key %x", c->c_name, pt->autosense[2] & 0x0f);
}

/* What only who has started the LUN may do: nothing of it happens. */
static void forbidden(struct fib_caller *c, struct file *fp, const struct fib_disk *d)
{
    static const unsigned cmds[] = {SCIOSTOP, SCIOHALT, SCIORESET};
    const int error = fp_ioctl(fp, cmds[fib_below(&c->c_rng, 3)], SC_ARG(d->dk_id, d->dk_lun), 0);

    /* A LUN that its owner could not stop when he closed is anybody's. */
    SCHED_CHECK(error == EINVAL || fib_trouble(),
                "contract: %s: a guest stops, halts or resets the LUN: errno %d", c->c_name, error);
}

void fib_guest_act(struct fib_caller *c, struct file *fp, const struct fib_disk *d)
{
    switch (fib_below(&c->c_rng, 6)) {
    case 0:
        inquiry(c, fp, d);
        break;
    case 1:
        ready(c, fp, d);
        break;
    case 2:
        start_unit(c, fp, d);
        break;
    case 3:
        forbidden(c, fp, d);
        break;
    default:
        command(c, fp, d);
        break;
    }
}
