/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * head_fz.c - the adapter driver under a head that need not know the rules: sc_bufs with any fields, spans
 * and gathers, the flags of the halted queue, SCIOSTART to SCIORESET, faults, time.
 *
 * The table in <sys/scsi.h> is the oracle, as far as it can be seen from outside: each request comes back
 * once; what breaks the rules is refused and changes nothing; a halted queue throws back what comes without
 * SC_RESUME; a running one refuses SC_Q_CLR; one status at most is claimed.
 *
 * Input: what the world is like; then operations. Contents are not judged here.
 */
#define _GNU_SOURCE
#include "fz.h"

#include <string.h>

const char fz_name[] = "head";

#define OPERATIONS 60u
#define REQUESTS   16u
#define PIECES     6u
#define IDS        3u /* the third has no disk */

struct request {
    struct sc_buf rq_sb; /* first */
    bool rq_out, rq_refused;
    int rq_must; /* the errno it has to come back with; 0: any */
    uint8_t *rq_data;
    size_t rq_bytes;
    struct buf rq_bufs[PIECES];
    struct iovec rq_vec[PIECES];
    struct uio rq_uio;
};

static struct {
    struct fz_in in;
    struct fz_world_config cfg;
    struct file *fp[2];
    struct request rq[REQUESTS];
    unsigned out;
    unsigned events;
    bool asleep; /* in an ioctl of ours whose command may be in a queue that is kept */
} head;

void fz_target_once(void) {}

static struct file *owner(void) { return head.fp[0]; }

static void done(struct buf *bp);

/* A queue was kept while the head sleeps: nobody but its iodone routine can end that. */
static void queue_clear(unsigned id)
{
    struct request *rq = head.rq;

    while (rq->rq_out)
        rq++;
    FZ_CHECK(rq < head.rq + REQUESTS, "no room for SC_Q_CLR");
    memset(rq, 0, sizeof(*rq));
    rq->rq_sb.bufstruct.b_dev = FZ_ADAPTER;
    rq->rq_sb.bufstruct.b_iodone = done;
    rq->rq_sb.scsi_command.scsi_id = (uint8_t)id;
    rq->rq_sb.flags = SC_Q_CLR;
    rq->rq_out = true;
    head.out++;
    FZ_CHECK(devstrat(&rq->rq_sb.bufstruct) == 0, "devstrat of SC_Q_CLR");
}

static void done(struct buf *bp)
{
    struct request *rq = (struct request *)(void *)bp;
    const struct sc_buf *sb = &rq->rq_sb;
    int error = bp->b_flags & B_ERROR ? bp->b_error : 0;

    FZ_CHECK(rq >= head.rq && rq < head.rq + REQUESTS && rq->rq_out, "a request completed twice");
    FZ_SAY("   %u is back: errno %d, residual %zu, validity %u, status %02x/%02x, queue %u\n",
           (unsigned)(rq - head.rq), error, bp->b_resid, sb->status_validity, sb->scsi_status,
           sb->general_card_status, sb->adap_q_status);
    FZ_CHECK(bp->b_resid <= bp->b_bcount, "residual %zu of %zu", bp->b_resid, bp->b_bcount);
    FZ_CHECK(!(bp->b_flags & B_ERROR) || error > 0, "failed without an errno");
    FZ_CHECK(sb->status_validity <= SC_ADAPTER_ERROR, "two statuses are claimed");
    FZ_CHECK(error == EIO || sb->status_validity == 0, "status %u with errno %d", sb->status_validity, error);
    FZ_CHECK(error == 0 || error == EIO || error == ENXIO || error == EINVAL || error == ENOMEM ||
                 error == EFAULT,
             "errno %d", error);
    FZ_CHECK(rq->rq_must == 0 || error == rq->rq_must, "errno %d, and it should be %d", error, rq->rq_must);
    FZ_CHECK((error != ENXIO && error != EINVAL) || bp->b_resid == bp->b_bcount, "never sent, and %zu moved",
             bp->b_bcount - bp->b_resid);
    fz_saw((uint64_t)error << 32 | (uint64_t)sb->status_validity << 24 | (uint64_t)sb->scsi_status << 16 |
           (uint64_t)sb->general_card_status << 8 | sb->adap_q_status);
    fz_saw(bp->b_resid);
    rq->rq_out = false;
    free(rq->rq_data);
    rq->rq_data = NULL;
    head.out--;
    if (sb->adap_q_status && head.asleep)
        queue_clear(sb->scsi_command.scsi_id);
}

static uint8_t state_of(unsigned id)
{
    struct sc_lun_stats st = {.id = (uint8_t)id};
    int error = fp_ioctl(owner(), SCIOLUNSTAT, (intptr_t)&st, 0);

    FZ_CHECK(error == 0 || error == EINVAL, "SCIOLUNSTAT: errno %d", error);
    return error ? SC_LUN_STOPPED : st.state;
}

