/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_task_test.c - the task set of a disk: ORDERED and HEAD OF QUEUE, contingent allegiance, tags in
 * use, tags where there are none, commands aborted by another initiator.
 *
 * What happens between two instructions of the hot path is made to happen there: it reads the segment list
 * after its first look at the disk's state and before its second, and that list lies on a page that may not
 * be read until a signal handler has changed the state.
 *
 * Does not contain: the same with threads (sim_thread_test.c).
 */
#define _GNU_SOURCE
#include "sim_fixture.h"

#include <adapter/sim/sim_impl.h>

#include <signal.h>
#include <sys/mman.h>

#define MS 1000000u

static struct fx_cmd cmd[16];
static uint8_t data[16][512];
static unsigned order[16], ended; /* tags in the order in which they ended */

static void note_end(struct fx_cmd *c) { order[ended++] = c->x.xfer_tag; }

static void setup(void)
{
    fx_begin(512, 1000);
    ended = 0;
    fx_on_done = note_end;
}

/* Send command i with tag i. Returns what start() said. */
static int send(unsigned i, unsigned qmsg, const uint8_t *cdb, unsigned cdb_bytes, int dir, size_t bytes)
{
    fx_prepare(&cmd[i], cdb, cdb_bytes, dir, data[i], bytes);
    cmd[i].x.xfer_qmsg = (uint8_t)qmsg;
    cmd[i].x.xfer_tag = (uint16_t)i;
    return sim_hw_ops.start(fx_bus, &cmd[i].x);
}

static int put(unsigned i, unsigned qmsg, uint8_t value)
{
    memset(data[i], value, 512);
    return send(i, qmsg, (const uint8_t[10]){0x2a, [5] = 5, [8] = 1}, 10, FX_OUT, 512);
}

static int get(unsigned i, unsigned qmsg)
{
    return send(i, qmsg, (const uint8_t[10]){0x28, [5] = 5, [8] = 1}, 10, FX_IN, 512);
}

static void misbehave(int opcode, enum sim_fault_action action, uint32_t count, uint64_t param)
{
    struct sim_fault f = {.f_opcode = opcode,
                          .f_lba_last = UINT64_MAX,
                          .f_count = count,
                          .f_action = action,
                          .f_param = param,
                          .f_key = SCSI_KEY_HARDWARE,
                          .f_asc = 0x44};

    ck_assert_int_ge(sim_fault_add(fx_disk, &f), 0);
}

static void release(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fx_release(&cmd[i]);
}

static unsigned stored(void)
{
    uint8_t block[512];
    struct fx_cmd c;

    fx_run(&c, (const uint8_t[10]){0x28, [5] = 5, [8] = 1}, 10, FX_IN, block, 512);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
    return block[0];
}

/* ---------------------------------------------------------------- order */

