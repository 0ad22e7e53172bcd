/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From a password to a key. The cost is what RFC 9106, 4, recommends second, for where 2 GiB are
 * too much: a change of it makes other keys, so it would get a number of its own.
 */
#include <argon2.h>

#include "base/code.h"
#include "base/secret.h"
#include "cardlink/password/password.h"

static const cb_argon2id_cost password_cost = {.memory_kib = 64 * 1024, .passes = 3, .lanes = 4};

/* libargon2 takes what it only reads as not constant. */
static uint8_t *lend(cb_bytes bytes)
{
    union {
        const uint8_t *read;
        uint8_t *lent;
    } pointer = {.read = bytes.data};
    return pointer.lent;
}

cb_error cb_argon2id(cb_argon2id_cost cost, cb_bytes password, cb_bytes salt, cb_bytes secret,
                     cb_bytes data, uint8_t *out, size_t len)
{
    argon2_context context = {
        .out = out,
        .outlen = (uint32_t)len,
        .pwd = lend(password),
        .pwdlen = (uint32_t)password.len,
        .salt = lend(salt),
        .saltlen = (uint32_t)salt.len,
        .secret = lend(secret),
        .secretlen = (uint32_t)secret.len,
        .ad = lend(data),
        .adlen = (uint32_t)data.len,
        .t_cost = cost.passes,
        .m_cost = cost.memory_kib,
        .lanes = cost.lanes,
        .threads = 1, /* the lanes are for those who guess; who logs in waits a moment longer */
        .version = ARGON2_VERSION_13,
        .flags = ARGON2_DEFAULT_FLAGS};
    int status = argon2id_ctx(&context);
    if (status == ARGON2_OK)
        return CB_OK;
    cb_wipe(out, len);
    return status == ARGON2_MEMORY_ALLOCATION_ERROR ? CB_E_MEMORY : CB_E_CRYPTO;
}

/* Of a one-time code in its four groups the symbols: small letters and capitals are the same. */
static cb_bytes usual_form(cb_bytes typed, char symbols[CB_CODE_SYMBOLS])
{
    enum { GROUP = 6 };
    bool grouped = typed.len == CB_CODE_TEXT - 1;
    for (size_t i = GROUP - 1; grouped && i < typed.len; i += GROUP)
        grouped = typed.data[i] == '-';
    if (!grouped || cb_code_read(typed, symbols))
        return typed;
    return cb_bytes_make(symbols, CB_CODE_SYMBOLS);
}

cb_error cb_password_key(cb_bytes password, const uint8_t salt[CB_PASSWORD_SALT], const cb_id *id,
                         uint8_t scalar[CB_P256_SCALAR])
{
    static const char domain[] = "cardbroker password 1"; /* its final zero is part of it */
    enum { TRIES = 8 };                                   /* one in 2^32 needs a second */
    uint8_t data[sizeof domain + CB_ID_SIZE];
    char symbols[CB_CODE_SYMBOLS];
    memcpy(data, domain, sizeof domain);
    memcpy(data + sizeof domain, id->bytes, CB_ID_SIZE);
    cb_bytes typed = usual_form(password, symbols);
    cb_error error = cb_argon2id(password_cost, typed, cb_bytes_make(salt, CB_PASSWORD_SALT),
                                 (cb_bytes){0}, CB_BYTES_OF(data), scalar, CB_P256_SCALAR);
    for (unsigned i = 0; !error && i < TRIES && !cb_p256_is_private(scalar); i++) {
        cb_digest next = cb_sha256(cb_bytes_make(scalar, CB_P256_SCALAR));
        memcpy(scalar, next.bytes, CB_P256_SCALAR);
        cb_wipe(&next, sizeof next);
    }
    cb_wipe(symbols, sizeof symbols);
    return error;
}
