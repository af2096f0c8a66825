/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chip_stress.c - the adapter core alone on the threaded host, under a chip that does all that a chip may:
 * it takes commands in batches and holds them back until flush(), ends them inside start(), before start()
 * returns, inside flush(), and by lists from two threads; it has no room, has not delivered some, changes
 * its openings, grows, and says that its bus was reset. Meant above all for the sanitizers.
 *
 * The requests send themselves again from iodone, and threads send with a plug in. Another thread halts,
 * resets, stops and starts the LUNs. Each request must come back as often as it was sent, and when all is
 * over nothing may be left anywhere.
 *
 *   chip_stress [--seconds N] [--done N] [--thread 0|1]     per round, default 1; four rounds
 *
 * Does not contain: the device driver (engine_stress.c).
 */
#define _GNU_SOURCE
#include "adapter/ad_impl.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEVNO    SC_MAKEDEV(9, 3)
#define LUNS     4u
#define SENDERS  2u
#define REQUESTS 12u
#define RING     48u

#define MUST(cond, ...)                                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("rerun: chip_stress --seconds 10\nFAIL " __VA_ARGS__);                                    \
            printf("\n");                                                                                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static struct chip {
    struct shim_dev dev;
    struct ad_adapter *ad;
    pthread_mutex_t mutex;
    struct ad_xfer *ring[RING]; /* pending; the last `held` of them have not been sent */
    unsigned n, held, room;
    bool was_busy;
    unsigned frozen[LUNS];
    unsigned bad, ends_inside; /* of 1000 */
    _Atomic unsigned inside, growing;
    _Atomic bool stop;
} chip;

struct req {
    struct sc_buf sb;
    uint32_t memory, state;
    _Atomic uint32_t sent, done;
    _Atomic bool out; /* or about to be */
    bool failed;
};
static struct req reqs[SENDERS][REQUESTS];
static struct file *fp;
static _Atomic bool stop;
static _Atomic uint64_t commands, halts, stops, plugged;

static unsigned roll(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 12;
}

/* ---------------------------------------------------------------- the chip */

static int chip_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                    struct shim_dma_map *map)
{
    (void)dev;
    (void)dir;
    for (uint32_t i = 0; i < n; i++)
        map->map_segs[i] = (struct shim_seg){(uintptr_t)vec[i].iov_base, vec[i].iov_len};
    map->map_nsegs = n;
    return SHIM_MAP_OK;
}

static void chip_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    (void)dev;
    (void)map;
}

static const struct shim_dev_ops chip_dev = {.version = SHIM_DEV_VERSION,
                                             .size = sizeof(struct shim_dev_ops),
                                             .name = "stress",
                                             .dma_map = chip_map,
                                             .dma_unmap = chip_unmap};

static int chip_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    (void)hw;
    chip.ad = ad;
    *caps = (struct ad_hw_caps){.cap_transfer_bytes_max = 1u << 20,
                                .cap_commands_max = chip.room,
                                .cap_tags_max = 16,
                                .cap_segs_max = 64,
                                .cap_adapter_id = 7,
                                .cap_ids = 8,
                                .cap_luns = LUNS};
    return 0;
}

static void chip_detach(void *hw)
{
    (void)hw;
    MUST(chip.n == 0, "detached with %u commands", chip.n);
}

/* How a command ends. Locks: mutex. */
static void chip_fill_locked(struct ad_xfer *x, unsigned dice)
{
    x->xfer_resid = 0;
    x->xfer_scsi_status = SC_GOOD_STATUS;
    x->xfer_result = AD_RES_GOOD;
    if (dice % 1000 < chip.bad) {
        x->xfer_result = dice % 5 == 0 ? AD_RES_BUS_FAULT : dice % 5 == 1 ? AD_RES_UNSENT : AD_RES_STATUS;
        x->xfer_scsi_status = dice % 5 == 2 ? SC_QUEUE_FULL : SC_CHECK_CONDITION;
        x->xfer_resid = x->xfer_bytes;
    } else if (x->xfer_bytes != 0) {
        ++*(uint32_t *)(uintptr_t)x->xfer_map->map_segs[0].seg_addr;
    }
    chip.frozen[x->xfer_lun] += x->xfer_result != AD_RES_GOOD && x->xfer_result != AD_RES_UNSENT;
    atomic_fetch_add_explicit(&commands, 1, memory_order_relaxed);
}

