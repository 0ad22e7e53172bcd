/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/ending.h"

#include <errno.h>
#include <sys/stat.h>

#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/relay.h"
#include "cardlink/terminal/ship.h"

#define NOTE_TIME (CB_SECOND / 2)

static const cb_problem *problem_of(cb_problem *problem, cb_error error)
{
    cb_problem_set(problem, error, NULL);
    return problem;
}

static cb_error tell(const cb_terminal_config *config, const char *why)
{
    cb_relay_settings settings = {.broker = config->broker,
                                  .ca = config->ca,
                                  .certificate = config->certificate,
                                  .key = config->key,
                                  .timeout = config->timeout < CB_ENDING_TIME ? config->timeout
                                                                              : CB_ENDING_TIME};
    cb_relay *relay = NULL;
    cb_problem problem;
    cb_error error = cb_relay_open(&settings, &relay);
    if (!error)
        error = cb_relay_leave(relay, why, &problem);
    cb_relay_close(&relay);
    return error;
}

/* The last of the log, before the broker hears nothing more from this terminal; it does not keep
 * the end waiting for long. */
static void note(const cb_terminal_config *config, cb_journal_event event)
{
    cb_problem problem;
    cb_spool *spool = NULL;
    if (cb_spool_open(config->log, &spool) != CB_OK)
        return;
    if (cb_spool_add(spool, event, "") == CB_OK)
        cb_ship(config, spool, NOTE_TIME, &problem);
    cb_spool_close(&spool);
}

cb_error cb_ending(const cb_terminal_config *config, const char *why, cb_output *output)
{
    cb_problem problem;
    note(config, strcmp(why, CB_ENDING_TAMPER) == 0 ? CB_JOURNAL_TAMPERED : CB_JOURNAL_ERASED);
    cb_error told = tell(config, why);
    cb_error error = cb_identity_erase(config->certificate, config->key);
    cb_spool_remove(config->log);
    cb_output_event(output, told ? "broker.not_told" : "broker.told", NULL,
                    told ? "it is not certain that the broker knows: have this terminal revoked, "
                           "if it is not"
                         : "the broker knows that this terminal is over",
                    told ? problem_of(&problem, told) : NULL);
    cb_output_event(output, error ? "erase.failed" : "erased", NULL,
                    error ? "the keys could not all be erased" : "the keys were erased",
                    error ? problem_of(&problem, error) : NULL);
    return error;
}

/* A path that cannot be looked at any more was not taken away by a person who may. */
bool cb_ending_tampered(const cb_terminal_config *config)
{
    struct stat about;
    return config->tamper[0] &&
           (lstat(config->tamper, &about) == 0 || (errno != ENOENT && errno != ENOMEM));
}
