/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Using a sealed key (sealed.h).
 */
#include "base/cursor.h"
#include "base/secret.h"
#include "hsm/key_sign.h"
#include "hsm/key_template.h"
#include "hsm/sealed_parts.h"

/* Unwraps the key of a record whose fields are in out and believed. */
static cb_error open_wrapped(cb_keyring *keyring, cb_bytes wrapped, cb_open_key *out)
{
    CK_OBJECT_HANDLE kek;
    cb_key_template template;
    if (out->info.algorithm == CB_KEY_SECRET) {
        cb_buf_put(&out->wrapped, wrapped);
        return cb_buf_error(&out->wrapped);
    }
    cb_error error = cb_keyring_kek(keyring, CB_KEK_USE, out->info.generation, &kek);
    if (error)
        return error;
    out->login = cb_token_login(cb_keyring_token(keyring));
    cb_template_key(&template, out->info.algorithm, CB_STATION_USE, true);
    return cb_token_unwrap(cb_keyring_token(keyring), &cb_key_wrap, kek, wrapped,
                           cb_template_of(&template), &out->handle);
}

cb_error cb_sealed_open(cb_keyring *keyring, cb_bytes sealed, cb_open_key *out)
{
    cb_bytes public_key, wrapped;
    *out = (cb_open_key){.wrapped = CB_BUF(CB_WRAPPED_MAX)};
    cb_error error = cb_token_tidy(cb_keyring_token(keyring));
    if (!error)
        error = cb_sealed_parts(keyring, sealed, &out->info, &public_key, &wrapped);
    return error ? error : open_wrapped(keyring, wrapped, out);
}

cb_error cb_sealed_open_believed(cb_keyring *keyring, cb_bytes sealed, cb_open_key *out)
{
    cb_record_parts parts;
    cb_bytes public_key, wrapped;
    *out = (cb_open_key){.wrapped = CB_BUF(CB_WRAPPED_MAX)};
    if (cb_record_split(sealed, CB_SEALED_MAX, &parts) ||
        cb_sealed_body_get(parts.body, &out->info, &public_key, &wrapped))
        return CB_E_HSM_RECORD;
    cb_error error = cb_token_tidy(cb_keyring_token(keyring));
    if (!error)
        error = cb_token_revive(cb_keyring_token(keyring));
    return error ? error : open_wrapped(keyring, wrapped, out);
}

/* A handle of an earlier login may by now be another key's. */
static bool is_open(cb_keyring *keyring, const cb_open_key *key)
{
    return key->handle != CK_INVALID_HANDLE &&
           key->login == cb_token_login(cb_keyring_token(keyring));
}

static cb_error mac(cb_keyring *keyring, const cb_open_key *key, cb_bytes data, cb_buf *result)
{
    static const CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    if (key->info.algorithm != CB_KEY_HMAC_SHA256)
        return CB_E_HSM_ALGORITHM;
    if (data.len > CB_USE_DATA_MAX)
        return CB_E_TOO_LARGE;
    if (!is_open(keyring, key))
        return CB_E_HSM_TOKEN;
    return cb_token_sign(cb_keyring_token(keyring), key->handle, &hmac, &data, 1, result);
}

/* The value as it was imported: what the token filled it up with is cut off, and must be zeros. */
static cb_error put_secret(const cb_buf *value, size_t size, cb_buf *result)
{
    static const uint8_t zeros[8];
    cb_cursor cursor = cb_cursor_over(cb_buf_bytes(value));
    cb_bytes secret = cb_cursor_take(&cursor, size);
    cb_bytes filling = cb_cursor_rest(&cursor);
    if (!cb_cursor_ok(&cursor) || filling.len >= sizeof zeros ||
        !cb_equal(filling, cb_bytes_make(zeros, filling.len)))
        return CB_E_HSM_TOKEN;
    cb_buf_put(result, secret);
    return cb_buf_error(result);
}

/* The secret is readable in the token for as long as it takes to read it. */
static cb_error release(cb_keyring *keyring, const cb_open_key *key, cb_buf *result)
{
    cb_token *token = cb_keyring_token(keyring);
    CK_OBJECT_HANDLE kek, secret = CK_INVALID_HANDLE;
    cb_key_template template;
    cb_bytes wrapped = cb_buf_bytes(&key->wrapped);
    cb_buf value = CB_BUF(CB_SECRET_MAX + 8);
    size_t size;
    if (key->info.algorithm != CB_KEY_SECRET)
        return CB_E_HSM_ALGORITHM;
    cb_error error = cb_secret_size(key->info.algorithm, &wrapped, &size);
    if (!error)
        error = cb_token_revive(token);
    if (!error)
        error = cb_keyring_kek(keyring, CB_KEK_RELEASE, key->info.generation, &kek);
    if (error)
        return error;
    cb_template_key(&template, CB_KEY_SECRET, CB_STATION_RELEASE, true);
    error = cb_token_unwrap(token, &cb_key_wrap, kek, wrapped, cb_template_of(&template), &secret);
    if (!error)
        error = cb_token_attribute(token, secret, CKA_VALUE, &value);
    cb_token_destroy(token, &secret);
    if (!error)
        error = put_secret(&value, size, result);
    cb_buf_free(&value);
    return error;
}

cb_error cb_open_key_use(cb_keyring *keyring, cb_open_key *key, uint8_t operation, uint8_t hash,
                         cb_bytes data, cb_buf *result)
{
    switch (operation) {
    case CB_USE_SIGN_DIGEST:
    case CB_USE_SIGN_PSS:
        if (cb_is_secret(key->info.algorithm))
            return CB_E_HSM_ALGORITHM;
        if (!is_open(keyring, key))
            return CB_E_HSM_TOKEN;
        return cb_key_sign(cb_keyring_token(keyring), key->handle, key->info.algorithm, operation,
                           hash, data, result);
    case CB_USE_MAC:
        return mac(keyring, key, data, result);
    case CB_USE_RELEASE:
        return data.len == 0 ? release(keyring, key, result) : CB_E_ARGUMENT;
    default:
        return CB_E_ARGUMENT;
    }
}

void cb_open_key_close(cb_keyring *keyring, cb_open_key *key)
{
    if (is_open(keyring, key))
        cb_token_destroy(cb_keyring_token(keyring), &key->handle);
    cb_buf_free(&key->wrapped);
    *key = (cb_open_key){.wrapped = CB_BUF(CB_WRAPPED_MAX)};
}
