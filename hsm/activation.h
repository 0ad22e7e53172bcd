/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a tap must prove before a key is used for it. This file is why a front end that was taken
 * over, or a database that was edited, cannot act for a holder who is not tapping:
 *
 *   – the challenge is made here, over a context digest made here from the fields;
 *   – the holder comes from the card's binding and from nothing else, the level from what the card
 * signed; – the key must be sealed for that holder and the tap's service, and must not ask for more
 * than was reached; – the intent, made again here from what this tap is, must be in the log under a
 * head that hsmd itself signed; – card, terminal and key are looked up in the revocation memory at
 * activation, when the key is opened, and at every use.
 *
 * Callers check the state (taps.h, and the table in request.c): each function is called in its
 * state only, and after any error, except where one is said to leave the tap as it was, the caller
 * ends the tap.
 */
#ifndef CB_HSM_ACTIVATION_H
#define CB_HSM_ACTIVATION_H

#include "hsm/taps.h"

/* How far an intent's time may lie from hsmd's wall clock. */
#define CB_INTENT_NEAR (5 * 60 * INT64_C(1000000))

/* Makes the tap and appends the first script. CB_E_BUSY, CB_E_ARGUMENT; CB_E_HSM_DOWN when the host
 * is not ready. */
cb_error cb_tap_begin(cb_taps *taps, cb_host *host, uint8_t profile, const cb_id *terminal,
                      cb_id *id, cb_buf *script);

/* CB_E_ARGUMENT when the context is not well formed or is another tap's. */
/* binding: of the card as the front end recognised it; empty for a profile whose cards say
 * themselves who they are. CB_E_ARGUMENT also when there is one too many or too few;
 * CB_E_HSM_RECORD, also when the feed says that its keys were renewed. */
cb_error cb_tap_ask_card(cb_taps *taps, cb_tap *tap, const cb_tap_context *context, cb_bytes answers,
                         cb_bytes pin, cb_bytes binding, cb_buf *script);

/* With CB_E_PIN_WRONG and CB_E_PIN_BLOCKED the claim says which card and how many tries. */
cb_error cb_tap_finish(cb_tap *tap, cb_bytes answers, cb_card_claim *claim);

/* As cb_hsm_tap_activate. Where the card was asked with a binding, this is one of the same keys,
 * holder and level (cb_binding_subject): CB_E_HSM_RECORD. CB_E_HSM_FEED_BEHIND and
 * CB_E_HSM_ROLLED_BACK leave the tap as it was. */
cb_error cb_tap_activate(cb_taps *taps, cb_tap *tap, cb_bytes binding, const cb_feed_head *feed,
                         cb_activation *out);

/* The log's side of an intent. The intent itself is made here. */
typedef struct cb_intent_place {
    int64_t time; /* of the intent, as the front end wrote it */
    uint64_t index;
    cb_tree_head head;
    cb_digest mac;
    cb_merkle_proof path;
} cb_intent_place;

/* As cb_hsm_tap_open_key. */
cb_error cb_tap_open_key(cb_taps *taps, cb_tap *tap, cb_bytes sealed, const cb_intent_place *place);

/* As cb_hsm_use; counts the use, whatever comes of it. */
cb_error cb_tap_use(cb_taps *taps, cb_tap *tap, uint8_t operation, uint8_t hash, cb_bytes data,
                    cb_buf *result, cb_buf *receipt);

#endif
