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

/* As the connector for assertions says it, of one key or of two. kid NULL: the thumbprint. */
static json_t *given_of(const cb_buf *first, const cb_buf *second, const char *subject,
                        const char *kid)
{
    const cb_buf *keys[] = {first, second};
    json_t *list = json_array();
    for (size_t i = 0; i < 2 && keys[i]; i++) {
        cb_buf text = CB_BUF(2048);
        assert_int_equal(cb_jwk_of(cb_buf_bytes(keys[i]), &text), CB_OK);
        json_t *jwk = json_loadb((const char *)text.data, text.len, 0, NULL);
        if (kid)
            json_object_set_new(jwk, "kid", json_string(kid));
        json_object_set_new(jwk, "use", json_string("sig"));
        json_object_set_new(jwk, "alg", json_string("ES256"));
        json_array_append_new(list, jwk);
        cb_buf_free(&text);
    }
    return json_pack("{s:s,s:{s:o}}", "subject", subject, "jwks", "keys", list);
}

static json_t *written(json_t *given, const json_t *data)
{
    json_t *out = cb_ctl_for_service(given, cb_buf_bytes(&key), data);
    json_decref(given);
    return out;
}

static bool right(json_t *given, const json_t *data)
{
    json_t *out = written(given, data);
    json_decref(out);
    return out != NULL;
}

static void only_the_key_that_was_made_is_handed_on(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:s}", "subject", "jiro");
    assert_true(right(given_of(&key, NULL, "jiro", NULL), data));
    assert_true(right(given_of(&key, NULL, "jiro", NULL), NULL));
    assert_false(right(given_of(&other, NULL, "jiro", NULL), data));
    assert_false(right(given_of(&key, &other, "jiro", NULL), data));
    assert_false(right(given_of(&other, &key, "jiro", NULL), data));
    assert_false(right(given_of(NULL, NULL, "jiro", NULL), data));
    assert_false(right(given_of(&key, NULL, "saburo", NULL), data));
    assert_false(right(json_pack("{s:s}", "subject", "jiro"), data));
    assert_false(right(json_pack("{s:s,s:{s:[{}]}}", "subject", "jiro", "jwks", "keys"), data));
    assert_false(right(json_object(), data));
    assert_false(right(json_null(), data));
    assert_false(right(json_array(), data));
    json_decref(data);
}

static void a_subject_is_handed_on_only_as_the_administrator_said_it(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:s}", "subject", "jiro"), *whole;
    json_t *expected = given_of(&key, NULL, "jiro", NULL);
    whole = written(given_of(&key, NULL, "jiro", NULL), data);
    assert_true(json_equal(whole, expected));
    json_decref(whole);
    /* Nobody said it here, as at a renewal without --data. */
    json_object_del(expected, "subject");
    whole = written(given_of(&key, NULL, "whomever", NULL), NULL);
    assert_true(json_equal(whole, expected));
    json_decref(whole);
    assert_false(right(json_copy(expected), data));
    json_t *odd = given_of(&key, NULL, "", NULL);
    json_object_set_new(odd, "subject", json_object());
    assert_false(right(odd, NULL));
    json_decref(expected);
    json_decref(data);
}

static void the_key_has_the_name_that_the_administrator_gave_it_or_its_thumbprint(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:s,s:s}", "subject", "jiro", "key_id", "number one");
    json_t *nameless = json_pack("{s:s}", "subject", "jiro");
    assert_true(right(given_of(&key, NULL, "jiro", "number one"), data));
    assert_false(right(given_of(&key, NULL, "jiro", "number two"), data));
    assert_false(right(given_of(&key, NULL, "jiro", NULL), data));
    assert_false(right(given_of(&key, NULL, "jiro", "number one"), nameless));
    assert_false(right(given_of(&key, NULL, "jiro", "number one"), NULL));
    json_decref(nameless);
    json_decref(data);
}

/* Members that a service would follow to other keys, or take for more than was compared. */
static void nothing_goes_along_that_was_not_compared(void **state)
{
    static const char *const members[] = {"jwks_uri", "x5u",     "x5c",           "d",
                                          "key_ops",  "x5t",     "redirect_uris", "keys",
                                          "jwks",     "comment", "kid",           "client_id"};
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        for (int where = 0; where < 3; where++) {
            json_t *given = given_of(&key, NULL, "jiro", NULL);
            json_t *set = json_object_get(given, "jwks");
            json_t *into[] = {given, set, json_array_get(json_object_get(set, "keys"), 0)};
            json_object_set_new(into[where], members[i], json_string("https://elsewhere.test/"));
            assert_false(right(json_incref(given), NULL));
            json_decref(given);
        }
    }
}

static void how_the_key_signs_is_what_such_keys_can(void **state)
{
    static const char *const algorithms[] = {"ES384", "PS256", "RS256", "none", "HS256", "ES256"};
    enum { COUNT = sizeof algorithms / sizeof *algorithms };
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        json_t *given = given_of(&key, NULL, "jiro", NULL);
        json_t *keys = json_object_get(json_object_get(given, "jwks"), "keys");
        json_object_set_new(json_array_get(keys, 0), "alg", json_string(algorithms[i]));
        assert_true(right(given, NULL) == (i == COUNT - 1));
    }
    json_t *given = given_of(&key, NULL, "jiro", NULL);
    json_t *keys = json_object_get(json_object_get(given, "jwks"), "keys");
    json_object_set_new(json_array_get(keys, 0), "use", json_string("enc"));
    assert_false(right(given, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_key_that_was_made_is_handed_on),
        cmocka_unit_test(a_subject_is_handed_on_only_as_the_administrator_said_it),
        cmocka_unit_test(the_key_has_the_name_that_the_administrator_gave_it_or_its_thumbprint),
        cmocka_unit_test(nothing_goes_along_that_was_not_compared),
        cmocka_unit_test(how_the_key_signs_is_what_such_keys_can)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