static int chip_start(void *hw, struct ad_xfer *x)
{
    static _Atomic uint32_t seed;
    uint32_t state = atomic_fetch_add(&seed, 77777u);
    unsigned dice = roll(&state);
    int said = AD_HW_PENDING;

    (void)hw;
    atomic_fetch_add(&chip.inside, 1);
    MUST(atomic_load(&chip.growing) == 0, "start() while it grows");
    pthread_mutex_lock(&chip.mutex);
    if (chip.frozen[x->xfer_lun] != 0 && !(x->xfer_flags & AD_XFER_PAST)) {
        said = AD_HW_FROZEN;
    } else if (dice % 1000 < chip.ends_inside) {
        chip_fill_locked(x, roll(&state));
        said = AD_HW_DONE;
        if (roll(&state) % 4 == 0) {
            pthread_mutex_unlock(&chip.mutex);
            ad_hw_done_list(chip.ad, &x, 1);
            atomic_fetch_sub(&chip.inside, 1);
            return AD_HW_PENDING;
        }
    } else if (chip.n == RING || dice % 64 == 2) {
        chip.was_busy = true;
        said = AD_HW_BUSY;
    } else {
        chip.ring[chip.n++] = x;
        chip.held++;
    }
    pthread_mutex_unlock(&chip.mutex);
    atomic_fetch_sub(&chip.inside, 1);
    return said;
}

/* End up to `most` of what has been sent; true: some. */
static bool chip_end(uint32_t *state, unsigned most)
{
    struct ad_xfer *list[RING];
    unsigned n = 0;
    bool kick;

    pthread_mutex_lock(&chip.mutex);
    while (n < most && chip.n > chip.held) {
        const unsigned i = roll(state) % (chip.n - chip.held);

        list[n] = chip.ring[i];
        memmove(&chip.ring[i], &chip.ring[i + 1], (chip.n - i - 1) * sizeof(chip.ring[0]));
        chip.n--;
        chip_fill_locked(list[n++], roll(state));
    }
    kick = chip.was_busy;
    chip.was_busy = false;
    pthread_mutex_unlock(&chip.mutex);
    if (n == 1 && roll(state) % 2)
        ad_hw_done(chip.ad, list[0]);
    else if (n != 0)
        ad_hw_done_list(chip.ad, list, n);
    if (kick)
        ad_hw_kick(chip.ad);
    return n != 0;
}

static void chip_flush(void *hw)
{
    static _Atomic uint32_t seed;
    uint32_t state = atomic_fetch_add(&seed, 55555u);

    (void)hw;
    pthread_mutex_lock(&chip.mutex);
    chip.held = 0;
    pthread_mutex_unlock(&chip.mutex);
    if (roll(&state) % 4 == 0)
        (void)chip_end(&state, 8);
}

/* Hand back this one, if it is there, or all (NULL). */
static void chip_take_back(const struct ad_xfer *wanted, uint8_t result)
{
    struct ad_xfer *list[RING];
    unsigned n = 0;

    pthread_mutex_lock(&chip.mutex);
    for (unsigned i = 0; i < chip.n;) {
        struct ad_xfer *x = chip.ring[i];

        if (wanted != NULL && x != wanted) {
            i++;
            continue;
        }
        chip.held -= i >= chip.n - chip.held;
        memmove(&chip.ring[i], &chip.ring[i + 1], (chip.n - i - 1) * sizeof(chip.ring[0]));
        chip.n--;
        x->xfer_result = result;
        x->xfer_resid = x->xfer_bytes;
        chip.frozen[x->xfer_lun]++;
        list[n++] = x;
    }
    pthread_mutex_unlock(&chip.mutex);
    if (n != 0)
        ad_hw_done_list(chip.ad, list, n);
}

