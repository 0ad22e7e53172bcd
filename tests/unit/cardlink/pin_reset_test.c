/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A new PIN by the broker's signature alone: which card takes it, from whom, and what it changes.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/card/native/application.h"

#define FRESH "997755"

static unsigned saves;
static cb_error save_error;

static cb_error keep(void *context, const cb_vcard *card)
{
    (void)context;
    (void)card;
    saves++;
    return save_error;
}

static int make(void **state, bool in_transit)
{
    static const cb_vcard_store store = {NULL, keep};
    world *w = malloc(sizeof(world));
    world_make(w, in_transit);
    cb_vcard_close(&w->card);
    w->first.pin_tries = 0; /* blocked */
    w->first.code_tries = 4;
    w->first.failures = 3;
    saves = 0;
    save_error = CB_OK;
    *state = w;
    return cb_vcard_make(&w->first, &store, &w->card) == CB_OK ? 0 : -1;
}

static int setup(void **state) { return make(state, false); }
static int setup_in_transit(void **state) { return make(state, true); }

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void encrypt(const uint8_t point[CB_P256_POINT], cb_pin_form form, cb_buf *pin)
{
    const char *secret = form == CB_PIN_FORM_RESET     ? ""
                         : form == CB_PIN_FORM_UNBLOCK ? WORLD_CODE
                                                       : WORLD_PIN;
    cb_bytes fresh = form == CB_PIN_FORM_VERIFY ? (cb_bytes){0} : cb_bytes_str(FRESH);
    assert_int_equal(cb_pin_encrypt(form, cb_bytes_str(secret), fresh, point, pin), CB_OK);
}

/* A whole tap that gives the card with this name a new PIN. */
static cb_error reset_pin(world *w, const cb_id *named, cb_card_claim *claim)
{
    void *tap = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    uint8_t point[CB_P256_POINT];
    cb_script read;
    cb_known_card known = {.card = *named};
    w->context.purpose = CB_TAP_PIN_RESET;
    w->context.service[0] = 0;
    *claim = (cb_card_claim){0};
    cb_vcard_reset(w->card);
    cb_error error = world_begin(w, tap, &script);
    if (!error) {
        world_play(w->card, &script, &answers);
        assert_int_equal(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read), CB_OK);
        assert_int_equal(cb_pin_card_key(&read, point), CB_OK);
        encrypt(point, CB_PIN_FORM_RESET, &pin);
        cb_buf_reset(&script);
        error = cb_profile_native.challenge(tap, &w->host, &read, &w->context, &known,
                                            cb_buf_bytes(&pin), &script);
    }
    if (!error) {
        world_play(w->card, &script, &answers);
        error = world_finish(w, tap, &answers, claim);
    }
    cb_profile_native.end(tap);
    free(tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_buf_free(&pin);
    w->context.purpose = CB_TAP_AUTHENTICATE;
    strcpy(w->context.service, "tax");
    return error;
}

static void is_as_before(const world *w)
{
    const cb_vcard_state *now = cb_vcard_state_of(w->card);
    assert_int_equal(now->pin_tries, 0);
    assert_int_equal(now->code_tries, 4);
    assert_memory_equal(now->pin, w->first.pin, CB_PIN_MAX);
    assert_int_equal(now->life_cycle, w->first.life_cycle);
}

