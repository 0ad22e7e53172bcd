/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates of cards that others issued, right and wrong in each way that tests/support/pki.py
 * makes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "cardlink/x509/path.h"
#include "cardlink/x509/signature.h"
#include "tests/support/pki.h"

static uint8_t policy_bytes[CB_OID_MAX];
static cb_bytes policy;

static cb_x509_rules rules_of_a_card(void)
{
    return (cb_x509_rules){.time = pki_time(2026, 6, 1),
                           .key_usage = CB_X509_DIGITAL_SIGNATURE,
                           .extended_usages = &cb_oid_client_auth,
                           .extended_usage_count = 1,
                           .policies = &policy,
                           .policy_count = 1};
}

static cb_x509_path path;

/* Through up to two intermediates, to one anchor. */
static cb_error through(const char *card, const cb_x509_rules *rules, const char *first,
                        const char *second, const char *anchor)
{
    cb_bytes anchors[1] = {pki(anchor)};
    cb_bytes between[2] = {first ? pki(first) : (cb_bytes){0},
                           second ? pki(second) : (cb_bytes){0}};
    cb_x509_trust trust = {anchors, 1, between, 2};
    return cb_x509_validate(pki(card), &trust, rules, &path);
}

static cb_error plainly(const char *card)
{
    cb_x509_rules rules = rules_of_a_card();
    return through(card, &rules, "issuing", NULL, "root");
}

#define expect(wanted, got) assert_string_equal(cb_error_code(got), cb_error_code(wanted))

static void good_cards_are_accepted(void **state)
{
    (void)state;
    static const char *const cards[] = {"card",        "card-p256",         "card-p384",
                                        "card-sha512", "card-two-policies", "card-uncritical"};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        expect(CB_OK, plainly(cards[i]));
        assert_int_equal(path.count, 3);
        assert_true(cb_bytes_same(path.certificates[0].whole, pki(cards[i])));
        assert_true(cb_bytes_same(path.certificates[1].whole, pki("issuing")));
        assert_true(cb_bytes_same(path.certificates[2].whole, pki("root")));
    }
}

static void an_issuer_may_be_the_anchor(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    expect(CB_OK, through("card", &rules, NULL, NULL, "issuing"));
    assert_int_equal(path.count, 2);
}

static void facts_are_read(void **state)
{
    (void)state;
    static const uint8_t serial[] = {0x40, 0x78, 0xf9, 0x79, 0xfa, 0x7a, 0xfb, 0x7b, 0xfc, 0x7c,
                                     0xfd, 0x7d, 0xfe, 0x7e, 0xff, 0x7f, 0x80, 0x00, 0x81, 0x01};
    cb_x509 card, issuer;
    cb_bytes url;
    expect(CB_OK, cb_x509_parse(pki("card"), &card));
    expect(CB_OK, cb_x509_parse(pki("issuing"), &issuer));
    assert_true(cb_bytes_same(card.serial, CB_BYTES_OF(serial)));
    assert_true(cb_bytes_same(card.issuer, issuer.subject));
    assert_int_equal(card.not_before, pki_time(2026, 1, 1));
    assert_int_equal(card.not_after, pki_time(2036, 1, 1));
    assert_int_equal(card.key_usage, CB_X509_DIGITAL_SIGNATURE);
    assert_false(card.is_ca);
    assert_true(issuer.is_ca);
    assert_int_equal(issuer.path_length, 0);
    assert_int_equal(issuer.subject_key_id.len, 20);
    assert_true(cb_x509_has_policy(&card, policy));
    assert_true(cb_x509_ocsp_url(&card, 0, &url));
    assert_true(cb_bytes_same(url, cb_bytes_str("http://127.0.0.1/ocsp")));
    assert_false(cb_x509_ocsp_url(&card, 1, &url));
    assert_true(cb_x509_crl_url(&card, 0, &url));
    assert_true(cb_bytes_same(url, cb_bytes_str("http://127.0.0.1/issuer.crl")));
    assert_true(cb_x509_crl_url(&card, 1, &url));
    assert_true(cb_bytes_same(url, cb_bytes_str("http://127.0.0.1/shard-1.crl")));
    assert_false(cb_x509_crl_url(&card, 2, &url));
    cb_x509_key key;
    expect(CB_OK, cb_x509_key_read(card.public_key, &key));
    assert_int_equal(key.kind, CB_X509_KEY_RSA);
    assert_int_equal(key.modulus.len, 256);
}

