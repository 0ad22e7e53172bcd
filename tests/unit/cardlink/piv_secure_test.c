/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The host's side of PIV secure messaging against a card's side that was written from the
 * specification alone (tests/support/piv_secure.py): the same keys and the same bytes, and nothing
 * else is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "cardlink/piv/agreement.h"
#include "cardlink/script.h"
#include "tests/support/pki.h"

enum { EXCHANGES = 6 };

#define expect(wanted, got) assert_string_equal(cb_error_code(got), cb_error_code(wanted))
#define same(got, name) assert_true(cb_bytes_same(got, pki(name)))

static const uint8_t nothing[256];

static cb_bytes numbered(const char *what, unsigned number, int part)
{
    char name[32];
    snprintf(name, sizeof name, part < 0 ? "%s-%u" : "%s-%u-%d", what, number, part);
    return pki(name);
}

/* A copy that a test may change; freed by it. */
static cb_buf copy(cb_bytes bytes)
{
    cb_buf out = CB_BUF(CB_ANSWER_MAX);
    cb_buf_put(&out, bytes);
    assert_false(cb_buf_error(&out));
    return out;
}

/* ---- Key establishment ---- */

static cb_piv_offer offer_of(const char *id)
{
    cb_piv_offer offer = {.id = {0}};
    memcpy(offer.scalar, pki("scalar").data, sizeof offer.scalar);
    assert_int_equal(cb_p256_public(offer.scalar, offer.point), CB_OK);
    for (uint8_t i = 0; *id && i < sizeof offer.id; i++)
        offer.id[i] = i;
    return offer;
}

static cb_error agree(const char *id, cb_bytes answer, cb_bytes point, cb_piv_session *session)
{
    cb_piv_answer read;
    cb_piv_offer offer = offer_of(id);
    memset(session, 0xEE, sizeof *session);
    cb_error error = cb_piv_answer_read(answer, &read);
    if (error)
        return error;
    error = cb_piv_agree(&offer, &read, point, session);
    assert_memory_equal(&offer, nothing, sizeof offer);
    if (error)
        assert_memory_equal(session, nothing, sizeof *session);
    return error;
}

static void the_offer_is_as_specified(void **state)
{
    (void)state;
    cb_piv_offer offer = offer_of(""), named = offer_of("named");
    cb_buf command = CB_BUF(CB_COMMAND_MAX);
    expect(CB_OK, cb_piv_offer_put(&offer, &command));
    same(cb_buf_bytes(&command), "offer");
    cb_buf_reset(&command);
    expect(CB_OK, cb_piv_offer_put(&named, &command));
    same(cb_buf_bytes(&command), "named-offer");
    cb_buf_free(&command);
}

static void no_two_offers_are_the_same(void **state)
{
    (void)state;
    cb_piv_offer one, other;
    cb_buf first = CB_BUF(CB_COMMAND_MAX), second = CB_BUF(CB_COMMAND_MAX);
    expect(CB_OK, cb_piv_offer_make(&one, &first));
    expect(CB_OK, cb_piv_offer_make(&other, &second));
    assert_memory_not_equal(one.scalar, other.scalar, sizeof one.scalar);
    assert_false(cb_bytes_same(cb_buf_bytes(&first), cb_buf_bytes(&second)));
    cb_buf_free(&first);
    cb_buf_free(&second);
}

static void both_sides_have_the_same_keys(void **state)
{
    static const char *const ids[] = {"", "named-"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char name[32];
        cb_piv_session session;
        snprintf(name, sizeof name, "%sanswer", ids[i]);
        expect(CB_OK, agree(ids[i], pki(name), pki("point"), &session));
        snprintf(name, sizeof name, "%skeys", ids[i]);
        cb_bytes keys = pki(name);
        assert_int_equal(keys.len, 3 * CB_PIV_SESSION_KEY);
        assert_memory_equal(session.mac, keys.data, CB_PIV_SESSION_KEY);
        assert_memory_equal(session.enc, keys.data + 16, CB_PIV_SESSION_KEY);
        assert_memory_equal(session.rmac, keys.data + 32, CB_PIV_SESSION_KEY);
        assert_true(session.open && session.sent == 0 && session.answered == 0);
    }
}

