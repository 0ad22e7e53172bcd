/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taking in a key that somebody else has made (sealed.h): it is decrypted inside the HSM and never
 * seen here.
 *
 * An EC private key object does not tell its public key. Its X coordinate is what ECDH with the
 * curve's base point gives; Y follows from the curve's equation up to its sign, and a signature
 * tells which of the two it is.
 */
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/wolfmath.h>

#include <stdio.h>

#include "base/secret.h"
#include "hsm/key_sign.h"
#include "hsm/key_template.h"
#include "hsm/sealed_parts.h"
#include "hsm/spki.h"

enum {
    COORDINATE_MAX = 48,
    POINT_MAX = 2 * COORDINATE_MAX + 1,
    IMPORT_RSA_BYTES = 384,
    KWP_BLOCK = 8
};

/* ---- The public half of an EC key ---- */

typedef struct curve {
    const ecc_set_type *parameters;
    size_t size; /* of a coordinate */
} curve;

static bool curve_of(uint8_t algorithm, curve *out)
{
    int id = algorithm == CB_KEY_EC_P256 ? ECC_SECP256R1 : ECC_SECP384R1;
    out->size = algorithm == CB_KEY_EC_P256 ? 32 : 48;
    out->parameters = wc_ecc_get_curve_params(wc_ecc_get_curve_idx(id));
    return out->parameters != NULL;
}

/* Right-aligned in size bytes. */
static bool put_number(mp_int *number, uint8_t *out, size_t size)
{
    int len = mp_unsigned_bin_size(number);
    if (len < 0 || (size_t)len > size)
        return false;
    memset(out, 0, size);
    return mp_to_unsigned_bin(number, out + size - (size_t)len) == MP_OKAY;
}

/* y = (x^3 + ax + b)^((p + 1) / 4) mod p, as p = 3 mod 4 for both curves. */
static bool solve_y(const curve *c, const uint8_t *x_bytes, uint8_t *y_bytes)
{
    mp_int x, t, p, a, b, y;
    bool good = false;
    if (mp_init_multi(&x, &t, &p, &a, &b, &y) != MP_OKAY)
        return false;
    if (mp_read_radix(&p, c->parameters->prime, MP_RADIX_HEX) == MP_OKAY &&
        mp_read_radix(&a, c->parameters->Af, MP_RADIX_HEX) == MP_OKAY &&
        mp_read_radix(&b, c->parameters->Bf, MP_RADIX_HEX) == MP_OKAY &&
        mp_read_unsigned_bin(&x, x_bytes, (int)c->size) == MP_OKAY &&
        mp_sqrmod(&x, &p, &t) == MP_OKAY && mp_addmod(&t, &a, &p, &t) == MP_OKAY &&
        mp_mulmod(&t, &x, &p, &t) == MP_OKAY && mp_addmod(&t, &b, &p, &t) == MP_OKAY &&
        mp_add_d(&p, 1, &a) == MP_OKAY && mp_div_2d(&a, 2, &a, NULL) == MP_OKAY &&
        mp_exptmod(&t, &a, &p, &y) == MP_OKAY)
        good = put_number(&y, y_bytes, c->size);
    mp_clear(&x);
    mp_clear(&t);
    mp_clear(&p);
    mp_clear(&a);
    mp_clear(&b);
    mp_clear(&y);
    return good;
}

/* p - y */
static bool negate(const curve *c, uint8_t *y_bytes)
{
    mp_int y, p;
    bool good = false;
    if (mp_init_multi(&y, &p, NULL, NULL, NULL, NULL) != MP_OKAY)
        return false;
    if (mp_read_radix(&p, c->parameters->prime, MP_RADIX_HEX) == MP_OKAY &&
        mp_read_unsigned_bin(&y, y_bytes, (int)c->size) == MP_OKAY && mp_sub(&p, &y, &y) == MP_OKAY)
        good = put_number(&y, y_bytes, c->size);
    mp_clear(&y);
    mp_clear(&p);
    return good;
}

static bool verifies(uint8_t algorithm, const uint8_t *point, size_t len, const cb_digest *digest,
                     cb_bytes der)
{
    ecc_key key;
    int good = 0;
    int id = algorithm == CB_KEY_EC_P256 ? ECC_SECP256R1 : ECC_SECP384R1;
    if (wc_ecc_init(&key) != 0)
        return false;
    if (wc_ecc_import_x963_ex(point, (word32)len, &key, id) != 0 || wc_ecc_check_key(&key) != 0 ||
        wc_ecc_verify_hash(der.data, (word32)der.len, digest->bytes, CB_SHA256_SIZE, &good, &key))
        good = 0;
    wc_ecc_free(&key);
    return good == 1;
}