/* Each with what it says of the card, where nothing but the card is wrong. */
static void each_fault_of_a_card_has_its_error(void **state)
{
    (void)state;
    static const struct {
        const char *card;
        cb_error error;
    } wrong[] = {
        {"card-expired", CB_E_CERTIFICATE_EXPIRED},
        {"card-early", CB_E_CERTIFICATE_EARLY},
        {"card-encipherment", CB_E_CERTIFICATE_USAGE},
        {"card-no-usage", CB_E_CERTIFICATE_USAGE},
        {"card-server", CB_E_CERTIFICATE_USAGE},
        {"card-any-usage", CB_E_CERTIFICATE_USAGE},
        {"card-no-extended", CB_E_CERTIFICATE_USAGE},
        {"card-9e", CB_E_CERTIFICATE_USAGE},
        {"card-other-policy", CB_E_CERTIFICATE_POLICY},
        {"card-any-policy", CB_E_CERTIFICATE_POLICY},
        {"card-no-policy", CB_E_CERTIFICATE_POLICY},
        {"card-critical", CB_E_CERTIFICATE_PATH},
        {"card-sha1", CB_E_CERTIFICATE_ALGORITHM},
        {"card-rsa1024", CB_E_CERTIFICATE_ALGORITHM},
        {"card-exponent-3", CB_E_CERTIFICATE_ALGORITHM},
        {"card-p521", CB_E_CERTIFICATE_ALGORITHM},
        {"card-k1", CB_E_CERTIFICATE_ALGORITHM},
        {"card-impostor", CB_E_CARD_CERTIFICATE},
        {"card-key-id", CB_E_CARD_CERTIFICATE},
        {"card-by-card", CB_E_CARD_CERTIFICATE},
        {"root", CB_E_CERTIFICATE_USAGE},
        {"crl", CB_E_CERTIFICATE_FORM},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        print_message("%s\n", wrong[i].card);
        expect(wrong[i].error, plainly(wrong[i].card));
    }
}

static void each_fault_above_a_card_has_its_error(void **state)
{
    (void)state;
    static const struct {
        const char *ca;
        cb_error error;
    } wrong[] = {
        {"no-ca", CB_E_CERTIFICATE_PATH},
        {"no-sign", CB_E_CERTIFICATE_PATH},
        {"ca-no-usage", CB_OK},
        {"ca-expired", CB_E_CERTIFICATE_EXPIRED},
        {"ca-early", CB_E_CERTIFICATE_EARLY},
        {"ca-critical", CB_E_CERTIFICATE_PATH},
        {"ca-names", CB_E_CERTIFICATE_PATH},
        {"ca-sha1", CB_E_CERTIFICATE_ALGORITHM},
        {"ca-rsa", CB_OK},
        {"ca-rsa1024", CB_E_CERTIFICATE_ALGORITHM},
        {"ca-other-policy", CB_E_CERTIFICATE_POLICY},
        {"ca-any-policy", CB_OK},
        {"ca-no-policy", CB_E_CERTIFICATE_POLICY},
        {"ca-maps", CB_E_CERTIFICATE_POLICY},
    };
    cb_x509_rules rules = rules_of_a_card();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char card[64];
        snprintf(card, sizeof card, "card-%s", wrong[i].ca);
        print_message("%s\n", card);
        expect(wrong[i].error, through(card, &rules, wrong[i].ca, NULL, "root"));
    }
}

