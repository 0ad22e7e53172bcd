/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal's commands to the JPKI application, and its state file.
 *
 * The first byte chooses: a state (0), or commands (others), each: u8 length, bytes. The PIN for
 * authentication is 1234; the one for signatures nobody knows, so that nothing that it protects may
 * ever come out.
 */
#include <stdlib.h>

#include "base/secret.h"
#include "cardlink/card/card.h"
#include "cardlink/card/jpki/application.h"
#include "cardlink/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cb_vjpki_state made;
static cb_buf content_bytes = {.max = CB_CARD_STATE_MAX};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void clean_up(void) { cb_buf_free(&content_bytes); }

static void prepare(void)
{
    uint8_t drawn[CB_VJPKI_PIN_MAX], filling[600];
    if (content_bytes.len > 0)
        return;
    must(cb_vcard_key_generate(CB_VCARD_RSA_2048, &made.of[0].key) == CB_OK);
    made.of[1].key = made.of[0].key;
    memset(filling, 0xA5, sizeof filling);
    for (int i = 0; i < CB_VJPKI_USES; i++) {
        cb_vjpki_blob_set(&made.of[i].certificate, CB_BYTES_OF(filling));
        cb_vjpki_blob_set(&made.of[i].authority, cb_bytes_make(filling, 300));
        made.of[i].tries = cb_vjpki_pin_rules[i].tries;
    }
    memset(made.of[CB_VJPKI_SIGNATURE].certificate.bytes, 0x5A, sizeof filling);
    cb_random(drawn, sizeof drawn);
    for (size_t i = 0; i < sizeof drawn; i++)
        drawn[i] = (uint8_t)('A' + drawn[i] % 16);
    cb_vjpki_pin_set(&made.of[CB_VJPKI_AUTHENTICATION], cb_bytes_str("1234"));
    cb_vjpki_pin_set(&made.of[CB_VJPKI_SIGNATURE], CB_BYTES_OF(drawn));
    cb_vjpki_state_put(&content_bytes, &made);
    atexit(clean_up);
}

static void read_state(cb_bytes bytes)
{
    static cb_vjpki_state state;
    cb_buf again = CB_BUF(CB_CARD_STATE_MAX);
    if (cb_vjpki_state_parse(bytes, &state) == CB_OK) {
        cb_vjpki_state_put(&again, &state);
        must(cb_bytes_same(cb_buf_bytes(&again), bytes));
    }
    cb_buf_free(&again);
}

/* What an observer of the commands and status words knows of the session. */
typedef struct model {
    bool verified; /* the PIN for authentication */
    uint8_t pin[4];
    uint8_t tries; /* of the other one */
} model;

static void check(model *m, const cb_apdu *apdu, const cb_buf *answer,
                  const cb_vjpki_application *jpki)
{
    uint16_t status = cb_answer_status(cb_buf_bytes(answer));
    cb_bytes data = cb_answer_data(cb_buf_bytes(answer));
    if (apdu->ins == 0x20 && apdu->data.len > 0 && status == CB_SW_OK) {
        must(cb_bytes_same(apdu->data, CB_BYTES_OF(m->pin)));
        m->verified = true;
    }
    if (apdu->ins == 0x24 && status == CB_SW_OK) {
        must(m->verified && apdu->data.len == sizeof m->pin);
        memcpy(m->pin, apdu->data.data, sizeof m->pin);
    }
    if (apdu->ins == 0xA4 && apdu->p1 == 0x04 && status == CB_SW_OK)
        m->verified = false;
    if (apdu->ins == 0x2A && status == CB_SW_OK)
        must(m->verified && data.len > 0); /* as much of it as Le says */
    if (apdu->ins == 0xB0)
        must(data.len == 0 || data.data[0] != 0x5A);
    must(!jpki->verified[CB_VJPKI_SIGNATURE]);
    must(jpki->state.of[CB_VJPKI_SIGNATURE].tries <= m->tries);
    m->tries = jpki->state.of[CB_VJPKI_SIGNATURE].tries;
}

static void send(cb_vcard *card, model *m, cb_bytes bytes)
{
    cb_buf answer = CB_BUF(512);
    cb_apdu apdu;
    bool good = cb_apdu_read(bytes, &apdu) == CB_OK;
    cb_vcard_process(card, bytes, &answer);
    must(!cb_buf_error(&answer) && answer.len >= 2 && answer.len <= 258);
    if (good)
        check(m, &apdu, &answer, cb_vcard_applet(card, &cb_applet_jpki));
    else
        must(answer.len == 2);
    cb_buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(data, size));
    cb_card_content content = {0};
    cb_vcard *card = NULL;
    model m = {.pin = {'1', '2', '3', '4'}, .tries = cb_vjpki_pin_rules[CB_VJPKI_SIGNATURE].tries};
    prepare();
    if (cb_cursor_u8(&cursor) == 0) {
        read_state(cb_cursor_rest(&cursor));
        return 0;
    }
    must(cb_card_content_set_atr(&content, CB_BYTES_OF(cb_vjpki_atr)) == CB_OK);
    must(cb_card_content_add(&content, &cb_applet_jpki, cb_buf_bytes(&content_bytes)) == CB_OK);
    if (cb_vcard_of(&content, NULL, &card))
        return 0;
    for (int i = 0; i < 16 && cursor.rest.len > 0; i++) {
        size_t len = cb_cursor_u8(&cursor);
        send(card, &m, cb_cursor_take(&cursor, len < cursor.rest.len ? len : cursor.rest.len));
    }
    cb_vcard_close(&card);
    return 0;
}