static bool base_point(const curve *c, uint8_t *out)
{
    mp_int n;
    if (mp_init(&n) != MP_OKAY)
        return false;
    out[0] = 0x04;
    bool good = mp_read_radix(&n, c->parameters->Gx, MP_RADIX_HEX) == MP_OKAY &&
                put_number(&n, out + 1, c->size) &&
                mp_read_radix(&n, c->parameters->Gy, MP_RADIX_HEX) == MP_OKAY &&
                put_number(&n, out + 1 + c->size, c->size);
    mp_clear(&n);
    return good;
}

static cb_error ec_public(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm, cb_buf *out)
{
    curve c;
    uint8_t point[POINT_MAX];
    cb_digest digest = cb_sha256(cb_bytes_str("cardbroker import: whose public key is this?"));
    cb_buf raw = CB_BUF(1024), der = CB_BUF(256);
    if (!curve_of(algorithm, &c) || !base_point(&c, point))
        return CB_E_CRYPTO;
    size_t len = 2 * c.size + 1;
    cb_error error = cb_token_agree(token, key, cb_bytes_make(point, len), point + 1, c.size);
    if (!error && !solve_y(&c, point + 1, point + 1 + c.size))
        error = CB_E_CRYPTO;
    if (!error)
        error = cb_key_sign(token, key, algorithm, CB_USE_SIGN_DIGEST, CB_HASH_SHA256,
                            cb_digest_bytes(&digest), &raw);
    if (!error) {
        cb_ecdsa_to_der(cb_buf_bytes(&raw), &der);
        error = cb_buf_error(&der);
    }
    if (!error && !verifies(algorithm, point, len, &digest, cb_buf_bytes(&der)) &&
        (!negate(&c, point + 1 + c.size) ||
         !verifies(algorithm, point, len, &digest, cb_buf_bytes(&der))))
        error = CB_E_FORMAT;
    if (!error)
        cb_spki_ec_point(algorithm, cb_bytes_make(point, len), out);
    cb_buf_free(&raw);
    cb_buf_free(&der);
    return error ? error : cb_buf_error(out);
}

/* ---- Is it what it is said to be? ---- */

/* What a key's wrapped form says of its size, up to seven bytes too much. */
static size_t size_at_most(cb_bytes wrapped_key) { return wrapped_key.len - KWP_BLOCK; }

static bool size_ok(uint8_t algorithm, cb_bytes wrapped_key)
{
    if (wrapped_key.len < 2 * KWP_BLOCK || wrapped_key.len % KWP_BLOCK != 0)
        return false;
    if (!cb_is_secret(algorithm))
        return true;
    size_t size = size_at_most(wrapped_key);
    return size <= CB_SECRET_MAX && (algorithm == CB_KEY_SECRET || size >= CB_HMAC_SECRET_MIN);
}

static cb_error check_kind(cb_token *token, CK_OBJECT_HANDLE key, uint8_t algorithm)
{
    cb_buf value = CB_BUF(1024);
    cb_bytes curve_oid = cb_curve_oid(algorithm);
    cb_error error = CB_OK;
    if (curve_oid.len > 0) {
        error = cb_token_attribute(token, key, CKA_EC_PARAMS, &value);
        if (!error && !cb_bytes_same(cb_buf_bytes(&value), curve_oid))
            error = CB_E_FORMAT;
    } else if (!cb_is_secret(algorithm)) {
        size_t size = algorithm == CB_KEY_RSA_2048 ? 256 : 384;
        error = cb_token_attribute(token, key, CKA_MODULUS, &value);
        if (!error && (value.len != size || !(value.data[0] & 0x80)))
            error = CB_E_FORMAT;
    }
    cb_buf_free(&value);
    return error;
}

/* Whether the sealed copy makes the MACs that the imported key makes. */
static cb_error same_macs(cb_keyring *keyring, CK_OBJECT_HANDLE key, cb_bytes sealed)
{
    static const CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    cb_bytes message = cb_bytes_str("cardbroker import: is this the same key?");
    cb_buf before = CB_BUF(1024), after = CB_BUF(1024);
    cb_open_key copy = {.wrapped = CB_BUF(CB_WRAPPED_MAX)};
    cb_error error = cb_token_sign(cb_keyring_token(keyring), key, &hmac, &message, 1, &before);
    if (!error)
        error = cb_sealed_open(keyring, sealed, &copy);
    if (!error)
        error = cb_open_key_use(keyring, &copy, CB_USE_MAC, 0, message, &after);
    if ((error == CB_E_HSM_TOKEN && !cb_token_failed(cb_keyring_token(keyring))) ||
        (!error && !cb_equal(cb_buf_bytes(&before), cb_buf_bytes(&after))))
        error = CB_E_FORMAT;
    cb_open_key_close(keyring, &copy);
    cb_buf_free(&before);
    cb_buf_free(&after);
    return error;
}

/* ---- Unwrapping ---- */

