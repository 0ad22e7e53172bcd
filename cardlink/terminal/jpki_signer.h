/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The signature certificate of a JPKI card, for its holder: read, and nothing else. Its file is
 * behind the signature PIN (6 to 16 digits and capitals, five tries), for it names its holder, with
 * address, birth and sex; the key that it is of makes legal signatures, and no command here uses
 * it. Nothing of this is for the broker, and nothing is sent to it.
 */
#ifndef CB_CARDLINK_TERMINAL_JPKI_SIGNER_H
#define CB_CARDLINK_TERMINAL_JPKI_SIGNER_H

#include "cardlink/terminal/play.h"

enum { CB_JPKI_SIGNER_PIN_LEAST = 6, CB_JPKI_SIGNER_PIN_MOST = 16 };

/* Whether it can be such a PIN. Small letters become capitals. */
bool cb_jpki_signer_pin(char *text);

/* Reads the certificate (DER). tries_left: -1, or what the card said. CB_E_CARD_FOREIGN (no such
 * application), CB_E_PIN_WRONG, CB_E_PIN_BLOCKED, CB_E_DENIED (one try is left: it is not risked,
 * for whoever blocks this PIN has to go to his municipality), CB_E_CARD_STATUS, CB_E_CARD_ANSWER,
 * CB_E_CARD_CERTIFICATE, and what cb_play returns. The card forgets the PIN in any case. */
cb_error cb_jpki_signer_read(const cb_card_io *io, cb_bytes pin, cb_buf *certificate,
                             int *tries_left);

#endif
