/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/jpki.h"

#include "base/secret.h"
#include "base/text.h"
#include "cardlink/issuer/issue.h"
#include "cardlink/issuer/secrets.h"

enum { DRAWN_LEN = 8, NAME_BYTES = 13 };
enum { DIGITAL_SIGNATURE = 0x80, NON_REPUDIATION = 0x40 };

static bool pins_ok(const cb_vjpki_secrets *secrets)
{
    for (int use = 0; use < CB_VJPKI_USES; use++) {
        if (!cb_vjpki_pin_ok((cb_vjpki_use)use, cb_bytes_str(secrets->pin[use])))
            return false;
    }
    return true;
}

cb_error cb_vjpki_secrets_get(int fd, cb_vjpki_secrets *out)
{
    const cb_secret_slot slots[] = {
        {"authentication PIN (4 digits)", out->pin[0], sizeof out->pin[0]},
        {"signature PIN (6 to 16 digits and capital letters)", out->pin[1], sizeof out->pin[1]}};
    *out = (cb_vjpki_secrets){0};
    cb_error error = cb_secrets_get(fd, slots, 2);
    if (!error && !pins_ok(out))
        error = CB_E_PIN_FORMAT;
    if (error)
        cb_wipe(out, sizeof *out);
    return error;
}

void cb_vjpki_secrets_draw(cb_vjpki_secrets *out)
{
    static const char from[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV"; /* 32: each equally likely */
    uint8_t drawn[DRAWN_LEN];
    *out = (cb_vjpki_secrets){0};
    cb_issue_digits(out->pin[CB_VJPKI_AUTHENTICATION], 4);
    cb_random(drawn, sizeof drawn);
    for (size_t i = 0; i < sizeof drawn; i++)
        out->pin[CB_VJPKI_SIGNATURE][i] = from[drawn[i] % 32];
    cb_wipe(drawn, sizeof drawn);
}

static cb_error certify(const cb_issue_signer *signer, const char *name, unsigned years,
                        cb_vjpki_use use, const cb_vcard_key *key, cb_buf *certificate)
{
    cb_buf subject = CB_BUF(CB_ISSUE_NAME_MAX), extensions = CB_BUF(CB_ISSUE_X509_MAX);
    cb_issue_x509 what = {.key = key};
    cb_error error = cb_issue_name(cb_bytes_str(name), &subject);
    if (use == CB_VJPKI_AUTHENTICATION) {
        cb_issue_key_usage(&extensions, DIGITAL_SIGNATURE);
        cb_issue_extended_usage(&extensions, "1.3.6.1.5.5.7.3.2", false); /* clientAuth */
        cb_issue_policy(&extensions, CB_VJPKI_POLICY_AUTHENTICATION);
    } else {
        cb_issue_key_usage(&extensions, DIGITAL_SIGNATURE | NON_REPUDIATION);
        cb_issue_policy(&extensions, CB_VJPKI_POLICY_SIGNATURE);
    }
    if (!error)
        error = cb_buf_error(&extensions);
    what.subject = cb_buf_bytes(&subject);
    what.extensions = cb_buf_bytes(&extensions);
    cb_issue_dates(years, &what.not_before, &what.not_after);
    if (!error)
        error = cb_issue_x509_make(&what, signer, certificate);
    cb_buf_free(&subject);
    cb_buf_free(&extensions);
    return error;
}

static cb_error make_one(const cb_issue_signer *signer, const char *name, unsigned years,
                         cb_bytes pin, cb_vjpki_use use, cb_vjpki_credential *out)
{
    cb_buf certificate = CB_BUF(CB_VJPKI_CERTIFICATE_MAX);
    cb_error error = cb_vcard_key_generate(CB_VCARD_RSA_2048, &out->key);
    if (!error)
        error = certify(signer, name, years, use, &out->key, &certificate);
    const cb_buf *above = signer ? &signer->certificate : &certificate;
    if (!error && (!cb_vjpki_blob_set(&out->certificate, cb_buf_bytes(&certificate)) ||
                   !cb_vjpki_blob_set(&out->authority, cb_buf_bytes(above))))
        error = CB_E_TOO_LARGE;
    if (!error) {
        cb_vjpki_pin_set(out, pin);
        out->tries = cb_vjpki_pin_rules[use].tries;
    }
    cb_buf_free(&certificate);
    return error;
}

cb_error cb_vjpki_make(const cb_issue_signer *signer, const char *holder, unsigned years,
                       const cb_vjpki_secrets *secrets, cb_vjpki_state *state)
{
    uint8_t drawn[NAME_BYTES];
    char name[2 * NAME_BYTES + 1];
    memset(state, 0, sizeof *state);
    if (!pins_ok(secrets))
        return CB_E_PIN_FORMAT;
    cb_random(drawn, sizeof drawn);
    cb_hex(CB_BYTES_OF(drawn), name);
    const char *const names[CB_VJPKI_USES] = {name, holder};
    cb_error error = CB_OK;
    for (int use = 0; !error && use < CB_VJPKI_USES; use++)
        error = make_one(signer, names[use], years, cb_bytes_str(secrets->pin[use]),
                         (cb_vjpki_use)use, &state->of[use]);
    if (error)
        cb_wipe(state, sizeof *state);
    return error;
}
