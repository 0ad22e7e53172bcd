/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How a host and a PIV card come to have session keys (NIST SP 800-73-4, part 2, 4.1; cipher suite
 * 2: P-256, SHA-256, AES-128). The host's side.
 *
 *   host → card   00 87 27 04 7C{81: 00 ‖ IDsH (8) ‖ QeH (65), 82:}
 *   card → host   7C{82: 00 ‖ Nicc (16) ‖ cryptogram (16) ‖ certificate of the card's key}
 *
 * Both derive keys from the point that the host's ephemeral key and the card's own agree on.
 * Whoever answers with the right cryptogram has the private half of the key in the certificate, and
 * is there now. The card learns nothing of the host; and there is no forward secrecy, for the
 * card's key is always the same.
 */
#ifndef CB_CARDLINK_PIV_AGREEMENT_H
#define CB_CARDLINK_PIV_AGREEMENT_H

#include "cardlink/piv/certificate.h"
#include "cardlink/piv/messaging.h"

enum { CB_PIV_HOST_ID = 8, CB_PIV_NONCE = 16, CB_PIV_CRYPTOGRAM = 16 };

/* What the host has sent and not yet had answered: its ephemeral key. */
typedef struct cb_piv_offer {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t id[CB_PIV_HOST_ID]; /* zero: the host has no name */
    uint8_t point[CB_P256_POINT];
} cb_piv_offer;

/* What the card answered, borrowed. */
typedef struct cb_piv_answer {
    cb_bytes nonce;
    cb_bytes cryptogram;
    cb_piv_cvc certificate; /* unverified */
} cb_piv_answer;

/* Draws the ephemeral key and appends the command. CB_E_CRYPTO, what the buffer has. */
cb_error cb_piv_offer_make(cb_piv_offer *offer, cb_buf *command);

/* The same with the key that the offer has already. */
cb_error cb_piv_offer_put(const cb_piv_offer *offer, cb_buf *command);

/* Reads the answer's data. CB_E_CARD_ANSWER, CB_E_CERTIFICATE_FORM, CB_E_CERTIFICATE_ALGORITHM. */
cb_error cb_piv_answer_read(cb_bytes data, cb_piv_answer *out);

/* The session, if the answer proves the private half of the key whose point is given: that one must
 * stand in the answer's certificate, so the caller says whom it wants to talk to. The offer is
 * wiped, whatever comes of it; the session is zero after an error. CB_E_CARD_PROOF (another key, or
 * a wrong cryptogram), CB_E_CRYPTO, CB_E_MEMORY. */
cb_error cb_piv_agree(cb_piv_offer *offer, const cb_piv_answer *answer, cb_bytes point,
                      cb_piv_session *session);

#endif
