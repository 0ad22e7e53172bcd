/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/transport.h"

enum { PART_MAX = 256, STATUS_LEN = 2 };

static void forget_chain(cb_transport *transport)
{
    cb_buf_free(&transport->chain);
    transport->chaining = false;
}

static void forget_answer(cb_transport *transport)
{
    cb_buf_free(&transport->left);
    transport->sent = 0;
}

void cb_transport_reset(cb_transport *transport)
{
    forget_chain(transport);
    forget_answer(transport);
}

/* The next part of the answer, as long as Le allows. */
static void send_part(cb_transport *transport, size_t expected, cb_buf *answer)
{
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&transport->left));
    cb_cursor_take(&cursor, transport->sent);
    size_t there = cursor.rest.len - STATUS_LEN;
    size_t most = expected > 0 ? expected : PART_MAX;
    size_t now = there < most ? there : most;
    cb_buf_put(answer, cb_cursor_take(&cursor, now));
    transport->sent += now;
    if (now == there) {
        cb_buf_put(answer, cb_cursor_rest(&cursor));
        forget_answer(transport);
    } else {
        size_t more = there - now;
        cb_buf_put_u16(answer, (uint16_t)(CB_SW_MORE | (more < PART_MAX ? more : 0)));
    }
}

static bool continues(const cb_transport *transport, const cb_apdu *apdu)
{
    return transport->chaining && (apdu->cla & ~CB_CLA_CHAIN) == transport->cla &&
           apdu->ins == transport->ins && apdu->p1 == transport->p1 && apdu->p2 == transport->p2;
}

/* Takes one part of a command; the status word if that is all that is to be done. */
static uint16_t take_part(cb_transport *transport, const cb_applet *applet, void *self,
                          const cb_apdu *apdu)
{
    if (!continues(transport, apdu)) {
        forget_chain(transport);
        cb_buf_init(&transport->chain, applet->command_max);
        transport->cla = (uint8_t)(apdu->cla & ~CB_CLA_CHAIN);
        transport->ins = apdu->ins;
        transport->p1 = apdu->p1;
        transport->p2 = apdu->p2;
    }
    transport->chaining = apdu->cla & CB_CLA_CHAIN;
    cb_buf_put(&transport->chain, apdu->data);
    if (cb_buf_error(&transport->chain)) {
        forget_chain(transport);
        return applet->malformed ? applet->malformed(self, apdu->cla) : CB_SW_LENGTH;
    }
    return CB_SW_OK;
}

void cb_transport_process(cb_transport *transport, const cb_applet *applet, void *self,
                          const cb_apdu *apdu, size_t expected, cb_buf *answer)
{
    if (apdu->ins == CB_INS_GET_RESPONSE && transport->left.len > 0) {
        send_part(transport, expected, answer);
        return;
    }
    forget_answer(transport);
    uint16_t status = take_part(transport, applet, self, apdu);
    if (status != CB_SW_OK || transport->chaining) {
        cb_buf_put_u16(answer, status);
        return;
    }
    cb_apdu whole = *apdu;
    whole.data = cb_buf_bytes(&transport->chain);
    cb_buf_init(&transport->left, CB_CARD_ANSWER_MAX);
    applet->process(self, &whole, &transport->left);
    forget_chain(transport);
    if (cb_buf_error(&transport->left) || transport->left.len < STATUS_LEN) {
        forget_answer(transport);
        cb_buf_put_u16(answer, CB_SW_FAULT);
    } else {
        send_part(transport, expected, answer);
    }
}
