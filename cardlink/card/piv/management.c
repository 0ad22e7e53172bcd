/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whoever may change the card shows that he has the management key (SP 800-73-4, part 2, A.1 and
 * A.2): alone, by encrypting the card's challenge, or mutually, by deciphering its witness and
 * having a challenge of his own encrypted. The key encrypts nothing for who has not shown it.
 */
#include "cardlink/card/piv/interface.h"

#include <wolfssl/wolfcrypt/des3.h>

#include "base/crypto.h"
#include "base/secret.h"
#include "base/tlv.h"

enum { BLOCK_3DES = 8, TAG_TEMPLATE = 0x7C, TAG_WITNESS = 0x80, TAG_CHALLENGE, TAG_RESPONSE };

static size_t block_len(const cb_vpiv_state *state)
{
    return state->management_algorithm == CB_VPIV_3DES ? BLOCK_3DES : CB_AES_BLOCK;
}

static bool encrypt_3des(const uint8_t *key, const uint8_t *in, uint8_t *out)
{
    static const uint8_t zero[BLOCK_3DES];
    Des3 des;
    if (wc_Des3Init(&des, NULL, INVALID_DEVID) != 0)
        return false;
    bool good = wc_Des3_SetKey(&des, key, zero, DES_ENCRYPTION) == 0 &&
                wc_Des3_CbcEncrypt(&des, out, in, BLOCK_3DES) == 0;
    wc_Des3Free(&des);
    return good;
}

static bool encrypt(const cb_vpiv_state *state, const uint8_t *in, uint8_t out[CB_VPIV_BLOCK_MAX])
{
    size_t len = cb_vpiv_management_len(state->management_algorithm);
    return state->management_algorithm == CB_VPIV_3DES
               ? encrypt_3des(state->management_key, in, out)
               : cb_aes_block(cb_bytes_make(state->management_key, len), in, out) == CB_OK;
}

static uint16_t answer(cb_buf *data, uint32_t tag, cb_bytes value)
{
    cb_buf body = CB_BUF(64);
    cb_tlv_put(&body, tag, value);
    bool whole = !cb_buf_error(&body);
    cb_tlv_put(data, TAG_TEMPLATE, cb_buf_bytes(&body));
    cb_buf_free(&body);
    return whole ? CB_SW_OK : CB_SW_FAULT;
}

static uint16_t ask(cb_vpiv_application *piv, bool mutual, cb_buf *data)
{
    uint8_t hidden[CB_VPIV_BLOCK_MAX];
    size_t len = block_len(&piv->state);
    cb_random(piv->session.nonce, len);
    if (!mutual) {
        piv->session.pending = CB_VPIV_CHALLENGE;
        return answer(data, TAG_CHALLENGE, cb_bytes_make(piv->session.nonce, len));
    }
    if (!encrypt(&piv->state, piv->session.nonce, hidden))
        return CB_SW_FAULT;
    piv->session.pending = CB_VPIV_WITNESS;
    return answer(data, TAG_WITNESS, cb_bytes_make(hidden, len));
}

/* The witness comes back in clear: he has the key, and gets his own challenge encrypted. */
static uint16_t check_witness(cb_vpiv_application *piv, const cb_vpiv_template *in, cb_buf *data)
{
    uint8_t hidden[CB_VPIV_BLOCK_MAX];
    size_t len = block_len(&piv->state);
    if (in->challenge.len != len)
        return CB_SW_DATA;
    if (!cb_equal(in->witness, cb_bytes_make(piv->session.nonce, len)))
        return CB_SW_SECURITY;
    if (!encrypt(&piv->state, in->challenge.data, hidden))
        return CB_SW_FAULT;
    uint16_t status = answer(data, TAG_RESPONSE, cb_bytes_make(hidden, len));
    piv->session.managed = status == CB_SW_OK;
    return status;
}

static uint16_t check_response(cb_vpiv_application *piv, const cb_vpiv_template *in)
{
    uint8_t expected[CB_VPIV_BLOCK_MAX];
    size_t len = block_len(&piv->state);
    if (!encrypt(&piv->state, piv->session.nonce, expected))
        return CB_SW_FAULT;
    piv->session.managed = cb_equal(in->response, cb_bytes_make(expected, len));
    cb_wipe(expected, sizeof expected);
    return piv->session.managed ? CB_SW_OK : CB_SW_SECURITY;
}

uint16_t cb_vpiv_manage(cb_vpiv_application *piv, uint8_t algorithm, const cb_vpiv_template *in,
                        cb_buf *data)
{
    uint8_t pending = piv->session.pending;
    piv->session.pending = CB_VPIV_NOTHING;
    piv->session.managed = false;
    if (algorithm != piv->state.management_algorithm &&
        !(algorithm == 0x00 && piv->state.management_algorithm == CB_VPIV_3DES))
        return CB_SW_PARAMETERS;
    if (!cb_vpiv_at_contacts(piv))
        return CB_SW_SECURITY;
    uint16_t status = CB_SW_DATA;
    if (in->has_exponentiation)
        return status;
    if (in->has_witness && in->witness.len == 0 && in->challenge.len == 0 && in->response.len == 0)
        return ask(piv, true, data);
    if (in->has_challenge && in->challenge.len == 0 && !in->has_witness && in->response.len == 0)
        return ask(piv, false, data);
    if (in->witness.len > 0 && in->challenge.len > 0 && in->response.len == 0)
        status = pending == CB_VPIV_WITNESS ? check_witness(piv, in, data) : CB_SW_CONDITIONS;
    else if (in->response.len > 0 && !in->has_witness && !in->has_challenge)
        status = pending == CB_VPIV_CHALLENGE ? check_response(piv, in) : CB_SW_CONDITIONS;
    cb_wipe(piv->session.nonce, sizeof piv->session.nonce);
    return status;
}
