/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates of terminals: what hsmd writes into them, and what nobody can have it write.
 */
#include "hsm/terminal_certificate.h"

#include "cardlink/x509/certificate.h"
#include "cardlink/x509/request.h"
#include "cardlink/x509/signature.h"
#include "fake.h"
#include "tests/unit/hsm/test.h"

enum { NOW = 1763750000, HOUR = 3600 };

static const cb_id terminal = {{1, 2, 3}};

typedef struct asking {
    uint8_t scalar[CB_P256_SCALAR];
    uint8_t point[CB_P256_POINT];
    cb_buf request, certificate;
} asking;

static void begin(asking *a, const char *name)
{
    *a = (asking){.request = CB_BUF(CB_X509_REQUEST_MAX),
                  .certificate = CB_BUF(CB_TERMINAL_CERTIFICATE_MAX)};
    assert_int_equal(cb_p256_generate(a->scalar, a->point), CB_OK);
    assert_int_equal(cb_x509_request_make(a->scalar, name, &a->request), CB_OK);
}

static cb_error ask(asking *a, uint32_t seconds)
{
    cb_buf_reset(&a->certificate);
    return cb_terminal_certificate_make(&fake_vault, &terminal, cb_buf_bytes(&a->request), NOW,
                                        seconds, &a->certificate);
}

static void end(asking *a)
{
    cb_buf_free(&a->request);
    cb_buf_free(&a->certificate);
}

static void hsmd_says_who_for_what_and_how_long_whatever_the_request_says(void **state)
{
    asking a;
    cb_x509 certificate, ca;
    cb_buf name = CB_BUF(256), spki = CB_BUF(256), own = CB_BUF(256), above = CB_BUF(2048);
    char id[CB_ID_TEXT];
    cb_buf oid = CB_BUF(64);
    (void)state;
    begin(&a, "administrator");
    assert_int_equal(ask(&a, HOUR), CB_OK);
    assert_int_equal(cb_x509_parse(cb_buf_bytes(&a.certificate), &certificate), CB_OK);
    cb_id_text(&terminal, id);
    cb_x509_put_name(&name, id);
    assert_true(cb_bytes_same(certificate.subject, cb_buf_bytes(&name)));
    cb_x509_put_key(&spki, a.point);
    assert_true(cb_bytes_same(certificate.public_key, cb_buf_bytes(&spki)));
    assert_int_equal(certificate.not_before, NOW);
    assert_int_equal(certificate.not_after, NOW + HOUR);
    assert_false(certificate.is_ca);
    assert_false(certificate.unknown_critical);
    assert_int_equal(certificate.key_usage, CB_X509_DIGITAL_SIGNATURE);
    assert_int_equal(cb_oid_parse("1.3.6.1.5.5.7.3.2", &oid), CB_OK);
    assert_true(cb_x509_has_usage(&certificate, cb_buf_bytes(&oid)));
    cb_buf_reset(&oid);
    assert_int_equal(cb_oid_parse("1.3.6.1.5.5.7.3.1", &oid), CB_OK);
    assert_false(cb_x509_has_usage(&certificate, cb_buf_bytes(&oid)));

    assert_int_equal(fake_vault.public_key(NULL, CB_TERMINAL_CA_KEY, &own), CB_OK);
    assert_int_equal(cb_x509_signature_check(cb_buf_bytes(&own), certificate.signature_algorithm,
                                             certificate.signed_bytes, certificate.signature),
                     CB_OK);
    assert_int_equal(cb_terminal_ca_make(&fake_vault, NOW, &above), CB_OK);
    assert_int_equal(cb_x509_parse(cb_buf_bytes(&above), &ca), CB_OK);
    assert_true(ca.is_ca);
    assert_int_equal(ca.path_length, 0);
    assert_int_equal(ca.key_usage, CB_X509_CERTIFICATE_SIGN);
    assert_true(cb_bytes_same(ca.subject, certificate.issuer));
    assert_true(cb_bytes_same(ca.subject_key_id, certificate.authority_key_id));
    assert_int_equal(cb_x509_signature_check(cb_buf_bytes(&own), ca.signature_algorithm,
                                             ca.signed_bytes, ca.signature),
                     CB_OK);
    cb_buf_free(&name);
    cb_buf_free(&spki);
    cb_buf_free(&own);
    cb_buf_free(&above);
    cb_buf_free(&oid);
    end(&a);
}

