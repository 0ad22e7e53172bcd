/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A PIV card with secure messaging (NIST SP 800-73-4, part 2, 4; cipher suite 2), made of one
 * without: what comes inside is given to that one in the clear, and what it says is wrapped. It has
 * a key, its certificate, and a signer's object; and it can be made to do wrong. Ends the program
 * when something of its own fails.
 */
#ifndef CB_TESTS_SUPPORT_SECURE_PIV_H
#define CB_TESTS_SUPPORT_SECURE_PIV_H

#include "base/crypto.h"
#include "cardlink/terminal/play.h"

typedef struct secure_piv {
    cb_card_io plain; /* the card without */
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf certificate; /* 7F21… */
    cb_buf signer;      /* what GET DATA says of 5FC122: 53…; of no bytes: there is none */

    bool refuses;     /* the offer of secure messaging */
    bool lies;        /* about whether a command was right */
    unsigned inside;  /* commands that came inside, each chain once */
    unsigned outside; /* GENERAL AUTHENTICATE in the clear, but for the offer */

    bool open;
    uint8_t enc[16], mac[16], rmac[16], command_chain[16], answer_chain[16];
    uint32_t counter;
    cb_buf chained, rest;
} secure_piv;

/* With a fresh key; certificate and signer are the caller's to put in. */
void secure_piv_make(secure_piv *p, const cb_card_io *plain);
void secure_piv_free(secure_piv *p);

/* The power goes. */
void secure_piv_reset(secure_piv *p);

/* Of cb_card_io. */
cb_error secure_piv_transmit(void *card, cb_bytes command, cb_buf *answer);

/* A card verifiable certificate that is to be made. */
typedef struct secure_piv_cvc {
    cb_bytes issuer, subject, point;
    uint8_t role;       /* 00: a card's; 12: an intermediate one */
    cb_bytes algorithm; /* AlgorithmIdentifier */

    /* Appends what the issuer's key makes of a digest. */
    cb_error (*sign)(const void *key, cb_bytes digest, cb_buf *out);
    const void *key;
} secure_piv_cvc;

void secure_piv_certify(const secure_piv_cvc *what, cb_buf *out);

/* ecdsa-with-SHA256, and sha256WithRSAEncryption. */
extern const cb_bytes secure_piv_ecdsa, secure_piv_rsa;

#endif
