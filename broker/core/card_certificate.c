/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The certificates of cards that somebody else issued.
 */
#include "broker/core/registry.h"
#include "base/clock.h"
#include "cardlink/x509/certificate.h"

/* The next certificate of the row, which must be the one that the key was bound with; empty when it
 * needs none. */
static cb_error next(cb_cursor *row, const cb_card_key *key, cb_bytes *certificate)
{
    static const cb_digest none;
    *certificate = (cb_bytes){0};
    if (memcmp(&key->certificate, &none, sizeof none) == 0)
        return CB_OK;
    *certificate = cb_der_whole(row, CB_DER_SEQUENCE);
    cb_digest there = cb_sha256(*certificate);
    return cb_cursor_ok(row) && memcmp(&key->certificate, &there, sizeof there) == 0
               ? CB_OK
               : CB_E_HSM_RECORD;
}

cb_error cb_card_status(const cb_card *card, cb_certificate_status status, void *context)
{
    cb_binding_info info;
    cb_cursor row = cb_cursor_over(cb_buf_bytes(&card->certificates));
    if (cb_binding_info_read(cb_buf_bytes(&card->binding), &info))
        return CB_E_HSM_RECORD;
    for (size_t i = 0; i < info.keys.count; i++) {
        cb_bytes certificate;
        cb_error error = next(&row, &info.keys.key[i], &certificate);
        if (!error && certificate.len > 0)
            error = status ? status(context, certificate) : CB_E_CERTIFICATE_STATUS;
        if (error)
            return error;
    }
    return cb_cursor_done(&row) ? CB_OK : CB_E_HSM_RECORD;
}

/* When it is no longer valid; 0: it does not say. */
static int64_t end_of(cb_bytes certificate)
{
    cb_x509 parsed;
    /* What hsmd bound it has read; of what is not one, nothing is said here. */
    if (cb_x509_parse(certificate, &parsed) || parsed.not_after >= INT64_MAX / CB_SECOND)
        return 0;
    return (parsed.not_after + 1) * CB_SECOND; /* the last second is included */
}

static cb_error latest(void *context, cb_bytes certificate)
{
    int64_t *end = context, after = end_of(certificate);
    if (after > *end)
        *end = after;
    return CB_OK;
}

static cb_error earliest(void *context, cb_bytes certificate)
{
    int64_t *end = context;
    *end = cb_first_day(*end, end_of(certificate));
    return CB_OK;
}

cb_error cb_card_certificates_end(const cb_card *card, int64_t *end)
{
    *end = 0;
    return cb_card_status(card, latest, end);
}

cb_error cb_card_certificates_first_end(const cb_card *card, int64_t *end)
{
    *end = 0;
    return cb_card_status(card, earliest, end);
}

int64_t cb_card_own_day(const cb_card *card)
{
    int64_t certified = 0;
    if (card->own_expires > 0)
        return card->own_expires;
    /* Of cards from before it was written down: a day that comes before their certificates'. */
    bool own = cb_card_certificates_end(card, &certified) == CB_OK &&
               (certified == 0 || card->expires < certified);
    return own ? card->expires : 0;
}

static cb_error any(void *context, cb_bytes certificate)
{
    (void)context, (void)certificate;
    return CB_OK;
}

cb_error cb_card_certificates_check(const cb_card *card)
{
    return cb_card_status(card, any, NULL) ? CB_E_ARGUMENT : CB_OK;
}
