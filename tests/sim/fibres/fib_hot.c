/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fib_hot.c - an adapter that comes and goes: attached, opened, used by two threads, closed and detached the
 * moment everything has come back.
 *
 * Its memory is given back then, so whoever is still inside one of its LUNs is seen (kind last-iodone). While
 * somebody has it open nobody takes it away, and somebody who tries to open it while it goes is either let in
 * or told that there is none.
 */
#include "fib.h"

#include "adapter/ad_impl.h"

#include <sys/scsiproto.h>

#include <string.h>

#define HOT_DEVNO     SC_MAKEDEV(9, 20) /* alone under its major: the driver enters and leaves the switch */
#define HOT_ID        1u
#define HOT_THREADS   2u
#define HOT_REQS      4u
#define HOT_BYTES     4096u
#define HOT_BLOCKS    256u
#define HOT_TIMEOUT_S 30u

struct hot_req {
    struct sc_buf rq_sb; /* first */
    struct hot_thread *rq_thread;
    unsigned rq_again; /* iodone sends it so often */
    bool rq_busy;
    uint64_t rq_since, rq_naps;
};

struct hot_thread {
    struct hot *th_hot;
    struct shim_thread th_thread;
    struct shim_event th_go;
    unsigned th_round; /* it is in, or has finished */
    struct fib_inside th_inside;
    struct hot_req th_reqs[HOT_REQS];
};

static struct hot {
    struct fib_caller *o_caller;
    struct sim_bus *o_bus;
    struct file *o_fp;
    bool o_tagged, o_guest;
    bool o_over;
    unsigned o_ends; /* how often it was given back */
    bool o_open, o_started;
    unsigned o_round;
    uint64_t o_sent;     /* to this adapter, by strategy and ioctl */
    unsigned o_sending;  /* threads inside strategy */
    unsigned o_expected; /* iodone calls that are still to come in this round */
    bool o_failed;
    struct hot_thread o_threads[HOT_THREADS];
} hot;

/* ---------------------------------------------------------------- requests */

static void req_send(struct hot_req *rq)
{
    struct hot_thread *th = rq->rq_thread;

    rq->rq_busy = true;
    rq->rq_since = shim_now_ns();
    rq->rq_naps = fib_naps();
    hot.o_caller->c_requests++;
    hot.o_sending++;
    hot.o_sent++;
    fib_leave(hot.o_caller);
    fib_inside(&th->th_inside, true);
    SCHED_CHECK(devstrat(&rq->rq_sb.bufstruct) == 0, "contract: devstrat refused a request");
    fib_inside(&th->th_inside, false);
    fib_enter(hot.o_caller);
    hot.o_sending--;
}

static void hot_done(struct buf *bp);

static void req_make(struct hot_req *rq, uint8_t tag)
{
    static const uint8_t read_10[10] = {SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, HOT_BYTES / FIB_SECTOR, 0};
    const unsigned index =
        (unsigned)(rq - rq->rq_thread->th_reqs) + (unsigned)(rq->rq_thread - hot.o_threads) * HOT_REQS;
    struct sc_buf *sb = &rq->rq_sb;

    memset(sb, 0, sizeof(*sb));
    sb->bufstruct.b_flags = B_READ;
    sb->bufstruct.b_iodone = hot_done;
    sb->bufstruct.b_dev = HOT_DEVNO;
    sb->bufstruct.b_un.b_addr = fib_cell(hot.o_caller, index);
    sb->bufstruct.b_bcount = HOT_BYTES;
    sb->scsi_command.scsi_id = HOT_ID;
    sb->scsi_command.scsi_length = sizeof(read_10);
    memcpy(&sb->scsi_command.scsi_cmd, read_10, sizeof(read_10));
    sb->q_tag_msg = tag;
    sb->timeout_value = HOT_TIMEOUT_S;
}

