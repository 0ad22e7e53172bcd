/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/api/relay_rules.h"

#include "tests/unit/base/test.h"

#define LABEL "abcdefghijklmnopqrstuvwxyz"
#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_host_name_names_a_session(void **state)
{
    (void)state;
    char label[CB_SESSION_LABEL];
    static const char *const good[] = {LABEL ".relay.localhost", LABEL ".relay.localhost:8443",
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ.Relay.LocalHost"};
    static const char *const bad[] = {"",
                                      LABEL,
                                      LABEL ".relay.localhos",
                                      LABEL ".relay.localhost.evil",
                                      "a" LABEL ".relay.localhost",
                                      "bcdefghijklmnopqrstuvwxyz.relay.localhost",
                                      "relay.localhost"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cb_relay_label(good[i], "relay.localhost", label), CB_OK);
        assert_string_equal(label, LABEL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cb_relay_label(bad[i], "relay.localhost", label), CB_E_SESSION_UNKNOWN);
    assert_int_equal(cb_relay_label(NULL, "relay.localhost", label), CB_E_SESSION_UNKNOWN);
}

static void what_concerns_the_connection_stays(void **state)
{
    (void)state;
    assert_true(cb_relay_forwards("host", NULL));
    assert_false(cb_relay_forwards("keep-alive", NULL));
    assert_false(cb_relay_forwards("TRANSFER-ENCODING", NULL));
    assert_false(cb_relay_forwards("Cookie", NULL));
    assert_false(cb_relay_forwards("X-Forwarded-For", NULL));
    assert_true(cb_relay_forwards("Accept", NULL));
    assert_true(cb_relay_forwards("X-Own", "close"));
    assert_false(cb_relay_forwards("X-Own", "close, x-own"));
    assert_true(cb_relay_forwards("X-Own", "x-ownother ,xx-own"));
}

static void take(const char *cookies, const char *secret, const char *others)
{
    char got[CB_SESSION_SECRET];
    cb_buf rest = CB_BUF(1024);
    cb_relay_take_cookie(cookies, got, &rest);
    assert_string_equal(got, secret);
    assert_string_equal(cb_buf_cstr(&rest), others);
    cb_buf_free(&rest);
}

static void the_brokers_cookie_never_goes_on(void **state)
{
    (void)state;
    take("", "", "");
    take("a=1; b=2", "", "a=1; b=2");
    take("a=1; __Host-cardbroker=" SECRET "; b=2", SECRET, "a=1; b=2");
    take("__Host-cardbroker=" SECRET, SECRET, "");
    take(";; __Host-cardbroker=" SECRET ";", SECRET, "");
    take("__Host-cardbroker=short; a=1", "", "a=1");
    take("__Host-cardbroker=" SECRET "0; a=1", "", "a=1");
    take("__Host-cardbroker=" SECRET "; __Host-cardbroker=" SECRET, SECRET, "");
    take("x__Host-cardbroker=" SECRET, "", "x__Host-cardbroker=" SECRET);
}

static bool returns(const char *name, const char *value)
{
    return cb_relay_returns(cb_bytes_str(name), cb_bytes_str(value));
}

static void a_service_cannot_set_the_brokers_cookie(void **state)
{
    (void)state;
    assert_false(returns("Set-Cookie", "__Host-cardbroker=" SECRET "; Path=/"));
    assert_false(returns("set-cookie", "__host-cardbroker = x"));
    assert_false(returns("SET-COOKIE", "__Host-Cardbroker\t="));
    assert_true(returns("Set-Cookie", "__Host-cardbroker2=x"));
    assert_true(returns("Set-Cookie", "__Host-cardbroker"));
    assert_true(returns("Set-Cookie", "a=__Host-cardbroker=x"));
    assert_true(returns("X-Set-Cookie", "__Host-cardbroker=x"));
    /* A cookie without a name is sent as its value stands. */
    assert_false(returns("Set-Cookie", "=__Host-cardbroker=" SECRET));
    assert_false(returns("Set-Cookie", " = __Host-cardbroker=" SECRET));
    assert_true(returns("Set-Cookie", ""));
    assert_true(returns("Set-Cookie", "=; Path=/"));
}

static void a_service_cannot_set_or_clear_what_other_sessions_have(void **state)
{
    (void)state;
    assert_false(returns("Set-Cookie", "a=1; Domain=relay.localhost"));
    assert_false(returns("Set-Cookie", "a=1;\tdOMAIN = .relay.localhost ;Path=/"));
    assert_false(returns("Set-Cookie", "a=1; Path=/; Domain=; Domain=localhost"));
    assert_true(returns("Set-Cookie", "a=1; Path=/; Domain=; Secure"));
    assert_true(returns("Set-Cookie", "a=1; Domain"));
    assert_true(returns("Set-Cookie", "Domain=1; Path=/"));
    assert_true(returns("Set-Cookie", "a=1; X-Domain=b"));
    assert_false(returns("Clear-Site-Data", "\"cookies\""));
    assert_false(returns("clear-site-data", "\"*\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_name_names_a_session),
        cmocka_unit_test(what_concerns_the_connection_stays),
        cmocka_unit_test(the_brokers_cookie_never_goes_on),
        cmocka_unit_test(a_service_cannot_set_the_brokers_cookie),
        cmocka_unit_test(a_service_cannot_set_or_clear_what_other_sessions_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
