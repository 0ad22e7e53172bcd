/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Waiting for a card, and what is done with it.
 */
#include <unistd.h>

#include "base/clock.h"
#include "cardlink/terminal/commands_parts.h"
#include "cardlink/terminal/tap.h"

#define SLICE (CB_SECOND / 2)

cb_error cb_command_open_readers(const cb_command_context *context, cb_readers **out)
{
    const cb_terminal_config *config = context->config;
    return cb_readers_open(config->kind, config->place, config->card_timeout, out);
}

static cb_error open_relay_for(const cb_command_context *context, bool maintenance, cb_relay **out)
{
    const cb_terminal_config *config = context->config;
    cb_relay_settings settings = {.broker = config->broker,
                                  .ca = config->ca,
                                  .certificate = config->certificate,
                                  .key = config->key,
                                  .timeout = config->timeout,
                                  .maintenance = maintenance};
    return cb_relay_open(&settings, out);
}

cb_error cb_command_open_relay(const cb_command_context *context, cb_relay **out)
{
    return open_relay_for(context, false, out);
}

static const cb_reader_info *find_card(const cb_reader_list *list, const char *wanted)
{
    for (size_t i = 0; i < list->count; i++) {
        const cb_reader_info *info = &list->reader[i];
        if (info->present && (!wanted || strcmp(wanted, info->name) == 0))
            return info;
    }
    return NULL;
}

/* While nobody has come, the script that is held must not grow old. A broker that cannot be reached
 * is reported at once: there is no point in waiting for a card then. */
static cb_error keep_fresh(cb_command_context *context, cb_relay *relay,
                           const cb_profile_order *profiles, cb_relay_tap *first,
                           cb_problem *problem)
{
    if (!relay || !context->config->prefetch || cb_tap_fresh(first))
        return CB_OK;
    return cb_relay_begin(relay, profiles->profile[0], first, problem);
}

cb_error cb_command_wait(cb_command_context *context, cb_readers *readers, cb_relay *relay,
                         cb_relay_tap *first, cb_command_card *card, cb_problem *problem)
{
    const cb_terminal_config *config = context->config;
    const char *wanted = context->options->reader;
    int64_t deadline = cb_deadline_in(context->options->timeout);
    cb_reader_list list = {.count = 0};
    bool asked = false;
    for (;;) {
        int64_t slice = cb_deadline_in(asked ? SLICE : 0);
        cb_error error = cb_readers_wait(readers, &list, true, slice < deadline ? slice : deadline);
        const cb_reader_info *found = error == CB_OK ? find_card(&list, wanted) : NULL;
        card->profiles = config->profiles;
        if (found) {
            memcpy(card->reader, found->name, sizeof found->name);
            cb_terminal_config_order(config, found, &card->profiles);
        }
        cb_error begun = keep_fresh(context, relay, &card->profiles, first, problem);
        if (begun || found)
            return begun;
        if (atomic_load(context->stop) || cb_deadline_left_ms(deadline) == 0)
            return cb_problem_set(problem, list.count ? CB_E_CARD_ABSENT : CB_E_READER_NONE, NULL);
        if (error && error != CB_E_TIMEOUT && error != CB_E_READER_NONE)
            return cb_problem_set(problem, error, NULL);
        if (error == CB_E_READER_NONE)
            usleep((useconds_t)SLICE);
        if (!asked && !context->output->json)
            fputs(list.count ? "Present the card.\n"
                             : "Waiting for a reader: connect one, and see that pcscd runs.\n",
                  stderr);
        asked = true;
    }
}

static cb_error tap_once(cb_command_context *context, cb_readers *readers, cb_relay *relay,
                         cb_spool **log, cb_tap_order *order)
{
    cb_command_card card;
    cb_problem problem;
    cb_relay_tap first;
    cb_tap_report report = {.result = NULL};
    cb_relay_tap_init(&first);
    cb_error error = cb_command_wait(context, readers, relay, &first, &card, &problem);
    if (error) {
        cb_command_say(context, &problem);
    } else if ((error = cb_command_begin(context, cb_tap_known(&first, &card.profiles), *log)) ==
               CB_OK) {
        order->profiles = &card.profiles;
        error = cb_tap_run(relay, readers, card.reader, &first, order, &report);
        cb_error stored = cb_output_tap(context->output, card.reader, &report);
        error = cb_command_end(context, log, &report, error ? error : stored);
        if (!atomic_load(context->stop)) /* it was said already how the tap ended */
            cb_tap_renew_early(relay, readers, card.reader, order, &report);
    }
    cb_tap_report_free(&report);
    cb_relay_tap_free(&first);
    return error;
}

/* Asks for digits first, so that nobody has to hold a card and type. */
cb_error cb_command_tap(cb_command_context *context, cb_tap_order *order, cb_pin_form form)
{
    cb_pins pins = {.form = CB_PIN_FORM_NONE};
    cb_readers *readers = NULL;
    cb_relay *relay = NULL;
    cb_spool *log = NULL;
    cb_error error = CB_OK;
    order->pin_pad = context->config->pin_pad;
    if (form != CB_PIN_FORM_NONE && order->pin_pad == CB_PAD_REQUIRE)
        return cb_command_fail(context, CB_E_PIN_PAD, "pin_pad: no PIN is typed on this computer");
    if (form != CB_PIN_FORM_NONE) {
        order->pins = &pins;
        error = cb_pins_ask(&pins, form, context->options->pin_fd);
        if (error)
            cb_command_fail(context, error,
                            error == CB_E_IO ? "no terminal to ask at; use --pin-fd" : NULL);
    }
    if (!error)
        error = cb_command_open_log(context, &log);
    if (!error) {
        error = cb_command_open_readers(context, &readers);
        if (!error)
            error = open_relay_for(context, cb_tap_purpose_maintenance(order->purpose), &relay);
        if (error)
            cb_command_fail(context, error, NULL);
        else
            error = tap_once(context, readers, relay, &log, order);
    }
    cb_pins_wipe(&pins);
    cb_spool_close(&log);
    cb_relay_close(&relay);
    cb_readers_close(&readers);
    return error;
}

cb_error cb_command_register(cb_command_context *context, cb_registering_order *order)
{
    static const cb_id none;
    cb_command_card card;
    cb_problem problem;
    cb_readers *readers = NULL;
    cb_relay *relay = NULL;
    cb_spool *log = NULL;
    cb_tap_report report = {.result = NULL};
    cb_error error = cb_command_open_log(context, &log);
    if (error)
        return error;
    error = cb_command_open_readers(context, &readers);
    if (!error)
        error = cb_command_open_relay(context, &relay);
    if (error) {
        cb_command_fail(context, error, NULL);
    } else if ((error = cb_command_wait(context, readers, NULL, NULL, &card, &problem)) != CB_OK) {
        cb_command_say(context, &problem);
    } else if ((error = cb_command_begin(context, &none, log)) == CB_OK) {
        order->profiles = &card.profiles;
        error = cb_registering_run(relay, readers, card.reader, order, &report);
        cb_error stored = cb_output_tap(context->output, card.reader, &report);
        error = cb_command_end(context, &log, &report, error ? error : stored);
    }
    cb_spool_close(&log);
    cb_tap_report_free(&report);
    cb_relay_close(&relay);
    cb_readers_close(&readers);
    return error;
}