static void hot_done(struct buf *bp)
{
    struct hot_req *rq = SC_CONTAINER_OF(bp, struct hot_req, rq_sb.bufstruct);
    const int error = bp->b_flags & B_ERROR ? bp->b_error : 0;
    struct fib_caller *c = hot.o_caller;

    fib_enter(c);
    SCHED_CHECK(rq->rq_busy, "twice: a request of %s came back twice", c->c_name);
    SCHED_CHECK(hot.o_open, "late-iodone: a request of %s came back after close had returned", c->c_name);
    SCHED_CHECK(error == 0 || (fib_trouble() && (error == EIO || error == ENXIO)),
                "error: %s: a request came back with errno %d (%s)", c->c_name, error, scp_strerror(error));
    shim_det_observe((uint64_t)(unsigned)error << 32 ^ bp->b_resid);
    rq->rq_busy = false;
    hot.o_failed |= error != 0;
    if (rq->rq_again > 0) {
        rq->rq_again--;
        req_make(rq, rq->rq_sb.q_tag_msg);
        req_send(rq);
    }
    /* Last: when the owner sees 0, everything is his. */
    hot.o_expected--;
    fib_leave(c);
    shim_wake(&c->c_event);
}

/* ---------------------------------------------------------------- the threads that send */

/* Somebody who has nothing to do with it looks whether it is there. */
static void guest(struct fib_caller *c)
{
    struct sc_adapter_stats st;
    struct file *fp;
    int error = fp_opendev(HOT_DEVNO, DREAD, NULL, 0, &fp);

    SCHED_CHECK(error == 0 || error == ENXIO || error == EINVAL || (fib_trouble() && error == ENOMEM),
                "error: %s: open by a guest: errno %d (%s)", c->c_name, error, scp_strerror(error));
    if (error != 0)
        return;
    error = fp_ioctl(fp, SCIOSTAT, (intptr_t)&st, 0);
    SCHED_CHECK(error == 0, "error: %s: SCIOSTAT by a guest: errno %d", c->c_name, error);
    error = fp_close(fp);
    SCHED_CHECK(error == 0, "error: %s: close by a guest: errno %d", c->c_name, error);
}

static void thread_run(void *arg)
{
    struct hot_thread *th = arg;
    struct fib_caller *c = hot.o_caller;

    for (;;) {
        const struct ad_lun *lun;

        while (th->th_round == hot.o_round && !hot.o_over)
            (void)shim_wait(&th->th_go, NULL, UINT64_MAX);
        if (hot.o_over)
            return;
        fib_enter(c);
        lun = ad_lun_find(ad_find(HOT_DEVNO), HOT_ID, 0);
        th->th_round = hot.o_round;
        th->th_inside = (struct fib_inside){&lun->lun_lock, &hot.o_ends, hot.o_ends};
        for (unsigned i = 0; i < HOT_REQS; i++)
            req_send(&th->th_reqs[i]);
        fib_leave(c);
        shim_wake(&c->c_event);
        if (hot.o_guest && th != hot.o_threads)
            guest(c);
    }
}

/* ---------------------------------------------------------------- a round */

/* False: no memory. */
static bool attach(struct fib_caller *c)
{
    const bool few = fib_percent(&c->c_rng, 30), clears = fib_percent(&c->c_rng, 50);
    const struct sim_bus_config bus = {
        .sb_adapter_id = 7, .sb_commands_max = few ? 2 : 0, .sb_clears_queue = clears};
    struct sim_disk_config disk = {.sd_id = HOT_ID,
                                   .sd_block_bytes = FIB_SECTOR,
                                   .sd_blocks = HOT_BLOCKS,
                                   .sd_latency_ns = fib_percent(&c->c_rng, 30) ? 1000 : 0};
    struct ad_config cfg = {.cfg_ops = &sim_hw_ops};
    int error;

    if (sim_bus_create(&bus, &hot.o_bus) != 0) {
        SCHED_CHECK(fib_plausible(ENOMEM), "the test itself: no bus");
        return false;
    }
    SCHED_CHECK(sim_medium_null(&disk.sd_ops, &disk.sd_medium) == 0, "the test itself: no medium");
    cfg.cfg_hw = hot.o_bus;
    cfg.cfg_dev = sim_bus_dev(hot.o_bus);
    fib_doing(c, "attaching");
    error = sim_disk_add(hot.o_bus, &disk);
    if (error == 0)
        error = ad_attach(HOT_DEVNO, &cfg);
    fib_doing(c, NULL);
    SCHED_CHECK(error == 0 || (error == ENOMEM && fib_plausible(error)),
                "error: %s: ad_attach: errno %d (%s)", c->c_name, error, scp_strerror(error));
    if (error != 0) {
        sim_bus_destroy(hot.o_bus);
        return false;
    }
    /* Alone on its bus: who waits for room and has no timer stays so until something else happens. */
    if (!(fib_world.w_faults & FIB_FAULT_TIMER))
        fib_chip_between(HOT_DEVNO, fib_random(&c->c_rng));
    return true;
}

