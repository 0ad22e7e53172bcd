/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/piv_channel.h"

#include "base/crypto.h"
#include "base/tlv.h"
#include "cardlink/card/piv/interface.h"
#include "cardlink/issuer/piv.h"
#include "cardlink/x509/certificate.h"

enum { ISSUER_ID = 8, SIGNATURE_MAX = 80 };

static bool is_for_content_signing(const cb_x509 *certificate)
{
    cb_buf oid = CB_BUF(CB_OID_MAX);
    bool is = cb_oid_parse(CB_ISSUE_CONTENT_SIGNING, &oid) == CB_OK &&
              cb_x509_has_usage(certificate, cb_buf_bytes(&oid));
    cb_buf_free(&oid);
    return is;
}

const char *cb_issue_content_signer_fault(const cb_issue_signer *signer)
{
    cb_x509 read;
    if (signer->key.algorithm != CB_VCARD_EC_P256)
        return "a content signer's key must be P-256";
    if (signer->key_id.len < ISSUER_ID)
        return "a content signer's certificate must have a subjectKeyIdentifier of 8 bytes or more";
    if (cb_x509_parse(cb_buf_bytes(&signer->certificate), &read) || read.is_ca)
        return "a content signer is no certification authority";
    if (!is_for_content_signing(&read))
        return "a content signer's certificate must have the extended key usage "
               "id-PIV-content-signing (" CB_ISSUE_CONTENT_SIGNING ")";
    if (!read.has_key_usage || !(read.key_usage & CB_X509_DIGITAL_SIGNATURE))
        return "a content signer's certificate must be for digital signatures";
    return NULL;
}

/* What the signature is over (part 2, table 15). */
static cb_error put_body(const cb_issue_signer *signer, const cb_id *card,
                         const cb_vcard_public *key, cb_buf *out)
{
    static const uint8_t p256[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    cb_buf holder = CB_BUF(CB_VPIV_CVC_MAX);
    cb_tlv_put(&holder, 0x06, CB_BYTES_OF(p256));
    cb_tlv_put(&holder, 0x86, cb_bytes_make(key->key, key->len));
    cb_tlv_put(out, 0x5F29, cb_bytes_make("\x80", 1)); /* profile */
    cb_tlv_put(out, 0x42, cb_bytes_make(signer->key_id.data, ISSUER_ID));
    cb_tlv_put(out, 0x5F20, cb_id_bytes(card));
    cb_tlv_put(out, 0x7F49, cb_buf_bytes(&holder));
    cb_tlv_put(out, 0x5F4C, cb_bytes_make("\x00", 1)); /* a card application's key */
    cb_error error = cb_buf_error(&holder) ? cb_buf_error(&holder) : cb_buf_error(out);
    cb_buf_free(&holder);
    return error;
}

/* DigitalSignature: SEQUENCE { ecdsa-with-SHA256, BIT STRING }. */
static cb_error put_signature(const cb_issue_signer *signer, cb_buf *body)
{
    static const uint8_t algorithm[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                        0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
    cb_digest digest = cb_sha256(cb_buf_bytes(body));
    cb_buf bits = CB_BUF(SIGNATURE_MAX), both = CB_BUF(CB_VPIV_CVC_MAX),
           sequence = CB_BUF(CB_VPIV_CVC_MAX);
    cb_buf_put_u8(&bits, 0); /* no unused bits */
    cb_error error = cb_vcard_key_sign(&signer->key, cb_digest_bytes(&digest), &bits);
    cb_buf_put(&both, CB_BYTES_OF(algorithm));
    cb_tlv_put(&both, 0x03, cb_buf_bytes(&bits));
    cb_tlv_put(&sequence, 0x30, cb_buf_bytes(&both));
    cb_tlv_put(body, 0x5F37, cb_buf_bytes(&sequence));
    const cb_buf *all[] = {&bits, &both, &sequence, body};
    for (size_t i = 0; !error && i < sizeof all / sizeof all[0]; i++)
        error = cb_buf_error(all[i]);
    cb_buf_free(&bits);
    cb_buf_free(&both);
    cb_buf_free(&sequence);
    return error;
}

static cb_error make_cvc(const cb_issue_signer *signer, const cb_id *card, cb_vpiv_state *state)
{
    cb_vcard_public key;
    cb_buf body = CB_BUF(CB_VPIV_CVC_MAX), whole = CB_BUF(CB_VPIV_CVC_MAX);
    cb_error error = cb_vcard_key_public(&state->channel_key, &key);
    if (!error)
        error = put_body(signer, card, &key, &body);
    if (!error)
        error = put_signature(signer, &body);
    cb_tlv_put(&whole, 0x7F21, cb_buf_bytes(&body));
    if (!error)
        error = cb_buf_error(&whole);
    if (!error) {
        memcpy(state->cvc, whole.data, whole.len);
        state->cvc_len = whole.len;
    }
    cb_buf_free(&body);
    cb_buf_free(&whole);
    return error;
}

cb_error cb_issue_piv_channel(const cb_issue_signer *signer, const cb_id *card,
                              cb_vpiv_state *state)
{
    if (cb_issue_content_signer_fault(signer))
        return CB_E_ARGUMENT;
    cb_error error = cb_vcard_key_generate(CB_VCARD_EC_P256, &state->channel_key);
    if (!error)
        error = make_cvc(signer, card, state);
    if (!error)
        error = cb_issue_piv_put_certificate(state, CB_VPIV_SECURE_MESSAGING_SIGNER,
                                             cb_buf_bytes(&signer->certificate));
    return error;
}

cb_error cb_issue_piv_pairing(cb_bytes code, cb_vpiv_state *state)
{
    cb_buf object = CB_BUF(16);
    cb_tlv_put(&object, 0x99, code);
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    cb_error error =
        cb_buf_error(&object) == CB_E_TOO_LARGE ? CB_E_ARGUMENT : cb_buf_error(&object);
    if (!error)
        error = cb_vpiv_object_set(state, CB_VPIV_PAIRING, cb_buf_bytes(&object));
    if (!error && cb_vpiv_pairing_code(state).len == 0)
        error = CB_E_ARGUMENT;
    cb_buf_free(&object);
    return error;
}
