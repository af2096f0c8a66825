/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_format_test.c - a request is judged without the lock, and before it is queued the disk has been
 * formatted, or has become another size: it is judged again.
 */
#include "fake_ad.h"

#define BLOCKS 20480u

static uint8_t memory[4][4096] __attribute__((aligned(4096)));
static struct fake_buf fb[4];

/* Judged by the disk as it was: as dd_strategy leaves it. */
static void judged(struct fake_buf *b, uint64_t blkno, void *addr, size_t bytes)
{
    fake_buf_init(b, true, blkno, addr, bytes);
    b->b.b_flags &= ~(uint32_t)(B_ERROR | B_DONE);
    b->b.b_resid = 0;
    b->b.b_work = (uintptr_t)bytes | DD_BUF_PENDING;
}

static void size_is(uint64_t sectors)
{
    struct dd_unit *un = dd_unit_of(FAKE_DEV);
    int old = disable_lock(INTIODONE, &un->un_lock);

    dd_size_set_locked(un, sectors);
    unlock_enable(old, &un->un_lock);
}

static void queue(unsigned n, uint32_t geometry)
{
    struct dd_chain ch = {NULL, NULL, 0};

    for (unsigned i = 0; i < n; i++)
        dd_chain_add(&ch, &fb[i].b, &fb[i].b, 1);
    dd_run(dd_unit_of(FAKE_DEV), &ch, geometry);
}

/* It has become shorter: what lies behind the end is refused, what crosses it is cut, the rest is read. */
START_TEST(test_shorter)
{
    struct file *fp;
    struct sc_disk_stats st;
    uint32_t before;

    fake_begin(BLOCKS, 512);
    fp = fake_open(NULL);
    before = dd_geometry(dd_unit_of(FAKE_DEV));
    for (unsigned i = 0; i < 4; i++)
        judged(&fb[i], 100 * i, memory[i], 4096);
    judged(&fb[3], 200, memory[3], 4096);
    size_is(204);
    fake_forget();
    judged(&fb[1], 300, memory[1], 4096);
    judged(&fb[2], 204, memory[2], 4096);
    queue(4, before);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(fb[i].done, 1);
    ck_assert(!(fb[0].b.b_flags & B_ERROR) && fb[0].b.b_resid == 0);
    ck_assert(fb[1].b.b_flags & B_ERROR && fb[1].b.b_error == ENXIO && fb[1].b.b_resid == 4096);
    ck_assert(!(fb[2].b.b_flags & B_ERROR) && fb[2].b.b_resid == 4096); /* at the very end */
    ck_assert(!(fb[3].b.b_flags & B_ERROR) && fb[3].b.b_resid == 2048);
    ck_assert_uint_eq(fake_nrw(), 2);
    st = fake_stats();
    ck_assert_uint_eq(st.bufs, 4);
    ck_assert_uint_eq(st.completed, 4);
    ck_assert_uint_eq(st.errors, 1);
    fake_close(fp);
    fake_end();
}
END_TEST

/* The lane leaves it to the queues, which judge it again. */
START_TEST(test_past_the_queues)
{
    struct file *fp;
    struct dd_unit *un;
    uint32_t before;

    fake_begin(BLOCKS, 512);
    fake.tags = true;
    fp = fake_open(NULL);
    un = dd_unit_of(FAKE_DEV);
    before = dd_geometry(un);
    ck_assert(un->un_lane);
    judged(&fb[0], 300, memory[0], 512);
    size_is(204);
    fake_forget();
    ck_assert(un->un_lane);
    ck_assert(dd_lane_submit(un, &fb[0].b, before));
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_int_eq(fb[0].b.b_error, ENXIO);
    ck_assert_uint_eq(fake_nrw(), 0);
    judged(&fb[1], 100, memory[1], 512);
    ck_assert(dd_lane_submit(un, &fb[1].b, dd_geometry(un)));
    ck_assert(fb[1].done == 1 && !(fb[1].b.b_flags & B_ERROR));
    ck_assert_uint_eq(fake_nrw(), 1);
    fake_close(fp);
    fake_end();
}
END_TEST

static unsigned during;
static uint32_t old_geometry;
static struct dd_blocks old_blocks;

/* A format is under way: a request that was on its way is refused, and a command that has block addresses. */
static bool while_formatting(struct sc_buf *sc)
{
    if (((const uint8_t *)&sc->scsi_command.scsi_cmd)[0] != SCSI_FORMAT_UNIT || during++)
        return false;
    judged(&fb[0], 0, memory[0], 512);
    queue(1, old_geometry);
    return false;
}

static int with_blocks(const struct dd_blocks *bl, uint64_t end)
{
    struct dd_sync sy;

    dd_sync_init(&sy, SCSI_WRITE_SAME_16, memory[0], 512, false);
    dd_sync_blocks(&sy, bl, end);
    return dd_sync_run(dd_unit_of(FAKE_DEV), &sy);
}

START_TEST(test_formatted)
{
    struct file *fp;
    struct dd_unit *un;

    fake_begin(BLOCKS, 512);
    ck_assert_int_eq(fake_config(NULL), 0);
    ck_assert_int_eq(fp_opendev(FAKE_DEV, DREAD | DWRITE | DKERNEL, NULL, SC_SINGLE, &fp), 0);
    un = dd_unit_of(FAKE_DEV);
    during = 0;
    old_geometry = dd_geometry(un);
    old_blocks = dd_blocks_of(un);
    fake.hook = while_formatting;
    ck_assert_int_eq(fp_ioctl(fp, DKFORMAT, 0, 0), 0);
    fake.hook = NULL;
    ck_assert_uint_eq(during, 1);
    ck_assert_uint_eq(fb[0].done, 1);
    ck_assert_int_eq(fb[0].b.b_error, EACCES);
    /* The same blocks as before: what was judged before may go. */
    fake_forget();
    judged(&fb[1], 0, memory[1], 512);
    fb[0] = fb[1];
    queue(1, old_geometry);
    ck_assert(fb[0].done == 1 && !(fb[0].b.b_flags & B_ERROR));
    ck_assert_int_eq(with_blocks(&old_blocks, 8), 0);
    fake_close(fp);
    fake_end();
}
END_TEST

/* A command with block addresses in its CDB. */
START_TEST(test_commands)
{
    struct file *fp;
    struct dd_unit *un;

    fake_begin(BLOCKS, 512);
    fp = fake_open(NULL);
    un = dd_unit_of(FAKE_DEV);
    old_blocks = dd_blocks_of(un);
    ck_assert_int_eq(with_blocks(&old_blocks, BLOCKS + 1), 0); /* judged by its caller */
    size_is(204);
    ck_assert_int_eq(with_blocks(&old_blocks, 205), ENXIO);
    ck_assert_int_eq(with_blocks(&old_blocks, 204), 0);
    un->un_shift = 12;
    ck_assert_int_eq(with_blocks(&old_blocks, 8), EFORMAT);
    dd_mode_set(un, DD_MODE_FORMAT);
    ck_assert_int_eq(with_blocks(&old_blocks, 8), EACCES);
    dd_mode_set(un, DD_MODE_NORMAL);
    un->un_shift = 9;
    ck_assert_int_eq(with_blocks(&old_blocks, 8), 0);
    fake_close(fp);
    fake_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_format");
    TCase *t = tcase_create("format");

    tcase_add_test(t, test_shorter);
    tcase_add_test(t, test_past_the_queues);
    tcase_add_test(t, test_formatted);
    tcase_add_test(t, test_commands);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
