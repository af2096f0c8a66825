/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix_park_test.c - events between real threads: nothing is lost, all sleepers wake, timeouts
 * race with signals, and the event may be freed at once. Meant to be run under TSan as well.
 */
#include "panic_host.h"

#include <pthread.h>

#define ROUNDS 20000u

/* ---------------------------------------------------------------- one to one */

static struct shim_event ping, pong;
static unsigned ball; /* plain: ordered by the events or TSan objects */

static void *ponger(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        ck_assert(shim_wait(&ping, NULL, UINT64_MAX));
        ck_assert_uint_eq(ball, 2 * i + 1);
        ball++;
        shim_wake(&pong);
    }
    return NULL;
}

START_TEST(test_event_ping_pong_loses_nothing)
{
    pthread_t t;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(pthread_create(&t, NULL, ponger, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        ball++;
        shim_wake(&ping);
        ck_assert(shim_wait(&pong, NULL, UINT64_MAX));
        ck_assert_uint_eq(ball, 2 * i + 2);
    }
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ck_assert_uint_eq(atomic_load(&ping.ev_word), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_event_wake_before_wait_is_remembered_once)
{
    struct shim_event ev = {0};

    panic_begin(shim_posix_host());
    shim_wake(&ev);
    shim_wake(&ev);
    ck_assert(shim_wait(&ev, NULL, 0));
    ck_assert(!shim_wait(&ev, NULL, 0));
    ck_assert(!shim_wait(&ev, NULL, shim_now_ns() + 2000000));
    ck_assert_uint_eq(atomic_load(&ev.ev_word), 0);
    shim_test_end();
}
END_TEST

START_TEST(test_event_timeout_is_not_early)
{
    struct shim_event ev = {0};
    uint64_t until;

    panic_begin(shim_posix_host());
    until = shim_now_ns() + 5000000;
    ck_assert(!shim_wait(&ev, NULL, until));
    ck_assert_uint_ge(shim_now_ns(), until);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- one to many */

#define SLEEPERS 6u

static struct shim_lock gate_lock;
static struct shim_event gate_event;
static unsigned gate_asleep, gate_round, gate_woken;

static void *sleeper(void *arg)
{
    unsigned seen = 0;

    (void)arg;
    shim_lock_enter(&gate_lock);
    for (unsigned r = 1; r <= 200; r++) {
        gate_asleep++;
        while (gate_round == seen)
            ck_assert(shim_wait(&gate_event, &gate_lock, UINT64_MAX));
        seen = gate_round;
        gate_woken++;
    }
    shim_lock_exit(&gate_lock);
    return NULL;
}

START_TEST(test_event_wake_wakes_all_who_sleep)
{
    pthread_t t[SLEEPERS];

    panic_begin(shim_posix_host());
    ck_assert_int_eq(shim_lock_init(&gate_lock, SHIM_RANK_EVENT, "gate"), 0);
    for (unsigned i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, sleeper, NULL), 0);
    for (unsigned r = 1; r <= 200; r++) {
        bool all = false;

        while (!all) {
            shim_lock_enter(&gate_lock);
            all = gate_asleep == SLEEPERS;
            if (all) {
                gate_asleep = 0;
                gate_round++;
            }
            shim_lock_exit(&gate_lock);
        }
        shim_wake(&gate_event); /* once, for all of them */
        for (all = false; !all;) {
            shim_lock_enter(&gate_lock);
            all = gate_woken == r * SLEEPERS;
            shim_lock_exit(&gate_lock);
        }
    }
    for (unsigned i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    shim_lock_fini(&gate_lock);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- timeouts against signals */

static struct shim_event race_event;
static _Atomic unsigned race_got;
static _Atomic bool race_over;

static void *race_waiter(void *arg)
{
    (void)arg;
    while (!atomic_load(&race_over))
        if (shim_wait(&race_event, NULL, shim_now_ns() + 20000))
            atomic_fetch_add(&race_got, 1);
    return NULL;
}

/* Each signal is sent only when the one before has been taken, so every single one must arrive. */
START_TEST(test_event_timeout_racing_with_wake_loses_nothing)
{
    pthread_t t;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(pthread_create(&t, NULL, race_waiter, NULL), 0);
    for (unsigned i = 1; i <= 5000; i++) {
        shim_delay_ns(15000 + (uint64_t)(i % 64) * 200); /* sweep over the deadline */
        shim_wake(&race_event);
        while (atomic_load(&race_got) < i)
            shim_delay_ns(200);
        ck_assert_uint_eq(atomic_load(&race_got), i);
    }
    atomic_store(&race_over, true);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- who else sleeps there */

/* Long enough for any machine; only a waiter that nobody wakes is there so long. */
#define LOST_NS UINT64_C(20000000000)

static struct shim_event crowd_event;
static unsigned crowd_hung_up; /* under gate_lock: as many hang in the bucket when it is free */
struct crowd {
    pthread_t cr_thread;
    uint64_t cr_wait_ns;
    bool cr_woken;
};

static void *crowd_sleeper(void *arg)
{
    struct crowd *cr = arg;

    shim_lock_enter(&gate_lock);
    crowd_hung_up++;
    cr->cr_woken = shim_wait(&crowd_event, &gate_lock, shim_now_ns() + cr->cr_wait_ns);
    shim_lock_exit(&gate_lock);
    return NULL;
}

/* Start one, and come back when it hangs in the bucket. */
static void crowd_start(struct crowd *cr, uint64_t wait_ns)
{
    unsigned before = crowd_hung_up;
    bool there = false;

    cr->cr_wait_ns = wait_ns;
    ck_assert_int_eq(pthread_create(&cr->cr_thread, NULL, crowd_sleeper, cr), 0);
    while (!there) {
        shim_lock_enter(&gate_lock);
        there = crowd_hung_up == before + 1;
        shim_lock_exit(&gate_lock);
    }
}

static void crowd_begin(void)
{
    panic_begin(shim_posix_host());
    crowd_hung_up = 0;
    atomic_store(&crowd_event.ev_word, 0);
    ck_assert_int_eq(shim_lock_init(&gate_lock, SHIM_RANK_EVENT, "gate"), 0);
}

static void crowd_end(void)
{
    shim_lock_fini(&gate_lock);
    shim_test_end();
}

/* Who hangs in the bucket in this order: L until woken, s and later t until their time is up; behind the
 * stroke those who come when all of these have gone. */
static const char *const crowds[] = {"L",   "sL",  "Ls",   "LsL",   "sLL",    "LLs",   "Ls/L",
                                     "s/L", "Lst", "LstL", "Lts/L", "LstL/L", "sLtL/L"};

/* Sleepers before, behind and between those whose time is up stay known. */
START_TEST(test_event_timeout_leaves_the_others_asleep)
{
    const char *const who = crowds[_i];
    const size_t n = strlen(who), first = strcspn(who, "/");
    struct crowd cr[8];

    crowd_begin();
    for (size_t i = 0; i < first; i++)
        crowd_start(&cr[i], who[i] == 'L' ? LOST_NS : who[i] == 's' ? 40000000 : 80000000);
    for (size_t i = 0; i < first; i++) {
        if (who[i] == 'L')
            continue;
        ck_assert_int_eq(pthread_join(cr[i].cr_thread, NULL), 0);
        ck_assert(!cr[i].cr_woken);
    }
    for (size_t i = first + 1; i < n; i++)
        crowd_start(&cr[i], LOST_NS);
    shim_wake(&crowd_event);
    for (size_t i = 0; i < n; i++) {
        if (who[i] != 'L')
            continue;
        ck_assert_int_eq(pthread_join(cr[i].cr_thread, NULL), 0);
        ck_assert_msg(cr[i].cr_woken, "sleeper %zu of %s was not woken", i, who);
    }
    crowd_end();
}
END_TEST

/* One of those who were woken takes the signal; the others leave the next one for who comes next. */
START_TEST(test_event_signal_is_taken_once)
{
    for (unsigned round = 0; round < 50; round++) {
        struct crowd cr[3];
        uint64_t most;

        crowd_begin();
        for (unsigned i = 0; i < 3; i++)
            crowd_start(&cr[i], LOST_NS);
        shim_wake(&crowd_event);
        most = shim_now_ns() + LOST_NS;
        while (atomic_load(&crowd_event.ev_word) != 0)
            ck_assert_uint_lt(shim_now_ns(), most);
        shim_wake(&crowd_event);
        for (unsigned i = 0; i < 3; i++) {
            ck_assert_int_eq(pthread_join(cr[i].cr_thread, NULL), 0);
            ck_assert(cr[i].cr_woken);
        }
        ck_assert_uint_eq(atomic_load(&crowd_event.ev_word), 1);
        crowd_end();
    }
}
END_TEST

static struct shim_event late_event;
static _Atomic bool late_waker_there;

/* True when the wait ended in a signal, and not before the waker had arrived. */
static void *late_sleeper(void *arg)
{
    /* Once more when its time was up before the waker had begun. */
    while (!shim_wait(&late_event, NULL, shim_now_ns() + 5000000))
        continue;
    return atomic_load(&late_waker_there) ? arg : NULL;
}

/*
 * A waker between its word and its mutex: the sleeper's time is up meanwhile, and it has to stay until that
 * waker is through with the event.
 */
START_TEST(test_event_timeout_waits_for_a_waker_on_its_way)
{
    pthread_t t;
    uint32_t asleep = 2;
    void *good;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(pthread_create(&t, NULL, late_sleeper, &late_event), 0);
    /* The first half of shim_wake(), when somebody sleeps. */
    while (!atomic_compare_exchange_strong(&late_event.ev_word, &asleep, 1))
        asleep = 2;
    shim_delay_ns(50000000);
    atomic_store(&late_waker_there, true);
    shim_posix_host()->wake(&late_event);
    ck_assert_int_eq(pthread_join(t, &good), 0);
    ck_assert_ptr_nonnull(good);
    ck_assert_uint_eq(atomic_load(&late_event.ev_word), 0);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- lifetime */

static struct shim_event *_Atomic mortal;
static _Atomic bool mortal_over;

static void *mortal_waker(void *arg)
{
    (void)arg;
    while (!atomic_load(&mortal_over)) {
        struct shim_event *ev = atomic_exchange(&mortal, NULL);

        if (ev)
            shim_wake(ev);
    }
    return NULL;
}

/* As iowait does: the object goes as soon as the wait is over. Bites under ASan. */
START_TEST(test_event_may_be_freed_when_woken)
{
    pthread_t t;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(pthread_create(&t, NULL, mortal_waker, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct shim_event *ev = calloc(1, sizeof(*ev));

        atomic_store(&mortal, ev);
        ck_assert(shim_wait(ev, NULL, UINT64_MAX));
        free(ev);
    }
    atomic_store(&mortal_over, true);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    shim_test_end();
}
END_TEST

/* ---------------------------------------------------------------- kernel names, threads */

static event_t word;
static Simple_lock word_lock;
static bool word_ready;

static void e_waker(void *arg)
{
    (void)arg;
    ck_assert(kern_at_process_level());
    simple_lock(&word_lock);
    word_ready = true;
    simple_unlock(&word_lock);
    e_wakeup(&word);
}

START_TEST(test_e_sleep_with_shim_thread)
{
    struct shim_thread th;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(lock_alloc(&word_lock, LOCK_ALLOC_PIN, LOCK_CLASS_DD, "word"), 0);
    ck_assert_int_eq(e_timedsleep(&word, NULL, 1000000), THREAD_TIMED_OUT);
    ck_assert_int_eq(shim_thread_start(&th, e_waker, NULL, "e-waker"), 0);
    simple_lock(&word_lock);
    while (!word_ready)
        ck_assert_int_eq(e_sleep_thread(&word, &word_lock, EVENT_SHORT), THREAD_AWAKENED);
    ck_assert(lock_mine(&word_lock));
    simple_unlock(&word_lock);
    shim_thread_join(&th);
    e_wakeup(&word);
    ck_assert_int_eq(e_timedsleep(&word, NULL, UINT64_MAX), THREAD_AWAKENED);
    lock_free(&word_lock);
    shim_test_end();
}
END_TEST

START_TEST(test_XEN_07_wait_gives_its_lock_back_before_it_sleeps)
{
    struct shim_thread th;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(lock_alloc(&word_lock, LOCK_ALLOC_PIN, LOCK_CLASS_DD, "word"), 0);
    word_ready = false;
    atomic_store(&word, EVENT_NULL);
    simple_lock(&word_lock);
    /* The other thread needs the lock to go on: without the release this would never end. */
    ck_assert_int_eq(shim_thread_start(&th, e_waker, NULL, "e-waker"), 0);
    ck_assert_int_eq(e_sleep_thread(&word, &word_lock, EVENT_SHORT), THREAD_AWAKENED);
    ck_assert(word_ready);
    simple_unlock(&word_lock);
    shim_thread_join(&th);
    lock_free(&word_lock);
    shim_test_end();
}
END_TEST

static Suite *park_suite(void)
{
    Suite *s = suite_create("posix_park");
    TCase *tc = tcase_create("events");

    tcase_add_test(tc, test_event_ping_pong_loses_nothing);
    tcase_add_test(tc, test_event_wake_before_wait_is_remembered_once);
    tcase_add_test(tc, test_event_timeout_is_not_early);
    tcase_add_test(tc, test_event_wake_wakes_all_who_sleep);
    tcase_add_test(tc, test_event_timeout_racing_with_wake_loses_nothing);
    tcase_add_loop_test(tc, test_event_timeout_leaves_the_others_asleep, 0, (int)SC_ARRAY_SIZE(crowds));
    tcase_add_test(tc, test_event_signal_is_taken_once);
    tcase_add_test(tc, test_event_timeout_waits_for_a_waker_on_its_way);
    tcase_add_test(tc, test_event_may_be_freed_when_woken);
    tcase_add_test(tc, test_e_sleep_with_shim_thread);
    tcase_add_test(tc, test_XEN_07_wait_gives_its_lock_back_before_it_sleeps);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv) { return test_run(park_suite(), argc, argv); }
