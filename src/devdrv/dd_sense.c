/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_sense.c - policy as tables: what sense data, status bytes and adapter codes mean for a request.
 *
 * Each row has a name, which is what the error log shows. The first row that matches counts, so special rows
 * come before general ones and each table ends with a row for everything.
 *
 * Retried: what may pass by itself (aborted, attention, becoming ready, and medium or hardware errors,
 * a few times). Not retried: what will be the same tomorrow (illegal request, protection, no medium).
 *
 * Does not contain: carrying the verdict out (dd_recover.c), taking sense bytes apart (sys/scsiproto.h).
 */
#include "dd_impl.h"

#define ANY DD_ANY

static const struct dd_rule dd_sense_rules[] = {
    {"recovered error", SCSI_KEY_RECOVERED, ANY, ANY, DD_ACT_OK, 0, 0},
    {"no sense", SCSI_KEY_NO_SENSE, ANY, ANY, DD_ACT_RETRY, DD_RULE_SPLIT, EIO},
    {"becoming ready", SCSI_KEY_NOT_READY, 0x04, 0x01, DD_ACT_RETRY, DD_RULE_BECOMING, ENOTREADY},
    {"start unit required", SCSI_KEY_NOT_READY, 0x04, 0x02, DD_ACT_RETRY, DD_RULE_START, ENOTREADY},
    {"no medium", SCSI_KEY_NOT_READY, 0x3a, ANY, DD_ACT_FAIL, 0, ENOTREADY},
    {"incompatible medium", SCSI_KEY_NOT_READY, 0x30, ANY, DD_ACT_FAIL, 0, EFORMAT},
    {"medium not formatted", SCSI_KEY_NOT_READY, 0x31, ANY, DD_ACT_FAIL, 0, EFORMAT},
    {"not ready", SCSI_KEY_NOT_READY, ANY, ANY, DD_ACT_RETRY, DD_RULE_DELAY, ENOTREADY},
    {"incompatible medium", SCSI_KEY_MEDIUM, 0x30, ANY, DD_ACT_FAIL, 0, EFORMAT},
    {"medium format corrupted", SCSI_KEY_MEDIUM, 0x31, ANY, DD_ACT_FAIL, 0, EFORMAT},
    {"medium error", SCSI_KEY_MEDIUM, ANY, ANY, DD_ACT_RETRY, DD_RULE_SPLIT | DD_RULE_INFO, EMEDIA},
    {"hardware error", SCSI_KEY_HARDWARE, ANY, ANY, DD_ACT_RETRY, DD_RULE_SPLIT | DD_RULE_INFO, EIO},
    {"illegal request", SCSI_KEY_ILLEGAL, ANY, ANY, DD_ACT_FAIL, DD_RULE_SPLIT, EINVAL},
    {"medium may have changed", SCSI_KEY_ATTENTION, 0x28, ANY, DD_ACT_RETRY, DD_RULE_FREE | DD_RULE_CAPACITY,
     EIO},
    {"power on or reset", SCSI_KEY_ATTENTION, 0x29, ANY, DD_ACT_RETRY, DD_RULE_FREE | DD_RULE_RESERVE, EIO},
    {"reservation preempted", SCSI_KEY_ATTENTION, 0x2a, 0x03, DD_ACT_FAIL, DD_RULE_RESERVE, EBUSY},
    {"reservation released", SCSI_KEY_ATTENTION, 0x2a, 0x04, DD_ACT_RETRY, DD_RULE_FREE | DD_RULE_RESERVE,
     EIO},
    {"mode parameters changed", SCSI_KEY_ATTENTION, 0x2a, 0x01, DD_ACT_RETRY, DD_RULE_FREE | DD_RULE_MODE,
     EIO},
    {"capacity changed", SCSI_KEY_ATTENTION, 0x2a, 0x09, DD_ACT_RETRY, DD_RULE_FREE | DD_RULE_CAPACITY, EIO},
    {"unit attention", SCSI_KEY_ATTENTION, ANY, ANY, DD_ACT_RETRY, DD_RULE_FREE, EIO},
    {"thin provisioning full", SCSI_KEY_PROTECT, 0x27, 0x07, DD_ACT_FAIL, DD_RULE_SPLIT, ENOSPC},
    {"write protected", SCSI_KEY_PROTECT, ANY, ANY, DD_ACT_FAIL, 0, EWRPROTECT},
    {"blank check", SCSI_KEY_BLANK, ANY, ANY, DD_ACT_FAIL, DD_RULE_SPLIT | DD_RULE_INFO, EMEDIA},
    {"aborted command", SCSI_KEY_ABORTED, ANY, ANY, DD_ACT_RETRY, DD_RULE_SPLIT, EIO},
    {"miscompare", SCSI_KEY_MISCOMPARE, ANY, ANY, DD_ACT_FAIL, DD_RULE_SPLIT, EIO},
    {"unknown sense", ANY, ANY, ANY, DD_ACT_RETRY, DD_RULE_SPLIT, EIO},
};
/* About an earlier command: this one is not to blame and goes again. */
static const struct dd_rule dd_rule_deferred = {"deferred error", ANY, ANY, ANY, DD_ACT_RETRY,
                                                DD_RULE_DEFERRED, EIO};
