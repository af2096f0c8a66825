/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_race_test.c - many threads on one LUN, completions that race with start(), stops that race
 * with strategy; on the threaded host. Meant to be run under the thread sanitizer as well.
 *
 * The chip here has a mind of its own: it ends commands inside start(), before start() returns, or
 * on one of its threads, well or badly, says it is busy, and brings aborted ones back late.
 */
#define _POSIX_C_SOURCE 200809L
#include "adapter/ad_impl.h"
#include "test_main.h"
#include <pthread.h>
#include <sched.h>

#define DEVNO      SC_MAKEDEV(9, 1)
#define THREADS    4u
#define PER_THREAD 8u
#define RING       64u

static struct chip {
    struct shim_dev dev;
    struct ad_adapter *ad;
    pthread_mutex_t mutex;
    struct ad_xfer *ring[RING]; /* pending commands */
    unsigned n;
    bool was_busy;
    _Atomic bool stop;
    _Atomic unsigned bad_percent;
    _Atomic unsigned long ended, aborted;
    unsigned inline_of_1000; /* commands that end inside start() */
    bool keeps_queue;
} chip;

/* A cheap generator per thread. */
static unsigned roll(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static int race_map(struct shim_dev *dev, const struct iovec *vec, uint32_t n, int dir,
                    struct shim_dma_map *map)
{
    (void)dev;
    (void)dir;
    for (uint32_t i = 0; i < n; i++)
        map->map_segs[i] = (struct shim_seg){(uintptr_t)vec[i].iov_base, vec[i].iov_len};
    map->map_nsegs = n;
    return SHIM_MAP_OK;
}

static void race_unmap(struct shim_dev *dev, struct shim_dma_map *map)
{
    (void)dev;
    (void)map;
}

static const struct shim_dev_ops race_dev = {.version = SHIM_DEV_VERSION,
                                             .size = sizeof(struct shim_dev_ops),
                                             .name = "race",
                                             .dma_map = race_map,
                                             .dma_unmap = race_unmap};

static int race_attach(void *hw, struct ad_adapter *ad, struct ad_hw_caps *caps)
{
    (void)hw;
    chip.ad = ad;
    *caps = (struct ad_hw_caps){.cap_transfer_bytes_max = 1u << 20,
                                .cap_commands_max = RING,
                                .cap_tags_max = 16,
                                .cap_segs_max = 64,
                                .cap_adapter_id = 7,
                                .cap_ids = 8,
                                .cap_luns = 4,
                                .cap_keeps_queue = chip.keeps_queue};
    return 0;
}

static void race_detach(void *hw) { (void)hw; }

/* How a command ends; the data phase is one counter in the request's memory. */
static void race_fill(struct ad_xfer *xfer, unsigned dice)
{
    unsigned bad = atomic_load(&chip.bad_percent);

    xfer->xfer_resid = 0;
    xfer->xfer_result = AD_RES_GOOD;
    if (dice % 100 < bad) {
        xfer->xfer_result = dice % 3 ? AD_RES_STATUS : AD_RES_BUS_FAULT;
        xfer->xfer_scsi_status = SC_CHECK_CONDITION;
        xfer->xfer_resid = xfer->xfer_bytes;
    } else if (xfer->xfer_bytes != 0) {
        ++*(uint32_t *)(uintptr_t)xfer->xfer_map->map_segs[0].seg_addr;
    }
    atomic_fetch_add(&chip.ended, 1);
}

static int race_start(void *hw, struct ad_xfer *xfer)
{
    static _Atomic uint32_t seed;
    uint32_t state = atomic_fetch_add(&seed, 77777u);
    unsigned dice = roll(&state);
    bool room;

    (void)hw;
    if (dice % 1000 < chip.inline_of_1000) {
        race_fill(xfer, roll(&state));
        return AD_HW_DONE;
    }
    if (dice % 4 == 1) {
        race_fill(xfer, dice / 4);
        ad_hw_done(chip.ad, xfer);
        return AD_HW_PENDING;
    }
    pthread_mutex_lock(&chip.mutex);
    room = chip.n < RING && dice % 64 != 2;
    if (room)
        chip.ring[chip.n++] = xfer;
    else
        chip.was_busy = true;
    pthread_mutex_unlock(&chip.mutex);
    return room ? AD_HW_PENDING : AD_HW_BUSY;
}

/* Take this command, or any when NULL; NULL when there is none. */
static struct ad_xfer *race_take(const struct ad_xfer *wanted, bool *kick)
{
    struct ad_xfer *xfer = NULL;

    pthread_mutex_lock(&chip.mutex);
    for (unsigned i = 0; i < chip.n && xfer == NULL; i++)
        if (wanted == NULL || chip.ring[i] == wanted) {
            xfer = chip.ring[i];
            chip.ring[i] = chip.ring[--chip.n];
        }
    if (kick) {
        *kick = chip.was_busy;
        chip.was_busy = false;
    }
    pthread_mutex_unlock(&chip.mutex);
    return xfer;
}

static void race_abort(void *hw, struct ad_xfer *xfer)
{
    (void)hw;
    if (race_take(xfer, NULL) == NULL)
        return;
    xfer->xfer_result = AD_RES_ABORTED;
    xfer->xfer_resid = xfer->xfer_bytes;
    atomic_fetch_add(&chip.aborted, 1);
    ad_hw_done(chip.ad, xfer);
}

static int race_reset(void *hw, unsigned id)
{
    struct ad_xfer *xfer;

    (void)hw;
    (void)id;
    while ((xfer = race_take(NULL, NULL)) != NULL) {
        xfer->xfer_result = AD_RES_ABORTED;
        xfer->xfer_resid = xfer->xfer_bytes;
        ad_hw_done(chip.ad, xfer);
    }
    return 0;
}

static int race_reset_bus(void *hw)
{
    (void)race_reset(hw, 0);
    ad_hw_event(chip.ad, AD_EV_BUS_RESET);
    return 0;
}

static const struct ad_hw_ops race_ops = {
    .version = AD_HW_VERSION,
    .size = sizeof(struct ad_hw_ops),
    .name = "race",
    .attach = race_attach,
    .detach = race_detach,
    .start = race_start,
    .abort = race_abort,
    .reset_target = race_reset,
    .reset_bus = race_reset_bus,
};

/* One of the chip's threads. */
static void *race_worker(void *arg)
{
    uint32_t state = (uint32_t)(uintptr_t)arg;

    while (!atomic_load(&chip.stop)) {
        bool kick;
        struct ad_xfer *xfer = race_take(NULL, &kick);

        if (xfer != NULL) {
            race_fill(xfer, roll(&state));
            ad_hw_done(chip.ad, xfer);
        } else {
            sched_yield();
        }
        if (kick)
            ad_hw_kick(chip.ad);
    }
    return NULL;
}

/* ---------------------------------------------------------------- submitters */

static unsigned race_inline = 250; /* chip.inline_of_1000 of the next run */

struct user {
    struct sc_buf sb;
    uint32_t memory;                 /* counted up by the chip once per good command */
    _Atomic uint32_t done;           /* iodone calls, to be compared with submissions */
    uint32_t sent, good, answers[4]; /* good, EIO, ENXIO, EINVAL */
    bool failed;                     /* the last one did */
};
static struct user users[THREADS][PER_THREAD];
static struct file *fp;
static _Atomic unsigned long total;

static void user_done(struct buf *bp)
{
    struct user *u = SC_CONTAINER_OF(bp, struct user, sb.bufstruct);

    if (shim_self()->self_nlocks != 0)
        shim_panic("iodone with a lock held");
    atomic_fetch_add(&u->done, 1);
}

static void user_send(struct user *u, unsigned dice, uint8_t lun)
{
    memset(&u->sb, 0, sizeof(u->sb));
    u->sb.bufstruct.b_flags = B_READ;
    u->sb.bufstruct.b_iodone = user_done;
    u->sb.bufstruct.b_dev = DEVNO;
    u->sb.bufstruct.b_un.b_addr = &u->memory;
    u->sb.bufstruct.b_bcount = sizeof(u->memory);
    u->sb.scsi_command.scsi_length = 6;
    u->sb.scsi_command.scsi_id = 1;
    u->sb.lun = lun;
    u->sb.q_tag_msg = dice % 200 == 0 ? SC_NO_Q : dice % 200 == 1 ? SC_ORDERED_Q : SC_SIMPLE_Q;
    u->sb.timeout_value = 20;
    if (u->failed || (race_inline < 500 && dice % 3 == 0))
        u->sb.flags = SC_RESUME;
    if (chip.keeps_queue && dice % 16 == 3)
        u->sb.flags = SC_Q_RESUME | SC_RESUME;
    if (chip.keeps_queue && dice % 64 == 5)
        u->sb.flags = SC_Q_CLR;
    u->sent++;
    if (devstrat(&u->sb.bufstruct) != 0)
        shim_panic("devstrat");
}

/* Count an answer; the request is this thread's again. */
static void user_look(struct user *u)
{
    const struct sc_buf *sb = &u->sb;

    u->failed = (sb->bufstruct.b_flags & B_ERROR) != 0;
    if (!(sb->bufstruct.b_flags & B_ERROR)) {
        u->answers[0]++;
        u->good += sb->scsi_command.scsi_length != 0 && sb->bufstruct.b_resid == 0;
    } else if (sb->bufstruct.b_error == EIO) {
        u->answers[1]++;
    } else if (sb->bufstruct.b_error == ENXIO) {
        u->answers[2]++;
    } else if (sb->bufstruct.b_error == EINVAL) {
        u->answers[3]++;
    } else {
        shim_panic("b_error %d", sb->bufstruct.b_error);
    }
}

static unsigned user_luns = 1;
static unsigned user_rounds;

static void *user_thread(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    uint32_t state = me * 7919u + 1u;

    for (unsigned round = 0; round < user_rounds; round++) {
        for (unsigned i = 0; i < PER_THREAD; i++) {
            struct user *u = &users[me][i];

            if (atomic_load(&u->done) != u->sent)
                continue;
            if (u->sent != 0)
                user_look(u);
            user_send(u, roll(&state), (uint8_t)(me % user_luns));
            atomic_fetch_add(&total, 1);
        }
        if (round % 16 == 0)
            sched_yield();
    }
    for (unsigned i = 0; i < PER_THREAD; i++)
        while (atomic_load(&users[me][i].done) != users[me][i].sent)
            sched_yield();
    return NULL;
}

static void race_up(bool keeps, unsigned bad, unsigned credits, unsigned luns)
{
    struct ad_config cfg = {
        .cfg_ops = &race_ops, .cfg_hw = &chip, .cfg_dev = &chip.dev, .cfg_commands_max = credits};

    shim_test_begin_posix();
    memset(&chip, 0, sizeof(chip));
    memset(users, 0, sizeof(users));
    pthread_mutex_init(&chip.mutex, NULL);
    chip.dev.dev_ops = &race_dev;
    chip.keeps_queue = keeps;
    chip.inline_of_1000 = race_inline;
    atomic_store(&chip.bad_percent, bad);
    atomic_store(&total, 0);
    user_luns = luns;
    ck_assert_int_eq(ad_attach(DEVNO, &cfg), 0);
    ck_assert_int_eq(fp_opendev(DEVNO, DKERNEL, NULL, 0, &fp), 0);
    for (unsigned i = 0; i < luns; i++)
        ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(1, i), 0), 0);
}

