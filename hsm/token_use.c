/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>

#include "base/secret.h"
#include "hsm/token_parts.h"

enum { SIGN_INPUT_MAX = 64 * 1024, SIGN_OUTPUT_MAX = 512, WRAPPED_MAX = 4096 };

/* PKCS#11 takes mechanisms by a pointer that is not const, but does not write to them. */
static CK_MECHANISM copy_of(const CK_MECHANISM *mechanism)
{
    return *mechanism;
}

static cb_error sign(cb_token *token, CK_OBJECT_HANDLE key, const CK_MECHANISM *mechanism,
                     cb_buf *input, cb_buf *out)
{
    CK_MECHANISM m = copy_of(mechanism);
    CK_ULONG len = SIGN_OUTPUT_MAX;
    cb_error error =
        cb_token_note(token, "C_SignInit", token->f->C_SignInit(token->session, &m, key));
    if (error)
        return error;
    uint8_t empty[1] = {0}, signature[SIGN_OUTPUT_MAX];
    CK_RV rv = token->f->C_Sign(token->session, input->data ? input->data : empty, input->len,
                                signature, &len);
    if (rv == CKR_OK)
        cb_buf_put(out, cb_bytes_make(signature, len));
    cb_wipe(signature, sizeof signature);
    error = cb_token_note(token, "C_Sign", rv);
    return error ? error : cb_buf_error(out);
}

cb_error cb_token_sign(cb_token *token, CK_OBJECT_HANDLE key, const CK_MECHANISM *mechanism,
                       const cb_bytes *parts, size_t count, cb_buf *out)
{
    cb_buf input = CB_BUF(SIGN_INPUT_MAX);
    for (size_t i = 0; i < count; i++)
        cb_buf_put(&input, parts[i]);
    cb_error error = cb_buf_error(&input);
    if (!error)
        error = sign(token, key, mechanism, &input, out);
    cb_buf_free(&input);
    return error;
}

cb_error cb_token_sign_with(cb_token *token, cb_token_key *key, const CK_MECHANISM *mechanism,
                            const cb_bytes *parts, size_t count, cb_buf *out)
{
    CK_OBJECT_HANDLE handle;
    cb_error error = cb_token_find(token, key, &handle);
    if (!error)
        error = cb_token_sign(token, handle, mechanism, parts, count, out);
    if (error != CB_E_HSM_TOKEN || !cb_token_lost(token))
        return error;
    error = cb_token_again(token);
    if (!error)
        error = cb_token_find(token, key, &handle);
    return error ? error : cb_token_sign(token, handle, mechanism, parts, count, out);
}

cb_error cb_token_agree(cb_token *token, CK_OBJECT_HANDLE key, cb_bytes point, uint8_t *out,
                        size_t len)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG size = len;
    uint8_t peer[200];
    if (point.len > sizeof peer)
        return CB_E_ARGUMENT;
    memcpy(peer, point.data, point.len);
    CK_ECDH1_DERIVE_PARAMS parameters = {
        .kdf = CKD_NULL, .ulPublicDataLen = point.len, .pPublicData = peer};
    CK_MECHANISM mechanism = {CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof class},
                                 {CKA_KEY_TYPE, &type, sizeof type},
                                 {CKA_TOKEN, &no, sizeof no},
                                 {CKA_PRIVATE, &no, sizeof no},
                                 {CKA_SENSITIVE, &no, sizeof no},
                                 {CKA_EXTRACTABLE, &yes, sizeof yes},
                                 {CKA_VALUE_LEN, &size, sizeof size}};
    CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;
    cb_buf value = CB_BUF(len);
    CK_RV rv = token->f->C_DeriveKey(token->session, &mechanism, key, attributes,
                                     sizeof attributes / sizeof *attributes, &secret);
    cb_error error = cb_token_note(token, "C_DeriveKey", rv);
    if (!error)
        error = cb_token_attribute(token, secret, CKA_VALUE, &value);
    if (!error && value.len != len)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(out, value.data, len);
    cb_token_destroy(token, &secret);
    cb_buf_free(&value);
    return error;
}

