/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "connectors/host/headers.h"

static const cb_origin service = {"tax.test", 8443};
static const cb_origin usual = {"tax.test", 443};

static void assert_to_service(const char *in, const char *added, const char *expected)
{
    cb_buf out = CB_BUF(4096);
    assert_int_equal(cb_headers_to_service(cb_bytes_str(in), &service, cb_bytes_str(added), &out),
                     CB_OK);
    assert_string_equal(cb_buf_cstr(&out), expected);
    cb_buf_free(&out);
}

static void assert_to_browser(const char *in, const cb_origin *origin, const char *expected)
{
    cb_buf out = CB_BUF(4096);
    assert_int_equal(cb_headers_to_browser(cb_bytes_str(in), origin, &out), CB_OK);
    assert_string_equal(cb_buf_cstr(&out), expected);
    cb_buf_free(&out);
}

static void what_concerns_one_connection_stays(void **state)
{
    (void)state;
    assert_to_service(
        "Connection: close, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\nTE: trailers\r\n"
        "Transfer-Encoding: chunked\r\nkeep-alive: 5\r\nHost: a\r\nContent-Length: 5\r\n"
        "Expect: 100-continue\r\nX-Forwarded-For: 1.2.3.4\r\n",
        "", "X-Other: 2\r\n");
    assert_to_browser("Connection: X-Mine\r\nX-Mine: 1\r\nContent-Length: 5\r\nAlt-Svc: h3\r\n",
                      &service, "Content-Length: 5\r\n");
}

static void a_browser_does_not_speak_as_a_proxy(void **state)
{
    (void)state;
    assert_to_service("x-forwarded-user: root\r\nX_Forwarded_Client-Cert: a\r\nX-FORWARDED-: b\r\n"
                      "Forwarded: for=c\r\nX-Real_IP: d\r\nX-Forwarder: e\r\nX-Forwarded: f\r\n",
                      "", "X-Forwarder: e\r\nX-Forwarded: f\r\n");
}

static void only_the_relays_own_origin_becomes_the_services(void **state)
{
    (void)state;
    assert_to_service(
        "Host: r.test:1\r\nOrigin: https://r.test:1\r\nReferer: https://R.test:1/a?b\r\n", "",
        "Origin: https://tax.test:8443\r\nReferer: https://tax.test:8443/a?b\r\n");
    assert_to_service("Host: r.test:1\r\nOrigin: https://r.test:11\r\n", "",
                      "Origin: https://r.test:11\r\n");
    assert_to_service(
        "Host: r.test:1\r\nOrigin: https://evil.test\r\nReferer: http://r.test:1/\r\n", "",
        "Origin: https://evil.test\r\nReferer: http://r.test:1/\r\n");
    assert_to_service("Origin: https://r.test\r\n", "", "Origin: https://r.test\r\n");
    assert_to_service("Host: \r\nOrigin: https://\r\n", "", "Origin: https://\r\n");
}

static void a_connectors_header_replaces_the_browsers_and_its_cookies_are_added(void **state)
{
    (void)state;
    assert_to_service("authorization: mine\r\nCookie: a=1\r\n",
                      "Authorization: Bearer x\r\nCookie: s=2\r\n",
                      "Cookie: a=1; s=2\r\nAuthorization: Bearer x\r\n");
    assert_to_service("", "Cookie: s=2\r\n", "Cookie: s=2\r\n");
    assert_to_service("X_Api-Key: mine\r\nX_Api: mine\r\n", "X-Api-Key: theirs\r\n",
                      "X_Api: mine\r\nX-Api-Key: theirs\r\n");
}

static void a_location_at_the_service_becomes_a_path(void **state)
{
    (void)state;
    assert_to_browser("Location: https://tax.test:8443/a?b#c\r\n", &service,
                      "Location: /a?b#c\r\n");
    assert_to_browser("Location: HTTPS://TAX.test/a\r\n", &usual, "Location: /a\r\n");
    assert_to_browser("Location: https://tax.test:443\r\n", &usual, "Location: /\r\n");
    assert_to_browser("Location: https://tax.test?q\r\n", &usual, "Location: /?q\r\n");
    assert_to_browser("Location: https://tax.test#f\r\n", &usual, "Location: /#f\r\n");
    /* Two slashes at the start would name a host. */
    assert_to_browser("Location: https://tax.test//evil.test/\r\n", &usual,
                      "Location: /.//evil.test/\r\n");
    assert_to_browser("Location: https://tax.test/a\r\n", &service,
                      "Location: https://tax.test/a\r\n");
    assert_to_browser("Location: https://tax.test.evil/a\r\n", &usual,
                      "Location: https://tax.test.evil/a\r\n");
    assert_to_browser("Location: https://tax.test@evil/a\r\n", &usual,
                      "Location: https://tax.test@evil/a\r\n");
    assert_to_browser("Location: relative\r\n", &usual, "Location: relative\r\n");
}

static void a_cookie_of_the_services_domain_becomes_the_relays(void **state)
{
    (void)state;
    assert_to_browser("Set-Cookie: a=b=c; Path=/; Domain=tax.test; Secure\r\n", &service,
                      "Set-Cookie: a=b=c; Path=/; Secure\r\n");
    assert_to_browser("Set-Cookie: a=1; domain = .TEST ;HttpOnly\r\n", &service,
                      "Set-Cookie: a=1; HttpOnly\r\n");
    assert_to_browser("Set-Cookie: a=1; Domain=x.test\r\n", &service,
                      "Set-Cookie: a=1; Domain=x.test\r\n");
    assert_to_browser("Set-Cookie: a=1; Domain=ax.test\r\n", &service,
                      "Set-Cookie: a=1; Domain=ax.test\r\n");
    assert_to_browser("Set-Cookie: Domain=tax.test\r\n", &service,
                      "Set-Cookie: Domain=tax.test\r\n");
}

static void what_is_no_header_is_refused(void **state)
{
    static const char *const bad[] = {"no colon\r\n",  "A B: 1\r\n", ": 1\r\n",
                                      "A: \x01\r\n",   "\r\n",       "A: 1\r\n folded\r\n",
                                      "A: 1\rB: 2\r\n"};
    cb_buf out = CB_BUF(4096);
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cb_headers_to_service(cb_bytes_str(bad[i]), &service, (cb_bytes){0}, &out),
                         CB_E_ARGUMENT);
        assert_int_equal(cb_headers_to_browser(cb_bytes_str(bad[i]), &service, &out),
                         CB_E_SERVICE_ANSWER);
    }
    cb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_concerns_one_connection_stays),
        cmocka_unit_test(a_browser_does_not_speak_as_a_proxy),
        cmocka_unit_test(only_the_relays_own_origin_becomes_the_services),
        cmocka_unit_test(a_connectors_header_replaces_the_browsers_and_its_cookies_are_added),
        cmocka_unit_test(a_location_at_the_service_becomes_a_path),
        cmocka_unit_test(a_cookie_of_the_services_domain_becomes_the_relays),
        cmocka_unit_test(what_is_no_header_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
