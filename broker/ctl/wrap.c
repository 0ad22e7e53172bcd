/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/ctl/wrap.h"

#include <string.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/crypto.h"
#include "base/secret.h"

enum { SEMIBLOCK = 8, AES_KEY = 32, RSA_LEAST = 256, RSA_MOST = 512 };

/* One of the 6 · n steps of RFC 3394, 2.2.1. */
static cb_error step(cb_bytes key, uint8_t a[SEMIBLOCK], uint8_t *r, uint64_t t)
{
    uint8_t block[CB_AES_BLOCK], out[CB_AES_BLOCK];
    memcpy(block, a, SEMIBLOCK);
    memcpy(block + SEMIBLOCK, r, SEMIBLOCK);
    cb_error error = cb_aes_block(key, block, out);
    for (unsigned i = 0; i < SEMIBLOCK; i++)
        a[i] = out[i] ^ (uint8_t)(t >> (56 - 8 * i));
    memcpy(r, out + SEMIBLOCK, SEMIBLOCK);
    cb_wipe(block, sizeof block);
    cb_wipe(out, sizeof out);
    return error;
}

static cb_error wrap_semiblocks(cb_bytes key, uint8_t a[SEMIBLOCK], uint8_t *text, size_t n)
{
    cb_error error = CB_OK;
    for (uint64_t j = 0; !error && j < 6; j++)
        for (uint64_t i = 0; !error && i < n; i++)
            error = step(key, a, text + i * SEMIBLOCK, n * j + i + 1);
    return error;
}

cb_error cb_ctl_kwp(cb_bytes key, cb_bytes plain, cb_buf *out)
{
    uint8_t a[CB_AES_BLOCK] = {0xA6, 0x59, 0x59, 0xA6};
    if (plain.len == 0 || plain.len > CB_CTL_KEY_MAX)
        return CB_E_ARGUMENT;
    size_t n = (plain.len + SEMIBLOCK - 1) / SEMIBLOCK;
    for (unsigned i = 0; i < 4; i++)
        a[4 + i] = (uint8_t)(plain.len >> (24 - 8 * i));
    uint8_t *room = cb_buf_extend(out, (n + 1) * SEMIBLOCK);
    if (!room)
        return cb_buf_error(out);
    memset(room, 0, (n + 1) * SEMIBLOCK);
    memcpy(room + SEMIBLOCK, plain.data, plain.len);
    cb_error error;
    if (n == 1) { /* RFC 5649, 4.1: one block is encrypted as it stands */
        memcpy(a + SEMIBLOCK, room + SEMIBLOCK, SEMIBLOCK);
        error = cb_aes_block(key, a, room);
    } else {
        error = wrap_semiblocks(key, a, room + SEMIBLOCK, n);
        memcpy(room, a, SEMIBLOCK);
    }
    if (error)
        cb_wipe(room, (n + 1) * SEMIBLOCK);
    cb_wipe(a, sizeof a);
    return error;
}

static cb_error encrypt(RsaKey *key, const uint8_t aes[AES_KEY], cb_buf *out)
{
    WC_RNG rng;
    int size = wc_RsaEncryptSize(key);
    if (size < RSA_LEAST || size > RSA_MOST)
        return CB_E_ARGUMENT;
    if (wc_InitRng(&rng) != 0)
        return CB_E_CRYPTO;
    uint8_t *room = cb_buf_extend(out, (size_t)size);
    int done = room
                   ? wc_RsaPublicEncrypt_ex(aes, AES_KEY, room, (word32)size, key, &rng,
                                            WC_RSA_OAEP_PAD, WC_HASH_TYPE_SHA, WC_MGF1SHA1, NULL, 0)
                   : -1;
    wc_FreeRng(&rng);
    if (!room)
        return cb_buf_error(out);
    return done == size ? CB_OK : CB_E_CRYPTO;
}

cb_error cb_ctl_wrap(cb_bytes import_key, cb_bytes plain, cb_buf *wrapped)
{
    uint8_t aes[AES_KEY];
    RsaKey key;
    word32 at = 0;
    if (wc_InitRsaKey(&key, NULL) != 0)
        return CB_E_CRYPTO;
    cb_random(aes, sizeof aes);
    cb_error error =
        wc_RsaPublicKeyDecode(import_key.data, &at, &key, (word32)import_key.len) == 0 &&
                at == import_key.len
            ? CB_OK
            : CB_E_ARGUMENT;
    if (!error)
        error = encrypt(&key, aes, wrapped);
    if (!error)
        error = cb_ctl_kwp(CB_BYTES_OF(aes), plain, wrapped);
    cb_wipe(aes, sizeof aes);
    wc_FreeRsaKey(&key);
    return error;
}
