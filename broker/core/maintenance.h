/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Maintenance of terminals: begun and ended by a maintainer's card and its PIN.
 *
 * An administrator says which holders are maintainers, of one terminal or of all. Such a holder
 * taps at the terminal, with the purpose CB_TAP_MAINTENANCE in what the card signs, which hsmd
 * believes only with the PIN; that proof opens no key, and one for a service begins no maintenance.
 * From then on the terminal gets no tap but the one that ends it. A maintainer ends it in time;
 * after that only an administrator does.
 */
#ifndef CB_BROKER_CORE_MAINTENANCE_H
#define CB_BROKER_CORE_MAINTENANCE_H

#include "broker/core/decide.h"
#include "broker/store/row_maintenance.h"

/* terminal NULL: everywhere. CB_E_EXISTS, CB_E_NOT_FOUND (holder or terminal). */
cb_error cb_maintainer_add(cb_store *store, const char *actor, const cb_id *holder,
                           const cb_id *terminal, cb_maintainer *out);
/* What he has begun goes on until it is ended. */
cb_error cb_maintainer_remove(cb_store *store, const char *actor, const cb_id *id);
cb_error cb_maintainer_list(cb_store *store, const cb_id *after, unsigned limit,
                            cb_maintainer_visitor each, void *context);

/* What was begun last at a terminal. CB_E_NOT_FOUND. */
cb_error cb_maintenance_get(cb_store *store, const cb_id *terminal, cb_maintenance *out);

/* A card has proven itself for the purpose in request.context: whether it begins or ends
 * maintenance there, in the transaction that does so. reason as registry.h; time: how long it
 * lasts, microseconds; *until is when it has to be over (of an end: 0). CB_E_CARD_…,
 * CB_E_TERMINAL_…, CB_E_MAINTAINER (the holder is none there, or is too late), CB_E_STATE. CB_OK
 * when it is recorded and its head is stored; CB_E_UNSIGNED when it is recorded and that was not in
 * time. */
cb_error cb_decide_maintenance(cb_store *store, const cb_intent_request *request,
                               const char *reason, int64_t time, int64_t *until);

#endif
