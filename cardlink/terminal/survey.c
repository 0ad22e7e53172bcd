/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/survey.h"

#include <stdlib.h>

#include "base/text.h"
#include "cardlink/terminal/relay_json.h"

static cb_error play(const cb_card_io *io, const cb_buf *script, cb_buf *answers)
{
    cb_script read;
    cb_error error = cb_buf_error(script);
    if (!error)
        error = cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read);
    return error ? error : cb_play(io, &read, answers);
}

/* The profile's first script; whether the card has such an application at all. */
static cb_error meet(const cb_card_io *io, const cb_card_profile *profile, cb_buf *answers)
{
    cb_id card;
    cb_script read;
    void *state = calloc(1, profile->state_size);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = state ? profile->begin(state, NULL, &script) : CB_E_MEMORY;
    if (!error)
        error = play(io, &script, answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = profile->recognise(&read, &card);
    cb_buf_free(&script);
    free(state);
    return error;
}

static json_t *certificate_json(uint8_t use, cb_bytes der)
{
    char text[2 * CB_ANSWER_MAX + 1];
    cb_hex(der, text);
    return json_pack("{s:i,s:s}", "use", (int)use, "der", text);
}

static cb_error read_certificates(const cb_card_io *io, const cb_card_profile *profile,
                                  cb_bytes first, json_t *list)
{
    cb_script read;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_error error = cb_script_read(first, CB_ANSWER_MAX, &read);
    if (!error)
        profile->survey(&read, &script);
    if (!error)
        error = play(io, &script, &answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read);
    for (size_t i = 0; !error && i < profile->certificates; i++) {
        uint8_t use;
        cb_buf der = CB_BUF(CB_ANSWER_MAX);
        error = profile->certificate(&read, i, &use, &der);
        if (error == CB_E_NOT_FOUND)
            error = CB_OK;
        else if (!error && json_array_append_new(list, certificate_json(use, cb_buf_bytes(&der))))
            error = CB_E_MEMORY;
        cb_buf_free(&der);
    }
    if (!error && json_array_size(list) == 0)
        error = CB_E_CARD_CERTIFICATE;
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error read_card(const cb_card_io *io, const cb_card_profile *profile, json_t **out)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    json_t *list = json_array();
    cb_error error = list ? meet(io, profile, &answers) : CB_E_MEMORY;
    if (!error && profile->certificates > 0)
        error = read_certificates(io, profile, cb_buf_bytes(&answers), list);
    if (!error) {
        *out = json_pack("{s:s,s:o,s:O}", "profile", profile->name, "answers",
                         cb_json_answers(cb_buf_bytes(&answers)), "certificates", list);
        error = *out ? CB_OK : CB_E_MEMORY;
    }
    json_decref(list);
    cb_buf_free(&answers);
    return error;
}

cb_error cb_survey(const cb_card_io *io, const cb_profile_order *order, json_t **out)
{
    cb_error error = CB_E_CARD_FOREIGN;
    *out = NULL;
    for (size_t i = 0; i < order->count && error == CB_E_CARD_FOREIGN; i++) {
        if (order->profile[i]->recognise)
            error = read_card(io, order->profile[i], out);
    }
    return error;
}
