/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hsm/card_pair.h"

#include <stdlib.h>

#include "hsm/keyring_names.h"
#include "hsm/spki.h"

enum { POINT_MAX = 256 };

static cb_error find_private(cb_keyring *keyring, cb_own_key key, unsigned number,
                             cb_token_key *out)
{
    char label[48];
    cb_card_pair_label(key, number, label);
    *out = cb_token_key_named(CKO_PRIVATE_KEY, label);
    return cb_keyring_check_locked(keyring, out);
}

cb_error cb_card_pair_find(cb_keyring *keyring, unsigned number, cb_card_pair *out)
{
    *out = (cb_card_pair){.keyring = keyring};
    if (number == 0 || number > CB_CARD_PAIRS_MAX)
        return CB_E_NOT_FOUND;
    cb_error error = find_private(keyring, CB_OWN_CARD_AGREEMENT, number, &out->agreement);
    return error ? error
                 : find_private(keyring, CB_OWN_CARD_SIGNATURE, number, &out->signature);
}

static cb_error find_public(cb_keyring *keyring, const char *label, CK_OBJECT_HANDLE *out)
{
    cb_token_key key = cb_token_key_named(CKO_PUBLIC_KEY, label);
    return cb_token_find(cb_keyring_token(keyring), &key, out);
}

/* Whether the public half of a key is this point; NULL: any will do. */
static cb_error has_point(cb_keyring *keyring, const cb_token_key *key, const uint8_t *point)
{
    CK_OBJECT_HANDLE object;
    cb_buf own = CB_BUF(POINT_MAX);
    if (!point)
        return CB_OK;
    cb_error error = find_public(keyring, key->label, &object);
    if (!error)
        error = cb_spki_point(cb_keyring_token(keyring), object, &own);
    if (!error && !cb_bytes_same(cb_buf_bytes(&own), cb_bytes_make(point, CB_P256_POINT)))
        error = CB_E_NOT_FOUND;
    cb_buf_free(&own);
    return error;
}

cb_error cb_card_pair_of(cb_keyring *keyring, const uint8_t *agreement, const uint8_t *signature,
                         cb_card_pair *out)
{
    for (unsigned number = 1; number <= CB_CARD_PAIRS_MAX; number++) {
        cb_error error = cb_card_pair_find(keyring, number, out);
        if (error)
            return error;
        error = has_point(keyring, &out->agreement, agreement);
        if (!error)
            error = has_point(keyring, &out->signature, signature);
        if (error != CB_E_NOT_FOUND)
            return error;
    }
    return CB_E_NOT_FOUND;
}

cb_error cb_card_pair_public(cb_keyring *keyring, const char *name, cb_buf *out)
{
    static const cb_own_key keys[] = {CB_OWN_CARD_AGREEMENT, CB_OWN_CARD_SIGNATURE};
    char label[48];
    CK_OBJECT_HANDLE object;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *base = cb_own_key_name(keys[i]);
        size_t len = strlen(base);
        if (strncmp(name, base, len) != 0 || name[len] != '.')
            continue;
        char *end;
        unsigned long number = strtoul(name + len + 1, &end, 10);
        if (name[len + 1] < '1' || name[len + 1] > '9' || *end || number < 2 ||
            number > CB_CARD_PAIRS_MAX)
            return CB_E_NOT_FOUND;
        cb_card_pair_label(keys[i], (unsigned)number, label);
        cb_error error = cb_token_revive(cb_keyring_token(keyring));
        if (!error)
            error = find_public(keyring, label, &object);
        return error ? error
                     : cb_spki_ec(cb_keyring_token(keyring), object, CB_KEY_EC_P256, out);
    }
    return CB_E_NOT_FOUND;
}

cb_error cb_card_pair_agree(void *keys, const uint8_t peer[CB_P256_POINT],
                            uint8_t shared[CB_P256_SCALAR])
{
    cb_card_pair *pair = keys;
    return cb_keyring_agree_with(pair->keyring, &pair->agreement, peer, shared);
}

cb_error cb_card_pair_sign(void *keys, const cb_digest *digest,
                           uint8_t signature[CB_P256_SIGNATURE])
{
    cb_card_pair *pair = keys;
    return cb_keyring_sign_with(pair->keyring, &pair->signature, digest, signature);
}

cb_error cb_card_pair_cmac(void *keys, cb_bytes data, uint8_t out[CB_AES_BLOCK])
{
    return cb_keyring_host_cmac(((cb_card_pair *)keys)->keyring, data, out);
}

cb_error cb_card_pair_salt(void *keys, const cb_id *password, uint8_t salt[CB_PASSWORD_SALT])
{
    return cb_keyring_host_salt(((cb_card_pair *)keys)->keyring, password, salt);
}
