/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the native application remembers when it has no power.
 *
 * In a chip this is its non-volatile memory. In the virtual card it is at most 2 kB: a magic
 * number, the application's version, the fields in the order below, and SHA-256 of all that, so
 * that a damaged one is refused and not used. By itself it is the file of a card that has no other
 * application (content.h).
 */
#ifndef CB_CARDLINK_CARD_NATIVE_STATE_H
#define CB_CARDLINK_CARD_NATIVE_STATE_H

#include "cardlink/native/cvc.h"
#include "cardlink/native/native.h"
#include "cardlink/native/pin.h"
#include "cardlink/native/proof.h"

enum {
    CB_VCARD_STATE_MAX = 2048,
    CB_VCARD_KLOC_MAX = 4,
    CB_VCARD_PIN_TRIES = 3,
    CB_VCARD_CODE_TRIES = 10
};

/* A key that brokers' certificates are checked with (CA-KLOC). */
typedef struct cb_vcard_kloc {
    uint8_t key_id;
    uint8_t key_version;
    uint8_t name[CB_CVC_NAME_MAX];
    uint8_t name_len;
    uint8_t point[CB_P256_POINT];
} cb_vcard_kloc;

/* A broker's certificate that was verified before. One for each usage is remembered. */
typedef struct cb_vcard_remembered {
    cb_digest digest; /* of the whole certificate; zero: none */
    uint8_t key_id;
    uint8_t key_version;
    uint8_t point[CB_P256_POINT];
} cb_vcard_remembered;

typedef enum cb_vcard_slot {
    CB_VCARD_SLOT_AGREEMENT,
    CB_VCARD_SLOT_SIGNER,
    CB_VCARD_SLOTS
} cb_vcard_slot;

/* Cards of before tell nothing of generations, and take no link certificates. (2 begins the files
 * of cards with several applications: content.h.) */
enum { CB_VCARD_SILENT = 1, CB_VCARD_TELLS = 3 };

typedef struct cb_vcard_state {
    uint8_t version;    /* of the application: one of these */
    uint8_t life_cycle; /* cb_life_cycle */
    cb_id card;
    uint8_t scalar[CB_P256_SCALAR];       /* the card's own key; signs proofs and nothing else */
    uint8_t batch_scalar[CB_P256_SCALAR]; /* key agreement; shared by the batch */
    uint8_t batch_certificate[CB_NATIVE_CERTIFICATE_MAX];
    uint8_t batch_certificate_len;
    cb_vcard_kloc kloc[CB_VCARD_KLOC_MAX];
    uint8_t kloc_count;
    uint8_t pin[CB_PIN_MAX]; /* cb_pin_pad */
    uint8_t pin_tries;
    uint8_t code[CB_PIN_MAX];
    uint8_t code_tries;
    uint16_t failures; /* since the last proof */
    uint32_t counter;  /* proofs made */
    cb_vcard_remembered remembered[CB_VCARD_SLOTS];
    /* Of a card that tells; digits, as in cvc.h. */
    uint32_t last_day; /* 0: it has none */
    uint32_t
        today; /* the latest date that a broker has signed for it; at first, when it was made */
} cb_vcard_state;

/* Appends the file's content; reads it. CB_E_FORMAT for anything but what was written. */
void cb_vcard_state_put(cb_buf *buf, const cb_vcard_state *state);
cb_error cb_vcard_state_parse(cb_bytes content, cb_vcard_state *out);

#endif
