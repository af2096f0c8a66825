/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl_fz.c - every ioctl of both drivers, from the kernel and from users, with structures as the input
 * says, between opens, closes, requests, faults and time.
 *
 * A structure is a block of exactly the size its number promises. The kernel's pointers are good ones, as a
 * kernel caller's are; a user's are whatever the input says, and nobody may follow them. The answer is 0 or
 * an errno below 512, what comes back is within what was asked for, and nothing is left when all is closed.
 *
 * Input: what the world is like; then operations. What a pass-through command does to the contents is not
 * followed: disk_fz.c judges those.
 */
#include "fz.h"

#include <string.h>

#include "shim/det/det_sched.h"

const char fz_name[] = "ioctl";

#define OPERATIONS 40u

static struct {
    struct fz_in in;
    struct fz_world_config cfg;
    struct file *disk[FZ_DISKS];
    struct file *adapter[2]; /* a head's, and another one's */
    unsigned events;
} io;

static const unsigned disk_cmds[] = {IOCINFO,     DKIORDSE, DKIOWRSE, DKIOCMD, DK_PASSTHRU,  DKPMR,
                                     DKAMR,       DKEJECT,  DKFORMAT, DKFLUSH, DKUNMAP,      DKZERO,
                                     DK_PASSTHRU, DKEXTENT, DKINFO,   DKSTATS, DKZERO_UNMAP, DKIORDSE};
static const unsigned adapter_cmds[] = {IOCINFO,   SCIOSTART, SCIOSTOP,    SCIOHALT,   SCIORESET, SCIOGTHW,
                                        SCIOEVENT, SCIOINQU,  SCIOTUR,     SCIOSTUNIT, SCIOREAD,  SCIOCMD,
                                        SCIOCMD,   SCIOTUR,   SCIOLUNSTAT, SCIOSTAT};

void fz_target_once(void) {}

/* ---------------------------------------------------------------- structures */

/* What a sensible caller would send, but for what the input says. */
static void make_passthru(struct sc_passthru *pt)
{
    static const uint8_t lengths[8] = {6, 10, 10, 10, 16, 12, 6, 10};
    uint8_t shape = fz_u8(&io.in);

    pt->version = SC_VERSION_1;
    (void)fz_bytes(&io.in, pt->scsi_cdb, shape & 7 ? 2u + (shape & 7u) * 2u : 1u);
    pt->scsi_cdb[1] &= 0x1f;
    pt->command_length = lengths[pt->scsi_cdb[0] >> 5];
    pt->flags = shape & 0x08 ? SC_PT_READ : 0;
    pt->autosense_length = shape & 0x10 ? 0 : 252;
    pt->q_tag_msg = shape & 0x20 ? SC_SIMPLE_Q + (shape >> 6) % 3 : SC_NO_Q;
    pt->q_flags = shape & 0x80 ? fz_u8(&io.in) : 0;
    pt->timeout_value = 5;
    pt->scsi_id = shape & 0x40;
    pt->data_length = fz_u16(&io.in);
}

static void make_structure(unsigned cmd, uint8_t *arg, size_t size)
{
    union {
        struct sc_passthru pt;
        struct sc_rdwrt rw;
        struct sc_range range;
        struct sc_readblk rb;
    } *u = (void *)arg;

    if (cmd == SCIOCMD || cmd == DK_PASSTHRU || cmd == DKIOCMD) {
        make_passthru(&u->pt);
    } else if (cmd == DKIORDSE || cmd == DKIOWRSE) {
        u->rw.lba = fz_u8(&io.in);
        u->rw.data_length = (uint32_t)(fz_u8(&io.in) & 0x3f) * DEV_BSIZE;
        u->rw.req_sense_length = fz_u8(&io.in);
        u->rw.timeout_value = fz_u8(&io.in) & 1 ? 3 : 0;
    } else if (cmd == DKUNMAP || cmd == DKZERO || cmd == DKZERO_UNMAP || cmd == DKEXTENT) {
        u->range.offset = (uint64_t)fz_u8(&io.in) * DEV_BSIZE;
        u->range.length = cmd == DKEXTENT ? 0 : (uint64_t)fz_u8(&io.in) * DEV_BSIZE;
    } else if (cmd == SCIOREAD) {
        u->rb.scsi_id = fz_u8(&io.in) & 3;
        u->rb.blklen = (uint16_t)(512u << (fz_u8(&io.in) & 3));
        u->rb.blk_no = fz_u8(&io.in);
    } else {
        (void)fz_bytes(&io.in, arg, size < 6 ? size : 6);
    }
}