/* Whether cards with no other name, with a URN, with names at a host, and with such elsewhere are
 * accepted. */
static void names_are_those_that_a_ca_may_give(void **state)
{
    (void)state;
    static const struct {
        const char *ca;
        bool plain, uuid, host, away;
    } all[] = {
        {"in", true, true, true, true},      {"other", false, false, false, false},
        {"out", false, false, false, false}, {"far", true, true, true, true},
        {"both", true, true, true, true},    {"uri", true, false, true, false},
        {"mail", true, true, true, false},   {"dns", true, true, false, true},
    };
    cb_x509_rules rules = rules_of_a_card();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const bool accepted[] = {all[i].plain, all[i].uuid, all[i].host, all[i].away};
        static const char *const kinds[] = {"card-ca-names-", "card-uuid-", "card-host-",
                                            "card-away-"};
        char ca[64], card[64];
        snprintf(ca, sizeof ca, "ca-names-%s", all[i].ca);
        for (size_t k = 0; k < 4; k++) {
            snprintf(card, sizeof card, "%s%s", kinds[k], all[i].ca);
            print_message("%s\n", card);
            expect(accepted[k] ? CB_OK : CB_E_CERTIFICATE_PATH,
                   through(card, &rules, ca, NULL, "root"));
        }
    }
}

static void only_configured_anchors_are_trusted(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    expect(CB_E_CARD_CERTIFICATE, through("card", &rules, "issuing", NULL, "stranger"));
    /* The same name, another key. */
    expect(CB_E_CARD_CERTIFICATE, through("card", &rules, "issuing", NULL, "other-root"));
    expect(CB_E_CARD_CERTIFICATE, through("card", &rules, "issuing", "root", "stranger"));
    expect(CB_E_CERTIFICATE_EXPIRED, through("card", &rules, "issuing", NULL, "expired-root"));
    /* The other anchor of that name is found nevertheless, and a bad one is no harm to it. */
    cb_bytes anchors[] = {pki("other-root"), pki("crl"), pki("expired-root"), pki("root")};
    cb_bytes between[] = {pki("impostor"), pki("crl"), pki("issuing")};
    cb_x509_trust trust = {anchors, 4, between, 3};
    expect(CB_OK, cb_x509_validate(pki("card"), &trust, &rules, &path));
    /* No certificate is its own anchor, or a card's. */
    cb_bytes own[] = {pki("card")};
    trust = (cb_x509_trust){own, 1, NULL, 0};
    expect(CB_E_CARD_CERTIFICATE, cb_x509_validate(pki("card"), &trust, &rules, &path));
    expect(CB_E_CERTIFICATE_PATH, cb_x509_validate(pki("card-by-card"), &trust, &rules, &path));
}

static void a_missing_intermediate_is_not_made_up(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    expect(CB_E_CARD_CERTIFICATE, through("card", &rules, NULL, NULL, "root"));
}

static void paths_are_no_longer_than_allowed(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    expect(CB_E_CERTIFICATE_PATH, through("card-too-long", &rules, "beneath", "issuing", "root"));
    rules.policy_count = 0;
    cb_bytes anchor = pki("root");
    cb_bytes between[8];
    for (unsigned length = 1; length < 8; length++) {
        char file[32];
        snprintf(file, sizeof file, "chain-%u", length);
        between[length] = pki(file);
        snprintf(file, sizeof file, "card-chain-%u", length);
        cb_x509_trust trust = {&anchor, 1, between + 1, length};
        expect(length < 7 ? CB_OK : CB_E_CARD_CERTIFICATE,
               cb_x509_validate(pki(file), &trust, &rules, &path));
    }
}

