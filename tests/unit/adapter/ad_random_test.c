/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_random_test.c - random lives of two LUNs that share few credits, checked after every step, and
 * the k-th map, timer and allocation failing.
 *
 * Every run is a seed; a failing one is printed with its seed. SCPAIR_AD_SEED runs one seed alone,
 * SCPAIR_AD_SEEDS sets how many.
 */
#include "ad_fake.h"

#define LUNS  2u
#define REQS  96u
#define STEPS 400u

static struct req r[REQS];
static bool out[REQS]; /* submitted and not back */
static unsigned ends[REQS];
static struct ad_lun *luns[LUNS];
static unsigned long long seed_now;

static unsigned pick(unsigned n) { return (unsigned)(shim_det_random() % n); }

static void note(struct req *q)
{
    unsigned i = (unsigned)(q - r);

    ck_assert_msg(out[i], "seed %llu: request %u came back twice", seed_now, i);
    out[i] = false;
    ends[i]++;
    ck_assert_uint_eq(shim_self()->self_nlocks, 0);
    /* One or none of the two statuses, and only with EIO (AIX-19). */
    if (!(q->sb.bufstruct.b_flags & B_ERROR)) {
        ck_assert_uint_eq(q->sb.status_validity, 0);
        return;
    }
    ck_assert_uint_eq(q->sb.status_validity != 0, q->sb.bufstruct.b_error == EIO);
    ck_assert(q->sb.status_validity != (SC_SCSI_ERROR | SC_ADAPTER_ERROR));
}

/* What the state at submission promises about the answer. */
static void send_random(void)
{
    static const uint8_t tags[] = {SC_SIMPLE_Q, SC_SIMPLE_Q,  SC_SIMPLE_Q,
                                   SC_NO_Q,     SC_ORDERED_Q, SC_HEAD_OF_Q};
    static const uint8_t flags[] = {0,
                                    0,
                                    0,
                                    0,
                                    0,
                                    SC_RESUME,
                                    SC_RESUME,
                                    SC_Q_RESUME,
                                    SC_Q_RESUME | SC_RESUME,
                                    SC_Q_CLR,
                                    SC_DELAY_CMD,
                                    SC_DELAY_CMD | SC_RESUME};
    unsigned i = pick(REQS);
    unsigned before = fake.starts;
    uint8_t state;

    if (out[i])
        return;
    req_init(&r[i]);
    r[i].then = note;
    r[i].sb.lun = (uint8_t)pick(LUNS);
    r[i].sb.q_tag_msg = tags[pick(SC_ARRAY_SIZE(tags))];
    r[i].sb.flags = flags[pick(SC_ARRAY_SIZE(flags))];
    r[i].sb.timeout_value = pick(3) ? pick(20) : 0;
    if ((r[i].sb.flags & (SC_Q_CLR | SC_Q_RESUME)) && pick(2)) {
        r[i].sb.scsi_command.scsi_length = 0;
        r[i].sb.bufstruct.b_bcount = 0;
    }
    if (pick(8) == 0)
        r[i].sb.bufstruct.b_bcount = 0;
    out[i] = true;
    state = luns[r[i].sb.lun]->lun_state;
    req_send(&r[i]);
    if (state == AD_LUN_HALT && !(r[i].sb.flags & SC_RESUME)) {
        ck_assert_uint_eq(r[i].done, 1); /* AIX-21 */
        ck_assert_uint_eq(fake.starts, before);
    }
}

static void end_random(void)
{
    static const uint8_t results[] = {AD_RES_GOOD,       AD_RES_GOOD,          AD_RES_GOOD,
                                      AD_RES_GOOD,       AD_RES_STATUS,        AD_RES_BUS_FAULT,
                                      AD_RES_HW_FAILURE, AD_RES_SELECT_TIMEOUT};
    static const uint8_t states[] = {SC_CHECK_CONDITION, SC_CHECK_CONDITION, SC_BUSY_STATUS, SC_QUEUE_FULL};

    if (fake.nkept == 0)
        return;
    fake.script_n = fake.script_at = 0;
    fake_script(results[pick(SC_ARRAY_SIZE(results))], states[pick(SC_ARRAY_SIZE(states))], pick(600));
    fake_end(pick(fake.nkept));
}

static void step(void)
{
    fake.script_n = fake.script_at = 0;
    switch (pick(16)) {
    case 0:
        fake.abort_mode = (enum fake_abort)pick(4);
        break;
    case 1:
        fake.busy = pick(4);
        break;
    case 2:
        fake.map_later = pick(4);
        break;
    case 3:
        fake.mode = (enum fake_mode)pick(3);
        break;
    case 4:
        shim_det_run(shim_now_ns() + (pick(4) ? AD_NS_PER_MS * 3 : AD_NS_PER_S * pick(12)));
        break;
    case 5:
        ad_hw_kick(fake.ad);
        break;
    case 6:
        shim_fail_set(SHIM_FAIL_TIMER, pick(3), false);
        break;
    case 7:
        fake.map_never = pick(12) == 0;
        break;
    case 8:
        if (pick(8) == 0)
            (void)fp_ioctl(fake_fp, SCIOHALT, SC_ARG(FAKE_ID, pick(LUNS)), 0);
        break;
    case 9:
        if (pick(8) == 0)
            (void)fake_ops.reset_bus(&fake);
        break;
    case 10:
    case 11:
    case 12:
        end_random();
        break;
    default:
        send_random();
        break;
    }
    for (unsigned i = 0; i < LUNS; i++) {
        const char *broken = ad_lun_check(luns[i]);

        ck_assert_msg(broken == NULL, "seed %llu: %s", seed_now, broken ? broken : "");
    }
}

