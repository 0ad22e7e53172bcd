/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/http/limits.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/base/test.h"

static cb_address address_of(const char *text)
{
    struct sockaddr_storage from = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&from;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&from;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        from.ss_family = AF_INET;
    else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        from.ss_family = AF_INET6;
    }
    return cb_address_of(&from);
}

static bool same(const char *a, const char *b)
{
    cb_address x = address_of(a);
    cb_address y = address_of(b);
    return memcmp(&x, &y, sizeof x) == 0;
}

static void an_address_is_one_host_or_one_subscriber(void **state)
{
    (void)state;
    assert_true(same("192.0.2.1", "192.0.2.1"));
    assert_false(same("192.0.2.1", "192.0.2.2"));
    assert_true(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
    assert_false(same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_true(same("::ffff:192.0.2.1", "192.0.2.1"));
    assert_false(same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
}

static void each_address_has_a_count_of_its_own(void **state)
{
    (void)state;
    cb_addresses *addresses = NULL;
    assert_int_equal(cb_addresses_open(&addresses), CB_OK);
    cb_address one = address_of("192.0.2.1");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            assert_true(cb_addresses_take(addresses, &one, 3));
        assert_false(cb_addresses_take(addresses, &one, 3));
        for (uint32_t i = 0; i < 5000; i++) {
            cb_address other = one;
            memcpy(other.bytes, &i, sizeof i);
            other.bytes[8] = 1;
            assert_true(cb_addresses_take(addresses, &other, 1));
            assert_false(cb_addresses_take(addresses, &other, 1));
        }
        for (uint32_t i = 0; i < 5000; i++) {
            cb_address other = one;
            memcpy(other.bytes, &i, sizeof i);
            other.bytes[8] = 1;
            cb_addresses_put(addresses, &other);
        }
        cb_addresses_put(addresses, &one);
        assert_true(cb_addresses_take(addresses, &one, 3));
        for (int i = 0; i < 3; i++)
            cb_addresses_put(addresses, &one);
    }
    assert_false(cb_addresses_take(addresses, &one, 0));
    cb_addresses_close(&addresses);
    assert_null(addresses);
}

static void a_client_must_keep_its_rate_after_the_grace(void **state)
{
    (void)state;
    cb_limits limits = {.request_grace = 10 * CB_SECOND, .request_rate = 100};
    assert_false(cb_limits_too_slow(&limits, 0, 1, 10 * CB_SECOND));
    assert_true(cb_limits_too_slow(&limits, 0, 99, 10 * CB_SECOND + 1));
    assert_false(cb_limits_too_slow(&limits, 0, 100, 10 * CB_SECOND + 1));
    assert_true(cb_limits_too_slow(&limits, 0, 1000, 30 * CB_SECOND));
    assert_false(cb_limits_too_slow(&limits, 0, 2100, 30 * CB_SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_one_host_or_one_subscriber),
        cmocka_unit_test(each_address_has_a_count_of_its_own),
        cmocka_unit_test(a_client_must_keep_its_rate_after_the_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