/* ---------------------------------------------------------------- one request */

static void make_cdb(struct sc_buf *sb, uint8_t shape, size_t bytes)
{
    static const uint8_t ops[8] = {SCSI_READ_10,  SCSI_WRITE_10,        SCSI_TEST_UNIT_READY,
                                   SCSI_READ_10,  SCSI_INQUIRY,         SCSI_REQUEST_SENSE,
                                   SCSI_WRITE_10, SCSI_READ_CAPACITY_10};
    uint8_t *cdb = (uint8_t *)&sb->scsi_command.scsi_cmd;
    unsigned blocks = (unsigned)(bytes / head.cfg.wc_block_bytes);

    cdb[0] = ops[shape & 7];
    sb->scsi_command.scsi_length = cdb[0] < 0x20 ? 6 : 10;
    if (cdb[0] == SCSI_READ_10 || cdb[0] == SCSI_WRITE_10) {
        cdb[5] = fz_u8(&head.in) & 15;
        cdb[8] = (uint8_t)blocks;
        cdb[7] = (uint8_t)(blocks >> 8);
    } else if (sb->scsi_command.scsi_length == 6) {
        cdb[4] = (uint8_t)(bytes > 255 ? 255 : bytes);
    }
}

/* The memory of a data phase: in one, as bufs of a span, as pieces of a gather; now and then not by the
 * rules. */
static void make_memory(struct request *rq, uint8_t how, size_t bytes)
{
    struct sc_buf *sb = &rq->rq_sb;
    unsigned n = 1u + (how >> 2) % PIECES, used = 0;
    size_t at = 0, piece = how & 0x80 ? fz_u16(&head.in) : (bytes / n + 4095u) & ~(size_t)4095u;

    rq->rq_bytes = bytes;
    if (posix_memalign((void **)&rq->rq_data, SC_PAGE_SIZE, bytes ? bytes : 1) != 0)
        abort();
    memset(rq->rq_data, 0x5a, bytes);
    sb->bufstruct.b_un.b_addr = rq->rq_data;
    sb->bufstruct.b_bcount = bytes;
    if ((how & 3) < 2 || bytes == 0)
        return;
    for (; used < n && at < bytes; used++) {
        size_t take = used + 1 == n ? bytes - at : piece < bytes - at ? piece : bytes - at;

        rq->rq_bufs[used] = (struct buf){.b_flags = sb->bufstruct.b_flags & B_READ, .b_bcount = take};
        rq->rq_bufs[used].b_un.b_addr = rq->rq_data + at;
        rq->rq_vec[used] = (struct iovec){rq->rq_data + at, take};
        if (used)
            rq->rq_bufs[used - 1].av_forw = &rq->rq_bufs[used];
        at += take;
    }
    if ((how & 3) == 2) {
        sb->bp = &rq->rq_bufs[0];
        return;
    }
    rq->rq_uio = (struct uio){
        .uio_iov = rq->rq_vec, .uio_iovcnt = (int32_t)used, .uio_resid = bytes, .uio_segflg = UIO_SYSSPACE};
    sb->resvd1 = &rq->rq_uio;
}

/* Some field is wrong: what `what` says. Pointers stay good ones. */
static void make_wrong(struct request *rq, uint8_t what)
{
    struct sc_buf *sb = &rq->rq_sb;
    uint8_t value = fz_u8(&head.in);

    switch (what % 14) {
    case 0:
        sb->scsi_command.scsi_length = value;
        break;
    case 1:
        sb->scsi_command.scsi_id = value;
        break;
    case 2:
        sb->lun = value;
        break;
    case 3:
        sb->scsi_command.scsi_flags = value;
        break;
    case 4:
        sb->scsi_command.scsi_resvd = value;
        break;
    case 5:
        sb->q_tag_msg = value;
        break;
    case 6:
        sb->flags = value;
        break;
    case 7:
        sb->resvd2 = value;
        break;
    case 8:
        sb->resvd3[value & 1] = value;
        break;
    case 9:
        sb->bufstruct.b_xmemd.aspace_id = XMEM_INVAL;
        break;
    case 10:
        sb->bufstruct.b_un.b_addr = NULL;
        break;
    case 11:
        rq->rq_bufs[value % PIECES].b_bcount += value;
        break;
    case 12:
        rq->rq_uio.uio_resid += value;
        break;
    default:
        sb->bufstruct.av_forw = &rq->rq_bufs[0];
        break;
    }
}