/* ORDERED waits for the older ones, however slow, and the younger ones for it. */
START_TEST(test_ordered_between_older_and_younger)
{
    misbehave(0x2a, SIM_FAULT_DELAY, 1, 10 * MS);
    ck_assert_int_eq(put(1, SC_SIMPLE_Q, 0x11), AD_HW_PENDING);
    ck_assert_int_eq(get(2, SC_SIMPLE_Q), AD_HW_DONE); /* SIMPLE does not wait for SIMPLE */
    ck_assert_int_eq(put(3, SC_ORDERED_Q, 0x22), AD_HW_PENDING);
    ck_assert_int_eq(get(4, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(put(5, SC_ORDERED_Q, 0x33), AD_HW_PENDING);
    ck_assert_int_eq(get(6, SC_SIMPLE_Q), AD_HW_PENDING);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 5);
    ck_assert_uint_eq(order[0], 1);
    ck_assert_uint_eq(order[1], 3);
    ck_assert_uint_eq(order[2], 4);
    ck_assert_uint_eq(order[3], 5);
    ck_assert_uint_eq(order[4], 6);
    ck_assert_uint_eq(data[4][0], 0x22);
    ck_assert_uint_eq(data[6][0], 0x33);
    release(7);
    /* Nothing of it is left: the next one runs at once. */
    ck_assert_int_eq(get(7, SC_SIMPLE_Q), AD_HW_DONE);
    ck_assert_int_eq(put(8, SC_ORDERED_Q, 0x44), AD_HW_DONE);
    ck_assert_uint_eq(stored(), 0x44);
    fx_release(&cmd[7]);
    fx_release(&cmd[8]);
}
END_TEST

/* HEAD OF QUEUE overtakes what waits; what has not begun waits for it. */
START_TEST(test_head_of_queue)
{
    misbehave(0x2a, SIM_FAULT_DELAY, 1, 10 * MS);
    ck_assert_int_eq(put(1, SC_SIMPLE_Q, 0x11), AD_HW_PENDING);
    ck_assert_int_eq(put(2, SC_ORDERED_Q, 0x22), AD_HW_PENDING);
    ck_assert_int_eq(get(3, SC_HEAD_OF_Q), AD_HW_DONE);
    ck_assert_uint_eq(data[3][0], 0);
    misbehave(0x28, SIM_FAULT_DELAY, 1, 20 * MS);
    ck_assert_int_eq(get(4, SC_HEAD_OF_Q), AD_HW_PENDING);
    ck_assert_int_eq(get(5, SC_SIMPLE_Q), AD_HW_PENDING);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 4);
    ck_assert_uint_eq(order[0], 1); /* it had begun */
    ck_assert_uint_eq(order[1], 4);
    ck_assert_uint_eq(order[2], 2);
    ck_assert_uint_eq(order[3], 5);
    ck_assert_uint_eq(data[4][0], 0x11);
    ck_assert_uint_eq(data[5][0], 0x22);
    release(6);
}
END_TEST

/* REQUEST SENSE passes what waits when it is untagged, as the core sends it; tagged it is as any other. */
START_TEST(test_request_sense_and_order)
{
    static const uint8_t sense[6] = {0x03, [4] = 18};

    misbehave(0x28, SIM_FAULT_DELAY, 1, 10 * MS);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(put(2, SC_ORDERED_Q, 0x22), AD_HW_PENDING);
    ck_assert_int_eq(send(3, SC_SIMPLE_Q, sense, 6, FX_IN, 18), AD_HW_PENDING);
    ck_assert_int_eq(send(4, SC_NO_Q, sense, 6, FX_IN, 18), AD_HW_DONE);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 3);
    ck_assert_uint_eq(order[1], 2);
    ck_assert_uint_eq(order[2], 3);
    release(5);
}
END_TEST

/* Another initiator's ORDERED cannot wait; it does not run beside the adapter's commands either. */
START_TEST(test_ordered_of_another_initiator)
{
    misbehave(0x2a, SIM_FAULT_DELAY, 1, 10 * MS);
    ck_assert_int_eq(put(1, SC_SIMPLE_Q, 0x11), AD_HW_PENDING);
    fx_prepare(&cmd[2], (const uint8_t[10]){0x28, [5] = 5, [8] = 1}, 10, FX_IN, data[2], 512);
    cmd[2].x.xfer_qmsg = SC_ORDERED_Q;
    sim_disk_other_initiator(fx_disk, &cmd[2].x);
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_BUSY_STATUS);
    shim_det_run(UINT64_MAX);
    sim_disk_other_initiator(fx_disk, &cmd[2].x);
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_GOOD_STATUS);
    ck_assert_uint_eq(data[2][0], 0x11);
    release(3);
}
END_TEST

