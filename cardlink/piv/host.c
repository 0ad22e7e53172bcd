/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's side of PIV cards: the calls of profile.h.
 *
 * The card is known by the FASC-N and GUID at the beginning of its CHUID, so that a certificate is
 * read once, when the card is registered, and in no tap. With the PIN key 9A signs, without it 9E.
 *
 * Every tap offers secure messaging, before it is known which card is there: a card that does not
 * have it refuses the one command and goes on. A card that is bound with its key for that signs
 * inside, or not at all. The PIN is put in by the terminal, which has no part in the session, and
 * so goes outside of it.
 */
#include <strings.h>

#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/apdu.h"
#include "cardlink/foreign.h"
#include "cardlink/piv/agreement.h"
#include "cardlink/piv/commands.h"
#include "cardlink/x509/certificate.h"

/* By the application's identifier without its version (part 1, 2.2). */
static const uint8_t select_command[] = {0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0,
                                         0x00, 0x00, 0x03, 0x08, 0x00};

enum {
    FIRST_SELECT,
    FIRST_CHUID,
    FIRST_COUNT,
    FIRST_OFFER = FIRST_COUNT, /* whatever is answered to it */
    TAG_OBJECT = 0x53,
    TAG_CERTIFICATE = 0x70,
    TAG_CERT_INFO = 0x71,
    TAG_INTERMEDIATE = 0x7F21,
    TAG_FASC_N = 0x30,
    TAG_GUID = 0x34,
    FASC_N = 25,
    GUID = CB_PIV_GUID,
    TAG_DYNAMIC = 0x7C, /* dynamic authentication template (ISO/IEC 7816-4, 10.3) */
    TAG_CHALLENGE = 0x81,
    TAG_RESPONSE = 0x82,
    ALGORITHM_RSA_2048 = 0x07, /* NIST SP 800-78-4, table 6-2 */
    ALGORITHM_P256 = 0x11,
    ALGORITHM_P384 = 0x14,
    CHAINED = 0x10
};

/* A tap: what all foreign cards have, and secure messaging. */
typedef struct piv_tap {
    cb_foreign_tap common; /* first: the calls for all of them are given this */
    cb_piv_offer offer;
    cb_piv_session session; /* open: the card signs inside */
} piv_tap;

static void put_command(cb_buf *script, uint8_t flags, const cb_apdu *apdu)
{
    cb_buf bytes = CB_BUF(CB_COMMAND_MAX);
    cb_apdu_put(&bytes, apdu);
    if (cb_buf_error(&bytes) && !script->error)
        script->error = cb_buf_error(&bytes);
    cb_script_put(script, flags, cb_buf_bytes(&bytes));
    cb_buf_free(&bytes);
}

static cb_error first(cb_foreign_tap *common, cb_buf *script)
{
    /* As much as FASC-N and GUID can need with everything that may stand before them (part 1, table
     * 9). */
    static const uint8_t chuid[] = {
        0x00, CB_PIV_INS_GET_DATA, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x02, 0x50};
    cb_script_put(script, 0, CB_BYTES_OF(select_command));
    piv_tap *tap = (piv_tap *)common;
    cb_buf offer = CB_BUF(CB_COMMAND_MAX);
    cb_script_put(script, CB_SCRIPT_PART, CB_BYTES_OF(chuid));
    cb_error error = cb_piv_offer_make(&tap->offer, &offer);
    if (!error)
        cb_script_put(script, CB_SCRIPT_GO_ON, cb_buf_bytes(&offer));
    cb_buf_free(&offer);
    return error;
}

/* ---- Which card ---- */

