/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/registration.h"

#include "base/secret.h"

static const char code_domain[] = "cardbroker registration code 1"; /* with its final zero */

cb_error cb_registration_key(const char symbols[CB_CODE_SYMBOLS], uint8_t scalar[CB_P256_SCALAR],
                             uint8_t point[CB_P256_POINT])
{
    enum { TRIES = 8 }; /* one in 2^32 needs a second */
    for (uint8_t n = 0; n < TRIES; n++) {
        cb_digest digest =
            cb_sha256_parts((cb_bytes[]){CB_BYTES_OF(code_domain), cb_bytes_make(&n, 1),
                                         cb_bytes_make(symbols, CB_CODE_SYMBOLS)},
                            3);
        memcpy(scalar, digest.bytes, CB_P256_SCALAR);
        cb_wipe(&digest, sizeof digest);
        if (cb_p256_is_private(scalar))
            return cb_p256_public(scalar, point);
    }
    return CB_E_CRYPTO;
}

cb_id cb_registration_id(const uint8_t point[CB_P256_POINT])
{
    cb_id id;
    cb_digest digest = cb_sha256_parts(
        (cb_bytes[]){CB_BYTES_OF(code_domain), cb_bytes_make(point, CB_P256_POINT)}, 2);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    id.bytes[6] = (uint8_t)(0x80 | (id.bytes[6] & 0x0F));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3F));
    return id;
}

static cb_digest statement(cb_bytes domain, const cb_id *whose, const cb_id *tap,
                           const cb_foreign_reading *reading)
{
    cb_bytes parts[6 + 2 * CB_CARD_KEYS_MAX];
    cb_digest digest[CB_CARD_KEYS_MAX], answers = cb_sha256(reading->answers);
    uint8_t count = (uint8_t)reading->keys;
    size_t at = 0;
    parts[at++] = domain;
    parts[at++] = cb_id_bytes(whose);
    parts[at++] = cb_id_bytes(tap);
    parts[at++] = cb_bytes_make(&reading->profile, 1);
    parts[at++] = cb_digest_bytes(&answers);
    parts[at++] = cb_bytes_make(&count, 1);
    for (size_t i = 0; i < reading->keys && i < CB_CARD_KEYS_MAX; i++) {
        digest[i] = cb_sha256(reading->key[i].certificate);
        parts[at++] = cb_bytes_make(&reading->key[i].use, 1);
        parts[at++] = cb_digest_bytes(&digest[i]);
    }
    return cb_sha256_parts(parts, at);
}

cb_digest cb_registration_statement(const cb_id *code, const cb_id *tap,
                                    const cb_foreign_reading *reading)
{
    static const char domain[] = "cardbroker registration 1"; /* its final zero is part of it */
    return statement(CB_BYTES_OF(domain), code, tap, reading);
}

cb_digest cb_renewal_statement(const cb_id *card, const cb_id *tap,
                               const cb_foreign_reading *reading)
{
    static const char domain[] = "cardbroker renewal 1"; /* likewise */
    return statement(CB_BYTES_OF(domain), card, tap, reading);
}

cb_error cb_registration_say(const char symbols[CB_CODE_SYMBOLS], const cb_id *tap,
                             const cb_foreign_reading *reading, cb_registration_word *out)
{
    uint8_t scalar[CB_P256_SCALAR];
    cb_error error = cb_registration_key(symbols, scalar, out->point);
    if (!error) {
        cb_id code = cb_registration_id(out->point);
        cb_digest said = cb_registration_statement(&code, tap, reading);
        error = cb_p256_sign(scalar, &said, out->signature);
    }
    cb_wipe(scalar, sizeof scalar);
    return error;
}
