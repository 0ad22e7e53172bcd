/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What somebody between card and broker, or with a card or a batch's key in hand, can try.
 */
#include "hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cardlink/card/application.h"

/* Changes one byte of one message of a tap. */
typedef struct tamper {
    bool second; /* script */
    bool answer; /* direction */
    size_t command;
    size_t byte;
    uint8_t mask;
    bool hit; /* there was such a byte */
} tamper;

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

static void copy_with(cb_bytes bytes, tamper *change, bool mine, cb_buf *out)
{
    cb_buf_put(out, bytes);
    if (mine && change->byte < out->len) {
        out->data[change->byte] ^= change->mask;
        change->hit = true;
    }
}

static void play_tampered(cb_vcard *card, const cb_buf *script, tamper *change, bool second,
                          cb_buf *answers)
{
    cb_script commands;
    cb_buf_reset(answers);
    assert_int_equal(cb_script_read(cb_buf_bytes(script), CB_COMMAND_MAX, &commands), CB_OK);
    for (size_t i = 0; i < commands.count; i++) {
        bool here = change->second == second && change->command == i;
        cb_buf command = CB_BUF(512), answer = CB_BUF(512), seen = CB_BUF(512);
        copy_with(commands.item[i].apdu, change, here && !change->answer, &command);
        cb_vcard_process(card, cb_buf_bytes(&command), &answer);
        copy_with(cb_buf_bytes(&answer), change, here && change->answer, &seen);
        cb_script_put(answers, 0, cb_buf_bytes(&seen));
        bool stop = cb_answer_status(cb_buf_bytes(&seen)) != CB_SW_OK &&
                    !(commands.item[i].flags & CB_SCRIPT_GO_ON);
        cb_buf_free(&command);
        cb_buf_free(&answer);
        cb_buf_free(&seen);
        if (stop)
            break;
    }
}

static cb_error tampered_tap(world *w, tamper *change, cb_card_claim *claim)
{
    void *state = world_state();
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_vcard *card;
    assert_int_equal(cb_vcard_make(&w->first, NULL, &card), CB_OK);
    cb_error error = world_begin(w, state, &script);
    if (!error) {
        play_tampered(card, &script, change, false, &answers);
        error = world_challenge(w, state, &answers, (typed){WORLD_PIN, NULL}, &script);
    }
    if (!error) {
        play_tampered(card, &script, change, true, &answers);
        error = world_finish(w, state, &answers, claim);
    }
    cb_profile_native.end(state);
    free(state);
    cb_vcard_close(&card);
    cb_buf_free(&script);
    cb_buf_free(&answers);
    return error;
}

/* Bytes that carry nothing: SELECT and what it says back, an Le (the last byte of GET DATA and of
 * the request for the proof), the status word of the PIN, which the proof repeats with authority.
 */
static bool may_change(const tamper *change)
{
    if (!change->second)
        return change->command == 0 ||
               (!change->answer && change->command == 1 && change->byte == 11);
    if (change->answer)
        return change->command == 2;
    return change->command == 3 && change->byte == 5 + 8;
}

static uint8_t one_bit(size_t byte) { return (uint8_t)(1u << (byte % 8)); }

static uint8_t all_bits(size_t byte)
{
    (void)byte;
    return 0xFF;
}

static void change_each_byte(world *w, uint8_t (*mask_for)(size_t byte))
{
    static const size_t commands[] = {4, 4};
    size_t refused = 0;
    for (int way = 0; way < 4; way++) {
        for (size_t command = 0; command < commands[way / 2]; command++) {
            for (size_t byte = 0;; byte++) {
                tamper change = {way / 2, way % 2, command, byte, mask_for(byte), false};
                cb_card_claim claim;
                cb_error error = tampered_tap(w, &change, &claim);
                if (!change.hit)
                    break;
                if (!error && !may_change(&change))
                    fail_msg("script %d %s %zu byte %zu was changed and accepted", way / 2 + 1,
                             way % 2 ? "answer" : "command", command, byte);
                /* What is accepted all the same is what the card said. */
                if (!error)
                    assert_int_equal(claim.pin, CB_PIN_VERIFIED);
                refused += error != CB_OK;
            }
        }
    }
    assert_true(refused > 1000);
}

static void no_byte_can_be_changed_on_the_way(void **state)
{
    change_each_byte(*state, one_bit);
    change_each_byte(*state, all_bits);
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
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_CARD_FOREIGN);
}

static void a_claim_counts_for_its_card_alone(void **state)
{
    world *w = *state;
    cb_card_claim claim;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_OK);
    assert_true(cb_profile_verify(&claim, CB_BYTES_OF(w->point)));
    assert_false(cb_profile_verify(&claim, CB_BYTES_OF(w->cards.anchor.point)));
    assert_false(cb_profile_verify(&claim, (cb_bytes){0}));
    claim.signed_digest.bytes[0] ^= 1;
    assert_false(cb_profile_verify(&claim, CB_BYTES_OF(w->point)));
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
        cb_profile_native.challenge(tap, &w->host, &read, &w->context, cb_buf_bytes(&pin), &script),
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
        w->card->session.pin_used = true;
        w->card->session.pin_form = rows[i].form;
        w->card->session.pin_state = CB_PIN_VERIFIED;
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
    w->context.purpose = 9;
    assert_int_equal(world_tap(w, (typed){0}, &claim), CB_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_byte_can_be_changed_on_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_of_another_tap_are_worth_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_script_of_one_tap_does_nothing_in_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(commands_cannot_be_left_out_repeated_or_exchanged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_card_taken_away_is_recognised, setup, teardown),
        cmocka_unit_test_setup_teardown(a_card_of_another_issuer_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stolen_batch_key_does_not_make_the_card_speak_or_count,
                                        setup, teardown),
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
