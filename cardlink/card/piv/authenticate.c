/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * GENERAL AUTHENTICATE and GENERATE ASYMMETRIC KEY PAIR (SP 800-73-4, part 2, 3.2.4 and 3.3.2):
 * what the private keys do.
 */
#include "cardlink/card/piv/interface.h"

#include "base/secret.h"
#include "base/tlv.h"

enum { PARTS_MAX = 1024, TAG_TEMPLATE = 0x7C, TAG_RESPONSE = 0x82, TAG_PUBLIC = 0x7F49 };

static bool take(bool *has, cb_bytes *value, cb_bytes found)
{
    bool first = !*has;
    *has = true;
    *value = found;
    return first;
}

static bool read_template(cb_bytes bytes, cb_vpiv_template *out)
{
    cb_cursor outer = cb_cursor_over(bytes);
    cb_cursor cursor = cb_cursor_over(cb_tlv_expect(&outer, TAG_TEMPLATE));
    bool good = cb_cursor_done(&outer);
    cb_tlv tlv;
    *out = (cb_vpiv_template){0};
    while (good && cb_tlv_next(&cursor, &tlv)) {
        if (tlv.tag == 0x80)
            good = take(&out->has_witness, &out->witness, tlv.value);
        else if (tlv.tag == 0x81)
            good = take(&out->has_challenge, &out->challenge, tlv.value);
        else if (tlv.tag == TAG_RESPONSE)
            good = take(&out->has_response, &out->response, tlv.value);
        else if (tlv.tag == 0x85)
            good = take(&out->has_exponentiation, &out->exponentiation, tlv.value);
        else
            good = false;
    }
    return good && cb_cursor_ok(&cursor);
}

/* Whether the holder has agreed to this use of the key. */
static bool agreed(cb_vpiv_application *piv, uint8_t reference)
{
    bool fresh = piv->session.pin_fresh;
    if (reference == CB_VPIV_CARD_AUTHENTICATION)
        return true;
    if (!cb_vpiv_in_contact(piv))
        return false;
    switch (reference) {
    case CB_VPIV_SIGNATURE:
        piv->session.pin_fresh = false;
        return piv->session.pin_verified && fresh;
    default:
        return piv->session.pin_verified;
    }
}

static cb_error use(const cb_vcard_key *key, uint8_t reference, const cb_vpiv_template *in,
                    cb_buf *out)
{
    bool agrees = reference == CB_VPIV_KEY_MANAGEMENT && key->algorithm != CB_VCARD_RSA_2048;
    if (in->has_witness || !in->has_response || in->response.len > 0 ||
        in->has_exponentiation != agrees || in->has_challenge == agrees)
        return CB_E_ARGUMENT;
    if (agrees)
        return cb_vcard_key_agree(key, in->exponentiation, out);
    return key->algorithm == CB_VCARD_RSA_2048 ? cb_vcard_key_rsa(key, in->challenge, out)
                                               : cb_vcard_key_sign(key, in->challenge, out);
}

static uint16_t use_key(cb_vpiv_application *piv, const cb_apdu *apdu, const cb_vpiv_template *in,
                        cb_buf *data)
{
    int slot = cb_vpiv_slot(apdu->p2);
    if (slot < 0)
        return CB_SW_PARAMETERS;
    const cb_vcard_key *key = &piv->state.key[slot];
    if (key->algorithm == CB_VCARD_NO_KEY)
        return CB_SW_NOT_FOUND;
    if (key->algorithm != apdu->p1)
        return CB_SW_PARAMETERS;
    if (!agreed(piv, apdu->p2))
        return CB_SW_SECURITY;
    cb_buf result = CB_BUF(PARTS_MAX), body = CB_BUF(PARTS_MAX);
    cb_error error = use(key, apdu->p2, in, &result);
    cb_tlv_put(&body, TAG_RESPONSE, cb_buf_bytes(&result));
    if (!error)
        error = cb_buf_error(&body);
    if (!error)
        cb_tlv_put(data, TAG_TEMPLATE, cb_buf_bytes(&body));
    cb_buf_free(&result);
    cb_buf_free(&body);
    return !error ? CB_SW_OK : error == CB_E_ARGUMENT ? CB_SW_DATA : CB_SW_FAULT;
}

uint16_t cb_vpiv_authenticate(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    cb_vpiv_template in;
    if (apdu->p2 != CB_VPIV_MANAGEMENT)
        piv->session.pending = CB_VPIV_NOTHING;
    if (!read_template(apdu->data, &in)) {
        piv->session.pending = CB_VPIV_NOTHING;
        return CB_SW_DATA;
    }
    switch (apdu->p2) {
    case CB_VPIV_MANAGEMENT:
        return cb_vpiv_manage(piv, apdu->p1, &in, data);
    case CB_VPIV_SECURE_MESSAGING:
        return cb_vpiv_establish(piv, apdu->p1, &in, data);
    default:
        return use_key(piv, apdu, &in, data);
    }
}

static cb_error put_public(const cb_vcard_key *key, cb_buf *data)
{
    cb_vcard_public public;
    cb_buf body = CB_BUF(PARTS_MAX);
    cb_error error = cb_vcard_key_public(key, &public);
    if (!error && key->algorithm == CB_VCARD_RSA_2048) {
        cb_tlv_put(&body, 0x81, cb_bytes_make(public.key, public.len));
        cb_tlv_put(&body, 0x82, cb_bytes_make(public.exponent, public.exponent_len));
    } else if (!error) {
        cb_tlv_put(&body, 0x86, cb_bytes_make(public.key, public.len));
    }
    if (!error)
        error = cb_buf_error(&body);
    if (!error)
        cb_tlv_put(data, TAG_PUBLIC, cb_buf_bytes(&body));
    cb_buf_free(&body);
    return error;
}

/* The algorithm of a control reference template AC{80}; 0: it is not well formed. */
static uint8_t read_algorithm(cb_bytes bytes)
{
    cb_cursor outer = cb_cursor_over(bytes);
    cb_cursor cursor = cb_cursor_over(cb_tlv_expect(&outer, 0xAC));
    cb_cursor value = cb_cursor_over(cb_tlv_expect(&cursor, 0x80));
    uint8_t algorithm = cb_cursor_u8(&value);
    bool good = cb_cursor_done(&outer) && cb_cursor_done(&cursor) && cb_cursor_done(&value);
    return good ? algorithm : 0;
}

uint16_t cb_vpiv_generate(cb_vpiv_application *piv, const cb_apdu *apdu, cb_buf *data)
{
    int slot = cb_vpiv_slot(apdu->p2);
    if (apdu->p1 != 0x00 || slot < 0)
        return CB_SW_PARAMETERS;
    if (!piv->session.managed)
        return CB_SW_SECURITY;
    uint8_t algorithm = read_algorithm(apdu->data);
    if (cb_vcard_key_size(algorithm) == 0)
        return CB_SW_DATA;
    cb_vcard_key fresh;
    cb_error error = cb_vcard_key_generate(algorithm, &fresh);
    if (!error)
        error = put_public(&fresh, data);
    uint16_t status = error ? CB_SW_FAULT : CB_SW_OK;
    if (!error) {
        piv->state.key[slot] = fresh;
        status = cb_vcard_save(piv->card) ? CB_SW_OK : CB_SW_MEMORY;
    }
    cb_wipe(&fresh, sizeof fresh);
    return status;
}
