/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An application that speaks SCP03 and proves, inside the channel, that it is present: for cards
 * that know AES and no public keys. cardlink/scp03/ says what goes over the wire.
 *
 *   00 A4 04 00 0C F04341524442524F4B455203        SELECT
 *   80 50 KVN 00 08 <host challenge> 00           INITIALIZE UPDATE; KVN 00: whatever it has
 *   84 82 33 00 10 <host cryptogram> <C-MAC>      EXTERNAL AUTHENTICATE
 *   84 88 00 00 .. <context digest, wrapped> 00   proof of presence, once; it ends the channel
 *
 * The sequence counter and the counter of proofs are incremented, durably, before the answer that
 * shows them. An EXTERNAL AUTHENTICATE counts as failed, durably, before it is compared; 64 in a
 * row block the application for good (6983): with cryptograms of eight bytes nobody guesses one in
 * so many. Whoever holds the card for a minute can block it, as with a PIN; a broker that
 * prefetches scripts does not, for only wrong cryptograms count.
 *
 * Status words: 6300 the host's cryptogram or its MAC is wrong; 6982 a command inside the channel
 * whose MAC is wrong, or one without a channel; 6985 not in this order, or a counter is used up;
 * 6A88 another key version. Any failure inside the channel, and any command outside secure
 * messaging, closes it.
 */
#ifndef CB_CARDLINK_CARD_SCP03_APPLICATION_H
#define CB_CARDLINK_CARD_SCP03_APPLICATION_H

#include "cardlink/card/applet.h"
#include "cardlink/card/scp03/state.h"
#include "cardlink/scp03/session.h"

/* What a card with this application alone says when it gets power: T=1, contactless convention,
 * issuer's data "CBSCP03". */
extern const uint8_t cb_vscp03_atr[14];

typedef enum cb_vscp03_step {
    CB_VSCP03_IDLE,
    CB_VSCP03_SELECTED,
    CB_VSCP03_UPDATED, /* INITIALIZE UPDATE was answered */
    CB_VSCP03_OPEN     /* the host is authenticated */
} cb_vscp03_step;

typedef struct cb_vscp03_application {
    struct cb_vcard *card;
    cb_vscp03_state state;
    uint8_t step;
    cb_scp03_session session;
} cb_vscp03_application;

extern const cb_applet cb_applet_scp03;

#endif
