/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_trace_test.c - the trace: what a hook records, what is lost and counted, starting, stopping
 * and reading at the wrong moment, and several threads at once.
 */
#include "panic_host.h"

#include <pthread.h>
#include <sys/trchkid.h>

#define HOOK TRC_HOOK(0x010, 7)

static unsigned asked;
static uint64_t word(uint64_t value)
{
    asked++;
    return value;
}

START_TEST(test_off_it_costs_not_even_its_words)
{
    struct trc_rec rec;
    struct trc_status st;

    panic_begin(shim_det_host(1));
    asked = 0;
    TRCHKL5T(HOOK, word(1), word(2), word(3), word(4), word(5));
    ck_assert_uint_eq(asked, 0);
    ck_assert_uint_eq(trc_read(0, &rec, 1), 0);
    trc_query(&st);
    ck_assert_uint_eq(st.ts_on + st.ts_records + st.ts_seq + st.ts_lost, 0);
    trc_stop(); /* of what never ran */
    shim_test_end();
}
END_TEST

START_TEST(test_it_does_not_outlive_the_kernel)
{
    struct trc_rec rec;
    struct trc_status st;

    for (unsigned round = 0; round < 2; round++) {
        panic_begin(shim_det_host(1));
        trc_query(&st);
        ck_assert_uint_eq(st.ts_on + st.ts_records + st.ts_seq + st.ts_lost, 0);
        ck_assert_uint_eq(trc_read(0, &rec, 1), 0);
        ck_assert_int_eq(trc_start(TRC_RECORDS_MIN), 0);
        TRCHKL0(HOOK);
        shim_test_end();
    }
}
END_TEST

START_TEST(test_a_record_has_all_that_was_said)
{
    struct trc_rec rec[8];
    uint64_t began;

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN), 0);
    began = kern_now_ns();
    asked = 0;
    TRCHKL5T(HOOK, word(1), word(2), word(3), word(4), word(1ull << 63));
    TRCHKL0(HOOK);
    TRCHKL2(HOOK, 8, 9);
    ck_assert_uint_eq(asked, 5);
    ck_assert_uint_eq(trc_read(0, rec, 8), 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(rec[i].tr_seq, i + 1);
        ck_assert_uint_eq(rec[i].tr_hook, 0x010e0007);
        ck_assert_uint_eq(rec[i].tr_thread, thread_self());
        ck_assert_uint_ge(rec[i].tr_ns, began);
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(rec[0].tr_data[i], i + 1);
    ck_assert_uint_eq(rec[0].tr_data[4], 1ull << 63);
    ck_assert_uint_eq(rec[1].tr_data[0], 0);
    ck_assert_uint_eq(rec[2].tr_data[0] * 10 + rec[2].tr_data[1], 89);
    ck_assert_uint_eq(rec[2].tr_data[2], 0);
    ck_assert_uint_eq(trc_read(1, rec, 1), 1); /* from the middle */
    ck_assert_uint_eq(rec[0].tr_seq, 2);
    ck_assert_uint_eq(trc_read(3, rec, 8), 0);
    ck_assert_uint_eq(trc_read(99, rec, 8), 0); /* a number there never was */
    shim_test_end();
}
END_TEST

START_TEST(test_the_oldest_go_and_are_counted)
{
    struct trc_rec rec[TRC_RECORDS_MIN * 2];
    struct trc_status st;

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN), 0);
    for (unsigned i = 1; i <= TRC_RECORDS_MIN; i++)
        TRCHKL1T(HOOK, i);
    trc_query(&st);
    ck_assert_uint_eq(st.ts_lost, 0); /* full, and nothing is lost */
    ck_assert_uint_eq(trc_read(0, rec, TRC_RECORDS_MIN * 2), TRC_RECORDS_MIN);
    for (unsigned i = 1; i <= 5; i++)
        TRCHKL1T(HOOK, TRC_RECORDS_MIN + i);
    trc_query(&st);
    ck_assert_uint_eq(st.ts_on, 1);
    ck_assert_uint_eq(st.ts_records, TRC_RECORDS_MIN);
    ck_assert_uint_eq(st.ts_seq, TRC_RECORDS_MIN + 5);
    ck_assert_uint_eq(st.ts_lost, 5);
    ck_assert_uint_eq(trc_read(0, rec, TRC_RECORDS_MIN * 2), TRC_RECORDS_MIN);
    for (unsigned i = 0; i < TRC_RECORDS_MIN; i++) {
        ck_assert_uint_eq(rec[i].tr_seq, 6 + i);
        ck_assert_uint_eq(rec[i].tr_data[0], 6 + i);
    }
    ck_assert_uint_eq(trc_read(7, rec, 3), 3); /* those are still there */
    ck_assert_uint_eq(rec[0].tr_seq, 8);
    shim_test_end();
}
END_TEST

