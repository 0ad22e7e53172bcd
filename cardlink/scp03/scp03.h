/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * SCP03 (GlobalPlatform Amendment D 1.2): names and sizes that both sides share.
 *
 * A card and whoever holds its keys prove to each other that they do, by AES alone, and then speak
 * over secure messaging (cardlink/secure_messaging.h). There is no forward secrecy: who learns a
 * card's keys later can read and could have forged what was said before; and the master key that
 * the cards' keys come from is everything. Only security level 33 is spoken (commands and answers
 * MACed and encrypted) in S8 mode (challenges, cryptograms and MACs of 8 bytes): nothing is
 * negotiated, so nothing can be negotiated down.
 *
 * What a tap consists of, from the host's end:
 *
 *   begin   SELECT, and INITIALIZE UPDATE with 8 random bytes     CB_SCP03_INS_UPDATE
 *   answer  cb_scp03_update_read     who the card says it is (key diversification data)
 *           cb_scp03_diversify       its keys, from the master key in the HSM   (keys.h)
 *           cb_scp03_open            session keys; the card's cryptogram is checked   (session.h)
 *           cb_scp03_sequence_check  cards with a sequence counter: that the counter is the card's
 *           cb_scp03_authenticate_put, cb_scp03_presence_put   the second script
 *   check   cb_scp03_presence_open   the card was present for this context   (presence.h)
 */
#ifndef CB_CARDLINK_SCP03_SCP03_H
#define CB_CARDLINK_SCP03_SCP03_H

#include "cardlink/secure_messaging.h"

/* The application of Cardbroker's own that speaks it: "CARDBROKER" and 03, in the range for
 * applications that nobody registered (ISO/IEC 7816-4, 8.2.1). */
#define CB_SCP03_AID_BYTES 0xF0, 0x43, 0x41, 0x52, 0x44, 0x42, 0x52, 0x4F, 0x4B, 0x45, 0x52, 0x03
extern const uint8_t cb_scp03_aid[12];

enum {
    CB_SCP03_KDD = 10, /* key diversification data */
    CB_SCP03_CHALLENGE = 8,
    CB_SCP03_CRYPTOGRAM = 8,
    CB_SCP03_SEQUENCE_MAX = 0xFFFFFF, /* three bytes on the wire */
    CB_SCP03_LEVEL = 0x33,            /* C-MAC, C-DECRYPTION, R-MAC, R-ENCRYPTION */
    CB_SCP03_PROTOCOL = 0x03,

    CB_SCP03_CLA = 0x80,
    CB_SCP03_CLA_SECURE = 0x84,
    CB_SCP03_INS_UPDATE = 0x50,       /* INITIALIZE UPDATE */
    CB_SCP03_INS_AUTHENTICATE = 0x82, /* EXTERNAL AUTHENTICATE */
    CB_SCP03_INS_PRESENCE = 0x88,     /* INTERNAL AUTHENTICATE, inside the channel */

    /* Bits of the parameter i (Amendment D, table 5-1). */
    CB_SCP03_I_S16 = 0x01,
    CB_SCP03_I_PSEUDO_RANDOM = 0x10, /* challenges come from a sequence counter, which is sent */
    CB_SCP03_I_ANSWERS = 0x60        /* answers are MACed and encrypted */
};

#endif