static int hot_ioctl(struct fib_caller *c, unsigned cmd, const char *name)
{
    int error;

    fib_doing(c, name);
    error = fp_ioctl(hot.o_fp, cmd, SC_ARG(HOT_ID, 0), 0);
    fib_doing(c, NULL);
    SCHED_CHECK(error == 0 || (fib_trouble() && error == ETIMEDOUT) ||
                    (cmd == SCIOSTART && error == EIO && fib_plausible(ENOMEM)),
                "error: %s: %s: errno %d (%s)", c->c_name, name, error, scp_strerror(error));
    return error;
}

/* False: no memory for it, or for its LUN. */
static bool open_it(struct fib_caller *c)
{
    struct sc_ready ready = {.scsi_id = HOT_ID};
    int error = fp_opendev(HOT_DEVNO, DREAD | DWRITE | DKERNEL, NULL, 0, &hot.o_fp);

    hot.o_open = error == 0;
    hot.o_sent = 0;
    SCHED_CHECK(error == 0 || (error == ENOMEM && fib_plausible(error)),
                "error: %s: open of the adapter: errno %d", c->c_name, error);
    hot.o_started = error == 0 && hot_ioctl(c, SCIOSTART, "SCIOSTART") == 0;
    if (!hot.o_started)
        return false;
    /* The first one meets the unit attention after power on. */
    error = EIO;
    for (unsigned tries = 0; tries < 3 && error != 0; tries++, hot.o_sent++)
        error = fp_ioctl(hot.o_fp, SCIOTUR, (intptr_t)&ready, 0);
    SCHED_CHECK(error == 0 || fib_trouble(), "error: %s: SCIOTUR: errno %d", c->c_name, error);
    /* Once more from the beginning: before its first untagged command a LUN's lane is open. */
    if (fib_percent(&c->c_rng, 70)) {
        (void)hot_ioctl(c, SCIOSTOP, "SCIOSTOP");
        hot.o_sent = 0;
        hot.o_started = hot_ioctl(c, SCIOSTART, "SCIOSTART") == 0;
    }
    return hot.o_started;
}

static void let_go(struct fib_caller *c)
{
    hot.o_round++;
    hot.o_failed = false;
    for (unsigned t = 0; t < HOT_THREADS; t++) {
        struct hot_thread *th = &hot.o_threads[t];

        for (unsigned i = 0; i < HOT_REQS; i++) {
            th->th_reqs[i].rq_again = fib_percent(&c->c_rng, c->c_resubmit) ? 1 : 0;
            hot.o_expected += 1u + th->th_reqs[i].rq_again;
            req_make(&th->th_reqs[i], !hot.o_tagged || fib_percent(&c->c_rng, 30) ? SC_NO_Q : SC_SIMPLE_Q);
        }
    }
    for (unsigned t = 0; t < HOT_THREADS; t++)
        shim_wake(&hot.o_threads[t].th_go);
}

/* What the adapter driver has counted, when everything has come back. */
static void count(struct fib_caller *c)
{
    struct sc_lun_stats st = {.id = HOT_ID};
    const int error = fp_ioctl(hot.o_fp, SCIOLUNSTAT, (intptr_t)&st, 0);

    SCHED_CHECK(error == 0, "error: %s: SCIOLUNSTAT: errno %d", c->c_name, error);
    SCHED_CHECK(st.accepted + st.refused == hot.o_sent && st.completed == st.accepted,
                "counters: %s: %llu requests sent, %llu accepted, %llu refused, %llu completed", c->c_name,
                (unsigned long long)hot.o_sent, (unsigned long long)st.accepted,
                (unsigned long long)st.refused, (unsigned long long)st.completed);
}

