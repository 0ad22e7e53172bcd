/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The record, fetched page by page over the administration socket.
 */
#ifndef CB_BROKER_CTL_AUDIT_H
#define CB_BROKER_CTL_AUDIT_H

#include "broker/ctl/ctl.h"
#include "broker/evidence/log.h"

/* Visits leaves from a position on, at most count (at most CB_PAGE_LIMIT). CB_E_IO when cardbrokerd
 * did not answer, CB_E_PROTOCOL when it answered something else; both have been said. Otherwise
 * each's first error. */
cb_error cb_ctl_audit_leaves(cb_ctl *ctl, uint64_t from, unsigned count, cb_leaf_visitor each,
                             void *context);

/* Visits the signed heads over at least "from" leaves, likewise. */
cb_error cb_ctl_audit_heads(cb_ctl *ctl, uint64_t from, unsigned count, cb_head_visitor each,
                            void *context);

/* audit verify */
cb_ctl_status cb_ctl_audit_verify(cb_ctl *ctl, const cb_ctl_args *args);

#endif