static void op_request(uint8_t how)
{
    static const uint8_t tags[4] = {SC_SIMPLE_Q, SC_NO_Q, SC_ORDERED_Q, SC_HEAD_OF_Q};
    static const uint8_t flags[8] = {0,
                                     SC_RESUME,
                                     SC_RESUME,
                                     SC_Q_CLR,
                                     SC_RESUME | SC_Q_RESUME,
                                     SC_DELAY_CMD,
                                     SC_RESUME | SC_DELAY_CMD,
                                     SC_Q_RESUME};
    uint8_t shape = fz_u8(&head.in), memory = fz_u8(&head.in), wrong = how >> 4 == 15 ? fz_u8(&head.in) : 0;
    struct request *rq = head.rq;
    struct sc_buf *sb;
    unsigned id = how & 3;
    uint8_t state;

    while (rq < head.rq + REQUESTS && rq->rq_out)
        rq++;
    if (rq == head.rq + REQUESTS)
        return;
    memset(rq, 0, sizeof(*rq));
    sb = &rq->rq_sb;
    sb->bufstruct.b_dev = FZ_ADAPTER;
    sb->bufstruct.b_iodone = done;
    sb->bufstruct.b_flags = (shape & 7) == 1 || (shape & 7) == 6 ? B_WRITE : B_READ;
    sb->scsi_command.scsi_id = (uint8_t)(id < IDS ? id : 0);
    sb->q_tag_msg = tags[shape >> 3 & 3];
    sb->flags = flags[how >> 2 & 7u];
    sb->timeout_value = 1u + (shape >> 5);
    make_memory(rq, memory,
                (shape & 7) == 2                       ? 0
                : (shape & 7) >= 4 && (shape & 7) != 6 ? 36u
                                                       : ((size_t)(memory >> 5) + 1u) * 4096u);
    make_cdb(sb, shape, rq->rq_bytes);
    if (how >> 4 == 15)
        make_wrong(rq, wrong);
    else if ((sb->flags & SC_Q_RESUME) && (shape & 0x80))
        sb->scsi_command.scsi_length = 0; /* no command: the queue alone */
    state = state_of(sb->scsi_command.scsi_id);
    if (how >> 4 != 15) {
        if (sb->flags == 0 && state == SC_LUN_HALTED && !sb->bp && !sb->resvd1)
            rq->rq_must = ENXIO;
        if (state == SC_LUN_RUNNING && (sb->flags & SC_Q_CLR))
            rq->rq_must = EINVAL;
        if (state == SC_LUN_STOPPED)
            FZ_SAY("   (it is stopped)\n");
    }
    FZ_SAY("   %u goes: id %u, op %02x, flags %02x, tag %02x, %zu bytes, state %u\n",
           (unsigned)(rq - head.rq), sb->scsi_command.scsi_id, sb->scsi_command.scsi_cmd.scsi_op_code,
           sb->flags, sb->q_tag_msg, rq->rq_bytes, state);
    rq->rq_out = true;
    head.out++;
    FZ_CHECK(devstrat(&sb->bufstruct) == 0, "devstrat");
}

/* ---------------------------------------------------------------- the rest */

static void async(struct sc_event_info *info)
{
    FZ_CHECK(info->id < IDS && info->async_correlator == &head, "event of id %u", info->id);
    head.events++;
}

static void op_word(uint8_t how)
{
    static const unsigned cmds[4] = {SCIOSTART, SCIOSTOP, SCIOHALT, SCIORESET};
    struct sc_event_struct ev = {
        .id = how >> 2 & 3u, .mode = SC_IM_MODE, .async_func = async, .async_correlator = &head};
    struct file *fp = head.fp[how >> 7];
    int error;

    if (!fp)
        return;
    if (how & 0x40)
        error = fp_ioctl(fp, SCIOEVENT, (intptr_t)&ev, 0);
    else
        error = fp_ioctl(fp, cmds[how & 3], SC_ARG(how >> 2 & 3u, 0), 0);
    FZ_SAY("   ioctl %u on id %u: errno %d\n", how & 3, how >> 2 & 3u, error);
    FZ_CHECK(error == 0 || error == EINVAL || error == EIO || error == ETIMEDOUT || error == ENOMEM ||
                 error == EPERM,
             "ioctl %u: errno %d", how & 3, error);
    fz_saw((uint64_t)error);
    if (!(how & 0x40) && error == 0 && (how & 3) == 1)
        FZ_CHECK(state_of(how >> 2 & 3u) == SC_LUN_STOPPED, "it was stopped and is not");
}

