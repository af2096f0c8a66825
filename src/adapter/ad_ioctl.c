/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_ioctl.c - d_ioctl of the adapter driver: which operation, and the ones that send no command.
 *
 * All at process level. A kernel caller (DKERNEL) passes kernel addresses and gets the errno as the
 * value; the kernel services turn that into -1 and errno for a user.
 *
 * Does not contain: SCIOINQU, SCIOSTUNIT, SCIOTUR, SCIOREAD, SCIOCMD (ad_icmd.c).
 */
#include "ad_impl.h"

/* The LUN if it is started, else NULL. Context: any. */
struct ad_lun *ad_lun_started(struct ad_adapter *adp, unsigned id, unsigned no)
{
    struct ad_lun *lun = ad_lun_find(adp, id, no);
    bool started;

    if (lun == NULL)
        return NULL;
    shim_lock_enter(&lun->lun_lock);
    started = lun->lun_state != AD_LUN_STOPPED;
    SHIM_ASSERT(started == (lun->lun_mem != NULL));
    shim_lock_exit(&lun->lun_lock);
    return started ? lun : NULL;
}

/* IOCINFO: what a device driver reads before anything else; in any mode. */
static int ad_ioctl_info(const struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct devinfo info;

    memset(&info, 0, sizeof(info));
    info.devtype = DD_BUS;
    info.devsubtype = DS_SCSI;
    info.un.scsi.card_scsi_id = adp->adp_caps.cap_adapter_id;
    info.un.scsi.max_transfer = adp->adp_transfer_max;
    return kcopyout(&info, arg, sizeof(info), devflag);
}

/* Operations whose argument is a plain word: LUN in bits 7-0, id in bits 15-8, the rest zero. */
static int ad_ioctl_word(struct ad_adapter *adp, unsigned cmd, intptr_t arg, long owner)
{
    const uintptr_t word = (uintptr_t)arg;
    const unsigned id = (unsigned)(word >> 8) & 0xffu;
    const unsigned no = (unsigned)word & 0xffu;
    struct ad_lun *lun;

    if (word > 0xffffu)
        return EINVAL;
    if (cmd == SCIOSTART) {
        /* What a LUN takes stays with the adapter beyond this file and this thread. */
        uint32_t before = shim_owner_enter(adp->adp_owner);
        int error = ad_lun_start(adp, id, no, owner);

        shim_owner_leave(before);
        return error;
    }
    lun = ad_lun_find(adp, id, no);
    if (lun == NULL)
        return EINVAL;
    switch (cmd) {
    case SCIOSTOP:
        return ad_lun_stop(lun, owner);
    case SCIOHALT:
        return ad_lun_halt(lun, owner);
    default:
        SHIM_ASSERT(cmd == SCIORESET);
        return ad_lun_reset(lun, owner);
    }
}

/* SCIOGTHW: are gathered writes offered? Takes the memory a software gather copies to. (AIX-15) */
static int ad_ioctl_gather(struct ad_adapter *adp, intptr_t arg)
{
    uint32_t before;

    if (arg != 0 || !adp->adp_gather)
        return EINVAL;
    before = shim_owner_enter(adp->adp_owner);
    ad_bounce_prime(adp);
    shim_owner_leave(before);
    return 0;
}

/* SCIOEVENT. EPERM for a caller outside the kernel, whose function we could not call. */
static int ad_ioctl_event(struct ad_adapter *adp, intptr_t arg, unsigned long devflag, long owner)
{
    struct sc_event_struct ev;
    int error;

    if (!(devflag & DKERNEL))
        return EPERM;
    error = kcopyin(arg, &ev, sizeof(ev), devflag);
    return error != 0 ? error : ad_event_register(adp, &ev, owner);
}