/* The object may be cut off behind what is looked for, so its length says nothing. */
static cb_error read_chuid(cb_bytes data, cb_bytes *fasc_n, cb_bytes *guid)
{
    cb_tlv object;
    cb_cursor cursor = cb_cursor_over(data);
    uint8_t tag = cb_cursor_u8(&cursor), length = cb_cursor_u8(&cursor);
    if (length > 0x80 && length <= 0x83)
        cb_cursor_take(&cursor, length - 0x80);
    if (tag != TAG_OBJECT || length == 0x80 || length > 0x83)
        return CB_E_CARD_ANSWER;
    while ((!fasc_n->data || !guid->data) && cb_tlv_next(&cursor, &object)) {
        if (object.tag == TAG_FASC_N && object.value.len == FASC_N && !fasc_n->data)
            *fasc_n = object.value;
        if (object.tag == TAG_GUID && object.value.len == GUID && !guid->data)
            *guid = object.value;
    }
    return fasc_n->data && guid->data ? CB_OK : CB_E_CARD_ANSWER;
}

static cb_error recognise(const cb_script *answers, cb_id *card)
{
    uint8_t both[FASC_N + GUID];
    cb_bytes fasc_n = {0}, guid = {0};
    cb_script known = *answers;
    if (known.count == FIRST_OFFER + 1)
        known.count = FIRST_COUNT;
    cb_error error = cb_foreign_answers(&known, FIRST_COUNT);
    if (!error)
        error = read_chuid(cb_answer_data(answers->item[FIRST_CHUID].apdu), &fasc_n, &guid);
    if (error)
        return error;
    memcpy(both, fasc_n.data, FASC_N);
    memcpy(both + FASC_N, guid.data, GUID);
    *card = cb_foreign_card_id(CB_PROFILE_PIV, CB_BYTES_OF(both));
    return CB_OK;
}

/* ---- Secure messaging ---- */

/* What the card answered to the offer. A card that is bound with the key for it is not asked
 * whether it has it: it must. */
static cb_error read_offer(const cb_script *answers, cb_piv_answer *out)
{
    if (answers->count <= FIRST_OFFER)
        return CB_E_CARD_REMOVED;
    cb_bytes answer = answers->item[FIRST_OFFER].apdu;
    if (cb_answer_status(answer) != CB_SW_OK)
        return CB_E_CARD_STATUS;
    return cb_piv_answer_read(cb_answer_data(answer), out) ? CB_E_CARD_ANSWER : CB_OK;
}

/* Opens the session of a card that is bound with a key for it. */
static cb_error open_session(piv_tap *tap, const cb_script *answers, const cb_known_card *known)
{
    cb_piv_answer answer;
    const cb_card_key *key = cb_card_keys_find(&known->keys, CB_PIV_KEY_MESSAGING);
    cb_error error = key ? read_offer(answers, &answer) : CB_OK;
    if (key && !error)
        error =
            cb_piv_agree(&tap->offer, &answer, cb_bytes_make(key->data, key->len), &tap->session);
    cb_wipe(&tap->offer, sizeof tap->offer);
    return error;
}

/* ---- The request to sign ---- */

/* What the card signs as it is: the digest, or for RSA the whole padded block (RFC 8017, 9.2),
 * which is the host's work. */
static cb_bytes to_sign(const cb_card_signature *s, uint8_t kind,
                        uint8_t block[CB_CARD_SIGNATURE_MAX])
{
    enum { BLOCK = CB_CARD_SIGNATURE_MAX, AT = BLOCK - CB_DIGEST_INFO };
    if (kind != CB_CARD_KEY_RSA_2048)
        return cb_bytes_make(s->digest, s->digest_len);
    memset(block, 0xFF, BLOCK);
    block[0] = 0x00;
    block[1] = 0x01;
    block[AT - 1] = 0x00;
    cb_digest_info(s->digest, block + AT);
    return cb_bytes_make(block, BLOCK);
}

static uint8_t algorithm_of(uint8_t kind)
{
    static const uint8_t algorithms[] = {[CB_CARD_KEY_P256] = ALGORITHM_P256,
                                         [CB_CARD_KEY_P384] = ALGORITHM_P384,
                                         [CB_CARD_KEY_RSA_2048] = ALGORITHM_RSA_2048};
    return algorithms[kind];
}