static void op_send(uint8_t how)
{
    static struct sc_passthru pt;
    struct sc_ready ready = {.scsi_id = how & 3};
    struct file *fp = head.fp[how >> 7];
    int error;

    if (!fp)
        return;
    head.asleep = true;
    if (how & 4) {
        error = fp_ioctl(fp, SCIOTUR, (intptr_t)&ready, 0);
    } else {
        memset(&pt, 0, sizeof(pt));
        pt.version = SC_VERSION_1;
        pt.command_length = 6;
        pt.scsi_id = how & 3;
        pt.q_tag_msg = how & 8 ? SC_SIMPLE_Q : SC_NO_Q;
        pt.q_flags = how & 0x10 ? (uint8_t)(how >> 3 & 15u) : 0;
        pt.autosense_length = how & 0x20 ? 0 : 32;
        pt.timeout_value = 2;
        error = fp_ioctl(fp, SCIOCMD, (intptr_t)&pt, 0);
    }
    head.asleep = false;
    FZ_SAY("   command of an ioctl to id %u: errno %d\n", how & 3, error);
    FZ_CHECK(error >= 0 && error < 512, "errno %d", error);
    fz_saw((uint64_t)error);
}

static void op_fault(uint8_t how)
{
    uint8_t what = fz_u8(&head.in);
    struct sim_fault f = {.f_opcode = SIM_OPCODE_ANY,
                          .f_lba_last = UINT64_MAX,
                          .f_skip = how >> 2 & 3u,
                          .f_count = 1u + (how >> 4 & 3u),
                          .f_action = (enum sim_fault_action)(1u + what % (SIM_FAULT_COUNT - 1u)),
                          .f_key = what >> 4};

    f.f_asc = f.f_key == 6 ? 0x29 : 0x11;
    if (f.f_action == SIM_FAULT_DELAY)
        f.f_param = (uint64_t)(what >> 4) * 300000000u;
    else if (f.f_action == SIM_FAULT_SHORT)
        f.f_param = 512;
    (void)sim_fault_add(fz_world.w_disk[how & 1], &f);
}

static void one_operation(void)
{
    uint8_t op = fz_u8(&head.in), how = fz_u8(&head.in);

    switch (op % 16) {
    case 9:
    case 10:
        for (unsigned i = 0; i < how % 16u; i++)
            if (!shim_det_step())
                break;
        break;
    case 11:
        op_word(how);
        break;
    case 12:
        op_send(how);
        break;
    case 13:
        op_fault(how);
        break;
    case 14:
        sim_disk_attention(fz_world.w_disk[how & 1], 0x29, 0);
        break;
    case 15:
        if (how & 0x80 && head.fp[1]) {
            fz_saw((uint64_t)fp_close(head.fp[1]));
            head.fp[1] = NULL;
        } else if (how & 0x40) {
            fz_saw((uint64_t)fp_ioctl(owner(), SCIOGTHW, 0, 0));
        } else {
            shim_det_run(shim_now_ns() + (uint64_t)how * 50000000u);
        }
        break;
    default:
        op_request(how);
        break;
    }
}

uint64_t fz_target(const uint8_t *data, size_t bytes)
{
    uint8_t more;

    memset(&head, 0, sizeof(head));
    head.in = (struct fz_in){data, data + bytes};
    fz_world_choose(&head.cfg, fz_u8(&head.in));
    more = fz_u8(&head.in);
    head.cfg.wc_disks = 2;
    head.cfg.wc_latency_ns = more & 3 ? (more & 3u) * UINT64_C(70000) : 0;
    head.cfg.wc_commands_max = more & 4 ? 3 : 0;
    fz_world_up(&head.cfg);
    for (unsigned i = 0; i < 2; i++)
        FZ_CHECK(fp_opendev(FZ_ADAPTER, DREAD | DWRITE | DKERNEL, NULL, 0, &head.fp[i]) == 0, "open");
    (void)fp_ioctl(owner(), SCIOGTHW, 0, 0);
    FZ_CHECK(fp_ioctl(owner(), SCIOSTART, SC_ARG(0, 0), 0) == 0, "SCIOSTART");
    if (more & 8)
        FZ_CHECK(fp_ioctl(owner(), SCIOSTART, SC_ARG(1, 0), 0) == 0, "SCIOSTART of the other one");
    for (unsigned i = 0; i < OPERATIONS && fz_left(&head.in) > 0; i++)
        one_operation();
    /* Stopping waits for whatever is out: nothing may need another call of the head to come back. */
    for (unsigned i = 0; i < 2; i++)
        if (head.fp[i])
            fz_saw((uint64_t)fp_close(head.fp[i]));
    FZ_CHECK(head.out == 0, "the adapter is closed, and %u requests are out", head.out);
    for (unsigned d = 0; d < FZ_DISKS; d++)
        fz_world_idle(d);
    fz_saw(head.events);
    fz_world_down();
    return fz_digest;
}
