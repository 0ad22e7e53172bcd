/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/core/state.h"

#include "broker/store/row_stock.h"

static const cb_transition card_table[] = {
    /* Nobody's yet: rows of stock. */
    {CB_CARD_MANUFACTURED, CB_CARD_SEND, CB_CARD_IN_TRANSIT},
    {CB_CARD_MANUFACTURED, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_MANUFACTURED, CB_CARD_DESTROY, CB_CARD_DESTROYED},
    {CB_CARD_IN_TRANSIT, CB_CARD_RECEIVE, CB_CARD_IN_STOCK},
    {CB_CARD_IN_TRANSIT, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_IN_TRANSIT, CB_CARD_DESTROY, CB_CARD_DESTROYED},
    {CB_CARD_IN_STOCK, CB_CARD_ISSUE, CB_CARD_ISSUED},
    {CB_CARD_IN_STOCK, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_IN_STOCK, CB_CARD_DESTROY, CB_CARD_DESTROYED},
    /* Somebody's: rows of card. */
    {CB_CARD_ISSUED, CB_CARD_ACTIVATE, CB_CARD_ACTIVE},
    {CB_CARD_ISSUED, CB_CARD_EXPIRE, CB_CARD_EXPIRED},
    {CB_CARD_ISSUED, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_ISSUED, CB_CARD_RETURN, CB_CARD_RETURNED},
    {CB_CARD_ISSUED, CB_CARD_RENEW, CB_CARD_ISSUED},
    {CB_CARD_ACTIVE, CB_CARD_SUSPEND, CB_CARD_SUSPENDED},
    {CB_CARD_ACTIVE, CB_CARD_EXPIRE, CB_CARD_EXPIRED},
    {CB_CARD_ACTIVE, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_ACTIVE, CB_CARD_RETURN, CB_CARD_RETURNED},
    {CB_CARD_ACTIVE, CB_CARD_RENEW, CB_CARD_ACTIVE},
    {CB_CARD_SUSPENDED, CB_CARD_RESUME, CB_CARD_ACTIVE},
    {CB_CARD_SUSPENDED, CB_CARD_EXPIRE, CB_CARD_EXPIRED},
    {CB_CARD_SUSPENDED, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_SUSPENDED, CB_CARD_RETURN, CB_CARD_RETURNED},
    {CB_CARD_SUSPENDED, CB_CARD_RENEW, CB_CARD_SUSPENDED},
    {CB_CARD_EXPIRED, CB_CARD_RENEW, CB_CARD_SUSPENDED}, /* hsmd has it so; a manager resumes it */
    {CB_CARD_EXPIRED, CB_CARD_REVOKE, CB_CARD_REVOKED},
    {CB_CARD_EXPIRED, CB_CARD_RETURN, CB_CARD_RETURNED},
    {CB_CARD_REVOKED, CB_CARD_RETURN, CB_CARD_RETURNED},
    {CB_CARD_REVOKED, CB_CARD_DESTROY, CB_CARD_DESTROYED},
    {CB_CARD_RETURNED, CB_CARD_DESTROY, CB_CARD_DESTROYED},
};

static const cb_transition application_table[] = {
    {CB_APPLICATION_ENTERED, CB_APPLICATION_APPROVE, CB_APPLICATION_APPROVED},
    {CB_APPLICATION_ENTERED, CB_APPLICATION_REFUSE, CB_APPLICATION_REFUSED},
    {CB_APPLICATION_APPROVED, CB_APPLICATION_REFUSE, CB_APPLICATION_REFUSED},
    {CB_APPLICATION_APPROVED, CB_APPLICATION_USE, CB_APPLICATION_ISSUED},
};

static const cb_transition terminal_table[] = {
    {CB_TERMINAL_REGISTERED, CB_TERMINAL_ACTIVATE, CB_TERMINAL_ACTIVE},
    {CB_TERMINAL_ACTIVE, CB_TERMINAL_DEACTIVATE, CB_TERMINAL_DEACTIVATED},
    {CB_TERMINAL_DEACTIVATED, CB_TERMINAL_REACTIVATE, CB_TERMINAL_ACTIVE},
    {CB_TERMINAL_ACTIVE, CB_TERMINAL_MAINTAIN, CB_TERMINAL_MAINTENANCE},
    {CB_TERMINAL_MAINTENANCE, CB_TERMINAL_MAINTAINED, CB_TERMINAL_ACTIVE},
    {CB_TERMINAL_REGISTERED, CB_TERMINAL_REVOKE, CB_TERMINAL_REVOKED},
    {CB_TERMINAL_ACTIVE, CB_TERMINAL_REVOKE, CB_TERMINAL_REVOKED},
    {CB_TERMINAL_DEACTIVATED, CB_TERMINAL_REVOKE, CB_TERMINAL_REVOKED},
    {CB_TERMINAL_MAINTENANCE, CB_TERMINAL_REVOKE, CB_TERMINAL_REVOKED},
    {CB_TERMINAL_REVOKED, CB_TERMINAL_DISPOSE, CB_TERMINAL_DISPOSED},
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
    {CB_CARD_RETURN, 0, CB_WRITE_URGENT, "card.returned"}, /* after "card.revoked", if it was not */
    {CB_CARD_DESTROY, 0, CB_WRITE_ORDINARY, "card.destroyed"},
    {CB_CARD_EXPIRE, CB_FEED_CARD_SUSPENDED, CB_WRITE_DUE, "card.expired"},
};

static const cb_terminal_act_row terminal_acts[] = {
    {CB_TERMINAL_DEACTIVATE, CB_WRITE_URGENT, "terminal.deactivated"},
    {CB_TERMINAL_REACTIVATE, CB_WRITE_ORDINARY, "terminal.reactivated"},
    {CB_TERMINAL_MAINTAINED, CB_WRITE_ORDINARY, "terminal.maintained"},
    {CB_TERMINAL_REVOKE, CB_WRITE_URGENT, "terminal.revoked"},
    {CB_TERMINAL_DISPOSE, CB_WRITE_URGENT, "terminal.disposed"},
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

cb_error cb_application_next(uint8_t state, uint8_t act, uint8_t *out)
{
    return next(application_table, COUNT(application_table), state, act, out);
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

const cb_terminal_act_row *cb_terminal_act_find(uint8_t act)
{
    for (size_t i = 0; i < COUNT(terminal_acts); i++) {
        if (terminal_acts[i].act == act)
            return &terminal_acts[i];
    }
    return NULL;
}

cb_error cb_terminal_refusal(uint8_t state)
{
    switch (state) {
    case CB_TERMINAL_ACTIVE:
    case CB_TERMINAL_MAINTENANCE:
        return CB_OK;
    case CB_TERMINAL_REGISTERED:
        return CB_E_TERMINAL_REGISTERED;
    case CB_TERMINAL_DEACTIVATED:
        return CB_E_TERMINAL_INACTIVE;
    case CB_TERMINAL_DISPOSED:
        return CB_E_TERMINAL_DISPOSED;
    default:
        return CB_E_TERMINAL_REVOKED;
    }
}

cb_error cb_terminal_tap_refusal(uint8_t state)
{
    return state == CB_TERMINAL_MAINTENANCE ? CB_E_TERMINAL_MAINTENANCE
                                            : cb_terminal_refusal(state);
}
