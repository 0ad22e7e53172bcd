/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a card of others signs for one broker is worth nothing at another, though everything else
 * about the two taps be the same: one broker that is taken over, and knows the nonce of the other,
 * has the card sign for itself and brings that there.
 *
 * No two taps are the same, so their nonce is this test's.
 */
#include <stdlib.h>

#include "base/secret.h"
#include "cardlink/foreign.h"
#include "cardlink/piv/commands.h"
#include "cardlink/piv/first.h"
#include "foreign_cards.h"
#include "test.h"

static bool fixed;

void __real_cb_random(void *out, size_t len);
void __wrap_cb_random(void *out, size_t len);
void __wrap_cb_random(void *out, size_t len)
{
    if (fixed && len == CB_FOREIGN_NONCE)
        memset(out, 0x5C, len);
    else
        __real_cb_random(out, len);
}

static agency issuer;
static piv_card card;
static cb_known_card known;

static int setup(void **state)
{
    (void)state;
    agency_make(&issuer);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agency_free(&issuer);
    return 0;
}

static void make_card(uint8_t kind)
{
    static const uint8_t uses[] = {CB_PIV_KEY_AUTHENTICATION, CB_PIV_KEY_CARD};
    piv_card_make(&card, &issuer, kind, kind);
    known = (cb_known_card){.keys.count = 2};
    for (size_t i = 0; i < 2; i++) {
        cb_x509 certificate;
        good(cb_x509_parse(card.certificate[i], &certificate));
        good(cb_card_key_of_spki(certificate.public_key, &known.keys.key[i]));
        known.keys.key[i].use = uses[i];
    }
}

static void play(const cb_buf *commands, cb_buf *answers)
{
    cb_script script;
    cb_card_io io = card.io;
    io.pin = cb_bytes_str(PIV_PIN);
    cb_buf_reset(answers);
    good(cb_script_read(cb_buf_bytes(commands), CB_COMMAND_MAX, &script));
    good(cb_play(&io, &script, answers));
}

/* Up to the request to sign: the commands for the card are in script. */
static void *challenge(const cb_profile_host *broker, const cb_tap_context *context, cb_buf *script)
{
    cb_script read;
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    void *state = calloc(1, cb_profile_piv.state_size);
    assert_non_null(state);
    cb_vcard_reset(card.card);
    good(cb_profile_piv.begin(state, broker, script));
    play(script, &answers);
    cb_buf_reset(script);
    good(cb_script_read(cb_buf_bytes(&answers), CB_ANSWER_MAX, &read));
    good(cb_profile_piv.recognise(&read, &known.card));
    fixed = true;
    good(cb_profile_piv.challenge(state, broker, &read, context, &known, (cb_bytes){0}, script));
    fixed = false;
    cb_buf_free(&answers);
    return state;
}

/* Whether a broker that asked for this believes these answers. */
static bool believes(const cb_profile_host *broker, void *state, const cb_buf *answers)
{
    cb_script read;
    cb_card_claim claim;
    good(cb_script_read(cb_buf_bytes(answers), CB_ANSWER_MAX, &read));
    good(cb_profile_piv.finish(state, broker, &read, &claim));
    cb_profile_piv.end(state);
    free(state);
    return cb_profile_verify(&claim, &known.keys);
}

/* The card signs what one broker asks for; its answers go to another tap. */
static bool brought(const cb_profile_host *from, const cb_tap_context *asked,
                    const cb_profile_host *to, const cb_tap_context *context)
{
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), other = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
    void *there = challenge(to, context, &other), *here = challenge(from, asked, &script);
    play(&script, &answers);
    assert_true(believes(from, here, &answers));
    bool believed = believes(to, there, &answers);
    cb_buf_free(&script);
    cb_buf_free(&other);
    cb_buf_free(&answers);
    return believed;
}

static const cb_profile_host one = {.signer_certificate = {(const uint8_t *)"broker 1", 8}},
                             two = {.signer_certificate = {(const uint8_t *)"broker 2", 8}};
static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};

static cb_tap_context context_of(uint8_t level)
{
    return (cb_tap_context){.tap = {{1}},
                            .terminal = {{2}},
                            .profile = CB_PROFILE_PIV,
                            .purpose = CB_TAP_AUTHENTICATE,
                            .level = level,
                            .service = "tax"};
}

static void a_signature_got_by_one_broker_verifies_at_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        make_card(kinds[i]);
        for (size_t j = 0; j < sizeof levels; j++) {
            cb_tap_context context = context_of(levels[j]);
            assert_false(brought(&one, &context, &two, &context));
            assert_false(brought(&two, &context, &one, &context));
            assert_true(brought(&one, &context, &one, &context)); /* the nonce is the same */
        }
        piv_card_free(&card);
    }
}

static void nor_does_one_for_another_service_terminal_purpose_tap_or_text(void **state)
{
    (void)state;
    make_card(CB_VCARD_EC_P256);
    const cb_tap_context context = context_of(CB_LEVEL_TERMINAL_PIN);
    cb_tap_context others[] = {context, context, context, context, context};
    others[0].tap.bytes[15] = 1;
    others[1].terminal.bytes[15] = 1;
    others[2].purpose = CB_TAP_REGISTER;
    others[3].service[2] = 'y';
    others[4].text.bytes[0] = 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(brought(&one, &others[i], &one, &context));
        assert_false(brought(&one, &context, &one, &others[i]));
    }
    assert_true(brought(&one, &context, &one, &context));
    piv_card_free(&card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_got_by_one_broker_verifies_at_no_other),
        cmocka_unit_test(nor_does_one_for_another_service_terminal_purpose_tap_or_text),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
