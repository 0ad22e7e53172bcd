/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What somebody between card and broker, or with a card or a batch's key in hand, can try.
 * wire_test.c has what a terminal can do to single messages.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/tlv.h"
#include "cardlink/card/native/application.h"

static int setup(void **state)
{
    *state = malloc(sizeof(world));
    world_make(*state, false);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    free(*state);
    return 0;
}

static void answers_of_another_tap_are_worth_nothing(void **state)
{
    world *w = *state;
    void *old = world_state(), *now = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf first = CB_BUF(CB_SCRIPT_BYTES_MAX), second = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_card_claim claim;
    assert_int_equal(world_begin(w, old, &script), CB_OK);
    world_play(w->card, &script, &first);
    assert_int_equal(world_challenge(w, old, &first, (typed){0}, &script), CB_OK);
    world_play(w->card, &script, &second);
    assert_int_equal(world_finish(w, old, &second, &claim), CB_OK);
    assert_int_equal(world_finish(w, old, &second, &claim), CB_E_TAP_ORDER);

    assert_int_equal(world_begin(w, now, &script), CB_OK);
    assert_int_equal(world_challenge(w, now, &first, (typed){0}, &script), CB_E_CARD_ANSWER);
    assert_int_equal(world_challenge(w, now, &first, (typed){0}, &script), CB_E_TAP_ORDER);

    memset(now, 0, cb_profile_native.state_size);
    assert_int_equal(world_begin(w, now, &script), CB_OK);
    world_play(w->card, &script, &answers);
    assert_int_equal(world_challenge(w, now, &answers, (typed){0}, &script), CB_OK);
    assert_int_equal(world_finish(w, now, &second, &claim), CB_E_CARD_ANSWER);
    assert_true(cb_id_is_zero(&claim.card));
    free(old);
    free(now);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_buf_free(&first);
    cb_buf_free(&second);
}

static void a_script_of_one_tap_does_nothing_in_another(void **state)
{
    world *w = *state;
    void *a = world_state(), *b = world_state();
    cb_vcard *other;
    cb_buf script_a = CB_BUF(CB_SCRIPT_BYTES_MAX), script_b = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_card_claim claim;
    assert_int_equal(cb_vcard_make(&w->first, NULL, &other), CB_OK);
    assert_int_equal(world_begin(w, a, &script_a), CB_OK);
    world_play(w->card, &script_a, &answers);
    assert_int_equal(world_challenge(w, a, &answers, (typed){WORLD_PIN, NULL}, &script_a), CB_OK);
    assert_int_equal(world_begin(w, b, &script_b), CB_OK);
    world_play(other, &script_b, &answers);
    assert_int_equal(world_challenge(w, b, &answers, (typed){0}, &script_b), CB_OK);

    world_play(other, &script_a, &answers); /* A's commands to B's card: B's channel is closed */
    assert_int_equal(world_finish(w, a, &answers, &claim), CB_E_CARD_STATUS);
    world_play(other, &script_b, &answers);
    assert_int_equal(world_finish(w, b, &answers, &claim), CB_E_CARD_STATUS);
    assert_int_equal(cb_vcard_state_of(other)->counter, 0);
    assert_int_equal(cb_vcard_state_of(other)->pin_tries, 3);
    free(a);
    free(b);
    cb_vcard_close(&other);
    cb_buf_free(&script_a);
    cb_buf_free(&script_b);
    cb_buf_free(&answers);
}

/* How many of the second script's commands a card carries out when they come in this order. */
static size_t carried_out(world *w, const size_t *order, size_t count)
{
    void *tap = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_script commands;
    size_t good = 0;
    cb_vcard_reset(w->card);
    assert_int_equal(world_begin(w, tap, &script), CB_OK);
    world_play(w->card, &script, &answers);
    assert_int_equal(world_challenge(w, tap, &answers, (typed){WORLD_PIN, NULL}, &script), CB_OK);
    assert_int_equal(cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &commands), CB_OK);
    assert_int_equal(commands.count, 4);
    for (size_t i = 0; i < count; i++) {
        cb_buf answer = CB_BUF(512);
        cb_vcard_process(w->card, commands.item[order[i]].apdu, &answer);
        good += cb_answer_status(cb_buf_bytes(&answer)) == CB_SW_OK;
        cb_buf_free(&answer);
    }
    free(tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return good;
}