/* In as many commands as it takes, chained (ISO/IEC 7816-4, 5.3.3). */
static void put_in_the_clear(cb_foreign_tap *tap, cb_bytes template, cb_buf *script)
{
    cb_cursor cursor = cb_cursor_over(template);
    for (size_t left = template.len; left > 0;) {
        size_t len = left < CB_APDU_DATA_MAX ? left : CB_APDU_DATA_MAX;
        left -= len;
        put_command(script, 0,
                    &(cb_apdu){left > 0 ? CHAINED : 0x00, CB_PIV_INS_AUTHENTICATE,
                               algorithm_of(tap->kind), tap->claim.signature.use,
                               cb_cursor_take(&cursor, len), left == 0});
        tap->parts++;
    }
}

static cb_error put_authenticate(piv_tap *tap, cb_bytes template, cb_buf *script)
{
    if (tap->session.open)
        return cb_piv_wrap(&tap->session,
                           &(cb_apdu){0x00, CB_PIV_INS_AUTHENTICATE, algorithm_of(tap->common.kind),
                                      tap->common.claim.signature.use, template, true},
                           script, &tap->common.parts);
    put_in_the_clear(&tap->common, template, script);
    return CB_OK;
}

static cb_error put_request(piv_tap *tap, cb_buf *script)
{
    uint8_t block[CB_CARD_SIGNATURE_MAX];
    static const uint8_t verify[] = {0x00, CB_PIV_INS_VERIFY, 0x00, CB_PIV_PIN};
    cb_buf inner = CB_BUF(CB_CARD_SIGNATURE_MAX + 8), outer = CB_BUF(CB_CARD_SIGNATURE_MAX + 16);
    if (tap->common.with_pin)
        cb_script_put(script, CB_SCRIPT_PIN_PADDED, CB_BYTES_OF(verify));
    cb_tlv_put(&inner, TAG_RESPONSE, (cb_bytes){0});
    cb_tlv_put(&inner, TAG_CHALLENGE,
               to_sign(&tap->common.claim.signature, tap->common.kind, block));
    cb_tlv_put(&outer, TAG_DYNAMIC, cb_buf_bytes(&inner));
    cb_error error = cb_buf_error(&inner) ? cb_buf_error(&inner) : cb_buf_error(&outer);
    if (!error)
        error = put_authenticate(tap, cb_buf_bytes(&outer), script);
    cb_buf_free(&inner);
    cb_buf_free(&outer);
    return error ? error : cb_buf_error(script);
}

static cb_error ask(cb_foreign_tap *common, const cb_script *answers, const cb_known_card *known,
                    cb_buf *script)
{
    piv_tap *tap = (piv_tap *)common;
    cb_error error = open_session(tap, answers, known);
    return error ? error : put_request(tap, script);
}

/* With the PIN where it is needed, or where the card has no key that does without. */
static const cb_card_key *choose(const cb_known_card *known, uint8_t level, bool *with_pin)
{
    const cb_card_key *without = cb_card_keys_find(&known->keys, CB_PIV_KEY_CARD);
    *with_pin = cb_level_needs_pin(level) || !without;
    return *with_pin ? cb_card_keys_find(&known->keys, CB_PIV_KEY_AUTHENTICATION) : without;
}

/* ---- The signature ---- */

static cb_error read_signature(cb_foreign_tap *tap, cb_bytes data)
{
    cb_cursor outer = cb_cursor_over(data);
    cb_cursor inner = cb_cursor_over(cb_tlv_expect(&outer, TAG_DYNAMIC));
    cb_bytes bytes = cb_tlv_expect(&inner, TAG_RESPONSE);
    if (!cb_cursor_done(&outer) || !cb_cursor_done(&inner))
        return CB_E_CARD_ANSWER;
    if (tap->kind == CB_CARD_KEY_RSA_2048)
        return cb_card_signature_rsa(bytes, &tap->claim.signature);
    return cb_card_signature_ecdsa(bytes, &tap->claim.signature) ? CB_E_CARD_ANSWER : CB_OK;
}

