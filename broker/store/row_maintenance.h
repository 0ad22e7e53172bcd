/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows about the maintenance of terminals: who may, and what was begun last.
 */
#ifndef CB_BROKER_STORE_ROW_MAINTENANCE_H
#define CB_BROKER_STORE_ROW_MAINTENANCE_H

#include "broker/store/txn.h"

enum { CB_MAINTENANCE_REASON_MAX = 32 };

typedef struct cb_maintainer {
    cb_id id;
    cb_id holder;
    cb_id terminal; /* zero: everywhere */
    int64_t created;
} cb_maintainer;

typedef struct cb_maintenance {
    cb_id holder, card;
    int64_t began, until;
    char reason[CB_MAINTENANCE_REASON_MAX + 1];
} cb_maintenance;

typedef cb_error (*cb_maintainer_visitor)(void *context, const cb_maintainer *maintainer);

cb_error cb_row_maintainer_put(cb_txn *txn, const cb_maintainer *maintainer);
cb_error cb_row_maintainer_remove(cb_txn *txn, const cb_id *id);
cb_error cb_row_maintainer_each(cb_txn *txn, const cb_id *after, unsigned limit,
                                cb_maintainer_visitor each, void *context);
/* Those that make a holder one of a terminal: two at most. */
cb_error cb_row_maintainer_match(cb_txn *txn, const cb_id *holder, const cb_id *terminal,
                                 cb_maintainer_visitor each, void *context);

cb_error cb_row_maintenance_get(cb_txn *txn, const cb_id *terminal, cb_maintenance *out);
cb_error cb_row_maintenance_set(cb_txn *txn, const cb_id *terminal,
                                const cb_maintenance *maintenance);

#endif
