/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What all administrative acts share: their leaf, with who did it and why, and finding what they
 * put an end to.
 */
#ifndef CB_BROKER_CORE_ACT_H
#define CB_BROKER_CORE_ACT_H

#include "base/leaf.h"
#include "broker/core/registry.h"
#include "broker/store/txn.h"

typedef struct cb_act {
    const char *actor;
    const char *reason; /* NULL or "": none */
    int64_t time;
    cb_affected *affected; /* NULL: nobody asks */
} cb_act;

/* CB_E_ARGUMENT unless actor and reason are as registry.h says. */
cb_error cb_act_check(const char *actor, const char *reason);

/* Begins a leaf of a kind, with actor and reason. */
void cb_act_leaf(cb_buf *leaf, const char *kind, const cb_act *act);

/* What is said of a change that waits for its head: one that was committed has not failed, whatever
 * kept the head from being signed or stored (nobody answered, no memory, no disk), but CB_E_UNSIGNED;
 * unless it is in a file that is not the broker's database any more, not as the broker left it, or
 * not the one that hsmd has signed the newest of. */
cb_error cb_act_result(cb_error error, bool committed);

/* Makes a change that is one act. CB_E_UNSIGNED: it is made, its head not signed in time. */
cb_error cb_act_write(cb_store *store, cb_txn_function run, void *context, cb_urgency urgency);

/* Empties the list, then adds the open taps and sessions that match. */
cb_error cb_act_affected(cb_txn *txn, const cb_tap_match *match, cb_affected *affected);

/* Writes a holder and his leaf, within a transaction. */
cb_error cb_holder_put_in(cb_txn *txn, const cb_act *act, const cb_holder *holder);

/* Enters somebody by this name, unless he is there: CB_E_EXISTS if by another name. */
cb_error cb_holder_enter_in(cb_txn *txn, const cb_act *act, const cb_id *id, const char *name);

/* One act on a card, within a transaction: as cb_card_change. */
cb_error cb_card_act_in(cb_txn *txn, const cb_act *act, const cb_id *id, uint8_t what);

/* One act on a terminal, within a transaction: as cb_terminal_change. */
cb_error cb_terminal_act_in(cb_txn *txn, const cb_act *act, const cb_id *id, uint8_t what);

/* Another binding of a card of somebody else's, or of a password, in the place of the one that it
 * has, within a transaction: as cb_card_renew. */
cb_error cb_card_renew_in(cb_txn *txn, const cb_act *act, cb_card *card, cb_bytes binding);

/* A name or title: 1 to CB_NAME_MAX bytes, no control characters. */
bool cb_name_ok(const char *name);

/* CB_E_ARGUMENT unless it is JSON text of an object, of at most max bytes; CB_E_MEMORY when that
 * could not be told. */
cb_error cb_json_object_check(const char *text, size_t max);

#endif
