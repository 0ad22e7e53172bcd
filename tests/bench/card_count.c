/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "card_count.h"

#include "base/crypto.h"
#include "cardlink/card/applet.h"
#include "cardlink/card/key.h"

const char *const card_operation_names[CARD_OPERATIONS] = {[CARD_P256_GENERATE] = "p256_generate",
                                                           [CARD_P256_AGREE] = "p256_agree",
                                                           [CARD_P256_SIGN] = "p256_sign",
                                                           [CARD_P256_VERIFY] = "p256_verify",
                                                           [CARD_P384_SIGN] = "p384_sign",
                                                           [CARD_RSA_2048] = "rsa_2048",
                                                           [CARD_AES] = "aes",
                                                           [CARD_AES_CBC] = "aes_cbc",
                                                           [CARD_SHA256] = "sha256",
                                                           [CARD_SAVE] = "save"};

/* Not NULL while this thread is inside a card. */
static _Thread_local card_count *inside;

static void did(card_operation operation, uint64_t times)
{
    if (inside)
        inside->operations[operation] += times;
}

static uint64_t blocks(size_t len) { return (len + CARD_BLOCK - 1) / CARD_BLOCK; }

cb_error card_count_process(cb_vcard *card, cb_bytes command, cb_buf *answer, card_count *count)
{
    size_t before = answer->len;
    inside = count;
    cb_vcard_process(card, command, answer);
    inside = NULL;
    count->apdus++;
    count->to_card += command.len;
    count->to_host += answer->len - before;
    count->blocks += blocks(command.len) + blocks(answer->len - before);
    return cb_buf_error(answer);
}

void card_count_add(card_count *count, const card_count *more)
{
    count->apdus += more->apdus;
    count->to_card += more->to_card;
    count->to_host += more->to_host;
    count->blocks += more->blocks;
    for (int i = 0; i < CARD_OPERATIONS; i++)
        count->operations[i] += more->operations[i];
}

/* The linker gives calls to a function from other files to its __wrap_, and the function itself the
 * name __real_. */
#define COUNTED(operation, times, type, name, parameters, arguments)                               \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        did(operation, times);                                                                     \
        return __real_##name arguments;                                                            \
    }

COUNTED(CARD_P256_GENERATE, 1, cb_error, cb_p256_generate, (uint8_t * scalar, uint8_t *point),
        (scalar, point))
COUNTED(CARD_P256_AGREE, 1, cb_error, cb_p256_agree,
        (const uint8_t *scalar, cb_bytes peer, uint8_t *shared), (scalar, peer, shared))
COUNTED(CARD_P256_SIGN, 1, cb_error, cb_p256_sign,
        (const uint8_t *scalar, const cb_digest *digest, uint8_t *signature),
        (scalar, digest, signature))
COUNTED(CARD_P256_VERIFY, 1, bool, cb_p256_verify,
        (cb_bytes point, const cb_digest *digest, cb_bytes signature), (point, digest, signature))
COUNTED(CARD_P256_VERIFY, 1, cb_error, cb_p256_check,
        (cb_bytes point, const cb_digest *digest, cb_bytes signature), (point, digest, signature))
COUNTED(key->algorithm == CB_VCARD_EC_P384 ? CARD_P384_SIGN : CARD_P256_SIGN, 1, cb_error,
        cb_vcard_key_sign, (const cb_vcard_key *key, cb_bytes digest, cb_buf *out),
        (key, digest, out))
/* Of a secure channel; its suite on P-384 is no card's here. */
COUNTED(CARD_P256_AGREE, 1, cb_error, cb_vcard_key_agree,
        (const cb_vcard_key *key, cb_bytes peer, cb_buf *out), (key, peer, out))
COUNTED(CARD_RSA_2048, 1, cb_error, cb_vcard_key_rsa,
        (const cb_vcard_key *key, cb_bytes in, cb_buf *out), (key, in, out))
COUNTED(CARD_AES, 1, cb_error, cb_aes_cmac,
        (cb_bytes key, const cb_bytes *parts, size_t count, uint8_t *out), (key, parts, count, out))
COUNTED(CARD_AES, 1, cb_error, cb_aes_block, (cb_bytes key, const uint8_t *in, uint8_t *out),
        (key, in, out))
COUNTED(CARD_AES_CBC, 1, cb_error, cb_aes_cbc_encrypt,
        (cb_bytes key, const uint8_t *iv, cb_bytes in, uint8_t *out), (key, iv, in, out))
COUNTED(CARD_AES_CBC, 1, cb_error, cb_aes_cbc_decrypt,
        (cb_bytes key, const uint8_t *iv, cb_bytes in, uint8_t *out), (key, iv, in, out))
COUNTED(CARD_SHA256, (len + CB_SHA256_SIZE - 1) / CB_SHA256_SIZE, cb_error, cb_kdf_x963,
        (cb_bytes shared, cb_bytes info, uint8_t *out, size_t len), (shared, info, out, len))
COUNTED(CARD_SHA256, 1, cb_digest, cb_sha256, (cb_bytes data), (data))
COUNTED(CARD_SHA256, 1, cb_digest, cb_sha256_parts, (const cb_bytes *parts, size_t count),
        (parts, count))
COUNTED(CARD_SAVE, 1, bool, cb_vcard_save, (cb_vcard * card), (card))
