/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Commands about the terminal itself.
 */
#include "cardlink/terminal/commands_parts.h"

#include <unistd.h>

#include "base/code.h"
#include "base/secret.h"
#include "base/text.h"
#include "cardlink/terminal/certify.h"
#include "cardlink/terminal/ending.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/report.h"
#include "cardlink/terminal/ship.h"
#include "cardlink/terminal/suspend.h"

/* Says what went wrong: to people on standard error, to programs on standard output. */
cb_error cb_command_say(cb_command_context *context, const cb_problem *problem)
{
    if (context->output->json) {
        cb_output_event(context->output, "failed", NULL, "", problem);
    } else {
        fputs("cardlink: ", stderr);
        cb_problem_print(stderr, problem);
    }
    return problem->error;
}

cb_error cb_command_fail(cb_command_context *context, cb_error error, const char *more)
{
    cb_problem problem;
    cb_problem_set(&problem, error, more);
    return cb_command_say(context, &problem);
}

cb_error cb_command_done(cb_command_context *context, const char *event, const char *text)
{
    cb_output_event(context->output, event, NULL, text, NULL);
    return CB_OK;
}

static void print_identity(cb_command_context *context, const cb_identity *identity)
{
    char key[2 * CB_SHA256_SIZE + 1];
    char certificate[2 * CB_SHA256_SIZE + 1];
    cb_hex(cb_digest_bytes(&identity->key), key);
    cb_hex(cb_digest_bytes(&identity->certificate), certificate);
    const char *path = context->config->certificate;
    if (context->output->json) {
        cb_output_object(context->output,
                         json_pack("{s:s,s:s,s:s,s:s}", "event", "enrolled", "certificate", path,
                                   "key_sha256", key, "certificate_sha256", certificate));
        return;
    }
    printf(
        "Certificate: %s\n"
        "Fingerprint (SHA-256 of the certificate): %s\n"
        "Known to the broker as (SHA-256 of the key): %s\n"
        "Give the certificate to an administrator, and compare the fingerprint on another way.\n",
        path, certificate, key);
}

cb_error cb_command_enrol(cb_command_context *context)
{
    char host[CB_TERMINAL_NAME_MAX + 1] = "";
    cb_identity identity;
    const char *name = context->options->name;
    if (!name && gethostname(host, sizeof host - 1) == 0)
        name = host;
    cb_error error = cb_identity_make(name ? name : "", context->config->certificate,
                                      context->config->key, &identity);
    if (error == CB_E_EXISTS)
        return cb_command_fail(context, error,
                               "an identity is never overwritten: move its files away first");
    if (error)
        return cb_command_fail(context, error, context->config->key);
    cb_spool_remove(context->config->log); /* of another that was here before */
    print_identity(context, &identity);
    return CB_OK;
}

cb_error cb_command_activate(cb_command_context *context)
{
    char code[64], symbols[CB_CODE_SYMBOLS];
    cb_problem problem;
    const char *name = context->options->name;
    if (!name)
        return cb_command_fail(context, CB_E_ARGUMENT,
                               "--name: give the terminal's name, as it is registered");
    cb_error error = cb_line_ask("Activation code: ", context->options->pin_fd, code, sizeof code);
    if (error)
        return cb_command_fail(context, error,
                               error == CB_E_IO ? "no terminal to ask at; use --pin-fd" : NULL);
    error = cb_code_read(cb_bytes_str(code), symbols);
    if (error)
        cb_command_fail(context, error,
                        "the code is mistyped: its last character does not fit the others");
    else if ((error = cb_certify_activate(context->config, name, code, &problem)) != CB_OK)
        cb_command_say(context, &problem);
    else {
        cb_spool_remove(context->config->log); /* of another that was here before */
        cb_command_done(context, "activated", "this terminal is active");
    }
    cb_wipe(code, sizeof code);
    cb_wipe(symbols, sizeof symbols);
    return error;
}

/* Into the terminal's log; the agent brings it to the broker. */
void cb_command_note(cb_command_context *context, cb_journal_event event, const char *text)
{
    cb_spool *spool = NULL;
    cb_error error = cb_spool_open(context->config->log, &spool);
    if (!error)
        error = cb_spool_add(spool, event, text);
    if (error)
        cb_command_fail(context, error, context->config->log);
    cb_spool_close(&spool);
}

cb_error cb_command_open_log(cb_command_context *context, cb_spool **log)
{
    const cb_terminal_config *config = context->config;
    cb_problem unread;
    *log = NULL;
    if (!config->log[0])
        return CB_OK;
    cb_error error = cb_spool_open(config->log, log);
    if (!error)
        error = cb_spool_room(*log);
    if (error == CB_E_TERMINAL_LOG) { /* no agent has brought it, perhaps because none runs */
        cb_error shipped = cb_ship(config, *log, config->timeout, &unread);
        error = shipped == CB_E_TERMINAL_DISPOSED ? shipped : cb_spool_room(*log);
    }
    if (error)
        cb_spool_close(log);
    return error ? cb_command_fail(context, error, config->log) : CB_OK;
}

cb_error cb_command_begin(cb_command_context *context, const cb_id *tap, cb_spool *log)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    if (!log)
        return CB_OK;
    cb_journal_tap(tap, "", text);
    cb_error error = cb_spool_add(log, CB_JOURNAL_TAP_BEGUN, text);
    return error ? cb_command_fail(context, error, context->config->log) : CB_OK;
}

cb_error cb_command_end(cb_command_context *context, cb_spool **log, const cb_tap_report *report,
                        cb_error error)
{
    char text[CB_JOURNAL_TEXT_MAX + 1];
    if (!*log)
        return error;
    cb_journal_tap(&report->tap, cb_tap_code(report), text);
    cb_error noted = cb_spool_add(*log, CB_JOURNAL_TAP_ENDED, text);
    if (noted)
        cb_command_fail(context, noted, context->config->log);
    cb_spool_close(log);
    return error ? error : noted;
}

cb_error cb_command_renew(cb_command_context *context)
{
    cb_problem problem;
    cb_error error = cb_certify_renew(context->config, &problem);
    if (!error)
        cb_command_note(context, CB_JOURNAL_RENEWED, "");
    return error ? cb_command_say(context, &problem)
                 : cb_command_done(context, "renewed", "the terminal has a new key");
}

cb_error cb_command_suspend(cb_command_context *context)
{
    char words[192];
    cb_relay_suspended done = {.state = NULL};
    cb_problem problem;
    cb_error error = cb_suspend(context, &done, &problem);
    if (error)
        return cb_command_say(context, &problem);
    snprintf(words, sizeof words, "the card opens nothing any more: it is %s%s", done.state,
             done.code_withdrawn
                 ? "; the registration code for another in its place was withdrawn: "
                   "ask for a new one"
                 : "");
    if (!context->output->json || !done.code_withdrawn)
        return cb_command_done(context, "suspended", words);
    cb_output_object(context->output,
                     json_pack("{s:s,s:b}", "event", "suspended", "code_withdrawn", 1));
    return CB_OK;
}

cb_error cb_command_erase(cb_command_context *context)
{
    return cb_ending(context->config, CB_ENDING_ERASED, context->output);
}

cb_error cb_command_tamper(cb_command_context *context)
{
    return cb_ending(context->config, CB_ENDING_TAMPER, context->output);
}

cb_error cb_command_report(cb_command_context *context)
{
    cb_problem problem;
    if (cb_report(context->config, &problem) != CB_OK)
        return cb_command_say(context, &problem);
    return cb_command_done(context, "reported", "the broker has this terminal's log");
}