/* What was held back waits out its own latency afterwards; an abort finds it; a reset takes all. */
START_TEST(test_held_back_commands_can_be_taken_back)
{
    uint64_t t0 = shim_now_ns();

    misbehave(0x2a, SIM_FAULT_HANG, 1, 0);
    ck_assert_int_eq(put(1, SC_SIMPLE_Q, 0x11), AD_HW_PENDING);
    sim_fault_clear(fx_disk);
    misbehave(0x2a, SIM_FAULT_DELAY, 1, 5 * MS);
    ck_assert_int_eq(put(2, SC_ORDERED_Q, 0x22), AD_HW_PENDING);
    ck_assert_int_eq(get(3, SC_SIMPLE_Q), AD_HW_PENDING);
    sim_hw_ops.abort(fx_bus, &cmd[3].x);
    ck_assert_uint_eq(cmd[3].x.xfer_result, AD_RES_ABORTED);
    ck_assert_uint_eq(ended, 1);
    /* The hung one goes, and that lets the ORDERED one begin. */
    sim_hw_ops.abort(fx_bus, &cmd[1].x);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(cmd[2].x.xfer_result, AD_RES_GOOD);
    ck_assert_uint_ge(shim_now_ns(), t0 + 5 * MS);
    release(4);
    misbehave(0x2a, SIM_FAULT_HANG, 1, 0);
    ck_assert_int_eq(put(1, SC_SIMPLE_Q, 0x11), AD_HW_PENDING);
    ck_assert_int_eq(put(2, SC_ORDERED_Q, 0x33), AD_HW_PENDING);
    ck_assert_int_eq(sim_hw_ops.reset_target(fx_bus, FX_ID), 0);
    ck_assert_uint_eq(cmd[1].done + cmd[2].done, 2);
    ck_assert_uint_eq(cmd[2].x.xfer_result, AD_RES_ABORTED);
    release(3);
    ck_assert_uint_eq(fx_sense().asc, SCSI_ASC_RESET);
    ck_assert_uint_eq(stored(), 0x22);
}
END_TEST

/* Without a timer what was held back runs all the same, in the thread that let it go. */
START_TEST(test_released_without_a_timer)
{
    misbehave(0x2a, SIM_FAULT_HANG, 1, 0);
    ck_assert_int_eq(put(1, SC_SIMPLE_Q, 0x11), AD_HW_PENDING);
    ck_assert_int_eq(put(2, SC_ORDERED_Q, 0x22), AD_HW_PENDING);
    shim_fail_set(SHIM_FAIL_TIMER, 1, true);
    sim_hw_ops.abort(fx_bus, &cmd[1].x);
    shim_fail_set(SHIM_FAIL_TIMER, 0, false);
    ck_assert_uint_eq(cmd[2].done, 1);
    ck_assert_uint_eq(cmd[2].x.xfer_result, AD_RES_GOOD);
    release(3);
    ck_assert_uint_eq(stored(), 0x22);
}
END_TEST

/* ---------------------------------------------------------------- between the hot path's two looks */

static struct shim_seg *trap;

