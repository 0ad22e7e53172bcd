/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/sealed.h"

#include "base/cursor.h"
#include "base/secret.h"
#include "hsm/csr.h"
#include "hsm/key_template.h"
#include "hsm/record_mac.h"
#include "hsm/sealed_parts.h"
#include "hsm/spki.h"

enum { NEW_SECRET_BYTES = 32 };

const CK_MECHANISM cb_key_wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};

/* ---- Sealing ---- */

/* Secrets that may be given out have a key-encryption key of their own, so that nothing else ever
 * can. */
static cb_kek sealing_kek(uint8_t algorithm)
{
    return algorithm == CB_KEY_SECRET ? CB_KEK_RELEASE : CB_KEK_REWRAP;
}

cb_error cb_secret_size(uint8_t algorithm, cb_bytes *wrapped, size_t *size)
{
    cb_cursor cursor = cb_cursor_over(*wrapped);
    *size = 0;
    if (algorithm != CB_KEY_SECRET)
        return CB_OK;
    *size = cb_cursor_u16(&cursor);
    bool good = cb_cursor_ok(&cursor) && *size > 0 && *size <= CB_SECRET_MAX;
    *wrapped = cb_cursor_rest(&cursor);
    return good ? CB_OK : CB_E_HSM_RECORD;
}

cb_error cb_seal_key(cb_keyring *keyring, cb_sealed_info *info, CK_OBJECT_HANDLE key, size_t size,
                     cb_bytes public_key, cb_buf *sealed)
{
    CK_OBJECT_HANDLE kek;
    cb_buf wrapped = CB_BUF(CB_WRAPPED_MAX), body = CB_BUF(CB_SEALED_MAX);
    info->generation = cb_keyring_generation(keyring);
    if (info->algorithm == CB_KEY_SECRET)
        cb_buf_put_u16(&wrapped, (uint16_t)size);
    cb_error error = cb_keyring_settle(keyring);
    if (!error)
        error = cb_keyring_kek(keyring, sealing_kek(info->algorithm), info->generation, &kek);
    if (!error)
        error = cb_token_wrap(cb_keyring_token(keyring), &cb_key_wrap, kek, key, &wrapped);
    if (!error) {
        cb_sealed_body_put(&body, info, public_key, cb_buf_bytes(&wrapped));
        error = cb_record_seal(keyring, CB_MAC_SEALED, &body, sealed);
    }
    cb_buf_free(&wrapped);
    cb_buf_free(&body);
    return error;
}

cb_error cb_sealed_parts(cb_keyring *keyring, cb_bytes sealed, cb_sealed_info *info,
                         cb_bytes *public_key, cb_bytes *wrapped)
{
    cb_bytes body;
    cb_error error = cb_record_genuine(keyring, CB_MAC_SEALED, sealed, CB_SEALED_MAX, &body);
    if (!error && cb_sealed_body_get(body, info, public_key, wrapped))
        error = CB_E_HSM_RECORD;
    return error;
}

cb_error cb_sealed_check(cb_keyring *keyring, cb_bytes sealed, cb_sealed_info *out)
{
    cb_bytes public_key, wrapped;
    return cb_sealed_parts(keyring, sealed, out, &public_key, &wrapped);
}

/* ---- Generating ---- */

static cb_error generate_secret(cb_keyring *keyring, uint8_t algorithm, CK_OBJECT_HANDLE *key)
{
    static const CK_MECHANISM generator = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    cb_key_template template;
    cb_template_key(&template, algorithm, CB_STATION_NEWBORN, false);
    template.number = NEW_SECRET_BYTES;
    cb_template_add(&template, CKA_VALUE_LEN, &template.number, sizeof template.number);
    return cb_token_generate(cb_keyring_token(keyring), &generator, cb_template_of(&template), key);
}

