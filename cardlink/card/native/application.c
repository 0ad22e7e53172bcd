/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/native/application.h"

#include <stdlib.h>

#include "base/secret.h"

enum {
    OUTSIDE = CB_VCARD_SELECTED | CB_VCARD_CERTIFIED,
    INSIDE = CB_VCARD_CHANNEL | CB_VCARD_IDENTIFIED | CB_VCARD_AUTHENTICATED,
    ANYWHERE = CB_VCARD_IDLE | OUTSIDE | INSIDE
};

/* Which command is legal where. SELECT is the only one that is plain and legal everywhere. */
static const struct row {
    uint8_t cla; /* without secure messaging's bit */
    uint8_t ins;
    bool secure;
    uint8_t steps;
    cb_vcard_command command;
} table[] = {
    {0x00, CB_INS_SELECT, false, ANYWHERE, cb_vcard_select},
    {0x00, CB_INS_GET_DATA, false, OUTSIDE, cb_vcard_get_data},
    {0x80, CB_INS_PSO, false, OUTSIDE, cb_vcard_pso},
    {0x80, CB_INS_MUTUAL, false, CB_VCARD_CERTIFIED, cb_vcard_mutual},
    {0x80, CB_INS_PSO, true, CB_VCARD_CHANNEL, cb_vcard_pso_signer},
    {0x80, CB_INS_REQUEST, true, CB_VCARD_IDENTIFIED, cb_vcard_request},
    {0x80, CB_INS_VERIFY, true, CB_VCARD_AUTHENTICATED, cb_vcard_pin},
    {0x80, CB_INS_CHANGE, true, CB_VCARD_AUTHENTICATED, cb_vcard_pin},
    {0x80, CB_INS_UNBLOCK, true, CB_VCARD_AUTHENTICATED, cb_vcard_pin},
    {0x80, CB_INS_PROVE, true, CB_VCARD_AUTHENTICATED, cb_vcard_prove},
    {0x80, CB_INS_TERMINATE, true, CB_VCARD_AUTHENTICATED, cb_vcard_terminate},
};

void cb_vcard_session_end(cb_native_application *card, cb_vcard_step step)
{
    cb_wipe(&card->session, sizeof card->session);
    card->session.step = (uint8_t)step;
}

bool cb_native_save(cb_native_application *card)
{
    if (cb_vcard_save(card->card))
        return true;
    cb_vcard_session_end(card, CB_VCARD_MUTE);
    return false;
}

static uint16_t run(cb_native_application *card, const cb_apdu *apdu, bool secure, cb_buf *data)
{
    uint16_t status = CB_SW_INS;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct row *row = &table[i];
        if (row->ins != apdu->ins || row->secure != secure)
            continue;
        if (row->cla != apdu->cla)
            return CB_SW_CLA;
        if (row->steps & card->session.step)
            return row->command(card, apdu, data);
        status = CB_SW_CONDITIONS;
    }
    return status;
}

static bool in_channel(const cb_native_application *card) { return card->session.step & INSIDE; }

static uint16_t run_plain(cb_native_application *card, const cb_apdu *apdu, cb_buf *data)
{
    if (in_channel(card))
        cb_vcard_session_end(card, CB_VCARD_SELECTED);
    return run(card, apdu, false, data);
}

/* Failures of a PIN are told and leave the channel open, for the proof reports them; any other
 * failure closes it, and so does a PIN before its time. */
static bool failure_stays(const cb_native_application *card, const cb_apdu *apdu)
{
    if (card->session.step != CB_VCARD_AUTHENTICATED)
        return false;
    return apdu->ins == CB_INS_VERIFY || apdu->ins == CB_INS_CHANGE || apdu->ins == CB_INS_UNBLOCK;
}

