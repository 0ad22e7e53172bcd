/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands and answers that are longer than one APDU (ISO/IEC 7816-4, 5.3.3 and 5.3.4), for the
 * applications that want it.
 *
 * A command may come as a chain: all parts but the last have bit 10 in CLA, and are otherwise alike
 * in CLA, INS, P1 and P2. Any other command breaks the chain off; nothing of it was carried out
 * then. An answer that is longer than Le leaves in parts: 61xx says how much is left (00: 256 or
 * more), and GET RESPONSE fetches it. Any other command, and power, forgets what is left.
 */
#ifndef CB_CARDLINK_CARD_TRANSPORT_H
#define CB_CARDLINK_CARD_TRANSPORT_H

#include "cardlink/card/applet.h"

enum { CB_INS_GET_RESPONSE = 0xC0, CB_CLA_CHAIN = 0x10 };

typedef struct cb_transport {
    cb_buf chain; /* the data so far */
    bool chaining;
    uint8_t cla, ins, p1, p2; /* of the chain */
    cb_buf left;              /* of the answer */
    size_t sent;              /* bytes of left that have gone */
} cb_transport;

/* Forgets a chain and what is left of an answer; wipes both. */
void cb_transport_reset(cb_transport *transport);

/* Carries out one command with an application whose command_max is not 0. expected is what Le says
 * (cb_apdu_expected). */
void cb_transport_process(cb_transport *transport, const cb_applet *applet, void *self,
                          const cb_apdu *apdu, size_t expected, cb_buf *answer);

#endif
