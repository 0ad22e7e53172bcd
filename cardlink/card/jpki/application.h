/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The JPKI application of Japan's Individual Number Card, as clients see it (OpenSC's driver jpki,
 * the program myna): a card that signs for its holder with RSA-2048, and knows nothing of who asks.
 *
 *   00 A4 04 0C 0A D392F000260100000001   the application; whatever PIN was verified is forgotten
 *   00 A4 02 0C 02 <file>                 a file, see below
 *   00 B0 <offset> Le                     READ BINARY: as many bytes as Le asks for, or there are
 *   00 20 00 80 [Lc PIN]                  VERIFY; without data: 63Cx, x tries left, always
 *   00 24 01 80 Lc <new PIN>              CHANGE REFERENCE DATA, after VERIFY of the old one
 *   80 2A 00 80 Lc <DigestInfo> 00        COMPUTE DIGITAL SIGNATURE (PKCS#1 v1.5): 256 bytes
 *
 *                       certificate   authority   key    PIN
 *   user authentication    000A         000B      0017   0018   4 digits, 3 tries
 *   signature              0001         0002      001A   001B   6 to 16 digits and capitals, 5
 * tries token information   0006 (32 bytes)
 *
 * The signature certificate is read after its PIN only, for it names its holder; the others are
 * free. A try is taken away, durably, before a PIN is compared. A PIN of a length that it cannot
 * have takes none (6700). Beside the words of ISO/IEC 7816-4: no application selected 6985, no
 * file, or one of another kind, 6986.
 */
#ifndef CB_CARDLINK_CARD_JPKI_APPLICATION_H
#define CB_CARDLINK_CARD_JPKI_APPLICATION_H

#include "cardlink/card/applet.h"
#include "cardlink/card/jpki/state.h"

#define CB_VJPKI_AID_BYTES 0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01

/* What the card says when it gets power, and clients know it by. */
extern const uint8_t cb_vjpki_atr[9];
/* The content of 0006. */
extern const uint8_t cb_vjpki_token[32];

typedef struct cb_vjpki_application {
    struct cb_vcard *card;
    cb_vjpki_state state;
    bool selected;
    uint16_t file; /* 0: none */
    bool verified[CB_VJPKI_USES];
} cb_vjpki_application;

extern const cb_applet cb_applet_jpki;

#endif
