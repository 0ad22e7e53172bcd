/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/api.h"
#include "broker/api/rows.h"
#include "broker/core/state.h"
#include "broker/api/watch.h"
#include "broker/api/taps.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/profile.h"
#include "cardlink/script.h"

enum { PIN_MAX = 1024 };

/* ---- Scripts and answers ---- */

/* Only what is not usual is said. */
static json_t *command_json(const cb_script_item *item)
{
    json_t *json = json_pack("{so}", "apdu", cb_json_hex(item->apdu));
    int failed = json ? 0 : -1;
    if (!failed && item->flags & CB_SCRIPT_GO_ON)
        failed = json_object_set_new(json, "go_on", json_true());
    if (!failed && item->flags & CB_SCRIPT_PART)
        failed = json_object_set_new(json, "part", json_true());
    if (!failed && item->flags & CB_SCRIPT_PIN)
        failed = json_object_set_new(
            json, "pin", json_string(item->flags & CB_SCRIPT_PIN_ASCII ? "ascii" : "padded"));
    if (!failed && item->flags & CB_SCRIPT_WHEN)
        failed = json_object_set_new(json, "when", cb_json_hex(item->when));
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *cb_api_script_json(cb_bytes encoded)
{
    cb_script script;
    json_t *list = json_array();
    if (cb_script_read(encoded, CB_COMMAND_MAX, &script) != CB_OK)
        script.count = 0;
    for (size_t i = 0; list && i < script.count; i++) {
        if (json_array_append_new(list, command_json(&script.item[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

cb_error cb_api_read_answers(cb_reply *reply, const json_t *list, cb_buf *out)
{
    cb_buf one = CB_BUF(CB_ANSWER_MAX);
    cb_error error = CB_OK;
    for (size_t i = 0; !error && i < json_array_size(list); i++) {
        const json_t *text = json_array_get(list, i);
        cb_buf_reset(&one);
        error =
            json_is_string(text)
                ? cb_unhex(cb_bytes_make(json_string_value(text), json_string_length(text)), &one)
                : CB_E_ARGUMENT;
        if (error && error != CB_E_MEMORY)
            error =
                cb_reply_fail(reply, CB_E_ARGUMENT,
                              "answers must be a list of card responses in hexadecimal, each of "
                              "at most %d bytes.",
                              CB_ANSWER_MAX);
        if (!error)
            cb_script_put(out, 0, cb_buf_bytes(&one));
    }
    cb_buf_free(&one);
    return error ? error : cb_buf_error(out);
}

/* ---- Outcomes ---- */

static cb_error count(cb_request *request, cb_error outcome)
{
    atomic_fetch_add(&cb_api_of(request)->outcomes[outcome], 1);
    return outcome;
}

/* The last step of a tap counts; an earlier one only when it fails. */
static cb_error count_failure(cb_request *request, cb_error error)
{
    return error ? count(request, error) : CB_OK;
}

/* What an error's answer has beside its code. Without it the answer would say too little, and the
 * terminal tell its holder less than it should: then it is an error of ours instead. */
static cb_error with_more(cb_reply *reply, cb_error error, json_t *more)
{
    reply->extra = more;
    return more ? error : CB_E_MEMORY;
}

/* ---- Steps ---- */

cb_error cb_api_tap_start(cb_request *request, cb_reply *reply)
{
    const char *name = "native";
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_id tap;
    unsigned expires_in = 0;
    bool maintenance = false;
    const cb_terminal *terminal = request->identity;
    const cb_field fields[] = {{"profile", CB_FIELD_TEXT, false, 16, &name},
                               {"maintenance", CB_FIELD_TRUTH, false, 0, &maintenance}};
    cb_error error = cb_request_fields(request, reply, fields, 2);
    if (!error && !maintenance) /* before a card is laid down for nothing */
        error = cb_terminal_tap_refusal(terminal->state);
    const cb_card_profile *profile = error ? NULL : cb_profile_named(name);
    if (!error && !profile)
        error = cb_reply_fail(reply, CB_E_ARGUMENT, "profile must be native, piv, jpki, scp03 or password.");
    if (!error)
        error = count_failure(request, cb_tap_start(cb_api_of(request)->taps, &request->terminal,
                                                    profile->id, &tap, &script, &expires_in));
    if (!error)
        error = cb_reply_json(reply, 201,
                              json_pack("{so, so, si, sI}", "tap", cb_json_id(&tap), "script",
                                        cb_api_script_json(cb_buf_bytes(&script)), "expires_in",
                                        (int)expires_in, "time",
                                        (json_int_t)(cb_clock_wall_us() / CB_SECOND)));
    cb_buf_free(&script);
    return error;
}

static cb_error read_purpose(cb_reply *reply, const char *text, const cb_id *after,
                             const cb_id *card, cb_tap_question *question)
{
    if (strcmp(text, "authenticate") == 0)
        question->purpose = CB_TAP_AUTHENTICATE;
    else if (strcmp(text, "pin_change") == 0)
        question->purpose = CB_TAP_PIN_CHANGE;
    else if (strcmp(text, "pin_unblock") == 0)
        question->purpose = CB_TAP_PIN_UNBLOCK;
    else if (strcmp(text, "card_end") == 0)
        question->purpose = CB_TAP_CARD_END;
    else if (strcmp(text, "pin_reset") == 0)
        question->purpose = CB_TAP_PIN_RESET;
    else if (strcmp(text, "password_change") == 0)
        question->purpose = CB_TAP_PASSWORD_CHANGE;
    else if (strcmp(text, "maintenance") == 0)
        question->purpose = CB_TAP_MAINTENANCE;
    else if (strcmp(text, "maintenance_end") == 0)
        question->purpose = CB_TAP_MAINTENANCE_END;
    else
        return cb_reply_fail(
            reply, CB_E_ARGUMENT,
            "purpose must be authenticate, pin_change, pin_unblock, pin_reset, password_change, "
            "card_end, maintenance or maintenance_end.");
    if (!cb_id_is_zero(card))
        question->card = card;
    if ((question->purpose == CB_TAP_PIN_RESET) != (question->card != NULL))
        return cb_reply_fail(reply, CB_E_ARGUMENT,
                             "card is needed to reset a PIN, and for nothing else.");
    if (!cb_id_is_zero(after))
        question->after = after;
    if ((question->purpose == CB_TAP_CARD_END) != (question->after != NULL))
        return cb_reply_fail(reply, CB_E_ARGUMENT,
                             "after is needed to end a card, and for nothing else.");
    if ((question->purpose == CB_TAP_AUTHENTICATE) != (question->service != NULL))
        return cb_reply_fail(reply, CB_E_ARGUMENT,
                             "service is needed to authenticate, and for nothing else.");
    return CB_OK;
}

cb_error cb_api_tap_challenge(cb_request *request, cb_reply *reply)
{
    cb_tap_question question = {0};
    const char *purpose = "authenticate";
    cb_id after = {{0}}, card = {{0}};
    json_t *list = NULL;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf pin = CB_BUF(PIN_MAX);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    unsigned expires_in = 0;
    const cb_field fields[] = {
        {"answers", CB_FIELD_LIST, true, CB_SCRIPT_COMMANDS_MAX, &list},
        {"service", CB_FIELD_TEXT, false, CB_SERVICE_NAME_MAX, &question.service},
        {"text", CB_FIELD_TEXT, false, CB_TAP_TEXT_MAX, &question.text},
        {"pin", CB_FIELD_HEX, false, PIN_MAX, &pin},
        {"pin_pad", CB_FIELD_TRUTH, false, 0, &question.pad},
        {"purpose", CB_FIELD_TEXT, false, 16, &purpose},
        {"after", CB_FIELD_ID, false, 0, &after},
        {"card", CB_FIELD_ID, false, 0, &card},
    };
    cb_error error = cb_request_fields(request, reply, fields, sizeof fields / sizeof *fields);
    if (!error)
        error = read_purpose(reply, purpose, &after, &card, &question);
    if (!error)
        error = cb_api_read_answers(reply, list, &answers);
    question.answers = cb_buf_bytes(&answers);
    question.pin = cb_buf_bytes(&pin);
    if (!error) {
        error =
            count_failure(request, cb_tap_challenge(cb_api_of(request)->taps, &request->terminal,
                                                    &request->match.parameters[0].id, &question,
                                                    &script, &expires_in));
        if (error && cb_tap_may_renew(cb_api_of(request)->taps, &request->terminal,
                                      &request->match.parameters[0].id, error))
            error = with_more(reply, error, json_pack("{sb}", "may_renew", 1));
    }
    if (!error) /* within the terminal's rate: it will have to say something of it */
        cb_allowance_give(cb_api_of(request)->log_bytes, &request->terminal, CB_ALLOWANCE_A_TAP,
                          cb_clock_monotonic_us());
    if (!error)
        error = cb_reply_json(reply, 200,
                              json_pack("{so, si}", "script", cb_api_script_json(cb_buf_bytes(&script)),
                                        "expires_in", (int)expires_in));
    cb_buf_free(&answers);
    cb_buf_free(&pin);
    cb_buf_free(&script);
    return error;
}

static json_t *delivery_json(const cb_tap_outcome *outcome)
{
    const char *text = (const char *)outcome->value.data;
    size_t length = outcome->value.len;
    const char *kind = cb_session_kind_name(outcome->kind);
    json_t *value = NULL;
    switch (outcome->kind) {
    case CB_SESSION_URL:
    case CB_SESSION_RELAYED:
        return json_pack("{ss, ss%}", "kind", kind, "url", text, length);
    case CB_SESSION_TOKEN:
        value = cb_json_load(cb_buf_bytes(&outcome->value), 0, NULL);
        return json_pack("{ss, so}", "kind", kind, "token", value);
    case CB_SESSION_COOKIES:
        value = cb_json_load(cb_buf_bytes(&outcome->value), 0, NULL);
        if (value && json_object_set_new(value, "kind", json_string(kind)) != 0) {
            json_decref(value);
            value = NULL;
        }
        return value;
    default:
        return json_null();
    }
}

static json_t *outcome_json(const cb_tap_outcome *outcome)
{
    json_t *json = json_pack("{ss, so, so, si}", "outcome",
                             outcome->ended        ? "card_ended"
                             : outcome->registered ? "registered"
                             : outcome->renewed    ? "renewed"
                                                   : "accepted",
                             "holder", cb_json_id(&outcome->holder), "card",
                             cb_json_id(&outcome->card), "level", (int)outcome->level);
    if (json && !outcome->service[0] && outcome->expires &&
        json_object_set_new(json, "until", cb_json_time(outcome->expires)) != 0) {
        json_decref(json);
        json = NULL;
    }
    if (json && !cb_id_is_zero(&outcome->replaces) &&
        json_object_set_new(json, "replaces", cb_json_id(&outcome->replaces)) != 0) {
        json_decref(json);
        json = NULL;
    }
    if (json && outcome->may_renew && json_object_set_new(json, "may_renew", json_true()) != 0) {
        json_decref(json);
        json = NULL;
    }
    if (!json || !outcome->service[0])
        return json;
    json_t *delivery = delivery_json(outcome);
    if (!delivery) {
        json_decref(json);
        return NULL;
    }
    int failed = json_object_set_new(json, "service", json_string(outcome->service));
    failed |= json_object_set_new(json, "delivery", delivery);
    if (!cb_id_is_zero(&outcome->session))
        failed |= json_object_set_new(json, "session", cb_json_id(&outcome->session));
    if (outcome->expires)
        failed |= json_object_set_new(json, "expires", cb_json_time(outcome->expires));
    if (failed) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

static cb_error add_more(cb_reply *reply, cb_error error, const cb_tap_outcome *outcome)
{
    if (error == CB_E_PIN_WRONG || error == CB_E_PIN_BLOCKED)
        return with_more(reply, error,
                         json_pack("{si}", "tries_left", (int)outcome->pin_tries_left));
    if (error == CB_E_CARD_REVOKED && outcome->may_end)
        return with_more(reply, error, json_pack("{sb}", "may_end", 1));
    if (error == CB_E_CARD_PROOF && outcome->may_renew)
        return with_more(reply, error, json_pack("{sb}", "may_renew", 1));
    return error;
}

cb_error cb_api_tap_proof(cb_request *request, cb_reply *reply)
{
    json_t *list = NULL;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_tap_outcome outcome = {0};
    cb_buf_init(&outcome.value, CB_LOGIN_VALUE_MAX);
    const cb_field fields[] = {
        {"answers", CB_FIELD_LIST, true, CB_SCRIPT_COMMANDS_MAX, &list},
    };
    cb_error error = cb_request_fields(request, reply, fields, 1);
    if (!error)
        error = cb_api_read_answers(reply, list, &answers);
    if (!error) {
        error = count(request, cb_tap_proof(cb_api_of(request)->taps, &request->terminal,
                                            &request->match.parameters[0].id,
                                            cb_buf_bytes(&answers), &outcome));
        error = add_more(reply, error, &outcome);
        if (!error && outcome.renewed) /* keys may have been retired */
            cb_watch_feed(cb_api_of(request)->watch);
    }
    if (!error)
        error = cb_reply_json(reply, 200, outcome_json(&outcome));
    cb_tap_outcome_free(&outcome);
    cb_buf_free(&answers);
    return error;
}

/* Why a terminal may say that it does not go on. */
static const cb_error *reason_named(const char *name)
{
    static const cb_error reasons[] = {CB_E_CARD_REMOVED,  CB_E_CARD_ANSWER,  CB_E_READER,
                                       CB_E_BROKER_DOWN,   CB_E_PIN_REQUIRED, CB_E_PIN_FORMAT,
                                       CB_E_PIN_UNCERTAIN, CB_E_PIN_CANCELLED};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (strcmp(cb_error_code(reasons[i]), name) == 0)
            return &reasons[i];
    }
    return NULL;
}

cb_error cb_api_tap_end(cb_request *request, cb_reply *reply)
{
    const char *name = NULL;
    const cb_field fields[] = {{"reason", CB_FIELD_TEXT, true, 32, &name}};
    cb_error error = cb_request_fields(request, reply, fields, 1);
    const cb_error *reason = error ? NULL : reason_named(name);
    if (!error && !reason)
        error = cb_reply_fail(reply, CB_E_ARGUMENT,
                              "reason must be card.removed, card.answer, reader.failed, "
                              "broker.unreachable, pin.required, pin.format, pin.uncertain or "
                              "pin.cancelled.");
    if (!error)
        error = cb_tap_break_off(cb_api_of(request)->taps, &request->terminal,
                                 &request->match.parameters[0].id, *reason);
    if (!error) {
        count(request, *reason);
        error = cb_reply_json(reply, 200, json_pack("{ss}", "outcome", "ended"));
    }
    return error;
}
