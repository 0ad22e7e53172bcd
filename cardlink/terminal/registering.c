/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/registering.h"

#include "base/clock.h"
#include "base/secret.h"
#include "cardlink/apdu.h"
#include "cardlink/terminal/application.h"
#include "cardlink/terminal/survey.h"

typedef struct registering {
    cb_relay *relay;
    cb_readers *readers;
    const cb_registering_order *order;
    const cb_card_profile *profile;
    bool pad; /* the PIN is typed on the reader's pad */
    cb_application selected;
    cb_relay_tap begun;
    cb_buf first, answers;
    cb_survey_keys keys;
    cb_problem *problem;
} registering;

/* The PIN goes to the card once, in the script that has it sign, and only where cards of its kind
 * take it so. */
static cb_error play(registering *own, cb_bytes encoded, bool with_pin, cb_buf *answers)
{
    cb_script script;
    const cb_pins *pins = own->order->pins;
    cb_card_io io = cb_card_io_of(own->readers, with_pin && !pins && own->pad);
    if (with_pin && pins)
        io.pin = cb_digits_bytes(&pins->secret);
    cb_application_spare(&own->selected, &io);
    cb_buf_reset(answers);
    cb_error error = cb_script_read(encoded, CB_COMMAND_MAX, &script);
    bool may = with_pin && own->profile->level_with_pin == CB_LEVEL_TERMINAL_PIN;
    if (!error && cb_script_wants_pin(&script) && !may)
        error = CB_E_FORMAT;
    if (!error && cb_script_wants_pin(&script) && !own->pad &&
        own->order->pin_pad == CB_PAD_REQUIRE)
        error = CB_E_PIN_PAD;
    if (!error)
        error = cb_play(&io, &script, answers);
    cb_application_forget(&own->selected);
    if (error == CB_E_FORMAT)
        return cb_problem_set(own->problem, CB_E_PROTOCOL, "the broker sent no proper commands");
    if (error == CB_E_PIN_REQUIRED)
        return cb_problem_set(own->problem, error, "call this command again with --pin");
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

static cb_error has_application(registering *own, const cb_card_profile *profile, bool *found)
{
    uint16_t status = 0;
    const cb_card_io io = cb_card_io_of(own->readers, false);
    cb_error error = cb_application_select(&io, profile, &own->selected, &status);
    *found = !error && status == CB_SW_OK;
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

/* The first profile of the order that the card has, and whose cards are others'. */
static cb_error find_profile(registering *own)
{
    const cb_profile_order *order = own->order->profiles;
    bool found = false;
    for (size_t i = 0; i < order->count; i++) {
        own->profile = order->profile[i];
        cb_error error =
            own->profile->recognise ? has_application(own, own->profile, &found) : CB_OK;
        if (error || found)
            return error;
    }
    return cb_problem_set(own->problem, CB_E_CARD_FOREIGN,
                          "no card of a kind that holders register (profiles in cardlink.conf)");
}

static cb_error read_card(registering *own)
{
    const cb_card_io io = cb_card_io_of(own->readers, false);
    cb_error error = cb_relay_begin(own->relay, own->profile, &own->begun, own->problem);
    if (!error)
        error = play(own, cb_buf_bytes(&own->begun.script), false, &own->first);
    if (error)
        return error;
    error = cb_survey_read(&io, own->profile, cb_buf_bytes(&own->first), &own->keys);
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

static cb_error say_code(registering *own)
{
    cb_registration_word word;
    cb_foreign_reading reading = {
        .profile = own->profile->id, .answers = cb_buf_bytes(&own->first), .keys = own->keys.count};
    for (size_t i = 0; i < own->keys.count; i++) {
        reading.key[i].use = own->keys.key[i].use;
        reading.key[i].certificate = cb_buf_bytes(&own->keys.key[i].der);
    }
    cb_error error = cb_registration_say(own->order->symbols, &own->begun.id, &reading, &word);
    if (error)
        return cb_problem_set(own->problem, error, NULL);
    return cb_relay_register(own->relay, &own->begun, &reading, &word, own->problem);
}

static cb_error run(registering *own, const char *reader, json_t **result)
{
    cb_error error = cb_card_take(own->readers, reader);
    if (error)
        return cb_problem_set(own->problem, error, NULL);
    own->pad = own->order->pin_pad != CB_PAD_NEVER && !own->order->pins &&
               cb_card_has_pad(own->readers);
    error = find_profile(own);
    if (!error)
        error = read_card(own);
    if (!error)
        error = say_code(own);
    if (!error)
        error = play(own, cb_buf_bytes(&own->begun.script), true, &own->answers);
    cb_card_release(own->readers);
    if (!error)
        return cb_tap_bring(own->relay, &own->begun, cb_buf_bytes(&own->answers),
                            cb_relay_registered, result, own->problem);
    cb_tap_end_at_broker(own->relay, &own->begun, own->problem, error);
    return error;
}

cb_error cb_registering_run(cb_relay *relay, cb_readers *readers, const char *reader,
                            const cb_registering_order *order, cb_tap_report *report)
{
    int64_t started = cb_clock_monotonic_us();
    registering own = {.relay = relay,
                       .readers = readers,
                       .order = order,
                       .first = CB_BUF(CB_SCRIPT_BYTES_MAX),
                       .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
                       .problem = &report->problem};
    *report = (cb_tap_report){.problem = {.retry_after = -1, .tries_left = -1}};
    cb_survey_keys_init(&own.keys);
    cb_relay_tap_init(&own.begun);
    cb_application_init(&own.selected);
    cb_error error = run(&own, reader, &report->result);
    if (!error)
        report->problem.error = CB_OK;
    else if (!report->problem.error)
        cb_problem_set(&report->problem, error, NULL);
    report->tap = own.begun.id;
    report->took = cb_clock_monotonic_us() - started;
    cb_relay_tap_free(&own.begun);
    cb_survey_keys_free(&own.keys);
    cb_application_forget(&own.selected);
    cb_buf_free(&own.first);
    cb_buf_free(&own.answers);
    return error;
}
