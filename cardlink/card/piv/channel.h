/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PIV secure messaging with cipher suite 2 (P-256, AES-128, SHA-256), the card's end of it: NIST SP
 * 800-73-4, part 2, 4.
 *
 * The host sends an ephemeral point. The card agrees on a secret with its static key, derives four
 * keys from that and from a nonce of its own, and proves with a MAC by the first that it has them.
 * Only the card is authenticated, by the certificate of its static key; and who learns that key can
 * read what was said before.
 *
 * Then each command is encrypted (AES-CBC, padded 80 00…, vector = AES of a counter) and carries
 * the first eight bytes of an AES-CMAC over the MAC of the command before it, its header, and its
 * data objects; each answer likewise, with its status word inside. The answer's vector is the
 * command's with the counter's top bit set. A side that finds a MAC wrong gives the channel up.
 */
#ifndef CB_CARDLINK_CARD_PIV_CHANNEL_H
#define CB_CARDLINK_CARD_PIV_CHANNEL_H

#include "base/crypto.h"
#include "cardlink/apdu.h"

enum {
    CB_VPIV_CIPHER_SUITE_2 = 0x27, /* as an algorithm (part 2, table 14) */
    CB_VPIV_CLA_SECURED = 0x0C,
    CB_VPIV_CHANNEL_KEY = 16,
    CB_VPIV_CHANNEL_ID = 8, /* of either side */
    CB_VPIV_CHANNEL_NONCE = 16,
    CB_VPIV_CRYPTOGRAM = 16,
    CB_VPIV_MAC = 8
};

/* Status words of secure messaging (part 2, 4.2.7); also 6982 and, when a MAC, a padding or a data
 * object is wrong, 6988. */
enum { CB_VPIV_SW_NOT_SECURED = 0x6882, CB_VPIV_SW_OBJECTS_MISSING = 0x6987 };

typedef struct cb_vpiv_channel {
    bool open;
    uint8_t enc[CB_VPIV_CHANNEL_KEY];
    uint8_t mac[CB_VPIV_CHANNEL_KEY];
    uint8_t rmac[CB_VPIV_CHANNEL_KEY];
    uint8_t command_chain[CB_AES_BLOCK]; /* MAC of the last command; at first zero */
    uint8_t answer_chain[CB_AES_BLOCK];  /* of the last answer */
    uint64_t counter;                    /* of the next command and its answer, from 1 */
} cb_vpiv_channel;

/* What both sides know when they derive the keys. */
typedef struct cb_vpiv_agreement {
    uint8_t control;      /* CB_H */
    cb_bytes host;        /* ID_sH, 8 bytes */
    cb_bytes point;       /* Q_eH, 65 bytes */
    cb_bytes secret;      /* Z, 32 bytes */
    cb_bytes certificate; /* C_ICC, whole */
    cb_bytes nonce;       /* N_ICC, 16 bytes */
} cb_vpiv_agreement;

/* Derives the keys (part 2, 4.1.6), opens a channel with them, and computes what confirms them
 * (4.1.7). CB_E_ARGUMENT for other sizes, CB_E_CRYPTO; the channel is closed then. */
cb_error cb_vpiv_channel_open(const cb_vpiv_agreement *in, cb_vpiv_channel *out,
                              uint8_t cryptogram[CB_VPIV_CRYPTOGRAM]);

/* Opens a command that came whole (CLA 0C): 9000, and its data in plain, which must be empty and
 * allow as much; *command borrows from plain, has CLA 00, and says with le whether DO 97 was there.
 * Otherwise 6987, 6988 or 6F00, and the caller ends the channel. */
uint16_t cb_vpiv_channel_take(cb_vpiv_channel *channel, const cb_apdu *secured, cb_buf *plain,
                              cb_apdu *command);

/* Appends the answer to the command that was taken last: DO 87 if there are data, 99, 8E. After an
 * error the caller ends the channel. */
cb_error cb_vpiv_channel_answer(cb_vpiv_channel *channel, cb_bytes data, uint16_t status,
                                cb_buf *out);

/* Destroys the keys. */
void cb_vpiv_channel_end(cb_vpiv_channel *channel);

#endif
