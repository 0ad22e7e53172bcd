/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What of the PIV card application the broker's side uses (NIST SP 800-73-4, part 1 and 2).
 */
#ifndef CB_CARDLINK_PIV_COMMANDS_H
#define CB_CARDLINK_PIV_COMMANDS_H

#include "cardlink/card_key.h"

enum {
    CB_PIV_INS_GET_DATA = 0xCB,
    CB_PIV_INS_AUTHENTICATE = 0x87, /* GENERAL AUTHENTICATE */
    CB_PIV_INS_VERIFY = 0x20,
    CB_PIV_PIN = 0x80,                /* key reference of the application's PIN */
    CB_PIV_KEY_AUTHENTICATION = 0x9A, /* PIN once in a session */
    CB_PIV_KEY_CARD = 0x9E,           /* no PIN */
    CB_PIV_KEY_MESSAGING = 0x04,      /* of secure messaging: agrees, and signs nothing */
    CB_PIV_CIPHER_SUITE_2 = 0x27      /* P-256, SHA-256, AES-128 (NIST SP 800-78-4, table 6-2) */
};

/* Data objects (part 1, table 3). */
enum {
    CB_PIV_CHUID = 0x5FC102,
    CB_PIV_CERTIFICATE_9A = 0x5FC105,
    CB_PIV_CERTIFICATE_9E = 0x5FC101,
    CB_PIV_MESSAGING_SIGNER = 0x5FC122 /* who signed the certificate of the key 04 */
};

#endif
