/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether those who take part in a tap may, as things stand in this transaction. T1 asks, and T2
 * asks again.
 */
#ifndef CB_BROKER_CORE_STILL_H
#define CB_BROKER_CORE_STILL_H

#include "broker/store/txn.h"

/* CB_E_CARD_*, CB_E_HSM_RECORD when it is another holder's. */
cb_error cb_still_card(cb_txn *txn, const cb_id *id, const cb_id *holder);

/* CB_E_TERMINAL_*. service NULL: any. since: of the intent; what was de-activated since and is active
 * again has ended its taps all the same (CB_E_TERMINAL_INACTIVE). 0: at T1. */
cb_error cb_still_terminal(cb_txn *txn, const cb_id *id, const char *service, int64_t since);

/* If it was a password that was given: whether the terminal may take one (CB_E_TERMINAL_PASSWORDS),
 * and whether it is the one of then: one that was set, or suspended, since is another
 * (CB_E_CARD_SUSPENDED). since as above. */
cb_error cb_still_password(cb_txn *txn, const cb_id *terminal, const cb_id *password,
                           uint8_t reached, int64_t since);

/* Whether the service is given at a terminal of that kind, and takes the PIN, if the terminal saw one
 * (CB_E_TERMINAL_KIND, CB_E_PIN_PAD). said: the terminal said that it was typed on its pad; that
 * does not change, so T2 gives true. */
cb_error cb_still_kind(cb_txn *txn, const cb_id *terminal, const char *service, bool seen,
                       bool said);

/* CB_E_ENROLMENT_NONE, CB_E_ENROLMENT_PENDING. */
cb_error cb_still_enrolment(cb_txn *txn, const cb_id *holder, const char *service,
                            cb_enrolment *out);

#endif