cb_error cb_token_agree_with(cb_token *token, cb_token_key *key, cb_bytes point, uint8_t *out,
                             size_t len)
{
    CK_OBJECT_HANDLE handle;
    cb_error error = cb_token_tidy(token);
    if (!error)
        error = cb_token_find(token, key, &handle);
    if (!error)
        error = cb_token_agree(token, handle, point, out, len);
    if (error != CB_E_HSM_TOKEN || !cb_token_lost(token))
        return error;
    error = cb_token_again(token);
    if (!error)
        error = cb_token_find(token, key, &handle);
    return error ? error : cb_token_agree(token, handle, point, out, len);
}

/* ---- Session objects ---- */

cb_error cb_token_generate(cb_token *token, const CK_MECHANISM *mechanism,
                           cb_token_template template, CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM m = copy_of(mechanism);
    *out = CK_INVALID_HANDLE;
    return cb_token_note(token, "C_GenerateKey",
                         token->f->C_GenerateKey(token->session, &m, template.attributes,
                                                 template.count, out));
}

cb_error cb_token_generate_pair(cb_token *token, const CK_MECHANISM *mechanism,
                                cb_token_template public_template,
                                cb_token_template private_template, CK_OBJECT_HANDLE *public_key,
                                CK_OBJECT_HANDLE *private_key)
{
    CK_MECHANISM m = copy_of(mechanism);
    *public_key = *private_key = CK_INVALID_HANDLE;
    CK_RV rv = token->f->C_GenerateKeyPair(
        token->session, &m, public_template.attributes, public_template.count,
        private_template.attributes, private_template.count, public_key, private_key);
    return cb_token_note(token, "C_GenerateKeyPair", rv);
}

cb_error cb_token_wrap(cb_token *token, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping,
                       CK_OBJECT_HANDLE key, cb_buf *out)
{
    CK_MECHANISM m = copy_of(mechanism);
    CK_ULONG len = WRAPPED_MAX;
    uint8_t wrapped[WRAPPED_MAX];
    CK_RV rv = token->f->C_WrapKey(token->session, &m, wrapping, key, wrapped, &len);
    if (rv == CKR_OK)
        cb_buf_put(out, cb_bytes_make(wrapped, len));
    cb_error error = cb_token_note(token, "C_WrapKey", rv);
    return error ? error : cb_buf_error(out);
}

cb_error cb_token_unwrap(cb_token *token, const CK_MECHANISM *mechanism,
                         CK_OBJECT_HANDLE unwrapping, cb_bytes wrapped, cb_token_template template,
                         CK_OBJECT_HANDLE *out)
{
    CK_MECHANISM m = copy_of(mechanism);
    uint8_t bytes[WRAPPED_MAX];
    *out = CK_INVALID_HANDLE;
    if (wrapped.len > sizeof bytes)
        return CB_E_HSM_RECORD;
    memcpy(bytes, wrapped.data, wrapped.len);
    CK_RV rv = token->f->C_UnwrapKey(token->session, &m, unwrapping, bytes, wrapped.len,
                                     template.attributes, template.count, out);
    cb_error error = cb_token_note(token, "C_UnwrapKey", rv);
    if (rv == CKR_WRAPPED_KEY_INVALID || rv == CKR_WRAPPED_KEY_LEN_RANGE ||
        rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_GENERAL_ERROR)
        error = CB_E_HSM_RECORD;
    return error;
}

void cb_token_destroy(cb_token *token, CK_OBJECT_HANDLE *object)
{
    if (*object != CK_INVALID_HANDLE &&
        cb_token_note(token, "C_DestroyObject",
                      token->f->C_DestroyObject(token->session, *object)) &&
        token->last != CKR_OBJECT_HANDLE_INVALID)
        token->leftover = true;
    *object = CK_INVALID_HANDLE;
}

void cb_token_destroy_of(cb_token *token, unsigned login, CK_OBJECT_HANDLE *object)
{
    if (login == token->login)
        cb_token_destroy(token, object);
    *object = CK_INVALID_HANDLE;
}