static const struct dd_rule dd_rule_nosense = {"sense not available", ANY,           ANY, ANY,
                                               DD_ACT_RETRY,          DD_RULE_SPLIT, EIO};

/* The requests were meant for the medium that has gone. Whoever comes now is told of nothing. */
static const struct dd_rule dd_rule_changed = {
    "medium changed", SCSI_KEY_ATTENTION, 0x28, ANY, DD_ACT_FAIL, DD_RULE_CAPACITY | DD_RULE_CHANGED, EMEDIA};

/*
 * The row for sense data. `removable`: of a disk in use whose medium can be taken out. Never NULL.
 * Context: any. Locks: none.
 */
const struct dd_rule *dd_sense_rule(const struct scsi_sense *sense, bool removable)
{
    const struct dd_rule *rule = dd_sense_rules;

    if (!sense->valid)
        return &dd_rule_nosense;
    if (sense->deferred)
        return &dd_rule_deferred;
    if (removable && sense->key == dd_rule_changed.rule_key && sense->asc == dd_rule_changed.rule_asc)
        return &dd_rule_changed;
    while ((rule->rule_key != ANY && rule->rule_key != sense->key) ||
           (rule->rule_asc != ANY && rule->rule_asc != sense->asc) ||
           (rule->rule_ascq != ANY && rule->rule_ascq != sense->ascq))
        rule++;
    KASSERT(rule < dd_sense_rules + SC_ARRAY_SIZE(dd_sense_rules));
    return rule;
}

/* rule_key holds the status byte or the adapter's bit. */
static const struct dd_rule dd_scsi_rules[] = {
    {"busy", SC_BUSY_STATUS, 0, 0, DD_ACT_RETRY, DD_RULE_BUSY, EBUSY},
    {"queue full", SC_QUEUE_FULL, 0, 0, DD_ACT_RETRY, DD_RULE_QFULL, EBUSY},
    {"reservation conflict", SC_RESERVATION_CONFLICT, 0, 0, DD_ACT_FAIL, 0, EBUSY},
    {"unknown status", ANY, 0, 0, DD_ACT_RETRY, 0, EIO},
};
static const struct dd_rule dd_adapter_rules[] = {
    {"host bus error", SC_HOST_IO_BUS_ERR, 0, 0, DD_ACT_RETRY, 0, EIO},
    {"bus fault", SC_SCSI_BUS_FAULT, 0, 0, DD_ACT_RETRY, DD_RULE_BUSFAULT, EIO},
    {"command timeout", SC_CMD_TIMEOUT, 0, 0, DD_ACT_RETRY, DD_RULE_SPLIT | DD_RULE_SILENT, ETIMEDOUT},
    {"no response", SC_NO_DEVICE_RESPONSE, 0, 0, DD_ACT_RETRY, DD_RULE_BUSY | DD_RULE_ABSENT, EIO},
    {"adapter hardware", SC_ADAPTER_HDW_FAILURE, 0, 0, DD_ACT_RETRY, DD_RULE_ONCE, EIO},
    {"adapter microcode", SC_ADAPTER_SFW_FAILURE, 0, 0, DD_ACT_RETRY, DD_RULE_ONCE, EIO},
    {"terminator power", SC_FUSE_OR_TERMINAL_PWR, 0, 0, DD_ACT_RETRY, DD_RULE_ONCE, EIO},
    {"bus reset", SC_SCSI_BUS_RESET, 0, 0, DD_ACT_RETRY, DD_RULE_RESET | DD_RULE_RESERVE, EIO},
    {"unknown adapter status", ANY, 0, 0, DD_ACT_RETRY, 0, EIO},
};
static const struct dd_rule dd_rule_nomem = {
    "adapter driver short of memory", ANY, 0, 0, DD_ACT_RETRY, DD_RULE_BUSY, ENOMEM};
static const struct dd_rule dd_rule_unknown = {"failure without status", ANY, 0, 0, DD_ACT_RETRY, 0, EIO};

static const struct dd_rule *rule_find(const struct dd_rule *rule, uint8_t key)
{
    while (rule->rule_key != ANY && rule->rule_key != key)
        rule++;
    return rule;
}

/*
 * The row for an sc_buf returned with EIO, or ENOMEM; NULL: only sense data can tell. At most one of the two
 * status bytes may be claimed (AIX-19); a driver that claims both is believed about the bus.
 * Context: any. Locks: none.
 */
const struct dd_rule *dd_status_rule(const struct sc_buf *sc)
{
    if (sc->bufstruct.b_error == ENOMEM)
        return &dd_rule_nomem;
    if (sc->status_validity & SC_ADAPTER_ERROR)
        return rule_find(dd_adapter_rules, sc->general_card_status);
    if (!(sc->status_validity & SC_SCSI_ERROR))
        return &dd_rule_unknown;
    if (sc->scsi_status == SC_CHECK_CONDITION || sc->scsi_status == SC_COMMAND_TERMINATED)
        return NULL;
    return rule_find(dd_scsi_rules, sc->scsi_status);
}
