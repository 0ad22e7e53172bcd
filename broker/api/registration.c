/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How a holder registers a card of his own: a manager records that he allowed it, and at a terminal
 * the card is brought with what its holder's code says of it. Without a code, what was read of a
 * card renews what it is bound with.
 */
#include "broker/core/registration.h"

#include "base/text.h"
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/api/taps.h"

/* ---- Of administrators ---- */

static json_t *profiles_json(uint8_t profiles)
{
    json_t *list = json_array();
    for (uint8_t id = 1; list && id < 8; id++) {
        const cb_card_profile *profile = profiles & 1 << id ? cb_profile_find(id) : NULL;
        if (profile && json_array_append_new(list, json_string(profile->name)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *row_json(const cb_registration_row *row)
{
    return json_pack(
        "{so, so, so, si, ss, ss, so, so, so, so, so, so}", "code", cb_json_id(&row->code),
        "holder", cb_json_id(&row->holder), "profiles", profiles_json(row->profiles), "level",
        (int)row->level, "operator", row->operator, "state", cb_code_state_name(row->state),
        "created", cb_json_time(row->created), "expires", cb_json_time(row->expires), "changed",
        cb_json_time(row->changed), "card", cb_json_id_or_null(&row->card), "terminal",
        cb_json_id_or_null(&row->terminal), "replaces", cb_json_id_or_null(&row->replaces));
}

static cb_error read_profiles(cb_reply *reply, const json_t *list, uint8_t *out)
{
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        const cb_card_profile *profile = name ? cb_profile_named(name) : NULL;
        uint8_t bit = profile ? (uint8_t)(1 << profile->id) : 0;
        if (!(bit & CB_REGISTRATION_PROFILES))
            return cb_reply_fail(reply, CB_E_ARGUMENT,
                                 "profiles must be a list of piv, jpki and scp03.");
        *out |= bit;
    }
    return CB_OK;
}

cb_error cb_api_registration_add(cb_request *request, cb_reply *reply)
{
    cb_registration_row row = {.code = {{0}}};
    json_t *profiles = NULL;
    const char *reason = NULL;
    int64_t level = CB_LEVEL_TERMINAL_PIN, until = 0;
    const cb_field fields[] = {{"code", CB_FIELD_ID, true, 0, &row.code},
                               {"holder", CB_FIELD_ID, true, 0, &row.holder},
                               {"profiles", CB_FIELD_LIST, true, CB_PROFILES_MAX, &profiles},
                               {"level", CB_FIELD_NUMBER, false, UINT8_MAX, &level},
                               {"until", CB_FIELD_NUMBER, true, UINT32_MAX, &until},
                               {"replaces", CB_FIELD_ID, false, 0, &row.replaces},
                               {"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = read_profiles(reply, profiles, &row.profiles);
    row.level = (uint8_t)level;
    row.expires = until * CB_SECOND;
    if (!error)
        error = cb_registration_record(cb_api_of(request)->store, request->actor, reason, &row);
    return error ? error : cb_reply_json(reply, 201, row_json(&row));
}

cb_error cb_api_registration_get(cb_request *request, cb_reply *reply)
{
    cb_registration_row row;
    cb_error error =
        cb_registration_find(cb_api_of(request)->store, &request->match.parameters[0].id, &row);
    return error ? error : cb_reply_json(reply, 200, row_json(&row));
}

cb_error cb_api_registration_withdraw(cb_request *request, cb_reply *reply)
{
    cb_registration_row row;
    const char *reason = NULL;
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, false, 32, &reason}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_registration_end(cb_api_of(request)->store, request->actor,
                                    &request->match.parameters[0].id, reason, &row);
    return error ? error : cb_reply_json(reply, 200, row_json(&row));
}

static cb_error add_row(void *page, const cb_registration_row *row)
{
    return cb_page_add(page, row_json(row));
}

cb_error cb_api_registration_list(cb_request *request, cb_reply *reply)
{
    cb_page page;
    cb_id holder = {{0}};
    const cb_field own[] = {{"holder", CB_FIELD_ID, false, 0, &holder}};
    cb_error error = cb_page_read(request, reply, false, own, 1, &page);
    if (!error)
        error =
            cb_registration_list(cb_api_of(request)->store, cb_id_is_zero(&holder) ? NULL : &holder,
                                 &page.after, (unsigned)page.limit, add_row, &page);
    return cb_page_reply(reply, &page, "registrations", "code", error);
}

/* ---- Of terminals ---- */

/* What a request says of the card. */
typedef struct brought {
    cb_tap_registration what;
    json_t *answer_list, *certificate_list;
    cb_buf answers, certificate[CB_CARD_KEYS_MAX], point, signature;
} brought;

static void brought_init(brought *b)
{
    *b = (brought){.answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
                   .point = CB_BUF(CB_P256_POINT),
                   .signature = CB_BUF(CB_P256_SIGNATURE)};
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        cb_buf_init(&b->certificate[i], CB_FOREIGN_CERTIFICATE_MAX);
}

static void brought_free(brought *b)
{
    cb_buf_free(&b->answers);
    cb_buf_free(&b->point);
    cb_buf_free(&b->signature);
    for (size_t i = 0; i < CB_CARD_KEYS_MAX; i++)
        cb_buf_free(&b->certificate[i]);
}

/* A key's number and its certificate, and nothing else. */
static cb_error read_certificate(const json_t *one, uint8_t *use, cb_buf *der)
{
    const json_t *number = json_object_get(one, "use"), *hex = json_object_get(one, "der");
    json_int_t value = json_integer_value(number);
    if (!json_is_integer(number) || value < 0 || value > UINT8_MAX || !json_is_string(hex) ||
        json_object_size(one) != 2)
        return CB_E_ARGUMENT;
    *use = (uint8_t)value;
    return cb_unhex(cb_bytes_make(json_string_value(hex), json_string_length(hex)), der);
}

static cb_error read_certificates(cb_reply *reply, brought *b)
{
    cb_foreign_reading *reading = &b->what.reading;
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < json_array_size(b->certificate_list); i++) {
        error = read_certificate(json_array_get(b->certificate_list, i), &reading->key[i].use,
                                 &b->certificate[i]);
        reading->key[i].certificate = cb_buf_bytes(&b->certificate[i]);
        reading->keys = i + 1;
    }
    return error && error != CB_E_MEMORY
               ? cb_reply_fail(reply, CB_E_ARGUMENT,
                               "certificates must be a list of at most %d objects with use, a "
                               "number, and der, at most %d bytes in hexadecimal.",
                               CB_CARD_KEYS_MAX, CB_FOREIGN_CERTIFICATE_MAX)
               : error;
}

static cb_error read_word(cb_reply *reply, brought *b)
{
    if (b->point.len != CB_P256_POINT || b->signature.len != CB_P256_SIGNATURE)
        return cb_reply_fail(reply, CB_E_ARGUMENT, "point must have %d bytes, and signature %d.",
                             CB_P256_POINT, CB_P256_SIGNATURE);
    memcpy(b->what.word.point, b->point.data, CB_P256_POINT);
    memcpy(b->what.word.signature, b->signature.data, CB_P256_SIGNATURE);
    return CB_OK;
}

/* word: with what a code says of the card. */
static cb_error read_brought(cb_request *request, cb_reply *reply, bool word, brought *b)
{
    enum { READING = 2 };
    const cb_field fields[] = {
        {"answers", CB_FIELD_LIST, true, CB_SCRIPT_COMMANDS_MAX, &b->answer_list},
        {"certificates", CB_FIELD_LIST, !word, CB_CARD_KEYS_MAX, &b->certificate_list},
        {"point", CB_FIELD_HEX, true, CB_P256_POINT, &b->point},
        {"signature", CB_FIELD_HEX, true, CB_P256_SIGNATURE, &b->signature}};
    cb_error error =
        cb_request_fields(request, reply, fields, word ? sizeof fields / sizeof *fields : READING);
    if (!error)
        error = cb_api_read_answers(reply, b->answer_list, &b->answers);
    b->what.reading.answers = cb_buf_bytes(&b->answers);
    if (!error)
        error = read_certificates(reply, b);
    return error || !word ? error : read_word(reply, b);
}

/* Registers a card with a code, or renews the binding of one without. */
static cb_error bring(cb_request *request, cb_reply *reply, bool registers)
{
    brought b;
    cb_api *api = cb_api_of(request);
    const cb_id *tap = &request->match.parameters[0].id;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires_in = 0;
    brought_init(&b);
    cb_error error = read_brought(request, reply, registers, &b);
    if (!error) {
        error = registers ? cb_tap_register(api->taps, &request->terminal, tap, &b.what, &script,
                                            &expires_in)
                          : cb_tap_renew(api->taps, &request->terminal, tap, &b.what.reading,
                                         &script, &expires_in);
        if (error)
            atomic_fetch_add(&api->outcomes[error], 1);
    }
    if (!error)
        error =
            cb_reply_json(reply, 200,
                          json_pack("{so, si}", "script", cb_api_script_json(cb_buf_bytes(&script)),
                                    "expires_in", (int)expires_in));
    cb_buf_free(&script);
    brought_free(&b);
    return error;
}

cb_error cb_api_tap_register(cb_request *request, cb_reply *reply)
{
    return bring(request, reply, true);
}

cb_error cb_api_tap_renew(cb_request *request, cb_reply *reply)
{
    return bring(request, reply, false);
}
