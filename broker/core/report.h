/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What was issued by whom, and what has not come back. Lists page as in registry.h.
 */
#ifndef CB_BROKER_CORE_REPORT_H
#define CB_BROKER_CORE_REPORT_H

#include "broker/store/txn.h"

/* How many cards each operator has issued at each station on each day (since 1970-01-01, UTC), of
 * from..to; after: any of the cards of the row before, or zero. CB_E_NOT_FOUND: it was never issued. */
cb_error cb_report_issued(cb_store *store, int64_t from, int64_t to, const cb_id *after,
                          unsigned limit, cb_issued_visitor each, void *context);

/* How each card was issued; those without an application, or all. */
cb_error cb_report_issues(cb_store *store, bool without_application, const cb_id *after,
                          unsigned limit, cb_issue_visitor each, void *context);

/* Cards that were neither given back nor destroyed. state: one such, or NULL. */
cb_error cb_report_outstanding(cb_store *store, const char *state, const cb_id *after,
                               unsigned limit, cb_card_visitor each, void *context);

#endif
