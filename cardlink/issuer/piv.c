/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/issuer/piv.h"

#include <stdio.h>

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/issuer/piv_channel.h"
#include "cardlink/x509/der.h"

enum { PART_MAX = 512, TAG_CERTIFICATE = 0x70, URI = CB_DER_CONTEXT + 6 };

/* What a slot's certificate says its key is for. */
static const struct usage {
    uint8_t signs, agrees, deciphers; /* keyUsage: of a slot that signs; of 9D with EC and RSA */
    const char *extended;             /* extKeyUsage; NULL: none */
    bool extended_critical;
    const char *policy;
} usages[CB_VPIV_SLOTS] = {{0x80, 0, 0, "1.3.6.1.5.5.7.3.2", false, "2.16.840.1.101.3.2.1.3.13"},
                           {0xC0, 0, 0, NULL, false, "2.16.840.1.101.3.2.1.3.7"},
                           {0, 0x08, 0x20, NULL, false, "2.16.840.1.101.3.2.1.3.7"},
                           {0x80, 0, 0, "2.16.840.1.101.3.6.8", true, "2.16.840.1.101.3.2.1.3.17"}};

static void fail(cb_buf *buf, cb_error error)
{
    if (!buf->error)
        buf->error = error;
}

static uint8_t key_usage(const struct usage *usage, uint8_t algorithm)
{
    return usage->signs                     ? usage->signs
           : algorithm == CB_VCARD_RSA_2048 ? usage->deciphers
                                            : usage->agrees;
}

static void put_card_name(cb_buf *out, const cb_id *card)
{
    char id[CB_ID_TEXT], uri[CB_ID_TEXT + 16];
    cb_buf names = CB_BUF(PART_MAX);
    cb_id_text(card, id);
    snprintf(uri, sizeof uri, "urn:uuid:%s", id);
    cb_der_put(&names, URI, cb_bytes_str(uri));
    fail(out, cb_buf_error(&names));
    cb_der_put(out, CB_DER_SEQUENCE, cb_buf_bytes(&names));
    cb_buf_free(&names);
}

static void put_extensions(cb_buf *extensions, int slot, uint8_t algorithm, const cb_id *card)
{
    const struct usage *usage = &usages[slot];
    cb_buf value = CB_BUF(PART_MAX);
    cb_issue_key_usage(extensions, key_usage(usage, algorithm));
    cb_issue_policy(extensions, usage->policy);
    put_card_name(&value, card);
    fail(extensions, cb_buf_error(&value));
    cb_issue_extension(extensions, CB_BYTES_OF(((uint8_t[]){0x55, 0x1D, 0x11})), false,
                       cb_buf_bytes(&value));
    cb_buf_free(&value);
    if (usage->extended)
        cb_issue_extended_usage(extensions, usage->extended, usage->extended_critical);
}

cb_error cb_issue_piv_put_certificate(cb_vpiv_state *state, uint32_t tag, cb_bytes certificate)
{
    cb_buf object = CB_BUF(CB_VPIV_OBJECT_MAX);
    cb_tlv_put(&object, TAG_CERTIFICATE, certificate);
    cb_tlv_put(&object, 0x71, cb_bytes_make("\x00", 1)); /* not compressed */
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    cb_error error = cb_buf_error(&object);
    if (!error)
        error = cb_vpiv_object_set(state, tag, cb_buf_bytes(&object));
    cb_buf_free(&object);
    return error;
}

static cb_error certify(const cb_issue_piv_order *order, int slot, const cb_id *card,
                        cb_vpiv_state *state)
{
    const cb_vcard_key *key = &state->key[slot];
    cb_buf subject = CB_BUF(CB_ISSUE_NAME_MAX), extensions = CB_BUF(CB_ISSUE_X509_MAX),
           certificate = CB_BUF(CB_ISSUE_X509_MAX);
    char id[CB_ID_TEXT];
    cb_id_text(card, id);
    cb_error error = cb_issue_name(order->name.len > 0 ? order->name : cb_bytes_str(id), &subject);
    put_extensions(&extensions, slot, key->algorithm, card);
    if (!error)
        error = cb_buf_error(&extensions);
    if (!error)
        error = cb_issue_x509_make(&(cb_issue_x509){cb_buf_bytes(&subject), key,
                                                    cb_buf_bytes(&extensions), order->not_before,
                                                    order->not_after},
                                   order->signer, &certificate);
    if (!error)
        error = cb_issue_piv_put_certificate(state, cb_vpiv_certificate_tag(slot),
                                             cb_buf_bytes(&certificate));
    cb_buf_free(&subject);
    cb_buf_free(&extensions);
    cb_buf_free(&certificate);
    return error;
}

