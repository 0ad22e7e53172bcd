/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each allocation of the broker's side fails in turn while a PIV card signs inside secure
 * messaging, and while its key for that is read to be bound: nothing false is believed,
 * nothing is asked outside, and no session stays open.
 */
#include "tests/support/alloc_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/piv/commands.h"
#include "cardlink/profile.h"
#include "cardlink/terminal/play.h"
#include "cardlink/x509/certificate.h"
#include "vpiv_host.h"

/* What the flows return when something false came out; it is no listed error. */
#define WRONG CB_ERROR_COUNT

static const uint8_t algorithms[CB_VPIV_SLOTS] = {CB_VCARD_RSA_2048, 0, 0, CB_VCARD_EC_P256};

typedef struct bench {
    vpiv_card card;
    cb_known_card known;
    cb_x509 signer; /* of the key for secure messaging */
    cb_buf signer_certificate;
    cb_buf answers; /* to a first script, once */
    cb_level level;
    void *state;
    unsigned outside; /* commands to use a key, but for the offer */
} bench;

static bench b;

/* The card is somebody else's, and has all the memory that it wants. */
static cb_error transmit(void *card, cb_bytes command, cb_buf *answer)
{
    uint8_t said[CB_ANSWER_MAX];
    cb_buf whole = CB_BUF(CB_ANSWER_MAX);
    bool signs = command.len > 4 && command.data[1] == CB_PIV_INS_AUTHENTICATE &&
                 command.data[2] != CB_PIV_CIPHER_SUITE_2;
    alloc_faults_pause(true);
    b.outside += signs && (command.data[0] & 0x0C) == 0;
    cb_vcard_process(card, command, &whole);
    size_t len = whole.len;
    memcpy(said, whole.data, len);
    cb_buf_free(&whole);
    alloc_faults_pause(false);
    cb_buf_put(answer, cb_bytes_make(said, len));
    return cb_buf_error(answer);
}

static cb_error play(const cb_buf *script, cb_buf *answers)
{
    cb_script read;
    const cb_card_io io = {
        .card = b.card.card, .transmit = transmit, .pin = cb_bytes_str(VPIV_CARD_PIN)};
    cb_error error = cb_buf_error(script);
    cb_buf_reset(answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &read);
    return error ? error : cb_play(&io, &read, answers);
}

/* An error, or a claim that verifies. */
static cb_error judge(cb_error error, const cb_card_claim *claim)
{
    static const cb_card_claim nothing;
    if (b.outside > 0 || (error && memcmp(claim, &nothing, sizeof nothing) != 0))
        return WRONG;
    return error || cb_profile_verify(claim, &b.known.keys) ? error : CB_E_CARD_PROOF;
}

static cb_error tap_with(cb_buf *script, cb_buf *answers)
{
    static const uint8_t broker[] = {0x7F, 0x21};
    const cb_profile_host host = {.signer_certificate = CB_BYTES_OF(broker)};
    const cb_tap_context context = {.profile = CB_PROFILE_PIV,
                                    .purpose = CB_TAP_AUTHENTICATE,
                                    .level = (uint8_t)b.level,
                                    .service = "tax"};
    cb_script read;
    cb_card_claim claim = {.counter = 0};
    cb_error error = cb_profile_piv.begin(b.state, &host, script);
    if (!error)
        error = play(script, answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    cb_buf_reset(script);
    if (!error)
        error = cb_profile_piv.challenge(b.state, &host, &read, &context, &b.known, (cb_bytes){0},
                                         script);
    if (!error)
        error = play(script, answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = cb_profile_piv.finish(b.state, &host, &read, &claim);
    return judge(error, &claim);
}

static cb_error tap(void *context)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    (void)context;
    cb_error error = tap_with(&script, &answers);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

static void lay_down(void *context)
{
    (void)context;
    cb_vcard_reset(b.card.card);
    b.state = calloc(1, cb_profile_piv.state_size);
    assert_non_null(b.state);
    b.outside = 0;
}

static void take_up(void *context, cb_error result, bool struck)
{
    static const uint8_t zero[8192];
    (void)context, (void)result, (void)struck;
    cb_profile_piv.end(b.state);
    ((uint8_t *)b.state)[0] = 0; /* the step, which says that it is over */
    assert_true(cb_profile_piv.state_size <= sizeof zero);
    assert_memory_equal(b.state, zero, cb_profile_piv.state_size);
    free(b.state);
}

/* What a terminal reads of a card that took the offer, of which hsmd then gets the key. */
static cb_error read_with(cb_buf *script, cb_buf *answers, cb_buf *der)
{
    cb_x509 signer;
    cb_script read;
    cb_card_key key;
    uint8_t use;
    cb_error error = cb_script_read(cb_buf_bytes(&b.answers), CB_ANSWER_MAX, &read);
    if (!error)
        cb_profile_piv.survey(&read, script);
    if (!error)
        error = cb_profile_piv.attest(&read, &b.signer, (cb_bytes){0}, &key);
    if (!error)
        error = play(script, answers);
    if (!error)
        error = cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read);
    if (!error)
        error = cb_profile_piv.certificate(&read, 2, &use, der);
    if (!error)
        error = cb_x509_parse(cb_buf_bytes(der), &signer);
    const cb_card_key *right = cb_card_keys_find(&b.known.keys, CB_PIV_KEY_MESSAGING);
    if (!error && (use != CB_PIV_KEY_MESSAGING || key.len != right->len ||
                   memcmp(key.data, right->data, key.len) != 0 ||
                   !cb_bytes_same(signer.whole, b.signer.whole)))
        error = WRONG;
    return error;
}

static cb_error read_card(void *context)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf der = CB_BUF(CB_ANSWER_MAX);
    (void)context;
    cb_error error = read_with(&script, &answers, &der);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_buf_free(&der);
    return error;
}

