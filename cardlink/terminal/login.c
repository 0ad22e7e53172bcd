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

static cb_error play(cb_soft_password *soft, const cb_relay_tap *tap, cb_buf *answers,
                     cb_problem *problem)
{
    cb_script script;
    const cb_card_io io = {.card = soft, .transmit = cb_soft_password_transmit};
    soft->context.tap = tap->id;
    cb_buf_reset(answers);
    cb_error error = cb_script_read(cb_buf_bytes(&tap->script), CB_COMMAND_MAX, &script);
    if (!error && cb_script_wants_pin(&script))
        error = CB_E_FORMAT;
    if (!error)
        error = cb_play(&io, &script, answers);
    if (error == CB_E_FORMAT)
        return cb_problem_set(problem, CB_E_PROTOCOL, "the broker sent no proper commands");
    return error ? cb_problem_set(problem, error, NULL) : CB_OK;
}

static cb_error run(cb_relay *relay, const cb_login_order *order, cb_relay_tap *tap,
                    cb_buf *answers, cb_tap_report *report)
{
    cb_soft_password soft;
    cb_problem *problem = &report->problem;
    const cb_relay_question question = {
        .purpose = purpose_of(order), .service = order->service, .text = order->text};
    describe(order, &soft);
    cb_error error = cb_relay_begin(relay, &cb_profile_password, tap, problem);
    if (!error)
        error = play(&soft, tap, answers, problem);
    if (!error)
        error = cb_relay_challenge(relay, tap, &question, cb_buf_bytes(answers), problem);
    if (!error)
        error = play(&soft, tap, answers, problem);
    return error ? error
                 : cb_relay_proof(relay, tap, cb_buf_bytes(answers), &report->result, problem);
}

cb_error cb_login_run(cb_relay *relay, const cb_login_order *order, cb_tap_report *report)
{
    int64_t started = cb_clock_monotonic_us();
    cb_relay_tap tap;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    *report = (cb_tap_report){.problem = {.retry_after = -1, .tries_left = -1}};
    cb_relay_tap_init(&tap);
    cb_error error = run(relay, order, &tap, &answers, report);
    if (!error)
        report->problem.error = CB_OK;
    else if (!report->problem.error)
        cb_problem_set(&report->problem, error, NULL);
    report->took = cb_clock_monotonic_us() - started;
    cb_relay_tap_free(&tap);
    cb_buf_free(&answers);
    return error;
}
