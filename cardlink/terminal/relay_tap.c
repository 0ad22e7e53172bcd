/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The exchanges of a tap.
 */
#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/profile.h"
#include "cardlink/terminal/relay_json.h"
#include "cardlink/terminal/relay_parts.h"

void cb_relay_tap_init(cb_relay_tap *tap)
{
    *tap = (cb_relay_tap){.script = CB_BUF(CB_SCRIPT_BYTES_MAX)};
}

void cb_relay_tap_free(cb_relay_tap *tap)
{
    cb_buf_free(&tap->script);
    tap->id = (cb_id){{0}};
    tap->expires = 0;
}

static cb_error no_script(cb_problem *problem, cb_error error)
{
    return cb_problem_set(
        problem, error,
        error == CB_E_PROTOCOL ? "the broker's script is not one, or exceeds the limits" : NULL);
}

cb_error cb_relay_begin(cb_relay *relay, const cb_card_profile *profile, cb_relay_tap *tap,
                        cb_problem *problem)
{
    json_t *answer = NULL;
    int64_t asked = cb_clock_monotonic_us();
    json_t *body = json_pack("{s:s,s:o*}", "profile", profile->name, "maintenance",
                             cb_relay_maintains(relay) ? json_true() : NULL);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    cb_relay_request what = {.path = "/v1/taps", .body = body, .safe = true, .success = 201};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    if (!error) {
        error = cb_json_read_begun(answer, true, asked, tap);
        if (error)
            no_script(problem, error);
        else
            tap->profile = profile;
    }
    json_decref(answer);
    json_decref(body);
    return error;
}

static void path_of(const cb_relay_tap *tap, const char *step, char out[128])
{
    char id[CB_ID_TEXT];
    cb_id_text(&tap->id, id);
    snprintf(out, 128, "/v1/taps/%s/%s", id, step);
}

static const char *purpose_name(uint8_t purpose)
{
    switch (purpose) {
    case CB_TAP_PIN_CHANGE:
        return "pin_change";
    case CB_TAP_PIN_UNBLOCK:
        return "pin_unblock";
    case CB_TAP_CARD_END:
        return "card_end";
    case CB_TAP_PIN_RESET:
        return "pin_reset";
    case CB_TAP_PASSWORD_CHANGE:
        return "password_change";
    case CB_TAP_MAINTENANCE:
        return "maintenance";
    case CB_TAP_MAINTENANCE_END:
        return "maintenance_end";
    default:
        return "authenticate";
    }
}

/* NULL: no memory. */
static json_t *challenge_body(const cb_relay_question *question, cb_bytes answers)
{
    char pin[2 * CB_PIN_CIPHERTEXT_MAX + 1];
    json_t *root = json_object();
    int rc = json_object_set_new(root, "answers", cb_json_answers(answers));
    rc |= json_object_set_new(root, "purpose", json_string(purpose_name(question->purpose)));
    if (question->service[0])
        rc |= json_object_set_new(root, "service", json_string(question->service));
    if (question->after) {
        char after[CB_ID_TEXT];
        cb_id_text(question->after, after);
        rc |= json_object_set_new(root, "after", json_string(after));
    }
    if (question->card) {
        char card[CB_ID_TEXT];
        cb_id_text(question->card, card);
        rc |= json_object_set_new(root, "card", json_string(card));
    }
    if (question->text[0])
        rc |= json_object_set_new(root, "text", json_string(question->text));
    if (question->pad)
        rc |= json_object_set_new(root, "pin_pad", json_true());
    if (question->pin.len > CB_PIN_CIPHERTEXT_MAX)
        rc = -1;
    else if (question->pin.len > 0) {
        cb_hex(question->pin, pin);
        rc |= json_object_set_new(root, "pin", json_string(pin));
        cb_wipe(pin, sizeof pin);
    }
    if (rc != 0) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

cb_error cb_relay_challenge(cb_relay *relay, cb_relay_tap *tap, const cb_relay_question *question,
                            cb_bytes answers, cb_problem *problem)
{
    char path[128];
    json_t *answer = NULL;
    int64_t asked = cb_clock_monotonic_us();
    if (!cb_relay_is_text(question->text))
        return cb_problem_set(problem, CB_E_ARGUMENT, "the text is not UTF-8");
    json_t *body = challenge_body(question, answers);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, "challenge", path);
    cb_relay_request what = {.path = path, .body = body, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    if (!error) {
        error = cb_json_read_begun(answer, false, asked, tap);
        if (error)
            no_script(problem, error);
    }
    json_decref(answer);
    json_decref(body);
    return error;
}

static cb_error prove(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                      bool (*is_result)(const json_t *), json_t **result, cb_problem *problem)
{
    char path[128];
    json_t *body = json_pack("{s:o}", "answers", cb_json_answers(answers));
    *result = NULL;
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, "proof", path);
    cb_relay_request what = {.path = path, .body = body, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, result, problem);
    if (!error && !is_result(*result)) {
        json_decref(*result);
        *result = NULL;
        error = cb_problem_set(problem, CB_E_PROTOCOL, "the broker's answer is no result");
    }
    json_decref(body);
    return error;
}