/* Certificate, signature, PIN, proof: all 340 sequences of at most four of them. */
static void commands_cannot_be_left_out_repeated_or_exchanged(void **state)
{
    world *w = *state;
    uint32_t counter = 0;
    for (size_t count = 1; count <= 4; count++) {
        for (unsigned code = 0; code < 1u << (2 * count); code++) {
            size_t order[4], in_order = 0;
            for (size_t i = 0; i < count; i++)
                order[i] = code >> (2 * i) & 3;
            while (in_order < count && order[in_order] == in_order)
                in_order++;
            assert_int_equal(carried_out(w, order, count), in_order);
            counter += in_order == 4;
            assert_int_equal(cb_vcard_state_of(w->card)->counter, counter);
        }
    }
    assert_int_equal(counter, 1);
}

static void a_card_taken_away_is_recognised(void **state)
{
    world *w = *state;
    void *tap = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_card_claim claim;
    world_begin(w, tap, &script);
    assert_int_equal(world_challenge(w, tap, &answers, (typed){0}, &script), CB_E_CARD_REMOVED);
    memset(tap, 0, cb_profile_native.state_size);
    world_begin(w, tap, &script);
    world_play(w->card, &script, &answers);
    assert_int_equal(world_challenge(w, tap, &answers, (typed){0}, &script), CB_OK);
    cb_buf_reset(&answers);
    assert_int_equal(world_finish(w, tap, &answers, &claim), CB_E_CARD_REMOVED);
    free(tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

static void a_card_of_another_issuer_is_refused(void **state)
{
    world *w = *state;
    world *foreign = malloc(sizeof *foreign);
    cb_card_claim claim;
    world_make(foreign, false);
    cb_vcard *own = w->card, *others = foreign->card;
    w->card = others;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_CERTIFICATE);
    w->card = own;

    /* The issuer is known, but this broker was not made known to its cards. */
    foreign->host.trust = &w->cards.anchor;
    foreign->card = own;
    assert_int_equal(world_tap(foreign, (typed){0}, &claim), CB_E_CARD_FOREIGN);
    foreign->card = others;
    world_free(foreign);
    free(foreign);
}

/* Static-static agreement: who has a batch's key can compute the broker's half of it. */
static cb_error agree_as_batch(void *keys, const uint8_t peer[CB_P256_POINT],
                               uint8_t shared[CB_P256_SCALAR])
{
    world *w = keys;
    uint8_t broker[CB_P256_POINT];
    (void)peer;
    cb_error error = cb_p256_public(w->agreement, broker);
    return error ? error : cb_p256_agree(w->batch.scalar, CB_BYTES_OF(broker), shared);
}

static cb_error sign_with_anything(void *keys, const cb_digest *digest,
                                   uint8_t signature[CB_P256_SIGNATURE])
{
    return cb_p256_sign(((world *)keys)->batch.scalar, digest, signature);
}

/* Who holds the batch's key, and the card, gets neither a word about the card nor a try of its PIN
 * or its unblocking code: not by a tap, and not by hand. */
static void a_stolen_batch_key_does_not_make_the_card_speak_or_count(void **state)
{
    static const struct {
        uint8_t ins;
        cb_pin_form form;
        const char *secret, *fresh;
    } commands[] = {{CB_INS_VERIFY, CB_PIN_FORM_VERIFY, "0000", NULL},
                    {CB_INS_CHANGE, CB_PIN_FORM_CHANGE, "0000", "1111"},
                    {CB_INS_UNBLOCK, CB_PIN_FORM_UNBLOCK, "00000000", "1111"}};
    world *w = *state;
    cb_card_claim claim;
    w->host.agree = agree_as_batch;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK); /* the premise: the channel opens */
    w->host.sign = sign_with_anything;
    assert_int_equal(world_tap(w, (typed){"0000", NULL}, &claim), CB_E_CARD_STATUS);
    for (size_t i = 0; i < 3; i++) {
        for (int forged = 0; forged < 2; forged++) {
            hand h;
            hand_open(&h, w);
            assert_int_equal(hand_signer(&h), CB_SW_OK); /* the certificate is no secret */
            if (forged)
                assert_int_equal(hand_request(&h), CB_SW_SECURITY);
            assert_int_equal(hand_pin(&h, commands[i].ins, commands[i].form, commands[i].secret,
                                      commands[i].fresh),
                             forged ? CB_SW_SECURITY : CB_SW_CONDITIONS);
            assert_int_equal(hand_request(&h), CB_SW_SECURITY); /* the attempt closed the channel */
        }
    }
    const cb_vcard_state *now = cb_vcard_state_of(w->card);
    assert_int_equal(now->counter, 1);
    assert_int_equal(now->pin_tries, CB_VCARD_PIN_TRIES);
    assert_int_equal(now->code_tries, CB_VCARD_CODE_TRIES);
    assert_int_equal(now->failures, 0);
}

