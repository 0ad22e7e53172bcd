/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/scp03/application.h"

#include <stdlib.h>

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/scp03/presence.h"

enum { INS_SELECT = 0xA4, SW_NOT_AUTHENTIC = 0x6300 };

const uint8_t cb_vscp03_atr[14] = {0x3B, 0x89, 0x80, 0x01, 0x80, 0x57, 0x43,
                                   0x42, 0x53, 0x43, 0x50, 0x30, 0x33, 0x9D};

static void stand_at(cb_vscp03_application *scp03, cb_vscp03_step step)
{
    cb_wipe(&scp03->session, sizeof scp03->session);
    scp03->step = (uint8_t)step;
}

static uint16_t select_application(cb_vscp03_application *scp03, const cb_apdu *apdu)
{
    if (apdu->p1 != 0x04 || apdu->p2 != 0x00)
        return CB_SW_PARAMETERS;
    if (!cb_bytes_same(apdu->data, CB_BYTES_OF(cb_scp03_aid)))
        return CB_SW_FILE_NOT_FOUND;
    stand_at(scp03, CB_VSCP03_SELECTED);
    return CB_SW_OK;
}

/* A new challenge; with a sequence counter, once that is durable. */
static uint16_t make_challenge(cb_vscp03_application *scp03, uint8_t out[CB_SCP03_CHALLENGE])
{
    cb_vscp03_state *state = &scp03->state;
    if (!(state->i & CB_SCP03_I_PSEUDO_RANDOM)) {
        cb_random(out, CB_SCP03_CHALLENGE);
        return CB_SW_OK;
    }
    if (state->sequence == CB_SCP03_SEQUENCE_MAX)
        return CB_SW_CONDITIONS;
    state->sequence++;
    if (!cb_vcard_save(scp03->card))
        return CB_SW_MEMORY;
    return cb_scp03_challenge(&state->keys, state->sequence, CB_BYTES_OF(cb_scp03_aid), out)
               ? CB_SW_FAULT
               : CB_SW_OK;
}

static uint16_t initialize_update(cb_vscp03_application *scp03, const cb_apdu *apdu, cb_buf *data)
{
    const cb_vscp03_state *state = &scp03->state;
    cb_scp03_update update = {.key_version = state->key_version, .i = state->i};
    if (apdu->p2 != 0x00)
        return CB_SW_PARAMETERS;
    if (apdu->data.len != CB_SCP03_CHALLENGE)
        return CB_SW_LENGTH;
    if (apdu->p1 != 0x00 && apdu->p1 != state->key_version)
        return CB_SW_NOT_FOUND;
    if (state->failures >= CB_VSCP03_FAILURES_MAX)
        return CB_SW_BLOCKED;
    uint16_t status = make_challenge(scp03, update.challenge);
    if (status != CB_SW_OK)
        return status;
    if (cb_scp03_session_derive(&state->keys, apdu->data.data, update.challenge, &scp03->session))
        return CB_SW_FAULT;
    memcpy(update.kdd, state->kdd, sizeof update.kdd);
    memcpy(update.cryptogram, scp03->session.card_cryptogram, sizeof update.cryptogram);
    update.sequence = state->sequence;
    cb_scp03_update_put(data, &update);
    scp03->step = CB_VSCP03_UPDATED;
    return CB_SW_OK;
}

/* It has failed, durably, until it turns out that it has not. */
static uint16_t compare(cb_vscp03_application *scp03, const cb_apdu *apdu)
{
    cb_vscp03_state *state = &scp03->state;
    uint8_t before = state->failures;
    if (before >= CB_VSCP03_FAILURES_MAX)
        return CB_SW_BLOCKED;
    state->failures++;
    if (!cb_vcard_save(scp03->card))
        return CB_SW_MEMORY;
    if (cb_scp03_authenticate_check(&scp03->session, apdu))
        return SW_NOT_AUTHENTIC;
    state->failures = 0;
    if (!cb_vcard_save(scp03->card))
        return CB_SW_MEMORY;
    scp03->step = CB_VSCP03_OPEN;
    return CB_SW_OK;
}

static uint16_t external_authenticate(cb_vscp03_application *scp03, const cb_apdu *apdu)
{
    uint16_t status = CB_SW_CONDITIONS;
    if (scp03->step == CB_VSCP03_UPDATED)
        status = apdu->p1 != CB_SCP03_LEVEL || apdu->p2 != 0x00 ? CB_SW_PARAMETERS
                                                                : compare(scp03, apdu);
    if (status != CB_SW_OK)
        stand_at(scp03, CB_VSCP03_SELECTED);
    return status;
}

