/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a card did: counted where the virtual card is entered and left, and at the cryptographic
 * functions that it calls (linked with --wrap). What the terminal does in the same process is not
 * counted.
 */
#ifndef CB_BENCH_CARD_COUNT_H
#define CB_BENCH_CARD_COUNT_H

#include "cardlink/card/card.h"

/* The operations that a chip would spend time on. */
typedef enum card_operation {
    CARD_P256_GENERATE,
    CARD_P256_AGREE,
    CARD_P256_SIGN,
    CARD_P256_VERIFY,
    CARD_P384_SIGN,
    CARD_RSA_2048,
    CARD_AES,     /* CMAC or a single block: nothing but the key has to be set up */
    CARD_AES_CBC, /* with a vector of its own */
    CARD_SHA256,
    CARD_SAVE, /* to memory that lasts */
    CARD_OPERATIONS
} card_operation;

extern const char *const card_operation_names[CARD_OPERATIONS];

enum { CARD_BLOCK = 256 - 3 };

typedef struct card_count {
    uint64_t apdus;            /* pairs of command and answer, GET RESPONSE among them */
    uint64_t to_card, to_host; /* bytes of commands, and of answers with their status */
    uint64_t blocks;           /* that carry these bytes by ISO/IEC 14443-4, CARD_BLOCK in each */
    uint64_t operations[CARD_OPERATIONS];
} card_count;

/* One exchange with the card; count gets what it did. What transmit of a cb_card_io returns. */
cb_error card_count_process(cb_vcard *card, cb_bytes command, cb_buf *answer, card_count *count);

/* Adds what is in more. */
void card_count_add(card_count *count, const card_count *more);

#endif
