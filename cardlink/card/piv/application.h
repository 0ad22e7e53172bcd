/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The PIV card application (NIST SP 800-73-4, part 2): the session, and the commands, one function
 * each. application.c holds the table of commands.
 *
 * What a key may be used for: 9A and 9D after the PIN was verified in this session, 9C after it was
 * verified for this very use, 9E at any time. 9D agrees (P-256, P-384) or deciphers (RSA); the
 * others sign. Everything that changes the card beside PIN and PUK wants the management key first.
 * PIN and PUK lose a try, durably, before they are compared.
 *
 * A card with a secure messaging key opens a channel with it (channel.h) for whoever asks, and
 * takes GET DATA, VERIFY, CHANGE REFERENCE DATA and GENERAL AUTHENTICATE inside of it. Commands
 * outside of it are done as ever, and leave it alone. It ends with the session, with an error in
 * secure messaging, which is answered in clear, and when another is asked for. What a card does on
 * its contactless interface, interface.h says; on the other, nothing must come inside.
 *
 * Not there: the global PIN, biometrics, key history, and whatever one maker added.
 */
#ifndef CB_CARDLINK_CARD_PIV_APPLICATION_H
#define CB_CARDLINK_CARD_PIV_APPLICATION_H

#include "cardlink/card/card.h"
#include "cardlink/card/piv/channel.h"
#include "cardlink/card/piv/state.h"

extern const cb_applet cb_applet_piv;

/* What a PIV card says when it gets power, unless its file says otherwise: T=1, contactless
 * convention, issuer's data "CBPIV01". */
extern const uint8_t cb_vpiv_atr[12];

extern const uint8_t cb_vpiv_aid[11];

enum { CB_VPIV_BLOCK_MAX = 16, CB_VPIV_COMMAND_MAX = CB_VPIV_OBJECT_MAX + 32 };

/* Commands that only PIV has. */
enum {
    CB_VPIV_INS_GENERATE = 0x47,
    CB_VPIV_INS_AUTHENTICATE = 0x87,
    CB_VPIV_INS_GET_DATA = 0xCB,
    CB_VPIV_INS_PUT_DATA = 0xDB
};

/* What the next command must answer, to authenticate with the management key. */
typedef enum cb_vpiv_pending {
    CB_VPIV_NOTHING,
    CB_VPIV_WITNESS,  /* the witness that went out encrypted */
    CB_VPIV_CHALLENGE /* the challenge, encrypted */
} cb_vpiv_pending;

typedef struct cb_vpiv_session {
    bool selected;
    bool pin_verified;
    bool pin_fresh; /* not yet used for a signature by 9C */
    bool managed;   /* the management key was shown */
    uint8_t pending;
    uint8_t nonce[CB_VPIV_BLOCK_MAX];
    cb_vpiv_channel channel;
    bool paired; /* the pairing code was verified */
} cb_vpiv_session;

typedef struct cb_vpiv_application {
    cb_vcard *card; /* that it is on */
    cb_vpiv_state state;
    cb_vpiv_session session;
    bool secured; /* the command that is being done came inside a channel */
} cb_vpiv_application;

/* Status words that only PIV has. */
enum { CB_VPIV_SW_FAILED = 0x6300, CB_VPIV_SW_NOT_SUPPORTED = 0x6A81 };

/* A command: appends the answer's data and returns the status word. */
typedef uint16_t (*cb_vpiv_command)(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);

uint16_t cb_vpiv_get_data(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vpiv_put_data(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vpiv_verify(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vpiv_change(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vpiv_unblock(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vpiv_authenticate(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
uint16_t cb_vpiv_generate(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);

/* What GENERAL AUTHENTICATE carries (part 2, table 7). */
typedef struct cb_vpiv_template {
    bool has_witness, has_challenge, has_response, has_exponentiation;
    cb_bytes witness, challenge, response, exponentiation; /* borrowed */
} cb_vpiv_template;

/* GENERAL AUTHENTICATE with the management key. */
uint16_t cb_vpiv_manage(cb_vpiv_application *piv, uint8_t algorithm, const cb_vpiv_template *in,
                        cb_buf *data);

/* GENERAL AUTHENTICATE with the secure messaging key: ends a channel, and opens another. */
uint16_t cb_vpiv_establish(cb_vpiv_application *piv, uint8_t algorithm, const cb_vpiv_template *in,
                           cb_buf *data);

/* Any command in clear, with CLA 00 or another. */
uint16_t cb_vpiv_run(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);

/* A command with CLA 0C: its answer, with the command's own status word inside, and 9000; or the
 * status word of an error in secure messaging, which ends the channel. failed does that for what
 * never becomes a command. */
uint16_t cb_vpiv_secured(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data);
void cb_vpiv_secured_failed(cb_vpiv_application *piv);

#endif
