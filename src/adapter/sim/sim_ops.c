/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_ops.c - the table of operations a simulated disk knows, REPORT SUPPORTED OPERATION CODES,
 * which reads it out, and its neighbour for task management functions.
 *
 * A row's usage bytes are in the format of that report: the operation code, then a mask of the
 * bits that mean something. The same mask refuses CDBs with reserved bits set, so what the
 * disk says and what it does cannot differ.
 *
 * Does not contain: the handlers (sim_cmd_*.c).
 */
#include "sim_impl.h"

#define SIM_DATA_LEN(at, bytes) ((at)*8 + (bytes))

#define ANY4   0xff, 0xff, 0xff, 0xff
#define ANY8   ANY4, ANY4
#define IN     SIM_OP_IN
#define OUT    SIM_OP_OUT
#define MEDIUM SIM_OP_MEDIUM
#define ACTION SIM_OP_ACTION
#define QUIET  SIM_OP_QUIET
#define ABSENT SIM_OP_ABSENT
#define UNMAP  SIM_OP_UNMAP
#define RD     (IN | MEDIUM | SIM_OP_READS)
#define WR     (OUT | MEDIUM | SIM_OP_MODIFY | SIM_OP_WRITES)
#define FILL   (OUT | MEDIUM | SIM_OP_MODIFY)
#define OP(code, bytes, access, range, data, flags, run, ...)                                                \
    {                                                                                                        \
        SCSI_##code, bytes, SIM_ACCESS_##access, SIM_RANGE_##range, SIM_DATA_##data, flags,                  \
            {SCSI_##code, __VA_ARGS__}, sim_##run                                                            \
    }

#define PR_IN(action)                                                                                        \
    OP(PERSISTENT_RESERVE_IN, 10, PR_FREE, NONE, LEN(7, 2), IN | ACTION, cmd_pr_in, action, 0, 0, 0, 0, 0,   \
       0xff, 0xff)
#define PR_OUT(action)                                                                                       \
    OP(PERSISTENT_RESERVE_OUT, 10, PR_FREE, NONE, LEN(5, 4), OUT | ACTION, cmd_pr_out, action, 0xff, 0, 0,   \
       ANY4)

/*
 * Sorted by operation code; rows of one code are neighbours. How much data a CDB asks for stands after
 * its block range: LEN(byte, bytes) is a length field of the CDB. The usage bytes follow the handler.
 */
/* clang-format off */
const struct sim_op sim_ops[] = {
    OP(TEST_UNIT_READY, 6, PR_FREE, NONE, NONE, MEDIUM, cmd_ready, 0),
    OP(REQUEST_SENSE, 6, FREE, NONE, LEN(4, 1), IN | QUIET | ABSENT, cmd_request_sense, 0x01, 0, 0, 0xff),
    OP(FORMAT_UNIT, 6, WRITE, NONE, FORMAT, FILL, cmd_format, 0x3f),
    OP(READ_6, 6, READ, 6, BLOCKS, RD, cmd_read, 0x1f, 0xff, 0xff, 0xff),
    OP(WRITE_6, 6, WRITE, 6, BLOCKS, WR, cmd_write, 0x1f, 0xff, 0xff, 0xff),
    OP(INQUIRY, 6, FREE, NONE, LEN(3, 2), IN | QUIET | ABSENT, cmd_inquiry, 0x01, 0xff, 0xff, 0xff),
    OP(MODE_SELECT_6, 6, WRITE, NONE, LEN(4, 1), OUT, cmd_mode_select, 0x11, 0, 0, 0xff),
    OP(RESERVE_6, 6, PR_FREE, NONE, NONE, 0, cmd_reserve, 0),
    OP(RELEASE_6, 6, FREE, NONE, NONE, 0, cmd_release, 0),
    OP(MODE_SENSE_6, 6, READ, NONE, LEN(4, 1), IN, cmd_mode_sense, 0x08, 0xff, 0xff, 0xff),
    OP(START_STOP_UNIT, 6, WRITE, NONE, NONE, 0, cmd_start_stop, 0x01, 0, 0x0f, 0xf7),
    OP(SEND_DIAGNOSTIC, 6, WRITE, NONE, LEN(3, 2), OUT, cmd_send_diagnostic, 0xf7, 0, 0xff, 0xff),
    OP(PREVENT_ALLOW, 6, WRITE, NONE, NONE, 0, cmd_prevent, 0, 0, 0, 0x03),
    OP(READ_CAPACITY_10, 10, PR_FREE, NONE, EIGHT, IN | MEDIUM, cmd_capacity_10, 0, ANY4, 0, 0, 0x01),
    OP(READ_10, 10, READ, 10, BLOCKS, RD, cmd_read, 0x18, ANY4, 0x1f, 0xff, 0xff),
    OP(WRITE_10, 10, WRITE, 10, BLOCKS, WR, cmd_write, 0x18, ANY4, 0x1f, 0xff, 0xff),
    OP(WRITE_VERIFY_10, 10, WRITE, 10, BLOCKS, WR, cmd_write_verify, 0x12, ANY4, 0x1f, 0xff, 0xff),
    OP(VERIFY_10, 10, READ, 10, VERIFY, OUT | MEDIUM, cmd_verify, 0x16, ANY4, 0x1f, 0xff, 0xff),
    OP(PREFETCH_10, 10, READ, 10, NONE, MEDIUM, cmd_prefetch, 0x02, ANY4, 0x1f, 0xff, 0xff),
    OP(SYNC_CACHE_10, 10, WRITE, 10, NONE, MEDIUM, cmd_sync_cache, 0x06, ANY4, 0x1f, 0xff, 0xff),
    OP(READ_DEFECT_10, 10, READ, NONE, LEN(7, 2), IN, cmd_defects, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff),
    OP(WRITE_SAME_10, 10, WRITE, 10, BLOCK, FILL, cmd_write_same, 0x08, ANY4, 0x1f, 0xff, 0xff),
    OP(UNMAP, 10, WRITE, NONE, LEN(7, 2), FILL | UNMAP, cmd_unmap, 0, 0, 0, 0, 0, 0x1f, 0xff, 0xff),
    OP(SANITIZE, 10, WRITE, NONE, NONE, MEDIUM | UNMAP | ACTION | SIM_OP_MODIFY, cmd_sanitize,
       SCSI_SA_SANITIZE_BLOCK),
    OP(SANITIZE, 10, WRITE, NONE, NONE, MEDIUM | UNMAP | ACTION | SIM_OP_MODIFY, cmd_sanitize,
       SCSI_SA_SANITIZE_CRYPTO),
    OP(SANITIZE, 10, WRITE, NONE, NONE, UNMAP | ACTION, cmd_sanitize_exit, SCSI_SA_SANITIZE_EXIT),
    OP(LOG_SENSE, 10, PR_FREE, NONE, LEN(7, 2), IN, cmd_log_sense, 0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff),
    OP(MODE_SELECT_10, 10, WRITE, NONE, LEN(7, 2), OUT, cmd_mode_select, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff),
    OP(RESERVE_10, 10, PR_FREE, NONE, NONE, 0, cmd_reserve, 0),
    OP(RELEASE_10, 10, FREE, NONE, NONE, 0, cmd_release, 0),
    OP(MODE_SENSE_10, 10, READ, NONE, LEN(7, 2), IN, cmd_mode_sense, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff),
    PR_IN(0x00),
    PR_IN(0x01),
    PR_IN(0x02),
    PR_IN(0x03),
    PR_OUT(0x00),
    PR_OUT(0x01),
    PR_OUT(0x02),
    PR_OUT(0x03),
    PR_OUT(0x04),
    PR_OUT(0x05),
    PR_OUT(0x06),
    OP(READ_16, 16, READ, 16, BLOCKS, RD, cmd_read, 0x18, ANY8, ANY4, 0x1f),
    OP(COMPARE_AND_WRITE, 16, WRITE, CAW, TWICE, FILL | SIM_OP_ALONE, cmd_compare_and_write,
       0x18, ANY8, 0, 0, 0, 0xff, 0x1f),
    OP(WRITE_16, 16, WRITE, 16, BLOCKS, WR, cmd_write, 0x18, ANY8, ANY4, 0x1f),
    OP(ORWRITE_16, 16, WRITE, 16, BLOCKS, FILL | SIM_OP_ALONE, cmd_orwrite, 0x18, ANY8, ANY4, 0x1f),
    OP(WRITE_VERIFY_16, 16, WRITE, 16, BLOCKS, WR, cmd_write_verify, 0x12, ANY8, ANY4, 0x1f),
    OP(VERIFY_16, 16, READ, 16, VERIFY, OUT | MEDIUM, cmd_verify, 0x16, ANY8, ANY4, 0x1f),
    OP(PREFETCH_16, 16, READ, 16, NONE, MEDIUM, cmd_prefetch, 0x02, ANY8, ANY4, 0x1f),
    OP(SYNC_CACHE_16, 16, WRITE, 16, NONE, MEDIUM, cmd_sync_cache, 0x06, ANY8, ANY4, 0x1f),
    OP(WRITE_SAME_16, 16, WRITE, 16, BLOCK, FILL, cmd_write_same, 0x09, ANY8, ANY4, 0x1f),
    OP(SERVICE_ACTION_IN_16, 16, PR_FREE, NONE, LEN(10, 4), IN | MEDIUM | ACTION, cmd_capacity_16,
       SCSI_SA_READ_CAPACITY_16, ANY8, ANY4, 0x01),
    OP(SERVICE_ACTION_IN_16, 16, READ, NONE, LEN(10, 4), IN | MEDIUM | ACTION, cmd_lba_status,
       SCSI_SA_GET_LBA_STATUS, ANY8, ANY4),
    OP(REPORT_LUNS, 12, FREE, NONE, LEN(6, 4), IN | QUIET | ABSENT, cmd_report_luns, 0, 0xff, 0, 0, 0, ANY4),
    OP(MAINTENANCE_IN, 12, PR_FREE, NONE, LEN(6, 4), IN | ACTION, cmd_report_opcodes,
       SCSI_SA_REPORT_OPCODES, 0x87, 0xff, 0xff, 0xff, ANY4),
    OP(MAINTENANCE_IN, 12, PR_FREE, NONE, LEN(6, 4), IN | ACTION, cmd_report_task_mgmt,
       SCSI_SA_REPORT_TASK_MGMT, 0x80, 0, 0, 0, ANY4),
    OP(READ_12, 12, READ, 12, BLOCKS, RD, cmd_read, 0x18, ANY8, 0x1f),
    OP(WRITE_12, 12, WRITE, 12, BLOCKS, WR, cmd_write, 0x18, ANY8, 0x1f),
    OP(WRITE_VERIFY_12, 12, WRITE, 12, BLOCKS, WR, cmd_write_verify, 0x12, ANY8, 0x1f),
    OP(VERIFY_12, 12, READ, 12, VERIFY, OUT | MEDIUM, cmd_verify, 0x16, ANY8, 0x1f),
    OP(READ_DEFECT_12, 12, READ, NONE, LEN(6, 4), IN, cmd_defects, 0x1f, ANY4, ANY4),
};
/* clang-format on */
const unsigned sim_ops_count = SC_ARRAY_SIZE(sim_ops);

/* Fill the index: first row of each operation code, plus one. */
void sim_ops_index(uint8_t index[256])
{
    _Static_assert(SC_ARRAY_SIZE(sim_ops) < 255, "the index has one byte per operation code");
    for (unsigned i = sim_ops_count; i-- > 0;) {
        SHIM_ASSERT(sim_ops[i].op_code == sim_ops[i].op_usage[0]);
        SHIM_ASSERT(i == 0 || sim_ops[i - 1].op_code <= sim_ops[i].op_code);
        index[sim_ops[i].op_code] = (uint8_t)(i + 1);
    }
}

/* The row for a code and, where there is one, a service action; NULL when there is none. */
static const struct sim_op *sim_op_row(const struct sim_bus *bus, unsigned code, bool any_action,
                                       unsigned action)
{
    unsigned i = bus->bus_op_index[code];

    if (i == 0)
        return NULL;
    for (i--; i < sim_ops_count && sim_ops[i].op_code == code; i++) {
        if (any_action || !(sim_ops[i].op_flags & SIM_OP_ACTION) || sim_ops[i].op_usage[1] == action)
            return &sim_ops[i];
    }
    return NULL;
}

const struct sim_op *sim_op_find(const struct sim_bus *bus, const uint8_t *cdb)
{
    return sim_op_row(bus, cdb[0], false, cdb[1] & 0x1fu);
}

/* This disk has it. */
bool sim_op_offered(const struct sim_disk *disk, const struct sim_op *op)
{
    return !(op->op_flags & SIM_OP_UNMAP) || disk->dk_ops->unmap != NULL;
}

/* ---------------------------------------------------------------- REPORT SUPPORTED OPERATION CODES */

#define SIM_TIMEOUTS_BYTES 12u /* command timeouts descriptor */

/*
 * A command timeouts descriptor: no nominal time is reported, and the time after which to give up. Formatting
 * and filling depend on the size of the disk and on the medium.
 */
static uint32_t sim_report_timeouts(const struct sim_op *op, uint8_t *d)
{
    bool fills =
        op->op_data == SIM_DATA_FORMAT || op->op_data == SIM_DATA_BLOCK || (op->op_flags & SIM_OP_UNMAP);

    scsi_put16(d, SIM_TIMEOUTS_BYTES - 2);
    scsi_put32(d + 8, fills ? 3600 : (op->op_flags & SIM_OP_MEDIUM) ? 30 : 10);
    return SIM_TIMEOUTS_BYTES;
}

static void sim_report_all(struct sim_cmd *c, bool timeouts, uint32_t alloc)
{
    uint8_t data[4 + SC_ARRAY_SIZE(sim_ops) * (8 + SIM_TIMEOUTS_BYTES)];
    uint32_t used = 4;

    memset(data, 0, sizeof(data));
    for (unsigned i = 0; i < sim_ops_count; i++) {
        const struct sim_op *op = &sim_ops[i];
        uint8_t *d = data + used;

        if (!sim_op_offered(c->c_disk, op))
            continue;
        d[0] = op->op_code;
        if (op->op_flags & SIM_OP_ACTION) {
            d[3] = op->op_usage[1];
            d[5] = 0x01; /* SERVACTV */
        }
        scsi_put16(d + 6, op->op_cdb_bytes);
        used += 8;
        if (timeouts) {
            d[5] |= 0x02; /* CTDP */
            used += sim_report_timeouts(op, d + 8);
        }
    }
    scsi_put32(data, used - 4);
    sim_data_in(c, data, used, alloc);
}

static void sim_report_one(struct sim_cmd *c, const struct sim_op *op, bool timeouts, uint32_t alloc)
{
    uint8_t data[4 + 16 + SIM_TIMEOUTS_BYTES];
    uint32_t used = 4;

    memset(data, 0, sizeof(data));
    if (!op || !sim_op_offered(c->c_disk, op)) {
        data[1] = 0x01; /* not supported */
        sim_data_in(c, data, used, alloc);
        return;
    }
    data[1] = 0x03; /* supported as the standard has it */
    scsi_put16(data + 2, op->op_cdb_bytes);
    memcpy(data + 4, op->op_usage, op->op_cdb_bytes);
    used += op->op_cdb_bytes;
    if (timeouts) {
        data[1] |= 0x80;
        used += sim_report_timeouts(op, data + used);
    }
    sim_data_in(c, data, used, alloc);
}

void sim_cmd_report_opcodes(struct sim_cmd *c)
{
    unsigned options = c->c_cdb[2] & 7;
    bool timeouts = (c->c_cdb[2] & 0x80) != 0;
    unsigned code = c->c_cdb[3];
    unsigned action = scsi_get16(c->c_cdb + 4);
    uint32_t alloc = scsi_get32(c->c_cdb + 6);
    const struct sim_op *first = sim_op_row(c->c_bus, code, true, 0);
    bool has_actions = first && (first->op_flags & SIM_OP_ACTION);

    switch (options) {
    case 0:
        sim_report_all(c, timeouts, alloc);
        break;
    case 1: /* by operation code: only for one without service actions */
        if (has_actions)
            sim_check_cdb(c, 2, 2);
        else
            sim_report_one(c, first, timeouts, alloc);
        break;
    case 2: /* by operation code and service action */
        if (first && !has_actions)
            sim_check_cdb(c, 2, 2);
        else
            sim_report_one(c, sim_op_row(c->c_bus, code, false, action), timeouts, alloc);
        break;
    case 3: /* either: an operation code without service actions wants 0 there */
        if (first && !has_actions && action != 0)
            first = NULL;
        sim_report_one(c, has_actions ? sim_op_row(c->c_bus, code, false, action) : first, timeouts, alloc);
        break;
    default:
        sim_check_cdb(c, 2, 2);
        break;
    }
}

/* ---------------------------------------------------------------- REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
 */

/* What the messages of this bus can do: ABORT TAG, LOGICAL UNIT RESET, and BUS DEVICE RESET, which resets the
 * target. */
void sim_cmd_report_task_mgmt(struct sim_cmd *c)
{
    bool extended = (c->c_cdb[2] & 0x80) != 0;
    uint32_t alloc = scsi_get32(c->c_cdb + 6);
    uint8_t data[16] = {0x8a};

    if (alloc < 4) {
        sim_check_cdb(c, 6, 8);
        return;
    }
    if (extended)
        data[3] = sizeof(data) - 4; /* the timeouts behind it are not reported */
    sim_data_in(c, data, extended ? sizeof(data) : 4, alloc);
}
