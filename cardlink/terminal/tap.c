/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/tap.h"

#include "base/clock.h"
#include "cardlink/apdu.h"
#include "cardlink/terminal/application.h"
#include "cardlink/terminal/expiry.h"
#include "cardlink/terminal/play.h"
#include "cardlink/terminal/survey.h"

/* A first script is played at once or not at all: what it leaves must do for the card and the way
 * back. */
#define SPARE (5 * CB_SECOND)

/* For how long a proof is brought again whose answer did not come (or for as long as one answer may
 * take, where that is less), and the pauses in between. */
#define ASK_AGAIN_FOR (6 * CB_SECOND)
#define PAUSE_LEAST (50 * CB_MILLISECOND)
#define PAUSE_MOST CB_SECOND

enum { INS_CHANGE = 0x24, INS_UNBLOCK = 0x2C };

typedef struct tap {
    cb_relay *relay;
    cb_readers *readers;
    const cb_tap_order *order;
    const cb_card_profile *profile; /* whose script is played */
    bool challenging;               /* its answers were brought, or are */
    bool asked;                     /* it is the second one */
    bool over;                      /* its batch is, as far as can be seen here */
    bool pad;                       /* a PIN in the clear is typed on the reader's pad */
    bool gave_pin;                  /* the one that was typed went to the card in the clear */
    cb_id card;                     /* whom others' card showed first; zero: nobody yet */
    cb_application selected;
    cb_relay_tap *held; /* fetched in advance, and not used yet */
    cb_relay_tap begun;
    const cb_id
        *after; /* the tap in which the card was refused that is to be ended; otherwise NULL */
    cb_buf answers;
    cb_problem *problem;
} tap;

void cb_tap_report_free(cb_tap_report *report)
{
    json_decref(report->result);
    report->result = NULL;
}

const char *cb_tap_code(const cb_tap_report *report)
{
    return report->problem.error ? report->problem.code : "accepted";
}

bool cb_tap_fresh(const cb_relay_tap *first)
{
    return !cb_id_is_zero(&first->id) && first->expires - cb_clock_monotonic_us() > SPARE;
}

static bool is_held_for(const cb_relay_tap *first, const cb_card_profile *profile)
{
    return cb_tap_fresh(first) && first->profile == profile;
}

const cb_id *cb_tap_known(const cb_relay_tap *first, const cb_profile_order *profiles)
{
    static const cb_id none;
    return is_held_for(first, profiles->profile[0]) ? &first->id : &none;
}

/* Digits go to the card in the clear only where the card can take them in no other way, and once
 * the broker knows the card: whoever took over its front end could ask for those of a native card,
 * too, for somebody who listens at the reader. */
static bool may_want_pin(const tap *own)
{
    return own->asked && own->profile->level_with_pin == CB_LEVEL_TERMINAL_PIN;
}