static void race_down(pthread_t *workers, unsigned n)
{
    atomic_store(&chip.stop, true);
    for (unsigned i = 0; i < n; i++)
        pthread_join(workers[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < PER_THREAD; k++) {
            struct user *u = &users[i][k];

            ck_assert_uint_eq(u->done, u->sent); /* each exactly once */
            if (u->sent != 0)
                user_look(u);
            ck_assert_uint_eq(u->answers[0] + u->answers[1] + u->answers[2] + u->answers[3], u->sent);
            ck_assert_uint_eq(u->memory, u->good); /* what was reported good was done, once */
        }
    ck_assert_int_eq(fp_close(fp), 0);
    ck_assert_uint_eq(ad_find(DEVNO)->adp_credits_free, ad_find(DEVNO)->adp_credits);
    ck_assert_int_eq(ad_detach(DEVNO), 0);
    shim_test_end();
    shim_posix_stop();
    pthread_mutex_destroy(&chip.mutex);
}

/* A queue kept for ever would keep its requests: somebody must always resume or clear. */
static void *resumer(void *arg)
{
    struct user u = {0};

    (void)arg;
    while (!atomic_load(&chip.stop)) {
        for (unsigned lun = 0; lun < user_luns; lun++) {
            memset(&u.sb, 0, sizeof(u.sb));
            u.sb.bufstruct.b_iodone = user_done;
            u.sb.bufstruct.b_dev = DEVNO;
            u.sb.scsi_command.scsi_id = 1;
            u.sb.lun = (uint8_t)lun;
            u.sb.flags = SC_Q_RESUME | SC_RESUME;
            u.sent++;
            if (devstrat(&u.sb.bufstruct) != 0)
                shim_panic("devstrat");
            while (atomic_load(&u.done) != u.sent)
                sched_yield();
        }
        sched_yield();
    }
    return NULL;
}

static void race_run(bool keeps, unsigned bad, unsigned credits, unsigned luns, unsigned rounds)
{
    pthread_t submit[THREADS], work[3];

    race_up(keeps, bad, credits, luns);
    user_rounds = rounds;
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&work[i], NULL, race_worker, (void *)(uintptr_t)(i + 100));
    pthread_create(&work[2], NULL, resumer, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&submit[i], NULL, user_thread, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(submit[i], NULL);
    for (unsigned i = 0; i < luns; i++) {
        const char *broken = ad_lun_check(ad_lun_find(ad_find(DEVNO), 1, i));

        ck_assert_msg(broken == NULL, "%s", broken ? broken : "");
    }
    ck_assert_uint_gt((unsigned long)total, (unsigned long)THREADS * PER_THREAD); /* it went round */
    race_down(work, 3);
}

START_TEST(test_XEN_03_four_threads_one_lun_all_good) { race_run(false, 0, 0, 1, 20000); }
END_TEST
START_TEST(test_XEN_03_four_threads_one_lun_errors_cleared) { race_run(false, 5, 0, 1, 20000); }
END_TEST
START_TEST(test_XEN_03_four_threads_one_lun_errors_kept) { race_run(true, 5, 0, 1, 20000); }
END_TEST
/* The lane is open most of the time and is closed and opened under its users' feet. */
START_TEST(test_XEN_03_lane_closes_and_opens_under_load)
{
    race_inline = 995;
    race_run(false, 0, 0, 1, 60000);
    race_run(false, 1, 0, 1, 60000);
    race_run(true, 1, 0, 2, 60000);
}
END_TEST
START_TEST(test_NB_05_three_luns_share_two_credits) { race_run(false, 1, 2, 3, 20000); }
END_TEST

/* ---------------------------------------------------------------- stop against strategy */

START_TEST(test_AIX_25_stop_and_start_while_four_threads_submit)
{
    pthread_t submit[THREADS], work[2];
    unsigned stops = 0;

    race_up(false, 2, 0, 1);
    user_rounds = 20000;
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&work[i], NULL, race_worker, (void *)(uintptr_t)(i + 100));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&submit[i], NULL, user_thread, (void *)(uintptr_t)i);
    while (stops < 200) {
        ck_assert_int_eq(fp_ioctl(fp, SCIOSTOP, SC_ARG(1, 0), 0), 0);
        sched_yield();
        ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(1, 0), 0), 0);
        stops++;
        for (unsigned i = 0; i < 20; i++)
            sched_yield();
        if (stops % 10 == 0)
            ck_assert_int_eq(fp_ioctl(fp, SCIOHALT, SC_ARG(1, 0), 0), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(submit[i], NULL);
    race_down(work, 2);
}
END_TEST

