/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taps of cards that somebody else issued: which key proves the card, what the PIN is asked for,
 * and what is read of a card that is known.
 */
#include "foreign_steps.h"

#include <stdlib.h>

#include "base/text.h"
#include "cardlink/jpki/commands.h"

static void every_kind_of_key_proves_the_card(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        piv_card c;
        cb_binding_info info;
        cb_activation activation;
        piv_card_make(&c, &issuer, kinds[i], kinds[i]);
        bind(&c, &info);
        good(tap_with(&c, CB_LEVEL_POSSESSION, "", &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_POSSESSION);
        good(tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, &activation, NULL));
        assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
        assert_true(cb_id_same(&activation.holder, &holder));
        assert_true(cb_id_same(&activation.card, &info.card));
        piv_card_free(&c);
    }
}

/* Of the certificates of the keys that sign, the last. */
static void a_card_is_good_until_its_certificates_end(void **state)
{
    piv_card c;
    cb_binding_info info;
    int64_t last = 0;
    (void)state;
    make_and_bind(&c, &info);
    for (unsigned i = 0; i < 2; i++) {
        cb_x509 read;
        good(cb_x509_parse(c.certificate[i], &read));
        last = read.not_after > last ? read.not_after : last;
    }
    assert_true(info.expires == (last + 1) * CB_SECOND);
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    info.expires = cb_clock_wall_us() - CB_SECOND;
    bind_as(&info);
    expect(CB_E_CARD_EXPIRED, tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    expect(CB_E_CARD_EXPIRED, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    piv_card_free(&c);
}

static void a_card_with_one_key_does_what_that_key_can(void **state)
{
    piv_card c;
    cb_binding_info info;
    cb_activation activation;
    (void)state;
    piv_card_make(&c, &issuer, 0, CB_VCARD_EC_P256);
    bind(&c, &info);
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", &activation, NULL));
    expect(CB_E_TAP_LEVEL, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    piv_card_free(&c);
    piv_card_make(&c, &issuer, CB_VCARD_EC_P256, 0);
    bind(&c, &info);
    good(tap_with(&c, CB_LEVEL_POSSESSION, PIV_PIN, &activation, NULL));
    assert_int_equal(activation.level, CB_LEVEL_TERMINAL_PIN);
    piv_card_free(&c);
}

/* And it is refused before anybody is asked for the PIN. */
static void what_a_card_cannot_reach_is_not_asked_of_it(void **state)
{
    static const struct {
        uint8_t of_card, asked;
        cb_error error;
    } cases[] = {{CB_LEVEL_PIN, CB_LEVEL_PIN, CB_E_TAP_LEVEL},
                 {CB_LEVEL_PIN, CB_LEVEL_TERMINAL_PIN, CB_OK},
                 {CB_LEVEL_TERMINAL_PIN, CB_LEVEL_TERMINAL_PIN, CB_OK},
                 {CB_LEVEL_TERMINAL_PIN, CB_LEVEL_PIN, CB_E_TAP_LEVEL},
                 {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN, CB_E_TAP_LEVEL},
                 {CB_LEVEL_POSSESSION, CB_LEVEL_POSSESSION, CB_OK},
                 {CB_LEVEL_POSSESSION, CB_LEVEL_NONE, CB_OK}};
    piv_card c;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap t;
        info.level = cases[i].of_card;
        bind_as(&info);
        begin(&t, &c, cases[i].asked);
        expect(cases[i].error, ask(&t));
        assert_int_equal(t.script.len > 0, cases[i].error == CB_OK);
        end(&t);
    }
    piv_card_free(&c);
}

static void a_wrong_pin_is_said_with_the_card_and_its_tries(void **state)
{
    piv_card c;
    cb_binding_info info;
    cb_card_claim claim;
    (void)state;
    make_and_bind(&c, &info);
    for (int left = 2; left > 0; left--) {
        expect(CB_E_PIN_WRONG, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
        assert_int_equal(claim.pin_tries_left, left);
        assert_true(cb_id_same(&claim.card, &info.card));
    }
    expect(CB_E_PIN_BLOCKED, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, &claim));
    assert_int_equal(claim.pin_tries_left, 0);
    expect(CB_E_PIN_BLOCKED, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    piv_card_free(&c);
}

static void where_the_card_takes_no_pin_the_level_is_out_of_reach(void **state)
{
    piv_card c;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    cb_vcard_set_contactless(c.card, true);
    expect(CB_E_TAP_LEVEL, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    for (int i = 0; i < 4; i++) /* which costs no try */
        expect(CB_E_TAP_LEVEL, tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_WRONG_PIN, NULL, NULL));
    good(tap_with(&c, CB_LEVEL_POSSESSION, "", NULL, NULL));
    cb_vcard_set_contactless(c.card, false);
    good(tap_with(&c, CB_LEVEL_TERMINAL_PIN, PIV_PIN, NULL, NULL));
    piv_card_free(&c);
}

static void the_pin_is_asked_for_where_it_is_needed_only(void **state)
{
    piv_card c;
    tap t;
    cb_script script;
    cb_binding_info info;
    (void)state;
    make_and_bind(&c, &info);
    for (int with = 0; with < 2; with++) {
        begin(&t, &c, with ? CB_LEVEL_TERMINAL_PIN : CB_LEVEL_POSSESSION);
        good(ask(&t));
        good(cb_script_read(cb_buf_bytes(&t.script), CB_COMMAND_MAX, &script));
        assert_int_equal(cb_script_wants_pin(&script), with);
        assert_int_equal(script.count, 1 + with);
        cb_buf answers = CB_BUF(CB_SCRIPT_BYTES_MAX);
        expect(with ? CB_E_PIN_REQUIRED : CB_OK, cb_play(&c.io, &script, &answers));
        cb_buf_free(&answers);
        end(&t);
    }
    piv_card_free(&c);
}

/* Which commands a tap has for a card that is bound: those that read (GET DATA, READ BINARY) are
 * counted, and how much they read. */
static void count_reads(const cb_buf *commands, size_t *reads, size_t *bytes)
{
    cb_script script;
    good(cb_script_read(cb_buf_bytes(commands), CB_COMMAND_MAX, &script));
    for (size_t i = 0; i < script.count; i++) {
        cb_bytes apdu = script.item[i].apdu;
        bool reads_it = apdu.data[1] == 0xCB || apdu.data[1] == 0xB0 || apdu.data[1] == 0xB2 ||
                        apdu.data[1] == 0xCA;
        *reads += reads_it;
        if (reads_it)
            *bytes += apdu.data[apdu.len - 1] ? apdu.data[apdu.len - 1] : 256;
    }
}

/* No certificate: the beginning of the CHUID, and nothing else. */
static void of_a_known_card_nothing_is_read_but_who_it_is(void **state)
{
    static const uint8_t kinds[] = {CB_VCARD_EC_P256, CB_VCARD_EC_P384, CB_VCARD_RSA_2048};
    static const uint8_t levels[] = {CB_LEVEL_POSSESSION, CB_LEVEL_TERMINAL_PIN};
    (void)state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        for (size_t j = 0; j < sizeof levels; j++) {
            piv_card c;
            cb_binding_info info;
            tap t;
            size_t reads = 0, bytes = 0;
            cb_buf first = CB_BUF(CB_SCRIPT_BYTES_MAX);
            void *profile = calloc(1, cb_profile_piv.state_size);
            assert_non_null(profile);
            good(cb_profile_piv.begin(profile, NULL, &first));
            count_reads(&first, &reads, &bytes);
            cb_profile_piv.end(profile);
            free(profile);
            assert_int_equal(reads, 1);
            assert_int_equal(bytes, 0x50);
            piv_card_make(&c, &issuer, kinds[i], kinds[i]);
            bind(&c, &info);
            begin(&t, &c, levels[j]);
            good(ask(&t));
            count_reads(&t.script, &reads, &bytes);
            assert_int_equal(reads, 1);
            end(&t);
            cb_buf_free(&first);
            piv_card_free(&c);
        }
    }
}

/* No more of the certificate than its serial number can need. */
static void of_a_known_jpki_card_nothing_is_read_but_its_number(void **state)
{
    static const uint8_t ok[] = {0x90, 0x00};
    static const char head[] = "3082010030820080a003020102020400bc614e";
    piv_card c; /* whose RSA key stands in for the card's */
    cb_x509 certificate;
    cb_script answers;
    cb_known_card known = {.keys.count = 1};
    const cb_tap_context context = {.profile = CB_PROFILE_JPKI,
                                    .purpose = CB_TAP_AUTHENTICATE,
                                    .level = CB_LEVEL_TERMINAL_PIN,
                                    .service = "tax"};
    cb_buf script = CB_BUF(CB_SCRIPT_BYTES_MAX), encoded = CB_BUF(CB_SCRIPT_BYTES_MAX);
    cb_buf third = CB_BUF(128);
    size_t reads = 0, bytes = 0;
    void *profile = calloc(1, cb_profile_jpki.state_size);
    (void)state;
    assert_non_null(profile);
    piv_card_make(&c, &issuer, CB_VCARD_RSA_2048, CB_VCARD_EC_P256);
    good(cb_x509_parse(c.certificate[0], &certificate));
    good(cb_card_key_of_spki(certificate.public_key, &known.keys.key[0]));
    known.keys.key[0].use = CB_JPKI_KEY;
    good(cb_profile_jpki.begin(profile, NULL, &script));
    count_reads(&script, &reads, &bytes);
    assert_true(reads == 1 && bytes == 0x30);
    good(cb_unhex(cb_bytes_str(head), &third));
    cb_buf_put(&third, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, CB_BYTES_OF(ok));
    cb_script_put(&encoded, 0, cb_buf_bytes(&third));
    good(cb_script_read(cb_buf_bytes(&encoded), CB_ANSWER_MAX, &answers));
    good(cb_profile_jpki.recognise(&answers, &known.card));
    cb_buf_reset(&script);
    good(cb_profile_jpki.challenge(profile, &lane.host->profile, &answers, &context, &known,
                                   (cb_bytes){0}, &script));
    count_reads(&script, &reads, &bytes);
    assert_int_equal(reads, 1);
    cb_profile_jpki.end(profile);
    free(profile);
    cb_buf_free(&script);
    cb_buf_free(&encoded);
    cb_buf_free(&third);
    piv_card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key_proves_the_card),
        cmocka_unit_test(a_card_is_good_until_its_certificates_end),
        cmocka_unit_test(a_card_with_one_key_does_what_that_key_can),
        cmocka_unit_test(what_a_card_cannot_reach_is_not_asked_of_it),
        cmocka_unit_test(a_wrong_pin_is_said_with_the_card_and_its_tries),
        cmocka_unit_test(where_the_card_takes_no_pin_the_level_is_out_of_reach),
        cmocka_unit_test(the_pin_is_asked_for_where_it_is_needed_only),
        cmocka_unit_test(of_a_known_card_nothing_is_read_but_who_it_is),
        cmocka_unit_test(of_a_known_jpki_card_nothing_is_read_but_its_number),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
