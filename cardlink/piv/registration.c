/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cardlink/piv/registration.h"

#include <strings.h>

#include "base/tlv.h"
#include "cardlink/piv/commands.h"
#include "cardlink/piv/first.h"

enum { TAG_OBJECT = 0x53, TAG_CERTIFICATE = 0x70, TAG_INTERMEDIATE = 0x7F21 };

static const struct {
    uint8_t use;
    uint32_t object;
} certified[CB_PIV_CERTIFIED] = {
    {CB_PIV_KEY_AUTHENTICATION, CB_PIV_CERTIFICATE_9A},
    {CB_PIV_KEY_CARD, CB_PIV_CERTIFICATE_9E},
    {CB_PIV_KEY_MESSAGING, CB_PIV_MESSAGING_SIGNER}}; /* last: not always asked for */

void cb_piv_survey(const cb_script *first, cb_buf *script)
{
    cb_piv_answer answer;
    size_t count = cb_piv_offer_answer(first, &answer) ? CB_PIV_CERTIFIED - 1 : CB_PIV_CERTIFIED;
    for (size_t i = 0; i < count; i++) {
        uint32_t object = certified[i].object;
        const uint8_t tag[] = {0x5C, 0x03, (uint8_t)(object >> 16), (uint8_t)(object >> 8),
                               (uint8_t)object};
        cb_piv_put_command(
            script, CB_SCRIPT_GO_ON,
            &(cb_apdu){0x00, CB_PIV_INS_GET_DATA, 0x3F, 0xFF, CB_BYTES_OF(tag), true});
    }
}

cb_error cb_piv_certificate(const cb_script *answers, size_t index, uint8_t *use, cb_buf *der)
{
    cb_bytes value, intermediate;
    if (index == CB_PIV_CERTIFIED - 1 && index == answers->count)
        return CB_E_NOT_FOUND;
    if (index >= CB_PIV_CERTIFIED || index >= answers->count)
        return CB_E_CARD_ANSWER;
    cb_bytes answer = answers->item[index].apdu;
    if (cb_answer_status(answer) == CB_SW_FILE_NOT_FOUND)
        return CB_E_NOT_FOUND;
    cb_cursor cursor = cb_cursor_over(cb_answer_data(answer));
    cb_bytes object = cb_tlv_expect(&cursor, TAG_OBJECT);
    if (!cb_cursor_done(&cursor) || cb_answer_status(answer) != CB_SW_OK)
        return CB_E_CARD_ANSWER;
    if (object.len == 0)
        return CB_E_NOT_FOUND;
    if (!cb_tlv_find(object, TAG_CERTIFICATE, &value))
        return CB_E_CARD_ANSWER;
    *use = certified[index].use;
    cb_buf_put(der, value);
    if (*use == CB_PIV_KEY_MESSAGING && cb_tlv_find(object, TAG_INTERMEDIATE, &intermediate))
        cb_tlv_put(der, TAG_INTERMEDIATE, intermediate);
    return cb_buf_error(der);
}

/* Which of the card's names a certificate has. */
typedef struct said {
    bool uuid, fasc_n;
} said;

/* One of the names of a certificate: it is of no other card's FASC-N or UUID (FIPS 201-3, 4.2.1;
 * NIST SP 800-73-4, part 1, 3.4.1). */
static bool name_fits(const cb_der *name, const cb_piv_names *of, said *out)
{
    static const uint8_t oid[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x06, 0x06};
    static const char urn[] = "urn:uuid:";
    enum { URN = sizeof urn - 1 };
    cb_id card, named;
    char text[CB_ID_TEXT] = {0};
    cb_cursor cursor = cb_cursor_over(name->value);
    if (name->tag == CB_DER_CONSTRUCTED + 0 &&
        cb_bytes_same(cb_der_expect(&cursor, CB_DER_OID), CB_BYTES_OF(oid))) {
        cb_cursor value = cb_cursor_over(cb_der_expect(&cursor, CB_DER_CONSTRUCTED + 0));
        out->fasc_n = cb_bytes_same(cb_der_expect(&value, CB_DER_OCTET_STRING), of->fasc_n);
        return out->fasc_n;
    }
    if (name->tag != CB_DER_CONTEXT + 6 || name->value.len < URN ||
        strncasecmp((const char *)name->value.data, urn, URN) != 0)
        return true;
    memcpy(card.bytes, of->guid.data, CB_PIV_GUID);
    if (name->value.len != URN + CB_ID_TEXT - 1)
        return false;
    memcpy(text, name->value.data + URN, CB_ID_TEXT - 1);
    out->uuid = cb_id_parse(text, &named) == CB_OK && cb_id_same(&named, &card);
    return out->uuid;
}

static bool all_fit(const cb_script *answers, const cb_x509 *certificate, said *out)
{
    cb_der name;
    cb_piv_names card;
    *out = (said){0};
    bool good = cb_piv_names_read(answers, &card) == CB_OK;
    if (!good || certificate->alternative_name.len == 0)
        return good;
    cb_cursor names = cb_der_open(certificate->alternative_name, CB_DER_SEQUENCE);
    while (good && cb_der_next(&names, &name))
        good = name_fits(&name, &card, out);
    return good && cb_cursor_ok(&names);
}

bool cb_piv_fits(const cb_script *answers, const cb_x509 *certificate)
{
    said names;
    return all_fit(answers, certificate, &names);
}

/* A FASC-N alone does not tell, for many cards may have the same. */
bool cb_piv_named(const cb_script *answers, const cb_x509 *certificate)
{
    said names;
    return all_fit(answers, certificate, &names) && names.uuid;
}

/* It begins with five bits for each of: a start, and the four digits of the agency (TIG SCEPACS,
 * 6). */
static bool is_shared(cb_bytes fasc_n)
{
    static const uint8_t start_9999[] = {0xD4, 0xE7, 0x39};
    cb_cursor in = cb_cursor_over(fasc_n);
    return cb_bytes_same(cb_cursor_take(&in, sizeof start_9999), CB_BYTES_OF(start_9999)) &&
           cb_cursor_u8(&in) & 0x80;
}

size_t cb_piv_marks(const cb_script *answers, const cb_x509 *certificate,
                    cb_bytes out[CB_PROFILE_MARKS_MAX])
{
    size_t count = 0;
    cb_piv_names card;
    said names = {.uuid = !certificate}; /* a card verifiable one has the GUID and nothing else */
    if (cb_piv_names_read(answers, &card) != CB_OK ||
        (certificate && !all_fit(answers, certificate, &names)))
        return 0;
    if (names.uuid)
        out[count++] = card.guid;
    if (names.fasc_n && !is_shared(card.fasc_n))
        out[count++] = card.fasc_n;
    return count;
}

cb_error cb_piv_attest(const cb_script *answers, const cb_x509 *signer, cb_bytes between,
                       cb_card_key *key)
{
    cb_piv_answer answer;
    cb_piv_names card;
    cb_error error = cb_piv_offer_answer(answers, &answer) ? CB_E_CARD_ANSWER : CB_OK;
    if (!error)
        error = cb_piv_cvc_verify(&answer.certificate, between, signer);
    if (!error)
        error = cb_piv_names_read(answers, &card);
    if (!error && !cb_bytes_same(answer.certificate.subject, card.guid))
        error = CB_E_CARD_ANSWER;
    if (!error)
        *key = cb_card_key_of_point(answer.certificate.point.data);
    return error;
}