/* Plays the script; the answers replace those of before. */
static cb_error play(tap *own)
{
    cb_buf *answers = &own->answers;
    cb_script script;
    const cb_pins *pins = own->order->pins;
    cb_card_io io = cb_card_io_of(own->readers, own->pad);
    if (pins && pins->form == CB_PIN_FORM_VERIFY)
        io.pin = cb_digits_bytes(&pins->secret);
    cb_application_spare(&own->selected, &io);
    cb_buf_reset(answers);
    cb_error error = cb_script_read(cb_buf_bytes(&own->begun.script), CB_COMMAND_MAX, &script);
    if (!error && cb_script_wants_pin(&script) && !may_want_pin(own))
        error = CB_E_FORMAT;
    if (!error && cb_script_wants_pin(&script) && !own->pad && own->order->pin_pad == CB_PAD_REQUIRE)
        error = CB_E_PIN_PAD;
    if (!error && cb_script_wants_pin(&script) && io.pin.len > 0)
        own->gave_pin = true;
    if (!error)
        error = cb_play(&io, &script, answers);
    cb_application_forget(&own->selected);
    if (error == CB_E_FORMAT)
        return cb_problem_set(own->problem, CB_E_PROTOCOL, "the broker sent no proper commands");
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

/* Whether the card has the application; one that is over has it. */
static cb_error look_for(tap *own, const cb_card_profile *profile, bool *found)
{
    uint16_t status = 0;
    const cb_card_io io = cb_card_io_of(own->readers, false);
    cb_error error = cb_application_select(&io, profile, &own->selected, &status);
    *found =
        !error && (status == CB_SW_OK || status == CB_SW_TERMINATED || status == CB_SW_EXPIRED);
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

static cb_error begin(tap *own, const cb_card_profile *profile)
{
    own->profile = profile;
    cb_error error = cb_relay_begin(own->relay, profile, &own->begun, own->problem);
    return error ? error : play(own);
}

static void take_held(tap *own)
{
    cb_relay_tap_free(&own->begun);
    own->begun = *own->held;
    cb_relay_tap_init(own->held);
}

/* With the script that is held, if it is for such cards. */
static cb_error begin_or_take(tap *own, const cb_card_profile *profile, bool *held)
{
    *held = is_held_for(own->held, profile);
    if (!*held)
        return begin(own, profile);
    own->profile = profile;
    take_held(own);
    return play(own);
}

/* The first script. A card with none of the profiles' applications is the broker's to name. One
 * that leaves before any tap was begun for it ends the one that is held, so that the broker hears
 * of it. */
static cb_error play_first(tap *own, bool *held)
{
    const cb_profile_order *order = own->order->profiles;
    const cb_card_profile *profile = order->profile[0];
    cb_error error = CB_OK;
    bool found = false;
    *held = false;
    for (size_t i = 0; i < order->count && !found && !error; i++) {
        error = look_for(own, order->profile[i], &found);
        if (found)
            profile = order->profile[i];
    }
    if (!error)
        return begin_or_take(own, profile, held);
    if (cb_id_is_zero(&own->begun.id) && cb_tap_fresh(own->held))
        take_held(own);
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

/* A PIN is typed once, and may be used for a tap, for its card's newer certificates, and for the
 * tap once more. Between these the card is let go: what lies there then is looked at before
 * anything else of it is asked, so that no other card is given the PIN. Of one that does not say
 * who it is nothing is known, and the broker knows none such. */
static cb_error look_who(tap *own)
{
    cb_script answers;
    cb_id card = {{0}};
    if (!own->profile->recognise ||
        cb_script_read(cb_buf_bytes(&own->answers), CB_ANSWER_MAX, &answers) ||
        own->profile->recognise(&answers, &card))
        card = (cb_id){{0}};
    if (cb_id_is_zero(&own->card))
        own->card = card;
    return cb_id_same(&own->card, &card)
               ? CB_OK
               : cb_problem_set(own->problem, CB_E_CARD_REMOVED, "another card lies there now");
}

static cb_error challenge(tap *own)
{
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_error error = look_who(own);
    if (!error)
        error = encrypt_pin(own, &pin);
    if (!error) {
        cb_relay_question question = {.purpose = own->order->purpose,
                                      .card = own->order->card,
                                      .service = own->order->service,
                                      .text = own->order->text,
                                      .pin = cb_buf_bytes(&pin),
                                      .pad = own->pad && own->profile->level_with_pin ==
                                                             CB_LEVEL_TERMINAL_PIN};
        error = cb_relay_challenge(own->relay, &own->begun, &question, cb_buf_bytes(&own->answers),
                                   own->problem);
    }
    cb_buf_free(&pin);
    return error;
}

/* Whether the connection failed, and nothing is known of what the broker did. */
static bool unheard(const cb_problem *problem, cb_error error)
{
    return problem->status == 0 && (error == CB_E_BROKER_DOWN || error == CB_E_TIMEOUT);
}

/* Why a tap ends that the broker does not know to have ended; NULL: it does, or cannot be told. */
static const char *reason_of(const cb_relay_tap *begun, const cb_problem *problem, cb_error error)
{
    if (problem->status != 0 || cb_id_is_zero(&begun->id))
        return NULL;
    switch (error) {
    case CB_E_CARD_REMOVED:
    case CB_E_CARD_ANSWER:
    case CB_E_BROKER_DOWN:
    case CB_E_PIN_REQUIRED:
    case CB_E_PIN_FORMAT:
    case CB_E_PIN_UNCERTAIN:
    case CB_E_PIN_CANCELLED:
        return cb_error_code(error);
    case CB_E_READER:
    case CB_E_READER_NONE:
    case CB_E_CARD_ABSENT:
        return cb_error_code(CB_E_READER);
    default:
        return NULL;
    }
}

/* The broker would wait for the answers until the tap expires: now it can end and record it. What
 * it says to that is no news, but that it is there. */
bool cb_tap_end_at_broker(cb_relay *relay, const cb_relay_tap *begun, const cb_problem *problem,
                          cb_error error)
{
    cb_problem unread = {.error = CB_OK};
    const char *reason = reason_of(begun, problem, error);
    if (reason)
        cb_relay_end(relay, begun, reason, &unread);
    return reason && (!unread.error || unread.status != 0);
}

static bool end_at_broker(tap *own, cb_error error)
{
    return cb_tap_end_at_broker(own->relay, &own->begun, own->problem, error);
}

/* Whether another tap with the card that still lies there would do: nothing was decided in this
 * one. */
static bool begun_anew_helps(tap *own, cb_error error, bool held)
{
    if (held && (error == CB_E_TAP_EXPIRED || error == CB_E_TAP_UNKNOWN))
        return true;
    return error == CB_E_BROKER_DOWN && own->challenging && end_at_broker(own, error);
}

/* A card that says that it is over is told so at once. One whose batch is goes to the broker all
 * the same: it may have to learn the date, or to be ended. */
static cb_error look_at_expiry(tap *own)
{
    cb_bytes answers = cb_buf_bytes(&own->answers);
    int64_t now = cb_expiry_time(cb_clock_wall_us(), own->begun.ahead);
    own->over = own->profile->id == CB_PROFILE_NATIVE && cb_card_expiry(answers, now) != CB_OK;
    return own->over && cb_card_expiry(answers, 0)
               ? cb_problem_set(own->problem, CB_E_CARD_EXPIRED, NULL)
               : CB_OK;
}

/* What the terminal can say by itself of a card that nobody could be asked about. */
static cb_error instead(const tap *own, cb_error error)
{
    return own->over && unheard(own->problem, error)
               ? cb_problem_set(own->problem, CB_E_CARD_EXPIRED, NULL)
               : error;
}

/* Up to the second script. */
static cb_error open_channel(tap *own, bool *prefetched)
{
    for (int attempt = 0;; attempt++) {
        bool held = false;
        own->challenging = false;
        cb_error error = play_first(own, &held);
        *prefetched = held;
        if (!error)
            error = look_at_expiry(own);
        own->challenging = !error;
        if (!error)
            error = challenge(own);
        own->asked = !error;
        if (attempt > 0 || !begun_anew_helps(own, error, held))
            return instead(own, error);
        own->begun.id = (cb_id){{0}};
    }
}

/* Whether the card may have set a PIN: the command that does it was sent, if not answered. */
static bool pin_may_be_set(const tap *own)
{
    cb_script script, answers = {.count = 0};
    if (!own->asked || own->order->purpose == CB_TAP_AUTHENTICATE ||
        cb_script_read(cb_buf_bytes(&own->begun.script), CB_COMMAND_MAX, &script))
        return false;
    if (cb_script_read(cb_buf_bytes(&own->answers), CB_ANSWER_MAX, &answers))
        answers.count = 0;
    for (size_t i = 0; i < script.count && i <= answers.count; i++) {
        cb_apdu apdu;
        if (cb_apdu_read(script.item[i].apdu, &apdu) == CB_OK &&
            (apdu.ins == INS_CHANGE || apdu.ins == INS_UNBLOCK))
            return true;
    }
    return false;
}

/* A card or a broker that refuses has said what became of the PIN; whatever else ends the tap
 * leaves it open. */
static cb_error about_pin(tap *own, cb_error error)
{
    bool said = own->problem->status != 0 && cb_error_class_of(error) == CB_CLASS_CARD;
    if (!error || said || !pin_may_be_set(own))
        return error;
    return cb_problem_set(own->problem, CB_E_PIN_UNCERTAIN, cb_error_code(error));
}

/* Brings the proof until its answer has come. */
cb_error cb_tap_bring(cb_relay *relay, const cb_relay_tap *begun, cb_bytes answers,
                      cb_relay_bringer bring, json_t **result, cb_problem *problem)
{
    int64_t until = 0;
    int64_t pause = PAUSE_LEAST;
    int64_t limit = cb_relay_timeout(relay);
    int64_t patience = limit < ASK_AGAIN_FOR ? limit : ASK_AGAIN_FOR;
    for (;;) {
        cb_error error = bring(relay, begun, answers, result, problem);
        bool gone = error == CB_E_TAP_UNKNOWN || error == CB_E_TAP_EXPIRED;
        if (until != 0 && gone)
            break;
        if (!unheard(problem, error) && error != CB_E_TAP_UNDER_WAY)
            return error;
        if (until == 0)
            until = cb_deadline_in(patience);
        int64_t left = cb_deadline_left_ms(until) * CB_MILLISECOND;
        if (left == 0)
            break;
        cb_pause(pause < left ? pause : left);
        pause = 2 * pause < PAUSE_MOST ? 2 * pause : PAUSE_MOST;
    }
    return cb_problem_set(problem, CB_E_TAP_UNHEARD, NULL);
}

static cb_error prove(tap *own, json_t **result)
{
    return cb_tap_bring(own->relay, &own->begun, cb_buf_bytes(&own->answers), cb_relay_proof,
                        result, own->problem);
}

static cb_error run(tap *own, const char *reader, cb_tap_report *report)
{
    cb_error error = cb_card_take(own->readers, reader);
    if (error)
        return cb_problem_set(own->problem, error, NULL);
    bool typed = own->order->pins && own->order->pins->form != CB_PIN_FORM_NONE;
    own->pad =
        own->order->pin_pad != CB_PAD_NEVER && !typed && cb_card_has_pad(own->readers);
    error = open_channel(own, &report->prefetched);
    if (!error)
        error = play(own);
    cb_card_release(own->readers);
    cb_application_forget(&own->selected);
    if (!error)
        return about_pin(own, prove(own, &report->result));
    error = about_pin(own, error);
    end_at_broker(own, error);
    return error;
}

static cb_error bring_last_word(cb_relay *relay, const cb_relay_tap *begun, cb_bytes answers,
                                json_t **unused, cb_problem *problem)
{
    (void)unused;
    return cb_relay_card_ended(relay, begun, answers, problem);
}

/* The broker's command to a card that is revoked; the card, the broker and this terminal may each
 * have none of it. */
static cb_error end_card(tap *own, const char *reader)
{
    cb_relay_question question = {
        .purpose = CB_TAP_CARD_END, .after = own->after, .service = "", .text = ""};
    json_t *unused = NULL;
    cb_error error = cb_card_take(own->readers, reader);
    if (error)
        return error;
    error = begin(own, own->profile);
    if (!error)
        error = cb_relay_challenge(own->relay, &own->begun, &question, cb_buf_bytes(&own->answers),
                                   own->problem);
    own->asked = !error;
    if (!error)
        error = play(own);
    cb_card_release(own->readers);
    if (!error) /* the card's last word, which it does not say again */
        return cb_tap_bring(own->relay, &own->begun, cb_buf_bytes(&own->answers),
                            bring_last_word, &unused, own->problem);
    end_at_broker(own, error);
    return error;
}

/* Whether the card of a tap that was refused was ended. */
static bool ended(const tap *refused, const char *reader)
{
    cb_problem unread = {.error = CB_OK};
    tap own = {.relay = refused->relay,
               .readers = refused->readers,
               .order = refused->order,
               .profile = refused->profile,
               .after = &refused->begun.id,
               .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
               .problem = &unread};
    cb_application_init(&own.selected);
    if (refused->problem->error != CB_E_CARD_REVOKED || !refused->problem->may_end)
        return false;
    cb_relay_tap_init(&own.begun);
    cb_error error = end_card(&own, reader);
    cb_relay_tap_free(&own.begun);
    cb_application_forget(&own.selected);
    cb_buf_free(&own.answers);
    return !error;
}

/* The certificates that the card has now; its first answers are there. */
static cb_error show_certificates(tap *own)
{
    cb_survey_keys keys;
    const cb_card_io io = cb_card_io_of(own->readers, false);
    cb_foreign_reading reading = {.profile = own->profile->id,
                                  .answers = cb_buf_bytes(&own->answers)};
    cb_survey_keys_init(&keys);
    cb_error error = cb_survey_read(&io, own->profile, reading.answers, &keys);
    if (error)
        cb_problem_set(own->problem, error, NULL);
    for (size_t i = 0; i < keys.count; i++) {
        reading.key[i].use = keys.key[i].use;
        reading.key[i].certificate = cb_buf_bytes(&keys.key[i].der);
    }
    reading.keys = keys.count;
    if (!error)
        error = cb_relay_renewal(own->relay, &own->begun, &reading, own->problem);
    cb_survey_keys_free(&keys);
    return error;
}

static cb_error renew(tap *own, const char *reader)
{
    json_t *result = NULL;
    cb_error error = cb_card_take(own->readers, reader);
    if (error)
        return cb_problem_set(own->problem, error, NULL);
    error = begin(own, own->profile);
    if (!error)
        error = look_who(own);
    if (!error)
        error = show_certificates(own);
    own->asked = !error;
    if (!error)
        error = play(own);
    cb_card_release(own->readers);
    if (error)
        end_at_broker(own, error);
    else
        error = cb_tap_bring(own->relay, &own->begun, cb_buf_bytes(&own->answers), cb_relay_renewed,
                             &result, own->problem);
    json_decref(result);
    return error;
}

/* What the holder has to know of, for his PIN is used for it, or is missing, or because it broke
 * off and the same again may do. */
static bool is_of_holder(cb_error error)
{
    switch (error) {
    case CB_E_PIN_WRONG:
    case CB_E_PIN_BLOCKED:
    case CB_E_PIN_REQUIRED:
    case CB_E_PIN_PAD:
    case CB_E_PIN_CANCELLED:
    case CB_E_CARD_REMOVED:
    case CB_E_CARD_ABSENT:
    case CB_E_READER:
    case CB_E_BROKER_DOWN:
    case CB_E_TIMEOUT:
    case CB_E_TAP_UNHEARD:
        return true;
    default:
        return false;
    }
}

/* Whether the card of a tap that was refused, or was accepted by certificates that are soon over,
 * has newer ones, which count from now on. */
static bool renewed(const tap *refused, const char *reader)
{
    cb_problem own_problem = {.retry_after = -1, .tries_left = -1};
    tap own = {.relay = refused->relay,
               .readers = refused->readers,
               .order = refused->order,
               .profile = refused->profile,
               .pad = refused->pad,
               .card = refused->card,
               .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
               .problem = &own_problem};
    if (refused->profile->certificates == 0 || cb_id_is_zero(&refused->card))
        return false;
    cb_application_init(&own.selected);
    cb_relay_tap_init(&own.begun);
    cb_error error = renew(&own, reader);
    if (is_of_holder(error) && refused->problem->may_renew)
        *refused->problem = own_problem;
    cb_relay_tap_free(&own.begun);
    cb_buf_free(&own.answers);
    return !error;
}

/* The tap once more, from its beginning. */
static cb_error run_again(tap *own, const char *reader, cb_tap_report *report)
{
    cb_relay_tap_free(&own->begun);
    cb_relay_tap_init(&own->begun);
    own->asked = own->over = own->challenging = own->gave_pin = false;
    *own->problem = (cb_problem){.retry_after = -1, .tries_left = -1};
    report->renewed = true;
    return run(own, reader, report);
}

cb_error cb_tap_run(cb_relay *relay, cb_readers *readers, const char *reader, cb_relay_tap *first,
                    const cb_tap_order *order, cb_tap_report *report)
{
    int64_t started = cb_clock_monotonic_us();
    tap own = {.relay = relay,
               .readers = readers,
               .order = order,
               .profile = order->profiles->profile[0],
               .held = first,
               .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
               .problem = &report->problem};
    *report = (cb_tap_report){.problem = {.retry_after = -1, .tries_left = -1}};
    cb_application_init(&own.selected);
    cb_relay_tap_init(&own.begun);
    cb_error error = run(&own, reader, report);
    if (error && report->problem.may_renew)
        error = renewed(&own, reader) ? run_again(&own, reader, report) : report->problem.error;
    else if (!error && json_is_true(json_object_get(report->result, "may_renew")))
        report->renewable = own.profile, report->card = own.card;
    report->gave_pin = own.gave_pin;
    if (!error)
        report->problem.error = CB_OK;
    else if (!report->problem.error)
        cb_problem_set(&report->problem, error, NULL);
    report->tap = own.begun.id;
    report->card_ended = error && ended(&own, reader);
    report->took = cb_clock_monotonic_us() - started;
    cb_relay_tap_free(&own.begun);
    cb_application_forget(&own.selected);
    cb_buf_free(&own.answers);
    return error;
}

bool cb_tap_renew_early(cb_relay *relay, cb_readers *readers, const char *reader,
                        const cb_tap_order *order, const cb_tap_report *report)
{
    cb_tap_order again = *order;
    cb_problem unread = {.error = CB_OK};
    const tap accepted = {.relay = relay,
                          .readers = readers,
                          .order = &again,
                          .profile = report->renewable,
                          .card = report->card,
                          .problem = &unread};
    if (!report->gave_pin)
        again.pins = NULL;
    return report->renewable && renewed(&accepted, reader);
}
