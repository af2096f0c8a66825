/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_requeue_test.c - in which order commands go that have been sent before: who was sent more often first,
 * among equals who was first dispatched first (NB-12).
 *
 * The device is a table of what is out; the test ends each entry as it likes. "Refused" is QUEUE FULL, which
 * holds the queue until something completes, so that several wait together.
 */
#include "fake_ad.h"

#define N 48u

static uint8_t *area;
static struct fake_buf fb[N];
static struct sc_buf *out[N]; /* by request */
static unsigned sent[4096], nsent;

static bool device(struct sc_buf *sc);

static void setup(void)
{
    fake_begin(20480, 512);
    area = aligned_alloc(4096, N * 4096u);
    ck_assert_ptr_nonnull(area);
    memset(out, 0, sizeof(out));
    nsent = 0;
    fake.hook = device;
}

static void teardown(void)
{
    free(area);
    fake_end();
}

/* ------------------------------------------------------------------ an oracle of its own */

static unsigned count[N]; /* how often it came back to be sent again */
static bool waits[N];
static bool fresh[N];
static bool judged;

/* Request i arrives at the device: may it, before all that wait? */
static void judge(unsigned i)
{
    for (unsigned k = 0; k < N; k++) {
        if (k == i || !waits[k])
            continue;
        fake_check(!fresh[i]);
        fake_check(count[k] < count[i] || (count[k] == count[i] && k > i));
    }
    for (unsigned k = 0; k < i && fresh[i]; k++)
        fake_check(!fresh[k]);
    waits[i] = fresh[i] = false;
}

static bool device(struct sc_buf *sc)
{
    unsigned i = (unsigned)(sc->bufstruct.b_blkno / 100);
    const uint8_t op = sc->scsi_command.scsi_cmd.scsi_op_code;

    if (op != SCSI_READ_6)
        return false;
    fake_check(i < N && !out[i] && nsent < SC_ARRAY_SIZE(sent));
    if (judged)
        judge(i);
    out[i] = sc;
    sent[nsent++] = i;
    return true;
}

/* How it ends: good (0), refused (SC_QUEUE_FULL), or thrown back (ENXIO). */
enum end { GOOD, FULL, THROWN };

static void end(unsigned i, enum end how)
{
    struct sc_buf *sc = out[i];

    ck_assert_ptr_nonnull(sc);
    out[i] = NULL;
    if (how != GOOD) {
        sc->bufstruct.b_flags |= B_ERROR;
        sc->bufstruct.b_error = how == FULL ? EIO : ENXIO;
        sc->bufstruct.b_resid = sc->bufstruct.b_bcount;
        sc->status_validity = how == FULL ? SC_SCSI_ERROR : 0;
        sc->scsi_status = how == FULL ? SC_QUEUE_FULL : 0;
        waits[i] = true;
        count[i]++;
    }
    fake.active--;
    iodone(&sc->bufstruct);
    dd_check_invariants(FAKE_DEV);
}

/* Reads that cannot be spanned, one by one: request i is at block 100 * i. */
static void submit(unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++) {
        fake_buf_init(&fb[i], true, 100 * i, area + 4096 * i, 4096);
        fake_submit(&fb[i], 1);
    }
}

static void all_good(unsigned n)
{
    for (bool more = true; more;) {
        more = false;
        for (unsigned i = 0; i < n; i++) {
            if (out[i]) {
                end(i, GOOD);
                more = true;
            }
        }
        more |= shim_det_step();
    }
    for (unsigned i = 0; i < n; i++)
        ck_assert(fb[i].done == 1 && !(fb[i].b.b_flags & B_ERROR));
}

static void expect_sent(unsigned from, const unsigned *what, unsigned n)
{
    ck_assert_uint_ge(nsent, from + n);
    for (unsigned i = 0; i < n; i++)
        ck_assert_uint_eq(sent[from + i], what[i]);
}

/* ------------------------------------------------------------------ the order */

/* 1 is refused twice while 0 is out, then 0 once: 1 goes first, whichever of the two came back first. */
START_TEST(test_NB_12_sent_more_often_goes_first)
{
    static const unsigned order[] = {1, 0};
    struct file *fp = fake_open(NULL);

    submit(0, 5);
    end(1, FULL);
    end(3, GOOD); /* there is room: 1 goes again */
    ck_assert_uint_eq(sent[nsent - 1], 1);
    ck_assert_uint_eq(nsent, 6);
    end(_i ? 0 : 1, FULL);
    end(_i ? 1 : 0, FULL);
    ck_assert_uint_eq(nsent, 6);
    end(4, GOOD);
    end(2, GOOD);
    expect_sent(6, order, 2);
    all_good(5);
    fake_close(fp);
}
END_TEST

/*
 * Thrown back in whatever order, they go again as they were first sent, and before what never was; also when
 * the numbers of dispatch wrap between them.
 */