static void trapped(int number)
{
    (void)number;
    ck_assert_int_eq(mprotect(trap, SC_PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    sim_disk_attention(fx_disk, SCSI_ASC_PARAMETERS, SCSI_ASCQ_CAPACITY);
}

/* A read with tag 1 or none; the disk gets a unit attention after the first look at it. */
static int get_trapped(unsigned qmsg)
{
    struct sigaction act = {.sa_handler = trapped}, old;
    int said;

    fx_prepare(&cmd[1], (const uint8_t[10]){0x28, [5] = 5, [8] = 1}, 10, FX_IN, data[1], 512);
    cmd[1].x.xfer_qmsg = (uint8_t)qmsg;
    cmd[1].x.xfer_tag = 1;
    *trap = cmd[1].segs[0];
    cmd[1].map.map_segs = trap;
    ck_assert_int_eq(mprotect(trap, SC_PAGE_SIZE, PROT_NONE), 0);
    ck_assert_int_eq(sigaction(SIGSEGV, &act, &old), 0);
    said = sim_hw_ops.start(fx_bus, &cmd[1].x);
    ck_assert_int_eq(sigaction(SIGSEGV, &old, NULL), 0);
    return said;
}

/* What the first look missed the second sees; and the tag is not left behind as one in use. */
START_TEST(test_hot_path_looks_twice)
{
    static const unsigned how[] = {SC_SIMPLE_Q, SC_NO_Q};

    trap = mmap(NULL, SC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(trap, MAP_FAILED);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(how); i++) {
        ck_assert_int_eq(get_trapped(how[i]), AD_HW_DONE);
        fx_expect_check(&cmd[1], SCSI_KEY_ATTENTION, SCSI_ASC_PARAMETERS, SCSI_ASCQ_CAPACITY);
        fx_release(&cmd[1]);
        for (unsigned again = 0; again < 2; again++) {
            ck_assert_int_eq(get(1, how[i]), AD_HW_DONE);
            ck_assert_uint_eq(fx_status(&cmd[1]), SC_GOOD_STATUS);
            fx_release(&cmd[1]);
        }
        ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_OVERLAP), 0);
    }
    ck_assert_int_eq(munmap(trap, SC_PAGE_SIZE), 0);
}
END_TEST

/* ---------------------------------------------------------------- contingent allegiance */

/* The next command throws the sense away, tagged or not; it runs, and it is counted. */
START_TEST(test_next_command_clears_the_sense)
{
    static const unsigned how[] = {SC_SIMPLE_Q, SC_ORDERED_Q, SC_NO_Q};

    for (unsigned i = 0; i < SC_ARRAY_SIZE(how); i++) {
        misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
        ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_DONE);
        ck_assert_uint_eq(fx_status(&cmd[1]), SC_CHECK_CONDITION);
        ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), i);
        ck_assert_int_eq(get(2, how[i]), AD_HW_DONE);
        ck_assert_uint_eq(fx_status(&cmd[2]), SC_GOOD_STATUS);
        ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), i + 1);
        ck_assert_uint_eq(fx_sense().key, SCSI_KEY_NO_SENSE);
        release(3);
        sim_fault_clear(fx_disk);
    }
    /* Another initiator has nothing to do with it. */
    misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_DONE);
    fx_run_other(&cmd[2], (const uint8_t[10]){0x28, [5] = 5, [8] = 1}, 10, FX_IN, data[2], 512);
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_GOOD_STATUS);
    ck_assert_uint_eq(fx_sense().key, SCSI_KEY_HARDWARE);
    fx_release(&cmd[1]);
    sim_fault_clear(fx_disk);
    /* One that fails as well leaves its own. */
    misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_DONE);
    ck_assert_int_eq(send(2, SC_SIMPLE_Q, (const uint8_t[6]){0x02}, 6, FX_IN, 0), AD_HW_DONE);
    fx_expect_check(&cmd[2], SCSI_KEY_ILLEGAL, SCSI_ASC_OPCODE, 0);
    release(3);
    /* And REQUEST SENSE, tagged too, is what is expected. */
    sim_fault_clear(fx_disk);
    misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_DONE);
    ck_assert_int_eq(send(2, SC_SIMPLE_Q, (const uint8_t[6]){0x03, [4] = 18}, 6, FX_IN, 18), AD_HW_DONE);
    ck_assert_uint_eq(data[2][2], SCSI_KEY_HARDWARE);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 4);
    release(3);
}
END_TEST