/* Nonce, cryptogram and the whole certificate are in what the keys and the cryptogram come from. */
static void an_answer_with_any_bit_changed_is_refused(void **state)
{
    (void)state;
    cb_piv_session session;
    cb_buf answer = copy(pki("answer"));
    for (size_t at = 0; at < answer.len; at++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            answer.data[at] ^= (uint8_t)bit;
            assert_int_not_equal(agree("", cb_buf_bytes(&answer), pki("point"), &session), CB_OK);
            answer.data[at] ^= (uint8_t)bit;
        }
    }
    expect(CB_OK, agree("", cb_buf_bytes(&answer), pki("point"), &session));
    while (answer.len-- > 0)
        assert_int_not_equal(agree("", cb_buf_bytes(&answer), pki("point"), &session), CB_OK);
    cb_buf_free(&answer);
}

static void an_answer_with_more_behind_it_is_refused(void **state)
{
    (void)state;
    cb_piv_answer read;
    cb_buf answer = copy(pki("answer"));
    cb_buf_put_u8(&answer, 0);
    expect(CB_E_CARD_ANSWER, cb_piv_answer_read(cb_buf_bytes(&answer), &read));
    cb_buf_free(&answer);
}

/* Persistent binding is not asked for, so no card may say that it did it. */
static void another_control_byte_is_refused(void **state)
{
    (void)state;
    cb_piv_answer read;
    cb_buf answer = copy(pki("answer"));
    assert_int_equal(answer.data[6], 0);
    answer.data[6] = 0x10;
    expect(CB_E_CARD_ANSWER, cb_piv_answer_read(cb_buf_bytes(&answer), &read));
    cb_buf_free(&answer);
}

static void an_answer_to_another_offer_proves_nothing(void **state)
{
    (void)state;
    cb_piv_session session;
    expect(CB_E_CARD_PROOF, agree("", pki("named-answer"), pki("point"), &session));
    expect(CB_E_CARD_PROOF, agree("named-", pki("answer"), pki("point"), &session));
}

/* The answer is right, but of a card that is not the one that was meant. */
static void only_the_key_that_was_meant_opens_a_session(void **state)
{
    (void)state;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_piv_session session;
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    expect(CB_E_CARD_PROOF, agree("", pki("answer"), CB_BYTES_OF(point), &session));
    expect(CB_E_CARD_PROOF, agree("", pki("answer"), (cb_bytes){0}, &session));
}

static cb_bytes unhex(const char *text, uint8_t *out, size_t len)
{
    assert_int_equal(cb_unhex_exact(text, out, len), CB_OK);
    return cb_bytes_make(out, len);
}

#define HEX(text) unhex(text, (uint8_t[sizeof(text) / 2]){0}, sizeof(text) / 2)

/* One of NIST's test cards (Special Database 33, card 3), as recorded with its host's ephemeral key
 * in github.com/OpenPhysical/OpenFIPS201, vci_vectors_sd33-03.json: the session's keys, and in it
 * VERIFY of the pairing code 00000003. */
