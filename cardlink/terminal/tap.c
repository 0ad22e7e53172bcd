/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/tap.h"

#include "base/clock.h"
#include "cardlink/apdu.h"
#include "cardlink/terminal/play.h"

/* A first script is played at once or not at all: what it leaves must do for the card and the way
 * back. */
#define SPARE (5 * CB_SECOND)

typedef struct tap {
    cb_relay *relay;
    cb_readers *readers;
    const cb_tap_order *order;
    const cb_card_profile *profile; /* whose script is played */
    bool asked;                     /* it is the second one */
    cb_relay_tap begun;
    cb_buf answers;
    cb_problem *problem;
} tap;

void cb_tap_report_free(cb_tap_report *report)
{
    json_decref(report->result);
    report->result = NULL;
}

bool cb_tap_fresh(const cb_relay_tap *first)
{
    return !cb_id_is_zero(&first->id) && first->expires - cb_clock_monotonic_us() > SPARE;
}

static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    return cb_card_transmit(card, command, answer);
}

/* Digits go to the card in the clear only where the card can take them in no other way, and once
 * the broker knows the card: whoever took over its front end could ask for those of a native card,
 * too, for somebody who listens at the reader. */
static bool may_want_pin(const tap *own)
{
    return own->asked && own->profile->level_with_pin == CB_LEVEL_TERMINAL_PIN;
}

/* Plays a script; the answers replace those of before. */
static cb_error play_to(tap *own, cb_bytes encoded, cb_buf *answers)
{
    cb_script script;
    const cb_pins *pins = own->order->pins;
    cb_card_io io = {.card = own->readers, .transmit = transmit};
    if (pins && pins->form == CB_PIN_FORM_VERIFY)
        io.pin = cb_digits_bytes(&pins->secret);
    cb_buf_reset(answers);
    cb_error error = cb_script_read(encoded, CB_COMMAND_MAX, &script);
    if (!error && cb_script_wants_pin(&script) && !may_want_pin(own))
        error = CB_E_FORMAT;
    if (!error)
        error = cb_play(&io, &script, answers);
    if (error == CB_E_FORMAT)
        return cb_problem_set(own->problem, CB_E_PROTOCOL, "the broker sent no proper commands");
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

static cb_error play(tap *own)
{
    return play_to(own, cb_buf_bytes(&own->begun.script), &own->answers);
}

/* Whether the command that selects the application found none. */
static bool lacks_application(cb_bytes encoded)
{
    cb_script answers;
    if (cb_script_read(encoded, CB_ANSWER_MAX, &answers) || answers.count != 1)
        return false;
    uint16_t status = cb_answer_status(answers.item[0].apdu);
    return status != CB_SW_OK && status != CB_SW_TERMINATED;
}

static cb_error look_for(tap *own, const cb_card_profile *profile, bool *found)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script_put(&script, 0, profile->select);
    cb_error error = cb_buf_error(&script);
    if (!error)
        error = play_to(own, cb_buf_bytes(&script), &answers);
    *found = !error && !lacks_application(cb_buf_bytes(&answers));
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static cb_error begin(tap *own, const cb_card_profile *profile)
{
    own->profile = profile;
    cb_error error = cb_relay_begin(own->relay, profile, &own->begun, own->problem);
    return error ? error : play(own);
}

/* The first script. A card with none of the profiles' applications is the broker's to name. */
static cb_error play_first(tap *own, bool held)
{
    const cb_profile_order *order = own->order->profiles;
    bool found = false;
    cb_error error = held ? play(own) : begin(own, order->profile[0]);
    bool lacks = !error && lacks_application(cb_buf_bytes(&own->answers));
    for (size_t i = 1; lacks && !found && !error && i < order->count; i++) {
        error = look_for(own, order->profile[i], &found);
        if (found)
            error = begin(own, order->profile[i]);
    }
    return error;
}

/* Encrypts what was entered to the card. A card that did not open a channel gets none: the broker
 * says what is wrong with it. Nor does one that others issued, whatever key an answer shows. */
static cb_error encrypt_pin(tap *own, cb_buf *pin)
{
    cb_script answers;
    uint8_t point[CB_P256_POINT];
    const cb_pins *pins = own->order->pins;
    cb_error error = cb_script_read(cb_buf_bytes(&own->answers), CB_ANSWER_MAX, &answers);
    if (error || !pins || own->profile->recognise || cb_pin_card_key(&answers, point) != CB_OK)
        return error;
    error = cb_pin_encrypt((cb_pin_form)pins->form, cb_digits_bytes(&pins->secret),
                           cb_digits_bytes(&pins->fresh), point, pin);
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

static cb_error challenge(tap *own)
{
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_error error = encrypt_pin(own, &pin);
    if (!error) {
        cb_relay_question question = {.purpose = own->order->purpose,
                                      .service = own->order->service,
                                      .text = own->order->text,
                                      .pin = cb_buf_bytes(&pin)};
        error = cb_relay_challenge(own->relay, &own->begun, &question, cb_buf_bytes(&own->answers),
                                   own->problem);
    }
    cb_buf_free(&pin);
    return error;
}

static bool begun_anew_helps(cb_error error)
{
    return error == CB_E_TAP_EXPIRED || error == CB_E_TAP_UNKNOWN;
}

/* Up to the second script. */
static cb_error open_channel(tap *own, bool *prefetched)
{
    for (int attempt = 0;; attempt++) {
        bool held = attempt == 0 && cb_tap_fresh(&own->begun);
        *prefetched = held;
        cb_error error = play_first(own, held);
        if (!error)
            error = challenge(own);
        own->asked = !error;
        if (!held || !begun_anew_helps(error))
            return error;
    }
}

/* The card left in the middle of the second script. The broker would wait for the answers until the
 * tap expires; with those that there are it can end and record it now. What it says to that is no
 * news. */
static void report_removal(tap *own)
{
    json_t *result = NULL;
    cb_problem unheard;
    if (cb_relay_proof(own->relay, &own->begun, cb_buf_bytes(&own->answers), &result, &unheard) ==
        CB_OK)
        json_decref(result);
}

static cb_error run(tap *own, const char *reader, cb_tap_report *report)
{
    cb_error error = cb_card_take(own->readers, reader);
    if (error)
        return cb_problem_set(own->problem, error, NULL);
    error = open_channel(own, &report->prefetched);
    if (!error)
        error = play(own);
    cb_card_release(own->readers);
    if (!error)
        return cb_relay_proof(own->relay, &own->begun, cb_buf_bytes(&own->answers), &report->result,
                              own->problem);
    if (own->asked)
        report_removal(own);
    return error;
}

cb_error cb_tap_run(cb_relay *relay, cb_readers *readers, const char *reader, cb_relay_tap *first,
                    const cb_tap_order *order, cb_tap_report *report)
{
    int64_t started = cb_clock_monotonic_us();
    tap own = {.relay = relay,
               .readers = readers,
               .order = order,
               .profile = order->profiles->profile[0],
               .begun = *first,
               .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
               .problem = &report->problem};
    *report = (cb_tap_report){.problem = {.retry_after = -1, .tries_left = -1}};
    cb_relay_tap_init(first);
    cb_error error = run(&own, reader, report);
    if (!error)
        report->problem.error = CB_OK;
    else if (!report->problem.error)
        cb_problem_set(&report->problem, error, NULL);
    report->took = cb_clock_monotonic_us() - started;
    cb_relay_tap_free(&own.begun);
    cb_buf_free(&own.answers);
    return error;
}
