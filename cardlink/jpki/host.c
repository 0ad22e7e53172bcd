/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The broker's side of JPKI cards (Japan's Individual Number Card): user authentication, RSA-2048,
 * after a PIN of four digits.
 *
 * The card is known by the serial number of its certificate for user authentication, which stands
 * in the certificate's first bytes: nothing else distinguishes it, and the rest of the certificate
 * is read once, when the card is registered. There is one authority for all of these cards, which
 * gives no number twice.
 */
#include "cardlink/apdu.h"
#include "cardlink/foreign.h"
#include "cardlink/jpki/commands.h"
#include "cardlink/x509/certificate.h"

enum {
    FIRST_SELECT,
    FIRST_FILE,
    FIRST_HEAD,
    FIRST_COUNT,
    SECOND_PIN_FILE = 0,
    SECOND_PIN,
    SECOND_KEY_FILE,
    SECOND_SIGN,
    SECOND_COUNT,
    SERIAL_MAX = 20,
    PART = 256,
    PARTS = 16
};

static const uint8_t select_command[] = {0x00, 0xA4, 0x04, 0x0C, 0x0A, 0xD3, 0x92, 0xF0,
                                         0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01};

static void put_file(cb_buf *script, uint16_t file)
{
    const uint8_t command[] = {0x00, 0xA4, 0x02, 0x0C, 0x02, (uint8_t)(file >> 8), (uint8_t)file};
    cb_script_put(script, 0, CB_BYTES_OF(command));
}

static cb_error first(cb_foreign_tap *tap, cb_buf *script)
{
    (void)tap;
    /* As much as the longest serial number needs with what stands before it. */
    static const uint8_t head[] = {0x00, 0xB0, 0x00, 0x00, 0x30};
    cb_script_put(script, 0, CB_BYTES_OF(select_command));
    put_file(script, CB_JPKI_CERTIFICATE);
    cb_script_put(script, CB_SCRIPT_PART, CB_BYTES_OF(head));
    return CB_OK;
}

/* ---- Which card ---- */

/* A SEQUENCE with a length of two bytes, as every certificate of more than 255 bytes begins; its
 * end is not there yet. */
static void enter_sequence(cb_cursor *cursor)
{
    uint8_t tag = cb_cursor_u8(cursor), length = cb_cursor_u8(cursor);
    cb_cursor_u16(cursor);
    if (tag != 0x30 || length != 0x82)
        cb_cursor_fail(cursor);
}

static cb_error read_serial(cb_bytes head, cb_bytes *serial)
{
    static const uint8_t version_3[] = {0xA0, 0x03, 0x02, 0x01, 0x02, 0x02};
    cb_cursor cursor = cb_cursor_over(head);
    enter_sequence(&cursor);
    enter_sequence(&cursor);
    if (!cb_bytes_same(cb_cursor_take(&cursor, sizeof version_3), CB_BYTES_OF(version_3)))
        return CB_E_CARD_ANSWER;
    size_t len = cb_cursor_u8(&cursor);
    *serial = cb_cursor_take(&cursor, len);
    return cb_cursor_ok(&cursor) && len >= 1 && len <= SERIAL_MAX ? CB_OK : CB_E_CARD_ANSWER;
}

static cb_error recognise(const cb_script *answers, cb_id *card)
{
    cb_bytes serial;
    cb_error error = cb_foreign_answers(answers, FIRST_COUNT);
    if (!error)
        error = read_serial(cb_answer_data(answers->item[FIRST_HEAD].apdu), &serial);
    if (!error)
        *card = cb_foreign_card_id(CB_PROFILE_JPKI, serial);
    return error;
}

/* ---- The signature ---- */

/* There is one key, and it does nothing without the PIN. */
static const cb_card_key *choose(const cb_known_card *known, uint8_t level, bool *with_pin)
{
    const cb_card_key *key = cb_card_keys_find(&known->keys, CB_JPKI_KEY);
    (void)level;
    *with_pin = true;
    return key && key->kind == CB_CARD_KEY_RSA_2048 ? key : NULL;
}