static void put_down(void *context)
{
    static const uint8_t select[] = {0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08};
    (void)context;
    cb_vcard_reset(b.card.card);
    assert_int_equal(vpiv_raw(b.card.card, CB_BYTES_OF(select), NULL), CB_SW_OK);
}

static void nothing(void *context, cb_error result, bool struck)
{
    (void)context, (void)result, (void)struck;
}

static void know(uint8_t use, const cb_vcard_key *key)
{
    cb_buf spki = CB_BUF(CB_VCARD_SPKI_MAX);
    cb_card_key *known = &b.known.keys.key[b.known.keys.count++];
    assert_int_equal(cb_vcard_key_spki(key, &spki), CB_OK);
    assert_int_equal(cb_card_key_of_spki(cb_buf_bytes(&spki), known), CB_OK);
    known->use = use;
    cb_buf_free(&spki);
}

static void set_up(void)
{
    cb_issue_signer signer;
    cb_script read;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX);
    b = (bench){.signer_certificate = CB_BUF(CB_ISSUE_X509_MAX),
                .answers = CB_BUF(CB_SCRIPT_BYTES_MAX)};
    vpiv_signer_make(&signer);
    vpiv_card_make_with(&b.card, algorithms, CB_VPIV_AES_128, &signer);
    cb_buf_put(&b.signer_certificate, cb_buf_bytes(&signer.certificate));
    assert_int_equal(cb_x509_parse(cb_buf_bytes(&b.signer_certificate), &b.signer), CB_OK);
    cb_issue_signer_end(&signer);
    know(CB_PIV_KEY_AUTHENTICATION, &b.card.first.key[0]);
    know(CB_PIV_KEY_CARD, &b.card.first.key[3]);
    know(CB_PIV_KEY_MESSAGING, &b.card.first.channel_key);
    lay_down(NULL);
    assert_int_equal(cb_profile_piv.begin(b.state, NULL, &script), CB_OK);
    assert_int_equal(play(&script, &b.answers), CB_OK);
    assert_int_equal(cb_script_read(cb_buf_bytes(&b.answers), CB_ANSWER_MAX, &read), CB_OK);
    assert_int_equal(cb_profile_piv.recognise(&read, &b.known.card), CB_OK);
    take_up(NULL, CB_OK, false);
    cb_buf_free(&script);
}

static void each_flow_survives_each_failure(void **state)
{
    static const fault_flow signing = {"a tap inside secure messaging", lay_down, tap, take_up};
    static const fault_flow reading = {"its certificates are read", put_down, read_card, nothing};
    (void)state;
    set_up();
    b.level = CB_LEVEL_POSSESSION;
    fault_each(&alloc_faults, &signing, &b, 100);
    b.level = CB_LEVEL_TERMINAL_PIN; /* with RSA, in parts */
    fault_each(&alloc_faults, &signing, &b, 100);
    fault_each(&alloc_faults, &reading, &b, 50);
    cb_buf_free(&b.signer_certificate);
    cb_buf_free(&b.answers);
    vpiv_card_free(&b.card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_flow_survives_each_failure, fault_said),
    };
    fault_quiet();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
