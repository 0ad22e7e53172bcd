/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/keyring.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/log.h"
#include "base/secret.h"
#include "hsm/keyring_names.h"
#include "hsm/spki.h"

enum { MAC_PARTS_MAX = 16, SIGNATURE_MAX = 512 };

struct cb_keyring {
    cb_token *token;
    cb_token_key records;
    cb_token_key own[CB_OWN_KEY_COUNT];
    cb_token_key kek[CB_GENERATIONS_MAX + 1][CB_KEK_KINDS];
    bool complete[CB_GENERATIONS_MAX + 1];
    uint32_t generation; /* the newest that is complete */
    uint32_t settled;    /* the newest that is known to be on the disk */
    cb_token_key scp03;
    uint8_t scp03_len; /* 0: there is none */
    bool no_terminals; /* the token lacks that key */
};

/* ---- Opening ---- */

/* Adds one for each object of a kind to its generation. Objects with a foreign CKA_ID are not ours. */
static cb_error survey_kind(cb_token *token, cb_kek kind, uint8_t kinds[CB_GENERATIONS_MAX + 1])
{
    CK_OBJECT_HANDLE found[CB_GENERATIONS_MAX];
    size_t count;
    cb_buf id = CB_BUF(256);
    cb_error error = cb_token_list(token, CKO_SECRET_KEY, cb_kek_label(kind), found,
                                   CB_GENERATIONS_MAX, &count);
    for (size_t i = 0; i < count && !error; i++) {
        cb_buf_reset(&id);
        error = cb_token_attribute(token, found[i], CKA_ID, &id);
        cb_cursor cursor = cb_cursor_over(cb_buf_bytes(&id));
        uint32_t number = cb_cursor_u32(&cursor);
        if (!error && cb_cursor_done(&cursor) && number <= CB_GENERATIONS_MAX)
            kinds[number]++;
    }
    cb_buf_free(&id);
    return error;
}

cb_error cb_kek_survey(cb_token *token, uint8_t kinds[CB_GENERATIONS_MAX + 1])
{
    cb_error error = CB_OK;
    memset(kinds, 0, CB_GENERATIONS_MAX + 1);
    for (unsigned kind = 0; kind < CB_KEK_KINDS && !error; kind++)
        error = survey_kind(token, (cb_kek)kind, kinds);
    return error;
}

static cb_error check_flag(cb_keyring *keyring, cb_token_key *key, CK_ATTRIBUTE_TYPE type,
                           bool wanted)
{
    CK_OBJECT_HANDLE handle;
    cb_buf value = CB_BUF(16);
    cb_error error = cb_token_find(keyring->token, key, &handle);
    if (!error)
        error = cb_token_attribute(keyring->token, handle, type, &value);
    if (!error && (value.len != sizeof(CK_BBOOL) || (value.data[0] != CK_FALSE) != wanted))
        error = cb_log_failure("keyring.attributes", CB_E_CONFIG, key->label);
    cb_buf_free(&value);
    return error;
}

cb_error cb_keyring_check_locked(cb_keyring *keyring, cb_token_key *key)
{
    cb_error error = check_flag(keyring, key, CKA_SENSITIVE, true);
    return error ? error : check_flag(keyring, key, CKA_EXTRACTABLE, false);
}

static cb_error find_kek(cb_keyring *keyring, cb_kek kind, uint32_t generation)
{
    cb_token_key *key = &keyring->kek[generation][kind];
    *key = cb_token_key_named(CKO_SECRET_KEY, cb_kek_label(kind));
    cb_generation_id(generation, key->id);
    key->id_len = sizeof key->id;
    cb_error error = cb_keyring_check_locked(keyring, key);
    if (!error)
        error = check_flag(keyring, key, CKA_DECRYPT, false);
    if (!error)
        error = check_flag(keyring, key, CKA_TRUSTED, kind == CB_KEK_REWRAP);
    return error;
}

