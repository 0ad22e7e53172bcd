/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/ship.h"

#include "base/clock.h"
#include "base/secret.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/relay.h"

enum { ROUNDS = CB_SPOOL_MAX / (CB_JOURNAL_BATCH_ENTRIES * 10) + 1 };

static cb_error sign(const char *key, cb_relay_log *log, cb_buf *why)
{
    uint8_t scalar[CB_P256_SCALAR];
    cb_digest digest = cb_journal_digest(&log->after);
    cb_error error = cb_identity_key_read(key, scalar, why);
    if (!error)
        error = cb_p256_public(scalar, log->point);
    if (!error)
        error = cb_p256_sign(scalar, &digest, log->signature);
    cb_wipe(scalar, sizeof scalar);
    return error;
}

/* One batch; *more is whether there was one. */
static cb_error ship_batch(cb_relay *relay, const char *key, cb_spool *spool, bool *more,
                           cb_problem *problem)
{
    cb_journal_head taken;
    cb_relay_log log = {0};
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX), why = CB_BUF(1024);
    cb_error error = cb_spool_batch(spool, &log.before, &entries, &log.after);
    log.entries = cb_buf_bytes(&entries);
    *more = !error && entries.len > 0;
    if (*more)
        error = sign(key, &log, &why);
    if (error)
        cb_problem_set(problem, error, why.len > 0 ? cb_buf_cstr(&why) : NULL);
    else if (*more)
        error = cb_relay_bring(relay, &log, &taken, problem);
    if (*more && !error && (error = cb_spool_taken(spool, &taken)) != CB_OK)
        cb_problem_set(problem, error, "what the broker says that it has of the log is not in it");
    cb_buf_free(&entries);
    cb_buf_free(&why);
    return error;
}

cb_error cb_ship(const cb_terminal_config *config, cb_spool *spool, int64_t timeout,
                 cb_problem *problem)
{
    cb_relay_settings settings = {.broker = config->broker,
                                  .ca = config->ca,
                                  .certificate = config->certificate,
                                  .key = config->key,
                                  .timeout = timeout};
    cb_relay *relay = NULL;
    bool more = true;
    int64_t until = cb_deadline_in(timeout);
    cb_error error = cb_relay_open(&settings, &relay);
    if (error)
        cb_problem_set(problem, error, NULL);
    for (int i = 0; !error && more && i < ROUNDS && cb_clock_monotonic_us() < until; i++)
        error = ship_batch(relay, config->key, spool, &more, problem);
    cb_relay_close(&relay);
    return error;
}
