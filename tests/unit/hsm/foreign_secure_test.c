/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PIV cards with secure messaging, when they are registered and when their certificates are
 * renewed: what is bound, and that nothing else is taken for it.
 */
#include <time.h>

#include "cardlink/card/key.h"
#include "cardlink/piv/commands.h"
#include "cardlink/x509/der.h"
#include "secure_cards.h"

static void a_card_is_bound_with_its_key(void **state)
{
    (void)state;
    cb_binding_info info, back;
    secure_bind(&info);
    assert_int_equal(info.keys.count, 3);
    const cb_card_key *key = cb_card_keys_find(&info.keys, CB_PIV_KEY_MESSAGING);
    assert_non_null(key);
    assert_int_equal(key->len, sizeof secure_far.point);
    assert_memory_equal(key->data, secure_far.point, sizeof secure_far.point);
    cb_digest digest = cb_sha256(cb_buf_bytes(&secure_signer_certificate));
    assert_memory_equal(&key->certificate, &digest, sizeof digest);
    good(fake_vault.binding_check(NULL, cb_buf_bytes(&secure_binding), &back));
    assert_memory_equal(&back.keys, &info.keys, sizeof back.keys);
}

/* Without the signer's certificate nobody can tell whose key it is; and what refuses has none. */
static void a_card_that_does_not_have_all_of_it_is_bound_without(void **state)
{
    (void)state;
    cb_binding_info info;
    secure_far.refuses = true;
    secure_bind(&info);
    assert_int_equal(info.keys.count, 2);
    secure_far.refuses = false;
    cb_buf_reset(&secure_far.signer);
    secure_bind(&info);
    assert_int_equal(info.keys.count, 2);
}

static void only_a_content_signer_of_the_agency_certifies(void **state)
{
    static const char *const usages[] = {NULL, "1.3.6.1.5.5.7.3.2", "2.16.840.1.101.3.6.8",
                                         "2.5.29.37.0"};
    (void)state;
    cb_binding_info info;
    agency stranger;
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
        cb_buf_reset(&secure_signer_certificate);
        secure_make_signer(&secure_issuer, usages[i], 0, &secure_signer_certificate);
        secure_show_signer(&secure_far, (cb_bytes){0});
        expect(CB_E_CERTIFICATE_USAGE, secure_check_card(&info));
    }
    agency_make(&stranger);
    cb_buf_reset(&secure_signer_certificate);
    secure_make_signer(&stranger, "2.16.840.1.101.3.6.7", 0, &secure_signer_certificate);
    secure_show_signer(&secure_far, (cb_bytes){0});
    expect(CB_E_CARD_CERTIFICATE, secure_check_card(&info));
    agency_free(&stranger);
    /* Of the agency and for that, but of another key than the one that signed. */
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &secure_signer));
    cb_buf_reset(&secure_signer_certificate);
    secure_make_signer(&secure_issuer, "2.16.840.1.101.3.6.7", 0, &secure_signer_certificate);
    secure_show_signer(&secure_far, (cb_bytes){0});
    expect(CB_E_CARD_CERTIFICATE, secure_check_card(&info));
}

/* The signer's certificate with a policy; NULL: with none. */
static void show_signer_with(const char *policy)
{
    cb_x509 old;
    cb_buf extensions = CB_BUF(512), made = CB_BUF(CB_ISSUE_X509_MAX);
    good(cb_x509_parse(cb_buf_bytes(&secure_signer_certificate), &old));
    cb_issue_key_usage(&extensions, 0x80);
    cb_issue_extended_usage(&extensions, "2.16.840.1.101.3.6.7", true);
    if (policy)
        cb_issue_policy(&extensions, policy);
    const cb_issue_x509 what = {.subject = old.subject,
                                .key = &secure_signer,
                                .extensions = cb_buf_bytes(&extensions),
                                .not_before = old.not_before,
                                .not_after = old.not_after};
    good(cb_issue_x509_make(&what, &secure_issuer.signer, &made));
    cb_buf_reset(&secure_signer_certificate);
    cb_buf_put(&secure_signer_certificate, cb_buf_bytes(&made));
    secure_show_signer(&secure_far, (cb_bytes){0});
    cb_buf_free(&extensions);
    cb_buf_free(&made);
}

