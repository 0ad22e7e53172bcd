/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whole taps of cards that somebody else issued, of each kind there is, through a terminal that
 * does what it likes with each message: from a card as it was made to hsmd's word that it is the
 * card's.
 */
#ifndef CB_TESTS_HSM_FOREIGN_WIRE_H
#define CB_TESTS_HSM_FOREIGN_WIRE_H

#include "hsm/activation.h"
#include "meddle.h"
#include "secure_cards.h"

enum { SCRIPTS = 2, MESSAGES_MAX = 8 };

/* What a tap came to, and what the card did in it. */
typedef struct tapped {
    cb_error error;
    cb_activation activation;
    cb_card_claim claim;      /* also of a PIN that was refused */
    unsigned compared;        /* PINs that the card has compared */
    uint8_t tries;            /* it has left, as it was saved last */
    unsigned inside, outside; /* signatures of a PIV card, and where it gave them */
} tapped;

typedef struct kind {
    const char *name;
    const cb_card_profile *profile;
    const cb_applet *applet;
    cb_bytes atr;
    uint8_t level;
    const char *pin; /* "": none */
    size_t commands[SCRIPTS];
    size_t messages[SCRIPTS]; /* more than the commands, where an answer is fetched in parts */
    /* Whether so many taps may leave the card so behind. */
    bool (*legal)(const struct kind *k, const cb_vcard *card, unsigned taps);
    bool secured;      /* it is bound with a key for secure messaging */
    bool wrong;        /* the PIN */
    bool second_alone; /* its first script is another's, which is disturbed there */
    unsigned
        changes; /* of each byte: 0: all there are, 3 of them, or 1, unless all are asked for */
    cb_buf state, binding;
    cb_id card;
} kind;

enum {
    JPKI,
    SCP03,
    SCP03_WITHOUT_COUNTER,
    PIV,
    PIV_WITH_PIN,
    PIV_WRONG,
    PIV_SECURED,
    PIV_SECURED_WITH_PIN,
    PIV_RSA, /* a card with secure messaging that is bound without */
    PIV_SECURED_RSA,
    KINDS
};

extern kind kinds[KINDS];

/* For cmocka: makes the cards and binds them. */
int wire_setup(void **state);
int wire_teardown(void **state);

/* What the terminal does with a message before it passes it on. */
typedef void (*terminal)(void *context, place at, cb_buf *message);

/* A card as it was made; out is what will be said of it. */
cb_vcard *wire_lay(const kind *k, tapped *out);

/* One tap of a card that wire_lay has laid, which has its power anew. */
void wire_tap(const kind *k, cb_vcard *card, terminal pass, void *context, tapped *out);

/* Errors by which a terminal, and who reads the record, sees that a tap was disturbed. */
bool wire_says_what_happened(cb_error error);

/* Whether hsmd heard of the PIN what the card did with it, and the card compared one at most. */
bool wire_pin_is_told(const tapped *t);

#endif
