/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_exec.c - one command from CDB to status, when it is not a plain read or write: decoding, the
 * gates it has to pass, and what it leaves behind.
 *
 * Outline: saying what is wrong / decoding / the gates / executing / finishing.
 *
 * The gates, in the order a target has them: unit attention,
 * reservations, injected faults, operation code and reserved bits, "is the unit started", write
 * protection, "does the data phase fit". Only then a handler (sim_cmd_*.c) sees the command, so none of them
 * repeats a check.
 *
 * Does not contain: the table of operations (sim_ops.c), waiting (sim_bus.c).
 */
#include "sim_impl.h"

/* ---------------------------------------------------------------- saying what is wrong */

void sim_check(struct sim_cmd *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
    SHIM_ASSERT(key <= 0xf);
    c->c_status = SC_CHECK_CONDITION;
    memset(&c->c_sense, 0, sizeof(c->c_sense));
    c->c_sense.se_valid = true;
    c->c_sense.se_key = key;
    c->c_sense.se_asc = asc;
    c->c_sense.se_ascq = ascq;
}

void sim_check_info(struct sim_cmd *c, uint8_t key, uint8_t asc, uint8_t ascq, uint64_t info)
{
    sim_check(c, key, asc, ascq);
    c->c_sense.se_info_valid = true;
    c->c_sense.se_info = info;
}

/* ILLEGAL REQUEST with a field pointer; bit 8 or more: the whole byte. */
static void sim_check_field(struct sim_cmd *c, uint8_t asc, bool in_cdb, unsigned byte, unsigned bit)
{
    sim_check(c, SCSI_KEY_ILLEGAL, asc, 0);
    c->c_sense.se_field_valid = true;
    c->c_sense.se_field[0] = (uint8_t)(0x80u | (in_cdb ? 0x40u : 0u) | (bit < 8 ? 0x08u | bit : 0u));
    scsi_put16(&c->c_sense.se_field[1], byte);
}

/* INVALID FIELD IN CDB, pointing at the byte and bit. */
void sim_check_cdb(struct sim_cmd *c, unsigned byte, unsigned bit)
{
    sim_check_field(c, SCSI_ASC_CDB_FIELD, true, byte, bit);
}

/* INVALID FIELD IN PARAMETER LIST. */
void sim_check_param(struct sim_cmd *c, unsigned byte, unsigned bit)
{
    sim_check_field(c, SCSI_ASC_PARAMETER_FIELD, false, byte, bit);
}

/* What an errno of the medium means on the bus. */
void sim_check_medium(struct sim_cmd *c, int error, bool write, uint64_t lba)
{
    SHIM_ASSERT(error != 0);
    switch (error) {
    case EIO:
        sim_check_info(c, SCSI_KEY_MEDIUM, write ? SCSI_ASC_WRITE_ERROR : SCSI_ASC_READ_ERROR, 0, lba);
        break;
    case ENOSPC:
        sim_check(c, SCSI_KEY_PROTECT, SCSI_ASC_WRITE_PROTECTED, SCSI_ASCQ_SPACE_EXHAUSTED);
        break;
    case EROFS:
    case EACCES:
    case EPERM:
        sim_check(c, SCSI_KEY_PROTECT, SCSI_ASC_WRITE_PROTECTED, 0);
        break;
    default:
        sim_check(c, SCSI_KEY_HARDWARE, SCSI_ASC_TARGET_FAILURE, 0);
        break;
    }
}

/* The command's blocks are on the disk; says so with sense when not. */
bool sim_range_ok(struct sim_cmd *c)
{
    uint64_t capacity = atomic_load_explicit(&c->c_disk->dk_blocks, memory_order_relaxed);

    SHIM_ASSERT(c->c_range);
    if (c->c_lba <= capacity && c->c_blocks <= capacity - c->c_lba)
        return true;
    sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_LBA, 0);
    return false;
}

