/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_strategy_test.c - what the adapter driver's strategy routine accepts and what it refuses.
 */
#include "ad_fake.h"

#include <sys/scsi_buf.h>

static uint8_t pages[8 * SC_PAGE_SIZE] __attribute__((aligned(4096)));

START_TEST(test_AIX_02_chained_sc_buf_refused)
{
    struct req a, b;

    fake_up(true, FAKE_INLINE);
    req_init(&a);
    req_init(&b);
    a.sb.bufstruct.av_forw = &b.sb.bufstruct;
    req_refused(&a, EINVAL);
    ck_assert_uint_eq(b.done, 0);
    req_init(&a);
    req_expect(&a, 0);
    fake_down();
}
END_TEST

static unsigned wide_done;
static void on_wide_done(struct buf *bp)
{
    ck_assert_int_eq(bp->b_error, EINVAL);
    wide_done++;
}

/* A request of the other contract comes back; nothing behind its buf has been taken for an sc_buf. */
START_TEST(test_AIX_02_a_scsi_buf_is_refused_and_left_alone)
{
    static struct scsi_buf wide, before;
    uint8_t data[512];
    static const unsigned cmds[] = {SCIOLSTART, SCIOLSTOP, SCIOLHALT, SCIOLRESET};

    fake_up(true, FAKE_INLINE);
    memset(&wide, 0xa5, sizeof(wide));
    wide.bufstruct = (struct buf){.b_flags = B_READ | B_SCSI_BUF | B_DONE,
                                  .b_dev = FAKE_DEVNO,
                                  .b_iodone = on_wide_done,
                                  .b_un.b_addr = data,
                                  .b_bcount = sizeof(data)};
    before = wide;
    wide_done = 0;
    ck_assert_int_eq(devstrat(&wide.bufstruct), 0);
    ck_assert_uint_eq(wide_done, 1);
    ck_assert_uint_eq(wide.bufstruct.b_flags, B_READ | B_SCSI_BUF | B_ERROR | B_DONE);
    ck_assert_uint_eq(wide.bufstruct.b_resid, sizeof(data));
    ck_assert_mem_eq((char *)&wide + sizeof(struct buf), (char *)&before + sizeof(struct buf),
                     sizeof(wide) - sizeof(struct buf));
    ck_assert_uint_eq(fake.starts, 0);
    ck_assert_uint_eq(fake_stats().refused, 0); /* it names no LUN that we could read */
    for (unsigned i = 0; i < SC_ARRAY_SIZE(cmds); i++) {
        struct scsi_sciolst lst = {.version = SCSI_VERSION_1, .scsi_id = FAKE_ID};

        ck_assert_int_eq(fp_ioctl(fake_fp, cmds[i], (intptr_t)&lst, 0), EINVAL);
    }
    fake_down();
}
END_TEST

START_TEST(test_AIX_03_eight_outstanding_and_strategy_returns)
{
    static struct req r[8];

    fake_up(true, FAKE_PEND);
    for (unsigned i = 0; i < 8; i++) {
        req_init(&r[i]);
        req_send(&r[i]); /* the checked host panics if this sleeps */
        ck_assert_uint_eq(r[i].done, 0);
    }
    ck_assert_uint_eq(fake.nkept, 8);
    fake_check(fake_lun);
    while (fake.nkept > 0)
        fake_end(fake.nkept - 1);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(r[i].done, 1);
    fake_down();
}
END_TEST

START_TEST(test_AIX_05_span_chain_reaches_the_chip_in_order)
{
    struct req r;
    struct buf b[3];

    fake_up(true, FAKE_INLINE);
    req_init(&r);
    memset(b, 0, sizeof(b));
    for (unsigned i = 0; i < 3; i++) {
        b[i].b_flags = B_READ;
        b[i].av_forw = i < 2 ? &b[i + 1] : NULL;
    }
    /* Not neighbours in memory: three segments. The first begins and the last ends anywhere. */
    b[0].b_un.b_addr = pages + 100;
    b[0].b_bcount = SC_PAGE_SIZE - 100;
    b[1].b_un.b_addr = pages + 4 * SC_PAGE_SIZE;
    b[1].b_bcount = SC_PAGE_SIZE;
    b[2].b_un.b_addr = pages + 2 * SC_PAGE_SIZE;
    b[2].b_bcount = 10;
    r.sb.bp = b;
    r.sb.bufstruct.b_bcount = b[0].b_bcount + b[1].b_bcount + b[2].b_bcount;
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.nsegs_last, 3);
    ck_assert_uint_eq(fake.first_byte[0], (unsigned long)(pages + 100));
    /* Neighbours in memory are one segment. */
    b[1].b_un.b_addr = pages + SC_PAGE_SIZE;
    r.done = 0;
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.nsegs_last, 1);
    fake_down();
}
END_TEST