/* Commands that are at the disk already when one fails wait until its sense has been fetched. */
START_TEST(test_others_wait_for_the_sense)
{
    misbehave(0x28, SIM_FAULT_CHECK, 2, 0);
    misbehave(0x28, SIM_FAULT_DELAY, 3, MS);
    for (unsigned i = 1; i <= 3; i++)
        ck_assert_int_eq(get(i, SC_SIMPLE_Q), AD_HW_PENDING);
    while (ended == 0)
        ck_assert(shim_det_step());
    ck_assert_uint_eq(fx_status(&cmd[1]), SC_CHECK_CONDITION);
    ck_assert_uint_eq(ended, 1);
    shim_delay_ns(100 * MS); /* long enough for their own delays, not for giving up */
    ck_assert_uint_eq(ended, 1);
    ck_assert_uint_eq(fx_sense().asc, 0x44);
    while (ended == 1)
        ck_assert(shim_det_step());
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_sense().asc, 0x44);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 3);
    ck_assert_uint_eq(fx_status(&cmd[3]), SC_GOOD_STATUS);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 0);
    release(4);
}
END_TEST

static void want_others_back(struct fx_cmd *c)
{
    note_end(c);
    for (unsigned i = 2; i <= 3 && ended == 1; i++)
        sim_hw_ops.abort(fx_bus, &cmd[i].x);
}

/*
 * A core that clears the queue wants the others back before it asks for sense: also those that were due in
 * the same moment as the one that failed, and are on no list.
 */
START_TEST(test_abort_finds_what_is_about_to_run)
{
    const uint64_t t0 = shim_now_ns();

    misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
    misbehave(0x28, SIM_FAULT_DELAY, 3, MS);
    for (unsigned i = 1; i <= 3; i++)
        ck_assert_int_eq(get(i, SC_SIMPLE_Q), AD_HW_PENDING);
    fx_on_done = want_others_back;
    while (ended < 3)
        ck_assert(shim_det_step());
    ck_assert_uint_lt(shim_now_ns(), t0 + 2 * MS);
    ck_assert_uint_eq(fx_status(&cmd[1]), SC_CHECK_CONDITION);
    for (unsigned i = 2; i <= 3; i++) {
        ck_assert_uint_eq(cmd[i].x.xfer_result, AD_RES_ABORTED);
        ck_assert_uint_eq(cmd[i].x.xfer_resid, 512);
        ck_assert_uint_eq(cmd[i].done, 1);
    }
    ck_assert_uint_eq(fx_sense().asc, 0x44);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 0);
    release(4);
}
END_TEST

/* An initiator that never asks does not stop its other commands for ever. */
START_TEST(test_sense_that_nobody_fetches)
{
    uint64_t t0 = shim_now_ns();

    misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
    misbehave(0x28, SIM_FAULT_DELAY, 2, MS);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(get(2, SC_SIMPLE_Q), AD_HW_PENDING);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 2);
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_GOOD_STATUS);
    ck_assert_uint_ge(shim_now_ns(), t0 + 1000 * (uint64_t)MS);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 1);
    ck_assert_uint_eq(fx_sense().key, SCSI_KEY_NO_SENSE);
    release(3);
}
END_TEST

/* The same for one that was held back by its order when the sense came to be. */
START_TEST(test_sense_that_nobody_fetches_and_order)
{
    uint64_t t0 = shim_now_ns();

    misbehave(0x28, SIM_FAULT_CHECK, 1, 0);
    misbehave(0x28, SIM_FAULT_DELAY, 1, MS);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(put(2, SC_ORDERED_Q, 0x22), AD_HW_PENDING);
    ck_assert_int_eq(get(3, SC_SIMPLE_Q), AD_HW_PENDING);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 3);
    ck_assert_uint_eq(order[0], 1);
    ck_assert_uint_eq(order[1], 2);
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_GOOD_STATUS);
    ck_assert_uint_eq(data[3][0], 0x22);
    ck_assert_uint_ge(shim_now_ns(), t0 + 1000 * (uint64_t)MS);
    ck_assert_uint_lt(shim_now_ns(), t0 + 2000 * (uint64_t)MS);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 1);
    release(4);
}
END_TEST

/* ---------------------------------------------------------------- tags */

