/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A holder registers a card of his own, with a one-time code (cardlink/registration.h).
 *
 *   begin ─▶ script 1 ─▶ card ─▶ certificates ─▶ what the code says of them ─▶ script 2 ─▶ card ─▶
 *   proof ─▶ registered
 *
 * The code is used here and nowhere else: what goes to the broker is good for this card in this
 * tap. Whatever ends it before the proof uses nothing up; if no answer comes to the proof, the same
 * code is good for the same card again.
 */
#ifndef CB_CARDLINK_TERMINAL_REGISTERING_H
#define CB_CARDLINK_TERMINAL_REGISTERING_H

#include "base/code.h"
#include "cardlink/terminal/tap.h"

typedef struct cb_registering_order {
    char symbols[CB_CODE_SYMBOLS]; /* to be wiped by the caller */
    const cb_pins *pins;           /* NULL: none */
    const cb_profile_order *profiles;
    uint8_t pin_pad; /* cb_pad_use: of a reader that has one, when there are no pins */
} cb_registering_order;

/* With the card that lies on a reader, which is given back before this returns. CB_OK only when it
 * is registered: then report->result says which card and whose. Otherwise report->problem says why:
 * CB_E_CARD_FOREIGN (none of the profiles whose cards others issue), CB_E_PIN_REQUIRED (none was
 * entered, and the card wants one), CB_E_PIN_PAD (it is to be typed on the reader's keys, which has
 * none), and what card, relay and broker say. */
cb_error cb_registering_run(cb_relay *relay, cb_readers *readers, const char *reader,
                            const cb_registering_order *order, cb_tap_report *report);

#endif