static cb_error ask(cb_foreign_tap *tap, const cb_script *answers, const cb_known_card *known,
                    cb_buf *script)
{
    static const uint8_t verify[] = {0x00, 0x20, 0x00, 0x80};
    uint8_t sign[5 + CB_DIGEST_INFO + 1] = {0x80, 0x2A, 0x00, 0x80, CB_DIGEST_INFO};
    (void)answers, (void)known;
    cb_digest_info(tap->claim.signature.digest, sign + 5);
    put_file(script, CB_JPKI_PIN);
    cb_script_put(script, CB_SCRIPT_PIN_ASCII, CB_BYTES_OF(verify));
    put_file(script, CB_JPKI_KEY);
    cb_script_put(script, 0, CB_BYTES_OF(sign));
    return CB_OK;
}

static cb_error read(cb_foreign_tap *tap, const cb_script *answers)
{
    cb_error error = cb_foreign_second(answers, SECOND_COUNT, SECOND_PIN, &tap->claim);
    return error ? error
                 : cb_card_signature_rsa(cb_answer_data(answers->item[SECOND_SIGN].apdu),
                                         &tap->claim.signature);
}

static const cb_foreign_kind kind = {.profile = CB_PROFILE_JPKI,
                                     .first = first,
                                     .recognise = recognise,
                                     .choose = choose,
                                     .ask = ask,
                                     .read = read};

/* ---- Registration ---- */

/* The file is selected; how long the certificate is stands in its head, which the script cannot
 * know. */
static void survey(const cb_script *first_answers, cb_buf *script)
{
    (void)first_answers;
    for (uint8_t part = 0; part < PARTS; part++) {
        const uint8_t read[] = {0x00, 0xB0, part, 0x00, 0x00};
        cb_script_put(script, CB_SCRIPT_GO_ON, CB_BYTES_OF(read));
    }
}

static cb_error certificate(const cb_script *answers, size_t index, uint8_t *use, cb_buf *der)
{
    size_t len = 0;
    (void)index;
    for (size_t i = 0; i < answers->count && i < PARTS && (i == 0 || der->len < len); i++) {
        cb_bytes data = cb_answer_data(answers->item[i].apdu);
        if (cb_answer_status(answers->item[i].apdu) != CB_SW_OK || data.len > PART)
            return CB_E_CARD_ANSWER;
        if (i == 0 && data.len > 4 && data.data[0] == 0x30 && data.data[1] == 0x82)
            len = 4 + (size_t)(data.data[2] << 8 | data.data[3]);
        if (len == 0)
            return CB_E_NOT_FOUND;
        cb_buf_put(der,
                   data.len < len - der->len ? data : cb_bytes_make(data.data, len - der->len));
    }
    *use = CB_JPKI_KEY;
    return der->len == len && len > 0 ? cb_buf_error(der) : CB_E_CARD_ANSWER;
}

/* It begins with what was read in the first script, the serial number within. */
static bool fits(const cb_script *answers, const cb_x509 *certificate)
{
    cb_bytes head = cb_answer_data(answers->item[FIRST_HEAD].apdu), whole = certificate->whole;
    size_t len = head.len < whole.len ? head.len : whole.len;
    return cb_bytes_same(cb_bytes_make(head.data, len), cb_bytes_make(whole.data, len));
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
    return cb_foreign_finish(&kind, state, answers, claim);
}

const cb_card_profile cb_profile_jpki = {
    .id = CB_PROFILE_JPKI,
    .name = "jpki",
    .select = {select_command, sizeof select_command},
    .level_with_pin = CB_LEVEL_TERMINAL_PIN,
    .state_size = sizeof(cb_foreign_tap),
    .recognise = recognise,
    .begin = begin,
    .challenge = challenge,
    .finish = finish,
    .end = cb_foreign_end,
    .certificates = 1,
    .survey = survey,
    .certificate = certificate,
    .fits = fits,
};
