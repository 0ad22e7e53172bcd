/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/state.h"

static const cb_transition card_table[] = {
    {CB_CARD_ISSUED, CB_CARD_ACTIVATE, CB_CARD_ACTIVE},
    {CB_CARD_ACTIVE, CB_CARD_SUSPEND, CB_CARD_SUSPENDED},
    {CB_CARD_SUSPENDED, CB_CARD_RESUME, CB_CARD_ACTIVE},
    {CB_CARD_ISSUED, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_ACTIVE, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_SUSPENDED, CB_CARD_REVOKE, CB_CARD_REVOKED},
};

static const cb_transition terminal_table[] = {
    {CB_TERMINAL_ACTIVE, CB_TERMINAL_REVOKE, CB_TERMINAL_REVOKED},
};

static const cb_transition enrolment_table[] = {
    {CB_ENROLMENT_PENDING, CB_ENROLMENT_READY, CB_ENROLMENT_ACTIVE},
    {CB_ENROLMENT_ACTIVE, CB_ENROLMENT_READY, CB_ENROLMENT_ACTIVE},
    {CB_ENROLMENT_ACTIVE, CB_ENROLMENT_RENEW, CB_ENROLMENT_ACTIVE},
    {CB_ENROLMENT_PENDING, CB_ENROLMENT_REMOVE, CB_ENROLMENT_REMOVED},
    {CB_ENROLMENT_ACTIVE, CB_ENROLMENT_REMOVE, CB_ENROLMENT_REMOVED},
};

static const cb_card_act_row card_acts[] = {
    {CB_CARD_ACTIVATE, 0, CB_WRITE_ORDINARY, "card.activated"},
    {CB_CARD_SUSPEND, CB_FEED_CARD_SUSPENDED, CB_WRITE_URGENT, "card.suspended"},
    {CB_CARD_RESUME, CB_FEED_CARD_RESUMED, CB_WRITE_ORDINARY, "card.resumed"},
    {CB_CARD_REVOKE, CB_FEED_CARD_REVOKED, CB_WRITE_URGENT, "card.revoked"},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static cb_error next(const cb_transition *table, size_t count, uint8_t state, uint8_t act,
                     uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].from == state && table[i].act == act) {
            *out = table[i].to;
            return CB_OK;
        }
    }
    return CB_E_STATE;
}

cb_error cb_card_next(uint8_t state, uint8_t act, uint8_t *out)
{
    return next(card_table, COUNT(card_table), state, act, out);
}

cb_error cb_terminal_next(uint8_t state, uint8_t act, uint8_t *out)
{
    return next(terminal_table, COUNT(terminal_table), state, act, out);
}

cb_error cb_enrolment_next(uint8_t state, uint8_t act, uint8_t *out)
{
    return next(enrolment_table, COUNT(enrolment_table), state, act, out);
}

const cb_card_act_row *cb_card_act_find(uint8_t act)
{
    for (size_t i = 0; i < COUNT(card_acts); i++) {
        if (card_acts[i].act == act)
            return &card_acts[i];
    }
    return NULL;
}