static cb_error generate_pair(cb_keyring *keyring, uint8_t algorithm, CK_OBJECT_HANDLE *key,
                              cb_buf *public_key)
{
    static const CK_MECHANISM ec = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    static const CK_MECHANISM rsa = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    cb_token *token = cb_keyring_token(keyring);
    CK_OBJECT_HANDLE public_object = CK_INVALID_HANDLE;
    cb_key_template public_template, private_template;
    bool curve = cb_curve_oid(algorithm).len > 0;
    cb_template_public(&public_template, algorithm);
    cb_template_key(&private_template, algorithm, CB_STATION_NEWBORN, false);
    cb_error error =
        cb_token_generate_pair(token, curve ? &ec : &rsa, cb_template_of(&public_template),
                               cb_template_of(&private_template), &public_object, key);
    if (!error)
        error = curve ? cb_spki_ec(token, public_object, algorithm, public_key)
                      : cb_spki_rsa(token, public_object, public_key);
    cb_token_destroy(token, &public_object);
    return error;
}

cb_error cb_sealed_generate(cb_keyring *keyring, cb_sealed_info *info, cb_bytes subject,
                            cb_buf *sealed, cb_buf *public_key, cb_buf *csr)
{
    cb_token *token = cb_keyring_token(keyring);
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX), request = CB_BUF(CB_CSR_MAX),
           blob = CB_BUF(CB_SEALED_MAX);
    if (!cb_sealed_info_ok(info))
        return CB_E_ARGUMENT;
    if (csr && cb_is_secret(info->algorithm))
        return CB_E_HSM_ALGORITHM;
    cb_error error = csr ? cb_csr_subject_check(subject) : CB_OK;
    if (!error)
        error = cb_token_revive(token);
    unsigned login = cb_token_login(token);
    if (!error)
        error = cb_is_secret(info->algorithm)
                    ? generate_secret(keyring, info->algorithm, &key)
                    : generate_pair(keyring, info->algorithm, &key, &spki);
    info->key = cb_id_new();
    if (!error)
        error = cb_seal_key(keyring, info, key, NEW_SECRET_BYTES, cb_buf_bytes(&spki), &blob);
    if (!error && csr && login != cb_token_login(token))
        error = CB_E_HSM_TOKEN;
    if (!error && csr)
        error = cb_csr_make(token, key, info->algorithm, subject, cb_buf_bytes(&spki), &request);
    cb_token_destroy_of(token, login, &key);
    if (!error) {
        cb_buf_put(sealed, cb_buf_bytes(&blob));
        cb_buf_put(public_key, cb_buf_bytes(&spki));
        error = cb_buf_error(sealed) ? cb_buf_error(sealed) : cb_buf_error(public_key);
    }
    if (!error && csr) {
        cb_buf_put(csr, cb_buf_bytes(&request));
        error = cb_buf_error(csr);
    }
    cb_buf_free(&spki);
    cb_buf_free(&request);
    cb_buf_free(&blob);
    return error;
}

/* ---- Rewrapping ---- */

cb_error cb_sealed_rewrap(cb_keyring *keyring, cb_bytes sealed, cb_buf *out)
{
    cb_sealed_info info;
    cb_bytes public_key, wrapped;
    cb_key_template template;
    CK_OBJECT_HANDLE kek, key = CK_INVALID_HANDLE;
    size_t size = 0;
    cb_token *token = cb_keyring_token(keyring);
    cb_error error = cb_token_revive(token);
    if (!error)
        error = cb_keyring_refresh(keyring);
    if (!error)
        error = cb_sealed_parts(keyring, sealed, &info, &public_key, &wrapped);
    if (!error && info.generation == cb_keyring_generation(keyring)) {
        cb_buf_put(out, sealed);
        return cb_buf_error(out);
    }
    if (!error)
        error = cb_secret_size(info.algorithm, &wrapped, &size);
    if (!error)
        error = cb_keyring_kek(keyring, sealing_kek(info.algorithm), info.generation, &kek);
    if (error)
        return error;
    cb_template_key(&template, info.algorithm,
                    info.algorithm == CB_KEY_SECRET ? CB_STATION_RELEASE : CB_STATION_REWRAP, true);
    unsigned login = cb_token_login(token);
    error = cb_token_unwrap(token, &cb_key_wrap, kek, wrapped, cb_template_of(&template), &key);
    if (!error)
        error = cb_seal_key(keyring, &info, key, size, public_key, out);
    cb_token_destroy_of(token, login, &key);
    return error;
}