static void chip_abort(void *hw, struct ad_xfer *x)
{
    (void)hw;
    chip_take_back(x, AD_RES_ABORTED);
}

static int chip_reset_target(void *hw, unsigned id)
{
    (void)hw;
    (void)id;
    chip_take_back(NULL, AD_RES_ABORTED);
    return 0;
}

static int chip_reset_bus(void *hw)
{
    (void)hw;
    chip_take_back(NULL, AD_RES_BUS_RESET);
    ad_hw_event(chip.ad, AD_EV_BUS_RESET);
    return 0;
}

static void chip_freeze(void *hw, unsigned id, unsigned lun)
{
    (void)hw;
    (void)id;
    pthread_mutex_lock(&chip.mutex);
    chip.frozen[lun]++;
    pthread_mutex_unlock(&chip.mutex);
}

static void chip_thaw(void *hw, unsigned id, unsigned lun, unsigned n)
{
    (void)hw;
    (void)id;
    pthread_mutex_lock(&chip.mutex);
    MUST(n <= chip.frozen[lun], "%u freezes are undone, and there are %u", n, chip.frozen[lun]);
    chip.frozen[lun] -= n;
    pthread_mutex_unlock(&chip.mutex);
}

/* It never has more room, and takes its time to say so. */
static uint32_t chip_grow(void *hw, uint32_t want)
{
    (void)hw;
    (void)want;
    atomic_fetch_add(&chip.growing, 1);
    MUST(atomic_load(&chip.growing) == 1, "two ask it to grow");
    for (unsigned i = 0; i < 20; i++) {
        MUST(atomic_load(&chip.inside) == 0, "start() while it grows");
        sched_yield();
    }
    atomic_fetch_sub(&chip.growing, 1);
    return chip.room;
}

static const struct ad_hw_ops chip_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "stress",
    .attach = chip_attach,
    .detach = chip_detach,
    .start = chip_start,
    .abort = chip_abort,
    .reset_target = chip_reset_target,
    .reset_bus = chip_reset_bus,
    .freeze = chip_freeze,
    .thaw = chip_thaw,
    .flush = chip_flush,
    .grow = chip_grow,
};

static void *chip_thread(void *arg)
{
    uint32_t state = 100u + (uint32_t)(uintptr_t)arg;

    while (!atomic_load(&chip.stop)) {
        if (!chip_end(&state, 1 + roll(&state) % 16))
            sched_yield();
        if (roll(&state) % 512 == 0)
            ad_hw_openings(chip.ad, 1, roll(&state) % 2 ? AD_HW_ALL : roll(&state) % LUNS, roll(&state) % 20);
        if (roll(&state) % 2048 == 0)
            ad_hw_event(chip.ad, AD_EV_BUS_RESET);
    }
    return NULL;
}

/* ---------------------------------------------------------------- requests */

static void req_done(struct buf *bp);

static void req_send(struct req *r)
{
    const unsigned dice = roll(&r->state);
    const uint32_t state = r->state;

    memset(&r->sb, 0, sizeof(r->sb));
    r->sb.bufstruct.b_flags = B_READ;
    r->sb.bufstruct.b_iodone = req_done;
    r->sb.bufstruct.b_dev = DEVNO;
    r->sb.bufstruct.b_un.b_addr = &r->memory;
    r->sb.bufstruct.b_bcount = sizeof(r->memory);
    r->sb.scsi_command.scsi_length = 6;
    r->sb.scsi_command.scsi_id = 1;
    r->sb.lun = (uint8_t)(state >> 5) % LUNS;
    r->sb.q_tag_msg = dice % 100 == 0 ? SC_NO_Q : dice % 100 == 1 ? SC_ORDERED_Q : SC_SIMPLE_Q;
    r->sb.timeout_value = 20;
    r->sb.flags = r->failed || dice % 16 == 0 ? SC_RESUME : 0;
    atomic_fetch_add(&r->sent, 1);
    MUST(devstrat(&r->sb.bufstruct) == 0, "devstrat");
}