static void a_real_card_says_the_same(void **state)
{
    (void)state;
    static const uint8_t pairing_code[] = "00000003";
    cb_piv_answer answer;
    cb_piv_session session;
    cb_script wrapped;
    size_t parts;
    uint16_t status;
    cb_piv_offer offer = {.id = {0}};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), command = CB_BUF(CB_COMMAND_MAX);
    cb_bytes scalar = HEX("4331FA6D3F1A2835C012F365D144DBF83C77439E1C3A7F7855FD4F320962BB50");
    memcpy(offer.scalar, scalar.data, sizeof offer.scalar);
    expect(CB_OK, cb_p256_public(offer.scalar, offer.point));
    expect(CB_OK, cb_piv_offer_put(&offer, &command));
    assert_true(cb_bytes_same(
        cb_buf_bytes(&command),
        HEX("00872704507C4E814A00000000000000000004FE7BDA707EC566A7928BDD31DEF02DAF55760FC32C76FD5C"
            "8194186865FF6C92F4EA36CB045885C33990EF77655ACD02C0DD8A6BC489AE6B88115FD707E57B6E82000"
            "0")));
    expect(CB_OK, cb_piv_answer_read(HEX("7C81F88281F500519C38385979BE44C8A30CE9AD4555C22F96D2315AE"
                                         "0CFA60F76C6E4CDF425EF7F2181"
                                         "D05F29018042083DA648B01A85BBDD5F201045853470A4034844AE15C"
                                         "6495959FAD57F494D06082A8648"
                                         "CE3D030107864104C7C96F3157CC743936BDB25F2EFDC596080C16947"
                                         "CB06F146313F1CD44FF2DD872F2"
                                         "93EACD2B8B61080E5162CAB68A2C857E839D997C78C6684C9C5514025"
                                         "9185F4C01005F37583056300A06"
                                         "082A8648CE3D0403020348003045022100BD1D4457F7133C307C7FFBC"
                                         "A3133F2A4CBEAF2C797DF80C39E"
                                         "E33D3D6688CAF6022013325EF3D0FC400C3354D8DBB9004DFDE4138F4"
                                         "E5131F6381DFF949F5CE1E8BD"),
                                     &answer));
    assert_true(cb_bytes_same(answer.certificate.subject, HEX("45853470A4034844AE15C6495959FAD5")));
    expect(CB_OK, cb_piv_agree(&offer, &answer, answer.certificate.point, &session));
    assert_true(cb_bytes_same(CB_BYTES_OF(session.mac), HEX("086B12633DA5C48CF04231DBB3861557")));
    assert_true(cb_bytes_same(CB_BYTES_OF(session.enc), HEX("A3C833BA17EDC6CE9D6B298BCA3BDA04")));
    assert_true(cb_bytes_same(CB_BYTES_OF(session.rmac), HEX("C5948946B6B9B357FB1D359A9CD18AD3")));
    const cb_apdu verify = {0x00, 0x20, 0x00, 0x98, cb_bytes_make(pairing_code, 8), false};
    expect(CB_OK, cb_piv_wrap(&session, &verify, &script, &parts));
    expect(CB_OK, cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &wrapped));
    assert_true(cb_bytes_same(
        wrapped.item[0].apdu,
        HEX("0C2000981D87110113A7EB466B2D9208E3E2EF9BAC62830F8E08AC2CEAEEDB8D47F300")));
    cb_buf_reset(&command);
    expect(CB_OK,
           cb_piv_open(&session, HEX("990290008E08727904A5B77999159000"), &command, &status));
    assert_int_equal(status, CB_SW_OK);
    assert_int_equal(command.len, 0);
    cb_buf_free(&script);
    cb_buf_free(&command);
}

/* Later in that session: the eighth command is GET DATA of the key history. */
static void a_real_cards_data_are_read(void **state)
{
    (void)state;
    static const uint8_t key_history[] = {0x5C, 0x03, 0x5F, 0xC1, 0x0C};
    cb_piv_session session;
    cb_script wrapped;
    size_t parts;
    uint16_t status;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), data = CB_BUF(CB_ANSWER_MAX);
    cb_piv_session_begin(&session, HEX("086B12633DA5C48CF04231DBB3861557"
                                       "A3C833BA17EDC6CE9D6B298BCA3BDA04"
                                       "C5948946B6B9B357FB1D359A9CD18AD3")
                                       .data);
    memcpy(session.command_chain, HEX("85E8441A13C21D9091653A28A6652465").data, CB_AES_BLOCK);
    memcpy(session.answer_chain, HEX("27629416EEDD61C4F7446F0FB760F4A5").data, CB_AES_BLOCK);
    session.sent = session.answered = 7;
    const cb_apdu get = {0x00, 0xCB, 0x3F, 0xFF, CB_BYTES_OF(key_history), true};
    expect(CB_OK, cb_piv_wrap(&session, &get, &script, &parts));
    expect(CB_OK, cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &wrapped));
    assert_true(cb_bytes_same(
        wrapped.item[0].apdu,
        HEX("0CCB3FFF2087110144AE5E44BFFA2CEA0E14E86DCBC6EFA89701008E08B14DE111C96D650A00")));
    expect(CB_OK, cb_piv_open(
                      &session,
                      HEX("871101650FF92DD977B0D26F19A595CC41A3FF990290008E084058F36FCC44CF459000"),
                      &data, &status));
    assert_int_equal(status, CB_SW_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&data), HEX("5308C10104C20100FE00")));
    cb_buf_free(&script);
    cb_buf_free(&data);
}

