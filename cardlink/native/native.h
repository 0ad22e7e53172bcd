/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The native card application: names and sizes that the broker's side and the card's side share.
 * The whole protocol is described in docs/card-application.md.
 */
#ifndef CB_CARDLINK_NATIVE_NATIVE_H
#define CB_CARDLINK_NATIVE_NATIVE_H

#include "base/crypto.h"

/* "CARDBROKER" and version 1, in the range for applications that nobody registered (ISO/IEC
 * 7816-4, 8.2.1). */
#define CB_NATIVE_AID_BYTES 0xF0, 0x43, 0x41, 0x52, 0x44, 0x42, 0x52, 0x4F, 0x4B, 0x45, 0x52, 0x01
extern const uint8_t cb_native_aid[12];

enum {
    CB_NATIVE_CARD_KEY_ID = 0x11, /* the card's key agreement key (SCP11a) */
    CB_NATIVE_CARD_KEY_VERSION = 0x01,
    CB_NATIVE_CERTIFICATE_MAX = 239, /* with padding and MAC it still fits into one short command */
    CB_NATIVE_NONCE = 32,
    CB_NATIVE_RECEIPT = 16,
    CB_NATIVE_KEY = 16,           /* AES-128 */
    CB_NATIVE_VERSION_MAX = 0x7F, /* KVN of a CA-KLOC key: its generation */
    CB_NATIVE_CLA = 0x80,
    CB_NATIVE_CLA_SECURE = 0x84,

    CB_INS_VERIFY = 0x20,
    CB_INS_CHANGE = 0x24,            /* CHANGE REFERENCE DATA */
    CB_INS_PSO = 0x2A,               /* PERFORM SECURITY OPERATION: verify certificate */
    CB_NATIVE_PSO_LINK = 0x80,       /* in its P2: more certificates follow, so this is a link */
    CB_INS_UNBLOCK = 0x2C,           /* RESET RETRY COUNTER */
    CB_NATIVE_UNBLOCK_SIGNED = 0x02, /* its P1, for a new PIN by the broker's signature */
    CB_INS_MUTUAL = 0x82,            /* MUTUAL AUTHENTICATE */
    CB_INS_REQUEST = 0x82, /* EXTERNAL AUTHENTICATE, inside the channel: the broker's signature */
    CB_INS_PROVE = 0x88,   /* INTERNAL AUTHENTICATE: the card's own proof */
    CB_INS_SELECT = 0xA4,
    CB_INS_TERMINATE = 0xE6, /* TERMINATE DF (ISO/IEC 7816-9): ends the application for good */
    CB_INS_GET_DATA = 0xCA,

    CB_TAG_FCI = 0x6F,        /* SELECT's answer (ISO/IEC 7816-4, 7.4.3) */
    CB_TAG_NAME = 0x84,       /* in it: the application's name */
    CB_TAG_OWN = 0xA5,        /* what is the application's own */
    CB_TAG_GENERATION = 0xC0, /* in that: KID and newest KVN of one authority */
    CB_TAG_EPHEMERAL = 0x5F49,
    CB_TAG_RECEIPT = 0x86,
    CB_TAG_STORE = 0xBF21
};

/* KIDs of CA-KLOC keys: 10, or 20..2F (GlobalPlatform Amendment F, 4.2). */
static inline bool cb_native_kloc_id_ok(uint8_t key_id)
{
    return key_id == 0x10 || (key_id & 0xF0) == 0x20;
}

#endif