/* Generations may be missing between others: one that was left half made is never completed, nor destroyed. */
cb_error cb_keyring_refresh(cb_keyring *keyring)
{
    uint8_t kinds[CB_GENERATIONS_MAX + 1];
    cb_error error = cb_kek_survey(keyring->token, kinds);
    for (uint32_t g = 1; g <= CB_GENERATIONS_MAX && !error; g++) {
        if (kinds[g] != CB_KEK_KINDS || keyring->complete[g])
            continue;
        for (unsigned kind = 0; kind < CB_KEK_KINDS && !error; kind++)
            error = find_kek(keyring, (cb_kek)kind, g);
        keyring->complete[g] = !error;
        keyring->generation = !error && g > keyring->generation ? g : keyring->generation;
    }
    return error;
}

static cb_error read_number(cb_keyring *keyring, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE_TYPE type,
                            CK_ULONG *out)
{
    cb_buf value = CB_BUF(sizeof *out);
    cb_error error = cb_token_attribute(keyring->token, handle, type, &value);
    if (!error && value.len != sizeof *out)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(out, value.data, sizeof *out);
    cb_buf_free(&value);
    return error;
}

/* Not every broker has such cards. It comes from outside, by hand: what is no key for CMACs is found
 * here, not by the first card. */
static cb_error find_scp03(cb_keyring *keyring)
{
    CK_OBJECT_HANDLE handle;
    CK_ULONG type = 0, len = 0;
    keyring->scp03 = cb_token_key_named(CKO_SECRET_KEY, CB_LABEL_SCP03);
    cb_error error = cb_token_find(keyring->token, &keyring->scp03, &handle);
    if (error)
        return error == CB_E_NOT_FOUND ? CB_OK : error;
    error = cb_keyring_check_locked(keyring, &keyring->scp03);
    if (!error)
        error = check_flag(keyring, &keyring->scp03, CKA_SIGN, true);
    if (!error)
        error = read_number(keyring, handle, CKA_KEY_TYPE, &type);
    if (!error && type == CKK_AES)
        error = read_number(keyring, handle, CKA_VALUE_LEN, &len);
    if (!error && len != 16 && len != 24 && len != 32)
        error = cb_log_failure("keyring.attributes", CB_E_CONFIG, CB_LABEL_SCP03);
    keyring->scp03_len = error ? 0 : (uint8_t)len;
    return error;
}

static cb_error find_keys(cb_keyring *keyring)
{
    char label[48];
    keyring->records = cb_token_key_named(CKO_SECRET_KEY, CB_LABEL_RECORDS);
    cb_error error = cb_keyring_check_locked(keyring, &keyring->records);
    for (unsigned i = 0; i < CB_OWN_KEY_COUNT && !error; i++) {
        cb_own_key_label((cb_own_key)i, label);
        keyring->own[i] = cb_token_key_named(CKO_PRIVATE_KEY, label);
        error = cb_keyring_check_locked(keyring, &keyring->own[i]);
        if (i == CB_OWN_TERMINALS && error == CB_E_NOT_FOUND) {
            keyring->no_terminals = true;
            error = CB_OK;
        }
    }
    if (!error)
        error = cb_keyring_refresh(keyring);
    if (!error && keyring->generation == 0)
        error = CB_E_NOT_FOUND;
    if (!error)
        error = find_scp03(keyring);
    if (error == CB_E_NOT_FOUND)
        error = cb_log_failure("keyring.incomplete", CB_E_CONFIG,
                               "the token lacks keys of the broker: initialise it");
    return error;
}

cb_error cb_keyring_open(const cb_token_config *config, cb_buf *pin, cb_keyring **out)
{
    cb_keyring *keyring = calloc(1, sizeof *keyring);
    if (!keyring) {
        cb_buf_free(pin);
        return CB_E_MEMORY;
    }
    cb_error error = cb_token_open(config, pin, &keyring->token);
    if (!error)
        error = find_keys(keyring);
    if (error)
        cb_keyring_close(&keyring);
    else
        *out = keyring;
    return error;
}

void cb_keyring_close(cb_keyring **keyring)
{
    if (!*keyring)
        return;
    cb_token_close(&(*keyring)->token);
    free(*keyring);
    *keyring = NULL;
}