/* Build two bufs the test then breaks. */
static void span_two(struct req *r, struct buf *b)
{
    req_init(r);
    memset(b, 0, 2 * sizeof(*b));
    for (unsigned i = 0; i < 2; i++) {
        b[i].b_flags = B_READ;
        b[i].b_un.b_addr = pages + 2 * i * SC_PAGE_SIZE;
        b[i].b_bcount = SC_PAGE_SIZE;
    }
    b[0].av_forw = &b[1];
    r->sb.bp = b;
    r->sb.bufstruct.b_bcount = 2 * SC_PAGE_SIZE;
}

START_TEST(test_AIX_05_broken_spans_refused)
{
    struct req r;
    struct buf b[2];

    fake_up(true, FAKE_INLINE);
    span_two(&r, b);
    req_expect(&r, 0);
    span_two(&r, b);
    r.sb.bufstruct.b_bcount--; /* total */
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[1].b_flags = B_WRITE; /* AIX-06: one direction */
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[1].b_un.b_addr = pages + 2 * SC_PAGE_SIZE + 1; /* AIX-09: start of a later one */
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[0].b_bcount -= 512; /* AIX-09: end of the first */
    r.sb.bufstruct.b_bcount -= 512;
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[1].b_un.b_addr = NULL;
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[1].b_bcount = 0;
    r.sb.bufstruct.b_bcount = SC_PAGE_SIZE;
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[0].b_xmemd.aspace_id = XMEM_INVAL;
    req_refused(&r, EINVAL);
    span_two(&r, b);
    b[1].av_forw = &b[0]; /* a ring: must end */
    req_refused(&r, EINVAL);
    fake_down();
}
END_TEST

START_TEST(test_AIX_05_long_span_takes_a_list_and_258_is_the_limit)
{
    static struct buf b[AD_SEGS_LONG + 1];
    struct req r;

    fake_up(true, FAKE_INLINE);
    for (unsigned n = AD_SEGS_INLINE; n <= AD_SEGS_LONG + 1; n++) {
        req_init(&r);
        memset(b, 0, sizeof(b));
        for (unsigned i = 0; i < n; i++) {
            /* Every second page, so that none touch; short ends keep the total at 1 MiB. */
            b[i].b_flags = B_READ;
            b[i].b_un.b_addr = (void *)(uintptr_t)((2 * i + 2) * SC_PAGE_SIZE);
            b[i].b_bcount = SC_PAGE_SIZE;
            b[i].av_forw = i + 1 < n ? &b[i + 1] : NULL;
        }
        b[0].b_un.b_addr = (char *)b[0].b_un.b_addr + SC_PAGE_SIZE - 4;
        b[0].b_bcount = 4;
        b[n - 1].b_bcount = 4;
        r.sb.bp = b;
        r.sb.bufstruct.b_bcount = (n - 2) * SC_PAGE_SIZE + 8;
        if (n <= AD_SEGS_LONG - 1) {
            req_expect(&r, 0);
            ck_assert_uint_eq(fake.nsegs_last, n);
        } else {
            req_refused(&r, EINVAL); /* 258 bufs are 1 MiB and 8 bytes; 259 are too many anyway */
        }
        fake_check(fake_lun);
    }
    fake_down();
}
END_TEST

