/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands to a PIV card, and its answers, inside secure messaging (NIST SP 800-73-4, part 2, 4.2;
 * cipher suite 2). The host's side; the keys come from agreement.h.
 *
 *   command  0C INS P1 P2 {87: 01 ‖ data, encrypted; 97: Le; 8E: MAC (8)} 00
 *   answer   {87: 01 ‖ data, encrypted; 99: status (2); 8E: MAC (8)} 9000
 *
 * Data are padded (80 00…) and encrypted with AES-CBC, from a vector that is the encrypted counter
 * of the command, with 80 on top for its answer. Each MAC is over the whole MAC before it of the
 * same direction, so that nothing is left out, repeated or put in another place; the status that
 * counts stands inside. A long command goes in parts of 255 bytes with class 1C before the last.
 *
 * Errors of the channel itself are told in the clear, as a bare status, so anybody between can end
 * a session; nothing else. After any error a session is wiped, and every call on it fails.
 */
#ifndef CB_CARDLINK_PIV_MESSAGING_H
#define CB_CARDLINK_PIV_MESSAGING_H

#include "base/crypto.h"
#include "cardlink/apdu.h"

enum { CB_PIV_SESSION_KEY = 16, CB_PIV_MAC = 8, CB_PIV_COMMAND_DATA_MAX = 1024 };

typedef struct cb_piv_session {
    bool open;
    uint8_t enc[CB_PIV_SESSION_KEY];
    uint8_t mac[CB_PIV_SESSION_KEY];
    uint8_t rmac[CB_PIV_SESSION_KEY];
    uint8_t command_chain[CB_AES_BLOCK]; /* MAC of the last command; at first zero */
    uint8_t answer_chain[CB_AES_BLOCK];  /* and of the last answer */
    uint32_t sent;                       /* commands */
    uint32_t answered;
} cb_piv_session;

/* A session with the keys SKmac ‖ SKenc ‖ SKrmac, in which nothing was sent. */
void cb_piv_session_begin(cb_piv_session *session, const uint8_t keys[3 * CB_PIV_SESSION_KEY]);

/* Wraps a command with up to CB_PIV_COMMAND_DATA_MAX bytes of data, and appends it to a script
 * (cardlink/script.h); *parts is the number of its commands, whose last one has the answer. Several
 * may be wrapped before the first is answered. CB_E_TOO_LARGE, CB_E_CRYPTO, CB_E_ARGUMENT (the
 * session has ended), what the script has. */
cb_error cb_piv_wrap(cb_piv_session *session, const cb_apdu *plain, cb_buf *script, size_t *parts);

/* Opens the answer to the first command that was not answered yet, as a terminal brings it, and
 * appends its data; *status is the one inside. CB_E_CARD_STATUS (the card did not take the command
 * as part of this session), CB_E_CARD_PROOF (its MAC is another's), CB_E_CARD_ANSWER, CB_E_CRYPTO,
 * CB_E_ARGUMENT (nothing is to be answered). */
cb_error cb_piv_open(cb_piv_session *session, cb_bytes answer, cb_buf *data, uint16_t *status);

#endif