static void expect_overlap(const struct fx_cmd *c, unsigned count)
{
    fx_expect_check(c, SCSI_KEY_ABORTED, SCSI_ASC_OVERLAPPED, 0);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_OVERLAP), count);
}

/* A tag in use: the second is refused, and the disk forgets the first. */
START_TEST(test_overlapped_tags)
{
    misbehave(0x28, SIM_FAULT_DELAY, 2, MS);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(get(7, SC_SIMPLE_Q), AD_HW_PENDING);
    fx_prepare(&cmd[8], (const uint8_t[10]){0x28, [8] = 1}, 10, FX_IN, data[8], 512);
    cmd[8].x.xfer_qmsg = SC_SIMPLE_Q;
    cmd[8].x.xfer_tag = 7;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[8].x), AD_HW_DONE);
    expect_overlap(&cmd[8], 1);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 0);
    /* Their tags are free at the disk; the initiator gets them back by aborting. */
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[8].x), AD_HW_DONE);
    ck_assert_uint_eq(fx_status(&cmd[8]), SC_GOOD_STATUS);
    sim_hw_ops.abort(fx_bus, &cmd[7].x);
    sim_hw_ops.abort(fx_bus, &cmd[1].x);
    ck_assert_uint_eq(ended, 2);
    ck_assert_uint_eq(cmd[7].x.xfer_result, AD_RES_ABORTED);
    release(9);
}
END_TEST

/*
 * Two have waited for sense that nobody fetches. The first of them, when its time is up, fails as well: that
 * sense is new, and the second waits its own time for it.
 */
START_TEST(test_new_sense_has_its_own_time)
{
    misbehave(0x28, SIM_FAULT_CHECK, 2, 0);
    misbehave(0x28, SIM_FAULT_DELAY, 3, MS);
    for (unsigned i = 1; i <= 3; i++)
        ck_assert_int_eq(get(i, SC_SIMPLE_Q), AD_HW_PENDING);
    shim_det_run(shim_now_ns() + 1500 * (uint64_t)MS);
    ck_assert_uint_eq(ended, 2);
    ck_assert_uint_eq(order[1], 2);
    ck_assert_uint_eq(fx_status(&cmd[2]), SC_CHECK_CONDITION);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 1);
    ck_assert_uint_eq(fx_sense().key, SCSI_KEY_HARDWARE);
    shim_det_run(UINT64_MAX);
    ck_assert_uint_eq(ended, 3);
    ck_assert_uint_eq(fx_status(&cmd[3]), SC_GOOD_STATUS);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_ALLEGIANCE), 1);
    release(4);
}
END_TEST

/* What the disk has forgotten for an overlap holds nobody back, whatever its order was. */
START_TEST(test_forgotten_commands_hold_nobody_back)
{
    const unsigned qmsg = _i == 0 ? SC_HEAD_OF_Q : SC_ORDERED_Q;

    misbehave(0x28, SIM_FAULT_HANG, 1, 0);
    ck_assert_int_eq(get(1, qmsg), AD_HW_PENDING);
    ck_assert_int_eq(get(2, SC_SIMPLE_Q), AD_HW_PENDING); /* behind it */
    fx_prepare(&cmd[3], (const uint8_t[10]){0x28, [8] = 1}, 10, FX_IN, data[3], 512);
    cmd[3].x.xfer_qmsg = SC_ORDERED_Q;
    cmd[3].x.xfer_tag = 1;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[3].x), AD_HW_DONE);
    expect_overlap(&cmd[3], 1);
    /* Both are forgotten. A younger one of each kind runs. */
    ck_assert_int_eq(get(4, SC_SIMPLE_Q), AD_HW_DONE);
    ck_assert_uint_eq(fx_status(&cmd[4]), SC_GOOD_STATUS);
    ck_assert_int_eq(put(5, SC_ORDERED_Q, 0x55), AD_HW_DONE);
    ck_assert_uint_eq(fx_status(&cmd[5]), SC_GOOD_STATUS);
    sim_hw_ops.abort(fx_bus, &cmd[1].x);
    sim_hw_ops.abort(fx_bus, &cmd[2].x);
    ck_assert_uint_eq(ended, 2);
    release(6);
    ck_assert_uint_eq(stored(), 0x55);
    ck_assert(!(atomic_load(&fx_disk->dk_odd) & SIM_ODD_GATE)); /* the hot path is open again */
}
END_TEST