static _Atomic unsigned events_after_stop;
static _Atomic bool stopped;
static void race_event(struct sc_event_info *info)
{
    (void)info;
    for (unsigned i = 0; i < 5; i++)
        sched_yield();
    if (atomic_load(&stopped))
        atomic_fetch_add(&events_after_stop, 1);
}

static void *event_storm(void *arg)
{
    (void)arg;
    while (!atomic_load(&chip.stop))
        ad_hw_event(chip.ad, AD_EV_BUS_RESET);
    return NULL;
}

START_TEST(test_AIX_27_no_event_after_stop_returns)
{
    struct sc_event_struct ev = {.id = 1, .mode = SC_IM_MODE, .async_func = race_event};
    pthread_t storm;

    race_up(false, 0, 0, 1);
    pthread_create(&storm, NULL, event_storm, NULL);
    for (unsigned i = 0; i < 300; i++) {
        ck_assert_int_eq(fp_ioctl(fp, SCIOEVENT, (intptr_t)&ev, 0), 0);
        sched_yield();
        ck_assert_int_eq(fp_ioctl(fp, SCIOSTOP, SC_ARG(1, 0), 0), 0);
        atomic_store(&stopped, true);
        sched_yield();
        atomic_store(&stopped, false);
        ck_assert_int_eq(fp_ioctl(fp, SCIOSTART, SC_ARG(1, 0), 0), 0);
    }
    ck_assert_uint_eq(atomic_load(&events_after_stop), 0);
    race_down(&storm, 1);
}
END_TEST

