/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/card/application.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/secret.h"

const uint8_t cb_vcard_atr[14] = {0x3B, 0x89, 0x80, 0x01, 0x80, 0x57, 0x43,
                                  0x42, 0x43, 0x41, 0x52, 0x44, 0x31, 0xFB};

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
};

void cb_vcard_session_end(cb_vcard *card, cb_vcard_step step)
{
    cb_wipe(&card->session, sizeof card->session);
    card->session.step = (uint8_t)step;
}

bool cb_vcard_save(cb_vcard *card)
{
    if (!card->store.save || card->store.save(card->store.context, &card->state) == CB_OK)
        return true;
    cb_vcard_session_end(card, CB_VCARD_MUTE);
    return false;
}

static uint16_t run(cb_vcard *card, const cb_apdu *apdu, bool secure, cb_buf *data)
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

static bool in_channel(const cb_vcard *card) { return card->session.step & INSIDE; }

static uint16_t run_plain(cb_vcard *card, const cb_apdu *apdu, cb_buf *data)
{
    if (in_channel(card))
        cb_vcard_session_end(card, CB_VCARD_SELECTED);
    return run(card, apdu, false, data);
}

/* Failures of a PIN are told and leave the channel open, for the proof reports them; any other
 * failure closes it, and so does a PIN before its time. */
static bool failure_stays(const cb_vcard *card, const cb_apdu *apdu)
{
    if (card->session.step != CB_VCARD_AUTHENTICATED)
        return false;
    return apdu->ins == CB_INS_VERIFY || apdu->ins == CB_INS_CHANGE || apdu->ins == CB_INS_UNBLOCK;
}

static uint16_t run_secure(cb_vcard *card, const cb_apdu *wrapped, cb_buf *answer)
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

void cb_vcard_process(cb_vcard *card, cb_bytes command, cb_buf *answer)
{
    cb_apdu apdu;
    uint16_t status;
    if (card->session.step == CB_VCARD_MUTE) {
        status = CB_SW_MEMORY;
    } else if (cb_apdu_read(command, &apdu)) {
        cb_vcard_session_end(card, card->session.step == CB_VCARD_IDLE ? CB_VCARD_IDLE
                                                                       : CB_VCARD_SELECTED);
        status = CB_SW_LENGTH;
    } else if (apdu.cla == CB_NATIVE_CLA_SECURE) {
        status = run_secure(card, &apdu, answer);
        if (status == CB_SW_OK)
            return; /* its status word was authenticated and appended with the rest */
    } else {
        status = run_plain(card, &apdu, answer);
    }
    if (status == CB_SW_OK && cb_buf_error(answer))
        status = CB_SW_FAULT; /* without its data a success is none */
    if (status != CB_SW_OK)
        cb_buf_reset(answer);
    cb_buf_put_u16(answer, status);
}

static cb_error save_file(void *context, const cb_vcard_state *state)
{
    return cb_vcard_state_write(context, state);
}

cb_error cb_vcard_make(const cb_vcard_state *state, const cb_vcard_store *store, cb_vcard **out)
{
    cb_vcard *card = calloc(1, sizeof *card);
    *out = card;
    if (!card)
        return CB_E_MEMORY;
    card->state = *state;
    card->lock = -1;
    if (store)
        card->store = *store;
    cb_vcard_reset(card);
    return CB_OK;
}

static cb_error lock_file(const char *path, int *out)
{
    cb_buf name = CB_BUF(4096);
    cb_buf_printf(&name, "%s.lock", path);
    const char *lock_path = cb_buf_cstr(&name);
    cb_error error = lock_path ? CB_OK : CB_E_TOO_LARGE;
    if (!error) {
        *out = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*out < 0)
            error = CB_E_IO;
        else if (flock(*out, LOCK_EX | LOCK_NB) != 0)
            error = CB_E_BUSY;
    }
    cb_buf_free(&name);
    return error;
}

cb_error cb_vcard_open(const char *path, cb_vcard **out)
{
    cb_vcard_state state = {0};
    cb_vcard *card = NULL;
    *out = NULL;
    cb_error error = cb_vcard_state_read(path, &state); /* leaves no lock beside what is no card */
    cb_wipe(&state, sizeof state);
    if (!error)
        error = cb_vcard_make(&state, NULL, &card);
    if (error)
        return error;
    error = lock_file(path, &card->lock);
    if (!error)
        error = cb_vcard_state_read(path, &card->state);
    if (!error && !(card->path = strdup(path)))
        error = CB_E_MEMORY;
    card->store = (cb_vcard_store){card->path, save_file};
    if (error)
        cb_vcard_close(&card);
    *out = card;
    return error;
}

void cb_vcard_close(cb_vcard **card)
{
    if (!*card)
        return;
    if ((*card)->lock >= 0)
        close((*card)->lock);
    free((*card)->path);
    cb_wipe(*card, sizeof **card);
    free(*card);
    *card = NULL;
}

void cb_vcard_reset(cb_vcard *card)
{
    bool failed = card->session.step == CB_VCARD_MUTE;
    cb_vcard_state durable;
    cb_vcard_session_end(card, CB_VCARD_IDLE);
    /* After a failed write only the file knows what is durable. */
    if (failed && card->path) {
        if (cb_vcard_state_read(card->path, &durable) == CB_OK)
            card->state = durable;
        else
            card->session.step = CB_VCARD_MUTE;
        cb_wipe(&durable, sizeof durable);
    }
}

const cb_vcard_state *cb_vcard_state_of(const cb_vcard *card) { return &card->state; }
