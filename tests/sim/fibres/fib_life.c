/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_life.c - callers that open and close a disk, and one that takes it away and brings it back meanwhile.
 */
#include "fib.h"

#include "devdrv/dd_impl.h"

/* What the configure method was given; it is given the same again. */
static struct scdisk_dds dds;
static uint8_t page[FIB_CALLERS_MAX][SC_PAGE_SIZE] __attribute__((aligned(SC_PAGE_SIZE)));

void fib_life_prepare(struct fib_world *w)
{
    for (unsigned i = 0; i < w->w_ndisks; i++)
        if (w->w_disks[i].dk_role == FIB_DISK_LIFE)
            dds = dd_unit_of(w->w_disks[i].dk_devno)->un_dds;
}

static void pause_some(struct fib_caller *c)
{
    if (fib_percent(&c->c_rng, 30))
        shim_delay_ns(1 + fib_below(&c->c_rng, 3000000));
    else
        for (uint32_t n = fib_below(&c->c_rng, 8); n > 0; n--)
            shim_det_mark();
}

static void use(struct fib_caller *c, struct file *fp)
{
    const uint64_t at = (uint64_t)c->c_index * SC_PAGE_SIZE; /* each his own */
    struct devinfo info;
    size_t done = 0;
    int error;

    switch (fib_below(&c->c_rng, 4)) {
    case 0:
        error = fp_ioctl(fp, IOCINFO, (intptr_t)&info, 0);
        break;
    case 1:
        error = scp_raw_read(fp, page[c->c_index], SC_PAGE_SIZE, at, &done);
        break;
    case 2:
        error = scp_raw_write(fp, page[c->c_index], SC_PAGE_SIZE, at, 0, &done);
        break;
    default:
        error = 0;
        break;
    }
    SCHED_CHECK(error == 0 || (fib_trouble() && fib_plausible(error)), "error: %s: errno %d (%s)", c->c_name,
                error, scp_strerror(error));
    c->c_requests++;
}

void fib_opener_run(void *arg)
{
    struct fib_caller *c = arg;
    const devno_t devno = fib_world.w_disks[c->c_disk].dk_devno;

    for (unsigned step = 0; step < c->c_steps; step++) {
        struct file *fp;
        int error;

        fib_doing(c, "open");
        error = fp_opendev(devno, DREAD | DWRITE, NULL, 0, &fp);
        fib_doing(c, NULL);
        /* Nobody has the major, nobody has the disk. */
        SCHED_CHECK(error == 0 || (fib_world.w_configured && (error == EINVAL || error == ENXIO)) ||
                        (fib_trouble() && fib_open_plausible(error)),
                    "error: %s: open: errno %d (%s)", c->c_name, error, scp_strerror(error));
        if (error == 0) {
            for (uint32_t n = fib_below(&c->c_rng, 3); n > 0; n--) {
                fib_doing(c, "use");
                use(c, fp);
            }
            fib_doing(c, "close");
            error = fp_close(fp);
            fib_doing(c, NULL);
            SCHED_CHECK(error == 0 || fib_trouble(), "error: %s: close: errno %d (%s)", c->c_name, error,
                        scp_strerror(error));
        }
        pause_some(c);
    }
}

static int configure(devno_t devno, int cmd)
{
    struct iovec vec = {&dds, sizeof(dds)};
    struct uio uio = {.uio_iov = &vec, .uio_iovcnt = 1, .uio_resid = sizeof(dds), .uio_segflg = UIO_SYSSPACE};

    return scdisk_config(devno, cmd, cmd == CFG_INIT ? &uio : NULL);
}

void fib_configurer_run(void *arg)
{
    struct fib_caller *c = arg;
    const devno_t devno = fib_world.w_disks[c->c_disk].dk_devno;

    for (unsigned step = 0; step < c->c_steps; step++) {
        int error;

        fib_doing(c, "CFG_TERM");
        error = configure(devno, CFG_TERM);
        fib_doing(c, NULL);
        SCHED_CHECK(error == 0 || error == EBUSY, "error: CFG_TERM: errno %d (%s)", error,
                    scp_strerror(error));
        pause_some(c);
        if (error == 0) {
            fib_doing(c, "CFG_INIT");
            do
                error = configure(devno, CFG_INIT);
            while (error == ENOMEM && fib_plausible(error));
            fib_doing(c, NULL);
            SCHED_CHECK(error == 0, "error: CFG_INIT: errno %d (%s)", error, scp_strerror(error));
            pause_some(c);
        }
    }
}