/* From inside the session, where its status is the card's own word, too. */
static cb_error read_secured(piv_tap *tap, cb_bytes answer)
{
    uint16_t status;
    cb_buf data = CB_BUF(CB_ANSWER_MAX);
    cb_error error = cb_piv_open(&tap->session, answer, &data, &status);
    if (!error && status != CB_SW_OK)
        error = CB_E_CARD_STATUS;
    if (!error)
        error = read_signature(&tap->common, cb_buf_bytes(&data));
    cb_buf_free(&data);
    return error;
}

static cb_error read(cb_foreign_tap *common, const cb_script *answers)
{
    piv_tap *tap = (piv_tap *)common;
    size_t count = (common->with_pin ? 1 : 0) + common->parts;
    cb_error error =
        cb_foreign_second(answers, count, common->with_pin ? 0 : count, &common->claim);
    if (error)
        return error;
    cb_bytes last = answers->item[count - 1].apdu;
    return tap->session.open ? read_secured(tap, last)
                             : read_signature(common, cb_answer_data(last));
}

static const cb_foreign_kind kind = {.profile = CB_PROFILE_PIV,
                                     .first = first,
                                     .recognise = recognise,
                                     .choose = choose,
                                     .ask = ask,
                                     .read = read};

/* ---- Registration ---- */

static const struct {
    uint8_t use;
    uint32_t object;
} certified[] = {{CB_PIV_KEY_AUTHENTICATION, CB_PIV_CERTIFICATE_9A},
                 {CB_PIV_KEY_CARD, CB_PIV_CERTIFICATE_9E},
                 {CB_PIV_KEY_MESSAGING, CB_PIV_MESSAGING_SIGNER}}; /* last: not always asked for */

enum { CERTIFIED = sizeof certified / sizeof *certified };

/* The signer of the key for secure messaging is of use where the card took the offer. */
static void survey(const cb_script *first_answers, cb_buf *script)
{
    cb_piv_answer answer;
    size_t count = read_offer(first_answers, &answer) ? CERTIFIED - 1 : CERTIFIED;
    for (size_t i = 0; i < count; i++) {
        uint32_t object = certified[i].object;
        const uint8_t tag[] = {0x5C, 0x03, (uint8_t)(object >> 16), (uint8_t)(object >> 8),
                               (uint8_t)object};
        put_command(script, CB_SCRIPT_GO_ON,
                    &(cb_apdu){0x00, CB_PIV_INS_GET_DATA, 0x3F, 0xFF, CB_BYTES_OF(tag), true});
    }
}

/* Certificates that are compressed are not read (part 1, appendix A: CertInfo). The signer's may be
 * followed by the intermediate one. */
static cb_error certificate(const cb_script *answers, size_t index, uint8_t *use, cb_buf *der)
{
    cb_bytes info, value, intermediate;
    if (index == CERTIFIED - 1 && index == answers->count)
        return CB_E_NOT_FOUND;
    if (index >= CERTIFIED || index >= answers->count)
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
    if (!cb_tlv_find(object, TAG_CERTIFICATE, &value) ||
        (cb_tlv_find(object, TAG_CERT_INFO, &info) && (info.len != 1 || info.data[0] & 0x01)))
        return CB_E_CARD_ANSWER;
    *use = certified[index].use;
    cb_buf_put(der, value);
    if (*use == CB_PIV_KEY_MESSAGING && cb_tlv_find(object, TAG_INTERMEDIATE, &intermediate))
        cb_tlv_put(der, TAG_INTERMEDIATE, intermediate);
    return cb_buf_error(der);
}