/* ---- Commands ---- */

static void open_session(cb_piv_session *session)
{
    expect(CB_OK, agree("named-", pki("named-answer"), pki("point"), session));
}

static cb_apdu plain(unsigned number)
{
    cb_cursor cursor = cb_cursor_over(numbered("plain", number, -1));
    cb_apdu apdu = {.cla = cb_cursor_u8(&cursor),
                    .ins = cb_cursor_u8(&cursor),
                    .p1 = cb_cursor_u8(&cursor),
                    .p2 = cb_cursor_u8(&cursor)};
    apdu.le = cb_cursor_u8(&cursor);
    apdu.data = cb_cursor_rest(&cursor);
    return apdu;
}

static size_t wrap(cb_piv_session *session, unsigned number, cb_buf *script)
{
    size_t parts;
    cb_apdu apdu = plain(number);
    expect(CB_OK, cb_piv_wrap(session, &apdu, script, &parts));
    return parts;
}

static void commands_are_as_specified(void **state)
{
    (void)state;
    cb_piv_session session;
    open_session(&session);
    for (unsigned i = 0; i < EXCHANGES; i++) {
        cb_script script;
        cb_buf encoded = CB_BUF(CB_SCRIPT_BYTES_MAX);
        size_t parts = wrap(&session, i, &encoded);
        expect(CB_OK, cb_script_read(cb_buf_bytes(&encoded), CB_COMMAND_MAX, &script));
        assert_int_equal(parts, i == 2 ? 2 : 1);
        assert_int_equal(script.count, parts);
        for (size_t part = 0; part < parts; part++) {
            assert_int_equal(script.item[part].flags, 0);
            assert_true(cb_bytes_same(script.item[part].apdu, numbered("command", i, (int)part)));
        }
        cb_buf_free(&encoded);
    }
    assert_int_equal(session.sent, EXCHANGES);
}

/* A session in which as many commands were sent, and as many answered as the card said. */
static void asked(cb_piv_session *session, unsigned commands, unsigned answers)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), data = CB_BUF(CB_ANSWER_MAX);
    uint16_t status;
    open_session(session);
    for (unsigned i = 0; i < commands; i++)
        wrap(session, i, &script);
    for (unsigned i = 0; i < answers; i++)
        expect(CB_OK, cb_piv_open(session, numbered("answer", i, -1), &data, &status));
    cb_buf_free(&script);
    cb_buf_free(&data);
}

static void answers_are_read(void **state)
{
    (void)state;
    cb_piv_session session;
    asked(&session, EXCHANGES, 0);
    for (unsigned i = 0; i < EXCHANGES; i++) {
        uint16_t status;
        cb_buf data = CB_BUF(CB_ANSWER_MAX);
        expect(CB_OK, cb_piv_open(&session, numbered("answer", i, -1), &data, &status));
        cb_bytes said = numbered("said", i, -1);
        assert_int_equal(status, cb_answer_status(said));
        assert_true(cb_bytes_same(cb_buf_bytes(&data), cb_answer_data(said)));
        cb_buf_free(&data);
    }
}

