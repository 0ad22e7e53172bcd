/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One-time codes with which holders register cards of their own (cardlink/registration.h), as the
 * broker records them: who allowed one, for whom, what became of it. Whether a code is good is
 * hsmd's to say, which makes the binding; nothing here opens anything.
 *
 * A code may be for a card in the place of another one of its holder's, which dies when the new one
 * becomes active, in one transaction. Which one stands in the leaf by which it was allowed, and the
 * row counts only as that leaf has it (broker/evidence/vouch.h): whoever writes the database can
 * neither have another card end, nor have the old one stay.
 */
#ifndef CB_BROKER_CORE_REGISTRATION_H
#define CB_BROKER_CORE_REGISTRATION_H

#include "broker/core/act.h"
#include "broker/core/registry.h"
#include "broker/store/row_registration.h"

/* How long after its end a code counts as lapsed: a tap that used it in time is over by then. */
#define CB_REGISTRATION_SETTLED (5 * 60 * INT64_C(1000000))

/* Records that a manager is about to allow one: code, holder, profiles, level, expires (wall clock,
 * at most CB_REGISTRATION_MOST_S ahead) and replaces of row, the rest is filled in. reason as in
 * cb_card_change. CB_E_NOT_FOUND (no such holder; no such card to be replaced), CB_E_EXISTS,
 * CB_E_STATE (the card to be replaced is dead), CB_E_ARGUMENT (also: it is another holder's, or a
 * password). */
cb_error cb_registration_record(cb_store *store, const char *actor, const char *reason,
                                cb_registration_row *row);

/* Records that a manager has withdrawn one. CB_E_STATE unless it is open; CB_E_NOT_FOUND. */
cb_error cb_registration_end(cb_store *store, const char *actor, const cb_id *code,
                             const char *reason, cb_registration_row *out);

/* What was said of a card that has expired, is suspended already or is not active yet, as by who
 * has lost it: within a transaction, withdraws the open codes that put another card in its place,
 * and counts them in affected. CB_E_STATE: it is active or dead, or there is no such code. */
cb_error cb_registration_report_in(cb_txn *txn, const cb_act *act, const cb_id *old);

cb_error cb_registration_find(cb_store *store, const cb_id *code, cb_registration_row *out);

/* holder NULL: all. */
cb_error cb_registration_list(cb_store *store, const cb_id *holder, const cb_id *after,
                              unsigned limit, cb_registration_visitor each, void *context);

/* Marks some that are over, and records it; called again while *done is not 0. */
cb_error cb_registration_sweep_step(cb_store *store, int64_t now, size_t *done);

/* Whether a card may be registered with a code, before anybody is asked for a PIN and hsmd binds it
 * for good: it is not registered yet (CB_E_CARD_REGISTERED, or what ended it) and may be issued by
 * the rules (NULL: none) to the code's holder, in the place of the code's other card
 * (CB_E_REGISTRATION_STOPPED: nothing may have stopped that one since, its last day neither), or
 * it was registered with this very code and is active. What became of a code that is not open;
 * CB_E_HSM_RECORD: the log has the code otherwise; and what cb_store_checked returns. */
cb_error cb_registration_open(cb_store *store, const cb_id *code, const cb_id *card,
                              uint8_t profile, const cb_card_rules *rules);

/* The number that the holder's next binding gets. */
cb_error cb_registration_sequence(cb_store *store, const cb_id *code, uint64_t *sequence);

typedef struct cb_registration_use {
    cb_id code, tap, terminal;
    cb_bytes binding, certificates; /* as hsmd made it, and as cb_card_add */
    uint32_t counter;               /* which of the card's proofs this is; 0: it does not say */
    const cb_card_rules *rules;     /* NULL: none */
} cb_registration_use;

/* What died of it, now or before: also with CB_E_UNSIGNED. */
typedef struct cb_registration_replaced {
    cb_id card; /* zero: none */
    cb_affected affected;
} cb_registration_replaced;

/* The card becomes its holder's, active, by the code, and the one that it replaces is revoked: one
 * transaction with what became of the code. Again, for the same card, it changes nothing but how
 * many proofs it has made. Errors as cb_card_replace and cb_card_proof_in; CB_E_REGISTRATION_…;
 * CB_E_HSM_RECORD (the binding is of another holder than the record has, or the log has the code
 * otherwise). out is begun, and replaced zero and freed (cb_affected_free), by the caller. */
cb_error cb_registration_use_code(cb_store *store, const cb_registration_use *use, cb_card *out,
                                  cb_registration_replaced *replaced);

#endif
