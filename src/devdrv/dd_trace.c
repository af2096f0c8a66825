/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_trace.c - trace hooks that need more than a line. Called while a trace runs, not otherwise.
 *
 * Does not contain: the hook words (sys/trchkid.h) and the one-line hooks, which are where things happen.
 */
#include "dd_impl.h"

/* A command is about to be sent: what it is, then which requests it carries. No lock: it is ours. */
void dd_trace_sent(const struct dd_unit *un, const struct dd_cmd *cmd)
{
    const struct sc_buf *sc = &cmd->cmd_sc;
    const uint8_t *cdb = (const uint8_t *)&sc->scsi_command.scsi_cmd;
    const uint32_t bufs = cmd->cmd_kind == DD_KIND_RW ? cmd->cmd_nbufs : cmd->cmd_kind == DD_KIND_FRAG;
    const struct buf *bp = cmd->cmd_bp;

    TRCHKL5T(HKWD_DD_SEND, un->un_devno, (uintptr_t)sc, trc_pack(cdb, 8), trc_pack(cdb + 8, 8),
             TRC_COMMAND(sc->bufstruct.b_bcount, bufs, sc->q_tag_msg, sc->scsi_command.scsi_length) |
                 (sc->bufstruct.b_flags & B_READ ? TRC_DATA_IN : 0));
    for (uint32_t i = 0; i < bufs; i++, bp = bp->av_forw)
        TRCHKL3T(HKWD_DD_CARRY, un->un_devno, (uintptr_t)sc, (uintptr_t)bp);
}

/* Texts end where their zeroes begin, so a longer copy does no harm. */
static uint64_t trace_text(const char *text, size_t skip)
{
    size_t n = 0;

    while (n < skip + 8u && text[n] != '\0')
        n++;
    return n > skip ? trc_pack(text + skip, n - skip) : 0;
}

/* What recovery has decided about a command. */
void dd_trace_judged(const struct dd_unit *un, const struct dd_cmd *cmd, int error, const char *rule,
                     const char *did, const struct scsi_sense *sense)
{
    const uint64_t sc = (uintptr_t)&cmd->cmd_sc;

    TRCHKL5T(HKWD_DD_RULE, un->un_devno, sc, trace_text(rule, 0), trace_text(rule, 8), trace_text(rule, 16));
    TRCHKL5T(HKWD_DD_ACT, un->un_devno, sc, trace_text(did, 0), trace_text(did, 8),
             (uint64_t)(uint32_t)error << 32 | (uint64_t)sense->key << 16 | (uint64_t)sense->asc << 8 |
                 sense->ascq);
}
