/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands of cardlink-issuer that make cards with applications that others have specified: the
 * files of it. Each writes its state file last and prints what the card is known by. What is wrong
 * is written to why; CB_E_ARGUMENT for options that do not go together.
 */
#ifndef CB_CARDLINK_ISSUER_OTHERS_H
#define CB_CARDLINK_ISSUER_OTHERS_H

#include "cardlink/card/content.h"
#include "cardlink/issuer/options.h"

/* Prints the SHA-256 of the user authentication certificate. */
cb_error cb_issuer_jpki_make(const cb_issuer_options *chosen, cb_buf *why);

/* Prints the key diversification data. */
cb_error cb_issuer_scp03_make(const cb_issuer_options *chosen, cb_buf *why);

/* Writes a card's file with one application, after those of the card that --beside names; with the
 * latter's ATR, the one that was chosen, or the usual one. */
cb_error cb_issuer_write_card(const cb_issuer_options *chosen, const cb_applet *applet,
                              cb_bytes usual_atr, const cb_buf *state, cb_buf *why);

/* Prints the card's GUID. */
cb_error cb_issuer_piv_make(const cb_issuer_options *chosen, cb_buf *why);

#endif