static uint16_t run_secure(cb_native_application *card, const cb_apdu *wrapped, cb_buf *answer)
{
    cb_apdu apdu;
    cb_buf command = CB_BUF(CB_APDU_DATA_MAX + 1), data = CB_BUF(CB_APDU_DATA_MAX);
    uint16_t status = CB_SW_SECURITY;
    if (in_channel(card) &&
        cb_sm_open_command(&card->session.sm, wrapped, &command, &apdu) == CB_OK)
        status = run(card, &apdu, true, &data);
    if (status == CB_SW_OK && cb_buf_error(&data))
        status = CB_SW_FAULT;
    if (status == CB_SW_OK && cb_sm_wrap_answer(&card->session.sm, cb_buf_bytes(&data), answer))
        status = CB_SW_FAULT;
    bool closes = status != CB_SW_OK && !failure_stays(card, wrapped);
    if (in_channel(card) && (closes || status == CB_SW_SECURITY || card->session.ends))
        cb_vcard_session_end(card, CB_VCARD_SELECTED);
    cb_buf_free(&command);
    cb_buf_free(&data);
    return status;
}

static void process(void *self, const cb_apdu *apdu, cb_buf *answer)
{
    cb_native_application *card = self;
    uint16_t status;
    if (card->session.step == CB_VCARD_MUTE) {
        status = CB_SW_MEMORY;
    } else if (apdu->cla == CB_NATIVE_CLA_SECURE) {
        status = run_secure(card, apdu, answer);
        if (status == CB_SW_OK)
            return; /* its status word was authenticated and appended with the rest */
    } else {
        status = run_plain(card, apdu, answer);
    }
    cb_applet_answer(answer, status);
}

static uint16_t malformed(void *self, uint8_t cla)
{
    (void)cla;
    cb_native_application *card = self;
    if (card->session.step == CB_VCARD_MUTE)
        return CB_SW_MEMORY;
    cb_vcard_session_end(card,
                         card->session.step == CB_VCARD_IDLE ? CB_VCARD_IDLE : CB_VCARD_SELECTED);
    return CB_SW_LENGTH;
}

static void reset(void *self) { cb_vcard_session_end(self, CB_VCARD_IDLE); }

cb_native_application *cb_native_new(cb_vcard *card, const cb_vcard_state *state)
{
    cb_native_application *native = calloc(1, sizeof *native);
    if (!native)
        return NULL;
    native->card = card;
    native->state = *state;
    reset(native);
    return native;
}

cb_native_application *cb_native_of(const cb_vcard *card)
{
    return cb_vcard_applet(card, &cb_applet_native);
}

static cb_error load(cb_vcard *card, cb_bytes content, void **out)
{
    cb_vcard_state state;
    cb_error error = cb_vcard_state_parse(content, &state);
    if (!error && !(*out = cb_native_new(card, &state)))
        error = CB_E_MEMORY;
    cb_wipe(&state, sizeof state);
    return error;
}

static void save(const void *self, cb_buf *out)
{
    const cb_native_application *card = self;
    cb_vcard_state_put(out, &card->state);
}

static bool identity(const void *self, cb_id *out)
{
    const cb_native_application *card = self;
    *out = card->state.card;
    return true;
}

static void show(const void *self, cb_buf *text)
{
    static const char *const life[] = {[CB_LIFE_PERSONALISED] = "in transit",
                                       [CB_LIFE_ACTIVE] = "active",
                                       [CB_LIFE_TERMINATED] = "terminated"};
    const cb_vcard_state *state = &((const cb_native_application *)self)->state;
    char id[CB_ID_TEXT];
    cb_id_text(&state->card, id);
    cb_buf_printf(text,
                  "card %s\nlife cycle %s\nPIN tries left %u\ncode tries left %u\nproofs %u\n", id,
                  life[state->life_cycle], state->pin_tries, state->code_tries, state->counter);
}

static void end(void *self)
{
    cb_wipe(self, sizeof(cb_native_application));
    free(self);
}

const cb_applet cb_applet_native = {
    .name = "native",
    .aid = {cb_native_aid, sizeof cb_native_aid},
    .aid_min = sizeof cb_native_aid,
    .load = load,
    .save = save,
    .reset = reset,
    .process = process,
    .malformed = malformed,
    .identity = identity,
    .show = show,
    .free = end,
};