static void times_after_2049_are_written_as_they_have_to_be(void **state)
{
    asking a;
    cb_x509 certificate;
    int64_t later = INT64_C(2540000000); /* in 2050 */
    (void)state;
    begin(&a, "x");
    assert_int_equal(cb_terminal_certificate_make(&fake_vault, &terminal, cb_buf_bytes(&a.request),
                                                  later, HOUR, &a.certificate),
                     CB_OK);
    assert_int_equal(cb_x509_parse(cb_buf_bytes(&a.certificate), &certificate), CB_OK);
    assert_int_equal(certificate.not_after, later + HOUR);
    end(&a);
}

static void no_certificate_is_longer_than_it_may_be(void **state)
{
    asking a;
    (void)state;
    begin(&a, "x");
    assert_int_equal(ask(&a, 0), CB_E_ARGUMENT);
    assert_int_equal(ask(&a, CB_TERMINAL_SECONDS_MAX + 1), CB_E_ARGUMENT);
    assert_int_equal(ask(&a, CB_TERMINAL_SECONDS_MAX), CB_OK);
    end(&a);
}

/* Whoever does not hold the key gets no certificate for it; whatever is changed is noticed. */
static void a_request_of_another_key_or_with_a_changed_byte_is_refused(void **state)
{
    asking a, other;
    (void)state;
    begin(&a, "x");
    begin(&other, "x");
    cb_bytes info = cb_bytes_make(a.request.data, a.request.len);
    size_t key = 0;
    for (size_t at = 0; at + CB_P256_POINT <= info.len && !key; at++)
        key = memcmp(info.data + at, a.point, CB_P256_POINT) == 0 ? at : 0;
    assert_true(key > 0);
    memcpy(a.request.data + key, other.point, CB_P256_POINT);
    assert_int_equal(ask(&a, HOUR), CB_E_CRYPTO);
    end(&a);
    begin(&a, "x");
    for (size_t at = 0; at < a.request.len; at++) {
        a.request.data[at] ^= 1;
        assert_int_not_equal(ask(&a, HOUR), CB_OK);
        a.request.data[at] ^= 1;
    }
    for (size_t len = 0; len < a.request.len; len++) {
        cb_bytes cut = cb_bytes_make(a.request.data, len);
        assert_int_equal(
            cb_terminal_certificate_make(&fake_vault, &terminal, cut, NOW, HOUR, &a.certificate),
            CB_E_FORMAT);
    }
    assert_int_equal(ask(&a, HOUR), CB_OK);
    end(&other);
    end(&a);
}

static cb_error no_key(void *context, const char *name, cb_buf *out)
{
    (void)context;
    (void)name;
    (void)out;
    return CB_E_CONFIG;
}

static void a_token_without_the_key_makes_none(void **state)
{
    asking a;
    cb_vault old = fake_vault;
    (void)state;
    old.public_key = no_key;
    begin(&a, "x");
    assert_int_equal(cb_terminal_certificate_make(&old, &terminal, cb_buf_bytes(&a.request), NOW,
                                                  HOUR, &a.certificate),
                     CB_E_CONFIG);
    end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hsmd_says_who_for_what_and_how_long_whatever_the_request_says),
        cmocka_unit_test(times_after_2049_are_written_as_they_have_to_be),
        cmocka_unit_test(no_certificate_is_longer_than_it_may_be),
        cmocka_unit_test(a_request_of_another_key_or_with_a_changed_byte_is_refused),
        cmocka_unit_test(a_token_without_the_key_makes_none),
    };
    return cmocka_run_group_tests_name("terminal certificate", tests, NULL, NULL);
}
