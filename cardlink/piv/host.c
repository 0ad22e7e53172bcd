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
#include "base/secret.h"
#include "base/tlv.h"
#include "cardlink/apdu.h"
#include "cardlink/foreign.h"
#include "cardlink/piv/commands.h"
#include "cardlink/piv/first.h"
#include "cardlink/piv/registration.h"

static const uint8_t select_command[] = {CB_PIV_SELECT};

enum {
    TAG_DYNAMIC = 0x7C, /* dynamic authentication template (ISO/IEC 7816-4, 10.3) */
    TAG_CHALLENGE = 0x81,
    TAG_RESPONSE = 0x82,
    ALGORITHM_RSA_2048 = 0x07, /* NIST SP 800-78-4, table 6-2 */
    ALGORITHM_P256 = 0x11,
    ALGORITHM_P384 = 0x14,
    CHAINED = 0x10,
    SW_NOT_SUPPORTED = 0x6A81
};

/* A tap: what all foreign cards have, and secure messaging. */
typedef struct piv_tap {
    cb_foreign_tap common; /* first: the calls for all of them are given this */
    cb_piv_offer offer;
    cb_piv_session session; /* open: the card signs inside */
} piv_tap;

static cb_error first(cb_foreign_tap *common, cb_buf *script)
{
    return cb_piv_first_put(&((piv_tap *)common)->offer, script);
}

/* Opens the session of a card that is bound with a key for it; such a card is not asked whether it
 * has it: it must. */
static cb_error open_session(piv_tap *tap, const cb_script *answers, const cb_known_card *known)
{
    cb_piv_answer answer;
    const cb_card_key *key = cb_card_keys_find(&known->keys, CB_PIV_KEY_MESSAGING);
    cb_error error = key ? cb_piv_offer_answer(answers, &answer) : CB_OK;
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
        cb_piv_put_command(script, 0,
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

/* Over the air a card takes its PIN through the virtual contact interface alone (part 2, 3.2.1):
 * here it does not reach what is asked for, whatever is typed. */
static bool wants_contacts(const cb_foreign_tap *common, const cb_script *answers)
{
    uint16_t status = common->with_pin && answers->count == 1
                          ? cb_answer_status(answers->item[0].apdu)
                          : CB_SW_OK;
    return status == CB_SW_SECURITY || status == SW_NOT_SUPPORTED;
}

static cb_error read(cb_foreign_tap *common, const cb_script *answers)
{
    piv_tap *tap = (piv_tap *)common;
    size_t count = (common->with_pin ? 1 : 0) + common->parts;
    if (wants_contacts(common, answers))
        return CB_E_TAP_LEVEL;
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
                                     .recognise = cb_piv_recognise,
                                     .choose = choose,
                                     .ask = ask,
                                     .read = read};

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
    .recognise = cb_piv_recognise,
    .begin = begin,
    .challenge = challenge,
    .finish = finish,
    .end = end,
    .certificates = CB_PIV_CERTIFIED,
    .survey = cb_piv_survey,
    .certificate = cb_piv_certificate,
    .fits = cb_piv_fits,
    .names = cb_piv_named,
    .marks = cb_piv_marks,
    .attested = CB_PIV_KEY_MESSAGING,
    .attest = cb_piv_attest,
};
