/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A manager's permission that one card takes a new PIN without its unblocking code (S0-7.2.5,
 * S0-7.5.1).
 *
 * hsmd itself keeps it, in a file that all workers share (memo.h): whoever has the front end can
 * neither give one nor use one twice, and a restart brings none back. It is taken, durably, before
 * the command that it allows leaves hsmd, whatever becomes of that command. A card has one at most;
 * a new one takes the place of the one before.
 *
 *   entry: the first 16 bytes of SHA-256("cardbroker pin reset permission 1" 00 ‖ card), so that it
 * is nobody else's in that file: terminal (16) ‖ i64 its end, wall clock, microseconds ‖ zero (8);
 *   all zero: none
 */
#ifndef CB_HSM_PIN_RESET_H
#define CB_HSM_PIN_RESET_H

#include "hsm/memo.h"

/* Seconds for which a permission is good. */
enum { CB_PIN_RESET_LEAST_S = 1, CB_PIN_RESET_MOST_S = 3600 };

/* Gives one for a card at a terminal, until a time. CB_E_IO, CB_E_STORE_FULL, CB_E_HSM_RECORD. */
cb_error cb_pin_reset_allow(cb_memo *memo, const cb_id *card, const cb_id *terminal, int64_t until);

/* Takes the permission that the card has at this terminal at now. CB_E_PIN_RESET_REFUSED: there is
 * none, which leaves one for another terminal as it was; others as above. */
cb_error cb_pin_reset_take(cb_memo *memo, const cb_id *card, const cb_id *terminal, int64_t now);

#endif
