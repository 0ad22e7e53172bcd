/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/terminal/ship.h"

#include "base/clock.h"
#include "base/secret.h"
#include "cardlink/terminal/identity.h"
#include "cardlink/terminal/relay.h"

enum {
    ROUNDS = CB_SPOOL_MAX / (CB_JOURNAL_BATCH_ENTRIES * 10) + 1,
    READS = 3,
    READ_AGAIN_MS = 50,
    WHY_MAX = 1024
};

/* What this terminal shows and signs with, for as long as it ships: read once, so that no renewal
 * comes between the two. */
typedef struct credential {
    cb_buf certificate, key;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
} credential;

static void forget(credential *who)
{
    cb_wipe(who->scalar, sizeof who->scalar);
    cb_buf_free(&who->certificate);
    cb_buf_free(&who->key);
}

/* In between its two moves a renewal has left halves that do not fit. */
static cb_error read_credential(const cb_terminal_config *config, credential *out, cb_buf *why)
{
    cb_identity identity;
    cb_error error = CB_E_CONFIG;
    for (int i = 0; error == CB_E_CONFIG && i < READS; i++) {
        if (i > 0)
            cb_pause(READ_AGAIN_MS * CB_MILLISECOND);
        cb_buf_reset(&out->certificate);
        cb_buf_reset(&out->key);
        cb_buf_reset(why);
        error = cb_identity_read(config->certificate, config->key, &identity, &out->certificate,
                                 &out->key, why);
    }
    if (!error)
        error = cb_identity_scalar(cb_buf_bytes(&out->key), out->scalar);
    return error ? error : cb_p256_public(out->scalar, out->point);
}

static cb_error sign(const credential *who, cb_relay_log *log)
{
    cb_digest digest = cb_journal_digest(&log->after);
    memcpy(log->point, who->point, sizeof log->point);
    return cb_p256_sign(who->scalar, &digest, log->signature);
}

/* One batch; *more is whether there was one. */
static cb_error ship_batch(cb_relay *relay, const credential *who, cb_spool *spool, bool *more,
                           cb_problem *problem)
{
    cb_journal_head taken;
    cb_relay_log log = {0};
    cb_buf entries = CB_BUF(CB_JOURNAL_BATCH_MAX);
    cb_error error = cb_spool_batch(spool, &log.before, &entries, &log.after);
    log.entries = cb_buf_bytes(&entries);
    *more = !error && entries.len > 0;
    if (*more)
        error = sign(who, &log);
    if (error)
        cb_problem_set(problem, error, NULL);
    else if (*more)
        error = cb_relay_bring(relay, &log, &taken, problem);
    if (*more && !error && (error = cb_spool_taken(spool, &taken)) != CB_OK)
        cb_problem_set(problem, error, "what the broker says that it has of the log is not in it");
    cb_buf_free(&entries);
    return error;
}

cb_error cb_ship(const cb_terminal_config *config, cb_spool *spool, int64_t timeout,
                 cb_problem *problem)
{
    credential who = {.certificate = CB_BUF(CB_IDENTITY_PEM_MAX),
                      .key = CB_BUF(CB_IDENTITY_PEM_MAX)};
    cb_relay_settings settings = {.broker = config->broker, .ca = config->ca, .timeout = timeout};
    cb_buf why = CB_BUF(WHY_MAX);
    cb_relay *relay = NULL;
    bool more = true;
    int64_t until = cb_deadline_in(timeout);
    cb_error error = read_credential(config, &who, &why);
    settings.certificate_pem = cb_buf_bytes(&who.certificate);
    settings.key_pem = cb_buf_bytes(&who.key);
    if (!error)
        error = cb_relay_open(&settings, &relay);
    if (error)
        cb_problem_set(problem, error, why.len > 0 ? cb_buf_cstr(&why) : NULL);
    for (int i = 0; !error && more && i < ROUNDS && cb_clock_monotonic_us() < until; i++)
        error = ship_batch(relay, &who, spool, &more, problem);
    cb_relay_close(&relay);
    forget(&who);
    cb_buf_free(&why);
    return error;
}