/* Cards of somebody who has taken keys out of chips: each opens a channel, none is the card that it
 * says it is. */
static void only_the_cards_own_key_makes_its_proof(void **state)
{
    world *w = *state;
    world *other = malloc(sizeof *other);
    cb_vcard_state forged[3];
    cb_vcard *own = w->card;
    cb_card_claim claim;
    world_make(other, false);
    for (size_t i = 0; i < 3; i++)
        forged[i] = w->first;
    /* The batch's key, and a card key made up; the key of another card; that card's name, too. */
    memset(forged[0].scalar, 0x42, CB_P256_SCALAR);
    memcpy(forged[1].scalar, other->first.scalar, CB_P256_SCALAR);
    memcpy(forged[2].scalar, other->first.scalar, CB_P256_SCALAR);
    forged[2].card = other->first.card;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cb_vcard_make(&forged[i], NULL, &w->card), CB_OK);
        assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_E_CARD_PROOF);
        cb_vcard_close(&w->card);
    }
    w->card = own;
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_OK);
    world_free(other);
    free(other);
}

/* A card in software that has the batch's key, and so answers the broker in the card's place. */
typedef struct impostor {
    cb_sm sm;
    cb_buf opened;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
} impostor;

/* What the impostor answers to the first script, in the card's own words as far as he needs them.
 */
static void impersonate(world *w, impostor *me, const cb_buf *script, cb_buf *answers)
{
    cb_script commands, honest;
    cb_apdu mutual;
    cb_cvc broker;
    uint8_t broker_point[CB_P256_POINT], ephemeral[32], fixed[32], receipt[CB_NATIVE_RECEIPT];
    cb_buf said = CB_BUF(CB_SCRIPT_BYTES_MAX), answer = CB_BUF(256);
    world_play(w->card, script, &said);
    cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands);
    cb_script_read(cb_buf_bytes(&said), CB_ANSWER_MAX, &honest);
    assert_int_equal(cb_apdu_read(commands.item[3].apdu, &mutual), CB_OK);
    assert_int_equal(cb_channel_data_read(mutual.data, broker_point), CB_OK);
    assert_int_equal(cb_cvc_parse(w->host.agreement_certificate, &broker), CB_OK);
    assert_int_equal(cb_p256_generate(me->scalar, me->point), CB_OK);
    assert_int_equal(cb_p256_agree(me->scalar, CB_BYTES_OF(broker_point), ephemeral), CB_OK);
    assert_int_equal(cb_p256_agree(w->batch.scalar, broker.point, fixed), CB_OK);
    assert_int_equal(
        cb_channel_open(ephemeral, fixed, mutual.data.data, me->point, &me->sm, receipt), CB_OK);
    cb_tlv_put(&answer, CB_TAG_EPHEMERAL, CB_BYTES_OF(me->point));
    cb_tlv_put(&answer, CB_TAG_RECEIPT, CB_BYTES_OF(receipt));
    cb_buf_put_u16(&answer, CB_SW_OK);
    for (size_t i = 0; i < 3; i++)
        cb_script_put(answers, 0, honest.item[i].apdu);
    cb_script_put(answers, 0, cb_buf_bytes(&answer));
    cb_buf_free(&said);
    cb_buf_free(&answer);
}