START_TEST(test_NB_12_equals_keep_their_order)
{
    static const unsigned back[][5] = {{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}, {3, 1, 5, 2, 4}};
    static const unsigned order[] = {1, 2, 3, 4, 5, 6, 7};
    const struct scdisk_dds dds = {.queue_depth = 6};
    struct file *fp = fake_open(&dds);

    if (_i >= 3)
        dd_unit_of(FAKE_DEV)->un_seq = UINT32_MAX - 2u;
    submit(0, 8);
    ck_assert_uint_eq(nsent, 6);
    for (unsigned i = 0; i < 5; i++)
        end(back[_i % 3][i], THROWN);
    ck_assert_uint_eq(nsent, 6);
    end(0, GOOD);
    while (nsent < 13) {
        for (unsigned i = 0; i < 8; i++)
            if (out[i])
                end(i, GOOD);
        (void)shim_det_step();
    }
    expect_sent(6, order, 7);
    all_good(8);
    fake_close(fp);
}
END_TEST

/* Any mixture: nobody arrives before one that has been sent more often, or as often and was there earlier. */
START_TEST(test_NB_12_any_mixture)
{
    const struct scdisk_dds dds = {.queue_depth = 12};
    struct file *fp = fake_open(&dds);
    uint32_t x = 2463534242u + (uint32_t)_i * 7919u;
    unsigned back = 0;

    for (unsigned i = 0; i < N; i++) {
        fresh[i] = true;
        waits[i] = false;
        count[i] = 0;
    }
    judged = true;
    submit(0, N);
    for (unsigned n = 0; n < 300; n++) {
        unsigned i;

        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        for (i = x % N; i < x % N + N && !out[i % N]; i++)
            ;
        i %= N;
        if (!out[i]) {
            (void)shim_det_step();
            continue;
        }
        end(i, (x >> 8) % 16 == 0 ? GOOD : (x >> 8) % 4 == 0 ? FULL : THROWN);
        back += waits[i];
    }
    ck_assert_uint_ge(back, 30);
    all_good(N);
    judged = false;
    fake_close(fp);
}
END_TEST

/* ------------------------------------------------------------------ spans */

static unsigned arrived[64], narrived;
static struct sc_buf *at[64];

static bool span_device(struct sc_buf *sc)
{
    if (sc->scsi_command.scsi_cmd.scsi_op_code != SCSI_READ_6)
        return false;
    ck_assert_uint_lt(narrived, SC_ARRAY_SIZE(at));
    at[narrived] = sc;
    arrived[narrived++] = (unsigned)sc->bufstruct.b_blkno;
    return true;
}

static void span_end(unsigned n, uint8_t status)
{
    struct sc_buf *sc = at[n];

    at[n] = NULL;
    if (status) {
        sc->bufstruct.b_flags |= B_ERROR;
        sc->bufstruct.b_error = status == SC_CHECK_CONDITION ? EINVAL : EIO;
        sc->bufstruct.b_resid = sc->bufstruct.b_bcount;
        sc->status_validity = SC_SCSI_ERROR;
        sc->scsi_status = status;
    }
    fake.active--;
    iodone(&sc->bufstruct);
    dd_check_invariants(FAKE_DEV);
}

/*
 * A span behind request 0 is taken apart: its bufs are sent for the second time then, and keep that in mind.
 * One of them is refused, so it goes before 0, which is refused once; and 0 goes before the last of them.
 */
START_TEST(test_NB_12_bufs_of_a_span_count_on)
{
    static const unsigned order[] = {1000, 0, 1016};
    const struct scdisk_dds dds = {.queue_depth = 3};
    struct file *fp = fake_open(&dds);

    narrived = 0;
    fake.hook = span_device;
    submit(0, 1);
    for (unsigned i = 1; i < 4; i++)
        fake_buf_init(&fb[i], true, 1000 + 8 * (i - 1), area + 4096 * i, 4096);
    fake_submit(&fb[1], 3);
    ck_assert_uint_eq(narrived, 2);
    span_end(1, SC_CHECK_CONDITION); /* EINVAL: the adapter driver cannot take it in one */
    ck_assert_uint_eq(narrived, 4);  /* two of the three: the depth */
    ck_assert(arrived[2] == 1000 && arrived[3] == 1008);
    span_end(2, SC_QUEUE_FULL);
    span_end(0, SC_QUEUE_FULL);
    ck_assert_uint_eq(narrived, 4);
    span_end(3, 0);
    for (unsigned i = 4; i < 7; i++) {
        ck_assert_uint_gt(narrived, i);
        ck_assert_uint_eq(arrived[i], order[i - 4]);
        span_end(i, 0);
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert(fb[i].done == 1 && !(fb[i].b.b_flags & B_ERROR));
    while (shim_det_step())
        ;
    fake_close(fp);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_requeue");
    TCase *t = tcase_create("order");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_NB_12_sent_more_often_goes_first, 0, 2);
    tcase_add_loop_test(t, test_NB_12_equals_keep_their_order, 0, 6);
    tcase_add_loop_test(t, test_NB_12_any_mixture, 0, 50);
    tcase_add_test(t, test_NB_12_bufs_of_a_span_count_on);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