static void rules_may_ask_for_less(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    rules.extended_usage_optional = true;
    expect(CB_OK, through("card-no-extended", &rules, "issuing", NULL, "root"));
    expect(CB_E_CERTIFICATE_USAGE, through("card-server", &rules, "issuing", NULL, "root"));
    cb_bytes usages[] = {cb_oid_piv_card_auth, cb_oid_any_usage};
    rules.extended_usages = usages;
    rules.extended_usage_count = 2;
    expect(CB_OK, through("card-9e", &rules, "issuing", NULL, "root"));
    expect(CB_OK, through("card-any-usage", &rules, "issuing", NULL, "root"));
    rules.extended_usage_count = 0;
    expect(CB_OK, through("card-server", &rules, "issuing", NULL, "root"));
    rules.policy_count = 0;
    expect(CB_OK, through("card-no-policy", &rules, "issuing", NULL, "root"));
    expect(CB_OK, through("card-any-policy", &rules, "issuing", NULL, "root"));
    rules.key_usage = 0;
    expect(CB_OK, through("card-encipherment", &rules, "issuing", NULL, "root"));
}

static void a_ca_may_ask_for_policies_itself(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    expect(CB_E_CERTIFICATE_POLICY, through("card-vague", &rules, "vague", "inhibiting", "root"));
    rules.policy_count = 0;
    expect(CB_OK, through("card-demanding", &rules, "demanding", NULL, "root"));
    expect(CB_E_CERTIFICATE_POLICY,
           through("card-demanding-none", &rules, "demanding", NULL, "root"));
}

static void pss_is_taken_with_a_salt_as_long_as_the_digest(void **state)
{
    (void)state;
    cb_x509_rules rules = rules_of_a_card();
    rules.time = time(NULL);
    rules.policy_count = 0;
    expect(CB_OK, through("card-pss", &rules, NULL, NULL, "pss-ca"));
    expect(CB_E_CERTIFICATE_ALGORITHM, through("card-pss-salt", &rules, NULL, NULL, "pss-ca"));
}

/* No change of one bit of a card's certificate, nor a part of it, is accepted. */
static void every_change_is_noticed(void **state)
{
    (void)state;
    cb_bytes card = pki("card-p256");
    cb_bytes anchor = pki("issuing");
    cb_x509_trust trust = {&anchor, 1, NULL, 0};
    cb_x509_rules rules = rules_of_a_card();
    uint8_t *copy = malloc(card.len + 1);
    memcpy(copy, card.data, card.len);
    for (size_t i = 0; i < card.len; i++) {
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_true(cb_x509_validate(cb_bytes_make(copy, card.len), &trust, &rules, &path));
        copy[i] ^= (uint8_t)(1u << i % 8);
        assert_true(cb_x509_validate(cb_bytes_make(copy, i), &trust, &rules, &path));
    }
    copy[card.len] = 0;
    expect(CB_E_CERTIFICATE_FORM,
           cb_x509_validate(cb_bytes_make(copy, card.len + 1), &trust, &rules, &path));
    free(copy);
}

static bool renews(const char *before, const char *now, cb_x509_renewal rule)
{
    cb_x509 a, b;
    expect(CB_OK, cb_x509_parse(pki(before), &a));
    expect(CB_OK, cb_x509_parse(pki(now), &b));
    return cb_x509_renews(&a, &b, rule);
}

static void renewal_is_told_from_replacement(void **state)
{
    (void)state;
    assert_true(renews("card", "renewed-same-key", CB_X509_RENEWAL_SAME_KEY));
    assert_true(renews("card", "renewed-same-key", CB_X509_RENEWAL_SAME_SUBJECT));
    assert_false(renews("card", "renewed-same-key", CB_X509_RENEWAL_NEVER));
    assert_false(renews("card", "renewed-other-key", CB_X509_RENEWAL_SAME_KEY));
    assert_true(renews("card", "renewed-other-key", CB_X509_RENEWAL_SAME_SUBJECT));
    assert_false(renews("card", "renewed-other-uuid", CB_X509_RENEWAL_SAME_SUBJECT));
    assert_false(renews("card", "renewed-other-name", CB_X509_RENEWAL_SAME_KEY));
    assert_false(renews("card", "card-chain-1", CB_X509_RENEWAL_SAME_SUBJECT));
    /* Back to the old one, or the same again. */
    assert_false(renews("renewed-same-key", "card", CB_X509_RENEWAL_SAME_SUBJECT));
    assert_false(renews("card", "card", CB_X509_RENEWAL_SAME_SUBJECT));
    /* A certificate without the alternative name is not of the card that had one. */
    assert_false(renews("card-expired", "renewed-other-key", CB_X509_RENEWAL_SAME_SUBJECT));
}

