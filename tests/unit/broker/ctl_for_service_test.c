/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a service is given is about the key that hsmd made, and about nobody else than the
 * administrator named: the front end only says it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/ctl/enrolment.h"
#include "cardlink/x509/request.h"
#include "connectors/host/jwk.h"

static cb_buf key, other;

static void make_key(cb_buf *out)
{
    uint8_t scalar[CB_P256_SCALAR], point[CB_P256_POINT];
    cb_buf_init(out, 256);
    assert_int_equal(cb_p256_generate(scalar, point), CB_OK);
    cb_x509_put_key(out, point);
}

static int setup(void **state)
{
    (void)state;
    make_key(&key);
    make_key(&other);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cb_buf_free(&key);
    cb_buf_free(&other);
    return 0;
}

/* As the connector for assertions says it, of one key or of two. */
static json_t *given_of(const cb_buf *first, const cb_buf *second, const char *subject)
{
    const cb_buf *keys[] = {first, second};
    json_t *list = json_array();
    for (size_t i = 0; i < 2 && keys[i]; i++) {
        cb_buf text = CB_BUF(2048);
        assert_int_equal(cb_jwk_of(cb_buf_bytes(keys[i]), &text), CB_OK);
        json_t *jwk = json_loadb((const char *)text.data, text.len, 0, NULL);
        json_object_set_new(jwk, "kid", json_string("number one"));
        json_object_set_new(jwk, "alg", json_string("ES256"));
        json_array_append_new(list, jwk);
        cb_buf_free(&text);
    }
    return json_pack("{s:s,s:{s:o}}", "subject", subject, "jwks", "keys", list);
}

static bool right(json_t *given, const json_t *data)
{
    bool is = cb_ctl_is_for_service(given, cb_buf_bytes(&key), data);
    json_decref(given);
    return is;
}

static void only_the_key_that_was_made_is_handed_on(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:s}", "subject", "jiro");
    assert_true(right(given_of(&key, NULL, "jiro"), data));
    assert_true(right(given_of(&key, NULL, "jiro"), NULL));
    assert_false(right(given_of(&other, NULL, "jiro"), data));
    assert_false(right(given_of(&key, &other, "jiro"), data));
    assert_false(right(given_of(&other, &key, "jiro"), data));
    assert_false(right(given_of(NULL, NULL, "jiro"), data));
    assert_false(right(given_of(&key, NULL, "saburo"), data));
    assert_false(right(json_pack("{s:s}", "subject", "jiro"), data));
    assert_false(right(json_pack("{s:s,s:{s:[{}]}}", "subject", "jiro", "jwks", "keys"), data));
    json_decref(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_key_that_was_made_is_handed_on)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