static void a_content_signer_needs_one_of_the_policies_too(void **state)
{
    static const char *const policies[] = {"2.16.840.1.101.3.2.1.3.13", "2.16.840.1.101.3.2.1.3.17",
                                           "2.16.840.1.101.3.2.1.3.39"};
    cb_foreign_trust *trust = &secure_lane.host->foreign[0];
    cb_buf oid[3];
    cb_binding_info info;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        cb_buf_init(&oid[i], CB_FOREIGN_OID_MAX);
        good(cb_oid_parse(policies[i], &oid[i]));
        trust->policy[i] = cb_buf_bytes(&oid[i]);
    }
    for (trust->policies = 2; trust->policies <= 3; trust->policies++) {
        show_signer_with(NULL);
        expect(CB_E_CERTIFICATE_POLICY, secure_check_card(&info));
        show_signer_with(policies[2]);
        expect(trust->policies == 2 ? CB_E_CERTIFICATE_POLICY : CB_OK, secure_check_card(&info));
    }
    trust->policies = 0;
    for (size_t i = 0; i < 3; i++)
        cb_buf_free(&oid[i]);
}

static void another_cards_certificate_is_refused(void **state)
{
    static const uint8_t other[16] = {1};
    (void)state;
    cb_binding_info info;
    secure_certify(&secure_far, CB_BYTES_OF(other));
    expect(CB_E_CARD_ANSWER, secure_check_card(&info));
}

static void what_was_read_is_bound_whole_or_not(void **state)
{
    (void)state;
    reading r;
    cb_script answers;
    cb_binding_info info;
    secure_read_card(&r);
    assert_int_equal(r.card.keys, 3);
    good(secure_check(&r, &info));
    /* Nothing can be proven by the key that agrees alone. */
    cb_foreign_reading all = r.card;
    r.card.key[0] = all.key[2];
    r.card.keys = 1;
    expect(CB_E_ARGUMENT, secure_check(&r, &info));
    r.card = all;
    /* Each order but the one. */
    for (size_t i = 0; i < SECURE_USES; i++) {
        for (size_t j = 0; j < SECURE_USES; j++) {
            size_t third = SECURE_USES - i - j;
            if (i == j || third >= SECURE_USES || third == i || third == j)
                continue;
            r.card.key[0] = all.key[i];
            r.card.key[1] = all.key[j];
            r.card.key[2] = all.key[third];
            r.card.keys = SECURE_USES;
            expect(i == 0 && j == 1 ? CB_OK : CB_E_ARGUMENT, secure_check(&r, &info));
        }
    }
    r.card = all;
    /* The answer to the offer is not there. */
    cb_buf two = CB_BUF(CB_SCRIPT_BYTES_MAX);
    good(cb_script_read(cb_buf_bytes(&r.answers), CB_ANSWER_MAX, &answers));
    for (size_t i = 0; i < 2; i++)
        cb_script_put(&two, 0, answers.item[i].apdu);
    r.card.answers = cb_buf_bytes(&two);
    expect(CB_E_CARD_ANSWER, secure_check(&r, &info));
    r.card.answers = all.answers;
    /* Something behind the signer's certificate that is no certificate. */
    cb_buf_put_u8(&r.der[2], 0);
    r.card.key[2].certificate = cb_buf_bytes(&r.der[2]);
    expect(CB_E_CERTIFICATE_FORM, secure_check(&r, &info));
    cb_buf_free(&two);
    secure_forget(&r);
}