START_TEST(test_AIX_10_maximum_transfer_is_exact_and_no_command_above)
{
    struct req r;

    fake_up(true, FAKE_INLINE);
    req_init(&r);
    r.sb.bufstruct.b_bcount = SC_MAXREQUEST;
    req_expect(&r, 0);
    r.done = 0;
    r.sb.bufstruct.b_bcount = 1u << 20;
    req_expect(&r, 0);
    r.sb.bufstruct.b_bcount = (1u << 20) + 1;
    req_refused(&r, EINVAL);
    r.sb.bufstruct.b_bcount = SIZE_MAX;
    req_refused(&r, EINVAL);
    ck_assert_uint_eq(fake.starts, 2);
    fake_down();
}
END_TEST

START_TEST(test_AIX_10_adapter_below_SC_MAXREQUEST_cannot_attach)
{
    struct ad_config cfg = {.cfg_ops = &fake_ops, .cfg_hw = &fake, .cfg_dev = &fake.dev};

    shim_test_begin_det(1);
    fake_prepare();
    cfg.cfg_transfer_bytes_max = SC_MAXREQUEST - 1;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EINVAL);
    cfg.cfg_transfer_bytes_max = SC_MAXREQUEST;
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), 0);
    ck_assert_int_eq(ad_attach(FAKE_DEVNO, &cfg), EEXIST);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), 0);
    ck_assert_int_eq(ad_detach(FAKE_DEVNO), ENXIO);
    shim_test_end();
}
END_TEST

START_TEST(test_AIX_02_bad_fields_refused)
{
    struct req r;

    fake_up(true, FAKE_INLINE);
    for (unsigned length = 0; length < 256; length++) {
        req_init(&r);
        r.sb.scsi_command.scsi_length = (uint8_t)length;
        if (length == 6 || length == 10 || length == 12 || length == 16)
            req_expect(&r, 0);
        else
            req_refused(&r, EINVAL);
    }
    for (unsigned q = 0; q < 256; q++) {
        req_init(&r);
        r.sb.q_tag_msg = (uint8_t)q;
        if (q == SC_NO_Q || q == SC_SIMPLE_Q || q == SC_HEAD_OF_Q || q == SC_ORDERED_Q)
            req_expect(&r, 0);
        else
            req_refused(&r, EINVAL);
    }
    req_init(&r);
    r.sb.resvd2 = 1;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.resvd3[0] = 1;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.resvd3[1] = 1;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.scsi_command.scsi_resvd = 1;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.scsi_command.scsi_flags = 0x01;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.flags = 0x10;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.flags = SC_Q_CLR | SC_Q_RESUME;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.flags = SC_Q_CLR; /* nothing to clear: the queue was not kept */
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.bufstruct.b_un.b_addr = NULL;
    req_refused(&r, EINVAL);
    req_init(&r);
    r.sb.bufstruct.b_xmemd.aspace_id = XMEM_INVAL;
    req_refused(&r, EINVAL);
    fake_down();
}
END_TEST

START_TEST(test_AIX_25_unknown_or_unstarted_address_refused)
{
    struct req r;

    fake_up(true, FAKE_INLINE);
    for (unsigned id = 0; id < 256; id += 5)
        for (unsigned no = 0; no < 256; no += 3) {
            if (id == FAKE_ID && no == 0)
                continue;
            req_init(&r);
            r.sb.scsi_command.scsi_id = (uint8_t)id;
            r.sb.lun = (uint8_t)no;
            req_expect(&r, EINVAL);
        }
    req_init(&r);
    r.sb.bufstruct.b_dev = SC_MAKEDEV(9, 5); /* no such adapter */
    req_expect(&r, EINVAL);
    ck_assert_int_eq(fp_ioctl(fake_fp, SCIOSTOP, SC_ARG(FAKE_ID, 0), 0), 0);
    req_init(&r);
    req_expect(&r, EINVAL);
    ck_assert_uint_eq(fake.starts, 0);
    fake_down();
}
END_TEST

START_TEST(test_AIX_28_scsi_flags_reach_the_chip)
{
    struct req r;

    fake_up(true, FAKE_INLINE);
    req_init(&r);
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.xflags[0], 0);
    r.done = 0;
    r.sb.scsi_command.scsi_flags = SC_ASYNC;
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.xflags[1], AD_XFER_ASYNC);
    r.done = 0;
    r.sb.scsi_command.scsi_flags = SC_NODISC;
    req_expect(&r, 0);
    ck_assert_uint_eq(fake.xflags[2], AD_XFER_NODISC);
    fake_down();
}
END_TEST

