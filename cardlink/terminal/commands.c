/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/commands_parts.h"

#include "base/code.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/password/password.h"
#include "cardlink/terminal/agent.h"
#include "cardlink/terminal/login.h"
#include "cardlink/terminal/survey.h"

enum { REASON_MAX = 32 };

static cb_error run_readers(cb_command_context *context)
{
    cb_readers *readers = NULL;
    cb_reader_list list;
    cb_error error = cb_command_open_readers(context, &readers);
    if (!error)
        error = cb_readers_list(readers, &list);
    if (error)
        cb_command_fail(context, error, NULL);
    else
        cb_output_readers(context->output, &list);
    cb_readers_close(&readers);
    return error;
}

static cb_error run_services(cb_command_context *context)
{
    cb_relay *relay = NULL;
    cb_problem problem;
    json_t *services = NULL;
    cb_error error = cb_command_open_relay(context, &relay);
    if (error)
        return cb_command_fail(context, error, NULL);
    error = cb_relay_services(relay, &services, &problem);
    if (error)
        cb_command_say(context, &problem);
    else
        cb_output_services(context->output, services);
    json_decref(services);
    cb_relay_close(&relay);
    return error;
}

/* ---- one tap ---- */

static cb_error run_tap(cb_command_context *context)
{
    const cb_options *options = context->options;
    const char *reader = options->reader ? options->reader : "";
    cb_reader_use use = cb_terminal_config_reader(context->config, reader);
    cb_tap_order order = {.purpose = CB_TAP_AUTHENTICATE,
                          .service = options->service ? options->service : use.service,
                          .text = options->text ? options->text : use.text};
    if (!cb_service_name_ok(order.service))
        return cb_command_fail(context, CB_E_ARGUMENT, "--service: name one; cardlink services lists them");
    if (strlen(order.text) > CB_RELAY_TEXT_MAX)
        return cb_command_fail(context, CB_E_ARGUMENT, "--text: too long");
    return cb_command_tap(context, &order, options->pin ? CB_PIN_FORM_VERIFY : CB_PIN_FORM_NONE);
}

/* ---- maintenance ---- */