cb_token *cb_keyring_token(cb_keyring *keyring)
{
    return keyring->token;
}

/* ---- MACs ---- */

static const char *mac_label(cb_mac_purpose purpose)
{
    switch (purpose) {
    case CB_MAC_SEALED:
        return "cardbroker mac sealed key 1";
    case CB_MAC_BINDING:
        return "cardbroker mac card binding 1";
    case CB_MAC_RECEIPT:
        return "cardbroker mac receipt 1";
    case CB_MAC_LOG_HEAD:
        return "cardbroker mac log head 1";
    case CB_MAC_MEMORY:
        return "cardbroker mac memory 1";
    case CB_MAC_PASSWORD:
        return "cardbroker mac password 1";
    case CB_MAC_SALT:
        return "cardbroker salt 1";
    }
    return NULL;
}

cb_error cb_keyring_mac(cb_keyring *keyring, cb_mac_purpose purpose, const cb_bytes *parts,
                        size_t count, cb_digest *out)
{
    static const CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    cb_bytes all[MAC_PARTS_MAX + 1];
    cb_buf mac = CB_BUF(SIGNATURE_MAX);
    const char *label = mac_label(purpose);
    if (!label || count > MAC_PARTS_MAX)
        return CB_E_ARGUMENT;
    all[0] = cb_bytes_make(label, strlen(label) + 1);
    for (size_t i = 0; i < count; i++)
        all[i + 1] = parts[i];
    cb_error error = cb_token_sign_with(keyring->token, &keyring->records, &hmac, all, count + 1, &mac);
    if (!error && mac.len != CB_SHA256_SIZE)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(out->bytes, mac.data, CB_SHA256_SIZE);
    cb_buf_free(&mac);
    return error;
}

cb_error cb_keyring_mac_check(cb_keyring *keyring, cb_mac_purpose purpose, const cb_bytes *parts,
                              size_t count, cb_bytes mac)
{
    cb_digest right;
    cb_error error = cb_keyring_mac(keyring, purpose, parts, count, &right);
    if (!error && !cb_equal(cb_digest_bytes(&right), mac))
        error = CB_E_HSM_RECORD;
    cb_wipe(&right, sizeof right);
    return error;
}

cb_error cb_keyring_host_salt(void *keys, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT])
{
    cb_digest mac;
    cb_bytes part = cb_id_bytes(password);
    cb_error error = cb_keyring_mac(keys, CB_MAC_SALT, &part, 1, &mac);
    if (!error)
        memcpy(salt, mac.bytes, CB_PASSWORD_SALT);
    return error;
}

/* ---- The broker's own keys ---- */

static cb_error public_object(cb_keyring *keyring, cb_own_key key, CK_OBJECT_HANDLE *out)
{
    char label[48];
    cb_own_key_label(key, label);
    cb_token_key public_key = cb_token_key_named(CKO_PUBLIC_KEY, label);
    return cb_token_find(keyring->token, &public_key, out);
}

cb_error cb_keyring_public(cb_keyring *keyring, cb_own_key key, cb_buf *out)
{
    CK_OBJECT_HANDLE object;
    if (key == CB_OWN_TERMINALS && keyring->no_terminals)
        return CB_E_CONFIG;
    cb_error error = cb_token_revive(keyring->token);
    if (!error)
        error = public_object(keyring, key, &object);
    if (error)
        return error;
    return key == CB_OWN_IMPORT ? cb_spki_rsa(keyring->token, object, out)
                                : cb_spki_ec(keyring->token, object, CB_KEY_EC_P256, out);
}

cb_error cb_keyring_point(cb_keyring *keyring, cb_own_key key, uint8_t out[CB_P256_POINT])
{
    CK_OBJECT_HANDLE object;
    cb_buf point = CB_BUF(256);
    if (key == CB_OWN_IMPORT)
        return CB_E_ARGUMENT;
    cb_error error = public_object(keyring, key, &object);
    if (!error)
        error = cb_spki_point(keyring->token, object, &point);
    if (!error && point.len != CB_P256_POINT)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(out, point.data, CB_P256_POINT);
    cb_buf_free(&point);
    return error;
}