/* Two untagged ones overlap as well; one beside tagged ones does not. */
START_TEST(test_overlapped_untagged)
{
    misbehave(0x28, SIM_FAULT_HANG, 2, 0);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(get(2, SC_NO_Q), AD_HW_PENDING);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_OVERLAP), 0);
    ck_assert_int_eq(get(3, SC_NO_Q), AD_HW_DONE);
    expect_overlap(&cmd[3], 1);
    sim_hw_ops.abort(fx_bus, &cmd[1].x);
    sim_hw_ops.abort(fx_bus, &cmd[2].x);
    ck_assert_uint_eq(ended, 2);
    release(4);
}
END_TEST

START_TEST(test_tags_where_there_are_none)
{
    struct sim_bus_config bus = {.sb_adapter_id = 7};
    struct sim_disk_config disk = {.sd_block_bytes = 512, .sd_blocks = 100, .sd_no_tags = true};
    static const unsigned how[] = {SC_SIMPLE_Q, SC_ORDERED_Q, SC_HEAD_OF_Q};

    fx_begin_bus(&bus, 1);
    fx_add_disk(&disk);
    for (unsigned i = 0; i < SC_ARRAY_SIZE(how); i++) {
        ck_assert_int_eq(get(i, how[i]), AD_HW_DONE);
        ck_assert_uint_eq(cmd[i].x.xfer_result, AD_RES_BUS_FAULT);
        ck_assert_uint_eq(cmd[i].x.xfer_resid, 512);
        ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_TAG), i + 1);
    }
    ck_assert_int_eq(get(4, SC_NO_Q), AD_HW_DONE);
    ck_assert_uint_eq(fx_status(&cmd[4]), SC_GOOD_STATUS);
    release(5);
    fx_end();
}
END_TEST

/* The chip has promised 64 tags. */
START_TEST(test_tag_out_of_range)
{
    fx_prepare(&cmd[0], (const uint8_t[10]){0x28, [8] = 1}, 10, FX_IN, data[0], 512);
    cmd[0].x.xfer_qmsg = SC_SIMPLE_Q;
    cmd[0].x.xfer_tag = 64;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[0].x), AD_HW_DONE);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_BUS_FAULT);
    ck_assert_uint_eq(fx_protocol(SIM_PROTOCOL_TAG), 1);
    cmd[0].x.xfer_tag = 63;
    ck_assert_int_eq(sim_hw_ops.start(fx_bus, &cmd[0].x), AD_HW_DONE);
    ck_assert_uint_eq(cmd[0].x.xfer_result, AD_RES_GOOD);
    release(1);
}
END_TEST

/* ---------------------------------------------------------------- another initiator */

static unsigned other(unsigned number, unsigned qmsg, const uint8_t *cdb, unsigned cdb_bytes, void *buf,
                      size_t bytes)
{
    struct fx_cmd c;

    fx_prepare(&c, cdb, cdb_bytes, FX_OUT, buf, bytes);
    c.x.xfer_qmsg = (uint8_t)qmsg;
    sim_disk_initiator(fx_disk, number, &c.x);
    fx_release(&c);
    return fx_status(&c);
}

