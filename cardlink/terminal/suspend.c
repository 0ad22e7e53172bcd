/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/suspend.h"

#include "base/code.h"
#include "base/secret.h"
#include "cardlink/terminal/pin_entry.h"

/* A question that was lost may have been heard. */
static void say_what_holds(cb_problem *problem)
{
    static const char more[] = " Until this says that the card is suspended, it is not certain "
                               "that it is: say the same code again, or call.";
    if (problem->error != CB_E_BROKER_DOWN && problem->error != CB_E_TIMEOUT)
        return;
    if (strlen(problem->detail) + sizeof more > sizeof problem->detail)
        cb_problem_set(problem, problem->error, NULL); /* without what the network said */
    size_t used = strlen(problem->detail);
    cb_plain(&problem->detail[used], sizeof problem->detail - used, more);
}

/* Without the terminal's own certificate: the broker takes the code from anybody. */
static cb_error say_to_broker(const cb_terminal_config *config, const char *code,
                              cb_relay_suspended *out, cb_problem *problem)
{
    cb_relay_settings settings = {
        .broker = config->broker, .ca = config->ca, .timeout = config->timeout};
    cb_relay *relay = NULL;
    cb_error error = cb_relay_open(&settings, &relay);
    if (error)
        cb_problem_set(problem, error, NULL);
    else
        error = cb_relay_suspend(relay, code, out, problem);
    cb_relay_close(&relay);
    if (error)
        say_what_holds(problem);
    return error;
}

cb_error cb_suspend(const cb_command_context *context, cb_relay_suspended *out, cb_problem *problem)
{
    char code[64], symbols[CB_CODE_SYMBOLS];
    cb_error error =
        cb_line_ask("Suspension code: ", context->options->pin_fd, code, sizeof code);
    if (error)
        return cb_problem_set(problem, error,
                              error == CB_E_IO ? "no terminal to ask at; use --pin-fd" : NULL);
    error = cb_code_read(cb_bytes_str(code), symbols);
    if (error)
        cb_problem_set(problem, error,
                       "the code is mistyped: its last character does not fit the others");
    else
        error = say_to_broker(context->config, code, out, problem);
    cb_wipe(code, sizeof code);
    cb_wipe(symbols, sizeof symbols);
    return error;
}