static void req_done(struct buf *bp)
{
    struct req *r = SC_CONTAINER_OF(bp, struct req, sb.bufstruct);
    const bool again = !atomic_load(&stop) && roll(&r->state) % 4 != 0;

    MUST(shim_self()->self_nlocks == 0, "iodone with a lock held");
    MUST(atomic_fetch_add(&r->done, 1) + 1 == atomic_load(&r->sent), "it came back twice");
    r->failed = (bp->b_flags & B_ERROR) != 0;
    if (again && !r->failed)
        req_send(r);
    else
        atomic_store(&r->out, false);
}

/* Send what is back, sometimes several with a plug in, sometimes asleep with it. */
static void *sender(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    uint32_t state = me * 7919u + 1u;
    struct kern_plug plug;
    event_t never = EVENT_NULL;
    bool out;

    while (!atomic_load(&stop)) {
        const bool plugs = roll(&state) % 2 != 0;

        if (plugs)
            kern_plug_begin(&plug);
        for (unsigned i = 0; i < REQUESTS; i++) {
            struct req *r = &reqs[me][i];

            if (atomic_load(&r->out))
                continue;
            atomic_store(&r->out, true);
            req_send(r);
            if (plugs && roll(&state) % 64 == 0)
                (void)e_timedsleep(&never, NULL, 1000);
        }
        if (plugs)
            kern_plug_end(&plug);
        atomic_fetch_add(&plugged, plugs);
        sched_yield();
    }
    do {
        out = false;
        for (unsigned i = 0; i < REQUESTS; i++)
            out |= atomic_load(&reqs[me][i].out);
        sched_yield();
    } while (out);
    return NULL;
}

/* ---------------------------------------------------------------- everything else that may happen */

static void look(void)
{
    struct ad_adapter *adp = ad_find(DEVNO);

    for (unsigned i = 0; i < LUNS; i++) {
        const char *broken = ad_lun_check(ad_lun_find(adp, 1, i));

        MUST(broken == NULL, "LUN %u: %s", i, broken);
    }
}

static void meddle(uint32_t *state)
{
    const unsigned lun = roll(state) % 2; /* the others are meddler()'s: who stops one is alone with that */
    int error;

    switch (roll(state) % 8) {
    case 0:
    case 1:
        (void)fp_ioctl(fp, SCIOHALT, SC_ARG(1, lun), 0);
        atomic_fetch_add(&halts, 1);
        break;
    case 2:
        (void)fp_ioctl(fp, SCIORESET, SC_ARG(1, lun), 0);
        break;
    case 3:
    case 4:
    case 5:
        error = fp_ioctl(fp, SCIOSTOP, SC_ARG(1, lun), 0);
        MUST(error == 0, "SCIOSTOP: %d", error);
        error = fp_ioctl(fp, SCIOSTART, SC_ARG(1, lun), 0);
        MUST(error == 0, "SCIOSTART: %d", error);
        atomic_fetch_add(&stops, 1);
        break;
    default:
        look();
        break;
    }
}

/* Stops and starts two of the LUNs while meddle() does so to the others. */
static void *meddler(void *arg)
{
    const unsigned first = (unsigned)(uintptr_t)arg;
    uint32_t state = first + 4711u;
    event_t never = EVENT_NULL;

    while (!atomic_load(&stop)) {
        const unsigned lun = first + roll(&state) % 2;
        int error = fp_ioctl(fp, SCIOSTOP, SC_ARG(1, lun), 0);

        MUST(error == 0, "SCIOSTOP: %d", error);
        error = fp_ioctl(fp, SCIOSTART, SC_ARG(1, lun), 0);
        MUST(error == 0, "SCIOSTART: %d", error);
        atomic_fetch_add(&stops, 1);
        (void)e_timedsleep(&never, NULL, 3000000);
    }
    return NULL;
}

