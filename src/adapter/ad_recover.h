/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ad_recover.h - what the files of the adapter's recovery share: ad_recover.c, ad_round.c, ad_scope.c.
 *
 * Does not contain: what the rest of the adapter core calls (ad_impl.h).
 */
#ifndef AD_RECOVER_H
#define AD_RECOVER_H

#include "ad_impl.h"

#define AD_ALL 0xffffffffu /* LUNs of an id, ids */

/* ---------------------------------------------------------------- ad_recover.c */

/* Look again no later than `when_ns`; UINT64_MAX: no need. No lock held. */
void ad_recover_at(struct ad_adapter *adp, uint64_t when_ns);
/* Wait for the end of this part of the round. A chip that cannot interrupt is asked meanwhile. */
void ad_recover_wait(struct ad_adapter *adp, uint64_t now);

/* ---------------------------------------------------------------- ad_round.c */

/* One step of the machine; true when there is more to do at once. No lock held, one thread at a time. */
bool ad_recover_step(struct ad_adapter *adp);

/* ---------------------------------------------------------------- ad_scope.c; no lock held, the runner */

void ad_scope_set(struct ad_adapter *adp, const uint32_t scope[SC_IDS_MAX]);
/* Is anything of the scope on its way to the chip, or anything overdue? */
bool ad_scope_starting(struct ad_adapter *adp);
bool ad_scope_overdue(struct ad_adapter *adp);
/* The ids from which something is missing that should be back. */
uint32_t ad_scope_missing(struct ad_adapter *adp);
/* The chip is about to be asked; the stage is over. */
void ad_scope_mark(struct ad_adapter *adp);
void ad_scope_unmark(struct ad_adapter *adp, uint64_t now);
/* Every LUN's word why it is out of service: those bits away, these to it. */
void ad_offline_set(struct ad_adapter *adp, uint8_t away, uint8_t to, uint32_t ids);
/* Is there a reset whose end is still to be told? */
bool ad_waits(struct ad_adapter *adp);
/* Ask the chip for one reset; it may call back from here. */
void ad_reset_call(struct ad_adapter *adp, enum ad_hw_reset which, unsigned id, unsigned lun);
/* The adapter reset has ended well; it has failed, or there is none. */
void ad_adapter_anew(struct ad_adapter *adp);
void ad_adapter_off(struct ad_adapter *adp);

#endif /* AD_RECOVER_H */