static int ad_ioctl_lunstat(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct sc_lun_stats st;
    struct ad_lun *lun;
    int error = kcopyin(arg, &st, sizeof(st), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_started(adp, st.id, st.lun);
    if (lun == NULL)
        return EINVAL;
    ad_lun_stats_get(lun, &st);
    return kcopyout(&st, arg, sizeof(st), devflag);
}

static int ad_ioctl_lunflow(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct sc_lun_flow flow;
    struct ad_lun *lun;
    int error = kcopyin(arg, &flow, sizeof(flow), devflag);

    if (error != 0)
        return error;
    lun = ad_lun_started(adp, flow.id, flow.lun);
    if (lun == NULL || ad_bytes_set(flow.reserved, sizeof(flow.reserved)))
        return EINVAL;
    ad_lun_flow_get(lun, &flow);
    return kcopyout(&flow, arg, sizeof(flow), devflag);
}

/* The chip's own function is handed out: it needs nothing of the core, and costs less than what it saves. */
static int ad_ioctl_ahead(struct ad_adapter *adp, intptr_t arg, unsigned long devflag)
{
    struct sc_ahead ahead;
    int error;

    if (!(devflag & DKERNEL))
        return EPERM;
    error = kcopyin(arg, &ahead, sizeof(ahead), devflag);
    if (error != 0)
        return error;
    if (ad_lun_started(adp, ahead.id, ahead.lun) == NULL ||
        ad_bytes_set(ahead.reserved, sizeof(ahead.reserved)))
        return EINVAL;
    if (adp->adp_ops->ahead == NULL || !adp->adp_ops->ahead(adp->adp_hw, ahead.id, ahead.lun, 0, 0, 0))
        return ENODEV;
    ahead.func = adp->adp_ops->ahead;
    ahead.chip = adp->adp_hw;
    return kcopyout(&ahead, arg, sizeof(ahead), devflag);
}

/* Looking at the adapter is free; what touches a LUN needs authority (specification 6.1). */
static bool ad_ioctl_allowed(unsigned cmd, unsigned long devflag)
{
    return (devflag & (DKERNEL | DAUTH)) || cmd == IOCINFO || cmd == SCIOGTHW || cmd == SCIOSTAT ||
           cmd == SCIOLUNSTAT || cmd == SCIOLUNFLOW || cmd == SCIOFLIGHT;
}

/*
 * d_ioctl. Context: process. Returns 0 or errno; ENXIO not attached, EPERM a user without
 * authority, EACCES for anything but IOCINFO in diagnostic mode, EINVAL for an operation this
 * adapter does not have. (AIX-25)
 */
int ad_ioctl(devno_t devno, unsigned cmd, intptr_t arg, unsigned long devflag, long chan, int ext)
{
    struct ad_adapter *adp = ad_find(devno);
    struct sc_adapter_stats stats;

    (void)ext;
    if (adp == NULL)
        return ENXIO;
    if (!ad_ioctl_allowed(cmd, devflag))
        return EPERM;
    if (cmd == IOCINFO)
        return ad_ioctl_info(adp, arg, devflag);
    if (atomic_load(&adp->adp_diag))
        return EACCES;
    switch (cmd) {
    case SCIOSTART:
    case SCIOSTOP:
    case SCIOHALT:
    case SCIORESET:
        return ad_ioctl_word(adp, cmd, arg, chan);
    case SCIOGTHW:
        return ad_ioctl_gather(adp, arg);
    case SCIOEVENT:
        return ad_ioctl_event(adp, arg, devflag, chan);
    case SCIOINQU:
    case SCIOSTUNIT:
    case SCIOTUR:
    case SCIOREAD:
    case SCIOCMD:
        return ad_icmd_ioctl(adp, cmd, arg, devflag, chan);
    case SCIOLUNSTAT:
        return ad_ioctl_lunstat(adp, arg, devflag);
    case SCIOLUNFLOW:
        return ad_ioctl_lunflow(adp, arg, devflag);
    case SCIOFLIGHT:
        return ad_flight_ioctl(adp, arg, devflag);
    case SCIOAHEAD:
        return ad_ioctl_ahead(adp, arg, devflag);
    case SCIOSTAT:
        ad_stats_get(adp, &stats);
        return kcopyout(&stats, arg, sizeof(stats), devflag);
    default:
        return EINVAL;
    }
}
