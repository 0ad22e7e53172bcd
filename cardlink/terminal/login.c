/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/login.h"

#include "base/clock.h"
#include "cardlink/password/password.h"
#include "cardlink/terminal/play.h"

static uint8_t purpose_of(const cb_login_order *order)
{
    return order->next.len > 0 ? CB_TAP_PASSWORD_CHANGE : CB_TAP_AUTHENTICATE;
}

static void describe(const cb_login_order *order, cb_soft_password *soft)
{
    size_t len = strlen(order->service);
    *soft = (cb_soft_password){
        .id = cb_password_id(order->name),
        .password = order->password,
        .next = order->next,
        .context = {.profile = CB_PROFILE_PASSWORD, .purpose = purpose_of(order)}};
    if (len <= CB_SERVICE_NAME_MAX)
        memcpy(soft->context.service, order->service, len);
    if (order->text[0])
        soft->context.text = cb_sha256(cb_bytes_str(order->text));
}

typedef struct login {
    cb_relay *relay;
    const cb_login_order *order;
    cb_soft_password soft;
    cb_relay_tap begun;
    cb_id last; /* that was begun, for the report, whatever became of it */
    cb_buf answers;
    cb_problem *problem;
} login;

static cb_error play(login *own)
{
    cb_script script;
    const cb_card_io io = {.card = &own->soft, .transmit = cb_soft_password_transmit};
    own->soft.context.tap = own->begun.id;
    cb_buf_reset(&own->answers);
    cb_error error = cb_script_read(cb_buf_bytes(&own->begun.script), CB_COMMAND_MAX, &script);
    if (!error && cb_script_wants_pin(&script))
        error = CB_E_FORMAT;
    if (!error)
        error = cb_play(&io, &script, &own->answers);
    if (error == CB_E_FORMAT)
        return cb_problem_set(own->problem, CB_E_PROTOCOL, "the broker sent no proper commands");
    return error ? cb_problem_set(own->problem, error, NULL) : CB_OK;
}

static bool end_at_broker(login *own, cb_error error)
{
    return cb_tap_end_at_broker(own->relay, &own->begun, own->problem, error);
}

/* Up to the second script. Until then nothing was looked at or counted: a tap whose challenge got
 * no answer is ended, and another begun, once. */
static cb_error open_tap(login *own)
{
    const cb_relay_question question = {.purpose = purpose_of(own->order),
                                        .service = own->order->service,
                                        .text = own->order->text};
    for (int attempt = 0;; attempt++) {
        cb_error error =
            cb_relay_begin(own->relay, &cb_profile_password, &own->begun, own->problem);
        if (!error) {
            own->last = own->begun.id;
            error = play(own);
        }
        bool challenging = !error;
        if (!error)
            error = cb_relay_challenge(own->relay, &own->begun, &question,
                                       cb_buf_bytes(&own->answers), own->problem);
        if (attempt > 0 || !challenging || error != CB_E_BROKER_DOWN)
            return error;
        bool ended = end_at_broker(own, error);
        own->begun.id = (cb_id){{0}};
        if (!ended)
            return error;
    }
}

/* One of the two passwords is the holder's, and the broker takes either until the new one was used
 * (decision 28). */
static cb_error about_change(const login *own, cb_error error)
{
    if (error != CB_E_TAP_UNHEARD || purpose_of(own->order) != CB_TAP_PASSWORD_CHANGE)
        return error;
    return cb_problem_set(own->problem, CB_E_PASSWORD_UNCERTAIN, cb_error_code(error));
}

static cb_error run(login *own, json_t **result)
{
    cb_error error = open_tap(own);
    if (!error)
        error = play(own);
    if (!error)
        return about_change(own, cb_tap_bring(own->relay, &own->begun, cb_buf_bytes(&own->answers),
                                              cb_relay_proof, result, own->problem));
    end_at_broker(own, error);
    return error;
}

cb_error cb_login_run(cb_relay *relay, const cb_login_order *order, cb_tap_report *report)
{
    int64_t started = cb_clock_monotonic_us();
    login own = {.relay = relay,
                 .order = order,
                 .answers = CB_BUF(CB_SCRIPT_BYTES_MAX),
                 .problem = &report->problem};
    *report = (cb_tap_report){.problem = {.retry_after = -1, .tries_left = -1}};
    describe(order, &own.soft);
    cb_relay_tap_init(&own.begun);
    cb_error error = run(&own, &report->result);
    if (!error)
        report->problem.error = CB_OK;
    else if (!report->problem.error)
        cb_problem_set(&report->problem, error, NULL);
    report->tap = own.last;
    report->took = cb_clock_monotonic_us() - started;
    cb_relay_tap_free(&own.begun);
    cb_buf_free(&own.answers);
    return error;
}