/* The initiator broke a rule of the bus: count it, log it. Context: any. Locks: none taken. */
void sim_protocol_note(const struct sim_cmd *c, enum sim_protocol kind)
{
    static const char *const what[SIM_PROTOCOL_COUNT] = {
        [SIM_PROTOCOL_CDB] = "CDB length does not fit the operation code",
        [SIM_PROTOCOL_DIRECTION] = "data phase goes the wrong way",
        [SIM_PROTOCOL_LENGTH] = "data phase is too short",
        [SIM_PROTOCOL_TAG] = "tag for a disk that does not queue, or out of range",
        [SIM_PROTOCOL_OVERLAP] = "tag is in use",
        [SIM_PROTOCOL_ALLEGIANCE] = "sense thrown away",
    };
    const struct ad_xfer *x = c->c_xfer;
    uint64_t n;

    if (!c->c_disk)
        return; /* a LUN that is not there keeps no books */
    n = atomic_fetch_add_explicit(&c->c_disk->dk_protocol[kind], 1, memory_order_relaxed) + 1;
    /* A caller that does it all the time shall not fill the log: at powers of two only. */
    if ((n & (n - 1)) == 0)
        shim_log(SHIM_LOG_WARN, "sim %u:%u: %s: op %02x, %u CDB bytes, %llu bytes %s, CDB wants %llu (%llu)",
                 x->xfer_id, x->xfer_lun, what[kind], c->c_cdb[0], x->xfer_cdb_len,
                 (unsigned long long)x->xfer_bytes, x->xfer_dir == SHIM_DIR_FROM_DEVICE ? "in" : "out",
                 (unsigned long long)c->c_want_bytes, (unsigned long long)n);
}

/* The same, and the command ends as a bus fault. */
void sim_protocol(struct sim_cmd *c, enum sim_protocol kind)
{
    sim_protocol_note(c, kind);
    c->c_result = AD_RES_BUS_FAULT;
}

/* ---------------------------------------------------------------- decoding */

static void sim_decode_range(struct sim_cmd *c)
{
    const uint8_t *cdb = c->c_cdb;

    c->c_range = true;
    switch ((enum sim_range)c->c_op->op_range) {
    case SIM_RANGE_6:
        c->c_lba = scsi_get24(cdb + 1) & 0x1fffffu;
        c->c_blocks = cdb[4] ? cdb[4] : 256;
        break;
    case SIM_RANGE_10:
        c->c_lba = scsi_get32(cdb + 2);
        c->c_blocks = scsi_get16(cdb + 7);
        break;
    case SIM_RANGE_12:
        c->c_lba = scsi_get32(cdb + 2);
        c->c_blocks = scsi_get32(cdb + 6);
        break;
    case SIM_RANGE_16:
        c->c_lba = scsi_get64(cdb + 2);
        c->c_blocks = scsi_get32(cdb + 10);
        break;
    case SIM_RANGE_CAW:
        c->c_lba = scsi_get64(cdb + 2);
        c->c_blocks = cdb[13];
        break;
    default:
        c->c_range = false;
        break;
    }
}

static uint64_t sim_room_bytes(const struct ad_xfer *x, unsigned op_flags)
{
    uint64_t room = 0;
    unsigned wanted = x->xfer_dir == SHIM_DIR_FROM_DEVICE ? SIM_OP_IN : SIM_OP_OUT;

    if (!(op_flags & wanted) || !x->xfer_map)
        return 0;
    for (uint32_t i = 0; i < x->xfer_map->map_nsegs && room < x->xfer_bytes; i++)
        room += x->xfer_map->map_segs[i].seg_bytes;
    return room < x->xfer_bytes ? room : x->xfer_bytes;
}

/*
 * Prepare a command. The LUN bits that SCSI-2 initiators put in byte 1 are taken away when they
 * name the LUN the command is for; anything else there is for the operation to judge.
 */
void sim_cmd_init(struct sim_cmd *c, struct sim_bus *bus, struct sim_disk *disk, struct ad_xfer *xfer,
                  unsigned nexus)
{
    unsigned lun = xfer->xfer_lun;
    unsigned bytes = xfer->xfer_cdb_len < sizeof(c->c_cdb) ? xfer->xfer_cdb_len : (unsigned)sizeof(c->c_cdb);

    SHIM_ASSERT(nexus < SIM_NEXUS_COUNT);
    memset(c, 0, sizeof(*c));
    c->c_bus = bus;
    c->c_disk = disk;
    c->c_xfer = xfer;
    c->c_nexus = (uint8_t)nexus;
    c->c_result = AD_RES_GOOD;
    memcpy(c->c_cdb, xfer->xfer_cdb, bytes);
    if (lun < 8 && c->c_cdb[1] >> 5 == lun)
        c->c_cdb[1] &= 0x1f;
    c->c_op = sim_op_find(bus, c->c_cdb);
    if (c->c_op) {
        sim_decode_range(c);
        c->c_room_bytes = sim_room_bytes(xfer, c->c_op->op_flags);
        c->c_want_bytes = sim_data_want(c);
    }
}

