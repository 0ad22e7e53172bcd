/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pem.h"
#include "broker/core/registry.h"
#include "tests/unit/base/test.h"

/* A P-256 certificate made by OpenSSL; its key's digest by openssl pkey -pubin -outform DER |
 * sha256sum. */
static const char PEM[] = "-----BEGIN CERTIFICATE-----\n"
                          "MIIBojCCAUegAwIBAgIUQ8ZkxKZJUat80uekCWNCZw3NQsUwCgYIKoZIzj0EAwIw\n"
                          "ETEPMA0GA1UEAwwGY2xpZW50MB4XDTI2MTEyMTA0MzYzMVoXDTI2MTIyMTA0MzYz\n"
                          "MVowETEPMA0GA1UEAwwGY2xpZW50MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
                          "tYUXVhgj/koBPCtBmgs6ofxvMiA3T1eONj9zM79DXdvdxNxwOQLNxSOIgpoFBt0q\n"
                          "S/hkmA9vfGuA7SVCckBNi6N9MHswHQYDVR0OBBYEFBWnqTx7r0U+SQnp/z4FYKQ4\n"
                          "4chpMB8GA1UdIwQYMBaAFBWnqTx7r0U+SQnp/z4FYKQ44chpMA8GA1UdEwEB/wQF\n"
                          "MAMBAf8wKAYDVR0RBCEwH4IJbG9jYWxob3N0ggwqLnJlbGF5LnRlc3SHBH8AAAEw\n"
                          "CgYIKoZIzj0EAwIDSQAwRgIhAJVBxstl9zE/s7sb9ixTtlRKfqpyO/t6wtdDhY4x\n"
                          "tMFdAiEAk7ZW+gWwA6R+6RP4UwHwDK3/uas7iDHE3KEqfjs/POk=\n"
                          "-----END CERTIFICATE-----\n";
static const char DIGEST[] = "df0b5960b307bea9f0b29bd5bac3a6cde1338ce7ef0cc0e09772ddaa7fb03a3d";

static void the_key_of_a_certificate_is_as_openssl_says(void **state)
{
    (void)state;
    cb_digest key;
    cb_buf der = CB_BUF(4096);
    char text[65];
    assert_int_equal(cb_pem_read(PEM, &der, NULL), CB_OK);
    assert_int_equal(cb_certificate_key(cb_buf_bytes(&der), &key), CB_OK);
    for (size_t i = 0; i < sizeof key.bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", key.bytes[i]);
    assert_string_equal(text, DIGEST);
    cb_buf_free(&der);
}

/* Registration and handshake must name the same terminal. */
static void the_registry_reads_the_same_key(void **state)
{
    (void)state;
    cb_digest key;
    cb_buf der = CB_BUF(4096);
    cb_buf info = CB_BUF(4096);
    assert_int_equal(cb_pem_read(PEM, &der, NULL), CB_OK);
    assert_int_equal(cb_certificate_key(cb_buf_bytes(&der), &key), CB_OK);
    assert_int_equal(cb_certificate_public_key(cb_buf_bytes(&der), &info), CB_OK);
    cb_digest other = cb_sha256(cb_buf_bytes(&info));
    assert_memory_equal(key.bytes, other.bytes, sizeof key.bytes);
    cb_buf_free(&der);
    cb_buf_free(&info);
}

static void a_certificate_that_breaks_off_has_no_key(void **state)
{
    (void)state;
    cb_digest key;
    cb_buf der = CB_BUF(4096);
    assert_int_equal(cb_pem_read(PEM, &der, NULL), CB_OK);
    for (size_t len = 0; len < der.len; len++) {
        uint8_t *part = malloc(len + 1);
        memcpy(part, der.data, len);
        assert_int_equal(cb_certificate_key(cb_bytes_make(part, len), &key), CB_E_FORMAT);
        free(part);
    }
    cb_buf_free(&der);
}

static void pem_is_read_strictly(void **state)
{
    (void)state;
    cb_buf first = CB_BUF(4096);
    cb_buf rest = CB_BUF(8192);
    cb_buf twice = CB_BUF(8192);
    cb_buf_printf(&twice, "subject: a\n%s\nsubject: b\n%s%s", PEM, PEM, PEM);
    assert_int_equal(cb_pem_read(cb_buf_cstr(&twice), &first, &rest), CB_OK);
    assert_int_equal(rest.len, 2 * first.len);
    cb_buf_reset(&first);
    assert_int_equal(cb_pem_read(cb_buf_cstr(&twice), &first, NULL), CB_E_ARGUMENT);
    static const char *const bad[] = {
        "",
        "MIIB",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMII!\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cb_buf_reset(&first);
        assert_int_equal(cb_pem_read(bad[i], &first, &rest), CB_E_FORMAT);
    }
    cb_buf_free(&first);
    cb_buf_free(&rest);
    cb_buf_free(&twice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_of_a_certificate_is_as_openssl_says),
        cmocka_unit_test(the_registry_reads_the_same_key),
        cmocka_unit_test(a_certificate_that_breaks_off_has_no_key),
        cmocka_unit_test(pem_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
