/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The native application (docs/card-application.md): the session, and the commands, one function
 * each. application.c holds the table of which command is legal when.
 */
#ifndef CB_CARDLINK_CARD_NATIVE_APPLICATION_H
#define CB_CARDLINK_CARD_NATIVE_APPLICATION_H

#include "cardlink/card/card.h"

extern const cb_applet cb_applet_native;

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
    bool signer_same;              /* so is that of the signature key */
    uint32_t today;                /* as it will be known once the proof is made */
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

typedef struct cb_native_application {
    cb_vcard *card; /* that it is on */
    cb_vcard_state state;
    cb_vcard_session session;
} cb_native_application;

/* With a copy of a state; NULL: no memory. */
cb_native_application *cb_native_new(cb_vcard *card, const cb_vcard_state *state);

/* The native application of a card that has it. For tests. */
cb_native_application *cb_native_of(const cb_vcard *card);

/* A command: appends the answer's data and returns the status word. */
typedef uint16_t (*cb_vcard_command)(cb_native_application *card, const cb_apdu *apdu,
                                     cb_buf *data);

uint16_t cb_vcard_select(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_get_data(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_pso(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_pso_signer(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_link(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_mutual(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_request(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_pin(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_prove(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vcard_terminate(cb_native_application *card, const cb_apdu *apdu, cb_buf *data);

/* The key of these numbers; NULL: there is none. */
const cb_vcard_kloc *cb_native_kloc(const cb_vcard_state *state, uint8_t key_id,
                                    uint8_t key_version);

/* KVN of the newest key of an authority; 0: there is none. */
uint8_t cb_native_newest(const cb_vcard_state *state, uint8_t key_id);

/* Appends what SELECT tells of generations. */
void cb_native_tell(const cb_vcard_state *state, cb_buf *fci);

/* Whether the card's last day lies before a date. */
bool cb_native_is_over(const cb_vcard_state *state, uint32_t date);

/* The date that a card takes from one that a broker has signed: never back, and at most a month on.
 */
uint32_t cb_native_next_date(uint32_t today, uint32_t signed_date);

/* The newest key was used for a whole session: forgets the older ones of its authority. */
void cb_native_settle(cb_native_application *card);

/* What the next proof would say. */
cb_proof_facts cb_native_facts(const cb_native_application *card);

/* Forgets the session and stands at a step. */
void cb_vcard_session_end(cb_native_application *card, cb_vcard_step step);

/* Makes the state durable; a failure silences the card. */
bool cb_native_save(cb_native_application *card);

#endif