cb_error cb_relay_proof(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers, json_t **result,
                        cb_problem *problem)
{
    return prove(relay, tap, answers, cb_json_accepted, result, problem);
}

/* NULL: no memory, or more than there may be. */
static json_t *reading_body(const cb_foreign_reading *reading)
{
    char der[2 * CB_FOREIGN_CERTIFICATE_MAX + 1];
    json_t *list = json_array();
    int rc = 0;
    for (size_t i = 0; i < reading->keys && rc == 0; i++) {
        if (reading->key[i].certificate.len > CB_FOREIGN_CERTIFICATE_MAX)
            break;
        cb_hex(reading->key[i].certificate, der);
        rc = json_array_append_new(
            list, json_pack("{s:i,s:s}", "use", (int)reading->key[i].use, "der", der));
    }
    if (rc != 0 || json_array_size(list) != reading->keys) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:o,s:o}", "answers", cb_json_answers(reading->answers), "certificates",
                     list);
}

static json_t *registration_body(const cb_foreign_reading *reading,
                                 const cb_registration_word *word)
{
    char point[2 * CB_P256_POINT + 1], signature[2 * CB_P256_SIGNATURE + 1];
    json_t *body = reading_body(reading);
    cb_hex(CB_BYTES_OF(word->point), point);
    cb_hex(CB_BYTES_OF(word->signature), signature);
    int rc = json_object_set_new(body, "point", json_string(point));
    rc |= json_object_set_new(body, "signature", json_string(signature));
    if (rc != 0) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* Brings what was read of a card, and takes the second script. body: given up. */
static cb_error bring_reading(cb_relay *relay, cb_relay_tap *tap, const char *step, json_t *body,
                              cb_problem *problem)
{
    char path[128];
    json_t *answer = NULL;
    int64_t asked = cb_clock_monotonic_us();
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, step, path);
    cb_relay_request what = {.path = path, .body = body, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    if (!error) {
        error = cb_json_read_begun(answer, false, asked, tap);
        if (error)
            no_script(problem, error);
    }
    json_decref(answer);
    json_decref(body);
    return error;
}

cb_error cb_relay_register(cb_relay *relay, cb_relay_tap *tap, const cb_foreign_reading *reading,
                           const cb_registration_word *word, cb_problem *problem)
{
    return bring_reading(relay, tap, "registration", registration_body(reading, word), problem);
}

cb_error cb_relay_renewal(cb_relay *relay, cb_relay_tap *tap, const cb_foreign_reading *reading,
                          cb_problem *problem)
{
    return bring_reading(relay, tap, "renewal", reading_body(reading), problem);
}

cb_error cb_relay_renewed(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                          json_t **result, cb_problem *problem)
{
    return prove(relay, tap, answers, cb_json_renewed, result, problem);
}

cb_error cb_relay_registered(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                             json_t **result, cb_problem *problem)
{
    return prove(relay, tap, answers, cb_json_registered, result, problem);
}

cb_error cb_relay_card_ended(cb_relay *relay, const cb_relay_tap *tap, cb_bytes answers,
                             cb_problem *problem)
{
    json_t *result = NULL;
    cb_error error = prove(relay, tap, answers, cb_json_card_ended, &result, problem);
    json_decref(result);
    return error;
}

cb_error cb_relay_end(cb_relay *relay, const cb_relay_tap *tap, const char *reason,
                      cb_problem *problem)
{
    char path[128];
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "reason", reason);
    if (!body)
        return cb_problem_set(problem, CB_E_MEMORY, NULL);
    path_of(tap, "end", path);
    cb_relay_request what = {.path = path, .body = body, .success = 200};
    cb_error error = cb_relay_exchange(relay, &what, &answer, problem);
    json_decref(answer);
    json_decref(body);
    return error;
}