START_TEST(test_start_and_stop)
{
    struct trc_rec rec[4];
    struct trc_status st;

    panic_begin(shim_det_host(1));
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN - 1), EINVAL);
    ck_assert_int_eq(trc_start(TRC_RECORDS_MAX + 1), EINVAL);
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN), 0);
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN), EBUSY);
    TRCHKL1T(HOOK, 1);
    trc_stop();
    TRCHKL1T(HOOK, 2);
    sck_trchook(HOOK, 3, 0, 0, 0, 0); /* looked before the stop */
    ck_assert_uint_eq(trc_read(0, rec, 4), 1);
    trc_query(&st);
    ck_assert_uint_eq(st.ts_on, 0);
    ck_assert_uint_eq(st.ts_seq, 1);
    /* No memory: the last trace is still to be read. */
    shim_fail_set(SHIM_FAIL_ALLOC, 1, false);
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN), ENOMEM);
    ck_assert_uint_eq(trc_read(0, rec, 4), 1);
    ck_assert_int_eq(trc_start(TRC_RECORDS_MIN * 2), 0); /* that forgets it */
    ck_assert_uint_eq(trc_read(0, rec, 4), 0);
    TRCHKL1T(HOOK, 4);
    ck_assert_uint_eq(trc_read(0, rec, 4), 1);
    ck_assert_uint_eq(rec[0].tr_seq, 1);
    shim_test_end(); /* kern_fini() ends it and gives the ring back: the account is even */
}
END_TEST

#define WRITERS 4u
#define EACH    2000u

static void *write_records(void *arg)
{
    for (uint64_t i = 0; i < EACH; i++)
        TRCHKL3T(HOOK, (uintptr_t)arg, i, (uintptr_t)arg + i);
    return NULL;
}

/* Numbers without a gap, times that do not fall, no half record, each thread's in its order. */
START_TEST(test_threads_do_not_mix_their_records)
{
    static struct trc_rec rec[WRITERS * EACH];
    pthread_t thread[WRITERS];
    uint64_t next[WRITERS] = {0};
    unsigned n;

    panic_begin(shim_posix_host());
    ck_assert_int_eq(trc_start(WRITERS * EACH), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, write_records, (void *)i), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    n = trc_read(0, rec, WRITERS * EACH);
    ck_assert_uint_eq(n, WRITERS * EACH);
    for (unsigned i = 0; i < n; i++) {
        uint64_t who = rec[i].tr_data[0];

        ck_assert_uint_eq(rec[i].tr_seq, i + 1);
        ck_assert_uint_lt(who, WRITERS);
        ck_assert_uint_eq(rec[i].tr_data[1], next[who]++);
        ck_assert_uint_eq(rec[i].tr_data[2], who + rec[i].tr_data[1]);
        if (i > 0)
            ck_assert_uint_ge(rec[i].tr_ns, rec[i - 1].tr_ns);
    }
    shim_test_end();
}
END_TEST

static Suite *trace_suite(void)
{
    Suite *s = suite_create("kern_trace");
    TCase *t = tcase_create("trace");

    tcase_add_test(t, test_off_it_costs_not_even_its_words);
    tcase_add_test(t, test_a_record_has_all_that_was_said);
    tcase_add_test(t, test_it_does_not_outlive_the_kernel);
    tcase_add_test(t, test_the_oldest_go_and_are_counted);
    tcase_add_test(t, test_start_and_stop);
    tcase_add_test(t, test_threads_do_not_mix_their_records);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv) { return test_run(trace_suite(), argc, argv); }
