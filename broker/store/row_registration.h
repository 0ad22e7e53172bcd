/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rows of one-time codes with which holders register cards of their own; as txn.h.
 */
#ifndef CB_BROKER_STORE_ROW_REGISTRATION_H
#define CB_BROKER_STORE_ROW_REGISTRATION_H

#include "broker/store/txn.h"

typedef enum cb_code_state {
    CB_CODE_OPEN = 1,
    CB_CODE_USED = 2,
    CB_CODE_WITHDRAWN = 3,
    CB_CODE_LAPSED = 4
} cb_code_state;

typedef struct cb_registration_row {
    cb_id code; /* cb_registration_id */
    cb_id holder;
    uint8_t profiles; /* 1 << cb_profile_id for each */
    uint8_t level;
    char operator[CB_ACTOR_TEXT]; /* who allowed it */
    uint8_t state;                /* cb_code_state */
    int64_t created, expires, changed;
    cb_id card, terminal; /* zero: it was not used */
    cb_id replaces;       /* the card that dies when it is used; zero: none */
} cb_registration_row;

/* "open", "used" …; "unknown". */
const char *cb_code_state_name(uint8_t state);

/* CB_E_EXISTS, CB_E_NOT_FOUND (no such holder). */
cb_error cb_row_registration_put(cb_txn *txn, const cb_registration_row *row);
cb_error cb_row_registration_get(cb_txn *txn, const cb_id *code, cb_registration_row *out);

/* State, time of the change, card and terminal. CB_E_NOT_FOUND. */
cb_error cb_row_registration_set(cb_txn *txn, const cb_registration_row *row);

/* holder NULL: all. */
typedef cb_error (*cb_registration_visitor)(void *context, const cb_registration_row *row);
cb_error cb_row_registration_each(cb_txn *txn, const cb_id *holder, const cb_id *after,
                                  unsigned limit, cb_registration_visitor each, void *context);

/* Some open ones by which a holder puts another card in the place of one of his. */
cb_error cb_row_registration_replacing(cb_txn *txn, const cb_id *holder, const cb_id *card,
                                       cb_id *out, size_t most, size_t *count);

/* Some open ones that are over by a moment. */
cb_error cb_row_registration_over(cb_txn *txn, int64_t by, cb_id *out, size_t most, size_t *count);

#endif
