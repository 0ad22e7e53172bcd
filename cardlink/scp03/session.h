/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How an SCP03 session begins (GlobalPlatform Amendment D, 6.2 and 7.1).
 *
 *   80 50 KVN 00 08 <host challenge> 00
 *     -> KDD(10) KVN 03 i card challenge(8) card cryptogram(8) [sequence counter(3)]
 *   84 82 33 00 10 <host cryptogram(8)> <C-MAC(8)>
 *     -> 9000
 *
 * Session keys, cryptograms and pseudo-random challenges all come from one derivation (SP 800-108,
 * counter mode, AES-CMAC) over both challenges; the keys S-ENC, S-MAC and S-RMAC are as long as the
 * card's own. Whoever computes the other's cryptogram knows that it holds the card's keys and
 * speaks in this session.
 */
#ifndef CB_CARDLINK_SCP03_SESSION_H
#define CB_CARDLINK_SCP03_SESSION_H

#include "cardlink/scp03/keys.h"

/* What a card answers to INITIALIZE UPDATE, 29 or 32 bytes. */
typedef struct cb_scp03_update {
    uint8_t kdd[CB_SCP03_KDD];
    uint8_t key_version;
    uint8_t i; /* 60, or 70: with a sequence counter */
    uint8_t challenge[CB_SCP03_CHALLENGE];
    uint8_t cryptogram[CB_SCP03_CRYPTOGRAM];
    uint32_t sequence; /* 0 without a counter */
} cb_scp03_update;

/* A session as both sides compute it. Secret: whoever has one wipes it. */
typedef struct cb_scp03_session {
    cb_sm sm; /* ready for EXTERNAL AUTHENTICATE, then for commands */
    uint8_t card_cryptogram[CB_SCP03_CRYPTOGRAM];
    uint8_t host_cryptogram[CB_SCP03_CRYPTOGRAM];
} cb_scp03_session;

/* ---- Both sides ---- */

/* The session of two challenges. CB_E_CRYPTO, and CB_E_ARGUMENT for keys of a length that AES does
 * not have; *out is zero then. */
cb_error cb_scp03_session_derive(const cb_scp03_keys *keys,
                                 const uint8_t host_challenge[CB_SCP03_CHALLENGE],
                                 const uint8_t card_challenge[CB_SCP03_CHALLENGE],
                                 cb_scp03_session *out);

/* The challenge of a card with a sequence counter, for the application that is selected (Amendment
 * D, 6.2.2.1). AIDs have 5 to 16 bytes; CB_E_ARGUMENT for others. */
cb_error cb_scp03_challenge(const cb_scp03_keys *keys, uint32_t sequence, cb_bytes aid,
                            uint8_t out[CB_SCP03_CHALLENGE]);

/* ---- The host's end ---- */

/* Appends INITIALIZE UPDATE. key_version 0 leaves the choice to the card. */
void cb_scp03_update_command(uint8_t key_version, const uint8_t host_challenge[CB_SCP03_CHALLENGE],
                             cb_buf *out);

/* Reads the data of its answer (without status word). CB_E_CARD_ANSWER for wrong lengths; and
 * CB_E_CARD_FOREIGN for another protocol, for S16 mode, and for a card that cannot MAC and encrypt
 * its answers. Nothing in it is authentic yet. */
cb_error cb_scp03_update_read(cb_bytes data, cb_scp03_update *out);

/* Derives the session and checks the card's cryptogram: whoever answered holds these keys, or has
 * an accomplice who does. CB_E_CARD_PROOF when it is wrong; *out is zero then. */
cb_error cb_scp03_open(const cb_scp03_keys *keys, const uint8_t host_challenge[CB_SCP03_CHALLENGE],
                       const cb_scp03_update *update, cb_scp03_session *out);

/* Whether the sequence counter is the one that the card's challenge was made from, for no MAC
 * covers it otherwise: CB_E_CARD_ANSWER when it is not. CB_OK for a card without a counter. */
cb_error cb_scp03_sequence_check(const cb_scp03_keys *keys, const cb_scp03_update *update,
                                 cb_bytes aid);

/* Appends EXTERNAL AUTHENTICATE. Its answer is a status word alone; the first one that is authentic
 * is the one to the next command. */
cb_error cb_scp03_authenticate_put(cb_scp03_session *session, cb_buf *out);

/* ---- The card's end ---- */

/* Appends the answer's data; sequence is sent if i says so. */
void cb_scp03_update_put(cb_buf *out, const cb_scp03_update *update);

/* Checks EXTERNAL AUTHENTICATE: level, MAC, the host's cryptogram. CB_E_ARGUMENT for another level
 * (P1) or P2; CB_E_CARD_ANSWER when the host does not hold the keys. Not to be used again after an
 * error. */
cb_error cb_scp03_authenticate_check(cb_scp03_session *session, const cb_apdu *command);

#endif