/* Operation code known and offered, and no bit set that has no meaning. */
static bool sim_gate_cdb(struct sim_cmd *c)
{
    const struct sim_op *op = c->c_op;

    if (!op || (c->c_disk && !sim_op_offered(c->c_disk, op))) {
        /* A known code with an unknown service action is a bad field, not a bad code. */
        if (!op && c->c_bus->bus_op_index[c->c_cdb[0]])
            sim_check_cdb(c, 1, 4);
        else
            sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_OPCODE, 0);
        return false;
    }
    for (unsigned i = 1; i < op->op_cdb_bytes; i++) {
        unsigned meant = i == 1 && (op->op_flags & SIM_OP_ACTION) ? 0x1f : op->op_usage[i];
        unsigned wrong = c->c_cdb[i] & ~meant;

        if (wrong) {
            sim_check_cdb(c, i, 31u - (unsigned)__builtin_clz(wrong));
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------- the gates */

/* The initiator does without the sense that waits for it, if any does. Context: any. Locks: takes dk_lock. */
void sim_allegiance_end(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    struct sim_nexus *nx = &disk->dk_nexus[c->c_nexus];
    bool had;

    shim_lock_enter(&disk->dk_lock);
    had = nx->nx_sense.se_valid;
    nx->nx_sense.se_valid = false;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
    if (had)
        sim_protocol_note(c, SIM_PROTOCOL_ALLEGIANCE);
}

/* Has the sense been waiting for so long? Context: any. Locks: takes dk_lock. */
bool sim_allegiance_older(struct sim_disk *disk, unsigned nexus, uint64_t ns)
{
    bool older;

    shim_lock_enter(&disk->dk_lock);
    older = shim_now_ns() - disk->dk_nexus[nexus].nx_since_ns >= ns;
    shim_lock_exit(&disk->dk_lock);
    return older;
}

/* An untagged command is on its way, lost or not: the initiator has dealt with the error. */
void sim_allegiance_told(struct sim_disk *disk, unsigned nexus)
{
    shim_lock_enter(&disk->dk_lock);
    disk->dk_nexus[nexus].nx_told = true;
    shim_lock_exit(&disk->dk_lock);
}

/*
 * A command has arrived while sense may wait for its initiator. Whoever knows of the sense and sends
 * anything but REQUEST SENSE does not want it. True: the allegiance has ended just now.
 * Context: any. Locks: takes dk_lock.
 */
bool sim_allegiance_arrival(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    struct sim_nexus *nx = &disk->dk_nexus[c->c_nexus];
    bool over;

    shim_lock_enter(&disk->dk_lock);
    nx->nx_told = nx->nx_told || c->c_xfer->xfer_qmsg == SC_NO_Q;
    over = nx->nx_sense.se_valid && c->c_cdb[0] != SCSI_REQUEST_SENSE &&
           (nx->nx_told || nx->nx_thread == shim_self()->self_id);
    shim_lock_exit(&disk->dk_lock);
    if (over)
        sim_allegiance_end(c);
    return over;
}

/*
 * Unit attention and reservation, as far as dk_lock is needed. False: the command is settled.
 */
static bool sim_gate_nexus_locked(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    struct sim_nexus *nx = &disk->dk_nexus[c->c_nexus];
    bool quiet = c->c_op && (c->c_op->op_flags & SIM_OP_QUIET);
    bool attention = nx->nx_attentions && !quiet;

    SHIM_ASSERT(shim_lock_is_held(&disk->dk_lock));
    if (attention) {
        sim_check(c, SCSI_KEY_ATTENTION, nx->nx_attention[0].ua_asc, nx->nx_attention[0].ua_ascq);
        sim_attention_drop_locked(nx, 0);
        return false;
    }
    if (sim_resv_conflict_locked(disk, c->c_nexus, c->c_op ? c->c_op->op_access : SIM_ACCESS_FREE)) {
        c->c_status = SC_RESERVATION_CONFLICT;
        return false;
    }
    return true;
}

static bool sim_gate_nexus(struct sim_cmd *c)
{
    bool pass;

    shim_lock_enter(&c->c_disk->dk_lock);
    pass = sim_gate_nexus_locked(c);
    sim_disk_odd_update_locked(c->c_disk);
    shim_lock_exit(&c->c_disk->dk_lock);
    return pass;
}

/* Started, and writable if it is to be written. */
static bool sim_gate_unit(struct sim_cmd *c)
{
    unsigned flags = c->c_op->op_flags;
    bool stopped, ejected, software;

    if (!(flags & (SIM_OP_MEDIUM | SIM_OP_MODIFY)))
        return true;
    shim_lock_enter(&c->c_disk->dk_lock);
    stopped = c->c_disk->dk_stopped;
    ejected = c->c_disk->dk_ejected;
    software = sim_mode_protected(c->c_disk);
    shim_lock_exit(&c->c_disk->dk_lock);
    if (ejected && (flags & SIM_OP_MEDIUM)) {
        sim_check(c, SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, 0);
        return false;
    }
    if (stopped && (flags & SIM_OP_MEDIUM)) {
        sim_check(c, SCSI_KEY_NOT_READY, SCSI_ASC_NOT_READY, SCSI_ASCQ_START_NEEDED);
        return false;
    }
    if ((flags & SIM_OP_MODIFY) && (software || c->c_disk->dk_read_only)) {
        sim_check(c, SCSI_KEY_PROTECT, SCSI_ASC_WRITE_PROTECTED,
                  c->c_disk->dk_read_only ? 0 : SCSI_ASCQ_SOFTWARE_PROTECT);
        return false;
    }
    return true;
}

/*
 * The data phase carries what the CDB says. Not the business of this gate: an allocation length, because a
 * disk may have less to send (sim_data_in() looks), and a range that the handler refuses before any data.
 */
static bool sim_gate_data(struct sim_cmd *c)
{
    uint64_t capacity = atomic_load_explicit(&c->c_disk->dk_blocks, memory_order_relaxed);

    if (c->c_range && (c->c_lba > capacity || c->c_blocks > capacity - c->c_lba ||
                       c->c_blocks > c->c_disk->dk_transfer_blocks_max))
        return true;
    if (!c->c_range && (c->c_op->op_flags & SIM_OP_IN))
        return true;
    return sim_data_fits(c, c->c_want_bytes);
}

/* ---------------------------------------------------------------- executing */

static void sim_run(struct sim_cmd *c)
{
    if (sim_gate_cdb(c) && sim_gate_unit(c) && sim_gate_data(c))
        c->c_op->op_run(c);
}

/* Sense of an injected CHECK CONDITION. */
static void sim_fault_sense(struct sim_cmd *c, const struct sim_fault *f)
{
    bool block = f->f_key == SCSI_KEY_MEDIUM || f->f_key == SCSI_KEY_RECOVERED;

    if (block && c->c_range)
        sim_check_info(c, f->f_key, f->f_asc, f->f_ascq,
                       c->c_lba > f->f_lba_first ? c->c_lba : f->f_lba_first);
    else
        sim_check(c, f->f_key, f->f_asc, f->f_ascq);
    c->c_sense.se_descriptor = f->f_descriptor;
    c->c_sense.se_deferred = f->f_deferred;
}

/*
 * Run a command that an execution fault has struck. A medium error transfers the blocks before
 * the bad one; a recovered error transfers everything; any other key prevents the command.
 */
static void sim_run_faulty(struct sim_cmd *c, const struct sim_fault *f)
{
    switch (f->f_action) {
    case SIM_FAULT_RESERVED:
        c->c_status = SC_RESERVATION_CONFLICT;
        break;
    case SIM_FAULT_SHORT:
        c->c_short_bytes = f->f_param;
        sim_run(c);
        break;
    case SIM_FAULT_CORRUPT:
        sim_run(c);
        sim_data_invert(c, f->f_param);
        break;
    case SIM_FAULT_CHECK:
        if (f->f_deferred) {
            sim_fault_sense(c, f);
            break;
        }
        if (f->f_key == SCSI_KEY_RECOVERED || (f->f_key == SCSI_KEY_MEDIUM && c->c_range)) {
            c->c_bad = f->f_key == SCSI_KEY_MEDIUM;
            c->c_bad_lba = c->c_lba > f->f_lba_first ? c->c_lba : f->f_lba_first;
            sim_run(c);
        }
        /* An error of the command's own is the better answer. */
        if (c->c_status == SC_GOOD_STATUS)
            sim_fault_sense(c, f);
        break;
    default:
        shim_panic("sim: path fault %d matched during execution", (int)f->f_action);
    }
}

/*
 * The target takes as many command bytes as the group of the operation code says, and the initiator
 * has to have exactly those ready. Groups 3, 6 and 7 are of variable length or a vendor's: any.
 */
static bool sim_cdb_length_ok(const struct sim_cmd *c)
{
    static const uint8_t bytes[8] = {6, 10, 10, 0, 16, 12, 0, 0};
    unsigned wanted = bytes[c->c_cdb[0] >> 5];

    return wanted ? c->c_xfer->xfer_cdb_len == wanted : c->c_xfer->xfer_cdb_len >= 6;
}

/*
 * Execute a prepared command to its end.
 * Context: any that may wait for the medium. Locks: none held.
 */
void sim_execute(struct sim_cmd *c)
{
    struct sim_fault f;

    if (!sim_cdb_length_ok(c)) {
        sim_protocol(c, SIM_PROTOCOL_CDB);
        return;
    }
    if (!c->c_disk) {
        if (c->c_op && (c->c_op->op_flags & SIM_OP_ABSENT)) {
            if (sim_gate_cdb(c))
                c->c_op->op_run(c);
        } else {
            sim_check(c, SCSI_KEY_ILLEGAL, SCSI_ASC_LUN, 0);
        }
        return;
    }
    if (!sim_gate_nexus(c))
        return;
    if (sim_fault_strike(c, SIM_STAGE_EXECUTE, &f))
        sim_run_faulty(c, &f);
    else
        sim_run(c);
}

/* ---------------------------------------------------------------- finishing */

/* Keep the sense for REQUEST SENSE. */
static void sim_finish_sense(struct sim_cmd *c)
{
    struct sim_disk *disk = c->c_disk;
    struct sim_nexus *nx = &disk->dk_nexus[c->c_nexus];

    shim_lock_enter(&disk->dk_lock);
    nx->nx_sense = c->c_sense;
    /* In batches nobody knows before the interrupt: who runs the rest of the batch does not do without. */
    nx->nx_thread = c->c_bus && c->c_bus->bus_pend ? 0 : shim_self()->self_id;
    nx->nx_since_ns = shim_now_ns();
    nx->nx_told = false;
    sim_disk_odd_update_locked(disk);
    shim_lock_exit(&disk->dk_lock);
}

/* Fill the out fields of the transfer. After this the command is the core's. */
void sim_finish(struct sim_cmd *c)
{
    struct ad_xfer *x = c->c_xfer;

    SHIM_ASSERT(c->c_moved_bytes <= x->xfer_bytes);
    if (c->c_status == SC_CHECK_CONDITION && c->c_result == AD_RES_GOOD && c->c_disk) {
        if (c->c_sense.se_key == SCSI_KEY_MEDIUM)
            atomic_fetch_add_explicit(
                &c->c_disk->dk_medium_errors[c->c_op && (c->c_op->op_flags & SIM_OP_MODIFY) != 0], 1,
                memory_order_relaxed);
        sim_finish_sense(c);
    }
    x->xfer_result = c->c_result != AD_RES_GOOD      ? c->c_result
                     : c->c_status == SC_GOOD_STATUS ? (uint8_t)AD_RES_GOOD
                                                     : (uint8_t)AD_RES_STATUS;
    x->xfer_scsi_status = c->c_result == AD_RES_GOOD ? c->c_status : SC_GOOD_STATUS;
    x->xfer_resid = x->xfer_bytes - c->c_moved_bytes;
}
