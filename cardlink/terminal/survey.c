/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/survey.h"

#include <stdlib.h>

#include "base/text.h"
#include "cardlink/terminal/inflate.h"
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

void cb_survey_keys_init(cb_survey_keys *keys)
{
    keys->count = 0;
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        cb_buf_init(&keys->key[i].der, CB_ANSWER_MAX);
}

void cb_survey_keys_free(cb_survey_keys *keys)
{
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        cb_buf_free(&keys->key[i].der);
    keys->count = 0;
}

/* Only whole certificates leave the terminal. */
static cb_error take_certificate(const cb_card_profile *profile, const cb_script *answers,
                                 size_t index, uint8_t *use, cb_buf *der)
{
    cb_buf as_kept = CB_BUF(CB_ANSWER_MAX);
    cb_error error = profile->certificate(answers, index, use, &as_kept);
    if (!error && cb_is_deflated(cb_buf_bytes(&as_kept)))
        error = cb_inflate(cb_buf_bytes(&as_kept), der);
    else if (!error)
        cb_buf_put(der, cb_buf_bytes(&as_kept));
    cb_buf_free(&as_kept);
    return error ? error : cb_buf_error(der);
}

static cb_error take_certificates(const cb_card_profile *profile, const cb_script *answers,
                                  cb_survey_keys *keys)
{
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < profile->certificates && keys->count < CB_CARD_KEYS_MAX; i++) {
        error = take_certificate(profile, answers, i, &keys->key[keys->count].use,
                                 &keys->key[keys->count].der);
        if (error == CB_E_NOT_FOUND)
            error = CB_OK;
        else
            keys->count++;
    }
    return error ? error : keys->count > 0 ? CB_OK : CB_E_CARD_CERTIFICATE;
}

cb_error cb_survey_read(const cb_card_io *io, const cb_card_profile *profile, cb_bytes first,
                        cb_survey_keys *keys)
{
    cb_script read;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    if (profile->certificates == 0)
        return CB_OK;
    cb_error error = cb_script_read(first, CB_ANSWER_MAX, &read);
    if (!error)
        profile->survey(&read, &script);
    if (!error)
        error = play(io, &script, &answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = take_certificates(profile, &read, keys);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error list_certificates(const cb_card_io *io, const cb_card_profile *profile,
                                  cb_bytes first, json_t *list)
{
    cb_survey_keys keys;
    cb_survey_keys_init(&keys);
    cb_error error = cb_survey_read(io, profile, first, &keys);
    for (size_t i = 0; !error && i < keys.count; i++) {
        if (json_array_append_new(
                list, certificate_json(keys.key[i].use, cb_buf_bytes(&keys.key[i].der))) != 0)
            error = CB_E_MEMORY;
    }
    cb_survey_keys_free(&keys);
    return error;
}

static cb_error read_card(const cb_card_io *io, const cb_card_profile *profile, json_t **out)
{
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    json_t *list = json_array();
    cb_error error = list ? meet(io, profile, &answers) : CB_E_MEMORY;
    if (!error)
        error = list_certificates(io, profile, cb_buf_bytes(&answers), list);
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