static void make_argument(unsigned cmd, uint8_t *arg, size_t size, uint8_t how)
{
    memset(arg, 0, size);
    if (how & 1) {
        uint8_t n = fz_u8(&io.in);

        (void)fz_bytes(&io.in, arg, n < size ? n : size);
        return;
    }
    make_structure(cmd, arg, size);
    for (unsigned n = how >> 6; n > 0; n--) { /* and then some of it is wrong */
        unsigned at = fz_u8(&io.in) % 64u;
        uint8_t value = fz_u8(&io.in);

        if (at < size)
            arg[at] = value;
    }
}

static void async(struct sc_event_info *info)
{
    FZ_CHECK(info->mode == SC_IM_MODE && info->id < 16 && info->async_correlator == &io, "event of id %u",
             info->id);
    io.events++;
}

/* Where the data pointer of a structure is, and how long the data; NULL: there is none. */
static uint64_t *pointer_of(unsigned cmd, uint8_t *arg, size_t *bytes)
{
    switch (cmd) {
    case SCIOCMD:
    case DK_PASSTHRU:
    case DKIOCMD:
        *bytes = (size_t)((struct sc_passthru *)(void *)arg)->data_length;
        return &((struct sc_passthru *)(void *)arg)->buffer;
    case DKIORDSE:
    case DKIOWRSE:
        *bytes = ((struct sc_rdwrt *)(void *)arg)->data_length;
        return &((struct sc_rdwrt *)(void *)arg)->buffer;
    case SCIOINQU:
        *bytes = ((struct sc_inquiry *)(void *)arg)->inquiry_len;
        return &((struct sc_inquiry *)(void *)arg)->inquiry_ptr;
    case SCIOREAD:
        *bytes = ((struct sc_readblk *)(void *)arg)->blklen;
        return &((struct sc_readblk *)(void *)arg)->data_ptr;
    default:
        return NULL;
    }
}

static void judge(unsigned cmd, const uint8_t *arg, int error)
{
    const struct sc_passthru *pt = (const void *)arg;
    const struct sc_rdwrt *rw = (const void *)arg;

    if (cmd == SCIOCMD || cmd == DK_PASSTHRU || cmd == DKIOCMD) {
        /* Whose structure there was no memory for, or who may not, gets it back as it was. */
        if (error != ENOMEM && error != EACCES && error != EPERM && error != ENXIO)
            FZ_CHECK(pt->residual <= pt->data_length && pt->sense_bytes <= pt->autosense_length,
                     "pass-through: residual %llu, %u bytes of sense", (unsigned long long)pt->residual,
                     pt->sense_bytes);
        FZ_CHECK(error != 0 || pt->status_validity == 0 || pt->scsi_bus_status == 0, "good, with status %u",
                 pt->scsi_bus_status);
    } else if ((cmd == DKIORDSE || cmd == DKIOWRSE) && (error == 0 || error == EIO)) {
        FZ_CHECK(rw->resid <= rw->data_length && rw->sense_bytes <= rw->req_sense_length,
                 "residual %u, %u bytes of sense", rw->resid, rw->sense_bytes);
    }
}

/* What a user may not do, whatever the structure says. */
static void judge_user(bool adapter, unsigned cmd, unsigned long flags, uint64_t pointer, int error)
{
    bool looks = cmd == IOCINFO || cmd == SCIOGTHW || cmd == SCIOSTAT || cmd == SCIOLUNSTAT;
    bool writes =
        cmd == DKIOWRSE || cmd == DKFORMAT || cmd == DKUNMAP || cmd == DKZERO || cmd == DKZERO_UNMAP;

    if (adapter && !looks && !(flags & DAUTH))
        FZ_CHECK(error == EPERM, "ioctl %#x of a user without authority: errno %d", cmd, error);
    if (adapter && cmd == SCIOEVENT)
        FZ_CHECK(error != 0, "a user registered a function for events");
    if (!adapter && writes && !(flags & DWRITE))
        FZ_CHECK(error != 0, "ioctl %#x on a file that is not open for writing", cmd);
    FZ_CHECK(error != 0 || pointer == 0, "ioctl %#x followed a user's pointer", cmd);
}

/* ---------------------------------------------------------------- operations */

