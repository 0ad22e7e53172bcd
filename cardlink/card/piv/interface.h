/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a PIV card does on its contactless interface (NIST SP 800-73-4, part 1, tables 2, 4a and 4b;
 * part 2, table 2): card authentication, and reading a few objects. Everything else that the
 * holder does wants the virtual contact interface: the command came inside a channel of secure
 * messaging, and the pairing code was verified, inside one. What the administrator does, and the
 * PUK, want contacts.
 *
 * A card has a virtual contact interface when it has a secure messaging key and the pairing code
 * container, which holds the code; its discovery object says so.
 */
#ifndef CB_CARDLINK_CARD_PIV_INTERFACE_H
#define CB_CARDLINK_CARD_PIV_INTERFACE_H

#include "cardlink/card/piv/application.h"

/* Of the PIN, at or below which it is blocked on the contactless interface (part 2, 3.2.1). */
enum { CB_VPIV_TRIES_KEPT = 1 };

/* The pairing code: eight digits, borrowed; of no bytes: the card has no virtual contact interface.
 */
cb_bytes cb_vpiv_pairing_code(const cb_vpiv_state *state);

/* Whether the command that is being done came over contacts, or over contacts or their virtual
 * equal. */
bool cb_vpiv_at_contacts(const cb_vpiv_application *piv);
bool cb_vpiv_in_contact(const cb_vpiv_application *piv);

/* Whether an object may be read by its interface alone; PINs are another matter. */
bool cb_vpiv_may_read(const cb_vpiv_application *piv, uint32_t tag);

/* VERIFY with the pairing code; P2 has been looked at. */
uint16_t cb_vpiv_verify_pairing(cb_vpiv_application *piv, const cb_apdu *apdu);

#endif