/* Whatever a reused request still says of the last time: good, and refused. */
START_TEST(test_AIX_19_a_reused_request_says_what_happened_now)
{
    struct req r;

    fake_up(true, FAKE_INLINE);
    for (unsigned i = 0; i < 2; i++) {
        req_init(&r);
        r.sb.bufstruct.b_flags |= B_ERROR | B_DONE;
        r.sb.bufstruct.b_error = EIO;
        r.sb.bufstruct.b_resid = 77;
        r.sb.status_validity = r.sb.general_card_status = r.sb.adap_q_status = 1;
        r.sb.scsi_status = SC_CHECK_CONDITION;
        r.sb.resvd2 = (uint8_t)i;
        req_send(&r);
        ck_assert_uint_eq(r.done, 1);
        ck_assert_uint_eq(r.sb.bufstruct.b_flags & B_ERROR, i == 0 ? 0 : B_ERROR);
        ck_assert_int_eq(r.sb.bufstruct.b_error, i == 0 ? 0 : EINVAL);
        ck_assert_uint_eq(r.sb.bufstruct.b_resid, i == 0 ? 0 : r.sb.bufstruct.b_bcount);
        ck_assert_uint_eq(r.sb.status_validity | r.sb.general_card_status | r.sb.adap_q_status, 0);
        ck_assert_uint_eq(r.sb.scsi_status, 0);
    }
    fake_down();
}
END_TEST

/*
 * AIX-29: whatever the CDB bytes are, the adapter driver does the same and hands them on as they
 * were.
 */
START_TEST(test_AIX_29_cdb_bytes_make_no_difference)
{
    struct req r;
    uint8_t cdb[16];

    fake_up(true, FAKE_INLINE);
    for (unsigned round = 0; round < 20000; round++) {
        req_init(&r);
        for (unsigned i = 0; i < 16; i++)
            cdb[i] = round < 256 ? (uint8_t)(i == 0 ? round : 0) : (uint8_t)shim_det_random();
        memcpy(&r.sb.scsi_command.scsi_cmd, cdb, 16);
        req_expect(&r, 0);
        ck_assert_mem_eq(fake.cdb_last, cdb, 16);
        ck_assert_mem_eq(&r.sb.scsi_command.scsi_cmd, cdb, 16);
        ck_assert_uint_eq(
            fake.qmsg[fake.starts % FAKE_LOG_MAX ? fake.starts % FAKE_LOG_MAX - 1 : FAKE_LOG_MAX - 1],
            SC_SIMPLE_Q);
    }
    fake_down();
}
END_TEST

static Suite *ad_strategy_suite(void)
{
    Suite *s = suite_create("ad_strategy");
    TCase *fields = tcase_create("fields");
    TCase *spans = tcase_create("spans");

    tcase_add_test(fields, test_AIX_02_chained_sc_buf_refused);
    tcase_add_test(fields, test_AIX_02_bad_fields_refused);
    tcase_add_test(fields, test_AIX_02_a_scsi_buf_is_refused_and_left_alone);
    tcase_add_test(fields, test_AIX_03_eight_outstanding_and_strategy_returns);
    tcase_add_test(fields, test_AIX_10_maximum_transfer_is_exact_and_no_command_above);
    tcase_add_test(fields, test_AIX_10_adapter_below_SC_MAXREQUEST_cannot_attach);
    tcase_add_test(fields, test_AIX_25_unknown_or_unstarted_address_refused);
    tcase_add_test(fields, test_AIX_28_scsi_flags_reach_the_chip);
    tcase_add_test(fields, test_AIX_19_a_reused_request_says_what_happened_now);
    tcase_add_test(fields, test_AIX_29_cdb_bytes_make_no_difference);
    tcase_add_test(spans, test_AIX_05_span_chain_reaches_the_chip_in_order);
    tcase_add_test(spans, test_AIX_05_broken_spans_refused);
    tcase_add_test(spans, test_AIX_05_long_span_takes_a_list_and_258_is_the_limit);
    suite_add_tcase(s, fields);
    suite_add_tcase(s, spans);
    return s;
}

int main(int argc, char **argv) { return test_run(ad_strategy_suite(), argc, argv); }