static cb_error open_one(unsigned number, cb_bytes answer)
{
    cb_piv_session session;
    uint16_t status = 1;
    cb_buf data = CB_BUF(CB_ANSWER_MAX);
    asked(&session, number + 1, number);
    cb_error error = cb_piv_open(&session, answer, &data, &status);
    if (error) {
        assert_int_equal(status, 0);
        assert_int_equal(data.len, 0);
        assert_memory_equal(&session, nothing, sizeof session);
    }
    cb_buf_free(&data);
    return error;
}

static void an_answer_with_any_byte_changed_ends_the_session(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EXCHANGES; i++) {
        cb_buf answer = copy(numbered("answer", i, -1));
        for (size_t at = 0; at < answer.len; at += i == 3 ? 7 : 1) {
            answer.data[at] ^= 1;
            cb_error error = open_one(i, cb_buf_bytes(&answer));
            if (at + 2 >= answer.len)
                expect(CB_E_CARD_STATUS, error);
            else if (at + 2 + CB_PIV_MAC >= answer.len)
                expect(CB_E_CARD_PROOF, error);
            else
                assert_true(error == CB_E_CARD_ANSWER || error == CB_E_CARD_PROOF);
            answer.data[at] ^= 1;
        }
        expect(CB_OK, open_one(i, cb_buf_bytes(&answer)));
        cb_buf_free(&answer);
    }
}

static void a_shorter_answer_ends_the_session(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    (void)state;
    cb_bytes whole = cb_answer_data(numbered("answer", 1, -1));
    for (size_t len = 0; len < whole.len; len++) {
        cb_buf answer = copy(cb_bytes_make(whole.data, len));
        cb_buf_put(&answer, CB_BYTES_OF(ok));
        expect(CB_E_CARD_ANSWER, open_one(1, cb_buf_bytes(&answer)));
        cb_buf_free(&answer);
    }
    expect(CB_E_CARD_ANSWER, open_one(1, (cb_bytes){0}));
    expect(CB_E_CARD_ANSWER, open_one(1, cb_bytes_make(ok, 1)));
}

/* Each MAC is over the one before, and each vector from another counter. */
static void answers_are_neither_repeated_nor_left_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EXCHANGES; i++) {
        for (unsigned other = 0; other < EXCHANGES; other++)
            expect(other == i ? CB_OK : CB_E_CARD_PROOF,
                   open_one(i, numbered("answer", other, -1)));
    }
}

/* Whoever is between can end a session with a status of its own, and nothing more. */
static void a_bare_status_ends_the_session(void **state)
{
    static const uint8_t statuses[][2] = {{0x68, 0x82}, {0x69, 0x82}, {0x69, 0x87}, {0x69, 0x88},
                                          {0x63, 0xC3}, {0x6A, 0x82}, {0x61, 0x10}};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        expect(CB_E_CARD_STATUS, open_one(1, CB_BYTES_OF(statuses[i])));
    static const uint8_t ok[] = {0x90, 0x00};
    expect(CB_E_CARD_ANSWER, open_one(1, CB_BYTES_OF(ok)));
}

static void nothing_is_said_or_heard_after_the_end(void **state)
{
    (void)state;
    static const uint8_t refused[] = {0x69, 0x88};
    cb_piv_session session;
    uint16_t status;
    size_t parts;
    cb_apdu apdu = plain(0);
    cb_buf data = CB_BUF(CB_ANSWER_MAX), script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    asked(&session, 2, 0);
    expect(CB_E_CARD_STATUS, cb_piv_open(&session, CB_BYTES_OF(refused), &data, &status));
    expect(CB_E_ARGUMENT, cb_piv_open(&session, numbered("answer", 0, -1), &data, &status));
    expect(CB_E_ARGUMENT, cb_piv_wrap(&session, &apdu, &script, &parts));
    assert_int_equal(script.len, 0);
    asked(&session, 1, 1);
    expect(CB_E_ARGUMENT, cb_piv_open(&session, numbered("answer", 1, -1), &data, &status));
    cb_buf_free(&data);
    cb_buf_free(&script);
}