/* Cardholder Unique Identifier: a FASC-N of nines, as cards outside the federal government have it;
 * the GUID; the last day; no issuer's signature. */
static cb_error put_chuid(const cb_id *card, cb_vpiv_state *state)
{
    static const uint8_t nines[] = {0xD4, 0xE7, 0x39, 0xDA, 0x73, 0x9C, 0xED, 0x39, 0xCE,
                                    0x73, 0x9D, 0x83, 0x68, 0x58, 0x21, 0x08, 0x42, 0x10,
                                    0x84, 0x21, 0xC8, 0x42, 0x10, 0xC3, 0xEB};
    cb_buf object = CB_BUF(PART_MAX);
    cb_tlv_put(&object, 0x30, CB_BYTES_OF(nines));
    cb_tlv_put(&object, 0x34, cb_id_bytes(card));
    cb_tlv_put(&object, 0x35, cb_bytes_str("20591231"));
    cb_tlv_put(&object, 0x3E, (cb_bytes){0});
    cb_tlv_put(&object, 0xFE, (cb_bytes){0});
    cb_error error = cb_buf_error(&object);
    if (!error)
        error = cb_vpiv_object_set(state, CB_VPIV_CHUID, cb_buf_bytes(&object));
    cb_buf_free(&object);
    return error;
}

/* Card Capability Container: what clients of before PIV's time look for, with a random number. */
static cb_error put_ccc(cb_vpiv_state *state)
{
    static const uint8_t empty[] = {0xF3, 0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE};
    uint8_t id[21] = {0xA0, 0x00, 0x00, 0x01, 0x16, 0xFF, 0x02};
    cb_buf object = CB_BUF(PART_MAX);
    cb_random(&id[7], sizeof id - 7);
    cb_tlv_put(&object, 0xF0, CB_BYTES_OF(id));
    cb_tlv_put(&object, 0xF1, cb_bytes_make("\x21", 1));
    cb_tlv_put(&object, 0xF2, cb_bytes_make("\x21", 1));
    cb_tlv_put(&object, empty[0], (cb_bytes){0});
    cb_tlv_put(&object, 0xF4, cb_bytes_make("\x00", 1));
    cb_tlv_put(&object, 0xF5, cb_bytes_make("\x10", 1));
    for (size_t i = 1; i < sizeof empty; i++)
        cb_tlv_put(&object, empty[i], (cb_bytes){0});
    cb_error error = cb_buf_error(&object);
    if (!error)
        error = cb_vpiv_object_set(state, CB_VPIV_CCC, cb_buf_bytes(&object));
    cb_buf_free(&object);
    return error;
}

static cb_error fill(const cb_issue_piv_order *order, cb_vpiv_state *state)
{
    if (cb_vpiv_management_len(order->management_algorithm) == 0)
        return CB_E_ARGUMENT;
    if (!cb_vpiv_pin_pad(order->pin, state->pin) || order->puk.len != CB_VPIV_PIN ||
        !cb_vpiv_pin_pad(order->puk, state->puk))
        return CB_E_PIN_FORMAT;
    state->pin_tries = CB_VPIV_PIN_TRIES;
    state->puk_tries = CB_VPIV_PUK_TRIES;
    state->management_algorithm = order->management_algorithm;
    memcpy(state->management_key, order->management_key, sizeof state->management_key);
    return CB_OK;
}

cb_error cb_issue_piv(const cb_issue_piv_order *order, cb_vpiv_state *state, cb_id *card)
{
    *state = (cb_vpiv_state){0};
    *card = cb_id_random();
    cb_error error = fill(order, state);
    for (int i = 0; !error && i < CB_VPIV_SLOTS; i++) {
        if (order->algorithm[i] == CB_VCARD_NO_KEY)
            continue;
        error = cb_vcard_key_generate(order->algorithm[i], &state->key[i]);
        if (!error)
            error = certify(order, i, card, state);
    }
    if (!error)
        error = put_chuid(card, state);
    if (!error)
        error = put_ccc(state);
    if (!error && order->content_signer)
        error = cb_issue_piv_channel(order->content_signer, card, state);
    if (!error && order->pairing_code.len > 0)
        error = cb_issue_piv_pairing(order->pairing_code, state);
    if (error)
        cb_vpiv_state_free(state);
    return error;
}

cb_bytes cb_issue_piv_certificate(const cb_vpiv_state *state, int slot)
{
    cb_bytes certificate = {0};
    cb_tlv_find(cb_vpiv_object_get(state, cb_vpiv_certificate_tag(slot)), TAG_CERTIFICATE,
                &certificate);
    return certificate;
}
