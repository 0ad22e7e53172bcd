/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The state machines of the registry, one table each: what may become of what.
 */
#ifndef CB_BROKER_CORE_STATE_H
#define CB_BROKER_CORE_STATE_H

#include "broker/core/registry.h"
#include "broker/store/txn.h"

typedef struct cb_transition {
    uint8_t from;
    uint8_t act;
    uint8_t to;
} cb_transition;

/* How an act on a card is written down. */
typedef struct cb_card_act_row {
    uint8_t act;
    uint8_t feed; /* cb_feed_kind; 0: none */
    cb_urgency urgency;
    const char *kind; /* of the leaf */
} cb_card_act_row;

/* NULL for an act that is none. */
const cb_card_act_row *cb_card_act_find(uint8_t act);

typedef enum cb_enrolment_act {
    CB_ENROLMENT_READY = 1, /* its key can be used: certificate installed, or none needed */
    CB_ENROLMENT_RENEW = 2,
    CB_ENROLMENT_REMOVE = 3
} cb_enrolment_act;

/* How an act on a terminal is written down. */
typedef struct cb_terminal_act_row {
    uint8_t act;
    cb_urgency urgency;
    const char *kind; /* of the leaf */
} cb_terminal_act_row;

/* NULL for an act that is none, and for activation by a code, which says more. */
const cb_terminal_act_row *cb_terminal_act_find(uint8_t act);

/* Why a terminal in this state is served nothing: CB_E_TERMINAL_…; CB_OK when it is active, or under
 * maintenance: then it can say so, and bring its log. */
cb_error cb_terminal_refusal(uint8_t state);

/* Why it gets no tap for a holder: the same, and CB_E_TERMINAL_MAINTENANCE. */
cb_error cb_terminal_tap_refusal(uint8_t state);

typedef enum cb_application_act {
    CB_APPLICATION_APPROVE = 1,
    CB_APPLICATION_REFUSE = 2,
    CB_APPLICATION_USE = 3 /* a card is issued for it */
} cb_application_act;

/* CB_E_STATE when the act is not possible from that state. */
cb_error cb_application_next(uint8_t state, uint8_t act, uint8_t *next);
cb_error cb_card_next(uint8_t state, uint8_t act, uint8_t *next);
cb_error cb_terminal_next(uint8_t state, uint8_t act, uint8_t *next);
cb_error cb_enrolment_next(uint8_t state, uint8_t act, uint8_t *next);

#endif