static void no_counter_is_used_twice(void **state)
{
    (void)state;
    cb_piv_session session;
    size_t parts;
    cb_apdu apdu = plain(1);
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    open_session(&session);
    session.sent = session.answered = UINT32_MAX - 1;
    expect(CB_OK, cb_piv_wrap(&session, &apdu, &script, &parts));
    expect(CB_E_CRYPTO, cb_piv_wrap(&session, &apdu, &script, &parts));
    assert_memory_equal(&session, nothing, sizeof session);
    cb_buf_free(&script);
}

static void a_command_has_a_limit(void **state)
{
    (void)state;
    static const uint8_t zero[CB_PIV_COMMAND_DATA_MAX + 1];
    for (size_t extra = 0; extra < 2; extra++) {
        cb_piv_session session;
        size_t parts;
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
        const cb_apdu apdu = {
            0, 0x87, 0x11, 0x9A, cb_bytes_make(zero, CB_PIV_COMMAND_DATA_MAX + extra), true};
        open_session(&session);
        expect(extra ? CB_E_TOO_LARGE : CB_OK, cb_piv_wrap(&session, &apdu, &script, &parts));
        assert_int_equal(parts, extra ? 0 : 5);
        cb_buf_free(&script);
    }
}

/* ---- Certificates ---- */

static cb_error verify(const char *card, const char *between, const char *signer)
{
    cb_piv_cvc cvc;
    cb_x509 x509;
    cb_error error = cb_piv_cvc_read(pki(card), &cvc);
    expect(CB_OK, cb_x509_parse(pki(signer), &x509));
    return error ? error : cb_piv_cvc_verify(&cvc, between ? pki(between) : (cb_bytes){0}, &x509);
}

static void a_certificate_says_whose_key_it_is(void **state)
{
    (void)state;
    cb_piv_cvc cvc;
    expect(CB_OK, cb_piv_cvc_read(pki("cvc"), &cvc));
    same(cvc.whole, "cvc");
    same(cvc.subject, "guid");
    same(cvc.point, "point");
    assert_false(cvc.intermediate);
    expect(CB_OK, cb_piv_cvc_read(pki("between"), &cvc));
    assert_true(cvc.intermediate);
}

static void a_certificate_of_the_signer_is_good(void **state)
{
    (void)state;
    expect(CB_OK, verify("cvc", NULL, "signer"));
    expect(CB_OK, verify("cvc-between", "between", "signer-rsa"));
}

static void another_signers_is_not(void **state)
{
    (void)state;
    expect(CB_E_CARD_CERTIFICATE, verify("cvc", NULL, "signer-later"));
    expect(CB_E_CARD_CERTIFICATE, verify("cvc-other-issuer", NULL, "signer"));
    expect(CB_E_CARD_CERTIFICATE, verify("cvc-between", NULL, "signer-rsa"));
    expect(CB_E_CARD_CERTIFICATE, verify("cvc", "between", "signer-rsa"));
    expect(CB_E_CARD_CERTIFICATE, verify("cvc-between", "between", "signer"));
    /* Right, but not with the algorithms that there are. */
    expect(CB_E_CERTIFICATE_ALGORITHM, verify("cvc-signer-rsa", NULL, "signer-rsa"));
    expect(CB_E_CERTIFICATE_ALGORITHM, verify("cvc-signer-p384", NULL, "signer-p384"));
    expect(CB_E_CERTIFICATE_ALGORITHM, verify("cvc-between", "between-by-p256", "signer"));
}

/* A card's key signs nobody's certificate, and an intermediate one is no card's. */
static void no_card_stands_between(void **state)
{
    (void)state;
    expect(CB_E_CARD_CERTIFICATE, verify("cvc-between", "between-is-card", "signer-rsa"));
    expect(CB_E_CARD_CERTIFICATE, verify("between", NULL, "signer-rsa"));
    expect(CB_E_CARD_CERTIFICATE, verify("between", "between", "signer-rsa"));
}