/* PKCS #1 v1.5 (RFC 8017, 9.2). */
static cb_error sign_by_rsa(const void *key, cb_bytes digest, cb_buf *out)
{
    enum { AT = CB_VCARD_RSA_SIZE - CB_DIGEST_INFO };
    uint8_t block[CB_VCARD_RSA_SIZE] = {0x00, 0x01};
    memset(block + 2, 0xFF, AT - 3);
    cb_digest_info(digest.data, block + AT);
    return cb_vcard_key_rsa(key, CB_BYTES_OF(block), out);
}

/* A content signer with an RSA key, and a key on P-256 that he certified, which certifies cards. */
static void an_intermediate_certificate_may_stand_between(void **state)
{
    static const uint8_t name[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    (void)state;
    cb_vcard_key middle;
    cb_vcard_public point;
    cb_x509 of_signer;
    cb_binding_info info;
    cb_buf between = CB_BUF(1024);
    good(cb_vcard_key_generate(CB_VCARD_EC_P256, &middle));
    good(cb_vcard_key_public(&middle, &point));
    good(cb_vcard_key_generate(CB_VCARD_RSA_2048, &secure_signer));
    cb_buf_reset(&secure_signer_certificate);
    secure_make_signer(&secure_issuer, "2.16.840.1.101.3.6.7", 0, &secure_signer_certificate);
    good(cb_x509_parse(cb_buf_bytes(&secure_signer_certificate), &of_signer));
    secure_piv_certify(&(secure_piv_cvc){.issuer = cb_bytes_make(of_signer.subject_key_id.data, 8),
                                         .subject = CB_BYTES_OF(name),
                                         .point = cb_bytes_make(point.key, point.len),
                                         .role = 0x12,
                                         .algorithm = secure_piv_rsa,
                                         .sign = sign_by_rsa,
                                         .key = &secure_signer},
                       &between);
    cb_buf_reset(&secure_far.certificate);
    secure_piv_certify(&(secure_piv_cvc){.issuer = CB_BYTES_OF(name),
                                         .subject = secure_guid_of(&secure_card),
                                         .point = CB_BYTES_OF(secure_far.point),
                                         .algorithm = secure_piv_ecdsa,
                                         .sign = secure_sign,
                                         .key = &middle},
                       &secure_far.certificate);
    secure_show_signer(&secure_far, cb_buf_bytes(&between));
    secure_bind(&info);
    const cb_card_key *key = cb_card_keys_find(&info.keys, CB_PIV_KEY_MESSAGING);
    cb_digest digest = cb_sha256(cb_buf_bytes(&secure_signer_certificate));
    assert_non_null(key);
    assert_memory_equal(key->data, secure_far.point, sizeof secure_far.point);
    assert_memory_equal(&key->certificate, &digest, sizeof digest);
    between.data[between.len - 1] ^= 1;
    secure_show_signer(&secure_far, cb_buf_bytes(&between));
    expect(CB_E_CARD_CERTIFICATE, secure_check_card(&info));
    secure_show_signer(&secure_far, (cb_bytes){0});
    expect(CB_E_CARD_CERTIFICATE, secure_check_card(&info));
    cb_buf_free(&between);
}

static void a_key_does_not_stand_for_two(void **state)
{
    (void)state;
    cb_binding_info info;
    const cb_vcard_key *key = &secure_card.state.key[cb_vpiv_slot(CB_VPIV_CARD_AUTHENTICATION)];
    memcpy(secure_far.scalar, key->secret, sizeof secure_far.scalar);
    good(cb_p256_public(secure_far.scalar, secure_far.point));
    secure_certify(&secure_far, secure_guid_of(&secure_card));
    expect(CB_E_ARGUMENT, secure_check_card(&info));
}

/* ---- Renewal ---- */

typedef struct renewal {
    bool other_key, other_signer;
    int days; /* by which the signer's certificate began later, in tenths */
    bool by_key, by_subject;
} renewal;

static void renew(const renewal *what, bool rule_keys, cb_error wanted)
{
    cb_binding_info before, now;
    cb_foreign_trust *trust = &secure_lane.host->foreign[0];
    reading old, new;
    secure_bind(&before);
    secure_read_card(&old);
    if (what->other_signer) {
        cb_buf_reset(&secure_signer_certificate);
        secure_make_signer(&secure_issuer, "2.16.840.1.101.3.6.7", what->days,
                           &secure_signer_certificate);
    }
    if (what->other_key)
        good(cb_p256_generate(secure_far.scalar, secure_far.point));
    secure_certify(&secure_far, secure_guid_of(&secure_card));
    secure_show_signer(&secure_far, (cb_bytes){0});
    secure_read_card(&new);
    good(secure_check(&new, &now));
    cb_buf certificates = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
    for (size_t i = 0; i < SECURE_USES; i++)
        cb_buf_put(&certificates, cb_buf_bytes(&old.der[i]));
    trust->renewal = CB_X509_RENEWAL_NEVER;
    expect(CB_E_CERTIFICATE_RENEWAL,
           cb_foreign_card_renews(trust, &before, cb_buf_bytes(&certificates), &new.card, &now));
    trust->renewal = rule_keys ? CB_X509_RENEWAL_SAME_SUBJECT : CB_X509_RENEWAL_SAME_KEY;
    expect(wanted,
           cb_foreign_card_renews(trust, &before, cb_buf_bytes(&certificates), &new.card, &now));
    cb_buf_free(&certificates);
    secure_forget(&old);
    secure_forget(&new);
}

static void a_new_key_or_signer_renews_by_the_rule(void **state)
{
    static const renewal cases[] = {
        {false, false, 0, false, false}, {true, false, 0, false, true},
        {false, true, 1, true, true},    {true, true, 1, false, true},
        {false, true, -1, false, false}, {true, true, -1, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int keys = 0; keys < 2; keys++) {
            bool allowed = keys ? cases[i].by_subject : cases[i].by_key;
            renew(&cases[i], keys, allowed ? CB_OK : CB_E_CERTIFICATE_RENEWAL);
            secure_end_test(state);
            secure_begin_test(state);
        }
    }
}

/* A card that has lost it, or has it only now, is to be registered anew. */
static void it_neither_comes_nor_goes_by_renewal(void **state)
{
    (void)state;
    cb_foreign_trust *trust = &secure_lane.host->foreign[0];
    trust->renewal = CB_X509_RENEWAL_SAME_SUBJECT;
    for (int gone = 0; gone < 2; gone++) {
        cb_binding_info before, now;
        reading old, new;
        cb_buf certificates = CB_BUF(CB_FOREIGN_CERTIFICATES_LEN);
        secure_far.refuses = !gone;
        secure_read_card(&old);
        good(secure_check(&old, &before));
        secure_far.refuses = gone;
        secure_read_card(&new);
        good(secure_check(&new, &now));
        for (size_t i = 0; i < old.card.keys; i++)
            cb_buf_put(&certificates, cb_buf_bytes(&old.der[i]));
        expect(
            CB_E_CERTIFICATE_RENEWAL,
            cb_foreign_card_renews(trust, &before, cb_buf_bytes(&certificates), &new.card, &now));
        cb_buf_free(&certificates);
        secure_forget(&old);
        secure_forget(&new);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, secure_begin_test, secure_end_test)
    const struct CMUnitTest tests[] = {
        TEST(a_card_is_bound_with_its_key),
        TEST(a_card_that_does_not_have_all_of_it_is_bound_without),
        TEST(only_a_content_signer_of_the_agency_certifies),
        TEST(a_content_signer_needs_one_of_the_policies_too),
        TEST(another_cards_certificate_is_refused),
        TEST(what_was_read_is_bound_whole_or_not),
        TEST(an_intermediate_certificate_may_stand_between),
        TEST(a_key_does_not_stand_for_two),
        TEST(a_new_key_or_signer_renews_by_the_rule),
        TEST(it_neither_comes_nor_goes_by_renewal),
    };
    return cmocka_run_group_tests(tests, secure_setup, secure_teardown);
}