/* ---- der.h ---- */

static bool time_of(uint8_t tag, const char *text, int64_t *out)
{
    return cb_der_time_of(tag, cb_bytes_str(text), out);
}

static void times_are_those_of_the_calendar(void **state)
{
    (void)state;
    static const char *const wrong[] = {"260230000000Z",     "261301000000Z",
                                        "260001000000Z",     "260100000000Z",
                                        "260101240000Z",     "260101006000Z",
                                        "260101000060Z",     "2601010000Z",
                                        "260101000000+0900", "26010100000Z",
                                        "260101000000z",     "26 101000000Z",
                                        "260101000000Z ",    "",
                                        "250229000000Z"};
    int64_t t;
    assert_true(time_of(CB_DER_UTC_TIME, "700101000000Z", &t));
    assert_int_equal(t, 0);
    assert_true(time_of(CB_DER_UTC_TIME, "491231235959Z", &t));
    assert_int_equal(t, pki_time(2050, 1, 1) - 1);
    assert_true(time_of(CB_DER_UTC_TIME, "500101000000Z", &t));
    assert_int_equal(t, pki_time(1950, 1, 1));
    assert_true(time_of(CB_DER_UTC_TIME, "240229120000Z", &t));
    assert_int_equal(t, pki_time(2024, 2, 29) + 43200);
    assert_true(time_of(CB_DER_GENERALIZED_TIME, "99991231235959Z", &t));
    assert_true(time_of(CB_DER_GENERALIZED_TIME, "21000228000000Z", &t));
    assert_false(time_of(CB_DER_GENERALIZED_TIME, "21000229000000Z", &t));
    assert_false(time_of(CB_DER_GENERALIZED_TIME, "20260101000000.5Z", &t));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(time_of(CB_DER_UTC_TIME, wrong[i], &t));
}

static bool reads(const char *bytes, size_t len)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(bytes, len));
    cb_der object;
    return cb_der_next(&cursor, &object) && cb_cursor_done(&cursor);
}

static void lengths_have_one_form(void **state)
{
    (void)state;
    static char long_one[3 + 128] = "\x04\x81\x80";
    assert_true(reads("\x04\x01x", 3));
    assert_true(reads(long_one, sizeof long_one));
    assert_false(reads("\x04\x81\x01x", 4));
    assert_false(reads("\x04\x82\x00\x01x", 5));
    assert_false(reads("\x04\x80x\0\0", 5));
    assert_false(reads("\x1f\x01\x01x", 4));
    assert_false(reads("\x04\x85\0\0\0\0\1x", 8));
    assert_false(reads("\x04\x02x", 3));
    assert_false(reads("\x04\x84\xff\xff\xff\xff", 6));
}

static void identifiers_are_read_from_text(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "1",
                                        "3.1",
                                        "1.40",
                                        "1.2.",
                                        ".1",
                                        "1..2",
                                        "1.2.x",
                                        "1.2.-3",
                                        "1.2 3",
                                        "1.2.99999999999999999999"};
    cb_buf out = CB_BUF(256);
    assert_int_equal(cb_oid_parse("2.16.840.1.101.3.6.8", &out), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&out), cb_oid_piv_card_auth));
    cb_buf_reset(&out);
    assert_int_equal(cb_oid_parse("1.3.6.1.4.1.311.20.2.2", &out), CB_OK);
    assert_true(cb_bytes_same(cb_buf_bytes(&out), cb_oid_smartcard_logon));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cb_buf_reset(&out);
        assert_int_equal(cb_oid_parse(wrong[i], &out), CB_E_FORMAT);
    }
    cb_buf_free(&out);
}