/* Everything has come back: the adapter may go, whoever is still on his way out of strategy. */
static void take_away(struct fib_caller *c)
{
    int error;

    if (hot.o_open) {
        if (hot.o_started && fib_percent(&c->c_rng, 70))
            (void)hot_ioctl(c, SCIOSTOP, "SCIOSTOP");
        SCHED_CHECK(ad_detach(HOT_DEVNO) == EBUSY, "contract: an adapter was taken away while it was open");
        fib_doing(c, "adapter close");
        error = fp_close(hot.o_fp);
        fib_doing(c, NULL);
        SCHED_CHECK(error == 0, "error: %s: close: errno %d (%s)", c->c_name, error, scp_strerror(error));
    }
    hot.o_open = false;
    hot.o_ends++;
    fib_chip_away(HOT_DEVNO);
    /* A guest goes away again, and so does whoever has a LUN of it on his list. */
    fib_doing(c, "detaching");
    for (uint64_t ns = 1000; (error = ad_detach(HOT_DEVNO)) == EBUSY; ns *= 2)
        shim_delay_ns(ns);
    fib_doing(c, NULL);
    SCHED_CHECK(error == 0, "error: %s: ad_detach: errno %d (%s)", c->c_name, error, scp_strerror(error));
    sim_bus_destroy(hot.o_bus);
}

static void round_run(struct fib_caller *c)
{
    if (!attach(c))
        return;
    if (!open_it(c)) {
        take_away(c);
        return;
    }
    let_go(c);
    fib_doing(c, "everything coming back");
    while (hot.o_expected > 0) {
        if (hot.o_failed) {
            /* Whatever the queue waits for, it comes back now; nothing new is taken in. */
            (void)fp_ioctl(hot.o_fp, SCIOHALT, SC_ARG(HOT_ID, 0), 0);
            hot.o_failed = false;
            continue;
        }
        fib_sleep(c);
    }
    fib_doing(c, NULL);
    fib_enter(c); /* it may not have slept */
    while (!fib_looked_for("last-iodone") && hot.o_sending > 0)
        fib_sleep(c);
    if (!fib_trouble())
        count(c);
    take_away(c);
}

void fib_hot_run(void *arg)
{
    struct fib_caller *c = arg;

    memset(&hot, 0, sizeof(hot));
    hot.o_caller = c;
    hot.o_tagged = fib_percent(&c->c_rng, 60);
    hot.o_guest = fib_percent(&c->c_rng, 40);
    for (unsigned t = 0; t < HOT_THREADS; t++) {
        hot.o_threads[t].th_hot = &hot;
        for (unsigned i = 0; i < HOT_REQS; i++)
            hot.o_threads[t].th_reqs[i].rq_thread = &hot.o_threads[t];
        SCHED_CHECK(shim_thread_start(&hot.o_threads[t].th_thread, thread_run, &hot.o_threads[t],
                                      t ? "hot second" : "hot first") == 0,
                    "the test itself: no fibre");
    }
    for (unsigned step = 0; step < c->c_steps; step += 2)
        round_run(c);
    hot.o_over = true;
    for (unsigned t = 0; t < HOT_THREADS; t++) {
        shim_wake(&hot.o_threads[t].th_go);
        shim_thread_join(&hot.o_threads[t].th_thread);
    }
}

void fib_hot_limits(const struct fib_caller *c)
{
    for (unsigned t = 0; t < HOT_THREADS; t++) {
        for (unsigned i = 0; i < HOT_REQS; i++) {
            const struct hot_req *rq = &hot.o_threads[t].th_reqs[i];

            if (rq->rq_busy)
                fib_late_request(c, &rq->rq_sb, rq->rq_since, rq->rq_naps);
        }
    }
}