static void a_blocked_card_takes_the_new_pin_and_says_so(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_BLOCKED);
    assert_int_equal(reset_pin(w, &w->first.card, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
    assert_int_equal(claim.pin_tries_left, CB_VCARD_PIN_TRIES);
    assert_int_equal(claim.counter, 2);
    /* The code is as it was: nobody has shown that he knows it. */
    assert_int_equal(cb_vcard_state_of(w->card)->code_tries, 4);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_WRONG);
    assert_int_equal(world_tap(w, (typed){FRESH, NULL}, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
}

static void failures_before_it_are_still_told(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(reset_pin(w, &w->first.card, &claim), CB_OK);
    assert_int_equal(claim.pin_failures, 3);
    assert_int_equal(saves, 2); /* PIN and tries in one, the proof in the other */
}

static void another_card_takes_nothing(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    for (size_t i = 0; i < CB_ID_SIZE; i++) {
        cb_id other = w->first.card;
        other.bytes[i] ^= 1;
        assert_int_equal(reset_pin(w, &other, &claim), CB_E_PIN_RESET_REFUSED);
        assert_true(cb_id_is_zero(&claim.card));
    }
    is_as_before(w);
}

static void a_card_in_transit_keeps_its_transport_pin(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(reset_pin(w, &w->first.card, &claim), CB_E_CARD_NOT_ACTIVE);
    is_as_before(w);
    assert_int_equal(saves, 0);
}

/* ---- By hand ---- */

static uint16_t send_reset(hand *h, const cb_id *card, cb_bytes pin, const cb_digest *digest)
{
    uint8_t signature[CB_P256_SIGNATURE];
    cb_buf data = CB_BUF(CB_APDU_DATA_MAX);
    assert_int_equal(h->w->host.sign(h->w, digest, signature), CB_OK);
    cb_buf_put(&data, pin);
    cb_buf_put(&data, cb_id_bytes(card));
    cb_buf_put(&data, CB_BYTES_OF(signature));
    uint16_t status =
        hand_secure(h, CB_INS_UNBLOCK, CB_NATIVE_UNBLOCK_SIGNED, 0x80, cb_buf_bytes(&data));
    cb_buf_free(&data);
    return status;
}

/* Whoever has a batch's key and the channel, and any signature of the broker's but the one over
 * these words, this session, this card and this ciphertext. */
static void only_the_brokers_signature_over_session_card_and_pin_does_it(void **state)
{
    world *w = *state;
    hand h;
    cb_id mine = w->first.card, other = {{1}};
    cb_digest earlier = {{0}};
    for (int i = 0; i < 9; i++) {
        cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX), second = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
        hand_authenticate(&h, w);
        encrypt(h.card_point, CB_PIN_FORM_RESET, &pin);
        encrypt(h.card_point, CB_PIN_FORM_RESET, &second);
        cb_digest digest = cb_proof_pin_reset_digest(&h.request, &mine, cb_buf_bytes(&pin));
        cb_proof_request another = h.request;
        switch (i) {
        case 0: /* what was signed to ask for the proof */
            earlier = digest;
            digest = cb_proof_request_digest(&h.request);
            break;
        case 1: /* of another session */
            digest = earlier;
            break;
        case 2: /* for another card */
            digest = cb_proof_pin_reset_digest(&h.request, &other, cb_buf_bytes(&pin));
            break;
        case 3: /* for another PIN */
            digest = cb_proof_pin_reset_digest(&h.request, &mine, cb_buf_bytes(&second));
            break;
        case 4: /* that ends the card */
            digest = cb_proof_termination_digest(&h.request, &mine);
            break;
        case 5:
            another.nonce[0] ^= 1;
            digest = cb_proof_pin_reset_digest(&another, &mine, cb_buf_bytes(&pin));
            break;
        case 6:
            another.context.bytes[0] ^= 1;
            digest = cb_proof_pin_reset_digest(&another, &mine, cb_buf_bytes(&pin));
            break;
        case 7:
            another.signer_certificate.bytes[0] ^= 1;
            digest = cb_proof_pin_reset_digest(&another, &mine, cb_buf_bytes(&pin));
            break;
        default:
            digest.bytes[31] ^= 1;
        }
        assert_int_equal(send_reset(&h, &mine, cb_buf_bytes(&pin), &digest), CB_SW_SECURITY);
        /* The channel is closed, and the right one comes too late. */
        digest = cb_proof_pin_reset_digest(&h.request, &mine, cb_buf_bytes(&pin));
        assert_int_equal(send_reset(&h, &mine, cb_buf_bytes(&pin), &digest), CB_SW_SECURITY);
        cb_buf_free(&pin);
        cb_buf_free(&second);
    }
    is_as_before(w);
    assert_int_equal(saves, 0);
}

static void a_block_of_one_form_is_not_taken_for_another(void **state)
{
    static const uint8_t forms[] = {CB_PIN_FORM_VERIFY, CB_PIN_FORM_CHANGE, CB_PIN_FORM_UNBLOCK};
    world *w = *state;
    hand h;
    for (size_t i = 0; i < sizeof forms; i++) {
        cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
        hand_authenticate(&h, w);
        encrypt(h.card_point, forms[i], &pin);
        cb_digest digest =
            cb_proof_pin_reset_digest(&h.request, &w->first.card, cb_buf_bytes(&pin));
        assert_int_equal(send_reset(&h, &w->first.card, cb_buf_bytes(&pin), &digest), CB_SW_DATA);
        cb_buf_free(&pin);
    }
    static const uint8_t commands[] = {CB_INS_VERIFY, CB_INS_CHANGE, CB_INS_UNBLOCK};
    for (size_t i = 0; i < sizeof commands; i++) {
        hand_authenticate(&h, w);
        assert_int_equal(hand_pin(&h, commands[i], CB_PIN_FORM_RESET, "", FRESH), CB_SW_DATA);
    }
    is_as_before(w);
    assert_int_equal(saves, 0);
}

static void what_is_not_the_command_is_refused(void **state)
{
    enum { WHOLE = CB_PIN_CIPHERTEXT + CB_PROOF_PIN_RESET };
    static const size_t lengths[] = {0,         1,        CB_PIN_CIPHERTEXT - 1, CB_PIN_CIPHERTEXT,
                                     WHOLE - 1, WHOLE + 1};
    world *w = *state;
    hand h;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t data[WHOLE + 1] = {0};
        cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
        hand_authenticate(&h, w);
        encrypt(h.card_point, CB_PIN_FORM_RESET, &pin);
        memcpy(data, pin.data, pin.len);
        uint16_t wanted = lengths[i] < CB_PIN_CIPHERTEXT ? CB_SW_SM_DATA : CB_SW_DATA;
        assert_int_equal(hand_secure(&h, CB_INS_UNBLOCK, CB_NATIVE_UNBLOCK_SIGNED, 0x80,
                                     cb_bytes_make(data, lengths[i])),
                         wanted);
        cb_buf_free(&pin);
    }
    uint8_t zeros[WHOLE] = {0};
    static const uint8_t parameters[][3] = {{CB_INS_UNBLOCK, 0x01, 0x80},
                                            {CB_INS_UNBLOCK, 0x03, 0x80},
                                            {CB_INS_UNBLOCK, 0x02, 0x81},
                                            {CB_INS_VERIFY, 0x02, 0x80},
                                            {CB_INS_CHANGE, 0x02, 0x80}};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        hand_authenticate(&h, w);
        assert_int_equal(hand_secure(&h, parameters[i][0], parameters[i][1], parameters[i][2],
                                     CB_BYTES_OF(zeros)),
                         CB_SW_PARAMETERS);
    }
    /* Before the broker's first signature. */
    hand_open(&h, w);
    assert_int_equal(hand_signer(&h), CB_SW_OK);
    assert_int_equal(
        hand_secure(&h, CB_INS_UNBLOCK, CB_NATIVE_UNBLOCK_SIGNED, 0x80, CB_BYTES_OF(zeros)),
        CB_SW_CONDITIONS);
    is_as_before(w);
    assert_int_equal(saves, 0);
}