static bool reads_flag(const char *bytes, size_t len, bool *out)
{
    cb_cursor cursor = cb_cursor_over(cb_bytes_make(bytes, len));
    *out = cb_der_flag(&cursor);
    return cb_cursor_done(&cursor);
}

static void flags_are_true_or_false(void **state)
{
    (void)state;
    bool flag;
    assert_true(reads_flag("\x01\x01\xff", 3, &flag) && flag);
    assert_true(reads_flag("\x01\x01\x00", 3, &flag) && !flag);
    assert_true(reads_flag("", 0, &flag) && !flag);
    assert_false(reads_flag("\x01\x01\x01", 3, &flag) || flag);
    assert_false(reads_flag("\x01\x00", 2, &flag) || flag);
    assert_false(reads_flag("\x01\x02\xff\xff", 4, &flag) || flag);
}

static void numbers_have_one_form(void **state)
{
    (void)state;
    uint16_t number;
    assert_true(cb_der_small(cb_bytes_make("\x00\xff\xff", 3), &number));
    assert_int_equal(number, 65535);
    assert_false(cb_der_small(cb_bytes_make("\x01\x00\x00", 3), &number));
    assert_false(cb_der_small(cb_bytes_make("\x00\x01", 2), &number));
    assert_false(cb_der_small(cb_bytes_make("\x80", 1), &number));
    assert_false(cb_der_small((cb_bytes){0}, &number));
    assert_true(cb_der_named_bits(cb_bytes_make("\x07\x80", 2), &number));
    assert_int_equal(number, 0x8000);
    assert_false(cb_der_named_bits(cb_bytes_make("\x07\x81", 2), &number));
    assert_false(cb_der_named_bits(cb_bytes_make("\x08\x80", 2), &number));
    assert_false(cb_der_named_bits(cb_bytes_make("\x01", 1), &number));
}

static const char *script;

static int setup(void **state)
{
    (void)state;
    cb_buf oid = CB_BUF(CB_OID_MAX);
    int result = cb_oid_parse("2.16.840.1.101.3.2.1.3.13", &oid) == CB_OK ? pki_make(script) : -1;
    if (result == 0) {
        memcpy(policy_bytes, oid.data, oid.len);
        policy = cb_bytes_make(policy_bytes, oid.len);
    }
    cb_buf_free(&oid);
    return result;
}

static int teardown(void **state)
{
    (void)state;
    pki_remove();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_cards_are_accepted),
        cmocka_unit_test(an_issuer_may_be_the_anchor),
        cmocka_unit_test(facts_are_read),
        cmocka_unit_test(each_fault_of_a_card_has_its_error),
        cmocka_unit_test(each_fault_above_a_card_has_its_error),
        cmocka_unit_test(names_are_those_that_a_ca_may_give),
        cmocka_unit_test(only_configured_anchors_are_trusted),
        cmocka_unit_test(a_missing_intermediate_is_not_made_up),
        cmocka_unit_test(paths_are_no_longer_than_allowed),
        cmocka_unit_test(rules_may_ask_for_less),
        cmocka_unit_test(a_ca_may_ask_for_policies_itself),
        cmocka_unit_test(pss_is_taken_with_a_salt_as_long_as_the_digest),
        cmocka_unit_test(every_change_is_noticed),
        cmocka_unit_test(renewal_is_told_from_replacement),
        cmocka_unit_test(times_are_those_of_the_calendar),
        cmocka_unit_test(lengths_have_one_form),
        cmocka_unit_test(identifiers_are_read_from_text),
        cmocka_unit_test(flags_are_true_or_false),
        cmocka_unit_test(numbers_have_one_form),
    };
    script = argc > 1 ? argv[1] : "tests/support/pki.py";
    return cmocka_run_group_tests(tests, setup, teardown);
}
