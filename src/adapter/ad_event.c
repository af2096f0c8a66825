/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_event.c - asynchronous events: who wants to know, and telling them.
 *
 * A device driver registers a function for its id and LUN (SCIOEVENT); SCIOSTOP cancels it. Events
 * go the way of completions (CAM-08): a LUN has one place among its responses for them, so that what had
 * ended before the event is given back before its owner hears of it, by whoever gives back the LUN's
 * requests, with no lock of ours held; and no request of the LUN is started in between (AD_GATE_TELL). Two
 * that happen before the first is told are told as one. SCIOSTOP waits until the function is not running
 * (AIX-27).
 *
 * Each registration is for one id and LUN: the contract has no wildcard. What concerns the adapter gates all
 * LUNs that listen before it tells the first.
 *
 * Does not contain: what a bus reset does to commands: the chip hands each back by itself.
 */
#include "ad_impl.h"

/*
 * SCIOEVENT of a caller in the kernel. Context: process. Returns 0; EINVAL not started, or by another file,
 * registered already, target mode, no function, or a reserved byte that is not 0.
 */
int ad_event_register(struct ad_adapter *adp, const struct sc_event_struct *ev, long owner)
{
    struct ad_lun *lun;
    int error = EINVAL;

    lun = ad_lun_find(adp, ev->id, ev->lun);
    if (lun == NULL || ev->mode != SC_IM_MODE || ev->async_func == NULL ||
        ad_bytes_set(ev->reserved, sizeof(ev->reserved)))
        return EINVAL;
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_state != AD_LUN_STOPPED && lun->lun_state != AD_LUN_STOPPING && lun->lun_owner == owner &&
        lun->lun_async_func == NULL) {
        lun->lun_async_func = ev->async_func;
        lun->lun_async_correlator = ev->async_correlator;
        error = 0;
    }
    shim_lock_exit(&lun->lun_lock);
    return error;
}

/*
 * b_iodone of a LUN's lun_event_sb: its turn among the responses has come. Whoever pushes calls the device
 * driver here, as for a request. Context: completion. (AIX-27)
 */
void ad_event_told(struct buf *bp)
{
    struct ad_lun *lun = SC_CONTAINER_OF(bp, struct ad_lun, lun_event_sb.bufstruct);
    void (*func)(struct sc_event_info * info);
    struct sc_event_info info;

    shim_lock_enter(&lun->lun_lock);
    SHIM_ASSERT(lun->lun_event_listed && lun->lun_state != AD_LUN_STOPPED);
    lun->lun_event_listed = false; /* what happens from now on is told once more */
    func = lun->lun_state == AD_LUN_STOPPING ? NULL : lun->lun_async_func;
    if (func != NULL) {
        lun->lun_async_running++;
        memset(&info, 0, sizeof(info));
        info.events = lun->lun_events;
        info.id = lun->lun_id;
        info.lun = lun->lun_lun;
        info.mode = SC_IM_MODE;
        info.adap_devno = lun->lun_adp->adp_devno;
        info.async_correlator = lun->lun_async_correlator;
    }
    lun->lun_events = 0;
    shim_lock_exit(&lun->lun_lock);
    if (func == NULL)
        return;

    func(&info);

    shim_lock_enter(&lun->lun_lock);
    SHIM_ASSERT(lun->lun_async_running > 0);
    lun->lun_async_running--; /* whoever waits for that is woken when the push is over */
    shim_lock_exit(&lun->lun_lock);
}

/* Queue it for one LUN's device driver, if it wants to know, and start nothing there until it does. */
static void ad_event_queue(struct ad_adapter *adp, struct ad_lun *lun, uint32_t events)
{
    SHIM_ASSERT(events != 0);
    shim_lock_enter(&lun->lun_lock);
    if (lun->lun_async_func != NULL && lun->lun_state != AD_LUN_STOPPING) {
        lun->lun_events |= events;
        if (!lun->lun_event_listed) {
            lun->lun_event_listed = true;
            ad_gate_set_locked(lun, AD_GATE_TELL);
            ad_resp_locked(lun, &lun->lun_event_sb);
            shim_lock_enter(&adp->adp_lock);
            ad_run_append_locked(adp, lun);
            shim_lock_exit(&adp->adp_lock);
        }
    }
    shim_lock_exit(&lun->lun_lock);
}

/*
 * Tell everybody. All LUNs are gated before the first is told. Context: any; no lock held. The functions run
 * in completion context. (CAM-08)
 */
void ad_event_deliver(struct ad_adapter *adp, uint32_t events)
{
    const unsigned n = ad_lun_count(adp);

    for (unsigned i = 0; i < n; i++) {
        struct ad_lun *lun = ad_lun_at(adp, i);

        if (lun != NULL)
            ad_event_queue(adp, lun, events);
    }
    ad_serve(adp);
}

/* Called by the chip. Context: any; no lock of the chip held. */
void ad_hw_event(struct ad_adapter *ad, enum ad_hw_event ev)
{
    uint32_t events = 0;

    switch (ev) {
    case AD_EV_BUS_RESET:
        events = SC_SCSI_RESET_EVENT;
        break;
    case AD_EV_FATAL:
        events = SC_FATAL_HDW_ERR;
        ad_log(ad, ERRID_SCSI_ERR2, false, "the adapter reports a fatal hardware error");
        break;
    case AD_EV_CMD_FAILED:
        events = SC_ADAP_CMD_FAILED;
        ad_log(ad, ERRID_SCSI_ERR3, false, "an adapter command failed");
        break;
    }
    SHIM_ASSERT(events != 0);
    shim_lock_enter(&ad->adp_lock);
    ad->adp_events++;
    if (ev == AD_EV_BUS_RESET)
        ad->adp_resets++;
    shim_lock_exit(&ad->adp_lock);
    ad_event_deliver(ad, events);
}