static void other_forms_are_refused(void **state)
{
    static const struct {
        const char *name;
        cb_error error;
    } cases[] = {{"cvc-other-profile", CB_E_CERTIFICATE_FORM},
                 {"cvc-other-role", CB_E_CERTIFICATE_FORM},
                 {"cvc-short-guid", CB_E_CERTIFICATE_FORM},
                 {"cvc-other-curve", CB_E_CERTIFICATE_ALGORITHM},
                 {"cvc-off-curve", CB_E_CERTIFICATE_ALGORITHM},
                 {"signer", CB_E_CERTIFICATE_FORM}};
    static const cb_piv_cvc none;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cb_piv_cvc cvc;
        expect(cases[i].error, cb_piv_cvc_read(pki(cases[i].name), &cvc));
        assert_memory_equal(&cvc, &none, sizeof cvc);
    }
}

static void every_byte_of_a_certificate_counts(void **state)
{
    static const char *const names[] = {"cvc", "cvc-between"};
    (void)state;
    cb_x509 signer[2];
    expect(CB_OK, cb_x509_parse(pki("signer"), &signer[0]));
    expect(CB_OK, cb_x509_parse(pki("signer-rsa"), &signer[1]));
    for (unsigned i = 0; i < 2; i++) {
        cb_buf bytes = copy(pki(names[i]));
        cb_bytes between = i ? pki("between") : (cb_bytes){0};
        for (size_t at = 0; at <= bytes.len; at++) {
            cb_piv_cvc cvc;
            if (at < bytes.len)
                bytes.data[at] ^= 1;
            cb_error error = cb_piv_cvc_read(cb_buf_bytes(&bytes), &cvc);
            if (!error)
                error = cb_piv_cvc_verify(&cvc, between, &signer[i]);
            assert_true((error == CB_OK) == (at == bytes.len));
            if (at < bytes.len)
                bytes.data[at] ^= 1;
        }
        cb_buf_free(&bytes);
    }
    cb_buf between = copy(pki("between"));
    cb_piv_cvc card;
    expect(CB_OK, cb_piv_cvc_read(pki("cvc-between"), &card));
    for (size_t at = 0; at < between.len; at++) {
        between.data[at] ^= 1;
        assert_int_not_equal(cb_piv_cvc_verify(&card, cb_buf_bytes(&between), &signer[1]), CB_OK);
        between.data[at] ^= 1;
    }
    cb_buf_free(&between);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_offer_is_as_specified),
        cmocka_unit_test(no_two_offers_are_the_same),
        cmocka_unit_test(both_sides_have_the_same_keys),
        cmocka_unit_test(a_real_card_says_the_same),
        cmocka_unit_test(a_real_cards_data_are_read),
        cmocka_unit_test(an_answer_with_any_bit_changed_is_refused),
        cmocka_unit_test(an_answer_with_more_behind_it_is_refused),
        cmocka_unit_test(another_control_byte_is_refused),
        cmocka_unit_test(an_answer_to_another_offer_proves_nothing),
        cmocka_unit_test(only_the_key_that_was_meant_opens_a_session),
        cmocka_unit_test(commands_are_as_specified),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(an_answer_with_any_byte_changed_ends_the_session),
        cmocka_unit_test(a_shorter_answer_ends_the_session),
        cmocka_unit_test(answers_are_neither_repeated_nor_left_out),
        cmocka_unit_test(a_bare_status_ends_the_session),
        cmocka_unit_test(nothing_is_said_or_heard_after_the_end),
        cmocka_unit_test(no_counter_is_used_twice),
        cmocka_unit_test(a_command_has_a_limit),
        cmocka_unit_test(a_certificate_says_whose_key_it_is),
        cmocka_unit_test(a_certificate_of_the_signer_is_good),
        cmocka_unit_test(another_signers_is_not),
        cmocka_unit_test(no_card_stands_between),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(every_byte_of_a_certificate_counts),
    };
    if (argc != 2 || pki_make(argv[1]) != 0) {
        fprintf(stderr, "usage: piv_secure_test SCRIPT\n");
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pki_remove();
    return failed;
}
