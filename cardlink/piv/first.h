/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The first script of a tap with a PIV card, and what the card says in answer, to everybody: the
 * beginning of its CHUID (NIST SP 800-73-4, part 1, 3.1.2), by whose FASC-N and GUID it is known,
 * and, if it has secure messaging, the answer to the host's offer of it.
 */
#ifndef CB_CARDLINK_PIV_FIRST_H
#define CB_CARDLINK_PIV_FIRST_H

#include "cardlink/piv/agreement.h"
#include "cardlink/profile.h"

enum { CB_PIV_FASC_N = 25 };

/* The bytes of SELECT by the application's identifier without its version (part 1, 2.2). */
#define CB_PIV_SELECT 0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08, 0x00

/* Appends the script, with an offer that is made here. A card that does not have secure messaging
 * refuses that one command, which nothing else depends on. CB_E_CRYPTO, what the script has. */
cb_error cb_piv_first_put(cb_piv_offer *offer, cb_buf *script);

/* Of cb_card_profile. */
cb_error cb_piv_recognise(const cb_script *answers, cb_id *card);

/* What the card is known by; borrowed. */
typedef struct cb_piv_names {
    cb_bytes fasc_n, guid;
} cb_piv_names;

/* From answers that were recognised. CB_E_CARD_ANSWER. */
cb_error cb_piv_names_read(const cb_script *answers, cb_piv_names *out);

/* What the card answered to the offer: CB_E_CARD_STATUS when it refused it, CB_E_CARD_ANSWER,
 * CB_E_CARD_REMOVED (there is no answer). */
cb_error cb_piv_offer_answer(const cb_script *answers, cb_piv_answer *out);

/* Appends a command to a script. */
void cb_piv_put_command(cb_buf *script, uint8_t flags, const cb_apdu *apdu);

#endif