/* One life. Afterwards the world is put right and everything must come back. */
static void one_seed(unsigned long long seed)
{
    struct ad_config more = {0};

    seed_now = seed;
    shim_test_begin_det(seed);
    fake_prepare();
    fake.caps.cap_keeps_queue = pick(2);
    fake.caps.cap_tags_max = pick(4) ? 16 : 0;
    more.cfg_commands_max = pick(2) ? 1 + pick(6) : 0;
    shim_det_tunable_set("ad_openings", 1 + (int64_t)pick(8));
    fake_attach(&more);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTART, SC_ARG(FAKE_ID, 1), 0), 0);
    for (unsigned i = 0; i < LUNS; i++)
        luns[i] = ad_lun_find(ad_find(FAKE_DEVNO), FAKE_ID, i);
    memset(out, 0, sizeof(out));
    for (unsigned i = 0; i < STEPS; i++)
        step();
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    fake.busy = fake.map_later = 0;
    fake.map_never = false;
    fake.mode = FAKE_INLINE;
    fake.abort_mode = FAKE_ABORT_NOW;
    fake.script_n = 0;
    fake_end_all();
    for (unsigned i = 0; i < LUNS; i++)
        ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, i), 0), 0);
    for (unsigned i = 0; i < REQS; i++)
        ck_assert_msg(!out[i], "seed %llu: request %u never came back", seed, i);
    ck_assert_uint_eq(ad_find(FAKE_DEVNO)->adp_credits_free, ad_find(FAKE_DEVNO)->adp_credits);
    ck_assert_ptr_null(ad_find(FAKE_DEVNO)->adp_wait_head);
    fake_down();
}

START_TEST(test_AIX_01_random_lives_keep_every_invariant)
{
    const char *one = getenv("SCPAIR_AD_SEED");
    const char *many = getenv("SCPAIR_AD_SEEDS");
    unsigned long n = many ? strtoul(many, NULL, 10) : 300;

    if (one) {
        one_seed(strtoull(one, NULL, 10));
        return;
    }
    for (unsigned long seed = 1; seed <= n; seed++)
        one_seed(seed);
}
END_TEST

/* ---------------------------------------------------------------- the k-th failure */

/* Twenty requests in a mixture of ways. Returns how many came back. */
static unsigned traffic(void)
{
    unsigned back = 0;

    for (unsigned i = 0; i < 20; i++) {
        req_init(&r[i]);
        fake.mode = i % 3 ? FAKE_INLINE : FAKE_PEND;
        req_send(&r[i]);
    }
    for (unsigned rounds = 0; rounds < 200; rounds++) {
        shim_det_run(shim_now_ns() + AD_RETRY_NS);
        fake_end_all();
    }
    for (unsigned i = 0; i < 20; i++)
        back += r[i].done;
    return back;
}

static void sweep(enum shim_fail what, bool for_good)
{
    for (uint64_t k = 1;; k++) {
        uint64_t calls;

        fake_up(true, FAKE_INLINE);
        shim_fail_set(what, k, for_good);
        (void)traffic();
        calls = shim_fail_calls(what);
        shim_fail_set(what, 0, false);
        fake_check(fake_lun);
        /* Whatever waits goes on with the next request, and the timer does the rest. */
        fake.mode = FAKE_INLINE;
        req_init(&r[20]);
        req_send(&r[20]);
        for (unsigned i = 0; i < 10; i++) {
            shim_det_run(shim_now_ns() + AD_RETRY_NS);
            fake_end_all();
        }
        for (unsigned i = 0; i <= 20; i++)
            ck_assert_msg(r[i].done == 1, "k = %llu: request %u", (unsigned long long)k, i);
        fake_down();
        if (k > calls)
            return;
    }
}

START_TEST(test_NB_02_the_kth_map_fails)
{
    sweep(SHIM_FAIL_MAP, false);
    sweep(SHIM_FAIL_MAP, true);
}
END_TEST

START_TEST(test_NB_02_the_kth_timer_fails)
{
    sweep(SHIM_FAIL_TIMER, false);
    sweep(SHIM_FAIL_TIMER, true);
}
END_TEST

START_TEST(test_NB_01_the_good_path_allocates_nothing)
{
    fake_up(true, FAKE_INLINE);
    shim_fail_set(SHIM_FAIL_ALLOC, 1, true);
    ck_assert_uint_eq(traffic(), 20);
    ck_assert_uint_eq(shim_fail_calls(SHIM_FAIL_ALLOC), 0);
    shim_fail_set(SHIM_FAIL_ALLOC, 0, false);
    fake_down();
}
END_TEST

static Suite *ad_random_suite(void)
{
    Suite *s = suite_create("ad_random");
    TCase *lives = tcase_create("lives");
    TCase *failures = tcase_create("failures");

    tcase_set_timeout(lives, 300);
    tcase_add_test(lives, test_AIX_01_random_lives_keep_every_invariant);
    tcase_add_test(failures, test_NB_01_the_good_path_allocates_nothing);
    tcase_add_test(failures, test_NB_02_the_kth_map_fails);
    tcase_add_test(failures, test_NB_02_the_kth_timer_fails);
    suite_add_tcase(s, lives);
    suite_add_tcase(s, failures);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_random_suite(), argc, argv); }