static uint16_t presence(cb_vscp03_application *scp03, const cb_apdu *apdu, cb_buf *data)
{
    cb_vscp03_state *state = &scp03->state;
    cb_digest context;
    if (apdu->ins != CB_SCP03_INS_PRESENCE)
        return CB_SW_INS;
    if (apdu->p1 != 0x00 || apdu->p2 != 0x00)
        return CB_SW_PARAMETERS;
    if (apdu->data.len != sizeof context.bytes)
        return CB_SW_LENGTH;
    if (state->counter == UINT32_MAX)
        return CB_SW_CONDITIONS;
    state->counter++;
    if (!cb_vcard_save(scp03->card))
        return CB_SW_MEMORY;
    memcpy(context.bytes, apdu->data.data, sizeof context.bytes);
    cb_scp03_presence_answer(data, &context, state->counter);
    return CB_SW_OK;
}

/* Inside the channel, which ends with this command whatever comes of it. The status word of a
 * success is appended with the MAC that covers it. */
static uint16_t run_inside(cb_vscp03_application *scp03, const cb_apdu *wrapped, cb_buf *answer)
{
    cb_apdu apdu;
    cb_buf command = CB_BUF(CB_APDU_DATA_MAX + 1), data = CB_BUF(CB_APDU_DATA_MAX);
    uint16_t status = CB_SW_SECURITY;
    if (scp03->step == CB_VSCP03_OPEN &&
        cb_sm_open_command(&scp03->session.sm, wrapped, &command, &apdu) == CB_OK)
        status = presence(scp03, &apdu, &data);
    if (status == CB_SW_OK &&
        (cb_buf_error(&data) || cb_sm_wrap_answer(&scp03->session.sm, cb_buf_bytes(&data), answer)))
        status = CB_SW_FAULT;
    if (scp03->step != CB_VSCP03_IDLE)
        stand_at(scp03, CB_VSCP03_SELECTED);
    cb_buf_free(&command);
    cb_buf_free(&data);
    return status;
}

static uint16_t run_plain(cb_vscp03_application *scp03, const cb_apdu *apdu, cb_buf *data)
{
    if (scp03->step != CB_VSCP03_IDLE)
        stand_at(scp03, CB_VSCP03_SELECTED);
    if (apdu->ins == INS_SELECT)
        return apdu->cla == 0x00 ? select_application(scp03, apdu) : CB_SW_CLA;
    if (scp03->step == CB_VSCP03_IDLE)
        return CB_SW_CONDITIONS;
    if (apdu->ins != CB_SCP03_INS_UPDATE)
        return CB_SW_INS;
    return apdu->cla == CB_SCP03_CLA ? initialize_update(scp03, apdu, data) : CB_SW_CLA;
}

static void process(void *self, const cb_apdu *apdu, cb_buf *answer)
{
    cb_vscp03_application *scp03 = self;
    uint16_t status;
    if (apdu->cla != CB_SCP03_CLA_SECURE)
        status = run_plain(scp03, apdu, answer);
    else if (apdu->ins == CB_SCP03_INS_AUTHENTICATE)
        status = external_authenticate(scp03, apdu);
    else if ((status = run_inside(scp03, apdu, answer)) == CB_SW_OK)
        return;
    cb_applet_answer(answer, status);
}

static void reset(void *self) { stand_at(self, CB_VSCP03_IDLE); }

/* Something that is no command came outside secure messaging. */
static uint16_t malformed(void *self, uint8_t cla)
{
    (void)cla;
    cb_vscp03_application *scp03 = self;
    if (scp03->step != CB_VSCP03_IDLE)
        stand_at(scp03, CB_VSCP03_SELECTED);
    return CB_SW_LENGTH;
}

static cb_error load(struct cb_vcard *card, cb_bytes state, void **out)
{
    cb_vscp03_application *scp03 = calloc(1, sizeof *scp03);
    if (!scp03)
        return CB_E_MEMORY;
    scp03->card = card;
    cb_error error = cb_vscp03_state_parse(state, &scp03->state);
    if (!error)
        *out = scp03;
    else
        free(scp03);
    return error;
}

static void save(const void *self, cb_buf *out)
{
    const cb_vscp03_application *scp03 = self;
    cb_vscp03_state_put(out, &scp03->state);
}

static void show(const void *self, cb_buf *text)
{
    const cb_vscp03_state *state = &((const cb_vscp03_application *)self)->state;
    cb_buf_put_str(text, "SCP03 key diversification data ");
    cb_buf_put_hex(text, CB_BYTES_OF(state->kdd));
    cb_buf_printf(text,
                  "\nSCP03 key version %02x, AES-%u\nSCP03 sequence counter %u\n"
                  "SCP03 proofs of presence %u\nSCP03 failures %u\n",
                  state->key_version, state->keys.len * 8u, state->sequence, state->counter,
                  state->failures);
}

static void release(void *self)
{
    cb_wipe(self, sizeof(cb_vscp03_application));
    free(self);
}

const cb_applet cb_applet_scp03 = {.name = "scp03",
                                   .aid = {cb_scp03_aid, sizeof cb_scp03_aid},
                                   .aid_min = sizeof cb_scp03_aid,
                                   .load = load,
                                   .save = save,
                                   .reset = reset,
                                   .process = process,
                                   .malformed = malformed,
                                   .show = show,
                                   .free = release};
