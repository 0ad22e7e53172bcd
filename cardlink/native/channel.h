/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The channel: SCP11a of GlobalPlatform Amendment F on P-256, SHA-256, AES-128, with one fixed set
 * of parameters (key usage 3C, key type 88, key length 10): nothing is negotiated, so nothing can
 * be negotiated down. What both sides compute stands here.
 *
 *   keys       X9.63 KDF over ECDH(ephemeral, ephemeral) ‖ ECDH(static, static), info 3C 88 10
 *   receipt    AES-CMAC(receipt key, data of MUTUAL AUTHENTICATE ‖ 5F49 41 card's ephemeral point)
 *   transcript SHA-256 over everything that both sides have said and are, so that one signature
 * over it ties them to this session and no other
 */
#ifndef CB_CARDLINK_NATIVE_CHANNEL_H
#define CB_CARDLINK_NATIVE_CHANNEL_H

#include "cardlink/native/native.h"
#include "cardlink/secure_messaging.h"

enum { CB_CHANNEL_DATA = 15 + 3 + CB_P256_POINT };

/* What a session consists of, as both sides know it. Certificates are whole 7F21 objects, borrowed.
 */
typedef struct cb_channel_facts {
    uint8_t kloc_id;
    uint8_t kloc_version;
    cb_bytes broker_certificate; /* key agreement */
    cb_bytes card_certificate;   /* of the card's batch */
    const uint8_t *broker_point; /* ephemeral, 65 */
    const uint8_t *card_point;   /* ephemeral, 65 */
    const uint8_t *receipt;      /* 16 */
} cb_channel_facts;

/* The data of MUTUAL AUTHENTICATE (83 bytes), and the broker's point in it. Reading fails with
 * CB_E_FORMAT for any other parameter than the ones above. */
void cb_channel_data_make(const uint8_t broker_point[CB_P256_POINT], uint8_t out[CB_CHANNEL_DATA]);
cb_error cb_channel_data_read(cb_bytes data, uint8_t broker_point[CB_P256_POINT]);

/* Session keys and receipt from the two shared secrets. sm is ready for the first command. */
cb_error cb_channel_open(const uint8_t ephemeral[CB_P256_SCALAR],
                         const uint8_t fixed[CB_P256_SCALAR], const uint8_t data[CB_CHANNEL_DATA],
                         const uint8_t card_point[CB_P256_POINT], cb_sm *sm,
                         uint8_t receipt[CB_NATIVE_RECEIPT]);

cb_digest cb_channel_transcript(const cb_channel_facts *facts);

#endif