static void round_of(const char *name, unsigned bad, unsigned inside, unsigned room, unsigned seconds)
{
    struct ad_config cfg = {.cfg_ops = &chip_ops, .cfg_hw = &chip, .cfg_dev = &chip.dev};
    pthread_t send[SENDERS], work[2], more;
    struct timespec tick = {0, 2000000}, now;
    uint32_t state = bad + inside;
    uint64_t again = 0;
    time_t end;

    memset(&chip, 0, sizeof(chip));
    memset(reqs, 0, sizeof(reqs));
    pthread_mutex_init(&chip.mutex, NULL);
    chip.dev.dev_ops = &chip_dev;
    chip.bad = bad;
    chip.ends_inside = inside;
    chip.room = room;
    atomic_store(&stop, false);
    MUST(shim_init(shim_posix_host()) == 0 && kern_init() == 0, "no host");
    MUST(ad_attach(DEVNO, &cfg) == 0, "ad_attach");
    MUST(fp_opendev(DEVNO, DKERNEL, NULL, 0, &fp) == 0, "open");
    for (unsigned i = 0; i < LUNS; i++)
        MUST(fp_ioctl(fp, SCIOSTART, SC_ARG(1, i), 0) == 0, "SCIOSTART");
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned k = 0; k < REQUESTS; k++)
            reqs[i][k].state = 1 + i * 100 + k;
    for (uintptr_t i = 0; i < 2; i++)
        MUST(pthread_create(&work[i], NULL, chip_thread, (void *)i) == 0, "pthread_create");
    for (uintptr_t i = 0; i < SENDERS; i++)
        MUST(pthread_create(&send[i], NULL, sender, (void *)i) == 0, "pthread_create");
    MUST(pthread_create(&more, NULL, meddler, (void *)2) == 0, "pthread_create");
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + (time_t)seconds;
    while (now.tv_sec <= end) {
        meddle(&state);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL); /* how often: no race is hidden by it */
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    atomic_store(&stop, true);
    (void)pthread_join(more, NULL);
    for (unsigned i = 0; i < SENDERS; i++)
        (void)pthread_join(send[i], NULL);
    look();
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned k = 0; k < REQUESTS; k++) {
            MUST(reqs[i][k].done == reqs[i][k].sent, "sent %u, back %u", reqs[i][k].sent, reqs[i][k].done);
            again += reqs[i][k].sent;
        }
    MUST(fp_close(fp) == 0, "close");
    MUST(ad_find(DEVNO)->adp_credits_free == ad_find(DEVNO)->adp_credits, "a credit is lost");
    atomic_store(&chip.stop, true);
    for (unsigned i = 0; i < 2; i++)
        (void)pthread_join(work[i], NULL);
    MUST(ad_detach(DEVNO) == 0, "ad_detach");
    kern_fini();
    MUST(shim_fini() == 0, "a leak");
    shim_posix_stop();
    pthread_mutex_destroy(&chip.mutex);
    printf("%-12s %llu requests, %llu commands, %llu halts, %llu stops, %llu plugs\n", name,
           (unsigned long long)again, (unsigned long long)atomic_exchange(&commands, 0),
           (unsigned long long)atomic_exchange(&halts, 0), (unsigned long long)atomic_exchange(&stops, 0),
           (unsigned long long)atomic_exchange(&plugged, 0));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *done = "3", *thread = "1";
    unsigned seconds = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--done") == 0)
            done = argv[i + 1];
        else if (strcmp(argv[i], "--thread") == 0)
            thread = argv[i + 1];
    }
    MUST(setenv("SCPAIR_AD_DONE_THREADS", done, 1) == 0 && setenv("SCPAIR_AD_THREAD", thread, 1) == 0 &&
             setenv("SCPAIR_AD_OPENINGS", "12", 1) == 0 && setenv("SCPAIR_AD_SETTLE_MS", "1", 1) == 0,
         "setenv");
    shim_checks_set(true);
    round_of("batches", 0, 0, 40, seconds);
    round_of("errors", 20, 100, 40, seconds);
    round_of("lane", 1, 990, 200, seconds);
    round_of("few credits", 5, 500, 5, seconds);
    return 0;
}