static void a_card_whose_memory_fails_has_not_said_that_it_took_it(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    save_error = CB_E_IO;
    assert_int_not_equal(reset_pin(w, &w->first.card, &claim), CB_OK);
    assert_true(cb_id_is_zero(&claim.card));
}

/* The broker's side: a name without the purpose, the purpose without a name or without a PIN. */
static void the_purpose_needs_a_card_and_a_pin(void **state)
{
    world *w = *state;
    cb_known_card known = {.card = w->first.card};
    uint8_t pin[CB_PIN_CIPHERTEXT] = {0};
    const struct {
        uint8_t purpose;
        const cb_known_card *known;
        size_t pin;
        cb_error error;
    } rows[] = {{CB_TAP_PIN_RESET, NULL, sizeof pin, CB_E_ARGUMENT},
                {CB_TAP_PIN_RESET, &known, 0, CB_E_PIN_REQUIRED},
                {CB_TAP_PIN_RESET, &known, sizeof pin - 1, CB_E_PIN_FORMAT},
                {CB_TAP_PIN_UNBLOCK, &known, sizeof pin, CB_E_ARGUMENT},
                {CB_TAP_PIN_CHANGE, &known, sizeof pin, CB_E_ARGUMENT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        void *tap = world_state();
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
        cb_script read;
        w->context.purpose = rows[i].purpose;
        cb_vcard_reset(w->card);
        assert_int_equal(world_begin(w, tap, &script), CB_OK);
        world_play(w->card, &script, &answers);
        assert_int_equal(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read), CB_OK);
        assert_int_equal(cb_profile_native.challenge(tap, &w->host, &read, &w->context,
                                                     rows[i].known, cb_bytes_make(pin, rows[i].pin),
                                                     &script),
                         rows[i].error);
        cb_profile_native.end(tap);
        free(tap);
        cb_buf_free(&script);
        cb_buf_free(&answers);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_blocked_card_takes_the_new_pin_and_says_so),
        T(failures_before_it_are_still_told),
        T(another_card_takes_nothing),
        cmocka_unit_test_setup_teardown(a_card_in_transit_keeps_its_transport_pin, setup_in_transit,
                                        teardown),
        T(only_the_brokers_signature_over_session_card_and_pin_does_it),
        T(a_block_of_one_form_is_not_taken_for_another),
        T(what_is_not_the_command_is_refused),
        T(a_card_whose_memory_fails_has_not_said_that_it_took_it),
        T(the_purpose_needs_a_card_and_a_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
