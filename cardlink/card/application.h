/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inside the card: the session, and the commands, one function each. card.c holds the table of
 * which command is legal when.
 */
#ifndef CB_CARDLINK_CARD_APPLICATION_H
#define CB_CARDLINK_CARD_APPLICATION_H

#include "cardlink/card/card.h"

/* Where a session stands. The values are bits, so that a row of the table can name several. */
typedef enum cb_vcard_step {
    CB_VCARD_IDLE = 0x01, /* power, nothing selected */
    CB_VCARD_SELECTED = 0x02,
    CB_VCARD_CERTIFIED = 0x04, /* the broker's key agreement certificate was verified */
    CB_VCARD_CHANNEL = 0x08,   /* the channel is open */
    CB_VCARD_IDENTIFIED =
        0x10, /* so was the certificate of its signature key, inside the channel */
    CB_VCARD_AUTHENTICATED = 0x20, /* and its signature */
    CB_VCARD_MUTE = 0x40           /* the memory failed: nothing until the next reset */
} cb_vcard_step;

typedef struct cb_vcard_session {
    uint8_t step;
    bool ends;                     /* after this command's answer */
    uint8_t kloc_id, kloc_version; /* of the agreement certificate */
    uint8_t broker[CB_P256_POINT]; /* broker's key agreement key */
    cb_digest broker_certificate;  /* SHA-256 */
    uint8_t certificate[CB_NATIVE_CERTIFICATE_MAX];
    size_t certificate_len;
    uint8_t scalar[CB_P256_SCALAR]; /* the card's ephemeral key; wiped with the PIN command */
    uint8_t point[CB_P256_POINT];
    cb_sm sm;
    uint8_t signer[CB_P256_POINT];
    cb_proof_request request; /* its transcript from the open channel on */
    bool pin_used;            /* one PIN command a session */
    uint8_t pin_form, pin_state, pin_tries_left;
} cb_vcard_session;

struct cb_vcard {
    cb_vcard_state state;
    cb_vcard_store store;
    cb_vcard_session session;
    char *path; /* of the state file; NULL: none */
    int lock;
};

/* A command: appends the answer's data and returns the status word. */
typedef uint16_t (*cb_vcard_command)(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);

uint16_t cb_vcard_select(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_get_data(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_pso(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_pso_signer(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_mutual(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_request(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_pin(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_prove(cb_vcard *card, const cb_apdu *apdu, cb_buf *data);

/* Forgets the session and stands at a step. */
void cb_vcard_session_end(cb_vcard *card, cb_vcard_step step);

/* Makes the state durable; a failure silences the card. */
bool cb_vcard_save(cb_vcard *card);

#endif