/* ---------------------------------------------------------------- ioctls beside I/O */

static void *ioctl_thread(void *arg)
{
    struct sc_ready ready = {.scsi_id = 1};

    (void)arg;
    for (unsigned i = 0; i < 500; i++) {
        int error = fp_ioctl(fp, SCIOTUR, (intptr_t)&ready, 0);

        if (error != 0 && error != EIO && error != ENOCONNECT)
            shim_panic("SCIOTUR: %d", error);
    }
    return NULL;
}

START_TEST(test_AIX_25_ioctl_commands_beside_io)
{
    pthread_t submit[THREADS], work[2], tool;

    race_up(false, 2, 0, 1);
    user_rounds = 10000;
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&work[i], NULL, race_worker, (void *)(uintptr_t)(i + 100));
    pthread_create(&tool, NULL, ioctl_thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&submit[i], NULL, user_thread, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(submit[i], NULL);
    pthread_join(tool, NULL);
    race_down(work, 2);
}
END_TEST

static Suite *ad_race_suite(void)
{
    Suite *s = suite_create("ad_race");
    TCase *io = tcase_create("io");
    TCase *life = tcase_create("life");

    tcase_set_timeout(io, 240);
    tcase_set_timeout(life, 240);
    tcase_add_test(io, test_XEN_03_four_threads_one_lun_all_good);
    tcase_add_test(io, test_XEN_03_four_threads_one_lun_errors_cleared);
    tcase_add_test(io, test_XEN_03_four_threads_one_lun_errors_kept);
    tcase_add_test(io, test_XEN_03_lane_closes_and_opens_under_load);
    tcase_add_test(io, test_NB_05_three_luns_share_two_credits);
    tcase_add_test(life, test_AIX_25_stop_and_start_while_four_threads_submit);
    tcase_add_test(life, test_AIX_27_no_event_after_stop_returns);
    tcase_add_test(life, test_AIX_25_ioctl_commands_beside_io);
    suite_add_tcase(s, io);
    suite_add_tcase(s, life);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_race_suite(), argc, argv); }