static void one_ioctl(struct file *fp, bool adapter, unsigned cmd, uint8_t how)
{
    size_t size = SC_IOC_SIZE(cmd), bytes = 0;
    uint8_t *arg = malloc(size ? size : 1), *memory = NULL;
    bool kernel = (how & 2) != 0;
    unsigned long flags = kernel ? DKERNEL : DREAD | (how & 0x10 ? 0 : DWRITE) | (how & 8 ? 0 : DAUTH);
    uint64_t *pointer, there;
    intptr_t word;
    int error;

    if (!arg)
        abort();
    make_argument(cmd, arg, size, how);
    word = size ? (intptr_t)arg : how & 1 ? (intptr_t)fz_u32(&io.in) : SC_ARG(fz_u8(&io.in) & 3, 0);
    pointer = pointer_of(cmd, arg, &bytes);
    if (pointer && kernel) {
        *pointer = 0;
        if ((how & 4) && bytes <= SC_MAXREQUEST + 4096u) {
            memory = malloc(bytes ? bytes : 1);
            if (!memory)
                abort();
            memset(memory, 0x5a, bytes);
            *pointer = (uint64_t)(uintptr_t)memory;
        }
    }
    if (cmd == SCIOEVENT && kernel) {
        ((struct sc_event_struct *)(void *)arg)->async_func = how & 8 ? NULL : async;
        ((struct sc_event_struct *)(void *)arg)->async_correlator = &io;
    }
    if (!kernel && size && how == 0x20)
        word = 16; /* nobody's memory */
    there = pointer && word == (intptr_t)arg ? *pointer : 0;
    error = kernel ? fp_ioctl(fp, cmd, word, 0) : fp_ioctlx(fp, cmd, word, 0, flags);
    if (!kernel)
        judge_user(adapter, cmd, flags, there, error);
    FZ_SAY("   ioctl %#x %s: errno %d\n", cmd, kernel ? "kernel" : "user", error);
    FZ_CHECK(error >= 0 && error < 512, "ioctl %#x: errno %d", cmd, error);
    fz_saw((uint64_t)cmd << 32 | (uint64_t)error);
    if (size && word == (intptr_t)arg) {
        judge(cmd, arg, error);
        if (pointer && kernel)
            *pointer = 0;
        if (cmd != SCIOEVENT)
            fz_saw_bytes(arg, size);
        fz_saw_bytes(memory, memory ? bytes : 0);
    }
    free(memory);
    free(arg);
}

static void disk_toggle(unsigned d, uint8_t how)
{
    static const int exts[8] = {0,
                                SC_SINGLE,
                                SC_DIAGNOSTIC,
                                SC_FORCED_OPEN,
                                SC_NO_RESERVE,
                                SC_RETAIN_RESERVATION,
                                SC_SINGLE | SC_FORCED_OPEN,
                                SC_DIAGNOSTIC | SC_RETAIN_RESERVATION};
    int error;

    if (io.disk[d]) {
        fz_wait(&fz_out);
        error = fp_close(io.disk[d]);
        io.disk[d] = NULL;
    } else {
        error = fp_opendev(FZ_DISK(d), DREAD | (how & 8 ? 0 : DWRITE) | DKERNEL, NULL, exts[how & 7],
                           &io.disk[d]);
        if (error)
            io.disk[d] = NULL;
    }
    FZ_SAY("   disk %u is %s: errno %d\n", d, io.disk[d] ? "open" : "closed", error);
    fz_saw((uint64_t)error);
}

static void send_request(unsigned d, uint8_t how)
{
    struct fz_req *r;

    if (!io.disk[d])
        return;
    r = fz_req_make(d, how & 1, fz_u8(&io.in) & ~7u, ((how >> 1 & 3u) + 1u) * 4096u, 0);
    if (!r)
        return;
    fz_req_sent(r);
    FZ_CHECK(devstrat(&r->r_buf) == 0, "devstrat");
}