/* Register, or preempt, as one of the initiators; 0 is the adapter. */
static void reserve_out(unsigned who, unsigned action, unsigned type, uint64_t key, uint64_t action_key)
{
    uint8_t cdb[10] = {0x5f, (uint8_t)action, (uint8_t)type, [8] = 24}, list[24] = {0};
    struct fx_cmd c;

    scsi_put64(list, key);
    scsi_put64(list + 8, action_key);
    if (who) {
        ck_assert_uint_eq(other(who, SC_SIMPLE_Q, cdb, 10, list, 24), SC_GOOD_STATUS);
        return;
    }
    fx_run(&c, cdb, 10, FX_OUT, list, 24);
    ck_assert_uint_eq(fx_status(&c), SC_GOOD_STATUS);
}

START_TEST(test_preempt_and_abort)
{
    misbehave(0x28, SIM_FAULT_HANG, 2, 0);
    reserve_out(0, 0, 0, 0, 1);
    reserve_out(1, 0, 0, 0, 2);
    ck_assert_int_eq(get(1, SC_SIMPLE_Q), AD_HW_PENDING);
    ck_assert_int_eq(get(2, SC_ORDERED_Q), AD_HW_PENDING);
    /* Waits behind the ORDERED one, as everything younger; HEAD OF QUEUE does not. */
    ck_assert_uint_eq(other(1, SC_SIMPLE_Q, (const uint8_t[6]){0}, 6, NULL, 0), SC_BUSY_STATUS);
    sim_hw_ops.abort(fx_bus, &cmd[2].x);
    reserve_out(1, 4, 5, 2, 1); /* PREEMPT alone aborts nothing */
    ck_assert_uint_eq(cmd[1].done, 0);
    fx_expect_check((fx_run(&cmd[3], (const uint8_t[6]){0}, 6, FX_IN, NULL, 0), &cmd[3]), SCSI_KEY_ATTENTION,
                    SCSI_ASC_PARAMETERS, SCSI_ASCQ_REGISTER_PREEMPTED);
    reserve_out(0, 0, 0, 0, 3);
    reserve_out(1, 5, 5, 2, 3);
    ck_assert_uint_eq(cmd[1].done, 1);
    ck_assert_uint_eq(cmd[1].x.xfer_result, AD_RES_STATUS);
    ck_assert_uint_eq(cmd[1].x.xfer_scsi_status, 0x40);
    ck_assert_uint_eq(cmd[1].x.xfer_resid, 512);
    ck_assert_uint_eq(fx_sense().ascq, SCSI_ASCQ_REGISTER_PREEMPTED);
    release(4);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim_task");
    TCase *t = tcase_create("task set"), *own = tcase_create("own disk");

    tcase_add_checked_fixture(t, setup, fx_end);
    tcase_add_test(t, test_ordered_between_older_and_younger);
    tcase_add_test(t, test_head_of_queue);
    tcase_add_test(t, test_request_sense_and_order);
    tcase_add_test(t, test_ordered_of_another_initiator);
    tcase_add_test(t, test_held_back_commands_can_be_taken_back);
    tcase_add_test(t, test_released_without_a_timer);
    tcase_add_test(t, test_hot_path_looks_twice);
    tcase_add_test(t, test_next_command_clears_the_sense);
    tcase_add_test(t, test_others_wait_for_the_sense);
    tcase_add_test(t, test_abort_finds_what_is_about_to_run);
    tcase_add_test(t, test_sense_that_nobody_fetches);
    tcase_add_test(t, test_sense_that_nobody_fetches_and_order);
    tcase_add_test(t, test_new_sense_has_its_own_time);
    tcase_add_test(t, test_overlapped_tags);
    tcase_add_loop_test(t, test_forgotten_commands_hold_nobody_back, 0, 2);
    tcase_add_test(t, test_overlapped_untagged);
    tcase_add_test(t, test_tag_out_of_range);
    tcase_add_test(t, test_preempt_and_abort);
    suite_add_tcase(s, t);
    tcase_add_test(own, test_tags_where_there_are_none);
    suite_add_tcase(s, own);
    return s;
}

int main(int argc, char **argv) { return test_run(suite(), argc, argv); }