/* The transport key, which only the import key can decrypt. */
static cb_error unwrap_transport(cb_keyring *keyring, cb_bytes wrapped, CK_OBJECT_HANDLE *out)
{
    CK_RSA_PKCS_OAEP_PARAMS parameters = {
        .hashAlg = CKM_SHA_1, .mgf = CKG_MGF1_SHA1, .source = CKZ_DATA_SPECIFIED};
    CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, &parameters, sizeof parameters};
    char label[48];
    snprintf(label, sizeof label, "cardbroker.%s", cb_own_key_name(CB_OWN_IMPORT));
    cb_token_key import = cb_token_key_named(CKO_PRIVATE_KEY, label);
    CK_OBJECT_HANDLE handle;
    cb_key_template template = {.class = CKO_SECRET_KEY, .type = CKK_AES};
    cb_template_add(&template, CKA_CLASS, &template.class, sizeof template.class);
    cb_template_add(&template, CKA_KEY_TYPE, &template.type, sizeof template.type);
    cb_template_bool(&template, CKA_TOKEN, false);
    cb_template_bool(&template, CKA_SENSITIVE, true);
    cb_template_bool(&template, CKA_EXTRACTABLE, false);
    cb_template_bool(&template, CKA_UNWRAP, true);
    cb_template_bool(&template, CKA_DECRYPT, false);
    cb_error error = cb_token_find(cb_keyring_token(keyring), &import, &handle);
    return error ? error
                 : cb_token_unwrap(cb_keyring_token(keyring), &oaep, handle, wrapped,
                                   cb_template_of(&template), out);
}

static cb_error unwrap_key(cb_keyring *keyring, uint8_t algorithm, cb_bytes wrapped,
                           CK_OBJECT_HANDLE *out)
{
    cb_token *token = cb_keyring_token(keyring);
    CK_OBJECT_HANDLE transport = CK_INVALID_HANDLE;
    cb_key_template template;
    cb_cursor cursor = cb_cursor_over(wrapped);
    cb_bytes encrypted = cb_cursor_take(&cursor, IMPORT_RSA_BYTES);
    cb_bytes key = cb_cursor_rest(&cursor);
    if (!cb_cursor_ok(&cursor) || wrapped.len > CB_IMPORT_MAX || !size_ok(algorithm, key))
        return CB_E_FORMAT;
    cb_template_key(&template, algorithm,
                    algorithm == CB_KEY_SECRET ? CB_STATION_RELEASE : CB_STATION_NEWBORN, true);
    if (cb_curve_oid(algorithm).len > 0) {
        for (CK_ULONG i = 0; i < template.count; i++) {
            if (template.attribute[i].type == CKA_DERIVE)
                template.attribute[i] = template.attribute[--template.count];
        }
        cb_template_bool(&template, CKA_DERIVE, true);
    }
    cb_error error = unwrap_transport(keyring, encrypted, &transport);
    if (!error)
        error =
            cb_token_unwrap(token, &cb_key_wrap, transport, key, cb_template_of(&template), out);
    /* A token that is well and will not take the key says so in many ways. */
    bool refused = error == CB_E_HSM_RECORD || (error == CB_E_HSM_TOKEN && !cb_token_failed(token));
    cb_token_destroy(token, &transport);
    return refused ? CB_E_FORMAT : error;
}

cb_error cb_sealed_import(cb_keyring *keyring, cb_sealed_info *info, cb_bytes wrapped,
                          cb_buf *sealed, cb_buf *public_key)
{
    cb_token *token = cb_keyring_token(keyring);
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    size_t size = 0;
    cb_buf spki = CB_BUF(CB_PUBLIC_KEY_MAX), blob = CB_BUF(CB_SEALED_MAX);
    if (!cb_sealed_info_ok(info))
        return CB_E_ARGUMENT;
    cb_error error = cb_token_revive(token);
    unsigned login = cb_token_login(token);
    if (!error)
        error = unwrap_key(keyring, info->algorithm, wrapped, &key);
    if (!error)
        error = check_kind(token, key, info->algorithm);
    if (!error && cb_curve_oid(info->algorithm).len > 0)
        error = ec_public(token, key, info->algorithm, &spki);
    else if (!error && !cb_is_secret(info->algorithm))
        error = cb_spki_rsa(token, key, &spki);
    if (!error && info->algorithm == CB_KEY_SECRET)
        error = cb_token_value_size(token, key, &size);
    info->key = cb_id_new();
    if (!error)
        error = cb_seal_key(keyring, info, key, size, cb_buf_bytes(&spki), &blob);
    if (!error && login != cb_token_login(token))
        error = CB_E_HSM_TOKEN;
    if (!error && info->algorithm == CB_KEY_HMAC_SHA256)
        error = same_macs(keyring, key, cb_buf_bytes(&blob));
    cb_token_destroy_of(token, login, &key);
    if (!error) {
        cb_buf_put(sealed, cb_buf_bytes(&blob));
        cb_buf_put(public_key, cb_buf_bytes(&spki));
        error = cb_buf_error(sealed) ? cb_buf_error(sealed) : cb_buf_error(public_key);
    }
    cb_buf_free(&spki);
    cb_buf_free(&blob);
    return error;
}