/* As the record takes it. */
static bool is_reason(const char *text)
{
    size_t len = strlen(text);
    return len <= REASON_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static cb_error maintain(cb_command_context *context, uint8_t purpose, cb_journal_event event)
{
    const char *reason = context->options->reason ? context->options->reason : "";
    cb_tap_order order = {.purpose = purpose, .service = "", .text = reason};
    bool pad = context->config->pin_pad == CB_PAD_REQUIRE;
    if (!is_reason(reason))
        return cb_command_fail(context, CB_E_ARGUMENT,
                               "--reason: a word of at most 32 characters: a to z, digits, . _ -");
    cb_error error = cb_command_tap(context, &order, pad ? CB_PIN_FORM_NONE : CB_PIN_FORM_VERIFY);
    if (!error)
        cb_command_note(context, event, reason);
    return error;
}

static cb_error run_maintain_begin(cb_command_context *context)
{
    return maintain(context, CB_TAP_MAINTENANCE, CB_JOURNAL_MAINTENANCE);
}

static cb_error run_maintain_end(cb_command_context *context)
{
    return maintain(context, CB_TAP_MAINTENANCE_END, CB_JOURNAL_MAINTAINED);
}

/* ---- registration ---- */

/* Code and PIN are asked for first, and the code is not kept as it was typed. */
static cb_error run_register(cb_command_context *context)
{
    char code[64];
    cb_pins pins = {.form = CB_PIN_FORM_NONE};
    cb_registering_order order = {.pin_pad = context->config->pin_pad};
    const cb_options *options = context->options;
    if (options->pin && order.pin_pad == CB_PAD_REQUIRE)
        return cb_command_fail(context, CB_E_PIN_PAD, "pin_pad: no PIN is typed on this computer");
    cb_error error = cb_line_ask("Registration code: ", options->code_fd, code, sizeof code);
    if (error)
        return cb_command_fail(context, error,
                               error == CB_E_IO ? "no terminal to ask at; use --code-fd" : NULL);
    error = cb_code_read(cb_bytes_str(code), order.symbols);
    cb_wipe(code, sizeof code);
    if (error)
        cb_command_fail(context, error,
                        "the code is mistyped: its last character does not fit the others");
    if (!error && options->pin) {
        order.pins = &pins;
        error = cb_pins_ask(&pins, CB_PIN_FORM_VERIFY, options->pin_fd);
        if (error)
            cb_command_fail(context, error,
                            error == CB_E_IO ? "no terminal to ask at; use --pin-fd" : NULL);
    }
    if (!error)
        error = cb_command_register(context, &order);
    cb_pins_wipe(&pins);
    cb_wipe(&order, sizeof order);
    return error;
}

/* To log in, or to change the password. */
static cb_error log_in(cb_command_context *context, const cb_login_order *order)
{
    static const cb_id none;
    cb_relay *relay = NULL;
    cb_spool *log = NULL;
    cb_tap_report report = {.result = NULL};
    cb_error error = cb_command_open_log(context, &log);
    if (error)
        return error;
    error = cb_command_open_relay(context, &relay);
    if (error) {
        cb_command_fail(context, error, NULL);
    } else if ((error = cb_command_begin(context, &none, log)) == CB_OK) {
        error = cb_login_run(relay, order, &report);
        cb_error stored = cb_output_tap(context->output, "password", &report);
        error = cb_command_end(context, &log, &report, error ? error : stored);
    }
    cb_spool_close(&log);
    cb_tap_report_free(&report);
    cb_relay_close(&relay);
    return error;
}

static cb_error run_login(cb_command_context *context)
{
    const cb_options *options = context->options;
    char name[CB_PASSWORD_NAME_MAX + 1];
    cb_password_line line;
    cb_login_order order = {.name = name,
                            .service =
                                options->service ? options->service : context->config->service,
                            .text = options->text ? options->text : context->config->text};
    if (!options->name || cb_password_name(options->name, name))
        return cb_command_fail(context, CB_E_ARGUMENT, "--name: give the login name");
    if (!cb_service_name_ok(order.service))
        return cb_command_fail(context, CB_E_ARGUMENT, "--service: name one; cardlink services lists them");
    if (strlen(order.text) > CB_RELAY_TEXT_MAX)
        return cb_command_fail(context, CB_E_ARGUMENT, "--text: too long");
    cb_error error = cb_password_ask(&line, options->password_fd);
    if (error)
        return cb_command_fail(context, error,
                    error == CB_E_IO ? "no terminal to ask at; use --password-fd" : NULL);
    order.password = cb_bytes_make(line.bytes, line.len);
    error = log_in(context, &order);
    cb_wipe(&line, sizeof line);
    return error;
}

static cb_error run_password_change(cb_command_context *context)
{
    char name[CB_PASSWORD_NAME_MAX + 1];
    cb_password_line now, next;
    cb_login_order order = {.name = name, .service = "", .text = ""};
    if (!context->options->name || cb_password_name(context->options->name, name))
        return cb_command_fail(context, CB_E_ARGUMENT, "--name: give the login name");
    cb_error error = cb_password_change_ask(&now, &next, context->options->password_fd);
    if (error)
        return cb_command_fail(context, error,
                               error == CB_E_IO ? "no terminal to ask at; use --password-fd" : NULL);
    order.password = cb_bytes_make(now.bytes, now.len);
    order.next = cb_bytes_make(next.bytes, next.len);
    error = cb_password_fit(order.next, name);
    error = error ? cb_command_fail(context, error, NULL) : log_in(context, &order);
    cb_wipe(&now, sizeof now);
    cb_wipe(&next, sizeof next);
    return error;
}

static cb_error run_pin_change(cb_command_context *context)
{
    cb_tap_order order = {.purpose = CB_TAP_PIN_CHANGE, .service = "", .text = ""};
    return cb_command_tap(context, &order, CB_PIN_FORM_CHANGE);
}

static cb_error run_pin_unblock(cb_command_context *context)
{
    cb_tap_order order = {.purpose = CB_TAP_PIN_UNBLOCK, .service = "", .text = ""};
    return cb_command_tap(context, &order, CB_PIN_FORM_UNBLOCK);
}

static cb_error run_pin_reset(cb_command_context *context)
{
    cb_id card;
    const char *text = context->options->card;
    cb_tap_order order = {.purpose = CB_TAP_PIN_RESET, .service = "", .text = "", .card = &card};
    if (!text || cb_id_parse(text, &card))
        return cb_command_fail(context, CB_E_ARGUMENT,
                    "--card: give the card's identifier, as the administrator has it");
    return cb_command_tap(context, &order, CB_PIN_FORM_RESET);
}

/* ---- the rest ---- */

static cb_error run_agent(cb_command_context *context)
{
    const cb_options *options = context->options;
    cb_agent_order order = {.config = context->config,
                            .service = options->service,
                            .text = options->text,
                            .reader = options->reader,
                            .output = context->output,
                            .stop = context->stop};
    if (options->service && !cb_service_name_ok(options->service))
        return cb_command_fail(context, CB_E_ARGUMENT, "--service: no such name");
    cb_error error = cb_agent_run(&order);
    return error ? cb_command_fail(context, error, NULL) : CB_OK;
}

static cb_error read_card(cb_command_context *context, cb_readers *readers,
                          const cb_command_card *card)
{
    json_t *found = NULL;
    cb_card_io io = cb_card_io_of(readers, false);
    cb_error error = cb_card_take(readers, card->reader);
    if (error)
        return cb_command_fail(context, error, NULL);
    error = cb_survey(&io, &card->profiles, &found);
    cb_card_release(readers);
    if (error)
        return cb_command_fail(context, error, NULL);
    cb_output_object(context->output, found);
    return CB_OK;
}

static cb_error run_read(cb_command_context *context)
{
    cb_command_card card;
    cb_problem problem;
    cb_readers *readers = NULL;
    cb_error error = cb_command_open_readers(context, &readers);
    if (error)
        cb_command_fail(context, error, NULL);
    else if ((error = cb_command_wait(context, readers, NULL, NULL, &card, &problem)) != CB_OK)
        cb_command_say(context, &problem);
    else if (context->options->signature)
        error = cb_command_read_signer(context, readers, card.reader);
    else
        error = read_card(context, readers, &card);
    cb_readers_close(&readers);
    return error;
}

const cb_command *cb_command_find(const char *const words[2])
{
    static const cb_command commands[] = {
        {{"readers", NULL}, run_readers, false},
        {{"services", NULL}, run_services, true},
        {{"tap", NULL}, run_tap, true},
        {{"login", NULL}, run_login, true},
        {{"agent", NULL}, run_agent, true},
        {{"password", "change"}, run_password_change, true},
        {{"pin", "change"}, run_pin_change, true},
        {{"pin", "unblock"}, run_pin_unblock, true},
        {{"pin", "reset"}, run_pin_reset, true},
        {{"register", NULL}, run_register, true},
        {{"maintain", "begin"}, run_maintain_begin, true},
        {{"maintain", "end"}, run_maintain_end, true},
        {{"read", NULL}, run_read, false},
        {{"enrol", NULL}, cb_command_enrol, false},
        {{"activate", NULL}, cb_command_activate, false},
        {{"suspend", NULL}, cb_command_suspend, false},
        {{"renew", NULL}, cb_command_renew, true},
        {{"erase", NULL}, cb_command_erase, false},
        {{"tamper", NULL}, cb_command_tamper, false},
        {{"report", NULL}, cb_command_report, true},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *second = commands[i].words[1];
        if (strcmp(commands[i].words[0], words[0]) == 0 && !second == !words[1] &&
            (!second || strcmp(second, words[1]) == 0))
            return &commands[i];
    }
    return NULL;
}
