/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logins with client certificates at a real nginx, and what is relayed afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/text.h"
#include "tests/integration/connectors_support.h"

static bench b;

static int start(void **state)
{
    (void)state;
    bench_start(&b, "", true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    bench_stop(&b);
    return 0;
}

static void assert_is(cb_session *session, const char *name)
{
    unsigned status = 0;
    char expected[128];
    cb_buf text = CB_BUF(64 * 1024);
    assert_int_equal(fetch(session, "GET", "/whoami", "", &status, NULL, &text), CB_OK);
    assert_int_equal(status, 200);
    snprintf(expected, sizeof expected, "subject=CN=%s,O=Test service\n", name);
    assert_non_null(strstr(cb_buf_cstr(&text), expected));
    assert_non_null(strstr(cb_buf_cstr(&text), "verify=SUCCESS"));
    assert_non_null(strstr(cb_buf_cstr(&text), "reused=.\n"));
    cb_buf_free(&text);
}

static void a_holder_is_known_to_the_service_with_every_algorithm_and_version(void **state)
{
    static const char *const algorithms[] = {"ec-p256", "ec-p384", "rsa-2048", "rsa-3072"};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        holder h;
        holder_new(&b, &h, algorithms[i], algorithms[i]);
        for (int port = b.port; port < b.port + 3; port++) {
            cb_session *session = log_in_at_service(&b, &h, port);
            assert_is(session, h.name);
            cb_session_end(&session);
        }
        assert_int_equal(h.uses, 3);
        holder_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_holder_is_known_to_the_service_with_every_algorithm_and_version)};
    return cmocka_run_group_tests(tests, start, stop);
}