cb_error cb_keyring_sign_with(cb_keyring *keyring, cb_token_key *key, const cb_digest *digest,
                              uint8_t signature[CB_P256_SIGNATURE])
{
    static const CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    cb_bytes part = cb_digest_bytes(digest);
    cb_buf raw = CB_BUF(SIGNATURE_MAX);
    cb_error error = cb_token_sign_with(keyring->token, key, &ecdsa, &part, 1, &raw);
    if (!error && raw.len != CB_P256_SIGNATURE)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(signature, raw.data, CB_P256_SIGNATURE);
    cb_buf_free(&raw);
    return error;
}

cb_error cb_keyring_sign(cb_keyring *keyring, cb_own_key key, const cb_digest *digest,
                         uint8_t signature[CB_P256_SIGNATURE])
{
    if (key != CB_OWN_CARD_SIGNATURE && key != CB_OWN_LOG && key != CB_OWN_TERMINALS)
        return CB_E_ARGUMENT;
    if (key == CB_OWN_TERMINALS && keyring->no_terminals)
        return CB_E_CONFIG;
    return cb_keyring_sign_with(keyring, &keyring->own[key], digest, signature);
}

cb_error cb_keyring_agree_with(cb_keyring *keyring, cb_token_key *key,
                               const uint8_t peer[CB_P256_POINT], uint8_t shared[CB_P256_SCALAR])
{
    cb_bytes point = cb_bytes_make(peer, CB_P256_POINT);
    if (!cb_p256_is_point(point))
        return CB_E_CARD_ANSWER;
    return cb_token_agree_with(keyring->token, key, point, shared, CB_P256_SCALAR);
}

cb_error cb_keyring_host_agree(void *keys, const uint8_t peer[CB_P256_POINT],
                               uint8_t shared[CB_P256_SCALAR])
{
    cb_keyring *keyring = keys;
    return cb_keyring_agree_with(keyring, &keyring->own[CB_OWN_CARD_AGREEMENT], peer, shared);
}

cb_error cb_keyring_host_sign(void *keys, const cb_digest *digest,
                              uint8_t signature[CB_P256_SIGNATURE])
{
    return cb_keyring_sign(keys, CB_OWN_CARD_SIGNATURE, digest, signature);
}

uint8_t cb_keyring_scp03_len(const cb_keyring *keyring) { return keyring->scp03_len; }

cb_error cb_keyring_host_cmac(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    static const CK_MECHANISM cmac = {CKM_AES_CMAC, NULL, 0};
    cb_keyring *keyring = keys;
    cb_buf mac = CB_BUF(SIGNATURE_MAX);
    if (keyring->scp03_len == 0)
        return CB_E_CONFIG;
    cb_error error = cb_token_sign_with(keyring->token, &keyring->scp03, &cmac, &data, 1, &mac);
    if (!error && mac.len != CB_AES_BLOCK)
        error = CB_E_HSM_TOKEN;
    if (!error)
        memcpy(out, mac.data, CB_AES_BLOCK);
    cb_buf_free(&mac);
    return error;
}

/* ---- Generations ---- */

uint32_t cb_keyring_generation(const cb_keyring *keyring)
{
    return keyring->generation;
}

cb_error cb_keyring_settle(cb_keyring *keyring)
{
    if (keyring->settled == keyring->generation)
        return CB_OK;
    cb_error error = cb_token_sync(keyring->token);
    if (!error)
        keyring->settled = keyring->generation;
    return error;
}

cb_error cb_keyring_kek(cb_keyring *keyring, cb_kek kind, uint32_t generation,
                        CK_OBJECT_HANDLE *out)
{
    cb_error error = CB_OK;
    if (generation == 0 || generation > CB_GENERATIONS_MAX)
        return CB_E_HSM_RECORD;
    if (!keyring->complete[generation])
        error = cb_keyring_refresh(keyring);
    if (!error && !keyring->complete[generation])
        error = CB_E_HSM_RECORD;
    return error ? error : cb_token_find(keyring->token, &keyring->kek[generation][kind], out);
}