/* The next command of the second script, opened with the impostor's keys. */
static cb_apdu read_as(impostor *me, cb_bytes wrapped)
{
    cb_apdu apdu, plain;
    assert_int_equal(cb_apdu_read(wrapped, &apdu), CB_OK);
    assert_int_equal(cb_sm_open_command(&me->sm, &apdu, &me->opened, &plain), CB_OK);
    return plain;
}

/* He stands between broker and card, with a channel to each, and passes the broker's signature on.
 * The card does not take it: it is over the other channel. And so it says nothing, and counts
 * nothing. What the terminal has encrypted to him he can read (docs/card-application.md, 8). */
static void a_batch_key_in_the_middle_gets_no_proof(void **state)
{
    world *w = *state;
    void *tap = world_state();
    impostor me = {.opened = CB_BUF(256)};
    hand h;
    cb_script commands;
    cb_pin_block block;
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    assert_int_equal(world_begin(w, tap, &script), CB_OK);
    impersonate(w, &me, &script, &answers);
    assert_int_equal(world_challenge(w, tap, &answers, (typed){WORLD_PIN, NULL}, &script), CB_OK);
    cb_script_read(cb_buf_bytes(&script), CB_COMMAND_MAX, &commands);
    w->host.agree = agree_as_batch;
    hand_open(&h, w);
    for (size_t i = 0; i < 2; i++) { /* the certificate, the signature */
        cb_apdu plain = read_as(&me, commands.item[i].apdu);
        assert_int_equal(hand_secure(&h, plain.ins, plain.p1, plain.p2, plain.data),
                         i == 0 ? CB_SW_OK : CB_SW_SECURITY);
    }
    cb_apdu pin = read_as(&me, commands.item[2].apdu);
    assert_int_equal(cb_pin_decrypt(pin.data, me.scalar, me.point, &block), CB_OK);
    assert_int_equal(hand_prove(&h), CB_SW_SECURITY);
    const cb_vcard_state *now = cb_vcard_state_of(w->card);
    assert_int_equal(now->counter, 0);
    assert_int_equal(now->pin_tries, CB_VCARD_PIN_TRIES);
    free(tap);
    cb_buf_free(&me.opened);
    cb_buf_free(&script);
    cb_buf_free(&answers);
}

static void a_signers_certificate_is_no_agreement_certificate(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->host.agreement_certificate = cb_buf_bytes(&w->signer_certificate);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_FOREIGN);
    w->host.agreement_certificate = cb_buf_bytes(&w->agreement_certificate);
    w->host.signer_certificate = cb_buf_bytes(&w->agreement_certificate);
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_STATUS);
    w->host.signer_certificate = cb_buf_bytes(&w->signer_certificate);
    w->host.key_version = 2;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_GENERATION);
}

static void a_claim_counts_for_its_card_alone(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    const cb_card_keys its = {.count = 1, .key = {cb_card_key_of_point(w->point)}},
                       others = {.count = 1, .key = {cb_card_key_of_point(w->cards.anchor.point)}};
    assert_true(cb_profile_verify(&claim, &its));
    assert_false(cb_profile_verify(&claim, &others));
    assert_false(cb_profile_verify(&claim, &(cb_card_keys){0}));
    claim.signature.use = 1;
    assert_false(cb_profile_verify(&claim, &its));
    claim.signature.use = 0;
    claim.signature.digest[0] ^= 1;
    assert_false(cb_profile_verify(&claim, &its));
}

