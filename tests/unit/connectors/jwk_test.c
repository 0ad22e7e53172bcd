/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "connectors/host/jwk.h"

/* The key of RFC 7638, 3.1, as SubjectPublicKeyInfo; the thumbprint is the RFC's. */
static const char rfc7638[] =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhW"
    "x4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS"
    "oc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5n9yBXArwl93lqt7/RN5w6Cf0h4QyQ5v+65YGjQR0/"
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0"
    "zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt+bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ+G/"
    "xBniIqbw0Ls1jF44+csFCur+kEgU8awapJzKnqDK"
    "gwIDAQAB";

static cb_error jwk_of(const char *base64, cb_buf *json)
{
    cb_buf der = CB_BUF(4096);
    assert_int_equal(cb_unbase64(cb_bytes_str(base64), &der), CB_OK);
    cb_error error = cb_jwk_of(cb_buf_bytes(&der), json);
    cb_buf_free(&der);
    return error;
}

static void an_rsa_key_has_the_thumbprint_of_the_rfc(void **state)
{
    cb_buf json = CB_BUF(4096);
    (void)state;
    assert_int_equal(jwk_of(rfc7638, &json), CB_OK);
    const char *text = cb_buf_cstr(&json);
    assert_non_null(strstr(text, "\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\""));
    assert_non_null(strstr(text, "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQ"));
    assert_int_equal(text[json.len - 1], '}');
    cb_buf_free(&json);
}

static void what_is_no_key_is_refused(void **state)
{
    uint8_t der[400];
    cb_buf json = CB_BUF(4096), good = CB_BUF(4096);
    (void)state;
    assert_int_equal(cb_unbase64(cb_bytes_str(rfc7638), &good), CB_OK);
    /* Every truncation, and every byte of the frame changed. */
    for (size_t len = 0; len < good.len; len++)
        assert_int_equal(cb_jwk_of(cb_bytes_make(good.data, len), &json), CB_E_FORMAT);
    for (size_t i = 0; i < 20; i++) {
        memcpy(der, good.data, good.len);
        der[i] ^= 0x55;
        assert_int_not_equal(cb_jwk_of(cb_bytes_make(der, good.len), &json), CB_OK);
    }
    cb_buf_free(&json);
    cb_buf_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_rsa_key_has_the_thumbprint_of_the_rfc),
                                       cmocka_unit_test(what_is_no_key_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