/* One of the names of a certificate: it is of no other card's FASC-N or UUID (FIPS 201-3, 4.2.1;
 * NIST SP 800-73-4, part 1, 3.4.1). */
static bool name_fits(const cb_der *name, cb_bytes fasc_n, cb_bytes guid)
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
        return cb_bytes_same(cb_der_expect(&value, CB_DER_OCTET_STRING), fasc_n);
    }
    if (name->tag != CB_DER_CONTEXT + 6 || name->value.len < URN ||
        strncasecmp((const char *)name->value.data, urn, URN) != 0)
        return true;
    memcpy(card.bytes, guid.data, GUID);
    if (name->value.len != URN + CB_ID_TEXT - 1)
        return false;
    memcpy(text, name->value.data + URN, CB_ID_TEXT - 1);
    return cb_id_parse(text, &named) == CB_OK && cb_id_same(&named, &card);
}

static bool fits(const cb_script *answers, const cb_x509 *certificate)
{
    cb_der name;
    cb_bytes fasc_n = {0}, guid = {0};
    bool good =
        read_chuid(cb_answer_data(answers->item[FIRST_CHUID].apdu), &fasc_n, &guid) == CB_OK;
    if (!good || certificate->alternative_name.len == 0)
        return good;
    cb_cursor names = cb_der_open(certificate->alternative_name, CB_DER_SEQUENCE);
    while (good && cb_der_next(&names, &name))
        good = name_fits(&name, fasc_n, guid);
    return good && cb_cursor_ok(&names);
}

static cb_error attest(const cb_script *answers, const cb_x509 *signer, cb_bytes between,
                       cb_card_key *key)
{
    cb_piv_answer answer;
    cb_bytes fasc_n = {0}, guid = {0};
    cb_error error = read_offer(answers, &answer) ? CB_E_CARD_ANSWER : CB_OK;
    if (!error)
        error = cb_piv_cvc_verify(&answer.certificate, between, signer);
    if (!error)
        error = read_chuid(cb_answer_data(answers->item[FIRST_CHUID].apdu), &fasc_n, &guid);
    if (!error && !cb_bytes_same(answer.certificate.subject, guid))
        error = CB_E_CARD_ANSWER;
    if (!error)
        *key = cb_card_key_of_point(answer.certificate.point.data);
    return error;
}

/* ---- The profile ---- */

static cb_error begin(void *state, const cb_profile_host *host, cb_buf *script)
{
    (void)host;
    return cb_foreign_begin(&kind, state, script);
}

static cb_error challenge(void *state, const cb_profile_host *host, const cb_script *answers,
                          const cb_tap_context *context, const cb_known_card *known, cb_bytes pin,
                          cb_buf *script)
{
    return cb_foreign_challenge(&kind, state, host, answers, context, known, pin, script);
}

static cb_error finish(void *state, const cb_profile_host *host, const cb_script *answers,
                       cb_card_claim *claim)
{
    (void)host;
    cb_error error = cb_foreign_finish(&kind, state, answers, claim);
    cb_piv_session *session = &((piv_tap *)state)->session;
    cb_wipe(session, sizeof *session);
    return error;
}

static void end(void *state)
{
    cb_wipe(state, sizeof(piv_tap));
    cb_foreign_end(state);
}

const cb_card_profile cb_profile_piv = {
    .id = CB_PROFILE_PIV,
    .name = "piv",
    .select = {select_command, sizeof select_command},
    .level_with_pin = CB_LEVEL_TERMINAL_PIN,
    .state_size = sizeof(piv_tap),
    .recognise = recognise,
    .begin = begin,
    .challenge = challenge,
    .finish = finish,
    .end = end,
    .certificates = CERTIFIED,
    .survey = survey,
    .certificate = certificate,
    .fits = fits,
    .attested = CB_PIV_KEY_MESSAGING,
    .attest = attest,
};