static void a_pin_for_another_session_costs_no_try(void **state)
{
    world *w = *state;
    void *tap = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf pin = CB_BUF(CB_PIN_CIPHERTEXT_MAX);
    cb_script read;
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_card_claim claim;
    cb_p256_generate(scalar, point);
    assert_int_equal(
        cb_pin_encrypt(CB_PIN_FORM_VERIFY, cb_bytes_str(WORLD_PIN), (cb_bytes){0}, point, &pin),
        CB_OK);
    world_begin(w, tap, &script);
    world_play(w->card, &script, &answers);
    cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read);
    cb_buf_reset(&script);
    assert_int_equal(
        cb_profile_native.challenge(tap, &w->host, &read, &w->context, NULL, cb_buf_bytes(&pin),
                                    &script),
        CB_OK);
    world_play(w->card, &script, &answers);
    assert_int_equal(world_finish(w, tap, &answers, &claim), CB_OK);
    assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
    assert_int_equal(claim.pin_tries_left, 3);
    assert_int_equal(claim.pin_failures, 0);
    free(tap);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    cb_buf_free(&pin);
}

/* A card may say that it saw no PIN. It may not say that it saw one that nobody sent, or another
 * kind. */
static void a_card_cannot_claim_a_pin_that_was_not_sent(void **state)
{
    static const struct {
        typed pin;
        uint8_t form;
    } rows[] = {{{0}, CB_PIN_FORM_VERIFY}, {{WORLD_PIN, NULL}, CB_PIN_FORM_UNBLOCK}};
    world *w = *state;
    for (size_t i = 0; i < 2; i++) {
        void *tap = world_state();
        cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
        cb_card_claim claim;
        cb_vcard_reset(w->card);
        world_begin(w, tap, &script);
        world_play(w->card, &script, &answers);
        assert_int_equal(world_challenge(w, tap, &answers, rows[i].pin, &script), CB_OK);
        cb_native_of(w->card)->session.pin_used = true;
        cb_native_of(w->card)->session.pin_form = rows[i].form;
        cb_native_of(w->card)->session.pin_state = CB_PIN_VERIFIED;
        world_play(w->card, &script, &answers);
        assert_int_equal(world_finish(w, tap, &answers, &claim), CB_E_CARD_ANSWER);
        assert_int_equal(claim.pin, CB_PIN_NOT_PRESENTED);
        free(tap);
        cb_buf_free(&script);
        cb_buf_free(&answers);
    }
}

static void a_pin_for_one_purpose_is_none_for_another(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    w->context.purpose = CB_TAP_PIN_CHANGE;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_PIN_REQUIRED);
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, NULL}, &claim), CB_E_PIN_FORMAT);
    w->context.purpose = CB_TAP_PIN_UNBLOCK;
    assert_int_equal(world_tap(w, (typed){WORLD_PIN, "4321"}, &claim), CB_E_PIN_FORMAT);
    w->context.purpose = UINT8_MAX;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_of_another_tap_are_worth_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_script_of_one_tap_does_nothing_in_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(commands_cannot_be_left_out_repeated_or_exchanged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_card_taken_away_is_recognised, setup, teardown),
        cmocka_unit_test_setup_teardown(a_card_of_another_issuer_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stolen_batch_key_does_not_make_the_card_speak_or_count,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_cards_own_key_makes_its_proof, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_key_in_the_middle_gets_no_proof, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signers_certificate_is_no_agreement_certificate, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_claim_counts_for_its_card_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pin_for_another_session_costs_no_try, setup, teardown),
        cmocka_unit_test_setup_teardown(a_card_cannot_claim_a_pin_that_was_not_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_pin_for_one_purpose_is_none_for_another, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