/* Something goes wrong with some of the commands to come. Nothing hangs: a caller may ask for no timeout. */
static void add_fault(unsigned d, uint8_t how)
{
    static const enum sim_fault_action actions[] = {
        SIM_FAULT_CHECK,      SIM_FAULT_CHECK,     SIM_FAULT_BUSY,        SIM_FAULT_QUEUE_FULL,
        SIM_FAULT_RESERVED,   SIM_FAULT_BUS_RESET, SIM_FAULT_NO_RESPONSE, SIM_FAULT_BUS_FAULT,
        SIM_FAULT_HW_FAILURE, SIM_FAULT_SHORT,     SIM_FAULT_DELAY,       SIM_FAULT_CORRUPT};
    struct sim_fault f = {.f_opcode = how & 0x80 ? fz_u8(&io.in) : SIM_OPCODE_ANY,
                          .f_lba_last = UINT64_MAX,
                          .f_skip = how >> 4 & 3u,
                          .f_count = 1u + (how >> 6 & 1u),
                          .f_action = actions[(how & 15u) % SC_ARRAY_SIZE(actions)]};

    if (f.f_action == SIM_FAULT_CHECK) {
        f.f_key = fz_u8(&io.in) & 15;
        f.f_asc = fz_u8(&io.in);
        f.f_ascq = fz_u8(&io.in);
        f.f_descriptor = how & 1;
    } else {
        f.f_param = f.f_action == SIM_FAULT_DELAY   ? 1000000u * fz_u8(&io.in)
                    : f.f_action == SIM_FAULT_SHORT ? 512
                                                    : 0;
    }
    (void)sim_fault_add(fz_world.w_disk[d], &f);
}

static void one_operation(void)
{
    uint8_t op = fz_u8(&io.in), how = fz_u8(&io.in);
    unsigned d = op >> 4 & 1u;

    switch (op & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        if (io.disk[d])
            one_ioctl(io.disk[d], false,
                      op & 0x80 ? fz_u32(&io.in) : disk_cmds[fz_u8(&io.in) % SC_ARRAY_SIZE(disk_cmds)], how);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        if (io.adapter[d])
            one_ioctl(io.adapter[d], true,
                      op & 0x80 ? fz_u32(&io.in) : adapter_cmds[fz_u8(&io.in) % SC_ARRAY_SIZE(adapter_cmds)],
                      how);
        break;
    case 10:
        disk_toggle(d, how);
        break;
    case 11:
        if (io.adapter[d]) {
            fz_saw((uint64_t)fp_close(io.adapter[d]));
            io.adapter[d] = NULL;
        } else if (fp_opendev(FZ_ADAPTER, DREAD | DWRITE, NULL, how & 8 ? SC_DIAGNOSTIC : 0,
                              &io.adapter[d]) != 0) {
            io.adapter[d] = NULL;
        }
        break;
    case 12:
        send_request(d, how);
        break;
    case 13:
        if (how & 0x80) { /* no memory, once */
            shim_det_short(DET_SHORT_MEMORY, 1u + (how & 3u), false);
            break;
        }
        for (unsigned i = 0; i < how % 16u; i++)
            if (!shim_det_step())
                break;
        break;
    case 14:
        add_fault(d, how);
        break;
    default:
        sim_disk_attention(fz_world.w_disk[d], how & 1 ? 0x29 : 0x2a, how & 1 ? 0 : 1 + (how >> 1) % 9);
        break;
    }
}

uint64_t fz_target(const uint8_t *data, size_t bytes)
{
    uint8_t more;

    memset(&io, 0, sizeof(io));
    io.in = (struct fz_in){data, data + bytes};
    fz_world_choose(&io.cfg, fz_u8(&io.in));
    more = fz_u8(&io.in);
    io.cfg.wc_disks = 2;
    io.cfg.wc_latency_ns = more & 1 ? 100000 : 0;
    fz_world_up(&io.cfg);
    fz_short = true; /* what it formats and stops is not followed */
    for (unsigned d = 0; d < FZ_DISKS; d++)
        fz_model_spoil(d, 0, FZ_SECTORS, FZ_ANYTHING);
    if (!(more & 2))
        disk_toggle(0, more >> 4);
    for (unsigned i = 0; i < 2; i++)
        FZ_CHECK(fp_opendev(FZ_ADAPTER, DREAD | DWRITE, NULL, 0, &io.adapter[i]) == 0, "open of the adapter");
    for (unsigned i = 0; i < OPERATIONS && fz_left(&io.in) > 0; i++)
        one_operation();
    shim_det_short(DET_SHORT_MEMORY, 0, false);
    fz_wait(&fz_out);
    for (unsigned d = 0; d < FZ_DISKS; d++)
        if (io.disk[d])
            fz_saw((uint64_t)fp_close(io.disk[d]));
    for (unsigned i = 0; i < 2; i++)
        if (io.adapter[i])
            fz_saw((uint64_t)fp_close(io.adapter[i]));
    for (unsigned d = 0; d < FZ_DISKS; d++)
        fz_world_idle(d);
    fz_saw(io.events);
    fz_world_down();
    return fz_digest;
}
